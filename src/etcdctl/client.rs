//! Calls: to whom, how long is waited, and what is written down of those that fail (`client/v3`).
//!
//! Picture to hold in mind: a caller with a list of numbers and a watch in his hand. A number that nobody answers is
//! tried again; when the time is up he notes why and gives up.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::flags::with_environment;
use super::print::FORMATS;
use super::tls::Security;
use super::{Order, Outcome, Version, exit, fail, json};
use crate::api::time;
use crate::arrange::Gather;
use crate::client::EtcdAnswer;
use crate::client::etcd::is_own;
use crate::message::etcd::{Error, Operation, Response};
use crate::shell::program::{EtcdCall, EtcdReply};
use crate::shell::{Cli, Run};
use crate::sim::{Duration, Time};

/// Between two tries to connect (gRPC's first back-off).
const REDIAL: Duration = Duration::from_secs(1);

/// A client, ready to call.
#[derive(Clone)]
pub struct Client {
    pub endpoints: Vec<String>,
    security: Security,
    /// `client` or `etcd-client`: what the log calls it.
    pub logger: &'static str,
}

/// What came of a call, and how long that took.
pub type Asked = (Result<Arc<Response>, Failed>, Duration);

/// Why a call failed.
#[derive(Clone, Debug)]
pub enum Failed {
    Server(Error),
    /// Nothing came in time.
    Deadline,
    /// No connection, and why.
    Connection(String),
    /// No machine answers there.
    Unreachable,
}

impl Failed {
    /// As gRPC says it.
    fn rpc(&self, order: &Order) -> String {
        let (code, words) = match (self, order.version) {
            (Failed::Server(error), _) => (code(error), error.to_string()),
            (Failed::Deadline, _) => ("DeadlineExceeded", "context deadline exceeded".into()),
            (Failed::Connection(_), Version::V3_4) => (
                "DeadlineExceeded",
                "latest balancer error: all SubConns are in TransientFailure".to_string(),
            ),
            (Failed::Connection(why), Version::V3_6) => (
                "DeadlineExceeded",
                format!("latest balancer error: connection error: desc = {}", json::quote(why)),
            ),
            (Failed::Unreachable, Version::V3_4) => ("DeadlineExceeded", "context deadline exceeded".into()),
            (Failed::Unreachable, Version::V3_6) => (
                "DeadlineExceeded",
                "context deadline exceeded while waiting for connections to become ready".into(),
            ),
        };
        format!("rpc error: code = {code} desc = {words}")
    }
    /// As the command says it.
    pub fn text(&self) -> String {
        match self {
            Failed::Server(error) => error.to_string(),
            _ => "context deadline exceeded".into(),
        }
    }
}

/// The gRPC code of etcd's errors (`api/v3rpc/rpctypes/error.go`).
fn code(error: &Error) -> &'static str {
    match error {
        Error::Compacted { .. } | Error::FutureRevision => "OutOfRange",
        Error::LeaseNotFound | Error::MemberNotFound => "NotFound",
        Error::KeyNotFound | Error::DuplicateKey => "InvalidArgument",
        Error::TooManyRequests | Error::NoSpace => "ResourceExhausted",
        Error::Corrupt => "DataLoss",
        Error::NoLeader | Error::TimedOut | Error::TimedOutLeaderFailure | Error::Unavailable => {
            "Unavailable"
        }
        Error::LeaseExists
        | Error::NotLeader
        | Error::LearnerNotReady
        | Error::NotSupportedForLearner
        | Error::Other(_) => "FailedPrecondition",
    }
}

/// Reads the environment, the papers and the output format.
pub fn connect(cli: &mut Cli, order: &Order) -> Outcome<(Order, Client)> {
    let order = with_environment(cli, order)?;
    let security = Security::read(cli, &order)?;
    if !FORMATS.contains(&order.flags.text("write-out")) {
        return fail(exit::BAD_FEATURE, "unsupported output format");
    }
    let endpoints = order.flags.list("endpoints");
    if endpoints.is_empty() {
        return fail(exit::BAD_CONNECTION, "at least one Endpoint is required in client config");
    }
    Ok((order, Client { endpoints, security, logger: "etcd-client" }))
}

/// `https://127.0.0.1:2379` without what is before and behind the address.
pub fn address(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or("")
}

/// When a short command gives up.
pub fn deadline(cli: &mut Cli, order: &Order) -> Time {
    cli.now() + order.flags.duration("command-timeout")
}

impl Client {
    /// The same client with other endpoints.
    pub fn of(&self, endpoint: &str) -> Client {
        Client { endpoints: vec![endpoint.into()], ..self.clone() }
    }
    /// Why there is no connection to `endpoint`, as far as that is known before one calls.
    fn refusal(&self, cli: &Cli, endpoint: &str) -> Option<Failed> {
        let address = address(endpoint);
        match cli.etcd_listener(address) {
            Some(listener) => self.security.refusal(endpoint, &listener).map(Failed::Connection),
            None if is_own(address) => Some(Failed::Connection(refused(address))),
            None => Some(Failed::Unreachable),
        }
    }
    /// Where there is somebody to connect to, as far as that is known before one calls.
    pub fn open_addresses<'a>(&'a self, cli: &'a Cli) -> impl Iterator<Item = String> + 'a {
        let open = self.endpoints.iter().filter(|endpoint| self.refusal(cli, endpoint).is_none());
        open.map(|endpoint| address(endpoint).to_string())
    }
    /// Asks one member after the other until one answers; those that refuse are tried again until `deadline`. What
    /// fails is not logged, as with streams.
    pub fn try_call(
        &self,
        cli: &mut Cli,
        operation: &Operation,
        deadline: Option<Time>,
    ) -> Run<Result<Arc<Response>, Failed>> {
        let result = cli.fold(None, |cli, _: Option<Result<Arc<Response>, Failed>>| {
            let mut last = Failed::Unreachable;
            for endpoint in &self.endpoints {
                if let Some(why) = self.refusal(cli, endpoint) {
                    last = why;
                    continue;
                }
                let address = address(endpoint).to_string();
                let call = EtcdCall { address: address.clone(), operation: operation.clone() };
                let reply = cli.call_all(vec![call], deadline)?.pop();
                match reply.and_then(|reply| reply.response) {
                    None => return Ok(ControlFlow::Break(Some(Err(Failed::Deadline)))),
                    Some(response) => match &response.result {
                        Err(Error::Unavailable) => last = Failed::Connection(refused(&address)),
                        Err(error) => {
                            return Ok(ControlFlow::Break(Some(Err(Failed::Server(error.clone())))));
                        }
                        Ok(_) => return Ok(ControlFlow::Break(Some(Ok(response)))),
                    },
                }
            }
            let now = cli.now();
            match deadline.filter(|deadline| *deadline <= now + REDIAL) {
                Some(deadline) => {
                    cli.sleep(deadline.since(now))?;
                    Ok(ControlFlow::Break(Some(Err(last))))
                }
                None => {
                    cli.sleep(REDIAL)?;
                    Ok(ControlFlow::Continue(None))
                }
            }
        })?;
        Ok(result.unwrap_or(Err(Failed::Unreachable)))
    }
    /// Opens a watch at the first member that answers, with its answer; `None`: nobody has until `deadline`.
    pub fn watch(
        &self,
        cli: &mut Cli,
        operation: &Operation,
        deadline: Time,
    ) -> Run<Option<(u64, Arc<Response>)>> {
        for endpoint in &self.endpoints {
            if self.refusal(cli, endpoint).is_some() {
                continue;
            }
            let address = address(endpoint).to_string();
            let ticket = cli.open_etcd(EtcdCall { address, operation: operation.clone() });
            let limit = deadline.min(cli.now() + REDIAL);
            match cli.next_etcd(ticket, Some(limit))? {
                Some(EtcdAnswer::Response(response))
                    if !matches!(response.result, Err(Error::Unavailable)) =>
                {
                    return Ok(Some((ticket, response)));
                }
                _ => cli.close_etcd(ticket),
            }
        }
        cli.sleep(REDIAL)?;
        Ok(None)
    }
    /// A call whose failure is the caller's to judge; it is logged.
    pub fn attempt(
        &self,
        cli: &mut Cli,
        order: &Order,
        method: &str,
        operation: &Operation,
        deadline: Option<Time>,
    ) -> Outcome<Result<Arc<Response>, Failed>> {
        let result = self.try_call(cli, operation, deadline)?;
        if let Err(failed) = &result {
            self.log_failure(cli, order, method, &words(order, operation, failed).0);
        }
        Ok(result)
    }
    /// A call whose failure ends the command.
    pub fn call(
        &self,
        cli: &mut Cli,
        order: &Order,
        method: &str,
        operation: &Operation,
        deadline: Option<Time>,
    ) -> Outcome<Arc<Response>> {
        match self.attempt(cli, order, method, operation, deadline)? {
            Ok(response) => Ok(response),
            Err(failed) => fail(exit::ERROR, words(order, operation, &failed).1),
        }
    }

    /// Asks all endpoints at once.
    pub fn call_each(&self, cli: &mut Cli, operation: &Operation, deadline: Time) -> Outcome<Vec<Asked>> {
        let began = cli.now();
        let refusals: Vec<Option<Failed>> =
            self.endpoints.iter().map(|endpoint| self.refusal(cli, endpoint)).collect();
        let calls = self
            .endpoints
            .iter()
            .zip(&refusals)
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(endpoint, _)| EtcdCall {
                address: address(endpoint).to_string(),
                operation: operation.clone(),
            })
            .gather();
        let mut replies = cli.call_all(calls, Some(deadline))?.into_iter();
        let whole = deadline.since(began);
        let results: Vec<Asked> = self
            .endpoints
            .iter()
            .zip(refusals)
            .map(|(endpoint, refusal)| {
                if let Some(refusal) = refusal {
                    return (Err(refusal), whole);
                }
                match replies.next() {
                    Some(EtcdReply { response: Some(response), took }) => match &response.result {
                        Ok(_) => (Ok(response), took),
                        // It is dialled again until the time is up.
                        Err(Error::Unavailable) => {
                            (Err(Failed::Connection(refused(address(endpoint)))), whole)
                        }
                        Err(error) => (Err(Failed::Server(error.clone())), took),
                    },
                    _ => (Err(Failed::Deadline), whole),
                }
            })
            .collect();
        if results.iter().any(|(_, took)| *took == whole) {
            let now = cli.now();
            cli.sleep(deadline.since(now))?;
        }
        Ok(results)
    }

    pub fn log_failure(&self, cli: &mut Cli, order: &Order, method: &str, error: &str) {
        let first = self.endpoints.first().map_or("", |endpoint| address(endpoint));
        let words = "retrying of unary invoker failed";
        let attempt = ("attempt", "0".to_string());
        let error = ("error", json::text(error));
        if order.version == Version::V3_4 {
            let target = ("target", json::text(&format!("endpoint://client-{}/{first}", cli.uuid())));
            let at = "clientv3/retry_interceptor.go:62";
            log(cli, order, "warn", "", at, words, &[target, attempt, error]);
        } else {
            let pointer = 0xc000_000000 + cli.draw() % 0x80_0000 / 0x1000 * 0x1000;
            let target = ("target", json::text(&format!("etcd-endpoints://{pointer:#x}/{first}")));
            let method = ("method", json::text(&format!("/etcdserverpb.{method}")));
            let at = "v3@v3.6.8/retry_interceptor.go:65";
            log(cli, order, "warn", self.logger, at, words, &[target, method, attempt, error]);
        }
    }
    /// What gRPC says of a failure: for the log.
    pub fn rpc_words(order: &Order, failed: &Failed) -> String {
        failed.rpc(order)
    }
}

/// What a failure is called in the log and on the last line. When a deadline passes, 3.4's server notices before its
/// client does, and hands its own error through.
fn words(order: &Order, operation: &Operation, failed: &Failed) -> (String, String) {
    let is_read_timeout = matches!(failed, Failed::Server(Error::TimedOut))
        && matches!(operation, Operation::Auth(request) if request.is_read());
    if order.version == Version::V3_4 && (matches!(failed, Failed::Deadline) || is_read_timeout) {
        let words = "rpc error: code = Unknown desc = context deadline exceeded".to_string();
        return (words.clone(), words);
    }
    (failed.rpc(order), failed.text())
}

fn refused(address: &str) -> String {
    format!("transport: Error while dialing: dial tcp {address}: connect: connection refused")
}

/// Writes a line of zap's JSON to the standard error. 3.4 has milliseconds, 3.6 microseconds.
pub fn log(
    cli: &mut Cli,
    order: &Order,
    level: &'static str,
    logger: &str,
    caller: &str,
    words: &str,
    fields: &[(&'static str, String)],
) {
    let now = cli.now();
    let whole = time::micro_time(now);
    let at = if order.version == Version::V3_4 { format!("{}Z", &whole[..23]) } else { whole.to_string() };
    let mut all = vec![
        ("level", Some(json::text(level))),
        ("ts", Some(json::text(&at))),
        ("logger", json::string(logger)),
        ("caller", Some(json::text(caller))),
        ("msg", Some(json::text(words))),
    ];
    all.extend(fields.iter().map(|(name, value)| (*name, Some(value.clone()))));
    cli.eprintln(json::object(all));
}
