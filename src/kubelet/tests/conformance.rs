//! The statuses that real hollow kubelets left, computed again.
//!
//! Every pod of the recorded cases that ran on a node is given to a hollow kubelet here; what it leaves must be
//! what was recorded, field by field.

use std::path::PathBuf;

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

fn cases() -> Vec<(String, Value)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in ["valid", "updates"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let path = if path.is_dir() { path.join("expected.json") } else { path };
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a readable case");
        (path.display().to_string(), serde_json::from_str(&text).expect("JSON"))
    };
    paths.iter().map(read).collect()
}

#[test]
fn statuses_are_those_that_were_recorded() {
    let mut compared = 0;
    let mut differing = Vec::new();
    for (path, case) in cases() {
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
    assert!(compared > 100, "{compared} pods");
    assert!(differing.is_empty(), "{} of {compared} differ:\n{}", differing.len(), differing.join("\n"));
}
