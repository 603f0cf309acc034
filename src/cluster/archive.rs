//! Where etcd is found by those who speak to it directly, and what lies on a control-plane node for them.
//!
//! Picture to hold in mind: the signposts to the archive, and the papers that the porter keeps for visitors.

use std::sync::Arc;

use crate::api::{Text, yaml};
use crate::client::Listener;
use crate::command::Scenario;
use crate::etcd::identity::{TOKEN, member_id};
use crate::etcd::member::Flags;
use crate::etcd::snapshot::{self, Founding};
use crate::etcd::{Member, Peer};
use crate::etcdctl;
use crate::kubelet::runtime::ContainerEngine;
use crate::language::Wire;
use crate::message::raft::MemberId;
use crate::shell::{Files, Main, Terminal};
use crate::sim::{ActorId, Control, HostId};

use super::addons::Manifests;
use super::{Cluster, MachineKind, Process, Role, addons};

/// What the terminal can run besides its tools.
pub(super) fn programs(scenario: &Scenario) -> Vec<(&'static str, Main)> {
    let mut programs = crate::kubectl::PROGRAMS.to_vec();
    programs.extend(if scenario.local_etcd { etcdctl::PROGRAMS_OF_3_4 } else { etcdctl::PROGRAMS });
    programs
}

/// `https://192.168.56.10:2379` without the scheme.
pub(super) fn address(url: &str) -> Text {
    url.rsplit('/').next().unwrap_or(url).into()
}

/// Who listens where, as seen from the machine with address `ip`: its own member is at the loopback address too.
pub(super) fn listeners(members: &[Peer], ip: &str) -> Vec<(Text, Listener)> {
    let mut found = Vec::new();
    for member in members {
        let listener = Listener { actor: member.actor, is_secure: member.client_url.starts_with("https") };
        let at = address(&member.client_url);
        if at.split(':').next() == Some(ip) {
            found.push((arcstr::literal!("127.0.0.1:2379"), listener.clone()));
            found.push((arcstr::literal!("localhost:2379"), listener.clone()));
        }
        found.push((at, listener));
    }
    found
}

/// The files that `kubeadm init` leaves on a control-plane node, and those that etcd makes, by their paths.
pub(super) fn node_files(manifests: &Manifests, node: &str, ip: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (name, content) in etcdctl::tls::kubeadm_files(node) {
        files.push((format!("/etc/kubernetes/pki/etcd/{name}"), content));
    }
    for (name, content) in etcdctl::tls::apiserver_files() {
        files.push((format!("/etc/kubernetes/pki/{name}"), content));
    }
    for (name, pod) in manifests {
        files.push((format!("/etc/kubernetes/manifests/{name}"), yaml::to_string(pod)));
    }
    files.push(("/root/kubeadm-config.yaml".into(), addons::configuration(ip)));
    files
}

/// `--data-dir` of the member on a control-plane node.
const DATA_DIRECTORY: &str = "/var/lib/etcd";
/// Directories of etcd's on the node's disk.
const DIRECTORIES: &[&str] = &["/var/lib/etcd/member/snap", "/var/lib/etcd/member/wal"];

/// The programs of images that speak with etcd.
pub(super) const PROGRAMS_OF_IMAGES: &[(&str, &[(&str, Main)])] = &[("etcd", etcdctl::PROGRAMS)];

/// Shows the node's files to the terminal at its console.
pub(super) fn lay_out(files: &mut Files, manifests: &Manifests, node: &str, ip: &str) {
    for directory in DIRECTORIES {
        // Nothing is in the way of folders in an empty tree.
        let _ = files.make_folders(directory);
    }
    for (path, content) in node_files(manifests, node, ip) {
        let _ = files.put(&path, content.into());
    }
}

/// Lays the node's files on the disk of its container engine.
pub(super) fn furnish(engine: &mut ContainerEngine, manifests: &Manifests, node: &str, ip: &str) {
    for directory in DIRECTORIES {
        engine.make_host_directory(directory);
    }
    for (path, content) in node_files(manifests, node, ip) {
        engine.write_host_file(&path, content.into());
    }
}

impl Cluster {
    /// Puts the terminal at the console of the machine whose container engine this is.
    pub(super) fn stand_at(&mut self, terminal: ActorId, engine: ActorId) {
        if let Some(Role::Terminal(terminal)) =
            self.processes.get_mut(terminal.0 as usize).map(|process| Arc::make_mut(&mut process.role))
        {
            terminal.engine = Some(engine);
        }
    }

    /// A member that is started begins with what `snapshot restore` has laid into its data directory, if it has.
    pub(super) fn take_restored_data(&mut self, actor: ActorId) {
        let Some(found) = self.processes.get(actor.0 as usize) else { return };
        let host = found.host;
        let Role::Etcd(member) = &*found.role else { return };
        if member.is_running() {
            return;
        }
        let me = member.peer().clone();
        let Some(engine) = self.node(host).1 else { return };
        let read = |file: &str| engine.disk().read_host(&format!("{DATA_DIRECTORY}/{file}"));
        let (Some(database), Some(log)) = (read(snapshot::DATABASE), read(snapshot::WRITE_AHEAD_LOG)) else {
            return;
        };
        let (Ok(backup), Some(founding)) = (snapshot::decode(database), Founding::read(log)) else { return };
        let peers = self.etcd_peers();
        let founders: Vec<Peer> = founding
            .members
            .iter()
            .filter_map(|(name, url)| {
                let peer = peers.iter().find(|peer| peer.peer_url == *url)?.clone();
                Some(Peer { id: member_id(&[url], &founding.token, None), name: name.clone(), ..peer })
            })
            .collect();
        // A data directory of another member's is none that this one would start with.
        let Some(me) = founders.iter().find(|peer| peer.actor == me.actor) else { return };
        let Some(mut restored) = Member::restored(me, &founders, &backup.image()) else { return };
        (restored.flags, restored.usual_flags) = (member.flags.clone(), member.usual_flags.clone());
        self.processes[actor.0 as usize].role = Arc::new(Role::Etcd(restored));
        // From now on these are the member's own files.
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            if let Role::Engine(engine) = Arc::make_mut(&mut process.role) {
                for file in [snapshot::DATABASE, snapshot::WRITE_AHEAD_LOG] {
                    engine.remove_host_file(&format!("{DATA_DIRECTORY}/{file}"));
                }
                for directory in DIRECTORIES {
                    engine.make_host_directory(directory);
                }
            }
        }
    }

    /// Where all members of the cluster's etcd are.
    pub(super) fn etcd_peers(&self) -> Vec<Peer> {
        let peer = |process: &Process| match &*process.role {
            Role::Etcd(member) if member.peer().client_url.starts_with("https") => {
                Some(member.peer().clone())
            }
            _ => None,
        };
        self.processes.iter().filter_map(peer).collect()
    }
    /// How the other members find one.
    pub(super) fn etcd_peer(&self, name: &str, host: HostId, actor: ActorId) -> Peer {
        let ip = &self.machines[host.0 as usize].ip;
        let (peer_url, client_url) =
            (arcstr::format!("https://{ip}:2380"), arcstr::format!("https://{ip}:2379"));
        Peer {
            id: member_id(&[&peer_url], TOKEN, None),
            // kubeadm calls a member by its node, the pod `etcd-` and that.
            name: name.strip_prefix("etcd-").filter(|node| self.host(node).is_some()).unwrap_or(name).into(),
            peer_url,
            client_url,
            actor,
        }
    }

    /// Starts a member that joins etcd, on a machine of its own. With `is_learner` it asks to be added.
    pub(super) fn add_etcd_member(
        &mut self,
        name: &str,
        is_learner: Option<bool>,
        control: &mut Control<Wire>,
    ) {
        let taken = self.machines.iter().filter(|machine| machine.kind == MachineKind::Etcd).count();
        // Members on machines of their own have the addresses from .42 on; those that are added go on above them.
        let host = self.machine(name, format!("192.168.56.{}", 50 + taken), MachineKind::Etcd);
        let actor = control.create(host);
        let me = Peer { id: MemberId(0), ..self.etcd_peer(name, host, actor) };
        let mut others = Vec::new();
        for process in &mut self.processes {
            if let Role::Etcd(member) = Arc::make_mut(&mut process.role) {
                member.learn_address(me.peer_url.clone(), actor);
                others.push(member.peer().clone());
            }
        }
        self.process(name, actor, host, Role::Etcd(by_kubeadm(Member::joining(&me, &others, is_learner))));
        control.start(actor);
    }

    /// Three members on the terminal's own machine, as a `Procfile` of etcd's would start them.
    pub(super) fn set_up_local_etcd(
        &mut self,
        host: HostId,
        terminal: &mut Terminal,
        control: &mut Control<Wire>,
    ) {
        let mut founders = Vec::new();
        for number in 1..=3 {
            let peer_url = arcstr::format!("http://127.0.0.1:3{number}380");
            founders.push(Peer {
                id: member_id(&[&peer_url], TOKEN, None),
                name: arcstr::format!("m{number}"),
                peer_url,
                client_url: arcstr::format!("http://127.0.0.1:3{number}379"),
                actor: control.create(host),
            });
        }
        for me in &founders {
            let mut member = Member::founding(me, &founders);
            member.version = arcstr::literal!("3.4.23");
            let listener = Listener { actor: me.actor, is_secure: false };
            terminal.learn_etcd(address(&me.client_url), listener);
            self.process(&me.name, me.actor, host, Role::Etcd(member));
        }
    }
}

/// A member with the flags that kubeadm gives it.
pub(super) fn by_kubeadm(mut member: Member) -> Member {
    member.usual_flags = Flags::of_kubeadm();
    member.flags = Flags::of_kubeadm();
    member
}
