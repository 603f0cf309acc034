//! Update and patch: from the object as it is to the object as it is wanted.
//!
//! Picture to hold in mind: an amendment. It may quote the number of the version it amends; if that is no longer the
//! newest one it is sent back. Some lines (when the object was born, who it is) cannot be amended at all.
//!
//! Follows `Store.Update` of `pkg/registry/generic/registry/store.go`, `pkg/registry/rest/update.go` and
//! `pkg/endpoints/handlers/{update,patch}.go`.

use std::sync::Arc;

use crate::api::field::{FieldError, FieldPath};
use crate::api::status::Status;
use crate::api::{Text, Value, meta, time};
use crate::language::Context;
use crate::message::rest::{PatchType, Request, Verb};

use super::ApiServer;
use super::admission::{Attributes, Operation};
use super::catalog::{Route, below};
use super::create::settle_namespace;
use super::cycle::{Change, Current, Cycle, Job};
use super::exchange::{Exchange, Step};
use super::seam;

impl ApiServer {
    pub(super) fn begin_update(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        if request.name.is_empty() {
            return Err(Status::bad_request("name is required"));
        }
        let body = if request.verb == Verb::Update {
            let key = below(&route.info, &request.namespace, &request.name);
            let old = self.shelf(cache, &key).cloned();
            self.read_body(exchange, route, &request, old.as_ref())?
        } else {
            Value::Null
        };
        let key = below(&route.info, &request.namespace, &request.name);
        self.write(exchange, Cycle::new(Job::Update(body), cache, key), context)
    }

    /// The body of a PUT, decoded, defaulted, and about the object that the URL names.
    fn read_body(
        &self,
        exchange: &mut Exchange,
        route: &Route,
        request: &Request,
        old: Option<&Value>,
    ) -> Result<Value, Status> {
        let mut object = seam::decode(&route.info, request, &request.body, old, &mut exchange.warnings)?;
        settle_namespace(route, &mut object, &request.namespace)?;
        check_name(&mut object, request)?;
        seam::default_beside(&route.info, &mut object, old);
        Ok(object)
    }

    pub(super) fn decide_update(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        body: Value,
        current: Option<&Current>,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let info = &route.info;
        let request = Arc::clone(&exchange.request);
        let resource = info.group_resource();
        self.see_anew(exchange.id);
        let Some(current) = current else {
            return self.create_on_update(exchange, route, cycle, body, context);
        };
        if let Some(change) = self.decide_special_update(exchange, route, cycle, &body, current, context) {
            return change;
        }
        let old = &match &info.definition {
            Some(kind) => super::custom::shown(kind, &request.resource.version, &current.object),
            None => current.object.clone(),
        };
        let mut object = match request.verb {
            Verb::Patch(kind) => self.patched(route, &request, kind, old, &mut cycle.warnings, context)?,
            _ => body,
        };
        if request.verb != Verb::Patch(PatchType::Apply) {
            if self.tracks_fields(&exchange.user) {
                seam::manage_fields(info, &request, &mut object, old, context.now());
            } else {
                keep(&mut object, old, "managedFields");
            }
        }
        if request.subresource.is_empty() || request.subresource == "status" {
            let mut attributes = Attributes::new(Operation::Update, &route.info, exchange);
            self.mutate(&mut attributes, &mut object, Some(old), context)?;
        }
        self.see(exchange.id, "Preconditions", &object);
        let revision = object.text("metadata.resourceVersion");
        if revision.is_empty() || revision == "0" {
            if !seam::allows_unconditional_update(info) {
                let error = FieldError::invalid(
                    &FieldPath::new("metadata.resourceVersion"),
                    0,
                    "must be specified for an update",
                );
                return Err(Status::invalid(&info.group_kind(), &request.name, &[error]));
            }
        } else if revision != current.revision.to_string() {
            return Err(Status::modified_conflict(&resource, &request.name));
        }
        let uid = meta::uid(&object);
        if !uid.is_empty() && uid != meta::uid(old) {
            let message = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta::uid(old)
            );
            return Err(Status::conflict(&resource, &request.name, message));
        }
        meta::set_resource_version(&mut object, current.revision);
        self.settle_update(exchange, route, cycle, object, old, context)
    }

    /// What every update goes through once it is known what is wanted: `rest.BeforeUpdate`, validating admission,
    /// and the removal of an object whose last finalizer it takes.
    pub(super) fn settle_update(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        mut object: Value,
        old: &Value,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let info = &route.info;
        let request = Arc::clone(&exchange.request);
        self.see(exchange.id, "Strategy", &object);
        keep_system_fields(&mut object, old);
        seam::prepare_for_update(info, &request.subresource, &mut object, old, context.now());
        self.allocate_for_update(exchange.id, info, &mut object, old, cycle, context)?;
        self.keep_from_escalating(exchange, info, &object, Some(old))?;
        self.check_claim(exchange, info, &object, old)?;
        self.see(exchange.id, "Validation", &object);
        seam::validate_update(info, &request.subresource, &object, old)?;
        if request.subresource.is_empty() {
            cycle.warnings.extend(seam::warnings(info, &object, Some(old)));
        }
        let mut attributes = Attributes::new(Operation::Update, &route.info, exchange);
        self.validate(&mut attributes, &object, Some(old), context)?;
        cycle.companions.append(&mut attributes.companions);
        cycle.warnings.append(&mut attributes.warnings);
        self.see(exchange.id, "Storage", &object);
        if is_emptied(info, &object, old) {
            self.release_on_delete(info, old, cycle);
            return Ok(Change::Remove(object));
        }
        if same(&object, old) {
            return Ok(Change::Same(old.clone()));
        }
        self.convertible(info, &info.storage_version, &object)?;
        Ok(Change::Put(super::custom::stored(info, object)))
    }

    /// A PUT, or an apply, of what is not there: made, where the kind allows that.
    fn create_on_update(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        body: Value,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let info = &route.info;
        let request = Arc::clone(&exchange.request);
        let is_apply = request.verb == Verb::Patch(PatchType::Apply);
        let may = request.subresource.is_empty()
            && (is_apply || (request.verb == Verb::Update && seam::allows_create_on_update(info)));
        if !may {
            return Err(Status::not_found(&info.group_resource(), &request.name));
        }
        let mut object = if is_apply {
            let applied = seam::patch(info, &request, PatchType::Apply, &Value::Null, context.now())?;
            let mut object = seam::decode(info, &request, &applied, None, &mut cycle.warnings)?;
            settle_namespace(route, &mut object, &request.namespace)?;
            check_name(&mut object, &request)?;
            seam::default(info, &mut object);
            object
        } else {
            body
        };
        let uid = meta::uid(&object);
        if !uid.is_empty() {
            let message = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
            return Err(Status::conflict(&info.group_resource(), &request.name, message));
        }
        if self.tracks_fields(&exchange.user) && !is_apply {
            seam::manage_fields(info, &request, &mut object, &Value::Null, context.now());
        }
        let mut attributes = Attributes::new(Operation::Create, &route.info, exchange);
        self.mutate(&mut attributes, &mut object, None, context)?;
        let mut exchange = exchange.clone();
        self.finish_create(&mut exchange, route, cycle, object, context).map(Change::Create)
    }

    /// The current object with a patch applied: in the version of the request, defaulted again.
    fn patched(
        &self,
        route: &Route,
        request: &Request,
        kind: PatchType,
        old: &Value,
        warnings: &mut Vec<Text>,
        context: &mut Context,
    ) -> Result<Value, Status> {
        let info = &route.info;
        let shown = super::form::Form::new(info, request).object(old);
        let patched = seam::patch(info, request, kind, &shown, context.now())?;
        let mut object = seam::decode_patched(info, request, kind, &patched, old, warnings)?;
        settle_namespace(route, &mut object, &request.namespace)?;
        check_name(&mut object, request)?;
        seam::default_beside(info, &mut object, Some(old));
        Ok(object)
    }
}

/// Puts back a field of the metadata as it was.
fn keep(object: &mut Value, old: &Value, name: &str) {
    let before = old.at("metadata").get(name);
    let after = object.at("metadata").get(name);
    match (before, after) {
        (None, None) => {}
        (Some(before), Some(after)) if before.is_same(after) => {}
        _ => take(object.at_mut("metadata"), old.at("metadata"), name),
    }
}

/// Makes the field `name` of `object` what it is in `other`, be it null or absent.
pub(super) fn take(object: &mut Value, other: &Value, name: &str) {
    match other.get(name) {
        Some(value) => object.make_object().insert(name, value),
        None => drop(object.make_object().remove(name)),
    }
}

/// The body must be about the object that the URL names.
fn check_name(object: &mut Value, request: &Request) -> Result<(), Status> {
    let name = meta::name(object);
    if name.is_empty() {
        object.set("metadata.name", &request.name);
        return Ok(());
    }
    if name != request.name.as_str() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name
        )));
    }
    Ok(())
}

/// What an update can neither change nor remove.
fn keep_system_fields(object: &mut Value, old: &Value) {
    for name in ["uid", "creationTimestamp", "deletionTimestamp", "generation"] {
        if object.at("metadata").get(name) != old.at("metadata").get(name) {
            keep(object, old, name);
        }
    }
    if !old.has("metadata.deletionTimestamp") || !object.has("metadata.deletionGracePeriodSeconds") {
        keep(object, old, "deletionGracePeriodSeconds");
    }
    object.remove("metadata.selfLink");
}

/// Whether the update takes the last finalizer of an object that waits to be gone (`ShouldDeleteDuringUpdate`).
fn is_emptied(info: &crate::api::kind::ResourceInfo, object: &Value, old: &Value) -> bool {
    meta::is_deleting(old)
        && object.items("metadata.finalizers").is_empty()
        && old.integer("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (info.kind != "Namespace" || !info.group.is_empty() || object.items("spec.finalizers").is_empty())
}

/// Equal, looking only where the two do not share their branches.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    if a.is_same(b) {
        return true;
    }
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right.iter()).all(|((key, a), (other, b))| key == other && same(a, b))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(a, b)| same(a, b))
        }
        _ => a == b,
    }
}

/// The seconds that timestamps print.
pub(super) fn timestamp(context: &Context) -> Text {
    time::rfc3339(context.now())
}
