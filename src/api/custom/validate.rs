//! What values a schema takes, and in which words it refuses others.
//!
//! Picture to hold in mind: a mould. The casting is laid into it; wherever it does not lie flush, the spot is marked. A
//! casting that was accepted once, under an older mould, is left alone where it has not been touched since.
//!
//! Follows `k8s.io/kube-openapi/pkg/validation/validate`, the ratcheting and the translation of its errors in
//! apiextensions-apiserver `pkg/apiserver/validation`. Where upstream goes through a Go map, whose order is chance, names
//! are taken in their order.

use super::format;
use crate::api::field::{BadValue, FieldError, FieldErrorKind, FieldPath};
use crate::api::float::Decimal;
use crate::api::regex::Regex;
use crate::api::value::{Map, Value};

/// What is wrong with `value`, whose place in its object is `path`. `old` is what stood there before an update.
pub fn validate(schema: &Value, value: &Value, old: Option<&Value>, path: &FieldPath) -> Vec<FieldError> {
    let field = path.to_string();
    check(schema, value, old, "").list.into_iter().map(|violation| violation.at(&field)).collect()
}

struct Violation {
    /// Where the walk was, from the place at which it began.
    path: String,
    kind: FieldErrorKind,
    value: BadValue,
    /// The whole sentence: it tells one violation from another.
    message: String,
    /// What the field's error says, where that is not the sentence.
    detail: Option<String>,
}

impl Violation {
    fn at(self, prefix: &str) -> FieldError {
        let own = self.path.trim_start_matches('.');
        let field = match (prefix, own) {
            ("", "") => "<nil>".to_owned(),
            ("", own) => own.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, own) => format!("{prefix}.{own}"),
        };
        FieldError { kind: self.kind, field, value: self.value, detail: self.detail.unwrap_or(self.message) }
    }
}

/// What a schema says of a value, and how much of it fitted: of alternatives, the best fit tells its errors.
#[derive(Default)]
struct Found {
    list: Vec<Violation>,
    matches: usize,
}

impl Found {
    fn push(&mut self, violation: Violation) {
        if !self.list.iter().any(|known| known.message == violation.message) {
            self.list.push(violation);
        }
    }
    fn merge(&mut self, other: Found) {
        for violation in other.list {
            self.push(violation);
        }
        self.matches += other.matches;
    }
    /// An error of one field.
    fn add(
        &mut self,
        kind: FieldErrorKind,
        path: &str,
        value: impl Into<BadValue>,
        message: String,
        detail: Option<String>,
    ) {
        self.push(Violation { path: path.to_owned(), kind, value: value.into(), message, detail });
    }
    fn invalid(&mut self, path: &str, value: impl Into<BadValue>, message: String) {
        self.add(FieldErrorKind::Invalid, path, value, message, None);
    }
    /// An error that names no field but in its words.
    fn general(&mut self, message: String) {
        self.add(FieldErrorKind::Invalid, "", "", message, None);
    }
    fn wrong_type(&mut self, path: &str, wanted: &str, found: impl Into<Value>) {
        let found = found.into();
        let message = format!("{path} in body must be of type {wanted}: {:?}", found.as_str().unwrap_or(""));
        self.add(FieldErrorKind::TypeInvalid, path, found, message, None);
    }
}

/// The type's name and the format that upstream sees in a value.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Integer(_) => ("integer", "int64"),
        Value::Float(_) => ("number", "float64"),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn types_of(schema: &Value) -> Vec<&str> {
    if schema.is_true("x-kubernetes-int-or-string") {
        return vec!["integer", "string"];
    }
    match schema.text("type") {
        "" => Vec::new(),
        name => vec![name],
    }
}

/// The format that counts: others are taken for none.
fn format_of<'a>(schema: &'a Value, types: &[&str]) -> &'a str {
    let format = schema.text("format");
    let counts = match types {
        [] | ["string"] => format::is_known(format),
        ["integer"] => matches!(format, "int32" | "int64"),
        ["number"] => matches!(format, "float" | "double"),
        _ => false,
    };
    if counts { format } else { "" }
}

/// A number as Go's `%v` prints it.
fn go_number(value: &Value) -> String {
    match value {
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e21 => Decimal::of(*number).plain(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn same_value(a: &Value, b: &Value) -> bool {
    a == b || number(a).is_some_and(|a| number(b) == Some(a))
}

fn check(schema: &Value, value: &Value, old: Option<&Value>, path: &str) -> Found {
    let mut found = Found::default();
    let types = types_of(schema);
    let format = format_of(schema, &types);
    if !types.is_empty() || !format.is_empty() {
        found.merge(check_type(schema, &types, format, value, path));
        found.matches += 1;
    }
    if value.is_null() {
        found.merge(check_enum(schema, value, path));
        return ratcheted(found, value, old);
    }
    found.merge(check_compositions(schema, value, old, path));
    found.matches += 1;
    match value {
        Value::String(text) => {
            check_text(schema, text, path, &mut found);
            if !format.is_empty() && types != ["integer", "string"] {
                if !format::fits(format, text) {
                    found.wrong_type(path, format, text.as_str());
                }
                found.matches += 1;
            }
        }
        Value::Integer(_) | Value::Float(_) => {
            check_number(schema, &types, format, value, path, &mut found);
        }
        Value::Array(items) => check_list(schema, items, old, path, &mut found),
        _ => {}
    }
    found.merge(check_enum(schema, value, path));
    found.matches += 1;
    if let Value::Object(map) = value {
        check_object(schema, map, old, path, &mut found);
        found.matches += 1;
    }
    found.matches += 1;
    ratcheted(found, value, old)
}

/// What has not changed is not held against the one who changes something else.
fn ratcheted(found: Found, value: &Value, old: Option<&Value>) -> Found {
    if !found.list.is_empty() && old.is_some_and(|old| old.is_same(value) || old == value) {
        return Found { list: Vec::new(), ..found };
    }
    found
}

fn check_type(schema: &Value, types: &[&str], format: &str, value: &Value, path: &str) -> Found {
    let mut found = Found::default();
    let (kind, own_format) = type_of(value);
    let has = |name: &str| types.contains(&name);
    if value.is_null() {
        if !types.is_empty() && !schema.is_true("nullable") {
            found.wrong_type(path, &types.join(","), kind);
        } else {
            found.matches += 1;
        }
        return found;
    }
    let is_whole = matches!(value, Value::Float(number) if number.fract() == 0.0) && has("integer");
    let is_number = kind == "integer" && has("number");
    let fits = has(kind) || is_whole || is_number;
    let is_text_or_list = matches!(value, Value::String(_) | Value::Array(_));
    // Of a text with a format, the format is all that counts.
    let is_formatted = is_text_or_list && !has("number") && !has("integer");
    match format.is_empty() {
        false if is_formatted => found.matches += 1,
        false if !is_text_or_list && !fits && own_format != format => {
            found.wrong_type(path, format, own_format)
        }
        _ if fits => found.matches += 1,
        _ => found.wrong_type(path, &types.join(","), kind),
    }
    found
}

fn check_enum(schema: &Value, value: &Value, path: &str) -> Found {
    let mut found = Found::default();
    let allowed = schema.items("enum");
    if allowed.is_empty() || (!value.is_null() && allowed.iter().any(|other| same_value(other, value))) {
        return found;
    }
    let names: Vec<String> = allowed
        .iter()
        .map(|value| value.as_str().map_or_else(|| crate::api::field::go_json(value), str::to_owned))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let detail = FieldError::not_supported(&FieldPath::ROOT, value, &names).detail;
    let message = format!("{path} in body should be one of [{}]", names.join(" "));
    found.add(FieldErrorKind::NotSupported, path, value, message, Some(detail));
    found
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Found) {
    let length = text.chars().count();
    let limit = |name: &str| schema.integer(name).and_then(|limit| usize::try_from(limit).ok());
    if let Some(most) = limit("maxLength").filter(|most| length > *most) {
        let detail = FieldError::too_long(&FieldPath::ROOT, most).detail;
        let message = format!("{path} in body should be at most {most} chars long");
        found.add(FieldErrorKind::TooLong, path, text, message, Some(detail));
    } else if let Some(least) = limit("minLength").filter(|least| length < *least) {
        found.invalid(path, text, format!("{path} in body should be at least {least} chars long"));
    } else if !schema.text("pattern").is_empty() {
        let pattern = schema.text("pattern");
        let trouble = match Regex::go(pattern) {
            Ok(regex) if regex.is_match(&text.chars().collect::<Vec<char>>()) => None,
            Ok(_) => Some(pattern.to_owned()),
            Err(error) => Some(format!("{pattern}, but pattern is invalid: {error}")),
        };
        if let Some(pattern) = trouble {
            found.invalid(path, text, format!("{path} in body should match '{pattern}'"));
        } else {
            found.matches += 1;
        }
    } else {
        found.matches += 1;
    }
}

fn check_number(schema: &Value, types: &[&str], format: &str, value: &Value, path: &str, found: &mut Found) {
    let amount = number(value).unwrap_or_default();
    if types == ["integer"] {
        let fits = match value {
            Value::Integer(number) => format != "int32" || i32::try_from(*number).is_ok(),
            _ => amount.fract() == 0.0,
        };
        if !fits {
            let format = if format.is_empty() {
                "(default format)".to_owned()
            } else {
                format!("with format {format}")
            };
            found.general(format!("Checked value must be of type integer {format} in {path}"));
        }
    } else if types == ["number"] && format == "float" && amount.abs() > f64::from(f32::MAX) {
        found.general(format!("Checked value must be of type number with format float in {path}"));
    }
    // Whole numbers are held against whole limits.
    let is_whole = matches!(value, Value::Integer(_));
    let limit = |name: &str| {
        let limit = number(schema.at(name))?;
        Some(if is_whole { limit.trunc() } else { limit })
    };
    let printed = |limit: f64| go_number(&Value::Float(limit));
    if let Some(factor) = limit("multipleOf") {
        if factor <= 0.0 {
            let message =
                format!("factor MultipleOf declared for {path} must be positive: {}", printed(factor));
            found.invalid(path, Value::Float(factor), message);
        } else {
            let times = if factor < 1.0 { 1.0 / factor * amount } else { amount / factor };
            let is_multiple = match value {
                Value::Integer(number) => number % (factor as i64) == 0,
                _ => (times - times.round()).abs() < 1e-9,
            };
            if !is_multiple {
                let message = format!("{path} in body should be a multiple of {}", printed(factor));
                found.invalid(path, value, message);
            }
        }
    }
    let is_exclusive = |name: &str| schema.is_true(name);
    if let Some(least) = limit("minimum") {
        let exclusive = is_exclusive("exclusiveMinimum");
        if amount < least || (exclusive && amount <= least) {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            found.invalid(path, value, format!("{path} in body should be {words} {}", printed(least)));
        }
    }
    if let Some(most) = limit("maximum") {
        let exclusive = is_exclusive("exclusiveMaximum");
        if amount > most || (exclusive && amount >= most) {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            found.invalid(path, value, format!("{path} in body should be {words} {}", printed(most)));
        }
    }
    found.matches += 2;
}

/// The item that is the same one, in the list as it was before: only maps' items can be told.
pub(super) fn item_before<'a>(schema: &Value, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    if schema.text("x-kubernetes-list-type") != "map" {
        return None;
    }
    let keys = schema.items("x-kubernetes-list-map-keys");
    old?.as_array()?.iter().find(|old| {
        keys.iter().filter_map(Value::as_str).all(|key| {
            let default =
                schema.at("items").map("properties").get(key).map_or(&Value::Null, |own| own.at("default"));
            old.get(key).unwrap_or(default) == item.get(key).unwrap_or(default)
        })
    })
}

fn check_list(schema: &Value, items: &[Value], old: Option<&Value>, path: &str, found: &mut Found) {
    if let Some(own) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            found.merge(check(own, item, item_before(schema, item, old), &format!("{path}[{index}]")));
        }
    }
    let size = items.len();
    let limit = |name: &str| schema.integer(name).and_then(|limit| usize::try_from(limit).ok());
    if let Some(least) = limit("minItems").filter(|least| size < *least) {
        found.invalid(path, size as i64, format!("{path} in body should have at least {least} items"));
    }
    if let Some(most) = limit("maxItems").filter(|most| size > *most) {
        let message = format!("{path} in body should have at most {most} items");
        let detail = FieldError::too_many(&FieldPath::ROOT, size, most).detail;
        found.add(FieldErrorKind::TooMany, path, size as i64, message, Some(detail));
    }
    if schema.is_true("uniqueItems")
        && items.iter().enumerate().any(|(index, item)| items[..index].contains(item))
    {
        found.invalid(path, "", format!("{path} in body shouldn't contain duplicates"));
    }
    found.matches += 2;
}

fn check_object(schema: &Value, map: &Map, old: Option<&Value>, path: &str, found: &mut Found) {
    let size = map.len();
    let limit = |name: &str| schema.integer(name).and_then(|limit| usize::try_from(limit).ok());
    if let Some(least) = limit("minProperties").filter(|least| size < *least) {
        found.invalid(path, size as i64, format!("{path} in body should have at least {least} properties"));
    }
    if let Some(most) = limit("maxProperties").filter(|most| size > *most) {
        let message = format!("{path} in body should have at most {most} properties");
        let detail = FieldError::too_many(&FieldPath::ROOT, size, most).detail;
        found.add(FieldErrorKind::TooMany, path, size as i64, message, Some(detail));
    }
    let properties = schema.map("properties");
    let is_atomic = schema.text("x-kubernetes-map-type") == "atomic";
    let before = |name: &str| match old {
        Some(old) if !is_atomic => old.get(name),
        _ => None,
    };
    if let others @ Value::Object(_) = schema.at("additionalProperties") {
        for (name, value) in map.iter().filter(|(name, _)| !properties.contains_key(name)) {
            found.merge(check(others, value, before(name), &format!("{path}.{name}")));
        }
    }
    for (name, own) in properties.iter() {
        let Some(value) = map.get(name) else { continue };
        let is_type = path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        let before = if is_type { None } else { before(name) };
        let place = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        found.merge(check(own, value, before, &place));
    }
    for name in schema.items("required").iter().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            let place = format!("{path}.{name}");
            let message = format!("{place} in body is required");
            found.add(FieldErrorKind::Required, &place, BadValue::Omitted, message, Some(String::new()));
        }
    }
}

/// `anyOf`, `oneOf`, `allOf` and `not`.
fn check_compositions(schema: &Value, value: &Value, old: Option<&Value>, path: &str) -> Found {
    let mut found = Found::default();
    let quoted = crate::api::field::go_quote(path);
    let any_of = schema.items("anyOf");
    if !any_of.is_empty() {
        let mut best: Option<Found> = None;
        let mut fits = false;
        for alternative in any_of {
            let result = check(alternative, value, old, path);
            if result.list.is_empty() {
                fits = true;
                best = Some(result);
                break;
            }
            if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if !fits {
            found.general(format!("{quoted} must validate at least one schema (anyOf)"));
        }
        if let Some(best) = best {
            found.merge(best);
        }
    }
    let one_of = schema.items("oneOf");
    if !one_of.is_empty() {
        let mut best: Option<Found> = None;
        let mut first: Option<Found> = None;
        let mut fitting = 0;
        for alternative in one_of {
            let result = check(alternative, value, old, path);
            if result.list.is_empty() {
                fitting += 1;
                best = None;
                first = first.or(Some(result));
            } else if fitting == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                best = Some(result);
            }
        }
        if fitting == 1 {
            found.merge(first.unwrap_or_default());
        } else {
            let more = match fitting {
                0 => "Found none valid".to_owned(),
                count => format!("Found {count} valid alternatives"),
            };
            found.general(format!("{quoted} must validate one and only one schema (oneOf). {more}"));
            found.merge(best.unwrap_or_default());
        }
    }
    let all_of = schema.items("allOf");
    if !all_of.is_empty() {
        let mut fitting = 0;
        for part in all_of {
            let result = check(part, value, old, path);
            fitting += usize::from(result.list.is_empty());
            found.merge(result);
        }
        if fitting < all_of.len() {
            let more = if fitting == 0 { ". None validated" } else { "" };
            found.general(format!("{quoted} must validate all the schemas (allOf){more}"));
        }
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null())
        && check(not, value, old, path).list.is_empty()
    {
        found.general(format!("{quoted} must not validate the schema (not)"));
    }
    found.matches += 1;
    found
}
