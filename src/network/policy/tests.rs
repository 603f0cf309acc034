//! The rules against what the API says that policies mean, read a second time and in another way.

use core::net::IpAddr;

use super::*;
use crate::api::selector::LabelSelector;
use crate::api::{meta, yaml};
use crate::network::cni::calico_interface;
use crate::network::netfilter::walk::Node;
use crate::network::netfilter::{RuleSet, Table, Verdict};
use crate::network::packet::{Packet, Protocol};
use crate::sim::Random;

struct Machine;
impl Node for Machine {
    fn is_local(&self, _address: IpAddr) -> bool {
        false
    }
    fn is_recent(&self, _list: &str, _source: IpAddr, _seconds: u32) -> bool {
        false
    }
}

/// `number`th of `of`, by lot.
fn below(random: &mut Random, of: u64) -> u64 {
    random.below(of)
}
fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[below(random, from.len() as u64) as usize]
}

const NODES: [&str; 2] = ["192.168.56.11", "192.168.56.12"];

fn pod(random: &mut Random, number: u64) -> String {
    let namespace = pick(random, &["red", "green", "blue"]);
    let (app, tier) = (pick(random, &["a", "b", "c"]), pick(random, &["x", "y"]));
    let node = NODES[(number % 2) as usize];
    let phase = pick(random, &["Running", "Running", "Running", "Succeeded"]);
    let name = pick(random, &["http", "http", "other"]);
    let port = pick(random, &["80", "8080"]);
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: pod-{number:02}, namespace: {namespace}, labels: {{app: {app}, tier: {tier}}}}}, \
         spec: {{containers: [{{name: c, ports: [{{name: {name}, containerPort: {port}, protocol: TCP}}]}}]}}, \
         status: {{phase: {phase}, hostIP: {node}, podIP: 10.244.{}.{}, podIPs: [{{ip: 10.244.{}.{}}}, {{ip: 'fd00:10:244:{}::{}'}}]}}}}\n---\n",
        number % 2 + 1,
        number + 2,
        number % 2 + 1,
        number + 2,
        number % 2 + 1,
        number + 2,
    )
}

fn selector(random: &mut Random) -> &'static str {
    pick(
        random,
        &[
            "{}",
            "{matchLabels: {app: a}}",
            "{matchLabels: {app: b, tier: x}}",
            "{matchExpressions: [{key: app, operator: NotIn, values: [c]}]}",
            "{matchExpressions: [{key: tier, operator: Exists}]}",
        ],
    )
}

fn rule(random: &mut Random, peers: &str) -> String {
    let mut fields = Vec::new();
    let count = below(random, 3);
    if count > 0 {
        let one = |random: &mut Random| match below(random, 4) {
            0 => format!("{{podSelector: {}}}", selector(random)),
            1 => format!("{{namespaceSelector: {}}}", pick(random, &["{}", "{matchLabels: {name: red}}"])),
            2 => format!(
                "{{namespaceSelector: {{matchLabels: {{name: blue}}}}, podSelector: {}}}",
                selector(random)
            ),
            _ => format!(
                "{{ipBlock: {}}}",
                pick(
                    random,
                    &[
                        "{cidr: 0.0.0.0/0}",
                        "{cidr: 10.244.1.0/24, except: [10.244.1.0/29]}",
                        "{cidr: 10.244.2.8/29}",
                        "{cidr: '::/0'}",
                        "{cidr: 'fd00:10:244:1::/64', except: ['fd00:10:244:1::/125']}",
                    ]
                )
            ),
        };
        let list: Vec<String> = (0..count).map(|_| one(random)).collect();
        fields.push(format!("{peers}: [{}]", list.join(", ")));
    }
    match below(random, 4) {
        0 => fields.push("ports: [{port: 80, protocol: TCP}]".into()),
        1 => fields.push("ports: [{port: 8000, endPort: 9000, protocol: TCP}, {protocol: UDP}]".into()),
        2 if peers == "from" => fields.push("ports: [{port: http, protocol: TCP}]".into()),
        _ => {}
    }
    format!("{{{}}}", fields.join(", "))
}

fn policy(random: &mut Random, number: u64) -> String {
    let types = pick(random, &["[Ingress]", "[Egress]", "[Ingress, Egress]"]);
    let rules = |random: &mut Random, peers: &str| -> String {
        let count = below(random, 3);
        (0..count).map(|_| rule(random, peers)).collect::<Vec<String>>().join(", ")
    };
    let namespace = pick(random, &["red", "green", "blue"]);
    let (ingress, egress) = (rules(random, "from"), rules(random, "to"));
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: policy-{number}, namespace: {namespace}}}, \
         spec: {{podSelector: {}, policyTypes: {types}, ingress: [{ingress}], egress: [{egress}]}}}}\n---\n",
        selector(random)
    )
}

/// What the API says of a packet: of the pod at one end, by the policies that are about it.
fn lets(objects: &Objects, own: &Value, other: &Value, packet: &Packet, kind: &str) -> bool {
    let matches = |selector: &Value, object: &Value| {
        LabelSelector::from_value(selector).unwrap().matches(meta::labels(object))
    };
    let (field, peers) = if kind == "Ingress" { ("spec.ingress", "from") } else { ("spec.egress", "to") };
    let about: Vec<&&Value> = objects
        .policies
        .iter()
        .filter(|policy| {
            meta::namespace(policy) == meta::namespace(own)
                && matches(policy.at("spec.podSelector"), own)
                && policy.items("spec.policyTypes").iter().any(|one| one.as_str() == Some(kind))
        })
        .collect();
    let other_ip = if kind == "Ingress" { packet.source } else { packet.destination };
    let destination = if kind == "Ingress" { own } else { other };
    let is_peer = |policy: &Value, peer: &Value| {
        if peer.has("ipBlock") {
            let holds = |text: &str| Cidr::parse(text).unwrap().contains(other_ip);
            let excepts = peer.items("ipBlock.except");
            return holds(peer.text("ipBlock.cidr"))
                && !excepts.iter().any(|one| holds(one.as_str().unwrap()));
        }
        let in_namespace = match peer.get("namespaceSelector") {
            Some(selector) => {
                let is_its = |one: &&&Value| meta::name(one) == meta::namespace(other);
                matches(selector, objects.namespaces.iter().find(is_its).unwrap())
            }
            None => meta::namespace(policy) == meta::namespace(other),
        };
        in_namespace && peer.get("podSelector").is_none_or(|selector| matches(selector, other))
    };
    let is_port = |port: &Value| {
        if Protocol::parse(port.text("protocol")) != Some(packet.protocol) {
            return false;
        }
        let number = i64::from(packet.destination_port);
        match port.at("port") {
            Value::Integer(first) => (*first..=port.integer("endPort").unwrap_or(*first)).contains(&number),
            Value::String(name) => destination.items("spec.containers").iter().any(|container| {
                let is_it =
                    |one: &Value| one.text("name") == name && one.integer("containerPort") == Some(number);
                container.items("ports").iter().any(is_it)
            }),
            _ => true,
        }
    };
    about.is_empty()
        || about.iter().any(|policy| {
            policy.items(field).iter().any(|rule| {
                let (peers, ports) = (rule.items(peers), rule.items("ports"));
                (peers.is_empty() || peers.iter().any(|peer| is_peer(policy, peer)))
                    && (ports.is_empty() || ports.iter().any(is_port))
            })
        })
}

#[test]
fn rules_let_through_what_policies_let() {
    let mut counts = [0_u32; 2];
    for seed in 0..60 {
        let mut random = Random::stream(seed, "policies");
        let mut text = String::new();
        for name in ["red", "green", "blue"] {
            text += &format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{name: {name}}}}}}}\n---\n"
            );
        }
        (0..10).for_each(|number| text += &pod(&mut random, number));
        let policies = below(&mut random, 5);
        (0..policies).for_each(|number| text += &policy(&mut random, number));
        let all: Vec<Value> =
            yaml::read(&text).into_iter().flatten().map(|document| document.value).collect();
        let of = |kind: &str| all.iter().filter(|object| meta::kind(object) == kind).collect::<Vec<&Value>>();
        let objects = Objects {
            policies: of("NetworkPolicy"),
            pods: of("Pod"),
            namespaces: of("Namespace"),
            is_ipv6: seed % 4 == 1,
        };
        // Felix knows no IPv6 here.
        let is_calico = seed % 2 == 0;
        let kernels = NODES.map(|node_ip| {
            let settings = Settings {
                node_name: "".into(),
                node_ip: node_ip.into(),
                service_range: Cidr::parse("10.96.0.0/12"),
            };
            let mut kernel = RuleSet::default();
            // What an earlier sync left is gone after the next.
            kernel.restore(&rules(
                &settings,
                &Objects { policies: Vec::new(), ..objects_of(&objects) },
                "1",
                is_calico,
            ));
            kernel.restore(&rules(&settings, &objects, "2", is_calico));
            kernel
        });
        let live: Vec<&&Value> =
            objects.pods.iter().filter(|pod| pod.text("status.phase") == "Running").collect();
        for (from, to) in live.iter().flat_map(|from| live.iter().map(move |to| (from, to))) {
            let address = |pod: &Value| -> IpAddr {
                pod.items("status.podIPs")[usize::from(objects.is_ipv6)].text("ip").parse().unwrap()
            };
            let (source, destination) = (address(from), address(to));
            if source == destination {
                continue;
            }
            for (protocol, port) in
                [(Protocol::Tcp, 80), (Protocol::Tcp, 8080), (Protocol::Udp, 80), (Protocol::Tcp, 22)]
            {
                let packet = Packet::new(protocol, (source, 40_000), (destination, port));
                let expected = lets(&objects, from, to, &packet, "Egress")
                    && lets(&objects, to, from, &packet, "Ingress");
                let passes = NODES.iter().zip(&kernels).all(|(node, kernel)| {
                    if *node != from.text("status.hostIP") && *node != to.text("status.hostIP") {
                        return true;
                    }
                    let mut packet = packet.clone();
                    let interface = |pod: &Value| match pod.text("status.hostIP") == *node {
                        true => calico_interface(&format!("{}/{}", meta::namespace(pod), meta::name(pod))),
                        false => "eth0".into(),
                    };
                    (packet.in_interface, packet.out_interface) = (interface(from), interface(to));
                    let walk = kernel.walk(Table::Filter, "FORWARD", &mut packet, &Machine);
                    // No stamp of a doorman of kube-router stays on it.
                    let is_stamped = !is_calico && packet.mark & 0x10000 != 0;
                    assert!(!(is_stamped && walk.verdict == Verdict::Accept));
                    walk.verdict == Verdict::Accept
                });
                counts[usize::from(expected)] += 1;
                assert_eq!(
                    passes,
                    expected,
                    "seed {seed}: {} to {} {protocol:?} {port}\n{text}\n{}",
                    meta::name(from),
                    meta::name(to),
                    kernels[0].save("", None)
                );
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 1_000), "too one-sided: {counts:?}");
}

fn objects_of<'a>(objects: &Objects<'a>) -> Objects<'a> {
    Objects {
        policies: objects.policies.clone(),
        pods: objects.pods.clone(),
        namespaces: objects.namespaces.clone(),
        is_ipv6: objects.is_ipv6,
    }
}

/// The text that `iptables-save` and `ipset list` print, of one pod and one policy.
#[test]
fn rules_read_as_kube_router_writes_them() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}]}, status: {phase: Running, hostIP: 192.168.56.11, podIP: 10.244.1.5}}\n---\n\
         {apiVersion: v1, kind: Namespace, metadata: {name: default}}\n---\n\
         {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: wall, namespace: default}, spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16]}}], ports: [{port: 80, protocol: TCP}]}]}}\n";
    let all: Vec<Value> = yaml::read(text).into_iter().flatten().map(|document| document.value).collect();
    let of = |kind: &str| all.iter().filter(|object| meta::kind(object) == kind).collect::<Vec<&Value>>();
    let objects = Objects {
        policies: of("NetworkPolicy"),
        pods: of("Pod"),
        namespaces: of("Namespace"),
        is_ipv6: false,
    };
    let settings = Settings {
        node_name: "".into(),
        node_ip: NODES[0].into(),
        service_range: Cidr::parse("10.96.0.0/12"),
    };
    let mut kernel = RuleSet::default();
    kernel.restore(&rules(&settings, &objects, "1767254400000000000", false));
    let sets: String = kernel.sets().iter().map(|set| set.list()).collect();
    let written = format!("{}{sets}", kernel.save("", Some(Table::Filter)));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/policy-rules.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(written, std::fs::read_to_string(path).unwrap());
}
