//! The doors beside the main ones: status, scale, binding, eviction, token and the rest.
//!
//! Picture to hold in mind: side counters. Each takes a form of its own, or lets you touch only one part of the file.
//!
//! Follows `pkg/registry/*/*/storage/storage.go`.

mod access_review;
mod binding;
pub(super) mod eviction;
pub(super) mod kubelet;
mod proxy;
mod scale;
mod token;

use std::sync::Arc;

use crate::api::kind::Verb as KindVerb;
use crate::api::status::Status;
use crate::api::{Value, meta};
use crate::language::Context;
use crate::message::rest::{Request, Verb};
use crate::object;

use super::ApiServer;
use super::catalog::{Route, below};
use super::cycle::{Change, Current, Cycle, Job};
use super::exchange::{Answer, Exchange, Step};
use super::form::Form;
use super::pipeline::method_not_allowed;

pub(super) use scale::of as scale;

fn kind_verb(verb: Verb) -> KindVerb {
    match verb {
        Verb::Get => KindVerb::Get,
        Verb::List => KindVerb::List,
        Verb::Watch => KindVerb::Watch,
        Verb::Create => KindVerb::Create,
        Verb::Update => KindVerb::Update,
        Verb::Patch(_) => KindVerb::Patch,
        Verb::Delete => KindVerb::Delete,
        Verb::DeleteCollection => KindVerb::DeleteCollection,
    }
}

impl ApiServer {
    pub(super) fn begin_subresource(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let request = Arc::clone(&exchange.request);
        let mut subresources = route.info.subresources_of(&request.resource.version);
        let Some(subresource) = subresources.find(|own| own.name == request.subresource) else {
            return Err(match route.info.custom {
                true => Status::not_found(&route.info.group_resource(), &request.name),
                false => Status::no_such_path(),
            });
        };
        let Some(cache) = route.cache else { return Err(Status::no_such_path()) };
        if !subresource.verbs.contains(&kind_verb(request.verb)) {
            return Err(method_not_allowed());
        }
        match (request.subresource.as_str(), request.verb) {
            ("binding", _) => self.begin_binding(exchange, route, cache, context),
            ("eviction", _) => self.begin_eviction(exchange, route, cache, context),
            ("token", _) => self.create_token(exchange, route, context).map(Step::Answer),
            ("log" | "exec" | "attach" | "portforward" | "proxy", _) => {
                self.ask_kubelet(exchange, route, cache, context)
            }
            ("scale", Verb::Update) => {
                let body = scale::read_body(&request)?;
                let key = below(&route.info, &request.namespace, &request.name);
                self.write(exchange, Cycle::new(Job::Update(body), cache, key), context)
            }
            (_, Verb::Get) => self.begin_get(exchange, route, cache),
            (_, Verb::Update | Verb::Patch(_)) => self.begin_update(exchange, route, cache, context),
            _ => Err(method_not_allowed()),
        }
    }

    /// A get of a subresource, from the object.
    pub(super) fn show_subresource(
        &self,
        exchange: &Exchange,
        route: &Route,
        object: &Value,
        context: &Context,
    ) -> Result<Answer, Status> {
        if exchange.request.subresource == "scale" {
            let scale = scale::shown(&route.info, &exchange.request, object)?;
            let form = Form::of_scale(&exchange.request);
            return Ok(Answer::new(200, form.one(&scale, context.now())));
        }
        let form = Form::new(&route.info, &exchange.request);
        Ok(Answer::new(200, form.one(object, context.now())))
    }

    /// What a write to a subresource is answered with.
    pub(super) fn written_subresource(
        &self,
        exchange: &Exchange,
        route: &Route,
        code: u16,
        object: Value,
        context: &Context,
    ) -> Result<Answer, Status> {
        match exchange.request.subresource.as_str() {
            "scale" => Ok(Answer::new(200, scale::of(&route.info, &exchange.request, &object))),
            "binding" => Ok(Answer::new(201, success())),
            _ => {
                let form = Form::new(&route.info, &exchange.request);
                Ok(Answer::new(code, form.one(&object, context.now())))
            }
        }
    }

    /// The subresources whose update is not simply one of the object.
    pub(super) fn decide_special_update(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        body: &Value,
        current: &Current,
        context: &mut Context,
    ) -> Option<Result<Change, Status>> {
        match exchange.request.subresource.as_str() {
            "binding" => Some(self.decide_binding(exchange, body, current, context)),
            "scale" => Some(self.decide_scale(exchange, route, cycle, body, current, context)),
            _ => None,
        }
    }

    /// Resources that are asked, never stored: reviews, component statuses, the old bindings.
    pub(super) fn answer_virtual(
        &mut self,
        exchange: &mut Exchange,
        route: &Route,
        context: &mut Context,
    ) -> Result<Answer, Status> {
        let request = Arc::clone(&exchange.request);
        match route.info.kind.as_str() {
            "ComponentStatus" => {
                exchange.warnings.push("v1 ComponentStatus is deprecated in v1.19+".into());
                self.component_statuses(&request, route, context)
            }
            "SelfSubjectAccessReview"
            | "SubjectAccessReview"
            | "LocalSubjectAccessReview"
            | "SelfSubjectRulesReview"
            | "SelfSubjectReview"
            | "TokenReview" => self.review(exchange, route, context.now()),
            _ => Err(method_not_allowed()),
        }
    }

    fn component_statuses(
        &self,
        request: &Request,
        route: &Route,
        context: &Context,
    ) -> Result<Answer, Status> {
        let one = |name: &str, message: &str| {
            object! {
                "apiVersion" => "v1",
                "kind" => "ComponentStatus",
                "metadata" => object! { "name" => name },
                "conditions" => crate::array![object! {
                    "type" => "Healthy", "status" => "True", "message" => message,
                }],
            }
        };
        let all = vec![one("scheduler", "ok"), one("controller-manager", "ok"), one("etcd-0", "ok")];
        let form = Form::new(&route.info, request);
        if request.name.is_empty() {
            return Ok(Answer::new(200, form.list(all, object! {}, context.now())));
        }
        all.iter()
            .find(|status| meta::name(status) == request.name)
            .map(|status| Answer::new(200, form.one(status, context.now())))
            .ok_or_else(|| Status::not_found(&route.info.group_resource(), &request.name))
    }
}

/// `{"kind": "Status", "status": "Success"}`.
pub(super) fn success() -> Value {
    object! { "kind" => "Status", "apiVersion" => "v1", "metadata" => object! {}, "status" => "Success" }
}
