//! `pods/binding`: a pod gets its node, once and for all.
//!
//! Picture to hold in mind: a room key handed over at the desk. It is handed over once; the guest's card then carries
//! the floor as well (the node's zone and region).
//!
//! Follows `BindingREST` of `pkg/registry/core/pod/storage/storage.go` and the admission plugin PodTopologyLabels.

use std::sync::Arc;

use crate::api::field::{FieldError, FieldPath, aggregate};
use crate::api::kind::GroupResource;
use crate::api::status::{Reason, Status};
use crate::api::{Value, meta};
use crate::language::Context;
use crate::object;

use crate::apiserver::ApiServer;
use crate::apiserver::admission::{Attributes, Operation};
use crate::apiserver::catalog::{Route, below};
use crate::apiserver::cycle::{Change, Current, Cycle, Job};
use crate::apiserver::exchange::{Exchange, Step};
use crate::apiserver::update::timestamp;

impl ApiServer {
    pub(super) fn begin_binding(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let mut binding = request.body.clone();
        if meta::name(&binding) != request.name.as_str() {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        let mut errors = Vec::new();
        let target = FieldPath::new("target");
        let kind = binding.text("target.kind");
        if !matches!(kind, "" | "Node") {
            errors.push(FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
        }
        if binding.text("target.name").is_empty() {
            errors.push(FieldError::required(&target.child("name"), ""));
        }
        if let Some(text) = aggregate(&errors) {
            return Err(Status::new(500, Reason::Unknown, text));
        }
        let mut attributes = Attributes {
            subresource: "binding".into(),
            ..Attributes::new(Operation::Create, &route.info, exchange)
        };
        self.mutate(&mut attributes, &mut binding, None, context)?;
        self.validate(&mut attributes, &binding, None, context)?;
        exchange.warnings.append(&mut attributes.warnings);
        let key = below(&route.info, &request.namespace, &request.name);
        self.write(exchange, Cycle::new(Job::Update(binding), cache, key), context)
    }

    pub(super) fn decide_binding(
        &mut self,
        exchange: &Exchange,
        binding: &Value,
        current: &Current,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let pod = &current.object;
        let name = meta::name(pod);
        let conflict =
            |message: String| Status::conflict(&GroupResource::new("", "pods/binding"), name, message);
        let (uid, revision) = (meta::uid(binding), binding.text("metadata.resourceVersion"));
        if !uid.is_empty() && uid != meta::uid(pod) {
            let message = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta::uid(pod)
            );
            return Err(Status::conflict(&GroupResource::new("", "pods"), name, message));
        }
        if !revision.is_empty() && revision != current.revision.to_string() {
            let message = format!(
                "Precondition failed: ResourceVersion in precondition: {revision}, ResourceVersion in object meta: {}",
                current.revision
            );
            return Err(Status::conflict(&GroupResource::new("", "pods"), name, message));
        }
        if meta::is_deleting(pod) {
            return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let node = pod.text("spec.nodeName");
        if !node.is_empty() {
            return Err(conflict(format!("pod {name} is already assigned to node \"{node}\"")));
        }
        if !pod.items("spec.schedulingGates").is_empty() {
            return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let _ = exchange;
        let mut bound = pod.clone();
        bound.set("spec.nodeName", binding.at("target.name"));
        bound.remove("status.nominatedNodeName");
        for (from, merge) in [
            (meta::annotations(binding), meta::set_annotation as fn(&mut Value, &str, Value)),
            (meta::labels(binding), meta::set_label as fn(&mut Value, &str, Value)),
        ] {
            for (key, value) in from.iter() {
                merge(&mut bound, key, value.clone());
            }
        }
        set_pod_condition(&mut bound, object! { "type" => "PodScheduled", "status" => "True" }, context);
        Ok(Change::Put(bound))
    }
}

/// `podutil.UpdatePodCondition`.
pub(super) fn set_pod_condition(pod: &mut Value, condition: Value, context: &Context) {
    let mut condition = condition.with("lastProbeTime", Value::Null);
    // A gate that was shut had a reason; an open one has none.
    if condition.text("status") == "True" {
        condition.set_default("lastTransitionTime", timestamp(context));
        if let Some(old) = meta::condition(pod, condition.text("type"))
            && old.text("status") == "True"
        {
            condition.set("lastTransitionTime", old.at("lastTransitionTime"));
        }
    }
    meta::set_condition(pod, &condition, &timestamp(context));
}
