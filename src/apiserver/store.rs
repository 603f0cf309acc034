//! The API server as a client of etcd: what it has asked and not yet been told, whom it asks, which lease events get.
//!
//! Picture to hold in mind: a counter with a numbered stub for every parcel handed to the carrier. The stub says
//! who waits for the answer. A carrier that refuses parcels is given none for a while; the next one takes over.
//!
//! Follows `k8s.io/apiserver/pkg/storage/etcd3` (store.go, lease_manager.go, compact.go).

use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::language::Context;
use crate::message::{Message, etcd};
use crate::sim::{ActorId, Duration, Time};

use super::watchers::ExchangeId;

/// Who waits for an answer of etcd.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Exchange(ExchangeId),
    /// Everything below `/registry/`, when the server starts or has fallen too far behind.
    List,
    Watch,
    Lease,
    /// The lease under which this server says that it is there.
    Signature {
        lease: i64,
    },
    /// Something of which nobody awaits the outcome.
    Errand,
    /// The member that serves the watch is asked for a sign of life.
    Probe,
}

#[derive(Clone)]
pub(crate) struct Pending {
    pub purpose: Purpose,
    request: Arc<etcd::Request>,
    sent: Time,
    endpoint: usize,
    /// Refused by so many endpoints.
    refused: usize,
}

/// A write that no member answers for so long has failed (etcd's own request timeout is 7 s).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A lease of events is given to events for so long (`LeaseReuseDurationSeconds`).
const LEASE_REUSE: Duration = Duration::from_secs(60);
/// Events are kept for an hour (`--event-ttl`), and the reuse of the lease comes on top.
const EVENT_TTL_SECONDS: u64 = 3600 + 60;
/// `attachedObjectsCount`: at most so many events share a lease.
const LEASE_OBJECTS: u32 = 1000;

#[derive(Clone)]
pub(crate) struct Store {
    endpoints: Arc<[ActorId]>,
    endpoint: usize,
    next: u64,
    pending: SharedMap<u64, Pending>,
    lease: i64,
    lease_granted: Option<Time>,
    lease_objects: u32,
    lease_is_asked: bool,
}

impl Store {
    pub(crate) fn new(endpoints: &[ActorId]) -> Store {
        Store {
            endpoints: endpoints.into(),
            endpoint: 0,
            next: 1,
            pending: SharedMap::new(),
            lease: 0,
            lease_granted: None,
            lease_objects: 0,
            lease_is_asked: false,
        }
    }
    /// Sends a request; its number.
    pub(crate) fn ask(&mut self, operation: etcd::Operation, purpose: Purpose, context: &mut Context) -> u64 {
        let id = self.next;
        self.next += 1;
        let request = Arc::new(etcd::Request { id, operation });
        let pending = Pending { purpose, request, sent: context.now(), endpoint: self.endpoint, refused: 0 };
        self.post(&pending, context);
        self.pending.insert(id, pending);
        id
    }
    fn post(&self, pending: &Pending, context: &mut Context) {
        if let Some(endpoint) = self.endpoints.get(pending.endpoint) {
            context.send(*endpoint, Message::EtcdRequest(Arc::clone(&pending.request)));
        }
    }
    /// Takes the stub of an answer. `None`: nobody waits for it, or another endpoint has been asked instead
    /// because this one refused.
    pub(crate) fn answered(&mut self, response: &etcd::Response, context: &mut Context) -> Option<Purpose> {
        let endpoints = self.endpoints.len();
        let pending = self.pending.get_mut(&response.id)?;
        if matches!(response.result, Err(etcd::Error::Unavailable)) {
            if pending.endpoint == self.endpoint {
                self.endpoint = (self.endpoint + 1) % endpoints.max(1);
            }
            // Nothing was done there, so anything may be tried elsewhere; once round, housekeeping tries again. A
            // watch belongs to its connection, and who opened it decides what becomes of it.
            if !matches!(pending.purpose, Purpose::Watch | Purpose::Probe) {
                pending.refused += 1;
                pending.endpoint = self.endpoint;
                if pending.refused < endpoints {
                    let pending = pending.clone();
                    self.post(&pending, context);
                }
                return None;
            }
        }
        let purpose = pending.purpose.clone();
        self.pending.remove(&response.id);
        Some(purpose)
    }
    /// Once a second: asks again what every endpoint refused; gives up what has waited too long.
    pub(crate) fn overdue(&mut self, context: &mut Context) -> Vec<Purpose> {
        let now = context.now();
        let mut given_up = Vec::new();
        let ids: Vec<u64> = self.pending.keys().copied().collect();
        for id in ids {
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            if now.since(pending.sent) >= REQUEST_TIMEOUT {
                given_up.push(pending.purpose.clone());
                self.pending.remove(&id);
            } else if pending.refused >= self.endpoints.len() {
                pending.refused = 0;
                pending.endpoint = self.endpoint;
                let pending = pending.clone();
                self.post(&pending, context);
            }
        }
        given_up
    }
    /// The member that is asked now.
    pub(crate) fn endpoint(&self) -> Option<ActorId> {
        self.endpoints.get(self.endpoint).copied()
    }
    pub(crate) fn endpoints(&self) -> usize {
        self.endpoints.len()
    }
    /// Turns to the next member: this one no longer answers.
    pub(crate) fn turn_away(&mut self) {
        self.endpoint = (self.endpoint + 1) % self.endpoints.len().max(1);
    }

    /// The lease that a new event gets, 0 while there is none: then one has been asked for, and
    /// [`Purpose::Lease`] is answered when it may be used.
    pub(crate) fn event_lease(&mut self, context: &mut Context) -> i64 {
        let is_usable = self.lease_objects < LEASE_OBJECTS
            && self.lease_granted.is_some_and(|granted| context.now().since(granted) < LEASE_REUSE);
        if is_usable {
            self.lease_objects += 1;
            return self.lease;
        }
        if !self.lease_is_asked {
            self.lease_is_asked = true;
            // Positive and, among a run's few thousand leases, as good as unique.
            self.lease = (context.random().next() >> 1).max(1) as i64;
            let grant = etcd::Operation::LeaseGrant { lease: self.lease, ttl_seconds: EVENT_TTL_SECONDS };
            self.ask(grant, Purpose::Lease, context);
        }
        0
    }
    pub(crate) fn lease_granted(&mut self, is_granted: bool, now: Time) {
        self.lease_is_asked = false;
        self.lease_granted = is_granted.then_some(now);
        self.lease_objects = 0;
    }
}
