//! What a shell and its tools find inside of a container.
//!
//! Picture to hold in mind: a room that a guest has rented. The furniture (shell, tools) is the same in every room of the
//! house ([`crate::shell`]); the wardrobe, the telephone and the name on the door are the guest's.
//!
//! - [`hey`] a load generator
//! - [`host`] commands that only a node has
//! - [`ipc`] what processes of one IPC namespace share
//! - [`names`] from a name to an address
//! - [`tools`] commands that ask the machine or the network

mod hey;
mod host;
mod ipc;
mod names;
#[cfg(test)]
mod tests;
mod tools;

use std::sync::Arc;

use arcstr::literal;

use crate::api::Text;
use crate::arrange::Gather;
use crate::message::cri::DnsConfig;
use crate::message::node::{LoadOrder, LoadReport};
use crate::network::dns;
use crate::network::netfilter::{IpSet, Table};
use crate::shell::files::FileSystem;
use crate::shell::machine::Machine;
use crate::shell::system::{Command, Dialect, Outcome, Service, System, Then};
use crate::shell::task::Shell;
use crate::shell::{Main, is_tool};
use crate::sorted::SortedMap;

use super::files::View;
use super::program::{self, Server};
pub use host::Node;

/// A container as its programs see it.
pub struct Userland<'a> {
    pub files: View<'a>,
    /// Names and arguments of the processes that share the PID namespace.
    pub processes: &'a [Text],
    /// Programs that the image does not have are an error; without this list any name may be one.
    pub has_only_known_programs: bool,
    /// The image has no tools at all.
    pub is_minimal: bool,
    /// Programs of the image that speak with others.
    pub programs: &'static [(&'static str, Main)],
    pub network: &'a dyn Reach,
    /// The node, for its own commands.
    pub node: Option<Node<'a>>,
}

/// The network as a container sees it.
pub trait Reach {
    /// What `/etc/resolv.conf` says.
    fn resolver(&self) -> &DnsConfig;
    /// The address that `/etc/hosts` has for a name.
    fn hosts_entry(&self, name: &str) -> Option<Text>;
    /// Asks a name server (empty: that of `/etc/resolv.conf`) for an absolute name; the error: nobody answers. Like [`Reach::request`].
    fn query(&self, server: &str, kind: dns::Kind, name: &str) -> Result<dns::Answer, &'static str>;
    /// An HTTP request (host of the header, and path), or with an empty path a bare connection; to port 0 an echo request. The error is the
    /// client's word for it. An answer that has yet to come means that the whole run will be repeated.
    fn request(
        &self,
        address: &str,
        port: u16,
        target: (&str, &str),
        timeout_seconds: u64,
    ) -> Result<(u16, Text), &'static str>;
    /// Sends requests until the order is carried out. As with [`Reach::request`] the run may be repeated.
    fn load(&self, _order: LoadOrder) -> Result<Arc<LoadReport>, &'static str> {
        Err("Network is unreachable")
    }
    /// `ip addr`'s lines; `is_detailed`: with what `ip -d` adds.
    fn interfaces(&self, is_detailed: bool) -> String;
    fn routes(&self) -> String;
    /// `ip neigh`'s.
    fn neighbours(&self) -> String {
        String::new()
    }
    /// The bridge of the node.
    fn bridge(&self) -> Option<&str> {
        None
    }
    /// `bridge link`'s and `bridge fdb`'s.
    fn ports(&self) -> (String, String) {
        (String::new(), String::new())
    }
    /// `tc qdisc show`'s.
    fn queues(&self) -> String {
        String::new()
    }
    /// `conntrack -L`'s, and what it writes besides.
    fn connections(&self) -> (String, String) {
        (String::new(), String::new())
    }
    /// `iptables-save`'s, of all tables or one; empty where a network has none.
    fn rules(&self, _table: Option<Table>) -> String {
        String::new()
    }
    /// kube-proxy's table of nftables; empty where there is none.
    fn nft(&self) -> String {
        String::new()
    }
    /// Virtual servers of IPVS.
    fn servers(&self) -> String {
        String::new()
    }
    /// The kernel's sets of addresses, by name.
    fn sets(&self) -> &[Arc<IpSet>] {
        &[]
    }
}

/// What the environment of every process begins with: the image's, and what runc takes from `/etc/passwd`.
const ENVIRONMENT: [(Text, Text); 2] = [
    (literal!("HOME"), literal!("/root")),
    (literal!("PATH"), literal!("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
];

fn shell(environment: &[(Text, Text)], folder: &str) -> Shell {
    let mut variables: SortedMap<Text, Text> = ENVIRONMENT.into_iter().gather();
    variables.extend(environment.iter().cloned());
    Shell::new("sh", variables, folder)
}
/// A command as a container's first process, or beside it; `input` is what there is to read.
pub fn process(words: &[Text], environment: &[(Text, Text)], folder: &str, input: &str) -> Machine {
    Machine::of_command(words, shell(environment, folder), input)
}
/// A shell that waits for its first line.
pub fn interactive(environment: &[(Text, Text)]) -> Machine {
    Machine::of_shell(Shell { is_interactive: true, ..shell(environment, "/") }).patient()
}
/// The server that runs, in the foreground or on the side.
pub fn server(machine: &Machine) -> Option<Arc<Server>> {
    machine.service().cloned()?.downcast().ok()
}

/// Programs of containers besides the tools that all systems have.
const OWN: &[&str] = &[
    "arp",
    "bridge",
    "conntrack",
    "curl",
    "dd",
    "df",
    "dig",
    "free",
    "getent",
    "hello",
    "hey",
    "host",
    "hostname",
    "httpd",
    "id",
    "ifconfig",
    "ip",
    "ip6tables",
    "ip6tables-save",
    "ipcmk",
    "ipcrm",
    "ipcs",
    "ipset",
    "iptables",
    "iptables-save",
    "ipvsadm",
    "mount",
    "mysql",
    "mysqladmin",
    "nc",
    "nft",
    "nginx-debug",
    "nice",
    "nslookup",
    "perl",
    "pg_isready",
    "ping",
    "ps",
    "redis-cli",
    "route",
    "setsid",
    "stat",
    "stdbuf",
    "stress",
    "su",
    "tc",
    "telnet",
    "time",
    "top",
    "udhcpc",
    "uname",
    "uptime",
    "vi",
    "wget",
    "whoami",
    "yes",
];
/// Of those, what nobody has installed on a node.
const NOT_ON_NODES: &[&str] =
    &["hello", "httpd", "mysql", "mysqladmin", "nginx-debug", "pg_isready", "redis-cli", "stress", "udhcpc"];
/// Programs that only begin another one, which follows them.
const BEFORE_OTHERS: [&str; 10] = [
    "busybox",
    "docker-entrypoint.sh",
    "dumb-init",
    "gosu",
    "nice",
    "setsid",
    "stdbuf",
    "su-exec",
    "time",
    "tini",
];
/// What an image without any tools can run: its shell, and what is built into that.
const MINIMAL: [&str; 13] =
    ["sh", "echo", "printf", "test", "[", "true", "false", ":", "pwd", "sleep", "cp", "mv", "kill"];

pub fn is_in_minimal_image(name: &str) -> bool {
    MINIMAL.contains(&name)
}
/// Whether an image with tools has one of this name.
pub fn is_known(name: &str) -> bool {
    is_tool(name) || OWN.contains(&name)
}

impl System for Userland<'_> {
    fn dialect(&self) -> Dialect {
        if self.node.is_some() { Dialect::Bash } else { Dialect::BusyBox }
    }
    fn user(&self) -> &str {
        "root"
    }
    fn files(&self) -> &dyn FileSystem {
        &self.files
    }
    fn files_mut(&mut self) -> &mut dyn FileSystem {
        &mut self.files
    }
    fn programs(&self) -> &[(&'static str, Main)] {
        self.programs
    }
    fn has_tool(&self, name: &str) -> bool {
        match &self.node {
            Some(_) if host::TOOLS.contains(&name) => true,
            Some(_) => is_known(name) && !NOT_ON_NODES.contains(&name),
            None if self.is_minimal => is_in_minimal_image(name),
            None => is_known(name),
        }
    }
    fn run(&mut self, command: &Command, out: &mut Outcome) -> bool {
        let name = command.words[0].rsplit('/').next().unwrap_or("");
        let arguments: Vec<&str> = command.words[1..].iter().map(String::as_str).collect();
        if let Some(node) = &mut self.node {
            if let Some(done) = node.run(name, &arguments) {
                *out = done;
                return true;
            }
            if !self.has_tool(name) {
                return false;
            }
        }
        if !self.is_minimal {
            if BEFORE_OTHERS.contains(&name) && !arguments.is_empty() {
                let options = arguments.iter().take_while(|argument| argument.starts_with('-')).count();
                let skip = usize::from(matches!(name, "gosu" | "su-exec")) + options;
                let rest = &command.words[1 + skip.min(arguments.len() - 1)..];
                out.then = Then::Run(rest.to_vec());
                return true;
            }
            let tool = tools::Tool { name, arguments: &arguments, command, userland: self };
            if tool.run(out) {
                return true;
            }
        }
        let server = program::server(name, &arguments);
        // Any other program of an image that we do not know: a server, as far as anybody can tell.
        let is_open = !self.is_minimal && !self.has_only_known_programs;
        match server.or_else(|| is_open.then(|| Server::unknown(name))) {
            Some(server) => out.then = serve(server),
            None => return false,
        }
        true
    }
}

fn serve(server: Server) -> Then {
    let service: Service = Arc::new(server);
    Then::Serve(service)
}
