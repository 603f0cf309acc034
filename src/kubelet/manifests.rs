//! Files of the manifest directory that somebody changes while the kubelet runs.
//!
//! Picture to hold in mind: a letter box in the machine's own wall. What is put in is a pod to run, what is taken out is
//! one to end; what cannot be read is left lying, and nobody outside hears of it.
//!
//! Follows `pkg/kubelet/config` (file_linux.go, common.go): a file that does not decode to a valid v1 Pod is passed over,
//! as if it were not there.

use crate::api::schema::{self, Schema, Strictness};
use crate::api::{Text, Value, validation, yaml};
use crate::language::Context;
use crate::message::cri::{HostChange, HostFile};

use super::pods::static_pod;
use super::{Kubelet, State};

/// `staticPodPath` of kubeadm's kubelet configuration.
pub(super) const DIRECTORY: &str = "/etc/kubernetes/manifests/";

impl Kubelet {
    /// A file on the node's disk has changed.
    pub(super) fn file_changed(&mut self, file: &HostFile, context: &mut Context) {
        let Some(name) = file.path.strip_prefix(DIRECTORY) else { return };
        // Files below folders, and hidden ones, are not looked at.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return;
        }
        let pod = match &file.change {
            HostChange::Written(content) => pod(name, content, &self.state.config.node_name),
            HostChange::DirectoryMade | HostChange::Removed => None,
        };
        self.set_manifest(name, pod);
        if self.state.node.is_runtime_known {
            State::read_manifests(std::sync::Arc::make_mut(&mut self.state), context);
        }
    }
}

/// The pod of a manifest, not yet defaulted; `None`: it is none.
fn pod(file: &str, content: &str, node: &str) -> Option<Value> {
    let mut documents = yaml::read(content).into_iter();
    let manifest = documents.next()?.ok()?.value;
    let place = Schema::built_in().kind("v1", "Pod")?;
    if manifest.text("apiVersion") != "v1" || manifest.text("kind") != "Pod" || documents.next().is_some() {
        return None;
    }
    let (manifest, _) = schema::decode_object(place, "Pod", &manifest, None, &[], Strictness::Ignore).ok()?;
    let whole = static_pod(file, &manifest, node, &Text::new());
    validation::validate_create("", "v1", "Pod", &whole).is_empty().then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_valid_pod_is_taken() {
        let pod_of =
            |spec: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {spec}\n");
        for (content, is_taken) in [
            (pod_of("{containers: [{name: a, image: nginx}]}"), true),
            (pod_of("{containers: [{name: a, image: nginx}], colour: red}"), true),
            (pod_of("{containers: []}"), false),
            (pod_of("{containers: [{name: A, image: nginx}]}"), false),
            (pod_of("{containers: 5}"), false),
            (pod_of("{containers: [{name: a, image: nginx}]}").replace("Pod", "Job"), false),
            (pod_of("{containers: [{name: a, image: nginx}]}").replace("name: web", "labels: {a: b}"), false),
            ("{".into(), false),
            (String::new(), false),
            ("---\na: b\n---\nc: d\n".into(), false),
        ] {
            assert_eq!(pod("web.yaml", &content, "cp-1").is_some(), is_taken, "{content}");
        }
    }
}
