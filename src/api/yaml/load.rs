//! Nodes into values.
//!
//! Picture to hold in mind: a translator with a strict budget. An alias is translated anew wherever it stands, but
//! when most of the text turns out to be echoes, he puts the pen down.
//!
//! Follows decode.go of go-yaml v2 (merge keys, aliases and their limit, keys that are no strings) and the
//! conversion to JSON of sigs.k8s.io/yaml.

use super::parser::{Node, NodeKind, Parser};
use super::resolve::{Scalar, float_key, resolve};
use super::{Chunk, Document, Duplicate, MAX_DEPTH, Mark, Span, YamlError};
use crate::api::value::{Map, Text, Value};

type Result<T> = std::result::Result<T, YamlError>;

/// Reads one document; `None` for an empty one.
pub(super) fn document(chunk: &Chunk) -> Result<Option<Document>> {
    // kubectl's reader ends every line, the last one too.
    let ended;
    let text = if chunk.text.ends_with('\n') {
        chunk.text
    } else {
        ended = format!("{}\n", chunk.text);
        &ended
    };
    let result = read(text);
    // Line numbers in messages count from the document, marks from the whole text.
    let shift = |mark: &mut Mark| {
        mark.offset = mark.offset.min(chunk.text.len()) + chunk.start.offset;
        mark.line += chunk.start.line;
    };
    let mut document = match result {
        Ok(Some(document)) => document,
        Ok(None) => return Ok(None),
        Err(mut error) => {
            shift(&mut error.mark);
            return Err(error);
        }
    };
    if chunk.start.offset > 0 || text.len() > chunk.text.len() {
        let shift_span = |span: &mut Span| {
            shift(&mut span.start);
            shift(&mut span.end);
        };
        document.nodes.iter_mut().for_each(|node| shift_span(&mut node.span));
        document.duplicates.iter_mut().for_each(|duplicate| shift_span(&mut duplicate.key));
        shift_span(&mut document.span);
    }
    Ok(Some(document))
}

fn read(text: &str) -> Result<Option<Document>> {
    check_characters(text)?;
    let mut parser = Parser::new(text);
    let Some(root) = parser.document()? else { return Ok(None) };
    let nodes = parser.nodes;
    let mut loader = Loader {
        nodes: &nodes,
        decoded: 0,
        aliased: 0,
        alias_depth: 0,
        depth: 0,
        open_aliases: Vec::new(),
        path: String::new(),
        duplicates: Vec::new(),
    };
    let value = loader.value(root)?;
    let duplicates = loader.duplicates;
    if value.is_null() {
        return Ok(None);
    }
    let span = nodes[root].span;
    Ok(Some(Document { value, span, duplicates, nodes, root }))
}

/// Refuses what libyaml's reader refuses before anything is scanned.
fn check_characters(text: &str) -> Result<()> {
    let allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..);
    // Most texts are printable ASCII through and through.
    let plain = |byte: u8| (0x20..0x7F).contains(&byte) || matches!(byte, b'\n' | b'\t' | b'\r');
    if text.bytes().all(plain) {
        return Ok(());
    }
    let mut mark = Mark::default();
    for (offset, character) in text.char_indices() {
        if !allowed(character) {
            mark.offset = offset;
            return Err(YamlError::plain("control characters are not allowed", mark));
        }
        if character == '\n' {
            mark = Mark { offset, line: mark.line + 1, column: 0 };
        } else {
            mark.column += 1;
        }
    }
    Ok(())
}

/// A stream of JSON values, spans and duplicates found by reading each as YAML, which mostly can. `None` if it
/// is no JSON.
pub(super) fn json_stream(text: &str) -> Option<Vec<Document>> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut start = 0;
    while let Some(value) = stream.next() {
        let value = value.ok()?;
        let end = stream.byte_offset();
        let line = text[..start].bytes().filter(|byte| *byte == b'\n').count();
        let chunk = Chunk { text: &text[start..end], start: Mark { offset: start, line, column: 0 } };
        let span = Span { start: chunk.start, end: Mark { offset: end, ..chunk.start } };
        match document(&chunk) {
            Ok(Some(mut document)) => {
                document.value = value;
                documents.push(document);
            }
            Ok(None) => {}
            Err(_) => {
                let kind = NodeKind::Scalar { text: String::new(), plain: true };
                let nodes = vec![Node { span, tag: None, kind }];
                documents.push(Document { value, span, duplicates: Vec::new(), nodes, root: 0 });
            }
        }
        start = end;
    }
    Some(documents)
}

struct Loader<'a> {
    nodes: &'a [Node],
    decoded: u64,
    aliased: u64,
    alias_depth: u32,
    depth: usize,
    open_aliases: Vec<usize>,
    path: String,
    duplicates: Vec<Duplicate>,
}

impl Loader<'_> {
    /// Counts one step, and refuses a text that is mostly echoes of itself: more than 99% of up to 400,000 steps,
    /// falling to 10% of 4,000,000.
    fn count(&mut self, mark: Mark) -> Result<()> {
        const LOW: u64 = 400_000;
        const HIGH: u64 = 4_000_000;
        self.decoded += 1;
        if self.alias_depth > 0 {
            self.aliased += 1;
        }
        if self.aliased > 100 && self.decoded > 1000 {
            // The allowed share in units of a thousandth of a percent.
            let allowed = 99_000 - 89_000 * (self.decoded.clamp(LOW, HIGH) - LOW) / (HIGH - LOW);
            if self.aliased * 100_000 > allowed * self.decoded {
                return Err(YamlError::plain("document contains excessive aliasing", mark));
            }
        }
        Ok(())
    }

    fn value(&mut self, id: usize) -> Result<Value> {
        let mark = self.nodes[id].span.start;
        self.count(mark)?;
        self.depth += 1;
        if self.depth > 2 * MAX_DEPTH {
            return Err(YamlError::plain(format!("exceeded max depth of {MAX_DEPTH}"), mark));
        }
        let value = self.value_within(id);
        self.depth -= 1;
        value
    }

    fn value_within(&mut self, id: usize) -> Result<Value> {
        let node = &self.nodes[id];
        let mark = node.span.start;
        match &node.kind {
            NodeKind::Scalar { text, plain } => {
                let scalar = scalar(node, text, *plain)?;
                scalar.value(text).ok_or_else(|| {
                    let name = match scalar {
                        Scalar::Float(value) if value.is_nan() => "NaN",
                        Scalar::Float(value) if value < 0.0 => "-Inf",
                        _ => "+Inf",
                    };
                    YamlError::conversion(format!("json: unsupported value: {name}"), mark)
                })
            }
            NodeKind::Sequence(items) => {
                let length = self.path.len();
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    values.push(self.value(*item)?);
                    self.path.truncate(length);
                }
                Ok(Value::from(values))
            }
            NodeKind::Mapping(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                self.mapping(entries, &mut pairs)?;
                Ok(Value::from(pairs.into_iter().collect::<Map>()))
            }
            NodeKind::Alias { name, target } => {
                if self.open_aliases.contains(target) {
                    return Err(YamlError::plain(format!("anchor '{name}' value contains itself"), mark));
                }
                self.open_aliases.push(*target);
                self.alias_depth += 1;
                let value = self.value(*target);
                self.alias_depth -= 1;
                self.open_aliases.pop();
                value
            }
        }
    }

    /// Appends the entries in the order in which they count: of equal keys the last wins.
    fn mapping(&mut self, entries: &[(usize, usize)], pairs: &mut Vec<(Text, Value)>) -> Result<()> {
        let length = self.path.len();
        // Keys written here, as opposed to merged in, for finding the ones written twice.
        let mut own: Vec<Text> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if self.is_merge(*key) {
                self.merge(*value, pairs)?;
                continue;
            }
            let name = self.key(*key)?;
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if self.alias_depth == 0 {
                if own.contains(&name) {
                    let key = self.nodes[*key].span;
                    self.duplicates.push(Duplicate { path: self.path.clone(), key });
                } else if own.len() < 1000 {
                    own.push(name.clone());
                }
            }
            let value = self.value(*value)?;
            self.path.truncate(length);
            pairs.push((name, value));
        }
        Ok(())
    }

    fn is_merge(&self, key: usize) -> bool {
        let node = &self.nodes[key];
        match &node.kind {
            NodeKind::Scalar { text, plain } => {
                text == "<<" && (*plain || node.tag.as_deref() == Some("tag:yaml.org,2002:merge"))
            }
            _ => false,
        }
    }

    fn merge(&mut self, id: usize, pairs: &mut Vec<(Text, Value)>) -> Result<()> {
        match &self.nodes[id].kind {
            NodeKind::Sequence(items) => {
                for item in items.iter().rev() {
                    self.merge_map(*item, pairs)?;
                }
                Ok(())
            }
            _ => self.merge_map(id, pairs),
        }
    }

    fn merge_map(&mut self, id: usize, pairs: &mut Vec<(Text, Value)>) -> Result<()> {
        let target = match &self.nodes[id].kind {
            NodeKind::Alias { target, .. } => *target,
            _ => id,
        };
        if !matches!(self.nodes[target].kind, NodeKind::Mapping(_)) {
            let problem = "map merge requires map or sequence of maps as the value";
            return Err(YamlError::plain(problem, self.nodes[id].span.start));
        }
        match self.value(id)? {
            Value::Object(map) => {
                pairs.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A key as JSON wants it: text.
    fn key(&mut self, id: usize) -> Result<Text> {
        let node = &self.nodes[id];
        let mark = node.span.start;
        self.count(mark)?;
        match &node.kind {
            NodeKind::Scalar { text, plain } => Ok(match scalar(node, text, *plain)? {
                Scalar::Text => Text::from(text.as_str()),
                Scalar::Bool(value) => Text::from(value.to_string()),
                Scalar::Integer(value) => Text::from(value.to_string()),
                Scalar::Float(value) => Text::from(float_key(value)),
                Scalar::Null => {
                    let problem = "unsupported map key of type: %!s(<nil>), key: <nil>";
                    return Err(YamlError::conversion(problem, mark));
                }
                Scalar::Unsigned(value) => {
                    let problem = format!("unsupported map key of type: uint64, key: {value:#x}");
                    return Err(YamlError::conversion(problem, mark));
                }
            }),
            NodeKind::Alias { target, .. } if matches!(self.nodes[*target].kind, NodeKind::Scalar { .. }) => {
                self.key(*target)
            }
            _ => Err(YamlError::plain(format!("invalid map key: {}", self.go_syntax(id, 0)), mark)),
        }
    }

    /// A node as Go's `%#v` prints it: what people see who forgot to quote `{{ template }}`.
    fn go_syntax(&self, id: usize, depth: usize) -> String {
        let node = &self.nodes[id];
        if depth > 20 {
            return "...".to_owned();
        }
        match &node.kind {
            NodeKind::Scalar { text, plain } => match scalar(node, text, *plain) {
                Ok(Scalar::Null) => "interface {}(nil)".to_owned(),
                Ok(Scalar::Bool(value)) => value.to_string(),
                Ok(Scalar::Integer(value)) => value.to_string(),
                Ok(Scalar::Float(value)) => value.to_string(),
                Ok(Scalar::Unsigned(value)) => format!("{value:#x}"),
                _ => crate::api::field::go_quote(text),
            },
            NodeKind::Sequence(items) => {
                let items: Vec<String> = items.iter().map(|item| self.go_syntax(*item, depth + 1)).collect();
                format!("[]interface {{}}{{{}}}", items.join(", "))
            }
            NodeKind::Mapping(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| {
                        format!("{}:{}", self.go_syntax(*key, depth + 1), self.go_syntax(*value, depth + 1))
                    })
                    .collect();
                format!("map[interface {{}}]interface {{}}{{{}}}", entries.join(", "))
            }
            NodeKind::Alias { target, .. } => self.go_syntax(*target, depth + 1),
        }
    }
}

/// The meaning of a scalar, its tag considered.
fn scalar(node: &Node, text: &str, plain: bool) -> Result<Scalar> {
    let Some(tag) = node.tag.as_deref() else {
        return Ok(if plain { resolve(text) } else { Scalar::Text });
    };
    let Some(tag) = tag.strip_prefix("tag:yaml.org,2002:") else { return Ok(Scalar::Text) };
    if !["bool", "int", "float", "null", "timestamp"].contains(&tag) {
        return Ok(Scalar::Text);
    }
    let scalar = resolve(text);
    match (&scalar, tag) {
        (Scalar::Integer(value), "float") => Ok(Scalar::Float(*value as f64)),
        (Scalar::Text, "timestamp") => Ok(Scalar::Text),
        _ if scalar.tag().strip_prefix("!!") == Some(tag) => Ok(scalar),
        _ => {
            let problem = format!("cannot decode {} `{text}` as a !!{tag}", scalar.tag());
            Err(YamlError::plain(problem, node.span.start))
        }
    }
}
