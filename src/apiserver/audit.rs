//! The record of who asked for what: audit.k8s.io/v1 events at the level Metadata.
//!
//! Picture to hold in mind: the visitors' book at the door. One line a visit, written when the visitor leaves.
//!
//! Follows `k8s.io/apiserver/pkg/audit` and `pkg/apis/audit/v1`.

use crate::api::{Text, Value, time};
use crate::object;
use crate::sim::Time;

use super::exchange::{Answer, Exchange};

/// The event at `ResponseComplete`.
pub(super) fn event(exchange: &Exchange, answer: &Answer, now: Time) -> Value {
    let request = &exchange.request;
    let (client, id) = exchange.id;
    let mut event = object! {
        "kind" => "Event",
        "apiVersion" => "audit.k8s.io/v1",
        "level" => "Metadata",
        // Unique in the run, and the same in each of its replays.
        "auditID" => format!("{:08x}-0000-4000-8000-{:012x}", client.0, id & 0xffff_ffff_ffff),
        "stage" => "ResponseComplete",
        "requestURI" => uri(exchange),
        "verb" => request.verb.name(),
        "user" => exchange.asker.info(),
        "sourceIPs" => crate::array!["127.0.0.1"],
        "userAgent" => &request.user_agent,
        "responseStatus" => object! { "metadata" => object! {}, "code" => u32::from(answer.code) },
        "requestReceivedTimestamp" => time::micro_time(exchange.received),
        "stageTimestamp" => time::micro_time(now),
    };
    if let Some(verb) = &exchange.spoken_by {
        event.set("impersonatedUser", exchange.user.info());
        if verb != "impersonate" {
            event.set("authenticationMetadata", object! { "impersonationConstraint" => verb });
        }
    }
    if request.path.is_empty() {
        let mut name = request.name.clone();
        if name.is_empty() && answer.code == 201 {
            name = answer.body.shared_text("metadata.name");
        }
        let mut reference = object! { "resource" => &request.resource.plural };
        for (field, text) in [
            ("namespace", &request.namespace),
            ("name", &name),
            ("apiGroup", &request.resource.group),
            ("apiVersion", &request.resource.version),
            ("subresource", &request.subresource),
        ] {
            if !text.is_empty() {
                reference.set(field, text);
            }
        }
        event.set("objectRef", reference);
    }
    let (decision, reason) = judged(exchange, answer);
    let decided = [("authorization.k8s.io/decision", decision), ("authorization.k8s.io/reason", reason)];
    let noted = exchange.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in decided.into_iter().filter(|_| !decision.is_empty()).chain(noted) {
        event.at_mut("annotations").make_object().put(key, value);
    }
    if answer.code >= 400 {
        for field in ["status", "message", "reason"] {
            if let Some(text) = answer.body.get(field) {
                event.at_mut("responseStatus").set(field, text);
            }
        }
    }
    event
}

/// What the authorizers have decided, and why; nothing if they were not asked.
fn judged<'a>(exchange: &'a Exchange, answer: &'a Answer) -> (&'static str, &'a str) {
    let told = exchange.allowed_by.as_str();
    if !told.is_empty() {
        // Only roles give a reason; the rule is told on cards.
        let reason = told.split_once(" ({").map_or("", |(reason, _)| reason);
        return ("allow", reason);
    }
    let message = answer.body.text("message");
    match message.split_once(" cannot ") {
        Some((_, refusal)) if answer.code == 403 => {
            let after = |scope: &str| refusal.split_once(scope).map(|(_, rest)| rest);
            let rest = after(" at the cluster scope").or_else(|| {
                let (_, rest) = refusal.split_once(" in the namespace \"")?;
                rest.split_once('"').map(|(_, rest)| rest)
            });
            ("forbid", rest.and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default())
        }
        _ => ("", ""),
    }
}

fn uri(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let options = &request.options;
    let mut query: Vec<String> = Vec::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            query.push(format!("{name}={}", escape(value)));
        }
    };
    add("allowWatchBookmarks", if options.allow_watch_bookmarks { "true" } else { "" });
    add("continue", &options.continue_token);
    add("dryRun", if options.dry_run { "All" } else { "" });
    add("fieldManager", &options.field_manager);
    add("fieldSelector", &options.field_selector);
    add("fieldValidation", &options.field_validation);
    add("force", if options.force { "true" } else { "" });
    add("labelSelector", &options.label_selector);
    add("limit", &if options.limit > 0 { Text::from(options.limit.to_string()) } else { Text::new() });
    add("resourceVersion", &options.resource_version);
    add("resourceVersionMatch", &options.resource_version_match);
    let timeout = options.timeout_seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
    add("timeoutSeconds", &timeout);
    add("watch", if request.verb == crate::message::rest::Verb::Watch { "true" } else { "" });
    let path = request.url_path();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// As Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
