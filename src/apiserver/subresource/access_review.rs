//! Reviews: may I, may they, what may I, who am I.
//!
//! Picture to hold in mind: asking the doorman before walking up.
//!
//! Follows `pkg/registry/authorization` and `pkg/registry/authentication`.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Text, Value};
use crate::message::rest::User;
use crate::sim::Time;
use crate::{array, object};

use crate::apiserver::ApiServer;
use crate::apiserver::access::{self, MASTERS, Question, is_in};
use crate::apiserver::catalog::Route;
use crate::apiserver::exchange::{Answer, Exchange};
use crate::apiserver::pipeline::method_not_allowed;
use crate::apiserver::rbac::Verdict;

/// A field selector of a review, as a request would carry it; of requirements those that one value meets.
fn selector(selector: &Value) -> String {
    let raw = selector.text("rawSelector");
    let terms = selector.items("requirements").iter().filter_map(|requirement| {
        let value = requirement.items("values").first().and_then(Value::as_str)?;
        (requirement.text("operator") == "In").then(|| [requirement.text("key"), "=", value].concat())
    });
    if raw.is_empty() { terms.collect::<Vec<String>>().join(",") } else { raw.into() }
}

impl ApiServer {
    pub(super) fn review(&self, exchange: &Exchange, route: &Route, now: Time) -> Result<Answer, Status> {
        let request = Arc::clone(&exchange.request);
        let mut review = request.body.clone();
        review.set("kind", &route.info.kind);
        review.set("apiVersion", request.resource.api_version());
        review.set_default("metadata", Value::object());
        match route.info.kind.as_str() {
            "SelfSubjectReview" => {
                review.set("status", object! { "userInfo" => exchange.user.info() });
            }
            "SelfSubjectRulesReview" => {
                let user = &exchange.user;
                let (mut resources, mut paths) = (Vec::new(), Vec::new());
                // Who may do everything by no role.
                if is_in(user, MASTERS) {
                    let all = array!["*"];
                    resources.push(object! { "verbs" => &all, "apiGroups" => &all, "resources" => &all });
                    paths.push(object! { "verbs" => &all, "nonResourceURLs" => &all });
                }
                for rule in self.keyring(user).rules(request.body.text("spec.namespace")) {
                    let list = if rule.items("resources").is_empty() { &mut paths } else { &mut resources };
                    list.push(rule.clone());
                }
                let mut status = object! {
                    "resourceRules" => Value::array(resources),
                    "nonResourceRules" => Value::array(paths),
                    "incomplete" => false,
                };
                if access::node_of(user).is_some() {
                    status.set("incomplete", true);
                    status.set("evaluationError", "node authorizer does not support user rule resolution");
                }
                review.set("status", status);
            }
            "TokenReview" => {
                let status = match self.bearer(request.body.text("spec.token"), now) {
                    Some(user) => object! {
                        "authenticated" => true,
                        "user" => user.info(),
                        "audiences" => array![super::token::ISSUER],
                    },
                    None => object! { "authenticated" => false, "error" => "invalid bearer token" },
                };
                review.set("status", status);
            }
            "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                let spec = request.body.at("spec").clone();
                let user = if route.info.kind == "SelfSubjectAccessReview" {
                    (*exchange.user).clone()
                } else {
                    User {
                        name: spec.shared_text("user"),
                        groups: spec
                            .items("groups")
                            .iter()
                            .filter_map(Value::as_str)
                            .map(Text::from)
                            .collect(),
                        ..User::default()
                    }
                };
                let attributes = spec.at("resourceAttributes");
                let (verb, path) = match attributes.is_null() {
                    true => ("nonResourceAttributes.verb", spec.text("nonResourceAttributes.path")),
                    false => ("resourceAttributes.verb", ""),
                };
                let selector = selector(attributes.at("fieldSelector"));
                let about = Question::about(
                    &user,
                    spec.text(verb),
                    attributes.text("group"),
                    attributes.text("resource"),
                );
                let question = Question {
                    subresource: attributes.text("subresource"),
                    namespace: attributes.text("namespace"),
                    name: attributes.text("name"),
                    field_selector: &selector,
                    path,
                    ..about
                };
                let (is_allowed, reason) = match self.judge(&question) {
                    Verdict::Allowed { reason, .. } => (true, reason),
                    Verdict::NoOpinion { reason } => (false, reason.into()),
                };
                let mut status = object! { "allowed" => is_allowed };
                if !reason.is_empty() {
                    status.set("reason", reason);
                }
                review.set("status", status);
            }
            _ => return Err(method_not_allowed()),
        }
        Ok(Answer::new(201, review))
    }
}
