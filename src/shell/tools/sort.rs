//! `sort`, with keys, numbers and units.
//!
//! Picture to hold in mind: a card index that is put in order by one corner of the cards.

use std::cmp::Ordering;

use super::{Filter, Options, Output, Tool, UsageError};
use crate::arrange::{Arrange, Gather};

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
                    .gather()
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
            return a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase());
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
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).take(3).gather())
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
