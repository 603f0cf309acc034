//! The words for an object that does not fit its type when it comes as a tree, not as text: the result of a
//! strategic merge patch.
//!
//! Follows `k8s.io/apimachinery/pkg/runtime/converter.go` (`FromUnstructured`), which goes through structs in the
//! order of their source and knows Go's own conversions.

use super::{SchemaType, Shape, decode};
use crate::api::value::Value;

/// Upstream's complaint about the first part of `value` that does not fit `place`.
pub fn conversion_error(place: SchemaType, value: &Value) -> Option<String> {
    let from = match value {
        Value::Null => return None,
        Value::Bool(_) => "bool",
        Value::Integer(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    };
    // The kind of Go's type behind any name it has.
    let unrecognized = |kind: &str| Some(format!("unrecognized type: {kind}"));
    let inconvertible = || Some(format!("cannot convert {from} to {}", place.go_name()));
    match (place.shape(), value) {
        (Shape::Any, _) => None,
        (Shape::Object(shape), Value::Object(map)) => shape.order.iter().find_map(|position| {
            let field = shape.fields.get(usize::from(*position))?;
            conversion_error(place.to(field.type_), map.get(&field.name)?)
        }),
        (Shape::Object(_), _) => Some(format!("cannot restore struct from: {from}")),
        (Shape::Map { element }, Value::Object(map)) => {
            map.iter().find_map(|(_, value)| conversion_error(place.to(*element), value))
        }
        (Shape::Map { .. }, _) => Some(format!("cannot restore map from {from}")),
        (Shape::List { element, .. }, Value::Array(items)) => {
            items.iter().find_map(|item| conversion_error(place.to(*element), item))
        }
        (Shape::List { .. }, _) => Some(format!("cannot restore slice from {from}")),
        (Shape::Bytes, Value::String(_)) => {
            let found = decode(place, value, &[]).errors.into_iter().next()?;
            Some(format!("error decoding from json: {}", found.message))
        }
        (Shape::Bytes, _) => Some(format!("cannot restore slice from {from}")),
        (Shape::String, Value::String(_)) | (Shape::Boolean, Value::Bool(_)) => None,
        (Shape::String, Value::Integer(_)) => inconvertible(),
        (Shape::String, _) => unrecognized("string"),
        (Shape::Boolean, _) => unrecognized("bool"),
        (Shape::Float, Value::Integer(_) | Value::Float(_)) => None,
        (Shape::Float, _) => unrecognized("float64"),
        (Shape::Integer { .. }, Value::Integer(_)) => None,
        (Shape::Integer { .. }, Value::Float(number)) if number.fract() == 0.0 => None,
        (Shape::Integer { .. }, Value::Float(_)) => inconvertible(),
        (Shape::Integer { bits: 32 }, _) => unrecognized("int32"),
        (Shape::Integer { .. }, _) => unrecognized("int64"),
        // The rest reads itself, in either way.
        _ => decode(place, value, &[]).errors.into_iter().next().map(|error| error.message),
    }
}
