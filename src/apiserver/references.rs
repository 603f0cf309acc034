//! Which other objects a pod or a volume needs by name.
//!
//! Picture to hold in mind: the list of ingredients at the head of a recipe.
//!
//! Follows `pkg/api/v1/pod/util.go` (`VisitPodSecretNames`, `VisitPodConfigmapNames`),
//! `pkg/api/v1/persistentvolume/util.go` and `pkg/api/pod/util.go` (`HasAPIObjectReference`).

use crate::api::{Value, meta};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Referred {
    Secret,
    ConfigMap,
    ServiceAccount,
    /// A PersistentVolumeClaim.
    Claim,
    ResourceClaim,
}

/// Whether the pod refers to an object of its namespace by this name.
pub(super) fn refers(pod: &Value, what: Referred, name: &str) -> bool {
    !name.is_empty() && visit(pod, what, &|found| found == name)
}

/// Shows `is_it` each name, until it says yes. Names may be empty.
fn visit(pod: &Value, what: Referred, is_it: &dyn Fn(&str) -> bool) -> bool {
    let volumes = pod.items("spec.volumes");
    match what {
        Referred::ServiceAccount => is_it(pod.text("spec.serviceAccountName")),
        Referred::Claim => volumes.iter().any(|volume| {
            let is_own =
                volume.has("ephemeral") && is_it(&[meta::name(pod), "-", volume.text("name")].concat());
            is_own || is_it(volume.text("persistentVolumeClaim.claimName"))
        }),
        Referred::ResourceClaim => {
            let named = pod.items("spec.resourceClaims").iter();
            let mut named = named.chain(pod.items("status.resourceClaimStatuses"));
            named.any(|claim| is_it(claim.text("resourceClaimName")))
                || is_it(pod.text("status.extendedResourceClaimStatus.resourceClaimName"))
        }
        Referred::Secret | Referred::ConfigMap => {
            let (in_volume, in_source, in_from, in_variable): (&[&str], _, _, _) = match what {
                Referred::Secret => (
                    &[
                        "secret.secretName",
                        "azureFile.secretName",
                        "cephfs.secretRef.name",
                        "cinder.secretRef.name",
                        "flexVolume.secretRef.name",
                        "rbd.secretRef.name",
                        "scaleIO.secretRef.name",
                        "iscsi.secretRef.name",
                        "storageos.secretRef.name",
                        "csi.nodePublishSecretRef.name",
                    ],
                    "secret.name",
                    "secretRef.name",
                    "valueFrom.secretKeyRef.name",
                ),
                _ => (
                    &["configMap.name"],
                    "configMap.name",
                    "configMapRef.name",
                    "valueFrom.configMapKeyRef.name",
                ),
            };
            let in_volumes = volumes.iter().any(|volume| {
                let mut sources = volume.items("projected.sources").iter();
                sources.any(|source| is_it(source.text(in_source)))
                    || in_volume.iter().any(|path| is_it(volume.text(path)))
            });
            let lists = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
            let mut containers = lists.iter().flat_map(|list| pod.items(list));
            in_volumes
                || what == Referred::Secret
                    && pod.items("spec.imagePullSecrets").iter().any(|secret| is_it(secret.text("name")))
                || containers.any(|container| {
                    container.items("envFrom").iter().any(|from| is_it(from.text(in_from)))
                        || container.items("env").iter().any(|variable| is_it(variable.text(in_variable)))
                })
        }
    }
}

/// Whether the kubelet needs the secret to mount the PersistentVolume.
pub(super) fn needs_secret(volume: &Value, namespace: &str, name: &str) -> bool {
    let spec = volume.at("spec");
    let claimed_in = spec.text("claimRef.namespace");
    let is_it = |own: &str, found: &str, usual: &str| {
        let own = if own.is_empty() { usual } else { own };
        !name.is_empty() && found == name && own == namespace
    };
    let file = spec.at("azureFile");
    let references = ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "cinder", "storageos"];
    is_it(file.text("secretNamespace"), file.text("secretName"), claimed_in)
        || references.iter().any(|source| {
            let reference = spec.at(source).at("secretRef");
            let usual = if matches!(*source, "cinder" | "storageos") { "" } else { claimed_in };
            is_it(reference.text("namespace"), reference.text("name"), usual)
        })
        || ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].iter().any(|field| {
            let reference = spec.at("csi").at(field);
            is_it(reference.text("namespace"), reference.text("name"), "")
        })
}

/// What in the API the pod needs, if anything.
pub(super) fn first_in_api(pod: &Value) -> Option<&'static str> {
    let has = |what: Referred| visit(pod, what, &|name| !name.is_empty());
    for (what, plural) in [
        (Referred::ServiceAccount, "serviceaccounts"),
        (Referred::Secret, "secrets"),
        (Referred::ConfigMap, "configmaps"),
    ] {
        if has(what) {
            return Some(plural);
        }
    }
    if !pod.items("spec.resourceClaims").is_empty() {
        return Some("resourceclaims");
    }
    const OF_VOLUMES: [(&str, &str); 7] = [
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const OF_SOURCES: [(&str, &str); 5] = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    for volume in pod.items("spec.volumes") {
        let found = OF_VOLUMES.iter().find(|(field, _)| volume.has(field));
        let mut sources = volume.items("projected.sources").iter();
        let found = found
            .or_else(|| sources.find_map(|source| OF_SOURCES.iter().find(|(field, _)| source.has(field))));
        if let Some((_, words)) = found {
            return Some(words);
        }
    }
    None
}
