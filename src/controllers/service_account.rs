//! service-account-controller: a `default` ServiceAccount in every active namespace.
//!
//! Picture to hold in mind: a caretaker who sees to it that every flat has its one spare key on the hook.
//!
//! After `pkg/controller/serviceaccount/serviceaccounts_controller.go`.

use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::object;

use super::kinds::{NAMESPACE, SERVICE_ACCOUNT};
use super::pod_control::is_namespace_terminating;

#[derive(Clone, Default)]
pub struct ServiceAccountController {
    namespaces: usize,
    accounts: usize,
}

impl Controller for ServiceAccountController {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }
    fn workers(&self) -> usize {
        1
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.namespaces = informers.add(Selection::all(&NAMESPACE.resource));
        self.accounts = informers.add(Selection::all(&SERVICE_ACCOUNT.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.namespaces && delta.kind != DeltaType::Deleted {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.accounts && delta.kind == DeltaType::Deleted {
            keys.add(delta.object.shared_text("metadata.namespace"));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let name = call.key().clone();
        let is_active = call
            .store(self.namespaces)
            .get(&name)
            .is_some_and(|namespace| namespace.text("status.phase") == "Active");
        if !is_active || call.store(self.accounts).get_by_name(&name, "default").is_some() {
            return Ok(());
        }
        let account = object! {
            "apiVersion" => "v1",
            "kind" => "ServiceAccount",
            "metadata" => object! { "name" => "default", "namespace" => &name },
        };
        match call.attempt(request::create(&SERVICE_ACCOUNT.resource, &name, account))? {
            Err(status) if status.text("reason") == "AlreadyExists" || is_namespace_terminating(&status) => {
                Ok(())
            }
            Err(status) => Err(Interrupt::from_status(&status)),
            Ok(_) => Ok(()),
        }
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
