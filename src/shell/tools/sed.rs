//! `sed`, as far as people use it at a prompt: `s///`, `d`, `p`, `q`, with addresses and `-i`.
//!
//! Picture to hold in mind: a proof-reader with a list of instructions, each with the lines it is for.

use super::super::files::absolute;
use super::{Filter, Options, Output, Tool, UsageError};
use crate::api::regex::Regex;
use crate::arrange::Gather;

#[derive(Clone, Debug)]
pub struct Sed {
    commands: Vec<Command>,
    quiet: bool,
    /// Edit this file in place instead of printing.
    in_place: Option<String>,
    edited: String,
    number: usize,
    held: Option<String>,
    quit: bool,
}

#[derive(Clone, Debug)]
struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    in_range: bool,
    action: Action,
}

#[derive(Clone, Debug)]
enum Address {
    Line(usize),
    Last,
    Pattern(Regex),
}

#[derive(Clone, Debug)]
enum Action {
    Substitute { regex: Regex, replacement: String, all: bool, print: bool },
    Delete,
    Print,
    Quit,
    Append(String),
    Insert(String),
    Change(String),
    LineNumber,
}

struct Reader {
    text: Vec<char>,
    position: usize,
    extended: bool,
}

impl Sed {
    pub fn parse(arguments: &[String], folder: &str) -> Result<Filter, UsageError> {
        // `-i` may carry a suffix, which never stands apart.
        let in_place =
            arguments.iter().any(|argument| argument.starts_with("-i") || argument.starts_with("--in-place"));
        let rest: Vec<String> = arguments
            .iter()
            .filter(|argument| !argument.starts_with("-i") && !argument.starts_with("--in-place"))
            .cloned()
            .gather();
        let mut options = Options::read("sed", &rest, "nErsu", "e")?;
        let mut scripts: Vec<String> = options.all_values('e').map(String::from).collect();
        if scripts.is_empty() {
            if options.operands.is_empty() {
                return Err((
                    "Usage: sed [OPTION]... {script-only-if-no-other-script} [input-file]...\n".into(),
                    1,
                ));
            }
            scripts.push(options.operands.remove(0));
        }
        let source = scripts.join("\n");
        let extended = options.has('E') || options.has('r');
        let mut reader = Reader { text: source.chars().gather(), position: 0, extended };
        let commands = reader.commands().map_err(|error| {
            (format!("sed: -e expression #1, char {}: {error}\n", reader.position.max(1)), 1)
        })?;
        let in_place = if in_place {
            match options.operands.as_slice() {
                [file] => Some(absolute(folder, file)),
                [] => return Err(("sed: no input files\n".into(), 4)),
                _ => return Err(("sed: -i works on one file at a time here\n".into(), 4)),
            }
        } else {
            None
        };
        let tool = Sed {
            commands,
            quiet: options.has('n'),
            in_place,
            edited: String::new(),
            number: 0,
            held: None,
            quit: false,
        };
        Ok(Filter { tool: Tool::Sed(tool), files: options.operands })
    }
    /// A line waits until it is known whether it is the last one (`$`).
    pub fn line(&mut self, line: &str, out: &mut Output) {
        if self.quit {
            return;
        }
        if let Some(held) = self.held.replace(line.to_string()) {
            self.process(held, false, out);
        }
        out.done = self.quit && self.in_place.is_none();
    }
    pub fn finish(&mut self, out: &mut Output) {
        if let Some(held) = self.held.take().filter(|_| !self.quit) {
            self.process(held, true, out);
        }
        if let Some(file) = &self.in_place {
            out.files.push((file.clone(), std::mem::take(&mut self.edited), false));
        }
    }
    fn process(&mut self, mut line: String, is_last: bool, out: &mut Output) {
        self.number += 1;
        let number = self.number;
        let mut printed = String::new();
        let mut after = String::new();
        let mut deleted = false;
        for command in &mut self.commands {
            if !command.applies(&line, number, is_last) {
                continue;
            }
            match &command.action {
                Action::Substitute { regex, replacement, all, print } => {
                    if let Some(replaced) = regex.replace(&line, replacement, *all) {
                        line = replaced;
                        if *print {
                            printed += &format!("{line}\n");
                        }
                    }
                }
                Action::Delete => {
                    deleted = true;
                    break;
                }
                Action::Print => printed += &format!("{line}\n"),
                Action::Quit => {
                    self.quit = true;
                    break;
                }
                Action::Append(text) => after += &format!("{text}\n"),
                Action::Insert(text) => printed += &format!("{text}\n"),
                Action::Change(text) => {
                    printed += &format!("{text}\n");
                    deleted = true;
                    break;
                }
                Action::LineNumber => printed += &format!("{number}\n"),
            }
        }
        if !deleted && !self.quiet {
            printed += &format!("{line}\n");
        }
        printed += &after;
        if self.in_place.is_some() { self.edited += &printed } else { out.stdout += &printed }
    }
}

impl Command {
    fn applies(&mut self, line: &str, number: usize, is_last: bool) -> bool {
        let text: Vec<char> = line.chars().gather();
        let fits = |address: &Address| match address {
            Address::Line(wanted) => *wanted == number,
            Address::Last => is_last,
            Address::Pattern(regex) => regex.is_match(&text),
        };
        let applies = match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => fits(from),
            (Some(from), Some(to)) => {
                if self.in_range {
                    let over = match to {
                        Address::Line(last) => number >= *last,
                        to => fits(to),
                    };
                    self.in_range = !over;
                    true
                } else if fits(from) {
                    self.in_range = !matches!(to, Address::Line(last) if *last <= number);
                    true
                } else {
                    false
                }
            }
        };
        applies != self.negated
    }
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.position).copied()
    }
    fn blank(&mut self) {
        while self.peek().is_some_and(|c| c.is_whitespace() || c == ';') {
            self.position += 1;
        }
    }
    fn commands(&mut self) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            self.blank();
            if self.peek().is_none() {
                return Ok(commands);
            }
            let from = self.address()?;
            let mut to = None;
            if from.is_some() && self.peek() == Some(',') {
                self.position += 1;
                to = Some(self.address()?.ok_or("unexpected `,'")?);
            }
            while self.peek() == Some(' ') {
                self.position += 1;
            }
            let negated = self.peek() == Some('!');
            self.position += usize::from(negated);
            let action = self.action()?;
            commands.push(Command { from, to, negated, in_range: false, action });
        }
    }
    fn address(&mut self) -> Result<Option<Address>, String> {
        Ok(match self.peek() {
            Some('$') => {
                self.position += 1;
                Some(Address::Last)
            }
            Some('/') => {
                self.position += 1;
                let pattern = self.until('/', "unterminated address regex")?;
                Some(Address::Pattern(Regex::new(&pattern, self.extended, false)?))
            }
            Some(c) if c.is_ascii_digit() => {
                let mut line = 0usize;
                while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
                    line = line.saturating_mul(10).saturating_add(digit as usize);
                    self.position += 1;
                }
                Some(Address::Line(line))
            }
            _ => None,
        })
    }
    /// Text up to an unescaped `end`; an escaped one means itself.
    fn until(&mut self, end: char, error: &str) -> Result<String, String> {
        let mut text = String::new();
        loop {
            let character = self.peek().ok_or(error)?;
            self.position += 1;
            if character == end {
                return Ok(text);
            }
            if character == '\\' {
                let next = self.peek().ok_or(error)?;
                self.position += 1;
                if next != end {
                    text.push('\\');
                }
                text.push(next);
                continue;
            }
            text.push(character);
        }
    }
    fn action(&mut self) -> Result<Action, String> {
        let name = self.peek().ok_or("missing command")?;
        self.position += 1;
        Ok(match name {
            'd' => Action::Delete,
            'p' => Action::Print,
            'q' => Action::Quit,
            '=' => Action::LineNumber,
            'a' | 'i' | 'c' => {
                let rest: String = self.text[self.position..].iter().take_while(|c| **c != '\n').collect();
                self.position += rest.chars().count();
                let text = rest.trim_start().trim_start_matches('\\').trim_start().to_string();
                match name {
                    'a' => Action::Append(text),
                    'i' => Action::Insert(text),
                    _ => Action::Change(text),
                }
            }
            's' => {
                let separator = self.peek().ok_or("unterminated `s' command")?;
                self.position += 1;
                let pattern = self.until(separator, "unterminated `s' command")?;
                let replacement = self.until(separator, "unterminated `s' command")?;
                let (mut all, mut print, mut ignore_case) = (false, false, false);
                while let Some(flag) = self.peek() {
                    match flag {
                        'g' => all = true,
                        'p' => print = true,
                        'i' | 'I' => ignore_case = true,
                        ';' | '\n' | ' ' | '}' => break,
                        _ => return Err("unknown option to `s'".into()),
                    }
                    self.position += 1;
                }
                let regex = Regex::new(&pattern, self.extended, ignore_case)?;
                Action::Substitute { regex, replacement, all, print }
            }
            other => return Err(format!("unknown command: `{other}'")),
        })
    }
}
