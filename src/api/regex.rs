//! Regular expressions: POSIX's basic and extended kinds for `grep`, `sed` and `awk`, and Go's for the patterns of custom
//! resources' schemas.
//!
//! Picture to hold in mind: a maze runner who drops a pebble at each fork and goes back to the last one when
//! stuck. The runner carries a fixed number of pebbles: a maze that needs more counts as having no way out,
//! so that no pattern can hang the terminal.

mod read;

use std::sync::Arc;

use read::Reader;

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

impl Regex {
    /// `extended`: the `-E` kind. The error is in the C library's words.
    pub fn new(pattern: &str, extended: bool, ignore_case: bool) -> Result<Regex, &'static str> {
        let syntax = if extended { Syntax::Extended } else { Syntax::Basic };
        Regex::read(pattern, syntax, ignore_case)
    }
    /// Go's kind, to tell whether something matches: of several ways to match, the first is found, not the longest.
    /// The error is in Go's words.
    pub fn go(pattern: &str) -> Result<Regex, &'static str> {
        Regex::read(pattern, Syntax::Go, false).map_err(|error| match error {
            "Unmatched ( or \\(" => "missing closing )",
            "Unmatched ) or \\)" => "unexpected )",
            "Unmatched [, [^, [:, [., or [=" => "missing closing ]",
            "Invalid range end" | "Invalid character class name" => "invalid character class range",
            "Trailing backslash" => "trailing backslash at end of expression",
            "Invalid content of \\{\\}" => "invalid repeat count",
            "Regular expression too big" => "expression too large",
            other => other,
        })
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
    /// The texts of the first match and of its groups; of a group that took no part none.
    pub fn groups(&self, text: &str) -> Option<Vec<String>> {
        let text: Vec<char> = text.chars().collect();
        let of = |place: &Option<(usize, usize)>| {
            place.map_or(String::new(), |(from, to)| text[from..to].iter().collect())
        };
        Some(self.find(&text, 0)?.iter().map(of).collect())
    }
    /// The first match at or behind `from`.
    pub fn find(&self, text: &[char], from: usize) -> Option<Match> {
        self.find_and_count(text, from).1
    }
    /// The same, and how many forks it took.
    pub fn find_and_count(&self, text: &[char], from: usize) -> (usize, Option<Match>) {
        let mut runner = Runner { text, budget: BUDGET, ignore_case: self.ignore_case };
        let found = self.search(&mut runner, from);
        (BUDGET - runner.budget, found)
    }
    fn search(&self, runner: &mut Runner, from: usize) -> Option<Match> {
        let text = runner.text;
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
        index.and_then(|index| self.text.get(index)).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
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
        for pattern in ["(", "[a", "*a", "a|+", "(?=a)", "(?<!a)", r"\q", r"\1"] {
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
