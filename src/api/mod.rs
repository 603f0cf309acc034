//! Kubernetes objects as data: what they are made of, how they are read, checked, compared and printed.

pub mod defaults;
pub mod value;

pub use value::{Map, Text, Value};
