//! `scale`: the one number of a workload that autoscalers and `kubectl scale` may turn.
//!
//! Picture to hold in mind: a volume knob on a closed box.
//!
//! Follows `ScaleREST` of `pkg/registry/apps/*/storage/storage.go`.

use crate::api::custom::CustomVersion;
use crate::api::field::{FieldError, FieldPath};
use crate::api::kind::{GroupKind, ResourceInfo};
use crate::api::schema::{Schema, Strictness, decode_object};
use crate::api::status::Status;
use crate::api::{Value, meta, selector};
use crate::language::Context;
use crate::message::rest::{Request, Verb};
use crate::object;

use crate::apiserver::ApiServer;
use crate::apiserver::catalog::Route;
use crate::apiserver::custom;
use crate::apiserver::cycle::{Change, Current, Cycle};
use crate::apiserver::exchange::Exchange;
use crate::apiserver::seam;

/// Where a kind has the numbers: built-in kinds all alike, custom ones as their version says.
struct Paths<'a> {
    spec_replicas: &'a str,
    status_replicas: &'a str,
    /// Of a text; `None` for the selector that built-in kinds have.
    selector: Option<&'a str>,
}

fn paths<'a>(info: &'a ResourceInfo, request: &Request) -> Paths<'a> {
    let kind = info.definition.as_ref();
    let version = kind.and_then(|kind| kind.version(&request.resource.version));
    match version.and_then(|version| version.scale()) {
        Some(scale) => Paths {
            spec_replicas: CustomVersion::plain_path(scale.text("specReplicasPath")),
            status_replicas: CustomVersion::plain_path(scale.text("statusReplicasPath")),
            selector: Some(CustomVersion::plain_path(scale.text("labelSelectorPath"))),
        },
        None => Paths { spec_replicas: "spec.replicas", status_replicas: "status.replicas", selector: None },
    }
}

/// The Scale of an object, for a reader: a custom resource must have the number.
pub(super) fn shown(info: &ResourceInfo, request: &Request, object: &Value) -> Result<Value, Status> {
    let path = paths(info, request).spec_replicas;
    if info.custom && !object.has(path) {
        return Err(Status::internal_error(format!("the spec replicas field \".{path}\" does not exist")));
    }
    Ok(of(info, request, object))
}

/// The Scale of an object.
pub(in crate::apiserver) fn of(info: &ResourceInfo, request: &Request, object: &Value) -> Value {
    let paths = paths(info, request);
    let mut metadata = Value::object();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at("metadata").get(name) {
            metadata.set(name, value);
        }
    }
    let mut status = object! { "replicas" => object.integer(paths.status_replicas).unwrap_or(0) };
    let text = if let Some(path) = paths.selector {
        if path.is_empty() { String::new() } else { object.text(path).to_owned() }
    } else if info.kind == "ReplicationController" {
        let pairs: Vec<String> = object
            .map("spec.selector")
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
            .collect();
        pairs.join(",")
    } else {
        match object.at("spec.selector") {
            Value::Null => String::new(),
            labels => selector::format(labels),
        }
    };
    if !text.is_empty() && text != "<none>" {
        status.set("selector", text);
    }
    let mut spec = Value::object();
    let replicas = object.integer(paths.spec_replicas).unwrap_or(0);
    if replicas != 0 {
        spec.set("replicas", replicas);
    }
    object! {
        "kind" => "Scale",
        "apiVersion" => "autoscaling/v1",
        "metadata" => metadata,
        "spec" => spec,
        "status" => status,
    }
}

/// The Scale in the body of a PUT.
pub(super) fn read_body(request: &Request) -> Result<Value, Status> {
    let mut scale = request.body.clone();
    if scale.as_object().is_none() {
        return Err(Status::bad_request("the body of the request is not a Scale"));
    }
    scale.set_default("apiVersion", "autoscaling/v1");
    scale.set_default("kind", "Scale");
    check(&scale)
}

fn check(scale: &Value) -> Result<Value, Status> {
    match Schema::built_in().kind("autoscaling/v1", "Scale") {
        Some(place) => {
            decode_object(place, "Scale", scale, None, &[], Strictness::Ignore).map(|(scale, _)| scale)
        }
        None => Ok(scale.clone()),
    }
}

impl ApiServer {
    pub(super) fn decide_scale(
        &mut self,
        exchange: &Exchange,
        route: &Route,
        cycle: &mut Cycle,
        body: &Value,
        current: &Current,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let info = &route.info;
        let request = &exchange.request;
        let old = &match &info.definition {
            Some(kind) => custom::shown(kind, &request.resource.version, &current.object),
            None => current.object.clone(),
        };
        let path = paths(info, request).spec_replicas;
        let scale = match request.verb {
            Verb::Patch(kind) => {
                check(&seam::patch(info, request, kind, &of(info, request, old), context.now())?)?
            }
            _ => body.clone(),
        };
        let name = meta::name(&scale);
        if name != request.name.as_str() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                request.name
            )));
        }
        if info.custom && !old.has(path) && !scale.has("spec.replicas") {
            let message = format!("the spec replicas field \".{path}\" cannot be empty");
            return Err(Status::bad_request(message));
        }
        let replicas = scale.integer("spec.replicas").unwrap_or(0);
        if replicas < 0 {
            let error = FieldError::invalid(
                &FieldPath::new("spec.replicas"),
                replicas,
                "must be greater than or equal to 0",
            );
            return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &[error]));
        }
        let revision = scale.text("metadata.resourceVersion");
        if !revision.is_empty() && revision != current.revision.to_string() {
            return Err(Status::modified_conflict(&info.group_resource(), &request.name));
        }
        let uid = meta::uid(&scale);
        if !uid.is_empty() && uid != meta::uid(old) {
            let message = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta::uid(old)
            );
            return Err(Status::conflict(&info.group_resource(), &request.name, message));
        }
        let object = old.clone().with(path, replicas);
        self.settle_update(exchange, route, cycle, object, old, context)
    }
}
