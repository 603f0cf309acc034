//! etcd's members as they can be seen: terms, votes, logs, what the leader believes, and how big the store is.
//!
//! Picture to hold in mind: one window into each clerk's room ([`crate::etcd::member::view`]), with the names of the
//! others written on the glass in the viewer's words.

use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, Process, Role};
use crate::etcd::member::Member;
use crate::etcd::member::view;
use crate::etcd::raft::progress;
use crate::message::raft::{Majority, MemberId};
use crate::sim::Time;

/// Lines of a member's log that are shown.
const LOG_ROWS: usize = 12;

/// One etcd member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EtcdMember {
    pub name: String,
    /// As `etcdctl member list` prints it.
    pub id: String,
    pub actor: u32,
    /// The machine it runs on.
    pub host: String,
    pub is_running: bool,
    /// `Leader`, `Follower`, `Candidate`, `PreCandidate`, `Learner`; `Joining`, `Removed`, `Failed`, `Stopped`.
    pub role: String,
    /// Why it ended as soon as it was started; empty: it did not.
    pub failure: String,
    /// Receives the log and has no vote, as far as this member knows.
    pub is_learner: bool,
    pub term: u64,
    /// Whom it voted for in this term.
    pub vote: Option<String>,
    pub leader: Option<String>,
    /// Of a (pre-)candidate: the votes that have come in.
    pub votes: Vec<Vote>,
    /// Of a leader: whom it is handing over to.
    pub transferee: Option<String>,
    /// The first entry of the log that is kept; what is before is in a snapshot.
    pub first_index: u64,
    pub last_index: u64,
    /// On this member's disk up to here.
    pub persisted_index: u64,
    pub commit_index: u64,
    pub applied_index: u64,
    /// The end of the log, oldest first.
    pub log: Vec<LogEntry>,
    /// Share of the election timeout that has passed, in thousandths; of a leader, until it next checks its quorum.
    pub election_elapsed_per_mille: u32,
    /// The whole of it, drawn anew for each term.
    pub election_timeout_us: u64,
    /// For a leader: how far each peer is, itself included.
    pub peers: Vec<PeerProgress>,
    /// Who has a vote, as this member has it applied; while a change of several is under way, both halves.
    pub voters: Vec<String>,
    pub outgoing_voters: Vec<String>,
    pub learners: Vec<String>,
    /// The store's revision, and the one below which nothing can be read any more.
    pub revision: u64,
    pub compact_revision: u64,
    pub keys: u64,
    pub db_size_bytes: u64,
    pub db_size_in_use_bytes: u64,
    pub quota_bytes: u64,
    /// What it is started with besides: `--pre-vote=false`.
    pub flags: String,
    /// `NOSPACE`, by the member that raised it: `etcd-2: NOSPACE`.
    pub alarms: Vec<String>,
    pub leases: u64,
    pub watches: u64,
    /// Requests that have not been answered yet.
    pub waiting: u64,
    /// The disk is flushing.
    pub is_writing: bool,
    /// How long a flush takes at most.
    pub disk_latency_us: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub from: String,
    pub is_granted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    /// `put /registry/pods/default/nginx`; empty for a new leader's first entry.
    pub what: String,
    /// The key that it changes, if it is a request that changes one.
    pub key: String,
    pub state: EntryState,
}

/// How sure a line of a member's log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryState {
    /// Not on this member's disk yet.
    #[default]
    InMemory,
    /// On this member's disk; another leader may yet strike it out.
    Persisted,
    /// On a majority's disks, as far as this member knows.
    Committed,
    /// Has had its effect on this member's store.
    Applied,
}

/// What a leader believes about another member's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerProgress {
    pub name: String,
    pub match_index: u64,
    pub next_index: u64,
    pub state: ProgressState,
    pub is_learner: bool,
    /// Nothing is sent until it answers.
    pub is_paused: bool,
    /// Heard from since the quorum was last checked.
    pub is_active: bool,
    /// Append messages under way to it.
    pub inflight: u64,
    /// The index of the snapshot that is under way to it; 0: none.
    pub pending_snapshot: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgressState {
    /// Its log is being compared: one message at a time.
    #[default]
    Probe,
    /// Entries are streamed to it.
    Replicate,
    /// It lags too far behind: it is sent the whole store.
    Snapshot,
}

/// What members are called in the picture.
pub(super) fn member_names(cluster: &Cluster) -> Vec<(MemberId, String)> {
    let named = cluster.processes().iter().filter_map(|process| match &*process.role {
        Role::Etcd(member) => Some((member.peer().id, process.name.clone())),
        _ => None,
    });
    named.collect()
}

/// The name of member `id`, or its number where no process of the cluster has it.
pub(super) fn name_in(names: &[(MemberId, String)], id: MemberId) -> String {
    names.iter().find(|(other, _)| *other == id).map_or_else(|| id.to_string(), |(_, name)| name.clone())
}

/// The window into `member`'s room at `now`.
pub(super) fn etcd_member(
    cluster: &Cluster,
    process: &Process,
    member: &Member,
    is_running: bool,
    now: Time,
) -> EtcdMember {
    let view = member.view(now, LOG_ROWS);
    let names = member_names(cluster);
    let name = |id: MemberId| name_in(&names, id);
    let all = |ids: &Majority| ids.members().iter().map(|id| name(*id)).collect::<Vec<String>>();
    let machine = cluster.machines().get(process.host.0 as usize);
    let timeout_us = view.election_timeout.0.max(1);
    let mut shown = EtcdMember {
        name: process.name.clone(),
        id: member.peer().id.to_string(),
        actor: process.actor.0,
        host: machine.map_or(String::new(), |machine| machine.name.clone()),
        is_running: is_running && member.failure().is_empty(),
        failure: member.failure().to_string(),
        role: match () {
            () if member.is_removed() => "Removed",
            () if !member.failure().is_empty() => "Failed",
            () if is_running => "Joining",
            () => "Stopped",
        }
        .to_string(),
        is_learner: view.configuration.learners.contains(member.peer().id),
        term: view.hard_state.term,
        vote: view.hard_state.vote.map(name),
        first_index: view.first_index,
        last_index: view.last_index,
        persisted_index: view.stable,
        commit_index: view.committed,
        applied_index: view.applied,
        log: view.log.iter().map(log_entry).collect(),
        election_elapsed_per_mille: (view.election_elapsed.0 * 1000 / timeout_us).min(1000) as u32,
        election_timeout_us: view.election_timeout.0,
        voters: all(&view.configuration.voters.incoming),
        outgoing_voters: all(&view.configuration.voters.outgoing),
        learners: all(&view.configuration.learners),
        revision: view.revision,
        compact_revision: view.compacted,
        keys: view.keys,
        db_size_bytes: view.db_size_bytes,
        db_size_in_use_bytes: view.db_size_in_use_bytes,
        quota_bytes: view.quota_bytes,
        flags: member.flags.text(&member.usual_flags),
        alarms: view.alarms.iter().map(|(id, alarm)| format!("{}: {}", name(*id), alarm.name())).collect(),
        leases: view.leases as u64,
        watches: view.watches as u64,
        waiting: view.waiting as u64,
        is_writing: is_running && view.is_writing,
        disk_latency_us: view.disk_latency.0,
        ..EtcdMember::default()
    };
    if let Some(raft) = view.raft.filter(|_| is_running) {
        shown.role = if raft.is_learner { "Learner".into() } else { format!("{:?}", raft.role) };
        shown.term = raft.term;
        shown.vote = raft.vote.map(name);
        shown.leader = raft.lead.map(name);
        shown.transferee = raft.transferee.map(name);
        shown.votes = raft
            .votes
            .iter()
            .map(|(id, is_granted)| Vote { from: name(*id), is_granted: *is_granted })
            .collect();
        shown.peers = raft
            .progress
            .iter()
            .map(|peer| PeerProgress {
                name: name(peer.id),
                match_index: peer.matched,
                next_index: peer.next,
                state: match peer.state {
                    progress::ProgressState::Probe => ProgressState::Probe,
                    progress::ProgressState::Replicate => ProgressState::Replicate,
                    progress::ProgressState::Snapshot => ProgressState::Snapshot,
                },
                is_learner: peer.is_learner,
                is_paused: peer.is_paused,
                is_active: peer.recent_active,
                inflight: peer.inflights as u64,
                pending_snapshot: peer.pending_snapshot,
            })
            .collect();
    }
    shown
}

fn log_entry(row: &view::LogRow) -> LogEntry {
    LogEntry {
        index: row.index,
        term: row.term,
        what: row.what.to_string(),
        key: row.key.to_string(),
        state: match row.state {
            view::EntryState::InMemory => EntryState::InMemory,
            view::EntryState::OnDisk => EntryState::Persisted,
            view::EntryState::Committed => EntryState::Committed,
            view::EntryState::Applied => EntryState::Applied,
        },
    }
}
