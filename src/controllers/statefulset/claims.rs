//! The volume claims of a replica: made before it, and owned as the retention policy says.
//!
//! Picture to hold in mind: a locker for each chair. Whether it is emptied when the chair is taken away, or
//! when the orchestra is dissolved, is written on its door: that is the owner reference.
//!
//! After `pkg/controller/statefulset/stateful_pod_control.go` and `stateful_set_utils.go` (KEP-1847).

use crate::api::{Value, meta};
use crate::client::store::Store;
use crate::client::{Call, Interrupt, request};
use crate::controllers::claim::aggregate;
use crate::controllers::kinds::{Kind, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET};

use super::{StatefulSetController, identity};

/// Who may own the claims.
struct Policy {
    delete_when_scaled: bool,
    delete_when_deleted: bool,
}

impl Policy {
    fn of(set: &Value) -> Policy {
        let policy = set.at("spec.persistentVolumeClaimRetentionPolicy");
        Policy {
            delete_when_scaled: policy.text("whenScaled") == "Delete",
            delete_when_deleted: policy.text("whenDeleted") == "Delete",
        }
    }
    fn retains_all(&self) -> bool {
        !self.delete_when_scaled && !self.delete_when_deleted
    }
    /// Whether the set, and whether the pod, is to own the pod's claims.
    fn owners(&self, set: &Value, pod: &Value) -> (bool, bool) {
        let is_scaled_down = !identity::ordinals(set).contains(&identity::ordinal(pod));
        let pod_owns = self.delete_when_scaled && is_scaled_down;
        (self.delete_when_deleted && !pod_owns, pod_owns)
    }
}

fn means(reference: &Value, object: &Value, kind: &Kind) -> bool {
    reference.text("apiVersion") == kind.api_version.as_str()
        && reference.text("kind") == kind.kind.as_str()
        && reference.text("name") == meta::name(object)
}
fn is_owned_by(claim: &Value, owner: &Value) -> bool {
    !meta::uid(owner).is_empty()
        && meta::owner_references(claim).iter().any(|reference| reference.text("uid") == meta::uid(owner))
}
/// Owned by a former object of the owner's name.
fn has_stale_owner(claim: &Value, owner: &Value, kind: &Kind) -> bool {
    meta::owner_references(claim)
        .iter()
        .find(|reference| means(reference, owner, kind))
        .is_some_and(|reference| reference.text("uid") != meta::uid(owner))
}
fn has_unexpected_controller(claim: &Value, set: &Value, pod: &Value) -> bool {
    if Policy::of(set).retains_all() {
        return false;
    }
    meta::owner_references(claim).iter().any(|reference| {
        let uid = reference.text("uid");
        if means(reference, set, &STATEFUL_SET) {
            uid != meta::uid(set)
        } else if means(reference, pod, &POD) {
            uid != meta::uid(pod)
        } else {
            reference.is_true("controller")
        }
    })
}

/// Whether the claim's owners are those that the policy asks for, or not to be touched.
fn is_up_to_date(claim: &Value, set: &Value, pod: &Value) -> bool {
    if has_stale_owner(claim, set, &STATEFUL_SET) || has_stale_owner(claim, pod, &POD) {
        return true;
    }
    let owned = (is_owned_by(claim, set), is_owned_by(claim, pod));
    if has_unexpected_controller(claim, set, pod) {
        return owned == (false, false);
    }
    let is_ours = |reference: &&Value| {
        let uid = reference.text("uid");
        uid == meta::uid(set) || uid == meta::uid(pod)
    };
    let all_control =
        meta::owner_references(claim).iter().filter(is_ours).all(|reference| reference.is_true("controller"));
    all_control && owned == Policy::of(set).owners(set, pod)
}

/// `claim` with the owners that the policy asks for.
fn with_owners(claim: &Value, set: &Value, pod: &Value) -> Value {
    let mut references: Vec<Value> = meta::owner_references(claim)
        .iter()
        .filter(|reference| !means(reference, set, &STATEFUL_SET) && !means(reference, pod, &POD))
        .cloned()
        .collect();
    if !has_unexpected_controller(claim, set, pod) {
        let (set_owns, pod_owns) = Policy::of(set).owners(set, pod);
        for (owns, owner, kind) in [(set_owns, set, &STATEFUL_SET), (pod_owns, pod, &POD)] {
            if owns && !references.iter().any(|reference| reference.text("uid") == meta::uid(owner)) {
                references.push(kind.controller_reference(owner));
            }
        }
    }
    let mut claim = PERSISTENT_VOLUME_CLAIM.named(claim);
    if references.is_empty() {
        claim.remove("metadata.ownerReferences");
    } else {
        claim.set("metadata.ownerReferences", Value::array(references));
    }
    claim
}

impl StatefulSetController {
    /// The claims of `pod` that exist.
    fn known_claims(&self, store: &Store, set: &Value, pod: &Value) -> Vec<Value> {
        let ordinal = identity::ordinal(pod);
        set.items("spec.volumeClaimTemplates")
            .iter()
            .filter_map(|template| {
                let name = identity::claim_name(set, template, ordinal);
                store.get_by_name(meta::namespace(set), &name).cloned()
            })
            .collect()
    }
    pub(super) fn claims_match_policy(&self, call: &Call, set: &Value, pod: &Value) -> bool {
        let known = self.known_claims(call.store(self.claims), set, pod);
        known.iter().all(|claim| is_up_to_date(claim, set, pod))
    }
    /// A claim of `pod` belongs to a former pod of the name and will go with it.
    pub(super) fn has_stale_claim(&self, call: &Call, set: &Value, pod: &Value) -> bool {
        Policy::of(set).delete_when_scaled
            && self
                .known_claims(call.store(self.claims), set, pod)
                .iter()
                .any(|claim| has_stale_owner(claim, pod, &POD))
    }
    /// Gives the pod's claims the owners that the policy asks for.
    pub(super) fn update_claim_owners(
        &mut self,
        call: &mut Call,
        set: &Value,
        pod: &Value,
    ) -> Result<(), Interrupt> {
        let key = call.key().clone();
        for claim in self.known_claims(call.store(self.claims), set, pod) {
            let name = meta::name(&claim);
            if has_unexpected_controller(&claim, set, pod) {
                let message = format!(
                    "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging \
                     controller, the retention policy is ignored for this claim"
                );
                call.event(set, "Warning", "ConflictingController", message);
            }
            if !is_up_to_date(&claim, set, pod) {
                let update =
                    request::update(&PERSISTENT_VOLUME_CLAIM.resource, with_owners(&claim, set, pod));
                match call.attempt(update)? {
                    Ok(written) => {
                        if call.once() {
                            self.written.wrote(&key, self.claims, &written);
                        }
                    }
                    Err(status) => {
                        let error = format!(
                            "could not update claim {name} for delete policy ownerRefs: {}",
                            status.text("message")
                        );
                        self.tell_of_pod(call, "Update", set, pod, Some(&error));
                        return Err(Interrupt::Failed(error.into()));
                    }
                }
            }
        }
        Ok(())
    }
    /// Creates the claims that `pod` lacks.
    pub(super) fn create_claims(
        &mut self,
        call: &mut Call,
        set: &Value,
        pod: &Value,
    ) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let namespace = meta::namespace(set);
        let mut errors = Vec::new();
        for claim in identity::claims(set, pod) {
            let name = claim.shared_text("metadata.name");
            if let Some(known) = call.store(self.claims).get_by_name(namespace, &name) {
                if meta::is_deleting(known) {
                    errors.push(format!("pvc {name} is being deleted"));
                }
                continue;
            }
            let (pod_name, set_name) = (meta::name(pod), meta::name(set));
            match call.attempt(request::create(&PERSISTENT_VOLUME_CLAIM.resource, namespace, claim))? {
                Ok(created) => {
                    if call.once() {
                        self.written.wrote(&key, self.claims, &created);
                    }
                    let message =
                        format!("Create Claim {name} Pod {pod_name} in StatefulSet {set_name} success");
                    call.event(set, "Normal", "SuccessfulCreate", message);
                }
                Err(status) => {
                    let error = status.text("message");
                    errors.push(format!("failed to create PVC {name}: {error}"));
                    if status.text("reason") != "AlreadyExists" {
                        let message = format!(
                            "Create Claim {name} for Pod {pod_name} in StatefulSet {set_name} failed error: {error}"
                        );
                        call.event(set, "Warning", "FailedCreate", message);
                    }
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Interrupt::Failed(aggregate(&errors))) }
    }
}
