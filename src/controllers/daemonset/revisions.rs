//! The templates that a DaemonSet had, kept for rollback as ControllerRevisions.
//!
//! Picture to hold in mind: a drawer of old patterns, numbered; the one in use has the highest number.
//!
//! After `pkg/controller/daemon/update.go` (`constructHistory`, `snapshot`, `cleanupHistory`).

use crate::api::selector::LabelSelector;
use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt, request};
use crate::controllers::claim::Claimant;
use crate::controllers::hash;
use crate::controllers::kinds::{CONTROLLER_REVISION, DAEMON_SET, POD, count};
use crate::message::rest::PatchType;
use crate::object;

use super::{DaemonSetController, Daemons, REVISION_HASH};

/// The revision of the present template, and those of the past.
pub(super) struct History {
    pub current: Value,
    pub old: Vec<Value>,
}

/// What a revision holds: a patch that brings the template back.
fn patch(set: &Value) -> Value {
    let template = set.at("spec.template").clone().with("$patch", "replace");
    object! { "spec" => object! { "template" => template } }
}

impl DaemonSetController {
    pub(super) fn history(
        &self,
        call: &mut Call,
        set: &Value,
        selector: &LabelSelector,
    ) -> Result<History, Interrupt> {
        let all: Vec<Value> = call
            .store(self.revisions)
            .in_namespace(meta::namespace(set))
            .map(|revision| CONTROLLER_REVISION.named(revision))
            .collect();
        let claimant = Claimant { owner: set, kind: &DAEMON_SET, selector, finalizer: None };
        let wanted = patch(set);
        let (mut current, mut old) = (Vec::new(), Vec::new());
        for mut revision in claimant.claim(call, all, &CONTROLLER_REVISION)? {
            if meta::label(&revision, REVISION_HASH).is_none() {
                let name = revision.shared_text("metadata.name");
                meta::set_label(&mut revision, REVISION_HASH, name);
                revision = call.update(&CONTROLLER_REVISION.resource, revision)?;
            }
            if *revision.at("data") == wanted { current.push(revision) } else { old.push(revision) }
        }
        let number = old.iter().map(|revision| count(revision, "revision")).max().unwrap_or(0) + 1;
        let current = if current.is_empty() {
            self.snapshot(call, set, wanted, number)?
        } else {
            let kept = self.deduplicate(call, set, current)?;
            if count(&kept, "revision") < number {
                call.update(&CONTROLLER_REVISION.resource, kept.clone().with("revision", number))?;
            }
            kept
        };
        Ok(History { current, old })
    }

    fn snapshot(&self, call: &mut Call, set: &Value, data: Value, number: i64) -> Result<Value, Interrupt> {
        let hash = hash::of(set.at("spec.template"), set.integer("status.collisionCount"));
        let (namespace, name) = (meta::namespace(set), format!("{}-{hash}", meta::name(set)));
        let mut revision = object! {
            "apiVersion" => &CONTROLLER_REVISION.api_version,
            "kind" => &CONTROLLER_REVISION.kind,
            "metadata" => object! {
                "name" => name.as_str(),
                "namespace" => namespace,
                "labels" => set.at("spec.template.metadata.labels"),
                "ownerReferences" => vec![DAEMON_SET.controller_reference(set)],
            },
            "data" => data.clone(),
            "revision" => number,
        };
        if set.has("metadata.annotations") {
            revision.set("metadata.annotations", set.at("metadata.annotations"));
        }
        meta::set_label(&mut revision, REVISION_HASH, hash);
        match call.attempt(request::create(&CONTROLLER_REVISION.resource, namespace, revision))? {
            Ok(created) => Ok(created),
            Err(status) if status.text("reason") == "AlreadyExists" => {
                let existing = call.get(&CONTROLLER_REVISION.resource, namespace, &name)?;
                if *existing.at("data") == data {
                    return Ok(existing);
                }
                // Two templates with one hash: the next attempt mixes in another number.
                let mut fresh = call.get(&DAEMON_SET.resource, namespace, meta::name(set))?;
                let collisions = count(&fresh, "status.collisionCount") + 1;
                fresh.set("status.collisionCount", collisions);
                call.update_status(&DAEMON_SET.resource, fresh)?;
                Err(Interrupt::from_status(&status))
            }
            Err(status) => Err(Interrupt::from_status(&status)),
        }
    }

    /// Of several revisions of the present template the latest stays, and all pods are said to be of it.
    fn deduplicate(&self, call: &mut Call, set: &Value, mut current: Vec<Value>) -> Result<Value, Interrupt> {
        current.arrange_by_key(|revision| count(revision, "revision"));
        let Some(kept) = current.pop() else {
            return Err(Interrupt::Failed("no revision of the present template".into()));
        };
        if current.is_empty() {
            return Ok(kept);
        }
        let hash = meta::label(&kept, REVISION_HASH).unwrap_or("").to_owned();
        let namespace = meta::namespace(set).to_owned();
        let pods: Vec<Value> = call
            .store(self.pods)
            .by_index(super::CONTROLLER, meta::uid(set))
            .filter(|pod| meta::label(pod, REVISION_HASH) != Some(hash.as_str()))
            .cloned()
            .collect();
        for pod in pods {
            let labels = object! { REVISION_HASH => hash.as_str() };
            let patch = object! { "metadata" => object! { "labels" => labels } };
            call.patch(&POD.resource, (&namespace, meta::name(&pod)), PatchType::Merge, patch)?;
        }
        for revision in current {
            call.delete(&CONTROLLER_REVISION.resource, &namespace, meta::name(&revision))?;
        }
        Ok(kept)
    }

    /// Deletes the oldest revisions past `revisionHistoryLimit` that no pod is of.
    pub(super) fn clean_up_history(
        &self,
        call: &mut Call,
        daemons: &Daemons,
        old: &[Value],
    ) -> Result<(), Interrupt> {
        let limit = usize::try_from(count(&daemons.set, "spec.revisionHistoryLimit")).unwrap_or(0);
        let mut surplus = old.len().saturating_sub(limit);
        let mut old: Vec<&Value> = old.iter().collect();
        old.arrange_by_key(|revision| count(revision, "revision"));
        let is_live = |revision: &Value| {
            let hash = meta::label(revision, REVISION_HASH);
            daemons.pods.values().flatten().any(|pod| meta::label(pod, REVISION_HASH) == hash)
        };
        for revision in old {
            if surplus == 0 {
                break;
            }
            if !is_live(revision) {
                let namespace = meta::namespace(&daemons.set);
                call.delete(&CONTROLLER_REVISION.resource, namespace, meta::name(revision))?;
                surplus -= 1;
            }
        }
        Ok(())
    }
}
