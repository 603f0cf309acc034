//! The options that say what the cluster is made of: `shell` and `serve` take the same ones.
//!
//! Picture to hold in mind: the order form for machines.

use clusterarium::command::{PodNetwork, Scenario};

/// Whether `--name` is one of them.
pub fn takes(name: &str) -> bool {
    matches!(
        name,
        "workers"
            | "control-plane-nodes"
            | "etcd-members"
            | "external-etcd"
            | "network"
            | "dual-stack"
            | "hollow"
    )
}

/// Takes the value of `--name`, or says in a sentence why it is none.
pub fn read(scenario: &mut Scenario, name: &str, parser: &mut lexopt::Parser) -> Result<(), String> {
    if name == "network" {
        let value = parser.value().map_err(|error| error.to_string())?;
        scenario.network = match value.to_string_lossy().as_ref() {
            "bridge" => PodNetwork::Bridge,
            "flannel" => PodNetwork::Flannel,
            "calico" => PodNetwork::Calico,
            other => return Err(format!("--network is bridge, flannel or calico, not {other:?}")),
        };
        return Ok(());
    }
    let mut number = || {
        let value = parser.value().map_err(|error| error.to_string())?;
        let text = value.to_string_lossy();
        text.parse::<u32>().map_err(|_| format!("--{name} wants a number, not {text:?}"))
    };
    match name {
        "workers" => scenario.workers = number()?,
        "control-plane-nodes" => scenario.control_plane_nodes = number()?,
        "etcd-members" => scenario.etcd_members = number()?,
        "dual-stack" => scenario.dual_stack = true,
        "external-etcd" => scenario.external_etcd = true,
        _ => scenario.hollow = true,
    }
    Ok(())
}
