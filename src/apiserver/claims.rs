//! Who may say which devices a claim has got, and who may use them as their administrator.
//!
//! Picture to hold in mind: the counter of a hire shop: the clerk writes down which machine goes out, the mechanic only
//! how the machine fares.
//!
//! Follows `pkg/registry/resource/utils.go`.

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::ResourceInfo;
use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::arrange::Arrange;

use super::ApiServer;
use super::access::{Question, associated_node, forbidden};
use super::exchange::Exchange;
use super::rbac::Verdict;

const ADMIN: &str = "resource.kubernetes.io/admin-access";

/// The one node on which what is allocated can be used.
fn node_of_allocation(allocation: &Value) -> Option<&str> {
    let [term] = allocation.items("nodeSelector.nodeSelectorTerms") else { return None };
    let ([], [field]) = (term.items("matchExpressions"), term.items("matchFields")) else { return None };
    let [node] = field.items("values") else { return None };
    let is_name = field.text("key") == "metadata.name" && field.text("operator") == "In";
    node.as_str().filter(|_| is_name)
}

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
        let any = ["arbitrary-node:", verb].concat();
        let own = ["associated-node:", verb].concat();
        let node = node_of_allocation(status.at("allocation"));
        let is_own = node.is_some() && associated_node(user) == node;
        // What is wrong with the first of the ways is told.
        let (first, shown) = match is_own {
            true => (&own, ["[", &own, " ", &any, "]"].concat()),
            false => (&any, ["[", &any, "]"].concat()),
        };
        for name in drivers {
            let namespace = &exchange.request.namespace;
            let question = Question { verb: &any, subresource: "driver", namespace, name, ..about };
            if is_own && matches!(self.judge(&question), Verdict::Allowed { .. }) {
                continue;
            }
            require("devices", "status.devices", &shown, &Question { verb: first, ..question });
        }
    }
}
