//! Sizes outside a rollout: scaling in proportion, and clearing out old revisions.
//!
//! Picture to hold in mind: a baker with several half-risen doughs: asked for more, each gets flour by its
//! size, and what is left over goes to the largest.

use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt, request};
use crate::controllers::kinds::{REPLICA_SET, count};
use crate::controllers::pods;

use super::revision::{DESIRED_REPLICAS, MAX_REPLICAS, revision, set_replicas_annotations};
use super::{Revisions, Rollout, is_rolling_update, max_surge, replicas, sum};

impl Rollout {
    /// Whether the Deployment's size was changed since its ReplicaSets were last told of it.
    pub(super) fn is_scaling(&mut self, call: &mut Call) -> Result<bool, Interrupt> {
        let revisions = self.revisions(call, false)?;
        let wanted = replicas(&self.deployment);
        Ok(revisions
            .active()
            .filter_map(|set| annotation(set, DESIRED_REPLICAS))
            .any(|desired| desired != wanted))
    }

    /// Paused, or being scaled: sizes and status, no rollout.
    pub(super) fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let revisions = self.revisions(call, false)?;
        self.scale(call, &revisions)?;
        if self.deployment.is_true("spec.paused") {
            self.clean_up(call, &revisions.old)?;
        }
        self.sync_status(call, &revisions)
    }

    fn scale(&mut self, call: &mut Call, revisions: &Revisions) -> Result<(), Interrupt> {
        let wanted = replicas(&self.deployment);
        let active: Vec<&Value> = revisions.active().collect();
        let only = match active.as_slice() {
            [] => revisions.new.as_ref().or(revisions.old.iter().max_by(|a, b| pods::by_creation(a, b))),
            [one] => Some(*one),
            _ => None,
        };
        if let Some(only) = only {
            if replicas(only) != wanted {
                self.scale_set(call, only, wanted, false)?;
            }
            return Ok(());
        }
        if active.is_empty() {
            return Ok(());
        }
        if revisions.new.as_ref().is_some_and(|new| is_saturated(&self.deployment, new)) {
            for old in revisions.old.iter().filter(|old| replicas(old) > 0) {
                self.scale_set(call, old, 0, false)?;
            }
            return Ok(());
        }
        if !is_rolling_update(&self.deployment) {
            return Ok(());
        }
        for (set, size) in proportions(&self.deployment, active) {
            self.scale_set(call, &set, size, true)?;
        }
        Ok(())
    }

    /// Gives `set` the size `size`; if `force`d, brings its annotations up to date though the size stays.
    /// Returns whether the size changed, and the set as it is now.
    pub(super) fn scale_set(
        &mut self,
        call: &mut Call,
        set: &Value,
        size: i64,
        force: bool,
    ) -> Result<(bool, Value), Interrupt> {
        let old_size = replicas(set);
        if !force && old_size == size {
            return Ok((false, set.clone()));
        }
        let mut copy = set.clone();
        let wanted = replicas(&self.deployment);
        let annotated = set_replicas_annotations(&mut copy, wanted, wanted + max_surge(&self.deployment));
        if old_size == size && !annotated {
            return Ok((false, set.clone()));
        }
        copy.set("spec.replicas", size);
        let updated = call.update(&REPLICA_SET.resource, copy)?;
        if old_size != size {
            let direction = if old_size < size { "up" } else { "down" };
            let message = arcstr::format!(
                "Scaled {direction} replica set {} from {old_size} to {size}",
                meta::name(set)
            );
            call.event(&self.deployment, "Normal", "ScalingReplicaSet", message);
        }
        Ok((old_size != size, updated))
    }

    /// Deletes old revisions that are empty, but for the last `revisionHistoryLimit`.
    pub(super) fn clean_up(&mut self, call: &mut Call, old: &[Value]) -> Result<(), Interrupt> {
        let Some(limit) = self
            .deployment
            .integer("spec.revisionHistoryLimit")
            .filter(|limit| *limit != i64::from(i32::MAX))
        else {
            return Ok(());
        };
        let mut candidates: Vec<&Value> = old.iter().filter(|set| !meta::is_deleting(set)).collect();
        candidates.arrange_by(|a, b| match (revision(a), revision(b)) {
            (Some(first), Some(second)) if first != second => first.cmp(&second),
            _ => pods::by_creation(a, b),
        });
        let surplus = candidates.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for set in candidates.into_iter().take(surplus) {
            let is_in_use = count(set, "status.replicas") != 0
                || replicas(set) != 0
                || meta::generation(set) > meta::observed_generation(set);
            if is_in_use {
                continue;
            }
            let delete = request::delete(&REPLICA_SET.resource, meta::namespace(set), meta::name(set));
            if let Err(status) = call.attempt(delete)?
                && status.text("reason") != "NotFound"
            {
                return Err(Interrupt::from_status(&status));
            }
        }
        Ok(())
    }
}

fn annotation(set: &Value, name: &str) -> Option<i64> {
    meta::annotation(set, name)?.parse::<i32>().ok().filter(|number| *number >= 0).map(i64::from)
}

/// The new ReplicaSet carries all of the Deployment's pods, and they are available.
fn is_saturated(deployment: &Value, set: &Value) -> bool {
    let wanted = replicas(deployment);
    annotation(set, DESIRED_REPLICAS) == Some(wanted)
        && replicas(set) == wanted
        && count(set, "status.availableReplicas") == wanted
}

/// The sizes of all active sets after the Deployment's size changed in the midst of a rollout.
pub(super) fn proportions(deployment: &Value, active: Vec<&Value>) -> Vec<(Value, i64)> {
    let wanted = replicas(deployment);
    let allowed = if wanted > 0 { wanted + max_surge(deployment) } else { 0 };
    let to_add = allowed - sum(active.iter().copied(), "spec.replicas");
    let mut sets: Vec<Value> = active.into_iter().cloned().collect();
    // The largest first; of equal ones the newer when growing, the older when shrinking.
    sets.arrange_by(|a, b| {
        let by_age = pods::by_creation(a, b);
        replicas(b).cmp(&replicas(a)).then(if to_add > 0 { by_age.reverse() } else { by_age })
    });
    let mut added = 0;
    let mut sizes: Vec<(Value, i64)> = Vec::new();
    for set in sets {
        let share = if to_add == 0 || to_add == added {
            0
        } else {
            let fraction = fraction(deployment, &set);
            if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) }
        };
        added += share;
        let size = replicas(&set) + share;
        sizes.push((set, size));
    }
    if let Some((_, size)) = sizes.first_mut() {
        *size = (*size + to_add - added).max(0);
    }
    sizes
}

/// How many pods a set should gain or lose for its share to stay the same.
fn fraction(deployment: &Value, set: &Value) -> i64 {
    let size = replicas(set);
    if replicas(deployment) == 0 {
        return -size;
    }
    let most = replicas(deployment) + max_surge(deployment);
    let most_before = annotation(set, MAX_REPLICAS)
        .filter(|before| *before != 0)
        .unwrap_or_else(|| count(deployment, "status.replicas"));
    if most_before == 0 {
        return 0;
    }
    // Rounded half up, in whole numbers.
    (2 * size * most + most_before) / (2 * most_before) - size
}
