//! Whoever listens to a container's first process, and talks to it.
//!
//! Picture to hold in mind: a visitor at the window of a room in which somebody works. He hears what is said from the
//! moment he comes, may call something in, and is gone when the worker goes home.
//!
//! What is typed at a terminal comes line by line: whoever has typed one waits until the process waits for the next.
//! CRI's `Attach` answers with an address to stream from; here pieces are the stream, as with
//! [`exec`](super::exec).

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::cri::{ContainerState, Reply};
use crate::shell::Machine;
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{EngineTimer, Timer};

use super::calls::{Answer, not_found};
use super::container::Container;
use super::exec::Input;
use super::operation::{Operation, Work};
use super::{ContainerEngine, State};

/// Who asks for the next piece hears after this that there is none yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// What nobody fetches.
const UNREAD_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct Attached {
    pub container: Text,
    text: String,
    /// Who waits for the next piece, and since when.
    listener: Option<((ActorId, u64), Time)>,
    is_line: bool,
}

impl State {
    /// A container's first process has said something.
    pub(super) fn hear(&mut self, container: &Text, text: &str) {
        for operation in self.operations.values_mut() {
            if let Work::Attach(attached) = &mut operation.work
                && attached.container == *container
                && attached.text.len() < UNREAD_BYTES
            {
                attached.text += text;
            }
        }
    }
}

impl Container {
    /// Whether its first process waits for somebody to type.
    fn waits(&self) -> bool {
        let is_waiting = |machine: &Machine| {
            machine.wake().is_none() && machine.service().is_none() && !machine.is_calling()
        };
        let is_open = self.config.spec.is_true("stdin");
        is_open && !self.is_asking && self.machine.as_ref().is_some_and(is_waiting)
    }
}

impl ContainerEngine {
    pub(super) fn attach(
        &mut self,
        client: (ActorId, u64),
        id: &Text,
        input: &Input,
        line: Option<&Text>,
        context: &mut Context,
    ) -> Answer {
        let Some(container) = self.state.containers.get(id).filter(|one| one.is_running()) else {
            return Some(Err(not_found("container", id)));
        };
        if line.is_some_and(|line| line.is_empty()) {
            return Some(Ok(reply(String::new(), 0, !container.waits(), None)));
        }
        let now = context.now();
        if line.is_some() && !container.waits() {
            // Whatever the last line has begun is interrupted by the next one.
            let state = Arc::make_mut(&mut self.state);
            if let Some(found) = state.containers.get_mut(id).map(Arc::make_mut) {
                found.is_asking = false;
                found.journal.clear();
                found.machine.iter_mut().for_each(Machine::interrupt_soon);
            }
            self.advance(id, context);
        }
        let state = Arc::make_mut(&mut self.state);
        let Some(found) = state.containers.get_mut(id).map(Arc::make_mut) else {
            return Some(Err(not_found("container", id)));
        };
        if let (Some(machine), Some(line)) = (&mut found.machine, line) {
            let typed = arcstr::format!("{line}\n");
            if found.is_shell && !machine.is_running() {
                machine.start(line, "");
                // A terminal shows the prompt and what is typed behind it.
                found.log(now, &format!("/ # {typed}"));
            } else {
                machine.feed(&typed, false);
            }
        } else if let Some(machine) = &mut found.machine
            && (!input.text.is_empty() || input.is_over)
        {
            // Who closes the input of a shell leaves it, if that was the one time that it is open.
            let leaves = input.is_over && found.config.spec.is_true("stdinOnce");
            if found.is_shell && !machine.is_running() {
                machine.start(&format!("{}\n{}", input.text, if leaves { "exit" } else { "" }), "");
            } else {
                machine.feed(input.text, input.is_over);
            }
        }
        let attached = Attached {
            container: id.clone(),
            text: String::new(),
            listener: Some((client, now)),
            is_line: line.is_some(),
        };
        let work = Work::Attach(Box::new(attached));
        self.begin(Operation { client, work }, PATIENCE, context);
        self.advance(id, context);
        None
    }

    /// Somebody asks for the next piece.
    pub(super) fn attach_more(&mut self, client: (ActorId, u64), stream: u64, context: &mut Context) -> bool {
        let now = context.now();
        let state = Arc::make_mut(&mut self.state);
        let Some(Operation { work: Work::Attach(attached), .. }) = state.operations.get_mut(&stream) else {
            return false;
        };
        attached.listener = Some((client, now));
        let container = attached.container.clone();
        context.timer(PATIENCE, Timer::Engine(EngineTimer::Step { operation: stream }));
        self.attached(&container, context);
        true
    }

    /// The alarm of somebody who has waited long has rung.
    pub(super) fn attach_step(&mut self, number: u64, attached: Box<Attached>, context: &mut Context) {
        let mut attached = attached;
        if let Some((client, since)) = attached.listener
            && context.now().since(since) >= PATIENCE
        {
            attached.listener = None;
            self.reply(
                client,
                Ok(reply(std::mem::take(&mut attached.text), 0, false, Some(number))),
                context,
            );
        }
        let operation = Operation { client: (context.me(), 0), work: Work::Attach(attached) };
        Arc::make_mut(&mut self.state).operations.insert(number, operation);
    }

    /// Tells those who listen what a container has said, and that it has ended or waits.
    pub(super) fn attached(&mut self, id: &Text, context: &mut Context) {
        let is_its = |operation: &Operation| matches!(&operation.work, Work::Attach(attached) if attached.container == *id);
        let own: Vec<u64> =
            self.state.operations.iter().filter(|(_, one)| is_its(one)).map(|(number, _)| *number).collect();
        for number in own {
            let (ended, waits) = match self.state.containers.get(id) {
                Some(container) => match container.state {
                    ContainerState::Exited { exit_code, .. } => (Some(exit_code), false),
                    _ => (None, container.waits()),
                },
                None => (Some(137), false),
            };
            let operations = &mut Arc::make_mut(&mut self.state).operations;
            let Some(Operation { work: Work::Attach(attached), .. }) = operations.get_mut(&number) else {
                continue;
            };
            let Some((client, _)) = attached.listener else {
                if ended.is_some() && attached.text.is_empty() {
                    operations.remove(&number);
                }
                continue;
            };
            let is_over = ended.is_some() || (attached.is_line && waits);
            if !is_over && attached.text.is_empty() {
                continue;
            }
            attached.listener = None;
            let text = std::mem::take(&mut attached.text);
            let stream = (!is_over).then_some(number);
            if is_over {
                operations.remove(&number);
            }
            self.reply(client, Ok(reply(text, ended.unwrap_or(0), ended.is_some(), stream)), context);
        }
    }
}

fn reply(text: String, exit_code: i32, leaves: bool, stream: Option<u64>) -> Reply {
    let (stdout, stderr, unread) = (text.into(), Text::new(), Text::new());
    Reply::Exec { exit_code, stdout, stderr, leaves, stream, unread }
}
