//! ValidatingAdmissionPolicy: rules of the cluster's own, as expressions.
//!
//! Picture to hold in mind: the guard who reads the rules on the board against the visitor's form. Breaking one closes
//! the gate, or earns a word, or an entry in the visitors' book, as the slip has it.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/policy/validating`.

use super::Attributes;
use super::policy::{Invocation, Subject, evaluate, names, subject_of};
use crate::api::cel::{self, Budget, Cel, Evaluator};
use crate::api::status::{Reason, Status};
use crate::api::{Text, Value};
use crate::apiserver::ApiServer;

/// What is held against a request, and the reason that the answer gives.
struct Objection {
    /// Which of the validations it was.
    index: usize,
    message: String,
    reason: Text,
    /// Refuses whatever the binding's actions are.
    is_final: bool,
}

impl Objection {
    fn new(message: impl Into<String>) -> Objection {
        Objection { index: 0, message: message.into(), reason: Text::new(), is_final: false }
    }
}

/// Of an annotation's value, in bytes.
const LONGEST_ANNOTATION: usize = 10 * 1024;

impl ApiServer {
    pub(super) fn check_policies(
        &self,
        attributes: &mut Attributes,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let shelves = (self.catalog.shelves.policies, self.catalog.shelves.policy_bindings);
        let old = old.unwrap_or(&Value::Null);
        let (invocations, misfits) = self.invocations(attributes, shelves, object, old);
        // Where it stands among the policies and their bindings, and why.
        let mut refusal: Option<((Text, Text), String, Text)> = None;
        let place = |policy: &Value, binding: &Value| {
            (policy.shared_text("metadata.name"), binding.shared_text("metadata.name"))
        };
        let mut refuse = |place: (Text, Text), message: String, reason: Text| {
            if refusal.as_ref().is_none_or(|(own, ..)| place < *own) {
                refusal = Some((place, message, reason));
            }
        };
        for misfit in misfits.iter().filter(|own| own.policy.text("spec.failurePolicy") != "Ignore") {
            let place = place(&misfit.policy, &misfit.binding);
            refuse(place, misfit.message.clone(), Text::new());
        }
        let mut annotations: Vec<(Text, Text)> = Vec::new();
        for invocation in &invocations {
            let Invocation { policy, binding, version, .. } = invocation;
            let (name, own) = place(policy, binding);
            let subject = subject_of(attributes, version, object, old);
            let (objections, notes) = self.objections(attributes, invocation, &subject);
            let actions = binding.items("spec.validationActions");
            let asks_for = |action: &str| actions.iter().any(|own| own.as_str() == Some(action));
            for Objection { index, message, reason, is_final } in objections {
                if !is_final && asks_for("Audit") {
                    let failure = [
                        ("message", Value::from(message.as_str())),
                        ("policy", Value::from(&name)),
                        ("binding", Value::from(&own)),
                        ("expressionIndex", Value::from(index)),
                        ("validationActions", binding.at("spec.validationActions").clone()),
                    ];
                    let key = "validation.policy.admission.k8s.io/validation_failure";
                    attributes.annotate(key, in_go_order(&failure));
                }
                if !is_final && asks_for("Warn") {
                    attributes.warnings.push(Text::from(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{own}': {message}"
                    )));
                }
                if is_final || asks_for("Deny") {
                    refuse((name.clone(), own.clone()), message, reason);
                }
            }
            for (key, value) in notes {
                let key = Text::from([name.as_str(), "/", &key].concat());
                if !annotations.iter().any(|(other, own)| *other == key && *own == value) {
                    annotations.push((key, value));
                }
            }
        }
        while let Some((key, _)) = annotations.first().cloned() {
            let values: Vec<&str> =
                annotations.iter().filter(|(own, _)| *own == key).map(|(_, value)| value.as_str()).collect();
            attributes.annotate(&key, values.join(", "));
            annotations.retain(|(own, _)| *own != key);
        }
        let Some(((name, own), message, reason)) = refusal else { return Ok(()) };
        let binding = if own.is_empty() { String::new() } else { format!(" with binding '{own}'") };
        let message = format!("ValidatingAdmissionPolicy '{name}'{binding} denied request: {message}");
        let named = if object.is_null() { old } else { object };
        let mut status = attributes.forbidden(named, &message).with_cause("", &message, "");
        (status.reason, status.code) = match reason.as_str() {
            "Unauthorized" => (Reason::Unauthorized, 401),
            "Forbidden" => (Reason::Forbidden, 403),
            "RequestEntityTooLarge" => (Reason::RequestEntityTooLarge, 413),
            _ => (Reason::Invalid, 422),
        };
        Err(status)
    }

    /// What one policy, with one parameter, holds against the request, and its audit annotations.
    fn objections(
        &self,
        attributes: &Attributes,
        invocation: &Invocation,
        subject: &Subject,
    ) -> (Vec<Objection>, Vec<(Text, Text)>) {
        let (spec, params) = (invocation.policy.at("spec"), &invocation.params);
        let is_strict = spec.text("failurePolicy") != "Ignore";
        let (mut objections, mut annotations) = (Vec::new(), Vec::new());
        // What stands for all that the policy has to say.
        let only = |error: Text| {
            let own = if is_strict { vec![Objection::new(error.as_str())] } else { Vec::new() };
            (own, Vec::new())
        };
        match self.fits(attributes, spec, subject, params) {
            Ok(true) => {}
            Err(error) => return only(error),
            Ok(false) => return (objections, annotations),
        }
        let whole = names(attributes, subject, params, self.namespace_object(attributes));
        let judge = |check: &cel::Check, verb: &str| self.judge_check(attributes, check, verb);
        // Each kind of expression works the variables out for itself; validations and their messages have one budget.
        let evaluator = |left: Budget| {
            let mut evaluator = Evaluator::new(&whole, left);
            evaluator.judge = Some(&judge);
            evaluator
        };
        let mut asked = evaluator(Budget::WHOLE);
        let mut outcomes = Vec::new();
        for validation in spec.items("validations") {
            match evaluate(attributes, &mut asked, spec, validation.text("expression")) {
                Err(error) if error == cel::OUT_OF_BUDGET => return only(error),
                outcome => outcomes.push(outcome.map(|value| value.as_bool() == Some(true))),
            }
        }
        let mut asked = evaluator(asked.left);
        let mut messages = Vec::new();
        let mut unpaid = None;
        for validation in spec.items("validations") {
            let expression = validation.text("messageExpression");
            match if expression.is_empty() {
                Ok(Cel::NULL)
            } else {
                evaluate(attributes, &mut asked, spec, expression)
            } {
                Err(error) if error == cel::OUT_OF_BUDGET => {
                    unpaid = Some(["failed messageExpression: ", &error].concat());
                    break;
                }
                own => messages.push(own.unwrap_or(Cel::NULL)),
            }
        }
        for (index, (validation, outcome)) in spec.items("validations").iter().zip(outcomes).enumerate() {
            let trouble = match (outcome, &unpaid) {
                (Err(error), _) => error.to_string(),
                (_, Some(error)) => error.clone(),
                (Ok(true), None) => continue,
                (Ok(false), None) => {
                    let own = messages.get(index).and_then(cel::message);
                    let message = match (own, validation.text("message").trim()) {
                        (Some(own), _) => own.to_owned(),
                        (None, "") => ["failed expression: ", validation.text("expression").trim()].concat(),
                        (None, message) => message.to_owned(),
                    };
                    let reason = validation.shared_text("reason");
                    objections.push(Objection { index, reason, ..Objection::new(message) });
                    continue;
                }
            };
            if is_strict {
                objections.push(Objection { index, ..Objection::new(trouble) });
            }
        }
        let mut asked = evaluator(Budget::WHOLE);
        for annotation in spec.items("auditAnnotations") {
            let expression = annotation.text("valueExpression").trim();
            let trouble = match evaluate(attributes, &mut asked, spec, expression) {
                Ok(value) => match &value {
                    Cel::Value(Value::Null) => continue,
                    Cel::Value(Value::String(text)) => {
                        let text = text.trim();
                        let mut end = text.len().min(LONGEST_ANNOTATION);
                        while !text.is_char_boundary(end) {
                            end -= 1;
                        }
                        if end > 0 {
                            annotations.push((annotation.shared_text("key"), text[..end].into()));
                        }
                        continue;
                    }
                    _ => format!(
                        "valueExpression '{expression}' resulted in unsupported return type: {}. Return type must be either string or null.",
                        value.type_name()
                    ),
                },
                Err(error) if error == cel::OUT_OF_BUDGET => return only(error),
                Err(_) if !is_strict => continue,
                Err(error) => error.to_string(),
            };
            objections.push(Objection { is_final: true, ..Objection::new(trouble) });
        }
        (objections, annotations)
    }
}

/// A list of one JSON object whose fields keep their order.
fn in_go_order(fields: &[(&str, Value)]) -> String {
    let mut text = String::from("[{");
    for (index, (name, value)) in fields.iter().enumerate() {
        text.push_str(if index > 0 { ",\"" } else { "\"" });
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&crate::api::field::go_json(value));
    }
    text.push_str("}]");
    text
}
