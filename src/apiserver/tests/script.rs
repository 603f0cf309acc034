//! Scripts of requests and their transcripts.
//!
//! Lines: `VERB RESOURCE[/SUBRESOURCE] [NAMESPACE/]NAME OPTION=VALUE...`, the body as JSON on the lines below, indented.
//! A resource is `pods` or `deployments.v1.apps`. Options besides the query's: `show=PATHS` (what of the answer is
//! told), `user=`, `agent=`, `as=USER,GROUP...`. `NAME: watch ...` opens a stream; `events NAME show=PATHS` tells what came on it since;
//! `close NAME`; `pass 10s`; `restart`; `compact`; `etcd stop|start`; `cut` and `join` the
//! cable between server and etcd. Answers are lines that begin with `= `.

use crate::api::kind::{Registry, ResourceInfo};
use crate::api::{Text, Value, meta};
use crate::message::Message;
use crate::message::rest::{
    CloseReason, Closed, Options, PatchType, Request, Resource, User, Verb, WatchType,
};
use crate::sim::Duration;
use crate::sorted::SortedMap;
use std::sync::Arc;

use super::{Bench, CLIENT, SERVER};

struct Player {
    bench: Bench,
    next_id: u64,
    streams: SortedMap<String, u64>,
}

fn find<'a>(registry: &'a Registry, typed: &str) -> (&'a ResourceInfo, String) {
    let (info, version) = registry.find(typed).unwrap_or_else(|| panic!("no resource {typed}"));
    (info, version.map_or_else(|| info.preferred_version().to_string(), |version| version.to_string()))
}

fn show(value: &Value, paths: &str) -> String {
    if paths.is_empty() {
        return String::new();
    }
    let mut parts = Vec::new();
    for path in paths.split(',') {
        // `items` tells names; anything else is told as JSON.
        let text = match path {
            "names" => {
                let names: Vec<&str> = value.items("items").iter().map(meta::name).collect();
                format!("[{}]", names.join(" "))
            }
            "*" => value.to_string(),
            path => {
                let mut found = value;
                for step in path.split('.') {
                    found = match step.parse::<usize>() {
                        Ok(index) => {
                            found.as_array().and_then(|items| items.get(index)).unwrap_or(&Value::Null)
                        }
                        Err(_) => found.get(&step.replace('~', ".")).unwrap_or(&Value::Null),
                    };
                }
                found.to_string()
            }
        };
        parts.push(format!("{path}={text}"));
    }
    format!(" {}", parts.join(" "))
}

impl Player {
    fn request(&mut self, line: &str, body: &str) -> (Request, String) {
        let registry = Registry::new();
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or("");
        let target = words.next().unwrap_or("");
        let mut options = Options::default();
        let mut request = Request {
            id: self.next_id,
            user: Arc::new(User::new(
                "admin".into(),
                vec!["system:masters".into(), "system:authenticated".into()],
            )),
            user_agent: "script".into(),
            verb: match verb {
                "get" => Verb::Get,
                "list" => Verb::List,
                "watch" => Verb::Watch,
                "create" => Verb::Create,
                "update" => Verb::Update,
                "patch-json" => Verb::Patch(PatchType::Json),
                "patch-merge" => Verb::Patch(PatchType::Merge),
                "patch" => Verb::Patch(PatchType::StrategicMerge),
                "apply" => Verb::Patch(PatchType::Apply),
                "delete" => Verb::Delete,
                "deletecollection" => Verb::DeleteCollection,
                other => panic!("no verb {other}"),
            },
            resource: Resource::default(),
            namespace: Text::new(),
            name: Text::new(),
            subresource: Text::new(),
            path: Text::new(),
            options: Options::default(),
            body: Value::Null,
        };
        self.next_id += 1;
        if target.starts_with('/') {
            request.path = target.into();
        } else {
            let (resource, subresource) = target.split_once('/').unwrap_or((target, ""));
            request.subresource = subresource.into();
            if let Some(unknown) = resource.strip_prefix('?') {
                request.resource = Resource::new("", "v1", unknown);
            } else {
                let (info, version) = find(&registry, resource);
                request.resource = Resource::new(&info.group, version, &info.plural);
            }
        }
        let mut paths = String::new();
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                let (namespace, name) = word.split_once('/').unwrap_or(("", word));
                request.namespace = namespace.into();
                request.name = name.into();
                continue;
            };
            let value = value.replace('~', " ");
            match name {
                "show" => paths = value,
                "ns" => request.namespace = value.into(),
                "user" => {
                    let mut user = User::new(value.into(), Vec::new());
                    if !user.name.is_empty() {
                        user.groups.push("system:authenticated".into());
                    }
                    request.user = Arc::new(user);
                }
                "as" => {
                    let mut names = value.split(',').map(Text::from);
                    let name = names.next().unwrap_or_default();
                    options.impersonate = Some(Arc::new(User::new(name, names.collect())));
                }
                "rv" => options.resource_version = value.into(),
                "match" => options.resource_version_match = value.into(),
                "l" => options.label_selector = value.into(),
                "f" => options.field_selector = value.into(),
                "limit" => options.limit = value.parse().unwrap(),
                "continue" => options.continue_token = value.into(),
                "bookmarks" => options.allow_watch_bookmarks = true,
                "initial" => options.send_initial_events = true,
                "timeout" => options.timeout_seconds = Some(value.parse().unwrap()),
                "dry-run" => options.dry_run = true,
                "validate" => options.field_validation = value.into(),
                "grace" => options.grace_period_seconds = Some(value.parse().unwrap()),
                "propagation" => options.propagation_policy = value.into(),
                "uid" => options.precondition_uid = value.into(),
                "precondition" => options.precondition_resource_version = value.into(),
                "table" => options.as_table = true,
                "manager" => options.field_manager = value.into(),
                "force" => options.force = true,
                other => panic!("no option {other}"),
            }
        }
        request.options = options;
        if !body.trim().is_empty() {
            request.body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        (request, paths)
    }

    fn ask(&mut self, line: &str, body: &str) -> Vec<String> {
        let (request, paths) = self.request(line, body);
        let Some(response) = self.bench.ask(request) else { return vec!["no answer".into()] };
        let mut told = vec![if response.is_success() {
            let body = &response.body;
            let what = match (body.text("kind"), meta::name(body)) {
                ("", _) => String::new(),
                (kind, "") => format!(" {kind}"),
                (kind, name) => format!(" {kind} {name}"),
            };
            format!("{}{what}{}", response.code, show(body, &paths))
        } else {
            let status = &response.body;
            format!(
                "{} {}: {}{}",
                response.code,
                status.text("reason"),
                status.text("message"),
                show(status, &paths)
            )
        }];
        told.extend(response.warnings.iter().map(|warning| format!("Warning: {warning}")));
        told
    }

    fn open(&mut self, name: &str, line: &str) -> Vec<String> {
        let (request, _) = self.request(line, "");
        self.streams.insert(name.to_owned(), request.id);
        match self.bench.ask(request) {
            Some(response) if response.is_success() => vec![format!("{}", response.code)],
            Some(response) => vec![format!("{} {}", response.code, response.body.text("message"))],
            None => vec!["no answer".into()],
        }
    }

    fn events(&mut self, name: &str, paths: &str) -> Vec<String> {
        self.bench.pass(Duration::from_millis(5));
        let stream = self.streams[name];
        let mut told = Vec::new();
        self.bench.engine.world.inbox.retain(|message| match message {
            Message::Watch(event) if event.id == stream => {
                let object = &event.object;
                let kind = format!("{:?}", event.kind).to_ascii_uppercase();
                let name = match event.kind {
                    WatchType::Error => object.text("message"),
                    _ => meta::name(object),
                };
                let name = if name.is_empty() { String::new() } else { format!(" {name}") };
                told.push(format!("{kind}{name}{}", show(object, paths)));
                false
            }
            Message::Closed(closed) if closed.id == stream => {
                told.push(format!("closed: {:?}", closed.why));
                false
            }
            _ => true,
        });
        told
    }

    fn play(&mut self, line: &str, body: &str) -> Vec<String> {
        if let Some((name, watch)) = line.split_once(": ") {
            return self.open(name, watch);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "pass" => {
                let seconds: u64 = rest.trim_end_matches('s').parse().unwrap();
                self.bench.pass(Duration::from_secs(seconds));
                Vec::new()
            }
            "events" => {
                let (name, paths) = rest.split_once(" show=").unwrap_or((rest, ""));
                self.events(name, paths)
            }
            "close" => {
                let closed = Closed { id: self.streams[rest], why: CloseReason::Cancelled };
                self.bench.send(Message::Closed(closed));
                self.bench.pass(Duration::from_millis(2));
                Vec::new()
            }
            "etcd" => {
                let process = "etcd".to_owned();
                self.bench.command(&if rest == "stop" {
                    crate::command::Command::StopProcess { process }
                } else {
                    crate::command::Command::StartProcess { process }
                });
                Vec::new()
            }
            "cut" | "join" => {
                let (a, b) = ("etcd".to_owned(), "server".to_owned());
                self.bench.command(&if word == "cut" {
                    crate::command::Command::CutLink { a, b }
                } else {
                    crate::command::Command::JoinLink { a, b }
                });
                Vec::new()
            }
            "restart" => {
                self.bench.command(&crate::command::Command::StartProcess { process: String::new() });
                self.bench.pass(Duration::from_secs(1));
                Vec::new()
            }
            "compact" => {
                self.bench.engine.world.etcd.compacted = self.bench.engine.world.etcd.revision;
                Vec::new()
            }
            _ => self.ask(line, body),
        }
    }
}

/// Plays a script; the script with the answers it got.
fn transcribe(script: &str) -> String {
    let mut player = Player { bench: Bench::new(|_| {}), next_id: 1000, streams: SortedMap::new() };
    assert_eq!((SERVER, CLIENT), (crate::sim::ActorId(1), crate::sim::ActorId(2)));
    let mut transcript = String::new();
    let lines: Vec<&str> = script.lines().filter(|line| !line.starts_with("= ")).collect();
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        index += 1;
        transcript += line;
        transcript.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut body = String::new();
        while index < lines.len() && lines[index].starts_with(' ') {
            body += lines[index];
            body.push('\n');
            index += 1;
        }
        transcript += &body;
        for told in player.play(line, &body) {
            transcript += &format!("= {}\n", told.replace('\n', "\\n"));
        }
    }
    transcript
}

#[test]
fn scripts_get_the_answers_they_tell() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/apiserver/tests/scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut differing = String::new();
    for file in files {
        let script = std::fs::read_to_string(&file).unwrap();
        let transcript = transcribe(&script);
        if transcript == script {
            continue;
        }
        if std::env::var_os("CLUSTERARIUM_UPDATE").is_some() {
            std::fs::write(&file, &transcript).unwrap();
            continue;
        }
        for (told, expected) in transcript.lines().zip(script.lines()) {
            if told != expected {
                differing += &format!("{}:\n  expected {expected}\n  got      {told}\n", file.display());
                break;
            }
        }
    }
    assert!(differing.is_empty(), "{differing}");
}
