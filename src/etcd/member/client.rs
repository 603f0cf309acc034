//! Requests of clients, and their answers (etcd's `v3_server.go`).
//!
//! Picture to hold in mind: two queues at the counter. Whoever wants something written waits for the line of the
//! ledger. Whoever wants to read the truth waits for the leader's proof, and one proof serves all who were in the
//! queue when it was asked for. Who is content with what this clerk happens to know is served at once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::apply::must_be_proposed;
use super::{Member, REQUEST_TIMEOUT, Running};
use crate::etcd::raft::ReadState;
use crate::language::Context;
use crate::message::Message;
use crate::message::etcd::{
    Change, Error, Image, Operation, Outcome, Proposal, Proposed, Request, Response, Status, Txn,
};
use crate::message::raft::{MemberId, Payload};
use crate::sim::{ActorId, Duration, RecordId, Time};

/// A proof that does not come is asked for again.
const READ_INDEX_RETRY: Duration = Duration::from_millis(500);

/// Who waits for an entry to be applied, or for the leader's answer.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub client: ActorId,
    pub id: u64,
    pub cause: Option<RecordId>,
    pub since: Time,
}

/// Who waits for a read to be safe.
#[derive(Clone, Debug)]
struct Reader {
    client: ActorId,
    request: Arc<Request>,
    cause: Option<RecordId>,
    since: Time,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// They came after the proof that is under way was asked for.
    waiting: VecDeque<Reader>,
    /// The number of the proof that is under way, when it was asked for (last), and who waits for it.
    round: Option<(u64, Time, Vec<Reader>)>,
    /// Proved: to be answered once the index is applied.
    confirmed: Vec<(u64, Vec<Reader>)>,
}

impl Reads {
    pub(super) fn len(&self) -> usize {
        let in_round = self.round.as_ref().map_or(0, |(_, _, readers)| readers.len());
        self.waiting.len() + in_round + self.confirmed.iter().map(|(_, readers)| readers.len()).sum::<usize>()
    }
}

impl Member {
    pub(super) fn request(&mut self, client: ActorId, request: Arc<Request>, context: &mut Context) {
        let Some(running) = &self.running else { return };
        let (id, cause, since) = (request.id, context.cause(), context.now());
        let waiting = Waiting { client, id, cause, since };
        if must_be_proposed(&request) {
            if running.raft.is_learner() {
                self.reply(client, id, Err(Error::NotSupportedForLearner), context);
                return;
            }
            let size_bytes = size(&request);
            if let Err(error) = self.has_space(&request.operation, size_bytes, context) {
                self.reply(client, id, Err(error), context);
                return;
            }
            let request = self.with_lease_number(request, context);
            let number = self.wait(waiting);
            let proposal =
                Proposal { member: self.me.id, number, size_bytes, what: Proposed::Request(request) };
            self.propose(Payload::Normal(Arc::new(proposal)), context);
            return;
        }
        match &request.operation {
            Operation::Range(range) if !range.serializable => self.queue_read(client, request, context),
            Operation::Txn(_) | Operation::MemberList | Operation::Auth(_) => {
                self.queue_read(client, request, context);
            }
            Operation::Watch { .. } => self.open_watch(client, &request, context),
            Operation::CancelWatch { watch_id } => self.close_watch(client, *watch_id),
            Operation::Progress => {
                self.send_progress(client, context);
                self.reply(client, id, Ok(Outcome::Done), context);
            }
            Operation::LeaseKeepAlive { .. } | Operation::LeaseTimeToLive { .. } => {
                if running.raft.is_leader() && self.must_prove_to_renew(since) {
                    self.queue_read(client, request, context);
                } else if running.raft.is_leader() {
                    let result = self.ask_lessor(&request.operation, context);
                    self.reply(client, id, result, context);
                } else {
                    self.forward(waiting, &request, context);
                }
            }
            Operation::MemberAdd { .. } | Operation::MemberRemove { .. } | Operation::MemberUpdate { .. } => {
                self.propose_membership(waiting, &request.operation, context);
            }
            // Only the leader knows how far a learner is.
            Operation::MemberPromote { .. } if !running.raft.is_leader() => {
                self.forward(waiting, &request, context);
            }
            Operation::MemberPromote { .. } => {
                self.propose_membership(waiting, &request.operation, context);
            }
            Operation::Defragment => {
                self.database.defragment(&self.backend.store);
                // Nothing else is served meanwhile, in proportion to what is copied.
                let busy = Duration(2_000 + self.database.size_bytes() / 400);
                self.reply_after(busy, client, id, Ok(Outcome::Done), context);
            }
            Operation::Snapshot => {
                // The whole file goes over the wire.
                let busy = Duration(1_000 + self.database.size_bytes() / 100);
                let result = self.read(&request.operation);
                self.reply_after(busy, client, id, result, context);
            }
            Operation::MoveLeader { target } => self.move_leader(waiting, MemberId(*target), context),
            _ => {
                let result = self.read(&request.operation);
                self.reply(client, id, result, context);
            }
        }
    }

    /// Gives a lease that is to be granted the next number of this member: two bytes of its own, the milliseconds, and
    /// a count (`pkg/idutil`).
    fn with_lease_number(&mut self, request: Arc<Request>, context: &Context) -> Arc<Request> {
        let Operation::LeaseGrant { lease: 0, ttl_seconds } = request.operation else { return request };
        let count = self.number();
        let millis = crate::api::time::unix_us(context.now()).div_euclid(1000).unsigned_abs();
        let number =
            ((self.me.id.0 & 0x7fff) << 48) | ((millis << 8).wrapping_add(count & 0xff) & 0xffff_ffff_ffff);
        let operation = Operation::LeaseGrant { lease: number as i64, ttl_seconds };
        Arc::new(Request { id: request.id, operation })
    }

    /// Puts somebody into a pigeonhole; its number.
    pub(super) fn wait(&mut self, waiting: Waiting) -> u64 {
        let number = self.number();
        if let Some(running) = &mut self.running {
            running.waiting.insert(number, waiting);
        }
        number
    }
    /// Answers whoever waits in pigeonhole `number`, if anybody still does.
    pub(super) fn answer(&mut self, number: u64, result: Result<Outcome, Error>, context: &mut Context) {
        let Some(waiting) = self.running.as_mut().and_then(|running| running.waiting.remove(&number)) else {
            return;
        };
        self.reply(waiting.client, waiting.id, result, context);
    }
    pub(super) fn reply(
        &self,
        client: ActorId,
        id: u64,
        result: Result<Outcome, Error>,
        context: &mut Context,
    ) {
        self.reply_after(Duration::ZERO, client, id, result, context);
    }
    fn reply_after(
        &self,
        delay: Duration,
        client: ActorId,
        id: u64,
        result: Result<Outcome, Error>,
        context: &mut Context,
    ) {
        let Some(running) = &self.running else { return };
        let response = Response {
            id,
            revision: self.backend.store.revision(),
            cluster: self.cluster,
            member: self.me.id.0,
            raft_term: running.raft.term(),
            result,
        };
        context.send_after(delay, client, Message::EtcdResponse(Arc::new(response)));
    }

    /// Has the leader answer; this member is its client then.
    fn forward(&mut self, waiting: Waiting, request: &Request, context: &mut Context) {
        let Some(running) = &self.running else { return };
        let leader = running.raft.lead().and_then(|lead| running.peers.get(&lead).copied());
        let Some(leader) = leader else {
            self.reply(waiting.client, waiting.id, Err(Error::NoLeader), context);
            return;
        };
        let number = self.wait(waiting);
        let request = Request { id: number, operation: request.operation.clone() };
        context.send(leader, Message::EtcdRequest(Arc::new(request)));
    }
    pub(super) fn forward_answer(&mut self, response: &Response, context: &mut Context) {
        self.answer(response.id, response.result.clone(), context);
    }

    pub(super) fn queue_read(&mut self, client: ActorId, request: Arc<Request>, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if running.raft.is_learner() {
            self.reply(client, request.id, Err(Error::NotSupportedForLearner), context);
            return;
        }
        let reader = Reader { client, request, cause: context.cause(), since: context.now() };
        running.reads.waiting.push_back(reader);
        self.next_round(context);
    }

    /// Asks for the next proof, for everybody who waits for one.
    fn next_round(&mut self, context: &mut Context) {
        let number = self.number();
        let Some(Running { reads, raft, .. }) = &mut self.running else { return };
        if reads.round.is_none() && !reads.waiting.is_empty() {
            reads.round = Some((number, context.now(), reads.waiting.drain(..).collect()));
            // Without a leader it is tried again later.
            raft.read_index(number);
        }
    }
    pub(super) fn read_confirmed(&mut self, read: ReadState) {
        let Some(Running { reads, .. }) = &mut self.running else { return };
        // A late answer to a question that has been given up proves nothing about a later one.
        if let Some((_, _, readers)) = reads.round.take_if(|(number, _, _)| *number == read.request) {
            reads.confirmed.push((read.index, readers));
        }
    }
    pub(super) fn answer_reads(&mut self, context: &mut Context) {
        let applied = self.applied;
        let Some(Running { reads, .. }) = &mut self.running else { return };
        if reads.confirmed.is_empty() && (reads.round.is_some() || reads.waiting.is_empty()) {
            return;
        }
        let ready: Vec<_> = reads.confirmed.extract_if(.., |(index, _)| *index <= applied).collect();
        for reader in ready.into_iter().flat_map(|(_, readers)| readers) {
            let operation = &reader.request.operation;
            let result = match operation {
                Operation::LeaseKeepAlive { .. } | Operation::LeaseTimeToLive { .. } => {
                    self.ask_lessor(operation, context)
                }
                _ => self.read(operation),
            };
            self.reply(reader.client, reader.request.id, result, context);
        }
        self.next_round(context);
    }

    /// What this member knows now.
    fn read(&self, operation: &Operation) -> Result<Outcome, Error> {
        let store = &self.backend.store;
        match operation {
            Operation::Range(range) => store.range(range).map(Outcome::Range),
            Operation::Txn(txn) => {
                store.read_txn(txn).map(|(succeeded, results)| Outcome::Txn { succeeded, results })
            }
            Operation::MemberList | Operation::MembersKnown => {
                Ok(Outcome::Members(self.backend.members.values().cloned().collect()))
            }
            Operation::LeaseList => Ok(Outcome::Leases(store.leases().map(|(lease, _)| lease).collect())),
            Operation::HashKv { revision } => self.hash_at(*revision),
            Operation::Snapshot => Ok(Outcome::Snapshot {
                image: Image(Arc::new(self.backend.clone())),
                size_bytes: self.database.size_bytes(),
                version: self.backend.cluster_version.clone(),
            }),
            Operation::Auth(request) => self.backend.auth.read(request).map(Outcome::Auth),
            Operation::Status => Ok(Outcome::Status(Box::new(self.member_status()))),
            _ => Ok(Outcome::Done),
        }
    }

    fn member_status(&self) -> Status {
        let raft = self.running.as_ref().map(|running| running.raft.status());
        let leader = raft.as_ref().and_then(|raft| raft.lead).map_or(0, |lead| lead.0);
        let mut errors = Vec::new();
        if leader == 0 {
            errors.push(arcstr::literal!("etcdserver: no leader"));
        }
        let alarms = self.backend.alarms.iter();
        errors.extend(alarms.map(|(id, alarm)| arcstr::format!("memberID:{} alarm:{} ", id.0, alarm.name())));
        Status {
            version: self.version.clone(),
            storage_version: self.backend.cluster_version.clone(),
            leader,
            is_learner: raft.as_ref().is_some_and(|raft| raft.is_learner),
            raft_index: raft.as_ref().map_or(0, |raft| raft.committed),
            applied_index: self.applied,
            db_size_bytes: self.database.size_bytes(),
            db_size_in_use_bytes: self.database.in_use_bytes(&self.backend.store),
            db_size_quota_bytes: self.quota_bytes,
            errors,
        }
    }

    /// Nobody waits for ever; and a proof that did not come is asked for again.
    pub(super) fn time_out(&mut self, context: &mut Context) {
        let now = context.now();
        let is_over = |since: Time| now.since(since) >= REQUEST_TIMEOUT;
        let Some(Running { reads, waiting, raft, unproposed, .. }) = &mut self.running else { return };
        let mut late: Vec<(ActorId, u64, Option<RecordId>)> = Vec::new();
        // Numbers grow with time, so the oldest come first.
        while waiting.first_key_value().is_some_and(|(_, first)| is_over(first.since)) {
            let Some((_, first)) = waiting.pop_first() else { break };
            late.push((first.client, first.id, first.cause));
        }
        unproposed.retain(|payload| match payload {
            Payload::Normal(proposal) => waiting.contains_key(&proposal.number),
            _ => false,
        });
        let mut give_up = |reader: &Reader| {
            let is_over = is_over(reader.since);
            if is_over {
                late.push((reader.client, reader.request.id, reader.cause));
            }
            !is_over
        };
        reads.waiting.retain(&mut give_up);
        reads.confirmed.iter_mut().for_each(|(_, readers)| readers.retain(&mut give_up));
        if let Some((number, asked, readers)) = &mut reads.round {
            readers.retain(&mut give_up);
            if readers.is_empty() {
                reads.round = None;
            } else if now.since(*asked) >= READ_INDEX_RETRY {
                *asked = now;
                raft.read_index(*number);
            }
        }
        for (client, id, cause) in late {
            context.because(cause, |context| self.reply(client, id, Err(Error::TimedOut), context));
        }
        self.next_round(context);
    }

    pub(super) fn waiting_count(&self) -> usize {
        let count = |running: &Running| running.waiting.len() + running.reads.len();
        self.running.as_ref().map_or(0, count)
    }
}

/// How many bytes a request takes in the log, roughly: values are shared trees, so they are not measured.
fn size(request: &Request) -> u64 {
    const VALUE: u64 = 1024;
    let of = |change: &Change| match change {
        Change::Put { key, .. } | Change::Update { key, .. } => key.len() as u64 + VALUE,
        Change::Delete { key, .. } => key.len() as u64,
        Change::Range(range) => range.key.len() as u64,
    };
    match &request.operation {
        Operation::Txn(Txn { success, failure, .. }) => success.iter().chain(failure).map(of).sum(),
        _ => 16,
    }
}
