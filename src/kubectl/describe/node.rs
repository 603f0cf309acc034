//! Nodes: what they are, what they can carry, what they carry.
//!
//! Picture to hold in mind: the inventory of a warehouse.

use crate::api::quantity::{Format, Quantity};
use crate::api::{Value, meta};
use crate::arrange::{Arrange, Gather};
use crate::sorted::SortedMap;

use super::page::{Page, date, line, list, or_none, text_of};

/// `lease` is the node's heartbeat, or why there is none.
pub fn node(page: &mut Page, node: &Value, lease: Result<&Value, &str>, pods: &[Value]) {
    page.name(node);
    line!(page, 0, "Roles:\t{}", or_none(&roles(node)));
    page.marks(node);
    line!(page, 0, "CreationTimestamp:\t{}", date(node.text("metadata.creationTimestamp")));
    let mut taints: Vec<&Value> = node.items("spec.taints").iter().collect();
    taints.arrange_by_key(|taint| format!("{},{}", taint.text("effect"), taint.text("key")));
    page.column("Taints", taints.into_iter().map(taint_text).collect());
    line!(page, 0, "Unschedulable:\t{}", node.is_true("spec.unschedulable"));
    match lease {
        Err(error) => line!(page, 0, "Lease:\tFailed to get lease: {error}"),
        Ok(lease) => {
            let time = |path: &str| match lease.text(path) {
                "" => "<unset>".to_string(),
                at => date(at),
            };
            let holder = lease.text("spec.holderIdentity");
            line!(page, 0, "Lease:");
            line!(page, 1, "HolderIdentity:\t{}", if holder.is_empty() { "<unset>" } else { holder });
            line!(page, 1, "AcquireTime:\t{}", time("spec.acquireTime"));
            line!(page, 1, "RenewTime:\t{}", time("spec.renewTime"));
        }
    }
    page.conditions(
        node,
        &[
            ("Type", "type"),
            ("Status", "status"),
            ("LastHeartbeatTime", "lastHeartbeatTime"),
            ("LastTransitionTime", "lastTransitionTime"),
            ("Reason", "reason"),
            ("Message", "message"),
        ],
        true,
    );
    line!(page, 0, "Addresses:");
    for address in node.items("status.addresses") {
        line!(page, 1, "{}:\t{}", address.text("type"), address.text("address"));
    }
    for (title, field) in [("Capacity", "status.capacity"), ("Allocatable", "status.allocatable")] {
        if !node.map(field).is_empty() {
            line!(page, 0, "{title}:");
            for (name, amount) in node.map(field).iter() {
                line!(page, 1, "{name}:\t{}", text_of(amount));
            }
        }
    }
    line!(page, 0, "System Info:");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        line!(page, 1, "{title}:\t{}", node.at("status.nodeInfo").text(field));
    }
    if !node.text("spec.podCIDR").is_empty() {
        line!(page, 0, "PodCIDR:\t{}", node.text("spec.podCIDR"));
        line!(page, 0, "PodCIDRs:\t{}", list(node, "spec.podCIDRs", ","));
    }
    if !node.text("spec.providerID").is_empty() {
        line!(page, 0, "ProviderID:\t{}", node.text("spec.providerID"));
    }
    load(page, node, pods);
}

pub fn taint_text(taint: &Value) -> String {
    let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
    match (value, effect) {
        ("", "") => key.to_string(),
        ("", effect) => format!("{key}:{effect}"),
        (value, "") => format!("{key}={value}:"),
        (value, effect) => format!("{key}={value}:{effect}"),
    }
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = meta::labels(node)
        .iter()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str(),
            _ => None,
        })
        .gather();
    roles.arrange();
    roles.dedup();
    roles.join(",")
}

type Amounts = SortedMap<String, Quantity>;

fn add(sum: &mut Amounts, name: &str, amount: Quantity) {
    match sum.get_mut(name) {
        Some(before) => *before = *before + amount,
        None => {
            sum.insert(name.to_string(), amount);
        }
    }
}

/// What a pod asks for (`requests`) or may use (`limits`): the sum of its containers, or the largest init
/// container if that is more; pod-level amounts come first (`k8s.io/component-helpers/resource`).
pub fn pod_amounts(pod: &Value, field: &str) -> Amounts {
    let of = |container: &Value| -> Amounts {
        let amounts = container.map(&format!("resources.{field}"));
        amounts
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), Quantity::from_value(value)?)))
            .gather()
    };
    let mut sum = Amounts::new();
    for container in pod.items("spec.containers") {
        for (name, amount) in of(container) {
            add(&mut sum, &name, amount);
        }
    }
    let mut sidecars = Amounts::new();
    let mut largest = Amounts::new();
    for container in pod.items("spec.initContainers") {
        let own = of(container);
        let mut with_sidecars = sidecars.clone();
        for (name, amount) in &own {
            add(&mut with_sidecars, name, *amount);
        }
        if container.text("restartPolicy") == "Always" {
            for (name, amount) in own {
                add(&mut sum, &name, amount);
                add(&mut sidecars, &name, amount);
            }
        }
        for (name, amount) in with_sidecars {
            let entry = largest.entry(name).or_insert(amount);
            if amount > *entry {
                *entry = amount;
            }
        }
    }
    for (name, amount) in largest {
        let entry = sum.entry(name).or_insert(amount);
        if amount > *entry {
            *entry = amount;
        }
    }
    for (name, value) in pod.map(&format!("spec.resources.{field}")).iter() {
        if let Some(amount) = Quantity::from_value(value) {
            sum.insert(name.to_string(), amount);
        }
    }
    for (name, value) in pod.map("spec.overhead").iter() {
        if let Some(amount) = Quantity::from_value(value)
            && (field == "requests" || sum.contains_key(name.as_str()))
        {
            add(&mut sum, name, amount);
        }
    }
    sum
}

/// `250m (6%)` of what there is.
fn share(amounts: &Amounts, name: &str, there: &Amounts) -> String {
    let amount = amounts.get(name).copied().unwrap_or(Quantity::from_units(0, Format::DecimalSi));
    let all =
        there.get(name).map_or(0, |amount| if name == "cpu" { amount.milli_value() } else { amount.value() });
    let used = if name == "cpu" { amount.milli_value() } else { amount.value() };
    let percent = if all == 0 { 0 } else { (i128::from(used) * 100 / i128::from(all)) as i64 };
    format!("{amount} ({percent}%)")
}

fn load(page: &mut Page, node: &Value, pods: &[Value]) {
    let field =
        if node.map("status.allocatable").is_empty() { "status.capacity" } else { "status.allocatable" };
    let there: Amounts = node
        .map(field)
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), Quantity::from_value(value)?)))
        .gather();
    line!(page, 0, "Non-terminated Pods:\t({} in total)", pods.len());
    line!(page, 1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    line!(page, 1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for pod in pods {
        let (own, most) = (pod_amounts(pod, "requests"), pod_amounts(pod, "limits"));
        let age = page.since(pod.text("metadata.creationTimestamp"));
        line!(
            page,
            1,
            "{}\t{}\t\t{}\t{}\t{}\t{}\t{age}",
            pod.text("metadata.namespace"),
            pod.text("metadata.name"),
            share(&own, "cpu", &there),
            share(&most, "cpu", &there),
            share(&own, "memory", &there),
            share(&most, "memory", &there)
        );
        for (name, amount) in own {
            add(&mut requests, &name, amount);
        }
        for (name, amount) in most {
            add(&mut limits, &name, amount);
        }
    }
    line!(page, 0, "Allocated resources:");
    line!(page, 1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    line!(page, 1, "Resource\tRequests\tLimits");
    line!(page, 1, "--------\t--------\t------");
    let mut names = vec!["cpu", "memory", "ephemeral-storage"];
    let is_huge = |name: &&String| name.starts_with("hugepages-");
    names.extend(there.keys().filter(is_huge).map(String::as_str));
    for name in names {
        line!(page, 1, "{name}\t{}\t{}", share(&requests, name, &there), share(&limits, name, &there));
    }
    for name in there.keys().filter(|name| {
        !is_huge(name) && !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pods")
    }) {
        let amount = |amounts: &Amounts| {
            amounts.get(name).copied().unwrap_or(Quantity::from_units(0, Format::DecimalSi)).to_string()
        };
        line!(page, 1, "{name}\t{}\t{}", amount(&requests), amount(&limits));
    }
}
