//! What a node does not take, although somebody sent it there.
//!
//! Picture to hold in mind: the porter at the door counts beds, cups and keys once more, because the booking
//! office may be behind.
//!
//! Follows `pkg/kubelet/lifecycle/predicate.go` and the scheduler's `AdmissionCheck`.

use crate::api::{Quantity, Text, Value, meta};

use super::resources::{ResourceList, is_sidecar, pod_requests};

/// What a pod takes away from a node.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    pub requests: ResourceList,
    pub ports: Vec<HostPort>,
}

/// Address, protocol, port of the node.
pub type HostPort = (Text, Text, i64);

/// Ports of the node that a pod's containers ask for.
pub fn host_ports(pod: &Value) -> Vec<HostPort> {
    let sidecars = pod.items("spec.initContainers").iter().filter(|container| is_sidecar(container));
    let containers = sidecars.chain(pod.items("spec.containers"));
    let ports = containers.flat_map(|container| container.items("ports"));
    let asked = ports.filter_map(|port| {
        let number = port.integer("hostPort").filter(|number| *number > 0)?;
        let address = if port.has("hostIP") { port.shared_text("hostIP") } else { "0.0.0.0".into() };
        let protocol = if port.has("protocol") { port.shared_text("protocol") } else { "TCP".into() };
        Some((address, protocol, number))
    });
    asked.collect()
}

fn collide(a: &HostPort, b: &HostPort) -> bool {
    let is_any = |address: &str| address == "0.0.0.0" || address == "::";
    a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || is_any(&a.0) || is_any(&b.0))
}

/// Why a pod is refused: reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Text,
    pub message: Text,
}

fn refusal(reason: &str, message: String) -> Option<Refusal> {
    Some(Refusal { reason: reason.into(), message: message.into() })
}

/// `pods` is what those take that the node already has, this one not among them. `None`: it may come in.
pub fn admit<'a>(
    pod: &Value,
    node: &Value,
    pods: impl Iterator<Item = &'a Taken> + Clone,
    is_static: bool,
) -> Option<Refusal> {
    let os = pod.map("spec.nodeSelector").get("kubernetes.io/os").and_then(Value::as_str);
    if os.is_some_and(|os| os != "linux") {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return refusal("PodOSSelectorNodeLabelDoesNotMatch", message.into());
    }
    if !matches!(pod.text("spec.os.name"), "" | "linux") {
        return refusal(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS".into(),
        );
    }
    let allocatable =
        |name: &str| Quantity::from_value(node.at("status.allocatable").get(name).unwrap_or(&Value::Null));
    let count = pods.clone().count() as i64;
    let insufficient = |reason: &str, name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        refusal(reason, message)
    };
    if let Some(capacity) = allocatable("pods").map(|quantity| quantity.value())
        && count + 1 > capacity
    {
        return insufficient("OutOfpods", "pods", 1, count, capacity);
    }
    let wanted = pod_requests(pod);
    for (name, amount) in &wanted {
        // What the node does not know of is not its to refuse.
        let Some(capacity) = allocatable(name) else { continue };
        if amount.is_zero() {
            continue;
        }
        let in_units =
            |quantity: &Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
        let used: i64 = pods.clone().filter_map(|other| other.requests.get(name).map(in_units)).sum();
        let (requested, capacity) = (in_units(amount), in_units(&capacity));
        if requested > capacity - used {
            return insufficient(&format!("OutOf{name}"), name, requested, used, capacity);
        }
    }
    if !matches_node(pod, node) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return refusal("NodeAffinity", message.into());
    }
    let is_named = pod.text("spec.nodeName");
    if !is_named.is_empty() && is_named != meta::name(node) {
        let message = "Predicate NodeName failed: node(s) didn't match the requested node name";
        return refusal("NodeName", message.into());
    }
    let ports = host_ports(pod);
    if ports.iter().any(|port| pods.clone().any(|other| other.ports.iter().any(|taken| collide(port, taken))))
    {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return refusal("NodePorts", message.into());
    }
    let is_tolerated = |taint: &Value| {
        pod.items("spec.tolerations").iter().any(|toleration| {
            let (key, effect) = (toleration.text("key"), toleration.text("effect"));
            let is_of_effect = effect.is_empty() || effect == taint.text("effect");
            let is_of_key = key.is_empty() || key == taint.text("key");
            let exists = toleration.text("operator") == "Exists";
            is_of_effect
                && is_of_key
                && (exists || (!key.is_empty() && toleration.text("value") == taint.text("value")))
        })
    };
    let no_execute = node.items("spec.taints").iter().filter(|taint| taint.text("effect") == "NoExecute");
    if !is_static && no_execute.clone().any(|taint| !is_tolerated(taint)) {
        let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        return refusal("TaintToleration", message.into());
    }
    None
}

fn matches_node(pod: &Value, node: &Value) -> bool {
    let labels = meta::labels(node);
    let is_selected = pod
        .map("spec.nodeSelector")
        .iter()
        .all(|(key, value)| labels.get(key).is_some_and(|found| found == value));
    let required = pod.at("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    is_selected
        && (required.is_null()
            || required.items("nodeSelectorTerms").iter().any(|term| matches_term(term, node)))
}

fn matches_term(term: &Value, node: &Value) -> bool {
    let (expressions, fields) = (term.items("matchExpressions"), term.items("matchFields"));
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let labels = meta::labels(node);
    expressions.iter().all(|requirement| {
        let value = labels.get(requirement.text("key")).and_then(Value::as_str);
        matches_requirement(requirement, value)
    }) && fields.iter().all(|requirement| matches_requirement(requirement, Some(meta::name(node))))
}

fn matches_requirement(requirement: &Value, value: Option<&str>) -> bool {
    let values = requirement.items("values");
    let is_in = value.is_some_and(|value| values.iter().any(|other| other.as_str() == Some(value)));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let compare = |is: fn(i64, i64) -> bool| {
        let limit = number(values.first().and_then(Value::as_str));
        matches!((number(value), limit), (Some(value), Some(limit)) if is(value, limit))
    };
    match requirement.text("operator") {
        "In" => is_in,
        "NotIn" => !is_in,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|a, b| a > b),
        "Lt" => compare(|a, b| a < b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_porter_counts_again() {
        let node: Value = serde_json::from_str(
            r#"{"metadata":{"name":"n","labels":{"disktype":"ssd"}},"spec":{"taints":[{"key":"x","effect":"NoExecute"}]},
                "status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"2"}}}"#,
        )
        .unwrap();
        let present: Value =
            serde_json::from_str(r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"3"}},"ports":[{"containerPort":80,"hostPort":80}]}]}}"#)
                .unwrap();
        let taken = Taken { requests: pod_requests(&present), ports: host_ports(&present) };
        let tolerant = r#""tolerations":[{"operator":"Exists"}]"#;
        let cases = [
            (format!(r#"{{{tolerant}}}"#), 1, None),
            (
                format!(r#"{{{tolerant},"containers":[{{"resources":{{"requests":{{"cpu":"1500m"}}}}}}]}}"#),
                1,
                Some((
                    "OutOfcpu",
                    "Node didn't have enough resource: cpu, requested: 1500, used: 3000, capacity: 4000",
                )),
            ),
            (
                format!(r#"{{{tolerant}}}"#),
                2,
                Some((
                    "OutOfpods",
                    "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
                )),
            ),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"disktype":"hdd"}}}}"#),
                0,
                Some((
                    "NodeAffinity",
                    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
                )),
            ),
            (
                format!(
                    r#"{{{tolerant},"containers":[{{"ports":[{{"containerPort":8080,"hostPort":80}}]}}]}}"#
                ),
                1,
                Some((
                    "NodePorts",
                    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                )),
            ),
            (
                "{}".into(),
                0,
                Some((
                    "TaintToleration",
                    "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
                )),
            ),
        ];
        for (spec, others, expected) in cases {
            let pod: Value = serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).unwrap();
            let found = admit(&pod, &node, std::iter::repeat_n(&taken, others), false);
            let found = found.as_ref().map(|refusal| (refusal.reason.as_str(), refusal.message.as_str()));
            assert_eq!(found, expected, "{spec}");
        }
    }
}
