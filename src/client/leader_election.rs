//! One active process of several: the lease that says whose turn it is.
//!
//! Picture to hold in mind: a talking stick with a candle. Whoever holds it relights the candle every two
//! seconds; if it has not been relit for fifteen, anybody may take the stick.
//!
//! After client-go's `tools/leaderelection` with the control plane's defaults (lease 15 s, renew deadline
//! 10 s, retry 2 s). A process that cannot renew gives up and exits, and its supervisor starts it again.

use crate::api::{Text, Value, time};
use crate::language::Context;
use crate::message::rest::Resource;
use crate::object;
use crate::sim::{Duration, Time};
use crate::timer::{ClientTimer, Timer};

use super::connection::{Answer, Connection};
use super::request;

const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PERIOD: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct LeaderElector {
    /// The lease's name in `kube-system`.
    name: Text,
    identity: Text,
    window: usize,
    observed: Option<Value>,
    /// When `observed` last changed, by this process's own clock.
    observed_at: Time,
    renewed_at: Time,
    pub is_leader: bool,
    is_reading: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Acquired,
    /// The process must stop working at once.
    Lost,
}

fn leases() -> Resource {
    Resource::new("coordination.k8s.io", "v1", "leases")
}

impl LeaderElector {
    pub fn new(name: &str, identity: &str, window: usize) -> LeaderElector {
        LeaderElector {
            name: name.into(),
            identity: identity.into(),
            window,
            observed: None,
            observed_at: Time::ZERO,
            renewed_at: Time::ZERO,
            is_leader: false,
            is_reading: false,
        }
    }
    /// Begins to contend, as a process that has just started.
    pub fn start<P: Clone>(&mut self, context: &mut Context, connection: &mut Connection<P>, purpose: P) {
        *self = LeaderElector::new(&self.name, &self.identity, self.window);
        self.tick(context, connection, purpose);
    }
    /// The retry period is over.
    pub fn tick<P: Clone>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        purpose: P,
    ) -> Change {
        let now = context.now();
        // Contenders that started together are kept apart by up to a fifth of the period (JitterFactor 1.2).
        let jitter = if self.is_leader { 0 } else { context.random().below(RETRY_PERIOD.0 * 6 / 5) };
        context.periodic(RETRY_PERIOD + Duration(jitter), Timer::Client(ClientTimer::LeaderElection));
        if self.is_leader && now.since(self.renewed_at) > RENEW_DEADLINE {
            self.is_leader = false;
            return Change::Lost;
        }
        match &self.observed {
            Some(lease) if self.is_leader => {
                let request = request::update(&leases(), self.renewed(lease.clone(), now));
                self.is_reading = false;
                connection.send(context, self.window, request, purpose);
            }
            _ => {
                self.is_reading = true;
                let request = request::get(&leases(), "kube-system", &self.name);
                connection.send(context, self.window, request, purpose);
            }
        }
        Change::None
    }
    /// An answer to one of the elector's requests.
    pub fn receive<P: Clone>(
        &mut self,
        context: &mut Context,
        connection: &mut Connection<P>,
        purpose: P,
        answer: Answer,
    ) -> Change {
        let now = context.now();
        let was_reading = std::mem::replace(&mut self.is_reading, false);
        match answer.into_result() {
            Ok(lease) if was_reading => {
                let version = |lease: &Value| lease.shared_text("metadata.resourceVersion");
                if self.observed.as_ref().map(version) != Some(version(&lease)) {
                    self.observed_at = now;
                }
                let holder = lease.text("spec.holderIdentity");
                let is_free = holder.is_empty()
                    || holder == self.identity.as_str()
                    || now.since(self.observed_at) > LEASE_DURATION;
                if is_free {
                    let lease = self.renewed(lease, now);
                    connection.send(context, self.window, request::update(&leases(), lease), purpose);
                } else {
                    self.observed = Some(lease);
                }
                Change::None
            }
            Ok(lease) => {
                self.observed = Some(lease);
                self.observed_at = now;
                self.renewed_at = now;
                if std::mem::replace(&mut self.is_leader, true) { Change::None } else { Change::Acquired }
            }
            Err(status) if was_reading && status.text("reason") == "NotFound" => {
                let lease = object! {
                    "apiVersion" => "coordination.k8s.io/v1",
                    "kind" => "Lease",
                    "metadata" => object! { "name" => &self.name, "namespace" => "kube-system" },
                };
                let lease = self.renewed(lease, now);
                connection.send(
                    context,
                    self.window,
                    request::create(&leases(), "kube-system", lease),
                    purpose,
                );
                Change::None
            }
            Err(_) => {
                // Somebody else wrote first, or nobody answers: read again at the next tick.
                if !self.is_leader {
                    self.observed = None;
                }
                Change::None
            }
        }
    }

    /// `lease`, held by this process from now on.
    fn renewed(&self, mut lease: Value, now: Time) -> Value {
        let stamp = time::micro_time(now);
        if lease.text("spec.holderIdentity") != self.identity.as_str() {
            let transitions = lease.integer("spec.leaseTransitions").map_or(0, |count| count + 1);
            lease.set("spec.leaseTransitions", transitions);
            lease.set("spec.acquireTime", stamp.as_str());
            lease.set("spec.holderIdentity", &self.identity);
        }
        lease.set("spec.leaseDurationSeconds", LEASE_DURATION.as_secs());
        lease.set("spec.renewTime", stamp.as_str());
        lease
    }
}
