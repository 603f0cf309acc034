//! Many pods at once: how much work the server makes, told by counts; how fast, told by `--nocapture` in release.

use std::sync::Arc;

use crate::api::Value;
use crate::message::Message;
use crate::message::rest::{Options, PatchType, Request, Resource, User, Verb, WatchType};
use crate::sim::Duration;
use crate::{array, object};

use super::Bench;

const PODS: u64 = 1000;
const NODES: u64 = 10;

struct Driver {
    bench: Bench,
    next: u64,
    user: Arc<User>,
}

impl Driver {
    fn request(&mut self, verb: Verb, plural: &str, name: &str, subresource: &str, body: Value) -> Request {
        self.next += 1;
        Request {
            id: self.next,
            user: Arc::clone(&self.user),
            user_agent: "load".into(),
            verb,
            resource: Resource::new("", "v1", plural),
            namespace: if plural == "nodes" { "".into() } else { "default".into() },
            name: name.into(),
            subresource: subresource.into(),
            path: "".into(),
            options: Options::default(),
            body,
        }
    }
    fn send(&mut self, request: Request) {
        self.bench.engine.world.outbox.push(Message::Request(Arc::new(request)));
    }
    /// Lets everything that was sent be answered; how many answers were successes, and how many watch events came.
    fn settle(&mut self) -> (usize, usize) {
        self.bench.command(&crate::command::Command::HealNetwork);
        self.bench.pass(Duration::from_millis(200));
        let inbox = std::mem::take(&mut self.bench.engine.world.inbox);
        let is_success =
            |message: &&Message| matches!(message, Message::Response(response) if response.is_success());
        let is_event = |message: &&Message| matches!(message, Message::Watch(event) if event.kind != WatchType::Bookmark);
        (inbox.iter().filter(is_success).count(), inbox.iter().filter(is_event).count())
    }
}

#[test]
fn a_thousand_pods_are_created_bound_and_ready() {
    let user = Arc::new(User::new(
        "system:kube-scheduler".into(),
        vec!["system:masters".into(), "system:authenticated".into()],
    ));
    let mut driver = Driver {
        bench: Bench::new(|config| {
            config.notes_stages = false;
            if std::env::var_os("TRACKED").is_some() {
                config.field_tracking = crate::apiserver::FieldTracking::Everybody;
            }
        }),
        next: 0,
        user,
    };
    let account = object! { "metadata" => object! { "name" => "default" } };
    let request = driver.request(Verb::Create, "serviceaccounts", "", "", account);
    driver.send(request);
    for node in 0..NODES {
        let labels = object! { "topology.kubernetes.io/zone" => "a" };
        let body = object! { "metadata" => object! { "name" => format!("node-{node}"), "labels" => labels } };
        let request = driver.request(Verb::Create, "nodes", "", "", body);
        driver.send(request);
    }
    // One watcher of everything for each controller, one of its own pods for each node.
    for _ in 0..5 {
        let mut request = driver.request(Verb::Watch, "pods", "", "", Value::Null);
        request.options.resource_version = "0".into();
        driver.send(request);
    }
    for node in 0..NODES {
        let mut request = driver.request(Verb::Watch, "pods", "", "", Value::Null);
        request.options.field_selector = format!("spec.nodeName=node-{node}").into();
        driver.send(request);
    }
    assert_eq!(driver.settle().0 as u64, 1 + NODES + 5 + NODES);

    let begin = std::time::Instant::now();
    let template = object! {
        "containers" => array![object! { "name" => "web", "image" => "nginx:1.27",
            "resources" => object! { "requests" => object! { "cpu" => "100m", "memory" => "64Mi" } } }],
    };
    let mut events = 0;
    for pod in 0..PODS {
        let metadata = object! { "name" => format!("pod-{pod}"), "labels" => object! { "app" => "web" } };
        let body = object! { "metadata" => metadata, "spec" => &template };
        let request = driver.request(Verb::Create, "pods", "", "", body);
        driver.send(request);
    }
    let (created, told) = driver.settle();
    events += told;
    assert_eq!(created as u64, PODS);
    for pod in 0..PODS {
        let name = format!("pod-{pod}");
        let target = object! { "kind" => "Node", "name" => format!("node-{}", pod % NODES) };
        let body = object! { "metadata" => object! { "name" => &name[..] }, "target" => target };
        let request = driver.request(Verb::Create, "pods", &name, "binding", body);
        driver.send(request);
    }
    let (bound, told) = driver.settle();
    events += told;
    assert_eq!(bound as u64, PODS);
    for round in 0..12 {
        for pod in 0..PODS {
            let name = format!("pod-{pod}");
            let conditions =
                array![object! { "type" => "Ready", "status" => if round == 11 { "True" } else { "False" },
                "message" => format!("{round}") }];
            let body = object! { "status" => object! { "phase" => "Running", "conditions" => conditions } };
            let request =
                driver.request(Verb::Patch(PatchType::StrategicMerge), "pods", &name, "status", body);
            driver.send(request);
        }
        let (patched, told) = driver.settle();
        events += told;
        assert_eq!(patched as u64, PODS);
    }
    let spent = begin.elapsed();
    // Creation: five; binding: five and the node; each patch: six.
    assert_eq!(events as u64, PODS * (5 + 6 + 12 * 6));
    let writes = PODS * 14;
    println!("{writes} writes, {events} watch events: {spent:?}, {:?} a write", spent / writes as u32);
}
