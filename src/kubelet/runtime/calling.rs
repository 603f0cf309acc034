//! What programs in containers ask of others, and whose answer is whose.
//!
//! Picture to hold in mind: the porter's lodge of the building site. Letters that a workman wants to send are laid on the
//! table; the porter posts them, and when an answer comes he knows at which crane the man stands.

use std::sync::Arc;

use crate::api::Text;
use crate::client::{EtcdAnswer, EtcdConnection, Listener};
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{HostChange, HostFile, Image};
use crate::shell::Main;
use crate::sim::Random;
use crate::sorted::SortedMap;

use super::ContainerEngine;
use super::files::Directory;
use super::images::Reference;
use super::operation::Work;
use super::shell::machine::Call;

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
    process: u64,
    ticket: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Calling {
    programs: Programs,
    etcd: EtcdConnection<Purpose>,
    random: Random,
    next_process: u64,
    /// What is to be posted.
    table: Vec<(Owner, Arc<Call>)>,
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
            random: Random::stream(seed, "containers"),
            next_process: 0,
            table: Vec::new(),
            seen: Arc::default(),
        }
    }
    pub fn restart(&mut self) {
        self.etcd.restart();
        self.table.clear();
    }
    pub fn programs_of(&self, image: &Image) -> &'static [(&'static str, Main)] {
        // Most images have none: they need not be looked at closely.
        if !self.programs.iter().any(|(name, _)| image.reference.contains(name)) {
            return &[];
        }
        let Ok(reference) = Reference::parse(&image.reference) else { return &[] };
        let short = reference.short();
        self.programs.iter().find(|(name, _)| *name == short).map_or(&[][..], |(_, programs)| *programs)
    }
    pub fn directory(&self) -> Arc<SortedMap<Text, Listener>> {
        self.etcd.directory().clone()
    }
    /// What a script may use up: chance, and numbers of processes.
    pub fn draw(&self) -> (Random, u64) {
        (self.random.clone(), self.next_process)
    }
    /// Takes back what is left, and the letters.
    pub fn take(&mut self, owner: &Owner, calls: Vec<Call>, random: Random, next_process: u64) {
        self.random = random;
        self.next_process = next_process;
        self.table.extend(calls.into_iter().map(|call| (owner.clone(), Arc::new(call))));
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
    /// From now on the terminal is told what changes on the disk; what is there it knows.
    pub fn attach_console(&mut self) {
        let state = Arc::make_mut(&mut self.state);
        state.calling.seen = state.disk.host().clone();
    }
    /// Somebody at the console has changed a file.
    pub(super) fn file_changed(&mut self, file: &HostFile) {
        let state = Arc::make_mut(&mut self.state);
        let path = file.path.trim_start_matches('/');
        let host = state.disk.host_mut();
        match &file.change {
            HostChange::Written(content) => host.put(path, content.clone()),
            HostChange::DirectoryMade => host.make_directory(path),
            HostChange::Removed => drop(host.remove(path)),
        }
        state.calling.seen = state.disk.host().clone();
    }
    /// Tells the terminal at the console what containers have changed on the disk.
    fn tell_console(&mut self, context: &mut Context) {
        let Some(console) = self.config.console else { return };
        if Arc::ptr_eq(self.state.disk.host(), &self.state.calling.seen) {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        let now = state.disk.host().clone();
        let before = std::mem::replace(&mut state.calling.seen, now.clone());
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
    }

    /// Posts what processes have laid on the table.
    pub(super) fn make_calls(&mut self, context: &mut Context) {
        self.tell_console(context);
        if self.state.calling.table.is_empty() {
            return;
        }
        let calling = &mut Arc::make_mut(&mut self.state).calling;
        for (owner, call) in std::mem::take(&mut calling.table) {
            match &*call {
                Call::Etcd { process, ticket, call } => {
                    let purpose = Purpose { owner, process: *process, ticket: *ticket };
                    calling.etcd.send(context, &call.address, call.operation.clone(), purpose);
                }
                Call::Cancel { process, ticket } => {
                    let purpose = Purpose { owner, process: *process, ticket: *ticket };
                    calling.etcd.cancel(context, |other| *other == purpose);
                }
            }
        }
    }

    /// Brings an answer to the process that waits for it.
    pub(super) fn answered(&mut self, message: &Message, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some((purpose, answer)) = state.calling.etcd.receive(message) else { return };
        let (Purpose { owner, process, ticket }, now) = (purpose, context.now());
        deliver(state, &owner, process, ticket, &answer, now);
        match owner {
            Owner::Exec(number) => self.step(number, context),
            Owner::Container(id) => self.advance(&id, context),
        }
    }
}

fn deliver(
    state: &mut super::State,
    owner: &Owner,
    process: u64,
    ticket: u64,
    answer: &EtcdAnswer,
    now: crate::sim::Time,
) {
    match owner {
        Owner::Exec(number) => {
            if let Some(Work::Exec(exec)) = state.operations.get_mut(number).map(|found| &mut found.work) {
                exec.machine.deliver(process, ticket, answer, now);
            }
        }
        Owner::Container(id) => {
            let machine =
                state.containers.get_mut(id).and_then(|found| Arc::make_mut(found).machine.as_mut());
            if let Some(machine) = machine {
                machine.deliver(process, ticket, answer, now);
            }
        }
    }
}
