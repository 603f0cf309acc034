//! The Common Expression Language, in which policies and custom resources' rules say what they demand.
//!
//! Picture to hold in mind: a customs form with a formula at its end. The clerk reads the formula once into a tree (and
//! sends it back if it names what the form does not have), then works it out from the leaves up with the numbers of the
//! traveller at hand; and puts the pen down after so many strokes, whatever the formula still wants.
//!
//! - [`lex`] and [`parse`] from text to a tree, and what is wrong with the text
//! - [`check`] what is wrong with the tree: its names and [`types`]
//! - [`evaluate`] from a tree and names to a value, [`loops`] where it goes through lists
//! - [`cost`] what working it out may cost at most, [`price`] what it has cost
//! - [`functions`], [`lists`], [`format`](mod@format) and [`libraries`] what can be called
//! - [`object`] back to JSON, for mutations
//!
//! Our own and not the crate `cel`, because that (0.15, with its ANTLR runtime, without optional parts) is 223 kB of the page
//! after brotli, and this a tenth of it. Many small functions are kept from being copied into their callers for the same
//! reason.
//!
//! Follows the language's definition (<https://github.com/google/cel-spec>), the words of cel-go's errors and the
//! libraries of `k8s.io/apiserver/pkg/cel/library`. What is simplified is in
//! [`crate::fidelity`].

mod check;
pub mod cost;
mod evaluate;
mod format;
mod functions;
mod lex;
mod libraries;
mod lists;
mod loops;
mod object;
mod parse;
mod price;
#[cfg(test)]
mod tests;
pub mod types;

use std::sync::Arc;

use super::quantity::Quantity;
use super::value::{Text, Value};
use libraries::Opaque;
use types::Type;

pub use check::Scope;
pub use evaluate::{Budget, COST_EXCEEDED, Evaluator, Judge, OUT_OF_BUDGET};
pub use libraries::{Check, Decision, authorizer};
pub use object::{apply_configuration, json_patch};
pub use parse::{Compiled, Node, compile, parse, uses};

/// A value of the language. What JSON can say stays as it is, shared with the object that it comes from.
#[derive(Clone, Debug)]
pub enum Cel {
    Value(Value),
    Uint(u64),
    Bytes(Arc<Vec<u8>>),
    List(Arc<Vec<Cel>>),
    Map(Arc<Vec<(Cel, Cel)>>),
    /// In microseconds.
    Duration(i64),
    /// In microseconds since 1970.
    Timestamp(i64),
    Quantity(Arc<Quantity>),
    Type(&'static str),
    Optional(Option<Arc<Cel>>),
    /// What `Object{}` makes: the name of its type, and its fields.
    Object(Arc<(Text, Vec<(Text, Cel)>)>),
    Opaque(Arc<Opaque>),
}

impl<T: Into<Value>> From<T> for Cel {
    fn from(value: T) -> Cel {
        Cel::Value(value.into())
    }
}

/// Why an expression has no value.
pub type Failure = Text;

impl Cel {
    pub const NULL: Cel = Cel::Value(Value::Null);

    pub fn list(items: Vec<Cel>) -> Cel {
        Cel::List(Arc::new(items))
    }
    pub fn optional(value: Option<Cel>) -> Cel {
        Cel::Optional(value.map(Arc::new))
    }
    pub fn as_bool(&self) -> Option<bool> {
        if let Cel::Value(value) = self { value.as_bool() } else { None }
    }
    #[inline(never)]
    pub fn as_str(&self) -> Option<&str> {
        if let Cel::Value(value) = self { value.as_str() } else { None }
    }
    /// As `type(x)` names it.
    #[inline(never)]
    pub fn type_name(&self) -> &'static str {
        match self {
            Cel::Value(Value::Null) => "null_type",
            Cel::Value(Value::Bool(_)) => "bool",
            Cel::Value(Value::Integer(_)) => "int",
            Cel::Value(Value::Float(_)) => "double",
            Cel::Value(Value::String(_)) => "string",
            Cel::Value(Value::Array(_)) | Cel::List(_) => "list",
            Cel::Value(Value::Object(_)) | Cel::Map(_) => "map",
            Cel::Uint(_) => "uint",
            Cel::Bytes(_) => "bytes",
            Cel::Duration(_) => "google.protobuf.Duration",
            Cel::Timestamp(_) => "google.protobuf.Timestamp",
            Cel::Quantity(_) => "kubernetes.Quantity",
            Cel::Type(_) => "type",
            Cel::Optional(_) => "optional_type",
            Cel::Object(_) => "object",
            Cel::Opaque(own) => own.type_name(),
        }
    }
    fn is_list(&self) -> bool {
        self.type_name() == "list"
    }
    fn is_map(&self) -> bool {
        self.type_name() == "map"
    }
    /// How many items a list or a map has.
    #[inline(never)]
    fn count(&self) -> usize {
        match self {
            Cel::Value(Value::Array(items)) => items.len(),
            Cel::Value(Value::Object(map)) => map.len(),
            Cel::List(items) => items.len(),
            Cel::Map(entries) => entries.len(),
            _ => 0,
        }
    }
    /// What a list holds, or the keys of a map; `None` for anything else.
    #[inline(never)]
    fn items(&self) -> Option<Vec<Cel>> {
        Some(match self {
            Cel::Value(Value::Array(items)) => items.iter().map(Cel::from).collect(),
            Cel::Value(Value::Object(map)) => map.keys().map(Cel::from).collect(),
            Cel::List(items) => items.to_vec(),
            Cel::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            _ => return None,
        })
    }
    /// The item of a list at `index`.
    #[inline(never)]
    fn item(&self, index: usize) -> Option<Cel> {
        match self {
            Cel::Value(Value::Array(items)) => items.get(index).map(Cel::from),
            Cel::List(items) => items.get(index).cloned(),
            _ => None,
        }
    }
    /// The field of a map.
    #[inline(never)]
    pub fn field(&self, name: &str) -> Option<Cel> {
        match self {
            Cel::Value(Value::Object(map)) => map.get(name).map(Cel::from),
            Cel::Map(entries) => {
                entries.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
            }
            Cel::Object(object) => {
                object.1.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }
}

/// Of what an expression makes for a message.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// What a `messageExpression` came to, if it can be shown: one line that says something.
pub fn message(value: &Cel) -> Option<&str> {
    let text = value.as_str()?.trim();
    (!text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n')).then_some(text)
}

/// A field's name without its escapes: `a-b` for `a__dash__b`; `None` for what is no escape (`Unescape`).
fn unescaped(name: &str) -> Option<String> {
    let Some((start, rest)) = name.split_once("__") else { return Some(name.to_owned()) };
    let Some((word, rest)) = rest.split_once("__") else { return Some(name.to_owned()) };
    let plain = match word {
        "underscores" => "__",
        "dot" => ".",
        "dash" => "-",
        "slash" => "/",
        _ if parse::is_reserved(word) && start.is_empty() && rest.is_empty() => return Some(word.to_owned()),
        _ => return None,
    };
    Some([start, plain, &unescaped(rest)?].concat())
}

/// What the expressions of an admission policy may name, by its `spec`; `object` and `params` are of these types.
pub fn policy_scope(spec: &Value, object: Type, params: Type) -> Scope {
    let mut names: Vec<(Text, Type)> = Vec::new();
    let mut add = |name: &str, own: Type| names.push((name.into(), own));
    add("object", object.clone());
    add("oldObject", object);
    add("request", types::known("kubernetes.AdmissionRequest"));
    add("namespaceObject", types::known("kubernetes.Namespace"));
    if !spec.at("paramKind").is_empty() {
        add("params", params);
    }
    add("authorizer", types::known("kubernetes.authorization.Authorizer"));
    add("authorizer.requestResource", types::known("kubernetes.authorization.ResourceCheck"));
    Scope::new(names)
}

impl Scope {
    pub fn new(names: Vec<(Text, Type)>) -> Scope {
        Scope { names, variables: Vec::new(), patches: false }
    }
    /// Makes `variables` known.
    pub fn with_variables(mut self) -> Scope {
        self.names
            .push(("variables".into(), types::structure("kubernetes.variables", types::Fields::Variables)));
        self
    }
}

/// The sizes of a device's parts, as a schema that counts bytes; no definition can say `anyName` or `propertyNames`.
const DEVICE: &str = r#"{"properties":{"driver":{"type":"string","format":"byte","maxLength":63},
"attributes":{"type":"object","maxProperties":32,"propertyNames":{"type":"string","format":"byte","maxLength":63},
"additionalProperties":{"type":"object","anyName":1,"maxProperties":32,
"propertyNames":{"type":"string","format":"byte","maxLength":32},
"additionalProperties":{"type":"string","format":"byte","maxLength":64}}},
"capacity":{"type":"object","maxProperties":32,"propertyNames":{"type":"string","format":"byte","maxLength":63},
"additionalProperties":{"type":"object","maxProperties":32,
"propertyNames":{"type":"string","format":"byte","maxLength":32},"additionalProperties":{}}}}}"#;

/// What is wrong with an expression that selects devices, and the most that it costs
/// (`dynamic-resource-allocation/cel/compile.go`).
pub fn check_selector(expression: &str) -> Result<u64, String> {
    let scope = Scope::new(vec![("device".into(), types::known("kubernetes.DRADevice"))]);
    let compiled = compile(expression, &scope).map_err(|error| ["compilation failed: ", &error].concat())?;
    if compiled.kind != types::BOOL && compiled.kind != Type::Plain("any") {
        let mut words = "must evaluate to bool or the unknown type, not ".to_owned();
        compiled.kind.print(true, &mut words);
        return Err(words);
    }
    let schema: Value = serde_json::from_str(DEVICE).unwrap_or_default();
    Ok(cost::most(&compiled, &schema, false, &mut cost::Sizes::default()))
}

/// What is wrong with the validations of a policy when it is about objects of these types, each under its name, as
/// `status.typeChecking.expressionWarnings` (`TypeChecker.Check`).
pub fn check_policy(spec: &Value, objects: &[(String, Type)], params: &Type) -> Vec<Value> {
    let fields = ["expression", "messageExpression"];
    let validations = spec.items("validations");
    let mut found = vec![String::new(); validations.len() * fields.len()];
    for (name, object) in objects {
        let mut scope = policy_scope(spec, object.clone(), params.clone()).with_variables();
        scope.names.retain(|(name, _)| name != "authorizer.requestResource");
        for variable in spec.items("variables") {
            let own = compile(variable.text("expression"), &scope);
            let own = own.map_or(types::DYN, |own| variable_type(&own.kind));
            scope.variables.push((variable.shared_text("name"), own));
        }
        let expressions = validations.iter().flat_map(|own| fields.map(|field| own.text(field)));
        for (expression, found) in expressions.zip(&mut found) {
            if expression.is_empty() {
                continue;
            }
            if let Err(error) = compile(expression, &scope) {
                let separator = if found.is_empty() { "" } else { "\n" };
                found.push_str(&[separator, name, ": ", &error, "\n"].concat());
            }
        }
    }
    let mut warnings = Vec::new();
    for (index, text) in found.into_iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        let field = fields[index % fields.len()];
        warnings.push(crate::object! {
            "fieldRef" => ["spec.validations[", &(index / fields.len()).to_string(), "].", field].concat(),
            "warning" => text,
        });
    }
    warnings
}

/// The type under which expressions know a variable (`convertCelTypeToDeclType`).
pub fn variable_type(own: &Type) -> Type {
    match own {
        Type::Of("list", parts) => types::list(variable_type(&parts[0])),
        Type::Of("map", parts) => types::map(variable_type(&parts[0]), variable_type(&parts[1])),
        Type::Plain(_) if !own.is_error() => own.clone(),
        _ => types::DYN,
    }
}
