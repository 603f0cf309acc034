//! What programs in containers ask of others, and whose answer is whose.
//!
//! Picture to hold in mind: the porter's lodge of the building site. Letters that a workman wants to send are laid on the
//! table; the porter posts them, and when an answer comes he knows at which crane the man stands.

use std::sync::Arc;

use crate::api::Text;
use crate::client::{EtcdConnection, Listener};
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{self, HostChange, HostFile};
use crate::network::kernel::Neighbour;
use crate::shell::machine::Effect;
use crate::shell::program::UNKNOWN_NODE;
use crate::shell::{Machine, Main};
use crate::sim::Random;
use crate::sorted::SortedMap;

use super::ContainerEngine;
use super::container::Container;
use super::files::Directory;
use super::host::HOST;
use super::images::Reference;
use super::operation::Work;

/// Programs by the short name of the image that has them.
type Programs = &'static [(&'static str, &'static [(&'static str, Main)])];

/// Where a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Beside the container's first process, by the number of the operation.
    Exec(u64),
    /// It is the first process of a container, or a child of that.
    Container(Text),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Purpose {
    owner: Owner,
    /// The strand of its machine.
    task: u32,
    ticket: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Calling {
    programs: Programs,
    etcd: EtcdConnection<Purpose>,
    /// Calls to this engine and to others.
    nodes: SortedMap<u64, Purpose>,
    random: Random,
    /// What is to be posted.
    table: Vec<(Owner, Arc<Effect>)>,
    /// The machine's disk as the terminal at its console last saw it.
    seen: Arc<Directory>,
}

impl Default for Calling {
    fn default() -> Calling {
        Calling::new(&[], 0)
    }
}

impl Calling {
    pub fn new(programs: Programs, seed: u64) -> Calling {
        Calling {
            programs,
            etcd: EtcdConnection::default(),
            nodes: SortedMap::new(),
            random: Random::stream(seed, "containers"),
            table: Vec::new(),
            seen: Arc::default(),
        }
    }
    pub fn restart(&mut self) {
        self.etcd.restart();
        self.nodes.clear();
        self.table.clear();
    }
    /// Those of a container's image; the node's own stand under no name.
    pub fn programs_of(&self, container: &Container) -> &'static [(&'static str, Main)] {
        let image = &container.image;
        // Most images have none: they need not be looked at closely.
        let is_host = container.id == HOST;
        if !is_host
            && !self.programs.iter().any(|(name, _)| !name.is_empty() && image.reference.contains(name))
        {
            return &[];
        }
        let reference = Reference::parse(&image.reference);
        let short = reference.as_ref().map_or("", |reference| reference.short());
        self.programs.iter().find(|(name, _)| *name == short).map_or(&[][..], |(_, programs)| *programs)
    }
    pub fn directory(&self) -> Arc<SortedMap<Text, Listener>> {
        self.etcd.directory().clone()
    }
    /// The chance that a script may use up.
    pub fn draw(&self) -> Random {
        self.random.clone()
    }
    /// Takes back what is left of it, and the letters.
    pub fn take(&mut self, owner: &Owner, effects: Vec<Effect>, random: Random) {
        self.random = random;
        self.table.extend(effects.into_iter().map(|effect| (owner.clone(), Arc::new(effect))));
    }
}

impl ContainerEngine {
    /// Tells which member of etcd listens at an address (`host:port`).
    pub fn learn_etcd(&mut self, address: Text, listener: Listener) {
        Arc::make_mut(&mut self.state).calling.etcd.learn(address, listener);
    }
    /// Writes a file to the machine's own disk.
    pub fn write_host_file(&mut self, path: &str, content: Text) {
        let path = path.trim_start_matches('/');
        Arc::make_mut(&mut self.state).disk.host_mut().put(path, content);
    }
    pub fn make_host_directory(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        Arc::make_mut(&mut self.state).disk.host_mut().make_directory(path);
    }

    pub fn remove_host_file(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        Arc::make_mut(&mut self.state).disk.host_mut().remove(path);
    }
    /// From now on what changes on the disk is noticed, and the terminal at the console is told; what is there it knows.
    pub fn know_disk(&mut self) {
        let state = Arc::make_mut(&mut self.state);
        state.calling.seen = state.disk.host().clone();
    }
    /// Somebody at the console has changed a file.
    pub(super) fn file_changed(&mut self, file: &Arc<HostFile>, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let path = file.path.trim_start_matches('/');
        let before = state.disk.host().clone();
        let host = state.disk.host_mut();
        match &file.change {
            HostChange::Written(content) => host.put(path, content.clone()),
            HostChange::DirectoryMade => host.make_directory(path),
            HostChange::Removed => drop(host.remove(path)),
        }
        state.calling.seen = state.disk.host().clone();
        self.disk_changed(&before, context);
    }
    /// Notices what processes have changed on the disk, and tells the terminal at the console; true if that was told.
    pub(super) fn tell_console(&mut self, context: &mut Context) -> bool {
        if Arc::ptr_eq(self.state.disk.host(), &self.state.calling.seen) {
            return false;
        }
        let state = Arc::make_mut(&mut self.state);
        let now = state.disk.host().clone();
        let before = std::mem::replace(&mut state.calling.seen, now.clone());
        self.disk_changed(&before, context);
        let Some(console) = self.config.console else { return false };
        let mut tell = |path: &str, change: HostChange| {
            let file = HostFile { path: arcstr::format!("/{}", path.trim_end_matches('/')), change };
            context.send(console, Message::HostFile(Arc::new(file)));
        };
        for (path, content) in now.iter() {
            if before.read(path) != Some(content) {
                let is_directory = path.ends_with('/');
                let written = HostChange::Written(content.clone());
                tell(path, if is_directory { HostChange::DirectoryMade } else { written });
            }
        }
        for (path, _) in before.iter().filter(|(path, _)| now.read(path).is_none()) {
            tell(path, HostChange::Removed);
        }
        true
    }

    /// Posts what processes have laid on the table; true if the console was told of a change.
    pub(super) fn make_calls(&mut self, context: &mut Context) -> bool {
        let has_told = self.tell_console(context);
        self.carry_out(context);
        if self.state.calling.table.is_empty() {
            return has_told;
        }
        let me = context.me();
        let state = Arc::make_mut(&mut self.state);
        let calling = &mut state.calling;
        let mut own = Vec::new();
        for (owner, effect) in std::mem::take(&mut calling.table) {
            match &*effect {
                Effect::Call { task, ticket, call } => {
                    let purpose = Purpose { owner, task: *task, ticket: *ticket };
                    calling.etcd.send(context, &call.address, call.operation.clone(), purpose);
                }
                Effect::Node { task, ticket, call } => {
                    let id = state.next_operation;
                    state.next_operation += 1;
                    calling.nodes.insert(id, Purpose { owner, task: *task, ticket: *ticket });
                    let request = cri::Request { id, call: call.call.clone() };
                    let is_it = |one: &&Neighbour| {
                        one.name == call.node || one.address.to_string() == call.node.as_str()
                    };
                    let neighbour = state.kernel.neighbours.iter().find(is_it);
                    let is_me = call.node.is_empty() || call.node == state.kernel.node;
                    match neighbour {
                        _ if is_me => own.push(request),
                        Some(other) => context.send(other.actor, Message::CriRequest(Arc::new(request))),
                        None => {
                            let response = cri::Response { id, result: Err(UNKNOWN_NODE.into()) };
                            context.send(me, Message::CriResponse(Arc::new(response)));
                        }
                    }
                }
                Effect::Cancel { task, ticket } => {
                    let purpose = Purpose { owner, task: *task, ticket: *ticket };
                    calling.etcd.cancel(context, |other| *other == purpose);
                }
                Effect::Forget { task } => {
                    calling.etcd.cancel(context, |other| other.owner == owner && other.task == *task);
                    calling.nodes.retain(|_, other| other.owner != owner || other.task != *task);
                }
                // Nothing in an image asks the API server in this way, or opens a shell elsewhere.
                Effect::Send { .. } | Effect::Attach { .. } | Effect::Detach | Effect::Edit { .. } => {}
            }
        }
        for request in own {
            self.call(me, &request, context);
        }
        has_told
    }

    /// What an engine has answered to a program.
    pub(super) fn node_answered(&mut self, response: &cri::Response, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(Purpose { owner, task, ticket }) = state.calling.nodes.remove(&response.id) else { return };
        if let Some(machine) = machine_of(state, &owner) {
            machine.deliver_node(task, ticket, response.result.clone());
        }
        self.goes_on_by(owner, context);
    }
    fn goes_on_by(&mut self, owner: Owner, context: &mut Context) {
        match owner {
            Owner::Exec(number) => self.step(number, context),
            Owner::Container(id) => self.advance(&id, context),
        }
    }

    /// Brings an answer to the process that waits for it.
    pub(super) fn answered(&mut self, message: &Message, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some((purpose, answer)) = state.calling.etcd.receive(message) else { return };
        let (Purpose { owner, task, ticket }, now) = (purpose, context.now());
        if let Some(machine) = machine_of(state, &owner) {
            machine.deliver_etcd(task, ticket, answer, now);
        }
        self.goes_on_by(owner, context);
    }
}

/// The machine of a process.
fn machine_of<'a>(state: &'a mut super::State, owner: &Owner) -> Option<&'a mut Machine> {
    match owner {
        Owner::Exec(number) => match &mut state.operations.get_mut(number)?.work {
            Work::Exec(exec) => Some(&mut exec.machine),
            _ => None,
        },
        Owner::Container(id) => Arc::make_mut(state.containers.get_mut(id)?).machine.as_mut(),
    }
}
