//! Regular expressions: POSIX's basic and extended kinds for `grep`, `sed` and `awk`, and Go's for the patterns of custom
//! resources' schemas.
//!
//! Picture to hold in mind: a maze runner who drops a pebble at each fork and goes back to the last one when
//! stuck. The runner carries a fixed number of pebbles: a maze that needs more counts as having no way out,
//! so that no pattern can hang the terminal.

use std::sync::Arc;

use crate::arrange::Arrange;

/// Forks that one search may take.
const BUDGET: usize = 200_000;
const MAXIMUM_DEPTH: usize = 60;
/// Of a pattern, in bytes.
const MAXIMUM_LENGTH: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
pub struct Regex {
    alternatives: Arc<Vec<Vec<Node>>>,
    groups: usize,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Syntax {
    Basic,
    Extended,
    /// Go's `regexp`: what Perl has, without what needs going back.
    Go,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Character(char),
    Any,
    /// Any but the end of a line.
    AnyInLine,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Start,
    End,
    WordBoundary(bool),
    Group(usize, Arc<Vec<Vec<Node>>>),
    Back(usize),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
}

/// Where a match and its groups lie, as positions of characters.
pub type Match = Vec<Option<(usize, usize)>>;

struct Reader {
    text: Vec<char>,
    position: usize,
    syntax: Syntax,
    groups: usize,
    depth: usize,
    ignore_case: bool,
}

impl Regex {
    /// `extended`: the `-E` kind. The error is in the C library's words.
    pub fn new(pattern: &str, extended: bool, ignore_case: bool) -> Result<Regex, &'static str> {
        let syntax = if extended { Syntax::Extended } else { Syntax::Basic };
        Regex::read(pattern, syntax, ignore_case)
    }
    /// Go's kind, to tell whether something matches: of several ways to match, the first is found, not the longest.
    pub fn go(pattern: &str) -> Result<Regex, &'static str> {
        Regex::read(pattern, Syntax::Go, false)
    }
    fn read(pattern: &str, syntax: Syntax, ignore_case: bool) -> Result<Regex, &'static str> {
        if pattern.len() > MAXIMUM_LENGTH {
            return Err("Regular expression too big");
        }
        let text = pattern.chars().collect();
        let mut reader = Reader { text, position: 0, syntax, groups: 0, depth: 0, ignore_case };
        let alternatives = reader.alternatives()?;
        if reader.position < reader.text.len() {
            return Err("Unmatched ) or \\)");
        }
        Ok(Regex {
            alternatives: Arc::new(alternatives),
            groups: reader.groups,
            ignore_case: reader.ignore_case,
        })
    }
    /// A pattern that means itself.
    pub fn literal(text: &str, ignore_case: bool) -> Regex {
        let nodes = text.chars().take(MAXIMUM_LENGTH).map(Node::Character).collect();
        Regex { alternatives: Arc::new(vec![nodes]), groups: 0, ignore_case }
    }
    pub fn is_match(&self, text: &[char]) -> bool {
        self.find(text, 0).is_some()
    }
    /// The first match at or behind `from`.
    pub fn find(&self, text: &[char], from: usize) -> Option<Match> {
        let mut runner = Runner { text, budget: BUDGET, ignore_case: self.ignore_case };
        for start in from..=text.len() {
            let mut groups = vec![None; self.groups + 1];
            let mut end = None;
            for alternative in self.alternatives.iter() {
                let mut trial = groups.clone();
                let found = runner.run(alternative, start, &mut trial, &mut |position, _, trial| {
                    trial[0] = Some((start, position));
                    true
                });
                if found {
                    groups = trial;
                    end = Some(());
                    break;
                }
            }
            if end.is_some() {
                return Some(groups);
            }
            if runner.budget == 0 {
                return None;
            }
        }
        None
    }
    /// Puts `replacement` (with `&`, `\1`) in the place of the first match, or of all.
    pub fn replace(&self, line: &str, replacement: &str, all: bool) -> Option<String> {
        let text: Vec<char> = line.chars().collect();
        let mut result = String::new();
        let (mut from, mut replaced) = (0, false);
        while from <= text.len() && (all || !replaced) {
            let Some(found) = self.find(&text, from) else { break };
            let Some((start, end)) = found[0] else { break };
            result.extend(&text[from..start]);
            let mut escaped = false;
            for character in replacement.chars() {
                let group = match character {
                    '\\' if !escaped => {
                        escaped = true;
                        continue;
                    }
                    '&' if !escaped => Some(0),
                    c if escaped => {
                        escaped = false;
                        match c.to_digit(10) {
                            Some(digit) => Some(digit as usize),
                            None => {
                                result.push(match c {
                                    'n' => '\n',
                                    't' => '\t',
                                    other => other,
                                });
                                None
                            }
                        }
                    }
                    c => {
                        result.push(c);
                        None
                    }
                };
                if let Some((start, end)) = group.and_then(|group| found.get(group).copied().flatten()) {
                    result.extend(&text[start..end]);
                }
            }
            replaced = true;
            from = end;
            if start == end {
                if let Some(character) = text.get(end) {
                    result.push(*character);
                }
                from += 1;
            }
        }
        if from < text.len() {
            result.extend(&text[from..]);
        }
        replaced.then_some(result)
    }
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
    fn alternatives(&mut self) -> Result<Vec<Vec<Node>>, &'static str> {
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
            other if other.is_alphanumeric() => return Err("invalid escape sequence"),
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

struct Runner<'a> {
    text: &'a [char],
    budget: usize,
    ignore_case: bool,
}

type Next<'n> = dyn FnMut(usize, &mut Runner, &mut Match) -> bool + 'n;

impl Runner<'_> {
    fn same(&self, a: char, b: char) -> bool {
        a == b || (self.ignore_case && a.eq_ignore_ascii_case(&b))
    }
    fn in_ranges(&self, ranges: &[(char, char)], character: char) -> bool {
        let within = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
        within(character)
            || (self.ignore_case
                && (within(character.to_ascii_lowercase()) || within(character.to_ascii_uppercase())))
    }
    fn is_word(&self, index: Option<usize>) -> bool {
        index.and_then(|index| self.text.get(index)).is_some_and(|c| c.is_alphanumeric() || *c == '_')
    }
    /// Matches `nodes` at `position`, then whatever `next` stands for.
    fn run(&mut self, nodes: &[Node], position: usize, groups: &mut Match, next: &mut Next) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let Some((node, rest)) = nodes.split_first() else { return next(position, self, groups) };
        let here = self.text.get(position).copied();
        match node {
            Node::Character(wanted) => {
                here.is_some_and(|c| self.same(c, *wanted)) && self.run(rest, position + 1, groups, next)
            }
            Node::AnyInLine => here.is_some_and(|c| c != '\n') && self.run(rest, position + 1, groups, next),
            Node::Any => here.is_some() && self.run(rest, position + 1, groups, next),
            Node::Set { negated, ranges } => {
                here.is_some_and(|c| self.in_ranges(ranges, c) != *negated)
                    && self.run(rest, position + 1, groups, next)
            }
            Node::Start => position == 0 && self.run(rest, position, groups, next),
            Node::End => position == self.text.len() && self.run(rest, position, groups, next),
            Node::WordBoundary(wanted) => {
                let boundary = self.is_word(position.checked_sub(1)) != self.is_word(Some(position));
                boundary == *wanted && self.run(rest, position, groups, next)
            }
            Node::Back(index) => {
                let Some((start, end)) = groups.get(*index).copied().flatten() else { return false };
                let length = end - start;
                let fits = position + length <= self.text.len()
                    && self.text[start..end] == self.text[position..position + length];
                fits && self.run(rest, position + length, groups, next)
            }
            Node::Group(index, alternatives) => {
                for alternative in alternatives.iter() {
                    let before = groups.clone();
                    let matched = self.run(alternative, position, groups, &mut |end, runner, groups| {
                        let outer = groups[*index].replace((position, end));
                        if runner.run(rest, end, groups, next) {
                            return true;
                        }
                        groups[*index] = outer;
                        false
                    });
                    if matched {
                        return true;
                    }
                    *groups = before;
                }
                false
            }
            Node::Repeat { node, least, most } => {
                self.repeat((node, *least, *most), 0, rest, position, groups, next)
            }
        }
    }
    fn repeat(
        &mut self,
        (node, least, most): (&Node, u32, Option<u32>),
        done: u32,
        rest: &[Node],
        position: usize,
        groups: &mut Match,
        next: &mut Next,
    ) -> bool {
        // One-character nodes, by far the most, are counted in a loop instead of by recursion.
        if !matches!(node, Node::Group(..) | Node::Back(_) | Node::Repeat { .. }) {
            let most = most.map_or(usize::MAX, |most| most as usize);
            let mut count = 0;
            while count < most && position + count < self.text.len() {
                let mut end = None;
                self.run(std::slice::from_ref(node), position + count, groups, &mut |position, _, _| {
                    end = Some(position);
                    true
                });
                if end != Some(position + count + 1) {
                    break;
                }
                count += 1;
            }
            loop {
                if count < least as usize {
                    return false;
                }
                if self.run(rest, position + count, groups, next) {
                    return true;
                }
                if count == 0 {
                    return false;
                }
                count -= 1;
            }
        }
        if most.is_none_or(|most| done < most) && done < 500 {
            let more = self.run(std::slice::from_ref(node), position, groups, &mut |end, runner, groups| {
                end > position && runner.repeat((node, least, most), done + 1, rest, end, groups, next)
            });
            if more {
                return true;
            }
        }
        done >= least && self.run(rest, position, groups, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_posix_finds() {
        for (pattern, extended, text, expected) in [
            ("web-[0-9]*", false, "pod web-12 x", Some("web-12")),
            ("a+", true, "baaa", Some("aaa")),
            ("a+", false, "ba+", Some("a+")),
            ("a\\+", false, "baaa", Some("aaa")),
            ("^(a|b)*c$", true, "abac", Some("abac")),
            ("(ab){2}", true, "xababab", Some("abab")),
            ("[^ ]+$", true, "one two", Some("two")),
            ("\\bcat\\b", true, "concat cat", Some("cat")),
            ("(a)\\1", true, "baab", Some("aa")),
            ("[[:digit:]]+", true, "v1.36", Some("1")),
            ("x|y", true, "zzy", Some("y")),
            ("z\\|y", false, "xyz", Some("y")),
            ("", true, "abc", Some("")),
            ("q", true, "abc", None),
        ] {
            let characters: Vec<char> = text.chars().collect();
            let found = Regex::new(pattern, extended, false).unwrap().find(&characters, 0);
            let found = found.map(|found| {
                let (start, end) = found[0].unwrap();
                characters[start..end].iter().collect::<String>()
            });
            assert_eq!(found.as_deref(), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn gos_kind_matches_as_go_does() {
        for (pattern, text, expected) in [
            (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-1", true),
            (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-", false),
            (r"^\d{3}-\d{4}$", "555-1234", true),
            (r"^(?:https?)://[^\s/]+", "https://a.b/c", true),
            (r"^(?:https?)://[^\s/]+", "ftp://a.b", false),
            (r"(?i)^RED$", "red", true),
            (r"^[\w.-]+$", "a_b.c-d", true),
            (r"^[^\W]+$", "a-b", false),
            (r"^\S+?$", "ab c", false),
            (r"a{,2}", "a{,2}", true),
            (r"^a.b$", "a\nb", false),
            (r"^(?P<year>\d{4})$", "2026", true),
            (r"^\x41[\x{42}-C]$", "AC", true),
            ("", "anything", true),
        ] {
            let characters: Vec<char> = text.chars().collect();
            assert_eq!(Regex::go(pattern).unwrap().is_match(&characters), expected, "{pattern} on {text}");
        }
        for pattern in ["(", "[a", "(?=a)", "(?<!a)", r"\q", r"\1"] {
            assert!(Regex::go(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn replaces_with_groups() {
        let regex = Regex::new("([a-z]+)-([0-9]+)", true, false).unwrap();
        assert_eq!(regex.replace("web-1 db-2", "\\2:\\1 [&]", true).unwrap(), "1:web [web-1] 2:db [db-2]");
        assert_eq!(Regex::new("x*", true, false).unwrap().replace("ab", "-", true).unwrap(), "-a-b-");
    }

    #[test]
    fn a_bad_or_evil_pattern_ends() {
        assert!(Regex::new("(", true, false).is_err());
        assert!(Regex::new("[a", true, false).is_err());
        assert!(Regex::new(&"(".repeat(10_000), true, false).is_err());
        let evil = Regex::new("(a*)*(a*)*(a*)*b", true, false).unwrap();
        let text: Vec<char> = "a".repeat(200).chars().collect();
        assert!(!evil.is_match(&text));
    }
}
