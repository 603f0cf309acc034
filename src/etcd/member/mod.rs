//! One member of etcd: Raft, the store, a disk, and clients at the counter (etcd's `server/etcdserver`).
//!
//! Picture to hold in mind: a clerk with a pigeonhole for every question that is not answered yet. A question that
//! changes something becomes a line of the ledger, and is answered when that line has been copied by a majority and
//! carried out here. A question that only asks waits until the leader has proved that he still leads. Then the
//! power fails: the ledger is there in the morning, the pigeonholes are empty, and whoever stood at the counter
//! waits until his patience ends.
//!
//! - [`apply`] what an entry that is committed does
//! - [`client`] requests and answers; reads
//! - [`membership`] who is a member, and how that is changed by clients
//! - [`flags`] what it is started with
//! - [`joining`] how a new member finds those that it belongs to
//! - [`space`] how big the database is, and what happens when it is full
//! - [`corrupt`] what a bad disk does, and the sums that find it
//! - [`lessor`] the time of leases, which only the leader keeps
//! - [`watch`] who is told what changes
//! - [`view`] what can be seen

mod apply;
mod client;
mod corrupt;
mod flags;
mod joining;
mod lessor;
mod membership;
mod space;
pub mod view;
mod watch;

use std::sync::Arc;

use self::client::{Reads, Waiting};
use self::corrupt::{Check, Monitor};
use self::joining::Joining;
use self::lessor::Lessor;
use self::space::Database;
use self::watch::Watches;
use super::auth::AuthStore;
use super::identity::cluster_id;
use super::raft::{Disk, Event, Raft, Role, Write};
use super::store::Store;
use crate::api::Text;
use crate::api::value::literal;
use crate::arrange::Gather;
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::etcd::{self, Alarm, Error, Image, Replicated, Response};
use crate::message::raft::{self, Body, Configuration, MemberId, Payload, Snapshot};
use crate::note::Note;
use crate::sim::{ActorId, Duration, Random, RecordId, Time};
use crate::sorted::{SortedMap, SortedSet};
use crate::timer::{EtcdTimer, Timer};

pub use flags::Flags;
pub use space::QUOTA_BYTES;

/// `--heartbeat-interval`.
pub const TICK: Duration = Duration::from_millis(100);
/// `--election-timeout`, in ticks.
pub const ELECTION_TICKS: u32 = 10;
/// How long a request waits for what it needs: five seconds, and two elections.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(7);
/// A snapshot that has not arrived by then is taken for lost.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a good disk takes to flush, lowest and highest.
pub const DISK_LATENCY: (Duration, Duration) = (Duration(600), Duration(1_400));
/// Of the image that kubeadm 1.36 runs.
pub const VERSION: Text = literal!("3.6.8");

/// A member as the others find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: MemberId,
    pub name: Text,
    pub peer_url: Text,
    pub client_url: Text,
    pub actor: ActorId,
}

/// The state machine that all members keep alike. It counts as being on disk, as etcd's database file is: only
/// what is on this member's own disk and committed is ever applied to it.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub store: Store,
    pub members: SortedMap<MemberId, etcd::Member>,
    pub cluster_version: Text,
    pub alarms: SortedSet<(MemberId, Alarm)>,
    pub auth: AuthStore,
}

/// An etcd process and its data directory.
#[derive(Clone, Debug)]
pub struct Member {
    me: Peer,
    cluster: u64,
    /// Who answers at a peer address: the network's name service.
    directory: SortedMap<Text, ActorId>,
    disk: Disk<Replicated>,
    backend: Backend,
    /// The last entry that is applied to `backend`, and the membership then.
    applied: u64,
    configuration: Configuration,
    /// A new member that has not found the others yet.
    joining: Option<Joining>,
    /// The members that a new one was told of, until the log tells it.
    remotes: Vec<etcd::Member>,
    /// It has applied its own removal: it never starts again.
    is_removed: bool,
    /// The line of its log that its disk has got wrong: it never starts again either.
    damaged: Option<u64>,
    /// Why the process ended as soon as it had begun; empty: it did not.
    failure: Text,
    /// The sums that are being compared.
    check: Option<Check>,
    database: Database,
    /// `--quota-backend-bytes`.
    pub quota_bytes: u64,
    /// What the binary calls itself.
    pub version: Text,
    /// How often this process has begun: makes the numbers of its requests unlike those of earlier lives.
    starts: u64,
    /// How long the disk takes to flush, lowest and highest.
    pub disk_latency: (Duration, Duration),
    /// How long its clock takes for what it calls [`TICK`]: no two clocks are quite alike.
    pub tick: Duration,
    pub flags: Flags,
    /// What it is started with by who set it up: `--feature-gates=InitialCorruptCheck=true` by kubeadm.
    pub usual_flags: Flags,
    /// Everything that a crash takes.
    running: Option<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    raft: Raft<Replicated>,
    /// What the disk is busy with.
    writing: Option<Write<Replicated>>,
    peers: SortedMap<MemberId, ActorId>,
    /// The last sign of life to each: as long as nothing changes it is one paper, however often it is sent.
    heartbeats: SortedMap<MemberId, Arc<raft::Message<Replicated>>>,
    next_number: u64,
    waiting: SortedMap<u64, Waiting>,
    /// Proposals that found no leader.
    unproposed: Vec<Payload<Replicated>>,
    reads: Reads,
    watches: Watches,
    lessor: Lessor,
    /// What brought the entries up to an index here, or had them committed: so that *Why?* finds its way.
    origins: SortedMap<u64, RecordId>,
    ticks: u64,
    last_tick: Time,
    /// It stood still, and does not trust itself before that.
    doubtful_until: Time,
    /// Since when there has been no leader.
    leaderless_since: Option<Time>,
    published: Option<Time>,
    version_proposed: Option<Time>,
    /// Snapshots that were sent, and when: a transport knows whether they arrived.
    snapshots_sent: SortedMap<MemberId, Time>,
    monitor: Monitor,
    /// It was removed, and stops then.
    ends: Option<Time>,
    /// Leadership transfers that somebody waits for: to whom, and his pigeonhole.
    transfers: Vec<(MemberId, u64)>,
}

impl Member {
    /// A member of a new cluster that consists of `founders`.
    pub fn founding(me: &Peer, founders: &[Peer]) -> Member {
        let disk = Disk::bootstrap(
            founders.iter().map(|peer| (peer.id, vec![peer.name.clone(), peer.peer_url.clone()])),
        );
        let applied = disk.hard_state().commit;
        Member::with(me, founders, disk, Store::default(), applied)
    }
    /// A member that joins a cluster: it knows nothing yet but where the others are. With `is_learner` it first asks
    /// to be added, as one with a vote or without; else somebody has added it, or will.
    pub fn joining(me: &Peer, others: &[Peer], is_learner: Option<bool>) -> Member {
        let mut member = Member::with(me, others, Disk::default(), Store::default(), 0);
        member.configuration = Configuration::default();
        member.backend.members.clear();
        member.joining = Some(Joining::new(others, is_learner));
        member
    }
    fn with(me: &Peer, peers: &[Peer], disk: Disk<Replicated>, store: Store, applied: u64) -> Member {
        let known = |peer: &Peer| {
            let member = etcd::Member {
                id: peer.id.0,
                name: Text::new(),
                peer_url: peer.peer_url.clone(),
                client_url: Text::new(),
                is_learner: false,
            };
            (peer.id, member)
        };
        Member {
            me: me.clone(),
            cluster: cluster_id(peers.iter().map(|peer| peer.id)),
            directory: peers.iter().map(|peer| (peer.peer_url.clone(), peer.actor)).gather(),
            disk,
            backend: Backend {
                store,
                members: peers.iter().map(known).gather(),
                cluster_version: Text::new(),
                alarms: SortedSet::new(),
                auth: AuthStore::default(),
            },
            applied,
            configuration: Configuration::of_voters(peers.iter().map(|peer| peer.id)),
            joining: None,
            remotes: Vec::new(),
            is_removed: false,
            damaged: None,
            failure: Text::new(),
            check: None,
            database: Database::default(),
            quota_bytes: space::QUOTA_BYTES,
            version: VERSION,
            starts: 0,
            disk_latency: DISK_LATENCY,
            tick: TICK,
            flags: Flags::default(),
            usual_flags: Flags::default(),
            running: None,
        }
    }

    /// Tells where a member that is added later can be reached.
    pub fn learn_address(&mut self, peer_url: Text, actor: ActorId) {
        self.directory.insert(peer_url, actor);
        self.look_up_peers();
    }

    #[cfg_attr(published, optimize(speed))]
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.start(context),
            Input::Timer(Timer::Etcd(EtcdTimer::Tick)) => self.tick(context),
            Input::Timer(Timer::Etcd(EtcdTimer::Persisted)) => {
                if let Some(write) = self.running.as_mut().and_then(|running| running.writing.take()) {
                    self.finish_write(write, context);
                }
            }
            Input::Timer(Timer::Etcd(EtcdTimer::Campaign { after })) if after > Duration::ZERO => {
                context.timer(after, Timer::Etcd(EtcdTimer::Campaign { after: Duration::ZERO }));
            }
            Input::Timer(Timer::Etcd(EtcdTimer::Campaign { .. })) => {
                if let Some(running) = &mut self.running {
                    running.raft.campaign();
                }
            }
            Input::Timer(Timer::Etcd(EtcdTimer::TakeOver)) => {
                let id = self.me.id;
                if let Some(running) = &mut self.running {
                    running.raft.transfer_leadership(id);
                }
            }
            Input::Timer(_) => {}
            Input::Message { from, message: Message::Raft(message) } => {
                if let Some(running) = &mut self.running {
                    // Its log may not have come to the one yet that leads by now (rafthttp's `addRemoteFromRequest`).
                    running.peers.entry(message.from).or_insert(from);
                }
                self.receive(&message, context);
            }
            Input::Message { from, message: Message::EtcdRequest(request) } if self.running.is_none() => {
                // Its port is not open (yet, or any more).
                let (id, result) = (request.id, Err(Error::Unavailable));
                let response = Response { id, revision: 0, cluster: 0, member: 0, raft_term: 0, result };
                context.send(from, Message::EtcdResponse(Arc::new(response)));
            }
            Input::Message { from, message: Message::EtcdRequest(request) } => {
                self.request(from, request, context);
            }
            Input::Message { message: Message::EtcdResponse(response), .. } => {
                if self.joining.is_some() {
                    self.meet(&response, context);
                } else if !self.hear_hash(&response, context) {
                    self.forward_answer(&response, context);
                }
            }
            Input::Message { .. } => {}
        }
        self.pump(context);
    }

    fn start(&mut self, context: &mut Context) {
        self.stopped();
        if self.is_removed {
            self.fail("the member has been permanently removed from the cluster", context);
            return;
        } else if self.damaged.is_some() {
            self.fail("failed to read WAL, cannot be repaired: walpb: crc mismatch", context);
            return;
        }
        context.periodic(self.tick, Timer::Etcd(EtcdTimer::Tick));
        // One that begins for the first time has nothing to compare.
        let is_initialized = self.joining.is_none() && self.starts > 0;
        if is_initialized && self.flags.initial_corrupt_check {
            self.check_before_start(context);
        } else if self.joining.is_none() {
            self.begin(context);
        }
    }

    /// The process ends as soon as it has begun.
    fn fail(&mut self, why: &str, context: &mut Context) {
        self.failure = why.into();
        context.note(Note::Log { line: self.failure.clone() });
    }

    /// Begins to take part, with what is on the disk.
    fn begin(&mut self, context: &mut Context) {
        self.starts += 1;
        self.database.open(&self.backend.store);
        let random = Random::stream(context.random().next(), "raft");
        let mut raft = Raft::new(
            self.flags.raft(self.me.id),
            &self.disk,
            self.applied,
            self.configuration.clone(),
            random,
        );
        // `initial-election-tick-advance`: it need not wait a whole timeout for a leader that may not exist.
        let alone = self.configuration.members().len() <= 1;
        raft.advance_ticks(if alone { ELECTION_TICKS - 1 } else { ELECTION_TICKS - 2 });
        self.running = Some(Running {
            raft,
            writing: None,
            peers: SortedMap::new(),
            heartbeats: SortedMap::new(),
            next_number: self.starts << 40,
            waiting: SortedMap::new(),
            unproposed: Vec::new(),
            reads: Reads::default(),
            watches: Watches::default(),
            lessor: Lessor::default(),
            origins: SortedMap::new(),
            ticks: 0,
            last_tick: context.now(),
            doubtful_until: Time::ZERO,
            leaderless_since: Some(context.now()),
            published: None,
            version_proposed: None,
            snapshots_sent: SortedMap::new(),
            monitor: Monitor::new(&self.flags, context.now()),
            ends: None,
            transfers: Vec::new(),
        });
        self.look_up_peers();
    }

    fn look_up_peers(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.peers = self
            .remotes
            .iter()
            .chain(self.backend.members.values())
            .filter_map(|member| Some((MemberId(member.id), *self.directory.get(&member.peer_url)?)))
            .gather();
    }

    fn tick(&mut self, context: &mut Context) {
        if self.running.as_ref().and_then(|running| running.ends).is_some_and(|ends| ends <= context.now()) {
            self.running = None;
            self.fail("the member has been permanently removed from the cluster", context);
            return;
        }
        context.periodic(self.tick, Timer::Etcd(EtcdTimer::Tick));
        self.look_for_others(context);
        self.look_after_check(context);
        let Some(running) = &mut self.running else { return };
        running.ticks += 1;
        if context.now().since(running.last_tick) > lessor::ACTIVE {
            running.doubtful_until = context.now() + lessor::DOUBT;
        }
        running.last_tick = context.now();
        running.raft.tick();
        // One that is not acknowledged by now is lost, or older than what the log still has: it is tried again.
        let is_late = |(_, sent): &(&MemberId, &Time)| context.now().since(**sent) >= SNAPSHOT_TIMEOUT;
        let late: Vec<MemberId> = running.snapshots_sent.iter().filter(is_late).map(|(id, _)| *id).collect();
        for id in late {
            running.snapshots_sent.remove(&id);
            running.raft.report_snapshot(id, false);
        }
        self.expire_leases(context);
        self.notify_progress(context);
        self.look_for_leader(context);
        self.introduce(context);
        self.time_out(context);
    }

    /// Proposals that found no leader are tried again once there is one; watchers who insist on one are told when
    /// there has been none for long.
    fn look_for_leader(&mut self, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if running.raft.lead().is_none() {
            running.leaderless_since.get_or_insert(context.now());
            self.end_leaderless_watches(context);
            return;
        }
        running.leaderless_since = None;
        self.finish_transfers(context);
        let Some(running) = &mut self.running else { return };
        for payload in std::mem::take(&mut running.unproposed) {
            self.propose(payload, context);
        }
    }

    /// A number for something that is asked; never given twice.
    fn number(&mut self) -> u64 {
        let Some(running) = &mut self.running else { return 0 };
        running.next_number += 1;
        running.next_number
    }

    #[cfg_attr(published, optimize(speed))]
    fn propose(&mut self, payload: Payload<Replicated>, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        if running.raft.propose([payload.clone()]).is_err() {
            running.unproposed.push(payload);
        } else if running.raft.is_leader() {
            running.remember_origin(running.raft.log().last_index(), context.cause());
        }
    }

    #[cfg_attr(published, optimize(speed))]
    fn receive(&mut self, message: &raft::Message<Replicated>, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        let cause = context.cause();
        match &message.body {
            // What has arrived with this, and what this says is committed, follows from it.
            Body::App { entries, commit, .. } => {
                if let Some(last) = entries.last() {
                    running.remember_origin(last.index, cause);
                }
                if *commit > running.raft.log().committed() {
                    running.remember_origin(*commit, cause);
                }
            }
            Body::AppResp { index, rejected: None } if *index > running.raft.log().committed() => {
                running.remember_origin(*index, cause);
            }
            _ => {}
        }
        let before = running.raft.log().last_index();
        running.raft.step(message.clone());
        if let Body::Prop { .. } = message.body
            && running.raft.log().last_index() > before
        {
            running.remember_origin(running.raft.log().last_index(), cause);
        }
    }

    /// Does all that Raft is ready for, until the disk or somebody else must answer.
    #[cfg_attr(published, optimize(speed))]
    fn pump(&mut self, context: &mut Context) {
        while let Some(running) = &mut self.running {
            let Some(mut ready) = running.raft.ready() else { return };
            self.take_note(&ready.events, context);
            let (applied, configuration, backend) = (self.applied, &self.configuration, &self.backend);
            let Some(running) = &self.running else { return };
            ready.freshen_snapshots(|| running.snapshot(applied, configuration, backend));
            for message in ready.messages {
                if let (Body::Snap { .. }, Some(running)) = (&message.body, &mut self.running) {
                    running.snapshots_sent.insert(message.to, context.now());
                }
                self.post(message, context);
            }
            for read in ready.reads {
                self.read_confirmed(read);
            }
            for entry in ready.committed {
                self.apply(&entry, context);
            }
            self.keep_snapshot();
            self.answer_reads(context);
            let Some(write) = ready.write else { continue };
            if write.must_sync() {
                let (low, high) = self.disk_latency;
                let latency = context.random().duration(low, high);
                if let Some(running) = &mut self.running {
                    running.writing = Some(write);
                    context.timer(latency, Timer::Etcd(EtcdTimer::Persisted));
                }
                return;
            }
            self.finish_write(write, context);
        }
    }

    #[cfg_attr(published, optimize(speed))]
    fn finish_write(&mut self, write: Write<Replicated>, context: &mut Context) {
        let persisted = self.disk.write(write);
        let Some(running) = &mut self.running else { return };
        let released = running.raft.persisted(persisted);
        if let Some(snapshot) = released.snapshot {
            self.install(&snapshot, context);
        }
        for message in released.messages {
            self.post(message, context);
        }
    }

    /// Sends to another member, as the consequence of what made that necessary.
    #[cfg_attr(published, optimize(speed))]
    fn post(&mut self, message: raft::Message<Replicated>, context: &mut Context) {
        let Some(running) = &mut self.running else { return };
        let Some(to) = running.peers.get(&message.to).copied() else { return };
        let index = match &message.body {
            Body::App { entries, .. } => entries.last().map(|entry| entry.index),
            Body::AppResp { index, rejected: None } => Some(*index),
            _ => None,
        };
        let origin = index.and_then(|index| running.origins.get(&index).copied());
        let cause = origin.or(context.cause());
        let message = match running.heartbeats.get(&message.to) {
            Some(last) if last.is_same_heartbeat(&message) => last.clone(),
            _ => Arc::new(message),
        };
        if matches!(message.body, Body::Heartbeat { .. } | Body::HeartbeatResp { .. }) {
            running.heartbeats.insert(message.to, message.clone());
        }
        context.because(cause, |context| context.send(to, Message::Raft(message)));
    }

    /// Elections are worth a line in the record; what they lead to here happens.
    #[cfg_attr(published, optimize(speed))]
    fn take_note(&mut self, events: &[Event], context: &mut Context) {
        for event in events {
            context.note(Note::Log { line: format!("{} {event}", self.me.id).into() });
            let Some((role, term)) = event.role() else { continue };
            let name = match role {
                Role::Follower => "follower",
                Role::PreCandidate => "pre-candidate",
                Role::Candidate => "candidate",
                Role::Leader => "leader",
            };
            context.note(Note::Role { role: name, term });
            let Some(running) = &mut self.running else { return };
            if role == Role::Leader {
                running.lessor.promote(&self.backend.store, context.now());
            } else {
                running.lessor.demote();
            }
        }
        if !events.is_empty() {
            self.look_for_leader(context);
        }
    }

    /// Every so many entries the member keeps a snapshot of itself and lets most of the log before it go.
    fn keep_snapshot(&mut self) {
        let last = self.disk.snapshot().map_or(0, |snapshot| snapshot.last.index);
        if self.applied - last.min(self.applied) < self.flags.snapshot_entries {
            return;
        }
        let Some(running) = &mut self.running else { return };
        let snapshot = running.snapshot(self.applied, &self.configuration, &self.backend);
        self.disk.compact(snapshot.clone(), self.flags.catch_up_entries);
        running.raft.compact(snapshot, self.flags.catch_up_entries);
    }
}

impl Running {
    fn remember_origin(&mut self, index: u64, cause: Option<RecordId>) {
        if let Some(cause) = cause {
            self.origins.insert(index, cause);
        }
    }
    fn snapshot(
        &self,
        applied: u64,
        configuration: &Configuration,
        backend: &Backend,
    ) -> Arc<Snapshot<Replicated>> {
        let last = self.raft.log().id_of(applied);
        let data = Image(Arc::new(backend.clone()));
        Arc::new(Snapshot { last, configuration: configuration.clone(), data })
    }
}
