//! The two spellings of where a claim's data comes from.
//!
//! Picture to hold in mind: an old and a new form for one request; whichever came in, the other is filled in too.
//!
//! Follows `pkg/api/persistentvolumeclaim/util.go`.

use crate::api::value::Value;

/// `dataSource` and `dataSourceRef` say the same (KEP-1495); a legacy source of an unknown kind is dropped.
pub fn normalize_data_sources(claim: &mut Value, old: Option<&Value>) {
    // References across namespaces are an alpha feature.
    if !claim.text("spec.dataSourceRef.namespace").is_empty()
        && !old.is_some_and(|old| old.has("spec.dataSourceRef"))
    {
        claim.remove("spec.dataSourceRef");
    }
    let source = claim.at("spec.dataSource");
    let known = match (source.text("kind"), source.text("apiGroup")) {
        ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io") => true,
        _ => source.is_null(),
    };
    let in_use = |old: &Value| old.has("spec.dataSource") || old.has("spec.dataSourceRef");
    if !old.is_some_and(in_use) && !claim.has("spec.dataSourceRef") && !known {
        claim.remove("spec.dataSource");
    }
    match (claim.has("spec.dataSource"), claim.has("spec.dataSourceRef")) {
        (true, false) => {
            let source = claim.at("spec.dataSource").clone();
            claim.set("spec.dataSourceRef", source);
        }
        (false, true) if claim.text("spec.dataSourceRef.namespace").is_empty() => {
            let source = claim.at("spec.dataSourceRef").clone();
            claim.set("spec.dataSource", source);
        }
        _ => {}
    }
}
