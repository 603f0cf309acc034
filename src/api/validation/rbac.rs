//! Roles and bindings.
//!
//! Picture to hold in mind: a keyring and the tag that says whose it is; the tag cannot be moved to another ring.
//!
//! Follows `pkg/apis/rbac/validation/validation.go`.

use super::errors::Errors;
use super::format::{name_is_path_segment, name_is_subdomain};
use super::go;
use super::meta::{self, METADATA};
use crate::api::field::FieldPath;
use crate::api::value::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Names are path segments, prefixes too.
fn name_check(name: &str, _prefix: bool) -> Vec<String> {
    name_is_path_segment(name, false)
}

fn object_meta(object: &Value, namespaced: bool, errors: &mut Errors) {
    meta::plain_object_meta(object.at("metadata"), namespaced, &name_check, &METADATA, errors);
}

pub fn role(role: &Value, namespaced: bool, errors: &mut Errors) {
    object_meta(role, namespaced, errors);
    let list = FieldPath::new("rules");
    for (index, rule) in role.items("rules").iter().enumerate() {
        policy_rule(rule, namespaced, &list.index(index), errors);
    }
    if !namespaced && role.has("aggregationRule") {
        let selectors = role.items("aggregationRule.clusterRoleSelectors");
        let path = FieldPath::new("aggregationRule.clusterRoleSelectors");
        if selectors.is_empty() {
            errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (index, selector) in selectors.iter().enumerate() {
            meta::label_selector(selector, &path.index(index), errors);
            if meta::selector_matches(selector, &Default::default()).is_none() {
                errors.invalid(&path.index(index), Value::Null, "invalid label selector.");
            }
        }
    }
}

fn policy_rule(rule: &Value, namespaced: bool, path: &FieldPath, errors: &mut Errors) {
    if rule.items("verbs").is_empty() {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    let given = |name: &str| !rule.items(name).is_empty();
    if given("nonResourceURLs") {
        let path = path.child("nonResourceURLs");
        let urls = rule.at("nonResourceURLs");
        if namespaced {
            errors.invalid(&path, urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if given("apiGroups") || given("resources") || given("resourceNames") {
            errors.invalid(&path, urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if !given("apiGroups") {
        errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if !given("resources") {
        errors.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

pub fn role_update(new: &Value, old: &Value, namespaced: bool, errors: &mut Errors) {
    role(new, namespaced, errors);
    meta::plain_object_meta_update(new, old, errors);
}

pub fn role_binding(binding: &Value, namespaced: bool, errors: &mut Errors) {
    object_meta(binding, namespaced, errors);
    let reference = binding.at("roleRef");
    let path = FieldPath::new("roleRef");
    if reference.text("apiGroup") != GROUP {
        errors.not_supported(&path.child("apiGroup"), reference.text("apiGroup"), &[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&reference.text("kind")) {
        errors.not_supported(&path.child("kind"), reference.text("kind"), kinds);
    }
    if errors.require_text(reference, "name", &path) {
        errors.each(
            &path.child("name"),
            reference.text("name"),
            name_is_path_segment(reference.text("name"), false),
        );
    }
    let list = FieldPath::new("subjects");
    for (index, subject) in binding.items("subjects").iter().enumerate() {
        let path = list.index(index);
        errors.require_text(subject, "name", &path);
        let (name, group) = (subject.text("name"), subject.text("apiGroup"));
        match subject.text("kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    errors.each(&path.child("name"), name, name_is_subdomain(name, false));
                }
                if !group.is_empty() {
                    errors.not_supported(&path.child("apiGroup"), group, &[""]);
                }
                if !namespaced {
                    errors.require_text(subject, "namespace", &path);
                }
            }
            "User" | "Group" if group != GROUP => {
                errors.not_supported(&path.child("apiGroup"), group, &[GROUP])
            }
            "User" | "Group" => {}
            other => errors.not_supported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
        }
    }
}

pub fn role_binding_update(new: &Value, old: &Value, namespaced: bool, errors: &mut Errors) {
    role_binding(new, namespaced, errors);
    meta::plain_object_meta_update(new, old, errors);
    if new.at("roleRef") != old.at("roleRef") {
        let quoted = go::internal("RoleRef")(new.at("roleRef"));
        errors.invalid(&FieldPath::new("roleRef"), quoted, "cannot change roleRef");
    }
}
