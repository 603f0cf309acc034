//! Between the API server and etcd: the part of etcd's v3 API that Kubernetes uses, and what etcdctl needs.
//!
//! Picture to hold in mind: a ledger that only ever grows. Each transaction that changes something gets the
//! next revision, and a reader may ask for the ledger as it stood at any revision not yet compacted.
//!
//! Values are objects, not bytes: the simulated wire carries what the protobuf would have said.

use std::fmt;
use std::sync::Arc;

use super::auth::{AuthOutcome, AuthRequest};
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
        /// 0: the member chooses a number.
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
    /// The members as the one that is asked knows them.
    MembersKnown,
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
    MemberUpdate {
        member: u64,
        peer_url: Text,
    },
    MoveLeader {
        target: u64,
    },
    AlarmList,
    AlarmActivate {
        member: u64,
        alarm: Alarm,
    },
    /// Member 0: everybody's.
    AlarmDisarm {
        member: u64,
        alarm: Alarm,
    },
    /// The member that is asked rewrites its database file without the free pages.
    Defragment,
    /// A hash over every key up to the revision (0: the newest): equal on members that agree.
    HashKv {
        revision: u64,
    },
    /// The whole state of the member that is asked, as a backup.
    Snapshot,
    /// Users and roles of etcd's own.
    Auth(AuthRequest),
}

/// What a member raises when something is wrong with it that all must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A database is as big as its quota: nothing that needs space is taken any more.
    NoSpace,
    /// A member's contents are not the others'.
    Corrupt,
}

impl Alarm {
    pub fn name(self) -> &'static str {
        match self {
            Alarm::NoSpace => "NOSPACE",
            Alarm::Corrupt => "CORRUPT",
        }
    }
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
    /// `None`: by key, ascending.
    pub sort: Option<Sort>,
    /// Only pairs created between these revisions, both included; 0: no bound.
    pub create_revisions: (u64, u64),
    /// Only pairs last changed between these.
    pub mod_revisions: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub by: Target,
    pub is_descending: bool,
}

/// What of a key is sorted by or compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Key,
    Version,
    CreateRevision,
    ModRevision,
    Value,
    Lease,
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
    ModRevision { key: Text, revision: u64 },
    /// Any other of etcd's comparisons; a number is given as one.
    Any { key: Text, target: Target, relation: Relation, value: Value },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    Greater,
}

#[derive(Clone, Debug)]
pub enum Change {
    Range(Range),
    Put {
        key: Text,
        value: Value,
        lease: i64,
    },
    /// A put that keeps the value or the lease where it is `None` (`--ignore-value`, `--ignore-lease`).
    Update {
        key: Text,
        value: Option<Value>,
        lease: Option<i64>,
    },
    Delete {
        key: Text,
        range_end: Text,
    },
}

impl Change {
    /// The key that this changes or reads first.
    pub fn key(&self) -> &Text {
        match self {
            Change::Range(range) => &range.key,
            Change::Put { key, .. } | Change::Update { key, .. } | Change::Delete { key, .. } => key,
        }
    }
    pub fn is_read(&self) -> bool {
        matches!(self, Change::Range(_))
    }
}

impl Operation {
    /// The key that this changes first, if it changes one.
    pub fn changed_key(&self) -> Option<&Text> {
        match self {
            Operation::Txn(txn) => txn.success.iter().find(|change| !change.is_read()).map(Change::key),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub id: u64,
    /// The store's revision when this was answered.
    pub revision: u64,
    pub cluster: u64,
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
    Status(Box<Status>),
    Members(Vec<Member>),
    Alarms(Vec<(u64, Alarm)>),
    Hash {
        hash: u32,
        revision: u64,
        compact_revision: u64,
    },
    Snapshot {
        image: Image,
        /// Of the member's database file.
        size_bytes: u64,
        /// The storage version: `3.6.0`.
        version: Text,
    },
    Auth(AuthOutcome),
    Done,
}

/// How one member stands.
#[derive(Clone, Debug)]
pub struct Status {
    pub version: Text,
    /// Which version's data the database holds: the cluster's, once all members are known to speak it.
    pub storage_version: Text,
    /// 0: none.
    pub leader: u64,
    pub is_learner: bool,
    pub raft_index: u64,
    pub applied_index: u64,
    pub db_size_bytes: u64,
    pub db_size_in_use_bytes: u64,
    pub db_size_quota_bytes: u64,
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
    Put { previous: Option<Arc<KeyValue>> },
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

/// A value as the bytes that etcd keeps: text as it is, an object as JSON.
pub fn text_of(value: &Value) -> Text {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => Text::new(),
        value => value.to_string().into(),
    }
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
    /// `etcdserver: key not found`
    KeyNotFound,
    /// `etcdserver: corrupt cluster`
    Corrupt,
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
            Error::KeyNotFound => "etcdserver: key not found",
            Error::Corrupt => "etcdserver: corrupt cluster",
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
    /// The leader notes how much of long leases is left, so that the next leader does not begin anew.
    Checkpoint(Vec<(i64, u64)>),
    /// A member's database is as big as its quota, or a leader found a member's data wrong; member 0: it cannot tell
    /// whose.
    RaiseAlarm { member: MemberId, alarm: Alarm },
    /// The leader says which version all members speak.
    ClusterVersion(Text),
}

impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match &self.what {
            Proposed::Request(request) => fmt::Display::fmt(&request.operation, formatter),
            Proposed::Publish { name, .. } => write!(formatter, "publish {name}"),
            Proposed::Expired { lease } => write!(formatter, "lease expired {lease:x}"),
            Proposed::Checkpoint(leases) => write!(formatter, "lease checkpoint of {}", leases.len()),
            Proposed::RaiseAlarm { member, alarm } => write!(formatter, "alarm {} {member}", alarm.name()),
            Proposed::ClusterVersion(version) => write!(formatter, "cluster version {version}"),
        }
    }
}

/// One line, as the log's rows show it: `put /registry/pods/default/nginx`.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Operation::Range(range) => write!(formatter, "range {}", range.key),
            Operation::Txn(txn) => match txn.success.iter().find(|change| !change.is_read()) {
                Some(Change::Put { key, .. } | Change::Update { key, .. }) => write!(formatter, "put {key}"),
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
            Operation::MemberList | Operation::MembersKnown => formatter.write_str("member list"),
            Operation::MemberAdd { peer_url, .. } => write!(formatter, "member add {peer_url}"),
            Operation::MemberRemove { member } => write!(formatter, "member remove {member:x}"),
            Operation::MemberPromote { member } => write!(formatter, "member promote {member:x}"),
            Operation::MemberUpdate { member, .. } => write!(formatter, "member update {member:x}"),
            Operation::AlarmList => formatter.write_str("alarm list"),
            Operation::AlarmActivate { member, alarm } => {
                write!(formatter, "alarm {} {member:x}", alarm.name())
            }
            Operation::AlarmDisarm { .. } => formatter.write_str("alarm disarm"),
            Operation::Defragment => formatter.write_str("defrag"),
            Operation::MoveLeader { target } => write!(formatter, "move-leader {target:x}"),
            Operation::HashKv { .. } => formatter.write_str("endpoint hashkv"),
            Operation::Snapshot => formatter.write_str("snapshot save"),
            Operation::Auth(request) => formatter.write_str(request.name()),
        }
    }
}

/// `mod(/registry/pods/default/nginx) = 7`, as etcdctl writes it.
impl fmt::Display for Compare {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Compare::ModRevision { key, revision } => write!(formatter, "mod({key}) = {revision}"),
            Compare::Any { key, target, relation, value } => {
                let target = match target {
                    Target::Key => "key",
                    Target::Version => "version",
                    Target::CreateRevision => "create",
                    Target::ModRevision => "mod",
                    Target::Value => "value",
                    Target::Lease => "lease",
                };
                let relation = match relation {
                    Relation::Equal => "=",
                    Relation::NotEqual => "!=",
                    Relation::Less => "<",
                    Relation::Greater => ">",
                };
                write!(formatter, "{target}({key}) {relation} {}", text_of(value))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let verb = match self {
            Change::Range(_) => "get",
            Change::Put { .. } | Change::Update { .. } => "put",
            Change::Delete { .. } => "del",
        };
        write!(formatter, "{verb} {}", self.key())
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
