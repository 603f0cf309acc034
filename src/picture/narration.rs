//! What happened, told in plain sentences: the caption under the picture, and the narration for those who hear it.
//!
//! Picture to hold in mind: a radio reporter beside the glass case. Heartbeats, leases and lists are silence;
//! a user's command, a write, a decision of the scheduler, a step of a pod's birth and an election are news.

use serde::{Deserialize, Serialize};

use crate::api::meta;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::kubelet::runtime::sandbox::step;
use crate::message::Message;
use crate::message::rest::{Request, Response};
use crate::note::Note;
use crate::sim::trace::What;
use crate::sim::{History, RecordId};

use super::election::{is_news, tell_etcd};
use super::flow::is_routine;
use super::why::command_text;

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    /// Its line in the record: a message's can be selected.
    pub record: u64,
    pub time_us: u64,
    pub teller: Teller,
    pub text: String,
    pub is_failure: bool,
}

/// Whose news it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Teller {
    You,
    ApiServer,
    Controllers,
    Scheduler,
    Etcd,
    Node,
}

/// A line of the record as news; `None` where it is none.
pub fn tell(history: &History<Cluster>, id: RecordId) -> Option<Sentence> {
    let record = history.trace.get(id)?;
    let (teller, text, is_failure) = match &record.what {
        What::Command(command) => match &**command {
            Command::Boot(_) | Command::Interrupt { .. } => return None,
            command => (Teller::You, capitalized(&command_text(command)), false),
        },
        What::Sent { message, .. } if is_routine(message) => return None,
        What::Sent { message: Message::Request(request), .. } => {
            let (teller, text) = request_told(request)?;
            (teller, text, false)
        }
        What::Sent { message: Message::Response(response), .. } => {
            (Teller::ApiServer, refusal_told(response)?, true)
        }
        What::Note { actor, note } => match note {
            Note::Role { role, .. } => {
                return if is_news(history, id, *actor, role) { tell_etcd(history, id) } else { None };
            }
            Note::Scheduling { pod, node } => {
                if !node.is_empty() {
                    // The binding that follows says so.
                    return None;
                }
                (Teller::Scheduler, format!("The scheduler finds no node for {}", short(pod)), true)
            }
            Note::Sandbox { pod, step, detail } => {
                let (text, is_failure) = sandbox_told(pod, step, detail)?;
                (Teller::Node, text, is_failure)
            }
            Note::Load { text, is_failure } => (Teller::Node, text.to_string(), *is_failure),
            _ => return None,
        },
        _ => return None,
    };
    Some(Sentence { record: id.0, time_us: record.time.0, teller, text, is_failure })
}

/// Who asks for what; reads and events are not told.
fn request_told(request: &Request) -> Option<(Teller, String)> {
    if request.verb.is_read() || request.resource.plural == "events" || !request.path.is_empty() {
        return None;
    }
    let name = match request.name.as_str() {
        "" => match request.body.text("metadata.name") {
            "" => request.body.text("metadata.generateName").trim_end_matches('-'),
            name => name,
        },
        name => name,
    };
    let kind = kind_of(request);
    let (teller, who) = asker(request);
    let text = match (request.verb.name(), request.subresource.as_str()) {
        ("create", "binding") => {
            format!("{who} binds pod {name} to {}", request.body.text("target.name"))
        }
        ("create", "eviction") => format!("{who} evicts pod {name}"),
        // Each pod's token is asked for when it starts, and again all the time.
        ("create", "token") if teller == Teller::Node => return None,
        ("create", "") => format!("{who} creates {kind} {name}"),
        ("create", subresource) => format!("{who} asks for {subresource} of {kind} {name}"),
        ("delete", _) => format!("{who} deletes {kind} {name}"),
        ("deletecollection", _) => format!("{who} deletes all {}", request.resource.plural),
        (_, "status") if request.resource.plural == "pods" => {
            // A kubelet reports often; news is a new phase, and that the pod is ready.
            let phase = request.body.text("status.phase");
            let is_ready = meta::condition_status(&request.body, "Ready") == "True";
            match (phase, is_ready) {
                (_, true) => format!("{who} reports pod {name} ready"),
                ("", false) => return None,
                (phase, false) => format!("{who} reports pod {name} {phase}"),
            }
        }
        (_, "status") => format!("{who} reports the status of {kind} {name}"),
        (_, "scale") => format!("{who} scales {kind} {name}"),
        ("patch", _) => format!("{who} patches {kind} {name}"),
        _ => format!("{who} updates {kind} {name}"),
    };
    Some((teller, text))
}

/// The client, as a reader knows it.
fn asker(request: &Request) -> (Teller, String) {
    let agent = request.user_agent.as_str();
    match agent {
        "kubelet" => {
            let node = request.user.name.rsplit(':').next().unwrap_or_default();
            (Teller::Node, format!("The kubelet of {node}"))
        }
        "kube-scheduler" => (Teller::Scheduler, "The scheduler".into()),
        "kube-apiserver" | "" => (Teller::ApiServer, "The API server".into()),
        "leader-election" => (Teller::Controllers, "Leader election".into()),
        agent if agent.starts_with("kubectl") => (Teller::You, "kubectl".into()),
        agent => {
            let name = agent.trim_start_matches("generic-").replace("-controller", "");
            (Teller::Controllers, format!("The {} controller", name.replace('-', " ")))
        }
    }
}

/// The kind that a request is about: from its body, else from its resource.
fn kind_of(request: &Request) -> String {
    let kind = request.body.text("kind");
    if !kind.is_empty() && request.subresource.is_empty() && kind != "DeleteOptions" {
        return kind.to_string();
    }
    singular(&request.resource.plural)
}

/// `policies` is of `policy`.
fn singular(plural: &str) -> String {
    let stem = plural.strip_suffix("ies").map(|stem| format!("{stem}y"));
    stem.unwrap_or_else(|| plural.strip_suffix('s').unwrap_or(plural).to_string())
}

fn refusal_told(response: &Response) -> Option<String> {
    if response.is_success() {
        return None;
    }
    let message = response.body.text("message");
    let short: String = message.chars().take(160).collect();
    Some(format!("The API server answers {} {}: {short}", response.code, response.reason()))
}

/// The steps of a sandbox's and its containers' life that a reader follows.
fn sandbox_told(pod: &str, step: &str, detail: &str) -> Option<(String, bool)> {
    let pod = short(pod);
    let first = detail.split(' ').next().unwrap_or_default();
    let text = match step {
        step::PAUSE_STARTED => format!("The pause container of {pod} runs, and holds its namespaces"),
        step::ADDRESS => format!("Pod {pod} gets the address {detail}"),
        step::IMAGE_PULL => format!("Image {first} is pulled for {pod}"),
        step::CONTAINER_STARTED => format!("Container {first} of {pod} starts"),
        step::CONTAINER_EXITED => format!("Container {first} of {pod} exits"),
        step::ADDRESS_RELEASED => format!("Pod {pod} gives its address back"),
        step::SANDBOX_REMOVED => format!("The sandbox of {pod} is gone"),
        step::FAILED => return Some((format!("The sandbox of {pod} cannot be made: {detail}"), true)),
        step::IMAGE_FAILED => return Some((format!("Image {first} cannot be pulled for {pod}"), true)),
        _ => return None,
    };
    Some((text, false))
}

/// A pod's name without the namespace that goes without saying.
fn short(pod: &str) -> &str {
    pod.strip_prefix("default/").unwrap_or(pod)
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| std::iter::once(first.to_ascii_uppercase()).chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Scenario;
    use crate::sim::Time;

    /// What a user sees told of a Deployment's way, in this order.
    const TOLD: [&str; 9] = [
        "You entered: kubectl create deployment web --image=nginx",
        "kubectl creates Deployment web",
        "The deployment controller creates ReplicaSet web-",
        "The replicaset controller creates Pod web-",
        "The scheduler binds pod web-",
        "The pause container of web-",
        "gets the address 10.",
        "Container nginx of web-",
        "reports pod web-",
    ];

    #[test]
    fn a_deployment_is_told_from_the_command_to_the_running_pod() {
        let mut history = crate::cluster::boot(7, Scenario::default());
        history.run_until(Time(60_000_000));
        let line = "kubectl create deployment web --image=nginx".to_string();
        history.command(Command::Exec { session: 0, line, stdin: String::new() });
        let begun = history.now();
        history.run_until(Time(begun.0 + 30_000_000));
        let told: Vec<Sentence> =
            history.trace.between(begun..Time::MAX).filter_map(|(id, _)| tell(&history, id)).collect();
        let mut rest = told.iter();
        for expected in TOLD {
            assert!(
                rest.any(|sentence| sentence.text.contains(expected)),
                "{expected} is not told, or too late: {:#?}",
                told.iter().map(|sentence| &sentence.text).collect::<Vec<_>>()
            );
        }
        assert!(told.iter().all(|sentence| !sentence.text.contains("Lease ")), "leases are no news");
    }

    #[test]
    fn names_of_resources_become_kinds() {
        let cases = [("policies", "policy"), ("pods", "pod"), ("deployments", "deployment")];
        for (plural, kind) in cases {
            assert_eq!(singular(plural), kind);
        }
    }
}
