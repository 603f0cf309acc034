//! Services and Ingresses.
//!
//! Picture to hold in mind: see [`super`]. Follows `create_service.go`, `create_ingress.go`.

use crate::api::{Value, int_or_string};
use crate::{array, object};

use super::super::failure::{Outcome, fail};
use super::super::session::Session;

fn ports(session: &Session, node_port: i64) -> Outcome<Vec<Value>> {
    let mut ports = Vec::new();
    for text in session.flags.list("tcp") {
        let mut parts = text.split(':');
        let port = parts.next().unwrap_or("");
        let Ok(number) = port.parse::<u16>().map(i64::from) else {
            let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
            let why = if is_number { "value out of range" } else { "invalid syntax" };
            return fail(format!("strconv.ParseUint: parsing {port:?}: {why}"));
        };
        let target = parts.next().unwrap_or(port);
        let problems = match target.parse::<i64>() {
            _ if target == port => Vec::new(),
            Ok(1..=65_535) => Vec::new(),
            Ok(_) => vec!["must be between 1 and 65535, inclusive".to_owned()],
            Err(_) => crate::api::validation::format::port_name(target),
        };
        if !problems.is_empty() {
            return fail(problems.join(","));
        }
        let mut entry = object! {
            "name" => text.replace(':', "-"), "port" => number, "protocol" => "TCP",
            "targetPort" => int_or_string::parse(target),
        };
        if node_port != 0 {
            entry.set("nodePort", node_port);
        }
        ports.push(entry);
    }
    Ok(ports)
}

fn service(session: &Session, name: &str, kind: &str, node_port: i64) -> Outcome<Value> {
    let labels = object! { "app" => name };
    let mut service = object! {
        "apiVersion" => "v1", "kind" => "Service",
        "metadata" => object! { "labels" => labels.clone(), "name" => name },
        "spec" => object! { "selector" => labels, "type" => kind },
        "status" => object! { "loadBalancer" => object! {} },
    };
    let ports = ports(session, node_port)?;
    if !ports.is_empty() {
        service.set("spec.ports", ports);
    }
    Ok(service)
}

pub fn service_cluster_ip(session: &mut Session, name: &str) -> Outcome<Value> {
    let address = session.flags.text("clusterip").to_string();
    let mut service = service(session, name, "ClusterIP", 0)?;
    if address == "None" {
        service.set("spec.clusterIP", "None");
    } else if session.flags.list("tcp").is_empty() {
        return fail("at least one tcp port specifier must be provided");
    } else if !address.is_empty() {
        service.set("spec.clusterIP", address);
    }
    Ok(service)
}
pub fn service_node_port(session: &mut Session, name: &str) -> Outcome<Value> {
    if session.flags.list("tcp").is_empty() {
        return fail("at least one tcp port specifier must be provided");
    }
    service(session, name, "NodePort", session.flags.number("node-port").unwrap_or(0))
}
pub fn service_load_balancer(session: &mut Session, name: &str) -> Outcome<Value> {
    if session.flags.list("tcp").is_empty() {
        return fail("at least one tcp port specifier must be provided");
    }
    service(session, name, "LoadBalancer", 0)
}
pub fn service_external_name(session: &mut Session, name: &str) -> Outcome<Value> {
    let target = session.flags.text("external-name").to_string();
    if !crate::api::content::dns1123_subdomain(&target).is_empty() {
        return fail(["invalid service external name ", &target].concat());
    }
    let mut service = service(session, name, "ExternalName", 0)?;
    service.set("spec.externalName", target);
    Ok(service)
}

/// Host and path, and service and port, as far as their letters are looked at (`ruleRegex`).
fn is_rule(place: &str, target: &str) -> bool {
    let is_word = |letter: char| letter == '-' || letter == '_' || letter.is_ascii_alphanumeric();
    let host = place.split_once('/').map(|(host, _)| host);
    let service = target.split_once(':');
    host.is_some_and(|host| host.chars().all(|letter| is_word(letter) || matches!(letter, '*' | '.')))
        && service.is_some_and(|(name, port)| {
            !name.is_empty() && name.chars().all(is_word) && port.starts_with(is_word)
        })
}

pub fn ingress(session: &mut Session, name: &str) -> Outcome<Value> {
    let flags = session.flags.clone();
    let (rules, default) = (flags.list("rule"), flags.text("default-backend"));
    if rules.is_empty() && default.is_empty() {
        return fail(
            "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
        );
    }
    let backend = |text: &str| -> Outcome<Value> {
        let Some((service, port)) = text.split_once(':') else {
            return fail("default-backend should be in format servicename:serviceport");
        };
        let port = match port.parse::<i64>() {
            Ok(number) => object! { "number" => number },
            Err(_) => object! { "name" => port },
        };
        Ok(object! { "service" => object! { "name" => service, "port" => port } })
    };
    let mut spec = Value::object();
    if !flags.text("class").is_empty() {
        spec.set("ingressClassName", flags.text("class"));
    }
    if !default.is_empty() {
        spec.set("defaultBackend", backend(default)?);
    }
    let mut hosts: Vec<(String, Vec<Value>)> = Vec::new();
    let mut tls: Vec<(Option<String>, Vec<Value>)> = Vec::new();
    for rule in &rules {
        let (main, secret) = match rule.split_once(',') {
            Some((main, option)) => (main, Some(option)),
            None => (rule.as_str(), None),
        };
        let Some((place, target)) = main.split_once('=').filter(|(place, target)| is_rule(place, target))
        else {
            return fail(format!(
                "rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            ));
        };
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let (path, kind) = match path.strip_suffix('*') {
            Some(path) => (path, "Prefix"),
            None => (path, "Exact"),
        };
        let entry =
            object! { "backend" => backend(target)?, "path" => format!("/{path}"), "pathType" => kind };
        match hosts.iter_mut().find(|(other, _)| other == host) {
            Some((_, paths)) => paths.push(entry),
            None => hosts.push((host.to_string(), vec![entry])),
        }
        if let Some(option) = secret {
            let name = option.strip_prefix("tls=").map(String::from);
            match tls.iter_mut().find(|(other, _)| *other == name) {
                Some((_, hosts)) => hosts.push(Value::from(host)),
                None => tls.push((name, if host.is_empty() { Vec::new() } else { vec![Value::from(host)] })),
            }
        }
    }
    if !hosts.is_empty() {
        let rules = hosts.into_iter().map(|(host, paths)| {
            let mut rule = object! { "http" => object! { "paths" => paths } };
            if !host.is_empty() {
                rule.set("host", host);
            }
            rule
        });
        spec.set("rules", Value::array(rules));
    }
    if !tls.is_empty() {
        let entries = tls.into_iter().map(|(secret, hosts)| {
            let mut entry = Value::object();
            if !hosts.is_empty() {
                entry.set("hosts", hosts);
            }
            if let Some(secret) = secret {
                entry.set("secretName", secret);
            }
            entry
        });
        spec.set("tls", Value::array(entries));
    }
    let mut metadata = object! { "name" => name };
    for annotation in flags.list("annotation") {
        let Some((key, value)) = annotation.split_once('=') else {
            return fail(format!("annotation {annotation} is invalid and should be in format key=[value]"));
        };
        metadata.at_mut("annotations").make_object().insert(key, value);
    }
    Ok(object! {
        "apiVersion" => "networking.k8s.io/v1", "kind" => "Ingress", "metadata" => metadata, "spec" => spec,
        "status" => object! { "loadBalancer" => object! {} },
    })
}

/// The HorizontalPodAutoscaler of `kubectl autoscale`.
pub fn autoscaler(name: &str, target: Value, least: i64, most: i64, metrics: Vec<Value>) -> Value {
    let mut spec = object! { "maxReplicas" => most, "scaleTargetRef" => target };
    if least > 0 {
        spec.set("minReplicas", least);
    }
    if !metrics.is_empty() {
        spec.set("metrics", metrics);
    }
    object! {
        "apiVersion" => "autoscaling/v2", "kind" => "HorizontalPodAutoscaler", "metadata" => object! { "name" => name },
        "spec" => spec, "status" => object! { "currentMetrics" => Value::Null, "desiredReplicas" => 0 },
    }
}

/// One port of a Service that exposes a container's.
pub fn port(name: Option<&str>, port: i64, protocol: &str, target: Value) -> Value {
    let mut entry = object! { "port" => port, "protocol" => protocol, "targetPort" => target };
    if let Some(name) = name {
        entry.set("name", name);
    }
    entry
}

/// A Service for these pods.
pub fn exposing(name: &str, labels: Value, selector: Value, ports: Vec<Value>) -> Value {
    let mut metadata = object! { "name" => name };
    if !labels.is_empty() {
        metadata.set("labels", labels);
    }
    let ports = if ports.is_empty() { array![] } else { Value::from(ports) };
    object! {
        "apiVersion" => "v1", "kind" => "Service", "metadata" => metadata,
        "spec" => object! { "ports" => ports, "selector" => selector },
        "status" => object! { "loadBalancer" => object! {} },
    }
}
