//! A load on a service as it is drawn: what was answered and what failed, by endpoint and by the second.
//!
//! Picture to hold in mind: the tally sheet of the one who counts, read out once a moment.
//!
//! Of several loads one is shown: the youngest of those that run, else the last that did.

use serde::{Deserialize, Serialize};

use crate::api::Value;
use crate::arrange::{Arrange, Gather};
use crate::cluster::Cluster;
use crate::command::Command;
use crate::sim::History;

use super::build::Ledger;
use super::{Action, Detail, Query, Reference};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// `pod/default/client`, `node/worker-1`.
    pub source: String,
    /// `web:80`.
    pub target: String,
    pub per_second: u32,
    /// Why it is over; empty: it runs.
    pub ended: String,
    /// The user's own, which a command stops; else a program's.
    pub is_by_command: bool,
    pub answered: u64,
    pub failed: u64,
    /// In all, and what would help against the most frequent.
    pub sentence: String,
    pub remedy: String,
    /// By node and name.
    pub endpoints: Vec<LoadEndpoint>,
    /// Answered and failed in each of the last seconds, the present one last.
    pub seconds: Vec<(u32, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadEndpoint {
    pub node: String,
    /// Empty: of a pod that is gone, or of none.
    pub namespace: String,
    /// The pod's name, or the address.
    pub name: String,
    /// Answered and failed: in all, and in the last ten seconds.
    pub total: (u64, u64),
    pub recent: (u32, u32),
}

/// What a client's words mean, and what would help.
const REMEDIES: &[(&str, &str)] = &[
    (
        "Connection refused",
        "The rules send requests where nobody listens, or nowhere: a readiness probe keeps a pod out of the service until it does, and a preStop hook that waits keeps it listening until the rules leave it out.",
    ),
    (
        "No route to host",
        "The rules still name a pod that is gone: a preStop hook that waits keeps it until every node has written its rules anew.",
    ),
    (
        "Connection timed out",
        "Nobody says anything: a machine or a wire is gone, or a rule drops it. The endpoints of a lost node are left out once it is NotReady, after some 50 s.",
    ),
    (
        "no such host",
        "The name has no address: a service of that name, written NAME.NAMESPACE from elsewhere.",
    ),
    ("i/o timeout", "The name server does not answer: see whether CoreDNS is Ready."),
    ("HTTP ", "The program answers, but not with what was asked for: see the path."),
];

pub(super) fn load(history: &History<Cluster>, ledger: &Ledger<'_>) -> Option<Load> {
    let loads = history.world().loads().map(|(_, load)| load);
    let load = loads.max_by_key(|load| (load.is_running(), load.began_at))?;
    let now = history.now();
    let pods = ledger.objects("/registry/pods/");
    let endpoint = |one: &crate::kubelet::runtime::load::Endpoint| {
        let address = one.address.to_string();
        let is_it = |pod: &&&Value| {
            pod.text("status.podIP") == address && !matches!(pod.text("status.phase"), "Failed" | "Succeeded")
        };
        let pod = pods.iter().find(is_it);
        let text = |path: &str| pod.map_or(String::new(), |pod| pod.text(path).to_string());
        let recent = one.seconds.recent(now);
        LoadEndpoint {
            node: text("spec.nodeName"),
            namespace: text("metadata.namespace"),
            name: pod.map_or(address.clone(), |_| text("metadata.name")),
            total: (one.answered, one.failed),
            recent: (recent.answered, recent.failed),
        }
    };
    let mut endpoints: Vec<LoadEndpoint> = load.endpoints.iter().map(endpoint).gather();
    // Of those that are gone only what was heard of lately is worth room.
    endpoints.retain(|one| !one.namespace.is_empty() || one.recent != (0, 0));
    endpoints.arrange_by(|a, b| {
        let key = |one: &LoadEndpoint| (one.namespace.is_empty(), one.node.clone(), one.name.clone());
        key(a).cmp(&key(b))
    });
    let mut errors = load.errors.clone();
    errors.arrange_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut sentence = format!("{} answered, {} failed", load.answered, load.failed);
    for (number, (words, count)) in errors.iter().enumerate() {
        sentence.push_str(if number == 0 { ": " } else { ", " });
        sentence.push_str(&format!("{count} {words}"));
    }
    let worst = errors.first().map_or("", |(words, _)| words.as_str());
    let remedy = REMEDIES.iter().find(|(words, _)| worst.starts_with(words));
    Some(Load {
        source: load.source.to_string(),
        target: format!("{}:{}", load.order.host, load.order.port),
        per_second: (1_000_000 / load.order.interval.0.max(1)) as u32,
        ended: load.ended.as_ref().map_or(String::new(), |(_, why)| why.to_string()),
        is_by_command: load.is_by_command(),
        answered: load.answered,
        failed: load.failed,
        sentence,
        remedy: remedy.map_or(String::new(), |(_, remedy)| (*remedy).into()),
        endpoints,
        seconds: load.seconds.tallies().map(|one| (one.answered, one.failed)).collect(),
    })
}

/// The card of the load.
pub(super) fn card(history: &History<Cluster>) -> Option<Detail> {
    let load = load(history, &Ledger::open(history))?;
    let mut summary = vec![("Requests a second".to_string(), load.per_second.to_string())];
    if !load.ended.is_empty() {
        summary.push(("Over".into(), load.ended.clone()));
    }
    let endpoint = |one: &LoadEndpoint| {
        let ((answered, failed), (now, now_failed)) = (one.total, one.recent);
        let is_pod = !one.namespace.is_empty();
        let (namespace, name) = (one.namespace.clone(), one.name.clone());
        Reference {
            text: one.name.clone(),
            about: format!(
                "{answered} answered, {failed} failed; in the last ten seconds {now} and {now_failed}"
            ),
            query: is_pod.then_some(Query::Pod { namespace, name }),
            is_going: !is_pod,
        }
    };
    let endpoints: Vec<Reference> = load.endpoints.iter().map(endpoint).collect();
    let mut explanation = load.sentence;
    if !load.remedy.is_empty() {
        explanation.push_str(". ");
        explanation.push_str(&load.remedy);
    }
    let stop = Action::new("Stop the load", "No more requests are sent.", [Command::StopLoad]);
    let is_ours = load.is_by_command && load.ended.is_empty();
    Some(Detail {
        kind: "Load".into(),
        title: format!("{} to {}", load.source, load.target),
        explanation,
        summary,
        references: vec![("Endpoints".into(), endpoints)],
        actions: is_ours.then_some(stop).into_iter().collect(),
        ..Detail::default()
    })
}
