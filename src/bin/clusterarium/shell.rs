//! `clusterarium shell`: commands in, exactly what the simulated terminal prints out.
//!
//! Picture to hold in mind: a serial cable into the simulated terminal.

use std::fs;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clusterarium::command::Scenario;
use clusterarium::console::{Console, Output};
use clusterarium::sim::Duration;
use clusterarium::sorted::SortedMap;

const USAGE: &str = "\
Runs commands in the terminal of a simulated cluster and prints what the terminal prints.

Usage:
  clusterarium shell [-c COMMANDS | FILE | -] [options]

Without COMMANDS or FILE, lines are read from the standard input and run one by one.

Options:
  -c COMMANDS     commands to run
  --home DIR      the home directory: its files are there, and files that commands write are written back
  --seed N        the run's seed (1)
  --audit FILE    write each API request as an audit.k8s.io/v1 Event, a JSON line each
  --hollow        the reference cluster: no add-ons, containers start at once and never exit
  --workers N     worker nodes (3)
  --control-plane-nodes N
                  control-plane nodes, each with an API server of its own (1)
  --etcd-members N
                  members of etcd (3): one on each control-plane node, the others on machines of their own
  --external-etcd all of them on machines of their own
  --network NAME  the pod network: bridge (with routes between the nodes), flannel or calico (bridge)
  --dual-stack    pods have an address of IPv6 besides that of IPv4
  --local-etcd    three members of etcd 3.4 by themselves, at 127.0.0.1:31379, :32379 and :33379, for etcdctl
  --help          this text

The exit status is the last command's. `sleep 10` passes ten simulated seconds.
";

/// Simulated time that one line may take: a week, after which what runs is stopped.
const LIMIT: Duration = Duration::from_secs(7 * 86_400);
/// Files larger than this stay outside of the simulation.
const MAXIMUM_FILE: u64 = 16 << 20;

struct Options {
    commands: Option<String>,
    file: Option<String>,
    home: Option<PathBuf>,
    seed: u64,
    audit: Option<PathBuf>,
    scenario: Scenario,
}

pub fn run(arguments: &[String]) -> ExitCode {
    let options = match parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("clusterarium shell: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match session(options) {
        Ok(code) => ExitCode::from((code & 255) as u8),
        Err(error) => {
            eprintln!("clusterarium shell: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
    let mut options = Options {
        commands: None,
        file: None,
        home: None,
        seed: 1,
        audit: None,
        scenario: Scenario::default(),
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    let number = |value: std::ffi::OsString, name: &str| {
        value.to_string_lossy().parse::<u64>().map_err(|_| format!("{name} wants a number, not {value:?}"))
    };
    fn value(parser: &mut lexopt::Parser) -> Result<std::ffi::OsString, String> {
        parser.value().map_err(|error| error.to_string())
    }
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            lexopt::Arg::Short('c') => {
                options.commands = Some(value(&mut parser)?.to_string_lossy().into_owned());
            }
            lexopt::Arg::Long("home") => options.home = Some(value(&mut parser)?.into()),
            lexopt::Arg::Long("seed") => options.seed = number(value(&mut parser)?, "--seed")?,
            lexopt::Arg::Long("audit") => options.audit = Some(value(&mut parser)?.into()),
            lexopt::Arg::Long(name) if super::topology::takes(name) => {
                let name = name.to_owned();
                super::topology::read(&mut options.scenario, &name, &mut parser)?;
            }
            lexopt::Arg::Long("local-etcd") => options.scenario.local_etcd = true,
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            lexopt::Arg::Value(file) if options.file.is_none() => {
                options.file = Some(file.to_string_lossy().into_owned());
            }
            other => return Err(other.unexpected().to_string()),
        }
    }
    if options.commands.is_some() && options.file.is_some() {
        return Err("give either -c COMMANDS or a FILE, not both".into());
    }
    options.scenario.audit = options.audit.is_some();
    if let Some(refusal) = options.scenario.refusal() {
        return Err(refusal);
    }
    Ok(Some(options))
}

/// Where output goes.
struct Sinks {
    audit: Option<std::io::BufWriter<fs::File>>,
    /// The reader of the output has gone: there is nobody left to run for.
    closed: bool,
}

impl Sinks {
    fn take(&mut self, output: Output) {
        let result = match output {
            Output::Stdout(text) => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Output::Stderr(text) => std::io::stderr().write_all(text.as_bytes()),
            Output::Audit(event) => match &mut self.audit {
                Some(file) => writeln!(file, "{event}"),
                None => Ok(()),
            },
        };
        self.closed |= result.is_err();
    }
}

fn session(options: Options) -> Result<i32, String> {
    let mut sinks = Sinks { audit: None, closed: false };
    if let Some(path) = &options.audit {
        let file = fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        sinks.audit = Some(std::io::BufWriter::new(file));
    }
    let before = match &options.home {
        Some(home) => read_home(home)?,
        None => SortedMap::new(),
    };
    let mut console = Console::boot(options.seed, options.scenario);
    for (path, content) in &before {
        console.write_file(path, content);
    }
    if !console.settle(|output| sinks.take(output)) {
        eprintln!("clusterarium shell: the cluster did not come up");
    }
    let code = match (&options.commands, options.file.as_deref()) {
        (Some(commands), _) => enter(&mut console, commands, &read_stdin()?, &mut sinks),
        (None, Some(path)) if path != "-" => {
            let script = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            enter(&mut console, &script, &read_stdin()?, &mut sinks)
        }
        _ if std::io::stdin().is_terminal() => interactive(&mut console, &mut sinks)?,
        _ => {
            let mut script = Vec::new();
            std::io::stdin().read_to_end(&mut script).map_err(|error| error.to_string())?;
            enter(&mut console, &String::from_utf8_lossy(&script), "", &mut sinks)
        }
    };
    if let Some(home) = &options.home {
        write_home(home, &before, &console.files())?;
    }
    if let Some(mut audit) = sinks.audit {
        audit.flush().map_err(|error| error.to_string())?;
    }
    Ok(code)
}

fn enter(console: &mut Console, line: &str, stdin: &str, sinks: &mut Sinks) -> i32 {
    match console.exec(line, stdin, LIMIT, |output| sinks.take(output)) {
        Some(code) => code,
        None => {
            console.interrupt(&mut |output| sinks.take(output));
            eprintln!("clusterarium shell: stopped after a simulated week");
            130
        }
    }
}

/// The standard input, unless somebody sits at it.
fn read_stdin() -> Result<String, String> {
    if std::io::stdin().is_terminal() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn interactive(console: &mut Console, sinks: &mut Sinks) -> Result<i32, String> {
    let mut code = 0;
    let mut lines = std::io::stdin().lock().lines();
    loop {
        print!("student@cp-1:~$ ");
        std::io::stdout().flush().map_err(|error| error.to_string())?;
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|error| error.to_string())?;
        if matches!(line.trim(), "exit" | "logout") {
            break;
        }
        code = enter(console, &line, "", sinks);
        if sinks.closed {
            break;
        }
    }
    Ok(code)
}

/// The text files below `home`, by their paths in it.
fn read_home(home: &Path) -> Result<SortedMap<String, String>, String> {
    let mut files = SortedMap::new();
    let mut folders = vec![home.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| error.to_string())?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|error| error.to_string())?);
            if kind.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(home)
                && fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAXIMUM_FILE)
                && let Ok(bytes) = fs::read(&path)
            {
                // What is no text cannot be a manifest; a stray byte must not lose the file, though.
                files.insert(
                    relative.to_string_lossy().replace('\\', "/"),
                    String::from_utf8_lossy(&bytes).into_owned(),
                );
            }
        }
    }
    Ok(files)
}

/// Writes back what commands have changed.
fn write_home(
    home: &Path,
    before: &SortedMap<String, String>,
    after: &[(String, String)],
) -> Result<(), String> {
    for (path, content) in after {
        if before.get(path) == Some(content) {
            continue;
        }
        let target = home.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::write(&target, content).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    for path in before.keys().filter(|path| !after.iter().any(|(other, _)| other == *path)) {
        let target = home.join(path);
        fs::remove_file(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    }
    Ok(())
}
