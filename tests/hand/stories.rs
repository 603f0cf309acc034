//! Every story, played on the real group of members: each scene ends as its caption says.
//!
//! Picture to hold in mind: a theatre critic with the text on the knees. That the curtain falls is not enough; who was
//! said to win has to have won, and what was said to be lost must be nowhere.

use clusterarium::message::raft::Body;
use clusterarium::note::Note;
use clusterarium::picture::{PeerProgress, ProgressState, STORIES};

use super::*;

/// One scene, before and after.
struct Scene<'a> {
    /// Who led when the story began.
    first: &'a EtcdMember,
    caption: &'a str,
    before: &'a [EtcdMember],
    after: &'a [EtcdMember],
    history: &'a History<Cluster>,
    begun: Time,
}

impl Scene<'_> {
    /// The one leader, and that there is no other.
    fn leader(&self) -> &EtcdMember {
        let [leader] = led(self.after)[..] else { panic!("one leads: {}", self.caption) };
        leader
    }
    fn leads_on(&self) {
        let leader = self.leader();
        assert_eq!((&leader.name, leader.term), (&self.first.name, self.first.term), "{}", self.caption);
    }
    /// All run, in the leader's term, and their logs have come as far as its own.
    fn is_well(&self) {
        let leader = self.leader();
        for member in self.after {
            let has_come = leader.last_index - member.last_index < 5;
            assert!(
                member.is_running && member.term == leader.term && has_come,
                "{}: {member:?}",
                self.caption
            );
        }
    }
    /// The one that the caption calls by its place.
    fn named(&self, word: usize) -> (&EtcdMember, &EtcdMember) {
        let names = self.caption.split(|letter: char| !letter.is_alphanumeric());
        let mut places = names.filter_map(|name| name.strip_prefix('m')?.parse::<usize>().ok());
        let place = places.nth(word).unwrap_or_else(|| panic!("{word}: {}", self.caption)) - 1;
        (&self.before[place.min(self.before.len() - 1)], &self.after[place])
    }
    /// What members wrote to one another in this scene: from whom, to whom, and the message.
    fn sent(&self, name: &str) -> Vec<(&str, &str, &Body<clusterarium::message::etcd::Replicated>)> {
        let processes = self.history.world().processes();
        let name_of = |actor: &ActorId| processes[actor.0 as usize].name.as_str();
        let lines = self.history.trace.between(self.begun..Time(self.history.now().0 + 1));
        let found = lines.filter_map(|(_, record)| match &record.what {
            What::Sent { from, to, message: Message::Raft(message), .. } if message.body.name() == name => {
                Some((name_of(from), name_of(to), &message.body))
            }
            _ => None,
        });
        found.collect()
    }
    /// What the terminal printed in this scene, and where it complained.
    fn printed(&self) -> (String, String) {
        let mut all = (String::new(), String::new());
        for (_, record) in self.history.trace.between(self.begun..Time(self.history.now().0 + 1)) {
            if let What::Note { note: Note::Terminal { stdout, stderr, .. }, .. } = &record.what {
                all.0 += stdout;
                all.1 += stderr;
            }
        }
        all
    }
    fn progress(&self, name: &str) -> &PeerProgress {
        let peer = self.leader().peers.iter().find(|peer| peer.name == name);
        peer.unwrap_or_else(|| panic!("{name}: {}", self.caption))
    }
    /// The keys and terms of a member's log from an index on.
    fn log_from(&self, member: &str, index: u64) -> Vec<(u64, u64, String)> {
        let processes = self.history.world().processes();
        let process = processes.iter().find(|process| process.name == member);
        let Some(Role::Etcd(member)) = process.map(|process| &*process.role) else { return Vec::new() };
        let entries = (index..).map_while(|index| member.entry(index));
        entries
            .map(|entry| {
                let key = clusterarium::etcd::member::view::changed_key(entry);
                (entry.index, entry.term, key.to_string())
            })
            .collect()
    }
}

fn led(group: &[EtcdMember]) -> Vec<&EtcdMember> {
    group.iter().filter(|member| member.is_running && member.role == "Leader").collect()
}

const STRUCK_OUT: &str = "/registry/configmaps/default/struck-out";

/// How many scenes a story has; the last is checked by what all have to leave behind, too.
fn judge(story: &str, number: usize, scene: &Scene) -> usize {
    let what = scene.caption;
    let term = scene.first.term;
    match (story, number) {
        ("The first election", 0) => {
            assert!(scene.leader().term > term, "{what}");
            let (asked, stood) = (scene.sent("MsgPreVote"), scene.sent("MsgVote"));
            assert!(stood.iter().all(|(who, ..)| asked.iter().any(|(asker, ..)| asker == who)), "{what}");
        }
        ("The first election", _) => {
            let leader = scene.leader();
            assert_eq!(leader.vote.as_ref(), Some(&leader.name), "{what}");
            assert_eq!(scene.named(0).1.name, leader.name, "{what}");
            let voters = scene.after.iter().filter(|member| member.vote.as_ref() == Some(&leader.name));
            assert!(voters.count() > scene.after.len() / 2, "{what}");
        }
        ("The vote is split", 0) => {
            for member in scene.after.iter().filter(|member| member.is_running) {
                assert_eq!((member.term, member.vote.as_ref()), (term + 1, Some(&member.name)), "{what}");
            }
            assert!(led(scene.after).is_empty(), "{what}");
        }
        ("The vote is split", 1) => assert!(scene.leader().term > term + 1, "{what}"),
        ("The vote is split", _) => {}
        ("The leader is lost", 0) => {
            let leader = scene.leader();
            assert!(leader.term > term && leader.name != scene.first.name, "{what}");
            assert!(!scene.sent("MsgPreVote").is_empty(), "{what}");
        }
        ("The leader is lost", _) => assert_eq!(scene.named(0).1.role, "Leader", "{what}"),
        ("A short log may not win", 0) => {
            scene.leads_on();
            assert!(scene.named(0).1.last_index < scene.leader().last_index, "{what}");
        }
        ("A short log may not win", 1) => {
            let (behind, leader) = (scene.named(1).0, scene.leader());
            assert!(leader.name != behind.name && leader.name != scene.first.name, "{what}");
            // Another may win before it asks; whoever is asked refuses.
            let is_granted = scene.sent("MsgPreVoteResp").into_iter().any(|(_, to, body)| {
                to == behind.name && matches!(body, Body::PreVoteResp { rejected: false })
            });
            assert!(!is_granted, "{what}");
        }
        ("A short log may not win", _) => {}
        ("The leader is cut off", 0) => assert_eq!(scene.leader().name, scene.after[0].name, "{what}"),
        ("The leader is cut off", 1) => {
            let (old, leader) = (&scene.after[0], scene.leader());
            assert!(leader.name != old.name && leader.term > old.term.min(term), "{what}");
            let noted = scene.log_from(&old.name, old.commit_index + 1);
            assert!(noted.iter().any(|(.., key)| key == STRUCK_OUT), "{what}: {noted:?}");
        }
        ("The leader is cut off", _) => {
            let old = &scene.before[0];
            let (was, is) = (old.commit_index + 1, scene.log_from(&old.name, old.commit_index + 1));
            assert!(is[0].0 == was && is[0].1 > old.log.last().expect("it noted something").term, "{what}");
            assert_eq!(is[0].1, scene.log_from(&scene.leader().name, was)[0].1, "{what}");
            for member in scene.after {
                let log = scene.log_from(&member.name, was);
                assert!(log.iter().all(|(.., key)| key != STRUCK_OUT), "{what}: {log:?}");
            }
        }
        ("Leadership is handed over", _) => {
            let heir = scene.named(1).1;
            assert_eq!((&heir.name, heir.term), (&scene.leader().name, term + 1), "{what}");
            assert_eq!(scene.sent("MsgTimeoutNow").len(), 1, "{what}");
        }
        ("Quorum is lost and regained", 0) => assert!(led(scene.after).is_empty(), "{what}"),
        ("Quorum is lost and regained", 1) => assert!(scene.leader().term > term, "{what}"),
        ("Quorum is lost and regained", _) => {}
        ("A restart keeps what was on disk", 0) => {
            let behind = scene.named(0).1;
            assert!(behind.persisted_index < behind.last_index, "{what}: {behind:?}");
            assert!(scene.leader().commit_index > behind.persisted_index, "{what}");
        }
        ("A restart keeps what was on disk", 1) => {
            let (before, after) = scene.named(0);
            assert!(!after.is_running && after.last_index == before.persisted_index, "{what}");
            assert!(what.contains(&format!("ends at {};", after.last_index)), "{what}");
        }
        ("A restart keeps what was on disk", _) => scene.leads_on(),
        ("A learner catches up", _) => {
            let leader = scene.leader();
            let expected = if number == 0 { (3, 1) } else { (4, 0) };
            assert_eq!((leader.voters.len(), leader.learners.len()), expected, "{what}");
        }
        ("Pre-vote spares the others", 0) => {
            scene.leads_on();
            let behind = scene.named(0).1;
            assert_eq!((behind.role.as_str(), behind.term), ("PreCandidate", term), "{what}");
            assert!(scene.sent("MsgPreVote").iter().all(|(from, ..)| *from == behind.name), "{what}");
            assert!(!scene.sent("MsgPreVote").is_empty() && scene.sent("MsgVote").is_empty(), "{what}");
        }
        ("Pre-vote spares the others", _) => {
            scene.leads_on();
            assert!(scene.sent("MsgVote").is_empty(), "{what}");
        }
        ("Without pre-vote one disturbs all", 0) => {
            scene.leads_on();
            let behind = scene.named(0).1;
            assert!(
                behind.term > term + 1 && behind.flags.starts_with("--pre-vote=false"),
                "{what}: {behind:?}"
            );
        }
        ("Without pre-vote one disturbs all", 1) => {
            let before = scene.named(0).0;
            assert!(scene.leader().term > before.term, "{what}");
            assert!(what.contains(&format!("its term {}.", before.term)), "{what}");
        }
        ("Without pre-vote one disturbs all", _) => {}
        ("Two kinds of read", 0) => assert!(led(scene.after).is_empty(), "{what}"),
        ("Two kinds of read", 1) => {
            assert!(
                scene.printed().0.contains("/registry/namespaces/default"),
                "{what}: {:?}",
                scene.printed()
            );
            assert!(led(scene.after).is_empty(), "{what}");
        }
        ("Two kinds of read", 2) => {
            let (out, errors) = scene.printed();
            assert!(!out.contains("/registry") && errors.contains("deadline exceeded"), "{what}: {errors}");
        }
        ("Two kinds of read", _) => {}
        ("Where the logs agree", 0) => {
            scene.leads_on();
            let behind = scene.named(0).1;
            assert!(scene.progress(&behind.name).match_index < scene.leader().last_index, "{what}");
        }
        ("Where the logs agree", _) => {
            let (before, after) = scene.named(0);
            let hint = scene.sent("MsgAppResp").into_iter().find_map(|(from, _, body)| match body {
                Body::AppResp { rejected: Some(rejection), .. } if from == before.name => {
                    Some(rejection.hint.index)
                }
                _ => None,
            });
            assert_eq!(hint, Some(before.persisted_index), "{what}");
            assert!(what.contains(&format!("a hint: {}.", before.persisted_index)), "{what}");
            assert_eq!(scene.progress(&after.name).state, ProgressState::Replicate, "{what}");
            scene.leads_on();
        }
        ("A snapshot for the slow", 0) => assert!(scene.leader().flags.contains("entries=2"), "{what}"),
        ("A snapshot for the slow", 1) => {
            let behind = scene.named(0).1;
            assert!(scene.leader().first_index > behind.last_index + 1, "{what}");
        }
        ("A snapshot for the slow", 2) => {
            let behind = scene.named(1).1;
            let sent = scene.sent("MsgSnap");
            assert!(
                !sent.is_empty() && sent.iter().all(|(_, to, _)| *to == behind.name),
                "{what}: {behind:?}"
            );
        }
        ("A snapshot for the slow", _) => {}
        _ => panic!("nobody says what is to be seen in {story}, {number}"),
    }
    match story {
        "Leadership is handed over" => 1,
        "The first election"
        | "The leader is lost"
        | "A learner catches up"
        | "Pre-vote spares the others"
        | "Where the logs agree" => 2,
        "Two kinds of read" | "A snapshot for the slow" => 4,
        _ => 3,
    }
}

/// Whether a story ends well; if not, what was missing has been printed.
fn goes_well(history: History<Cluster>, story: &str, told: &str) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(history, story, told))).is_ok()
}

fn play(mut history: History<Cluster>, story: &str, told: &str) {
    let first = leaders(&history).pop().expect("somebody leads");
    for number in 0.. {
        let before = seen(&history);
        let Some((action, pause_us)) = picture::scene(&picture::build(&history), story, number) else {
            panic!("{told} cannot go on with scene {number}");
        };
        let caption = format!("{told}, scene {number}: {}", action.explanation);
        assert!(!caption.contains(['{', '}']), "{caption}");
        let begun = history.now();
        press(&mut history, &action);
        run(&mut history, Duration(pause_us));
        let after = seen(&history);
        let scene = Scene {
            first: &first,
            caption: &action.explanation,
            before: &before,
            after: &after,
            history: &history,
            begun,
        };
        let scenes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(story, number, &scene)));
        let scenes = scenes.unwrap_or_else(|_| panic!("{caption}"));
        if number + 1 == scenes {
            scene.is_well();
            break;
        }
    }
    assert!(picture::scene(&picture::build(&history), story, 9).is_none());
    let left = picture::setups(&picture::build(&history));
    assert!(left.iter().all(|action| action.label != picture::MEND), "{told} leaves something to mend");
    if told.ends_with("seed 0") {
        replays(&mut history);
    }
}

#[test]
fn every_scene_of_a_story_ends_as_its_caption_says() {
    // Who types at the terminal of a node needs the papers that lie there.
    let needs_node = |story: &str| ["Two kinds of read", "A learner catches up"].contains(&story);
    let mut failed = Vec::new();
    for count in [3, 5] {
        for seed in 0..SEEDS {
            for story in STORIES.into_iter().filter(|story| !needs_node(story)) {
                let told = format!("{story}, {count} members, seed {seed}");
                if !goes_well(running(seed, count), story, &told) {
                    failed.push(told);
                }
            }
        }
    }
    let usual = Scenario { workers: 0, ..Scenario::default() };
    let external = Scenario { external_etcd: true, ..usual.clone() };
    let stacked = Scenario { control_plane_nodes: 3, ..usual.clone() };
    let topologies = [("usual", usual), ("external", external), ("stacked", stacked)];
    for (seed, (topology, scenario)) in (0..SEEDS).zip(topologies) {
        for story in STORIES.into_iter().filter(|story| needs_node(story)) {
            let mut history = cluster::boot(seed, scenario.clone());
            history.run_until(Time(40_000_000));
            let told = format!("{story}, {topology}, seed {seed}");
            if !goes_well(history, story, &told) {
                failed.push(told);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
