//! How a program calls etcd: calls with a deadline, and watches.
//!
//! Picture to hold in mind: the actor's telephone. He dials, and the scene stops until somebody answers or the clock on
//! the wall strikes; the prompt book notes what was said and how long it took.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Cli, Entry, Halt, Journal, Process, Run, Wish};
use crate::client::{EtcdAnswer, Listener};
use crate::message::etcd;
use crate::sim::{Duration, Time};

#[derive(Clone, Default)]
pub(super) struct EtcdStream {
    queue: VecDeque<EtcdAnswer>,
    alarm: Option<Time>,
}

/// A call to a member of etcd.
#[derive(Clone, Debug)]
pub struct EtcdCall {
    /// `host:port`.
    pub address: String,
    pub operation: etcd::Operation,
}

/// What a program that is told to stop (SIGINT, SIGTERM) still does.
#[derive(Clone, Debug)]
pub struct Will {
    /// Nobody waits for the answer.
    pub call: EtcdCall,
    /// On the standard error.
    pub words: &'static str,
    pub status: i32,
}

/// What came of a call to etcd.
#[derive(Clone, Debug)]
pub struct EtcdReply {
    /// `None`: nothing, as long as was waited.
    pub response: Option<Arc<etcd::Response>>,
    pub took: Duration,
}

impl Process {
    /// Writes down what etcd said at `now` to the call of `ticket`.
    pub fn deliver_etcd(&mut self, ticket: u64, answer: EtcdAnswer, now: Time) {
        if let Some(stream) = self.watches.get_mut(&ticket) {
            stream.queue.push_back(answer);
        } else if let EtcdAnswer::Response(response) = answer {
            self.journal.deliver_etcd(ticket, response, now);
        }
    }
}

impl Journal {
    fn deliver_etcd(&mut self, ticket: u64, response: Arc<etcd::Response>, now: Time) {
        match self.entries.last_mut() {
            Some(Entry::Called { first, replies, began }) => {
                let slot = ticket.checked_sub(*first).and_then(|index| replies.get_mut(index as usize));
                if let Some(slot) = slot
                    && slot.is_none()
                {
                    *slot = Some(EtcdReply { response: Some(response), took: now.since(*began) });
                }
            }
            Some(Entry::Step { journal, .. }) => journal.deliver_etcd(ticket, response, now),
            _ => {}
        }
    }
}

impl Cli<'_, '_> {
    /// From now on this is what is left to do when the program is told to stop.
    pub fn set_will(&mut self, will: Will) {
        self.process.will = Some(will);
    }
    /// Who listens at an address of etcd's; `None`: nobody, as far as the network knows.
    pub fn etcd_listener(&self, address: &str) -> Option<Listener> {
        self.host.etcd.get(address).cloned()
    }
    /// Calls etcd, all calls at once, and waits for the answers until `deadline`.
    pub fn call_all(&mut self, calls: Vec<EtcdCall>, deadline: Option<Time>) -> Run<Vec<EtcdReply>> {
        let index = self.next_entry();
        let now = self.host.now;
        if index == self.journal.entries.len() {
            let first = self.process.next_ticket;
            self.process.next_ticket += calls.len() as u64;
            self.journal.entries.push(Entry::Called { first, replies: vec![None; calls.len()], began: now });
            for (ticket, call) in (first..).zip(calls) {
                self.host.wishes.push(Wish::Call(ticket, Box::new(call)));
            }
            self.host.wishes.extend(deadline.map(Wish::Wake));
        }
        let Some(Entry::Called { first, replies, began }) = self.journal.entries.get_mut(index) else {
            return Err(Halt::Waiting);
        };
        if deadline.is_some_and(|deadline| deadline <= now) {
            for (ticket, reply) in (*first..).zip(replies.iter_mut()).filter(|(_, reply)| reply.is_none()) {
                *reply = Some(EtcdReply { response: None, took: now.since(*began) });
                self.host.wishes.push(Wish::Cancel(ticket));
            }
        }
        replies.iter().cloned().collect::<Option<Vec<EtcdReply>>>().ok_or(Halt::Waiting)
    }
    /// Opens a watch at etcd and does not wait for it.
    pub fn open_etcd(&mut self, call: EtcdCall) -> u64 {
        let index = self.next_entry();
        if let Some(Entry::Remembered(ticket)) = self.journal.entries.get(index)
            && let Some(ticket) = ticket.downcast_ref::<u64>()
        {
            return *ticket;
        }
        let ticket = self.process.next_ticket;
        self.process.next_ticket += 1;
        self.process.watches.insert(ticket, EtcdStream::default());
        self.host.wishes.push(Wish::Call(ticket, Box::new(call)));
        self.journal.entries.push(Entry::Remembered(Arc::new(ticket)));
        ticket
    }
    /// The next that came on a watch at etcd; `None` when `deadline` passes first.
    pub fn next_etcd(&mut self, ticket: u64, deadline: Option<Time>) -> Run<Option<EtcdAnswer>> {
        let index = self.next_entry();
        if let Some(Entry::Remembered(value)) = self.journal.entries.get(index)
            && let Some(answer) = value.downcast_ref::<Option<EtcdAnswer>>()
        {
            return Ok(answer.clone());
        }
        let now = self.host.now;
        let stream = self.process.watches.entry(ticket).or_default();
        let found = stream.queue.pop_front();
        if found.is_none() && deadline.is_none_or(|deadline| deadline > now) {
            if let Some(deadline) = deadline.filter(|deadline| stream.alarm != Some(*deadline)) {
                stream.alarm = Some(deadline);
                self.host.wishes.push(Wish::Wake(deadline));
            }
            return Err(Halt::Waiting);
        }
        self.journal.entries.push(Entry::Remembered(Arc::new(found.clone())));
        Ok(found)
    }
    /// Ends a watch at etcd.
    pub fn close_etcd(&mut self, ticket: u64) {
        if self.process.watches.remove(&ticket).is_some() {
            self.host.wishes.push(Wish::Cancel(ticket));
        }
    }
}
