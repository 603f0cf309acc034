//! Raft's classic stories, played on the cluster's own etcd, scene by scene.
//!
//! Picture to hold in mind: a puppet play with a prompter, who looks at the stage before each scene: who leads by then is
//! known only then, and the prompter's book has gaps in its lines where that name goes. The same stories in Raft's own
//! words are the scripts in `tests/raft`; of these only the joint change is not played, for etcd never makes one.

use crate::command::Command;

use super::hand::{Group, call, etcdctl, etcdctl_of_first, list, names};
use super::{Action, EtcdMember, Picture};

/// Milliseconds until the next scene; what is done and what to look at, with gaps that [`told`] fills; and what is done,
/// `None` where this group cannot do it.
type Scene = (u64, &'static str, fn(&Group) -> Option<Vec<Command>>);

const PLAYS: [(&str, &[Scene]); 14] = [
    (
        "The first election",
        &[
            (
                5_000,
                "All are restarted, and nobody leads. Whose timer runs out first asks (pre-vote), then stands.",
                |group| Some(restart(&group.voters, &[])),
            ),
            (
                2_000,
                "{leader} was first: with {majority} of {count} votes, its own among them, it leads term {term}.",
                |_| Some(Vec::new()),
            ),
        ],
    ),
    (
        "The vote is split",
        &[
            (
                1_000,
                "{leader} is gone, the others time out at once. Each votes for itself: nobody gets {majority} of {count}.",
                |group| {
                    group.leader?;
                    Some(group.split_vote())
                },
            ),
            (
                8_000,
                "That term has no leader. All draw new timers, and the first that runs out wins the next.",
                |_| Some(vec![Command::HealNetwork]),
            ),
            (3_000, "{leader} leads term {term}. {stopped} comes back and follows.", |group| {
                Some(vec![start(group.stopped.first()?)])
            }),
        ],
    ),
    (
        "The leader is lost",
        &[
            (
                4_000,
                "{leader} is gone, and with it the heartbeat: look whose timer runs out first. It asks before it stands.",
                |group| Some(vec![stop(group.leader?)]),
            ),
            (
                3_000,
                "{leader} leads term {term}. {stopped} comes back with what was on its disk, hears of the higher term, and \
                 follows.",
                |group| Some(vec![start(group.stopped.first()?)]),
            ),
        ],
    ),
    (
        "A short log may not win",
        &[
            (6_000, "{behind} is cut off, and the log of the others grows without it.", cut_off_one),
            (
                5_000,
                "{leader} is stopped, {behind} is joined again. Its log ends at {index}: whoever has more refuses it the \
                 vote.",
                |group| {
                    let campaign =
                        Command::Campaign { member: group.behind()?.name.clone(), after_us: 1_050_000 };
                    Some(vec![stop(group.leader?), Command::HealNetwork, campaign])
                },
            ),
            (
                3_000,
                "{leader} leads: nothing that was committed is lost. Who was behind gets what it missed.",
                |group| Some(vec![start(group.stopped.first()?)]),
            ),
        ],
    ),
    (
        "The leader is cut off",
        &[
            (2_000, "{first} is to lead: the API server beside it writes through it.", |group| {
                let first = group.voters.first()?;
                let is_done = first.name == group.leader?.name;
                let transfer = Command::TransferLeader { member: first.name.clone() };
                Some(if is_done { Vec::new() } else { vec![transfer] })
            }),
            (
                5_000,
                "{first} is cut off and does not know it. What kubectl writes it can only note (dashed): nobody confirms it.",
                |group| {
                    let (first, others) = group.voters.split_first()?;
                    Some(vec![cut(first, others), exec("kubectl create configmap struck-out")])
                },
            ),
            (
                4_000,
                "{leader} leads term {term}. Joined again, {first} hears of it: what it only noted is struck out, and \
                 {leader}'s entries stand there.",
                |_| Some(vec![Command::HealNetwork]),
            ),
        ],
    ),
    (
        "Leadership is handed over",
        &[(
            2_000,
            "{leader} brings {heir}'s log up to date and tells it to stand at once (MsgTimeoutNow): nobody has to wait for \
             a timer.",
            |group| Some(vec![Command::TransferLeader { member: group.running.first()?.name.clone() }]),
        )],
    ),
    (
        "Quorum is lost and regained",
        &[
            (
                8_000,
                "{gone} are gone: nobody can commit, kubectl's writes hang and time out, and pods that run go on running.",
                |group| Some(group.quorum()?.into_iter().map(stop).collect()),
            ),
            (
                5_000,
                "{stopped} is back: {majority} of {count} are a quorum. Look at the election, and at the writes that \
                 follow it.",
                |group| Some(vec![start(group.stopped.first()?)]),
            ),
            (3_000, "All are back; who was away longest has the most to catch up with.", start_all),
        ],
    ),
    (
        "A restart keeps what was on disk",
        &[
            (
                2_500,
                "{behind}'s disk is slow: a new entry is only in its memory, and it may not confirm it. The others commit \
                 without it.",
                |group| {
                    Some(vec![
                        slow_disk(group.behind()?, 4_000_000),
                        exec("kubectl create configmap on-disk"),
                    ])
                },
            ),
            (
                2_500,
                "{behind} is stopped. What it had on disk ends at {index}; the rest is forgotten.",
                |group| Some(vec![stop(group.behind()?)]),
            ),
            (3_000, "{stopped} starts with that, and {leader} sends it the rest.", |group| {
                let back = group.stopped.first()?;
                Some(vec![slow_disk(back, 0), start(back)])
            }),
        ],
    ),
    (
        "A learner catches up",
        &[
            (
                6_000,
                "A learner gets the log and has no vote: a majority is still {majority} of {count}.",
                |group| {
                    Some(vec![Command::AddEtcdMember { name: free_name(group.picture), is_learner: true }])
                },
            ),
            (
                4_000,
                "{learner}'s log is as far as the leader's: etcdctl promotes it, and a majority is {larger} of {more}.",
                |group| {
                    let etcdctl = etcdctl(group.picture);
                    Some(vec![exec(&format!("{etcdctl} member promote {}", group.learners.last()?.id))])
                },
            ),
        ],
    ),
    (
        "Pre-vote spares the others",
        &[
            (
                6_000,
                "{behind} is cut off. It asks whether it could win before it stands: nobody answers, and its term stays \
                 {term}.",
                cut_off_one,
            ),
            (
                3_000,
                "Joined again, {behind} hears a heartbeat of term {term} and follows: nobody was disturbed.",
                |_| Some(vec![Command::HealNetwork]),
            ),
        ],
    ),
    (
        "Without pre-vote one disturbs all",
        &[
            (
                7_000,
                "{behind} is restarted with --pre-vote=false and cut off: it stands in vain, each time in a higher term.",
                |group| {
                    // It would wait for those that it is cut off from, to compare.
                    let flags = ["--pre-vote=false", "--feature-gates=InitialCorruptCheck=false"];
                    let mut commands = restart(&[group.behind()?], &flags);
                    commands.extend(cut_off_one(group)?);
                    Some(commands)
                },
            ),
            (
                6_000,
                "Joined again, {behind} answers {leader} with its term {high}. That ends a reign with which all others were \
                 content.",
                |_| Some(vec![Command::HealNetwork]),
            ),
            (
                4_000,
                "After an election for nothing {leader} leads term {term}. All ask before they stand again.",
                |group| {
                    let odd = group.voters.iter().filter(|member| !member.flags.is_empty());
                    Some(restart(&odd.copied().collect::<Vec<_>>(), &[]))
                },
            ),
        ],
    ),
    (
        "Two kinds of read",
        &[
            (2_500, "Only {first} is left: no quorum, and soon no leader.", |group| {
                let others = group.voters.get(1..)?;
                Some(others.iter().filter(|member| member.is_running).map(|member| stop(member)).collect())
            }),
            (
                1_500,
                "etcdctl get --consistency=s: {first} answers at once from what it has, be it old (serializable).",
                |group| Some(vec![read(group, "s")]),
            ),
            (
                6_500,
                "etcdctl get --consistency=l: a leader would have to prove to {first} how far is committed (linearizable). \
                 There is none: it gives up.",
                |group| Some(vec![read(group, "l")]),
            ),
            (4_000, "All are back, and whoever reads knows what is committed.", start_all),
        ],
    ),
    (
        "Where the logs agree",
        &[
            (
                6_000,
                "{behind} is cut off; {leader} goes on sending, and nothing is acknowledged.",
                cut_off_one,
            ),
            (
                3_000,
                "Joined again, {behind} refuses what does not follow on its log (MsgAppResp, reject), with a hint: {index}. \
                 {leader} probes there, then streams again.",
                |_| Some(vec![Command::HealNetwork]),
            ),
        ],
    ),
    (
        "A snapshot for the slow",
        &[
            (
                5_000,
                "All are restarted with --snapshot-count=5 and --snapshot-catchup-entries=2: only the end of the log is \
                 kept.",
                |group| Some(restart(&group.voters, &["--snapshot-count=5", "--snapshot-catchup-entries=2"])),
            ),
            (15_000, "{behind} is cut off until the others no longer have what it lacks.", cut_off_one),
            (
                4_000,
                "What follows on {index} is gone from {leader}'s log: it sends {behind} the whole store (MsgSnap), and the \
                 log from there.",
                |_| Some(vec![Command::HealNetwork]),
            ),
            (4_000, "All are restarted, and keep as much of the log as ever.", |group| {
                Some(restart(&group.voters, &[]))
            }),
        ],
    ),
];

/// What the stories are called.
pub const STORIES: [&str; PLAYS.len()] = {
    let mut names = [""; PLAYS.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = PLAYS[place].0;
        place += 1;
    }
    names
};

/// The scene `number` of a story as things stand: what is done and what to look at; and how long, in microseconds of
/// simulated time, until the next is due. `None`: the story is over, or this group cannot play it.
pub fn scene(picture: &Picture, story: &str, number: usize) -> Option<(Action, u64)> {
    let (_, scenes) = PLAYS.iter().find(|(name, _)| *name == story)?;
    let (pause_ms, text, act) = scenes.get(number)?;
    let group = Group::of(picture);
    if group.voters.len() < 3 {
        return None;
    }
    let commands = act(&group)?;
    Some((Action::new(story, told(&group, text)?, commands), pause_ms * 1000))
}

/// A line of the book with its gaps filled; `None` where nobody is there whose name goes into one.
fn told(group: &Group, text: &str) -> Option<String> {
    let (count, picture) = (group.voters.len(), group.picture);
    let name = |member: Option<&EtcdMember>| member.map(|member| call(picture, member));
    let mut told = String::new();
    for (place, part) in text.split(['{', '}']).enumerate() {
        if place % 2 == 0 {
            told.push_str(part);
            continue;
        }
        told.push_str(&match part {
            "leader" => name(group.leader)?,
            "term" => group.leader?.term.to_string(),
            "behind" => name(group.behind())?,
            "index" => group.behind()?.persisted_index.to_string(),
            "high" => group.behind()?.term.to_string(),
            "first" => name(group.voters.first().copied())?,
            "heir" => name(group.running.first().copied())?,
            "stopped" => name(group.stopped.first().copied())?,
            "learner" => name(group.learners.last().copied())?,
            "gone" => list(picture, &group.quorum()?),
            "majority" => (count / 2 + 1).to_string(),
            "larger" => (count.div_ceil(2) + 1).to_string(),
            "more" => (count + 1).to_string(),
            "count" => count.to_string(),
            _ => return None,
        });
    }
    Some(told)
}

impl<'a> Group<'a> {
    /// Of the others that run, the one that most links are cut of; else the last.
    fn behind(&self) -> Option<&'a EtcdMember> {
        let cuts = |member: &EtcdMember| {
            let links = self.picture.links.iter();
            links.filter(|link| link.is_cut && link.from == member.host).count()
        };
        self.running.iter().copied().max_by_key(|member| cuts(member))
    }
    /// The leader, and as many others as make a majority with it.
    fn quorum(&self) -> Option<Vec<&'a EtcdMember>> {
        let mut quorum = vec![self.leader?];
        quorum.extend(self.others.iter().take(self.voters.len() / 2));
        Some(quorum)
    }
}

fn stop(member: &EtcdMember) -> Command {
    Command::StopProcess { process: member.name.clone() }
}

fn start(member: &EtcdMember) -> Command {
    Command::StartProcess { process: member.name.clone() }
}

fn start_all(group: &Group) -> Option<Vec<Command>> {
    Some(group.stopped.iter().map(|member| start(member)).collect())
}

/// They end and begin again at once, with these flags.
fn restart(members: &[&EtcdMember], flags: &[&str]) -> Vec<Command> {
    let mut commands = Vec::new();
    for member in members {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        commands.extend([
            stop(member),
            Command::SetFlags { member: member.name.clone(), flags },
            start(member),
        ]);
    }
    commands
}

fn cut(one: &EtcdMember, others: &[&EtcdMember]) -> Command {
    Command::Partition { sides: vec![names(&[one]), names(others)] }
}

/// The one who is to fall behind is parted from all others.
fn cut_off_one(group: &Group) -> Option<Vec<Command>> {
    let one = group.behind()?;
    let mut rest = vec![group.leader?];
    rest.extend(group.others.iter().filter(|member| member.name != one.name));
    Some(vec![cut(one, &rest)])
}

fn slow_disk(member: &EtcdMember, latency_us: u64) -> Command {
    Command::SlowDisk { member: member.name.clone(), latency_us }
}

fn exec(line: &str) -> Command {
    Command::Exec { session: 0, line: line.to_string(), stdin: String::new() }
}

/// Of the first member, past an API server that needs a quorum itself.
fn read(group: &Group, consistency: &str) -> Command {
    let etcdctl = etcdctl_of_first(group.picture);
    exec(&format!("{etcdctl} get /registry/namespaces/default --keys-only --consistency={consistency}"))
}

/// A machine for the next member: `etcd-4`.
pub fn free_name(picture: &Picture) -> String {
    let is_taken = |name: &String| picture.hosts.iter().any(|host| host.name == *name);
    (2..).map(|number| format!("etcd-{number}")).find(|name| !is_taken(name)).unwrap_or_default()
}
