//! The scheduler in a toy world.

use super::Scheduler;
use crate::api::{Value, meta};
use crate::client::testing::{Process, SERVER, Sandbox};
use crate::language::{Context, Input};
use crate::{array, object};

impl Process for Scheduler {
    fn handle(&mut self, input: Input, context: &mut Context) {
        Scheduler::handle(self, input, context);
    }
    fn copy(&self) -> Box<dyn Process> {
        Box::new(self.clone())
    }
}

pub(super) fn node(name: &str, cpu: &str) -> Value {
    object! {
        "kind" => "Node",
        "metadata" => object! { "name" => name, "labels" => object! { "kubernetes.io/hostname" => name } },
        "status" => object! {
            "allocatable" => object! { "cpu" => cpu, "memory" => "8Gi", "pods" => "110" },
        },
    }
}
pub(super) fn pod(name: &str, cpu: &str) -> Value {
    let requests = object! { "cpu" => cpu };
    object! {
        "kind" => "Pod",
        "metadata" => object! { "name" => name, "namespace" => "a" },
        "spec" => object! {
            "schedulerName" => "default-scheduler",
            "containers" => array![object! { "image" => "i", "resources" => object! { "requests" => requests } }],
        },
    }
}
fn sandbox(objects: Vec<Value>) -> Sandbox {
    Sandbox::new(objects, vec![Box::new(Scheduler::new(SERVER, "cp-1", "cp-1_x"))])
}
fn node_of(sandbox: &Sandbox, pod: &str) -> String {
    let pod = sandbox.server().get("pods", &format!("a/{pod}"));
    pod.map_or("gone", |pod| pod.text("spec.nodeName")).to_owned()
}
fn why(sandbox: &Sandbox, name: &str) -> String {
    let pod = sandbox.server().get("pods", &format!("a/{name}")).unwrap();
    meta::condition(pod, "PodScheduled").map_or("", |condition| condition.text("message")).to_owned()
}

#[test]
fn pods_are_bound_where_there_is_most_room() {
    let mut sandbox = sandbox(vec![node("n1", "4"), node("n2", "8"), pod("p", "1")]);
    sandbox.run(5);
    assert_eq!(node_of(&sandbox, "p"), "n2");
    let writes = sandbox.server().writes();
    assert_eq!(writes, ["kube-scheduler create pods/binding p 201"]);
    assert!(sandbox.server().log.iter().any(|line| line.contains("create events ")));
}

#[test]
fn a_pod_without_room_says_why_and_comes_again_when_there_is_some() {
    let taint = object! { "key" => "k", "effect" => "NoSchedule" };
    let tainted = node("cp-1", "4").with("spec.taints", array![taint]);
    let mut sandbox =
        sandbox(vec![tainted, node("n1", "4"), node("n2", "4"), node("n3", "4"), pod("huge", "64")]);
    sandbox.run(5);
    assert_eq!(
        why(&sandbox, "huge"),
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient cpu. no new claims to \
         deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    );
    let attempts = |sandbox: &Sandbox| sandbox.server().log.len();
    let before = attempts(&sandbox);
    sandbox.run(60);
    let leases = sandbox.server().log.iter().skip(before).filter(|line| !line.contains(" leases ")).count();
    assert_eq!(leases, 0, "nothing changed, so nobody tries again");
    sandbox.act(|server, now| {
        server.create(node("n4", "128"), now);
    });
    sandbox.run(15);
    assert_eq!(node_of(&sandbox, "huge"), "n4");
}

#[test]
fn the_less_important_make_room() {
    let mut sandbox = sandbox(vec![node("n1", "4"), node("n2", "4")]);
    sandbox.run(4);
    sandbox.act(|server, now| {
        for (name, cpu, priority) in [("low-1", "3", 0), ("low-2", "3", 1)] {
            server.create(pod(name, cpu).with("spec.priority", priority), now);
        }
    });
    sandbox.run(5);
    sandbox.act(|server, now| {
        server.create(pod("high", "2").with("spec.priority", 100), now);
    });
    sandbox.run(15);
    assert_eq!(node_of(&sandbox, "low-1"), "gone");
    assert!(["n1", "n2"].contains(&node_of(&sandbox, "low-2").as_str()));
    assert!(["n1", "n2"].contains(&node_of(&sandbox, "high").as_str()));
    let writes = sandbox.server().writes().join("\n");
    let order = ["patch pods/status low-1", "delete pods low-1", "create pods/binding high"];
    let positions: Vec<usize> = order.iter().map(|line| writes.find(line).unwrap()).collect();
    assert!(positions.is_sorted(), "{writes}");
}

#[test]
fn a_hundred_pods_are_spread_over_ten_nodes() {
    let nodes = (0..10).map(|number| node(&format!("n{number}"), "4"));
    let pods = (0..100).map(|number| pod(&format!("p{number}"), "100m"));
    let mut sandbox = sandbox(nodes.chain(pods).collect());
    sandbox.run(20);
    let mut counts = crate::sorted::SortedMap::new();
    for number in 0..100 {
        *counts.entry(node_of(&sandbox, &format!("p{number}"))).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 10, "{counts:?}");
    assert!(counts.values().all(|count| (9..=11).contains(count)), "{counts:?}");
}

/// SchedulingBasic of Kubernetes' scheduler_perf, for measuring from outside: `time cargo test
/// --release --lib -- --ignored scheduling_basic`. It judges nothing: machines differ.
#[test]
#[ignore = "a measurement"]
fn scheduling_basic() {
    for (nodes, pods) in [(10, 1000), (5000, 10_000)] {
        let nodes = (0..nodes)
            .map(|number| node(&format!("node-{number:05}"), "4").with("status.allocatable.memory", "32Gi"));
        let mut pod = pod("p", "100m");
        if pods == 10_000 {
            pod.set(
                "spec.containers",
                array![object! {
                    "image" => "registry.k8s.io/pause:3.10",
                    "resources" => object! { "requests" => object! { "cpu" => "100m", "memory" => "500Mi" } },
                }],
            );
        } else {
            pod.set("spec.containers", array![object! { "image" => "nginx" }]);
        }
        let all = (0..pods).map(|number| pod.clone().with("metadata.name", format!("pod-{number:05}")));
        let mut sandbox = sandbox(nodes.chain(all).collect());
        let mut seconds = 0;
        let bound = |sandbox: &Sandbox| {
            sandbox.server().all("pods").iter().filter(|pod| pod.has("spec.nodeName")).count()
        };
        while bound(&sandbox) < pods && seconds < 2000 {
            sandbox.run(20);
            seconds += 20;
        }
        println!("{pods} pods in {seconds} simulated seconds");
    }
}
