//! Expressions and what becomes of them.

use super::*;
use crate::api::value::Value;

fn subject() -> Value {
    serde_json::from_str(
        r#"{"name":"web","replicas":3,"ratio":0.5,"whole":2,"none":null,"labels":{"app":"web","a-b":"c"},
        "ports":[{"name":"http","port":80},{"name":"https","port":443}],"words":["b","a","c"],"numbers":[3,1,2],
        "memory":"1Gi","at":"2026-01-01T08:00:00Z","namespace":"shop"}"#,
    )
    .unwrap()
}

/// The value as JSON or as a literal, or `! ` and the words of the error.
fn outcome(source: &str) -> String {
    let names = [("self", Cel::Value(subject()))];
    let declared = Declared { names: &["self", "variables"], variables: &["one", "two", "bad"] };
    let node = match compile(source, &declared) {
        Ok(node) => node,
        Err(error) => return format!("! {error}"),
    };
    let mut evaluator = Evaluator::new(&names, WHOLE_BUDGET);
    for (name, source) in [("one", "self.replicas + 1"), ("two", "variables.one * 2"), ("bad", "1 / 0")] {
        evaluator.define(name, compile(source, &declared));
    }
    match evaluator.run(&node) {
        Ok(value) => print(&value),
        Err(error) => format!("! {error}"),
    }
}

fn print(value: &Cel) -> String {
    match value {
        Cel::Value(value) => value.to_string(),
        Cel::Uint(number) => format!("{number}u"),
        Cel::Bytes(bytes) => format!("{bytes:?}"),
        Cel::List(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(",")),
        Cel::Map(entries) => {
            let all: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}:{}", print(key), print(value))).collect();
            format!("{{{}}}", all.join(","))
        }
        Cel::Duration(us) => format!("{us}us"),
        Cel::Timestamp(us) => format!("@{us}us"),
        Cel::Quantity(quantity) => quantity.to_string(),
        Cel::Type(name) => (*name).to_owned(),
        Cel::Optional(None) => "none".to_owned(),
        Cel::Optional(Some(inner)) => format!("some({})", print(inner)),
        Cel::Object(object) => {
            let fields: Vec<String> =
                object.1.iter().map(|(name, value)| format!("{name}:{}", print(value))).collect();
            format!("{}{{{}}}", object.0, fields.join(","))
        }
    }
}

#[test]
fn expressions_come_to_what_they_come_to() {
    for line in
        include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        let (source, expected) = line.split_once("  =>  ").unwrap_or_else(|| panic!("no arrow in {line}"));
        assert_eq!(outcome(source).replace('\n', "\\n"), expected, "{source}");
    }
}

#[test]
fn no_expression_hangs_or_panics() {
    let sources: Vec<&str> = include_str!("expressions.txt")
        .lines()
        .filter_map(|line| line.split_once("  =>  "))
        .map(|(source, _)| source)
        .collect();
    for source in &sources {
        for end in (0..source.len()).filter(|end| source.is_char_boundary(*end)) {
            outcome(&source[..end]);
            outcome(&source[end..]);
        }
    }
    // Words thrown together.
    let words: Vec<&str> =
        sources.iter().flat_map(|source| source.split_inclusive(&[' ', '.', '(', ','])).collect();
    let mut seed: u64 = 7;
    for _ in 0..3000 {
        let mut source = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            source.push_str(words[(seed >> 33) as usize % words.len()]);
        }
        outcome(&source);
    }
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!", ""),
        ("-", ""),
        ("1+", ""),
        ("{1:", "}"),
        ("true?1:", ""),
        ("self.all(x,", ")"),
    ] {
        for count in [100, 3000] {
            outcome(&format!("{}1{}", open.repeat(count), close.repeat(count)));
        }
    }
    outcome(&format!("self{}", ".a".repeat(7000)));
    outcome(&format!("1{}", " || true".repeat(1800)));
}

#[test]
fn costs_are_limited() {
    let ten = "[1,2,3,4,5,6,7,8,9,0]";
    let loops =
        format!("{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, {ten}.all(f, true))))))");
    let doubles = format!("{}{}", "[".repeat(40), "self.words".to_owned() + &"].map(x, x)".repeat(40));
    let evil = format!(
        "{ten}.all(a, {ten}.all(b, {ten}.all(c, '{}'.matches('(a+)+$') || true)))",
        "a".repeat(60) + "b"
    );
    assert_eq!(outcome(&loops), format!("! {COST_EXCEEDED}"));
    assert_eq!(outcome(&evil), format!("! {COST_EXCEEDED}"));
    outcome(&doubles);
    // Each variable holds the one before twice.
    let names: Vec<String> = (0..200).map(|number| format!("v{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let declared = Declared { names: &["variables"], variables: &all };
    for body in ["[variables.vX, variables.vX]", "[variables.vX]", "variables.vX + variables.vX"] {
        let mut evaluator = Evaluator::new(&[], WHOLE_BUDGET);
        evaluator.define("v0", compile("'seed'", &declared));
        for (number, name) in names.iter().enumerate().skip(1) {
            evaluator.define(name, compile(&body.replace('X', &(number - 1).to_string()), &declared));
        }
        for name in &names {
            let node = compile(&format!("variables.{name} == variables.{name}"), &declared).unwrap();
            drop(evaluator.run(&node));
        }
    }
}
