//! `cut` and `tr`: tools about fields and letters.
//!
//! Picture to hold in mind: scissors and a stencil.

use super::{Filter, Options, Output, Tool, UsageError};

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
