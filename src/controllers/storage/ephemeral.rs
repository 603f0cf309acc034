//! ephemeral-volume-controller: the claims of volumes that live as long as their pod.
//!
//! Picture to hold in mind: a hotel room that is booked with the ticket: its key bears the guest's name, and
//! when the guest leaves, the room is given up.
//!
//! After `pkg/controller/volume/ephemeral/controller.go`.

use crate::api::{Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::kinds::{PERSISTENT_VOLUME_CLAIM, POD};
use crate::object;

#[derive(Clone, Default)]
pub struct EphemeralVolumeController {
    pods: usize,
    claims: usize,
}

fn has_ephemeral(pod: &Value) -> bool {
    pod.items("spec.volumes").iter().any(|volume| volume.has("ephemeral"))
}

impl EphemeralVolumeController {
    fn sync_volume(&self, call: &mut Call, pod: &Value, volume: &Value) -> Result<(), Interrupt> {
        let namespace = meta::namespace(pod);
        let name = format!("{}-{}", meta::name(pod), volume.text("name"));
        if let Some(claim) = call.store(self.claims).get_by_name(namespace, &name) {
            if meta::is_controlled_by(claim, meta::uid(pod)) {
                return Ok(());
            }
            let error = format!(
                "PVC {namespace}/{name} was not created for pod {namespace}/{} (pod is not owner)",
                meta::name(pod)
            );
            return Err(self.tell(call, pod, &error));
        }
        let template = volume.at("ephemeral.volumeClaimTemplate");
        let mut claim = object! {
            "apiVersion" => &PERSISTENT_VOLUME_CLAIM.api_version,
            "kind" => &PERSISTENT_VOLUME_CLAIM.kind,
            "metadata" => object! {
                "name" => name,
                "ownerReferences" => vec![POD.controller_reference(pod)],
            },
            "spec" => template.at("spec"),
        };
        for field in ["metadata.labels", "metadata.annotations"] {
            if template.has(field) {
                claim.set(field, template.at(field));
            }
        }
        let create = request::create(&PERSISTENT_VOLUME_CLAIM.resource, namespace, claim);
        match call.attempt(create)? {
            Ok(_) => Ok(()),
            Err(status) => {
                let error = format!("create PVC {namespace}/{}: {}", meta::name(pod), status.text("message"));
                Err(self.tell(call, pod, &error))
            }
        }
    }
    fn tell(&self, call: &mut Call, pod: &Value, error: &str) -> Interrupt {
        call.event(pod, "Warning", "FailedBinding", format!("ephemeral volume: {error}"));
        Interrupt::Failed(error.into())
    }
}

impl Controller for EphemeralVolumeController {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }
    fn event_source(&self) -> &'static str {
        "ephemeral_volume"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.pods = informers.add(Selection::all(&POD.resource));
        self.claims = informers.add(Selection::all(&PERSISTENT_VOLUME_CLAIM.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let object = &delta.object;
        if delta.informer == self.pods {
            let is_new = delta.kind == DeltaType::Added;
            if is_new && !meta::is_deleting(object) && has_ephemeral(object) {
                keys.add(key_of(object));
            }
        } else if delta.informer == self.claims
            && delta.kind == DeltaType::Deleted
            && let Some(owner) = meta::controller_of(object)
            && owner.text("kind") == "Pod"
            && let Some(pod) = stores[self.pods].get_by_name(meta::namespace(object), owner.text("name"))
        {
            keys.add(key_of(pod));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(pod) = POD.find(call.store(self.pods), call.key()) else { return Ok(()) };
        if meta::is_deleting(&pod) {
            return Ok(());
        }
        for volume in pod.items("spec.volumes").iter().filter(|volume| volume.has("ephemeral")) {
            self.sync_volume(call, &pod, volume)?;
        }
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
