//! The types of expressions, and which of them fit where.
//!
//! Picture to hold in mind: plugs and sockets. Most have one shape; an adapter takes any shape once and keeps it from then
//! on; and where a socket is marked "dyn" everything goes in, to be found out at dinner.
//!
//! Follows cel-go's `checker/types.go` and `common/types/types.go`, and `k8s.io/apiserver/pkg/cel/types.go`.

use std::cell::Cell;
use std::sync::Arc;

use crate::api::schema::{Schema, SchemaType};
use crate::api::value::{Text, Value};

#[derive(Clone)]
pub enum Type {
    /// One that its name tells all of, as errors write it.
    Plain(&'static str),
    /// `list`, `map`, `optional_type` or `type` of others.
    Of(&'static str, Arc<Vec<Type>>),
    /// Not known yet.
    Variable(u32),
    Struct(Arc<Struct>),
}

#[derive(Clone)]
pub struct Struct {
    pub name: Text,
    pub fields: Fields,
}

/// Where the fields of a struct are written.
#[derive(Clone)]
pub enum Fields {
    /// In [`KNOWN`].
    Known,
    /// In a part of a definition's schema.
    Schema(Value, Root),
    BuiltIn(SchemaType<'static>),
    /// A policy's variables: the scope has them.
    Variables,
    /// Texts of these names.
    Texts(&'static [&'static str]),
    /// `Object{}`.
    Any,
}

/// Whether a schema describes a whole resource, and how much of its metadata is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    No,
    /// Its names, as rules of definitions see it.
    Names,
    /// All, as policies see it.
    Metadata,
}

/// Parts that a type may have: more are not told apart.
const LARGEST: usize = 400;

pub const DYN: Type = Type::Plain("dyn");
pub const ERROR: Type = Type::Plain("!error!");
pub const BOOL: Type = Type::Plain("bool");
pub const INT: Type = Type::Plain("int");
pub const STRING: Type = Type::Plain("string");
pub const NULL: Type = Type::Plain("null");
pub const TIMESTAMP: Type = Type::Plain("timestamp");

/// The request and the namespace, as `BuildRequestType` and `BuildNamespaceType` have them.
const KNOWN: &str = "\
kubernetes.AdmissionRequest kind=kubernetes.GroupVersionKind resource=kubernetes.GroupVersionResource subResource=s requestKind=kubernetes.GroupVersionKind requestResource=kubernetes.GroupVersionResource requestSubResource=s name=s namespace=s operation=s userInfo=kubernetes.UserInfo dryRun=b options=*
kubernetes.GroupVersionKind group=s version=s kind=s
kubernetes.GroupVersionResource group=s version=s resource=s
kubernetes.UserInfo username=s uid=s groups=ls extra=msls
kubernetes.Namespace metadata=kubernetes.NamespaceMetadata spec=kubernetes.NamespaceSpec status=kubernetes.NamespaceStatus
kubernetes.NamespaceMetadata name=s generateName=s namespace=s labels=mss annotations=mss UID=s creationTimestamp=t deletionGracePeriodSeconds=i deletionTimestamp=t generation=i resourceVersion=s finalizers=ls
kubernetes.NamespaceSpec finalizers=ls
kubernetes.NamespaceStatus conditions=lkubernetes.NamespaceCondition phase=s
kubernetes.NamespaceCondition status=s type=s lastTransitionTime=t message=s reason=s
kubernetes.DRADevice driver=s allowMultipleAllocations=b attributes=msms? capacity=msmsQ
JSONPatch op=s path=s from=s value=*
";

#[inline(never)]
pub fn list(element: Type) -> Type {
    of("list", vec![element])
}
#[inline(never)]
pub fn map(key: Type, value: Type) -> Type {
    of("map", vec![key, value])
}
#[inline(never)]
pub fn optional(inner: Type) -> Type {
    of("optional_type", vec![inner])
}
#[inline(never)]
pub fn of(name: &'static str, parts: Vec<Type>) -> Type {
    let whole = Type::Of(name, parts.into());
    if whole.size(LARGEST).is_some() { whole } else { DYN }
}
pub fn structure(name: impl Into<Text>, fields: Fields) -> Type {
    Type::Struct(Arc::new(Struct { name: name.into(), fields }))
}
/// A struct of [`KNOWN`], or of a library.
#[inline(never)]
pub fn known(name: &str) -> Type {
    structure(name, Fields::Known)
}

/// Without comparing what a struct has: its name says it.
impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Plain(a), Type::Plain(b)) => a == b,
            (Type::Of(a, parts), Type::Of(b, others)) => a == b && parts == others,
            (Type::Variable(a), Type::Variable(b)) => a == b,
            (Type::Struct(a), Type::Struct(b)) => a.name == b.name,
            _ => false,
        }
    }
}

impl Type {
    /// What is left of `most` when the parts are counted; `None` if there are more.
    fn size(&self, most: usize) -> Option<usize> {
        let left = most.checked_sub(1)?;
        match self {
            Type::Of(_, parts) => parts.iter().try_fold(left, |left, part| part.size(left)),
            _ => Some(left),
        }
    }
    #[inline(never)]
    pub fn is_dyn(&self) -> bool {
        matches!(self, Type::Plain("dyn" | "any"))
    }
    pub fn is_error(&self) -> bool {
        matches!(self, Type::Plain("!error!"))
    }
    /// The parts of a `name` of others.
    #[inline(never)]
    pub fn parts(&self, name: &str) -> Option<&[Type]> {
        match self {
            Type::Of(own, parts) if *own == name => Some(parts),
            _ => None,
        }
    }
    /// The type without the optional around it, and whether there was one.
    #[inline(never)]
    pub fn unwrapped(self) -> (Type, bool) {
        match self.parts("optional_type") {
            Some([inner]) => (inner.clone(), true),
            _ => (self, false),
        }
    }
    /// `FormatCELType`; `is_plain` as `String` of Go has it.
    pub fn print(&self, is_plain: bool, out: &mut String) {
        match self {
            Type::Plain("null") if is_plain => out.push_str("null_type"),
            Type::Plain("timestamp") if is_plain => out.push_str("google.protobuf.Timestamp"),
            Type::Plain("duration") if is_plain => out.push_str("google.protobuf.Duration"),
            Type::Plain("any") if is_plain => out.push_str("google.protobuf.Any"),
            Type::Plain(name) => out.push_str(name),
            Type::Struct(own) => out.push_str(&own.name),
            Type::Variable(number) => {
                out.push_str("_var");
                out.push_str(&number.to_string());
            }
            Type::Of(name, parts) => {
                out.push_str(name);
                for (index, part) in parts.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "(" });
                    part.print(is_plain, out);
                }
                if !parts.is_empty() {
                    out.push(')');
                }
            }
        }
    }
    #[inline(never)]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.print(false, &mut out);
        out
    }
}

impl Struct {
    /// The type of a field, by the name that expressions use.
    pub fn field(&self, name: &str) -> Option<Type> {
        match &self.fields {
            Fields::Any => Some(DYN),
            Fields::Variables => None,
            Fields::Texts(names) => names.contains(&name).then_some(STRING),
            Fields::Known => {
                let line = KNOWN
                    .lines()
                    .find_map(|line| line.strip_prefix(self.name.as_str())?.strip_prefix(' '))?;
                let code = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
                Some(match code.find("kubernetes.") {
                    Some(0) => known(code),
                    Some(start) => list(known(&code[start..])),
                    None => read(&mut code.as_bytes(), &[])?,
                })
            }
            Fields::BuiltIn(place) => {
                let own = super::unescaped(name)?;
                built_in(place.field(&own)?.type_(), &self.name, name)
            }
            Fields::Schema(schema, root) => {
                let own = super::unescaped(name)?;
                let path = [self.name.as_str(), ".", name].concat();
                if *root != Root::No {
                    match own.as_str() {
                        "kind" | "apiVersion" => return Some(STRING),
                        "metadata" if *root == Root::Metadata => {
                            return Some(structure(path, Fields::BuiltIn(Schema::object_meta())));
                        }
                        "metadata" => {
                            return Some(structure(path, Fields::Texts(&["name", "generateName"])));
                        }
                        _ => {}
                    }
                }
                let schema = schema.map("properties").get(&own)?;
                declared(schema, embedded(schema), &path)
            }
        }
    }
}

fn embedded(schema: &Value) -> Root {
    if schema.is_true("x-kubernetes-embedded-resource") { Root::Names } else { Root::No }
}

/// The type of what a part of a definition's schema describes; `None` for what expressions do not see
/// (`SchemaDeclType`).
pub fn declared(schema: &Value, root: Root, path: &str) -> Option<Type> {
    if schema.is_true("x-kubernetes-int-or-string") {
        return Some(DYN);
    }
    let is_root = root != Root::No;
    let inner = |schema: &Value, end: &str| declared(schema, embedded(schema), &[path, end].concat());
    Some(match schema.text("type") {
        "array" => list(inner(schema.at("items"), ".@idx")?),
        "object" if !is_root && schema.at("additionalProperties").as_object().is_some() => {
            map(STRING, inner(schema.at("additionalProperties"), ".@elem")?)
        }
        "object" => structure(path, Fields::Schema(schema.clone(), root)),
        "string" => match schema.text("format") {
            "byte" => Type::Plain("bytes"),
            "duration" => Type::Plain("duration"),
            "date" | "date-time" => TIMESTAMP,
            _ => STRING,
        },
        "boolean" => BOOL,
        "number" => Type::Plain("double"),
        "integer" => INT,
        _ if is_root => structure(path, Fields::Schema(schema.clone(), root)),
        _ => return None,
    })
}

/// The type of a field of a built-in kind, as OpenAPI describes it.
fn built_in(place: SchemaType<'static>, owner: &str, name: &str) -> Option<Type> {
    use crate::api::schema::Shape;
    let path = |end: &str| [owner, ".", name, end].concat();
    Some(match place.shape() {
        Shape::String | Shape::Quantity | Shape::Duration => STRING,
        Shape::Boolean => BOOL,
        Shape::Integer { .. } => INT,
        Shape::Float => Type::Plain("double"),
        Shape::Bytes => Type::Plain("bytes"),
        Shape::IntOrString => DYN,
        Shape::Time | Shape::MicroTime => TIMESTAMP,
        Shape::List { .. } => list(built_in(place.element()?, &path(""), "@idx")?),
        Shape::Map { .. } => map(STRING, built_in(place.element()?, &path(""), "@elem")?),
        Shape::Object(_) => structure(path(""), Fields::BuiltIn(place)),
        Shape::Any | Shape::Either { .. } => return None,
    })
}

/// What a code of `overloads.txt` stands for; `fresh` are the variables A and B.
pub fn read(code: &mut &[u8], fresh: &[u32]) -> Option<Type> {
    let (first, rest) = code.split_first()?;
    *code = rest;
    let mut next = || read(code, fresh);
    Some(match first {
        b'b' => BOOL,
        b'i' => INT,
        b'u' => Type::Plain("uint"),
        b'd' => Type::Plain("double"),
        b's' => STRING,
        b'y' => Type::Plain("bytes"),
        b't' => TIMESTAMP,
        b'r' => Type::Plain("duration"),
        b'*' => DYN,
        // What a protobuf message of any kind is: like dyn, but of no number of things.
        b'?' => Type::Plain("any"),
        b'P' => Type::Of("net.IP", Arc::default()),
        b'C' => Type::Of("net.CIDR", Arc::default()),
        b'A' | b'B' => Type::Variable(*fresh.get(usize::from(first - b'A'))?),
        b'l' => list(next()?),
        b'o' => optional(next()?),
        b'T' => of("type", vec![next()?]),
        b'm' => {
            let key = next()?;
            map(key, next()?)
        }
        b'Q' => known("kubernetes.Quantity"),
        b'U' => known("kubernetes.URL"),
        b'V' => known("kubernetes.Semver"),
        b'F' => known("kubernetes.NamedFormat"),
        b'Z' => known("kubernetes.authorization.Authorizer"),
        b'W' => known("kubernetes.authorization.PathCheck"),
        b'G' => known("kubernetes.authorization.GroupCheck"),
        b'R' => known("kubernetes.authorization.ResourceCheck"),
        b'X' => known("kubernetes.authorization.Decision"),
        _ => return None,
    })
}

/// Steps that the types of one expression may take; then everything fits.
const WORK: u32 = 2_000_000;

/// What has been found out about types that were not known.
pub struct Findings {
    work: Cell<u32>,
    known: Vec<Option<Type>>,
    /// What was known before, so that a wrong guess can be taken back.
    trail: Vec<(u32, Option<Type>)>,
}

impl Default for Findings {
    fn default() -> Findings {
        Findings { work: Cell::new(WORK), known: Vec::new(), trail: Vec::new() }
    }
}

impl Findings {
    /// Counts a step; whether there have been too many, on the whole or in each other.
    fn is_over(&self, depth: u16) -> bool {
        let left = self.work.get();
        self.work.set(left.saturating_sub(1));
        left == 0 || depth > 100
    }
    pub fn fresh(&mut self) -> u32 {
        self.known.push(None);
        (self.known.len() - 1) as u32
    }
    fn find(&self, number: u32) -> Option<&Type> {
        self.known.get(number as usize)?.as_ref()
    }
    fn set(&mut self, number: u32, value: Type) {
        let old = self.known[number as usize].replace(value);
        self.trail.push((number, old));
    }
    /// Whether each type can stand for its neighbour; if not, nothing has been found out.
    pub fn fit(&mut self, pairs: &[(&Type, &Type)]) -> bool {
        self.trail.clear();
        let fits = pairs.iter().all(|(a, b)| self.fits(a, b, 0));
        if !fits {
            while let Some((number, old)) = self.trail.pop() {
                self.known[number as usize] = old;
            }
        }
        fits
    }
    /// Forgets the variables since there were so many.
    pub fn shorten(&mut self, count: usize) {
        self.known.truncate(count);
    }
    pub fn count(&self) -> usize {
        self.known.len()
    }
    /// `internalIsAssignable`.
    fn fits(&mut self, a: &Type, b: &Type, depth: u16) -> bool {
        if self.is_over(depth) {
            return true;
        }
        if let Type::Variable(number) = b {
            match self.takes(*number, a, depth) {
                Ok(()) => return true,
                Err(true) => return false,
                Err(false) => {}
            }
        }
        if let Type::Variable(number) = a {
            return self.takes(*number, b, depth).is_ok();
        }
        let is_wild = |own: &Type| own.is_dyn() || own.is_error();
        if is_wild(a) || is_wild(b) {
            return true;
        }
        let takes_null = |own: &Type| match own {
            Type::Struct(_) => true,
            Type::Of(name, _) => !matches!(*name, "list" | "map" | "type"),
            Type::Plain(name) => matches!(*name, "null" | "timestamp" | "duration"),
            Type::Variable(_) => false,
        };
        match (a, b) {
            (Type::Plain("null"), other) | (other, Type::Plain("null")) => takes_null(other),
            (Type::Of("type", _), Type::Of("type", _)) => true,
            (Type::Of(name, parts), Type::Of(other, others)) => {
                name == other
                    && parts.len() == others.len()
                    && parts.iter().zip(others.iter()).all(|(a, b)| self.fits(a, b, depth + 1))
            }
            _ => a == b,
        }
    }
    /// `isValidTypeSubstitution`; the error says whether the variable stands for something already.
    fn takes(&mut self, number: u32, other: &Type, depth: u16) -> Result<(), bool> {
        if *other == Type::Variable(number) {
            return Ok(());
        }
        if let Some(own) = self.find(number).cloned() {
            if own == *other {
                return Ok(());
            }
            if !self.fits(other, &own, depth + 1) {
                return Err(true);
            }
            let general = if is_less_specific(other, &own) { other.clone() } else { own };
            if !self.occurs(number, &general, 0) {
                self.set(number, general);
            }
            return Ok(());
        }
        if self.occurs(number, other, 0) {
            return Err(false);
        }
        self.set(number, other.clone());
        Ok(())
    }
    /// Whether a variable is part of what it shall stand for.
    fn occurs(&self, number: u32, within: &Type, depth: u16) -> bool {
        match within {
            _ if self.is_over(depth) => true,
            Type::Variable(other) if *other == number => true,
            Type::Variable(other) => {
                self.find(*other).is_some_and(|known| self.occurs(number, known, depth + 1))
            }
            Type::Of(_, parts) => parts.iter().any(|part| self.occurs(number, part, depth + 1)),
            _ => false,
        }
    }
    /// A type with everything in it that is known by now; with `to_dyn` what is not known is dyn.
    #[inline(never)]
    pub fn settle(&self, own: &Type, to_dyn: bool) -> Type {
        self.settled(own, to_dyn, 0)
    }
    fn settled(&self, own: &Type, to_dyn: bool, depth: u16) -> Type {
        match own {
            _ if self.is_over(depth) => DYN,
            Type::Variable(number) => match self.find(*number) {
                Some(known) => self.settled(known, to_dyn, depth + 1),
                None if to_dyn => DYN,
                None => own.clone(),
            },
            Type::Of(name, parts) if !parts.is_empty() => {
                of(name, parts.iter().map(|part| self.settled(part, to_dyn, depth + 1)).collect())
            }
            _ => own.clone(),
        }
    }
}

/// `isEqualOrLessSpecific`.
pub fn is_less_specific(a: &Type, b: &Type) -> bool {
    let is_open = |own: &Type| own.is_dyn() || matches!(own, Type::Variable(_));
    match (a, b) {
        _ if is_open(a) => true,
        _ if is_open(b) => false,
        (Type::Of("type", _), Type::Of("type", _)) => true,
        (Type::Of(name, parts), Type::Of(other, others)) => {
            name == other
                && parts.len() == others.len()
                && parts.iter().zip(others.iter()).all(|(a, b)| is_less_specific(a, b))
        }
        _ => a == b,
    }
}
