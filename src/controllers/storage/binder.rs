//! persistent-volume-binder: which volume belongs to which claim, told on both, and what becomes of a volume
//! whose claim is gone.
//!
//! Picture to hold in mind: two name plates, one on the hook and one on the coat. They are written in a fixed
//! order, hook first, so that whoever is interrupted finds out which plate is still missing.
//!
//! After `pkg/controller/volume/persistentvolume/pv_controller.go`.

use crate::api::quantity::Quantity;
use crate::api::volumes::{find_matching, is_bound_to, is_delayed, storage_class};
use crate::api::{Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::kinds::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS};
use crate::controllers::pods;
use crate::object;
use crate::sim::Duration;

use super::{BY_CLAIM, claims_of};

/// All claims and volumes are looked at so often (`--pvclaimbinder-sync-period`).
const RESYNC: Duration = Duration::from_secs(15);
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONER: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// What keys of volumes begin with; the others are claims.
const VOLUME: &str = "volume!";

#[derive(Clone, Default)]
pub struct VolumeBinder {
    claims: usize,
    volumes: usize,
    classes: usize,
    pods: usize,
}

fn volume_key(name: &str) -> Text {
    arcstr::format!("{VOLUME}{name}")
}
fn claim_key(volume: &Value) -> Option<Text> {
    let reference = volume.at("spec.claimRef");
    let (namespace, name) = (reference.text("namespace"), reference.text("name"));
    (!name.is_empty()).then(|| arcstr::format!("{namespace}/{name}"))
}
fn mode(object: &Value) -> &str {
    match object.text("spec.volumeMode") {
        "" => "Filesystem",
        mode => mode,
    }
}
fn size(object: &Value, path: &str) -> Option<Quantity> {
    Quantity::from_value(object.at(path))
}

/// Why `claim` cannot have `volume`, which it names.
fn mismatch(volume: &Value, claim: &Value) -> Option<&'static str> {
    let has_modes =
        claim.items("spec.accessModes").iter().all(|mode| volume.items("spec.accessModes").contains(mode));
    let wanted = size(claim, "spec.resources.requests.storage");
    if size(volume, "spec.capacity.storage") < wanted {
        Some("requested PV is too small")
    } else if storage_class(volume) != storage_class(claim) {
        Some("storageClassName does not match")
    } else if mode(volume) != mode(claim) {
        Some("incompatible volumeMode")
    } else if !has_modes {
        Some("incompatible accessMode")
    } else {
        None
    }
}

/// What becomes of a released volume that is to be deleted or recycled, since no storage is behind it.
#[derive(Debug, PartialEq, Eq)]
enum Reclaim {
    /// Stays, or somebody outside does it.
    Leave,
    Delete,
    Reuse,
    Fail(&'static str, String),
}

fn reclaim(volume: &Value) -> Reclaim {
    let name = meta::name(volume);
    let path = volume.text("spec.hostPath.path");
    let is_external = volume.has("spec.csi")
        || meta::annotation(volume, PROVISIONED_BY).is_some_and(|by| !by.starts_with("kubernetes.io/"));
    match volume.text("spec.persistentVolumeReclaimPolicy") {
        "Delete" if is_external => Reclaim::Leave,
        "Delete" if volume.has("spec.hostPath") && path.starts_with("/tmp/") => Reclaim::Delete,
        "Delete" if volume.has("spec.hostPath") => {
            let message = format!("host_path deleter only supports /tmp/.+ but received provided {path}");
            Reclaim::Fail("VolumeFailedDelete", message)
        }
        "Delete" => {
            let message = format!(
                "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
            );
            Reclaim::Fail("VolumeFailedDelete", message)
        }
        "Recycle" if volume.has("spec.hostPath") || volume.has("spec.nfs") => Reclaim::Reuse,
        "Recycle" => {
            Reclaim::Fail("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned())
        }
        _ => Reclaim::Leave,
    }
}

impl VolumeBinder {
    fn set_volume_phase(&self, call: &mut Call, volume: Value, phase: &str) -> Result<Value, Interrupt> {
        if volume.text("status.phase") == phase {
            return Ok(volume);
        }
        let mut new = volume.with("status.phase", phase);
        new.remove("status.message");
        let written = call.update_status(&PERSISTENT_VOLUME.resource, new)?;
        Ok(PERSISTENT_VOLUME.named(&written))
    }
    fn set_claim_status(
        &self,
        call: &mut Call,
        claim: &Value,
        phase: &str,
        volume: Option<&Value>,
    ) -> Result<(), Interrupt> {
        let mut new = claim.clone().with("status.phase", phase);
        match volume {
            None => {
                for field in ["accessModes", "capacity", "currentVolumeAttributesClassName"] {
                    new.remove(&format!("status.{field}"));
                }
            }
            Some(volume) => {
                new.set("status.accessModes", volume.at("spec.accessModes"));
                let known = size(claim, "status.capacity.storage");
                if claim.text("status.phase") != phase && size(volume, "spec.capacity.storage") != known {
                    new.set("status.capacity", volume.at("spec.capacity"));
                }
            }
        }
        if new != *claim {
            call.update_status(&PERSISTENT_VOLUME_CLAIM.resource, new)?;
        }
        Ok(())
    }
    /// Writes the name of each on the other, and both phases.
    fn bind(&self, call: &mut Call, volume: &Value, claim: &Value) -> Result<(), Interrupt> {
        let mut volume = PERSISTENT_VOLUME.named(volume);
        if volume.text("spec.claimRef.uid") != meta::uid(claim) || !is_bound_to(&volume, claim) {
            if !is_bound_to(&volume, claim) {
                meta::set_annotation(&mut volume, BOUND_BY_CONTROLLER, "yes");
            }
            let reference = object! {
                "apiVersion" => &PERSISTENT_VOLUME_CLAIM.api_version,
                "kind" => &PERSISTENT_VOLUME_CLAIM.kind,
                "namespace" => meta::namespace(claim),
                "name" => meta::name(claim),
                "uid" => meta::uid(claim),
                "resourceVersion" => claim.at("metadata.resourceVersion"),
            };
            volume.set("spec.claimRef", reference);
            let written = call.update(&PERSISTENT_VOLUME.resource, volume)?;
            volume = PERSISTENT_VOLUME.named(&written);
        }
        let volume = self.set_volume_phase(call, volume, "Bound")?;
        let mut claim = claim.clone();
        let (is_named, is_completed) = (
            claim.text("spec.volumeName") == meta::name(&volume),
            meta::annotation(&claim, BIND_COMPLETED).is_some(),
        );
        if !is_named || !is_completed {
            if !is_named {
                claim.set("spec.volumeName", meta::name(&volume));
                meta::set_annotation(&mut claim, BOUND_BY_CONTROLLER, "yes");
            }
            meta::set_annotation(&mut claim, BIND_COMPLETED, "yes");
            let written = call.update(&PERSISTENT_VOLUME_CLAIM.resource, claim)?;
            claim = PERSISTENT_VOLUME_CLAIM.named(&written);
        }
        self.set_claim_status(call, &claim, "Bound", Some(&volume))
    }

    fn sync_claim(&self, call: &mut Call, claim: &Value) -> Result<(), Interrupt> {
        let name = claim.text("spec.volumeName");
        let named = call.store(self.volumes).get(name).cloned();
        if meta::annotation(claim, BIND_COMPLETED).is_some() {
            return self.sync_bound_claim(call, claim, named);
        }
        if name.is_empty() {
            return self.sync_free_claim(call, claim);
        }
        let Some(volume) = named else { return self.set_claim_status(call, claim, "Pending", None) };
        if is_bound_to(&volume, claim) {
            return self.bind(call, &volume, claim);
        }
        if !volume.has("spec.claimRef") {
            let Some(mismatch) = mismatch(&volume, claim) else { return self.bind(call, &volume, claim) };
            let message = format!("Cannot bind to requested volume {name:?}: {mismatch}");
            call.event(claim, "Warning", "VolumeMismatch", message);
            return self.set_claim_status(call, claim, "Pending", None);
        }
        let message = format!("volume {name:?} already bound to a different claim.");
        call.event(claim, "Warning", "FailedBinding", message);
        if meta::annotation(claim, BOUND_BY_CONTROLLER).is_none() {
            return self.set_claim_status(call, claim, "Pending", None);
        }
        let (key, owner) = (key_of(claim), claim_key(&volume).unwrap_or_default());
        let error = format!(
            "invalid binding of claim {key:?} to volume {name:?}: volume already claimed by {owner:?}"
        );
        Err(Interrupt::Failed(error.into()))
    }
    fn sync_bound_claim(
        &self,
        call: &mut Call,
        claim: &Value,
        volume: Option<Value>,
    ) -> Result<(), Interrupt> {
        let (reason, message) = match volume {
            Some(volume)
                if !volume.has("spec.claimRef") || volume.text("spec.claimRef.uid") == meta::uid(claim) =>
            {
                return self.bind(call, &volume, claim);
            }
            Some(_) => {
                ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
            }
            None if claim.has("spec.volumeName") => {
                ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
            }
            None => (
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            ),
        };
        if claim.text("status.phase") != "Lost" {
            self.set_claim_status(call, claim, "Lost", None)?;
            call.event(claim, "Warning", reason, message);
        }
        Ok(())
    }
    /// A claim that names no volume: one is found for it, or waited for, or ordered.
    fn sync_free_claim(&self, call: &mut Call, claim: &Value) -> Result<(), Interrupt> {
        let class_name = storage_class(claim).to_owned();
        let class = call.store(self.classes).get(&class_name).cloned();
        let waits = class.as_ref().is_some_and(is_delayed);
        let found = find_matching(claim, call.store(self.volumes).values(), None, waits).cloned();
        if let Some(volume) = found {
            return self.bind(call, &volume, claim);
        }
        let has_class = claim.has("spec.storageClassName")
            || meta::annotation(claim, "volume.beta.kubernetes.io/storage-class").is_some();
        if !has_class && let Some(default) = self.default_class(call) {
            let claim = claim.clone().with("spec.storageClassName", default);
            call.update(&PERSISTENT_VOLUME_CLAIM.resource, claim)?;
            return Ok(());
        }
        if waits && meta::annotation(claim, SELECTED_NODE).is_none() {
            self.tell_of_waiting(call, claim);
        } else if !class_name.is_empty() {
            return self.order(call, claim, &class_name, class);
        } else {
            let message = "no persistent volumes available for this claim and no storage class is set";
            call.event(claim, "Normal", "FailedBinding", message);
        }
        self.set_claim_status(call, claim, "Pending", None)
    }
    /// The latest of the default classes.
    fn default_class(&self, call: &Call) -> Option<Text> {
        call.store(self.classes)
            .values()
            .filter(|class| {
                meta::annotation(class, DEFAULT_CLASS) == Some("true")
                    || meta::annotation(class, "storageclass.beta.kubernetes.io/is-default-class")
                        == Some("true")
            })
            .max_by_key(|class| {
                let name = std::cmp::Reverse(class.shared_text("metadata.name"));
                (class.shared_text("metadata.creationTimestamp"), name)
            })
            .map(|class| class.shared_text("metadata.name"))
    }
    fn tell_of_waiting(&self, call: &mut Call, claim: &Value) {
        let waiting: Vec<String> = call
            .store(self.pods)
            .by_index(BY_CLAIM, &key_of(claim))
            .filter(|pod| !pods::is_terminal(pod) && pod.text("spec.nodeName").is_empty())
            .map(|pod| meta::name(pod).to_owned())
            .collect();
        let (reason, message) = match waiting.as_slice() {
            [] => {
                ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned())
            }
            [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
        };
        call.event(claim, "Normal", reason, message);
    }
    /// Asks the class's provisioner for a volume, by annotation.
    fn order(
        &self,
        call: &mut Call,
        claim: &Value,
        class_name: &str,
        class: Option<Value>,
    ) -> Result<(), Interrupt> {
        let Some(class) = class else {
            let message = format!("storageclass.storage.k8s.io {class_name:?} not found");
            call.event(claim, "Warning", "ProvisioningFailed", message);
            return Ok(());
        };
        let provisioner = class.text("provisioner");
        if provisioner.starts_with("kubernetes.io/") {
            let message = format!("no volume plugin matched name: {provisioner}");
            call.event(claim, "Warning", "ProvisioningFailed", message);
            return Ok(());
        }
        let mut claim = claim.clone();
        if PROVISIONER.iter().any(|key| meta::annotation(&claim, key) != Some(provisioner)) {
            for key in PROVISIONER {
                meta::set_annotation(&mut claim, key, provisioner);
            }
            let written = call.update(&PERSISTENT_VOLUME_CLAIM.resource, claim)?;
            claim = PERSISTENT_VOLUME_CLAIM.named(&written);
        }
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
             the system administrator. If volume creation is delayed, please verify that the provisioner is \
             running and correctly registered."
        );
        call.event(&claim, "Normal", "ExternalProvisioning", message);
        Ok(())
    }

    fn sync_volume(&self, call: &mut Call, volume: Value) -> Result<(), Interrupt> {
        let uid = volume.shared_text("spec.claimRef.uid");
        let Some(key) = claim_key(&volume).filter(|_| !uid.is_empty()) else {
            self.set_volume_phase(call, volume, "Available")?;
            return Ok(());
        };
        let is_over = matches!(volume.text("status.phase"), "Released" | "Failed");
        let mut claim = call.store(self.claims).get(&key).cloned();
        let is_stranger = claim.as_ref().is_some_and(|claim| meta::uid(claim) != uid);
        if is_stranger || (claim.is_none() && !is_over) {
            // The copy may be old; before a volume is given up the server is asked.
            let (namespace, name) = crate::client::store::split_key(&key);
            claim = match call.attempt(request::get(&PERSISTENT_VOLUME_CLAIM.resource, namespace, name))? {
                Ok(fresh) => Some(fresh).filter(|fresh| meta::uid(fresh) == uid),
                Err(status) if status.text("reason") == "NotFound" => None,
                Err(status) => return Err(Interrupt::from_status(&status)),
            };
        }
        let Some(claim) = claim else {
            let volume = if is_over { volume } else { self.set_volume_phase(call, volume, "Released")? };
            return self.reclaim(call, volume);
        };
        let named = claim.text("spec.volumeName");
        if named.is_empty() {
            if mode(&volume) != mode(&claim) {
                let message = format!(
                    "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
                    meta::name(&claim)
                );
                call.event(&volume, "Warning", "VolumeMismatch", message);
                return Ok(());
            }
            call.add_after(key, Duration::ZERO);
            return Ok(());
        }
        if named == meta::name(&volume) {
            self.set_volume_phase(call, volume, "Bound")?;
            return Ok(());
        }
        // The claim has taken another volume.
        let is_provisioned = meta::annotation(&volume, PROVISIONED_BY).is_some();
        if is_provisioned && volume.text("spec.persistentVolumeReclaimPolicy") == "Delete" {
            let volume = if is_over { volume } else { self.set_volume_phase(call, volume, "Released")? };
            return self.reclaim(call, volume);
        }
        self.unbind(call, volume)
    }
    fn unbind(&self, call: &mut Call, mut volume: Value) -> Result<(), Interrupt> {
        if meta::annotation(&volume, BOUND_BY_CONTROLLER).is_some() {
            volume.remove("spec.claimRef");
            meta::remove_annotation(&mut volume, BOUND_BY_CONTROLLER);
        } else {
            volume.remove("spec.claimRef.uid");
        }
        let written = call.update(&PERSISTENT_VOLUME.resource, volume)?;
        self.set_volume_phase(call, PERSISTENT_VOLUME.named(&written), "Available")?;
        Ok(())
    }
    fn reclaim(&self, call: &mut Call, volume: Value) -> Result<(), Interrupt> {
        match reclaim(&volume) {
            Reclaim::Leave => Ok(()),
            Reclaim::Delete => {
                call.delete(&PERSISTENT_VOLUME.resource, "", meta::name(&volume))?;
                Ok(())
            }
            Reclaim::Reuse => {
                call.event(&volume, "Normal", "VolumeRecycled", "Volume recycled");
                self.unbind(call, volume)
            }
            Reclaim::Fail(_, _) if volume.text("status.phase") == "Failed" => Ok(()),
            Reclaim::Fail(reason, message) => {
                let mut new = volume.clone().with("status.phase", "Failed");
                new.set("status.message", message.as_str());
                call.update_status(&PERSISTENT_VOLUME.resource, new)?;
                call.event(&volume, "Warning", reason, message);
                Ok(())
            }
        }
    }
}

impl Controller for VolumeBinder {
    fn name(&self) -> &'static str {
        "persistentvolume-binder-controller"
    }
    fn user_agent(&self) -> &'static str {
        "persistent-volume-binder"
    }
    fn event_source(&self) -> &'static str {
        "persistentvolume-controller"
    }
    /// One at a time, so that two claims do not reach for one volume.
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.claims = informers.add(Selection::all(&PERSISTENT_VOLUME_CLAIM.resource));
        self.volumes = informers.add(Selection::all(&PERSISTENT_VOLUME.resource));
        self.classes = informers.add(Selection::all(&STORAGE_CLASS.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, BY_CLAIM, claims_of);
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let is_gone = delta.kind == DeltaType::Deleted;
        let object = &delta.object;
        if delta.informer == self.claims {
            let volume = object.text("spec.volumeName");
            if !is_gone {
                keys.add(key_of(object));
            } else if !volume.is_empty() {
                keys.add(volume_key(volume));
            }
        } else if delta.informer == self.volumes {
            if !is_gone {
                keys.add(volume_key(meta::name(object)));
            } else if let Some(claim) = claim_key(object) {
                keys.add(claim);
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        if let Some(name) = key.strip_prefix(VOLUME) {
            return match PERSISTENT_VOLUME.find(call.store(self.volumes), name) {
                Some(volume) => self.sync_volume(call, volume),
                None => Ok(()),
            };
        }
        match PERSISTENT_VOLUME_CLAIM.find(call.store(self.claims), &key) {
            Some(claim) => self.sync_claim(call, &claim),
            None => Ok(()),
        }
    }
    fn period(&self) -> Option<Duration> {
        Some(RESYNC)
    }
    fn on_period(&mut self, stores: &[Store], keys: &mut Keys) {
        for claim in stores[self.claims].values() {
            keys.add(key_of(claim));
        }
        for volume in stores[self.volumes].values() {
            keys.add(volume_key(meta::name(volume)));
        }
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod cases {
    use super::*;

    #[test]
    fn what_becomes_of_a_released_volume() {
        for (policy, source, expected) in [
            ("Retain", "hostPath", "Leave"),
            ("Delete", "csi", "Leave"),
            ("Delete", "hostPath", "Fail"),
            ("Delete", "local", "Fail"),
            ("Recycle", "nfs", "Reuse"),
            ("Recycle", "local", "Fail"),
        ] {
            let source = object! { source => object! { "path" => "/mnt/x" } };
            let mut volume = object! { "spec" => source };
            volume.set("spec.persistentVolumeReclaimPolicy", policy);
            assert!(format!("{:?}", reclaim(&volume)).starts_with(expected), "{policy} {volume}");
        }
    }
}
