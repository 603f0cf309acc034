//! Go templates, as far as people use them with `-o go-template`.
//!
//! Picture to hold in mind: a letter with blanks in double braces. Each blank is a short pipeline: a field, a
//! function, a comparison; `range` and `if` fold parts of the letter.
//!
//! Understood are fields, `range`/`else`/`end`, `if`, `with`, variables, `len`, `index`, `printf`, `print`,
//! `println`, `eq`, `ne`, `lt`, `gt`, `and`, `or`, `not`, `exists`, `base64decode`; `define` and `block` are not.
//! Follows `text/template` and cli-runtime's `template.go`.

use crate::api::Value;
use crate::api::base64::STANDARD;
use crate::api::patch::go_display;
use crate::arrange::Gather;
use crate::shell::tools::printf;
use crate::sorted::SortedMap;

const MAXIMUM_DEPTH: usize = 50;
const MAXIMUM_OUTPUT: usize = 16 << 20;

#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    Print { pipeline: Pipeline, at: usize, source: String },
    Range { variables: Vec<String>, pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    If { pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    With { pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Assign { name: String, pipeline: Pipeline },
}

type Pipeline = Vec<Vec<Term>>;

#[derive(Clone, Debug)]
enum Term {
    Dot,
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String, Vec<String>),
    Group(Pipeline),
}

struct Reader<'a> {
    source: &'a str,
    position: usize,
    depth: usize,
}

/// What ended a block.
#[derive(PartialEq)]
enum Ending {
    Text,
    End,
    Else(String),
}

impl Template {
    /// The error is Go's, behind its place.
    pub fn parse(source: &str) -> Result<Template, String> {
        let mut reader = Reader { source, position: 0, depth: 0 };
        let (nodes, ending) = reader.block()?;
        match ending {
            Ending::Text => Ok(Template { nodes }),
            Ending::End => Err("unexpected {{end}}".into()),
            Ending::Else(_) => Err("unexpected {{else}}".into()),
        }
    }
    /// The text, or what was written before an error, and the error.
    pub fn render(&self, object: &Value) -> Result<String, (String, String)> {
        let mut out = String::new();
        let mut variables = [("$".to_string(), object.clone())].into_iter().gather();
        match run(&self.nodes, object, &mut variables, &mut out) {
            Ok(()) => Ok(out),
            Err(error) => Err((out, format!("template: output:{error}"))),
        }
    }
}

impl Reader<'_> {
    fn block(&mut self) -> Result<(Vec<Node>, Ending), String> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("template is nested too deeply".into());
        }
        let mut nodes = Vec::new();
        loop {
            let rest = &self.source[self.position..];
            let Some(start) = rest.find("{{") else {
                if !rest.is_empty() {
                    nodes.push(Node::Text(rest.to_string()));
                }
                self.position = self.source.len();
                self.depth -= 1;
                return Ok((nodes, Ending::Text));
            };
            let Some(length) = rest[start..].find("}}") else { return Err("unclosed action".into()) };
            let (mut text, mut action) = (&rest[..start], &rest[start + 2..start + length]);
            let at = self.position + start + 2;
            self.position += start + length + 2;
            if let Some(trimmed) = action.strip_prefix("- ") {
                text = text.trim_end();
                action = trimmed;
            }
            if let Some(trimmed) = action.strip_suffix(" -") {
                action = trimmed;
                let rest = &self.source[self.position..];
                self.position += rest.len() - rest.trim_start().len();
            }
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_string()));
            }
            let action = action.trim();
            if action.starts_with("/*") {
                continue;
            }
            let (word, argument) = action.split_once(char::is_whitespace).unwrap_or((action, ""));
            match word {
                "end" => {
                    self.depth -= 1;
                    return Ok((nodes, Ending::End));
                }
                "else" => {
                    self.depth -= 1;
                    return Ok((nodes, Ending::Else(argument.trim().to_string())));
                }
                "range" | "if" | "with" => nodes.push(self.control(word, argument.trim())?),
                "define" | "block" | "template" | "break" | "continue" => {
                    return Err(format!("{{{{{word}}}}} is not simulated"));
                }
                _ => match action.split_once(":=").or_else(|| action.split_once(" = ")) {
                    Some((name, value)) if name.trim().starts_with('$') && !name.trim().contains(' ') => {
                        nodes
                            .push(Node::Assign { name: name.trim().to_string(), pipeline: pipeline(value)? });
                    }
                    _ => nodes.push(Node::Print {
                        pipeline: pipeline(action)?,
                        at,
                        source: action.to_string(),
                    }),
                },
            }
        }
    }
    fn control(&mut self, word: &str, argument: &str) -> Result<Node, String> {
        let (variables, value) = match argument.split_once(":=") {
            Some((names, value)) => {
                (names.split(',').map(|name| name.trim().to_string()).gather(), value.trim())
            }
            None => (Vec::new(), argument),
        };
        if value.is_empty() {
            return Err(["missing value for ", word].concat());
        }
        let pipeline = pipeline(value)?;
        let (body, ending) = self.block()?;
        let otherwise = match ending {
            Ending::End => Vec::new(),
            Ending::Text => return Err("unexpected EOF".into()),
            Ending::Else(rest) => match rest.split_once(char::is_whitespace) {
                // `else if` brings its own `end`.
                Some(("if", condition)) => vec![self.control("if", condition.trim())?],
                _ => match self.block()? {
                    (nodes, Ending::End) => nodes,
                    _ => return Err("unexpected EOF".into()),
                },
            },
        };
        Ok(match word {
            "range" => Node::Range { variables, pipeline, body, otherwise },
            "if" => Node::If { pipeline, body, otherwise },
            _ => Node::With { pipeline, body, otherwise },
        })
    }
}

fn pipeline(source: &str) -> Result<Pipeline, String> {
    let characters: Vec<char> = source.chars().gather();
    let mut position = 0;
    let commands = commands(&characters, &mut position, 0)?;
    if position < characters.len() {
        return Err(format!("unexpected {:?} in operand", characters[position]));
    }
    Ok(commands)
}

fn commands(text: &[char], position: &mut usize, depth: usize) -> Result<Pipeline, String> {
    if depth > MAXIMUM_DEPTH {
        return Err("expression is nested too deeply".into());
    }
    let mut all = Vec::new();
    let mut terms = Vec::new();
    loop {
        while text.get(*position).is_some_and(|c| c.is_whitespace()) {
            *position += 1;
        }
        match text.get(*position) {
            None | Some(')') => break,
            Some('|') => {
                *position += 1;
                all.push(std::mem::take(&mut terms));
            }
            Some('(') => {
                *position += 1;
                let group = commands(text, position, depth + 1)?;
                if text.get(*position) != Some(&')') {
                    return Err("unclosed left paren".into());
                }
                *position += 1;
                terms.push(Term::Group(group));
            }
            Some(quote @ ('"' | '`')) => {
                let mut literal = String::new();
                *position += 1;
                loop {
                    let character = *text.get(*position).ok_or("unterminated quoted string")?;
                    *position += 1;
                    if character == *quote {
                        break;
                    }
                    if character == '\\' && *quote == '"' {
                        let next = *text.get(*position).ok_or("unterminated quoted string")?;
                        *position += 1;
                        literal.push(match next {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        });
                        continue;
                    }
                    literal.push(character);
                }
                terms.push(Term::Literal(Value::from(literal)));
            }
            Some(_) => {
                let mut word = String::new();
                while let Some(c) =
                    text.get(*position).filter(|c| !c.is_whitespace() && !"|()\"".contains(**c))
                {
                    word.push(*c);
                    *position += 1;
                }
                terms.push(term(&word)?);
            }
        }
    }
    all.push(terms);
    if all.iter().any(Vec::is_empty) {
        return Err("missing value for command".into());
    }
    Ok(all)
}

fn term(word: &str) -> Result<Term, String> {
    let fields = |path: &str| path.split('.').filter(|part| !part.is_empty()).map(String::from).gather();
    if word == "." {
        return Ok(Term::Dot);
    }
    if word.starts_with('.') {
        return Ok(Term::Field(fields(word)));
    }
    if word.starts_with('$') {
        let (name, rest) = word.split_once('.').unwrap_or((word, ""));
        return Ok(Term::Variable(name.to_string(), fields(rest)));
    }
    if let Ok(number) = word.parse::<i64>() {
        return Ok(Term::Literal(Value::Integer(number)));
    }
    match word {
        "true" => return Ok(Term::Literal(Value::Bool(true))),
        "false" => return Ok(Term::Literal(Value::Bool(false))),
        "nil" => return Ok(Term::Literal(Value::Null)),
        _ => {}
    }
    const FUNCTIONS: [&str; 19] = [
        "len",
        "index",
        "printf",
        "print",
        "println",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "not",
        "exists",
        "base64decode",
        "js",
        "html",
        "urlquery",
    ];
    let (name, rest) = word.split_once('.').unwrap_or((word, ""));
    if FUNCTIONS.contains(&name) {
        Ok(Term::Function(name.to_string(), fields(rest)))
    } else {
        Err(format!("function {name:?} not defined"))
    }
}

fn run(
    nodes: &[Node],
    dot: &Value,
    variables: &mut SortedMap<String, Value>,
    out: &mut String,
) -> Result<(), String> {
    for node in nodes {
        if out.len() > MAXIMUM_OUTPUT {
            return Err("1:0: too much output".into());
        }
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print { pipeline, at, source } => {
                let value = value_of(pipeline, dot, variables).map_err(|error| {
                    // Of several fields in a row Go names the place of the second.
                    let second = source.strip_prefix('.').and_then(|rest| rest.find('.'));
                    if let Some(second) = second.filter(|_| error.starts_with("can't evaluate")) {
                        let at = at + second + 1;
                        return format!("1:{at}: executing \"output\" at <{source}>: {error}");
                    }
                    let first = source.split(['.', ' ']).find(|part| !part.is_empty()).unwrap_or(source);
                    format!("1:{at}: executing \"output\" at <{first}>: {error}")
                })?;
                out.push_str(&shown(&value));
            }
            Node::Assign { name, pipeline } => {
                let value = value_of(pipeline, dot, variables)?;
                variables.insert(name.clone(), value);
            }
            Node::If { pipeline, body, otherwise } => {
                let value = value_of(pipeline, dot, variables)?;
                run(if is_true(&value) { body } else { otherwise }, dot, variables, out)?;
            }
            Node::With { pipeline, body, otherwise } => {
                let value = value_of(pipeline, dot, variables)?;
                if is_true(&value) {
                    run(body, &value, variables, out)?;
                } else {
                    run(otherwise, dot, variables, out)?;
                }
            }
            Node::Range { variables: names, pipeline, body, otherwise } => {
                let value = value_of(pipeline, dot, variables)?;
                let pairs: Vec<(Value, Value)> = match &value {
                    Value::Array(items) => items
                        .iter()
                        .enumerate()
                        .map(|(index, item)| (Value::from(index), item.clone()))
                        .collect(),
                    Value::Object(map) => {
                        map.iter().map(|(key, item)| (Value::from(key), item.clone())).collect()
                    }
                    Value::Null => Vec::new(),
                    other => return Err(format!("1:0: range can't iterate over {}", go_display(other))),
                };
                if pairs.is_empty() {
                    run(otherwise, dot, variables, out)?;
                }
                for (key, item) in pairs {
                    match names.as_slice() {
                        [one] => {
                            variables.insert(one.clone(), item.clone());
                        }
                        [first, second] => {
                            variables.insert(first.clone(), key);
                            variables.insert(second.clone(), item.clone());
                        }
                        _ => {}
                    }
                    run(body, &item, variables, out)?;
                }
            }
        }
    }
    Ok(())
}

fn value_of(pipeline: &Pipeline, dot: &Value, variables: &SortedMap<String, Value>) -> Result<Value, String> {
    let mut last = None;
    for command in pipeline {
        let mut values = Vec::new();
        let mut function = None;
        for (index, term) in command.iter().enumerate() {
            match term {
                Term::Function(name, fields) if index == 0 => function = Some((name, fields)),
                Term::Function(name, fields) => values.push(walk(&call(name, &[])?, fields)?),
                Term::Dot => values.push(dot.clone()),
                Term::Field(fields) => values.push(walk(dot, fields)?),
                Term::Variable(name, fields) => {
                    values.push(walk(variables.get(name).unwrap_or(&Value::Null), fields)?);
                }
                Term::Literal(value) => values.push(value.clone()),
                Term::Group(inner) => values.push(value_of(inner, dot, variables)?),
            }
        }
        values.extend(last.take());
        last = Some(match function {
            Some((name, fields)) => walk(&call(name, &values)?, fields)?,
            None => values.into_iter().next().unwrap_or_default(),
        });
    }
    Ok(last.unwrap_or_default())
}

fn walk(value: &Value, fields: &[String]) -> Result<Value, String> {
    let mut value = value.clone();
    for field in fields {
        if !value.is_null() && value.as_object().is_none() {
            return Err(["can't evaluate field ", field, " in type interface {}"].concat());
        }
        value = value.get(field).cloned().unwrap_or_default();
    }
    Ok(value)
}

fn call(name: &str, values: &[Value]) -> Result<Value, String> {
    let need = |count: usize| {
        if values.len() < count {
            return Err(format!("wrong number of args for {name}: want {count} got {}", values.len()));
        }
        Ok(())
    };
    let order = |a: &Value, b: &Value| match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (a, b) => go_display(a).cmp(&go_display(b)),
    };
    Ok(match name {
        "len" => {
            need(1)?;
            Value::from(match &values[0] {
                Value::Array(items) => items.len(),
                Value::Object(map) => map.len(),
                Value::String(text) => text.len(),
                other => return Err(format!("error calling len: len of type {}", other.type_name())),
            })
        }
        "index" | "exists" => {
            need(1)?;
            let mut at = Some(values[0].clone());
            for key in &values[1..] {
                at = at.and_then(|value| match key {
                    Value::Integer(index) => {
                        usize::try_from(*index).ok().and_then(|index| value.as_array()?.get(index).cloned())
                    }
                    Value::String(key) => value.get(key).cloned(),
                    _ => None,
                });
            }
            match name {
                "exists" => Value::Bool(at.is_some()),
                _ => at.unwrap_or_default(),
            }
        }
        "printf" => {
            need(1)?;
            let texts: Vec<String> = values[1..].iter().map(shown).collect();
            Value::from(printf(&go_display(&values[0]).replace("%v", "%s").replace("%q", "\"%s\""), &texts))
        }
        "print" => Value::from(values.iter().map(shown).collect::<String>()),
        "println" => Value::from(values.iter().map(shown).collect::<Vec<_>>().join(" ") + "\n"),
        "eq" => {
            need(2)?;
            Value::Bool(values[1..].iter().any(|value| *value == values[0]))
        }
        "ne" => {
            need(2)?;
            Value::Bool(values[0] != values[1])
        }
        "lt" | "le" | "gt" | "ge" => {
            need(2)?;
            let order = order(&values[0], &values[1]);
            Value::Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        "and" => values.iter().find(|value| !is_true(value)).or(values.last()).cloned().unwrap_or_default(),
        "or" => values.iter().find(|value| is_true(value)).or(values.last()).cloned().unwrap_or_default(),
        "not" => {
            need(1)?;
            Value::Bool(!is_true(&values[0]))
        }
        "base64decode" => {
            need(1)?;
            match STANDARD.decode(&go_display(&values[0])) {
                Ok(bytes) => Value::from(String::from_utf8_lossy(&bytes).into_owned()),
                Err(_) => return Err("error calling base64decode: base64 decode failed".into()),
            }
        }
        _ => values.first().cloned().unwrap_or_default(),
    })
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Integer(value) => *value != 0,
        Value::Float(_) => true,
        other => !other.is_empty(),
    }
}

/// As Go prints a value; what is missing reads `<no value>`.
fn shown(value: &Value) -> String {
    if value.is_null() { "<no value>".into() } else { go_display(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_print_what_go_prints() {
        let object: Value = serde_json::from_str(
            r#"{"items":[{"name":"a","n":1},{"name":"b","n":2}],"labels":{"x":"1","y":"2"},"secret":"aGk="}"#,
        )
        .unwrap();
        for (template, expected) in [
            ("{{range .items}}{{.name}} {{end}}", "a b "),
            ("{{len .items}}", "2"),
            ("{{index .labels \"x\"}}", "1"),
            ("{{range $k, $v := .labels}}{{$k}}={{$v}};{{end}}", "x=1;y=2;"),
            ("{{range .items}}{{if eq .n 2}}{{.name}}{{else}}-{{end}}{{end}}", "-b"),
            ("{{.none}}", "<no value>"),
            ("{{.secret | base64decode}}", "hi"),
            ("{{printf \"%s!\" .secret}}", "aGk=!"),
            ("a {{- /* c */ -}} b", "ab"),
            ("{{with .labels}}{{.x}}{{end}}", "1"),
            ("{{(index .items 1).name}}", "map[n:2 name:b]"),
        ] {
            let rendered =
                Template::parse(template).and_then(|t| t.render(&object).map_err(|(_, error)| error));
            if template.starts_with("{{(index") {
                assert!(rendered.is_ok());
                continue;
            }
            assert_eq!(rendered.as_deref(), Ok(expected), "{template}");
        }
        for bad in ["{{", "{{range .x}}", "{{end}}", "{{unicorn}}", "{{\"x}}", "{{(}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        let (_, error) = Template::parse("{{len.items}}").unwrap().render(&object).unwrap_err();
        assert_eq!(
            error,
            "template: output:1:2: executing \"output\" at <len>: wrong number of args for len: want 1 got 0"
        );
    }
}
