//! `calicoctl`: Calico's own view of nodes, pools, pods and of its BGP sessions.
//!
//! Picture to hold in mind: another pair of glasses for the same ledger. Endpoints are pods with an address of their own,
//! pools are objects that calico-node makes of what its DaemonSet says; only the list of peers comes from BIRD on the node at whose console one sits.
//!
//! Forms as calicoctl v3.31 prints them.

use crate::api::{Value, meta};
use crate::client::{Answer, request};
use crate::kubectl::tab_writer::{Style, align};
use crate::message::rest::Resource;
use crate::network::cni::calico_interface;
use crate::network::ipam::Cidr;
use crate::shell::{Cli, Halt, Main, Run};

pub const PROGRAMS: &[(&str, Main)] = &[("calicoctl", main)];

/// Go's tabwriter as calicoctl sets it up.
const STYLE: Style = Style { minimum: 5, padding: 3 };
const PEERS: &str = "/var/run/calico/bird.peers";

fn main(cli: &mut Cli) -> Run<()> {
    let arguments = cli.arguments();
    let words: Vec<&str> =
        arguments[1..].iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    match words.as_slice() {
        ["node", "status", ..] => node_status(cli),
        ["get", kind, ..] => get(cli, kind, &arguments),
        ["version", ..] => {
            cli.print("Client Version:    v3.31.2\n");
            Ok(())
        }
        _ => {
            cli.eprint("Invalid option: of calicoctl \"get nodes|ippools|workloadendpoints [-o wide]\" and \"node status\" are simulated\n");
            Err(Halt::Exit(1))
        }
    }
}

/// BIRD's sessions of the node at whose console the terminal stands.
fn node_status(cli: &mut Cli) -> Run<()> {
    let Ok(peers) = cli.read_file(PEERS) else {
        cli.print("Calico process is not running.\n");
        return Err(Halt::Exit(1));
    };
    let rule = "+----------------+-------------------+-------+----------+--------------------------------+\n";
    let row = |cells: [&str; 5]| {
        let [peer, kind, state, since, info] = cells;
        format!("| {peer:<14} | {kind:<17} | {state:<5} | {since:<8} | {info:<30} |\n")
    };
    let mut text = String::from("Calico process is running.\n\nIPv4 BGP status\n");
    text += rule;
    text += &row(["PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"]);
    text += rule;
    for line in peers.lines() {
        let mut words = line.split(' ');
        let peer = words.next().unwrap_or_default();
        let (state, since, words) = match (words.next(), words.next()) {
            (Some("up"), Some(since)) => ("up", since, "Established"),
            (_, Some(since)) => ("start", since, "Active Socket: No route to host"),
            _ => ("start", "00:00:00", "Active Socket: Connection refused"),
        };
        text += &row([peer, "node-to-node mesh", state, since, words]);
    }
    text += rule;
    text += "\nIPv6 BGP status\nNo IPv6 peers found.\n\n";
    cli.print(text);
    Ok(())
}

fn list(cli: &mut Cli, group: &str, plural: &str) -> Run<Vec<Value>> {
    let resource = Resource::new(group, "v1", plural);
    let why = match cli.ask(request::list(&resource, ""))? {
        Answer::Response(response) if response.is_success() => {
            return Ok(response.body.items("items").to_vec());
        }
        Answer::Response(response) => response.body.text("message").to_string(),
        _ => "connect: connection refused".into(),
    };
    cli.eprint(format!("Failed to get resources: {why}\n"));
    Err(Halt::Exit(1))
}

fn get(cli: &mut Cli, kind: &str, arguments: &[String]) -> Run<()> {
    let is_wide = arguments.iter().any(|word| matches!(word.as_str(), "wide" | "-owide" | "--output=wide"));
    let is_all = arguments.iter().any(|word| matches!(word.as_str(), "-A" | "-a" | "--all-namespaces"));
    let namespace = arguments.windows(2).find(|pair| matches!(pair[0].as_str(), "-n" | "--namespace"));
    let namespace = namespace.map_or("default", |pair| pair[1].as_str()).to_string();
    let daemon_sets = list(cli, "apps", "daemonsets")?;
    if !daemon_sets.iter().any(|one| meta::name(one) == "calico-node") {
        cli.eprint(
            "Failed to get resources: the Calico datastore is empty: apply the example calico.yaml first\n",
        );
        return Err(Halt::Exit(1));
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    match kind {
        "node" | "nodes" | "no" => {
            rows.push(
                if is_wide { vec!["NAME", "ASN", "IPV4", "IPV6"] } else { vec!["NAME"] }
                    .into_iter()
                    .map(String::from)
                    .collect(),
            );
            for node in list(cli, "", "nodes")? {
                let mut row = vec![meta::name(&node).to_string()];
                if is_wide {
                    let mut addresses = node.items("status.addresses").iter();
                    let own = addresses.find(|one| one.text("type") == "InternalIP");
                    row.push("(64512)".into());
                    row.push(format!("{}/16", own.map_or("", |own| own.text("address"))));
                    row.push(String::new());
                }
                rows.push(row);
            }
        }
        "ippool" | "ippools" | "ipp" => {
            if is_wide {
                let head = [
                    "NAME",
                    "CIDR",
                    "NAT",
                    "IPIPMODE",
                    "VXLANMODE",
                    "DISABLED",
                    "DISABLEBGPEXPORT",
                    "SELECTOR",
                ];
                rows.push(head.map(String::from).to_vec());
            } else {
                rows.push(["NAME", "CIDR", "SELECTOR"].map(String::from).to_vec());
            }
            for pool in list(cli, "crd.projectcalico.org", "ippools")? {
                let mut row = vec![meta::name(&pool).to_string(), pool.text("spec.cidr").to_string()];
                if is_wide {
                    row.push(pool.is_true("spec.natOutgoing").to_string());
                    row.extend(["spec.ipipMode", "spec.vxlanMode"].map(|mode| pool.text(mode).to_string()));
                    let marks = ["spec.disabled", "spec.disableBGPExport"];
                    row.extend(marks.map(|mark| pool.is_true(mark).to_string()));
                }
                row.push(pool.text("spec.nodeSelector").to_string());
                rows.push(row);
            }
        }
        "workloadendpoint" | "workloadendpoints" | "wep" | "weps" => {
            let mut head = vec!["WORKLOAD", "NODE", "NETWORKS", "INTERFACE"];
            if is_wide {
                head = vec!["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS"];
            }
            if is_all {
                head.insert(0, "NAMESPACE");
            }
            rows.push(head.into_iter().map(String::from).collect());
            for pod in list(cli, "", "pods")? {
                let own = meta::namespace(&pod);
                let address = pod.text("status.podIP");
                if pod.is_true("spec.hostNetwork") || address.is_empty() || !(is_all || own == namespace) {
                    continue;
                }
                let (name, node) = (meta::name(&pod), pod.text("spec.nodeName"));
                let network =
                    Cidr::parse(&format!("{address}/32")).map_or(String::new(), |one| one.to_string());
                let interface = calico_interface(&format!("{own}/{name}")).to_string();
                let mut row = vec![name.to_string(), node.to_string(), network, interface];
                if is_wide {
                    let dashed = |text: &str| text.replace('-', "--");
                    row.insert(0, format!("{}-k8s-{}-eth0", dashed(node), dashed(name)));
                    row.push(format!("kns.{own},ksa.{own}.{}", pod.text("spec.serviceAccountName")));
                    row.push(String::new());
                }
                if is_all {
                    row.insert(0, own.to_string());
                }
                rows.push(row);
            }
        }
        kind => {
            cli.eprint(format!("Failed to get resources: resource type '{kind}' is not supported\n"));
            return Err(Halt::Exit(1));
        }
    }
    let text: String = rows.iter().map(|row| row.join("\t") + "\t\n").collect();
    cli.print(align(&text, STYLE) + "\n");
    Ok(())
}
