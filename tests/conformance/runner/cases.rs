//! Finds the cases and runs them.
//!
//! Picture to hold in mind: an obstacle course: each runner starts with a fresh cluster.

use std::fs;

use clusterarium::api::Value;
use clusterarium::command::Scenario;
use clusterarium::console::{Console, Output};
use clusterarium::sim::Duration;

use super::text::Free;
use super::{Mark, data, flow, normalize, objects, text};

/// Simulated time until nothing changes any more, at most.
const QUIET: Duration = Duration::from_secs(25);
/// When nothing has changed for so long, the recording of objects did not wait any longer.
const STILL: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(600);

pub enum Job {
    /// A manifest on the empty cluster; `flow`: with its requests, if they were recorded.
    Valid {
        name: String,
    },
    Invalid {
        name: String,
    },
    Update {
        name: String,
    },
    Story {
        name: String,
    },
    Session {
        name: String,
    },
    Etcdctl,
}

pub fn all() -> Vec<Job> {
    let mut jobs = Vec::new();
    for name in names("kubectl", ".json") {
        jobs.push(Job::Session { name });
    }
    for name in names("flow", ".json") {
        if !data().join(format!("valid/{name}.json")).exists() {
            jobs.push(Job::Story { name });
        }
    }
    jobs.extend(names("valid", ".json").into_iter().map(|name| Job::Valid { name }));
    jobs.extend(names("updates", "").into_iter().map(|name| Job::Update { name }));
    jobs.extend(names("invalid", ".json").into_iter().map(|name| Job::Invalid { name }));
    jobs.push(Job::Etcdctl);
    jobs
}

fn names(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(data().join(folder)).expect("the data is there");
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry.ok()?.file_name().into_string().ok()?.strip_suffix(ending).map(String::from)
        })
        .collect();
    names.sort();
    names
}

fn read(path: &str) -> String {
    fs::read_to_string(data().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
pub(crate) fn json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A reference cluster, and what came out of it.
pub(crate) struct Rig {
    pub(crate) console: Console,
    audit: Vec<Value>,
    /// What was applied last.
    manifest: String,
    /// Objects that are part of every cluster.
    base: Vec<(String, String, String)>,
}

pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i64,
}

impl Rig {
    fn new(audit: bool) -> Rig {
        Rig::with(Scenario { hollow: true, audit, ..Scenario::default() })
    }
    fn with(scenario: Scenario) -> Rig {
        Rig::settled(Console::boot(1, scenario))
    }
    /// A cluster in which the election timer of `member` rings first.
    pub(crate) fn led_by(scenario: Scenario, member: &str) -> Rig {
        let mut console = Console::boot(1, scenario);
        console.pass(Duration::from_millis(50), &mut |_| {});
        let member = member.to_string();
        console.history.command(clusterarium::command::Command::Campaign { member, after_us: 0 });
        Rig::settled(console)
    }
    fn settled(mut console: Console) -> Rig {
        console.settle(|_| {});
        let base = console.objects("/registry/").iter().map(normalize::identity).collect();
        Rig { console, audit: Vec::new(), manifest: String::new(), base }
    }
    fn run(&mut self, line: &str) -> Printed {
        self.run_with(line, "")
    }
    pub(crate) fn run_with(&mut self, line: &str, stdin: &str) -> Printed {
        let mut printed = Printed { stdout: String::new(), stderr: String::new(), code: -1 };
        let audit = &mut self.audit;
        let code = self.console.exec(line, stdin, LIMIT, |output| match output {
            Output::Stdout(text) => printed.stdout += &text,
            Output::Stderr(text) => printed.stderr += &text,
            Output::Audit(event) => audit.push(event),
        });
        printed.code = code.map_or(-1, i64::from);
        printed
    }
    pub(crate) fn pass(&mut self, time: Duration) {
        let audit = &mut self.audit;
        self.console.pass(time, &mut |output| {
            if let Output::Audit(event) = output {
                audit.push(event);
            }
        });
    }
    /// Passes time until the objects stand still.
    fn settle(&mut self) {
        let (mut passed, mut still) = (Duration::ZERO, Duration::ZERO);
        let step = Duration::from_secs(2);
        let mut before = self.objects();
        while passed < QUIET && still < STILL {
            self.pass(step);
            let now = self.objects();
            still = if now == before { still + step } else { Duration::ZERO };
            (before, passed) = (now, passed + step);
        }
    }
    /// Applies a manifest that is called FILE.
    fn apply(&mut self, manifest: &str) -> Printed {
        self.manifest = manifest.into();
        self.console.write_file("FILE", manifest);
        let verb = if manifest.contains("generateName:") { "create" } else { "apply" };
        let printed = self.run(&format!("kubectl {verb} -f FILE"));
        // CRDs of the manifest are established by now: the second try finds them.
        if printed.stderr.contains("resource mapping not found")
            && manifest.contains("kind: CustomResourceDefinition")
        {
            self.pass(Duration::from_secs(2));
        }
        printed
    }
    fn objects(&self) -> Vec<Value> {
        let all = self.console.objects("/registry/");
        all.into_iter()
            .filter(|object| normalize::is_shown(object) && !self.base.contains(&normalize::identity(object)))
            .collect()
    }
}

/// Compares the printed lines with `applied`, `stderr` and `code` of an answer.
fn compare_answer(expected: &Value, printed: &Printed) -> (usize, usize, Vec<String>) {
    let joined = |field: &str| {
        let lines: Vec<&str> = expected.items(field).iter().filter_map(Value::as_str).collect();
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let (mut agreed, mut of, mut differences) =
        text::compare(&joined("applied"), &printed.stdout, Free::Nothing);
    let errors = text::compare(joined("stderr").trim_end(), printed.stderr.trim_end(), Free::Nothing);
    (agreed, of) = (agreed + errors.0, of + errors.1);
    differences.extend(errors.2);
    of += 1;
    if expected.integer("code") == Some(printed.code) {
        agreed += 1;
    } else {
        differences.push(format!("  exit code: real {}, ours {}", expected.at("code"), printed.code));
    }
    (agreed, of, differences)
}

impl Job {
    pub fn name(&self) -> String {
        match self {
            Job::Valid { name } => format!("valid/{name}"),
            Job::Invalid { name } => format!("invalid/{name}"),
            Job::Update { name } => format!("updates/{name}"),
            Job::Story { name } => format!("flow/{name}"),
            Job::Session { name } => format!("kubectl/{name}"),
            Job::Etcdctl => "etcdctl/".into(),
        }
    }
    pub fn run(&self) -> Vec<Mark> {
        match self {
            Job::Valid { name } => valid(name),
            Job::Invalid { name } => {
                let mut rig = Rig::new(false);
                let printed = rig.apply(&read(&format!("invalid/{name}.yaml")));
                let (agreed, of, differences) =
                    compare_answer(&json(&format!("invalid/{name}.json")), &printed);
                vec![Mark { name: self.name(), differences, agreed, of }]
            }
            Job::Update { name } => vec![update(name)],
            Job::Story { name } => story(name),
            Job::Session { name } => session("kubectl", name, Rig::new(false)),
            Job::Etcdctl => super::etcdctl::session(),
        }
    }
}

fn valid(name: &str) -> Vec<Mark> {
    let expected = json(&format!("valid/{name}.json"));
    let mut rig = Rig::new(true);
    let from = rig.audit.len();
    let printed = rig.apply(&read(&format!("valid/{name}.yaml")));
    rig.settle();
    let (mut agreed, mut of, mut differences) = compare_answer(&expected, &printed);
    let mut ours = rig.objects();
    // The recording did not find the namespaces of manifests in JSON, and shows no more than those.
    if rig.manifest.starts_with('{') {
        ours.retain(|object| object.text("metadata.namespace").is_empty());
    }
    let real = normalize::bar_node_ports(expected.items("objects"), &rig.manifest);
    let compared = objects::compare_all(&real, &normalize::bar_node_ports(&ours, &rig.manifest));
    (agreed, of) = (agreed + compared.0, of + compared.1);
    differences.extend(compared.2);
    let mut marks = vec![Mark { name: format!("valid/{name}"), differences, agreed, of }];
    let path = format!("flow/{name}.json");
    if data().join(&path).exists() {
        let recorded = json(&path);
        let requests = recorded.as_array().unwrap_or(&[]);
        if !requests.is_empty() {
            let ours = flow::audited(&rig.audit[from..], true);
            let (agreed, of, differences) = flow::compare(&flow::recorded(requests), &ours, false);
            marks.push(Mark { name: format!("flow/{name}"), differences, agreed, of });
        }
    }
    marks
}

fn update(name: &str) -> Mark {
    let expected = json(&format!("updates/{name}/expected.json"));
    let mut rig = Rig::new(false);
    let before = rig.apply(&read(&format!("updates/{name}/before.yaml")));
    rig.settle();
    let after = rig.apply(&read(&format!("updates/{name}/after.yaml")));
    rig.settle();
    let (mut agreed, mut of, mut differences) = compare_answer(expected.at("before"), &before);
    let compared = objects::compare_all(expected.items("objects"), &rig.objects());
    for (same, all, found) in [compare_answer(expected.at("after"), &after), compared] {
        (agreed, of) = (agreed + same, of + all);
        differences.extend(found);
    }
    Mark { name: format!("updates/{name}"), differences, agreed, of }
}

/// What must be there before a story begins: its namespace, and what earlier stories left.
fn story(name: &str) -> Vec<Mark> {
    let recorded = json(&format!("flow/{name}.json"));
    let mut rig = Rig::new(true);
    let commands: Vec<&str> = recorded.items("commands").iter().filter_map(Value::as_str).collect();
    let deployment = "kubectl create deployment test1 --image=httpd -n f1";
    let scale = "kubectl scale deployment test1 --replicas=3 -n f1";
    let mut before = vec!["for n in f1 f2 f3 f4; do kubectl create ns $n; done"];
    before.extend(match name {
        "scale-deployment" => vec![deployment],
        "rolling-update" | "expose-service" => vec![deployment, scale],
        "delete-pod" => vec![
            deployment,
            scale,
            "kubectl set image deployment/test1 httpd=httpd:2.4 -n f1",
            "kubectl expose deployment test1 --port=80 -n f1",
        ],
        "delete-deployment" => vec![
            deployment,
            scale,
            "kubectl set image deployment/test1 httpd=httpd:2.4 -n f1",
            "kubectl expose deployment test1 --port=80 -n f1",
        ],
        "drain-node" | "uncordon-node" | "node-lost" => {
            vec!["kubectl create deployment web --image=nginx:1.27 --replicas=6"]
        }
        "delete-namespace" => vec![
            "kubectl create deployment web --image=nginx:1.27 --replicas=4 -n f4",
            "kubectl create configmap c --from-literal=a=b -n f4",
        ],
        _ => vec![],
    });
    for line in before {
        rig.run(line);
        rig.pass(QUIET);
    }
    if name == "uncordon-node" {
        rig.run("kubectl cordon worker-1");
        rig.pass(QUIET);
    }
    rig.audit.clear();
    for command in &commands {
        match *command {
            "kubectl apply -f daemonset agent" => drop(rig.apply(DAEMON_SET)),
            "kubectl apply -f statefulset db, 3 replicas" => drop(rig.apply(STATEFUL_SET)),
            "worker-2: kubelet killed at the first moment" => {
                let process = "kubelet-worker-2".to_string();
                rig.console.history.command(clusterarium::command::Command::StopProcess { process });
                rig.pass(Duration::from_secs(420));
            }
            // The recording shows arguments without the shell's quotes.
            command => {
                let command = command.replace("--overrides={", "--overrides='{");
                let command = if command.contains("--overrides='") {
                    command.replacen("} -n", "}' -n", 1)
                } else {
                    command
                };
                drop(rig.run(&command));
            }
        }
    }
    rig.pass(QUIET);
    if name == "create-cronjob" {
        // Until its first minute.
        rig.pass(Duration::from_secs(60));
    }
    let ours = flow::audited(&rig.audit, false);
    let (agreed, of, differences) = flow::compare(&flow::recorded(recorded.items("requests")), &ours, true);
    vec![Mark { name: format!("flow/{name}"), differences, agreed, of }]
}

const DAEMON_SET: &str = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: f3}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: busybox:1.36}]}
";
const STATEFUL_SET: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: f3}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: postgres:16}]}
";

pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A whole session, each step a case of its own.
fn session(folder: &str, name: &str, mut rig: Rig) -> Vec<Mark> {
    let steps = json(&format!("{folder}/{name}.json"));
    let mut marks = Vec::new();
    for (index, step) in steps.as_array().unwrap_or(&[]).iter().enumerate() {
        let setup = step.text("setup");
        if !setup.is_empty() {
            run_setup(&mut rig, setup);
            continue;
        }
        let mut words: Vec<String> =
            step.items("argv").iter().filter_map(Value::as_str).map(quoted).collect();
        // What was recorded ran with this flag, as one of its answers shows.
        if words[0] == "kubectl" {
            words.insert(1, "--server=https://127.0.0.1:26443".into());
        }
        let mut line = words.join(" ");
        if let Some(file) = step.at("redirect").as_str() {
            line += &format!(" > {file}");
        }
        let printed = rig.run(&line);
        let (expected_out, expected_err) = (step.text("stdout"), step.text("stderr"));
        let free = if ["drain", "-o wide", "custom-columns=NODE", "get rs", "get deploy,rs"]
            .iter()
            .any(|part| line.contains(part))
        {
            Free::Order
        } else if ["node", " no ", "worker"].iter().any(|part| line.contains(part)) {
            Free::Nothing
        } else {
            Free::Nodes
        };
        let out = match line.contains("rollout status") {
            true => text::compare(&folded(expected_out), &folded(&printed.stdout), Free::Nothing),
            false => text::compare(expected_out, &printed.stdout, free),
        };
        let err = text::compare(expected_err.trim_end(), printed.stderr.trim_end(), free);
        let (mut agreed, mut of) = (out.0 + err.0, out.1 + err.1 + 1);
        let mut differences = out.2;
        differences.extend(err.2);
        if step.integer("code") == Some(printed.code) {
            agreed += 1;
        } else {
            differences.push(format!("  exit code: real {}, ours {}", step.at("code"), printed.code));
        }
        if step.at("redirect").as_str().is_some() {
            (agreed, of) = (1, 1);
            differences.clear();
        }
        if !differences.is_empty() {
            differences.insert(0, format!("  $ {line}"));
        }
        marks.push(Mark { name: format!("{folder}/{name}/{index:03}"), differences, agreed, of });
    }
    marks
}

/// How often a rollout's progress is told depends on timing: once is enough, without its numbers.
fn folded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if !line.starts_with("Waiting for") {
            lines.push(line.to_string());
        }
    }
    lines.join("\n") + "\n"
}

/// Steps between commands: a sleep, a file that is written, a file that is edited with a script of Python.
fn run_setup(rig: &mut Rig, setup: &str) {
    if let Some(seconds) = setup.strip_prefix("sleep ").and_then(|seconds| seconds.trim().parse().ok()) {
        rig.pass(Duration::from_secs(seconds));
    } else if setup.starts_with("python3") {
        // The one edit of the labs: resources for the only container of hog.yaml.
        let files = rig.console.files();
        if let Some((_, content)) = files.iter().find(|(path, _)| path == "hog.yaml") {
            let resources = "resources:\n          limits:\n            memory: 4Gi\n          requests:\n            memory: 2500Mi\n";
            let edited = content.replace("resources: {}\n", resources);
            rig.console.write_file("hog.yaml", &edited);
        }
    } else {
        rig.run(setup);
    }
}
