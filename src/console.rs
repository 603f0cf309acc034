//! A cluster with somebody at its terminal: for the native binary, the tests, and whoever embeds the library.
//!
//! Picture to hold in mind: a person who types a line, watches the screen until the prompt is back, and types the
//! next. Time passes only while the person waits.

use crate::api::{Value, meta};
use crate::cluster::{self, Cluster, Role};
use crate::command::{Command, Scenario};
use crate::note::Note;
use crate::shell::files::{Entry, HOME};
use crate::sim::trace::What;
use crate::sim::{Duration, History, RecordId, Time};

/// The terminal session that is typed into.
const SESSION: u64 = 1;
/// Simulated time after which a cluster counts as not coming up.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a cluster that has come up is left alone, so that what starts late is done.
const REST: Duration = Duration::from_secs(5);

pub struct Console {
    pub history: History<Cluster>,
    /// The next line of the record to be looked at.
    next: u64,
}

/// What comes out of a terminal, or is written down besides.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Stdout(String),
    Stderr(String),
    /// A request, as audit.k8s.io/v1 tells it.
    Audit(Value),
}

impl Console {
    /// A cluster that was just switched on.
    pub fn boot(seed: u64, scenario: Scenario) -> Console {
        Console::boot_at(seed, scenario, Time::ZERO)
    }
    /// The same, switched on at `instant`.
    pub fn boot_at(seed: u64, scenario: Scenario, instant: Time) -> Console {
        let mut history = cluster::boot_at(seed, scenario, instant);
        // Nobody seeks here.
        history.checkpoint_every(u64::MAX / 2);
        Console { history, next: 0 }
    }

    /// Lets time pass until nodes and system pods are Ready, as a user would find the cluster; false if they
    /// never are.
    pub fn settle(&mut self, mut each: impl FnMut(Output)) -> bool {
        let limit = self.history.now() + PATIENCE;
        while !self.is_settled() {
            if self.history.now() >= limit {
                return false;
            }
            self.pass(Duration::from_millis(250), &mut each);
        }
        self.pass(REST, &mut each);
        true
    }
    fn is_settled(&self) -> bool {
        let scenario = self.history.world().scenario();
        let nodes = (scenario.control_plane_nodes.max(1) + scenario.workers) as usize;
        let is_ready = |object: &Value| meta::is_condition_true(object, "Ready");
        let ready_nodes = self.objects("/registry/minions/").iter().filter(|node| is_ready(node)).count();
        let pods = self.objects("/registry/pods/");
        ready_nodes >= nodes
            && pods.iter().all(is_ready)
            && (scenario.hollow || pods.len() >= self.history.world().system_pods())
            && !self.objects("/registry/serviceaccounts/default/default").is_empty()
    }
    /// The objects whose etcd keys begin with `prefix`, at the member that is furthest.
    pub fn objects(&self, prefix: &str) -> Vec<Value> {
        let members = self.history.world().processes().iter().filter_map(|process| match &*process.role {
            Role::Etcd(member) => Some(member),
            _ => None,
        });
        let furthest = members.max_by_key(|member| member.store().revision());
        furthest.map_or(Vec::new(), |member| {
            member.store().under(prefix).map(|pair| pair.value.clone()).collect()
        })
    }

    /// Lets time pass, and tells what comes out meanwhile.
    pub fn pass(&mut self, time: Duration, each: &mut impl FnMut(Output)) {
        let until = self.history.now() + time;
        self.history.run_until(until);
        self.read(each);
    }
    /// Reads what was recorded since the last time; the exit code, if a line ended.
    fn read(&mut self, each: &mut impl FnMut(Output)) -> Option<i32> {
        let mut code = None;
        for id in self.next..self.history.trace.range().end {
            let Some(record) = self.history.trace.get(RecordId(id)) else { continue };
            let What::Note { note, .. } = &record.what else { continue };
            match note {
                Note::Terminal { session: SESSION, stdout, stderr, exit } => {
                    if !stdout.is_empty() {
                        each(Output::Stdout(stdout.to_string()));
                    }
                    if !stderr.is_empty() {
                        each(Output::Stderr(stderr.to_string()));
                    }
                    code = code.or(*exit);
                }
                Note::Audit(event) => each(Output::Audit(event.clone())),
                _ => {}
            }
        }
        self.next = self.history.trace.range().end;
        code
    }

    /// Enters a line (or a whole script) and waits for its end, `limit` of simulated time at most; the exit code.
    pub fn exec(
        &mut self,
        line: &str,
        stdin: &str,
        limit: Duration,
        mut each: impl FnMut(Output),
    ) -> Option<i32> {
        self.history.command(Command::Exec { session: SESSION, line: line.into(), stdin: stdin.into() });
        let end = self.history.now() + limit;
        loop {
            if let Some(code) = self.read(&mut each) {
                return Some(code);
            }
            self.history.step(end)?;
        }
    }
    /// Stops what runs, as Ctrl+C does.
    pub fn interrupt(&mut self, each: &mut impl FnMut(Output)) {
        self.history.command(Command::Interrupt { session: SESSION });
        self.pass(Duration::from_millis(100), each);
    }
    /// Writes a file into the terminal's home directory.
    pub fn write_file(&mut self, path: &str, content: &str) {
        self.history.command(Command::WriteFile { path: path.into(), content: Some(content.into()) });
    }
    /// The files in the terminal's home directory, by their paths in it.
    pub fn files(&self) -> Vec<(String, String)> {
        let files =
            self.history.world().terminal().into_iter().flat_map(|terminal| terminal.files.below(HOME));
        files
            .filter_map(|(path, entry)| match entry {
                Entry::File(content) => Some((path[HOME.len() + 1..].to_string(), content.to_string())),
                Entry::Folder => None,
            })
            .collect()
    }
    pub fn now(&self) -> Time {
        self.history.now()
    }
}
