//! JSON with its fields in the order in which Go writes them.
//!
//! Picture to hold in mind: a form that is copied out fair: the same answers, each on the line that the printed form has
//! for it. Clients should not care, but people who compare texts do.
//!
//! Go's encoder writes a struct's fields as they are declared, which the schema remembers; what is no struct (maps,
//! custom resources) it sorts by key, as everything in the simulation is.

use clusterarium::api::Value;
use clusterarium::api::schema::{Schema, SchemaType, Shape};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Fields of what is no object of a kind in the schema: lists, tables, events of a watch, the version.
const OTHERS: &[&str] = &[
    "kind",
    "apiVersion",
    "type",
    "object",
    "metadata",
    "groupVersion",
    "resources",
    "items",
    "columnDefinitions",
    "rows",
    "major",
    "minor",
    "emulationMajor",
    "emulationMinor",
    "minCompatibilityMajor",
    "minCompatibilityMinor",
    "gitVersion",
    "gitCommit",
    "gitTreeState",
    "buildDate",
    "goVersion",
    "compiler",
    "platform",
];
/// Fields of a resource in discovery.
const RESOURCE: &[&str] =
    &["name", "singularName", "namespaced", "group", "version", "kind", "verbs", "shortNames", "categories"];

/// A value to be written.
pub struct InOrder<'a> {
    value: &'a Value,
    place: Place<'a>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    /// An object that says itself what it is, or something around one.
    Unknown,
    Known(SchemaType<'a>),
    /// The items of a list of this kind.
    Items(SchemaType<'a>),
    /// Sorted, all the way down.
    Sorted,
}

impl<'a> InOrder<'a> {
    pub fn new(value: &'a Value) -> InOrder<'a> {
        InOrder { value, place: Place::Unknown }
    }
    /// A `Status` that does not say that it is one.
    pub fn of_status(value: &'a Value) -> InOrder<'a> {
        let place = Schema::built_in().kind("v1", "Status").map_or(Place::Sorted, Place::Known);
        InOrder { value, place }
    }
    /// The fields that are there, in order, and what each holds.
    fn fields(&self) -> Vec<(&'a str, InOrder<'a>)> {
        let Some(map) = self.value.as_object() else { return Vec::new() };
        let place = match self.place {
            Place::Unknown => place_of(self.value),
            place => place,
        };
        let all = map.iter().map(|(name, value)| (name.as_str(), value));
        let with = |name: &'a str, value: &'a Value| {
            let place = match place {
                Place::Known(type_) => type_.step(name).map_or(Place::Sorted, Place::Known),
                Place::Items(item) if name == "items" => Place::Known(item),
                Place::Items(_) | Place::Sorted => Place::Sorted,
                Place::Unknown => Place::Unknown,
            };
            (name, InOrder { value, place })
        };
        let mut fields: Vec<_> = all.map(|(name, value)| with(name, value)).collect();
        match place {
            Place::Known(type_) => {
                if let Shape::Object(shape) = type_.shape() {
                    let names: Vec<&str> = shape
                        .order
                        .iter()
                        .map(|place| shape.fields[usize::from(*place)].name.as_str())
                        .collect();
                    sort(&mut fields, &names);
                }
            }
            Place::Items(_) | Place::Unknown => {
                let is_resource = self.value.get("singularName").is_some();
                sort(&mut fields, if is_resource { RESOURCE } else { OTHERS });
            }
            Place::Sorted => {}
        }
        fields
    }
    fn item(&self, value: &'a Value) -> InOrder<'a> {
        let place = match self.place {
            Place::Known(type_) => type_.element().map_or(Place::Sorted, Place::Known),
            place => place,
        };
        InOrder { value, place }
    }
}

/// What an object says that it is.
fn place_of(value: &Value) -> Place<'static> {
    let (api_version, kind) = (value.text("apiVersion"), value.text("kind"));
    let schema = Schema::built_in();
    if let Some(type_) = schema.kind(api_version, kind) {
        return Place::Known(type_);
    }
    if let Some(item) = kind.strip_suffix("List").and_then(|item| schema.kind(api_version, item)) {
        return Place::Items(item);
    }
    // A custom resource; what else names its kind is one of the server's own answers.
    let is_custom = value.has("metadata.name") || (kind.ends_with("List") && value.has("items"));
    if is_custom && !kind.is_empty() { Place::Sorted } else { Place::Unknown }
}

fn sort(fields: &mut [(&str, InOrder)], names: &[&str]) {
    fields.sort_by_key(|(name, _)| names.iter().position(|other| other == name).unwrap_or(names.len()));
}

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(_) => {
                let fields = self.fields();
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &value)?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    list.serialize_element(&self.item(item))?;
                }
                list.end()
            }
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_in_the_order_of_their_source_and_maps_are_sorted() {
        for text in [
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"m","reason":"AlreadyExists","details":{"name":"a","group":"apps","kind":"deployments"},"code":409}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b","labels":{"x":"1","y":"2"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}]}],"nodeName":"n"},"status":{"phase":"Running"}}"#,
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a"},"spec":{"containers":[]}}]}"#,
            r#"{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"b":"1","c":"2"}}}"#,
            r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"labels":{},"name":"a"},"spec":{"b":1,"z":2}}"#,
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"],"shortNames":["po"]}]}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let written = serde_json::to_string(&InOrder::new(&value)).unwrap();
            assert_eq!(written, text);
        }
    }
}
