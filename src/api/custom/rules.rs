//! Rules in CEL that a schema has for the values at its places (`x-kubernetes-validations`).
//!
//! Picture to hold in mind: notes that the mould's maker scratched beside its hollows: what lies here must be wider than what
//! lies there; what was cast once may only grow.
//!
//! Follows apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go`. Where upstream goes through a Go map, whose
//! order is chance, names are taken in their order; what upstream only warns of, because the part has not changed, is let
//! pass.

use std::sync::Arc;

use super::validate::item_before;
use crate::api::base64::STANDARD;
use crate::api::cel::{self, Budget, COST_EXCEEDED, Cel, Evaluator, Node, OUT_OF_BUDGET};
use crate::api::field::{BadValue, FieldError, FieldPath, go_quote};
use crate::api::time_format::{parse_go_duration, parse_unix_micros};
use crate::api::value::{Text, Value};

/// What the rules of `schema` hold against `object`. `old` is what it was before an update.
pub fn check_rules(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), compiled: Vec::new(), left: Budget::WHOLE, is_over: false };
    if super::has_rules(schema) {
        walk.value(schema, object, old, false, &FieldPath::ROOT);
    }
    for error in walk.errors.iter_mut().filter(|error| error.field.is_empty()) {
        error.field.push_str("<nil>");
    }
    walk.errors
}

/// A rule, and whether it asks what was before.
type Compiled = Result<(Node, bool), Text>;

struct Walk<'a> {
    errors: Vec<FieldError>,
    /// The rules read so far: items of a list share theirs.
    compiled: Vec<(&'a Value, Arc<Compiled>)>,
    left: Budget,
    /// No further rules will be run.
    is_over: bool,
}

impl<'a> Walk<'a> {
    /// `unchanged`: the nearest part around that can be told in the old object is what it was.
    fn value(
        &mut self,
        schema: &'a Value,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &FieldPath,
    ) {
        if value.is_null() || self.is_over || schema.as_object().is_none() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        let unchanged = old.map_or(unchanged, |old| old == value);
        self.rules(schema, value, old, unchanged, path);
        for part in schema.items("allOf") {
            self.value(part, value, old, unchanged, path);
        }
        match value {
            Value::Array(items) if super::has_rules(schema.at("items")) => {
                for (index, item) in items.iter().enumerate() {
                    let before = item_before(schema, item, old);
                    self.value(schema.at("items"), item, before, unchanged, &path.index(index));
                }
            }
            Value::Object(map) => {
                let is_atomic = schema.text("x-kubernetes-map-type") == "atomic";
                let old = old.filter(|_| !is_atomic);
                for (name, field) in map.iter() {
                    let before = old.and_then(|old| old.get(name));
                    match schema.map("properties").get(name) {
                        Some(own) => self.value(own, field, before, unchanged, &path.child(name)),
                        None => {
                            let others = schema.at("additionalProperties");
                            self.value(others, field, before, unchanged, &path.key(name));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    fn rules(
        &mut self,
        schema: &'a Value,
        value: &Value,
        old: Option<&Value>,
        unchanged: bool,
        path: &FieldPath,
    ) {
        let rules = schema.items("x-kubernetes-validations");
        if rules.is_empty() {
            return;
        }
        let kind = schema.text("type");
        if self.left.cost == 0 {
            return self.end(FieldError::invalid(path, kind, OUT_OF_BUDGET));
        }
        let own = typed(schema, value);
        let before = old.map(|old| typed(schema, old));
        for rule in rules {
            let (text, message) = (rule.text("rule").trim(), rule.text("message").trim());
            let shown = if message.is_empty() { text } else { message };
            if text.is_empty() {
                continue;
            }
            let known = self.compiled.iter().find(|(own, _)| std::ptr::eq(*own, rule));
            let compiled = match known {
                Some((_, compiled)) => Arc::clone(compiled),
                None => {
                    let compiled = Arc::new(cel::parse(rule.text("rule")).map(|node| {
                        let is_transition = cel::uses(&node, "oldSelf");
                        (node, is_transition)
                    }));
                    self.compiled.push((rule, Arc::clone(&compiled)));
                    compiled
                }
            };
            let (node, is_transition) = match &*compiled {
                Ok((node, is_transition)) => (node, *is_transition),
                Err(error) => {
                    self.errors.push(FieldError::invalid(path, kind, format!("rule compile error: {error}")));
                    continue;
                }
            };
            let is_optional = rule.is_true("optionalOldSelf");
            if is_transition && old.is_none() && !is_optional {
                continue;
            }
            let before =
                if is_optional { Cel::optional(before.clone()) } else { before.clone().unwrap_or(Cel::NULL) };
            let names = [("self", own.clone()), ("oldSelf", before)];
            let mut evaluator = Evaluator::new(&names, self.left);
            let result = evaluator.run(node);
            self.left = evaluator.left;
            match result {
                Ok(result) if result.as_bool() == Some(true) => continue,
                Ok(_) => {}
                Err(error) => {
                    let detail = if error == "no such overload" {
                        format!(
                            "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
                        )
                    } else if error == COST_EXCEEDED {
                        let detail = format!(
                            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                        );
                        return self.end(FieldError::invalid(path, kind, detail));
                    } else if error == OUT_OF_BUDGET {
                        return self.end(FieldError::invalid(path, kind, OUT_OF_BUDGET));
                    } else {
                        format!("{error} evaluating rule: {shown}")
                    };
                    self.errors.push(FieldError::invalid(path, kind, detail));
                    continue;
                }
            }
            if unchanged && !is_transition {
                continue;
            }
            let field = field_path(schema, rule.text("fieldPath")).unwrap_or_default();
            let inner = path.child(&field);
            let path = if field.is_empty() { path } else { &inner };
            let detail = match self.message(rule, &names) {
                Ok(Some(detail)) => detail,
                Ok(None) if message.is_empty() => format!("failed rule: {text}"),
                Ok(None) => message.to_owned(),
                Err(why) => return self.end(FieldError::invalid(path, kind, why)),
            };
            let quoted =
                if matches!(kind, "object" | "array") { BadValue::Omitted } else { BadValue::from(value) };
            self.errors.push(match rule.text("reason") {
                "FieldValueForbidden" => FieldError::forbidden(path, detail),
                "FieldValueRequired" => FieldError::required(path, detail),
                "FieldValueDuplicate" => FieldError::duplicate(path, quoted),
                _ => FieldError::invalid(path, quoted, detail),
            });
        }
    }
    /// What `messageExpression` comes to, if it comes to a message; an error is that nothing more can be paid for.
    fn message(&mut self, rule: &Value, names: &[(&str, Cel)]) -> Result<Option<String>, String> {
        let expression = rule.text("messageExpression");
        let node = cel::parse(expression).ok().filter(|_| !expression.trim().is_empty());
        let Some(node) = node else { return Ok(None) };
        // It is read anew for each item.
        self.left.steps = self.left.steps.saturating_sub(expression.len());
        let mut evaluator = Evaluator::new(names, self.left);
        let result = evaluator.run(&node);
        self.left = evaluator.left;
        match result {
            Ok(value) => Ok(cel::message(&value).map(str::to_owned)),
            Err(error) if error == OUT_OF_BUDGET => {
                Err(error.replace("validation failed", "messageExpression evaluation failed"))
            }
            Err(error) if error == COST_EXCEEDED => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                go_quote(expression)
            )),
            Err(_) => Ok(None),
        }
    }
    fn end(&mut self, error: FieldError) {
        self.errors.push(error);
        self.is_over = true;
    }
}

/// Whether a part of a schema means something else than what JSON says.
fn is_typed(schema: &Value) -> bool {
    match (schema.text("type"), schema.text("format")) {
        ("number", _) | ("string", "date-time" | "date" | "duration" | "byte") => true,
        ("array", _) => is_typed(schema.at("items")),
        ("object", _) => {
            schema.map("properties").iter().any(|(_, own)| is_typed(own))
                || is_typed(schema.at("additionalProperties"))
        }
        _ => false,
    }
}

/// A value as rules see it: dates and durations are more than texts, numbers never whole.
fn typed(schema: &Value, value: &Value) -> Cel {
    if !is_typed(schema) {
        return Cel::from(value);
    }
    match (value, schema.text("format")) {
        (Value::Integer(number), _) => Cel::from(Value::Float(*number as f64)),
        (Value::String(text), "duration") => parse_go_duration(text).map_or(value.into(), Cel::Duration),
        (Value::String(text), "byte") => Cel::Bytes(STANDARD.decode(text).unwrap_or_default().into()),
        (Value::String(text), format) => {
            let whole = if format == "date" { format!("{text}T00:00:00Z") } else { text.to_string() };
            parse_unix_micros(&whole).map_or(value.into(), Cel::Timestamp)
        }
        (Value::Array(items), _) => {
            Cel::list(items.iter().map(|item| typed(schema.at("items"), item)).collect())
        }
        (Value::Object(map), _) => {
            let of = |name: &str| {
                schema.map("properties").get(name).unwrap_or_else(|| schema.at("additionalProperties"))
            };
            let entries = map.iter().map(|(name, field)| (Cel::from(name), typed(of(name), field)));
            Cel::Map(entries.collect::<Vec<_>>().into())
        }
        _ => Cel::from(value),
    }
}

/// A path such as `.spec['max-size']` as errors print it; `None` if the schema has no such place (`ValidFieldPath`).
pub fn field_path(schema: &Value, path: &str) -> Option<String> {
    let (mut schema, mut rest, mut printed) = (schema, path.trim(), String::new());
    while !rest.is_empty() {
        let (name, more) = if let Some(inner) = rest.strip_prefix("['") {
            inner.split_once("']")?
        } else {
            let inner = rest.strip_prefix('.')?;
            inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
        };
        rest = more;
        match (schema.map("properties").get(name), schema.at("additionalProperties")) {
            (Some(own), _) => {
                if !printed.is_empty() {
                    printed.push('.');
                }
                printed.push_str(name);
                schema = own;
            }
            (None, others @ Value::Object(_)) if schema.map("properties").is_empty() => {
                printed.push_str(&format!("[{name}]"));
                schema = others;
            }
            _ => return None,
        }
    }
    Some(printed)
}
