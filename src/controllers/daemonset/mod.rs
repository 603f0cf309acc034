//! daemon-set-controller: one pod of a template on every node that takes it.
//!
//! Picture to hold in mind: a lamplighter's round: a lamp at every house; a new house gets one, a house that
//! puts up a sign against lamps loses it.
//!
//! - this file: news, the order of a sync, which pods to make and delete, the status
//! - [`placement`] which nodes take a pod, and the pod for one node
//! - `update` replacing pods of old templates; `revisions` the templates of the past
//!
//! After `pkg/controller/daemon`.

pub mod placement;
mod revisions;
#[cfg(test)]
mod tests;
mod update;

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::{key_of, split_key};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::claim::{CONTROLLER, Claimant, aggregate, by_controller, orphans};
use super::expectations::Expectations;
use super::kinds::{CONTROLLER_REVISION, DAEMON_SET, NODE, POD, count, set_count};
use super::{pod_control, pods};
use placement::Placement;

const BURST_REPLICAS: usize = 250;
/// How long a failed pod is left alone before it is replaced: doubling, up to the maximum.
const FAILED_BACK_OFF: Duration = Duration::from_secs(1);
const MAX_FAILED_BACK_OFF: Duration = Duration::from_secs(15 * 60);
/// The label that tells which template a pod was made of.
const REVISION_HASH: &str = "controller-revision-hash";
const TEMPLATE_GENERATION: &str = "pod-template-generation";

#[derive(Clone, Default)]
pub struct DaemonSetController {
    expectations: Expectations,
    /// Failed pods by DaemonSet, generation and node: for how long they are left alone, since when.
    failures: SortedMap<Text, (Duration, Time)>,
    sets: usize,
    pods: usize,
    nodes: usize,
    revisions: usize,
}

/// A DaemonSet in the hands of one sync.
struct Daemons {
    set: Value,
    nodes: Vec<Value>,
    /// By the node that each pod is meant for.
    pods: SortedMap<Text, Vec<Value>>,
    placement: Placement,
    /// The hash of the present template.
    hash: Text,
}

/// What must be done so that each node has its pod.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    create_on: Vec<Text>,
    delete: Vec<Value>,
}

impl Daemons {
    /// Whether `pod` was made of the present template.
    fn is_updated(&self, pod: &Value) -> bool {
        let generation = meta::annotation(&self.set, "deprecated.daemonset.template.generation");
        meta::label(pod, REVISION_HASH) == Some(&self.hash)
            || (generation.is_some() && meta::label(pod, TEMPLATE_GENERATION) == generation)
    }
    fn is_available(&self, pod: &Value, now: Time) -> bool {
        pods::is_available(pod, count(&self.set, "spec.minReadySeconds"), now)
    }
}

/// Those with a node first, then by age.
fn sort_by_age(pods: &mut [Value]) {
    pods.arrange_by(|a, b| {
        let is_assigned = |pod: &Value| !pod.text("spec.nodeName").is_empty();
        is_assigned(b).cmp(&is_assigned(a)).then_with(|| pods::by_creation(a, b))
    });
}

impl DaemonSetController {
    fn resolve<'a>(&self, stores: &'a [Store], pod: &Value) -> Option<&'a Value> {
        let reference = meta::controller_of(pod)?;
        if reference.text("kind") != "DaemonSet" {
            return None;
        }
        let set = stores[self.sets].get_by_name(meta::namespace(pod), reference.text("name"))?;
        (meta::uid(set) == reference.text("uid")).then_some(set)
    }
    fn pod_changed(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let pod = &delta.object;
        let is_new = delta.old.is_none() && delta.kind != DeltaType::Deleted;
        let old = delta.old.as_ref().filter(|_| delta.kind == DeltaType::Updated);
        if let Some(old) = old
            && meta::controller_of(old) != meta::controller_of(pod)
            && let Some(set) = self.resolve(stores, old)
        {
            keys.add(key_of(set));
        }
        if meta::controller_of(pod).is_some() {
            let Some(set) = self.resolve(stores, pod) else { return };
            let key = key_of(set);
            if delta.kind == DeltaType::Deleted || meta::is_deleting(pod) {
                self.expectations.deletion_observed(&key, &key_of(pod));
            } else if is_new {
                self.expectations.creation_observed(&key);
            }
            let min_ready_seconds = count(set, "spec.minReadySeconds");
            let became_ready = old.is_some_and(|old| !pods::is_ready(old)) && pods::is_ready(pod);
            if became_ready && min_ready_seconds > 0 {
                keys.add_after(key.clone(), pods::seconds(min_ready_seconds) + Duration::from_secs(1));
            }
            keys.add(key);
            return;
        }
        if delta.kind == DeltaType::Deleted || meta::labels(pod).is_empty() {
            return;
        }
        for set in stores[self.sets].in_namespace(meta::namespace(pod)) {
            let selects = LabelSelector::from_value(set.at("spec.selector"))
                .is_ok_and(|selector| !selector.is_empty() && selector.matches_object(pod));
            if selects {
                keys.add(key_of(set));
            }
        }
    }
    /// A node came, or its labels or taints changed: concerns the sets that now think otherwise of it.
    fn node_changed(&self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.kind == DeltaType::Deleted {
            return;
        }
        let old = delta.old.as_ref();
        let is_same = |old: &Value| {
            meta::labels(old) == meta::labels(&delta.object)
                && old.at("spec.taints") == delta.object.at("spec.taints")
        };
        if old.is_some_and(is_same) {
            return;
        }
        for set in stores[self.sets].values() {
            let placement = Placement::of(set);
            let now = placement.verdict(&delta.object);
            let before = old.map_or((false, false), |old| placement.verdict(old));
            if now != before {
                keys.add(key_of(set));
            }
        }
    }

    /// The DaemonSet's pods, adopted and released as need be, by node.
    fn pods_by_node(
        &self,
        call: &mut Call,
        set: &Value,
        selector: &LabelSelector,
    ) -> Result<SortedMap<Text, Vec<Value>>, Interrupt> {
        let store = call.store(self.pods);
        let candidates: Vec<Value> = store
            .by_index(CONTROLLER, meta::uid(set))
            .chain(store.by_index(CONTROLLER, &orphans(meta::namespace(set))))
            .cloned()
            .collect();
        let claimant = Claimant { owner: set, kind: &DAEMON_SET, selector, finalizer: None };
        let mut by_node: SortedMap<Text, Vec<Value>> = SortedMap::new();
        for pod in claimant.claim(call, candidates, &POD)? {
            let is_over = pods::is_terminal(&pod) && meta::is_deleting(&pod);
            if let Some(node) = placement::target_node(&pod).filter(|_| !is_over) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        Ok(by_node)
    }

    /// What to do on each node, whatever the template.
    fn plan(&mut self, call: &mut Call, daemons: &Daemons) -> Plan {
        let mut plan = Plan::default();
        let allows_surge = update::surge_count(&daemons.set, 1) > 0;
        let none = Vec::new();
        for node in &daemons.nodes {
            let name = node.shared_text("metadata.name");
            let (should_run, should_continue) = daemons.placement.verdict(node);
            let on_node = daemons.pods.get(&name).unwrap_or(&none);
            if should_run && on_node.is_empty() {
                plan.create_on.push(name);
            } else if should_continue {
                let mut running: Vec<Value> = Vec::new();
                for pod in on_node.iter().filter(|pod| !meta::is_deleting(pod)) {
                    match pod.text("status.phase") {
                        "Failed" => {
                            if self.may_replace_failed(call, daemons, &name) {
                                let message = arcstr::format!(
                                    "Found failed daemon pod {} on node {name}, will try to kill it",
                                    key_of(pod)
                                );
                                call.event(&daemons.set, "Warning", "FailedDaemonPod", message);
                                plan.delete.push(pod.clone());
                            }
                        }
                        "Succeeded" => {
                            let message = arcstr::format!(
                                "Found succeeded daemon pod {} on node {name}, will try to delete it",
                                key_of(pod)
                            );
                            call.event(&daemons.set, "Normal", "SucceededDaemonPod", message);
                            plan.delete.push(pod.clone());
                        }
                        _ => running.push(pod.clone()),
                    }
                }
                sort_by_age(&mut running);
                if !allows_surge {
                    plan.delete.extend(running.into_iter().skip(1));
                } else if running.is_empty() && should_run {
                    plan.create_on.push(name);
                } else {
                    update::prefer_new(daemons, running, call.now(), &mut plan.delete);
                }
            } else {
                plan.delete.extend(on_node.iter().filter(|pod| !meta::is_deleting(pod)).cloned());
            }
        }
        // Pods that wait for a node that is gone.
        for (name, on_node) in &daemons.pods {
            if !daemons.nodes.iter().any(|node| meta::name(node) == name) {
                let waiting = on_node
                    .iter()
                    .filter(|pod| pod.text("spec.nodeName").is_empty() && !meta::is_deleting(pod));
                plan.delete.extend(waiting.cloned());
            }
        }
        plan
    }
    fn may_replace_failed(&mut self, call: &mut Call, daemons: &Daemons, node: &Text) -> bool {
        let key =
            arcstr::format!("{}/{}/{node}", meta::uid(&daemons.set), meta::observed_generation(&daemons.set));
        let now = call.now();
        let left_us = call.remember(|| {
            self.failures
                .get(&key)
                .map_or(0, |(delay, since)| (*since + *delay).since(now).as_micros() as i64)
        });
        if left_us > 0 {
            call.requeue_after(Duration(left_us as u64));
            return false;
        }
        if call.once() {
            let delay = self
                .failures
                .get(&key)
                .map_or(FAILED_BACK_OFF, |(delay, _)| delay.saturating_mul(2).min(MAX_FAILED_BACK_OFF));
            self.failures.insert(key, (delay, now));
        }
        true
    }

    /// Creates and deletes as planned.
    fn carry_out(&mut self, call: &mut Call, daemons: &Daemons, mut plan: Plan) -> Result<(), Interrupt> {
        plan.create_on.truncate(BURST_REPLICAS);
        plan.delete.truncate(BURST_REPLICAS);
        let (key, now) = (call.key().clone(), call.now());
        if call.once() {
            let deletions = plan.delete.iter().map(key_of).collect();
            self.expectations.expect(&key, plan.create_on.len() as i64, deletions, now);
        }
        let wanted = plan.create_on.len();
        let set = &daemons.set;
        let made: Vec<Value> =
            plan.create_on.iter().map(|node| placement::pod_for(set, &daemons.hash, node)).collect();
        let batches = pod_control::create_in_batches(call, set, made, 1)?;
        if batches.successes < wanted && call.once() {
            self.expectations.creations_observed(&key, (wanted - batches.successes) as i64);
        }
        let deletions = pod_control::delete_all(call, set, &plan.delete)?;
        if !deletions.refused.is_empty() && call.once() {
            for name in &deletions.refused {
                let pod = arcstr::format!("{}/{name}", split_key(&key).0);
                self.expectations.deletion_observed(&key, &pod);
            }
        }
        let errors: Vec<String> =
            batches.error.into_iter().chain(deletions.error).map(|text| text.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(Interrupt::Failed(aggregate(&errors))) }
    }

    fn write_status(&self, call: &mut Call, daemons: &Daemons, observed: bool) -> Result<(), Interrupt> {
        let set = &daemons.set;
        let now = call.now();
        let [mut desired, mut current, mut misplaced, mut ready, mut updated, mut available] = [0; 6];
        for node in &daemons.nodes {
            let mut on_node = daemons.pods.get(meta::name(node)).cloned().unwrap_or_default();
            if !daemons.placement.verdict(node).0 {
                misplaced += i64::from(!on_node.is_empty());
                continue;
            }
            desired += 1;
            sort_by_age(&mut on_node);
            let Some(pod) = on_node.first() else { continue };
            current += 1;
            ready += i64::from(pods::is_ready(pod));
            available += i64::from(daemons.is_available(pod, now));
            updated += i64::from(daemons.is_updated(pod));
        }
        let mut status = set.at("status").clone();
        for (field, number) in [
            ("desiredNumberScheduled", desired),
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("numberReady", ready),
        ] {
            status.set(field, number);
        }
        set_count(&mut status, "updatedNumberScheduled", updated);
        set_count(&mut status, "numberAvailable", available);
        set_count(&mut status, "numberUnavailable", desired - available);
        let generation = meta::generation(set);
        if status != *set.at("status") || meta::observed_generation(set) < generation {
            if observed {
                set_count(&mut status, "observedGeneration", generation);
            }
            let write = |set: &Value| {
                request::update_status(&DAEMON_SET.resource, set.clone().with("status", status.clone()))
            };
            if call.attempt(write(set))?.is_err() {
                let fresh = call.get(&DAEMON_SET.resource, meta::namespace(set), meta::name(set))?;
                call.request(write(&fresh))?;
            }
        }
        let min_ready_seconds = count(set, "spec.minReadySeconds");
        if min_ready_seconds > 0 && ready != available {
            call.requeue_after(pods::seconds(min_ready_seconds));
        }
        Ok(())
    }

    fn sync_set(&mut self, call: &mut Call, set: Value) -> Result<(), Interrupt> {
        let Ok(selector) = LabelSelector::from_value(set.at("spec.selector")) else { return Ok(()) };
        if selector.is_empty() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            call.event(&set, "Warning", "SelectingAll", message);
            return Ok(());
        }
        if meta::is_deleting(&set) {
            return Ok(());
        }
        let history = self.history(call, &set, &selector)?;
        let (key, now) = (call.key().clone(), call.now());
        let may_manage = call.remember(|| i64::from(self.expectations.are_satisfied(&key, now))) == 1;
        let pods = self.pods_by_node(call, &set, &selector)?;
        let daemons = Daemons {
            placement: Placement::of(&set),
            nodes: call.store(self.nodes).values().cloned().collect(),
            hash: meta::label(&history.current, REVISION_HASH).unwrap_or("").into(),
            pods,
            set,
        };
        if !may_manage {
            return self.write_status(call, &daemons, false);
        }
        let managed = self.manage(call, &daemons, &history.old);
        if matches!(managed, Err(Interrupt::Waiting)) {
            return managed;
        }
        self.write_status(call, &daemons, true)?;
        managed
    }
    fn manage(&mut self, call: &mut Call, daemons: &Daemons, old: &[Value]) -> Result<(), Interrupt> {
        let plan = self.plan(call, daemons);
        let is_settled = plan == Plan::default();
        self.carry_out(call, daemons, plan)?;
        // Only when nothing else is under way.
        if is_settled && daemons.set.text("spec.updateStrategy.type") == "RollingUpdate" {
            let plan = update::plan(daemons, call.now());
            self.carry_out(call, daemons, plan)?;
        }
        self.clean_up_history(call, daemons, old)
    }
}

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }
    fn user_agent(&self) -> &'static str {
        "daemon-set-controller"
    }
    fn workers(&self) -> usize {
        2
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.sets = informers.add(Selection::all(&DAEMON_SET.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, CONTROLLER, by_controller);
        self.nodes = informers.add(Selection::all(&NODE.resource));
        self.revisions = informers.add(Selection::all(&CONTROLLER_REVISION.resource));
        informers.add_index(self.revisions, CONTROLLER, by_controller);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.sets {
            let key = key_of(&delta.object);
            if delta.kind == DeltaType::Deleted {
                self.expectations.forget(&key);
            }
            keys.add(key);
        } else if delta.informer == self.pods {
            self.pod_changed(delta, stores, keys);
        } else if delta.informer == self.nodes {
            self.node_changed(delta, stores, keys);
        } else if delta.informer == self.revisions
            && let Some(set) = self.resolve(stores, &delta.object)
        {
            keys.add(key_of(set));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        match DAEMON_SET.find(call.store(self.sets), call.key()) {
            Some(set) => self.sync_set(call, set),
            None => {
                let key = call.key().clone();
                if call.once() {
                    self.expectations.forget(&key);
                }
                Ok(())
            }
        }
    }
    fn restart(&mut self) {
        self.expectations = Expectations::default();
        self.failures.clear();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
