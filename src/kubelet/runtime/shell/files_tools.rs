//! Programs about files: `cat`, `ls`, `mkdir`, `cp`, `tail -f` ...
//!
//! Picture to hold in mind: hands at the shelves of [`super::super::files`].

use std::sync::Arc;

use crate::api::Text;
use crate::kubelet::clock;

use super::super::files::normalize;
use super::super::program::Server;
use super::commands::{Ran, Then, Tool};

impl<'a> Tool<'a, '_, '_> {
    pub(super) fn files(&mut self) -> Option<Ran> {
        let name = self.name;
        Some(match name {
            "cat" => {
                let operands = self.operands(&[]);
                if operands.is_empty() {
                    return Some(Ran::text(self.input));
                }
                self.each_file(&operands, |content, ran| ran.stdout.push_str(content))
            }
            "ls" => self.list(),
            "mkdir" => {
                let mut ran = Ran::status(0);
                let with_parents = self.flags().contains('p');
                for operand in self.operands(&["-m"]) {
                    let path = self.path(operand);
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    let result = if self.surroundings.files.exists(&path) {
                        if with_parents { Ok(()) } else { Err("File exists") }
                    } else if !with_parents
                        && !self.surroundings.files.is_directory(if parent.is_empty() { "/" } else { parent })
                    {
                        Err("No such file or directory")
                    } else {
                        self.surroundings.files.make_directory(&path)
                    };
                    if let Err(error) = result {
                        ran.status = 1;
                        ran.stderr += &format!("mkdir: can't create directory '{operand}': {error}\n");
                    }
                }
                ran
            }
            "touch" => {
                let mut ran = Ran::status(0);
                for operand in self.operands(&["-d", "-t"]) {
                    let path = self.path(operand);
                    if let Err(error) = self.surroundings.files.write(&path, "", true) {
                        ran.status = 1;
                        ran.stderr += &format!("touch: {operand}: {error}\n");
                    }
                }
                ran
            }
            "rm" => {
                let mut ran = Ran::status(0);
                let is_forced = self.flags().contains('f');
                for operand in self.operands(&[]) {
                    let path = self.path(operand);
                    let error = match self.surroundings.files.remove(&path) {
                        Ok(false) if !is_forced => "No such file or directory",
                        Ok(_) => continue,
                        Err(error) => error,
                    };
                    ran.status = 1;
                    ran.stderr += &format!("rm: can't remove '{operand}': {error}\n");
                }
                ran
            }
            "cp" | "mv" => {
                let operands = self.operands(&[]);
                let (Some((target, sources)), true) = (operands.split_last(), operands.len() > 1) else {
                    return Some(Ran::error(1, format!("BusyBox: {name}: missing operand\n")));
                };
                let mut ran = Ran::status(0);
                for source in sources {
                    let from = self.path(source);
                    let mut to = self.path(target);
                    if self.surroundings.files.is_directory(&to) {
                        to = format!("{to}/{}", source.rsplit('/').next().unwrap_or(""));
                    }
                    let result = match self.surroundings.files.read(&from) {
                        Some(content) => self.surroundings.files.write(&to, &content, false),
                        None => Err("No such file or directory"),
                    };
                    match result {
                        Ok(()) if name == "mv" => drop(self.surroundings.files.remove(&from)),
                        Ok(()) => {}
                        Err(error) => {
                            ran.status = 1;
                            ran.stderr += &format!("{name}: can't stat '{source}': {error}\n");
                        }
                    }
                }
                ran
            }
            "tee" => {
                let append = self.flags().contains('a');
                for operand in self.operands(&[]) {
                    let path = self.path(operand);
                    let _ = self.surroundings.files.write(&path, self.input, append);
                }
                Ran::text(self.input)
            }
            "tail" if self.flags().contains(['f', 'F']) => {
                let operand = self.operands(&["-n"]).first().copied().unwrap_or("/dev/null");
                let path = self.path(operand);
                if path == "/dev/null" {
                    return Some(Ran {
                        then: Then::Serve(Arc::new(Server::unknown("tail"))),
                        ..Ran::status(0)
                    });
                }
                match self.surroundings.files.read(&path) {
                    Some(content) => {
                        let lines: Vec<&str> = content.lines().collect();
                        let ran = Ran::lines(&lines[lines.len().saturating_sub(10)..]);
                        Ran { then: Then::Follow(path.into()), ..ran }
                    }
                    None if self.flags().contains('F') => {
                        Ran { then: Then::Follow(path.into()), ..Ran::status(0) }
                    }
                    None => Ran::error(
                        1,
                        format!("tail: can't open '{operand}': No such file or directory\ntail: no files\n"),
                    ),
                }
            }
            _ => return None,
        })
    }

    pub(super) fn each_file(&mut self, operands: &[&str], mut act: impl FnMut(&str, &mut Ran)) -> Ran {
        let mut ran = Ran::status(0);
        for operand in operands {
            let path = self.path(operand);
            let standard = match path.as_str() {
                _ if *operand == "-" => Some(Text::from(self.input)),
                "/etc/hostname" => Some(arcstr::format!("{}\n", self.surroundings.hostname)),
                "/dev/null" => Some(Text::new()),
                _ => None,
            };
            match standard.or_else(|| self.surroundings.files.read(&path)) {
                Some(content) => act(&content, &mut ran),
                None => {
                    ran.status = 1;
                    let error = if self.surroundings.files.is_directory(&path) {
                        "read error: Is a directory"
                    } else {
                        "No such file or directory"
                    };
                    ran.stderr += &if error.starts_with('r') {
                        format!("{}: {error}\n", self.name)
                    } else {
                        format!("{}: can't open '{operand}': {error}\n", self.name)
                    };
                }
            }
        }
        ran
    }

    fn list(&mut self) -> Ran {
        let flags = self.flags();
        let operands = self.operands(&[]);
        let operands = if operands.is_empty() { vec!["."] } else { operands };
        let mut ran = Ran::status(0);
        for operand in &operands {
            let path = self.path(operand);
            if let Some(names) = self.surroundings.files.list(&path) {
                if operands.len() > 1 {
                    ran.stdout += &format!("{operand}:\n");
                }
                for name in names.iter().filter(|name| flags.contains(['a', 'A']) || !name.starts_with('.')) {
                    if flags.contains('l') {
                        let full = normalize(&path, name);
                        ran.stdout += &self.long_line(&full, name);
                    } else {
                        ran.stdout += &format!("{name}\n");
                    }
                }
            } else if self.surroundings.files.read(&path).is_some() {
                ran.stdout += &if flags.contains('l') {
                    self.long_line(&path, operand)
                } else {
                    format!("{operand}\n")
                };
            } else {
                ran.status = 1;
                ran.stderr += &format!("ls: {operand}: No such file or directory\n");
            }
        }
        ran
    }
    fn long_line(&self, path: &str, name: &str) -> String {
        let date = clock::short_date(self.surroundings.now);
        match self.surroundings.files.read(path) {
            Some(content) => {
                format!("-rw-r--r--    1 root     root     {:>9} {date} {name}\n", content.len())
            }
            None => format!("drwxr-xr-x    2 root     root          4096 {date} {name}\n"),
        }
    }
}
