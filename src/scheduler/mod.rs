//! kube-scheduler: gives each new pod a node.
//!
//! Picture to hold in mind: a registrar with a waiting room and a seating plan. One pod at a time is called in;
//! a committee of plugins says where it could sit and where it would sit best; the seat is pencilled in, and the
//! letter that makes it true (the binding) goes out while the next pod is already being looked at.
//!
//! - [`queue`] who waits, and for what
//! - [`cache`], [`node_info`], [`pod_info`], [`resources`] the seating plan
//! - [`framework`], [`plugins`] the committee
//! - [`algorithm`] one cycle; [`preemption`] making room; `binding` what follows from a cycle
//!
//! After `pkg/scheduler` (`scheduler.go`, `eventhandlers.go`, `schedule_one.go`).

pub mod algorithm;
mod binding;
pub mod cache;
pub mod framework;
pub mod node_info;
pub mod plugins;
pub mod pod_info;
pub mod preemption;
pub mod queue;
pub mod resources;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::client::informer::InformerIndex;
use crate::client::leader_election::{Change, LeaderElector};
use crate::client::recorder::{EventApi, Recorder};
use crate::client::{Answer, Connection, Delta, DeltaType, Informers, Selection};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::rest::{Resource, User};
use crate::sim::{ActorId, Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, SchedulerTimer, Timer};

use algorithm::Nominations;
use cache::Cache;
use framework::{Event, Lists};
use pod_info::PodInfo;
use queue::Queue;

/// Requests a second and at once; events have as many again.
const QPS: u64 = 50;
const BURST: u64 = 100;
/// The work of one cycle: a part that is always there, and one for each node that is looked at.
const CYCLE: Duration = Duration::from_micros(300);
const CYCLE_PER_NODE: Duration = Duration::from_micros(1);
const FLUSH_UNSCHEDULABLE: Duration = Duration::from_secs(30);
/// Outcomes that are kept for *Why this node?* and *Why Pending?*.
const KEPT_OUTCOMES: usize = 200;
/// The profile there is.
const SCHEDULER_NAME: &str = "default-scheduler";

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Informer(usize),
    Lease,
    Event,
    /// The pod of this UID has been bound, or not.
    Bind(Text),
    /// A pod's condition or nomination was written: nothing follows.
    Status,
    /// One of the volumes of the pod of this UID was bound, or not.
    Volume(Text),
    /// The victim of this UID was told why it goes.
    Condemn(Text),
    /// The victim of this UID was deleted.
    Evict(Text),
}

impl From<InformerIndex> for Purpose {
    fn from(index: InformerIndex) -> Purpose {
        Purpose::Informer(index.0)
    }
}

/// The actor.
#[derive(Clone)]
pub struct Scheduler {
    connection: Connection<Purpose>,
    informers: Informers,
    lists: Lists,
    elector: LeaderElector,
    recorder: Recorder,
    window: usize,
    cache: Cache,
    queue: Queue,
    /// Pods that have been promised room, by UID, and where.
    nominated: SortedMap<Text, (Text, Arc<PodInfo>)>,
    /// Pods whose volumes are being bound, by UID.
    binding_volumes: SortedMap<Text, binding::VolumeWait>,
    /// Victims, by UID.
    victims: SortedMap<Text, binding::Victim>,
    /// Where the last cycle stopped looking at nodes.
    next_node: usize,
    is_cycling: bool,
    flushes_back_off: bool,
    flushes_unschedulable: bool,
    outcomes: VecDeque<(Text, Arc<algorithm::Outcome>)>,
}

impl Scheduler {
    /// One that talks to `server`, on host `host`; `identity` is its name in the lease.
    pub fn new(server: ActorId, host: &str, identity: &str) -> Scheduler {
        let user = Arc::new(User::new("system:kube-scheduler".into(), vec!["system:authenticated".into()]));
        let mut connection = Connection::new(server);
        let window = connection.window(user.clone(), "kube-scheduler", QPS, BURST);
        let events = connection.window(user.clone(), "kube-scheduler", QPS, BURST);
        let leases = connection.window(user, "leader-election", 0, 0);
        let mut informers = Informers::default();
        let mut list = |group: &str, plural: &str, field_selector: &str| {
            let mut selection = Selection::all(&Resource::new(group, "v1", plural));
            selection.field_selector = field_selector.into();
            informers.add(selection, window)
        };
        let lists = Lists {
            // Pods that have ended take no room and need none.
            pods: list("", "pods", "status.phase!=Succeeded,status.phase!=Failed"),
            nodes: list("", "nodes", ""),
            namespaces: list("", "namespaces", ""),
            services: list("", "services", ""),
            replication_controllers: list("", "replicationcontrollers", ""),
            replica_sets: list("apps", "replicasets", ""),
            stateful_sets: list("apps", "statefulsets", ""),
            claims: list("", "persistentvolumeclaims", ""),
            volumes: list("", "persistentvolumes", ""),
            storage_classes: list("storage.k8s.io", "storageclasses", ""),
            disruption_budgets: list("policy", "poddisruptionbudgets", ""),
        };
        Scheduler {
            connection,
            informers,
            lists,
            elector: LeaderElector::new("kube-scheduler", identity, leases),
            recorder: Recorder::new(EventApi::Events, SCHEDULER_NAME, host, events),
            window,
            cache: Cache::default(),
            queue: Queue::default(),
            nominated: SortedMap::new(),
            binding_volumes: SortedMap::new(),
            victims: SortedMap::new(),
            next_node: 0,
            is_cycling: false,
            flushes_back_off: false,
            flushes_unschedulable: false,
            outcomes: VecDeque::new(),
        }
    }
    /// Who waits, for the picture.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
    /// The nodes as the scheduler sees them, for the picture.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
    pub fn is_leader(&self) -> bool {
        self.elector.is_leader
    }
    /// How the last attempt for a pod (`namespace/name`) went, node by node.
    pub fn outcome(&self, pod: &str) -> Option<Value> {
        self.outcomes.iter().rev().find(|(key, _)| key == pod).map(|(_, outcome)| outcome.to_value())
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.stand_down(context);
                self.elector.start(context, &mut self.connection, Purpose::Lease);
            }
            Input::Message { from, message } => self.message(context, from, &message),
            Input::Timer(Timer::Client(timer)) => self.client_timer(context, &timer),
            Input::Timer(Timer::Scheduler(timer)) => self.timer(context, &timer),
            Input::Timer(_) => {}
        }
    }

    fn message(&mut self, context: &mut Context, from: ActorId, message: &Message) {
        if let Some((purpose, answer)) = self.connection.receive(context, from, message) {
            self.answer(context, purpose, answer);
        }
    }
    fn client_timer(&mut self, context: &mut Context, timer: &ClientTimer) {
        match *timer {
            ClientTimer::Tokens { client } => self.connection.tokens(context, client),
            ClientTimer::Timeouts => {
                for (purpose, answer) in self.connection.timeouts(context) {
                    self.answer(context, purpose, answer);
                }
            }
            ClientTimer::Relist { informer } => {
                self.informers.retry(context, &mut self.connection, informer);
            }
            ClientTimer::LeaderElection => {
                let change = self.elector.tick(context, &mut self.connection, Purpose::Lease);
                self.leadership(context, change);
            }
            ClientTimer::Queue { .. } | ClientTimer::Periodic { .. } | ClientTimer::Retry => {}
        }
    }
    fn timer(&mut self, context: &mut Context, timer: &SchedulerTimer) {
        if !self.elector.is_leader {
            return;
        }
        match timer {
            SchedulerTimer::Cycle => {
                self.is_cycling = false;
                self.cycle(context);
            }
            SchedulerTimer::FlushBackoff => {
                self.flushes_back_off = false;
                self.queue.flush_back_off(context.now());
            }
            SchedulerTimer::FlushUnschedulable => {
                self.flushes_unschedulable = false;
                self.queue.flush_unschedulable(context.now());
                self.give_up_on_volumes(context);
            }
        }
        self.wake(context);
    }
    fn answer(&mut self, context: &mut Context, purpose: Purpose, answer: Answer) {
        match purpose {
            Purpose::Informer(index) => {
                let deltas = self.informers.receive(context, &mut self.connection, index, answer);
                for delta in &deltas {
                    self.news(context, delta);
                }
            }
            Purpose::Lease => {
                let change = self.elector.receive(context, &mut self.connection, Purpose::Lease, answer);
                self.leadership(context, change);
            }
            Purpose::Event => self.recorder.sent(context, &mut self.connection, Purpose::Event),
            Purpose::Bind(uid) => self.bound(context, &uid, answer),
            Purpose::Status => {}
            Purpose::Volume(uid) => self.volume_bound(context, &uid, answer),
            Purpose::Condemn(uid) => self.condemned(context, &uid, answer),
            Purpose::Evict(uid) => self.evicted(context, &uid, answer),
        }
        self.wake(context);
    }
    fn leadership(&mut self, context: &mut Context, change: Change) {
        match change {
            Change::None => {}
            Change::Acquired => self.informers.start(context, &mut self.connection),
            Change::Lost => self.stand_down(context),
        }
    }
    /// Forgets everything, as a process that starts or has lost its lease.
    fn stand_down(&mut self, context: &mut Context) {
        self.connection.cancel(context, |_| true);
        self.connection.restart();
        self.informers.restart();
        self.recorder.restart();
        self.cache = Cache::default();
        self.queue = Queue::default();
        self.nominated.clear();
        self.binding_volumes.clear();
        self.victims.clear();
        self.next_node = 0;
        self.is_cycling = false;
        self.flushes_back_off = false;
        self.flushes_unschedulable = false;
        self.outcomes.clear();
    }

    /// Sets the alarms that the queue needs.
    fn wake(&mut self, context: &mut Context) {
        if !self.informers.have_synced() {
            return;
        }
        if !self.is_cycling && self.queue.has_next() {
            self.is_cycling = true;
            let nodes = algorithm::enough_nodes(self.cache.nodes().len()) as u64;
            let work = CYCLE + CYCLE_PER_NODE.saturating_mul(nodes);
            context.periodic(work, Timer::Scheduler(SchedulerTimer::Cycle));
        }
        if !self.flushes_back_off && self.queue.next_back_off().is_some() {
            self.flushes_back_off = true;
            let next_second = Time::from_secs(context.now().as_secs() + 1);
            let wait = next_second.since(context.now());
            context.periodic(wait, Timer::Scheduler(SchedulerTimer::FlushBackoff));
        }
        let waits = self.queue.has_unschedulable() || !self.binding_volumes.is_empty();
        if !self.flushes_unschedulable && waits {
            self.flushes_unschedulable = true;
            context.periodic(FLUSH_UNSCHEDULABLE, Timer::Scheduler(SchedulerTimer::FlushUnschedulable));
        }
    }

    /// News from an informer.
    fn news(&mut self, context: &mut Context, delta: &Delta) {
        let lists = &self.lists;
        if delta.informer == lists.pods {
            self.pod_news(context, delta);
        } else if delta.informer == lists.nodes {
            self.node_news(context, delta);
        } else if [lists.claims, lists.volumes, lists.storage_classes].contains(&delta.informer) {
            self.move_pods(context, &Event::Volumes);
            self.bind_where_volumes_are(context);
        }
    }

    fn node_news(&mut self, context: &mut Context, delta: &Delta) {
        let node = &delta.object;
        let name = meta::name(node);
        if delta.kind == DeltaType::Deleted {
            self.move_pods(context, &Event::NodeDeleted);
            self.cache.remove_node(name);
            return;
        }
        let unchanged = |old: &Value| {
            ["spec", "metadata.labels", "status.allocatable", "status.images"]
                .iter()
                .all(|path| old.at(path).is_same(node.at(path)) || old.at(path) == node.at(path))
        };
        // A heartbeat is no news.
        if delta.old.as_ref().is_some_and(unchanged) && self.cache.node(name).is_some() {
            return;
        }
        let old = self.cache.set_node(node);
        let Some(new) = self.cache.node(name).cloned() else { return };
        match old {
            Some(old) => self.move_pods(context, &Event::NodeUpdated { old: &old, new: &new }),
            None => self.move_pods(context, &Event::NodeAdded(&new)),
        }
    }

    fn pod_news(&mut self, context: &mut Context, delta: &Delta) {
        let pod = &delta.object;
        let uid = pod.shared_text("metadata.uid");
        let node = pod.shared_text("spec.nodeName");
        // A pod of the same name with another identity: the old one is gone.
        if let Some(old) = delta.old.as_ref().filter(|old| meta::uid(old) != uid.as_str()) {
            self.pod_gone(context, old);
        }
        if delta.kind == DeltaType::Deleted {
            return self.pod_gone(context, pod);
        }
        if !node.is_empty() {
            let old =
                self.cache.pod(&uid).filter(|_| !self.cache.is_assumed(&uid)).map(|(old, _)| old.clone());
            self.queue.remove(&uid);
            self.nominated.remove(&uid);
            if old.as_ref().is_some_and(|old| is_same_to_scheduling(&old.pod, pod)) {
                return;
            }
            let new = self.cache.grouped(PodInfo::new(pod));
            self.cache.set_pod(new.clone(), &node);
            match old {
                None => self.move_pods(context, &Event::PodAdded(&new)),
                Some(old) if old.labels() != new.labels() => {
                    self.move_pods(context, &Event::PodUpdated { old: &old, new: &new });
                }
                Some(_) => {}
            }
            return;
        }
        if pod.text("spec.schedulerName") != SCHEDULER_NAME || self.cache.is_assumed(&uid) {
            return;
        }
        let matters = delta
            .old
            .as_ref()
            .is_none_or(|old| old.at("spec") != pod.at("spec") || meta::labels(old) != meta::labels(pod));
        let new = self.cache.grouped(PodInfo::new(pod));
        if new.nominated_node.is_empty() {
            self.nominated.remove(&uid);
        } else {
            self.nominated.insert(uid, (new.nominated_node.clone(), new.clone()));
        }
        self.queue.update(new, matters, context.now(), context.cause());
    }
    fn pod_gone(&mut self, context: &mut Context, pod: &Value) {
        let uid = meta::uid(pod);
        self.queue.remove(uid);
        self.nominated.remove(uid);
        self.binding_volumes.remove(uid);
        if let Some(gone) = self.cache.remove_pod(uid) {
            self.move_pods(context, &Event::PodDeleted(&gone));
        }
    }

    /// Asks the plugins that turned a pod down whether `event` may help it.
    fn move_pods(&mut self, context: &mut Context, event: &Event) {
        if !self.queue.has_unschedulable() {
            return;
        }
        let helps = |queued: &queue::QueuedPod| {
            plugins::PLUGINS
                .iter()
                .filter(|plugin| queued.rejectors.contains(&plugin.name()))
                .any(|plugin| plugin.may_help(&queued.pod, event))
        };
        self.queue.news(helps, context.now(), context.cause());
    }

    fn nominations(&self) -> Nominations {
        let mut nominations = Nominations::new();
        for (node, pod) in self.nominated.values() {
            nominations.entry(node.clone()).or_default().push(pod.clone());
        }
        nominations
    }
}

/// Whether two states of a pod with a node are one and the same to the scheduler.
fn is_same_to_scheduling(old: &Value, new: &Value) -> bool {
    ["spec", "metadata.labels", "metadata.deletionTimestamp", "status.startTime"]
        .iter()
        .all(|path| old.at(path).is_same(new.at(path)) || old.at(path) == new.at(path))
}
