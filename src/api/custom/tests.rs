//! Laws that hold for any object and a schema that has a bit of everything.

use super::*;
use crate::api::field::FieldPath;
use crate::api::value::Map;
use crate::sim::random::Random;

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "a": {"type": "integer", "minimum": 0, "maximum": 3, "default": 1},
        "b": {"type": "string", "pattern": "^[a-c]+$", "maxLength": 2, "nullable": true},
        "c": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "d": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a"],
            "items": {
                "type": "object",
                "required": ["a"],
                "properties": {
                    "a": {"type": "string", "default": "b"},
                    "b": {"type": "object", "default": {"a": 2}, "properties": {"a": {"type": "number"}, "c": {"type": "boolean", "default": true}}}
                }
            }
        },
        "e": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}},
        "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}},
        "g": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"a": {"type": "string"}}},
        "spec": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "anyOf": [{"properties": {"a": {"minimum": 2}}}, {"required": ["b"]}],
            "not": {"required": ["a", "b"]}
        }
    }
}"#;

fn kind() -> Arc<CustomKind> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    CustomKind::new(&crate::object! {
        "spec" => crate::object! {
            "group" => "example.com",
            "versions" => crate::array![crate::object! {
                "name" => "v1", "served" => true, "storage" => true,
                "schema" => crate::object! { "openAPIV3Schema" => schema },
            }],
        },
        "status" => crate::object! { "acceptedNames" => crate::object! { "kind" => "Thing" } },
    })
}

/// Any value, of the names and scalars that mean something to the schema.
fn value(random: &mut Random, depth: usize) -> Value {
    let names = ["a", "b", "c", "d", "e", "f", "g", "spec", "apiVersion", "kind", "metadata", "x"];
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::Integer(random.below(6) as i64 - 1),
        3 => Value::Float(random.below(8) as f64 / 2.0),
        4 => Value::from(["a", "b", "abc", "", "v1", "Pod"][random.below(6) as usize]),
        5 => Value::from("abcd"),
        6 => Value::array((0..random.below(4)).map(|_| value(random, depth - 1)).collect::<Vec<_>>()),
        _ => {
            let mut map = Map::default();
            for _ in 0..random.below(6) {
                map.insert(names[random.below(names.len() as u64) as usize], value(random, depth - 1));
            }
            Value::from(map)
        }
    }
}

#[test]
fn what_has_been_coerced_stays_as_it_is_and_is_held_against_nobody() {
    let kind = kind();
    let version = kind.version("v1").unwrap();
    let mut random = Random::stream(1, "custom resources");
    let (mut taken, mut flawless, mut pruned) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut object = value(&mut random, 4);
        object.make_object().insert("apiVersion", "example.com/v1");
        object.make_object().insert("kind", "Thing");
        let Ok(first) = coerce(&kind, version, &object) else { continue };
        taken += 1;
        pruned += usize::from(!first.unknown.is_empty());
        let second = coerce(&kind, version, &first.value).ok().unwrap();
        assert_eq!(second.value, first.value, "{object}");
        assert_eq!(second.unknown, Vec::<String>::new(), "{object}");
        assert!(settle(&kind, version, &first.value).is_same(&first.value), "copied for nothing: {object}");
        let found = validate(version.schema(), &first.value, None, &FieldPath::ROOT);
        flawless += usize::from(found.is_empty());
        let unchanged = validate(version.schema(), &first.value, Some(&first.value), &FieldPath::ROOT);
        assert_eq!(unchanged, vec![], "{object}");
    }
    // The laws have been tried on all sorts.
    assert!(taken > 5_000 && flawless > 500 && pruned > 1_000, "{taken} {flawless} {pruned}");
}
