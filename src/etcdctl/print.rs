//! The output formats: `simple`, `table`, `json`, `fields` (`ctlv3/command/printer*.go`).
//!
//! Picture to hold in mind: one answer and four clerks who read it out: one says what matters, one draws a table, one
//! spells out every field, one writes it down for a machine.

use std::sync::Arc;

use super::json::{self, array, bytes, list, number, object, quote, switch};
use super::{Order, Outcome, Version, exit, fail};
use crate::arrange::Gather;
use crate::message::etcd::{ChangeResult, KeyValue, RangeResult, Response, WatchEvent, text_of};
use crate::shell::Cli;

pub const FORMATS: &[&str] = &["fields", "json", "protobuf", "simple", "table"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Simple,
    Table,
    Json,
    Fields,
}

/// The format that was asked for.
///
/// # Errors
/// Protobuf's bytes are no text.
pub fn format(order: &Order) -> Outcome<Format> {
    match order.flags.text("write-out") {
        "json" => Ok(Format::Json),
        "fields" => Ok(Format::Fields),
        "table" => Ok(Format::Table),
        "protobuf" => fail(
            exit::BAD_FEATURE,
            crate::fidelity::message("etcdctl", "protobuf")
                .unwrap_or("protobuf not supported as output format"),
        ),
        _ => Ok(Format::Simple),
    }
}
/// As [`format`], for answers that are never shown as a table.
pub fn format_without_table(order: &Order) -> Outcome<Format> {
    match format(order)? {
        Format::Table => fail(exit::BAD_FEATURE, "table not supported as output format"),
        format => Ok(format),
    }
}

pub fn is_hex(order: &Order) -> bool {
    order.flags.switch("hex")
}
/// A number that names something: in decimal, or as `--hex` wants it.
pub fn id(order: &Order, id: u64) -> String {
    if is_hex(order) { format!("{id:x}") } else { id.to_string() }
}

/// What stands at the head of every answer, as JSON. Answers about the cluster have no revision.
pub fn header(response: &Response, with_revision: bool) -> String {
    object([
        ("cluster_id", number(response.cluster)),
        ("member_id", number(response.member)),
        ("revision", number(response.revision).filter(|_| with_revision)),
        ("raft_term", number(response.raft_term)),
    ])
}
/// The same as fields.
pub fn header_fields(order: &Order, response: &Response, with_revision: bool) -> String {
    let mut text = format!("\"ClusterID\" : {}\n", id(order, response.cluster));
    text += &format!("\"MemberID\" : {}\n", id(order, response.member));
    // 3.4 hides it where it means nothing, and so does 3.6.
    if with_revision && response.revision > 0 {
        text += &format!("\"Revision\" : {}\n", response.revision);
    }
    text + &format!("\"RaftTerm\" : {}\n", response.raft_term)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).gather()
}
fn simple_pair(order: &Order, pair: &KeyValue) -> String {
    let (mut key, mut value) = (pair.key.to_string(), text_of(&pair.value).to_string());
    if is_hex(order) {
        (key, value) = (hex(&key), hex(&value));
    }
    if order.flags.switch("print-value-only") { format!("{value}\n") } else { format!("{key}\n{value}\n") }
}
fn pair_fields(order: &Order, prefix: &str, pair: &KeyValue) -> String {
    let lease = if is_hex(order) { format!("{:016x}", pair.lease) } else { pair.lease.to_string() };
    format!(
        "\"{prefix}Key\" : {}\n\"{prefix}CreateRevision\" : {}\n\"{prefix}ModRevision\" : {}\n\"{prefix}Version\" : {}\n\"{prefix}Value\" : {}\n\"{prefix}Lease\" : {lease}\n",
        quote(&pair.key),
        pair.create_revision,
        pair.mod_revision,
        pair.version,
        quote(&text_of(&pair.value)),
    )
}
fn pair_json(pair: &KeyValue) -> String {
    object([
        ("key", bytes(&pair.key)),
        ("create_revision", number(pair.create_revision)),
        ("mod_revision", number(pair.mod_revision)),
        ("version", number(pair.version)),
        ("value", bytes(&text_of(&pair.value))),
        ("lease", number(pair.lease)),
    ])
}

/// Parts of a transaction bring no header of their own but its revision.
fn range_json(head: String, result: &RangeResult) -> String {
    object([
        ("header", Some(head)),
        ("kvs", list(result.pairs.iter().map(|pair| pair_json(pair)))),
        ("more", switch(result.more)),
        ("count", number(result.count)),
    ])
}
fn range_fields(order: &Order, result: &RangeResult) -> String {
    let pairs: String = result.pairs.iter().map(|pair| pair_fields(order, "", pair)).collect();
    pairs + &format!("\"More\" : {}\n\"Count\" : {}\n", result.more, result.count)
}
fn range_simple(order: &Order, result: &RangeResult) -> String {
    result.pairs.iter().map(|pair| simple_pair(order, pair)).collect()
}

pub fn get(cli: &mut Cli, order: &Order, response: &Response, result: &RangeResult) -> Outcome {
    let text = match format_without_table(order)? {
        Format::Json => range_json(header(response, true), result) + "\n",
        Format::Fields => header_fields(order, response, true) + &range_fields(order, result),
        _ => range_simple(order, result),
    };
    cli.print(text);
    Ok(())
}

pub fn put(cli: &mut Cli, order: &Order, response: &Response, previous: Option<&Arc<KeyValue>>) -> Outcome {
    let text = match format_without_table(order)? {
        Format::Json => {
            let previous = previous.map(|pair| pair_json(pair));
            object([("header", Some(header(response, true))), ("prev_kv", previous)]) + "\n"
        }
        Format::Fields => {
            let previous = previous.map_or(String::new(), |pair| pair_fields(order, "Prev", pair));
            header_fields(order, response, true) + &previous
        }
        _ => format!("OK\n{}", previous.map_or(String::new(), |pair| simple_pair(order, pair))),
    };
    cli.print(text);
    Ok(())
}

pub fn del(
    cli: &mut Cli,
    order: &Order,
    response: &Response,
    deleted: u64,
    previous: &[Arc<KeyValue>],
) -> Outcome {
    let text = match format_without_table(order)? {
        Format::Json => {
            let previous = list(previous.iter().map(|pair| pair_json(pair)));
            let head = ("header", Some(header(response, true)));
            object([head, ("deleted", number(deleted)), ("prev_kvs", previous)]) + "\n"
        }
        Format::Fields => {
            let pairs: String = previous.iter().map(|pair| pair_fields(order, "Prev", pair)).collect();
            header_fields(order, response, true) + &format!("\"Deleted\" : {deleted}\n{pairs}")
        }
        _ => {
            let pairs: String = previous.iter().map(|pair| simple_pair(order, pair)).collect();
            format!("{deleted}\n{pairs}")
        }
    };
    cli.print(text);
    Ok(())
}

/// `previous`: which results may show what was there before.
pub fn txn(
    cli: &mut Cli,
    order: &Order,
    response: &Response,
    succeeded: bool,
    results: &[ChangeResult],
    previous: &[bool],
) -> Outcome {
    let format = format_without_table(order)?;
    let shows = |index: usize| previous.get(index).copied().unwrap_or(false);
    let mut text = match format {
        Format::Json => {
            let head = || object([("revision", number(response.revision))]);
            let parts = results.iter().enumerate().map(|(index, result)| {
                let (name, part) = match result {
                    ChangeResult::Range(range) => ("ResponseRange", range_json(head(), range)),
                    ChangeResult::Put { previous } => {
                        let previous = previous.as_ref().filter(|_| shows(index)).map(|pair| pair_json(pair));
                        ("ResponsePut", object([("header", Some(head())), ("prev_kv", previous)]))
                    }
                    ChangeResult::Delete { deleted, previous } => {
                        let pairs = previous.iter().filter(|_| shows(index)).map(|pair| pair_json(pair));
                        let head = ("header", Some(head()));
                        let whole = object([head, ("deleted", number(*deleted)), ("prev_kvs", list(pairs))]);
                        ("ResponseDeleteRange", whole)
                    }
                };
                object([("Response", Some(object([(name, Some(part))])))])
            });
            let responses = list(parts);
            object([
                ("header", Some(header(response, true))),
                ("succeeded", switch(succeeded)),
                ("responses", responses),
            ]) + "\n"
        }
        Format::Fields => header_fields(order, response, true) + &format!("\"Succeeded\" : {succeeded}\n"),
        _ => String::from(if succeeded { "SUCCESS\n" } else { "FAILURE\n" }),
    };
    for (index, result) in results.iter().enumerate() {
        match format {
            Format::Json => {}
            Format::Fields => {
                text += &format!("\"Revision\" : {}\n\"RaftTerm\" : 0\n", response.revision);
                text += &match result {
                    ChangeResult::Range(range) => range_fields(order, range),
                    ChangeResult::Put { previous } => previous
                        .as_ref()
                        .filter(|_| shows(index))
                        .map_or(String::new(), |pair| pair_fields(order, "Prev", pair)),
                    ChangeResult::Delete { deleted, previous } => {
                        let pairs = previous.iter().filter(|_| shows(index));
                        let pairs: String = pairs.map(|pair| pair_fields(order, "Prev", pair)).collect();
                        format!("\"Deleted\" : {deleted}\n{pairs}")
                    }
                };
            }
            _ => {
                text += "\n";
                text += &match result {
                    ChangeResult::Range(range) => range_simple(order, range),
                    ChangeResult::Put { previous } => {
                        let previous = previous.as_ref().filter(|_| shows(index));
                        format!("OK\n{}", previous.map_or(String::new(), |pair| simple_pair(order, pair)))
                    }
                    ChangeResult::Delete { deleted, previous } => {
                        let pairs = previous.iter().filter(|_| shows(index));
                        let pairs: String = pairs.map(|pair| simple_pair(order, pair)).collect();
                        format!("{deleted}\n{pairs}")
                    }
                };
            }
        }
    }
    cli.print(text);
    Ok(())
}

/// An event of a watch; a deletion shows the key with nothing.
pub fn event(order: &Order, format: Format, event: &WatchEvent) -> String {
    let gone = KeyValue {
        key: event.key.clone(),
        value: crate::api::Value::Null,
        create_revision: 0,
        mod_revision: event.mod_revision,
        version: 0,
        lease: 0,
    };
    let pair = event.current.as_deref().unwrap_or(&gone);
    let kind = if event.current.is_some() { "PUT" } else { "DELETE" };
    let previous = event.previous.as_ref();
    match format {
        Format::Json => object([
            ("type", number(i128::from(event.current.is_none()))),
            ("kv", Some(pair_json(pair))),
            ("prev_kv", previous.map(|pair| pair_json(pair))),
        ]),
        Format::Fields => {
            let previous = previous.map_or(String::new(), |pair| pair_fields(order, "Prev", pair));
            format!("\"Type\" : {kind}\n{previous}{}", pair_fields(order, "", pair))
        }
        _ => {
            let previous = previous.map_or(String::new(), |pair| simple_pair(order, pair));
            format!("{kind}\n{previous}{}", simple_pair(order, pair))
        }
    }
}

/// An answer of which only the header is worth telling; `simple`: the line for people.
pub fn plain(
    cli: &mut Cli,
    order: &Order,
    response: &Response,
    with_revision: bool,
    simple: &str,
) -> Outcome {
    let text = match format_without_table(order)? {
        Format::Json => object([("header", Some(header(response, with_revision)))]) + "\n",
        Format::Fields => header_fields(order, response, with_revision),
        _ => simple.to_string(),
    };
    cli.print(text);
    Ok(())
}

/// Whether a table would be cut down to what 3.4 knows.
pub fn is_old(order: &Order) -> bool {
    order.version == Version::V3_4
}
pub fn names(items: &[String]) -> String {
    array(items.iter().map(|item| json::text(item)))
}
