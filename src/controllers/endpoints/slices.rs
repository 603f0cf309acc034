//! endpointslice-controller: what stands behind a Service, on leaves of a hundred lines.
//!
//! Picture to hold in mind: a loose-leaf binder: a changed line means one leaf rewritten, not the whole book. An
//! empty service has one empty leaf, so that nobody takes "nothing" for "not known yet".
//!
//! After `pkg/controller/endpointslice` and `k8s.io/endpointslice/reconciler.go`.

use crate::api::{Text, Value, meta};
use crate::arrange::{Arrange, Gather};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::{key, key_of};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::hash;
use crate::controllers::kinds::{ENDPOINT_SLICE, NODE, POD, SERVICE};
use crate::controllers::pod_control::is_namespace_terminating;
use crate::sorted::SortedMap;
use crate::{array, object};

use super::{
    HEADLESS, TRIGGER_TIME, TriggerTimes, add_services, belongs_in_endpoints, find_port, hostname,
    is_headless, selects, set_trigger_time, target_reference,
};

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const ENDPOINTS_A_SLICE: usize = 100;
/// The index of slices by the service that they are of.
pub(super) const BY_SERVICE: &str = "service";

/// Files slices under `namespace/service`.
pub(super) fn by_service(slice: &Value) -> Vec<Text> {
    meta::label(slice, SERVICE_NAME).map(|name| key(meta::namespace(slice), name)).into_iter().collect()
}

#[derive(Clone, Default)]
pub struct EndpointSliceController {
    trigger_times: TriggerTimes,
    /// Slices written and not yet seen: by service, UID to generation.
    written: SortedMap<Text, SortedMap<Text, i64>>,
    services: usize,
    pods: usize,
    nodes: usize,
    slices: usize,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Changes {
    pub create: Vec<Value>,
    pub update: Vec<Value>,
    pub delete: Vec<Value>,
}

/// Endpoints that answer on the same ports.
pub(super) struct Group {
    /// `Null` where the service names none.
    pub ports: Value,
    pub endpoints: Vec<Value>,
}

fn identity(endpoint: &Value) -> (Text, Text) {
    let address = endpoint.items("addresses").first().and_then(Value::as_str).unwrap_or("");
    (endpoint.shared_text("targetRef.uid"), address.into())
}
fn by_identity(endpoints: &[Value]) -> SortedMap<(Text, Text), Value> {
    endpoints.iter().map(|endpoint| (identity(endpoint), endpoint.clone())).gather()
}

/// Brings `existing` slices to hold `groups`, writing as few of them as need be. `blank` is a new, empty slice;
/// `labels` are what every slice has.
pub(super) fn reconcile(existing: Vec<Value>, groups: Vec<Group>, blank: &Value, labels: &Value) -> Changes {
    let mut changes = Changes::default();
    let mut by_ports: Vec<(Value, Vec<Value>)> = Vec::new();
    for slice in existing {
        let ports = slice.at("ports").clone();
        let ports = if ports.is_empty() { Value::Null } else { ports };
        match by_ports.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, slices)) => slices.push(slice),
            None => by_ports.push((ports, vec![slice])),
        }
    }
    for group in &groups {
        let position = by_ports.iter().position(|(ports, _)| *ports == group.ports);
        let slices = position.map(|position| by_ports.swap_remove(position).1).unwrap_or_default();
        fill(slices, group, blank, labels, &mut changes);
    }
    // Slices of ports that nobody has any more.
    changes.delete.extend(by_ports.into_iter().flat_map(|(_, slices)| slices));
    // What would be created takes the place of what would be deleted.
    while !changes.create.is_empty() && !changes.delete.is_empty() {
        if let (Some(new), Some(old)) = (changes.create.pop(), changes.delete.pop()) {
            let mut reused = new;
            reused.set("metadata", old.at("metadata"));
            reused.set("metadata.labels", labels);
            changes.update.push(reused);
        }
    }
    changes
}

/// Distributes one group over its slices.
fn fill(slices: Vec<Value>, group: &Group, blank: &Value, labels: &Value, changes: &mut Changes) {
    let mut wanted = by_identity(&group.endpoints);
    // First what stays and what changes where it is.
    let mut open: Vec<(Value, Vec<Value>, bool)> = Vec::new();
    for slice in slices {
        let mut kept = Vec::new();
        let mut is_changed = *slice.at("metadata.labels") != *labels;
        for endpoint in slice.items("endpoints") {
            match wanted.remove(&identity(endpoint)) {
                Some(now) => {
                    is_changed |= now != *endpoint;
                    kept.push(now);
                }
                None => is_changed = true,
            }
        }
        open.push((slice, kept, is_changed));
    }
    // Newcomers go where something is written anyway, then where there is room, then onto new slices.
    let mut newcomers: Vec<Value> = wanted.into_values().collect();
    open.arrange_by_key(|(_, kept, is_changed)| (!*is_changed, std::cmp::Reverse(kept.len())));
    for (_, kept, is_changed) in &mut open {
        while kept.len() < ENDPOINTS_A_SLICE
            && let Some(newcomer) = newcomers.pop()
        {
            kept.push(newcomer);
            *is_changed = true;
        }
    }
    let total = open.len();
    let mut emptied = 0;
    for (mut slice, kept, is_changed) in open {
        if kept.is_empty() && emptied + 1 < total {
            emptied += 1;
            changes.delete.push(slice);
        } else if is_changed {
            slice.set("metadata.labels", labels);
            slice.set("endpoints", kept);
            changes.update.push(slice);
        }
    }
    for chunk in newcomers.chunks(ENDPOINTS_A_SLICE) {
        let mut slice = blank.clone();
        slice.set("endpoints", chunk.to_vec()).set("ports", &group.ports);
        changes.create.push(slice);
    }
    if newcomers.is_empty() && total == 0 {
        changes.create.push(blank.clone());
    }
}

/// Ports stand in the order of their hashes (`portsInOrder`): over the struct as Go's spew prints it.
pub(super) fn port_order(port: &Value) -> u128 {
    let part = |name: &str, kind: &str| match port.at(name) {
        Value::Null => format!("(*{kind})<nil>"),
        Value::String(text) => format!("(*{kind}){text}"),
        other => format!("(*{kind}){other}"),
    };
    hash::fnv128a(&format!(
        "(v1.EndpointPort){{Name:{} Protocol:{} Port:{} AppProtocol:{}}}",
        part("name", "string"),
        part("protocol", "v1.Protocol"),
        part("port", "int32"),
        part("appProtocol", "string")
    ))
}

impl EndpointSliceController {
    fn endpoint(&self, call: &Call, service: &Value, pod: &Value, is_v6: bool) -> Option<Value> {
        let addresses: Vec<Value> = pod
            .items("status.podIPs")
            .iter()
            .map(|ip| ip.shared_text("ip"))
            .filter(|ip| ip.contains(':') == is_v6)
            .map(Value::from)
            .collect();
        if addresses.is_empty() {
            return None;
        }
        let serving = super::pods::is_ready(pod);
        let terminating = meta::is_deleting(pod);
        let ready = service.is_true("spec.publishNotReadyAddresses") || (serving && !terminating);
        let mut endpoint = object! {
            "addresses" => addresses,
            "conditions" => object! {
                "ready" => ready, "serving" => serving, "terminating" => terminating,
            },
            "targetRef" => target_reference(pod),
        };
        let node = pod.text("spec.nodeName");
        if !node.is_empty() {
            endpoint.set("nodeName", node);
            let zone = call
                .store(self.nodes)
                .get(node)
                .and_then(|node| meta::label(node, "topology.kubernetes.io/zone"));
            if let Some(zone) = zone {
                endpoint.set("zone", zone);
            }
            // `trafficdist.ReconcileHints`; the annotation has precedence, and is not followed here.
            let how = service.text("spec.trafficDistribution");
            let is_close = ["PreferClose", "PreferSameZone", "PreferSameNode"].contains(&how);
            if ready && is_close && meta::annotation(service, TOPOLOGY_MODE).is_none() {
                if let Some(zone) = zone {
                    endpoint.set("hints.forZones", array![object! { "name" => zone }]);
                }
                if how == "PreferSameNode" {
                    endpoint.set("hints.forNodes", array![object! { "name" => node }]);
                }
            }
        }
        if let Some(hostname) = hostname(pod, service) {
            endpoint.set("hostname", hostname);
        }
        Some(endpoint)
    }
    fn groups(&self, call: &Call, service: &Value, pods: &[Value], is_v6: bool) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for pod in pods.iter().filter(|pod| belongs_in_endpoints(pod, true)) {
            let Some(endpoint) = self.endpoint(call, service, pod, is_v6) else { continue };
            let mut ports: Vec<Value> = service
                .items("spec.ports")
                .iter()
                .filter_map(|service_port| {
                    let mut port = object! {
                        "name" => service_port.text("name"),
                        "port" => find_port(pod, service_port)?,
                        "protocol" => service_port.at("protocol"),
                    };
                    if service_port.has("appProtocol") {
                        port.set("appProtocol", service_port.at("appProtocol"));
                    }
                    Some(port)
                })
                .collect();
            ports.arrange_by_key(port_order);
            let ports = if ports.is_empty() { Value::Null } else { Value::from(ports) };
            match groups.iter_mut().find(|group| group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { ports, endpoints: vec![endpoint] }),
            }
        }
        groups
    }

    fn sync_service(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let service_key = call.key().clone();
        let Some(service) = call.store(self.services).get(&service_key).cloned() else {
            if call.once() {
                self.trigger_times.forget(&service_key);
                self.written.remove(&service_key);
            }
            return Ok(());
        };
        if service.text("spec.type") == "ExternalName" || service.map("spec.selector").is_empty() {
            return Ok(());
        }
        let namespace = meta::namespace(&service).to_owned();
        let mut existing: Vec<Value> = call
            .store(self.slices)
            .by_index(BY_SERVICE, &service_key)
            .filter(|slice| meta::label(slice, MANAGED_BY) == Some(MANAGER) && !meta::is_deleting(slice))
            .map(|slice| ENDPOINT_SLICE.named(slice))
            .collect();
        let is_stale = call.remember(|| i64::from(self.is_stale(&service_key, &existing))) == 1;
        if is_stale {
            return Err(Interrupt::Failed("EndpointSlice informer cache is out of date".into()));
        }
        let pods: Vec<Value> = call
            .store(self.pods)
            .in_namespace(&namespace)
            .filter(|pod| selects(&service, pod))
            .cloned()
            .collect();
        let trigger_us = call.remember(|| self.trigger_times.compute(&service_key, &service, &pods));
        let mut families: Vec<&str> =
            service.items("spec.ipFamilies").iter().filter_map(Value::as_str).collect();
        if families.is_empty() {
            families.push("IPv4");
        }
        let labels = labels(&service);
        let mut changes = Changes::default();
        for family in families {
            let (mine, others): (Vec<Value>, Vec<Value>) =
                existing.into_iter().partition(|slice| slice.text("addressType") == family);
            existing = others;
            let mut groups = self.groups(call, &service, &pods, family == "IPv6");
            if groups.is_empty() {
                // One empty slice stands for "nobody".
                groups.push(Group { ports: Value::Null, endpoints: Vec::new() });
            }
            let found = reconcile(mine, groups, &blank(&service, family, &labels), &labels);
            changes.create.extend(found.create);
            changes.update.extend(found.update);
            changes.delete.extend(found.delete);
        }
        // Families that the service no longer has.
        changes.delete.extend(existing);
        for slice in changes.create.iter_mut().chain(&mut changes.update) {
            set_trigger_time(slice, trigger_us);
        }
        self.write(call, &service_key, &namespace, changes)
    }
    fn is_stale(&self, service: &str, cached: &[Value]) -> bool {
        self.written.get(service).is_some_and(|written| {
            written.iter().any(|(uid, generation)| {
                !cached
                    .iter()
                    .any(|slice| meta::uid(slice) == uid.as_str() && meta::generation(slice) >= *generation)
            })
        })
    }
    fn write(
        &mut self,
        call: &mut Call,
        service: &Text,
        namespace: &str,
        changes: Changes,
    ) -> Result<(), Interrupt> {
        let creations = changes
            .create
            .into_iter()
            .map(|slice| request::create(&ENDPOINT_SLICE.resource, namespace, slice));
        let updates =
            changes.update.into_iter().map(|slice| request::update(&ENDPOINT_SLICE.resource, slice));
        for request in creations.chain(updates).collect::<Vec<_>>() {
            match call.attempt(request)? {
                Ok(slice) => {
                    if call.once() {
                        let written = self.written.entry(service.clone()).or_default();
                        written.insert(slice.shared_text("metadata.uid"), meta::generation(&slice));
                    }
                }
                Err(status) if is_namespace_terminating(&status) => return Ok(()),
                Err(status) => return Err(Interrupt::from_status(&status)),
            }
        }
        for slice in changes.delete {
            if call.once()
                && let Some(written) = self.written.get_mut(service)
            {
                written.remove(meta::uid(&slice));
            }
            call.delete(&ENDPOINT_SLICE.resource, namespace, meta::name(&slice))?;
        }
        Ok(())
    }
}

/// What every slice of `service` is labelled with.
fn labels(service: &Value) -> Value {
    let mut labels = service.at("metadata.labels").clone();
    let fields = labels.make_object();
    for reserved in [HEADLESS, SERVICE_NAME, MANAGED_BY] {
        fields.remove(reserved);
    }
    if is_headless(service) {
        fields.insert(HEADLESS, "");
    }
    fields.insert(SERVICE_NAME, meta::name(service));
    fields.insert(MANAGED_BY, MANAGER);
    labels
}
fn blank(service: &Value, address_type: &str, labels: &Value) -> Value {
    object! {
        "apiVersion" => &ENDPOINT_SLICE.api_version,
        "kind" => &ENDPOINT_SLICE.kind,
        "metadata" => object! {
            "generateName" => arcstr::format!("{}-", meta::name(service)),
            "namespace" => service.at("metadata.namespace"),
            "labels" => labels,
            "ownerReferences" => array![SERVICE.controller_reference(service)],
        },
        "addressType" => address_type,
        "endpoints" => Value::Null,
        "ports" => Value::Null,
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }
    fn event_source(&self) -> &'static str {
        "endpoint-slice-controller"
    }
    fn retries(&self) -> Option<u32> {
        Some(15)
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.services = informers.add(Selection::all(&SERVICE.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        self.nodes = informers.add(Selection::all(&NODE.resource));
        self.slices = informers.add(Selection::all(&ENDPOINT_SLICE.resource));
        informers.add_index(self.slices, BY_SERVICE, by_service);
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.services {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.pods {
            add_services(delta, &stores[self.services], keys);
        } else if delta.informer == self.slices {
            let slice = &delta.object;
            if meta::label(slice, MANAGED_BY) != Some(MANAGER) {
                return;
            }
            let Some(service) = by_service(slice).into_iter().next() else { return };
            let known = self.written.get(&service).and_then(|written| written.get(meta::uid(slice)));
            // What this controller did itself is no news.
            let is_foreign = match delta.kind {
                DeltaType::Deleted => known.is_some(),
                _ => known.is_none_or(|generation| meta::generation(slice) > *generation),
            };
            if delta.kind == DeltaType::Deleted
                && let Some(written) = self.written.get_mut(&service)
            {
                written.remove(meta::uid(slice));
            }
            if is_foreign {
                keys.add(service);
            }
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        self.sync_service(call)
    }
    fn restart(&mut self) {
        self.trigger_times = TriggerTimes::default();
        self.written.clear();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

/// Not copied from one object to another: it is about the writing itself.
pub(super) const NOT_COPIED: [&str; 2] = [TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"];
