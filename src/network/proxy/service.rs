//! Services as kube-proxy sees them: one by one port, and only what rules are made of.
//!
//! Picture to hold in mind: index cards cut out of a form: the address on top, the port, and the boxes that were
//! ticked.
//!
//! Follows `pkg/proxy/serviceport.go` and `servicechangetracker.go`.

use core::net::IpAddr;

use crate::api::{Text, Value, meta};
use crate::arrange::Gather;
use crate::network::ipam::Cidr;
use crate::network::packet::Protocol;

/// `ServicePortName`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortName {
    pub namespace: Text,
    pub name: Text,
    /// Empty: the port has no name.
    pub port: Text,
    pub protocol: Protocol,
}

impl PortName {
    /// What comes before all ports of a service.
    pub fn first(namespace: &str, name: &str) -> PortName {
        PortName {
            namespace: namespace.into(),
            name: name.into(),
            port: Text::new(),
            protocol: Protocol::Tcp,
        }
    }
}

/// `default/web:http`, or `default/web`.
impl std::fmt::Display for PortName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)?;
        if self.port.is_empty() { Ok(()) } else { write!(formatter, ":{}", self.port) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: PortName,
    pub cluster_ip: IpAddr,
    pub port: u16,
    /// 0: none.
    pub node_port: u16,
    pub external_ips: Vec<IpAddr>,
    pub load_balancer_ips: Vec<IpAddr>,
    pub source_ranges: Vec<Cidr>,
    /// 0: none.
    pub health_check_node_port: u16,
    /// `sessionAffinity: ClientIP`, in seconds.
    pub affinity_seconds: Option<u32>,
    pub is_external_local: bool,
    pub is_internal_local: bool,
}

fn v4(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(IpAddr::is_ipv4)
}

fn port_number(value: Option<i64>) -> u16 {
    value.and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

impl ServicePort {
    /// All ports of a Service; none for one that is not proxied (headless, ExternalName, somebody else's).
    pub fn all(service: &Value) -> Vec<ServicePort> {
        if service.text("spec.type") == "ExternalName"
            || meta::label(service, "service.kubernetes.io/service-proxy-name").is_some()
        {
            return Vec::new();
        }
        let addresses = service.items("spec.clusterIPs").iter().filter_map(Value::as_str);
        let Some(cluster_ip) = addresses.chain([service.text("spec.clusterIP")]).find_map(v4) else {
            return Vec::new();
        };
        let is_external = matches!(service.text("spec.type"), "NodePort" | "LoadBalancer")
            || !service.items("spec.externalIPs").is_empty();
        let is_external_local = is_external && service.text("spec.externalTrafficPolicy") == "Local";
        let texts = |path: &str| service.items(path).iter().filter_map(Value::as_str);
        let mut source_ranges: Vec<Cidr> = texts("spec.loadBalancerSourceRanges")
            .filter_map(|range| Cidr::parse(range.trim()))
            .filter(|range| !range.is_ipv6())
            .gather();
        if source_ranges.iter().any(|range| range.prefix_length() == 0) {
            source_ranges.clear();
        }
        let ingress = service.items("status.loadBalancer.ingress").iter();
        let affinity = service.integer("spec.sessionAffinityConfig.clientIP.timeoutSeconds");
        let whole = ServicePort {
            name: PortName::first(meta::namespace(service), meta::name(service)),
            cluster_ip,
            port: 0,
            node_port: 0,
            external_ips: texts("spec.externalIPs").filter_map(v4).gather(),
            load_balancer_ips: ingress
                .filter(|one| one.text("ipMode") != "Proxy")
                .filter_map(|one| v4(one.text("ip")))
                .gather(),
            source_ranges,
            health_check_node_port: if is_external_local && service.text("spec.type") == "LoadBalancer" {
                port_number(service.integer("spec.healthCheckNodePort"))
            } else {
                0
            },
            affinity_seconds: (service.text("spec.sessionAffinity") == "ClientIP")
                .then(|| affinity.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(10_800)),
            is_external_local,
            is_internal_local: service.text("spec.internalTrafficPolicy") == "Local",
        };
        let ports = service.items("spec.ports").iter();
        ports
            .map(|port| ServicePort {
                name: PortName {
                    port: port.shared_text("name"),
                    protocol: Protocol::parse(port.text("protocol")).unwrap_or(Protocol::Tcp),
                    ..whole.name.clone()
                },
                port: port_number(port.integer("port")),
                node_port: port_number(port.integer("nodePort")),
                ..whole.clone()
            })
            .collect()
    }
    pub fn is_externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_ips.is_empty() || !self.external_ips.is_empty()
    }
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.is_internal_local || self.is_externally_accessible()
    }
    pub fn uses_local_endpoints(&self) -> bool {
        self.is_internal_local || (self.is_external_local && self.is_externally_accessible())
    }
}
