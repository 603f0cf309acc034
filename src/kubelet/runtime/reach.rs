//! The network as the processes of a node reach it.
//!
//! Picture to hold in mind: a telephone on the wall of each pod. What is said to the pod itself is answered at
//! once; every other call is left with the exchange ([`super::talk`]), which rings back.

use std::sync::Arc;

use crate::arrange::Arrange;
use crate::sorted::SortedMap;

use crate::api::Text;
use crate::message::cri::{DnsConfig, MountSource};
use crate::message::node::{LoadOrder, LoadReport, Question, Said};
use crate::network::bandwidth::no_queue;
use crate::network::cni::Attachment;
use crate::network::dns;
use crate::network::ipvs::NO_SERVERS;
use crate::network::kernel::Kernel;
use crate::network::netfilter::{IpSet, Table};
use crate::network::show::no_connections;
use crate::shell::date;
use crate::shell::files::absolute;
use crate::sim::Time;

use super::container::Container;
use super::files::Disk;
use super::program::Http;
use super::sandbox::Sandbox;
use super::talk::{Ask, Desk, TIMED_OUT};
use super::userland::Reach;

/// `timeout` and `attempts` of resolv.conf, as they are without a word.
const QUERY_TIMEOUT_SECONDS: u64 = 5;
const QUERY_ATTEMPTS: usize = 2;

/// One sandbox's view of the network.
pub struct NodeNetwork<'a> {
    pub now: Time,
    pub me: &'a Sandbox,
    pub sandboxes: &'a SortedMap<Text, Arc<Sandbox>>,
    pub containers: &'a SortedMap<Text, Arc<Container>>,
    pub disk: Disk,
    pub kernel: &'a Kernel,
    /// What was asked before in this run, and what is still open.
    pub desk: &'a Desk,
}

impl Reach for NodeNetwork<'_> {
    fn resolver(&self) -> &DnsConfig {
        &self.me.config.dns
    }
    fn hosts_entry(&self, name: &str) -> Option<Text> {
        match name {
            "localhost" => Some("127.0.0.1".into()),
            // The node's own `/etc/hosts`, which the kubelet copies for pods of its network.
            name if self.me.config.host_network => {
                let other = self.kernel.neighbours.iter().find(|other| other.name == name);
                let address = other.map(|other| other.address);
                let own = self.kernel.address.filter(|_| self.kernel.node == name);
                address.or(own).map(|address| address.to_string().into())
            }
            name if name == self.me.config.hostname => self.me.ips().first().cloned(),
            _ => None,
        }
    }
    fn query(&self, server: &str, kind: dns::Kind, name: &str) -> Result<dns::Answer, &'static str> {
        let server = match server {
            "" => self.me.config.dns.servers.first().cloned().ok_or("no name server")?,
            server => server.into(),
        };
        let ask = Ask {
            address: server,
            port: dns::PORT,
            question: Question::Dns { kind, name: name.into() },
            timeout_seconds: QUERY_TIMEOUT_SECONDS,
        };
        let mut said = Err("");
        for _ in 0..QUERY_ATTEMPTS {
            said = self.desk.ask(ask.clone());
            if !matches!(said, Err(TIMED_OUT)) {
                break;
            }
        }
        match said? {
            Said::Dns(answer) => Ok(answer),
            _ => Err("not a name server"),
        }
    }
    fn request(
        &self,
        address: &str,
        port: u16,
        (host, path): (&str, &str),
        timeout_seconds: u64,
    ) -> Result<(u16, Text), &'static str> {
        let is_own = matches!(address, "127.0.0.1" | "::1") || self.me.ips().iter().any(|ip| ip == address);
        if is_own && !self.me.config.host_network {
            return match port {
                0 => Ok((0, Text::new())),
                port => dial(self.containers, &self.disk, self.me, port, path, self.now),
            };
        }
        let question = Question::Http { host: host.into(), path: path.into() };
        match self.desk.ask(Ask { address: address.into(), port, question, timeout_seconds })? {
            Said::Http(status, body) => Ok((status, body)),
            _ => Err("Connection reset by peer"),
        }
    }
    fn load(&self, order: LoadOrder) -> Result<Arc<LoadReport>, &'static str> {
        let question = Question::Load(Arc::new(order));
        match self.desk.ask(Ask { address: Text::new(), port: 0, question, timeout_seconds: 0 })? {
            Said::Load(report) => Ok(report),
            _ => Err("no report"),
        }
    }
    fn interfaces(&self, is_detailed: bool) -> String {
        match &self.me.attachment {
            Some(attachment) => attachment.show_addresses(),
            None => self.kernel.show_addresses(self.attachments(), is_detailed),
        }
    }
    fn routes(&self) -> String {
        match &self.me.attachment {
            Some(attachment) => attachment.routes().iter().map(|route| format!("{route} \n")).collect(),
            None => self.kernel.show_routes(self.attachments()),
        }
    }
    fn neighbours(&self) -> String {
        match &self.me.attachment {
            Some(attachment) => attachment.show_neighbours(),
            None => self.kernel.show_neighbours(self.attachments()),
        }
    }
    fn bridge(&self) -> Option<&str> {
        self.kernel.bridge.as_ref().map(|bridge| bridge.name.as_str())
    }
    fn ports(&self) -> (String, String) {
        match self.me.config.host_network {
            true => {
                (self.kernel.show_ports(self.attachments()), self.kernel.show_forwarding(self.attachments()))
            }
            false => Default::default(),
        }
    }
    fn queues(&self) -> String {
        match self.me.config.host_network {
            true => self.kernel.show_queues(self.attachments()),
            false => no_queue("lo") + &no_queue("eth0"),
        }
    }
    fn connections(&self) -> (String, String) {
        match self.me.config.host_network {
            true => self.kernel.show_connections(self.now),
            false => (String::new(), no_connections()),
        }
    }
    fn rules(&self, table: Option<Table>) -> String {
        match self.me.config.host_network {
            true => self.kernel.rules.save(&date::format(self.now, "%a %b %e %H:%M:%S %Y"), table),
            // A network namespace that nobody has written rules into has no tables.
            false => String::new(),
        }
    }
    fn nft(&self) -> String {
        if self.me.config.host_network { self.kernel.rules.nft() } else { String::new() }
    }
    fn servers(&self) -> String {
        match self.me.config.host_network {
            true => self.kernel.show_servers(),
            false => NO_SERVERS.into(),
        }
    }
    fn sets(&self) -> &[Arc<IpSet>] {
        if self.me.config.host_network { self.kernel.rules.sets() } else { &[] }
    }
}

impl<'a> NodeNetwork<'a> {
    fn attachments(&self) -> impl Iterator<Item = &'a Attachment> {
        let ready = self.sandboxes.values().filter(|sandbox| sandbox.is_ready());
        let mut all: Vec<&Attachment> = ready.filter_map(|sandbox| sandbox.attachment.as_ref()).collect();
        // By the interface's number, as the kernel lists them.
        all.arrange_by_key(|attachment| attachment.host_index);
        all.into_iter()
    }
}

/// Asks a port of a sandbox: HTTP status and body; 0 for a connection without a request.
pub fn dial(
    containers: &SortedMap<Text, Arc<Container>>,
    disk: &Disk,
    sandbox: &Sandbox,
    port: u16,
    path: &str,
    now: Time,
) -> Result<(u16, Text), &'static str> {
    let mut of_sandbox = containers.values().filter(|container| container.sandbox == sandbox.id);
    let found = of_sandbox.find_map(|container| Some((container, container.listens(port, now)?)));
    let Some((container, server)) = found else { return Err("Connection refused") };
    if path.is_empty() {
        return Ok((0, Text::new()));
    }
    match server.http {
        Http::No => Err("Empty reply from server"),
        Http::Anything => Ok((200, arcstr::format!("{}\n", sandbox.config.name))),
        Http::Files { root, index } => {
            let path = path.split('?').next().unwrap_or("/");
            let file =
                if path.ends_with('/') { format!("{root}{path}index.html") } else { format!("{root}{path}") };
            let file = absolute("/", &file);
            let covering = container.config.mounts.iter().find_map(|mount| {
                let point = mount.container_path.trim_end_matches('/');
                let rest = file.strip_prefix(point)?;
                (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
            });
            let content = match covering {
                Some((mount, rest)) => {
                    let inside = absolute("/", &format!("{}/{rest}", mount.sub_path));
                    let inside = inside.trim_start_matches('/');
                    let found = match &mount.source {
                        MountSource::Pod { volume } => {
                            disk.volume(&sandbox.config.uid, volume).and_then(|d| d.read(inside))
                        }
                        MountSource::Host { path } => disk.read_host(&absolute(path, inside)),
                    };
                    // A mounted root without an index is a directory that may not be listed.
                    match found {
                        Some(content) => Some(content.clone()),
                        None if path.ends_with('/') => return Ok((403, "403 Forbidden\n".into())),
                        None => None,
                    }
                }
                None => container
                    .layer
                    .read(file.trim_start_matches('/'))
                    .cloned()
                    .or_else(|| (path == "/" || path == "/index.html").then(|| Text::from(index))),
            };
            Ok(content.map_or((404, "404 Not Found\n".into()), |content| (200, content)))
        }
    }
}
