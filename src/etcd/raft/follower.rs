//! What followers and candidates do: write what the leader sends, or count votes (`stepFollower`,
//! `stepCandidate`).
//!
//! Picture to hold in mind: the follower lays the leader's page beside his own ledger. If the line before the
//! page agrees, whatever contradicts it below is struck out and the page copied; if not, he says where the
//! two may last have agreed.

use std::sync::Arc;

use super::event::Event;
use super::machine::{Campaign, Raft, Role};
use super::read::ReadState;
use crate::message::raft::{Application, Body, Entry, EntryId, MemberId, Message, Rejection, Snapshot};

impl<A: Application> Raft<A> {
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn step_follower(&mut self, message: Message<A>) {
        let from = message.from;
        match message.body {
            Body::App { previous, entries, commit } => {
                self.hear_leader(from);
                self.append_entries(from, previous, &entries, commit);
            }
            Body::Heartbeat { commit, context } => {
                self.hear_leader(from);
                self.log.commit_to(commit);
                self.send(from, Body::HeartbeatResp { context });
            }
            Body::Snap { snapshot } => {
                self.hear_leader(from);
                self.receive_snapshot(from, snapshot);
            }
            Body::PreVoteResp { rejected } if self.role == Role::PreCandidate => {
                self.count_vote(from, !rejected);
            }
            Body::VoteResp { rejected } if self.role == Role::Candidate => self.count_vote(from, !rejected),
            Body::TimeoutNow => {
                self.events.push(Event::ReceivedTimeoutNow { from, term: self.term, role: self.role });
                if self.role == Role::Follower {
                    // No pre-vote: the leader itself wants this election.
                    self.hup(Campaign::Transfer);
                }
            }
            Body::ReadIndexResp { index, request } => self.reads.push(ReadState { index, request }),
            // Meant for a leader: it is passed on, or dropped where none is known.
            Body::Prop { payloads } => {
                let _ = self.propose(payloads);
            }
            Body::TransferLeader { transferee } => self.transfer_leadership(transferee),
            _ => {}
        }
    }

    /// Whoever sends entries or heartbeats in this term is its leader.
    fn hear_leader(&mut self, from: MemberId) {
        if self.role == Role::Follower {
            self.election_elapsed = 0;
            self.lead = Some(from);
        } else {
            self.become_follower(self.term, Some(from));
        }
    }

    fn append_entries(&mut self, from: MemberId, previous: EntryId, entries: &[Entry<A>], commit: u64) {
        if previous.index < self.log.committed {
            // Old news: all that is committed agrees anyway.
            self.send(from, Body::AppResp { index: self.log.committed, rejected: None });
        } else if let Some(index) = self.log.maybe_append(previous, entries, commit) {
            self.send(from, Body::AppResp { index, rejected: None });
        } else {
            let our_term = self.log.term(previous.index).unwrap_or_default();
            self.events.push(Event::RejectedAppend { from, previous, our_term });
            let hint = self.log.find_conflict_by_term(previous.index, previous.term);
            let rejected = Some(Rejection { hint });
            self.send(from, Body::AppResp { index: previous.index, rejected });
        }
    }

    fn receive_snapshot(&mut self, from: MemberId, snapshot: Arc<Snapshot<A>>) {
        let last = snapshot.last;
        let index = if self.restore(snapshot) {
            self.events.push(Event::RestoredSnapshot { snapshot: last, commit: self.log.committed });
            self.log.last_index()
        } else {
            self.events.push(Event::IgnoredSnapshot { snapshot: last, commit: self.log.committed });
            self.log.committed
        };
        self.send(from, Body::AppResp { index, rejected: None });
    }

    fn restore(&mut self, snapshot: Arc<Snapshot<A>>) -> bool {
        if snapshot.last.index <= self.log.committed || !snapshot.configuration.contains(self.config.id) {
            return false;
        }
        if self.log.matches(snapshot.last) {
            // All of it is here already: it only says that it is committed.
            self.log.commit_to(snapshot.last.index);
            return false;
        }
        let configuration = snapshot.configuration.clone();
        self.log.restore(snapshot);
        self.tracker.progress = configuration.fresh_progress(self.log.last_index());
        self.switch_to(configuration);
        true
    }
}
