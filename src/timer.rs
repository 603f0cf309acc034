//! The alarms that actors set for themselves, as data.
//!
//! Picture to hold in mind: kitchen timers with a label. When one rings, the label says what it was for, and
//! the actor that set it decides whether that still matters.

use crate::api::Text;
use crate::sim::{ActorId, Duration};

#[derive(Clone, Debug)]
pub enum Timer {
    Etcd(EtcdTimer),
    ApiServer(ApiServerTimer),
    Client(ClientTimer),
    Scheduler(SchedulerTimer),
    Kubelet(KubeletTimer),
    Engine(EngineTimer),
    Terminal(TerminalTimer),
    Gateway(GatewayTimer),
    Proxy(ProxyTimer),
}

#[derive(Clone, Debug)]
pub enum ProxyTimer {
    /// kube-proxy writes its rules; only the alarm that knows how many syncs there were before counts.
    Sync { syncs: u64 },
}

#[derive(Clone, Debug)]
pub enum EtcdTimer {
    /// The Raft clock: every 100 ms.
    Tick,
    /// What was handed to the disk is on the disk.
    Persisted,
    /// The user makes the election timer ring: now, or so long from now.
    Campaign { after: Duration },
    /// The user asks the leader to hand over to this member.
    TakeOver,
}

#[derive(Clone, Debug)]
pub enum ApiServerTimer {
    /// A request has been through the handlers before storage.
    Handled { client: ActorId, id: u64 },
    /// Watch bookmarks, watch timeouts, compaction: once a second.
    Housekeeping,
}

/// The alarms of `crate::client`, which every client of the API server has.
#[derive(Clone, Debug)]
pub enum ClientTimer {
    /// The rate limiter of client `client` has a token for the next request in line.
    Tokens { client: usize },
    /// Looks for requests without an answer and for watches that went silent.
    Timeouts,
    /// A reflector tries again after its back-off.
    Relist { informer: usize },
    /// A work queue's delayed or rate-limited keys are due.
    Queue { controller: usize },
    /// A controller's periodic work.
    Periodic { controller: usize },
    /// The leader lease is acquired or renewed.
    LeaderElection,
    /// A client that does one thing after another tries the one in hand again.
    Retry,
}

#[derive(Clone, Debug)]
pub enum SchedulerTimer {
    /// The scheduling loop has finished with one pod and takes the next.
    Cycle,
    /// Pods whose back-off is over go back to the active queue: once a second.
    FlushBackoff,
    /// Pods that have been unschedulable for too long are tried again.
    FlushUnschedulable,
}

#[derive(Clone, Debug)]
pub enum KubeletTimer {
    /// The node registers itself (again).
    Register,
    /// The node lease is renewed.
    Lease,
    /// The node's status is computed, and reported if it changed or is old.
    NodeStatus,
    /// The pod lifecycle event generator looks at what has changed in the runtime.
    Relist,
    /// The manifest directory has changed.
    Manifests,
    /// Statuses that could not be sent are tried again: every 10 s.
    StatusBatch,
    /// A pod worker goes on: a wait within a sync is over, or the next sync is due. Of several that were set,
    /// only the one that names the worker's present `wake` counts.
    Worker { uid: Text, wake: u32 },
    /// The volume manager looks after a pod's volumes.
    Volumes { uid: Text },
    /// A container's end goes on: a hook's or an order's time is up.
    Kill { uid: Text, container: Text, round: u32 },
    /// A probe is due. `round` as for workers.
    Probe { uid: Text, container: Text, kind: u8, round: u32 },
}

#[derive(Clone, Debug)]
pub enum EngineTimer {
    /// A step of a CRI call has taken its time.
    Step { operation: u64 },
    /// A container's process does its next thing: writes, exits, is killed. Of several that were set, only
    /// the one that names the container's present `wake` counts.
    Process { container: Text, wake: u32 },
    /// A program's patience with a question over the network is over.
    Ask { id: u64 },
    /// A load sends its next request.
    Load { id: u64 },
    /// Neighbours that have not been heard are told this node's pod ranges again.
    Routes,
    /// Somebody kills a container's first process; `POD` is the pause container.
    Kill { namespace: Text, pod: Text, container: Text },
}

#[derive(Clone, Debug)]
pub enum TerminalTimer {
    /// A command that the outside entered begins.
    Enter { id: u64 },
    /// `sleep` is over, or a polling command looks again.
    Resume { id: u64 },
}

#[derive(Clone, Debug)]
pub enum GatewayTimer {
    /// A request that the outside handed in begins, or its client has gone.
    Begin { exchange: u64 },
    /// A server that refused the connection is tried again.
    Retry { exchange: u64 },
}
