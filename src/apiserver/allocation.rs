//! Cluster IPs and node ports: who has which number.
//!
//! Picture to hold in mind: a board of hooks with numbered tags. A new service takes a tag at random from the upper
//! hooks, or the one it names if that still hangs there; a tag in somebody's hand (a request that is not yet
//! committed) is not given to another.
//!
//! Follows `pkg/registry/core/service/storage/alloc.go`, `ipallocator` (each cluster IP is also an IPAddress object)
//! and `portallocator`. One address family: IPv4.

use crate::shared_map::SharedMap;

use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::ResourceInfo;
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::{array, object};

use super::ApiServer;
use super::cache::Event;
use super::cycle::{Companion, Cycle};
use super::watchers::ExchangeId;

/// `--service-cluster-ip-range`: 10.96.0.0/12.
const NETWORK: u32 = 0x0a60_0000;
pub const SERVICE_CLUSTER_IP_RANGE: &str = "10.96.0.0/12";
const ADDRESSES: u32 = 1 << 20;
/// The lower addresses are for those that are named: `calculateRangeOffset`, at most 256 of them.
const STATIC_ADDRESSES: u32 = 256;
/// `--service-node-port-range`.
const PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
const STATIC_PORTS: u16 = 86;

#[derive(Clone, Default)]
pub(crate) struct Allocator {
    /// Of services that exist.
    addresses: SharedMap<u32, ()>,
    ports: SharedMap<u16, ()>,
    /// Of requests that are under way.
    held_addresses: Vec<(ExchangeId, u32)>,
    held_ports: Vec<(ExchangeId, u16)>,
}

fn parse_address(text: &str) -> Option<u32> {
    let mut address = 0_u32;
    let mut parts = 0;
    for part in text.split('.') {
        if part.is_empty() || part.len() > 3 || (part.len() > 1 && part.starts_with('0')) {
            return None;
        }
        address = address << 8 | u32::from(part.parse::<u8>().ok()?);
        parts += 1;
    }
    (parts == 4).then_some(address)
}

fn print_address(address: u32) -> String {
    let [a, b, c, d] = address.to_be_bytes();
    format!("{a}.{b}.{c}.{d}")
}

fn addresses_of(service: &Value) -> impl Iterator<Item = u32> {
    service.items("spec.clusterIPs").iter().filter_map(Value::as_str).filter_map(parse_address)
}

/// A number is one service's, for all protocols.
fn ports_of(service: &Value) -> impl Iterator<Item = u16> {
    service
        .items("spec.ports")
        .iter()
        .filter_map(|port| port.integer("nodePort"))
        .chain(service.integer("spec.healthCheckNodePort"))
        .filter_map(|port| u16::try_from(port).ok().filter(|port| *port > 0))
}

impl Allocator {
    /// What the services that exist have.
    pub(crate) fn reset<'a>(&mut self, services: impl Iterator<Item = &'a Value>) {
        *self = Allocator::default();
        for service in services {
            self.take(service);
        }
    }
    fn take(&mut self, service: &Value) {
        for address in addresses_of(service) {
            self.addresses.insert(address, ());
        }
        for port in ports_of(service) {
            self.ports.insert(port, ());
        }
    }
    /// A service came, changed or went.
    pub(crate) fn changed(&mut self, event: &Event) {
        if let Some(previous) = &event.previous {
            for address in addresses_of(previous) {
                self.addresses.remove(&address);
            }
            for port in ports_of(previous) {
                self.ports.remove(&port);
            }
        }
        if !event.deleted {
            self.take(&event.object);
        }
    }
    /// A request is over: what it held is a service's by now, or free again.
    pub(crate) fn release(&mut self, exchange: ExchangeId) {
        if !self.held_addresses.is_empty() {
            self.held_addresses.retain(|(holder, _)| *holder != exchange);
        }
        if !self.held_ports.is_empty() {
            self.held_ports.retain(|(holder, _)| *holder != exchange);
        }
    }
    fn has_address(&self, address: u32) -> bool {
        self.addresses.contains_key(&address) || self.held_addresses.iter().any(|(_, held)| *held == address)
    }
    fn has_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port) || self.held_ports.iter().any(|(_, held)| *held == port)
    }
    fn claim_address(&mut self, exchange: ExchangeId, text: &str) -> Result<(), String> {
        let Some(address) = parse_address(text) else { return Ok(()) };
        // The network's own address and its broadcast are nobody's.
        if address <= NETWORK || address >= NETWORK + ADDRESSES - 1 {
            return Err(format!(
                "the provided IP ({text}) is not in the valid range. The range of valid IPs is {SERVICE_CLUSTER_IP_RANGE}"
            ));
        }
        if self.has_address(address) {
            return Err("provided IP is already allocated".to_owned());
        }
        self.held_addresses.push((exchange, address));
        Ok(())
    }
    fn next_address(&mut self, exchange: ExchangeId, context: &mut Context) -> Option<String> {
        let upper = ADDRESSES - 1 - STATIC_ADDRESSES;
        let start = context.random().below(u64::from(upper)) as u32;
        let address = (0..upper)
            .map(|step| NETWORK + STATIC_ADDRESSES + (start + step) % upper)
            .chain((1..STATIC_ADDRESSES).map(|offset| NETWORK + offset))
            .find(|address| !self.has_address(*address))?;
        self.held_addresses.push((exchange, address));
        Some(print_address(address))
    }
    fn claim_port(&mut self, exchange: ExchangeId, port: i64) -> Result<(), String> {
        let number = u16::try_from(port).ok().filter(|port| PORTS.contains(port)).ok_or_else(|| {
            format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                PORTS.start(),
                PORTS.end()
            )
        })?;
        if self.has_port(number) {
            return Err("provided port is already allocated".to_owned());
        }
        self.held_ports.push((exchange, number));
        Ok(())
    }
    fn next_port(&mut self, exchange: ExchangeId, context: &mut Context) -> Option<u16> {
        let first = PORTS.start() + STATIC_PORTS;
        let upper = PORTS.end() - first + 1;
        let start = context.random().below(u64::from(upper)) as u16;
        let port = (0..upper)
            .map(|step| first + (start + step) % upper)
            .chain(*PORTS.start()..first)
            .find(|port| !self.has_port(*port))?;
        self.held_ports.push((exchange, port));
        Some(port)
    }
}

fn is_service(info: &ResourceInfo) -> bool {
    info.kind == "Service" && info.group.is_empty()
}

fn invalid(service: &Value, error: FieldError) -> Status {
    let kind = crate::api::kind::GroupKind::new("", "Service");
    Status::invalid(&kind, meta::name(service), &[error])
}

fn is_headless(service: &Value) -> bool {
    service.text("spec.clusterIP") == "None"
}

/// `initIPFamilyFields` on a cluster with IPv4 only.
fn settle_families(service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    if service.text("spec.type") == "ExternalName" {
        return Ok(());
    }
    let spec = FieldPath::new("spec");
    let is_selectorless = is_headless(service) && service.map("spec.selector").is_empty();
    if service.text("spec.ipFamilyPolicy").is_empty() {
        let policy = match old.map(|old| old.shared_text("spec.ipFamilyPolicy")) {
            Some(policy) if !policy.is_empty() => policy,
            _ if is_selectorless => "RequireDualStack".into(),
            _ => "SingleStack".into(),
        };
        service.set("spec.ipFamilyPolicy", policy);
    }
    let policy = service.shared_text("spec.ipFamilyPolicy");
    if !["SingleStack", "PreferDualStack", "RequireDualStack"].contains(&policy.as_str()) {
        // Validation tells.
        return Ok(());
    }
    if policy == "SingleStack" {
        for (field, what) in [("spec.clusterIPs", "cluster IPs"), ("spec.ipFamilies", "IP families")] {
            if service.items(field).len() == 2 {
                let detail = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                return Err(invalid(
                    service,
                    FieldError::invalid(&spec.child("ipFamilyPolicy"), policy, detail),
                ));
            }
        }
    }
    if is_selectorless {
        if service.items("spec.ipFamilies").is_empty() {
            service.set("spec.ipFamilies", array!["IPv4"]);
        }
        if service.items("spec.ipFamilies").len() < 2 && policy != "SingleStack" {
            let first = service.items("spec.ipFamilies")[0].clone();
            let second = if first.as_str() == Some("IPv4") { "IPv6" } else { "IPv4" };
            service.set("spec.ipFamilies", array![first, second]);
        }
        return Ok(());
    }
    if policy == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        return Err(invalid(service, FieldError::invalid(&spec.child("ipFamilyPolicy"), policy, detail)));
    }
    for (index, family) in service.items("spec.ipFamilies").iter().enumerate() {
        if family.as_str() == Some("IPv6") {
            let families = spec.child("ipFamilies");
            let error = FieldError::invalid(&families.index(index), "IPv6", "not configured on this cluster");
            return Err(invalid(service, error));
        }
    }
    if service.items("spec.ipFamilies").is_empty() {
        service.set("spec.ipFamilies", array!["IPv4"]);
    }
    Ok(())
}

/// `clusterIP` and the first of `clusterIPs` are one.
fn settle_cluster_ips(service: &mut Value) {
    if service.items("spec.clusterIPs").is_empty() && !service.text("spec.clusterIP").is_empty() {
        let address = service.at("spec.clusterIP").clone();
        service.set("spec.clusterIPs", Value::array([address]));
    } else if service.text("spec.clusterIP").is_empty()
        && let Some(first) = service.items("spec.clusterIPs").first().cloned()
    {
        service.set("spec.clusterIP", first);
    }
}

fn node_port_of(port: &Value) -> i64 {
    port.integer("nodePort").unwrap_or(0)
}

fn wants_node_ports(service: &Value) -> bool {
    match service.text("spec.type") {
        "NodePort" => true,
        "LoadBalancer" => service.at("spec.allocateLoadBalancerNodePorts").as_bool() != Some(false),
        _ => false,
    }
}

fn companion_key(address: &str) -> Text {
    Text::from(format!("/registry/ipaddresses/{address}"))
}

impl ApiServer {
    /// Gives a new service its addresses and ports.
    pub(super) fn allocate_for_create(
        &mut self,
        exchange: ExchangeId,
        info: &ResourceInfo,
        service: &mut Value,
        cycle: &mut Cycle,
        context: &mut Context,
    ) -> Result<(), Status> {
        if !is_service(info) {
            return Ok(());
        }
        self.allocator.release(exchange);
        settle_cluster_ips(service);
        settle_families(service, None)?;
        self.allocate_addresses(exchange, service, cycle, context)?;
        self.allocate_ports(exchange, service, None, context)
    }

    fn allocate_addresses(
        &mut self,
        exchange: ExchangeId,
        service: &mut Value,
        cycle: &mut Cycle,
        context: &mut Context,
    ) -> Result<(), Status> {
        if service.text("spec.type") == "ExternalName" || is_headless(service) {
            return Ok(());
        }
        let wanted = service.shared_text("spec.clusterIP");
        let address = if wanted.is_empty() {
            let next = self.allocator.next_address(exchange, context).ok_or_else(|| {
                let name = meta::name(service);
                Status::internal_error(format!(
                    "failed to allocate a serviceIP for Service \"{name}\": range is full"
                ))
            })?;
            Text::from(next)
        } else {
            if let Err(error) = self.allocator.claim_address(exchange, &wanted) {
                let detail = format!("failed to allocate IP {wanted}: {error}");
                let addresses = service.at("spec.clusterIPs").clone();
                let path = FieldPath::new("spec.clusterIPs");
                return Err(invalid(service, FieldError::invalid(&path, addresses, detail)));
            }
            wanted
        };
        if parse_address(&address).is_none() {
            // Validation tells.
            return Ok(());
        }
        service.set("spec.clusterIP", &address);
        service.set("spec.clusterIPs", array![&address]);
        let metadata = object! {
            "name" => &address,
            "uid" => context.random().uuid(),
            "creationTimestamp" => super::update::timestamp(context),
            "labels" => object! {
                "ipaddress.kubernetes.io/ip-family" => "IPv4",
                "ipaddress.kubernetes.io/managed-by" => "ipallocator.k8s.io",
            },
        };
        let parent = object! {
            "group" => "",
            "resource" => "services",
            "namespace" => service.shared_text("metadata.namespace"),
            "name" => service.shared_text("metadata.name"),
        };
        cycle.companions.push(Companion::Create {
            key: companion_key(&address),
            object: object! {
                "apiVersion" => "networking.k8s.io/v1",
                "kind" => "IPAddress",
                "metadata" => metadata,
                "spec" => object! { "parentRef" => parent },
            },
        });
        Ok(())
    }

    /// `kept` are the ports that the service had before, if it is not new.
    fn allocate_ports(
        &mut self,
        exchange: ExchangeId,
        service: &mut Value,
        kept: Option<&[u16]>,
        context: &mut Context,
    ) -> Result<(), Status> {
        let kind = service.shared_text("spec.type");
        if kind != "NodePort" && kind != "LoadBalancer" {
            return Ok(());
        }
        let ports = match kept {
            None => self.first_ports(exchange, service, context)?,
            Some(kept) => self.changed_ports(exchange, service, kept, context)?,
        };
        service.set("spec.ports", ports);
        let needs_health_check =
            kind == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local";
        if needs_health_check && service.integer("spec.healthCheckNodePort").unwrap_or(0) == 0 {
            let next = self.allocator.next_port(exchange, context);
            let port = next.ok_or_else(|| {
                Status::internal_error("failed to allocate a HealthCheck NodePort: range is full")
            })?;
            service.set("spec.healthCheckNodePort", u32::from(port));
        }
        Ok(())
    }

    /// The ports of a new service with their node ports: entries for one port share one (`initNodePorts`).
    fn first_ports(
        &mut self,
        exchange: ExchangeId,
        service: &Value,
        context: &mut Context,
    ) -> Result<Vec<Value>, Status> {
        let mut ports = service.items("spec.ports").to_vec();
        // Which port has got which.
        let mut by_port: Vec<(i64, i64)> = Vec::new();
        for index in 0..ports.len() {
            let number = ports[index].integer("port").unwrap_or(0);
            let own = node_port_of(&ports[index]);
            if own == 0 && !wants_node_ports(service) {
                continue;
            }
            let given = by_port.iter().find(|(port, _)| *port == number).map(|(_, given)| *given);
            let node_port = match given {
                Some(given) if own == 0 || own == given => given,
                Some(_) => self.take_port(exchange, service, (index, own), context)?,
                None => {
                    // A later entry for the same port may name what this one gets.
                    let same = ports.iter().filter(|port| port.integer("port") == Some(number));
                    let wanted = same.map(node_port_of).find(|port| *port > 0).unwrap_or(0);
                    self.take_port(exchange, service, (index, wanted), context)?
                }
            };
            by_port.push((number, node_port));
            ports[index].set("nodePort", node_port);
        }
        Ok(ports)
    }

    /// The ports of a service that changes: it may go on with what it had (`updateNodePorts`).
    fn changed_ports(
        &mut self,
        exchange: ExchangeId,
        service: &Value,
        kept: &[u16],
        context: &mut Context,
    ) -> Result<Vec<Value>, Status> {
        let mut ports = service.items("spec.ports").to_vec();
        for index in 0..ports.len() {
            let own = node_port_of(&ports[index]);
            if own == 0 && !wants_node_ports(service) {
                continue;
            }
            let is_had = kept.iter().any(|port| i64::from(*port) == own)
                || own != 0 && ports[..index].iter().any(|port| node_port_of(port) == own);
            let node_port =
                if is_had { own } else { self.take_port(exchange, service, (index, own), context)? };
            ports[index].set("nodePort", node_port);
            let protocol = ports[index].text("protocol");
            let is_same = |port: &Value| node_port_of(port) == node_port && port.text("protocol") == protocol;
            if ports[..index].iter().any(is_same) {
                let words = ["duplicate nodePort: {", protocol, " ", &node_port.to_string(), "}"];
                return Err(Status::new(500, Reason::Unknown, words.concat()));
            }
        }
        Ok(ports)
    }

    /// The node port `wanted` for the port at `index`, or if that is 0 the next that is free.
    fn take_port(
        &mut self,
        exchange: ExchangeId,
        service: &Value,
        (index, wanted): (usize, i64),
        context: &mut Context,
    ) -> Result<i64, Status> {
        if wanted == 0 {
            let next = self.allocator.next_port(exchange, context).map(i64::from);
            return next
                .ok_or_else(|| Status::internal_error("failed to allocate a nodePort: range is full"));
        }
        self.allocator.claim_port(exchange, wanted).map_err(|error| {
            let (ports, field) = (FieldPath::new("spec.ports"), "nodePort");
            invalid(service, FieldError::invalid(&ports.index(index).child(field), wanted, error))
        })?;
        Ok(wanted)
    }

    /// A service changes: it keeps what it has, gets what its new type needs, gives back what it no longer needs.
    pub(super) fn allocate_for_update(
        &mut self,
        exchange: ExchangeId,
        info: &ResourceInfo,
        service: &mut Value,
        old: &Value,
        cycle: &mut Cycle,
        context: &mut Context,
    ) -> Result<(), Status> {
        if !is_service(info) {
            return Ok(());
        }
        self.allocator.release(exchange);
        let had_address = addresses_of(old).next().is_some();
        let was_external = old.text("spec.type") == "ExternalName";
        let is_external = service.text("spec.type") == "ExternalName";
        if is_external && !was_external {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
            {
                service.remove(&format!("spec.{field}"));
            }
            self.release_on_delete(info, old, cycle);
        }
        settle_cluster_ips(service);
        settle_families(service, Some(old))?;
        if !is_external && was_external && !had_address {
            self.allocate_addresses(exchange, service, cycle, context)?;
        }
        let kept: Vec<u16> = ports_of(old).collect();
        self.allocate_ports(exchange, service, Some(&kept), context)
    }

    /// The address objects of a service go with it.
    pub(super) fn release_on_delete(&self, info: &ResourceInfo, service: &Value, cycle: &mut Cycle) {
        if is_service(info) {
            cycle.companions.extend(
                addresses_of(service)
                    .map(|address| Companion::Remove { key: companion_key(&print_address(address)) }),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_what_they_print() {
        for text in ["10.96.0.1", "0.0.0.0", "255.255.255.255"] {
            assert_eq!(parse_address(text).map(print_address).as_deref(), Some(text));
        }
        for bad in ["10.96.0.300", "10.96.0", "", "10.96.0.01", "a.b.c.d", "1.2.3.4.5"] {
            assert_eq!(parse_address(bad), None, "{bad}");
        }
    }
}
