//! Nodes, namespaces, events, configuration and storage.
//!
//! Picture to hold in mind: the caretaker's inventory.
//!
//! Follows the printers of the core group, `storage.k8s.io`, `coordination.k8s.io` and `resource.k8s.io` in
//! `pkg/printers/internalversion/printers.go`.

use crate::api::{Value, meta};
use crate::arrange::Gather;
use crate::sorted::SortedSet;

use super::{Printer, name_of, number, text_or};

pub(super) fn cells(group: &str, kind: &str, object: &Value, printer: &Printer) -> Option<Vec<Value>> {
    let text = |path: &str| Value::from(object.text(path));
    let flag = |path: &str, default: bool| Value::Bool(object.at(path).as_bool().unwrap_or(default));
    Some(match (group, kind) {
        ("", "Node") => node(object, printer),
        ("", "Event") | ("events.k8s.io", "Event") => event(object, printer),
        ("", "Namespace") => vec![name_of(object), text("status.phase"), printer.age(object)],
        ("", "Secret") => {
            vec![name_of(object), text("type"), object.map("data").len().into(), printer.age(object)]
        }
        ("", "ConfigMap") => {
            let count = object.map("data").len() + object.map("binaryData").len();
            vec![name_of(object), count.into(), printer.age(object)]
        }
        ("", "ServiceAccount") | ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => {
            vec![name_of(object), printer.age(object)]
        }
        ("", "ComponentStatus") => {
            let healthy =
                object.items("conditions").iter().find(|condition| condition.text("type") == "Healthy");
            let status = match healthy.map(|condition| condition.text("status")) {
                Some("True") => "Healthy",
                Some(_) => "Unhealthy",
                None => "Unknown",
            };
            let part = |name: &str| Value::from(healthy.map_or("", |condition| condition.text(name)));
            vec![name_of(object), status.into(), part("message"), part("error")]
        }
        ("", "ResourceQuota") => {
            let (mut requests, mut limits) = (Vec::new(), Vec::new());
            for (name, hard) in object.map("status.hard").iter() {
                let used = object.map("status.used").get(name).and_then(Value::as_str).unwrap_or("0");
                let entry = format!("{name}: {used}/{}", hard.as_str().unwrap_or("0"));
                if name.starts_with("limits.") { &mut limits } else { &mut requests }.push(entry);
            }
            vec![name_of(object), requests.join(", ").into(), limits.join(", ").into(), printer.age(object)]
        }
        ("", "PersistentVolume") => {
            let claim = object.at("spec.claimRef");
            let claim = if claim.is_null() {
                String::new()
            } else {
                format!("{}/{}", claim.text("namespace"), claim.text("name"))
            };
            let phase = if meta::is_deleting(object) { "Terminating" } else { object.text("status.phase") };
            vec![
                name_of(object),
                text_or(object, "spec.capacity.storage", "0").into(),
                access_modes(object.items("spec.accessModes")).into(),
                text("spec.persistentVolumeReclaimPolicy"),
                phase.into(),
                claim.into(),
                storage_class(object).into(),
                text_or(object, "spec.volumeAttributesClassName", "<unset>").into(),
                text("status.reason"),
                printer.age(object),
                text_or(object, "spec.volumeMode", "<unset>").into(),
            ]
        }
        ("", "PersistentVolumeClaim") => {
            let phase = if meta::is_deleting(object) { "Terminating" } else { object.text("status.phase") };
            let is_bound = !object.text("spec.volumeName").is_empty();
            let capacity = if is_bound { text_or(object, "status.capacity.storage", "0") } else { "" };
            let modes =
                if is_bound { access_modes(object.items("status.accessModes")) } else { String::new() };
            vec![
                name_of(object),
                phase.into(),
                text("spec.volumeName"),
                capacity.into(),
                modes.into(),
                storage_class(object).into(),
                text_or(object, "spec.volumeAttributesClassName", "<unset>").into(),
                printer.age(object),
                text_or(object, "spec.volumeMode", "<unset>").into(),
            ]
        }
        ("coordination.k8s.io", "Lease") => {
            vec![name_of(object), text("spec.holderIdentity"), printer.age(object)]
        }
        ("storage.k8s.io", "StorageClass") => {
            let is_default =
                ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"].iter().any(|prefix| {
                    meta::annotation(object, &format!("{prefix}/is-default-class")) == Some("true")
                });
            let name = format!("{}{}", meta::name(object), if is_default { " (default)" } else { "" });
            vec![
                name.into(),
                text("provisioner"),
                text_or(object, "reclaimPolicy", "Delete").into(),
                text_or(object, "volumeBindingMode", "Immediate").into(),
                flag("allowVolumeExpansion", false),
                printer.age(object),
            ]
        }
        ("storage.k8s.io", "VolumeAttributesClass") => {
            vec![name_of(object), text("driverName"), printer.age(object)]
        }
        ("storage.k8s.io", "VolumeAttachment") => vec![
            name_of(object),
            text("spec.attacher"),
            text("spec.source.persistentVolumeName"),
            text("spec.nodeName"),
            flag("status.attached", false),
            printer.age(object),
        ],
        ("storage.k8s.io", "CSINode") => {
            vec![name_of(object), object.items("spec.drivers").len().into(), printer.age(object)]
        }
        ("storage.k8s.io", "CSIDriver") => {
            let join = |path: &str, field: &str| {
                let items = object.items(path).iter();
                let texts: Vec<&str> = items
                    .map(|item| if field.is_empty() { item.as_str().unwrap_or("") } else { item.text(field) })
                    .collect();
                texts.join(",")
            };
            let modes = join("spec.volumeLifecycleModes", "");
            let tokens = if object.has("spec.tokenRequests") {
                join("spec.tokenRequests", "audience")
            } else {
                "<unset>".to_owned()
            };
            vec![
                name_of(object),
                flag("spec.attachRequired", true),
                flag("spec.podInfoOnMount", false),
                flag("spec.storageCapacity", false),
                tokens.into(),
                flag("spec.requiresRepublish", false),
                if modes.is_empty() { "<none>".into() } else { modes.into() },
                printer.age(object),
            ]
        }
        ("storage.k8s.io", "CSIStorageCapacity") => {
            vec![name_of(object), text("storageClassName"), text_or(object, "capacity", "<unset>").into()]
        }
        ("resource.k8s.io", "ResourceClaim") => {
            let mut states = Vec::new();
            if meta::is_deleting(object) {
                states.push("deleted");
            }
            if !object.has("status.allocation") {
                if !meta::is_deleting(object) {
                    states.push("pending");
                }
            } else {
                states.push("allocated");
                if !object.items("status.reservedFor").is_empty() {
                    states.push("reserved");
                }
            }
            vec![name_of(object), states.join(",").into(), printer.age(object)]
        }
        ("resource.k8s.io", "ResourceSlice") => vec![
            name_of(object),
            text_or(object, "spec.nodeName", "<unset>").into(),
            text("spec.driver"),
            text("spec.pool.name"),
            printer.age(object),
        ],
        _ => return None,
    })
}

fn node(node: &Value, printer: &Printer) -> Vec<Value> {
    let mut status = match meta::condition_status(node, "Ready") {
        "" => "Unknown".to_owned(),
        "True" => "Ready".to_owned(),
        _ => "NotReady".to_owned(),
    };
    if node.is_true("spec.unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let roles: SortedSet<&str> = meta::labels(node)
        .iter()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .gather();
    let roles =
        if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") };
    let address = |kind: &str| {
        let addresses = node.items("status.addresses");
        let found = addresses.iter().find(|address| address.text("type") == kind);
        Value::from(found.map_or("<none>", |address| address.text("address")))
    };
    let info = node.at("status.nodeInfo");
    let mut kernel = text_or(info, "kernelVersion", "<unknown>").to_owned();
    if !info.text("architecture").is_empty() {
        kernel += &format!(" ({})", info.text("architecture"));
    }
    vec![
        name_of(node),
        status.into(),
        roles.into(),
        printer.age(node),
        info.text("kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        text_or(info, "osImage", "<unknown>").into(),
        kernel.into(),
        text_or(info, "containerRuntimeVersion", "<unknown>").into(),
    ]
}

/// An event of the core group, or (under other names) of `events.k8s.io`.
fn event(event: &Value, printer: &Printer) -> Vec<Value> {
    let either = |core: &str, new: &str| match event.text(core) {
        "" => event.text(new).to_owned(),
        text => text.to_owned(),
    };
    let object = if event.has("involvedObject") { event.at("involvedObject") } else { event.at("regarding") };
    let source = if event.has("source") { event.at("source") } else { event.at("deprecatedSource") };
    let first = match either("firstTimestamp", "deprecatedFirstTimestamp").as_str() {
        "" => printer.since_text(event.text("eventTime")),
        first => printer.since_text(first),
    };
    let mut last = match either("lastTimestamp", "deprecatedLastTimestamp").as_str() {
        "" => first.clone(),
        last => printer.since_text(last),
    };
    let mut count = number(event, "count").max(number(event, "deprecatedCount"));
    if event.has("series") {
        last = printer.since_text(event.text("series.lastObservedTime"));
        count = number(event, "series.count");
    } else if count == 0 {
        count = 1;
    }
    let kind = object.text("kind").to_ascii_lowercase();
    let target = match object.text("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = match source.text("component") {
        "" => either("reportingComponent", "reportingController"),
        component => component.to_owned(),
    };
    let source = match text_or(source, "host", event.text("reportingInstance")) {
        "" => component,
        host => format!("{component}, {host}"),
    };
    vec![
        last.into(),
        event.text("type").into(),
        event.text("reason").into(),
        target.into(),
        object.text("fieldPath").into(),
        source.into(),
        either("message", "note").trim().into(),
        first.into(),
        count.into(),
        name_of(event),
    ]
}

/// `RWO,ROX`: each mode once, in a fixed order.
fn access_modes(modes: &[Value]) -> String {
    [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .into_iter()
    .filter(|(mode, _)| modes.iter().any(|other| other.as_str() == Some(mode)))
    .map(|(_, short)| short)
    .gather::<Vec<_>>()
    .join(",")
}

fn storage_class(object: &Value) -> String {
    match meta::annotation(object, "volume.beta.kubernetes.io/storage-class") {
        Some(class) => class.to_owned(),
        None => object.text("spec.storageClassName").to_owned(),
    }
}
