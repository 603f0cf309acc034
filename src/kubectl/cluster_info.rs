//! `kubectl cluster-info`: where the control plane and the cluster's own services are.
//!
//! Picture to hold in mind: the arrow "you are here" on the map at the entrance.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/clusterinfo`.

use crate::api::{Value, meta};
use crate::client::request;

use super::failure::{Outcome, SERVER};
use super::print::Format;
use super::session::Session;

pub const DUMP_FLAGS: &[&str] = &[
    "all-namespaces",
    "allow-missing-template-keys",
    "namespaces",
    "output",
    "pod-running-timeout",
    "show-managed-fields",
    "template",
];

fn host(session: &Session) -> String {
    match (session.flags.text("server"), session.context.server.as_str()) {
        ("", "") => SERVER.into(),
        ("", server) | (server, _) => server.into(),
    }
}

pub fn run(session: &mut Session) -> Outcome {
    let host = host(session);
    let namespace = match session.flags.text("namespace") {
        "" => "kube-system".to_string(),
        namespace => namespace.to_string(),
    };
    let services = session.built_in("", "services");
    let list = session.list(&services, &namespace, "kubernetes.io/cluster-service=true", "", |_| {})??;
    session.println(format!("Kubernetes control plane is running at {host}"));
    for service in list.items("items") {
        let link = match service.items("status.loadBalancer.ingress").first() {
            Some(ingress) => {
                let address = match ingress.text("ip") {
                    "" => ingress.text("hostname"),
                    address => address,
                };
                let ports = service.items("spec.ports").iter();
                ports.map(|port| format!("http://{address}:{} ", port.integer("port").unwrap_or(0))).collect()
            }
            None => {
                let name = match service.items("spec.ports").first() {
                    // SCHEME:NAME:PORT, without the ends that are empty.
                    Some(port) => {
                        let secure = port.text("name") == "https" || port.integer("port") == Some(443);
                        match (secure, port.text("name")) {
                            (false, "") => meta::name(service).to_string(),
                            (secure, port) => {
                                let scheme = if secure { "https:" } else { "" };
                                format!("{scheme}{}:{port}", meta::name(service))
                            }
                        }
                    }
                    None => meta::name(service).to_string(),
                };
                format!("{host}/api/v1/namespaces/{}/services/{name}/proxy", meta::namespace(service))
            }
        };
        let name = meta::label(service, "kubernetes.io/name").unwrap_or(meta::name(service)).to_string();
        session.println(format!("{name} is running at {link}"));
    }
    session.println("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.");
    Ok(())
}

/// Everything that helps to find out what is wrong.
pub fn dump(session: &mut Session) -> Outcome {
    let format = match session.flags.text("output") {
        "" => Format::Json,
        _ => session.format(false)?,
    };
    let nodes = session.built_in("", "nodes");
    let list = session.list(&nodes, "", "", "", |_| {})??;
    session.print_object(&format, &list)?;
    let mut namespaces = session.flags.list("namespaces");
    if session.flags.switch("all-namespaces") {
        let all = session.built_in("", "namespaces");
        let list = session.list(&all, "", "", "", |_| {})??;
        namespaces = list.items("items").iter().map(|namespace| meta::name(namespace).to_string()).collect();
    } else if namespaces.is_empty() {
        namespaces = vec!["kube-system".into(), session.namespace()];
    }
    const KINDS: [(&str, &str); 7] = [
        ("", "events"),
        ("", "replicationcontrollers"),
        ("", "services"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("", "pods"),
    ];
    session.each(&namespaces, (), |session, namespace, ()| {
        let mut pods: Vec<Value> = Vec::new();
        for (group, plural) in KINDS {
            let mapping = session.built_in(group, plural);
            let list = session.list(&mapping, namespace, "", "", |_| {})??;
            session.print_object(&format, &list)?;
            if plural == "pods" {
                pods = list.items("items").to_vec();
            }
        }
        let resource = session.built_in("", "pods").resource();
        session.each(&pods, (), |session, pod, ()| {
            for container in pod.items("spec.containers") {
                let (name, place) = (container.text("name"), format!("{namespace}/{}", meta::name(pod)));
                session.println(format!("==== START logs for container {name} of pod {place} ===="));
                let log = request::get(&resource, namespace, meta::name(pod))
                    .subresource("log")
                    .options(|options| options.parameters = vec![("container".into(), name.into())]);
                match session.attempt(log)? {
                    Ok(text) => session.print(text.as_str().unwrap_or("")),
                    Err(failure) => session.println(format!("Create log for pod failed: {}", failure.text())),
                }
                session.println(format!("==== END logs for container {name} of pod {place} ===="));
            }
            Ok(())
        })
    })
}
