//! Between the API server and etcd: the part of etcd's v3 API that Kubernetes uses, and what etcdctl needs.
//!
//! Picture to hold in mind: a ledger that only ever grows. Each transaction that changes something gets the
//! next revision, and a reader may ask for the ledger as it stood at any revision not yet compacted.
//!
//! Values are objects, not bytes: the simulated wire carries what the protobuf would have said.

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
    Compact {
        revision: u64,
    },
    Status,
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
    Txn { succeeded: bool, results: Vec<ChangeResult> },
    WatchCreated,
    Lease { lease: i64, ttl_seconds: u64 },
    Compacted,
    Status { leader: u64, raft_index: u64, applied_index: u64, keys: u64 },
    Done,
}

#[derive(Clone, Debug)]
pub enum ChangeResult {
    Range(RangeResult),
    Put,
    Delete { deleted: u64, previous: Vec<KeyValue> },
}

#[derive(Clone, Debug, Default)]
pub struct RangeResult {
    pub pairs: Vec<KeyValue>,
    /// Keys in the range, whatever the limit.
    pub count: u64,
    pub more: bool,
}

/// A key at one revision.
#[derive(Clone, Debug)]
pub struct KeyValue {
    pub key: Text,
    pub value: Value,
    pub create_revision: u64,
    pub mod_revision: u64,
    /// Changes since the key was created; the creation is 1.
    pub version: u64,
    pub lease: i64,
}

/// Everything that one revision changed under a watch; no events is a progress notification.
#[derive(Clone, Debug)]
pub struct WatchResponse {
    pub watch_id: u64,
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
    pub current: Option<KeyValue>,
    pub previous: Option<KeyValue>,
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
    /// `etcdserver: mvcc: database space exceeded`
    NoSpace,
    /// Any other, in etcd's words.
    Other(Text),
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self {
            Error::Unavailable => "connection refused",
            Error::NoLeader => "etcdserver: no leader",
            Error::TimedOut => "etcdserver: request timed out",
            Error::Compacted { .. } => "etcdserver: mvcc: required revision has been compacted",
            Error::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
            Error::LeaseNotFound => "etcdserver: requested lease not found",
            Error::NoSpace => "etcdserver: mvcc: database space exceeded",
            Error::Other(text) => text,
        })
    }
}
