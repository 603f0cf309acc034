//! One tree for every object of the cluster.
//!
//! Picture to hold in mind: a paper tree whose branches are shared. Copying an object copies one pointer;
//! changing `status.phase` copies the root and the `status` branch and goes on sharing all the rest with
//! every older version, watcher and checkpoint that still holds it. A thousand pods of one template
//! therefore hold one `containers` list between them.
//!
//! Kubernetes objects stay in this form from the editor to etcd: there is no JSON text on the way, and no
//! second, typed copy. What a kind may contain is data too (`api::schema`).

mod map;
mod name;

use std::fmt;
use std::sync::Arc;

pub use arcstr::{ArcStr as Text, literal};
pub use map::Map;
pub use name::name;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

/// A JSON value with structural sharing. Sixteen bytes; `clone` is one reference count.
#[derive(Clone, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Integer(i64),
    /// Only what does not fit an integer. Never computed with, so equal on every target.
    Float(f64),
    String(Text),
    Array(Arc<Vec<Value>>),
    Object(Arc<Map>),
}

static NULL: Value = Value::Null;

/// Branches that are shared are equal without looking into them.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Object(a), Value::Object(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// Reading. A *path* is field names joined with dots, none of which may itself contain a dot (labels and
/// annotations are read through [`Value::map`]). What is absent reads as `Null`, `""`, `[]`: as in Go.
impl Value {
    pub fn object() -> Value {
        Value::Object(Arc::default())
    }
    pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(Arc::new(items.into_iter().collect()))
    }
    pub fn string(text: impl Into<Text>) -> Value {
        Value::String(text.into())
    }

    /// The field `name` of this object, `None` when absent (a `null` is present).
    #[cfg_attr(published, optimize(speed))]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object().and_then(|map| map.get(name))
    }
    /// What stands at `path`; `Null` where there is nothing.
    #[cfg_attr(published, optimize(speed))]
    pub fn at(&self, path: &str) -> &Value {
        let (mut value, mut path) = (self, path.as_bytes());
        while let Value::Object(map) = value
            && let Some((next, length)) = map.along(path)
        {
            if length >= path.len() {
                return next;
            }
            (value, path) = (next, &path[length + 1..]);
        }
        &NULL
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn has(&self, path: &str) -> bool {
        !self.at(path).is_null()
    }
    /// The string at `path`, `""` where there is none.
    #[cfg_attr(published, optimize(speed))]
    pub fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or("")
    }
    /// The string at `path` as a shared one: what is absent is empty.
    #[cfg_attr(published, optimize(speed))]
    pub fn shared_text(&self, path: &str) -> Text {
        match self.at(path) {
            Value::String(text) => text.clone(),
            _ => Text::new(),
        }
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn integer(&self, path: &str) -> Option<i64> {
        self.at(path).as_integer()
    }
    /// The boolean at `path`, false where there is none.
    pub fn is_true(&self, path: &str) -> bool {
        matches!(self.at(path), Value::Bool(true))
    }
    /// The list at `path`, empty where there is none.
    #[cfg_attr(published, optimize(speed))]
    pub fn items(&self, path: &str) -> &[Value] {
        self.at(path).as_array().unwrap_or(&[])
    }
    /// The object at `path`, empty where there is none.
    pub fn map(&self, path: &str) -> &Map {
        static EMPTY: Map = Map::new();
        self.at(path).as_object().unwrap_or(&EMPTY)
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }
    pub fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(value) = self { Some(*value) } else { None }
    }
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }
    pub fn as_object(&self) -> Option<&Map> {
        if let Value::Object(map) = self { Some(map) } else { None }
    }
    /// Whether both are the very same shared branch: equal without looking.
    #[cfg_attr(published, optimize(speed))]
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b),
            (Value::Object(a), Value::Object(b)) => Arc::ptr_eq(a, b),
            (Value::String(a), Value::String(b)) => Text::ptr_eq(a, b),
            _ => false,
        }
    }
    /// `null`, `""`, `[]` or `{}`: what Go's `omitempty` leaves out (besides `false` and 0).
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }
    /// How long this is as compact JSON. What is shared is measured once.
    #[cfg_attr(published, optimize(speed))]
    pub fn json_bytes(&self) -> u64 {
        match self {
            Value::Null => 4,
            Value::Bool(is) => 5 - u64::from(*is),
            Value::Integer(number) => {
                let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
                u64::from(*number < 0) + u64::from(digits)
            }
            Value::Float(_) => self.to_string().len() as u64,
            Value::String(text) => map::quoted_bytes(text),
            Value::Array(items) => {
                2 + items.iter().map(|item| item.json_bytes() + 1).sum::<u64>().saturating_sub(1)
            }
            Value::Object(map) => map.json_bytes(),
        }
    }
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Integer(_) | Value::Float(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }
    /// The type that Go's decoder gives it (`%T`), which some of upstream's messages name.
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::Null => "<nil>",
            Value::Bool(_) => "bool",
            Value::Integer(_) => "int64",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Array(_) => "[]interface {}",
            Value::Object(_) => "map[string]interface {}",
        }
    }
}

/// Changing. Only the branches on the way to the change are copied, and only where they are shared.
impl Value {
    /// This object's fields for changing; whatever else stood here is replaced by an object.
    pub fn make_object(&mut self) -> &mut Map {
        if !matches!(self, Value::Object(_)) {
            *self = Value::object();
        }
        match self {
            Value::Object(map) => Arc::make_mut(map),
            _ => unreachable!("made an object above"),
        }
    }
    /// This list for changing; whatever else stood here is replaced by a list.
    pub fn make_array(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Value::Array(_)) {
            *self = Value::Array(Arc::default());
        }
        match self {
            Value::Array(items) => Arc::make_mut(items),
            _ => unreachable!("made an array above"),
        }
    }
    /// The value at `path` for changing; objects on the way are made.
    #[cfg_attr(published, optimize(speed))]
    pub fn at_mut(&mut self, path: &str) -> &mut Value {
        let (mut value, mut rest) = (self, path);
        while let Some(dot) = rest.bytes().position(|byte| byte == b'.') {
            value = value.make_object().entry(&rest[..dot]);
            rest = &rest[dot + 1..];
        }
        value.make_object().entry(rest)
    }
    /// The value at `path` for changing, if it is there; nothing is made and nothing copied if not.
    #[cfg_attr(published, optimize(speed))]
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Value> {
        if self.at(path).is_null() {
            return None;
        }
        Some(self.at_mut(path))
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Value {
        *self.at_mut(path) = value.into();
        self
    }
    /// Sets `path` unless something other than `null` stands there; used for defaults.
    pub fn set_default(&mut self, path: &str, value: impl Into<Value>) -> &mut Value {
        if !self.has(path) {
            self.set(path, value);
        }
        self
    }
    /// Takes the value at `path` out of the tree.
    #[cfg_attr(published, optimize(speed))]
    pub fn remove(&mut self, path: &str) -> Option<Value> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        // Looked at before anything is made writable: what is not there must not cost a copy.
        let holder = if parent.is_empty() { &*self } else { self.at(parent) };
        holder.get(name)?;
        let holder = if parent.is_empty() { self } else { self.at_mut(parent) };
        holder.make_object().remove(name)
    }
    /// The fluent form of [`Value::set`], for building objects.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Value {
        self.set(path, value);
        self
    }
}

/// `object! { "kind" => "Pod", "spec" => object! { "replicas" => 3 } }`: an object written as a literal.
#[macro_export]
macro_rules! object {
    ($($key:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut map = $crate::api::value::Map::with_capacity(const { <[&str]>::len(&[$(stringify!($key)),*]) });
        $(map.put($key, $value);)*
        $crate::api::value::Value::from(map)
    }};
}

/// `array!["a", 1, object! {}]`: a list written as a literal.
#[macro_export]
macro_rules! array {
    ($($value:expr),* $(,)?) => {
        $crate::api::value::Value::array([$($crate::api::value::Value::from($value)),*])
    };
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}
macro_rules! from_integer {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Value {
                Value::Integer(value as i64)
            }
        }
    )*};
}
from_integer!(i32, i64, u16, u32, u64, usize);
impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(Text::from(text))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(Text::from(text))
    }
}
impl From<Text> for Value {
    fn from(text: Text) -> Value {
        Value::String(text)
    }
}
impl From<&Text> for Value {
    fn from(text: &Text) -> Value {
        Value::String(text.clone())
    }
}
impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Object(Arc::new(map))
    }
}
impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::Array(Arc::new(items))
    }
}
impl From<&Value> for Value {
    fn from(value: &Value) -> Value {
        value.clone()
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Value::Object(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Integer(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Float(value))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::from(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                Ok(Value::from(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
                let mut pairs: Vec<(Text, Value)> = Vec::new();
                while let Some((key, value)) = fields.next_entry::<std::borrow::Cow<str>, Value>()? {
                    pairs.push((name(&key), value));
                }
                Ok(Value::from(pairs.into_iter().collect::<Map>()))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Compact JSON, keys sorted.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_sixteen_bytes() {
        assert_eq!(size_of::<Value>(), 16);
    }

    #[test]
    fn a_change_shares_what_it_does_not_touch() {
        let pod = object! { "spec" => object! { "containers" => array![object! { "name" => "a" }] } };
        let mut changed = pod.clone();
        changed.set("status.phase", "Running");
        assert!(changed.at("spec").is_same(pod.at("spec")));
        assert!(!pod.has("status"));
        assert_eq!(changed.text("status.phase"), "Running");
    }

    #[test]
    fn of_equal_keys_the_last_wins() {
        let map: Map = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
        assert_eq!(Value::from(map).to_string(), r#"{"a":2,"b":3}"#);
    }

    #[test]
    fn a_length_is_that_of_the_text_and_follows_each_change() {
        for json in [
            r#"{"a":[1,-20,300000,null,true,false],"b":{"c":"x\"y\n","d":""},"e":[],"f":{}}"#,
            r#"[1.5,"\u0001",{"x":[[]]}]"#,
            "0",
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(value.json_bytes(), json.len() as u64, "{json}");
        }
        let mut value = object! { "a" => object! { "b" => 1 }, "c" => "d" };
        for (path, text) in [("a.b", "long"), ("a.e", "f"), ("c", "")] {
            value.json_bytes();
            value.set(path, text);
            assert_eq!(value.json_bytes(), value.to_string().len() as u64, "{path}");
        }
        value.remove("a.b");
        assert_eq!(value.json_bytes(), value.to_string().len() as u64);
    }

    #[test]
    fn fields_stand_in_the_order_of_their_names_whenever_they_come() {
        let mut random = crate::sim::Random::stream(1, "names");
        let letters = ["a", "b", "z", "\0", "é", "\u{10ffff}", "aaaaaaaa", "aaaaaaab"];
        for _ in 0..500 {
            let mut map = Map::new();
            let mut model = std::collections::BTreeSet::new();
            for _ in 0..random.below(12) {
                let name: String = (0..random.below(4)).map(|_| letters[random.below(8) as usize]).collect();
                map.insert(&name, 1);
                model.insert(name);
            }
            assert!(map.keys().map(Text::as_str).eq(model.iter().map(String::as_str)), "{map:?}");
        }
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        let text = r#"{"a":[1,2.5,null,true,"x"],"b":{"c":""}}"#;
        assert_eq!(serde_json::from_str::<Value>(text).unwrap().to_string(), text);
    }

    #[test]
    fn names_of_all_lengths_are_found_along_a_path() {
        let name = |length: usize| "abcdefghijklmnopqrstuvwxyz".get(..length).unwrap_or_default();
        for first in 1..26 {
            for second in 1..26 {
                let path = [name(first), ".", name(second)].concat();
                let value = Value::object().with(&path, 1);
                let with_more =
                    (0..30).fold(value.clone(), |value, other| value.with(&format!("n{other}"), 0));
                for value in [value, with_more] {
                    assert_eq!(value.integer(&path), Some(1), "{path}");
                    for other in [name(first + 1), name(first - 1), name(second)] {
                        assert_eq!(value.has(other), other == name(first), "{other} in {path}");
                    }
                    let shorter = &path[..path.len() - 1];
                    for other in
                        [shorter, &[shorter, "-"].concat(), &[&path, "-"].concat(), &[&path, "."].concat()]
                    {
                        assert!(!value.has(other), "{other}");
                    }
                }
            }
        }
    }

    #[test]
    fn names_of_bytes_that_fill_up_tabs_are_told_apart() {
        let value = object! { "a" => 1, "a\0" => 2, "a\u{7f}" => 3, "" => 4 };
        assert_eq!(
            ["a", "a\0", "a\u{7f}", "", "a\0\0"].map(|name| value.integer(name)),
            [Some(1), Some(2), Some(3), Some(4), None]
        );
    }

    #[test]
    fn removing_what_is_not_there_copies_nothing() {
        let mut value = object! { "metadata" => object! { "labels" => object! {} } };
        let before = value.clone();
        assert_eq!(value.remove("metadata.labels.x"), None);
        assert_eq!(value.remove("spec.nodeName"), None);
        assert!(value.is_same(&before));
        assert!(value.remove("metadata.labels").is_some());
    }
}
