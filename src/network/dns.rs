//! What the Domain Name System says: the records that CoreDNS makes of Services, and what a resolver asks for.
//!
//! Picture to hold in mind: somebody who has forgotten a surname and tries the families of the house one after
//! another: `web` of this namespace, `web` of all services, `web` of the cluster, and at last just `web`.
//!
//! After resolv.conf(5) (`search`, `ndots`), CoreDNS' plugins rewrite, hosts, kubernetes and forward, which a
//! [`Corefile`] arranges, and the DNS specification of Kubernetes.

use core::net::IpAddr;

use crate::api::{Text, Value};

use super::corefile::{
    Corefile, Forward, Hosts, Kubernetes, Place, Pods, Rewrite, Server, falls_through, is_in, normal,
};
use super::template;

pub const PORT: u16 = 53;
/// A chain of CNAMEs that is followed.
const ALIASES: usize = 8;
/// Seconds for which the rest of the world's answers hold.
const OUTSIDE_TTL: u32 = 300;

/// What CoreDNS knows of the cluster, and the rules by which it answers.
pub trait Zone {
    fn corefile(&self) -> &Corefile;
    fn service(&self, namespace: &str, name: &str) -> Option<&Value>;
    fn slices(&self, namespace: &str, name: &str) -> Vec<&Value>;
    fn has_namespace(&self, name: &str) -> bool;
    fn services(&self) -> Vec<&Value>;
    fn all_slices(&self) -> Vec<&Value>;
    /// Whether a pod of the namespace has the address.
    fn has_pod(&self, namespace: &str, address: IpAddr) -> bool;
}

/// The kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Address,
    /// Of IPv6.
    Address6,
    Service,
    Pointer,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Address => "A",
            Kind::Address6 => "AAAA",
            Kind::Service => "SRV",
            Kind::Pointer => "PTR",
        }
    }
    fn fits(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Kind::Address) && matches!(self, Kind::Address | Kind::Address6)
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Alias(String),
    Service { port: u16, target: String },
    Pointer(String),
}

impl Record {
    /// The kind's name and the data, as zone files have them.
    pub fn show(&self) -> (&'static str, String) {
        match self {
            Record::Address(address) if address.is_ipv6() => ("AAAA", address.to_string()),
            Record::Address(address) => ("A", address.to_string()),
            Record::Alias(target) => ("CNAME", target.clone()),
            Record::Service { port, target } => ("SRV", format!("0 100 {port} {target}")),
            Record::Pointer(name) => ("PTR", name.clone()),
        }
    }
}

/// A name server's word: records, and the seconds for which they hold. Records may be none: the name is there, but has
/// nothing of the kind.
pub type Answer = Result<(u32, Vec<Record>), Failure>;

/// Response codes of RFC 1035.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It cannot tell: it has not heard of the cluster yet, or nobody whom it asks answers.
    ServerFailure,
    NoSuchName,
    /// The name lies in none of its zones.
    Refused,
}

impl Failure {
    pub fn name(self) -> &'static str {
        match self {
            Failure::ServerFailure => "SERVFAIL",
            Failure::NoSuchName => "NXDOMAIN",
            Failure::Refused => "REFUSED",
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

/// The server block that a name is asked of: the one with the longest zone.
pub fn server<'a>(corefile: &'a Corefile, name: &str) -> Option<&'a Server> {
    let longest = |server: &Server| {
        let zones = server.zones.iter().filter(|zone| is_in(name, zone));
        zones.map(String::len).max()
    };
    let of_port = corefile.servers.iter().filter(|server| server.port == PORT);
    of_port
        .filter_map(|server| Some((longest(server)?, server)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, one)| one)
}

/// What CoreDNS answers for an absolute name, with the CNAMEs that it followed; and why it cannot, where it asked
/// somebody who did not answer.
pub fn answer(zone: &dyn Zone, kind: Kind, name: &str) -> (Answer, Option<String>) {
    let mut records = Vec::new();
    let mut asked = normal(name);
    let mut least = u32::MAX;
    for _ in 0..ALIASES {
        let (ttl, found) = match one(zone, kind, &asked) {
            (Ok(found), _) => found,
            // Of an alias that leads nowhere the alias itself is told.
            (Err(_), _) if !records.is_empty() => break,
            (failure, trouble) => return (failure, trouble),
        };
        least = least.min(ttl);
        let alias = match found.as_slice() {
            [Record::Alias(target)] => Some(normal(target)),
            _ => None,
        };
        records.extend(found);
        match alias {
            Some(target) => asked = target,
            None => break,
        }
    }
    (Ok((least, records)), None)
}

/// Passes a name along the plugins of its server.
fn one(zone: &dyn Zone, kind: Kind, name: &str) -> (Answer, Option<String>) {
    let Some(server) = server(zone.corefile(), name) else { return (Err(Failure::Refused), None) };
    let name = rewritten(&server.rewrites, name);
    if let Some(answer) = template::answer(&server.templates, kind, &name) {
        return (answer, None);
    }
    if let Some(hosts) = &server.hosts {
        let found = of_hosts(hosts, kind, &name);
        if found.is_some() || !falls_through(&hosts.fallthrough, &name) {
            return (found.ok_or(Failure::ServerFailure).map(|records| (hosts.ttl, records)), None);
        }
    }
    if let Some(plugin) = &server.kubernetes
        && let Some(own) = plugin.zones.iter().filter(|own| is_in(&name, own)).max_by_key(|own| own.len())
    {
        let found = match own.ends_with(".arpa.") || own == "arpa." {
            true => pointers(zone, plugin, kind, &name),
            false => {
                let inner = name.strip_suffix(own.as_str()).unwrap_or("").trim_end_matches('.');
                of_cluster(zone, plugin, own, kind, inner)
            }
        };
        let passes = found == Err(Failure::NoSuchName) && falls_through(&plugin.fallthrough, &name);
        if !passes {
            return (found.map(|records| (plugin.ttl, records)), None);
        }
    }
    let is_for =
        |one: &&Forward| is_in(&name, &one.from) && !one.except.iter().any(|except| is_in(&name, except));
    let Some(forward) = server.forward.iter().find(is_for) else {
        return (Err(Failure::ServerFailure), None);
    };
    match forward.to.iter().any(|target| is_of_the_world(target)) {
        true => (of_the_world(kind, &name), None),
        false => (Err(Failure::ServerFailure), forward.to.first().cloned()),
    }
}

/// Whether a name server is one of the rest of the world, or that of the machines (`/etc/resolv.conf`).
fn is_of_the_world(target: &str) -> bool {
    match target.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => target == "10.0.0.2" || !(address.is_private() || address.is_loopback()),
        Ok(IpAddr::V6(address)) => !address.is_loopback() && !address.is_unique_local(),
        Err(_) => true,
    }
}

fn rewritten(rules: &[Rewrite], name: &str) -> String {
    let mut name = name.to_string();
    for Rewrite { place, from, pattern, to, goes_on } in rules {
        let new = match place {
            Place::Exact => (name == *from).then(|| to.clone()),
            Place::Prefix => name.strip_prefix(from.as_str()).map(|rest| format!("{to}{rest}")),
            Place::Suffix => name.strip_suffix(from.as_str()).map(|rest| format!("{rest}{to}")),
            Place::Regex => pattern.as_ref().and_then(|pattern| {
                let groups = pattern.groups(&name)?;
                let fill = |to: String, (number, group): (usize, &String)| {
                    to.replace(&format!("{{{number}}}"), group)
                };
                Some(groups.iter().enumerate().fold(to.clone(), fill))
            }),
            Place::Substring => name.contains(from.as_str()).then(|| name.replace(from.as_str(), to)),
        };
        if let Some(new) = new {
            name = new;
            if !goes_on {
                break;
            }
        }
    }
    name
}

fn of_hosts(hosts: &Hosts, kind: Kind, name: &str) -> Option<Vec<Record>> {
    if kind == Kind::Pointer {
        let address = reversed(name)?;
        let names = hosts.entries.iter().filter(|(own, _)| *own == address);
        let found: Vec<Record> = names.map(|(_, name)| Record::Pointer(name.clone())).collect();
        return Some(found).filter(|found| !found.is_empty());
    }
    let own = || hosts.entries.iter().filter(|(_, own)| own == name);
    own().next()?;
    Some(
        own()
            .filter(|(address, _)| kind.fits(*address))
            .map(|(address, _)| Record::Address(*address))
            .collect(),
    )
}

/// The address of `4.3.2.1.in-addr.arpa.`, or of 32 digits below `ip6.arpa.`
pub fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa.") {
        let parts: Vec<&str> = rest.rsplit('.').collect();
        return parts.join(".").parse().ok();
    }
    let digits: String = name.strip_suffix(".ip6.arpa.")?.rsplit('.').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(IpAddr::V6(number.into()))
}
/// The name under which the owner of an address is asked for.
pub fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> =
                format!("{:032x}", v6.to_bits()).chars().rev().map(|digit| digit.to_string()).collect();
            format!("{}.ip6.arpa.", digits.join("."))
        }
    }
}

/// Whose an address is: a Service's, or an endpoint's that has a host name.
fn pointers(zone: &dyn Zone, plugin: &Kubernetes, kind: Kind, name: &str) -> Result<Vec<Record>, Failure> {
    let address = reversed(name).ok_or(Failure::NoSuchName)?;
    let text = address.to_string();
    let domain = plugin.zones.iter().find(|zone| !zone.ends_with("arpa.")).map_or("", String::as_str);
    let mut found = Vec::new();
    let is_it = |service: &&&Value| {
        let all = service.items("spec.clusterIPs").iter().filter_map(Value::as_str);
        service.text("spec.clusterIP") == text || all.into_iter().any(|ip| ip == text)
    };
    let services = zone.services();
    if let Some(service) = services.iter().find(is_it) {
        let (name, namespace) = (service.text("metadata.name"), service.text("metadata.namespace"));
        found.push(Record::Pointer(format!("{name}.{namespace}.svc.{domain}")));
    } else {
        for slice in zone.all_slices() {
            let service =
                slice.map("metadata.labels").get("kubernetes.io/service-name").and_then(Value::as_str);
            for one in slice.items("endpoints") {
                let has = one.items("addresses").iter().any(|own| own.as_str() == Some(&text));
                let host = one.text("hostname");
                if let (true, false, Some(service)) = (has, host.is_empty(), service) {
                    let namespace = slice.text("metadata.namespace");
                    found.push(Record::Pointer(format!("{host}.{service}.{namespace}.svc.{domain}")));
                }
            }
        }
    }
    match found.is_empty() {
        true => Err(Failure::NoSuchName),
        false if kind != Kind::Pointer => Ok(Vec::new()),
        false => Ok(found),
    }
}

fn of_cluster(
    zone: &dyn Zone,
    plugin: &Kubernetes,
    domain: &str,
    kind: Kind,
    name: &str,
) -> Result<Vec<Record>, Failure> {
    let labels: Vec<&str> = name.split('.').collect();
    match (kind, labels.as_slice()) {
        (_, [service, namespace, "svc"]) => {
            service_records(zone, plugin, domain, kind, (namespace, service), None)
        }
        (Kind::Service, [port, protocol, service, namespace, "svc"]) => {
            match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) => {
                    let wanted = Some((port, protocol));
                    service_records(zone, plugin, domain, kind, (namespace, service), wanted)
                }
                _ => Err(Failure::NoSuchName),
            }
        }
        (_, [endpoint, service, namespace, "svc"]) => {
            let found = zone.service(namespace, service).ok_or(Failure::NoSuchName)?;
            let mut endpoints = endpoints(zone, plugin, namespace, found);
            endpoints.retain(|(_, hostname, _)| hostname == endpoint);
            match endpoints.is_empty() {
                true => Err(Failure::NoSuchName),
                false => Ok(endpoints
                    .into_iter()
                    .filter(|(address, ..)| kind.fits(*address))
                    .map(|(address, ..)| Record::Address(address))
                    .collect()),
            }
        }
        // Insecure: whatever looks like an address of a pod has it, in a namespace that there is.
        (_, [dashed, namespace, "pod"]) if plugin.pods != Pods::Disabled && zone.has_namespace(namespace) => {
            let dotted = dashed.replace('-', ".").parse();
            let address: IpAddr =
                dotted.or_else(|_| dashed.replace('-', ":").parse()).map_err(|_| Failure::NoSuchName)?;
            if plugin.pods == Pods::Verified && !zone.has_pod(namespace, address) {
                return Err(Failure::NoSuchName);
            }
            Ok(kind.fits(address).then_some(Record::Address(address)).into_iter().collect())
        }
        // Names between the zone and a service are there, and have no records.
        (_, [""] | ["svc"]) => Ok(Vec::new()),
        (_, ["pod"]) if plugin.pods != Pods::Disabled => Ok(Vec::new()),
        (_, [namespace, "svc" | "pod"]) if zone.has_namespace(namespace) => Ok(Vec::new()),
        _ => Err(Failure::NoSuchName),
    }
}

/// Ready endpoints, or all where the Service wants it: address, host name, ports.
fn endpoints<'a>(
    zone: &'a dyn Zone,
    plugin: &Kubernetes,
    namespace: &str,
    service: &Value,
) -> Vec<(IpAddr, String, &'a [Value])> {
    let wants_all = service.is_true("spec.publishNotReadyAddresses");
    let mut found = Vec::new();
    for slice in zone.slices(namespace, service.text("metadata.name")) {
        for one in slice.items("endpoints") {
            let is_ready = one.at("conditions.ready").as_bool().unwrap_or(true);
            let texts = one.items("addresses").iter().filter_map(Value::as_str);
            for text in texts.filter(|_| is_ready || wants_all) {
                let hostname = match one.text("hostname") {
                    "" if plugin.has_pod_names && one.text("targetRef.kind") == "Pod" => {
                        one.text("targetRef.name").to_string()
                    }
                    "" => text.replace(['.', ':'], "-"),
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
    plugin: &Kubernetes,
    domain: &str,
    kind: Kind,
    (namespace, name): (&str, &str),
    wanted: Option<(&str, &str)>,
) -> Result<Vec<Record>, Failure> {
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
    let own = format!("{name}.{namespace}.svc.{domain}");
    let mut records = Vec::new();
    let mut is_there = false;
    let first = service.text("spec.clusterIP").parse::<IpAddr>();
    let mut own_addresses: Vec<IpAddr> =
        service.items("spec.clusterIPs").iter().filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    if own_addresses.is_empty() {
        own_addresses.extend(first);
    }
    if own_addresses.is_empty() {
        // Headless: its endpoints.
        for (address, hostname, ports) in endpoints(zone, plugin, namespace, service) {
            is_there = true;
            records.extend(kind.fits(address).then_some(Record::Address(address)));
            if kind == Kind::Service {
                let ports = ports.iter().filter(|port| is_wanted(port)).filter_map(number);
                let target = format!("{hostname}.{own}");
                records.extend(ports.map(|port| Record::Service { port, target: target.clone() }));
            }
        }
    } else if kind == Kind::Service {
        let ports = service.items("spec.ports").iter().filter(|port| is_wanted(port));
        records.extend(ports.filter_map(number).map(|port| Record::Service { port, target: own.clone() }));
    } else {
        is_there = true;
        let fitting = own_addresses.into_iter().filter(|address| kind.fits(*address));
        records.extend(fitting.map(Record::Address));
    }
    // A headless service without endpoints is not there, and neither is a port that nobody has.
    match records.is_empty() && (!is_there || kind == Kind::Service) {
        true => Err(Failure::NoSuchName),
        false => Ok(records),
    }
}

/// What the name servers of the rest of the world say: whatever looks like a public name has an address of
/// TEST-NET-3 (RFC 5737), always the same.
pub fn of_the_world(kind: Kind, name: &str) -> Answer {
    let name = name.trim_end_matches('.');
    let top = name.rsplit('.').next().unwrap_or("");
    let is_public = name.contains('.')
        && top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !matches!(top, "local" | "internal" | "svc" | "invalid" | "test" | "localhost");
    if !is_public || kind == Kind::Pointer {
        return Err(Failure::NoSuchName);
    }
    if kind != Kind::Address {
        return Ok((OUTSIDE_TTL, Vec::new()));
    }
    let sum = name.bytes().fold(17u32, |held, byte| held.wrapping_mul(31).wrapping_add(u32::from(byte)));
    Ok((OUTSIDE_TTL, vec![Record::Address(IpAddr::from([203, 0, 113, (1 + sum % 254) as u8]))]))
}
