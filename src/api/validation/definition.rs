//! Checks of CustomResourceDefinitions.
//!
//! Picture to hold in mind: the building inspector reads the plans before anybody may screw on a plate.
//!
//! Follows apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`.

use super::errors::Errors;
use super::meta::{METADATA, plain_object_meta, plain_object_meta_update};
use crate::api::value::Value;

/// `ValidateCustomResourceDefinition`.
pub fn create(definition: &Value, errors: &mut Errors) {
    let name_check = |name: &str, prefix: bool| {
        let mut complaints = super::format::name_is_subdomain(name, prefix);
        let required = format!("{}.{}", definition.text("spec.names.plural"), definition.text("spec.group"));
        if name != required {
            complaints.push("must be spec.names.plural+\".\"+spec.group".to_owned());
        }
        complaints
    };
    plain_object_meta(definition.at("metadata"), false, &name_check, &METADATA, errors);
}

/// `ValidateCustomResourceDefinitionUpdate`.
pub fn update(new: &Value, old: &Value, errors: &mut Errors) {
    plain_object_meta_update(new, old, errors);
}

/// `ValidateUpdateCustomResourceDefinitionStatus`.
pub fn status(new: &Value, old: &Value, errors: &mut Errors) {
    plain_object_meta_update(new, old, errors);
}
