//! endpoint-controller: one Endpoints object a Service, as old clients know it.
//!
//! Picture to hold in mind: one page a service, its lines grouped by which ports they answer on.
//!
//! After `pkg/controller/endpoint/endpoints_controller.go` and `pkg/api/v1/endpoints/util.go`.

use crate::api::{Value, meta};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::controllers::kinds::{ENDPOINTS, POD, SERVICE};
use crate::controllers::pod_control::is_namespace_terminating;
use crate::object;
use crate::sorted::SortedMap;

use super::{
    HEADLESS, TriggerTimes, add_services, belongs_in_endpoints, find_port, hostname, is_headless, selects,
    set_trigger_time, target_reference,
};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// Addresses in one object at most.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

#[derive(Clone, Default)]
pub struct EndpointsController {
    trigger_times: TriggerTimes,
    services: usize,
    pods: usize,
    endpoints: usize,
}

/// FNV-1a, 128 bits.
fn fnv128a(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
/// The place of a port among others: upstream sorts by the hash of Go's dump of the struct.
fn port_order(port: &Value) -> u128 {
    let app_protocol = port.at("appProtocol").as_str().unwrap_or("<nil>");
    fnv128a(&format!(
        "(v1.EndpointPort){{Name:(string){} Port:(int32){} Protocol:(v1.Protocol){} AppProtocol:(*string){app_protocol}}}",
        port.text("name"),
        port.integer("port").unwrap_or(0),
        port.text("protocol"),
    ))
}

/// One pod's line: its address, whether it is ready, and the ports that it answers on.
struct Line {
    address: Value,
    is_ready: bool,
    ports: Vec<Value>,
}

/// Lines into subsets: addresses that answer on the same ports stand together (`RepackSubsets`).
fn repack(lines: &[Line]) -> Vec<Value> {
    // Each port with the lines that have it, then ports with the same lines together.
    let mut by_port: SortedMap<u128, (Option<Value>, Vec<usize>)> = SortedMap::new();
    for (index, line) in lines.iter().enumerate() {
        for port in &line.ports {
            let entry = by_port.entry(port_order(port)).or_insert_with(|| (Some(port.clone()), Vec::new()));
            entry.1.push(index);
        }
        if line.ports.is_empty() {
            by_port.entry(0).or_insert_with(|| (None, Vec::new())).1.push(index);
        }
    }
    let mut by_lines: SortedMap<Vec<usize>, Vec<Value>> = SortedMap::new();
    for (port, members) in by_port.into_values() {
        by_lines.entry(members).or_default().extend(port);
    }
    by_lines
        .into_iter()
        .map(|(members, ports)| {
            let mut subset = Value::object();
            for (field, ready) in [("addresses", true), ("notReadyAddresses", false)] {
                let mut addresses: Vec<Value> = members
                    .iter()
                    .filter(|index| lines[**index].is_ready == ready)
                    .map(|index| lines[*index].address.clone())
                    .collect();
                addresses.arrange_by(|a, b| {
                    (a.text("ip"), a.text("targetRef.uid")).cmp(&(b.text("ip"), b.text("targetRef.uid")))
                });
                if !addresses.is_empty() {
                    subset.set(field, addresses);
                }
            }
            if !ports.is_empty() {
                subset.set("ports", ports);
            }
            subset
        })
        .collect()
}

fn lines(service: &Value, pods: &[Value]) -> Vec<Line> {
    let publishes_all = service.is_true("spec.publishNotReadyAddresses");
    let is_v6 = service.text("spec.clusterIP").contains(':')
        || service.items("spec.ipFamilies").first().is_some_and(|family| family.as_str() == Some("IPv6"));
    let mut lines = Vec::new();
    for pod in pods.iter().filter(|pod| belongs_in_endpoints(pod, publishes_all)) {
        let ip = pod
            .items("status.podIPs")
            .iter()
            .map(|ip| ip.shared_text("ip"))
            .find(|ip| ip.contains(':') == is_v6)
            .unwrap_or_else(|| pod.shared_text("status.podIP"));
        let mut address = object! { "ip" => ip };
        if let Some(hostname) = hostname(pod, service) {
            address.set("hostname", hostname);
        }
        if !pod.text("spec.nodeName").is_empty() {
            address.set("nodeName", pod.at("spec.nodeName"));
        }
        address.set("targetRef", target_reference(pod));
        let is_ready = publishes_all || super::pods::is_ready(pod);
        let service_ports = service.items("spec.ports");
        let mut ports = Vec::new();
        for service_port in service_ports {
            let Some(number) = find_port(pod, service_port) else { continue };
            let mut port = object! { "port" => number, "protocol" => service_port.at("protocol") };
            for field in ["name", "appProtocol"] {
                if !service_port.text(field).is_empty() {
                    port.set(field, service_port.at(field));
                }
            }
            ports.push(port);
        }
        let is_portless = service_ports.is_empty() && service.text("spec.clusterIP") == "None";
        if !ports.is_empty() || is_portless {
            lines.push(Line { address, is_ready, ports });
        }
    }
    lines
}

impl EndpointsController {
    fn sync_service(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some(service) = call.store(self.services).get(&key).cloned() else {
            let request = request::delete(&ENDPOINTS.resource, call.namespace(), call.name());
            if let Err(status) = call.attempt(request)?
                && status.text("reason") != "NotFound"
            {
                return Err(Interrupt::from_status(&status));
            }
            if call.once() {
                self.trigger_times.forget(&key);
            }
            return Ok(());
        };
        if service.text("spec.type") == "ExternalName" || service.map("spec.selector").is_empty() {
            return Ok(());
        }
        let pods: Vec<Value> = call
            .store(self.pods)
            .in_namespace(meta::namespace(&service))
            .filter(|pod| selects(&service, pod))
            .cloned()
            .collect();
        let trigger_us = call.remember(|| self.trigger_times.compute(&key, &service, &pods));
        let mut lines = lines(&service, &pods);
        let is_truncated = lines.len() > CAPACITY;
        if is_truncated {
            lines.arrange_by_key(|line| !line.is_ready);
            lines.truncate(CAPACITY);
        }
        let subsets = repack(&lines);
        let current = ENDPOINTS.find(call.store(self.endpoints), &key);
        let mut labels = service.at("metadata.labels").clone();
        let fields = labels.make_object();
        fields.insert(MANAGED_BY, MANAGER);
        if is_headless(&service) {
            fields.insert(HEADLESS, "");
        }
        if let Some(current) = &current
            && current.items("subsets") == subsets
            && *current.at("metadata.labels") == labels
            && meta::annotation(current, OVER_CAPACITY).is_some() == is_truncated
        {
            return Ok(());
        }
        let exists = current.is_some();
        let mut new = current.unwrap_or_else(|| {
            object! {
                "apiVersion" => "v1",
                "kind" => "Endpoints",
                "metadata" => object! {
                    "name" => service.at("metadata.name"), "namespace" => service.at("metadata.namespace"),
                },
            }
        });
        new.set("metadata.labels", labels);
        if subsets.is_empty() {
            new.remove("subsets");
        } else {
            new.set("subsets", subsets);
        }
        set_trigger_time(&mut new, trigger_us);
        if is_truncated {
            meta::set_annotation(&mut new, OVER_CAPACITY, "truncated");
        } else {
            meta::remove_annotation(&mut new, OVER_CAPACITY);
        }
        let request = if exists {
            request::update(&ENDPOINTS.resource, new.clone())
        } else {
            request::create(&ENDPOINTS.resource, meta::namespace(&service), new.clone())
        };
        let Err(status) = call.attempt(request)? else { return Ok(()) };
        if !exists && is_namespace_terminating(&status) {
            return Ok(());
        }
        let error = status.text("message");
        if exists {
            let message = arcstr::format!("Failed to update endpoint {key}: {error}");
            call.event(&new, "Warning", "FailedToUpdateEndpoint", message);
        } else {
            let message = arcstr::format!("Failed to create endpoint for service {key}: {error}");
            call.event(&new, "Warning", "FailedToCreateEndpoint", message);
        }
        Err(Interrupt::from_status(&status))
    }
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }
    fn user_agent(&self) -> &'static str {
        "endpoint-controller"
    }
    fn event_source(&self) -> &'static str {
        "endpoint-controller"
    }
    fn retries(&self) -> Option<u32> {
        Some(15)
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.services = informers.add(Selection::all(&SERVICE.resource));
        self.pods = informers.add(Selection::all(&POD.resource));
        self.endpoints = informers.add(Selection::all(&ENDPOINTS.resource));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.services {
            keys.add(key_of(&delta.object));
        } else if delta.informer == self.pods {
            add_services(delta, &stores[self.services], keys);
        } else if delta.informer == self.endpoints && delta.kind == DeltaType::Deleted {
            keys.add(key_of(&delta.object));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        self.sync_service(call)
    }
    fn restart(&mut self) {
        self.trigger_times = TriggerTimes::default();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stand_in_upstreams_order() {
        let port = |name: &str, number: i64, protocol: &str, app: &str| {
            let mut port = object! { "name" => name, "port" => number, "protocol" => protocol };
            if !app.is_empty() {
                port.set("appProtocol", app);
            }
            port
        };
        let http = port("http", 8080, "TCP", "");
        let grpc = port("grpc", 9000, "TCP", "kubernetes.io/h2c");
        let dns = port("dns", 5353, "UDP", "");
        let address = |ip: &str| object! { "ip" => ip };
        let line = |ip: &str, ports: Vec<Value>| Line { address: address(ip), is_ready: true, ports };
        let subsets =
            repack(&[line("b", vec![http.clone(), dns.clone(), grpc.clone()]), line("a", vec![dns.clone()])]);
        assert_eq!(subsets.len(), 2);
        let with_http = subsets.iter().find(|subset| subset.items("ports").contains(&http)).unwrap();
        assert_eq!(with_http.items("ports"), [http, grpc]);
        let with_dns = subsets.iter().find(|subset| subset.items("ports").contains(&dns)).unwrap();
        assert_eq!(with_dns.items("addresses"), [address("a"), address("b")]);
    }
}
