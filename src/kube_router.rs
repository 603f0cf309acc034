//! kube-router of one node, as its firewall: watches NetworkPolicies, pods and namespaces, and writes the rules that
//! enforce the policies.
//!
//! Picture to hold in mind: the head doorman. Whatever news there is, he writes all the books anew; while he writes,
//! further news only makes him begin again once he is done.
//!
//! It is an add-on (`--run-firewall=true`, everything else off): without it policies are stored, and nothing more.
//! As with [`crate::kube_proxy`], the process begins and ends with its container, and what it wrote stays.
//!
//! Follows kube-router's `pkg/controllers/netpol/network_policy_controller.go`.

use std::sync::Arc;

use crate::api::{Value, time};
use crate::client::informer::InformerIndex;
use crate::client::{Answer, Connection, DeltaType, Informers, Selection, Store};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::{Resource, User};
use crate::network::policy::{self, Objects, Settings};
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{ClientTimer, ProxyTimer, Timer};

/// What does not change while the machine lives.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    pub server: ActorId,
    /// The keeper of the node's kernel and containers.
    pub engine: ActorId,
    pub settings: Settings,
}

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct KubeRouter {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    config: Arc<RouterConfig>,
    connection: Connection<Purpose>,
    informers: Informers,
    /// Its container runs.
    is_running: bool,
    /// There is news that is not in the rules yet.
    is_pending: bool,
    /// When the sync that is under way will be done.
    busy_until: Time,
    syncs: u64,
    last_rules: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Purpose(usize);

impl From<InformerIndex> for Purpose {
    fn from(index: InformerIndex) -> Purpose {
        Purpose(index.0)
    }
}

/// Places of the informers.
const POLICIES: usize = 0;
const PODS: usize = 1;
const NAMESPACES: usize = 2;

/// `--iptables-sync-period`.
const SYNC_PERIOD: Duration = Duration::from_secs(300);
/// `iptables-save`, `ipset restore` and `iptables-restore`, and each rule: magnitudes of an idle machine.
const RESTORE_LATENCY: Duration = Duration::from_millis(35);
const RULE_LATENCY: Duration = Duration(8);

impl KubeRouter {
    pub fn new(config: RouterConfig) -> KubeRouter {
        KubeRouter { state: Arc::new(State::new(Arc::new(config))) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        Arc::make_mut(&mut self.state).handle(input, context);
    }
}

/// What may be seen from outside, as plain data.
impl KubeRouter {
    /// Its container runs.
    pub fn is_running(&self) -> bool {
        self.state.is_running
    }
    /// There is news that is not in the rules yet.
    pub fn is_pending(&self) -> bool {
        self.state.is_pending
    }
    /// How often it has handed rules to the kernel, and how many rules there were the last time.
    pub fn syncs(&self) -> (u64, usize) {
        (self.state.syncs, self.state.last_rules)
    }
}

impl State {
    fn new(config: Arc<RouterConfig>) -> State {
        let mut connection = Connection::new(config.server);
        let user = Arc::new(User {
            name: "system:serviceaccount:kube-system:kube-router".into(),
            groups: Vec::new(),
        });
        // The client's defaults: 5 requests a second, 10 in a burst.
        let window = connection.window(user, "kube-router", 5, 10);
        let mut informers = Informers::default();
        for (group, plural) in [("networking.k8s.io", "networkpolicies"), ("", "pods"), ("", "namespaces")] {
            informers.add(Selection::all(&Resource::new(group, "v1", plural)), window);
        }
        State {
            config,
            connection,
            informers,
            is_running: false,
            is_pending: false,
            busy_until: Time::ZERO,
            syncs: 0,
            last_rules: 0,
        }
    }

    fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.forget();
                context.send(self.config.engine, Message::Node(NodeMessage::Attach));
            }
            Input::Message { message: Message::Node(message), .. } => match message {
                NodeMessage::Exec { .. } if !self.is_running => {
                    self.is_running = true;
                    self.informers.start(context, &mut self.connection);
                }
                NodeMessage::Exit { .. } => {
                    // The kernel closes what a process leaves open.
                    for index in 0..self.informers.iter().count() {
                        self.connection.cancel_watch(&Purpose(index), context);
                    }
                    self.forget();
                }
                _ => {}
            },
            // What still comes for a process that has ended is read by nobody.
            _ if !self.is_running => {}
            Input::Message { from, message } => {
                if let Some((purpose, answer)) = self.connection.receive(context, from, &message) {
                    self.answered(purpose, answer, context);
                }
            }
            Input::Timer(Timer::Client(timer)) => match timer {
                ClientTimer::Tokens { client } => self.connection.tokens(context, client),
                ClientTimer::Timeouts => {
                    for (purpose, answer) in self.connection.timeouts(context) {
                        self.answered(purpose, answer, context);
                    }
                }
                ClientTimer::Relist { informer } => {
                    self.informers.retry(context, &mut self.connection, informer);
                }
                _ => {}
            },
            Input::Timer(Timer::Proxy(ProxyTimer::Sync { syncs })) if syncs == self.syncs => {
                self.sync(context);
            }
            Input::Timer(_) => {}
        }
    }

    /// The process is gone, with all that it held in memory.
    fn forget(&mut self) {
        let mut connection = self.connection.clone();
        connection.restart();
        let (syncs, last_rules) = (self.syncs, self.last_rules);
        // An alarm of the former life is for a sync that never comes.
        *self = State { connection, syncs: syncs + 1, last_rules, ..State::new(self.config.clone()) };
    }

    fn answered(&mut self, Purpose(index): Purpose, answer: Answer, context: &mut Context) {
        let was_synced = self.informers.have_synced();
        let deltas = self.informers.receive(context, &mut self.connection, index, answer);
        let is_news = deltas.iter().any(|delta| match (&delta.kind, &delta.old) {
            (DeltaType::Updated, Some(old)) if index == PODS => policy::is_relevant(old, &delta.object),
            (DeltaType::Updated, Some(old)) if index == NAMESPACES => {
                old.at("metadata.labels") != delta.object.at("metadata.labels")
            }
            _ => true,
        });
        if self.informers.have_synced() && (is_news || !was_synced) {
            self.want_sync(context);
        }
    }

    /// `RequestFullSync`: at once, or when the one that is under way is done; for however much news there is.
    fn want_sync(&mut self, context: &mut Context) {
        if !std::mem::replace(&mut self.is_pending, true) {
            let wait = self.busy_until.max(context.now()).since(context.now());
            context.timer(wait, Timer::Proxy(ProxyTimer::Sync { syncs: self.syncs }));
        }
    }

    /// `fullPolicySync`.
    fn sync(&mut self, context: &mut Context) {
        self.is_pending = false;
        self.syncs += 1;
        let stores = self.informers.stores().clone();
        let all = |index: usize| -> Vec<&Value> { Store::values(&stores[index]).collect() };
        let objects = Objects { policies: all(POLICIES), pods: all(PODS), namespaces: all(NAMESPACES) };
        // The time of the sync in nanoseconds, as Go counts them.
        let version = format!("{}000", time::unix_us(context.now()));
        let restore = policy::rules(&self.config.settings, &objects, &version);
        self.last_rules = restore.chains.iter().flat_map(|(.., chain)| chain).map(|c| c.rules.len()).sum();
        let took = RESTORE_LATENCY + RULE_LATENCY.saturating_mul(self.last_rules as u64);
        self.busy_until = context.now() + took;
        context.send_after(took, self.config.engine, Message::Node(NodeMessage::Restore(Arc::new(restore))));
        context.periodic(SYNC_PERIOD, Timer::Proxy(ProxyTimer::Sync { syncs: self.syncs }));
    }
}
