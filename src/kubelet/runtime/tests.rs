//! The engine alone: what is asked of it, and what it does when.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::language::{Context, Input, Wire};
use crate::message::Message;
use crate::message::cri::{
    Call, ContainerConfig, ContainerState, DialRequest, DnsConfig, EventType, Mount, MountSource, Reply,
    Request, SandboxConfig,
};
use crate::note::Note;
use crate::object;
use crate::sim::{ActorId, Control, Engine, HostId, Language, Network, Time, Trace, What, World};
use crate::timer::{EngineTimer, Timer};

use super::{ContainerEngine, EngineConfig};

type Command = <Wire as Language>::Command;

const KUBELET: ActorId = ActorId(0);
const ENGINE: ActorId = ActorId(1);

/// A node with an engine and somebody who asks.
#[derive(Clone)]
struct Node {
    engine: ContainerEngine,
    /// What is to be asked at the next command.
    call: Option<Call>,
    asked: u64,
    heard: Vec<(Time, Message)>,
}

impl World for Node {
    type Language = Wire;
    fn handle(&mut self, actor: ActorId, input: Input, context: &mut Context) {
        match (actor, input) {
            (ENGINE, input) => self.engine.handle(input, context),
            (_, Input::Message { message, .. }) => self.heard.push((context.now(), message)),
            _ => {}
        }
    }
    fn command(&mut self, command: &Command, control: &mut Control<Wire>) {
        match command {
            Command::Boot(_) => {
                for _ in 0..2 {
                    let actor = control.create(HostId(0));
                    control.start(actor);
                }
            }
            Command::StopHost { .. } => {
                self.engine.lose_power(control.now());
                control.start(ENGINE);
            }
            Command::KillContainer { namespace, pod, container } => {
                let (namespace, pod, container) = (namespace.into(), pod.into(), container.into());
                control.wake(ENGINE, Timer::Engine(EngineTimer::Kill { namespace, pod, container }));
            }
            _ => {
                if let Some(call) = self.call.take() {
                    self.asked += 1;
                    let request = Request { id: self.asked, call };
                    control.send(KUBELET, ENGINE, Message::CriRequest(Arc::new(request)));
                }
            }
        }
    }
}

struct Site {
    engine: Engine<Node>,
    trace: Trace<Wire>,
}

impl Site {
    fn new(cidr: &str) -> Site {
        let engine = ContainerEngine::new(EngineConfig::new(KUBELET, cidr.is_empty()));
        let world = Node { engine, call: None, asked: 0, heard: Vec::new() };
        let mut site = Site { engine: Engine::new(7, world, Network::default()), trace: Trace::default() };
        site.engine.command(&Command::Boot(Default::default()), &mut site.trace);
        if !cidr.is_empty() {
            site.ask(Call::UpdateRuntimeConfig { pod_cidrs: vec![cidr.into()] }).unwrap();
        }
        site
    }
    fn send(&mut self, call: Call) -> u64 {
        self.engine.world.call = Some(call);
        self.engine.command(&Command::HealNetwork, &mut self.trace);
        self.engine.world.asked
    }
    fn answer(&self, id: u64) -> Option<Result<Reply, Text>> {
        self.engine.world.heard.iter().find_map(|(_, message)| match message {
            Message::CriResponse(response) if response.id == id => Some(response.result.clone()),
            _ => None,
        })
    }
    /// Asks and waits for the answer.
    fn ask(&mut self, call: Call) -> Result<Reply, Text> {
        let id = self.send(call);
        loop {
            if let Some(answer) = self.answer(id) {
                return answer;
            }
            assert!(self.engine.step(&mut self.trace).is_some(), "no answer will ever come");
        }
    }
    fn wait(&mut self, seconds: u64) {
        let until = self.engine.now() + crate::sim::Duration::from_secs(seconds);
        self.engine.run_until(until, &mut self.trace);
    }
    fn sandbox(&mut self, name: &str) -> Result<Text, Text> {
        let config = SandboxConfig {
            namespace: "default".into(),
            name: name.into(),
            uid: arcstr::format!("uid-{name}"),
            attempt: 0,
            hostname: name.into(),
            host_network: false,
            host_ipc: false,
            share_process_namespace: false,
            dns: DnsConfig { servers: vec!["10.96.0.10".into()], ..DnsConfig::default() },
            port_mappings: Vec::new(),
            annotations: Value::Null,
        };
        match self.ask(Call::RunPodSandbox(Arc::new(config)))? {
            Reply::Sandbox { sandbox } => Ok(sandbox),
            other => panic!("{other:?}"),
        }
    }
    fn container(
        &mut self,
        sandbox: &Text,
        image: &str,
        command: &[&str],
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Result<Text, Text> {
        self.ask(Call::PullImage { image: image.into(), pod_uid: Text::new() })?;
        let mut config = ContainerConfig {
            spec: object! { "name" => "c", "image" => image },
            attempt: 0,
            environment: vec![],
            command: command.iter().map(|word| Text::from(*word)).collect(),
            args: vec![],
            annotations: Value::Null,
            mounts: vec![],
            memory_limit_bytes: 0,
        };
        change(&mut config);
        let call = Call::CreateContainer { sandbox: sandbox.clone(), container: Arc::new(config) };
        let Reply::Container { container } = self.ask(call)? else { panic!("no container") };
        self.ask(Call::StartContainer { container: container.clone() })?;
        Ok(container)
    }
    fn state(&self, id: &str) -> ContainerState {
        self.engine
            .world
            .engine
            .containers()
            .find(|container| container.id == id)
            .map(|c| c.state.clone())
            .unwrap()
    }
    fn exit(&self, id: &str) -> (i32, String) {
        match self.state(id) {
            ContainerState::Exited { exit_code, reason, .. } => (exit_code, reason.to_string()),
            other => panic!("{other:?}"),
        }
    }
    fn logs(&self, id: &str) -> Vec<String> {
        let container = self.engine.world.engine.containers().find(|container| container.id == id).unwrap();
        container.logs.iter().map(|(_, line)| line.to_string()).collect()
    }
    fn steps(&self) -> Vec<String> {
        let notes = self.trace.iter().filter_map(|(_, record)| match &record.what {
            What::Note { note: Note::Sandbox { step, .. }, .. } => Some(step.to_string()),
            _ => None,
        });
        notes.collect()
    }
}

#[test]
fn a_sandbox_is_born_step_by_step_and_unwound() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("web").unwrap();
    assert_eq!(sandbox.len(), 64);
    let status = site.ask(Call::PodSandboxStatus { sandbox: sandbox.clone() });
    let Ok(Reply::Sandboxes(status)) = status else { panic!() };
    assert_eq!((status[0].ready, status[0].ips.clone()), (true, vec![Text::from("10.244.1.2")]));
    site.ask(Call::StopPodSandbox { sandbox: sandbox.clone() }).unwrap();
    site.ask(Call::RemovePodSandbox { sandbox: sandbox.clone() }).unwrap();
    assert_eq!(
        site.steps().join(" "),
        "PauseContainerCreated NamespacesCreated PauseContainerStarted CniAdd VethPairCreated AddressAllocated RoutesSet DnsConfigured SandboxReady CniDel AddressReleased PauseContainerStopped SandboxRemoved"
    );
    // The same is kept with the pod, pulls included, until its volumes are cleared away.
    site.ask(Call::PullImage { image: "busybox:1.36".into(), pod_uid: "uid-web".into() }).unwrap();
    let story = |site: &Site| {
        let steps = site.engine.world.engine.story("uid-web").iter().map(|line| line.step);
        steps.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(story(&site), format!("{} ImagePullStarted ImagePulled", site.steps().join(" ")));
    let lines = site.engine.world.engine.story("uid-web");
    assert!(lines.is_sorted_by_key(|line| line.time) && lines[3].detail.contains("host-local"));
    site.ask(Call::RemoveVolumes { pod_uid: "uid-web".into() }).unwrap();
    assert_eq!(story(&site), "");
    assert_eq!(site.engine.world.engine.network().unwrap().ipam[0].reserved().count(), 0);
    let kinds: Vec<EventType> = site
        .engine
        .world
        .heard
        .iter()
        .filter_map(|(_, message)| match message {
            Message::CriEvent(event) => Some(event.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [EventType::Started, EventType::Stopped, EventType::Deleted]);
}

#[test]
fn an_exhausted_range_is_told_in_the_plugins_words() {
    let mut site = Site::new("10.244.1.0/30");
    site.sandbox("first").unwrap();
    let error = site.sandbox("second").unwrap_err();
    let start = "rpc error: code = Unknown desc = failed to setup network for sandbox \"";
    let end = "\": plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.2";
    assert!(error.starts_with(start) && error.ends_with(end), "{error}");
    assert_eq!(site.engine.world.engine.sandboxes().count(), 1);
}

#[test]
fn without_a_network_configuration_no_sandbox_stands() {
    let mut site = Site::new("10.244.1.0/24");
    let status = |site: &mut Site| match site.ask(Call::Status) {
        Ok(Reply::Status { network_error, .. }) => network_error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(&mut site), "");
    site.engine.world.engine.set_cni_config(None);
    assert_eq!(status(&mut site), "Network plugin returns error: cni plugin not initialized");
    assert!(site.sandbox("x").unwrap_err().ends_with("cni plugin not initialized"));
}

#[test]
fn containers_end_as_their_programs_do() {
    let limit = |bytes: u64| move |config: &mut ContainerConfig| config.memory_limit_bytes = bytes;
    let annotated = |name: &'static str, value: &'static str| {
        move |config: &mut ContainerConfig| config.annotations = object! { name => value }
    };
    let plain = |_: &mut ContainerConfig| {};
    /// What is started, and how it ends: `None`, not within the seconds.
    type Case<'a> = (&'a str, &'a [&'a str], Change, u64, Option<(i32, &'a str)>);
    type Change = Box<dyn FnOnce(&mut ContainerConfig)>;
    // (image, command, change, after seconds, exit or None: still running)
    let cases: Vec<Case> = vec![
        ("busybox", &[], Box::new(plain), 1, Some((0, "Completed"))),
        ("busybox", &["sh", "-c", "exit 3"], Box::new(plain), 1, Some((3, "Error"))),
        ("busybox", &["sleep", "5"], Box::new(plain), 4, None),
        ("busybox", &["sleep", "5"], Box::new(plain), 6, Some((0, "Completed"))),
        ("nginx:1.27", &[], Box::new(plain), 5000, None),
        ("acme/shop:2", &[], Box::new(plain), 5000, None),
        ("hello-world", &[], Box::new(plain), 1, Some((0, "Completed"))),
        (
            "perl:5.34",
            &["perl", "-Mbignum=bpi", "-wle", "print bpi(20)"],
            Box::new(plain),
            6,
            Some((0, "Completed")),
        ),
        ("nginx", &[], Box::new(annotated("clusterarium.dev/exit-after", "10s")), 11, Some((1, "Error"))),
        ("nginx", &[], Box::new(annotated("clusterarium.dev/exit-code.c", "7")), 2, Some((7, "Error"))),
        ("nginx", &[], Box::new(annotated("clusterarium.dev/exit-code.other", "7")), 2, None),
        (
            "polinux/stress",
            &["stress", "--vm", "1", "--vm-bytes", "250M"],
            Box::new(limit(100 << 20)),
            2,
            Some((137, "OOMKilled")),
        ),
        ("nginx", &[], Box::new(limit(100 << 20)), 100, None),
        ("nginx", &[], Box::new(limit(1 << 20)), 2, Some((137, "OOMKilled"))),
    ];
    for (image, command, change, after, expected) in cases {
        let mut site = Site::new("10.244.1.0/24");
        let sandbox = site.sandbox("p").unwrap();
        let id = site.container(&sandbox, image, command, change).unwrap();
        site.wait(after);
        let label = format!("{image} {command:?}");
        match expected {
            Some((code, reason)) => assert_eq!(site.exit(&id), (code, reason.to_string()), "{label}"),
            None => assert!(matches!(site.state(&id), ContainerState::Running { .. }), "{label}"),
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_a_start_error() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("p").unwrap();
    let error = site.container(&sandbox, "busybox", &["frobnicate"], |_| {}).unwrap_err();
    assert_eq!(
        error,
        "rpc error: code = Unknown desc = failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"frobnicate\": executable file not found in $PATH"
    );
    let container = site.engine.world.engine.containers().next().unwrap();
    assert!(
        matches!(&container.state, ContainerState::Exited { exit_code: 128, reason, .. } if reason == "StartError")
    );
}

#[test]
fn stopping_asks_first() {
    // (image, command, seconds until the answer at most, exit)
    type Case<'a> = (&'a str, &'a [&'a str], u64, (i32, &'a str));
    let cases: &[Case] = &[
        ("nginx", &[], 1, (0, "Completed")),
        ("busybox", &["sleep", "3600"], 30, (137, "Error")),
        ("busybox", &["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done"], 2, (0, "Completed")),
        ("busybox", &["sh", "-c", "exec sleep infinity"], 30, (137, "Error")),
    ];
    for (image, command, seconds, exit) in cases {
        let mut site = Site::new("10.244.1.0/24");
        let sandbox = site.sandbox("p").unwrap();
        let id = site.container(&sandbox, image, command, |_| {}).unwrap();
        site.wait(3);
        let before = site.engine.now();
        site.ask(Call::StopContainer { container: id.clone(), grace_period_seconds: 30 }).unwrap();
        let took = site.engine.now().since(before).as_millis();
        assert!(
            took <= seconds * 1000 + 10 && (*seconds < 30 || took >= 29_990),
            "{image} {command:?}: {took} ms"
        );
        assert_eq!(site.exit(&id), (exit.0, exit.1.to_string()), "{image} {command:?}");
    }
}

#[test]
fn two_containers_share_a_volume_and_the_loopback() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("p").unwrap();
    let mount = |path: &'static str| {
        move |config: &mut ContainerConfig| {
            config.mounts = vec![Mount {
                container_path: path.into(),
                source: MountSource::Pod { volume: "html".into() },
                sub_path: Text::new(),
                read_only: false,
            }];
        }
    };
    let call = Call::WriteVolume { pod_uid: "uid-p".into(), volume: "html".into(), files: Arc::new(vec![]) };
    site.ask(call).unwrap();
    let writer = ["sh", "-c", "while true; do date > /html/index.html; sleep 5; done"];
    site.container(&sandbox, "busybox", &writer, mount("/html")).unwrap();
    let web = site.container(&sandbox, "nginx", &[], mount("/usr/share/nginx/html")).unwrap();
    site.wait(1);
    let call = Call::Dial {
        sandbox: sandbox.clone(),
        port: 80,
        request: DialRequest::HttpGet { path: "/".into() },
        timeout_seconds: 1,
    };
    let Ok(Reply::Dialed { status: 200, body }) = site.ask(call) else { panic!() };
    assert!(body.ends_with("UTC 2026\n"), "{body}");
    let exec = |command: &[&str]| Call::ExecSync {
        container: web.clone(),
        command: command.iter().map(|word| Text::from(*word)).collect(),
        timeout_seconds: 5,
    };
    let Ok(Reply::Exec { exit_code: 0, stdout, .. }) = site.ask(exec(&["curl", "-s", "localhost"])) else {
        panic!()
    };
    assert_eq!(stdout, body);
    let Ok(Reply::Exec { stdout, .. }) = site.ask(exec(&["ip", "addr"])) else { panic!() };
    assert!(stdout.contains("inet 10.244.1.2/24 scope global eth0"), "{stdout}");
    let error = site.ask(exec(&["sleep", "10"])).unwrap_err();
    assert!(error.contains("timeout 5s exceeded"), "{error}");
}

#[test]
fn output_goes_to_the_log() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("p").unwrap();
    let id = site
        .container(
            &sandbox,
            "busybox",
            &["sh", "-c", "echo one; echo two >&2; printf three; sleep 1"],
            |_| {},
        )
        .unwrap();
    site.wait(2);
    assert_eq!(site.logs(&id), ["one", "two", "three"]);
    let Ok(Reply::Logs(lines)) = site.ask(Call::ContainerLogs { container: id, tail: Some(1) }) else {
        panic!()
    };
    assert_eq!(lines.len(), 1);
}

#[test]
fn pulling_takes_time_by_size_and_fails_in_the_engines_words() {
    let mut site = Site::new("10.244.1.0/24");
    let time = |site: &mut Site, image: &str| {
        let before = site.engine.now();
        site.ask(Call::PullImage { image: image.into(), pod_uid: Text::new() })
            .map(|_| site.engine.now().since(before).as_millis())
    };
    let small = time(&mut site, "busybox:1.36").unwrap();
    let large = time(&mut site, "nginx:1.27").unwrap();
    let again = time(&mut site, "nginx:1.27").unwrap();
    assert!(small < 1500 && (3000..6000).contains(&large) && again < 1000, "{small} {large} {again}");
    let error = time(&mut site, "nginx:doesnotexist").unwrap_err();
    assert!(
        error.starts_with("rpc error: code = NotFound desc = failed to pull and unpack image"),
        "{error}"
    );
    let Ok(Reply::Image(None)) = site.ask(Call::ImageStatus { image: "redis".into() }) else { panic!() };
}

#[test]
fn after_a_power_loss_processes_are_gone_and_files_stay() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("p").unwrap();
    let id = site.container(&sandbox, "nginx", &[], |_| {}).unwrap();
    site.engine.command(&Command::StopHost { host: "n".into() }, &mut site.trace);
    assert_eq!(site.exit(&id), (255, "Unknown".into()));
    let Ok(Reply::Sandboxes(all)) = site.ask(Call::ListPodSandboxes) else { panic!() };
    assert!(!all[0].ready);
    assert!(matches!(site.ask(Call::ImageStatus { image: "nginx".into() }), Ok(Reply::Image(Some(_)))));
}

#[test]
fn the_user_can_kill_a_container_or_the_pause_container() {
    let mut site = Site::new("10.244.1.0/24");
    let sandbox = site.sandbox("p").unwrap();
    let id = site.container(&sandbox, "nginx", &[], |_| {}).unwrap();
    let mut kill = |container: &str| {
        let (namespace, pod) = ("default".to_string(), "p".to_string());
        site.engine.command(
            &Command::KillContainer { namespace, pod, container: container.into() },
            &mut site.trace,
        );
        site.engine.step(&mut site.trace);
        let engine = &site.engine.world.engine;
        let state = engine.containers().find(|container| container.id == id).unwrap().state.clone();
        (
            matches!(state, ContainerState::Exited { exit_code: 137, .. }),
            engine.sandboxes().next().unwrap().is_ready(),
        )
    };
    assert_eq!(kill("c"), (true, true));
    assert_eq!(kill("POD"), (true, false));
}

#[test]
fn a_hollow_engine_starts_everything_at_once() {
    let mut site = Site::new("");
    let sandbox = site.sandbox("nginx").unwrap();
    assert_eq!(sandbox, "nginx_default_uid-nginx_0");
    let id = site.container(&sandbox, "busybox", &["sh", "-c", "exit 1"], |_| {}).unwrap();
    assert_eq!(id, "nginx_default_uid-nginx_0_c_0");
    site.wait(1000);
    assert!(matches!(site.state(&id), ContainerState::Running { .. }));
    let Ok(Reply::Sandboxes(status)) = site.ask(Call::PodSandboxStatus { sandbox }) else { panic!() };
    assert_eq!(status[0].ips, ["192.168.192.168"]);
    assert_eq!(status[0].containers[0].image_id, "busybox:latest");
}
