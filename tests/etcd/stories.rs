//! Single stories: time-outs, leases, snapshots, membership.

use clusterarium::command::Command;
use clusterarium::message::etcd::{Change, Error, Operation, Outcome, Range, Txn};
use clusterarium::sim::{Duration, Time};

use crate::world::{MEMBERS, Simulation, ask, boot, leader, put, resume, send};

const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that has elected its leader.
fn settled(seed: u64) -> (Simulation, u32) {
    let mut simulation = boot(seed, false);
    simulation.0.run_until(Time::from_secs(4), &mut simulation.1);
    let leader = leader(&simulation.0.world).expect("a leader within four seconds");
    (simulation, leader)
}
fn stop(simulation: &mut Simulation, member: u32) {
    let process = format!("etcd-{member}");
    simulation.0.command(&Command::StopProcess { process }, &mut simulation.1);
}
fn start(simulation: &mut Simulation, member: u32) {
    let process = format!("etcd-{member}");
    simulation.0.command(&Command::StartProcess { process }, &mut simulation.1);
}
fn run(simulation: &mut Simulation, duration: Duration) {
    let until = simulation.0.now() + duration;
    simulation.0.run_until(until, &mut simulation.1);
}
fn read(serializable: bool) -> Operation {
    Operation::Range(Range { key: "/a".into(), serializable, ..Range::default() })
}

#[test]
fn a_new_cluster_writes_eight_entries_as_a_real_one_does() {
    // Three founding entries, the leader's first, three names and the cluster's version.
    let (mut simulation, leader) = settled(1);
    let answer = ask(&mut simulation, leader, Operation::Status, PATIENCE);
    let Some(Ok(Outcome::Status(status))) = answer else { panic!("{answer:?}") };
    assert_eq!((status.raft_index, status.applied_index), (8, 8));
    assert_eq!(status.leader, u64::from(leader) + 1);
    let answer = ask(&mut simulation, leader, Operation::MemberList, PATIENCE);
    let Some(Ok(Outcome::Members(members))) = answer else { panic!("{answer:?}") };
    assert!(members.iter().all(|member| !member.client_url.is_empty()), "{members:?}");
}

#[test]
fn a_write_is_answered_within_milliseconds_whichever_member_is_asked() {
    let (mut simulation, _) = settled(2);
    for member in 0..MEMBERS {
        let before = simulation.0.now();
        let answer = ask(&mut simulation, member, put(&"/a".into(), 1), PATIENCE);
        assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
        let took = simulation.0.now().since(before);
        assert!(took < Duration::from_millis(8), "member {member} took {took:?}");
    }
}

#[test]
fn without_a_quorum_requests_wait_and_time_out() {
    let (mut simulation, leader) = settled(3);
    ask(&mut simulation, leader, put(&"/a".into(), 1), PATIENCE).expect("answered").expect("a quorum");
    let others: Vec<u32> = (0..MEMBERS).filter(|member| *member != leader).collect();
    others.iter().for_each(|member| stop(&mut simulation, *member));
    for (operation, expected) in [
        (put(&"/a".into(), 2), Some(Error::TimedOut)),
        (read(false), Some(Error::TimedOut)),
        (read(true), None),
        (Operation::LeaseGrant { lease: 7, ttl_seconds: 60 }, Some(Error::TimedOut)),
    ] {
        let before = simulation.0.now();
        let answer = ask(&mut simulation, leader, operation.clone(), PATIENCE).expect("answered");
        assert_eq!(answer.err(), expected, "{operation}");
        let seconds = simulation.0.now().since(before).as_secs();
        assert_eq!(seconds, if expected.is_some() { 7 } else { 0 }, "{operation}");
    }
    let watch = Operation::Watch {
        key: "/a".into(),
        range_end: "".into(),
        start_revision: 0,
        previous: false,
        progress: false,
    };
    let answer = ask(&mut simulation, leader, watch, PATIENCE).expect("answered");
    assert_eq!(answer.err(), Some(Error::NoLeader));
    // With one of them back, it goes on.
    start(&mut simulation, others[0]);
    run(&mut simulation, Duration::from_secs(4));
    let answer = ask(&mut simulation, leader, put(&"/a".into(), 3), PATIENCE);
    assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
}

#[test]
fn a_lease_ends_after_its_time_and_never_before() {
    let (mut simulation, leader) = settled(4);
    let follower = (leader + 1) % MEMBERS;
    let exists = |simulation: &Simulation| simulation.0.world.members[0].store().get("/leased").is_some();
    let grant = Operation::LeaseGrant { lease: 7, ttl_seconds: 10 };
    ask(&mut simulation, follower, grant, PATIENCE).expect("answered").expect("granted");
    let change = Change::Put { key: "/leased".into(), value: 1.into(), lease: 7 };
    let leased = Operation::Txn(Txn { success: vec![change], ..Txn::default() });
    ask(&mut simulation, follower, leased, PATIENCE).expect("answered").expect("written");
    for _ in 0..4 {
        run(&mut simulation, Duration::from_secs(8));
        let answer = ask(&mut simulation, follower, Operation::LeaseKeepAlive { lease: 7 }, PATIENCE);
        assert!(matches!(answer, Some(Ok(Outcome::Lease { ttl_seconds: 10, .. }))), "{answer:?}");
    }
    // Another leader begins to count anew.
    run(&mut simulation, Duration::from_secs(9));
    let target = u64::from(follower) + 1;
    let moved = ask(&mut simulation, leader, Operation::MoveLeader { target }, PATIENCE);
    assert!(matches!(moved, Some(Ok(Outcome::Done))), "{moved:?}");
    run(&mut simulation, Duration::from_secs(9));
    assert!(exists(&simulation));
    let answer = ask(&mut simulation, leader, Operation::LeaseTimeToLive { lease: 7 }, PATIENCE);
    let Some(Ok(Outcome::LeaseTimeToLive { remaining_seconds, keys, .. })) = answer else {
        panic!("{answer:?}")
    };
    assert!((0..=2).contains(&remaining_seconds), "{remaining_seconds}");
    assert_eq!(keys, ["/leased"]);
    run(&mut simulation, Duration::from_secs(4));
    assert!(!exists(&simulation));
    let answer = ask(&mut simulation, leader, Operation::LeaseKeepAlive { lease: 7 }, PATIENCE);
    assert_eq!(answer.expect("answered").err(), Some(Error::LeaseNotFound));
}

#[test]
fn a_leader_that_stood_still_renews_no_lease() {
    let (mut simulation, old) = settled(10);
    let grant = Operation::LeaseGrant { lease: 7, ttl_seconds: 60 };
    ask(&mut simulation, old, grant, PATIENCE).expect("answered").expect("granted");
    simulation.0.world.pause(old);
    for other in (0..MEMBERS).filter(|other| *other != old) {
        let cut = Command::CutLink { a: format!("etcd-{old}"), b: format!("etcd-{other}") };
        simulation.0.command(&cut, &mut simulation.1);
    }
    run(&mut simulation, Duration::from_secs(4));
    let new = leader(&simulation.0.world);
    assert!(new.is_some_and(|new| new != old), "another leads: {new:?}");
    let asked = send(&mut simulation, old, Operation::LeaseKeepAlive { lease: 7 });
    resume(&mut simulation, old);
    run(&mut simulation, Duration::from_secs(1));
    // It waits for a proof that does not come.
    assert_eq!(simulation.0.world.answers.get(&asked).map(|answer| answer.is_ok()), None);
    simulation.0.command(&Command::HealNetwork, &mut simulation.1);
    run(&mut simulation, Duration::from_secs(3));
    let answer = simulation.0.world.answers.get(&asked).expect("answered");
    assert_eq!(answer.as_ref().err(), Some(&Error::NotLeader));
}

#[test]
fn a_member_that_slept_long_gets_a_snapshot() {
    let (mut simulation, leader) = settled(5);
    let sleeper = (leader + 1) % MEMBERS;
    stop(&mut simulation, sleeper);
    for value in 0..300 {
        let key = format!("/key/{}", value % 20).into();
        ask(&mut simulation, leader, put(&key, value), PATIENCE).expect("answered").expect("written");
    }
    assert!(simulation.0.world.members[leader as usize].entry(50).is_none(), "the log is compacted");
    start(&mut simulation, sleeper);
    run(&mut simulation, Duration::from_secs(2));
    let members = &simulation.0.world.members;
    let hash = |member: u32| members[member as usize].store().hash(0);
    assert_eq!(hash(sleeper), hash(leader));
    assert_eq!(members[sleeper as usize].applied(), members[leader as usize].applied());
}

#[test]
fn a_backup_becomes_a_new_cluster() {
    let (mut simulation, leader) = settled(6);
    ask(&mut simulation, leader, put(&"/a".into(), 1), PATIENCE).expect("answered").expect("written");
    let answer = ask(&mut simulation, leader, Operation::Snapshot, PATIENCE);
    let Some(Ok(Outcome::Snapshot { image, .. })) = answer else { panic!("{answer:?}") };
    ask(&mut simulation, leader, put(&"/a".into(), 2), PATIENCE).expect("answered").expect("written");
    let (mut fresh, _) = settled(7);
    let peers: Vec<_> = fresh.0.world.members.iter().map(|member| member.peer().clone()).collect();
    for number in 0..MEMBERS {
        stop(&mut fresh, number);
        let old = &fresh.0.world.members[number as usize];
        let member = old.restored(&peers[number as usize], &peers, &image);
        fresh.0.world.members[number as usize] = member.expect("an image of etcd");
    }
    (0..MEMBERS).for_each(|number| start(&mut fresh, number));
    run(&mut fresh, Duration::from_secs(4));
    let answer = ask(&mut fresh, 0, read(false), PATIENCE);
    let Some(Ok(Outcome::Range(range))) = answer else { panic!("{answer:?}") };
    assert_eq!(range.pairs[0].value, 1.into());
}

#[test]
fn compaction_is_felt_by_reads_and_watches() {
    let (mut simulation, leader) = settled(8);
    for value in 0..5 {
        ask(&mut simulation, leader, put(&"/a".into(), value), PATIENCE).expect("answered").expect("written");
    }
    let compact = |revision| Operation::Compact { revision };
    let at = |revision| Operation::Range(Range { key: "/a".into(), revision, ..Range::default() });
    let gone = Error::Compacted { revision: 4 };
    for (operation, expected) in [
        (at(2), None),
        (compact(4), None),
        (compact(4), Some(gone.clone())),
        (compact(99), Some(Error::FutureRevision)),
        (at(3), Some(gone)),
        (at(4), None),
        (at(99), Some(Error::FutureRevision)),
    ] {
        let answer = ask(&mut simulation, leader, operation.clone(), PATIENCE).expect("answered");
        assert_eq!(answer.err(), expected, "{operation}");
    }
}

#[test]
fn a_member_is_removed_and_puts_down_its_pen() {
    let (mut simulation, leader) = settled(9);
    let gone = (leader + 1) % MEMBERS;
    let remove = |member: u64| Operation::MemberRemove { member };
    let answer = ask(&mut simulation, leader, remove(99), PATIENCE).expect("answered");
    assert_eq!(answer.err(), Some(Error::MemberNotFound));
    let answer = ask(&mut simulation, leader, remove(u64::from(gone) + 1), PATIENCE);
    let Some(Ok(Outcome::Members(members))) = answer else { panic!("{answer:?}") };
    assert_eq!(members.len(), 2);
    run(&mut simulation, Duration::from_secs(2));
    let answer = ask(&mut simulation, leader, put(&"/a".into(), 1), PATIENCE);
    assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
    // A learner has no vote and serves no writes; an unstarted one is not level.
    let add = Operation::MemberAdd { peer_url: "https://10.0.0.9:2380".into(), is_learner: true };
    let answer = ask(&mut simulation, leader, add, PATIENCE);
    let Some(Ok(Outcome::Members(members))) = answer else { panic!("{answer:?}") };
    let learner = members.iter().find(|member| member.is_learner).expect("the learner");
    let promote = Operation::MemberPromote { member: learner.id };
    let answer = ask(&mut simulation, leader, promote, PATIENCE).expect("answered");
    assert_eq!(answer.err(), Some(Error::LearnerNotReady));
}

/// Flips a bit in the database of one member, the leader or another, and lets some checks pass: who that was, and of whom
/// the alarm stands then.
fn corrupted(seed: u64, is_leader: bool, is_of_compaction: bool) -> (u64, Vec<u64>) {
    let (mut simulation, leader) = settled(seed);
    for member in &mut simulation.0.world.members {
        if is_of_compaction {
            member.flags.compact_hash_check = true;
            member.flags.compact_hash_check_time = Duration::from_secs(1);
        } else {
            member.flags.corrupt_check_time = Duration::from_secs(1);
        }
    }
    for value in 0..3 {
        ask(&mut simulation, leader, put(&"/a".into(), value), PATIENCE).expect("answered").expect("written");
    }
    // It has been told so after its start: the first time it looks as it did before.
    run(&mut simulation, Duration::from_secs(60));
    let alarms = |simulation: &mut Simulation| {
        let answer = ask(simulation, leader, Operation::AlarmList, PATIENCE);
        let Some(Ok(Outcome::Alarms(alarms))) = answer else { panic!("{answer:?}") };
        alarms.into_iter().map(|(member, _)| member).collect::<Vec<u64>>()
    };
    assert!(alarms(&mut simulation).is_empty(), "nothing is wrong yet");
    let culprit = if is_leader { leader } else { (leader + 1) % MEMBERS };
    let command = Command::CorruptDisk { member: format!("etcd-{culprit}") };
    simulation.0.command(&command, &mut simulation.1);
    if is_of_compaction {
        run(&mut simulation, Duration::from_secs(3));
        assert!(alarms(&mut simulation).is_empty(), "nobody has looked");
        let compact = Operation::Compact { revision: 4 };
        ask(&mut simulation, leader, compact, PATIENCE).expect("answered").expect("compacted");
    }
    run(&mut simulation, Duration::from_secs(3));
    let all = alarms(&mut simulation);
    if !all.is_empty() {
        let answer = ask(&mut simulation, leader, put(&"/a".into(), 9), PATIENCE);
        assert!(matches!(answer, Some(Err(Error::Corrupt))), "{answer:?}");
        let answer = ask(&mut simulation, leader, read(false), PATIENCE);
        assert!(matches!(answer, Some(Ok(_))), "{answer:?}");
    }
    (u64::from(culprit) + 1, all)
}

#[test]
fn the_periodic_check_takes_the_leader_for_right() {
    for seed in 20..24 {
        let (culprit, alarms) = corrupted(seed, false, false);
        assert_eq!(alarms, [culprit]);
        // It is the leader that is wrong, and another that is blamed.
        let (culprit, alarms) = corrupted(seed, true, false);
        assert!(alarms.len() == 1 && alarms[0] != culprit, "{alarms:?}");
    }
}

#[test]
fn the_check_of_compactions_takes_the_majority_for_right() {
    for seed in 20..24 {
        for is_leader in [false, true] {
            // The newest value of a key that was compacted at is in the sum.
            let (culprit, alarms) = corrupted(seed, is_leader, true);
            assert_eq!(alarms, [culprit]);
        }
    }
}
