//! How long a message takes, and whether it arrives at all.
//!
//! Picture to hold in mind: hosts joined by cables, all with all. A cable has a length (latency with some
//! jitter) and faults that the user sets: cut, lossy, slow, or deaf to one class of message. What is on a cable
//! when it is cut is lost. Between two actors messages of one kind never overtake one another, as on a TCP connection.

use super::actor::ActorId;
use super::random::Random;
use super::time::{Duration, Time};
use crate::sorted::{SortedMap, SortedSet};

/// A machine, or anything else with a network interface of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Lost {
    /// The link between the two hosts is cut.
    Cut,
    /// The link lost it by chance.
    Loss,
    /// A filter on the link took it.
    Filtered,
    /// The sender's or the receiver's host is down.
    HostDown,
    /// The host is up, nothing listens there.
    Refused,
    /// Taken off the link by hand.
    Dropped,
}

/// What is wrong with one direction of one cable.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    pub cut: bool,
    /// Lost messages in a million.
    pub loss_per_million: u32,
    pub extra_delay: Duration,
    /// Classes of message that do not pass.
    pub filtered: SortedSet<u16>,
}

#[derive(Clone, Debug)]
pub struct Network {
    /// By the actor's number.
    hosts: Vec<Option<HostId>>,
    down: SortedSet<HostId>,
    faults: SortedMap<(HostId, HostId), Fault>,
    /// When the last message between two actors arrives: the next one does not come before it. What is
    /// resent more often goes over a connection of its own: a reply that waits for that holds up no heartbeat.
    /// By sender and receiver in one number: it is looked up for each message.
    last_arrival: Vec<((u64, u32), Time)>,
    /// Latency between processes of one host, lowest and highest.
    pub local_latency: (Duration, Duration),
    /// Latency between hosts, lowest and highest.
    pub remote_latency: (Duration, Duration),
}

/// What a lossy link costs a transport that resends: TCP's lowest retransmission timeout on Linux.
const RETRANSMISSION_DELAY: Duration = Duration::from_millis(200);

impl Default for Network {
    fn default() -> Network {
        Network {
            hosts: Vec::new(),
            down: SortedSet::new(),
            faults: SortedMap::new(),
            last_arrival: Vec::new(),
            local_latency: (Duration(40), Duration(120)),
            remote_latency: (Duration(250), Duration(600)),
        }
    }
}

impl Network {
    pub(super) fn place(&mut self, actor: ActorId, host: HostId) {
        let place = actor.0 as usize;
        self.hosts.resize(self.hosts.len().max(place + 1), None);
        self.hosts[place] = Some(host);
    }
    #[inline(always)]
    pub fn host(&self, actor: ActorId) -> Option<HostId> {
        self.hosts.get(actor.0 as usize).copied().flatten()
    }
    #[inline(always)]
    pub fn is_down(&self, host: HostId) -> bool {
        !self.down.is_empty() && self.down.contains(&host)
    }
    /// Powers a host's interface off or on. Its actors must be stopped and started besides.
    pub fn set_down(&mut self, host: HostId, down: bool) {
        if down {
            self.down.insert(host);
        } else {
            self.down.remove(&host);
        }
    }
    /// The faults of the direction `from` to `to`, for changing.
    pub fn fault_mut(&mut self, from: HostId, to: HostId) -> &mut Fault {
        self.faults.entry((from, to)).or_default()
    }
    pub fn fault(&self, from: HostId, to: HostId) -> Option<&Fault> {
        self.faults.get(&(from, to)).filter(|fault| **fault != Fault::default())
    }
    pub fn faults(&self) -> impl Iterator<Item = ((HostId, HostId), &Fault)> {
        self.faults
            .iter()
            .map(|(pair, fault)| (*pair, fault))
            .filter(|(_, fault)| **fault != Fault::default())
    }
    /// Cuts or joins both directions.
    pub fn set_cut(&mut self, a: HostId, b: HostId, cut: bool) {
        self.fault_mut(a, b).cut = cut;
        self.fault_mut(b, a).cut = cut;
    }
    /// Nothing passes from one actor to another, and what is on its way there is lost.
    pub(super) fn is_cut(&self, from: ActorId, to: ActorId) -> bool {
        let hosts = self.host(from).zip(self.host(to));
        hosts.and_then(|pair| self.faults.get(&pair)).is_some_and(|fault| fault.cut)
    }
    /// Mends every cable. Hosts that are down stay down.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// When a message sent at `now` arrives, or why it never does.
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn route(
        &mut self,
        (from, to): (ActorId, ActorId),
        now: Time,
        class: u16,
        most_resends: u32,
        random: &mut Random,
    ) -> Result<Time, Lost> {
        let (Some(source), Some(target)) = (self.host(from), self.host(to)) else {
            return Err(Lost::HostDown);
        };
        if self.is_down(source) || self.is_down(target) {
            return Err(Lost::HostDown);
        }
        let (low, high) = if source == target { self.local_latency } else { self.remote_latency };
        let mut latency = random.duration(low, high);
        if !self.faults.is_empty()
            && let Some(fault) = self.faults.get(&(source, target))
        {
            if fault.cut {
                return Err(Lost::Cut);
            }
            if fault.filtered.contains(&class) {
                return Err(Lost::Filtered);
            }
            latency = latency + fault.extra_delay;
            let mut resends = 0;
            while fault.loss_per_million > 0 && random.chance(fault.loss_per_million) {
                if resends == most_resends {
                    return Err(Lost::Loss);
                }
                // Each retransmission waits twice as long as the one before.
                latency = latency + RETRANSMISSION_DELAY.saturating_mul(1 << resends.min(16));
                resends += 1;
            }
        }
        let line = (u64::from(from.0) << 32 | u64::from(to.0), most_resends);
        let place =
            self.last_arrival.binary_search_by_key(&line, |(line, _)| *line).unwrap_or_else(|place| {
                self.last_arrival.insert(place, (line, Time::ZERO));
                place
            });
        let (_, arrival) = &mut self.last_arrival[place];
        *arrival = (now + latency).max(*arrival);
        Ok(*arrival)
    }
}
