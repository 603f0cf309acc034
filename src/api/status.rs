//! The Kubernetes `Status` object: how the API server says no.
//!
//! Picture to hold in mind: a form letter. A three-digit code in the corner, a reason a program can switch
//! on, a sentence for a person, and below it the particulars: which kind, which name, which fields.
//!
//! Follows `k8s.io/apimachinery/pkg/api/errors` and `meta/v1.Status`.

use std::fmt;

use super::field::{FieldError, aggregate};
use super::kind::{GroupKind, GroupResource};
use super::value::{Text, Value, literal};
use crate::object;

/// Upstream's `StatusReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

impl Reason {
    const ALL: [Reason; 20] = [
        Reason::Unknown,
        Reason::Unauthorized,
        Reason::Forbidden,
        Reason::NotFound,
        Reason::AlreadyExists,
        Reason::Conflict,
        Reason::Gone,
        Reason::Invalid,
        Reason::ServerTimeout,
        Reason::StoreReadError,
        Reason::Timeout,
        Reason::TooManyRequests,
        Reason::BadRequest,
        Reason::MethodNotAllowed,
        Reason::NotAcceptable,
        Reason::RequestEntityTooLarge,
        Reason::UnsupportedMediaType,
        Reason::InternalError,
        Reason::Expired,
        Reason::ServiceUnavailable,
    ];
    /// The word on the wire; empty for `Unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::StoreReadError => "StorageReadError",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::Expired => "Expired",
            Reason::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

/// A refusal. Cheap to clone; becomes a `v1.Status` object with [`Status::to_value`].
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    pub reason: Reason,
    pub message: Text,
    /// `StatusDetails` (`group`, `kind`, `name`, `uid`, `causes`, `retryAfterSeconds`), `Null` for none.
    pub details: Value,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = Value::object();
    for (field, text) in [("group", group), ("kind", kind), ("name", name)] {
        if !text.is_empty() {
            details.set(field, text);
        }
    }
    details
}

fn resource_details(resource: &GroupResource, name: &str) -> Value {
    details(&resource.group, &resource.resource, name)
}

/// One constructor for each of upstream's `errors.New...`.
impl Status {
    pub fn new(code: u16, reason: Reason, message: impl Into<Text>) -> Status {
        Status { code, reason, message: message.into(), details: Value::Null }
    }
    #[must_use]
    fn with_details(mut self, details: Value) -> Status {
        self.details = details;
        self
    }

    /// As upstream's generic errors have it: details that say nothing.
    #[must_use]
    pub fn with_no_details(self) -> Status {
        self.with_details(Value::object())
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Status {
        Status::new(404, Reason::NotFound, format!("{resource} \"{name}\" not found"))
            .with_details(resource_details(resource, name))
    }
    pub fn already_exists(resource: &GroupResource, name: &str) -> Status {
        Status::new(409, Reason::AlreadyExists, format!("{resource} \"{name}\" already exists"))
            .with_details(resource_details(resource, name))
    }
    /// A generated name was taken, and so were its successors.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str, retry_after_seconds: u32) -> Status {
        let message = format!(
            "{resource} \"{name}\" already exists, the server was not able to generate a unique name for the object"
        );
        Status::new(409, Reason::AlreadyExists, message)
            .with_details(resource_details(resource, name))
            .retry_after(retry_after_seconds)
    }
    pub fn unauthorized(message: &str) -> Status {
        Status::new(401, Reason::Unauthorized, if message.is_empty() { "not authorized" } else { message })
    }
    pub fn forbidden(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Status {
        let message = if resource.is_empty() {
            format!("forbidden: {error}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {error}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {error}")
        };
        Status::new(403, Reason::Forbidden, message).with_details(resource_details(resource, name))
    }
    pub fn conflict(resource: &GroupResource, name: &str, error: impl fmt::Display) -> Status {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {error}");
        Status::new(409, Reason::Conflict, message).with_details(resource_details(resource, name))
    }
    /// The conflict of optimistic concurrency: somebody else wrote first.
    pub fn modified_conflict(resource: &GroupResource, name: &str) -> Status {
        Status::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }
    /// Server-side apply met fields that others own; `causes` as [`Status::cause`] makes them.
    pub fn apply_conflict(causes: Vec<Value>, message: impl Into<Text>) -> Status {
        Status::new(409, Reason::Conflict, message).with_details(object! { "causes" => causes })
    }
    pub fn gone(message: impl Into<Text>) -> Status {
        Status::new(410, Reason::Gone, message)
    }
    /// The revision asked for has been compacted away.
    pub fn expired(message: impl Into<Text>) -> Status {
        Status::new(410, Reason::Expired, message)
    }
    /// An object that does not hold up; its causes are in the order in which they were found.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Status {
        let message = match aggregate(errors) {
            None => format!("{kind} \"{name}\" is invalid"),
            Some(text) => format!("{kind} \"{name}\" is invalid: {text}"),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| Status::cause(error.kind.cause(), &error.body(), &error.field))
            .collect();
        let mut details = details(&kind.group, &kind.kind, name);
        if !causes.is_empty() {
            details.set("causes", causes);
        }
        Status::new(422, Reason::Invalid, message).with_details(details)
    }
    pub fn bad_request(message: impl Into<Text>) -> Status {
        Status::new(400, Reason::BadRequest, message)
    }
    /// A patch that could not be carried out: upstream's generic answer for 422.
    pub fn unprocessable() -> Status {
        let message = "the server rejected our request due to an error in our request";
        Status::new(422, Reason::Invalid, message).with_details(Value::object())
    }
    pub fn too_many_requests(message: impl Into<Text>, retry_after_seconds: u32) -> Status {
        Status::new(429, Reason::TooManyRequests, message)
            .with_details(Value::object())
            .retry_after(retry_after_seconds)
    }
    pub fn service_unavailable(message: impl Into<Text>) -> Status {
        Status::new(503, Reason::ServiceUnavailable, message)
    }
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Status {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Status::new(405, Reason::MethodNotAllowed, message).with_details(resource_details(resource, ""))
    }
    pub fn server_timeout(resource: &GroupResource, operation: &str, retry_after_seconds: u32) -> Status {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        Status::new(500, Reason::ServerTimeout, message)
            .with_details(resource_details(resource, operation))
            .retry_after(retry_after_seconds)
    }
    pub fn internal_error(error: impl fmt::Display) -> Status {
        let error = error.to_string();
        Status::new(500, Reason::InternalError, format!("Internal error occurred: {error}"))
            .with_details(object! { "causes" => vec![object! { "message" => error }] })
    }
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Status {
        Status::new(504, Reason::Timeout, format!("Timeout: {message}"))
            .with_details(Value::object())
            .retry_after(retry_after_seconds)
    }
    pub fn request_entity_too_large(message: &str) -> Status {
        let message = format!("Request entity too large: {message}");
        Status::new(413, Reason::RequestEntityTooLarge, message)
    }
    pub fn unsupported_media_type(supported: &[&str]) -> Status {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        );
        Status::new(415, Reason::UnsupportedMediaType, message)
    }
    pub fn not_acceptable(supported: &[&str]) -> Status {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        Status::new(406, Reason::NotAcceptable, message)
    }
    /// The path leads nowhere.
    pub fn no_such_path() -> Status {
        Status::new(404, Reason::NotFound, "the server could not find the requested resource")
            .with_details(Value::object())
    }

    /// One entry of `details.causes`.
    pub fn cause(reason: &str, message: &str, field: &str) -> Value {
        let mut cause = Value::object();
        for (name, text) in [("reason", reason), ("message", message), ("field", field)] {
            if !text.is_empty() {
                cause.set(name, text);
            }
        }
        cause
    }
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Status {
        if seconds > 0 {
            self.details.set("retryAfterSeconds", seconds);
        }
        self
    }
    /// Adds a cause such as `{DisruptionBudget, "The disruption budget web needs 2 healthy pods ..."}`.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Status {
        self.details.at_mut("causes").make_array().push(Status::cause(reason, message, field));
        self
    }

    /// The object that goes over the wire.
    pub fn to_value(&self) -> Value {
        let mut status = object! {
            "apiVersion" => literal!("v1"),
            "kind" => literal!("Status"),
            "metadata" => Value::object(),
            "status" => literal!("Failure"),
            "code" => u32::from(self.code),
        };
        if !self.message.is_empty() {
            status.set("message", &self.message);
        }
        if self.reason != Reason::Unknown {
            status.set("reason", self.reason.as_str());
        }
        if !self.details.is_null() {
            status.set("details", &self.details);
        }
        status
    }
    /// Reads a `v1.Status` of a failure; `None` for any other object.
    pub fn from_value(value: &Value) -> Option<Status> {
        if value.text("kind") != "Status" || value.text("status") != "Failure" {
            return None;
        }
        let reason = value.text("reason");
        Some(Status {
            code: u16::try_from(value.integer("code").unwrap_or(0)).unwrap_or(500),
            reason: Reason::ALL.into_iter().find(|known| known.as_str() == reason).unwrap_or(Reason::Unknown),
            message: value.shared_text("message"),
            details: value.at("details").clone(),
        })
    }
    /// The answer to a delete that left nothing behind: `Success` with what was deleted.
    pub fn deleted(resource: &GroupResource, name: &str, uid: &str) -> Value {
        let mut details = resource_details(resource, name);
        details.set("uid", uid);
        object! {
            "apiVersion" => literal!("v1"),
            "kind" => literal!("Status"),
            "metadata" => Value::object(),
            "status" => literal!("Success"),
            "details" => details,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }
    pub fn is_already_exists(&self) -> bool {
        self.reason == Reason::AlreadyExists
    }
    pub fn is_conflict(&self) -> bool {
        self.reason == Reason::Conflict
    }
    /// 410 in either spelling: list again.
    pub fn is_expired(&self) -> bool {
        matches!(self.reason, Reason::Expired | Reason::Gone)
    }
    /// The namespace is going away, so that creating in it cannot succeed.
    pub fn has_cause(&self, reason: &str) -> bool {
        self.details.items("causes").iter().any(|cause| cause.text("reason") == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::field::FieldPath;

    #[test]
    fn statuses_say_what_upstream_says() {
        let deployments = GroupResource::new("apps", "deployments");
        let pods = GroupResource::new("", "pods");
        let spec = FieldPath::new("spec");
        let cases = vec![
            (
                Status::not_found(&deployments, "web"),
                r#"{"apiVersion":"v1","code":404,"details":{"group":"apps","kind":"deployments","name":"web"},"kind":"Status","message":"deployments.apps \"web\" not found","metadata":{},"reason":"NotFound","status":"Failure"}"#,
            ),
            (
                Status::modified_conflict(&pods, "a"),
                r#"{"apiVersion":"v1","code":409,"details":{"kind":"pods","name":"a"},"kind":"Status","message":"Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the latest version and try again","metadata":{},"reason":"Conflict","status":"Failure"}"#,
            ),
            (
                Status::invalid(
                    &GroupKind::new("apps", "Deployment"),
                    "web",
                    &[FieldError::required(&spec.child("selector"), "")],
                ),
                r#"{"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.selector","message":"Required value","reason":"FieldValueRequired"}],"group":"apps","kind":"Deployment","name":"web"},"kind":"Status","message":"Deployment.apps \"web\" is invalid: spec.selector: Required value","metadata":{},"reason":"Invalid","status":"Failure"}"#,
            ),
            (
                Status::too_many_requests("slow down", 10),
                r#"{"apiVersion":"v1","code":429,"details":{"retryAfterSeconds":10},"kind":"Status","message":"slow down","metadata":{},"reason":"TooManyRequests","status":"Failure"}"#,
            ),
        ];
        for (status, expected) in cases {
            let value = status.to_value();
            assert_eq!(value.to_string(), expected);
            assert_eq!(Status::from_value(&value), Some(status));
        }
    }
}
