//! pod-garbage-collector: clears away pods that nobody else can finish.
//!
//! Picture to hold in mind: a street cleaner at dawn: what lies before a house that no longer stands, what was
//! left at the kerb before it was ever moved in, and, if the heap gets too high, the oldest rubbish.
//!
//! After `pkg/controller/podgc/gc_controller.go`.

use crate::api::{Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, Interrupt, Selection, Store, request};
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::kinds::{NODE, POD};
use super::pods;

const PERIOD: Duration = Duration::from_secs(20);
/// A node must be gone for so long before its pods are cleared away.
const QUARANTINE: Duration = Duration::from_secs(40);
/// `--terminated-pod-gc-threshold`.
const TERMINATED_LIMIT: usize = 12_500;

#[derive(Clone, Default)]
pub struct PodGarbageCollector {
    /// Nodes that pods name and that are not there: since when.
    missing: SortedMap<Text, Time>,
    nodes: usize,
    pods: usize,
}

impl PodGarbageCollector {
    fn is_abandoned(&self, pod: &Value, now: Time) -> bool {
        let since = self.missing.get(pod.text("spec.nodeName"));
        since.is_some_and(|since| now.since(*since) >= QUARANTINE)
    }
}

fn is_out_of_service(node: &Value) -> bool {
    !meta::is_condition_true(node, "Ready")
        && node
            .items("spec.taints")
            .iter()
            .any(|taint| taint.text("key") == "node.kubernetes.io/out-of-service")
}

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }
    fn user_agent(&self) -> &'static str {
        "pod-garbage-collector"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.nodes = informers.add(Selection::all(&NODE.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
    }
    fn on_delta(&mut self, _delta: &Delta, _stores: &[Store], _keys: &mut Keys) {}
    fn period(&self) -> Option<Duration> {
        Some(PERIOD)
    }
    fn on_period(&mut self, stores: &[Store], keys: &mut Keys) {
        let (now, nodes) = (keys.now(), &stores[self.nodes]);
        let mut still_missing = SortedMap::new();
        let mut terminated: Vec<&Value> = Vec::new();
        for pod in stores[self.pods].values() {
            let node = pod.shared_text("spec.nodeName");
            if node.is_empty() {
                if meta::is_deleting(pod) {
                    keys.add(key_of(pod));
                }
                continue;
            }
            match nodes.get(&node) {
                None => {
                    let since = self.missing.get(&node).copied().unwrap_or(now);
                    still_missing.insert(node, since);
                    if self.is_abandoned(pod, now) {
                        keys.add(key_of(pod));
                    }
                }
                Some(node) if meta::is_deleting(pod) && is_out_of_service(node) => keys.add(key_of(pod)),
                Some(_) => {}
            }
            if pods::is_terminal(pod) {
                terminated.push(pod);
            }
        }
        self.missing = still_missing;
        if terminated.len() > TERMINATED_LIMIT {
            terminated.arrange_by_key(|pod| {
                (pod.text("status.reason") != "Evicted", meta::creation_timestamp(pod), meta::name(pod))
            });
            for pod in &terminated[..terminated.len() - TERMINATED_LIMIT] {
                keys.add(key_of(pod));
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let Some(pod) = POD.find(call.store(self.pods), call.key()) else { return Ok(()) };
        let (namespace, name) = (meta::namespace(&pod), meta::name(&pod));
        let node = pod.text("spec.nodeName");
        let is_orphan = !node.is_empty() && call.store(self.nodes).get(node).is_none();
        if is_orphan {
            // The cache may be behind: one look at the truth.
            match call.attempt(request::get(&NODE.resource, "", node))? {
                Err(status) if status.text("reason") == "NotFound" => {}
                _ => return Ok(()),
            }
        }
        if !pods::is_terminal(&pod) {
            let mut status = object! { "phase" => "Failed", "observedGeneration" => meta::generation(&pod) };
            if is_orphan {
                let condition = object! {
                    "type" => "DisruptionTarget",
                    "status" => "True",
                    "reason" => "DeletionByPodGC",
                    "message" => "PodGC: node no longer exists",
                    "observedGeneration" => meta::generation(&pod),
                    "lastProbeTime" => Value::Null,
                    "lastTransitionTime" => time::rfc3339(call.now()),
                };
                status.set("conditions", vec![condition]);
            }
            let patch = object! {
                "metadata" => object! { "uid" => meta::uid(&pod) }, "status" => status,
            };
            let request = request::patch(&POD.resource, namespace, name, PatchType::StrategicMerge, patch);
            call.request(request.subresource("status"))?;
        }
        let delete = request::delete(&POD.resource, namespace, name)
            .options(|options| options.grace_period_seconds = Some(0));
        match call.attempt(delete)? {
            Err(status) if status.text("reason") != "NotFound" => Err(Interrupt::from_status(&status)),
            _ => Ok(()),
        }
    }
    fn restart(&mut self) {
        self.missing.clear();
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
    fn pods_of_a_vanished_node_go_after_their_quarantine() {
        let pod = |name: &str, node: &str| {
            object! {
                "kind" => "Pod", "metadata" => object! { "name" => name, "namespace" => "a" },
                "spec" => object! { "nodeName" => node },
            }
        };
        let node = object! { "kind" => "Node", "metadata" => object! { "name" => "here" } };
        let objects = vec![node, pod("kept", "here"), pod("lost", "gone")];
        let manager = Manager::of(vec![Box::new(PodGarbageCollector::default())]);
        let mut sandbox = Sandbox::new(objects, vec![manager]);
        sandbox.run(39);
        assert_eq!(sandbox.server().writes().len(), 0);
        sandbox.run(50);
        let writes = sandbox.server().writes();
        assert_eq!(writes[0], "pod-garbage-collector patch pods/status lost 200");
        assert_eq!(writes[1], "pod-garbage-collector delete pods lost 200");
        assert!(sandbox.server().get("pods", "a/kept").is_some());
    }
}
