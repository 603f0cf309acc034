//! Where output goes, and input comes from.
//!
//! Picture to hold in mind: pipes screwed on to a machine, the innermost first: a command's own, then those of
//! the groups around it, and at the end the container's log.

use crate::api::Text;

use super::super::files::normalize;
use super::compile::{Redirect, RedirectKind};
use super::machine::{Frame, Machine, Output, Surroundings};

/// What a descriptor leads to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Null,
    File(Text),
    /// The other descriptor.
    Same(u8),
}

/// Targets of the descriptors, and the standard input if it is redirected.
pub(super) type Opened = (Vec<(u8, Target)>, Option<Text>);

impl Machine {
    pub(super) fn targets(
        &mut self,
        redirects: &[Redirect],
        surroundings: &mut Surroundings,
    ) -> Result<Opened, String> {
        let mut targets = Vec::new();
        let mut input = None;
        for redirect in redirects {
            let text = self.text_of(&redirect.target, surroundings);
            if redirect.kind == RedirectKind::Here {
                input = Some(text.into());
                continue;
            }
            if redirect.kind == RedirectKind::Duplicate {
                targets
                    .push((redirect.descriptor, if text == "1" { Target::Same(1) } else { Target::Same(2) }));
                continue;
            }
            let path = normalize(&self.directory, &text);
            if redirect.kind == RedirectKind::Read {
                let content =
                    if path == "/dev/null" { Some(Text::new()) } else { surroundings.files.read(&path) };
                let content = content.ok_or_else(|| format!("sh: can't open {text}: no such file"))?;
                input = Some(content);
                continue;
            }
            let target = match path.as_str() {
                "/dev/null" => Target::Null,
                "/dev/stdout" | "/proc/1/fd/1" => Target::Same(1),
                "/dev/stderr" | "/proc/1/fd/2" => Target::Same(2),
                _ => {
                    let append = redirect.kind == RedirectKind::Append;
                    let error = match surroundings.files.write(&path, "", append) {
                        Ok(()) => None,
                        Err("No such file or directory") => Some("nonexistent directory"),
                        Err(error) => Some(error),
                    };
                    if let Some(error) = error {
                        return Err(format!("sh: can't create {text}: {error}"));
                    }
                    Target::File(path.into())
                }
            };
            if redirect.kind == RedirectKind::Both {
                targets.push((2, target.clone()));
                targets.push((1, target));
            } else {
                targets.push((redirect.descriptor, target));
            }
        }
        Ok((targets, input))
    }

    pub(super) fn begin_redirect(
        &mut self,
        redirects: &[Redirect],
        surroundings: &mut Surroundings,
        output: &mut Output,
    ) {
        let (targets, input) = match self.targets(redirects, surroundings) {
            Ok(found) => found,
            Err(error) => {
                self.write(2, &(error + "\n"), &[], surroundings, output);
                (Vec::new(), None)
            }
        };
        let at_before = self.input_at;
        let has_input = input.is_some();
        if let Some(text) = input {
            self.frames.push(Frame::Input { text, at_before });
            self.input_at = 0;
        }
        self.frames.push(Frame::Redirect { targets, input: has_input.then_some(at_before) });
    }

    /// Sends output where the redirections of the command and of the groups around it lead.
    pub(super) fn write(
        &mut self,
        mut descriptor: u8,
        text: &str,
        own: &[(u8, Target)],
        surroundings: &mut Surroundings,
        output: &mut Output,
    ) {
        if text.is_empty() {
            return;
        }
        // Redirections apply from left to right: `>f 2>&1` sends both to the file, `2>&1 >f` only one.
        let mut file: Option<Text> = None;
        let mut apply = |targets: &[(u8, Target)], descriptor: &mut u8| -> bool {
            for (index, (from, target)) in targets.iter().enumerate().rev() {
                if from == descriptor {
                    match target {
                        Target::Null => return true,
                        Target::File(path) => {
                            file = Some(path.clone());
                            return true;
                        }
                        Target::Same(other) => {
                            *descriptor = *other;
                            let earlier = targets[..index].iter().rev().find(|(from, _)| from == other);
                            match earlier {
                                Some((_, Target::File(path))) => {
                                    file = Some(path.clone());
                                    return true;
                                }
                                Some((_, Target::Null)) => return true,
                                _ => return false,
                            }
                        }
                    }
                }
            }
            false
        };
        let mut is_done = apply(own, &mut descriptor);
        let mut capture = None;
        if !is_done {
            for (index, frame) in self.frames.iter().enumerate().rev() {
                match frame {
                    Frame::Redirect { targets, .. } if apply(targets, &mut descriptor) => {
                        is_done = true;
                        break;
                    }
                    Frame::Capture { .. } if descriptor == 1 => {
                        capture = Some(index);
                        break;
                    }
                    _ => {}
                }
            }
        }
        if let Some(path) = file {
            // The file was made or emptied when the redirection began.
            let _ = surroundings.files.write(&path, text, true);
        } else if let Some(Frame::Capture { text: captured }) = capture.map(|index| &mut self.frames[index]) {
            captured.push_str(text);
        } else if !is_done {
            output.push((descriptor, text.to_string()));
        }
    }
}
