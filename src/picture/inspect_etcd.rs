//! The cards of etcd: a key with all its revisions, a folder of keys, a line of the log, and the fields of messages.
//!
//! Picture to hold in mind: the ledger opened on the table. One finger runs down the catalogue of keys, another along
//! all the lines on which one key stands; what the next compaction takes is marked in pencil.

use serde::{Deserialize, Serialize};

use crate::api::Value;
use crate::cluster::{Cluster, Role};
use crate::etcd::member::view;
use crate::etcd::store::Version;
use crate::message::etcd::{self, Outcome, Proposed, Replicated};
use crate::message::raft::{Body, MemberId, Message, Payload};
use crate::sim::History;
use crate::sorted::SortedMap;

use super::Detail;
use super::build::Ledger;
use super::etcd::{EtcdMember, member_names, name_in};
use super::inspect::to_yaml;

/// Keys that one card lists at most.
const KEY_ROWS: usize = 500;
/// Fields that a revision is said to have changed at most.
const CHANGED_FIELDS: usize = 8;

/// A key, or a folder of keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The whole key; of a folder, the prefix of its keys, with its slash.
    pub key: String,
    /// What is left of it below the prefix that was asked about.
    pub name: String,
    pub is_folder: bool,
    /// Deleted; only its history is still there, until the next compaction.
    pub is_deleted: bool,
    /// Keys that exist: 1, or those in the folder.
    pub keys: u64,
    /// Revisions that are kept, of the key or in the folder.
    pub revisions: u64,
    pub create_revision: u64,
    pub mod_revision: u64,
    pub version: u64,
    /// In hexadecimal; empty without one.
    pub lease: String,
}

/// One revision of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RevisionRow {
    pub revision: u64,
    /// Changes since the key was created; 0 for a deletion.
    pub version: u64,
    pub is_deletion: bool,
    /// A compaction up to now takes it: it has been superseded, or it is a tombstone.
    pub is_compactable: bool,
    pub lease: String,
    /// The fields that it changed: `status.phase`.
    pub changed: Vec<String>,
}

fn lease_text(lease: i64) -> String {
    if lease == 0 { String::new() } else { format!("{lease:016x}") }
}

/// The keys below `prefix`, one level deep: what is below the next slash is a folder.
pub(super) fn keys(history: &History<Cluster>, prefix: &str) -> Option<Detail> {
    let member = Ledger::open(history).member?;
    let store = member.store();
    let mut rows: SortedMap<String, KeyRow> = SortedMap::new();
    for (key, revisions) in store.keys(prefix, "\0").take_while(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let folder = rest.char_indices().skip(1).find(|(_, letter)| *letter == '/').map(|(at, _)| at + 1);
        let name = &rest[..folder.unwrap_or(rest.len())];
        let row = rows.entry(name.to_string()).or_default();
        let pair = store.get(key);
        row.keys += u64::from(pair.is_some());
        row.revisions += revisions as u64;
        if folder.is_none() {
            row.is_deleted = pair.is_none();
            if let Some(pair) = pair {
                row.create_revision = pair.create_revision;
                row.mod_revision = pair.mod_revision;
                row.version = pair.version;
                row.lease = lease_text(pair.lease);
            }
        } else {
            row.is_folder = true;
            row.mod_revision = row.mod_revision.max(pair.map_or(0, |pair| pair.mod_revision));
        }
    }
    let (keys, revisions) =
        rows.values().fold((0, 0), |(keys, revisions), row| (keys + row.keys, revisions + row.revisions));
    let shown = rows.into_iter().take(KEY_ROWS).map(|(name, row)| KeyRow {
        key: format!("{prefix}{name}"),
        name,
        ..row
    });
    Some(Detail {
        kind: "etcd keys".into(),
        title: if prefix.is_empty() { "all keys".into() } else { prefix.into() },
        explanation: "Values are appended, never written over: each change is a new revision, until a compaction takes \
                      what has been superseded."
            .into(),
        summary: vec![
            ("Keys".into(), keys.to_string()),
            ("Revisions kept".into(), revisions.to_string()),
            ("Newest revision".into(), store.revision().to_string()),
            ("Compacted up to".into(), store.compacted().to_string()),
        ],
        keys: shown.collect(),
        ..Detail::default()
    })
}

/// Every revision of one key that is still there.
pub(super) fn key(history: &History<Cluster>, key: &str) -> Option<Detail> {
    let member = Ledger::open(history).member?;
    let versions = member.store().history(key);
    let last = versions.last()?;
    let mut before: Option<&Value> = None;
    let mut rows = Vec::with_capacity(versions.len());
    for (index, version) in versions.iter().enumerate() {
        let is_last = index + 1 == versions.len();
        rows.push(match version {
            Version::Put(pair) => {
                let mut changed = Vec::new();
                if let Some(before) = before {
                    changes(before, &pair.value, "", &mut changed);
                }
                before = Some(&pair.value);
                RevisionRow {
                    revision: pair.mod_revision,
                    version: pair.version,
                    is_compactable: !is_last,
                    lease: lease_text(pair.lease),
                    changed,
                    ..RevisionRow::default()
                }
            }
            Version::Tombstone { revision } => {
                before = None;
                RevisionRow {
                    revision: *revision,
                    is_deletion: true,
                    is_compactable: true,
                    ..RevisionRow::default()
                }
            }
        });
    }
    let mut summary = vec![("Revisions kept".to_string(), versions.len().to_string())];
    let mut yaml = String::new();
    match last {
        Version::Put(pair) => {
            summary.extend([
                ("Created at revision".to_string(), pair.create_revision.to_string()),
                ("Changed at revision".to_string(), pair.mod_revision.to_string()),
                ("Version".to_string(), pair.version.to_string()),
            ]);
            if pair.lease != 0 {
                summary.push(("Lease".to_string(), lease_text(pair.lease)));
            }
            yaml = to_yaml(&pair.value);
        }
        Version::Tombstone { revision } => {
            summary.push(("Deleted at revision".to_string(), revision.to_string()));
        }
    }
    Some(Detail {
        kind: "etcd key".into(),
        title: key.into(),
        explanation: "All that this key has been, as far as it is not compacted.".into(),
        summary,
        yaml,
        revisions: rows,
        ..Detail::default()
    })
}

/// Which fields differ, by their paths.
fn changes(before: &Value, after: &Value, path: &str, changed: &mut Vec<String>) {
    if before.is_same(after) || before == after || changed.len() >= CHANGED_FIELDS {
        return;
    }
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        changed.push(if path.is_empty() { "value".into() } else { path.to_string() });
        return;
    };
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(name)));
    for name in names.filter(|name| *name != "managedFields") {
        let inner = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let null = Value::Null;
        changes(old.get(name).unwrap_or(&null), new.get(name).unwrap_or(&null), &inner, changed);
    }
}

/// One line of a member's log.
pub(super) fn entry(history: &History<Cluster>, member: &str, index: u64) -> Option<Detail> {
    let process = history.world().processes().iter().find(|process| process.name == member)?;
    let Role::Etcd(member) = &*process.role else { return None };
    let entry = member.entry(index)?;
    let view = member.view(history.now(), 0);
    let state = match () {
        () if index <= view.applied => "applied: it has had its effect on this member's store",
        () if index <= view.committed => "committed: a majority has it on disk",
        () if index <= view.stable => "on this member's disk, not known to be on a majority's",
        () => "in this member's memory only",
    };
    let mut detail = Detail {
        kind: "Raft entry".into(),
        title: format!("entry {index} of term {}", entry.term),
        explanation: state.into(),
        summary: vec![("Term".into(), entry.term.to_string()), ("Index".into(), index.to_string())],
        ..Detail::default()
    };
    match &entry.payload {
        Payload::Empty => detail.summary.push((
            "What".into(),
            "nothing: a new leader's first entry, with which all before it are committed".into(),
        )),
        Payload::Normal(proposal) => {
            detail.summary.push(("What".into(), proposal.to_string()));
            let proposer = name_in(&member_names(history.world()), proposal.member);
            detail.summary.push(("Proposed by".into(), proposer));
            let key = view::changed_key(entry);
            if !key.is_empty() {
                detail.summary.push(("Key".into(), key.to_string()));
            }
            if let Proposed::Request(request) = &proposal.what {
                detail.yaml = request_yaml(&request.operation);
            }
        }
        Payload::ConfChange(change) => detail.summary.push(("Membership change".into(), change.to_string())),
    }
    Some(detail)
}

fn request_yaml(operation: &etcd::Operation) -> String {
    let etcd::Operation::Txn(txn) = operation else { return String::new() };
    let put = txn.success.iter().find_map(|change| match change {
        etcd::Change::Put { value, .. } => Some(value),
        _ => None,
    });
    put.map_or(String::new(), to_yaml)
}

/// What a member's card says besides what all components' say.
pub(super) fn member_summary(member: &EtcdMember, detail: &mut Detail) {
    let text = |name: &str, value: String| (name.to_string(), value);
    detail.summary.extend([
        text("Role", member.role.clone()),
        text("Term", member.term.to_string()),
        text("Voted for", member.vote.clone().unwrap_or_else(|| "nobody".into())),
        text("Leader", member.leader.clone().unwrap_or_else(|| "none known".into())),
        text("Log", format!("{} entries, {} committed", member.last_index, member.commit_index)),
        text("On disk", member.persisted_index.to_string()),
        text("Applied", member.applied_index.to_string()),
        text("Revision", member.revision.to_string()),
        text("Database", format!("{} bytes, {} in use", member.db_size_bytes, member.db_size_in_use_bytes)),
        text("Member ID", member.id.clone()),
    ]);
    if !member.alarms.is_empty() {
        detail.summary.push(text("Alarms", member.alarms.join(", ")));
    }
    if !member.flags.is_empty() {
        detail.summary.push(text("Flags", member.flags.clone()));
    }
    for peer in &member.peers {
        let state = format!("{:?}, match {}, next {}", peer.state, peer.match_index, peer.next_index);
        detail.summary.push((peer.name.clone(), state));
    }
}

/// The fields of a message between members, as `raftpb` names them.
pub(super) fn raft_fields(
    cluster: &Cluster,
    message: &Message<Replicated>,
) -> (Vec<(String, String)>, String) {
    let names = member_names(cluster);
    let name = |id: MemberId| name_in(&names, id);
    let mut fields = vec![
        ("type".to_string(), message.body.name().to_string()),
        ("from".to_string(), name(message.from)),
        ("to".to_string(), name(message.to)),
        ("term".to_string(), message.term.to_string()),
    ];
    let mut add = |field: &str, value: String| fields.push((field.to_string(), value));
    let mut body = String::new();
    match &message.body {
        Body::Prop { payloads } => add("entries", payloads.len().to_string()),
        Body::App { previous, entries, commit } => {
            add("logTerm", previous.term.to_string());
            add("index", previous.index.to_string());
            add("commit", commit.to_string());
            add("entries", entries.len().to_string());
            for entry in entries.iter() {
                body += &format!("{entry}\n");
            }
        }
        Body::AppResp { index, rejected } => {
            add("index", index.to_string());
            add("reject", rejected.is_some().to_string());
            if let Some(rejection) = rejected {
                add("rejectHint", rejection.hint.index.to_string());
                add("logTerm", rejection.hint.term.to_string());
            }
        }
        Body::Heartbeat { commit, context } => {
            add("commit", commit.to_string());
            add("context", context.to_string());
        }
        Body::HeartbeatResp { context } => add("context", context.to_string()),
        Body::PreVote { last } => {
            add("logTerm", last.term.to_string());
            add("index", last.index.to_string());
        }
        Body::Vote { last, transfer } => {
            add("logTerm", last.term.to_string());
            add("index", last.index.to_string());
            if *transfer {
                add("context", "CampaignTransfer".into());
            }
        }
        Body::PreVoteResp { rejected } | Body::VoteResp { rejected } => add("reject", rejected.to_string()),
        Body::Snap { snapshot } => {
            add("snapshot.index", snapshot.last.index.to_string());
            add("snapshot.term", snapshot.last.term.to_string());
            add("snapshot.confState", snapshot.configuration.to_string());
        }
        Body::TransferLeader { transferee } => add("transferee", name(*transferee)),
        Body::TimeoutNow => {}
        Body::ReadIndex { request } => add("request", request.to_string()),
        Body::ReadIndexResp { index, request } => {
            add("index", index.to_string());
            add("request", request.to_string());
        }
    }
    (fields, body)
}

/// The fields of a request to etcd.
pub(super) fn request_fields(request: &etcd::Request) -> (Vec<(String, String)>, String) {
    let mut fields = vec![("operation".to_string(), request.operation.to_string())];
    let mut add = |field: &str, value: String| fields.push((field.to_string(), value));
    match &request.operation {
        etcd::Operation::Range(range) => {
            add("key", range.key.to_string());
            add("range_end", range.range_end.escape_default().to_string());
            add("revision", range.revision.to_string());
            add("limit", range.limit.to_string());
            add("serializable", range.serializable.to_string());
        }
        etcd::Operation::Txn(txn) => {
            for compare in &txn.compare {
                add("compare", compare.to_string());
            }
            for change in &txn.success {
                add("success", change.to_string());
            }
            for change in &txn.failure {
                add("failure", change.to_string());
            }
        }
        etcd::Operation::Watch { key, range_end, start_revision, .. } => {
            add("key", key.to_string());
            add("range_end", range_end.escape_default().to_string());
            add("start_revision", start_revision.to_string());
        }
        _ => {}
    }
    (fields, request_yaml(&request.operation))
}

/// The fields of an answer of etcd.
pub(super) fn response_fields(cluster: &Cluster, response: &etcd::Response) -> Vec<(String, String)> {
    let mut fields = vec![
        ("member".to_string(), name_in(&member_names(cluster), MemberId(response.member))),
        ("revision".to_string(), response.revision.to_string()),
        ("raft_term".to_string(), response.raft_term.to_string()),
    ];
    match &response.result {
        Ok(Outcome::Range(range)) => fields.push(("count".into(), range.count.to_string())),
        Ok(Outcome::Txn { succeeded, .. }) => fields.push(("succeeded".into(), succeeded.to_string())),
        Ok(_) => {}
        Err(error) => fields.push(("error".into(), error.to_string())),
    }
    fields
}
