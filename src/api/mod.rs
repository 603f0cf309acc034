//! Kubernetes objects as data: what they are made of, how they are read, checked, compared and printed.

pub mod cel;
pub mod content;
pub mod cron;
pub mod custom;
pub mod defaults;
pub mod diagnose;
pub mod field;
pub mod float;
pub mod int_or_string;
pub mod jsonpath;
pub mod kind;
pub mod meta;
pub mod patch;
pub mod quantity;
pub mod quota;
pub mod regex;
pub mod scheduling;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod time;
pub mod time_format;
pub mod validation;
pub mod value;
pub mod volumes;
pub mod warnings;
pub mod yaml;

pub use field::{BadValue, FieldError, FieldErrorKind, FieldPath};
pub use kind::{GroupKind, GroupResource, Registry, ResourceInfo, Verb};
pub use meta::ObjectKey;
pub use quantity::Quantity;
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Reason, Status};
pub use value::{Map, Text, Value};
