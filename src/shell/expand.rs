//! Turns the words of a command into its arguments: parameters, splitting, file names.
//!
//! Picture to hold in mind: a sieve after a mixer. The mixer puts values in the place of `$names`; the sieve
//! cuts at blanks, but never inside quotes; what looks like `*.yaml` is then swapped for the files there are.
//!
//! Command substitutions have run before: their outputs stand ready, in order of appearance.

use std::sync::Arc;

use super::files::{FileSystem, absolute};
use super::syntax::{Operation, Piece, Word};
use super::task::Substituted;
use crate::api::Text;
use crate::arrange::Gather;
use crate::sorted::SortedMap;

/// What words may refer to.
pub struct Scope<'a> {
    pub variables: &'a mut Arc<SortedMap<Text, Text>>,
    pub parameters: &'a [Text],
    pub status: i32,
    /// `$!`.
    pub last_job: Option<u32>,
    pub folder: &'a str,
    pub files: &'a dyn FileSystem,
    /// What the command substitutions came to, first first; each is the status for what follows it.
    pub outputs: &'a mut std::vec::IntoIter<Substituted>,
}

/// A stretch of an expanded word. `splits`: blanks in it part words, and `*` in it matches files.
struct Stretch {
    text: String,
    splits: bool,
    globs: bool,
}

/// The scripts of all command substitutions in `word`, in the order in which expansion will ask for them.
pub fn substitutions(word: &Word, found: &mut Vec<Arc<str>>) {
    for piece in word {
        match piece {
            Piece::Command { script, .. } => found.push(script.clone()),
            Piece::Arithmetic { expression, .. } => substitutions(expression, found),
            Piece::Parameter { operation: Some((_, word)), .. } => substitutions(word, found),
            _ => {}
        }
    }
}

impl Scope<'_> {
    fn value(&self, name: &str) -> Option<Text> {
        match name {
            "?" => Some(arcstr::format!("{}", self.status)),
            "#" => Some(arcstr::format!("{}", self.parameters.len().saturating_sub(1))),
            "$" => Some("1".into()),
            "!" => self.last_job.map(|job| arcstr::format!("{job}")),
            "-" => Some("hB".into()),
            "@" | "*" => Some(self.parameters.get(1..).unwrap_or(&[]).join(" ").into()),
            "PWD" => Some(self.folder.into()),
            name => match name.parse::<usize>() {
                Ok(index) => self.parameters.get(index).cloned(),
                Err(_) => self.variables.get(name).cloned(),
            },
        }
    }

    /// One string: for assignments, redirections, here-documents, `case`.
    pub fn single(&mut self, word: &Word) -> Result<String, String> {
        let mut stretches = Vec::new();
        self.stretches(word, &mut stretches)?;
        Ok(stretches.into_iter().map(|stretch| stretch.text).collect())
    }

    /// As a pattern for `case`: what was quoted is escaped.
    pub fn pattern(&mut self, word: &Word) -> Result<String, String> {
        let mut stretches = Vec::new();
        self.stretches(word, &mut stretches)?;
        Ok(stretches.iter().map(as_pattern).collect())
    }

    /// The arguments that `word` becomes: none, one or several.
    pub fn fields(&mut self, word: &Word, fields: &mut Vec<String>) -> Result<(), String> {
        // "$@" keeps its parameters apart.
        if let [Piece::Parameter { name, operation: None, quoted: true }] = word.as_slice()
            && name == "@"
        {
            fields.extend(self.parameters.iter().skip(1).map(ToString::to_string));
            return Ok(());
        }
        if let Some(text) = plain(word) {
            fields.push(text);
            return Ok(());
        }
        let mut stretches = Vec::new();
        self.stretches(word, &mut stretches)?;
        let separators = separators(self.variables);
        let mut groups: Vec<Vec<Stretch>> = Vec::new();
        let mut current: Option<Vec<Stretch>> = None;
        for stretch in stretches {
            if !stretch.splits {
                current.get_or_insert_default().push(stretch);
                continue;
            }
            for (index, text) in split(&stretch.text, &separators).into_iter().enumerate() {
                if index > 0 {
                    groups.extend(current.take());
                }
                match text {
                    Some("") => drop(current.get_or_insert_default()),
                    Some(text) => current.get_or_insert_default().push(Stretch {
                        text: text.to_string(),
                        splits: false,
                        globs: stretch.globs,
                    }),
                    None => {}
                }
            }
        }
        groups.extend(current);
        for group in groups {
            let plain: String = group.iter().map(|stretch| stretch.text.as_str()).collect();
            if group.iter().any(|stretch| stretch.globs && is_wild(&stretch.text)) {
                let pattern: String = group.iter().map(as_pattern).collect();
                let names = match_files(self.files, self.folder, &pattern);
                if !names.is_empty() {
                    fields.extend(names);
                    continue;
                }
            }
            fields.push(plain);
        }
        Ok(())
    }

    /// Passes over the outputs that belong to a word which is not used.
    fn skip(&mut self, word: &Word) {
        let mut scripts = Vec::new();
        substitutions(word, &mut scripts);
        for _ in scripts {
            self.outputs.next();
        }
    }

    fn stretches(&mut self, word: &Word, out: &mut Vec<Stretch>) -> Result<(), String> {
        for piece in word {
            match piece {
                Piece::Text(text) => out.push(Stretch { text: text.clone(), splits: false, globs: true }),
                Piece::Quoted(text) => out.push(Stretch { text: text.clone(), splits: false, globs: false }),
                Piece::Home => {
                    let home = self.value("HOME").unwrap_or_else(|| "/root".into()).to_string();
                    out.push(Stretch { text: home, splits: false, globs: false });
                }
                Piece::Command { quoted, .. } => {
                    let (output, status) = self.outputs.next().unwrap_or_default();
                    self.status = status;
                    let text = output.trim_end_matches('\n').to_string();
                    out.push(Stretch { text, splits: !quoted, globs: !quoted });
                }
                Piece::Arithmetic { expression, quoted } => {
                    let expression = self.single(expression)?;
                    let text = super::arithmetic::evaluate(&expression, self.variables)?.to_string();
                    out.push(Stretch { text, splits: !quoted, globs: false });
                }
                Piece::Parameter { name, operation, quoted } => {
                    self.parameter(name, operation.as_ref(), *quoted, out)?;
                }
            }
        }
        Ok(())
    }

    fn parameter(
        &mut self,
        name: &str,
        operation: Option<&(Operation, Word)>,
        quoted: bool,
        out: &mut Vec<Stretch>,
    ) -> Result<(), String> {
        let value = self.value(name);
        let mut push = |text: String| {
            // An unset or empty unquoted parameter leaves nothing behind.
            if quoted || !text.is_empty() {
                out.push(Stretch { text, splits: !quoted, globs: !quoted });
            }
        };
        let Some((operation, word)) = operation else {
            push(value.unwrap_or_default().to_string());
            return Ok(());
        };
        let is_set = |colon: bool| value.as_ref().is_some_and(|value| !(colon && value.is_empty()));
        match *operation {
            Operation::Length => push(value.unwrap_or_default().chars().count().to_string()),
            Operation::Default { colon } | Operation::Assign { colon } if is_set(colon) => {
                push(value.unwrap_or_default().to_string());
                self.skip(word);
            }
            Operation::Default { .. } => self.stretches(word, out)?,
            Operation::Assign { .. } => {
                let text = self.single(word)?;
                Arc::make_mut(self.variables).insert(name.into(), text.as_str().into());
                out.push(Stretch { text, splits: !quoted, globs: !quoted });
            }
            Operation::Alternative { colon } => {
                if is_set(colon) {
                    self.stretches(word, out)?;
                } else {
                    self.skip(word);
                }
            }
            Operation::Require { colon } => {
                if !is_set(colon) {
                    let message = self.single(word)?;
                    let message =
                        if message.is_empty() { "parameter null or not set".into() } else { message };
                    return Err(format!("{name}: {message}"));
                }
                push(value.unwrap_or_default().to_string());
                self.skip(word);
            }
            Operation::Prefix { longest } => {
                let pattern = self.pattern(word)?;
                let value = value.unwrap_or_default();
                let ends: Vec<usize> = value.char_indices().map(|(i, _)| i).chain([value.len()]).gather();
                let cut = choose(ends, longest, |end| matches(&pattern, &value[..end]));
                out.push(Stretch {
                    text: value[cut.unwrap_or(0)..].to_string(),
                    splits: !quoted,
                    globs: !quoted,
                });
            }
            Operation::Suffix { longest } => {
                let pattern = self.pattern(word)?;
                let value = value.unwrap_or_default();
                let mut starts: Vec<usize> =
                    value.char_indices().map(|(i, _)| i).chain([value.len()]).gather();
                starts.reverse();
                let cut = choose(starts, longest, |start| matches(&pattern, &value[start..]));
                out.push(Stretch {
                    text: value[..cut.unwrap_or(value.len())].to_string(),
                    splits: !quoted,
                    globs: !quoted,
                });
            }
        }
        Ok(())
    }
}

/// `IFS`: what parts words.
pub(super) fn separators(variables: &SortedMap<Text, Text>) -> Text {
    variables.get("IFS").cloned().unwrap_or_else(|| arcstr::literal!(" \t\n"))
}

/// `text` cut at `separators`: blanks among them count as one however many they are, others one by one. `None` is the
/// end of a word that began before `text`, or the beginning of one that goes on behind it.
fn split<'t>(text: &'t str, separators: &str) -> Vec<Option<&'t str>> {
    let parts = |c: char| separators.contains(c);
    let is_blank = |c: char| parts(c) && c.is_whitespace();
    let mut fields = Vec::new();
    let mut rest = text;
    if rest.starts_with(is_blank) {
        fields.push(None);
        rest = rest.trim_start_matches(is_blank);
    }
    while !rest.is_empty() {
        let end = rest.find(parts).unwrap_or(rest.len());
        fields.push(Some(&rest[..end]));
        let behind = rest[end..].trim_start_matches(is_blank);
        let hard = behind.chars().next().filter(|c| parts(*c));
        let after = hard.map_or(behind, |c| behind[c.len_utf8()..].trim_start_matches(is_blank));
        if after.is_empty() && end < rest.len() {
            fields.push(None);
        }
        rest = after;
    }
    fields
}

/// The text of a word in which nothing is to be expanded: most are such.
fn plain(word: &Word) -> Option<String> {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) if is_wild(text) => None,
        Piece::Text(text) | Piece::Quoted(text) => Some(text.clone()),
        _ => None,
    };
    match word.as_slice() {
        [] => None,
        [piece] => text(piece),
        pieces => pieces.iter().map(text).collect(),
    }
}
/// Whether file names may match: a bracket alone, which begins a test, is no pattern.
fn is_wild(text: &str) -> bool {
    text.contains(['*', '?']) || text.split_once('[').is_some_and(|(_, behind)| behind.contains(']'))
}

/// The first position that fits, or the last when `longest`.
fn choose(positions: Vec<usize>, longest: bool, fits: impl Fn(usize) -> bool) -> Option<usize> {
    if longest {
        positions.into_iter().rev().find(|position| fits(*position))
    } else {
        positions.into_iter().find(|position| fits(*position))
    }
}

fn as_pattern(stretch: &Stretch) -> String {
    if stretch.globs {
        return stretch.text.clone();
    }
    let mut pattern = String::new();
    for character in stretch.text.chars() {
        if matches!(character, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Whether `text` as a whole matches a shell pattern: `*`, `?`, `[a-z]`, `\`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().gather();
    let text: Vec<char> = text.chars().gather();
    let (mut p, mut t) = (0, 0);
    // Where to go on when the text behind the last star does not fit: one backtrack point is enough.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return pattern[p..].iter().all(|c| *c == '*');
        }
        if let Some(next) = (p < pattern.len()).then(|| match_one(&pattern, p, text[t])).flatten() {
            p = next;
            t += 1;
            continue;
        }
        match star {
            Some((at, from)) => {
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
            None => return false,
        }
    }
}

/// Matches one character at `p`; the position behind what matched.
fn match_one(pattern: &[char], p: usize, character: char) -> Option<usize> {
    match pattern[p] {
        '?' => Some(p + 1),
        '\\' if p + 1 < pattern.len() => (pattern[p + 1] == character).then_some(p + 2),
        '[' => {
            let negated = matches!(pattern.get(p + 1), Some('!' | '^'));
            let mut index = p + 1 + usize::from(negated);
            let first = index;
            let mut found = false;
            while let Some(&low) = pattern.get(index) {
                if low == ']' && index > first {
                    return (found != negated).then_some(index + 1);
                }
                if pattern.get(index + 1) == Some(&'-')
                    && let Some(&high) = pattern.get(index + 2).filter(|c| **c != ']')
                {
                    found |= (low..=high).contains(&character);
                    index += 3;
                } else {
                    found |= low == character;
                    index += 1;
                }
            }
            (character == '[').then_some(p + 1)
        }
        literal => (literal == character).then_some(p + 1),
    }
}

/// The files that fit a pattern, sorted, in the form in which the pattern was written.
fn match_files(files: &dyn FileSystem, folder: &str, pattern: &str) -> Vec<String> {
    let (mut bases, rest) = match pattern.strip_prefix('/') {
        Some(rest) => (vec![("/".to_string(), "/".to_string())], rest),
        None => (vec![(folder.to_string(), String::new())], pattern),
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).gather();
    for (index, part) in parts.iter().enumerate() {
        let mut next = Vec::new();
        for (path, written) in &bases {
            for name in files.names(path) {
                let is_hidden = name.starts_with('.') && !part.starts_with('.');
                if is_hidden || !matches(part, &name) {
                    continue;
                }
                let inner = absolute(path, &name);
                if index + 1 == parts.len() || files.is_folder(&inner) {
                    let separator = if written.is_empty() || written.ends_with('/') { "" } else { "/" };
                    next.push((inner, format!("{written}{separator}{name}")));
                }
            }
        }
        bases = next;
    }
    bases.into_iter().map(|(_, written)| written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_separators() {
        for (text, separators, expected) in [
            ("a  b", " \t\n", vec![Some("a"), Some("b")]),
            (" a ", " \t\n", vec![None, Some("a"), None]),
            ("a::b:", ":", vec![Some("a"), Some(""), Some("b"), None]),
            ("a : b", ": ", vec![Some("a"), Some("b")]),
            ("a b", "", vec![Some("a b")]),
            ("", " ", vec![]),
        ] {
            assert_eq!(split(text, separators), expected, "{text:?} at {separators:?}");
        }
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[", "[", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
