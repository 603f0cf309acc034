//! Pods and pod templates: the whole spec, in upstream's order.
//!
//! Picture to hold in mind: a pre-flight checklist. The order of the items is fixed, so the list of what is wrong
//! always reads the same.
//!
//! Follows `ValidatePodSpec`, `ValidatePodCreate` and `ValidatePodTemplateSpec` of
//! `pkg/apis/core/validation/validation.go`. Options that only tolerate what older servers let in are left out: no
//! object here is older than the rules.

use super::containers::{self, only_for_pod};
use super::errors::Errors;
use super::format::{
    dns1123_label, dns1123_subdomain, dns1123_subdomain_with_underscore, name_is_subdomain, range_error,
};
use super::meta::{self, METADATA, SPEC};
use super::resources;
use super::security;
use super::volume::{Volumes, volumes};
use super::{address, affinity};
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;
use crate::arrange::Gather;

pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What differs between pods and templates.
#[derive(Clone, Copy)]
pub struct PodOptions {
    pub resource_is_pod: bool,
}

/// What the containers of one pod need to know of it.
pub struct PodContext<'a> {
    pub volumes: Volumes<'a>,
    pub claims: Vec<&'a str>,
    pub grace_period_seconds: Option<i64>,
    pub restart_policy: &'a str,
    pub host_users: bool,
    /// `linux`, `windows` or empty.
    pub os: &'a str,
}

/// `ValidatePodCreate`.
pub fn create(pod: &Value, errors: &mut Errors) {
    metadata_and_spec(pod, errors);
    let spec = pod.at("spec");
    if !spec.items("ephemeralContainers").is_empty() {
        errors.forbidden(&SPEC.child("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.text("nodeName").is_empty() && !spec.items("schedulingGates").is_empty() {
        errors
            .forbidden(&SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    security::annotations_match_fields(pod, spec, &SPEC, errors);
}

/// `validatePodMetadataAndSpec`.
pub fn metadata_and_spec(pod: &Value, errors: &mut Errors) {
    let spec = pod.at("spec");
    meta::object_meta(pod, true, name_is_subdomain, errors);
    pod_annotations(pod, spec, &METADATA.child("annotations"), errors);
    pod_spec(spec, Some(pod), &SPEC, PodOptions { resource_is_pod: true }, errors);
    if spec.text("serviceAccountName").is_empty() {
        let list = SPEC.child("volumes");
        for (index, volume) in spec.items("volumes").iter().enumerate() {
            let volume_path = list.index(index);
            let sources = volume_path.child("projected.sources");
            for (index, source) in volume.items("projected.sources").iter().enumerate() {
                if source.has("serviceAccountToken") {
                    errors.forbidden(
                        &sources.index(index).child("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    );
                }
            }
        }
    }
    for name in ["containers", "initContainers"] {
        let list = SPEC.child(name);
        for (index, container) in spec.items(name).iter().enumerate() {
            only_for_pod(container, &list.index(index), errors);
        }
    }
}

/// `ValidatePodTemplateSpec`.
pub fn pod_template(template: &Value, path: &FieldPath, errors: &mut Errors) {
    let spec = template.at("spec");
    meta::labels(template.map("metadata.labels"), &path.child("labels"), errors);
    meta::annotations(template.map("metadata.annotations"), &path.child("annotations"), errors);
    pod_annotations(template, spec, &path.child("annotations"), errors);
    let spec_path = path.child("spec");
    pod_spec(spec, None, &spec_path, PodOptions { resource_is_pod: false }, errors);
    security::annotations_match_fields(template, spec, &spec_path, errors);
    if !spec.items("ephemeralContainers").is_empty() {
        errors.forbidden(
            &spec_path.child("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

/// `ValidatePodSpecificAnnotations`.
pub fn pod_annotations(object: &Value, spec: &Value, path: &FieldPath, errors: &mut Errors) {
    if object.map("metadata.annotations").is_empty() {
        return;
    }
    if let Some(value) = annotation(object, MIRROR_ANNOTATION)
        && spec.text("nodeName").is_empty()
    {
        let message = "must set spec.nodeName if mirror pod annotation is set";
        errors.invalid(&path.key(MIRROR_ANNOTATION), value, message);
    }
    if let Some(cost) = annotation(object, DELETION_COST_ANNOTATION) {
        let digits_fit = cost == "0"
            || cost.starts_with('-')
            || cost.starts_with(|first: char| ('1'..='9').contains(&first));
        if !digits_fit || cost.parse::<i32>().is_err() {
            errors.invalid(&path.key(DELETION_COST_ANNOTATION), cost, "must be a 32bit integer");
        }
    }
    security::annotations(object, spec, path, errors);
}

/// `ValidatePodSpec`; `pod` is the pod whose spec this is, `None` for a template.
pub fn pod_spec(
    spec: &Value,
    pod: Option<&Value>,
    path: &FieldPath,
    options: PodOptions,
    errors: &mut Errors,
) {
    let pod_name = pod.map_or("", |pod| pod.text("metadata.name"));
    let grace_period_seconds = spec.integer("terminationGracePeriodSeconds");
    if grace_period_seconds.is_none() {
        errors.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let claims = spec.items("resourceClaims");
    let context = PodContext {
        volumes: volumes(spec.items("volumes"), pod_name, &path.child("volumes"), &options, errors),
        claims: claims.iter().map(|claim| claim.text("name")).filter(|name| !name.is_empty()).gather(),
        grace_period_seconds,
        restart_policy: spec.text("restartPolicy"),
        host_users: spec.at("hostUsers").as_bool() != Some(false),
        os: spec.text("os.name"),
    };
    resource_claims(claims, pod, &path.child("resourceClaims"), errors);
    let regular = spec.items("containers");
    containers::containers(regular, &context, &path.child("containers"), errors);
    let init = spec.items("initContainers");
    containers::init_containers(init, regular, &context, &path.child("initContainers"), errors);
    containers::ephemeral_containers(spec, &context, &path.child("ephemeralContainers"), errors);
    resources::pod_level(spec, &context.claims, path, errors);
    host_network_ports(spec, path, options, errors);
    errors.one_of(context.restart_policy, &path.child("restartPolicy"), &["Always", "OnFailure", "Never"]);
    const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.one_of(spec.text("dnsPolicy"), &path.child("dnsPolicy"), DNS_POLICIES);
    meta::labels(spec.map("nodeSelector"), &path.child("nodeSelector"), errors);
    security::pod_security_context(spec, &path.child("securityContext"), errors);
    if spec.has("affinity") {
        affinity::affinity(spec.at("affinity"), &path.child("affinity"), errors);
    }
    dns_config(spec, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    affinity::topology_spread(
        spec.items("topologySpreadConstraints"),
        &path.child("topologySpreadConstraints"),
        errors,
    );
    security::windows_host_process(spec, path, errors);
    security::host_users(spec, path, errors);
    hostname_override(spec, path, errors);
    for name in ["serviceAccountName", "nodeName"] {
        if !spec.text(name).is_empty() {
            errors.each(&path.child(name), spec.text(name), name_is_subdomain(spec.text(name), false));
        }
    }
    if let Some(seconds) = spec.integer("activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.invalid(&path.child("activeDeadlineSeconds"), seconds, range_error(1, i64::from(i32::MAX)));
    }
    for name in ["hostname", "subdomain"] {
        if !spec.text(name).is_empty() {
            errors.each(&path.child(name), spec.text(name), dns1123_label(spec.text(name)));
        }
    }
    affinity::tolerations(spec.items("tolerations"), &path.child("tolerations"), errors);
    host_aliases(spec.items("hostAliases"), &path.child("hostAliases"), errors);
    for name in ["priorityClassName", "runtimeClassName"] {
        if !spec.text(name).is_empty() || name == "runtimeClassName" && spec.has(name) {
            errors.each(&path.child(name), spec.text(name), name_is_subdomain(spec.text(name), false));
        }
    }
    if let Some(policy) = spec.at("preemptionPolicy").as_str() {
        errors.one_of(policy, &path.child("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    }
    if spec.has("overhead") {
        let limits = Value::object().with("limits", spec.at("overhead"));
        resources::container_requirements(&limits, &[], &path.child("overhead"), errors);
    }
    if spec.has("os") {
        security::operating_system(spec, path, errors);
    }
    file_key_volumes(spec, path, errors);
}

/// `validatePodResourceClaims`.
fn resource_claims(claims: &[Value], pod: Option<&Value>, path: &FieldPath, errors: &mut Errors) {
    for (index, claim) in claims.iter().enumerate() {
        if pod.is_some_and(|pod| annotation(pod, MIRROR_ANNOTATION).is_some()) {
            errors.forbidden(&FieldPath::ROOT, "static pods do not support resource claims");
            continue;
        }
        let item = path.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.required(&item.child("name"), "");
        } else if claims[..index].iter().any(|earlier| earlier.text("name") == name) {
            errors.duplicate(&item.child("name"), name);
        } else {
            errors.each(&item.child("name"), name, dns1123_label(name));
        }
        let quoted = || super::go::internal("PodResourceClaim")(claim);
        match (claim.has("resourceClaimName"), claim.has("resourceClaimTemplateName")) {
            (true, true) => {
                let message =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&item, quoted(), message);
            }
            (false, false) => {
                let message = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&item, quoted(), message);
            }
            _ => {}
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim.at(field).as_str() {
                errors.each(&item.child(field), name, name_is_subdomain(name, false));
            }
        }
    }
}

/// `validatePodHostNetworkDeps`.
fn host_network_ports(spec: &Value, path: &FieldPath, options: PodOptions, errors: &mut Errors) {
    if !spec.is_true("hostNetwork") {
        return;
    }
    let list = path.child("containers");
    for (index, container) in spec.items("containers").iter().enumerate() {
        let item = list.index(index);
        let ports = item.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let (host, own) =
                (port.integer("hostPort").unwrap_or(0), port.integer("containerPort").unwrap_or(0));
            if (options.resource_is_pod || host != 0) && host != own {
                let message = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&ports.index(index).child("hostPort"), host, message);
            }
        }
    }
}

/// `validatePodDNSConfig`.
fn dns_config(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    const MAX_SERVERS: usize = 3;
    const MAX_SEARCHES: usize = 32;
    const MAX_SEARCH_CHARACTERS: usize = 2048;
    let config = spec.at("dnsConfig");
    let servers = config.items("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if config.is_null() {
            return errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let message = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.required(&path.child("nameservers"), message);
        }
    }
    if config.is_null() {
        return;
    }
    let list = path.child("nameservers");
    if servers.len() > MAX_SERVERS {
        errors.invalid(
            &list,
            config.at("nameservers"),
            format!("must not have more than {MAX_SERVERS} nameservers"),
        );
    }
    for (index, server) in servers.iter().enumerate() {
        address::legacy_ip(&list.index(index), server.as_str().unwrap_or(""), [], errors);
    }
    let searches = config.items("searches");
    let list = path.child("searches");
    if searches.len() > MAX_SEARCHES {
        errors.invalid(
            &list,
            config.at("searches"),
            format!("must not have more than {MAX_SEARCHES} search paths"),
        );
    }
    let characters: usize = searches.iter().map(|search| search.as_str().unwrap_or("").len() + 1).sum();
    if characters > MAX_SEARCH_CHARACTERS + 1 {
        let message = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.invalid(&list, config.at("searches"), message);
    }
    for (index, search) in searches.iter().enumerate() {
        let search = search.as_str().unwrap_or("");
        if search != "." {
            let search = search.strip_suffix('.').unwrap_or(search);
            errors.each(&list.index(index), search, dns1123_subdomain_with_underscore(search));
        }
    }
    let list = path.child("options");
    for (index, option) in config.items("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&list.index(index), "must not be empty");
        }
    }
}

/// `validateReadinessGates` and `validateSchedulingGates`.
fn gates(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let list = path.child("readinessGates");
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        meta::label_name(gate.text("conditionType"), &list.index(index).child("conditionType"), errors);
    }
    let gates = spec.items("schedulingGates");
    let list = path.child("schedulingGates");
    for (index, gate) in gates.iter().enumerate() {
        let name = gate.text("name");
        meta::label_name(name, &list.index(index), errors);
        if gates[..index].iter().any(|earlier| earlier.text("name") == name) {
            errors.duplicate(&list.index(index), name);
        }
    }
}

/// `validatePodHostName`.
fn hostname_override(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    let Some(name) = spec.at("hostnameOverride").as_str() else { return };
    let path = path.child("hostnameOverride");
    if spec.is_true("setHostnameAsFQDN") {
        errors.forbidden(&path, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.is_true("hostNetwork") {
        errors.forbidden(&path, "may not be specified when hostNetwork is true");
    }
    if name.len() > 64 {
        errors.too_long(&path, 64);
    }
    errors.each(&path, name, dns1123_subdomain(name));
}

/// `ValidateHostAliases`.
fn host_aliases(aliases: &[Value], path: &FieldPath, errors: &mut Errors) {
    for (index, alias) in aliases.iter().enumerate() {
        let item = path.index(index);
        address::legacy_ip(&item.child("ip"), alias.text("ip"), [], errors);
        let names = item.child("hostnames");
        for (index, name) in alias.items("hostnames").iter().enumerate() {
            let name = name.as_str().unwrap_or("");
            errors.each(&names.index(index), name, dns1123_subdomain(name));
        }
    }
}

/// `validateFileKeyRefVolumes`.
fn file_key_volumes(spec: &Value, path: &FieldPath, errors: &mut Errors) {
    containers::visit(spec, path, |container, path| {
        let list = path.child("env");
        for (index, variable) in container.items("env").iter().enumerate() {
            let reference = variable.at("valueFrom.fileKeyRef");
            if reference.is_null() {
                continue;
            }
            let item = list.index(index);
            let path = item.child("valueFrom.fileKeyRef.volumeName");
            let name = reference.text("volumeName");
            match spec.items("volumes").iter().rfind(|volume| volume.text("name") == name) {
                None => errors.not_found(&path, name),
                Some(volume) if !volume.has("emptyDir") => {
                    errors.invalid(&path, name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    });
}
