//! Which nodes take a DaemonSet's pod, and what the pod for one node looks like.
//!
//! Picture to hold in mind: a letter addressed to a house by name: the scheduler delivers it, it does not choose.

use crate::api::scheduling::{Effect, RequiredNodeAffinity, Taint, Toleration, untolerated};
use crate::api::{Text, Value, meta};
use crate::controllers::kinds::DAEMON_SET;
use crate::controllers::pod_control;
use crate::{array, object};

use super::{REVISION_HASH, TEMPLATE_GENERATION};

/// What daemon pods put up with: `(taint, effect)`.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a DaemonSet's template demands of a node, read once.
pub struct Placement {
    node_name: Text,
    affinity: RequiredNodeAffinity,
    tolerations: Vec<Toleration>,
}

/// The template's tolerations with those that every daemon pod has.
fn tolerations(spec: &Value) -> Vec<Value> {
    let mut all = spec.items("tolerations").to_vec();
    let host = spec.is_true("hostNetwork").then_some(TOLERATED_ON_HOST_NETWORK);
    for (key, effect) in TOLERATED.into_iter().chain(host) {
        let toleration = object! { "key" => key, "operator" => "Exists", "effect" => effect };
        let is_same = |other: &&mut Value| {
            ["key", "effect"].iter().all(|field| other.text(field) == toleration.text(field))
                && other.text("operator") == "Exists"
                && other.text("value").is_empty()
        };
        match all.iter_mut().find(is_same) {
            Some(other) => *other = toleration,
            None => all.push(toleration),
        }
    }
    all
}

impl Placement {
    pub fn of(set: &Value) -> Placement {
        let spec = set.at("spec.template.spec");
        Placement {
            node_name: spec.shared_text("nodeName"),
            affinity: RequiredNodeAffinity::of(spec),
            tolerations: Toleration::parse_all(&tolerations(spec)),
        }
    }
    /// `(should run, should go on running)` on `node`: a NoSchedule taint lets be what is there.
    pub fn verdict(&self, node: &Value) -> (bool, bool) {
        let name = meta::name(node);
        let fits = (self.node_name.is_empty() || self.node_name == name)
            && self.affinity.matches(name, meta::labels(node));
        if !fits {
            return (false, false);
        }
        let taints = Taint::parse_all(node.items("spec.taints"));
        if untolerated(&taints, &self.tolerations, Effect::is_hard).is_none() {
            return (true, true);
        }
        let evicts = |effect| effect == Effect::NoExecute;
        (false, untolerated(&taints, &self.tolerations, evicts).is_none())
    }
}

/// The pod of `set` for the node `node`, made of the template with hash `hash`.
pub fn pod_for(set: &Value, hash: &str, node: &Text) -> Value {
    let mut pod = pod_control::from_template(set.at("spec.template"), set, &DAEMON_SET);
    if let Some(generation) = meta::annotation(set, "deprecated.daemonset.template.generation") {
        meta::set_label(&mut pod, TEMPLATE_GENERATION, generation);
    }
    if !hash.is_empty() {
        meta::set_label(&mut pod, REVISION_HASH, hash);
    }
    let all = tolerations(pod.at("spec"));
    pod.set("spec.tolerations", all);
    let by_name = object! { "key" => "metadata.name", "operator" => "In", "values" => array![node] };
    let terms = array![object! { "matchFields" => array![by_name] }];
    pod.set(
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        terms,
    );
    pod
}

/// The node that a daemon pod is on or meant for.
pub fn target_node(pod: &Value) -> Option<Text> {
    let assigned = pod.shared_text("spec.nodeName");
    if !assigned.is_empty() {
        return Some(assigned);
    }
    let required = pod.at("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    required
        .items("nodeSelectorTerms")
        .iter()
        .flat_map(|term| term.items("matchFields"))
        .find(|field| field.text("key") == "metadata.name" && field.text("operator") == "In")
        .and_then(|field| match field.items("values") {
            [name] => name.as_str().map(Text::from),
            _ => None,
        })
}
