//! `kubectl replace`: puts a manifest in the place of an object.
//!
//! Picture to hold in mind: a new sheet laid over the old one in the file; with `--force` the old one is torn up
//! first.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/replace/replace.go`.

use crate::api::Value;
use crate::client::request;
use crate::sim::Duration;

use super::apply::{create_request, with_annotation};
use super::builder::Info;
use super::delete::{self, Manner};
use super::failure::{Failure, Outcome, fail};
use super::print::Format;
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "allow-missing-template-keys",
    "cascade",
    "dry-run",
    "field-manager@kubectl-replace",
    "filename",
    "force",
    "grace-period",
    "kustomize",
    "output",
    "raw",
    "recursive",
    "save-config",
    "show-managed-fields",
    "subresource",
    "template",
    "timeout",
    "validate",
    "wait@false",
];

pub fn run(session: &mut Session) -> Outcome {
    session.refuse_raw()?;
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
        return fail("must specify one of -f and -k");
    }
    let manifests = session.read_manifests()?;
    let (infos, bad) = &*manifests;
    if infos.is_empty() && bad.is_empty() {
        return fail("no objects passed to replace");
    }
    let manner = Manner {
        // Nothing is removed at once: 0 is taken for 1.
        grace_period: (grace >= 0).then_some(grace.max(1)),
        propagation: delete::propagation(session)?,
    };
    let done = session.each_alone(infos, bad, |session, info| {
        match force {
            true => replace_by_force(session, info, manner, &format),
            false => replace_one(session, info, dry_run, &format),
        }
        .map(|()| Value::Null)
    })?;
    Ok(Failure::many(done.0.clone())?)
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
            session.println(format!("{kind} \"{}\" deleted{place}", info.name));
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
