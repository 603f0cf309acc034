//! replicaset-controller: as many pods of one template as are asked for.
//!
//! Picture to hold in mind: a foreman who counts heads at the gate. Too few: hires from the agency, one, then
//! two, then four at a time; too many: sends home whom the work misses least. While hires are on their way
//! the foreman does not count again.
//!
//! After `pkg/controller/replicaset/replica_set.go`, which also is the ReplicationController's controller.

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::{key_of, split_key};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store};
use crate::object;

use super::claim::{CONTROLLER, Claimant, by_controller, orphans};
use super::expectations::Expectations;
use super::kinds::{Kind, POD, REPLICA_SET, REPLICATION_CONTROLLER, count, set_count};
use super::pod_control;
use super::pods;

/// Pods created or deleted in one sync at most.
const BURST_REPLICAS: usize = 500;

#[derive(Clone)]
pub struct ReplicaSetController {
    /// ReplicaSets, or ReplicationControllers, which differ in their selector's form only.
    is_replication: bool,
    expectations: Expectations,
    owners: usize,
    pods: usize,
}

impl ReplicaSetController {
    pub fn new() -> ReplicaSetController {
        ReplicaSetController {
            is_replication: false,
            expectations: Expectations::default(),
            owners: 0,
            pods: 0,
        }
    }
    /// The one of ReplicationControllers.
    pub fn replication() -> ReplicaSetController {
        ReplicaSetController { is_replication: true, ..ReplicaSetController::new() }
    }
    fn kind(&self) -> &'static Kind {
        if self.is_replication { &REPLICATION_CONTROLLER } else { &REPLICA_SET }
    }
    fn selector(&self, owner: &Value) -> Option<LabelSelector> {
        if self.is_replication {
            Some(LabelSelector::from_map(owner.map("spec.selector")))
        } else {
            LabelSelector::from_value(owner.at("spec.selector")).ok()
        }
    }
    /// The owner that `reference` means, if it is still that one.
    fn resolve<'a>(&self, stores: &'a [Store], namespace: &str, reference: &Value) -> Option<&'a Value> {
        if reference.text("kind") != self.kind().kind.as_str() {
            return None;
        }
        let owner = stores[self.owners].get_by_name(namespace, reference.text("name"))?;
        (meta::uid(owner) == reference.text("uid")).then_some(owner)
    }
    fn add_owners_of_orphan(&self, stores: &[Store], pod: &Value, keys: &mut Keys) {
        if meta::labels(pod).is_empty() {
            return;
        }
        for owner in stores[self.owners].in_namespace(meta::namespace(pod)) {
            let selects = self
                .selector(owner)
                .is_some_and(|selector| !selector.is_empty() && selector.matches_object(pod));
            if selects {
                keys.add(key_of(owner));
            }
        }
    }

    fn pod_added(&mut self, stores: &[Store], pod: &Value, keys: &mut Keys) {
        if meta::is_deleting(pod) {
            return self.pod_deleted(stores, pod, keys);
        }
        match meta::controller_of(pod) {
            Some(reference) => {
                if let Some(owner) = self.resolve(stores, meta::namespace(pod), reference) {
                    let key = key_of(owner);
                    self.expectations.creation_observed(&key);
                    keys.add(key);
                }
            }
            None => self.add_owners_of_orphan(stores, pod, keys),
        }
    }
    fn pod_updated(&mut self, stores: &[Store], old: &Value, pod: &Value, keys: &mut Keys) {
        let labels_changed = meta::labels(old) != meta::labels(pod);
        if meta::is_deleting(pod) {
            self.pod_deleted(stores, pod, keys);
            if labels_changed {
                self.pod_deleted(stores, old, keys);
            }
            return;
        }
        let namespace = meta::namespace(pod);
        let (reference, old_reference) = (meta::controller_of(pod), meta::controller_of(old));
        let owner_changed = reference != old_reference;
        if owner_changed
            && let Some(owner) = old_reference.and_then(|old| self.resolve(stores, namespace, old))
        {
            keys.add(key_of(owner));
        }
        if let Some(reference) = reference {
            let Some(owner) = self.resolve(stores, namespace, reference) else { return };
            keys.add(key_of(owner));
            let min_ready_seconds = count(owner, "spec.minReadySeconds");
            if min_ready_seconds > 0 && !pods::is_ready(old) && pods::is_ready(pod) {
                keys.add_after(key_of(owner), pods::seconds(min_ready_seconds));
            }
        } else if labels_changed || owner_changed {
            self.add_owners_of_orphan(stores, pod, keys);
        }
    }
    fn pod_deleted(&mut self, stores: &[Store], pod: &Value, keys: &mut Keys) {
        let Some(reference) = meta::controller_of(pod) else { return };
        if let Some(owner) = self.resolve(stores, meta::namespace(pod), reference) {
            let key = key_of(owner);
            self.expectations.deletion_observed(&key, &key_of(pod));
            keys.add(key);
        }
    }

    /// Creates what is missing, or deletes what is too much. An error is returned for the status to tell.
    fn manage(
        &mut self,
        call: &mut Call,
        owner: &Value,
        active: &[Value],
    ) -> Result<Option<Text>, Interrupt> {
        let wanted = usize::try_from(count(owner, "spec.replicas")).unwrap_or(0);
        let key = call.key().clone();
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST_REPLICAS);
            if call.once() {
                self.expectations.expect_creations(&key, missing as i64, call.now());
            }
            let pod = pod_control::from_template(owner.at("spec.template"), owner, self.kind());
            let batches = pod_control::create_in_batches(call, owner, vec![pod; missing], 1)?;
            let skipped = missing - batches.successes;
            if skipped > 0 && call.once() {
                self.expectations.creations_observed(&key, skipped as i64);
            }
            return Ok(batches.error);
        }
        if active.len() > wanted {
            let surplus = (active.len() - wanted).min(BURST_REPLICAS);
            let related = self.related(call, owner);
            let chosen = pods::choose_for_deletion(active.to_vec(), &related, surplus, call.now());
            if call.once() {
                self.expectations.expect_deletions(&key, chosen.iter().map(key_of), call.now());
            }
            let deletions = pod_control::delete_all(call, owner, &chosen)?;
            if !deletions.refused.is_empty() && call.once() {
                let namespace = split_key(&key).0;
                for name in &deletions.refused {
                    self.expectations.deletion_observed(&key, &arcstr::format!("{namespace}/{name}"));
                }
            }
            return Ok(deletions.error);
        }
        Ok(None)
    }
    /// The pods of all ReplicaSets of the same owner: of all revisions of a Deployment.
    fn related(&self, call: &Call, owner: &Value) -> Vec<Value> {
        let siblings: Vec<&Value> = match meta::controller_of(owner) {
            Some(controller) => {
                call.store(self.owners).by_index(CONTROLLER, controller.text("uid")).collect()
            }
            None => vec![owner],
        };
        siblings
            .into_iter()
            .flat_map(|sibling| call.store(self.pods).by_index(CONTROLLER, meta::uid(sibling)))
            .cloned()
            .collect()
    }

    fn status(
        &self,
        owner: &Value,
        active: &[Value],
        terminating: usize,
        failure: Option<&Text>,
        call: &Call,
    ) -> Value {
        let template_labels = LabelSelector::from_map(owner.map("spec.template.metadata.labels"));
        let min_ready_seconds = count(owner, "spec.minReadySeconds");
        let (mut labelled, mut ready, mut available) = (0, 0, 0);
        for pod in active {
            labelled += i64::from(template_labels.matches_object(pod));
            if pods::is_ready(pod) {
                ready += 1;
                available += i64::from(pods::has_been_ready(pod, min_ready_seconds, call.now()));
            }
        }
        let mut status = owner.at("status").clone();
        let conditions = status.items("conditions");
        let has_failed = meta::find_condition(conditions, "ReplicaFailure").is_some();
        match failure {
            Some(message) if !has_failed => {
                let surplus = active.len() as i64 - count(owner, "spec.replicas");
                let reason = if surplus < 0 { "FailedCreate" } else { "FailedDelete" };
                let mut conditions = conditions.to_vec();
                conditions.push(object! {
                    "type" => "ReplicaFailure",
                    "status" => "True",
                    "lastTransitionTime" => time::rfc3339(call.now()),
                    "reason" => reason,
                    "message" => message,
                });
                status.set("conditions", conditions);
            }
            None if has_failed => {
                let rest: Vec<Value> = conditions
                    .iter()
                    .filter(|other| other.text("type") != "ReplicaFailure")
                    .cloned()
                    .collect();
                if rest.is_empty() {
                    status.remove("conditions");
                } else {
                    status.set("conditions", rest);
                }
            }
            _ => {}
        }
        status.set("replicas", active.len());
        set_count(&mut status, "fullyLabeledReplicas", labelled);
        set_count(&mut status, "readyReplicas", ready);
        set_count(&mut status, "availableReplicas", available);
        if !self.is_replication {
            status.set("terminatingReplicas", terminating);
        }
        status
    }

    /// Writes the status, once more after a fresh look if somebody else wrote first.
    fn write_status(&self, call: &mut Call, owner: &Value, status: Value) -> Result<Value, Interrupt> {
        let generation = meta::generation(owner);
        if status == *owner.at("status") && generation == meta::observed_generation(owner) {
            return Ok(owner.clone());
        }
        let mut status = status;
        set_count(&mut status, "observedGeneration", generation);
        let write = |owner: &Value| {
            crate::client::request::update_status(
                &self.kind().resource,
                owner.clone().with("status", status.clone()),
            )
        };
        if let Ok(updated) = call.attempt(write(owner))? {
            return Ok(updated);
        }
        let fresh = call.get(&self.kind().resource, meta::namespace(owner), meta::name(owner))?;
        call.request(write(&fresh))
    }
}

impl Default for ReplicaSetController {
    fn default() -> ReplicaSetController {
        ReplicaSetController::new()
    }
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        if self.is_replication { "replication-controller" } else { "replicaset-controller" }
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.owners = informers.add(Selection::all(&self.kind().resource));
        informers.add_index(self.owners, CONTROLLER, by_controller);
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, CONTROLLER, by_controller);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.owners {
            let recreated = delta.old.as_ref().is_some_and(|old| meta::uid(old) != meta::uid(&delta.object));
            if recreated || delta.kind == DeltaType::Deleted {
                self.expectations.forget(&key_of(&delta.object));
            }
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.pods {
            match (delta.kind, &delta.old) {
                (DeltaType::Deleted, _) => self.pod_deleted(stores, &delta.object, keys),
                (DeltaType::Updated, Some(old)) => self.pod_updated(stores, old, &delta.object, keys),
                _ => self.pod_added(stores, &delta.object, keys),
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let kind = self.kind();
        let Some(owner) = kind.find(call.store(self.owners), call.key()) else {
            let key = call.key().clone();
            if call.once() {
                self.expectations.forget(&key);
            }
            return Ok(());
        };
        let (key, now) = (call.key().clone(), call.now());
        let may_manage = call.remember(|| i64::from(self.expectations.are_satisfied(&key, now))) == 1;
        let Some(selector) = self.selector(&owner) else { return Ok(()) };
        let uid = meta::uid(&owner);
        let strays = orphans(meta::namespace(&owner));
        let store = call.store(self.pods);
        let owned: Vec<Value> = store.by_index(CONTROLLER, uid).cloned().collect();
        let strays: Vec<Value> = store.by_index(CONTROLLER, &strays).cloned().collect();
        let terminating =
            owned.iter().filter(|pod| pods::is_terminating(pod) && selector.matches_object(pod)).count();
        let candidates: Vec<Value> = owned.into_iter().chain(strays).filter(pods::is_active).collect();
        let claimant = Claimant { owner: &owner, kind, selector: &selector, finalizer: None };
        let active = claimant.claim(call, candidates, &POD)?;
        let failure =
            if may_manage && !meta::is_deleting(&owner) { self.manage(call, &owner, &active)? } else { None };
        let status = self.status(&owner, &active, terminating, failure.as_ref(), call);
        let updated = self.write_status(call, &owner, status)?;
        if let Some(message) = failure {
            return Err(Interrupt::Failed(message));
        }
        let min_ready_seconds = count(&updated, "spec.minReadySeconds");
        if min_ready_seconds > 0
            && count(&updated, "status.readyReplicas") != count(&updated, "status.availableReplicas")
        {
            let next = pods::next_availability(&active, min_ready_seconds, now);
            call.requeue_after(next.unwrap_or(pods::seconds(min_ready_seconds)));
        }
        Ok(())
    }
    fn restart(&mut self) {
        self.expectations = Expectations::default();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
