//! `log`, `exec`, `attach`, `portforward`, `proxy`: what only the node can answer.
//!
//! Picture to hold in mind: a receptionist who puts a call through: checks that the person is in the house, dials the
//! floor, and hands over whatever is said there.
//!
//! Follows `pkg/registry/core/pod/rest` (log.go, subresources.go), `pkg/registry/core/pod/strategy.go` (`LogLocation`,
//! `validateContainer`) and `pkg/kubelet/client`. Where a kubelet listens is learnt from the requests that it sends as
//! `system:node:NAME`.

use std::sync::Arc;

use crate::api::status::{Reason, Status};
use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::Message;
use crate::message::rest::{Request, Response};
use crate::sim::{ActorId, Duration, Time};

use crate::apiserver::ApiServer;
use crate::apiserver::catalog::{Route, below};
use crate::apiserver::exchange::{Answer, Exchange, State, Step};
use crate::apiserver::watchers::ExchangeId;

/// Go's default dialer gives up after this.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A call that has been put through.
#[derive(Clone)]
pub(in crate::apiserver) struct Call {
    exchange: ExchangeId,
    url: Text,
    address: Text,
    /// The address that the kubelet is to dial in the server's name.
    proxied: Option<Text>,
    since: Time,
}

impl ApiServer {
    /// A kubelet has asked for something: now it is known where it listens.
    pub(in crate::apiserver) fn learn_kubelet(&mut self, client: ActorId, request: &Request) {
        if let Some(node) = request.user.name.strip_prefix("system:node:")
            && self.kubelets.get(node) != Some(&client)
        {
            self.kubelets.insert(node.into(), client);
        }
    }

    pub(super) fn ask_kubelet(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        cache: usize,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let kind = route.info.kind.as_str();
        let mut forwarded = (*request).clone();
        let (node, proxied) = if request.subresource == "proxy" {
            let target = self.proxy_target(&request, kind)?;
            let parameters = &mut forwarded.options.parameters;
            let path =
                parameters.iter().find(|(name, _)| name == "path").map_or("", |(_, path)| path.as_str());
            *parameters = vec![("path".into(), arcstr::format!("/{path}")), ("port".into(), target.port)];
            forwarded.name = target.pod;
            (target.node, Some(target.address))
        } else {
            let key = below(&route.info, &request.namespace, &request.name);
            let object = self
                .shelf(cache, &key)
                .ok_or_else(|| Status::not_found(&route.info.group_resource(), &request.name))?;
            check_container(object, &request)?;
            (object.shared_text("spec.nodeName"), None)
        };
        if node.is_empty() {
            // A log of a pod without a node is empty.
            if request.subresource == "log" {
                return Ok(Step::Answer(Answer::new(200, Value::from(""))));
            }
            return Err(Status::bad_request(format!("pod {} does not have a host assigned", request.name)));
        }
        let address = self.kubelet_address(&node)?;
        let path = match request.subresource.as_str() {
            "log" => "containerLogs",
            "portforward" => "portForward",
            other => other,
        };
        let url = Text::from(format!("https://{address}/{path}/{}/{}", request.namespace, request.name));
        let Some(kubelet) = self.kubelets.get(&node).copied() else {
            return Err(unreachable(&url, &address, "connect: connection refused"));
        };
        self.own_requests += 1;
        let id = self.own_requests;
        forwarded.id = id;
        forwarded.user_agent = "kube-apiserver".into();
        context.send(kubelet, Message::Request(Arc::new(forwarded)));
        let call = Call { exchange: exchange.id, url, address, proxied, since: context.now() };
        self.calls.insert(id, call);
        exchange.state = State::Forwarded;
        Ok(Step::Waiting)
    }

    fn kubelet_address(&self, node: &Text) -> Result<Text, Status> {
        let Some(object) = self.shelf(self.catalog.shelves.nodes, node) else {
            let resource = crate::api::kind::GroupResource::new("", "nodes");
            return Err(Status::not_found(&resource, node));
        };
        let port = object
            .integer("status.daemonEndpoints.kubeletEndpoint.Port")
            .filter(|port| *port > 0)
            .unwrap_or(10250);
        let addresses = object.items("status.addresses");
        let find = |kind: &str| addresses.iter().find(|address| address.text("type") == kind);
        let host = find("InternalIP")
            .or_else(|| find("Hostname"))
            .map_or(node.as_str(), |found| found.text("address"));
        Ok(Text::from(format!("{host}:{port}")))
    }

    /// The kubelet has answered.
    pub(in crate::apiserver) fn kubelet_answered(&mut self, response: &Response, context: &mut Context) {
        let Some(call) = self.calls.get(&response.id).cloned() else { return };
        self.calls.remove(&response.id);
        if let (Some(address), 503) = (&call.proxied, response.code)
            && response.body.text("kind") == "Status"
        {
            let why = response.body.text("message");
            let message = format!("error trying to reach service: dial tcp {address}: connect: {why}");
            let status = Status::service_unavailable(message);
            return self.answer_exchange(call.exchange, status.into(), context);
        }
        let answer = Answer {
            code: response.code,
            body: response.body.clone(),
            retry_after_seconds: response.retry_after_seconds,
        };
        self.answer_exchange(call.exchange, answer, context);
    }

    /// Nobody listens where the kubelet was; false if `id` is no call.
    pub(in crate::apiserver) fn kubelet_closed(&mut self, id: u64, context: &mut Context) -> bool {
        let Some(call) = self.calls.get(&id).cloned() else { return false };
        self.calls.remove(&id);
        let status = unreachable(&call.url, &call.address, "connect: connection refused");
        self.answer_exchange(call.exchange, status.into(), context);
        true
    }

    /// Once a second: calls that nobody takes.
    pub(in crate::apiserver) fn look_after_calls(&mut self, context: &mut Context) {
        let now = context.now();
        let lost: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| now.since(call.since) >= DIAL_TIMEOUT)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(call) = self.calls.get(&id).cloned() else { continue };
            self.calls.remove(&id);
            let status = unreachable(&call.url, &call.address, "i/o timeout");
            self.answer_exchange(call.exchange, status.into(), context);
        }
    }
}

fn unreachable(url: &str, address: &str, why: &str) -> Status {
    Status::new(500, Reason::Unknown, format!("Get \"{url}\": dial tcp {address}: {why}"))
}

/// Which container is meant.
fn check_container(pod: &Value, request: &Request) -> Result<(), Status> {
    if !matches!(request.subresource.as_str(), "log" | "exec" | "attach") {
        return Ok(());
    }
    let asked = request
        .options
        .parameters
        .iter()
        .find(|(name, _)| name == "container")
        .map_or("", |(_, value)| value.as_str());
    let names = |field: &str| -> Vec<&str> {
        pod.items(field).iter().map(|container| container.text("name")).collect()
    };
    let (containers, init, ephemeral) =
        (names("spec.containers"), names("spec.initContainers"), names("spec.ephemeralContainers"));
    if asked.is_empty() {
        if containers.len() <= 1 {
            return Ok(());
        }
        let mut message = format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            request.name,
            containers.join(" ")
        );
        if !init.is_empty() {
            message += &format!(" or one of the init containers: [{}]", init.join(" "));
        }
        if !ephemeral.is_empty() {
            message += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
        }
        return Err(Status::bad_request(message));
    }
    if [containers, init, ephemeral].iter().any(|names| names.contains(&asked)) {
        return Ok(());
    }
    Err(Status::bad_request(format!("container {asked} is not valid for pod {}", request.name)))
}
