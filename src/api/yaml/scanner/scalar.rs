//! Scalars: block, quoted and plain.
//!
//! Follows scannerc.go of go-yaml v2 (`yaml_parser_scan_block_scalar`, `..._flow_scalar`, `..._plain_scalar`).

use std::borrow::Cow;

use super::{Item, Result, Scanner, Token};
use crate::api::yaml::Mark;

impl<'a> Scanner<'a> {
    pub(super) fn fetch_block_scalar(&mut self, literal: bool) -> Result<()> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let start = self.mark;
        self.advance();
        let (mut chomping, mut increment) = (0u8, 0i64);
        // A chomping and an indentation indicator, in either order.
        for _ in 0..2 {
            match self.at(0) {
                sign @ (b'+' | b'-') if chomping == 0 => {
                    chomping = sign;
                    self.advance();
                }
                b'0' if increment == 0 => return self.error("found an indentation indicator equal to 0"),
                digit @ b'1'..=b'9' if increment == 0 => {
                    increment = i64::from(digit - b'0');
                    self.advance();
                }
                _ => break,
            }
        }
        while self.is_blank(0) {
            self.advance();
        }
        if self.at(0) == b'#' {
            while !self.is_break_or_end(0) {
                self.advance();
            }
        }
        if !self.is_break_or_end(0) {
            return self.error("did not find expected comment or line break");
        }
        self.advance_line();
        let mut end = self.mark;
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let (mut text, mut leading_break, mut trailing_breaks) =
            (String::new(), String::new(), String::new());
        self.block_scalar_breaks(&mut indent, &mut trailing_breaks, &mut end)?;
        let mut leading_blank = false;
        while self.column() == indent && !self.is_end() {
            let trailing_blank = self.is_blank(0);
            if !literal && !leading_blank && !trailing_blank && leading_break.starts_with('\n') {
                if trailing_breaks.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(&leading_break);
            }
            leading_break.clear();
            text.push_str(&trailing_breaks);
            trailing_breaks.clear();
            leading_blank = self.is_blank(0);
            let line_start = self.mark.offset;
            while !self.is_break_or_end(0) {
                self.advance();
            }
            text.push_str(&self.text[line_start..self.mark.offset]);
            if !self.is_end() {
                self.take_break(&mut leading_break);
            }
            self.block_scalar_breaks(&mut indent, &mut trailing_breaks, &mut end)?;
        }
        if chomping != b'-' {
            text.push_str(&leading_break);
        }
        if chomping == b'+' {
            text.push_str(&trailing_breaks);
        }
        let token = Token::Scalar { text: Cow::Owned(text), plain: false };
        self.tokens.push_back(Item { token, start, end });
        Ok(())
    }

    /// Empty lines and indentation; finds the indentation out if it is not known yet.
    fn block_scalar_breaks(&mut self, indent: &mut i64, breaks: &mut String, end: &mut Mark) -> Result<()> {
        *end = self.mark;
        let mut widest = 0;
        loop {
            while (*indent == 0 || self.column() < *indent) && self.at(0) == b' ' {
                self.advance();
            }
            widest = widest.max(self.column());
            if (*indent == 0 || self.column() < *indent) && self.at(0) == b'\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            if self.break_length(0) == 0 {
                break;
            }
            self.take_break(breaks);
            *end = self.mark;
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    pub(super) fn fetch_flow_scalar(&mut self, single: bool) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let start = self.mark;
        self.advance();
        let quote = if single { b'\'' } else { b'"' };
        let mut text = String::new();
        // The common case has neither escapes nor line breaks.
        let plain = self.bytes[self.mark.offset..]
            .iter()
            .take_while(|byte| **byte != quote && (0x20..0x80).contains(*byte) && **byte != b'\\')
            .count();
        if self.at(plain) == quote && !(single && self.at(plain + 1) == b'\'') {
            let slice = &self.text[self.mark.offset..self.mark.offset + plain];
            self.mark.offset += plain + 1;
            self.mark.column += plain + 1;
            return self.push(Token::Scalar { text: Cow::Borrowed(slice), plain: false }, start);
        }
        let (mut whitespace, mut leading_break, mut trailing_breaks) =
            (String::new(), String::new(), String::new());
        loop {
            if self.is_document_indicator() {
                return self.error("found unexpected document indicator");
            }
            if self.is_end() {
                return self.error("found unexpected end of stream");
            }
            let mut leading_blanks = false;
            while !self.is_blank_or_end(0) {
                match self.at(0) {
                    b'\'' if single && self.at(1) == b'\'' => {
                        text.push('\'');
                        self.advance_by(2);
                    }
                    byte if byte == quote => break,
                    b'\\' if !single && self.break_length(1) > 0 => {
                        self.advance();
                        self.advance_line();
                        leading_blanks = true;
                        break;
                    }
                    b'\\' if !single => self.escape(&mut text)?,
                    _ => self.take_char(&mut text),
                }
            }
            if self.at(0) == quote {
                break;
            }
            while self.is_blank(0) || self.break_length(0) > 0 {
                if self.is_blank(0) {
                    if leading_blanks {
                        self.advance();
                    } else {
                        self.take_char(&mut whitespace);
                    }
                } else if leading_blanks {
                    self.take_break(&mut trailing_breaks);
                } else {
                    whitespace.clear();
                    self.take_break(&mut leading_break);
                    leading_blanks = true;
                }
            }
            if leading_blanks {
                fold(&mut text, &mut leading_break, &mut trailing_breaks);
            } else {
                text.push_str(&whitespace);
                whitespace.clear();
            }
        }
        self.advance();
        self.push(Token::Scalar { text: Cow::Owned(text), plain: false }, start)
    }

    fn escape(&mut self, text: &mut String) -> Result<()> {
        let (character, digits) = match self.at(1) {
            b'0' => ('\0', 0),
            b'a' => ('\x07', 0),
            b'b' => ('\x08', 0),
            b't' | b'\t' => ('\t', 0),
            b'n' => ('\n', 0),
            b'v' => ('\x0B', 0),
            b'f' => ('\x0C', 0),
            b'r' => ('\r', 0),
            b'e' => ('\x1B', 0),
            b' ' => (' ', 0),
            b'"' => ('"', 0),
            b'\'' => ('\'', 0),
            b'\\' => ('\\', 0),
            b'N' => ('\u{85}', 0),
            b'_' => ('\u{A0}', 0),
            b'L' => ('\u{2028}', 0),
            b'P' => ('\u{2029}', 0),
            b'x' => ('\0', 2),
            b'u' => ('\0', 4),
            b'U' => ('\0', 8),
            _ => return self.error("found unknown escape character"),
        };
        self.advance_by(2);
        if digits == 0 {
            text.push(character);
            return Ok(());
        }
        let mut code = 0u32;
        for place in 0..digits {
            match (self.at(place) as char).to_digit(16) {
                Some(digit) => code = code.wrapping_shl(4) + digit,
                None => return self.error("did not find expected hexdecimal number"),
            }
        }
        match char::from_u32(code) {
            Some(character) => text.push(character),
            None => return self.error("found invalid Unicode character escape code"),
        }
        self.advance_by(digits);
        Ok(())
    }

    pub(super) fn fetch_plain_scalar(&mut self) -> Result<()> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let (start, indent, in_flow) = (self.mark, self.indent + 1, self.flow_level() > 0);
        let mut end = start;
        // Borrowed as long as it stands on one line.
        let mut folded: Option<String> = None;
        let (mut leading_break, mut trailing_breaks) = (String::new(), String::new());
        let mut leading_blanks = false;
        loop {
            if self.is_document_indicator() || self.at(0) == b'#' {
                break;
            }
            let part = self.mark.offset;
            while !self.is_blank_or_end(0) {
                let byte = self.at(0);
                let stops = (byte == b':' && self.is_blank_or_end(1))
                    || (in_flow && matches!(byte, b',' | b'?' | b'[' | b']' | b'{' | b'}'));
                if stops {
                    break;
                }
                self.advance();
            }
            if self.mark.offset > part {
                if leading_blanks {
                    let text = folded.get_or_insert_with(|| self.text[start.offset..end.offset].to_owned());
                    fold(text, &mut leading_break, &mut trailing_breaks);
                    text.push_str(&self.text[part..self.mark.offset]);
                    leading_blanks = false;
                } else if let Some(text) = &mut folded {
                    // Blanks within the line, then the part.
                    text.push_str(&self.text[end.offset..self.mark.offset]);
                }
                end = self.mark;
            }
            if !(self.is_blank(0) || self.break_length(0) > 0) {
                break;
            }
            while self.is_blank(0) || self.break_length(0) > 0 {
                if self.is_blank(0) {
                    if leading_blanks && self.column() < indent && self.at(0) == b'\t' {
                        return self.error("found a tab character that violates indentation");
                    }
                    self.advance();
                } else if leading_blanks {
                    self.take_break(&mut trailing_breaks);
                } else {
                    self.take_break(&mut leading_break);
                    leading_blanks = true;
                }
            }
            if !in_flow && self.column() < indent {
                break;
            }
        }
        let text = match folded {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(&self.text[start.offset..end.offset]),
        };
        self.tokens.push_back(Item { token: Token::Scalar { text, plain: true }, start, end });
        if leading_blanks {
            self.simple_key_allowed = true;
        }
        Ok(())
    }
}

/// Joins lines: one break becomes a space, of several all but the first stay.
fn fold(text: &mut String, leading_break: &mut String, trailing_breaks: &mut String) {
    if leading_break.starts_with('\n') {
        if trailing_breaks.is_empty() {
            text.push(' ');
        }
    } else {
        text.push_str(leading_break);
    }
    text.push_str(trailing_breaks);
    leading_break.clear();
    trailing_breaks.clear();
}
