//! Checks of CustomResourceDefinitions.
//!
//! Picture to hold in mind: the building inspector reads the plans before anybody may screw on a plate.
//!
//! Follows apiextensions-apiserver `pkg/apis/apiextensions/validation/validation.go`. It reads the internal version of a
//! definition, in which what all versions share (schema, subresources, columns, selectable fields) stands once above them:
//! hence paths such as `spec.validation.openAPIV3Schema`.
//!
//! - [`schema`] what a schema may say; [`structural`] how it must be built

mod rules;
mod schema;
mod structural;

use super::errors::Errors;
use super::format::{dns1035_label, dns1123_subdomain, name_is_subdomain};
use super::meta::{METADATA, SPEC, STATUS, plain_object_meta, plain_object_meta_update};
use crate::api::field::FieldPath;
use crate::api::meta;
use crate::api::value::{Text, Value};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE_FIELDS: usize = 8;
pub const APPROVAL: &str = "api-approved.kubernetes.io";

/// `ValidateCustomResourceDefinition`.
pub fn create(definition: &Value, errors: &mut Errors) {
    let required = format!("{}.{}", definition.text("spec.names.plural"), definition.text("spec.group"));
    let name_check = |name: &str, prefix: bool| {
        let mut complaints = name_is_subdomain(name, prefix);
        if name != required {
            complaints.push("must be spec.names.plural+\".\"+spec.group".to_owned());
        }
        complaints
    };
    plain_object_meta(definition.at("metadata"), false, &name_check, &METADATA, errors);
    spec(definition.at("spec"), None, errors);
    rest(definition, None, errors);
}

/// `ValidateCustomResourceDefinitionUpdate`.
pub fn update(new: &Value, old: &Value, errors: &mut Errors) {
    plain_object_meta_update(new, old, errors);
    let (spec_now, spec_before) = (new.at("spec"), old.at("spec"));
    spec(spec_now, Some(spec_before), errors);
    let mut immutable = vec!["group", "names.plural"];
    if meta::is_condition_true(old, "Established") {
        immutable.splice(0..0, ["scope", "names.kind"]);
    }
    for path in immutable {
        errors.immutable(spec_now.at(path), spec_before.at(path), &SPEC.child(path));
    }
    rest(new, Some(old), errors);
}

/// `ValidateUpdateCustomResourceDefinitionStatus`.
pub fn status(new: &Value, old: &Value, errors: &mut Errors) {
    plain_object_meta_update(new, old, errors);
    names(new.at("status.acceptedNames"), &STATUS.child("acceptedNames"), errors);
}

fn rest(definition: &Value, old: Option<&Value>, errors: &mut Errors) {
    names(definition.at("status.acceptedNames"), &STATUS.child("acceptedNames"), errors);
    stored_versions(definition, errors);
    let group = definition.text("spec.group");
    let state = |definition: &Value| meta::annotation(definition, APPROVAL).map(approval);
    if is_protected(group) && old.is_none_or(|old| kind_of(&state(old)) != kind_of(&state(definition))) {
        let annotations = METADATA.child("annotations");
        let path = annotations.key(APPROVAL);
        match meta::annotation(definition, APPROVAL) {
            None | Some("") => errors.required(&path, approval("").2),
            Some(text) if approval(text).1 == "InvalidAnnotation" => {
                errors.invalid(&path, text, approval(text).2);
            }
            Some(_) => {}
        }
    }
    let preserves = |definition: &Value| definition.is_true("spec.preserveUnknownFields");
    if preserves(definition) && !old.is_some_and(preserves) {
        errors.invalid(
            &SPEC.child("preserveUnknownFields"),
            true,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        );
    }
}

fn kind_of(state: &Option<(bool, &'static str, String)>) -> &'static str {
    state.as_ref().map_or("MissingAnnotation", |state| state.1)
}

/// Groups of the community (`IsProtectedCommunityGroup`).
pub fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|name| group == *name || group.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether an annotation approves of an API, the reason's name, and the reason (`GetAPIApprovalState`).
pub fn approval(annotation: &str) -> (bool, &'static str, String) {
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let is_url = annotation
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/'));
    if annotation.is_empty() {
        let message = format!("protected groups must have approval annotation {APPROVAL:?}, {see}");
        (false, "MissingAnnotation", message)
    } else if annotation.starts_with("unapproved") {
        (false, "UnapprovedAnnotation", format!("not approved: {annotation:?}"))
    } else if is_url {
        (true, "ApprovedAnnotation", format!("approved in {annotation}"))
    } else {
        let message = format!(
            "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \"unapproved\", {see}"
        );
        (false, "InvalidAnnotation", message)
    }
}

fn stored_versions(definition: &Value, errors: &mut Errors) {
    let path = STATUS.child("storedVersions");
    let stored = definition.items("status.storedVersions");
    if stored.is_empty() {
        errors.invalid(&path, Value::Null, "must have at least one stored version");
        return;
    }
    let versions = definition.items("spec.versions");
    for version in versions {
        let name = version.text("name");
        if version.is_true("storage") && !stored.iter().any(|own| own.as_str() == Some(name)) {
            let detail = format!("must have the storage version {name}");
            errors.invalid(&path, definition.at("status.storedVersions"), detail);
        }
    }
    for (index, own) in stored.iter().enumerate() {
        let name = own.as_str().unwrap_or("");
        if !versions.iter().any(|version| version.text("name") == name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.invalid(&path.index(index), name, detail);
        }
    }
}

/// `ValidateCustomResourceDefinitionNames`.
fn names(names: &Value, path: &FieldPath, errors: &mut Errors) {
    let mut label = |text: &str, path: &FieldPath, is_mixed: bool| {
        let complaints =
            if is_mixed { dns1035_label(&text.to_ascii_lowercase()) } else { dns1035_label(text) };
        if !complaints.is_empty() {
            let before = if is_mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.invalid(path, text, format!("{before}{}", complaints.join(",")));
        }
    };
    for (name, is_mixed) in [("plural", false), ("singular", false), ("kind", true), ("listKind", true)] {
        let text = names.text(name);
        if !text.is_empty() {
            label(text, &path.child(name), is_mixed);
        }
    }
    for (index, name) in names.items("shortNames").iter().enumerate() {
        label(name.as_str().unwrap_or(""), &path.child("shortNames").index(index), false);
    }
    if !names.text("kind").is_empty() && names.text("kind") == names.text("listKind") {
        let text = names.shared_text("listKind");
        errors.invalid(&path.child("listKind"), text, "kind and listKind may not be the same");
    }
    let mut label = |text: &str, path: &FieldPath| {
        let complaints = dns1035_label(text);
        if !complaints.is_empty() {
            errors.invalid(path, text, complaints.join(","));
        }
    };
    for (index, name) in names.items("categories").iter().enumerate() {
        label(name.as_str().unwrap_or(""), &path.child("categories").index(index));
    }
}

/// What all versions have alike, which stands above them in the internal version.
fn shared<'a>(versions: &'a [Value], field: &str) -> Option<&'a Value> {
    let first = versions.first()?.get(field).filter(|value| !value.is_empty())?;
    versions.iter().all(|version| version.get(field) == Some(first)).then_some(first)
}

fn spec(spec: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = &SPEC;
    let group = spec.text("group");
    if group.is_empty() {
        errors.required(&path.child("group"), "");
    } else {
        let complaints = dns1123_subdomain(group);
        if !complaints.is_empty() {
            errors.invalid(&path.child("group"), group, complaints.join(","));
        } else if !group.contains('.') {
            errors.invalid(&path.child("group"), group, "should be a domain with at least one dot");
        }
    }
    errors.one_of(spec.text("scope"), &path.child("scope"), &["Cluster", "Namespaced"]);
    let versions = spec.items("versions");
    let versions_path = path.child("versions");
    let has_schema =
        |version: &Value| version.at("schema").get("openAPIV3Schema").is_some_and(|own| !own.is_null());
    let needs_schema = old.is_none_or(|old| old.items("versions").iter().all(has_schema));
    if needs_schema && !shared(versions, "schema").is_some_and(|schema| schema.has("openAPIV3Schema")) {
        for (index, version) in versions.iter().enumerate() {
            if !has_schema(version) {
                errors.required(&versions_path.index(index).child("schema.openAPIV3Schema"), "");
            }
        }
    }
    if spec.is_true("preserveUnknownFields")
        && versions.iter().any(|version| schema::has_defaults(version.at("schema.openAPIV3Schema")))
    {
        errors.invalid(
            &path.child("preserveUnknownFields"),
            true,
            "must be false in order to use defaults in the schema",
        );
    }
    for (index, version) in versions.iter().enumerate() {
        let path = versions_path.index(index);
        let name = version.text("name");
        let complaints = dns1035_label(name);
        if !complaints.is_empty() {
            errors.invalid(&path.child("name"), name, complaints.join(","));
        }
        self::version(version, versions, &path, errors);
    }
    let name = |version: &Value| version.shared_text("name");
    let unique = versions
        .iter()
        .enumerate()
        .all(|(index, version)| !versions[..index].iter().any(|other| name(other) == name(version)));
    let quoted = || super::field_list("CRDVersion", &internal_versions(versions));
    if !unique {
        errors.invalid(&versions_path, quoted(), "must contain unique version names");
    }
    if versions.iter().filter(|version| version.is_true("storage")).count() != 1 {
        errors.invalid(&versions_path, quoted(), "must have exactly one version marked as storage version");
    }
    for name in ["plural", "singular", "kind", "listKind"] {
        if spec.at("names").text(name).is_empty() {
            errors.required(&path.child("names").child(name), "");
        }
    }
    names(spec.at("names"), &path.child("names"), errors);
    let has_status = versions.iter().any(has_status);
    if let Some(own) = shared(versions, "schema") {
        schema::validation(own, has_status, &path.child("validation"), errors);
    }
    if let Some(own) = shared(versions, "subresources") {
        subresources(own, &path.child("subresources"), errors);
    }
    if let Some(own) = shared(versions, "additionalPrinterColumns") {
        columns(own, &path.child("additionalPrinterColumns"), errors);
    }
    if let Some(own) = shared(versions, "selectableFields") {
        let schema = shared(versions, "schema").map_or(&Value::Null, |schema| schema.at("openAPIV3Schema"));
        let path = path.child("selectableFields");
        if schema.is_null() {
            errors.invalid(&path, "", "may only be set when validations.schema is included");
        } else {
            selectable_fields(own, schema, &path, errors);
        }
    }
    conversion(spec.at("conversion"), &path.child("conversion"), errors);
}

/// The versions without what stands above them.
fn internal_versions(versions: &[Value]) -> Value {
    let fields = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];
    Value::array(versions.iter().map(|version| {
        let mut version = version.clone();
        for field in fields {
            if shared(versions, field).is_some() {
                version.make_object().remove(field);
            }
        }
        version
    }))
}

fn has_status(version: &Value) -> bool {
    version.at("subresources").get("status").is_some_and(|status| !status.is_null())
}

/// What stands with one version alone.
fn version(version: &Value, versions: &[Value], path: &FieldPath, errors: &mut Errors) {
    deprecation_warning(version, &path.child("deprecationWarning"), errors);
    let own = |field: &str| {
        let own = version.get(field).filter(|own| !own.is_empty());
        own.filter(|_| shared(versions, field).is_none())
    };
    if let Some(own) = own("schema") {
        schema::validation(own, has_status(version), &path.child("schema"), errors);
    }
    if let Some(own) = own("subresources") {
        subresources(own, &path.child("subresources"), errors);
    }
    if let Some(own) = own("additionalPrinterColumns") {
        columns(own, &path.child("additionalPrinterColumns"), errors);
    }
    if let Some(own) = own("selectableFields") {
        let schema = version.at("schema.openAPIV3Schema");
        let path = path.child("selectableFields");
        if schema.is_null() {
            let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
            errors.invalid(&path, "", detail);
        } else {
            selectable_fields(own, schema, &path, errors);
        }
    }
}

fn deprecation_warning(version: &Value, path: &FieldPath, errors: &mut Errors) {
    let Some(warning) = version.at("deprecationWarning").as_str() else { return };
    if !version.is_true("deprecated") {
        errors.invalid(path, warning, "can only be set for deprecated versions");
        return;
    }
    if warning.len() > 256 {
        errors.invalid(path, warning, "must be <= 256 characters long");
    }
    if warning.is_empty() {
        errors.invalid(path, warning, "must not be an empty string");
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        );
        errors.invalid(path, warning, detail);
    }
}

fn subresources(subresources: &Value, path: &FieldPath, errors: &mut Errors) {
    let scale = subresources.at("scale");
    if scale.is_null() {
        return;
    }
    for (name, root, words) in [
        ("specReplicasPath", &[".spec."][..], ".spec"),
        ("statusReplicasPath", &[".status."], ".status"),
        ("labelSelectorPath", &[".spec.", ".status."], "either .spec or .status"),
    ] {
        let text = scale.text(name);
        let name = format!("scale.{name}");
        let path = path.child(&name);
        if text.is_empty() {
            if root.len() == 1 {
                errors.required(&path, "");
            }
        } else if simple_json_path(text, &path, errors) && !root.iter().any(|root| text.starts_with(root)) {
            errors.invalid(&path, text, format!("should be a json path under {words}"));
        }
    }
}

/// Whether a path begins as it must.
fn simple_json_path(text: &str, path: &FieldPath, errors: &mut Errors) -> bool {
    if text.starts_with('.') {
        return true;
    }
    errors.invalid(path, text, "must be a simple json path starting with .");
    false
}

fn columns(columns: &Value, path: &FieldPath, errors: &mut Errors) {
    for (index, column) in columns.as_array().unwrap_or(&[]).iter().enumerate() {
        let path = path.index(index);
        if column.text("name").is_empty() {
            errors.required(&path.child("name"), "");
        }
        let one_of = |words: &[&str]| format!("must be one of {}", words.join(","));
        let kind = column.text("type");
        if kind.is_empty() {
            errors.required(&path.child("type"), one_of(&COLUMN_TYPES));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.invalid(&path.child("type"), kind, one_of(&COLUMN_TYPES));
        }
        let format = column.text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            errors.invalid(&path.child("format"), format, one_of(&COLUMN_FORMATS));
        }
        let json_path = column.text("jsonPath");
        if json_path.is_empty() {
            errors.required(&path.child("JSONPath"), "");
        } else {
            simple_json_path(json_path, &path.child("JSONPath"), errors);
        }
    }
}

/// `ValidateCustomResourceSelectableFields`.
fn selectable_fields(fields: &Value, schema: &Value, path: &FieldPath, errors: &mut Errors) {
    let mut seen: Vec<Text> = Vec::new();
    for (index, field) in fields.as_array().unwrap_or(&[]).iter().enumerate() {
        let index = path.index(index);
        let path = index.child("jsonPath");
        let text = field.shared_text("jsonPath");
        if text.is_empty() {
            errors.required(&path, "");
            continue;
        }
        let Some(rest) = text.strip_prefix('.') else {
            let detail = "is an invalid path: expected [ or . but got: ";
            errors.invalid(&path, text.as_str(), format!("{detail}{text}"));
            continue;
        };
        let mut place = Some(schema);
        for name in rest.split('.') {
            place = place.and_then(|place| place.map("properties").get(name));
        }
        let Some(place) = place else {
            errors.invalid(&path, text.as_str(), "is an invalid path: does not refer to a valid field");
            continue;
        };
        if rest.split('.').next() == Some("metadata") {
            errors.invalid(&path, text.as_str(), "must not point to fields in metadata");
        }
        if !matches!(place.text("type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.invalid(&path, text.as_str(), detail);
        }
        if seen.contains(&text) {
            errors.duplicate(&path, text.as_str());
        } else {
            seen.push(text.clone());
        }
    }
    if seen.len() > MAX_SELECTABLE_FIELDS {
        errors.too_many(path, seen.len(), MAX_SELECTABLE_FIELDS);
    }
}

fn conversion(conversion: &Value, path: &FieldPath, errors: &mut Errors) {
    if conversion.is_null() {
        return;
    }
    errors.one_of(conversion.text("strategy"), &path.child("strategy"), &["None", "Webhook"]);
    let webhook = conversion.at("webhook");
    let client = webhook.at("clientConfig");
    let client_path = path.child("webhookClientConfig");
    let versions_path = path.child("conversionReviewVersions");
    let versions = webhook.items("conversionReviewVersions");
    if conversion.text("strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if !client.is_null() {
            errors.forbidden(&client_path, detail);
        }
        if !versions.is_empty() {
            errors.forbidden(&versions_path, detail);
        }
        return;
    }
    if client.is_null() {
        errors.required(&client_path, "required when strategy is set to Webhook");
    } else if client.has("url") == client.has("service") {
        errors.required(&client_path, "exactly one of url or service is required");
    }
    if versions.is_empty() {
        errors.required(&versions_path, "");
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or("");
        if versions[..index].contains(version) {
            errors.invalid(&versions_path.index(index), text, "duplicate version");
        } else {
            errors.each(&versions_path.index(index), text, dns1035_label(text));
        }
    }
    if !versions.iter().any(|version| matches!(version.as_str(), Some("v1" | "v1beta1"))) {
        let listed = webhook.at("conversionReviewVersions");
        errors.invalid(&versions_path, listed, "must include at least one of v1, v1beta1");
    }
}
