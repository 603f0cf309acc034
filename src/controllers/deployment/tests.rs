//! Deployments and their ReplicaSets in a toy world.

use super::DeploymentController;
use super::revision::set_replicas_annotations;
use super::scale::proportions;
use crate::api::{Value, meta};
use crate::client::Controller;
use crate::client::testing::{Manager, Sandbox, Server, deployment};
use crate::controllers::replicaset::ReplicaSetController;
use crate::object;

fn sandbox(objects: Vec<Value>) -> Sandbox {
    let controllers: Vec<Box<dyn Controller>> =
        vec![Box::new(DeploymentController::new()), Box::new(ReplicaSetController::new())];
    let mut sandbox = Sandbox::new(objects, vec![Manager::of(controllers)]);
    sandbox.engine.world.server.assigns_nodes = true;
    sandbox
}
fn status(server: &Server, name: &str) -> Value {
    server.get("deployments", &format!("default/{name}")).unwrap().at("status").clone()
}
fn conditions(status: &Value) -> Vec<String> {
    let text = |condition: &Value| {
        format!("{}={} {}", condition.text("type"), condition.text("status"), condition.text("reason"))
    };
    status.items("conditions").iter().map(text).collect()
}
fn sizes(server: &Server) -> Vec<i64> {
    let mut sizes: Vec<i64> =
        server.all("replicasets").iter().filter_map(|set| set.integer("spec.replicas")).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn a_deployment_becomes_a_replica_set_becomes_pods() {
    let mut sandbox = sandbox(vec![deployment("web", 3, "nginx")]);
    sandbox.run(5);
    let server = sandbox.server();
    assert_eq!(server.all("pods").len(), 3);
    let status = status(server, "web");
    assert_eq!(status.integer("availableReplicas"), Some(3));
    assert_eq!(
        conditions(&status),
        ["Available=True MinimumReplicasAvailable", "Progressing=True NewReplicaSetAvailable"]
    );
    let first_effects: Vec<&str> = server.writes().into_iter().take(3).collect();
    assert!(
        first_effects[0].starts_with("deployment-controller create replicasets web-"),
        "{first_effects:?}"
    );
    let web = server.get("deployments", "default/web").unwrap();
    assert_eq!(meta::annotation(web, "deployment.kubernetes.io/revision"), Some("1"));
}

#[test]
fn a_rolling_update_keeps_its_bounds_and_its_history() {
    let mut sandbox = sandbox(vec![deployment("web", 4, "nginx:1")]);
    sandbox.run(5);
    for (round, image) in ["nginx:2", "nginx:3", "nginx:4", "nginx:1"].iter().enumerate() {
        sandbox.act(|server, _| {
            server.change("deployments", "default/web", |web| {
                let containers = vec![object! { "name" => "c", "image" => *image }];
                web.set("spec.template.spec.containers", containers);
            });
        });
        for _ in 0..40 {
            sandbox.run(1);
            let server = sandbox.server();
            let live = server.all("pods").iter().filter(|pod| !meta::is_deleting(pod)).count();
            assert!((3..=5).contains(&live), "{live} pods in round {round}");
        }
        let server = sandbox.server();
        assert_eq!(status(server, "web").integer("updatedReplicas"), Some(4));
        assert!(server.all("replicasets").len() <= 3, "old revisions are cleared");
        assert_eq!(sizes(server).last(), Some(&4));
    }
}

#[test]
fn recreation_waits_for_the_last_old_pod() {
    let mut web = deployment("web", 2, "nginx:1");
    web.set("spec.strategy", object! { "type" => "Recreate" });
    let mut sandbox = sandbox(vec![web]);
    sandbox.run(5);
    sandbox.act(|server, _| {
        server.change("deployments", "default/web", |web| {
            web.set("spec.template.spec.containers", vec![object! { "name" => "c", "image" => "nginx:2" }]);
        });
    });
    for _ in 0..200 {
        sandbox
            .engine
            .run_until(sandbox.engine.now() + crate::sim::Duration::from_millis(20), &mut sandbox.trace);
        let images: crate::sorted::SortedSet<&str> = sandbox
            .server()
            .all("pods")
            .iter()
            .map(|pod| pod.items("spec.containers")[0].text("image"))
            .collect();
        assert!(images.len() <= 1, "old and new side by side");
    }
    assert_eq!(status(sandbox.server(), "web").integer("availableReplicas"), Some(2));
}

#[test]
fn scaling_and_pausing() {
    let mut sandbox = sandbox(vec![deployment("web", 1, "nginx")]);
    sandbox.run(5);
    sandbox.act(|server, _| {
        server.change("deployments", "default/web", |web| {
            web.set("spec.replicas", 5).set("spec.paused", true);
        })
    });
    sandbox.run(5);
    let status = status(sandbox.server(), "web");
    assert_eq!(status.integer("readyReplicas"), Some(5));
    assert!(conditions(&status).contains(&"Progressing=Unknown DeploymentPaused".to_owned()));
}

#[test]
fn a_stuck_rollout_is_called_so_after_its_deadline() {
    let mut sandbox = sandbox(vec![]);
    sandbox.engine.world.server.assigns_nodes = false;
    sandbox.run(1);
    sandbox.act(|server, now| {
        server.create(deployment("web", 1, "nginx").with("spec.progressDeadlineSeconds", 30), now);
    });
    sandbox.run(25);
    let reason = |sandbox: &Sandbox| {
        let status = status(sandbox.server(), "web");
        meta::find_condition(status.items("conditions"), "Progressing").unwrap().text("reason").to_owned()
    };
    assert_eq!(reason(&sandbox), "ReplicaSetUpdated");
    sandbox.run(10);
    assert_eq!(reason(&sandbox), "ProgressDeadlineExceeded");
}

#[test]
fn sizes_stay_in_proportion() {
    // (sizes of the sets with the Deployment's former maximum, new size, surge, expected)
    for (sets, former_max, wanted, surge, expected) in [
        (vec![8, 5], 13, 20, 3, vec![14, 9]),
        (vec![5, 5], 10, 20, 0, vec![10, 10]),
        (vec![10, 2], 12, 6, 0, vec![5, 1]),
        (vec![3, 3], 6, 0, 0, vec![0, 0]),
    ] {
        let mut deployment = deployment("web", wanted, "nginx");
        deployment.set("spec.strategy.rollingUpdate.maxSurge", surge);
        let sets: Vec<Value> = sets
            .into_iter()
            .enumerate()
            .map(|(index, size): (usize, i64)| {
                let mut set = object! {
                    "metadata" => object! { "name" => format!("rs{index}"), "creationTimestamp" => "t" },
                    "spec" => object! { "replicas" => size },
                };
                set_replicas_annotations(&mut set, former_max, former_max);
                set
            })
            .collect();
        let sizes: Vec<i64> =
            proportions(&deployment, sets.iter().collect()).into_iter().map(|(_, size)| size).collect();
        assert_eq!(sizes, expected);
    }
}
