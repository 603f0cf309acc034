//! What reaches the node's kernel from outside of the engine: rules from kube-proxy and kube-router, ranges from the neighbours.
//!
//! Picture to hold in mind: the hatch in the basement wall. Rule books are handed in from above; letters from the
//! neighbours' basements say which addresses live there, and are answered in kind.
//!
//! The routing agent is a part of the machine, not of Kubernetes: told once, and again to whoever has not answered. An
//! add-on may take its place: flanneld, which wraps what goes from machine to machine, or Calico's BIRD, which tells of
//! ranges by BGP. Both begin with their container, and what they have told the kernel stays when it ends.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::node::{NodeMessage, Said};
use crate::network::cni;
use crate::network::ipam::Cidr;
use crate::network::kernel::{Agent, Neighbour};
use crate::shell::date;
use crate::shell::files::absolute;
use crate::sim::{ActorId, Duration};
use crate::timer::{EngineTimer, Timer};

use super::ContainerEngine;
use super::container::Container;
use super::files::View;

/// Until a neighbour that has not answered is told again.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// BIRD's: silence after which a session is over (`hold time`), and how often something is said at least.
const HOLD_TIME: Duration = Duration::from_secs(240);
const KEEPALIVE: Duration = Duration::from_secs(80);

impl ContainerEngine {
    /// Somebody outside listens to what this machine says of load balancers, and hears what there is.
    pub fn learn_outside(&mut self, actor: ActorId) -> Arc<Vec<(core::net::IpAddr, Text)>> {
        let kernel = &mut Arc::make_mut(&mut self.state).kernel;
        kernel.outside = Some(actor);
        kernel.announced.clone()
    }
    pub fn learn_balancers(&mut self, table: Arc<Vec<(core::net::IpAddr, Text)>>) {
        Arc::make_mut(&mut self.state).kernel.announced = table;
    }
    /// A program that is an actor of its own.
    pub fn add_daemon(&mut self, program: &'static str, actor: ActorId) {
        Arc::make_mut(&mut self.config).daemons.push((program, actor));
    }
    /// A machine is on the same wire.
    pub fn learn_neighbour(&mut self, name: &str, address: core::net::IpAddr, actor: ActorId) {
        let kernel = &mut Arc::make_mut(&mut self.state).kernel;
        Arc::make_mut(&mut kernel.neighbours).push(Neighbour { name: name.into(), address, actor });
    }

    pub(super) fn node_message(&mut self, from: ActorId, message: NodeMessage, context: &mut Context) {
        match message {
            NodeMessage::Attach => {
                let is_its = |one: &&Container| self.config.daemon_of(one) == Some(from);
                for container in self.containers().filter(|one| one.is_running()).filter(is_its) {
                    context.send(from, Message::node(self.exec_message(container)));
                }
            }
            NodeMessage::Restore(restore) => {
                let kernel = &mut Arc::make_mut(&mut self.state).kernel;
                kernel.now = context.now();
                kernel.restore(&restore);
            }
            NodeMessage::Routes { agent, .. }
                if agent != self.state.kernel.agent || !self.is_agent_there() => {}
            // A keepalive.
            NodeMessage::Routes { node, ranges, .. } if ranges.is_empty() => {
                Arc::make_mut(&mut self.state).kernel.hear(&node, context.now());
            }
            NodeMessage::Routes { node, ranges, wants_answer, .. } => {
                let kernel = &mut Arc::make_mut(&mut self.state).kernel;
                let via = kernel.neighbours.iter().find(|one| one.actor == from).map(|one| one.address);
                if let Some(via) = via {
                    // Who opens a session has begun anew.
                    if wants_answer && kernel.agent == Agent::Bird && kernel.has_heard(&node) {
                        kernel.lose(&node, context.now());
                    }
                    kernel.learn_ranges(&node, via, &ranges, context.now());
                }
                self.write_peers(context);
                if wants_answer {
                    let answer = self.routes(false);
                    context.send(from, Message::node(answer));
                }
            }
            NodeMessage::Announce(table) => {
                let kernel = &mut Arc::make_mut(&mut self.state).kernel;
                kernel.announced = table.clone();
                if !kernel.neighbours.iter().any(|one| one.actor == from) {
                    let others = kernel.neighbours.iter().map(|one| one.actor);
                    for other in others.chain(kernel.outside) {
                        context.send(other, Message::node(NodeMessage::Announce(table.clone())));
                    }
                }
            }
            NodeMessage::Packet(letter) => self.letter(&letter, context),
            NodeMessage::Reached { id, reached } => self.reached(id, reached, context),
            NodeMessage::Records { id, answer } => self.answer_query(id, Ok(Said::Dns(answer)), context),
            NodeMessage::Upstream { id, to } => self.upstream(id, to, context),
            NodeMessage::Quit { container, words } => {
                let state = Arc::make_mut(&mut self.state);
                let found = state.containers.get_mut(&container).filter(|one| one.is_running());
                if let Some(found) = found {
                    Arc::make_mut(found).log(context.now(), &words);
                    self.exit(&container, 1, "Error", "", context);
                }
            }
            NodeMessage::Say { container, words, ports } => {
                let state = Arc::make_mut(&mut self.state);
                let found = state.containers.get_mut(&container).filter(|one| one.is_running());
                if let Some(found) = found.map(Arc::make_mut) {
                    found.log(context.now(), &words);
                    if let (Some(ports), Some((server, _))) = (ports, &mut found.server) {
                        Arc::make_mut(server).ports = ports;
                    }
                }
            }
            NodeMessage::Exec { .. }
            | NodeMessage::Exit { .. }
            | NodeMessage::Query { .. }
            | NodeMessage::Forward { .. } => {}
        }
    }

    /// What the process of `container` begins with.
    pub(super) fn exec_message(&self, container: &Container) -> NodeMessage {
        let arguments = container.arguments();
        let behind = |flag: &str| {
            let at = arguments.iter().position(|argument| argument == flag)?;
            arguments.get(at + 1).map(Text::as_str)
        };
        let path = arguments.iter().find_map(|argument| argument.strip_prefix("--config="));
        let path = path.or_else(|| behind("-conf"));
        let sandbox = self.state.sandboxes.get(&container.sandbox);
        let config = path.zip(sandbox).and_then(|(path, sandbox)| {
            let view = View {
                disk: &mut self.state.disk.clone(),
                layer: &mut container.layer.clone(),
                mounts: &container.config.mounts,
                pod_uid: &sandbox.config.uid,
                hostname: "",
                shown: None,
                container: None,
            };
            view.read(&absolute("/", path))
        });
        let program = arguments.first().and_then(|path| path.rsplit('/').next()).unwrap_or("").into();
        // What has no file is told by its environment.
        let mut variables = String::new();
        for (name, value) in container.config.environment.iter().filter(|_| program == "start_runit") {
            variables += &format!("{name}={value}\n");
        }
        let config = config.unwrap_or(variables.into());
        NodeMessage::Exec { container: container.id.clone(), program, config }
    }

    /// Files of a pod have been written anew: its programs that are actors see what stands in theirs.
    pub(super) fn volume_changed(&self, pod_uid: &str, context: &mut Context) {
        let is_its = |one: &&Container| {
            let sandbox = self.state.sandboxes.get(&one.sandbox);
            one.is_running() && sandbox.is_some_and(|sandbox| sandbox.config.uid == pod_uid)
        };
        for container in self.containers().filter(is_its) {
            if let Some(daemon) = self.config.daemon_of(container) {
                context.send(daemon, Message::node(self.exec_message(container)));
            }
        }
    }

    fn routes(&self, wants_answer: bool) -> NodeMessage {
        let kernel = &self.state.kernel;
        let ranges = kernel.ranges.iter().map(|range| range.to_string().into()).collect();
        NodeMessage::Routes { node: kernel.node.clone(), ranges, agent: kernel.agent, wants_answer }
    }

    /// A container has begun: the program of a network add-on takes its part of the node over.
    pub(super) fn network_program(&mut self, container: &Text, context: &mut Context) {
        let Some(container) = self.state.containers.get(container) else { return };
        let (is_flannel, is_calico) = (container.runs("flanneld"), container.runs("start_runit"));
        if self.config.hollow || !(is_flannel || is_calico) {
            return;
        }
        let kernel = &mut Arc::make_mut(&mut self.state).kernel;
        if is_flannel {
            kernel.open_tunnel();
        } else {
            kernel.agent = Agent::Bird;
            kernel.tunnel = None;
            kernel.heard = Arc::default();
        }
        self.write_peers(context);
        self.tell_routes(context);
    }
    /// What the add-on's program leaves on the disk: the plugin reads flanneld's file, and `calicoctl node status` asks
    /// BIRD, which here means that it reads this.
    fn write_peers(&mut self, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let kernel = &state.kernel;
        let range = kernel.ranges.first().zip(kernel.cluster_range);
        let second = kernel.ranges.get(1).map_or(String::new(), |range| {
            let own = (range.gateway(), range.prefix_length());
            format!("FLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET={}/{}\n", own.0, own.1)
        });
        let (path, text) = match (kernel.agent, range) {
            (Agent::Flanneld, Some((own, all))) => (
                cni::SUBNET_FILE,
                format!(
                    "FLANNEL_NETWORK={all}\nFLANNEL_SUBNET={}/{}\n{second}FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
                    own.gateway(),
                    own.prefix_length()
                ),
            ),
            (Agent::Bird, _) => {
                let mut text = String::new();
                for peer in kernel.neighbours.iter() {
                    let heard = kernel.heard.iter().find(|one| one.node == peer.name);
                    let lost = kernel.lost.iter().find(|(name, _)| *name == peer.name);
                    text.push_str(&peer.address.to_string());
                    let state =
                        heard.map(|one| (" up ", one.since)).or(lost.map(|(_, since)| (" start ", *since)));
                    if let Some((state, since)) = state {
                        text.push_str(state);
                        text.push_str(&date::format(since, "%H:%M:%S"));
                    }
                    text.push('\n');
                }
                ("/var/run/calico/bird.peers", text)
            }
            _ => return,
        };
        let path = path.trim_start_matches('/');
        if state.disk.read_host(path).is_none_or(|old| *old != text) {
            state.disk.host_mut().put(path, text.into());
            self.make_calls(context);
        }
    }

    /// The node's own ranges are known: its neighbours are told.
    pub(super) fn has_ranges(&mut self, ranges: &[Text], context: &mut Context) {
        let kernel = &mut Arc::make_mut(&mut self.state).kernel;
        kernel.ranges = ranges.iter().filter_map(|range| Cidr::parse(range)).collect();
        kernel.heard = Arc::default();
        if kernel.agent == Agent::Flanneld {
            kernel.open_tunnel();
        }
        // A configuration may name the range that is known only now.
        if self.config.agent != Agent::Machine {
            Arc::make_mut(&mut self.state).reload_cni();
        }
        self.write_peers(context);
        self.tell_routes(context);
    }
    /// BIRD speaks while its container runs; the others are no containers, or say nothing any more.
    fn is_agent_there(&self) -> bool {
        self.state.kernel.agent != Agent::Bird
            || self.containers().any(|one| one.is_running() && one.runs("start_runit"))
    }
    /// The clock of the sessions has struck.
    pub(super) fn routes_tick(&mut self, context: &mut Context) {
        let now = context.now();
        if self.state.told_at + KEEPALIVE.min(TELL_AGAIN) > now {
            return;
        }
        let kernel = &mut Arc::make_mut(&mut self.state).kernel;
        if kernel.agent == Agent::Bird {
            let silent = kernel.heard.iter().filter(|one| now.since(one.last) >= HOLD_TIME);
            for node in silent.map(|one| one.node.clone()).collect::<Vec<Text>>() {
                kernel.lose(&node, now);
            }
            self.write_peers(context);
        }
        self.tell_routes(context);
    }
    fn tell_routes(&mut self, context: &mut Context) {
        if !self.is_agent_there() || self.state.kernel.agent == Agent::Nobody {
            return;
        }
        Arc::make_mut(&mut self.state).told_at = context.now();
        let kernel = &self.state.kernel;
        let keepalive = NodeMessage::Routes {
            node: kernel.node.clone(),
            ranges: Vec::new(),
            agent: kernel.agent,
            wants_answer: false,
        };
        let unheard: Vec<ActorId> = kernel
            .neighbours
            .iter()
            .filter(|one| !kernel.has_heard(&one.name))
            .map(|one| one.actor)
            .collect();
        for neighbour in &unheard {
            context.send(*neighbour, Message::node(self.routes(true)));
        }
        let is_bird = kernel.agent == Agent::Bird;
        for one in kernel.neighbours.iter().filter(|one| is_bird && kernel.has_heard(&one.name)) {
            context.send(one.actor, Message::node(keepalive.clone()));
        }
        if !unheard.is_empty() {
            context.periodic(TELL_AGAIN, Timer::Engine(EngineTimer::Routes));
        } else if is_bird {
            context.periodic(KEEPALIVE, Timer::Engine(EngineTimer::Routes));
        }
    }
}
