//! The clerk behind the glass: takes one slip, or a little of wall time, and answers with slips.
//!
//! Picture to hold in mind: a clerk with a stopwatch who never works longer than a breath before looking at the
//! slot again. Plain Rust without a browser, so that tests can stand at the counter too.

use clusterarium::api::kind::Registry;
use clusterarium::cluster::{self, Cluster};
use clusterarium::command::{Command, Form};
use clusterarium::note::Note;
use clusterarium::picture::{self, Detail, Flow, Picture, Query, Sentence};
use clusterarium::playback::Playback;
use clusterarium::sim::trace::What;
use clusterarium::sim::{Duration, History, RecordId, Time};

use crate::lint::lint;
use crate::protocol::{
    Frame, FromWorker, Kept, SESSION_VERSION, Session, ToWorker, Written, Wrote, terminal,
};

/// Lines of the record that are searched for the story after a jump, and sentences that one frame carries at most.
const STORY_LINES: u64 = 20_000;
const STORY_PER_FRAME: usize = 200;
/// Sentences about etcd's members that one frame carries at most: a whole election and its first entry.
const ETCD_PER_FRAME: usize = 12;
/// Between two pictures of a large cluster, in microseconds of wall time; a small one gets each frame its own.
const PICTURE_INTERVAL_US: u64 = 33_000;
/// Simulated time before a jump's target from which messages are shown again.
const LOOK_BACK: Duration = Duration::from_secs(20);
/// Messages that one frame carries at most.
const FLOWS_PER_FRAME: usize = 20_000;
/// Between two looks at a card that is open.
const DETAIL_INTERVAL_US: u64 = 150_000;
/// A line at the door is not watched but waited for: it runs as fast as it can, this many events a tick, and for
/// this much simulated time at most.
const EVENTS_PER_TICK: u64 = 10_000;
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A stored session is replayed in pieces of this much simulated time, so that slips are still read.
const REPLAY_PIECE: Duration = Duration::from_secs(20);
/// A fresh cluster comes up in pieces of this much simulated time, each of which is shown.
const BOOT_PIECE: Duration = Duration::from_secs(1);

/// How long a fresh cluster is given to come up before it is shown as it is.
const BOOT_LIMIT: Time = Time::from_secs(60);

/// Every node is Ready, and what belongs to the cluster itself runs: what is seen from then on is the user's doing.
fn is_up(history: &History<Cluster>) -> bool {
    let picture = picture::build(history);
    let mut nodes = picture
        .hosts
        .iter()
        .filter(|host| matches!(host.role, picture::HostRole::ControlPlane | picture::HostRole::Worker));
    nodes.all(|host| host.node.as_ref().is_some_and(|node| node.status == "Ready"))
        && picture.pods.iter().all(|pod| pod.tone == picture::Tone::Healthy)
        && picture.workloads.iter().all(|workload| workload.ready.used == workload.ready.of)
}

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
    /// The first line that has not been looked through for what terminals show.
    next_note: u64,
    /// Lines entered at the door that have not ended, and until when they are waited for.
    waiting: u64,
    wait_until: Time,
    last_picture: Picture,
    since_picture_us: u64,
    query: Option<Query>,
    last_detail: Option<Detail>,
    /// Of the request that is looked at, once it is decided.
    changes: Option<Vec<(String, String)>>,
    since_detail_us: u64,
    /// What is run through before time is the user's.
    coming: Option<Coming>,
    /// What was asked meanwhile: it is done on arrival.
    early: Vec<Command>,
}

/// On the way to where a session begins or goes on.
#[derive(Clone, Copy)]
enum Coming {
    /// A fresh cluster comes up, before the user's eyes.
    Up,
    /// A stored session, or another future, is run again, up to here.
    Back(Time),
}

impl Clerk {
    /// Carries out one slip; the answers go to `out`.
    pub fn receive(&mut self, slip: ToWorker, out: &mut Vec<FromWorker>) {
        match slip {
            ToWorker::Open(opening) => match opening.session() {
                Ok(session) => {
                    if let Some(before) = &mut self.running {
                        before.turn_away(out);
                    }
                    let running = Running::open(&session);
                    out.push(FromWorker::Rewritten);
                    out.push(FromWorker::Session(Kept::from(&session)));
                    self.running = Some(running);
                }
                Err(reason) => out.push(FromWorker::Refused { reason }),
            },
            ToWorker::Lint { id, text } => {
                let server = self.running.as_ref().and_then(|running| running.history.world().api_server());
                let registry = server.map_or_else(Registry::new, |server| server.registry().clone());
                out.push(FromWorker::Diagnostics { id, diagnostics: lint(&text, &registry) });
            }
            ToWorker::Ping => out.push(FromWorker::Pong),
            // The clerk has no clock: the binary measures.
            ToWorker::Benchmark => {}
            ToWorker::Panic => panic!("asked to fail"),
            slip => match &mut self.running {
                Some(running) => running.receive(slip, out),
                // The page looks before there is anything to see; only what would be lost is worth a word.
                None if matches!(slip, ToWorker::Commands(_)) => {
                    out.push(FromWorker::Failed { message: "no session is open".into() });
                }
                None => {}
            },
        }
    }

    /// Whether there is a session, and it has come to where time is the user's.
    pub fn is_open(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.coming.is_none())
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
        let coming = match session.horizon_us {
            0 => Coming::Up,
            horizon_us => Coming::Back(Time(horizon_us)),
        };
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
            waiting: 0,
            wait_until: Time::ZERO,
            last_picture: Picture::default(),
            since_picture_us: PICTURE_INTERVAL_US,
            query: None,
            last_detail: None,
            changes: None,
            since_detail_us: 0,
            coming: Some(coming),
            early: Vec::new(),
        }
    }

    fn session(&self) -> Kept {
        Kept::from(&Session {
            version: SESSION_VERSION,
            seed: self.seed,
            log: self.history.log().iter().map(|(time, command)| (time.0, command.clone())).collect(),
            horizon_us: self.history.horizon().0,
        })
    }

    /// Ends the lines that wait at the door: what they waited for does not come any more.
    fn turn_away(&mut self, out: &mut Vec<FromWorker>) {
        let time_us = self.history.now().0;
        let words = || [Wrote::Stderr("the session was replaced\n".into()), Wrote::Exit(130)];
        let written: Vec<Written> = (0..std::mem::take(&mut self.waiting))
            .flat_map(|_| words())
            .map(|what| Written { time_us, session: terminal::DOOR, what })
            .collect();
        if !written.is_empty() {
            out.push(FromWorker::Terminal(written));
        }
    }

    fn receive(&mut self, slip: ToWorker, out: &mut Vec<FromWorker>) {
        match slip {
            ToWorker::Commands(forms) => match forms.iter().map(Form::read).collect::<Result<Vec<_>, _>>() {
                Ok(commands) if self.coming.is_some() => self.early.extend(commands),
                Ok(commands) => self.commands(commands, out),
                Err(message) => out.push(FromWorker::Failed { message }),
            },
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
                    self.coming = Some(Coming::Back(branch.horizon));
                    self.next_note = 0;
                    self.turn_away(out);
                    self.jumped();
                    out.push(FromWorker::Rewritten);
                    out.push(FromWorker::Session(self.session()));
                }
            }
            ToWorker::Complete { id, session, line } => {
                let completion = picture::complete(&self.history, session, &line);
                out.push(FromWorker::Completion { id, completion });
            }
            ToWorker::Files => out.push(FromWorker::Files(picture::files(&self.history))),
            ToWorker::ReadFile { path } => {
                let content = picture::file(&self.history, &path);
                out.push(FromWorker::File { path, content });
            }
            ToWorker::Inspect(query) => {
                self.query = query;
                self.last_detail = None;
                self.changes = None;
                self.since_detail_us = DETAIL_INTERVAL_US;
            }
            ToWorker::Open(_)
            | ToWorker::Lint { .. }
            | ToWorker::Ping
            | ToWorker::Benchmark
            | ToWorker::Panic => {}
        }
    }

    /// Carries out one after the other, up to the first that is refused.
    fn commands(&mut self, commands: Vec<Command>, out: &mut Vec<FromWorker>) {
        for command in commands {
            if let Some(message) = cluster::refusal(self.history.engine(), &command) {
                out.push(FromWorker::Failed { message });
                break;
            }
            self.command(command, out);
        }
        out.push(FromWorker::Session(self.session()));
    }

    fn command(&mut self, command: Command, out: &mut Vec<FromWorker>) {
        let now = self.history.now();
        if now < self.history.horizon() {
            self.next_note = self.next_note.min(self.history.engine().next_record().0);
            self.turn_away(out);
            self.jumped();
            out.push(FromWorker::Forked { at_us: now.0 });
        }
        if matches!(command, Command::Exec { session: terminal::DOOR, .. }) {
            self.waiting += 1;
            self.wait_until = now + LONGEST_WAIT;
        }
        self.history.command(command);
        // Who gives a command wants to see what comes of it.
        self.playback.is_playing = true;
    }

    fn jumped(&mut self) {
        self.changes = None;
        self.playback.moved(&self.history);
        self.is_jump = true;
        self.since_picture_us = PICTURE_INTERVAL_US;
    }

    fn tick(&mut self, elapsed_us: u64, out: &mut Vec<FromWorker>) {
        if let Some(coming) = self.coming {
            let now = self.history.now();
            let (until, limit) = match coming {
                Coming::Up => (now + BOOT_PIECE, BOOT_LIMIT),
                Coming::Back(goal) => ((now + REPLAY_PIECE).min(goal), goal),
            };
            self.history.run_until(until);
            if until >= limit || matches!(coming, Coming::Up) && is_up(&self.history) {
                self.coming = None;
                self.jumped();
                self.terminals(out);
                out.push(FromWorker::Opened);
                let early = std::mem::take(&mut self.early);
                self.commands(early, out);
            }
        } else if self.waiting > 0 {
            self.wait(out);
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
            let mut detail = self.query.as_ref().and_then(|query| picture::inspect(&self.history, query));
            if let (Some(detail), Some(Query::Message { record })) = (&mut detail, &self.query) {
                if self.changes.is_none() {
                    self.changes = picture::admitted(&self.history, *record);
                }
                detail.changes = self.changes.clone().unwrap_or_default();
            }
            if detail != self.last_detail {
                self.last_detail = detail.clone();
                out.push(FromWorker::Detail(detail.map(Box::new)));
            }
        }
    }

    /// Runs until the lines at the door have ended, or the clerk's breath is over.
    fn wait(&mut self, out: &mut Vec<FromWorker>) {
        let last_event = self.history.engine().events() + EVENTS_PER_TICK;
        while self.waiting > 0 && self.history.engine().events() < last_event {
            if self.history.step(self.wait_until).is_none() {
                self.waiting = 0;
            }
            self.terminals(out);
        }
        self.playback.moved(&self.history);
    }

    /// What command lines have written since the last look.
    fn terminals(&mut self, out: &mut Vec<FromWorker>) {
        let end = self.history.engine().next_record().0;
        let mut written = Vec::new();
        for id in self.next_note..end {
            let Some(record) = self.history.trace.get(RecordId(id)) else { continue };
            let mut write = |session, what| written.push(Written { time_us: record.time.0, session, what });
            match &record.what {
                What::Command(command) => match &**command {
                    Command::Exec { session, line, .. } => write(*session, Wrote::Line(line.clone())),
                    Command::Interrupt { session } => write(*session, Wrote::Interrupt),
                    _ => {}
                },
                What::Note { note: Note::Terminal { session, stdout, stderr, exit }, .. } => {
                    if !stdout.is_empty() {
                        write(*session, Wrote::Stdout(stdout.to_string()));
                    }
                    if !stderr.is_empty() {
                        write(*session, Wrote::Stderr(stderr.to_string()));
                    }
                    if let Some(exit) = exit {
                        write(*session, Wrote::Exit(*exit));
                        if *session == terminal::DOOR {
                            self.waiting = self.waiting.saturating_sub(1);
                        }
                    }
                }
                // What is read again after a jump was shown when it was new.
                What::Note { note: Note::Edit { path, .. }, .. }
                    if self.history.now().since(record.time) < Duration::from_secs(10) =>
                {
                    let terminal = self.history.world().terminal();
                    if let Some(text) = terminal.and_then(|terminal| terminal.files.read(path).ok()) {
                        let name = path.rsplit('/').next().unwrap_or(path).to_string();
                        out.push(FromWorker::Edit { name, text: text.to_string() });
                    }
                }
                _ => {}
            }
        }
        self.next_note = self.next_note.max(end);
        if !written.is_empty() {
            out.push(FromWorker::Terminal(written));
        }
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
        let flows: Vec<Flow> =
            (start..end).filter_map(|id| Flow::told(RecordId(id), &self.history.trace)).collect();
        // After a jump the story goes further back than the messages: it is read, not only seen in passing.
        let since = if is_jump { end.saturating_sub(STORY_LINES) } else { start };
        let mut story: Vec<Sentence> =
            (since..end).filter_map(|id| picture::tell(&self.history, RecordId(id))).collect();
        story.drain(..story.len().saturating_sub(STORY_PER_FRAME));
        let mut etcd = Vec::new();
        for id in (since..end).rev() {
            if etcd.len() < ETCD_PER_FRAME
                && let Some(sentence) = picture::tell_etcd(&self.history, RecordId(id))
                && etcd.iter().all(|later: &Sentence| later.text != sentence.text)
            {
                etcd.push(sentence);
            }
        }
        etcd.reverse();
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
            story,
            etcd,
            branches: self.history.branches.iter().map(|branch| branch.forked_at.0).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
