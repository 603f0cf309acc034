//! A pod's volumes, and who mounts them.
//!
//! Picture to hold in mind: the shelves beside the tenants' doors, each with the names of those who have a key.

use serde::{Deserialize, Serialize};

use crate::api::Value;
use crate::arrange::Gather;

/// A volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    pub name: String,
    /// The field of its source: `emptyDir`, `configMap`, `persistentVolumeClaim`.
    pub kind: String,
    /// Containers, init containers first.
    pub mounted_by: Vec<String>,
}

/// The volumes of `pod`, in its own order, without the token that every pod gets.
pub(super) fn volumes(pod: &Value) -> Vec<VolumeRow> {
    let containers = || pod.items("spec.initContainers").iter().chain(pod.items("spec.containers"));
    let row = |volume: &Value| {
        let name = volume.text("name");
        let source = volume.as_object().into_iter().flat_map(|fields| fields.keys());
        let kind = source
            .into_iter()
            .find(|field| *field != "name")
            .map_or(String::new(), |field| field.to_string());
        let mounts = |container: &&Value| {
            container.items("volumeMounts").iter().any(|mount| mount.text("name") == name)
        };
        VolumeRow {
            name: name.to_string(),
            kind,
            mounted_by: containers().filter(mounts).map(|one| one.text("name").to_string()).gather(),
        }
    };
    pod.items("spec.volumes").iter().filter(|volume| !is_token(volume)).map(row).gather()
}

/// The service account's token, which admission adds.
fn is_token(volume: &Value) -> bool {
    volume.text("name").starts_with("kube-api-access-") && volume.has("projected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::yaml;

    #[test]
    fn each_volume_knows_who_mounts_it() {
        let text = "
spec:
  volumes:
  - {name: logs, emptyDir: {}}
  - {name: site, configMap: {name: site}}
  - {name: kube-api-access-x2k4p, projected: {sources: []}}
  initContainers:
  - {name: fill, volumeMounts: [{name: site, mountPath: /site}]}
  containers:
  - {name: web, volumeMounts: [{name: site, mountPath: /site}, {name: logs, mountPath: /log}]}
";
        let pod = yaml::read(text).remove(0).expect("a document").value;
        let told: Vec<String> = volumes(&pod)
            .iter()
            .map(|volume| format!("{} {} {}", volume.name, volume.kind, volume.mounted_by.join("+")))
            .collect();
        assert_eq!(told, ["logs emptyDir web", "site configMap fill+web"]);
    }
}
