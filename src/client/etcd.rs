//! Calls to etcd's members: which member listens at an address, and whose answer is whose.
//!
//! Picture to hold in mind: a telephone with the numbers of etcd's members beside it. A number that is not on the list
//! rings for ever, unless it is one of the own house: there nobody picks up at once.
//!
//! Who may call is said in `docs/architecture.md`: the API server has its own lines; these are for `etcdctl`.

use std::sync::Arc;

use crate::api::Text;
use crate::language::Context;
use crate::message::Message;
use crate::message::etcd::{Error, Operation, Request, Response, WatchResponse};
use crate::sim::ActorId;
use crate::sorted::SortedMap;

/// What listens at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub actor: ActorId,
    /// It speaks TLS, and wants a certificate of its clients (`--client-cert-auth`).
    pub is_secure: bool,
}

/// All exchanges of one process with etcd. `P` says what an answer is for.
#[derive(Clone, Debug)]
pub struct EtcdConnection<P> {
    next_id: u64,
    in_flight: SortedMap<u64, InFlight<P>>,
    /// By `host:port`.
    directory: Arc<SortedMap<Text, Listener>>,
}

#[derive(Clone, Debug)]
struct InFlight<P> {
    purpose: P,
    member: ActorId,
    is_watch: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum EtcdAnswer {
    Response(Arc<Response>),
    Watch(Arc<WatchResponse>),
}

impl<P> Default for EtcdConnection<P> {
    fn default() -> EtcdConnection<P> {
        EtcdConnection { next_id: 1, in_flight: SortedMap::new(), directory: Arc::default() }
    }
}

impl<P> EtcdConnection<P> {
    /// Tells who listens at `address` (`host:port`).
    pub fn learn(&mut self, address: Text, listener: Listener) {
        Arc::make_mut(&mut self.directory).insert(address, listener);
    }
    pub fn directory(&self) -> &Arc<SortedMap<Text, Listener>> {
        &self.directory
    }
    /// Forgets everything in flight, as a process that was started anew does.
    pub fn restart(&mut self) {
        self.in_flight.clear();
    }

    pub fn send(&mut self, context: &mut Context, address: &str, operation: Operation, purpose: P) {
        let id = self.next_id;
        self.next_id += 1;
        let is_watch = matches!(operation, Operation::Watch { .. });
        let member = match self.directory.get(address) {
            Some(listener) => listener.actor,
            // The own kernel refuses what nobody listens to; elsewhere there may be no machine at all.
            None if is_own(address) => context.me(),
            None => return,
        };
        self.in_flight.insert(id, InFlight { purpose, member, is_watch });
        if member == context.me() {
            let result = Err(Error::Unavailable);
            let response = Response { id, revision: 0, cluster: 0, member: 0, raft_term: 0, result };
            context.send(member, Message::EtcdResponse(Arc::new(response)));
            return;
        }
        context.send(member, Message::EtcdRequest(Arc::new(Request { id, operation })));
    }

    /// Says what a message is the answer to. `None`: to nothing that is still awaited.
    pub fn receive(&mut self, message: &Message) -> Option<(P, EtcdAnswer)>
    where
        P: Clone,
    {
        match message {
            Message::EtcdResponse(response) => {
                let entry = self.in_flight.get(&response.id)?;
                let purpose = entry.purpose.clone();
                if !entry.is_watch || response.result.is_err() {
                    self.in_flight.remove(&response.id);
                }
                Some((purpose, EtcdAnswer::Response(response.clone())))
            }
            Message::EtcdWatch(response) => {
                let entry = self.in_flight.get(&response.watch_id)?;
                Some((entry.purpose.clone(), EtcdAnswer::Watch(response.clone())))
            }
            _ => None,
        }
    }

    /// Ends the exchanges whose purpose `is_over`; watches are closed at their members.
    pub fn cancel(&mut self, context: &mut Context, is_over: impl Fn(&P) -> bool) {
        for (watch_id, entry) in self.in_flight.extract_if(.., |_, entry| is_over(&entry.purpose)) {
            if entry.is_watch {
                let operation = Operation::CancelWatch { watch_id };
                let request = Request { id: watch_id, operation };
                context.send(entry.member, Message::EtcdRequest(Arc::new(request)));
            }
        }
    }
}

/// Whether an address is one of the machine itself.
pub fn is_own(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]" | "0.0.0.0" | "")
}
