//! The network as the processes of a node reach it.
//!
//! Picture to hold in mind: a switchboard with a socket for every pod of the node. A call to an address that
//! is not on the board goes out of the house, where nobody answers yet.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::api::Text;
use crate::message::cri::MountSource;
use crate::sim::Time;

use super::container::Container;
use super::files::{Disk, normalize};
use super::program::Http;
use super::sandbox::Sandbox;
use super::shell::machine::Reach;

/// One sandbox's view of the network.
pub struct NodeNetwork<'a> {
    pub now: Time,
    pub me: &'a Sandbox,
    pub sandboxes: &'a BTreeMap<Text, Arc<Sandbox>>,
    pub containers: &'a BTreeMap<Text, Arc<Container>>,
    pub disk: Disk,
    pub names: &'a SharedMap<Text, Text>,
}

impl Reach for NodeNetwork<'_> {
    fn resolve(&self, name: &str) -> Option<Text> {
        if name.parse::<IpAddr>().is_ok() {
            return Some(name.into());
        }
        if name == "localhost" {
            return Some("127.0.0.1".into());
        }
        if name == self.me.config.hostname {
            return self.me.ips().first().cloned();
        }
        // As resolv.conf says: the search list first, then the name as it stands.
        let whole = name.trim_end_matches('.');
        let searched = self.me.config.dns.searches.iter().filter(|_| !name.ends_with('.'));
        searched
            .filter_map(|search| self.names.get(&arcstr::format!("{whole}.{search}")))
            .chain(self.names.get(whole))
            .next()
            .cloned()
    }
    fn request(&self, address: &str, port: u16, path: &str) -> Result<(u16, Text), &'static str> {
        let target = if matches!(address, "127.0.0.1" | "::1") {
            Some(self.me)
        } else {
            let has_address =
                |sandbox: &&Arc<Sandbox>| sandbox.is_ready() && sandbox.ips().iter().any(|ip| ip == address);
            self.sandboxes.values().find(has_address).map(|sandbox| &**sandbox)
        };
        let target = target.ok_or("Connection timed out")?;
        dial(self.containers, &self.disk, target, port, path, self.now)
    }
    fn interfaces(&self) -> String {
        let mut text = String::from(
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n",
        );
        if let Some(attachment) = &self.me.attachment {
            text += &format!(
                "2: {}@if7: <BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1500 qdisc noqueue state UP qlen 1000\n    link/ether {} brd ff:ff:ff:ff:ff:ff\n",
                attachment.interface, attachment.mac
            );
            for address in attachment.address_texts() {
                let family = if address.contains(':') { "inet6" } else { "inet" };
                text += &format!(
                    "    {family} {address} scope global {}\n       valid_lft forever preferred_lft forever\n",
                    attachment.interface
                );
            }
        }
        text
    }
    fn routes(&self) -> String {
        let routes = self.me.attachment.as_ref().map(|attachment| attachment.routes()).unwrap_or_default();
        routes.iter().map(|route| format!("{route} \n")).collect()
    }
}

/// Asks a port of a sandbox: HTTP status and body; 0 for a connection without a request.
pub fn dial(
    containers: &BTreeMap<Text, Arc<Container>>,
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
            let file = normalize("/", &file);
            let covering = container.config.mounts.iter().find_map(|mount| {
                let point = mount.container_path.trim_end_matches('/');
                let rest = file.strip_prefix(point)?;
                (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
            });
            let content = match covering {
                Some((mount, rest)) => {
                    let inside = normalize("/", &format!("{}/{rest}", mount.sub_path));
                    let inside = inside.trim_start_matches('/');
                    let found = match &mount.source {
                        MountSource::Pod { volume } => {
                            disk.volume(&sandbox.config.uid, volume).and_then(|d| d.read(inside))
                        }
                        MountSource::Host { path } => disk.read_host(&normalize(path, inside)),
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
