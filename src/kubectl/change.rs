//! Commands that change objects there are: scale, label, annotate, patch, replace, autoscale; and `expose`, `run`.
//!
//! Picture to hold in mind: a proof-reader's pen: fetch the page, mark the change, send only the mark.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/{scale,label,annotate,patch,replace,autoscale,expose,run}`.

use crate::api::value::Map;
use crate::api::{Text, Value, patch};
use crate::client::request;
use crate::message::rest::{PatchType, Request};
use crate::sim::Duration;
use crate::{array, object};

use super::apply::{create_request, with_annotation};
use super::builder::{Info, Rules};
use super::delete::{self, Manner};
use super::failure::{Failure, Outcome, Stop, fail};
use super::generate::{network, workload};
use super::print::Format;
use super::session::{DryRun, Session};

/// Fetches what `operands` name and runs `step` for each; failures are gathered and told at the end.
pub fn for_each(
    session: &mut Session,
    operands: &[String],
    rules: Rules,
    mut step: impl FnMut(&mut Session, &Info) -> Outcome,
) -> Outcome<usize> {
    let selection = session.select(operands, rules)?;
    let (infos, failures) = match selection {
        super::builder::Selection::Files { infos, failures, .. } => {
            let (found, missing) = session.fetch_named(infos)?;
            (found, failures.into_iter().chain(missing).collect())
        }
        other => session.fetch(other)?,
    };
    let count = infos.len();
    let failures: Vec<Failure> = session.each(&infos, failures, |session, info, mut failures| {
        match step(session, info) {
            Ok(()) => {}
            Err(Stop::Failure(failure)) => failures.push(failure),
            Err(halt) => return Err(halt),
        }
        Ok(failures)
    })?;
    Failure::many(failures)?;
    Ok(count)
}

/// A patch of one object, signed and with the dry run marked.
pub fn patch_request(
    session: &Session,
    info: &Info,
    kind: PatchType,
    body: Value,
    manager: &str,
) -> Outcome<Request> {
    let (manager, dry_run) = (session.field_manager(manager), session.dry_run()?);
    let request = request::patch(&info.mapping.resource(), &info.namespace, &info.name, kind, body);
    Ok(request.options(|options| {
        options.field_manager = manager;
        options.dry_run = dry_run == DryRun::Server;
    }))
}

pub const SCALE_FLAGS: &[&str] = &[
    "all", "allow-missing-template-keys", "current-replicas", "dry-run", "filename", "kustomize", "output", "recursive",
    "replicas", "resource-version", "selector", "show-managed-fields", "template", "timeout",
];

pub fn scale(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let Some(replicas) = session.flags.number("replicas").filter(|count| *count >= 0) else {
        return fail(if session.flags.is_set("replicas") {
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"
        } else {
            "required flag(s) \"replicas\" not set"
        });
    };
    let current = session.flags.number("current-replicas").unwrap_or(-1);
    let dry_run = session.dry_run()?;
    let rules = Rules { all_without_selector: session.flags.switch("all"), ..Rules::default() };
    let operands = session.operands().to_vec();
    let timeout_us = session.flags.duration_us("timeout").unwrap_or(0);
    let count = for_each(session, &operands, rules, |session, info| {
        let mut shown = info.object.clone();
        if dry_run != DryRun::Client {
            if info.mapping.info.subresource("scale").is_none() {
                return fail(format!("could not find the requested resource: no scale of {}", info.object_name()));
            }
            if current >= 0 {
                let read = info.get_request().subresource("scale");
                let mut scale = session.send(read)?;
                let now = scale.integer("spec.replicas").unwrap_or(0);
                if now != current {
                    return fail(format!("Expected replicas to be {current}, was {now}"));
                }
                scale.set("spec.replicas", replicas);
                let update = Request {
                    namespace: info.namespace.as_str().into(),
                    name: info.name.as_str().into(),
                    ..request::update(&info.mapping.resource(), scale).subresource("scale")
                };
                session.send(update)?;
            } else {
                let body = object! { "spec" => object! { "replicas" => replicas } };
                let request = patch_request(session, info, PatchType::Merge, body, "kubectl")?.subresource("scale");
                session.send(request)?;
            }
            if timeout_us > 0 && dry_run == DryRun::No {
                wait_for_replicas(session, info, replicas, timeout_us)?;
            }
        }
        shown.set("spec.replicas", replicas);
        session.print_change(&format, &shown, "scaled")
    })?;
    if count == 0 {
        return fail("no objects passed to scale");
    }
    Ok(())
}

fn wait_for_replicas(session: &mut Session, info: &Info, replicas: i64, timeout_us: i64) -> Outcome {
    let deadline = session.now() + Duration(timeout_us.max(0) as u64);
    session.fold((), |session, ()| {
        let scale = session.send(info.get_request().subresource("scale"))?;
        if scale.integer("status.replicas").unwrap_or(0) == replicas {
            return Ok(std::ops::ControlFlow::Break(()));
        }
        if session.now() >= deadline {
            return fail("timed out waiting for the condition");
        }
        session.cli.sleep(Duration::from_secs(1))?;
        Ok(std::ops::ControlFlow::Continue(()))
    })
}

pub const LABEL_FLAGS: &[&str] = &[
    "all", "all-namespaces", "allow-missing-template-keys", "dry-run", "field-manager", "field-selector", "filename",
    "kustomize", "list", "local", "output", "overwrite", "recursive", "resource-version", "selector",
    "show-managed-fields", "template",
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
    let is_pair = |word: &str| word.contains('=') || (word.ends_with('-') && word.len() > 1);
    let first = operands.iter().position(|word| is_pair(word)).unwrap_or(operands.len());
    if let Some(late) = operands[first..].iter().find(|word| !is_pair(word)) {
        return fail(format!("all resources must be specified before {noun} changes: {late}"));
    }
    Ok((operands[..first].to_vec(), operands[first..].to_vec()))
}

fn mark(session: &mut Session, kind: &Kind) -> Outcome {
    let format = session.format(false)?;
    let (resources, pairs) = resources_and_pairs(&session.operands().to_vec(), kind.noun)?;
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
            None => removed.push(pair.trim_end_matches('-').to_string()),
        }
    }
    let both: Vec<&String> = removed.iter().filter(|key| added.contains_key(key)).collect();
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
                .collect();
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
        let gone: Vec<&String> = removed.iter().filter(|key| before.contains_key(key)).collect();
        let new: Vec<(&Text, &Value)> = added.iter().filter(|(key, value)| before.get(key) != Some(value)).collect();
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

pub const PATCH_FLAGS: &[&str] = &[
    "allow-missing-template-keys", "dry-run", "field-manager", "filename", "kustomize", "local", "output", "patch",
    "patch-file", "recursive", "show-managed-fields", "subresource", "template", "type",
];

pub fn patch(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let flags = session.flags.clone();
    let kind = match flags.text("type") {
        "" | "strategic" => PatchType::StrategicMerge,
        "merge" => PatchType::Merge,
        "json" => PatchType::Json,
        other => return fail(format!("--type must be one of [json merge strategic], not {other:?}")),
    };
    if flags.is_set("patch") && flags.is_set("patch-file") {
        return fail("cannot specify --patch and --patch-file together");
    }
    let text = match flags.text("patch-file") {
        "" => flags.text("patch").to_string(),
        path => match session.read_file(path) {
            Ok(text) => text.to_string(),
            Err(error) => {
                let message = error.message().to_lowercase();
                return fail(format!("unable to read patch file: open {path}: {message}"));
            }
        },
    };
    if text.is_empty() {
        return fail("must specify --patch or --patch-file containing the contents of the patch");
    }
    let body = match crate::api::yaml::read(&text).into_iter().next() {
        Some(Ok(document)) => document.value,
        Some(Err(error)) => {
            let error = error.to_string();
            let error = error.strip_prefix("error converting YAML to JSON: ").unwrap_or(&error).to_string();
            return fail(format!("unable to parse {text:?}: {error}"));
        }
        None => Value::Null,
    };
    let (dry_run, local) = (session.dry_run()?, flags.switch("local"));
    let operands = session.operands().to_vec();
    let count = for_each(session, &operands, Rules::default(), |session, info| {
        let patched = if dry_run == DryRun::Client || local {
            let applied = match kind {
                PatchType::Json => patch::json_patch(&info.object, &body),
                PatchType::Merge => Ok(patch::merge_patch(&info.object, &body)),
                _ => patch::strategic_merge_patch(&info.object, &body, patch::place_of(&info.object)),
            };
            applied.map_err(|error| Failure::Message(error.to_string()))?
        } else {
            let request = patch_request(session, info, kind, body.clone(), "kubectl-patch")?;
            session.send(request.subresource(flags.text("subresource")))?
        };
        let changed = {
            let strip = |object: &Value| {
                let mut object = object.clone();
                object.remove("metadata.managedFields");
                object.remove("metadata.resourceVersion");
                object
            };
            strip(&patched) != strip(&info.object)
        };
        session.print_change(&format, &patched, if changed { "patched" } else { "patched (no change)" })
    })?;
    if count == 0 {
        return fail("no objects passed to patch");
    }
    Ok(())
}

pub const REPLACE_FLAGS: &[&str] = &[
    "allow-missing-template-keys", "cascade", "dry-run", "field-manager", "filename", "force", "grace-period",
    "kustomize", "output", "raw", "recursive", "save-config", "show-managed-fields", "subresource", "template",
    "timeout", "validate", "wait",
];

pub fn replace(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let flags = session.flags.clone();
    let (force, dry_run) = (flags.switch("force"), session.dry_run()?);
    let grace = flags.number("grace-period").unwrap_or(-1);
    if grace >= 0 && !force {
        return fail("--grace-period must have --force specified");
    }
    if flags.is_set("timeout") && !force {
        return fail("--timeout must have --force specified");
    }
    if force && dry_run != DryRun::No {
        return fail("--dry-run can not be used when --force is set");
    }
    if !session.has_files() {
        return fail("must specify --filename to replace");
    }
    let manifests = session.read_manifests()?;
    let (infos, bad) = (manifests.0.clone(), manifests.1.clone());
    if infos.is_empty() && bad.is_empty() {
        return fail("no objects passed to replace");
    }
    let manner = Manner { grace_period: Some(if grace < 0 { 0 } else { grace }), propagation: delete::propagation(session)? };
    let failures = session.each(&infos, bad, |session, info, mut failures| {
        let result = match force {
            true => replace_by_force(session, info, manner, &format),
            false => replace_one(session, info, dry_run, &format),
        };
        match result {
            Ok(()) => {}
            Err(Stop::Failure(failure)) => failures.push(failure),
            Err(halt) => return Err(halt),
        }
        Ok(failures)
    })?;
    Ok(Failure::many(failures)?)
}

fn replace_one(session: &mut Session, info: &Info, dry_run: DryRun, format: &Format) -> Outcome {
    let mut object = with_annotation(&info.object, session.flags.switch("save-config"));
    if dry_run != DryRun::Client {
        if !object.has("metadata.resourceVersion") {
            // Without a version the update is meant for whatever is there.
            match session.attempt(info.get_request())? {
                Ok(current) => {
                    object.set("metadata.resourceVersion", current.at("metadata.resourceVersion"));
                }
                Err(failure) => return Err(failure.with_source("replacing", &info.source).into()),
            }
        }
        let (manager, validation) = (session.field_manager("kubectl-replace"), session.field_validation()?);
        let subresource = session.flags.text("subresource").to_string();
        let request =
            request::update(&info.mapping.resource(), object).subresource(&subresource).options(|options| {
                options.field_manager = manager;
                options.field_validation = validation.into();
                options.dry_run = dry_run == DryRun::Server;
            });
        object = match session.attempt(request)? {
            Ok(object) => object,
            Err(failure) => return Err(failure.with_source("replacing", &info.source).into()),
        };
    }
    session.print_change(format, &object, "replaced")
}

fn replace_by_force(session: &mut Session, info: &Info, manner: Manner, format: &Format) -> Outcome {
    match session.attempt(delete::delete_request(info, manner, DryRun::No))? {
        Ok(answer) => {
            let kind = info.mapping.short_kind();
            let place = match info.mapping.namespaced() {
                true => format!(" from {} namespace", info.namespace),
                false => String::new(),
            };
            let word = if manner.grace_period == Some(0) { "force deleted" } else { "deleted" };
            session.println(format!("{kind} \"{}\" {word}{place}", info.name));
            let uid = answer.text("metadata.uid").to_string();
            let deadline = session.now() + Duration::from_secs(300);
            delete::wait_until_deleted(session, info, &uid, deadline)?;
        }
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure.into()),
    }
    let mut object = with_annotation(&info.object, session.flags.switch("save-config"));
    for field in ["resourceVersion", "uid", "creationTimestamp"] {
        object.remove(&format!("metadata.{field}"));
    }
    let request = create_request(session, info, object, "kubectl-replace", DryRun::No)?;
    let object = session.send(request)?;
    session.print_change(format, &object, "replaced")
}

pub const AUTOSCALE_FLAGS: &[&str] = &[
    "allow-missing-template-keys", "cpu", "cpu-percent", "dry-run", "field-manager", "filename", "kustomize", "max",
    "memory", "min", "name", "output", "recursive", "save-config", "show-managed-fields", "template",
];

pub fn autoscale(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let flags = session.flags.clone();
    let (least, most) = (flags.number("min").unwrap_or(-1), flags.number("max").unwrap_or(-1));
    if !flags.is_set("max") {
        return fail("required flag(s) \"max\" not set");
    }
    if most < 1 {
        return fail(format!("--max=MAXPODS is required and must be at least 1, max: {most}"));
    }
    if most < least {
        return fail(format!("--max=MAXPODS must be larger or equal to --min=MINPODS, max: {most}, min: {least}"));
    }
    if flags.is_set("cpu-percent") && flags.is_set("cpu") {
        return fail("--cpu-percent and --cpu are mutually exclusive");
    }
    let mut metrics = Vec::new();
    for (resource, text) in [("cpu", flags.text("cpu")), ("memory", flags.text("memory"))] {
        if text.is_empty() {
            continue;
        }
        let target = match text.strip_suffix('%') {
            Some(percent) => match percent.parse::<i64>() {
                Ok(percent) => object! { "averageUtilization" => percent, "type" => "Utilization" },
                Err(_) => return fail(format!("invalid percentage value: {percent}")),
            },
            None => match crate::api::quantity::Quantity::normalize(text) {
                Ok(quantity) => object! { "averageValue" => quantity, "type" => "AverageValue" },
                Err(_) => return fail(format!("invalid resource {resource} value: {text}")),
            },
        };
        metrics.push(object! { "resource" => object! { "name" => resource, "target" => target }, "type" => "Resource" });
    }
    if let Some(percent) = flags.number("cpu-percent").filter(|percent| *percent >= 0) {
        let target = object! { "averageUtilization" => percent, "type" => "Utilization" };
        metrics.push(object! { "resource" => object! { "name" => "cpu", "target" => target }, "type" => "Resource" });
    }
    let dry_run = session.dry_run()?;
    let operands = session.operands().to_vec();
    let count = for_each(session, &operands, Rules::default(), |session, info| {
        if info.mapping.info.subresource("scale").is_none() {
            return fail(format!("cannot autoscale a {}: no such scale", info.mapping.info.kind));
        }
        let name = match flags.text("name") {
            "" => info.name.clone(),
            name => name.to_string(),
        };
        let target = object! {
            "apiVersion" => info.mapping.api_version(), "kind" => info.mapping.info.kind.clone(), "name" => info.name.as_str(),
        };
        let mut object = network::autoscaler(&name, target, least, most, metrics.clone());
        if dry_run != DryRun::Client {
            let mapping = session.built_in("autoscaling", "horizontalpodautoscalers");
            let made = Info { mapping, name, ..info.clone() };
            object = with_annotation(&object, session.flags.switch("save-config"));
            let request = create_request(session, &made, object, "kubectl-autoscale", dry_run)?;
            object = session.send(request)?;
        }
        session.print_change(&format, &object, "autoscaled")
    })?;
    if count == 0 {
        return fail("no objects passed to autoscale");
    }
    Ok(())
}

pub const EXPOSE_FLAGS: &[&str] = &[
    "allow-missing-template-keys", "cluster-ip", "dry-run", "external-ip", "field-manager", "filename", "kustomize",
    "l=labels", "load-balancer-ip", "name", "output", "overrides", "override-type", "port", "protocol", "recursive",
    "save-config", "selector", "session-affinity", "show-managed-fields", "target-port", "template", "type",
];

pub fn expose(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let operands = session.operands().to_vec();
    let dry_run = session.dry_run()?;
    // `--selector` is the new Service's here, and does not choose what is exposed.
    let selection = {
        let mut flags = (*session.flags).clone();
        flags.set("selector", "");
        let outer = std::mem::replace(&mut session.flags, flags.into());
        let selection = session.select(&operands, Rules::default());
        session.flags = outer;
        selection?
    };
    let (infos, failures) = match selection {
        super::builder::Selection::Files { infos, failures, .. } => (infos, failures),
        other => session.fetch(other)?,
    };
    for info in &infos {
        let mut service = service_for(session, info)?;
        if session.has_explicit_namespace() {
            service.set("metadata.namespace", info.namespace.as_str());
        }
        if dry_run != DryRun::Client {
            let made = Info {
                mapping: session.built_in("", "services"),
                name: service.text("metadata.name").to_string(),
                ..info.clone()
            };
            let request = create_request(session, &made, service, "kubectl-expose", dry_run)?;
            service = session.send(request)?;
        }
        session.print_change(&format, &service, "exposed")?;
    }
    Ok(Failure::many(failures)?)
}

fn service_for(session: &Session, info: &Info) -> Outcome<Value> {
    let (flags, object) = (&session.flags, &info.object);
    let kind = info.mapping.info.kind.as_str();
    let can_expose = matches!(kind, "ReplicationController" | "Service" | "Pod" | "Deployment" | "ReplicaSet");
    if !can_expose {
        return fail(format!("cannot expose a {}", info.mapping.kind_go_string().replace("/, Kind", "/__internal, Kind")));
    }
    let selector = match flags.text("selector") {
        "" => match kind {
            "Pod" => object.at("metadata.labels"),
            "Service" | "ReplicationController" => object.at("spec.selector"),
            _ if object.has("spec.selector.matchExpressions") => {
                return fail("couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions - \"match expressions\" to map-based selector format");
            }
            _ => object.at("spec.selector.matchLabels"),
        }
        .clone(),
        text => workload::labels(text)?,
    };
    if selector.is_empty() {
        return fail(match kind {
            "Pod" => "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed",
            "Service" => "couldn't retrieve selectors via --selector flag or introspection: the service has no pod selector set",
            _ => "couldn't retrieve selectors via --selector flag or introspection: invalid deployment: no selectors, therefore cannot be exposed",
        });
    }
    let labels = match flags.text("labels") {
        "" => object.at("metadata.labels").clone(),
        text => workload::labels(text)?,
    };
    let pod_spec = if kind == "Pod" { object.at("spec") } else { object.at("spec.template.spec") };
    let found: Vec<(i64, String)> = if kind == "Service" {
        let ports = object.items("spec.ports").iter();
        ports.map(|port| (port.integer("port").unwrap_or(0), port.text("protocol").to_string())).collect()
    } else {
        let containers = pod_spec.items("containers").iter().flat_map(|container| container.items("ports"));
        containers.map(|port| (port.integer("containerPort").unwrap_or(0), port.text("protocol").to_string())).collect()
    };
    let wanted: Vec<i64> = match flags.text("port") {
        "" => found.iter().map(|(port, _)| *port).collect(),
        text => {
            let ports: Result<Vec<i64>, _> = text.split(',').map(str::parse).collect();
            match ports {
                Ok(ports) => ports,
                Err(_) => return fail(format!("strconv.Atoi: parsing {text:?}: invalid syntax")),
            }
        }
    };
    if wanted.is_empty() {
        return fail("couldn't find port via --port flag or introspection");
    }
    let several = wanted.len() > 1;
    let mut ports = Vec::new();
    for (index, port) in wanted.iter().enumerate() {
        let protocol = match flags.text("protocol") {
            "" => found.iter().find(|(other, _)| other == port).map_or("TCP", |(_, protocol)| protocol).to_string(),
            protocol => protocol.to_string(),
        };
        let protocol = if protocol.is_empty() { "TCP".to_string() } else { protocol };
        let target = match flags.text("target-port") {
            "" => Value::from(*port),
            text => crate::api::int_or_string::parse(text),
        };
        let name = several.then(|| format!("port-{}", index + 1));
        ports.push(network::port(name.as_deref(), *port, &protocol, target));
    }
    let name = match flags.text("name") {
        "" => info.name.clone(),
        name => name.to_string(),
    };
    let mut service = network::exposing(&name, labels, selector, ports);
    for (flag, field) in [
        ("type", "type"),
        ("cluster-ip", "clusterIP"),
        ("load-balancer-ip", "loadBalancerIP"),
        ("session-affinity", "sessionAffinity"),
    ] {
        if !flags.text(flag).is_empty() {
            service.set(&format!("spec.{field}"), flags.text(flag));
        }
    }
    if !flags.text("external-ip").is_empty() {
        service.set("spec.externalIPs", array![flags.text("external-ip")]);
    }
    overridden(session, service)
}

/// `--overrides`, laid over the object.
fn overridden(session: &Session, object: Value) -> Outcome<Value> {
    let text = session.flags.text("overrides");
    if text.is_empty() {
        return Ok(object);
    }
    let over: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return fail(format!("Error parsing overrides: {error}")),
    };
    match session.flags.text("override-type") {
        "strategic" => patch::strategic_merge_patch(&object, &over, patch::place_of(&object))
            .map_err(|error| Failure::Message(error.to_string()).into()),
        "json" => patch::json_patch(&object, &over).map_err(|error| Failure::Message(error.to_string()).into()),
        _ => Ok(patch::merge_patch(&object, &over)),
    }
}

pub const RUN_FLAGS: &[&str] = &[
    "allow-missing-template-keys", "annotations", "attach", "cascade", "command", "dry-run", "env", "expose",
    "field-manager", "filename", "force", "grace-period", "image", "image-pull-policy", "kustomize", "l=labels",
    "leave-stdin-open", "output", "overrides", "override-type", "pod-running-timeout", "port", "privileged", "quiet",
    "recursive", "restart", "rm", "save-config", "show-managed-fields", "stdin", "template", "timeout", "tty", "wait",
];

pub fn run(session: &mut Session) -> Outcome {
    let flags = session.flags.clone();
    let command = session.command.clone();
    let usage = |text: &str| {
        Err(Failure::Exact(format!("error: {text}\nSee '{command} -h' for help and examples")).into())
    };
    if !flags.is_set("image") {
        return fail("required flag(s) \"image\" not set");
    }
    let Some(name) = session.operands().first().cloned() else { return usage("NAME is required for run") };
    let image = flags.text("image");
    let is_image = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if image.is_empty() {
        return fail("--image is required");
    }
    if !image.chars().all(is_image) || image.split(':').next().is_some_and(|name| name.chars().any(char::is_uppercase)) {
        return fail(format!("Invalid image name {image:?}: invalid reference format"));
    }
    if flags.switch("tty") && !flags.switch("stdin") {
        return usage("-i/--stdin is required for containers with -t/--tty=true");
    }
    if flags.switch("expose") && flags.text("port").is_empty() {
        return usage("--port must be set when exposing a service");
    }
    let attaches = if flags.is_set("attach") { flags.switch("attach") } else { flags.switch("stdin") };
    if flags.switch("rm") && !attaches {
        return usage("--rm should only be used for attached containers");
    }
    let dry_run = session.dry_run()?;
    if attaches && dry_run != DryRun::No {
        return usage("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)");
    }
    let format = session.format(false)?;
    let pod = workload::pod(session, &name)?;
    let mut pod = overridden(session, pod)?;
    let mut objects = Vec::new();
    let namespace = session.namespace();
    if session.has_explicit_namespace() {
        pod.set("metadata.namespace", namespace.as_str());
    }
    let labels = pod.at("metadata.labels").clone();
    let pods = session.built_in("", "pods");
    let info = Info { mapping: pods, namespace, name: name.clone(), object: Value::Null, source: String::new() };
    if dry_run != DryRun::Client {
        let request = create_request(session, &info, with_annotation(&pod, flags.switch("save-config")), "kubectl-run", dry_run)?;
        pod = session.send(request)?;
    }
    objects.push(pod);
    if flags.switch("expose") {
        let port = flags.number("port").unwrap_or(0);
        let mut service =
            network::exposing(&name, Value::Null, labels, vec![network::port(None, port, "TCP", Value::from(port))]);
        if dry_run != DryRun::Client {
            let made = Info { mapping: session.built_in("", "services"), ..info.clone() };
            let request = create_request(session, &made, service, "kubectl-run", dry_run)?;
            service = session.send(request)?;
        }
        objects.insert(0, service);
    }
    if attaches {
        return super::logs::follow_run(session, &info, flags.switch("rm"));
    }
    for object in &objects {
        session.print_change(&format, object, "created")?;
    }
    Ok(())
}
