//! What is wrong with which field, in the API server's own words.
//!
//! Picture to hold in mind: a teacher's red marks in the margin. Each mark points at one place of the
//! manuscript (`spec.containers[0].image`), names its kind (Required, Invalid, ...), quotes what stood there
//! and says what should. At the end all marks are read out in one sentence.
//!
//! Follows `k8s.io/apimachinery/pkg/util/validation/field` (path.go, errors.go).

use std::fmt;

use super::value::{Text, Value};

/// The way from the root of an object to one of its fields.
///
/// Borrowed links, so that walking a valid object allocates nothing: text is made only when an error is.
/// A name may hold several steps (`path.child("rollingUpdate.maxSurge")`): it prints the same.
#[derive(Clone, Copy)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> FieldPath<'a> {
    /// The whole object. Its own text is empty; upstream prints a missing path as `<nil>`.
    pub const ROOT: FieldPath<'static> = FieldPath { parent: None, step: Step::Root };

    /// A path that begins at `name`.
    pub const fn new(name: &'a str) -> FieldPath<'a> {
        FieldPath { parent: None, step: Step::Name(name) }
    }
    /// Never inline: eight hundred calls are shorter than eight hundred paths.
    #[inline(never)]
    pub const fn child(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Name(name) }
    }
    pub const fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Index(index) }
    }
    /// A subscript that is not a number: `data[tls.key]`.
    pub const fn key(&'a self, key: &'a str) -> FieldPath<'a> {
        FieldPath { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(formatter)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Name(name) => {
                if self.parent.is_some_and(|parent| !matches!(parent.step, Step::Root)) {
                    formatter.write_str(".")?;
                }
                formatter.write_str(name)
            }
            Step::Index(index) => write!(formatter, "[{index}]"),
            Step::Key(key) => write!(formatter, "[{key}]"),
        }
    }
}

impl fmt::Debug for FieldPath<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Upstream's `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooShort,
    TooMany,
    TooFew,
    TypeInvalid,
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a Status cause.
    pub const fn cause(self) -> &'static str {
        match self {
            FieldErrorKind::NotFound => "FieldValueNotFound",
            FieldErrorKind::Required => "FieldValueRequired",
            FieldErrorKind::Duplicate => "FieldValueDuplicate",
            FieldErrorKind::Invalid => "FieldValueInvalid",
            FieldErrorKind::NotSupported => "FieldValueNotSupported",
            FieldErrorKind::Forbidden => "FieldValueForbidden",
            FieldErrorKind::TooLong => "FieldValueTooLong",
            FieldErrorKind::TooShort => "FieldValueTooShort",
            FieldErrorKind::TooMany => "FieldValueTooMany",
            FieldErrorKind::TooFew => "FieldValueTooFew",
            FieldErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            FieldErrorKind::Internal => "InternalError",
        }
    }
    /// The words a reader sees.
    pub const fn title(self) -> &'static str {
        match self {
            FieldErrorKind::NotFound => "Not found",
            FieldErrorKind::Required => "Required value",
            FieldErrorKind::Duplicate => "Duplicate value",
            FieldErrorKind::Invalid | FieldErrorKind::TypeInvalid => "Invalid value",
            FieldErrorKind::NotSupported => "Unsupported value",
            FieldErrorKind::Forbidden => "Forbidden",
            FieldErrorKind::TooLong => "Too long",
            FieldErrorKind::TooShort => "Too short",
            FieldErrorKind::TooMany => "Too many",
            FieldErrorKind::TooFew => "Too few",
            FieldErrorKind::Internal => "Internal error",
        }
    }
    const fn quotes_value(self) -> bool {
        !matches!(
            self,
            FieldErrorKind::Required
                | FieldErrorKind::Forbidden
                | FieldErrorKind::TooLong
                | FieldErrorKind::TooShort
                | FieldErrorKind::Internal
        )
    }
}

/// What stood in the refused field, as the message quotes it.
#[derive(Clone, Debug, PartialEq)]
pub enum BadValue {
    /// Not quoted at all (upstream's `OmitValueType`).
    Omitted,
    /// Strings as Go quotes them, everything else as Go's JSON.
    Value(Value),
    /// Printed as it is: for what upstream prints from an internal struct.
    Raw(Text),
}

impl<T: Into<Value>> From<T> for BadValue {
    fn from(value: T) -> BadValue {
        BadValue::Value(value.into())
    }
}

/// One field's error. Prints as `path: Kind: value: detail`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: FieldErrorKind,
    pub field: String,
    pub value: BadValue,
    pub detail: String,
}

impl FieldError {
    pub fn new(
        kind: FieldErrorKind,
        path: &FieldPath,
        value: impl Into<BadValue>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError { kind, field: path.to_string(), value: value.into(), detail: detail.into() }
    }
    pub fn not_found(path: &FieldPath, value: impl Into<BadValue>) -> FieldError {
        FieldError::new(FieldErrorKind::NotFound, path, value, "")
    }
    pub fn required(path: &FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorKind::Required, path, BadValue::Omitted, detail)
    }
    pub fn duplicate(path: &FieldPath, value: impl Into<BadValue>) -> FieldError {
        FieldError::new(FieldErrorKind::Duplicate, path, value, "")
    }
    pub fn invalid(path: &FieldPath, value: impl Into<BadValue>, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorKind::Invalid, path, value, detail)
    }
    pub fn type_invalid(
        path: &FieldPath,
        value: impl Into<BadValue>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError::new(FieldErrorKind::TypeInvalid, path, value, detail)
    }
    /// `supported` in the order in which upstream lists it (mostly sorted).
    pub fn not_supported(path: &FieldPath, value: impl Into<BadValue>, supported: &[&str]) -> FieldError {
        let mut detail = String::new();
        for (index, name) in supported.iter().enumerate() {
            detail.push_str(if index == 0 { "supported values: " } else { ", " });
            detail.push_str(&go_quote(name));
        }
        FieldError::new(FieldErrorKind::NotSupported, path, value, detail)
    }
    pub fn forbidden(path: &FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorKind::Forbidden, path, BadValue::Omitted, detail)
    }
    /// Longer than `max_length` bytes.
    pub fn too_long(path: &FieldPath, max_length: usize) -> FieldError {
        let unit = if max_length == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max_length} {unit}");
        FieldError::new(FieldErrorKind::TooLong, path, BadValue::Omitted, detail)
    }
    pub fn too_long_characters(path: &FieldPath, max_length: usize) -> FieldError {
        let unit = if max_length == 1 { "character" } else { "characters" };
        let detail = format!("may not be more than {max_length} {unit}");
        FieldError::new(FieldErrorKind::TooLong, path, BadValue::Omitted, detail)
    }
    pub fn too_short(path: &FieldPath, min_length: usize) -> FieldError {
        let unit = if min_length == 1 { "character" } else { "characters" };
        let detail = format!("must be at least {min_length} {unit}");
        FieldError::new(FieldErrorKind::TooShort, path, BadValue::Omitted, detail)
    }
    pub fn too_many(path: &FieldPath, actual: usize, max: usize) -> FieldError {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        FieldError::new(FieldErrorKind::TooMany, path, actual, detail)
    }
    pub fn too_few(path: &FieldPath, actual: usize, min: usize) -> FieldError {
        let unit = if min == 1 { "item" } else { "items" };
        let detail = format!("must have at least {min} {unit}");
        FieldError::new(FieldErrorKind::TooFew, path, actual, detail)
    }
    pub fn internal(path: &FieldPath, error: impl fmt::Display) -> FieldError {
        FieldError::new(FieldErrorKind::Internal, path, BadValue::Omitted, error.to_string())
    }

    /// Everything but the path: the `message` of a Status cause.
    pub fn body(&self) -> String {
        let mut text = String::from(self.kind.title());
        if self.kind.quotes_value() {
            match &self.value {
                BadValue::Omitted => {}
                BadValue::Value(Value::String(string)) => {
                    text.push_str(": ");
                    text.push_str(&go_quote(string));
                }
                BadValue::Value(value) => {
                    text.push_str(": ");
                    text.push_str(&go_json(value));
                }
                BadValue::Raw(raw) => {
                    text.push_str(": ");
                    text.push_str(raw);
                }
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.body())
    }
}

/// All errors as one sentence, in order, each text once: alone as it is, several in brackets.
/// `None` when there are none. Follows `ErrorList.ToAggregate` and `util/errors`.
pub fn aggregate<T: fmt::Display>(errors: &[T]) -> Option<String> {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        0 => None,
        1 => texts.pop(),
        _ => Some(format!("[{}]", texts.join(", "))),
    }
}

/// A string in double quotes as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\0'..='\u{1f}' | '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", character as u32)),
            // Rust's debug form escapes what is not printable; a quote is handled above.
            _ if character == '\'' || character.escape_debug().len() == 1 => quoted.push(character),
            _ if (character as u32) < 0x10000 => quoted.push_str(&format!("\\u{:04x}", character as u32)),
            _ => quoted.push_str(&format!("\\U{:08x}", character as u32)),
        }
    }
    quoted.push('"');
    quoted
}

/// Compact JSON as Go's `encoding/json` writes it: `<`, `>`, `&` and two line separators are escaped.
pub fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    let mut escaped = String::with_capacity(plain.len() + 16);
    for character in plain.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", character as u32))
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn errors_print_as_upstream() {
        let spec = FieldPath::new("spec");
        let containers = spec.child("containers");
        let container = containers.index(0);
        let cases: Vec<(FieldError, &str)> = vec![
            (FieldError::required(&container.child("image"), ""), "spec.containers[0].image: Required value"),
            (
                FieldError::invalid(&spec.child("replicas"), -1, "must be greater than or equal to 0"),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                FieldError::not_supported(&container.child("imagePullPolicy"), "x", &["Always", "Never"]),
                r#"spec.containers[0].imagePullPolicy: Unsupported value: "x": supported values: "Always", "Never""#,
            ),
            (
                FieldError::invalid(
                    &spec.child("template.metadata.labels"),
                    object! { "app" => "a<b" },
                    "`selector` does not match template `labels`",
                ),
                r#"spec.template.metadata.labels: Invalid value: {"app":"a\u003cb"}: `selector` does not match template `labels`"#,
            ),
            (
                FieldError::duplicate(&FieldPath::ROOT.child("data").key("a.b"), "say \"hi\"\n"),
                r#"data[a.b]: Duplicate value: "say \"hi\"\n""#,
            ),
            (FieldError::too_long(&spec, 63), "spec: Too long: may not be more than 63 bytes"),
            (FieldError::too_many(&spec, 2, 1), "spec: Too many: 2: must have at most 1 item"),
            (FieldError::not_found(&spec, array![1]), "spec: Not found: [1]"),
            (FieldError::invalid(&spec, BadValue::Omitted, "no"), "spec: Invalid value: no"),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn several_errors_make_one_sentence_without_repeats() {
        for (errors, expected) in [
            (vec![], None),
            (vec!["a"], Some("a")),
            (vec!["a", "a"], Some("a")),
            (vec!["b", "a", "b"], Some("[b, a]")),
        ] {
            assert_eq!(aggregate(&errors).as_deref(), expected);
        }
    }

    #[test]
    fn go_quotes() {
        for (text, expected) in
            [("it's", r#""it's""#), ("\u{1}é\u{200b}", "\"\\x01é\\u200b\""), ("a\\b", r#""a\\b""#)]
        {
            assert_eq!(go_quote(text), expected);
        }
    }
}
