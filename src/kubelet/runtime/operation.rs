//! CRI calls that take time, step by step.
//!
//! Picture to hold in mind: work orders on a clipboard. Each says who asked, what is being done and how far it
//! is; an alarm clock beside each rings when the next step is done.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::cri::{self, ContainerState, EventType, Reply};
use crate::network::bandwidth;
use crate::network::cni::Attachment;
use crate::sim::{ActorId, Duration};

use super::attach::Attached;
use super::exec::Exec;
use super::files::View;
use super::images::{self, Reference};
use super::sandbox::{Stage, step};
use super::userland;
use super::{CNI_NOT_INITIALIZED, ContainerEngine};

#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked, under which number.
    pub client: (ActorId, u64),
    pub work: Work,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// A sandbox goes up or down; its own `stage` says how far it is.
    Sandbox {
        sandbox: Text,
    },
    Pull {
        reference: Reference,
        pod_uid: Text,
    },
    /// The reply to give once the time has passed.
    Create {
        container: Text,
    },
    Start {
        container: Text,
    },
    Exec(Box<Exec>),
    Attach(Box<Attached>),
    /// An answer that takes its time and changes nothing.
    Answer {
        result: Result<Reply, Text>,
    },
}

impl ContainerEngine {
    /// The time for a step of `operation` has passed.
    pub(super) fn step(&mut self, number: u64, context: &mut Context) {
        let Some(operation) = Arc::make_mut(&mut self.state).operations.remove(&number) else { return };
        let client = operation.client;
        match operation.work {
            Work::Sandbox { sandbox } => self.sandbox_step(client, sandbox, context),
            Work::Pull { reference, pod_uid } => self.pulled(client, &reference, &pod_uid, context),
            Work::Create { container } => {
                self.created(&container, context);
                self.reply(client, Ok(Reply::Container { container }), context);
            }
            Work::Start { container } => {
                let result = self.started(&container, context).map(|()| Reply::Done);
                self.reply(client, result, context);
            }
            Work::Exec(exec) => self.exec_step(number, client, exec, context),
            Work::Attach(attached) => self.attach_step(number, attached, context),
            Work::Answer { result } => self.reply(client, result, context),
        }
    }

    /// One more step up or down; the note says what has just been done.
    fn sandbox_step(&mut self, client: (ActorId, u64), id: Text, context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        let Some(sandbox) = state.sandboxes.get_mut(&id) else {
            self.reply(client, Ok(Reply::Done), context);
            return;
        };
        let sandbox = Arc::make_mut(sandbox);
        let stage = sandbox.stage;
        let host_network = sandbox.config.host_network;
        let mut detail = Text::new();
        match stage {
            Stage::Namespaces => {
                detail = match (host_network, sandbox.config.host_ipc) {
                    (true, _) => "network: host, ipc, uts: host".into(),
                    (false, true) => "network, ipc: host, uts".into(),
                    (false, false) => "network, ipc, uts".into(),
                };
            }
            Stage::CniAdd => match &state.cni {
                Some(network) => detail = network.config_text.clone(),
                None => {
                    let error = CNI_NOT_INITIALIZED.to_string();
                    self.sandbox_failed(client, &id, &error, context);
                    return;
                }
            },
            Stage::Address => {
                let made = match &mut state.cni {
                    Some(network) => match state.kernel.bridge_error(network) {
                        Some(error) => Err(error),
                        None => bandwidth::limits(network, &sandbox.config.annotations).and_then(|limits| {
                            network.add(&id, &sandbox.pod()).map(|made| Attachment { limits, ..made })
                        }),
                    },
                    None => Err(CNI_NOT_INITIALIZED.to_string()),
                };
                match made {
                    Ok(mut attachment) => {
                        if let Some(network) = &state.cni {
                            state.kernel.attach(network, &mut attachment);
                            let mappings = &sandbox.config.port_mappings;
                            state.kernel.pin(network, &attachment, mappings, &id);
                        }
                        detail = attachment.address_texts().join(" ").into();
                        sandbox.attachment = Some(attachment);
                    }
                    Err(error) => {
                        self.sandbox_failed(client, &id, &error, context);
                        return;
                    }
                }
            }
            Stage::Veth => {
                // The address comes after the pair, so the name is worked out here as the plugin does.
                let pod = sandbox.pod();
                let network = state.cni.as_ref();
                let other = network.map_or(Text::new(), |network| network.host_interface(&id, &pod));
                let bridge = network.map(|network| network.bridge.clone()).unwrap_or_default();
                let on = if bridge.is_empty() && other.starts_with("cali") { "" } else { " on " };
                detail = arcstr::format!("eth0 - {other}{on}{bridge}");
            }
            Stage::Routes => {
                if let Some(attachment) = &sandbox.attachment {
                    detail = attachment.routes().join("; ").into();
                }
            }
            Stage::Dns => {
                let dns = &sandbox.config.dns;
                let words =
                    |words: &[Text]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>().join(" ");
                detail = arcstr::format!(
                    "nameserver {}; search {}; options {}",
                    words(&dns.servers),
                    words(&dns.searches),
                    words(&dns.options)
                );
            }
            Stage::Ready => {
                if let (Some(attachment), Some(network)) = (&sandbox.attachment, &state.cni) {
                    detail = attachment.result(&network.cni_version).to_string().into();
                }
            }
            Stage::AddressReleased => {
                if let Some(network) = &mut state.cni {
                    network.delete(&id);
                    state.kernel.unpin(&network.name, &id);
                }
                if let Some(attachment) = sandbox.attachment.take() {
                    detail = attachment.address_texts().join(" ").into();
                }
            }
            Stage::PauseCreated | Stage::PauseStarted | Stage::CniDel | Stage::Stopped => {
                if stage == Stage::Stopped {
                    state.disk.remove_shared_memory(&sandbox.config.uid, &id);
                }
                detail = id.clone();
            }
        }
        let words = match stage {
            Stage::PauseCreated => step::PAUSE_CREATED,
            Stage::Namespaces => step::NAMESPACES,
            Stage::PauseStarted => step::PAUSE_STARTED,
            Stage::CniAdd => step::CNI_ADD,
            Stage::Veth => step::VETH,
            Stage::Address => step::ADDRESS,
            Stage::Routes => step::ROUTES,
            Stage::Dns => step::DNS,
            Stage::Ready => step::READY,
            Stage::CniDel => step::CNI_DEL,
            Stage::AddressReleased => step::ADDRESS_RELEASED,
            Stage::Stopped => step::PAUSE_STOPPED,
        };
        self.note(context, &id, words, detail);
        match stage.next(host_network) {
            Some(next) => self.enter(client, &id, next, context),
            None => {
                let (kind, reply) = match stage {
                    Stage::Ready => (EventType::Started, Reply::Sandbox { sandbox: id.clone() }),
                    _ => (EventType::Stopped, Reply::Done),
                };
                self.announce(context, &id, &id, kind);
                self.reply(client, Ok(reply), context);
            }
        }
    }

    /// Begins a stage of a sandbox, which is done when its time has passed.
    pub(super) fn enter(&mut self, client: (ActorId, u64), id: &Text, stage: Stage, context: &mut Context) {
        if let Some(sandbox) = Arc::make_mut(&mut self.state).sandboxes.get_mut(id) {
            Arc::make_mut(sandbox).stage = stage;
        }
        let (low, high) = stage.duration();
        let after = context.random().duration(low, high);
        self.begin(Operation { client, work: Work::Sandbox { sandbox: id.clone() } }, after, context);
    }

    /// RunPodSandbox failed: what was built is torn down at once.
    fn sandbox_failed(&mut self, client: (ActorId, u64), id: &Text, error: &str, context: &mut Context) {
        self.note(context, id, step::FAILED, error);
        let state = Arc::make_mut(&mut self.state);
        if let Some(network) = &mut state.cni {
            network.delete(id);
        }
        state.sandboxes.remove(id);
        let words = arcstr::format!(
            "rpc error: code = Unknown desc = failed to setup network for sandbox \"{id}\": {error}"
        );
        self.reply(client, Err(words), context);
    }

    fn pulled(
        &mut self,
        client: (ActorId, u64),
        reference: &Reference,
        pod_uid: &Text,
        context: &mut Context,
    ) {
        let found = images::look_up(reference);
        match &found {
            Ok(image) => {
                let detail = arcstr::format!("{} {} bytes", image.reference, image.size_bytes);
                self.tell(context, pod_uid, step::IMAGE_PULLED, detail);
            }
            Err(error) => self.tell(context, pod_uid, step::IMAGE_FAILED, error.as_str()),
        }
        let result = match found {
            Ok(image) => {
                let state = Arc::make_mut(&mut self.state);
                state.images.insert(image.reference.clone(), image.clone());
                Ok(Reply::Image(Some(image)))
            }
            Err(error) => Err(arcstr::format!("rpc error: {error}")),
        };
        self.reply(client, result, context);
    }

    pub(super) fn created(&mut self, id: &Text, context: &mut Context) {
        let Some(container) = self.state.containers.get(id).cloned() else { return };
        let detail = arcstr::format!("{} {id} {}", container.name(), container.image.reference);
        self.note(context, &container.sandbox, step::CONTAINER_CREATED, detail);
    }

    /// The process starts, or cannot.
    pub(super) fn started(&mut self, id: &Text, context: &mut Context) -> Result<(), Text> {
        let now = context.now();
        let is_hollow = self.config.hollow;
        let state = Arc::make_mut(&mut self.state);
        let not_found = || {
            arcstr::format!(
                "rpc error: code = NotFound desc = an error occurred when try to find container \"{id}\": not found"
            )
        };
        let container = state.containers.get_mut(id).ok_or_else(not_found)?;
        let sandbox = container.sandbox.clone();
        if !state.sandboxes.get(&sandbox).is_some_and(|sandbox| sandbox.is_ready()) {
            return Err(arcstr::format!(
                "rpc error: code = Unknown desc = sandbox container \"{sandbox}\" is not running"
            ));
        }
        let container = Arc::make_mut(container);
        let arguments = container.arguments();
        let directory = match container.config.spec.text("workingDir") {
            "" => "/",
            directory => directory,
        };
        let mut failure = None;
        if !is_hollow {
            let files = View {
                disk: &mut state.disk,
                layer: &mut container.layer,
                mounts: &container.config.mounts,
                pod_uid: &state.sandboxes[&sandbox].config.uid,
                hostname: "",
                shown: None,
                container: None,
            };
            failure = start_error(&arguments, container.content.is_closed, &files);
            if failure.is_none() {
                let environment = &container.config.environment;
                let has = |field: &str| container.config.spec.is_true(field);
                container.is_shell = has("stdin") && has("tty") && is_shell(&arguments);
                container.machine = Some(if container.is_shell {
                    userland::interactive(environment)
                } else {
                    let mut machine = userland::process(&arguments, environment, directory, "");
                    if has("stdin") {
                        // Somebody may type: it waits for that.
                        machine.open_input();
                    }
                    machine
                });
            }
        }
        if let Some(failure) = failure {
            let message = arcstr::format!(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: {failure}"
            );
            container.state = ContainerState::Exited {
                started_at: now,
                finished_at: now,
                exit_code: 128,
                reason: "StartError".into(),
                message: message.clone(),
            };
            self.announce(context, id, &sandbox, EventType::Stopped);
            return Err(arcstr::format!("rpc error: code = Unknown desc = {message}"));
        }
        container.state = ContainerState::Running { started_at: now };
        if !is_hollow {
            container.force(now);
        }
        let detail = arcstr::format!("{} {id}", container.name());
        self.note(context, &sandbox, step::CONTAINER_STARTED, detail);
        self.announce(context, id, &sandbox, EventType::Started);
        self.network_program(id, context);
        let container = self.state.containers.get(id);
        if let Some(container) = container
            && let Some(daemon) = self.config.daemon_of(container)
        {
            context.send(daemon, Message::node(self.exec_message(container)));
        }
        if let Some(process) = container
            .and_then(|container| self.config.process_of(container, self.state.sandboxes.get(&sandbox)))
            && Arc::make_mut(&mut self.state).stopped.remove(&process)
        {
            context.start(process);
        }
        if !is_hollow {
            self.advance(id, context);
        }
        Ok(())
    }

    /// Answers once `after` has passed.
    pub(super) fn answer_after(
        &mut self,
        client: (ActorId, u64),
        after: Duration,
        result: Result<cri::Reply, Text>,
        context: &mut Context,
    ) {
        self.begin(Operation { client, work: Work::Answer { result } }, after, context);
    }
}

/// Whether a command is a shell without a script.
fn is_shell(arguments: &[Text]) -> bool {
    let is_option = |word: &Text| matches!(word.as_str(), "-i" | "-l" | "-il" | "--login");
    match arguments {
        [program, rest @ ..] => {
            matches!(program.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash"))
                && rest.iter().all(is_option)
        }
        [] => false,
    }
}

/// Why runc cannot start the first process; `None`: it can.
fn start_error(arguments: &[Text], is_closed: bool, files: &View) -> Option<String> {
    let Some(program) = arguments.first().filter(|program| !program.is_empty()) else {
        return is_closed.then(|| "exec: \"\": executable file not found in $PATH".to_string());
    };
    let name = program.rsplit('/').next().unwrap_or("");
    if !is_closed
        || userland::is_known(name)
        || super::program::server(name, &[]).is_some()
        || name == "hello"
    {
        return None;
    }
    if program.contains('/') {
        if files.read(program).is_some() {
            return None;
        }
        return Some(format!("exec: \"{program}\": stat {program}: no such file or directory"));
    }
    Some(format!("exec: \"{program}\": executable file not found in $PATH"))
}
