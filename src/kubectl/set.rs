//! `kubectl set`: image, env, resources, serviceaccount, selector.
//!
//! Picture to hold in mind: a label maker for one line of the template.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/set`.

mod env;

use crate::api::selector::{LabelSelector, Operator};
use crate::api::{Text, Value, patch};
use crate::arrange::Gather;
use crate::message::rest::PatchType;
use crate::object;

use super::builder::{Info, MISSING, Rules};
use super::change::{for_each, patch_request};
use super::failure::{Failure, Outcome, Stop, fail};
use super::generate::config;
use super::label::resources_and_pairs;
use super::session::{DryRun, Session};

pub use env::env;

pub const FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-set",
    "filename",
    "kustomize",
    "local",
    "output",
    "recursive",
    "selector",
    "show-managed-fields",
    "template",
];
pub const ENV_FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "containers",
    "dry-run",
    "env",
    "field-manager@kubectl-set",
    "filename",
    "from",
    "keys",
    "kustomize",
    "list",
    "local",
    "output",
    "overwrite@true",
    "prefix:text",
    "recursive",
    "resolve",
    "selector",
    "show-managed-fields",
    "template",
];
pub const RESOURCES_FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "containers",
    "dry-run",
    "field-manager@kubectl-set",
    "filename",
    "kustomize",
    "limits",
    "local",
    "output",
    "recursive",
    "requests",
    "selector",
    "show-managed-fields",
    "template",
];
pub const SELECTOR_FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-set",
    "filename",
    "local",
    "output",
    "recursive@true",
    "resource-version",
    "show-managed-fields",
    "template",
];
pub const SUBJECT_FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-set",
    "filename",
    "group",
    "kustomize",
    "local",
    "output",
    "recursive",
    "selector",
    "serviceaccount",
    "show-managed-fields",
    "template",
    "user",
];

/// Where the pod spec of a workload stands.
fn spec_path(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("spec"),
        "CronJob" => Some("spec.jobTemplate.spec.template.spec"),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicationController" => {
            Some("spec.template.spec")
        }
        _ => None,
    }
}

/// What is wrong with the objects is told before what is wrong with the change, `words`.
fn misfit(session: &mut Session, resources: &[String], words: &str) -> Outcome {
    let rules = rules(session, resources)?;
    let selection = session.select(resources, rules)?;
    let (_, failures) = session.fetch(selection)?;
    Failure::many(failures)?;
    fail(words)
}

/// Which objects are meant, and what their flags may not say together.
fn rules(session: &Session, resources: &[String]) -> Outcome<Rules> {
    let flags = &session.flags;
    if flags.switch("local") {
        if session.dry_run()? == DryRun::Server {
            return fail("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
        }
        if !resources.is_empty()
            && !matches!(session.command.as_str(), "kubectl set env" | "kubectl set serviceaccount")
        {
            return fail(
                "you must specify resources by --filename when --local is set.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'",
            );
        }
    }
    if flags.switch("all") && !flags.text("selector").is_empty() {
        return fail("cannot set --all and --selector at the same time");
    }
    if flags.switch("local") && !session.has_files() {
        return fail(MISSING);
    }
    Ok(Rules { all_without_selector: flags.switch("all"), ..Rules::default() })
}

/// What a change is called.
struct Words {
    done: &'static str,
    failed: &'static str,
    /// Told of as well where it changes nothing.
    always: bool,
}

/// Changes the pod spec of each object, sends the difference, and tells of it. What `change` gives back is wrong, but
/// does not keep the rest of the change from being made.
fn change_spec(
    session: &mut Session,
    resources: &[String],
    words: &Words,
    mut change: impl FnMut(&mut Session, &Info, &mut Value) -> Outcome<Vec<Failure>>,
) -> Outcome {
    let format = session.format(false)?;
    let (dry_run, local) = (session.dry_run()?, session.flags.switch("local"));
    let rules = rules(session, resources)?;
    for_each(session, resources, rules, |session, info| {
        let kind = info.mapping.info.kind.to_string();
        let Some(path) = spec_path(&kind) else {
            return fail(format!(
                "error: {} the object is not a pod or does not have a pod template: *{}.{kind}",
                info.object_name(),
                info.mapping.version
            ));
        };
        let mut object = info.object.clone();
        let mut spec = object.at(path).clone();
        let mut problems = change(session, info, &mut spec)?;
        object.set(path, spec);
        let difference = match patch::place_of(&object) {
            Some(place) => patch::two_way(&info.object, &object, place)
                .map_err(|error| Failure::Message(error.to_string()))?,
            None => patch::json_merge_diff(&info.object, &object),
        };
        // What changes nothing is passed over in silence.
        let mut told = words.always || !difference.is_empty();
        if told && dry_run != DryRun::Client && !local {
            let request = patch_request(session, info, PatchType::StrategicMerge, difference, "kubectl-set")?;
            match session.attempt(request)? {
                Ok(changed) => object = changed,
                Err(failure) => {
                    let why =
                        [&format!("failed to patch {} ", words.failed), failure.text().as_str()].concat();
                    problems.push(Failure::Message(why));
                    told = false;
                }
            }
        }
        if told {
            session.print_change(&format, &object, words.done)?;
        }
        Ok(Failure::many(problems)?)
    })?;
    Ok(())
}

/// The containers of a pod spec, the init containers first, as upstream visits them.
fn each_container(spec: &mut Value, mut act: impl FnMut(&mut Value)) {
    for field in ["initContainers", "containers"] {
        if spec.has(field) {
            spec.at_mut(field).make_array().iter_mut().for_each(&mut act);
        }
    }
}

fn no_container(name: &str) -> Failure {
    Failure::Message(["error: unable to find container named ", name].concat())
}

pub fn image(session: &mut Session) -> Outcome {
    let (resources, pairs) = resources_and_pairs(session.operands(), "image")?;
    let bad: Vec<&str> = pairs.iter().map(String::as_str).filter(|pair| !pair.contains('=')).gather();
    if !bad.is_empty() {
        return fail(["invalid image format: ", &bad.join(", ")].concat());
    }
    if pairs.is_empty() {
        return misfit(session, &resources, "at least one image update is required");
    }
    if pairs.len() > 1 && pairs.iter().any(|pair| pair.starts_with("*=")) {
        let words = "all containers are already specified by *, but saw more than one container_name=container_image pairs";
        return misfit(session, &resources, words);
    }
    let words = Words { done: "image updated", failed: "image update to pod template:", always: false };
    change_spec(session, &resources, &words, |_, _, spec| {
        let mut problems = Vec::new();
        for pair in &pairs {
            let (name, image) = pair.split_once('=').unwrap_or((pair, ""));
            let mut found = false;
            each_container(spec, |container| {
                if name == "*" || container.text("name") == name {
                    found = true;
                    container.set("image", image);
                }
            });
            if !found {
                problems.push(no_container(&format!("{name:?}")));
            }
        }
        Ok(problems)
    })
}

/// Whether `-c PATTERN` means this container, as upstream looks for the parts between the stars.
fn is_chosen(pattern: &str, name: &str) -> bool {
    if pattern == "*" || !pattern.contains('*') {
        return pattern == "*" || pattern == name;
    }
    let last = pattern.matches('*').count();
    let mut place = 0;
    for (index, part) in pattern.split('*').enumerate().filter(|(_, part)| !part.is_empty()) {
        match name.get(place..).and_then(|rest| rest.find(part)) {
            Some(next) if next >= place && (index < last || name.len() == part.len() + next) => place = next,
            _ => return false,
        }
    }
    true
}

pub fn resources(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    if flags.text("limits").is_empty() && flags.text("requests").is_empty() {
        let words = "you must specify an update to requests or limits (in the form of --requests/--limits)";
        return misfit(session, &operands, words);
    }
    let amounts = config::quantities(flags.text("limits"))
        .and_then(|limits| Ok((limits, config::quantities(flags.text("requests"))?)));
    let (limits, requests) = match amounts {
        Ok(amounts) => amounts,
        Err(Stop::Failure(failure)) => return misfit(session, &operands, &failure.text()),
        Err(halt) => return Err(halt),
    };
    let pattern = flags.text("containers").to_string();
    let words = Words {
        done: "resource requirements updated",
        failed: "resources update to pod template",
        always: false,
    };
    change_spec(session, &operands, &words, |_, _, spec| {
        let mut found = false;
        each_container(spec, |container| {
            if !is_chosen(&pattern, container.text("name")) {
                return;
            }
            found = true;
            for (field, amounts) in [("limits", &limits), ("requests", &requests)] {
                for (name, amount) in amounts.as_object().into_iter().flat_map(|map| map.iter()) {
                    container
                        .at_mut(&format!("resources.{field}"))
                        .make_object()
                        .insert(name.clone(), amount.clone());
                }
            }
        });
        Ok(if found { Vec::new() } else { vec![no_container(&pattern)] })
    })
}

pub fn service_account(session: &mut Session) -> Outcome {
    let mut operands = session.operands().to_vec();
    let Some(account) = operands.pop() else { return fail("serviceaccount is required") };
    let words = Words { done: "serviceaccount updated", failed: "ServiceAccountName", always: true };
    change_spec(session, &operands, &words, |_, _, spec| {
        spec.set("serviceAccountName", account.as_str());
        Ok(Vec::new())
    })
}

pub fn selector(session: &mut Session) -> Outcome {
    let mut operands = session.operands().to_vec();
    let Some(text) = operands.pop() else { return fail("one selector is required") };
    let selector = LabelSelector::parse(&text)
        .map_err(|why| Failure::Message(format!("couldn't parse the selector string {text:?}: {why}")))?;
    let (mut labels, mut expressions) = (Value::object(), Vec::new());
    for requirement in selector.requirements() {
        let values: Vec<&str> = requirement.values.iter().map(Text::as_str).gather();
        let operator = match requirement.operator {
            Operator::Equals | Operator::DoubleEquals => {
                labels.make_object().insert(requirement.key.clone(), values.concat());
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            other => return fail(format!("{:?} is not a valid label selector operator", other.as_str())),
        };
        expressions.push(format!("{{{} {operator} [{}]}}", requirement.key, values.join(" ")));
    }
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    for_each(session, &operands, Rules::default(), |session, info| {
        if info.mapping.info.kind != "Service" {
            return fail("setting a selector is only supported for Services");
        }
        if !expressions.is_empty() {
            let expressions = expressions.join(" ");
            return fail(format!("match expression [{expressions}] not supported on this object"));
        }
        let mut object = info.object.clone();
        object.set("spec.selector", labels.clone());
        if dry_run != DryRun::Client {
            let body = patch::json_merge_diff(&info.object, &object);
            let request = patch_request(session, info, PatchType::Merge, body, "kubectl-set")?;
            object = session.send(request)?;
        }
        session.print_change(&format, &object, "selector updated")
    })?;
    Ok(())
}

/// `kubectl set subject`: adds to whom a binding is for.
pub fn subject(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let (users, groups, accounts) = (flags.list("user"), flags.list("group"), flags.list("serviceaccount"));
    if users.is_empty() && groups.is_empty() && accounts.is_empty() {
        let words = "you must specify at least one value of user, group or serviceaccount";
        let operands = session.operands().to_vec();
        return misfit(session, &operands, words);
    }
    let named = |kind: &str, names: Vec<String>| {
        let names: crate::sorted::SortedSet<String> = names.into_iter().gather();
        let subject = move |name: String| object! { "apiGroup" => "rbac.authorization.k8s.io", "kind" => kind, "name" => name };
        names.into_iter().map(subject).collect::<Vec<_>>()
    };
    let mut subjects = named("User", users);
    subjects.extend(named("Group", groups));
    for account in crate::sorted::SortedSet::from_iter(accounts) {
        let Some((namespace, name)) =
            account.split_once(':').filter(|(_, name)| !name.is_empty() && !name.contains(':'))
        else {
            let operands = session.operands().to_vec();
            return misfit(session, &operands, "serviceaccount must be <namespace>:<name>");
        };
        let mut namespace = namespace.to_string();
        if namespace.is_empty() {
            let operands = session.operands().to_vec();
            let rules = rules(session, &operands)?;
            let chosen = session.find(&operands, rules)?;
            if chosen.0.iter().any(|info| info.mapping.info.kind == "ClusterRoleBinding") {
                return fail("serviceaccount must be <namespace>:<name>, namespace must be specified");
            }
            namespace = session.namespace();
        }
        subjects.push(object! { "kind" => "ServiceAccount", "name" => name, "namespace" => namespace });
    }
    let format = session.format(false)?;
    let (dry_run, local) = (session.dry_run()?, flags.switch("local"));
    let operands = session.operands().to_vec();
    let rules = rules(session, &operands)?;
    for_each(session, &operands, rules, |session, info| {
        if !matches!(info.mapping.info.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
            let why = "setting subjects is only supported for RoleBinding/ClusterRoleBinding";
            return fail(format!("error: {} {why}\n", info.object_name()));
        }
        let mut all = info.object.items("subjects").to_vec();
        let before = all.len();
        let new: Vec<Value> = subjects.iter().filter(|subject| !all.contains(subject)).cloned().gather();
        all.extend(new);
        if all.len() == before {
            return Ok(());
        }
        let mut object = info.object.clone();
        object.set("subjects", all.clone());
        if dry_run != DryRun::Client && !local {
            let body = object! { "subjects" => all };
            let request = patch_request(session, info, PatchType::StrategicMerge, body, "kubectl-set")?;
            object = match session.attempt(request)? {
                Ok(object) => object,
                Err(failure) => {
                    return fail(format!("failed to patch subjects to rolebinding: {}", failure.text()));
                }
            };
        }
        session.print_change(&format, &object, "subjects updated")
    })?;
    Ok(())
}
