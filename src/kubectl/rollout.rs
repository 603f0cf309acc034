//! `kubectl rollout`: status, history, undo, pause, resume, restart.
//!
//! Picture to hold in mind: a tape recorder for templates: play, pause, back to an earlier recording.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/rollout` and `pkg/polymorphichelpers`.

use std::ops::ControlFlow;

use crate::api::{Value, meta, patch, selector};
use crate::client::{Answer, request};
use crate::message::rest::{PatchType, WatchType};
use crate::sim::Duration;
use crate::sorted::SortedMap;
use crate::{array, object};

use super::builder::{Info, Rules};
use super::change::{for_each, patch_request};
use super::describe::page::Page;
use super::describe::pod;
use super::failure::{Failure, Outcome, fail};
use super::nodes::timestamp;
use super::session::{DryRun, Session};
use super::tab_writer::{DESCRIBE, align};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

pub const STATUS_FLAGS: &[&str] =
    &["filename", "kustomize", "recursive", "revision", "selector", "timeout", "watch@true"];
pub const HISTORY_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "filename",
    "kustomize",
    "output",
    "recursive",
    "revision",
    "selector",
    "show-managed-fields",
    "template",
];
pub const UNDO_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "dry-run",
    "filename",
    "kustomize",
    "output",
    "recursive",
    "selector",
    "show-managed-fields",
    "template",
    "to-revision",
];
pub const CHANGE_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "field-manager@kubectl-rollout",
    "filename",
    "kustomize",
    "output",
    "recursive",
    "selector",
    "show-managed-fields",
    "template",
];

fn operands(session: &Session) -> Outcome<Vec<String>> {
    if session.operands().is_empty() && !session.has_files() {
        return fail("required resource not specified");
    }
    Ok(session.operands().to_vec())
}

pub fn status(session: &mut Session) -> Outcome {
    let operands = operands(session)?;
    let revision = session.flags.number("revision").unwrap_or(0);
    if revision < 0 {
        return fail(format!("revision must be a positive integer: {revision}"));
    }
    let timeout_us = session.flags.duration_us("timeout").unwrap_or(0).max(0) as u64;
    let follows = session.flags.switch("watch");
    let deadline = (timeout_us > 0).then(|| session.now() + Duration(timeout_us));
    let count = for_each(
        session,
        &operands,
        Rules { all_without_selector: true, ..Rules::default() },
        |session, info| {
            let kind = info.mapping.info.kind.to_string();
            if !matches!(kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet") {
                let kind = info.mapping.info.group_kind();
                return fail(format!("no status viewer has been implemented for {kind}"));
            }
            let resource = info.mapping.resource();
            let fields = format!("metadata.name={}", info.name);
            let list = session.send(
                request::list(&resource, &info.namespace)
                    .options(|options| options.field_selector = fields.as_str().into()),
            )?;
            let Some(first) = list.items("items").first() else { return fail("object has been deleted") };
            let (text, done) = progress(&kind, first, revision)?;
            session.print(text);
            if done || !follows {
                return Ok(());
            }
            let watch = request::watch(&resource, &info.namespace, list.text("metadata.resourceVersion"))
                .options(|options| options.field_selector = fields.as_str().into());
            let ticket = session.open_watch(watch);
            session.fold((), |session, ()| match session.cli.next(ticket, deadline)? {
                None => fail("timed out waiting for the condition"),
                Some(Answer::Watch(event)) if event.kind == WatchType::Deleted => {
                    fail("object has been deleted")
                }
                Some(Answer::Watch(event))
                    if matches!(event.kind, WatchType::Added | WatchType::Modified) =>
                {
                    let (text, done) = progress(&kind, &event.object, revision)?;
                    session.print(text);
                    Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                }
                Some(Answer::Closed(why)) => Err(Failure::Connection(why, session.server()).into()),
                Some(_) => Ok(ControlFlow::Continue(())),
            })?;
            session.cli.close(ticket);
            Ok(())
        },
    )?;
    if count == 0 {
        let namespace = session.namespace();
        session.eprintln(format!("No resources found in {namespace} namespace."));
    }
    Ok(())
}

/// What to tell of a rollout, and whether it is over.
fn progress(kind: &str, object: &Value, revision: i64) -> Outcome<(String, bool)> {
    let name = meta::name(object);
    let number = |path: &str| object.integer(path).unwrap_or(0);
    let is_observed = meta::generation(object) <= meta::observed_generation(object);
    let more = |text: String| Ok((text + "\n", false));
    match kind {
        "Deployment" => {
            if revision > 0 {
                let own = meta::annotation(object, REVISION).and_then(|own| own.parse().ok()).unwrap_or(0);
                if own != revision {
                    return fail(format!(
                        "desired revision ({revision}) is different from the running revision ({own})"
                    ));
                }
            }
            if !is_observed {
                return more("Waiting for deployment spec update to be observed...".into());
            }
            let progressing = meta::condition(object, "Progressing");
            if progressing.is_some_and(|condition| condition.text("reason") == "ProgressDeadlineExceeded") {
                return fail(format!("deployment {name:?} exceeded its progress deadline"));
            }
            let (wanted, all) = (object.integer("spec.replicas").unwrap_or(1), number("status.replicas"));
            let (updated, available) = (number("status.updatedReplicas"), number("status.availableReplicas"));
            let waiting = format!("Waiting for deployment {name:?} rollout to finish: ");
            if updated < wanted {
                return more(format!("{waiting}{updated} out of {wanted} new replicas have been updated..."));
            }
            if all > updated {
                return more(format!("{waiting}{} old replicas are pending termination...", all - updated));
            }
            if available < updated {
                return more(format!("{waiting}{available} of {updated} updated replicas are available..."));
            }
            Ok((format!("deployment {name:?} successfully rolled out\n"), true))
        }
        "DaemonSet" => {
            if object.text("spec.updateStrategy.type") != "RollingUpdate" {
                return fail("rollout status is only available for RollingUpdate strategy type");
            }
            if !is_observed {
                return more("Waiting for daemon set spec update to be observed...".into());
            }
            let wanted = number("status.desiredNumberScheduled");
            let (updated, available) =
                (number("status.updatedNumberScheduled"), number("status.numberAvailable"));
            let waiting = format!("Waiting for daemon set {name:?} rollout to finish: ");
            if updated < wanted {
                return more(format!("{waiting}{updated} out of {wanted} new pods have been updated..."));
            }
            if available < wanted {
                return more(format!("{waiting}{available} of {wanted} updated pods are available..."));
            }
            Ok((format!("daemon set {name:?} successfully rolled out\n"), true))
        }
        _ => {
            if object.text("spec.updateStrategy.type") != "RollingUpdate" {
                return fail("rollout status is only available for RollingUpdate strategy type");
            }
            if meta::observed_generation(object) == 0 || !is_observed {
                return more("Waiting for statefulset spec update to be observed...".into());
            }
            let (wanted, ready) =
                (object.integer("spec.replicas").unwrap_or(1), number("status.readyReplicas"));
            if ready < wanted {
                return more(format!("Waiting for {} pods to be ready...", wanted - ready));
            }
            let updated = number("status.updatedReplicas");
            if object.has("spec.updateStrategy.rollingUpdate") {
                if let Some(partition) = object.integer("spec.updateStrategy.rollingUpdate.partition")
                    && updated < wanted - partition
                {
                    let goal = wanted - partition;
                    return more(format!(
                        "Waiting for partitioned roll out to finish: {updated} out of {goal} new pods have been updated..."
                    ));
                }
                return Ok((
                    format!("partitioned roll out complete: {updated} new pods have been updated...\n"),
                    true,
                ));
            }
            let (new, current) =
                (object.text("status.updateRevision"), object.text("status.currentRevision"));
            if new != current {
                return more(format!(
                    "waiting for statefulset rolling update to complete {updated} pods at revision {new}..."
                ));
            }
            let now = number("status.currentReplicas");
            Ok((format!("statefulset rolling update complete {now} pods at revision {current}...\n"), true))
        }
    }
}

/// The recorded templates of a workload, by revision, with their causes.
fn recordings(session: &mut Session, info: &Info) -> Outcome<SortedMap<i64, (Value, String, Value)>> {
    let object = &info.object;
    let labels = selector::format(object.at("spec.selector"));
    let mut found = SortedMap::new();
    if info.mapping.info.kind == "Deployment" {
        let sets = session.built_in("apps", "replicasets");
        let list = session.list(&sets, &info.namespace, &labels, "", |_| {})??;
        for set in list.items("items").iter().filter(|set| meta::is_controlled_by(set, meta::uid(object))) {
            if let Some(revision) = meta::annotation(set, REVISION).and_then(|revision| revision.parse().ok())
            {
                let cause = meta::annotation(set, CAUSE).unwrap_or("").to_string();
                found.insert(revision, (set.at("spec.template").clone(), cause, set.clone()));
            }
        }
    } else {
        let revisions = session.built_in("apps", "controllerrevisions");
        let list = session.list(&revisions, &info.namespace, &labels, "", |_| {})??;
        for record in
            list.items("items").iter().filter(|record| meta::is_controlled_by(record, meta::uid(object)))
        {
            let cause = meta::annotation(record, CAUSE).unwrap_or("").to_string();
            let mut template = record.at("data.spec.template").clone();
            template.remove("$patch");
            found.insert(record.integer("revision").unwrap_or(0), (template, cause, record.clone()));
        }
    }
    Ok(found)
}

fn check_kind(info: &Info, what: &str) -> Outcome {
    let kind = info.mapping.info.kind.as_str();
    if matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet") {
        return Ok(());
    }
    let group = &info.mapping.info.group;
    let name = if group.is_empty() { kind.to_string() } else { format!("{kind}.{group}") };
    fail(format!("no {what} has been implemented for {name:?}"))
}

pub fn history(session: &mut Session) -> Outcome {
    let operands = operands(session)?;
    let revision = session.flags.number("revision").unwrap_or(0);
    if revision < 0 {
        return fail(format!("revision must be a positive integer: {revision}"));
    }
    let format = session.format(false)?;
    for_each(
        session,
        &operands,
        Rules { all_without_selector: true, ..Rules::default() },
        |session, info| {
            check_kind(info, "history viewer")?;
            let found = recordings(session, info)?;
            if !matches!(format, super::print::Format::Human { .. }) {
                let chosen = match revision {
                    0 => found.values().next_back(),
                    revision => found.get(&revision),
                };
                return match chosen {
                    Some((_, _, object)) => session.print_object(&format, object),
                    None => fail("unable to find the specified revision"),
                };
            }
            let (with, text) = if found.is_empty() {
                (String::new(), "No rollout history found.".to_string())
            } else if revision > 0 {
                let Some((template, cause, _)) = found.get(&revision) else {
                    return fail("unable to find the specified revision");
                };
                let mut template = template.clone();
                if !cause.is_empty() {
                    template.at_mut("metadata.annotations").make_object().insert(CAUSE, cause.as_str());
                }
                let now = session.now();
                let mut page = Page::new(now);
                pod::template(&mut page, &template);
                (format!("with revision #{revision}"), page.source())
            } else {
                let rows: String = found
                    .iter()
                    .map(|(revision, (_, cause, _))| {
                        format!("{revision}\t{}\n", if cause.is_empty() { "<none>" } else { cause })
                    })
                    .collect();
                (String::new(), align(&format!("REVISION\tCHANGE-CAUSE\n{rows}"), DESCRIBE))
            };
            session.println(format!("{} {with}\n{text}", info.typed_name()));
            Ok(())
        },
    )?;
    Ok(())
}

pub fn undo(session: &mut Session) -> Outcome {
    let operands = operands(session)?;
    let wanted = session.flags.number("to-revision").unwrap_or(0);
    let dry_run = session.dry_run()?;
    let format = session.format(false)?;
    for_each(
        session,
        &operands,
        Rules { all_without_selector: true, ..Rules::default() },
        |session, info| {
            check_kind(info, "rollbacker")?;
            let word = match roll_back(session, info, wanted, dry_run)? {
                Some(word) => word,
                None => "rolled back".into(),
            };
            let object = info.object.clone();
            session.print_change(&format, &object, &word)
        },
    )?;
    Ok(())
}

/// `Some`: nothing was done, and why.
fn roll_back(session: &mut Session, info: &Info, wanted: i64, dry_run: DryRun) -> Outcome<Option<String>> {
    let object = &info.object;
    let found = recordings(session, info)?;
    let is_deployment = info.mapping.info.kind == "Deployment";
    if !is_deployment && found.len() <= 1 {
        return fail("no last revision to roll back to");
    }
    let chosen = match wanted {
        0 => found.iter().rev().nth(1),
        wanted => found.get_key_value(&wanted),
    };
    let Some((_, (template, _, record))) = chosen else {
        return match (wanted, is_deployment) {
            (0, true) => fail(format!("no rollout history found for deployment {:?}", info.name)),
            _ => fail(format!("unable to find specified revision {wanted} in history")),
        };
    };
    if dry_run == DryRun::Client {
        let mut page = Page::new(session.now());
        pod::template(&mut page, template);
        let will = if is_deployment { "" } else { "will roll back to " };
        return Ok(Some([will, &page.source()].concat()));
    }
    if is_deployment && object.is_true("spec.paused") {
        return fail(
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again",
        );
    }
    let mut template = template.clone();
    if let Some(labels) = template.get_mut("metadata.labels") {
        labels.make_object().remove("pod-template-hash");
    }
    if template == *object.at("spec.template") {
        return Ok(Some(format!("skipped rollback (current template already matches revision {wanted})")));
    }
    let (kind, body) = if is_deployment {
        // The old ReplicaSet's annotations come back, but for those that the controller keeps itself.
        const OWN: [&str; 6] = [
            super::apply::LAST_APPLIED,
            REVISION,
            "deployment.kubernetes.io/revision-history",
            "deployment.kubernetes.io/desired-replicas",
            "deployment.kubernetes.io/max-replicas",
            "deprecated.deployment.rollback.to",
        ];
        let mut annotations = Value::object();
        for (key, value) in meta::annotations(object).iter().filter(|(key, _)| OWN.contains(&key.as_str())) {
            annotations.make_object().insert(key.clone(), value.clone());
        }
        for (key, value) in meta::annotations(record).iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
            annotations.make_object().insert(key.clone(), value.clone());
        }
        let body = array![
            object! { "op" => "replace", "path" => "/spec/template", "value" => template },
            object! { "op" => "replace", "path" => "/metadata/annotations", "value" => annotations },
        ];
        (PatchType::Json, body)
    } else {
        (PatchType::StrategicMerge, record.at("data").clone())
    };
    let request = patch_request(session, info, kind, body, "kubectl-rollout")?;
    match session.attempt(request)? {
        Ok(_) => Ok(None),
        Err(failure) => fail(format!("failed restoring revision {wanted}: {}", failure.text())),
    }
}

/// What pause, resume and restart change.
#[derive(Clone, Copy, PartialEq)]
pub enum Change {
    Pause,
    Resume,
    Restart,
}

pub fn change(session: &mut Session, change: Change) -> Outcome {
    let operands = operands(session)?;
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    let count = for_each(
        session,
        &operands,
        Rules { all_without_selector: true, ..Rules::default() },
        |session, info| {
            let kind = info.mapping.info.kind.as_str();
            let paused = info.object.is_true("spec.paused");
            let refuse =
                |why: &str| fail(format!("error: {} {:?} {why}", info.mapping.qualified(), info.name));
            let mut object = info.object.clone();
            let word = match change {
                Change::Pause if kind != "Deployment" => return refuse("pausing is not supported"),
                Change::Resume if kind != "Deployment" => return refuse("resuming is not supported"),
                Change::Pause if paused => return refuse("is already paused"),
                Change::Resume if !paused => return refuse("is not paused"),
                Change::Pause => {
                    object.set("spec.paused", true);
                    "paused"
                }
                Change::Resume => {
                    object.remove("spec.paused");
                    "resumed"
                }
                Change::Restart if !matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet") => {
                    return refuse("restarting is not supported");
                }
                Change::Restart if paused => {
                    return refuse("can't restart paused deployment (run rollout resume first)");
                }
                Change::Restart => {
                    let now = timestamp(session);
                    object.at_mut("spec.template.metadata.annotations").make_object().insert(RESTARTED, now);
                    "restarted"
                }
            };
            let difference = match patch::place_of(&object) {
                Some(place) => patch::two_way(&info.object, &object, place)
                    .map_err(|error| Failure::Message(error.to_string()))?,
                None => patch::json_merge_diff(&info.object, &object),
            };
            if difference.is_empty() {
                return fail(format!(
                    "failed to create patch for {}: if restart has already been triggered within the past second, please wait before attempting to trigger another",
                    info.name
                ));
            }
            if dry_run != DryRun::Client {
                let request =
                    patch_request(session, info, PatchType::StrategicMerge, difference, "kubectl-rollout")?;
                object = match session.attempt(request)? {
                    Ok(object) => object,
                    Err(failure) => return fail(format!("failed to patch: {}", failure.text())),
                };
            }
            session.print_change(&format, &object, word)
        },
    )?;
    if count == 0 {
        let namespace = session.namespace();
        session.eprintln(format!("No resources found in {namespace} namespace."));
    }
    Ok(())
}
