//! A node falls silent in a toy world.

use super::NodeLifecycleController;
use crate::api::{Value, meta, time};
use crate::client::Controller;
use crate::client::testing::{Manager, Sandbox, Server};
use crate::controllers::taint_eviction::TaintEvictionController;
use crate::sim::Time;
use crate::{array, object};

fn node(name: &str) -> Value {
    let condition = |kind: &str, status: &str| {
        object! {
            "type" => kind, "status" => status, "lastHeartbeatTime" => "2026-01-01T08:00:00Z",
        }
    };
    object! {
        "kind" => "Node", "metadata" => object! { "name" => name },
        "status" => object! { "conditions" => array![
            condition("MemoryPressure", "False"), condition("DiskPressure", "False"),
            condition("PIDPressure", "False"), condition("Ready", "True"),
        ] },
    }
}
fn lease(name: &str) -> Value {
    object! {
        "kind" => "Lease", "metadata" => object! { "name" => name, "namespace" => "kube-node-lease" },
        "spec" => object! { "renewTime" => time::micro_time(Time::ZERO) },
    }
}
fn pod(name: &str, node: &str, seconds: Option<i64>) -> Value {
    let mut toleration = object! {
        "key" => "node.kubernetes.io/unreachable", "operator" => "Exists", "effect" => "NoExecute",
    };
    if let Some(seconds) = seconds {
        toleration.set("tolerationSeconds", seconds);
    }
    object! {
        "kind" => "Pod", "metadata" => object! { "name" => name, "namespace" => "a" },
        "spec" => object! { "nodeName" => node, "tolerations" => array![toleration] },
    }
}
fn renew(server: &mut Server, name: &str, now: Time) {
    server.change("leases", &format!("kube-node-lease/{name}"), |lease| {
        lease.set("spec.renewTime", time::micro_time(now));
    });
}

#[test]
fn a_silent_node_is_marked_tainted_and_emptied() {
    let controllers: Vec<Box<dyn Controller>> =
        vec![Box::new(NodeLifecycleController::default()), Box::new(TaintEvictionController::default())];
    let objects = ["n1", "n2"]
        .into_iter()
        .flat_map(|name| [node(name), lease(name)])
        .chain([pod("short", "n1", Some(300)), pod("ever", "n1", None), pod("else", "n2", Some(300))])
        .collect();
    let mut sandbox = Sandbox::new(objects, vec![Manager::of(controllers)]);
    let mut marked_at = None;
    let mut gone_at = None;
    for tick in 0..40 {
        sandbox.run(10);
        sandbox.act(|server, now| renew(server, "n2", now));
        let server = sandbox.server();
        let n1 = server.get("nodes", "n1").unwrap();
        if meta::condition_status(n1, "Ready") == "Unknown" {
            marked_at.get_or_insert(tick * 10);
        }
        if server.get("pods", "a/short").is_none() {
            gone_at.get_or_insert(tick * 10);
        }
    }
    let (marked_at, gone_at) = (marked_at.unwrap(), gone_at.unwrap());
    assert!((40..=60).contains(&marked_at), "{marked_at}");
    assert!((295..=315).contains(&(gone_at - marked_at)), "{marked_at} {gone_at}");
    let server = sandbox.server();
    let n1 = server.get("nodes", "n1").unwrap();
    assert_eq!(meta::condition(n1, "Ready").unwrap().text("message"), "Kubelet stopped posting node status.");
    let taints: Vec<String> = n1
        .items("spec.taints")
        .iter()
        .map(|taint| format!("{}:{}", taint.text("key"), taint.text("effect")))
        .collect();
    assert_eq!(
        taints,
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
    );
    assert!(!crate::controllers::pods::is_ready(server.get("pods", "a/ever").unwrap()));
    assert!(server.get("pods", "a/else").is_some());

    // It comes back: the signs are taken down.
    sandbox.act(|server, now| {
        renew(server, "n1", now);
        server.change("nodes", "n1", |node| {
            let ready =
                object! { "type" => "Ready", "status" => "True", "lastHeartbeatTime" => time::rfc3339(now) };
            meta::set_condition(node, &ready, &time::rfc3339(now));
        });
    });
    sandbox.run(10);
    assert!(sandbox.server().get("nodes", "n1").unwrap().items("spec.taints").is_empty());
}
