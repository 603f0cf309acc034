//! Keeps a claim that a pod uses, and a volume that is bound, from disappearing under their users.
//!
//! Picture to hold in mind: "this chair is to be removed", says the note, and the porter waits until nobody
//! sits on it.
//!
//! After `pkg/controller/volume/pvcprotection` and `pvprotection`.

use crate::api::{Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::kinds::{Kind, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD};
use crate::controllers::pods;

use super::{BY_CLAIM, claims_of};

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Writes `object` with or without `finalizer`.
fn set_finalizer(
    call: &mut Call,
    kind: &Kind,
    mut object: Value,
    finalizer: &str,
    is_wanted: bool,
) -> Result<(), Interrupt> {
    if is_wanted {
        meta::add_finalizer(&mut object, finalizer);
    } else {
        meta::remove_finalizer(&mut object, finalizer);
    }
    match call.attempt(request::update(&kind.resource, object))? {
        Ok(_) => Ok(()),
        // It is gone already.
        Err(status) if !is_wanted && status.text("reason") == "NotFound" => Ok(()),
        Err(status) => Err(Interrupt::from_status(&status)),
    }
}

#[derive(Clone, Default)]
pub struct ClaimProtection {
    claims: usize,
    pods: usize,
}

/// Whether `pod` keeps `claim` from going: only once it has a node.
fn uses(pod: &Value, claim: &str) -> bool {
    !pod.text("spec.nodeName").is_empty()
        && !pods::is_terminal(pod)
        && claims_of(pod).iter().any(|key| key == claim)
}

impl Controller for ClaimProtection {
    fn name(&self) -> &'static str {
        "persistentvolumeclaim-protection-controller"
    }
    fn user_agent(&self) -> &'static str {
        "pvc-protection-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.claims = informers.add(Selection::all(&PERSISTENT_VOLUME_CLAIM.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, BY_CLAIM, claims_of);
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let object = &delta.object;
        if delta.informer == self.claims {
            let has = meta::has_finalizer(object, CLAIM_FINALIZER);
            if delta.kind != DeltaType::Deleted && has == meta::is_deleting(object) {
                keys.add(key_of(object));
            }
        } else if delta.informer == self.pods
            && (delta.kind == DeltaType::Deleted || pods::is_terminal(object))
        {
            for claim in claims_of(object) {
                keys.add(claim);
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some(claim) = PERSISTENT_VOLUME_CLAIM.find(call.store(self.claims), &key) else { return Ok(()) };
        let has = meta::has_finalizer(&claim, CLAIM_FINALIZER);
        if !meta::is_deleting(&claim) {
            if has {
                return Ok(());
            }
            return set_finalizer(call, &PERSISTENT_VOLUME_CLAIM, claim, CLAIM_FINALIZER, true);
        }
        let is_used = call.store(self.pods).by_index(BY_CLAIM, &key).any(|pod| uses(pod, &key));
        if !has || is_used {
            return Ok(());
        }
        // The copy says that nobody uses it; before it goes the server is asked.
        let list = call.request(request::list(&POD.resource, meta::namespace(&claim)))?;
        if list.items("items").iter().any(|pod| uses(pod, &key)) {
            return Ok(());
        }
        set_finalizer(call, &PERSISTENT_VOLUME_CLAIM, claim, CLAIM_FINALIZER, false)
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[derive(Clone, Default)]
pub struct VolumeProtection {
    volumes: usize,
}

impl Controller for VolumeProtection {
    fn name(&self) -> &'static str {
        "persistentvolume-protection-controller"
    }
    fn user_agent(&self) -> &'static str {
        "pv-protection-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.volumes = informers.add(Selection::all(&PERSISTENT_VOLUME.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let volume = &delta.object;
        let has = meta::has_finalizer(volume, VOLUME_FINALIZER);
        if delta.kind != DeltaType::Deleted && has == meta::is_deleting(volume) {
            keys.add(key_of(volume));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(volume) = PERSISTENT_VOLUME.find(call.store(self.volumes), call.key()) else {
            return Ok(());
        };
        let has = meta::has_finalizer(&volume, VOLUME_FINALIZER);
        let is_deleting = meta::is_deleting(&volume);
        let is_free = volume.text("status.phase") != "Bound";
        if (is_deleting && has && is_free) || (!is_deleting && !has) {
            return set_finalizer(call, &PERSISTENT_VOLUME, volume, VOLUME_FINALIZER, !is_deleting);
        }
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
