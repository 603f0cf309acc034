//! The rules in CEL that a schema has: whether they compile, and what they may cost.
//!
//! Picture to hold in mind: an estimate before the builders come: so many rooms, so many windows at most in each, so many
//! strokes of the brush a window. What cannot be bounded is taken to be as much as fits through the door.
//!
//! Follows `ValidateCustomResourceDefinitionOpenAPISchema` of apiextensions-apiserver
//! `pkg/apis/apiextensions/validation/validation.go`, `cel_validation.go`, and `pkg/apiserver/schema/cel/compilation.go`.

use super::super::errors::Errors;
use crate::api::FieldError;
use crate::api::cel::cost::{self, Sizes};
use crate::api::cel::types::{self, BOOL, Root, STRING};
use crate::api::cel::{self, Scope};
use crate::api::field::FieldPath;
use crate::api::value::Value;
use crate::arrange::Arrange;

/// What the rules of a definition came to so far.
#[derive(Default)]
pub struct Rules {
    pub errors: Errors,
    sizes: Sizes,
    total: u64,
    /// The dearest rules, by their paths: those that count.
    dearest: Vec<(u64, String)>,
}

/// What one rule may cost by estimate, and all of a definition together.
const RULE_LIMIT: u64 = 10_000_000;
const DEFINITION_LIMIT: u64 = 100_000_000;

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let (cost, limit) = (u128::from(cost), u128::from(limit));
    let rounded = |places: u128| (cost * places * 2 + limit) / (limit * 2);
    let factor = if cost > limit * 100 {
        "more than 100x".to_owned()
    } else if cost * 2 < limit * 3 {
        format!("{}.{:06}x", rounded(1_000_000) / 1_000_000, rounded(1_000_000) % 1_000_000)
    } else {
        format!("{}.{}x", rounded(10) / 10, rounded(10) % 10)
    };
    [
        what,
        " exceeds budget by factor of ",
        &factor,
        " (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
    ]
    .concat()
}

impl Rules {
    /// How often a value of `schema` may be there, if its place does not bound it.
    fn unbounded(&mut self, schema: &Value) -> u64 {
        3 * 1024 * 1024 / (self.sizes.least_bytes(schema).unwrap_or(0) + 1)
    }
    fn observe(&mut self, cost: u64, path: &FieldPath) {
        self.total = self.total.saturating_add(cost);
        if cost >= DEFINITION_LIMIT / 100 {
            self.dearest.push((cost, path.to_string()));
            self.dearest.arrange_by(|a, b| b.0.cmp(&a.0));
            self.dearest.truncate(4);
        }
    }
    /// What is wrong with all the rules of a schema together.
    pub fn finish(mut self, path: &FieldPath) -> Errors {
        if self.total > DEFINITION_LIMIT {
            for (_, path) in &self.dearest {
                let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
                self.errors.forbidden(&FieldPath::new(path), detail);
            }
            let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
            self.errors.forbidden(path, too_dear(what, self.total, DEFINITION_LIMIT));
        }
        self.errors
    }
}

/// By what a part of a schema multiplies the number of its children; `None` for what is not bounded.
pub fn most_elements(schema: &Value) -> Option<u64> {
    let limit = |name: &str| schema.integer(name).map(|own| u64::try_from(own).unwrap_or(0));
    match schema.text("type") {
        "object" if schema.has("additionalProperties") => limit("maxProperties"),
        "array" => limit("maxItems"),
        _ => Some(1),
    }
}

/// Compiles the rules of one place, which may be there `cardinality` times, and estimates them. `uncorrelatable` is the part around that cannot be found again in an older object.
pub fn compile(
    schema: &Value,
    is_root: bool,
    cardinality: Option<u64>,
    uncorrelatable: Option<&FieldPath>,
    path: &FieldPath,
    found: &mut Rules,
) {
    let rules = schema.items("x-kubernetes-validations");
    if rules.is_empty() {
        return;
    }
    let list_path = path.child("x-kubernetes-validations");
    let is_resource = is_root || schema.is_true("x-kubernetes-embedded-resource");
    let root = if is_resource { Root::Names } else { Root::No };
    let Some(own) = types::declared(schema, root, "selfType") else {
        let error = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
        return found.errors.push(FieldError::internal(&list_path, error));
    };
    for (index, rule) in rules.iter().enumerate() {
        let path = list_path.index(index);
        let quoted = || super::super::go::internal("ValidationRule")(rule);
        let old = if rule.is_true("optionalOldSelf") { types::optional(own.clone()) } else { own.clone() };
        let names = vec![("self".into(), own.clone()), ("oldSelf".into(), old)];
        let scope = Scope::new(names);
        let rule_path = path.child("rule");
        let compiled = cel::compile(rule.text("rule"), &scope);
        if let Ok(compiled) = &compiled
            && compiled.kind == BOOL
        {
            let times = cardinality.unwrap_or_else(|| found.unbounded(schema));
            let cost = cost::most(compiled, schema, is_resource, &mut found.sizes).saturating_mul(times);
            if cost > RULE_LIMIT {
                found.errors.forbidden(&rule_path, too_dear("estimated rule cost", cost, RULE_LIMIT));
            }
            found.observe(cost, &rule_path);
        }
        let errors = &mut found.errors;
        let compiled = match compiled {
            Ok(compiled) if compiled.kind == BOOL => compiled,
            Ok(_) => {
                errors.invalid(&rule_path, quoted(), "cel expression must evaluate to a bool");
                continue;
            }
            Err(error) => {
                errors.invalid(&rule_path, quoted(), format!("compilation failed: {error}"));
                continue;
            }
        };
        let message = rule.text("messageExpression");
        if !message.is_empty() {
            let detail = match cel::compile(message, &scope) {
                Ok(compiled) if compiled.kind == STRING => {
                    let cost = cost::most(&compiled, schema, is_resource, &mut found.sizes);
                    if cost > RULE_LIMIT {
                        let detail = too_dear("estimated messageExpression cost", cost, RULE_LIMIT);
                        errors.forbidden(&path.child("messageExpression"), detail);
                    }
                    String::new()
                }
                Ok(_) => "messageExpression must evaluate to a string".to_owned(),
                Err(error) => format!("messageExpression compilation failed: {error}"),
            };
            if !detail.is_empty() {
                errors.invalid(&path.child("messageExpression"), quoted(), detail);
            }
        }
        if !cel::uses(&compiled.node, "oldSelf") {
            if let Some(is) = rule.at("optionalOldSelf").as_bool() {
                let detail = "may not be set if oldSelf is not used in rule";
                errors.invalid(&path.child("optionalOldSelf"), is, detail);
            }
        } else if let Some(part) = uncorrelatable {
            let detail =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {part}");
            errors.invalid(&rule_path, rule.text("rule"), detail);
        }
    }
}
