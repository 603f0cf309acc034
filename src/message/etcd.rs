//! Between the API server and etcd: the part of etcd's v3 API that Kubernetes uses, and what etcdctl needs.
//!
//! Picture to hold in mind: a ledger that only ever grows. Each transaction that changes something gets the
//! next revision, and a reader may ask for the ledger as it stood at any revision not yet compacted.
//!
//! Values are objects, not bytes: the simulated wire carries what the protobuf would have said.

use std::fmt;
use std::sync::Arc;

use super::raft::{Application, MemberId};
use crate::api::{Text, Value};

#[derive(Clone, Debug)]
pub struct Request {
    /// The client's number for this exchange.
    pub id: u64,
    pub operation: Operation,
}

#[derive(Clone, Debug)]
pub enum Operation {
    Range(Range),
    Txn(Txn),
    /// Opens a watch under the request's `id`.
    Watch {
        key: Text,
        range_end: Text,
        start_revision: u64,
        previous: bool,
        progress: bool,
    },
    CancelWatch {
        watch_id: u64,
    },
    /// Asks for a progress notification on all of the client's watches.
    Progress,
    LeaseGrant {
        lease: i64,
        ttl_seconds: u64,
    },
    LeaseRevoke {
        lease: i64,
    },
    LeaseKeepAlive {
        lease: i64,
    },
    LeaseTimeToLive {
        lease: i64,
    },
    LeaseList,
    Compact {
        revision: u64,
    },
    /// How the member that is asked stands (`endpoint status`).
    Status,
    MemberList,
    MemberAdd {
        peer_url: Text,
        is_learner: bool,
    },
    MemberRemove {
        member: u64,
    },
    MemberPromote {
        member: u64,
    },
    MoveLeader {
        target: u64,
    },
    /// A hash over every key up to the revision (0: the newest): equal on members that agree.
    HashKv {
        revision: u64,
    },
    /// The whole state of the member that is asked, as a backup.
    Snapshot,
}

/// Keys `key <= k < range_end`; only `key` itself when `range_end` is empty.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub key: Text,
    pub range_end: Text,
    /// 0: the newest.
    pub revision: u64,
    /// 0: all.
    pub limit: u64,
    pub serializable: bool,
    pub count_only: bool,
    pub keys_only: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Change>,
    pub failure: Vec<Change>,
}

#[derive(Clone, Debug)]
pub enum Compare {
    /// 0 means: the key does not exist.
    ModRevision {
        key: Text,
        revision: u64,
    },
    CreateRevision {
        key: Text,
        revision: u64,
    },
    Version {
        key: Text,
        version: u64,
    },
    Value {
        key: Text,
        value: Value,
    },
}

#[derive(Clone, Debug)]
pub enum Change {
    Range(Range),
    Put { key: Text, value: Value, lease: i64 },
    Delete { key: Text, range_end: Text },
}

#[derive(Clone, Debug)]
pub struct Response {
    pub id: u64,
    /// The store's revision when this was answered.
    pub revision: u64,
    pub member: u64,
    pub raft_term: u64,
    pub result: Result<Outcome, Error>,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    Range(RangeResult),
    Txn {
        succeeded: bool,
        results: Vec<ChangeResult>,
    },
    WatchCreated,
    Lease {
        lease: i64,
        ttl_seconds: u64,
    },
    LeaseTimeToLive {
        lease: i64,
        /// -1: there is no such lease (any more).
        remaining_seconds: i64,
        granted_seconds: u64,
        keys: Vec<Text>,
    },
    Leases(Vec<i64>),
    Compacted,
    Status(Status),
    Members(Vec<Member>),
    Hash {
        hash: u32,
        revision: u64,
        compact_revision: u64,
    },
    Snapshot(Image),
    Done,
}

/// How one member stands.
#[derive(Clone, Debug)]
pub struct Status {
    pub version: Text,
    /// 0: none.
    pub leader: u64,
    pub is_learner: bool,
    pub raft_index: u64,
    pub applied_index: u64,
    pub keys: u64,
    pub db_size_bytes: u64,
    pub db_size_in_use_bytes: u64,
    pub errors: Vec<Text>,
}

/// A member of the cluster, as `etcdctl member list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Empty until the member has started for the first time.
    pub name: Text,
    pub peer_url: Text,
    pub client_url: Text,
    pub is_learner: bool,
}

#[derive(Clone, Debug)]
pub enum ChangeResult {
    Range(RangeResult),
    Put,
    Delete { deleted: u64, previous: Vec<Arc<KeyValue>> },
}

#[derive(Clone, Debug, Default)]
pub struct RangeResult {
    pub pairs: Vec<Arc<KeyValue>>,
    /// Keys in the range, whatever the limit.
    pub count: u64,
    pub more: bool,
}

/// A key at one revision. Shared by the store, answers, watches and checkpoints; it never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue {
    pub key: Text,
    pub value: Value,
    pub create_revision: u64,
    pub mod_revision: u64,
    /// Changes since the key was created; the creation is 1.
    pub version: u64,
    pub lease: i64,
}

/// What changed under a watch, in order; no events is a progress notification.
#[derive(Clone, Debug)]
pub struct WatchResponse {
    pub watch_id: u64,
    /// The store's revision when this was sent: the watch has seen everything up to it.
    pub revision: u64,
    pub events: Vec<WatchEvent>,
    /// The watch is over: its start was compacted away; the first revision still there.
    pub compact_revision: u64,
}

#[derive(Clone, Debug)]
pub struct WatchEvent {
    pub key: Text,
    pub mod_revision: u64,
    /// `None`: the key was deleted.
    pub current: Option<Arc<KeyValue>>,
    /// Only if the watch asked for it.
    pub previous: Option<Arc<KeyValue>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing listens there.
    Unavailable,
    /// `etcdserver: no leader`
    NoLeader,
    /// `etcdserver: request timed out`
    TimedOut,
    /// `etcdserver: mvcc: required revision has been compacted`
    Compacted { revision: u64 },
    /// `etcdserver: mvcc: required revision is a future revision`
    FutureRevision,
    /// `etcdserver: requested lease not found`
    LeaseNotFound,
    /// `etcdserver: lease already exists`
    LeaseExists,
    /// `etcdserver: duplicate key given in txn request`
    DuplicateKey,
    /// `etcdserver: too many requests`
    TooManyRequests,
    /// `etcdserver: request timed out, possibly due to previous leader failure`
    TimedOutLeaderFailure,
    /// `etcdserver: not leader`
    NotLeader,
    /// `etcdserver: member not found`
    MemberNotFound,
    /// `etcdserver: can only promote a learner member which is in sync with leader`
    LearnerNotReady,
    /// `etcdserver: rpc not supported for learner`
    NotSupportedForLearner,
    /// `etcdserver: mvcc: database space exceeded`
    NoSpace,
    /// Any other, in etcd's words.
    Other(Text),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Error::Unavailable => "connection refused",
            Error::NoLeader => "etcdserver: no leader",
            Error::TimedOut => "etcdserver: request timed out",
            Error::Compacted { .. } => "etcdserver: mvcc: required revision has been compacted",
            Error::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            Error::LeaseNotFound => "etcdserver: requested lease not found",
            Error::LeaseExists => "etcdserver: lease already exists",
            Error::DuplicateKey => "etcdserver: duplicate key given in txn request",
            Error::TooManyRequests => "etcdserver: too many requests",
            Error::TimedOutLeaderFailure => {
                "etcdserver: request timed out, possibly due to previous leader failure"
            }
            Error::NotLeader => "etcdserver: not leader",
            Error::MemberNotFound => "etcdserver: member not found",
            Error::LearnerNotReady => {
                "etcdserver: can only promote a learner member which is in sync with leader"
            }
            Error::NotSupportedForLearner => "etcdserver: rpc not supported for learner",
            Error::NoSpace => "etcdserver: mvcc: database space exceeded",
            Error::Other(text) => text,
        })
    }
}

/// What etcd's members replicate among themselves.
#[derive(Clone, Debug)]
pub enum Replicated {}

impl Application for Replicated {
    type Command = Arc<Proposal>;
    type Snapshot = Image;
    fn size(proposal: &Arc<Proposal>) -> u64 {
        proposal.size_bytes
    }
}

/// An entry of the log, and who waits for it to be applied.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The member that was asked, and its own number for the request.
    pub member: MemberId,
    pub number: u64,
    /// Roughly; for the limits on messages only.
    pub size_bytes: u64,
    pub what: Proposed,
}

#[derive(Clone, Debug)]
pub enum Proposed {
    /// A client's request.
    Request(Arc<Request>),
    /// A member has started and says what it is called and where clients find it.
    Publish { member: MemberId, name: Text, client_url: Text },
    /// The leader found leases whose time is over.
    Expired { lease: i64 },
    /// The leader says which version all members speak.
    ClusterVersion(Text),
}

impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match &self.what {
            Proposed::Request(request) => fmt::Display::fmt(&request.operation, formatter),
            Proposed::Publish { name, .. } => write!(formatter, "publish {name}"),
            Proposed::Expired { lease } => write!(formatter, "lease expired {lease:x}"),
            Proposed::ClusterVersion(version) => write!(formatter, "cluster version {version}"),
        }
    }
}

/// One line, as the log's rows show it: `put /registry/pods/default/nginx`.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Operation::Range(range) => write!(formatter, "range {}", range.key),
            Operation::Txn(txn) => match txn.success.iter().find(|c| !matches!(c, Change::Range(_))) {
                Some(Change::Put { key, .. }) => write!(formatter, "put {key}"),
                Some(Change::Delete { key, .. }) => write!(formatter, "delete {key}"),
                _ => formatter.write_str("txn"),
            },
            Operation::Watch { key, .. } => write!(formatter, "watch {key}"),
            Operation::CancelWatch { .. } => formatter.write_str("cancel watch"),
            Operation::Progress => formatter.write_str("watch progress"),
            Operation::LeaseGrant { lease, ttl_seconds } => {
                write!(formatter, "lease grant {lease:x} {ttl_seconds}s")
            }
            Operation::LeaseRevoke { lease } => write!(formatter, "lease revoke {lease:x}"),
            Operation::LeaseKeepAlive { lease } => write!(formatter, "lease keep-alive {lease:x}"),
            Operation::LeaseTimeToLive { lease } => write!(formatter, "lease timetolive {lease:x}"),
            Operation::LeaseList => formatter.write_str("lease list"),
            Operation::Compact { revision } => write!(formatter, "compact {revision}"),
            Operation::Status => formatter.write_str("endpoint status"),
            Operation::MemberList => formatter.write_str("member list"),
            Operation::MemberAdd { peer_url, .. } => write!(formatter, "member add {peer_url}"),
            Operation::MemberRemove { member } => write!(formatter, "member remove {member:x}"),
            Operation::MemberPromote { member } => write!(formatter, "member promote {member:x}"),
            Operation::MoveLeader { target } => write!(formatter, "move-leader {target:x}"),
            Operation::HashKv { .. } => formatter.write_str("endpoint hashkv"),
            Operation::Snapshot => formatter.write_str("snapshot save"),
        }
    }
}

/// A whole store, as a snapshot file or a snapshot message carries it. What is in it is etcd's own business.
#[derive(Clone)]
pub struct Image(pub Arc<dyn std::any::Any + Send + Sync>);

impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Image")
    }
}
