//! CoreDNS of one node: watches Services, EndpointSlices and Namespaces, and answers what is asked on port 53.
//!
//! Picture to hold in mind: directory inquiries. The operator keeps a copy of the telephone book that is brought up to
//! date all day long, and reads numbers out of it; before the first copy has come he can only say that he does not know.
//!
//! As with [`crate::kube_proxy`], it lives in its containers: it begins with the first one that runs on the node, and
//! ends with the last. Of several on one node one copy of the book serves all.
//!
//! Follows CoreDNS' plugin kubernetes (`controller.go`: which objects are watched; SERVFAIL until they are there).

use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::client::daemon::{Daemon, Event};
use crate::client::{Selection, Store};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Resource;
use crate::network::dns::{self, Failure, Zone};
use crate::network::proxy::service_of_slice;
use crate::sim::{ActorId, Duration};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct CoreDns {
    daemon: Arc<Daemon>,
}

/// Places of the informers.
const SERVICES: usize = 0;
const SLICES: usize = 1;
const NAMESPACES: usize = 2;

/// Until an answer is out: the magnitude of an idle machine.
const LATENCY: Duration = Duration(250);

fn slice_services(slice: &Value) -> Vec<Text> {
    service_of_slice(slice).into_iter().collect()
}

impl CoreDns {
    pub fn new(servers: Vec<ActorId>, engine: ActorId) -> CoreDns {
        let kinds = [("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "namespaces")];
        let selections = kinds
            .iter()
            .map(|(group, plural)| Selection::all(&Resource::new(*group, "v1", *plural)))
            .collect();
        let mut daemon = Daemon::new(servers, engine, "coredns", selections);
        daemon.add_index(SLICES, "service", slice_services);
        CoreDns { daemon: Arc::new(daemon) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        let event = Arc::make_mut(&mut self.daemon).handle(input, context);
        if let Event::Other(Input::Message { message: Message::Node(message), .. }) = event
            && let NodeMessage::Query { id, kind, name } = &*message
        {
            let answer =
                self.zone().map_or(Err(Failure::ServerFailure), |zone| dns::answer(zone, *kind, name));
            let records = NodeMessage::Records { id: *id, answer };
            context.send_after(LATENCY, self.daemon.engine(), Message::node(records));
        }
    }
    /// A container of it runs.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }
    /// What it answers from; `None` until it has heard of the whole cluster.
    pub fn zone(&self) -> Option<&dyn Zone> {
        let zone: &dyn Zone = self;
        Some(zone).filter(|_| self.is_running() && self.daemon.informers().have_synced())
    }
    fn store(&self, informer: usize) -> &Store {
        self.daemon.informers().store(informer)
    }
}

impl Zone for CoreDns {
    fn service(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.store(SERVICES).get_by_name(namespace, name)
    }
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value> {
        self.store(SLICES).by_index("service", &crate::client::store::key(namespace, name)).collect()
    }
    fn has_namespace(&self, name: &str) -> bool {
        self.store(NAMESPACES).values().any(|namespace| meta::name(namespace) == name)
    }
}
