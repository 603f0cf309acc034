//! node-lifecycle-controller: notices when a node falls silent, says so, and taints it.
//!
//! Picture to hold in mind: a night nurse with a list of patients and their bells. Whoever has not rung for fifty
//! seconds is marked "unknown"; a sign is put on the door; but when a whole ward falls silent at once, it is
//! rather the bell line than the patients, and signs go up slowly or not at all.
//!
//! - this file: the round every five seconds, and what each finding leads to
//! - `taints` putting taints on a node and taking them off
//! - [`zones`] how many nodes of a zone may be given up, how fast
//!
//! After `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.

mod taints;
#[cfg(test)]
mod tests;
mod zones;

use crate::shared_map::SharedMap;

use crate::api::{Text, Value, meta, time};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::object;
use crate::sim::{Duration, Time};

use super::kinds::{LEASE, NODE, POD};
use super::pods;
use taints::swap_taints;
use zones::Zones;

const MONITOR_PERIOD: Duration = Duration::from_secs(5);
/// `--node-monitor-grace-period`.
const GRACE: Duration = Duration::from_secs(50);
/// `--node-startup-grace-period`, for a node that never reported.
const STARTUP_GRACE: Duration = Duration::from_secs(60);
/// Conditions that a silent node's kubelet no longer vouches for.
const VOUCHED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// The index of pods by node.
pub const BY_NODE: &str = "node";

/// Files pods under their nodes.
pub fn by_node(pod: &Value) -> Vec<Text> {
    match pod.shared_text("spec.nodeName") {
        name if name.is_empty() => Vec::new(),
        name => vec![name],
    }
}

/// When a node was last heard of.
#[derive(Clone, Debug, PartialEq)]
struct Health {
    uid: Text,
    /// Of the Ready condition.
    heartbeat: Text,
    lease_renewed: Text,
    heard_at: Time,
}

#[derive(Clone, Default)]
pub struct NodeLifecycleController {
    health: SharedMap<Text, Health>,
    zones: Zones,
    nodes: usize,
    pods: usize,
    leases: usize,
}

/// What there is to do about a node.
enum Task {
    /// Bring its NoSchedule taints and its labels in line with its conditions.
    Reconcile,
    /// It fell silent.
    Silence,
    /// Bring its NoExecute taint in line with its Ready condition.
    Evict,
    Registered,
    Removed,
    /// A pod came to a node that is not ready.
    Pod,
}

impl Task {
    fn key(&self, name: &str) -> Text {
        let word = match self {
            Task::Reconcile => "reconcile",
            Task::Silence => "silence",
            Task::Evict => "evict",
            Task::Registered => "registered",
            Task::Removed => "removed",
            Task::Pod => "pod",
        };
        arcstr::format!("{word}/{name}")
    }
    fn parse(key: &str) -> Option<(Task, &str)> {
        let (word, name) = key.split_once('/')?;
        let task = match word {
            "reconcile" => Task::Reconcile,
            "silence" => Task::Silence,
            "evict" => Task::Evict,
            "registered" => Task::Registered,
            "removed" => Task::Removed,
            "pod" => Task::Pod,
            _ => return None,
        };
        Some((task, name))
    }
}

/// The object that node events are about: it carries no version, for none is known.
fn about_node(name: &str, uid: &str) -> Value {
    object! {
        "kind" => "Node", "apiVersion" => "v1", "metadata" => object! { "name" => name, "uid" => uid },
    }
}

fn is_unknown_everywhere(node: &Value) -> bool {
    VOUCHED.iter().all(|kind| meta::condition_status(node, kind) == "Unknown")
}

impl NodeLifecycleController {
    /// Takes note of every sign of life of `node`; returns since when there has been none.
    fn observe(&mut self, node: &Value, lease: Option<&Value>, now: Time) -> Time {
        let name = node.shared_text("metadata.name");
        let ready = meta::condition(node, "Ready");
        let heartbeat = ready.map(|ready| ready.shared_text("lastHeartbeatTime")).unwrap_or_default();
        let renewed = lease.map(|lease| lease.shared_text("spec.renewTime")).unwrap_or_default();
        let uid = node.shared_text("metadata.uid");
        let known = self.health.get(&name).filter(|known| known.uid == uid);
        let heard_at = match known {
            None if ready.is_none() => time::parse(meta::creation_timestamp(node)).unwrap_or(now),
            None => now,
            Some(known) if known.heartbeat != heartbeat || known.lease_renewed < renewed => now,
            Some(known) => known.heard_at,
        };
        let health = Health { uid, heartbeat, lease_renewed: renewed, heard_at };
        if known != Some(&health) {
            self.health.insert(name, health);
        }
        heard_at
    }

    /// The round.
    fn monitor(&mut self, stores: &[Store], keys: &mut Keys) {
        let now = keys.now();
        let (nodes, leases) = (&stores[self.nodes], &stores[self.leases]);
        let gone: Vec<Text> = self.health.keys().filter(|name| nodes.get(name).is_none()).cloned().collect();
        for name in gone {
            if let Some(health) = self.health.get(&name) {
                keys.add(Task::Removed.key(&arcstr::format!("{name}/{}", health.uid)));
            }
            self.health.remove(&name);
        }
        for node in nodes.values() {
            let name = meta::name(node);
            if self.health.get(name).is_none() {
                keys.add(Task::Registered.key(name));
            }
            let heard_at = self.observe(node, leases.get_by_name("kube-node-lease", name), now);
            let grace = if meta::condition(node, "Ready").is_some() { GRACE } else { STARTUP_GRACE };
            let is_silent = now > heard_at + grace && !is_unknown_everywhere(node);
            if is_silent {
                keys.add(Task::Silence.key(name));
            }
        }
        let newly_hopeless = self.zones.assess(nodes.values());
        for node in nodes.values() {
            let change = taints::eviction(node, self.zones.all_are_down());
            if !change.is_empty() {
                let name = meta::name(node);
                // Taking a sign down, or exchanging it, needs no leave; putting one up does.
                let wait = if change.is_new() { self.zones.leave(node, now) } else { Some(Duration::ZERO) };
                if let Some(wait) = wait {
                    keys.add_after(Task::Evict.key(name), wait);
                }
            }
        }
        if newly_hopeless {
            // Everybody is heard afresh when the line is back.
            self.health = self
                .health
                .iter()
                .map(|(name, health)| (name.clone(), Health { heard_at: now, ..health.clone() }))
                .collect();
        }
    }

    fn silence(&mut self, call: &mut Call, node: Value) -> Result<(), Interrupt> {
        let (now, name) = (time::rfc3339(call.now()), node.shared_text("metadata.name"));
        let was_ready = meta::is_condition_true(&node, "Ready");
        let mut node = NODE.named(&node);
        let mut attempts = 0;
        loop {
            mark_unknown(&mut node, &now);
            match call.attempt(request::update_status(&NODE.resource, node.clone()))? {
                Ok(updated) => {
                    node = updated;
                    break;
                }
                Err(status) if attempts == 5 => return Err(Interrupt::from_status(&status)),
                Err(_) => {
                    attempts += 1;
                    node = call.get(&NODE.resource, "", &name)?;
                    if is_unknown_everywhere(&node) {
                        return Ok(());
                    }
                }
            }
        }
        call.add_after(Task::Evict.key(&name), Duration::from_millis(30));
        if was_ready {
            let message = arcstr::format!("Node {name} status is now: NodeNotReady");
            call.event(&about_node(&name, meta::uid(&node)), "Normal", "NodeNotReady", message);
            let on_node: Vec<Value> = call.store(self.pods).by_index(BY_NODE, &name).cloned().collect();
            for pod in on_node {
                self.mark_not_ready(call, &pod)?;
            }
        }
        Ok(())
    }
    /// Nobody can say that `pod` is ready any more.
    fn mark_not_ready(&self, call: &mut Call, pod: &Value) -> Result<(), Interrupt> {
        if !pods::is_ready(pod) {
            return Ok(());
        }
        let mut pod = POD.named(pod);
        let Some(ready) = meta::condition(&pod, "Ready") else { return Ok(()) };
        let mut not_ready = ready.clone().with("status", "False");
        not_ready.set("lastTransitionTime", time::rfc3339(call.now()));
        meta::set_condition(&mut pod, &not_ready, &time::rfc3339(call.now()));
        match call.attempt(request::update_status(&POD.resource, pod.clone()))? {
            Err(status) if status.text("reason") == "NotFound" => return Ok(()),
            Err(status) => return Err(Interrupt::from_status(&status)),
            Ok(_) => {}
        }
        call.event(&pod, "Warning", "NodeNotReady", "Node is not ready");
        Ok(())
    }

    fn sync_node(&mut self, call: &mut Call, task: &Task, node: Value) -> Result<(), Interrupt> {
        let name = node.shared_text("metadata.name");
        match task {
            Task::Reconcile => {
                let change = taints::scheduling(&node);
                swap_taints(call, &name, &change)?;
                taints::reconcile_labels(call, &node)
            }
            Task::Silence => self.silence(call, node),
            Task::Evict => {
                let all_are_down = call.remember(|| i64::from(self.zones.all_are_down())) == 1;
                swap_taints(call, &name, &taints::eviction(&node, all_are_down))
            }
            Task::Registered => {
                let message = arcstr::format!("Node {name} event: Registered Node {name} in Controller");
                call.event(&about_node(&name, meta::uid(&node)), "Normal", "RegisteredNode", message);
                Ok(())
            }
            Task::Removed | Task::Pod => Ok(()),
        }
    }
}

/// Writes "unknown" wherever the kubelet would have to vouch.
fn mark_unknown(node: &mut Value, now: &Text) {
    let created = node.at("metadata.creationTimestamp").clone();
    let mut conditions = node.items("status.conditions").to_vec();
    for kind in VOUCHED {
        match conditions.iter_mut().find(|condition| condition.text("type") == kind) {
            Some(condition) if condition.text("status") != "Unknown" => {
                condition.set("status", "Unknown").set("reason", "NodeStatusUnknown");
                condition.set("message", "Kubelet stopped posting node status.");
                condition.set("lastTransitionTime", now);
            }
            Some(_) => {}
            None => conditions.push(object! {
                "type" => kind,
                "status" => "Unknown",
                "reason" => "NodeStatusNeverUpdated",
                "message" => "Kubelet never posted node status.",
                "lastHeartbeatTime" => created.clone(),
                "lastTransitionTime" => now,
            }),
        }
    }
    node.set("status.conditions", conditions);
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }
    fn user_agent(&self) -> &'static str {
        "node-controller"
    }
    fn event_source(&self) -> &'static str {
        "node-controller"
    }
    fn workers(&self) -> usize {
        8
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.nodes = informers.add(Selection::all(&NODE.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        informers.add_index(self.pods, BY_NODE, by_node);
        self.leases = informers.add(Selection::all(&LEASE.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.kind == DeltaType::Deleted {
            return;
        }
        if delta.informer == self.nodes {
            keys.add(Task::Reconcile.key(meta::name(&delta.object)));
        } else if delta.informer == self.pods {
            let node = delta.object.text("spec.nodeName");
            let moved = delta.old.as_ref().is_none_or(|old| old.text("spec.nodeName") != node);
            let is_dark = |node: &Value| {
                meta::condition(node, "Ready").is_some() && !meta::is_condition_true(node, "Ready")
            };
            if moved && !node.is_empty() && stores[self.nodes].get(node).is_some_and(is_dark) {
                keys.add(Task::Pod.key(&key_of(&delta.object)));
            }
        }
    }
    fn period(&self) -> Option<Duration> {
        Some(MONITOR_PERIOD)
    }
    fn on_period(&mut self, stores: &[Store], keys: &mut Keys) {
        self.monitor(stores, keys);
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some((task, name)) = Task::parse(&key) else { return Ok(()) };
        match task {
            Task::Pod => match POD.find(call.store(self.pods), name) {
                Some(pod) => self.mark_not_ready(call, &pod),
                None => Ok(()),
            },
            Task::Removed => {
                let (name, uid) = name.split_once('/').unwrap_or((name, ""));
                let message = arcstr::format!("Node {name} event: Removing Node {name} from Controller");
                call.event(&about_node(name, uid), "Normal", "RemovingNode", message);
                Ok(())
            }
            _ => match NODE.find(call.store(self.nodes), name) {
                Some(node) => self.sync_node(call, &task, node),
                None => Ok(()),
            },
        }
    }
    fn restart(&mut self) {
        self.health = SharedMap::default();
        self.zones = Zones::default();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
