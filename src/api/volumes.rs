//! Which volume fits which claim: read alike by the volume binder and by the scheduler.
//!
//! Picture to hold in mind: a shoe shop: the smallest shoe that is not too small, of the kind that was asked
//! for, from the shelf that can be reached.
//!
//! After `k8s.io/component-helpers/storage/volume` (`FindMatchingVolume`).

use super::meta;
use super::quantity::Quantity;
use super::scheduling::NodeSelector;
use super::selector::LabelSelector;
use super::value::{Map, Value};

/// A node for which a volume is sought: its name and labels.
pub type Place<'a> = (&'a str, &'a Map);

/// The storage class that a claim or volume names; the old annotation counts before the field.
pub fn storage_class(object: &Value) -> &str {
    meta::annotation(object, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| object.text("spec.storageClassName"))
}
pub fn is_delayed(storage_class: &Value) -> bool {
    storage_class.text("volumeBindingMode") == "WaitForFirstConsumer"
}
pub fn is_bound(claim: &Value) -> bool {
    !claim.text("spec.volumeName").is_empty()
        && meta::annotation(claim, "pv.kubernetes.io/bind-completed").is_some()
}
/// Whether `volume` names `claim` as its own, with or without its UID.
pub fn is_bound_to(volume: &Value, claim: &Value) -> bool {
    let reference = volume.at("spec.claimRef");
    reference.text("name") == meta::name(claim)
        && reference.text("namespace") == meta::namespace(claim)
        && (reference.text("uid").is_empty() || reference.text("uid") == meta::uid(claim))
}
/// Whether the volume can be used on a node.
pub fn is_reachable(volume: &Value, (name, labels): Place) -> bool {
    let required = volume.at("spec.nodeAffinity.required");
    required.is_null() || NodeSelector::parse(required).matches(name, labels)
}
fn capacity(volume: &Value) -> Option<Quantity> {
    Quantity::from_value(volume.at("spec.capacity.storage"))
}

/// The volume for `claim`: one already bound to it, else the smallest that fits. With a `place`, only volumes
/// that can be used there; `delayed` claims are not given a volume without one.
pub fn find_matching<'a>(
    claim: &Value,
    volumes: impl IntoIterator<Item = &'a Value>,
    place: Option<Place>,
    delayed: bool,
) -> Option<&'a Value> {
    let wanted = Quantity::from_value(claim.at("spec.resources.requests.storage"))?;
    let selector = match claim.at("spec.selector") {
        Value::Null => LabelSelector::everything(),
        selector => LabelSelector::from_value(selector).ok()?,
    };
    let mode = |object: &Value| match object.text("spec.volumeMode") {
        "" => "Filesystem".to_owned(),
        mode => mode.to_owned(),
    };
    let mut best: Option<(&Value, Quantity)> = None;
    for volume in volumes {
        if meta::is_deleting(volume) || mode(volume) != mode(claim) {
            continue;
        }
        let Some(size) = capacity(volume) else { continue };
        let fits_place = place.is_none_or(|place| is_reachable(volume, place));
        if volume.has("spec.claimRef") {
            if is_bound_to(volume, claim) && fits_place && size >= wanted {
                return Some(volume);
            }
            continue;
        }
        if (place.is_none() && delayed) || !fits_place || size < wanted {
            continue;
        }
        let has_modes = claim
            .items("spec.accessModes")
            .iter()
            .all(|mode| volume.items("spec.accessModes").contains(mode));
        let is_available = matches!(volume.text("status.phase"), "Available" | "");
        if !is_available
            || !has_modes
            || storage_class(volume) != storage_class(claim)
            || volume.text("spec.volumeAttributesClassName") != claim.text("spec.volumeAttributesClassName")
            || !selector.matches_object(volume)
        {
            continue;
        }
        if best.as_ref().is_none_or(|(_, smallest)| size < *smallest) {
            best = Some((volume, size));
        }
    }
    best.map(|(volume, _)| volume)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn volume(name: &str, size: &str, class: &str) -> Value {
        object! {
            "metadata" => object! { "name" => name },
            "spec" => object! {
                "capacity" => object! { "storage" => size },
                "accessModes" => array!["ReadWriteOnce"],
                "storageClassName" => class,
            },
            "status" => object! { "phase" => "Available" },
        }
    }

    #[test]
    fn the_smallest_that_fits() {
        let claim = |size: &str, class: &str| {
            object! {
                "metadata" => object! { "name" => "c", "namespace" => "a", "uid" => "u" },
                "spec" => object! {
                    "resources" => object! { "requests" => object! { "storage" => size } },
                    "accessModes" => array!["ReadWriteOnce"],
                    "storageClassName" => class,
                },
            }
        };
        let reference = object! { "name" => "c", "namespace" => "a" };
        let volumes = [
            volume("large", "8Gi", "fast"),
            volume("small", "2Gi", "fast"),
            volume("slow", "2Gi", "slow"),
            volume("reserved", "1Gi", "kept").with("spec.claimRef", reference),
        ];
        for (size, class, expected) in [
            ("1Gi", "fast", Some("small")),
            ("4Gi", "fast", Some("large")),
            ("9Gi", "fast", None),
            ("1Gi", "slow", Some("slow")),
            ("1Gi", "kept", Some("reserved")),
        ] {
            let found = find_matching(
                &claim(size, class),
                &volumes[..if class == "kept" { 4 } else { 3 }],
                None,
                false,
            );
            assert_eq!(found.map(meta::name), expected, "{size} of {class}");
        }
        assert!(find_matching(&claim("1Gi", "fast"), &volumes[..3], None, true).is_none());
    }
}
