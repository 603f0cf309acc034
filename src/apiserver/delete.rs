//! Delete: at once, gracefully, or only marked until the last finalizer is gone.
//!
//! Picture to hold in mind: a tenant giving notice. Some leave at once; a pod has a notice period in which its kubelet
//! packs; and whoever still holds a key (a finalizer) must hand it back before the name comes off the door.
//!
//! Follows `Store.Delete` and `DeleteCollection` of `pkg/registry/generic/registry/store.go`,
//! `pkg/registry/rest/delete.go` and the pod and namespace strategies.

use std::sync::Arc;

use crate::api::kind::ResourceInfo;
use crate::api::status::Status;
use crate::api::{Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::rest::Request;
use crate::object;
use crate::sim::Duration;

use super::ApiServer;
use super::admission::{Attributes, Operation};
use super::catalog::{Route, below};
use super::cycle::{Change, Current, Cycle, Job};
use super::exchange::{Answer, Exchange, Step};
use super::filter::Filter;
use super::form::Form;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

#[derive(Clone, Copy, PartialEq)]
enum Propagation {
    Orphan,
    Background,
    Foreground,
}

/// What the client wants, and how far it has come.
#[derive(Clone)]
pub(crate) struct Deletion {
    grace_period_seconds: Option<i64>,
    propagation: Option<Propagation>,
    uid: Text,
    resource_version: Text,
    /// The object has been marked and holds nobody any more: now it goes.
    is_final: bool,
    /// The mark is to be followed by the removal.
    then_remove: bool,
    /// The last state that is known, in case the object vanishes on its own.
    last: Option<Value>,
}

/// A deletion of many, one after another.
#[derive(Clone)]
pub(crate) struct Collection {
    pub deletion: Deletion,
    fresh: Deletion,
    /// Keys still to do, the next one last.
    remaining: Vec<Text>,
    deleted: Vec<Value>,
}

impl Deletion {
    /// Out of the query and the DeleteOptions in the body; the body's word counts where both speak.
    pub(crate) fn read(request: &Request) -> Result<Deletion, Status> {
        let options = &request.options;
        let body = &request.body;
        let mut policy = options.propagation_policy.clone();
        if let Some(text) = body.at("propagationPolicy").as_str() {
            policy = text.into();
        }
        let mut propagation = match policy.as_str() {
            "" => None,
            "Orphan" => Some(Propagation::Orphan),
            "Background" => Some(Propagation::Background),
            "Foreground" => Some(Propagation::Foreground),
            other => {
                use crate::api::field::{FieldError, FieldPath};
                let error = FieldError::not_supported(
                    &FieldPath::new("propagationPolicy"),
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                let kind = crate::api::kind::GroupKind::new("meta.k8s.io", "DeleteOptions");
                return Err(Status::invalid(&kind, "", &[error]));
            }
        };
        match body.at("orphanDependents").as_bool() {
            Some(true) => propagation = Some(Propagation::Orphan),
            Some(false) => propagation = Some(Propagation::Background),
            None => {}
        }
        let or = |path: &str, option: &Text| match body.at(path).as_str() {
            Some(text) => Text::from(text),
            None => option.clone(),
        };
        Ok(Deletion {
            grace_period_seconds: body.integer("gracePeriodSeconds").or(options.grace_period_seconds),
            propagation,
            uid: or("preconditions.uid", &options.precondition_uid),
            resource_version: or("preconditions.resourceVersion", &options.precondition_resource_version),
            is_final: false,
            then_remove: false,
            last: None,
        })
    }
    /// The server itself has just changed the object: the precondition follows.
    pub(crate) fn after_own_change(mut self, revision: u64) -> Deletion {
        if !self.resource_version.is_empty() {
            self.resource_version = Text::from(revision.to_string());
        }
        self
    }
    /// Whether the object as it is meets the preconditions.
    pub(crate) fn check(&self, info: &ResourceInfo, object: &Value) -> Result<(), Status> {
        // Upstream names the kind where other errors name the resource.
        let kind = crate::api::kind::GroupResource::new(&info.group, &info.kind);
        let (uid, revision) = (meta::uid(object), object.text("metadata.resourceVersion"));
        if !self.uid.is_empty() && self.uid != uid {
            let message = format!(
                "the UID in the precondition ({}) does not match the UID in record ({uid}). The object might have been deleted and then recreated",
                self.uid
            );
            return Err(Status::conflict(&kind, meta::name(object), message));
        }
        if !self.resource_version.is_empty() && self.resource_version != revision {
            let message = format!(
                "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record ({revision}). The object might have been modified",
                self.resource_version
            );
            return Err(Status::conflict(&kind, meta::name(object), message));
        }
        Ok(())
    }
    /// The finalizers that the garbage collector needs for the wished propagation.
    fn finalizers(&self, info: &ResourceInfo, object: &Value) -> Vec<Text> {
        let has = |finalizer: &str| meta::has_finalizer(object, finalizer);
        let (orphan, foreground) = match self.propagation {
            // Events own nothing (`rest.Unsupported`).
            _ if info.kind == "Event" => (false, false),
            Some(propagation) => (propagation == Propagation::Orphan, propagation == Propagation::Foreground),
            None if has(ORPHAN) => (true, false),
            None if has(FOREGROUND) => (false, true),
            None => (orphans_by_default(info), false),
        };
        let mut finalizers: Vec<Text> = meta::finalizers(object)
            .filter(|finalizer| ![ORPHAN, FOREGROUND].contains(finalizer))
            .map(Text::from)
            .collect();
        if orphan {
            finalizers.push(ORPHAN.into());
        }
        if foreground {
            finalizers.push(FOREGROUND.into());
        }
        finalizers
    }
}

/// For old clients' sake jobs and replication controllers leave their pods behind (`DefaultGarbageCollectionPolicy`).
fn orphans_by_default(info: &ResourceInfo) -> bool {
    matches!((info.group.as_str(), info.kind.as_str()), ("batch", "Job") | ("", "ReplicationController"))
}

/// Kinds that answer a deletion with the object (`ReturnDeletedObject`); others with a `Status`.
fn returns_object(info: &ResourceInfo) -> bool {
    matches!(
        (info.group.as_str(), info.plural.as_str()),
        (
            "",
            "namespaces"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "pods"
                | "podtemplates"
                | "resourcequotas"
                | "services"
                | "serviceaccounts"
        ) | (
            "resource.k8s.io",
            "deviceclasses" | "resourceclaims" | "resourceclaimtemplates" | "resourceslices"
        ) | (
            "storage.k8s.io",
            "csidrivers" | "csinodes" | "storageclasses" | "volumeattachments" | "volumeattributesclasses"
        )
    )
}

impl ApiServer {
    pub(super) fn begin_delete(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let deletion = Deletion::read(&request)?;
        if route.info.kind == "Job" && route.info.group == "batch" && deletion.propagation.is_none() {
            exchange.warnings.push(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
                    .into(),
            );
        }
        let key = below(&route.info, &request.namespace, &request.name);
        self.write(exchange, Cycle::new(Job::Delete(deletion), cache, key), context)
    }

    pub(super) fn begin_delete_collection(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let deletion = Deletion::read(&request)?;
        let filter = Filter::new(&route.info, &request)?;
        let mut remaining: Vec<Text> = match self.caches.get(cache) {
            Some(cache) => cache
                .list(&filter.namespace)
                .filter(|(_, object)| !filter.has_selector() || filter.matches(object))
                .map(|(key, _)| key.clone())
                .collect(),
            None => Vec::new(),
        };
        remaining.reverse();
        let collection = Collection { fresh: deletion.clone(), deletion, remaining, deleted: Vec::new() };
        let cycle = Cycle::new(Job::Collection(Box::new(collection)), cache, Text::new());
        self.delete_next(exchange, route, cycle, context)
    }

    /// The next of a collection, or the answer when there is none left.
    fn delete_next(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        mut cycle: Box<Cycle>,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let Job::Collection(collection) = &mut cycle.job else {
            return Err(Status::internal_error("not a collection"));
        };
        let Some(key) = collection.remaining.pop() else {
            let items = std::mem::take(&mut collection.deleted);
            let metadata = object! { "resourceVersion" => self.feed.revision().to_string() };
            let form = Form::new(&route.info, &exchange.request);
            return Ok(Step::Answer(Answer::new(200, form.list(items, metadata, context.now()))));
        };
        collection.deletion = collection.fresh.clone();
        cycle.key = key;
        self.write(exchange, cycle, context)
    }

    pub(super) fn decide_delete(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        deletion: &mut Deletion,
        current: Option<&Current>,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let info = &route.info;
        let name = cycle.key.rsplit('/').next().unwrap_or("").to_owned();
        let Some(current) = current else {
            return match deletion.last.take() {
                // Somebody else was faster with what was left to do.
                Some(last) if deletion.is_final => Ok(Change::Same(last)),
                // What vanished from a collection on its own is gone, as was asked.
                _ if matches!(cycle.job, Job::Collection(_)) => Ok(Change::Same(Value::Null)),
                _ => Err(Status::not_found(&info.group_resource(), &name)),
            };
        };
        let object = &current.object;
        deletion.then_remove = false;
        if deletion.is_final {
            deletion.last = Some(object.clone());
            self.release_on_delete(info, object, cycle);
            return Ok(Change::Remove(object.clone()));
        }
        let mut attributes = Attributes {
            name: name.as_str().into(),
            subresource: Text::new(),
            ..Attributes::new(Operation::Delete, info, exchange)
        };
        self.validate(&mut attributes, &Value::Null, Some(object), context)?;
        cycle.warnings.append(&mut attributes.warnings);
        deletion.check(info, object)?;
        if info.kind == "Namespace" && info.group.is_empty() {
            return Ok(self.decide_delete_namespace(cycle, object, context));
        }
        if info.kind == "CustomResourceDefinition" && !info.custom && !meta::is_deleting(object) {
            let mut marked = object.clone();
            super::definitions::mark_for_deletion(&mut marked, context.now());
            return Ok(Change::Put(marked));
        }

        let mut marked = object.clone();
        let is_graceful = match grace(info, deletion, &mut marked, context) {
            Grace::Pending => return Ok(Change::Same(object.clone())),
            Grace::Graceful => true,
            Grace::None => false,
        };
        let finalizers = deletion.finalizers(info, object);
        let changes_finalizers = {
            let mut old: Vec<&str> = meta::finalizers(object).collect();
            let mut new: Vec<&str> = finalizers.iter().map(Text::as_str).collect();
            old.arrange();
            new.arrange();
            old != new
        };
        if changes_finalizers {
            if finalizers.is_empty() {
                marked.remove("metadata.finalizers");
            } else {
                marked.set("metadata.finalizers", Value::array(finalizers.iter().map(Value::from)));
            }
        }
        if !is_graceful {
            if finalizers.is_empty() {
                deletion.last = Some(object.clone());
                self.release_on_delete(info, object, cycle);
                return Ok(Change::Remove(object.clone()));
            }
            mark(&mut marked, context);
        }
        if super::update::same(&marked, object) {
            return Ok(Change::Same(object.clone()));
        }
        // A pod that nobody waits for is marked and then removed: its watchers see both.
        deletion.then_remove =
            finalizers.is_empty() && marked.integer("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0;
        Ok(Change::Put(marked))
    }

    /// A namespace is only marked; its controller empties it and then takes the finalizer `kubernetes`.
    fn decide_delete_namespace(
        &mut self,
        cycle: &mut Cycle,
        object: &Value,
        context: &mut Context,
    ) -> Change {
        let _ = cycle;
        if meta::is_deleting(object) {
            if object.items("spec.finalizers").is_empty() && object.items("metadata.finalizers").is_empty() {
                return Change::Remove(object.clone());
            }
            return Change::Same(object.clone());
        }
        let mut marked = object.clone();
        marked.set("metadata.deletionTimestamp", time::rfc3339(context.now()));
        marked.set("status.phase", "Terminating");
        Change::Put(marked)
    }

    /// etcd has committed a mark or a removal.
    pub(super) fn deleted(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        mut cycle: Box<Cycle>,
        change: Change,
        revision: u64,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let info = &route.info;
        let (deletion, is_collection) = match &mut cycle.job {
            Job::Delete(deletion) => (deletion, false),
            Job::Collection(collection) => (&mut collection.deletion, true),
            _ => return Err(Status::internal_error("not a deletion")),
        };
        let is_marked = matches!(change, Change::Put(_));
        let is_removed = matches!(change, Change::Remove(_)) || deletion.is_final;
        let mut object = match change {
            Change::Put(object) | Change::Create(object) | Change::Remove(object) | Change::Same(object) => {
                object
            }
        };
        if !exchange.request.options.dry_run && (is_marked || is_removed) {
            meta::set_resource_version(&mut object, revision);
        }
        if is_marked && deletion.then_remove && !exchange.request.options.dry_run {
            deletion.is_final = true;
            deletion.last = Some(object.clone());
            let current = Current { object, revision };
            return self.attempt(exchange, cycle, Some(current), true, context);
        }
        if is_collection {
            if let Job::Collection(collection) = &mut cycle.job
                && !object.is_null()
            {
                collection.deleted.push(object);
            }
            return self.delete_next(exchange, route, cycle, context);
        }
        if exchange.request.subresource == "eviction" {
            return Ok(Step::Answer(Answer::new(201, super::subresource::success())));
        }
        let form = Form::new(info, &exchange.request);
        let body = if is_removed && !returns_object(info) {
            Status::deleted(&info.group_resource(), meta::name(&object), meta::uid(&object))
        } else {
            form.one(&object, context.now())
        };
        Ok(Step::Answer(Answer::new(200, body)))
    }
}

enum Grace {
    /// A notice has been given already, and this one does not shorten it.
    Pending,
    /// The object now carries the notice.
    Graceful,
    None,
}

/// `BeforeDelete`: only pods are deleted gracefully.
fn grace(info: &ResourceInfo, deletion: &mut Deletion, object: &mut Value, context: &Context) -> Grace {
    if let Some(seconds) = deletion.grace_period_seconds
        && seconds < 0
    {
        deletion.grace_period_seconds = Some(1);
    }
    if info.kind != "Pod" || !info.group.is_empty() {
        return Grace::None;
    }
    let now = context.now();
    if meta::is_deleting(object) {
        let granted = object.integer("metadata.deletionGracePeriodSeconds").unwrap_or(0);
        if granted == 0 {
            return Grace::None;
        }
        let Some(mut period) = deletion.grace_period_seconds.filter(|period| *period < granted) else {
            return Grace::Pending;
        };
        let due = meta::deletion_timestamp(object).and_then(time::parse).unwrap_or(now);
        let given = due.0.saturating_sub(Duration::from_secs(granted.unsigned_abs()).0);
        let mut due = crate::sim::Time(given) + Duration::from_secs(period.unsigned_abs());
        if due < now {
            due = now;
            if period != 0 {
                period = 1;
            }
        }
        object.set("metadata.deletionTimestamp", time::rfc3339(due));
        object.set("metadata.deletionGracePeriodSeconds", period);
        return Grace::Graceful;
    }
    let mut period = deletion
        .grace_period_seconds
        .or_else(|| object.integer("spec.terminationGracePeriodSeconds"))
        .unwrap_or(0);
    let is_over = matches!(object.text("status.phase"), "Failed" | "Succeeded");
    if object.text("spec.nodeName").is_empty() || is_over {
        period = 0;
    }
    if period < 0 {
        period = 1;
    }
    deletion.grace_period_seconds = Some(period);
    let due = now + Duration::from_secs(period.unsigned_abs());
    object.set("metadata.deletionTimestamp", time::rfc3339(due));
    object.set("metadata.deletionGracePeriodSeconds", period);
    bump_generation(object);
    Grace::Graceful
}

/// `markAsDeleting`.
fn mark(object: &mut Value, context: &Context) {
    let now = time::rfc3339(context.now());
    match meta::deletion_timestamp(object) {
        None => {
            bump_generation(object);
            object.set("metadata.deletionTimestamp", now);
        }
        // RFC 3339 in UTC sorts as text.
        Some(due) if due > now.as_str() => {
            object.set("metadata.deletionTimestamp", now);
        }
        Some(_) => {}
    }
    object.set("metadata.deletionGracePeriodSeconds", 0);
}

fn bump_generation(object: &mut Value) {
    let generation = meta::generation(object);
    if generation > 0 {
        meta::set_generation(object, generation + 1);
    }
}
