//! The templates that a StatefulSet had, as ControllerRevisions: which one its pods have, which one they get.
//!
//! Picture to hold in mind: the score on the stand and the score in the folder: players change one by one from
//! the one to the other, and old scores go when nobody plays from them.
//!
//! After `pkg/controller/history` and `getStatefulSetRevisions` of `stateful_set_control.go`.

use crate::api::selector::LabelSelector;
use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt, request};
use crate::controllers::claim::orphans;
use crate::controllers::hash;
use crate::controllers::kinds::{CONTROLLER_REVISION, STATEFUL_SET, count};
use crate::controllers::pods;
use crate::message::rest::PatchType;
use crate::object;

use super::{CONTROLLER, StatefulSetController, identity};

const HASH: &str = "controller.kubernetes.io/hash";
/// A name must leave room for the hash.
const LONGEST_PREFIX: usize = 223;

/// The revisions of a set, oldest first, with the two that count.
pub(super) struct History {
    pub all: Vec<Value>,
    pub current: Value,
    pub update: Value,
    /// How often a hash has been taken already.
    pub collisions: i64,
}

/// What a revision holds: a patch that brings the template back.
fn patch(set: &Value) -> Value {
    let template = set.at("spec.template").clone().with("$patch", "replace");
    object! { "spec" => object! { "template" => template } }
}

/// `set` with the template of `revision`.
pub(super) fn apply(set: &Value, revision: &Value) -> Value {
    let mut template = revision.at("data.spec.template").clone();
    template.remove("$patch");
    set.clone().with("spec.template", template)
}

impl StatefulSetController {
    fn list_revisions(&self, call: &Call, set: &Value, selector: &LabelSelector) -> Vec<Value> {
        let store = call.store(self.revisions);
        let mut all: Vec<Value> = store
            .by_index(CONTROLLER, meta::uid(set))
            .chain(store.by_index(CONTROLLER, &orphans(meta::namespace(set))))
            .filter(|revision| selector.matches_object(revision))
            .map(|revision| CONTROLLER_REVISION.named(revision))
            .collect();
        all.arrange_by(|a, b| {
            count(a, "revision").cmp(&count(b, "revision")).then_with(|| pods::by_creation(a, b))
        });
        all
    }

    pub(super) fn adopt_orphan_revisions(
        &self,
        call: &mut Call,
        set: &Value,
        selector: &LabelSelector,
    ) -> Result<(), Interrupt> {
        let mut orphans = self.list_revisions(call, set, selector);
        orphans.retain(|revision| meta::controller_of(revision).is_none());
        if orphans.is_empty() {
            return Ok(());
        }
        let (namespace, name) = (meta::namespace(set), meta::name(set));
        let fresh = call.get(&STATEFUL_SET.resource, namespace, name)?;
        let refusal = if meta::uid(&fresh) != meta::uid(set) {
            Some(format!("original StatefulSet {namespace}/{name} is gone"))
        } else {
            meta::deletion_timestamp(&fresh)
                .map(|since| format!("{namespace}/{name} has just been deleted at {since}"))
        };
        if let Some(refusal) = refusal {
            return Err(Interrupt::Failed(format!("can't adopt ControllerRevisions: {refusal}").into()));
        }
        for revision in orphans {
            let patch = object! { "metadata" => object! {
                "uid" => meta::uid(&revision),
                "ownerReferences" => vec![STATEFUL_SET.controller_reference(set)],
            } };
            let at = (namespace, meta::name(&revision));
            call.patch(&CONTROLLER_REVISION.resource, at, PatchType::StrategicMerge, patch)?;
        }
        Ok(())
    }

    /// The revision of the pods so far and that of the present template, which is written down if it is new.
    pub(super) fn history(
        &self,
        call: &mut Call,
        set: &Value,
        selector: &LabelSelector,
    ) -> Result<History, Interrupt> {
        let all = self.list_revisions(call, set, selector);
        let mut collisions = count(set, "status.collisionCount");
        let number = all.last().map_or(1, |last| count(last, "revision") + 1);
        let data = patch(set);
        let update = match all.iter().rfind(|revision| *revision.at("data") == data) {
            Some(same) if count(same, "revision") == number - 1 => same.clone(),
            // Back to an old template: its revision becomes the latest again.
            Some(same) => {
                call.update(&CONTROLLER_REVISION.resource, same.clone().with("revision", number))?
            }
            None => self.create_revision(call, set, data, number, &mut collisions)?,
        };
        let current = set.text("status.currentRevision");
        let current =
            all.iter().find(|revision| meta::name(revision) == current).cloned().unwrap_or(update.clone());
        Ok(History { all, current, update, collisions })
    }

    fn create_revision(
        &self,
        call: &mut Call,
        set: &Value,
        data: Value,
        number: i64,
        collisions: &mut i64,
    ) -> Result<Value, Interrupt> {
        let namespace = meta::namespace(set);
        let prefix: String = meta::name(set).chars().take(LONGEST_PREFIX).collect();
        let mut revision = object! {
            "apiVersion" => &CONTROLLER_REVISION.api_version,
            "kind" => &CONTROLLER_REVISION.kind,
            "metadata" => object! {
                "labels" => set.at("spec.template.metadata.labels"),
                "ownerReferences" => vec![STATEFUL_SET.controller_reference(set)],
            },
            "data" => data,
            "revision" => number,
        };
        if set.has("metadata.annotations") {
            revision.set("metadata.annotations", set.at("metadata.annotations"));
        }
        loop {
            let hash = hash::of_revision(revision.at("data"), *collisions);
            let name = format!("{prefix}-{hash}");
            revision.set("metadata.name", name.as_str());
            meta::set_label(&mut revision, HASH, hash);
            let create = request::create(&CONTROLLER_REVISION.resource, namespace, revision.clone());
            match call.attempt(create)? {
                Ok(created) => return Ok(created),
                Err(status) if status.text("reason") == "AlreadyExists" => {
                    let existing = call.get(&CONTROLLER_REVISION.resource, namespace, &name)?;
                    if existing.at("data") == revision.at("data") {
                        return Ok(existing);
                    }
                    *collisions += 1;
                }
                Err(status) => return Err(Interrupt::from_status(&status)),
            }
        }
    }

    /// Deletes the oldest revisions past `revisionHistoryLimit` that no pod is of.
    pub(super) fn truncate_history(
        &self,
        call: &mut Call,
        set: &Value,
        pods: &[Value],
        history: &History,
    ) -> Result<(), Interrupt> {
        let limit = set.integer("spec.revisionHistoryLimit").unwrap_or(10);
        let Ok(limit) = usize::try_from(limit) else { return Ok(()) };
        let is_live = |revision: &&Value| {
            let name = meta::name(revision);
            name == meta::name(&history.current)
                || name == meta::name(&history.update)
                || pods.iter().any(|pod| identity::revision(pod) == name)
        };
        let dead: Vec<&Value> = history.all.iter().filter(|revision| !is_live(revision)).collect();
        for revision in dead.iter().take(dead.len().saturating_sub(limit)) {
            call.delete(&CONTROLLER_REVISION.resource, meta::namespace(set), meta::name(revision))?;
        }
        Ok(())
    }
}
