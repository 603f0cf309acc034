//! `grep`, as GNU's prints.
//!
//! Picture to hold in mind: a customs officer with a list of what to look for, who may also want to see the luggage
//! before and behind.

use super::{Filter, Options, Output, Tool, UsageError};
use crate::api::regex::Regex;
use crate::arrange::Gather;

#[derive(Clone, Debug)]
pub struct Grep {
    patterns: Vec<Regex>,
    inverted: bool,
    only_count: bool,
    only_matching: bool,
    only_names: bool,
    quiet: bool,
    number: bool,
    maximum: Option<usize>,
    before: usize,
    after: usize,
    with_names: Option<bool>,
    name: Option<String>,
    whole_line: bool,
    line_number: usize,
    count: usize,
    total: usize,
    /// What a file came to has been said.
    has_ended: bool,
    recent: Vec<(usize, String)>,
    to_print_after: usize,
    last_printed: usize,
}

impl Grep {
    pub fn parse(name: &str, arguments: &[String]) -> Result<Filter, UsageError> {
        // `-5` is `-C 5`.
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| match argument.strip_prefix('-') {
                Some(digits) if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) => {
                    format!("-C{digits}")
                }
                _ => argument.clone(),
            })
            .collect();
        let mut options = Options::read(name, &arguments, "EFGPvicnowxqlhHsrRaI", "emABC")?;
        let mut sources: Vec<String> = options.all_values('e').map(String::from).collect();
        if sources.is_empty() {
            if options.operands.is_empty() {
                return Err((
                    "Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.\n"
                        .into(),
                    2,
                ));
            }
            sources.push(options.operands.remove(0));
        }
        let extended = options.has('E') || options.has('P') || name == "egrep";
        let fixed = options.has('F') || name == "fgrep";
        let ignore_case = options.has('i') || options.long("ignore-case");
        let mut patterns = Vec::new();
        for source in sources.iter().flat_map(|source| source.split('\n')) {
            let source = match (options.has('w'), extended) {
                (true, true) => format!("\\b({source})\\b"),
                (true, false) => format!("\\b\\({source}\\)\\b"),
                _ => source.to_string(),
            };
            patterns.push(if fixed {
                Regex::literal(&source, ignore_case)
            } else {
                Regex::new(&source, extended, ignore_case).map_err(|error| (format!("grep: {error}\n"), 2))?
            });
        }
        let number = |flag| options.value(flag).and_then(|value| value.parse::<usize>().ok());
        let context = number('C').unwrap_or(0);
        let tool = Grep {
            patterns,
            inverted: options.has('v'),
            only_count: options.has('c'),
            only_matching: options.has('o'),
            only_names: options.has('l'),
            quiet: options.has('q'),
            number: options.has('n'),
            maximum: number('m'),
            before: number('B').unwrap_or(context),
            after: number('A').unwrap_or(context),
            with_names: if options.has('h') { Some(false) } else { options.has('H').then_some(true) },
            name: None,
            whole_line: options.has('x'),
            line_number: 0,
            count: 0,
            total: 0,
            has_ended: false,
            recent: Vec::new(),
            to_print_after: 0,
            last_printed: 0,
        };
        Ok(Filter { tool: Tool::Grep(tool), files: options.operands })
    }
    pub fn begin_file(&mut self, name: &str, several: bool) {
        self.name = (self.with_names.unwrap_or(several) || self.only_names).then(|| name.to_string());
        (self.line_number, self.count, self.last_printed, self.to_print_after) = (0, 0, 0, 0);
        self.recent.clear();
    }
    pub fn end_file(&mut self, out: &mut Output) {
        if self.quiet {
        } else if self.only_names && self.count > 0 {
            out.line(self.name.as_deref().unwrap_or("(standard input)"));
        } else if self.only_count {
            let prefix = self.name.as_ref().map(|name| format!("{name}:")).unwrap_or_default();
            out.line(&format!("{prefix}{}", self.count));
        }
        self.total += self.count;
        self.count = 0;
        self.has_ended = true;
    }
    fn print(&mut self, number: usize, line: &str, separator: char, out: &mut Output) {
        if (self.before > 0 || self.after > 0) && self.last_printed > 0 && number > self.last_printed + 1 {
            out.line("--");
        }
        self.last_printed = number;
        if let Some(name) = &self.name {
            out.stdout.push_str(name);
            out.stdout.push(separator);
        }
        if self.number {
            out.stdout.push_str(&format!("{number}{separator}"));
        }
        out.line(line);
    }
    pub fn line(&mut self, line: &str, out: &mut Output) {
        self.line_number += 1;
        let number = self.line_number;
        let text: Vec<char> = line.chars().gather();
        let fits = |regex: &Regex| match self.whole_line {
            true => regex.find(&text, 0).is_some_and(|found| found[0] == Some((0, text.len()))),
            false => regex.is_match(&text),
        };
        let matched = self.patterns.iter().any(fits) != self.inverted;
        if matched && self.maximum.is_none_or(|maximum| self.count < maximum) {
            self.count += 1;
            if self.quiet {
                out.done = true;
            } else if self.only_count || self.only_names {
            } else if self.only_matching {
                self.print_parts(&text, number, out);
            } else {
                for (number, line) in std::mem::take(&mut self.recent) {
                    self.print(number, &line, '-', out);
                }
                self.print(number, line, ':', out);
                self.to_print_after = self.after;
            }
            if self.maximum == Some(self.count) && self.after == 0 {
                out.done = true;
            }
        } else if self.to_print_after > 0 {
            self.to_print_after -= 1;
            self.print(number, line, '-', out);
        } else if self.before > 0 {
            self.recent.push((number, line.to_string()));
            if self.recent.len() > self.before {
                self.recent.remove(0);
            }
        }
    }
    fn print_parts(&mut self, text: &[char], number: usize, out: &mut Output) {
        let mut from = 0;
        loop {
            let next = self.patterns.iter().filter_map(|regex| regex.find(text, from)?[0]).min();
            let Some((start, end)) = next else { return };
            if start < end {
                let part: String = text[start..end].iter().collect();
                self.last_printed = 0;
                self.print(number, &part, ':', out);
            }
            from = end.max(start + 1);
            if from > text.len() {
                return;
            }
        }
    }
    pub fn finish(&mut self, out: &mut Output) {
        if self.total == 0 && self.count == 0 && self.line_number > 0 && !self.only_count {
            return;
        }
        if self.count > 0 || (self.only_count && !self.has_ended) {
            self.end_file(out);
        }
    }
    pub fn code(&self) -> i32 {
        i32::from(self.total + self.count == 0)
    }
}
