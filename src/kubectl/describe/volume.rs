//! Volumes, of pods and of the cluster: what is behind each of their kinds.
//!
//! Picture to hold in mind: the labels on the shelves of a store room.

use crate::api::Value;
use crate::api::value::Map;

use super::page::{Page, line, list, number, text_of};

/// Kinds of volumes: field and title, and lines of a label and a field. What stands behind a question mark is told where
/// the field is missing; a reference to a secret is told as Go prints it (`&`); a label behind `!` is for the cluster's
/// volumes only.
const SOURCES: &[&str] = &[
    "hostPath|HostPath (bare host directory volume)|Path:=path|HostPathType:=type?<none>",
    "emptyDir|EmptyDir (a temporary directory that shares a pod's lifetime)|Medium:=medium|SizeLimit:=sizeLimit?<unset>",
    "gcePersistentDisk|GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)|PDName:=pdName|FSType:=fsType|Partition:=partition?0|ReadOnly:=readOnly?false",
    "awsElasticBlockStore|AWSElasticBlockStore (a Persistent Disk resource in AWS)|VolumeID:=volumeID|FSType:=fsType|Partition:=partition?0|ReadOnly:=readOnly?false",
    "gitRepo|GitRepo (a volume that is pulled from git when the pod is created)|Repository:=repository|Revision:=revision",
    "secret|Secret (a volume populated by a Secret)|SecretName:=secretName|Optional:=optional?false",
    "configMap|ConfigMap (a volume populated by a ConfigMap)|Name:=name|Optional:=optional?false",
    "nfs|NFS (an NFS mount that lasts the lifetime of a pod)|Server:=server|Path:=path|ReadOnly:=readOnly?false",
    "persistentVolumeClaim|PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)|ClaimName:=claimName|ReadOnly:=readOnly?false",
    "local|LocalVolume (a persistent volume backed by local storage on a node)|Path:=path",
    "iscsi|ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)|TargetPortal:=targetPortal|IQN:=iqn|Lun:=lun?0|ISCSIInterface=iscsiInterface|FSType:=fsType|ReadOnly:=readOnly?false|Portals:=portals?[]|DiscoveryCHAPAuth:=chapAuthDiscovery?false|SessionCHAPAuth:=chapAuthSession?false|SecretRef:=secretRef&|InitiatorName:=initiatorName?<none>",
    "glusterfs|Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)|EndpointsName:=endpoints|!EndpointsNamespace:=endpointsNamespace?<unset>|Path:=path|ReadOnly:=readOnly?false",
    "rbd|RBD (a Rados Block Device mount on the host that shares a pod's lifetime)|CephMonitors:=monitors|RBDImage:=image|FSType:=fsType|RBDPool:=pool|RadosUser:=user|Keyring:=keyring|SecretRef:=secretRef&|ReadOnly:=readOnly?false",
    "quobyte|Quobyte (a Quobyte mount on the host that shares a pod's lifetime)|Registry:=registry|Volume:=volume|ReadOnly:=readOnly?false",
    "azureDisk|AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod)|DiskName:=diskName|DiskURI:=diskURI|Kind: =kind|FSType:=fsType|CachingMode:=cachingMode|ReadOnly:=readOnly",
    "vsphereVolume|vSphereVolume (a Persistent Disk resource in vSphere)|VolumePath:=volumePath|FSType:=fsType|StoragePolicyName:=storagePolicyName",
    "cinder|Cinder (a Persistent Disk resource in OpenStack)|VolumeID:=volumeID|FSType:=fsType|ReadOnly:=readOnly?false|SecretRef:=secretRef&",
    "photonPersistentDisk|PhotonPersistentDisk (a Persistent Disk resource in photon platform)|PdID:=pdID|FSType:=fsType",
    "portworxVolume|PortworxVolume (a Portworx Volume resource)|VolumeID:=volumeID",
    "scaleIO|ScaleIO (a persistent volume backed by a block device in ScaleIO)|Gateway:=gateway|System:=system|Protection Domain:=protectionDomain|Storage Pool:=storagePool|Storage Mode:=storageMode|VolumeName:=volumeName|!SecretName:=secretRef.name|!SecretNamespace:=secretRef.namespace|FSType:=fsType|ReadOnly:=readOnly?false",
    "cephfs|CephFS (a CephFS mount on the host that shares a pod's lifetime)|Monitors:=monitors|Path:=path|User:=user|SecretFile:=secretFile|SecretRef:=secretRef&|ReadOnly:=readOnly?false",
    "storageos|StorageOS (a StorageOS Persistent Disk resource)|VolumeName:=volumeName|VolumeNamespace:=volumeNamespace|FSType:=fsType|ReadOnly:=readOnly?false",
    "azureFile|AzureFile (an Azure File Service mount on the host and bind mount to the pod)|SecretName:=secretName|!SecretNamespace:=secretNamespace|ShareName:=shareName|ReadOnly:=readOnly?false",
    "flexVolume|FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin)|Driver:=driver|FSType:=fsType|SecretRef:=secretRef&|ReadOnly:=readOnly?false|Options:=options?map[]",
    "flocker|Flocker (a Flocker volume mounted by the Flocker agent)|DatasetName:=datasetName|DatasetUUID:=datasetUUID",
    "image|Image (a container image or OCI artifact)|Reference:=reference|PullPolicy:=pullPolicy",
];

pub fn volumes(page: &mut Page, volumes: &[Value], space: &str) {
    if volumes.is_empty() {
        return line!(page, 0, "{space}Volumes:\t<none>");
    }
    line!(page, 0, "{space}Volumes:");
    let indent = if space.is_empty() { "" } else { " " };
    for volume in volumes {
        line!(page, 1, "{indent}{}:", volume.text("name"));
        if !source(page, volume) {
            line!(page, 1, "<unknown>");
        }
    }
}

/// The lines of a volume's source; false for one that is not known.
pub fn source(page: &mut Page, volume: &Value) -> bool {
    let is_cluster = !volume.has("name");
    for kind in SOURCES {
        let mut parts = kind.split('|');
        let source = volume.at(parts.next().unwrap_or(""));
        if source.is_null() {
            continue;
        }
        line!(page, 2, "Type:\t{}", parts.next().unwrap_or(""));
        for part in parts {
            let (part, is_fit) = part.strip_prefix('!').map_or((part, true), |part| (part, is_cluster));
            let (label, path) = part.split_once('=').unwrap_or((part, ""));
            let (path, default) = path.split_once('?').unwrap_or((path, ""));
            let text = match path.strip_suffix('&') {
                Some(path) => reference(source.at(path), is_cluster),
                None if source.at(path).is_null() => default.to_string(),
                None => text_of(source.at(path)),
            };
            if is_fit {
                line!(page, 2, "{label}\t{text}");
            }
        }
        return true;
    }
    if volume.has("projected") {
        line!(page, 2, "Type:\tProjected (a volume that contains injected data from multiple sources)");
        for source in volume.items("projected.sources") {
            if source.has("secret") {
                line!(page, 2, "SecretName:\t{}", source.text("secret.name"));
                line!(page, 2, "Optional:\t{}", source.is_true("secret.optional"));
            } else if source.has("downwardAPI") {
                line!(page, 2, "DownwardAPI:\ttrue");
            } else if source.has("configMap") {
                line!(page, 2, "ConfigMapName:\t{}", source.text("configMap.name"));
                line!(page, 2, "Optional:\t{}", source.is_true("configMap.optional"));
            } else if source.has("serviceAccountToken") {
                line!(
                    page,
                    2,
                    "TokenExpirationSeconds:\t{}",
                    number(source, "serviceAccountToken.expirationSeconds")
                );
            }
        }
        return true;
    }
    if volume.has("downwardAPI") {
        line!(page, 2, "Type:\tDownwardAPI (a volume populated by information about the pod)");
        line!(page, 2, "Items:");
        for item in volume.items("downwardAPI.items") {
            for field in ["fieldRef.fieldPath", "resourceFieldRef.resource"] {
                if item.has(field) {
                    line!(page, 3, "{} -> {}", item.text(field), item.text("path"));
                }
            }
        }
        return true;
    }
    if volume.has("csi") {
        let csi = volume.at("csi");
        line!(page, 2, "Type:\tCSI (a Container Storage Interface (CSI) volume source)");
        line!(page, 2, "Driver:\t{}", csi.text("driver"));
        line!(page, 2, "FSType:\t{}", csi.text("fsType"));
        if csi.has("volumeHandle") {
            line!(page, 2, "VolumeHandle:\t{}", csi.text("volumeHandle"));
        }
        line!(page, 2, "ReadOnly:\t{}", csi.is_true("readOnly"));
        attributes(page, csi.map("volumeAttributes"));
        return true;
    }
    if volume.has("ephemeral") {
        line!(
            page,
            2,
            "Type:\tEphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)"
        );
        let claim = volume.at("ephemeral.volumeClaimTemplate");
        line!(page, 2, "StorageClass:\t{}", claim.text("spec.storageClassName"));
        line!(page, 2, "Volume:\t");
        line!(page, 2, "Labels:\t{}", super::page::joined(claim.map("metadata.labels")));
        line!(page, 2, "Annotations:\t{}", super::page::joined(claim.map("metadata.annotations")));
        line!(page, 2, "Capacity:\t");
        line!(page, 2, "Access Modes:\t");
        if claim.has("spec.volumeMode") {
            line!(page, 2, "VolumeMode:\t{}", claim.text("spec.volumeMode"));
        }
        return true;
    }
    if volume.has("fc") {
        let fc = volume.at("fc");
        line!(page, 2, "Type:\tFC (a Fibre Channel disk)");
        line!(page, 2, "TargetWWNs:\t{}", list(fc, "targetWWNs", ", "));
        line!(page, 2, "LUN:\t{}", fc.integer("lun").map_or("<none>".into(), |lun| lun.to_string()));
        line!(page, 2, "FSType:\t{}", fc.text("fsType"));
        line!(page, 2, "ReadOnly:\t{}", fc.is_true("readOnly"));
        return true;
    }
    false
}

/// A reference to a secret, as Go prints a pointer to one.
fn reference(secret: &Value, is_cluster: bool) -> String {
    match (secret.is_null(), is_cluster) {
        (true, _) => "nil".into(),
        (_, false) => ["&LocalObjectReference{Name:", secret.text("name"), ",}"].concat(),
        _ => {
            let (name, namespace) = (secret.text("name"), secret.text("namespace"));
            ["&SecretReference{Name:", name, ",Namespace:", namespace, ",}"].concat()
        }
    }
}

fn attributes(page: &mut Page, attributes: &Map) {
    if attributes.is_empty() {
        return line!(page, 2, "VolumeAttributes:\t<none>");
    }
    for (index, (key, value)) in attributes.iter().enumerate() {
        let title = if index == 0 { "VolumeAttributes:" } else { "" };
        line!(page, 2, "{title}\t{key}={}", text_of(value));
    }
}
