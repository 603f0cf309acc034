//! What the fields of every kind are called, hold, and how they merge: as data.
//!
//! Picture to hold in mind: an atlas. Any kind is a country; each field a road to the next place, with a sign that
//! says what may travel on it. One small book serves decoding, patching, server-side apply and
//! `kubectl explain`, so they cannot disagree about the roads.
//!
//! `schema/builtin.txt` lists the facts of the structs in `k8s.io/api/*/types.go` of 1.36 (its format: see
//! [`table`]); `schema/descriptions.txt` says in our own words what they mean ([`descriptions`]). Custom resources
//! bring their own atlas at run time ([`Schema::structural`]).

mod convert;
mod decode;
mod descriptions;
pub mod openapi;
mod structural;
mod table;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use super::value::{Text, Value};
use crate::sorted::SortedMap;

pub use convert::conversion_error;
pub use decode::{Decoded, Problem, Strictness, check_object_meta, decode, decode_object};

/// A type's place in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u32);

/// What may stand somewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    String,
    Boolean,
    /// A whole number of this many bits, with a sign.
    Integer {
        bits: u8,
    },
    Float,
    /// Base64 text.
    Bytes,
    IntOrString,
    Quantity,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    /// A duration as Go writes it.
    Duration,
    /// Any JSON at all.
    Any,
    List {
        element: TypeId,
        list: ListKind,
    },
    /// Any keys, all values alike.
    Map {
        element: TypeId,
    },
    Object(ObjectShape),
    /// The first type or the second: `JSONSchemaPropsOrBool` and its like. The second is tried where the value
    /// is not an object.
    Either {
        object: TypeId,
        other: TypeId,
    },
}

/// The fields of an object type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectShape {
    /// Sorted by name.
    pub fields: Vec<Field>,
    /// The fields' positions in the order of the source.
    pub order: Vec<u16>,
    /// Custom resources only: unknown fields stay.
    pub preserve_unknown: bool,
}

/// Which items of two lists are the same one, to server-side apply.
#[derive(Clone, Debug, PartialEq)]
pub enum ListKind {
    /// The list is one value.
    Atomic,
    /// Each item is its own key.
    Set,
    /// These fields together are an item's key.
    Map(Vec<Text>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Text,
    pub type_: TypeId,
    /// Absence and the zero value differ.
    pub pointer: bool,
    /// Left out when empty (`omitempty`); otherwise printed even so.
    pub omit_empty: bool,
    /// Left out when zero, structs too (`omitzero`).
    pub omit_zero: bool,
    pub required: bool,
    /// Strategic merge patch: lists merge by `merge_key` (or as sets of scalars without one).
    pub patch_merge: bool,
    /// Strategic merge patch: a patch names all the keys that stay.
    pub patch_retain_keys: bool,
    pub patch_merge_key: Option<Text>,
    /// The default of a structural schema, and of built-in fields that complete a list item's key; `Null` for
    /// none.
    pub default: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// As Go names it in messages: `v1.PodSpec`, `[]v1.Container`, `int32`.
    pub go_name: Text,
    /// As openapi names it: `PodSpec`; empty for types without a name.
    pub name: Text,
    pub shape: Shape,
    /// To server-side apply, a map or object that is one value.
    pub atomic: bool,
    /// The values of an enumeration, empty for anything else.
    pub values: Vec<Text>,
}

/// An atlas: types, and which one each kind begins at.
#[derive(Debug, Default)]
pub struct Schema {
    types: Vec<Type>,
    /// By (apiVersion, kind).
    kinds: SortedMap<(Text, Text), TypeId>,
    /// Of a custom resource: decoding prunes, and leaves types and empty values to validation.
    structural: bool,
}

static BUILT_IN: LazyLock<Schema> = LazyLock::new(|| table::read(include_str!("schema/builtin.txt")));

impl Schema {
    /// The built-in kinds, at every version served. Custom resources' own come from [`Schema::structural`].
    pub fn built_in() -> &'static Schema {
        &BUILT_IN
    }
    /// Where objects of this kind begin. Also knows what subresources and requests carry: `Scale`, `Eviction`,
    /// `TokenRequest`, `DeleteOptions`, `Status`.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<SchemaType<'_>> {
        let id = *self.kinds.get(&(Text::from(api_version), Text::from(kind)))?;
        Some(SchemaType { schema: self, id })
    }
    /// The type that an object says it is of.
    pub fn of(&self, object: &Value) -> Option<SchemaType<'_>> {
        self.kind(object.text("apiVersion"), object.text("kind"))
    }
    /// `metadata` of every object.
    pub fn object_meta() -> SchemaType<'static> {
        static OBJECT_META: LazyLock<TypeId> = LazyLock::new(|| BUILT_IN.named("ObjectMeta"));
        SchemaType { schema: &BUILT_IN, id: *OBJECT_META }
    }
    /// The first type of this name.
    fn named(&self, name: &str) -> TypeId {
        let position = self.types.iter().position(|type_| type_.name == name);
        TypeId(position.and_then(|position| u32::try_from(position).ok()).unwrap_or(0))
    }
    pub fn kinds(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.kinds.keys().map(|(api_version, kind)| (api_version, kind))
    }
    fn type_(&self, id: TypeId) -> &Type {
        &self.types.as_slice()[id.0 as usize]
    }
    fn add(&mut self, type_: Type) -> TypeId {
        self.types.push(type_);
        TypeId((self.types.len() - 1) as u32)
    }
}

/// A place in the atlas: what a walk over an object carries along.
#[derive(Clone, Copy)]
pub struct SchemaType<'a> {
    schema: &'a Schema,
    id: TypeId,
}

impl<'a> SchemaType<'a> {
    #[inline(always)]
    fn info(self) -> &'a Type {
        self.schema.type_(self.id)
    }
    fn to(self, id: TypeId) -> SchemaType<'a> {
        SchemaType { schema: self.schema, id }
    }
    #[inline(always)]
    pub fn shape(self) -> &'a Shape {
        &self.info().shape
    }
    pub fn go_name(self) -> &'a Text {
        &self.info().go_name
    }
    pub fn name(self) -> &'a Text {
        &self.info().name
    }
    pub fn is_atomic(self) -> bool {
        self.info().atomic
    }
    pub fn values(self) -> &'a [Text] {
        &self.info().values
    }
    /// All fields of an object type, by name; none for other types.
    pub fn fields(self) -> impl Iterator<Item = SchemaField<'a>> {
        let fields: &[Field] = match self.shape() {
            Shape::Object(object) => &object.fields,
            _ => &[],
        };
        fields.iter().map(move |field| SchemaField { schema: self.schema, field })
    }
    /// The field `name` of an object type.
    pub fn field(self, name: &str) -> Option<SchemaField<'a>> {
        let Shape::Object(object) = self.shape() else { return None };
        let position = object.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
        Some(SchemaField { schema: self.schema, field: &object.fields[position] })
    }
    /// What the items of a list or the values of a map are.
    pub fn element(self) -> Option<SchemaType<'a>> {
        match self.shape() {
            Shape::List { element, .. } | Shape::Map { element } => Some(self.to(*element)),
            _ => None,
        }
    }
    /// How server-side apply tells the items of this list apart.
    pub fn list_kind(self) -> Option<&'a ListKind> {
        match self.shape() {
            Shape::List { list, .. } => Some(list),
            _ => None,
        }
    }
    /// What stands under `key`: a field of an object, or a value of a map.
    pub fn step(self, key: &str) -> Option<SchemaType<'a>> {
        match self.shape() {
            Shape::Object(_) => self.field(key).map(SchemaField::type_),
            Shape::Map { element } => Some(self.to(*element)),
            Shape::Either { object, .. } => self.to(*object).step(key),
            _ => None,
        }
    }
    /// Follows a path of fields as `kubectl explain` writes it, through lists and maps.
    pub fn walk(self, path: &str) -> Option<SchemaType<'a>> {
        path.split('.')
            .filter(|name| !name.is_empty())
            .try_fold(self, |place, name| place.innermost().step(name))
    }
    /// A string, number or boolean, however it is written.
    pub fn is_scalar(self) -> bool {
        !matches!(
            self.shape(),
            Shape::List { .. } | Shape::Map { .. } | Shape::Object(_) | Shape::Any | Shape::Either { .. }
        )
    }
    /// The type as `kubectl explain` prints it: `string`, `[]Container`, `map[string]Quantity`.
    pub fn explain_name(self) -> String {
        match self.shape() {
            Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration => {
                "string".to_owned()
            }
            Shape::Boolean => "boolean".to_owned(),
            Shape::Integer { .. } => "integer".to_owned(),
            Shape::Float => "number".to_owned(),
            Shape::List { element, .. } => format!("[]{}", self.to(*element).explain_name()),
            Shape::Map { element } => format!("map[string]{}", self.to(*element).explain_name()),
            _ if !self.name().is_empty() => self.name().to_string(),
            _ => "Object".to_owned(),
        }
    }
}

/// A field together with its atlas.
#[derive(Clone, Copy)]
pub struct SchemaField<'a> {
    schema: &'a Schema,
    field: &'a Field,
}

impl<'a> SchemaField<'a> {
    pub fn type_(self) -> SchemaType<'a> {
        SchemaType { schema: self.schema, id: self.field.type_ }
    }
    pub fn info(self) -> &'a Field {
        self.field
    }
}
