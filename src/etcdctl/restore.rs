//! `etcdutl snapshot status` and `restore`, `hashkv`: files, without any member.
//!
//! Picture to hold in mind: the tool box beside the hatch: a magnifying glass for the box with the copy, and a kit that
//! builds a new archive out of it.

use super::print::Format;
use super::snapshot::tell;
use super::{Order, Outcome, Version, exit, fail, json, print, table};
use crate::api::{Text, time};
use crate::arrange::Gather;
use crate::etcd::identity::{cluster_id, member_id};
use crate::etcd::snapshot::{Backup, DATABASE, Founding, WRITE_AHEAD_LOG, decode, seal, split};
use crate::shell::Cli;
use crate::shell::files::FileError;

fn words(error: FileError) -> String {
    error.message().to_ascii_lowercase()
}

/// What 3.5 said of commands that have moved to etcdutl. 3.6 has dropped them; here they are kept, because every
/// handbook names them.
fn deprecated(cli: &mut Cli, order: &Order, name: &str) {
    if order.version == Version::V3_6 {
        cli.eprintln(format!("Deprecated: Use `etcdutl snapshot {name}` instead.\n"));
    }
}
pub fn status_by_etcdctl(cli: &mut Cli, order: &Order) -> Outcome {
    deprecated(cli, order, "status");
    status(cli, order)
}
pub fn restore_by_etcdctl(cli: &mut Cli, order: &Order) -> Outcome {
    deprecated(cli, order, "restore");
    restore(cli, order)
}

pub fn version(cli: &mut Cli, order: &Order) -> Outcome {
    cli.println(format!("etcdutl version: {}", order.version.text()));
    cli.println(format!("API version: {}", order.version.api()));
    Ok(())
}

fn open(cli: &mut Cli, path: &str, verb: &str) -> Outcome<Backup> {
    let text = match cli.read_file(path) {
        Ok(text) => text,
        Err(error) => return fail(exit::ERROR, format!("{verb} {path}: {}", words(error))),
    };
    let decoded = cli.once(|_| decode(&text));
    match &*decoded {
        Ok(backup) => Ok(backup.clone()),
        Err(error) => fail(exit::ERROR, *error),
    }
}

pub fn status(cli: &mut Cli, order: &Order) -> Outcome {
    let [path] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "snapshot status requires exactly one argument");
    };
    let backup = open(cli, path, "stat")?;
    let is_old = order.version == Version::V3_4;
    // 3.4 counts entries of all buckets, 3.6 keys that exist.
    let keys = if is_old { backup.entries() } else { backup.store.live_keys() };
    let revision = backup.store.revision();
    let mut row = vec![
        format!("{:x}", backup.hash),
        revision.to_string(),
        keys.to_string(),
        table::size(backup.size_bytes),
    ];
    let mut headings = vec!["hash", "revision", "total keys", "total size"];
    if !is_old {
        row.push(backup.version.to_string());
        headings.push("version");
    }
    match print::format(order)? {
        Format::Simple => cli.println(row.join(", ")),
        Format::Table => cli.print(table::render(&headings, &[row])),
        Format::Json => cli.println(json::object([
            ("hash", Some(backup.hash.to_string())),
            ("revision", Some(revision.to_string())),
            ("totalKey", Some(keys.to_string())),
            ("totalSize", Some(backup.size_bytes.to_string())),
            ("version", Some(json::text(&backup.version)).filter(|_| !is_old)),
        ])),
        Format::Fields => {
            let (hash, size) = (backup.hash, backup.size_bytes);
            cli.println(format!(
                "\"Hash\" : {hash}\n\"Revision\" : {revision}\n\"Keys\" : {keys}\n\"Size\" : {size}"
            ));
            if !is_old {
                cli.println(format!("\"Version\" : {}", backup.version));
            }
        }
    }
    Ok(())
}

pub fn hash(cli: &mut Cli, order: &Order) -> Outcome {
    let [path] = order.operands.as_slice() else {
        let given = order.operands.len();
        return fail(exit::ERROR, format!("accepts 1 arg(s), received {given}"));
    };
    let backup = open(cli, path, "open")?;
    let revision = u64::try_from(order.flags.number("rev")).unwrap_or(0);
    let hash = match backup.store.hash(revision) {
        Ok(hash) => hash,
        Err(error) => return fail(exit::ERROR, error.to_string().replace("etcdserver: ", "")),
    };
    let revision = if revision == 0 { backup.store.revision() } else { revision };
    let row = [u64::from(hash), revision, backup.store.compacted()].map(|number| number.to_string());
    let [hash, revision, compacted] = row.clone();
    match print::format(order)? {
        Format::Simple => cli.println(row.join(", ")),
        Format::Table => {
            cli.print(table::render(&["hash", "hash revision", "compact revision"], &[row.to_vec()]));
        }
        Format::Json => cli.println(json::object([
            ("hash", Some(hash)),
            ("hashRevision", Some(revision)),
            ("compactRevision", Some(compacted)),
        ])),
        Format::Fields => cli.println(format!(
            "\"Hash\" : {hash}\n\"Hash revision\" : {revision}\n\"Compact revision\" : {compacted}"
        )),
    }
    Ok(())
}

/// `m1=http://a:2380,m2=http://b:2380`.
fn founders(text: &str) -> Option<Vec<(Text, Text)>> {
    let pair = |part: &str| {
        let (name, url) = part.split_once('=')?;
        (!name.is_empty() && url.contains("://")).then(|| (Text::from(name), Text::from(url)))
    };
    text.split(',').filter(|part| !part.is_empty()).map(pair).collect()
}

pub fn restore(cli: &mut Cli, order: &Order) -> Outcome {
    let [path] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "snapshot restore requires exactly one argument");
    };
    let flags = order.flags.clone();
    let (is_old, bump, marks) =
        (order.version == Version::V3_4, flags.number("bump-revision"), flags.switch("mark-compacted"));
    if (bump > 0) != marks {
        return fail(exit::BAD_ARGS, "--mark-compacted required if --revision-bump > 0");
    }
    let name = flags.text("name");
    let directory = match flags.text("data-dir") {
        "" => format!("{name}.etcd"),
        directory => directory.trim_end_matches('/').to_string(),
    };
    let cluster = match flags.text("initial-cluster") {
        // The default goes with the name.
        "default=http://localhost:2380" => format!("{name}=http://localhost:2380"),
        text => text.to_string(),
    };
    let Some(members) = founders(&cluster) else {
        return fail(exit::ERROR, format!("error setting up initial cluster: {cluster:?}"));
    };
    let urls = flags.text("initial-advertise-peer-urls");
    let own: Vec<&str> = members.iter().filter(|(who, _)| who == name).map(|(_, url)| url.as_str()).gather();
    if own.is_empty() {
        return fail(
            exit::ERROR,
            format!("couldn't find local name \"{name}\" in the initial cluster configuration"),
        );
    }
    if own.join(",") != urls {
        return fail(
            exit::ERROR,
            format!(
                "--initial-cluster has {name}={} but missing from --initial-advertise-peer-urls={urls}",
                own[0]
            ),
        );
    }
    let target = cli.path(&directory);
    let is_there = cli.change_files(|files| {
        files.read(&target).is_ok()
            || (files.is_folder(&target) && (is_old || !files.names(&target).is_empty()))
    });
    if is_there {
        let words = if is_old { "exists" } else { "not empty or could not be read" };
        return fail(exit::ERROR, format!("data-dir {directory:?} {words}"));
    }
    let log_directory = match flags.text("wal-dir") {
        "" => format!("{directory}/member/wal"),
        other => other.to_string(),
    };
    let snap = format!("{directory}/member/snap");
    let mut fields = vec![
        ("path", json::text(path)),
        ("wal-dir", json::text(&log_directory)),
        ("data-dir", json::text(&directory)),
        ("snap-dir", json::text(&snap)),
    ];
    if !is_old {
        fields.push(("initial-memory-map-size", "10737418240".into()));
    }
    let line = |old: &'static str, new: &'static str| if is_old { old } else { new };
    say(
        cli,
        order,
        line("snapshot/v3_snapshot.go:296", "snapshot/v3_snapshot.go:305"),
        "restoring snapshot",
        &fields,
    );
    let text = match cli.read_file(path) {
        Ok(text) => text,
        Err(error) => return fail(exit::ERROR, format!("open {path}: {}", words(error))),
    };
    let (content, stamp) = split(&text);
    let checks = !flags.switch("skip-hash-check");
    match stamp {
        None if checks => {
            return fail(exit::ERROR, "snapshot missing hash but --skip-hash-check=false");
        }
        Some(stamp) if checks => {
            let found = seal(content);
            if found != stamp {
                return fail(exit::ERROR, format!("expected sha256 {stamp}, got {found}"));
            }
        }
        _ => {}
    }
    let backup = open(cli, path, "open")?;
    if backup.store.compacted() > 0 && is_old {
        let fields = [
            ("meta-bucket-name", json::text("meta")),
            ("meta-bucket-name-key", json::text("finishedCompactRev")),
            ("restored-compact-revision", backup.store.compacted().to_string()),
        ];
        say(cli, order, "mvcc/kvstore.go:388", "restored last compact revision", &fields);
    }
    let mut content = content.to_string();
    if !is_old {
        let words = "Trimming membership information from the backend...";
        say(cli, order, "membership/store.go:141", words, &[]);
        if bump > 0 {
            let latest = backup.store.revision();
            let fields = [
                ("latest-revision", latest.to_string()),
                ("bump-amount", bump.to_string()),
                ("new-latest-revision", (latest + bump.unsigned_abs()).to_string()),
            ];
            say(cli, order, "snapshot/v3_snapshot.go:396", "bumping latest revision", &fields);
            let mut bumped = backup.clone();
            bumped.store.bump(bump.unsigned_abs());
            let revision = ("revision", bumped.store.revision().to_string());
            say(cli, order, "snapshot/v3_snapshot.go:413", "marking revision compacted", &[revision]);
            content = crate::etcd::snapshot::encode(&bumped.image(), backup.size_bytes).unwrap_or(content);
            content.truncate(split(&content).0.len());
        }
    }
    let token = flags.text("initial-cluster-token");
    let id = |url: &str| member_id(&[url], token, None);
    let cluster = cluster_id(members.iter().map(|(_, url)| id(url)));
    for (_, url) in &members {
        let mut fields = vec![
            ("cluster-id", json::text(&format!("{cluster:x}"))),
            ("local-member-id", json::text("0")),
            ("added-peer-id", json::text(&format!("{:x}", id(url).0))),
            ("added-peer-peer-urls", json::array([json::text(url)])),
        ];
        if !is_old {
            fields.push(("added-peer-is-learner", "false".into()));
        }
        say(
            cli,
            order,
            line("membership/cluster.go:392", "membership/cluster.go:424"),
            "added member",
            &fields,
        );
    }
    let founding = Founding { name: name.into(), token: token.into(), members }.write();
    let paths = [DATABASE, WRITE_AHEAD_LOG].map(|file| cli.path(&format!("{directory}/{file}")));
    let written = cli.change_files(|files| {
        for (path, text) in paths.iter().zip([content.as_str(), founding.as_str()]) {
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
            files.make_folders(parent)?;
            files.write(path, text.into())?;
        }
        Ok::<(), FileError>(())
    });
    if let Err(error) = written {
        return fail(exit::ERROR, format!("mkdir {directory}: {}", words(error)));
    }
    say(
        cli,
        order,
        line("snapshot/v3_snapshot.go:309", "snapshot/v3_snapshot.go:333"),
        "restored snapshot",
        &fields,
    );
    Ok(())
}

/// A line of the log: etcdutl writes zap's console form, with tabs.
fn say(cli: &mut Cli, order: &Order, caller: &str, words: &str, fields: &[(&'static str, String)]) {
    if order.version == Version::V3_4 {
        return tell(cli, order, caller, words, fields);
    }
    let at = time::rfc3339(cli.now());
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let fields = if fields.is_empty() { String::new() } else { format!("\t{{{}}}", fields.join(", ")) };
    cli.eprintln(format!("{at}\tinfo\t{caller}\t{words}{fields}"));
}
