//! Paths in file systems.
//!
//! Picture to hold in mind: a garden gate that opens downhill only.
//!
//! Follows `validateLocalDescendingPath` and its kin in `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use crate::api::field::FieldPath;

/// No `..` among the parts.
pub fn no_backsteps(target: &str, path: &FieldPath, errors: &mut Errors) {
    if has_backsteps(target) {
        errors.invalid(path, target, "must not contain '..'");
    }
}

pub fn has_backsteps(target: &str) -> bool {
    target.contains("..") && target.split('/').any(|part| part == "..")
}

/// Relative, and not upwards.
pub fn local_descending_path(target: &str, path: &FieldPath, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.invalid(path, target, "must be a relative path");
    }
    no_backsteps(target, path, errors);
}

/// Also not a name of the kind that the kubelet's atomic writer uses.
pub fn local_non_reserved_path(target: &str, path: &FieldPath, errors: &mut Errors) {
    local_descending_path(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.invalid(path, target, "must not start with '..'");
    }
}

/// Go's `path.Clean`, as far as telling the root needs it.
pub fn is_root(target: &str) -> bool {
    target.starts_with('/') && target.split('/').all(|part| part.is_empty() || part == "." || part == "..")
}
