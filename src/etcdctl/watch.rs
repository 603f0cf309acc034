//! `watch`: what changes from now on, or from a revision on.
//!
//! Picture to hold in mind: a letter box of one's own at the archive; what drops in is read aloud at once.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::client::{Client, connect};
use super::json::object;
use super::keys::prefix_end;
use super::print::{Format, event, format_without_table, header};
use super::{Order, Outcome, Stop, exit, fail, txn};
use crate::api::Text;
use crate::client::EtcdAnswer;
use crate::message::etcd::{Error, Operation, Response, WatchResponse};
use crate::shell::{Cli, Run};
use crate::sim::Duration;

/// A silent connection is looked after so often (keep-alive time and timeout of the client): the watch is then opened
/// anew from where it stands, at whichever member answers. Nobody is told when a member dies.
const LOOK_AFTER: Duration = Duration::from_secs(8);

/// What is told at once comes by then.
const AT_ONCE: Duration = Duration::from_millis(100);

pub fn run(cli: &mut Cli, order: &Order) -> Outcome {
    let (key, end) = (variable(cli, "ETCDCTL_WATCH_KEY"), variable(cli, "ETCDCTL_WATCH_RANGE_END"));
    if key.is_empty() && !end.is_empty() {
        let words = format!("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={end:?}");
        return fail(exit::BAD_ARGS, words);
    }
    if order.flags.switch("interactive") {
        return interactive(cli, order, &key);
    }
    let arguments = cli.arguments();
    let dashes = arguments.iter().position(|word| word == "--");
    let mut operands = order.operands.to_vec();
    if let Some(at) = dashes {
        if at + 1 == arguments.len() {
            return fail(exit::BAD_ARGS, "bad number of arguments (found separator --, but no commands)");
        }
        operands.truncate(operands.len() - (arguments.len() - at - 1));
        let words = crate::fidelity::message("etcdctl", "watch -- COMMAND").unwrap_or_default();
        return fail(exit::BAD_FEATURE, words);
    }
    if !key.is_empty() {
        if !operands.is_empty() {
            return fail(exit::BAD_ARGS, "bad number of arguments (found conflicting environment key)");
        }
        operands.push(key);
        operands.extend((!end.is_empty()).then_some(end));
    }
    let Some(first) = operands.first().cloned() else {
        return fail(exit::BAD_ARGS, "bad number of arguments");
    };
    let is_prefix = order.flags.switch("prefix");
    let range_end = match operands.get(1) {
        Some(_) if is_prefix => {
            return fail(exit::BAD_ARGS, "`range_end` and `--prefix` are mutually exclusive");
        }
        Some(end) => end.clone(),
        None if is_prefix && first.is_empty() => "\0".into(),
        None if is_prefix => prefix_end(&first),
        None => String::new(),
    };
    let first = if first.is_empty() { "\0".into() } else { first };
    let (order, client) = connect(cli, order)?;
    let format = format_without_table(&order)?;
    let next = u64::try_from(order.flags.number("rev")).unwrap_or(0);
    let start = State { key: first.into(), range_end: range_end.into(), next, head: None, over: None };
    let end = cli.fold(start, |cli, state| listen(cli, &order, &client, format, state))?;
    if let Some(why) = end.over {
        cli.eprintln(format!("watch was canceled ({why})"));
    }
    fail(exit::INTERRUPTED, "watch is canceled by the server")
}

fn variable(cli: &Cli, name: &str) -> String {
    cli.variable(name).unwrap_or_default().to_string()
}

#[derive(Clone)]
struct State {
    key: Text,
    range_end: Text,
    /// The next revision that is wanted; 0: from now on.
    next: u64,
    /// Who answered.
    head: Option<Arc<Response>>,
    /// Why it is over.
    over: Option<String>,
}

/// Opens the watch and tells what comes, until nothing has come for a while.
fn listen(
    cli: &mut Cli,
    order: &Order,
    client: &Client,
    format: Format,
    mut state: State,
) -> Run<ControlFlow<State, State>> {
    let operation = Operation::Watch {
        key: state.key.clone(),
        range_end: state.range_end.clone(),
        start_revision: state.next,
        previous: order.flags.switch("prev-kv"),
        progress: order.flags.switch("progress-notify"),
    };
    let until = cli.now() + LOOK_AFTER;
    let Some((ticket, opened)) = client.watch(cli, &operation, until)? else {
        return Ok(ControlFlow::Continue(state));
    };
    if let Err(error) = &opened.result {
        state.over = Some(format!("rpc error: code = Unavailable desc = {error}"));
        return Ok(ControlFlow::Break(state));
    }
    if state.next == 0 {
        state.next = opened.revision + 1;
    }
    state.head = Some(opened);
    loop {
        match cli.next_etcd(ticket, Some(until))? {
            None => {
                cli.close_etcd(ticket);
                // What was there when it was opened has been told by now: it may be compacted before it is opened again.
                let seen = state.head.as_ref().map_or(0, |head| head.revision + 1);
                state.next = state.next.max(seen);
                return Ok(ControlFlow::Continue(state));
            }
            Some(EtcdAnswer::Response(response)) => {
                if let Err(error) = &response.result {
                    state.over = Some(format!("rpc error: code = Unavailable desc = {error}"));
                    return Ok(ControlFlow::Break(state));
                }
            }
            Some(EtcdAnswer::Watch(response)) if response.compact_revision > 0 => {
                let error = Error::Compacted { revision: response.compact_revision };
                state.over = Some(error.to_string());
                return Ok(ControlFlow::Break(state));
            }
            Some(EtcdAnswer::Watch(response)) => {
                state.next = state.next.max(response.revision + 1);
                // Another program of this machine has asked for its own.
                if response.events.is_empty() && !order.flags.switch("progress-notify") {
                    continue;
                }
                tell(cli, order, format, state.head.as_deref(), &response);
            }
        }
    }
}

fn tell(cli: &mut Cli, order: &Order, format: Format, head: Option<&Response>, response: &WatchResponse) {
    let head = head.map(|head| Response { revision: response.revision, ..head.clone() });
    if response.events.is_empty() {
        cli.println(format!("progress notify: {}", response.revision));
    }
    let events: Vec<String> = response.events.iter().map(|one| event(order, format, one)).collect();
    match format {
        Format::Json => cli.println(object([
            ("Header", head.map(|head| header(&head, true))),
            ("Events", Some(format!("[{}]", events.join(",")))),
            ("CompactRevision", Some("0".into())),
            ("Canceled", Some("false".into())),
            ("Created", Some("false".into())),
        ])),
        Format::Fields => {
            let head = head.map(|head| super::print::header_fields(order, &head, true));
            cli.print(head.unwrap_or_default() + &events.concat());
        }
        _ => cli.print(events.concat()),
    }
}

/// Watches of an interactive session: each with who answered when it was opened.
type Open = Vec<(u64, Arc<Response>)>;

/// Requests come on the standard input, and when that ends the program does. What a request leads to at once is told
/// before the next is read.
fn interactive(cli: &mut Cli, order: &Order, key: &str) -> Outcome {
    let (order, client) = connect(cli, order)?;
    let format = format_without_table(&order)?;
    let input = cli.stdin()?;
    let lines: Vec<&str> = input.lines().collect();
    let start = (0usize, Open::new());
    cli.fold(start, |cli, (number, mut open)| {
        let Some(line) = lines.get(number) else { return Ok(ControlFlow::Break((number, open))) };
        let words = match txn::words(line) {
            Ok(words) => words,
            Err(Stop::Halt(halt)) => return Err(halt),
            Err(_) => Vec::new(),
        };
        let operation = match words.first().map(String::as_str) {
            None => {
                cli.eprintln(format!("Invalid command: {line} (watch and progress supported)"));
                None
            }
            Some("watch") if words.len() < 2 && key.is_empty() => {
                cli.eprintln(format!("Invalid command {line} (command type or key is not provided)"));
                None
            }
            Some("watch") => Some(requested(&words[1..], key)),
            Some("progress") => Some(Operation::Progress),
            Some(_) => {
                cli.eprintln(format!("Invalid command {line} (only support watch)"));
                None
            }
        };
        let until = cli.now() + AT_ONCE;
        match &operation {
            Some(Operation::Progress) => drop(client.try_call(cli, &Operation::Progress, Some(until))?),
            Some(operation) => open.extend(client.watch(cli, operation, until)?),
            None => {}
        }
        for (ticket, head) in &open {
            while let Some(answer) = cli.next_etcd(*ticket, Some(until))? {
                let EtcdAnswer::Watch(response) = answer else { continue };
                if response.compact_revision > 0 {
                    let error = Error::Compacted { revision: response.compact_revision };
                    cli.eprintln(format!("watch was canceled ({error})"));
                } else {
                    tell(cli, &order, format, Some(head), &response);
                }
            }
        }
        Ok(ControlFlow::Continue((number + 1, open)))
    })?;
    fail(exit::INVALID_INPUT, "error reading watch request line: EOF")
}

/// `--prefix --rev=5 key [range_end]`, as it stands on a line of its own.
fn requested(words: &[String], key: &str) -> Operation {
    let (flags, mut keys): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with("--"));
    if keys.is_empty() {
        keys.push(key);
    }
    let has = |name: &str| flags.contains(&name);
    let revision = flags.iter().find_map(|flag| flag.strip_prefix("--rev=")?.parse().ok());
    let range_end = match keys.get(1) {
        Some(end) => (*end).into(),
        None if has("--prefix") => prefix_end(keys[0]).into(),
        None => Text::new(),
    };
    Operation::Watch {
        key: keys[0].into(),
        range_end,
        start_revision: revision.unwrap_or(0),
        previous: has("--prev-kv"),
        progress: has("--progress-notify"),
    }
}
