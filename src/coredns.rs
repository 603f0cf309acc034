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
use crate::client::informer::InformerIndex;
use crate::client::{Answer, Connection, Informers, Selection, Store};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::{Resource, User};
use crate::network::dns::{self, Failure, Zone};
use crate::network::proxy::service_of_slice;
use crate::shared_map::SharedSet;
use crate::sim::{ActorId, Duration};
use crate::timer::{ClientTimer, Timer};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct CoreDns {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    server: ActorId,
    /// The keeper of the node's containers, who brings the questions.
    engine: ActorId,
    connection: Connection<Purpose>,
    informers: Informers,
    /// Its containers that run.
    containers: SharedSet<Text>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Purpose(usize);

impl From<InformerIndex> for Purpose {
    fn from(index: InformerIndex) -> Purpose {
        Purpose(index.0)
    }
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
    pub fn new(server: ActorId, engine: ActorId) -> CoreDns {
        CoreDns { state: Arc::new(State::new(server, engine)) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        Arc::make_mut(&mut self.state).handle(input, context);
    }
    /// A container of it runs.
    pub fn is_running(&self) -> bool {
        !self.state.containers.is_empty()
    }
    /// What it answers from; `None` until it has heard of the whole cluster.
    pub fn zone(&self) -> Option<&dyn Zone> {
        let zone: &dyn Zone = &*self.state;
        Some(zone).filter(|_| self.is_running() && self.state.informers.have_synced())
    }
}

impl Zone for State {
    fn service(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.informers.store(SERVICES).get_by_name(namespace, name)
    }
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value> {
        let key = crate::client::store::key(namespace, name);
        self.informers.store(SLICES).by_index("service", &key).collect()
    }
    fn has_namespace(&self, name: &str) -> bool {
        let mut namespaces = Store::values(self.informers.store(NAMESPACES));
        namespaces.any(|namespace| meta::name(namespace) == name)
    }
}

impl State {
    fn new(server: ActorId, engine: ActorId) -> State {
        let mut connection = Connection::new(server);
        let user =
            Arc::new(User { name: "system:serviceaccount:kube-system:coredns".into(), groups: Vec::new() });
        // The client's defaults: 5 requests a second, 10 in a burst.
        let window = connection.window(user, "coredns", 5, 10);
        let mut informers = Informers::default();
        for (group, plural) in [("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "namespaces")]
        {
            informers.add(Selection::all(&Resource::new(group, "v1", plural)), window);
        }
        informers.add_index(SLICES, "service", slice_services);
        State { server, engine, connection, informers, containers: SharedSet::default() }
    }

    fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.forget();
                context.send(self.engine, Message::Node(NodeMessage::Attach));
            }
            Input::Message { message: Message::Node(message), .. } => match message {
                NodeMessage::Exec { container } => {
                    let is_first = self.containers.is_empty();
                    self.containers.include(container);
                    if is_first {
                        self.informers.start(context, &mut self.connection);
                    }
                }
                NodeMessage::Exit { container } => {
                    self.containers.remove(&container);
                    if self.containers.is_empty() {
                        // The kernel closes what a process leaves open.
                        for index in 0..self.informers.iter().count() {
                            self.connection.cancel_watch(&Purpose(index), context);
                        }
                        self.forget();
                    }
                }
                NodeMessage::Query { id, kind, name } if !self.containers.is_empty() => {
                    let answer = match self.informers.have_synced() {
                        true => dns::answer(self, kind, &name),
                        false => Err(Failure::ServerFailure),
                    };
                    let records = NodeMessage::Records { id, answer };
                    context.send_after(LATENCY, self.engine, Message::Node(records));
                }
                _ => {}
            },
            // What still comes for a process that has ended is read by nobody.
            _ if self.containers.is_empty() => {}
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
            Input::Timer(_) => {}
        }
    }

    /// The process is gone, with all that it held in memory.
    fn forget(&mut self) {
        let mut connection = self.connection.clone();
        connection.restart();
        *self = State { connection, ..State::new(self.server, self.engine) };
    }

    fn answered(&mut self, Purpose(index): Purpose, answer: Answer, context: &mut Context) {
        self.informers.receive(context, &mut self.connection, index, answer);
    }
}
