//! `kubectl patch`: changes some fields of an object.
//!
//! Picture to hold in mind: a slip of corrections sent to the printer, instead of the whole book again.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/patch/patch.go`.

use crate::api::{Value, patch};
use crate::message::rest::PatchType;

use super::builder::Rules;
use super::change::{for_each, patch_request};
use super::failure::{Failure, Outcome, fail};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "dry-run",
    "field-manager@kubectl-patch",
    "filename",
    "kustomize",
    "local",
    "output",
    "patch",
    "patch-file",
    "recursive",
    "show-managed-fields",
    "subresource",
    "template",
    "type@strategic",
];

pub fn run(session: &mut Session) -> Outcome {
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
                let message = error.message().to_ascii_lowercase();
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
            match session.attempt(request.subresource(flags.text("subresource")))? {
                Err(Failure::Status(status)) if status.text("reason") == "UnsupportedMediaType" => {
                    let own = &info.mapping;
                    let what = [
                        "application/strategic-merge-patch+json is not supported by ",
                        &own.resource().api_version(),
                        ", Kind=",
                        &own.info.kind,
                        ": ",
                        status.text("message"),
                    ];
                    return fail(what.concat());
                }
                answer => answer?,
            }
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
