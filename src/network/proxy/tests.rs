//! kube-proxy's rules against what upstream's proxier writes, and against a fresh computation.

use core::net::IpAddr;

use super::endpoints::Endpoint;
use super::service::PortName;
use super::*;
use crate::api::yaml;
use crate::network::kernel::{Agent, Kernel};
use crate::network::netfilter::walk::Node;
use crate::network::netfilter::{RuleSet, Table, Verdict};
use crate::network::packet::{Packet, Protocol};

fn settings(mode: Mode) -> Settings {
    Settings {
        node_name: "testnode".into(),
        node_ip: "192.168.0.2".parse().ok(),
        cluster_cidr: Cidr::parse("10.0.0.0/8"),
        masquerades_all: false,
        mode,
        scheduler: "rr".into(),
    }
}

/// All objects of a file: services by their keys, and slices.
fn objects(text: &str) -> (Vec<(Text, Value)>, Vec<Value>) {
    let (mut services, mut slices) = (Vec::new(), Vec::new());
    for document in yaml::read(text).into_iter().flatten() {
        let object = document.value;
        match meta::kind(&object) {
            "Service" => services.push((crate::client::store::key_of(&object), object)),
            _ => slices.push(object),
        }
    }
    (services, slices)
}

fn update(
    mode: Mode,
    proxier: &mut Proxier,
    key: &str,
    service: Option<&Value>,
    slices: &[Value],
    kernel: &mut RuleSet,
) {
    let settings = settings(mode);
    let mut restore = Restore::default();
    let of_service: Vec<&Value> =
        slices.iter().filter(|slice| service_of_slice(slice).as_deref() == Some(key)).collect();
    proxier.update(&settings, key, service, &of_service, &mut restore);
    proxier.finish(&settings, &ranges(), &mut restore);
    kernel.restore(&restore);
}

fn ranges() -> Vec<Cidr> {
    Cidr::parse("172.30.0.0/16").into_iter().collect()
}

/// All that a mode leaves in the kernel.
fn dump(rules: &RuleSet) -> String {
    let mut text = rules.save("DATE", None) + &rules.nft();
    for set in rules.sets() {
        text += &set.list();
    }
    let mut kernel = Kernel::new("testnode", None, None, Agent::Machine);
    kernel.address = "192.168.0.2".parse().ok();
    kernel.rules = rules.clone();
    if rules.servers().is_empty() { text } else { text + &kernel.show_servers() }
}

fn kernel_of(mode: Mode, text: &str) -> (Proxier, RuleSet) {
    let (services, slices) = objects(text);
    let (mut proxier, mut kernel) = (Proxier::default(), RuleSet::default());
    for (key, service) in &services {
        update(mode, &mut proxier, key, Some(service), &slices, &mut kernel);
    }
    (proxier, kernel)
}

const RULES: &str = include_str!("../../../tests/network/rules.yaml");

/// `REWRITE=1 cargo test` writes the transcript anew.
#[test]
fn the_rules_of_many_services_are_upstreams() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network");
    for (mode, file) in [
        (Mode::Iptables, "rules.txt"),
        (Mode::Nftables, "rules-nftables.txt"),
        (Mode::Ipvs, "rules-ipvs.txt"),
    ] {
        let rules = kernel_of(mode, RULES).1;
        let text = if mode == Mode::Nftables { rules.nft() } else { dump(&rules) };
        let path = folder.join(file);
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap());
    }
    let text = kernel_of(Mode::Iptables, RULES).1.save("", None);
    // Names that upstream's own test expects for these services and endpoints.
    for name in [
        "KUBE-EXT-4SW47YFZTEDKD3PK",
        "KUBE-EXT-GNZBNJ2PO5MGZ6GT",
        "KUBE-EXT-NUKIZ6OKUXPJNT4C",
        "KUBE-EXT-X27LE4BHSL4DOUIK",
        "KUBE-FW-NUKIZ6OKUXPJNT4C",
        "KUBE-SEP-C6EBXVWJJZMIWKLZ",
        "KUBE-SEP-I77PXRDZVX7PMWMN",
        "KUBE-SEP-OYPFS5VJICHGATKP",
        "KUBE-SEP-RS4RBKLTHTF2IUXJ",
        "KUBE-SEP-SXIVWICOYRO3J4NJ",
        "KUBE-SEP-UKSFD7AGPMPPLUHC",
        "KUBE-SVC-4SW47YFZTEDKD3PK",
        "KUBE-SVC-GNZBNJ2PO5MGZ6GT",
        "KUBE-SVC-NUKIZ6OKUXPJNT4C",
        "KUBE-SVC-X27LE4BHSL4DOUIK",
        "KUBE-SVC-XPGD46QRK7WJZT7O",
    ] {
        assert!(text.contains(&format!(":{name} - [0:0]\n")), "{name}");
    }
    assert_eq!(text.matches(":KUBE-S").count(), 2 + 5 + 6, "no chain besides");
    let nft = kernel_of(Mode::Nftables, RULES).1.nft();
    for name in [
        "service-ULMVA6XW-ns1/svc1/tcp/p80",
        "external-42NFTM6N-ns2/svc2/tcp/p80",
        "service-4AT6LBPK-ns3/svc3/tcp/p80",
        "external-LAUZTJTB-ns4/svc4/tcp/p80",
        "firewall-HVFWP5L3-ns5/svc5/tcp/p80",
        "endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80",
    ] {
        assert!(nft.contains(&format!("\tchain {name} {{\n")), "{name}");
    }
}

/// Whatever order news comes in, and whatever stood there before: the rules are those of a fresh start.
#[test]
fn rules_are_those_of_a_fresh_computation() {
    let (services, slices) = objects(RULES);
    for mode in Mode::ALL {
        let expected = dump(&kernel_of(mode, RULES).1);
        let (mut proxier, mut kernel) = (Proxier::default(), RuleSet::default());
        for round in 0..3 {
            // Backwards, with every other service gone in between, and slices that come later than their services.
            for (number, (key, service)) in services.iter().enumerate().rev() {
                update(mode, &mut proxier, key, Some(service), &[], &mut kernel);
                if (number + round) % 2 == 0 {
                    update(mode, &mut proxier, key, None, &slices, &mut kernel);
                }
            }
            for (key, service) in &services {
                update(mode, &mut proxier, key, Some(service), &slices, &mut kernel);
            }
            assert_eq!(dump(&kernel), expected, "{mode:?}, round {round}");
        }
        // A kube-proxy that starts anew knows nothing of a service that went meanwhile.
        let mut restore = Restore { replaces: Some(mode.service_chains()), ..Restore::default() };
        Proxier::default().finish(&settings(mode), &[], &mut restore);
        kernel.restore(&restore);
        let left = dump(&kernel);
        assert!(!left.contains("KUBE-SEP-") && !left.contains("10.180.0") && !left.contains("ns1/"));
    }
}

/// A change of mode leaves what upstream leaves: nothing between nftables and the others.
#[test]
fn a_new_mode_cleans_up_what_the_old_one_left() {
    for (from, to, is_clean) in [
        (Mode::Iptables, Mode::Nftables, true),
        (Mode::Ipvs, Mode::Nftables, true),
        (Mode::Nftables, Mode::Iptables, true),
        (Mode::Nftables, Mode::Ipvs, true),
        (Mode::Iptables, Mode::Ipvs, false),
        (Mode::Ipvs, Mode::Iptables, false),
    ] {
        let mut kernel = kernel_of(from, RULES).1;
        // Another's rules, which stay.
        kernel.append(Table::Filter, "FORWARD", Rule::jump("KUBE-ROUTER-FORWARD"));
        kernel.append(Table::Filter, "KUBE-ROUTER-FORWARD", Rule::default());
        kernel.restore(&to.leftovers());
        let left = dump(&kernel);
        assert!(left.contains("-A FORWARD -j KUBE-ROUTER-FORWARD"));
        let mine: Vec<&str> = left
            .lines()
            .filter(|line| line.contains("KUBE-") || line.contains("172.30") || line.contains("chain"))
            .filter(|line| !line.contains("KUBE-ROUTER") && !line.contains("KUBE-FIREWALL"))
            .collect();
        assert_eq!(mine.is_empty(), is_clean, "{from:?} to {to:?}: {mine:?}");
    }
}

/// `from`, `to`, port, and where the packet goes.
#[test]
fn packets_go_where_upstream_sends_them() {
    struct Testnode;
    impl Node for Testnode {
        fn is_local(&self, address: IpAddr) -> bool {
            address.is_loopback() || address == "192.168.0.2".parse::<IpAddr>().unwrap()
        }
        fn is_recent(&self, list: &str, source: IpAddr, _: u32) -> bool {
            list == "KUBE-SEP-UKSFD7AGPMPPLUHC" && source.to_string() == "10.0.0.9"
        }
    }
    let (pod, node, outside, allowed) = ("10.0.0.2", "192.168.0.2", "198.51.100.7", "203.0.113.5");
    let cases = [
        (pod, "172.30.0.41", 80, "10.180.0.1:80"),
        (node, "172.30.0.41", 80, "10.180.0.1:80 masquerade"),
        (pod, "172.30.0.41", 81, "as it is"),
        // No local endpoint for external traffic: pods and the node itself are helped all the same.
        (pod, "192.168.99.22", 80, "10.180.0.2:80"),
        (node, "192.168.99.22", 80, "10.180.0.2:80 masquerade"),
        (outside, "192.168.99.22", 80, "DROP"),
        (outside, node, 3001, "DROP"),
        (outside, node, 30000, "as it is"),
        (outside, node, 3003, "10.180.0.3:80 masquerade"),
        (outside, "5.6.7.8", 80, "DROP"),
        (allowed, "5.6.7.8", 80, "10.180.0.3:80 masquerade"),
        (pod, "172.30.0.46", 80, "REJECT"),
        (pod, "172.30.0.48", 53, "DROP"),
    ];
    for mode in [Mode::Iptables, Mode::Nftables] {
        let kernel = kernel_of(mode, RULES).1;
        for (from, to, port, expected) in cases {
            let found = way(&kernel, &Testnode, from, to, port);
            let expected = match (mode, from, port) {
                // Nftables knows of every address of a service.
                (Mode::Nftables, _, 81) => "REJECT",
                _ => expected,
            };
            assert_eq!(found, expected, "{mode:?}: {from} to {to}:{port}");
        }
    }
    // What comes back to its sender is masqueraded; in nftables mode where the sender is on this node.
    let kernel = kernel_of(Mode::Iptables, RULES).1;
    assert_eq!(way(&kernel, &Testnode, "10.180.0.1", "172.30.0.41", 80), "10.180.0.1:80 masquerade");
}

fn way(kernel: &RuleSet, node: &dyn Node, from: &str, to: &str, port: u16) -> String {
    {
        let protocol = if port == 53 { Protocol::Udp } else { Protocol::Tcp };
        let mut packet = Packet::new(protocol, (from.parse().unwrap(), 40_000), (to.parse().unwrap(), port));
        let is_own = node.is_local(packet.source);
        let entrance = if is_own { "OUTPUT" } else { "PREROUTING" };
        let walk = kernel.walk(Table::Nat, entrance, &mut packet, node);
        match walk.verdict {
            Verdict::Drop => "DROP".into(),
            Verdict::Dnat { to, port } => {
                (packet.destination, packet.destination_port, packet.is_dnat) = (to, port, true);
                let end = kernel.walk(Table::Nat, "POSTROUTING", &mut packet, node);
                let masquerade = match end.verdict {
                    Verdict::Masquerade { .. } => " masquerade",
                    _ => "",
                };
                format!("{to}:{port}{masquerade}")
            }
            _ => {
                let gate = match (is_own, node.is_local(packet.destination)) {
                    (true, _) => "OUTPUT",
                    (_, true) => "INPUT",
                    _ => "FORWARD",
                };
                match kernel.walk(Table::Filter, gate, &mut packet, node).verdict {
                    Verdict::Drop => "DROP".into(),
                    Verdict::Reject => "REJECT".into(),
                    _ => "as it is".to_string(),
                }
            }
        }
    }
}

/// With n endpoints each gets an n-th of the connections.
#[test]
fn lots_are_drawn_evenly() {
    for (mode, count) in [Mode::Iptables, Mode::Nftables]
        .into_iter()
        .flat_map(|mode| [(mode, 2usize), (mode, 3), (mode, 5), (mode, 10)])
    {
        let addresses: Vec<String> = (1..=count).map(|n| format!("{{addresses: [10.180.0.{n}]}}")).collect();
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{namespace: a, name: b}}\nspec: {{clusterIP: 172.30.0.1, ports: [{{port: 80, protocol: TCP}}]}}\n---\nkind: EndpointSlice\nmetadata: {{namespace: a, name: b-1, labels: {{kubernetes.io/service-name: b}}}}\naddressType: IPv4\nendpoints: [{}]\nports: [{{name: '', port: 8080, protocol: TCP}}]\n",
            addresses.join(", ")
        );
        let kernel = kernel_of(mode, &text).1;
        struct Anywhere;
        impl Node for Anywhere {
            fn is_local(&self, _: IpAddr) -> bool {
                false
            }
            fn is_recent(&self, _: &str, _: IpAddr, _: u32) -> bool {
                false
            }
        }
        let mut chosen = vec![0usize; count];
        let packets = 20_000;
        for number in 0..packets {
            let source = ("10.0.0.2".parse().unwrap(), 20_000 + number as u16);
            let mut packet = Packet::new(Protocol::Tcp, source, ("172.30.0.1".parse().unwrap(), 80));
            match kernel.walk(Table::Nat, "PREROUTING", &mut packet, &Anywhere).verdict {
                Verdict::Dnat { to: IpAddr::V4(to), port: 8080 } => {
                    chosen[usize::from(to.octets()[3]) - 1] += 1
                }
                other => panic!("{other:?}"),
            }
        }
        let share = packets / count;
        for (number, times) in chosen.iter().enumerate() {
            let off = times.abs_diff(share);
            // Four standard deviations of a fair draw.
            assert!(off * off < 16 * share, "endpoint {number} of {count}: {times}, not {share}");
        }
    }
}

/// Who is sent to which endpoints: conditions, hints, policies, the node.
#[test]
fn endpoints_are_chosen_as_upstream_chooses_them() {
    const READY: (bool, bool, bool) = (true, true, false);
    const NOT_READY: (bool, bool, bool) = (false, false, false);
    const LEAVING: (bool, bool, bool) = (false, true, true);
    // (conditions, local, zone hint) of each endpoint; internal Local; cluster, local, any.
    type Case = (&'static str, Vec<((bool, bool, bool), bool, &'static str)>, bool, [&'static str; 2], bool);
    let cases: Vec<Case> = vec![
        ("ready ones only", vec![(READY, false, ""), (NOT_READY, false, "")], false, ["1", ""], true),
        (
            "leaving ones when none is ready",
            vec![(LEAVING, false, ""), (NOT_READY, false, "")],
            false,
            ["1", ""],
            true,
        ),
        ("none at all", vec![(NOT_READY, true, "")], false, ["", ""], false),
        ("local policy", vec![(READY, true, ""), (READY, false, "")], true, ["", "1"], true),
        ("local policy, none here", vec![(READY, false, "")], true, ["", ""], true),
        ("local policy, leaving here", vec![(LEAVING, true, ""), (READY, false, "")], true, ["", "1"], true),
        ("hints for this zone", vec![(READY, false, "a"), (READY, false, "b")], false, ["1", ""], true),
        ("one hint is missing", vec![(READY, false, "a"), (READY, false, "")], false, ["12", ""], true),
        ("hints for other zones", vec![(READY, false, "b"), (READY, false, "c")], false, ["12", ""], true),
    ];
    for (name, given, is_internal_local, expected, has_any) in cases {
        let endpoints: Vec<Endpoint> = given
            .iter()
            .enumerate()
            .map(|(index, ((is_ready, is_serving, is_terminating), is_local, zone))| Endpoint {
                ip: format!("10.0.0.{}", index + 1).parse().unwrap(),
                port: 80,
                text: arcstr::format!("{}", index + 1),
                is_local: *is_local,
                is_ready: *is_ready,
                is_serving: *is_serving,
                is_terminating: *is_terminating,
                zone_hints: Some(*zone).filter(|zone| !zone.is_empty()).map(Text::from).into_iter().collect(),
                node_hints: Vec::new(),
            })
            .collect();
        let port = ServicePort {
            name: PortName::first("a", "b"),
            cluster_ip: "172.30.0.1".parse().unwrap(),
            port: 80,
            node_port: 0,
            external_ips: vec![],
            load_balancer_ips: vec![],
            source_ranges: vec![],
            health_check_node_port: 0,
            affinity_seconds: None,
            is_external_local: false,
            is_internal_local,
        };
        let chosen = endpoints::categorize(&endpoints, &port, "here", "a");
        let names = |list: &[&Endpoint]| list.iter().map(|one| one.text.to_string()).collect::<String>();
        assert_eq!([names(&chosen.cluster), names(&chosen.local)], expected, "{name}");
        assert_eq!(chosen.has_any, has_any, "{name}");
    }
}
