//! Commands that change the shell itself.
//!
//! Picture to hold in mind: notes that the reader of the cards writes to itself.

use std::sync::Arc;

use crate::api::Text;

use super::super::files::normalize;
use super::commands::{self, Ran, Then};
use super::compile::{compile, compile_arguments};
use super::machine::{Machine, Surroundings};

impl Machine {
    /// Commands that change the shell itself. `None`: it is not one of them.
    pub(super) fn builtin(
        &mut self,
        words: &[Text],
        input: &str,
        has_own_input: bool,
        surroundings: &mut Surroundings,
    ) -> Option<Ran> {
        let arguments = &words[1..];
        let first = arguments.first().map(Text::as_str);
        Some(match words[0].as_str() {
            "exit" => {
                let status = first.and_then(|status| status.parse().ok()).unwrap_or(self.status);
                Ran { then: Then::Exit, ..Ran::status(status & 255) }
            }
            "return" => {
                let status = first.and_then(|status| status.parse().ok()).unwrap_or(self.status);
                Ran { then: Then::Return, ..Ran::status(status) }
            }
            "cd" => {
                let path = normalize(&self.directory, first.unwrap_or("/root"));
                if !surroundings.files.is_directory(&path) {
                    return Some(Ran::error(
                        1,
                        format!("sh: cd: can't cd to {}: No such file or directory\n", first.unwrap_or("")),
                    ));
                }
                self.directory = path.into();
                Ran::status(0)
            }
            "export" | "readonly" | "local" => {
                for argument in arguments {
                    if let Some((name, value)) = argument.split_once('=') {
                        self.set_variable(name.into(), value.into());
                    }
                }
                Ran::status(0)
            }
            "unset" => {
                for argument in arguments {
                    Arc::make_mut(&mut self.variables).remove(argument);
                }
                Ran::status(0)
            }
            "set" => {
                match first {
                    Some("--") => self.arguments.splice(1.., arguments[1..].iter().cloned()).for_each(drop),
                    Some(flags) if flags.starts_with('-') => self.exits_on_failure |= flags.contains('e'),
                    Some(flags) if flags.starts_with('+') => self.exits_on_failure &= !flags.contains('e'),
                    _ => {}
                }
                Ran::status(0)
            }
            "shift" => {
                if self.arguments.len() > 1 {
                    self.arguments.remove(1);
                }
                Ran::status(0)
            }
            "trap" => {
                if let [script, signals @ ..] = arguments {
                    for signal in signals {
                        let signal = signal.trim_start_matches("SIG");
                        let signal = match signal {
                            "15" => "TERM",
                            "2" => "INT",
                            "0" => "EXIT",
                            other => other,
                        };
                        if script == "-" {
                            self.traps.remove(signal);
                        } else {
                            self.traps.insert(signal.into(), script.clone());
                        }
                    }
                }
                Ran::status(0)
            }
            "wait" => Ran { then: Then::Wait, ..Ran::status(0) },
            "read" => {
                let line = input.split('\n').next().unwrap_or("");
                let is_end = input.is_empty();
                if !has_own_input {
                    self.input_at += line.len() + 1;
                }
                let names: Vec<&Text> = arguments.iter().filter(|name| !name.starts_with('-')).collect();
                let mut rest = line.trim();
                for (index, name) in names.iter().enumerate() {
                    let (value, tail) = if index + 1 == names.len() {
                        (rest, "")
                    } else {
                        rest.split_once([' ', '\t']).unwrap_or((rest, ""))
                    };
                    self.set_variable((*name).clone(), value.into());
                    rest = tail.trim_start();
                }
                Ran::status(i32::from(is_end))
            }
            "eval" => {
                let script: Vec<&str> = arguments.iter().map(Text::as_str).collect();
                self.script(&script.join(" "), self.arguments.clone(), false)
            }
            "." | "source" => {
                let path = normalize(&self.directory, first.unwrap_or(""));
                match surroundings.files.read(&path) {
                    Some(script) => self.script(&script, self.arguments.clone(), false),
                    None => Ran::error(2, format!("sh: .: can't open '{}'\n", first.unwrap_or(""))),
                }
            }
            "exec" => {
                if arguments.is_empty() {
                    return Some(Ran::status(0));
                }
                // Nothing of the script is left after it.
                self.frames.clear();
                self.code = compile_arguments(arguments);
                self.at = 0;
                Ran::status(self.status)
            }
            "command" if first.is_some_and(|first| !first.starts_with('-')) => {
                return Some(match self.builtin(arguments, input, has_own_input, surroundings) {
                    Some(ran) => ran,
                    None => commands::run(arguments, input, &self.variables, &self.directory, surroundings),
                });
            }
            "let" => {
                let value = self.arithmetic(first.unwrap_or("0"));
                Ran::status(i32::from(value == "0"))
            }
            _ => return None,
        })
    }

    fn script(&self, script: &str, arguments: Vec<Text>, is_subshell: bool) -> Ran {
        match compile(script) {
            Ok(code) => {
                Ran { then: Then::Script { code, arguments, is_subshell }, ..Ran::status(self.status) }
            }
            Err(error) => Ran::error(2, error + "\n"),
        }
    }
}
