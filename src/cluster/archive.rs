//! Where etcd is found by those who speak to it directly, and what lies on a control-plane node for them.
//!
//! Picture to hold in mind: the signposts to the archive, and the papers that the porter keeps for visitors.

use core::net::IpAddr;
use std::sync::Arc;

use crate::api::{Text, yaml};
use crate::client::Listener;
use crate::command::Scenario;
use crate::crictl;
use crate::etcd::identity::{TOKEN, member_id};
use crate::etcd::member::Flags;
use crate::etcd::snapshot::{self, Founding};
use crate::etcd::{Member, Peer};
use crate::etcdctl;
use crate::kubelet::runtime::ContainerEngine;
use crate::language::Wire;
use crate::message::etcd;
use crate::message::raft::MemberId;
use crate::shell::files::HOME;
use crate::shell::remote::{HERE, SSH};
use crate::shell::{Files, Main, Terminal};
use crate::sim::{ActorId, Control, HostId};

use super::addons::Manifests;
use super::{Cluster, MachineKind, Process, Role, addons};

/// What the terminal can run besides its tools.
pub(super) fn programs(scenario: &Scenario) -> Vec<(&'static str, Main)> {
    let mut programs = crate::kubectl::PROGRAMS.to_vec();
    if !scenario.hollow {
        programs.extend([crictl::PROGRAM, SSH]);
        programs.extend(HERE);
    }
    programs.extend(crate::calicoctl::PROGRAMS);
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
pub(super) const PROGRAMS_OF_IMAGES: &[(&str, &[(&str, Main)])] =
    &[("etcd", etcdctl::PROGRAMS), ("", &[crictl::PROGRAM, SSH])];

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

/// Lays on a node what is there however it joined.
pub(super) fn lay_out_node(engine: &mut ContainerEngine, node: &str, ip: &str) {
    engine.make_host_directory("etc/kubernetes/manifests");
    engine.make_host_directory("etc/cni/net.d");
    engine.make_host_directory("opt/cni/bin");
    let files = [
        ("/etc/hostname", arcstr::format!("{node}\n")),
        ("/etc/hosts", arcstr::format!("127.0.0.1 localhost\n{ip} {node}\n")),
        ("/etc/resolv.conf", arcstr::literal!("nameserver 10.0.0.2\n")),
        ("/var/lib/kubelet/config.yaml", arcstr::literal!(KUBELET_CONFIG)),
        ("/var/lib/kubelet/kubeadm-flags.env", arcstr::literal!("KUBELET_KUBEADM_ARGS=\"\"\n")),
    ];
    for (path, content) in files {
        engine.write_host_file(path, content);
    }
}

/// `KubeletConfiguration` as kubeadm writes it, as far as the simulated kubelet keeps to it.
const KUBELET_CONFIG: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
healthzBindAddress: 127.0.0.1
healthzPort: 10248
kind: KubeletConfiguration
rotateCertificates: true
staticPodPath: /etc/kubernetes/manifests
";

/// `192.168.56.10` and 2380 of `https://192.168.56.10:2380`; `None`: it says otherwise where it is.
fn ip_and_port(url: &str) -> Option<(&str, u16)> {
    let (ip, port) = url.split_once("://")?.1.split_once(':')?;
    ip.parse::<IpAddr>().ok()?;
    Some((ip, port.parse().ok()?))
}

/// Whether a member runs beside the terminal, and is no part of the cluster.
fn is_local(member: &Peer) -> bool {
    member.client_url.starts_with("http:")
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

    /// Tells the terminal where a node is.
    pub(super) fn put_through(&mut self, name: &str, ip: &str, engine: ActorId) {
        if let Some((_, terminal)) = self.terminal_mut() {
            terminal.learn_node(name, engine);
            terminal.learn_node(ip, engine);
        }
    }

    /// A member that is started begins with what `snapshot restore` has laid into its data directory, if it has: that of
    /// a node's member lies on the node, that of a member beside the terminal in the home directory (`m1.etcd`).
    pub(super) fn take_restored_data(&mut self, actor: ActorId) {
        let Some(found) = self.processes.get(actor.0 as usize) else { return };
        let host = found.host;
        let Role::Etcd(member) = &*found.role else { return };
        if member.is_running() {
            return;
        }
        let me = member.peer();
        let directory = match is_local(me) {
            true => format!("{HOME}/{}.etcd", me.name),
            false => DATA_DIRECTORY.to_string(),
        };
        let paths = [snapshot::DATABASE, snapshot::WRITE_AHEAD_LOG].map(|file| format!("{directory}/{file}"));
        // Only one of the processes there has such files.
        let read = |path: &String| {
            self.processes.iter().filter(|process| process.host == host).find_map(|process| {
                match &*process.role {
                    Role::Engine(engine) => engine.disk().read_host(path).cloned(),
                    Role::Terminal(terminal) => terminal.files.read(path).ok(),
                    _ => None,
                }
            })
        };
        let [Some(database), Some(log)] = paths.each_ref().map(read) else { return };
        let (Ok(backup), Some(founding)) = (snapshot::decode(&database), Founding::read(&log)) else {
            return;
        };
        let peers: Vec<Peer> = self.etcd_members().map(|(_, member)| member.peer().clone()).collect();
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
        let Some(restored) = member.restored(me, &founders, &backup.image()) else { return };
        self.processes[actor.0 as usize].role = Arc::new(Role::Etcd(restored));
        // From now on these are the member's own files.
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            match Arc::make_mut(&mut process.role) {
                Role::Engine(engine) => {
                    paths.iter().for_each(|path| engine.remove_host_file(path));
                    DIRECTORIES.iter().for_each(|directory| engine.make_host_directory(directory));
                }
                // What is not there need not be removed.
                Role::Terminal(terminal) => {
                    for path in &paths {
                        let _ = terminal.files.remove(path);
                    }
                }
                _ => {}
            }
        }
    }

    fn etcd_members(&self) -> impl Iterator<Item = (&Process, &Member)> {
        self.processes.iter().filter_map(|process| match &*process.role {
            Role::Etcd(member) => Some((process, member)),
            _ => None,
        })
    }
    /// Where all members of the cluster's etcd are.
    pub(super) fn etcd_peers(&self) -> Vec<Peer> {
        let peers = self.etcd_members().map(|(_, member)| member.peer());
        peers.filter(|peer| !is_local(peer)).cloned().collect()
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

    /// A member that somebody has added to etcd (`etcdctl member add`), and that has not been started: its address, and
    /// one of those who wait for it.
    fn awaited(&self) -> Option<(Text, &Member)> {
        let is_taken = |url: &Text| self.etcd_members().any(|(_, member)| member.peer().peer_url == *url);
        self.etcd_members().filter(|(_, member)| member.is_running()).find_map(|(_, member)| {
            let listed =
                member.members().find(|other| other.name.is_empty() && !is_taken(&other.peer_url))?;
            Some((listed.peer_url.clone(), member))
        })
    }
    /// Why no member called `name` can be started now.
    pub(super) fn cannot_join(&self, name: &str) -> Option<String> {
        let Some(member) = self.etcd(name) else {
            let (url, _) = self.awaited()?;
            let why = match ip_and_port(&url) {
                None => "where no machine can be".to_string(),
                Some((ip, _)) => {
                    format!("which is {}'s address", self.machines.iter().find(|one| one.ip == ip)?.name)
                }
            };
            return Some(format!(
                "etcd waits for a member at {url}, {why}: etcdctl member update or remove it"
            ));
        };
        let is_me =
            |other: &&etcd::Member| !other.name.is_empty() && other.peer_url == member.peer().peer_url;
        let mut running = self.etcd_members().filter(|(_, member)| member.is_running());
        match running.find_map(|(_, other)| other.members().find(is_me)) {
            _ if member.is_running() => Some(format!("there is a {name} already")),
            Some(listed) => Some(format!("etcd still counts {name}: etcdctl member remove {:x}", listed.id)),
            None => None,
        }
    }

    /// Starts a member that joins etcd: on its own machine again, with an empty disk, if it was one before; or on a new
    /// one, at the address for which etcd waits. Without `is_learner` somebody has added it, or will.
    pub(super) fn add_etcd_member(
        &mut self,
        name: &str,
        is_learner: Option<bool>,
        control: &mut Control<Wire>,
    ) {
        let is_beside =
            |one: &Peer, other: &Peer| is_local(one) == is_local(other) && one.actor != other.actor;
        if let Some(actor) = self.actor(name) {
            let Some(member) = self.etcd(name) else { return };
            let me = Peer { id: MemberId(0), ..member.peer().clone() };
            let peers = self.etcd_members().map(|(_, other)| other.peer());
            let others: Vec<Peer> = peers.filter(|other| is_beside(other, &me)).cloned().collect();
            let fresh = member.anew(Member::joining(&me, &others, is_learner));
            self.processes[actor.0 as usize].role = Arc::new(Role::Etcd(fresh));
            control.start(actor);
            return;
        }
        let awaited = self.awaited().and_then(|(url, by)| {
            let (ip, port) = ip_and_port(&url)?;
            let scheme = url.split(':').next().unwrap_or("https");
            let client_url = arcstr::format!("{scheme}://{ip}:{}", port.saturating_sub(1));
            Some((url.clone(), client_url, ip.to_string(), by.peer().actor, by.version.clone()))
        });
        let taken = self.machines.iter().filter(|machine| machine.kind == MachineKind::Etcd).count();
        // Members on machines of their own have the addresses from .42 on; those that are added go on above them.
        let ip = awaited
            .as_ref()
            .map_or_else(|| format!("192.168.56.{}", 50 + taken), |(_, _, ip, ..)| ip.clone());
        let beside =
            awaited.as_ref().filter(|_| ip.starts_with("127.")).map(|(_, _, _, actor, _)| actor.0 as usize);
        let host = match beside.and_then(|index| self.processes.get(index)) {
            Some(process) => process.host,
            None => self.machine(name, ip, MachineKind::Etcd),
        };
        let actor = control.create(host);
        let mut me = Peer { id: MemberId(0), ..self.etcd_peer(name, host, actor) };
        let mut version = None;
        if let Some((peer_url, client_url, _, _, spoken)) = awaited {
            (me.peer_url, me.client_url, version) = (peer_url, client_url, Some(spoken));
        }
        let mut others = Vec::new();
        let (at, listener) =
            (address(&me.client_url), Listener { actor, is_secure: me.client_url.starts_with("https") });
        for process in &mut self.processes {
            match Arc::make_mut(&mut process.role) {
                Role::Etcd(member) if is_beside(member.peer(), &me) => {
                    member.learn_address(me.peer_url.clone(), actor);
                    others.push(member.peer().clone());
                }
                Role::Terminal(terminal) => terminal.learn_etcd(at.clone(), listener.clone()),
                Role::Engine(engine) => engine.learn_etcd(at.clone(), listener.clone()),
                _ => {}
            }
        }
        let mut member = Member::joining(&me, &others, is_learner);
        if !is_local(&me) {
            member = by_kubeadm(member);
        }
        member.version = version.unwrap_or(member.version);
        self.process(name, actor, host, Role::Etcd(member));
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
