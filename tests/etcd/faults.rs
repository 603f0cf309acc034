//! Random faults, then peace; and what must hold all the while and at the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clusterarium::api::{Text, Value};
use clusterarium::command::Command;
use clusterarium::message::etcd::{Outcome, Range};
use clusterarium::sim::{Duration, Random, RecordId};

use crate::world::{Asked, Cluster, Exchange, MEMBERS, Simulation, ask, boot, leader, put, random};

/// Judges every instant.
#[derive(Default)]
struct Inspector {
    /// Who led which term.
    leaders: BTreeMap<u64, usize>,
    /// What was applied on which line, by whoever did it first.
    ledger: BTreeMap<u64, String>,
    seen: [u64; MEMBERS as usize],
}

impl Inspector {
    fn look(&mut self, cluster: &Cluster) {
        for (number, member) in cluster.members.iter().enumerate() {
            if let Some(term) = member.leads() {
                let first = *self.leaders.entry(term).or_insert(number);
                assert_eq!(first, number, "term {term} has two leaders");
            }
            while self.seen[number] < member.applied() {
                self.seen[number] += 1;
                let index = self.seen[number];
                // What a snapshot stands for is compared by its hash, at the end.
                let Some(entry) = member.entry(index) else { continue };
                let line = format!("{} {:?}", entry.term, entry.payload);
                let known = self.ledger.entry(index).or_insert_with(|| line.clone());
                assert_eq!(*known, line, "line {index} is not the same for all");
            }
        }
    }
    fn run(&mut self, (engine, trace): &mut Simulation, duration: Duration) {
        let until = engine.now() + duration;
        while engine.next_time().is_some_and(|time| time <= until) {
            engine.step(trace);
            self.look(&engine.world);
        }
        engine.run_until(until, trace);
    }
}

fn fault(simulation: &mut Simulation, random: &mut Random) {
    let member = |random: &mut Random| format!("etcd-{}", random.below(u64::from(MEMBERS)));
    let (a, b) = (member(random), member(random));
    let command = match random.below(16) {
        0 | 1 => Command::StopProcess { process: a },
        2..=5 => Command::StartProcess { process: a },
        6 | 7 => Command::CutLink { a, b },
        8 | 9 => Command::JoinLink { a, b },
        10 | 11 => {
            let extra_delay_us = random.below(3) * random.below(200_000);
            let loss_per_million = random.below(400_000) as u32;
            Command::DegradeLink { from: a, to: b, extra_delay_us, loss_per_million }
        }
        12 => Command::HealNetwork,
        13 => Command::Campaign { member: a, after_us: 0 },
        kind => {
            let between_members = |from: u32, to: u32| from < MEMBERS && to < MEMBERS;
            let under_way: Vec<RecordId> = simulation
                .0
                .in_flight()
                .into_iter()
                .filter(|(_, from, to, _, _)| between_members(from.0, to.0))
                .map(|(record, ..)| record)
                .collect();
            let Some(record) = under_way.get(random.below(under_way.len() as u64) as usize) else { return };
            match kind {
                14 => Command::DropMessage { record: record.0 },
                _ => Command::DelayMessage { record: record.0, by_us: random.below(3_000_000) },
            }
        }
    };
    // To start a process that runs is to restart it: a crash too.
    simulation.0.command(&command, &mut simulation.1);
}

/// One day: faults, then peace. Gives how many requests were answered.
fn play(seed: u64) -> usize {
    let mut random = random(seed);
    let mut simulation = boot(seed, true);
    let mut inspector = Inspector::default();
    let slow = Duration(random.below(30_000));
    simulation.0.world.members[0].disk_latency.1 = Duration(1_400) + slow;
    for _ in 0..60 {
        let pause = random.duration(Duration::from_millis(1), Duration::from_millis(700));
        inspector.run(&mut simulation, pause);
        fault(&mut simulation, &mut random);
    }
    simulation.0.command(&Command::HealNetwork, &mut simulation.1);
    for number in 0..MEMBERS {
        if !simulation.0.is_running(clusterarium::sim::actor::ActorId(number)) {
            let process = format!("etcd-{number}");
            simulation.0.command(&Command::StartProcess { process }, &mut simulation.1);
        }
    }
    inspector.run(&mut simulation, Duration::from_secs(10));
    simulation.0.world.closing = true;
    inspector.run(&mut simulation, Duration::from_secs(10));

    let leader = leader(&simulation.0.world).expect("with all mended there is a leader");
    let patience = Duration::from_secs(1);
    let last = ask(&mut simulation, (leader + 1) % MEMBERS, put(&"/registry/last".into(), 1), patience);
    assert!(matches!(last, Some(Ok(_))), "with all mended a write succeeds: {last:?}");
    inspector.run(&mut simulation, Duration::from_secs(4));
    converged(&simulation.0.world);
    let histories = simulation.0.world.clients.iter().map(|client| &client.history);
    let answered = linearizable(&simulation.0.world, histories);
    watched(&simulation.0.world);
    answered
}

fn converged(cluster: &Cluster) {
    let state = |number: u32| {
        let member = &cluster.members[number as usize];
        (member.applied(), member.store().revision(), member.store().hash(0))
    };
    for number in 1..MEMBERS {
        assert_eq!(state(number), state(0), "members 0 and {number} differ at the end");
    }
}

/// What `key` held at `revision`.
fn value_at(cluster: &Cluster, key: &Text, revision: u64) -> Option<Value> {
    let range = Range { key: key.clone(), revision, ..Range::default() };
    let result = cluster.members[0].store().range(&range).expect("nothing is compacted");
    result.pairs.first().map(|pair| pair.value.clone())
}

/// Revisions are one order of all writes; so it is enough that this order agrees with real time, and that each
/// read saw what its revision held.
fn linearizable<'a>(
    cluster: &Cluster,
    histories: impl Iterator<Item = &'a BTreeMap<u64, Exchange>>,
) -> usize {
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
        match &exchange.what {
            Asked::Read { key } => {
                assert!(exchange.revision >= known, "a stale read: {exchange:?}, known was {known}");
                let expected = value_at(cluster, key, exchange.revision);
                assert_eq!(exchange.found, expected, "a wrong read: {exchange:?}");
            }
            Asked::Put { key, value } => {
                assert!(exchange.revision > known, "a write into the past: {exchange:?}, known was {known}");
                let found = value_at(cluster, key, exchange.revision);
                assert_eq!(found, Some((*value).into()), "an acknowledged write is lost: {exchange:?}");
            }
        }
    }
    done.len()
}

/// Each watcher was told every change, once, in order.
fn watched(cluster: &Cluster) {
    let changes = cluster.members[0].store().changes_from(2).expect("nothing is compacted");
    let expected: Vec<(u64, Text, Option<Value>)> = changes
        .map(|change| {
            (change.main, change.key().clone(), change.current.as_ref().map(|pair| pair.value.clone()))
        })
        .collect();
    for client in &cluster.clients {
        assert!(!client.lost_history);
        let differs = client.told.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(differs.map(|place| (&client.told[place], &expected[place])), None);
        assert_eq!(client.told.len(), expected.len());
    }
}

#[test]
fn the_laws_hold_under_random_faults() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("ETCD_SEED"), number("ETCD_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(100),
    };
    let (mut answered, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(number) => answered += number,
            Err(panic) => {
                eprintln!("to play it again: ETCD_SEED={seed} cargo test --test etcd faults");
                std::panic::resume_unwind(panic);
            }
        }
    }
    // Faults that silence everybody would prove nothing.
    assert!(answered as u64 > count * 100, "only {answered} requests were answered");
    println!("{count} seeds, {answered} requests answered");
}

#[test]
fn equal_seeds_are_equal_runs() {
    let run = || {
        let mut simulation = boot(11, true);
        Inspector::default().run(&mut simulation, Duration::from_secs(10));
        let answer = ask(&mut simulation, 0, put(&"/registry/x".into(), 1), Duration::from_secs(1));
        assert!(matches!(answer, Some(Ok(Outcome::Txn { .. }))));
        simulation.0.hash()
    };
    assert_eq!(run(), run());
}
