//! Commands that run in a container beside its first process.
//!
//! Picture to hold in mind: somebody sent into the room with an order and a radio. He does the work at his own pace and
//! reports when he is asked, with what there is to report by then; through the radio he can be told more, or to stop.
//!
//! Probes and hooks get one answer, at the end (`ExecSync`); a client gets the output in pieces, as they come, and asks
//! for the next one ([`Call::ExecMore`](crate::message::cri::Call)). CRI's `Exec` answers with an address to stream from;
//! here the pieces are the stream.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::cri::{ContainerState, Reply};
use crate::message::node::Reached;
use crate::shell::Machine;
use crate::shell::machine::Output;
use crate::sim::{ActorId, Duration, Time};
use crate::timer::{EngineTimer, Timer};

use super::ContainerEngine;
use super::calling::Owner;
use super::calls::{Answer, not_found};
use super::host::HOST;
use super::operation::{Operation, Work};
use super::talk::{Ask, Asker, Journal};
use super::userland;

/// The terminal at the console sees the machine's disk by messages, which are under way no longer than this. Who hears
/// that a command has ended must find there what it wrote.
const CONSOLE_LAG: Duration = Duration::from_millis(1);
/// Who asks for the next piece hears after this that there is none yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// What nobody fetches: a command that has written more is ended.
const UNREAD_BYTES: usize = 1 << 20;

/// A command that runs in a container beside its first process.
#[derive(Clone, Debug)]
pub struct Exec {
    pub container: Text,
    pub machine: Machine,
    stdout: String,
    stderr: String,
    /// As for a container's own script.
    journal: Journal,
    is_asking: bool,
    answers: Answers,
    /// Who waits for the next piece, and since when.
    listener: Option<((ActorId, u64), Time)>,
    /// Who has more for it to read wants to know its number at once, whether it has written anything or not.
    is_awaited: bool,
    /// When it is given up.
    deadline: Option<Time>,
    /// The alarm that is set.
    alarm: Option<Time>,
    /// The shell that goes on after this line.
    shell: Option<Text>,
    /// Both outputs lead to a terminal, and come as one.
    is_terminal: bool,
}

/// How a command is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answers {
    /// At its end, or after so many seconds.
    Once {
        timeout: Option<u64>,
    },
    InPieces,
}

/// The end of a command that has nothing to say.
fn silent(exit_code: i32, leaves: bool) -> Reply {
    let (stdout, stderr, unread) = (Text::new(), Text::new(), Text::new());
    Reply::Exec { exit_code, stdout, stderr, leaves, stream: None, unread }
}

/// What is said of a command that has been ended: with its container, or because nobody listened.
fn gone() -> Reply {
    silent(137, true)
}

/// What a command reads, and whether that is all.
pub(super) struct Input<'a> {
    pub text: &'a Text,
    pub is_over: bool,
}

impl Exec {
    fn reply(&mut self, exit_code: i32, stream: Option<u64>) -> Reply {
        Reply::Exec {
            exit_code,
            stdout: std::mem::take(&mut self.stdout).into(),
            stderr: std::mem::take(&mut self.stderr).into(),
            leaves: self.machine.has_left(),
            stream,
            unread: if stream.is_none() { self.machine.take_unread().into() } else { Text::new() },
        }
    }
    fn unread_bytes(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }
}

impl ContainerEngine {
    pub(super) fn exec(
        &mut self,
        client: (ActorId, u64),
        id: &Text,
        command: &[Text],
        (input, is_terminal): (Input, bool),
        answers: Answers,
        context: &mut Context,
    ) -> Answer {
        let Some(container) = self.state.place(id).or_else(|| self.state.containers.get(id).cloned()) else {
            return Some(Err(not_found("container", id)));
        };
        if !container.is_running() {
            let state = if matches!(container.state, ContainerState::Created) { "CREATED" } else { "EXITED" };
            return Some(Err(arcstr::format!(
                "rpc error: code = Unknown desc = failed to exec in container: container is in CONTAINER_{state} state"
            )));
        }
        if self.config.hollow {
            return Some(Ok(silent(0, false)));
        }
        let name = command.first().map(Text::as_str).unwrap_or("");
        let base = name.rsplit('/').next().unwrap_or("");
        let own = self.state.calling.programs_of(&container);
        let is_missing = match container.content.is_minimal {
            true => {
                !userland::is_in_minimal_image(base)
                    && !own.iter().any(|(program, _)| *program == base)
                    && super::program::server(base, &[]).is_none()
            }
            false => container.content.is_closed && id != HOST && !userland::is_known(base),
        };
        if is_missing && !name.contains('/') {
            return Some(Err(arcstr::format!(
                "rpc error: code = Unknown desc = failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: unable to start container process: exec: \"{name}\": executable file not found in $PATH"
            )));
        }
        let folder = if id == HOST { "/root" } else { "/" };
        let machine = userland::process(command, &container.config.environment, folder, input.text);
        let after = context.random().duration(Duration::from_millis(20), Duration::from_millis(60));
        let mut exec = Exec::new(id, machine, answers, input.is_over);
        exec.is_terminal = is_terminal;
        if let Answers::Once { timeout: Some(seconds) } = answers {
            exec.deadline = Some(context.now() + Duration::from_secs(seconds));
        }
        self.set_out(client, exec, after, context);
        None
    }

    /// Hands a line to a shell that waits for one.
    pub(super) fn exec_line(
        &mut self,
        client: (ActorId, u64),
        id: &Text,
        shell: &Text,
        (line, is_input_over, is_terminal): (&Text, bool, bool),
        context: &mut Context,
    ) -> Answer {
        let Some(container) = self.state.place(id) else {
            return Some(Err(not_found("container", id)));
        };
        let environment = container.config.environment.clone();
        let state = Arc::make_mut(&mut self.state);
        let mut machine = state.shells.remove(shell).unwrap_or_else(|| userland::interactive(&environment));
        machine.start(line, "");
        let mut exec = Exec::new(id, machine, Answers::InPieces, is_input_over);
        (exec.shell, exec.is_terminal) = (Some(shell.clone()), is_terminal);
        let after = context.random().duration(Duration::from_millis(1), Duration::from_millis(3));
        self.set_out(client, exec, after, context);
        None
    }

    fn set_out(&mut self, client: (ActorId, u64), mut exec: Exec, after: Duration, context: &mut Context) {
        let is_heard = exec.answers == Answers::InPieces;
        exec.listener = is_heard.then(|| (client, context.now()));
        let number = self.begin(Operation { client, work: Work::Exec(Box::new(exec)) }, after, context);
        if is_heard {
            context.timer(PATIENCE, Timer::Engine(EngineTimer::Step { operation: number }));
        }
    }

    /// The command of this number, if it is one that is answered in pieces.
    fn take_stream(&mut self, container: &Text, stream: u64) -> Option<Box<Exec>> {
        let operations = &mut Arc::make_mut(&mut self.state).operations;
        match &operations.get(&stream)?.work {
            Work::Exec(exec) if exec.container == *container && exec.answers == Answers::InPieces => {}
            _ => return None,
        }
        match operations.remove(&stream)?.work {
            Work::Exec(exec) => Some(exec),
            _ => None,
        }
    }

    /// Somebody asks for the next piece.
    pub(super) fn exec_more(
        &mut self,
        client: (ActorId, u64),
        container: &Text,
        stream: u64,
        context: &mut Context,
    ) -> Answer {
        let Some(mut exec) = self.take_stream(container, stream) else { return Some(Ok(gone())) };
        exec.listener = Some((client, context.now()));
        context.timer(PATIENCE, Timer::Engine(EngineTimer::Step { operation: stream }));
        self.exec_step(stream, client, exec, context);
        None
    }

    /// Somebody has more for the command to read.
    pub(super) fn exec_input(
        &mut self,
        container: &Text,
        stream: u64,
        (input, is_interrupted): (Input, bool),
        context: &mut Context,
    ) -> Answer {
        let Some(mut exec) = self.take_stream(container, stream) else { return Some(Ok(gone())) };
        exec.machine.feed(input.text, input.is_over);
        if is_interrupted {
            exec.machine.interrupt_soon();
            exec.is_asking = false;
            exec.journal.clear();
        }
        let nobody = (context.me(), 0);
        self.exec_step(stream, nobody, exec, context);
        Some(Ok(Reply::Done))
    }

    /// Lets a command in a container go on.
    pub(super) fn exec_step(
        &mut self,
        number: u64,
        client: (ActorId, u64),
        mut exec: Box<Exec>,
        context: &mut Context,
    ) {
        let now = context.now();
        let client = exec.listener.map_or(client, |(listener, _)| listener);
        let is_heard = exec.answers != Answers::InPieces || exec.listener.is_some();
        let state = Arc::make_mut(&mut self.state);
        let Some(container) = state.place(&exec.container) else {
            let error = "rpc error: code = Unknown desc = failed to exec in container: container is in CONTAINER_EXITED state";
            if is_heard {
                self.reply(client, Err(error.into()), context);
            }
            return;
        };
        let mut has_told = false;
        if !exec.is_asking && exec.machine.status().is_none() {
            let mut output = Output::new();
            let owner = Owner::Exec(number);
            let machine = &mut exec.machine;
            let open = state.run_beside(&container, &owner, machine, &exec.journal, now, &mut output);
            if let Some((answered, ask)) = open {
                exec.journal.truncate(answered);
                exec.is_asking = true;
                if let Some(at) = exec.deadline.filter(|at| *at > now) {
                    context.timer(at.since(now), Timer::Engine(EngineTimer::Step { operation: number }));
                }
                self.ask(Asker::Operation(number), &container.sandbox, ask, context);
            } else {
                exec.journal.clear();
                has_told = self.make_calls(context);
                for (on_error, text) in output {
                    if on_error && !exec.is_terminal { exec.stderr += &text } else { exec.stdout += &text }
                }
            }
        }
        if let Some(exit_code) = exec.machine.status() {
            if !is_heard {
                return self.goes_on(number, client, exec);
            }
            let reply = exec.reply(exit_code, None);
            if let Some(shell) = exec.shell.filter(|_| !exec.machine.has_left()) {
                Arc::make_mut(&mut self.state).shells.insert(shell, exec.machine);
            }
            return match has_told {
                true => self.answer_after(client, CONSOLE_LAG, Ok(reply), context),
                false => self.reply(client, Ok(reply), context),
            };
        }
        if let Some((listener, since)) = exec.listener
            && (exec.unread_bytes() > 0 || exec.is_awaited || now.since(since) >= PATIENCE)
        {
            exec.is_awaited = false;
            exec.listener = None;
            let piece = exec.reply(0, Some(number));
            self.reply(listener, Ok(piece), context);
        }
        if exec.unread_bytes() > UNREAD_BYTES {
            return;
        }
        if exec.deadline.is_some_and(|deadline| now >= deadline) {
            let seconds =
                if let Answers::Once { timeout: Some(seconds) } = exec.answers { seconds } else { 0 };
            let error = arcstr::format!(
                "rpc error: code = DeadlineExceeded desc = failed to exec in container: timeout {seconds}s exceeded: context deadline exceeded"
            );
            return self.reply(client, Err(error), context);
        }
        if exec.is_asking {
            return self.goes_on(number, client, exec);
        }
        match [exec.machine.wake(), exec.deadline].into_iter().flatten().min() {
            Some(next) => {
                exec.alarm = exec.alarm.filter(|alarm| *alarm > now);
                if next.0 < u64::MAX / 8 && exec.alarm != Some(next) {
                    exec.alarm = Some(next);
                    context.timer(next.since(now), Timer::Engine(EngineTimer::Step { operation: number }));
                }
                self.goes_on(number, client, exec);
            }
            // Until it is answered, or has something to read.
            None if exec.machine.is_calling()
                || (exec.answers == Answers::InPieces && exec.machine.service().is_none()) =>
            {
                self.goes_on(number, client, exec);
            }
            // A program that never ends by itself, and that nobody limits: what it printed is the answer.
            None if !is_heard => {}
            None => {
                let reply = exec.reply(0, None);
                self.reply(client, Ok(reply), context);
            }
        }
    }

    fn goes_on(&mut self, number: u64, client: (ActorId, u64), exec: Box<Exec>) {
        let operation = Operation { client, work: Work::Exec(exec) };
        Arc::make_mut(&mut self.state).operations.insert(number, operation);
    }

    /// An answer for a command that waits for one.
    pub(super) fn exec_answered(&mut self, number: u64, answer: (Ask, Reached), context: &mut Context) {
        let state = Arc::make_mut(&mut self.state);
        if let Some(Operation { work: Work::Exec(exec), .. }) = state.operations.get_mut(&number)
            && exec.is_asking
        {
            exec.journal.push(answer);
            exec.is_asking = false;
            self.step(number, context);
        }
    }
}

impl Exec {
    fn new(container: &Text, mut machine: Machine, answers: Answers, is_input_over: bool) -> Exec {
        if !is_input_over {
            machine.open_input();
        }
        Exec {
            container: container.clone(),
            machine,
            stdout: String::new(),
            stderr: String::new(),
            journal: Journal::default(),
            is_asking: false,
            answers,
            listener: None,
            is_awaited: !is_input_over,
            deadline: None,
            alarm: None,
            shell: None,
            is_terminal: false,
        }
    }
}
