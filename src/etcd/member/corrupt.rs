//! What a bad disk does, and the sums that find it (etcd's `server/etcdserver/corrupt.go`).
//!
//! Picture to hold in mind: every clerk adds up his ledger, and the head clerk compares the sums. Who has another sum
//! at the same line has a ledger that cannot be right; the bell is rung, and nobody writes until somebody has looked.
//! By default nobody adds up anything: it takes time, and it is off in etcd 3.6 too.
//!
//! Three checks, each by a flag: before a member starts, against the others (`InitialCorruptCheck`); now and then by
//! the leader (`--corrupt-check-time`), who takes his own sum for right; and of what was compacted
//! (`CompactHashCheck`), where the majority is. The log is a matter of its own: each line of it has a sum beside it,
//! which is looked at whenever the process starts.

use std::sync::Arc;

use super::{Flags, Member, REQUEST_TIMEOUT};
use crate::language::Context;
use crate::message::Message;
use crate::message::etcd::{Alarm, Error, Operation, Outcome, Proposal, Proposed, Request, Response};
use crate::message::raft::{MemberId, Payload};
use crate::sim::{Duration, Random, Time};
use crate::sorted::SortedMap;

/// So many sums of compactions are kept (`hashStorageMaxSize`).
const KEPT_HASHES: usize = 10;

/// A sum over all that is kept up to a revision, and what was compacted then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hash {
    hash: u32,
    revision: u64,
    compacted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Initial,
    Periodic,
    Compaction,
}

/// A comparison that is under way.
#[derive(Clone, Debug)]
pub(super) struct Check {
    kind: Kind,
    own: Hash,
    others: usize,
    /// Questions that are not answered yet, and to whom they went.
    asked: SortedMap<u64, MemberId>,
    /// Each with the revision at which that member stands by now.
    answers: Vec<(MemberId, u64, Hash)>,
    /// The question to itself that follows those to the others, after a proof that it still leads.
    last: Option<u64>,
    since: Time,
}

/// When a member compares next, and what it remembers for that.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    next: Time,
    next_of_compactions: Time,
    hashes: Vec<Hash>,
    /// The compaction up to which all were equal.
    checked: u64,
}

impl Monitor {
    pub fn new(flags: &Flags, now: Time) -> Monitor {
        let (next, next_of_compactions) =
            (now + flags.corrupt_check_time, now + flags.compact_hash_check_time);
        Monitor { next, next_of_compactions, hashes: Vec::new(), checked: 0 }
    }
}

impl Member {
    /// Whether there is anything on the disk that could go bad.
    pub fn has_data(&self) -> bool {
        !self.disk.entries().is_empty() || self.backend.store.live_keys() > 0
    }
    /// A bit on the disk flips. While the process runs, one of a value in the database, which is read again and again;
    /// while it does not, one of the write-ahead log, if there is more of it than a snapshot: it is read at the start.
    pub fn corrupt_disk(&mut self, random: &mut Random) {
        let (first, second) = (random.next(), random.next());
        let entries = self.disk.entries();
        if self.is_running() || entries.is_empty() {
            self.backend.store.flip(first, second);
        } else {
            self.damaged = Some(entries.start() + first % entries.len() as u64);
        }
    }

    /// Whether its write-ahead log is one that it will not start with.
    pub fn has_damaged_log(&self) -> bool {
        self.damaged.is_some()
    }

    /// The sum at a revision: what was noted at a compaction, or what it is now (`HashStorage.HashByRev`).
    pub(super) fn hash_at(&self, revision: u64) -> Result<Outcome, Error> {
        let noted = self.running.as_ref().and_then(|running| {
            running.monitor.hashes.iter().find(|hash| hash.revision == revision).copied()
        });
        let Hash { hash, revision, compacted } = match noted {
            Some(hash) => hash,
            None => self.own_hash(revision)?,
        };
        Ok(Outcome::Hash { hash, revision, compact_revision: compacted })
    }
    fn own_hash(&self, revision: u64) -> Result<Hash, Error> {
        let store = &self.backend.store;
        let hash = store.hash(revision)?;
        let revision = if revision == 0 { store.revision() } else { revision };
        Ok(Hash { hash, revision, compacted: store.compacted() })
    }
    /// Adds up what a compaction is about to thin out. etcd does so whether the check is on or not; here it would be the
    /// dearest part of a compaction, so a member does it that would compare.
    pub(super) fn note_hash(&mut self, revision: u64) {
        let store = &self.backend.store;
        if !self.flags.compact_hash_check || revision <= store.compacted() {
            return;
        }
        if let (Ok(hash), Some(running)) = (self.own_hash(revision), &mut self.running) {
            let hashes = &mut running.monitor.hashes;
            hashes.insert(0, hash);
            hashes.truncate(KEPT_HASHES);
        }
    }

    /// Asks all others for their sums before anything is served.
    pub(super) fn check_before_start(&mut self, context: &mut Context) {
        // Answers to an earlier life's questions are told from those to this one's by the number.
        self.starts += 1;
        match self.own_hash(0) {
            Ok(own) => self.begin_check(Kind::Initial, own, context),
            Err(_) => self.begin(context),
        }
    }

    fn begin_check(&mut self, kind: Kind, own: Hash, context: &mut Context) {
        let others = self.backend.members.values().filter(|member| member.id != self.me.id.0);
        let others: Vec<_> = others
            .map(|member| (MemberId(member.id), self.directory.get(&member.peer_url).copied()))
            .collect();
        let (count, mut asked) = (others.len(), SortedMap::new());
        for (index, (id, actor)) in others.into_iter().enumerate() {
            let number = match self.running {
                Some(_) => self.number(),
                None => (self.starts << 40) + index as u64,
            };
            if let Some(actor) = actor {
                asked.insert(number, id);
                let request = Request { id: number, operation: Operation::HashKv { revision: own.revision } };
                context.send(actor, Message::EtcdRequest(Arc::new(request)));
            }
        }
        let since = context.now();
        self.check = Some(Check { kind, own, others: count, asked, answers: Vec::new(), last: None, since });
        self.advance_check(context);
    }

    /// Takes a sum that it asked for; false: it asked for something else.
    pub(super) fn hear_hash(&mut self, response: &Response, context: &mut Context) -> bool {
        let Some(check) = &mut self.check else { return false };
        let heard = match &response.result {
            Ok(Outcome::Hash { hash, revision, compact_revision }) => {
                Some(Hash { hash: *hash, revision: *revision, compacted: *compact_revision })
            }
            _ => None,
        };
        if check.last == Some(response.id) {
            // Who cannot prove that he leads says nothing.
            if let (Some(now), Some(check)) = (heard, self.check.take()) {
                self.judge(&check, now, response.revision, context);
            }
            self.check = None;
            return true;
        }
        let Some(member) = check.asked.remove(&response.id) else { return false };
        check.answers.extend(heard.map(|hash| (member, response.revision, hash)));
        self.advance_check(context);
        true
    }

    /// Goes on once all have answered, or have had their time.
    fn advance_check(&mut self, context: &mut Context) {
        let Some(check) = &self.check else { return };
        let is_late = context.now().since(check.since) >= REQUEST_TIMEOUT;
        if check.last.is_some() || !(check.asked.is_empty() || is_late) {
            return;
        }
        if check.kind == Kind::Periodic {
            let number = self.number();
            if let Some(check) = &mut self.check {
                check.last = Some(number);
            }
            let request = Request { id: number, operation: Operation::HashKv { revision: 0 } };
            self.queue_read(self.me.actor, Arc::new(request), context);
            return;
        }
        let Some(check) = self.check.take() else { return };
        match check.kind {
            Kind::Initial => {
                let differs =
                    |hash: &Hash| hash.hash != check.own.hash && hash.compacted == check.own.compacted;
                if check.answers.iter().any(|(_, _, hash)| differs(hash)) {
                    let why = format!("{} found data inconsistency with peers", self.me.id);
                    self.fail(&why, context);
                } else {
                    self.begin(context);
                }
            }
            _ => self.judge_compaction(&check, context),
        }
    }

    /// The leader takes its own sum for right (`PeriodicCheck`).
    fn judge(&mut self, check: &Check, now: Hash, revision: u64, context: &mut Context) {
        let own = &check.own;
        let is_mine = (now.revision, now.compacted) == (own.revision, own.compacted) && now.hash != own.hash;
        let is_wrong = |(_, its_revision, hash): &&(MemberId, u64, Hash)| {
            *its_revision > revision
                || hash.compacted > now.compacted
                || (hash.compacted == own.compacted && hash.hash != own.hash)
        };
        // Of several it names one, and the same each time.
        let culprit = check.answers.iter().filter(is_wrong).min_by_key(|(member, ..)| *member);
        match culprit {
            _ if is_mine => self.raise_corrupt(self.me.id, context),
            Some((member, ..)) => self.raise_corrupt(*member, context),
            None => {}
        }
    }

    /// The majority is right; without one nobody can say who is (`checkPeerHashes`).
    fn judge_compaction(&mut self, check: &Check, context: &mut Context) {
        let mut camps: SortedMap<u32, Vec<MemberId>> = [(check.own.hash, vec![self.me.id])].into();
        let comparable = check.answers.iter().filter(|(_, _, hash)| hash.compacted == check.own.compacted);
        let mut count = 0;
        for (member, _, hash) in comparable {
            count += 1;
            camps.entry(hash.hash).or_default().push(*member);
        }
        if camps.len() > 1 {
            let quorum = check.others.div_ceil(2) + 1;
            let majority = camps.iter().find(|(_, members)| members.len() >= quorum).map(|(hash, _)| *hash);
            match majority {
                None => self.raise_corrupt(MemberId(0), context),
                Some(majority) => {
                    camps.remove(&majority);
                    camps.into_values().flatten().for_each(|member| self.raise_corrupt(member, context));
                }
            }
        } else if count == check.others {
            if let Some(running) = &mut self.running {
                running.monitor.checked = running.monitor.checked.max(check.own.revision);
            }
        } else {
            // Somebody had not got that far: the compaction before may tell.
            self.compare_compaction(check.own.revision, context);
        }
    }

    /// Compares the latest compaction before revision `before` that has not been compared yet.
    fn compare_compaction(&mut self, before: u64, context: &mut Context) {
        let Some(running) = &self.running else { return };
        let Monitor { hashes, checked, .. } = &running.monitor;
        let own = hashes.iter().find(|hash| hash.revision < before && hash.revision > *checked).copied();
        if let Some(own) = own {
            self.begin_check(Kind::Compaction, own, context);
        }
    }

    fn raise_corrupt(&mut self, member: MemberId, context: &mut Context) {
        let number = self.number();
        let what = Proposed::RaiseAlarm { member, alarm: Alarm::Corrupt };
        let proposal = Proposal { member: self.me.id, number, size_bytes: 16, what };
        self.propose(Payload::Normal(Arc::new(proposal)), context);
    }

    /// At each stroke of the clock: gives up who does not answer, and begins a check that is due.
    pub(super) fn look_after_check(&mut self, context: &mut Context) {
        self.advance_check(context);
        let now = context.now();
        let Flags { corrupt_check_time, compact_hash_check, compact_hash_check_time, .. } = self.flags;
        let Some(running) = &mut self.running else { return };
        let is_free = self.check.is_none() && running.raft.is_leader();
        let monitor = &mut running.monitor;
        let is_due = |next: &mut Time, interval: Duration| {
            let is_due = *next <= now;
            if is_due {
                *next = now + interval;
            }
            is_due && is_free
        };
        if corrupt_check_time > Duration::ZERO && is_due(&mut monitor.next, corrupt_check_time) {
            if let Ok(own) = self.own_hash(0) {
                self.begin_check(Kind::Periodic, own, context);
            }
        } else if compact_hash_check && is_due(&mut monitor.next_of_compactions, compact_hash_check_time) {
            self.compare_compaction(u64::MAX, context);
        }
    }
}
