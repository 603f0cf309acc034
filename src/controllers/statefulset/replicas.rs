//! The steps towards the wanted replicas: one at a time in order, or in parallel.
//!
//! Picture to hold in mind: seating the orchestra: nobody sits down before the neighbour with the lower number
//! plays; and people leave from the highest chair.
//!
//! After `updateStatefulSet` of `pkg/controller/statefulset/stateful_set_control.go`.

use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt, request};
use crate::controllers::claim::aggregate;
use crate::controllers::kinds::{POD, count};
use crate::controllers::pods;

use super::{Replicas, StatefulSetController, identity};

const MAX_BATCH: usize = 500;

/// Whether to stop here and look again later.
type Stops = bool;

/// The replicas in the order of their ordinals (those not created yet too), and those too many, the highest first.
struct Line {
    wanted: Vec<Value>,
    condemned: Vec<Value>,
}

impl Line {
    fn of(replicas: &Replicas, members: &[Value]) -> Line {
        let (set, ordinals) = (&replicas.set, identity::ordinals(&replicas.set));
        let mut condemned: Vec<Value> = members
            .iter()
            .filter(|pod| identity::ordinal(pod) >= 0 && !ordinals.contains(&identity::ordinal(pod)))
            .cloned()
            .collect();
        condemned.arrange_by_key(|pod| std::cmp::Reverse(identity::ordinal(pod)));
        let find = |ordinal: i64| {
            let name = identity::pod_name(set, ordinal);
            members.iter().find(|pod| meta::name(pod) == name).map(|pod| POD.named(pod))
        };
        let make = |ordinal: i64| {
            identity::new_versioned_pod(
                (&replicas.current_set, meta::name(&replicas.current_revision)),
                (&replicas.update_set, meta::name(&replicas.update_revision)),
                ordinal,
            )
        };
        let wanted = ordinals.map(|ordinal| find(ordinal).unwrap_or_else(|| make(ordinal))).collect();
        Line { wanted, condemned }
    }
    fn iter(&self) -> impl Iterator<Item = &Value> {
        self.wanted.iter().chain(&self.condemned)
    }
}

impl StatefulSetController {
    pub(super) fn tell_of_pod(
        &self,
        call: &mut Call,
        verb: &str,
        set: &Value,
        pod: &Value,
        error: Option<&str>,
    ) {
        let what = format!("{verb} Pod {} in StatefulSet {}", meta::name(pod), meta::name(set));
        match error {
            None => call.event(set, "Normal", &format!("Successful{verb}"), format!("{what} successful")),
            Some(error) => {
                call.event(set, "Warning", &format!("Failed{verb}"), format!("{what} failed error: {error}"));
            }
        }
    }
    fn delete_pod(&self, call: &mut Call, set: &Value, pod: &Value) -> Result<(), Interrupt> {
        let delete = request::delete(&POD.resource, meta::namespace(pod), meta::name(pod));
        if let Err(status) = call.attempt(delete)?
            && status.text("reason") != "NotFound"
        {
            self.tell_of_pod(call, "Delete", set, pod, Some(status.text("message")));
            return Err(Interrupt::from_status(&status));
        }
        self.tell_of_pod(call, "Delete", set, pod, None);
        Ok(())
    }
    fn create_pods(&mut self, call: &mut Call, set: &Value, pods: Vec<Value>) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let mut errors = Vec::new();
        let mut ready = Vec::new();
        for pod in pods {
            match self.create_claims(call, set, &pod) {
                Ok(()) => ready.push(pod),
                Err(Interrupt::Failed(error)) => {
                    self.tell_of_pod(call, "Create", set, &pod, Some(&error));
                    errors.push(error.to_string());
                }
                Err(waiting) => return Err(waiting),
            }
        }
        let create = |pod: &Value| request::create(&POD.resource, meta::namespace(set), pod.clone());
        let answers = call.all(ready.iter().map(create).collect())?;
        for (pod, answer) in ready.iter().zip(answers) {
            match answer {
                Ok(created) => {
                    if call.once() {
                        self.written.wrote(&key, self.pods, &created);
                    }
                    self.update_claim_owners(call, set, pod)?;
                    self.tell_of_pod(call, "Create", set, pod, None);
                }
                Err(status) => {
                    if status.text("reason") != "AlreadyExists" {
                        self.tell_of_pod(call, "Create", set, pod, Some(status.text("message")));
                    }
                    errors.push(status.text("message").to_owned());
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Interrupt::Failed(aggregate(&errors))) }
    }
    fn update_pod(&mut self, call: &mut Call, set: &Value, pod: &Value) -> Result<(), Interrupt> {
        let mut updated = pod.clone();
        if !identity::identity_matches(set, pod) {
            identity::update_identity(set, &mut updated);
        }
        if !identity::storage_matches(set, pod) {
            identity::update_storage(set, &mut updated);
            self.create_claims(call, set, pod)?;
        }
        if !self.claims_match_policy(call, set, pod) {
            self.update_claim_owners(call, set, pod)?;
        }
        let key = call.key().clone();
        match call.attempt(request::update(&POD.resource, updated))? {
            Ok(written) => {
                if call.once() {
                    self.written.wrote(&key, self.pods, &written);
                }
                self.tell_of_pod(call, "Update", set, pod, None);
                Ok(())
            }
            Err(status) => {
                self.tell_of_pod(call, "Update", set, pod, Some(status.text("message")));
                Err(Interrupt::from_status(&status))
            }
        }
    }

    /// Runs `step` over `pods`: one by one until it stops, or in batches that grow until one fails.
    fn for_each_batch(
        &mut self,
        is_monotonic: bool,
        pods: &[Value],
        mut step: impl FnMut(&mut Self, &[Value]) -> Result<Stops, Interrupt>,
    ) -> Result<Stops, Interrupt> {
        let (mut rest, mut size) = (pods, 1);
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            if step(self, batch)? && is_monotonic {
                return Ok(true);
            }
            if !is_monotonic {
                size = (2 * size).min(MAX_BATCH);
            }
        }
        Ok(false)
    }

    fn process_wanted(
        &mut self,
        call: &mut Call,
        replicas: &Replicas,
        is_monotonic: bool,
        batch: &[Value],
    ) -> Result<Stops, Interrupt> {
        let (set, update_set) = (&replicas.set, &replicas.update_set);
        let mut stops = false;
        let mut missing = Vec::new();
        let mut present = Vec::new();
        for pod in batch {
            if pods::is_terminal(pod) {
                stops = true;
                if !meta::is_deleting(pod) {
                    self.delete_pod(call, set, pod)?;
                }
            } else if identity::is_created(pod) {
                present.push(pod);
            } else {
                stops = true;
                if !self.has_stale_claim(call, set, pod) {
                    missing.push(pod.clone());
                }
            }
        }
        self.create_pods(call, set, missing)?;
        for pod in present {
            if pod.text("status.phase") == "Pending" {
                self.create_claims(call, set, pod)?;
                self.update_claim_owners(call, set, pod)?;
            }
            let is_settled = !meta::is_deleting(pod)
                && identity::is_running_and_ready(pod)
                && pods::is_available(pod, replicas.min_ready_seconds(), replicas.now);
            if is_monotonic && !is_settled {
                return Ok(true);
            }
            let matches = identity::identity_matches(set, pod)
                && identity::storage_matches(set, pod)
                && self.claims_match_policy(call, update_set, pod);
            if !matches {
                self.update_pod(call, update_set, pod)?;
            }
        }
        Ok(stops)
    }

    fn process_condemned(
        &mut self,
        call: &mut Call,
        replicas: &Replicas,
        first_unavailable: Option<&Value>,
        is_monotonic: bool,
        batch: &[Value],
    ) -> Result<Stops, Interrupt> {
        for pod in batch {
            if meta::is_deleting(pod) {
                if is_monotonic {
                    return Ok(true);
                }
                continue;
            }
            let is_settled = identity::is_running_and_ready(pod)
                && pods::is_available(pod, replicas.min_ready_seconds(), replicas.now);
            let is_first = first_unavailable.is_some_and(|first| meta::uid(first) == meta::uid(pod));
            if is_monotonic && !is_settled && !is_first {
                return Ok(true);
            }
            self.delete_pod(call, &replicas.set, pod)?;
        }
        Ok(true)
    }

    fn steps(&mut self, call: &mut Call, replicas: &Replicas, line: &Line) -> Result<Stops, Interrupt> {
        let set = &replicas.set;
        let is_monotonic = set.text("spec.podManagementPolicy") != "Parallel";
        let first_unavailable =
            line.wanted.iter().chain(line.condemned.iter().rev()).find(|pod| replicas.is_unavailable(pod));
        let stops = self.for_each_batch(is_monotonic, &line.wanted, |this, batch| {
            this.process_wanted(call, replicas, is_monotonic, batch)
        })?;
        if stops {
            return Ok(true);
        }
        for pod in &line.condemned {
            if !self.claims_match_policy(call, &replicas.update_set, pod) {
                self.update_claim_owners(call, &replicas.update_set, pod)?;
            }
        }
        self.for_each_batch(is_monotonic, &line.condemned, |this, batch| {
            this.process_condemned(call, replicas, first_unavailable, is_monotonic, batch)
        })
    }

    /// Takes the next steps; the status tells of the pods as they were before.
    pub(super) fn update(
        &mut self,
        call: &mut Call,
        replicas: &Replicas,
        members: &[Value],
        collisions: i64,
    ) -> (Value, Result<(), Interrupt>) {
        let set = &replicas.set;
        if meta::is_deleting(set) {
            return (replicas.status(members.iter(), collisions), Ok(()));
        }
        let line = Line::of(replicas, members);
        let outcome = self.steps(call, replicas, &line);
        let mut status = replicas.status(line.iter(), collisions);
        match outcome {
            Err(interrupt) => return (status, Err(interrupt)),
            Ok(stops) if stops || set.text("spec.updateStrategy.type") == "OnDelete" => {
                return (status, Ok(()));
            }
            Ok(_) => {}
        }
        // All replicas stand: the highest that is of an old template is replaced, down to the partition.
        let partition = usize::try_from(count(set, "spec.updateStrategy.rollingUpdate.partition"));
        for pod in line.wanted.iter().skip(partition.unwrap_or(0)).rev() {
            if identity::revision(pod) != meta::name(&replicas.update_revision) && !meta::is_deleting(pod) {
                let outcome = self.delete_pod(call, set, pod);
                if outcome.is_ok() {
                    let left = count(&status, "currentReplicas") - 1;
                    crate::controllers::kinds::set_count(&mut status, "currentReplicas", left);
                }
                return (status, outcome);
            }
            if replicas.is_unavailable(pod) {
                break;
            }
        }
        (status, Ok(()))
    }
}
