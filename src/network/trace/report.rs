//! One packet's whole way through the cluster, as plain data: who asks, and what is answered.
//!
//! Picture to hold in mind: a letter with a stamp from every post office it went through. Each stamp says where
//! it was, who decided where it goes next and by which line of which rule book, and what was written on the
//! envelope before and after.

use serde::{Deserialize, Serialize};

/// Where a packet begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketSource {
    /// A process in a container of this pod.
    Pod { namespace: String, name: String },
    /// A process of this node, outside of any pod.
    Host { name: String },
    /// Somebody beyond the cluster's network.
    Outside,
}

/// Where it is meant to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketTarget {
    Pod {
        namespace: String,
        name: String,
    },
    /// By its name, as a program would: the source's resolver is asked; what has no resolver uses the cluster IP.
    Service {
        namespace: String,
        name: String,
    },
    /// A node's own address: with a node port, a service's way in from outside.
    Host {
        name: String,
    },
    /// An address, or a name as it would be typed at the source: `web`, `web.shop`, `example.com`.
    Name(String),
}

/// The answer to `picture::Query::Packet`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PacketTrace {
    /// `from default/client to http://web:80`, in words.
    pub question: String,
    /// Names that were looked up on the way to an address, in the resolver's order.
    pub lookups: Vec<Lookup>,
    /// From the source to where it arrives, or dies.
    pub there: Vec<Hop>,
    /// The answer's way back: of the service's program, or of who refused.
    pub back: Vec<Hop>,
    pub verdict: PacketVerdict,
    /// One plain sentence: how it ended, and why.
    pub explanation: String,
    /// What would let it pass; empty when it does.
    pub remedy: String,
}

/// One question to the name server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// `web.default.svc.cluster.local.`
    pub name: String,
    /// Who was asked: `10.96.0.10`, or `/etc/hosts`.
    pub server: String,
    /// Addresses, or `NXDOMAIN`, `CNAME example.com.`, `timed out`.
    pub answer: String,
    pub is_found: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketVerdict {
    /// It arrived, somebody listens there, and the answer came back.
    #[default]
    Answered,
    /// Somebody said no: a REJECT rule, or a port on which nobody listens. The client hears it at once.
    Refused,
    /// It is gone without a word: the client waits until it gives up.
    Dropped,
    /// There is no way there: no route, a cut link, a host without power.
    Unreachable,
    /// The name has no address, so no packet was sent.
    NoSuchName,
}

/// One thing that happened to the packet at one place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    pub place: Place,
    pub stage: HopStage,
    /// A few words: `PREROUTING`, `bridge cni0`, `wire to worker-2`.
    pub title: String,
    /// One plain sentence.
    pub explanation: String,
    /// The lines that decided, as `iptables-save` or `ip route` print them, in the order in which they matched.
    pub rules: Vec<String>,
    /// What was written on the envelope before this hop, and after it: they differ where NAT was done.
    pub before: Envelope,
    pub after: Envelope,
    pub verdict: HopVerdict,
    /// What is written on the envelope around it, from machine to machine; empty: there is none.
    pub outer: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The machine, as in `picture::Host::name`; empty outside of the cluster.
    pub node: String,
    /// `eth0`, `cni0`, `veth1a2b3c4d`; empty where no interface matters.
    pub interface: String,
    /// The pod in whose network namespace it is; empty: in the node's.
    pub namespace: String,
    pub pod: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HopStage {
    /// A program writes it.
    #[default]
    Send,
    /// Through an interface: a veth pair, a bridge, a network card.
    Link,
    /// Rules of netfilter at one of its five places.
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
    /// The routing table decides.
    Route,
    /// Between machines.
    Wire,
    /// A program gets it, or nobody is there to get it.
    Receive,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `TCP`, `UDP`, `SCTP`, `ICMP`.
    pub protocol: String,
    pub source: String,
    /// 0: the protocol has none.
    pub source_port: u16,
    pub destination: String,
    pub destination_port: u16,
    /// The kernel's own note on it: kube-proxy's `0x4000` asks for masquerading.
    pub mark: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HopVerdict {
    /// It goes on as it was.
    #[default]
    Passes,
    /// It goes on with another address or port.
    Translated,
    Delivered,
    Refused,
    Dropped,
}
