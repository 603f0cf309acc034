//! A log that is followed: read again and again, and only what is new passed on.
//!
//! Picture to hold in mind: a reader who keeps a finger on the last line, and looks first whether the writer is still
//! at the desk.
//!
//! The real kubelet keeps the connection open and watches the file; here the log is read every half second, as the
//! simulated kubectl does it too. `PodLogOptions` are those of `k8s.io/api/core/v1`.

use crate::api::{Text, Value};
use crate::client::request;
use crate::message::rest::{Request, Resource};
use crate::sim::Duration;

/// Between two readings.
pub const PAUSE: Duration = Duration::from_millis(500);

/// Where the reader is.
#[derive(Clone, Debug)]
pub struct Follow {
    /// Reads all of the log, with the time of each line.
    log: Request,
    pod: Request,
    container: Text,
    /// The container that is read: another of the same name writes another log.
    container_id: Text,
    is_running: bool,
    is_asking_log: bool,
    /// Lines that have been passed; `None` before the first reading.
    passed: Option<usize>,
    with_times: bool,
    tail: Option<usize>,
    since: Since,
    bytes_left: usize,
}

#[derive(Clone, Debug)]
enum Since {
    Beginning,
    SecondsAgo(u64),
    Instant(Text),
}

/// What an answer leads to.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Ask the next question at once.
    Ask,
    /// New lines, if there are any; then ask again after a pause.
    Lines(String),
    /// New lines, and the log is over.
    Last(String),
}

impl Follow {
    /// The reading that `request` asks for; `None` if it follows no log.
    pub fn of(request: &Request) -> Option<Follow> {
        let parameters = &request.options.parameters;
        let find = |name: &str| {
            parameters.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
        };
        if request.subresource != "log" || !matches!(find("follow"), "true" | "1") {
            return None;
        }
        let mut log = request.clone();
        let own = ["follow", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes"];
        log.options.parameters.retain(|(name, _)| !own.contains(&name.as_str()));
        log.options.parameters.push(("timestamps".into(), "true".into()));
        let mut pod = request::get(&Resource::new("", "v1", "pods"), &request.namespace, &request.name);
        pod.user = request.user.clone();
        pod.user_agent = request.user_agent.clone();
        pod.options.bearer_token = request.options.bearer_token.clone();
        pod.options.impersonate = request.options.impersonate.clone();
        let since = match (find("sinceSeconds").parse(), find("sinceTime")) {
            (Ok(seconds), _) => Since::SecondsAgo(seconds),
            (_, "") => Since::Beginning,
            (_, time) => Since::Instant(time.into()),
        };
        Some(Follow {
            log,
            pod,
            container: find("container").into(),
            container_id: Text::new(),
            is_running: true,
            is_asking_log: false,
            passed: None,
            with_times: matches!(find("timestamps"), "true" | "1"),
            tail: find("tailLines").parse().ok(),
            since,
            bytes_left: find("limitBytes").parse().unwrap_or(usize::MAX),
        })
    }
    /// The question that is open.
    pub fn question(&self) -> Request {
        if self.is_asking_log { self.log.clone() } else { self.pod.clone() }
    }
    /// Whether anything has been passed on.
    pub fn has_begun(&self) -> bool {
        self.passed.is_some()
    }

    /// An answer that is a success; `now_us` since 1970.
    pub fn answered(&mut self, body: &Value, now_us: i64) -> Next {
        if !self.is_asking_log {
            self.look_at_pod(body);
            self.is_asking_log = true;
            return Next::Ask;
        }
        self.is_asking_log = false;
        let lines = self.new_lines(body.as_str().unwrap_or(""), now_us);
        if self.is_running && self.bytes_left > 0 { Next::Lines(lines) } else { Next::Last(lines) }
    }

    /// Whether the container still runs; asked first, so that what it says last is not missed.
    fn look_at_pod(&mut self, pod: &Value) {
        let mut statuses = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
            .iter()
            .flat_map(|field| pod.at("status").items(field));
        let own = statuses.find(|status| self.container.is_empty() || status.text("name") == self.container);
        let Some(status) = own else { return };
        let id = status.shared_text("containerID");
        if self.container_id.is_empty() {
            self.container_id = id.clone();
        }
        self.is_running = !status.has("state.terminated") && id == self.container_id;
    }

    fn new_lines(&mut self, text: &str, now_us: i64) -> String {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let start = match self.passed {
            Some(passed) => passed.min(lines.len()),
            None => self.tail.map_or(0, |tail| lines.len().saturating_sub(tail)),
        };
        let is_first = self.passed.is_none();
        self.passed = Some(lines.len());
        let since_us = match &self.since {
            Since::Beginning => i64::MIN,
            Since::SecondsAgo(seconds) => {
                now_us.saturating_sub(i64::try_from(*seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
            }
            Since::Instant(text) => crate::api::time::parse_rfc3339(text).unwrap_or(i64::MIN),
        };
        let mut out = String::new();
        for line in &lines[start..] {
            let (time, words) = line.split_once(' ').unwrap_or(("", line));
            let is_old =
                is_first && crate::api::time::parse_rfc3339(time).is_some_and(|time_us| time_us < since_us);
            if !is_old {
                out.push_str(if self.with_times { line } else { words });
            }
        }
        out.truncate(out.floor_char_boundary(self.bytes_left));
        self.bytes_left -= out.len();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn follow(parameters: &[(&str, &str)]) -> Follow {
        let mut request = request::get(&Resource::new("", "v1", "pods"), "default", "web").subresource("log");
        request.options.parameters =
            parameters.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
        Follow::of(&request).unwrap()
    }

    fn pod(id: &str, state: &str) -> Value {
        let status = object! {
            "name" => "web", "containerID" => id, "state" => object! { state => object! { "x" => 1 } },
        };
        object! { "status" => object! { "containerStatuses" => crate::array![status] } }
    }

    #[test]
    fn only_what_is_new_is_passed_on() {
        let first = "2026-01-01T08:00:01.000000000Z one\n2026-01-01T08:00:09.000000000Z two\n";
        let all = format!("{first}2026-01-01T08:00:10.000000000Z three\n");
        let now_us = crate::api::time::parse_rfc3339("2026-01-01T08:00:10Z").unwrap();
        for (parameters, expected) in [
            (&[][..], ["one\ntwo\n", "three\n"]),
            (&[("tailLines", "1")], ["two\n", "three\n"]),
            (&[("tailLines", "0")], ["", "three\n"]),
            (&[("sinceSeconds", "5")], ["two\n", "three\n"]),
            (&[("sinceTime", "2026-01-01T08:00:10Z")], ["", "three\n"]),
            (&[("limitBytes", "6")], ["one\ntw", ""]),
            (&[("timestamps", "true"), ("tailLines", "0")], ["", "2026-01-01T08:00:10.000000000Z three\n"]),
        ] {
            let mut parameters = parameters.to_vec();
            parameters.push(("follow", "true"));
            let mut follow = follow(&parameters);
            assert_eq!(follow.answered(&pod("a", "running"), now_us), Next::Ask);
            assert!(follow.question().subresource == "log");
            let lines = follow.answered(&Value::from(first), now_us);
            if parameters[0].0 == "limitBytes" {
                assert_eq!(lines, Next::Last(expected[0].into()), "{parameters:?}");
                continue;
            }
            assert_eq!(lines, Next::Lines(expected[0].into()), "{parameters:?}");
            assert_eq!(follow.answered(&pod("a", "terminated"), now_us), Next::Ask);
            assert_eq!(follow.answered(&Value::from(all.as_str()), now_us), Next::Last(expected[1].into()));
        }
    }

    #[test]
    fn another_container_is_another_log() {
        let mut follow = follow(&[("follow", "1"), ("container", "web")]);
        follow.answered(&pod("a", "running"), 0);
        assert_eq!(follow.answered(&Value::from(""), 0), Next::Lines(String::new()));
        follow.answered(&pod("b", "running"), 0);
        assert_eq!(follow.answered(&Value::from(""), 0), Next::Last(String::new()));
    }
}
