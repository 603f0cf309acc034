//! Network policies, ingresses, endpoint slices and the kinds around them.
//!
//! Picture to hold in mind: the rules at a gate: who, from which street, to which door.
//!
//! Follows `pkg/apis/networking/validation/validation.go` and `pkg/apis/discovery/validation/validation.go`.

use super::address::{self, Cidr, legacy_cidr, legacy_ip};
use super::container::any_port_number;
use super::errors::{Errors, IMMUTABLE};
use super::format::{
    dns1123_label, dns1123_subdomain, label_value, name_is_label, name_is_path_segment, name_is_subdomain,
    port_name, wildcard_dns1123_subdomain,
};
use super::go;
use super::meta::{self, SPEC, STATUS};
use super::semantic::equal;
use super::service::{endpoint_ip, host_name, load_balancer_ingress};
use crate::api::content::regex_error;
use crate::api::field::FieldPath;
use crate::api::meta::annotation;
use crate::api::value::Value;

pub fn network_policy(policy: &Value, errors: &mut Errors) {
    meta::object_meta(policy, true, name_is_subdomain, errors);
    policy_spec(policy.at("spec"), &[], errors);
}

pub fn network_policy_update(new: &Value, old: &Value, errors: &mut Errors) {
    let mut had: Vec<&str> = Vec::new();
    for (direction, peers) in [("spec.ingress", "from"), ("spec.egress", "to")] {
        for peer in old.items(direction).iter().flat_map(|rule| rule.items(peers)) {
            had.push(peer.text("ipBlock.cidr"));
            had.extend(peer.items("ipBlock.except").iter().filter_map(Value::as_str));
        }
    }
    meta::object_meta_update(new, old, errors);
    policy_spec(new.at("spec"), &had, errors);
}

fn policy_spec(spec: &Value, had: &[&str], errors: &mut Errors) {
    meta::label_selector(spec.at("podSelector"), &SPEC.child("podSelector"), errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let list = SPEC.child(direction);
        for (index, rule) in spec.items(direction).iter().enumerate() {
            let path = list.index(index);
            let ports = path.child("ports");
            for (index, port) in rule.items("ports").iter().enumerate() {
                policy_port(port, &ports.index(index), errors);
            }
            let list = path.child(peers);
            for (index, peer) in rule.items(peers).iter().enumerate() {
                policy_peer(peer, had, &list.index(index), errors);
            }
        }
    }
    let list = SPEC.child("policyTypes");
    let types = spec.items("policyTypes");
    if types.len() > 2 {
        return errors.invalid(&list, spec.at("policyTypes"), "may not specify more than two policyTypes");
    }
    for (index, kind) in types.iter().enumerate() {
        if !matches!(kind.as_str(), Some("Ingress" | "Egress")) {
            errors.not_supported(&list.index(index), kind, &["Ingress", "Egress"]);
        }
    }
}

fn policy_port(port: &Value, path: &FieldPath, errors: &mut Errors) {
    errors.one_of_if_given(port, "protocol", path, &["TCP", "UDP", "SCTP"]);
    let end_path = path.child("endPort");
    let end = port.integer("endPort");
    match port.at("port") {
        Value::Integer(number) => {
            any_port_number(*number, &path.child("port"), errors);
            if let Some(end) = end {
                if end < *number {
                    // Upstream quotes the port, not its end.
                    errors.invalid(&end_path, *number, "must be greater than or equal to `port`");
                }
                any_port_number(end, &end_path, errors);
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.invalid(&end_path, end, "may not be specified when `port` is non-numeric");
            }
            errors.each(&path.child("port"), name, port_name(name));
        }
        _ => {
            if let Some(end) = end {
                errors.invalid(&end_path, end, "may not be specified when `port` is not specified");
            }
        }
    }
}

fn policy_peer(peer: &Value, had: &[&str], path: &FieldPath, errors: &mut Errors) {
    let mut count = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if peer.has(name) {
            count += 1;
            meta::label_selector(peer.at(name), &path.child(name), errors);
        }
    }
    let block = peer.at("ipBlock");
    if !block.is_null() {
        count += 1;
        ip_block(block, had, &path.child("ipBlock"), errors);
    }
    if count == 0 {
        errors.required(path, "must specify a peer");
    } else if count > 1 && !block.is_null() {
        errors.forbidden(path, "may not specify both ipBlock and another peer");
    }
}

fn ip_block(block: &Value, had: &[&str], path: &FieldPath, errors: &mut Errors) {
    if !errors.require_text(block, "cidr", path) {
        return;
    }
    let Some(whole) = legacy_cidr(&path.child("cidr"), block.text("cidr"), had.iter().copied(), errors)
    else {
        return;
    };
    let list = path.child("except");
    for (index, except) in block.items("except").iter().enumerate() {
        let path = list.index(index);
        let text = except.as_str().unwrap_or("");
        let Some(part) = legacy_cidr(&path, text, had.iter().copied(), errors) else { continue };
        if !whole.contains(part.network()) || whole.bits >= part.bits {
            errors.invalid(&path, text, "must be a strict subset of `cidr`");
        }
    }
}

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub fn ingress(ingress: &Value, errors: &mut Errors) {
    any_ingress(ingress, errors);
    if let (Some(value), Some(class)) =
        (annotation(ingress, CLASS_ANNOTATION), ingress.at("spec.ingressClassName").as_str())
        && value != class
    {
        let message = "must match `ingressClassName` when both are specified";
        errors.invalid(&FieldPath::new("annotations").child(CLASS_ANNOTATION), value, message);
    }
}

pub fn ingress_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    any_ingress(new, errors);
}

fn any_ingress(ingress: &Value, errors: &mut Errors) {
    meta::object_meta(ingress, true, name_is_subdomain, errors);
    let spec = ingress.at("spec");
    let rules = spec.items("rules");
    if rules.is_empty() && !spec.has("defaultBackend") {
        let message = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(&SPEC, spec.at("rules"), message);
    }
    if spec.has("defaultBackend") {
        backend(spec.at("defaultBackend"), &SPEC.child("defaultBackend"), errors);
    }
    let list = SPEC.child("rules");
    for (index, rule) in rules.iter().enumerate() {
        let path = list.index(index);
        let host = rule.text("host");
        if !host.is_empty() {
            let path = path.child("host");
            if address::parse(host).is_some() {
                errors.invalid(&path, host, "must be a DNS name, not an IP address");
            }
            errors.each(&path, host, host_pattern(host));
        }
        let http = rule.at("http");
        if http.is_null() {
            continue;
        }
        let list = path.child("http.paths");
        if http.items("paths").is_empty() {
            errors.required(&list, "");
        }
        for (index, item) in http.items("paths").iter().enumerate() {
            ingress_path(item, &list.index(index), errors);
        }
    }
    let list = SPEC.child("tls");
    for (index, tls) in spec.items("tls").iter().enumerate() {
        let path = list.index(index);
        let hosts = path.child("hosts");
        for (index, host) in tls.items("hosts").iter().enumerate() {
            let host = host.as_str().unwrap_or("");
            errors.each(&hosts.index(index), host, host_pattern(host));
        }
        let secret = tls.text("secretName");
        if !secret.is_empty() {
            errors.each(&path.child("secretName"), secret, name_is_subdomain(secret, false));
        }
    }
    if let Some(class) = spec.at("ingressClassName").as_str() {
        errors.each(&SPEC.child("ingressClassName"), class, name_is_subdomain(class, false));
    }
}

fn host_pattern(host: &str) -> Vec<String> {
    if host.contains('*') { wildcard_dns1123_subdomain(host) } else { dns1123_subdomain(host) }
}

fn ingress_path(item: &Value, path: &FieldPath, errors: &mut Errors) {
    let Some(kind) = item.at("pathType").as_str() else {
        return errors.required(&path.child("pathType"), "pathType must be specified");
    };
    let target = item.text("path");
    let path_path = path.child("path");
    let absolute = target.starts_with('/');
    match kind {
        "Exact" | "Prefix" => {
            if !absolute {
                errors.invalid(&path_path, target, "must be an absolute path");
            }
            for sequence in
                ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| target.contains(part))
            {
                errors.invalid(&path_path, target, format!("must not contain '{sequence}'"));
            }
            for suffix in ["/..", "/."].into_iter().filter(|part| target.ends_with(part)) {
                errors.invalid(&path_path, target, format!("cannot end with '{suffix}'"));
            }
        }
        "ImplementationSpecific" => {
            if !target.is_empty() && !absolute {
                errors.invalid(&path_path, target, "must be an absolute path");
            }
        }
        other => {
            let supported = &["Exact", "ImplementationSpecific", "Prefix"];
            errors.not_supported(&path.child("pathType"), other, supported);
        }
    }
    backend(item.at("backend"), &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &FieldPath, errors: &mut Errors) {
    let service = backend.at("service");
    match (backend.has("resource"), !service.is_null()) {
        (true, true) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (true, false) => object_reference(backend.at("resource"), &path.child("resource"), errors),
        (false, false) => errors.invalid(path, "", "resource or service backend is required"),
        (false, true) => {
            let name_path = path.child("service.name");
            let name = service.text("name");
            if name.is_empty() {
                errors.required(&name_path, "");
            } else {
                errors.each(&name_path, name, name_is_label(name, false));
            }
            let (port, number) = (service.text("port.name"), service.integer("port.number").unwrap_or(0));
            match (port.is_empty(), number) {
                (true, 0) => errors.required(path, "port name or number is required"),
                (true, number) => any_port_number(number, &path.child("service.port.number"), errors),
                (false, 0) => errors.each(&path.child("service.port.name"), port, port_name(port)),
                (false, _) => errors.invalid(path, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// Group, kind and name of another object.
fn object_reference(reference: &Value, path: &FieldPath, errors: &mut Errors) {
    if let Some(group) = reference.at("apiGroup").as_str() {
        errors.each(&path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    for name in ["kind", "name"] {
        if errors.require_text(reference, name, path) {
            errors.each(
                &path.child(name),
                reference.text(name),
                name_is_path_segment(reference.text(name), false),
            );
        }
    }
}

pub fn ingress_status(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let list = STATUS.child("loadBalancer.ingress");
    for (index, entry) in new.items("status.loadBalancer.ingress").iter().enumerate() {
        let path = list.index(index);
        load_balancer_ingress(entry, old, &path, errors);
        host_name(entry, &path, errors);
    }
}

/// `IsDomainPrefixedPath`.
pub fn domain_prefixed_path(text: &str, path: &FieldPath, errors: &mut Errors) {
    if text.is_empty() {
        return errors.required(path, "");
    }
    let (domain, rest) = text.split_once('/').unwrap_or(("", ""));
    if domain.is_empty() || rest.is_empty() {
        return errors.invalid(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    errors.each(path, domain, dns1123_subdomain(domain));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !rest.bytes().all(fits) {
        let pattern = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
        errors.invalid(path, rest, regex_error("Invalid path", pattern, &[]));
    }
}

pub fn ingress_class(class: &Value, errors: &mut Errors) {
    meta::object_meta(class, false, name_is_subdomain, errors);
    let spec = class.at("spec");
    let controller = SPEC.child("controller");
    if spec.text("controller").len() > 250 {
        errors.too_long(&controller, 250);
    }
    domain_prefixed_path(spec.text("controller"), &controller, errors);
    let parameters = spec.at("parameters");
    if parameters.is_null() {
        return;
    }
    let path = SPEC.child("parameters");
    object_reference(parameters, &path, errors);
    let namespace = parameters.at("namespace").as_str();
    match (parameters.at("scope").as_str(), namespace) {
        (None, _) => errors.required(&path.child("scope"), ""),
        (Some("Namespace"), None) => {
            errors.required(&path.child("namespace"), "`parameters.scope` is set to 'Namespace'");
        }
        (Some("Namespace"), Some(name)) => {
            errors.each(&path.child("namespace"), name, name_is_label(name, false))
        }
        (Some("Cluster"), Some(_)) => {
            errors.forbidden(&path.child("namespace"), "`parameters.scope` is set to 'Cluster'");
        }
        (Some("Cluster"), None) => {}
        (Some(other), _) => errors.not_supported(&path.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

pub fn ingress_class_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    errors.immutable(new.at("spec.controller"), old.at("spec.controller"), &SPEC.child("controller"));
    ingress_class(new, errors);
}

/// The name of an IPAddress is its address.
fn name_is_ip(name: &str, _prefix: bool) -> Vec<String> {
    let mut errors = Errors::new();
    address::ip(&FieldPath::ROOT, name, &mut errors);
    errors.into_list().into_iter().map(|error| error.detail).collect()
}

pub fn ip_address(object: &Value, errors: &mut Errors) {
    meta::object_meta(object, false, name_is_ip, errors);
    let parent = object.at("spec.parentRef");
    let path = SPEC.child("parentRef");
    if parent.is_null() {
        return errors.required(&path, "");
    }
    let group = parent.text("group");
    if !group.is_empty() {
        errors.each(&path.child("group"), group, dns1123_subdomain(group));
    }
    for name in ["resource", "name", "namespace"] {
        let text = parent.text(name);
        if name == "namespace" && text.is_empty() {
            continue;
        }
        if errors.require_text(parent, name, &path) {
            errors.each(&path.child(name), text, name_is_path_segment(text, false));
        }
    }
}

pub fn ip_address_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let path = SPEC.child("parentRef");
    errors.immutable_as(
        new.at("spec.parentRef"),
        old.at("spec.parentRef"),
        &path,
        go::internal("ParentReference"),
    );
}

pub fn service_cidr(object: &Value, errors: &mut Errors) {
    meta::object_meta(object, false, name_is_subdomain, errors);
    service_cidrs(object, errors);
}

fn service_cidrs(object: &Value, errors: &mut Errors) {
    let path = SPEC.child("cidrs");
    let cidrs = object.items("spec.cidrs");
    if cidrs.is_empty() {
        return errors.required(&path, "at least one CIDR required");
    }
    if cidrs.len() > 2 {
        return errors.invalid(
            &path,
            go::internal("ServiceCIDRSpec")(object.at("spec")),
            "may only hold up to 2 values",
        );
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        address::cidr(&path.index(index), cidr.as_str().unwrap_or(""), errors);
    }
    let family = |cidr: &Value| cidr.as_str().and_then(Cidr::parse).map(|cidr| cidr.address.is_ipv4());
    if cidrs.len() == 2 && family(&cidrs[0]).is_some() && family(&cidrs[0]) == family(&cidrs[1]) {
        let message =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&path, object.at("spec.cidrs"), message);
    }
}

pub fn service_cidr_update(new: &Value, old: &Value, errors: &mut Errors) {
    meta::object_meta_update(new, old, errors);
    let path = SPEC.child("cidrs");
    let (now, was) = (new.items("spec.cidrs"), old.items("spec.cidrs"));
    if now.len() != was.len() && (was.len(), now.len()) != (1, 2) {
        return errors.invalid(&path, new.at("spec.cidrs"), IMMUTABLE);
    }
    for (index, (was, now)) in was.iter().zip(now).enumerate().filter(|(_, (was, now))| was != now) {
        let _ = was;
        errors.invalid(&path.index(index), now, IMMUTABLE);
    }
    if now.len() != was.len() {
        service_cidrs(new, errors);
    }
}

pub fn endpoint_slice(slice: &Value, old: Option<&Value>, errors: &mut Errors) {
    meta::object_meta(slice, true, name_is_subdomain, errors);
    let kind = slice.text("addressType");
    errors.one_of(kind, &FieldPath::new("addressType"), &["FQDN", "IPv4", "IPv6"]);
    slice_ports(slice.items("ports"), errors);
    if old.is_none_or(|old| !equal(old.at("endpoints"), slice.at("endpoints"))) {
        slice_endpoints(slice.items("endpoints"), kind, errors);
    }
    if let Some(old) = old
        && old.text("addressType") != kind
    {
        errors.invalid(&FieldPath::new("addressType"), kind, IMMUTABLE);
    }
}

fn slice_ports(ports: &[Value], errors: &mut Errors) {
    const MAX_PORTS: usize = 20_000;
    let list = FieldPath::new("ports");
    if ports.len() > MAX_PORTS {
        return errors.too_many(&list, ports.len(), MAX_PORTS);
    }
    for (index, port) in ports.iter().enumerate() {
        let path = list.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            errors.each(&path.child("name"), name, dns1123_label(name));
        }
        if ports[..index].iter().any(|other| other.text("name") == name) {
            errors.duplicate(&path.child("name"), name);
        }
        errors.one_of(port.text("protocol"), &path.child("protocol"), super::container::PROTOCOLS);
        if let Some(protocol) = port.at("appProtocol").as_str() {
            meta::label_name(protocol, &path.child("appProtocol"), errors);
        }
    }
}

fn slice_endpoints(endpoints: &[Value], kind: &str, errors: &mut Errors) {
    const MAX_ENDPOINTS: usize = 1000;
    const MAX_ADDRESSES: usize = 100;
    let list = FieldPath::new("endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        return errors.too_many(&list, endpoints.len(), MAX_ENDPOINTS);
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = list.index(index);
        let addresses = endpoint.items("addresses");
        let addresses_path = path.child("addresses");
        if addresses.is_empty() {
            errors.required(&addresses_path, "must contain at least 1 address");
        } else if addresses.len() > MAX_ADDRESSES {
            errors.too_many(&addresses_path, addresses.len(), MAX_ADDRESSES);
        }
        for (index, text) in addresses.iter().enumerate() {
            let text = text.as_str().unwrap_or("");
            slice_address(text, kind, &addresses_path, &addresses_path.index(index), errors);
        }
        if let Some(node) = endpoint.at("nodeName").as_str() {
            errors.each(&path.child("nodeName"), node, name_is_subdomain(node, false));
        }
        if let Some(name) = endpoint.at("hostname").as_str() {
            errors.each(&path.child("hostname"), name, dns1123_label(name));
        }
        type Check = fn(&str) -> Vec<String>;
        let checks: [(&str, Check); 2] =
            [("forZones", label_value), ("forNodes", |name| name_is_subdomain(name, false))];
        for (name, check) in checks {
            let hints = endpoint.at("hints").items(name);
            let hints_path = path.child("hints");
            let list = hints_path.child(name);
            if hints.len() > 8 {
                errors.too_many(&list, hints.len(), 8);
                break;
            }
            for (index, hint) in hints.iter().enumerate() {
                let item = list.index(index);
                let path = item.child("name");
                let name = hint.text("name");
                if hints[..index].iter().any(|other| other.text("name") == name) {
                    errors.duplicate(&path, name);
                }
                errors.each(&path, name, check(name));
            }
        }
    }
}

fn slice_address(text: &str, kind: &str, list: &FieldPath, path: &FieldPath, errors: &mut Errors) {
    let before = errors.len();
    match kind {
        "IPv4" => legacy_ip(path, text, [], errors),
        "IPv6" => address::ip(path, text, errors),
        "FQDN" => return full_domain_name(text, path, errors),
        _ => return,
    }
    if errors.len() > before {
        return;
    }
    if address::is_ipv6(text) != (kind == "IPv6") {
        errors.invalid(list, text, format!("must be an {kind} address"));
    }
    endpoint_ip(text, path, errors);
}

/// `IsFullyQualifiedDomainName`.
fn full_domain_name(text: &str, path: &FieldPath, errors: &mut Errors) {
    if text.is_empty() {
        return errors.required(path, "");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let complaints = dns1123_subdomain(name);
    if !complaints.is_empty() {
        errors.invalid(path, name, complaints.join(","));
    } else if !name.contains('.') {
        errors.invalid(path, name, "should be a domain with at least two segments separated by dots");
    } else if let Some(label) = name.split('.').find(|label| !dns1123_label(label).is_empty()) {
        errors.invalid(path, label, dns1123_label(label).join(","));
    }
}
