//! The terminal as an actor: sessions, their shells, and the kubectl processes in them.
//!
//! Picture to hold in mind: a row of desks in one room that share a filing cabinet and a post office. A line
//! that is entered while the desk is busy waits in the tray.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::Text;
use crate::client::{Answer, Connection, Destination, EtcdConnection, Listener, is_own};
use crate::language::{Context, Input};
use crate::message::rest::User;
use crate::message::{Message, cri};
use crate::note::Note;
use crate::sim::{ActorId, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, TerminalTimer, Timer};

use super::files::{FileError, Files, HOME, absolute};
use super::machine::{Effect, Machine, Surroundings};
use super::program::{Main, NodeCall, UNKNOWN_NODE};
use super::quoted;
use super::workstation::Workstation;

/// Requests that kubectl may send a second, and at once: `cli-runtime`'s `ConfigFlags` raise client-go's.
const QUERIES_PER_SECOND: u64 = 50;
const BURST: u64 = 300;
const MAXIMUM_HISTORY: usize = 1000;

/// Which process an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purpose {
    session: u64,
    task: u32,
    ticket: u64,
}

#[derive(Clone)]
pub struct Terminal {
    connection: Connection<Purpose>,
    etcd: EtcdConnection<Purpose>,
    /// Which API server listens at an address (`host:port`). None: whatever the address is, it is the usual one's.
    servers: SortedMap<Text, ActorId>,
    /// The container engine of the node at whose console this terminal stands.
    pub engine: Option<ActorId>,
    /// Those of the machines that can be reached, by name and by address.
    nodes: SortedMap<Text, ActorId>,
    /// Calls to them that are open.
    calls: SortedMap<u64, Purpose>,
    window: usize,
    programs: Arc<[(&'static str, Main)]>,
    pub files: Files,
    sessions: SortedMap<u64, Session>,
    /// What the outside asked and the actor has not begun.
    tray: SortedMap<u64, Order>,
    next_order: u64,
}

#[derive(Clone)]
enum Order {
    Line { session: u64, line: String, stdin: String },
    Interrupt { session: u64 },
}

#[derive(Clone)]
struct Session {
    machine: Machine,
    /// The last line that was begun goes on.
    is_busy: bool,
    /// The alarm that is set for the machine.
    alarm: Option<Time>,
    waiting: VecDeque<(String, String)>,
    history: Vec<String>,
    /// Lines go to a shell elsewhere: by this command, and that shell's name.
    attached: Option<(Arc<Vec<String>>, u64)>,
}

impl Terminal {
    /// A terminal whose programs talk to `server` as the administrator: one whom a binding makes it, as kubeadm does, or
    /// one of the `system:masters`, who need none.
    pub fn new(server: ActorId, programs: &[(&'static str, Main)], is_master: bool) -> Terminal {
        let mut connection = Connection::new(server);
        let groups = ["kubeadm:cluster-admins", "system:masters", "system:authenticated"];
        let groups = groups.into_iter().filter(|group| is_master || *group != "system:masters");
        let user = User::new("kubernetes-admin".into(), groups.map(Text::from).collect());
        let window = connection.window(Arc::new(user), "kubectl", QUERIES_PER_SECOND, BURST);
        Terminal {
            connection,
            etcd: EtcdConnection::default(),
            servers: SortedMap::new(),
            engine: None,
            nodes: SortedMap::new(),
            calls: SortedMap::new(),
            window,
            programs: programs.into(),
            files: Files::default(),
            sessions: SortedMap::new(),
            tray: SortedMap::new(),
            next_order: 0,
        }
    }
    /// Tells which member of etcd listens at an address (`host:port`).
    pub fn learn_etcd(&mut self, address: Text, listener: Listener) {
        self.etcd.learn(address, listener);
    }
    /// Tells which API server listens at an address (`host:port`).
    pub fn learn_server(&mut self, address: Text, server: ActorId) {
        self.servers.insert(address, server);
    }
    /// Tells whose engine is at a name or an address.
    pub fn learn_node(&mut self, name: &str, engine: ActorId) {
        self.nodes.insert(name.into(), engine);
    }
    fn destination(&self, address: &str) -> Destination {
        match self.servers.get(address) {
            Some(server) => Destination::Server(*server),
            // At a loopback address ends a tunnel to the API server, as the reference cluster has it.
            None if address.is_empty() || is_own(address) || self.servers.is_empty() => Destination::Usual,
            None => Destination::Nowhere,
        }
    }
    /// Takes a line; the caller wakes the actor with [`TerminalTimer::Enter`] and the number returned.
    pub fn enter(&mut self, session: u64, line: impl Into<String>, stdin: impl Into<String>) -> u64 {
        self.order(Order::Line { session, line: line.into(), stdin: stdin.into() })
    }
    /// Takes a Ctrl+C; the caller wakes the actor as with [`Terminal::enter`].
    pub fn interrupt(&mut self, session: u64) -> u64 {
        self.order(Order::Interrupt { session })
    }
    fn order(&mut self, order: Order) -> u64 {
        self.next_order += 1;
        self.tray.insert(self.next_order, order);
        self.next_order
    }
    /// Writes or removes a file; a relative path is one in the home directory.
    pub fn write_file(&mut self, path: &str, content: Option<&str>) -> Result<(), FileError> {
        let path = absolute(HOME, path);
        match content {
            Some(content) => self.files.put(&path, content.into()),
            None => self.files.remove(&path),
        }
    }
    /// Whether a line is running or waiting in `session`.
    pub fn is_busy(&self, session: u64) -> bool {
        let queued =
            self.tray.values().any(|order| matches!(order, Order::Line { session: s, .. } if *s == session));
        queued
            || self
                .sessions
                .get(&session)
                .is_some_and(|session| session.is_busy || !session.waiting.is_empty())
    }
    /// What may be the first word of a line: programs, the shell's own commands, and its tools.
    pub fn program_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let own = [super::TEXT_TOOLS, super::FILE_TOOLS, super::BUILT_IN];
        let own = own.into_iter().flatten().copied();
        self.programs.iter().map(|(name, _)| *name).chain(own)
    }
    /// The folder that `session` is in, for the prompt.
    pub fn folder(&self, session: u64) -> &str {
        self.sessions.get(&session).map_or(HOME, |session| &session.machine.shell().folder)
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.connection.restart();
                self.etcd.restart();
                self.calls.clear();
                for session in self.sessions.values_mut() {
                    *session =
                        Session { history: std::mem::take(&mut session.history), ..Session::default() };
                }
            }
            Input::Message { message: Message::HostFile(file), .. } => {
                super::console::take(&mut self.files, &file);
            }
            Input::Message { message: Message::CriResponse(response), .. } => {
                if let Some(purpose) = self.calls.remove(&response.id)
                    && let Some(session) = self.sessions.get_mut(&purpose.session)
                {
                    session.machine.deliver_node(purpose.task, purpose.ticket, response.result.clone());
                    self.run(purpose.session, context);
                }
            }
            Input::Message { from, message } => {
                if let Some((purpose, answer)) = self.connection.receive(context, from, &message) {
                    self.deliver(purpose, answer, context);
                } else if let Some((purpose, answer)) = self.etcd.receive(&message)
                    && let Some(session) = self.sessions.get_mut(&purpose.session)
                {
                    session.machine.deliver_etcd(purpose.task, purpose.ticket, answer, context.now());
                    self.run(purpose.session, context);
                }
            }
            Input::Timer(Timer::Client(ClientTimer::Tokens { client })) => {
                self.connection.tokens(context, client)
            }
            Input::Timer(Timer::Client(ClientTimer::Timeouts)) => {
                for (purpose, answer) in self.connection.timeouts(context) {
                    self.deliver(purpose, answer, context);
                }
            }
            Input::Timer(Timer::Terminal(TerminalTimer::Enter { id })) => match self.tray.remove(&id) {
                Some(Order::Line { session, line, stdin }) => {
                    self.sessions.entry(session).or_default().waiting.push_back((line, stdin));
                    self.run(session, context);
                }
                Some(Order::Interrupt { session }) => self.stop(session, context),
                None => {}
            },
            Input::Timer(Timer::Terminal(TerminalTimer::Resume { id })) => {
                self.run(id, context);
            }
            Input::Timer(_) => {}
        }
    }
    fn deliver(&mut self, purpose: Purpose, answer: Answer, context: &mut Context) {
        if let Some(session) = self.sessions.get_mut(&purpose.session) {
            session.machine.deliver(purpose.task, purpose.ticket, answer);
            self.run(purpose.session, context);
        }
    }

    /// Lets the machine of `id` run, and carries out what it wants.
    fn run(&mut self, id: u64, context: &mut Context) {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else { return };
            if !session.is_busy && !session.begin_next() {
                // Strands in the background may have something to do all the same.
                self.with_machine(id, context, |machine, around| machine.run(around));
                return;
            }
            self.with_machine(id, context, |machine, around| machine.run(around));
            if !self.finish(id, context) {
                return;
            }
        }
    }
    /// Notes the end of the line at hand; false while it goes on.
    fn finish(&mut self, id: u64, context: &mut Context) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        if !session.is_busy || session.machine.is_running() {
            return false;
        }
        session.is_busy = false;
        let status = session.machine.status().unwrap_or(0);
        context.note(Note::Terminal {
            session: id,
            stdout: Text::new(),
            stderr: Text::new(),
            exit: Some(status),
        });
        true
    }
    fn stop(&mut self, id: u64, context: &mut Context) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.waiting.clear();
            self.with_machine(id, context, |machine, around| machine.interrupt(around));
            self.finish(id, context);
        }
    }
    fn with_machine(
        &mut self,
        id: u64,
        context: &mut Context,
        act: impl FnOnce(&mut Machine, &mut Surroundings),
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = self.engine.is_some().then(|| self.files.clone());
        let mut workstation =
            Workstation { files: &mut self.files, programs: &self.programs, history: &session.history };
        let mut around = Surroundings {
            now: context.now(),
            system: &mut workstation,
            etcd: self.etcd.directory().clone(),
            random: context.random(),
            output: Vec::new(),
            effects: Vec::new(),
        };
        act(&mut session.machine, &mut around);
        let (output, effects) = (around.output, around.effects);
        let wake = session.machine.wake().filter(|wake| wake.0 < u64::MAX / 8);
        if session.alarm != wake {
            session.alarm = wake;
            if let Some(wake) = wake {
                context.timer(wake.since(context.now()), Timer::Terminal(TerminalTimer::Resume { id }));
            }
        }
        if let (Some(before), Some(engine)) = (before, self.engine)
            && before.revision() != self.files.revision()
        {
            super::console::tell(&before, &self.files, engine, context);
        }
        for (on_error, text) in output {
            let text = Text::from(text);
            let (stdout, stderr) = if on_error { (Text::new(), text) } else { (text, Text::new()) };
            context.note(Note::Terminal { session: id, stdout, stderr, exit: None });
        }
        for effect in effects {
            match effect {
                Effect::Send { task, ticket, server, request } => {
                    let purpose = Purpose { session: id, task, ticket };
                    let to = self.destination(&server);
                    self.connection.send_to(context, self.window, to, *request, purpose);
                }
                Effect::Call { task, ticket, call } => {
                    let purpose = Purpose { session: id, task, ticket };
                    self.etcd.send(context, &call.address, call.operation, purpose);
                }
                Effect::Node { task, ticket, call } => {
                    self.call_node(Purpose { session: id, task, ticket }, *call, context);
                }
                Effect::Cancel { task, ticket } => {
                    let purpose = Purpose { session: id, task, ticket };
                    self.connection.cancel_watch(&purpose, context);
                    self.etcd.cancel(context, |other| *other == purpose);
                }
                Effect::Forget { task } => {
                    self.etcd.cancel(context, |purpose| purpose.session == id && purpose.task == task);
                    self.connection.cancel(context, |purpose| purpose.session == id && purpose.task == task);
                    self.calls.retain(|_, purpose| purpose.session != id || purpose.task != task);
                }
                Effect::Attach { words, shell } => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.attached = Some((words, shell));
                    }
                }
                Effect::Edit { path } => context.note(Note::Edit { session: id, path }),
                Effect::Detach => {
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.attached = None;
                    }
                }
            }
        }
    }

    fn call_node(&mut self, purpose: Purpose, NodeCall { node, call }: NodeCall, context: &mut Context) {
        let engine = if node.is_empty() { self.engine } else { self.nodes.get(&node).copied() };
        self.next_order += 1;
        let id = self.next_order;
        self.calls.insert(id, purpose);
        let message = match engine {
            Some(engine) => {
                return context.send(engine, Message::CriRequest(Arc::new(cri::Request { id, call })));
            }
            None => cri::Response { id, result: Err(UNKNOWN_NODE.into()) },
        };
        let me = context.me();
        context.send(me, Message::CriResponse(Arc::new(message)));
    }
}

/// The command that hands `line` to a shell elsewhere.
fn elsewhere(words: &[String], shell: u64, line: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("CLUSTERARIUM_SHELL={shell:x} CLUSTERARIUM_LINE={} {}", quoted(line), words.join(" "))
}

impl Default for Session {
    fn default() -> Session {
        Session {
            machine: Machine::of_shell(super::workstation::login_shell()),
            is_busy: false,
            alarm: None,
            waiting: VecDeque::new(),
            history: Vec::new(),
            attached: None,
        }
    }
}

impl Session {
    /// Begins the next line that waits.
    fn begin_next(&mut self) -> bool {
        let Some((line, stdin)) = self.waiting.pop_front() else { return false };
        if !line.trim().is_empty() {
            self.history.push(line.clone());
            if self.history.len() > MAXIMUM_HISTORY {
                self.history.remove(0);
            }
        }
        let line = match &self.attached {
            Some((words, shell)) if !line.trim().is_empty() => elsewhere(words, *shell, &line),
            _ => line,
        };
        self.machine.start(&line, &stdin);
        self.is_busy = true;
        true
    }
}
