//! Raft's classic stories, played on the cluster's own etcd, scene by scene.
//!
//! Picture to hold in mind: a puppet play with a prompter, who looks at the stage before each scene: who leads by then is
//! known only then. The same stories in Raft's own words are the scripts in `tests/raft`.

use crate::command::Command;

use super::hand::{ETCDCTL, Group, call, names};
use super::{Action, EtcdMember, Picture};

/// What the stories are called.
pub const STORIES: [&str; 5] = [
    "The leader is lost",
    "A short log may not win",
    "Leadership is handed over",
    "Quorum is lost and regained",
    "A learner catches up",
];

/// The scene `number` of a story as things stand: what is done and what to look at; and how long, in microseconds of
/// simulated time, until the next is due. `None`: the story is over, or this group cannot play it.
pub fn scene(picture: &Picture, story: &str, number: usize) -> Option<(Action, u64)> {
    let Group { voters, leader, others, running, stopped, learners } = Group::of(picture);
    let (count, majority) = (voters.len(), voters.len() / 2 + 1);
    let call = |member: &EtcdMember| call(picture, member);
    let name = |member: &EtcdMember| member.name.clone();
    let stop = |member: &EtcdMember| Command::StopProcess { process: name(member) };
    let start = |member: &EtcdMember| Command::StartProcess { process: name(member) };
    if count < 3 {
        return None;
    }
    let (seconds, text, commands): (u64, String, Vec<Command>) = match (story, number) {
        ("The leader is lost", 0) => {
            let leader = leader?;
            let text = "is gone, and with it the heartbeat: look whose timer runs out first. It asks before it stands.";
            (4, format!("{} {text}", call(leader)), vec![stop(leader)])
        }
        ("The leader is lost", 1) => {
            let (leader, back) = (leader?, *stopped.first()?);
            let text = format!(
                "{} leads term {}. {} comes back with what was on its disk, hears of the higher term, and follows.",
                call(leader),
                leader.term,
                call(back)
            );
            (3, text, vec![start(back)])
        }
        ("A short log may not win", 0) => {
            let behind = *running.last()?;
            let rest = others.iter().filter(|member| member.name != behind.name);
            let mut side = vec![name(leader?)];
            side.extend(rest.map(|member| name(member)));
            let sides = vec![names(&[behind]), side];
            let text = format!("{} is cut off, and the log of the others grows without it.", call(behind));
            (6, text, vec![Command::Partition { sides }])
        }
        ("A short log may not win", 1) => {
            let leader = leader?;
            let behind = running.iter().min_by_key(|member| member.last_index)?;
            let text = format!(
                "{} is stopped, {} is joined again. Its log ends at {}: whoever has more refuses it the vote.",
                call(leader),
                call(behind),
                behind.last_index
            );
            let campaign = Command::Campaign { member: name(behind), after_us: 1_500_000 };
            (5, text, vec![stop(leader), Command::HealNetwork, campaign])
        }
        ("A short log may not win", 2) => {
            let text = format!(
                "{} leads: nothing that was committed is lost. Who was behind gets what it missed.",
                call(leader?)
            );
            (3, text, vec![start(stopped.first()?)])
        }
        ("Leadership is handed over", 0) => {
            let (leader, heir) = (leader?, *running.first()?);
            let text = format!(
                "{} brings {}'s log up to date and tells it to stand at once (MsgTimeoutNow): nobody has to wait for a timer.",
                call(leader),
                call(heir)
            );
            (2, text, vec![Command::TransferLeader { member: name(heir) }])
        }
        ("Quorum is lost and regained", 0) => {
            let mut gone = vec![leader?];
            gone.extend_from_slice(&others[..majority - 1]);
            let names: Vec<String> = gone.iter().map(|member| call(member)).collect();
            let text = format!(
                "{} are gone: nobody can commit, kubectl's writes hang and time out, and pods that run go on running.",
                names.join(" and ")
            );
            (8, text, gone.iter().map(|member| stop(member)).collect())
        }
        ("Quorum is lost and regained", 1) => {
            let text = format!(
                "{} is back: {majority} of {} are a quorum. Look at the election, and at the writes that follow it.",
                call(stopped.first()?),
                count
            );
            (5, text, vec![start(stopped.first()?)])
        }
        ("Quorum is lost and regained", 2) => {
            let back = stopped.iter().map(|member| start(member)).collect();
            (3, "All are back; who was away longest has the most to catch up with.".into(), back)
        }
        ("A learner catches up", 0) => {
            let text = format!(
                "A learner gets the log and has no vote: a majority is still {majority} of {}.",
                voters.len()
            );
            (6, text, vec![Command::AddEtcdMember { name: free_name(picture), is_learner: true }])
        }
        ("A learner catches up", 1) => {
            let learner = *learners.last()?;
            let text = format!(
                "{}'s log is as far as the leader's: etcdctl promotes it, and a majority is {} of {}.",
                call(learner),
                count.div_ceil(2) + 1,
                count + 1
            );
            let line = format!("{ETCDCTL} member promote {}", learner.id);
            (4, text, vec![Command::Exec { session: 0, line, stdin: String::new() }])
        }
        _ => return None,
    };
    Some((Action::new(story, text, commands), seconds * 1_000_000))
}

/// A machine for the next member: `etcd-4`.
pub fn free_name(picture: &Picture) -> String {
    let is_taken = |name: &String| picture.hosts.iter().any(|host| host.name == *name);
    (2..).map(|number| format!("etcd-{number}")).find(|name| !is_taken(name)).unwrap_or_default()
}
