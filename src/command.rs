//! Everything that the outside may ask of the cluster, faults included.
//!
//! Picture to hold in mind: the buttons of the machine. The user's mouse, a lesson's script and the fuzzer
//! press the same ones, and a list of (instant, button) is all that must be kept to see the same run again.

mod read;

use serde::{Deserialize, Serialize};

use crate::message::http;

/// Names are those that the picture shows: `cp-1`, `worker-2`; `etcd-cp-1`, `kube-scheduler-cp-1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Command {
    /// The cluster is set up; always the first command of a log.
    Boot(Scenario),
    /// A line is entered in terminal `session`.
    Exec {
        session: u64,
        line: String,
        stdin: String,
    },
    /// Ctrl+C in terminal `session`.
    Interrupt {
        session: u64,
    },
    /// A client outside of the simulation sends a request to the API server; `exchange` is its number, never used twice.
    Http {
        exchange: u64,
        request: http::Request,
    },
    /// That client no longer wants its answer, or the rest of it.
    HangUp {
        exchange: u64,
    },
    /// Files of the terminal's home directory are written (`None`: removed), as the editor does before an apply.
    WriteFile {
        path: String,
        content: Option<String>,
    },
    /// A process stops; its host refuses connections to it.
    StopProcess {
        process: String,
    },
    StartProcess {
        process: String,
    },
    /// A machine loses power: all its processes, and its network.
    StopHost {
        host: String,
    },
    StartHost {
        host: String,
    },
    /// A container's main process is killed.
    KillContainer {
        namespace: String,
        pod: String,
        container: String,
    },
    /// Both directions of the cable between two hosts; a process stands for its host. What is on it is lost.
    CutLink {
        a: String,
        b: String,
    },
    JoinLink {
        a: String,
        b: String,
    },
    /// Nothing passes from one host to another any more; the other way is left as it is.
    CutOneWay {
        from: String,
        to: String,
    },
    /// One direction of a cable gets slower or lossy.
    DegradeLink {
        from: String,
        to: String,
        extra_delay_us: u64,
        loss_per_million: u32,
    },
    /// All cables are mended.
    HealNetwork,
    /// One message that is under way, by its line in the record.
    DropMessage {
        record: u64,
    },
    DelayMessage {
        record: u64,
        by_us: u64,
    },
    /// An etcd member's election timer rings, this long from now.
    Campaign {
        member: String,
        after_us: u64,
    },
    /// Leadership goes to this etcd member, if its leader finds that it can take over.
    TransferLeader {
        member: String,
    },
    /// An etcd member's disk takes so long to flush; 0: as long as a good one.
    SlowDisk {
        member: String,
        latency_us: u64,
    },
    /// A bit on an etcd member's disk flips, and nobody is told: in a value of its database while it runs, in its write-ahead
    /// log while it does not.
    CorruptDisk {
        member: String,
    },
    /// How big an etcd member's database may get (`--quota-backend-bytes`); 0: etcd's default.
    SetQuota {
        member: String,
        bytes: u64,
    },
    /// What an etcd member is started with from now on (`--pre-vote=false`), in place of what it had; it has to be stopped.
    SetFlags {
        member: String,
        flags: Vec<String>,
    },
    /// A member joins etcd, on a machine of its own. As a learner it has no vote until it is promoted.
    AddEtcdMember {
        name: String,
        is_learner: bool,
    },
    /// A line through the network: hosts (or the processes on them) of one side no longer reach those of another.
    /// Who is on no side reaches everybody.
    Partition {
        sides: Vec<Vec<String>>,
    },
    /// A machine joins the cluster as a worker.
    AddNode {
        name: String,
    },
    /// Requests go from a pod (`pod/default/client`), a node (`node/worker-1`) or `outside` of the cluster to an HTTP address, so many a second, until
    /// they are stopped. One that began before is stopped.
    StartLoad {
        source: String,
        url: String,
        /// The Host header, by which an Ingress knows whose a request is; empty: the address.
        host: String,
        requests_per_second: u32,
        /// They go over a few connections that are kept; else each has its own.
        keeps_connections: bool,
    },
    StopLoad,
}

/// A command as it stands in a log, for hands that only pass it on: the page need not know how to read one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form(String);

impl From<Command> for Form {
    fn from(command: Command) -> Form {
        // Of a command every part can be written as JSON.
        Form(serde_json::to_string(&command).unwrap_or_default())
    }
}

impl Form {
    /// The command, or in a sentence why there is none.
    pub fn read(&self) -> Result<Command, String> {
        serde_json::from_str(&self.0).map_err(|error| error.to_string())
    }
}

/// What the cluster is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    pub control_plane_nodes: u32,
    pub workers: u32,
    pub etcd_members: u32,
    /// etcd's members have machines of their own. Otherwise (kubeadm's "stacked" topology) one runs on each
    /// control-plane node, and only what there are more of them on machines of their own.
    pub external_etcd: bool,
    /// The reference cluster of the conformance data: no add-ons, containers that start at once and never exit.
    pub hollow: bool,
    /// Requests are written down as audit.k8s.io/v1 events.
    pub audit: bool,
    /// Who connects the nodes' pods.
    pub network: PodNetwork,
    /// Pods have an address of IPv6 besides that of IPv4; Services go on with IPv4 alone.
    pub dual_stack: bool,
    /// Three members of etcd 3.4 by themselves, `m1` to `m3`, run beside the terminal, and its etcdctl is of their
    /// version: what the recorded session with the real one had.
    pub local_etcd: bool,
    /// The certificate of an authority outside, as PEM: it is hung up in place of the cluster's own, and who has its key
    /// signs in place of the controller manager. Empty: there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authority: String,
}

/// How the pods of several nodes find one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodNetwork {
    /// A bridge on each node, and a route to each other node's range, told by the machines themselves.
    #[default]
    Bridge,
    /// Flannel's overlay: VXLAN from machine to machine.
    Flannel,
    /// Calico: a route to every pod, told from node to node by BGP.
    Calico,
}

/// What is asked for at most: of each more than a cluster has, and less than a page can hold.
pub const CONTROL_PLANE_NODES_MAXIMUM: u32 = 5;
pub const ETCD_MEMBERS_MAXIMUM: u32 = 7;
pub const WORKERS_MAXIMUM: u32 = 5000;

impl Scenario {
    /// Why there can be no such cluster; `None`: there can.
    pub fn refusal(&self) -> Option<String> {
        let Scenario { control_plane_nodes, etcd_members, workers, .. } = self;
        let bounds = [
            ("control-plane nodes", *control_plane_nodes, 1, CONTROL_PLANE_NODES_MAXIMUM),
            ("etcd members", *etcd_members, 1, ETCD_MEMBERS_MAXIMUM),
            ("workers", *workers, 0, WORKERS_MAXIMUM),
        ];
        bounds.iter().find(|(_, number, least, most)| number < least || number > most).map(
            |(what, number, least, most)| {
                format!("{number} {what} are not possible: between {least} and {most}")
            },
        )
    }
}

impl Default for Scenario {
    /// `cp-1` and three workers, etcd with three members.
    fn default() -> Scenario {
        Scenario {
            control_plane_nodes: 1,
            workers: 3,
            etcd_members: 3,
            external_etcd: false,
            hollow: false,
            audit: false,
            network: PodNetwork::Bridge,
            dual_stack: false,
            local_etcd: false,
            authority: String::new(),
        }
    }
}
