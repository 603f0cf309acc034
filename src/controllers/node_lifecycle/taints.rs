//! Which taints a node's conditions call for, and how they get there.
//!
//! Picture to hold in mind: door signs, each for one condition; a sign that no longer holds is taken down.

use crate::api::{Text, Value, meta, time};
use crate::client::{Call, Interrupt, request};
use crate::controllers::kinds::NODE;
use crate::message::rest::PatchType;
use crate::object;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// `(condition, status, taint)` for NoSchedule taints.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
/// Labels that repeat others under their former names.
const REPEATED_LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// Taints to add and to remove, `(key, effect)`.
#[derive(Debug, Default, PartialEq)]
pub struct Change {
    add: Vec<(&'static str, &'static str)>,
    remove: Vec<(&'static str, &'static str)>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
    /// Something is added, and nothing exchanged for it.
    pub fn is_new(&self) -> bool {
        !self.add.is_empty() && self.remove.is_empty()
    }
}

fn has(node: &Value, key: &str, effect: &str) -> bool {
    node.items("spec.taints").iter().any(|taint| taint.text("key") == key && taint.text("effect") == effect)
}

/// The NoSchedule taints that the node's conditions and its cordon call for.
pub fn scheduling(node: &Value) -> Change {
    let mut change = Change::default();
    let cordon = (UNSCHEDULABLE, node.is_true("spec.unschedulable"));
    let by_condition = BY_CONDITION
        .iter()
        .map(|(condition, status, taint)| (*taint, meta::condition_status(node, condition) == *status));
    for (taint, is_called_for) in by_condition.chain([cordon]) {
        match (is_called_for, has(node, taint, "NoSchedule")) {
            (true, false) => change.add.push((taint, "NoSchedule")),
            (false, true) => change.remove.push((taint, "NoSchedule")),
            _ => {}
        }
    }
    change
}

/// The NoExecute taint that the Ready condition calls for; none while all nodes are down.
pub fn eviction(node: &Value, all_are_down: bool) -> Change {
    let status = meta::condition_status(node, "Ready");
    let wanted = match status {
        _ if all_are_down => "",
        "False" => NOT_READY,
        "Unknown" => UNREACHABLE,
        "True" => "",
        _ => return Change::default(),
    };
    let mut change = Change::default();
    for taint in [NOT_READY, UNREACHABLE] {
        match (taint == wanted, has(node, taint, "NoExecute")) {
            (true, false) => change.add.push((taint, "NoExecute")),
            (false, true) => change.remove.push((taint, "NoExecute")),
            _ => {}
        }
    }
    change
}

/// Carries a change out: first what is added, then what is removed, each on a fresh copy.
pub fn swap_taints(call: &mut Call, name: &str, change: &Change) -> Result<(), Interrupt> {
    let now = time::rfc3339(call.now());
    if !change.add.is_empty() {
        patch_taints(call, name, |taints| {
            for (key, effect) in &change.add {
                let taint = object! { "key" => *key, "effect" => *effect, "timeAdded" => &now };
                taints.retain(|other| other.text("key") != *key || other.text("effect") != *effect);
                taints.push(taint);
            }
        })?;
    }
    if !change.remove.is_empty() {
        patch_taints(call, name, |taints| {
            taints.retain(|taint| {
                !change
                    .remove
                    .iter()
                    .any(|(key, effect)| taint.text("key") == *key && taint.text("effect") == *effect)
            });
        })?;
    }
    Ok(())
}

fn patch_taints(call: &mut Call, name: &str, change: impl Fn(&mut Vec<Value>)) -> Result<(), Interrupt> {
    loop {
        let node = match call.attempt(request::get(&NODE.resource, "", name))? {
            Ok(node) => node,
            Err(status) if status.text("reason") == "NotFound" => return Ok(()),
            Err(status) => return Err(Interrupt::from_status(&status)),
        };
        let mut taints = node.items("spec.taints").to_vec();
        change(&mut taints);
        if taints == node.items("spec.taints") {
            return Ok(());
        }
        let taints = if taints.is_empty() { Value::Null } else { Value::from(taints) };
        let patch = object! {
            "metadata" => object! { "resourceVersion" => node.at("metadata.resourceVersion") },
            "spec" => object! { "taints" => taints },
        };
        let request = request::patch(&NODE.resource, "", name, PatchType::StrategicMerge, patch);
        match call.attempt(request)? {
            Ok(_) => return Ok(()),
            // Somebody wrote in between: look again.
            Err(status) if status.text("reason") == "Conflict" => {}
            Err(status) => return Err(Interrupt::from_status(&status)),
        }
    }
}

/// Repeats labels under their former names, which old clients know.
pub fn reconcile_labels(call: &mut Call, node: &Value) -> Result<(), Interrupt> {
    let mut missing = Value::object();
    for (primary, repeated) in REPEATED_LABELS {
        let value = meta::label(node, primary);
        if value.is_some() && meta::label(node, repeated) != value {
            missing.make_object().insert(repeated, value.map(Text::from));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let patch = object! { "metadata" => object! { "labels" => missing } };
    call.patch(&NODE.resource, ("", meta::name(node)), PatchType::StrategicMerge, patch)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array;

    #[test]
    fn conditions_call_for_taints() {
        let node = |ready: &str, taints: Value, cordoned: bool| {
            object! {
                "spec" => object! { "taints" => taints, "unschedulable" => cordoned },
                "status" => object! {
                    "conditions" => array![object! { "type" => "Ready", "status" => ready }],
                },
            }
        };
        let taint = |key: &str, effect: &str| array![object! { "key" => key, "effect" => effect }];
        for (node, add, remove) in [
            (node("True", array![], false), vec![], vec![]),
            (node("True", array![], true), vec![UNSCHEDULABLE], vec![]),
            (node("False", array![], false), vec![NOT_READY], vec![]),
            (node("Unknown", taint(NOT_READY, "NoSchedule"), false), vec![UNREACHABLE], vec![NOT_READY]),
            (node("True", taint(UNSCHEDULABLE, "NoSchedule"), false), vec![], vec![UNSCHEDULABLE]),
            (node("True", taint("own", "NoSchedule"), false), vec![], vec![]),
        ] {
            let change = scheduling(&node);
            let keys =
                |list: &[(&'static str, &str)]| -> Vec<&str> { list.iter().map(|(key, _)| *key).collect() };
            assert_eq!((keys(&change.add), keys(&change.remove)), (add, remove), "{node}");
        }
        let lost = node("Unknown", array![], false);
        assert!(eviction(&lost, false).is_new());
        assert!(eviction(&lost, true).is_empty());
        assert!(!eviction(&node("Unknown", taint(NOT_READY, "NoExecute"), false), false).is_new());
    }
}
