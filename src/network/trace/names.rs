//! From a name to an address: the source's resolver, and CoreDNS.
//!
//! Picture to hold in mind: somebody who has forgotten a surname and tries the families of the house one after
//! another: `web` of this namespace, `web` of all services, `web` of the cluster, and at last just `web`.
//!
//! After resolv.conf(5) (`search`, `ndots`), CoreDNS' plugin kubernetes with kubeadm's Corefile (`pods insecure`,
//! `fallthrough in-addr.arpa`, `forward . /etc/resolv.conf`), and the DNS specification of Kubernetes.

use core::net::IpAddr;

use crate::api::{Text, Value};

use super::follow::{End, Follower};
use super::report::{Lookup, PacketVerdict};
use super::{Refusal, Spot, World, source_address};
use crate::network::packet::{Packet, Protocol};

/// The zone that CoreDNS answers for.
const DOMAIN: &str = "cluster.local";
const DNS_PORT: u16 = 53;
/// A chain of CNAMEs that is followed.
const ALIASES: usize = 8;

/// How one source finds addresses.
pub struct Resolver<'a> {
    world: &'a dyn World,
    spot: Spot,
    server: Text,
    searches: &'a [Text],
    ndots: usize,
    hostname: &'a str,
    /// The name server is the cluster's.
    pub knows_cluster: bool,
}

/// What a name server says.
pub enum Answer {
    Addresses(Vec<IpAddr>),
    Alias(String),
    Nothing,
}

impl<'a> Resolver<'a> {
    /// `None`: nothing is known of the source's resolver.
    pub fn of(world: &'a dyn World, spot: Spot) -> Option<Resolver<'a>> {
        let Spot::Pod(node, pod) = spot else { return None };
        let pod = &world.nodes()[node].pods[pod];
        let ndots = pod.options.iter().find_map(|option| option.strip_prefix("ndots:")?.parse().ok());
        let server = pod.name_servers.first()?.clone();
        Some(Resolver {
            world,
            spot,
            knows_cluster: is_cluster_dns(world, &server),
            server,
            searches: pod.searches,
            ndots: ndots.unwrap_or(1),
            hostname: pod.hostname,
        })
    }
    /// The resolver of a machine, which knows the world outside only.
    pub fn outside(world: &'a dyn World) -> Resolver<'a> {
        Resolver {
            world,
            spot: Spot::Outside,
            server: "10.0.0.2".into(),
            searches: &[],
            ndots: 1,
            hostname: "",
            knows_cluster: false,
        }
    }

    /// The names that are tried, in order.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_string()];
        }
        let as_it_is = format!("{name}.");
        let searched = self.searches.iter().map(|search| format!("{name}.{search}."));
        let dots = name.matches('.').count();
        if dots >= self.ndots {
            std::iter::once(as_it_is).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(as_it_is)).collect()
        }
    }

    pub fn look_up(&self, name: &str, lookups: &mut Vec<Lookup>) -> Result<IpAddr, Refusal> {
        let from_file = match name {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            name if name == self.hostname => match self.spot {
                Spot::Pod(node, pod) => self.world.nodes()[node].pods[pod]
                    .attachment
                    .and_then(|attachment| attachment.addresses.first().copied()),
                _ => None,
            },
            _ => None,
        };
        if let Some(address) = from_file {
            lookups.push(Lookup {
                name: name.into(),
                server: "/etc/hosts".into(),
                answer: address.to_string(),
                is_found: true,
            });
            return Ok(address);
        }
        if let Some(trouble) = self.trouble() {
            let first = self.candidates(name).into_iter().next().unwrap_or_default();
            lookups.push(Lookup {
                name: first,
                server: self.server.to_string(),
                answer: "timed out".into(),
                is_found: false,
            });
            let words = format!("The name server {} does not answer: {trouble}", self.server);
            return Err((
                PacketVerdict::NoSuchName,
                words,
                "A name server that answers: see whether CoreDNS is Ready.".into(),
            ));
        }
        for candidate in self.candidates(name) {
            let mut asked = candidate;
            for _ in 0..ALIASES {
                let answer = match self.knows_cluster {
                    true => cluster_answer(self.world, &asked),
                    false => outside_answer(&asked),
                };
                let (words, found) = match &answer {
                    Answer::Addresses(all) => {
                        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
                        (texts.join(", "), all.first().copied())
                    }
                    Answer::Alias(other) => (format!("CNAME {other}"), None),
                    Answer::Nothing => ("NXDOMAIN".to_string(), None),
                };
                lookups.push(Lookup {
                    name: asked.clone(),
                    server: self.server.to_string(),
                    answer: words,
                    is_found: !matches!(answer, Answer::Nothing),
                });
                match (answer, found) {
                    (_, Some(address)) => return Ok(address),
                    (Answer::Alias(other), _) => asked = other,
                    _ => break,
                }
            }
        }
        let words = format!("No name server knows {name}.");
        let remedy = match self.knows_cluster {
            true => {
                "A Service of that name: in the same namespace its name is enough, from elsewhere write NAME.NAMESPACE."
            }
            false => {
                "This resolver knows nothing of the cluster: names of services are for pods with dnsPolicy ClusterFirst."
            }
        };
        Err((PacketVerdict::NoSuchName, words, remedy.to_string()))
    }

    /// Why the name server cannot be reached; `None`: it can.
    fn trouble(&self) -> Option<String> {
        if !self.knows_cluster {
            return None;
        }
        let server: IpAddr = self.server.parse().ok()?;
        let source = source_address(self.world, self.spot, server)?;
        let query = Packet::new(Protocol::Udp, (source, 40_053), (server, DNS_PORT));
        match Follower::new(self.world).follow(self.spot, query).0 {
            End::Delivered { .. } => None,
            End::Rejected { rule, .. } | End::Dropped { rule, .. } => Some(rule),
            End::NobodyListens { .. } => Some("nobody listens on port 53 there.".into()),
            other => Some(format!("{other:?}.")),
        }
    }
}

fn is_cluster_dns(world: &dyn World, server: &str) -> bool {
    world.services().iter().any(|service| {
        service.text("spec.clusterIP") == server
            && service
                .items("spec.ports")
                .iter()
                .any(|port| port.integer("port") == Some(i64::from(DNS_PORT)))
    })
}

/// What CoreDNS answers for an absolute name.
pub fn cluster_answer(world: &dyn World, name: &str) -> Answer {
    let Some(inner) = name.trim_end_matches('.').strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.'))
    else {
        return outside_answer(name);
    };
    let labels: Vec<&str> = inner.split('.').collect();
    match labels.as_slice() {
        [service, namespace, "svc"] => service_answer(world, namespace, service, None),
        [endpoint, service, namespace, "svc"] => service_answer(world, namespace, service, Some(endpoint)),
        [address, _, "pod"] => match address.replace('-', ".").parse() {
            Ok(address) => Answer::Addresses(vec![address]),
            Err(_) => Answer::Nothing,
        },
        _ => Answer::Nothing,
    }
}

fn service_answer(world: &dyn World, namespace: &str, name: &str, endpoint: Option<&str>) -> Answer {
    let Some(service) = world.service(namespace, name) else { return Answer::Nothing };
    if service.text("spec.type") == "ExternalName" {
        return Answer::Alias(format!("{}.", service.text("spec.externalName").trim_end_matches('.')));
    }
    let cluster_ip = service.text("spec.clusterIP").parse();
    if let (Ok(address), None) = (cluster_ip, endpoint) {
        return Answer::Addresses(vec![address]);
    }
    // Headless, or one endpoint by its host name: addresses of those that are ready.
    let mut addresses = Vec::new();
    for slice in world.slices(namespace, name) {
        for one in slice.items("endpoints") {
            let is_ready = one.at("conditions.ready").as_bool().unwrap_or(true);
            let texts = one.items("addresses").iter().filter_map(Value::as_str);
            for text in texts.filter(|_| is_ready) {
                let hostname = match one.text("hostname") {
                    "" => text.replace('.', "-"),
                    hostname => hostname.to_string(),
                };
                if endpoint.is_none_or(|wanted| wanted == hostname)
                    && let Ok(address) = text.parse()
                {
                    addresses.push(address);
                }
            }
        }
    }
    if addresses.is_empty() { Answer::Nothing } else { Answer::Addresses(addresses) }
}

/// What the name servers of the rest of the world say: whatever looks like a public name has an address of
/// TEST-NET-3 (RFC 5737), always the same.
pub fn outside_answer(name: &str) -> Answer {
    let name = name.trim_end_matches('.');
    let top = name.rsplit('.').next().unwrap_or("");
    let is_public = name.contains('.')
        && top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !matches!(top, "local" | "internal" | "svc" | "invalid" | "test" | "localhost");
    if !is_public {
        return Answer::Nothing;
    }
    let sum = name.bytes().fold(17u32, |held, byte| held.wrapping_mul(31).wrapping_add(u32::from(byte)));
    Answer::Addresses(vec![IpAddr::from([203, 0, 113, (1 + sum % 254) as u8])])
}
