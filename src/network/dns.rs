//! What the Domain Name System says: the records that CoreDNS makes of Services, and what a resolver asks for.
//!
//! Picture to hold in mind: somebody who has forgotten a surname and tries the families of the house one after
//! another: `web` of this namespace, `web` of all services, `web` of the cluster, and at last just `web`.
//!
//! After resolv.conf(5) (`search`, `ndots`), CoreDNS' plugin kubernetes with kubeadm's Corefile (`pods insecure`,
//! `fallthrough in-addr.arpa`, `forward . /etc/resolv.conf`), and the DNS specification of Kubernetes.

use core::net::IpAddr;

use crate::api::{Text, Value};

/// The zone that CoreDNS answers for.
const DOMAIN: &str = "cluster.local";
pub const PORT: u16 = 53;
/// A chain of CNAMEs that is followed.
const ALIASES: usize = 8;

/// What CoreDNS knows of the cluster.
pub trait Zone {
    fn service(&self, namespace: &str, name: &str) -> Option<&Value>;
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value>;
    fn has_namespace(&self, name: &str) -> bool;
}

/// The kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Address,
    Service,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Alias(String),
    Service { port: u16, target: String },
}

/// A name server's word. Records may be none: the name is there, but has nothing of the kind.
pub type Answer = Result<Vec<Record>, Failure>;

/// Response codes of RFC 1035.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It cannot tell: it has not heard of the cluster yet.
    ServerFailure,
    NoSuchName,
}

impl Failure {
    pub fn name(self) -> &'static str {
        match self {
            Failure::ServerFailure => "SERVFAIL",
            Failure::NoSuchName => "NXDOMAIN",
        }
    }
}

/// The names that a resolver tries, in order.
pub fn candidates(name: &str, searches: &[Text], options: &[Text]) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_string()];
    }
    let ndots = options.iter().find_map(|option| option.strip_prefix("ndots:")?.parse().ok()).unwrap_or(1);
    let as_it_is = format!("{name}.");
    let mut names: Vec<String> = searches.iter().map(|search| format!("{name}.{search}.")).collect();
    if name.matches('.').count() >= ndots {
        names.insert(0, as_it_is);
    } else {
        names.push(as_it_is);
    }
    names
}

/// What CoreDNS answers for an absolute name, with the CNAMEs that it followed.
pub fn answer(zone: &dyn Zone, kind: Kind, name: &str) -> Answer {
    let mut records = Vec::new();
    let mut asked = name.to_string();
    for _ in 0..ALIASES {
        let found = match inside(&asked) {
            Some(inner) => of_cluster(zone, kind, inner)?,
            None => outside(&asked)?,
        };
        let alias = match found.as_slice() {
            [Record::Alias(target)] => Some(target.clone()),
            _ => None,
        };
        records.extend(found);
        match alias {
            Some(target) => asked = target,
            None => break,
        }
    }
    Ok(records)
}

/// The name within the cluster's zone.
fn inside(name: &str) -> Option<&str> {
    name.trim_end_matches('.').strip_suffix(DOMAIN)?.strip_suffix('.')
}

fn of_cluster(zone: &dyn Zone, kind: Kind, name: &str) -> Answer {
    let labels: Vec<&str> = name.split('.').collect();
    match (kind, labels.as_slice()) {
        (_, [service, namespace, "svc"]) => service_records(zone, kind, namespace, service, None),
        (Kind::Service, [port, protocol, service, namespace, "svc"]) => {
            match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) => {
                    service_records(zone, kind, namespace, service, Some((port, protocol)))
                }
                _ => Err(Failure::NoSuchName),
            }
        }
        (_, [endpoint, service, namespace, "svc"]) => {
            let found = zone.service(namespace, service).ok_or(Failure::NoSuchName)?;
            let mut endpoints = endpoints(zone, namespace, found);
            endpoints.retain(|(_, hostname, _)| hostname == endpoint);
            match endpoints.is_empty() {
                true => Err(Failure::NoSuchName),
                false => Ok(endpoints.into_iter().map(|(address, ..)| Record::Address(address)).collect()),
            }
        }
        // `pods insecure`: whatever looks like an address of a pod has it, in a namespace that there is.
        (_, [address, namespace, "pod"]) if zone.has_namespace(namespace) => {
            let address = address.replace('-', ".").parse().map_err(|_| Failure::NoSuchName)?;
            Ok(vec![Record::Address(address)])
        }
        // Names between the zone and a service are there, and have no records.
        (_, ["svc" | "pod"]) => Ok(Vec::new()),
        (_, [namespace, "svc" | "pod"]) if zone.has_namespace(namespace) => Ok(Vec::new()),
        _ => Err(Failure::NoSuchName),
    }
}

/// Ready endpoints, or all where the Service wants it: address, host name, ports.
fn endpoints<'a>(zone: &'a dyn Zone, namespace: &str, service: &Value) -> Vec<(IpAddr, String, &'a [Value])> {
    let wants_all = service.is_true("spec.publishNotReadyAddresses");
    let mut found = Vec::new();
    for slice in zone.slices(namespace, service.text("metadata.name")) {
        for one in slice.items("endpoints") {
            let is_ready = one.at("conditions.ready").as_bool().unwrap_or(true);
            let texts = one.items("addresses").iter().filter_map(Value::as_str);
            for text in texts.filter(|_| is_ready || wants_all) {
                let hostname = match one.text("hostname") {
                    "" => text.replace('.', "-"),
                    hostname => hostname.to_string(),
                };
                if let Ok(address) = text.parse() {
                    found.push((address, hostname, slice.items("ports")));
                }
            }
        }
    }
    found
}

fn service_records(
    zone: &dyn Zone,
    kind: Kind,
    namespace: &str,
    name: &str,
    wanted: Option<(&str, &str)>,
) -> Answer {
    let service = zone.service(namespace, name).ok_or(Failure::NoSuchName)?;
    if service.text("spec.type") == "ExternalName" {
        let target = service.text("spec.externalName").trim_end_matches('.');
        return Ok(vec![Record::Alias(format!("{target}."))]);
    }
    let is_wanted = |port: &Value| {
        wanted.is_none_or(|(name, protocol)| {
            port.text("name") == name && port.text("protocol").eq_ignore_ascii_case(protocol)
        })
    };
    let number = |port: &Value| port.integer("port").and_then(|port| u16::try_from(port).ok());
    let own = format!("{name}.{namespace}.svc.{DOMAIN}.");
    let mut records = Vec::new();
    match service.text("spec.clusterIP").parse::<IpAddr>() {
        Ok(address) if kind == Kind::Address => records.push(Record::Address(address)),
        Ok(_) => {
            let ports = service.items("spec.ports").iter().filter(|port| is_wanted(port));
            records
                .extend(ports.filter_map(number).map(|port| Record::Service { port, target: own.clone() }));
        }
        // Headless: its endpoints.
        Err(_) => {
            for (address, hostname, ports) in endpoints(zone, namespace, service) {
                if kind == Kind::Address {
                    records.push(Record::Address(address));
                    continue;
                }
                let ports = ports.iter().filter(|port| is_wanted(port)).filter_map(number);
                let target = format!("{hostname}.{own}");
                records.extend(ports.map(|port| Record::Service { port, target: target.clone() }));
            }
        }
    }
    // A headless service without endpoints is not there, and neither is a port that nobody has.
    match records.is_empty() {
        true => Err(Failure::NoSuchName),
        false => Ok(records),
    }
}

/// What the name servers of the rest of the world say: whatever looks like a public name has an address of
/// TEST-NET-3 (RFC 5737), always the same.
pub fn outside(name: &str) -> Answer {
    let name = name.trim_end_matches('.');
    let top = name.rsplit('.').next().unwrap_or("");
    let is_public = name.contains('.')
        && top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !matches!(top, "local" | "internal" | "svc" | "invalid" | "test" | "localhost");
    if !is_public {
        return Err(Failure::NoSuchName);
    }
    let sum = name.bytes().fold(17u32, |held, byte| held.wrapping_mul(31).wrapping_add(u32::from(byte)));
    Ok(vec![Record::Address(IpAddr::from([203, 0, 113, (1 + sum % 254) as u8]))])
}
