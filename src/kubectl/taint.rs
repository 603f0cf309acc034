//! `kubectl taint`: marks on nodes that keep pods away.
//!
//! Picture to hold in mind: a warning sign at a door; only who tolerates it goes in.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/taint`.

use crate::api::Value;
use crate::message::rest::PatchType;
use crate::object;

use super::builder::Rules;
use super::change::{for_each, patch_request};
use super::describe::taint_text;
use super::failure::{Failure, Outcome, fail, misused};
use super::label::resources_and_pairs;
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-taint",
    "output",
    "overwrite",
    "selector",
    "show-managed-fields",
    "template",
    "validate",
];

#[derive(Clone, PartialEq)]
struct Taint {
    key: String,
    value: String,
    effect: String,
}

fn parse_taint(text: &str, needs_effect: bool) -> Outcome<Taint> {
    let misused = |why: &str| misused("kubectl taint", why);
    let invalid = |why: &str| misused(&["invalid taint spec: ", text, why].concat());
    let (pair, effect) = text.split_once(':').map_or((text, None), |(pair, effect)| (pair, Some(effect)));
    let (key, value) = match effect {
        Some(effect) if effect.contains(':') => return invalid(""),
        Some(effect) if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") => {
            return misused(&["invalid taint effect: ", effect, ", unsupported taint effect"].concat());
        }
        Some(_) => pair.split_once('=').unwrap_or((pair, "")),
        None => (pair, ""),
    };
    if value.contains('=') {
        return invalid("");
    }
    for problems in [crate::api::content::label_value(value), crate::api::content::label_key(key)] {
        if !problems.is_empty() {
            return invalid(&[", ", &problems.join("; ")].concat());
        }
    }
    let effect = effect.unwrap_or("");
    if needs_effect && effect.is_empty() {
        return invalid("");
    }
    Ok(Taint { key: key.into(), value: value.into(), effect: effect.into() })
}

pub fn run(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let (resources, pairs) = {
        let operands = session.operands().to_vec();
        let is_spec = |word: &String| word.contains('=') || word.contains(':') || word.ends_with('-');
        match operands.iter().position(is_spec) {
            Some(first) if operands[first..].iter().all(is_spec) => {
                (operands[..first].to_vec(), operands[first..].to_vec())
            }
            _ => resources_and_pairs(&operands, "taint")?,
        }
    };
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for pair in &pairs {
        match pair.strip_suffix('-') {
            Some(spec) => removed.push(parse_taint(spec, false)?),
            None => {
                let new = parse_taint(pair, true)?;
                let is_same = |own: &Taint| own.key == new.key && own.effect == new.effect;
                if added.iter().any(is_same) {
                    let Taint { key, value, effect } = new;
                    let words = format!(
                        "duplicated taints with the same key and effect: {{{key} {value} {effect} <nil>}}"
                    );
                    return misused("kubectl taint", &words);
                }
                added.push(new);
            }
        }
    }
    let Some((kind, names)) = resources.split_first() else {
        return fail("one or more resources must be specified as <resource> <name>");
    };
    if pairs.is_empty() {
        return fail("at least one taint update is required");
    }
    let mapping = session.resource(kind.split('/').next().unwrap_or(kind))?;
    if mapping.info.plural != "nodes" {
        let kind = kind.split('/').next().unwrap_or(kind).to_ascii_lowercase();
        return fail(format!("invalid resource type {kind}, only node types are supported"));
    }
    let mut both: Vec<String> = Vec::new();
    for new in &added {
        let clashes = removed
            .iter()
            .filter(|gone| gone.key == new.key && (gone.effect.is_empty() || gone.effect == new.effect));
        both.extend(clashes.map(|gone| format!("{}={}", gone.key, gone.effect)));
    }
    if !both.is_empty() {
        return fail(format!(
            "can not both modify and remove the following taint(s) in the same command: {}",
            both.join(", ")
        ));
    }
    let all = session.flags.switch("all");
    if names.is_empty() && !kind.contains('/') && !all && session.flags.text("selector").is_empty() {
        return fail("at least one resource name must be specified since 'all' parameter is not set");
    }
    let (overwrite, dry_run) = (session.flags.switch("overwrite"), session.dry_run()?);
    for_each(
        session,
        &resources,
        Rules { all_without_selector: all, ..Rules::default() },
        |session, info| {
            let before = info.object.items("spec.taints").to_vec();
            let same =
                |old: &Value, new: &Taint| old.text("key") == new.key && old.text("effect") == new.effect;
            if !overwrite {
                let mut clashes: Vec<&str> = Vec::new();
                for new in added.iter().filter(|new| before.iter().any(|old| same(old, new))) {
                    if !clashes.contains(&new.key.as_str()) {
                        clashes.push(&new.key);
                    }
                }
                if !clashes.is_empty() {
                    return fail(format!(
                        "node {} already has {} taint(s) with same effect(s) and --overwrite is false",
                        info.name,
                        clashes.join(",")
                    ));
                }
            }
            let mut missing = Vec::new();
            let mut kept = before.clone();
            for gone in &removed {
                let length = kept.len();
                kept.retain(|old| {
                    !(old.text("key") == gone.key
                        && (gone.effect.is_empty() || old.text("effect") == gone.effect))
                });
                if kept.len() == length {
                    let taint = object! { "key" => gone.key.as_str(), "value" => gone.value.as_str(), "effect" => gone.effect.as_str() };
                    missing.push(Failure::Message(format!("taint {:?} not found", taint_text(&taint))));
                }
            }
            Failure::many(missing)?;
            let replaced = added.iter().any(|new| before.iter().any(|old| same(old, new)));
            let mut taints: Vec<Value> = added
                .iter()
                .map(|new| {
                    let mut taint = object! { "key" => new.key.as_str(), "effect" => new.effect.as_str() };
                    if !new.value.is_empty() {
                        taint.set("value", new.value.as_str());
                    }
                    taint
                })
                .collect();
            taints.extend(kept.into_iter().filter(|old| !added.iter().any(|new| same(old, new))));
            let word = match (removed.is_empty(), added.is_empty()) {
                (true, false) if replaced => "modified",
                (true, false) => "tainted",
                (false, true) => "untainted",
                _ => "modified",
            };
            let mut object = info.object.clone();
            let body = if taints.is_empty() { Value::Null } else { Value::from(taints.clone()) };
            object.set("spec.taints", taints);
            if dry_run != DryRun::Client {
                let patch = object! { "spec" => object! { "taints" => body } };
                let request = patch_request(session, info, PatchType::Merge, patch, "kubectl-taint")?;
                object = session.send(request)?;
            }
            session.print_change(&format, &object, word)
        },
    )?;
    Ok(())
}
