//! Volumes and the claims to them.
//!
//! Picture to hold in mind: a cloakroom with numbered hooks: who asks is given a hook that suits the coat; a hook
//! is not taken down while a coat hangs there.
//!
//! - [`binder`] persistent-volume-binder: gives claims their volumes, and takes volumes back
//! - [`protection`] keeps what is in use from disappearing
//! - [`ephemeral`] the claims of volumes that live as long as their pod
//!
//! After `pkg/controller/volume`. There is no storage behind the volumes: who provisions them is outside.

pub mod binder;
pub mod ephemeral;
pub mod protection;
#[cfg(test)]
mod tests;

use crate::api::{Text, Value, meta};

/// Files a pod under the keys of the claims that it uses.
pub(super) const BY_CLAIM: &str = "claim";

/// The claims that a pod uses: by name, or made for it.
pub(super) fn claims_of(pod: &Value) -> Vec<Text> {
    let namespace = meta::namespace(pod);
    pod.items("spec.volumes")
        .iter()
        .filter_map(|volume| {
            let name = volume.text("persistentVolumeClaim.claimName");
            if !name.is_empty() {
                Some(arcstr::format!("{namespace}/{name}"))
            } else if volume.has("ephemeral") {
                Some(arcstr::format!("{namespace}/{}-{}", meta::name(pod), volume.text("name")))
            } else {
                None
            }
        })
        .collect()
}
