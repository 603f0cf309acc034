//! Programs that ask the machine or the network: `date`, `ps`, `ip`, `nslookup`, `wget` ...
//!
//! Picture to hold in mind: dials on the wall, and a telephone.

use crate::arrange::Gather;
use crate::message::node::read_url;
use crate::network::netfilter::{TABLES, Table};
use crate::shell::date;
use crate::shell::files::absolute;
use crate::shell::system::{Command, Outcome, Then};
use crate::sim::Duration;

use super::super::program::{self, Server};
use super::names::{Unresolved, resolve};
use super::{Userland, serve};

/// Seconds until the kernel gives a connection up that nobody answers (`tcp_syn_retries` 6).
const TCP_PATIENCE: u64 = 127;

/// A tool that was called.
pub(super) struct Tool<'a, 'b, 'c> {
    pub name: &'a str,
    pub arguments: &'a [&'a str],
    pub command: &'a Command<'a>,
    pub userland: &'b mut Userland<'c>,
}

pub(super) fn status(status: i32) -> Outcome {
    Outcome { status, ..Outcome::default() }
}
pub(super) fn text(stdout: impl Into<String>) -> Outcome {
    Outcome { stdout: stdout.into(), ..Outcome::default() }
}
pub(super) fn fails(status: i32, stderr: impl Into<String>) -> Outcome {
    Outcome { stderr: stderr.into(), status, ..Outcome::default() }
}
pub(super) fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Outcome {
    let mut out = Outcome::default();
    lines.into_iter().for_each(|line| out.line(line));
    out
}

impl<'a> Tool<'a, '_, '_> {
    /// Does its work; false: there is no tool of this name here.
    pub fn run(mut self, out: &mut Outcome) -> bool {
        match self.system() {
            Some(done) => {
                *out = done;
                true
            }
            None => false,
        }
    }
    pub(super) fn flags(&self) -> String {
        self.arguments.iter().filter_map(|a| a.strip_prefix('-')).filter(|a| !a.starts_with('-')).gather()
    }
    /// Arguments that are not options; those in `with_value` take the next one.
    pub(super) fn operands(&self, with_value: &[&str]) -> Vec<&'a str> {
        let mut operands = Vec::new();
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if with_value.contains(argument) {
                arguments.next();
            } else if !argument.starts_with('-') || *argument == "-" {
                operands.push(*argument);
            }
        }
        operands
    }
    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        let position = self.arguments.iter().position(|argument| *argument == name);
        match position {
            Some(position) => self.arguments.get(position + 1).copied(),
            None => self
                .arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(name))
                .filter(|v| !v.is_empty()),
        }
    }

    /// What a program learns from the machine and from the network.
    fn system(&mut self) -> Option<Outcome> {
        let now = self.command.now;
        Some(match self.name {
            "hostname" if self.flags().contains(['i', 'I']) => {
                lines([self.userland.network.hosts_entry(self.userland.files.hostname).unwrap_or_default()])
            }
            "hostname" => lines([self.userland.files.hostname]),
            "whoami" => lines(["root"]),
            "id" => lines(["uid=0(root) gid=0(root) groups=0(root),10(wheel)"]),
            "uname" => lines([match self.flags().as_str() {
                "r" => "6.8.0-64-generic".to_string(),
                "m" => "x86_64".to_string(),
                "n" => self.userland.files.hostname.to_string(),
                "a" => format!(
                    "Linux {} 6.8.0-64-generic #67-Ubuntu SMP x86_64 GNU/Linux",
                    self.userland.files.hostname
                ),
                _ => "Linux".to_string(),
            }]),
            "ps" => {
                let mut rows = vec!["PID   USER     TIME  COMMAND".to_string()];
                for (index, command) in self.userland.processes.iter().enumerate() {
                    rows.push(format!("{:>5} root      0:00 {command}", index + 1));
                }
                lines(rows)
            }
            "ip" => self.ip(),
            "ipcs" | "ipcmk" | "ipcrm" => self.ipc(),
            "bridge" => {
                let (links, forwarding) = self.userland.network.ports();
                match self.operands(&[]).first() {
                    Some(word) if "link".starts_with(*word) => text(links),
                    Some(word) if "fdb".starts_with(*word) => text(forwarding),
                    _ => fails(255, "Usage: bridge [ OPTIONS ] OBJECT { COMMAND | help }\n"),
                }
            }
            "tc" => {
                let all = self.userland.network.queues();
                let device = self.arguments.iter().position(|word| *word == "dev");
                let device = device.and_then(|at| self.arguments.get(at + 1));
                let is_it = |line: &&str| device.is_none_or(|name| line.split(' ').nth(4) == Some(name));
                match self.operands(&[]).first() {
                    Some(word) if "qdisc".starts_with(*word) => lines(all.lines().filter(is_it)),
                    // Buckets have no classes.
                    Some(word) if "class".starts_with(*word) => status(0),
                    _ => fails(1, "Usage: tc [ OPTIONS ] OBJECT { COMMAND | help }\n"),
                }
            }
            "ifconfig" => text(self.userland.network.interfaces(false)),
            "route" => self.routes(),
            "arp" => text(self.userland.network.neighbours()),
            "iptables-save" | "iptables" | "ip6tables-save" | "ip6tables" => self.iptables(),
            "ipset" => self.ipset(),
            "nft" => self.nft(),
            "ipvsadm" => match self.flags().contains('L') || self.flags().contains('l') {
                true => text(self.userland.network.servers()),
                false => fails(2, "ipvsadm: only -Ln is simulated here: kube-proxy writes virtual servers\n"),
            },
            "conntrack" => {
                let (stdout, stderr) = self.userland.network.connections();
                Outcome { stderr, ..text(stdout) }
            }
            "nslookup" | "getent" | "host" | "dig" => return self.look_up(),
            "curl" if self.flags().contains('s') && !self.flags().contains('S') => {
                Outcome { stderr: String::new(), ..self.fetch() }
            }
            "wget" | "curl" => self.fetch(),
            "nc" | "telnet" => {
                let operands = self.operands(&["-w", "-i"]);
                if self.flags().contains('l') {
                    let port =
                        self.option("-p").or(operands.first().copied()).and_then(|port| port.parse().ok());
                    return Some(Outcome {
                        then: serve(Server::on_port("nc", port.unwrap_or(0))),
                        ..status(0)
                    });
                }
                let (host, port) = (operands.first()?, operands.get(1)?.parse().unwrap_or(0));
                let Ok(address) = resolve(self.userland.network, host) else {
                    return Some(fails(1, format!("nc: bad address '{host}'\n")));
                };
                let patience = self.patience(&["-w"], TCP_PATIENCE);
                match self.userland.network.request(&address, port, ("", ""), patience) {
                    Ok(_) if self.flags().contains('v') => {
                        fails(0, format!("{host} ({address}:{port}) open\n"))
                    }
                    Ok(_) => status(0),
                    Err(error) => fails(1, format!("nc: {host} ({address}:{port}): {error}\n")),
                }
            }
            "ping" => {
                let operands = self.operands(&["-c", "-w", "-W", "-i"]);
                let host = operands.first()?;
                match resolve(self.userland.network, host) {
                    Ok(address) => self.ping(host, &address),
                    Err(_) => fails(1, format!("ping: bad address '{host}'\n")),
                }
            }
            "df" => lines([
                "Filesystem           1K-blocks      Used Available Use% Mounted on",
                "overlay               81106868  11534336  69572532  14% /",
            ]),
            "uptime" => lines([format!(
                " {} up {} min,  load average: 0.08, 0.03, 0.01",
                date::format(now, "%H:%M:%S"),
                now.as_secs() / 60
            )]),
            "yes" | "top" => Outcome { then: serve(Server::unknown(self.name)), ..Outcome::default() },
            // What they would do is not simulated; that they are there is.
            "dd" | "mount" | "stat" | "free" | "su" | "vi" | "udhcpc" | "nginx-debug" => status(0),
            // The example Job of the documentation: digits of pi.
            "perl" if self.arguments.iter().any(|argument| argument.contains("bpi")) => {
                let digits = self
                    .arguments
                    .iter()
                    .find_map(|a| a.split_once("bpi(")?.1.split(')').next()?.parse().ok());
                Outcome {
                    then: Then::Sleep(Duration::from_secs(5)),
                    ..lines([program::pi(digits.unwrap_or(2000))])
                }
            }
            "hey" => self.hey(),
            "install" if self.command.variables.contains_key("CNI_NETWORK_CONFIG") => self.install_calico(),
            "calico-node" => status(0),
            "hello" => lines([
                "",
                "Hello from Docker!",
                "This message shows that your installation appears to be working correctly.",
            ]),
            "nginx" if self.arguments.contains(&"-s") => status(0),
            "nginx" if self.arguments.contains(&"-t") => fails(
                0,
                "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\nnginx: configuration file /etc/nginx/nginx.conf test is successful\n",
            ),
            "redis-cli" => match self.userland.network.request("127.0.0.1", 6379, ("", ""), TCP_PATIENCE) {
                Ok(_) if self.arguments.iter().any(|a| a.eq_ignore_ascii_case("ping")) => lines(["PONG"]),
                Ok(_) => lines(["OK"]),
                Err(_) => fails(1, "Could not connect to Redis at 127.0.0.1:6379: Connection refused\n"),
            },
            "pg_isready" => match self.userland.network.request("127.0.0.1", 5432, ("", ""), TCP_PATIENCE) {
                Ok(_) => lines(["/var/run/postgresql:5432 - accepting connections"]),
                Err(_) => Outcome { status: 2, ..lines(["/var/run/postgresql:5432 - no response"]) },
            },
            "mysqladmin" | "mysql" => {
                match self.userland.network.request("127.0.0.1", 3306, ("", ""), TCP_PATIENCE) {
                    Ok(_) => lines(["mysqld is alive"]),
                    Err(_) => fails(1, "mysqladmin: connect to server at 'localhost' failed\n"),
                }
            }
            _ => return None,
        })
    }

    /// Seconds that an option of these gives, or the kernel's own.
    fn patience(&self, options: &[&str], otherwise: u64) -> u64 {
        let seconds = |option: &&str| -> Option<u64> {
            let text = self.option(option)?.trim_start_matches('=');
            text.split('.').next()?.parse().ok().filter(|seconds| *seconds > 0)
        };
        options.iter().find_map(seconds).unwrap_or(otherwise)
    }

    /// Each family has its table; a colon tells them apart.
    fn routes(&self) -> Outcome {
        let is_six = self.flags().contains('6');
        let all = self.userland.network.routes();
        text(all.split_inclusive('\n').filter(|line| line.contains(':') == is_six).collect::<String>())
    }
    /// `ip addr`, `ip route`, `ip neigh`, and their abbreviations.
    fn ip(&mut self) -> Outcome {
        let network = self.userland.network;
        let words = self.operands(&[]);
        let object = words.first().copied().unwrap_or("");
        let is = |name: &str| !object.is_empty() && name.starts_with(object);
        if let (Some(node), Some(["delete" | "del", name])) = (&mut self.userland.node, words.get(1..3)) {
            let bridge = self.userland.network.bridge();
            return node.delete_link(bridge, name);
        }
        if is("address") || is("link") {
            // `show NAME`, `show dev NAME`, `dev NAME`.
            let name = words[1..].iter().find(|word| !matches!(**word, "show" | "list" | "ls" | "dev"));
            let all = network.interfaces(self.flags().contains('d'));
            match name.map(|name| interface(&all, name)) {
                None => text(all),
                Some(Some(found)) => text(found),
                Some(None) => fails(1, format!("Device \"{}\" does not exist.\n", name.unwrap_or(&""))),
            }
        } else if is("route") {
            self.routes()
        } else if is("neighbour") || is("neighbor") {
            text(network.neighbours())
        } else if object.is_empty() {
            fails(255, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n")
        } else {
            fails(1, format!("Object \"{object}\" is unknown, try \"ip help\".\n"))
        }
    }

    /// `iptables-save`, and `iptables -S`: rules are read here, and written by kube-proxy only.
    fn iptables(&mut self) -> Outcome {
        let is_six = self.name.starts_with("ip6");
        let table = match self.option("-t") {
            _ if is_six => Some(Table::Filter6),
            None => None,
            Some(name) => match TABLES.into_iter().find(|table| table.name() == name) {
                Some(table) => Some(table),
                None => return fails(2, format!("iptables: table {name}: does not exist\n")),
            },
        };
        if self.name.ends_with("-save") {
            return text(self.userland.network.rules(table));
        }
        if !self.arguments.iter().any(|argument| matches!(*argument, "-S" | "--list-rules")) {
            return fails(
                2,
                "iptables: only -S is simulated here: rules are shown as iptables-save writes them\n",
            );
        }
        let rules = self.userland.network.rules(Some(table.unwrap_or(Table::Filter)));
        let chain = self.option("-S").filter(|chain| !chain.starts_with('-'));
        let rows = rules.lines().filter_map(|line| match line.strip_prefix(':') {
            Some(rest) => {
                let (name, rest) = rest.split_once(' ')?;
                let is_own = rest.starts_with('-');
                Some(if is_own { format!("-N {name}") } else { format!("-P {name} ACCEPT") })
            }
            None => line.starts_with("-A ").then(|| line.to_string()),
        });
        lines(rows.filter(|line| chain.is_none_or(|chain| line.split(' ').nth(1) == Some(chain))))
    }

    /// `nft list ruleset`, and `nft list table ip kube-proxy`. Tables of iptables are left to `iptables-save`.
    fn nft(&mut self) -> Outcome {
        match self.operands(&[]).as_slice() {
            ["list", "ruleset"] | ["list", "table", "ip", "kube-proxy"] => {
                let rules = self.userland.network.nft();
                if rules.is_empty() && self.arguments.contains(&"table") {
                    return fails(1, "Error: No such file or directory\nlist table ip kube-proxy\n");
                }
                text(rules)
            }
            ["list", "tables"] => {
                let rules = self.userland.network.nft();
                text(rules.lines().take(1).map(|line| line.replace(" {", "\n")).collect::<String>())
            }
            _ => fails(
                1,
                "nft: only \"list ruleset\" and \"list table ip kube-proxy\" are simulated here: kube-proxy writes rules\n",
            ),
        }
    }

    /// `ipset list [-n] [NAME]`.
    fn ipset(&mut self) -> Outcome {
        let mut words = self.arguments.iter().filter(|word| !word.starts_with('-'));
        if !matches!(words.next(), Some(&("list" | "-L"))) {
            return fails(
                2,
                "ipset: only list is simulated here: sets are written by kube-router and kube-proxy\n",
            );
        }
        let wanted = words.next().copied();
        let is_brief = self.arguments.iter().any(|word| matches!(*word, "-n" | "-name"));
        let sets = self.userland.network.sets();
        let found: Vec<String> = sets
            .iter()
            .filter(|set| wanted.is_none_or(|name| set.name == name))
            .map(|set| if is_brief { format!("{}\n", set.name) } else { set.list() })
            .collect();
        match wanted {
            Some(_) if found.is_empty() => {
                fails(1, "ipset v7.22: The set with the given name does not exist\n")
            }
            _ => text(found.join(if is_brief { "" } else { "\n" })),
        }
    }

    /// What the image `calico/cni` does: plugins and configuration onto the node's disk.
    fn install_calico(&mut self) -> Outcome {
        let variable = |name: &str| self.command.variables.get(name).map_or("", |value| value.as_str());
        let mut config = variable("CNI_NETWORK_CONFIG").to_string();
        for (word, value) in [
            ("__CNI_MTU__", variable("CNI_MTU")),
            ("__KUBERNETES_NODE_NAME__", variable("KUBERNETES_NODE_NAME")),
            ("__KUBECONFIG_FILEPATH__", "/etc/cni/net.d/calico-kubeconfig"),
        ] {
            config = config.replace(word, value);
        }
        let file = ["/host/etc/cni/net.d/", variable("CNI_CONF_NAME")].concat();
        let mut out = Outcome::default();
        for (path, content) in [
            ("/host/opt/cni/bin/calico", ""),
            ("/host/opt/cni/bin/calico-ipam", ""),
            ("/host/etc/cni/net.d/calico-kubeconfig", "# Kubeconfig file for Calico CNI plugin.\n"),
            (&file, &config),
        ] {
            match self.userland.files.write(path, content, false) {
                Ok(()) => out.line(format!("[INFO][1] cni-installer: Installed {path}")),
                Err(_) => return fails(1, format!("[FATAL][1] cni-installer: cannot write {path}\n")),
            }
        }
        out
    }

    fn ping(&mut self, host: &str, address: &str) -> Outcome {
        let patience = self.patience(&["-W", "-w"], 10);
        let head = format!("PING {host} ({address}): 56 data bytes\n");
        let tail = format!("\n--- {host} ping statistics ---\n1 packets transmitted, ");
        match self.userland.network.request(address, 0, ("", ""), patience) {
            Ok(_) => text(format!(
                "{head}64 bytes from {address}: seq=0 ttl=64 time=0.085 ms\n{tail}1 packets received, 0% packet loss\nround-trip min/avg/max = 0.085/0.085/0.085 ms\n"
            )),
            Err(_) => {
                Outcome { status: 1, ..text(format!("{head}{tail}0 packets received, 100% packet loss\n")) }
            }
        }
    }

    fn fetch(&mut self) -> Outcome {
        let is_curl = self.name == "curl";
        let operands = self.operands(&[
            "-O",
            "-o",
            "-T",
            "-t",
            "-H",
            "--header",
            "-X",
            "-d",
            "--timeout",
            "--max-time",
            "-m",
            "-w",
            "--connect-timeout",
        ]);
        let Some(url) = operands.first().copied() else {
            return fails(1, format!("{}: missing URL\n", self.name));
        };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url);
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port, path) = read_url(url).unwrap_or(("", 80, "/".into()));
        let address = match resolve(self.userland.network, host) {
            Ok(address) => address,
            Err(Unresolved::NoServer) if is_curl => {
                return fails(
                    6,
                    format!(
                        "curl: (6) Could not resolve host: {host} (Timeout while contacting DNS servers)\n"
                    ),
                );
            }
            Err(_) if is_curl => return fails(6, format!("curl: (6) Could not resolve host: {host}\n")),
            Err(_) => return fails(1, format!("wget: bad address '{authority}'\n")),
        };
        let patience =
            self.patience(&["-T", "--timeout", "-m", "--max-time", "--connect-timeout"], TCP_PATIENCE);
        // `-H "Host: shop"`, `-H"Host: shop"`, `--header=Host: shop`.
        let header = self.arguments.iter().find_map(|word| {
            let word = word.strip_prefix("-H").or(word.strip_prefix("--header=")).unwrap_or(word);
            let (name, value) = word.split_once(':')?;
            name.eq_ignore_ascii_case("host").then_some(value.trim())
        });
        match self.userland.network.request(&address, port, (header.unwrap_or(host), &path), patience) {
            Ok((status, _)) if status >= 400 && !is_curl => fails(
                1,
                format!(
                    "Connecting to {authority} ({address}:{port})\nwget: server returned error: HTTP/1.1 {status}\n"
                ),
            ),
            Ok((status, body)) => {
                if is_curl && status >= 400 && self.flags().contains('f') {
                    return fails(22, format!("curl: (22) The requested URL returned error: {status}\n"));
                }
                let into = self.option("-o").filter(|_| is_curl);
                let tail = self.option("-w").map_or(String::new(), |format| {
                    format.replace("%{http_code}", &status.to_string()).replace("\\n", "\n")
                });
                if let Some(file) = into {
                    let target = absolute(self.command.folder, file);
                    return match self.userland.files.write(&target, &body, false) {
                        Ok(()) => text(tail),
                        Err(_) => fails(23, "curl: (23) Failure writing output to destination\n"),
                    };
                }
                let is_printed = is_curl
                    || self.arguments.iter().any(|a| a.contains("O-") || *a == "-")
                    || self.flags().contains("O-");
                match (is_printed, self.option("-O").filter(|file| *file != "-")) {
                    (false, file) => {
                        let file = file.unwrap_or_else(|| {
                            path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("index.html")
                        });
                        let target = absolute(self.command.folder, file);
                        let _ = self.userland.files.write(&target, &body, false);
                        fails(
                            0,
                            format!("Connecting to {authority} ({address}:{port})\nsaving to '{file}'\n"),
                        )
                    }
                    _ => text(body.to_string() + &tail),
                }
            }
            Err("Connection timed out") if is_curl => {
                let milliseconds = patience * 1000 + 1;
                let words = format!(
                    "curl: (28) Failed to connect to {host} port {port} after {milliseconds} ms: Timeout was reached\n"
                );
                fails(28, words)
            }
            Err("Connection timed out") if patience != TCP_PATIENCE => fails(1, "wget: download timed out\n"),
            Err(error) if is_curl => {
                fails(7, format!("curl: (7) Failed to connect to {host} port {port}: {error}\n"))
            }
            Err(error) => fails(1, format!("wget: can't connect to remote host ({address}): {error}\n")),
        }
    }
}

/// The lines of one interface.
fn interface(all: &str, name: &str) -> Option<String> {
    let mut is_it = false;
    let mut found = String::new();
    for line in all.lines() {
        if !line.starts_with(' ') {
            let own = line.split(": ").nth(1).unwrap_or("");
            is_it = own.split('@').next() == Some(name);
        }
        if is_it {
            found += line;
            found.push('\n');
        }
    }
    Some(found).filter(|found| !found.is_empty())
}
