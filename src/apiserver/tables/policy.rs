//! Who may do what, and by which rules: bindings, requests, classes, admission, flow control.
//!
//! Picture to hold in mind: the list of keys and who carries them.
//!
//! Follows the printers of these groups in `pkg/printers/internalversion/printers.go`, and the aggregator's of APIService.

use crate::api::{Value, meta, selector, time_format};
use crate::arrange::Gather;

use super::{Printer, name_of, number, text_or};

pub(super) fn cells(group: &str, kind: &str, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    let text = |path: &str| Value::from(object.text(path));
    let length = |path: &str| Value::from(object.items(path).len());
    Some(match (group, kind) {
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let subjects = |kind: &str| {
                let names: Vec<String> = object
                    .items("subjects")
                    .iter()
                    .filter(|subject| subject.text("kind") == kind)
                    .map(|subject| match (kind, subject.text("namespace")) {
                        ("ServiceAccount", namespace) if !namespace.is_empty() => {
                            format!("{namespace}/{}", subject.text("name"))
                        }
                        _ => subject.text("name").to_owned(),
                    })
                    .gather();
                Value::from(names.join(", "))
            };
            let role = object.at("roleRef");
            vec![
                name_of(object),
                format!("{}/{}", role.text("kind"), role.text("name")).into(),
                printer.age(object),
                subjects("User"),
                subjects("Group"),
                subjects("ServiceAccount"),
            ]
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            let duration = match object.integer("spec.expirationSeconds") {
                Some(seconds) => time_format::human_duration(seconds),
                None => "<none>".to_owned(),
            };
            let has = |kind: &str| meta::condition(object, kind).is_some();
            let mut condition = if has("Denied") {
                "Denied"
            } else if has("Approved") {
                "Approved"
            } else {
                "Pending"
            }
            .to_owned();
            if has("Failed") {
                condition += ",Failed";
            }
            if !object.text("status.certificate").is_empty() {
                condition += ",Issued";
            }
            vec![
                name_of(object),
                printer.age(object),
                text_or(object, "spec.signerName", "<none>").into(),
                text("spec.username"),
                duration.into(),
                condition.into(),
            ]
        }
        ("scheduling.k8s.io", "PriorityClass") => vec![
            name_of(object),
            number(object, "value").into(),
            object.is_true("globalDefault").into(),
            printer.age(object),
            text("preemptionPolicy"),
        ],
        ("node.k8s.io", "RuntimeClass") => vec![name_of(object), text("handler"), printer.age(object)],
        ("admissionregistration.k8s.io", kind) => match kind {
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                vec![name_of(object), length("webhooks"), printer.age(object)]
            }
            "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => {
                let parameter = object.at("spec.paramKind");
                let parameter = if parameter.is_null() {
                    "<unset>".to_owned()
                } else {
                    format!("{}/{}", parameter.text("apiVersion"), parameter.text("kind"))
                };
                let rules =
                    if kind == "ValidatingAdmissionPolicy" { "spec.validations" } else { "spec.mutations" };
                vec![name_of(object), length(rules), parameter.into(), printer.age(object)]
            }
            _ => {
                let reference = object.at("spec.paramRef");
                let parameter = match (reference.text("name"), reference.text("namespace")) {
                    ("", _) if reference.has("selector") => selector::format(reference.at("selector")),
                    ("", _) => "<unset>".to_owned(),
                    (name, "") => format!("*/{name}"),
                    (name, namespace) => format!("{namespace}/{name}"),
                };
                vec![name_of(object), text("spec.policyName"), parameter.into(), printer.age(object)]
            }
        },
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => vec![
            name_of(object),
            text("spec.priorityLevelConfiguration.name"),
            number(object, "spec.matchingPrecedence").into(),
            text_or(object, "spec.distinguisherMethod.type", "<none>").into(),
            printer.age(object),
            meta::condition(object, "Dangling").map_or("?", |condition| condition.text("status")).into(),
        ],
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            let or_none = |path: &str| match object.at(path) {
                Value::Null => Value::from("<none>"),
                value => value.clone(),
            };
            vec![
                name_of(object),
                text("spec.type"),
                or_none("spec.limited.nominalConcurrencyShares"),
                or_none("spec.limited.limitResponse.queuing.queues"),
                or_none("spec.limited.limitResponse.queuing.handSize"),
                or_none("spec.limited.limitResponse.queuing.queueLengthLimit"),
                printer.age(object),
            ]
        }
        ("apiregistration.k8s.io", "APIService") => {
            let service = object.at("spec.service");
            let service = if service.is_null() {
                "Local".to_owned()
            } else {
                format!("{}/{}", service.text("namespace"), service.text("name"))
            };
            let available = match meta::condition(object, "Available") {
                None => "Unknown".to_owned(),
                Some(condition) if condition.text("status") == "True" => "True".to_owned(),
                Some(condition) => format!("{} ({})", condition.text("status"), condition.text("reason")),
            };
            vec![name_of(object), service.into(), available.into(), printer.age(object)]
        }
        _ => return None,
    })
}
