//! Services and Endpoints.
//!
//! Picture to hold in mind: a number plate and a switchboard: which numbers may be asked for, and which can never
//! be exchanged again.
//!
//! Follows `validateService`, `ValidateServiceUpdate` and `validateEndpointSubsets` of
//! `pkg/apis/core/validation/validation.go`. Addresses and node ports are checked once the allocators have spoken.

use super::address::{self, legacy_cidr, legacy_ip};
use super::container::{PROTOCOLS, any_port_number, port_number_or_name};
use super::errors::{Errors, IMMUTABLE};
use super::format::{dns1123_label, dns1123_subdomain, name_is_label, name_is_subdomain};
use super::go;
use super::meta::{self, METADATA, SPEC, STATUS};
use crate::api::defaults::externally_accessible;
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;

const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const HINTS_ANNOTATION: &str = "service.kubernetes.io/topology-aware-hints";
const MODE_ANNOTATION: &str = "service.kubernetes.io/topology-mode";

fn texts<'a>(value: &'a Value, path: &str) -> Vec<&'a str> {
    value.items(path).iter().map(|item| item.as_str().unwrap_or("")).collect()
}

fn is_headless(service: &Value) -> bool {
    texts(service, "spec.clusterIPs") == ["None"]
}

pub fn service(service: &Value, errors: &mut Errors) {
    meta::object_meta(service, true, name_is_label, errors);
    any_service(service, None, errors);
}

fn any_service(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = service.at("spec");
    let kind = spec.text("type");
    if let (Some(mode), Some(hints)) =
        (annotation(service, MODE_ANNOTATION), annotation(service, HINTS_ANNOTATION))
        && mode != hints
    {
        let message = format!("must match annotations[{HINTS_ANNOTATION}] when both are specified");
        errors.invalid(&METADATA.child("annotations").key(MODE_ANNOTATION), mode, message);
    }
    let ports = spec.items("ports");
    let ports_path = SPEC.child("ports");
    if ports.is_empty() && !is_headless(service) && kind != "ExternalName" {
        errors.required(&ports_path, "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(service) => {
            let message = format!("may not be set to 'None' for {kind} services");
            errors.invalid(&SPEC.child("clusterIPs").index(0), "None", message);
        }
        "ExternalName" => external_name(spec, errors),
        _ => {}
    }
    for (index, port) in ports.iter().enumerate() {
        let earlier = &ports[..index];
        service_port(port, earlier, ports.len() > 1, &ports_path.index(index), errors);
    }
    meta::labels(spec.map("selector"), &SPEC.child("selector"), errors);
    session_affinity(spec, errors);
    cluster_ips(service, old, errors);
    let list = SPEC.child("externalIPs");
    for (index, ip) in texts(spec, "externalIPs").into_iter().enumerate() {
        let path = list.index(index);
        let before = errors.len();
        let had = old.map_or(Vec::new(), |old| texts(old, "spec.externalIPs"));
        legacy_ip(&path, ip, had, errors);
        if errors.len() == before {
            endpoint_ip(ip, &path, errors);
        }
    }
    const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    errors.one_of(kind, &SPEC.child("type"), TYPES);
    port_numbers(ports, kind, errors);
    load_balancer(service, old, errors);
    load_balancer_class(None, service, errors);
    traffic_policies(service, errors);
}

fn external_name(spec: &Value, errors: &mut Errors) {
    for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.at(name).is_empty() {
            errors.forbidden(&SPEC.child(name), "may not be set for ExternalName services");
        }
    }
    let name = spec.text("externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.required(&SPEC.child("externalName"), "");
    } else {
        errors.each(&SPEC.child("externalName"), name, dns1123_subdomain(name));
    }
}

fn service_port(port: &Value, earlier: &[Value], require_name: bool, path: &FieldPath, errors: &mut Errors) {
    let name = port.text("name");
    if require_name && name.is_empty() {
        errors.required(&path.child("name"), "");
    } else if !name.is_empty() {
        errors.each(&path.child("name"), name, dns1123_label(name));
        if earlier.iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
    }
    any_port_number(port.integer("port").unwrap_or(0), &path.child("port"), errors);
    errors.one_of(port.text("protocol"), &path.child("protocol"), PROTOCOLS);
    port_number_or_name(port.at("targetPort"), &path.child("targetPort"), errors);
    if let Some(protocol) = port.at("appProtocol").as_str() {
        meta::label_name(protocol, &path.child("appProtocol"), errors);
    }
}

fn session_affinity(spec: &Value, errors: &mut Errors) {
    const DAY_SECONDS: i64 = 86_400;
    let affinity = spec.text("sessionAffinity");
    errors.one_of(affinity, &SPEC.child("sessionAffinity"), &["ClientIP", "None"]);
    let path = SPEC.child("sessionAffinityConfig");
    let config = spec.at("sessionAffinityConfig");
    if affinity == "ClientIP" {
        const MESSAGE: &str = "when session affinity type is ClientIP";
        let client = path.child("clientIP");
        if config.is_null() {
            errors.required(&path, MESSAGE);
        } else if !config.has("clientIP") {
            errors.required(&client, MESSAGE);
        } else {
            let timeout = client.child("timeoutSeconds");
            match config.integer("clientIP.timeoutSeconds") {
                None => errors.required(&timeout, MESSAGE),
                Some(seconds) if !(1..=DAY_SECONDS).contains(&seconds) => {
                    let message = format!("must be greater than 0 and less than {DAY_SECONDS}");
                    errors.invalid(&timeout, seconds, message);
                }
                Some(_) => {}
            }
        }
    } else if affinity == "None" && !config.is_null() {
        errors.forbidden(&path, "must not be set when session affinity is None");
    }
}

/// `ValidateServiceClusterIPsRelatedFields`.
fn cluster_ips(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = service.at("spec");
    if spec.text("type") == "ExternalName" {
        return;
    }
    let path = SPEC.child("clusterIPs");
    let (first, all) = (spec.text("clusterIP"), texts(spec, "clusterIPs"));
    let quoted = || spec.at("clusterIPs").clone();
    if !first.is_empty() && all.is_empty() {
        errors.required(&path, "");
    } else if !first.is_empty() && all[0] != first {
        errors.invalid(&path, quoted(), "first value must match `clusterIP`");
    } else if first.is_empty() && !all.is_empty() {
        errors.invalid(&path, quoted(), "must be empty when `clusterIP` is not specified");
    }
    let families = texts(spec, "ipFamilies");
    let families_path = SPEC.child("ipFamilies");
    for (index, family) in families.iter().enumerate() {
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.not_supported(&families_path.index(index), *family, &["IPv4", "IPv6"]);
        }
        if families[..index].contains(family) {
            errors.duplicate(&families_path.index(index), *family);
        }
    }
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    errors.one_of_if_given(spec, "ipFamilyPolicy", &SPEC, POLICIES);
    let before = errors.len();
    for (index, ip) in all.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if all.len() > 1 {
                errors.invalid(&path, quoted(), "'None' must be the first and only value");
            }
            continue;
        }
        let had = old.map_or(Vec::new(), |old| texts(old, "spec.clusterIPs"));
        legacy_ip(&path.index(index), ip, had, errors);
    }
    let any_invalid = errors.len() > before;
    if all.len() > 2 {
        errors.invalid(&path, quoted(), "may only hold up to 2 values");
    }
    if any_invalid {
        return;
    }
    if all.len() > 1 && !address::is_dual_stack(all.iter().copied()) {
        errors.invalid(&path, quoted(), "may specify no more than one IP for each IP family");
    }
    if !is_headless(service) {
        for (index, (ip, family)) in all.iter().zip(&families).enumerate() {
            if (*family == "IPv6") != address::is_ipv6(ip) && matches!(*family, "IPv4" | "IPv6") {
                let message = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
                errors.invalid(&path.index(index), *ip, message);
            }
        }
    }
}

fn port_numbers(ports: &[Value], kind: &str, errors: &mut Errors) {
    let path = SPEC.child("ports");
    let number = |port: &Value, name: &str| port.integer(name).unwrap_or(0);
    if kind == "ClusterIP" {
        for (index, _) in ports.iter().enumerate().filter(|(_, port)| number(port, "nodePort") != 0) {
            errors.forbidden(
                &path.index(index).child("nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            );
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let node_port = number(port, "nodePort");
        let same = |other: &Value| {
            other.text("protocol") == port.text("protocol") && number(other, "nodePort") == node_port
        };
        if node_port != 0 && ports[..index].iter().any(same) {
            errors.duplicate(&path.index(index).child("nodePort"), node_port);
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let same = |other: &Value| {
            other.text("protocol") == port.text("protocol") && number(other, "port") == number(port, "port")
        };
        if ports[..index].iter().any(same) {
            let key =
                Value::object().with("protocol", port.at("protocol")).with("port", number(port, "port"));
            let key = key.with("targetPort", 0);
            errors.duplicate(&path.index(index), go::internal("ServicePort")(&key));
        }
    }
}

fn load_balancer(service: &Value, old: Option<&Value>, errors: &mut Errors) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let spec = service.at("spec");
    let is_balancer = spec.text("type") == "LoadBalancer";
    let ranges = texts(spec, "loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let path = SPEC.child("LoadBalancerSourceRanges");
        if !is_balancer {
            errors.forbidden(&path, ONLY);
        }
        let had = old.map_or(Vec::new(), |old| texts(old, "spec.loadBalancerSourceRanges"));
        for (index, range) in ranges.into_iter().enumerate() {
            let had = had.iter().map(|range| range.trim());
            legacy_cidr(&path.index(index), range.trim(), had, errors);
        }
    } else if let Some(value) = annotation(service, SOURCE_RANGES_ANNOTATION) {
        let annotations = METADATA.child("annotations");
        let path = annotations.key(SOURCE_RANGES_ANNOTATION);
        if !is_balancer {
            errors.forbidden(&path, ONLY);
        }
        if old.is_none_or(|old| annotation(old, SOURCE_RANGES_ANNOTATION) != Some(value))
            && !value.trim().is_empty()
        {
            for range in value.trim().split(',') {
                legacy_cidr(&path, range.trim(), [], errors);
            }
        }
    }
    let allocate = spec.has("allocateLoadBalancerNodePorts");
    if allocate && !is_balancer {
        errors.forbidden(&SPEC.child("allocateLoadBalancerNodePorts"), ONLY);
    }
    if !allocate && is_balancer {
        errors.required(&FieldPath::new("allocateLoadBalancerNodePorts"), "");
    }
}

fn load_balancer_class(old: Option<&Value>, service: &Value, errors: &mut Errors) {
    let path = SPEC.child("loadBalancerClass");
    let class = service.at("spec.loadBalancerClass");
    let is_balancer = |service: &Value| service.text("spec.type") == "LoadBalancer";
    if let Some(old) = old
        && is_balancer(old)
        && is_balancer(service)
        && old.at("spec.loadBalancerClass") != class
    {
        errors.invalid(&path, class, "may not change once set");
    }
    if let Some(class) = class.as_str() {
        if is_balancer(service) {
            meta::label_name(class, &path, errors);
        } else {
            errors.forbidden(&path, "may only be used when `type` is 'LoadBalancer'");
        }
    }
}

fn needs_health_check(service: &Value) -> bool {
    service.text("spec.type") == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local"
}

fn traffic_policies(service: &Value, errors: &mut Errors) {
    let spec = service.at("spec");
    let policy = spec.text("externalTrafficPolicy");
    let path = SPEC.child("externalTrafficPolicy");
    if externally_accessible(service) {
        errors.one_of(policy, &path, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        errors.invalid(&path, policy, "may only be set for externally-accessible services");
    }
    let path = SPEC.child("healthCheckNodePort");
    let port = spec.integer("healthCheckNodePort").unwrap_or(0);
    match (needs_health_check(service), port) {
        (true, 0) => errors.required(&path, ""),
        (true, port) => any_port_number(port, &path, errors),
        (false, 0) => {}
        (false, port) => {
            let message =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&path, port, message);
        }
    }
    if !spec.has("internalTrafficPolicy")
        && matches!(spec.text("type"), "NodePort" | "LoadBalancer" | "ClusterIP")
    {
        errors.required(&SPEC.child("internalTrafficPolicy"), "");
    }
    errors.one_of_if_given(spec, "internalTrafficPolicy", &SPEC, &["Cluster", "Local"]);
    const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    errors.one_of_if_given(spec, "trafficDistribution", &SPEC, DISTRIBUTIONS);
}

/// `ValidateServiceUpdate`.
pub fn service_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let external = |service: &Value| service.text("spec.type") == "ExternalName";
    if !external(new) && !external(old) {
        cluster_ip_changes(new, old, errors);
        family_changes(new, old, errors);
    }
    load_balancer_class(Some(old), new, errors);
    if needs_health_check(old)
        && needs_health_check(new)
        && old.at("spec.healthCheckNodePort") != new.at("spec.healthCheckNodePort")
    {
        errors.forbidden(&SPEC.child("healthCheckNodePort"), IMMUTABLE);
    }
    any_service(new, Some(old), errors);
}

const ONCE: &str = "may not change once set";

/// `validateUpgradeDowngradeClusterIPs`: a secondary address may come and go, the primary stays.
fn cluster_ip_changes(new: &Value, old: &Value, errors: &mut Errors) {
    if is_headless(new) && is_headless(old) {
        return;
    }
    let path = SPEC.child("clusterIPs");
    let (now, was) = (texts(new, "spec.clusterIPs"), texts(old, "spec.clusterIPs"));
    let quoted = || new.at("spec.clusterIPs").clone();
    if now.len() == was.len() {
        for (index, _) in was.iter().zip(&now).enumerate().filter(|(_, (was, now))| was != now) {
            errors.invalid(&path.index(index), quoted(), ONCE);
        }
    } else if was.len() > now.len() {
        if now.is_empty() {
            errors.invalid(&path.index(0), quoted(), "primary clusterIP can not be unset");
        }
        if !now.is_empty() && now[0] != was[0] {
            errors.invalid(&path.index(0), quoted(), ONCE);
        }
        let policy = new.at("spec.ipFamilyPolicy");
        if now.len() == 1 && policy.as_str() != Some("SingleStack") {
            let message = "must be set to 'SingleStack' when releasing the secondary clusterIP";
            errors.invalid(&SPEC.child("ipFamilyPolicy"), policy, message);
        }
    } else if !was.is_empty() && now[0] != was[0] {
        errors.invalid(&path.index(0), quoted(), ONCE);
    }
}

/// `validateUpgradeDowngradeIPFamilies`.
fn family_changes(new: &Value, old: &Value, errors: &mut Errors) {
    if is_headless(new) || is_headless(old) {
        return;
    }
    let list = SPEC.child("ipFamilies");
    let path = list.index(0);
    let (now, was) = (texts(new, "spec.ipFamilies"), texts(old, "spec.ipFamilies"));
    if now.len() == was.len() {
        for _ in was.iter().zip(&now).filter(|(was, now)| was != now) {
            errors.invalid(&path, new.at("spec.ipFamilies"), ONCE);
        }
    } else if was.len() > now.len() {
        if texts(new, "spec.clusterIPs").is_empty() {
            errors.invalid(&path, new.at("spec.ipFamilies"), "primary ipFamily can not be unset");
        }
        if !now.is_empty() && now[0] != was[0] {
            errors.invalid(&path, new.at("spec.clusterIPs"), ONCE);
        }
        let policy = new.at("spec.ipFamilyPolicy");
        if now.len() == 1 && policy.as_str() != Some("SingleStack") {
            let message = "must be set to 'SingleStack' when releasing the secondary ipFamily";
            errors.invalid(&SPEC.child("ipFamilyPolicy"), policy, message);
        }
    } else if !was.is_empty() && now[0] != was[0] {
        errors.invalid(&path, new.at("spec.clusterIPs"), ONCE);
    }
}

/// `ValidateServiceStatusUpdate`.
pub fn service_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let path = STATUS.child("loadBalancer.ingress");
    let ingress = new.items("status.loadBalancer.ingress");
    if new.text("spec.type") != "LoadBalancer" && !ingress.is_empty() {
        return errors.forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for (index, entry) in ingress.iter().enumerate() {
        let path = path.index(index);
        load_balancer_ingress(entry, old, &path, errors);
        let mode = path.child("ipMode");
        match (entry.at("ipMode").as_str(), entry.text("ip").is_empty()) {
            (None, false) => errors.required(&mode, "must be specified when `ip` is set"),
            (Some(_), true) => errors.forbidden(&mode, "may not be specified when `ip` is not set"),
            (Some(value), false) if !matches!(value, "VIP" | "Proxy") => {
                errors.not_supported(&mode, value, &["Proxy", "VIP"]);
            }
            _ => {}
        }
        host_name(entry, &path, errors);
    }
}

pub fn load_balancer_ingress(entry: &Value, old: &Value, path: &FieldPath, errors: &mut Errors) {
    if !entry.text("ip").is_empty() {
        let had = old.items("status.loadBalancer.ingress").iter().map(|entry| entry.text("ip"));
        legacy_ip(&path.child("ip"), entry.text("ip"), had, errors);
    }
}

pub fn host_name(entry: &Value, path: &FieldPath, errors: &mut Errors) {
    let name = entry.text("hostname");
    if !name.is_empty() {
        errors.each(&path.child("hostname"), name, dns1123_subdomain(name));
        if address::parse(name).is_some() {
            errors.invalid(&path.child("hostname"), name, "must be a DNS name, not an IP address");
        }
    }
}

pub fn endpoints(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    if let Some(old) = old {
        meta::object_meta_update(object, old, errors);
    }
    meta::object_meta(object, true, name_is_subdomain, errors);
    if old.is_some_and(|old| super::semantic::equal(old.at("subsets"), object.at("subsets"))) {
        return;
    }
    let list = FieldPath::new("subsets");
    for (index, subset) in object.items("subsets").iter().enumerate() {
        let path = list.index(index);
        if subset.items("addresses").is_empty() && subset.items("notReadyAddresses").is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for name in ["addresses", "notReadyAddresses"] {
            let list = path.child(name);
            for (index, address) in subset.items(name).iter().enumerate() {
                endpoint_address(address, &list.index(index), errors);
            }
        }
        let ports = subset.items("ports");
        let list = path.child("ports");
        for (index, port) in ports.iter().enumerate() {
            let path = list.index(index);
            let name = port.text("name");
            if ports.len() > 1 && name.is_empty() {
                errors.required(&path.child("name"), "");
            } else if !name.is_empty() {
                errors.each(&path.child("name"), name, dns1123_label(name));
            }
            any_port_number(port.integer("port").unwrap_or(0), &path.child("port"), errors);
            errors.one_of(port.text("protocol"), &path.child("protocol"), PROTOCOLS);
            if let Some(protocol) = port.at("appProtocol").as_str() {
                meta::label_name(protocol, &path.child("appProtocol"), errors);
            }
        }
    }
}

fn endpoint_address(address: &Value, path: &FieldPath, errors: &mut Errors) {
    legacy_ip(&path.child("ip"), address.text("ip"), [], errors);
    if !address.text("hostname").is_empty() {
        errors.each(
            &path.child("hostname"),
            address.text("hostname"),
            dns1123_label(address.text("hostname")),
        );
    }
    if let Some(node) = address.at("nodeName").as_str() {
        errors.each(&path.child("nodeName"), node, name_is_subdomain(node, false));
    }
    endpoint_ip(address.text("ip"), &path.child("ip"), errors);
}

/// `ValidateEndpointIP`.
pub fn endpoint_ip(ip: &str, path: &FieldPath, errors: &mut Errors) {
    use std::net::IpAddr;
    let Some(parsed) = address::parse(ip) else {
        return errors.invalid(path, ip, "must be a valid IP address");
    };
    if parsed.is_unspecified() {
        errors.invalid(path, ip, format!("may not be unspecified ({ip})"));
    }
    if parsed.is_loopback() {
        errors.invalid(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_local_multicast) = match parsed {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        errors.invalid(path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid(path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}
