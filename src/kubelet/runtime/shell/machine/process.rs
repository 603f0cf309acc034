//! Programs that ask others: how a script waits for one.
//!
//! Picture to hold in mind: the reader of the cards hands the telephone to an assistant and puts his finger down. When an
//! answer comes the assistant goes on; what he says, the reader says, and when he is done the finger moves again.

use super::super::redirect::Target;
use super::{Call, Machine, Output, State, Surroundings};
use crate::api::Text;
use crate::client::EtcdAnswer;
use crate::shell::program::{Host, Process, Stdin, Wish};
use crate::sim::Time;

/// A program that waits for answers.
#[derive(Clone, Debug)]
pub(super) struct Running {
    number: u64,
    process: Box<Process>,
    targets: Vec<(u8, Target)>,
    input: Text,
    /// Instants at which it wants to look again.
    wakes: Vec<Time>,
    /// Something came since it last ran.
    is_answered: bool,
}

impl Running {
    /// When it is to go on.
    pub(super) fn wake(&self) -> Option<Time> {
        if self.is_answered { Some(Time::ZERO) } else { self.wakes.iter().min().copied() }
    }
}

impl Machine {
    /// Begins a program, whose output goes where `targets` lead.
    pub(super) fn begin_process(
        &mut self,
        process: Box<Process>,
        targets: Vec<(u8, Target)>,
        input: Text,
        surroundings: &mut Surroundings,
        output: &mut Output,
    ) {
        *surroundings.next_process += 1;
        let number = *surroundings.next_process;
        let (wakes, is_answered) = (Vec::new(), false);
        self.process = Some(Running { number, process, targets, input, wakes, is_answered });
        self.state = State::Calling;
        self.go_on(surroundings, output);
    }
    /// Whether a program waits for answers from outside, here or on the side.
    pub fn is_calling(&self) -> bool {
        self.state == State::Calling || self.children.iter().any(Machine::is_calling)
    }
    /// Hands an answer of etcd's to the process that waits for it.
    pub fn deliver(&mut self, process: u64, ticket: u64, answer: &EtcdAnswer, now: Time) {
        if let Some(running) = self.process.as_mut().filter(|running| running.number == process) {
            running.process.deliver_etcd(ticket, answer.clone(), now);
            running.is_answered = true;
        }
        for child in &mut self.children {
            child.deliver(process, ticket, answer, now);
        }
    }
    /// Lets the program at hand go on as far as it can.
    pub(super) fn go_on(&mut self, surroundings: &mut Surroundings, output: &mut Output) {
        let Some(mut running) = self.process.take() else {
            self.state = State::Ready;
            return;
        };
        let now = surroundings.now;
        running.wakes.retain(|wake| *wake > now);
        running.is_answered = false;
        let mut host = Host {
            now,
            files: &mut surroundings.files,
            etcd: surroundings.etcd.clone(),
            random: surroundings.random,
            stdin: Stdin::Ended(running.input.clone()),
            output: Vec::new(),
            wishes: Vec::new(),
        };
        let code = running.process.poll(&mut host);
        let (said, wishes) = (host.output, host.wishes);
        for (on_error, text) in said {
            self.write(if on_error { 2 } else { 1 }, &text, &running.targets, surroundings, output);
        }
        let process = running.number;
        for wish in wishes {
            match wish {
                Wish::Call(ticket, call) => surroundings.calls.push(Call::Etcd { process, ticket, call }),
                Wish::Cancel(ticket) => surroundings.calls.push(Call::Cancel { process, ticket }),
                Wish::Wake(time) => running.wakes.push(time),
                // Nothing in an image asks the API server in this way, or opens a shell elsewhere.
                Wish::Send(..) | Wish::Attach(..) | Wish::Detach => {}
            }
        }
        match code {
            Some(code) => {
                self.state = State::Ready;
                self.status = code;
                self.after_failure(code);
            }
            None => self.process = Some(running),
        }
    }
}
