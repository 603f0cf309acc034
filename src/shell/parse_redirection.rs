//! Reads redirections and here-documents.
//!
//! Picture to hold in mind: a plumber's part of the plan: which pipe is screwed to which, and what stands ready in a
//! bucket below the sink.

use super::parse::{Parser, SyntaxError, is_meta};
use super::syntax::{Piece, Redirection, Target, Word};
use crate::arrange::Gather;

impl Parser<'_> {
    pub(super) fn redirections(&mut self) -> Result<Vec<Redirection>, SyntaxError> {
        let mut redirections = Vec::new();
        loop {
            self.skip_blank();
            match self.redirection()? {
                Some(redirection) => redirections.push(redirection),
                None => return Ok(redirections),
            }
        }
    }
    pub(super) fn redirection(&mut self) -> Result<Option<Redirection>, SyntaxError> {
        if self.looking_at("&>") {
            // `&> file` is `> file 2>&1`: the second half is left in the text's stead.
            self.position += 2;
            let append = self.take(">");
            self.skip_blank();
            let word = self.word()?;
            return Ok(Some(Redirection { descriptor: 3, target: Target::Write { word, append } }));
        }
        let digit =
            self.peek().and_then(|c| c.to_digit(10)).filter(|_| matches!(self.peek_at(1), Some('<' | '>')));
        let descriptor = match (digit, self.peek()) {
            (Some(digit), _) => {
                self.position += 1;
                Some(digit as u8)
            }
            (None, Some('<' | '>')) => None,
            _ => return Ok(None),
        };
        if descriptor.is_some_and(|descriptor| descriptor > 2) {
            return Err(SyntaxError::Other(format!("{}: Bad file descriptor", descriptor.unwrap_or(0))));
        }
        if self.take("<<<") {
            self.skip_blank();
            let mut word = self.word()?;
            word.push(Piece::Quoted("\n".into()));
            return Ok(Some(Redirection { descriptor: 0, target: Target::Here(word) }));
        }
        if self.take("<<") {
            let strip_tabs = self.take("-");
            return Ok(Some(Redirection {
                descriptor: 0,
                target: Target::Here(self.here_document(strip_tabs)?),
            }));
        }
        let write = self.peek() == Some('>');
        self.position += 1;
        let append = write && self.take(">");
        let duplicate = !append && self.take("&");
        if write {
            self.take("|");
        }
        self.skip_blank();
        let descriptor = descriptor.unwrap_or(u8::from(write));
        if duplicate {
            let target = self.peek().and_then(|c| c.to_digit(10)).filter(|digit| *digit <= 2);
            let Some(target) = target else { return Err(self.unexpected()) };
            self.position += 1;
            return Ok(Some(Redirection { descriptor, target: Target::Duplicate(target as u8) }));
        }
        if self.peek().is_none_or(is_meta) {
            return Err(self.unexpected());
        }
        let word = self.word()?;
        let target = if write { Target::Write { word, append } } else { Target::Read(word) };
        Ok(Some(Redirection { descriptor, target }))
    }
    fn here_document(&mut self, strip_tabs: bool) -> Result<Word, SyntaxError> {
        self.skip_blank();
        let word = self.word()?;
        let quoted = word.iter().any(|piece| matches!(piece, Piece::Quoted(_)));
        let delimiter: String = word
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) | Piece::Quoted(text) => text.as_str(),
                _ => "",
            })
            .collect();
        let mut start = self.after_line.unwrap_or_else(|| self.line_end(self.position));
        let mut body = String::new();
        loop {
            if start >= self.text.len() {
                // Bash warns and takes what there is.
                break;
            }
            let end =
                (start..self.text.len()).find(|index| self.text[*index] == '\n').unwrap_or(self.text.len());
            let line: String = self.text[start..end].iter().collect();
            let line = if strip_tabs { line.trim_start_matches('\t') } else { &line };
            start = end + 1;
            if line == delimiter {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        self.after_line = Some(start.min(self.text.len()));
        if quoted {
            return Ok(vec![Piece::Quoted(body)]);
        }
        let text: Vec<char> = body.chars().gather();
        let mut inner = Parser { text: &text, position: 0, depth: self.depth, after_line: None };
        inner.double_quoted(None)
    }
    /// The position behind the end of the line at `from`; quotes may hold a line's end.
    fn line_end(&self, from: usize) -> usize {
        let mut quote = None;
        let mut index = from;
        while let Some(&character) = self.text.get(index) {
            match (character, quote) {
                ('\\', None | Some('"')) => index += 1,
                ('\'' | '"', None) => quote = Some(character),
                (c, Some(q)) if c == q => quote = None,
                ('\n', None) => return index + 1,
                _ => {}
            }
            index += 1;
        }
        self.text.len()
    }
}
