//! Reads one word: quotes, `$name`, `$(command)`, `$((1 + 1))`.
//!
//! Picture to hold in mind: a zipper. Quoted and unquoted stretches interlock without a gap, and each keeps
//! its own kind of teeth until expansion closes them.

use super::parse::{MAXIMUM_DEPTH, Parser, SyntaxError, is_meta};
use super::syntax::{Operation, Piece, Word};

impl Parser<'_> {
    pub(super) fn word(&mut self) -> Result<Word, SyntaxError> {
        let mut word = Word::new();
        if self.peek() == Some('~') && self.peek_at(1).is_none_or(|c| is_meta(c) || c == '/') {
            self.position += 1;
            word.push(Piece::Home);
        }
        while let Some(character) = self.peek() {
            match character {
                '\'' => {
                    self.position += 1;
                    word.push(Piece::Quoted(self.until('\'')?));
                }
                '"' => {
                    self.position += 1;
                    let pieces = self.double_quoted(Some('"'))?;
                    if pieces.is_empty() {
                        word.push(Piece::Quoted(String::new()));
                    }
                    word.extend(pieces);
                }
                '\\' => {
                    self.position += 1;
                    match self.peek() {
                        Some('\n') => self.position += 1,
                        Some(character) => {
                            self.position += 1;
                            word.push(Piece::Quoted(character.into()));
                        }
                        None => word.push(Piece::Quoted("\\".into())),
                    }
                }
                '$' if self.peek_at(1) == Some('\'') => {
                    self.position += 2;
                    word.push(Piece::Quoted(self.ansi_quoted()?));
                }
                '$' | '`' => self.expansion(false, &mut word)?,
                character if is_meta(character) => break,
                character => {
                    self.position += 1;
                    push_text(&mut word, character, false);
                }
            }
        }
        Ok(word)
    }
    fn until(&mut self, quote: char) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(SyntaxError::Unterminated(quote)),
                Some(character) => {
                    self.position += 1;
                    if character == quote {
                        return Ok(text);
                    }
                    text.push(character);
                }
            }
        }
    }
    /// `$'...'`.
    fn ansi_quoted(&mut self) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(SyntaxError::Unterminated('\'')),
                Some('\'') => {
                    self.position += 1;
                    return Ok(text);
                }
                Some('\\') => {
                    let next = self.peek_at(1);
                    self.position += 2;
                    text.push(match next {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some('e') => '\u{1b}',
                        Some('0') => '\0',
                        Some(other) => other,
                        None => '\\',
                    });
                }
                Some(character) => {
                    self.position += 1;
                    text.push(character);
                }
            }
        }
    }
    /// Text with expansions up to `end`, or to the end of the text.
    pub(super) fn double_quoted(&mut self, end: Option<char>) -> Result<Word, SyntaxError> {
        let mut word = Word::new();
        loop {
            match self.peek() {
                None if end.is_none() => return Ok(word),
                None => return Err(SyntaxError::Unterminated('"')),
                Some(character) if Some(character) == end => {
                    self.position += 1;
                    return Ok(word);
                }
                Some('\\') => {
                    let next = self.peek_at(1);
                    match next {
                        Some('\n') => self.position += 2,
                        Some(c) if matches!(c, '$' | '`' | '\\') || Some(c) == end => {
                            self.position += 2;
                            push_text(&mut word, c, true);
                        }
                        _ => {
                            self.position += 1;
                            push_text(&mut word, '\\', true);
                        }
                    }
                }
                Some('$' | '`') => self.expansion(true, &mut word)?,
                Some(character) => {
                    self.position += 1;
                    push_text(&mut word, character, true);
                }
            }
        }
    }
    /// What stands at `$` or a backquote.
    fn expansion(&mut self, quoted: bool, word: &mut Word) -> Result<(), SyntaxError> {
        self.enter()?;
        if self.take("`") {
            let script = self.until('`')?.replace("\\$", "$").replace("\\\\", "\\");
            word.push(Piece::Command { script: script.into(), quoted });
        } else if self.looking_at("$((") && self.arithmetic_end().is_some() {
            let end = self.arithmetic_end().unwrap_or(self.position);
            let text = &self.text[self.position + 3..end];
            let mut inner = Parser { text, position: 0, depth: self.depth, after_line: None };
            let expression = inner.double_quoted(None)?;
            self.position = end + 2;
            word.push(Piece::Arithmetic { expression, quoted });
        } else if self.take("$(") {
            let start = self.position;
            let end = self.matching_parenthesis()?;
            let script: String = self.text[start..end].iter().collect();
            self.position = end + 1;
            word.push(Piece::Command { script: script.into(), quoted });
        } else if self.take("${") {
            let piece = self.braced(quoted)?;
            word.push(piece);
        } else {
            self.position += 1;
            let mut name = String::new();
            match self.peek() {
                Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                    while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                        name.push(c);
                        self.position += 1;
                    }
                }
                Some(c) if c.is_ascii_digit() || "?#$@*!-".contains(c) => {
                    name.push(c);
                    self.position += 1;
                }
                _ => {
                    push_text(word, '$', quoted);
                    self.depth -= 1;
                    return Ok(());
                }
            }
            word.push(Piece::Parameter { name: name.into(), operation: None, quoted });
        }
        self.depth -= 1;
        Ok(())
    }
    /// Where the `))` of `$((` stands, if this is arithmetic at all.
    fn arithmetic_end(&self) -> Option<usize> {
        let mut open = 0;
        let mut index = self.position + 3;
        loop {
            match self.text.get(index)? {
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' => return (self.text.get(index + 1) == Some(&')')).then_some(index),
                '\n' => return None,
                _ => {}
            }
            index += 1;
        }
    }
    /// Where the `)` of a `$(` stands whose inside begins here.
    fn matching_parenthesis(&self) -> Result<usize, SyntaxError> {
        let mut open = 0;
        let mut index = self.position;
        let mut quote = None;
        while let Some(&character) = self.text.get(index) {
            match (character, quote) {
                ('\\', None | Some('"')) => index += 1,
                ('\'', None) | ('"', None) => quote = Some(character),
                ('$', Some('"')) if self.text.get(index + 1) == Some(&'(') => {
                    let inner = Parser {
                        text: self.text,
                        position: index + 2,
                        depth: self.depth + 1,
                        after_line: None,
                    };
                    if inner.depth > MAXIMUM_DEPTH {
                        return Err(SyntaxError::Other("commands are nested too deeply".into()));
                    }
                    index = inner.matching_parenthesis()?;
                }
                (c, Some(q)) if c == q => quote = None,
                ('(', None) => open += 1,
                (')', None) if open == 0 => return Ok(index),
                (')', None) => open -= 1,
                _ => {}
            }
            index += 1;
        }
        Err(SyntaxError::Unterminated(')'))
    }
    /// `${...}` behind its opening brace.
    fn braced(&mut self, quoted: bool) -> Result<Piece, SyntaxError> {
        let length = self.peek() == Some('#') && self.peek_at(1) != Some('}');
        if length {
            self.position += 1;
        }
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits = c.is_ascii_alphanumeric() || c == '_' || (name.is_empty() && "?#$@*!-".contains(c));
            if !fits {
                break;
            }
            name.push(c);
            self.position += 1;
            if "?#$@*!-".contains(c) {
                break;
            }
        }
        if name.is_empty() {
            return Err(SyntaxError::Other("${}: bad substitution".into()));
        }
        let mut operation = length.then(|| (Operation::Length, Word::new()));
        if self.peek() != Some('}') {
            let colon = self.take(":");
            let sign = self.peek();
            self.position += 1;
            let kind = match sign {
                Some('-') => Operation::Default { colon },
                Some('=') => Operation::Assign { colon },
                Some('+') => Operation::Alternative { colon },
                Some('?') => Operation::Require { colon },
                Some('#') if !colon => Operation::Prefix { longest: self.take("#") },
                Some('%') if !colon => Operation::Suffix { longest: self.take("%") },
                None => return Err(SyntaxError::Unterminated('}')),
                _ => return Err(SyntaxError::Other(format!("${{{name}}}: bad substitution"))),
            };
            operation = Some((kind, self.brace_word(quoted)?));
        }
        if !self.take("}") {
            return Err(SyntaxError::Unterminated('}'));
        }
        Ok(Piece::Parameter { name: name.into(), operation, quoted })
    }
    /// The word of `${x:-word}`, up to the brace.
    fn brace_word(&mut self, quoted: bool) -> Result<Word, SyntaxError> {
        let mut word = Word::new();
        while let Some(character) = self.peek().filter(|c| *c != '}') {
            match character {
                '\'' if !quoted => {
                    self.position += 1;
                    word.push(Piece::Quoted(self.until('\'')?));
                }
                '"' => {
                    self.position += 1;
                    word.extend(self.double_quoted(Some('"'))?);
                }
                '\\' => {
                    self.position += 2;
                    if let Some(c) = self.text.get(self.position - 1) {
                        push_text(&mut word, *c, true);
                    }
                }
                '$' | '`' => self.expansion(quoted, &mut word)?,
                character => {
                    self.position += 1;
                    push_text(&mut word, character, quoted);
                }
            }
        }
        Ok(word)
    }
}

fn push_text(word: &mut Word, character: char, quoted: bool) {
    match word.last_mut() {
        Some(Piece::Text(text)) if !quoted => text.push(character),
        Some(Piece::Quoted(text)) if quoted => text.push(character),
        _ if quoted => word.push(Piece::Quoted(character.into())),
        _ => word.push(Piece::Text(character.into())),
    }
}
