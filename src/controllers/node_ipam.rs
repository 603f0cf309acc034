//! node-ipam-controller: gives every node its share of the pod address range.
//!
//! Picture to hold in mind: a surveyor who cuts a field into equal strips, and gives each newcomer the next one.
//!
//! After `pkg/controller/nodeipam/ipam/range_allocator.go`: 10.244.0.0/16 in strips of /24, and in a cluster of both
//! families fd00:10:244::/56 in strips of /64.

use crate::api::{Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store};
use crate::message::rest::PatchType;
use crate::object;
use crate::sorted::SortedSet;

use super::kinds::NODE;

/// Strips that there are.
const STRIPS: u32 = 256;

#[derive(Clone, Default)]
pub struct NodeIpamController {
    /// Nodes get a strip of each family.
    is_dual: bool,
    /// Strips given away, with those whose nodes do not know it yet.
    taken: SortedSet<u32>,
    /// Where the search begins: strips that come back are given away last.
    next: u32,
    nodes: usize,
}

/// `10.244.N.0/24`.
fn strip(number: u32) -> Text {
    arcstr::format!("10.244.{number}.0/24")
}
fn number_of(node: &Value) -> Option<u32> {
    let text = node.text("spec.podCIDR");
    text.strip_prefix("10.244.")?.strip_suffix(".0/24")?.parse().ok()
}

impl NodeIpamController {
    pub fn new(is_dual: bool) -> NodeIpamController {
        NodeIpamController { is_dual, ..NodeIpamController::default() }
    }
    fn take(&mut self) -> Option<u32> {
        let free = (0..STRIPS).map(|step| (self.next + step) % STRIPS).find(|n| !self.taken.contains(n))?;
        self.taken.insert(free);
        self.next = (free + 1) % STRIPS;
        Some(free)
    }
}

impl Controller for NodeIpamController {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }
    fn user_agent(&self) -> &'static str {
        "node-controller"
    }
    fn event_source(&self) -> &'static str {
        "cidrAllocator"
    }
    fn workers(&self) -> usize {
        30
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.nodes = informers.add(Selection::all(&NODE.resource));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let node = &delta.object;
        match (delta.kind, number_of(node)) {
            (DeltaType::Deleted, Some(number)) => {
                self.taken.remove(&number);
            }
            (DeltaType::Deleted, None) => {}
            (_, Some(number)) => {
                self.taken.insert(number);
            }
            (_, None) if node.text("spec.podCIDR").is_empty() => keys.add(key_of(node)),
            (_, None) => {}
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(node) = call.store(self.nodes).get(call.key()).cloned() else { return Ok(()) };
        if !node.text("spec.podCIDR").is_empty() {
            return Ok(());
        }
        let name = meta::name(&node).to_owned();
        let number = call.remember(|| self.take().map_or(-1, i64::from));
        let Ok(number) = u32::try_from(number) else {
            let message = arcstr::format!("Node {name} status is now: CIDRNotAvailable");
            call.event(&NODE.named(&node), "Normal", "CIDRNotAvailable", message);
            return Err(Interrupt::Failed("failed to allocate cidr from cluster cidr".into()));
        };
        let cidr = strip(number);
        let second = self.is_dual.then(|| arcstr::format!("fd00:10:244:{number:x}::/64"));
        let both = Value::array([&cidr].into_iter().chain(&second).map(Value::from));
        let spec = object! { "podCIDR" => &cidr, "podCIDRs" => both };
        let patch = object! { "spec" => spec };
        let result = call.patch(&NODE.resource, ("", &name), PatchType::StrategicMerge, patch);
        if matches!(result, Err(Interrupt::Failed(_))) && call.once() {
            self.taken.remove(&number);
        }
        result.map(|_| ())
    }
    fn restart(&mut self) {
        self.taken.clear();
        self.next = 0;
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Manager, Sandbox};

    #[test]
    fn every_node_gets_a_strip_of_its_own() {
        let node = |name: &str| object! { "kind" => "Node", "metadata" => object! { "name" => name } };
        let settled = node("old").with("spec.podCIDR", "10.244.1.0/24");
        let objects = vec![node("a"), node("b"), settled];
        let manager = Manager::of(vec![Box::new(NodeIpamController::default())]);
        let mut sandbox = Sandbox::new(objects, vec![manager]);
        sandbox.run(2);
        let strips: Vec<&str> =
            sandbox.server().all("nodes").iter().map(|node| node.text("spec.podCIDR")).collect();
        assert_eq!(strips, ["10.244.0.0/24", "10.244.2.0/24", "10.244.1.0/24"]);
    }
}
