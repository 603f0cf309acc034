//! Stories of Raft as text: commands, and a full transcript of what they led to (`rafttest/`).
//!
//! Picture to hold in mind: a stage rehearsal with the clock in the director's hand. Nothing moves until a line of
//! the script says so, and the prompter writes down every word that falls.
//!
//! A script is a row of blocks: comment lines (`#`), commands, `----`, and what they printed, up to an empty
//! line. [`run`] plays it and gives the same script with what was printed this time.
//!
//! | command | what it does |
//! | --- | --- |
//! | `members 3 [pre-vote=off] [check-quorum=off] [max-inflight=2] [max-size=1] [joining=4,5]` | sets the stage |
//! | `campaign 1`, `tick 1 [5]`, `timeout 1 12` | the election timer rings; the clock strikes; the timer is set |
//! | `propose 1 x`, `read 2`, `transfer 1 2` | asks member 1 for an entry, 2 for a read, 1 to hand over to 2 |
//! | `change 1 v4 l5 r2 [explicit]`, `change 1 leave` | a change of the membership |
//! | `stabilize [1 2]` | members act, and messages among them arrive, until all is quiet |
//! | `ready 1`, `write 1`, `slow 1`, `fast 1` | one step; with a slow disk `write` says when it is done |
//! | `deliver 1->2`, `lose [1->2]` | what is under way arrives, or is lost |
//! | `cut 1->2`, `cut 1-2`, `isolate 3`, `heal` | the network |
//! | `crash 1`, `restart 1`, `compact 1 [keep]` | all but the disk is lost; back again; the log is shortened |
//! | `status`, `log 1`, `state 1` | what can be seen |
//! | `quiet`, `loud` | whether the following is written down |

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use super::flaw::Flaw;
use super::machine::{Config, Raft, Role};
use super::ready::{Disk, Write};
use crate::api::Text;
use crate::message::raft::{
    Application, ConfChange, ConfChangeKind, Configuration, MemberId, Message, Payload, Snapshot, Transition,
};
use crate::sim::Random;
use crate::sorted::{SortedMap, SortedSet};

/// The application of the scripts: it remembers the lines that it was given.
#[derive(Clone, Debug)]
pub enum Lines {}

impl Application for Lines {
    type Command = Text;
    type Snapshot = Arc<Vec<Text>>;
    fn size(command: &Text) -> u64 {
        command.len() as u64
    }
}

#[derive(Clone)]
struct Actor {
    raft: Raft<Lines>,
    disk: Disk<Lines>,
    /// The application's state, which is kept on disk as etcd's is.
    state: Arc<Vec<Text>>,
    applied: u64,
    configuration: Configuration,
    is_running: bool,
    /// With a slow disk: what it is busy with.
    slow: bool,
    writing: Option<Write<Lines>>,
}

impl Actor {
    fn snapshot(&self) -> Arc<Snapshot<Lines>> {
        let last = self.raft.log().id_of(self.applied);
        Arc::new(Snapshot { last, configuration: self.configuration.clone(), data: self.state.clone() })
    }
}

/// Members, the messages between them, and the prompter's book.
#[derive(Clone, Default)]
pub struct Stage {
    actors: SortedMap<MemberId, Actor>,
    in_flight: VecDeque<Message<Lines>>,
    cut: SortedSet<(MemberId, MemberId)>,
    options: SortedMap<String, String>,
    is_quiet: bool,
    restarts: u64,
    /// A rule that all members break, for tests of the laws.
    pub flaw: Option<Flaw>,
    book: String,
}

/// Plays a whole script and gives it back with what it printed this time.
pub fn run(script: &str) -> String {
    let mut stage = Stage::default();
    let mut output = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        output += line;
        output.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut printed = stage.play(line);
        while let Some(next) = lines.next_if(|next| *next != "----" && !next.is_empty()) {
            output += next;
            output.push('\n');
            printed += &stage.play(next);
        }
        lines.next_if(|next| *next == "----");
        while lines.next_if(|next| !next.is_empty()).is_some() {}
        output += "----\n";
        output += if printed.is_empty() { "ok\n" } else { &printed };
    }
    output
}

fn member(word: Option<&str>) -> Result<MemberId, String> {
    let word = word.ok_or("a member is missing")?;
    word.parse().map(MemberId).map_err(|_| format!("no member: {word}"))
}

impl Stage {
    /// Carries out one command and says what it led to, a line each.
    pub fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Err(error) = self.command(&words) {
            let _ = writeln!(self.book, "error: {error}");
        }
        for id in self.actors.keys().copied().collect::<Vec<_>>() {
            // What a command itself leads to, before anybody acts on it, is told at once.
            self.tell_events(id, "");
        }
        let book = std::mem::take(&mut self.book);
        // A command that fails is an error of the script, not of the story.
        if self.is_quiet
            && !book.starts_with("error")
            && !matches!(words.first(), Some(&("status" | "log" | "state")))
        {
            return String::new();
        }
        book
    }

    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        let id = |place: usize| member(words.get(place).copied());
        let number = |place: usize, or: u64| words.get(place).map_or(Ok(or), |word| word.parse());
        let text = |error: std::num::ParseIntError| error.to_string();
        match *words.first().ok_or("no command")? {
            "members" => self.raise(words)?,
            "campaign" => self.raft(id(1)?)?.campaign(),
            "tick" => {
                for _ in 0..number(2, 1).map_err(text)? {
                    self.raft(id(1)?)?.tick();
                }
            }
            "timeout" => self.raft(id(1)?)?.election_timeout = number(2, 10).map_err(text)? as u32,
            "propose" => {
                let payload = Payload::Normal(words[2.min(words.len())..].join(" ").into());
                self.raft(id(1)?)?.propose([payload]).map_err(|error| error.to_string())?;
            }
            "change" => {
                let payload = Payload::ConfChange(Arc::new(change(&words[2.min(words.len())..])?));
                self.raft(id(1)?)?.propose([payload]).map_err(|error| error.to_string())?;
            }
            "read" => {
                let request = number(2, 1).map_err(text)?;
                if !self.raft(id(1)?)?.read_index(request) {
                    return Err("no leader".to_string());
                }
            }
            "transfer" => {
                let to = id(2)?;
                self.raft(id(1)?)?.transfer_leadership(to);
            }
            "ready" => self.ready(id(1)?),
            "write" => self.finish_write(id(1)?),
            "slow" | "fast" => self.actor(id(1)?)?.slow = words[0] == "slow",
            "stabilize" => {
                let only = words[1..].iter().map(|word| member(Some(word))).collect::<Result<Vec<_>, _>>()?;
                self.stabilize(&only);
            }
            "deliver" | "lose" => {
                let wanted = words.get(1).map(|word| pairs(word)).transpose()?;
                let (chosen, rest) =
                    std::mem::take(&mut self.in_flight).into_iter().partition(|message: &Message<Lines>| {
                        wanted.as_ref().is_none_or(|pairs| pairs.contains(&(message.from, message.to)))
                    });
                self.in_flight = rest;
                for message in chosen {
                    if words[0] == "lose" {
                        let _ = writeln!(self.book, "lost {message}");
                    } else {
                        self.receive(message);
                    }
                }
            }
            "cut" => self.cut.extend(pairs(words.get(1).ok_or("a link is missing")?)?),
            "isolate" => {
                let lonely = id(1)?;
                let others: Vec<MemberId> = self.actors.keys().copied().filter(|id| *id != lonely).collect();
                self.cut.extend(others.iter().flat_map(|other| [(lonely, *other), (*other, lonely)]));
            }
            "heal" => self.cut.clear(),
            "crash" => {
                let actor = self.actor(id(1)?)?;
                actor.is_running = false;
                actor.writing = None;
            }
            "restart" => self.restart(id(1)?)?,
            "compact" => self.compact(id(1)?, number(2, 0).map_err(text)?)?,
            "status" => self.tell_status(),
            "log" => self.tell_log(id(1)?)?,
            "state" => {
                let state = self.actor(id(1)?)?.state.join(" ");
                let _ = writeln!(self.book, "{}", if state.is_empty() { "nothing" } else { &state });
            }
            "quiet" => self.is_quiet = true,
            "loud" => self.is_quiet = false,
            other => return Err(format!("no such command: {other}")),
        }
        Ok(())
    }

    fn actor(&mut self, id: MemberId) -> Result<&mut Actor, String> {
        self.actors.get_mut(&id).ok_or_else(|| format!("no member {id}"))
    }
    fn raft(&mut self, id: MemberId) -> Result<&mut Raft<Lines>, String> {
        self.actor(id).map(|actor| &mut actor.raft)
    }

    fn raise(&mut self, words: &[&str]) -> Result<(), String> {
        let count: u64 = words.get(1).and_then(|word| word.parse().ok()).ok_or("how many members?")?;
        for option in words.iter().skip(2) {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("no option: {option}"))?;
            self.options.insert(name.to_string(), value.to_string());
        }
        let founders: Vec<MemberId> = (1..=count).map(MemberId).collect();
        let joining = self.options.get("joining").cloned().unwrap_or_default();
        let joining = joining.split(',').filter_map(|word| word.parse().ok()).map(MemberId);
        for id in founders.iter().copied().chain(joining) {
            let is_founder = founders.contains(&id);
            let (disk, configuration) = if is_founder {
                let contexts = founders.iter().map(|id| (*id, Vec::new()));
                (Disk::bootstrap(contexts), Configuration::of_voters(founders.iter().copied()))
            } else {
                (Disk::default(), Configuration::default())
            };
            // The founding entries have been applied: stories begin after them.
            let applied = disk.hard_state().commit;
            let state = Arc::default();
            let raft = Raft::new(self.config(id), &disk, applied, configuration.clone(), self.random(id));
            let actor = Actor {
                raft,
                disk,
                state,
                applied,
                configuration,
                is_running: true,
                slow: false,
                writing: None,
            };
            self.actors.insert(id, actor);
        }
        Ok(())
    }

    fn config(&self, id: MemberId) -> Config {
        let mut config = Config { flaw: self.flaw, ..Config::new(id) };
        let is_off = |name: &str| self.options.get(name).is_some_and(|value| value == "off");
        config.pre_vote = !is_off("pre-vote");
        config.check_quorum = !is_off("check-quorum");
        if let Some(limit) = self.options.get("max-inflight").and_then(|word| word.parse().ok()) {
            config.inflights.messages = limit;
        }
        if let Some(bytes) = self.options.get("max-size").and_then(|word| word.parse().ok()) {
            config.max_size_per_message = bytes;
        }
        config
    }
    fn random(&self, id: MemberId) -> Random {
        Random::stream(self.restarts, &format!("member/{id}"))
    }

    fn restart(&mut self, id: MemberId) -> Result<(), String> {
        self.restarts += 1;
        let (config, random) = (self.config(id), self.random(id));
        let actor = self.actor(id)?;
        actor.raft = Raft::new(config, &actor.disk, actor.applied, actor.configuration.clone(), random);
        (actor.is_running, actor.writing) = (true, None);
        let hard_state = actor.disk.hard_state();
        let last = actor.raft.log().last();
        let applied = actor.applied;
        let _ = writeln!(self.book, "{id} finds on disk {hard_state} Log:{last} Applied:{applied}");
        Ok(())
    }

    fn compact(&mut self, id: MemberId, keep: u64) -> Result<(), String> {
        let actor = self.actor(id)?;
        let snapshot = actor.snapshot();
        actor.disk.compact(snapshot.clone(), keep);
        actor.raft.compact(snapshot, keep);
        let (first, last) = (actor.raft.log().first_index(), actor.raft.log().snapshot_id());
        let _ = writeln!(self.book, "{id} keeps a snapshot of {last} and entries from {first}");
        Ok(())
    }

    fn stabilize(&mut self, only: &[MemberId]) {
        let ids: Vec<MemberId> =
            self.actors.keys().copied().filter(|id| only.is_empty() || only.contains(id)).collect();
        // Far more rounds than any story needs; a script that never comes to rest must still end.
        for _ in 0..1000 {
            let before = self.book.len();
            ids.iter().for_each(|id| self.ready(*id));
            for id in &ids {
                let (arriving, rest) = std::mem::take(&mut self.in_flight)
                    .into_iter()
                    .partition(|message: &Message<Lines>| message.to == *id);
                self.in_flight = rest;
                let arriving: VecDeque<Message<Lines>> = arriving;
                arriving.into_iter().for_each(|message| self.receive(message));
            }
            if self.book.len() == before {
                return;
            }
        }
        let _ = writeln!(self.book, "error: it does not come to rest");
    }

    fn receive(&mut self, message: Message<Lines>) {
        let (from, to) = (message.from, message.to);
        let is_running = self.actors.get(&to).is_some_and(|actor| actor.is_running);
        if !is_running || self.cut.contains(&(from, to)) {
            let _ = writeln!(self.book, "> lost {message}");
            return;
        }
        let _ = writeln!(self.book, "> {to} receives {message}");
        if let Some(actor) = self.actors.get_mut(&to) {
            actor.raft.step(message);
        }
        self.tell_events(to, "  ");
    }

    /// Does what member `id` is ready for, until the disk or another member must answer.
    fn ready(&mut self, id: MemberId) {
        while let Some(actor) = self.actors.get_mut(&id).filter(|actor| actor.is_running) {
            let Some(mut ready) = actor.raft.ready() else { return };
            let current = actor.snapshot();
            ready.freshen_snapshots(|| current);
            let (before, slow) = (actor.disk.hard_state(), actor.slow);
            let _ = writeln!(self.book, "> {id} acts");
            for event in &ready.events {
                let _ = writeln!(self.book, "  {id} {event}");
            }
            for message in ready.messages {
                let _ = writeln!(self.book, "  sends {message}");
                self.in_flight.push_back(message);
            }
            if let Some(write) = &ready.write {
                if write.hard_state() != before {
                    let _ = writeln!(self.book, "  writes {}", write.hard_state());
                }
                for entry in write.entries() {
                    let _ = writeln!(self.book, "  writes {entry}");
                }
                if let Some(snapshot) = write.snapshot() {
                    let _ = writeln!(self.book, "  writes snapshot {snapshot}");
                }
            }
            for entry in &ready.committed {
                let _ = writeln!(self.book, "  applies {entry}");
                actor.applied = entry.index;
                match &entry.payload {
                    Payload::Normal(line) => Arc::make_mut(&mut actor.state).push(line.clone()),
                    Payload::ConfChange(change) => {
                        actor.configuration = actor.raft.apply_conf_change(change);
                    }
                    Payload::Empty => {}
                }
                actor.raft.applied_to(entry.index);
            }
            for read in ready.reads {
                let _ = writeln!(self.book, "  answers read {} at index {}", read.request, read.index);
            }
            actor.writing = ready.write;
            if slow {
                return;
            }
            self.finish_write(id);
        }
    }

    fn finish_write(&mut self, id: MemberId) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        let Some(write) = actor.writing.take() else { return };
        let persisted = actor.disk.write(write);
        let released = actor.raft.persisted(persisted);
        if let Some(snapshot) = released.snapshot {
            let _ = writeln!(self.book, "  installs snapshot {snapshot}");
            actor.state = snapshot.data.clone();
            actor.applied = snapshot.last.index;
            actor.configuration = snapshot.configuration.clone();
        }
        for message in released.messages {
            let _ = writeln!(self.book, "  sends {message}");
            self.in_flight.push_back(message);
        }
        self.tell_events(id, "  ");
    }

    fn tell_events(&mut self, id: MemberId, indent: &str) {
        let Some(actor) = self.actors.get_mut(&id) else { return };
        for event in std::mem::take(&mut actor.raft.events) {
            let _ = writeln!(self.book, "{indent}{id} {event}");
        }
    }

    fn tell_status(&mut self) {
        for (id, actor) in &self.actors {
            if !actor.is_running {
                let _ = writeln!(self.book, "{id}: down");
                continue;
            }
            let status = actor.raft.status();
            let name = |id: Option<MemberId>| id.map_or("none".to_string(), |id| id.to_string());
            let _ = writeln!(
                self.book,
                "{id}: {} Term:{} Vote:{} Lead:{} Log:{} Commit:{} Applied:{}",
                status.role,
                status.term,
                name(status.vote),
                name(status.lead),
                actor.raft.log().last(),
                status.committed,
                status.applied
            );
            if status.role == Role::Leader {
                for (peer, progress) in &actor.raft.tracker.progress {
                    let _ = writeln!(self.book, "   {peer}: {progress}");
                }
            }
        }
    }

    fn tell_log(&mut self, id: MemberId) -> Result<(), String> {
        let log = self.raft(id)?.log().clone();
        let mut told = String::new();
        for entry in log.range(log.first_index(), u64::MAX) {
            let mark = if entry.index <= log.applied() {
                "applied"
            } else if entry.index <= log.committed() {
                "committed"
            } else if entry.index <= log.stable() {
                "on disk"
            } else {
                "in memory"
            };
            let _ = writeln!(told, "{entry} ({mark})");
        }
        self.book += &told;
        Ok(())
    }
}

/// `1->2` is one direction, `1-2` both.
fn pairs(word: &str) -> Result<SortedSet<(MemberId, MemberId)>, String> {
    let (a, b, both) = match word.split_once("->") {
        Some((a, b)) => (a, b, false),
        None => word.split_once('-').map(|(a, b)| (a, b, true)).ok_or_else(|| format!("no link: {word}"))?,
    };
    let (a, b) = (member(Some(a))?, member(Some(b))?);
    Ok(if both { [(a, b), (b, a)].into() } else { [(a, b)].into() })
}

fn change(words: &[&str]) -> Result<ConfChange, String> {
    let mut change = ConfChange::default();
    for word in words {
        let kind = match word.as_bytes().first() {
            _ if *word == "leave" => continue,
            _ if *word == "explicit" => {
                change.transition = Transition::JointExplicit;
                continue;
            }
            Some(b'v') => ConfChangeKind::AddNode,
            Some(b'l') => ConfChangeKind::AddLearnerNode,
            Some(b'r') => ConfChangeKind::RemoveNode,
            _ => return Err(format!("no change: {word}")),
        };
        change.changes.push((kind, member(word.get(1..))?));
    }
    Ok(change)
}
