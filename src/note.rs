//! What actors write into the record beside their messages: steps that cross no wire but are worth seeing.
//!
//! Picture to hold in mind: the margin of the log. A message says what was said; a note says what somebody
//! did meanwhile: a stage of the request pipeline, a sandbox's network namespace, a verdict of the scheduler.

use crate::api::{Text, Value};
use crate::sim::Time;

#[derive(Clone, Debug)]
pub enum Note {
    /// A request went through one stage of the API server's pipeline.
    Stage { client: crate::sim::ActorId, id: u64, stage: Stage, from: Time, until: Time, detail: Text },
    /// Something became the Raft leader, candidate or follower of a term.
    Role { role: &'static str, term: u64 },
    /// A controller takes a key from its queue.
    Sync { controller: Text, key: Text },
    /// The container engine did one step of a sandbox's or container's life.
    Sandbox { pod: Text, step: Text, detail: Text },
    /// The scheduler chose a node for a pod, or (empty) found none. Why, it knows of its last cycles itself.
    Scheduling { pod: Text, node: Text },
    /// A command in a terminal wrote something, or ended.
    Terminal { session: u64, stdout: Text, stderr: Text, exit: Option<i32> },
    /// A command in a terminal has laid a file out for the page's editor.
    Edit { session: u64, path: Text },
    /// The requests of a load begin to fail, are answered again, or are over.
    Load { text: Text, is_failure: bool },
    /// A line of a component's own log.
    Log { line: Text },
    /// A piece of the answer to a client outside of the simulation.
    Http { exchange: u64, part: crate::message::http::Part },
    /// A request as audit.k8s.io/v1 tells it, at `ResponseComplete`.
    Audit(Value),
}

/// The stages of the API server's request pipeline, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Stage {
    Authentication,
    Authorization,
    /// Decoding, conversion and defaulting.
    Decoding,
    MutatingAdmission,
    Validation,
    ValidatingAdmission,
    Storage,
}
