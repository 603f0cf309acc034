//! `kubectl label` and `kubectl annotate`: marks on objects.
//!
//! Picture to hold in mind: sticky notes in two colours. One colour can be searched for; the other is only read.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/{label,annotate}`.

use crate::api::value::Map;
use crate::api::{Text, Value};
use crate::arrange::Gather;
use crate::message::rest::PatchType;
use crate::object;

use super::builder::Rules;
use super::change::{for_each, patch_request};
use super::failure::{Failure, Outcome, fail};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "all",
    "all-namespaces",
    "allow-missing-template-keys",
    "dry-run",
    "field-manager",
    "field-selector",
    "filename",
    "kustomize",
    "list",
    "local",
    "output",
    "overwrite",
    "recursive",
    "resource-version",
    "selector",
    "show-managed-fields",
    "template",
];

/// What `label` and `annotate` differ in.
struct Kind {
    field: &'static str,
    noun: &'static str,
    manager: &'static str,
    /// Added, removed, both, neither.
    words: [&'static str; 4],
}

pub fn label(session: &mut Session) -> Outcome {
    let words = ["labeled", "unlabeled", "modified", "not labeled"];
    mark(session, &Kind { field: "labels", noun: "label", manager: "kubectl-label", words })
}
pub fn annotate(session: &mut Session) -> Outcome {
    let words = ["annotated", "annotated", "annotated", "annotated"];
    mark(session, &Kind { field: "annotations", noun: "annotation", manager: "kubectl-annotate", words })
}

/// Splits operands into objects and changes (`key=value`, `key-`).
pub fn resources_and_pairs(operands: &[String], noun: &str) -> Outcome<(Vec<String>, Vec<String>)> {
    let is_pair =
        |word: &str| word.find('=').is_some_and(|place| place > 0) || (word.ends_with('-') && word.len() > 1);
    let first = operands.iter().position(|word| is_pair(word)).unwrap_or(operands.len());
    if let Some(late) = operands[first..].iter().find(|word| !is_pair(word)) {
        return fail(format!("all resources must be specified before {noun} changes: {late}"));
    }
    Ok((operands[..first].to_vec(), operands[first..].to_vec()))
}

fn mark(session: &mut Session, kind: &Kind) -> Outcome {
    let format = session.format(false)?;
    let (resources, pairs) = resources_and_pairs(session.operands(), kind.noun)?;
    let (mut added, mut removed) = (Map::new(), Vec::new());
    for pair in &pairs {
        match pair.split_once('=') {
            Some((key, value)) => {
                if kind.noun == "label" {
                    if value.contains('=') || key.is_empty() {
                        return fail(format!("invalid label spec: {pair}"));
                    }
                    let problems = crate::api::content::label_value(value);
                    if !problems.is_empty() {
                        return fail(format!("invalid label value: {pair:?}: {}", problems.join(";")));
                    }
                }
                added.insert(key, value);
            }
            None => removed.push(pair.strip_suffix('-').unwrap_or(pair).to_string()),
        }
    }
    let both: Vec<&String> = removed.iter().filter(|key| added.contains_key(key)).gather();
    if !both.is_empty() {
        return match kind.noun {
            "label" => fail("can not both modify and remove a label in the same command"),
            _ => fail(format!(
                "can not both modify and remove the following annotation(s) in the same command: {}",
                both.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ")
            )),
        };
    }
    if resources.is_empty() && !session.has_files() {
        return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>");
    }
    let lists = session.flags.switch("list");
    if pairs.is_empty() && !lists {
        return fail(format!("at least one {} update is required", kind.noun));
    }
    let (overwrite, dry_run) = (session.flags.switch("overwrite"), session.dry_run()?);
    let version = session.flags.text("resource-version").to_string();
    let local = session.flags.switch("local");
    let rules = Rules {
        all_without_selector: session.flags.switch("all"),
        all_namespaces: session.flags.switch("all-namespaces"),
        ..Rules::default()
    };
    let path = format!("metadata.{}", kind.field);
    let added = &added;
    for_each(session, &resources, rules, |session, info| {
        let before = info.object.map(&path).clone();
        if !overwrite {
            let clashes: Vec<String> = added
                .iter()
                .filter_map(|(key, value)| {
                    let old = before.get(key).filter(|old| *old != value)?.as_str()?;
                    Some(format!("'{key}' already has a value ({old})"))
                })
                .gather();
            if !clashes.is_empty() && kind.noun == "label" {
                let failures = clashes
                    .into_iter()
                    .map(|clash| Failure::Message(format!("{clash}, and --overwrite is false")))
                    .collect();
                Failure::many(failures)?;
            } else if !clashes.is_empty() {
                return fail(format!(
                    "--overwrite is false but found the following declared annotation(s): {}",
                    clashes.join("; ")
                ));
            }
        }
        let gone: Vec<&String> = removed.iter().filter(|key| before.contains_key(key)).gather();
        let new: Vec<(&Text, &Value)> =
            added.iter().filter(|(key, value)| before.get(key) != Some(value)).gather();
        if kind.noun == "label" {
            for missing in removed.iter().filter(|key| !before.contains_key(key)) {
                session.println(format!("label {missing:?} not found."));
            }
        }
        let word = match (new.is_empty(), gone.is_empty()) {
            (false, false) => kind.words[2],
            (false, true) => kind.words[0],
            (true, false) => kind.words[1],
            (true, true) => kind.words[3],
        };
        let mut changes = Map::new();
        let mut object = info.object.clone();
        for (key, value) in new {
            changes.insert(key.clone(), value.clone());
            object.at_mut(&path).make_object().insert(key.clone(), value.clone());
        }
        for key in gone {
            changes.insert(key.as_str(), Value::Null);
            object.at_mut(&path).make_object().remove(key);
        }
        if !changes.is_empty() && dry_run != DryRun::Client && !local && !lists {
            let mut body = object! { "metadata" => Value::object() };
            body.set(&path, Value::from(changes));
            if !version.is_empty() {
                body.set("metadata.resourceVersion", version.as_str());
            }
            let request = patch_request(session, info, PatchType::Merge, body, kind.manager)?;
            object = session.send(request)?;
        }
        if lists {
            let marks = object.map(&path).clone();
            for (key, value) in marks.iter() {
                session.println(format!("{key}={}", value.as_str().unwrap_or("")));
            }
            return Ok(());
        }
        session.print_change(&format, &object, word)
    })?;
    Ok(())
}
