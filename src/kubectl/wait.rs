//! `kubectl wait`: stands there until something is so.
//!
//! Picture to hold in mind: somebody at a bus stop with a watch: looks down the road once, then at each bus that
//! comes, and goes home when the time is up.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/wait` (wait.go, condition.go, json.go, delete.go, create.go).

use std::ops::ControlFlow;

use crate::api::jsonpath::{self, JsonPath};
use crate::api::{Value, meta};
use crate::arrange::Gather;
use crate::client::{Answer, request};
use crate::message::rest::WatchType;
use crate::sim::{Duration, Time};

use super::builder::{Info, Rules};
use super::delete::wait_until_deleted;
use super::failure::{Failure, Outcome, Stop, fail};
use super::session::Session;

pub const FLAGS: &[&str] = &[
    "all",
    "all-namespaces",
    "allow-missing-template-keys",
    "field-selector",
    "filename",
    "for",
    "local",
    "output",
    "recursive@true",
    "selector",
    "show-managed-fields",
    "template",
    "timeout@30s",
];
/// Between two looks for what is to be created.
const INTERVAL: Duration = Duration(500_000);
/// What a negative timeout means: a week.
const WEEK: Duration = Duration::from_secs(168 * 3600);

/// What is waited for.
#[derive(Clone)]
enum Condition {
    Created,
    Deleted,
    /// A condition of the status, and the status it must have.
    Status {
        name: String,
        status: String,
    },
    /// A path that leads to this value, or to any.
    Path {
        path: JsonPath,
        value: Option<String>,
    },
}

fn conditions(texts: &[String]) -> Outcome<Vec<Condition>> {
    let mut conditions = Vec::new();
    for text in texts {
        conditions.push(match text.to_ascii_lowercase().as_str() {
            "delete" => Condition::Deleted,
            "create" => Condition::Created,
            _ => {
                if let Some(rest) = text.strip_prefix("condition=") {
                    let (name, status) = rest.split_once('=').unwrap_or((rest, "true"));
                    Condition::Status { name: name.into(), status: status.into() }
                } else if let Some(rest) = text.strip_prefix("jsonpath=") {
                    path_condition(rest)?
                } else {
                    return fail(format!("unrecognized condition: {text:?}"));
                }
            }
        });
    }
    if conditions.is_empty() {
        return fail("unrecognized condition: []");
    }
    Ok(conditions)
}

/// `{.status.phase}=Running`; a double `=` belongs to a filter inside of the path.
fn path_condition(text: &str) -> Outcome<Condition> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let last = parts.len() - 1;
        if rest.starts_with("==") {
            parts[last].push_str("==");
            rest = &rest[2..];
            continue;
        }
        match character {
            '=' => parts.push(String::new()),
            other => parts[last].push(other),
        }
        rest = &rest[character.len_utf8()..];
    }
    let (path, value) = match parts.as_slice() {
        [path] => (path, None),
        [path, value] => (path, Some(value.trim_matches(|c| c == '\'' || c == '"').to_string())),
        _ => {
            return fail(
                "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or --for=jsonpath='{.status.readyReplicas}'",
            );
        }
    };
    let path = jsonpath::relaxed(path).map_err(Failure::Message)?;
    if path.is_empty() {
        return fail("jsonpath expression cannot be empty");
    }
    if value.as_deref() == Some("") {
        return fail(
            "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3",
        );
    }
    let path = JsonPath::parse(&path).map_err(Failure::Message)?.allow_missing_keys(true);
    Ok(Condition::Path { path, value })
}

impl Condition {
    fn is_met(&self, object: &Value) -> Outcome<bool> {
        match self {
            Condition::Created => Ok(true),
            Condition::Deleted => Ok(false),
            Condition::Status { name, status } => {
                let mut found = object.items("status.conditions").iter();
                let Some(own) = found.find(|condition| condition.text("type").eq_ignore_ascii_case(name))
                else {
                    return Ok(false);
                };
                let observed =
                    own.integer("observedGeneration").or(object.integer("status.observedGeneration"));
                if observed.is_some_and(|observed| observed < meta::generation(object)) {
                    return Ok(false);
                }
                Ok(own.text("status").eq_ignore_ascii_case(status))
            }
            Condition::Path { path, value } => {
                let found = path.find(object).map_err(Failure::Message)?;
                let Some(first) = found.first().filter(|values| !values.is_empty()) else { return Ok(false) };
                if found.len() > 1 {
                    return fail("given jsonpath expression matches more than one list");
                }
                if first.len() > 1 {
                    return fail("given jsonpath expression matches more than one value");
                }
                match (value, &first[0]) {
                    (None, _) => Ok(true),
                    (Some(_), Value::Object(_) | Value::Array(_)) => {
                        fail("jsonpath leads to a nested object or list which is not supported")
                    }
                    (Some(value), found) => Ok(crate::api::patch::go_display(found).trim() == value.trim()),
                }
            }
        }
    }
}

pub fn run(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let conditions = conditions(&session.flags.list("for"))?;
    let timeout = match session.flags.duration_us("timeout").unwrap_or(0) {
        ..0 => WEEK,
        timeout_us => Duration(timeout_us as u64),
    };
    let deadline = session.now() + timeout;
    let operands = session.operands().to_vec();
    let rules = Rules { all_namespaces: session.flags.switch("all-namespaces"), ..Rules::default() };
    let is_for_delete = conditions.iter().any(|condition| matches!(condition, Condition::Deleted));
    if conditions.iter().any(|condition| matches!(condition, Condition::Created)) {
        wait_until_found(session, &operands, rules, deadline)?;
    }
    let found = session.find(&operands, rules)?;
    let (infos, failures) = &*found;
    let failures: Vec<Failure> =
        failures.iter().filter(|failure| !(is_for_delete && failure.is_not_found())).cloned().gather();
    if infos.is_empty() {
        Failure::many(failures)?;
        return if is_for_delete { Ok(()) } else { fail("no matching resources found") };
    }
    session.each(infos, (), |session, info, ()| {
        session.each(&conditions, (), |session, condition, ()| {
            let object = wait_for(session, info, condition, deadline, timeout)?;
            session.print_change(&format, &object, "condition met")
        })
    })?;
    Ok(Failure::many(failures)?)
}

fn wait_until_found(session: &mut Session, operands: &[String], rules: Rules, deadline: Time) -> Outcome {
    session.fold((), |session, ()| {
        let found = session.find(operands, rules)?;
        let (infos, failures) = &*found;
        let missing = failures.iter().any(Failure::is_not_found);
        if !missing {
            Failure::many(failures.clone())?;
            if !infos.is_empty() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if session.now() + INTERVAL > deadline {
            return fail("timed out waiting for the condition");
        }
        session.cli.sleep(INTERVAL)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Until `condition` is met: the object as it is then.
fn wait_for(
    session: &mut Session,
    info: &Info,
    condition: &Condition,
    deadline: Time,
    timeout: Duration,
) -> Outcome<Value> {
    let unmet = || fail(format!("condition not met for {}", info.object_name()));
    match condition {
        Condition::Created => return Ok(info.object.clone()),
        Condition::Deleted => {
            if timeout == Duration(0) {
                return match session.attempt(info.get_request())? {
                    Err(failure) if failure.is_not_found() => Ok(info.object.clone()),
                    Err(failure) => Err(failure.into()),
                    Ok(_) => unmet(),
                };
            }
            wait_until_deleted(session, info, "", deadline)?;
            return Ok(info.object.clone());
        }
        _ => {}
    }
    if timeout == Duration(0) {
        let object = session.send(info.get_request())?;
        return if condition.is_met(&object)? { Ok(object) } else { unmet() };
    }
    let (resource, selector) = (info.mapping.resource(), format!("metadata.name={}", info.name));
    let list = session.send(
        request::list(&resource, &info.namespace)
            .options(|options| options.field_selector = selector.as_str().into()),
    )?;
    let Some(object) = list.items("items").first() else {
        return Err(Failure::not_found(&info.mapping.qualified(), &info.name).into());
    };
    let mut object = object.clone();
    object.set_default("apiVersion", info.mapping.api_version());
    object.set_default("kind", info.mapping.info.kind.clone());
    if condition.is_met(&object)? {
        return Ok(object);
    }
    let watch = request::watch(&resource, &info.namespace, list.text("metadata.resourceVersion"))
        .options(|options| options.field_selector = selector.as_str().into());
    let ticket = session.open_watch(watch);
    let result = session.fold(object, |session, object| match session.cli.next(ticket, Some(deadline))? {
        None => fail(format!("timed out waiting for the condition on {}", info.object_name())),
        Some(Answer::Watch(event)) if matches!(event.kind, WatchType::Added | WatchType::Modified) => {
            match condition.is_met(&event.object)? {
                true => Ok(ControlFlow::Break(event.object.clone())),
                false => Ok(ControlFlow::Continue(object)),
            }
        }
        Some(Answer::Closed(why)) => Err(Failure::Connection(why, session.server()).into()),
        Some(_) => Ok(ControlFlow::Continue(object)),
    });
    if !matches!(result, Err(Stop::Halt(_))) {
        session.cli.close(ticket);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    #[test]
    fn conditions_are_read_and_judged_as_upstream_does() {
        let ready = object! { "type" => "Ready", "status" => "True" };
        let pod = object! { "status" => object! { "phase" => "Running", "conditions" => array![ready] } };
        for (text, met) in [
            ("condition=Ready", true),
            ("condition=ready=TRUE", true),
            ("condition=Ready=false", false),
            ("condition=Scheduled", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath=.status.phase='Running'", true),
            ("jsonpath={.status.phase}=Pending", false),
            ("jsonpath={.status.podIP}", false),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", true),
        ] {
            let read = conditions(&[text.to_string()]).expect(text);
            assert_eq!(read[0].is_met(&pod).expect(text), met, "{text}");
        }
        for bad in ["happy", "jsonpath=", "jsonpath={.a}=", "jsonpath={.a}=b=c"] {
            assert!(conditions(&[bad.to_string()]).is_err(), "{bad}");
        }
    }
}
