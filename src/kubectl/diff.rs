//! `kubectl diff`: what `apply` would change.
//!
//! Picture to hold in mind: two carbon copies laid over each other: what is there, and what would be there.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/diff/diff.go`. The differences are written as `diff -u -N` writes those of two
//! folders.

use crate::api::{Text, Value, time, yaml};
use crate::arrange::Arrange;
use crate::client::request;
use crate::message::rest::PatchType;
use crate::shell::diff::unified;

use super::apply::{LAST_APPLIED, modified_configuration, three_way};
use super::builder::Info;
use super::failure::{Failure, Outcome, fail, misused};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "concurrency",
    "field-manager@kubectl-client-side-apply",
    "filename",
    "force-conflicts",
    "kustomize",
    "prune",
    "prune-allowlist",
    "recursive",
    "selector",
    "server-side",
    "show-managed-fields",
    "show-secrets",
];

/// Differences were found.
const DIFFERENT: i32 = 1;
/// Something went wrong: 1 would mean that there are differences.
const TROUBLE: i32 = 2;

pub fn run(session: &mut Session) -> Outcome {
    match compare_all(session) {
        Err(super::failure::Stop::Failure(failure)) if !matches!(failure, Failure::Silent(_)) => {
            session.cli.eprint(failure.report());
            Err(Failure::Silent(TROUBLE).into())
        }
        other => other,
    }
}

fn compare_all(session: &mut Session) -> Outcome {
    if !session.operands().is_empty() {
        let words = ["Unexpected args: [", &session.operands().join(" "), "]"].concat();
        return misused(&session.command, &words);
    }
    if !session.has_files() {
        return fail("must specify one of -f and -k");
    }
    if session.flags.switch("force-conflicts") && !session.flags.switch("server-side") {
        return fail("--force-conflicts only works with --server-side");
    }
    if session.flags.switch("prune") {
        return fail(crate::fidelity::message("kubectl", "apply --prune").unwrap_or_default());
    }
    let manifests = session.read_manifests()?;
    let (infos, bad) = &*manifests;
    if let Some(failure) = bad.first() {
        return Err(failure.clone().into());
    }
    let now = session.now();
    // The two temporary folders, which upstream numbers at random.
    let number = now.as_micros() % 10_000_000_000;
    let pairs =
        session.each(infos, Vec::new(), |session, info, mut pairs: Vec<(String, String, String)>| {
            let (mut live, mut merged) = versions(session, info)?;
            for object in [&mut live, &mut merged] {
                if !session.flags.switch("show-managed-fields") {
                    object.remove("metadata.managedFields");
                }
            }
            let is_secret = info.mapping.info.kind == "Secret" && info.mapping.info.group.is_empty();
            if is_secret && !session.flags.switch("show-secrets") {
                mask(&mut live, &mut merged);
            }
            let text =
                |object: &Value| if object.is_null() { String::new() } else { yaml::to_string(object) };
            let group = match info.mapping.info.group.as_str() {
                "" => String::new(),
                group => format!("{group}."),
            };
            let (version, kind) = (&info.mapping.version, &info.mapping.info.kind);
            let name = format!("{group}{version}.{kind}.{}.{}", info.namespace, info.name);
            pairs.push((name, text(&live), text(&merged)));
            Ok(pairs)
        })?;
    let mut pairs = pairs;
    pairs.arrange();
    let stamp = stamp(now);
    let mut text = String::new();
    for (name, live, merged) in pairs {
        let hunks = unified(&live, &merged, 3);
        if !hunks.is_empty() {
            let (old, new) = (format!("/tmp/LIVE-{number}/{name}"), format!("/tmp/MERGED-{number}/{name}"));
            text += &format!("diff -u -N {old} {new}\n--- {old}\t{stamp}\n+++ {new}\t{stamp}\n{hunks}");
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    session.print(text);
    Err(Failure::Silent(DIFFERENT).into())
}

/// An instant as GNU diff writes it.
fn stamp(now: crate::sim::Time) -> String {
    let text = time::micro_time(now).to_string();
    text.replace('T', " ").replace('Z', "000 +0000")
}

/// What is there (`Null` for nothing), and what would be there.
fn versions(session: &mut Session, info: &Info) -> Outcome<(Value, Value)> {
    let resource = info.mapping.resource();
    let live = match session.attempt(info.get_request())? {
        Ok(live) => live,
        Err(failure) if failure.is_not_found() => Value::Null,
        Err(failure) => return Err(failure.into()),
    };
    let server_side = session.flags.switch("server-side");
    let manager: Text = match (session.flags.is_set("field-manager"), server_side) {
        (false, true) => "kubectl".into(),
        _ => session.flags.text("field-manager").into(),
    };
    let force = session.flags.switch("force-conflicts");
    let request = if server_side {
        request::patch(&resource, &info.namespace, &info.name, PatchType::Apply, info.object.clone())
    } else if live.is_null() {
        super::apply::create_request(session, info, info.object.clone(), &manager, DryRun::Server)?
    } else {
        // Without the record of itself, which is so not shown as a difference.
        let mut modified = modified_configuration(&info.object);
        modified.at_mut("metadata.annotations").make_object().remove(LAST_APPLIED);
        let (kind, patch) = three_way(&live, &modified, info.mapping.info.custom)?;
        if patch.is_empty() {
            return Ok((live.clone(), live));
        }
        request::patch(&resource, &info.namespace, &info.name, kind, patch)
    };
    let merged = session.send(request.options(|options| {
        options.dry_run = true;
        options.field_manager = manager;
        options.force = force;
    }))?;
    Ok((live, merged))
}

/// Secret values become stars; where they differ, stars that say so.
fn mask(live: &mut Value, merged: &mut Value) {
    let (before, after) = (live.map("data").clone(), merged.map("data").clone());
    let mask =
        |object: &mut Value, own: &crate::api::value::Map, other: &crate::api::value::Map, word: &str| {
            for (key, value) in own.iter() {
                let differs = other.get(key).is_some_and(|found| found != value);
                let stars = if differs { format!("*** ({word})") } else { "***".to_string() };
                object.at_mut("data").make_object().insert(key.clone(), stars);
            }
        };
    mask(live, &before, &after, "before");
    mask(merged, &after, &before, "after");
}
