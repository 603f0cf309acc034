//! The grammar of `-l`: words, symbols, and what may follow what.
//!
//! Picture to hold in mind: a reader with a finger on the current word and one eye on the next. Every refusal
//! says which word was found and which were expected.
//!
//! Follows the lexer and parser of `k8s.io/apimachinery/pkg/labels/selector.go`, leniencies included.

use super::{Operator, Requirement};
use crate::api::content;
use crate::api::field::{FieldError, FieldPath};
use crate::api::value::Text;
use crate::arrange::Gather;
use crate::sorted::SortedSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

fn keyword(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn is_symbol(character: char) -> bool {
    matches!(character, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// Splits a selector into words; the last is always [`Token::End`].
fn scan(text: &str) -> Vec<(Token, String)> {
    let mut items = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next().filter(|first| *first != '\0') {
        let word_end = |stop: &dyn Fn(char) -> bool| rest.find(|c: char| stop(c)).unwrap_or(rest.len());
        let (token, length) = if is_symbol(first) {
            let symbols = &rest[..word_end(&|c| !is_symbol(c))];
            // The longest beginning that is a symbol; what follows is read next.
            let length = (1..=symbols.len().min(2)).rev().find(|end| keyword(&symbols[..*end]).is_some());
            match length.and_then(|length| keyword(&symbols[..length]).map(|token| (token, length))) {
                Some(found) => found,
                None => (Token::Error, symbols.len()),
            }
        } else {
            let length = word_end(&|c| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n' | '\0'));
            (keyword(&rest[..length]).unwrap_or(Token::Identifier), length)
        };
        items.push((token, rest[..length].to_owned()));
        rest = rest[length..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    items.push((Token::End, String::new()));
    items
}

struct Parser {
    items: Vec<(Token, String)>,
    position: usize,
}

impl Parser {
    /// The word under the finger; where a value is meant, `in` and `notin` are names like any other.
    fn look(&self, values: bool) -> (Token, &str) {
        let (token, text) = &self.items[self.position.min(self.items.len() - 1)];
        match token {
            Token::In | Token::NotIn if values => (Token::Identifier, text),
            token => (*token, text),
        }
    }
    fn take(&mut self, values: bool) -> (Token, String) {
        let (token, text) = self.look(values);
        let taken = (token, text.to_owned());
        self.position += 1;
        taken
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.look(true) {
                (Token::Identifier | Token::Not, _) => {
                    let requirement = self
                        .requirement()
                        .map_err(|error| format!("unable to parse requirement: {error}"))?;
                    requirements.push(requirement);
                    match self.take(true) {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => match self.look(true) {
                            (Token::Identifier | Token::Not, _) => {}
                            (_, found) => {
                                return Err(format!("found '{found}', expected: identifier after ','"));
                            }
                        },
                        (_, found) => {
                            return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                        }
                    }
                }
                (Token::End, _) => return Ok(requirements),
                (_, found) => {
                    return Err(format!("found '{found}', expected: !, identifier, or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let root = FieldPath::ROOT;
        let mut next = self.take(true);
        let negated = next.0 == Token::Not;
        if negated {
            next = self.take(true);
        }
        let (Token::Identifier, key) = next else {
            return Err(format!("found '{}', expected: identifier", next.1));
        };
        let complaints = content::label_key(&key);
        if !complaints.is_empty() {
            // Without a path upstream prints the missing one.
            let path = FieldPath::new("<nil>");
            return Err(FieldError::invalid(&path, key, complaints.join("; ")).to_string());
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new(), &root);
        }
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new(), &root);
        }
        let operator = match self.take(false) {
            (Token::In, _) => Operator::In,
            (Token::NotIn, _) => Operator::NotIn,
            (Token::Equals, _) => Operator::Equals,
            (Token::DoubleEquals, _) => Operator::DoubleEquals,
            (Token::NotEquals, _) => Operator::NotEquals,
            (Token::Greater, _) => Operator::GreaterThan,
            (Token::Less, _) => Operator::LessThan,
            (_, found) => {
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.value_list()?,
            _ => [self.exact_value()?].into_iter().gather(),
        };
        Requirement::new(key, operator, values.into_iter().map(Text::from).collect(), &root)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(true) {
            (Token::Identifier, value) => Ok(value),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }

    fn value_list(&mut self) -> Result<SortedSet<String>, String> {
        match self.take(true) {
            (Token::Open, _) => {}
            (_, found) => return Err(format!("found '{found}' expected: '('")),
        }
        let mut values = SortedSet::new();
        match self.look(true) {
            (Token::Identifier | Token::Comma, _) => {}
            (Token::Close, _) => {
                self.position += 1;
                return Ok([String::new()].into_iter().gather());
            }
            (_, found) => return Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.take(true) {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.look(true) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => break,
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.look(true).0 {
                        Token::Close => {
                            values.insert(String::new());
                            break;
                        }
                        Token::Comma => {
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
        self.position += 1;
        Ok(values)
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    Parser { items: scan(text), position: 0 }.requirements()
}
