//! cloud-controller-manager of a simulated cloud, as far as its service controller goes.
//!
//! Picture to hold in mind: the landlord of the street. Whoever puts up a shop sign (a Service of type LoadBalancer) is given a
//! house number of the street, and one of the houses is told to take in what is sent there.
//!
//! It is an add-on; without it such a Service waits for its address, as on a machine room's own cluster. As with
//! [`crate::kube_proxy`], the process begins and ends with its container, and what it has told the machines stays.
//!
//! Follows `cloud-provider/controllers/service/controller.go`: the finalizer, the status, which nodes are left out. The cloud
//! itself is as plain as it can be: of the nodes that may, one takes in all that is sent to an address, until it may no longer.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::{Text, Value, meta};
use crate::arrange::Gather;
use crate::client::daemon::{Daemon, Event};
use crate::client::store::key_of;
use crate::client::{Selection, Store, request};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::{PatchType, Resource};
use crate::network::proxy::service_of_slice;
use crate::sim::ActorId;
use crate::{array, object};

/// The actor. A clone is one pointer.
#[derive(Clone)]
pub struct CloudController {
    state: Arc<State>,
}

#[derive(Clone)]
struct State {
    daemon: Daemon,
    /// Which node takes in what is sent to an address, as the machines were told.
    told: Arc<Vec<(IpAddr, Text)>>,
}

/// Places of the informers.
const SERVICES: usize = 0;
const SLICES: usize = 1;
const NODES: usize = 2;

/// `servicehelper.LoadBalancerCleanupFinalizer`.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Addresses that the cloud has to give: 192.168.56.200 to .249.
const POOL: std::ops::Range<u8> = 200..250;

impl CloudController {
    pub fn new(servers: Vec<ActorId>, engine: ActorId) -> CloudController {
        let kinds = [("", "services"), ("discovery.k8s.io", "endpointslices"), ("", "nodes")];
        let selections = Selection::all_of(&kinds);
        let daemon = Daemon::new(servers, engine, "cloud-controller-manager", selections).of_add_on();
        let state = State { daemon, told: Arc::default() };
        CloudController { state: Arc::new(state) }
    }
    pub fn handle(&mut self, input: Input, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        if let Event::News { .. } = state.daemon.handle(input, context)
            && state.daemon.informers().have_synced()
        {
            state.sync(context);
        }
    }
}

fn address_of(service: &Value) -> Option<IpAddr> {
    service.items("status.loadBalancer.ingress").first()?.text("ip").parse().ok()
}

impl State {
    fn sync(&mut self, context: &mut Context) {
        let stores = self.daemon.informers().stores().clone();
        let services = || stores[SERVICES].values();
        let is_wanted = |service: &Value| {
            service.text("spec.type") == "LoadBalancer"
                && !service.has("spec.loadBalancerClass")
                && !meta::is_deleting(service)
        };
        let mut taken: Vec<IpAddr> = services().filter(|one| is_wanted(one)).filter_map(address_of).gather();
        let mut table = Vec::new();
        for service in services() {
            let finalizers = service.items("metadata.finalizers");
            let has_finalizer = finalizers.iter().any(|one| one.as_str() == Some(FINALIZER));
            if !is_wanted(service) {
                if has_finalizer {
                    let rest: Vec<Value> =
                        finalizers.iter().filter(|one| one.as_str() != Some(FINALIZER)).cloned().gather();
                    self.patch(
                        service,
                        "",
                        object! { "metadata" => object! { "finalizers" => rest } },
                        context,
                    );
                }
                continue;
            }
            if !has_finalizer {
                let mut all = finalizers.to_vec();
                all.push(FINALIZER.into());
                self.patch(service, "", object! { "metadata" => object! { "finalizers" => all } }, context);
                continue;
            }
            let Some(address) = address_of(service) else {
                let wanted = service.text("spec.loadBalancerIP").parse().ok();
                let free = POOL.map(|last| IpAddr::from([192, 168, 56, last]));
                let free = wanted.into_iter().chain(free).find(|address| !taken.contains(address));
                let Some(address) = free else { continue };
                taken.push(address);
                let ingress = array![object! { "ip" => address.to_string(), "ipMode" => "VIP" }];
                let status = object! { "loadBalancer" => object! { "ingress" => ingress } };
                self.patch(service, "status", object! { "status" => status }, context);
                continue;
            };
            let nodes = able(&stores, service);
            let before = self.told.iter().find(|(told, _)| *told == address).map(|(_, node)| node);
            let node = nodes.iter().find(|node| Some(*node) == before).or(nodes.first());
            table.extend(node.map(|node| (address, node.clone())));
        }
        if table != *self.told {
            self.told = Arc::new(table);
            let announce = Message::node(NodeMessage::Announce(self.told.clone()));
            context.send(self.daemon.engine(), announce);
        }
    }

    fn patch(&mut self, service: &Value, subresource: &str, patch: Value, context: &mut Context) {
        let services = Resource::new("", "v1", "services");
        let (namespace, name) = (meta::namespace(service), meta::name(service));
        let request = request::patch(&services, namespace, name, PatchType::Merge, patch);
        self.daemon.change(service, request.subresource(subresource), context);
    }
}

/// The nodes that may take in what is sent to a service: those that are ready and not left out; with a traffic policy Local
/// those that have an endpoint, too.
fn able(stores: &[Store], service: &Value) -> Vec<Text> {
    let is_local = service.text("spec.externalTrafficPolicy") == "Local";
    let key = key_of(service);
    let slices = || stores[SLICES].values().filter(|slice| service_of_slice(slice).as_ref() == Some(&key));
    let has_endpoint = |node: &str| {
        slices()
            .flat_map(|slice| slice.items("endpoints"))
            .any(|one| one.text("nodeName") == node && one.at("conditions.ready").as_bool().unwrap_or(true))
    };
    let is_able = |node: &&Value| {
        meta::is_condition_true(node, "Ready")
            && meta::label(node, EXCLUDED).is_none()
            && (!is_local || has_endpoint(meta::name(node)))
    };
    let nodes = stores[NODES].values().filter(is_able);
    nodes.map(|node| node.shared_text("metadata.name")).gather()
}
