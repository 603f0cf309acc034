//! The two strategies: rolling update, and recreation.
//!
//! Picture to hold in mind: changing the planks of a bridge: a few at a time with people on it, or all at once
//! with the bridge closed.

use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt};
use crate::controllers::kinds::count;
use crate::controllers::pods;

use super::revision::new_size;
use super::{Revisions, Rollout, max_unavailable, replicas, sum};

impl Rollout {
    /// One step of a rolling update: up if possible, else down if possible, else only the status.
    pub(super) fn roll(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let revisions = self.revisions(call, true)?;
        let Some(new) = revisions.new.clone() else { return Ok(()) };
        if self.scale_new(call, &revisions, &new)? || self.scale_old(call, &revisions, &new)? {
            return self.sync_rollout_status(call, &revisions);
        }
        if self.is_complete(self.deployment.at("status")) {
            self.clean_up(call, &revisions.old)?;
        }
        self.sync_rollout_status(call, &revisions)
    }

    fn scale_new(&mut self, call: &mut Call, revisions: &Revisions, new: &Value) -> Result<bool, Interrupt> {
        let wanted = replicas(&self.deployment);
        if replicas(new) == wanted {
            return Ok(false);
        }
        let size =
            if replicas(new) > wanted { wanted } else { new_size(&self.deployment, revisions.all(), new) };
        Ok(self.scale_set(call, new, size, false)?.0)
    }

    fn scale_old(&mut self, call: &mut Call, revisions: &Revisions, new: &Value) -> Result<bool, Interrupt> {
        let mut old: Vec<Value> = revisions.old.iter().filter(|set| replicas(set) > 0).cloned().collect();
        if old.is_empty() {
            return Ok(false);
        }
        let least = replicas(&self.deployment) - max_unavailable(&self.deployment);
        let new_unavailable = replicas(new) - count(new, "status.availableReplicas");
        let surplus = sum(revisions.all(), "spec.replicas") - least - new_unavailable;
        if surplus <= 0 {
            return Ok(false);
        }
        old.arrange_by(pods::by_creation);
        // What does not work anyway goes first: it costs no availability.
        let mut removed = 0;
        for set in &mut old {
            if removed >= surplus {
                break;
            }
            let unhealthy = replicas(set) - count(set, "status.availableReplicas");
            if unhealthy == 0 {
                continue;
            }
            let step = unhealthy.min(surplus - removed);
            *set = self.scale_set(call, set, replicas(set) - step, false)?.1;
            removed += step;
        }
        let available = sum(old.iter().chain([new]), "status.availableReplicas");
        let mut to_remove = available - least;
        for set in &old {
            if to_remove <= 0 {
                break;
            }
            let step = replicas(set).min(to_remove);
            if step == 0 {
                continue;
            }
            self.scale_set(call, set, replicas(set) - step, false)?;
            to_remove -= step;
            removed += step;
        }
        Ok(removed > 0)
    }

    /// One step of a recreation: all old pods down and gone, then the new ones up. `old_pods` holds the pods of
    /// each ReplicaSet by its UID.
    pub(super) fn recreate(
        &mut self,
        call: &mut Call,
        pods_by_set: Vec<(Text, Vec<Value>)>,
    ) -> Result<(), Interrupt> {
        let mut revisions = self.revisions(call, false)?;
        let mut scaled = false;
        for position in 0..revisions.old.len() {
            let set = revisions.old[position].clone();
            if replicas(&set) > 0 {
                let (changed, updated) = self.scale_set(call, &set, 0, false)?;
                revisions.old[position] = updated;
                scaled |= changed;
            }
        }
        if scaled || old_pods_are_running(&revisions, &pods_by_set) {
            return self.sync_rollout_status(call, &revisions);
        }
        if revisions.new.is_none() {
            revisions = self.revisions(call, true)?;
        }
        if let Some(new) = revisions.new.clone() {
            let wanted = replicas(&self.deployment);
            self.scale_set(call, &new, wanted, false)?;
        }
        if self.is_complete(self.deployment.at("status")) {
            self.clean_up(call, &revisions.old)?;
        }
        self.sync_rollout_status(call, &revisions)
    }
}

fn old_pods_are_running(revisions: &Revisions, pods_by_set: &[(Text, Vec<Value>)]) -> bool {
    if sum(&revisions.old, "status.replicas") > 0 {
        return true;
    }
    let new_uid = revisions.new.as_ref().map_or("", meta::uid);
    pods_by_set
        .iter()
        .filter(|(uid, _)| uid.as_str() != new_uid)
        .flat_map(|(_, pods)| pods)
        .any(|pod| !pods::is_terminal(pod))
}
