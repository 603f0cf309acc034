//! What stands in messages of etcd, field by field, under the names that its protocols give them: `raftpb.Message` between
//! the members, `etcdserverpb` (`rpc.proto`) between them and their clients.
//!
//! Picture to hold in mind: an envelope held against the light.

use crate::api::{Text, Value};
use crate::message::auth::{AuthOutcome, AuthRequest, Permission};
use crate::message::etcd::{
    Alarm, Change, ChangeResult, Compare, KeyValue, Operation, Outcome, Proposed, Range, RangeResult,
    Replicated, Response, Target, Txn, WatchResponse, text_of,
};
use crate::message::raft::{Body, ConfChangeKind, EntryId, Majority, MemberId, Message, Payload};

use super::flow::operation;

/// An object: the names of its fields in a line, and their values.
fn tree(names: &str, values: &[Value]) -> Value {
    let mut all = Value::object();
    for (name, value) in names.split(' ').zip(values) {
        all.make_object().insert(name, value);
    }
    all
}

fn list<T>(all: &[T], one: fn(&T) -> Value) -> Value {
    let mut items = Vec::new();
    for item in all {
        items.push(one(item));
    }
    items.into()
}

fn text(text: &Text) -> Value {
    text.into()
}

/// Hexadecimal, as etcdctl prints who is who.
fn id(id: u64) -> Value {
    MemberId(id).to_string().into()
}

/// The plain values of a message, as rows of its card.
pub(super) fn rows(message: &Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (name, value) in message.as_object().into_iter().flat_map(|map| map.iter()) {
        if value.as_object().is_none() && value.as_array().is_none() {
            rows.push((name.to_string(), text_of(value).to_string()));
        }
    }
    rows
}

/// The fields of a message between members in a line, for who sees it pass: `term=4 commit=511 entries=512..513`.
pub(super) fn line(message: &Message<Replicated>) -> String {
    let mut line = String::from("term=");
    line.push_str(&message.term.to_string());
    for (name, value) in rows(&raft(message, true)) {
        let is_said = matches!(&*name, "term" | "type" | "from" | "to");
        if !(is_said || name == "context" && matches!(&*value, "" | "0")) {
            line.push(' ');
            line.push_str(&name);
            line.push('=');
            line.push_str(&value);
        }
    }
    line
}

/// A message between members; in short, what is many is only counted.
pub(super) fn raft(message: &Message<Replicated>, is_short: bool) -> Value {
    let entry = |EntryId { term, index }: EntryId| [term.into(), index.into()];
    let (names, values): (&str, Vec<Value>) = match &message.body {
        Body::Prop { payloads } => ("entries", vec![list(payloads, payload)]),
        Body::App { previous, entries, commit } => {
            let entries = match &entries[..] {
                [] if is_short => 0.into(),
                [one] if is_short => one.index.into(),
                [first, .., last] if is_short => {
                    let mut range = first.index.to_string();
                    range.push_str("..");
                    range.push_str(&last.index.to_string());
                    range.into()
                }
                entries => list(entries, |entry| {
                    let mut all = payload(&entry.payload);
                    all.set("Term", entry.term);
                    all.set("Index", entry.index);
                    all
                }),
            };
            let [term, index] = entry(*previous);
            ("logTerm index commit entries", vec![term, index, (*commit).into(), entries])
        }
        Body::AppResp { index, rejected: None } => ("index reject", vec![(*index).into(), false.into()]),
        Body::AppResp { index, rejected: Some(rejection) } => {
            let [term, hint] = entry(rejection.hint);
            ("index reject logTerm rejectHint", vec![(*index).into(), true.into(), term, hint])
        }
        Body::Heartbeat { commit, context } => ("commit context", vec![(*commit).into(), (*context).into()]),
        Body::HeartbeatResp { context } => ("context", vec![(*context).into()]),
        Body::PreVote { last } => ("logTerm index", entry(*last).into()),
        Body::Vote { last, transfer } => {
            let [term, index] = entry(*last);
            let context = if *transfer { "CampaignTransfer" } else { "" };
            ("logTerm index context", vec![term, index, context.into()])
        }
        Body::PreVoteResp { rejected } | Body::VoteResp { rejected } => ("reject", vec![(*rejected).into()]),
        Body::Snap { snapshot } if is_short => ("snapshot", vec![snapshot.last.index.into()]),
        Body::Snap { snapshot } => {
            let all = |ids: &Majority| list(ids.members(), |member| id(member.0));
            let conf = &snapshot.configuration;
            let state = tree(
                "voters learners voters_outgoing learners_next auto_leave",
                &[
                    all(&conf.voters.incoming),
                    all(&conf.learners),
                    all(&conf.voters.outgoing),
                    all(&conf.learners_next),
                    conf.auto_leave.into(),
                ],
            );
            let [term, index] = entry(snapshot.last);
            let metadata = tree("conf_state term index", &[state, term, index]);
            ("snapshot", vec![tree("metadata", &[metadata])])
        }
        Body::TransferLeader { transferee } => ("transferee", vec![id(transferee.0)]),
        Body::TimeoutNow => ("", Vec::new()),
        Body::ReadIndex { request } => ("context", vec![(*request).into()]),
        Body::ReadIndexResp { index, request } => ("index context", vec![(*index).into(), (*request).into()]),
    };
    let mut all = tree(names, &values);
    all.set("type", message.body.name());
    all.set("from", id(message.from.0));
    all.set("to", id(message.to.0));
    all.set("term", message.term);
    all
}

/// What an entry of the log asks (`raftpb.Entry` without its place).
pub(super) fn payload(payload: &Payload<Replicated>) -> Value {
    let (kind, data) = match payload {
        Payload::Empty => ("EntryNormal", Value::Null),
        Payload::Normal(proposal) => (
            "EntryNormal",
            match &proposal.what {
                Proposed::Request(asked) => tree(operation(&asked.operation).0, &[request(&asked.operation)]),
                _ => proposal.to_string().into(),
            },
        ),
        Payload::ConfChange(change) => (
            "EntryConfChangeV2",
            tree(
                "transition changes context",
                &[
                    (change.transition as u8 as i32).into(),
                    list(&change.changes, |(kind, member)| {
                        let kind = match kind {
                            ConfChangeKind::AddNode => "ConfChangeAddNode",
                            ConfChangeKind::AddLearnerNode => "ConfChangeAddLearnerNode",
                            ConfChangeKind::RemoveNode => "ConfChangeRemoveNode",
                            ConfChangeKind::UpdateNode => "ConfChangeUpdateNode",
                        };
                        tree("type node_id", &[kind.into(), id(member.0)])
                    }),
                    list(&change.context, text),
                ],
            ),
        ),
    };
    tree("Type Data", &[kind.into(), data])
}

const TARGETS: [&str; 6] = ["KEY", "VERSION", "CREATE", "MOD", "VALUE", "LEASE"];

fn range(range: &Range) -> Value {
    let (order, by) = match range.sort {
        None => ("NONE", Target::Key),
        Some(sort) => (if sort.is_descending { "DESCEND" } else { "ASCEND" }, sort.by),
    };
    tree(
        "key range_end limit revision sort_order sort_target serializable keys_only count_only min_mod_revision \
         max_mod_revision min_create_revision max_create_revision",
        &[
            text(&range.key),
            text(&range.range_end),
            range.limit.into(),
            range.revision.into(),
            order.into(),
            TARGETS[by as usize].into(),
            range.serializable.into(),
            range.keys_only.into(),
            range.count_only.into(),
            range.mod_revisions.0.into(),
            range.mod_revisions.1.into(),
            range.create_revisions.0.into(),
            range.create_revisions.1.into(),
        ],
    )
}

fn change(change: &Change) -> Value {
    let put = |key: &Text, value: &Value, lease: i64, keeps_value: bool, keeps_lease: bool| {
        let all = [text(key), value.clone(), lease.into(), keeps_value.into(), keeps_lease.into()];
        ("request_put", tree("key value lease ignore_value ignore_lease", &all))
    };
    let (name, value) = match change {
        Change::Range(asked) => ("request_range", range(asked)),
        Change::Put { key, value, lease } => put(key, value, *lease, false, false),
        Change::Update { key, value, lease } => put(
            key,
            value.as_ref().unwrap_or(&Value::Null),
            lease.unwrap_or_default(),
            value.is_none(),
            lease.is_none(),
        ),
        Change::Delete { key, range_end } => {
            ("request_delete_range", tree("key range_end", &[text(key), text(range_end)]))
        }
    };
    tree(name, &[value])
}

fn compare(compare: &Compare) -> Value {
    let (key, target, relation, value) = match compare {
        Compare::ModRevision { key, revision } => (key, Target::ModRevision, "EQUAL", (*revision).into()),
        Compare::Any { key, target, relation, value } => {
            (key, *target, ["EQUAL", "NOT_EQUAL", "LESS", "GREATER"][*relation as usize], value.clone())
        }
    };
    let field = ["key", "version", "create_revision", "mod_revision", "value", "lease"][target as usize];
    let mut all = tree("key target result", &[text(key), TARGETS[target as usize].into(), relation.into()]);
    all.set(field, value);
    all
}

fn alarm(action: &str, member: u64, alarm: &str) -> Value {
    tree("action memberID alarm", &[action.into(), id(member), alarm.into()])
}

/// A request to etcd.
pub(super) fn request(operation: &Operation) -> Value {
    let (names, values): (&str, Vec<Value>) = match operation {
        Operation::Range(asked) => return range(asked),
        Operation::Txn(Txn { compare: compares, success, failure }) => (
            "compare success failure",
            vec![list(compares, compare), list(success, change), list(failure, change)],
        ),
        Operation::Watch { key, range_end, start_revision, previous, progress } => {
            let all = [
                text(key),
                text(range_end),
                (*start_revision).into(),
                (*progress).into(),
                (*previous).into(),
            ];
            let names = "key range_end start_revision progress_notify prev_kv";
            ("create_request", vec![tree(names, &all)])
        }
        Operation::CancelWatch { watch_id } => {
            ("cancel_request", vec![tree("watch_id", &[(*watch_id).into()])])
        }
        Operation::Progress => ("progress_request", vec![Value::object()]),
        Operation::LeaseGrant { lease, ttl_seconds } => {
            ("ID TTL", vec![id(*lease as u64), (*ttl_seconds).into()])
        }
        Operation::LeaseRevoke { lease }
        | Operation::LeaseKeepAlive { lease }
        | Operation::LeaseTimeToLive { lease } => ("ID", vec![id(*lease as u64)]),
        Operation::Compact { revision } | Operation::HashKv { revision } => {
            ("revision", vec![(*revision).into()])
        }
        Operation::MemberList => ("linearizable", vec![true.into()]),
        Operation::MembersKnown => ("linearizable", vec![false.into()]),
        Operation::MemberAdd { peer_url, is_learner } => {
            ("peerURLs isLearner", vec![vec![text(peer_url)].into(), (*is_learner).into()])
        }
        Operation::MemberRemove { member } | Operation::MemberPromote { member } => ("ID", vec![id(*member)]),
        Operation::MemberUpdate { member, peer_url } => {
            ("ID peerURLs", vec![id(*member), vec![text(peer_url)].into()])
        }
        Operation::MoveLeader { target } => ("targetID", vec![id(*target)]),
        Operation::AlarmList => return alarm("GET", 0, "NONE"),
        Operation::AlarmActivate { member, alarm: raised } => {
            return alarm("ACTIVATE", *member, raised.name());
        }
        Operation::AlarmDisarm { member, alarm: raised } => {
            return alarm("DEACTIVATE", *member, raised.name());
        }
        Operation::LeaseList | Operation::Status | Operation::Defragment | Operation::Snapshot => {
            ("", Vec::new())
        }
        Operation::Auth(asked) => auth(asked),
    };
    tree(names, &values)
}

fn auth(request: &AuthRequest) -> (&'static str, Vec<Value>) {
    let removed = || Value::from("<value removed>");
    match request {
        AuthRequest::Enable
        | AuthRequest::Disable
        | AuthRequest::Status
        | AuthRequest::UserList
        | AuthRequest::RoleList => ("", Vec::new()),
        AuthRequest::UserAdd { name, no_password, .. } => {
            let options = tree("no_password", &[(*no_password).into()]);
            ("name password options", vec![text(name), removed(), options])
        }
        AuthRequest::UserDelete { name } | AuthRequest::UserGet { name } | AuthRequest::RoleAdd { name } => {
            ("name", vec![text(name)])
        }
        AuthRequest::UserChangePassword { name, .. } => ("name password", vec![text(name), removed()]),
        AuthRequest::UserGrantRole { name, role } => ("user role", vec![text(name), text(role)]),
        AuthRequest::UserRevokeRole { name, role } => ("name role", vec![text(name), text(role)]),
        AuthRequest::RoleDelete { name } | AuthRequest::RoleGet { name } => ("role", vec![text(name)]),
        AuthRequest::RoleGrantPermission { name, permission } => {
            ("name perm", vec![text(name), perm(permission)])
        }
        AuthRequest::RoleRevokePermission { name, key, range_end } => {
            ("role key range_end", vec![text(name), text(key), text(range_end)])
        }
    }
}

fn perm(permission: &Permission) -> Value {
    let kind = match (permission.may_read, permission.may_write) {
        (true, true) => "READWRITE",
        (false, _) => "WRITE",
        _ => "READ",
    };
    tree("permType key range_end", &[kind.into(), text(&permission.key), text(&permission.range_end)])
}

fn kv(pair: &KeyValue) -> Value {
    tree(
        "key create_revision mod_revision version lease value",
        &[
            text(&pair.key),
            pair.create_revision.into(),
            pair.mod_revision.into(),
            pair.version.into(),
            id(pair.lease as u64),
            pair.value.clone(),
        ],
    )
}

fn ranged(result: &RangeResult) -> Value {
    let pairs = list(&result.pairs, |pair| kv(pair));
    tree("kvs more count", &[pairs, result.more.into(), result.count.into()])
}

fn changed(result: &ChangeResult) -> Value {
    match result {
        ChangeResult::Range(result) => tree("response_range", &[ranged(result)]),
        ChangeResult::Put { previous } => {
            let previous = previous.as_ref().map_or(Value::Null, |pair| kv(pair));
            tree("response_put", &[tree("prev_kv", &[previous])])
        }
        ChangeResult::Delete { deleted, previous } => {
            let previous = list(previous, |pair| kv(pair));
            tree("response_delete_range", &[tree("deleted prev_kvs", &[(*deleted).into(), previous])])
        }
    }
}

/// An answer of etcd.
pub(super) fn response(response: &Response) -> Value {
    let (names, values): (&str, Vec<Value>) = match &response.result {
        Err(error) => ("error", vec![error.to_string().into()]),
        Ok(outcome) => match outcome {
            Outcome::Range(result) => {
                let result = ranged(result);
                let fields = ["kvs", "more", "count"].map(|name| result.at(name).clone());
                ("kvs more count", fields.into())
            }
            Outcome::Txn { succeeded, results } => {
                ("succeeded responses", vec![(*succeeded).into(), list(results, changed)])
            }
            Outcome::WatchCreated => ("created", vec![true.into()]),
            Outcome::Lease { lease, ttl_seconds } => {
                ("ID TTL", vec![id(*lease as u64), (*ttl_seconds).into()])
            }
            Outcome::LeaseTimeToLive { lease, remaining_seconds, granted_seconds, keys } => (
                "ID TTL grantedTTL keys",
                vec![
                    id(*lease as u64),
                    (*remaining_seconds).into(),
                    (*granted_seconds).into(),
                    list(keys, text),
                ],
            ),
            Outcome::Leases(leases) => {
                ("leases", vec![list(leases, |lease| tree("ID", &[id(*lease as u64)]))])
            }
            Outcome::Status(status) => (
                "version dbSize leader raftIndex raftTerm raftAppliedIndex errors dbSizeInUse isLearner storageVersion \
                 dbSizeQuota",
                vec![
                    text(&status.version),
                    status.db_size_bytes.into(),
                    id(status.leader),
                    status.raft_index.into(),
                    response.raft_term.into(),
                    status.applied_index.into(),
                    list(&status.errors, text),
                    status.db_size_in_use_bytes.into(),
                    status.is_learner.into(),
                    text(&status.storage_version),
                    status.db_size_quota_bytes.into(),
                ],
            ),
            Outcome::Members(members) => {
                let member = list(members, |member| {
                    tree(
                        "ID name peerURLs clientURLs isLearner",
                        &[
                            id(member.id),
                            text(&member.name),
                            vec![text(&member.peer_url)].into(),
                            vec![text(&member.client_url)].into(),
                            member.is_learner.into(),
                        ],
                    )
                });
                ("members", vec![member])
            }
            Outcome::Alarms(alarms) => {
                let one = |(member, alarm): &(u64, Alarm)| {
                    tree("memberID alarm", &[id(*member), alarm.name().into()])
                };
                ("alarms", vec![list(alarms, one)])
            }
            Outcome::Hash { hash, revision, compact_revision } => (
                "hash hash_revision compact_revision",
                vec![(*hash).into(), (*revision).into(), (*compact_revision).into()],
            ),
            Outcome::Snapshot { size_bytes, version, .. } => {
                ("remaining_bytes version", vec![(*size_bytes).into(), text(version)])
            }
            Outcome::Auth(AuthOutcome::Status { is_enabled, revision }) => {
                ("enabled authRevision", vec![(*is_enabled).into(), (*revision).into()])
            }
            Outcome::Auth(AuthOutcome::Names(names)) => ("names", vec![list(names, text)]),
            Outcome::Auth(AuthOutcome::Permissions(all)) => ("perm", vec![list(all, perm)]),
            Outcome::Compacted | Outcome::Auth(AuthOutcome::Done) | Outcome::Done => ("", Vec::new()),
        },
    };
    let mut all = tree(names, &values);
    let header =
        [id(response.cluster), id(response.member), response.revision.into(), response.raft_term.into()];
    all.set("header", tree("cluster_id member_id revision raft_term", &header));
    all
}

/// What is told to a watcher.
pub(super) fn watched(response: &WatchResponse) -> Value {
    let events = list(&response.events, |event| {
        let (kind, pair) = match &event.current {
            Some(pair) => ("PUT", kv(pair)),
            None => ("DELETE", tree("key mod_revision", &[text(&event.key), event.mod_revision.into()])),
        };
        let previous = event.previous.as_ref().map_or(Value::Null, |pair| kv(pair));
        tree("type kv prev_kv", &[kind.into(), pair, previous])
    });
    tree(
        "header watch_id canceled compact_revision events",
        &[
            tree("revision", &[response.revision.into()]),
            response.watch_id.into(),
            (response.compact_revision > 0).into(),
            response.compact_revision.into(),
            events,
        ],
    )
}
