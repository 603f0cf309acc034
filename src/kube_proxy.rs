//! kube-proxy of one node: watches Services and EndpointSlices, and writes the node's rules.
//!
//! Picture to hold in mind: a sign painter who reads the news. Each piece of news about a service or its endpoints
//! puts the service on a list; at most once a second the painter takes the list, paints the signs anew and hands
//! them to the kernel. A painter who sleeps, or whom no news reaches, leaves the old signs standing.
//!
//! The process lives in a container of the DaemonSet `kube-proxy`: it begins when the container engine says that
//! the container runs, and ends with it. What it wrote stays in the kernel.
//!
//! It reads its configuration file once, when it begins: whoever changes the mode in the ConfigMap must restart the pods.
//! What another mode has left in the kernel is cleaned up as far as upstream does it: between nftables and the others,
//! not between iptables and ipvs.
//!
//! Follows `cmd/kube-proxy/app/server.go`, `pkg/proxy/runner` and `syncProxyRules`.

use std::sync::Arc;

use crate::api::{Text, Value, meta, yaml};
use crate::client::daemon::{Daemon, Event};
use crate::client::informer::Delta;
use crate::client::{Informers, Selection, Store, request};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Resource;
use crate::network::ipam::Cidr;
use crate::network::netfilter::Restore;
use crate::network::proxy::{Mode, Proxier, Settings, iptables, service_of_slice, services_of_slice};
use crate::shared_map::SharedSet;
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{ProxyTimer, Timer};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct KubeProxy {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    daemon: Daemon,
    settings: Arc<Settings>,
    proxier: Proxier,
    /// Services whose rules are to be computed anew.
    pending: SharedSet<Text>,
    /// All of them are.
    is_whole: bool,
    /// Its configuration is none: it ends.
    has_failed: bool,
    /// A sync is due, and an alarm set for it.
    is_due: bool,
    finished_at: Time,
    syncs: u64,
    last_rules: usize,
}

/// Places of the informers.
const SERVICES: usize = 0;
const SLICES: usize = 1;
const RANGES: usize = 2;
const NODES: usize = 3;

/// `minSyncPeriod` of each mode: between the end of one sync and the beginning of the next.
const MINIMUM_INTERVAL: Duration = Duration::from_secs(1);
/// `iptables-restore` itself, and each rule that it is given: magnitudes of an idle machine.
const RESTORE_LATENCY: Duration = Duration::from_millis(12);
const RULE_LATENCY: Duration = Duration(8);

impl KubeProxy {
    pub fn new(servers: Vec<ActorId>, engine: ActorId, settings: Settings) -> KubeProxy {
        let all = |group: &str, plural: &str| Selection::all(&Resource::new(group, "v1", plural));
        let selections = vec![
            Selection {
                label_selector: "!service.kubernetes.io/service-proxy-name".into(),
                field_selector: "spec.clusterIP!=None".into(),
                ..all("", "services")
            },
            Selection {
                label_selector: "!service.kubernetes.io/headless".into(),
                ..all("discovery.k8s.io", "endpointslices")
            },
            all("networking.k8s.io", "servicecidrs"),
            Selection {
                field_selector: arcstr::format!("metadata.name={}", settings.node_name),
                ..all("", "nodes")
            },
        ];
        let mut daemon = Daemon::new(servers, engine, "kube-proxy", selections);
        daemon.add_index(SLICES, "service", services_of_slice);
        let state = State {
            daemon,
            settings: Arc::new(settings),
            proxier: Proxier::default(),
            pending: SharedSet::default(),
            is_whole: true,
            has_failed: false,
            is_due: false,
            finished_at: Time::ZERO,
            syncs: 0,
            last_rules: 0,
        };
        KubeProxy { state: Arc::new(state) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        Arc::make_mut(&mut self.state).handle(input, context);
    }
}

/// What may be seen from outside, as plain data.
impl KubeProxy {
    /// Its container runs.
    pub fn is_running(&self) -> bool {
        self.state.daemon.is_running()
    }
    /// Services whose news has not been written into the rules yet, as `namespace/name`.
    pub fn pending(&self) -> impl Iterator<Item = &Text> {
        self.state.pending.keys()
    }
    /// How often it has handed rules to the kernel, and how many rules there were the last time.
    pub fn syncs(&self) -> (u64, usize) {
        (self.state.syncs, self.state.last_rules)
    }
    /// Ports of services that it has written rules of.
    pub fn port_count(&self) -> usize {
        self.state.proxier.port_count()
    }
    pub fn mode(&self) -> Mode {
        self.state.settings.mode
    }
    pub fn informers(&self) -> &Informers {
        self.state.daemon.informers()
    }
}

impl State {
    fn handle(&mut self, input: Input, context: &mut Context) {
        match self.daemon.handle(input, context) {
            Event::Began(config) => {
                if let Err(words) = self.configure(&config) {
                    self.has_failed = true;
                    return self.daemon.quit(&words, context);
                }
                let leftovers = self.settings.mode.leftovers();
                self.hand_over(leftovers, Duration::ZERO, context);
                let nodes = Resource::new("", "v1", "nodes");
                self.daemon.send(request::get(&nodes, "", &self.settings.node_name), context);
            }
            Event::Forgot => self.forget(),
            Event::News { informer, deltas, is_first } => {
                let mut has_news = is_first;
                for delta in &deltas {
                    has_news |= self.changed(informer, delta);
                }
                if has_news && self.is_synced() {
                    self.want_sync(context);
                }
            }
            Event::Other(Input::Timer(Timer::Proxy(ProxyTimer::Sync { syncs }))) if syncs == self.syncs => {
                self.sync(context);
            }
            Event::Other(_) | Event::Nothing => {}
        }
    }

    /// What the configuration file says, as far as it is simulated. The error: what the process says, and ends.
    fn configure(&mut self, config: &str) -> Result<(), Text> {
        let failed = |words: &str| arcstr::format!("E run.go:72] \"command failed\" err=\"{words}\"\n");
        let document = yaml::read(config).into_iter().next().transpose();
        let document = document.map_err(|error| failed(&format!("failed complete: {error}")))?;
        let config = document.map_or(Value::Null, |document| document.value);
        let mode = match config.text("mode") {
            "" => Mode::Iptables,
            name => Mode::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
                failed(&format!(
                    "failed validate: KubeProxyConfiguration.Mode.ProxyMode: Invalid value: \\\"{name}\\\": must be iptables, ipvs, nftables or blank (blank means the best-available proxy [currently iptables])"
                ))
            })?,
        };
        let settings = Arc::make_mut(&mut self.settings);
        settings.mode = mode;
        // Each mode reads its own of the two.
        let section = if mode == Mode::Nftables { "nftables" } else { "iptables" };
        settings.masquerades_all = config.is_true(&format!("{section}.masqueradeAll"));
        settings.scheduler = match config.text("ipvs.scheduler") {
            "" => "rr".into(),
            scheduler => scheduler.into(),
        };
        Ok(())
    }

    /// The process is gone, with all that it held in memory.
    fn forget(&mut self) {
        self.proxier = Proxier::default();
        self.pending = SharedSet::default();
        self.is_whole = true;
        self.is_due = false;
        self.has_failed = false;
        self.finished_at = Time::ZERO;
        // An alarm of the former life is for a sync that never comes.
        self.syncs += 1;
    }

    /// Services and endpoints have been seen once: before that no rules are written.
    fn is_synced(&self) -> bool {
        let informers = self.daemon.informers();
        let is_synced = |index: usize| informers.iter().nth(index).is_some_and(|(one, _)| one.synced);
        !self.has_failed && is_synced(SERVICES) && is_synced(SLICES)
    }

    fn changed(&mut self, index: usize, delta: &Delta) -> bool {
        let key = match index {
            SERVICES => Some(crate::client::store::key_of(&delta.object)),
            SLICES => service_of_slice(&delta.object),
            NODES => {
                let zone = meta::label(&delta.object, "topology.kubernetes.io/zone").unwrap_or("");
                let is_news = self.proxier.set_zone(zone);
                self.is_whole |= is_news;
                return is_news;
            }
            // Nftables has a rule for what is in them and nobody's.
            RANGES => return self.settings.mode == Mode::Nftables,
            _ => None,
        };
        // A slice that says what it said before is no news; its revision alone has changed.
        let is_same =
            |field: &str| delta.old.as_ref().is_some_and(|old| old.at(field).is_same(delta.object.at(field)));
        if index == SLICES
            && delta.kind == crate::client::DeltaType::Updated
            && is_same("endpoints")
            && is_same("ports")
        {
            return false;
        }
        match key {
            Some(key) => {
                self.pending.include(key);
                true
            }
            None => false,
        }
    }

    fn want_sync(&mut self, context: &mut Context) {
        if std::mem::replace(&mut self.is_due, true) {
            return;
        }
        let at = match self.finished_at {
            Time::ZERO => context.now(),
            finished_at => context.now().max(finished_at + MINIMUM_INTERVAL),
        };
        let timer = ProxyTimer::Sync { syncs: self.syncs };
        context.timer(at.since(context.now()), Timer::Proxy(timer));
    }

    /// `syncProxyRules`: the rules of what changed are computed, and go to the kernel.
    fn sync(&mut self, context: &mut Context) {
        self.is_due = false;
        self.syncs += 1;
        let replaces = self.is_whole.then_some(self.settings.mode.service_chains());
        let mut restore = Restore { replaces, ..Restore::default() };
        let stores = self.daemon.informers().stores().clone();
        let (services, slices): (&Store, &Store) = (&stores[SERVICES], &stores[SLICES]);
        let was_large = self.proxier.is_large();
        if self.is_whole {
            // After a restart nothing is known of what stands in the kernel.
            let mut proxier = Proxier::default();
            proxier.set_zone(self.proxier.zone());
            self.proxier = proxier;
            if self.settings.mode == Mode::Iptables {
                restore.chains = iptables::canaries();
            }
            for (key, _) in services.iter() {
                self.update(key, services, slices, &mut restore);
            }
        } else {
            for key in self.pending.keys().cloned().collect::<Vec<Text>>() {
                self.update(&key, services, slices, &mut restore);
            }
        }
        self.pending = SharedSet::default();
        let ranges: Vec<Cidr> = Store::values(&stores[RANGES])
            .flat_map(|range| range.items("spec.cidrs"))
            .filter_map(|range| Cidr::parse(range.as_str()?))
            .filter(|range| !range.is_ipv6())
            .collect();
        self.proxier.finish(&self.settings, &ranges, &mut restore);
        // Above so many endpoints comments are left out: the next sync writes everything anew.
        self.is_whole = self.proxier.is_large() != was_large;
        self.last_rules = restore.chains.iter().flat_map(|(.., chain)| chain).map(|c| c.rules.len()).sum();
        let took = RESTORE_LATENCY + RULE_LATENCY.saturating_mul(self.last_rules as u64);
        self.finished_at = context.now() + took;
        self.hand_over(restore, took, context);
        if self.is_whole {
            self.want_sync(context);
        }
    }

    fn hand_over(&self, restore: Restore, after: Duration, context: &mut Context) {
        let restore = Message::node(NodeMessage::Restore(Arc::new(restore)));
        context.send_after(after, self.daemon.engine(), restore);
    }

    fn update(&mut self, key: &str, services: &Store, slices: &Store, restore: &mut Restore) {
        let slices: Vec<&Value> = slices.by_index("service", key).collect();
        self.proxier.update(&self.settings, key, services.get(key), &slices, restore);
    }
}
