//! Laws of the whole cluster, judged from outside, on many seeds under random faults.
//!
//! Picture to hold in mind: a customs officer who knows nothing of how the ship is run. Only what crossed the
//! wires and what stands in the ledger counts.
//!
//! `SEEDS=7..8 cargo test --test laws` replays the seed of a failure; `SEEDS=0..1000` looks harder.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use clusterarium::api::{Value, meta};
use clusterarium::cluster::{self, Cluster, Role};
use clusterarium::command::{Command, Scenario};
use clusterarium::kubelet::runtime::sandbox::Sandbox;
use clusterarium::message::Message;
use clusterarium::message::rest::{Request, Verb};
use clusterarium::network::ipam::Cidr;
use clusterarium::network::kernel::{Agent, Kernel};
use clusterarium::network::netfilter::Restore;
use clusterarium::network::packet::Protocol;
use clusterarium::network::proxy::{Mode, Proxier, Settings, iptables, service_of_slice};
use clusterarium::network::trace::Question;
use clusterarium::picture::{PacketSource, PacketTarget, PacketVerdict, trace_packet};
use clusterarium::sim::trace::What;
use clusterarium::sim::{ActorId, Duration, History, Random, Time};

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 5
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
      - name: nginx
        image: nginx:1.27
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector:
    app: web
  ports:
  - port: 80
    nodePort: 30080
";

/// Simulated time under faults, and what a healed cluster is given to settle.
const UNREST: Duration = Duration::from_secs(90);
const PEACE: Duration = Duration::from_secs(420);

fn seeds() -> Range<u64> {
    let given = std::env::var("SEEDS").ok();
    let parsed = given.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    parsed.unwrap_or(0..100)
}

/// What the cluster of a seed is made of: most have one control-plane node, some three with stacked members of etcd, some
/// two with an external etcd.
fn scenario(seed: u64) -> Scenario {
    let usual = Scenario { dual_stack: seed % 4 == 2, ..Scenario::default() };
    match seed % 5 {
        3 => Scenario { control_plane_nodes: 3, ..usual },
        4 => Scenario { control_plane_nodes: 2, external_etcd: true, ..usual },
        _ => usual,
    }
}

/// What can be broken.
struct Site {
    processes: Vec<String>,
    hosts: Vec<String>,
    /// Where etcd's members run.
    members: Vec<String>,
}

impl Site {
    fn of(cluster: &Cluster) -> Site {
        let is_fragile = |name: &&String| {
            ["etcd-", "kube-apiserver-", "kube-controller-manager-", "kube-scheduler-", "kubelet-worker-1"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        let names = || cluster.processes().iter().map(|process| &process.name);
        let host = |name: &String| {
            let process = cluster.processes().iter().find(|process| process.name == *name);
            process.map(|process| cluster.machines()[process.host.0 as usize].name.clone())
        };
        let machines = || cluster.machines().iter().map(|machine| &machine.name);
        Site {
            processes: names().filter(is_fragile).cloned().collect(),
            // The first control-plane node is where the commands of these runs go.
            hosts: machines()
                .filter(|name| name.starts_with("worker-") || (name.starts_with("cp-") && *name != "cp-1"))
                .cloned()
                .collect(),
            members: names().filter(|name| name.starts_with("etcd-")).filter_map(host).collect(),
        }
    }
}

/// A fault, or its end; `broken` keeps what must be put right again.
fn fault(site: &Site, random: &mut Random, broken: &mut BTreeSet<(&'static str, String)>) -> Command {
    let one = |random: &mut Random, of: &[String]| of[random.below(of.len() as u64) as usize].clone();
    match random.below(8) {
        0 | 1 => {
            let process = one(random, &site.processes);
            if broken.remove(&("process", process.clone())) {
                Command::StartProcess { process }
            } else {
                broken.insert(("process", process.clone()));
                Command::StopProcess { process }
            }
        }
        2 => {
            let host = one(random, &site.hosts);
            if broken.remove(&("host", host.clone())) {
                Command::StartHost { host }
            } else {
                broken.insert(("host", host.clone()));
                Command::StopHost { host }
            }
        }
        3 => Command::CutLink { a: "cp-1".into(), b: one(random, &site.hosts) },
        4 => Command::CutLink { a: one(random, &site.members), b: one(random, &site.members) },
        5 => Command::DegradeLink {
            from: "cp-1".into(),
            to: one(random, &site.hosts),
            extra_delay_us: random.below(40_000),
            loss_per_million: random.below(100_000) as u32,
        },
        6 => Command::Exec {
            session: 0,
            line: format!("kubectl scale deployment web --replicas={}", 2 + random.below(6)),
            stdin: String::new(),
        },
        _ => Command::HealNetwork,
    }
}

/// Runs one seed to its end and returns every law that was broken.
fn judge(seed: u64) -> Vec<String> {
    let mut history = cluster::boot(seed, scenario(seed));
    history.run_until(Time::from_secs(20));
    let site = Site::of(history.world());
    history.command(Command::WriteFile { path: "web.yaml".into(), content: Some(MANIFEST.into()) });
    exec(&mut history, "kubectl apply -f web.yaml");
    history.run_until(Time::from_secs(25));
    let mut random = Random::stream(seed, "faults");
    let mut broken = BTreeSet::new();
    let mut complaints = Vec::new();
    let end = history.now() + UNREST;
    while history.now() < end {
        let next = history.now() + random.duration(Duration::from_millis(100), Duration::from_secs(8));
        run_and_look(&mut history, next.min(end), &mut complaints);
        history.command(fault(&site, &mut random, &mut broken));
    }
    history.command(Command::HealNetwork);
    for (kind, name) in broken {
        history.command(match kind {
            "host" => Command::StartHost { host: name },
            _ => Command::StartProcess { process: name },
        });
    }
    run_and_look(&mut history, Time(end.0 + 30_000_000), &mut complaints);
    // A line that hung while the server was away is given up, as a user would.
    history.command(Command::Interrupt { session: 0 });
    exec(&mut history, "kubectl scale deployment web --replicas=4");
    let settled = history.now() + PEACE;
    run_and_look(&mut history, settled, &mut complaints);
    converged(&history, &mut complaints);
    network(&history, &mut complaints);
    Record::read(&history).judge(&mut complaints);
    complaints.dedup();
    complaints
}

fn exec(history: &mut History<Cluster>, line: &str) {
    history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
}

fn objects<'a>(history: &'a History<Cluster>, prefix: &str) -> Vec<&'a Value> {
    let members = history.world().processes().iter().filter_map(|process| match &*process.role {
        Role::Etcd(member) => Some(member),
        _ => None,
    });
    members
        .max_by_key(|member| member.store().revision())
        .map_or(Vec::new(), |member| member.store().under(prefix).map(|pair| &pair.value).collect())
}

/// Runs on, and looks at the ledger once a second: no two live pods share an address.
fn run_and_look(history: &mut History<Cluster>, until: Time, complaints: &mut Vec<String>) {
    while history.now() < until {
        let next = (history.now() + Duration::from_secs(1)).min(until);
        history.run_until(next);
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for pod in objects(history, "/registry/pods/") {
            let is_over =
                matches!(pod.text("status.phase"), "Succeeded" | "Failed") || meta::is_deleting(pod);
            let ip = pod.text("status.podIP");
            if is_over || ip.is_empty() || pod.is_true("spec.hostNetwork") {
                continue;
            }
            if let Some(other) = owners.insert(ip, pod.text("metadata.name")) {
                complaints.push(format!("{} and {other} share {ip}", pod.text("metadata.name")));
            }
        }
    }
}

/// What a healed cluster must have come to.
fn converged(history: &History<Cluster>, complaints: &mut Vec<String>) {
    let nodes = objects(history, "/registry/minions/");
    let scenario = history.world().scenario();
    let expected = (scenario.control_plane_nodes + scenario.workers) as usize;
    if nodes.len() != expected || !nodes.iter().all(|node| meta::is_condition_true(node, "Ready")) {
        complaints.push("not all nodes are Ready again".into());
    }
    for set in objects(history, "/registry/replicasets/") {
        let wanted = set.integer("spec.replicas").unwrap_or(0);
        let is_mine = |pod: &&&Value| meta::is_controlled_by(pod, set.text("metadata.uid"));
        let pods = objects(history, "/registry/pods/");
        let live = pods
            .iter()
            .filter(is_mine)
            .filter(|pod| {
                !matches!(pod.text("status.phase"), "Failed" | "Succeeded") && !meta::is_deleting(pod)
            })
            .count();
        if live as i64 != wanted {
            complaints.push(format!("{} has {live} of {wanted} pods", set.text("metadata.name")));
        }
    }
    match objects(history, "/registry/deployments/default/web").first() {
        None => complaints.push("the acknowledged Deployment is gone".into()),
        Some(web) => {
            let (ready, wanted) = (web.integer("status.readyReplicas"), web.integer("spec.replicas"));
            if ready != wanted {
                complaints.push(format!("{ready:?} of {wanted:?} replicas are ready"));
            }
        }
    }
    let revisions: BTreeSet<u64> = history
        .world()
        .processes()
        .iter()
        .filter_map(|process| match &*process.role {
            Role::Etcd(member) => Some(member.store().revision()),
            _ => None,
        })
        .collect();
    let spread = revisions.last().zip(revisions.first()).map_or(0, |(last, first)| last - first);
    if spread > 20 {
        complaints.push(format!("members stand at revisions {revisions:?}"));
    }
}

/// What must hold of the network of a cluster that has settled: the rules on every node are those of a fresh computation, no
/// address is leaked, and everybody reaches everybody.
fn network(history: &History<Cluster>, complaints: &mut Vec<String>) {
    let cluster = history.world();
    let services = objects(history, "/registry/services/specs/");
    let slices = objects(history, "/registry/endpointslices/");
    let (range, mut clients) = (Cidr::parse("10.244.0.0/16"), Vec::new());
    // Addresses of the second family, which pods alone have.
    let mut seconds = Vec::new();
    for process in cluster.processes() {
        let Role::Engine(engine) = &*process.role else { continue };
        let name = &engine.config().node;
        let settings = Settings {
            node_name: name.clone(),
            node_ip: engine.kernel().address,
            cluster_cidr: range,
            masquerades_all: false,
            mode: Mode::Iptables,
            scheduler: "rr".into(),
        };
        let mut proxier = Proxier::default();
        let nodes = objects(history, &format!("/registry/minions/{name}"));
        let zone = nodes.first().and_then(|node| meta::label(node, "topology.kubernetes.io/zone"));
        proxier.set_zone(zone.unwrap_or(""));
        let mut restore = Restore { chains: iptables::canaries(), ..Restore::default() };
        for service in &services {
            let key = format!("{}/{}", meta::namespace(service), meta::name(service));
            let mine = |slice: &&&Value| service_of_slice(slice).as_deref() == Some(key.as_str());
            let mine: Vec<&Value> = slices.iter().filter(mine).copied().collect();
            proxier.update(&settings, &key, Some(service), &mine, &mut restore);
        }
        proxier.finish(&settings, &[], &mut restore);
        let mut fresh = Kernel::new(name, settings.node_ip, range, Agent::Machine);
        fresh.restore(&restore);
        let (wanted, found) = (fresh.rules.save("", None), engine.kernel().rules.save("", None));
        if wanted != found {
            let pair = wanted.lines().zip(found.lines()).find(|(a, b)| a != b);
            complaints.push(format!("{name} has rules that are not those of a fresh computation: {pair:?}"));
        }
        let has_address = |one: &&Sandbox| one.attachment.is_some() && !one.config.host_network;
        let sandboxes: Vec<&Sandbox> = engine.sandboxes().filter(has_address).collect();
        for ledger in engine.network().iter().flat_map(|network| &network.ipam) {
            let reserved = ledger.reserved().count();
            if reserved != sandboxes.len() {
                complaints.push(format!("{name} has {reserved} addresses for {} sandboxes", sandboxes.len()));
            }
        }
        let web = sandboxes.iter().filter(|one| one.is_ready() && one.config.name.starts_with("web-"));
        seconds.extend(web.filter_map(|one| Some(PacketTarget::Name(one.ips().get(1)?.to_string()))));
        let ready = sandboxes.iter().filter(|one| one.is_ready()).map(|one| &one.config);
        clients.extend(ready.map(|config| PacketSource::Pod {
            namespace: config.namespace.to_string(),
            name: config.name.to_string(),
        }));
        clients.push(PacketSource::Host { name: name.to_string() });
    }
    let web = || ("default".to_string(), "web".to_string());
    for from in &clients {
        let targets = clients.iter().filter_map(|other| match other {
            PacketSource::Pod { namespace, name } if name.starts_with("web-") => {
                Some(PacketTarget::Pod { namespace: namespace.clone(), name: name.clone() })
            }
            _ => None,
        });
        let service = PacketTarget::Service { namespace: web().0, name: web().1 };
        let is_pod = matches!(from, PacketSource::Pod { .. });
        let seconds = seconds.iter().filter(|_| is_pod).cloned();
        for (number, to) in targets.chain([service]).chain(seconds).enumerate() {
            let (from, number) = (from.clone(), number as u32);
            let trace =
                trace_packet(history, &Question { from, to, port: 80, protocol: Protocol::Tcp, number });
            if trace.verdict != PacketVerdict::Answered {
                complaints.push(format!("{}: {}", trace.question, trace.explanation));
            }
        }
    }
}

/// What crossed the wires, as far as the laws speak of it.
#[derive(Default)]
struct Record {
    /// Term to those who led it.
    leaders: BTreeMap<u64, BTreeSet<u32>>,
    /// Pod UID to the nodes that it was seen on.
    nodes: BTreeMap<String, BTreeSet<String>>,
    stale: Vec<String>,
}

impl Record {
    fn read(history: &History<Cluster>) -> Record {
        let mut record = Record::default();
        let mut requests: BTreeMap<(ActorId, u64), (&Request, u64)> = BTreeMap::new();
        // The newest revision of each object that a writer has been told of.
        let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
        for (_, line) in history.trace.iter() {
            let What::Sent { from, to, arrives, message } = &line.what else { continue };
            match message {
                Message::Raft(message) if message.body.name() == "MsgApp" => {
                    record.leaders.entry(message.term).or_default().insert(from.0);
                }
                Message::Request(request) => {
                    let known = acknowledged.get(&name_of(request)).copied().unwrap_or(0);
                    requests.insert((*from, request.id), (request, known));
                }
                Message::Response(response) if arrives.is_ok() => {
                    let Some((request, known)) = requests.get(&(*to, response.id)) else { continue };
                    let version = meta::resource_version(&response.body);
                    let is_fresh_read =
                        request.verb == Verb::Get && request.options.resource_version.is_empty();
                    if !response.is_success() || version == 0 || !request.path.is_empty() {
                        continue;
                    }
                    if is_fresh_read && version < *known {
                        record
                            .stale
                            .push(format!("{} was read at {version} after {known}", name_of(request)));
                    }
                    if !request.verb.is_read() && request.verb != Verb::Delete && !request.options.dry_run {
                        let newest = acknowledged.entry(name_of(request)).or_default();
                        *newest = version.max(*newest);
                    }
                }
                Message::Watch(event) if event.object.text("kind") == "Pod" => {
                    let node = event.object.text("spec.nodeName");
                    if !node.is_empty() {
                        let uid = event.object.text("metadata.uid").to_string();
                        record.nodes.entry(uid).or_default().insert(node.to_string());
                    }
                }
                _ => {}
            }
        }
        record
    }

    fn judge(self, complaints: &mut Vec<String>) {
        for (term, leaders) in self.leaders {
            if leaders.len() > 1 {
                complaints.push(format!("term {term} had {} leaders", leaders.len()));
            }
        }
        for (uid, nodes) in self.nodes {
            if nodes.len() > 1 {
                complaints.push(format!("pod {uid} was bound to {nodes:?}"));
            }
        }
        complaints.extend(self.stale.into_iter().take(3));
    }
}

fn name_of(request: &Request) -> String {
    format!("{}/{}/{}", request.resource.qualified(), request.namespace, request.name)
}

#[test]
fn the_laws_hold_under_random_faults() {
    let seeds: Vec<u64> = seeds().collect();
    let middle = seeds.len() / 2;
    let (first, second) = seeds.split_at(middle);
    // Two threads: a run is single-threaded by nature.
    let failures: Vec<(u64, Vec<String>)> = std::thread::scope(|scope| {
        let halves = [first, second].map(|half| {
            scope.spawn(move || -> Vec<(u64, Vec<String>)> {
                half.iter()
                    .map(|seed| (*seed, judge(*seed)))
                    .filter(|(_, broken)| !broken.is_empty())
                    .collect()
            })
        });
        halves.into_iter().flat_map(|half| half.join().expect("a run must not panic")).collect()
    });
    let report: Vec<String> = failures
        .iter()
        .map(|(seed, broken)| {
            format!(
                "seed {seed}: {}\n  replay: SEEDS={seed}..{} cargo test --test laws",
                broken.join("; "),
                seed + 1
            )
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} seeds:\n{}", failures.len(), seeds.len(), report.join("\n"));
}

#[test]
fn a_deployment_becomes_ready_in_peace() {
    let mut history = cluster::boot(42, Scenario::default());
    history.run_until(Time::from_secs(20));
    history.command(Command::WriteFile { path: "web.yaml".into(), content: Some(MANIFEST.into()) });
    exec(&mut history, "kubectl apply -f web.yaml");
    history.run_until(Time::from_secs(60));
    let mut complaints = Vec::new();
    converged(&history, &mut complaints);
    assert_eq!(complaints, Vec::<String>::new());
}
