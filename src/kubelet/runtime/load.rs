//! A load on a service: many requests, one after another, and what became of each.
//!
//! Picture to hold in mind: somebody at the window of the post room with a box of equal letters and a tally sheet. At each
//! stroke of the metronome one letter goes out; every answer is a stroke in the column of the house that it came from,
//! and what has not been answered in time is a stroke in red.
//!
//! A command of the user begins one, or `hey` in a container. Each request is a packet of its own by the books of its
//! node, as any program's. The name is looked up once a second, not for each connection; what a lookup said last is used
//! until the next one has been answered.

use core::net::IpAddr;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::Text;
use crate::arrange::{Arrange, Gather};
use crate::language::Context;
use crate::message::Message;
use crate::message::node::{LoadOrder, LoadReport, NodeMessage, Question, Reached, Said};
use crate::network::dns::{self, Failure, Kind, Record};
use crate::network::packet::{ConnectionState, Packet, Protocol};
use crate::network::trace::OUTSIDE;
use crate::note::Note;
use crate::sim::{Duration, Time};
use crate::timer::{EngineTimer, Timer};

use super::ContainerEngine;
use super::host::HOST;
use super::sandbox::Sandbox;
use super::talk::{Ask, Asker, TIMED_OUT};

/// Between two requests at least: a hundred a second.
pub const SHORTEST_INTERVAL: Duration = Duration(10_000);
/// Seconds that are kept of a load, and of each endpoint.
pub const SECONDS: usize = 60;
const ENDPOINT_SECONDS: usize = 10;
/// Endpoints that are kept apart at most.
const ENDPOINTS: usize = 64;
/// Answers whose times are kept.
const LATENCIES: usize = 10_000;
/// Loads that programs of one node may have under way, and requests that one may.
const RUNNING: usize = 16;
pub const MOST_WORKERS: u32 = 1000;
/// Loads that are over and are still shown.
const FINISHED: usize = 2;
/// A looked-up name is looked up again after this.
const NAME_LIFETIME: Duration = Duration::from_secs(1);
/// What a program takes to answer: the magnitude of an idle one.
const SERVER_LATENCY: Duration = Duration(250);
/// The source of what comes from outside of the cluster.
const OUTSIDE_SOURCE: &str = "outside";
/// Without failures for so long, a load that failed is well again.
const CALM: Duration = Duration::from_secs(2);

/// Requests whose fate was known in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: u32,
    pub failed: u32,
}

/// A tally for each of the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Seconds {
    /// The number of the newest one.
    last: u64,
    tallies: VecDeque<Tally>,
}

impl Seconds {
    fn count(&mut self, now: Time, most: usize, is_failure: bool) {
        self.pass(now, most);
        if let Some(tally) = self.tallies.back_mut() {
            *(if is_failure { &mut tally.failed } else { &mut tally.answered }) += 1;
        }
    }
    fn pass(&mut self, now: Time, most: usize) {
        let second = now.as_secs();
        if self.tallies.is_empty() || second - self.last >= most as u64 {
            self.tallies.clear();
            self.last = second;
            self.tallies.push_back(Tally::default());
        }
        while self.last < second {
            self.last += 1;
            self.tallies.push_back(Tally::default());
            if self.tallies.len() > most {
                self.tallies.pop_front();
            }
        }
    }
    /// Oldest first; the newest may be before the present second.
    pub fn tallies(&self) -> impl Iterator<Item = Tally> {
        self.tallies.iter().copied()
    }
    /// Of the last ten seconds.
    pub fn recent(&self, now: Time) -> Tally {
        let mut sum = Tally::default();
        for (age, tally) in self.tallies.iter().rev().enumerate() {
            if now.as_secs() - self.last + (age as u64) < ENDPOINT_SECONDS as u64 {
                sum.answered += tally.answered;
                sum.failed += tally.failed;
            }
        }
        sum
    }
}

/// Where requests ended.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: IpAddr,
    pub answered: u64,
    pub failed: u64,
    pub seconds: Seconds,
}

/// A request that is under way, and where the node's rules sent it.
#[derive(Clone, Debug)]
struct Open {
    id: u64,
    sent_at: Time,
    endpoint: Option<IpAddr>,
    over: Kept,
    /// Others have gone over it before.
    is_further: bool,
}

/// A connection, by what the client knows of it: its own port, and the address that it has dialled.
#[derive(Clone, Copy, Debug)]
struct Kept {
    port: u16,
    address: IpAddr,
}

#[derive(Clone, Debug)]
pub struct Load {
    id: u64,
    pub order: Arc<LoadOrder>,
    /// Its sandbox; `None`: the node itself.
    sandbox: Option<Text>,
    /// `pod/default/client`, `node/worker-1`.
    pub source: Text,
    /// The program that waits for its end; `None`: a command of the user began it.
    asker: Option<Asker>,
    pub began_at: Time,
    /// When and why it ended.
    pub ended: Option<(Time, Text)>,
    address: Option<Result<IpAddr, Text>>,
    looked_up_at: Time,
    /// Names that are still to be tried in the lookup in hand.
    candidates: VecDeque<Text>,
    open: Vec<Open>,
    /// Connections that wait for the next request, the longest first.
    idle: VecDeque<Kept>,
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    pub statuses: Vec<(u16, u64)>,
    /// By the client's words.
    pub errors: Vec<(Text, u64)>,
    pub endpoints: Vec<Endpoint>,
    pub seconds: Seconds,
    is_failing: bool,
    failed_at: Time,
    latencies: Vec<u32>,
    bytes: u64,
}

fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

impl Load {
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }
    pub fn is_by_command(&self) -> bool {
        self.asker.is_none()
    }
    /// As many as it was to send have been sent, or its time is up.
    fn is_over(&self, now: Time) -> bool {
        let LoadOrder { requests, duration, .. } = &*self.order;
        (*requests > 0 && self.sent >= *requests)
            || (*duration > Duration::ZERO && now.since(self.began_at) >= *duration)
    }
    /// Notes the fate of one request; `Some`: the failure is news.
    fn count(&mut self, endpoint: Option<IpAddr>, error: Option<Text>, now: Time) -> Option<Text> {
        let is_failure = error.is_some();
        *(if is_failure { &mut self.failed } else { &mut self.answered }) += 1;
        self.seconds.count(now, SECONDS, is_failure);
        if let Some(address) = endpoint {
            if let Some(place) = self.endpoints.iter().position(|one| one.address == address) {
                // The one heard of last stands last.
                let found = self.endpoints.remove(place);
                self.endpoints.push(found);
            } else {
                if self.endpoints.len() == ENDPOINTS {
                    self.endpoints.remove(0);
                }
                self.endpoints.push(Endpoint {
                    address,
                    answered: 0,
                    failed: 0,
                    seconds: Seconds::default(),
                });
            }
            if let Some(found) = self.endpoints.last_mut() {
                *(if is_failure { &mut found.failed } else { &mut found.answered }) += 1;
                found.seconds.count(now, ENDPOINT_SECONDS, is_failure);
            }
        }
        let error = error?;
        self.failed_at = now;
        add(&mut self.errors, error.clone());
        if std::mem::replace(&mut self.is_failing, true) {
            return None;
        }
        Some(arcstr::format!("Requests of {} to {} fail: {error}", self.who(), self.order.host))
    }
    fn who(&self) -> &str {
        let name = self.source.rsplit('/').next();
        name.unwrap_or(&self.source)
    }
    fn report(&self, now: Time) -> LoadReport {
        let mut latencies = self.latencies.clone();
        latencies.arrange();
        let address = match &self.address {
            Some(Ok(address)) => address.to_string().into(),
            _ => Text::new(),
        };
        LoadReport {
            took: now.since(self.began_at),
            latencies_us: latencies,
            bytes: self.bytes,
            statuses: self.statuses.clone(),
            errors: self.errors.clone(),
            address,
        }
    }
}

/// What may be seen from outside, and what the user's command does.
impl ContainerEngine {
    pub fn loads(&self) -> impl Iterator<Item = &Load> {
        self.state.loads.iter().map(|load| &**load)
    }
    /// The user's load begins, from a pod (`namespace`, `name`) or the node itself; whoever calls sets its first alarm.
    pub fn start_load(&mut self, pod: Option<(&str, &str)>, order: LoadOrder, now: Time) -> Option<Timer> {
        let is_it = |sandbox: &&Sandbox| {
            let config = &sandbox.config;
            pod == Some((&config.namespace, &config.name)) && sandbox.is_ready()
        };
        let sandbox = self.sandboxes().find(is_it).map(|sandbox| sandbox.id.clone());
        if pod.is_some() && sandbox.is_none() {
            return None;
        }
        let state = Arc::make_mut(&mut self.state);
        let id = state.next_operation;
        state.next_operation += 1;
        self.add_load(id, None, sandbox, Arc::new(order), now);
        Some(Timer::Engine(EngineTimer::Load { id }))
    }
    pub fn stop_load(&mut self, now: Time) {
        let state = Arc::make_mut(&mut self.state);
        for load in state.loads.iter_mut().filter(|load| load.is_by_command() && load.is_running()) {
            let load = Arc::make_mut(load);
            load.open.clear();
            load.ended = Some((now, "stopped".into()));
        }
    }
    /// The power is gone.
    pub(super) fn lose_loads(&mut self, now: Time) {
        for load in Arc::make_mut(&mut self.state).loads.iter_mut().filter(|load| load.is_running()) {
            let load = Arc::make_mut(load);
            load.open.clear();
            load.ended = Some((now, "its node has lost its power".into()));
        }
    }
}

impl ContainerEngine {
    /// A program wants requests to be sent; it waits for the report.
    pub(super) fn begin_load(
        &mut self,
        id: u64,
        asker: Asker,
        sandbox: &Text,
        order: &Arc<LoadOrder>,
        context: &mut Context,
    ) {
        if self.loads().filter(|load| load.is_running()).count() >= RUNNING {
            let arrived = NodeMessage::Reached { id, reached: Err("Resource temporarily unavailable") };
            return context.send(context.me(), Message::node(arrived));
        }
        let sandbox = (sandbox != HOST).then(|| sandbox.clone());
        self.add_load(id, Some(asker), sandbox, order.clone(), context.now());
        // Who asked is still at it.
        context.timer(Duration::ZERO, Timer::Engine(EngineTimer::Load { id }));
    }

    fn add_load(
        &mut self,
        id: u64,
        asker: Option<Asker>,
        sandbox: Option<Text>,
        order: Arc<LoadOrder>,
        now: Time,
    ) {
        let state = Arc::make_mut(&mut self.state);
        let found = sandbox.as_ref().and_then(|id| state.sandboxes.get(id));
        let source = match found {
            Some(sandbox) => arcstr::format!("pod/{}", sandbox.pod()),
            None if state.kernel.node == OUTSIDE => OUTSIDE_SOURCE.into(),
            None => arcstr::format!("node/{}", state.kernel.node),
        };
        let finished = state.loads.iter().filter(|load| !load.is_running()).count();
        if finished > FINISHED
            && let Some(oldest) = state.loads.iter().position(|load| !load.is_running())
        {
            state.loads.remove(oldest);
        }
        let address = order.host.parse().ok().map(Ok);
        state.loads.push(Arc::new(Load {
            id,
            order,
            sandbox,
            source,
            asker,
            began_at: now,
            ended: None,
            address,
            looked_up_at: now,
            candidates: VecDeque::new(),
            open: Vec::new(),
            idle: VecDeque::new(),
            sent: 0,
            answered: 0,
            failed: 0,
            statuses: Vec::new(),
            errors: Vec::new(),
            endpoints: Vec::new(),
            seconds: Seconds::default(),
            is_failing: false,
            failed_at: now,
            latencies: Vec::new(),
            bytes: 0,
        }));
    }

    fn load(&self, id: u64) -> Option<&Load> {
        self.loads().find(|load| load.id == id && load.is_running())
    }
    fn load_mut(&mut self, id: u64) -> Option<&mut Load> {
        let loads = &mut Arc::make_mut(&mut self.state).loads;
        loads.iter_mut().find(|load| load.id == id && load.is_running()).map(Arc::make_mut)
    }
    fn is_source_there(&self, load: &Load) -> bool {
        let is_there = |id: &Text| self.state.sandboxes.get(id).is_some_and(|sandbox| sandbox.is_ready());
        load.sandbox.as_ref().is_none_or(is_there)
            && match &load.asker {
                Some(Asker::Container(id)) => {
                    self.state.containers.get(id).is_some_and(|container| container.is_running())
                }
                Some(Asker::Operation(number)) => self.state.operations.contains_key(number),
                _ => true,
            }
    }

    /// The metronome strikes.
    pub(super) fn load_tick(&mut self, id: u64, context: &mut Context) {
        let now = context.now();
        let Some(load) = self.load(id) else { return };
        if !self.is_source_there(load) {
            return self.finish_load(id, "its source is gone", context);
        }
        let order = load.order.clone();
        let Some(load) = self.load_mut(id) else { return };
        load.seconds.pass(now, SECONDS);
        let patience = Duration::from_secs(order.timeout_seconds.into());
        let in_vain = load.open.iter().take_while(|open| now.since(open.sent_at) >= patience).count();
        let in_vain: Vec<Open> = load.open.drain(..in_vain).collect();
        let mut news = None;
        for open in in_vain {
            news = news.or(load.count(open.endpoint, Some(TIMED_OUT.into()), now));
        }
        if load.is_failing && now.since(load.failed_at) >= CALM {
            load.is_failing = false;
            let text = arcstr::format!("Requests of {} to {} are answered again", load.who(), order.host);
            context.note(Note::Load { text, is_failure: false });
        }
        let is_over = load.is_over(now);
        if is_over && load.open.is_empty() {
            return self.finish_load(id, "it has sent all that it was to send", context);
        }
        let is_old = load.address.is_none() || now.since(load.looked_up_at) >= NAME_LIFETIME;
        if is_old && load.candidates.is_empty() && order.host.parse::<IpAddr>().is_err() {
            self.look_up(id, context);
        }
        let Some(load) = self.load_mut(id) else { return };
        if !is_over && load.open.len() < order.workers as usize {
            match load.address.clone() {
                Some(Ok(address)) => {
                    load.sent += 1;
                    self.send_request(id, address, &order, context);
                }
                // Who is connected needs no name.
                Some(Err(_)) if let Some(kept) = load.idle.front().copied() => {
                    load.sent += 1;
                    self.send_request(id, kept.address, &order, context);
                }
                Some(Err(words)) => {
                    load.sent += 1;
                    news = news.or(load.count(None, Some(words), now));
                }
                None => {}
            }
        }
        if let Some(text) = news {
            context.note(Note::Load { text, is_failure: true });
        }
        context.timer(order.interval, Timer::Engine(EngineTimer::Load { id }));
    }

    fn send_request(&mut self, load: u64, address: IpAddr, order: &LoadOrder, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let id = state.next_operation;
        state.next_operation += 1;
        let Some(load) = self.load_mut(load) else { return };
        // As many are opened as are to be kept, before the first is used again.
        let is_full = load.open.len() + load.idle.len() >= order.connections as usize;
        let kept = load.idle.pop_front_if(|_| is_full);
        let over =
            kept.unwrap_or_else(|| Kept { port: context.random().between(32_768, 60_999) as u16, address });
        let (sent_at, is_further) = (context.now(), kept.is_some());
        load.open.push(Open { id, sent_at, endpoint: None, over, is_further });
        let sandbox = load.sandbox.clone();
        let mut packet = Packet::new(Protocol::Tcp, (over.address, over.port), (over.address, order.port));
        if is_further {
            packet.state = ConnectionState::Further;
        }
        let host = if order.host_header.is_empty() { &order.host } else { &order.host_header };
        let question = Question::Http { host: host.clone(), path: order.path.clone() };
        self.post(sandbox.as_ref(), packet, question, (id, true), context);
    }
    /// The node's rules have sent a request of a load to an endpoint.
    pub(super) fn load_sent(&mut self, id: u64, to: IpAddr) {
        let state = Arc::make_mut(&mut self.state);
        for load in &mut state.loads {
            if load.open.last().is_some_and(|open| open.id == id)
                && let Some(open) = Arc::make_mut(load).open.last_mut()
            {
                open.endpoint = Some(to);
            }
        }
    }
    /// The fate of request `id`, if it is one of a load; `by`: the endpoint that it came to.
    pub(super) fn load_answered(
        &mut self,
        id: u64,
        by: Option<IpAddr>,
        reached: &Reached,
        context: &mut Context,
    ) -> bool {
        let now = context.now();
        let loads = &mut Arc::make_mut(&mut self.state).loads;
        let is_its = |load: &&mut Arc<Load>| load.open.iter().any(|open| open.id == id);
        let Some(load) = loads.iter_mut().find(is_its).map(Arc::make_mut) else { return false };
        let Some(place) = load.open.iter().position(|open| open.id == id) else { return false };
        let open = load.open.remove(place);
        // Whoever served the connection has closed it meanwhile, and the client dials anew without a word.
        if open.is_further && reached.is_err() {
            let address = load.address.clone().and_then(Result::ok).unwrap_or(open.over.address);
            let (load, order) = (load.id, load.order.clone());
            self.send_request(load, address, &order, context);
            return true;
        }
        if reached.is_ok() && load.idle.len() < load.order.connections as usize {
            load.idle.push_back(open.over);
        }
        let error = match reached {
            Ok(Said::Http(status, body)) => {
                add(&mut load.statuses, *status);
                load.bytes += body.len() as u64;
                if load.latencies.len() < LATENCIES {
                    let took = now.since(open.sent_at) + SERVER_LATENCY;
                    load.latencies.push(u32::try_from(took.0).unwrap_or(u32::MAX));
                }
                (*status >= 400).then(|| arcstr::format!("HTTP {status}"))
            }
            Ok(_) => Some("Empty reply from server".into()),
            Err(words) => Some((*words).into()),
        };
        if let Some(text) = load.count(by.or(open.endpoint), error, now) {
            context.note(Note::Load { text, is_failure: true });
        }
        true
    }

    fn look_up(&mut self, id: u64, context: &mut Context) {
        let Some(load) = self.load(id) else { return };
        let host = load.order.host.clone();
        let sandbox = load.sandbox.as_ref().and_then(|sandbox| self.state.sandboxes.get(sandbox)).cloned();
        let known = match (&sandbox, host.as_str()) {
            (_, "localhost") => Some(Ok(IpAddr::from([127, 0, 0, 1]))),
            (Some(sandbox), host) if host == sandbox.config.hostname => {
                sandbox.ips().first().and_then(|ip| ip.parse().ok()).map(Ok)
            }
            // The resolver of a machine knows nothing of the cluster.
            (None, _) => Some(Err(Text::from("no such host"))),
            _ => None,
        };
        let candidates: VecDeque<Text> = match (&known, &sandbox) {
            (None, Some(sandbox)) => {
                let dns = &sandbox.config.dns;
                let names = dns::candidates(&host, &dns.searches, &dns.options);
                names.into_iter().map(Text::from).gather()
            }
            _ => VecDeque::new(),
        };
        let Some(load) = self.load_mut(id) else { return };
        load.looked_up_at = context.now();
        load.candidates = candidates;
        if known.is_some() {
            load.address = known;
        } else {
            self.ask_name(id, context);
        }
    }
    /// Asks the name server for the next candidate.
    fn ask_name(&mut self, id: u64, context: &mut Context) {
        let Some(load) = self.load(id) else { return };
        let Some((name, id)) = load.candidates.front().cloned().zip(load.sandbox.clone()) else { return };
        let server = self.state.sandboxes.get(&id).and_then(|one| one.config.dns.servers.first().cloned());
        let (number, sandbox) = (load.id, id);
        let ask = Ask {
            address: server.unwrap_or_default(),
            port: dns::PORT,
            question: Question::Dns { kind: Kind::Address, name },
            timeout_seconds: load.order.timeout_seconds.clamp(1, 5).into(),
        };
        self.ask(Asker::Load(number), &sandbox, ask, context);
    }
    /// What the name server said of the candidate.
    pub(super) fn load_resolved(&mut self, id: u64, reached: Reached, context: &mut Context) {
        let Some(load) = self.load_mut(id) else { return };
        load.candidates.pop_front();
        let found = match reached {
            Ok(Said::Dns(Ok(records))) => records.1.iter().find_map(|record| match record {
                Record::Address(address) => Some(Ok(*address)),
                _ => None,
            }),
            Ok(Said::Dns(Err(Failure::ServerFailure))) => Some(Err(Text::from("server misbehaving"))),
            Ok(Said::Dns(Err(Failure::NoSuchName))) => None,
            _ => Some(Err("i/o timeout".into())),
        };
        match found {
            Some(address) => {
                load.candidates.clear();
                load.address = Some(address);
            }
            None if load.candidates.is_empty() => load.address = Some(Err("no such host".into())),
            None => self.ask_name(id, context),
        }
    }

    fn finish_load(&mut self, id: u64, why: &str, context: &mut Context) {
        let now = context.now();
        let Some(load) = self.load_mut(id) else { return };
        load.open.clear();
        load.idle.clear();
        load.ended = Some((now, why.into()));
        let (answered, failed) = (load.answered, load.failed);
        let text = arcstr::format!(
            "The load of {} on {} has ended: {answered} answered, {failed} failed",
            load.who(),
            load.order.host
        );
        let report = load.asker.is_some().then(|| load.report(now));
        context.note(Note::Load { text, is_failure: failed > 0 });
        if let Some(report) = report {
            self.reached(id, Ok(Said::Load(Arc::new(report))), context);
        }
    }
}
