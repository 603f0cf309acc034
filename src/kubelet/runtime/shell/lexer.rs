//! Text to tokens, after the POSIX shell's token recognition.
//!
//! Picture to hold in mind: scissors that cut at blanks and operators, but never inside of quotes.

use crate::api::Text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    /// `;`, `&`, `&&`, `||`, `|`, `(`, `)`, `;;`, newline (as `\n`), `!`-free.
    Operator(&'static str),
    /// `>`, `>>`, `<`, with the descriptor before it; `>&` with its target as the next word.
    Redirect {
        descriptor: u8,
        operator: &'static str,
    },
    /// The body of `<<WORD`.
    Here {
        body: Word,
    },
}

/// A word is made of parts, so that quotes are remembered after they are gone.
pub type Word = Vec<Part>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal {
        text: Text,
        is_quoted: bool,
    },
    /// `$name`, `${name:-word}`: operator is `-`, `:-`, `=`, `:=`, `+`, `:+`, `#` (length), `%`, `##`..., or empty.
    Variable {
        name: Text,
        operator: Text,
        word: Word,
        is_quoted: bool,
    },
    /// `$(script)` and backquotes.
    Command {
        script: Text,
        is_quoted: bool,
    },
    /// `$((expression))`.
    Arithmetic {
        expression: Text,
    },
}

pub fn literal(text: &str) -> Word {
    vec![Part::Literal { text: text.into(), is_quoted: true }]
}

/// Cuts `text` into tokens. The error is what the shell says after `sh: syntax error: `.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { characters: text.chars().collect(), at: 0 };
    lexer.run()
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }
    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.peek(index) == Some(c))
    }

    fn run(&mut self) -> Result<Vec<Token>, String> {
        const OPERATORS: &[&str] = &["&&", "||", ";;", ";", "&", "|", "(", ")", "\n"];
        let mut tokens = Vec::new();
        // Here-documents whose body comes after the next line break: place in `tokens`, delimiter, quoted, tabs.
        let mut pending: Vec<(usize, String, bool, bool)> = Vec::new();
        while let Some(c) = self.peek(0) {
            if c == ' ' || c == '\t' || c == '\r' {
                self.at += 1;
            } else if self.starts_with("\\\n") {
                self.at += 2;
            } else if c == '#' {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else if let Some(redirect) = self.redirect() {
                if redirect.1 == "<<" {
                    let strip_tabs = self.peek(0) == Some('-');
                    self.at += usize::from(strip_tabs);
                    while matches!(self.peek(0), Some(' ' | '\t')) {
                        self.at += 1;
                    }
                    let from = self.at;
                    self.word()?;
                    let raw: String = self.characters[from..self.at].iter().collect();
                    let is_quoted = raw.contains(['\'', '"', '\\']);
                    let delimiter = raw.replace(['\'', '"', '\\'], "");
                    pending.push((tokens.len(), delimiter, is_quoted, strip_tabs));
                    tokens.push(Token::Here { body: Word::new() });
                } else {
                    tokens.push(Token::Redirect { descriptor: redirect.0, operator: redirect.1 });
                }
            } else if let Some(operator) = OPERATORS.iter().find(|operator| self.starts_with(operator)) {
                self.at += operator.len();
                tokens.push(Token::Operator(operator));
                if *operator == "\n" {
                    for (place, delimiter, is_quoted, strip_tabs) in pending.drain(..) {
                        tokens[place] = Token::Here { body: self.here(&delimiter, is_quoted, strip_tabs)? };
                    }
                }
            } else {
                tokens.push(Token::Word(self.word()?));
            }
        }
        Ok(tokens)
    }

    fn redirect(&mut self) -> Option<(u8, &'static str)> {
        const OPERATORS: &[&str] = &["&>", "<<", "<", ">>", ">&", ">"];
        let digits = usize::from(self.peek(0).is_some_and(|c| c.is_ascii_digit()));
        let operator = OPERATORS.iter().find(|operator| {
            operator.chars().enumerate().all(|(index, c)| self.peek(digits + index) == Some(c))
        })?;
        let default = if operator.starts_with('<') { 0 } else { 1 };
        let descriptor = match self.peek(0).and_then(|c| c.to_digit(10)) {
            Some(digit) => digit as u8,
            None => default,
        };
        self.at += digits + operator.len();
        Some((descriptor, operator))
    }

    fn here(&mut self, delimiter: &str, is_quoted: bool, strip_tabs: bool) -> Result<Word, String> {
        let mut body = String::new();
        loop {
            if self.at >= self.characters.len() {
                break;
            }
            let from = self.at;
            while self.peek(0).is_some_and(|c| c != '\n') {
                self.at += 1;
            }
            let line: String = self.characters[from..self.at].iter().collect();
            self.at += 1;
            let line = if strip_tabs { line.trim_start_matches('\t') } else { &line };
            if line == delimiter {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        if is_quoted {
            return Ok(literal(&body));
        }
        let mut inner = Lexer { characters: body.chars().collect(), at: 0 };
        let mut parts = Word::new();
        inner.quoted(&mut parts, None)?;
        Ok(parts)
    }

    /// One word, quotes and expansions and all.
    fn word(&mut self) -> Result<Word, String> {
        let mut parts = Word::new();
        let mut plain = String::new();
        let flush = |plain: &mut String, parts: &mut Word| {
            if !plain.is_empty() {
                parts.push(Part::Literal { text: std::mem::take(plain).into(), is_quoted: false });
            }
        };
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    flush(&mut plain, &mut parts);
                    self.at += 1;
                    match self.peek(0) {
                        Some('\n') => {}
                        Some(escaped) => {
                            parts.push(Part::Literal { text: escaped.to_string().into(), is_quoted: true })
                        }
                        None => plain.push('\\'),
                    }
                    self.at += 1;
                }
                '\'' => {
                    flush(&mut plain, &mut parts);
                    self.at += 1;
                    let from = self.at;
                    while self.peek(0).is_some_and(|c| c != '\'') {
                        self.at += 1;
                    }
                    if self.peek(0).is_none() {
                        return Err("unterminated quoted string".into());
                    }
                    let text: String = self.characters[from..self.at].iter().collect();
                    parts.push(Part::Literal { text: text.into(), is_quoted: true });
                    self.at += 1;
                }
                '"' => {
                    flush(&mut plain, &mut parts);
                    self.at += 1;
                    self.quoted(&mut parts, Some('"'))?;
                }
                '$' | '`' => {
                    flush(&mut plain, &mut parts);
                    match self.expansion(false)? {
                        Some(part) => parts.push(part),
                        None => plain.push('$'),
                    }
                }
                c => {
                    plain.push(c);
                    self.at += 1;
                }
            }
        }
        flush(&mut plain, &mut parts);
        Ok(parts)
    }

    /// The inside of double quotes up to `end`, or a here-document to its end.
    fn quoted(&mut self, parts: &mut Word, end: Option<char>) -> Result<(), String> {
        let mut plain = String::new();
        loop {
            let Some(c) = self.peek(0) else {
                if end.is_some() {
                    return Err("unterminated quoted string".into());
                }
                break;
            };
            match c {
                c if Some(c) == end => {
                    self.at += 1;
                    break;
                }
                '\\' if matches!(self.peek(1), Some('$' | '`' | '"' | '\\')) => {
                    plain.push(self.peek(1).unwrap_or('\\'));
                    self.at += 2;
                }
                '\\' if self.peek(1) == Some('\n') => self.at += 2,
                '$' | '`' => match self.expansion(true)? {
                    Some(part) => {
                        if !plain.is_empty() {
                            parts.push(Part::Literal {
                                text: std::mem::take(&mut plain).into(),
                                is_quoted: true,
                            });
                        }
                        parts.push(part);
                    }
                    None => plain.push('$'),
                },
                c => {
                    plain.push(c);
                    self.at += 1;
                }
            }
        }
        // Empty quotes are a word too.
        parts.push(Part::Literal { text: plain.into(), is_quoted: true });
        Ok(())
    }

    /// At `$` or a backquote. `None`: a lone `$`, which is passed.
    fn expansion(&mut self, is_quoted: bool) -> Result<Option<Part>, String> {
        if self.peek(0) == Some('`') {
            self.at += 1;
            let from = self.at;
            while self.peek(0).is_some_and(|c| c != '`') {
                self.at += 1;
            }
            if self.peek(0).is_none() {
                return Err("unterminated quoted string".into());
            }
            let script: String = self.characters[from..self.at].iter().collect();
            self.at += 1;
            return Ok(Some(Part::Command { script: script.into(), is_quoted }));
        }
        if self.starts_with("$((") {
            self.at += 3;
            let expression = self.until_closed(2)?;
            return Ok(Some(Part::Arithmetic { expression: expression.into() }));
        }
        if self.starts_with("$(") {
            self.at += 2;
            let script = self.until_closed(1)?;
            return Ok(Some(Part::Command { script: script.into(), is_quoted }));
        }
        if self.starts_with("${") {
            self.at += 2;
            return self.braced(is_quoted).map(Some);
        }
        self.at += 1;
        let name = self.name();
        Ok((!name.is_empty()).then(|| Part::Variable {
            name: name.into(),
            operator: Text::new(),
            word: Word::new(),
            is_quoted,
        }))
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek(0) {
            Some(c) if c.is_ascii_digit() || "?!#@*$-".contains(c) => {
                self.at += 1;
                name.push(c);
            }
            _ => {
                while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.at += 1;
                }
            }
        }
        name
    }

    fn braced(&mut self, is_quoted: bool) -> Result<Part, String> {
        if self.peek(0) == Some('#') && self.peek(1) != Some('}') {
            self.at += 1;
            let name = self.name();
            self.at += 1;
            return Ok(Part::Variable {
                name: name.into(),
                operator: "#".into(),
                word: Word::new(),
                is_quoted,
            });
        }
        let name = self.name();
        let from = self.at;
        let mut depth = 1;
        while let Some(c) = self.peek(0) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '\\' => self.at += 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            self.at += 1;
        }
        if depth > 0 {
            return Err("unterminated ${".into());
        }
        let rest: String = self.characters[from..self.at].iter().collect();
        self.at += 1;
        const OPERATORS: &[&str] = &[":-", ":=", ":+", ":?", "##", "%%", "-", "=", "+", "?", "#", "%"];
        let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator)).copied().unwrap_or("");
        if operator.is_empty() && !rest.is_empty() || name.is_empty() {
            return Err("bad substitution".into());
        }
        let mut inner = Lexer { characters: rest[operator.len()..].chars().collect(), at: 0 };
        let mut word = Word::new();
        inner.quoted(&mut word, None)?;
        Ok(Part::Variable { name: name.into(), operator: operator.into(), word, is_quoted })
    }

    /// The text up to `count` closing parentheses that belong to the opening ones before it.
    fn until_closed(&mut self, count: usize) -> Result<String, String> {
        let from = self.at;
        let (mut depth, mut quote) = (0usize, None);
        while let Some(c) = self.peek(0) {
            match (quote, c) {
                (Some(end), c) if c == end => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') if depth == 0 => {
                    let text = self.characters[from..self.at].iter().collect();
                    self.at += count;
                    return Ok(text);
                }
                (None, ')') => depth -= 1,
                (_, '\\') => self.at += 1,
                _ => {}
            }
            self.at += 1;
        }
        Err("unexpected end of file (expecting \")\")".into())
    }
}
