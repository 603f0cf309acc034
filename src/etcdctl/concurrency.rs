//! `lock` and `elect`: many who want the same, and keys that say whose turn it is (`client/v3/concurrency`).
//!
//! Picture to hold in mind: a queue at a single counter. Each pulls a number (a key that lives as long as its owner's
//! lease) and watches only the one before him; when that key goes, it is his turn.

use std::ops::ControlFlow;

use super::client::{Client, Failed, connect};
use super::keys::prefix_end;
use super::{Order, Outcome, Stop, exit, fail, print};
use crate::api::{Text, Value};
use crate::client::EtcdAnswer;
use crate::message::etcd::{
    Change, Compare, Error, Operation, Outcome as Answered, Range, RangeResult, Relation, Response, Sort,
    Target, Txn,
};
use crate::shell::program::{EtcdCall, Will};
use crate::shell::{Cli, Run};
use crate::sim::{Duration, Time};

/// How long a session of `elect` outlives its owner.
const SESSION_SECONDS: u64 = 60;

/// A lease that is kept alive while the program runs.
#[derive(Clone, Copy)]
struct Session {
    lease: i64,
    ttl_seconds: u64,
    /// When it is renewed next.
    renewal: Time,
}

fn ask(
    cli: &mut Cli,
    order: &Order,
    client: &Client,
    operation: &Operation,
) -> Outcome<std::sync::Arc<Response>> {
    // None of these calls has a deadline of its own.
    match client.attempt(cli, order, "KV/Txn", operation, None)? {
        Ok(response) => Ok(response),
        Err(failed) => fail(exit::ERROR, failed.text()),
    }
}

fn open_session(cli: &mut Cli, order: &Order, client: &Client, ttl_seconds: u64) -> Outcome<Session> {
    let operation = Operation::LeaseGrant { lease: 0, ttl_seconds };
    let response = ask(cli, order, client, &operation)?;
    let Ok(Answered::Lease { lease, ttl_seconds }) = response.result else {
        return fail(exit::ERROR, "session expired");
    };
    let renewal = cli.now() + third(ttl_seconds);
    Ok(Session { lease, ttl_seconds, renewal })
}
fn third(ttl_seconds: u64) -> Duration {
    Duration::from_millis((ttl_seconds * 1000 / 3).max(500))
}

/// Renews the lease when it is time; false: it is gone.
fn renew(cli: &mut Cli, client: &Client, session: &mut Session) -> Outcome<bool> {
    let operation = Operation::LeaseKeepAlive { lease: session.lease };
    // Who cannot renew in time has lost the lease, whether he knows or not.
    let limit = cli.now() + Duration::from_secs(session.ttl_seconds);
    match client.try_call(cli, &operation, Some(limit))? {
        Ok(_) => {
            session.renewal = cli.now() + third(session.ttl_seconds);
            Ok(true)
        }
        Err(Failed::Server(Error::LeaseNotFound) | Failed::Deadline | Failed::Connection(_)) => Ok(false),
        Err(failed) => fail(exit::ERROR, failed.text()),
    }
}

/// The keys under `prefix`, by their creation; at most one.
fn first_under(prefix: &str, is_last: bool, up_to: u64) -> Range {
    Range {
        key: prefix.into(),
        range_end: prefix_end(prefix).into(),
        limit: 1,
        sort: Some(Sort { by: Target::CreateRevision, is_descending: is_last }),
        create_revisions: (0, up_to),
        ..Range::default()
    }
}
fn pairs(response: &Response) -> Option<&RangeResult> {
    match &response.result {
        Ok(Answered::Range(result)) => Some(result),
        _ => None,
    }
}

/// Writes the own key unless it is there; the revision at which it was created.
fn enter(cli: &mut Cli, order: &Order, client: &Client, key: &Text, value: &str, lease: i64) -> Outcome<u64> {
    let is_new = Compare::Any {
        key: key.clone(),
        target: Target::CreateRevision,
        relation: Relation::Equal,
        value: Value::from(0),
    };
    let put = Change::Put { key: key.clone(), value: Value::from(value), lease };
    let get = Change::Range(Range { key: key.clone(), ..Range::default() });
    let txn = Txn { compare: vec![is_new], success: vec![put], failure: vec![get] };
    let response = ask(cli, order, client, &Operation::Txn(txn))?;
    match &response.result {
        Ok(Answered::Txn { succeeded: true, .. }) => Ok(response.revision),
        Ok(Answered::Txn { results, .. }) => {
            let created = results.first().and_then(|result| match result {
                crate::message::etcd::ChangeResult::Range(range) => range.pairs.first(),
                _ => None,
            });
            Ok(created.map_or(0, |pair| pair.create_revision))
        }
        _ => fail(exit::ERROR, "session expired"),
    }
}

/// Whoever is told to stop takes his own key back, so that the next has his turn at once. The lease is left to run out.
fn take_back(cli: &mut Cli, client: &Client, key: &Text, words: &'static str, status: i32) {
    let Some(address) = client.open_addresses(cli).next() else { return };
    let delete = Change::Delete { key: key.clone(), range_end: Text::new() };
    let operation = Operation::Txn(Txn { success: vec![delete], ..Txn::default() });
    cli.set_will(Will { call: EtcdCall { address, operation }, words, status });
}

/// What a turn of a loop led to: the loop may stop for good.
type Turn<S> = Run<ControlFlow<(S, Option<(i32, String)>), (S, Option<(i32, String)>)>>;

/// Turns a failure within a loop into its end.
fn turn<S>(result: Outcome<ControlFlow<S, S>>, before: S) -> Turn<S> {
    match result {
        Ok(ControlFlow::Continue(state)) => Ok(ControlFlow::Continue((state, None))),
        Ok(ControlFlow::Break(state)) => Ok(ControlFlow::Break((state, None))),
        Err(Stop::Halt(halt)) => Err(halt),
        Err(Stop::Failure { code, text }) => Ok(ControlFlow::Break((before, Some((code, text))))),
    }
}
fn end<S>((state, failure): (S, Option<(i32, String)>)) -> Outcome<S> {
    match failure {
        Some((code, text)) => fail(code, text),
        None => Ok(state),
    }
}

/// Waits until all keys under `prefix` that are older than `revision` are gone.
fn wait_for_turn(
    cli: &mut Cli,
    order: &Order,
    client: &Client,
    prefix: &str,
    revision: u64,
    session: Session,
) -> Outcome<Session> {
    let whole = cli.fold((session, None), |cli, (mut session, _)| {
        let mut step = || -> Outcome<ControlFlow<Session, Session>> {
            let range = first_under(prefix, true, revision - 1);
            let response = ask(cli, order, client, &Operation::Range(range))?;
            let Some(before) = pairs(&response).and_then(|result| result.pairs.first()).cloned() else {
                return Ok(ControlFlow::Break(session));
            };
            wait_for_end(cli, client, &before.key, response.revision + 1, &mut session)?;
            Ok(ControlFlow::Continue(session))
        };
        let result = step();
        turn(result, session)
    })?;
    end(whole)
}

/// Watches one key until it is deleted, or until the lease is to be renewed.
fn wait_for_end(cli: &mut Cli, client: &Client, key: &Text, from: u64, session: &mut Session) -> Outcome {
    let operation = Operation::Watch {
        key: key.clone(),
        range_end: Text::new(),
        start_revision: from,
        previous: false,
        progress: false,
    };
    let Some((ticket, _)) = client.watch(cli, &operation, session.renewal)? else { return Ok(()) };
    loop {
        match cli.next_etcd(ticket, Some(session.renewal))? {
            // After each renewal it is looked anew who is before, so that a member that died is noticed.
            None => {
                cli.close_etcd(ticket);
                return match renew(cli, client, session)? {
                    true => Ok(()),
                    false => fail(exit::ERROR, "session expired"),
                };
            }
            Some(EtcdAnswer::Watch(response)) => {
                if response.compact_revision > 0
                    || response.events.iter().any(|event| event.current.is_none())
                {
                    cli.close_etcd(ticket);
                    return Ok(());
                }
            }
            Some(EtcdAnswer::Response(response)) if response.result.is_err() => {
                cli.close_etcd(ticket);
                cli.sleep(Duration::from_secs(1))?;
                return Ok(());
            }
            Some(EtcdAnswer::Response(_)) => {}
        }
    }
}

/// Keeps the lease alive until it is lost.
fn hold(cli: &mut Cli, client: &Client, session: Session) -> Outcome {
    let whole = cli.fold((session, None), |cli, (mut session, _)| {
        let mut step = || -> Outcome<ControlFlow<Session, Session>> {
            let now = cli.now();
            cli.sleep(session.renewal.since(now))?;
            let is_alive = renew(cli, client, &mut session)?;
            Ok(if is_alive { ControlFlow::Continue(session) } else { ControlFlow::Break(session) })
        };
        let result = step();
        turn(result, session)
    })?;
    end(whole).map(|_| ())
}

fn show(cli: &mut Cli, order: &Order, client: &Client, key: &Text) -> Outcome<bool> {
    let range = Range { key: key.clone(), ..Range::default() };
    let response = ask(cli, order, client, &Operation::Range(range))?;
    let Some(result) = pairs(&response).filter(|result| !result.pairs.is_empty()) else { return Ok(false) };
    print::get(cli, order, &response, result)?;
    Ok(true)
}

pub fn lock(cli: &mut Cli, order: &Order) -> Outcome {
    let Some(name) = order.operands.first().cloned() else {
        return fail(exit::BAD_ARGS, "lock takes a lock name argument and an optional command to execute");
    };
    if order.operands.len() > 1 {
        let words = crate::fidelity::message("etcdctl", "lock NAME COMMAND").unwrap_or_default();
        return fail(exit::BAD_FEATURE, words);
    }
    let (order, client) = connect(cli, order)?;
    let ttl = u64::try_from(order.flags.number("ttl")).unwrap_or(0);
    let session = open_session(cli, &order, &client, if ttl == 0 { SESSION_SECONDS } else { ttl })?;
    let prefix = format!("{name}/");
    let key = Text::from(format!("{prefix}{:x}", session.lease));
    let revision = enter(cli, &order, &client, &key, "", session.lease)?;
    take_back(cli, &client, &key, "Error: context canceled\n", exit::ERROR);
    let session = wait_for_turn(cli, &order, &client, &prefix, revision, session)?;
    take_back(cli, &client, &key, "", 0);
    if !show(cli, &order, &client, &key)? {
        return fail(exit::ERROR, "lock lost on init");
    }
    hold(cli, &client, session)?;
    fail(exit::ERROR, "session expired")
}

pub fn elect(cli: &mut Cli, order: &Order) -> Outcome {
    let listens = order.flags.switch("listen");
    let (name, proposal) = match order.operands.as_slice() {
        [name] if listens => (name.clone(), None),
        [_] => return fail(exit::BAD_ARGS, "no proposal argument but -l not set"),
        [_, _] if listens => return fail(exit::BAD_ARGS, "proposal given but -l is set"),
        [name, proposal] => (name.clone(), Some(proposal.clone())),
        _ => {
            let words = "elect takes one election name argument and an optional proposal argument";
            return fail(exit::BAD_ARGS, words);
        }
    };
    let (order, client) = connect(cli, order)?;
    let session = open_session(cli, &order, &client, SESSION_SECONDS)?;
    let prefix = format!("{name}/");
    let Some(proposal) = proposal else { return observe(cli, &order, &client, &prefix, session) };
    let key = Text::from(format!("{prefix}{:x}", session.lease));
    let revision = enter(cli, &order, &client, &key, &proposal, session.lease)?;
    take_back(cli, &client, &key, "Error: context canceled\n", exit::ERROR);
    let session = wait_for_turn(cli, &order, &client, &prefix, revision, session)?;
    take_back(cli, &client, &key, "", 0);
    show(cli, &order, &client, &key)?;
    hold(cli, &client, session)?;
    fail(exit::ERROR, "elect: session expired")
}

/// Tells who leads, and each time that another does or says something else.
fn observe(cli: &mut Cli, order: &Order, client: &Client, prefix: &str, session: Session) -> Outcome {
    // The pair that was told last.
    let start = (session, 0u64);
    let whole = cli.fold((start, None), |cli, ((mut session, mut told), _)| {
        let mut step = || -> Outcome<ControlFlow<(Session, u64), (Session, u64)>> {
            let range = first_under(prefix, false, 0);
            let response = ask(cli, order, client, &Operation::Range(range))?;
            let leader = pairs(&response).and_then(|result| result.pairs.first()).cloned();
            if let (Some(leader), Some(result)) = (&leader, pairs(&response))
                && leader.mod_revision != told
            {
                told = leader.mod_revision;
                print::get(cli, order, &response, result)?;
            }
            wait_for_change(cli, client, prefix, response.revision + 1, &mut session)?;
            Ok(ControlFlow::Continue((session, told)))
        };
        let result = step();
        turn(result, (session, told))
    })?;
    end(whole).map(|_| ())
}

/// Waits until anything under `prefix` changes, or until the lease is renewed.
fn wait_for_change(
    cli: &mut Cli,
    client: &Client,
    prefix: &str,
    from: u64,
    session: &mut Session,
) -> Outcome {
    let operation = Operation::Watch {
        key: prefix.into(),
        range_end: prefix_end(prefix).into(),
        start_revision: from,
        previous: false,
        progress: false,
    };
    let Some((ticket, _)) = client.watch(cli, &operation, session.renewal)? else { return Ok(()) };
    loop {
        match cli.next_etcd(ticket, Some(session.renewal))? {
            None => {
                cli.close_etcd(ticket);
                renew(cli, client, session)?;
                return Ok(());
            }
            Some(EtcdAnswer::Watch(_)) => {
                cli.close_etcd(ticket);
                return Ok(());
            }
            Some(EtcdAnswer::Response(response)) if response.result.is_err() => {
                cli.close_etcd(ticket);
                cli.sleep(Duration::from_secs(1))?;
                return Ok(());
            }
            Some(EtcdAnswer::Response(_)) => {}
        }
    }
}
