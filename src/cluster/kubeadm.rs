//! The last phases of `kubeadm init`: what it puts into a control plane that has just come up.
//!
//! Picture to hold in mind: the fitter with a checklist. He knocks until somebody opens (`/livez`), hands in one
//! form after another, and goes home when the last is stamped. He never comes back.
//!
//! Follows the order of `cmd/kubeadm/app/cmd/phases/init`: the administrator's binding, upload-config, mark-control-plane (for which it waits until
//! the node is there: no node may label itself so), bootstrap-token, addon (CoreDNS, then kube-proxy). A form that is
//! already there is left as it is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Value, kind, meta};
use crate::client::{Answer, Connection, request};
use crate::language::{Context, Input};
use crate::message::rest::{PatchType, Request, Resource, User};
use crate::object;
use crate::sim::{ActorId, Duration};
use crate::timer::{ClientTimer, Timer};

/// Between two tries (`kubeadmconstants.KubernetesAPICallRetryInterval`).
const RETRY: Duration = Duration::from_millis(500);

/// The actor.
#[derive(Clone)]
pub struct Kubeadm {
    connection: Connection<()>,
    window: usize,
    is_server_up: bool,
    /// What is still to be handed in. Empty: done, for good.
    forms: VecDeque<Value>,
}

impl Kubeadm {
    pub fn new(server: ActorId, forms: Vec<Value>) -> Kubeadm {
        let mut connection = Connection::new(server);
        let groups = vec!["system:masters".into(), "system:authenticated".into()];
        // `super-admin.conf`: nobody has bound `kubeadm:cluster-admins` to anything yet.
        let user = User::new("kubernetes-super-admin".into(), groups);
        let window = connection.window(Arc::new(user), "kubeadm", 0, 0);
        Kubeadm { connection, window, is_server_up: false, forms: forms.into() }
    }
    /// Whether everything has been handed in.
    pub fn is_done(&self) -> bool {
        self.forms.is_empty()
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.connection.restart();
                self.next(context);
            }
            Input::Message { from, message } => {
                if let Some(((), answer)) = self.connection.receive(context, from, &message) {
                    self.answered(&answer, context);
                }
            }
            Input::Timer(Timer::Client(ClientTimer::Timeouts)) => {
                for ((), answer) in self.connection.timeouts(context) {
                    self.answered(&answer, context);
                }
            }
            Input::Timer(Timer::Client(ClientTimer::Retry)) => self.next(context),
            Input::Timer(_) => {}
        }
    }

    fn next(&mut self, context: &mut Context) {
        let Some(form) = self.forms.front() else { return };
        let request = if self.is_server_up { creation(form) } else { request::path("/livez") };
        self.connection.send(context, self.window, request, ());
    }

    fn answered(&mut self, answer: &Answer, context: &mut Context) {
        let code = match answer {
            Answer::Response(response) => response.code,
            Answer::Watch(_) | Answer::Closed(_) => 0,
        };
        let is_done = (200..300).contains(&code) || (self.is_server_up && code == 409);
        if !is_done {
            context.timer(RETRY, Timer::Client(ClientTimer::Retry));
            return;
        }
        if self.is_server_up {
            self.forms.pop_front();
        }
        self.is_server_up = true;
        self.next(context);
    }
}

fn creation(form: &Value) -> Request {
    let (group, version) = meta::split_api_version(meta::api_version(form));
    let registry = kind::Registry::new();
    let plural = registry.kind(group, meta::kind(form)).map_or("", |info| info.plural.as_str());
    if plural == "nodes" {
        let patch = object! { "metadata" => object! { "labels" => meta::labels(form).clone() } };
        let resource = Resource::new(group, version, plural);
        return request::patch(&resource, "", meta::name(form), PatchType::StrategicMerge, patch);
    }
    request::create(&Resource::new(group, version, plural), meta::namespace(form), form.clone())
}
