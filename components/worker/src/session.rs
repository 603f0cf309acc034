//! The clerk behind the glass: takes one slip, or a little of wall time, and answers with slips.
//!
//! Picture to hold in mind: a clerk with a stopwatch who never works longer than a breath before looking at the
//! slot again. Plain Rust without a browser, so that tests can stand at the counter too.

use clusterarium::cluster::{self, Cluster};
use clusterarium::command::Command;
use clusterarium::note::Note;
use clusterarium::picture::{self, Detail, Flow, Picture, Query};
use clusterarium::playback::Playback;
use clusterarium::sim::trace::What;
use clusterarium::sim::{Duration, History, RecordId, Time};

use crate::lint::lint;
use crate::protocol::{Frame, FromWorker, SESSION_VERSION, Session, ToWorker};

/// Between two pictures of a large cluster, in microseconds of wall time; a small one gets each frame its own.
const PICTURE_INTERVAL_US: u64 = 33_000;
/// Simulated time before a jump's target from which messages are shown again.
const LOOK_BACK: Duration = Duration::from_secs(20);
/// Messages that one frame carries at most.
const FLOWS_PER_FRAME: usize = 20_000;
/// Between two looks at a card that is open.
const DETAIL_INTERVAL_US: u64 = 150_000;
/// A stored session is replayed in pieces of this much simulated time, so that slips are still read.
const REPLAY_PIECE: Duration = Duration::from_secs(20);

/// The worker's side of a session.
#[derive(Default)]
pub struct Clerk {
    running: Option<Running>,
}

struct Running {
    seed: u64,
    history: History<Cluster>,
    playback: Playback,
    pace_per_mille: u64,
    /// The page has drawn what it was sent.
    is_drawn: bool,
    is_jump: bool,
    /// The first line of the record that has not been sent.
    next_line: u64,
    /// The first line whose notes have not been handed on: terminals write once, whatever is replayed.
    next_note: u64,
    last_picture: Picture,
    since_picture_us: u64,
    query: Option<Query>,
    last_detail: Option<Detail>,
    since_detail_us: u64,
    /// A stored session is being run again, up to here.
    replay_until: Option<Time>,
}

impl Clerk {
    /// Carries out one slip; the answers go to `out`.
    pub fn receive(&mut self, slip: ToWorker, out: &mut Vec<FromWorker>) {
        match slip {
            ToWorker::Open(session) => {
                let mut running = Running::open(&session);
                out.push(FromWorker::Opened);
                out.push(FromWorker::Session(running.session()));
                running.is_drawn = true;
                self.running = Some(running);
            }
            ToWorker::Lint { id, text } => {
                out.push(FromWorker::Diagnostics { id, diagnostics: lint(&text) });
            }
            ToWorker::Ping => out.push(FromWorker::Pong),
            ToWorker::Panic => panic!("asked to fail"),
            slip => match &mut self.running {
                Some(running) => running.receive(slip, out),
                None => out.push(FromWorker::Failed { message: "no session is open".into() }),
            },
        }
    }

    /// Lets `elapsed_us` of wall time pass.
    pub fn tick(&mut self, elapsed_us: u64, out: &mut Vec<FromWorker>) {
        if let Some(running) = &mut self.running {
            running.tick(elapsed_us, out);
        }
    }
}

impl Running {
    fn open(session: &Session) -> Running {
        let scenario = match session.log.first() {
            Some((_, Command::Boot(scenario))) => scenario.clone(),
            _ => Default::default(),
        };
        let mut history = cluster::boot(session.seed, scenario);
        let log: Vec<(Time, Command)> =
            session.log.iter().map(|(time_us, command)| (Time(*time_us), command.clone())).collect();
        let replay_until = (session.horizon_us > 0).then_some(Time(session.horizon_us));
        if log.len() > 1 {
            history.replace_log(log);
        }
        Running {
            seed: session.seed,
            history,
            playback: Playback::default(),
            pace_per_mille: 0,
            is_drawn: true,
            is_jump: true,
            next_line: 0,
            next_note: 0,
            last_picture: Picture::default(),
            since_picture_us: PICTURE_INTERVAL_US,
            query: None,
            last_detail: None,
            since_detail_us: 0,
            replay_until,
        }
    }

    fn session(&self) -> Session {
        Session {
            version: SESSION_VERSION,
            seed: self.seed,
            log: self.history.log().iter().map(|(time, command)| (time.0, command.clone())).collect(),
            horizon_us: self.history.horizon().0,
        }
    }

    fn receive(&mut self, slip: ToWorker, out: &mut Vec<FromWorker>) {
        match slip {
            ToWorker::Command(command) => self.command(command, out),
            ToWorker::Drawn => self.is_drawn = true,
            ToWorker::Play(is_playing) => self.playback.is_playing = is_playing,
            ToWorker::Speed(speed) => {
                self.playback.speed = speed;
                self.playback.moved(&self.history);
            }
            ToWorker::Seek { time_us } => {
                // Far ahead is reached by playing, not in one breath.
                let limit = self.history.horizon() + Duration::from_secs(600);
                self.history.seek(Time(time_us).min(limit));
                self.jumped();
            }
            ToWorker::Step { forward } => {
                self.playback.step(&mut self.history, forward);
                if !forward {
                    self.jumped();
                }
            }
            ToWorker::SwitchBranch { index } => {
                if let Some(branch) = self.history.branches.get(index).cloned() {
                    self.history.replace_log(branch.log);
                    self.history.branches.remove(index);
                    self.replay_until = Some(branch.horizon);
                    self.next_note = 0;
                    self.jumped();
                    out.push(FromWorker::Session(self.session()));
                }
            }
            ToWorker::Inspect(query) => {
                self.query = query;
                self.last_detail = None;
                self.since_detail_us = DETAIL_INTERVAL_US;
            }
            ToWorker::Open(_) | ToWorker::Lint { .. } | ToWorker::Ping | ToWorker::Panic => {}
        }
    }

    fn command(&mut self, command: Command, out: &mut Vec<FromWorker>) {
        if matches!(command, Command::Boot(_)) {
            return out
                .push(FromWorker::Failed { message: "a cluster is set up once; open a session".into() });
        }
        let is_fork = self.history.now() < self.history.horizon();
        self.history.command(command);
        if is_fork {
            self.next_note = self.next_note.min(self.history.engine().next_record().0);
            self.jumped();
        }
        out.push(FromWorker::Session(self.session()));
        // Who gives a command wants to see what comes of it.
        self.playback.is_playing = true;
    }

    fn jumped(&mut self) {
        self.playback.moved(&self.history);
        self.is_jump = true;
        self.since_picture_us = PICTURE_INTERVAL_US;
    }

    fn tick(&mut self, elapsed_us: u64, out: &mut Vec<FromWorker>) {
        if let Some(goal) = self.replay_until {
            let piece = (self.history.now() + REPLAY_PIECE).min(goal);
            self.history.run_until(piece);
            // What the terminals wrote then, they have written.
            self.next_note = self.history.engine().next_record().0;
            if piece == goal {
                self.replay_until = None;
                self.jumped();
            }
        } else {
            self.pace_per_mille = self.playback.advance(&mut self.history, Duration(elapsed_us));
        }
        self.terminals(out);
        self.since_picture_us += elapsed_us;
        self.since_detail_us += elapsed_us;
        if self.is_drawn {
            self.is_drawn = false;
            out.push(FromWorker::Frame(Box::new(self.frame())));
        }
        if self.query.is_some() && self.since_detail_us >= DETAIL_INTERVAL_US {
            self.since_detail_us = 0;
            let detail = self.query.as_ref().and_then(|query| picture::inspect(&self.history, query));
            if detail != self.last_detail {
                self.last_detail = detail.clone();
                out.push(FromWorker::Detail(detail.map(Box::new)));
            }
        }
    }

    /// What command lines have written since the last look.
    fn terminals(&mut self, out: &mut Vec<FromWorker>) {
        let end = self.history.engine().next_record().0;
        for id in self.next_note..end {
            let Some(record) = self.history.trace.get(RecordId(id)) else { continue };
            if let What::Note { note: Note::Terminal { session, stdout, stderr, exit }, .. } = &record.what {
                out.push(FromWorker::Terminal {
                    session: *session,
                    stdout: stdout.to_string(),
                    stderr: stderr.to_string(),
                    exit: *exit,
                });
            }
        }
        self.next_note = self.next_note.max(end);
    }

    fn frame(&mut self) -> Frame {
        let now = self.history.now();
        let is_jump = std::mem::take(&mut self.is_jump);
        let end = self.history.engine().next_record().0;
        let start = if is_jump {
            let from = Time(now.0.saturating_sub(LOOK_BACK.0));
            let first = self.history.trace.between(from..Time::MAX).next().map_or(end, |(id, _)| id.0);
            first.max(end.saturating_sub(FLOWS_PER_FRAME as u64))
        } else {
            self.next_line.max(end.saturating_sub(FLOWS_PER_FRAME as u64))
        };
        let flows: Vec<Flow> = (start..end)
            .filter_map(|id| Flow::of(RecordId(id), self.history.trace.get(RecordId(id))?))
            .collect();
        self.next_line = end;
        let picture = (is_jump || self.since_picture_us >= PICTURE_INTERVAL_US).then(|| {
            self.since_picture_us = 0;
            picture::build(&self.history)
        });
        let picture = picture.filter(|picture| {
            let mut before = std::mem::take(&mut self.last_picture);
            (before.time_us, before.horizon_us) = (picture.time_us, picture.horizon_us);
            let is_new = *picture != before;
            self.last_picture = picture.clone();
            is_new
        });
        Frame {
            time_us: now.0,
            horizon_us: self.history.horizon().0,
            is_playing: self.playback.is_playing,
            speed: self.playback.speed,
            pace_per_mille: if self.playback.is_playing { self.pace_per_mille } else { 0 },
            is_jump,
            picture,
            flows,
            branches: self.history.branches.iter().map(|branch| branch.forked_at.0).collect(),
        }
    }
}
