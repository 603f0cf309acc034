//! validatingadmissionpolicy-status-controller: says of each policy that it has been looked at.
//!
//! Picture to hold in mind: a proof-reader initials each new edition. The proof-reader here initials without finding
//! anything: expressions are not checked against the types that they are about.
//!
//! After `pkg/controller/validatingadmissionpolicystatus/controller.go`.

use crate::api::meta;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::PatchType;
use crate::object;

use super::kinds::VALIDATING_ADMISSION_POLICY;

#[derive(Clone, Default)]
pub struct PolicyStatusController {
    policies: usize,
}

impl Controller for PolicyStatusController {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.policies = informers.add(Selection::all(&VALIDATING_ADMISSION_POLICY.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if delta.kind != DeltaType::Deleted {
            keys.add(key_of(&delta.object));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some(policy) = call.store(self.policies).get(&key).cloned() else { return Ok(()) };
        let generation = meta::generation(&policy);
        if generation <= policy.integer("status.observedGeneration").unwrap_or(0) {
            return Ok(());
        }
        let kind = &VALIDATING_ADMISSION_POLICY;
        let status = object! {
            "apiVersion" => &kind.api_version,
            "kind" => &kind.kind,
            "metadata" => object! { "name" => &key },
            "status" => object! { "observedGeneration" => generation, "typeChecking" => object! {} },
        };
        let mut patch = request::patch(&kind.resource, "", &key, PatchType::Apply, status);
        patch.subresource = "status".into();
        patch.options.field_manager = self.name().into();
        patch.options.force = true;
        call.request(patch)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
