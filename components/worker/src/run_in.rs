//! Why the thousandth pod comes up as fast in a page that was just opened as in one that has been used for long.
//!
//! Picture to hold in mind: a new engine that is run in on the bench before the car is handed over. A browser compiles
//! WebAssembly twice: quickly at first, and well only what has run for long enough. So as soon as the user's cluster
//! lives, another one that nobody sees is worked for a moment in the gaps between two ticks, and is thrown away. It
//! shares nothing with the user's: what is left is the browser's better code.
//!
//! Measured in Chromium, a thousand pods take 1.4 times as long without it.

use clusterarium::cluster::{self, Cluster};
use clusterarium::command::{Command, Scenario};
use clusterarium::sim::{History, Time};

/// The work: what people do first.
const LINE: &str = "while true; do kubectl create deployment run-in --image=nginx --replicas=300; \
                    kubectl rollout status deployment run-in; kubectl delete deployment run-in; sleep 40; done";

/// Events after which it is enough: most of what a rollout needs has been compiled well by then.
const EVENTS: u64 = 400_000;

/// Events between two looks at the clock: well below a millisecond.
const STRIDE: u64 = 20;

/// A cluster that is worked and thrown away.
#[derive(Default)]
pub enum RunIn {
    /// Nothing is done before there is a cluster to look at.
    #[default]
    Waiting,
    Running(Box<History<Cluster>>),
    Over,
}

impl RunIn {
    /// Goes on a little; false when there is nothing to do.
    pub fn go_on(&mut self, is_open: bool) -> bool {
        match self {
            RunIn::Waiting if is_open => {
                let mut history = cluster::boot(1, Scenario { workers: 10, ..Scenario::default() });
                history.command(Command::Exec { session: 0, line: LINE.into(), stdin: String::new() });
                *self = RunIn::Running(Box::new(history));
                true
            }
            RunIn::Running(history) => {
                for _ in 0..STRIDE {
                    history.step(Time(u64::MAX));
                }
                if history.engine().events() >= EVENTS {
                    *self = RunIn::Over;
                }
                true
            }
            RunIn::Waiting | RunIn::Over => false,
        }
    }
}
