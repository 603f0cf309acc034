//! DaemonSets in a toy world.

use super::DaemonSetController;
use super::placement::{Placement, pod_for};
use crate::api::{Value, meta};
use crate::client::testing::{Manager, Sandbox};
use crate::{array, object};

fn node(name: &str, taints: Value) -> Value {
    let labels = object! { "kubernetes.io/hostname" => name };
    object! {
        "kind" => "Node", "metadata" => object! { "name" => name, "labels" => labels },
        "spec" => object! { "taints" => taints },
    }
}
fn taint(key: &str, effect: &str) -> Value {
    array![object! { "key" => key, "effect" => effect }]
}
fn set(image: &str) -> Value {
    let labels = || object! { "app" => "agent" };
    object! {
        "kind" => "DaemonSet",
        "metadata" => object! { "name" => "agent", "namespace" => "a" },
        "spec" => object! {
            "revisionHistoryLimit" => 1,
            "selector" => object! { "matchLabels" => labels() },
            "updateStrategy" => object! {
                "type" => "RollingUpdate",
                "rollingUpdate" => object! { "maxUnavailable" => 1, "maxSurge" => 0 },
            },
            "template" => object! {
                "metadata" => object! { "labels" => labels() },
                "spec" => object! { "containers" => array![object! { "name" => "c", "image" => image }] },
            },
        },
    }
}

#[test]
fn taints_decide_who_may_come_and_who_may_stay() {
    let placement = Placement::of(&set("i"));
    for (taints, expected) in [
        (array![], (true, true)),
        (taint("own", "NoSchedule"), (false, true)),
        (taint("own", "NoExecute"), (false, false)),
        (taint("own", "PreferNoSchedule"), (true, true)),
        (taint("node.kubernetes.io/unschedulable", "NoSchedule"), (true, true)),
        (taint("node.kubernetes.io/unreachable", "NoExecute"), (true, true)),
    ] {
        assert_eq!(placement.verdict(&node("n", taints.clone())), expected, "{taints}");
    }
}

#[test]
fn a_daemon_pod_is_addressed_to_its_node() {
    let pod = pod_for(&set("i"), "abc", &"n1".into());
    assert_eq!(super::placement::target_node(&pod).as_deref(), Some("n1"));
    assert_eq!(pod.items("spec.tolerations").len(), 6);
    assert_eq!(meta::label(&pod, "controller-revision-hash"), Some("abc"));
}

#[test]
fn a_node_each_then_a_new_template_one_node_at_a_time() {
    let nodes = ["n1", "n2", "n3"].map(|name| node(name, array![]));
    let closed = node("cp-1", taint("node-role.kubernetes.io/control-plane", "NoSchedule"));
    let objects = nodes.into_iter().chain([closed, set("agent:1")]).collect();
    let mut sandbox =
        Sandbox::new(objects, vec![Manager::of(vec![Box::new(DaemonSetController::default())])]);
    sandbox.engine.world.server.assigns_nodes = true;
    // The toy server gives every pod the node that it names itself.
    sandbox.run(5);
    let pods = sandbox.server().all("pods").len();
    assert_eq!(pods, 3);
    sandbox.act(|server, _| {
        server.change("daemonsets", "a/agent", |agent| {
            agent.set(
                "spec.template.spec.containers",
                array![object! { "name" => "c", "image" => "agent:2" }],
            );
        });
    });
    for _ in 0..60 {
        sandbox.run(1);
        let live = sandbox.server().all("pods").iter().filter(|pod| !meta::is_deleting(pod)).count();
        assert!((2..=3).contains(&live), "{live}");
    }
    let server = sandbox.server();
    assert!(server.all("pods").iter().all(|pod| pod.items("spec.containers")[0].text("image") == "agent:2"));
    assert_eq!(server.all("controllerrevisions").len(), 2);
    let status = server.get("daemonsets", "a/agent").unwrap().at("status");
    assert_eq!(status.integer("updatedNumberScheduled"), Some(3));
    assert_eq!(status.integer("numberAvailable"), Some(3));
}
