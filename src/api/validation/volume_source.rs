//! The sources that a pod's volume or a PersistentVolume may have.
//!
//! Picture to hold in mind: a plug with one pin: whichever of thirty sockets it is meant for, exactly one.
//!
//! Follows the `validate...VolumeSource` functions of `pkg/apis/core/validation/validation.go`, odd field paths
//! included.

use super::errors::Errors;
use super::format::{dns1123_label, dns1123_subdomain, name_is_label, name_is_subdomain};
use super::path::{local_descending_path, no_backsteps};
use crate::api::field::FieldPath;
use crate::api::value::Value;

pub type SourceCheck = fn(&Value, &FieldPath, &mut Errors);

/// One type: its field, the name in "may not specify more than 1 volume type", the name in its own errors.
pub struct Source(pub &'static str, pub &'static str, pub &'static str, pub SourceCheck);

pub const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

pub fn file_mode(value: &Value, name: &str, path: &FieldPath, errors: &mut Errors) {
    if let Some(mode) = value.integer(name)
        && !(0..=0o777).contains(&mode)
    {
        errors.invalid(&path.child(name), mode, MODE);
    }
}

fn in_range(value: &Value, name: &str, low: i64, path: &FieldPath, errors: &mut Errors) {
    if let Some(number) = value.integer(name)
        && !(low..=255).contains(&number)
    {
        errors.invalid(&path.child(name), number, super::format::range_error(low, 255));
    }
}

pub fn host_path(source: &Value, path: &FieldPath, errors: &mut Errors) {
    if !errors.require_text(source, "path", path) {
        return;
    }
    no_backsteps(source.text("path"), &path.child("path"), errors);
    const TYPES: &[&str] = &[
        "",
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ];
    errors.one_of_if_given(source, "type", path, TYPES);
}

pub fn git_repo(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "repository", path);
    local_descending_path(source.text("directory"), &path.child("directory"), errors);
}

fn alphanumeric(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether an iSCSI name that begins with `iqn`, `eui` or `naa` has the form that its prefix asks for.
fn is_iscsi_name(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("eui") {
        return rest.len() > 1 && alphanumeric(&rest[1..], 16);
    }
    if let Some(rest) = name.strip_prefix("naa") {
        return rest.len() > 1 && rest.is_char_boundary(1) && alphanumeric(&rest[1..], 32);
    }
    // iqn.2001-04.com.example:storage
    let Some((date, rest)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let Some((authority, unit)) = rest.split_once(':') else { return false };
    let date_fits = date.split_once('-').is_some_and(|(year, month)| {
        year.len() == 4
            && month.len() == 2
            && (year.to_owned() + month).bytes().all(|byte| byte.is_ascii_digit())
    });
    date_fits
        && !authority.is_empty()
        && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && !unit.is_empty()
        && !unit.contains(|character: char| character.is_whitespace() || "^,;*&$|".contains(character))
}

fn iscsi_name(name: &str, path: &FieldPath, prefix_message: &str, errors: &mut Errors) {
    if !["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix)) {
        errors.invalid(path, name, prefix_message);
    } else if !is_iscsi_name(name) {
        errors.invalid(path, name, "must be valid format");
    }
}

fn any_iscsi(source: &Value, path: &FieldPath, prefix_message: &str, errors: &mut Errors) {
    if errors.require_text(source, "iqn", path) {
        iscsi_name(source.text("iqn"), &path.child("iqn"), prefix_message, errors);
    }
    in_range(source, "lun", 0, path, errors);
    if (source.is_true("chapAuthDiscovery") || source.is_true("chapAuthSession")) && !source.has("secretRef")
    {
        errors.required(&path.child("secretRef"), "");
    }
}

pub fn iscsi(source: &Value, path: &FieldPath, errors: &mut Errors) {
    const MESSAGE: &str = "must be valid format starting with iqn, eui, or naa";
    errors.require_text(source, "targetPortal", path);
    any_iscsi(source, path, MESSAGE, errors);
    if let Some(name) = source.at("initiatorName").as_str() {
        iscsi_name(name, &path.child("initiatorname"), MESSAGE, errors);
    }
}

pub fn iscsi_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    const MESSAGE: &str = "must be valid format";
    errors.require_text(source, "targetPortal", path);
    any_iscsi(source, path, MESSAGE, errors);
    if source.has("secretRef") {
        secret_name(source, "secretRef", path, errors);
    }
    if let Some(name) = source.at("initiatorName").as_str() {
        iscsi_name(name, &path.child("initiatorname"), MESSAGE, errors);
    }
}

fn secret_name(source: &Value, field: &str, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source.at(field), "name", &path.child(field));
}
fn secret_name_and_namespace(source: &Value, field: &str, path: &FieldPath, errors: &mut Errors) {
    if source.has(field) {
        secret_name(source, field, path, errors);
        errors.require_text(source.at(field), "namespace", &path.child(field));
    }
}

pub fn fibre_channel(source: &Value, path: &FieldPath, errors: &mut Errors) {
    let (names, ids) = (source.items("targetWWNs"), source.items("wwids"));
    let path_names = path.child("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.required(&path_names, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        errors.invalid(
            &path_names,
            source.at("targetWWNs"),
            "targetWWNs and wwids can not be specified simultaneously",
        );
    }
    if !names.is_empty() {
        if !source.has("lun") {
            errors.required(&path.child("lun"), "lun is required if targetWWNs is specified");
        }
        in_range(source, "lun", 0, path, errors);
    }
}

pub fn gce_persistent_disk(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "pdName", path);
    partition(source, path, errors);
}
pub fn aws_elastic_block_store(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "volumeID", path);
    partition(source, path, errors);
}
fn partition(source: &Value, path: &FieldPath, errors: &mut Errors) {
    if let Some(number) = source.integer("partition")
        && !(0..=255).contains(&number)
    {
        errors.invalid(&path.child("partition"), number, super::format::range_error(1, 255));
    }
}

pub fn nfs(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "server", path);
    errors.require_text(source, "path", path);
    if !source.text("path").starts_with('/') {
        errors.invalid(&path.child("path"), source.text("path"), "must be an absolute path");
    }
}

pub fn quobyte(source: &Value, path: &FieldPath, errors: &mut Errors) {
    const PAIR: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.text("registry");
    if registry.is_empty() {
        errors.required(&path.child("registry"), PAIR);
    } else if source.text("tenant").len() >= 65 {
        errors.required(&path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        let is_pair = |pair: &str| match pair.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").is_some_and(|(_, port)| !port.contains(':')),
            None => pair.matches(':').count() == 1,
        };
        for _ in registry.split(',').filter(|pair| !is_pair(pair)) {
            errors.invalid(&path.child("registry"), registry, PAIR);
        }
    }
    errors.require_text(source, "volume", path);
}

pub fn glusterfs(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "endpoints", path);
    errors.require_text(source, "path", path);
}
pub fn glusterfs_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    glusterfs(source, path, errors);
    if let Some(namespace) = source.at("endpointsNamespace").as_str() {
        let path = path.child("endpointsNamespace");
        if namespace.is_empty() {
            errors.invalid(&path, "", "if the endpointnamespace is set, it must be a valid namespace name");
        } else {
            errors.each(&path, namespace, name_is_label(namespace, false));
        }
    }
}

pub fn flocker(source: &Value, path: &FieldPath, errors: &mut Errors) {
    let (name, uuid) = (source.text("datasetName"), source.text("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.required(path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        errors.invalid(&path.child("datasetName"), name, "must not contain '/'");
    }
}

pub fn rbd(source: &Value, path: &FieldPath, errors: &mut Errors) {
    monitors(source, path, errors);
    errors.require_text(source, "image", path);
}
pub fn cephfs(source: &Value, path: &FieldPath, errors: &mut Errors) {
    monitors(source, path, errors);
}
fn monitors(source: &Value, path: &FieldPath, errors: &mut Errors) {
    if source.items("monitors").is_empty() {
        errors.required(&path.child("monitors"), "");
    }
}

pub fn cinder(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "volumeID", path);
    if source.has("secretRef") {
        secret_name(source, "secretRef", path, errors);
    }
}
pub fn cinder_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "volumeID", path);
    secret_name_and_namespace(source, "secretRef", path, errors);
}

pub fn flex_volume(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "driver", path);
    let options = path.child("options");
    for (key, _) in source.map("options").iter() {
        let namespace = key.split_once('/').map_or(key.as_str(), |(namespace, _)| namespace);
        let normalized = format!(".{}", namespace.to_ascii_lowercase());
        if normalized.ends_with(".kubernetes.io") || normalized.ends_with(".k8s.io") {
            errors.invalid(&options.key(key), key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub fn azure_file(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "secretName", path);
    errors.require_text(source, "shareName", path);
}
pub fn azure_file_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    azure_file(source, path, errors);
    if source.at("secretNamespace").as_str() == Some("") {
        errors.required(&path.child("secretNamespace"), "");
    }
}

pub fn azure_disk(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "diskName", path);
    errors.require_text(source, "diskURI", path);
    errors.one_of_if_given(source, "cachingMode", path, &["None", "ReadOnly", "ReadWrite"]);
    errors.one_of_if_given(source, "kind", path, &["Dedicated", "Managed", "Shared"]);
    if let Some(kind) = source.at("kind").as_str() {
        let (prefix, example) = match kind {
            "Managed" => (
                "/subscriptions/",
                "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
            ),
            _ => {
                ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
            }
        };
        let uri = source.text("diskURI");
        if !uri.starts_with(prefix) {
            errors.not_supported(&path.child("diskURI"), uri, &[example]);
        }
    }
}

pub fn vsphere(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "volumePath", path);
}
pub fn photon(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "pdID", path);
}
pub fn portworx(source: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.require_text(source, "volumeID", path);
}
pub fn scale_io(source: &Value, path: &FieldPath, errors: &mut Errors) {
    for name in ["gateway", "system", "volumeName"] {
        errors.require_text(source, name, path);
    }
}
pub fn local(source: &Value, path: &FieldPath, errors: &mut Errors) {
    if errors.require_text(source, "path", path) {
        no_backsteps(source.text("path"), &path.child("path"), errors);
    }
}

pub fn storage_os(source: &Value, path: &FieldPath, errors: &mut Errors) {
    any_storage_os(source, path, errors);
    if source.has("secretRef") {
        secret_name(source, "secretRef", path, errors);
    }
}
pub fn storage_os_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    any_storage_os(source, path, errors);
    secret_name_and_namespace(source, "secretRef", path, errors);
}
fn any_storage_os(source: &Value, path: &FieldPath, errors: &mut Errors) {
    if errors.require_text(source, "volumeName", path) {
        let name = source.text("volumeName");
        errors.each(&path.child("volumeName"), name, dns1123_label(name));
    }
    let namespace = source.text("volumeNamespace");
    if !namespace.is_empty() {
        errors.each(&path.child("volumeNamespace"), namespace, dns1123_label(namespace));
    }
}

/// `ValidateCSIDriverName`.
pub fn csi_driver_name(name: &str, path: &FieldPath, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > 63 {
        errors.too_long(path, 63);
    }
    errors.each(path, name, dns1123_subdomain(&name.to_ascii_lowercase()));
}

pub fn csi(source: &Value, path: &FieldPath, errors: &mut Errors) {
    csi_driver_name(source.text("driver"), &path.child("driver"), errors);
    if source.has("nodePublishSecretRef") {
        let name = source.text("nodePublishSecretRef.name");
        if name.is_empty() {
            errors.required(&path.child("nodePublishSecretRef.name"), "");
        } else {
            errors.each(&path.child("name"), name, name_is_subdomain(name, false));
        }
    }
}
pub fn csi_persistent(source: &Value, path: &FieldPath, errors: &mut Errors) {
    csi_driver_name(source.text("driver"), &path.child("driver"), errors);
    errors.require_text(source, "volumeHandle", path);
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let reference = source.at(field);
        if reference.is_null() {
            continue;
        }
        let path = path.child(field);
        if errors.require_text(reference, "name", &path) {
            errors.each(
                &path.child("name"),
                reference.text("name"),
                dns1123_subdomain(reference.text("name")),
            );
        }
        if errors.require_text(reference, "namespace", &path) {
            errors.each(
                &path.child("namespace"),
                reference.text("namespace"),
                dns1123_label(reference.text("namespace")),
            );
        }
    }
}

/// Types of a PersistentVolume, in upstream's order, up to `local` and after it.
pub const PERSISTENT: &[Source] = &[
    Source("hostPath", "hostPath", "hostPath", host_path),
    Source("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_persistent_disk),
    Source("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", aws_elastic_block_store),
    Source("glusterfs", "glusterfs", "glusterfs", glusterfs_persistent),
    Source("flocker", "flocker", "flocker", flocker),
    Source("nfs", "nfs", "nfs", nfs),
    Source("rbd", "rbd", "rbd", rbd),
    Source("quobyte", "quobyte", "quobyte", quobyte),
    Source("cephfs", "cephFS", "cephfs", cephfs),
    Source("iscsi", "iscsi", "iscsi", iscsi_persistent),
    Source("cinder", "cinder", "cinder", cinder_persistent),
    Source("fc", "fc", "fc", fibre_channel),
    Source("flexVolume", "", "flexVolume", flex_volume),
    Source("azureFile", "azureFile", "azureFile", azure_file_persistent),
    Source("vsphereVolume", "vsphereVolume", "vsphereVolume", vsphere),
    Source("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", photon),
    Source("portworxVolume", "portworxVolume", "portworxVolume", portworx),
    Source("azureDisk", "azureDisk", "azureDisk", azure_disk),
    Source("scaleIO", "scaleIO", "scaleIO", scale_io),
    Source("local", "local", "local", local),
    Source("storageos", "storageos", "storageos", storage_os_persistent),
    Source("csi", "csi", "csi", csi_persistent),
];

/// Checks each given source; all but the first are forbidden. The number of those that counted.
pub fn exactly_one(sources: &[Source], value: &Value, path: &FieldPath, errors: &mut Errors) -> usize {
    let mut count = 0;
    for Source(field, forbidden_name, name, check) in sources {
        let source = value.at(field);
        if source.is_null() {
            continue;
        }
        if count > 0 && !forbidden_name.is_empty() {
            errors.forbidden(&path.child(forbidden_name), MORE_THAN_ONE);
        } else {
            count += 1;
            check(source, &path.child(name), errors);
        }
    }
    count
}
