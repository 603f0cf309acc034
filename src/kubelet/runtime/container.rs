//! A container: a process with its files, its output and its end.
//!
//! Picture to hold in mind: a wound-up toy on a table. It runs by its own script, or until it is stopped; the
//! hand that stops it first asks (SIGTERM) and, when the time is up, takes it off the table (SIGKILL).
//!
//! Annotations of the pod change what the process model would do, each for all containers or, with
//! `.CONTAINER` behind it, for one:
//! `clusterarium.dev/exit-after` (`5s`), `clusterarium.dev/exit-code` (`1`), `clusterarium.dev/startup-time`
//! (`3s`), `clusterarium.dev/memory` (`200Mi`), `clusterarium.dev/ignore-term` (`true`).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Quantity, Text, Value, time_format};
use crate::message::cri::{ContainerConfig, ContainerState, ContainerStatus, Image, LinuxUser};
use crate::network::packet::Protocol;
use crate::shell::Machine;
use crate::sim::{ActorId, Duration, Time};

use super::files::Directory;
use super::images::Content;
use super::program::{Memory, OnTerm, Server};
use super::talk::Journal;

/// Lines of output that are kept: older ones are rotated away.
const LOG_LINES: usize = 1000;
const LOG_LINE_BYTES: usize = 16 * 1024;

#[derive(Clone, Debug)]
pub struct Container {
    pub id: Text,
    pub sandbox: Text,
    pub config: Arc<ContainerConfig>,
    pub image: Image,
    pub content: Content,
    pub state: ContainerState,
    pub created_at: Time,
    pub(super) machine: Option<Machine>,
    /// What its script has asked over the network since it last stood still, and been answered.
    pub(super) journal: Journal,
    /// It waits for an answer.
    pub(super) is_asking: bool,
    /// Its first process is a shell at a terminal, which reads line by line.
    pub(super) is_shell: bool,
    pub layer: Directory,
    /// What runs in the foreground, and from when on it listens.
    pub server: Option<(Arc<Server>, Time)>,
    pub logs: VecDeque<(Time, Text)>,
    partial: String,
    /// Counts alarms: only the last one that was set counts.
    pub(super) wake: u32,
    /// The process ends then, with this code and reason.
    pub(super) exit_at: Option<(Time, i32, &'static str)>,
    /// SIGTERM has been sent; SIGKILL follows then.
    pub kill_at: Option<Time>,
    /// CRI calls that wait for the end: client and number.
    pub(super) stop_waiters: Vec<(ActorId, u64)>,
}

/// The value of an annotation for a container.
fn annotation<'a>(config: &'a ContainerConfig, name: &str) -> Option<&'a str> {
    let map = config.annotations.as_object()?;
    if map.is_empty() {
        return None;
    }
    let own = format!("clusterarium.dev/{name}.{}", config.spec.text("name"));
    let general = format!("clusterarium.dev/{name}");
    map.get(&own).or_else(|| map.get(&general)).and_then(Value::as_str)
}

fn duration(text: &str) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            time_format::parse_go_duration(text).and_then(|micros| u64::try_from(micros).ok()).map(Duration)
        }
    }
}

/// Files of a control group that there are.
pub const CONTROL_GROUP: [&str; 4] = ["cpu.max", "cpu.stat", "memory.current", "memory.max"];

impl Container {
    pub fn new(
        id: Text,
        sandbox: Text,
        config: Arc<ContainerConfig>,
        image: Image,
        content: Content,
        now: Time,
    ) -> Container {
        Container {
            id,
            sandbox,
            config,
            image,
            content,
            state: ContainerState::Created,
            created_at: now,
            machine: None,
            journal: Journal::new(),
            is_asking: false,
            is_shell: false,
            layer: Directory::default(),
            server: None,
            logs: VecDeque::new(),
            partial: String::new(),
            wake: 0,
            exit_at: None,
            kill_at: None,
            stop_waiters: Vec::new(),
        }
    }
    pub fn name(&self) -> &str {
        self.config.spec.text("name")
    }
    /// Whether its first process is the program `name`.
    pub fn runs(&self, name: &str) -> bool {
        self.program().rsplit('/').next() == Some(name)
    }
    /// The first of its [arguments](Container::arguments): empty where there is none.
    pub fn program(&self) -> &str {
        let own = self.config.command.first();
        let words = || self.content.entrypoint.first().copied();
        let rest = || match self.config.args.first() {
            Some(argument) => Some(argument.as_str()),
            None => self.content.command.first().copied(),
        };
        own.map(Text::as_str).or_else(words).or_else(rest).unwrap_or("")
    }
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
    pub fn started_at(&self) -> Option<Time> {
        match self.state {
            ContainerState::Running { started_at } => Some(started_at),
            _ => None,
        }
    }
    /// What it runs: the pod's `command` and `args`, or what the image says.
    pub fn arguments(&self) -> Vec<Text> {
        let image = |words: &[&str]| words.iter().map(|word| Text::from(*word)).collect::<Vec<Text>>();
        let (mut words, rest) = match (self.config.command.is_empty(), self.config.args.is_empty()) {
            (false, _) => (self.config.command.clone(), self.config.args.clone()),
            (true, false) => (image(self.content.entrypoint), self.config.args.clone()),
            (true, true) => (image(self.content.entrypoint), image(self.content.command)),
        };
        words.extend(rest);
        words
    }
    /// Bytes that its processes use at `now`.
    pub fn memory_bytes(&self, now: Time) -> u64 {
        let Some(started_at) = self.started_at() else { return 0 };
        self.memory().map_or(512 * 1024, |memory| memory.at(now.since(started_at)))
    }
    fn memory(&self) -> Option<Memory> {
        let forced = annotation(&self.config, "memory")
            .and_then(|text| Quantity::parse(text).ok())
            .and_then(|quantity| u64::try_from(quantity.value()).ok());
        match forced {
            Some(bytes) => Some(Memory::constant(bytes)),
            None => self.server.as_ref().map(|(server, _)| server.memory),
        }
    }
    /// Thousandths of a CPU that its processes would take, and how many they may.
    fn cpu_wanted(&self) -> (u64, Option<u64>) {
        let wanted = self.server.as_ref().map_or(1, |(server, _)| u64::from(server.cpu_milli));
        let limit = Quantity::from_value(self.config.spec.at("resources.limits.cpu"));
        (wanted, limit.and_then(|limit| u64::try_from(limit.milli_value()).ok()).filter(|limit| *limit > 0))
    }
    /// Thousandths of a CPU, as far as its limit allows.
    pub fn cpu_milli(&self) -> u64 {
        let (wanted, limit) = self.cpu_wanted();
        if self.is_running() { wanted.min(limit.unwrap_or(u64::MAX)) } else { 0 }
    }
    /// A file of its control group, as the kernel writes it (cgroup v2): who wants more than the limit is stopped in every
    /// period of 100 ms until the next.
    pub(super) fn control_group(&self, file: &str, now: Time) -> Option<Text> {
        let (wanted, limit) = self.cpu_wanted();
        let run_us = now.since(self.started_at()?).as_micros();
        let max = |limit: u64| if limit == 0 { Text::from("max") } else { arcstr::format!("{limit}") };
        Some(match file {
            "cpu.max" => arcstr::format!("{} 100000\n", max(limit.unwrap_or(0) * 100)),
            "cpu.stat" => {
                let usage = run_us / 1000 * self.cpu_milli();
                let periods = limit.map_or(0, |_| run_us / 100_000);
                let over = wanted.saturating_sub(limit.unwrap_or(wanted));
                let (throttled, lost) = if over > 0 { (periods, run_us / 1000 * over) } else { (0, 0) };
                arcstr::format!(
                    "usage_usec {usage}\nuser_usec {usage}\nsystem_usec 0\nnr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {lost}\n"
                )
            }
            "memory.current" => arcstr::format!("{}\n", self.memory_bytes(now)),
            "memory.max" => arcstr::format!("{}\n", max(self.config.memory_limit_bytes)),
            _ => return None,
        })
    }
    /// Whether something listens on `port` at `now`.
    pub fn listens(&self, port: u16, now: Time) -> Option<&Server> {
        let (server, from) = self.server.as_ref()?;
        let is_declared = || {
            let ports = self.config.spec.items("ports");
            // Nothing is known about the ports of a program that declares none.
            ports.is_empty() || ports.iter().any(|p| p.integer("containerPort") == Some(i64::from(port)))
        };
        let listens = if server.ports.is_empty() {
            is_declared() && server.http != super::program::Http::No
        } else {
            server.ports.contains(&port)
                || (server.name == "nginx" && self.configured_ports().contains(&port))
        };
        (self.is_running() && listens && *from <= now).then_some(server)
    }
    /// The program that takes what comes to a port by `protocol`; `None`: nobody does.
    pub fn hears(&self, protocol: Protocol, port: u16, now: Time) -> Option<String> {
        let server = self.listens(port, now)?;
        let declared = self.config.spec.items("ports").iter();
        let protocols: Vec<Protocol> = declared
            .filter(|one| one.integer("containerPort") == Some(i64::from(port)))
            .map(|one| Protocol::parse(one.text("protocol")).unwrap_or(Protocol::Tcp))
            .collect();
        let fits = match protocol {
            Protocol::Tcp => {
                !server.ports.is_empty() || protocols.is_empty() || protocols.contains(&Protocol::Tcp)
            }
            other => protocols.contains(&other),
        };
        fits.then(|| server.name.to_string())
    }
    /// Ports that an nginx configuration in the environment of the image names: `NGINX_PORT`.
    fn configured_ports(&self) -> Vec<u16> {
        let named = |name: &str| name == "NGINX_PORT" || name == "PORT";
        self.config.environment.iter().filter(|(n, _)| named(n)).filter_map(|(_, v)| v.parse().ok()).collect()
    }

    /// What the annotations want besides the process model.
    pub(super) fn force(&mut self, now: Time) {
        let code: Option<i32> = annotation(&self.config, "exit-code").and_then(|code| code.parse().ok());
        let after = annotation(&self.config, "exit-after").and_then(duration);
        if code.is_some() || after.is_some() {
            let at = now + after.unwrap_or(Duration::from_millis(500));
            let code = code.unwrap_or(1);
            self.exit_at = Some((at, code, if code == 0 { "Completed" } else { "Error" }));
        }
    }
    /// A server has come to the foreground.
    pub(super) fn serve(&mut self, server: Arc<Server>, now: Time) {
        let startup = annotation(&self.config, "startup-time").and_then(duration).unwrap_or(server.startup);
        for line in server.banner.clone() {
            self.log(now, &(line.to_string() + "\n"));
        }
        self.server = Some((server, now + startup));
    }
    /// When its memory use first exceeds its limit.
    fn out_of_memory_at(&self) -> Option<Time> {
        let limit = self.config.memory_limit_bytes;
        let started_at = self.started_at()?;
        if limit == 0 {
            return None;
        }
        self.memory()?.exceeds_after(limit).map(|after| started_at + after.max(Duration::from_millis(200)))
    }
    /// The next end that is already decided: by a signal, an annotation or the kernel.
    pub(super) fn end(&self) -> Option<(Time, i32, &'static str)> {
        let killed = self.kill_at.map(|at| (at, 137, "Error"));
        let out_of_memory = self.out_of_memory_at().map(|at| (at, 137, "OOMKilled"));
        [self.exit_at, killed, out_of_memory].into_iter().flatten().min_by_key(|(at, ..)| *at)
    }
    /// When something happens to it by itself.
    pub(super) fn next_wake(&self) -> Option<Time> {
        let machine = self.machine.as_ref().filter(|_| !self.is_asking).and_then(Machine::wake);
        [machine, self.end().map(|(at, ..)| at)].into_iter().flatten().min()
    }
    /// SIGTERM to the first process; SIGKILL after `grace`. `is_first` process of its PID namespace: it gets
    /// only signals that it handles.
    pub(super) fn terminate(&mut self, now: Time, grace: Duration, is_first: bool) {
        let kill_at = now + grace;
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        if annotation(&self.config, "ignore-term") == Some("true") {
            return;
        }
        let is_trapped = self.machine.as_mut().is_some_and(|machine| machine.signal("TERM"));
        if is_trapped {
            return;
        }
        let on_term = self.server.as_ref().map_or(OnTerm::Ignore, |(server, _)| server.on_term);
        match on_term {
            OnTerm::Exit { after, code } => {
                let reason = if code == 0 { "Completed" } else { "Error" };
                self.exit_at = Some((now + after, code, reason));
            }
            OnTerm::Ignore if !is_first => {
                self.exit_at = Some((now + Duration::from_millis(10), 143, "Error"))
            }
            OnTerm::Ignore => {}
        }
    }
    pub(super) fn exit(&mut self, now: Time, exit_code: i32, reason: &str, message: &str) {
        let started_at = match self.state {
            ContainerState::Running { started_at } => started_at,
            _ => Time::ZERO,
        };
        if !self.partial.is_empty() {
            self.log(now, "\n");
        }
        let said = self.termination_message(exit_code);
        let message = match (message, said.as_str()) {
            ("", said) => said.to_string(),
            (message, "") => message.to_string(),
            (message, said) => format!("{message}: {said}"),
        };
        self.state = ContainerState::Exited {
            started_at,
            finished_at: now,
            exit_code,
            reason: reason.into(),
            message: message.into(),
        };
        self.machine = None;
        self.journal.clear();
        self.is_asking = false;
        self.server = None;
        self.exit_at = None;
        self.kill_at = None;
    }
    /// What the process left as its last words (`terminationMessagePath`), or, where that is wanted after an
    /// error, the end of its output. The kubelet reads it; here it is where the files are.
    fn termination_message(&self, exit_code: i32) -> String {
        let path = self.config.spec.text("terminationMessagePath").trim_start_matches('/');
        if let Some(text) = self.layer.read(path).filter(|text| !path.is_empty() && !text.is_empty()) {
            return text.chars().take(4096).collect();
        }
        let wants_logs = self.config.spec.text("terminationMessagePolicy") == "FallbackToLogsOnError";
        if !wants_logs || exit_code == 0 {
            return String::new();
        }
        let lines: Vec<&str> = self
            .logs
            .iter()
            .skip(self.logs.len().saturating_sub(80))
            .map(|(_, line)| line.as_str())
            .collect();
        let text = lines.join("\n") + "\n";
        let skip = text.chars().count().saturating_sub(2048);
        text.chars().skip(skip).collect()
    }
    /// Output: whole lines go to the log, the rest waits for its line break.
    pub(super) fn log(&mut self, now: Time, text: &str) {
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            if self.logs.len() == LOG_LINES {
                self.logs.pop_front();
            }
            self.logs.push_back((now, self.partial[..end].into()));
            self.partial.drain(..=end);
        }
        if self.partial.len() > LOG_LINE_BYTES {
            let text = std::mem::take(&mut self.partial);
            self.logs.push_back((now, text.into()));
        }
    }
    pub fn status(&self, is_hollow: bool) -> ContainerStatus {
        let context = |field: &str| self.config.spec.integer(&format!("securityContext.{field}"));
        let user = (!is_hollow).then(|| {
            let gid = context("runAsGroup").unwrap_or(0);
            LinuxUser { uid: context("runAsUser").unwrap_or(0), gid, supplemental_groups: vec![gid] }
        });
        ContainerStatus {
            id: self.id.clone(),
            name: self.config.spec.shared_text("name"),
            image: self.image.reference.clone(),
            image_id: self.image.id.clone(),
            attempt: self.config.attempt,
            state: self.state.clone(),
            created_at: self.created_at,
            user,
        }
    }
}
