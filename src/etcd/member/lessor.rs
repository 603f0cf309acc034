//! The time of leases, which only the leader keeps (etcd's `server/lease/lessor.go`).
//!
//! Picture to hold in mind: hourglasses on the leader's desk, one a lease. A keep-alive turns one over; that is not
//! written into the ledger. When the sand has run out, the leader proposes to end the lease, and it ends when that
//! is committed. A new leader turns all of them over first: a lease may last too long, but never too short.

use std::sync::Arc;

use super::{ELECTION_TICKS, Member, TICK};
use crate::etcd::store::Store;
use crate::language::Context;
use crate::message::etcd::{Error, Operation, Outcome, Proposal, Proposed};
use crate::message::raft::Payload;
use crate::sim::{Duration, Time};
use crate::sorted::{SortedMap, SortedSet};

/// The hourglasses are looked at so often.
const CHECK_TICKS: u64 = 5;
/// The end of a lease that was proposed and has not come about is proposed again.
const RETRY: Duration = Duration::from_secs(3);
/// Ends proposed at a time at most (`leaseRevokeRate`).
const ENDS_AT_A_TIME: usize = 500;

/// A member whose clock has not struck for so long has stood still (`isActive`).
pub(super) const ACTIVE: Duration = Duration(3 * TICK.0);
/// By then a leader that has no quorum any more has found that out.
pub(super) const DOUBT: Duration = Duration(2 * ELECTION_TICKS as u64 * TICK.0);

/// How often it is noted what is left of leases that are longer than that, where `LeaseCheckpoint` is on: by default it is
/// off, and each new leader turns the hourglasses over anew.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// The shortest lease: longer than an election, or every election would end it.
pub(super) fn granted_ttl(ttl_seconds: u64) -> u64 {
    let election = TICK.saturating_mul(u64::from(ELECTION_TICKS) * 3 / 2);
    ttl_seconds.max(election.as_micros().div_ceil(1_000_000))
}

#[derive(Clone, Debug, Default)]
pub(super) struct Lessor {
    /// Only a leader has any.
    ends: SortedMap<i64, Time>,
    /// Their time is over, and their end is proposed: nobody can turn these over any more.
    over: SortedSet<i64>,
    /// When what is left of a long lease is noted next.
    checkpoints: SortedMap<i64, Time>,
    is_leader: bool,
}

impl Lessor {
    pub fn promote(&mut self, store: &Store, now: Time) {
        self.is_leader = true;
        // Time went by while there was no leader to renew with.
        let election = TICK.saturating_mul(u64::from(ELECTION_TICKS));
        self.checkpoints.clear();
        self.over.clear();
        for (id, lease) in store.leases() {
            // Where it was noted what is left, that much is left.
            let left = if lease.remaining_seconds > 0 { lease.remaining_seconds } else { lease.ttl_seconds };
            self.ends.insert(id, now + Duration::from_secs(left) + election);
            self.schedule_checkpoint(id, now);
        }
    }
    pub fn demote(&mut self) {
        self.is_leader = false;
        self.ends.clear();
        self.checkpoints.clear();
        self.over.clear();
    }
    pub fn renew(&mut self, lease: i64, ttl_seconds: u64, now: Time) {
        if self.is_leader {
            self.ends.insert(lease, now + Duration::from_secs(ttl_seconds));
            self.schedule_checkpoint(lease, now);
        }
    }
    pub fn forget(&mut self, lease: i64) {
        self.ends.remove(&lease);
        self.over.remove(&lease);
        self.checkpoints.remove(&lease);
    }
    fn schedule_checkpoint(&mut self, lease: i64, now: Time) {
        let left = self.ends.get(&lease).map_or(Duration::ZERO, |end| end.since(now));
        if left > CHECKPOINT_INTERVAL {
            self.checkpoints.insert(lease, now + CHECKPOINT_INTERVAL);
        } else {
            self.checkpoints.remove(&lease);
        }
    }
    /// What is left of the leases whose checkpoint is due.
    fn take_checkpoints(&mut self, now: Time) -> Vec<(i64, u64)> {
        let due: Vec<i64> =
            self.checkpoints.iter().filter(|(_, at)| **at <= now).map(|(lease, _)| *lease).collect();
        let mut notes = Vec::with_capacity(due.len());
        for lease in due {
            if let Some(end) = self.ends.get(&lease) {
                notes.push((lease, end.since(now).as_secs().max(1)));
            }
            self.schedule_checkpoint(lease, now);
        }
        notes
    }
    fn take_expired(&mut self, now: Time) -> Vec<i64> {
        let expired = self.ends.iter().filter(|(_, end)| **end <= now).map(|(lease, _)| *lease);
        let expired: Vec<i64> = expired.take(ENDS_AT_A_TIME).collect();
        for lease in &expired {
            self.ends.insert(*lease, now + RETRY);
            self.over.insert(*lease);
        }
        expired
    }
}

impl Member {
    pub(super) fn expire_leases(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if !running.ticks.is_multiple_of(CHECK_TICKS) {
            return;
        }
        let expired = running.lessor.take_expired(context.now());
        let notes = match self.flags.lease_checkpoint {
            true => running.lessor.take_checkpoints(context.now()),
            false => Vec::new(),
        };
        let mut proposed: Vec<Proposed> =
            expired.into_iter().map(|lease| Proposed::Expired { lease }).collect();
        if !notes.is_empty() {
            proposed.push(Proposed::Checkpoint(notes));
        }
        for what in proposed {
            let number = self.number();
            let proposal = Proposal { member: self.me.id, number, size_bytes: 16, what };
            self.propose(Payload::Normal(Arc::new(proposal)), context);
        }
    }

    /// Whether this process stood still lately: another may lead since, whose hourglasses it does not see. Then a
    /// lease is only renewed after the proof that it still leads (`ensureLeadership`).
    ///
    /// Nor does it renew before it has applied an entry of its own term: the end of the lease may stand before that,
    /// proposed by the leader before it. etcd does not wait for that, and may end a lease that it has just renewed.
    pub(super) fn must_prove_to_renew(&self, now: Time) -> bool {
        self.running.as_ref().is_some_and(|running| {
            let has_applied = running.raft.log().term(self.applied) == Some(running.raft.term());
            now < running.doubtful_until || now.since(running.last_tick) > ACTIVE || !has_applied
        })
    }

    /// What only the leader can answer about a lease.
    pub(super) fn ask_lessor(
        &mut self,
        operation: &Operation,
        context: &mut Context,
    ) -> Result<Outcome, Error> {
        let now = context.now();
        let Some(running) = &mut self.running else { return Err(Error::NotLeader) };
        if !running.raft.is_leader() {
            return Err(Error::NotLeader);
        }
        match operation {
            Operation::LeaseKeepAlive { lease } => {
                let lease = *lease;
                let found = self.backend.store.lease(lease).ok_or(Error::LeaseNotFound)?;
                // etcd has the client wait for the end that is proposed, and then says the same.
                if running.lessor.over.contains(&lease) {
                    return Err(Error::LeaseNotFound);
                }
                let (ttl_seconds, is_noted) = (found.ttl_seconds, found.remaining_seconds > 0);
                running.lessor.renew(lease, ttl_seconds, now);
                if is_noted && self.flags.lease_checkpoint {
                    // The note would make the next leader end it too early.
                    let number = self.number();
                    let what = Proposed::Checkpoint(vec![(lease, 0)]);
                    let proposal = Proposal { member: self.me.id, number, size_bytes: 16, what };
                    self.propose(Payload::Normal(Arc::new(proposal)), context);
                }
                Ok(Outcome::Lease { lease, ttl_seconds })
            }
            Operation::LeaseTimeToLive { lease } => {
                let found = self.backend.store.lease(*lease);
                let end = running.lessor.ends.get(lease).copied();
                let remaining = end.map_or(-1, |end| end.since(now).as_secs() as i64);
                Ok(Outcome::LeaseTimeToLive {
                    lease: *lease,
                    remaining_seconds: if found.is_some() { remaining } else { -1 },
                    granted_seconds: found.map_or(0, |lease| lease.ttl_seconds),
                    keys: found
                        .map(|lease| lease.keys.iter().map(|(key, ())| key.clone()).collect())
                        .unwrap_or_default(),
                })
            }
            _ => Ok(Outcome::Done),
        }
    }
}
