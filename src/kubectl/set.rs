//! `kubectl set`: image, env, resources, serviceaccount, selector.
//!
//! Picture to hold in mind: a label maker for one line of the template.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/set`.

use crate::api::{Value, patch};
use crate::arrange::Gather;
use crate::client::request;
use crate::message::rest::PatchType;
use crate::object;

use super::builder::{Info, Rules};
use super::change::{for_each, patch_request};
use super::failure::{Failure, Outcome, fail};
use super::generate::{config, workload};
use super::print::Format;
use super::session::{DryRun, Session};

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

/// Splits `deployment/web a=b` into objects and pairs; only words with `=` (or ending in `-`) are pairs.
fn split(session: &Session) -> (Vec<String>, Vec<String>) {
    session
        .operands()
        .iter()
        .cloned()
        .partition(|word| !(word.contains('=') || (word.ends_with('-') && word.len() > 1)))
}

/// What is wrong with the objects is told before what is wrong with the change, `words`.
fn misfit(session: &mut Session, resources: &[String], words: &str) -> Outcome {
    let rules = Rules { all_without_selector: session.flags.switch("all"), ..Rules::default() };
    let selection = session.select(resources, rules)?;
    let (_, failures) = session.fetch(selection)?;
    Failure::many(failures)?;
    fail(words)
}

/// Changes the pod spec of each object, sends the difference, and tells of it.
fn change_spec(
    session: &mut Session,
    resources: &[String],
    word: &str,
    failed: &str,
    mut change: impl FnMut(&mut Session, &Info, &mut Value) -> Outcome,
) -> Outcome {
    let format = session.format(false)?;
    let (dry_run, local) = (session.dry_run()?, session.flags.switch("local"));
    let rules = Rules { all_without_selector: session.flags.switch("all"), ..Rules::default() };
    for_each(session, resources, rules, |session, info| {
        let kind = info.mapping.info.kind.to_string();
        let Some(path) = spec_path(&kind) else {
            return fail(format!(
                "error: {} the object is not a pod or does not have a pod template: {}",
                info.object_name(),
                info.mapping.kind_go_string()
            ));
        };
        let mut object = info.object.clone();
        let mut spec = object.at(path).clone();
        change(session, info, &mut spec)?;
        object.set(path, spec);
        let difference = match patch::place_of(&object) {
            Some(place) => patch::two_way(&info.object, &object, place)
                .map_err(|error| Failure::Message(error.to_string()))?,
            None => patch::json_merge_diff(&info.object, &object),
        };
        // What changes nothing is passed over in silence.
        if difference.is_empty() && matches!(format, Format::Human { .. }) {
            return Ok(());
        }
        if dry_run != DryRun::Client && !local {
            let request = patch_request(session, info, PatchType::StrategicMerge, difference, "kubectl-set")?;
            object = match session.attempt(request)? {
                Ok(object) => object,
                Err(failure) => return fail(format!("failed to patch {failed}: {}", failure.text())),
            };
        }
        session.print_change(&format, &object, word)
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

pub fn image(session: &mut Session) -> Outcome {
    let (resources, pairs) = split(session);
    if pairs.is_empty() {
        return misfit(session, &resources, "at least one image update is required");
    }
    if pairs.len() > 1 && pairs.iter().any(|pair| pair.starts_with("*=")) {
        let words = "all containers are already specified by *, but saw more than one container_name=container_image pairs";
        return misfit(session, &resources, words);
    }
    change_spec(session, &resources, "image updated", "image update to pod template", |_, _, spec| {
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
                return fail(format!("error: unable to find container named {name:?}"));
            }
        }
        Ok(())
    })
}

/// Whether `-c PATTERN` means this container.
fn is_chosen(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        _ if pattern == "*" => true,
        (Some(prefix), _) => name.starts_with(prefix),
        (_, Some(suffix)) => name.ends_with(suffix),
        _ => pattern == name,
    }
}

pub fn env(session: &mut Session) -> Outcome {
    let (resources, mut pairs) = split(session);
    pairs.extend(session.flags.list("env"));
    let flags = session.flags.clone();
    if flags.switch("list") {
        return list_env(session, &resources);
    }
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for pair in &pairs {
        match pair.split_once('=') {
            Some((name, value)) => added.push(object! { "name" => name, "value" => value }),
            None => removed.push(pair.trim_end_matches('-').to_string()),
        }
    }
    if let Some((kind, name)) = flags.text("from").split_once('/') {
        let mapping = session.resource(kind)?;
        let field = match mapping.info.kind.as_str() {
            "ConfigMap" => "configMapKeyRef",
            "Secret" => "secretKeyRef",
            _ => return fail("unsupported resource specified in --from"),
        };
        let namespace = session.namespace();
        let source = session.send(request::get(&mapping.resource(), &namespace, name))?;
        let keys = flags.list("keys");
        for (key, _) in source
            .map("data")
            .iter()
            .filter(|(key, _)| keys.is_empty() || keys.iter().any(|k| k == key.as_str()))
        {
            let upper: String = key
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                .collect();
            if upper != key.as_str() {
                session.eprintln(["Warning: key ", key, " transferred to ", &upper].concat());
            }
            let name_ref = object! { "key" => key, "name" => name };
            let mut from = Value::object();
            from.set(field, name_ref);
            added.push(object! { "name" => format!("{}{upper}", flags.text("prefix")), "valueFrom" => from });
        }
    }
    if added.is_empty() && removed.is_empty() {
        if resources.is_empty() && !session.has_files() {
            return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>");
        }
        // Nothing to change: nothing is said, if the objects are there.
        let selection = session.select(&resources, Rules::default())?;
        let (_, failures) = session.fetch(selection)?;
        return Ok(Failure::many(failures)?);
    }
    let overwrite = flags.switch("overwrite");
    let pattern = flags.text("containers").to_string();
    change_spec(session, &resources, "env updated", "env update to pod template", |session, info, spec| {
        let (mut clash, mut found) = (None, false);
        each_container(spec, |container| {
            if !is_chosen(&pattern, container.text("name")) {
                return;
            }
            found = true;
            let mut variables = container.items("env").to_vec();
            for new in &added {
                match variables.iter_mut().find(|old| old.text("name") == new.text("name")) {
                    Some(old) if !overwrite => {
                        clash = Some(format!(
                            "'{}' already has a value ({}), and --overwrite is false",
                            old.text("name"),
                            old.text("value")
                        ));
                    }
                    Some(old) => *old = new.clone(),
                    None => variables.push(new.clone()),
                }
            }
            variables.retain(|variable| !removed.iter().any(|name| name == variable.text("name")));
            if variables.is_empty() {
                container.remove("env");
            } else {
                container.set("env", variables);
            }
        });
        if !found {
            session.eprintln(format!(
                "Warning: {}/{} does not have any containers matching {pattern:?}",
                info.mapping.info.kind, info.name
            ));
        }
        clash.map_or(Ok(()), fail)
    })
}

fn list_env(session: &mut Session, resources: &[String]) -> Outcome {
    let rules = Rules { all_without_selector: session.flags.switch("all"), ..Rules::default() };
    let pattern = session.flags.text("containers").to_string();
    for_each(session, resources, rules, |session, info| {
        let Some(path) = spec_path(&info.mapping.info.kind) else { return Ok(()) };
        let mut spec = info.object.at(path).clone();
        let mut text = String::new();
        each_container(&mut spec, |container| {
            if !is_chosen(&pattern, container.text("name")) {
                return;
            }
            text += &format!(
                "# {} {}, container {}\n",
                info.mapping.info.kind,
                info.name,
                container.text("name")
            );
            for variable in container.items("env") {
                let name = variable.text("name");
                let from = variable.at("valueFrom");
                text += &match from.as_object().and_then(|map| map.iter().next()) {
                    None => format!("{name}={}\n", variable.text("value")),
                    Some((kind, source)) => {
                        let what = match kind.as_str() {
                            "configMapKeyRef" => {
                                format!("configmap {}, key {}", source.text("name"), source.text("key"))
                            }
                            "secretKeyRef" => {
                                format!("secret {}, key {}", source.text("name"), source.text("key"))
                            }
                            "fieldRef" => format!("field path {}", source.text("fieldPath")),
                            _ => format!("resource field {}", source.text("resource")),
                        };
                        format!("# {name} from {what}\n")
                    }
                };
            }
        });
        session.print(text);
        Ok(())
    })?;
    Ok(())
}

pub fn resources(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let operands = session.operands().to_vec();
    if flags.text("limits").is_empty() && flags.text("requests").is_empty() {
        let words = "you must specify an update to requests or limits (in the form of --requests/--limits)";
        return misfit(session, &operands, words);
    }
    let (limits, requests) =
        (config::quantities(flags.text("limits"))?, config::quantities(flags.text("requests"))?);
    let pattern = flags.text("containers").to_string();
    change_spec(
        session,
        &operands,
        "resource requirements updated",
        "resources update to pod template",
        |_, _, spec| {
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
            if found { Ok(()) } else { fail(format!("error: unable to find container named {pattern}")) }
        },
    )
}

pub fn service_account(session: &mut Session) -> Outcome {
    let mut operands = session.operands().to_vec();
    let Some(account) = operands.pop() else { return fail("serviceaccount is required") };
    change_spec(session, &operands, "serviceaccount updated", "ServiceAccountName", |_, _, spec| {
        spec.set("serviceAccountName", account.as_str());
        Ok(())
    })
}

pub fn selector(session: &mut Session) -> Outcome {
    let mut operands = session.operands().to_vec();
    let Some(text) = operands.pop().filter(|_| !operands.is_empty()) else {
        return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>");
    };
    let labels = workload::labels(&text)?;
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    for_each(session, &operands, Rules::default(), |session, info| {
        if info.mapping.info.kind != "Service" {
            return fail("setting a selector is only supported for Services");
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
    if flags.switch("all") && !flags.text("selector").is_empty() {
        return fail("cannot set --all and --selector at the same time");
    }
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
            return fail("serviceaccount must be <namespace>:<name>");
        };
        let namespace = if namespace.is_empty() { session.namespace() } else { namespace.to_string() };
        subjects.push(object! { "kind" => "ServiceAccount", "name" => name, "namespace" => namespace });
    }
    let format = session.format(false)?;
    let (dry_run, local) = (session.dry_run()?, flags.switch("local"));
    let operands = session.operands().to_vec();
    let rules = Rules { all_without_selector: flags.switch("all"), ..Rules::default() };
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
