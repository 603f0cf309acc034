//! Which ReplicaSet is a Deployment's new one, and what is written on it.
//!
//! Picture to hold in mind: a file of drafts. The one whose text equals today's is the current one, and gets a
//! number above all others; if there is none, a fresh sheet is put in.

use crate::api::{Text, Value, meta};
use crate::arrange::Arrange;
use crate::client::{Call, Interrupt, request};
use crate::controllers::kinds::{DEPLOYMENT, REPLICA_SET, count};
use crate::controllers::{hash, pod_control, pods};

use super::{Revisions, Rollout, is_rolling_update, max_surge, replicas, sum};

pub const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Longer than this the list of former revisions does not grow.
const REVISION_HISTORY_CHARS: usize = 2000;
/// Annotations that stay with the Deployment.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Whether two pod templates are equal but for the hash label.
pub fn equal_ignoring_hash(a: &Value, b: &Value) -> bool {
    let is_equal = |a: &Value, b: &Value| a.is_same(b) || a == b || (a.is_empty() && b.is_empty());
    let labels = |template: &Value| {
        let mut labels = template.map("metadata.labels").clone();
        labels.remove(TEMPLATE_HASH);
        labels
    };
    let (meta_a, meta_b) = (a.at("metadata"), b.at("metadata"));
    is_equal(a.at("spec"), b.at("spec"))
        && ["annotations", "name", "finalizers"]
            .iter()
            .all(|field| is_equal(meta_a.at(field), meta_b.at(field)))
        && labels(a) == labels(b)
}

/// The number in the revision annotation; `None` if it is no number, 0 if there is none.
pub fn revision(object: &Value) -> Option<i64> {
    meta::annotation(object, REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// `(desired, max)` of the annotations that tell a scaling from a rollout; true if that changed anything.
pub fn set_replicas_annotations(set: &mut Value, desired: i64, max: i64) -> bool {
    let mut changed = false;
    for (name, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, max)] {
        let value = value.to_string();
        if meta::annotation(set, name) != Some(value.as_str()) {
            meta::set_annotation(set, name, value);
            changed = true;
        }
    }
    changed
}

/// Brings the annotations of `set` up to the Deployment's and to `new_revision`; true if that changed anything.
fn set_annotations(deployment: &Value, set: &mut Value, new_revision: i64, exists: bool) -> bool {
    let mut changed = false;
    for (name, value) in meta::annotations(deployment).iter() {
        if !NOT_COPIED.contains(&name.as_str()) && meta::annotations(set).get(name) != Some(value) {
            meta::set_annotation(set, name, value);
            changed = true;
        }
    }
    let old_text = meta::annotation(set, REVISION).map(Text::from);
    let Some(old_revision) = revision(set) else { return false };
    if old_revision < new_revision {
        meta::set_annotation(set, REVISION, new_revision.to_string());
        changed = true;
        // It has served before: this is a rollback, and its former numbers are kept.
        if let Some(old_text) = old_text {
            remember_revision(set, &old_text);
        }
    }
    if !exists {
        let desired = replicas(deployment);
        changed |= set_replicas_annotations(set, desired, desired + max_surge(deployment));
    }
    changed
}

fn remember_revision(set: &mut Value, revision: &str) {
    let history = meta::annotation(set, REVISION_HISTORY).unwrap_or("").to_owned();
    let mut former: Vec<&str> = history.split(',').filter(|number| !number.is_empty()).collect();
    former.push(revision);
    let mut start = 0;
    while former[start..].join(",").len() > REVISION_HISTORY_CHARS && start + 1 < former.len() {
        start += 1;
    }
    let history = former[start..].join(",");
    meta::set_annotation(set, REVISION_HISTORY, history);
}

impl Rollout {
    fn find_new(&self) -> Option<usize> {
        let template = self.deployment.at("spec.template");
        // Of several equal ones the oldest.
        (0..self.replica_sets.len())
            .filter(|&index| equal_ignoring_hash(template, self.replica_sets[index].at("spec.template")))
            .min_by(|&a, &b| pods::by_creation(&self.replica_sets[a], &self.replica_sets[b]))
    }

    /// All ReplicaSets, told apart, with revision numbers brought up to date; the new one is made if `create`.
    pub(super) fn revisions(&mut self, call: &mut Call, create: bool) -> Result<Revisions, Interrupt> {
        let new = self.find_new();
        let mut old: Vec<Value> = self
            .replica_sets
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != new)
            .map(|(_, set)| set.clone())
            .collect();
        old.arrange_by(pods::by_creation);
        let new_revision = old.iter().filter_map(revision).max().unwrap_or(0).max(0) + 1;
        let new = match new {
            Some(index) => Some(self.adopt_as_new(call, self.replica_sets[index].clone(), new_revision)?),
            None if create => Some(self.create_new(call, &old, new_revision)?),
            None => None,
        };
        Ok(Revisions { new, old })
    }

    fn adopt_as_new(&mut self, call: &mut Call, set: Value, new_revision: i64) -> Result<Value, Interrupt> {
        let mut copy = set;
        let annotated = set_annotations(&self.deployment, &mut copy, new_revision, true);
        let min_ready_seconds = count(&self.deployment, "spec.minReadySeconds");
        if annotated || count(&copy, "spec.minReadySeconds") != min_ready_seconds {
            crate::controllers::kinds::set_count(&mut copy, "spec.minReadySeconds", min_ready_seconds);
            return call.update(&REPLICA_SET.resource, copy);
        }
        let number = meta::annotation(&copy, REVISION).unwrap_or("").to_owned();
        let mut needs_update = self.set_revision(&number);
        if self.progress_deadline().is_some() && self.condition("Progressing").is_none() {
            let message = arcstr::format!("Found new replica set \"{}\"", meta::name(&copy));
            self.set_condition(call, "Progressing", "True", "FoundNewReplicaSet", message);
            needs_update = true;
        }
        if needs_update {
            call.update_status(&DEPLOYMENT.resource, self.deployment.clone())?;
        }
        Ok(copy)
    }

    fn create_new(&mut self, call: &mut Call, old: &[Value], new_revision: i64) -> Result<Value, Interrupt> {
        let deployment = self.deployment.clone();
        let name = meta::name(&deployment);
        let hash = hash::of(deployment.at("spec.template"), deployment.integer("status.collisionCount"));
        let mut template = deployment.at("spec.template").clone();
        template.at_mut("metadata.labels").make_object().insert(TEMPLATE_HASH, hash.as_str());
        let mut selector = deployment.at("spec.selector").clone();
        selector.at_mut("matchLabels").make_object().insert(TEMPLATE_HASH, hash.as_str());
        let mut set = Value::object();
        set.set("apiVersion", &REPLICA_SET.api_version).set("kind", &REPLICA_SET.kind);
        let longest = 253 - 1 - hash.len();
        let stem = name.get(..longest).unwrap_or(name);
        set.set("metadata.name", format!("{stem}-{hash}"));
        set.set("metadata.namespace", deployment.at("metadata.namespace"));
        set.set("metadata.labels", template.at("metadata.labels"));
        set.set("metadata.ownerReferences", vec![DEPLOYMENT.controller_reference(&deployment)]);
        set.set("spec.selector", selector).set("spec.template", template).set("spec.replicas", 0);
        let min_ready_seconds = count(&deployment, "spec.minReadySeconds");
        crate::controllers::kinds::set_count(&mut set, "spec.minReadySeconds", min_ready_seconds);
        let size = new_size(&deployment, old.iter().chain([&set]), &set);
        set.set("spec.replicas", size);
        set_annotations(&deployment, &mut set, new_revision, false);

        let request = request::create(&REPLICA_SET.resource, meta::namespace(&deployment), set.clone());
        let (created, is_new) = match call.attempt(request)? {
            Ok(created) => (created, true),
            Err(status) if status.text("reason") == "AlreadyExists" => {
                (self.take_existing(call, &set, &status)?, false)
            }
            Err(status) if pod_control::is_namespace_terminating(&status) => {
                return Err(Interrupt::from_status(&status));
            }
            Err(status) => {
                let message = arcstr::format!(
                    "Failed to create new replica set \"{}\": {}",
                    meta::name(&set),
                    status.text("message")
                );
                if self.progress_deadline().is_some() {
                    self.set_condition(
                        call,
                        "Progressing",
                        "False",
                        "ReplicaSetCreateError",
                        message.clone(),
                    );
                    let write = request::update_status(&DEPLOYMENT.resource, self.deployment.clone());
                    let _ = call.attempt(write)?;
                }
                call.event(&deployment, "Warning", "ReplicaSetCreateError", message);
                return Err(Interrupt::from_status(&status));
            }
        };
        if is_new && size > 0 {
            let message = arcstr::format!("Scaled up replica set {} from 0 to {size}", meta::name(&created));
            call.event(&deployment, "Normal", "ScalingReplicaSet", message);
        }
        let mut needs_update = self.set_revision(&new_revision.to_string());
        if is_new && self.progress_deadline().is_some() {
            let message = arcstr::format!("Created new replica set \"{}\"", meta::name(&created));
            self.set_condition(call, "Progressing", "True", "NewReplicaSetCreated", message);
            needs_update = true;
        }
        if needs_update {
            call.update_status(&DEPLOYMENT.resource, self.deployment.clone())?;
        }
        Ok(created)
    }

    /// A ReplicaSet of the very name is there: the same one (the cache was behind), or a collision of hashes.
    fn take_existing(&mut self, call: &mut Call, set: &Value, status: &Value) -> Result<Value, Interrupt> {
        let (namespace, name) = (meta::namespace(set), meta::name(set));
        let existing = call.get(&REPLICA_SET.resource, namespace, name)?;
        let is_ours = meta::is_controlled_by(&existing, meta::uid(&self.deployment));
        let template = self.deployment.at("spec.template");
        if is_ours && equal_ignoring_hash(template, existing.at("spec.template")) {
            return Ok(existing);
        }
        let collisions = count(&self.deployment, "status.collisionCount") + 1;
        self.deployment.set("status.collisionCount", collisions);
        let write = request::update_status(&DEPLOYMENT.resource, self.deployment.clone());
        let _ = call.attempt(write)?;
        Err(Interrupt::from_status(status))
    }

    /// Writes the revision on the Deployment in hand; true if it was another.
    fn set_revision(&mut self, number: &str) -> bool {
        let differs = meta::annotation(&self.deployment, REVISION).unwrap_or("") != number;
        if differs {
            meta::set_annotation(&mut self.deployment, REVISION, number);
        }
        differs
    }
}

/// The size that the new ReplicaSet may have now (`NewRSNewReplicas`).
pub fn new_size<'a>(deployment: &Value, all: impl IntoIterator<Item = &'a Value>, new: &Value) -> i64 {
    let wanted = replicas(deployment);
    if !is_rolling_update(deployment) {
        return wanted;
    }
    let most = wanted + max_surge(deployment);
    let present = sum(all, "spec.replicas");
    if present >= most {
        return replicas(new);
    }
    replicas(new) + (most - present).min(wanted - replicas(new))
}
