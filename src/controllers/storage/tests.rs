//! Volumes and claims in a toy world.

use super::binder::VolumeBinder;
use super::ephemeral::EphemeralVolumeController;
use super::protection::{ClaimProtection, VolumeProtection};
use crate::api::{Value, meta};
use crate::client::testing::{Manager, Sandbox};
use crate::{array, object};

fn volume(name: &str, size: &str) -> Value {
    object! {
        "kind" => "PersistentVolume",
        "metadata" => object! { "name" => name, "finalizers" => array!["kubernetes.io/pv-protection"] },
        "spec" => object! {
            "capacity" => object! { "storage" => size },
            "accessModes" => array!["ReadWriteOnce"],
            "storageClassName" => "manual",
            "persistentVolumeReclaimPolicy" => "Retain",
        },
        "status" => object! { "phase" => "Pending" },
    }
}
fn claim(name: &str, size: &str, class: &str) -> Value {
    object! {
        "kind" => "PersistentVolumeClaim",
        "metadata" => object! {
            "name" => name, "namespace" => "a", "finalizers" => array!["kubernetes.io/pvc-protection"],
        },
        "spec" => object! {
            "resources" => object! { "requests" => object! { "storage" => size } },
            "accessModes" => array!["ReadWriteOnce"],
            "storageClassName" => class,
        },
        "status" => object! { "phase" => "Pending" },
    }
}
fn class(name: &str, mode: &str) -> Value {
    object! {
        "kind" => "StorageClass", "metadata" => object! { "name" => name },
        "provisioner" => "csi.example.com", "volumeBindingMode" => mode,
    }
}
fn sandbox(mut objects: Vec<Value>) -> Sandbox {
    objects.extend([class("slow", "WaitForFirstConsumer"), class("quick", "Immediate")]);
    let mut sandbox = Sandbox::new(
        objects,
        vec![Manager::of(vec![
            Box::<VolumeBinder>::default(),
            Box::<ClaimProtection>::default(),
            Box::<VolumeProtection>::default(),
            Box::<EphemeralVolumeController>::default(),
        ])],
    );
    sandbox.run(20);
    sandbox
}
fn get(sandbox: &Sandbox, plural: &str, key: &str) -> Value {
    sandbox.server().get(plural, key).cloned().unwrap_or_default()
}
fn phase(sandbox: &Sandbox, plural: &str, key: &str) -> String {
    get(sandbox, plural, key).text("status.phase").to_owned()
}

#[test]
fn claims_get_the_smallest_volume_and_give_it_back() {
    let objects = vec![volume("large", "8Gi"), volume("small", "2Gi"), claim("c", "1Gi", "manual")];
    let mut sandbox = sandbox(objects);
    let bound = get(&sandbox, "persistentvolumeclaims", "a/c");
    assert_eq!((bound.text("spec.volumeName"), bound.text("status.phase")), ("small", "Bound"));
    assert_eq!(bound.text("status.capacity.storage"), "2Gi");
    for key in ["pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"] {
        assert_eq!(meta::annotation(&bound, key), Some("yes"));
    }
    assert_eq!(get(&sandbox, "persistentvolumes", "small").text("spec.claimRef.uid"), meta::uid(&bound));
    assert_eq!(phase(&sandbox, "persistentvolumes", "small"), "Bound");
    assert_eq!(phase(&sandbox, "persistentvolumes", "large"), "Available");

    sandbox.act(|server, now| {
        server.delete("persistentvolumes", "small", "", now);
        server.delete("persistentvolumes", "large", "", now);
    });
    sandbox.run(1);
    assert!(sandbox.server().get("persistentvolumes", "large").is_none());
    assert!(sandbox.server().get("persistentvolumes", "small").is_some(), "is held while it is bound");
    sandbox.act(|server, now| server.delete("persistentvolumeclaims", "a/c", "", now));
    sandbox.run(1);
    assert!(sandbox.server().get("persistentvolumeclaims", "a/c").is_none());
    assert!(sandbox.server().get("persistentvolumes", "small").is_none());
}

#[test]
fn claims_wait_or_order_as_their_class_says() {
    let objects = vec![
        claim("none", "1Gi", ""),
        claim("waits", "1Gi", "slow"),
        claim("orders", "1Gi", "quick"),
        claim("errs", "1Gi", "missing"),
    ];
    let sandbox = sandbox(objects);
    let reason = |name: &str| {
        let events = sandbox.server().all("events");
        let about = |event: &&&Value| event.text("involvedObject.name") == name;
        events.iter().find(about).map_or("", |event| event.text("reason")).to_owned()
    };
    for (name, expected) in [
        ("none", "FailedBinding"),
        ("waits", "WaitForFirstConsumer"),
        ("orders", "ExternalProvisioning"),
        ("errs", "ProvisioningFailed"),
    ] {
        assert_eq!(reason(name), expected, "{name}");
        assert_eq!(phase(&sandbox, "persistentvolumeclaims", &format!("a/{name}")), "Pending");
    }
    let ordered = get(&sandbox, "persistentvolumeclaims", "a/orders");
    assert_eq!(
        meta::annotation(&ordered, "volume.kubernetes.io/storage-provisioner"),
        Some("csi.example.com")
    );
}

#[test]
fn a_claim_in_use_stays_until_its_pod_is_gone() {
    let source = object! { "claimName" => "c" };
    let scratch =
        object! { "volumeClaimTemplate" => object! { "spec" => claim("x", "1Gi", "slow").at("spec") } };
    let pod = object! {
        "kind" => "Pod", "metadata" => object! { "name" => "p", "namespace" => "a" },
        "spec" => object! { "nodeName" => "n", "volumes" => array![
            object! { "name" => "data", "persistentVolumeClaim" => source },
            object! { "name" => "scratch", "ephemeral" => scratch },
        ] },
    };
    let mut sandbox = sandbox(vec![claim("c", "1Gi", ""), pod]);
    let made = get(&sandbox, "persistentvolumeclaims", "a/p-scratch");
    assert_eq!(meta::controller_of(&made).map(|owner| owner.text("name")), Some("p"));
    sandbox.act(|server, now| server.delete("persistentvolumeclaims", "a/c", "", now));
    sandbox.run(2);
    assert!(sandbox.server().get("persistentvolumeclaims", "a/c").is_some());
    sandbox.act(|server, now| server.delete("pods", "a/p", "", now));
    sandbox.run(3);
    assert!(sandbox.server().get("persistentvolumeclaims", "a/c").is_none());
}
