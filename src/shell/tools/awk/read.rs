//! Reads an `awk` program.
//!
//! Picture to hold in mind: a stamp cutter who reads the order once and cuts a slot for each part of it.

use super::super::text::unescape;
use super::{Expression, Pattern, Rule, Statement};
use crate::api::regex::Regex;
use crate::arrange::Gather;

const MAXIMUM_DEPTH: usize = 40;

/// The rules of a program.
pub(super) fn rules(program: &str) -> Result<Vec<Rule>, String> {
    Reader { text: program.chars().gather(), position: 0, depth: 0 }.rules()
}

struct Reader {
    text: Vec<char>,
    position: usize,
    depth: usize,
}

const LEVELS: [&[&str]; 6] =
    [&["||"], &["&&"], &["!~", "~", "==", "!=", "<=", ">=", "<", ">"], &[""], &["+", "-"], &["*", "/", "%"]];

impl Reader {
    fn blank(&mut self) {
        while self.text.get(self.position).is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.position += 1;
        }
    }
    fn blank_lines(&mut self) {
        while self.text.get(self.position).is_some_and(|c| c.is_whitespace() || *c == ';') {
            self.position += 1;
        }
    }
    fn peek(&self) -> Option<char> {
        self.text.get(self.position).copied()
    }
    fn looking_at(&self, sign: &str) -> bool {
        sign.chars().enumerate().all(|(index, c)| self.text.get(self.position + index) == Some(&c))
    }
    fn take(&mut self, sign: &str) -> bool {
        self.blank();
        let found = self.looking_at(sign);
        if found {
            self.position += sign.chars().count();
        }
        found
    }
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            word.push(c);
            self.position += 1;
        }
        word
    }
    fn keyword(&mut self, keyword: &str) -> bool {
        self.blank();
        let start = self.position;
        if self.word() == keyword {
            return true;
        }
        self.position = start;
        false
    }
    fn error(&self) -> String {
        let rest: String = self.text[self.position.min(self.text.len())..].iter().take(20).collect();
        format!("syntax error at source line 1 near `{rest}'")
    }
    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(self.error()) }
    }
    fn rules(&mut self) -> Result<Vec<Rule>, String> {
        let mut rules = Vec::new();
        loop {
            self.blank_lines();
            if self.peek().is_none() {
                return Ok(rules);
            }
            let pattern = if self.keyword("BEGIN") {
                Pattern::Begin
            } else if self.keyword("END") {
                Pattern::End
            } else if self.looking_at("{") {
                Pattern::Always
            } else {
                Pattern::When(self.expression()?)
            };
            let action = if self.take("{") { Some(self.block()?) } else { None };
            rules.push(Rule { pattern, action });
        }
    }
    /// Statements up to `}`.
    fn block(&mut self) -> Result<Vec<Statement>, String> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("program is nested too deeply".into());
        }
        let mut statements = Vec::new();
        loop {
            self.blank_lines();
            if self.take("}") {
                self.depth -= 1;
                return Ok(statements);
            }
            statements.push(self.statement()?);
        }
    }
    fn body(&mut self) -> Result<Vec<Statement>, String> {
        self.blank_lines();
        if self.take("{") { self.block() } else { Ok(vec![self.statement()?]) }
    }
    fn statement(&mut self) -> Result<Statement, String> {
        if self.keyword("print") {
            return Ok(Statement::Print(self.list()?));
        }
        if self.keyword("printf") {
            return Ok(Statement::Format(self.list()?));
        }
        if self.keyword("next") {
            return Ok(Statement::Next);
        }
        if self.keyword("exit") {
            let bare = self.at_end();
            return Ok(Statement::Exit(if bare { None } else { Some(self.expression()?) }));
        }
        if self.keyword("if") {
            self.expect("(")?;
            let condition = self.expression()?;
            self.expect(")")?;
            let yes = self.body()?;
            let start = self.position;
            self.blank_lines();
            let no = if self.keyword("else") {
                self.body()?
            } else {
                self.position = start;
                Vec::new()
            };
            return Ok(Statement::If(condition, yes, no));
        }
        Ok(Statement::Compute(self.expression()?))
    }
    fn at_end(&mut self) -> bool {
        self.blank();
        matches!(self.peek(), None | Some('}' | ';' | '\n'))
    }
    fn list(&mut self) -> Result<Vec<Expression>, String> {
        let mut list = Vec::new();
        if self.at_end() {
            return Ok(list);
        }
        loop {
            list.push(self.expression()?);
            if !self.take(",") {
                return Ok(list);
            }
        }
    }
    fn expression(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("expression is nested too deeply".into());
        }
        let left = self.level(0)?;
        self.blank();
        let mut result = None;
        for sign in ["+=", "-=", "*=", "/=", "%=", "="] {
            if self.looking_at(sign) && !self.looking_at("==") {
                self.position += sign.len();
                let right = self.expression()?;
                result = Some(Expression::Assign(sign, Box::new(left.clone()), Box::new(right)));
                break;
            }
        }
        let result = match result {
            Some(result) => result,
            None if self.take("?") => {
                let yes = self.expression()?;
                self.expect(":")?;
                Expression::Condition(Box::new(left), Box::new(yes), Box::new(self.expression()?))
            }
            None => left,
        };
        self.depth -= 1;
        Ok(result)
    }
    fn level(&mut self, level: usize) -> Result<Expression, String> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        'next: loop {
            self.blank();
            for sign in signs.iter() {
                let fits = if sign.is_empty() {
                    // Side by side: values are joined.
                    self.peek()
                        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '"' | '$' | '(' | '_'))
                        && !self.next_is_keyword()
                } else {
                    self.looking_at(sign) && !self.is_assignment(sign)
                };
                if fits {
                    self.position += sign.len();
                    let right = self.level(level + 1)?;
                    left = Expression::Binary(sign, Box::new(left), Box::new(right));
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }
    fn next_is_keyword(&mut self) -> bool {
        let start = self.position;
        let word = self.word();
        self.position = start;
        matches!(word.as_str(), "else" | "in")
    }
    fn is_assignment(&self, sign: &str) -> bool {
        matches!(sign, "+" | "-" | "*" | "/" | "%")
            && (self.text.get(self.position + 1) == Some(&'=')
                || self.looking_at("++")
                || self.looking_at("--"))
    }
    fn unary(&mut self) -> Result<Expression, String> {
        self.blank();
        if let Some(sign @ ('!' | '-' | '+')) = self.peek() {
            self.depth += 1;
            if self.depth > MAXIMUM_DEPTH {
                return Err("expression is nested too deeply".into());
            }
            self.position += 1;
            let operand = self.unary()?;
            self.depth -= 1;
            return Ok(Expression::Unary(sign, Box::new(operand)));
        }
        let value = self.primary()?;
        for (sign, assign) in [("++", "+="), ("--", "-=")] {
            if self.looking_at(sign) {
                self.position += 2;
                let one = Expression::Text("1".into());
                let changed = Expression::Assign(assign, Box::new(value), Box::new(one.clone()));
                // The value before the change.
                let undo = if sign == "++" { "-" } else { "+" };
                return Ok(Expression::Binary(undo, Box::new(changed), Box::new(one)));
            }
        }
        Ok(value)
    }
    fn primary(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("expression is nested too deeply".into());
        }
        let value = match self.peek() {
            Some('(') => {
                self.position += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                inner
            }
            Some('$') => {
                self.position += 1;
                Expression::Field(Box::new(self.primary()?))
            }
            Some(quote @ ('"' | '/')) => {
                self.position += 1;
                let mut text = String::new();
                loop {
                    let character = self.peek().ok_or("non-terminated string")?;
                    self.position += 1;
                    if character == quote {
                        break;
                    }
                    text.push(character);
                    if character == '\\' {
                        text.push(self.peek().ok_or("non-terminated string")?);
                        self.position += 1;
                    }
                }
                if quote == '/' {
                    Expression::Matches(Regex::new(&text.replace("\\/", "/"), true, false)?)
                } else {
                    Expression::Text(unescape(&text))
                }
            }
            Some(c) if c.is_ascii_digit() => Expression::Text(self.word()),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.word();
                if self.looking_at("(") {
                    self.position += 1;
                    let arguments = if self.take(")") {
                        Vec::new()
                    } else {
                        let list = self.list()?;
                        self.expect(")")?;
                        list
                    };
                    Expression::Call(name, arguments)
                } else if name == "length" {
                    Expression::Call(name, Vec::new())
                } else if self.looking_at("[") {
                    self.position += 1;
                    let key = self.expression()?;
                    self.expect("]")?;
                    Expression::Element(name, Box::new(key))
                } else {
                    Expression::Variable(name)
                }
            }
            _ => return Err(self.error()),
        };
        self.depth -= 1;
        Ok(value)
    }
}
