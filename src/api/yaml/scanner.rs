//! Characters into tokens, as libyaml does it.
//!
//! Picture to hold in mind: a proof-reader with a ruler. The ruler lies on the current indentation: text further
//! right opens a block, text further left closes some. Beside the page he keeps one pencil mark for each open
//! bracket: "this might be a key, if a colon comes soon".
//!
//! kubectl reads YAML with go-yaml v2, which follows libyaml, so what is accepted, what is refused, and at which
//! line, follow libyaml's scanner here, YAML 1.1 leniencies included.

mod scalar;

use std::borrow::Cow;
use std::collections::VecDeque;

use super::{MAX_DEPTH, Mark, YamlError};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    StreamEnd,
    /// `%YAML` or `%TAG` (its handle and prefix); others are errors.
    Directive(Option<(&'a str, &'a str)>),
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    /// Handle and suffix; the handle is empty for a verbatim tag.
    Tag(&'a str, String),
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub token: Token<'a>,
    pub start: Mark,
    pub end: Mark,
}

/// A place where a key may have begun.
#[derive(Clone, Copy, Debug)]
struct SimpleKey {
    required: bool,
    token_number: usize,
    mark: Mark,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    mark: Mark,
    tokens: VecDeque<Item<'a>>,
    /// Tokens handed out so far.
    taken: usize,
    ended: bool,
    indent: i64,
    indents: Vec<i64>,
    simple_key_allowed: bool,
    /// One a flow level, the block level's first.
    simple_keys: Vec<Option<SimpleKey>>,
}

type Result<T> = std::result::Result<T, YamlError>;

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner {
            text,
            bytes: text.as_bytes(),
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            ended: false,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![None],
        }
    }

    /// The next token, left in place.
    pub fn peek(&mut self) -> Result<&Item<'a>> {
        while self.needs_more()? {
            self.fetch()?;
        }
        // needs_more is only false with a token at hand.
        self.tokens.front().ok_or_else(|| YamlError::plain("unexpected end of tokens", self.mark))
    }
    pub fn skip(&mut self) {
        if self.tokens.pop_front().is_some() {
            self.taken += 1;
        }
    }

    /// More must be read while there is nothing, or while the front token may yet turn out to be a key.
    fn needs_more(&mut self) -> Result<bool> {
        if self.tokens.is_empty() {
            return Ok(!self.ended);
        }
        for level in 0..self.simple_keys.len() {
            if self.simple_keys[level].is_some_and(|key| key.token_number == self.taken) {
                return self.key_is_valid(level);
            }
        }
        Ok(false)
    }

    fn at(&self, ahead: usize) -> u8 {
        self.bytes.get(self.mark.offset + ahead).copied().unwrap_or(0)
    }
    fn is_end(&self) -> bool {
        self.mark.offset >= self.bytes.len()
    }
    /// The length of the line break `ahead`, 0 for none; `\r\n` counts as one.
    fn break_length(&self, ahead: usize) -> usize {
        match (self.at(ahead), self.at(ahead + 1), self.at(ahead + 2)) {
            (b'\r', b'\n', _) => 2,
            (b'\r' | b'\n', ..) => 1,
            (0xC2, 0x85, _) => 2,
            (0xE2, 0x80, 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }
    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }
    fn is_break_or_end(&self, ahead: usize) -> bool {
        self.at(ahead) == 0 || self.break_length(ahead) > 0
    }
    fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }
    /// Steps over one character that is no line break.
    fn advance(&mut self) {
        let width = match self.at(0) {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        self.mark.offset = (self.mark.offset + width).min(self.bytes.len());
        self.mark.column += 1;
    }
    fn advance_by(&mut self, count: usize) {
        for _ in 0..count {
            self.advance();
        }
    }
    fn advance_line(&mut self) {
        let length = self.break_length(0);
        if length > 0 {
            self.mark.offset += length;
            self.mark.line += 1;
            self.mark.column = 0;
        }
    }
    /// The text of a line break as it appears in a scalar: the ASCII ones become `\n`.
    fn take_break(&mut self, into: &mut String) {
        match self.at(0) {
            0xE2 => into.push_str(&self.text[self.mark.offset..self.mark.offset + 3]),
            _ => into.push('\n'),
        }
        self.advance_line();
    }
    fn take_char(&mut self, into: &mut String) {
        let start = self.mark.offset;
        self.advance();
        into.push_str(&self.text[start..self.mark.offset]);
    }
    fn is_document_indicator(&self) -> bool {
        let three = [self.at(0), self.at(1), self.at(2)];
        self.mark.column == 0 && (three == *b"---" || three == *b"...") && self.is_blank_or_end(3)
    }
    fn flow_level(&self) -> usize {
        self.simple_keys.len() - 1
    }
    fn column(&self) -> i64 {
        self.mark.column as i64
    }
    /// A scanner's complaint: at the line where it stands, of which upstream does not name the first.
    fn error<T>(&self, message: &str) -> Result<T> {
        let line = if self.mark.line == 0 { 0 } else { self.mark.line + 1 };
        Err(YamlError::at_line(message, line, self.mark))
    }

    fn fetch(&mut self) -> Result<()> {
        self.skip_to_token();
        self.unroll_indent(self.column());
        if self.is_end() {
            return self.fetch_stream_end();
        }
        let (byte, next_blank) = (self.at(0), self.is_blank_or_end(1));
        let in_flow = self.flow_level() > 0;
        if self.mark.column == 0 && byte == b'%' {
            return self.fetch_directive();
        }
        if self.is_document_indicator() {
            let token = if byte == b'-' { Token::DocumentStart } else { Token::DocumentEnd };
            self.unroll_indent(-1);
            self.remove_simple_key()?;
            self.simple_key_allowed = false;
            return self.push_symbol(token, 3);
        }
        match byte {
            b'[' => self.fetch_flow_start(Token::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Token::FlowMappingStart),
            b']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Token::FlowMappingEnd),
            b',' => {
                self.remove_simple_key()?;
                self.simple_key_allowed = true;
                self.push_symbol(Token::FlowEntry, 1)
            }
            b'-' if next_blank => self.fetch_block_entry(),
            b'?' if in_flow || next_blank => self.fetch_key(),
            b':' if in_flow || next_blank => self.fetch_value(),
            b'*' | b'&' => self.fetch_anchor(byte == b'*'),
            b'!' => self.fetch_tag(),
            b'|' | b'>' if !in_flow => self.fetch_block_scalar(byte == b'|'),
            b'\'' | b'"' => self.fetch_flow_scalar(byte == b'\''),
            b'-' if !self.is_blank(1) => self.fetch_plain_scalar(),
            b'?' | b':' if !in_flow => self.fetch_plain_scalar(),
            b'-' | b'?' | b':' | b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b' ' | b'\t' | 0 => {
                self.error("found character that cannot start any token")
            }
            _ => self.fetch_plain_scalar(),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.column == 0 && self.bytes[self.mark.offset..].starts_with(b"\xEF\xBB\xBF") {
                self.advance();
            }
            let tabs = self.flow_level() > 0 || !self.simple_key_allowed;
            while self.at(0) == b' ' || (tabs && self.at(0) == b'\t') {
                self.advance();
            }
            if self.at(0) == b'#' {
                while !self.is_break_or_end(0) {
                    self.advance();
                }
            }
            if self.break_length(0) == 0 {
                return;
            }
            self.advance_line();
            if self.flow_level() == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn push(&mut self, token: Token<'a>, start: Mark) -> Result<()> {
        self.tokens.push_back(Item { token, start, end: self.mark });
        Ok(())
    }
    fn push_symbol(&mut self, token: Token<'a>, length: usize) -> Result<()> {
        let start = self.mark;
        self.advance_by(length);
        self.push(token, start)
    }

    fn key_is_valid(&mut self, level: usize) -> Result<bool> {
        let Some(key) = self.simple_keys[level] else { return Ok(false) };
        if key.mark.line < self.mark.line || key.mark.offset + 1024 < self.mark.offset {
            if key.required {
                return self.error("could not find expected ':'");
            }
            self.simple_keys[level] = None;
            return Ok(false);
        }
        Ok(true)
    }
    fn save_simple_key(&mut self) -> Result<()> {
        if self.simple_key_allowed {
            let required = self.flow_level() == 0 && self.indent == self.column();
            let token_number = self.taken + self.tokens.len();
            self.remove_simple_key()?;
            let key = SimpleKey { required, token_number, mark: self.mark };
            if let Some(last) = self.simple_keys.last_mut() {
                *last = Some(key);
            }
        }
        Ok(())
    }
    fn remove_simple_key(&mut self) -> Result<()> {
        if self.simple_keys.last().is_some_and(|key| key.is_some_and(|key| key.required)) {
            return self.error("could not find expected ':'");
        }
        if let Some(last) = self.simple_keys.last_mut() {
            *last = None;
        }
        Ok(())
    }

    /// Opens a block at `column` unless one is open there; its token goes before token `number`, or last.
    fn roll_indent(
        &mut self,
        column: i64,
        number: Option<usize>,
        token: Token<'a>,
        mark: Mark,
    ) -> Result<()> {
        if self.flow_level() > 0 || self.indent >= column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column;
        if self.indents.len() > MAX_DEPTH {
            return self.error(&format!("exceeded max depth of {MAX_DEPTH}"));
        }
        let item = Item { token, start: mark, end: mark };
        match number {
            Some(number) => self.tokens.insert(number - self.taken, item),
            None => self.tokens.push_back(item),
        }
        Ok(())
    }
    /// Closes the blocks that are further right than `column`.
    fn unroll_indent(&mut self, column: i64) {
        if self.flow_level() > 0 {
            return;
        }
        while self.indent > column {
            let item = Item { token: Token::BlockEnd, start: self.mark, end: self.mark };
            self.tokens.push_back(item);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_stream_end(&mut self) -> Result<()> {
        // Forces a new line, so that whatever waits for its colon is found out.
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.ended = true;
        self.push(Token::StreamEnd, self.mark)
    }
    fn fetch_flow_start(&mut self, token: Token<'a>) -> Result<()> {
        self.save_simple_key()?;
        self.simple_keys.push(None);
        if self.flow_level() > MAX_DEPTH {
            return self.error(&format!("exceeded max depth of {MAX_DEPTH}"));
        }
        self.simple_key_allowed = true;
        self.push_symbol(token, 1)
    }
    fn fetch_flow_end(&mut self, token: Token<'a>) -> Result<()> {
        self.remove_simple_key()?;
        if self.flow_level() > 0 {
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.push_symbol(token, 1)
    }
    fn fetch_block_entry(&mut self) -> Result<()> {
        if self.flow_level() == 0 {
            if !self.simple_key_allowed {
                return self.error("block sequence entries are not allowed in this context");
            }
            self.roll_indent(self.column(), None, Token::BlockSequenceStart, self.mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push_symbol(Token::BlockEntry, 1)
    }
    fn fetch_key(&mut self) -> Result<()> {
        if self.flow_level() == 0 {
            if !self.simple_key_allowed {
                return self.error("mapping keys are not allowed in this context");
            }
            self.roll_indent(self.column(), None, Token::BlockMappingStart, self.mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level() == 0;
        self.push_symbol(Token::Key, 1)
    }
    fn fetch_value(&mut self) -> Result<()> {
        let level = self.flow_level();
        if self.key_is_valid(level)?
            && let Some(key) = self.simple_keys[level]
        {
            let item = Item { token: Token::Key, start: key.mark, end: key.mark };
            self.tokens.insert(key.token_number - self.taken, item);
            let column = key.mark.column as i64;
            self.roll_indent(column, Some(key.token_number), Token::BlockMappingStart, key.mark)?;
            self.simple_keys[level] = None;
            self.simple_key_allowed = false;
        } else {
            if level == 0 {
                if !self.simple_key_allowed {
                    return self.error("mapping values are not allowed in this context");
                }
                self.roll_indent(self.column(), None, Token::BlockMappingStart, self.mark)?;
            }
            self.simple_key_allowed = level == 0;
        }
        self.push_symbol(Token::Value, 1)
    }

    fn fetch_directive(&mut self) -> Result<()> {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        let end =
            self.text[start.offset..].find(['\n', '\r']).map_or(self.text.len(), |end| start.offset + end);
        let line = &self.text[start.offset + 1..end];
        let line = line.split(" #").next().unwrap_or(line);
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let token = match (words.next(), words.next(), words.next()) {
            (Some("YAML"), Some(version), None) => {
                if version != "1.1" {
                    // Upstream's parser refuses other versions.
                    return Err(YamlError::at_line("found incompatible YAML document", start.line, start));
                }
                Token::Directive(None)
            }
            (Some("YAML"), ..) => return self.error("did not find expected digit or '.' character"),
            (Some("TAG"), Some(handle), Some(prefix)) => Token::Directive(Some((handle, prefix))),
            (Some("TAG"), ..) => return self.error("did not find expected whitespace"),
            (Some(_), ..) => return self.error("found unknown directive name"),
            (None, ..) => return self.error("could not find expected directive name"),
        };
        while self.mark.offset < end {
            self.advance();
        }
        self.push(token, start)
    }

    fn fetch_anchor(&mut self, alias: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        self.advance();
        let name_start = self.mark.offset;
        while self.at(0).is_ascii_alphanumeric() || matches!(self.at(0), b'_' | b'-') {
            self.advance();
        }
        let name = &self.text[name_start..self.mark.offset];
        let ends = self.is_blank_or_end(0)
            || matches!(self.at(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !ends {
            return self.error("did not find expected alphabetic or numeric character");
        }
        self.push(if alias { Token::Alias(name) } else { Token::Anchor(name) }, start)
    }

    fn fetch_tag(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        let rest = &self.text[start.offset..];
        let (handle, suffix_start, verbatim) = if rest.starts_with("!<") {
            ("", 2, true)
        } else {
            // `!handle!suffix`, `!!suffix`, or the primary handle `!suffix`.
            let word = rest[1..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
                .unwrap_or(rest.len() - 1);
            match rest.as_bytes().get(1 + word) {
                Some(b'!') => (&rest[..word + 2], word + 2, false),
                _ => ("!", 1, false),
            }
        };
        let length = rest[suffix_start..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_;/?:@&=+$,.!~*'()[]%".contains(c)))
            .unwrap_or(rest.len() - suffix_start);
        let suffix = &rest[suffix_start..suffix_start + length];
        self.advance_by(suffix_start + length);
        if verbatim {
            if self.at(0) != b'>' {
                return self.error("did not find the expected '>'");
            }
            self.advance();
        }
        if !self.is_blank_or_end(0) {
            return self.error("did not find expected whitespace or line break");
        }
        // A lone `!` is a tag of its own: handle empty, suffix `!`.
        let token = if handle == "!" && suffix.is_empty() {
            Token::Tag("", "!".to_owned())
        } else {
            Token::Tag(handle, suffix.to_owned())
        };
        self.push(token, start)
    }
}
