//! How big the database is, and what happens when it is full (`server/storage/quota.go`, `backend.go`).
//!
//! Picture to hold in mind: a stack of sheets. Nothing is written over: a change takes free sheets and sets others
//! free, and compaction sets many free at once; but the stack gets no lower by that. Only defragmentation copies what
//! counts to a new stack. A member whose stack is as high as its shelf raises the alarm, and then nobody takes
//! anything that needs paper until the alarm is disarmed.

use std::sync::Arc;

use super::{Backend, Member};
use crate::etcd::store::Store;
use crate::language::Context;
use crate::message::etcd::{Alarm, Change, Error, Operation, Proposal, Proposed};
use crate::message::raft::{MemberId, Payload};

/// `--quota-backend-bytes` of etcd when it is not given.
pub const QUOTA_BYTES: u64 = 2 << 30;
const PAGE_BYTES: u64 = 4096;
/// A page of keys is split when it is nine tenths full.
const FILL_BYTES: u64 = PAGE_BYTES * 9 / 10;
/// bbolt's two meta pages, and what the rest of the buckets take.
const FIXED_PAGES: u64 = 2;

/// A member's own file: what is in it is the same everywhere, how loosely it is packed is not.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    /// The highest page that was ever used since the file was made.
    high: u64,
    /// A change has set pages free since the file was packed.
    is_loose: bool,
}

fn key_pages(store: &Store) -> u64 {
    store.bytes().div_ceil(FILL_BYTES).max(1)
}

impl Database {
    /// What is there when a process opens its file.
    pub fn open(&mut self, store: &Store) {
        self.high = self.high.max(FIXED_PAGES + key_pages(store) + 2);
    }
    /// A change was written: it took new pages before it set the old ones free.
    pub fn write(&mut self, store: &Store) {
        self.is_loose = true;
        self.open(store);
    }
    /// Copies what counts to a new file.
    pub fn defragment(&mut self, store: &Store) {
        *self = Database::default();
        self.open(store);
    }
    pub fn size_bytes(&self) -> u64 {
        self.high * PAGE_BYTES
    }
    pub fn in_use_bytes(&self, store: &Store) -> u64 {
        (FIXED_PAGES + key_pages(store) + u64::from(self.is_loose)) * PAGE_BYTES
    }
}

/// Whether an operation takes space that is not given back.
pub(super) fn needs_space(operation: &Operation) -> bool {
    match operation {
        Operation::Txn(txn) => txn
            .success
            .iter()
            .chain(&txn.failure)
            .any(|change| matches!(change, Change::Put { .. } | Change::Update { .. })),
        Operation::LeaseGrant { .. } => true,
        _ => false,
    }
}

impl Backend {
    pub fn is_full(&self) -> bool {
        self.alarms.iter().any(|(_, alarm)| *alarm == Alarm::NoSpace)
    }
    /// A member's data was found wrong: nothing is written any more.
    pub fn is_corrupt(&self) -> bool {
        self.alarms.iter().any(|(_, alarm)| *alarm == Alarm::Corrupt)
    }
    pub fn change_alarm(&mut self, member: MemberId, alarm: Alarm, is_raised: bool) {
        if is_raised {
            self.alarms.insert((member, alarm));
        } else {
            self.alarms.retain(|(other, kind)| *kind != alarm || (member.0 != 0 && *other != member));
        }
    }
}

impl Member {
    /// Refuses what does not fit any more, and tells the others that the shelf is full.
    pub(super) fn has_space(
        &mut self,
        operation: &Operation,
        size_bytes: u64,
        context: &mut Context,
    ) -> Result<(), Error> {
        if !needs_space(operation) || self.database.size_bytes() + size_bytes < self.quota_bytes {
            return Ok(());
        }
        if !self.backend.alarms.contains(&(self.me.id, Alarm::NoSpace)) {
            let number = self.number();
            let what = Proposed::RaiseAlarm { member: self.me.id, alarm: Alarm::NoSpace };
            let proposal = Proposal { member: self.me.id, number, size_bytes: 16, what };
            self.propose(Payload::Normal(Arc::new(proposal)), context);
        }
        Err(Error::NoSpace)
    }
}
