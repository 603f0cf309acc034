//! `member list`, `add`, `remove`, `update`, `promote`: who belongs to the cluster.
//!
//! Picture to hold in mind: the list at the door, and the pen beside it.

use super::client::{connect, deadline};
use super::json::{self, list as json_list, number, object, string, switch};
use super::print::{Format, format, header, header_fields, id, is_hex, is_old, plain};
use super::{Order, Outcome, exit, fail, table};
use crate::arrange::Gather;
use crate::message::etcd::{Member, Operation, Outcome as Answered, Response};
use crate::shell::Cli;

fn urls(text: &str) -> Vec<String> {
    text.split(',').filter(|url| !url.is_empty()).map(String::from).gather()
}
fn member_json(member: &Member) -> String {
    object([
        ("ID", number(member.id)),
        ("name", string(&member.name)),
        ("peerURLs", json_list(urls(&member.peer_url).iter().map(|url| json::text(url)))),
        ("clientURLs", json_list(urls(&member.client_url).iter().map(|url| json::text(url)))),
        ("isLearner", switch(member.is_learner)),
    ])
}
fn row(member: &Member) -> Vec<String> {
    let status = if member.name.is_empty() { "unstarted" } else { "started" };
    vec![
        format!("{:x}", member.id),
        status.into(),
        member.name.to_string(),
        member.peer_url.to_string(),
        member.client_url.to_string(),
        member.is_learner.to_string(),
    ]
}

pub fn list(cli: &mut Cli, order: &Order) -> Outcome {
    let serializable = match order.flags.text("consistency") {
        "s" => true,
        "l" | "" => false,
        _ => return fail(exit::BAD_FEATURE, "unknown consistency flag \"\""),
    };
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    // A member of 3.4 says what it knows; since 3.5 it makes sure.
    let operation = match serializable || is_old(&order) {
        true => Operation::MembersKnown,
        false => Operation::MemberList,
    };
    let response = client.call(cli, &order, "Cluster/MemberList", &operation, Some(until))?;
    let Ok(Answered::Members(members)) = &response.result else { return Ok(()) };
    match format(&order)? {
        Format::Simple => members.iter().for_each(|member| cli.println(row(member).join(", "))),
        Format::Table => {
            let headings = ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"];
            let rows: Vec<Vec<String>> = members.iter().map(row).collect();
            cli.print(table::render(&headings, &rows));
        }
        Format::Json if is_hex(&order) => cli.println(hex_list(&response, members)),
        Format::Json => {
            let members = json_list(members.iter().map(member_json));
            cli.println(object([("header", Some(header(&response, false))), ("members", members)]));
        }
        Format::Fields => {
            let mut text = header_fields(&order, &response, false);
            for member in members {
                text += &format!(
                    "\"ID\" : {}\n\"Name\" : {}\n",
                    id(&order, member.id),
                    json::quote(&member.name)
                );
                for (name, all) in [("PeerURL", &member.peer_url), ("ClientURL", &member.client_url)] {
                    for url in urls(all) {
                        text += &format!("\"{name}\" : {}\n", json::quote(&url));
                    }
                }
                text += &format!("\"IsLearner\" : {}\n\n", member.is_learner);
            }
            cli.print(text);
        }
    }
    Ok(())
}

/// `--hex -w json`: the only list that etcdctl prints so.
fn hex_list(response: &Response, members: &[Member]) -> String {
    let hex = |id: u64| Some(format!("\"{id:x}\""));
    let head = object([
        ("cluster_id", hex(response.cluster)),
        ("member_id", hex(response.member)),
        ("raft_term", Some(response.raft_term.to_string())),
    ]);
    let all = members.iter().map(|member| {
        object([
            ("ID", hex(member.id)),
            ("name", Some(json::text(&member.name))),
            ("peerURLs", Some(super::print::names(&urls(&member.peer_url)))),
            ("clientURLs", Some(super::print::names(&urls(&member.client_url)))),
        ])
    });
    object([("header", Some(head)), ("members", json_list(all))])
}

pub fn add(cli: &mut Cli, order: &Order) -> Outcome {
    let Some(name) = order.operands.first() else {
        return fail(exit::BAD_ARGS, "member name not provided");
    };
    if order.operands.len() > 1 {
        let mut words = String::from("too many arguments");
        for operand in order.operands.iter().filter(|word| word.to_ascii_lowercase().starts_with("http")) {
            words += &format!(", did you mean --peer-urls={operand}");
        }
        return fail(exit::BAD_ARGS, words);
    }
    let peers = order.flags.text("peer-urls").to_string();
    if peers.is_empty() {
        return fail(exit::BAD_ARGS, "member peer urls not provided");
    }
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let is_learner = order.flags.switch("learner");
    let operation = Operation::MemberAdd { peer_url: peers.as_str().into(), is_learner };
    let response = client.call(cli, &order, "Cluster/MemberAdd", &operation, Some(until))?;
    let Ok(Answered::Members(members)) = &response.result else { return Ok(()) };
    let Some(added) = members.iter().find(|member| member.peer_url == peers) else { return Ok(()) };
    match format(&order)? {
        Format::Simple => {
            let role = if added.is_learner && !is_old(&order) { " as learner " } else { " " };
            cli.println(format!("Member {:16x} added{role}to cluster {:16x}\n", added.id, response.cluster));
            let mut all = Vec::new();
            for member in members {
                let called = if member.id == added.id { name } else { member.name.as_str() };
                all.extend(urls(&member.peer_url).iter().map(|url| format!("{called}={url}")));
            }
            cli.println(format!("ETCD_NAME={}", json::quote(name)));
            cli.println(format!("ETCD_INITIAL_CLUSTER={}", json::quote(&all.join(","))));
            cli.println(format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={}", json::quote(&peers)));
            cli.println("ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
        }
        Format::Json => cli.println(object([
            ("header", Some(header(&response, false))),
            ("member", Some(member_json(added))),
            ("members", json_list(members.iter().map(member_json))),
        ])),
        Format::Table => return fail(exit::BAD_FEATURE, "table not supported as output format"),
        Format::Fields => return fail(exit::BAD_FEATURE, "fields not supported as output format"),
    }
    Ok(())
}

fn member_id(order: &Order) -> Outcome<u64> {
    let [text] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "member ID is not provided");
    };
    match u64::from_str_radix(text, 16) {
        Ok(id) => Ok(id),
        Err(_) => {
            let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            fail(exit::BAD_ARGS, format!("bad member ID arg ({why}), expecting ID in Hex"))
        }
    }
}

fn change(cli: &mut Cli, order: &Order, method: &str, done: &str, operation: Operation, id: u64) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let response = client.call(cli, &order, method, &operation, Some(until))?;
    if let (Format::Json, Ok(Answered::Members(members))) = (format(&order)?, &response.result) {
        let members = json_list(members.iter().map(member_json));
        cli.println(object([("header", Some(header(&response, false))), ("members", members)]));
        return Ok(());
    }
    let simple = format!("Member {id:16x} {done} cluster {:16x}\n", response.cluster);
    plain(cli, &order, &response, false, &simple)
}

pub fn remove(cli: &mut Cli, order: &Order) -> Outcome {
    let id = member_id(order)?;
    change(cli, order, "Cluster/MemberRemove", "removed from", Operation::MemberRemove { member: id }, id)
}

pub fn promote(cli: &mut Cli, order: &Order) -> Outcome {
    let id = member_id(order)?;
    change(cli, order, "Cluster/MemberPromote", "promoted in", Operation::MemberPromote { member: id }, id)
}

pub fn update(cli: &mut Cli, order: &Order) -> Outcome {
    let id = member_id(order)?;
    let peers = order.flags.text("peer-urls");
    if peers.is_empty() {
        return fail(exit::BAD_ARGS, "member peer urls not provided");
    }
    let operation = Operation::MemberUpdate { member: id, peer_url: peers.into() };
    change(cli, order, "Cluster/MemberUpdate", "updated in", operation, id)
}
