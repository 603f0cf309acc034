//! What can be seen of a member, as plain data.
//!
//! Picture to hold in mind: a window into the clerk's room. One sees the ledger's last lines and how sure each is,
//! the hourglass of the election, the cards about the others, and how many wait at the counter.

use super::{ELECTION_TICKS, Member, Peer, TICK};
use crate::api::Text;
use crate::etcd::raft::log::Log;
use crate::etcd::raft::{Role, Status};
use crate::etcd::store::{Store, Version};
use crate::message::etcd::{self, Alarm, Proposed};
use crate::message::raft::{Configuration, Entry, HardState, MemberId, Payload};
use crate::sim::{Duration, Time};

/// How sure a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryState {
    /// Not on this member's disk yet.
    InMemory,
    OnDisk,
    Committed,
    Applied,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    pub index: u64,
    pub term: u64,
    /// What it asks: `put /registry/pods/default/nginx`. Empty for a new leader's first entry.
    pub what: Text,
    /// The key that it changes, if it changes one.
    pub key: Text,
    pub state: EntryState,
}

#[derive(Clone, Debug)]
pub struct MemberView {
    pub name: Text,
    /// `None`: the process is not running. What then is known is on its disk.
    pub raft: Option<Status>,
    pub hard_state: HardState,
    pub applied: u64,
    pub configuration: Configuration,
    /// The log's ends, what of it is on disk, and what is committed as far as this member knows (a stopped one: as
    /// far as its disk says).
    pub first_index: u64,
    pub last_index: u64,
    pub stable: u64,
    pub committed: u64,
    pub revision: u64,
    pub compacted: u64,
    pub keys: u64,
    pub db_size_bytes: u64,
    pub db_size_in_use_bytes: u64,
    pub quota_bytes: u64,
    pub alarms: Vec<(MemberId, Alarm)>,
    /// How long the disk takes to flush at most.
    pub disk_latency: Duration,
    pub watches: usize,
    pub leases: usize,
    /// Requests that have not been answered yet.
    pub waiting: usize,
    /// The disk is busy.
    pub is_writing: bool,
    /// How much of the election timer has run down, and its whole length; for a leader, the time until it next
    /// checks for its quorum.
    pub election_elapsed: Duration,
    pub election_timeout: Duration,
    /// The last lines of the log, the oldest first.
    pub log: Vec<LogRow>,
}

/// The key that an entry changes, or nothing.
pub fn changed_key(entry: &Entry<etcd::Replicated>) -> Text {
    match &entry.payload {
        Payload::Normal(proposal) => match &proposal.what {
            Proposed::Request(request) => request.operation.changed_key().cloned().unwrap_or_default(),
            _ => Text::new(),
        },
        _ => Text::new(),
    }
}

impl Member {
    /// Removed from the cluster, and aware of it.
    pub fn is_removed(&self) -> bool {
        self.is_removed
    }
    /// The number of the cluster that it is a member of.
    pub fn cluster(&self) -> u64 {
        self.cluster
    }
    pub fn peer(&self) -> &Peer {
        &self.me
    }
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
    /// What this member's store holds.
    pub fn store(&self) -> &Store {
        &self.backend.store
    }
    /// The members, as this one knows them.
    pub fn members(&self) -> impl Iterator<Item = &etcd::Member> {
        self.backend.members.values()
    }
    /// The process has stopped: nothing volatile is shown any more. Starting it again does the same.
    pub fn stopped(&mut self) {
        self.running = None;
        self.check = None;
        self.failure = Text::new();
    }
    /// Why the process ended as soon as it had begun; empty: it did not.
    pub fn failure(&self) -> &Text {
        &self.failure
    }
    /// The term that this member believes to be the leader of.
    pub fn leads(&self) -> Option<u64> {
        let raft = &self.running.as_ref()?.raft;
        (raft.role() == Role::Leader).then(|| raft.term())
    }
    /// The last entry that has had its effect here.
    pub fn applied(&self) -> u64 {
        self.applied
    }
    /// The log of a member that takes part.
    pub fn raft_log(&self) -> Option<&Log<etcd::Replicated>> {
        self.running.as_ref().map(|running| running.raft.log())
    }
    /// A write is under way to the disk, which has not flushed it yet.
    pub fn is_writing(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.writing.is_some())
    }
    /// What stands on line `index` of the log, as far as it is kept.
    pub fn entry(&self, index: u64) -> Option<&Entry<etcd::Replicated>> {
        match &self.running {
            Some(running) => running.raft.log().get(index),
            None => self.disk.entries().get(index),
        }
    }
    /// Every revision of `key` that is still there, the oldest first.
    pub fn history(&self, key: &str) -> Vec<Version> {
        self.backend.store.history(key)
    }

    /// What can be seen at `now`, with at most `rows` lines of the log.
    pub fn view(&self, now: Time, rows: usize) -> MemberView {
        let store = &self.backend.store;
        let running = self.running.as_ref();
        let raft = running.map(|running| running.raft.status());
        let ticks = |ticks: u32| TICK.saturating_mul(u64::from(ticks));
        let since_tick = running.map_or(Duration::ZERO, |running| now.since(running.last_tick));
        let election_timeout = ticks(raft.as_ref().map_or(ELECTION_TICKS, |raft| raft.election_timeout));
        let elapsed = ticks(raft.as_ref().map_or(0, |raft| raft.election_elapsed)) + since_tick;
        MemberView {
            name: self.me.name.clone(),
            hard_state: self.disk.hard_state(),
            applied: self.applied,
            configuration: self.configuration.clone(),
            first_index: raft.as_ref().map_or(self.disk.entries().start(), |raft| raft.first_index),
            last_index: raft.as_ref().map_or(self.disk.last_index(), |raft| raft.last_index),
            stable: raft.as_ref().map_or(self.disk.last_index(), |raft| raft.stable),
            committed: raft.as_ref().map_or(self.disk.hard_state().commit, |raft| raft.committed),
            revision: store.revision(),
            compacted: store.compacted(),
            keys: store.live_keys(),
            db_size_bytes: self.database.size_bytes(),
            db_size_in_use_bytes: self.database.in_use_bytes(store),
            quota_bytes: self.quota_bytes,
            alarms: self.backend.alarms.iter().copied().collect(),
            disk_latency: self.disk_latency.1,
            watches: running.map_or(0, |running| running.watches.len()),
            leases: store.leases().count(),
            waiting: self.waiting_count(),
            is_writing: self.is_writing(),
            election_elapsed: elapsed.min(election_timeout),
            election_timeout,
            log: self.log_rows(raft.as_ref(), rows),
            raft,
        }
    }

    fn log_rows(&self, raft: Option<&Status>, rows: usize) -> Vec<LogRow> {
        let (stable, committed) = raft
            .map_or((self.disk.last_index(), self.disk.hard_state().commit), |raft| {
                (raft.stable, raft.committed)
            });
        let row = |entry: &Entry<etcd::Replicated>| LogRow {
            index: entry.index,
            term: entry.term,
            what: match &entry.payload {
                Payload::Empty => Text::new(),
                Payload::Normal(proposal) => proposal.to_string().into(),
                Payload::ConfChange(change) => format!("membership {change}").into(),
            },
            key: changed_key(entry),
            state: if entry.index <= self.applied {
                EntryState::Applied
            } else if entry.index <= committed {
                EntryState::Committed
            } else if entry.index <= stable {
                EntryState::OnDisk
            } else {
                EntryState::InMemory
            },
        };
        let last = raft.map_or(self.disk.last_index(), |raft| raft.last_index);
        let from = (last + 1).saturating_sub(rows as u64);
        match &self.running {
            Some(running) => running.raft.log().range(from, u64::MAX).map(row).collect(),
            None => self.disk.entries().range(from, u64::MAX).map(row).collect(),
        }
    }
}
