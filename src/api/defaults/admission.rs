//! Webhook configurations, admission policies and CustomResourceDefinitions.
//!
//! Picture to hold in mind: a guard's standing instructions: fail closed, look at everything that is equivalent,
//! wait ten seconds for the outside expert.
//!
//! Follows `pkg/apis/admissionregistration/v1/defaults.go` and
//! `staging/src/k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/defaults.go`.

use super::edit::{each, fill, missing, null, present, within};
use crate::api::value::Value;
use crate::{array, object};

pub fn apply(kind: &str, object: &mut Value) {
    match kind {
        "ValidatingWebhookConfiguration" => each(object, "webhooks", webhook),
        "MutatingWebhookConfiguration" => each(object, "webhooks", |entry| {
            webhook(entry);
            missing(entry, "reinvocationPolicy", "Never");
        }),
        "ValidatingAdmissionPolicy" => {
            present(object, "status");
            missing(object, "spec.failurePolicy", "Fail");
            within(object, "spec.matchConstraints", match_resources);
        }
        "MutatingAdmissionPolicy" => {
            missing(object, "spec.failurePolicy", "Fail");
            within(object, "spec.matchConstraints", match_resources);
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            within(object, "spec.matchResources", match_resources);
        }
        _ => {}
    }
}

fn webhook(webhook: &mut Value) {
    missing(webhook, "failurePolicy", "Fail");
    missing(webhook, "matchPolicy", "Equivalent");
    present(webhook, "namespaceSelector");
    present(webhook, "objectSelector");
    missing(webhook, "timeoutSeconds", 10);
    present(webhook, "clientConfig");
    within(webhook, "clientConfig.service", |service| missing(service, "port", 443));
    each(webhook, "rules", rule);
}

fn rule(rule: &mut Value) {
    missing(rule, "scope", "*");
}

fn match_resources(resources: &mut Value) {
    missing(resources, "matchPolicy", "Equivalent");
    present(resources, "namespaceSelector");
    present(resources, "objectSelector");
    each(resources, "resourceRules", rule);
    each(resources, "excludeResourceRules", rule);
}

pub fn custom_resource_definition(definition: &mut Value) {
    fill(definition, "spec.conversion.strategy", "None");
    within(definition, "spec.conversion.webhook.clientConfig.service", |service| {
        missing(service, "port", 443)
    });
    if definition.text("spec.names.singular").is_empty() {
        let singular = definition.text("spec.names.kind").to_ascii_lowercase();
        definition.set("spec.names.singular", singular);
    }
    if definition.text("spec.names.listKind").is_empty() && !definition.text("spec.names.kind").is_empty() {
        let list = format!("{}List", definition.text("spec.names.kind"));
        definition.set("spec.names.listKind", list);
    }
    each(definition, "spec.versions", |version| {
        missing(version, "served", false);
        missing(version, "storage", false);
    });
    if !definition.has("status.acceptedNames") {
        definition.set("status.acceptedNames", object! { "plural" => "", "kind" => "" });
    }
    within(definition, "status", |status| null(status, "conditions"));
    if definition.items("status.storedVersions").is_empty() {
        let stored = definition.items("spec.versions").iter().find(|version| version.is_true("storage"));
        if let Some(name) = stored.map(|version| version.shared_text("name")) {
            definition.set("status.storedVersions", array![name]);
        }
    }
}
