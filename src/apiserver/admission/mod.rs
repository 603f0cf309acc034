//! Admission: what policy fills in, and what it refuses.
//!
//! Picture to hold in mind: a row of inspectors with one rubber stamp each. Those who may change the form stand first, those
//! who only say yes or no stand behind; each knows one rule.
//!
//! Follows `pkg/kubeapiserver/options/plugins.go` (the default plugins and their order) and `plugin/pkg/admission`.

mod certificates;
mod limit_ranger;
mod mutating_policy;
mod namespaces;
mod node_restriction;
mod pod_security;
mod pods;
mod policy;
mod quota;
mod service_account;
mod storage;
mod validating_policy;
mod webhooks;

use std::cell::Cell;
use std::sync::Arc;

use crate::api::cel::Budget;
use crate::api::kind::ResourceInfo;
use crate::api::status::Status;
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::message::rest::{Request, User};

use super::ApiServer;
use super::cycle::Companion;
use super::exchange::Exchange;
use super::watchers::ExchangeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// What the inspectors are told besides the object.
pub(crate) struct Attributes<'a> {
    pub operation: Operation,
    pub info: &'a ResourceInfo,
    pub namespace: Text,
    pub name: Text,
    pub subresource: Text,
    pub dry_run: bool,
    pub request: Arc<Request>,
    /// Who asks, after impersonation.
    pub user: Arc<User>,
    /// What is to be written together with the object.
    pub companions: Vec<Companion>,
    /// `Warning` headers of the answer.
    pub warnings: Vec<Text>,
    /// Of the audit event.
    pub annotations: Vec<(Text, Text)>,
    pub exchange: ExchangeId,
    /// What is left of the steps that all expressions together may take.
    pub steps: Cell<usize>,
}

impl<'a> Attributes<'a> {
    /// Of the object that a request names.
    pub(crate) fn new(operation: Operation, info: &'a ResourceInfo, exchange: &Exchange) -> Attributes<'a> {
        let request = &exchange.request;
        Attributes {
            operation,
            info,
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            subresource: request.subresource.clone(),
            dry_run: request.options.dry_run,
            request: Arc::clone(request),
            user: Arc::clone(&exchange.user),
            companions: Vec::new(),
            warnings: Vec::new(),
            annotations: Vec::new(),
            exchange: exchange.id,
            steps: Cell::new(Budget::WHOLE.steps),
        }
    }
    /// Something that the audit event is to tell; what it tells of `key` already stays.
    fn annotate(&mut self, key: &str, value: impl Into<Text>) {
        self.annotations.push((key.into(), value.into()));
    }
    /// Whether it is about `kind` of `group` itself, not one of its subresources.
    fn is(&self, group: &str, kind: &str) -> bool {
        self.subresource.is_empty() && self.info.kind == kind && self.info.group == group
    }
    fn is_subresource(&self, plural: &str, subresource: &str) -> bool {
        self.subresource == subresource && self.info.plural == plural && self.info.group.is_empty()
    }
    /// `admission.NewForbidden`.
    fn forbidden(&self, object: &Value, error: impl std::fmt::Display) -> Status {
        let name = [self.name.as_str(), meta::name(object), meta::generate_name(object)]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("Unknown");
        Status::forbidden(&self.info.group_resource(), name, error)
    }
}

impl ApiServer {
    /// Mutating admission: the plugins that may change the object, in order, and all once more when a policy has
    /// changed something.
    pub(super) fn mutate(
        &mut self,
        attributes: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
        context: &mut Context,
    ) -> Result<(), Status> {
        self.mutate_in_tree(attributes, object, old, context)?;
        if let Some(again) = self.mutate_by_policies(attributes, object, old, None)? {
            self.mutate_in_tree(attributes, object, old, context)?;
            self.mutate_by_policies(attributes, object, old, Some(&again))?;
        }
        self.see(attributes.exchange, "MutatingAdmissionWebhook", object);
        self.call_webhooks(attributes, self.catalog.shelves.mutating_webhooks, object, old)
    }

    fn mutate_in_tree(
        &mut self,
        attributes: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
        context: &mut Context,
    ) -> Result<(), Status> {
        let is_create = attributes.operation == Operation::Create;
        let exchange = attributes.exchange;
        self.see(exchange, "NamespaceLifecycle", object);
        if is_create {
            super::definitions::refuse_creation(attributes.info, &attributes.name)?;
        }
        self.check_namespace(attributes, object)?;
        if is_create && attributes.is("", "Pod") {
            self.see(exchange, "LimitRanger", object);
            self.default_limits(attributes, object);
            self.check_limits(attributes, object)?;
            self.see(exchange, "ServiceAccount", object);
            self.mount_service_account(attributes, object, context)?;
        }
        self.see(exchange, "NodeRestriction", object);
        self.restrict_node(attributes, object, old)?;
        if is_create && attributes.is("", "Node") {
            self.see(exchange, "TaintNodesByCondition", object);
            pods::taint_new_node(object);
        }
        if attributes.is("", "Pod") {
            self.see(exchange, "Priority", object);
            self.set_priority(attributes, object, old)?;
            self.see(exchange, "DefaultTolerationSeconds", object);
            pods::tolerate_node_problems(object);
        }
        if is_create {
            let is_ingress = attributes.info.kind == "Ingress";
            let plugin = if is_ingress { "DefaultIngressClass" } else { "DefaultStorageClass" };
            self.see(exchange, plugin, object);
            self.choose_classes(attributes, object)?;
            self.see(exchange, "StorageObjectInUseProtection", object);
            storage::protect(attributes, object);
            if attributes.is("", "Pod") {
                self.see(exchange, "RuntimeClass", object);
                self.apply_runtime_class(attributes, object)?;
            }
        }
        self.see(exchange, "PodTopologyLabels", object);
        self.label_topology(attributes, object);
        self.see(exchange, "MutatingAdmissionPolicy", object);
        Ok(())
    }

    /// Validating admission: the plugins that look at the finished object (`Null` for a deletion).
    pub(super) fn validate(
        &mut self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
        context: &mut Context,
    ) -> Result<(), Status> {
        let result = self.run_validation(attributes, object, old, context);
        if self.config.audits && !attributes.annotations.is_empty() {
            let kept = self.annotations.entry(attributes.exchange).or_default();
            for (key, value) in attributes.annotations.drain(..) {
                if !kept.iter().any(|(own, _)| *own == key) {
                    kept.push((key, value));
                }
            }
        }
        result
    }

    fn run_validation(
        &mut self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
        context: &mut Context,
    ) -> Result<(), Status> {
        let exchange = attributes.exchange;
        match attributes.operation {
            Operation::Delete => {
                self.see(exchange, "NamespaceLifecycle", object);
                self.check_namespace(attributes, old.unwrap_or(object))?;
                self.see(exchange, "NodeRestriction", object);
                self.restrict_node(attributes, object, old)?;
                self.see(exchange, "MutatingAdmissionWebhook", object);
                let shelves = self.catalog.shelves;
                self.call_webhooks(attributes, shelves.mutating_webhooks, object, old)?;
                self.see(exchange, "ValidatingAdmissionPolicy", object);
                self.check_policies(attributes, object, old)?;
                self.see(exchange, "ValidatingAdmissionWebhook", object);
                self.call_webhooks(attributes, shelves.validating_webhooks, object, old)
            }
            _ => {
                if attributes.operation == Operation::Create && attributes.is("", "Pod") {
                    self.see(exchange, "LimitRanger", object);
                    self.check_limits(attributes, object)?;
                }
                self.see(exchange, "PodSecurity", object);
                self.check_pod_security(attributes, object, old)?;
                if attributes.is("", "PersistentVolumeClaim") {
                    self.see(exchange, "LimitRanger", object);
                    self.check_claim_limits(attributes, object)?;
                    if let Some(old) = old {
                        self.see(exchange, "PersistentVolumeClaimResize", object);
                        self.check_claim_resize(attributes, object, old)?;
                    }
                }
                self.check_certificates(attributes, object, old)?;
                if let Some(old) = old.filter(|_| attributes.is_subresource("pods", "resize")) {
                    self.see(exchange, "PodResizeValidator", object);
                    self.check_resize(attributes, object, old)?;
                }
                if attributes.is("scheduling.k8s.io", "PriorityClass") {
                    self.see(exchange, "Priority", object);
                    self.check_priority_class(attributes, object)?;
                }
                self.see(exchange, "ValidatingAdmissionPolicy", object);
                self.check_policies(attributes, object, old)?;
                self.see(exchange, "ValidatingAdmissionWebhook", object);
                self.call_webhooks(attributes, self.catalog.shelves.validating_webhooks, object, old)?;
                self.see(exchange, "ResourceQuota", object);
                self.check_quota(attributes, object, old, context.now())
            }
        }
    }
}
