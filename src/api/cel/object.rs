//! What mutations are made of: values of the language on their way back to JSON.
//!
//! Picture to hold in mind: the clay model goes to the foundry. What cannot be cast is sent back, and a part whose tag
//! says another place than where it was found as well.
//!
//! Follows `k8s.io/apiserver/pkg/cel/mutation` and `pkg/admission/plugin/policy/mutating/patch`.

use super::Cel;
use super::functions::print;
use crate::api::value::Value;

/// Whether `Object{}` and `JSONPatch{}` may be written so.
pub(super) fn is_struct(name: &str) -> bool {
    matches!(name, "Object" | "JSONPatch") || name.starts_with("Object.")
}

/// A value as JSON; the error says what is none.
fn to_json(value: &Cel) -> Result<Value, String> {
    Ok(match value {
        Cel::Value(value) => value.clone(),
        Cel::List(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        Cel::Map(entries) => {
            let mut map = Value::object();
            for (key, value) in entries.iter() {
                let Some(key) = key.as_str() else { return Err("map key is not a string".to_owned()) };
                map.make_object().insert(key, to_json(value)?);
            }
            map
        }
        Cel::Object(object) => {
            let mut map = Value::object();
            for (name, value) in &object.1 {
                map.make_object().insert(name, to_json(value)?);
            }
            map
        }
        Cel::Optional(inner) => inner.as_ref().map_or(Ok(Value::Null), |inner| to_json(inner))?,
        Cel::Uint(number) => i64::try_from(*number).map_or(Value::Null, Value::Integer),
        Cel::Quantity(quantity) => quantity.to_string().into(),
        other => print(other).ok_or_else(|| ["no JSON for ", other.type_name()].concat())?.into(),
    })
}

/// The names of types must say where in the object they stand (`CheckTypeNamesMatchFieldPathNames`).
fn misplaced(value: &Cel, path: &mut String, errors: &mut Vec<String>) {
    match value {
        Cel::Object(object) => {
            if object.0 != path.as_str() {
                errors.push(format!(
                    "unexpected type name \"{}\", expected \"{path}\", which matches field name path from root Object type",
                    object.0
                ));
            }
            let length = path.len();
            for (name, value) in &object.1 {
                path.push('.');
                path.push_str(name);
                misplaced(value, path, errors);
                path.truncate(length);
            }
        }
        Cel::List(items) => items.iter().for_each(|item| misplaced(item, path, errors)),
        Cel::Map(entries) => entries.iter().for_each(|(_, value)| misplaced(value, path, errors)),
        _ => {}
    }
}

fn check_places(value: &Cel) -> Result<(), String> {
    let Cel::Object(object) = value else { return Ok(()) };
    let mut errors = Vec::new();
    misplaced(value, &mut object.0.to_string(), &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", errors.join("\n"))) }
}

/// What `applyConfiguration.expression` came to, as the object that it says.
pub fn apply_configuration(value: &Cel) -> Result<Value, String> {
    if !matches!(value, Cel::Object(_)) {
        return Err(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            value.type_name()
        ));
    }
    check_places(value)?;
    to_json(value)
}

/// What `jsonPatch.expression` came to, as a JSON patch.
pub fn json_patch(value: &Cel) -> Result<Value, String> {
    let Some(items) = value.items().filter(|_| value.is_list()) else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut patch = Vec::new();
    for item in items {
        if !matches!(&item, Cel::Object(object) if object.0 == "JSONPatch") {
            return Err(format!(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {}",
                item.type_name()
            ));
        }
        let mut operation = crate::object! { "op" => "", "path" => "" };
        for name in ["op", "path", "from"] {
            if let Some(text) = item.field(name).as_ref().and_then(Cel::as_str) {
                operation.set(name, text);
            }
        }
        if let Some(value) = item.field("value") {
            check_places(&value)?;
            let json = to_json(&value).map_err(|error| {
                format!(
                    "JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}"
                )
            })?;
            operation.set("value", json);
        }
        patch.push(operation);
    }
    Ok(patch.into())
}
