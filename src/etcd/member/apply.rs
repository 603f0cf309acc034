//! What an entry does once it is committed (etcd's `server/etcdserver/apply`).
//!
//! Picture to hold in mind: the clerk carries out one line after the other, exactly as every other clerk does. Only
//! one of them has somebody at his counter who waits for that line; he turns round and tells him.

use super::{Member, Running};
use crate::language::Context;
use crate::message::etcd::{Error, Operation, Outcome, Proposed, Replicated, Request};
use crate::message::raft::{Entry, MemberId, Payload, Snapshot};

use super::Backend;
use super::lessor::granted_ttl;
use super::space::{Database, needs_space};

impl Member {
    pub(super) fn apply(&mut self, entry: &Entry<Replicated>, context: &mut Context) {
        let before = self.backend.store.revision();
        let origin = self.running.as_mut().and_then(|running| running.take_origin(entry.index));
        let cause = origin.or(context.cause());
        context.because(cause, |context| {
            match &entry.payload {
                Payload::Empty => {}
                Payload::Normal(proposal) => {
                    let result = self.carry_out(&proposal.what, context);
                    if changes_file(&proposal.what) {
                        self.database.write(&self.backend.store);
                    }
                    self.tell_watchers(before, context);
                    if proposal.member == self.me.id {
                        self.answer(proposal.number, result, context);
                    }
                }
                Payload::ConfChange(change) => self.change_membership(change, context),
            }
            self.applied = entry.index;
            if let Some(running) = &mut self.running {
                running.raft.applied_to(entry.index);
            }
        });
    }

    fn carry_out(&mut self, what: &Proposed, context: &Context) -> Result<Outcome, Error> {
        let (is_full, is_corrupt) = (self.backend.is_full(), self.backend.is_corrupt());
        let store = &mut self.backend.store;
        match what {
            Proposed::Request(request) => match &request.operation {
                // While an alarm is on, all members refuse alike (`applierV3Corrupt`, `applierV3Capped`). Reads do not
                // come through the log, and are answered.
                Operation::Txn(_)
                | Operation::Compact { .. }
                | Operation::LeaseGrant { .. }
                | Operation::LeaseRevoke { .. }
                    if is_corrupt =>
                {
                    Err(Error::Corrupt)
                }
                operation if is_full && needs_space(operation) => Err(Error::NoSpace),
                Operation::Txn(txn) => {
                    store.txn(txn).map(|(succeeded, results)| Outcome::Txn { succeeded, results })
                }
                Operation::LeaseGrant { lease, ttl_seconds } => {
                    let (lease, ttl_seconds) = (*lease, granted_ttl(*ttl_seconds));
                    store.grant(lease, ttl_seconds)?;
                    if let Some(running) = &mut self.running {
                        running.lessor.renew(lease, ttl_seconds, context.now());
                    }
                    Ok(Outcome::Lease { lease, ttl_seconds })
                }
                Operation::LeaseRevoke { lease } => self.end_lease(*lease),
                Operation::Compact { revision } => {
                    let revision = *revision;
                    self.note_hash(revision);
                    self.backend.store.compact(revision).map(|()| Outcome::Compacted)
                }
                Operation::Auth(request) => self.backend.auth.apply(request).map(Outcome::Auth),
                // Even to ask goes through the log.
                Operation::AlarmList => {
                    let alarms = self.backend.alarms.iter().map(|(id, alarm)| (id.0, *alarm));
                    Ok(Outcome::Alarms(alarms.collect()))
                }
                Operation::AlarmActivate { member, alarm } => {
                    self.backend.change_alarm(MemberId(*member), *alarm, true);
                    Ok(Outcome::Alarms(vec![(*member, *alarm)]))
                }
                Operation::AlarmDisarm { member, alarm } => {
                    let before = self.backend.alarms.clone();
                    self.backend.change_alarm(MemberId(*member), *alarm, false);
                    let gone = before.difference(&self.backend.alarms).map(|(id, alarm)| (id.0, *alarm));
                    Ok(Outcome::Alarms(gone.collect()))
                }
                _ => Ok(Outcome::Done),
            },
            Proposed::Expired { .. } if is_corrupt => Err(Error::Corrupt),
            Proposed::Expired { lease } => self.end_lease(*lease),
            Proposed::Checkpoint(leases) => {
                for (lease, remaining_seconds) in leases {
                    store.checkpoint(*lease, *remaining_seconds);
                }
                Ok(Outcome::Done)
            }
            Proposed::RaiseAlarm { member, alarm } => {
                self.backend.change_alarm(*member, *alarm, true);
                Ok(Outcome::Done)
            }
            Proposed::Publish { member, name, client_url } => {
                if let Some(member) = self.backend.members.get_mut(member) {
                    member.name = name.clone();
                    member.client_url = client_url.clone();
                }
                Ok(Outcome::Done)
            }
            Proposed::ClusterVersion(version) => {
                self.backend.cluster_version = version.clone();
                Ok(Outcome::Done)
            }
        }
    }

    fn end_lease(&mut self, lease: i64) -> Result<Outcome, Error> {
        self.backend.store.revoke(lease)?;
        if let Some(running) = &mut self.running {
            running.lessor.forget(lease);
        }
        Ok(Outcome::Done)
    }

    /// Takes over the leader's state in place of entries that the leader no longer has.
    pub(super) fn install(&mut self, snapshot: &Snapshot<Replicated>, context: &mut Context) {
        let Some(backend) = snapshot.data.0.downcast_ref::<Backend>() else { return };
        let before = self.backend.store.revision();
        self.backend = backend.clone();
        self.database = Database::default();
        self.database.open(&self.backend.store);
        self.applied = snapshot.last.index;
        self.configuration = snapshot.configuration.clone();
        self.look_up_peers();
        if let Some(running) = &mut self.running {
            running.origins.retain(|index, _| *index > snapshot.last.index);
        }
        // Watchers missed what the snapshot stands for; its history tells them, as far as it goes back.
        self.tell_watchers(before, context);
        self.answer_reads(context);
    }
}

/// Whether an entry writes to the database file; to ask for the alarms goes through the log and writes nothing.
fn changes_file(what: &Proposed) -> bool {
    !matches!(what, Proposed::Request(request) if matches!(request.operation, Operation::AlarmList))
}

/// Whether a request changes something and so must go through the log.
pub(super) fn must_be_proposed(request: &Request) -> bool {
    match &request.operation {
        Operation::Txn(txn) => !crate::etcd::store::Store::is_read_only(txn),
        Operation::Auth(request) => !request.is_read(),
        Operation::LeaseGrant { .. }
        | Operation::LeaseRevoke { .. }
        | Operation::Compact { .. }
        | Operation::AlarmList
        | Operation::AlarmActivate { .. }
        | Operation::AlarmDisarm { .. } => true,
        _ => false,
    }
}

impl Running {
    /// What had the entry at `index` committed.
    fn take_origin(&mut self, index: u64) -> Option<crate::sim::RecordId> {
        let origin = self.origins.range(index..).next().map(|(_, cause)| *cause);
        self.origins = self.origins.split_off(&(index + 1));
        origin
    }
}
