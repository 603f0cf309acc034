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
use crate::apiserver::access::{self, Question};
use crate::apiserver::catalog::Route;
use crate::apiserver::exchange::{Answer, Exchange};
use crate::apiserver::pipeline::method_not_allowed;
use crate::apiserver::rbac::Verdict;

fn user_info(user: &User) -> Value {
    object! {
        "username" => &user.name,
        "groups" => Value::array(user.groups.iter().map(Value::from)),
    }
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
                review.set("status", object! { "userInfo" => user_info(&exchange.user) });
            }
            "SelfSubjectRulesReview" => {
                let question = Question {
                    user: &exchange.user,
                    verb: "",
                    group: "",
                    resource: "",
                    subresource: "",
                    namespace: request.body.text("spec.namespace"),
                    name: "",
                    path: "",
                };
                let (mut resources, mut paths) = self.rules_of(&question);
                // Who may do everything by no role.
                if matches!(self.judge(&question), Verdict::Allowed { reason } if reason.is_empty()) {
                    resources.insert(
                        0,
                        object! {
                            "verbs" => array!["*"], "apiGroups" => array!["*"], "resources" => array!["*"],
                        },
                    );
                    paths.insert(0, object! { "verbs" => array!["*"], "nonResourceURLs" => array!["*"] });
                }
                review.set(
                    "status",
                    object! {
                        "resourceRules" => Value::array(resources),
                        "nonResourceRules" => Value::array(paths),
                        "incomplete" => false,
                    },
                );
            }
            "TokenReview" => {
                let status = match self.bearer(request.body.text("spec.token"), now) {
                    Some(user) => object! {
                        "authenticated" => true,
                        "user" => user_info(&user),
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
                    }
                };
                let attributes = spec.at("resourceAttributes");
                let question = Question {
                    user: &user,
                    verb: if attributes.is_null() {
                        spec.text("nonResourceAttributes.verb")
                    } else {
                        attributes.text("verb")
                    },
                    group: attributes.text("group"),
                    resource: attributes.text("resource"),
                    subresource: attributes.text("subresource"),
                    namespace: attributes.text("namespace"),
                    name: attributes.text("name"),
                    path: spec.text("nonResourceAttributes.path"),
                };
                let (is_allowed, reason) = match self.judge(&question) {
                    Verdict::Allowed { reason } => (true, reason),
                    Verdict::NoOpinion { errors } => (false, access::trouble(&errors)),
                };
                let mut status = object! { "allowed" => is_allowed };
                let reason = reason.trim_start_matches(": ");
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
