//! The process model: what the programs of well-known images do.
//!
//! Picture to hold in mind: a playbill. For every program that is on it, it says how long it takes to get
//! ready, on which ports it listens, what it prints, how it leaves when it is asked to (SIGTERM), and how much
//! memory it takes. A program that is not on it is taken for a server that listens on whatever the container
//! declares.

use crate::api::Text;
use crate::sim::Duration;

/// A program that runs until it is killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: Text,
    /// Empty: the ports that the container declares.
    pub ports: Vec<u16>,
    /// Until it listens.
    pub startup: Duration,
    pub banner: Vec<Text>,
    pub on_term: OnTerm,
    pub http: Http,
    pub memory: Memory,
    /// Thousandths of a CPU that it would take if it could.
    pub cpu_milli: u32,
}

/// What SIGTERM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerm {
    /// The program leaves after a while, with this exit code.
    Exit { after: Duration, code: i32 },
    /// As the first process of its namespace it has no handler, so the kernel does not deliver the signal.
    Ignore,
}

/// How a port answers an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// 200 to every path.
    Anything,
    /// Files below a directory: `/` is `index.html`, which the image itself has; others are 404.
    Files { root: &'static str, index: &'static str },
    /// It does not speak HTTP.
    No,
}

/// How memory use develops: bytes at the start, then steps up to a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub initial_bytes: u64,
    pub step_bytes: u64,
    pub step_interval: Duration,
    pub total_bytes: u64,
}

impl Memory {
    pub fn constant(bytes: u64) -> Memory {
        Memory { initial_bytes: bytes, step_bytes: 0, step_interval: Duration::ZERO, total_bytes: bytes }
    }
    /// Bytes in use when the program has run for `age`.
    pub fn at(&self, age: Duration) -> u64 {
        if self.step_interval == Duration::ZERO || self.step_bytes == 0 {
            return self.total_bytes;
        }
        let steps = age.0 / self.step_interval.0;
        self.initial_bytes.saturating_add(steps.saturating_mul(self.step_bytes)).min(self.total_bytes)
    }
    /// How old the program is when it first uses more than `limit`; `None`: never.
    pub fn exceeds_after(&self, limit: u64) -> Option<Duration> {
        if self.total_bytes <= limit {
            return None;
        }
        if self.step_interval == Duration::ZERO || self.step_bytes == 0 || self.initial_bytes > limit {
            return Some(Duration::ZERO);
        }
        let steps = (limit - self.initial_bytes) / self.step_bytes + 1;
        Some(self.step_interval.saturating_mul(steps))
    }
}

const MIB: u64 = 1024 * 1024;
const LEAVES_AT_ONCE: OnTerm = OnTerm::Exit { after: Duration::from_millis(300), code: 0 };

impl Server {
    fn base(name: &str) -> Server {
        Server {
            name: name.into(),
            ports: Vec::new(),
            startup: Duration::from_millis(200),
            banner: Vec::new(),
            on_term: LEAVES_AT_ONCE,
            http: Http::Anything,
            memory: Memory::constant(8 * MIB),
            cpu_milli: 1,
        }
    }
    /// A program that nothing is known about.
    pub fn unknown(name: &str) -> Server {
        let on_term = if matches!(name, "tail" | "yes" | "top") { OnTerm::Ignore } else { LEAVES_AT_ONCE };
        Server { on_term, ..Server::base(name) }
    }
    pub fn on_port(name: &str, port: u16) -> Server {
        Server { ports: vec![port], http: Http::No, on_term: OnTerm::Ignore, ..Server::base(name) }
    }
}

/// The server that `name` with these arguments is; `None`: it is not on the playbill.
pub fn server(name: &str, arguments: &[&str]) -> Option<Server> {
    let base = Server::base(name);
    let lines = |lines: &[&str]| lines.iter().map(|line| Text::from(*line)).collect();
    let option = |names: &[&str], default: u16| -> u16 {
        let value = arguments.windows(2).find(|pair| names.contains(&pair[0])).map(|pair| pair[1]);
        let joined = arguments
            .iter()
            .find_map(|a| names.iter().find_map(|name| a.strip_prefix(name)?.strip_prefix('=')));
        value.or(joined).and_then(|port| port.trim_start_matches(':').parse().ok()).unwrap_or(default)
    };
    Some(match name {
        "nginx" => Server {
            ports: vec![80],
            banner: lines(&[
                "/docker-entrypoint.sh: /docker-entrypoint.d/ is not empty, will attempt to perform configuration",
                "/docker-entrypoint.sh: Looking for shell scripts in /docker-entrypoint.d/",
                "/docker-entrypoint.sh: Configuration complete; ready for start up",
                "[notice] 1#1: using the \"epoll\" event method",
                "[notice] 1#1: start worker processes",
            ]),
            http: Http::Files {
                root: "/usr/share/nginx/html",
                index: "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n<h1>Welcome to nginx!</h1>\n</body>\n</html>\n",
            },
            on_term: OnTerm::Exit { after: Duration::from_millis(100), code: 0 },
            memory: Memory::constant(6 * MIB),
            ..base
        },
        "httpd-foreground" | "apache2-foreground" | "apachectl" => Server {
            ports: vec![80],
            banner: lines(&[
                "AH00558: httpd: Could not reliably determine the server's fully qualified domain name",
                "[mpm_event:notice] [pid 1:tid 1] AH00489: Apache/2.4.65 (Unix) configured -- resuming normal operations",
                "[core:notice] [pid 1:tid 1] AH00094: Command line: 'httpd -D FOREGROUND'",
            ]),
            http: Http::Files {
                root: "/usr/local/apache2/htdocs",
                index: "<html><body><h1>It works!</h1></body></html>\n",
            },
            memory: Memory::constant(20 * MIB),
            ..base
        },
        // BusyBox's little server stays in the background unless told otherwise.
        "httpd" => Server { ports: vec![option(&["-p"], 80)], ..base },
        "redis-server" | "valkey-server" => Server {
            ports: vec![option(&["--port"], 6379)],
            banner: lines(&[
                "1:C * oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo",
                "1:M * Running mode=standalone, port=6379.",
                "1:M * Server initialized",
                "1:M * Ready to accept connections tcp",
            ]),
            http: Http::No,
            memory: Memory::constant(10 * MIB),
            ..base
        },
        "memcached" => Server { ports: vec![11211], http: Http::No, ..base },
        "postgres" => Server {
            ports: vec![5432],
            startup: Duration::from_millis(2500),
            banner: lines(&[
                "PostgreSQL init process complete; ready for start up.",
                "LOG:  starting PostgreSQL on x86_64-pc-linux-gnu",
                "LOG:  listening on IPv4 address \"0.0.0.0\", port 5432",
                "LOG:  database system is ready to accept connections",
            ]),
            http: Http::No,
            on_term: OnTerm::Exit { after: Duration::from_millis(500), code: 0 },
            memory: Memory::constant(40 * MIB),
            ..base
        },
        "mysqld" | "mariadbd" => Server {
            ports: vec![3306],
            startup: Duration::from_secs(8),
            banner: lines(&[
                "[Note] [Entrypoint]: Entrypoint script for MySQL Server started.",
                "[System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. port: 3306",
            ]),
            http: Http::No,
            on_term: OnTerm::Exit { after: Duration::from_secs(1), code: 0 },
            memory: Memory::constant(350 * MIB),
            ..base
        },
        "mongod" => Server {
            ports: vec![27017],
            startup: Duration::from_secs(2),
            http: Http::No,
            memory: Memory::constant(80 * MIB),
            ..base
        },
        "rabbitmq-server" => Server {
            ports: vec![5672],
            startup: Duration::from_secs(8),
            http: Http::No,
            memory: Memory::constant(110 * MIB),
            ..base
        },
        "etcd" => Server {
            ports: vec![2379, 2380, 2381],
            memory: Memory::constant(50 * MIB),
            cpu_milli: 25,
            ..base
        },
        "kube-apiserver" => Server {
            ports: vec![option(&["--secure-port"], 6443)],
            startup: Duration::from_secs(2),
            memory: Memory::constant(280 * MIB),
            cpu_milli: 60,
            ..base
        },
        "kube-controller-manager" => Server {
            ports: vec![10257],
            startup: Duration::from_secs(1),
            memory: Memory::constant(60 * MIB),
            cpu_milli: 20,
            ..base
        },
        "kube-scheduler" => Server {
            ports: vec![10259],
            startup: Duration::from_secs(1),
            memory: Memory::constant(30 * MIB),
            cpu_milli: 5,
            ..base
        },
        "kube-proxy" => Server {
            ports: vec![10249, 10256],
            memory: Memory::constant(25 * MIB),
            on_term: OnTerm::Exit { after: Duration::from_millis(100), code: 2 },
            ..base
        },
        "coredns" => Server {
            ports: vec![53, 8080, 8181, 9153],
            startup: Duration::from_millis(400),
            on_term: OnTerm::Exit { after: Duration::from_secs(5), code: 0 },
            memory: Memory::constant(15 * MIB),
            ..base
        },
        // Until it has read its first configuration there is nothing but its status.
        "nginx-ingress-controller" => Server {
            ports: vec![10246],
            banner: lines(&[
                "NGINX Ingress controller",
                "  Release:       v1.13.3",
                "  Repository:    https://github.com/kubernetes/ingress-nginx",
                "  nginx version: nginx/1.27.1",
            ]),
            memory: Memory::constant(90 * MIB),
            ..base
        },
        // It listens to the kernel only.
        "flanneld" => Server { http: Http::No, memory: Memory::constant(20 * MIB), ..base },
        // BIRD, and Felix' health.
        "start_runit" => {
            Server { ports: vec![179, 9099], memory: Memory::constant(120 * MIB), cpu_milli: 15, ..base }
        }
        // The load generator of the course: allocates in chunks.
        "stress" | "stress-ng" => stress(base, arguments),
        "node" | "npm" | "yarn" => Server {
            startup: Duration::from_millis(800),
            on_term: OnTerm::Ignore,
            memory: Memory::constant(50 * MIB),
            ..base
        },
        "java" => Server {
            startup: Duration::from_secs(5),
            on_term: OnTerm::Exit { after: Duration::from_secs(1), code: 143 },
            memory: Memory::constant(220 * MIB),
            cpu_milli: 10,
            ..base
        },
        "python" | "python3" | "gunicorn" | "uvicorn" => {
            if arguments.contains(&"http.server") {
                let port = arguments.iter().rev().find_map(|argument| argument.parse().ok()).unwrap_or(8000);
                let banner =
                    vec![arcstr::format!("Serving HTTP on 0.0.0.0 port {port} (http://0.0.0.0:{port}/) ...")];
                Server { ports: vec![port], banner, on_term: OnTerm::Ignore, http: Http::Anything, ..base }
            } else if arguments.is_empty() {
                return None;
            } else {
                Server {
                    startup: Duration::from_millis(600),
                    on_term: OnTerm::Ignore,
                    memory: Memory::constant(30 * MIB),
                    ..base
                }
            }
        }
        "pause" | "/pause" => Server {
            http: Http::No,
            memory: Memory::constant(MIB / 2),
            on_term: OnTerm::Exit { after: Duration::from_millis(10), code: 0 },
            ..base
        },
        "agnhost" | "serve-hostname" | "netexec" => {
            Server { ports: vec![option(&["--http-port"], 8080)], ..base }
        }
        _ => return None,
    })
}

/// `stress -cpus 2 -mem-total 950Mi -mem-alloc-size 100Mi -mem-alloc-sleep 1s` (vish/stress), and the other
/// `stress --cpu 1 --vm 1 --vm-bytes 250M` (polinux/stress).
fn stress(base: Server, arguments: &[&str]) -> Server {
    let option =
        |names: &[&str]| arguments.windows(2).find(|pair| names.contains(&pair[0])).map(|pair| pair[1]);
    let cpus = option(&["-cpus", "--cpu", "-c"]).and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    let total = option(&["-mem-total", "--vm-bytes"]).and_then(bytes).unwrap_or(0);
    let chunk = option(&["-mem-alloc-size"]).and_then(bytes).unwrap_or(4096);
    let pause = option(&["-mem-alloc-sleep"]).unwrap_or("1ms");
    let pause = match pause.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().unwrap_or(1)),
        None => Duration::from_secs(pause.trim_end_matches('s').parse().unwrap_or(1)),
    };
    let shown = option(&["-mem-total"]).unwrap_or("0");
    let chunk_shown = option(&["-mem-alloc-size"]).unwrap_or("4Ki");
    let pause_shown = option(&["-mem-alloc-sleep"]).unwrap_or("1ms");
    let mut banner = Vec::new();
    if arguments.iter().any(|argument| argument.starts_with("--vm")) {
        banner.push(arcstr::format!("stress: info: [1] dispatching hogs: {cpus} cpu, 0 io, 1 vm, 0 hdd"));
    } else {
        banner.push(arcstr::format!(
            "main.go:26] Allocating \"{shown}\" memory, in \"{chunk_shown}\" chunks, with a {pause_shown} sleep between allocations"
        ));
        banner.extend((0..cpus).map(|_| Text::from("main.go:39] Spawning a thread to consume CPU")));
        if total == 0 {
            banner.push("main.go:29] Allocated \"0\" memory".into());
        }
    }
    let is_at_once = arguments.iter().any(|argument| argument.starts_with("--vm"));
    let memory = Memory {
        initial_bytes: MIB,
        step_bytes: if is_at_once { total } else { chunk },
        step_interval: if is_at_once { Duration::from_millis(500) } else { pause },
        total_bytes: total + MIB,
    };
    Server {
        startup: Duration::from_millis(20),
        banner,
        on_term: OnTerm::Exit { after: Duration::from_millis(10), code: 2 },
        http: Http::No,
        memory,
        cpu_milli: cpus * 1000 + 1,
        ..base
    }
}

/// `950Mi`, `250M`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    // stress(1) writes K, M and G for binary units, which quantities do not; the difference is of no consequence.
    let text = text.trim_end_matches(['B', 'b']);
    crate::api::quantity::Quantity::parse(text).ok().and_then(|quantity| u64::try_from(quantity.value()).ok())
}

/// Pi to `digits` decimals, as `perl -Mbignum=bpi -wle 'print bpi(2000)'` prints it: a spigot algorithm over
/// whole numbers.
pub fn pi(digits: usize) -> String {
    let digits = digits.min(5000);
    let length = digits * 10 / 3 + 2;
    let mut remainders = vec![2u64; length];
    let mut out = String::new();
    let (mut held, mut nines): (Option<u64>, usize) = (None, 0);
    for _ in 0..=digits {
        let mut carry = 0;
        for index in (0..length).rev() {
            let value = remainders[index] * 10 + carry;
            let divisor = if index == 0 { 10 } else { 2 * index as u64 + 1 };
            remainders[index] = value % divisor;
            carry = value / divisor * index as u64;
            if index == 0 {
                carry = value / 10;
            }
        }
        match carry {
            9 => nines += 1,
            10 => {
                out.push_str(&(held.unwrap_or(0) + 1).to_string());
                out.extend(std::iter::repeat_n('0', nines));
                (held, nines) = (Some(0), 0);
            }
            digit => {
                if let Some(held) = held {
                    out.push_str(&held.to_string());
                }
                out.extend(std::iter::repeat_n('9', nines));
                (held, nines) = (Some(digit), 0);
            }
        }
    }
    if let Some(held) = held {
        out.push_str(&held.to_string());
    }
    out.truncate(digits);
    if out.len() > 1 {
        out.insert(1, '.');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_of_pi_are_right() {
        assert_eq!(pi(50), "3.1415926535897932384626433832795028841971693993751");
    }

    #[test]
    fn memory_grows_until_it_hits_the_limit() {
        let arguments =
            ["-cpus", "2", "-mem-total", "950Mi", "-mem-alloc-size", "100Mi", "-mem-alloc-sleep", "1s"];
        let hog = server("stress", &arguments).unwrap();
        assert_eq!(hog.cpu_milli, 2001);
        assert_eq!(hog.memory.exceeds_after(4096 * MIB), None);
        assert_eq!(hog.memory.exceeds_after(500 * MIB), Some(Duration::from_secs(5)));
        assert_eq!(hog.memory.at(Duration::from_secs(3)), 301 * MIB);
        assert_eq!(hog.memory.at(Duration::from_secs(300)), 951 * MIB);
    }
}
