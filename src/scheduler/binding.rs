//! What follows from a scheduling cycle: the binding, or the word that there is no room, or making room.
//!
//! Picture to hold in mind: the registrar's secretary, who sends the letters and files the answers.
//!
//! After `schedule_one.go` (`bindingCycle`, `handleSchedulingFailure`) and `framework/preemption/executor.go`.

use std::sync::Arc;

use crate::api::volumes::is_bound;
use crate::api::{Text, Value, meta, time};
use crate::client::recorder::{EventDraft, reference};
use crate::client::{Answer, request};
use crate::language::Context;
use crate::message::rest::{PatchType, Request, Resource};
use crate::note::Note;
use crate::object;
use crate::sim::{Duration, Time};

use super::algorithm::Outcome;
use super::framework::{Event, View};
use super::pod_info::PodInfo;
use super::queue::QueuedPod;
use super::{KEPT_OUTCOMES, Purpose, SCHEDULER_NAME, Scheduler, algorithm, plugins, preemption};

/// For how long volumes are waited for.
const VOLUME_TIMEOUT: Duration = Duration::from_secs(600);
/// Notes of events are cut to this.
const NOTE_LENGTH: usize = 1024;

/// A pod that has a node and waits for its volumes.
#[derive(Clone)]
pub(super) struct VolumeWait {
    pod: Arc<PodInfo>,
    node: Text,
    since: Time,
    /// Writes without an answer.
    pending: usize,
}

/// A pod that goes so that another can come.
#[derive(Clone)]
pub(super) struct Victim {
    pod: Arc<PodInfo>,
    preemptor: Value,
    node: Text,
}

/// Why there is no node: the message, who turned the pod down, and where room could be made.
type NoNode = (Text, Vec<&'static str>, Option<preemption::Plan>);

fn pods() -> Resource {
    Resource::new("", "v1", "pods")
}

impl Scheduler {
    /// Takes the next pod and finds it a node.
    pub(super) fn cycle(&mut self, context: &mut Context) {
        let Some(queued) = self.queue.pop(context.now()) else { return };
        context.because(queued.cause, |context| self.schedule(context, &queued));
    }

    fn schedule(&mut self, context: &mut Context, queued: &QueuedPod) {
        let pod = &queued.pod;
        if pod.is_deleting {
            let message = arcstr::format!("skip schedule deleting pod: {}", pod.key);
            self.event(context, &pod.pod, "Warning", "FailedScheduling", "Scheduling", message, Value::Null);
            self.queue.remove(&pod.uid);
            return;
        }
        let (found, outcome) = self.attempt(context, pod);
        context.note(Note::Scheduling { pod: pod.key.clone(), node: outcome.node.clone() });
        self.outcomes.push_back((pod.key.clone(), Arc::new(outcome)));
        if self.outcomes.len() > KEPT_OUTCOMES {
            self.outcomes.pop_front();
        }
        match found {
            Ok(node) => self.assume(context, pod, &node),
            Err((message, rejectors, plan)) => {
                let nominated = plan.as_ref().map_or(Text::new(), |plan| plan.node.clone());
                self.fail(context, pod, message, rejectors, Some(nominated));
                if let Some(plan) = plan {
                    self.preempt(context, pod, plan);
                }
            }
        }
    }

    /// Runs one cycle: a node, or why there is none, and where room could be made; and all that is to be shown.
    fn attempt(&mut self, context: &mut Context, pod: &PodInfo) -> (Result<Text, NoNode>, Outcome) {
        self.cache.refresh();
        let nominations = self.nominations();
        let view = View { cache: &self.cache, stores: self.informers.stores(), informers: &self.lists };
        let mut cycle = algorithm::schedule(pod, &view, &nominations, &mut self.next_node, context.random());
        let found = match &mut cycle.result {
            Ok(node) => Ok(node.clone()),
            Err(failure) => {
                let plan = failure.filters.as_ref().map(|filters| {
                    let random = context.random();
                    preemption::plan(pod, &view, filters, &failure.rejections, &nominations, random)
                });
                let mut message = failure.message.clone();
                let plan = match plan {
                    Some(Ok(plan)) => Some(plan),
                    Some(Err(why)) => {
                        // Dynamic resources are asked first, and have nothing to give up.
                        message = arcstr::format!("{message} no new claims to deallocate, {why}");
                        None
                    }
                    None => None,
                };
                Err((message, std::mem::take(&mut failure.rejectors), plan))
            }
        };
        let mut outcome = cycle.outcome;
        match &found {
            Ok(node) => outcome.node = node.clone(),
            Err((message, ..)) => outcome.message = message.clone(),
        }
        (found, outcome)
    }

    /// Pencils `pod` in on `node`, and sends the binding, or first what its volumes need.
    fn assume(&mut self, context: &mut Context, pod: &Arc<PodInfo>, node: &Text) {
        let view = View { cache: &self.cache, stores: self.informers.stores(), informers: &self.lists };
        let mut writes: Vec<Request> = Vec::new();
        if let (Some(Ok(needs)), Some(info)) = (plugins::claim_needs(pod, &view), self.cache.node(node))
            && let Ok(volumes) = needs.volumes_on(info, &view)
        {
            for ((claim, _), volume) in needs.delayed.iter().zip(volumes) {
                writes.push(match volume {
                    Some(volume) => bind_volume(volume, claim),
                    None => select_node(claim, node),
                });
            }
        }
        self.cache.assume(pod.clone(), node);
        self.nominated.remove(&pod.uid);
        if writes.is_empty() {
            return self.bind(context, pod, node);
        }
        // While volumes are on their way, others may see where the pod is going.
        let patch = object! { "status" => object! { "nominatedNodeName" => node } };
        let request = request::patch(&pods(), &pod.namespace, pod.name(), PatchType::StrategicMerge, patch)
            .subresource("status");
        self.connection.send(context, self.window, request, Purpose::Status);
        let wait =
            VolumeWait { pod: pod.clone(), node: node.clone(), since: context.now(), pending: writes.len() };
        self.binding_volumes.insert(pod.uid.clone(), wait);
        for request in writes {
            self.connection.send(context, self.window, request, Purpose::Volume(pod.uid.clone()));
        }
    }
    fn bind(&mut self, context: &mut Context, pod: &PodInfo, node: &Text) {
        let binding = object! {
            "apiVersion" => "v1",
            "kind" => "Binding",
            "metadata" => object! {
                "name" => pod.name(),
                "namespace" => &pod.namespace,
                "uid" => &pod.uid,
            },
            "target" => object! { "kind" => "Node", "name" => node },
        };
        let request = request::create(&pods(), &pod.namespace, binding).subresource("binding");
        self.connection.send(context, self.window, request, Purpose::Bind(pod.uid.clone()));
    }
    pub(super) fn bound(&mut self, context: &mut Context, uid: &Text, answer: Answer) {
        let Some((pod, node)) = self.cache.pod(uid).map(|(pod, node)| (pod.clone(), node.clone())) else {
            return;
        };
        match answer.into_result() {
            Ok(_) => {
                self.queue.remove(uid);
                let message = arcstr::format!("Successfully assigned {} to {node}", pod.key);
                self.event(context, &pod.pod, "Normal", "Scheduled", "Binding", message, Value::Null);
            }
            Err(status) => self.unbind(context, &pod, status.shared_text("message")),
        }
    }
    /// The binding did not come about: the seat is free again, and the pod is tried again.
    fn unbind(&mut self, context: &mut Context, pod: &Arc<PodInfo>, message: Text) {
        if self.cache.is_assumed(&pod.uid) {
            self.cache.remove_pod(&pod.uid);
            self.move_pods(context, &Event::PodDeleted(pod));
        }
        self.fail(context, pod, message, Vec::new(), Some(Text::new()));
    }

    pub(super) fn volume_bound(&mut self, context: &mut Context, uid: &Text, answer: Answer) {
        let Some(wait) = self.binding_volumes.get_mut(uid) else { return };
        wait.pending -= 1;
        if let Err(status) = answer.into_result() {
            let pod = wait.pod.clone();
            self.binding_volumes.remove(uid);
            return self.unbind(context, &pod, status.shared_text("message"));
        }
        self.bind_where_volumes_are(context);
    }
    /// Binds the pods whose claims have all come to be bound.
    pub(super) fn bind_where_volumes_are(&mut self, context: &mut Context) {
        let claims = self.informers.store(self.lists.claims);
        let is_ready = |wait: &VolumeWait| {
            wait.pending == 0
                && wait.pod.pod.items("spec.volumes").iter().all(|volume| {
                    let name = if volume.has("persistentVolumeClaim") {
                        volume.shared_text("persistentVolumeClaim.claimName")
                    } else if volume.has("ephemeral") {
                        arcstr::format!("{}-{}", wait.pod.name(), volume.text("name"))
                    } else {
                        return true;
                    };
                    claims.get_by_name(&wait.pod.namespace, &name).is_some_and(is_bound)
                })
        };
        let ready: Vec<VolumeWait> =
            self.binding_volumes.values().filter(|wait| is_ready(wait)).cloned().collect();
        for wait in ready {
            self.binding_volumes.remove(&wait.pod.uid);
            self.bind(context, &wait.pod, &wait.node);
        }
    }
    pub(super) fn give_up_on_volumes(&mut self, context: &mut Context) {
        let now = context.now();
        let late: Vec<VolumeWait> = self
            .binding_volumes
            .values()
            .filter(|wait| now.since(wait.since) > VOLUME_TIMEOUT)
            .cloned()
            .collect();
        for wait in late {
            self.binding_volumes.remove(&wait.pod.uid);
            let message =
                "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
            self.unbind(context, &wait.pod, message.into());
        }
    }

    /// `pod` found no node. `rejectors` is empty after an error; `nominated` is where room is being made.
    fn fail(
        &mut self,
        context: &mut Context,
        pod: &Arc<PodInfo>,
        message: Text,
        rejectors: Vec<&'static str>,
        nominated: Option<Text>,
    ) {
        let is_error = rejectors.is_empty() && !message.starts_with("no nodes available");
        let uid = &pod.uid;
        // The queue knows the pod's latest state.
        let Some(pod) = self.queue.get(uid).map(|queued| queued.pod.clone()) else { return };
        let rejectors = if is_error || !rejectors.is_empty() { rejectors } else { vec!["NodeName"] };
        self.queue.fail(uid, rejectors, context.now());
        match &nominated {
            Some(node) if node.is_empty() => {
                self.nominated.remove(uid);
            }
            Some(node) => {
                self.nominated.insert(uid.clone(), (node.clone(), pod.clone()));
            }
            None => {}
        }
        let note = match message.char_indices().nth(NOTE_LENGTH - 4) {
            Some((end, _)) if message.chars().count() > NOTE_LENGTH => {
                arcstr::format!("{} ...", &message[..end])
            }
            _ => message.clone(),
        };
        self.event(context, &pod.pod, "Warning", "FailedScheduling", "Scheduling", note, Value::Null);
        let reason = if is_error { "SchedulerError" } else { "Unschedulable" };
        self.write_status(context, &pod, condition("PodScheduled", "False", reason, &message), nominated);
    }

    /// Writes a condition and a nomination, as far as they are news.
    fn write_status(
        &mut self,
        context: &mut Context,
        pod: &PodInfo,
        condition: Value,
        nominated: Option<Text>,
    ) {
        let mut status = Value::object();
        if let Some(condition) = changed_condition(&pod.pod, condition, context.now()) {
            status.set("conditions", vec![condition]);
        }
        if let Some(node) = nominated.filter(|node| *node != pod.nominated_node) {
            let node = if node.is_empty() { Value::Null } else { Value::from(node) };
            status.set("nominatedNodeName", node);
        }
        if status.is_empty() {
            return;
        }
        let patch = object! { "status" => status };
        let request = request::patch(&pods(), &pod.namespace, pod.name(), PatchType::StrategicMerge, patch)
            .subresource("status");
        self.connection.send(context, self.window, request, Purpose::Status);
    }

    /// Tells the victims, then deletes them.
    fn preempt(&mut self, context: &mut Context, pod: &Arc<PodInfo>, plan: preemption::Plan) {
        for victim in plan.victims {
            if victim.is_deleting {
                continue;
            }
            let message =
                arcstr::format!("{SCHEDULER_NAME}: preempting to accommodate a higher priority pod");
            let target = condition("DisruptionTarget", "True", "PreemptionByScheduler", &message);
            let uid = victim.uid.clone();
            let told = changed_condition(&victim.pod, target, context.now());
            let request = request::patch(
                &pods(),
                &victim.namespace,
                victim.name(),
                PatchType::StrategicMerge,
                object! { "status" => object! { "conditions" => told.into_iter().collect::<Vec<Value>>() } },
            );
            self.victims.insert(
                uid.clone(),
                Victim { pod: victim, preemptor: pod.pod.clone(), node: plan.node.clone() },
            );
            let request = request.subresource("status");
            self.connection.send(context, self.window, request, Purpose::Condemn(uid));
        }
        // Lesser pods that had been promised this node must look again.
        let displaced: Vec<Arc<PodInfo>> = self
            .nominated
            .values()
            .filter(|(node, other)| *node == plan.node && other.priority < pod.priority)
            .map(|(_, other)| other.clone())
            .collect();
        for other in displaced {
            self.nominated.remove(&other.uid);
            let patch = object! { "status" => object! { "nominatedNodeName" => Value::Null } };
            let request =
                request::patch(&pods(), &other.namespace, other.name(), PatchType::StrategicMerge, patch)
                    .subresource("status");
            self.connection.send(context, self.window, request, Purpose::Status);
        }
    }
    pub(super) fn condemned(&mut self, context: &mut Context, uid: &Text, answer: Answer) {
        let Some(victim) = self.victims.get(uid) else { return };
        if answer.into_result().is_err() {
            self.victims.remove(uid);
            return;
        }
        let request = request::delete(&pods(), &victim.pod.namespace, victim.pod.name());
        self.connection.send(context, self.window, request, Purpose::Evict(uid.clone()));
    }
    pub(super) fn evicted(&mut self, context: &mut Context, uid: &Text, answer: Answer) {
        let Some(victim) = self.victims.remove(uid) else { return };
        if answer.into_result().is_ok() {
            let message =
                arcstr::format!("Preempted by pod {} on node {}", meta::uid(&victim.preemptor), victim.node);
            let related = reference(&victim.preemptor);
            self.event(context, &victim.pod.pod, "Normal", "Preempted", "Preempting", message, related);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn event(
        &mut self,
        context: &mut Context,
        pod: &Value,
        kind: &'static str,
        reason: &str,
        action: &'static str,
        message: Text,
        related: Value,
    ) {
        let mut about = pod.clone();
        about.set_default("kind", "Pod").set_default("apiVersion", "v1");
        let mut draft = EventDraft::about(&about, kind, reason, message).action(action);
        draft.related = related;
        self.recorder.record(context, &mut self.connection, draft, Purpose::Event);
    }
}

fn condition(kind: &str, value: &str, reason: &str, message: &Text) -> Value {
    object! {
        "type" => kind, "status" => value, "reason" => reason, "message" => message,
        "lastProbeTime" => Value::Null,
    }
}

/// `new` with its times and generation, `None` if the pod has it already (`UpdatePodCondition`).
fn changed_condition(pod: &Value, mut new: Value, now: Time) -> Option<Value> {
    new.set("observedGeneration", meta::generation(pod));
    let old = meta::condition(pod, new.text("type"));
    let since = match old {
        Some(old) if old.text("status") == new.text("status") => old.at("lastTransitionTime").clone(),
        _ => time::rfc3339(now).into(),
    };
    new.set("lastTransitionTime", since);
    let same = |old: &Value| {
        ["status", "reason", "message", "observedGeneration"]
            .iter()
            .all(|field| old.at(field) == new.at(field))
    };
    if old.is_some_and(same) { None } else { Some(new) }
}

/// Gives a volume to a claim.
fn bind_volume(volume: &Value, claim: &Value) -> Request {
    let mut volume = volume.clone();
    volume.set_default("kind", "PersistentVolume").set_default("apiVersion", "v1");
    let reference = object! {
        "apiVersion" => "v1",
        "kind" => "PersistentVolumeClaim",
        "name" => claim.at("metadata.name"),
        "namespace" => claim.at("metadata.namespace"),
        "uid" => claim.at("metadata.uid"),
        "resourceVersion" => claim.at("metadata.resourceVersion"),
    };
    volume.set("spec.claimRef", reference);
    meta::set_annotation(&mut volume, "pv.kubernetes.io/bound-by-controller", "yes");
    request::update(&Resource::new("", "v1", "persistentvolumes"), volume)
}

/// Tells the provisioner where the claim's volume is wanted.
fn select_node(claim: &Value, node: &Text) -> Request {
    let mut claim = claim.clone();
    claim.set_default("kind", "PersistentVolumeClaim").set_default("apiVersion", "v1");
    meta::set_annotation(&mut claim, "volume.kubernetes.io/selected-node", node);
    request::update(&Resource::new("", "v1", "persistentvolumeclaims"), claim)
}
