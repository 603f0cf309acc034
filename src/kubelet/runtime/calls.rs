//! The CRI: what the kubelet may ask, and the first step of doing it.
//!
//! Picture to hold in mind: the counter of the workshop. Small questions are answered on the spot; work gets
//! an order on the clipboard ([`super::operation`]).

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::cri::{
    Call, ContainerConfig, DialRequest, EventType, Image, REFUSED, Reply, Request, SandboxConfig,
};
use crate::network::cni;
use crate::network::kernel::Agent;
use crate::sim::{ActorId, Duration};

use super::ContainerEngine;
use super::container::Container;
use super::exec::{Answers, Input};
use super::files;
use super::images::{self, Reference};
use super::operation::{Operation, Work};
use super::reach;
use super::sandbox::{Sandbox, Stage, step};

/// The address of every hollow pod (`pkg/kubelet/cri ... fake_runtime_service.go`).
const HOLLOW_POD_IP: &str = "192.168.192.168";

pub(super) type Answer = Option<Result<Reply, Text>>;

impl ContainerEngine {
    pub(super) fn call(&mut self, from: ActorId, request: &Request, context: &mut Context) {
        let client = (from, request.id);
        if self.is_closed(&request.call) {
            return self.reply(client, Err(REFUSED.into()), context);
        }
        let answer: Answer = match &request.call {
            Call::RunPodSandbox(config) => self.run_sandbox(client, config, context),
            Call::StopPodSandbox { sandbox } => self.stop_sandbox(client, sandbox, context),
            Call::RemovePodSandbox { sandbox } => Some(self.remove_sandbox(sandbox, context)),
            Call::PullImage { image, pod_uid } => self.pull(client, image, pod_uid, context),
            Call::ImageStatus { image } => Some(Ok(Reply::Image(self.image(image)))),
            Call::CreateContainer { sandbox, container } => self.create(client, sandbox, container, context),
            Call::StartContainer { container } => self.start_container(client, container, context),
            Call::StopContainer { container, grace_period_seconds } => {
                self.stop_container(client, container, Duration::from_secs(*grace_period_seconds), context)
            }
            Call::RemoveContainer { container } => Some(self.remove_container(container, context)),
            Call::ExecSync { container, command, timeout_seconds } => {
                let input = Input { text: &Text::new(), is_over: true };
                let timeout = Some(*timeout_seconds).filter(|seconds| *seconds > 0);
                self.exec(client, container, command, (input, false), Answers::Once { timeout }, context)
            }
            Call::Exec { container, command, input, is_input_over, tty } => {
                let input = Input { text: input, is_over: *is_input_over };
                self.exec(client, container, command, (input, *tty), Answers::InPieces, context)
            }
            Call::ExecLine { container, shell, line, is_input_over, tty } => {
                self.exec_line(client, container, shell, (line, *is_input_over, *tty), context)
            }
            Call::ExecMore { stream, .. } if self.attach_more(client, *stream, context) => None,
            Call::ExecMore { container, stream } => self.exec_more(client, container, *stream, context),
            Call::Attach { container, input, is_input_over, line } => {
                let input = Input { text: input, is_over: *is_input_over };
                self.attach(client, container, &input, line.as_ref(), context)
            }
            Call::ExecInput { container, stream, input, is_input_over, is_interrupted } => {
                let input = Input { text: input, is_over: *is_input_over };
                self.exec_input(container, *stream, (input, *is_interrupted), context)
            }
            Call::ListPodSandboxes => {
                let all = self.state.sandboxes.keys().filter_map(|id| self.sandbox_status(id)).collect();
                Some(Ok(Reply::Sandboxes(all)))
            }
            Call::PodSandboxStatus { sandbox } => Some(match self.sandbox_status(sandbox) {
                Some(status) => Ok(Reply::Sandboxes(vec![status])),
                None => Err(not_found("sandbox", sandbox)),
            }),
            Call::ContainerLogs { container, tail } => Some(match self.state.containers.get(container) {
                Some(container) => {
                    let skip = tail.map_or(0, |tail| container.logs.len().saturating_sub(tail));
                    Ok(Reply::Logs(container.logs.iter().skip(skip).cloned().collect()))
                }
                None => Err(not_found("container", container)),
            }),
            Call::ListImages => Some(Ok(Reply::Images(self.state.images.values().cloned().collect()))),
            Call::Verbose { id } => Some(Ok(Reply::Information(self.verbose(id)))),
            Call::ListStats => Some(Ok(self.stats(context.now()))),
            Call::Status => {
                let network_error = self.network_error();
                let network_error = if network_error.is_empty() {
                    Text::new()
                } else {
                    arcstr::format!("Network plugin returns error: {network_error}")
                };
                Some(Ok(Reply::Status { runtime_error: Text::new(), network_error }))
            }
            Call::UpdateRuntimeConfig { pod_cidrs } => {
                let state = Arc::make_mut(&mut self.state);
                let has_template = self.config.agent == Agent::Machine;
                if !state.has_own_cni_config && !pod_cidrs.is_empty() && has_template {
                    state.write_cni(&cni::default_text(pod_cidrs));
                    state.read_cni(Some(&cni::default_config(pod_cidrs)));
                }
                self.has_ranges(pod_cidrs, context);
                self.tell_console(context);
                Some(Ok(Reply::Done))
            }
            Call::WriteVolume { pod_uid, volume, files } => {
                Arc::make_mut(&mut self.state).disk.write_volume(pod_uid, volume, files);
                self.volume_changed(pod_uid, context);
                Some(Ok(Reply::Done))
            }
            Call::RemoveVolumes { pod_uid } => {
                let state = Arc::make_mut(&mut self.state);
                state.disk.remove_volumes(pod_uid);
                state.stories.remove(pod_uid);
                Some(Ok(Reply::Done))
            }
            Call::Dial { sandbox, port, request, timeout_seconds } => {
                self.dial(client, sandbox, *port, request, *timeout_seconds, context)
            }
        };
        if let Some(result) = answer {
            self.reply(client, result, context);
        }
    }

    fn run_sandbox(
        &mut self,
        client: (ActorId, u64),
        config: &Arc<SandboxConfig>,
        context: &mut Context,
    ) -> Answer {
        let id = if self.config.hollow {
            arcstr::format!("{}_{}_{}_{}", config.name, config.namespace, config.uid, config.attempt)
        } else {
            container_id(context)
        };
        let mut sandbox = Sandbox::new(id.clone(), config.clone(), context.now());
        if self.config.hollow {
            sandbox.stage = Stage::Ready;
            sandbox.fixed_ip = Some(HOLLOW_POD_IP.into());
        }
        Arc::make_mut(&mut self.state).sandboxes.insert(id.clone(), Arc::new(sandbox));
        if self.config.hollow {
            self.note(context, &id, step::READY, "");
            self.announce(context, &id, &id, EventType::Started);
            return Some(Ok(Reply::Sandbox { sandbox: id }));
        }
        self.enter(client, &id, Stage::PauseCreated, context);
        None
    }

    fn stop_sandbox(&mut self, client: (ActorId, u64), id: &Text, context: &mut Context) -> Answer {
        let Some(sandbox) = self.state.sandboxes.get(id) else { return Some(Ok(Reply::Done)) };
        if sandbox.stage == Stage::Stopped {
            return Some(Ok(Reply::Done));
        }
        let host_network = sandbox.config.host_network;
        for container in self.state.is_running_in(id) {
            self.exit(&container, 137, "Error", "", context);
        }
        if self.config.hollow {
            if let Some(sandbox) = Arc::make_mut(&mut self.state).sandboxes.get_mut(id) {
                Arc::make_mut(sandbox).stage = Stage::Stopped;
            }
            self.note(context, id, step::PAUSE_STOPPED, "");
            self.announce(context, id, id, EventType::Stopped);
            return Some(Ok(Reply::Done));
        }
        self.enter(client, id, if host_network { Stage::Stopped } else { Stage::CniDel }, context);
        None
    }

    fn remove_sandbox(&mut self, id: &Text, context: &mut Context) -> Result<Reply, Text> {
        let Some(sandbox) = self.state.sandboxes.get(id).cloned() else { return Ok(Reply::Done) };
        self.note(context, id, step::SANDBOX_REMOVED, id);
        let state = Arc::make_mut(&mut self.state);
        state.containers.retain(|_, container| container.sandbox != *id);
        if let Some(network) = &mut state.cni {
            network.delete(id);
        }
        state.sandboxes.remove(id);
        let event = crate::message::cri::Event {
            container_id: id.clone(),
            pod_uid: sandbox.config.uid.clone(),
            kind: EventType::Deleted,
            status: None,
        };
        context.send(self.config.kubelet, crate::message::Message::CriEvent(Arc::new(event)));
        Ok(Reply::Done)
    }

    fn image(&self, name: &str) -> Option<Image> {
        if self.config.hollow {
            // The fake engine keeps the name as it is asked for, which the kubelet does with a tag.
            let name = crate::kubelet::images::with_tag(name);
            return Some(Image { reference: name.clone(), id: name, size_bytes: 0 });
        }
        let reference = Reference::parse(name).ok()?;
        self.state.images.get(&reference.full()).cloned()
    }

    fn pull(&mut self, client: (ActorId, u64), name: &str, pod_uid: &Text, context: &mut Context) -> Answer {
        if let (true, Some(image)) = (self.config.hollow, self.image(name)) {
            return Some(Ok(Reply::Image(Some(image))));
        }
        let reference = match Reference::parse(name) {
            Ok(reference) => reference,
            Err(error) => {
                let words = arcstr::format!(
                    "rpc error: code = InvalidArgument desc = failed to parse image reference \"{name}\": {error}"
                );
                return Some(Err(words));
            }
        };
        let is_present = self.state.images.contains_key(&reference.full());
        let (low, high) = if is_present { (120, 380) } else { (350, 900) };
        let resolve = context.random().duration(Duration::from_millis(low), Duration::from_millis(high));
        let transfer = match images::look_up(&reference) {
            Ok(image) if !is_present => {
                // The download, and then the layers are unpacked at some 80 MB a second.
                let download = image.size_bytes.saturating_mul(1_000_000)
                    / self.config.bandwidth_bytes_per_second.max(1);
                Duration(download + image.size_bytes / 80)
            }
            _ => Duration::ZERO,
        };
        self.tell(context, pod_uid, step::IMAGE_PULL, reference.full());
        let work = Work::Pull { reference, pod_uid: pod_uid.clone() };
        self.begin(Operation { client, work }, resolve + transfer, context);
        None
    }

    fn create(
        &mut self,
        client: (ActorId, u64),
        sandbox: &Text,
        config: &Arc<ContainerConfig>,
        context: &mut Context,
    ) -> Answer {
        let Some(found) = self.state.sandboxes.get(sandbox) else {
            return Some(Err(arcstr::format!(
                "rpc error: code = NotFound desc = failed to find sandbox id \"{sandbox}\": not found"
            )));
        };
        if !found.is_ready() {
            return Some(Err(arcstr::format!(
                "rpc error: code = Unknown desc = sandbox container \"{sandbox}\" is not running"
            )));
        }
        let name = config.spec.text("image");
        let Some(image) = self.image(name) else {
            return Some(Err(arcstr::format!(
                "rpc error: code = NotFound desc = failed to resolve image \"{name}\": not found"
            )));
        };
        let id = if self.config.hollow {
            arcstr::format!("{sandbox}_{}_{}", config.spec.text("name"), config.attempt)
        } else {
            container_id(context)
        };
        let content = match Reference::parse(name) {
            Ok(reference) => images::content_of(&reference),
            Err(error) => return Some(Err(error.into())),
        };
        let mut config = config.clone();
        let is_unknown = content.command.is_empty() && content.entrypoint.is_empty();
        if !self.config.hollow && config.command.is_empty() && config.args.is_empty() && is_unknown {
            // An image that nothing is known about has an entry point, only we do not know which.
            let short =
                name.rsplit('/').next().and_then(|name| name.split([':', '@']).next()).unwrap_or("app");
            Arc::make_mut(&mut config).command = vec![short.into()];
        }
        if !self.config.hollow {
            let memory = files::shared_memory(sandbox, found.config.host_ipc);
            Arc::make_mut(&mut config).mounts.push(memory);
        }
        let mut container =
            Container::new(id.clone(), sandbox.clone(), config, image, content, context.now());
        if container.image.reference.contains("/flannel-cni-plugin") {
            container.layer.put("flannel", Text::new());
        }
        Arc::make_mut(&mut self.state).containers.insert(id.clone(), Arc::new(container));
        if self.config.hollow {
            return Some(Ok(Reply::Container { container: id }));
        }
        let after = context.random().duration(Duration::from_millis(15), Duration::from_millis(45));
        self.begin(Operation { client, work: Work::Create { container: id } }, after, context);
        None
    }

    fn start_container(&mut self, client: (ActorId, u64), id: &Text, context: &mut Context) -> Answer {
        if self.config.hollow {
            return Some(self.started(id, context).map(|()| Reply::Done));
        }
        let after = context.random().duration(Duration::from_millis(40), Duration::from_millis(110));
        self.begin(Operation { client, work: Work::Start { container: id.clone() } }, after, context);
        None
    }

    fn stop_container(
        &mut self,
        client: (ActorId, u64),
        id: &Text,
        grace: Duration,
        context: &mut Context,
    ) -> Answer {
        let now = context.now();
        let Some(container) = self.state.containers.get(id) else { return Some(Ok(Reply::Done)) };
        if !container.is_running() {
            return Some(Ok(Reply::Done));
        }
        if self.config.hollow {
            self.exit(id, 0, "", "", context);
            return Some(Ok(Reply::Done));
        }
        let is_first = self.state.is_first_process(container);
        let sandbox = container.sandbox.clone();
        let detail = arcstr::format!("{} {id} grace {} s", container.name(), grace.as_secs());
        self.note(context, &sandbox, step::TERM_SENT, detail);
        if let Some(container) = Arc::make_mut(&mut self.state).containers.get_mut(id) {
            let container = Arc::make_mut(container);
            container.terminate(now, grace, is_first);
            container.stop_waiters.push(client);
        }
        self.advance(id, context);
        None
    }

    fn remove_container(&mut self, id: &Text, context: &mut Context) -> Result<Reply, Text> {
        let Some(container) = self.state.containers.get(id).cloned() else { return Ok(Reply::Done) };
        if container.is_running() {
            self.exit(id, 137, "Error", "", context);
        }
        self.note(
            context,
            &container.sandbox,
            step::CONTAINER_REMOVED,
            arcstr::format!("{} {id}", container.name()),
        );
        Arc::make_mut(&mut self.state).containers.remove(id);
        self.announce(context, id, &container.sandbox, EventType::Deleted);
        Ok(Reply::Done)
    }

    fn dial(
        &mut self,
        client: (ActorId, u64),
        id: &Text,
        port: u16,
        request: &DialRequest,
        timeout_seconds: u64,
        context: &mut Context,
    ) -> Answer {
        let Some(sandbox) = self.state.sandboxes.get(id).filter(|sandbox| sandbox.is_ready()) else {
            // Nobody answers at the address any more.
            let error = Err("i/o timeout".into());
            self.answer_after(client, Duration::from_secs(timeout_seconds.max(1)), error, context);
            return None;
        };
        let path = match request {
            DialRequest::HttpGet { path } if path.is_empty() => "/",
            DialRequest::HttpGet { path } => path,
            DialRequest::TcpSocket | DialRequest::Grpc => "",
        };
        let result =
            reach::dial(&self.state.containers, &self.state.disk, sandbox, port, path, context.now())
                .map(|(status, body)| Reply::Dialed { status, body })
                .map_err(|error| Text::from(error.to_ascii_lowercase()));
        let after = context.random().duration(Duration(300), Duration(1500));
        self.answer_after(client, after, result, context);
        None
    }
}

pub(super) fn not_found(what: &str, id: &str) -> Text {
    arcstr::format!(
        "rpc error: code = NotFound desc = an error occurred when try to find {what} \"{id}\": not found"
    )
}

/// 64 hexadecimal digits, as containerd makes them.
fn container_id(context: &mut Context) -> Text {
    let mut digits = || context.random().next();
    arcstr::format!("{:016x}{:016x}{:016x}{:016x}", digits(), digits(), digits(), digits())
}
