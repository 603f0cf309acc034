//! The command log, checkpoints, seek and fork.
//!
//! Picture to hold in mind: a railway with a signal box every few miles. The command log is the timetable,
//! the only thing that must be kept. To be anywhere on the line, start from the last box before it and
//! drive. Changing the timetable behind you lays a branch; the old line stays on the map.

use super::actor::{Language, World};
use super::engine::Engine;
use super::time::Time;
use super::trace::{RecordId, Trace};

type CommandOf<W> = <<W as World>::Language as Language>::Command;

/// A simulation with its past.
pub struct History<W: World> {
    engine: Engine<W>,
    pub trace: Trace<W::Language>,
    log: Vec<(Time, CommandOf<W>)>,
    /// Ascending in time; the first is the beginning of the run. Each knows how much of the log it contains.
    checkpoints: Vec<Checkpoint<W>>,
    /// The furthest instant that has been simulated on this line.
    horizon: Time,
    /// Lines that were left by a fork: their commands and how far they had gone.
    pub branches: Vec<Branch<W>>,
    events_at_checkpoint: u64,
    spacing: u64,
}

#[derive(Clone)]
struct Checkpoint<W: World> {
    engine: Engine<W>,
    commands: usize,
}

/// A future that a fork left: enough to go back to it.
#[derive(Clone)]
pub struct Branch<W: World> {
    pub forked_at: Time,
    pub horizon: Time,
    pub log: Vec<(Time, CommandOf<W>)>,
}

/// Events between two checkpoints: a seek replays this many at most, some tens of milliseconds. Half as many between them
/// costs a tenth more memory, and time for touching it.
const CHECKPOINT_SPACING: u64 = 8_000;
/// Checkpoints kept at most; past this every second one goes and the spacing doubles.
const CHECKPOINTS: usize = 256;

impl<W: World> History<W> {
    pub fn new(engine: Engine<W>) -> History<W> {
        History {
            checkpoints: vec![Checkpoint { engine: engine.clone(), commands: 0 }],
            horizon: engine.now(),
            engine,
            trace: Trace::default(),
            log: Vec::new(),
            branches: Vec::new(),
            events_at_checkpoint: 0,
            spacing: CHECKPOINT_SPACING,
        }
    }
    /// Keeps a checkpoint every `events` events: the most that a seek replays.
    pub fn checkpoint_every(&mut self, events: u64) {
        self.spacing = events;
    }
    /// The state at the present instant.
    pub fn engine(&self) -> &Engine<W> {
        &self.engine
    }
    pub fn world(&self) -> &W {
        &self.engine.world
    }
    pub fn now(&self) -> Time {
        self.engine.now()
    }
    pub fn horizon(&self) -> Time {
        self.horizon
    }
    pub fn log(&self) -> &[(Time, CommandOf<W>)] {
        &self.log
    }
    pub fn checkpoints(&self) -> usize {
        self.checkpoints.len()
    }

    /// Carries out `command` now. In the past this forks: what lay ahead becomes a branch.
    pub fn command(&mut self, command: CommandOf<W>) -> RecordId {
        let now = self.now();
        // What the last command of this instant set off comes before the next one, here as in a replay.
        self.run_until(now);
        let ahead = self.log.partition_point(|(time, _)| *time <= now);
        if now < self.horizon {
            self.branches.push(Branch { forked_at: now, horizon: self.horizon, log: self.log.clone() });
            self.log.truncate(ahead);
            self.checkpoints
                .retain(|checkpoint| checkpoint.engine.now() <= now && checkpoint.commands <= ahead);
            self.trace.truncate(self.engine.next_record());
            self.horizon = now;
        }
        self.log.push((now, command.clone()));
        self.engine.command(&command, &mut self.trace)
    }

    /// Simulates until `until`, carrying out what the log says on the way.
    pub fn run_until(&mut self, until: Time) {
        let now = self.now();
        self.advance(self.log.partition_point(|(time, _)| *time <= now), until);
    }

    /// Runs on from an engine that contains the first `next` commands of the log. A command comes after every
    /// event of its instant that was not caused by it: so it was when it was given.
    fn advance(&mut self, mut next: usize, until: Time) {
        loop {
            let stop = self.log.get(next).map_or(until, |(time, _)| (*time).min(until));
            while self.engine.next_time().is_some_and(|time| time <= stop) {
                self.engine.step(&mut self.trace);
                if self.engine.events() >= self.events_at_checkpoint + self.spacing {
                    self.checkpoint(next);
                }
            }
            self.engine.run_until(stop, &mut self.trace);
            let Some((_, command)) = self.log.get(next).filter(|(time, _)| *time <= until) else { break };
            let command = command.clone();
            self.engine.command(&command, &mut self.trace);
            next += 1;
        }
        self.horizon = self.horizon.max(until);
    }

    /// Plays what happened until `until` once more, beside this history, which stays as it is. Just before `from` the
    /// world is handed to `prepare`, which may make it look closer, but not act otherwise.
    pub fn replay(&self, from: Time, until: Time, prepare: impl FnOnce(&mut W)) -> Engine<W> {
        let before = Time(from.0.saturating_sub(1));
        let index = self.checkpoints.partition_point(|c| c.engine.now() <= before).max(1) - 1;
        let mut engine = self.checkpoints[index].engine.clone();
        let mut log = self.log[self.checkpoints[index].commands..].iter().peekable();
        let mut trace = Trace::default();
        let mut prepare = Some(prepare);
        for until in [before, until] {
            while let Some((time, command)) = log.next_if(|(time, _)| *time <= until) {
                engine.run_until(*time, &mut trace);
                engine.command(command, &mut trace);
            }
            engine.run_until(until, &mut trace);
            if let Some(prepare) = prepare.take() {
                prepare(&mut engine.world);
            }
        }
        engine
    }

    /// Handles just the next event, if it is due by `until`; says when it was.
    pub fn step(&mut self, until: Time) -> Option<Time> {
        let time = self.engine.next_time().filter(|time| *time <= until)?;
        self.run_until(time);
        Some(time)
    }

    /// Goes to `target`, back or forth. What is there is what a fresh run of the log has there.
    pub fn seek(&mut self, target: Time) {
        let index = self.checkpoints.partition_point(|c| c.engine.now() <= target).max(1) - 1;
        let nearest = &self.checkpoints[index];
        // From here, unless that is too late or another place is nearer.
        if target >= self.now() && nearest.engine.events() <= self.engine.events() {
            return self.run_until(target);
        }
        let commands = nearest.commands;
        self.engine = nearest.engine.clone();
        self.events_at_checkpoint = self.engine.events();
        self.advance(commands, target);
    }

    /// Runs `log` from the beginning: a stored session, or a branch to go back to.
    pub fn replace_log(&mut self, log: Vec<(Time, CommandOf<W>)>) {
        self.checkpoints.truncate(1);
        self.engine = self.checkpoints[0].engine.clone();
        self.trace.clear();
        self.log = log;
        self.horizon = self.now();
        self.events_at_checkpoint = 0;
        self.advance(0, self.now());
    }

    /// Forgets how it came to the present: log, checkpoints and branches. There is no way back from here; for whoever
    /// runs on and on and never looks back.
    pub fn forget(&mut self) {
        self.log.clear();
        self.branches.clear();
        self.checkpoints.clear();
        self.checkpoints.push(Checkpoint { engine: self.engine.clone(), commands: 0 });
        self.events_at_checkpoint = self.engine.events();
    }

    /// Keeps the engine as it is; it contains the first `commands` of the log.
    fn checkpoint(&mut self, commands: usize) {
        self.events_at_checkpoint = self.engine.events();
        // On a replay these instants are kept already.
        if self.checkpoints.last().is_some_and(|last| last.engine.events() >= self.engine.events()) {
            return;
        }
        self.checkpoints.push(Checkpoint { engine: self.engine.clone(), commands });
        if self.checkpoints.len() > CHECKPOINTS {
            let mut index = 0;
            self.checkpoints.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.spacing *= 2;
        }
    }
}
