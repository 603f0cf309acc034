//! StatefulSets in a toy world.

use super::{StatefulSetController, identity};
use crate::api::{Value, meta};
use crate::client::testing::{Manager, Sandbox};
use crate::{array, object};

fn set(replicas: i64, policy: &str) -> Value {
    let labels = || object! { "app" => "db" };
    object! {
        "apiVersion" => "apps/v1", "kind" => "StatefulSet",
        "metadata" => object! { "name" => "db", "namespace" => "a" },
        "spec" => object! {
            "replicas" => replicas,
            "serviceName" => "peers",
            "podManagementPolicy" => policy,
            "revisionHistoryLimit" => 1,
            "selector" => object! { "matchLabels" => labels() },
            "updateStrategy" => object! {
                "type" => "RollingUpdate", "rollingUpdate" => object! { "partition" => 0 },
            },
            "volumeClaimTemplates" => array![object! {
                "metadata" => object! { "name" => "data" },
                "spec" => object! { "accessModes" => array!["ReadWriteOnce"] },
            }],
            "template" => object! {
                "metadata" => object! { "labels" => labels() },
                "spec" => object! { "containers" => array![object! { "name" => "c", "image" => "one" }] },
            },
        },
    }
}

fn sandbox(set: Value) -> Sandbox {
    let controller = Box::new(StatefulSetController::default());
    let mut sandbox = Sandbox::new(vec![set], vec![Manager::of(vec![controller])]);
    sandbox.engine.world.server.assigns_nodes = true;
    sandbox
}
/// The pods' names that were created or deleted, in order.
fn steps(sandbox: &Sandbox, verb: &str) -> Vec<String> {
    let prefix = format!("statefulset-controller {verb} pods ");
    let lines = sandbox.server().writes();
    lines.iter().filter_map(|line| line.strip_prefix(prefix.as_str())).map(String::from).collect()
}
fn change(sandbox: &mut Sandbox, path: &str, value: impl Into<Value>) {
    let value = value.into();
    sandbox.act(|server, _| {
        server.change("statefulsets", "a/db", |set| {
            set.set(path, value);
        });
    });
}

#[test]
fn names_carry_ordinals() {
    for (name, expected) in [
        ("db-0", ("db", 0)),
        ("a-b-12", ("a-b", 12)),
        ("db", ("", -1)),
        ("db-x", ("", -1)),
        ("db-", ("", -1)),
        ("db-99999999999", ("db", -1)),
    ] {
        let pod = object! { "metadata" => object! { "name" => name } };
        assert_eq!(identity::parent_and_ordinal(&pod), expected, "{name}");
    }
}

#[test]
fn replicas_come_in_order_change_from_the_last_and_leave_from_the_last() {
    let mut sandbox = sandbox(set(3, "OrderedReady"));
    sandbox.run(5);
    assert_eq!(steps(&sandbox, "create"), ["db-0 201", "db-1 201", "db-2 201"]);
    let status = sandbox.server().get("statefulsets", "a/db").map(|set| set.at("status").clone());
    let status = status.unwrap_or_default();
    for field in ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
        assert_eq!(status.integer(field), Some(3), "{field}");
    }
    let pod = sandbox.server().get("pods", "a/db-1").cloned().unwrap_or_default();
    assert_eq!(pod.text("spec.hostname"), "db-1");
    assert_eq!(pod.text("spec.subdomain"), "peers");
    assert_eq!(pod.items("spec.volumes")[0].text("persistentVolumeClaim.claimName"), "data-db-1");
    assert_eq!(meta::label(&pod, "apps.kubernetes.io/pod-index"), Some("1"));
    assert_eq!(identity::revision(&pod), status.text("currentRevision"));

    let image = array![object! { "name" => "c", "image" => "two" }];
    change(&mut sandbox, "spec.template.spec.containers", image);
    sandbox.run(15);
    assert_eq!(steps(&sandbox, "delete"), ["db-2 200", "db-1 200", "db-0 200"]);
    let now = sandbox.server().get("statefulsets", "a/db").map(|set| set.at("status").clone());
    let now = now.unwrap_or_default();
    assert_ne!(now.text("currentRevision"), status.text("currentRevision"));
    assert_eq!(now.text("currentRevision"), now.text("updateRevision"));

    change(&mut sandbox, "spec.replicas", 1);
    sandbox.run(10);
    assert_eq!(steps(&sandbox, "delete")[3..], ["db-2 200", "db-1 200"]);
    assert_eq!(sandbox.server().all("persistentvolumeclaims").len(), 3);
    let errors = sandbox.server().writes().into_iter().filter(|line| line.ends_with("409"));
    assert_eq!(errors.count(), 0, "no pod is created twice");
}

#[test]
fn a_partition_holds_the_lower_ordinals_back() {
    let mut sandbox = sandbox(set(3, "OrderedReady"));
    sandbox.run(5);
    change(&mut sandbox, "spec.updateStrategy.rollingUpdate.partition", 2);
    change(&mut sandbox, "spec.template.spec.containers", array![object! { "name" => "d" }]);
    sandbox.run(10);
    assert_eq!(steps(&sandbox, "delete"), ["db-2 200"]);
    let set = sandbox.server().get("statefulsets", "a/db").cloned().unwrap_or_default();
    assert_eq!(set.integer("status.updatedReplicas"), Some(1));
    assert_ne!(set.text("status.currentRevision"), set.text("status.updateRevision"));
}

#[test]
fn parallel_replicas_do_not_wait_and_scaled_down_claims_go_with_their_pods() {
    let mut parallel = set(4, "Parallel");
    let policy = object! { "whenScaled" => "Delete", "whenDeleted" => "Delete" };
    parallel.set("spec.persistentVolumeClaimRetentionPolicy", policy);
    let mut sandbox = sandbox(parallel);
    sandbox.run(3);
    assert_eq!(steps(&sandbox, "create").len(), 4);
    let owner = |sandbox: &Sandbox, claim: &str| {
        let claim = sandbox.server().get("persistentvolumeclaims", claim).cloned().unwrap_or_default();
        meta::controller_of(&claim).map_or(String::new(), |owner| owner.text("kind").to_owned())
    };
    assert_eq!(owner(&sandbox, "a/data-db-3"), "StatefulSet");
    change(&mut sandbox, "spec.replicas", 2);
    sandbox.run(3);
    assert_eq!(owner(&sandbox, "a/data-db-3"), "Pod");
    assert_eq!(owner(&sandbox, "a/data-db-1"), "StatefulSet");
    assert_eq!(sandbox.server().all("pods").len(), 2);
}
