//! `snapshot save`: a backup, while the member goes on working.
//!
//! Picture to hold in mind: a photocopy of the ledger as it stands. It comes under a working title, and gets its name
//! when it is whole.

use super::client::{Client, Failed, address, connect, log};
use super::json::{self, text};
use super::{Order, Outcome, Stop, Version, exit, fail, table};
use crate::api::time;
use crate::api::time_format::go_duration;
use crate::etcd::snapshot::encode;
use crate::message::etcd::{Operation, Outcome as Answered};
use crate::shell::Cli;
use crate::shell::files::FileError;

/// A line of the log. zap's production logger, which 3.4 has for files, writes seconds since 1970 with a fraction.
pub fn tell(cli: &mut Cli, order: &Order, caller: &str, words: &str, fields: &[(&'static str, String)]) {
    if order.version == Version::V3_6 {
        return log(cli, order, "info", "", caller, words, fields);
    }
    let micros = time::unix_us(cli.now());
    let at = format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let mut all = vec![
        ("level", Some(text("info"))),
        ("ts", Some(at.trim_end_matches('0').trim_end_matches('.').to_string())),
        ("caller", Some(text(caller))),
        ("msg", Some(text(words))),
    ];
    all.extend(fields.iter().map(|(name, value)| (*name, Some(value.clone()))));
    cli.eprintln(json::object(all));
}

pub fn save(cli: &mut Cli, order: &Order) -> Outcome {
    let [path] = order.operands.as_slice() else {
        let end = if order.version == Version::V3_4 { "" } else { " <filename>" };
        return fail(exit::BAD_ARGS, format!("snapshot save expects one argument{end}"));
    };
    let (order, mut client) = connect(cli, order)?;
    client.logger = "client";
    let is_old = order.version == Version::V3_4;
    let at = |old: &'static str, new: &'static str| if is_old { old } else { new };
    if client.endpoints.len() != 1 {
        let all = client.endpoints.join(" ");
        let words = format!("snapshot must be requested to one selected node, not multiple [{all}]");
        return fail(exit::INTERRUPTED, words);
    }
    let part = format!("{path}.part");
    if let Err(error) = cli.write_file(&part, "") {
        let why = words(error);
        return fail(exit::INTERRUPTED, format!("could not open {part} (open {part}: {why})"));
    }
    let file = ("path", text(&part));
    tell(
        cli,
        &order,
        at("snapshot/v3_snapshot.go:119", "snapshot/v3_snapshot.go:83"),
        "created temporary db file",
        &[file],
    );
    let began = cli.now();
    let result = fetch(cli, &order, &client);
    let (content, version) = match result {
        Ok(found) => found,
        Err(halt @ Stop::Halt(_)) => return Err(halt),
        Err(stop) => {
            let part = cli.path(&part);
            let _ = cli.change_files(|files| files.remove(&part));
            return Err(stop);
        }
    };
    let stream = |cli: &mut Cli, line: &str, words: &str| {
        let (logger, caller) = match is_old {
            true => ("", format!("clientv3/maintenance.go:{}", if line == "236" { "200" } else { "208" })),
            false => ("client", format!("v3@v3.6.8/maintenance.go:{line}")),
        };
        log(cli, &order, "info", logger, &caller, words, &[]);
    };
    stream(cli, "236", "opened snapshot stream; downloading");
    let endpoint = ("endpoint", text(&client.endpoints[0]));
    let fetching = at("snapshot/v3_snapshot.go:127", "snapshot/v3_snapshot.go:96");
    tell(cli, &order, fetching, "fetching snapshot", std::slice::from_ref(&endpoint));
    stream(cli, "302", "completed snapshot read; closing");
    let took = cli.now().since(began);
    let size = ("size", text(&table::size(content.len() as u64)));
    let mut fields = vec![endpoint, size];
    if is_old {
        let seconds = format!("{}.{:06}", took.as_secs(), took.as_micros() % 1_000_000);
        fields.push(("took", seconds.trim_end_matches('0').trim_end_matches('.').to_string()));
    } else {
        fields.push(("took", text(&go_duration(took))));
        fields.push(("etcd-version", text(&version)));
    }
    let fetched = at("snapshot/v3_snapshot.go:142", "snapshot/v3_snapshot.go:111");
    tell(cli, &order, fetched, "fetched snapshot", &fields);
    let (from, to) = (cli.path(&part), cli.path(path));
    let moved = cli.change_files(|files| {
        let _ = files.remove(&from);
        files.write(&to, content.into())
    });
    if let Err(error) = moved {
        let why = words(error);
        return fail(
            exit::INTERRUPTED,
            format!("could not rename {part} to {path} (rename {part} {path}: {why})"),
        );
    }
    let saved = at("snapshot/v3_snapshot.go:152", "snapshot/v3_snapshot.go:121");
    tell(cli, &order, saved, "saved", &[("path", text(path))]);
    cli.println(format!("Snapshot saved at {path}"));
    if !is_old && !version.is_empty() {
        cli.println(format!("Server version {version}"));
    }
    Ok(())
}

/// The member's whole content, as a file, and the version that wrote it.
fn fetch(cli: &mut Cli, order: &Order, client: &Client) -> Outcome<(String, String)> {
    // Without the flag it takes as long as it takes.
    let until = match order.flags.is_given("command-timeout") {
        true => Some(super::client::deadline(cli, order)),
        false => None,
    };
    let asked = client.attempt(cli, order, "Maintenance/Snapshot", &Operation::Snapshot, until)?;
    match asked.map(|response| response.result.clone()) {
        Ok(Ok(Answered::Snapshot { image, size_bytes, version })) => match encode(&image, size_bytes) {
            Some(content) => Ok((content, version.to_string())),
            None => fail(exit::INTERRUPTED, "could not write snapshot: unexpected EOF"),
        },
        Ok(_) => fail(exit::INTERRUPTED, "could not write snapshot: unexpected EOF"),
        Err(failed @ Failed::Server(_)) => fail(exit::INTERRUPTED, failed.text()),
        Err(failed) => {
            fail(exit::INTERRUPTED, format!("{}: {}", address(&client.endpoints[0]), failed.text()))
        }
    }
}

fn words(error: FileError) -> String {
    error.message().to_ascii_lowercase()
}
