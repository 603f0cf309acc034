//! MutatingAdmissionPolicy: changes of the cluster's own, as expressions.
//!
//! Picture to hold in mind: a clerk at the gate who completes the visitor's form by the rules on the board, stamp by
//! stamp, and goes over it once more when a later stamp may have changed what an earlier one looked at.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/policy/mutating`; its cache of schemas is never behind here.

use super::policy::{Invocation, evaluate, names, subject_of};
use super::{Attributes, Operation};
use crate::api::cel::{self, Budget, Evaluator};
use crate::api::kind::{ResourceInfo, join_api_version};
use crate::api::patch;
use crate::api::schema::{Schema, SchemaType, Strictness, decode};
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value, meta};
use crate::apiserver::{ApiServer, conversion, custom, seam};

/// Why a mutation was not made.
enum Trouble {
    /// By the policy's fault: its failure policy says what follows.
    Policy(String),
    /// The answer to the request, whatever the policy says.
    Request(Status),
}

impl From<String> for Trouble {
    fn from(message: String) -> Trouble {
        Trouble::Policy(message)
    }
}

/// Which policies, with which bindings and parameters, are to look again when all plugins have had their turn.
pub(super) type Again = Vec<String>;

impl ApiServer {
    /// Changes the object as the policies say. `again` names those that may do so in the second round (`None`: it is
    /// the first); what is returned is to be asked again, if anything was changed at all.
    pub(super) fn mutate_by_policies(
        &self,
        attributes: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
        again: Option<&Again>,
    ) -> Result<Option<Again>, Status> {
        let shelves = (self.catalog.shelves.mutating_policies, self.catalog.shelves.mutating_policy_bindings);
        if attributes.operation == Operation::Delete {
            return Ok(None);
        }
        let old = old.unwrap_or(&Value::Null);
        let (invocations, misfits) = self.invocations(attributes, shelves, object, old);
        let mut troubles: Vec<(&Value, &Value, String, Reason)> = Vec::new();
        for misfit in &misfits {
            troubles.push((&misfit.policy, &misfit.binding, misfit.message.clone(), Reason::Forbidden));
        }
        let (mut invoked, mut is_changed) = (Again::new(), false);
        for invocation in &invocations {
            let Invocation { policy, binding, params, .. } = invocation;
            let spec = policy.at("spec");
            let subject = subject_of(attributes, &invocation.version, object, old);
            match self.fits(attributes, spec, &subject, params) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    troubles.push((policy, binding, error.to_string(), Reason::Invalid));
                    continue;
                }
            }
            let name = |object: &'_ Value| object.shared_text("metadata.name");
            let namespace = params.text("metadata.namespace");
            let key = [&*name(policy), &*name(binding), namespace, &*name(params)].join("/");
            if again.is_some_and(|again| !again.contains(&key)) {
                continue;
            }
            for mutation in spec.items("mutations") {
                match self.mutated(attributes, invocation, mutation, object, old) {
                    Ok(result) => {
                        *object = result;
                        is_changed = true;
                    }
                    Err(Trouble::Policy(message)) => {
                        troubles.push((policy, binding, message, Reason::Invalid));
                    }
                    Err(Trouble::Request(status)) => return Err(status),
                }
            }
            if spec.text("reinvocationPolicy") == "IfNeeded" {
                invoked.push(key);
            }
        }
        let strict: Vec<_> =
            troubles.iter().filter(|(policy, ..)| policy.text("spec.failurePolicy") != "Ignore").collect();
        let Some((.., reason)) = strict.first() else { return Ok(is_changed.then_some(invoked)) };
        let mut status = attributes.forbidden(object, "");
        status.reason = *reason;
        status.message = Text::new();
        for (policy, binding, message, _) in &strict {
            let name = policy.text("metadata.name");
            let message = match binding.text("metadata.name") {
                "" => format!("policy \"{name}\" denied request: {message}"),
                own => format!("policy '{name}' with binding '{own}' denied request: {message}"),
            };
            status = status.with_cause("", &message, "");
            if status.message.is_empty() {
                status.message = message.into();
            }
        }
        Err(status)
    }

    /// The object with one mutation made, and its defaults.
    fn mutated(
        &self,
        attributes: &Attributes,
        invocation: &Invocation,
        mutation: &Value,
        object: &Value,
        old: &Value,
    ) -> Result<Value, Trouble> {
        let spec = invocation.policy.at("spec");
        let subject = subject_of(attributes, &invocation.version, object, old);
        let names = names(attributes, &subject, &invocation.params, self.namespace_object(attributes));
        let judge = |check: &cel::Check, verb: &str| self.judge_check(attributes, check, verb);
        let mut evaluator = Evaluator::new(&names, Budget::WHOLE);
        evaluator.judge = Some(&judge);
        let is_json = mutation.text("patchType") == "JSONPatch";
        let own = mutation.at(if is_json { "jsonPatch" } else { "applyConfiguration" });
        let value = evaluate(attributes, &mut evaluator, spec, own.text("expression"))
            .map_err(|error| error.to_string())?;
        let info = attributes.info;
        let place = place_of(info, &invocation.version, &subject.object);
        // What a subresource carries may be of another kind.
        let is_own = matches!(attributes.subresource.as_str(), "" | "status");
        let mut result = if is_json {
            let patch = cel::json_patch(&value)?;
            match patch::json_patch(&subject.object, &patch) {
                // A test that fails keeps the patch from being made.
                Err(error) if error.to_string().ends_with("test failed") => subject.object.clone(),
                Err(error) => return Err(format!("JSON Patch: {error}").into()),
                Ok(patched) => patched,
            }
        } else {
            let mut config = cel::apply_configuration(&value)?;
            for name in ["apiVersion", "kind"] {
                config.set(name, subject.object.at(name));
            }
            patch::apply::lay_over(&subject.object, &config, place)
                .map_err(|error| format!("error applying patch: {error}"))?
        };
        for name in ["apiVersion", "kind"] {
            if result.get(name) != subject.object.get(name) {
                let message = format!("a policy may not change the {name} of an object");
                return Err(Trouble::Request(Status::internal_error(message)));
            }
        }
        if meta::namespace(&result) != meta::namespace(&subject.object) {
            return Err(Trouble::Request(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            )));
        }
        if let Some(place) = place.filter(|_| !info.custom) {
            let strictness = if is_json { Strictness::Strict } else { Strictness::Ignore };
            result = decode(place, &result, &[])
                .into_result(strictness)
                .map_err(|error| Trouble::Request(Status::internal_error(error)))?
                .0;
        }
        if info.custom {
            if let Some(kind) = &info.definition {
                result = custom::shown(kind, &attributes.request.resource.version, &result);
            }
        } else if is_own {
            let version = join_api_version(&info.group, &info.storage_version);
            if result.text("apiVersion") != object.text("apiVersion") {
                result = conversion::to_storage(&result, &version);
            }
            seam::default(info, &mut result);
        }
        Ok(if result == *object { object.clone() } else { result })
    }
}

/// The schema of what a policy sees.
fn place_of<'a>(info: &'a ResourceInfo, version: &str, object: &Value) -> Option<SchemaType<'a>> {
    match &info.definition {
        Some(kind) => kind.version(version)?.place(),
        None => Schema::built_in().of(object),
    }
}
