//! Who asks, and whether they may.
//!
//! Picture to hold in mind: the doorman and the list. The doorman knows who you are, or lets you in as nobody; somebody
//! on the list of masters may do anything; speaking for another needs a right of its own.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/filters` (authentication.go, impersonation.go, authorization.go).
//! [`ApiServer::judge`] is where authorizers are asked: the masters, the cluster's own components, which are known by
//! name, and [`super::rbac`].

use std::sync::Arc;

use crate::api::Text;
use crate::api::kind::GroupResource;
use crate::api::status::{Reason, Status};
use crate::message::rest::{Request, User};
use crate::sim::Time;

use super::exchange::{Answer, Exchange};
use super::rbac::Verdict;
use super::{ApiServer, FieldTracking};

const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const AUTHENTICATED: &str = "system:authenticated";
const MASTERS: &str = "system:masters";

/// What an authorizer is asked about.
pub(super) struct Question<'a> {
    pub user: &'a User,
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// For requests that are not about a resource.
    pub path: &'a str,
}

impl<'a> Question<'a> {
    fn of(request: &'a Request, user: &'a User) -> Question<'a> {
        Question {
            user,
            verb: request.verb.name(),
            group: &request.resource.group,
            resource: &request.resource.plural,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
            path: &request.path,
        }
    }
}

fn is_in(user: &User, group: &str) -> bool {
    user.groups.iter().any(|other| other == group)
}

impl ApiServer {
    /// Whether the fields that this user writes are recorded as the user's.
    pub(super) fn tracks_fields(&self, user: &User) -> bool {
        match self.config.field_tracking {
            FieldTracking::Nobody => false,
            FieldTracking::Everybody => true,
            FieldTracking::Users => !user.name.starts_with("system:") || user.name == ANONYMOUS,
        }
    }

    /// Settles who asks: the request's user, nobody, or whom the user speaks for.
    pub(super) fn authenticate(&self, exchange: &mut Exchange, now: Time) -> Result<(), Status> {
        let request = Arc::clone(&exchange.request);
        if !request.options.bearer_token.is_empty() {
            // Whatever is wrong with a token, upstream says no more than this.
            let user = self.bearer(&request.options.bearer_token, now);
            exchange.user = Arc::new(user.ok_or_else(|| Status::unauthorized("Unauthorized"))?);
            return self.impersonate(exchange);
        }
        let group = if request.user.name.is_empty() { UNAUTHENTICATED } else { AUTHENTICATED };
        if !is_in(&request.user, group) || request.user.name.is_empty() {
            let mut user = (*request.user).clone();
            if user.name.is_empty() {
                user.name = ANONYMOUS.into();
            }
            user.groups.push(group.into());
            exchange.user = Arc::new(user);
        }
        self.impersonate(exchange)
    }

    fn impersonate(&self, exchange: &mut Exchange) -> Result<(), Status> {
        let request = Arc::clone(&exchange.request);
        let Some(other) = &request.options.impersonate else { return Ok(()) };
        let asker = Arc::clone(&exchange.user);
        for (resource, name) in std::iter::once(("users", other.name.as_str()))
            .chain(other.groups.iter().map(|group| ("groups", group.as_str())))
        {
            let question = Question {
                user: &asker,
                verb: "impersonate",
                group: "",
                resource,
                subresource: "",
                namespace: "",
                name,
                path: "",
            };
            if let Verdict::NoOpinion { errors } = self.judge(&question) {
                return Err(forbidden(&question, &errors));
            }
        }
        let mut user = (**other).clone();
        if let Some((namespace, _)) =
            user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
            && other.groups.is_empty()
        {
            user.groups = vec![
                "system:serviceaccounts".into(),
                Text::from(format!("system:serviceaccounts:{namespace}")),
            ];
        }
        let group = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !is_in(&user, group) {
            user.groups.push(group.into());
        }
        exchange.user = Arc::new(user);
        Ok(())
    }

    pub(super) fn authorize(&self, exchange: &Exchange) -> Result<(), Status> {
        let question = Question::of(&exchange.request, &exchange.user);
        match self.judge(&question) {
            Verdict::Allowed { .. } => Ok(()),
            Verdict::NoOpinion { errors } => Err(forbidden(&question, &errors)),
        }
    }

    /// What the authorizers say, the first that allows it first.
    pub(super) fn judge(&self, question: &Question) -> Verdict {
        let name = question.user.name.as_str();
        // The cluster's own components have roles of their own in upstream's bootstrap policy, and the kubelets the Node
        // authorizer; here they are known by name.
        let is_component = name.starts_with("system:kube-")
            || name.starts_with("system:node:")
            || name.starts_with("system:serviceaccount:kube-system:")
            || name == "system:apiserver"
            || (!name.starts_with("system:") && is_in(question.user, "kubeadm:cluster-admins"));
        // `--authorization-always-allow-paths`.
        let is_open = matches!(question.path, "/healthz" | "/livez" | "/readyz");
        if is_component || is_open || is_in(question.user, MASTERS) {
            return Verdict::Allowed { reason: String::new() };
        }
        self.ask_roles(question)
    }
}

/// What is wrong with bindings that might have allowed it, behind a colon.
pub(super) fn trouble(errors: &[String]) -> String {
    match errors {
        [] => String::new(),
        [error] => format!(": RBAC: {error}"),
        errors => format!(": RBAC: [{}]", errors.join(", ")),
    }
}

/// `pods is forbidden: User "a" cannot list resource "pods" in API group "" in the namespace "default"`.
fn forbidden(question: &Question, errors: &[String]) -> Status {
    let trouble = trouble(errors);
    let user = &question.user.name;
    if !question.path.is_empty() {
        let message = format!(
            "forbidden: User \"{user}\" cannot {} path \"{}\"{trouble}",
            question.verb, question.path
        );
        return Status::new(403, Reason::Forbidden, message);
    }
    let resource = if question.subresource.is_empty() {
        question.resource.to_owned()
    } else {
        format!("{}/{}", question.resource, question.subresource)
    };
    let scope = if question.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", question.namespace)
    };
    let message = format!(
        "User \"{user}\" cannot {} resource \"{resource}\" in API group \"{}\" {scope}{trouble}",
        question.verb, question.group
    );
    Status::forbidden(&GroupResource::new(question.group, question.resource), question.name, message)
}

/// What the stage of authorization says.
pub(super) fn detail(exchange: &Exchange, answer: &Answer) -> Text {
    if answer.code == 403 && answer.body.text("message").contains(" cannot ") {
        return Text::from(answer.body.text("message"));
    }
    if is_in(&exchange.user, MASTERS) { MASTERS.into() } else { exchange.user.name.clone() }
}
