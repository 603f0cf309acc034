//! kubectl in a terminal before an API server, without controllers: sessions with their printed answers.
//!
//! A session is a text file: lines behind `$ ` are entered, what stands below is printed (`! ` marks the standard
//! error, `= ` an exit code other than 0). `CLUSTERARIUM_UPDATE=1 cargo test` writes the answers anew; read the
//! difference before you keep it.

use std::path::Path;

use crate::apiserver::tests::etcd::TinyEtcd;
use crate::apiserver::{ApiServer, Config};
use crate::command::Command;
use crate::language::{Context, Input, Wire};
use crate::note::Note;
use crate::shell::Terminal;
use crate::sim::trace::What;
use crate::sim::{ActorId, Control, Duration, Engine, HostId, Network, RecordId, Trace, World};
use crate::timer::{TerminalTimer, Timer};

const ETCD: ActorId = ActorId(0);
const SERVER: ActorId = ActorId(1);
const TERMINAL: ActorId = ActorId(2);

#[derive(Clone)]
struct Rig {
    etcd: TinyEtcd,
    server: ApiServer,
    terminal: Terminal,
}

impl World for Rig {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        match actor {
            ETCD => self.etcd.handle(input, context),
            SERVER => self.server.handle(input, context),
            _ => self.terminal.handle(input, context),
        }
    }
    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(_) => {
                for host in 0..3 {
                    let actor = control.create(HostId(host));
                    control.start(actor);
                }
            }
            Command::Exec { session, line, stdin } => {
                let id = self.terminal.enter(*session, line, stdin);
                control.wake(TERMINAL, Timer::Terminal(TerminalTimer::Enter { id }));
            }
            _ => {}
        }
    }
}

struct Bench {
    engine: Engine<Rig>,
    trace: Trace<Wire>,
    read: u64,
}

/// What one line printed.
struct Printed {
    /// `true`: on the standard error.
    texts: Vec<(bool, String)>,
    code: i32,
}

impl Bench {
    fn new() -> Bench {
        let mut config = Config::new("cp-1", "192.168.56.10", vec![ETCD]);
        config.notes_stages = false;
        let mut terminal = Terminal::new(SERVER, &[("kubectl", super::main)], true);
        terminal.learn_server("192.168.56.10:6443".into(), SERVER);
        let rig = Rig { etcd: TinyEtcd::default(), server: ApiServer::new(config), terminal };
        let mut bench =
            Bench { engine: Engine::new(1, rig, Network::default()), trace: Trace::default(), read: 0 };
        bench.engine.command(&Command::Boot(Default::default()), &mut bench.trace);
        let until = bench.engine.now() + Duration::from_secs(5);
        bench.engine.run_until(until, &mut bench.trace);
        bench
    }
    /// Enters a line and waits, ten simulated minutes at most, for its end.
    fn run(&mut self, line: &str) -> Printed {
        let command = Command::Exec { session: 1, line: line.into(), stdin: String::new() };
        self.engine.command(&command, &mut self.trace);
        let end = self.engine.now() + Duration::from_secs(600);
        let mut printed = Printed { texts: Vec::new(), code: -1 };
        loop {
            for id in self.read..self.trace.range().end {
                let Some(record) = self.trace.get(RecordId(id)) else { continue };
                if let What::Note { note: Note::Terminal { stdout, stderr, exit, .. }, .. } = &record.what {
                    for (on_error, text) in [(false, stdout), (true, stderr)] {
                        if !text.is_empty() {
                            printed.texts.push((on_error, text.to_string()));
                        }
                    }
                    if let Some(code) = exit {
                        printed.code = *code;
                    }
                }
            }
            self.read = self.trace.range().end;
            if printed.code >= 0 || self.engine.next_time().is_none_or(|time| time > end) {
                return printed;
            }
            self.engine.step(&mut self.trace);
        }
    }
}

fn transcript(source: &str) -> String {
    let mut bench = Bench::new();
    let mut text = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# ") {
            text += &format!("{line}\n");
            continue;
        }
        let Some(mut command) = line.strip_prefix("$ ").map(String::from) else { continue };
        // Lines behind `> ` go on with the one before.
        while let Some(more) =
            lines.peek().and_then(|line| line.strip_prefix("> ").or(line.strip_prefix(">")))
        {
            command += &format!("\n{more}");
            lines.next();
        }
        text += &format!("$ {}\n", command.replace('\n', "\n> ").replace("> \n", ">\n"));
        let printed = bench.run(&command);
        for (on_error, part) in printed.texts {
            for line in part.split_inclusive('\n') {
                let open = if line.ends_with('\n') { "" } else { "%\n" };
                text += &format!("{}{line}{open}", if on_error { "! " } else { "" });
            }
        }
        if printed.code != 0 {
            text += &format!("= {}\n", printed.code);
        }
    }
    text
}

#[test]
fn sessions_print_what_they_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubectl/tests/sessions");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the folder is there").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut wrong = String::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).expect("a session is text");
        let now = transcript(&source);
        if now == source {
            continue;
        }
        if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
            std::fs::write(&path, &now).expect("the session can be written");
        } else {
            wrong += &format!("{}:\n{}\n", path.display(), crate::shell::diff::unified(&source, &now, 3));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
