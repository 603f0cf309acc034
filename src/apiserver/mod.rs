//! The API server: the only meeting place of the cluster, and the only process that speaks to etcd.
//!
//! Picture to hold in mind: a town hall. A form is handed in at the door; one desk asks who you are, the next
//! whether you may, others fill in what you left blank and check what you wrote; the archive (etcd) stamps it, and only
//! then do you get your copy. Everybody who subscribed to that kind of form is sent a copy as well, out of the
//! show window (the watch cache), not out of the archive.
//!
//! - [`pipeline`](self) requests come in, go through their stages and are answered
//! - `read`, `cycle`, `create`, `update`, `delete` the verbs; `subresource` the doors beside the main ones
//! - `admission` what is filled in and refused by policy; `allocation` cluster IPs and node ports
//! - `access` who asks; `rbac` what roles and bindings allow, `escalation` to whom they may be given; `node_authorizer`
//!   what a node may do, `claims` who may say which devices a claim has got
//! - `cache`, `watchers`, `filter`, `store` the watch cache over etcd
//! - `definitions` what makes a stored CustomResourceDefinition a served resource, and takes it away again
//! - `custom` what custom resources have instead of the knowledge about built-in kinds
//! - `tables`, `form`, `conversion` how answers look; `discovery`, `health` what is not about a resource
//! - `bootstrap` the server's own objects; `audit` the record of who asked for what; `witness` a close look at one request
//!
//! Follows `k8s.io/apiserver` and `pkg/registry` of Kubernetes 1.36.

mod access;
mod admission;
mod allocation;
mod audit;
mod bootstrap;
mod cache;
mod catalog;
mod claims;
mod conversion;
mod create;
mod custom;
mod cycle;
mod definitions;
mod delete;
mod discovery;
mod escalation;
mod exchange;
mod filter;
mod form;
mod health;
mod ingest;
mod node_authorizer;
mod openapi;
mod pipeline;
mod rbac;
mod read;
mod references;
mod seam;
mod store;
mod subresource;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod update;
mod watch;
mod watchers;
mod witness;

pub use allocation::SERVICE_CLUSTER_IP_RANGE;
pub use pipeline::InHand;

use std::sync::Arc;

use crate::shared_map::SharedMap;
use crate::sorted::SortedMap;

use crate::api::kind::Registry;
use crate::api::{Text, Value};
use crate::language::{Context, Input};
use crate::message::rest::{CloseReason, Closed};
use crate::message::{Message, etcd};
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{ApiServerTimer, Timer};

use allocation::Allocator;
use cache::Cache;
use catalog::Catalog;
use exchange::Exchange;
use store::{Purpose, Store};
use subresource::kubelet::Call;
use watchers::ExchangeId;

/// What a server is started with: its command line.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node that it runs on: `cp-1`.
    pub host: Text,
    /// `--advertise-address`.
    pub advertise_address: Text,
    /// There is no other API server beside this one.
    pub is_alone: bool,
    /// `--etcd-servers`: the first that answers is used.
    pub etcd: Vec<ActorId>,
    /// Whether the stages of each request are noted. Part of a scenario: it changes the numbers of the record's lines.
    pub notes_stages: bool,
    /// Whose writes `metadata.managedFields` tells.
    pub field_tracking: FieldTracking,
    /// Whether requests are audited (`--audit-log-path`).
    pub audits: bool,
}

/// Whose writes are recorded as the owners of fields. A real server records everybody's; recording those of the
/// cluster's own components costs more than all the rest of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTracking {
    Nobody,
    /// All but the cluster's own components.
    Users,
    Everybody,
}

impl Config {
    pub fn new(host: impl Into<Text>, advertise_address: impl Into<Text>, etcd: Vec<ActorId>) -> Config {
        Config {
            host: host.into(),
            advertise_address: advertise_address.into(),
            is_alone: true,
            etcd,
            notes_stages: true,
            field_tracking: FieldTracking::Users,
            audits: false,
        }
    }
}

const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The process. A clone is a checkpoint: it shares all objects and most of its tables.
#[derive(Clone)]
pub struct ApiServer {
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    /// By the catalog's numbers.
    caches: Vec<Arc<Cache>>,
    store: Store,
    /// Requests that are under way.
    exchanges: SharedMap<ExchangeId, Exchange>,
    /// Those that wait until the caches are as new as a revision.
    awaiting_revision: SharedMap<(u64, ExchangeId), Time>,
    /// Those that wait for a lease for their event.
    awaiting_lease: Vec<ExchangeId>,
    /// What admission has for the audit events of requests in hand.
    annotations: SortedMap<ExchangeId, Vec<(Text, Text)>>,
    /// Which cache an open watch looks at.
    streams: SharedMap<ExchangeId, usize>,
    /// When which stream gets a bookmark.
    bookmarks: SharedMap<(Time, ExchangeId), ()>,
    /// When which stream ends.
    ends: SharedMap<(Time, ExchangeId), ()>,
    /// Where kubelets listen, by node.
    kubelets: SharedMap<Text, ActorId>,
    /// What has been put through to kubelets, by the server's own numbers.
    calls: SharedMap<u64, Call>,
    feed: ingest::Feed,
    /// What etcd holds below `/registry/` and no resource claims, by whole key: instances of definitions that are not
    /// established.
    unclaimed: SharedMap<Text, Value>,
    allocator: Allocator,
    /// What users may do by roles, of those who have asked lately.
    keyrings: SharedMap<Text, Arc<rbac::Keyring>>,
    /// The pods of each node: `NODE/NAMESPACE/NAME`.
    bound: SharedMap<Text, ()>,
    bootstrap: bootstrap::Bootstrap,
    definitions: definitions::Definitions,
    /// The server is its own client for the objects it makes itself.
    own_requests: u64,
    witness: Option<Box<witness::Witness>>,
}

impl ApiServer {
    pub fn new(config: Config) -> ApiServer {
        let catalog = Catalog::new(Registry::new(), Vec::new());
        ApiServer {
            caches: catalog.by_cache.iter().map(|_| Arc::default()).collect(),
            catalog: Arc::new(catalog),
            store: Store::new(&config.etcd),
            config: Arc::new(config),
            exchanges: SharedMap::new(),
            awaiting_revision: SharedMap::new(),
            awaiting_lease: Vec::new(),
            annotations: SortedMap::new(),
            streams: SharedMap::new(),
            bookmarks: SharedMap::new(),
            ends: SharedMap::new(),
            kubelets: SharedMap::new(),
            calls: SharedMap::new(),
            feed: ingest::Feed::default(),
            unclaimed: SharedMap::new(),
            allocator: Allocator::default(),
            keyrings: SharedMap::new(),
            bound: SharedMap::new(),
            bootstrap: bootstrap::Bootstrap::default(),
            definitions: definitions::Definitions::default(),
            own_requests: 0,
            witness: None,
        }
    }
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Whether the caches are filled and requests are served.
    pub fn is_ready(&self) -> bool {
        self.feed.is_ready()
    }
    /// The revision up to which the caches know everything.
    pub fn revision(&self) -> u64 {
        self.feed.revision()
    }
    /// The clients and numbers of all requests and watches that are open: when the process dies, its host
    /// resets these connections.
    pub fn open_exchanges(&self) -> Vec<(ActorId, u64)> {
        self.exchanges.keys().chain(self.streams.keys()).copied().collect()
    }
    /// The resources that are served now, custom ones included.
    pub fn registry(&self) -> &Registry {
        &self.catalog.registry
    }
    /// The objects of a resource as the watch cache holds them, for pictures: never for deciding anything.
    pub fn cached(&self, group: &str, plural: &str) -> impl Iterator<Item = &Value> {
        let cache = self.catalog.find(group, plural).and_then(|route| route.cache);
        cache.and_then(|cache| self.caches.get(cache)).into_iter().flat_map(|cache| cache.objects.values())
    }
    /// Who watches what: client, its exchange, resource, events sent so far.
    pub fn watches(&self) -> impl Iterator<Item = (ActorId, u64, &Text, u64)> {
        self.caches.iter().zip(&self.catalog.by_cache).flat_map(|(cache, info)| {
            cache
                .watchers
                .iter()
                .map(|watcher| (watcher.exchange.0, watcher.exchange.1, &info.plural, watcher.sequence))
        })
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => self.start(context),
            Input::Message { from, message } => match message {
                Message::Request(request) => self.receive(from, request, context),
                Message::Closed(closed) => self.connection_closed(from, closed, context),
                Message::Ping { is_answer: false } => context.send(from, Message::Ping { is_answer: true }),
                Message::Response(response) => self.kubelet_answered(&response, context),
                Message::EtcdResponse(response) => self.etcd_answered(&response, context),
                Message::EtcdWatch(response) => self.changed(from, &response, context),
                _ => {}
            },
            Input::Timer(Timer::ApiServer(ApiServerTimer::Handled { client, id })) => {
                self.handled((client, id), context);
            }
            Input::Timer(Timer::ApiServer(ApiServerTimer::Housekeeping)) => self.housekeeping(context),
            Input::Timer(_) => {}
        }
    }

    /// The process begins: all it knew was in memory, and its old connections are gone.
    fn start(&mut self, context: &mut Context) {
        let me = context.me();
        for (client, id) in self.open_exchanges() {
            if client != me {
                context.send(client, Message::Closed(Closed { id, why: CloseReason::Reset }));
            }
        }
        // Node addresses are no memory of the process: they stand in etcd.
        let kubelets = self.kubelets.clone();
        *self = ApiServer::new((*self.config).clone());
        self.kubelets = kubelets;
        self.list_everything(context);
        context.periodic(HOUSEKEEPING, Timer::ApiServer(ApiServerTimer::Housekeeping));
    }

    fn connection_closed(&mut self, from: ActorId, closed: Closed, context: &mut Context) {
        let is_call = closed.why != CloseReason::Cancelled && self.kubelet_closed(closed.id, context);
        if !is_call {
            self.closed((from, closed.id));
        }
    }

    /// The client no longer wants its answer.
    fn closed(&mut self, exchange: ExchangeId) {
        self.end_stream(exchange);
        // A write that is under way goes on: it may be committed already. Nobody hears of it.
        if let Some(entry) = self.exchanges.get(&exchange)
            && entry.request.verb.is_read()
        {
            self.exchanges.remove(&exchange);
        }
    }

    fn etcd_answered(&mut self, response: &etcd::Response, context: &mut Context) {
        let purpose = self.store.answered(response, context);
        match response.result {
            Ok(_) => self.heard_of(response.revision, context.now()),
            Err(etcd::Error::Unavailable) => self.refused(context),
            Err(_) => {}
        }
        let Some(purpose) = purpose else { return };
        match purpose {
            Purpose::Exchange(exchange) => self.resume(exchange, Some(response), context),
            Purpose::List => self.listed(response, context),
            Purpose::Watch => self.watch_answered(response, context),
            Purpose::Lease => {
                self.store.lease_granted(response.result.is_ok(), context.now());
                for exchange in std::mem::take(&mut self.awaiting_lease) {
                    self.resume(exchange, None, context);
                }
            }
            Purpose::Signature { lease } if response.result.is_ok() => self.sign(lease, context),
            Purpose::Signature { .. } | Purpose::Errand | Purpose::Probe => {}
        }
    }

    /// Once a second.
    fn housekeeping(&mut self, context: &mut Context) {
        context.periodic(HOUSEKEEPING, Timer::ApiServer(ApiServerTimer::Housekeeping));
        for purpose in self.store.overdue(context) {
            match purpose {
                Purpose::Exchange(exchange) => self.give_up(exchange, context),
                Purpose::List => self.list_everything(context),
                Purpose::Watch => self.watch_everything(context),
                Purpose::Lease => {
                    self.store.lease_granted(false, context.now());
                    for exchange in std::mem::take(&mut self.awaiting_lease) {
                        self.resume(exchange, None, context);
                    }
                }
                Purpose::Signature { .. } | Purpose::Errand | Purpose::Probe => {}
            }
        }
        self.look_after_feed(context);
        self.look_after_streams(context);
        self.look_after_waiting(context);
        self.look_after_calls(context);
        self.look_after_own_objects(context);
        self.look_after_definitions(context);
    }

    /// The cached object of a shelf.
    pub(crate) fn shelf(&self, cache: usize, key: &str) -> Option<&Value> {
        self.caches.get(cache).and_then(|cache| cache.get(key))
    }
}
