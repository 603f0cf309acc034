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

/// Costs more than one expression may, and less than several together.
const DEAR: &str = "lists.range(200).filter(a, lists.range(2000).all(b, b >= 0)).size()";

/// The value as JSON or as a literal, or `! ` and the words of the error.
fn outcome(source: &str) -> String {
    outcome_within(source, Budget::WHOLE)
}

fn outcome_within(source: &str, budget: Budget) -> String {
    let names = [("self", Cel::Value(subject()))];
    let mut scope = Scope::new(vec![("self".into(), types::DYN)]).with_variables();
    scope.patches = true;
    scope.variables = ["one", "two", "bad", "dear"].map(|name| (name.into(), types::INT)).to_vec();
    let compiled = match compile(source, &scope) {
        Ok(compiled) => compiled,
        Err(error) => return format!("! {error}"),
    };
    let mut evaluator = Evaluator::new(&names, budget);
    for (name, source) in
        [("one", "self.replicas + 1"), ("two", "variables.one * 2"), ("bad", "1 / 0"), ("dear", DEAR)]
    {
        evaluator.define(name, parse(source));
    }
    match evaluator.run(&compiled.node) {
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
        Cel::Opaque(own) => own.text().unwrap_or_else(|| own.type_name().to_owned()),
        Cel::Object(object) => {
            let fields: Vec<String> =
                object.1.iter().map(|(name, value)| format!("{name}:{}", print(value))).collect();
            format!("{}{{{}}}", object.0, fields.join(","))
        }
    }
}

/// Each line of a file is an expression, an arrow, and what becomes of it. `CLUSTERARIUM_UPDATE=1` writes that anew.
fn compare(file: &str, mut outcome: impl FnMut(&str) -> String) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/cel/").to_owned() + file;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut new = String::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with("# ") {
            new += &format!("{line}\n");
            continue;
        }
        let source = line.split_once("  =>  ").map_or(line, |(source, _)| source);
        new += &format!("{source}  =>  {}\n", outcome(source).replace('\n', "\\n"));
    }
    if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
        std::fs::write(path, new).unwrap();
        return;
    }
    for (old, new) in text.lines().zip(new.lines()) {
        assert_eq!(old, new);
    }
}

#[test]
fn expressions_come_to_what_they_come_to() {
    compare("expressions.txt", outcome);
}

/// The type of an expression about an object with this schema, or what is wrong with it.
fn type_of(source: &str) -> String {
    let schema: Value = serde_json::from_str(
        r#"{"type":"object","properties":{"spec":{"type":"object","properties":{
        "replicas":{"type":"integer"},"ratio":{"type":"number"},"paused":{"type":"boolean"},"name":{"type":"string"},
        "port":{"x-kubernetes-int-or-string":true},"since":{"type":"string","format":"date-time"},
        "timeout":{"type":"string","format":"duration"},"key":{"type":"string","format":"byte"},
        "labels":{"type":"object","additionalProperties":{"type":"string"}},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
        "anything":{"x-kubernetes-preserve-unknown-fields":true},
        "max-size":{"type":"integer"},"namespace":{"type":"string"},"a__b":{"type":"string"},
        "template":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}},
        "parts":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},
        "weights":{"type":"array","items":{"type":"integer"}}}}}}}}}"#,
    )
    .unwrap();
    let own = types::declared(&schema, types::Root::Names, "selfType").unwrap();
    let spec = crate::object! { "paramKind" => crate::object! { "kind" => "ConfigMap" } };
    let mut scope = policy_scope(&spec, types::DYN, types::DYN).with_variables();
    scope.names.push(("self".into(), own.clone()));
    scope.names.push(("oldSelf".into(), types::optional(own)));
    scope.variables.push(("few".into(), types::list(types::INT)));
    scope.patches = true;
    match compile(source, &scope) {
        Ok(compiled) => {
            // Whatever it is, it can be estimated.
            cost::most(&compiled, &schema, true, &mut cost::Sizes::default());
            compiled.kind.text()
        }
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn expressions_have_the_types_that_they_have() {
    compare("types.txt", type_of);
}

#[test]
fn no_expression_hangs_or_panics() {
    let sources: Vec<&str> = [include_str!("expressions.txt"), include_str!("types.txt")]
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| line.split_once("  =>  "))
        .map(|(source, _)| source)
        .collect();
    for source in &sources {
        for end in (0..source.len()).filter(|end| source.is_char_boundary(*end)) {
            for part in [&source[..end], &source[end..]] {
                outcome(part);
                type_of(part);
            }
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
        type_of(&source);
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
    let exceeded = format!("! {COST_EXCEEDED}");
    assert_eq!(outcome(&loops), exceeded);
    assert!(outcome(&doubles).contains("expression recursion limit exceeded"));
    // As upstream has it, a variable is an expression of its own, and an "or" can do without it.
    assert_eq!(
        outcome("variables.dear == 1"),
        format!("! composited variable \"dear\" fails to evaluate: {COST_EXCEEDED}")
    );
    assert_eq!(outcome("variables.dear == 1 || true"), "true");
    // Not dear, but long: what lies in a list more than once, what is gone through for next to nothing, and what seems
    // to give back more than it takes.
    let shared = format!("dyn([1]{}[0])", ".map(a, [a, a])".repeat(36));
    let none = "(true ? int : int) == (true ? int : int)";
    let map = "lists.range(20000).transformMap(k, v, v)";
    let big = "[lists.range(100000)].all(l, lists.range(9000)";
    for source in [
        evil,
        format!("{shared}.indexOf([]) == -1 || true"),
        format!("{shared}.lastIndexOf([]) == -1 || true"),
        format!("{shared}.sum() == [] || true"),
        format!("{shared}.min() == [] || true"),
        format!("{shared}.isSorted() || true"),
        format!("{shared} == {shared}"),
        format!("{shared}.flatten(40) == []"),
        format!("{shared}.distinct() == []"),
        format!("sets.contains({shared}, {shared})"),
        format!("'%s'.format([{shared}]) == ''"),
        shared,
        format!("{big}.all(x, sets.contains([], l) || true))"),
        format!("[{map}].all(m, lists.range(20000).all(x, !has(m.missing)))"),
        format!("lists.range(200000).all(x, x + x >= 0{})", format!(" && {none}").repeat(8)),
    ] {
        let budget = Budget { steps: 300_000, ..Budget::WHOLE };
        assert_eq!(outcome_within(&source, budget), exceeded, "{source}");
    }
    // What need not be gone through is not.
    assert_eq!(outcome(&format!("{big}.all(x, [l].flatten(0) != [x]))")), "true");
    let maybe = format!("{none} && {none} && {none} ? optional.of(1) : optional.of(2)");
    assert_eq!(outcome(&format!("self.replicas > 0 && ({maybe}).optMap(x, x).hasValue()")), "true");
    // Each variable holds the one before twice.
    let names: Vec<String> = (0..200).map(|number| format!("v{number}")).collect();
    for body in ["[variables.vX, variables.vX]", "[variables.vX]", "variables.vX + variables.vX"] {
        let mut evaluator = Evaluator::new(&[], Budget::WHOLE);
        evaluator.define("v0", parse("'seed'"));
        for (number, name) in names.iter().enumerate().skip(1) {
            evaluator.define(name, parse(&body.replace('X', &(number - 1).to_string())));
        }
        for name in &names {
            let node = parse(&format!("variables.{name} == variables.{name}")).unwrap();
            drop(evaluator.run(&node));
        }
    }
}

#[test]
fn estimates_are_upstreams() {
    compare("costs.txt", |source| {
        let (schema, rule) = source.split_once(" | ").unwrap();
        let schema: Value = serde_json::from_str(schema).unwrap();
        let own = types::declared(&schema, types::Root::No, "selfType").unwrap();
        let names = vec![("self".into(), own.clone()), ("oldSelf".into(), own)];
        let compiled = compile(rule, &Scope::new(names)).unwrap_or_else(|error| panic!("{error}"));
        cost::most(&compiled, &schema, false, &mut cost::Sizes::default()).to_string()
    });
}

/// The costs that upstream's own tests expect (`dynamic-resource-allocation/cel/compile_test.go`).
#[test]
fn selectors_of_devices_cost_what_they_cost() {
    let dra = "device.attributes[\"dra.example.com\"]";
    let capacity = "device.capacity[\"dra.example.com\"]";
    for (expression, cost) in [
        ("\"no-such-domain\" in device.attributes".to_owned(), 3),
        ("device.driver == \"\"".to_owned(), 2),
        ("device.driver == \"dra.example.com\"".to_owned(), 4),
        (format!("{dra}.name"), 4),
        (format!("{dra}[\"name\"]"), 4),
        (format!("cel.bind(dra, {dra}, dra.name)"), 15),
        (format!("{dra}.name > 0"), 5),
        (format!("{dra}.name == \"fish\""), 5),
        (format!("{dra}.name.isGreaterThan(semver(\"0.0.1\"))"), 6),
        (format!("{dra}.name.isGreaterThan(semver(\"v0.0.1\", true)) && isSemver(\"v1.0.0\", true)"), 7),
        (format!("{capacity}.name.isGreaterThan(quantity(\"1Ki\"))"), 6),
        (format!("\"name\" in {capacity} && {capacity}.name.isGreaterThan(quantity(\"1Ki\"))"), 10),
        (format!("!(\"name\" in {capacity}) || {capacity}.name.isGreaterThan(quantity(\"1Ki\"))"), 11),
        (format!("{dra}.a && {dra}.b && {dra}.c"), 12),
    ] {
        assert_eq!(check_selector(&expression), Ok(cost), "{expression}");
    }
}

#[test]
fn expressions_cost_what_they_cost_upstream() {
    let mut names = [("self", Cel::NULL)];
    compare("prices.txt", |source| match source.strip_prefix("self = ") {
        Some(json) => {
            names[0].1 = serde_json::from_str::<Value>(json).unwrap().into();
            "known".to_owned()
        }
        None => {
            let mut evaluator = Evaluator::new(&names, Budget::WHOLE);
            let outcome = evaluator.run(&parse(source).unwrap());
            let cost = Budget::WHOLE.cost - evaluator.left.cost;
            if outcome.is_ok_and(|value| value.as_bool().is_some()) {
                cost.to_string()
            } else {
                format!("! {cost}")
            }
        }
    });
}
