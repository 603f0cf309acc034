//! `head`, `tail`, `wc`, `uniq`: tools that count lines.
//!
//! Picture to hold in mind: a turnstile with a counter.

use super::super::system::Dialect;
use super::{Filter, Options, Output, Tool, UsageError};
use crate::arrange::Gather;

#[derive(Clone, Debug)]
pub struct Head {
    lines: i64,
    bytes: Option<usize>,
    seen: i64,
    held: Vec<String>,
    files: usize,
}

/// `-n 5`, `-5`, `-n -5`, `-n +5`.
fn line_count(name: &str, arguments: &[String]) -> Result<(Options, Option<String>), UsageError> {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| match argument.strip_prefix('-') {
            Some(rest) if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()) => format!("-n{rest}"),
            _ => argument.clone(),
        })
        .collect();
    let options = Options::read(name, &arguments, "qvfF", "nc")?;
    let count = options.value('n').or(options.long_value("lines")).map(String::from);
    if let Some(count) = &count
        && count.trim_start_matches(['+', '-']).parse::<i64>().is_err()
    {
        return Err((format!("{name}: invalid number of lines: '{count}'\n"), 1));
    }
    Ok((options, count))
}

impl Head {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let (options, count) = line_count("head", arguments)?;
        let tool = Head {
            lines: count.and_then(|count| count.parse().ok()).unwrap_or(10),
            bytes: options.value('c').and_then(|value| value.parse().ok()),
            seen: 0,
            held: Vec::new(),
            files: 0,
        };
        Ok(Filter { tool: Tool::Head(tool), files: options.operands })
    }
    pub fn begin_file(&mut self, name: &str, several: bool, out: &mut Output) {
        self.seen = 0;
        self.held.clear();
        out.done = false;
        if several {
            out.line(&format!("{}==> {name} <==", if self.files > 0 { "\n" } else { "" }));
        }
        self.files += 1;
    }
    pub fn line(&mut self, line: &str, is_terminated: bool, out: &mut Output) {
        let mut text = if is_terminated { format!("{line}\n") } else { line.to_string() };
        if let Some(bytes) = &mut self.bytes {
            let mut end = text.len().min(*bytes);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            *bytes -= end;
            out.stdout.push_str(&text);
            out.done = *bytes == 0;
        } else if self.lines < 0 {
            self.held.push(text);
            if self.held.len() as i64 > -self.lines {
                out.stdout.push_str(&self.held.remove(0));
            }
        } else {
            self.seen += 1;
            if self.seen <= self.lines {
                out.stdout.push_str(&text);
            }
            out.done = self.seen >= self.lines;
        }
    }
}

#[derive(Clone, Debug)]
pub struct Tail {
    last: usize,
    from: Option<usize>,
    seen: usize,
    held: Vec<String>,
    files: usize,
}

impl Tail {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let (options, count) = line_count("tail", arguments)?;
        let count = count.unwrap_or("10".into());
        let from = count.strip_prefix('+').and_then(|from| from.parse().ok());
        let last = count.trim_start_matches(['+', '-']).parse().unwrap_or(10);
        let tool = Tail { last, from, seen: 0, held: Vec::new(), files: 0 };
        Ok(Filter { tool: Tool::Tail(tool), files: options.operands })
    }
    pub fn begin_file(&mut self, name: &str, several: bool, out: &mut Output) {
        (self.seen, self.held) = (0, Vec::new());
        if several {
            out.line(&format!("{}==> {name} <==", if self.files > 0 { "\n" } else { "" }));
        }
        self.files += 1;
    }
    pub fn line(&mut self, line: &str, out: &mut Output) {
        self.seen += 1;
        if let Some(from) = self.from {
            if self.seen >= from {
                out.line(line);
            }
            return;
        }
        self.held.push(line.to_string());
        // Cut only now and then, so that a long input costs one move a line.
        if self.held.len() > 2 * self.last + 1000 {
            self.held.drain(..self.held.len() - self.last);
        }
    }
    pub fn end_file(&mut self, out: &mut Output) {
        let start = self.held.len().saturating_sub(self.last);
        for line in self.held.drain(..).skip(start) {
            out.line(&line);
        }
    }
    pub fn finish(&mut self, out: &mut Output) {
        self.end_file(out);
    }
}

#[derive(Clone, Debug)]
pub struct WordCount {
    /// Lines, words, bytes (or characters).
    wanted: [bool; 3],
    characters: bool,
    current: [usize; 3],
    total: [usize; 3],
    rows: Vec<([usize; 3], String)>,
    name: Option<String>,
    dialect: Dialect,
}

impl WordCount {
    pub fn parse(arguments: &[String], dialect: Dialect) -> Result<Filter, UsageError> {
        let options = Options::read("wc", arguments, "lwcm", "")?;
        let mut wanted = [options.has('l'), options.has('w'), options.has('c') || options.has('m')];
        if wanted == [false; 3] {
            wanted = [true; 3];
        }
        let tool = WordCount {
            wanted,
            characters: options.has('m'),
            current: [0; 3],
            total: [0; 3],
            rows: Vec::new(),
            name: None,
            dialect,
        };
        Ok(Filter { tool: Tool::WordCount(tool), files: options.operands })
    }
    pub fn begin_file(&mut self, name: &str) {
        self.name = Some(name.to_string());
        self.current = [0; 3];
    }
    pub fn line(&mut self, line: &str, is_terminated: bool) {
        let length = if self.characters { line.chars().count() } else { line.len() };
        let counts = [
            usize::from(is_terminated),
            line.split_whitespace().count(),
            length + usize::from(is_terminated),
        ];
        for (sum, count) in self.current.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    pub fn end_file(&mut self, _out: &mut Output) {
        for (sum, count) in self.total.iter_mut().zip(self.current) {
            *sum += count;
        }
        self.rows.push((self.current, self.name.clone().unwrap_or_default()));
    }
    pub fn finish(&mut self, out: &mut Output) {
        let from_input = self.name.is_none();
        if from_input {
            self.end_file(out);
        }
        if self.rows.len() > 1 {
            self.rows.push((self.total, "total".into()));
        }
        let columns = self.wanted.iter().filter(|wanted| **wanted).count();
        let widest = self.total.iter().max().map_or(1, |largest| largest.to_string().len());
        let width = match (columns, from_input) {
            (1, _) if self.rows.len() == 1 => 0,
            _ if self.dialect.is_busybox() => 9,
            (_, true) => 7,
            _ => widest,
        };
        for (counts, name) in &self.rows {
            let cells: Vec<String> = counts
                .iter()
                .zip(self.wanted)
                .filter(|(_, wanted)| *wanted)
                .map(|(count, _)| format!("{count:>width$}"))
                .gather();
            let row = cells.join(" ");
            out.line(&if name.is_empty() { row } else { format!("{row} {name}") });
        }
    }
}

#[derive(Clone, Debug)]
pub struct Uniq {
    count: bool,
    only_repeated: bool,
    only_unique: bool,
    current: Option<(String, usize)>,
}

impl Uniq {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let options = Options::read("uniq", arguments, "cdui", "")?;
        let tool = Uniq {
            count: options.has('c'),
            only_repeated: options.has('d'),
            only_unique: options.has('u'),
            current: None,
        };
        Ok(Filter { tool: Tool::Uniq(tool), files: options.operands.into_iter().take(1).collect() })
    }
    pub fn line(&mut self, line: &str, out: &mut Output) {
        match &mut self.current {
            Some((current, count)) if current == line => *count += 1,
            _ => {
                self.flush(out);
                self.current = Some((line.to_string(), 1));
            }
        }
    }
    fn flush(&mut self, out: &mut Output) {
        let Some((line, count)) = self.current.take() else { return };
        if (self.only_repeated && count == 1) || (self.only_unique && count > 1) {
            return;
        }
        out.line(&if self.count { format!("{count:>7} {line}") } else { line });
    }
    pub fn finish(&mut self, out: &mut Output) {
        self.flush(out);
    }
}
