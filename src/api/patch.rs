//! Changing an object by saying what changes.
//!
//! Picture to hold in mind: four ways to correct a manuscript. A list of numbered edits (JSON patch); a page laid
//! over the old one, with holes for what goes (merge patch); the same by an editor who knows which lists are
//! really tables with a key column (strategic merge patch); and co-authors, each with his own colour of ink, who
//! may not write over another's words unasked (server-side apply).
//!
//! Follows RFC 6902, RFC 7386, `k8s.io/apimachinery/pkg/util/strategicpatch` with kubectl's three-way merge, and
//! `sigs.k8s.io/structured-merge-diff` (KEP-555).

pub mod apply;
mod diff;
mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;

use crate::arrange::Arrange;

use std::fmt;

use super::field::{FieldError, FieldPath, go_json};
use super::kind::GroupKind;
use super::schema::{Schema, SchemaType, Strictness, conversion_error, decode};
use super::status::{Reason, Status};
use super::value::Value;

pub use diff::{json_merge_diff, three_way, three_way_json, two_way};
pub use json::apply as json_patch;
pub use merge::apply as merge_patch;
pub use strategic::apply as strategic_merge_patch;

/// The kinds of patch, by their media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
    Apply,
}

impl PatchType {
    pub const fn media_type(self) -> &'static str {
        match self {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::StrategicMerge => "application/strategic-merge-patch+json",
            PatchType::Apply => "application/apply-patch+yaml",
        }
    }
    /// `None` for a media type that is no patch.
    pub fn parse(media_type: &str) -> Option<PatchType> {
        [PatchType::Json, PatchType::Merge, PatchType::StrategicMerge, PatchType::Apply]
            .into_iter()
            .find(|known| known.media_type() == media_type)
    }
}

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchError {
    /// The patch is no patch.
    Malformed(String),
    /// It is one, but cannot be done to this object.
    Unprocessable(String),
    /// Too many operations.
    TooLarge(String),
    /// What upstream does not foresee answers as an internal error.
    Internal(String),
}

impl fmt::Display for PatchError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            PatchError::Malformed(text)
            | PatchError::Unprocessable(text)
            | PatchError::TooLarge(text)
            | PatchError::Internal(text) => formatter.write_str(text),
        }
    }
}

impl PatchError {
    /// The API server's answer, which for an operation that fails says little.
    pub fn to_status(&self) -> Status {
        match self {
            PatchError::Malformed(text) => Status::bad_request(text.as_str()),
            PatchError::Unprocessable(_) => Status::unprocessable(),
            PatchError::TooLarge(text) => Status::request_entity_too_large(text),
            PatchError::Internal(text) => Status::new(500, Reason::Unknown, text.as_str()),
        }
    }
}

/// Applies a JSON, merge or strategic merge patch to an object of type `place`. Kinds without a built-in schema
/// know no strategic merge patch.
pub fn apply(
    patch_type: PatchType,
    place: Option<SchemaType>,
    object: &Value,
    patch: &Value,
) -> Result<Value, Status> {
    let result = match patch_type {
        PatchType::Json => json::apply(object, patch),
        PatchType::Merge => Ok(merge::apply(object, patch)),
        PatchType::StrategicMerge => strategic::apply(object, patch, place),
        PatchType::Apply => {
            return Err(Status::internal_error("apply patches go through server-side apply"));
        }
    };
    result.map_err(|error| error.to_status())
}

/// The same, and the result read against the schema as the API server does: in printed form, with the warnings to
/// send along. A result that does not fit is refused as an invalid patch. Defaults and validation are still due.
pub fn apply_and_decode(
    patch_type: PatchType,
    place: Option<SchemaType>,
    object: &Value,
    patch: &Value,
    strictness: Strictness,
) -> Result<(Value, Vec<String>), Status> {
    let patched = apply(patch_type, place, object, patch)?;
    let Some(place) = place else { return Ok((patched, Vec::new())) };
    if patch_type == PatchType::StrategicMerge {
        if let Some(error) = conversion_error(place, &patched) {
            return Err(undecodable(&go_display(patch), &error));
        }
        let mut decoded = decode(place, &patched, &[]);
        // This way upstream collects unknown fields from a map, and sorts them.
        decoded.strict.arrange_by(|a, b| a.message.cmp(&b.message));
        return decoded.into_result(strictness).map_err(|error| undecodable(&go_display(patch), &error));
    }
    decode(place, &patched, &[])
        .into_result(strictness)
        .map_err(|error| undecodable(&go_json(&patched), &error))
}

/// The refusal of a patch whose result cannot be decoded. `shown` is what upstream quotes: the patched object's
/// JSON, or for a strategic merge patch the patch as Go prints a map.
pub fn undecodable(shown: &str, error: &str) -> Status {
    let detail = FieldError::invalid(&FieldPath::new("patch"), shown, error);
    Status::invalid(&GroupKind::default(), "", &[detail])
}

/// A value as Go's `%v` prints it: `map[a:1 b:[x y]]`, `<nil>`.
pub fn go_display(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_display).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", go_display(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

/// The schema of an object, for patching; `None` for custom resources.
pub fn place_of(object: &Value) -> Option<SchemaType<'static>> {
    Schema::built_in().of(object)
}
