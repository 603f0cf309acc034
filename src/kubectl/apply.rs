//! `kubectl apply`, and what it shares with `diff`: three versions of an object and the patch between them.
//!
//! Picture to hold in mind: three pages side by side: what I wrote last time (kept in an annotation), what I
//! write now, what the cluster has. See [`crate::api::patch::diff`].
//!
//! Follows `k8s.io/kubectl/pkg/cmd/apply` (apply.go, patcher.go) and `pkg/util/apply.go`.

use crate::api::{Text, Value, patch};
use crate::client::request;
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::Duration;

use super::builder::{Info, MISSING};
use super::failure::{Failure, Outcome, fail, misused};
use super::print::{Format, list_of};
use super::session::{DryRun, Session};

pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
pub const FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "cascade",
    "dry-run",
    "field-manager@kubectl-client-side-apply",
    "filename",
    "force",
    "force-conflicts",
    "grace-period",
    "kustomize",
    "openapi-patch",
    "output",
    "overwrite@true",
    "prune",
    "prune-allowlist",
    "recursive",
    "selector",
    "server-side",
    "show-managed-fields",
    "subresource",
    "template",
    "timeout",
    "validate",
    "wait@false",
];
const MAXIMUM_RETRIES: u32 = 5;

pub fn run(session: &mut Session) -> Outcome {
    if session.flags.switch("prune") {
        return fail(crate::fidelity::message("kubectl", "apply --prune").unwrap_or_default());
    }
    if !session.operands().is_empty() {
        let words = ["Unexpected args: [", &session.operands().join(" "), "]"].concat();
        return misused(&session.command, &words);
    }
    let server_side = session.flags.switch("server-side");
    if session.flags.switch("force-conflicts") && !server_side {
        return fail("--force-conflicts only works with --server-side");
    }
    if session.dry_run()? == DryRun::Client && server_side {
        return fail(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        );
    }
    if session.flags.switch("force") && server_side {
        return fail("--force cannot be used with --server-side");
    }
    let format = session.format(false)?;
    let manifests = session.read_manifests()?;
    let (chosen, bad) = &*manifests;
    if chosen.is_empty() && bad.is_empty() {
        return fail("no objects passed to apply");
    }
    let bad: Vec<Failure> = Failure::many(bad.clone()).err().into_iter().collect();
    let done = session.each_alone(chosen, &bad, |session, info| {
        if server_side { apply_on_server(session, info, &format) } else { apply_one(session, info, &format) }
    })?;
    if prints_objects(&format) && !done.1.is_empty() {
        let shown = match done.1.as_slice() {
            [one] => one.clone(),
            several => list_of(several.to_vec()),
        };
        session.print_object(&format, &shown)?;
    }
    Ok(Failure::many(done.0.clone())?)
}

/// Whether objects are gathered and shown at the end instead of a line each.
fn prints_objects(format: &Format) -> bool {
    !matches!(format, Format::Human { .. } | Format::Name)
}

/// Prints a line, unless the object is shown at the end.
fn finish(session: &mut Session, format: &Format, object: Value, operation: &str) -> Outcome<Value> {
    if !prints_objects(format) {
        session.print_change(format, &object, operation)?;
    }
    Ok(object)
}

/// What the user writes now, with itself in the annotation.
pub fn modified_configuration(object: &Value) -> Value {
    let mut modified = object.clone();
    if let Some(annotations) = modified.get_mut("metadata.annotations") {
        annotations.make_object().remove(LAST_APPLIED);
    } else {
        modified.set("metadata.annotations", Value::object());
    }
    let record = go_compact_json(&modified) + "\n";
    modified.at_mut("metadata.annotations").make_object().insert(LAST_APPLIED, Text::from(record));
    modified
}
/// The annotation brought up to date, if there is one or `always`: `--save-config`.
pub fn with_annotation(object: &Value, always: bool) -> Value {
    if always || object.map("metadata.annotations").contains_key(LAST_APPLIED) {
        modified_configuration(object)
    } else {
        object.clone()
    }
}

/// JSON in one line as Go writes it: `<`, `>` and `&` are escaped.
pub fn go_compact_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What was applied the last time, `Null` without a record.
fn original_configuration(current: &Value) -> Outcome<Value> {
    let record = current.map("metadata.annotations").get(LAST_APPLIED).and_then(Value::as_str).unwrap_or("");
    if record.is_empty() {
        return Ok(Value::Null);
    }
    match serde_json::from_str(record) {
        Ok(value) => Ok(value),
        Err(error) => fail(format!("retrieving original configuration: {error}")),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::from(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect::<crate::api::value::Map>(),
        ),
        Value::Array(items) => Value::from(items.iter().map(without_nulls).collect::<Vec<Value>>()),
        other => other.clone(),
    }
}

/// The patch from what the cluster has to what is wanted, and its kind.
pub fn three_way(current: &Value, modified: &Value, custom: bool) -> Outcome<(PatchType, Value)> {
    let original = original_configuration(current)?;
    match patch::place_of(current).filter(|_| !custom) {
        Some(place) => match patch::three_way(&original, modified, current, place) {
            Ok(patch) => Ok((PatchType::StrategicMerge, patch)),
            Err(error) => fail(format!(
                "creating patch with:\noriginal:\n{original}\nmodified:\n{modified}\ncurrent:\n{current}\nfor: {error}"
            )),
        },
        None => Ok((PatchType::Merge, patch::three_way_json(&original, modified, current))),
    }
}

/// Reads an object; a missing one in a missing namespace is the namespace's failure (`Info.Get`).
pub fn get_or_namespace(session: &mut Session, info: &Info) -> Outcome<Result<Value, Failure>> {
    if info.name.is_empty() {
        return Ok(Err(Failure::Message("resource name may not be empty".into())));
    }
    let failure = match session.attempt(info.get_request())? {
        Ok(object) => return Ok(Ok(object)),
        Err(failure) => failure,
    };
    if failure.is_not_found() && !info.namespace.is_empty() && info.namespace != "default" {
        let namespaces = session.built_in("", "namespaces").resource();
        if let Err(missing) = session.attempt(request::get(&namespaces, "", &info.namespace))?
            && missing.is_not_found()
        {
            return Ok(Err(missing));
        }
    }
    Ok(Err(failure))
}

fn apply_one(session: &mut Session, info: &Info, format: &Format) -> Outcome<Value> {
    let generate_name = info.object.text("metadata.generateName");
    if info.name.is_empty() && !generate_name.is_empty() {
        return fail(format!("from {generate_name}: cannot use generate name with apply"));
    }
    let dry_run = session.dry_run()?;
    let modified = modified_configuration(&info.object);
    let current = match get_or_namespace(session, info)? {
        Ok(current) => current,
        Err(failure) if failure.is_not_found() => {
            let mut object = without_nulls(&modified);
            if dry_run != DryRun::Client {
                let created = create_request(session, info, object, "kubectl-client-side-apply", dry_run)?;
                object = match session.attempt(created)? {
                    Ok(object) => object,
                    Err(failure) => return Err(failure.with_source("creating", &info.source).into()),
                };
            }
            return finish(session, format, object, "created");
        }
        Err(failure) => {
            let verb =
                format!("retrieving current configuration of:\n{}\nfrom server for:", info.description());
            return Err(failure.with_source(&verb, &info.source).into());
        }
    };
    if !current.map("metadata.annotations").contains_key(LAST_APPLIED) {
        session.eprintln(format!(
            "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
            info.object_name()
        ));
    }
    let (patched, changed) = match patch_with_retries(session, info, current, &modified, dry_run)? {
        Ok(patched) => patched,
        Err((patch, failure)) => {
            let verb = format!("applying patch:\n{patch}\nto:\n{}\nfor:", info.description());
            return Err(failure
                .with_source("patching", &info.source)
                .with_source(&verb, &info.source)
                .into());
        }
    };
    if patched.has("metadata.deletionTimestamp") {
        session.eprintln(format!(
            "Warning: Detected changes to resource {} which is currently being deleted.",
            info.name
        ));
    }
    finish(session, format, patched, if changed { "configured" } else { "unchanged" })
}

type Patched = Result<(Value, bool), (String, Failure)>;

fn patch_with_retries(
    session: &mut Session,
    info: &Info,
    mut current: Value,
    modified: &Value,
    dry_run: DryRun,
) -> Outcome<Patched> {
    let manager = session.field_manager("kubectl-client-side-apply");
    let validation = session.field_validation()?;
    let mut tries = 0;
    loop {
        let (kind, patch) = three_way(&current, modified, info.mapping.info.custom)?;
        if patch.is_empty() {
            return Ok(Ok((current, false)));
        }
        if dry_run == DryRun::Client {
            let place = patch::place_of(&current);
            let patched = match kind {
                PatchType::StrategicMerge => patch::strategic_merge_patch(&current, &patch, place)
                    .map_err(|error| Failure::Message(format!("applying patch locally: {error}")))?,
                _ => patch::merge_patch(&current, &patch),
            };
            return Ok(Ok((patched, true)));
        }
        let place = (info.namespace.as_str(), info.name.as_str());
        let request = request::patch(&info.mapping.resource(), place.0, place.1, kind, patch.clone())
            .options(|options| {
                options.field_manager = manager.clone();
                options.field_validation = validation.into();
                options.dry_run = dry_run == DryRun::Server;
            });
        match session.attempt(request)? {
            Ok(object) => return Ok(Ok((object, true))),
            Err(failure) if failure.reason() == "Conflict" && tries < MAXIMUM_RETRIES => {
                tries += 1;
                if tries > 1 {
                    session.cli.sleep(Duration::from_secs(1))?;
                }
                match session.attempt(info.get_request())? {
                    Ok(object) => current = object,
                    Err(failure) => return Ok(Err((patch.to_string(), failure))),
                }
            }
            Err(failure)
                if matches!(failure.reason(), "Conflict" | "Invalid") && session.flags.switch("force") =>
            {
                return replace_by_force(session, info, modified).map(|object| Ok((object, true)));
            }
            Err(failure) => return Ok(Err((patch.to_string(), failure))),
        }
    }
}

/// `--force`: what cannot be patched is deleted and made anew.
fn replace_by_force(session: &mut Session, info: &Info, modified: &Value) -> Outcome<Value> {
    session.send(request::delete(&info.mapping.resource(), &info.namespace, &info.name))?;
    loop {
        match session.attempt(info.get_request())? {
            Err(failure) if failure.is_not_found() => break,
            Err(failure) => return Err(failure.into()),
            Ok(_) => session.cli.sleep(Duration::from_secs(1))?,
        }
    }
    let request = create_request(session, info, modified.clone(), "kubectl-client-side-apply", DryRun::No)?;
    session.send(request)
}

/// The request that makes `object`.
pub fn create_request(
    session: &Session,
    info: &Info,
    object: Value,
    manager: &str,
    dry_run: DryRun,
) -> Outcome<crate::message::rest::Request> {
    let (manager, validation) = (session.field_manager(manager), session.field_validation()?);
    Ok(request::create(&info.mapping.resource(), &info.namespace, object).options(|options| {
        options.field_manager = manager;
        options.field_validation = validation.into();
        options.dry_run = dry_run == DryRun::Server;
    }))
}

fn apply_on_server(session: &mut Session, info: &Info, format: &Format) -> Outcome<Value> {
    let dry_run = session.dry_run()?;
    let (manager, validation) = (session.field_manager("kubectl"), session.field_validation()?);
    let force = session.flags.switch("force-conflicts");
    let place = (info.namespace.as_str(), info.name.as_str());
    if info.name.is_empty() {
        return fail("resource name may not be empty");
    }
    let request =
        request::patch(&info.mapping.resource(), place.0, place.1, PatchType::Apply, info.object.clone())
            .subresource(session.flags.text("subresource"))
            .options(|options| {
                options.field_manager = manager;
                options.field_validation = validation.into();
                options.force = force;
                options.dry_run = dry_run == DryRun::Server;
            });
    match session.attempt(request)? {
        Ok(object) => {
            if object.has("metadata.deletionTimestamp") {
                session.eprintln(format!(
                    "Warning: Detected changes to resource {} which is currently being deleted.",
                    info.name
                ));
            }
            finish(session, format, object, "serverside-applied")
        }
        Err(failure) if failure.reason() == "Conflict" => {
            fail(format!("{}{CONFLICT_ADVICE}", failure.text()))
        }
        Err(failure) => Err(failure.into()),
    }
}

const CONFLICT_ADVICE: &str = "
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

pub const SET_LAST_APPLIED_FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "create-annotation",
    "dry-run",
    "filename",
    "output",
    "show-managed-fields",
    "template",
];

/// `kubectl apply set-last-applied`: writes the record without touching the rest.
pub fn set_last_applied(session: &mut Session) -> Outcome {
    let format = session.format(false)?;
    let dry_run = session.dry_run()?;
    if !session.has_files() {
        return fail(MISSING);
    }
    let manifests = session.read_manifests()?;
    let (infos, bad) = &*manifests;
    Failure::many(bad.clone())?;
    if infos.is_empty() {
        return fail("no objects passed to set-last-applied");
    }
    session.each(infos, (), |session, info, ()| {
        let current = session.send(info.get_request())?;
        let has_record = current.map("metadata.annotations").contains_key(LAST_APPLIED);
        if !has_record && !session.flags.switch("create-annotation") {
            return fail(format!(
                "no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation",
                info.name
            ));
        }
        let mut patch = Value::object();
        let record = modified_configuration(&info.object).map("metadata.annotations").get(LAST_APPLIED).cloned();
        patch.at_mut("metadata.annotations").make_object().insert(LAST_APPLIED, record.unwrap_or_default());
        let mut object = current;
        if dry_run != DryRun::Client {
            let request =
                request::patch(&info.mapping.resource(), &info.namespace, &info.name, PatchType::Merge, patch);
            object = session.send(request.options(|options| options.dry_run = dry_run == DryRun::Server))?;
        }
        session.print_change(&format, &object, "configured")
    })
}

pub fn view_last_applied(session: &mut Session) -> Outcome {
    let operands = session.operands().to_vec();
    let selection = session.select(&operands, super::builder::Rules::default())?;
    let (infos, failures) = session.fetch(selection)?;
    let as_json = session.flags.text("output") == "json";
    for info in infos {
        let record = info.object.map("metadata.annotations").get(LAST_APPLIED).and_then(Value::as_str);
        let Some(record) = record.and_then(|record| serde_json::from_str::<Value>(record).ok()) else {
            // Upstream wraps an error here that there is not.
            continue;
        };
        if as_json {
            session.println(super::print::go_json(&record).replace("    ", "  "));
        } else {
            session.print(crate::api::yaml::to_string(&record));
        }
    }
    Ok(Failure::many(failures)?)
}

/// A DeleteOptions body.
pub fn delete_options(grace_period: Option<i64>, propagation: &str) -> Value {
    let mut options = object! { "apiVersion" => "v1", "kind" => "DeleteOptions" };
    if let Some(seconds) = grace_period {
        options.set("gracePeriodSeconds", seconds);
    }
    if !propagation.is_empty() {
        options.set("propagationPolicy", propagation);
    }
    options
}
