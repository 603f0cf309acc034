//! A pod's volumes.
//!
//! Picture to hold in mind: shelves carried into a room: each has a name, and one content.
//!
//! Follows `ValidateVolumes` of `pkg/apis/core/validation/validation.go`.

use super::container::{container_resource_field, object_field, pull_policy};
use super::errors::Errors;
use super::format::{dns1123_label, name_is_subdomain};
use super::pod::PodOptions;
use super::volume_source::*;
use super::{certificates, meta, path, storage};
use crate::api::field::{FieldPath, go_quote};
use crate::api::value::Value;

/// What the mounts of a pod's containers look up: the volumes without errors.
pub struct Volumes<'a> {
    sound: Vec<&'a Value>,
}

impl<'a> Volumes<'a> {
    pub fn find(&self, name: &str) -> Option<&'a Value> {
        self.sound.iter().copied().find(|volume| volume.text("name") == name)
    }
}

/// Checks the volumes of `spec`. `pod_name` is empty for a template.
pub fn volumes<'a>(
    volumes: &'a [Value],
    pod_name: &str,
    path: &FieldPath,
    options: &PodOptions,
    errors: &mut Errors,
) -> Volumes<'a> {
    let mut sound: Vec<&'a Value> = Vec::with_capacity(volumes.len());
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let before = errors.len();
        let name = volume.text("name");
        volume_source(volume, name, pod_name, &path, options, errors);
        if errors.require_text(volume, "name", &path) {
            errors.each(&path.child("name"), name, dns1123_label(name));
        }
        if sound.iter().any(|earlier| earlier.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        if errors.len() == before {
            sound.push(volume);
        }
        let claim = volume.text("persistentVolumeClaim.claimName");
        let made_here = |other: &Value| {
            other.has("ephemeral")
                && claim.strip_prefix(pod_name).and_then(|rest| rest.strip_prefix('-'))
                    == Some(other.text("name"))
        };
        if !claim.is_empty() && !pod_name.is_empty() && volumes.iter().any(made_here) {
            errors.invalid(
                &path.child("persistentVolumeClaim.claimName"),
                claim,
                "must not reference a PVC that gets created for an ephemeral volume",
            );
        }
    }
    Volumes { sound }
}

/// Types without context, in upstream's order, around those that need some.
const BEFORE_NAMED: &[Source] = &[
    Source("hostPath", "hostPath", "hostPath", host_path),
    Source("gitRepo", "gitRepo", "gitRepo", git_repo),
    Source("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_persistent_disk),
    Source("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", aws_elastic_block_store),
    Source("secret", "secret", "secret", secret),
    Source("nfs", "nfs", "nfs", nfs),
    Source("iscsi", "iscsi", "iscsi", iscsi),
    Source("glusterfs", "glusterfs", "glusterfs", glusterfs),
    Source("flocker", "flocker", "flocker", flocker),
    Source(
        "persistentVolumeClaim",
        "persistentVolumeClaim",
        "persistentVolumeClaim",
        persistent_volume_claim,
    ),
    Source("rbd", "rbd", "rbd", rbd),
    Source("cinder", "cinder", "cinder", cinder),
    Source("cephfs", "cephFS", "cephfs", cephfs),
    Source("quobyte", "quobyte", "quobyte", quobyte),
    Source("downwardAPI", "downwarAPI", "downwardAPI", downward_api),
    Source("fc", "fc", "fc", fibre_channel),
    Source("flexVolume", "flexVolume", "flexVolume", flex_volume),
    Source("configMap", "configMap", "configMap", config_map),
    Source("azureFile", "azureFile", "azureFile", azure_file),
    Source("vsphereVolume", "vsphereVolume", "vsphereVolume", vsphere),
    Source("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", photon),
    Source("portworxVolume", "portworxVolume", "portworxVolume", portworx),
    Source("azureDisk", "azureDisk", "azureDisk", azure_disk),
    Source("storageos", "storageos", "storageos", storage_os),
    Source("projected", "projected", "projected", projected),
    Source("scaleIO", "scaleIO", "scaleIO", scale_io),
    Source("csi", "csi", "csi", csi),
    Source("ephemeral", "ephemeral", "ephemeral", ephemeral),
    Source("image", "image", "image", image),
];

fn volume_source(
    volume: &Value,
    name: &str,
    pod_name: &str,
    path: &FieldPath,
    options: &PodOptions,
    errors: &mut Errors,
) {
    let mut count = 0;
    // One pass over the few fields that a volume has finds the usual case: exactly one source.
    let given =
        volume.as_object().map_or(0, |fields| fields.iter().filter(|(_, value)| !value.is_null()).count());
    if volume.has("emptyDir") {
        count += 1;
        if volume.text("emptyDir.sizeLimit").starts_with('-') {
            errors.forbidden(
                &path.child("emptyDir.sizeLimit"),
                "SizeLimit field must be a valid resource quantity",
            );
        }
    }
    if given > count + usize::from(!name.is_empty()) {
        for Source(field, forbidden_name, own_name, check) in BEFORE_NAMED {
            let source = volume.at(field);
            if source.is_null() {
                continue;
            }
            if count > 0 {
                errors.forbidden(&path.child(forbidden_name), MORE_THAN_ONE);
            } else {
                count += 1;
                check(source, &path.child(own_name), errors);
                if *field == "image" && options.resource_is_pod && source.text("reference").is_empty() {
                    errors.required(&path.child("image.reference"), "");
                }
            }
            if *field == "iscsi"
                && source.has("initiatorName")
                && name.len() + 1 + source.text("targetPortal").len() > 64
            {
                errors.invalid(
                    &path.child("name"),
                    name,
                    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
                );
            }
            if *field == "ephemeral" && !pod_name.is_empty() && !name.is_empty() {
                let claim = format!("{pod_name}-{name}");
                for complaint in name_is_subdomain(&claim, false) {
                    errors.invalid(
                        &path.child("name"),
                        name,
                        format!("PVC name {}: {complaint}", go_quote(&claim)),
                    );
                }
            }
        }
    }
    if count == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn secret(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "secretName", path);
    file_mode(source, "defaultMode", path, errors);
    keys_to_paths(source, path, errors);
}

fn config_map(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "name", path);
    file_mode(source, "defaultMode", path, errors);
    keys_to_paths(source, path, errors);
}

fn keys_to_paths(source: &Value, path: &FieldPath, errors: &mut Errors) {
    let items = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        key_to_path(item, &items.index(index), errors);
    }
}

fn key_to_path(item: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(item, "key", path);
    errors.require_text(item, "path", path);
    path::local_non_reserved_path(item.text("path"), &path.child("path"), errors);
    file_mode(item, "mode", path, errors);
}

fn persistent_volume_claim(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "claimName", path);
}

fn downward_api(source: &Value, path: &FieldPath, errors: &mut Errors) {
    file_mode(source, "defaultMode", path, errors);
    for file in source.items("items") {
        downward_file(file, path, errors);
    }
}

const DOWNWARD_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward_file(file: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(file, "path", path);
    path::local_non_reserved_path(file.text("path"), &path.child("path"), errors);
    if file.has("fieldRef") {
        object_field(file.at("fieldRef"), DOWNWARD_FIELDS, &path.child("fieldRef"), errors);
        if file.has("resourceFieldRef") {
            errors.invalid(
                path,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if file.has("resourceFieldRef") {
        container_resource_field(file.at("resourceFieldRef"), &path.child("resourceFieldRef"), true, errors);
    } else {
        errors.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    file_mode(file, "mode", path, errors);
}

fn ephemeral(source: &Value, path: &FieldPath, errors: &mut Errors) {
    let template = source.at("volumeClaimTemplate");
    if template.is_null() {
        return errors.required(&path.child("volumeClaimTemplate"), "");
    }
    let path = path.child("volumeClaimTemplate");
    template_meta(template.at("metadata"), &path.child("metadata"), errors);
    storage::claim_spec(template.at("spec"), &path.child("spec"), false, errors);
}

/// `ValidateTemplateObjectMeta`: labels and annotations, and nothing else.
pub fn template_meta(meta: &Value, path: &FieldPath, errors: &mut Errors) {
    meta::annotations(meta.map("annotations"), &path.child("annotations"), errors);
    meta::labels(meta.map("labels"), &path.child("labels"), errors);
    for (name, value) in meta.as_object().into_iter().flat_map(|fields| fields.iter()) {
        if !matches!(name.as_str(), "annotations" | "labels") && !value.is_empty() {
            let shown = if name == "uid" { "uID" } else { name.as_str() };
            errors.forbidden(&path.child(shown), "cannot be set");
        }
    }
}

fn image(source: &Value, path: &FieldPath, errors: &mut Errors) {
    pull_policy(source.text("pullPolicy"), &path.child("pullPolicy"), errors);
}

fn projected(volume: &Value, path: &FieldPath, errors: &mut Errors) {
    file_mode(volume, "defaultMode", path, errors);
    let sources = path.child("sources");
    let mut seen: Vec<&str> = Vec::new();
    for (index, source) in volume.items("sources").iter().enumerate() {
        projection(source, &sources.index(index), path, &mut seen, errors);
    }
}

/// Notes a file; one that is there already is an error of the whole volume, which quotes `quoted`.
fn claim_path<'a>(
    file: &'a str,
    quoted: &str,
    volume: &FieldPath,
    seen: &mut Vec<&'a str>,
    errors: &mut Errors,
) {
    if seen.contains(&file) {
        errors.invalid(volume, quoted, "conflicting duplicate paths");
    } else {
        seen.push(file);
    }
}

fn projection<'a>(
    source: &'a Value,
    path: &FieldPath,
    volume: &FieldPath,
    seen: &mut Vec<&'a str>,
    errors: &mut Errors,
) {
    let mut count = 0;
    for kind in ["secret", "configMap"] {
        let part = source.at(kind);
        if part.is_null() {
            continue;
        }
        count += 1;
        let path = path.child(kind);
        errors.require_text(part, "name", &path);
        let items = path.child("items");
        for (index, item) in part.items("items").iter().enumerate() {
            key_to_path(item, &items.index(index), errors);
            if !item.text("path").is_empty() {
                claim_path(item.text("path"), part.text("name"), volume, seen, errors);
            }
        }
    }
    if source.has("downwardAPI") {
        count += 1;
        for file in source.items("downwardAPI.items") {
            downward_file(file, &path.child("downwardAPI"), errors);
            if !file.text("path").is_empty() {
                claim_path(file.text("path"), file.text("path"), volume, seen, errors);
            }
        }
    }
    let token = source.at("serviceAccountToken");
    if !token.is_null() {
        count += 1;
        let path = path.child("serviceAccountToken");
        let seconds = token.integer("expirationSeconds").unwrap_or(0);
        if seconds < 600 {
            let message = "may not specify a duration less than 10 minutes";
            errors.invalid(&path.child("expirationSeconds"), seconds, message);
        }
        if seconds > 1 << 32 {
            let message = "may not specify a duration larger than 2^32 seconds";
            errors.invalid(&path.child("expirationSeconds"), seconds, message);
        }
        // The path is reported on the whole volume: so upstream has it.
        if errors.require_text(token, "path", volume) {
            path::local_non_reserved_path(token.text("path"), &volume.child("path"), errors);
        }
    }
    if source.has("clusterTrustBundle") {
        count += 1;
        certificates::trust_bundle_projection(
            source.at("clusterTrustBundle"),
            &path.child("clusterTrustBundle"),
            errors,
        );
        let file = source.text("clusterTrustBundle.path");
        claim_path(file, file, volume, seen, errors);
    }
    let certificate = source.at("podCertificate");
    if !certificate.is_null() {
        count += 1;
        let path = path.child("podCertificate");
        certificates::pod_certificate_projection(certificate, &path, errors);
        let mut files = 0;
        for name in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
            let file = certificate.text(name);
            if !file.is_empty() {
                files += 1;
                path::local_non_reserved_path(file, &path.child(name), errors);
                claim_path(file, file, volume, seen, errors);
            }
        }
        if files == 0 {
            errors.required(
                &path,
                "specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
            );
        }
    }
    if count > 1 {
        errors.forbidden(path, "may not specify more than 1 volume type per source");
    }
}
