//! The clerk behind the glass: takes one slip, or a little of wall time, and answers with slips.
//!
//! Picture to hold in mind: a clerk with a stopwatch who never works longer than a breath before looking at the
//! slot again. Plain Rust without a browser, so that tests can stand at the counter too.

use clusterarium::command::Command;

use crate::protocol::{FromWorker, Session, ToWorker};

/// The worker's side of a session.
#[derive(Default)]
pub struct Clerk {
    session: Option<Session>,
}

impl Clerk {
    /// Carries out one slip; the answers go to `out`.
    pub fn receive(&mut self, slip: ToWorker, out: &mut Vec<FromWorker>) {
        match slip {
            ToWorker::Open(session) => {
                self.session = Some(session.clone());
                out.push(FromWorker::Opened);
                out.push(FromWorker::Session(session));
            }
            ToWorker::Command(command) => self.command(command, out),
            ToWorker::Lint { id, text: _ } => {
                out.push(FromWorker::Diagnostics { id, diagnostics: Vec::new() });
            }
            ToWorker::Drawn => {}
            ToWorker::Ping => out.push(FromWorker::Pong),
            ToWorker::Panic => panic!("asked to fail"),
        }
    }

    fn command(&mut self, command: Command, out: &mut Vec<FromWorker>) {
        let Some(session) = &mut self.session else {
            return out.push(FromWorker::Failed { message: "no session is open".into() });
        };
        session.log.push((session.horizon_us, command.clone()));
        out.push(FromWorker::Session(session.clone()));
        if let Command::Exec { session, line, .. } = command {
            let stdout = line.strip_prefix("echo ").map(|rest| format!("{rest}\n")).unwrap_or_default();
            let (stderr, exit) = match stdout.is_empty() {
                true => (format!("sh: {line}: not found\n"), 127),
                false => (String::new(), 0),
            };
            out.push(FromWorker::Terminal { session, stdout, stderr, exit: Some(exit) });
        }
    }

    /// Lets `elapsed_us` of wall time pass.
    pub fn tick(&mut self, _elapsed_us: u64, _out: &mut Vec<FromWorker>) {}
}
