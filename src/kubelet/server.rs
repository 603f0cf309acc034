//! The kubelet's own server, which the API server asks for logs and commands (port 10250).
//!
//! Picture to hold in mind: a side door. Visitors of the office who want to look into a building are led through
//! it.
//!
//! Requests come as they came to the API server: `pods/log` and `pods/exec` with their parameters. The answer to
//! `log` is a string; to `exec` an object with `stdout`, `stderr` and `exitCode`, or with `stream` while the command goes
//! on: with that as a parameter the next piece is asked for, and with `feed` too it is given more to read. `pods/portforward` connects to one
//! `port` of the pod's own loopback and asks for a `path`, if there is one: an object with the HTTP `status` (0: a bare
//! connection) and `body`; `pods/proxy` does the same and is answered as the pod answers. Follows
//! `pkg/kubelet/server/server.go`.

use std::sync::Arc;

use crate::api::{Text, Value, time};
use crate::arrange::Arrange;
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{Call, ContainerState, ContainerStatus, DialRequest, Reply};
use crate::message::rest::{Request, Response};
use crate::object;
use crate::sim::{ActorId, Duration, Time};

use super::{CallPurpose, State};

fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.options.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn respond(client: ActorId, id: u64, code: u16, body: Value, context: &mut Context) {
    let response = Response { id, code, body, warnings: Vec::new(), retry_after_seconds: None };
    context.send(client, Message::Response(Arc::new(response)));
}

fn refuse(client: ActorId, id: u64, code: u16, reason: &str, message: String, context: &mut Context) {
    let body = object! {
        "kind" => "Status", "apiVersion" => "v1", "metadata" => Value::object(), "status" => "Failure",
        "message" => message, "reason" => reason, "code" => code,
    };
    respond(client, id, code, body, context);
}

impl State {
    pub(super) fn serve(&mut self, client: ActorId, request: &Request, context: &mut Context) {
        let worker = self
            .workers
            .values()
            .find(|worker| worker.name() == request.name && worker.namespace() == request.namespace);
        let Some(worker) = worker.cloned() else {
            let message = format!("pod {}/{} not found", request.namespace, request.name);
            return refuse(client, request.id, 404, "NotFound", message, context);
        };
        let first =
            worker.pod.items("spec.containers").first().map(|c| c.shared_text("name")).unwrap_or_default();
        let name = parameter(request, "container").map_or(first, Text::from);
        let pod = &request.name;
        let mut of_name: Vec<&ContainerStatus> =
            worker.containers().filter(|status| status.name == name).collect();
        of_name.arrange_by_key(|status| std::cmp::Reverse(status.created_at));
        if request.subresource == "log" {
            let wants_previous = parameter(request, "previous") == Some("true");
            let found = of_name
                .get(usize::from(wants_previous))
                .filter(|status| status.state != ContainerState::Created);
            let Some(status) = found else {
                let message = if wants_previous {
                    format!("previous terminated container \"{name}\" in pod \"{pod}\" not found")
                } else {
                    let reason = worker.reasons.get(&name).map_or_else(
                        || {
                            if worker.pod.items("spec.initContainers").is_empty() {
                                "ContainerCreating"
                            } else {
                                "PodInitializing"
                            }
                        },
                        |(reason, _)| reason.as_str(),
                    );
                    match reason {
                        "ErrImagePull" => format!(
                            "container \"{name}\" in pod \"{pod}\" is waiting to start: image can't be pulled"
                        ),
                        "ImagePullBackOff" => format!(
                            "container \"{name}\" in pod \"{pod}\" is waiting to start: trying and failing to pull image"
                        ),
                        reason => {
                            format!("container \"{name}\" in pod \"{pod}\" is waiting to start: {reason}")
                        }
                    }
                };
                return refuse(client, request.id, 400, "BadRequest", message, context);
            };
            let tail = parameter(request, "tailLines").and_then(|lines| lines.parse().ok());
            let view = LogView::of(request, context.now());
            let purpose = CallPurpose::Logs { client, id: request.id, view };
            self.call(Call::ContainerLogs { container: status.id.clone(), tail }, purpose, context);
            return;
        }
        if matches!(request.subresource.as_str(), "portforward" | "proxy") {
            let path = parameter(request, "path").map(Text::from);
            let call = Call::Dial {
                sandbox: worker.sandboxes.first().map(|sandbox| sandbox.id.clone()).unwrap_or_default(),
                port: parameter(request, "port").and_then(|port| port.parse().ok()).unwrap_or(0),
                request: path.map_or(DialRequest::TcpSocket, |path| DialRequest::HttpGet { path }),
                timeout_seconds: 30,
            };
            let is_proxy = request.subresource == "proxy";
            self.call(call, CallPurpose::Dial { client, id: request.id, is_proxy }, context);
            return;
        }
        let running = of_name.first().filter(|status| matches!(status.state, ContainerState::Running { .. }));
        let Some(status) = running else {
            let message = format!("container not found (\"{name}\")");
            return refuse(client, request.id, 500, "InternalError", message, context);
        };
        let command: Vec<Text> = request
            .options
            .parameters
            .iter()
            .filter(|(key, _)| key == "command")
            .map(|(_, word)| word.clone())
            .collect();
        let text = |name: &str| parameter(request, name).map(Text::from);
        let container = status.id.clone();
        let input = text("input").unwrap_or_default();
        let is_set = |name: &str| parameter(request, name) == Some("true");
        // Who does not say that more will come has said all.
        let is_input_over = !is_set("stdinOpen");
        let stream = parameter(request, "stream").and_then(|stream| stream.parse().ok());
        let call = match (stream, text("shell"), text("line")) {
            (Some(stream), ..) if is_set("feed") => {
                let is_interrupted = is_set("interrupt");
                Call::ExecInput { container, stream, input, is_input_over, is_interrupted }
            }
            (Some(stream), ..) => Call::ExecMore { container, stream },
            (None, Some(shell), Some(line)) => {
                Call::ExecLine { container, shell, line, is_input_over, tty: is_set("tty") }
            }
            _ if request.subresource == "attach" => {
                // Who only listens closes nothing.
                let is_input_over = is_input_over && text("input").is_some();
                Call::Attach { container, input, is_input_over, line: text("line") }
            }
            _ => Call::Exec { container, command, input, is_input_over, tty: is_set("tty") },
        };
        self.call(call, CallPurpose::Exec { client, id: request.id }, context);
    }
}

/// What of a log is wanted, and how: `PodLogOptions`.
#[derive(Clone, Debug)]
pub(super) struct LogView {
    with_times: bool,
    /// Lines before this are left out.
    since: Time,
    limit_bytes: usize,
}

impl LogView {
    fn of(request: &Request, now: Time) -> LogView {
        let number = |name: &str| parameter(request, name).and_then(|text| text.parse::<u64>().ok());
        let since = match (number("sinceSeconds"), parameter(request, "sinceTime")) {
            (Some(seconds), _) => {
                Time(now.0.saturating_sub(Duration::from_secs(1).saturating_mul(seconds).0))
            }
            (None, Some(text)) => {
                time::parse_rfc3339(text).and_then(time::from_unix_us).unwrap_or(Time::ZERO)
            }
            (None, None) => Time::ZERO,
        };
        let limit = number("limitBytes").and_then(|bytes| usize::try_from(bytes).ok());
        LogView {
            with_times: parameter(request, "timestamps") == Some("true"),
            since,
            limit_bytes: limit.unwrap_or(usize::MAX),
        }
    }
}

pub(super) fn logs_read(
    client: ActorId,
    id: u64,
    view: &LogView,
    result: Result<Reply, Text>,
    context: &mut Context,
) {
    match result {
        Ok(Reply::Logs(lines)) => {
            let mut text = String::new();
            for (at, line) in lines.into_iter().filter(|(at, _)| *at >= view.since) {
                if view.with_times {
                    // Nanoseconds, as the engine writes them.
                    text.push_str(time::micro_time(at).trim_end_matches('Z'));
                    text.push_str("000Z ");
                }
                text.push_str(&line);
                text.push('\n');
                if text.len() >= view.limit_bytes {
                    break;
                }
            }
            text.truncate(text.floor_char_boundary(view.limit_bytes));
            respond(client, id, 200, Value::from(text), context);
        }
        Ok(_) => respond(client, id, 200, Value::from(""), context),
        Err(error) => refuse(client, id, 500, "InternalError", error.to_string(), context),
    }
}

pub(super) fn executed(client: ActorId, id: u64, result: Result<Reply, Text>, context: &mut Context) {
    match result {
        Ok(Reply::Exec { exit_code, stdout, stderr, leaves, stream, unread }) => {
            let mut body = object! { "stdout" => stdout, "stderr" => stderr };
            match stream {
                Some(stream) => body.set("stream", stream),
                None => body.set("exitCode", exit_code),
            };
            if !unread.is_empty() {
                body.set("unread", unread);
            }
            if leaves {
                body.set("leaves", true);
            }
            respond(client, id, 200, body, context);
        }
        Ok(_) => respond(client, id, 200, Value::object(), context),
        Err(error) => {
            let message = format!("Internal error occurred: error executing command in container: {error}");
            refuse(client, id, 500, "InternalError", message, context);
        }
    }
}

/// What a port of a pod has answered.
pub(super) fn dialed(
    client: ActorId,
    id: u64,
    is_proxy: bool,
    result: Result<Reply, Text>,
    context: &mut Context,
) {
    match result {
        Ok(Reply::Dialed { status, body }) if is_proxy => {
            respond(client, id, status, Value::from(body), context);
        }
        Ok(Reply::Dialed { status, body }) => {
            respond(client, id, 200, object! { "status" => i64::from(status), "body" => body }, context);
        }
        Ok(_) => respond(client, id, 200, Value::object(), context),
        Err(error) => refuse(client, id, 503, "ServiceUnavailable", error.to_string(), context),
    }
}
