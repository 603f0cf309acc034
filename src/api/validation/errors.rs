//! Where the checks put what they find.
//!
//! Picture to hold in mind: a clipboard passed from checker to checker; each adds lines, nobody reads it until
//! the round is done.

use crate::api::field::{BadValue, FieldError, FieldErrorKind, FieldPath};
use crate::api::value::Value;

/// The errors found so far, in upstream's order.
#[derive(Default)]
pub struct Errors {
    list: Vec<FieldError>,
}

impl Errors {
    pub fn new() -> Errors {
        Errors::default()
    }
    pub fn into_list(self) -> Vec<FieldError> {
        self.list
    }
    pub fn len(&self) -> usize {
        self.list.len()
    }
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// Whether there is an error of such a kind.
    pub fn any(&self, is_such: impl Fn(FieldErrorKind) -> bool) -> bool {
        self.list.iter().any(|error| is_such(error.kind))
    }
    pub fn push(&mut self, error: FieldError) {
        self.list.push(error);
    }
    pub fn required(&mut self, path: &FieldPath, detail: impl Into<String>) {
        self.push(FieldError::required(path, detail));
    }
    pub fn forbidden(&mut self, path: &FieldPath, detail: impl Into<String>) {
        self.push(FieldError::forbidden(path, detail));
    }
    pub fn invalid(&mut self, path: &FieldPath, value: impl Into<BadValue>, detail: impl Into<String>) {
        self.push(FieldError::invalid(path, value, detail));
    }
    /// An Invalid that does not quote the value.
    pub fn invalid_unquoted(&mut self, path: &FieldPath, detail: impl Into<String>) {
        self.push(FieldError::invalid(path, BadValue::Omitted, detail));
    }
    pub fn not_supported(&mut self, path: &FieldPath, value: impl Into<BadValue>, supported: &[&str]) {
        self.push(FieldError::not_supported(path, value, supported));
    }
    pub fn duplicate(&mut self, path: &FieldPath, value: impl Into<BadValue>) {
        self.push(FieldError::duplicate(path, value));
    }
    pub fn not_found(&mut self, path: &FieldPath, value: impl Into<BadValue>) {
        self.push(FieldError::not_found(path, value));
    }
    /// A Not found or Duplicate that says more than upstream's constructors do.
    pub fn detailed(
        &mut self,
        kind: FieldErrorKind,
        path: &FieldPath,
        value: impl Into<BadValue>,
        detail: String,
    ) {
        self.push(FieldError::new(kind, path, value, detail));
    }
    pub fn too_long(&mut self, path: &FieldPath, max_length: usize) {
        self.push(FieldError::too_long(path, max_length));
    }
    pub fn too_many(&mut self, path: &FieldPath, actual: usize, max: usize) {
        self.push(FieldError::too_many(path, actual, max));
    }
    /// One Invalid for each complaint about one text.
    pub fn each(&mut self, path: &FieldPath, value: &str, complaints: Vec<String>) {
        for complaint in complaints {
            self.invalid(path, value, complaint);
        }
    }
}

/// Checks that share a shape across kinds.
impl Errors {
    /// A string that must be there. Answers whether it is.
    pub fn require_text(&mut self, value: &Value, name: &str, path: &FieldPath) -> bool {
        let missing = value.text(name).is_empty();
        if missing {
            self.required(&path.child(name), "");
        }
        !missing
    }
    /// `ValidateNonnegativeField`; what is absent is fine.
    pub fn non_negative(&mut self, value: &Value, name: &str, path: &FieldPath) {
        if let Some(number) = value.integer(name)
            && number < 0
        {
            self.invalid(&path.child(name), number, NEGATIVE);
        }
    }
    /// One of a closed set of words; an empty one counts as missing.
    pub fn one_of(&mut self, text: &str, path: &FieldPath, supported: &[&str]) {
        if text.is_empty() {
            self.required(path, "");
        } else if !supported.contains(&text) {
            self.not_supported(path, text, supported);
        }
    }
    /// A word of a closed set, where given.
    pub fn one_of_if_given(&mut self, value: &Value, name: &str, path: &FieldPath, supported: &[&str]) {
        if let Some(text) = value.at(name).as_str()
            && !supported.contains(&text)
        {
            self.not_supported(&path.child(name), text, supported);
        }
    }
    /// `ValidateImmutableField`.
    pub fn immutable(&mut self, new: &Value, old: &Value, path: &FieldPath) {
        self.immutable_as(new, old, path, super::go::quoted);
    }
    /// `ValidateImmutableField`, for a value that upstream prints as an internal Go struct.
    pub fn immutable_as(
        &mut self,
        new: &Value,
        old: &Value,
        path: &FieldPath,
        quote: impl FnOnce(&Value) -> BadValue,
    ) {
        if !super::semantic::equal(new, old) {
            self.invalid(path, quote(new), IMMUTABLE);
        }
    }
}

pub const NEGATIVE: &str = "must be greater than or equal to 0";
pub const NOT_POSITIVE: &str = "must be greater than zero";
pub const IMMUTABLE: &str = "field is immutable";
