//! statefulset-controller: replicas with names, in order, each with its own volumes.
//!
//! Picture to hold in mind: an orchestra with numbered chairs. Chair 0 is filled first and empties last; who
//! is replaced sits down on the same chair, before the same music.
//!
//! - this file: news, the order of a sync, the status
//! - [`identity`] what a replica of an ordinal is called, and how it is made
//! - `claims` the volume claims of a replica; `replicas` the steps towards the wanted replicas
//! - `revisions` the templates of the past
//!
//! After `pkg/controller/statefulset`.

mod claims;
pub mod identity;
mod replicas;
mod revisions;
#[cfg(test)]
mod tests;

use crate::api::selector::LabelSelector;
use crate::api::{Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, Interrupt, Selection, Store, request};
use crate::object;
use crate::sim::Time;

use super::claim::{CONTROLLER, Claimant, by_controller, concerned, orphans};
use super::consistency::Written;
use super::kinds::{CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET, count, set_count};
use super::pods;

#[derive(Clone, Default)]
pub struct StatefulSetController {
    written: Written,
    sets: usize,
    pods: usize,
    claims: usize,
    revisions: usize,
}

/// A StatefulSet in the hands of one sync.
struct Replicas {
    set: Value,
    /// The set with the template that the pods had so far, and the one with the template they are to have.
    current_set: Value,
    update_set: Value,
    current_revision: Value,
    update_revision: Value,
    now: Time,
}

impl Replicas {
    fn min_ready_seconds(&self) -> i64 {
        count(&self.set, "spec.minReadySeconds")
    }
    fn is_unavailable(&self, pod: &Value) -> bool {
        meta::is_deleting(pod) || !pods::is_available(pod, self.min_ready_seconds(), self.now)
    }

    /// The status of `pods`, which all are this set's.
    fn status<'a>(&self, pods: impl Iterator<Item = &'a Value>, collisions: i64) -> Value {
        let (current, update) = (meta::name(&self.current_revision), meta::name(&self.update_revision));
        let [mut replicas, mut ready, mut available, mut of_current, mut of_update] = [0; 5];
        for pod in pods.filter(|pod| identity::is_created(pod)) {
            replicas += 1;
            if identity::is_running_and_ready(pod) {
                ready += 1;
                available += i64::from(pods::is_available(pod, self.min_ready_seconds(), self.now));
            }
            if !meta::is_deleting(pod) {
                of_current += i64::from(identity::revision(pod) == current);
                of_update += i64::from(identity::revision(pod) == update);
            }
        }
        let mut status = object! {
            "replicas" => replicas,
            "availableReplicas" => available,
            "collisionCount" => collisions,
            "currentRevision" => current,
            "updateRevision" => update,
        };
        set_count(&mut status, "observedGeneration", meta::generation(&self.set));
        set_count(&mut status, "readyReplicas", ready);
        set_count(&mut status, "currentReplicas", of_current);
        set_count(&mut status, "updatedReplicas", of_update);
        status
    }
}

/// Once all pods are of the update revision, it is the current one (`completeRollingUpdate`).
fn complete_rolling_update(set: &Value, status: &mut Value) {
    let wanted = count(set, "spec.replicas");
    let is_whole =
        ["updatedReplicas", "readyReplicas", "replicas"].iter().all(|field| count(status, field) == wanted);
    if set.text("spec.updateStrategy.type") == "RollingUpdate" && is_whole {
        let (updated, revision) = (count(status, "updatedReplicas"), status.shared_text("updateRevision"));
        set_count(status, "currentReplicas", updated);
        status.set("currentRevision", revision);
    }
}

/// Whether the API server must hear of `status`.
fn is_news(set: &Value, status: &Value) -> bool {
    let old = set.at("status");
    let counts = ["replicas", "currentReplicas", "readyReplicas", "updatedReplicas", "availableReplicas"];
    count(status, "observedGeneration") > count(old, "observedGeneration")
        || counts.iter().any(|field| count(status, field) != count(old, field))
        || ["currentRevision", "updateRevision"].iter().any(|field| status.text(field) != old.text(field))
}

impl StatefulSetController {
    fn write_status(&mut self, call: &mut Call, set: &Value, mut status: Value) -> Result<(), Interrupt> {
        complete_rolling_update(set, &mut status);
        if !is_news(set, &status) {
            return Ok(());
        }
        let key = call.key().clone();
        let write = |set: &Value| {
            request::update_status(&STATEFUL_SET.resource, set.clone().with("status", status.clone()))
        };
        let mut answer = call.attempt(write(set))?;
        if matches!(&answer, Err(refusal) if refusal.text("reason") == "Conflict") {
            let fresh = call.get(&STATEFUL_SET.resource, meta::namespace(set), meta::name(set))?;
            answer = call.attempt(write(&fresh))?;
        }
        let written = answer.map_err(|refusal| Interrupt::from_status(&refusal))?;
        if call.once() {
            self.written.wrote(&key, self.sets, &written);
        }
        Ok(())
    }

    /// The set's pods: with its name in theirs, adopted and released as need be.
    fn members(
        &self,
        call: &mut Call,
        set: &Value,
        selector: &LabelSelector,
    ) -> Result<Vec<Value>, Interrupt> {
        let store = call.store(self.pods);
        let candidates: Vec<Value> = store
            .by_index(CONTROLLER, meta::uid(set))
            .chain(store.by_index(CONTROLLER, &orphans(meta::namespace(set))))
            .cloned()
            .collect();
        let is_member = |pod: &Value| identity::parent_and_ordinal(pod).0 == meta::name(set);
        let claimant = Claimant { owner: set, kind: &STATEFUL_SET, selector, finalizer: None };
        claimant.claim_if(call, candidates, &POD, is_member)
    }

    fn sync_set(&mut self, call: &mut Call, set: Value) -> Result<(), Interrupt> {
        let Ok(selector) = LabelSelector::from_value(set.at("spec.selector")) else { return Ok(()) };
        self.adopt_orphan_revisions(call, &set, &selector)?;
        let members = self.members(call, &set, &selector)?;
        let history = self.history(call, &set, &selector)?;
        let replicas = Replicas {
            current_set: revisions::apply(&set, &history.current),
            update_set: revisions::apply(&set, &history.update),
            current_revision: history.current.clone(),
            update_revision: history.update.clone(),
            now: call.now(),
            set,
        };
        let (mut status, outcome) = self.update(call, &replicas, &members, history.collisions);
        if matches!(outcome, Err(Interrupt::Waiting)) {
            return outcome;
        }
        let set = &replicas.set;
        let told = self.write_status(call, set, status.clone());
        if matches!(told, Err(Interrupt::Waiting)) {
            return told;
        }
        complete_rolling_update(set, &mut status);
        self.truncate_history(call, set, &members, &history)?;
        outcome.and(told)?;
        let min_ready_seconds = replicas.min_ready_seconds();
        if min_ready_seconds > 0 && count(&status, "readyReplicas") != count(&status, "availableReplicas") {
            let next = pods::next_availability(&members, min_ready_seconds, call.now());
            call.requeue_after(next.unwrap_or(pods::seconds(min_ready_seconds)));
        }
        Ok(())
    }
}

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.sets = informers.add(Selection::all(&STATEFUL_SET.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, CONTROLLER, by_controller);
        self.claims = informers.add(Selection::all(&PERSISTENT_VOLUME_CLAIM.resource));
        self.revisions = informers.add(Selection::all(&CONTROLLER_REVISION.resource));
        informers.add_index(self.revisions, CONTROLLER, by_controller);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.sets {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.pods {
            let became_ready =
                delta.old.as_ref().is_some_and(|old| !pods::is_ready(old)) && pods::is_ready(&delta.object);
            for set in concerned(delta, &stores[self.sets], &STATEFUL_SET) {
                keys.add(key_of(set));
                let min_ready_seconds = count(set, "spec.minReadySeconds");
                if became_ready && min_ready_seconds > 0 {
                    keys.add_after(key_of(set), pods::seconds(min_ready_seconds));
                }
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        self.written.ensure_ready(call)?;
        match STATEFUL_SET.find(call.store(self.sets), call.key()) {
            Some(set) => self.sync_set(call, set),
            None => {
                let key = call.key().clone();
                if call.once() {
                    self.written.forget(&key);
                }
                Ok(())
            }
        }
    }
    fn restart(&mut self) {
        self.written = Written::default();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
