//! kubectl's JSONPath: templates that pick values out of objects.
//!
//! Picture to hold in mind: a form letter with windows. Through each pair of braces one looks at a part of the object
//! behind it; `range` slides the letter along a list and prints it once for every item.
//!
//! Follows `k8s.io/client-go/util/jsonpath`: its grammar, its messages, and how it prints what it finds.

mod parse;

use super::field::go_json;
use super::value::Value;
use crate::arrange::Gather;
use parse::{Node, Slice};

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    nodes: Vec<Node>,
    /// Upstream's `AllowMissingKeys`, which kubectl sets.
    allow_missing_keys: bool,
}

type Result<T> = std::result::Result<T, String>;

impl JsonPath {
    /// Parses a template such as `{.items[*].metadata.name}`; the error is upstream's.
    pub fn parse(template: &str) -> Result<JsonPath> {
        Ok(JsonPath { nodes: parse::template(template)?, allow_missing_keys: false })
    }
    #[must_use]
    pub fn allow_missing_keys(mut self, allow: bool) -> JsonPath {
        self.allow_missing_keys = allow;
        self
    }

    /// The text that the template makes of an object.
    pub fn render(&self, object: &Value) -> Result<String> {
        let mut out = String::new();
        for results in self.find(object)? {
            let texts: Vec<String> = results.iter().map(print).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }

    /// The values found by each part of the template, plain text included.
    pub fn find(&self, object: &Value) -> Result<Vec<Vec<Value>>> {
        let (results, end) = self.run(0, object, 0)?;
        if end < self.nodes.len() {
            return Err("not in range, nothing to end".to_owned());
        }
        Ok(results)
    }

    /// Runs the nodes from `start` on `object`, up to the `end` of the range it is in; also tells where that was.
    fn run(&self, start: usize, object: &Value, depth: usize) -> Result<(Vec<Vec<Value>>, usize)> {
        let mut all = Vec::new();
        let mut at = start;
        while let Some(node) = self.nodes.get(at) {
            let list = match node {
                Node::List(list) => list.as_slice(),
                other => std::slice::from_ref(other),
            };
            match list.iter().position(|node| matches!(node, Node::Identifier(_))) {
                None => {
                    all.push(self.list(vec![object.clone()], list)?);
                    at += 1;
                }
                Some(position) => {
                    let Node::Identifier(name) = &list[position] else { continue };
                    let before = self.list(vec![object.clone()], &list[..position])?;
                    match name.as_str() {
                        "end" if depth > 0 => return Ok((all, at)),
                        "end" => return Err("not in range, nothing to end".to_owned()),
                        "range" => {
                            let items = self.list(before, &list[position + 1..])?;
                            let mut end = None;
                            for item in &items {
                                let (inner, stop) = self.run(at + 1, item, depth + 1)?;
                                all.extend(inner);
                                end = Some(stop);
                            }
                            let end = match end {
                                Some(end) => end,
                                // Nothing to print; only the end is looked for.
                                None => self.run(at + 1, &Value::Null, depth + 1)?.1,
                            };
                            at = end + 1;
                        }
                        other => return Err(format!("unrecognized identifier {other}")),
                    }
                }
            }
        }
        Ok((all, self.nodes.len()))
    }

    fn list(&self, input: Vec<Value>, nodes: &[Node]) -> Result<Vec<Value>> {
        nodes.iter().try_fold(input, |values, node| self.walk(values, node))
    }

    fn walk(&self, input: Vec<Value>, node: &Node) -> Result<Vec<Value>> {
        match node {
            Node::List(list) => self.list(input, list),
            Node::Text(text) => Ok(vec![Value::from(text.as_str())]),
            Node::Literal(value) => Ok(vec![value.clone(); input.len()]),
            Node::Field(name) => self.field(input, name),
            Node::Slice(slice) => self.slice(&input, slice),
            Node::Wildcard => Ok(input.iter().flat_map(children).gather()),
            Node::Recursive => {
                let mut found = Vec::new();
                for value in input {
                    descend(value, &mut found);
                }
                Ok(found)
            }
            Node::Union(lists) => {
                let mut found = Vec::new();
                for list in lists {
                    found.extend(self.list(input.clone(), list)?);
                }
                Ok(found)
            }
            Node::Filter { left, operator, right } => self.filter(&input, left, operator, right),
            Node::Identifier(name) => Err(format!("unrecognized identifier {name}")),
        }
    }

    fn field(&self, input: Vec<Value>, name: &str) -> Result<Vec<Value>> {
        if input.is_empty() {
            return Ok(input);
        }
        let found: Vec<Value> = input.iter().filter_map(|value| value.get(name).cloned()).gather();
        if found.is_empty() && !self.allow_missing_keys {
            return Err(format!("{name} is not found"));
        }
        Ok(found)
    }

    fn slice(&self, input: &[Value], slice: &Slice) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for value in input.iter().filter(|value| !value.is_null()) {
            let Value::Array(items) = value else {
                return Err(format!("{} is not array or slice", value.go_type()));
            };
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let mut start = slice.start.unwrap_or(0);
            if start < 0 {
                start += length;
            }
            let mut end = slice.end.unwrap_or(length);
            if end < 0 || (end == 0 && slice.derived) {
                end += length;
            }
            if start == end {
                return Ok(found);
            }
            if start >= length || start < 0 {
                return Err(format!("array index out of bounds: index {start}, length {length}"));
            }
            if end > length || end < 0 {
                return Err(format!("array index out of bounds: index {}, length {length}", end - 1));
            }
            if start > end {
                return Err(format!("starting index {start} is greater than ending index {end}"));
            }
            let step = slice.step.unwrap_or(1);
            if step <= 0 {
                return Err("step must be > 0".to_owned());
            }
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            found.extend(items[start as usize..end as usize].iter().step_by(step).cloned());
        }
        Ok(found)
    }

    fn filter(&self, input: &[Value], left: &[Node], operator: &str, right: &[Node]) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for value in input {
            let Value::Array(items) = value else {
                let shown = super::patch::go_display(value);
                return Err(format!("{shown} is not array or slice and cannot be filtered"));
            };
            for item in items.iter() {
                let lefts = self.list(vec![item.clone()], left);
                if operator == "exists" {
                    if lefts.is_ok_and(|lefts| !lefts.is_empty()) {
                        found.push(item.clone());
                    }
                    continue;
                }
                let lefts = lefts?;
                let rights = match lefts.len() {
                    0 => continue,
                    1 => self.list(vec![item.clone()], right)?,
                    _ => return Err("can only compare one element at a time".to_owned()),
                };
                match rights.len() {
                    0 => {}
                    1 => {
                        if passes(&lefts[0], operator, &rights[0])? {
                            found.push(item.clone());
                        }
                    }
                    _ => return Err("can only compare one element at a time".to_owned()),
                }
            }
        }
        Ok(found)
    }
}

fn passes(left: &Value, operator: &str, right: &Value) -> Result<bool> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (left, right) {
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => match operator {
            "==" | "!=" => Some(a.cmp(b)),
            _ => return Err("invalid type for comparison".to_owned()),
        },
        (Value::Null | Value::Array(_) | Value::Object(_), _)
        | (_, Value::Null | Value::Array(_) | Value::Object(_)) => {
            return Err("invalid type for comparison".to_owned());
        }
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(match operator {
        "<" => order == Some(Less),
        ">" => order == Some(Greater),
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<=" => matches!(order, Some(Less | Equal)),
        ">=" => matches!(order, Some(Greater | Equal)),
        _ => return Err(format!("unrecognized filter operator {operator}")),
    })
}

fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.as_ref().clone(),
        Value::Object(map) => map.iter().map(|(_, value)| value.clone()).collect(),
        _ => Vec::new(),
    }
}

/// The value and everything below it that has something in it, from the top down.
fn descend(value: Value, found: &mut Vec<Value>) {
    let inside = children(&value);
    if inside.is_empty() {
        return;
    }
    found.push(value);
    for child in inside {
        descend(child, found);
    }
}

pub fn print(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Null => "null".to_owned(),
        other => go_json(other),
    }
}

/// Completes what people write for a path in `custom-columns` and `--sort-by`: `metadata.name`, `.metadata.name`
/// and `{metadata.name}` all mean `{.metadata.name}`. Follows `get.RelaxedJSONPathExpression`.
pub fn relaxed(expression: &str) -> Result<String> {
    if expression.is_empty() {
        return Ok(String::new());
    }
    let inside = match (expression.strip_prefix('{'), expression.ends_with('}')) {
        (Some(rest), true) => rest.strip_suffix('}'),
        (None, false) => Some(expression),
        _ => None,
    };
    let bad = "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'";
    match inside.map(|inside| inside.strip_prefix('.').unwrap_or(inside)) {
        Some(path) if !path.is_empty() && !path.contains(['{', '}']) => Ok(format!("{{.{path}}}")),
        _ => Err(bad.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Value {
        serde_json::from_str(
            r#"{"kind":"List","items":[
                {"metadata":{"name":"a","labels":{"app.kubernetes.io/name":"web"}},"spec":{"containers":[{"image":"x:1","ports":[80]}]},"status":{"ready":true,"restarts":3}},
                {"metadata":{"name":"b","labels":{}},"spec":{"containers":[{"image":"y:2"},{"image":"z:3"}]},"status":{"ready":false,"restarts":0}}
            ]}"#,
        )
        .unwrap()
    }

    #[test]
    fn templates_pick_values() {
        for (template, expected) in [
            ("{.kind}", "List"),
            ("{$.kind}/{@.kind}", "List/List"),
            ("plain", "plain"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1:].metadata.name}", "b"),
            ("{.items[-1].metadata.name}", "b"),
            ("{.items[0:2:2].metadata.name}", "a"),
            ("{.items[:1].metadata.name}", "a"),
            ("{.items[0,1].metadata.name}", "a b"),
            ("{.items[*]['metadata.name', 'status.ready']}", "a b true false"),
            ("{.items[0].metadata.labels.app\\.kubernetes\\.io/name}", "web"),
            ("{.items[0].metadata.labels['app\\.kubernetes\\.io/name']}", "web"),
            ("{.items[?(@.metadata.name==\"b\")].spec.containers[*].image}", "y:2 z:3"),
            ("{.items[?(@.metadata.name=='a')].status}", r#"{"ready":true,"restarts":3}"#),
            ("{.items[?(@.status.restarts>2)].metadata.name}", "a"),
            ("{.items[?(@.status.ready==false)].metadata.name}", "b"),
            ("{.items[?(@.spec.containers[0].ports)].metadata.name}", "a"),
            ("{..image}", "x:1 y:2 z:3"),
            (
                "{range .items[*]}{.metadata.name}{'\\t'}{.spec.containers[*].image}{\"\\n\"}{end}",
                "a\tx:1\nb\ty:2 z:3\n",
            ),
            (
                "{range .items[*]}{.metadata.name}:{range .spec.containers[*]}{.image},{end};{end}done",
                "a:x:1,;b:y:2,z:3,;done",
            ),
            ("{range .missing[*]}{.metadata.name}{end}x", "x"),
            ("{.items[*].metadata.missing}", ""),
            ("{.items[0].spec.containers}", r#"[{"image":"x:1","ports":[80]}]"#),
            ("{.items[0].metadata.*}", r#"{"app.kubernetes.io/name":"web"} a"#),
            ("{ .kind }", "List"),
            ("{3}{1.5}{true}", "31.5true"),
        ] {
            let path = JsonPath::parse(template).unwrap().allow_missing_keys(true);
            assert_eq!(path.render(&pods()).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn bad_templates_and_paths_say_why() {
        for (template, error) in [
            ("{.kind", "unclosed action"),
            ("{.items[0}", "unterminated array"),
            ("{.items[x]}", "invalid array index x"),
            ("{'x}", "unterminated quoted string"),
            ("{.items[?(@.a}", "unterminated filter"),
            ("{^}", "unrecognized character in action: U+005E '^'"),
            ("{....a}", "invalid multiple recursive descent"),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap_err(), error, "{template}");
        }
        for (template, error) in [
            ("{.missing}", "missing is not found"),
            ("{.kind[0]}", "string is not array or slice"),
            ("{.items[5]}", "array index out of bounds: index 5, length 2"),
            ("{.items[?(@.status.restarts==\"3\")]}", "incompatible types for comparison"),
            ("{end}", "not in range, nothing to end"),
            ("{fly}", "unrecognized identifier fly"),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap().render(&pods()).unwrap_err(), error, "{template}");
        }
    }

    #[test]
    fn paths_may_be_written_short() {
        for (text, full) in [
            ("metadata.name", Some("{.metadata.name}")),
            (".metadata.name", Some("{.metadata.name}")),
            ("{metadata.name}", Some("{.metadata.name}")),
            ("{.metadata.name}", Some("{.metadata.name}")),
            ("{.metadata.name", None),
            ("", Some("")),
        ] {
            assert_eq!(relaxed(text).ok().as_deref(), full);
        }
    }

    #[test]
    fn no_template_panics() {
        let pieces = [
            "{", "}", "[", "]", ".", "..", "?(", ")", "@", "'", "\"", "\\", "*", ":", "-1", "range ", "end",
            ",", "é", "==", "x",
        ];
        let mut seed = 7usize;
        for _ in 0..20_000 {
            let mut template = String::from("{");
            for _ in 0..8 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                template.push_str(pieces[(seed >> 33) % pieces.len()]);
            }
            if let Ok(path) = JsonPath::parse(&template) {
                let _ = path.render(&pods());
            }
        }
    }
}
