//! A container's processes: the first one gets the processor until it must wait, others are put beside it.
//!
//! Picture to hold in mind: a stage hand who opens the curtain for one scene. The actor finds his own files, network and
//! name on the stage; when he has to wait for somebody outside, the curtain falls as if nothing had been said.

use std::sync::Arc;

use crate::api::Text;
use crate::message::cri::ContainerState;
use crate::shell::Machine;
use crate::shell::machine::{Output, Surroundings};
use crate::sim::Time;

use super::State;
use super::calling::Owner;
use super::container::Container;
use super::files::View;
use super::host::{HOST, Shown};
use super::reach::NodeNetwork;
use super::talk::{Ask, Desk, Journal};
use super::userland::{self, Node, Userland};

impl State {
    /// Gives the processor to a container until it must wait.
    pub(super) fn run_process(&mut self, id: &Text, now: Time) -> Option<(Text, Ask)> {
        let container = self.containers.get_mut(id)?;
        let mut machine = Arc::make_mut(container).machine.take()?;
        let container = container.clone();
        let mut output = Output::new();
        let owner = Owner::Container(id.clone());
        let open = self.run_beside(&container, &owner, &mut machine, &container.journal, now, &mut output);
        // Released before the container is changed, or the change would copy it.
        drop(container);
        let container = Arc::make_mut(self.containers.get_mut(id)?);
        if let Some((answered, ask)) = open {
            container.journal.truncate(answered);
            container.is_asking = true;
            container.machine = Some(machine);
            return Some((container.sandbox.clone(), ask));
        }
        container.journal.clear();
        for (_, text) in &output {
            container.log(now, text);
        }
        if let (Some(server), None) = (userland::server(&machine), &container.server) {
            container.serve(server, now);
        }
        container.machine = Some(machine);
        for (_, text) in output {
            self.hear(id, &text);
        }
        None
    }

    /// Runs a script in a container's place: its files, its network, its name. `Some`: it asked something over the
    /// network that `journal` has no answer to; then nothing has happened, and it is to be run again with one more.
    pub(super) fn run_beside(
        &mut self,
        container: &Container,
        owner: &Owner,
        machine: &mut Machine,
        journal: &Journal,
        now: Time,
        output: &mut Output,
    ) -> Option<(usize, Ask)> {
        let sandbox = self.sandbox_of(container)?;
        let desk = Desk::new(journal);
        let before = (machine.clone(), self.disk.clone(), self.units.clone());
        let processes = self.processes(container);
        let mut layer = container.layer.clone();
        let mut random = self.calling.draw();
        self.kernel.now = now;
        let is_host = container.id == HOST;
        let shown = Shown::of(&self.sandboxes, &self.containers);
        let network = NodeNetwork {
            now,
            me: &sandbox,
            sandboxes: &self.sandboxes,
            containers: &self.containers,
            disk: self.disk.clone(),
            kernel: &self.kernel,
            desk: &desk,
        };
        let mut userland = Userland {
            files: View {
                disk: &mut self.disk,
                layer: &mut layer,
                mounts: &container.config.mounts,
                pod_uid: &sandbox.config.uid,
                hostname: &sandbox.config.hostname,
                shown: Some(&shown),
                container: (!is_host).then_some((container, now)),
            },
            processes: &processes,
            has_only_known_programs: container.content.is_closed,
            is_minimal: container.content.is_minimal,
            programs: self.calling.programs_of(container),
            network: &network,
            node: is_host.then(|| Node {
                units: Arc::make_mut(&mut self.units),
                sandboxes: &self.sandboxes,
                containers: &self.containers,
                name: &self.kernel.node,
                now,
            }),
        };
        let mut surroundings = Surroundings {
            now,
            system: &mut userland,
            etcd: self.calling.directory(),
            random: &mut random,
            output: Output::new(),
            effects: Vec::new(),
        };
        machine.run(&mut surroundings);
        let effects = surroundings.effects;
        output.append(&mut surroundings.output);
        if let Some(open) = desk.open() {
            (*machine, self.disk, self.units) = before;
            output.clear();
            return Some(open);
        }
        self.calling.take(owner, effects, random);
        if layer != container.layer
            && let Some(container) = self.containers.get_mut(&container.id)
        {
            Arc::make_mut(container).layer = layer;
        }
        None
    }

    /// Names of what runs in a container, or in all of its pod if they share a PID namespace.
    pub(super) fn processes(&self, container: &Container) -> Vec<Text> {
        let Some(sandbox) = self.sandboxes.get(&container.sandbox) else { return Vec::new() };
        let command = |container: &Container| -> Text {
            let words: Vec<String> = container.arguments().iter().map(ToString::to_string).collect();
            words.join(" ").into()
        };
        if !sandbox.config.share_process_namespace {
            return vec![command(container)];
        }
        let mut names = vec![Text::from("/pause")];
        let others =
            self.containers.values().filter(|other| other.sandbox == container.sandbox && other.is_running());
        names.extend(others.map(|other| command(other)));
        names
    }

    pub(super) fn is_first_process(&self, container: &Container) -> bool {
        self.sandboxes.get(&container.sandbox).is_none_or(|sandbox| !sandbox.config.share_process_namespace)
    }

    pub(super) fn is_running_in(&self, sandbox: &str) -> Vec<Text> {
        let running = self
            .containers
            .values()
            .filter(|c| c.sandbox == sandbox && matches!(c.state, ContainerState::Running { .. }));
        running.map(|container| container.id.clone()).collect()
    }
}
