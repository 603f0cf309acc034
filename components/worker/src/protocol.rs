//! What the page and the worker say to each other.
//!
//! Picture to hold in mind: the slips of paper that pass below the glass. Each is whole in itself and plain
//! data; one side never waits for the other, so a slow answer is a late slip and nothing worse.
//!
//! A slip crosses as bytes, field after field without names: a frame is drawn sixty times a second, and reading names
//! was a tenth of the page's code. What is also stored (sessions, and the commands in them) is JSON in either place.

use clusterarium::command::{Command, Form, PodNetwork, Scenario};
pub use clusterarium::picture::{Completion, Detail, Flow, Picture, Query, Sentence};
pub use clusterarium::playback::Speed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A session's format. A stored one of another version is set aside, not guessed at.
pub const SESSION_VERSION: u32 = 1;

/// Ground truth of a run: everything else is derived from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub version: u32,
    pub seed: u64,
    /// What was asked of the cluster, and when (microseconds of simulated time), ascending.
    pub log: Vec<(u64, Command)>,
    /// How far it had been simulated, in microseconds.
    pub horizon_us: u64,
}

impl Session {
    /// A cluster that has only just been set up.
    pub fn new(seed: u64, scenario: Scenario) -> Session {
        Session { version: SESSION_VERSION, seed, log: vec![(0, Command::Boot(scenario))], horizon_us: 0 }
    }

    /// Reads a stored session, or says in a sentence why it cannot be used.
    pub fn read(text: &str) -> Result<Session, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |error: serde_json::Error| format!("it is damaged ({error})");
        let Version { version } = serde_json::from_str(text).map_err(damaged)?;
        if version != SESSION_VERSION {
            return Err(format!("it is of version {version}, and this page reads version {SESSION_VERSION}"));
        }
        let session: Session = serde_json::from_str(text).map_err(damaged)?;
        if !session.log.is_sorted_by_key(|(time, _)| *time) {
            return Err("it is damaged (its commands are out of order)".to_string());
        }
        match session.log.first() {
            Some((0, Command::Boot(_))) => Ok(session),
            _ => Err("it is damaged (it does not begin with the set-up of a cluster)".to_string()),
        }
    }

    pub fn write(&self) -> String {
        json(self)
    }
}

/// How many machines of which kind a new cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    pub control_plane_nodes: u32,
    pub etcd_members: u32,
    /// The members of etcd have machines of their own.
    pub external_etcd: bool,
    pub workers: u32,
    pub network: PodNetwork,
    /// Pods have addresses of both families.
    pub dual_stack: bool,
}

impl Default for Topology {
    fn default() -> Topology {
        let Scenario {
            control_plane_nodes, etcd_members, external_etcd, workers, network, dual_stack, ..
        } = Scenario::default();
        Topology { control_plane_nodes, etcd_members, external_etcd, workers, network, dual_stack }
    }
}

impl Topology {
    fn scenario(self) -> Scenario {
        let Topology { control_plane_nodes, etcd_members, external_etcd, workers, network, dual_stack } =
            self;
        Scenario {
            control_plane_nodes,
            etcd_members,
            external_etcd,
            workers,
            network,
            dual_stack,
            ..Scenario::default()
        }
    }
}

/// Which run to show. A stored one crosses as the text that is stored: the worker alone reads it, and the page, which
/// has to be small, holds no reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// A cluster that has only just been set up.
    New { seed: u64, topology: Topology },
    Stored {
        text: String,
        /// All but the last command, and no further.
        without_last: bool,
    },
}

impl Opening {
    /// The session that is meant, or in a sentence why there is none.
    pub fn session(self) -> Result<Session, String> {
        match self {
            Opening::New { seed, topology } => {
                let scenario = topology.scenario();
                scenario.refusal().map_or(Ok(Session::new(seed, scenario)), Err)
            }
            Opening::Stored { text, without_last } => {
                let mut session = Session::read(&text)?;
                if without_last && session.log.len() > 1 {
                    session.log.pop();
                    session.horizon_us = session.log.last().map_or(0, |(time, _)| *time);
                }
                Ok(session)
            }
        }
    }
}

/// A session as the page keeps it: a text that it need not understand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub text: String,
    /// How many commands the user gave.
    pub commands: usize,
}

impl From<&Session> for Kept {
    fn from(session: &Session) -> Kept {
        Kept { text: session.write(), commands: session.log.len().saturating_sub(1) }
    }
}

/// Who typed a command line: each has its own terminal in the simulated machine, all share its files.
pub mod terminal {
    /// The terminal panel.
    pub const PANEL: u64 = 0;
    /// The editor's Apply and Delete.
    pub const EDITOR: u64 = 1;
    /// `window.clusterarium.exec`.
    pub const DOOR: u64 = 2;
}

/// From the page to the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first slip, and again whenever another session takes the place of the present one. Answered with
    /// [`FromWorker::Opened`], or with [`FromWorker::Refused`] and the present session goes on.
    Open(Opening),
    /// Things are asked of the cluster, in this order, in the same instant; in the past this forks.
    Commands(Vec<Form>),
    /// A manifest is checked; the answer is [`FromWorker::Diagnostics`] with the same `id`.
    Lint {
        id: u64,
        text: String,
    },
    /// What may stand at the end of `line` in the terminal `session`; answered with [`FromWorker::Completion`].
    Complete {
        id: u64,
        session: u64,
        line: String,
    },
    /// Which files the terminal has; answered with [`FromWorker::Files`].
    Files,
    /// Answered with [`FromWorker::File`].
    ReadFile {
        path: String,
    },
    /// The page has drawn the last frame and wants the next.
    Drawn,
    Play(bool),
    Speed(Speed),
    /// Goes to an instant, back or forth.
    Seek {
        time_us: u64,
    },
    /// To the next message, or to the one before; pauses.
    Step {
        forward: bool,
    },
    /// Goes back to a future that a fork left.
    SwitchBranch {
        index: usize,
    },
    /// What the inspector shows from now on.
    Inspect(Option<Query>),
    /// Answered with [`FromWorker::Pong`]: shows that the worker is alive.
    Ping,
    /// The worker measures itself on clusters of its own; the session stands still meanwhile.
    Benchmark,
    /// The worker fails on purpose, so that what the page then does can be tried.
    Panic,
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The code is there: slips are read from now on.
    Ready,
    /// The session of [`ToWorker::Open`] is where it was, and goes on from now.
    Opened,
    /// [`ToWorker::Open`] named none that can be read, for this reason.
    Refused {
        reason: String,
    },
    /// The session has changed: what the page keeps for the next visit.
    Session(Kept),
    /// What appeared in the simulated terminals, ascending in time.
    Terminal(Vec<Written>),
    /// Another session or future: what the terminals showed is gone, and comes again from the beginning.
    Rewritten,
    /// A command was given in the past: what was later than `at_us` is no longer so.
    Forked {
        at_us: u64,
    },
    Diagnostics {
        id: u64,
        diagnostics: Vec<Diagnostic>,
    },
    Completion {
        id: u64,
        completion: Completion,
    },
    /// Paths and lengths in bytes.
    Files(Vec<(String, u64)>),
    /// `None`: there is no such file any more.
    File {
        path: String,
        content: Option<String>,
    },
    /// A command in a terminal has laid this file out: it is to be shown in the editor.
    Edit {
        name: String,
        text: String,
    },
    /// The instant to be drawn.
    Frame(Box<Frame>),
    /// The card of [`ToWorker::Inspect`], again whenever it changes.
    Detail(Option<Box<Detail>>),
    Pong,
    Benchmark(Benchmark),
    /// A slip could not be read or carried out; the session goes on.
    Failed {
        message: String,
    },
    /// The worker has stopped for good.
    Panicked {
        message: String,
    },
}

/// One instant, as far as it differs from the last frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    pub time_us: u64,
    pub horizon_us: u64,
    pub is_playing: bool,
    pub speed: Speed,
    /// How fast time passes at this moment, in thousandths of real time.
    pub pace_per_mille: u64,
    /// The time did not simply pass: forget the messages of earlier frames.
    pub is_jump: bool,
    /// `None`: as before.
    pub picture: Option<Picture>,
    /// Messages sent since the last frame, or around a jump's target.
    pub flows: Vec<Flow>,
    /// What of it is news, oldest first.
    pub story: Vec<Sentence>,
    /// What etcd's members do among themselves: the last of it.
    pub etcd: Vec<Sentence>,
    /// Futures that forks left: when, in microseconds.
    pub branches: Vec<u64>,
}

/// Something on the paper of a simulated terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub time_us: u64,
    /// Whose terminal: see [`terminal`].
    pub session: u64,
    pub what: Wrote,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrote {
    /// A line was entered.
    Line(String),
    Interrupt,
    Stdout(String),
    Stderr(String),
    /// The line has ended with this code.
    Exit(i32),
}

/// Wall time in milliseconds that the library's test tracks ([`clusterarium::benchmark`]) took here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// A cluster of three workers, until its nodes are Ready.
    pub boot_ms: f64,
    /// 1,000 pods on ten nodes from one Deployment, until all are Ready.
    pub pods_ms: f64,
    /// Events handled for those pods, and whether all became Ready.
    pub events: u64,
    pub is_complete: bool,
    /// A seek to an instant of that history: the median, and the longest, of twenty.
    pub seek_ms: f64,
    pub longest_seek_ms: f64,
    /// What the worker's memory has grown to by then.
    pub memory_bytes: u64,
    /// Creates through the whole pipeline, one after the other.
    pub requests_per_s: f64,
    /// Watch events to a thousand watchers.
    pub watch_events_per_s: f64,
}

/// A problem in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Where, in UTF-16 code units from the start of the text, as the browser counts.
    pub from: u32,
    pub to: u32,
    pub severity: Severity,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    Error,
    Warning,
    Info,
}

/// Something as text, for whoever stores it or reads it outside.
pub fn json<T: Serialize>(value: &T) -> String {
    // Only a map with keys that are not strings could fail, and nothing here holds one.
    serde_json::to_string(value).unwrap_or_else(|error| format!("null /* {error} */"))
}

/// A slip as bytes.
pub fn encode<T: Serialize>(slip: &T) -> Vec<u8> {
    // Only a sequence of unknown length could fail, and no slip holds one.
    postcard::to_allocvec(slip).unwrap_or_default()
}

/// A slip from bytes; the error is for a developer.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((slip, [])) => Ok(slip),
        Ok((_, rest)) => Err(format!("not a slip of this protocol: {} bytes too long", rest.len())),
        Err(error) => Err(format!("not a slip of this protocol: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_session_is_read_back_or_refused_with_a_reason() {
        let session = Session::new(7, Scenario::default());
        let text = session.write();
        assert_eq!(Session::read(&text), Ok(session));
        let cases = [
            ("", "damaged"),
            ("{\"version\":1,", "damaged"),
            ("[]", "damaged"),
            ("{\"version\":1}", "damaged"),
            ("{\"version\":99,\"planet\":\"mars\"}", "version 99"),
            (&text.replace("\"log\":[[0,", "\"log\":[[5,"), "set-up"),
            ("{\"version\":1,\"seed\":1,\"log\":[],\"horizon_us\":0}", "set-up"),
            (
                "{\"version\":1,\"seed\":1,\"log\":[[9,\"HealNetwork\"],[3,\"HealNetwork\"]],\"horizon_us\":9}",
                "order",
            ),
        ];
        for (text, reason) in cases {
            let refusal = Session::read(text).expect_err(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn slips_survive_the_crossing() {
        let slips = [
            ToWorker::Open(Opening::New { seed: u64::MAX, topology: Topology::default() }),
            ToWorker::Open(Opening::Stored {
                text: Session::new(3, Scenario::default()).write(),
                without_last: true,
            }),
            ToWorker::Commands(vec![
                Command::Exec { session: 1, line: "echo \"ü\"".into(), stdin: "\u{0}\n".into() }.into(),
            ]),
            ToWorker::Lint { id: 3, text: "a: [".into() },
        ];
        for slip in slips {
            assert_eq!(decode::<ToWorker>(&encode(&slip)), Ok(slip));
        }
        for bytes in [&[][..], &[250, 1], &encode(&"no slip")[..], &[2, 1, 255]] {
            assert!(decode::<ToWorker>(bytes).is_err(), "{bytes:?}");
        }
    }
}
