//! taint-eviction-controller: deletes pods from nodes whose NoExecute taints they do not, or no longer, tolerate.
//!
//! Picture to hold in mind: a bailiff with a calendar: each pod on a tainted node gets a date by its
//! tolerations; if the taint goes before, the date is struck out.
//!
//! After `pkg/controller/tainteviction`.

use crate::shared_map::SharedMap;

use crate::api::scheduling::{Effect, Taint, Toleration};
use crate::api::{Text, Value, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::{key_of, split_key};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::Time;

use super::kinds::{NODE, POD};
use super::node_lifecycle::{BY_NODE, by_node};
use super::pods::seconds;

#[derive(Clone, Default)]
pub struct TaintEvictionController {
    /// By pod.
    dates: SharedMap<Text, Date>,
    nodes: usize,
    pods: usize,
}

#[derive(Clone, Copy)]
struct Date {
    set_at: Time,
    due: Time,
}

/// What the taints of its node mean for a pod.
#[derive(Debug, PartialEq)]
enum Verdict {
    Stay,
    GoNow,
    GoAfter(i64),
}

fn no_execute(node: &Value) -> Vec<Taint> {
    let mut taints = Taint::parse_all(node.items("spec.taints"));
    taints.retain(|taint| taint.effect == Effect::NoExecute);
    taints
}

fn verdict(taints: &[Taint], tolerations: &[Toleration]) -> Verdict {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|one| one.tolerates(taint)) else {
            return Verdict::GoNow;
        };
        if let Some(seconds) = toleration.seconds {
            shortest = Some(shortest.map_or(seconds, |other| other.min(seconds)));
        }
    }
    match shortest {
        None => Verdict::Stay,
        Some(seconds) if seconds <= 0 => Verdict::GoNow,
        Some(seconds) => Verdict::GoAfter(seconds),
    }
}

fn cancellation(pod: &str) -> Text {
    arcstr::format!("cancel/{pod}")
}

impl TaintEvictionController {
    fn strike_out(&mut self, pod: &Text, keys: &mut Keys) {
        if self.dates.remove(pod).is_some() {
            keys.add(cancellation(pod));
        }
    }
    fn reconsider(&mut self, pod: &Value, taints: &[Taint], keys: &mut Keys) {
        let key = key_of(pod);
        if taints.is_empty() {
            return self.strike_out(&key, keys);
        }
        let now = keys.now();
        let date = match verdict(taints, &Toleration::parse_all(pod.items("spec.tolerations"))) {
            Verdict::Stay => return self.strike_out(&key, keys),
            Verdict::GoNow => Date { set_at: now, due: now },
            Verdict::GoAfter(after) => {
                let set_at = self.dates.get(&key).map_or(now, |date| date.set_at);
                Date { set_at, due: set_at + seconds(after) }
            }
        };
        self.dates.insert(key.clone(), date);
        keys.add_after(key, date.due.since(now));
    }
    fn evict(&self, call: &mut Call) -> Result<(), Interrupt> {
        let (namespace, name) = (call.namespace().to_owned(), call.name().to_owned());
        let about = object! {
            "kind" => "Pod", "apiVersion" => "v1",
            "metadata" => object! { "namespace" => namespace.as_str(), "name" => name.as_str() },
        };
        let message = arcstr::format!("Marking for deletion Pod {namespace}/{name}");
        call.event(&about, "Normal", "TaintManagerEviction", message);
        let pod = match call.attempt(request::get(&POD.resource, &namespace, &name))? {
            Ok(pod) => pod,
            Err(status) if status.text("reason") == "NotFound" => return Ok(()),
            Err(status) => return Err(Interrupt::from_status(&status)),
        };
        let condition = object! {
            "type" => "DisruptionTarget",
            "status" => "True",
            "reason" => "DeletionByTaintManager",
            "message" => "Taint manager: deleting due to NoExecute taint",
            "observedGeneration" => meta::generation(&pod),
            "lastProbeTime" => Value::Null,
            "lastTransitionTime" => time::rfc3339(call.now()),
        };
        let patch = object! {
            "metadata" => object! { "uid" => meta::uid(&pod) },
            "status" => object! { "conditions" => vec![condition] },
        };
        let patch = request::patch(&POD.resource, &namespace, &name, PatchType::StrategicMerge, patch);
        for request in [patch.subresource("status"), request::delete(&POD.resource, &namespace, &name)] {
            if let Err(status) = call.attempt(request)?
                && status.text("reason") != "NotFound"
            {
                return Err(Interrupt::from_status(&status));
            }
        }
        Ok(())
    }
}

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }
    fn user_agent(&self) -> &'static str {
        "node-controller"
    }
    fn workers(&self) -> usize {
        8
    }
    fn retries(&self) -> Option<u32> {
        Some(5)
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.nodes = informers.add(Selection::all(&NODE.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, BY_NODE, by_node);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        let object = &delta.object;
        if delta.informer == self.nodes {
            if delta.kind == DeltaType::Deleted {
                return;
            }
            let taints = no_execute(object);
            if taints == delta.old.as_ref().map(no_execute).unwrap_or_default() {
                return;
            }
            for pod in stores[self.pods].by_index(BY_NODE, meta::name(object)) {
                self.reconsider(pod, &taints, keys);
            }
        } else if delta.informer == self.pods {
            if delta.kind == DeltaType::Deleted {
                // Gone already: the date is struck out, and said so, unless it had come.
                return self.strike_out(&key_of(object), keys);
            }
            let is_same = delta.old.as_ref().is_some_and(|old| {
                old.at("spec.tolerations") == object.at("spec.tolerations")
                    && old.at("spec.nodeName") == object.at("spec.nodeName")
            });
            let node = stores[self.nodes].get(object.text("spec.nodeName"));
            if let Some(node) = node.filter(|node| !is_same && node.has("spec.taints")) {
                let taints = no_execute(node);
                if !taints.is_empty() {
                    self.reconsider(object, &taints, keys);
                }
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        if let Some(pod) = key.strip_prefix("cancel/") {
            let (namespace, name) = split_key(pod);
            let about = object! {
                "kind" => "Pod", "apiVersion" => "v1",
                "metadata" => object! { "namespace" => namespace, "name" => name },
            };
            let message = arcstr::format!("Cancelling deletion of Pod {pod}");
            call.event(&about, "Normal", "TaintManagerEviction", message);
            return Ok(());
        }
        let now = call.now();
        let wait_us =
            call.remember(|| self.dates.get(&key).map_or(-1, |date| date.due.since(now).as_micros() as i64));
        match wait_us {
            0 => {}
            1.. => {
                call.requeue_after(crate::sim::Duration(wait_us as u64));
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.evict(call)?;
        if call.once() {
            self.dates.remove(&key);
        }
        Ok(())
    }
    fn restart(&mut self) {
        self.dates = SharedMap::default();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_toleration_sets_the_date() {
        let taint = |key: &str| Taint::new(key, Effect::NoExecute);
        let toleration = |key: &str, seconds: Option<i64>| Toleration {
            seconds,
            ..Toleration::exists(key, Effect::NoExecute)
        };
        for (taints, tolerations, expected) in [
            (vec![taint("a")], vec![], Verdict::GoNow),
            (vec![taint("a")], vec![toleration("a", None)], Verdict::Stay),
            (vec![taint("a")], vec![toleration("a", Some(300))], Verdict::GoAfter(300)),
            (
                vec![taint("a"), taint("b")],
                vec![toleration("a", Some(300)), toleration("b", Some(60))],
                Verdict::GoAfter(60),
            ),
            (vec![taint("a"), taint("b")], vec![toleration("a", Some(300))], Verdict::GoNow),
            (vec![taint("a")], vec![toleration("a", Some(0))], Verdict::GoNow),
        ] {
            assert_eq!(verdict(&taints, &tolerations), expected);
        }
    }
}
