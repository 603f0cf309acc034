//! The two trays, and the disk (`rawnode.go`, `node.go`'s asynchronous storage writes).
//!
//! Picture to hold in mind: [`Raft::ready`] fills two trays. What lies in [`Ready::messages`] may leave at once.
//! Promises lie locked inside [`Ready::write`]; [`Disk::write`] is the only one who takes that, and what it
//! gives back, [`Persisted`], is the only key: [`Raft::persisted`] takes the key and gives the letters out. No
//! code outside this file can send a promise that the disk does not hold.

use std::sync::Arc;

use super::event::Event;
use super::log::Log;
use super::machine::Raft;
use super::read::ReadState;
use crate::api::Text;
use crate::etcd::chunks::Chunks;
use crate::message::raft::{
    Application, Body, ConfChange, ConfChangeKind, Entry, EntryId, HardState, MemberId, Message, Payload,
    Snapshot,
};

/// What there is to do after some steps.
#[derive(Clone, Debug)]
pub struct Ready<A: Application> {
    /// Promise nothing that this member's disk must hold: a leader's appends may leave while it writes itself.
    pub messages: Vec<Message<A>>,
    /// Committed, and on this member's disk: to be applied, then [`Raft::applied_to`].
    pub committed: Vec<Entry<A>>,
    /// Reads that may be answered once their index is applied.
    pub reads: Vec<ReadState>,
    pub events: Vec<Event>,
    /// To be put on disk. Until that is done there is no next `Ready`.
    pub write: Option<Write<A>>,
}

impl<A: Application> Ready<A> {
    /// Makes the snapshots that leave the application's present one: the one that the log keeps may be older than
    /// the membership of the member that it is sent to, who would refuse it.
    pub fn freshen_snapshots(&mut self, current: impl FnOnce() -> Arc<Snapshot<A>>) {
        let mut snapshots = self.messages.iter_mut().filter_map(|message| match &mut message.body {
            Body::Snap { snapshot } => Some(snapshot),
            _ => None,
        });
        if let Some(first) = snapshots.next() {
            let current = current();
            for snapshot in std::iter::once(first).chain(snapshots) {
                if current.last > snapshot.last {
                    *snapshot = current.clone();
                }
            }
        }
    }
}

/// What the disk must hold before the promises in it may be made.
#[derive(Clone, Debug)]
#[must_use = "a member that does not write must not go on"]
pub struct Write<A: Application> {
    hard_state: HardState,
    entries: Vec<Entry<A>>,
    snapshot: Option<Arc<Snapshot<A>>>,
    must_sync: bool,
    promises: Vec<Message<A>>,
}

impl<A: Application> Write<A> {
    /// Whether this needs the disk to flush (`fsync`); a commit index alone does not.
    pub fn must_sync(&self) -> bool {
        self.must_sync
    }
    pub fn entries(&self) -> &[Entry<A>] {
        &self.entries
    }
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }
    pub fn snapshot(&self) -> Option<&Arc<Snapshot<A>>> {
        self.snapshot.as_ref()
    }
}

/// Proof that a [`Write`] is on disk.
#[derive(Debug)]
pub struct Persisted<A: Application> {
    last: Option<EntryId>,
    snapshot: Option<Arc<Snapshot<A>>>,
    promises: Vec<Message<A>>,
}

/// What the proof sets free.
#[derive(Clone, Debug)]
pub struct Released<A: Application> {
    pub messages: Vec<Message<A>>,
    /// The application's state is to be replaced by this.
    pub snapshot: Option<Arc<Snapshot<A>>>,
}

impl<A: Application> Raft<A> {
    /// What there is to do; `None` when nothing is, or while a write is on its way to the disk.
    #[cfg_attr(published, optimize(speed))]
    pub fn ready(&mut self) -> Option<Ready<A>> {
        if self.is_writing {
            return None;
        }
        let hard_state = HardState { term: self.term, vote: self.vote, commit: self.log.committed };
        let appliable = self.log.appliable();
        let is_idle = self.messages.is_empty()
            && self.promises.is_empty()
            && self.reads.is_empty()
            && self.events.is_empty()
            && self.log.stable == self.log.last_index()
            && self.log.pending_snapshot.is_none()
            && self.applying >= appliable
            && hard_state == self.written;
        if is_idle {
            return None;
        }
        let entries = self.log.unstable();
        let snapshot = self.log.pending_snapshot.clone();
        let must_sync = !entries.is_empty()
            || snapshot.is_some()
            || (hard_state.term, hard_state.vote) != (self.written.term, self.written.vote);
        let mut messages = std::mem::take(&mut self.messages);
        let mut promises = std::mem::take(&mut self.promises);
        if !self.is_leader() {
            // Like etcd's server, anyone but a leader says nothing at all before its disk is up to date.
            promises.append(&mut messages);
        }
        coalesce_appends(&mut messages);
        coalesce_answers(&mut promises);
        let committed = self.log.range(self.applying + 1, appliable + 1).cloned().collect();
        self.applying = self.applying.max(appliable);
        let needs_write = must_sync || hard_state != self.written || !promises.is_empty();
        self.written = hard_state;
        self.is_writing = needs_write;
        Some(Ready {
            messages,
            committed,
            reads: std::mem::take(&mut self.reads),
            events: std::mem::take(&mut self.events),
            write: needs_write.then_some(Write { hard_state, entries, snapshot, must_sync, promises }),
        })
    }

    /// Whether a write is on its way to the disk.
    pub fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Takes the proof that the last [`Ready::write`] is on disk, and gives out what had to wait for it.
    #[cfg_attr(published, optimize(speed))]
    pub fn persisted(&mut self, persisted: Persisted<A>) -> Released<A> {
        self.is_writing = false;
        if let Some(snapshot) = &persisted.snapshot
            && self.log.pending_snapshot.as_ref().is_some_and(|pending| pending.last == snapshot.last)
        {
            self.log.pending_snapshot = None;
            self.log.applied = self.log.applied.max(snapshot.last.index);
            self.applying = self.applying.max(snapshot.last.index);
        }
        if let Some(last) = persisted.last {
            self.log.stable_to(last);
        }
        let mut messages = persisted.promises;
        let id = self.id();
        // What a member promises itself: its own vote, its own copy of an entry.
        let own: Vec<_> = messages.extract_if(.., |message| message.to == id).collect();
        own.into_iter().for_each(|message| self.step(message));
        Released { messages, snapshot: persisted.snapshot }
    }
}

/// Appends to one member that follow one another leave as one.
fn coalesce_appends<A: Application>(messages: &mut Vec<Message<A>>) {
    if messages.len() < 2 {
        return;
    }
    let mut merged: Vec<Message<A>> = Vec::with_capacity(messages.len());
    for message in messages.drain(..) {
        let earlier = merged.iter_mut().rev().find(|earlier| earlier.to == message.to);
        if let (
            Body::App { previous, entries, commit },
            Some(Message {
                term, body: Body::App { previous: before, entries: head, commit: known }, ..
            }),
        ) = (&message.body, earlier)
            && *term == message.term
            && head.last().map_or(*before, Entry::id) == *previous
        {
            if !entries.is_empty() {
                *head = head.iter().chain(entries.iter()).cloned().collect();
            }
            *known = *commit;
        } else {
            merged.push(message);
        }
    }
    *messages = merged;
}

/// Of several acknowledgements to one member the last says it all.
fn coalesce_answers<A: Application>(promises: &mut Vec<Message<A>>) {
    promises.dedup_by(|later, earlier| {
        let (Body::AppResp { index, rejected: None }, Body::AppResp { index: highest, rejected: None }) =
            (&later.body, &mut earlier.body)
        else {
            return false;
        };
        let is_same = (later.to, later.term) == (earlier.to, earlier.term);
        if is_same {
            *highest = (*highest).max(*index);
        }
        is_same
    });
}

/// What survives a crash: etcd's write-ahead log and snapshot directory.
#[derive(Clone, Debug)]
pub struct Disk<A: Application> {
    hard_state: HardState,
    /// The entry before the first one kept.
    base: EntryId,
    entries: Chunks<Entry<A>>,
    snapshot: Option<Arc<Snapshot<A>>>,
}

impl<A: Application> Default for Disk<A> {
    /// The empty disk of a member that joins: all it will ever know comes from the leader.
    fn default() -> Disk<A> {
        let (hard_state, base) = Default::default();
        Disk { hard_state, base, entries: Chunks::starting_at(1), snapshot: None }
    }
}

impl<A: Application> Disk<A> {
    /// The disk of a member of a new cluster: its members are the first, committed entries of term 1.
    pub fn bootstrap(members: impl IntoIterator<Item = (MemberId, Vec<Text>)>) -> Disk<A> {
        let mut disk = Disk::default();
        for (id, context) in members {
            let change = ConfChange { context, ..ConfChange::single(ConfChangeKind::AddNode, id) };
            let payload = Payload::ConfChange(Arc::new(change));
            disk.entries.push(Entry { term: 1, index: disk.entries.end(), payload });
        }
        disk.hard_state = HardState { term: 1, vote: None, commit: disk.entries.end() - 1 };
        disk
    }
    /// The disk of a member that was set up from `snapshot`.
    pub fn restored(snapshot: Arc<Snapshot<A>>) -> Disk<A> {
        Disk {
            hard_state: HardState { term: snapshot.last.term, vote: None, commit: snapshot.last.index },
            base: snapshot.last,
            entries: Chunks::starting_at(snapshot.last.index + 1),
            snapshot: Some(snapshot),
        }
    }
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }
    pub fn snapshot(&self) -> Option<&Arc<Snapshot<A>>> {
        self.snapshot.as_ref()
    }
    /// The last index that is on this disk.
    pub fn last_index(&self) -> u64 {
        self.entries.end() - 1
    }
    pub fn entries(&self) -> &Chunks<Entry<A>> {
        &self.entries
    }
    pub(super) fn log(&self) -> Log<A> {
        Log::restored(self.base, self.entries.clone(), self.snapshot.clone())
    }

    /// Makes `write` last, and gives the proof of it.
    pub fn write(&mut self, write: Write<A>) -> Persisted<A> {
        self.hard_state = write.hard_state;
        if let Some(snapshot) = &write.snapshot {
            self.base = snapshot.last;
            self.entries = Chunks::starting_at(snapshot.last.index + 1);
            self.snapshot = Some(snapshot.clone());
        }
        let last = write.entries.last().map(Entry::id);
        if let Some(first) = write.entries.first() {
            self.entries.truncate(first.index);
            write.entries.into_iter().for_each(|entry| self.entries.push(entry));
        }
        Persisted { last, snapshot: write.snapshot, promises: write.promises }
    }

    /// Keeps `snapshot` and forgets the entries that it stands for, but for the last `keep`.
    pub fn compact(&mut self, snapshot: Arc<Snapshot<A>>, keep: u64) {
        let index = snapshot.last.index.saturating_sub(keep);
        if let Some(entry) = self.entries.get(index) {
            self.base = entry.id();
            self.entries.forget_before(index + 1);
        }
        self.snapshot = Some(snapshot);
    }
}
