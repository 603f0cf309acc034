//! Tools that only a node has: `systemctl`, `journalctl`, `ss`, its `ps`.
//!
//! Picture to hold in mind: the switches and meters on the machine room's wall.

use std::sync::Arc;

use crate::api::Text;
use crate::shell::date;
use crate::shell::system::Outcome;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::super::container::Container;
use super::super::host::{CONTAINERD, KUBELET, UNITS, Units, process_id};
use super::super::sandbox::Sandbox;
use super::tools::{fails, lines, status, text};

/// The node around its own commands.
pub struct Node<'a> {
    pub units: &'a mut Units,
    pub sandboxes: &'a SortedMap<Text, Arc<Sandbox>>,
    pub containers: &'a SortedMap<Text, Arc<Container>>,
    pub name: &'a str,
    pub now: Time,
}

/// Tools of nodes besides those of containers.
pub const TOOLS: [&str; 4] = ["bridge", "journalctl", "ss", "systemctl"];

const SERVICE_FOLDER: &str = "/usr/lib/systemd/system";

fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}min {}s ago", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}min ago", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

impl Node<'_> {
    /// Runs a tool of the node; `None`: it is none.
    pub fn run(&mut self, name: &str, arguments: &[&str]) -> Option<Outcome> {
        Some(match name {
            "systemctl" => self.systemctl(arguments),
            "journalctl" => self.journalctl(arguments),
            "ps" => self.ps(arguments),
            "ss" => self.ss(arguments),
            _ => return None,
        })
    }

    fn main_process(&self, unit: usize) -> u64 {
        // A service that is started again is another process.
        700 + unit as u64 * 40 + self.units.all[unit].since.as_secs() % 400
    }

    fn systemctl(&mut self, arguments: &[&str]) -> Outcome {
        let mut words = arguments.iter().filter(|word| !word.starts_with('-'));
        let verb = words.next().copied().unwrap_or("");
        let mut out = Outcome::default();
        if matches!(verb, "daemon-reload" | "reset-failed") {
            return out;
        }
        for word in words {
            let name = word.trim_end_matches(".service");
            let Some(unit) = UNITS.iter().position(|(known, _)| *known == name) else {
                match verb {
                    "status" => out.fail(4, format!("Unit {name}.service could not be found.")),
                    "is-active" => {
                        out.line("inactive");
                        out.status = 4;
                    }
                    _ => out
                        .fail(5, format!("Failed to {verb} {name}.service: Unit {name}.service not found.")),
                }
                continue;
            };
            match verb {
                "status" => self.unit_status(unit, &mut out),
                "is-active" => {
                    let is_active = self.units.all[unit].is_active;
                    out.line(if is_active { "active" } else { "inactive" });
                    out.status = if is_active { 0 } else { 3 };
                }
                "start" => self.units.order(unit, true, self.now),
                "stop" => self.units.order(unit, false, self.now),
                "restart" | "reload-or-restart" => {
                    self.units.order(unit, false, self.now);
                    self.units.order(unit, true, self.now);
                }
                "enable" | "disable" | "reload" => {}
                _ => out.fail(1, format!("Unknown command verb '{verb}'.")),
            }
        }
        out
    }

    fn unit_status(&self, unit: usize, out: &mut Outcome) {
        let (name, about) = UNITS[unit];
        let state = self.units.all[unit];
        let (dot, word) =
            if state.is_active { ("●", "active (running)") } else { ("○", "inactive (dead)") };
        out.line(format!("{dot} {name}.service - {about}"));
        out.line(format!("     Loaded: loaded ({SERVICE_FOLDER}/{name}.service; enabled; preset: enabled)"));
        if unit == KUBELET {
            out.line(format!(
                "    Drop-In: {SERVICE_FOLDER}/kubelet.service.d\n             └─10-kubeadm.conf"
            ));
        }
        let since = date::format(state.since, "%a %Y-%m-%d %H:%M:%S UTC");
        out.line(format!("     Active: {word} since {since}; {}", ago(self.now.since(state.since))));
        out.line(if unit == KUBELET {
            "       Docs: https://kubernetes.io/docs/"
        } else {
            "       Docs: https://containerd.io"
        });
        if state.is_active {
            out.line(format!("   Main PID: {} ({name})", self.main_process(unit)));
        }
        let journal = self.journal(Some(unit));
        if !journal.is_empty() {
            out.line("");
            journal[journal.len().saturating_sub(10)..].iter().for_each(|line| out.line(line));
        }
        if !state.is_active {
            out.status = 3;
        }
    }

    /// What systemd has to say of a service, oldest first.
    fn journal(&self, wanted: Option<usize>) -> Vec<String> {
        let own =
            self.units.journal.iter().filter(|(_, unit, _)| wanted.is_none_or(|wanted| wanted == *unit));
        own.map(|(time, _, line)| {
            let time = date::format(*time, "%b %d %H:%M:%S");
            [&time, " ", self.name, " systemd[1]: ", line].concat()
        })
        .collect()
    }

    fn journalctl(&self, arguments: &[&str]) -> Outcome {
        let value = |names: [&str; 2]| {
            let at = arguments.iter().position(|word| names.contains(word));
            let glued = || {
                arguments.iter().find_map(|word| {
                    word.strip_prefix(names[0]).filter(|rest| !rest.is_empty() && !word.starts_with("--"))
                })
            };
            at.and_then(|at| arguments.get(at + 1).copied()).or_else(glued)
        };
        let unit = value(["-u", "--unit"]).map(|name| name.trim_end_matches(".service"));
        let wanted = unit.map(|name| UNITS.iter().position(|(known, _)| *known == name));
        let found = match wanted {
            Some(None) => Vec::new(),
            Some(unit) => self.journal(unit),
            None => self.journal(None),
        };
        if found.is_empty() {
            return text("-- No entries --\n");
        }
        let tail = value(["-n", "--lines"]).and_then(|count| count.parse().ok()).unwrap_or(found.len());
        lines(&found[found.len().saturating_sub(tail)..])
    }

    fn ps(&self, arguments: &[&str]) -> Outcome {
        if arguments.is_empty() {
            return text(
                "    PID TTY          TIME CMD\n   4711 pts/0    00:00:00 bash\n   4712 pts/0    00:00:00 ps\n",
            );
        }
        let mut rows: Vec<(u64, u64, Time, String)> = vec![(1, 0, Time::ZERO, "/sbin/init".into())];
        let command = |unit: usize| match unit {
            KUBELET => {
                "/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml"
            }
            _ => "/usr/bin/containerd",
        };
        for unit in [CONTAINERD, KUBELET] {
            let state = self.units.all[unit];
            if state.is_active {
                rows.push((self.main_process(unit), 1, state.since, command(unit).into()));
            }
        }
        for sandbox in self.sandboxes.values().filter(|one| one.is_ready()) {
            let (shim, id) = (process_id(&sandbox.id), &sandbox.id);
            let shim_command = format!(
                "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id {id} -address /run/containerd/containerd.sock"
            );
            rows.push((shim, 1, sandbox.created_at, shim_command));
            rows.push((shim + 1, shim, sandbox.created_at, "/pause".into()));
            let own = self.containers.values().filter(|one| one.sandbox == *id);
            for container in own {
                if let Some(started) = container.started_at() {
                    let words: Vec<String> = container.arguments().iter().map(ToString::to_string).collect();
                    rows.push((process_id(&container.id), shim, started, words.join(" ")));
                }
            }
        }
        use crate::arrange::Arrange;
        rows.arrange_by_key(|(id, ..)| *id);
        let mut out = Outcome::default();
        out.line("UID          PID    PPID  C STIME TTY          TIME CMD");
        for (id, parent, since, command) in rows {
            let start = date::format(since, "%H:%M");
            out.line(format!("root     {id:>7} {parent:>7}  0 {start} ?        00:00:00 {command}"));
        }
        out
    }

    /// Who listens on the node's own addresses.
    fn ss(&self, arguments: &[&str]) -> Outcome {
        let flags: String = arguments.iter().filter_map(|word| word.strip_prefix('-')).collect();
        if !flags.contains('l') {
            return text("State Recv-Q Send-Q Local Address:Port Peer Address:PortProcess\n");
        }
        let mut rows = vec![("0.0.0.0:22".to_string(), "0.0.0.0:*", "sshd".to_string(), 650)];
        if self.units.all[KUBELET].is_active {
            let id = self.main_process(KUBELET);
            rows.push(("127.0.0.1:10248".into(), "0.0.0.0:*", "kubelet".into(), id));
            rows.push(("*:10250".into(), "*:*", "kubelet".into(), id));
        }
        for container in self.containers.values() {
            let is_hosts = self.sandboxes.get(&container.sandbox).is_some_and(|one| one.config.host_network);
            let Some((server, from)) = container.server.as_ref().filter(|_| is_hosts) else { continue };
            let declared = container
                .config
                .spec
                .items("ports")
                .iter()
                .filter_map(|port| u16::try_from(port.integer("containerPort")?).ok());
            let ports = if server.ports.is_empty() { declared.collect() } else { server.ports.clone() };
            for port in ports.into_iter().filter(|_| *from <= self.now) {
                rows.push((format!("*:{port}"), "*:*", server.name.to_string(), process_id(&container.id)));
            }
        }
        let mut out = Outcome::default();
        out.line(format!("State  Recv-Q Send-Q {:>18}  Peer Address:PortProcess", "Local Address:Port"));
        for (local, peer, name, id) in rows {
            let process = if flags.contains('p') {
                format!("users:((\"{name}\",pid={id},fd=3))")
            } else {
                String::new()
            };
            out.line(format!("LISTEN 0      4096   {local:>18} {peer:>18}{process}"));
        }
        out
    }

    /// `ip link delete NAME`.
    pub fn delete_link(&mut self, bridge: Option<&str>, name: &str) -> Outcome {
        if bridge != Some(name) {
            return fails(1, format!("Cannot find device \"{name}\"\n"));
        }
        self.units.has_lost_bridge = true;
        status(0)
    }
}
