//! Reading a pattern.
//!
//! Picture to hold in mind: somebody who reads a score aloud, sign by sign, and knows three notations.

use std::sync::Arc;

use crate::arrange::Arrange;

use super::{MAXIMUM_DEPTH, Node, Syntax};

pub(super) struct Reader {
    pub text: Vec<char>,
    pub position: usize,
    pub syntax: Syntax,
    pub groups: usize,
    pub depth: usize,
    pub ignore_case: bool,
}

impl Reader {
    fn is_extended(&self) -> bool {
        self.syntax != Syntax::Basic
    }
    fn peek(&self) -> Option<char> {
        self.text.get(self.position).copied()
    }
    /// Takes `text` if it stands here.
    fn takes(&mut self, text: &str) -> bool {
        let found = text.chars().zip(self.text.iter().skip(self.position)).all(|(a, b)| a == *b)
            && self.text.len() - self.position >= text.len();
        if found {
            self.position += text.len();
        }
        found
    }
    /// Takes a sign that is bare in extended patterns and escaped in basic ones.
    fn sign(&mut self, sign: char) -> bool {
        if self.is_extended() && self.peek() == Some(sign) {
            self.position += 1;
            return true;
        }
        if !self.is_extended() && self.peek() == Some('\\') && self.text.get(self.position + 1) == Some(&sign)
        {
            self.position += 2;
            return true;
        }
        false
    }
    fn at_sign(&mut self, sign: char) -> bool {
        let position = self.position;
        let found = self.sign(sign);
        self.position = position;
        found
    }
    pub fn alternatives(&mut self) -> Result<Vec<Vec<Node>>, &'static str> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("Regular expression too big");
        }
        let mut all = vec![self.sequence()?];
        while self.sign('|') {
            all.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(all)
    }
    fn sequence(&mut self) -> Result<Vec<Node>, &'static str> {
        let mut nodes: Vec<Node> = Vec::new();
        loop {
            if self.peek().is_none() || self.at_sign('|') || (self.depth > 1 && self.at_sign(')')) {
                return Ok(nodes);
            }
            if self.is_extended() && self.depth == 1 && self.peek() == Some(')') {
                return Ok(nodes);
            }
            let at_start = nodes.is_empty() || nodes == [Node::Start];
            let node = self.one(at_start)?;
            nodes.push(node);
            while let Some((least, most)) = self.repetition()? {
                // Which of several matches is found makes no difference to whether there is one.
                if self.syntax == Syntax::Go {
                    self.takes("?");
                }
                if let Some(node) = nodes.pop() {
                    nodes.push(Node::Repeat { node: Box::new(node), least, most });
                }
            }
        }
    }
    fn repetition(&mut self) -> Result<Option<(u32, Option<u32>)>, &'static str> {
        if self.peek() == Some('*') {
            self.position += 1;
            return Ok(Some((0, None)));
        }
        if self.sign('+') {
            return Ok(Some((1, None)));
        }
        if self.sign('?') {
            return Ok(Some((0, Some(1))));
        }
        let begin = self.position;
        if !self.sign('{') {
            return Ok(None);
        }
        let least = self.number().unwrap_or(0);
        let most = if self.peek() == Some(',') {
            self.position += 1;
            self.number()
        } else {
            Some(least)
        };
        if !self.sign('}') {
            if self.syntax == Syntax::Go {
                self.position = begin;
                return Ok(None);
            }
            return Err("Unmatched { or \\{");
        }
        if most.is_some_and(|most| most < least) || least > 1000 {
            return Err("Invalid content of \\{\\}");
        }
        Ok(Some((least, most)))
    }
    fn number(&mut self) -> Option<u32> {
        let mut number: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            self.position += 1;
        }
        number
    }
    fn one(&mut self, at_start: bool) -> Result<Node, &'static str> {
        if self.sign('(') {
            if self.syntax == Syntax::Go && self.takes("?") && !self.takes(":") {
                if self.takes("P<") || (self.takes("<") && !matches!(self.peek(), Some('=' | '!'))) {
                    while self.peek().ok_or("missing closing )")? != '>' {
                        self.position += 1;
                    }
                    self.position += 1;
                } else if self.takes("i)") {
                    self.ignore_case = true;
                    return Ok(Node::Group(0, Arc::new(vec![Vec::new()])));
                } else {
                    return Err("invalid or unsupported Perl syntax");
                }
            }
            self.groups += 1;
            let index = self.groups;
            let inner = self.alternatives()?;
            if !self.sign(')') {
                return Err("Unmatched ( or \\(");
            }
            return Ok(Node::Group(index, Arc::new(inner)));
        }
        let character = self.peek().unwrap_or('\0');
        self.position += 1;
        Ok(match character {
            '*' | '+' | '?' if self.syntax == Syntax::Go => {
                return Err("missing argument to repetition operator");
            }
            '.' if self.syntax == Syntax::Go => Node::AnyInLine,
            '.' => Node::Any,
            '^' if self.is_extended() || at_start => Node::Start,
            '$' if self.is_extended() || self.peek().is_none() || self.at_sign(')') || self.at_sign('|') => {
                Node::End
            }
            '[' => self.set()?,
            '\\' => {
                let escaped = self.peek().ok_or("Trailing backslash")?;
                self.position += 1;
                if self.syntax == Syntax::Go {
                    return self.escape(escaped);
                }
                match escaped {
                    'd' => Node::Set { negated: false, ranges: vec![('0', '9')] },
                    'w' => Node::Set { negated: false, ranges: word_ranges() },
                    'W' => Node::Set { negated: true, ranges: word_ranges() },
                    's' => Node::Set { negated: false, ranges: vec![(' ', ' '), ('\t', '\r')] },
                    'S' => Node::Set { negated: true, ranges: vec![(' ', ' '), ('\t', '\r')] },
                    'b' => Node::WordBoundary(true),
                    'B' => Node::WordBoundary(false),
                    '<' | '>' => Node::WordBoundary(true),
                    'n' => Node::Character('\n'),
                    't' => Node::Character('\t'),
                    digit @ '1'..='9' => Node::Back(digit as usize - '0' as usize),
                    other => Node::Character(other),
                }
            }
            other => Node::Character(other),
        })
    }
    /// What follows a backslash in Go's kind.
    fn escape(&mut self, escaped: char) -> Result<Node, &'static str> {
        if let Some((negated, ranges)) = perl_class(escaped) {
            return Ok(Node::Set { negated, ranges });
        }
        Ok(match escaped {
            'b' => Node::WordBoundary(true),
            'B' => Node::WordBoundary(false),
            'A' => Node::Start,
            'z' => Node::End,
            _ => Node::Character(self.escaped_character(escaped)?),
        })
    }
    fn escaped_character(&mut self, escaped: char) -> Result<char, &'static str> {
        Ok(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'x' => {
                let braced = self.takes("{");
                let mut code = 0;
                let mut digits = 0;
                while let Some(digit) = self.peek().and_then(|c| c.to_digit(16))
                    && (braced || digits < 2)
                {
                    code = code * 16 + digit;
                    digits += 1;
                    self.position += 1;
                    if digits > 6 {
                        return Err("invalid escape sequence");
                    }
                }
                if digits == 0 || (braced && !self.takes("}")) {
                    return Err("invalid escape sequence");
                }
                char::from_u32(code).ok_or("invalid escape sequence")?
            }
            other if other.is_ascii_alphanumeric() => return Err("invalid escape sequence"),
            other => other,
        })
    }
    fn set(&mut self) -> Result<Node, &'static str> {
        let negated = self.peek() == Some('^');
        self.position += usize::from(negated);
        let mut ranges = Vec::new();
        let first = self.position;
        loop {
            let low = self.peek().ok_or("Unmatched [, [^, [:, [., or [=")?;
            if low == ']' && self.position > first {
                self.position += 1;
                return Ok(Node::Set { negated, ranges });
            }
            let rest: String = self.text[self.position..].iter().take(12).collect();
            if let Some(name) = rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
                let name = name.0;
                self.position += name.len() + 4;
                ranges.extend(match name {
                    "alpha" => vec![('a', 'z'), ('A', 'Z')],
                    "digit" => vec![('0', '9')],
                    "alnum" => vec![('a', 'z'), ('A', 'Z'), ('0', '9')],
                    "lower" => vec![('a', 'z')],
                    "upper" => vec![('A', 'Z')],
                    "space" | "blank" => vec![(' ', ' '), ('\t', '\r')],
                    "punct" => vec![('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
                    "xdigit" => vec![('0', '9'), ('a', 'f'), ('A', 'F')],
                    _ => return Err("Invalid character class name"),
                });
                continue;
            }
            self.position += 1;
            let mut low = low;
            if low == '\\' && self.syntax == Syntax::Go {
                let escaped = self.peek().ok_or("missing closing ]")?;
                self.position += 1;
                if let Some((negated, more)) = perl_class(escaped) {
                    ranges.extend(if negated { all_but(&more) } else { more });
                    continue;
                }
                low = self.escaped_character(escaped)?;
            }
            let next = (self.peek(), self.text.get(self.position + 1).copied());
            if let (Some('-'), Some(high)) = next
                && high != ']'
            {
                self.position += 2;
                let mut high = high;
                if high == '\\' && self.syntax == Syntax::Go {
                    let escaped = self.peek().ok_or("missing closing ]")?;
                    self.position += 1;
                    high = self.escaped_character(escaped)?;
                }
                if high < low {
                    return Err("Invalid range end");
                }
                ranges.push((low, high));
            } else {
                ranges.push((low, low));
            }
        }
    }
}

/// `\d`, `\W` and their like: whether it is what is left, and of what.
fn perl_class(letter: char) -> Option<(bool, Vec<(char, char)>)> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => vec![('0', '9')],
        'w' => word_ranges(),
        's' => vec![('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')],
        _ => return None,
    };
    Some((letter.is_ascii_uppercase(), ranges))
}

/// What lies between sorted ranges.
fn all_but(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let step = |c: char, by: i64| u32::try_from(i64::from(u32::from(c)) + by).ok().and_then(char::from_u32);
    let mut sorted = ranges.to_vec();
    sorted.arrange();
    let mut gaps = Vec::new();
    let mut from = Some('\0');
    for (low, high) in sorted {
        if let (Some(begin), Some(end)) = (from, step(low, -1))
            && begin <= end
        {
            gaps.push((begin, end));
        }
        from = step(high, 1);
    }
    gaps.extend(from.map(|begin| (begin, char::MAX)));
    gaps
}

fn word_ranges() -> Vec<(char, char)> {
    vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')]
}
