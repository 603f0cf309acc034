//! Making and deleting pods for an owner, with the events that tell of it.
//!
//! Picture to hold in mind: a foundry: the template is the mould, each pod a cast of it, and each cast is
//! entered in the book. A first cast is tried alone; if it holds, two, then four at a time.
//!
//! After `RealPodControl` of `pkg/controller/controller_utils.go` and `slowStartBatch`.

use crate::api::{Text, Value};
use crate::array;
use crate::client::{Call, Interrupt, request};

use super::kinds::{Kind, POD};

/// A pod of `template` whose controller is `owner`; the API server completes its name.
pub fn from_template(template: &Value, owner: &Value, kind: &Kind) -> Value {
    let mut pod = Value::object();
    pod.set("apiVersion", &POD.api_version).set("kind", &POD.kind);
    for field in ["labels", "annotations", "finalizers"] {
        let path = format!("metadata.{field}");
        if template.has(&path) {
            pod.set(&path, template.at(&path));
        }
    }
    pod.set("metadata.generateName", arcstr::format!("{}-", owner.text("metadata.name")));
    pod.set("metadata.ownerReferences", array![kind.controller_reference(owner)]);
    pod.set("spec", template.at("spec"));
    pod
}

pub fn is_namespace_terminating(status: &Value) -> bool {
    status.items("details.causes").iter().any(|cause| cause.text("reason") == "NamespaceTerminating")
}

/// How a batch of creations ended.
#[derive(Debug, Default, PartialEq)]
pub struct Batches {
    /// How many were created (or need not be, because their namespace goes).
    pub successes: usize,
    pub error: Option<Text>,
}

/// Creates `pods` in batches of `first`, twice that, four times that and so on, until one fails.
pub fn create_in_batches(
    call: &mut Call,
    owner: &Value,
    pods: Vec<Value>,
    first: usize,
) -> Result<Batches, Interrupt> {
    let namespace = owner.shared_text("metadata.namespace");
    let mut batches = Batches::default();
    let (mut size, mut pods) = (first.max(1), pods.into_iter().peekable());
    while pods.peek().is_some() {
        let batch: Vec<_> =
            pods.by_ref().take(size).map(|pod| request::create(&POD.resource, &namespace, pod)).collect();
        for answer in call.all(batch)? {
            match answer {
                Ok(pod) => {
                    batches.successes += 1;
                    let message = arcstr::format!("Created pod: {}", pod.text("metadata.name"));
                    call.event(owner, "Normal", "SuccessfulCreate", message);
                }
                Err(status) if is_namespace_terminating(&status) => batches.successes += 1,
                Err(status) => {
                    let error = status.shared_text("message");
                    call.event(owner, "Warning", "FailedCreate", arcstr::format!("Error creating: {error}"));
                    batches.error.get_or_insert(error);
                }
            }
        }
        if batches.error.is_some() {
            break;
        }
        size *= 2;
    }
    Ok(batches)
}

/// How deletions ended.
#[derive(Debug, Default, PartialEq)]
pub struct Deletions {
    asked: usize,
    /// The names of the pods that will not be seen to go: refused, or gone already.
    pub refused: Vec<Text>,
    /// How many deletions failed for another reason than that the pod was gone.
    pub failed: usize,
    pub error: Option<Text>,
}

impl Deletions {
    pub fn done(&self) -> i64 {
        (self.asked - self.failed) as i64
    }
    pub fn outcome(self) -> Result<(), Interrupt> {
        self.error.map_or(Ok(()), |error| Err(Interrupt::Failed(error)))
    }
}

/// Deletes `pods`, all at once.
pub fn delete_all(call: &mut Call, owner: &Value, pods: &[Value]) -> Result<Deletions, Interrupt> {
    let mut deletions = Deletions { asked: pods.len(), ..Deletions::default() };
    if pods.is_empty() {
        return Ok(deletions);
    }
    let namespace = owner.shared_text("metadata.namespace");
    let requests = pods
        .iter()
        .map(|pod| request::delete(&POD.resource, &namespace, pod.text("metadata.name")))
        .collect();
    for (pod, answer) in pods.iter().zip(call.all(requests)?) {
        let name = pod.shared_text("metadata.name");
        match answer {
            Ok(_) => {
                call.event(owner, "Normal", "SuccessfulDelete", arcstr::format!("Deleted pod: {name}"));
            }
            Err(status) => {
                if status.text("reason") != "NotFound" {
                    let text = status.shared_text("message");
                    call.event(owner, "Warning", "FailedDelete", arcstr::format!("Error deleting: {text}"));
                    deletions.failed += 1;
                    deletions.error.get_or_insert(arcstr::format!("unable to delete pods: {text}"));
                }
                deletions.refused.push(name);
            }
        }
    }
    Ok(deletions)
}
