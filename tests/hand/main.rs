//! The user's hand on etcd: what each button and each set-up does, and that what cannot be done is refused with a reason.
//!
//! Picture to hold in mind: a fire drill. The alarm is pulled by the very buttons of the page, and afterwards the log of
//! what was pressed must tell the whole story again.

mod keys;
mod stories;
mod told;

use clusterarium::cluster::{self, Cluster, Role, refusal};
use clusterarium::command::{Command, Scenario};
use clusterarium::etcd::Member;
use clusterarium::etcd::member::QUOTA_BYTES;
use clusterarium::message::Message;
use clusterarium::picture::{self, Action, EtcdMember, Flow, Query};
use clusterarium::sim::trace::What;
use clusterarium::sim::{ActorId, Duration, History, RecordId, Time};

const SEEDS: u64 = 3;
const SECOND: Duration = Duration::from_secs(1);

fn running(seed: u64, etcd_members: u32) -> History<Cluster> {
    let scenario = Scenario { etcd_members, workers: 1, hollow: true, ..Scenario::default() };
    let mut history = cluster::boot(seed, scenario);
    // Not on a round instant: somewhere between two heartbeats.
    history.run_until(Time(15_000_000 + seed * 37_311));
    history
}

fn members(history: &History<Cluster>) -> Vec<&Member> {
    let processes = history.world().processes().iter();
    let found = processes.filter_map(|process| match &*process.role {
        Role::Etcd(member) => Some(member),
        _ => None,
    });
    found.collect()
}

fn seen(history: &History<Cluster>) -> Vec<EtcdMember> {
    picture::build(history).etcd
}

fn leaders(history: &History<Cluster>) -> Vec<EtcdMember> {
    seen(history).into_iter().filter(|member| member.is_running && member.role == "Leader").collect()
}

/// Presses a button as the page does.
fn press(history: &mut History<Cluster>, action: &Action) {
    for form in &action.commands {
        let command = form.read().expect("a button holds commands");
        assert_eq!(refusal(history.engine(), &command), None, "{}: {command:?}", action.label);
        history.command(command);
    }
}

fn set_up(history: &mut History<Cluster>, label: &str) -> Action {
    let all = picture::setups(&picture::build(history));
    let action = all.iter().find(|action| action.label == label);
    let action = action.unwrap_or_else(|| panic!("no {label} in {all:?}")).clone();
    press(history, &action);
    action
}

fn run(history: &mut History<Cluster>, duration: Duration) {
    let until = history.now() + duration;
    history.run_until(until);
}

/// What stands at the horizon is what the log alone leads to, and what a rewind and a replay lead to.
fn replays(history: &mut History<Cluster>) {
    let (now, hash) = (history.now(), history.engine().hash());
    history.seek(Time(now.0 / 2));
    history.seek(now);
    assert_eq!(history.engine().hash(), hash, "after a rewind");
    history.replace_log(history.log().to_vec());
    history.run_until(now);
    assert_eq!(history.engine().hash(), hash, "from the log alone");
}

fn mended(history: &mut History<Cluster>) {
    set_up(history, "Mend all");
    run(history, Duration::from_secs(8));
    assert_eq!(leaders(history).len(), 1, "after mending one leads");
    let ends: Vec<u64> = members(history).iter().map(|member| member.applied()).collect();
    assert!(ends.iter().all(|end| end.abs_diff(ends[0]) < 20), "after mending all logs end alike: {ends:?}");
    let labels: Vec<String> =
        picture::setups(&picture::build(history)).into_iter().map(|action| action.label).collect();
    assert!(!labels.contains(&"Mend all".to_string()), "there is nothing left to mend");
}

#[test]
fn a_set_up_does_what_it_says_and_is_mended() {
    for count in [3, 5] {
        for seed in 0..SEEDS {
            for label in ["Split vote", "Leader alone", "Minority alone", "No quorum"] {
                let mut history = running(seed, count);
                let before = leaders(&history).pop().expect("somebody leads");
                let action = set_up(&mut history, label);
                let what = format!("{label}, {count} members, seed {seed}: {}", action.explanation);
                match label {
                    "Split vote" => split(&mut history, &before, &what),
                    "Leader alone" => {
                        run(&mut history, Duration::from_secs(4));
                        let [now] = &leaders(&history)[..] else { panic!("{what}") };
                        assert!(now.term > before.term && now.name != before.name, "{what}");
                    }
                    "Minority alone" => {
                        run(&mut history, Duration::from_secs(4));
                        let [now] = &leaders(&history)[..] else { panic!("{what}") };
                        assert_eq!((&now.name, now.term), (&before.name, before.term), "{what}");
                        let after = seen(&history);
                        let asking = after.iter().filter(|member| member.role == "PreCandidate");
                        assert!(after.iter().all(|member| member.term == before.term), "{what}");
                        assert!(asking.count() <= (count as usize - 1) / 2, "{what}");
                    }
                    _ => {
                        run(&mut history, Duration::from_secs(4));
                        assert_eq!(leaders(&history), [], "{what}");
                    }
                }
                mended(&mut history);
                if seed == 0 {
                    replays(&mut history);
                }
            }
        }
    }
}

/// All that are left stand in one term, each has its own vote, and nobody wins that term.
fn split(history: &mut History<Cluster>, before: &EtcdMember, what: &str) {
    run(history, Duration::from_millis(400));
    let after: Vec<EtcdMember> = seen(history).into_iter().filter(|member| member.is_running).collect();
    for member in &after {
        assert_eq!(member.term, before.term + 1, "{what}");
        assert_eq!(member.vote.as_ref(), Some(&member.name), "{what}");
    }
    assert_eq!(leaders(history), [], "{what}");
    run(history, Duration::from_secs(8));
    let now = leaders(history).pop().unwrap_or_else(|| panic!("in the end somebody wins: {what}"));
    assert!(now.term > before.term + 1, "{what}");
}

/// A message between members that is under way at the present instant; runs until there is one.
fn raft_message(history: &mut History<Cluster>, name: &str) -> RecordId {
    for _ in 0..200_000 {
        let found = history.engine().in_flight().into_iter().find_map(|(id, _, _, _, message)| {
            let Message::Raft(message) = message else { return None };
            (message.body.name() == name).then_some(id)
        });
        match found {
            Some(id) => return id,
            None => history.step(Time::MAX),
        };
    }
    panic!("no {name} was ever under way")
}

fn card(history: &History<Cluster>, query: Query) -> picture::Detail {
    picture::inspect(history, &query).unwrap_or_else(|| panic!("no card of {query:?}"))
}

#[test]
fn one_message_is_dropped_or_delayed_while_it_is_under_way() {
    for name in ["MsgHeartbeat", "MsgHeartbeatResp", "MsgApp", "MsgAppResp"] {
        for label in ["Drop it", "Delay it by 100 ms", "Delay it by 1 s"] {
            let mut history = running(1, 3);
            let record = raft_message(&mut history, name);
            let query = || Query::Message { record: record.0 };
            let before = card(&history, query());
            let sent = Flow::told(record, &history.trace).expect("it was sent");
            let action = before.actions.iter().find(|action| action.label == label).expect(label);
            press(&mut history, action);
            let flow = Flow::told(RecordId(history.engine().next_record().0 - 1), &history.trace);
            let flow = flow.unwrap_or_else(|| panic!("{name}, {label}: the record tells of its fate"));
            assert_eq!(flow.id, record.0);
            let delay_us = |by: u64| sent.arrives_us.map(|arrives| arrives + by);
            match label {
                "Drop it" => {
                    assert_eq!((flow.arrives_us, flow.lost.as_deref()), (None, Some("Dropped")), "{name}");
                    let there = sent.progress(history.now().0 as f64).0;
                    assert!(
                        (flow.progress(f64::MAX).0 - there).abs() < 1e-5,
                        "{name}: it stays where it was"
                    );
                    let after = card(&history, query());
                    assert!(after.summary.contains(&("Lost".into(), "Dropped".into())), "{after:?}");
                }
                "Delay it by 1 s" => assert_eq!(flow.arrives_us, delay_us(1_000_000), "{name}"),
                _ => assert_eq!(flow.arrives_us, delay_us(100_000), "{name}"),
            }
            run(&mut history, Duration::from_secs(2));
            // By now it has arrived, or never will: there is nothing to press, and pressing is refused.
            assert_eq!(card(&history, query()).actions, [], "{name}, {label}");
            let refused = refusal(history.engine(), &Command::DropMessage { record: record.0 });
            assert!(refused.is_some_and(|text| text.contains("not under way")), "{name}, {label}");
            replays(&mut history);
        }
    }
}

#[test]
fn what_is_on_a_cable_when_it_is_cut_is_lost() {
    for name in ["MsgHeartbeat", "MsgHeartbeatResp", "MsgApp", "MsgAppResp"] {
        let mut history = running(1, 3);
        let record = raft_message(&mut history, name);
        let flying = history.engine().in_flight();
        let machine = |actor: ActorId| {
            let cluster = history.world();
            cluster.machines()[cluster.processes()[actor.0 as usize].host.0 as usize].name.clone()
        };
        let (_, from, to, ..) = *flying.iter().find(|(id, ..)| *id == record).expect("it is under way");
        let (a, b) = (machine(from), machine(to));
        let others = flying
            .iter()
            .filter(|(_, from, to, ..)| ![(&a, &b), (&b, &a)].contains(&(&machine(*from), &machine(*to))));
        let others: Vec<RecordId> = others.map(|(id, ..)| *id).collect();
        let (cut, join) = (Command::CutLink { a: a.clone(), b: b.clone() }, Command::JoinLink { a, b });
        // That it is joined in the same instant helps nothing that was on it.
        history.command(cut);
        history.command(join);
        let flow = Flow::told(RecordId(history.engine().next_record().0 - 2), &history.trace);
        let flow = flow.unwrap_or_else(|| panic!("{name}: the record tells of its fate"));
        assert_eq!((flow.arrives_us, flow.lost.as_deref()), (None, Some("Cut")), "{name}");
        let detail = card(&history, Query::Message { record: record.0 });
        assert!(detail.summary.contains(&("Lost".into(), "Cut".into())) && detail.actions.is_empty());
        let still: Vec<RecordId> = history.engine().in_flight().iter().map(|(id, ..)| *id).collect();
        assert!(others.iter().all(|id| still.contains(id)) && !still.contains(&record), "{name}");
        run(&mut history, Duration::from_secs(8));
        assert_eq!(leaders(&history).len(), 1, "{name}");
        replays(&mut history);
    }
}

#[test]
fn a_dropped_vote_is_not_counted() {
    let mut history = running(2, 3);
    let leader = leaders(&history).pop().expect("somebody leads").name;
    history.command(Command::StopProcess { process: leader });
    // With the leader gone the winner needs the other's vote; without it nobody leads that term.
    let answer = raft_message(&mut history, "MsgVoteResp");
    history.command(Command::DropMessage { record: answer.0 });
    let term = seen(&history).iter().map(|member| member.term).max();
    run(&mut history, Duration::from_millis(500));
    assert_eq!(leaders(&history), []);
    run(&mut history, Duration::from_secs(6));
    assert!(leaders(&history).pop().map(|member| member.term) > term);
}

#[test]
fn a_link_is_cut_one_way_slowed_made_lossy_and_mended() {
    let mut history = running(3, 3);
    let query = || Query::Link { a: "cp-1".into(), b: "etcd-2".into() };
    let faults = |history: &History<Cluster>| {
        let links = picture::build(history).links;
        let told = |link: &picture::LinkFault| {
            let facts = (link.is_cut, link.extra_delay_us, link.loss_per_million);
            format!("{}>{} {facts:?}", link.from, link.to)
        };
        links.iter().map(told).collect::<Vec<_>>()
    };
    let script: [(&str, &[&str]); 7] = [
        ("Cut cp-1 to etcd-2", &["cp-1>etcd-2 (true, 0, 0)"]),
        ("Mend it", &[]),
        ("Cut it", &["cp-1>etcd-2 (true, 0, 0)", "etcd-2>cp-1 (true, 0, 0)"]),
        ("Mend it", &[]),
        ("Slow it", &["cp-1>etcd-2 (false, 200000, 0)", "etcd-2>cp-1 (false, 200000, 0)"]),
        ("Make it lossy", &["cp-1>etcd-2 (false, 200000, 300000)", "etcd-2>cp-1 (false, 200000, 300000)"]),
        ("Mend it", &[]),
    ];
    for (label, expected) in script {
        let detail = card(&history, query());
        let action = detail.actions.iter().find(|action| action.label == label);
        press(&mut history, action.unwrap_or_else(|| panic!("no {label} in {detail:?}")));
        assert_eq!(faults(&history), expected, "{label}");
        run(&mut history, SECOND);
    }
    replays(&mut history);
}

#[test]
fn a_card_of_a_member_cuts_it_off_and_joins_it() {
    let mut history = running(4, 5);
    let pressed = |history: &mut History<Cluster>, label: &str| {
        let detail = card(history, Query::Component { name: "etcd-3".into() });
        let action = detail.actions.iter().find(|action| action.label == label);
        press(history, action.unwrap_or_else(|| panic!("no {label} in {:?}", detail.actions)));
        run(history, SECOND);
    };
    pressed(&mut history, "Cut it off");
    assert_eq!(picture::build(&history).links.len(), 8);
    pressed(&mut history, "Join its links");
    assert_eq!(picture::build(&history).links, []);
    let restarts = |history: &History<Cluster>| {
        history.trace.iter().filter(|(_, record)| matches!(record.what, What::Started(_))).count()
    };
    let before = restarts(&history);
    pressed(&mut history, "Restart");
    assert_eq!(restarts(&history), before + 1);
}

/// Presses a button on the card of a member of etcd.
fn press_on(history: &mut History<Cluster>, name: &str, label: &str) {
    let detail = card(history, Query::Component { name: name.into() });
    let action = detail.actions.iter().find(|action| action.label == label);
    press(history, action.unwrap_or_else(|| panic!("no {label} in {:?}", detail.actions)));
}

#[test]
fn a_disk_is_slowed_and_mended() {
    let mut history = running(9, 3);
    let latency = |history: &History<Cluster>, name: &str| {
        seen(history).into_iter().find(|member| member.name == name).map(|member| member.disk_latency_us)
    };
    let good = latency(&history, "etcd-2");
    press_on(&mut history, "etcd-2", "Slow its disk");
    assert_eq!(latency(&history, "etcd-2"), Some(500_000));
    assert_eq!(latency(&history, "etcd-3"), good);
    // A leader that takes half a second for each line still leads, and the others have its lines before itself.
    let leader = leaders(&history).pop().expect("somebody leads").name;
    if leader != "etcd-2" {
        press_on(&mut history, "etcd-2", "Make it the leader");
    }
    let mut seconds_behind = 0.0;
    for _ in 0..160 {
        run(&mut history, Duration::from_millis(50));
        let members = seen(&history);
        let [slow, other] = ["etcd-2", "etcd-3"]
            .map(|name| members.iter().find(|member| member.name == name).expect("it is there"));
        if slow.is_writing && other.persisted_index > slow.persisted_index {
            seconds_behind += 0.05;
        }
    }
    assert!(seconds_behind > 1.0, "it writes long after the others have written: {seconds_behind} s of 8");
    assert_eq!(leaders(&history).pop().map(|leader| leader.name), Some("etcd-2".into()));
    press_on(&mut history, "etcd-2", "Mend its disk");
    assert_eq!(latency(&history, "etcd-2"), good);
    press_on(&mut history, "etcd-2", "Slow its disk");
    mended(&mut history);
    replays(&mut history);
}

#[test]
fn a_disk_is_filled_and_given_space() {
    let mut history = running(10, 3);
    press_on(&mut history, "etcd-3", "Fill its disk");
    let alarms = |history: &History<Cluster>| seen(history)[0].alarms.clone();
    // A member refuses what it is asked itself; what the others propose it has to take.
    run(&mut history, Duration::from_secs(20));
    assert_eq!(alarms(&history), Vec::<String>::new());
    press_on(&mut history, "etcd-cp-1", "Fill its disk");
    run(&mut history, Duration::from_secs(20));
    assert_eq!(alarms(&history), ["etcd-cp-1: NOSPACE"]);
    press_on(&mut history, "etcd-cp-1", "Give it space");
    press_on(&mut history, "etcd-3", "Give it space");
    assert!(seen(&history).iter().all(|member| member.quota_bytes == QUOTA_BYTES));
    run(&mut history, Duration::from_secs(20));
    assert_eq!(alarms(&history), ["etcd-cp-1: NOSPACE"], "it stays until it is disarmed");
    replays(&mut history);
}

#[test]
fn a_corrupt_disk_is_silent_in_the_database_and_fatal_in_the_log() {
    let mut history = running(11, 3);
    let hashes = |history: &History<Cluster>| {
        let hash = |member: &&Member| member.store().hash(0).expect("the newest");
        members(history).iter().map(hash).collect::<Vec<u32>>()
    };
    let all_alike = |hashes: &[u32]| hashes.iter().all(|hash| *hash == hashes[0]);
    assert!(all_alike(&hashes(&history)));
    press_on(&mut history, "etcd-2", "Corrupt its disk");
    let after = hashes(&history);
    assert!(after[0] == after[2] && after[0] != after[1], "{after:?}");
    run(&mut history, Duration::from_secs(5));
    assert_eq!(leaders(&history).len(), 1, "nobody has noticed");
    // kubeadm has a member compare before it starts: it finds that it is not as the others, and does not.
    press_on(&mut history, "etcd-2", "Restart");
    run(&mut history, SECOND);
    let state = |history: &History<Cluster>, name: &str| {
        let member = seen(history).into_iter().find(|member| member.name == name).expect("it is there");
        (member.is_running, member.role, member.failure)
    };
    let (is_running, role, failure) = state(&history, "etcd-2");
    assert!(
        !is_running && role == "Failed" && failure.ends_with("found data inconsistency with peers"),
        "{failure}"
    );
    // Of a stopped member it is the log.
    history.command(Command::StopProcess { process: "etcd-3".into() });
    press_on(&mut history, "etcd-3", "Corrupt its disk");
    press_on(&mut history, "etcd-3", "Start");
    run(&mut history, SECOND);
    let fatal = "failed to read WAL, cannot be repaired: walpb: crc mismatch";
    assert_eq!(state(&history, "etcd-3"), (false, "Failed".into(), fatal.into()));
    let detail = card(&history, Query::Component { name: "etcd-3".into() });
    assert!(detail.summary.contains(&("Failure".into(), fatal.into())), "{detail:?}");
    // What was corrupted cannot be mended; who does not compare starts with it.
    let all = picture::setups(&picture::build(&history));
    assert!(all.iter().all(|action| action.label != "Mend all"), "{all:?}");
    let flags = vec!["--feature-gates=InitialCorruptCheck=false".to_string()];
    history.command(Command::SetFlags { member: "etcd-2".into(), flags });
    press_on(&mut history, "etcd-2", "Restart");
    run(&mut history, Duration::from_secs(5));
    assert!(state(&history, "etcd-2").0);
    assert_eq!(leaders(&history).len(), 1);
    replays(&mut history);
}

#[test]
fn a_learner_is_promoted_from_its_card() {
    let mut history = cluster::boot(6, Scenario { workers: 0, ..Scenario::default() });
    history.run_until(Time(40_000_000));
    history.command(Command::AddEtcdMember { name: "etcd-5".into(), is_learner: true });
    run(&mut history, Duration::from_secs(10));
    let detail = card(&history, Query::Component { name: "etcd-5".into() });
    let promote = detail.actions.iter().find(|action| action.label == "Promote it");
    press(&mut history, promote.unwrap_or_else(|| panic!("{:?}", detail.actions)));
    run(&mut history, Duration::from_secs(5));
    assert_eq!(leaders(&history).pop().map(|leader| leader.voters.len()), Some(4));
}

#[test]
fn whoever_lost_its_log_comes_back_as_another_member() {
    let mut history = cluster::boot(6, Scenario { workers: 0, ..Scenario::default() });
    history.run_until(Time(40_000_000));
    let etcdctl = |history: &mut History<Cluster>, words: &str| {
        let papers =
            "cd /etc/kubernetes/pki/etcd; etcdctl --cacert ca.crt --cert server.crt --key server.key";
        let line = format!("{papers} {words}");
        history.command(Command::Exec { session: 0, line, stdin: String::new() });
        run(history, Duration::from_secs(3));
    };
    press_on(&mut history, "etcd-2", "Stop");
    press_on(&mut history, "etcd-2", "Corrupt its disk");
    press_on(&mut history, "etcd-2", "Start");
    run(&mut history, SECOND);
    let member = |history: &History<Cluster>| {
        seen(history).into_iter().find(|member| member.name == "etcd-2").expect("it is there")
    };
    let first = member(&history);
    assert_eq!(first.role, "Failed");
    let anew = || Command::AddEtcdMember { name: "etcd-2".into(), is_learner: false };
    let refused = refusal(history.engine(), &anew());
    assert!(
        refused.as_ref().is_some_and(|text| text.ends_with(&format!("member remove {}", first.id))),
        "{refused:?}"
    );
    etcdctl(&mut history, &format!("member remove {}", first.id));
    press_on(&mut history, "etcd-2", "Begin anew");
    run(&mut history, Duration::from_secs(10));
    let second = member(&history);
    assert_eq!((second.role.as_str(), second.failure.as_str()), ("Follower", ""));
    assert!(second.id != first.id && second.voters.len() == 3);
    let leader = leaders(&history).pop().expect("somebody leads");
    assert!(leader.applied_index.abs_diff(second.applied_index) < 5);
    // etcd may wait for a member where none can be.
    for (url, reason) in [
        ("https://192.168.56.10:2390", "which is cp-1's address"),
        ("https://etcd-7.example:2380", "where no machine can be"),
    ] {
        etcdctl(&mut history, &format!("member add etcd-7 --peer-urls={url} --learner"));
        let refused =
            refusal(history.engine(), &Command::AddEtcdMember { name: "etcd-7".into(), is_learner: false });
        assert!(refused.as_ref().is_some_and(|text| text.contains(reason)), "{url}: {refused:?}");
        let added =
            members(&history)[0].members().find(|member| member.peer_url == url).expect("it is listed").id;
        etcdctl(&mut history, &format!("member remove {added:x}"));
    }
    replays(&mut history);
}

#[test]
fn the_vote_is_split_whenever_it_is_asked_for() {
    let mut history = running(7, 3);
    let begun = history.now();
    let mut wins = 0;
    // From two heartbeats on backwards, so that what was pressed later lies ahead and is forgotten.
    for step in (0..60).rev() {
        history.seek(begun + Duration(step * 3_337));
        history.branches.clear();
        let term = leaders(&history).pop().expect("somebody leads").term;
        set_up(&mut history, "Split vote");
        run(&mut history, Duration::from_millis(400));
        wins +=
            u32::from(leaders(&history).iter().any(|member| member.term == term + 1 && member.is_running));
    }
    assert_eq!(wins, 0, "of 60 votes these were not split");
}

#[test]
fn a_machine_that_is_off_is_switched_on_by_mending() {
    let mut history = running(8, 3);
    history.command(Command::StopHost { host: "etcd-2".into() });
    run(&mut history, SECOND);
    mended(&mut history);
    assert!(seen(&history).iter().all(|member| member.is_running));
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason() {
    let mut history = running(5, 3);
    history.command(Command::StopHost { host: "worker-1".into() });
    let leader = leaders(&history).pop().expect("somebody leads").name;
    let text = |text: &str| text.to_string();
    let sides = |sides: &[&[&str]]| Command::Partition {
        sides: sides.iter().map(|side| side.iter().map(|name| text(name)).collect()).collect(),
    };
    let cases = [
        (Command::Boot(Scenario::default()), "set up once"),
        (Command::DropMessage { record: 1 }, "message 1 is not under way"),
        (Command::DelayMessage { record: u64::MAX, by_us: 5 }, "is not under way"),
        (Command::StopProcess { process: text("etcd-9") }, "no process etcd-9"),
        (Command::StartProcess { process: text("kubelet-worker-1") }, "switched off"),
        (Command::StopHost { host: text("mars") }, "no machine mars"),
        (Command::CutLink { a: text("cp-1"), b: text("mars") }, "no machine mars"),
        (Command::CutOneWay { from: text("cp-1"), to: text("etcd-cp-1") }, "on one machine"),
        (Command::Campaign { member: text("kube-apiserver-cp-1"), after_us: 0 }, "no etcd member"),
        (Command::Campaign { member: leader.clone(), after_us: 0 }, "already"),
        (Command::TransferLeader { member: leader }, "already"),
        (Command::AddEtcdMember { name: text("etcd-2"), is_learner: true }, "already"),
        (Command::AddEtcdMember { name: text("No Name"), is_learner: true }, "no name for a machine"),
        (
            Command::SetFlags { member: text("etcd-2"), flags: vec![text("--pre-vote=false")] },
            "when it starts",
        ),
        (Command::SetFlags { member: text("etcd-2"), flags: vec![text("--name=x")] }, "is none of"),
        (Command::SetFlags { member: text("etcd-9"), flags: Vec::new() }, "no etcd member"),
        (Command::CorruptDisk { member: text("cp-1") }, "no etcd member"),
        (sides(&[&["etcd-cp-1"], &[]]), "two sides"),
        (sides(&[&["etcd-cp-1"], &["etcd-8"]]), "no machine etcd-8"),
        (sides(&[&["etcd-cp-1"], &["etcd-2", "cp-1"]]), "one machine"),
    ];
    for (command, reason) in cases {
        let refused = refusal(history.engine(), &command);
        assert!(refused.as_ref().is_some_and(|text| text.contains(reason)), "{command:?}: {refused:?}");
    }
    for command in [
        sides(&[&["etcd-cp-1"], &["etcd-2", "etcd-3"]]),
        sides(&[&["cp-1", "etcd-cp-1"], &["etcd-2"]]),
        Command::StopProcess { process: text("etcd-2") },
        Command::AddEtcdMember { name: text("etcd-4"), is_learner: false },
        Command::HealNetwork,
    ] {
        assert_eq!(refusal(history.engine(), &command), None, "{command:?}");
    }
}
