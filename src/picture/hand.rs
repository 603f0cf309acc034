//! What a hand may do to the cluster: the buttons on a card, and the classic set-ups of the group of etcd members.
//!
//! Picture to hold in mind: a tray of instruments beside the glass case. Each carries a label, a sentence about what to
//! look at, and the commands that it stands for; whoever presses it does no more than give those.

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::command::{Command, Form};
use crate::sim::History;
use crate::sim::network::Fault;

use super::{Detail, EtcdMember, Picture};

/// Something that can be done, as a button.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub label: String,
    /// What it does, and what to look at.
    pub explanation: String,
    /// Given one after the other, in the same instant.
    pub commands: Vec<Form>,
}

impl Action {
    pub(super) fn new(
        label: impl Into<String>,
        explanation: impl Into<String>,
        commands: impl Into<Vec<Command>>,
    ) -> Action {
        Action::of(label.into(), explanation.into(), commands.into())
    }
    fn of(label: String, explanation: String, commands: Vec<Command>) -> Action {
        Action { label, explanation, commands: commands.into_iter().map(Form::from).collect() }
    }
}

const PAPERS: &str = "--cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/server.crt \
                      --key /etc/kubernetes/pki/etcd/server.key";

fn is_stacked(picture: &Picture) -> bool {
    picture.etcd.iter().any(|member| member.name == "etcd-cp-1")
}

/// etcdctl with its papers: in the first member's pod, as the course does it, or from the terminal to all members of
/// an etcd that has no pods.
pub(super) fn etcdctl(picture: &Picture) -> String {
    match is_stacked(picture) {
        true => format!("kubectl -n kube-system exec etcd-cp-1 -- etcdctl {PAPERS}"),
        false => etcdctl_at(picture, picture.etcd.iter()),
    }
}
/// The same from the terminal to the first member alone, past an API server.
pub(super) fn etcdctl_of_first(picture: &Picture) -> String {
    match is_stacked(picture) {
        true => format!("etcdctl {PAPERS}"),
        false => etcdctl_at(picture, picture.etcd.iter().take(1)),
    }
}
fn etcdctl_at<'a>(picture: &Picture, members: impl Iterator<Item = &'a EtcdMember>) -> String {
    let url = |member: &EtcdMember| {
        let host = picture.hosts.iter().find(|host| host.name == member.host)?;
        Some(format!("https://{}:2379", host.ip))
    };
    let urls: Vec<String> = members.filter_map(url).collect();
    format!("etcdctl --endpoints {} {PAPERS}", urls.join(","))
}

/// A disk that is slower than this was slowed by hand; so slow it gets.
const GOOD_DISK_US: u64 = 10_000;
const SLOW_DISK_US: u64 = 500_000;
/// What a slow cable takes longer, each way: twice the time between two heartbeats.
const SLOW_LINK_US: u64 = 200_000;
/// What a lossy cable loses, in a million.
const LOSS: u32 = 300_000;
/// By then what a leader had sent before it was stopped has arrived: a heartbeat more, and nobody stands for election.
const LAST_WORDS_US: u64 = 5_000;
/// Long enough that two who ask for votes at once have both asked before either hears of it.
const SPLIT_LINK_US: u64 = 50_000;

/// The set-ups for the group as it stands, then the one that mends everything, if there is anything to mend. Members are
/// called as the lens does: `m1` for the first.
pub fn setups(picture: &Picture) -> Vec<Action> {
    let group = Group::of(picture);
    let Group { voters, learners, .. } = &group;
    let (count, majority) = (voters.len(), voters.len() / 2 + 1);
    let mut all = Vec::new();
    let mut add = |label: &str, text: String, commands: Vec<Command>| {
        let mut all_commands = mends(picture);
        all_commands.extend(commands);
        all.push(Action::of(label.to_string(), text, all_commands));
    };
    // Learners go with those who will have a leader.
    let side = |members: &[&EtcdMember], has_learners: bool| {
        let mut side = names(members);
        if has_learners {
            side.extend(names(learners));
        }
        side
    };
    if let Some((leader, others)) = group.head()
        && count > 2
    {
        let head = call(picture, leader);
        add(
            "Split vote",
            format!(
                "{head} is stopped; {} time out at once. Each votes for itself: nobody gets {majority} of {count}. Look whose \
                 timer runs out next.",
                list(picture, &others),
            ),
            group.split_vote(),
        );
        let sides = vec![names(&[leader]), side(&others, true)];
        add(
            "Leader alone",
            format!(
                "{head} leads on in its own eyes, but commits nothing: its entries stay dashed. The others elect a leader in a \
                 higher term."
            ),
            vec![Command::Partition { sides }],
        );
        let (rest, minority) = others.split_at(others.len() - (count - 1) / 2);
        let mut with_leader = vec![leader];
        with_leader.extend_from_slice(rest);
        let sides = vec![side(&with_leader, true), side(minority, false)];
        add(
            "Minority alone",
            format!(
                "{} asks for pre-votes in vain, so its term stays. The majority ({}) goes on. Mend it, and look how the log \
                 catches up.",
                list(picture, minority),
                list(picture, &with_leader)
            ),
            vec![Command::Partition { sides }],
        );
        let mut sides = Vec::new();
        for name in side(voters, true) {
            sides.push(vec![name]);
        }
        add(
            "No quorum",
            format!(
                "Nobody reaches {majority} of {count}: within a second nobody leads. kubectl's writes hang and time out; pods \
                 run on."
            ),
            vec![Command::Partition { sides }],
        );
    }
    if !mends(picture).is_empty() {
        let text =
            "All links, members and disks are good again. Look for one leader, and logs that end alike.";
        add(MEND, text.to_string(), Vec::new());
    }
    all
}

/// Who is who among etcd's members.
pub(super) struct Group<'a> {
    pub picture: &'a Picture,
    pub voters: Vec<&'a EtcdMember>,
    /// Of several that hold themselves for the leader, the one in the highest term.
    pub leader: Option<&'a EtcdMember>,
    /// The voters without the leader; of them those that run, and those that do not.
    pub others: Vec<&'a EtcdMember>,
    pub running: Vec<&'a EtcdMember>,
    pub stopped: Vec<&'a EtcdMember>,
    pub learners: Vec<&'a EtcdMember>,
}

impl<'a> Group<'a> {
    pub fn of(picture: &'a Picture) -> Group<'a> {
        let (mut voters, mut learners, mut leader) = (Vec::new(), Vec::new(), None::<&EtcdMember>);
        for member in picture.etcd.iter().filter(|member| member.role != "Removed") {
            if member.is_learner {
                learners.push(member);
                continue;
            }
            voters.push(member);
            let leads = member.is_running && member.role == "Leader";
            if leads && leader.is_none_or(|leader| member.term >= leader.term) {
                leader = Some(member);
            }
        }
        let (mut others, mut running, mut stopped) = (Vec::new(), Vec::new(), Vec::new());
        for member in &voters {
            if leader.is_some_and(|leader| leader.name == member.name) {
                continue;
            }
            others.push(*member);
            if member.is_running { running.push(*member) } else { stopped.push(*member) }
        }
        Group { picture, voters, leader, others, running, stopped, learners }
    }

    /// The leader, or the first where there is none; and the other voters.
    fn head(&self) -> Option<(&'a EtcdMember, Vec<&'a EtcdMember>)> {
        let leader = self.leader.or(self.voters.first().copied())?;
        Some((leader, self.voters.iter().copied().filter(|member| member.name != leader.name).collect()))
    }

    /// The leader is stopped, and all others stand for election before they hear of one another.
    pub fn split_vote(&self) -> Vec<Command> {
        let Some((leader, others)) = self.head() else { return Vec::new() };
        let mut split = vec![Command::StopProcess { process: leader.name.clone() }];
        for from in &others {
            for to in others.iter().filter(|to| to.host != from.host) {
                split.push(Command::DegradeLink {
                    from: from.host.clone(),
                    to: to.host.clone(),
                    extra_delay_us: SPLIT_LINK_US,
                    loss_per_million: 0,
                });
            }
        }
        for member in names(&others) {
            split.push(Command::Campaign { member, after_us: LAST_WORDS_US });
        }
        split
    }
}

/// `m1`: a member by its place in the lens.
pub(super) fn call(picture: &Picture, member: &EtcdMember) -> String {
    let place = picture.etcd.iter().position(|other| other.name == member.name);
    format!("m{}", place.map_or(0, |place| place + 1))
}

pub(super) fn list(picture: &Picture, members: &[&EtcdMember]) -> String {
    let mut words = Vec::new();
    for member in members {
        words.push(call(picture, member));
    }
    words.join(", ")
}

pub(super) fn names(members: &[&EtcdMember]) -> Vec<String> {
    let mut names = Vec::new();
    for member in members {
        names.push(member.name.clone());
    }
    names
}

/// The label of the set-up that takes all others back.
pub const MEND: &str = "Mend all";

/// What puts the network and etcd's members right again.
fn mends(picture: &Picture) -> Vec<Command> {
    let mut commands = Vec::new();
    if !picture.links.is_empty() {
        commands.push(Command::HealNetwork);
    }
    for member in picture.etcd.iter().filter(|member| member.role != "Removed") {
        let name = || member.name.clone();
        if member.disk_latency_us > GOOD_DISK_US {
            commands.push(Command::SlowDisk { member: name(), latency_us: 0 });
        }
        if member.quota_bytes < crate::etcd::member::QUOTA_BYTES {
            commands.push(Command::SetQuota { member: name(), bytes: 0 });
        }
        let is_odd = !member.flags.is_empty();
        if is_odd {
            commands.push(Command::StopProcess { process: name() });
            commands.push(Command::SetFlags { member: name(), flags: Vec::new() });
        }
        // What its disk has lost nobody can bring back.
        if is_odd || !(member.is_running || member.role == "Failed") {
            let is_off = picture.hosts.iter().any(|host| host.name == member.host && !host.is_up);
            commands.push(match is_off {
                true => Command::StartHost { host: member.host.clone() },
                false => Command::StartProcess { process: name() },
            });
        }
    }
    commands
}

pub(super) fn on_process(name: &str, is_running: bool) -> Vec<Action> {
    let process = name.to_string();
    if !is_running {
        let text = "The process begins again, with what it had written to its disk";
        return vec![Action::new("Start", text, [Command::StartProcess { process }])];
    }
    let stop = Command::StopProcess { process: process.clone() };
    vec![
        Action::new("Stop", "The process ends; what it kept in memory is gone", [stop.clone()]),
        Action::new(
            "Restart",
            "It ends and begins again at once: only what was on its disk is left",
            [stop, Command::StartProcess { process }],
        ),
    ]
}

/// What can be done to a member of etcd besides.
pub(super) fn on_member(picture: &Picture, name: &str) -> Vec<Action> {
    let Some(member) = picture.etcd.iter().find(|member| member.name == name) else { return Vec::new() };
    let name = || member.name.clone();
    let mut actions = Vec::new();
    if member.is_running && member.role != "Leader" && !member.is_learner {
        actions.push(Action::new(
            "Time out now",
            "Its election timer rings: it stands for election",
            [Command::Campaign { member: name(), after_us: 0 }],
        ));
        actions.push(Action::new(
            "Make it the leader",
            "The leader brings its log up to date and tells it to stand for election",
            [Command::TransferLeader { member: name() }],
        ));
    }
    if member.is_learner && member.is_running {
        let line = format!("{} member promote {}", etcdctl(picture), member.id);
        actions.push(Action::new(
            "Promote it",
            "etcdctl member promote: once its log is as far as the leader's it gets a vote",
            [Command::Exec { session: 0, line, stdin: String::new() }],
        ));
    }
    if member.role == "Removed" || member.role == "Failed" {
        actions.push(Action::new(
            "Begin anew",
            "Its disk is emptied, and it joins as another member. etcd must have removed the one that it was",
            [Command::AddEtcdMember { name: name(), is_learner: false }],
        ));
    }
    let is_here = |host: &str| host == member.host;
    let others: Vec<String> = picture
        .etcd
        .iter()
        .filter(|other| !is_here(&other.host) && other.role != "Removed")
        .map(|other| other.name.clone())
        .collect();
    let cut = picture.links.iter().find(|link| link.is_cut && is_here(&link.from));
    if !others.is_empty() {
        actions.push(match cut {
            None => Action::new(
                "Cut it off",
                "No other member reaches its machine, and it reaches none",
                [Command::Partition { sides: vec![vec![name()], others] }],
            ),
            Some(_) => Action::new(
                "Join its links",
                "Its machine and those of the other members reach each other again",
                others.into_iter().map(|b| Command::JoinLink { a: name(), b }).collect::<Vec<_>>(),
            ),
        });
    }
    let is_slow = member.disk_latency_us > GOOD_DISK_US;
    let (label, text, latency_us) = if is_slow {
        ("Mend its disk", "A flush takes a millisecond again", 0)
    } else {
        ("Slow its disk", "Each flush of its log takes half a second", SLOW_DISK_US)
    };
    actions.push(Action::new(label, text, [Command::SlowDisk { member: name(), latency_us }]));
    let is_small = member.quota_bytes < crate::etcd::member::QUOTA_BYTES;
    let (label, text, bytes) = if is_small {
        ("Give it space", "Its quota is etcd's default again; the alarm stays until it is disarmed", 0)
    } else {
        let text = "Its quota is what its database has now: the next write raises NOSPACE";
        ("Fill its disk", text, member.db_size_bytes)
    };
    actions.push(Action::new(label, text, [Command::SetQuota { member: name(), bytes }]));
    let text = if member.is_running {
        "A bit of one value flips in its database. Nobody is told: compare etcdctl endpoint hashkv"
    } else {
        "A bit flips in its write-ahead log: it will not start again. Remove it, and add another"
    };
    actions.push(Action::new("Corrupt its disk", text, [Command::CorruptDisk { member: name() }]));
    actions
}

/// What can be done to a message while it is under way.
pub(super) fn on_message(record: u64) -> Vec<Action> {
    let delay = |label, by_us| {
        let text = "It arrives that much later; what is sent after it may overtake it";
        Action::new(label, text, [Command::DelayMessage { record, by_us }])
    };
    let text = "It is taken off its link and never arrives";
    vec![
        Action::new("Drop it", text, [Command::DropMessage { record }]),
        delay("Delay it by 100 ms", 100_000),
        delay("Delay it by 1 s", 1_000_000),
    ]
}

/// The card of the cable between two machines.
pub(super) fn link(history: &History<Cluster>, a: &str, b: &str) -> Option<Detail> {
    let cluster = history.world();
    let (host, other) = (cluster.host(a)?, cluster.host(b)?);
    let fault = |from, to| history.engine().network.fault(from, to).cloned().unwrap_or_default();
    let (there, back) = (fault(host, other), fault(other, host));
    let way = |from: &str, to: &str, fault: &Fault| (format!("{from} to {to}"), state(fault));
    let on = |host| {
        let here = cluster.processes().iter().filter(|process| process.host == host);
        here.map(|process| process.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let set = |extra_delay_us, loss_per_million| {
        [(a, b), (b, a)].map(|(from, to)| Command::DegradeLink {
            from: from.into(),
            to: to.into(),
            extra_delay_us,
            loss_per_million,
        })
    };
    let cut = |from: &str, to: &str| {
        let text = format!("Nothing passes from {from} to {to} any more; the other way is as it was");
        let command = Command::CutOneWay { from: from.into(), to: to.into() };
        Action::new(format!("Cut {from} to {to}"), text, [command])
    };
    let mut actions = Vec::new();
    if !(there.cut && back.cut) {
        let text = "Nothing passes any more, in either direction; what is on it is lost";
        actions.push(Action::new("Cut it", text, [Command::CutLink { a: a.into(), b: b.into() }]));
    }
    if !there.cut && !back.cut {
        actions.extend([cut(a, b), cut(b, a)]);
    }
    if there.extra_delay.0 == 0 || back.extra_delay.0 == 0 {
        let text = "All takes 200 ms longer, each way: twice the time between two heartbeats";
        actions.push(Action::new("Slow it", text, set(SLOW_LINK_US, there.loss_per_million)));
    }
    if there.loss_per_million == 0 || back.loss_per_million == 0 {
        let text = "Three in ten are lost: Raft's messages for good, others are sent again and come late";
        actions.push(Action::new("Make it lossy", text, set(there.extra_delay.0, LOSS)));
    }
    if there != Fault::default() || back != Fault::default() {
        let join = Command::JoinLink { a: a.into(), b: b.into() };
        let [there, back] = set(0, 0);
        let commands = [there, back, join];
        actions.insert(0, Action::new("Mend it", "All passes again, as fast as before", commands));
    }
    Some(Detail {
        kind: "Link".into(),
        title: format!("{a} – {b}"),
        explanation: "Carries all that passes between what runs on these two machines.".into(),
        summary: vec![
            way(a, b, &there),
            way(b, a, &back),
            (format!("On {a}"), on(host)),
            (format!("On {b}"), on(other)),
        ],
        actions,
        ..Detail::default()
    })
}

/// One direction, in words.
fn state(fault: &Fault) -> String {
    if fault.cut {
        return "cut".into();
    }
    let mut words = Vec::new();
    if fault.extra_delay.0 > 0 {
        words.push(format!("{} ms longer", fault.extra_delay.0 / 1000));
    }
    if fault.loss_per_million > 0 {
        words.push(format!("loses {} %", fault.loss_per_million / 10_000));
    }
    if words.is_empty() { "passes".into() } else { words.join(", ") }
}
