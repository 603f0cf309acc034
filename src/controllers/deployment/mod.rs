//! deployment-controller: from one revision of a pod template to the next, never with too few pods, never with
//! too many.
//!
//! Picture to hold in mind: two ropes over one pulley: the new ReplicaSet goes up as the old ones come down,
//! and two stops (maxSurge, maxUnavailable) keep the load between them.
//!
//! - this file: which news concerns which Deployment, and the order of a sync (`deployment_controller.go`)
//! - [`revision`] which ReplicaSet is the new one, its annotations and numbers (`sync.go`, `util`)
//! - [`scale`] sizes outside a rollout: proportional scaling, clean-up (`sync.go`)
//! - [`rollout`] rolling update and recreation (`rolling.go`, `recreate.go`)
//! - [`status`] counts, conditions, the progress deadline (`progress.go`)

mod revision;
mod rollout;
mod scale;
mod status;
#[cfg(test)]
mod tests;

use crate::api::selector::LabelSelector;
use crate::api::{Value, int_or_string, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store};

use super::claim::{CONTROLLER, Claimant, by_controller};
use super::kinds::{DEPLOYMENT, POD, REPLICA_SET, count};

#[derive(Clone, Default)]
pub struct DeploymentController {
    deployments: usize,
    replica_sets: usize,
    pods: usize,
}

/// One Deployment and its ReplicaSets, in the hands of one sync. The Deployment is changed on the way (its
/// conditions, its revision), as upstream's copy is, and what is written of it is that copy.
struct Rollout {
    deployment: Value,
    /// Claimed ones, as they stood when the sync began.
    replica_sets: Vec<Value>,
}

/// The ReplicaSets of a Deployment, told apart.
struct Revisions {
    new: Option<Value>,
    old: Vec<Value>,
}

impl Revisions {
    fn all(&self) -> impl Iterator<Item = &Value> + Clone {
        self.old.iter().chain(&self.new)
    }
    fn active(&self) -> impl Iterator<Item = &Value> + Clone {
        self.all().filter(|set| replicas(set) > 0)
    }
}

fn replicas(object: &Value) -> i64 {
    count(object, "spec.replicas")
}
fn sum<'a>(sets: impl IntoIterator<Item = &'a Value>, path: &str) -> i64 {
    sets.into_iter().map(|set| count(set, path)).sum()
}
fn is_rolling_update(deployment: &Value) -> bool {
    deployment.text("spec.strategy.type") == "RollingUpdate"
}
/// `(maxSurge, maxUnavailable)` in pods. After `ResolveFenceposts`: never both zero.
fn fenceposts(deployment: &Value) -> (i64, i64) {
    if !is_rolling_update(deployment) {
        return (0, 0);
    }
    let scaled = |field: &str, round_up: bool| {
        let value = deployment.at("spec.strategy.rollingUpdate").at(field);
        int_or_string::scaled(value, replicas(deployment), round_up).unwrap_or(0)
    };
    match (scaled("maxSurge", true), scaled("maxUnavailable", false)) {
        (0, 0) => (0, 1),
        posts => posts,
    }
}
fn max_surge(deployment: &Value) -> i64 {
    fenceposts(deployment).0
}
fn max_unavailable(deployment: &Value) -> i64 {
    if replicas(deployment) == 0 { 0 } else { fenceposts(deployment).1.min(replicas(deployment)) }
}

impl DeploymentController {
    pub fn new() -> DeploymentController {
        DeploymentController::default()
    }
    fn resolve<'a>(&self, stores: &'a [Store], namespace: &str, reference: &Value) -> Option<&'a Value> {
        if reference.text("kind") != "Deployment" {
            return None;
        }
        let deployment = stores[self.deployments].get_by_name(namespace, reference.text("name"))?;
        (meta::uid(deployment) == reference.text("uid")).then_some(deployment)
    }
    fn replica_set_changed(&self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let set = &delta.object;
        let namespace = meta::namespace(set);
        let reference = meta::controller_of(set);
        let old = delta.old.as_ref().filter(|_| delta.kind == DeltaType::Updated);
        let old_reference = old.and_then(meta::controller_of);
        let owner_changed = old.is_some() && reference != old_reference;
        if owner_changed
            && let Some(deployment) = old_reference.and_then(|old| self.resolve(stores, namespace, old))
        {
            keys.add(key_of(deployment));
        }
        if let Some(reference) = reference {
            if let Some(deployment) = self.resolve(stores, namespace, reference) {
                keys.add(key_of(deployment));
            }
            return;
        }
        let is_news = match (delta.kind, old) {
            (DeltaType::Deleted, _) => false,
            (_, Some(old)) => owner_changed || meta::labels(old) != meta::labels(set),
            (_, None) => !meta::is_deleting(set),
        };
        if !is_news || meta::labels(set).is_empty() {
            return;
        }
        for deployment in stores[self.deployments].in_namespace(namespace) {
            let selects = LabelSelector::from_value(deployment.at("spec.selector"))
                .is_ok_and(|selector| !selector.is_empty() && selector.matches_object(set));
            if selects {
                keys.add(key_of(deployment));
            }
        }
    }
    /// The last old pod of a Deployment that recreates is gone: it may go on.
    fn pod_deleted(&self, pod: &Value, stores: &[Store], keys: &mut Keys) {
        let namespace = meta::namespace(pod);
        let deployment = meta::controller_of(pod)
            .filter(|reference| reference.text("kind") == "ReplicaSet")
            .and_then(|reference| {
                let set = stores[self.replica_sets].get_by_name(namespace, reference.text("name"))?;
                (meta::uid(set) == reference.text("uid")).then_some(set)
            })
            .and_then(|set| self.resolve(stores, namespace, meta::controller_of(set)?));
        let Some(deployment) =
            deployment.filter(|deployment| deployment.text("spec.strategy.type") == "Recreate")
        else {
            return;
        };
        let remaining = stores[self.replica_sets]
            .by_index(CONTROLLER, meta::uid(deployment))
            .flat_map(|set| stores[self.pods].by_index(CONTROLLER, meta::uid(set)))
            .count();
        if remaining == 0 {
            keys.add(key_of(deployment));
        }
    }
}

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }
    fn retries(&self) -> Option<u32> {
        Some(15)
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.deployments = informers.add(Selection::all(&DEPLOYMENT.resource));
        self.replica_sets = informers.add(Selection::all(&REPLICA_SET.resource));
        informers.add_index(self.replica_sets, CONTROLLER, by_controller);
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, CONTROLLER, by_controller);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.deployments {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.replica_sets {
            self.replica_set_changed(delta, stores, keys);
        } else if delta.informer == self.pods && delta.kind == DeltaType::Deleted {
            self.pod_deleted(&delta.object, stores, keys);
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(deployment) = DEPLOYMENT.find(call.store(self.deployments), call.key()) else {
            return Ok(());
        };
        let Ok(selector) = LabelSelector::from_value(deployment.at("spec.selector")) else {
            return Ok(());
        };
        if selector.is_empty() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            call.event(&deployment, "Warning", "SelectingAll", message);
            return Ok(());
        }
        let sets: Vec<Value> = call
            .store(self.replica_sets)
            .in_namespace(meta::namespace(&deployment))
            .map(|set| REPLICA_SET.named(set))
            .collect();
        let claimant =
            Claimant { owner: &deployment, kind: &DEPLOYMENT, selector: &selector, finalizer: None };
        let replica_sets = claimant.claim(call, sets, &REPLICA_SET)?;
        let mut rollout = Rollout { deployment, replica_sets };
        if meta::is_deleting(&rollout.deployment) {
            return rollout.sync_status_only(call);
        }
        rollout.check_paused(call)?;
        if rollout.deployment.is_true("spec.paused") || rollout.is_scaling(call)? {
            return rollout.sync(call);
        }
        if is_rolling_update(&rollout.deployment) {
            rollout.roll(call)
        } else {
            let old_pods = |set: &Value| -> Vec<Value> {
                call.store(self.pods).by_index(CONTROLLER, meta::uid(set)).cloned().collect()
            };
            let pods = rollout
                .replica_sets
                .iter()
                .map(|set| (set.shared_text("metadata.uid"), old_pods(set)))
                .collect();
            rollout.recreate(call, pods)
        }
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
