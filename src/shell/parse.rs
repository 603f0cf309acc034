//! Reads shell text, one complete command at a time, as a shell reads its input.
//!
//! Picture to hold in mind: a reader with a finger on the text. It stops after each whole command, so that
//! what stands before a mistake has already run when the mistake is met, as in a real shell.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;

use super::syntax::{Node, Piece, Redirection, Simple, Target, Word};

/// Deeper nesting than this is refused, so that no input can exhaust the stack.
pub(super) const MAXIMUM_DEPTH: usize = 60;

/// Why a text is no command; the words for it are the shell's ([`super::system::Dialect`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// This token (or `newline`) may not stand here.
    Unexpected(String),
    /// The text ends too early.
    End {
        wanted: Option<&'static str>,
    },
    /// A quote or a bracket is not closed.
    Unterminated(char),
    Other(String),
}

pub struct Parser<'a> {
    pub(super) text: &'a [char],
    pub(super) position: usize,
    pub(super) depth: usize,
    /// Where the text goes on after the line at hand: behind its here-documents.
    pub(super) after_line: Option<usize>,
}

/// Characters that end an unquoted word.
pub(super) fn is_meta(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

const CLOSING: [&str; 8] = ["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl<'a> Parser<'a> {
    pub fn new(text: &'a [char], position: usize) -> Parser<'a> {
        Parser { text, position, depth: 0, after_line: None }
    }

    /// The next complete command (a line, or more where it goes on), `None` at the end of the text.
    pub fn next_command(&mut self) -> Result<Option<Node>, SyntaxError> {
        loop {
            self.skip_blank();
            if !self.newline() {
                break;
            }
        }
        if self.peek().is_none() {
            return Ok(None);
        }
        let node = self.line()?;
        self.skip_blank();
        match self.peek() {
            None => {}
            Some('\n') => {
                self.newline();
            }
            Some(_) => return Err(self.unexpected()),
        }
        Ok(Some(node))
    }
    pub fn position(&self) -> usize {
        self.position
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.position).copied()
    }
    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.text.get(self.position + ahead).copied()
    }
    pub(super) fn looking_at(&self, token: &str) -> bool {
        token.chars().enumerate().all(|(index, character)| self.peek_at(index) == Some(character))
    }
    pub(super) fn take(&mut self, token: &str) -> bool {
        let found = self.looking_at(token);
        if found {
            self.position += token.chars().count();
        }
        found
    }
    /// Spaces, comments and joined lines.
    pub(super) fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.position += 1,
                Some('\\') if self.peek_at(1) == Some('\n') => self.position += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.position += 1;
                    }
                }
                _ => return,
            }
        }
    }
    /// Takes a line's end, and the here-documents behind it.
    fn newline(&mut self) -> bool {
        if self.peek() != Some('\n') {
            return false;
        }
        self.position += 1;
        if let Some(position) = self.after_line.take() {
            self.position = position.max(self.position);
        }
        true
    }
    fn skip_newlines(&mut self) {
        loop {
            self.skip_blank();
            if !self.newline() {
                return;
            }
        }
    }
    pub(super) fn unexpected(&self) -> SyntaxError {
        let rest: String = self.text[self.position..].iter().take(40).collect();
        let token: String = match rest.chars().next() {
            None => return SyntaxError::End { wanted: None },
            Some('\n') => "newline".into(),
            Some(_) => ["&&", "||", ";;", ";", "|", "&", "(", ")", "<", ">"]
                .iter()
                .find(|token| rest.starts_with(**token))
                .map(|token| token.to_string())
                .unwrap_or_else(|| rest.chars().take_while(|c| !is_meta(*c)).gather()),
        };
        SyntaxError::Unexpected(token)
    }
    pub(super) fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err(SyntaxError::Other("commands are nested too deeply".into()));
        }
        Ok(())
    }

    /// The keyword that stands here, if any of `words` does.
    fn keyword(&self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|word| {
            self.looking_at(word) && self.peek_at(word.len()).is_none_or(|next| is_meta(next) || next == '#')
        })
    }
    fn expect_keyword(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        self.skip_newlines();
        if self.keyword(&[word]).is_none() {
            return Err(match self.peek() {
                None => SyntaxError::End { wanted: Some(word) },
                Some(_) => self.unexpected(),
            });
        }
        self.take(word);
        Ok(())
    }

    /// `and-or ; and-or & ...` up to the end of the line.
    fn line(&mut self) -> Result<Node, SyntaxError> {
        let mut nodes = Vec::new();
        loop {
            let mut node = self.and_or()?;
            self.skip_blank();
            let mut more = false;
            if self.looking_at("&") && !self.looking_at("&&") {
                self.position += 1;
                node = Node::Background(Arc::new(node));
                more = true;
            } else if self.looking_at(";") && !self.looking_at(";;") {
                self.position += 1;
                more = true;
            }
            nodes.push(node);
            self.skip_blank();
            if !more || self.ends_list() || self.peek() == Some('\n') {
                break;
            }
        }
        Ok(one_or_list(nodes))
    }
    fn ends_list(&self) -> bool {
        match self.peek() {
            None | Some(')') => true,
            Some(';') => self.looking_at(";;"),
            _ => self.keyword(&CLOSING).is_some(),
        }
    }
    /// Lines up to a closing word; `closing` is the one that is wanted.
    fn compound_list(&mut self, closing: &'static str) -> Result<Node, SyntaxError> {
        self.enter()?;
        let mut nodes = Vec::new();
        loop {
            self.skip_newlines();
            if self.ends_list() {
                break;
            }
            nodes.push(self.line()?);
            self.skip_blank();
            if self.peek() != Some('\n') && !self.ends_list() {
                return Err(self.unexpected());
            }
        }
        self.depth -= 1;
        match (nodes.is_empty(), self.peek()) {
            (true, None) => Err(SyntaxError::End { wanted: Some(closing) }),
            (true, Some(_)) => Err(self.unexpected()),
            (false, _) => Ok(one_or_list(nodes)),
        }
    }
    fn and_or(&mut self) -> Result<Node, SyntaxError> {
        let mut node = self.pipeline()?;
        loop {
            self.skip_blank();
            let and = self.looking_at("&&");
            if !and && !self.looking_at("||") {
                return Ok(node);
            }
            self.position += 2;
            self.skip_newlines();
            let right = Arc::new(self.pipeline()?);
            node = if and { Node::And(Arc::new(node), right) } else { Node::Or(Arc::new(node), right) };
        }
    }
    fn pipeline(&mut self) -> Result<Node, SyntaxError> {
        self.skip_blank();
        let mut negated = false;
        while self.keyword(&["!"]).is_some() {
            self.position += 1;
            negated = !negated;
            self.skip_blank();
        }
        let mut parts = vec![self.command()?];
        loop {
            self.skip_blank();
            if !self.looking_at("|") || self.looking_at("||") {
                break;
            }
            self.position += 1;
            if self.take("&") {
                // `|&` is `2>&1 |`.
                let body = Arc::new(one_or_list(parts.pop().into_iter().collect()));
                let redirections = vec![Redirection { descriptor: 2, target: Target::Duplicate(1) }];
                parts.push(Node::Group { body, redirections });
            }
            self.skip_newlines();
            parts.push(self.command()?);
        }
        if parts.len() == 1 && !negated {
            return Ok(one_or_list(parts));
        }
        Ok(Node::Pipeline { negated, parts: parts.into_iter().map(Arc::new).collect() })
    }

    fn command(&mut self) -> Result<Node, SyntaxError> {
        self.enter()?;
        self.skip_blank();
        let node = self.command_inner()?;
        self.depth -= 1;
        Ok(node)
    }
    fn command_inner(&mut self) -> Result<Node, SyntaxError> {
        if self.looking_at("(") {
            self.position += 1;
            let body = Arc::new(self.compound_list(")")?);
            self.skip_newlines();
            if !self.take(")") {
                return Err(match self.peek() {
                    None => SyntaxError::End { wanted: Some(")") },
                    Some(_) => self.unexpected(),
                });
            }
            return Ok(Node::Subshell { body, redirections: self.redirections()? });
        }
        let compound = match self.keyword(&["{", "if", "while", "until", "for", "case"]) {
            None => return self.simple(),
            Some(word) => {
                self.take(word);
                word
            }
        };
        let node = match compound {
            "{" => {
                let body = self.compound_list("}")?;
                self.expect_keyword("}")?;
                body
            }
            "if" => self.if_clause()?,
            "for" => self.for_clause()?,
            "case" => self.case_clause()?,
            _ => {
                let condition = Arc::new(self.compound_list("do")?);
                let body = Arc::new(self.do_group()?);
                Node::Loop { until: compound == "until", condition, body }
            }
        };
        let redirections = self.redirections()?;
        Ok(if redirections.is_empty() { node } else { Node::Group { body: Arc::new(node), redirections } })
    }
    fn do_group(&mut self) -> Result<Node, SyntaxError> {
        self.expect_keyword("do")?;
        let body = self.compound_list("done")?;
        self.expect_keyword("done")?;
        Ok(body)
    }
    fn if_clause(&mut self) -> Result<Node, SyntaxError> {
        let mut branches = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = Arc::new(self.compound_list("then")?);
            self.expect_keyword("then")?;
            branches.push((condition, Arc::new(self.compound_list("fi")?)));
            self.skip_newlines();
            match self.keyword(&["elif", "else", "fi"]) {
                Some("elif") => {
                    self.take("elif");
                }
                Some("else") => {
                    self.take("else");
                    otherwise = Some(Arc::new(self.compound_list("fi")?));
                    self.expect_keyword("fi")?;
                    break;
                }
                _ => {
                    self.expect_keyword("fi")?;
                    break;
                }
            }
        }
        Ok(Node::If { branches, otherwise })
    }
    fn for_clause(&mut self) -> Result<Node, SyntaxError> {
        self.skip_blank();
        let name = self.bare_word();
        if !is_name(&name) {
            return Err(SyntaxError::Other(format!("`{name}': not a valid identifier")));
        }
        self.skip_newlines();
        let mut words = None;
        if self.keyword(&["in"]).is_some() {
            self.take("in");
            let mut list = Vec::new();
            loop {
                self.skip_blank();
                match self.peek() {
                    None | Some('\n' | ';') => break,
                    Some(c) if is_meta(c) => return Err(self.unexpected()),
                    Some(_) => list.push(self.word()?),
                }
            }
            words = Some(list);
        }
        self.skip_blank();
        self.take(";");
        let body = Arc::new(self.do_group()?);
        Ok(Node::For { name: name.into(), words, body })
    }
    fn case_clause(&mut self) -> Result<Node, SyntaxError> {
        self.skip_blank();
        let word = self.word()?;
        self.expect_keyword("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_newlines();
            if self.keyword(&["esac"]).is_some() {
                self.take("esac");
                return Ok(Node::Case { word, arms });
            }
            self.take("(");
            let mut patterns = Vec::new();
            loop {
                self.skip_blank();
                if self.peek().is_none_or(is_meta) {
                    return Err(self.unexpected());
                }
                patterns.push(self.word()?);
                self.skip_blank();
                if self.take(")") {
                    break;
                }
                if !self.take("|") {
                    return Err(self.unexpected());
                }
            }
            self.skip_newlines();
            let body = if self.looking_at(";;") || self.keyword(&["esac"]).is_some() {
                Node::List(Vec::new())
            } else {
                self.compound_list(";;")?
            };
            arms.push((patterns, Arc::new(body)));
            self.skip_newlines();
            self.take(";;");
        }
    }
    fn bare_word(&mut self) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek().filter(|c| !is_meta(*c)) {
            word.push(character);
            self.position += 1;
        }
        word
    }

    fn simple(&mut self) -> Result<Node, SyntaxError> {
        let mut simple = Simple::default();
        loop {
            self.skip_blank();
            if let Some(redirection) = self.redirection()? {
                simple.redirections.push(redirection);
                continue;
            }
            let Some(next) = self.peek() else { break };
            if is_meta(next) {
                break;
            }
            if simple.words.is_empty()
                && let Some((name, value)) = self.assignment()?
            {
                simple.assignments.push((name, value));
                continue;
            }
            if simple.words.is_empty() && simple.assignments.is_empty() && self.keyword(&CLOSING).is_some() {
                return Err(self.unexpected());
            }
            simple.words.push(self.word()?);
            // `name() { ...; }`
            if simple.words.len() == 1
                && let Some(behind) = self.behind_parentheses()
                && let [Piece::Text(name)] = simple.words[0].as_slice()
                && is_name(&name.replace('-', "_"))
            {
                let name = Text::from(name);
                self.position = behind;
                self.skip_newlines();
                let body = Arc::new(self.command()?);
                return Ok(Node::Function { name, body });
            }
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirections.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Node::Simple(simple))
    }
    /// Where the text goes on behind the `()` of a function's definition, if one stands here.
    fn behind_parentheses(&self) -> Option<usize> {
        let mut at = self.position;
        for parenthesis in ['(', ')'] {
            while matches!(self.text.get(at), Some(' ' | '\t')) {
                at += 1;
            }
            if self.text.get(at) != Some(&parenthesis) {
                return None;
            }
            at += 1;
        }
        Some(at)
    }
    fn assignment(&mut self) -> Result<Option<(Text, Word)>, SyntaxError> {
        let mut length = 0;
        while self.peek_at(length).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            length += 1;
        }
        let name: String = self.text[self.position..self.position + length].iter().collect();
        if self.peek_at(length) != Some('=') || !is_name(&name) {
            return Ok(None);
        }
        self.position += length + 1;
        let value = if self.peek().is_none_or(is_meta) { Word::new() } else { self.word()? };
        Ok(Some((name.into(), value)))
    }
}

fn one_or_list(mut nodes: Vec<Node>) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => Node::List(nodes.into_iter().chain(last).map(Arc::new).collect()),
    }
}
