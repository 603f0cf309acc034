//! NamespaceLifecycle: nothing is made in a namespace that is not there or on its way out.
//!
//! Picture to hold in mind: no new tenants in a house that is being pulled down, nor in one that was never built.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`.

use crate::api::Value;
use crate::api::kind::GroupResource;
use crate::api::status::Status;

use super::{Attributes, Operation};
use crate::apiserver::ApiServer;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl ApiServer {
    pub(super) fn check_namespace(&self, attributes: &Attributes, object: &Value) -> Result<(), Status> {
        if attributes.operation == Operation::Delete {
            if attributes.is("", "Namespace") && IMMORTAL.contains(&attributes.name.as_str()) {
                return Err(attributes.forbidden(object, "this namespace may not be deleted"));
            }
            return Ok(());
        }
        if !attributes.info.namespaced || attributes.namespace.is_empty() {
            return Ok(());
        }
        // Bindings and evictions are made, status is updated: only making counts.
        let Some(namespace) = self.shelf(self.catalog.shelves.namespaces, &attributes.namespace) else {
            return Err(Status::not_found(&GroupResource::new("", "namespaces"), &attributes.namespace));
        };
        if attributes.operation == Operation::Create && namespace.text("status.phase") == "Terminating" {
            let name = &attributes.namespace;
            let message =
                format!("unable to create new content in namespace {name} because it is being terminated");
            let status = attributes.forbidden(object, message).with_cause(
                "NamespaceTerminating",
                &format!("namespace {name} is being terminated"),
                "metadata.namespace",
            );
            return Err(status);
        }
        Ok(())
    }
}
