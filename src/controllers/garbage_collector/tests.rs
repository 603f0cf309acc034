//! Owners and dependents in a toy world.

use super::GarbageCollector;
use crate::api::{Value, meta};
use crate::client::testing::{Manager, Sandbox};
use crate::object;

fn object_of(kind: &str, name: &str, owners: &[(&str, &str, &str)]) -> Value {
    let owners = owners.iter().map(|(api_version, kind, name)| {
        object! {
            "apiVersion" => *api_version, "kind" => *kind, "name" => *name, "uid" => *name,
            "controller" => true, "blockOwnerDeletion" => true,
        }
    });
    object! {
        "kind" => kind,
        "metadata" => object! {
            "name" => name, "namespace" => "a", "uid" => name, "ownerReferences" => Value::array(owners),
        },
        "status" => object! { "phase" => "Succeeded" },
    }
}
fn family() -> Vec<Value> {
    vec![
        object_of("Deployment", "web", &[]),
        object_of("ReplicaSet", "web-1", &[("apps/v1", "Deployment", "web")]),
        object_of("Pod", "web-1-a", &[("apps/v1", "ReplicaSet", "web-1")]),
        object_of("Pod", "web-1-b", &[("apps/v1", "ReplicaSet", "web-1")]),
        object_of("Pod", "other", &[]),
    ]
}
fn sandbox(objects: Vec<Value>) -> Sandbox {
    let mut sandbox = Sandbox::new(objects, vec![Manager::of(vec![Box::new(GarbageCollector::default())])]);
    sandbox.run(2);
    sandbox
}
fn names(sandbox: &Sandbox) -> Vec<String> {
    ["deployments", "replicasets", "pods"]
        .iter()
        .flat_map(|plural| sandbox.server().all(plural))
        .map(|object| meta::name(object).to_owned())
        .collect()
}

#[test]
fn dependents_follow_their_owner() {
    let mut sandbox = sandbox(family());
    assert_eq!(names(&sandbox).len(), 5);
    assert!(sandbox.server().log.is_empty());
    sandbox.act(|server, now| server.delete("deployments", "a/web", "Background", now));
    sandbox.run(5);
    assert_eq!(names(&sandbox), ["other"]);
    let writes = sandbox.server().writes();
    assert_eq!(writes[0], "generic-garbage-collector delete replicasets web-1 200");
}

#[test]
fn in_the_foreground_dependents_go_first() {
    let mut sandbox = sandbox(family());
    sandbox.act(|server, now| server.delete("deployments", "a/web", "Foreground", now));
    sandbox.run(5);
    assert_eq!(names(&sandbox), ["other"]);
    let writes = sandbox.server().writes();
    let position = |line: &str| writes.iter().position(|write| write.contains(line)).unwrap();
    assert!(position("delete pods web-1-a") < position("patch replicasets web-1"), "{writes:?}");
    assert!(position("patch replicasets web-1") < position("patch deployments web"), "{writes:?}");
}

#[test]
fn orphans_are_set_free() {
    let mut sandbox = sandbox(family());
    sandbox.act(|server, now| server.delete("deployments", "a/web", "Orphan", now));
    sandbox.run(5);
    assert_eq!(names(&sandbox), ["web-1", "other", "web-1-a", "web-1-b"]);
    let set = sandbox.server().get("replicasets", "a/web-1").unwrap();
    assert!(meta::owner_references(set).is_empty());
}

#[test]
fn an_owner_that_never_was_does_not_keep_anybody() {
    let mut objects = family();
    objects.push(object_of("Pod", "stray", &[("apps/v1", "ReplicaSet", "never")]));
    objects.push(object_of(
        "Pod",
        "half",
        &[("apps/v1", "ReplicaSet", "never"), ("apps/v1", "ReplicaSet", "web-1")],
    ));
    let sandbox = sandbox(objects);
    assert!(!names(&sandbox).contains(&"stray".to_owned()));
    let half = sandbox.server().get("pods", "a/half").unwrap();
    assert_eq!(meta::owner_references(half).len(), 1);
}
