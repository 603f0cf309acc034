//! What all containers of a pod share: image, ports, environment, mounts.
//!
//! Picture to hold in mind: a crate's packing list, checked line by line.
//!
//! Follows `validateContainerCommon` of `pkg/apis/core/validation/validation.go`.

use super::errors::Errors;
use super::format::{
    config_map_key, dns1123_label, environment_variable_name, name_is_subdomain, port_name, port_number,
};
use super::pod::PodContext;
use super::resources::{self, container_requirements};
use super::{meta, path, security};
use crate::api::field::FieldPath;
use crate::api::value::Value;

pub const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub fn container_common(container: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    if errors.require_text(container, "name", path) {
        let name = container.text("name");
        errors.each(&path.child("name"), name, dns1123_label(name));
    }
    errors.require_text(container, "image", path);
    const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
    let policy = container.text("terminationMessagePolicy");
    errors.one_of(policy, &path.child("terminationMessagePolicy"), MESSAGE_POLICIES);
    ports(container.items("ports"), &path.child("ports"), errors);
    environment(container.items("env"), &path.child("env"), errors);
    environment_from(container.items("envFrom"), &path.child("envFrom"), errors);
    volume_mounts(container, context, &path.child("volumeMounts"), errors);
    volume_devices(container, context, &path.child("volumeDevices"), errors);
    pull_policy(container.text("imagePullPolicy"), &path.child("imagePullPolicy"), errors);
    container_requirements(container.at("resources"), &context.claims, &path.child("resources"), errors);
    resize_policy(container, context.restart_policy, &path.child("resizePolicy"), errors);
    let security_context = container.at("securityContext");
    security::security_context(security_context, context.host_users, &path.child("securityContext"), errors);
}

pub fn pull_policy(policy: &str, path: &FieldPath, errors: &mut Errors) {
    errors.one_of(policy, path, &["Always", "IfNotPresent", "Never"]);
}

fn ports(ports: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let complaints = port_name(name);
            if !complaints.is_empty() {
                errors.each(&path.child("name"), name, complaints);
            } else if ports[..index].iter().any(|earlier| earlier.text("name") == name) {
                errors.duplicate(&path.child("name"), name);
            }
        }
        match port.integer("containerPort").unwrap_or(0) {
            0 => errors.required(&path.child("containerPort"), ""),
            number => any_port_number(number, &path.child("containerPort"), errors),
        }
        if let Some(number) = port.integer("hostPort").filter(|number| *number != 0) {
            any_port_number(number, &path.child("hostPort"), errors);
        }
        errors.one_of(port.text("protocol"), &path.child("protocol"), PROTOCOLS);
    }
}

pub fn any_port_number(number: i64, path: &FieldPath, errors: &mut Errors) {
    if let Some(complaint) = port_number(number) {
        errors.invalid(path, number, complaint);
    }
}

/// `ValidatePortNumOrName`.
pub fn port_number_or_name(port: &Value, path: &FieldPath, errors: &mut Errors) {
    match port {
        Value::String(name) => errors.each(path, name, port_name(name)),
        other => any_port_number(other.as_integer().unwrap_or(0), path, errors),
    }
}

fn environment(variables: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, variable) in variables.iter().enumerate() {
        let path = path.index(index);
        if errors.require_text(variable, "name", &path) {
            let name = variable.text("name");
            errors.each(&path.child("name"), name, environment_variable_name(name));
        }
        if variable.has("valueFrom") {
            value_from(variable, &path.child("valueFrom"), errors);
        }
    }
}

const ENVIRONMENT_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn value_from(variable: &Value, path: &FieldPath, errors: &mut Errors) {
    let source = variable.at("valueFrom");
    let mut count = 0;
    if source.has("fieldRef") {
        count += 1;
        object_field(source.at("fieldRef"), ENVIRONMENT_FIELDS, &path.child("fieldRef"), errors);
    }
    if source.has("resourceFieldRef") {
        count += 1;
        container_resource_field(
            source.at("resourceFieldRef"),
            &path.child("resourceFieldRef"),
            false,
            errors,
        );
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if source.has(kind) {
            count += 1;
            key_selector(source.at(kind), &path.child(kind), errors);
        }
    }
    if source.has("fileKeyRef") {
        count += 1;
        file_key_selector(source.at("fileKeyRef"), &path.child("fileKeyRef"), errors);
    }
    if count == 0 {
        errors.invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    } else if !variable.text("value").is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

fn key_selector(selector: &Value, path: &FieldPath, errors: &mut Errors) {
    let name = selector.text("name");
    errors.each(&path.child("name"), name, name_is_subdomain(name, false));
    if errors.require_text(selector, "key", path) {
        errors.each(&path.child("key"), selector.text("key"), config_map_key(selector.text("key")));
    }
}

fn file_key_selector(selector: &Value, path: &FieldPath, errors: &mut Errors) {
    if errors.require_text(selector, "key", path) {
        errors.each(
            &path.child("key"),
            selector.text("key"),
            environment_variable_name(selector.text("key")),
        );
    }
    if errors.require_text(selector, "volumeName", path) {
        errors.each(
            &path.child("volumeName"),
            selector.text("volumeName"),
            dns1123_label(selector.text("volumeName")),
        );
    }
    if errors.require_text(selector, "path", path) {
        path::no_backsteps(selector.text("path"), &path.child("path"), errors);
    }
}

/// `metadata.labels['key']` as path and subscript.
pub fn split_subscript(field: &str) -> Option<(&str, &str)> {
    let rest = field.strip_suffix("']")?;
    let (path, subscript) = rest.split_once("['")?;
    (!path.is_empty()).then_some((path, subscript))
}

/// Fields that the downward API can convert at all; which of them fit depends on where they are used.
const CONVERTIBLE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// `validateObjectFieldSelector`.
pub fn object_field(selector: &Value, allowed: &[&str], path: &FieldPath, errors: &mut Errors) {
    if !errors.require_text(selector, "apiVersion", path) || !errors.require_text(selector, "fieldPath", path)
    {
        return;
    }
    let (version, field) = (selector.text("apiVersion"), selector.text("fieldPath"));
    let subscripted = split_subscript(field);
    let problem = if version != "v1" {
        Some(format!("unsupported pod version: {version}"))
    } else if let Some((name, _)) = subscripted {
        let known = matches!(name, "metadata.annotations" | "metadata.labels");
        (!known).then(|| format!("field label does not support subscript: {field}"))
    } else {
        let known = field == "spec.host" || CONVERTIBLE_FIELDS.contains(&field);
        (!known).then(|| format!("field label not supported: {field}"))
    };
    if let Some(problem) = problem {
        return errors.invalid(
            &path.child("fieldPath"),
            field,
            format!("error converting fieldPath: {problem}"),
        );
    }
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    match subscripted {
        Some(("metadata.annotations", key)) => meta::label_name(&key.to_ascii_lowercase(), path, errors),
        Some((_, key)) => meta::label_name(key, path, errors),
        None if !allowed.contains(&field) => errors.not_supported(&path.child("fieldPath"), field, allowed),
        None => {}
    }
}

const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `validateContainerResourceFieldSelector`.
pub fn container_resource_field(selector: &Value, path: &FieldPath, in_volume: bool, errors: &mut Errors) {
    let resource = selector.text("resource");
    let huge_pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && selector.text("containerName").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !RESOURCE_FIELDS.contains(&resource) && !huge_pages {
        errors.not_supported(&path.child("resource"), resource, RESOURCE_FIELDS);
    }
    let divisor = selector.at("divisor");
    if divisor.is_null() || resources::is_zero(divisor) {
        return;
    }
    let shown = resources::shown(divisor);
    let path = path.child("divisor");
    match resource.split_once('.').map_or("", |(_, name)| name) {
        "cpu" if !matches!(shown.as_str(), "1m" | "1") => {
            errors.invalid(
                &path,
                resource,
                "only divisor's values 1m and 1 are supported with the cpu resource",
            );
        }
        "cpu" => {}
        name => {
            let what = match name {
                "memory" => "memory",
                "ephemeral-storage" => "local ephemeral storage",
                _ if huge_pages => "hugepages",
                _ => return,
            };
            if !BYTE_DIVISORS.contains(&shown.as_str()) {
                let list = BYTE_DIVISORS.join(", ");
                let message = format!("only divisor's values {list} are supported with the {what} resource");
                errors.invalid(&path, resource, message);
            }
        }
    }
}

fn environment_from(sources: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, source) in sources.iter().enumerate() {
        let item = path.index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty() {
            errors.each(&item.child("prefix"), prefix, environment_variable_name(prefix));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = source.at(kind);
            if reference.is_null() {
                continue;
            }
            count += 1;
            let path = item.child(kind);
            if errors.require_text(reference, "name", &path) {
                let name = reference.text("name");
                errors.each(&path.child("name"), name, name_is_subdomain(name, true));
            }
        }
        if count == 0 {
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if count > 1 {
            errors.invalid(path, "", "may not have more than one field specified at a time");
        }
    }
}

fn volume_mounts(container: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    let mounts = container.items("volumeMounts");
    let devices = container.items("volumeDevices");
    for (index, mount) in mounts.iter().enumerate() {
        let item = path.index(index);
        let (name, target) = (mount.text("name"), mount.text("mountPath"));
        errors.require_text(mount, "name", &item);
        if context.volumes.find(name).is_none() {
            errors.not_found(&item.child("name"), name);
        }
        errors.require_text(mount, "mountPath", &item);
        if mounts[..index].iter().any(|earlier| earlier.text("mountPath") == target) {
            errors.invalid(&item.child("mountPath"), target, "must be unique");
        }
        if devices.iter().any(|device| device.text("name") == name) {
            errors.invalid(&item.child("name"), name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| device.text("devicePath") == target) {
            errors.invalid(
                &item.child("mountPath"),
                target,
                "must not already exist as a path in volumeDevices",
            );
        }
        let (sub_path, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
        if !sub_path.is_empty() {
            path::local_descending_path(sub_path, &path.child("subPath"), errors);
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                let message = "subPathExpr and subPath are mutually exclusive";
                errors.invalid(&item.child("subPathExpr"), expression, message);
            }
            path::local_descending_path(expression, &path.child("subPathExpr"), errors);
        }
        if let Some(propagation) = mount.at("mountPropagation").as_str() {
            let path = path.child("mountPropagation");
            const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
            if !PROPAGATIONS.contains(&propagation) {
                errors.not_supported(&path, propagation, PROPAGATIONS);
            }
            if propagation == "Bidirectional" && !container.is_true("securityContext.privileged") {
                let message = "Bidirectional mount propagation is available only to privileged containers";
                errors.forbidden(&path, message);
            }
        }
        recursive_read_only(mount, &path.child("recursiveReadOnly"), errors);
    }
}

fn recursive_read_only(mount: &Value, path: &FieldPath, errors: &mut Errors) {
    match mount.at("recursiveReadOnly").as_str() {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.is_true("readOnly") {
                errors.forbidden(path, "may only be specified when readOnly is true");
            }
            if !matches!(mount.at("mountPropagation").as_str(), None | Some("None")) {
                errors
                    .forbidden(path, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => errors.not_supported(path, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn volume_devices(container: &Value, context: &PodContext, path: &FieldPath, errors: &mut Errors) {
    let devices = container.items("volumeDevices");
    let mounts = container.items("volumeMounts");
    for (index, device) in devices.iter().enumerate() {
        let item = path.index(index);
        let (name, target) = (device.text("name"), device.text("devicePath"));
        let earlier = &devices[..index];
        errors.require_text(device, "name", &item);
        if !name.is_empty() && earlier.iter().any(|other| other.text("name") == name) {
            errors.invalid(&item.child("name"), name, "must be unique");
        }
        match context.volumes.find(name) {
            None => errors.not_found(&item.child("name"), name),
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => errors
                .invalid(
                    &item.child("name"),
                    name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ),
            Some(_) => {}
        }
        errors.require_text(device, "devicePath", &item);
        let is_taken = |other: &Value| other.text("devicePath") == target && !path::has_backsteps(target);
        if earlier.iter().any(is_taken) {
            errors.invalid(&item.child("devicePath"), target, "must be unique");
        }
        if path::has_backsteps(target) {
            errors.invalid(&item.child("devicePath"), target, "can not contain backsteps ('..')");
        }
        if mounts.iter().any(|mount| mount.text("name") == name) {
            errors.invalid(&item.child("name"), name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|mount| mount.text("mountPath") == target) {
            errors.invalid(
                &item.child("devicePath"),
                target,
                "must not already exist as a path in volumeMounts",
            );
        }
    }
}

fn resize_policy(container: &Value, pod_restart_policy: &str, path: &FieldPath, errors: &mut Errors) {
    let policies = container.items("resizePolicy");
    for (index, policy) in policies.iter().enumerate() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if policies[..index].iter().any(|earlier| earlier.text("resourceName") == resource) {
            errors.duplicate(&path.index(index), resource);
        }
        errors.one_of(resource, path, &["cpu", "memory"]);
        errors.one_of(restart, path, &["NotRequired", "RestartContainer"]);
        if pod_restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}
