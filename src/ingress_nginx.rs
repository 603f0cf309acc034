//! ingress-nginx of one node: watches Ingresses and what they name, and says of each request which endpoint it is for.
//!
//! Picture to hold in mind: the porter of an office building. Whoever comes in says whom he wants to see (the Host header)
//! and about what (the path); the porter looks into his list, and sends him straight to a desk that is manned just now.
//!
//! An add-on; as with [`crate::coredns`] the process begins and ends with its containers, and several on one node share what
//! it knows. Carrying requests and answers is the engine's work (`kubelet/runtime/proxy.rs`).
//!
//! Follows `ingress-nginx`: which Ingresses are its own (`store.GetIngressClass`), servers and locations (`controller.go`,
//! nginx's own order of locations), endpoints instead of cluster IPs, the status (`status.go`).

use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::arrange::{Arrange, Gather};
use crate::client::daemon::{Daemon, Event};
use crate::client::store::key;
use crate::client::{Selection, Store, request};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::Resource;
use crate::network::proxy::service_of_slice;
use crate::object;
use crate::sim::ActorId;
use crate::sorted::SortedMap;

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct IngressNginx {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    daemon: Daemon,
    /// Whose turn it is, by backend.
    turns: SortedMap<Text, usize>,
}

/// Places of the informers.
const INGRESSES: usize = 0;
const CLASSES: usize = 1;
const SERVICES: usize = 2;
const SLICES: usize = 3;
const NODES: usize = 4;

/// `--controller-class`.
const CONTROLLER: &str = "k8s.io/ingress-nginx";
/// `--publish-service`.
const OWN_SERVICE: &str = "ingress-nginx/ingress-nginx-controller";
const MOVED: u16 = 308;
const NOT_FOUND: u16 = 404;
const UNAVAILABLE: u16 = 503;

impl IngressNginx {
    pub fn new(servers: Vec<ActorId>, engine: ActorId) -> IngressNginx {
        const NETWORKING: &str = "networking.k8s.io";
        let kinds = [
            (NETWORKING, "ingresses"),
            (NETWORKING, "ingressclasses"),
            ("", "services"),
            ("discovery.k8s.io", "endpointslices"),
            ("", "nodes"),
        ];
        let selections = Selection::all_of(&kinds);
        let daemon = Daemon::new(servers, engine, "ingress-nginx", selections).of_add_on();
        let state = State { daemon, turns: SortedMap::new() };
        IngressNginx { state: Arc::new(state) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let has_begun = matches!(&input, Input::Message { message: Message::Node(message), .. }
            if matches!(**message, NodeMessage::Exec { .. }));
        let is_first = match state.daemon.handle(input, context) {
            Event::Forgot => {
                state.turns = SortedMap::new();
                false
            }
            Event::News { is_first, .. } if state.daemon.informers().have_synced() => {
                state.publish(context);
                is_first
            }
            Event::Other(Input::Message { message: Message::Node(message), .. }) => {
                if let NodeMessage::Forward { id, host, path, is_tls } = &*message {
                    let upstream = NodeMessage::Upstream { id: *id, to: state.route(host, path, *is_tls) };
                    context.send(state.daemon.engine(), Message::node(upstream));
                }
                false
            }
            _ => false,
        };
        // nginx is started with the first configuration.
        if is_first || (has_begun && state.daemon.informers().have_synced()) {
            for container in state.daemon.containers() {
                let words = "\"Starting NGINX process\"\n".into();
                let say = NodeMessage::Say {
                    container: container.clone(),
                    words,
                    ports: Some(vec![80, 443, 10254]),
                };
                context.send(state.daemon.engine(), Message::node(say));
            }
        }
    }
}

fn is_own(stores: &[Store], ingress: &Value) -> bool {
    let class = ingress.text("spec.ingressClassName");
    if class.is_empty() {
        return meta::annotation(ingress, "kubernetes.io/ingress.class") == Some("nginx");
    }
    stores[CLASSES].get(class).is_some_and(|class| class.text("spec.controller") == CONTROLLER)
}

/// How well a path is met: by how many bytes, and whether wholly; `None`: not at all.
fn fit(rule: &Value, path: &str) -> Option<(usize, bool)> {
    let (wanted, kind) = (rule.text("path"), rule.text("pathType"));
    let fits = match kind {
        "Exact" => path == wanted,
        // Element by element.
        "Prefix" => path
            .strip_prefix(wanted.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        // As a location of nginx: byte by byte.
        _ => path.starts_with(wanted),
    };
    fits.then_some((wanted.len(), kind == "Exact"))
}

/// Whether a section of TLS names the host of a rule.
fn is_for(tls: &Value, host: &str) -> bool {
    tls.items("hosts").iter().any(|one| one.as_str() == Some(host))
}

fn slices<'a>(stores: &'a [Store], service: &'a str) -> impl Iterator<Item = &'a Value> {
    stores[SLICES].values().filter(move |slice| service_of_slice(slice).is_some_and(|name| name == service))
}

/// Where this controller is reached: at its Service's load balancer, or else at the nodes that it runs on.
fn addresses(stores: &[Store]) -> Vec<Value> {
    let service = stores[SERVICES].get(OWN_SERVICE);
    let balancers = service.map_or(&[][..], |service| service.items("status.loadBalancer.ingress"));
    let mut found: Vec<Text> = balancers.iter().map(|one| one.shared_text("ip")).gather();
    if found.is_empty() {
        for endpoint in slices(stores, OWN_SERVICE).flat_map(|slice| slice.items("endpoints")) {
            let node = stores[NODES].get(endpoint.text("nodeName"));
            let all = node.map_or(&[][..], |node| node.items("status.addresses"));
            let address = all.iter().find(|one| one.text("type") == "InternalIP");
            found.extend(address.map(|one| one.shared_text("address")));
        }
    }
    found.arrange();
    found.dedup();
    found.into_iter().map(|ip| object! { "ip" => ip }).gather()
}

impl State {
    /// Writes into the status of its Ingresses where they are reached.
    fn publish(&mut self, context: &mut Context) {
        let stores = self.daemon.informers().stores().clone();
        let addresses = addresses(&stores);
        let is_told = |ingress: &Value| ingress.items("status.loadBalancer.ingress") == addresses.as_slice();
        for ingress in stores[INGRESSES].values() {
            if addresses.is_empty() || is_told(ingress) || !is_own(&stores, ingress) {
                continue;
            }
            let mut new = ingress.clone();
            new.set("status.loadBalancer.ingress", addresses.clone());
            let resource = Resource::new("networking.k8s.io", "v1", "ingresses");
            self.daemon.change(ingress, request::update_status(&resource, new), context);
        }
    }

    /// The endpoint that a request is for, or the status that it is answered with.
    fn route(&mut self, host: &str, path: &str, is_tls: bool) -> Result<(Text, u16), u16> {
        let stores = self.daemon.informers().stores().clone();
        let host = host.split(':').next().unwrap_or("").to_ascii_lowercase();
        let path = path.split('?').next().unwrap_or("");
        let mut ingresses: Vec<&Value> =
            stores[INGRESSES].values().filter(|ingress| is_own(&stores, ingress)).gather();
        // Of two that want the same the older one has it.
        ingresses.arrange_by_key(|ingress| ingress.shared_text("metadata.creationTimestamp"));
        // A wildcard stands for one label. The last one is the server for all that have none.
        let wildcard = host.split_once('.').map_or(String::new(), |(_, rest)| ["*.", rest].concat());
        for name in [host.as_str(), &wildcard, ""] {
            let mut best: Option<((usize, bool), &Value, &Value)> = None;
            let (mut otherwise, mut has_server) = (None, name.is_empty());
            for ingress in &ingresses {
                let rules = ingress.items("spec.rules");
                let of_host = || rules.iter().filter(|rule| rule.text("host") == name);
                let is_for_all = name.is_empty() && rules.is_empty();
                if of_host().next().is_none() && !is_for_all {
                    continue;
                }
                has_server = true;
                if otherwise.is_none() && ingress.has("spec.defaultBackend") {
                    otherwise = Some((*ingress, ingress.at("spec.defaultBackend")));
                }
                for rule in of_host().flat_map(|rule| rule.items("http.paths")) {
                    if let Some(fit) = fit(rule, path)
                        && best.is_none_or(|(other, ..)| fit > other)
                    {
                        best = Some((fit, ingress, rule.at("backend")));
                    }
                }
            }
            if has_server {
                let found = best.map(|(_, ingress, backend)| (ingress, backend)).or(otherwise);
                let (ingress, backend) = found.ok_or(NOT_FOUND)?;
                // `ssl-redirect`; a certificate that is not there is replaced by nginx's own.
                if !is_tls && ingress.items("spec.tls").iter().any(|one| is_for(one, name)) {
                    return Err(MOVED);
                }
                return self.endpoint(&stores, meta::namespace(ingress), backend).ok_or(UNAVAILABLE);
            }
        }
        Err(NOT_FOUND)
    }

    /// The next endpoint of a backend.
    fn endpoint(&mut self, stores: &[Store], namespace: &str, backend: &Value) -> Option<(Text, u16)> {
        let service = key(namespace, backend.text("service.name"));
        let (name, number) = (backend.text("service.port.name"), backend.integer("service.port.number"));
        let is_it = |port: &&Value| match number {
            Some(_) => port.integer("port") == number,
            None => port.text("name") == name,
        };
        let port = stores[SERVICES].get(&service)?.items("spec.ports").iter().find(is_it)?.text("name");
        let mut all: Vec<(Text, u16)> = Vec::new();
        for slice in slices(stores, &service) {
            let number = slice.items("ports").iter().find(|one| one.text("name") == port);
            let Some(number) = number.and_then(|one| one.integer("port")?.try_into().ok()) else { continue };
            for one in slice.items("endpoints") {
                if one.at("conditions.ready").as_bool().unwrap_or(true) {
                    all.extend(one.items("addresses").first()?.as_str().map(|ip| (ip.into(), number)));
                }
            }
        }
        let backend = arcstr::format!("{service}:{port}");
        let turn = self.turns.get(&backend).map_or(0, |turn| turn + 1);
        let found = all.get(turn.checked_rem(all.len())?).cloned();
        self.turns.insert(backend, turn % all.len());
        found
    }
}
