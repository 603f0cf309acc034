//! What stands for something else: `$NAME`, `$(command)`, `$((1+1))`, `*.conf`.
//!
//! Picture to hold in mind: a form letter whose blanks are filled in, and then cut at the blanks that came out
//! of unquoted fillings.

use crate::api::Text;

use super::super::files::normalize;
use super::lexer::{Part, Word};
use super::machine::{Machine, Surroundings};

/// A piece of an expanded word: text that may be split and globbed, or may not.
struct Piece {
    text: String,
    is_quoted: bool,
}

impl Machine {
    /// The fields that `words` become.
    pub(super) fn fields(&mut self, words: &[Word], surroundings: &mut Surroundings) -> Vec<Text> {
        let mut fields = Vec::new();
        for word in words {
            // The usual case, without copies.
            if let [Part::Literal { text, is_quoted }] = word.as_slice()
                && (*is_quoted || !text.contains(['*', '?', '[', '~', '{']))
            {
                fields.push(text.clone());
                continue;
            }
            self.fields_of(word, surroundings, &mut fields);
        }
        fields
    }

    fn fields_of(&mut self, word: &Word, surroundings: &mut Surroundings, fields: &mut Vec<Text>) {
        // "$@" is as many fields as there are arguments.
        if let [Part::Variable { name, is_quoted: true, .. }, rest @ ..] = word.as_slice()
            && name == "@"
            && rest.iter().all(|part| matches!(part, Part::Literal { text, .. } if text.is_empty()))
        {
            fields.extend(self.arguments.iter().skip(1).cloned());
            return;
        }
        let pieces = self.pieces(word, surroundings);
        let mut current: Option<(String, bool)> = None;
        let mut out: Vec<(String, bool)> = Vec::new();
        for piece in pieces {
            if piece.is_quoted {
                current.get_or_insert_default().0.push_str(&piece.text);
                continue;
            }
            for (index, part) in piece.text.split([' ', '\t', '\n']).enumerate() {
                if index > 0 {
                    out.extend(current.take());
                }
                if !part.is_empty() {
                    let field = current.get_or_insert_default();
                    field.0.push_str(part);
                    field.1 |= part.contains(['*', '?', '[']);
                }
            }
        }
        out.extend(current);
        for (field, is_pattern) in out {
            let matches = if is_pattern { self.glob(&field, surroundings) } else { Vec::new() };
            if matches.is_empty() {
                fields.push(field.into());
            } else {
                fields.extend(matches);
            }
        }
    }

    /// The word as one text, neither split nor globbed: assignments, redirections, `case`.
    pub(super) fn text_of(&mut self, word: &Word, surroundings: &mut Surroundings) -> String {
        self.pieces(word, surroundings).into_iter().map(|piece| piece.text).collect()
    }

    fn pieces(&mut self, word: &Word, surroundings: &mut Surroundings) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, part) in word.iter().enumerate() {
            match part {
                Part::Literal { text, is_quoted } => {
                    let text = match text.strip_prefix('~') {
                        Some(rest)
                            if index == 0 && !is_quoted && (rest.is_empty() || rest.starts_with('/')) =>
                        {
                            format!("/root{rest}")
                        }
                        _ => text.to_string(),
                    };
                    // What the script itself spells out is never split, only globbed.
                    if *is_quoted || !text.contains(['*', '?', '[']) {
                        pieces.push(Piece { text, is_quoted: true });
                    } else {
                        pieces.push(Piece { text, is_quoted: false });
                    }
                }
                Part::Variable { name, operator, word, is_quoted } => {
                    let text = self.variable(name, operator, word, surroundings);
                    pieces.push(Piece { text, is_quoted: *is_quoted });
                }
                Part::Command { script, is_quoted } => {
                    let text = self.substitute(script, surroundings);
                    pieces.push(Piece { text, is_quoted: *is_quoted });
                }
                Part::Arithmetic { expression } => {
                    let text = self.arithmetic(expression);
                    pieces.push(Piece { text, is_quoted: false });
                }
            }
        }
        pieces
    }

    pub(super) fn lookup(&self, name: &str) -> Option<Text> {
        match name {
            "?" => Some(self.status.to_string().into()),
            "#" => Some(self.arguments.len().saturating_sub(1).to_string().into()),
            "$" => Some("1".into()),
            "@" | "*" => {
                let arguments: Vec<&str> = self.arguments.iter().skip(1).map(Text::as_str).collect();
                Some(arguments.join(" ").into())
            }
            _ => match name.parse::<usize>() {
                Ok(position) => self.arguments.get(position).cloned(),
                Err(_) => match self.variables.get(name) {
                    None if name == "PWD" => Some(self.directory.clone()),
                    found => found.cloned(),
                },
            },
        }
    }

    fn variable(
        &mut self,
        name: &Text,
        operator: &str,
        word: &Word,
        surroundings: &mut Surroundings,
    ) -> String {
        let value = self.lookup(name);
        let is_set = match operator {
            ":-" | ":=" | ":+" | ":?" => value.as_ref().is_some_and(|value| !value.is_empty()),
            _ => value.is_some(),
        };
        let value = value.unwrap_or_default();
        match operator {
            "" => value.to_string(),
            ":-" | "-" if !is_set => self.text_of(word, surroundings),
            ":=" | "=" if !is_set => {
                let text = self.text_of(word, surroundings);
                self.set_variable(name.clone(), text.as_str().into());
                text
            }
            ":+" | "+" => {
                if is_set {
                    self.text_of(word, surroundings)
                } else {
                    String::new()
                }
            }
            "#" if word.is_empty() => value.chars().count().to_string(),
            "#" | "##" | "%" | "%%" => {
                let pattern = self.text_of(word, surroundings);
                strip(&value, &pattern, operator).to_string()
            }
            _ => value.to_string(),
        }
    }

    /// A script inside of a script runs at once: its sleeps take no time.
    fn substitute(&mut self, script: &str, surroundings: &mut Surroundings) -> String {
        match super::compile(script) {
            Ok(code) => {
                let mut inner = self.child(code);
                let text = inner.run_at_once(surroundings);
                self.status = inner.status;
                text.trim_end_matches('\n').to_string()
            }
            Err(_) => {
                self.status = 2;
                String::new()
            }
        }
    }

    pub(super) fn arithmetic(&mut self, expression: &str) -> String {
        // Longer ones do not occur; the limit keeps nested parentheses from exhausting the stack.
        let tokens: Vec<char> = expression.chars().filter(|c| !c.is_whitespace()).take(500).collect();
        let mut reader = Arithmetic { characters: &tokens, at: 0, machine: self };
        reader.comparison().to_string()
    }

    /// Names that match `pattern`, of which only the last path component may have wildcards.
    fn glob(&self, pattern: &str, surroundings: &Surroundings) -> Vec<Text> {
        let (directory, last) = match pattern.rsplit_once('/') {
            Some((directory, last)) => (format!("{directory}/"), last),
            None => (String::new(), pattern),
        };
        if directory.contains(['*', '?', '[']) {
            return Vec::new();
        }
        let path = normalize(&self.directory, if directory.is_empty() { "." } else { &directory });
        let names = surroundings.files.list(&path).unwrap_or_default();
        names
            .iter()
            .filter(|name| !name.starts_with('.') && matches(last, name))
            .map(|name| arcstr::format!("{directory}{name}"))
            .collect()
    }
}

/// `value` without what `pattern` matches at its start (`#`) or end (`%`), doubled: as much as possible.
fn strip<'a>(value: &'a str, pattern: &str, operator: &str) -> &'a str {
    let indices: Vec<usize> = value.char_indices().map(|(index, _)| index).chain([value.len()]).collect();
    let boundaries = || indices.iter().copied();
    let from_start = operator.starts_with('#');
    let fits = |index: &usize| {
        if from_start { matches(pattern, &value[..*index]) } else { matches(pattern, &value[*index..]) }
    };
    let is_longest = operator.len() == 2;
    // The longest prefix ends last, the longest suffix begins first.
    let cut = if from_start == is_longest { boundaries().rev().find(fits) } else { boundaries().find(fits) };
    match cut {
        Some(index) if from_start => &value[index..],
        Some(index) => &value[..index],
        None => value,
    }
}

/// Shell patterns: `*`, `?`, `[abc]`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how much it had taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set_matches(&pattern[p..], text[t]),
            Some(c) if *c == text[t] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                t += 1;
            }
            (None, Some((place, taken))) => {
                star = Some((place, taken + 1));
                p = place + 1;
                t = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of the bracket expression at the start of `pattern`, if it holds `c`.
fn set_matches(pattern: &[char], c: char) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
    let is_negated = matches!(pattern.get(1), Some('!' | '^'));
    let set = &pattern[1 + usize::from(is_negated)..end];
    let mut is_member = false;
    let mut index = 0;
    while index < set.len() {
        if index + 2 < set.len() && set[index + 1] == '-' {
            is_member |= (set[index]..=set[index + 2]).contains(&c);
            index += 3;
        } else {
            is_member |= set[index] == c;
            index += 1;
        }
    }
    (is_member != is_negated).then_some(end + 1)
}

/// A reader of integer expressions: `+ - * / % < <= > >= == !=`, parentheses, names.
struct Arithmetic<'a> {
    characters: &'a [char],
    at: usize,
    machine: &'a Machine,
}

impl Arithmetic<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }
    fn take(&mut self, text: &str) -> bool {
        let found =
            text.chars().enumerate().all(|(index, c)| self.characters.get(self.at + index) == Some(&c));
        if found {
            self.at += text.len();
        }
        found
    }
    fn comparison(&mut self) -> i64 {
        let mut left = self.sum();
        loop {
            let operator =
                ["<=", ">=", "==", "!=", "<", ">"].into_iter().find(|operator| self.take(operator));
            let Some(operator) = operator else { return left };
            let right = self.sum();
            left = i64::from(match operator {
                "<=" => left <= right,
                ">=" => left >= right,
                "==" => left == right,
                "!=" => left != right,
                "<" => left < right,
                _ => left > right,
            });
        }
    }
    fn sum(&mut self) -> i64 {
        let mut left = self.product();
        loop {
            if self.take("+") {
                left = left.wrapping_add(self.product());
            } else if self.take("-") {
                left = left.wrapping_sub(self.product());
            } else {
                return left;
            }
        }
    }
    fn product(&mut self) -> i64 {
        let mut left = self.factor(0);
        loop {
            if self.take("*") {
                left = left.wrapping_mul(self.factor(0));
            } else if self.take("/") {
                left = left.checked_div(self.factor(0)).unwrap_or(0);
            } else if self.take("%") {
                left = left.checked_rem(self.factor(0)).unwrap_or(0);
            } else {
                return left;
            }
        }
    }
    fn factor(&mut self, depth: u32) -> i64 {
        if depth > 64 {
            return 0;
        }
        if self.take("-") {
            return self.factor(depth + 1).wrapping_neg();
        }
        if self.take("(") {
            let value = self.comparison();
            self.take(")");
            return value;
        }
        self.take("$");
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            word.push(c);
            self.at += 1;
        }
        match word.parse() {
            Ok(number) => number,
            Err(_) => self.machine.lookup(&word).and_then(|value| value.parse().ok()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_the_shell() {
        let cases = [
            ("*.log", "a.log", true),
            ("*.log", "a.txt", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("a*b*c", "a--b--c", true),
            ("", "", true),
            ("*", "", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn prefixes_and_suffixes_are_stripped() {
        let cases = [
            ("a/b/c", "*/", "#", "b/c"),
            ("a/b/c", "*/", "##", "c"),
            ("a.tar.gz", ".*", "%", "a.tar"),
            ("a.tar.gz", ".*", "%%", "a"),
            ("abc", "x", "%", "abc"),
        ];
        for (value, pattern, operator, expected) in cases {
            assert_eq!(strip(value, pattern, operator), expected, "{value} {operator} {pattern}");
        }
    }
}
