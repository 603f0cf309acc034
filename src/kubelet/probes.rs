//! Probes: has it started, does it live, may it be sent work.
//!
//! Picture to hold in mind: a doctor with a round for each patient and question. A single bad answer is noted;
//! only so many in a row change the chart.
//!
//! Follows `pkg/kubelet/prober` (`worker.go`, `prober.go`, `prober_manager.go`). A probe's clock ticks from the
//! moment at which the kubelet began to look after the pod; readiness is asked at once when a container starts.

use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::cri::{Call, ContainerState, DialRequest, Reply};
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{KubeletTimer, Timer};

use super::resources::is_sidecar;
use super::status::Probed;
use super::worker::Worker;
use super::{CallPurpose, State, environment};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    Readiness,
    Liveness,
    Startup,
}

const KINDS: [ProbeKind; 3] = [ProbeKind::Readiness, ProbeKind::Liveness, ProbeKind::Startup];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    Success,
    Failure,
    Unknown,
}

impl ProbeKind {
    fn field(self) -> &'static str {
        match self {
            ProbeKind::Readiness => "readinessProbe",
            ProbeKind::Liveness => "livenessProbe",
            ProbeKind::Startup => "startupProbe",
        }
    }
    /// As events name it.
    fn name(self) -> &'static str {
        match self {
            ProbeKind::Readiness => "Readiness",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Startup => "Startup",
        }
    }
    /// What is taken for true before the first answer.
    fn initial(self) -> ProbeResult {
        match self {
            ProbeKind::Readiness => ProbeResult::Failure,
            ProbeKind::Liveness => ProbeResult::Success,
            ProbeKind::Startup => ProbeResult::Unknown,
        }
    }
    fn from_number(number: u8) -> Option<ProbeKind> {
        KINDS.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// All probes of a pod.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    probes: SortedMap<(Text, ProbeKind), Probe>,
    is_stopped: bool,
}

/// One question about one container.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The runtime's id of the container that is asked about.
    pub container: Text,
    pub result: ProbeResult,
    last: ProbeResult,
    /// How often in a row `last` was the answer.
    run: i64,
    /// No more questions until there is a new container.
    is_on_hold: bool,
    ticks_from: Time,
    /// Counts alarms: only the last one counts.
    round: u32,
    is_armed: bool,
}

impl Prober {
    /// What a probe says of the container with this id; `None`: nothing.
    pub fn result(&self, name: &str, kind: ProbeKind, id: &str) -> Option<ProbeResult> {
        let probe = self.probes.get(&(Text::from(name), kind))?;
        (probe.container == id).then_some(probe.result)
    }
    fn has(&self, name: &str, kind: ProbeKind) -> bool {
        !self.probes.is_empty() && self.probes.contains_key(&(Text::from(name), kind))
    }
    pub fn probed(&self, name: &str, id: &str) -> Probed {
        let started = match self.result(name, ProbeKind::Startup, id) {
            Some(result) => Some(result == ProbeResult::Success),
            None if self.has(name, ProbeKind::Startup) => None,
            None => Some(true),
        };
        let ready = match self.result(name, ProbeKind::Readiness, id) {
            Some(result) => Some(result == ProbeResult::Success),
            None if self.has(name, ProbeKind::Readiness) => None,
            None => Some(true),
        };
        Probed { started, ready }
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Text, ProbeKind, &Probe)> {
        self.probes.iter().map(|((name, kind), probe)| (name, *kind, probe))
    }
    /// No more questions: the pod has ended.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }
}

fn seconds(probe: &Value, field: &str, default: i64) -> i64 {
    probe.integer(field).unwrap_or(default)
}

impl State {
    /// The kubelet begins to look after the pod: the clocks of its probes start.
    pub(super) fn start_probers(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        if self.config.hollow {
            return;
        }
        let Some(worker) = self.worker(uid) else { return };
        let sidecars =
            worker.pod.items("spec.initContainers").iter().filter(|container| is_sidecar(container));
        let mut wanted = Vec::new();
        for container in sidecars.chain(worker.pod.items("spec.containers")) {
            for kind in KINDS {
                if container.has(kind.field()) {
                    wanted.push((container.shared_text("name"), kind));
                }
            }
        }
        for key in wanted {
            let kind = key.1;
            worker.prober.probes.entry(key).or_insert_with(|| Probe {
                container: Text::new(),
                result: kind.initial(),
                last: ProbeResult::Unknown,
                run: 0,
                is_on_hold: false,
                ticks_from: now,
                round: 0,
                is_armed: false,
            });
        }
    }

    /// A pod that goes is no longer asked whether it lives.
    pub(super) fn stop_liveness_probes(&mut self, uid: &Text) {
        let Some(worker) = self.worker(uid) else { return };
        for ((_, kind), probe) in &mut worker.prober.probes {
            if *kind != ProbeKind::Readiness {
                probe.result = ProbeResult::Success;
                probe.is_on_hold = true;
                probe.round += 1;
                probe.is_armed = false;
            }
        }
    }

    /// Sets the alarms of probes whose containers have come up.
    pub(super) fn arm_probes(&mut self, uid: &Text, context: &mut Context) {
        let now = context.now();
        let Some(worker) = self.workers.get(uid) else { return };
        if worker.prober.probes.is_empty() || worker.prober.is_stopped {
            return;
        }
        let keys: Vec<(Text, ProbeKind)> = worker.prober.probes.keys().cloned().collect();
        for (name, kind) in keys {
            let Some(worker) = self.worker(uid) else { return };
            let Some((id, started_at)) = running(worker, &name) else { continue };
            let has_started = is_started(worker, &name, &id);
            let spec = worker.container(&name).map(|(container, _)| container.at(kind.field()).clone());
            let Some(spec) = spec else { continue };
            let Some(probe) = worker.prober.probes.get_mut(&(name.clone(), kind)) else { continue };
            if probe.container != id {
                probe.container = id;
                probe.result = kind.initial();
                (probe.last, probe.run) = (ProbeResult::Unknown, 0);
                probe.is_on_hold = false;
                probe.round += 1;
                probe.is_armed = false;
            }
            let is_its_time = if kind == ProbeKind::Startup { !has_started } else { has_started };
            if probe.is_armed || probe.is_on_hold || !is_its_time {
                continue;
            }
            let earliest =
                started_at + Duration::from_secs(seconds(&spec, "initialDelaySeconds", 0).max(0) as u64);
            let at = if kind == ProbeKind::Readiness && earliest <= now {
                probe.ticks_from = now;
                now
            } else {
                next_tick(probe.ticks_from, period(&spec), earliest.max(now))
            };
            probe.is_armed = true;
            let round = probe.round;
            self.probe_alarm(uid, &name, kind, round, at.since(now), context);
        }
    }

    fn probe_alarm(
        &mut self,
        uid: &Text,
        name: &Text,
        kind: ProbeKind,
        round: u32,
        after: Duration,
        context: &mut Context,
    ) {
        let timer =
            KubeletTimer::Probe { uid: uid.clone(), container: name.clone(), kind: kind as u8, round };
        context.periodic(after, Timer::Kubelet(timer));
    }

    /// It is time to ask.
    pub(super) fn probe_due(&mut self, uid: &Text, name: &Text, kind: u8, round: u32, context: &mut Context) {
        let Some(kind) = ProbeKind::from_number(kind) else { return };
        let Some(worker) = self.worker(uid) else { return };
        let still = running(worker, name);
        let sandbox = worker.sandboxes.first().map(|sandbox| sandbox.id.clone()).unwrap_or_default();
        let container = worker.container(name).map(|(container, _)| container.clone()).unwrap_or_default();
        let is_stopped = worker.prober.is_stopped;
        let Some(probe) = worker.prober.probes.get_mut(&(name.clone(), kind)) else { return };
        if probe.round != round {
            return;
        }
        let Some((id, _)) = still.filter(|(id, _)| *id == probe.container && !is_stopped) else {
            probe.is_armed = false;
            return;
        };
        let spec = container.at(kind.field());
        let timeout_seconds = seconds(spec, "timeoutSeconds", 1).max(1) as u64;
        let call = if spec.has("exec") {
            let command =
                spec.items("exec.command").iter().filter_map(|w| w.as_str().map(Text::from)).collect();
            Call::ExecSync { container: id, command, timeout_seconds }
        } else {
            let (port, request) = if spec.has("httpGet") {
                let path = spec.shared_text("httpGet.path");
                (spec.at("httpGet.port"), DialRequest::HttpGet { path })
            } else if spec.has("grpc") {
                (spec.at("grpc.port"), DialRequest::Grpc)
            } else {
                (spec.at("tcpSocket.port"), DialRequest::TcpSocket)
            };
            Call::Dial { sandbox, port: environment::port(&container, port), request, timeout_seconds }
        };
        let purpose =
            CallPurpose::Probe { uid: uid.clone(), container: name.clone(), kind: kind as u8, round };
        self.call(call, purpose, context);
    }

    pub(super) fn probe_answered(
        &mut self,
        uid: &Text,
        name: &Text,
        kind: u8,
        round: u32,
        result: Result<Reply, Text>,
        context: &mut Context,
    ) {
        let now = context.now();
        let Some(kind) = ProbeKind::from_number(kind) else { return };
        let Some(worker) = self.workers.get(uid).cloned() else { return };
        let Some(probe) = worker.prober.probes.get(&(name.clone(), kind)) else { return };
        if probe.round != round {
            return;
        }
        let container = worker.container(name).map(|(container, _)| container.clone()).unwrap_or_default();
        let spec = container.at(kind.field());
        let ip = worker.sandboxes.first().and_then(|sandbox| sandbox.ips.first().cloned());
        let ip = ip.unwrap_or_else(|| self.config.host_ips.first().cloned().unwrap_or_default());
        let outcome = judge(spec, &container, &ip, result);
        let found = match outcome {
            Outcome::Success => Some(ProbeResult::Success),
            Outcome::Failure(output) => {
                let words = arcstr::format!("{} probe failed: {output}", kind.name());
                self.event(uid, Some(name), "Warning", "Unhealthy", words, context);
                Some(ProbeResult::Failure)
            }
            Outcome::Error(error) => {
                let words =
                    arcstr::format!("{} probe errored and resulted in unknown state: {error}", kind.name());
                self.event(uid, Some(name), "Warning", "Unhealthy", words, context);
                None
            }
        };
        let Some(worker) = self.worker(uid) else { return };
        let Some(probe) = worker.prober.probes.get_mut(&(name.clone(), kind)) else { return };
        let mut has_changed = false;
        if let Some(found) = found {
            probe.run = if probe.last == found { probe.run + 1 } else { 1 };
            probe.last = found;
            let threshold = match found {
                ProbeResult::Success => seconds(spec, "successThreshold", 1),
                _ => seconds(spec, "failureThreshold", 3),
            };
            if probe.run >= threshold {
                has_changed = probe.result != found;
                probe.result = found;
                if kind == ProbeKind::Startup
                    || (kind == ProbeKind::Liveness && found == ProbeResult::Failure)
                {
                    probe.is_on_hold = true;
                    probe.run = 0;
                }
            }
        }
        if probe.is_on_hold {
            probe.is_armed = false;
        } else {
            let at = next_tick(probe.ticks_from, period(spec), now + Duration(1));
            let round = probe.round;
            self.probe_alarm(uid, name, kind, round, at.since(now), context);
        }
        if has_changed {
            self.probe_changed(uid, context);
        }
    }

    /// What the probes say has changed: the status shows it at once, and the worker looks.
    fn probe_changed(&mut self, uid: &Text, context: &mut Context) {
        let is_over = self.workers.get(uid).is_none_or(|worker| worker.prober.is_stopped);
        if is_over {
            return;
        }
        let status = self.generate_status(uid, false);
        self.set_status(uid, status, false, context);
        self.sync(uid, context);
    }
}

fn period(spec: &Value) -> Duration {
    Duration::from_secs(seconds(spec, "periodSeconds", 10).max(1) as u64)
}

/// The first tick that is not before `at`.
fn next_tick(from: Time, period: Duration, at: Time) -> Time {
    let since = at.since(from).0;
    from + Duration(since.div_ceil(period.0) * period.0)
}

/// The id of the running container of a name, and since when it runs.
fn running(worker: &Worker, name: &str) -> Option<(Text, Time)> {
    let status = worker.newest(name)?;
    match status.state {
        ContainerState::Running { started_at } => Some((status.id.clone(), started_at)),
        _ => None,
    }
}

fn is_started(worker: &Worker, name: &str, id: &str) -> bool {
    !worker.prober.has(name, ProbeKind::Startup)
        || worker.prober.result(name, ProbeKind::Startup, id) == Some(ProbeResult::Success)
}

enum Outcome {
    Success,
    Failure(String),
    /// It could not be asked.
    Error(String),
}

/// What an answer means.
fn judge(spec: &Value, container: &Value, ip: &str, result: Result<Reply, Text>) -> Outcome {
    let port = |path: &str| environment::port(container, spec.at(path));
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_string() };
    match result {
        Ok(Reply::Exec { exit_code: 0, .. }) => Outcome::Success,
        Ok(Reply::Exec { stdout, stderr, .. }) => Outcome::Failure(format!("{stdout}{stderr}")),
        Ok(Reply::Dialed { status: 0, .. }) => Outcome::Success,
        Ok(Reply::Dialed { status, .. }) if (200..400).contains(&status) => Outcome::Success,
        Ok(Reply::Dialed { status, .. }) => {
            Outcome::Failure(format!("HTTP probe failed with statuscode: {status}"))
        }
        Ok(_) => Outcome::Error("unexpected answer".into()),
        Err(error) if spec.has("exec") => {
            if error.contains("DeadlineExceeded") {
                let words: Vec<&str> = spec.items("exec.command").iter().filter_map(Value::as_str).collect();
                let limit = seconds(spec, "timeoutSeconds", 1);
                return Outcome::Failure(format!(
                    "command timed out: {:?} timed out after {limit}s",
                    words.join(" ")
                ));
            }
            Outcome::Error(error.to_string())
        }
        Err(error) => {
            let is_timeout = error.contains("timeout");
            if spec.has("httpGet") {
                let port = port("httpGet.port");
                let scheme = if spec.text("httpGet.scheme") == "HTTPS" { "https" } else { "http" };
                let url = format!("{scheme}://{host}:{port}{}", spec.text("httpGet.path"));
                return Outcome::Failure(if is_timeout {
                    format!(
                        "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                    )
                } else {
                    format!("Get \"{url}\": dial tcp {host}:{port}: connect: {error}")
                });
            }
            let port = if spec.has("grpc") { port("grpc.port") } else { port("tcpSocket.port") };
            if spec.has("grpc") {
                return Outcome::Failure(format!(
                    "timeout: failed to connect service \"{host}:{port}\" within {}s: context deadline exceeded",
                    seconds(spec, "timeoutSeconds", 1)
                ));
            }
            Outcome::Failure(if is_timeout {
                format!("dial tcp {host}:{port}: i/o timeout")
            } else {
                format!("dial tcp {host}:{port}: connect: {error}")
            })
        }
    }
}
