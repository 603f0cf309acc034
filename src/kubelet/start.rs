//! A container's way up: back-off, image, create, start, post-start hook.
//!
//! Picture to hold in mind: a stair of five steps. Whoever stumbles on one leaves a note that says on which, and
//! the next try begins at the bottom.
//!
//! Follows `pkg/kubelet/kuberuntime/kuberuntime_container.go` `startContainer` and `kuberuntime_manager.go`
//! `doBackOff`, with the events' words.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::cri::{Call, ContainerState, Image, Reply};
use crate::sim::Duration;

use super::actions::{KillOrder, KillReason};
use super::environment;
use super::resources::is_sidecar;
use super::worker::{ContainerKind, Start, StartStage, Step, Wait};
use super::{State, backoff};

impl State {
    pub(super) fn begin_start(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        match start.at {
            StartStage::BackOff => {
                if self.is_in_back_off(uid, &start.container, context) {
                    return self.start_failed(uid, start, context);
                }
                let mut start = (**start).clone();
                start.at = StartStage::InspectImage;
                start.wanted_at = context.now();
                self.stage(uid, start);
            }
            StartStage::InspectImage => self.inspect_image(uid, start, context),
            StartStage::Pull => self.begin_pull(uid, start, context),
            StartStage::Create => self.create(uid, start, context),
            StartStage::Start => {
                self.call_for_step(uid, Call::StartContainer { container: start.id.clone() }, context);
            }
            StartStage::PostStart => self.post_start(uid, start, context),
        }
    }

    /// The next step of the stair.
    pub(super) fn stage(&mut self, uid: &Text, start: Start) {
        if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
            work.present = Some(Step::Start(Arc::new(start)));
            work.wait = Wait::Nothing;
        }
    }

    /// Crash-loop back-off: the container ended too recently.
    fn is_in_back_off(&mut self, uid: &Text, name: &Text, context: &mut Context) -> bool {
        let now = context.now();
        let longest = self.config.max_restart_back_off;
        let Some(worker) = self.worker(uid) else { return false };
        let finished_at = match worker.newest(name).map(|status| &status.state) {
            Some(ContainerState::Exited { finished_at, .. }) => *finished_at,
            _ => return false,
        };
        let entry = worker.restart_back_off.get(name).copied();
        if !backoff::is_waiting(entry.as_ref(), finished_at, now) {
            worker
                .restart_back_off
                .insert(name.clone(), backoff::next(entry.as_ref(), finished_at, now, longest));
            return false;
        }
        let wait = entry.map_or(Duration::ZERO, |entry| entry.wait);
        let description = worker.description();
        let message = arcstr::format!(
            "back-off {} restarting failed container={name} pod={description}",
            crate::api::time_format::go_duration(wait)
        );
        worker.reasons.insert(name.clone(), ("CrashLoopBackOff".into(), message.clone()));
        if let Some(work) = &mut worker.work {
            work.fail_until(message, finished_at + wait);
        }
        let words = arcstr::format!("Back-off restarting failed container {name} in pod {description}");
        self.event(uid, Some(name), "Warning", "BackOff", words, context);
        true
    }

    /// A try has failed; the reason is noted. An init container's failure ends the sync.
    fn start_failed(&mut self, uid: &Text, start: &Start, _context: &mut Context) {
        self.release_turn(uid);
        let Some(worker) = self.worker(uid) else { return };
        let ends = start.kind == ContainerKind::Init
            && worker.container(&start.container).is_some_and(|(container, _)| !is_sidecar(container));
        if let Some(work) = &mut worker.work {
            work.present = None;
            work.wait = Wait::Nothing;
            if ends {
                work.steps.clear();
            }
        }
    }
    /// Notes why a container could not be started.
    pub(super) fn fail_start(
        &mut self,
        uid: &Text,
        start: &Start,
        reason: &str,
        message: &str,
        context: &mut Context,
    ) {
        if let Some(worker) = self.worker(uid) {
            worker.reasons.insert(start.container.clone(), (reason.into(), message.into()));
            if let Some(work) = &mut worker.work {
                work.fail(arcstr::format!(
                    "failed to \"StartContainer\" for \"{}\" with {reason}: \"{message}\"",
                    start.container
                ));
            }
        }
        self.start_failed(uid, start, context);
    }
    fn container_event(
        &mut self,
        uid: &Text,
        start: &Start,
        kind: &'static str,
        reason: &str,
        message: &str,
        context: &mut Context,
    ) {
        // Errors of the runtime often hold the container's id, which would make every event a new one.
        let message = if start.id.is_empty() {
            message.into()
        } else {
            message.replace(start.id.as_str(), &start.container)
        };
        self.event(uid, Some(&start.container), kind, reason, message, context);
    }

    fn create(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        let Some(worker) = self.workers.get(uid).cloned() else { return };
        let Some((container, _)) = worker.container(&start.container) else {
            return self.done(uid);
        };
        let missing = environment::objects_needed(&worker.pod, container);
        if !self.have_objects(&missing, context) {
            if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                work.wait = Wait::Objects;
            }
            return;
        }
        let attempt = worker.newest(&start.container).map_or(0, |status| status.attempt + 1);
        let config = environment::container_config(&self.environment_source(), &worker, container, attempt);
        let sandbox = worker.sandboxes.first().map(|sandbox| sandbox.id.clone()).unwrap_or_default();
        // Let go of before the worker is changed, which would otherwise be copied.
        drop(worker);
        match config {
            Ok(config) => {
                let call = Call::CreateContainer { sandbox, container: Arc::new(config) };
                self.call_for_step(uid, call, context);
            }
            Err(error) => {
                self.container_event(uid, start, "Warning", "Failed", &format!("Error: {error}"), context);
                self.fail_start(uid, start, "CreateContainerConfigError", &error, context);
            }
        }
    }

    fn post_start(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        let Some(worker) = self.workers.get(uid) else { return };
        let hook = worker
            .container(&start.container)
            .map(|(container, _)| container.at("lifecycle.postStart").clone());
        let hook = hook.unwrap_or(Value::Null);
        let sandbox = worker.sandboxes.first().map(|sandbox| sandbox.id.clone()).unwrap_or_default();
        let container =
            worker.container(&start.container).map(|(container, _)| container.clone()).unwrap_or_default();
        if let Some(seconds) = hook.integer("sleep.seconds") {
            // Marked as done before the time has passed: what follows the hook follows the alarm.
            self.done(uid);
            if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                work.wait = Wait::Time;
            }
            self.set_wake(uid, Duration::from_secs(seconds.max(0) as u64), context);
            return;
        }
        match environment::hook_call(&hook, &start.id, &sandbox, &container) {
            Some(call) if !self.config.hollow => self.call_for_step(uid, call, context),
            _ => self.done(uid),
        }
    }

    /// The engine has answered a call on the stair.
    pub(super) fn start_answered(
        &mut self,
        uid: &Text,
        start: &Arc<Start>,
        result: Result<Reply, Text>,
        context: &mut Context,
    ) {
        match start.at {
            StartStage::BackOff => {}
            StartStage::InspectImage => match result {
                Ok(Reply::Image(image)) => self.image_inspected(uid, start, image, context),
                Ok(_) => self.image_inspected(uid, start, None, context),
                Err(error) => {
                    let message = format!("Failed to inspect image \"\": {error}");
                    self.event(
                        uid,
                        Some(&start.container),
                        "Warning",
                        "InspectFailed",
                        message.clone(),
                        context,
                    );
                    self.container_event(
                        uid,
                        start,
                        "Warning",
                        "Failed",
                        "Error: ImageInspectError",
                        context,
                    );
                    self.fail_start(uid, start, "ImageInspectError", &message, context);
                }
            },
            StartStage::Pull => {
                let result: Result<Option<Image>, Text> = result.map(|reply| match reply {
                    Reply::Image(image) => image,
                    _ => None,
                });
                self.image_pulled(uid, start, result, context);
            }
            StartStage::Create => match result {
                Ok(Reply::Container { container }) => {
                    let start = Start { id: container, at: StartStage::Start, ..(**start).clone() };
                    self.container_event(uid, &start, "Normal", "Created", "Container created", context);
                    self.stage(uid, start);
                }
                Ok(_) => self.fail_start(uid, start, "CreateContainerError", "no container", context),
                Err(error) => {
                    let error = description(&error);
                    self.container_event(
                        uid,
                        start,
                        "Warning",
                        "Failed",
                        &format!("Error: {error}"),
                        context,
                    );
                    self.fail_start(uid, start, "CreateContainerError", error, context);
                }
            },
            StartStage::Start => match result {
                Ok(_) => {
                    self.container_event(uid, start, "Normal", "Started", "Container started", context);
                    if let Some(worker) = self.worker(uid) {
                        worker.reasons.remove(&start.container);
                    }
                    self.stage(uid, Start { at: StartStage::PostStart, ..(**start).clone() });
                }
                Err(error) => {
                    let error = description(&error);
                    self.container_event(
                        uid,
                        start,
                        "Warning",
                        "Failed",
                        &format!("Error: {error}"),
                        context,
                    );
                    self.fail_start(uid, start, "RunContainerError", error, context);
                }
            },
            StartStage::PostStart => {
                let is_ok = match &result {
                    Ok(Reply::Exec { exit_code, .. }) => *exit_code == 0,
                    Ok(_) => true,
                    Err(_) => false,
                };
                if is_ok {
                    self.done(uid);
                    return;
                }
                self.container_event(
                    uid,
                    start,
                    "Warning",
                    "FailedPostStartHook",
                    "PostStartHook failed",
                    context,
                );
                let message = match &result {
                    Err(error) => error.to_string(),
                    Ok(_) => "command exited with a non-zero code".to_string(),
                };
                let order = KillOrder {
                    id: start.id.clone(),
                    name: start.container.clone(),
                    message: "FailedPostStartHook".into(),
                    reason: KillReason::Other,
                    grace_override: None,
                };
                self.fail_start(uid, start, "PostStartHookError", &message, context);
                if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                    work.steps.push_front(Step::Kill(vec![order]));
                }
            }
        }
    }
}

/// The words of a gRPC error without its code, as events show them.
pub(super) fn description(error: &str) -> &str {
    match error.split_once(" desc = ") {
        Some((head, rest)) if head.starts_with("rpc error: code = ") => rest,
        _ => error,
    }
}
