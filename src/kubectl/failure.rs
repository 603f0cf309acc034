//! What can go wrong in a command, and in which words the user learns of it.
//!
//! Picture to hold in mind: a clerk who reads out the server's letter: the reason first, then the text, and for
//! an invalid form each line that is wrong.
//!
//! Follows `checkErr`, `StandardErrorMessage` and `AddSourceToErr` in `k8s.io/kubectl/pkg/cmd/util/helpers.go`.

use crate::api::{Text, Value};
use crate::message::rest::CloseReason;
use crate::object;
use crate::shell::Halt;

#[derive(Clone, Debug)]
pub enum Failure {
    /// The server's `Status`.
    Status(Value),
    /// Printed behind `error: `.
    Message(String),
    /// Printed as it is.
    Exact(String),
    /// Bad usage of flags: with the hint at `--help`.
    Usage(String, String),
    /// The connection to the API server at that `host:port`.
    Connection(CloseReason, Text),
    /// Several, one a line.
    Many(Vec<Failure>),
    /// Everything has been said; only the exit code is left.
    Silent(i32),
}

/// Why a command stopped before its end.
#[derive(Clone, Debug)]
pub enum Stop {
    Halt(Halt),
    Failure(Failure),
}

pub type Outcome<T = ()> = Result<T, Stop>;

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Stop {
        Stop::Halt(halt)
    }
}
impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// Fails with a message behind `error: `.
pub fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Failure::Message(message.into()).into())
}

/// Fails with a message and the hint at `-h` (`UsageErrorf`).
pub fn misused<T>(command: &str, message: &str) -> Outcome<T> {
    let text = ["error: ", message, "\nSee '", command, " -h' for help and examples"].concat();
    Err(Failure::Exact(text).into())
}

/// The address that messages name; nothing listens there but the simulation.
pub const SERVER: &str = "https://192.168.56.10:6443";
pub const HOST: &str = "192.168.56.10:6443";

impl Failure {
    pub fn many(mut failures: Vec<Failure>) -> Result<(), Failure> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Failure::Many(failures)),
        }
    }
    /// What the server says of an object that is not there; `resource` as `deployments.apps`.
    pub fn not_found(resource: &str, name: &str) -> Failure {
        let message = format!("{resource} {name:?} not found");
        Failure::Status(object! { "reason" => "NotFound", "message" => message })
    }
    pub fn reason(&self) -> &str {
        match self {
            Failure::Status(status) => status.text("reason"),
            _ => "",
        }
    }
    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }
    /// As Go prints the error by itself.
    pub fn text(&self) -> String {
        match self {
            Failure::Status(status) => status.text("message").to_string(),
            Failure::Message(text) | Failure::Exact(text) | Failure::Usage(text, _) => text.clone(),
            Failure::Connection(why, server) => connection_text(*why, server),
            Failure::Many(all) => {
                let texts: Vec<String> = all.iter().map(Failure::text).collect();
                format!("[{}]", texts.join(", "))
            }
            Failure::Silent(_) => String::new(),
        }
    }
    /// Says which file an error is about: `error when creating "pod.yaml": ...`.
    #[must_use]
    pub fn with_source(self, verb: &str, source: &str) -> Failure {
        let place = if source.is_empty() {
            return self.with_prefix(&format!("error when {verb}: "));
        } else {
            format!("error when {verb} {source:?}: ")
        };
        self.with_prefix(&place)
    }
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Failure {
        match self {
            Failure::Status(mut status) => {
                let message = format!("{prefix}{}", status.text("message"));
                status.set("message", message);
                Failure::Status(status)
            }
            Failure::Message(text) => Failure::Message(format!("{prefix}{text}")),
            Failure::Connection(..) => self,
            other => Failure::Message(format!("{prefix}{}", other.text())),
        }
    }

    /// What stands on the standard error, its last line's end included.
    pub fn report(&self) -> String {
        let text = match self {
            Failure::Silent(_) => return String::new(),
            Failure::Usage(text, command) => format!("error: {text}\nSee '{command} --help' for usage."),
            Failure::Many(all) if all.len() == 1 => return all[0].report(),
            Failure::Many(all) => all.iter().map(|failure| line(failure.among_others())).collect(),
            other => other.one(),
        };
        line(text)
    }
    pub fn exit_code(&self) -> i32 {
        match self {
            Failure::Silent(code) => *code,
            _ => 1,
        }
    }
    /// One of several: neither `error: ` before it, nor an invalid form's lines apart (`messageForError`).
    fn among_others(&self) -> String {
        match self {
            Failure::Status(status) => status_text(status),
            Failure::Connection(..) => self.one(),
            other => other.text(),
        }
    }
    fn one(&self) -> String {
        match self {
            Failure::Status(status) if status.text("reason") == "Invalid" => invalid_text(status),
            Failure::Status(status) => status_text(status),
            Failure::Message(text) if text.starts_with("error: ") => text.clone(),
            Failure::Message(text) => format!("error: {text}"),
            Failure::Connection(CloseReason::Refused, server) => {
                format!(
                    "The connection to the server {server} was refused - did you specify the right host or port?"
                )
            }
            Failure::Connection(why, server) => {
                format!("Unable to connect to the server: {}", connection_text(*why, server))
            }
            Failure::Exact(text) => text.clone(),
            Failure::Usage(text, _) => format!("error: {text}"),
            Failure::Many(_) | Failure::Silent(_) => self.text(),
        }
    }
}

fn line(text: String) -> String {
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

fn connection_text(why: CloseReason, server: &str) -> String {
    match why {
        CloseReason::Refused => format!("dial tcp {server}: connect: connection refused"),
        CloseReason::TimedOut => format!("dial tcp {server}: i/o timeout"),
        CloseReason::Cancelled => {
            "net/http: request canceled (Client.Timeout exceeded while awaiting headers)".into()
        }
        CloseReason::Reset => "unexpected EOF".into(),
    }
}

fn status_text(status: &Value) -> String {
    let (reason, message) = (status.text("reason"), status.text("message"));
    match reason {
        "Unauthorized" => format!("error: You must be logged in to the server ({message})"),
        "" => format!("Error from server: {message}"),
        reason => format!("Error from server ({reason}): {message}"),
    }
}

fn invalid_text(status: &Value) -> String {
    let message = status.text("message");
    if !status.has("details") {
        return if message.is_empty() {
            "The request is invalid".into()
        } else {
            format!("The request is invalid: {message}")
        };
    }
    let (kind, name) = (status.text("details.kind"), status.text("details.name"));
    let mut text = "The request is invalid".to_string();
    let mut causes: Vec<String> = Vec::new();
    for cause in status.items("details.causes") {
        let cause = format!("{}: {}", cause.text("field"), cause.text("message"));
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    if !kind.is_empty() || !name.is_empty() {
        text = format!("The {kind} {name:?} is invalid");
    } else if !message.is_empty() && causes.is_empty() {
        text += &format!(": {message}");
    }
    match causes.as_slice() {
        [] => text,
        [one] => format!("{text}: {one}\n"),
        several => {
            let lines: String = several.iter().map(|cause| format!("* {cause}\n")).collect();
            format!("{text}: \n{lines}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array;

    #[test]
    fn failures_read_as_kubectl_prints_them() {
        let not_found = object! { "reason" => "NotFound", "message" => "pods \"x\" not found" };
        let invalid = |causes: Value| {
            object! {
                "reason" => "Invalid", "message" => "Pod \"x\" is invalid: ...",
                "details" => object! { "kind" => "Pod", "name" => "x", "causes" => causes },
            }
        };
        let cause = |field: &str| object! { "field" => field, "message" => "Required value" };
        for (failure, expected) in [
            (Failure::Message("bad".into()), "error: bad\n"),
            (Failure::Status(not_found.clone()), "Error from server (NotFound): pods \"x\" not found\n"),
            (
                Failure::Status(not_found.clone()).with_source("creating", "a.yaml"),
                "Error from server (NotFound): error when creating \"a.yaml\": pods \"x\" not found\n",
            ),
            (
                Failure::Status(invalid(array![cause("spec")])),
                "The Pod \"x\" is invalid: spec: Required value\n",
            ),
            (
                Failure::Status(invalid(array![cause("a"), cause("b"), cause("a")]))
                    .with_source("creating", "f"),
                "The Pod \"x\" is invalid: \n* a: Required value\n* b: Required value\n",
            ),
            (
                Failure::Usage("unknown flag: --unicorn".into(), "kubectl get".into()),
                "error: unknown flag: --unicorn\nSee 'kubectl get --help' for usage.\n",
            ),
            (
                Failure::Many(vec![Failure::Message("a".into()), Failure::Status(not_found)]),
                "a\nError from server (NotFound): pods \"x\" not found\n",
            ),
        ] {
            assert_eq!(failure.report(), expected);
        }
    }
}
