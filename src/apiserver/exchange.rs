//! One request from its arrival to its answer.
//!
//! Picture to hold in mind: a routing slip clipped to the form. Each desk that has dealt with it writes on the slip
//! what is to happen next; when a desk must wait for the archive, the slip waits in a pigeonhole, and whoever
//! finds it there knows how to go on.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Text, Value};
use crate::message::etcd;
use crate::message::rest::{Request, User};
use crate::sim::Time;

use super::cycle::Cycle;
use super::watchers::ExchangeId;

#[derive(Clone)]
pub(crate) struct Exchange {
    pub id: ExchangeId,
    pub request: Arc<Request>,
    /// Who asks, before impersonation.
    pub asker: Arc<User>,
    /// Who asks, after impersonation.
    pub user: Arc<User>,
    /// The verb that allowed him to speak for another; none for who speaks for himself.
    pub spoken_by: Option<Text>,
    /// The authorizer, and of roles the binding and the rule, that let the request through; empty before that.
    pub allowed_by: Text,
    pub received: Time,
    /// When the handlers before storage were through.
    pub handled: Time,
    pub state: State,
    /// `Warning` headers of the answer.
    pub warnings: Vec<Text>,
    /// Of the audit event.
    pub annotations: Vec<(Text, Text)>,
    /// How often it has been tried again because something that will soon be there was not.
    pub retries: u32,
}

#[derive(Clone)]
pub(crate) enum State {
    /// The handlers are at work; a timer tells when they are through.
    Handling,
    /// A get of the newest state, or a list at an exact revision.
    Reading(Reading),
    /// The newest revision has been asked for; then the cache may answer once it is as new.
    AskingRevision,
    /// The cache must reach a revision.
    AwaitingRevision,
    /// A write is being decided, committed or retried.
    Writing(Box<Cycle>),
    /// A kubelet has been asked.
    Forwarded,
}

#[derive(Clone)]
pub(crate) enum Reading {
    Get,
    /// A page of a list at `revision` (0: the newest).
    Page {
        revision: u64,
    },
}

/// What is to happen next.
pub(crate) enum Step {
    Answer(Answer),
    Ask(etcd::Operation),
    AwaitRevision(u64),
    AwaitLease,
    /// Somebody else has been asked; the answer is given when theirs comes.
    Waiting,
    /// A stream has been opened; its opening has been answered.
    Opened,
}

/// What goes back to the client.
pub(crate) struct Answer {
    pub code: u16,
    pub body: Value,
    pub retry_after_seconds: Option<u64>,
}

impl Answer {
    pub(crate) fn new(code: u16, body: Value) -> Answer {
        Answer { code, body, retry_after_seconds: None }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Answer {
        let retry_after = status.details.integer("retryAfterSeconds");
        Answer {
            code: status.code,
            body: status.to_value(),
            retry_after_seconds: retry_after.and_then(|seconds| u64::try_from(seconds).ok()),
        }
    }
}

impl From<Result<Step, Status>> for Step {
    fn from(result: Result<Step, Status>) -> Step {
        result.unwrap_or_else(|status| Step::Answer(status.into()))
    }
}
