//! A backup as a file: what `snapshot save` writes and `snapshot restore` reads, and the data directory of a member.
//!
//! Picture to hold in mind: the copy of the ledger in a box, filled up with blank sheets to a whole number of pages, with
//! a seal of 32 letters on it. Who opens the box compares the seal.
//!
//! etcd's file is a bbolt database with a SHA-256 behind it. Here it is text, so that it can be read, downloaded and
//! kept: a head, then one line of JSON for each line of the ledger. Its length is what etcd's would be, and so is
//! the test for the seal: 32 bytes beyond a multiple of 512.

use std::sync::Arc;

use super::identity::digest;
use super::member::Backend;
use super::store::{Record, Store};
use crate::api::{Text, Value};
use crate::message::etcd::{Alarm, Image, KeyValue, Member};
use crate::message::raft::MemberId;
use crate::sorted::SortedMap;
use crate::{array, object};

const FORMAT: &str = "clusterarium etcd snapshot 1";
const PAGE_BYTES: usize = 4096;
/// Letters of the seal.
pub const SEAL_BYTES: usize = 32;

/// What stands in a backup.
#[derive(Clone, Debug)]
pub struct Backup {
    pub store: Store,
    /// Which version wrote it: `3.6.0`.
    pub version: Text,
    pub members: u64,
    pub alarms: u64,
    /// Of the whole content, as `snapshot status` shows it.
    pub hash: u32,
    /// The file's length without the seal.
    pub size_bytes: u64,
}

fn line(record: &Record) -> Value {
    let mut line = object! {
        "main" => record.main as i64, "sub" => i64::from(record.sub), "key" => record.key.clone(),
    };
    if let Some(pair) = &record.pair {
        line.set("created", pair.create_revision as i64);
        line.set("version", pair.version as i64);
        if pair.lease != 0 {
            line.set("lease", pair.lease);
        }
        line.set("value", pair.value.clone());
    }
    line
}
fn record(line: &Value) -> Option<Record> {
    let number = |name: &str| line.integer(name).and_then(|number| u64::try_from(number).ok());
    let (main, key) = (number("main")?, line.shared_text("key"));
    let pair = number("created").map(|create_revision| {
        Arc::new(KeyValue {
            key: key.clone(),
            value: line.at("value").clone(),
            create_revision,
            mod_revision: main,
            version: number("version").unwrap_or(1),
            lease: line.integer("lease").unwrap_or(0),
        })
    });
    Some(Record { main, sub: number("sub").unwrap_or(0) as u32, key, pair })
}

/// Writes down an image, with its seal; `size_bytes`: how big the member's database is.
///
/// # Errors
/// When the image is not one of etcd's.
pub fn encode(image: &Image, size_bytes: u64) -> Option<String> {
    let backend: &Backend = image.0.downcast_ref()?;
    let store = &backend.store;
    let leases = store.leases().map(|(id, lease)| {
        Value::array([id, lease.ttl_seconds as i64, lease.remaining_seconds as i64].map(Value::from))
    });
    let members = backend.members.values().map(|member| {
        object! { "id" => format!("{:x}", member.id), "name" => member.name.clone(), "peerURL" => member.peer_url.clone() }
    });
    let alarms = backend.alarms.iter().map(|(id, alarm)| array![format!("{:x}", id.0), alarm.name()]);
    let head = object! {
        "format" => FORMAT,
        "revision" => store.revision() as i64,
        "compacted" => store.compacted() as i64,
        "version" => backend.cluster_version.clone(),
        "members" => Value::array(members),
        "alarms" => Value::array(alarms),
        "leases" => Value::array(leases),
    };
    let mut text = format!("{head}\n");
    for record in store.records() {
        text += &line(&record).to_string();
        text.push('\n');
    }
    let length = text.len().max(size_bytes as usize).div_ceil(PAGE_BYTES) * PAGE_BYTES;
    text.extend(std::iter::repeat_n('\n', length - text.len()));
    let seal = seal(&text);
    Some(text + &seal)
}

/// The first half of a digest, in hexadecimal.
pub fn seal(text: &str) -> String {
    digest(text.as_bytes())[..SEAL_BYTES / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}
/// A file's content and its seal, if it has one.
pub fn split(text: &str) -> (&str, Option<&str>) {
    match text.len() % 512 == SEAL_BYTES && text.is_char_boundary(text.len() - SEAL_BYTES) {
        true => {
            let (content, seal) = text.split_at(text.len() - SEAL_BYTES);
            (content, Some(seal))
        }
        false => (text, None),
    }
}

/// Whether a file looks like one, whatever came of it.
pub fn is_one(text: &str) -> bool {
    text.lines().next().is_some_and(|head| head.contains(FORMAT))
}

/// Reads what [`encode`] wrote, with or without the seal.
///
/// # Errors
/// In bbolt's words, when it is something else.
pub fn decode(text: &str) -> Result<Backup, &'static str> {
    let (content, _) = split(text);
    let mut lines = content.lines();
    let head: Value =
        lines.next().and_then(|line| serde_json::from_str(line).ok()).ok_or("invalid database")?;
    if head.text("format") != FORMAT {
        return Err("invalid database");
    }
    let mut records = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).map_err(|_| "page 3: unexpected page type")?;
        records.push(record(&line).ok_or("page 3: unexpected page type")?);
    }
    let number = |name: &str| head.integer(name).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    let leases = head.items("leases").iter().filter_map(|lease| {
        let numbers: Vec<i64> = lease.as_array()?.iter().filter_map(Value::as_integer).collect();
        let [id, ttl, remaining] = numbers[..] else { return None };
        Some((id, u64::try_from(ttl).ok()?, u64::try_from(remaining).ok()?))
    });
    let store = Store::from_records(number("revision").max(1), number("compacted"), leases, records);
    let bytes = digest(content.as_bytes());
    Ok(Backup {
        store,
        version: head.shared_text("version"),
        members: head.items("members").len() as u64,
        alarms: head.items("alarms").len() as u64,
        hash: u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]),
        size_bytes: content.len() as u64,
    })
}

impl Backup {
    /// Entries of all buckets of the database, as etcd 3.4 counts them: lines of the ledger, leases, members, alarms, the
    /// cluster's version, the revision of users and roles, how far the log is applied, and two marks of compaction.
    pub fn entries(&self) -> u64 {
        let marks = if self.store.compacted() > 0 { 2 } else { 0 };
        let leases = self.store.leases().count() as u64;
        self.store.versions() + leases + self.members + self.alarms + 3 + marks
    }
    /// As a new member begins with it: the keys, without what was said about members.
    pub fn image(&self) -> Image {
        let backend = Backend {
            store: self.store.clone(),
            members: SortedMap::<MemberId, Member>::new(),
            cluster_version: Text::new(),
            alarms: crate::sorted::SortedSet::<(MemberId, Alarm)>::new(),
            auth: Default::default(),
        };
        Image(Arc::new(backend))
    }
}

/// The founding members of a cluster that begins with a backup: what the write-ahead log of a restored data directory
/// tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    pub name: Text,
    pub token: Text,
    /// Names and addresses of all founders.
    pub members: Vec<(Text, Text)>,
}

impl Founding {
    pub fn write(&self) -> String {
        let members = self.members.iter().map(|(name, url)| array![name.clone(), url.clone()]);
        let text = object! {
            "name" => self.name.clone(), "token" => self.token.clone(), "members" => Value::array(members),
        };
        format!("{text}\n")
    }
    pub fn read(text: &str) -> Option<Founding> {
        let value: Value = serde_json::from_str(text.lines().next()?).ok()?;
        let pair = |member: &Value| {
            let [name, url] = member.as_array()? else { return None };
            Some((Text::from(name.as_str()?), Text::from(url.as_str()?)))
        };
        let members: Vec<(Text, Text)> = value.items("members").iter().filter_map(pair).collect();
        let (name, token) = (value.shared_text("name"), value.shared_text("token"));
        (!members.is_empty()).then_some(Founding { name, token, members })
    }
}

/// Where the database and the write-ahead log lie below a data directory.
pub const DATABASE: &str = "member/snap/db";
pub const WRITE_AHEAD_LOG: &str = "member/wal/0000000000000000-0000000000000000.wal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_backup_is_refused() {
        for text in ["", "hello", "{}", "{\"format\":\"clusterarium etcd snapshot 1\"}\n{\"main\":"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_seal_is_found_by_the_length() {
        assert_eq!(split(&"x".repeat(512)).1, None);
        assert_eq!(split(&"x".repeat(512 + SEAL_BYTES)).1.map(str::len), Some(SEAL_BYTES));
        assert_eq!(split("").1, None);
    }

    #[test]
    fn founders_are_read_as_they_were_written() {
        let founding = Founding {
            name: "m1".into(),
            token: "t".into(),
            members: vec![("m1".into(), "http://localhost:2380".into())],
        };
        assert_eq!(Founding::read(&founding.write()), Some(founding));
        assert_eq!(Founding::read("x"), None);
    }
}
