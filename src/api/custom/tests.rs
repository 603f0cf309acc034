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

/// Any schema that decodes as one, however little sense it makes: of `calm` ones more makes sense.
fn schema(random: &mut Random, depth: usize, calm: bool) -> Value {
    let rarer = if calm { 12 } else { 1 };
    let mut schema = Value::object();
    let types = ["object", "string", "integer", "number", "boolean", "array", "null", "text"];
    let known = if calm { 5 } else { types.len() as u64 };
    if calm || random.below(8) > 0 {
        schema.set("type", types[random.below(known) as usize]);
    }
    for name in [
        "nullable",
        "uniqueItems",
        "exclusiveMinimum",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        if random.below(9 * rarer) == 0 {
            schema.set(name, random.below(2) == 0);
        }
    }
    for name in [
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
    ] {
        if random.below(9 * rarer) == 0 {
            schema.set(name, random.below(5) as i64 - 1);
        }
    }
    for (name, texts) in [
        ("format", ["int32", "date", "ipv4", "float"]),
        ("pattern", ["^a", "(", "[b-a]", "a{2}"]),
        ("x-kubernetes-list-type", ["map", "set", "atomic", "heap"]),
        ("x-kubernetes-map-type", ["atomic", "granular", "x", ""]),
        ("description", ["a", "", "b", "c"]),
    ] {
        if random.below(7 * rarer) == 0 {
            schema.set(name, texts[random.below(4) as usize]);
        }
    }
    if random.below(5 * rarer) == 0 {
        schema.set("default", value(random, 2));
    }
    if random.below(6 * rarer) == 0 {
        schema.set("enum", Value::array([value(random, 1), value(random, 1)]));
    }
    if random.below(6 * rarer) == 0 {
        schema.set("required", crate::array!["a", "b"]);
        schema.set("x-kubernetes-list-map-keys", crate::array!["a", "a"]);
    }
    if depth == 0 {
        return schema;
    }
    for name in ["items", "additionalProperties", "not"] {
        if random.below(3 * rarer) == 0 {
            schema.set(name, self::schema(random, depth - 1, calm));
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        if random.below(6 * rarer) == 0 {
            let list: Vec<Value> =
                (0..=random.below(2)).map(|_| self::schema(random, depth - 1, calm)).collect();
            schema.set(name, list);
        }
    }
    for name in ["a", "b", "metadata", "kind", "status"] {
        if random.below(3) == 0 {
            let property = self::schema(random, depth - 1, calm);
            schema.at_mut("properties").make_object().insert(name, property);
        }
    }
    schema
}

#[test]
fn whatever_a_definition_says_it_is_told_or_served() {
    let mut random = Random::stream(2, "definitions");
    let mut served = 0;
    for round in 0..2_000 {
        let mut schema = schema(&mut random, 3, round % 2 == 0);
        // Most of what is drawn would be refused at its root already.
        if random.below(2) == 0 {
            schema =
                crate::object! { "type" => "object", "properties" => crate::object! { "spec" => schema } };
        }
        let definition = crate::object! {
            "apiVersion" => "apiextensions.k8s.io/v1",
            "kind" => "CustomResourceDefinition",
            "metadata" => crate::object! { "name" => "things.example.com" },
            "spec" => crate::object! {
                "group" => "example.com",
                "scope" => "Cluster",
                "names" => crate::object! {
                    "plural" => "things", "singular" => "thing", "kind" => "Thing", "listKind" => "ThingList",
                },
                "versions" => crate::array![crate::object! {
                    "name" => "v1", "served" => true, "storage" => true,
                    "schema" => crate::object! { "openAPIV3Schema" => schema },
                }],
            },
            "status" => crate::object! {
                "acceptedNames" => crate::object! { "kind" => "Thing" },
                "storedVersions" => crate::array!["v1"],
            },
        };
        let errors = crate::api::validation::validate_create(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            &definition,
        );
        assert!(errors.iter().all(|error| !error.to_string().is_empty()));
        served += usize::from(errors.is_empty());
        // Even by a definition that would have been refused.
        let kind = CustomKind::new(&definition);
        let version = kind.version("v1").unwrap();
        assert!(version.place().is_some());
        for _ in 0..3 {
            let mut object = value(&mut random, 4);
            object.make_object().insert("apiVersion", "example.com/v1");
            object.make_object().insert("kind", "Thing");
            if let Ok(coerced) = coerce(&kind, version, &object) {
                crate::api::validation::validate_custom(&kind, version, &coerced.value, None);
            }
        }
    }
    assert!(served > 50, "{served}");
}
