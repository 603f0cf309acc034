//! The kinds that make pods, and what scales them.
//!
//! Picture to hold in mind: a standing order. How many, how to replace old by new, how much history to keep: what
//! the customer left out has a house rule.
//!
//! Follows `pkg/apis/apps/v1/defaults.go`, `pkg/apis/autoscaling/v{1,2}/defaults.go` and, for
//! ReplicationController, `pkg/apis/core/v1/defaults.go`.

use super::edit::{each, fill, missing, null, present, within};
use super::pod::pod_template;
use crate::api::value::Value;
use crate::{array, object};

pub fn deployment(deployment: &mut Value) {
    present(deployment, "status");
    present(deployment, "spec");
    within(deployment, "spec", |spec| {
        missing(spec, "replicas", 1);
        present(spec, "strategy");
        within(spec, "strategy", |strategy| {
            fill(strategy, "type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate" {
                missing(strategy, "rollingUpdate.maxUnavailable", "25%");
                missing(strategy, "rollingUpdate.maxSurge", "25%");
            }
        });
        missing(spec, "revisionHistoryLimit", 10);
        missing(spec, "progressDeadlineSeconds", 600);
        present(spec, "template");
        within(spec, "template", pod_template);
    });
}

pub fn replica_set(replica_set: &mut Value) {
    missing(replica_set, "status.replicas", 0);
    present(replica_set, "spec");
    within(replica_set, "spec", |spec| {
        missing(spec, "replicas", 1);
        present(spec, "template");
        within(spec, "template", pod_template);
    });
}

pub fn daemon_set(daemon_set: &mut Value) {
    for counter in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
        missing(daemon_set, &format!("status.{counter}"), 0);
    }
    present(daemon_set, "spec");
    within(daemon_set, "spec", |spec| {
        present(spec, "updateStrategy");
        within(spec, "updateStrategy", |strategy| {
            fill(strategy, "type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate" {
                missing(strategy, "rollingUpdate.maxUnavailable", 1);
                missing(strategy, "rollingUpdate.maxSurge", 0);
            }
        });
        missing(spec, "revisionHistoryLimit", 10);
        present(spec, "template");
        within(spec, "template", pod_template);
    });
}

pub fn stateful_set(stateful_set: &mut Value) {
    missing(stateful_set, "status.replicas", 0);
    missing(stateful_set, "status.availableReplicas", 0);
    present(stateful_set, "spec");
    within(stateful_set, "spec", |spec| {
        missing(spec, "serviceName", "");
        fill(spec, "podManagementPolicy", "OrderedReady");
        present(spec, "updateStrategy");
        within(spec, "updateStrategy", |strategy| {
            if strategy.text("type").is_empty() {
                strategy.set("type", "RollingUpdate");
                present(strategy, "rollingUpdate");
            }
            if strategy.text("type") == "RollingUpdate" && strategy.has("rollingUpdate") {
                missing(strategy, "rollingUpdate.partition", 0);
            }
        });
        for moment in ["whenDeleted", "whenScaled"] {
            fill(spec, &format!("persistentVolumeClaimRetentionPolicy.{moment}"), "Retain");
        }
        missing(spec, "replicas", 1);
        missing(spec, "revisionHistoryLimit", 10);
        present(spec, "template");
        within(spec, "template", pod_template);
        each(spec, "volumeClaimTemplates", |claim| {
            // Claims inside a set carry their type, as they were once stored on their own.
            fill(claim, "apiVersion", "v1");
            fill(claim, "kind", "PersistentVolumeClaim");
            super::cluster::persistent_volume_claim(claim);
        });
    });
}

pub fn replication_controller(controller: &mut Value) {
    let labels = controller.at("spec.template.metadata.labels").clone();
    if !labels.is_null() {
        if controller.map("spec.selector").is_empty() {
            controller.set("spec.selector", labels.clone());
        }
        if controller.map("metadata.labels").is_empty() {
            controller.set("metadata.labels", labels);
        }
    }
    missing(controller, "spec.replicas", 1);
    missing(controller, "status.replicas", 0);
    within(controller, "spec.template", pod_template);
}

pub fn horizontal_pod_autoscaler(version: &str, autoscaler: &mut Value) {
    missing(autoscaler, "spec.minReplicas", 1);
    present(autoscaler, "spec.scaleTargetRef");
    missing(autoscaler, "status.desiredReplicas", 0);
    if version == "v1" {
        missing(autoscaler, "status.currentReplicas", 0);
        return;
    }
    within(autoscaler, "status", |status| null(status, "currentMetrics"));
    if autoscaler.items("spec.metrics").is_empty() {
        autoscaler.set(
            "spec.metrics",
            array![object! {
                "type" => "Resource",
                "resource" => object! {
                    "name" => "cpu",
                    "target" => object! { "type" => "Utilization", "averageUtilization" => 80 },
                },
            }],
        );
    }
    within(autoscaler, "spec.behavior", |behavior| {
        let policy =
            |kind: &str, value: i64| object! { "type" => kind, "value" => value, "periodSeconds" => 15 };
        missing(behavior, "scaleUp.stabilizationWindowSeconds", 0);
        missing(behavior, "scaleUp.policies", array![policy("Pods", 4), policy("Percent", 100)]);
        missing(behavior, "scaleDown.policies", array![policy("Percent", 100)]);
        for direction in ["scaleUp", "scaleDown"] {
            missing(behavior, &format!("{direction}.selectPolicy"), "Max");
        }
    });
}
