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
use crate::array;
use crate::client::daemon::{Daemon, Event};
use crate::client::{Delta, DeltaType, Selection, Store, request};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Resource;
use crate::network::policy::{self, Objects, Settings};
use crate::object;
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{ProxyTimer, Timer};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct KubeRouter {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    daemon: Daemon,
    settings: Arc<Settings>,
    /// There is news that is not in the rules yet.
    is_pending: bool,
    /// When the sync that is under way will be done.
    busy_until: Time,
    syncs: u64,
    last_rules: usize,
    /// A pod had an address of IPv6: from then on there are rules for both families.
    is_dual: bool,
    /// It works in the name of Calico's Felix.
    is_calico: bool,
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
    pub fn new(servers: Vec<ActorId>, engine: ActorId, settings: Settings) -> KubeRouter {
        let kinds = [("networking.k8s.io", "networkpolicies"), ("", "pods"), ("", "namespaces")];
        let selections = Selection::all_of(&kinds);
        let daemon = Daemon::new(servers, engine, "kube-router", selections);
        let state = State {
            daemon,
            settings: Arc::new(settings),
            is_pending: false,
            busy_until: Time::ZERO,
            syncs: 0,
            last_rules: 0,
            is_dual: false,
            is_calico: false,
        };
        KubeRouter { state: Arc::new(state) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        Arc::make_mut(&mut self.state).handle(input, context);
    }
}

/// What may be seen from outside, as plain data.
impl KubeRouter {
    /// Its container runs.
    pub fn is_running(&self) -> bool {
        self.state.daemon.is_running()
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

/// Whether a change may change rules.
fn is_news(informer: usize, delta: &Delta) -> bool {
    match (&delta.kind, &delta.old) {
        (DeltaType::Updated, Some(old)) if informer == PODS => policy::is_relevant(old, &delta.object),
        (DeltaType::Updated, Some(old)) if informer == NAMESPACES => {
            old.at("metadata.labels") != delta.object.at("metadata.labels")
        }
        _ => true,
    }
}

impl State {
    fn handle(&mut self, input: Input, context: &mut Context) {
        if let Input::Message { message: Message::Node(message), .. } = &input
            && let NodeMessage::Exec { program, .. } = &**message
        {
            self.is_calico = program == "start_runit";
        }
        match self.daemon.handle(input, context) {
            Event::Forgot => {
                // An alarm of the former life is for a sync that never comes.
                self.syncs += 1;
                self.is_pending = false;
                self.busy_until = Time::ZERO;
            }
            Event::News { informer, deltas, is_first } => {
                let is_news = is_first || deltas.iter().any(|delta| is_news(informer, delta));
                if is_news && self.daemon.informers().have_synced() {
                    self.want_sync(context);
                }
            }
            Event::Other(Input::Timer(Timer::Proxy(ProxyTimer::Sync { syncs }))) if syncs == self.syncs => {
                self.sync(context);
            }
            Event::Began(settings) if self.is_calico => self.make_pool(&settings, context),
            Event::Began(_) | Event::Other(_) | Event::Nothing => {}
        }
    }

    /// What calico-node does first: the pool that its environment names, where there is none yet.
    fn make_pool(&mut self, settings: &str, context: &mut Context) {
        let setting = |name: &str| {
            let mut lines = settings.lines().filter_map(|line| line.split_once('='));
            lines.find(|(other, _)| *other == name).map_or("", |(_, value)| value)
        };
        let pool = object! {
            "apiVersion" => "crd.projectcalico.org/v1",
            "kind" => "IPPool",
            "metadata" => object! { "name" => "default-ipv4-ippool" },
            "spec" => object! {
                "allowedUses" => array!["Workload", "Tunnel"],
                "blockSize" => 26,
                "cidr" => setting("CALICO_IPV4POOL_CIDR"),
                "ipipMode" => setting("CALICO_IPV4POOL_IPIP"),
                "natOutgoing" => true,
                "nodeSelector" => "all()",
                "vxlanMode" => setting("CALICO_IPV4POOL_VXLAN"),
            },
        };
        let pools = Resource::new("crd.projectcalico.org", "v1", "ippools");
        self.daemon.send(request::create(&pools, "", pool), context);
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
        let stores = self.daemon.informers().stores().clone();
        let all = |index: usize| -> Vec<&Value> { Store::values(&stores[index]).collect() };
        let (policies, pods, namespaces) = (all(POLICIES), all(PODS), all(NAMESPACES));
        let mut objects = Objects { policies, pods, namespaces, is_ipv6: false };
        // The time of the sync in nanoseconds, as Go counts them.
        let version = format!("{}000", time::unix_us(context.now()));
        self.is_dual |= objects.are_dual();
        self.last_rules = 0;
        let mut took = RESTORE_LATENCY;
        for is_ipv6 in [false, true].into_iter().take(1 + usize::from(self.is_dual && !self.is_calico)) {
            objects.is_ipv6 = is_ipv6;
            let restore = policy::rules(&self.settings, &objects, &version, self.is_calico);
            let chains = restore.chains.iter().flat_map(|(.., chain)| chain);
            let rules: usize = chains.map(|chain| chain.rules.len()).sum();
            self.last_rules += rules;
            took = took + RULE_LATENCY.saturating_mul(rules as u64);
            let restore = Message::node(NodeMessage::Restore(Arc::new(restore)));
            context.send_after(took, self.daemon.engine(), restore);
        }
        self.busy_until = context.now() + took;
        context.periodic(SYNC_PERIOD, Timer::Proxy(ProxyTimer::Sync { syncs: self.syncs }));
    }
}
