//! `pods/proxy` and `services/proxy`: what a container has to say to the API server itself.
//!
//! Picture to hold in mind: the receptionist carries your question to the person's desk and the answer back, instead of
//! putting you through.
//!
//! The real server dials the pod's address from its own node; here the kubelet of the pod's node dials it, so routes and
//! policies on the way have no say. Follows `pkg/registry/core/pod/strategy.go` and `pkg/registry/core/service/storage`
//! (`ResourceLocation`), and `apimachinery/pkg/util/proxy` for the words.

use crate::api::kind::GroupResource;
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value};
use crate::apiserver::ApiServer;
use crate::message::rest::Request;

/// Where a question goes: which pod, and which of its ports.
pub(super) struct Target {
    pub node: Text,
    pub pod: Text,
    /// `10.244.1.5:80`
    pub address: Text,
    pub port: Text,
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`, taken apart: name and port.
fn name_and_port<'a>(id: &'a str, what: &str) -> Result<(&'a str, &'a str), Status> {
    let parts: (&str, &str) = match id.split(':').collect::<Vec<_>>().as_slice() {
        [name] => (name, ""),
        [name, port] => (name, port),
        ["" | "http" | "https", name, port] => (name, port),
        _ => ("", ""),
    };
    if parts.0.is_empty() {
        Err(Status::bad_request(format!("invalid {what} request {id:?}")))
    } else {
        Ok(parts)
    }
}

impl ApiServer {
    /// Whom a request to `proxy` means.
    pub(super) fn proxy_target(&self, request: &Request, kind: &str) -> Result<Target, Status> {
        match kind {
            "Pod" => {
                let (name, port) = name_and_port(&request.name, "pod")?;
                self.pod_target(request, name, port)
            }
            "Service" => self.service_target(request),
            _ => {
                let message = format!("{}/proxy is not simulated", request.resource.plural);
                Err(Status::new(501, Reason::Unknown, message))
            }
        }
    }

    fn pod_target(&self, request: &Request, name: &str, port: &str) -> Result<Target, Status> {
        let key = format!("{}/{name}", request.namespace);
        let pods = GroupResource::new("", "pods");
        let pod =
            self.shelf(self.catalog.shelves.pods, &key).ok_or_else(|| Status::not_found(&pods, name))?;
        let port = if port.is_empty() {
            let mut ports =
                pod.items("spec.containers").iter().flat_map(|container| container.items("ports"));
            ports.find_map(|port| port.integer("containerPort")).unwrap_or(80).to_string()
        } else {
            port.to_owned()
        };
        let ip = pod.text("status.podIP");
        if ip.is_empty() {
            return Err(Status::bad_request("address not allowed"));
        }
        let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        Ok(Target {
            node: pod.shared_text("spec.nodeName"),
            pod: name.into(),
            address: arcstr::format!("{ip}:{port}"),
            port: port.into(),
        })
    }

    fn service_target(&self, request: &Request) -> Result<Target, Status> {
        let (name, port) = name_and_port(&request.name, "service")?;
        let key = format!("{}/{name}", request.namespace);
        let services = GroupResource::new("", "services");
        let service = self
            .shelf(self.catalog.shelves.services, &key)
            .ok_or_else(|| Status::not_found(&services, name))?;
        // By number or by name; what is not said is the port without a name.
        let port = match port.parse::<i64>() {
            Ok(number) => {
                let mut ports = service.items("spec.ports").iter();
                let found = ports.find(|port| port.integer("port") == Some(number)).ok_or_else(|| {
                    Status::service_unavailable(format!(
                        "no service port {number} found for service {name:?}"
                    ))
                })?;
                found.text("name")
            }
            Err(_) => port,
        };
        let (pod, number) = self.endpoint(request, name, port).ok_or_else(|| {
            Status::service_unavailable(format!("no endpoints available for service {name:?}"))
        })?;
        self.pod_target(request, pod, &number.to_string())
    }

    /// A ready endpoint of a service: its pod, and the number of the port of this name.
    fn endpoint(&self, request: &Request, service: &str, port: &str) -> Option<(&str, i64)> {
        let slices = self.cached("discovery.k8s.io", "endpointslices");
        let is_own = |slice: &&Value| {
            slice.text("metadata.namespace") == request.namespace
                && slice.map("metadata.labels").get("kubernetes.io/service-name").and_then(Value::as_str)
                    == Some(service)
        };
        slices.filter(is_own).find_map(|slice| {
            let number = slice.items("ports").iter().find(|own| own.text("name") == port)?.integer("port")?;
            let ready =
                slice.items("endpoints").iter().find(|endpoint| endpoint.is_true("conditions.ready"))?;
            Some((ready.text("targetRef.name"), number))
        })
    }
}
