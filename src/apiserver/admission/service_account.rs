//! ServiceAccount: every pod runs as somebody, and carries that somebody's token.
//!
//! Picture to hold in mind: a badge hung around each container's neck.
//!
//! Follows `plugin/pkg/admission/serviceaccount/admission.go`.

use std::sync::LazyLock;

use crate::api::status::Status;
use crate::api::value::literal;
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::{array, object};

use super::Attributes;
use crate::apiserver::ApiServer;

const MIRROR_POD: &str = "kubernetes.io/config.mirror";
const MOUNT_PATH: Text = literal!("/var/run/secrets/kubernetes.io/serviceaccount");
const VOLUME_PREFIX: &str = "kube-api-access-";

/// What the volume is projected from; one object for all pods of the cluster.
static PROJECTED: LazyLock<Value> = LazyLock::new(|| {
    object! {
        "defaultMode" => 420,
        "sources" => array![
            object! { "serviceAccountToken" => object! { "expirationSeconds" => 3607, "path" => "token" } },
            object! { "configMap" => object! {
                "name" => "kube-root-ca.crt",
                "items" => array![object! { "key" => "ca.crt", "path" => "ca.crt" }],
            } },
            object! { "downwardAPI" => object! {
                "items" => array![object! {
                    "path" => "namespace",
                    "fieldRef" => object! { "apiVersion" => "v1", "fieldPath" => "metadata.namespace" },
                }],
            } },
        ],
    }
});

impl ApiServer {
    pub(super) fn mount_service_account(
        &self,
        attributes: &Attributes,
        pod: &mut Value,
        context: &mut Context,
    ) -> Result<(), Status> {
        if meta::annotation(pod, MIRROR_POD).is_some() {
            if !pod.text("spec.serviceAccountName").is_empty() {
                return Err(attributes.forbidden(pod, "a mirror pod may not reference service accounts"));
            }
            return Ok(());
        }
        if pod.text("spec.serviceAccountName").is_empty() {
            pod.set("spec.serviceAccountName", literal!("default"));
        }
        let name = pod.shared_text("spec.serviceAccountName");
        pod.set("spec.serviceAccount", &name);
        let key = format!("{}/{name}", attributes.namespace);
        let Some(account) = self.shelf(self.catalog.shelves.service_accounts, &key) else {
            let message =
                format!("error looking up service account {key}: serviceaccount \"{name}\" not found");
            return Err(attributes.forbidden(pod, message));
        };
        let mounts = pod
            .at("spec.automountServiceAccountToken")
            .as_bool()
            .or_else(|| account.at("automountServiceAccountToken").as_bool())
            .unwrap_or(true);
        let secrets = account.at("imagePullSecrets").clone();
        if mounts {
            mount_token(pod, context);
        }
        if pod.items("spec.imagePullSecrets").is_empty() && !secrets.is_empty() {
            pod.set("spec.imagePullSecrets", secrets);
        }
        Ok(())
    }

    /// Whether a pod was refused only because its namespace's default account is not there yet: it is worth
    /// looking again a moment later.
    pub(in crate::apiserver) fn is_missing_default_account(status: &Status) -> bool {
        status.code == 403
            && status.message.contains(": error looking up service account ")
            && status.message.ends_with(": serviceaccount \"default\" not found")
    }
}

fn mount_token(pod: &mut Value, context: &mut Context) {
    let existing = pod
        .items("spec.volumes")
        .iter()
        .map(|volume| volume.shared_text("name"))
        .find(|name| name.starts_with(VOLUME_PREFIX));
    let has_volume = existing.is_some();
    let name =
        existing.unwrap_or_else(|| Text::from(format!("{VOLUME_PREFIX}{}", context.random().suffix(5))));
    let mount = object! { "name" => &name, "readOnly" => true, "mountPath" => MOUNT_PATH };
    let mut needs_volume = false;
    for field in ["spec.initContainers", "spec.containers"] {
        let lacks = |container: &Value| {
            container.items("volumeMounts").iter().all(|mount| mount.text("mountPath") != MOUNT_PATH)
        };
        if !pod.items(field).iter().any(lacks) {
            continue;
        }
        needs_volume = true;
        for container in pod.at_mut(field).make_array() {
            if lacks(container) {
                container.at_mut("volumeMounts").make_array().push(mount.clone());
            }
        }
    }
    if needs_volume && !has_volume {
        let volume = object! { "name" => name, "projected" => &*PROJECTED };
        pod.at_mut("spec.volumes").make_array().push(volume);
    }
}
