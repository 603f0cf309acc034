//! Priority, tolerations, runtime class, topology labels; the taint of a new node.
//!
//! Picture to hold in mind: small stamps on a boarding pass: class, what delays are put up with, which gate.
//!
//! Follows `plugin/pkg/admission/{priority,defaulttolerationseconds,runtimeclass,podtopologylabels,nodetaint,podresize}`.

use crate::api::status::Status;
use crate::api::value::literal;
use crate::api::{Quantity, Text, Value, meta, quota};
use crate::object;

use super::{Attributes, Operation};
use crate::apiserver::ApiServer;

const NOT_READY: Text = literal!("node.kubernetes.io/not-ready");
const UNREACHABLE: Text = literal!("node.kubernetes.io/unreachable");
const TOLERATION_SECONDS: u32 = 300;
/// The labels that pods get from their node: `topologyLabels` of the plugin's default configuration.
const TOPOLOGY_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// TaintNodesByCondition: a new node takes no pods before it has said that it is ready.
pub(super) fn taint_new_node(node: &mut Value) {
    let taint = object! { "key" => NOT_READY, "effect" => "NoSchedule" };
    let has = node
        .items("spec.taints")
        .iter()
        .any(|other| other.text("key") == NOT_READY && other.text("effect") == "NoSchedule");
    if !has {
        node.at_mut("spec.taints").make_array().push(taint);
    }
}

/// DefaultTolerationSeconds.
pub(super) fn tolerate_node_problems(pod: &mut Value) {
    for key in [NOT_READY, UNREACHABLE] {
        let tolerates = pod.items("spec.tolerations").iter().any(|toleration| {
            (toleration.text("key") == key || toleration.text("key").is_empty())
                && matches!(toleration.text("effect"), "NoExecute" | "")
        });
        if !tolerates {
            pod.at_mut("spec.tolerations").make_array().push(object! {
                "key" => key,
                "operator" => literal!("Exists"),
                "effect" => literal!("NoExecute"),
                "tolerationSeconds" => TOLERATION_SECONDS,
            });
        }
    }
}

impl ApiServer {
    /// Priority: the class's number goes into the pod.
    pub(super) fn set_priority(
        &self,
        attributes: &Attributes,
        pod: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if attributes.operation == Operation::Update {
            if let Some(old) = old {
                for field in ["spec.priority", "spec.preemptionPolicy"] {
                    if !pod.has(field) && old.has(field) {
                        pod.set(field, old.at(field));
                    }
                }
            }
            return Ok(());
        }
        let name = pod.shared_text("spec.priorityClassName");
        let shelf = self.catalog.shelves.priority_classes;
        let class = if name.is_empty() {
            let default = self.default_priority_class();
            if let Some(class) = default {
                pod.set("spec.priorityClassName", class.shared_text("metadata.name"));
            }
            default
        } else {
            let class = self.shelf(shelf, &name);
            if class.is_none() {
                return Err(attributes.forbidden(pod, format!("no PriorityClass with name {name} was found")));
            }
            class
        };
        let priority = class.and_then(|class| class.integer("value")).unwrap_or(0);
        let policy = match class.map(|class| class.shared_text("preemptionPolicy")) {
            Some(policy) if !policy.is_empty() => policy,
            _ => literal!("PreemptLowerPriority"),
        };
        if let Some(own) = pod.integer("spec.priority").filter(|own| *own != priority) {
            let message = format!(
                "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
            );
            return Err(attributes.forbidden(pod, message));
        }
        let own = pod.shared_text("spec.preemptionPolicy");
        if !own.is_empty() && own != policy {
            let message = format!(
                "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            );
            return Err(attributes.forbidden(pod, message));
        }
        pod.set("spec.priority", priority);
        pod.set("spec.preemptionPolicy", policy);
        Ok(())
    }

    /// The class of pods that name none: of several defaults the lowest.
    fn default_priority_class(&self) -> Option<&Value> {
        let cache = self.caches.get(self.catalog.shelves.priority_classes)?;
        cache
            .objects
            .values()
            .filter(|class| class.is_true("globalDefault"))
            .min_by_key(|class| class.integer("value").unwrap_or(0))
    }

    /// There is one default class at most.
    pub(super) fn check_priority_class(&self, attributes: &Attributes, class: &Value) -> Result<(), Status> {
        if !class.is_true("globalDefault") {
            return Ok(());
        }
        match self.default_priority_class() {
            Some(default) if meta::name(default) != meta::name(class) => Err(attributes.forbidden(
                class,
                format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    meta::name(default)
                ),
            )),
            _ => Ok(()),
        }
    }

    /// RuntimeClass: its overhead and scheduling become the pod's.
    pub(super) fn apply_runtime_class(&self, attributes: &Attributes, pod: &mut Value) -> Result<(), Status> {
        let name = pod.shared_text("spec.runtimeClassName");
        if name.is_empty() {
            return Ok(());
        }
        let Some(class) = self.shelf(self.catalog.shelves.runtime_classes, &name).cloned() else {
            let message = format!("pod rejected: RuntimeClass \"{name}\" not found");
            return Err(attributes.forbidden(pod, message));
        };
        let overhead = class.at("overhead.podFixed");
        if !overhead.is_empty() {
            if pod.has("spec.overhead") && pod.at("spec.overhead") != overhead {
                let message = format!(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead for RuntimeClass {name}"
                );
                return Err(attributes.forbidden(pod, message));
            }
            pod.set("spec.overhead", overhead);
        } else if !pod.at("spec.overhead").is_empty() {
            let message =
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(attributes.forbidden(pod, message));
        }
        for (key, value) in class.map("scheduling.nodeSelector").iter() {
            if let Some(own) = pod.map("spec.nodeSelector").get(key).filter(|own| *own != value) {
                let message = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    value.as_str().unwrap_or(""),
                    own.as_str().unwrap_or("")
                );
                return Err(attributes.forbidden(pod, message));
            }
            pod.at_mut("spec.nodeSelector").make_object().insert(key, value);
        }
        for toleration in class.items("scheduling.tolerations") {
            if !pod.items("spec.tolerations").contains(toleration) {
                pod.at_mut("spec.tolerations").make_array().push(toleration.clone());
            }
        }
        Ok(())
    }

    /// NodeDeclaredFeatureValidator: a pod is resized only where its node knows how; PodResizeValidator: it may not grow
    /// beyond what the node has.
    pub(super) fn check_resize(
        &self,
        attributes: &Attributes,
        pod: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let name = pod.text("spec.nodeName");
        if name.is_empty() || meta::generation(pod) == meta::generation(old) {
            return Ok(());
        }
        let Some(node) = self.shelf(self.catalog.shelves.nodes, name) else {
            return Err(attributes.forbidden(pod, ["node \"", name, "\" not found"].concat()));
        };
        let declared = node.items("status.declaredFeatures");
        let is_resized = |(old, new): (&Value, &Value)| {
            old.text("restartPolicy") != "Always" && old.at("resources") != new.at("resources")
        };
        let (before, after) = (old.items("spec.initContainers"), pod.items("spec.initContainers"));
        let mut missing = Vec::new();
        for (feature, is_needed) in [
            ("InPlacePodLevelResourcesVerticalScaling", old.at("spec.resources") != pod.at("spec.resources")),
            ("InPlacePodVerticalScalingInitContainers", before.iter().zip(after).any(is_resized)),
        ] {
            if is_needed && !declared.iter().any(|own| own.as_str() == Some(feature)) {
                missing.push(feature);
            }
        }
        if !missing.is_empty() {
            let words = [
                "pod update requires features ",
                &missing.join(", "),
                " which are not available on node \"",
                name,
                "\"",
            ];
            return Err(attributes.forbidden(pod, words.concat()));
        }
        let requests = quota::total(pod, "requests");
        let allocatable = quota::read(node.map("status.allocatable"));
        let mut missing = Vec::new();
        for (resource, in_unit) in
            [("cpu", Quantity::milli_value as fn(&Quantity) -> i64), ("memory", Quantity::value)]
        {
            let amount = |amounts: &quota::Amounts| amounts.get(resource).map_or(0, in_unit);
            let (wanted, there) = (amount(&requests), amount(&allocatable));
            if wanted > there {
                missing.push(format!("{resource}, requested: {wanted}, allocatable: {there}"));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let words = ["node didn't have enough allocatable resources: ", &missing.join("; ")].concat();
        Err(attributes.forbidden(pod, words).with_cause("NodeCapacity", "", ""))
    }

    /// PodTopologyLabels: a binding, or a pod that is made with a node, gets the node's zone and region.
    pub(super) fn label_topology(&self, attributes: &Attributes, object: &mut Value) {
        if attributes.operation != Operation::Create {
            return;
        }
        let node = if attributes.is_subresource("pods", "binding") {
            if !matches!(object.text("target.kind"), "" | "Node") {
                return;
            }
            object.shared_text("target.name")
        } else if attributes.is("", "Pod") {
            object.shared_text("spec.nodeName")
        } else {
            return;
        };
        if node.is_empty() {
            return;
        }
        let Some(node) = self.shelf(self.catalog.shelves.nodes, &node) else { return };
        for key in TOPOLOGY_LABELS {
            if let Some(value) = meta::labels(node).get(key) {
                let value = value.clone();
                meta::set_label(object, key, value);
            }
        }
    }
}
