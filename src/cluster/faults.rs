//! What the user's hand breaks and mends, and when it is told that it cannot.
//!
//! Picture to hold in mind: a clerk in front of the button panel. A button whose machine is not there, or whose message
//! has arrived, is not pressed: the clerk says why, and nothing goes into the log.

use std::sync::Arc;

use crate::command::Command;
use crate::etcd::member::Flags;
use crate::language::Wire;
use crate::sim::{Control, Engine, HostId};
use crate::timer::{EngineTimer, Timer};

use super::{Cluster, Role};

/// Why `command` cannot be carried out now; `None`: it can.
pub fn refusal(engine: &Engine<Cluster>, command: &Command) -> Option<String> {
    let cluster = &engine.world;
    let process = |name: &String| match cluster.actor(name) {
        Some(_) => None,
        None => Some(format!("there is no process {name}")),
    };
    let host = |name: &String| match cluster.place(name) {
        Some(_) => None,
        None => Some(format!("there is no machine {name}")),
    };
    let link = |a: &String, b: &String| {
        let is_loop = || cluster.place(a) == cluster.place(b);
        let refusal = || is_loop().then(|| format!("{a} and {b} are on one machine: there is no link"));
        host(a).or_else(|| host(b)).or_else(refusal)
    };
    let member = |name: &String| match cluster.etcd(name) {
        Some(_) => None,
        None => Some(format!("there is no etcd member {name}")),
    };
    // To stand for election a member has to run, and not to have won.
    let contender = |name: &String| {
        let found = cluster.etcd(name)?;
        match (found.is_running(), found.leads()) {
            (false, _) => Some(format!("{name} does not run")),
            (true, Some(term)) => Some(format!("{name} leads term {term} already")),
            (true, None) => None,
        }
    };
    let fresh = |name: &String| {
        let is_label = !name.is_empty()
            && name.len() < 64
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        match (is_label, cluster.place(name)) {
            (false, _) => {
                Some(format!("{name:?} is no name for a machine: lower-case letters, digits and '-'"))
            }
            (true, Some(_)) => Some(format!("there is a {name} already")),
            (true, None) => None,
        }
    };
    match command {
        Command::Boot(_) => Some("a cluster is set up once; open a session".into()),
        Command::StopProcess { process: name } => process(name),
        Command::StartProcess { process: name } => {
            let is_off = cluster.place(name).is_some_and(|host| engine.network.is_down(host));
            process(name).or_else(|| is_off.then(|| format!("the machine of {name} is switched off")))
        }
        Command::StopHost { host: name } | Command::StartHost { host: name } => host(name),
        Command::CutLink { a, b }
        | Command::JoinLink { a, b }
        | Command::CutOneWay { from: a, to: b }
        | Command::DegradeLink { from: a, to: b, .. } => link(a, b),
        Command::DropMessage { record } | Command::DelayMessage { record, .. } => {
            let is_under_way = engine.in_flight().iter().any(|(id, ..)| id.0 == *record);
            (!is_under_way).then(|| format!("message {record} is not under way: it has arrived, or was lost"))
        }
        Command::Campaign { member: name, .. } | Command::TransferLeader { member: name } => {
            member(name).or_else(|| contender(name))
        }
        Command::SlowDisk { member: name, .. } | Command::SetQuota { member: name, .. } => member(name),
        Command::CorruptDisk { member: name } => {
            let is_empty = || cluster.etcd(name).is_some_and(|member| !member.has_data());
            member(name).or_else(|| is_empty().then(|| format!("there is nothing on the disk of {name} yet")))
        }
        Command::SetFlags { member: name, flags } => {
            let runs = || cluster.etcd(name).is_some_and(|member| member.is_running());
            let late = || runs().then(|| format!("{name} runs: it reads its flags when it starts"));
            member(name).or_else(|| Flags::read(&Flags::default(), flags).err()).or_else(late)
        }
        Command::AddEtcdMember { name, .. } => match cluster.etcd(name) {
            Some(_) => cluster.cannot_join(name),
            None => fresh(name).or_else(|| cluster.cannot_join(name)),
        },
        Command::AddNode { name } => fresh(name),
        Command::StartLoad { source, url, requests_per_second, .. } => {
            cluster.load_refusal(source, url, *requests_per_second)
        }
        Command::StopLoad => {
            let runs = cluster.loads().any(|(_, load)| load.is_running() && load.is_by_command());
            (!runs).then(|| "no load is running".to_string())
        }
        Command::Partition { sides } => {
            let on_side = |(number, side): (usize, &Vec<String>)| {
                side.iter().map(move |name| (number, name.clone())).collect::<Vec<_>>()
            };
            let all: Vec<(usize, String)> = sides.iter().enumerate().flat_map(on_side).collect();
            let twice = || {
                all.iter().find_map(|(side, name)| {
                    let is_torn = |(other, twin): &&(usize, String)| {
                        other > side && cluster.place(twin) == cluster.place(name)
                    };
                    let (_, twin) = all.iter().find(is_torn)?;
                    Some(format!("{name} and {twin} are one machine: it cannot be on two sides"))
                })
            };
            let is_whole = sides.iter().filter(|side| !side.is_empty()).count() < 2;
            let whole = || is_whole.then(|| "a line has two sides, and somebody on each".to_string());
            all.iter().find_map(|(_, name)| host(name)).or_else(whole).or_else(twice)
        }
        _ => None,
    }
}

impl Cluster {
    /// A machine, or the one on which the process of that name runs.
    pub(super) fn place(&self, name: &str) -> Option<HostId> {
        let process = || self.processes.iter().find(|process| process.name == name);
        self.host(name).or_else(|| process().map(|process| process.host))
    }

    pub(super) fn partition(&mut self, sides: &[Vec<String>], control: &mut Control<Wire>) {
        let sides: Vec<Vec<HostId>> =
            sides.iter().map(|side| side.iter().filter_map(|name| self.place(name)).collect()).collect();
        for (index, side) in sides.iter().enumerate() {
            for (a, b) in side.iter().flat_map(|a| sides[index + 1..].iter().flatten().map(move |b| (a, b))) {
                control.network().set_cut(*a, *b, true);
            }
        }
    }

    pub(super) fn cut(&mut self, a: &str, b: &str, cut: bool, control: &mut Control<Wire>) {
        if let (Some(a), Some(b)) = (self.place(a), self.place(b)) {
            control.network().set_cut(a, b, cut);
        }
    }

    pub(super) fn power(&mut self, machine: &str, on: bool, control: &mut Control<Wire>) {
        let Some(host) = self.host(machine) else { return };
        if control.network().is_down(host) != on {
            return;
        }
        control.network().set_down(host, !on);
        for process in &mut self.processes {
            if process.host != host {
                continue;
            }
            if on {
                control.start(process.actor);
            } else {
                // Containers do not outlive their machine.
                if let Role::Engine(engine) = Arc::make_mut(&mut process.role) {
                    engine.lose_power(control.now());
                }
                control.stop(process.actor);
            }
        }
    }

    pub(super) fn kill(&mut self, namespace: &str, pod: &str, container: &str, control: &mut Control<Wire>) {
        for process in &self.processes {
            let Role::Engine(engine) = &*process.role else { continue };
            let is_here = engine
                .sandboxes()
                .any(|sandbox| sandbox.config.namespace == namespace && sandbox.config.name == pod);
            if is_here {
                let (namespace, pod, container) = (namespace.into(), pod.into(), container.into());
                control.wake(process.actor, Timer::Engine(EngineTimer::Kill { namespace, pod, container }));
            }
        }
    }
}
