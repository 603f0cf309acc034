//! `kubectl describe`: one object, all that is known of it, and what happened to it.
//!
//! Picture to hold in mind: a doctor's round: the chart at the bed's foot, the relatives, and the nurse's notes of
//! the last hour (the events).
//!
//! Follows `k8s.io/kubectl/pkg/describe/describe.go`, kind by kind.

mod cluster;
mod network;
mod node;
pub mod page;
pub mod pod;
mod rarer;
mod volume;
mod workloads;

pub use cluster::rule_rows;
pub use node::taint_text;

use crate::api::{Text, Value, meta, selector};
use crate::arrange::{Arrange, Gather};
use crate::client::request;

use super::builder::{Info, Rules};
use super::failure::{Failure, Outcome};
use super::session::Session;
use page::Page;

pub const FLAGS: &[&str] =
    &["all-namespaces", "chunk-size", "filename", "kustomize", "recursive", "selector", "show-events"];

pub fn run(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    if operands.is_empty() && !session.has_files() {
        return Err(Failure::Message("You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.\n".into()).into());
    }
    let rules = Rules {
        all_without_selector: true,
        all_namespaces: session.flags.switch("all-namespaces"),
        ..Rules::default()
    };
    let found = session.find(&operands, rules)?;
    let (infos, failures) = (&found.0, &found.1);
    if let ([kind, prefix], Some(failure)) = (operands.as_slice(), failures.first())
        && failure.is_not_found()
        && infos.is_empty()
    {
        return by_prefix(session, kind, prefix, failure.clone());
    }
    let show_events = session.flags.switch("show-events")
        && (session.flags.is_set("show-events") || (infos.len() <= 1 && failures.is_empty()));
    let count = infos.len();
    let numbered: Vec<(usize, &Info)> = infos.iter().enumerate().collect();
    let done = session.each_alone(&numbered, failures, |session, (index, info)| {
        let text = describe(session, info, show_events)?;
        session.print(if *index == 0 { text } else { ["\n\n", &text].concat() });
        Ok(Value::Null)
    })?;
    let failures = done.0.clone();
    if count == 0 && failures.is_empty() {
        let message = match rules.all_namespaces {
            true => "No resources found".to_string(),
            false => format!("No resources found in {} namespace.", session.namespace()),
        };
        session.eprintln(message);
    }
    Ok(Failure::many(failures)?)
}

/// A name that is none may be the beginning of some.
fn by_prefix(session: &mut Session, kind: &str, prefix: &str, original: Failure) -> Outcome {
    let mapping = session.resource(kind)?;
    let namespace = if mapping.namespaced() { session.namespace() } else { String::new() };
    let list = session.list(&mapping, &namespace, "", "", |_| {})??;
    let infos: Vec<Info> = super::builder::infos_of_list(&mapping, &list)
        .into_iter()
        .filter(|info| info.name.starts_with(prefix))
        .gather();
    if infos.is_empty() {
        return Err(original.into());
    }
    session.each(&infos, (), |session, info, ()| {
        let text = describe(session, info, true)?;
        session.print(text + "\n");
        Ok(())
    })
}

/// Lists what a description needs besides the object.
fn list(
    session: &mut Session,
    (group, plural): (&str, &str),
    namespace: &str,
    labels: &str,
    fields: &str,
) -> Outcome<Vec<Value>> {
    let mapping = session.built_in(group, plural);
    let list = session.list(&mapping, namespace, labels, fields, |_| {})??;
    Ok(list.items("items").to_vec())
}

fn events_about(session: &mut Session, info: &Info) -> Outcome<Vec<Value>> {
    let object = &info.object;
    let uid = object.map("metadata.annotations").get("kubernetes.io/config.mirror").and_then(Value::as_str);
    let uid = uid.unwrap_or_else(|| meta::uid(object)).to_string();
    let mut terms = vec![format!("involvedObject.name={}", info.name)];
    if !info.namespace.is_empty() {
        terms.push(format!("involvedObject.namespace={}", info.namespace));
    }
    // A pod's events are looked for without its kind, as upstream does it.
    if info.mapping.info.kind != "Pod" {
        terms.push(format!("involvedObject.kind={}", info.mapping.info.kind));
    }
    let about = terms.join(",");
    let mut events =
        list(session, ("", "events"), &info.namespace, "", &format!("{about},involvedObject.uid={uid}"))?;
    if info.mapping.info.kind == "Node" {
        // Kubelets name the node by its name in the place of its UID.
        let more =
            list(session, ("", "events"), "", "", &format!("{about},involvedObject.uid={}", info.name))?;
        events.extend(more);
    }
    Ok(events)
}

fn describe(session: &mut Session, info: &Info, show_events: bool) -> Outcome<String> {
    // Upstream's describers fetch their object again.
    let object = session.send(info.get_request())?;
    let mut info = info.clone();
    info.object = object.clone();
    info.object.set_default("kind", info.mapping.info.kind.clone());
    let events = if show_events { Some(events_about(session, &info)?) } else { None };
    let now = session.now();
    let mut page = Page::new(now);
    let namespace = info.namespace.clone();
    let kind = info.mapping.info.kind.to_string();
    let is_built_in = !info.mapping.info.custom;
    match kind.as_str() {
        "Pod" if is_built_in => pod::pod(&mut page, &object),
        "ReplicaSet" | "ReplicationController" | "StatefulSet" | "DaemonSet" if is_built_in => {
            let labels = match kind.as_str() {
                "ReplicationController" => {
                    selector::LabelSelector::from_map(object.map("spec.selector")).to_string()
                }
                _ => selector::format(object.at("spec.selector")),
            };
            let pods = list(session, ("", "pods"), &namespace, &labels, "")?;
            let counts = workloads::counts(&pods, meta::uid(&object));
            match kind.as_str() {
                "StatefulSet" => workloads::stateful_set(&mut page, &object, counts),
                "DaemonSet" => workloads::daemon_set(&mut page, &object, counts),
                _ => workloads::replica_set(&mut page, &info.object, counts),
            }
        }
        "Deployment" if is_built_in => {
            let labels = selector::format(object.at("spec.selector"));
            let sets = list(session, ("apps", "replicasets"), &namespace, &labels, "")?;
            let (old, new) = replica_sets(&object, sets);
            workloads::deployment(&mut page, &object, &old, new.as_ref());
        }
        "Job" => workloads::job(&mut page, &object),
        "CronJob" => workloads::cron_job(&mut page, &object),
        "HorizontalPodAutoscaler" => workloads::autoscaler(&mut page, &object),
        "PodDisruptionBudget" => workloads::disruption_budget(&mut page, &object),
        "Node" => {
            let fields = format!("spec.nodeName={},status.phase!=Succeeded,status.phase!=Failed", info.name);
            let pods = list(session, ("", "pods"), "", "", &fields)?;
            let leases = session.built_in("coordination.k8s.io", "leases").resource();
            let lease = session.attempt(request::get(&leases, "kube-node-lease", &info.name))?;
            let error = lease.as_ref().err().map(Failure::text).unwrap_or_default();
            node::node(&mut page, &object, lease.as_ref().map_err(|_| error.as_str()), &pods);
        }
        "Namespace" => {
            let quotas = list(session, ("", "resourcequotas"), &info.name, "", "")?;
            let ranges = list(session, ("", "limitranges"), &info.name, "", "")?;
            cluster::namespace(&mut page, &object, &quotas, &ranges);
            return Ok(page.finish());
        }
        "ResourceQuota" => {
            cluster::resource_quota(&mut page, &object);
            return Ok(page.finish());
        }
        "LimitRange" => {
            cluster::limit_range(&mut page, &object);
            return Ok(page.finish());
        }
        "Secret" => {
            cluster::secret(&mut page, &object);
            return Ok(page.finish());
        }
        "ConfigMap" => cluster::config_map(&mut page, &object),
        "ServiceAccount" => cluster::service_account(&mut page, &object),
        "Role" | "ClusterRole" if is_built_in => {
            cluster::role(&mut page, &object);
            return Ok(page.finish());
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            cluster::role_binding(&mut page, &object);
            return Ok(page.finish());
        }
        "PersistentVolume" => cluster::volume(&mut page, &object),
        "PersistentVolumeClaim" => {
            let pods = list(session, ("", "pods"), &namespace, "", "")?;
            cluster::claim(&mut page, &object, &pods);
        }
        "StorageClass" => cluster::storage_class(&mut page, &object),
        "PriorityClass" => cluster::priority_class(&mut page, &object),
        "Service" if is_built_in => {
            let labels = format!("kubernetes.io/service-name={}", info.name);
            let slices = list(session, ("discovery.k8s.io", "endpointslices"), &namespace, &labels, "")?;
            network::service(&mut page, &object, &slices);
        }
        "Endpoints" => network::endpoints(&mut page, &object),
        "EndpointSlice" => network::endpoint_slice(&mut page, &object),
        "Ingress" if is_built_in => {
            let backends = ingress_backends(session, &object)?;
            let find = |backend: &Value| {
                let found = backends.iter().find(|(known, _)| known == backend);
                found.map_or(String::new(), |(_, text)| text.clone())
            };
            network::ingress(&mut page, &object, &find);
        }
        "IngressClass" => network::ingress_class(&mut page, &object),
        "NetworkPolicy" => {
            network::network_policy(&mut page, &object);
            return Ok(page.finish());
        }
        "CertificateSigningRequest" => rarer::signing_request(&mut page, &object),
        "ServiceCIDR" => rarer::service_cidr(&mut page, &object),
        "IPAddress" if is_built_in => rarer::address(&mut page, &object),
        "VolumeAttributesClass" => rarer::volume_attributes_class(&mut page, &object),
        "CSINode" => rarer::csi_node(&mut page, &object),
        "Event" => cluster::event(&mut page, &info.object),
        _ => cluster::generic(&mut page, &info.object),
    }
    page.events(events.as_deref());
    Ok(page.finish())
}

/// A Deployment's ReplicaSets: the old ones, and the one of the present template.
pub fn replica_sets(deployment: &Value, sets: Vec<Value>) -> (Vec<Value>, Option<Value>) {
    let mut own: Vec<Value> =
        sets.into_iter().filter(|set| meta::is_controlled_by(set, meta::uid(deployment))).gather();
    own.arrange_by_key(|set| (Text::from(meta::creation_timestamp(set)), Text::from(meta::name(set))));
    let plain = |template: &Value| {
        let mut template = template.clone();
        if let Some(labels) = template.get_mut("metadata.labels") {
            labels.make_object().remove("pod-template-hash");
        }
        template
    };
    let wanted = plain(deployment.at("spec.template"));
    let new =
        own.iter().position(|set| plain(set.at("spec.template")) == wanted).map(|index| own.remove(index));
    (own, new)
}

/// What each backend of an ingress leads to.
fn ingress_backends(session: &mut Session, ingress: &Value) -> Outcome<Vec<(Value, String)>> {
    let paths = ingress.items("spec.rules").iter().flat_map(|rule| rule.items("http.paths"));
    let mut backends: Vec<Value> = paths.map(|path| path.at("backend").clone()).collect();
    if ingress.has("spec.defaultBackend") {
        backends.push(ingress.at("spec.defaultBackend").clone());
    }
    let namespace = meta::namespace(ingress).to_string();
    let mut result: Vec<(Value, String)> = Vec::new();
    for backend in backends {
        if result.iter().any(|(known, _)| *known == backend) {
            continue;
        }
        let text = if backend.has("service") {
            let name = backend.text("service.name");
            let port = match backend.integer("service.port.number") {
                Some(number) if number != 0 => number.to_string(),
                _ => backend.text("service.port.name").to_string(),
            };
            let labels = format!("kubernetes.io/service-name={name}");
            let slices = list(session, ("discovery.k8s.io", "endpointslices"), &namespace, &labels, "")?;
            let services = session.built_in("", "services").resource();
            match session.attempt(request::get(&services, &namespace, name))? {
                Err(failure) => format!("{name}:{port} (<error: {}>)", failure.text()),
                Ok(service) => {
                    let is_meant = |entry: &&Value| {
                        entry.integer("port").is_some_and(|number| number.to_string() == port)
                            || entry.text("name") == port
                    };
                    let port_name = service
                        .items("spec.ports")
                        .iter()
                        .find(is_meant)
                        .map_or("", |entry| entry.text("name"));
                    format!("{name}:{port} ({})", network::endpoints_of(&slices, port_name))
                }
            }
        } else {
            let resource = backend.at("resource");
            let group = resource.text("apiGroup");
            let group = if group.is_empty() { "<none>" } else { group };
            format!("APIGroup: {group}, Kind: {}, Name: {}", resource.text("kind"), resource.text("name"))
        };
        result.push((backend, text));
    }
    Ok(result)
}
