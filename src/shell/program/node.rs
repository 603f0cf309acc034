//! How a program speaks to a container engine: that of the machine that it runs on, or a neighbour's.
//!
//! Picture to hold in mind: a speaking tube in the wall, and a telephone for the other houses. Who calls waits for one
//! word, or until his patience ends.

use std::ops::ControlFlow;

use super::{Cli, Entry, Halt, Journal, Process, Run, Wish};
use crate::api::Text;
use crate::message::cri::{Call, Reply};
use crate::sim::{Duration, Time};

/// A call to the engine of a node.
#[derive(Clone, Debug)]
pub struct NodeCall {
    /// Name or address; empty: the machine that the program runs on.
    pub node: Text,
    pub call: Call,
}

/// What came of it; the error is the engine's own word.
pub type NodeReply = Result<Reply, Text>;

/// What is told of a machine that nobody knows, and of one that does not answer.
pub const UNKNOWN_NODE: &str = "unknown node";
pub const NO_ANSWER: &str = "no answer";

#[derive(Clone)]
pub(super) struct Spoken {
    ticket: u64,
    until: Time,
    reply: Option<NodeReply>,
}

impl Process {
    /// Writes down what an engine said to the call of `ticket`.
    pub fn deliver_node(&mut self, ticket: u64, reply: NodeReply) {
        self.journal.deliver_node(ticket, reply);
    }
}

impl Journal {
    fn deliver_node(&mut self, ticket: u64, reply: NodeReply) {
        match self.entries.last_mut() {
            Some(Entry::Spoken(spoken)) if spoken.ticket == ticket => spoken.reply = Some(reply),
            Some(Entry::Step { journal, .. }) => journal.deliver_node(ticket, reply),
            _ => {}
        }
    }
}

impl Cli<'_, '_> {
    /// Calls the engine of `node` and waits for its answer, `patience` at most.
    pub fn call_node(&mut self, node: &str, call: Call, patience: Duration) -> Run<NodeReply> {
        let index = self.next_entry();
        if index == self.journal.entries.len() {
            let (ticket, until) = (self.process.next_ticket, self.host.now + patience);
            self.process.next_ticket += 1;
            self.journal.entries.push(Entry::Spoken(Spoken { ticket, until, reply: None }));
            self.host.wishes.push(Wish::Node(ticket, Box::new(NodeCall { node: node.into(), call })));
            self.host.wishes.push(Wish::Wake(until));
        }
        let Some(Entry::Spoken(spoken)) = self.journal.entries.get_mut(index) else {
            return Err(Halt::Waiting);
        };
        match &spoken.reply {
            Some(reply) => Ok(reply.clone()),
            None if spoken.until <= self.host.now => {
                spoken.reply = Some(Err(NO_ANSWER.into()));
                Ok(Err(NO_ANSWER.into()))
            }
            None => Err(Halt::Waiting),
        }
    }

    /// Runs a command on a node or in a container (`call`) and prints what it says as it comes. Exit code, and whether
    /// the shell that a line was for has been left.
    pub fn run_elsewhere(
        &mut self,
        node: &str,
        container: &Text,
        call: Call,
        patience: Duration,
    ) -> Run<Result<(i32, bool), Text>> {
        let state = (call, Ok((0, false)));
        let (_, result) = self.fold(state, |cli, (call, _)| {
            let (code, stdout, stderr, leaves, stream) = match cli.call_node(node, call.clone(), patience)? {
                Ok(Reply::Exec { exit_code, stdout, stderr, leaves, stream, .. }) => {
                    (exit_code, stdout, stderr, leaves, stream)
                }
                Ok(_) => return Ok(ControlFlow::Break((call, Ok((0, false))))),
                Err(error) => return Ok(ControlFlow::Break((call, Err(error)))),
            };
            cli.print(&stdout);
            cli.eprint(&stderr);
            Ok(match stream {
                Some(stream) => {
                    let more = Call::ExecMore { container: container.clone(), stream };
                    ControlFlow::Continue((more, Ok((0, false))))
                }
                None => ControlFlow::Break((call, Ok((code, leaves)))),
            })
        })?;
        Ok(result)
    }
}
