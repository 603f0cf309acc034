//! The grammar of templates, after parser.go.

use crate::api::float::parse_float;
use crate::api::value::Value;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// One pair of braces.
    List(Vec<Node>),
    Text(String),
    /// A number or a boolean.
    Literal(Value),
    /// `range` and `end`.
    Identifier(String),
    Field(String),
    Slice(Slice),
    Filter {
        left: Vec<Node>,
        operator: String,
        right: Vec<Node>,
    },
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
}

/// `[start:end:step]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slice {
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub step: Option<i64>,
    /// A lone index: the end is the start plus one.
    pub derived: bool,
}

type Result<T> = std::result::Result<T, String>;

/// Filters and unions hold expressions of their own; so deep and no deeper.
const MAX_DEPTH: usize = 30;

pub(super) fn template(text: &str) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        if start > 0 {
            nodes.push(Node::Text(rest[..start].to_owned()));
        }
        let (list, tail) = action(&rest[start + 1..], true, 0)?;
        nodes.push(Node::List(list));
        rest = tail;
    }
    if !rest.is_empty() {
        nodes.push(Node::Text(rest.to_owned()));
    }
    Ok(nodes)
}

/// An expression that stands by itself.
fn expression(text: &str, depth: usize) -> Result<Vec<Node>> {
    if depth > MAX_DEPTH {
        return Err("expression is nested too deeply".to_owned());
    }
    Ok(action(text, false, depth + 1)?.0)
}

/// Reads up to the closing brace (or, within brackets, to the end); also gives what follows.
fn action(text: &str, braced: bool, depth: usize) -> Result<(Vec<Node>, &str)> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut rest = text;
    loop {
        if let Some(tail) = rest.strip_prefix('}') {
            return Ok((nodes, tail));
        }
        if let Some(tail) = rest.strip_prefix("[?(") {
            let (node, tail) = filter(tail, depth)?;
            nodes.push(node);
            rest = tail;
            continue;
        }
        if let Some(tail) = rest.strip_prefix("..") {
            if nodes.last() == Some(&Node::Recursive) {
                return Err("invalid multiple recursive descent".to_owned());
            }
            nodes.push(Node::Recursive);
            rest = tail;
            if tail.starts_with(is_alphanumeric) {
                let (node, tail) = field(tail);
                nodes.push(node);
                rest = tail;
            }
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return if braced { Err("unclosed action".to_owned()) } else { Ok((nodes, "")) };
        };
        let tail = &rest[first.len_utf8()..];
        rest = match first {
            '\r' | '\n' => return Err("unclosed action".to_owned()),
            ' ' | '@' | '$' => tail,
            '[' => array(tail, &mut nodes, depth)?,
            '"' | '\'' => {
                let (text, tail) = quoted(rest, first)?;
                nodes.push(Node::Text(text));
                tail
            }
            '.' => {
                let (node, tail) = field(tail);
                nodes.push(node);
                tail
            }
            '+' | '-' | '0'..='9' => {
                let (node, tail) = number(rest)?;
                nodes.push(node);
                tail
            }
            _ if is_alphanumeric(first) => {
                let end = rest.find(is_terminator).unwrap_or(rest.len());
                let (word, tail) = rest.split_at(end);
                nodes.push(match word {
                    "true" | "false" => Node::Literal(Value::from(word == "true")),
                    _ => Node::Identifier(word.to_owned()),
                });
                tail
            }
            _ => {
                let code = u32::from(first);
                return Err(format!("unrecognized character in action: U+{code:04X} '{first}'"));
            }
        };
    }
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_ascii_alphabetic() || character.is_ascii_digit()
}
fn is_terminator(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// A field's name, behind its dot; a backslash takes the next character along.
fn field(text: &str) -> (Node, &str) {
    let mut end = text.len();
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if is_terminator(character) {
            end = at;
            break;
        }
    }
    let (name, tail) = text.split_at(end);
    let node = if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) };
    (node, tail)
}

fn number(text: &str) -> Result<(Node, &str)> {
    let signed = usize::from(text.starts_with(['+', '-']));
    let end =
        text[signed..].find(|c: char| c != '.' && !c.is_ascii_digit()).map_or(text.len(), |end| signed + end);
    let (word, tail) = text.split_at(end);
    let value = match (word.parse::<i64>(), parse_float(word)) {
        (Ok(integer), _) => Value::Integer(integer),
        (_, Some(float)) => Value::Float(float),
        _ => return Err(format!("cannot parse number {word}")),
    };
    Ok((Node::Literal(value), tail))
}

/// A quoted text, which begins with its quote.
fn quoted(text: &str, quote: char) -> Result<(String, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\n' => break,
            _ if character == quote => return Ok((out, &text[at + 1..])),
            '\\' => {
                let Some((_, escaped)) = characters.next() else { break };
                let bad = || format!("unquote string {text} error invalid syntax");
                out.push(match escaped {
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0C',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0B',
                    '\\' => '\\',
                    _ if escaped == quote => quote,
                    'x' | 'u' | 'U' => {
                        let digits = match escaped {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let mut code = 0u32;
                        for _ in 0..digits {
                            let digit = characters.next().and_then(|(_, digit)| digit.to_digit(16));
                            code = code.wrapping_mul(16) + digit.ok_or_else(bad)?;
                        }
                        char::from_u32(code).ok_or_else(bad)?
                    }
                    _ => return Err(bad()),
                });
            }
            _ => out.push(character),
        }
    }
    Err("unterminated quoted string".to_owned())
}

/// What stands in brackets; gives what follows them.
fn array<'a>(text: &'a str, nodes: &mut Vec<Node>, depth: usize) -> Result<&'a str> {
    let Some(end) = text.find([']', '\n']).filter(|end| text[*end..].starts_with(']')) else {
        return Err("unterminated array".to_owned());
    };
    let (inside, tail) = (&text[..end], &text[end + 1..]);
    let inside = if inside == "*" { ":" } else { inside };
    if inside.contains(',') {
        let mut lists = Vec::new();
        for part in inside.split(',') {
            lists.push(expression(&format!("[{}]", part.trim_matches(' ')), depth)?);
        }
        nodes.push(Node::Union(lists));
        return Ok(tail);
    }
    if let Some(key) = inside.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))
        && !key.contains('\'')
    {
        nodes.extend(expression(&format!(".{key}"), depth)?);
        return Ok(tail);
    }
    let mut parts = inside.split(':');
    let mut next = || -> Result<(bool, Option<i64>)> {
        match parts.next() {
            None => Ok((false, None)),
            Some("") => Ok((true, None)),
            Some(part) => match part.parse() {
                Ok(number) if !part.starts_with('+') => Ok((true, Some(number))),
                _ if part.strip_prefix('-').unwrap_or(part).bytes().all(|byte| byte.is_ascii_digit()) => {
                    Err(format!("array index {part} is not a number"))
                }
                _ => Err(format!("invalid array index {inside}")),
            },
        }
    };
    let ((_, start), (has_end, end), (_, step)) = (next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err(format!("invalid array index {inside}"));
    }
    let end = if has_end { end } else { Some(start.unwrap_or(0).saturating_add(1)) };
    nodes.push(Node::Slice(Slice { start, end, step, derived: !has_end }));
    Ok(tail)
}

/// `[?(left operator right)]`, from behind its opening.
fn filter(text: &str, depth: usize) -> Result<(Node, &str)> {
    let mut quote = None;
    let mut closed = false;
    let mut previous = '(';
    let mut end = None;
    for (at, character) in text.char_indices() {
        match character {
            '\n' => break,
            '"' | '\'' if quote.is_none() => quote = Some(character),
            '"' | '\'' if Some(character) == quote && previous != '\\' => closed = true,
            ')' if quote.is_some() == closed => {
                end = Some(at);
                break;
            }
            _ => {}
        }
        previous = character;
    }
    let Some(end) = end else { return Err("unterminated filter".to_owned()) };
    let Some(tail) = text[end + 1..].strip_prefix(']') else {
        return Err("unclosed array expect ]".to_owned());
    };
    let inside = &text[..end];
    let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
    let split = inside.find(is_operator).filter(|start| *start > 0).and_then(|start| {
        let length = inside[start..].find(|c: char| !is_operator(c))?;
        Some((&inside[..start], &inside[start..start + length], &inside[start + length..]))
    });
    let node = match split {
        Some((left, operator, right)) => Node::Filter {
            left: expression(left, depth)?,
            operator: operator.to_owned(),
            right: expression(right, depth)?,
        },
        None => Node::Filter {
            left: expression(inside, depth)?,
            operator: "exists".to_owned(),
            right: Vec::new(),
        },
    };
    Ok((node, tail))
}
