//! What stands in messages of etcd, field by field, under the names that its protocols give them.
//!
//! Picture to hold in mind: an envelope held against the light.

use crate::cluster::Cluster;
use crate::message::etcd::{self, Outcome, Replicated};
use crate::message::raft::{Body, MemberId, Message};

use super::etcd::{member_names, name_in};
use super::inspect_etcd::request_yaml;

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
