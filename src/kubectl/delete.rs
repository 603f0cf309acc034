//! `kubectl delete`: asks for the end of objects, and waits until they are gone.
//!
//! Picture to hold in mind: giving notice. The letter is sent at once; who gave it then stands at the door until
//! the tenant has moved out.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/delete/delete.go` and `pkg/cmd/wait/delete.go`.

use crate::api::{Text, Value};
use crate::client::{Answer, request};
use crate::message::rest::WatchType;
use crate::sim::{Duration, Time};

use super::apply::delete_options;
use super::builder::{Info, Rules, Selection};
use super::failure::{Failure, Outcome, Stop, fail};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "all",
    "all-namespaces",
    "cascade",
    "dry-run",
    "field-selector",
    "filename",
    "force",
    "grace-period",
    "ignore-not-found",
    "interactive",
    "kustomize",
    "now",
    "output",
    "raw",
    "recursive",
    "selector",
    "timeout",
    "wait",
];

/// How to delete.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub grace_period: Option<i64>,
    pub propagation: &'static str,
}

pub fn propagation(session: &Session) -> Outcome<&'static str> {
    Ok(match session.flags.text("cascade") {
        "background" | "true" => "Background",
        "foreground" => "Foreground",
        "orphan" | "false" => "Orphan",
        other => {
            return fail(format!(
                "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
            ));
        }
    })
}

pub fn run(session: &mut Session) -> Outcome {
    session.refuse_raw()?;
    let output = session.flags.text("output").to_string();
    let (labels, fields) =
        (!session.flags.text("selector").is_empty(), !session.flags.text("field-selector").is_empty());
    let all = session.flags.switch("all");
    let mut grace = session.flags.number("grace-period").unwrap_or(-1);
    let force = session.flags.switch("force");
    if session.flags.switch("now") {
        if grace != -1 {
            return fail("--now and --grace-period cannot be specified together");
        }
        grace = 1;
    }
    if grace == 0 && !force {
        grace = 1;
    }
    if force && grace < 0 {
        grace = 0;
    }
    let operands = session.operands().to_vec();
    let rules = Rules { all_namespaces: session.flags.switch("all-namespaces"), ..Rules::default() };
    if all && labels {
        return fail("setting 'all' parameter but found a non empty selector. ");
    }
    let chosen = session.settle(|session| {
        let selection = session.select(&operands, rules)?;
        if !output.is_empty() && output != "name" {
            return fail(format!("unexpected -o output mode: {output}. We only support '-o name'"));
        }
        if all && fields {
            return fail("cannot set --all and --field-selector at the same time");
        }
        propagation(session)?;
        match (grace == 0, force) {
            (true, true) => session.warn("Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."),
            (false, true) => return fail("--force and --grace-period greater than 0 cannot be specified together"),
            _ => {}
        }
        match selection {
            Selection::Named { infos, .. } => Ok((infos, Vec::new())),
            other => session.fetch(other),
        }
    })?;
    let (infos, bad) = &*chosen;
    let manner = Manner { grace_period: (grace >= 0).then_some(grace), propagation: propagation(session)? };
    let ignores = match session.flags.is_set("ignore-not-found") {
        true => session.flags.switch("ignore-not-found"),
        false => all || labels || fields,
    };
    if session.has_explicit_namespace()
        && !rules.all_namespaces
        && infos.iter().any(|info| !info.mapping.namespaced())
    {
        session.warn("deleting cluster-scoped resources, not scoped to the provided namespace");
    }
    let dry_run = session.dry_run()?;
    let done = session.each_alone(infos, bad, |session, info| {
        let mut uid = Value::Null;
        if dry_run != DryRun::Client {
            let answer = match info.name.is_empty() {
                true => Err(Failure::Message("resource name may not be empty".into())),
                false => session.attempt(delete_request(info, manner, dry_run))?,
            };
            match answer {
                Ok(answer) => {
                    let own = answer.shared_text("metadata.uid");
                    uid = if own.is_empty() { answer.shared_text("details.uid") } else { own }.into();
                }
                Err(failure) if ignores && failure.is_not_found() => return Ok(Value::Null),
                Err(failure) if info.source.is_empty() => return Err(failure.into()),
                Err(failure) => return Err(failure.with_source("deleting", &info.source).into()),
            }
        }
        print_deleted(session, info, grace, dry_run);
        Ok(uid)
    })?;
    if !done.0.is_empty() {
        return Ok(Failure::many(done.0.clone())?);
    }
    if infos.is_empty() {
        session.println("No resources found");
        return Ok(());
    }
    if !session.flags.switch("wait") || dry_run != DryRun::No {
        return Ok(());
    }
    let timeout_us = match session.flags.duration_us("timeout").unwrap_or(0) {
        0 => 168 * 3_600_000_000,
        timeout => timeout.max(0) as u64,
    };
    let deadline = session.now() + Duration(timeout_us);
    // Without failures there is one for each.
    let deleted: Vec<(&Info, &Value)> = infos.iter().zip(&done.1).filter(|(_, uid)| !uid.is_null()).collect();
    let waited = session.each(&deleted, (), |session, (info, uid), ()| {
        wait_until_deleted(session, info, uid.as_str().unwrap_or(""), deadline)
    });
    match waited {
        Err(Stop::Failure(failure)) if matches!(failure.reason(), "Forbidden" | "MethodNotAllowed") => Ok(()),
        other => other,
    }
}

pub fn delete_request(info: &Info, manner: Manner, dry_run: DryRun) -> crate::message::rest::Request {
    let mut request =
        request::delete(&info.mapping.resource(), &info.namespace, &info.name).options(|options| {
            options.propagation_policy = manner.propagation.into();
            options.grace_period_seconds = manner.grace_period;
            options.dry_run = dry_run == DryRun::Server;
        });
    request.body = delete_options(manner.grace_period, manner.propagation);
    request
}

fn print_deleted(session: &mut Session, info: &Info, grace: i64, dry_run: DryRun) {
    let kind = info.mapping.short_kind();
    if session.flags.text("output") == "name" {
        session.println(format!("{kind}/{}", info.name));
        return;
    }
    let mut operation = if grace == 0 { "force deleted" } else { "deleted" }.to_string();
    if info.mapping.namespaced() {
        operation += &format!(" from {} namespace", info.namespace);
    }
    session.println(format!("{kind} \"{}\" {operation}{}", info.name, dry_run.suffix()));
}

/// Waits for the object to be gone, or to be another one of the same name.
pub fn wait_until_deleted(session: &mut Session, info: &Info, uid: &str, deadline: Time) -> Outcome {
    let current = match session.attempt(info.get_request())? {
        Err(failure) if failure.is_not_found() => return Ok(()),
        Err(failure) => return Err(failure.into()),
        Ok(object) => object,
    };
    if !uid.is_empty() && current.text("metadata.uid") != uid {
        return Ok(());
    }
    let mapping = info.mapping.resource();
    let selector = Text::from(format!("metadata.name={}", info.name));
    loop {
        let list = session.send(
            request::list(&mapping, &info.namespace)
                .options(|options| options.field_selector = selector.clone()),
        )?;
        let is_same = |item: &Value| uid.is_empty() || item.text("metadata.uid") == uid;
        if !list.items("items").iter().any(is_same) {
            return Ok(());
        }
        let watch = request::watch(&mapping, &info.namespace, list.text("metadata.resourceVersion"))
            .options(|options| options.field_selector = selector.clone());
        let ticket = session.open_watch(watch);
        loop {
            match session.cli.next(ticket, Some(deadline))? {
                None => {
                    session.cli.close(ticket);
                    return fail(format!("timed out waiting for the condition on {}", info.object_name()));
                }
                Some(Answer::Watch(event)) if event.kind == WatchType::Deleted => {
                    session.cli.close(ticket);
                    return Ok(());
                }
                Some(Answer::Watch(_)) => {}
                Some(Answer::Response(response)) if response.is_success() => {}
                // The watch broke: look again.
                Some(_) => break,
            }
        }
        session.cli.close(ticket);
    }
}
