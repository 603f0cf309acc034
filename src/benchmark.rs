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

use crate::api::{Value, meta};
use crate::cluster::{self, Cluster, Role};
use crate::command::{Command, Scenario};
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
