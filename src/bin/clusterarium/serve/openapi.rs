//! `/openapi/v2` in the protobuf form that client-go asks for.
//!
//! Picture to hold in mind: the same book in another type; pages that client-go does not turn are left out.
//!
//! Follows `openapiv2/OpenAPIv2.proto` of `google/gnostic`: the messages of a document, its paths with their operations,
//! and its definitions. Extensions and defaults are told as YAML there; JSON is YAML.

use clusterarium::api::Value;

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
    fn key(&mut self, field: u64, wire: u64) {
        self.number(field << 3 | wire);
    }
    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    fn message(&mut self, field: u64, message: Message) {
        self.bytes(field, &message.0);
    }
    /// The text at `name`; an empty one is the default and left out.
    fn text(&mut self, field: u64, value: &Value, name: &str) {
        let text = value.get(name).and_then(Value::as_str).unwrap_or("");
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }
    fn texts(&mut self, field: u64, value: &Value, name: &str) {
        for text in value.items(name).iter().filter_map(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }
    fn boolean(&mut self, field: u64, value: &Value, name: &str) {
        if value.get(name).and_then(Value::as_bool) == Some(true) {
            self.key(field, 0);
            self.number(1);
        }
    }
    fn integer(&mut self, field: u64, value: &Value, name: &str) {
        if let Some(number) = value.get(name).and_then(Value::as_integer) {
            self.key(field, 0);
            self.number(number as u64);
        }
    }
    fn double(&mut self, field: u64, value: &Value, name: &str) {
        let number = match value.get(name) {
            Some(Value::Integer(number)) => *number as f64,
            Some(Value::Float(number)) => *number,
            _ => return,
        };
        self.key(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }
    /// What stands under each name, as messages that hold a name and a value.
    fn named<'a>(
        &mut self,
        field: u64,
        entries: impl Iterator<Item = (&'a str, &'a Value)>,
        write: impl Fn(&Value) -> Message,
    ) {
        for (name, value) in entries {
            let mut entry = Message::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, write(value));
            self.message(field, entry);
        }
    }
    fn extensions(&mut self, field: u64, value: &Value) {
        self.named(field, entries(value).filter(|(name, _)| name.starts_with("x-")), any);
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(|map| map.iter()).map(|(name, value)| (name.as_str(), value))
}

/// `Any`, as YAML.
fn any(value: &Value) -> Message {
    let mut any = Message::default();
    any.bytes(2, value.to_string().as_bytes());
    any
}

/// The document's bytes.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document, "swagger");
    let mut info = Message::default();
    info.text(1, document.at("info"), "title");
    info.text(2, document.at("info"), "version");
    out.message(2, info);
    let mut paths = Message::default();
    paths.named(2, entries(document.at("paths")), path_item);
    out.message(8, paths);
    let mut definitions = Message::default();
    definitions.named(1, entries(document.at("definitions")), schema);
    out.message(9, definitions);
    out.0
}

fn path_item(value: &Value) -> Message {
    let mut item = Message::default();
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = value.get(method) {
            item.message(field, operation(value));
        }
    }
    for value in value.items("parameters") {
        item.message(9, parameter(value));
    }
    item
}

fn operation(value: &Value) -> Message {
    let mut operation = Message::default();
    operation.texts(1, value, "tags");
    operation.text(5, value, "operationId");
    operation.texts(6, value, "produces");
    operation.texts(7, value, "consumes");
    for value in value.items("parameters") {
        operation.message(8, parameter(value));
    }
    let mut responses = Message::default();
    responses.named(1, entries(value.at("responses")), |value| {
        let mut response = Message::default();
        response.text(1, value, "description");
        let mut item = Message::default();
        item.message(1, schema(value.at("schema")));
        response.message(2, item);
        wrapped(1, response)
    });
    operation.message(9, responses);
    operation.texts(10, value, "schemes");
    operation.extensions(13, value);
    operation
}

/// A message in the one field of another.
fn wrapped(field: u64, message: Message) -> Message {
    let mut outer = Message::default();
    outer.message(field, message);
    outer
}

fn parameter(value: &Value) -> Message {
    let mut own = Message::default();
    let parameter = match value.text("in") {
        "body" => {
            own.text(2, value, "name");
            own.text(3, value, "in");
            own.boolean(4, value, "required");
            own.message(5, schema(value.at("schema")));
            wrapped(1, own)
        }
        place => {
            own.boolean(1, value, "required");
            own.text(2, value, "in");
            own.text(4, value, "name");
            // A query's has one field more, before its type.
            let (kind, shift) = if place == "path" { (4, 0) } else { (3, 1) };
            own.text(5 + shift, value, "type");
            own.boolean(19 + shift, value, "uniqueItems");
            wrapped(2, wrapped(kind, own))
        }
    };
    wrapped(1, parameter)
}

fn schema(value: &Value) -> Message {
    let mut schema = Message::default();
    for (field, name) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        schema.text(field, value, name);
    }
    if let Some(default) = value.get("default") {
        schema.message(5, any(default));
    }
    for (field, name) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        schema.double(field, value, name);
    }
    for (field, name) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        schema.boolean(field, value, name);
    }
    for (field, name) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        schema.integer(field, value, name);
    }
    schema.texts(19, value, "required");
    for allowed in value.items("enum") {
        schema.message(20, any(allowed));
    }
    match value.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut item = Message::default();
            item.key(2, 0);
            item.number(u64::from(*allowed));
            schema.message(21, item);
        }
        Some(values) => schema.message(21, wrapped(1, self::schema(values))),
        None => {}
    }
    if let Some(kind) = value.get("type").and_then(Value::as_str) {
        let mut item = Message::default();
        item.bytes(1, kind.as_bytes());
        schema.message(22, item);
    }
    if let Some(items) = value.get("items") {
        schema.message(23, wrapped(1, self::schema(items)));
    }
    if let Some(properties) = value.get("properties") {
        let mut all = Message::default();
        all.named(1, entries(properties), self::schema);
        schema.message(25, all);
    }
    schema.extensions(31, value);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_protobuf_has_them() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(any(&read("1")).0, [0x12, 1, b'1']);
        assert_eq!(
            schema(&read(r#"{"type":"string","x-a":true}"#)).0,
            [
                &[0xb2, 1, 8, 0x0a, 6][..],
                b"string",
                &[0xfa, 1, 13, 0x0a, 3],
                b"x-a",
                &[0x12, 6, 0x12, 4],
                b"true"
            ]
            .concat()
        );
        let long = format!(r#"{{"description":"{}"}}"#, "a".repeat(300));
        assert_eq!(schema(&read(&long)).0[..3], [0x22, 0xac, 2]);
        assert_eq!(schema(&read(r#"{"minimum":1}"#)).0, [0x49, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
