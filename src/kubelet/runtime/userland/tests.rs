//! Scripts and what they print, with the second at which they print it.

use crate::api::Text;
use crate::message::cri::{DnsConfig, Mount, MountSource};
use crate::network::dns;
use crate::sim::Time;

use crate::shell::machine::{Machine, Output, Surroundings};

use super::super::files::{Directory, Disk, View};
use super::{Reach, Userland, process, server};

struct Wires;

impl Reach for Wires {
    fn resolver(&self) -> &DnsConfig {
        static RESOLVER: std::sync::LazyLock<DnsConfig> = std::sync::LazyLock::new(|| DnsConfig {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["default.svc.cluster.local".into(), "svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        });
        &RESOLVER
    }
    fn hosts_entry(&self, name: &str) -> Option<Text> {
        (name == "localhost").then(|| "127.0.0.1".into())
    }
    fn query(&self, _: &str, kind: dns::Kind, name: &str) -> Result<dns::Answer, &'static str> {
        use dns::{Failure, Kind, Record};
        let target = "web.default.svc.cluster.local.".to_string();
        Ok(match (kind, name) {
            (Kind::Address, "web.default.svc.cluster.local.") => {
                Ok((30, vec![Record::Address([10, 96, 0, 5].into())]))
            }
            (Kind::Service, "web.default.svc.cluster.local.") => {
                Ok((30, vec![Record::Service { port: 80, target }]))
            }
            (Kind::Address, "alias.svc.cluster.local.") => {
                Ok((30, vec![Record::Alias(target), Record::Address([10, 96, 0, 5].into())]))
            }
            (_, "broken.default.svc.cluster.local.") => Err(Failure::ServerFailure),
            (_, "empty.default.svc.cluster.local.") => Ok((30, Vec::new())),
            (_, name) if name.starts_with("dead.") => return Err("Connection timed out"),
            _ => Err(Failure::NoSuchName),
        })
    }
    fn request(
        &self,
        _: &str,
        port: u16,
        (_, path): (&str, &str),
        _: u64,
    ) -> Result<(u16, Text), &'static str> {
        match (port, path) {
            (80, "/missing") => Ok((404, "not found".into())),
            (80, _) => Ok((200, "welcome\n".into())),
            _ => Err("Connection refused"),
        }
    }
    fn interfaces(&self, _is_detailed: bool) -> String {
        String::new()
    }
    fn routes(&self) -> String {
        String::new()
    }
}

/// How a script stands when nobody looks any longer.
#[derive(Debug, PartialEq)]
enum State {
    Exited(i32),
    Sleeping { until: Time },
    Serving(Text),
    Waiting,
}

fn state(machine: &Machine) -> State {
    match (machine.status(), server(machine), machine.wake()) {
        (Some(status), ..) => State::Exited(status),
        (None, Some(server), _) => State::Serving(server.name.clone()),
        (None, None, Some(until)) => State::Sleeping { until },
        (None, None, None) => State::Waiting,
    }
}

/// Runs a script for at most `seconds`: lines as `second text`, and how it ended.
fn run(script: &str, seconds: u64, term_at: Option<u64>) -> (String, State) {
    let (mut disk, mut layer, uid) = (Disk::default(), Directory::default(), Text::from("uid"));
    disk.write_volume(
        &uid,
        &"conf".into(),
        &[("app.conf".into(), "a=1\nb=2\n".into()), ("run.sh".into(), "echo run $1\n".into())],
    );
    let mounts = [Mount {
        container_path: "/conf".into(),
        source: MountSource::Pod { volume: "conf".into() },
        sub_path: Text::new(),
        read_only: true,
    }];
    let environment = [("NAME".into(), "world".into())];
    let arguments = ["sh".into(), "-c".into(), script.into()];
    let mut machine = process(&arguments, &environment, "/", "");
    let mut text = String::new();
    let (mut now, mut partial) = (Time::ZERO, String::new());
    let mut term_at = term_at.map(Time::from_secs);
    loop {
        let files = View {
            disk: &mut disk,
            layer: &mut layer,
            mounts: &mounts,
            pod_uid: &uid,
            hostname: "pod-1",
            shown: None,
            container: None,
        };
        let mut userland = Userland {
            files,
            processes: &["sh".into()],
            has_only_known_programs: true,
            is_minimal: false,
            programs: &[],
            network: &Wires,
            node: None,
        };
        let mut surroundings = Surroundings {
            now,
            system: &mut userland,
            etcd: Default::default(),
            random: &mut crate::sim::Random::stream(1, "shell"),
            output: Output::new(),
            effects: Vec::new(),
        };
        machine.run(&mut surroundings);
        for (on_error, piece) in surroundings.output {
            partial += &piece;
            while let Some(end) = partial.find('\n') {
                let mark = if on_error { "!" } else { "" };
                text += &format!("{}{mark} {}\n", now.as_secs(), &partial[..end]);
                partial.drain(..=end);
            }
        }
        let next = [machine.wake(), term_at].into_iter().flatten().min();
        match next {
            Some(next) if machine.is_running() && next <= Time::from_secs(seconds) => now = next.max(now),
            _ => break,
        }
        if term_at.is_some_and(|at| at <= now) {
            term_at = None;
            machine.signal("TERM");
        }
    }
    (text, state(&machine))
}

#[test]
fn scripts_print_what_a_shell_prints() {
    // (script, output, exit status)
    let cases: &[(&str, &str, i32)] = &[
        ("echo hello $NAME", "0 hello world\n", 0),
        ("echo one; sleep 2; echo two; exit 42", "0 one\n2 two\n", 42),
        ("echo started > /tmp/started && cat /tmp/started", "0 started\n", 0),
        ("cat /nowhere", "0! cat: can't open '/nowhere': No such file or directory\n", 1),
        ("false || echo rescued", "0 rescued\n", 0),
        ("false && echo never", "", 1),
        ("! true", "", 1),
        ("if test -f /conf/app.conf; then echo yes; else echo no; fi", "0 yes\n", 0),
        ("if [ \"$NAME\" = moon ]; then echo moon; elif [ $NAME = world ]; then echo w; fi", "0 w\n", 0),
        ("for i in 1 2 3; do echo $i; sleep 1; done", "0 1\n1 2\n2 3\n", 0),
        (
            "for i in $(seq 1 5); do if [ $i = 2 ]; then continue; fi; if [ $i = 4 ]; then break; fi; echo $i; done",
            "0 1\n0 3\n",
            0,
        ),
        ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); echo \"n=$i\"; done", "0 n=1\n0 n=2\n0 n=3\n", 0),
        ("n=0; until [ $n -ge 2 ]; do n=$((n + 1)); sleep 5; done; echo done", "10 done\n", 0),
        ("case $NAME in w*) echo starts;; *) echo other;; esac", "0 starts\n", 0),
        ("greet() { echo \"hi $1\"; return 3; }; greet you; echo $?", "0 hi you\n0 3\n", 0),
        ("echo a b c | wc -w", "0 3\n", 0),
        ("cat /conf/app.conf | grep b | cut -d= -f2", "0 2\n", 0),
        ("cat /conf/app.conf | while read line; do echo \"[$line]\"; done", "0 [a=1]\n0 [b=2]\n", 0),
        ("(cd /tmp; pwd; exit 7); echo $? $(pwd)", "0 /tmp\n0 7 /\n", 0),
        ("{ echo a; echo b; } > /tmp/f; cat /tmp/f", "0 a\n0 b\n", 0),
        ("echo x > /tmp/f; echo y >> /tmp/f; wc -l < /tmp/f", "0 2\n", 0),
        ("echo ${UNSET:-default} ${NAME:+set} ${#NAME}", "0 default set 5\n", 0),
        ("set -e; false; echo never", "", 1),
        ("set -e; false || true; echo still", "0 still\n", 0),
        ("cat <<EOF\nhello $NAME\nEOF\n", "0 hello world\n", 0),
        ("cat <<'EOF'\nhello $NAME\nEOF\n", "0 hello $NAME\n", 0),
        ("echo 'single $NAME' \"double $NAME\" back\\ slash", "0 single $NAME double world back slash\n", 0),
        ("(sleep 3; echo late) & echo early; wait; echo end", "0 early\n3 late\n3 end\n", 0),
        ("sh /conf/run.sh fast; . /conf/run.sh", "0 run fast\n0 run\n", 0),
        ("ls /db/dir", "0! ls: /db/dir: No such file or directory\n", 1),
        ("mkdir -p /db/dir && until ls /db/dir; do sleep 5; done", "", 0),
        ("frobnicate", "0! sh: frobnicate: not found\n", 127),
        ("frobnicate 2>/dev/null || echo absent", "0 absent\n", 0),
        ("until nslookup web > /dev/null; do sleep 2; done; wget -qO- http://web/", "0 welcome\n", 0),
        (
            "wget -qO- http://web/missing",
            "0! Connecting to web (10.96.0.5:80)\n0! wget: server returned error: HTTP/1.1 404\n",
            1,
        ),
        (
            "nslookup alias",
            "0 Server:\t\t10.96.0.10\n0 Address:\t10.96.0.10:53\n0 \n\
             0 ** server can't find alias.default.svc.cluster.local: NXDOMAIN\n0 \n\
             0 alias.svc.cluster.local\tcanonical name = web.default.svc.cluster.local\n\
             0 Name:\tweb.default.svc.cluster.local\n0 Address: 10.96.0.5\n0 \n",
            0,
        ),
        ("nslookup dead", "0 ;; connection timed out; no servers could be reached\n0 \n", 1),
        ("host nobody", "0 Host nobody not found: 3(NXDOMAIN)\n", 1),
        (
            "host -t SRV web",
            "0 web.default.svc.cluster.local has SRV record 0 100 80 web.default.svc.cluster.local.\n",
            0,
        ),
        ("dig +short +search web", "0 10.96.0.5\n", 0),
        ("dig +short web", "", 0),
        ("getent hosts web", "0 10.96.0.5  web\n", 0),
        (
            "curl -s http://dead/ || curl http://dead/",
            "0! curl: (6) Could not resolve host: dead (Timeout while contacting DNS servers)\n",
            6,
        ),
        ("ping -c 1 broken", "0! ping: bad address 'broken'\n", 1),
        ("nc -z empty 80", "0! nc: bad address 'empty'\n", 1),
        ("wget -q -O- http://example.com", "0! wget: bad address 'example.com'\n", 1),
        ("nc -z web 5672", "0! nc: web (10.96.0.5:5672): Connection refused\n", 1),
        ("if then", "0! sh: syntax error: unexpected \"then\"\n", 2),
        ("echo 'open", "0! sh: syntax error: unterminated quoted string\n", 2),
        ("while true; do echo x", "0! sh: syntax error: unexpected end of file (expecting \"done\")\n", 2),
        ("echo > /conf/x", "0! sh: can't create /conf/x: Read-only file system\n", 1),
        ("echo > /no/such/x", "0! sh: can't create /no/such/x: nonexistent directory\n", 1),
        ("exec echo replaced; echo never", "0 replaced\n", 0),
        ("printf '%s-%02d\\n' a 7", "0 a-07\n", 0),
        ("echo to-err >&2", "0! to-err\n", 0),
        ("echo both > /tmp/o 2>&1; cat /tmp/o", "0 both\n", 0),
        ("X=1 Y=$X env | grep -c '^[XY]='", "0 2\n", 0),
        ("timeout 3 sleep 10; echo $?", "3 143\n", 0),
        ("A=\"a  b\"; echo $A; echo \"$A\"", "0 a b\n0 a  b\n", 0),
        ("echo $(echo nested $(echo deep))", "0 nested deep\n", 0),
        ("hostname; echo `hostname`", "0 pod-1\n0 pod-1\n", 0),
        ("for f in /conf/*.conf; do basename $f .conf; done", "0 app\n", 0),
        ("while true; do while true; do break; done; echo out; break; done", "0 out\n", 0),
        ("false; echo $? | cat; true && echo ok || echo ko", "0 1\n0 ok\n", 0),
        ("echo a; # comment\necho b", "0 a\n0 b\n", 0),
        // A pipe's reader works while its writer goes on.
        (
            "for i in 1 2; do echo $i; sleep 1; done | while read x; do echo got $x; done",
            "0 got 1\n1 got 2\n",
            0,
        ),
        ("cd; pwd; echo ~/x $HOME", "0 /root\n0 /root/x /root\n", 0),
        ("echo at $(sleep 2; date +%S)", "2 at 02\n", 0),
        ("sleep 5 | cat; echo done", "5 done\n", 0),
        ("cat /etc/hostname /dev/null; wc < /conf/app.conf", "0 pod-1\n0         2         2         8\n", 0),
        ("printf 'b 2\\na 1\\n' | sort | awk '{s += $2} END {print s}'", "0 3\n", 0),
        ("find /conf -name '*.sh'; echo x | xargs echo a", "0 /conf/run.sh\n0 a x\n", 0),
        (
            "rm /none; cp /none /tmp; grep a /none; sort /none",
            "0! rm: can't remove '/none': No such file or directory\n0! cp: can't stat '/none': No such file or directory\n0! grep: /none: No such file or directory\n0! sort: can't open '/none': No such file or directory\n",
            2,
        ),
        (
            "cd /none; [ a -eq 1 ]",
            "0! sh: cd: can't cd to /none: No such file or directory\n0! sh: a: bad number\n",
            2,
        ),
        ("echo one\necho two; )", "0 one\n0! sh: syntax error: unexpected \")\"\n", 2),
    ];
    for (script, expected, status) in cases {
        let (text, state) = run(script, 1000, None);
        assert_eq!((text.as_str(), state), (*expected, State::Exited(*status)), "{script}");
    }
}

#[test]
fn scripts_that_go_on() {
    let (text, state) = run("while true; do date >> /tmp/log; cat /tmp/log | wc -l; sleep 5; done", 12, None);
    assert_eq!(text, "0 1\n5 2\n10 3\n");
    assert!(matches!(state, State::Sleeping { until } if until == Time::from_secs(15)));
    let (_, state) = run("sleep infinity", 1000, None);
    assert!(matches!(state, State::Sleeping { .. }));
    let (text, _) = run("(sleep 2; echo new >> /tmp/a) & touch /tmp/a; tail -f /tmp/a", 10, None);
    assert_eq!(text, "2 new\n");
    let (_, state) = run("echo one\nexec nginx -g 'daemon off;'\n", 10, None);
    assert!(matches!(state, State::Serving(name) if name == "nginx"));
}

#[test]
fn a_busy_loop_lets_time_pass() {
    let (text, state) = run("while true; do :; done", 1, None);
    assert_eq!(text, "");
    assert!(matches!(state, State::Sleeping { until } if until > Time::from_secs(1)));
}

#[test]
fn a_trap_waits_for_the_command_in_hand() {
    let script = "trap 'echo bye; exit 0' TERM; while true; do sleep 10; done";
    assert_eq!(run(script, 100, Some(3)), ("10 bye\n".into(), State::Exited(0)));
    let script = "trap 'echo bye; exit 0' TERM; sleep 1000 & wait";
    assert_eq!(run(script, 100, Some(3)), ("3 bye\n".into(), State::Exited(0)));
    // What is ignored here is ignored below, and what is trapped here is not.
    let script = "trap '' TERM; sh -c 'sleep 5; echo kept'";
    assert_eq!(run(script, 100, Some(3)), ("5 kept\n".into(), State::Exited(0)));
    let script =
        "trap 'echo left' EXIT; trap 'echo $?; exit 4' TERM; false; while :; do sleep 2; false; done";
    assert_eq!(run(script, 100, Some(3)), ("4 0\n4 left\n".into(), State::Exited(4)));
    let (text, state) = run("sleep 10", 5, Some(3));
    assert_eq!((text.as_str(), state), ("", State::Sleeping { until: Time::from_secs(10) }));
}

#[test]
fn what_is_nested_without_end_is_refused_or_cut() {
    let deep = "(".repeat(5000) + &")".repeat(5000);
    assert_eq!(run(&deep, 1, None).1, State::Exited(2));
    let deep = "$(".repeat(500) + "echo x" + &")".repeat(500);
    run(&deep, 1, None);
    run(&format!("echo $(({}1{}))", "(".repeat(5000), ")".repeat(5000)), 1, None);
    run("f() { f; }; f", 1, None);
}
