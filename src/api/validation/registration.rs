//! APIServices: who serves a group and version.
//!
//! Picture to hold in mind: an entry in the telephone directory: its name is made of what it lists.
//!
//! Follows `kube-aggregator/pkg/apis/apiregistration/validation/validation.go`.

use super::errors::Errors;
use super::format::{dns1035_label, dns1123_subdomain, name_is_path_segment, port_number};
use super::meta::{self, METADATA, SPEC};
use crate::api::base64::STANDARD;
use crate::api::field::{FieldPath, go_quote};
use crate::api::value::Value;

pub fn api_service(service: &Value, errors: &mut Errors) {
    let spec = service.at("spec");
    let (group, version) = (spec.text("group"), spec.text("version"));
    let required = format!("{version}.{group}");
    let check = |name: &str, _: bool| -> Vec<String> {
        let complaints = name_is_path_segment(name, false);
        if complaints.is_empty() && name != required {
            return vec![format!("must be `spec.version+\".\"+spec.group`: {}", go_quote(&required))];
        }
        complaints
    };
    meta::plain_object_meta(service.at("metadata"), false, &check, &METADATA, errors);
    if group.is_empty() && version != "v1" {
        let message = "only v1 may have an empty group and it better be legacy kube";
        errors.required(&SPEC.child("group"), message);
    }
    if !group.is_empty() {
        errors.each(&SPEC.child("group"), group, dns1123_subdomain(group));
    }
    errors.each(&SPEC.child("version"), version, dns1035_label(version));
    let between = |name: &'static str, limit: i64, errors: &mut Errors| {
        let number = spec.integer(name).unwrap_or(0);
        if !(1..=limit).contains(&number) {
            errors.invalid(&SPEC.child(name), number, format!("must be positive and less than {limit}"));
        }
    };
    between("groupPriorityMinimum", 20_000, errors);
    between("versionPriority", 1000, errors);
    let bundle = STANDARD.decode(spec.text("caBundle")).unwrap_or_default();
    let is_insecure = spec.is_true("insecureSkipTLSVerify");
    let path = SPEC.child("insecureSkipTLSVerify");
    let target = spec.at("service");
    if target.is_null() {
        if !bundle.is_empty() {
            let size = format!("{} bytes", bundle.len());
            errors.invalid(
                &SPEC.child("caBundle"),
                size.as_str(),
                "local APIServices may not have a caBundle",
            );
        }
        if is_insecure {
            errors.invalid(&path, true, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    let service_path: FieldPath = SPEC.child("service");
    errors.require_text(target, "namespace", &service_path);
    errors.require_text(target, "name", &service_path);
    let port = target.integer("port").unwrap_or(0);
    if let Some(complaint) = port_number(port) {
        errors.invalid(&service_path.child("port"), port, format!("port is not valid: {complaint}"));
    }
    if is_insecure && !bundle.is_empty() {
        errors.invalid(&path, true, "may not be true if caBundle is present");
    }
}

pub fn api_service_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    api_service(new, errors);
}
