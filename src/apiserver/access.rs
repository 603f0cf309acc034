//! Who asks, and whether they may.
//!
//! Picture to hold in mind: the doorman and the list. The doorman knows who you are, or lets you in as nobody; somebody
//! on the list of masters may do anything; speaking for another needs a right of its own.
//!
//! Follows `k8s.io/apiserver/pkg/endpoints/filters` (authentication.go, impersonation/, authorization.go) and
//! `pkg/authorization/union`.
//! [`ApiServer::judge`] is where the authorizers are asked in turn: the masters are let through, then
//! [`super::node_authorizer`] and [`super::rbac`] are heard. The cluster's own components are judged like anybody else.

use std::sync::Arc;

use crate::api::Text;
use crate::api::field::go_quote;
use crate::api::kind::GroupResource;
use crate::api::status::{Reason, Status};
use crate::api::validation::format::name_is_subdomain;
use crate::api::validation::user_extra;
use crate::api::value::literal;
use crate::arrange::Gather;
use crate::message::rest::{Request, User, Verb};
use crate::sim::Time;

use super::exchange::{Answer, Exchange};
use super::rbac::Verdict;
use super::{ApiServer, FieldTracking};

const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const AUTHENTICATED: &str = "system:authenticated";
pub(super) const MASTERS: &str = "system:masters";
const NODES: &str = "system:nodes";

/// What an authorizer is asked about.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub user: &'a User,
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Which objects a list or watch is limited to.
    pub field_selector: &'a str,
    /// For requests that are not about a resource.
    pub path: &'a str,
}

impl<'a> Question<'a> {
    /// Of `RequestInfoFactory.NewRequestInfo`.
    fn of(request: &'a Request, user: &'a User) -> Question<'a> {
        let mut question = Question {
            user,
            verb: request.verb.name(),
            group: &request.resource.group,
            resource: &request.resource.plural,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
            field_selector: &request.options.field_selector,
            path: &request.path,
        };
        match request.verb {
            // A selector that only one object can meet names it.
            Verb::List | Verb::Watch if question.name.is_empty() => {
                question.name = question.selected("metadata.name").unwrap_or_default();
            }
            // What is made has no name in the request line.
            Verb::Create if question.subresource.is_empty() => question.name = "",
            _ => {}
        }
        if question.resource == "namespaces" && question.group.is_empty() {
            question.namespace = question.name;
        }
        question
    }
    /// About objects of no namespace, or of all.
    pub(super) fn about(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Question<'a> {
        Question {
            user,
            verb,
            group,
            resource,
            subresource: "",
            namespace: "",
            name: "",
            field_selector: "",
            path: "",
        }
    }
    /// The value that the field selector demands of a field.
    pub(super) fn selected(&self, field: &str) -> Option<&'a str> {
        let values = self.field_selector.split(',').filter_map(|term| term.strip_prefix(field));
        let mut values = values.filter_map(|rest| rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')));
        values.next()
    }
}

pub(super) fn is_in(user: &User, group: &str) -> bool {
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

    /// Lets somebody speak for another, if one of the ways in which that can be allowed is open to him; what is wrong
    /// with the first way is told.
    fn impersonate(&self, exchange: &mut Exchange) -> Result<(), Status> {
        let request = Arc::clone(&exchange.request);
        let asker = Arc::clone(&exchange.user);
        exchange.asker = Arc::clone(&asker);
        let Some(other) = &request.options.impersonate else { return Ok(()) };
        let only_name = other.groups.is_empty() && other.uid.is_empty() && other.extra.is_null();
        let mut problem = None;
        let own_node = associated_node(&asker).filter(|node| node_name(&other.name) == Some(*node));
        for (mode, fits) in [
            (":associated-node", only_name && own_node.is_some()),
            (":arbitrary-node", only_name && node_name(&other.name).is_some()),
            (":serviceaccount", only_name && account(&other.name).is_some()),
            (":user-info", node_name(&other.name).is_none() && account(&other.name).is_none()),
            ("", true),
        ] {
            if !fits {
                continue;
            }
            match self.impersonate_as(mode, &request, &asker, other) {
                Ok(user) => {
                    exchange.user = Arc::new(user);
                    exchange.spoken_by = Some(["impersonate", mode].concat().into());
                    return Ok(());
                }
                Err(status) => drop(problem.get_or_insert(status)),
            }
        }
        Err(problem.unwrap_or_else(|| Status::internal_error("all impersonation modes failed")))
    }

    /// `mode`: what is appended to the verb `impersonate`; nothing for the way that there has always been.
    fn impersonate_as(
        &self,
        mode: &str,
        request: &Request,
        asker: &User,
        other: &User,
    ) -> Result<User, Status> {
        let permit = |question: &Question| match self.judge(question) {
            Verdict::Allowed { .. } => Ok(()),
            Verdict::NoOpinion { reason } => Err(forbidden(question, &reason)),
        };
        let is_constrained = !mode.is_empty();
        if is_constrained {
            let question = Question::of(request, asker);
            permit(&Question { verb: &["impersonate-on", mode, ":", question.verb].concat(), ..question })?;
        }
        let verb = ["impersonate", mode].concat();
        let group = if is_constrained { "authentication.k8s.io" } else { "" };
        let mut question = Question { name: &other.name, ..Question::about(asker, &verb, group, "users") };
        let mut user = other.clone();
        if let Some(name) = node_name(&other.name).filter(|_| is_constrained) {
            // Whichever node it is: an account may speak for its own, so that is granted for all of them.
            let name = if mode == ":associated-node" { "*" } else { name };
            question = Question { resource: "nodes", name, ..question };
            user.groups = vec![NODES.into()];
        }
        if let Some((namespace, name)) = account(&other.name) {
            question = Question { resource: "serviceaccounts", namespace, name, ..question };
            if other.groups.is_empty() {
                user.groups = User::service_account(namespace, name).groups;
            }
        }
        permit(&question)?;
        let groups = Question::about(asker, &verb, group, "groups");
        let about = |resource| Question::about(asker, &verb, "authentication.k8s.io", resource);
        if !other.uid.is_empty() {
            permit(&Question { name: &other.uid, ..about("uids") })?;
        }
        if is_constrained && is_in(other, "") {
            return Err(forbidden(&groups, "impersonating the empty string group is not allowed"));
        }
        if is_constrained && is_in(other, MASTERS) {
            let words = "impersonating the system:masters group is not allowed";
            return Err(forbidden(&Question { name: MASTERS, ..groups }, words));
        }
        // Who wants many things may have been allowed all of them.
        let may_all = |count: usize, question: Question| {
            is_constrained && count >= 4 && permit(&Question { name: "*", ..question }).is_ok()
        };
        if !may_all(other.groups.len(), groups) {
            for name in &other.groups {
                permit(&Question { name, ..groups })?;
            }
        }
        let extras: Vec<(&str, &str)> = (other.extra.as_object().iter().flat_map(|extra| extra.iter()))
            .flat_map(|(key, values)| values.as_array().unwrap_or(&[]).iter().map(move |own| (key, own)))
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .gather();
        for (key, value) in extras.iter().filter(|_| is_constrained) {
            if let Some(words) = misfit(key, value) {
                let words = ["impersonating ", &words].concat();
                return Err(forbidden(&about("userextras"), &words));
            }
        }
        if !may_all(extras.len(), Question { subresource: "*", ..about("userextras") }) {
            for (subresource, name) in extras {
                permit(&Question { subresource, name, ..about("userextras") })?;
            }
        }
        let group = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !is_in(&user, group) && !is_in(&user, UNAUTHENTICATED) {
            user.groups.push(group.into());
        }
        Ok(user)
    }

    pub(super) fn authorize(&mut self, exchange: &mut Exchange) -> Result<(), Status> {
        let (request, user) = (Arc::clone(&exchange.request), Arc::clone(&exchange.user));
        let question = Question::of(&request, &user);
        let verdict = match self.judge_without_roles(&question) {
            Ok(verdict) => verdict,
            Err(words) => self.remember_keyring(&user).ask(&question, words),
        };
        match verdict {
            Verdict::Allowed { rule, .. } => {
                exchange.allowed_by = rule;
                Ok(())
            }
            Verdict::NoOpinion { reason } => Err(forbidden(&question, &reason)),
        }
    }

    /// What the authorizers say (`--authorization-mode=Node,RBAC`): the first that allows it settles it.
    pub(super) fn judge(&self, question: &Question) -> Verdict {
        match self.judge_without_roles(question) {
            Ok(verdict) => verdict,
            Err(words) => self.keyring(question.user).ask(question, words),
        }
    }

    /// The masters may do anything; of a node its own authorizer knows. Otherwise what that says against it.
    fn judge_without_roles(&self, question: &Question) -> Result<Verdict, String> {
        if is_in(question.user, MASTERS) {
            return Ok(Verdict::Allowed { reason: Text::new(), rule: literal!("system:masters") });
        }
        match self.ask_node_authorizer(question) {
            Some(Ok(())) => Ok(Verdict::Allowed { reason: Text::new(), rule: literal!("Node authorizer") }),
            Some(Err(words)) => Err(words),
            None => Err(String::new()),
        }
    }
}

/// Why nobody may speak for somebody of whom this is said (`validateExtra`).
fn misfit(key: &str, value: &str) -> Option<String> {
    Some(match user_extra(key) {
        _ if key.is_empty() => "the empty string key in extra is not allowed".to_owned(),
        Some(error) => ["an invalid key in extra is not allowed: ", &error.to_string()].concat(),
        None if key.to_ascii_lowercase() != key => {
            ["a non-lowercase key in extra is not allowed: ", &go_quote(key)].concat()
        }
        None if value.is_empty() => "the empty string value in extra is not allowed".to_owned(),
        None => return None,
    })
}

/// The node that a user calls himself, whether or not he is one (`isNodeUsername`).
fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| name_is_subdomain(name, false).is_empty())
}

/// The node that asks: its name, which may be missing (`nodeidentifier.NodeIdentity`).
pub(super) fn node_of(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| is_in(user, NODES))
}

/// The node of the pod to which a service account's token was given.
pub(super) fn associated_node(user: &User) -> Option<&str> {
    let [node] = user.extra.get("authentication.kubernetes.io/node-name")?.as_array()? else { return None };
    account(&user.name).and_then(|_| node.as_str())
}

/// Namespace and name of a service account.
pub(super) fn account(user: &str) -> Option<(&str, &str)> {
    let account = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(account).filter(|(_, name)| !name.contains(':'))
}

/// `pods is forbidden: User "a" cannot list resource "pods" in API group "" in the namespace "default"`.
pub(super) fn forbidden(question: &Question, reason: &str) -> Status {
    let trouble = if reason.is_empty() { String::new() } else { format!(": {reason}") };
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

/// What the stage of authorization says: what allowed it, or why it is refused.
pub(super) fn detail(exchange: &Exchange, answer: &Answer) -> Text {
    if exchange.allowed_by.is_empty() {
        answer.body.shared_text("message")
    } else {
        exchange.allowed_by.clone()
    }
}
