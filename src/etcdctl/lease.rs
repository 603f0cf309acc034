//! `lease grant`, `revoke`, `timetolive`, `list`, `keep-alive`: hourglasses.
//!
//! Picture to hold in mind: one buys an hourglass, asks how much sand is left, turns it over, or breaks it.

use std::ops::ControlFlow;

use super::client::{Client, Failed, connect, deadline};
use super::json::{bytes, list as json_list, number, object, quote};
use super::print::{Format, format_without_table, header_fields, is_hex, plain};
use super::{Order, Outcome, exit, fail};
use crate::arrange::Gather;
use crate::message::etcd::{Error, Operation, Outcome as Answered, Response};
use crate::shell::Cli;
use crate::sim::Duration;

fn lease_id(text: &str) -> Outcome<i64> {
    match i64::from_str_radix(text, 16) {
        Ok(id) => Ok(id),
        Err(_) => {
            let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
            fail(exit::BAD_ARGS, format!("bad lease ID arg ({why}), expecting ID in Hex"))
        }
    }
}
fn shown(order: &Order, lease: i64) -> String {
    if is_hex(order) { format!("{lease:016x}") } else { lease.to_string() }
}
fn flat_header(response: &Response) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("cluster_id", number(response.cluster)),
        ("member_id", number(response.member)),
        ("revision", number(response.revision)),
        ("raft_term", number(response.raft_term)),
    ]
}

/// A lease with its time, as `grant` and `keep-alive` tell it.
fn show(cli: &mut Cli, order: &Order, response: &Response, simple: &str) -> Outcome {
    let Ok(Answered::Lease { lease, ttl_seconds }) = &response.result else { return Ok(()) };
    let text = match format_without_table(order)? {
        Format::Json => {
            let mut fields = flat_header(response);
            fields.extend([("ID", Some(lease.to_string())), ("TTL", Some(ttl_seconds.to_string()))]);
            // The client's struct has this field without a name of its own.
            if simple.contains("granted") {
                fields.push(("Error", Some("\"\"".into())));
            }
            object(fields) + "\n"
        }
        Format::Fields => {
            let (head, id) = (header_fields(order, response, true), shown(order, *lease));
            format!("{head}\"ID\" : {id}\n\"TTL\" : {ttl_seconds}\n")
        }
        _ => simple.to_string(),
    };
    cli.print(text);
    Ok(())
}

pub fn grant(cli: &mut Cli, order: &Order) -> Outcome {
    let [text] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "lease grant command needs TTL argument");
    };
    let Ok(ttl) = text.parse::<i64>() else {
        let why = format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
        return fail(exit::BAD_ARGS, format!("bad TTL ({why})"));
    };
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    // The member that is asked chooses the number.
    let operation = Operation::LeaseGrant { lease: 0, ttl_seconds: u64::try_from(ttl).unwrap_or(0) };
    let asked = client.attempt(cli, &order, "Lease/LeaseGrant", &operation, Some(until))?;
    let response = failing(asked, "failed to grant lease")?;
    let Ok(Answered::Lease { lease, ttl_seconds }) = &response.result else { return Ok(()) };
    let simple = format!("lease {lease:016x} granted with TTL({ttl_seconds}s)\n");
    show(cli, &order, &response, &simple)
}

fn failing<T>(result: Result<T, Failed>, what: &str) -> Outcome<T> {
    match result {
        Ok(value) => Ok(value),
        Err(failed) => fail(exit::ERROR, format!("{what} ({})", failed.text())),
    }
}

pub fn revoke(cli: &mut Cli, order: &Order) -> Outcome {
    let [text] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "lease revoke command needs 1 argument");
    };
    let lease = lease_id(text)?;
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let operation = Operation::LeaseRevoke { lease };
    let asked = client.attempt(cli, &order, "Lease/LeaseRevoke", &operation, Some(until))?;
    let response = failing(asked, "failed to revoke lease")?;
    plain(cli, &order, &response, true, &format!("lease {lease:016x} revoked\n"))
}

pub fn time_to_live(cli: &mut Cli, order: &Order) -> Outcome {
    let [text] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "lease timetolive command needs lease ID as argument");
    };
    let lease = lease_id(text)?;
    let (order, client) = connect(cli, order)?;
    let operation = Operation::LeaseTimeToLive { lease };
    let response = client.call(cli, &order, "Lease/LeaseTimeToLive", &operation, None)?;
    let Ok(Answered::LeaseTimeToLive { remaining_seconds, granted_seconds, keys, .. }) = &response.result
    else {
        return Ok(());
    };
    let wants_keys = order.flags.switch("keys");
    let keys: &[crate::api::Text] = if wants_keys { keys } else { &[] };
    let text = match format_without_table(&order)? {
        Format::Json => {
            let mut fields = flat_header(&response);
            let keys: Vec<String> = keys.iter().filter_map(|key| bytes(key)).gather();
            let keys = if keys.is_empty() { "null".into() } else { format!("[{}]", keys.join(",")) };
            fields.extend([
                ("id", Some(lease.to_string())),
                ("ttl", Some(remaining_seconds.to_string())),
                ("granted-ttl", Some(granted_seconds.to_string())),
                ("keys", Some(keys)),
            ]);
            object(fields) + "\n"
        }
        Format::Fields => {
            let (head, id) = (header_fields(&order, &response, true), shown(&order, lease));
            let keys: String = keys.iter().map(|key| format!("\"Key\" : {}\n", quote(key))).collect();
            format!(
                "{head}\"ID\" : {id}\n\"TTL\" : {remaining_seconds}\n\"GrantedTTL\" : {granted_seconds}\n{keys}"
            )
        }
        _ if *granted_seconds == 0 && *remaining_seconds == -1 => {
            format!("lease {lease:016x} already expired\n")
        }
        _ => {
            let attached = match wants_keys {
                true => format!(", attached keys([{}])", keys.join(" ")),
                false => String::new(),
            };
            format!(
                "lease {lease:016x} granted with TTL({granted_seconds}s), remaining({remaining_seconds}s){attached}\n"
            )
        }
    };
    cli.print(text);
    Ok(())
}

pub fn list(cli: &mut Cli, order: &Order) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let response = client.call(cli, &order, "Lease/LeaseLeases", &Operation::LeaseList, None)?;
    let Ok(Answered::Leases(leases)) = &response.result else { return Ok(()) };
    let text = match format_without_table(&order)? {
        Format::Json => {
            let mut fields = flat_header(&response);
            let all = json_list(leases.iter().map(|lease| object([("id", Some(lease.to_string()))])));
            fields.push(("leases", Some(all.unwrap_or_else(|| "null".into()))));
            object(fields) + "\n"
        }
        Format::Fields => {
            let all: String =
                leases.iter().map(|lease| format!("\"ID\" : {}\n", shown(&order, *lease))).collect();
            header_fields(&order, &response, true) + &all
        }
        _ => {
            let all: String = leases.iter().map(|lease| format!("{lease:016x}\n")).collect();
            format!("found {} leases\n{all}", leases.len())
        }
    };
    cli.print(text);
    Ok(())
}

/// Renews a lease once. `None`: there is no such lease (any more).
fn renew(cli: &mut Cli, client: &Client, lease: i64) -> Outcome<Option<std::sync::Arc<Response>>> {
    let operation = Operation::LeaseKeepAlive { lease };
    match client.try_call(cli, &operation, None)? {
        Ok(response) => Ok(Some(response)),
        Err(Failed::Server(Error::LeaseNotFound)) => Ok(None),
        Err(failed) => fail(exit::BAD_CONNECTION, failed.text()),
    }
}

pub fn keep_alive(cli: &mut Cli, order: &Order) -> Outcome {
    let [text] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "lease keep-alive command needs lease ID as argument");
    };
    let lease = lease_id(text)?;
    let (order, client) = connect(cli, order)?;
    if order.flags.switch("once") {
        return match renew(cli, &client, lease)? {
            Some(response) => alive(cli, &order, &response, lease),
            None => fail(exit::BAD_CONNECTION, Error::LeaseNotFound.to_string()),
        };
    }
    let mut stop = None;
    cli.fold((), |cli, ()| {
        let step = renew(cli, &client, lease).and_then(|renewed| match renewed {
            Some(response) => {
                alive(cli, &order, &response, lease)?;
                Ok(Some(response))
            }
            None => Ok(None),
        });
        let response = match step {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(ControlFlow::Break(())),
            Err(super::Stop::Halt(halt)) => return Err(halt),
            Err(failure) => {
                stop = Some(failure);
                return Ok(ControlFlow::Break(()));
            }
        };
        let ttl = match &response.result {
            Ok(Answered::Lease { ttl_seconds, .. }) => *ttl_seconds,
            _ => 1,
        };
        // The client renews each time a third of the time is over.
        cli.sleep(Duration::from_millis((ttl * 1000 / 3).max(500)))?;
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(stop) = stop {
        return Err(stop);
    }
    if format_without_table(&order)? == Format::Simple {
        cli.println(format!("lease {lease:016x} expired or revoked."));
    }
    Ok(())
}

fn alive(cli: &mut Cli, order: &Order, response: &Response, lease: i64) -> Outcome {
    let Ok(Answered::Lease { ttl_seconds, .. }) = &response.result else { return Ok(()) };
    let simple = format!("lease {lease:016x} keepalived with TTL({ttl_seconds})\n");
    show(cli, order, response, &simple)
}
