//! The work whose speed is measured: the same in the native binary and in the browser.
//!
//! Picture to hold in mind: a test track without a stopwatch. The track is here; whoever has a clock drives on it.

use crate::api::meta;
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

/// A cluster with `workers` workers, all of them Ready.
pub fn ready_cluster(seed: u64, workers: u32) -> History<Cluster> {
    let scenario = Scenario { workers, ..Scenario::default() };
    let mut history = cluster::boot(seed, scenario);
    let nodes = workers as usize + 1;
    drive(&mut history, |history| {
        objects(history, "/registry/minions/", |node| meta::is_condition_true(node, "Ready")) >= nodes
    });
    history
}

/// One Deployment of `count` pods is applied, until all of them are Ready.
pub fn pods(history: &mut History<Cluster>, count: usize) -> Drive {
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
    drive(history, |history| {
        objects(history, "/registry/pods/default/", |pod| meta::is_condition_true(pod, "Ready")) >= count
    })
}

/// Runs on until `is_done`, looked at four times a simulated second.
fn drive(history: &mut History<Cluster>, is_done: impl Fn(&History<Cluster>) -> bool) -> Drive {
    let (start, events) = (history.now(), history.engine().events());
    let limit = start + PATIENCE;
    let mut is_complete = is_done(history);
    while !is_complete && history.now() < limit {
        history.run_until(history.now() + Duration::from_millis(250));
        is_complete = is_done(history);
    }
    Drive { simulated: history.now().since(start), events: history.engine().events() - events, is_complete }
}

/// How many objects under `prefix` are as wanted, at the member that is furthest.
fn objects(
    history: &History<Cluster>,
    prefix: &str,
    is_wanted: impl Fn(&crate::api::Value) -> bool,
) -> usize {
    let members = history.world().processes().iter().filter_map(|process| match &*process.role {
        Role::Etcd(member) => Some(member),
        _ => None,
    });
    members
        .max_by_key(|member| member.store().revision())
        .map_or(0, |member| member.store().under(prefix).filter(|pair| is_wanted(&pair.value)).count())
}

/// Instants spread over a history, for seeking: the `number`th of `of`.
pub fn instant(history: &History<Cluster>, number: u64, of: u64) -> Time {
    // A step that shares no factor with the count visits them out of order, as a hand on the scrubber does.
    Time(history.horizon().0 / of.max(1) * (number * 7919 % of.max(1)))
}
