//! Default classes of claims and ingresses; protection of what is in use; growing claims.
//!
//! Picture to hold in mind: the standard shelf for a parcel that names none, and a tag "do not throw away" on each.
//!
//! Follows `plugin/pkg/admission/storage` and `plugin/pkg/admission/network/defaultingressclass`.

use crate::api::quantity::Quantity;
use crate::api::status::Status;
use crate::api::{Value, meta};

use super::Attributes;
use crate::apiserver::ApiServer;

const DEFAULT_STORAGE: &str = "storageclass.kubernetes.io/is-default-class";
const DEFAULT_STORAGE_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
const DEFAULT_INGRESS: &str = "ingressclass.kubernetes.io/is-default-class";

/// StorageObjectInUseProtection.
pub(super) fn protect(attributes: &Attributes, object: &mut Value) {
    if attributes.is("", "PersistentVolume") {
        meta::add_finalizer(object, "kubernetes.io/pv-protection");
    } else if attributes.is("", "PersistentVolumeClaim") {
        meta::add_finalizer(object, "kubernetes.io/pvc-protection");
    }
}

impl ApiServer {
    /// DefaultStorageClass and DefaultIngressClass.
    pub(super) fn choose_classes(&self, attributes: &Attributes, object: &mut Value) -> Result<(), Status> {
        if attributes.is("", "PersistentVolumeClaim") {
            let has_class = object.at("spec").get("storageClassName").is_some_and(|class| !class.is_null())
                || meta::annotation(object, "volume.beta.kubernetes.io/storage-class").is_some();
            if !has_class
                && let Some(class) = self.default_class(
                    self.catalog.shelves.storage_classes,
                    &[DEFAULT_STORAGE, DEFAULT_STORAGE_BETA],
                )
            {
                let name = class.shared_text("metadata.name");
                object.set("spec.storageClassName", name);
            }
        } else if attributes.is("networking.k8s.io", "Ingress") {
            let has_class = object.has("spec.ingressClassName")
                || meta::annotation(object, "kubernetes.io/ingress.class").is_some();
            if !has_class
                && let Some(class) =
                    self.default_class(self.catalog.shelves.ingress_classes, &[DEFAULT_INGRESS])
            {
                let name = class.shared_text("metadata.name");
                object.set("spec.ingressClassName", name);
            }
        }
        Ok(())
    }

    /// Of several defaults the youngest, and of equally young ones the first by name.
    fn default_class(&self, shelf: usize, annotations: &[&str]) -> Option<&Value> {
        let cache = self.caches.get(shelf)?;
        cache
            .objects
            .values()
            .filter(|class| annotations.iter().any(|name| meta::annotation(class, name) == Some("true")))
            .min_by(|a, b| {
                meta::creation_timestamp(b)
                    .cmp(meta::creation_timestamp(a))
                    .then(meta::name(a).cmp(meta::name(b)))
            })
    }

    /// PersistentVolumeClaimResize.
    pub(super) fn check_claim_resize(
        &self,
        attributes: &Attributes,
        claim: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let size = |claim: &Value| Quantity::from_value(claim.at("spec.resources.requests.storage"));
        let (Some(new_size), Some(old_size)) = (size(claim), size(old)) else { return Ok(()) };
        if new_size <= old_size {
            return Ok(());
        }
        if old.text("status.phase") != "Bound" {
            return Err(attributes.forbidden(claim, "Only bound persistent volume claims can be expanded"));
        }
        let class = claim.text("spec.storageClassName");
        let may = self
            .shelf(self.catalog.shelves.storage_classes, class)
            .is_some_and(|class| class.is_true("allowVolumeExpansion"));
        if may {
            return Ok(());
        }
        Err(attributes.forbidden(
            claim,
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}
