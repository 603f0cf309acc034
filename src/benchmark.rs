//! The work whose speed is measured: the same in the native binary and in the browser.
//!
//! Picture to hold in mind: a test track without a stopwatch. The track is here; whoever has a clock drives on it.
//!
//! On a machine that others use too, a clock tells little. Count instructions instead; of two builds, on a smaller
//! track, each with the same numbers of pods, nodes and rounds:
//!
//! ```text
//! valgrind --tool=callgrind --callgrind-out-file=OUT target/release/clusterarium bench pods --pods 200 --rounds 1
//! callgrind_annotate --inclusive=yes OUT
//! ```
//!
//! The first number it prints is the whole run's; with `debug = "line-tables-only"` functions have names. Equal
//! builds differ by less than 0.1 %.

use crate::api::{Text, Value, meta, yaml};
use crate::cluster::{self, Cluster, Role};
use crate::command::{Command, Scenario};
use crate::network::ipam::Cidr;
use crate::network::kernel::{Agent, Kernel};
use crate::network::netfilter::Restore;
use crate::network::packet::Protocol;
use crate::network::proxy::{Mode, Proxier, Settings};
use crate::network::trace::Question;
use crate::network::trace::report::{PacketSource, PacketTarget, PacketVerdict};
use crate::picture;
use crate::sim::{Duration, History, Time};

/// What a drive came to, in units that no clock is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drive {
    /// Simulated time from the command to the goal.
    pub simulated: Duration,
    /// Events handled on the way.
    pub events: u64,
    /// Whether the goal was reached.
    pub is_complete: bool,
}

/// Simulated time after which a drive is given up.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What is driven on.
pub type Track = History<Cluster>;

/// A cluster with `workers` workers, all of them Ready.
pub fn ready_cluster(seed: u64, workers: u32) -> Track {
    let scenario = Scenario { workers, ..Scenario::default() };
    let mut history = cluster::boot(seed, scenario);
    let nodes = workers as usize + 1;
    drive(&mut history, |history| objects(history, "/registry/minions/", is_ready, nodes));
    history
}

/// One Deployment of `count` pods is applied, until all of them are Ready.
pub fn pods(history: &mut Track, count: usize) -> Drive {
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: load\nspec:\n  replicas: {count}\n  selector:\n    \
         matchLabels:\n      app: load\n  template:\n    metadata:\n      labels:\n        app: load\n    spec:\n      \
         containers:\n      - name: web\n        image: nginx:1.27\n"
    );
    history.command(Command::WriteFile { path: "load.yaml".into(), content: Some(manifest) });
    history.command(Command::Exec {
        session: 0,
        line: "kubectl apply -f load.yaml".into(),
        stdin: String::new(),
    });
    drive(history, |history| objects(history, "/registry/pods/default/", is_ready, count))
}

/// `count` ConfigMaps are created one after the other by one client, each through the whole pipeline and a quorum of
/// etcd, until all of them are there.
pub fn config_maps(history: &mut Track, count: usize) -> Drive {
    let one = |number: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: load-{number}\ndata:\n  key: value\n---\n"
        )
    };
    let manifest = (0..count).map(one).collect();
    history.command(Command::WriteFile { path: "maps.yaml".into(), content: Some(manifest) });
    enter(history, 0, "kubectl create -f maps.yaml");
    drive(history, |history| objects(history, "/registry/configmaps/default/load-", |_| true, count))
}

/// `count` more clients that watch ConfigMaps, until all of them do. A shell runs no more than two hundred commands at
/// once, so they come from several.
pub fn watchers(history: &mut Track, count: usize) -> Drive {
    const OF_ONE_SHELL: usize = 150;
    let open = |history: &Track| -> usize {
        let servers = history.world().processes().iter().filter_map(|process| match &*process.role {
            Role::ApiServer(server) => Some(server),
            _ => None,
        });
        servers
            .flat_map(|server| server.watches())
            .filter(|(_, _, plural, _)| *plural == "configmaps")
            .count()
    };
    let before = open(history);
    for (session, first) in (1..).zip((0..count).step_by(OF_ONE_SHELL)) {
        let some = OF_ONE_SHELL.min(count - first);
        let line =
            format!("for i in $(seq {some}); do kubectl get configmaps --watch-only > /dev/null & done");
        enter(history, session, &line);
    }
    drive(history, |history| open(history) >= before + count)
}

fn enter(history: &mut Track, session: u64, line: &str) {
    history.command(Command::Exec { session, line: line.into(), stdin: String::new() });
}

/// `nodes` nodes without kubelets and `count` pods that nobody has given a node: the workload `SchedulingBasic` of
/// Kubernetes' `test/integration/scheduler_perf`. As there, no controller looks after the nodes.
pub fn waiting_pods(seed: u64, nodes: u32, count: usize) -> Track {
    let mut history = ready_cluster(seed, 0);
    for process in ["kube-controller-manager-cp-1", "kube-scheduler-cp-1"] {
        history.command(Command::StopProcess { process: process.into() });
    }
    let node = |number: u32| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata:\n  name: scheduler-perf-{number}\n  labels: {{perf: \"\"}}\nstatus:\n  capacity: \
             {{pods: \"110\", cpu: \"4\", memory: 32Gi}}\n  conditions:\n  - {{status: \"True\", type: Ready}}\n  \
             phase: Running\n---\n"
        )
    };
    let pod = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{number}\nspec:\n  containers:\n  - image: \
             registry.k8s.io/pause:3.10.1\n    name: pause\n    resources:\n      limits: {{cpu: 100m, memory: \
             500Mi}}\n      requests: {{cpu: 100m, memory: 500Mi}}\n---\n"
        )
    };
    let manifests =
        [("nodes.yaml", (0..nodes).map(node).collect()), ("pods.yaml", (0..count).map(pod).collect())];
    for (path, content) in manifests {
        history.command(Command::WriteFile { path: path.into(), content: Some(content) });
    }
    for line in [
        "kubectl create -f nodes.yaml",
        // Admission gives it to each new node; a controller that does not run here would take it off.
        "kubectl taint nodes --selector perf node.kubernetes.io/not-ready:NoSchedule-",
        "kubectl create -f pods.yaml",
    ] {
        history.command(Command::Exec { session: 0, line: line.into(), stdin: String::new() });
    }
    drive(&mut history, |history| objects(history, "/registry/pods/default/", |_| true, count));
    history
}

/// The scheduler starts, until `count` pods that wait are bound.
pub fn bind(history: &mut Track, count: usize) -> Drive {
    history.command(Command::StartProcess { process: "kube-scheduler-cp-1".into() });
    drive(history, |history| {
        objects(history, "/registry/pods/default/", |pod| pod.has("spec.nodeName"), count)
    })
}

/// Services with ten endpoints each, as kube-proxy knows them, and the rules that it makes of them.
pub struct RuleBook {
    settings: Settings,
    /// By key, with its one slice.
    services: Vec<(Text, Value, Value)>,
    proxier: Proxier,
    kernel: Kernel,
}

/// Endpoints of each service, one of them on the node whose rules are written.
const ENDPOINTS: usize = 10;
const OWN_NODE: &str = "worker-1";

impl RuleBook {
    pub fn of(mode: Mode, services: usize) -> RuleBook {
        let service = |number: usize| -> (Text, Value, Value) {
            let (high, low) = (number / 250, number % 250 + 1);
            let endpoints: String = (0..ENDPOINTS)
                .map(|n| {
                    format!(
                        "{{addresses: [10.{}.{low}.{}], nodeName: worker-{}}}, ",
                        100 + high,
                        n + 1,
                        n + 1
                    )
                })
                .collect();
            let text = format!(
                "kind: Service\nmetadata: {{namespace: a, name: s{number}}}\nspec: {{clusterIP: 172.30.{high}.{low}, ports: \
                 [{{port: 80, protocol: TCP}}]}}\n---\nkind: EndpointSlice\nmetadata: {{namespace: a, name: s{number}-1, labels: \
                 {{kubernetes.io/service-name: s{number}}}}}\naddressType: IPv4\nendpoints: [{endpoints}]\nports: [{{name: '', port: \
                 8080, protocol: TCP}}]\n"
            );
            let mut objects = yaml::read(&text).into_iter().flatten().map(|document| document.value);
            let mut next = || objects.next().unwrap_or_default();
            (arcstr::format!("a/s{number}"), next(), next())
        };
        let address = "192.168.56.21".parse().ok();
        let pods = Cidr::parse("10.0.0.0/8");
        RuleBook {
            settings: Settings {
                node_name: OWN_NODE.into(),
                node_ip: address,
                cluster_cidr: pods,
                masquerades_all: false,
                mode,
                scheduler: "rr".into(),
            },
            services: (0..services).map(service).collect(),
            proxier: Proxier::default(),
            kernel: Kernel::new(OWN_NODE, address, pods, Agent::Machine),
        }
    }
    fn sync(&mut self, changed: std::ops::Range<usize>, has_slices: bool) {
        let mut restore = Restore::default();
        for (key, service, slice) in &self.services[changed] {
            let slices: &[&Value] = if has_slices { &[slice] } else { &[] };
            self.proxier.update(&self.settings, key, Some(service), slices, &mut restore);
        }
        self.proxier.finish(&self.settings, &[], &mut restore);
        self.kernel.restore(&restore);
    }
    /// All rules, from nothing, into the kernel; how many there are, or virtual servers.
    pub fn write(&mut self) -> usize {
        self.proxier = Proxier::default();
        self.sync(0..self.services.len(), true);
        self.kernel.rules.rule_count() + self.kernel.rules.servers().len()
    }
    /// One service loses its endpoints, or has them again.
    pub fn change(&mut self, has_slices: bool) {
        let middle = self.services.len() / 2;
        self.sync(middle..middle + 1, has_slices);
    }
}

/// `count` Services of one Deployment of ten pods, until each has its slice and the nodes their rules.
pub fn services(history: &mut Track, count: usize) -> Drive {
    pods(history, ENDPOINTS);
    let service = |number: usize| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: load-{number}}}\nspec: {{selector: {{app: load}}, ports: [{{port: \
             80}}]}}\n---\n"
        )
    };
    let content = (0..count).map(service).collect();
    history.command(Command::WriteFile { path: "services.yaml".into(), content: Some(content) });
    history.command(Command::Exec {
        session: 0,
        line: "kubectl create -f services.yaml".into(),
        stdin: String::new(),
    });
    drive(history, |history| {
        let is_whole = |slice: &Value| slice.items("endpoints").len() == ENDPOINTS;
        let are_written = history.world().processes().iter().all(|process| match &*process.role {
            Role::KubeProxy(proxy) => proxy.pending().next().is_none() && proxy.port_count() > count,
            _ => true,
        });
        are_written && objects(history, "/registry/endpointslices/default/load-", is_whole, count)
    })
}

/// A packet from a pod to one of those services, there and back; whether it was answered.
pub fn packet(history: &Track, number: u32, services: usize) -> bool {
    let pod = history.world().processes().iter().find_map(|process| match &*process.role {
        Role::Etcd(member) => member.store().under("/registry/pods/default/").next(),
        _ => None,
    });
    let Some(pod) = pod else { return false };
    let question = Question {
        from: PacketSource::Pod { namespace: "default".into(), name: meta::name(&pod.value).into() },
        to: PacketTarget::Service {
            namespace: "default".into(),
            name: format!("load-{}", number as usize * 7919 % services.max(1)),
        },
        port: 80,
        protocol: Protocol::Tcp,
        number,
    };
    picture::trace_packet(history, &question).verdict == PacketVerdict::Answered
}

/// An hour in which nobody asks for anything.
pub fn let_an_hour_pass(history: &mut Track) {
    history.run_until(history.now() + Duration::from_secs(3600));
}

/// Runs on until `is_done`, looked at four times a simulated second.
fn drive(history: &mut Track, is_done: impl Fn(&Track) -> bool) -> Drive {
    let (start, events) = (history.now(), history.engine().events());
    let limit = start + PATIENCE;
    let mut is_complete = is_done(history);
    while !is_complete && history.now() < limit {
        history.run_until(history.now() + Duration::from_millis(250));
        is_complete = is_done(history);
    }
    Drive { simulated: history.now().since(start), events: history.engine().events() - events, is_complete }
}

/// Whether there are `count` objects under `prefix`, all of them as wanted, at the member that is furthest. The first
/// that is not decides, so that looking costs little of what is measured.
fn objects(history: &Track, prefix: &str, is_wanted: impl Fn(&Value) -> bool, count: usize) -> bool {
    let members = history.world().processes().iter().filter_map(|process| match &*process.role {
        Role::Etcd(member) => Some(member),
        _ => None,
    });
    members.max_by_key(|member| member.store().revision()).is_some_and(|member| {
        let mut found = 0;
        let mut pairs = member.store().under(prefix).inspect(|_| found += 1);
        pairs.all(|pair| is_wanted(&pair.value)) && found >= count
    })
}

fn is_ready(object: &Value) -> bool {
    meta::is_condition_true(object, "Ready")
}

/// Instants spread over a history, for seeking: the `number`th of `of`.
pub fn instant(history: &Track, number: u64, of: u64) -> Time {
    // A step that shares no factor with the count visits them out of order, as a hand on the scrubber does.
    Time(history.horizon().0 / of.max(1) * (number * 7919 % of.max(1)))
}
