//! `grep`, `head`, `tail`, `wc`, `sort`, `uniq`, `cut`, `tr`, as GNU's print.
//!
//! Picture to hold in mind: one drawer a tool. See [`super`].

use crate::arrange::Arrange;

use std::cmp::Ordering;

use super::{Filter, Options, Output, Tool, UsageError};
use crate::api::regex::Regex;

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
        let mut options = Options::read(name, &arguments, "EFGPvicnowxqlhHsr", "emABC")?;
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
        let text: Vec<char> = line.chars().collect();
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
        if self.count > 0 || (self.only_count && self.name.is_none()) {
            self.end_file(out);
        }
    }
    pub fn code(&self) -> i32 {
        i32::from(self.total + self.count == 0)
    }
}

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
}

impl WordCount {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
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
            (_, true) => 7,
            _ => widest,
        };
        for (counts, name) in &self.rows {
            let cells: Vec<String> = counts
                .iter()
                .zip(self.wanted)
                .filter(|(_, wanted)| *wanted)
                .map(|(count, _)| format!("{count:>width$}"))
                .collect();
            let row = cells.join(" ");
            out.line(&if name.is_empty() { row } else { format!("{row} {name}") });
        }
    }
}

#[derive(Clone, Debug)]
pub struct Sort {
    pub lines: Vec<String>,
    reverse: bool,
    numeric: bool,
    human: bool,
    fold: bool,
    unique: bool,
    check: bool,
    /// First and last field, from 1; numeric and reverse of its own.
    keys: Vec<(usize, Option<usize>, bool, bool)>,
    separator: Option<char>,
    disordered: bool,
}

impl Sort {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let options = Options::read("sort", arguments, "rnhfucbVgs", "kto")?;
        let mut keys = Vec::new();
        for key in options.all_values('k') {
            let (start, end) = key.split_once(',').map_or((key, None), |(start, end)| (start, Some(end)));
            let digits = |text: &str| {
                text.trim_end_matches(|c: char| c.is_ascii_alphabetic())
                    .split('.')
                    .next()
                    .unwrap_or("")
                    .parse::<usize>()
            };
            let first = digits(start).ok().filter(|first| *first > 0).ok_or((
                format!("sort: invalid number at field start: invalid count at start of '{key}'\n"),
                2,
            ))?;
            let flags = key.chars().filter(|c| c.is_ascii_alphabetic()).collect::<String>();
            let last = end.and_then(|end| digits(end).ok());
            keys.push((first, last, flags.contains(['n', 'g', 'h']), flags.contains('r')));
        }
        let tool = Sort {
            lines: Vec::new(),
            reverse: options.has('r'),
            numeric: options.has('n') || options.has('g') || options.has('V'),
            human: options.has('h'),
            fold: options.has('f'),
            unique: options.has('u'),
            check: options.has('c'),
            keys,
            separator: options.value('t').and_then(|separator| separator.chars().next()),
            disordered: false,
        };
        Ok(Filter { tool: Tool::Sort(tool), files: options.operands })
    }
    fn key<'l>(&self, line: &'l str, first: usize, last: Option<usize>) -> &'l str {
        let starts: Vec<(usize, usize)> = match self.separator {
            Some(separator) => {
                let mut at = 0;
                line.split(separator)
                    .map(|field| {
                        let span = (at, at + field.len());
                        at = span.1 + separator.len_utf8();
                        span
                    })
                    .collect()
            }
            None => {
                let mut spans = Vec::new();
                let mut rest = 0;
                while rest < line.len() {
                    let text = &line[rest..];
                    let word = text.len() - text.trim_start().len();
                    let end = text[word..].find(char::is_whitespace).map_or(text.len(), |end| word + end);
                    spans.push((rest, rest + end));
                    rest += end;
                }
                spans
            }
        };
        let Some(&(start, _)) = starts.get(first - 1) else { return "" };
        let end = match last {
            Some(last) => starts.get(last.max(1) - 1).map_or(line.len(), |(_, end)| *end),
            None => line.len(),
        };
        line.get(start..end.max(start)).unwrap_or("")
    }
    fn compare_text(&self, a: &str, b: &str, numeric: bool) -> Ordering {
        if self.human {
            return human(a).cmp(&human(b));
        }
        if numeric {
            return number(a).cmp(&number(b));
        }
        if self.fold {
            return a.to_uppercase().cmp(&b.to_uppercase());
        }
        a.cmp(b)
    }
    fn compare_keys(&self, a: &str, b: &str) -> Ordering {
        if self.keys.is_empty() {
            let order = self.compare_text(a, b, self.numeric);
            return if self.reverse { order.reverse() } else { order };
        }
        for (first, last, numeric, reverse) in &self.keys {
            let (x, y) = (self.key(a, *first, *last), self.key(b, *first, *last));
            let order = self.compare_text(x, y, *numeric || self.numeric);
            let order = if *reverse || self.reverse { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
    pub fn finish(&mut self, out: &mut Output) {
        let mut lines = std::mem::take(&mut self.lines);
        if self.check {
            self.disordered = lines.windows(2).any(|pair| self.compare_keys(&pair[0], &pair[1]).is_gt());
            return;
        }
        lines.arrange_by(|a, b| {
            self.compare_keys(a, b).then_with(|| {
                let order = if self.unique { Ordering::Equal } else { a.cmp(b) };
                if self.reverse { order.reverse() } else { order }
            })
        });
        if self.unique {
            lines.dedup_by(|a, b| self.compare_keys(a, b).is_eq());
        }
        for line in lines {
            out.line(&line);
        }
    }
    pub fn code(&self) -> i32 {
        i32::from(self.disordered)
    }
}

/// The number at the start of a text in thousandths; other text counts as 0.
fn number(text: &str) -> i64 {
    let text = text.trim_start();
    let negative = text.starts_with('-');
    let text = text.trim_start_matches('-');
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole: i64 = text[..end].parse().unwrap_or(0);
    let fraction: String = text[end..]
        .strip_prefix('.')
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).take(3).collect())
        .unwrap_or_default();
    let thousandths: i64 = format!("{fraction:0<3}").parse().unwrap_or(0);
    let value = whole.saturating_mul(1000).saturating_add(thousandths);
    if negative { -value } else { value }
}
/// Numbers with K, M, G: the unit first, then the number.
fn human(text: &str) -> (usize, i64) {
    let unit = text
        .trim()
        .trim_end_matches(['i', 'B'])
        .chars()
        .last()
        .map_or(0, |c| "KMGTPE".find(c.to_ascii_uppercase()).map_or(0, |index| index + 1));
    (unit, number(text))
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

#[derive(Clone, Debug)]
pub struct Cut {
    delimiter: char,
    by_field: bool,
    ranges: Vec<(usize, usize)>,
    only_delimited: bool,
}

impl Cut {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let options = Options::read("cut", arguments, "s", "dfcb")?;
        let list = options.value('f').or(options.value('c')).or(options.value('b')).ok_or((
            "cut: you must specify a list of bytes, characters, or fields\nTry 'cut --help' for more information.\n".to_string(),
            1,
        ))?;
        let mut ranges = Vec::new();
        for part in list.split(',') {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let low = if low.is_empty() { Ok(1) } else { low.parse() };
            let high = if high.is_empty() { Ok(usize::MAX) } else { high.parse() };
            match (low, high) {
                (Ok(low), Ok(high)) if low > 0 => ranges.push((low, high)),
                _ => return Err((format!("cut: invalid field value '{part}'\n"), 1)),
            }
        }
        let tool = Cut {
            delimiter: options.value('d').and_then(|text| text.chars().next()).unwrap_or('\t'),
            by_field: options.value('f').is_some(),
            ranges,
            only_delimited: options.has('s'),
        };
        Ok(Filter { tool: Tool::Cut(tool), files: options.operands })
    }
    pub fn line(&mut self, line: &str, out: &mut Output) {
        let wanted =
            |index: usize| self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&(index + 1)));
        if !self.by_field {
            let text: String =
                line.chars().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, c)| c).collect();
            out.line(&text);
            return;
        }
        if !line.contains(self.delimiter) {
            if !self.only_delimited {
                out.line(line);
            }
            return;
        }
        let fields: Vec<&str> = line
            .split(self.delimiter)
            .enumerate()
            .filter(|(index, _)| wanted(*index))
            .map(|(_, field)| field)
            .collect();
        out.line(&fields.join(&self.delimiter.to_string()));
    }
}

#[derive(Clone, Debug)]
pub struct Translate {
    from: Vec<char>,
    to: Vec<char>,
    delete: bool,
    squeeze: bool,
    complement: bool,
    last: Option<char>,
}

impl Translate {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let options = Options::read("tr", arguments, "dscC", "")?;
        let mut sets = options.operands.iter().map(|set| character_set(set));
        let from = sets.next().ok_or(("tr: missing operand\n".to_string(), 1))?;
        let tool = Translate {
            from,
            to: sets.next().unwrap_or_default(),
            delete: options.has('d'),
            squeeze: options.has('s'),
            complement: options.has('c') || options.has('C'),
            last: None,
        };
        Ok(Filter { tool: Tool::Translate(tool), files: Vec::new() })
    }
    pub fn line(&mut self, line: &str, is_terminated: bool, out: &mut Output) {
        for character in line.chars().chain(is_terminated.then_some('\n')) {
            let position = self.from.iter().position(|c| *c == character);
            let in_set = position.is_some() != self.complement;
            if in_set && self.delete {
                continue;
            }
            let translated = match (in_set, self.to.last()) {
                (true, Some(last)) => {
                    let index = position.unwrap_or(usize::MAX);
                    self.to.get(index).copied().unwrap_or(*last)
                }
                _ => character,
            };
            if self.squeeze && in_set && self.last == Some(translated) {
                continue;
            }
            self.last = Some(translated);
            out.stdout.push(translated);
        }
    }
}

fn character_set(set: &str) -> Vec<char> {
    let named = [("[:upper:]", 'A'..='Z'), ("[:lower:]", 'a'..='z'), ("[:digit:]", '0'..='9')];
    if let Some((_, range)) = named.iter().find(|(name, _)| *name == set) {
        return range.clone().collect();
    }
    match set {
        "[:space:]" => return vec![' ', '\t', '\n', '\r'],
        "[:alpha:]" => return ('A'..='Z').chain('a'..='z').collect(),
        "[:alnum:]" => return ('0'..='9').chain('A'..='Z').chain('a'..='z').collect(),
        _ => {}
    }
    let mut characters = Vec::new();
    let mut source = set.chars().peekable();
    while let Some(character) = source.next() {
        characters.push(match character {
            '\\' => match source.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            '-' if !characters.is_empty() && source.peek().is_some() => {
                let low = characters.last().copied().unwrap_or('-');
                let high = source.next().unwrap_or('-');
                if (low..=high).count() <= 0x300 {
                    characters.extend((low..=high).skip(1));
                }
                continue;
            }
            other => other,
        });
    }
    characters
}
