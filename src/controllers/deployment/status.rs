//! What a Deployment says of itself: counts, conditions, and whether it still gets on.
//!
//! Picture to hold in mind: a site sign: "3 of 4 floors, on schedule", and a date after which it says "delayed".

use crate::api::{Text, Value, meta, time};
use crate::client::{Call, Interrupt};
use crate::controllers::kinds::{DEPLOYMENT, count, set_count};
use crate::controllers::pods::seconds;
use crate::object;
use crate::sim::{Duration, Time};

use super::{Revisions, Rollout, max_unavailable, replicas, sum};

const TIMED_OUT: &str = "ProgressDeadlineExceeded";

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    meta::find_condition(status.items("conditions"), kind)
}
fn remove_condition(status: &mut Value, kind: &str) {
    if condition(status, kind).is_some() {
        let rest: Vec<Value> =
            status.items("conditions").iter().filter(|other| other.text("type") != kind).cloned().collect();
        if rest.is_empty() {
            status.remove("conditions");
        } else {
            status.set("conditions", rest);
        }
    }
}
fn new_condition(kind: &str, value: &str, reason: &str, message: Text, now: Time) -> Value {
    let now = time::rfc3339(now);
    object! {
        "type" => kind,
        "status" => value,
        "lastUpdateTime" => &now,
        "lastTransitionTime" => &now,
        "reason" => reason,
        "message" => message,
    }
}
/// Puts `new` at the end, unless the status and reason of its type stay as they are (`SetDeploymentCondition`).
fn set_condition(status: &mut Value, mut new: Value) {
    let kind = new.shared_text("type");
    if let Some(current) = condition(status, &kind)
        && current.text("status") == new.text("status")
    {
        if current.text("reason") == new.text("reason") {
            return;
        }
        new.set("lastTransitionTime", current.at("lastTransitionTime"));
    }
    remove_condition(status, &kind);
    status.at_mut("conditions").make_array().push(new);
}

impl Rollout {
    pub(super) fn condition(&self, kind: &str) -> Option<&Value> {
        condition(self.deployment.at("status"), kind)
    }
    /// Sets a condition of the Deployment in hand.
    pub(super) fn set_condition(
        &mut self,
        call: &Call,
        kind: &str,
        value: &str,
        reason: &str,
        message: Text,
    ) {
        let mut status = self.deployment.at("status").clone();
        set_condition(&mut status, new_condition(kind, value, reason, message, call.now()));
        self.deployment.set("status", status);
    }
    /// Seconds without progress after which the rollout counts as stuck; `None`: never.
    pub(super) fn progress_deadline(&self) -> Option<i64> {
        self.deployment
            .integer("spec.progressDeadlineSeconds")
            .filter(|deadline| *deadline != i64::from(i32::MAX))
    }

    /// Notes pause and resumption, so that the time in between does not count as lack of progress.
    pub(super) fn check_paused(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        if self.progress_deadline().is_none() {
            return Ok(());
        }
        let reason = self.condition("Progressing").map_or("", |condition| condition.text("reason"));
        let is_paused = self.deployment.is_true("spec.paused");
        let (reason, message) = match (reason, is_paused) {
            (TIMED_OUT, _) | ("DeploymentPaused", true) => return Ok(()),
            (_, true) => ("DeploymentPaused", "Deployment is paused"),
            ("DeploymentPaused", false) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(()),
        };
        self.set_condition(call, "Progressing", "Unknown", reason, message.into());
        call.update_status(&DEPLOYMENT.resource, self.deployment.clone())?;
        Ok(())
    }

    pub(super) fn sync_status_only(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let revisions = self.revisions(call, false)?;
        self.sync_status(call, &revisions)
    }
    pub(super) fn sync_status(&mut self, call: &mut Call, revisions: &Revisions) -> Result<(), Interrupt> {
        let status = self.calculate_status(call, revisions);
        self.write_status(call, status)?;
        Ok(())
    }
    /// Writes `status` unless it is what the Deployment in hand has; true if it was written.
    fn write_status(&mut self, call: &mut Call, status: Value) -> Result<bool, Interrupt> {
        if status == *self.deployment.at("status") {
            return Ok(false);
        }
        self.deployment.set("status", status);
        call.update_status(&DEPLOYMENT.resource, self.deployment.clone())?;
        Ok(true)
    }

    fn calculate_status(&self, call: &Call, revisions: &Revisions) -> Value {
        let available = sum(revisions.all(), "status.availableReplicas");
        let total = sum(revisions.all(), "spec.replicas");
        let mut status = Value::object();
        set_count(&mut status, "observedGeneration", meta::generation(&self.deployment));
        set_count(&mut status, "replicas", sum(revisions.all(), "status.replicas"));
        set_count(&mut status, "updatedReplicas", sum(&revisions.new, "status.replicas"));
        set_count(&mut status, "readyReplicas", sum(revisions.all(), "status.readyReplicas"));
        set_count(&mut status, "availableReplicas", available);
        set_count(&mut status, "unavailableReplicas", (total - available).max(0));
        if let Some(collisions) = self.deployment.integer("status.collisionCount") {
            status.set("collisionCount", collisions);
        }
        // A set that was synced but does not tell makes the sum unknown.
        let is_untold =
            |set: &Value| meta::observed_generation(set) != 0 && !set.has("status.terminatingReplicas");
        if !revisions.all().any(is_untold) {
            status.set("terminatingReplicas", sum(revisions.all(), "status.terminatingReplicas"));
        }
        if self.deployment.has("status.conditions") {
            status.set("conditions", self.deployment.at("status.conditions"));
        }
        let is_enough = available >= replicas(&self.deployment) - max_unavailable(&self.deployment);
        let (value, reason, message) = if is_enough {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(&mut status, new_condition("Available", value, reason, message.into(), call.now()));
        status
    }

    /// All pods wanted are there, new, and available, and no old one is left.
    pub(super) fn is_complete(&self, status: &Value) -> bool {
        let wanted = replicas(&self.deployment);
        ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|field| count(status, field) == wanted)
            && count(status, "observedGeneration") >= meta::generation(&self.deployment)
    }
    fn is_progressing(&self, new: &Value) -> bool {
        let old = self.deployment.at("status");
        let old_pods = |status: &Value| count(status, "replicas") - count(status, "updatedReplicas");
        let grew = |field: &str| count(new, field) > count(old, field);
        grew("updatedReplicas")
            || old_pods(new) < old_pods(old)
            || grew("readyReplicas")
            || grew("availableReplicas")
    }
    fn has_timed_out(&self, status: &Value, now: Time) -> bool {
        let (Some(deadline), Some(progressing)) =
            (self.progress_deadline(), condition(status, "Progressing"))
        else {
            return false;
        };
        match progressing.text("reason") {
            "NewReplicaSetAvailable" => false,
            TIMED_OUT => true,
            _ => time::parse(progressing.text("lastUpdateTime"))
                .is_some_and(|since| since + seconds(deadline) < now),
        }
    }

    /// The status in the course of a rollout, with its progress.
    pub(super) fn sync_rollout_status(
        &mut self,
        call: &mut Call,
        revisions: &Revisions,
    ) -> Result<(), Interrupt> {
        let now = call.now();
        let mut status = self.calculate_status(call, revisions);
        let has_deadline = self.progress_deadline().is_some();
        if !has_deadline {
            remove_condition(&mut status, "Progressing");
        }
        let current = self.condition("Progressing").cloned();
        let was_complete = count(&status, "replicas") == count(&status, "updatedReplicas")
            && current.as_ref().is_some_and(|now| now.text("reason") == "NewReplicaSetAvailable");
        if has_deadline && !was_complete {
            let subject = match &revisions.new {
                Some(new) => format!("ReplicaSet \"{}\"", meta::name(new)),
                None => format!("Deployment \"{}\"", meta::name(&self.deployment)),
            };
            let progressing = |value: &str, reason: &str, what: &str| {
                new_condition("Progressing", value, reason, arcstr::format!("{subject} {what}"), now)
            };
            if self.is_complete(&status) {
                let done = progressing("True", "NewReplicaSetAvailable", "has successfully progressed.");
                set_condition(&mut status, done);
            } else if self.is_progressing(&status) {
                let mut new = progressing("True", "ReplicaSetUpdated", "is progressing.");
                // The update time must move with each progress, even where status and reason stay.
                if let Some(current) = current {
                    if current.text("status") == "True" {
                        new.set("lastTransitionTime", current.at("lastTransitionTime"));
                    }
                    remove_condition(&mut status, "Progressing");
                }
                set_condition(&mut status, new);
            } else if self.has_timed_out(&status, now) {
                set_condition(&mut status, progressing("False", TIMED_OUT, "has timed out progressing."));
            }
        }
        let failure = revisions
            .new
            .iter()
            .chain(&revisions.old)
            .find_map(|set| condition(set.at("status"), "ReplicaFailure"));
        match failure {
            Some(failure) => {
                let since = failure.at("lastTransitionTime").clone();
                set_condition(&mut status, failure.clone().with("lastUpdateTime", since));
            }
            None => remove_condition(&mut status, "ReplicaFailure"),
        }
        if !self.write_status(call, status.clone())? {
            self.requeue_if_stuck(call, &status);
        }
        Ok(())
    }

    /// Nothing moves: looks again when the deadline is over.
    fn requeue_if_stuck(&self, call: &mut Call, status: &Value) {
        let (Some(deadline), Some(current)) = (self.progress_deadline(), self.condition("Progressing"))
        else {
            return;
        };
        if self.is_complete(status) || current.text("reason") == TIMED_OUT {
            return;
        }
        let Some(since) = time::parse(current.text("lastUpdateTime")) else { return };
        let after = (since + seconds(deadline)).since(call.now());
        call.requeue_after(after + Duration::from_secs(1));
    }
}
