//! `kubectl scale`: sets how many replicas are wanted.
//!
//! Picture to hold in mind: a dial on the outside of the machine. Whoever turns it need not know what is inside:
//! every kind that can be scaled has the same dial, its `scale` subresource.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/scale/scale.go` and `pkg/scale/scale.go`.

use std::ops::ControlFlow;

use crate::api::Value;
use crate::client::request;
use crate::message::rest::PatchType;
use crate::object;
use crate::sim::Duration;

use super::builder::{Info, Rules};
use super::failure::{Failure, Outcome, fail};
use super::session::{DryRun, Session};

pub const FLAGS: &[&str] = &[
    "all",
    "allow-missing-template-keys",
    "current-replicas",
    "dry-run",
    "filename",
    "kustomize",
    "output",
    "record",
    "recursive",
    "replicas",
    "resource-version",
    "selector",
    "show-managed-fields",
    "template",
    "timeout",
];
/// Between two tries, and between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Conflicts are tried again for five minutes.
const TRIES: u32 = 300;

/// What must be so for the dial to be turned.
struct Precondition {
    replicas: i64,
    resource_version: String,
}

impl Precondition {
    /// Nothing when none is asked for: then the old size need not be looked up.
    fn asked_for(session: &Session) -> Option<Precondition> {
        let replicas = session.flags.number("current-replicas").unwrap_or(-1);
        let resource_version = session.flags.text("resource-version").to_string();
        (replicas != -1 || !resource_version.is_empty())
            .then_some(Precondition { replicas, resource_version })
    }
    fn check(&self, scale: &Value) -> Outcome {
        let replicas = scale.integer("spec.replicas").unwrap_or(0);
        if self.replicas != -1 && replicas != self.replicas {
            return fail(format!("Expected replicas to be {}, was {replicas}", self.replicas));
        }
        let version = scale.text("metadata.resourceVersion");
        if !self.resource_version.is_empty() && version != self.resource_version {
            return fail(format!("Expected resource version to be {}, was {version}", self.resource_version));
        }
        Ok(())
    }
}

pub fn run(session: &mut Session) -> Outcome {
    if !session.flags.is_set("replicas") {
        return fail("required flag(s) \"replicas\" not set");
    }
    let dry_run = session.dry_run()?;
    let format = session.format(false)?;
    let replicas = session.flags.number("replicas").unwrap_or(-1);
    if replicas < 0 {
        return fail("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
    }
    if session.flags.number("current-replicas").is_some_and(|count| count < -1) {
        return fail("The --current-replicas must specify an integer of -1 or greater");
    }
    let operands = session.operands().to_vec();
    let chosen = session.settle(|session| {
        let selection = session.select(&operands, Rules::default())?;
        session.fetch(selection)
    })?;
    let (infos, failures) = &*chosen;
    let precondition = Precondition::asked_for(session);
    if precondition.as_ref().is_some_and(|condition| !condition.resource_version.is_empty())
        && infos.len() > 1
    {
        return fail("cannot use --resource-version with multiple resources");
    }
    if infos.is_empty() {
        Failure::many(failures.clone())?;
        return fail("no objects passed to scale");
    }
    session.each(infos, (), |session, info, ()| {
        let mut size = replicas;
        if dry_run != DryRun::Client {
            size = turn(session, info, replicas, precondition.as_ref(), dry_run)?;
        }
        let mut object = info.object.clone();
        // Custom kinds may keep their number of replicas elsewhere.
        if matches!(info.mapping.info.group.as_str(), "" | "apps") {
            object.set("spec.replicas", size);
        }
        session.print_change(&format, &object, "scaled")
    })?;
    Ok(Failure::many(failures.clone())?)
}

/// Turns one dial, again if somebody else turned it at the same time, and waits if it is asked to; the new size.
fn turn(
    session: &mut Session,
    info: &Info,
    replicas: i64,
    precondition: Option<&Precondition>,
    dry_run: DryRun,
) -> Outcome<i64> {
    let scale = session.fold((0u32, Value::Null), |session, (tries, _)| {
        match try_to_turn(session, info, replicas, precondition, dry_run)? {
            Ok(scale) => Ok(ControlFlow::Break((tries, scale))),
            Err(failure) if failure.reason() == "Conflict" && tries < TRIES => {
                session.cli.sleep(INTERVAL)?;
                Ok(ControlFlow::Continue((tries + 1, Value::Null)))
            }
            Err(failure) => Err(failure.into()),
        }
    })?;
    let timeout_us = session.flags.duration_us("timeout").unwrap_or(0);
    if timeout_us > 0 && dry_run == DryRun::No {
        wait_for(session, info, replicas, timeout_us as u64)?;
    }
    Ok(scale.1.integer("spec.replicas").unwrap_or(replicas))
}

fn try_to_turn(
    session: &mut Session,
    info: &Info,
    replicas: i64,
    precondition: Option<&Precondition>,
    dry_run: DryRun,
) -> Outcome<Result<Value, Failure>> {
    let resource = info.mapping.resource();
    let manager = session.field_manager("kubectl");
    let request = match precondition {
        Some(precondition) => {
            let mut scale = match session.attempt(info.get_request().subresource("scale"))? {
                Ok(scale) => scale,
                Err(failure) => return Ok(Err(failure)),
            };
            precondition.check(&scale)?;
            scale.set("spec.replicas", replicas);
            request::update(&resource, scale)
        }
        None => {
            let patch = object! { "spec" => object! { "replicas" => replicas } };
            request::patch(&resource, &info.namespace, &info.name, PatchType::Merge, patch)
        }
    };
    session.attempt(request.subresource("scale").options(|options| {
        options.field_manager = manager;
        options.dry_run = dry_run == DryRun::Server;
    }))
}

/// Until as many are there as are wanted, or somebody wants another number.
fn wait_for(session: &mut Session, info: &Info, replicas: i64, timeout_us: u64) -> Outcome {
    let deadline = session.now() + Duration(timeout_us);
    session.fold((), |session, ()| {
        let scale = session.send(info.get_request().subresource("scale"))?;
        let wanted = scale.integer("spec.replicas").unwrap_or(0);
        if wanted != replicas || scale.integer("status.replicas").unwrap_or(0) == replicas {
            return Ok(ControlFlow::Break(()));
        }
        if session.now() + INTERVAL > deadline {
            return fail(format!("timed out waiting for {:?} to be synced", info.name));
        }
        session.cli.sleep(INTERVAL)?;
        Ok(ControlFlow::Continue(()))
    })
}
