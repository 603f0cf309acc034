//! From a name to an address: the source's resolver asks, by a packet of its own, and CoreDNS answers.
//!
//! Picture to hold in mind: the follower of the letter first listens to the call to directory inquiries; where the line
//! is dead, there is no letter.

use core::net::IpAddr;

use crate::api::Text;

use super::follow::{End, Follower};
use super::report::{Lookup, PacketVerdict};
use super::{Refusal, Spot, World, source_address};
use crate::network::dns::{self, Answer, Kind, Record, Zone};
use crate::network::packet::{Packet, Protocol};

/// How one source finds addresses.
pub struct Resolver<'a> {
    world: &'a dyn World,
    spot: Spot,
    server: Text,
    searches: &'a [Text],
    options: &'a [Text],
    hostname: &'a str,
    /// The name server is the cluster's.
    pub knows_cluster: bool,
}

impl<'a> Resolver<'a> {
    /// `None`: nothing is known of the source's resolver.
    pub fn of(world: &'a dyn World, spot: Spot) -> Option<Resolver<'a>> {
        let Spot::Pod(node, pod) = spot else { return None };
        let pod = &world.nodes()[node].pods[pod];
        let server = pod.name_servers.first()?.clone();
        Some(Resolver {
            world,
            spot,
            knows_cluster: is_cluster_dns(world, &server),
            server,
            searches: pod.searches,
            options: pod.options,
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
            options: &[],
            hostname: "",
            knows_cluster: false,
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
        let candidates = dns::candidates(name, self.searches, self.options);
        let zone = self.zone().map_err(|trouble| {
            lookups.push(Lookup {
                name: candidates.first().cloned().unwrap_or_default(),
                server: self.server.to_string(),
                answer: "timed out".into(),
                is_found: false,
            });
            let words = format!("The name server {} does not answer: {trouble}", self.server);
            let remedy = "A name server that answers: see whether CoreDNS is Ready.";
            (PacketVerdict::NoSuchName, words, remedy.to_string())
        })?;
        for candidate in candidates {
            let answer = match zone {
                Some(zone) => dns::answer(zone, Kind::Address, &candidate).0,
                None => dns::of_the_world(Kind::Address, &candidate),
            };
            let address = answer.iter().flat_map(|(_, records)| records).find_map(|record| match record {
                Record::Address(address) => Some(*address),
                _ => None,
            });
            lookups.push(Lookup {
                name: candidate,
                server: self.server.to_string(),
                is_found: address.is_some(),
                answer: words(&answer),
            });
            if let Some(address) = address {
                return Ok(address);
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

    /// What the name server answers from; `None`: it knows the world outside only. The error: why it does not answer.
    fn zone(&self) -> Result<Option<&'a dyn Zone>, String> {
        let server = self.server.parse::<IpAddr>().ok().filter(|_| self.knows_cluster);
        let source = server.and_then(|server| source_address(self.world, self.spot, server));
        let (Some(server), Some(source)) = (server, source) else { return Ok(None) };
        let query = Packet::new(Protocol::Udp, (source, 40_053), (server, dns::PORT));
        match Follower::new(self.world).follow(self.spot, query).0 {
            End::Delivered { at: Spot::Pod(node, pod), .. } => match self.world.zone(node, pod) {
                Some(zone) => Ok(Some(zone)),
                None => Err("CoreDNS there has not heard from the API server yet.".into()),
            },
            End::Rejected { rule, .. } | End::Dropped { rule, .. } => Err(rule),
            End::NobodyListens { .. } => Err("nobody listens on port 53 there.".into()),
            other => Err(format!("{other:?}.")),
        }
    }
}

fn words(answer: &Answer) -> String {
    let records = match answer {
        Err(failure) => return failure.name().into(),
        Ok((_, records)) => records.iter().map(|record| match record.show() {
            ("A" | "AAAA", address) => address,
            (kind, data) => format!("{kind} {data}"),
        }),
    };
    records.collect::<Vec<String>>().join(", ")
}

fn is_cluster_dns(world: &dyn World, server: &str) -> bool {
    world.services().iter().any(|service| {
        service.text("spec.clusterIP") == server
            && service
                .items("spec.ports")
                .iter()
                .any(|port| port.integer("port") == Some(i64::from(dns::PORT)))
    })
}
