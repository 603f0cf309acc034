//! The atlas in the form of OpenAPI, for clients that bring no atlas of their own.
//!
//! Picture to hold in mind: the same atlas printed for export: each place on a sheet, each road a reference to
//! another sheet. Who is handed one sheet is handed all that it refers to.
//!
//! Follows the definitions that `k8s.io/kube-openapi` makes of `k8s.io/api/*/types.go`: their names, the extensions
//! `x-kubernetes-*`, and how references are written in OpenAPI 2 and 3.

use std::sync::LazyLock;

use super::{BUILT_IN, Field, ListKind, SchemaType, Shape, TypeId, descriptions, table};
use crate::api::meta::split_api_version;
use crate::api::value::{Text, Value};
use crate::arrange::Arrange;
use crate::object;
use crate::sorted::SortedMap;

/// The two versions of OpenAPI that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V2,
    V3,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Sheets that have been printed, and those that are still to be.
pub struct Printer {
    dialect: Dialect,
    definitions: SortedMap<Text, Value>,
    waiting: Vec<TypeId>,
}

/// Which kinds a type is: (apiVersion, kind).
static KINDS: LazyLock<SortedMap<TypeId, Vec<(Text, Text)>>> = LazyLock::new(|| {
    let mut kinds: SortedMap<TypeId, Vec<(Text, Text)>> = SortedMap::new();
    for (name, id) in &BUILT_IN.kinds {
        kinds.entry(*id).or_default().push(name.clone());
    }
    kinds
});

pub(super) fn is_kind(id: TypeId) -> bool {
    KINDS.contains_key(&id)
}

/// `io.k8s.api.apps.v1`: what the definitions of a group's version begin with.
fn package(api_version: &str) -> String {
    let (group, version) = split_api_version(api_version);
    let first = group.split('.').next().unwrap_or("");
    match first {
        "" => format!("io.k8s.api.core.{version}"),
        "apiextensions" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}"),
        "apiregistration" => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}"),
        _ => format!("io.k8s.api.{first}.{version}"),
    }
}

/// The definition's name of a type with a line of its own in the table.
fn name_of(id: TypeId) -> Option<Text> {
    static PACKAGES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let of = |(alias, api_version): (&str, &str)| match alias {
            "meta" => META.to_owned(),
            _ => package(api_version),
        };
        table::packages().into_iter().map(of).collect()
    });
    let package = PACKAGES.get(id.0 as usize)?;
    Some(Text::from(format!("{package}.{}", BUILT_IN.type_(id).name)))
}

/// The definition's name of a custom resource's kind: its group backwards.
fn custom_definition(group: &str, version: &str, kind: &str) -> Text {
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    parts.extend([version, kind]);
    Text::from(parts.join("."))
}

impl SchemaType<'_> {
    /// The name of its definition, of a type of the built-in table that has one: `io.k8s.api.core.v1.PodSpec`.
    pub fn definition_name(self) -> Option<Text> {
        if std::ptr::eq(self.schema, &*BUILT_IN) { name_of(self.id) } else { None }
    }
}

fn group_version_kind(api_version: &str, kind: &str) -> Value {
    let (group, version) = split_api_version(api_version);
    object! { "group" => group, "kind" => kind, "version" => version }
}

/// With these words on it, if there are any.
fn described(mut definition: Value, text: &str) -> Value {
    if !text.is_empty() {
        definition.set("description", text);
    }
    definition
}

fn common_text(field: &str) -> Value {
    described(object! { "type" => "string" }, descriptions::common(field))
}

impl Printer {
    pub fn new(dialect: Dialect) -> Printer {
        Printer { dialect, definitions: SortedMap::new(), waiting: Vec::new() }
    }
    fn prefix(&self) -> &'static str {
        match self.dialect {
            Dialect::V2 => "#/definitions/",
            Dialect::V3 => "#/components/schemas/",
        }
    }
    /// A reference to a definition.
    pub fn reference(&self, name: &str) -> Value {
        object! { "$ref" => format!("{}{name}", self.prefix()) }
    }
    /// Has a built-in kind printed, with all that it refers to; its definition's name.
    pub fn kind(&mut self, api_version: &str, kind: &str) -> Option<Text> {
        let id = BUILT_IN.kind(api_version, kind)?.id;
        self.wait_for(id)
    }
    fn wait_for(&mut self, id: TypeId) -> Option<Text> {
        let name = name_of(id)?;
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            self.waiting.push(id);
        }
        Some(name)
    }
    /// Has the list of a kind printed, whose items are `item`; its definition's name.
    pub fn list(&mut self, item: &str, api_version: &str, list_kind: &str) -> Text {
        let package = item.rsplit_once('.').map_or("", |(package, _)| package);
        let name = Text::from(format!("{package}.{list_kind}"));
        let metadata = described(self.meta("ListMeta"), descriptions::common("metadata"));
        let items = object! { "type" => "array", "items" => self.within(self.reference(item), false) };
        let definition = object! {
            "type" => "object",
            "required" => crate::array!["items"],
            "properties" => object! {
                "apiVersion" => common_text("apiVersion"),
                "kind" => common_text("kind"),
                "items" => items,
                "metadata" => metadata,
            },
            "x-kubernetes-group-version-kind" => crate::array![group_version_kind(api_version, list_kind)],
        };
        self.definitions.insert(name.clone(), definition);
        name
    }
    /// Has a custom resource's kind printed as its author drew it; its definition's name.
    pub fn custom(&mut self, group: &str, version: &str, kind: &str, schema: &Value) -> Text {
        let name = custom_definition(group, version, kind);
        let mut definition = match schema.as_object() {
            Some(_) => self.foreign(schema, 0),
            None => object! { "type" => "object", "x-kubernetes-preserve-unknown-fields" => true },
        };
        definition.set("properties.apiVersion", common_text("apiVersion"));
        definition.set("properties.kind", common_text("kind"));
        let metadata = described(self.meta("ObjectMeta"), descriptions::common("metadata"));
        definition.set("properties.metadata", metadata);
        let api_version = crate::api::kind::join_api_version(group, version);
        definition
            .set("x-kubernetes-group-version-kind", crate::array![group_version_kind(&api_version, kind)]);
        self.definitions.insert(name.clone(), definition);
        name
    }
    /// A schema of OpenAPI 3; what OpenAPI 2 has no word for is left out, as upstream does.
    fn foreign(&self, schema: &Value, depth: usize) -> Value {
        /// Deeper schemas are cut off, as decoding does.
        const MAX_DEPTH: usize = 100;
        let (Dialect::V2, Some(fields)) = (self.dialect, schema.as_object()) else { return schema.clone() };
        let mut out = Value::object();
        if depth > MAX_DEPTH {
            return out;
        }
        for (name, value) in fields.iter() {
            match name.as_str() {
                "oneOf" | "anyOf" | "allOf" | "not" | "nullable" => {}
                // A type that is preserved or nullable would be checked too strictly by clients.
                "type" | "items" | "properties"
                    if schema.is_true("x-kubernetes-preserve-unknown-fields")
                        || schema.is_true("nullable") => {}
                "properties" => {
                    let mut properties = Value::object();
                    for (name, value) in value.as_object().into_iter().flat_map(|map| map.iter()) {
                        properties.make_object().insert(name, self.foreign(value, depth + 1));
                    }
                    out.set("properties", properties);
                }
                "items" | "additionalProperties" => {
                    out.make_object().insert(name, self.foreign(value, depth + 1));
                }
                _ => out.make_object().insert(name, value.clone()),
            }
        }
        out
    }
    fn meta(&mut self, name: &str) -> Value {
        let id = BUILT_IN.named(name);
        self.wait_for(id);
        let reference = self.reference(&format!("{META}.{name}"));
        self.within(reference, true)
    }

    /// All that was asked for, and all that it refers to, by name.
    pub fn finish(mut self) -> Value {
        while let Some(id) = self.waiting.pop() {
            let definition = self.definition(SchemaType { schema: &BUILT_IN, id });
            if let Some(name) = name_of(id) {
                self.definitions.insert(name, definition);
            }
        }
        let mut all = Value::object();
        let definitions = all.make_object();
        for (name, definition) in self.definitions {
            definitions.insert(&name, definition);
        }
        all
    }

    fn definition(&mut self, place: SchemaType<'static>) -> Value {
        let Shape::Object(shape) = place.shape() else { return self.place(place) };
        let mut properties = Value::object();
        let mut required: Vec<Text> = Vec::new();
        for field in &shape.fields {
            let value =
                described(self.field(place.to(field.type_), field), place.field_description(&field.name));
            properties.make_object().insert(&field.name, value);
            if field.required {
                required.push(field.name.clone());
            }
        }
        let mut definition = object! { "type" => "object" };
        if !shape.fields.is_empty() {
            definition.set("properties", properties);
        }
        if !required.is_empty() {
            definition.set("required", Value::array(required.iter().map(Value::from)));
        }
        if place.is_atomic() {
            definition.set("x-kubernetes-map-type", "atomic");
        }
        if let Some(kinds) = KINDS.get(&place.id) {
            definition = described(definition, place.description());
            let kinds = kinds.iter().map(|(api_version, kind)| group_version_kind(api_version, kind));
            definition.set("x-kubernetes-group-version-kind", Value::array(kinds));
        }
        definition
    }

    fn field(&mut self, place: SchemaType<'static>, field: &Field) -> Value {
        let mut value = self.place(place);
        if value.has("$ref") {
            let is_struct = matches!(place.shape(), Shape::Object(_)) && !field.pointer;
            value = self.within(value, is_struct);
        }
        let strategy = match (field.patch_merge, field.patch_retain_keys) {
            (true, true) => "merge,retainKeys",
            (true, false) => "merge",
            (false, true) => "retainKeys",
            (false, false) => "",
        };
        if !strategy.is_empty() {
            value.set("x-kubernetes-patch-strategy", strategy);
        }
        if let Some(key) = &field.patch_merge_key {
            value.set("x-kubernetes-patch-merge-key", key);
        }
        if !field.default.is_null() {
            value.set("default", &field.default);
        }
        value
    }

    /// A reference as a field or an item holds it: OpenAPI 3 lets nothing stand beside a bare one.
    fn within(&self, reference: Value, is_struct: bool) -> Value {
        if self.dialect == Dialect::V2 || !reference.has("$ref") {
            return reference;
        }
        let mut value = object! { "allOf" => crate::array![reference] };
        if is_struct {
            value.set("default", Value::object());
        }
        value
    }

    /// A leaf that other definitions refer to by name.
    fn leaf(&mut self, name: &str, definition: Value) -> Value {
        self.definitions.insert(name.into(), definition);
        self.reference(name)
    }

    /// What stands in a field, or in a list or map: in place, or as a reference.
    fn place(&mut self, place: SchemaType<'static>) -> Value {
        let of = |kind: &str, format: &str| match format {
            "" => object! { "type" => kind },
            format => object! { "type" => kind, "format" => format },
        };
        match place.shape() {
            Shape::String => {
                let mut value = of("string", "");
                if !place.values().is_empty() {
                    let mut values = place.values().to_vec();
                    values.arrange();
                    value.set("enum", Value::array(values.iter().map(Value::from)));
                }
                value
            }
            Shape::Boolean => of("boolean", ""),
            Shape::Integer { bits } => of("integer", if *bits == 32 { "int32" } else { "int64" }),
            Shape::Float => of("number", "double"),
            Shape::Bytes => of("string", "byte"),
            Shape::Time => self.leaf(&format!("{META}.Time"), of("string", "date-time")),
            Shape::MicroTime => self.leaf(&format!("{META}.MicroTime"), of("string", "date-time")),
            Shape::Duration => self.leaf(&format!("{META}.Duration"), of("string", "")),
            Shape::Quantity => {
                let definition = match self.dialect {
                    Dialect::V2 => of("string", ""),
                    Dialect::V3 => object! { "oneOf" => crate::array![of("string", ""), of("number", "")] },
                };
                self.leaf("io.k8s.apimachinery.pkg.api.resource.Quantity", definition)
            }
            Shape::IntOrString => {
                let definition = match self.dialect {
                    Dialect::V2 => of("string", "int-or-string"),
                    Dialect::V3 => object! {
                        "format" => "int-or-string",
                        "oneOf" => crate::array![of("integer", ""), of("string", "")],
                    },
                };
                self.leaf("io.k8s.apimachinery.pkg.util.intstr.IntOrString", definition)
            }
            Shape::Any if place.go_name() == "runtime.RawExtension" => {
                self.leaf("io.k8s.apimachinery.pkg.runtime.RawExtension", of("object", ""))
            }
            Shape::Any | Shape::Either { .. } => {
                let name = place.go_name().trim_start_matches("v1.");
                let package = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
                self.leaf(&format!("{package}.{name}"), Value::object())
            }
            Shape::List { element, list } => {
                let items = self.place(place.to(*element));
                let mut value = object! { "type" => "array", "items" => self.within(items, false) };
                match list {
                    ListKind::Atomic => {}
                    ListKind::Set => {
                        value.set("x-kubernetes-list-type", "set");
                    }
                    ListKind::Map(keys) => {
                        value.set("x-kubernetes-list-map-keys", Value::array(keys.iter().map(Value::from)));
                        value.set("x-kubernetes-list-type", "map");
                    }
                }
                value
            }
            Shape::Map { element } => {
                let values = self.place(place.to(*element));
                let mut value =
                    object! { "type" => "object", "additionalProperties" => self.within(values, false) };
                if place.is_atomic() {
                    value.set("x-kubernetes-map-type", "atomic");
                }
                value
            }
            Shape::Object(_) => match self.wait_for(place.id) {
                Some(name) => self.reference(&name),
                None => of("object", ""),
            },
        }
    }
}
