//! What must hold at every instant, and at the end.
//!
//! Picture to hold in mind: the inspector. He keeps a ledger of his own, in which he enters each line that the first
//! clerk carries out, and reads everybody else's against it; and a store of his own that has forgotten nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clusterarium::api::{Text, Value};
use clusterarium::etcd::Member;
use clusterarium::etcd::raft::log::Log;
use clusterarium::etcd::store::Store;
use clusterarium::message::etcd::{Alarm, KeyValue, Operation, Proposed, Range, Replicated};
use clusterarium::message::raft::{Entry, Payload};
use clusterarium::sim::{Duration, Time};

use crate::world::{Asked, Cluster, Exchange, Simulation};

type Line = Entry<Replicated>;
/// What a watch told: revision, key and value.
type Told = (u64, Text, Option<Value>);

/// A lease may end so much before its holder thinks if clocks differ: the next leader gives it an election's time more,
/// and the one before may have gone on for two.
const LEASE_ALLOWANCE: Duration = Duration::from_millis(1_300);

#[derive(Default)]
pub struct Inspector {
    /// Who led which term.
    leaders: BTreeMap<u64, usize>,
    /// What was applied on which line, by whoever did it first.
    ledger: BTreeMap<u64, Line>,
    seen: Vec<u64>,
    /// Each member's log as it was an instant before: it may have compacted since what it has applied since.
    before: Vec<Option<Log<Replicated>>>,
    /// What the ledger leads to when nothing is compacted.
    model: Store,
    replayed: u64,
    /// The highest revision that was compacted.
    pub compacted: u64,
    /// How many leases ended by themselves.
    pub expired: u64,
    /// Of which members the alarm CORRUPT stands; 0: of one that nobody could tell.
    alarmed: BTreeSet<u64>,
    /// How often it was raised.
    pub alarms: u64,
}

fn is_same(a: &Line, b: &Line) -> bool {
    a.term == b.term
        && match (&a.payload, &b.payload) {
            (Payload::Empty, Payload::Empty) => true,
            (Payload::Normal(a), Payload::Normal(b)) => {
                Arc::ptr_eq(a, b) || format!("{a:?}") == format!("{b:?}")
            }
            (Payload::ConfChange(a), Payload::ConfChange(b)) => a == b,
            _ => false,
        }
}

impl Inspector {
    fn look(&mut self, cluster: &Cluster, now: Time) {
        self.seen.resize(cluster.members.len(), 0);
        self.before.resize(cluster.members.len(), None);
        for (number, member) in cluster.members.iter().enumerate() {
            let is_broken = cluster.broken.contains(&(number as u32));
            assert!(!is_broken || !member.is_running(), "corruption: {number} runs with a log that is wrong");
            if let Some(term) = member.leads() {
                // One who stood still may hear only now that it won long ago; what a later reign has committed is not its
                // to have.
                let is_late = self.leaders.range(term + 1..).next().is_some();
                let first = *self.leaders.entry(term).or_insert_with(|| {
                    // What anybody has carried out may have been acknowledged.
                    let log = member.raft_log().expect("a leader runs");
                    for (index, line) in self.ledger.range(log.first_index()..).filter(|_| !is_late) {
                        let has = log.get(*index).is_some_and(|own| is_same(own, line));
                        assert!(has, "leader completeness: the leader of term {term} lacks line {index}");
                    }
                    let last = self.ledger.last_key_value().map_or(0, |(index, _)| *index);
                    assert!(
                        is_late || log.last_index() >= last,
                        "leader completeness: the log of term {term} is short"
                    );
                    number
                });
                assert_eq!(first, number, "election safety: term {term} has two leaders");
            }
            let (seen, before) = (&mut self.seen[number], &mut self.before[number]);
            while *seen < member.applied() {
                *seen += 1;
                // What a snapshot stands for is compared at the end.
                let earlier = before.as_ref().and_then(|log| log.get(*seen));
                let Some(entry) = member.entry(*seen).or(earlier) else { continue };
                let known = self.ledger.entry(*seen).or_insert_with(|| entry.clone());
                assert!(
                    is_same(known, entry),
                    "state machine safety: line {seen} is not the same for all: {known:?}, {entry:?}"
                );
            }
            let state = |log: &Log<Replicated>| (log.first_index(), log.last(), log.committed());
            let log = member.raft_log();
            if log.map(state) != before.as_ref().map(state) {
                *before = log.cloned();
            }
        }
        while let Some(line) = self.ledger.get(&(self.replayed + 1)) {
            self.replayed += 1;
            if let Payload::Normal(proposal) = &line.payload {
                let what = proposal.what.clone();
                self.replay(&what, cluster, now);
            }
        }
    }

    /// While this alarm stands nothing is written.
    pub fn is_alarmed(&self) -> bool {
        !self.alarmed.is_empty()
    }

    fn replay(&mut self, what: &Proposed, cluster: &Cluster, now: Time) {
        let is_alarmed = self.is_alarmed();
        let model = &mut self.model;
        // What fails changes nothing, here as there.
        let _ = match what {
            Proposed::RaiseAlarm { member, alarm: Alarm::Corrupt } => {
                let is_bad = !cluster.corrupt.is_empty();
                assert!(is_bad, "corruption: the alarm is raised, but no database has had a bit flipped");
                self.alarms += 1;
                self.alarmed.insert(member.0);
                Ok(())
            }
            Proposed::Request(request) => match &request.operation {
                Operation::AlarmDisarm { member, alarm: Alarm::Corrupt } => {
                    self.alarmed.retain(|other| *member != 0 && other != member);
                    Ok(())
                }
                _ if is_alarmed => Ok(()),
                Operation::Txn(txn) => model.txn(txn).map(|_| ()),
                Operation::LeaseGrant { lease, ttl_seconds } => model.grant(*lease, *ttl_seconds),
                Operation::LeaseRevoke { lease } => model.revoke(*lease),
                Operation::Compact { revision } if *revision <= model.revision() => {
                    self.compacted = self.compacted.max(*revision);
                    Ok(())
                }
                _ => Ok(()),
            },
            Proposed::Expired { lease } => {
                let ends = cluster.clients.iter().filter_map(|client| client.leases.get(lease));
                for end in ends {
                    let is_over = now + LEASE_ALLOWANCE >= *end;
                    assert!(is_over, "leases: {lease:x} ends at {now:?} and was promised until {end:?}");
                }
                if is_alarmed {
                    return;
                }
                let ended = model.revoke(*lease);
                self.expired += u64::from(ended.is_ok());
                ended
            }
            _ => Ok(()),
        };
    }

    /// Two logs that agree on a line agree on all before it.
    pub fn compare_logs(&self, cluster: &Cluster) {
        let logs: Vec<_> = cluster.members.iter().filter_map(|member| member.raft_log()).collect();
        for (place, a) in logs.iter().enumerate() {
            for b in &logs[place + 1..] {
                let first = a.first_index().max(b.first_index());
                let mut do_agree = false;
                for index in (first..=a.last_index().min(b.last_index())).rev() {
                    let (Some(a), Some(b)) = (a.get(index), b.get(index)) else { continue };
                    do_agree |= a.term == b.term;
                    assert!(!do_agree || is_same(a, b), "log matching: line {index}: {a:?}, {b:?}");
                }
            }
        }
    }

    pub fn step(&mut self, (engine, trace): &mut Simulation) {
        engine.step(trace);
        self.look(&engine.world, engine.now());
    }
    pub fn run(&mut self, simulation: &mut Simulation, duration: Duration) {
        let until = simulation.0.now() + duration;
        while simulation.0.next_time().is_some_and(|time| time <= until) {
            self.step(simulation);
        }
        simulation.0.run_until(until, &mut simulation.1);
        self.compare_logs(&simulation.0.world);
    }

    /// All that are members in the end have carried out the same and hold what the ledger says.
    pub fn converged(&self, cluster: &Cluster, leader: u32) {
        let everything = || Range { key: "/".into(), range_end: "0".into(), ..Range::default() };
        let expected = self.model.range(&everything()).expect("nothing is compacted").pairs;
        let number = leader;
        let leader = &cluster.members[leader as usize];
        // Everybody could have compared in the peace: no two differ in silence.
        let differs = |member: &&Member| {
            member.is_running() && member.store().hash(0).ok() != leader.store().hash(0).ok()
        };
        let is_checked = leader.flags.corrupt_check_time > Duration::ZERO;
        let members = || {
            leader.members().filter_map(|listed| cluster.members.iter().find(|m| m.peer().id.0 == listed.id))
        };
        let differing = members().filter(differs).count();
        assert!(
            differing == 0 || !is_checked || self.is_alarmed(),
            "corruption: {differing} differ, and no alarm stands"
        );
        let is_corrupt = |number: u32| cluster.corrupt.contains(&number);
        for listed in leader.members() {
            let twice = leader.members().filter(|other| other.peer_url == listed.peer_url).count();
            assert_eq!(twice, 1, "membership: {} is listed {twice} times", listed.peer_url);
            let place = cluster.members.iter().position(|member| member.peer().id.0 == listed.id);
            let place = place.expect("each listed member is one of the slots");
            let (member, id) = (&cluster.members[place], listed.id);
            if cluster.broken.contains(&(place as u32)) {
                continue;
            }
            assert_eq!(member.applied(), leader.applied(), "convergence: member {id}");
            assert_eq!(member.applied(), self.replayed, "convergence: member {id}");
            assert_eq!(member.store().revision(), self.model.revision(), "convergence: member {id}");
            assert_eq!(member.store().compacted(), self.compacted, "convergence: member {id}");
            if is_corrupt(place as u32) {
                continue;
            }
            if !is_corrupt(number) {
                assert_eq!(member.store().hash(0), leader.store().hash(0), "convergence: member {id}");
            }
            let pairs = member.store().range(&everything()).expect("the newest").pairs;
            assert_eq!(pairs, expected, "convergence: member {id}");
        }
    }

    /// What `key` held at `revision`.
    fn at(&self, key: &Text, revision: u64) -> Option<Arc<KeyValue>> {
        let range = Range { key: key.clone(), revision, ..Range::default() };
        let result = self.model.range(&range).expect("nothing is compacted");
        result.pairs.first().cloned()
    }

    /// Revisions are one order of all writes; so it is enough that this order agrees with real time, and that each
    /// request saw and did what its revision says. Gives how many were answered.
    pub fn linearizable(&self, cluster: &Cluster) -> usize {
        let histories = cluster.clients.iter().map(|client| &client.history);
        let exchanges: Vec<&Exchange> = histories.flat_map(BTreeMap::values).collect();
        let mut done: Vec<&Exchange> = exchanges.iter().copied().filter(|e| e.revision > 0).collect();
        done.sort_by_key(|exchange| exchange.answered);
        // The highest revision that anybody had been told before an instant.
        let mut told = Vec::with_capacity(done.len());
        for exchange in &done {
            let highest = told.last().map_or(0, |(_, revision): &(_, u64)| *revision);
            told.push((exchange.answered.expect("done"), highest.max(exchange.revision)));
        }
        for exchange in &done {
            let before = told.partition_point(|(answered, _)| *answered < exchange.asked);
            let known = before.checked_sub(1).map_or(0, |last| told[last].1);
            let revision = exchange.revision;
            if exchange.has_changed {
                assert!(revision > known, "linearizability: into the past: {exchange:?}, known was {known}");
            } else {
                assert!(revision >= known, "linearizability: stale: {exchange:?}, known was {known}");
            }
            let (Asked::Put { key, .. }
            | Asked::Read { key }
            | Asked::Swap { key, .. }
            | Asked::Delete { key }) = &exchange.what;
            let now = self.at(key, revision);
            let found = now.as_ref().map(|pair| (pair.value.clone(), pair.mod_revision));
            let last = self.at(key, revision - 1).map_or(0, |pair| pair.mod_revision);
            let holds = match &exchange.what {
                Asked::Put { value, .. } => found == Some(((*value).into(), revision)),
                Asked::Read { .. } => found == exchange.found,
                Asked::Swap { known, value, .. } if exchange.has_changed => {
                    found == Some(((*value).into(), revision)) && last == *known
                }
                Asked::Swap { known, .. } => {
                    let is_other = found.as_ref().map_or(0, |(_, revision)| *revision) != *known;
                    is_other && found == exchange.found
                }
                Asked::Delete { .. } => found.is_none() && (last > 0 || !exchange.has_changed),
            };
            // What a corrupt member has read out proves nothing.
            let holds = holds || exchange.by.is_some_and(|by| cluster.corrupt.contains(&by));
            assert!(holds, "linearizability: {exchange:?}, but there was {found:?}, changed at {last}");
        }
        done.len()
    }

    /// Each watcher was told every change, once, in order; but for what was compacted before he could be told.
    pub fn watched(&self, cluster: &Cluster) {
        let changes = self.model.changes_from(2).expect("nothing is compacted");
        let all: Vec<(u64, Text, Option<Value>)> = changes
            .map(|change| {
                (change.main, change.key().clone(), change.current.as_ref().map(|pair| pair.value.clone()))
            })
            .collect();
        for client in &cluster.clients {
            for (from, to) in &client.missed {
                assert!(*to <= self.compacted && from < to, "watch: {from} to {to} is not compacted");
            }
            let has_missed =
                |revision: u64| client.missed.iter().any(|(from, to)| (*from..*to).contains(&revision));
            let expected: Vec<_> = all.iter().filter(|(revision, ..)| !has_missed(*revision)).collect();
            let is_told = |place: usize, (a, b): (&Told, &Told)| {
                let is_corrupt = cluster.corrupt.contains(&client.tellers[place]);
                a == b || is_corrupt && (a.0, &a.1) == (b.0, &b.1)
            };
            let mut pairs = client.told.iter().zip(expected.iter().copied()).enumerate();
            let differs = pairs.find(|(place, pair)| !is_told(*place, *pair)).map(|(place, _)| place);
            assert_eq!(differs.map(|place| (&client.told[place], &expected[place])), None, "watch");
            assert_eq!(client.told.len(), expected.len(), "watch: the last are missing");
        }
    }
}
