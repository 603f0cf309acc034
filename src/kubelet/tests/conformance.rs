//! The statuses that real hollow kubelets left, computed again.
//!
//! Every pod of the chosen cases that ran on a node is given to a hollow kubelet here; what it leaves must be
//! what was recorded, field by field.

use crate::api::{Map, Value};
use crate::message::rest::WatchType;

use super::site::Site;

/// Times and addresses by name; identities left out.
fn normalize(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::from(
            map.iter()
                .filter(|(key, _)| !matches!(key.as_str(), "containerID" | "imageID"))
                .map(|(key, value)| (key.clone(), normalize(key, value)))
                .collect::<Map>(),
        ),
        Value::Array(items) => Value::array(items.iter().map(|item| normalize(name, item))),
        Value::String(_) if matches!(name, "startTime" | "startedAt" | "lastTransitionTime") => {
            "<time>".into()
        }
        Value::String(_) if matches!(name, "ip" | "podIP" | "hostIP") => "<ip>".into(),
        other => other.clone(),
    }
}

/// One of each form; all of them are marked by `tests/conformance.rs`.
macro_rules! cases {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../tests/conformance/valid/", $name, ".json")))),*]
    };
}
const CASES: &[(&str, &str)] = &cases![
    "001-minimal-pod",
    "002-shared-volume",
    "004-native-sidecar",
    "006-lifecycle-hooks",
    "007-env-sources",
    "008-security-context",
    "012-downward-volume",
    "013-config-volumes",
    "021-priority-pod",
    "022-dns-settings",
    "025-runtime-class",
    "032-restart-policies",
    "033-pod-level-resources",
    "037-job-with-service",
    "040-deploy-basic",
    "047-deploy-history",
    "054-ds-basic",
    "082-limitrange-defaults",
    "085-hpa-cpu",
    "101-redis-cluster",
    "104-log-agent",
];

#[test]
fn statuses_are_those_that_were_recorded() {
    let mut compared = 0;
    let mut differing = Vec::new();
    for (path, text) in CASES {
        let case: Value = serde_json::from_str(text).expect("JSON");
        let objects = case.items("objects");
        for pod in objects.iter().filter(|o| o.text("kind") == "Pod" && o.has("status.hostIP")) {
            let mut site = Site::new(true);
            for object in objects {
                let plural = match object.text("kind") {
                    "ConfigMap" => "configmaps",
                    "Secret" => "secrets",
                    _ => continue,
                };
                site.write(plural, object.clone(), WatchType::Added);
            }
            let key = ("configmaps".into(), "default".into(), "kube-root-ca.crt".into());
            let mut root_ca = site.engine.world.server.objects[&key].clone();
            root_ca.set("metadata.namespace", pod.at("metadata.namespace"));
            site.write("configmaps", root_ca, WatchType::Added);
            let mut bound = pod.clone();
            bound.set("metadata.uid", "uid-1");
            bound.set("spec.nodeName", "worker-1");
            // The recording leaves out which node it was, so what it asked of the node is left out, too.
            bound.remove("spec.affinity");
            bound.remove("spec.nodeSelector");
            bound.set(
                "status",
                crate::object! { "phase" => "Pending", "qosClass" => pod.at("status.qosClass") },
            );
            site.write("pods", bound, WatchType::Added);
            site.wait(20);
            let key =
                ("pods".into(), pod.shared_text("metadata.namespace"), pod.shared_text("metadata.name"));
            let left = site
                .engine
                .world
                .server
                .objects
                .get(&key)
                .map(|pod| pod.at("status").clone())
                .unwrap_or_default();
            let (expected, found) = (normalize("", pod.at("status")), normalize("", &left));
            compared += 1;
            if expected != found {
                differing.push(format!(
                    "{path} {}\n  expected {expected}\n  found    {found}",
                    pod.text("metadata.name")
                ));
            }
        }
    }
    assert!(compared > 30, "{compared} pods");
    assert!(differing.is_empty(), "{} of {compared} differ:\n{}", differing.len(), differing.join("\n"));
}
