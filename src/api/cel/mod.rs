//! The Common Expression Language, in which policies and custom resources' rules say what they demand.
//!
//! Picture to hold in mind: a customs form with a formula at its end. The clerk reads the formula once into a tree (and
//! sends it back if it names what the form does not have), then works it out from the leaves up with the numbers of the
//! traveller at hand; and puts the pen down after so many strokes, whatever the formula still wants.
//!
//! - [`parse`] from text to a tree, and what is wrong with the text
//! - [`evaluate`] from a tree and names to a value
//! - [`functions`] what can be called
//!
//! Our own and not the crate `cel`, because that (0.15, with its ANTLR runtime, without optional parts) is 223 kB of the page
//! after brotli, and this a tenth of it. Many small functions are kept from being copied into their callers for the same
//! reason.
//!
//! Follows the language's definition (<https://github.com/google/cel-spec>), the words of cel-go's errors and the
//! libraries of `k8s.io/apiserver/pkg/cel/library`. There is no type checker, and not every library is here (see
//! [`crate::fidelity`]).

mod evaluate;
mod functions;
mod object;
mod parse;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::quantity::Quantity;
use super::value::{Text, Value};

pub use evaluate::{COST_EXCEEDED, Evaluator, OUT_OF_BUDGET, WHOLE_BUDGET};
pub use object::{apply_configuration, json_patch};
pub use parse::{Declared, Node, compile, uses};

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
            Cel::Object(object) => object.1.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()),
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

/// The names that the expressions of an admission policy may use, by its `spec`.
pub fn policy_names(spec: &Value) -> Vec<&'static str> {
    let mut names = vec!["object", "oldObject", "request", "namespaceObject", "authorizer"];
    for (name, field) in [("params", "paramKind"), ("variables", "variables")] {
        if !spec.at(field).is_empty() {
            names.push(name);
        }
    }
    names
}

/// The names of a policy's variables.
pub fn variables_of(spec: &Value) -> Vec<&str> {
    spec.items("variables").iter().map(|variable| variable.text("name")).collect()
}
