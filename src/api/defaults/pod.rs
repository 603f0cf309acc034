//! Pods and pod templates.
//!
//! Picture to hold in mind: the template is the mould and the pod the casting; most defaults are pencilled into
//! the mould, and a few (service links, requests out of limits, host ports) only into the casting.
//!
//! Follows `pkg/apis/core/v1/defaults.go` and the `+default` markers of `k8s.io/api/core/v1`.

use super::edit::{each, fill, fill_zero, missing, present, within};
use super::image::default_pull_policy;
use crate::api::value::Value;

/// `SetObjectDefaults_Pod`.
pub fn pod(pod: &mut Value) {
    present(pod, "spec");
    within(pod, "spec", |spec| {
        for list in ["containers", "initContainers"] {
            each(spec, list, requests_from_limits);
        }
        super::cluster::pod_level_resources(spec);
        missing(spec, "enableServiceLinks", true);
        if spec.is_true("hostNetwork") {
            for list in ["containers", "initContainers"] {
                each(spec, list, |container| each(container, "ports", host_port));
            }
        }
        pod_spec(spec);
    });
}

/// The defaults of a `PodTemplateSpec`.
pub fn pod_template(template: &mut Value) {
    present(template, "metadata");
    present(template, "spec");
    within(template, "spec", pod_spec);
}

/// A limit without a request is the request too.
fn requests_from_limits(container: &mut Value) {
    for index in 0..container.map("resources.limits").len() {
        let Some((name, limit)) = container.map("resources.limits").iter().nth(index) else { break };
        if !container.map("resources.requests").contains_key(name) {
            let (name, limit) = (name.clone(), limit.clone());
            container.at_mut("resources.requests").make_object().insert(name, limit);
        }
    }
}

fn host_port(port: &mut Value) {
    if let Some(number) = port.integer("containerPort").filter(|number| *number != 0) {
        fill_zero(port, "hostPort", number);
    }
}

/// `SetDefaults_PodSpec` and what hangs below it.
pub fn pod_spec(spec: &mut Value) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    present(spec, "securityContext");
    missing(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "schedulerName", "default-scheduler");
    // The deprecated alias and its successor are always printed with one value.
    if spec.text("serviceAccountName").is_empty() && !spec.text("serviceAccount").is_empty() {
        let name = spec.at("serviceAccount").clone();
        spec.set("serviceAccountName", name);
    } else if spec.text("serviceAccount") != spec.text("serviceAccountName") {
        let name = spec.at("serviceAccountName").clone();
        spec.set("serviceAccount", name);
    }
    each(spec, "volumes", volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, list, container);
    }
}

/// The volume types whose defaults are only constants: (type, field, what stands there when nothing is given).
const VOLUME_CONSTANTS: &[(&str, &str, &str)] = &[
    ("iscsi", "iscsiInterface", "default"),
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("azureDisk", "cachingMode", "ReadWrite"),
    ("azureDisk", "fsType", "ext4"),
    ("azureDisk", "kind", "Shared"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
    ("scaleIO", "fsType", "xfs"),
];

/// The defaults that a pod's volume shares with a PersistentVolume.
pub fn volume_source(source: &mut Value) {
    for &(kind, field, value) in VOLUME_CONSTANTS {
        within(source, kind, |source| fill(source, field, value));
    }
    within(source, "azureDisk", |disk| missing(disk, "readOnly", false));
    within(source, "hostPath", |path| missing(path, "type", ""));
}

fn volume(volume: &mut Value) {
    // One field is the name; a second one is the source.
    if volume
        .as_object()
        .is_some_and(|fields| fields.iter().all(|(name, value)| *name == "name" || value.is_null()))
    {
        volume.set("emptyDir", Value::object());
    }
    volume_source(volume);
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        within(volume, source, |source| missing(source, "defaultMode", 0o644));
    }
    within(volume, "downwardAPI", |source| each(source, "items", downward_item));
    within(volume, "projected", |projected| {
        each(projected, "sources", |source| {
            within(source, "downwardAPI", |source| each(source, "items", downward_item));
            within(source, "serviceAccountToken", |token| missing(token, "expirationSeconds", 3600));
        });
    });
    within(volume, "ephemeral.volumeClaimTemplate", |template| {
        present(template, "metadata");
        present(template, "spec.resources");
        missing(template, "spec.volumeMode", "Filesystem");
    });
    within(volume, "image", |image| {
        if image.text("pullPolicy").is_empty() {
            let policy = default_pull_policy(image.text("reference"));
            image.set("pullPolicy", policy);
        }
    });
}

fn downward_item(item: &mut Value) {
    within(item, "fieldRef", |field| fill(field, "apiVersion", "v1"));
    within(item, "resourceFieldRef", |resource| missing(resource, "divisor", "0"));
}

fn container(container: &mut Value) {
    if container.text("imagePullPolicy").is_empty() {
        let policy = default_pull_policy(container.text("image"));
        container.set("imagePullPolicy", policy);
    }
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    present(container, "resources");
    each(container, "ports", |port| fill(port, "protocol", "TCP"));
    each(container, "env", |variable| {
        within(variable, "valueFrom", |source| {
            downward_item(source);
            within(source, "fileKeyRef", |file| missing(file, "optional", false));
        });
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        within(container, name, probe);
    }
    within(container, "lifecycle", |lifecycle| {
        for name in ["postStart", "preStop"] {
            within(lifecycle, name, |handler| within(handler, "httpGet", http_get));
        }
    });
}

fn probe(probe: &mut Value) {
    fill_zero(probe, "timeoutSeconds", 1);
    fill_zero(probe, "periodSeconds", 10);
    fill_zero(probe, "successThreshold", 1);
    fill_zero(probe, "failureThreshold", 3);
    within(probe, "httpGet", http_get);
    within(probe, "grpc", |grpc| missing(grpc, "service", ""));
}

fn http_get(action: &mut Value) {
    fill(action, "path", "/");
    fill(action, "scheme", "HTTP");
}
