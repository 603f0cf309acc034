//! Programs that ask the machine or the network: `date`, `ps`, `ip`, `nslookup`, `wget` ...
//!
//! Picture to hold in mind: dials on the wall, and a telephone.

use std::sync::Arc;

use crate::kubelet::clock;
use crate::network::netfilter::{TABLES, Table};
use crate::sim::Duration;

use super::super::program::{self, Server};
use super::commands::{Ran, Then, Tool, is_known};

/// Seconds until the kernel gives a connection up that nobody answers (`tcp_syn_retries` 6).
const TCP_PATIENCE: u64 = 127;

impl<'a> Tool<'a, '_, '_> {
    /// What a program learns from the machine and from the network.
    pub(super) fn system(&mut self) -> Option<Ran> {
        let now = self.surroundings.now;
        Some(match self.name {
            "date" => match self.arguments.iter().find_map(|argument| argument.strip_prefix('+')) {
                Some(format) => Ran::lines([clock::format(now, format)]),
                None => Ran::lines([clock::format(now, "%a %b %e %H:%M:%S UTC %Y")]),
            },
            "hostname" if self.flags().contains(['i', 'I']) => Ran::lines([self
                .surroundings
                .network
                .resolve(self.surroundings.hostname)
                .unwrap_or_default()]),
            "hostname" => Ran::lines([self.surroundings.hostname]),
            "whoami" => Ran::lines(["root"]),
            "id" => Ran::lines(["uid=0(root) gid=0(root) groups=0(root),10(wheel)"]),
            "uname" => Ran::lines([match self.flags().as_str() {
                "r" => "6.8.0-64-generic".to_string(),
                "m" => "x86_64".to_string(),
                "n" => self.surroundings.hostname.to_string(),
                "a" => format!(
                    "Linux {} 6.8.0-64-generic #67-Ubuntu SMP x86_64 GNU/Linux",
                    self.surroundings.hostname
                ),
                _ => "Linux".to_string(),
            }]),
            "ps" => {
                let mut lines = vec!["PID   USER     TIME  COMMAND".to_string()];
                for (index, command) in self.surroundings.processes.iter().enumerate() {
                    lines.push(format!("{:>5} root      0:00 {command}", index + 1));
                }
                Ran::lines(lines)
            }
            "ip" => self.ip(),
            "ifconfig" => Ran::text(self.surroundings.network.interfaces()),
            "route" => Ran::text(self.surroundings.network.routes()),
            "arp" => Ran::text(self.surroundings.network.neighbours()),
            "iptables-save" | "iptables" => self.iptables(),
            "conntrack" => {
                let (stdout, stderr) = self.surroundings.network.connections();
                Ran { stderr, ..Ran::text(stdout) }
            }
            "nslookup" | "getent" | "host" | "dig" => {
                let name =
                    self.operands(&[]).into_iter().find(|operand| !matches!(*operand, "hosts" | "ahosts"))?;
                match self.surroundings.network.resolve(name) {
                    Some(address) if self.name == "getent" => Ran::lines([format!("{address}  {name}")]),
                    Some(address) => Ran::lines([
                        "Server:\t\t10.96.0.10".to_string(),
                        "Address:\t10.96.0.10:53".to_string(),
                        String::new(),
                        format!("Name:\t{name}"),
                        format!("Address: {address}"),
                        String::new(),
                    ]),
                    None if self.name == "getent" => Ran::status(2),
                    None => Ran {
                        status: 1,
                        ..Ran::text(format!(
                            "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n** server can't find {name}: NXDOMAIN\n\n"
                        ))
                    },
                }
            }
            "wget" | "curl" => self.fetch(),
            "nc" | "telnet" => {
                let operands = self.operands(&["-w", "-i"]);
                if self.flags().contains('l') {
                    let port =
                        self.option("-p").or(operands.first().copied()).and_then(|port| port.parse().ok());
                    return Some(Ran {
                        then: Then::Serve(Arc::new(Server::on_port("nc", port.unwrap_or(0)))),
                        ..Ran::status(0)
                    });
                }
                let (host, port) = (operands.first()?, operands.get(1)?.parse().unwrap_or(0));
                let Some(address) = self.surroundings.network.resolve(host) else {
                    return Some(Ran::error(1, format!("nc: bad address '{host}'\n")));
                };
                let patience = self.patience(&["-w"], TCP_PATIENCE);
                match self.surroundings.network.request(&address, port, "", patience) {
                    Ok(_) if self.flags().contains('v') => {
                        Ran::error(0, format!("{host} ({address}:{port}) open\n"))
                    }
                    Ok(_) => Ran::status(0),
                    Err(error) => Ran::error(1, format!("nc: {host} ({address}:{port}): {error}\n")),
                }
            }
            "ping" => {
                let operands = self.operands(&["-c", "-w", "-W", "-i"]);
                let host = operands.first()?;
                match self.surroundings.network.resolve(host) {
                    Some(address) => self.ping(host, &address),
                    None => Ran::error(1, format!("ping: bad address '{host}'\n")),
                }
            }
            "df" => Ran::lines([
                "Filesystem           1K-blocks      Used Available Use% Mounted on",
                "overlay               81106868  11534336  69572532  14% /",
            ]),
            "uptime" => Ran::lines([format!(
                " {} up {} min,  load average: 0.08, 0.03, 0.01",
                clock::format(now, "%H:%M:%S"),
                now.as_secs() / 60
            )]),
            "which" => {
                let name = self.arguments.first()?;
                if is_known(name) { Ran::lines([format!("/bin/{name}")]) } else { Ran::status(1) }
            }
            "dd" | "find" | "kill" | "mount" | "stat" | "free" | "xargs" | "su" | "vi" | "udhcpc" | "awk" => {
                Ran::status(0)
            }
            // The example Job of the documentation: digits of pi.
            "perl" if self.arguments.iter().any(|argument| argument.contains("bpi")) => {
                let digits = self
                    .arguments
                    .iter()
                    .find_map(|a| a.split_once("bpi(")?.1.split(')').next()?.parse().ok());
                Ran {
                    then: Then::Sleep(Duration::from_secs(5)),
                    ..Ran::lines([program::pi(digits.unwrap_or(2000))])
                }
            }
            "hello" => Ran::lines([
                "",
                "Hello from Docker!",
                "This message shows that your installation appears to be working correctly.",
            ]),
            "nginx" if self.arguments.contains(&"-s") => Ran::status(0),
            "nginx" if self.arguments.contains(&"-t") => Ran::error(
                0,
                "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\nnginx: configuration file /etc/nginx/nginx.conf test is successful\n",
            ),
            "redis-cli" => match self.surroundings.network.request("127.0.0.1", 6379, "", TCP_PATIENCE) {
                Ok(_) if self.arguments.iter().any(|a| a.eq_ignore_ascii_case("ping")) => {
                    Ran::lines(["PONG"])
                }
                Ok(_) => Ran::lines(["OK"]),
                Err(_) => Ran::error(1, "Could not connect to Redis at 127.0.0.1:6379: Connection refused\n"),
            },
            "pg_isready" => match self.surroundings.network.request("127.0.0.1", 5432, "", TCP_PATIENCE) {
                Ok(_) => Ran::lines(["/var/run/postgresql:5432 - accepting connections"]),
                Err(_) => Ran { status: 2, ..Ran::lines(["/var/run/postgresql:5432 - no response"]) },
            },
            "mysqladmin" | "mysql" => {
                match self.surroundings.network.request("127.0.0.1", 3306, "", TCP_PATIENCE) {
                    Ok(_) => Ran::lines(["mysqld is alive"]),
                    Err(_) => Ran::error(1, "mysqladmin: connect to server at 'localhost' failed\n"),
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

    /// `ip addr`, `ip route`, `ip neigh`, and their abbreviations.
    fn ip(&mut self) -> Ran {
        let network = self.surroundings.network;
        let object = self.operands(&[]).first().copied().unwrap_or("");
        let is = |name: &str| !object.is_empty() && name.starts_with(object);
        if is("address") || is("link") {
            Ran::text(network.interfaces())
        } else if is("route") {
            Ran::text(network.routes())
        } else if is("neighbour") || is("neighbor") {
            Ran::text(network.neighbours())
        } else if object.is_empty() {
            Ran::error(255, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n")
        } else {
            Ran::error(1, format!("Object \"{object}\" is unknown, try \"ip help\".\n"))
        }
    }

    /// `iptables-save`, and `iptables -S`: rules are read here, and written by kube-proxy only.
    fn iptables(&mut self) -> Ran {
        let table = match self.option("-t") {
            None => None,
            Some(name) => match TABLES.into_iter().find(|table| table.name() == name) {
                Some(table) => Some(table),
                None => return Ran::error(2, format!("iptables: table {name}: does not exist\n")),
            },
        };
        if self.name == "iptables-save" {
            return Ran::text(self.surroundings.network.rules(table));
        }
        if !self.arguments.iter().any(|argument| matches!(*argument, "-S" | "--list-rules")) {
            return Ran::error(
                2,
                "iptables: only -S is simulated here: rules are shown as iptables-save writes them\n",
            );
        }
        let rules = self.surroundings.network.rules(Some(table.unwrap_or(Table::Filter)));
        let chain = self.option("-S").filter(|chain| !chain.starts_with('-'));
        let lines = rules.lines().filter_map(|line| match line.strip_prefix(':') {
            Some(rest) => {
                let (name, rest) = rest.split_once(' ')?;
                let is_own = rest.starts_with('-');
                Some(if is_own { format!("-N {name}") } else { format!("-P {name} ACCEPT") })
            }
            None => line.starts_with("-A ").then(|| line.to_string()),
        });
        Ran::lines(lines.filter(|line| chain.is_none_or(|chain| line.split(' ').nth(1) == Some(chain))))
    }

    fn ping(&mut self, host: &str, address: &str) -> Ran {
        let patience = self.patience(&["-W", "-w"], 10);
        let head = format!("PING {host} ({address}): 56 data bytes\n");
        let tail = format!("\n--- {host} ping statistics ---\n1 packets transmitted, ");
        match self.surroundings.network.request(address, 0, "", patience) {
            Ok(_) => Ran::text(format!(
                "{head}64 bytes from {address}: seq=0 ttl=64 time=0.085 ms\n{tail}1 packets received, 0% packet loss\nround-trip min/avg/max = 0.085/0.085/0.085 ms\n"
            )),
            Err(_) => {
                Ran { status: 1, ..Ran::text(format!("{head}{tail}0 packets received, 100% packet loss\n")) }
            }
        }
    }

    fn fetch(&mut self) -> Ran {
        let is_curl = self.name == "curl";
        let operands = self.operands(&[
            "-O",
            "-o",
            "-T",
            "-t",
            "-H",
            "-X",
            "-d",
            "--timeout",
            "--max-time",
            "-m",
            "-w",
            "--connect-timeout",
        ]);
        let Some(url) = operands.first().copied() else {
            return Ran::error(1, format!("{}: missing URL\n", self.name));
        };
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url);
        let default_port = if url.starts_with("https://") { 443 } else { 80 };
        let (authority, path) =
            rest.split_once('/').map_or((rest, "/".to_string()), |(a, p)| (a, format!("/{p}")));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(default_port)),
            None => (authority, default_port),
        };
        let Some(address) = self.surroundings.network.resolve(host) else {
            return if is_curl {
                Ran::error(6, format!("curl: (6) Could not resolve host: {host}\n"))
            } else {
                Ran::error(1, format!("wget: bad address '{authority}'\n"))
            };
        };
        let patience =
            self.patience(&["-T", "--timeout", "-m", "--max-time", "--connect-timeout"], TCP_PATIENCE);
        match self.surroundings.network.request(&address, port, &path, patience) {
            Ok((status, _)) if status >= 400 && !is_curl => Ran::error(
                1,
                format!(
                    "Connecting to {authority} ({address}:{port})\nwget: server returned error: HTTP/1.1 {status}\n"
                ),
            ),
            Ok((status, body)) => {
                if is_curl && status >= 400 && self.flags().contains('f') {
                    return Ran::error(
                        22,
                        format!("curl: (22) The requested URL returned error: {status}\n"),
                    );
                }
                let is_printed = is_curl
                    || self.arguments.iter().any(|a| a.contains("O-") || *a == "-")
                    || self.flags().contains("O-");
                match (is_printed, self.option("-O").filter(|file| *file != "-")) {
                    (false, file) => {
                        let file = file.unwrap_or_else(|| {
                            path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("index.html")
                        });
                        let target = self.path(file);
                        let _ = self.surroundings.files.write(&target, &body, false);
                        Ran::error(
                            0,
                            format!("Connecting to {authority} ({address}:{port})\nsaving to '{file}'\n"),
                        )
                    }
                    _ => Ran::text(body.as_str()),
                }
            }
            Err("Connection timed out") if is_curl => {
                let milliseconds = patience * 1000 + 1;
                let words = format!(
                    "curl: (28) Failed to connect to {host} port {port} after {milliseconds} ms: Timeout was reached\n"
                );
                Ran::error(28, words)
            }
            Err("Connection timed out") if patience != TCP_PATIENCE => {
                Ran::error(1, "wget: download timed out\n")
            }
            Err(error) if is_curl => {
                Ran::error(7, format!("curl: (7) Failed to connect to {host} port {port}: {error}\n"))
            }
            Err(error) => Ran::error(1, format!("wget: can't connect to remote host ({address}): {error}\n")),
        }
    }
}
