//! What commands that change objects share: fetch, do it to each, send only the change.
//!
//! Picture to hold in mind: a proof-reader's pen: fetch the page, mark the change, send only the mark.
//!
//! Follows `k8s.io/kubectl/pkg/cmd/util`.

use crate::api::{Value, patch};
use crate::client::request;
use crate::message::rest::{PatchType, Request};

use super::builder::{Info, Rules};
use super::failure::{Failure, Outcome, fail};
use super::session::{DryRun, Session};

/// Fetches what `operands` name and runs `step` for each; failures are gathered and told at the end.
pub fn for_each(
    session: &mut Session,
    operands: &[String],
    rules: Rules,
    mut step: impl FnMut(&mut Session, &Info) -> Outcome,
) -> Outcome<usize> {
    let found = session.find(operands, rules)?;
    let (infos, failures) = &*found;
    let count = infos.len();
    let done =
        session.each_alone(infos, failures, |session, info| step(session, info).map(|()| Value::Null))?;
    Failure::many(done.0.clone())?;
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

/// `--overrides`, laid over the object.
pub fn overridden(session: &Session, object: Value) -> Outcome<Value> {
    let text = session.flags.text("overrides");
    if text.is_empty() {
        return Ok(object);
    }
    let over: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => return fail("Invalid JSON Patch"),
    };
    match session.flags.text("override-type") {
        "strategic" => patch::strategic_merge_patch(&object, &over, patch::place_of(&object))
            .map_err(|error| Failure::Message(error.to_string()).into()),
        "json" => {
            patch::json_patch(&object, &over).map_err(|error| Failure::Message(error.to_string()).into())
        }
        _ => Ok(patch::merge_patch(&object, &over)),
    }
}
