//! `endpoint health`, `status`, `hashkv`; `move-leader`: one member and how it stands.
//!
//! Picture to hold in mind: a doctor on his round, who asks each clerk the same.

use std::sync::Arc;

use super::client::{Client, Failed, connect, deadline};
use super::json::{self, array, list, number, object, quote, string, switch};
use super::print::{Format, format, header, header_fields, is_old};
use super::{Order, Outcome, Stop, exit, fail, table};
use crate::api::time_format::go_duration;
use crate::arrange::{Arrange, Gather};
use crate::message::etcd::{Operation, Outcome as Answered, Range, Response, Status};
use crate::shell::{Cli, Halt};
use crate::sim::Duration;

/// The endpoints to ask: those of the flag, or of all members.
pub fn endpoints(cli: &mut Cli, order: &Order, client: &Client) -> Outcome<Vec<String>> {
    if !order.flags.switch("cluster") {
        return Ok(client.endpoints.clone());
    }
    let until = deadline(cli, order);
    let asked = client.attempt(cli, order, "Cluster/MemberList", &Operation::MemberList, Some(until))?;
    match asked {
        Ok(response) => match &response.result {
            Ok(Answered::Members(members)) => {
                let urls = members.iter().flat_map(|member| member.client_url.split(','));
                Ok(urls.filter(|url| !url.is_empty()).map(String::from).gather())
            }
            _ => Ok(Vec::new()),
        },
        Err(failed) => {
            let words = format!("failed to fetch endpoints from etcd cluster member list: {}", failed.text());
            fail(exit::ERROR, words)
        }
    }
}

struct Health {
    endpoint: String,
    took: Duration,
    /// Empty: it is healthy.
    error: String,
}

pub fn health(cli: &mut Cli, order: &Order) -> Outcome {
    let (order, mut client) = connect(cli, order)?;
    client.endpoints = endpoints(cli, &order, &client)?;
    client.logger = "client";
    let until = deadline(cli, &order);
    // Any key will do: to read it, the member must have a leader who still leads.
    let range = Range { key: "health".into(), ..Range::default() };
    let results = client.call_each(cli, &Operation::Range(range), until)?;
    let mut all = Vec::new();
    for (endpoint, (result, took)) in client.endpoints.clone().into_iter().zip(results) {
        let alone = client.of(&endpoint);
        let error = match result {
            Ok(_) if is_old(&order) => String::new(),
            Ok(_) => {
                let alarms =
                    alone.attempt(cli, &order, "Maintenance/Alarm", &Operation::AlarmList, Some(until))?;
                match alarms.map(|response| response.result.clone()) {
                    Ok(Ok(Answered::Alarms(alarms))) if alarms.is_empty() => String::new(),
                    Ok(Ok(Answered::Alarms(alarms))) => {
                        let names: Vec<&str> = alarms.iter().map(|(_, alarm)| alarm.name()).collect();
                        format!("Active Alarm(s): {} ", names.join(" "))
                    }
                    _ => "Unable to fetch the alarm list".into(),
                }
            }
            Err(failed) => {
                let words = Client::rpc_words(&order, &failed);
                alone.log_failure(cli, &order, "KV/Range", &words);
                failed.text()
            }
        };
        all.push(Health { endpoint, took, error });
    }
    // Who answered first is told first.
    all.arrange_by_key(|health| health.took);
    show_health(cli, &order, &all)?;
    match all.iter().any(|health| !health.error.is_empty()) {
        true => fail(exit::ERROR, "unhealthy cluster"),
        false => Ok(()),
    }
}

fn show_health(cli: &mut Cli, order: &Order, all: &[Health]) -> Outcome {
    match format(order)? {
        Format::Simple => {
            for Health { endpoint, took, error } in all {
                if !error.is_empty() {
                    cli.eprintln(format!("{endpoint} is unhealthy: failed to commit proposal: {error}"));
                    continue;
                }
                let took = go_duration(*took);
                let line = format!("{endpoint} is healthy: successfully committed proposal: took = {took}");
                // 3.4 tells good news on the standard error too.
                if is_old(order) { cli.eprintln(line) } else { cli.println(line) }
            }
        }
        Format::Table => {
            let row = |health: &Health| {
                let is_healthy = health.error.is_empty().to_string();
                vec![health.endpoint.clone(), is_healthy, go_duration(health.took), health.error.clone()]
            };
            let rows: Vec<Vec<String>> = all.iter().map(row).collect();
            cli.print(table::render(&["endpoint", "health", "took", "error"], &rows));
        }
        Format::Json => {
            let one = |health: &Health| {
                object([
                    ("endpoint", Some(json::text(&health.endpoint))),
                    ("health", Some(health.error.is_empty().to_string())),
                    ("took", Some(json::text(&go_duration(health.took)))),
                    ("error", string(&health.error)),
                ])
            };
            cli.println(array(all.iter().map(one)));
        }
        Format::Fields => {
            for Health { endpoint, took, error } in all {
                let is_healthy = error.is_empty();
                cli.println(format!(
                    "\"Endpoint\" : {}\n\"Health\" : {is_healthy}\n\"Took\" : {}\n\"Error\" : {error}\n",
                    quote(endpoint),
                    go_duration(*took),
                ));
            }
        }
    }
    Ok(())
}

/// Who answered, and what.
type Answers = Vec<(String, Arc<Response>)>;

/// Asks one endpoint after the other; what failed is said at once.
fn ask_each(
    cli: &mut Cli,
    order: &Order,
    client: &Client,
    operation: &Operation,
    what: &str,
) -> Outcome<(Answers, Option<Failed>)> {
    let (mut answers, mut error) = (Vec::new(), None);
    for endpoint in endpoints(cli, order, client)? {
        let until = deadline(cli, order);
        match client.of(&endpoint).attempt(cli, order, what, operation, Some(until))? {
            Ok(response) => answers.push((endpoint, response)),
            Err(failed) => {
                let noun = if matches!(operation, Operation::Status) { "status" } else { "hash" };
                cli.eprintln(format!("Failed to get the {noun} of endpoint {endpoint} ({})", failed.text()));
                error = Some(failed);
            }
        }
    }
    Ok((answers, error))
}

pub fn status(cli: &mut Cli, order: &Order) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let (answers, error) = ask_each(cli, &order, &client, &Operation::Status, "Maintenance/Status")?;
    let mut all: Vec<(&str, &Response, &Status)> = Vec::new();
    for (endpoint, response) in &answers {
        if let Ok(Answered::Status(status)) = &response.result {
            all.push((endpoint, response, status));
        }
    }
    show_status(cli, &order, &all)?;
    match error {
        Some(_) => Err(Stop::Halt(Halt::Exit(exit::ERROR))),
        None => Ok(()),
    }
}

fn status_row(order: &Order, (endpoint, response, status): &(&str, &Response, &Status)) -> Vec<String> {
    let mut row = vec![endpoint.to_string(), format!("{:x}", response.member), status.version.to_string()];
    if is_old(order) {
        row.push(table::size(status.db_size_bytes));
    } else {
        let in_use = status.db_size_in_use_bytes;
        row.push(status.storage_version.to_string());
        row.push(table::size(status.db_size_bytes));
        row.push(table::size(in_use));
        row.push(format!("{}%", 100 - (in_use * 100 / status.db_size_bytes.max(1)).min(100)));
        row.push(table::size(status.db_size_quota_bytes));
    }
    row.extend([
        (status.leader == response.member).to_string(),
        status.is_learner.to_string(),
        response.raft_term.to_string(),
        status.raft_index.to_string(),
        status.applied_index.to_string(),
        status.errors.join(", "),
    ]);
    if !is_old(order) {
        // Nobody downgrades here.
        row.extend([String::new(), "false".to_string()]);
    }
    row
}

fn show_status(cli: &mut Cli, order: &Order, all: &[(&str, &Response, &Status)]) -> Outcome {
    let is_old = is_old(order);
    match format(order)? {
        Format::Simple => {
            for one in all {
                cli.println(status_row(order, one).join(", "));
            }
        }
        Format::Table => {
            let sizes: &[&str] = match is_old {
                true => &["db size"],
                false => &["storage version", "db size", "in use", "percentage not in use", "quota"],
            };
            let mut headings = vec!["endpoint", "ID", "version"];
            headings.extend(sizes);
            headings.extend([
                "is leader",
                "is learner",
                "raft term",
                "raft index",
                "raft applied index",
                "errors",
            ]);
            if !is_old {
                headings.extend(["downgrade target version", "downgrade enabled"]);
            }
            let rows: Vec<Vec<String>> = all.iter().map(|one| status_row(order, one)).collect();
            cli.print(table::render(&headings, &rows));
        }
        Format::Json => {
            let one = |(endpoint, response, status): &(&str, &Response, &Status)| {
                let new = |value: Option<String>| value.filter(|_| !is_old);
                let status = object([
                    ("header", Some(header(response, true))),
                    ("version", string(&status.version)),
                    ("dbSize", number(status.db_size_bytes)),
                    ("leader", number(status.leader)),
                    ("raftIndex", number(status.raft_index)),
                    ("raftTerm", number(response.raft_term)),
                    ("raftAppliedIndex", number(status.applied_index)),
                    ("errors", list(status.errors.iter().map(|error| json::text(error)))),
                    ("dbSizeInUse", number(status.db_size_in_use_bytes)),
                    ("isLearner", switch(status.is_learner)),
                    ("storageVersion", new(string(&status.storage_version))),
                    ("dbSizeQuota", new(number(status.db_size_quota_bytes))),
                    ("downgradeInfo", new(Some("{}".into()))),
                ]);
                object([("Endpoint", Some(json::text(endpoint))), ("Status", Some(status))])
            };
            cli.println(array(all.iter().map(one)));
        }
        Format::Fields => {
            for (endpoint, response, status) in all {
                let mut text = header_fields(order, response, true);
                text += &format!("\"Version\" : {}\n", quote(&status.version));
                if !is_old {
                    text += &format!("\"StorageVersion\" : {}\n", quote(&status.storage_version));
                }
                text += &format!("\"DBSize\" : {}\n", status.db_size_bytes);
                if !is_old {
                    text += &format!(
                        "\"DBSizeInUse\" : {}\n\"DBSizeQuota\" : {}\n",
                        status.db_size_in_use_bytes, status.db_size_quota_bytes
                    );
                }
                text += &format!(
                    "\"Leader\" : {}\n\"IsLearner\" : {}\n\"RaftIndex\" : {}\n\"RaftTerm\" : {}\n\"RaftAppliedIndex\" : {}\n\"Errors\" : [{}]\n\"Endpoint\" : {}\n",
                    status.leader,
                    status.is_learner,
                    status.raft_index,
                    response.raft_term,
                    status.applied_index,
                    status.errors.join(" "),
                    quote(endpoint),
                );
                if !is_old {
                    text += "\"DowngradeTargetVersion\" : \"\"\n\"DowngradeEnabled\" : false\n";
                }
                cli.println(text);
            }
        }
    }
    Ok(())
}

pub fn hash(cli: &mut Cli, order: &Order) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let revision = u64::try_from(order.flags.number("rev")).unwrap_or(0);
    let operation = Operation::HashKv { revision };
    let (answers, error) = ask_each(cli, &order, &client, &operation, "Maintenance/HashKV")?;
    let (mut rows, mut objects, mut fields) = (Vec::new(), Vec::new(), String::new());
    let is_old = is_old(&order);
    for (endpoint, response) in &answers {
        let Ok(Answered::Hash { hash, revision, compact_revision }) = &response.result else { continue };
        let mut row = vec![endpoint.clone(), hash.to_string()];
        if !is_old {
            row.push(revision.to_string());
        }
        rows.push(row);
        let inner = object([
            ("header", Some(header(response, true))),
            ("hash", number(*hash)),
            ("compact_revision", number(*compact_revision)),
            ("hash_revision", number(*revision).filter(|_| !is_old)),
        ]);
        objects.push(object([("Endpoint", Some(json::text(endpoint))), ("HashKV", Some(inner))]));
        fields += &header_fields(&order, response, true);
        fields += &format!("\"Endpoint\" : {}\n\"Hash\" : {hash}\n", quote(endpoint));
        if !is_old {
            fields += &format!("\"HashRevision\" : {revision}\n");
        }
        fields += "\n";
    }
    match format(&order)? {
        Format::Simple => rows.iter().for_each(|row| cli.println(row.join(", "))),
        Format::Table => {
            let headings: &[&str] =
                if is_old { &["endpoint", "hash"] } else { &["endpoint", "hash", "hash_revision"] };
            cli.print(table::render(headings, &rows));
        }
        Format::Json => cli.println(array(objects)),
        Format::Fields => cli.print(fields),
    }
    match error {
        Some(failed) => fail(exit::ERROR, failed.text()),
        None => Ok(()),
    }
}

pub fn move_leader(cli: &mut Cli, order: &Order) -> Outcome {
    let [target] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "move-leader command needs 1 argument");
    };
    let Ok(to) = u64::from_str_radix(target, 16) else {
        return fail(exit::BAD_ARGS, format!("strconv.ParseUint: parsing {target:?}: invalid syntax"));
    };
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let mut found = None;
    for endpoint in &client.endpoints {
        let alone = client.of(endpoint);
        let response = alone.call(cli, &order, "Maintenance/Status", &Operation::Status, Some(until))?;
        if let Ok(Answered::Status(status)) = &response.result
            && status.leader == response.member
        {
            found = Some((alone, status.leader));
            break;
        }
    }
    let Some((leader, from)) = found else {
        let all: Vec<&str> = client.endpoints.iter().map(String::as_str).collect();
        return fail(exit::BAD_ARGS, format!("no leader endpoint given at [{}]", all.join(" ")));
    };
    let operation = Operation::MoveLeader { target: to };
    leader.call(cli, &order, "Maintenance/MoveLeader", &operation, Some(until))?;
    match super::print::format_without_table(&order)? {
        Format::Json => cli.println("{}"),
        Format::Fields => return fail(exit::BAD_FEATURE, "fields not supported as output format"),
        _ => cli.println(format!("Leadership transferred from {from:x} to {to:x}")),
    }
    Ok(())
}
