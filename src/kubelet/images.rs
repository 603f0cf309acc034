//! Images: are they here, may they be pulled, and whose turn is it.
//!
//! Picture to hold in mind: a loading dock with one gate. Trucks wait in line; a supplier who could not deliver
//! is not called again before its time.
//!
//! Follows `pkg/kubelet/images/image_manager.go` and `puller.go` (serial pulls), with the events' words.

use std::sync::Arc;

use crate::api::{Text, time_format};
use crate::language::Context;
use crate::message::cri::{Call, Image};
use crate::sim::Duration;

use super::runtime::images::Reference;
use super::worker::{Start, StartStage, Step, Wait};
use super::{CallPurpose, State, backoff};

/// `MaxImageBackOff`.
const LONGEST: Duration = Duration::from_secs(300);

impl State {
    fn image_of(&self, uid: &str, start: &Start) -> (Text, Text) {
        let found = self
            .workers
            .get(uid)
            .and_then(|worker| worker.container(&start.container).map(|(c, _)| c.clone()));
        found
            .map(|container| (container.shared_text("image"), container.shared_text("imagePullPolicy")))
            .unwrap_or_default()
    }

    pub(super) fn inspect_image(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        let (image, policy) = self.image_of(uid, start);
        if let Err(error) = Reference::parse(&image) {
            let message = format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {error}"
            );
            self.event(uid, Some(&start.container), "Warning", "InspectFailed", message.clone(), context);
            self.event(uid, Some(&start.container), "Warning", "Failed", "Error: InvalidImageName", context);
            self.fail_start(uid, start, "InvalidImageName", &message, context);
        } else if policy == "Always" && !self.config.hollow {
            self.want_pull(uid, start, context);
        } else {
            self.call_for_step(uid, Call::ImageStatus { image: with_tag(&image) }, context);
        }
    }

    pub(super) fn image_inspected(
        &mut self,
        uid: &Text,
        start: &Arc<Start>,
        found: Option<Image>,
        context: &mut Context,
    ) {
        let (image, policy) = self.image_of(uid, start);
        if found.is_some() {
            let words = arcstr::format!(
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            );
            self.event(uid, Some(&start.container), "Normal", "Pulled", words, context);
            self.stage(uid, Start { at: StartStage::Create, ..(**start).clone() });
        } else if policy == "Never" {
            let message = format!("Container image \"{image}\" is not present with pull policy of Never");
            self.event(uid, Some(&start.container), "Warning", "ErrImageNeverPull", message.clone(), context);
            self.event(uid, Some(&start.container), "Warning", "Failed", "Error: ErrImageNeverPull", context);
            self.fail_start(uid, start, "ErrImageNeverPull", &message, context);
        } else {
            self.want_pull(uid, start, context);
        }
    }

    /// The image must be pulled: unless its back-off is not over, its pod gets in line.
    fn want_pull(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        let now = context.now();
        let (image, _) = self.image_of(uid, start);
        let Some(worker) = self.worker(uid) else { return };
        if let Some((entry, error)) = worker.image_back_off.get(&image)
            && backoff::is_waiting_since_update(Some(entry), now)
        {
            let mut message = format!("Back-off pulling image \"{image}\"");
            let words = message.clone();
            if !error.is_empty() {
                message = format!("{message}: {error}");
            }
            self.event(uid, Some(&start.container), "Normal", "BackOff", words, context);
            self.event(uid, Some(&start.container), "Warning", "Failed", "Error: ImagePullBackOff", context);
            self.fail_start(uid, start, "ImagePullBackOff", &message, context);
            return;
        }
        self.event(
            uid,
            Some(&start.container),
            "Normal",
            "Pulling",
            arcstr::format!("Pulling image \"{image}\""),
            context,
        );
        let start = Start { at: StartStage::Pull, wanted_at: now, ..(**start).clone() };
        self.stage(uid, start);
    }

    /// Takes the gate, or waits for it.
    pub(super) fn begin_pull(&mut self, uid: &Text, start: &Arc<Start>, context: &mut Context) {
        if !self.pulls.contains(uid) {
            self.pulls.push_back(uid.clone());
        }
        let is_first = self.pulls.front() == Some(uid);
        if !is_first && self.config.serialize_image_pulls {
            if let Some(work) = self.worker(uid).and_then(|worker| worker.work.as_mut()) {
                work.wait = Wait::Turn;
            }
            return;
        }
        let (image, _) = self.image_of(uid, start);
        let start = Start { pull_at: context.now(), ..(**start).clone() };
        self.stage(uid, start);
        self.call_for_step(uid, Call::PullImage { image: with_tag(&image), pod_uid: uid.clone() }, context);
    }

    /// Leaves the gate to the next in line.
    pub(super) fn release_turn(&mut self, uid: &Text) {
        self.pulls.retain(|other| other != uid);
    }
    /// Lets the first in line begin, if it waits.
    fn next_turn(&mut self, context: &mut Context) {
        let Some(next) = self.pulls.front().cloned() else { return };
        let Some(work) = self.worker(&next).and_then(|worker| worker.work.as_mut()) else {
            self.pulls.pop_front();
            return self.next_turn(context);
        };
        if work.wait == Wait::Turn {
            work.wait = Wait::Nothing;
            self.proceed(&next, context);
        }
    }

    pub(super) fn image_pulled(
        &mut self,
        uid: &Text,
        start: &Arc<Start>,
        result: Result<Option<Image>, Text>,
        context: &mut Context,
    ) {
        let now = context.now();
        let (image, _) = self.image_of(uid, start);
        self.release_turn(uid);
        match result {
            Ok(pulled) => {
                let milliseconds =
                    |from| time_format::go_duration(Duration(now.since(from).as_millis() * 1000));
                let words = arcstr::format!(
                    "Successfully pulled image \"{image}\" in {} ({} including waiting). Image size: {} bytes.",
                    milliseconds(start.pull_at),
                    milliseconds(start.wanted_at),
                    pulled.map_or(0, |image| image.size_bytes)
                );
                self.event(uid, Some(&start.container), "Normal", "Pulled", words, context);
                if let Some(worker) = self.worker(uid) {
                    worker.image_back_off.remove(&image);
                }
                self.call(Call::ListImages, CallPurpose::Images, context);
                self.stage(uid, Start { at: StartStage::Create, ..(**start).clone() });
            }
            Err(error) => {
                let words = arcstr::format!("Failed to pull image \"{image}\": {error}");
                self.event(uid, Some(&start.container), "Warning", "Failed", words, context);
                if let Some(worker) = self.worker(uid) {
                    let entry = worker.image_back_off.get(&image).map(|(entry, _)| *entry);
                    let next = backoff::next(entry.as_ref(), now, now, LONGEST);
                    worker.image_back_off.insert(image, (next, arcstr::format!("ErrImagePull: {error}")));
                }
                self.event(uid, Some(&start.container), "Warning", "Failed", "Error: ErrImagePull", context);
                self.fail_start(uid, start, "ErrImagePull", &error, context);
            }
        }
        self.next_turn(context);
    }

    /// A worker that is gone gives up its place in line.
    pub(super) fn forget_pull(&mut self, uid: &Text, context: &mut Context) {
        self.release_turn(uid);
        self.next_turn(context);
    }
}

/// The name with `:latest` if it has neither tag nor digest.
pub fn with_tag(image: &str) -> Text {
    let last = image.rsplit('/').next().unwrap_or("");
    if last.contains([':', '@']) { image.into() } else { arcstr::format!("{image}:latest") }
}

/// The step in hand, if it is a container's way up.
pub fn start_in_hand(step: Option<&Step>) -> Option<&Start> {
    match step {
        Some(Step::Start(start)) => Some(start),
        _ => None,
    }
}
