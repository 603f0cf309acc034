//! `kubectl auth`: who am I, and what may I do?
//!
//! Picture to hold in mind: asking the doorkeeper before one tries the door.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/auth`.

use crate::api::Value;
use crate::arrange::Gather;
use crate::client::request;
use crate::message::rest::Resource;
use crate::object;

use super::describe::rule_rows;
use super::failure::{Failure, Outcome, fail};
use super::print::Format;
use super::session::Session;
use super::tab_writer::{TABLE, align};

pub const CAN_I_FLAGS: &[&str] = &["all-namespaces", "list", "no-headers", "quiet", "subresource"];
pub const WHO_AM_I_FLAGS: &[&str] =
    &["allow-missing-template-keys", "output", "show-managed-fields", "template"];
const RESOURCE_VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "impersonate",
    "*",
    "approve",
    "sign",
    "escalate",
    "attest",
];
const URL_VERBS: &[&str] = &["get", "put", "post", "head", "options", "delete", "patch", "*"];

/// Asks a review of `kind`, which is filled in and comes back with the answer.
fn review(session: &mut Session, group: &str, kind: &str, spec: Value) -> Outcome<Value> {
    let resource = Resource::new(group, "v1", format!("{}s", kind.to_ascii_lowercase()));
    let mut body = object! { "apiVersion" => format!("{group}/v1"), "kind" => kind };
    if !spec.is_null() {
        body.set("spec", spec);
    }
    session.send(request::create(&resource, "", body))
}

pub fn can_i(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    let all = flags.switch("all-namespaces");
    let namespace = if all { String::new() } else { session.namespace() };
    let subresource = flags.text("subresource").to_string();
    if flags.switch("list") {
        if !operands.is_empty() {
            return fail("list option must be specified with no arguments");
        }
        if flags.switch("quiet") || all || !subresource.is_empty() {
            return fail(
                "list option can't be specified with neither quiet, all-namespaces nor subresource options",
            );
        }
        return list(session, &namespace);
    }
    let [verb, what] = operands.as_slice() else {
        return fail(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.",
        );
    };
    // Upstream's warnings end with a line's end of their own.
    let unknown_verb = format!("verb '{verb}' is not a known verb\n");
    let spec = if what.starts_with('/') {
        if !subresource.is_empty() {
            return fail("--subresource can not be used with NonResourceURL");
        }
        if !URL_VERBS.contains(&verb.as_str()) {
            session.warn(&unknown_verb);
        }
        let attributes = object! { "path" => what.as_str(), "verb" => verb.as_str() };
        object! { "nonResourceAttributes" => attributes }
    } else {
        let (kind, name) = what.split_once('/').unwrap_or((what, ""));
        let mut attributes = object! { "resource" => kind, "verb" => verb.as_str() };
        if kind != "*" {
            match session.resource(&kind.to_ascii_lowercase()) {
                Ok(mapping) => {
                    attributes.set("resource", mapping.info.plural.clone());
                    attributes.set("group", mapping.info.group.clone());
                    if !all && !mapping.namespaced() {
                        let place = match mapping.info.group.as_str() {
                            "" => String::new(),
                            group => format!(" in group '{group}'"),
                        };
                        let plural = mapping.info.plural.clone();
                        session.warn(&format!("resource '{plural}' is not namespace scoped{place}\n"));
                    }
                }
                Err(super::failure::Stop::Failure(_)) => {
                    if !matches!(kind, "users" | "groups") {
                        let text = match kind.split_once('.') {
                            Some((kind, group)) => {
                                format!(
                                    "the server doesn't have a resource type '{kind}' in group '{group}'\n"
                                )
                            }
                            None => format!("the server doesn't have a resource type '{kind}'\n"),
                        };
                        session.warn(&text);
                    }
                }
                Err(halt) => return Err(halt),
            }
        }
        if !all && !RESOURCE_VERBS.contains(&verb.as_str()) {
            session.warn(&unknown_verb);
        }
        for (field, text) in
            [("namespace", namespace.as_str()), ("subresource", subresource.as_str()), ("name", name)]
        {
            if !text.is_empty() {
                attributes.set(field, text);
            }
        }
        object! { "resourceAttributes" => attributes }
    };
    if flags.switch("no-headers") {
        return fail("--no-headers cannot be set without --list specified");
    }
    let answer = review(session, "authorization.k8s.io", "SelfSubjectAccessReview", spec)?;
    let allowed = answer.is_true("status.allowed");
    if !flags.switch("quiet") {
        let mut text = if allowed { "yes" } else { "no" }.to_string();
        if !allowed {
            for field in ["status.reason", "status.evaluationError"] {
                if !answer.text(field).is_empty() {
                    text += &format!(" - {}", answer.text(field));
                }
            }
        }
        session.println(text);
    }
    if allowed { Ok(()) } else { Err(Failure::Silent(1).into()) }
}

fn list(session: &mut Session, namespace: &str) -> Outcome {
    let spec = object! { "namespace" => namespace };
    let answer = review(session, "authorization.k8s.io", "SelfSubjectRulesReview", spec)?;
    let status = answer.at("status");
    if status.is_true("incomplete") {
        let why = status.text("evaluationError").to_string();
        session.warn(&format!("the list may be incomplete: {why}"));
    }
    let rules: Vec<Value> =
        status.items("resourceRules").iter().chain(status.items("nonResourceRules")).cloned().collect();
    let mut text = String::new();
    if !session.flags.switch("no-headers") {
        text += "Resources\tNon-Resource URLs\tResource Names\tVerbs\n";
    }
    for row in rule_rows(&rules) {
        text += &row;
        text.push('\n');
    }
    session.print(align(&text, TABLE));
    Ok(())
}

pub fn who_am_i(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let answer = review(session, "authentication.k8s.io", "SelfSubjectReview", Value::Null)?;
    if !matches!(format, Format::Human { .. }) {
        return session.print_object(&format, &answer);
    }
    let info = answer.at("status.userInfo");
    let list = |value: &Value| {
        let texts: Vec<&str> = value.as_array().unwrap_or(&[]).iter().filter_map(Value::as_str).gather();
        format!("[{}]", texts.join(" "))
    };
    let mut text = "ATTRIBUTE\tVALUE\n".to_string();
    for (title, field) in [("Username", "username"), ("UID", "uid")] {
        if !info.text(field).is_empty() {
            text += &format!("{title}\t{}\n", info.text(field));
        }
    }
    if !info.items("groups").is_empty() {
        text += &format!("Groups\t{}\n", list(info.at("groups")));
    }
    for (key, values) in info.map("extra").iter() {
        text += &format!("Extra: {key}\t{}\n", list(values));
    }
    session.print(align(&text, TABLE));
    Ok(())
}
