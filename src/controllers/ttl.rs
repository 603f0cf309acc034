//! ttl-controller: tells kubelets how long they may keep secrets and config maps without asking again.
//!
//! Picture to hold in mind: in a village one asks daily; in a city of a million less often, or the office would
//! drown.
//!
//! After `pkg/controller/ttl/ttl_controller.go`.

use crate::api::meta;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store};
use crate::message::rest::PatchType;
use crate::object;

use super::kinds::NODE;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// `(nodes from which one steps down, nodes above which one steps up, seconds)`.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

#[derive(Clone, Default)]
pub struct TtlController {
    step: usize,
    nodes: usize,
}

impl Controller for TtlController {
    fn name(&self) -> &'static str {
        "ttl-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.nodes = informers.add(Selection::all(&NODE.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let count = stores[self.nodes].len();
        match delta.kind {
            DeltaType::Added if count > STEPS[self.step].1 => self.step += 1,
            DeltaType::Deleted if count < STEPS[self.step].0 => self.step -= 1,
            _ => {}
        }
        if delta.kind != DeltaType::Deleted {
            keys.add(key_of(&delta.object));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let seconds = call.remember(|| i64::from(STEPS[self.step].2)).to_string();
        let Some(node) = call.store(self.nodes).get(call.key()) else { return Ok(()) };
        if meta::annotation(node, ANNOTATION) == Some(seconds.as_str()) {
            return Ok(());
        }
        let name = meta::name(node).to_owned();
        let patch = object! {
            "metadata" => object! { "annotations" => object! { ANNOTATION => seconds } },
        };
        call.patch(&NODE.resource, ("", &name), PatchType::StrategicMerge, patch)?;
        Ok(())
    }
    fn restart(&mut self) {
        self.step = 0;
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
