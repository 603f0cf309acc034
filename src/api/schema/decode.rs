//! Reading an object against its schema, as strictly and in the same words as the API server.
//!
//! Picture to hold in mind: a customs officer with the atlas in hand. He walks the object from field to
//! field; what the atlas does not know he notes as unknown, what has the wrong type he notes as wrong, and
//! what passes leaves in the form in which Kubernetes itself would print it.
//!
//! Follows `sigs.k8s.io/json` (Go's encoding/json, case-sensitive and strict) together with the round trip that
//! every stored object makes through Go structs and protobuf: empty lists vanish, structs that are no pointers
//! appear, quantities and times take their canonical form. A part that does not change is not copied.

use super::{Field, ObjectShape, Schema, SchemaType, Shape};
use std::cmp::Ordering;
use std::fmt::Write;

use crate::api::base64::STANDARD;
use crate::api::field::go_quote;
use crate::api::quantity::Quantity;
use crate::api::status::Status;
use crate::api::time_format;
use crate::api::value::{Map, Text, Value};

/// What to do about unknown and duplicate fields: the `fieldValidation` parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl Strictness {
    /// The parameter's value; `None` for an unknown one. Absent means `Warn`.
    pub fn parse(text: &str) -> Option<Strictness> {
        match text {
            "Ignore" => Some(Strictness::Ignore),
            "" | "Warn" => Some(Strictness::Warn),
            "Strict" => Some(Strictness::Strict),
            _ => None,
        }
    }
}

/// Something found at one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// `spec.containers[0].image`: leads to the place in the editor.
    pub path: String,
    pub message: String,
}

/// What a walk over an object found.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object without its unknown fields, in printed form.
    pub value: Value,
    /// Wrong types and unreadable values; the first is the one the API server tells.
    pub errors: Vec<Problem>,
    /// Unknown and duplicate fields, in order, at most a hundred.
    pub strict: Vec<Problem>,
}

impl Decoded {
    /// The object and the warnings to send with it, or upstream's error text.
    pub fn into_result(self, strictness: Strictness) -> Result<(Value, Vec<String>), String> {
        if let Some(error) = self.errors.into_iter().next() {
            return Err(error.message);
        }
        let notes: Vec<String> = self.strict.into_iter().map(|problem| problem.message).collect();
        match strictness {
            Strictness::Strict if !notes.is_empty() => {
                Err(format!("strict decoding error: {}", notes.join(", ")))
            }
            Strictness::Ignore => Ok((self.value, Vec::new())),
            _ => Ok((self.value, notes)),
        }
    }
}

const MAX_STRICT_PROBLEMS: usize = 100;

/// Walks `value` as an object of type `place`. `duplicates` are the paths of keys that the text had twice.
pub fn decode(place: SchemaType, value: &Value, duplicates: &[String]) -> Decoded {
    decode_beside(place, value, None, duplicates)
}

/// The same, but the branches that `value` shares with `known`, which has been decoded before, are not walked again.
pub fn decode_beside(
    place: SchemaType,
    value: &Value,
    known: Option<&Value>,
    duplicates: &[String],
) -> Decoded {
    let mut walk = Walk {
        structural: place.schema.structural,
        path: String::new(),
        fields: Vec::new(),
        owner: "",
        lenient: 0,
        fatal: None,
        errors: Vec::new(),
        strict: Vec::new(),
    };
    let changed = walk.value(place, value, known);
    for path in duplicates {
        walk.strict
            .push(Problem { path: path.clone(), message: format!("duplicate field {}", go_quote(path)) });
    }
    walk.strict.truncate(MAX_STRICT_PROBLEMS);
    if let Some(first) = walk.fatal {
        walk.errors[..=first].rotate_right(1);
    }
    Decoded { value: changed.unwrap_or_else(|| value.clone()), errors: walk.errors, strict: walk.strict }
}

/// Decodes the body of a request for `kind`; the refusal is the API server's `BadRequest`.
pub fn decode_object(
    place: SchemaType,
    kind: &str,
    object: &Value,
    known: Option<&Value>,
    duplicates: &[String],
    strictness: Strictness,
) -> Result<(Value, Vec<String>), Status> {
    decode_beside(place, object, known, duplicates).into_result(strictness).map_err(|error| {
        let own_kind = object.text("kind");
        let version = object.text("apiVersion").rsplit('/').next().unwrap_or("");
        Status::bad_request(format!(
            "{own_kind} in version \"{version}\" cannot be handled as a {kind}: {error}"
        ))
    })
}

/// What clients check of any object before they send it: that its metadata can be read. The error is what
/// kubectl prints after `unable to decode "FILE": `.
pub fn check_object_meta(object: &Value) -> Result<(), String> {
    let meta = decode(Schema::object_meta(), object.at("metadata"), &[]);
    match meta.errors.into_iter().next() {
        None => Ok(()),
        // The walk began inside the metadata; upstream's began at the object.
        Some(error) => Err(error.message.replacen("field ObjectMeta.", "field ObjectMeta.metadata.", 1)),
    }
}

struct Walk<'a> {
    structural: bool,
    /// Where the walk is, with indices.
    path: String,
    /// The same without indices and map keys, as Go tells it.
    fields: Vec<&'a str>,
    /// The struct that holds the last of `fields`.
    owner: &'a str,
    /// Inside a type that reads itself, upstream is not strict.
    lenient: usize,
    /// The first error of a type that reads itself: it ends upstream's walk, so it is the one told.
    fatal: Option<usize>,
    errors: Vec<Problem>,
    strict: Vec<Problem>,
}

impl<'a> Walk<'a> {
    /// Reads `value`; `None` when it is fine as it is, as what is `known` is.
    #[cfg_attr(published, optimize(speed))]
    fn value(&mut self, place: SchemaType<'a>, value: &Value, known: Option<&Value>) -> Option<Value> {
        if known.is_some_and(|known| known.is_same(value)) {
            return None;
        }
        match (place.shape(), value) {
            (Shape::Any, _) => None,
            (Shape::Object(shape), Value::Object(map)) => self.object(place, shape, map, known),
            (Shape::List { .. }, Value::Array(items)) => self.list(place, items, known),
            (Shape::Map { .. }, Value::Object(map)) => self.map(place, map, known),
            (Shape::Either { object, other }, _) => {
                let next = if matches!(value, Value::Object(_)) { *object } else { *other };
                self.lenient += 1;
                let changed = self.value(place.to(next), value, None);
                self.lenient -= 1;
                changed
            }
            (_, Value::Null) => None,
            _ if self.structural => None,
            (Shape::String, Value::String(_)) | (Shape::Boolean, Value::Bool(_)) => None,
            (Shape::Float, Value::Integer(_) | Value::Float(_)) => None,
            (Shape::Integer { bits }, Value::Integer(number)) => {
                let fits = *bits == 64 || i32::try_from(*number).is_ok();
                if !fits {
                    self.mismatch(place, &format!("number {number}"));
                }
                None
            }
            (Shape::Integer { .. }, Value::Float(_)) => {
                self.mismatch(place, &format!("number {value}"));
                None
            }
            (Shape::Bytes, Value::String(text)) => {
                if let Err(at) = STANDARD.decode(text) {
                    self.note(format!("illegal base64 data at input byte {at}"));
                }
                None
            }
            (Shape::Quantity, _) => self.quantity(value),
            (Shape::IntOrString, Value::String(_)) => None,
            (Shape::IntOrString, Value::Integer(number)) if i32::try_from(*number).is_ok() => None,
            (Shape::IntOrString, _) => {
                self.own_mismatch(value, "int32");
                None
            }
            (Shape::Time | Shape::MicroTime | Shape::Duration, _) => self.time(place, value),
            _ => {
                self.mismatch(place, value.type_name());
                None
            }
        }
    }

    #[cfg_attr(published, optimize(speed))]
    fn object(
        &mut self,
        place: SchemaType<'a>,
        shape: &'a ObjectShape,
        map: &Map,
        known: Option<&Value>,
    ) -> Option<Value> {
        let owner = self.owner;
        let mut fields = shape.fields.iter().peekable();
        let mut out: Vec<(Text, Value)> = Vec::new();
        let mut changed = false;
        // Both sides are sorted by name: one pass over the two together. Entries are collected only from the
        // first difference on.
        for (position, (key, value)) in map.iter().enumerate() {
            let begin = |out: &mut Vec<(Text, Value)>, changed: &mut bool| {
                if !*changed {
                    *changed = true;
                    out.extend(map.iter().take(position).map(|(key, value)| (key.clone(), value.clone())));
                }
            };
            let mut order = Ordering::Greater;
            let mut comes_before = |field: &Field| {
                order = field.name.as_str().cmp(key);
                order.is_lt()
            };
            while let Some(field) = fields.next_if(|field| comes_before(field)) {
                if let Some(zero) = self.absent(place, field) {
                    begin(&mut out, &mut changed);
                    out.push((field.name.clone(), zero));
                }
            }
            let Some(field) = fields.next_if(|_| order.is_eq()) else {
                if !shape.preserve_unknown {
                    self.unknown(key);
                    begin(&mut out, &mut changed);
                } else if changed {
                    out.push((key.clone(), value.clone()));
                }
                continue;
            };
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            self.fields.push(&field.name);
            self.owner = place.name();
            let known = known.and_then(|known| known.get(key));
            let new = self.value(place.to(field.type_), value, known);
            self.fields.pop();
            self.owner = owner;
            self.path.truncate(length);
            let current = new.as_ref().unwrap_or(value);
            match self.printed(place, field, current) {
                Printed::AsIs if new.is_none() => {
                    if changed {
                        out.push((key.clone(), value.clone()));
                    }
                }
                Printed::AsIs => {
                    begin(&mut out, &mut changed);
                    out.push((key.clone(), current.clone()));
                }
                Printed::As(other) => {
                    begin(&mut out, &mut changed);
                    out.push((key.clone(), other));
                }
                Printed::Not => begin(&mut out, &mut changed),
            }
        }
        for field in fields {
            if let Some(zero) = self.absent(place, field) {
                if !changed {
                    changed = true;
                    out.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
                out.push((field.name.clone(), zero));
            }
        }
        changed.then(|| Value::from(out.into_iter().collect::<Map>()))
    }

    #[cfg_attr(published, optimize(speed))]
    fn list(&mut self, place: SchemaType<'a>, items: &[Value], known: Option<&Value>) -> Option<Value> {
        let element = place.element()?;
        let known = known.and_then(Value::as_array).unwrap_or_default();
        let mut out: Option<Vec<Value>> = None;
        let length = self.path.len();
        for (index, item) in items.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(self.path, "[{index}]");
            let new = match item {
                Value::Null if !self.structural => zero(element),
                _ => self.value(element, item, known.get(index)),
            };
            self.path.truncate(length);
            if let Some(new) = new {
                out.get_or_insert_with(|| items.to_vec())[index] = new;
            }
        }
        out.map(Value::from)
    }

    #[cfg_attr(published, optimize(speed))]
    fn map(&mut self, place: SchemaType<'a>, map: &Map, known: Option<&Value>) -> Option<Value> {
        let element = place.element()?;
        let mut out: Option<Map> = None;
        let length = self.path.len();
        for (key, value) in map.iter() {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            let new = match value {
                Value::Null if !self.structural => zero(element),
                _ => self.value(element, value, known.and_then(|known| known.get(key))),
            };
            self.path.truncate(length);
            if let Some(new) = new {
                out.get_or_insert_with(|| map.clone()).insert(key, new);
            }
        }
        out.map(Value::from)
    }

    fn quantity(&mut self, value: &Value) -> Option<Value> {
        let text = match value {
            Value::String(text) => Text::from(text.trim()),
            other => Text::from(other.to_string()),
        };
        match Quantity::normalize(&text) {
            Ok(stored) if value.as_str() == Some(&stored) => None,
            Ok(stored) => Some(Value::from(stored)),
            Err(error) => {
                self.fatal(error.to_string());
                None
            }
        }
    }

    fn time(&mut self, place: SchemaType<'a>, value: &Value) -> Option<Value> {
        let Value::String(text) = value else {
            self.own_mismatch(value, "string");
            return None;
        };
        let micro = place.shape() == &Shape::MicroTime;
        if place.shape() != &Shape::Duration && time_format::is_normal(text, micro) {
            return None;
        }
        if place.shape() == &Shape::Duration {
            match time_format::parse_go_duration(text) {
                None => self.fatal(format!("time: invalid duration {}", go_quote(text))),
                Some(micros) if micros >= 0 => {
                    let micros = micros.unsigned_abs();
                    let printed = time_format::go_duration(crate::sim::Duration(micros));
                    return (printed != *text).then(|| Value::from(printed));
                }
                Some(_) => {}
            }
            return None;
        }
        if let Some(error) = time_error(text, micro) {
            self.fatal(error);
            return None;
        }
        let normal = time_format::normalize(text, micro)?;
        (normal != *text).then(|| Value::from(normal))
    }

    /// What a field prints that the object does not have.
    #[cfg_attr(published, optimize(speed))]
    fn absent(&self, place: SchemaType<'a>, field: &Field) -> Option<Value> {
        if self.structural || field.omit_zero {
            return None;
        }
        let type_ = place.to(field.type_);
        if field.pointer {
            return (!field.omit_empty).then_some(Value::Null);
        }
        match type_.shape() {
            // Go never leaves out a struct for being empty.
            Shape::Object(_) => zero(type_),
            Shape::Quantity | Shape::IntOrString | Shape::Duration => zero(type_),
            Shape::Time | Shape::MicroTime | Shape::Any | Shape::Either { .. } => Some(Value::Null),
            _ if field.omit_empty => None,
            Shape::List { .. } | Shape::Map { .. } | Shape::Bytes => Some(Value::Null),
            _ => zero(type_),
        }
    }

    fn printed(&self, place: SchemaType<'a>, field: &Field, value: &Value) -> Printed {
        if self.structural {
            return Printed::AsIs;
        }
        if value.is_null() {
            return match self.absent(place, field) {
                None => Printed::Not,
                Some(Value::Null) => Printed::AsIs,
                Some(zero) => Printed::As(zero),
            };
        }
        if field.pointer {
            return Printed::AsIs;
        }
        let type_ = place.to(field.type_);
        let empty = match type_.shape() {
            Shape::Object(_) => {
                return if field.omit_zero && zero(type_).as_ref() == Some(value) {
                    Printed::Not
                } else {
                    Printed::AsIs
                };
            }
            Shape::Any | Shape::Either { .. } | Shape::Quantity | Shape::IntOrString => return Printed::AsIs,
            _ => value.is_empty() || matches!(value, Value::Bool(false) | Value::Integer(0)),
        };
        match (empty, field.omit_empty) {
            (false, _) => Printed::AsIs,
            (true, true) => Printed::Not,
            // Stored as protobuf, an empty list is no list.
            (true, false) if matches!(value, Value::Array(_) | Value::Object(_)) => Printed::As(Value::Null),
            (true, false) => Printed::AsIs,
        }
    }

    fn unknown(&mut self, key: &str) {
        if self.lenient > 0 || self.strict.len() >= MAX_STRICT_PROBLEMS {
            return;
        }
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let message = format!("unknown field {}", go_quote(&path));
        self.strict.push(Problem { path, message });
    }
    fn note(&mut self, message: String) {
        self.errors.push(Problem { path: self.path.clone(), message });
    }
    fn fatal(&mut self, message: String) {
        self.fatal.get_or_insert(self.errors.len());
        self.note(message);
    }
    /// Go's `UnmarshalTypeError`; `found` is the JSON type's name, with the number where one does not fit.
    fn mismatch(&mut self, place: SchemaType, found: &str) {
        let (type_, owner, fields) = (place.go_name(), self.owner, self.fields.join("."));
        let message = if owner.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {type_}")
        } else {
            format!("json: cannot unmarshal {found} into Go struct field {owner}.{fields} of type {type_}")
        };
        if self.lenient > 0 { self.fatal(message) } else { self.note(message) }
    }
    /// The same out of a type that reads itself, which does not know where it stands.
    fn own_mismatch(&mut self, value: &Value, type_: &str) {
        let found = match value {
            Value::Float(_) | Value::Integer(_) if type_ == "int32" => format!("number {value}"),
            other => other.type_name().to_owned(),
        };
        self.fatal(format!("json: cannot unmarshal {found} into Go value of type {type_}"));
    }
}

enum Printed {
    AsIs,
    As(Value),
    Not,
}

/// The zero value of a type that is no pointer, as it prints; `None` where absence says the same.
fn zero(type_: SchemaType) -> Option<Value> {
    Some(match type_.shape() {
        Shape::String | Shape::Bytes => Value::from(""),
        Shape::Boolean => Value::from(false),
        Shape::Integer { .. } | Shape::Float | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        Shape::Object(shape) => {
            let walk = Walk {
                structural: false,
                path: String::new(),
                fields: Vec::new(),
                owner: "",
                lenient: 0,
                fatal: None,
                errors: Vec::new(),
                strict: Vec::new(),
            };
            let absent = shape
                .fields
                .iter()
                .filter_map(|field| Some((field.name.clone(), walk.absent(type_, field)?)));
            Value::from(absent.collect::<Map>())
        }
        _ => Value::Null,
    })
}

/// Go's complaint about a text that is no time of this layout.
fn time_error(text: &str, micro: bool) -> Option<String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let parts = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let quoted = go_quote(text);
    let cannot = |rest: &str, part: &str| {
        let layout = go_quote(layout);
        Some(format!(
            "parsing time {quoted} as {layout}: cannot parse {} as {}",
            go_quote(rest),
            go_quote(part)
        ))
    };
    let mut rest = text;
    for part in parts {
        let digits = part.len() > 1 || part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = match rest.get(..part.len()) {
            Some(head) if digits => head.bytes().all(|byte| byte.is_ascii_digit()),
            Some(head) => head == part,
            None => false,
        };
        if !fits {
            return cannot(rest, part);
        }
        rest = &rest[part.len()..];
    }
    let fraction = rest
        .strip_prefix('.')
        .map_or(0, |tail| tail.bytes().take_while(|byte| byte.is_ascii_digit()).count());
    if micro && fraction < 6 {
        return cannot(rest, ".000000");
    }
    let zone = if micro { &rest[7..] } else { &rest[if fraction > 0 { fraction + 1 } else { 0 }..] };
    let zone_length = match zone.as_bytes() {
        [b'Z', ..] => 1,
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => 6,
        _ => return cannot(zone, "Z07:00"),
    };
    if zone.len() > zone_length {
        return Some(format!("parsing time {quoted}: extra text: {}", go_quote(&zone[zone_length..])));
    }
    if time_format::parse_unix_micros(text).is_none() {
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or(0);
        let part = match () {
            () if !(1..=12).contains(&number(5..7)) => "month",
            () if number(11..13) > 23 => "hour",
            () if number(14..16) > 59 => "minute",
            () if number(17..19) > 59 => "second",
            () => "day",
        };
        return Some(format!("parsing time {quoted}: {part} out of range"));
    }
    None
}
