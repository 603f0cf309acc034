//! Adopting what matches and belongs to nobody; releasing what no longer matches.
//!
//! Picture to hold in mind: a shepherd with a branding iron. A stray that looks like the flock is branded; a
//! sheep of the flock that has changed its coat is let go; another's brand is never touched.
//!
//! After `pkg/controller/controller_ref_manager.go`.

use crate::api::selector::LabelSelector;
use crate::api::{Text, Value, meta};
use crate::client::{Call, Delta, DeltaType, Interrupt, Store};
use crate::message::rest::PatchType;
use crate::{array, object};

use super::kinds::Kind;

/// The index under which dependents are filed by their controller; see [`by_controller`].
pub const CONTROLLER: &str = "controller";

/// Files an object under its controller's UID, an orphan under [`orphans`] of its namespace.
pub fn by_controller(object: &Value) -> Vec<Text> {
    vec![match meta::controller_of(object) {
        Some(owner) => owner.shared_text("uid"),
        None => orphans(meta::namespace(object)),
    }]
}

/// The value under which the orphans of `namespace` are filed.
pub fn orphans(namespace: &str) -> Text {
    arcstr::format!("/{namespace}")
}

/// The owner of kind `kind` that `reference` means, if it is still that one.
pub fn resolve<'a>(owners: &'a Store, kind: &Kind, namespace: &str, reference: &Value) -> Option<&'a Value> {
    if reference.text("kind") != kind.kind.as_str() {
        return None;
    }
    let owner = owners.get_by_name(namespace, reference.text("name"))?;
    (meta::uid(owner) == reference.text("uid")).then_some(owner)
}

/// The owners that news of a dependent concerns: its controller, the one it had before, and for an orphan all
/// that select it.
pub fn concerned<'a>(delta: &Delta, owners: &'a Store, kind: &Kind) -> Vec<&'a Value> {
    let dependent = &delta.object;
    let namespace = meta::namespace(dependent);
    let controller = meta::controller_of(dependent);
    let is_gone = delta.kind == DeltaType::Deleted;
    let old = delta.old.as_ref().filter(|_| delta.kind == DeltaType::Updated);
    let old_controller = old.and_then(meta::controller_of);
    let has_moved = old.is_some() && old_controller != controller;
    let mut concerned = Vec::new();
    if has_moved {
        concerned.extend(old_controller.and_then(|old| resolve(owners, kind, namespace, old)));
    }
    if let Some(controller) = controller {
        concerned.extend(resolve(owners, kind, namespace, controller));
        return concerned;
    }
    let is_same = old.is_some_and(|old| !has_moved && meta::labels(old) == meta::labels(dependent));
    if !is_gone && !is_same && !meta::is_deleting(dependent) && !meta::labels(dependent).is_empty() {
        let selects = |owner: &&Value| {
            LabelSelector::from_value(owner.at("spec.selector"))
                .is_ok_and(|selector| !selector.is_empty() && selector.matches_object(dependent))
        };
        concerned.extend(owners.in_namespace(namespace).filter(selects));
    }
    concerned
}

/// Who claims.
pub struct Claimant<'a> {
    pub owner: &'a Value,
    pub kind: &'a Kind,
    pub selector: &'a LabelSelector,
    /// Finalizers that adoption adds and release removes.
    pub finalizer: Option<&'static str>,
}

impl Claimant<'_> {
    /// Of `dependents`, of kind `kind`, those that belong to the owner once strays are adopted and strangers
    /// released.
    pub fn claim(
        &self,
        call: &mut Call,
        dependents: impl IntoIterator<Item = Value>,
        kind: &Kind,
    ) -> Result<Vec<Value>, Interrupt> {
        self.claim_if(call, dependents, kind, |_| true)
    }
    /// As [`Claimant::claim`], where besides the selector `is_member` must agree.
    pub fn claim_if(
        &self,
        call: &mut Call,
        dependents: impl IntoIterator<Item = Value>,
        kind: &Kind,
        is_member: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, Interrupt> {
        let uid = meta::uid(self.owner);
        let is_deleting = meta::is_deleting(self.owner);
        let mut may_adopt: Option<Result<(), String>> = None;
        let mut claimed = Vec::new();
        let mut errors: Vec<String> = Vec::new();
        for dependent in dependents {
            let matches = self.selector.matches_object(&dependent) && is_member(&dependent);
            match meta::controller_of(&dependent) {
                Some(owner) if owner.text("uid") != uid => {}
                Some(_) if matches => claimed.push(dependent),
                Some(_) if is_deleting => {}
                Some(_) => {
                    if let Err(status) = self.patch(call, &dependent, kind, self.release(&dependent))?
                        && !matches!(status.text("reason"), "NotFound" | "Invalid")
                    {
                        errors.push(status.text("message").to_owned());
                    }
                }
                None if is_deleting || !matches || meta::is_deleting(&dependent) => {}
                None => {
                    let verdict = match &may_adopt {
                        Some(verdict) => verdict.clone(),
                        None => may_adopt.insert(self.may_adopt(call)?).clone(),
                    };
                    if let Err(error) = verdict {
                        errors.push(format!(
                            "can't adopt {} {}/{} ({}): {error}",
                            kind.kind,
                            meta::namespace(&dependent),
                            meta::name(&dependent),
                            meta::uid(&dependent)
                        ));
                        continue;
                    }
                    match self.patch(call, &dependent, kind, self.adopt(&dependent))? {
                        Ok(_) => claimed.push(dependent),
                        Err(status) if status.text("reason") == "NotFound" => {}
                        Err(status) => errors.push(status.text("message").to_owned()),
                    }
                }
            }
        }
        if errors.is_empty() { Ok(claimed) } else { Err(Interrupt::Failed(aggregate(&errors))) }
    }

    /// Before the first adoption: a fresh look, past the cache, at whether the owner still wants anything.
    fn may_adopt(&self, call: &mut Call) -> Result<Result<(), String>, Interrupt> {
        let (namespace, name) = (meta::namespace(self.owner), meta::name(self.owner));
        let request = crate::client::request::get(&self.kind.resource, namespace, name);
        Ok(match call.attempt(request)? {
            Err(status) => Err(format!("can't recheck DeletionTimestamp: {}", status.text("message"))),
            Ok(fresh) if meta::uid(&fresh) != meta::uid(self.owner) => Err(format!(
                "can't recheck DeletionTimestamp: original {} {namespace}/{name} is gone: got uid {}, wanted {}",
                self.kind.kind,
                meta::uid(&fresh),
                meta::uid(self.owner)
            )),
            Ok(fresh) => match meta::deletion_timestamp(&fresh) {
                Some(since) => Err(format!("{namespace}/{name} has just been deleted at {since}")),
                None => Ok(()),
            },
        })
    }

    fn patch(
        &self,
        call: &mut Call,
        dependent: &Value,
        kind: &Kind,
        patch: Value,
    ) -> Result<Result<Value, Value>, Interrupt> {
        call.attempt(crate::client::request::patch(
            &kind.resource,
            meta::namespace(dependent),
            meta::name(dependent),
            PatchType::StrategicMerge,
            patch,
        ))
    }
    fn adopt(&self, dependent: &Value) -> Value {
        let mut metadata = object! {
            "uid" => meta::uid(dependent),
            "ownerReferences" => array![self.kind.controller_reference(self.owner)],
        };
        if let Some(finalizer) = self.finalizer {
            metadata.set("finalizers", array![finalizer]);
        }
        object! { "metadata" => metadata }
    }
    fn release(&self, dependent: &Value) -> Value {
        let mut metadata = object! {
            "uid" => meta::uid(dependent),
            "ownerReferences" => array![object! { "$patch" => "delete", "uid" => meta::uid(self.owner) }],
        };
        if let Some(finalizer) = self.finalizer {
            metadata.set("$deleteFromPrimitiveList/finalizers", array![finalizer]);
        }
        object! { "metadata" => metadata }
    }
}

/// Several errors in one, as `utilerrors.NewAggregate` prints them.
pub fn aggregate(errors: &[String]) -> Text {
    let mut unique: Vec<&str> = Vec::new();
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique.as_slice() {
        [one] => Text::from(*one),
        many => arcstr::format!("[{}]", many.join(", ")),
    }
}
