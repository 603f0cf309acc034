//! The cards of etcd: a key with all its revisions, a folder of keys, and a line of the log.
//!
//! Picture to hold in mind: the ledger opened on the table. One finger runs down the catalogue of keys, another along
//! all the lines on which one key stands; what the next compaction takes is marked in pencil.

use serde::{Deserialize, Serialize};

use crate::api::Value;
use crate::cluster::{Cluster, Role};
use crate::etcd::member::view;
use crate::etcd::store::Version;
use crate::message::raft::Payload;
use crate::sim::{History, Time};
use crate::sorted::SortedMap;

use super::build::Ledger;
use super::etcd::{EtcdMember, member_names, name_in};
use super::inspect::{self, to_yaml};
use super::{Detail, Query, admitted, asked, fields};

/// Names that one card lists at most: a level with more is folded into stretches of as many.
const KEY_ROWS: usize = 100;
/// Entries of a key that are listed at most, the newest.
const ENTRY_ROWS: usize = 20;
/// Revisions of a key, the newest, of which the lines that changed are shown.
const DIFFS: usize = 6;
/// Fields that a revision is said to have changed at most.
const CHANGED_FIELDS: usize = 8;

/// Something else that has a card of its own, as a line of a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub text: String,
    pub about: String,
    /// Nobody may ask for it once etcd has been compacted.
    pub is_going: bool,
    pub query: Option<Query>,
}

impl Reference {
    pub(super) fn new(text: &str, about: String, query: Query) -> Reference {
        Reference { text: text.to_string(), about, is_going: false, query: Some(query) }
    }
    /// To all that a key has been.
    pub(super) fn to_key(key: &str) -> Reference {
        Reference::new(key, String::new(), Query::EtcdKey { key: key.to_string() })
    }
    fn to_keys(prefix: &str, about: String) -> Reference {
        let text = if prefix.is_empty() { "all keys" } else { prefix };
        Reference::new(text, about, Query::EtcdKeys { prefix: prefix.to_string(), from: String::new() })
    }
}

/// How many of something.
pub(super) fn counted(count: u64, one: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {one}{many}")
}

/// Whether a compaction up to `revision` takes a version of a key.
fn goes(versions: &[Version], index: usize, revision: u64) -> bool {
    let is_before = |version: &Version| version.revision() <= revision;
    let version = &versions[index];
    let is_gone = matches!(version, Version::Tombstone { .. }) && is_before(version);
    is_gone || versions.get(index + 1).is_some_and(is_before)
}

/// What stands in one row of a folder.
#[derive(Default)]
struct Row {
    is_folder: bool,
    /// Keys that exist, revisions that are kept, and those of them that a compaction up to now takes.
    keys: u64,
    revisions: u64,
    going: u64,
    about: String,
}

impl Row {
    fn add(&mut self, other: &Row) {
        self.keys += other.keys;
        self.revisions += other.revisions;
        self.going += other.going;
    }
    fn counts(&self) -> String {
        let mut text = format!("{}, {}", counted(self.keys, "key"), counted(self.revisions, "revision"));
        if self.going > 0 {
            text.push_str(&format!(", {} of them superseded", self.going));
        }
        text
    }
}

/// The keys below `prefix`, one level deep: what is below the next slash is a folder. Of a level with many names, those
/// from `from` on, or where they can be begun.
pub(super) fn keys(history: &History<Cluster>, prefix: &str, from: &str) -> Option<Detail> {
    let store = Ledger::open(history).member?.store();
    let (mut rows, mut all): (SortedMap<String, Row>, Row) = Default::default();
    for (key, _) in store.keys(prefix, "\0").take_while(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        let folder = rest.char_indices().skip(1).find(|(_, letter)| *letter == '/').map(|(at, _)| at + 1);
        let name = &rest[..folder.unwrap_or(rest.len())];
        let versions = store.history(key);
        let going = (0..versions.len()).filter(|index| goes(&versions, *index, store.revision())).count();
        let (about, keys) = match versions.last() {
            Some(Version::Put(_)) if folder.is_some() => (String::new(), 1),
            Some(Version::Put(pair)) => {
                (format!("version {}, revision {}", pair.version, pair.mod_revision), 1)
            }
            _ => ("deleted".into(), 0),
        };
        let one = Row {
            is_folder: folder.is_some(),
            keys,
            revisions: versions.len() as u64,
            going: going as u64,
            about,
        };
        all.add(&one);
        match rows.get_mut(name) {
            Some(row) => row.add(&one),
            None => {
                rows.insert(name.to_string(), one);
            }
        }
    }
    let row = |(name, row): (&String, &Row)| {
        let key = format!("{prefix}{name}");
        let mut line =
            if row.is_folder { Reference::to_keys(&key, row.counts()) } else { Reference::to_key(&key) };
        line.text = name.clone();
        if !row.is_folder {
            line.about = row.about.clone();
            line.is_going = row.keys == 0;
        }
        line
    };
    let names: Vec<(&String, &Row)> = rows.iter().collect();
    let lines: Vec<Reference> = if names.len() <= KEY_ROWS {
        names.into_iter().map(row).collect()
    } else if from.is_empty() {
        let stretch = |names: &[(&String, &Row)]| {
            let mut sum = Row::default();
            names.iter().for_each(|(_, row)| sum.add(row));
            let (first, last) = (names[0].0, names[names.len() - 1].0);
            let query = Query::EtcdKeys { prefix: prefix.to_string(), from: first.clone() };
            Reference::new(&format!("{first} … {last}"), sum.counts(), query)
        };
        names.chunks(KEY_ROWS).map(stretch).collect()
    } else {
        names.into_iter().filter(|(name, _)| name.as_str() >= from).take(KEY_ROWS).map(row).collect()
    };
    let mut above = above(prefix);
    if !from.is_empty() {
        above.push(Reference::to_keys(prefix, String::new()));
    }
    let mut summary = vec![
        ("Keys".to_string(), all.keys.to_string()),
        ("Revisions kept".to_string(), all.revisions.to_string()),
        ("Superseded".to_string(), all.going.to_string()),
        ("Newest revision".to_string(), store.revision().to_string()),
        ("Compacted up to".to_string(), store.compacted().to_string()),
    ];
    if let Some((at, revision)) = next_compaction(history) {
        summary.push(("Next compaction".into(), format!("at {at}, up to {revision}")));
    }
    Some(Detail {
        kind: "etcd keys".into(),
        title: if prefix.is_empty() { "all keys".into() } else { format!("{prefix}{from}") },
        explanation: "Values are appended, never written over: each change is a new revision. Every five minutes the API \
                      server has etcd forget what was superseded five minutes before."
            .into(),
        summary,
        references: vec![("Above".into(), above), ("Keys".into(), lines)],
        ..Detail::default()
    })
}

/// The folders that a key or a folder is in, the outermost first.
fn above(key: &str) -> Vec<Reference> {
    let mut above = Vec::new();
    if !key.is_empty() {
        above.push(Reference::to_keys("", String::new()));
    }
    let inner = key.char_indices().skip(1).filter(|(at, letter)| *letter == '/' && at + 1 < key.len());
    above.extend(inner.map(|(at, _)| Reference::to_keys(&key[..=at], String::new())));
    above
}

/// When the API server has etcd compacted next, and up to which revision; `None`: it has not noted one yet.
fn next_compaction(history: &History<Cluster>) -> Option<(Time, u64)> {
    history.world().api_server().map(|server| server.next_compaction()).filter(|(_, revision)| *revision > 0)
}

/// Every revision of one key that is still there, where it stands in the log, and the object.
pub(super) fn key(history: &History<Cluster>, key: &str) -> Option<Detail> {
    let member = Ledger::open(history).member?;
    let store = member.store();
    let versions = store.history(key);
    let last = versions.last()?;
    let mut detail = Detail {
        kind: "etcd key".into(),
        title: key.into(),
        explanation: "All that this key has been, as far as it is not compacted.".into(),
        ..Detail::default()
    };
    let mut add = |name: &str, value: String| detail.summary.push((name.to_string(), value));
    match last {
        Version::Put(pair) => {
            add("Created at revision", pair.create_revision.to_string());
            add("Changed at revision", pair.mod_revision.to_string());
            add("Version", pair.version.to_string());
            if pair.lease != 0 {
                add("Lease", format!("{:016x}", pair.lease));
            }
            inspect::fill_any(history, &mut detail, &pair.value);
        }
        Version::Tombstone { revision } => add("Deleted at revision", revision.to_string()),
    }
    let next = next_compaction(history).map_or(0, |(_, revision)| revision);
    let mut before: Option<&Value> = None;
    let mut revisions = Vec::with_capacity(versions.len());
    for (index, version) in versions.iter().enumerate() {
        let mut about = String::new();
        match version {
            Version::Put(pair) => {
                let mut changed = Vec::new();
                if let Some(before) = before {
                    changes(before, &pair.value, "", &mut changed);
                    if index + DIFFS >= versions.len() {
                        let revision = pair.mod_revision.to_string();
                        let diff = admitted::difference(before, &pair.value);
                        detail.changes.push((["Revision ", &revision].concat(), diff));
                    }
                }
                before = Some(&pair.value);
                about.push_str(&if pair.version == 1 { "created".into() } else { changed.join(", ") });
            }
            Version::Tombstone { .. } => {
                before = None;
                about.push_str("deleted");
            }
        }
        let is_going = goes(&versions, index, store.revision());
        if is_going {
            let is_next = goes(&versions, index, next);
            about.push_str(if is_next {
                " (the next compaction takes it)"
            } else {
                " (a compaction will take it)"
            });
        }
        let text = version.revision().to_string();
        revisions.push(Reference { text, about, is_going, query: None });
    }
    let name = history.world().processes().iter().find_map(|process| match &*process.role {
        Role::Etcd(other) if other.peer() == member.peer() => Some(process.name.clone()),
        _ => None,
    })?;
    let view = member.view(history.now(), 0);
    let mut entries: Vec<Reference> = (view.first_index..=view.last_index)
        .rev()
        .filter_map(|index| member.entry(index).filter(|entry| view::changed_key(entry) == key))
        .take(ENTRY_ROWS)
        .map(|entry| {
            let query = Query::EtcdEntry { member: name.clone(), index: entry.index };
            Reference::new(&format!("entry {}", entry.index), format!("term {}", entry.term), query)
        })
        .collect();
    entries.reverse();
    let mut see = above(key);
    match key.strip_prefix("/registry/").unwrap_or_default().split('/').collect::<Vec<_>>()[..] {
        ["pods", namespace, name] if !detail.yaml.is_empty() => {
            let query = Query::Pod { namespace: namespace.into(), name: name.into() };
            see.push(Reference::new(&format!("Pod {name}"), String::new(), query));
        }
        ["minions", name] => {
            see.push(Reference::new(
                &format!("Node {name}"),
                String::new(),
                Query::Host { name: name.into() },
            ));
        }
        _ => {}
    }
    let own = [("Revisions".into(), revisions), ("In the log".into(), entries), ("See".into(), see)];
    detail.references.splice(..0, own);
    Some(detail)
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
    detail.yaml = to_yaml(&fields::payload(&entry.payload));
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
                detail.references.push(("Changes".into(), vec![Reference::to_key(&key)]));
            }
        }
        Payload::ConfChange(change) => detail.summary.push(("Membership change".into(), change.to_string())),
    }
    let (who, references) = asked::of_entry(history, entry);
    detail.summary.push(("Asked by".into(), who));
    detail.references.extend(references);
    Some(detail)
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
    if !member.failure.is_empty() {
        detail.summary.push(text("Failure", member.failure.clone()));
    }
    if !member.alarms.is_empty() {
        detail.summary.push(text("Alarms", member.alarms.join(", ")));
    }
    detail
        .references
        .push(("What it keeps".into(), vec![Reference::to_keys("", counted(member.keys, "key"))]));
    if !member.flags.is_empty() {
        detail.summary.push(text("Flags", member.flags.clone()));
    }
    for peer in &member.peers {
        let state = format!("{:?}, match {}, next {}", peer.state, peer.match_index, peer.next_index);
        detail.summary.push((peer.name.clone(), state));
    }
}
