//! Kubernetes objects as data: what they are made of, how they are read, checked, compared and printed.

pub mod content;
pub mod defaults;
pub mod field;
pub mod kind;
pub mod meta;
pub mod status;
pub mod time;
pub mod value;

pub use field::{BadValue, FieldError, FieldErrorKind, FieldPath};
pub use kind::{GroupKind, GroupResource, Registry, ResourceInfo, Verb};
pub use meta::ObjectKey;
pub use status::{Reason, Status};
pub use value::{Map, Text, Value};
