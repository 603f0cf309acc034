//! `kubectl expose`: a Service for the pods of what there is.
//!
//! Picture to hold in mind: a doorbell with a name plate for a flat that had none.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/expose/expose.go`.

use crate::api::Value;
use crate::array;

use super::apply::create_request;
use super::builder::{Info, Rules, Selection};
use super::change::overridden;
use super::failure::{Failure, Outcome, fail};
use super::generate::{network, workload};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "cluster-ip",
    "dry-run",
    "external-ip",
    "field-manager@kubectl-expose",
    "filename",
    "kustomize",
    "l=labels",
    "load-balancer-ip",
    "name",
    "output",
    "overrides",
    "override-type",
    "port",
    "protocol",
    "recursive",
    "save-config",
    "=selector",
    "session-affinity",
    "show-managed-fields",
    "target-port",
    "template",
    "type",
];

pub fn run(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let operands = session.operands().to_vec();
    let dry_run = session.dry_run()?;
    // `--selector` is the new Service's here, and does not choose what is exposed.
    let selection = {
        let mut flags = (*session.flags).clone();
        flags.set("selector", "");
        let outer = std::mem::replace(&mut session.flags, flags.into());
        let selection = session.select(&operands, Rules::default());
        session.flags = outer;
        selection?
    };
    let (infos, failures) = match selection {
        Selection::Files { infos, failures, .. } => (infos, failures),
        other => session.fetch(other)?,
    };
    for info in &infos {
        let mut service = service_for(session, info)?;
        if session.has_explicit_namespace() {
            service.set("metadata.namespace", info.namespace.as_str());
        }
        if dry_run != DryRun::Client {
            let made = Info {
                mapping: session.built_in("", "services"),
                name: service.text("metadata.name").to_string(),
                ..info.clone()
            };
            let request = create_request(session, &made, service, "kubectl-expose", dry_run)?;
            service = session.send(request)?;
        }
        session.print_change(&format, &service, "exposed")?;
    }
    Ok(Failure::many(failures)?)
}

fn service_for(session: &Session, info: &Info) -> Outcome<Value> {
    let (flags, object) = (&session.flags, &info.object);
    let kind = info.mapping.info.kind.as_str();
    let can_expose =
        matches!(kind, "ReplicationController" | "Service" | "Pod" | "Deployment" | "ReplicaSet");
    if !can_expose {
        let group = &info.mapping.info.group;
        let dot = if group.is_empty() { "" } else { "." };
        return fail(format!("cannot expose a {kind}{dot}{group}"));
    }
    let selector = match flags.text("selector") {
        "" => match kind {
            "Pod" => object.at("metadata.labels"),
            "Service" | "ReplicationController" => object.at("spec.selector"),
            _ if object.has("spec.selector.matchExpressions") => {
                return fail("couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions - \"match expressions\" to map-based selector format");
            }
            _ => object.at("spec.selector.matchLabels"),
        }
        .clone(),
        text => workload::labels(text)?,
    };
    if selector.is_empty() {
        return fail(match kind {
            "Pod" => {
                "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed"
            }
            "Service" => {
                "couldn't retrieve selectors via --selector flag or introspection: the service has no pod selector set"
            }
            _ => {
                "couldn't retrieve selectors via --selector flag or introspection: invalid deployment: no selectors, therefore cannot be exposed"
            }
        });
    }
    let labels = match flags.text("labels") {
        "" => object.at("metadata.labels").clone(),
        text => workload::labels(text)?,
    };
    let pod_spec = if kind == "Pod" { object.at("spec") } else { object.at("spec.template.spec") };
    let found: Vec<(i64, String)> = if kind == "Service" {
        let ports = object.items("spec.ports").iter();
        ports.map(|port| (port.integer("port").unwrap_or(0), port.text("protocol").to_string())).collect()
    } else {
        let containers = pod_spec.items("containers").iter().flat_map(|container| container.items("ports"));
        containers
            .map(|port| (port.integer("containerPort").unwrap_or(0), port.text("protocol").to_string()))
            .collect()
    };
    let wanted: Vec<i64> = match flags.text("port") {
        "" => found.iter().map(|(port, _)| *port).collect(),
        text => {
            let ports: Result<Vec<i64>, _> = text.split(',').map(str::parse).collect();
            match ports {
                Ok(ports) => ports,
                Err(_) => return fail(format!("strconv.Atoi: parsing {text:?}: invalid syntax")),
            }
        }
    };
    if wanted.is_empty() {
        return fail("couldn't find port via --port flag or introspection");
    }
    let several = wanted.len() > 1;
    let mut ports = Vec::new();
    for (index, port) in wanted.iter().enumerate() {
        let protocol = match flags.text("protocol") {
            "" => found
                .iter()
                .find(|(other, _)| other == port)
                .map_or("TCP", |(_, protocol)| protocol)
                .to_string(),
            protocol => protocol.to_string(),
        };
        let protocol = if protocol.is_empty() { "TCP".to_string() } else { protocol };
        let target = match flags.text("target-port") {
            "" => Value::from(*port),
            text => crate::api::int_or_string::parse(text),
        };
        let name = several.then(|| format!("port-{}", index + 1));
        ports.push(network::port(name.as_deref(), *port, &protocol, target));
    }
    let name = match flags.text("name") {
        "" => info.name.clone(),
        name => name.to_string(),
    };
    let affinity = flags.text("session-affinity");
    if !matches!(affinity, "" | "None" | "ClientIP") {
        return fail(["unknown session affinity: ", affinity].concat());
    }
    let mut service = network::exposing(&name, labels, selector, ports);
    for (flag, field) in [
        ("type", "type"),
        ("cluster-ip", "clusterIP"),
        ("load-balancer-ip", "loadBalancerIP"),
        ("session-affinity", "sessionAffinity"),
    ] {
        if !flags.text(flag).is_empty() {
            service.set(&format!("spec.{field}"), flags.text(flag));
        }
    }
    if !flags.text("external-ip").is_empty() {
        service.set("spec.externalIPs", array![flags.text("external-ip")]);
    }
    overridden(session, service)
}
