//! Who may say which devices a claim has got, and who may use them as their administrator.
//!
//! Picture to hold in mind: the counter of a hire shop: the clerk writes down which machine goes out, the mechanic only
//! how the machine fares.
//!
//! Follows `pkg/registry/resource/utils.go`. That an account may speak for the node on which its pod runs is not looked at.

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::ResourceInfo;
use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::arrange::Arrange;

use super::ApiServer;
use super::access::{Question, forbidden};
use super::exchange::Exchange;
use super::rbac::Verdict;

const ADMIN: &str = "resource.kubernetes.io/admin-access";

impl ApiServer {
    /// Of a claim or a template: `old` is what it was before, `Null` for a new one.
    pub(super) fn check_claim(
        &self,
        exchange: &Exchange,
        info: &ResourceInfo,
        object: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        if info.group != "resource.k8s.io" {
            return Ok(());
        }
        let is_status = exchange.request.subresource == "status";
        let mut errors = Vec::new();
        let (list, field) = match (info.kind.as_str(), is_status) {
            ("ResourceClaim", false) => ("spec.devices.requests", "exactly.adminAccess"),
            ("ResourceClaimTemplate", false) => ("spec.spec.devices.requests", "exactly.adminAccess"),
            ("ResourceClaim", true) => ("status.allocation.devices.results", "adminAccess"),
            _ => return Ok(()),
        };
        let asked = |object: &Value| object.items(list).iter().position(|one| one.is_true(field));
        let is_granted = asked(old).is_some();
        let asked = asked(object).filter(|_| !is_granted);
        let namespace = self.shelf(self.catalog.shelves.namespaces, meta::namespace(object));
        let is_open = namespace.is_some_and(|namespace| meta::label(namespace, ADMIN) == Some("true"));
        if let Some(index) = asked.filter(|_| !is_open) {
            // Upstream leaves out what lies between.
            let list = if is_status { list } else { "spec.devices.requests" };
            let words = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";
            let path = FieldPath::new(list);
            errors.push(FieldError::forbidden(&path.index(index).child("adminAccess"), words));
        }
        if is_status {
            self.check_claim_status(exchange, object.at("status"), old.at("status"), &mut errors);
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&info.group_kind(), meta::name(object), &errors))
    }

    /// What is allocated and to whom is the scheduler's to say; how a device fares, its driver's.
    fn check_claim_status(
        &self,
        exchange: &Exchange,
        status: &Value,
        old: &Value,
        errors: &mut Vec<FieldError>,
    ) {
        let user = &exchange.user;
        let path = FieldPath::new("status");
        let mut require = |field: &str, what: &str, shown: &str, question: &Question| {
            if let Verdict::NoOpinion { reason } = self.judge(question) {
                let refusal = forbidden(question, &reason).message;
                let resource = question.subresource;
                let words = format!(
                    "changing {what} requires resource=\"resourceclaims/{resource}\", verb=\"{shown}\" permission: {refusal}"
                );
                errors.push(FieldError::forbidden(&path.child(field), words));
            }
        };
        let verb = exchange.request.verb.name();
        let about = Question::about(user, verb, "resource.k8s.io", "resourceclaims");
        if status.at("allocation") != old.at("allocation")
            || status.items("reservedFor") != old.items("reservedFor")
        {
            let question = Question { subresource: "binding", ..about };
            require("allocation", "status.allocation or status.reservedFor", verb, &question);
        }
        if !status.has("allocation") {
            return;
        }
        let (new, old) = (status.items("devices"), old.items("devices"));
        let changed = new.iter().filter(|device| !old.contains(device));
        let gone = old.iter().filter(|device| !new.contains(device));
        let mut drivers: Vec<&str> = changed.chain(gone).map(|device| device.text("driver")).collect();
        drivers.arrange();
        drivers.dedup();
        let verb = ["arbitrary-node:", verb].concat();
        let shown = ["[", &verb, "]"].concat();
        for name in drivers {
            let namespace = &exchange.request.namespace;
            let question = Question { verb: &verb, subresource: "driver", namespace, name, ..about };
            require("devices", "status.devices", &shown, &question);
        }
    }
}
