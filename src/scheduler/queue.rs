//! Pods that wait for a node: now, after a pause, or until something changes.
//!
//! Picture to hold in mind: a surgery with three rooms. In the first one is called by urgency, then by arrival;
//! in the second one sits out a pause (1 s, 2 s ... 10 s); in the third one waits for news that might help, and
//! is asked in again after five minutes all the same.
//!
//! After `backend/queue/scheduling_queue.go`. Of a pod that is rejected by gates only its presence is kept.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::api::Text;
use crate::sim::{Duration, RecordId, Time};

use super::pod_info::PodInfo;

const INITIAL_BACK_OFF: Duration = Duration::from_secs(1);
const MAX_BACK_OFF: Duration = Duration::from_secs(10);
/// A pod that no news concerned is tried again after this.
pub const MAX_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Waits for its turn.
    Active,
    /// Sits out a pause.
    Backoff,
    /// Waits for news.
    Unschedulable,
    /// Has scheduling gates.
    Gated,
    /// Is being scheduled or bound.
    InFlight,
}

#[derive(Clone, Debug)]
pub struct QueuedPod {
    pub pod: Arc<PodInfo>,
    pub room: Room,
    /// When it came to its room.
    pub since: Time,
    pub attempts: u32,
    unschedulable_count: u32,
    error_count: u32,
    back_off_until: Time,
    /// Plugins that turned it down last time; empty after an error.
    pub rejectors: Vec<&'static str>,
    /// Why it waits.
    pub cause: Option<RecordId>,
    turn: Turn,
}

/// By priority, highest first, then by age.
type Turn = (Reverse<i64>, Time, u64);

#[derive(Clone, Default)]
pub struct Queue {
    /// By UID.
    pods: SharedMap<Text, QueuedPod>,
    active: SharedMap<Turn, Text>,
    backoff: SharedMap<(Time, Turn), Text>,
    unschedulable: SharedMap<Text, ()>,
    arrivals: u64,
}

fn is_gated(pod: &PodInfo) -> bool {
    !pod.pod.items("spec.schedulingGates").is_empty()
}
/// Pauses end on whole seconds, so that pods that end theirs in one second are called by priority.
fn whole_seconds(time: Time) -> Time {
    Time::from_secs(time.as_secs())
}

impl Queue {
    pub fn get(&self, uid: &str) -> Option<&QueuedPod> {
        self.pods.get(uid)
    }
    /// All pods that wait or are being scheduled, by UID.
    pub fn iter(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.iter().map(|(_, queued)| queued)
    }
    pub fn active_len(&self) -> usize {
        self.active.len()
    }
    /// Whether anybody could be called now.
    pub fn has_next(&self) -> bool {
        !self.active.is_empty() || self.backoff.values().any(|uid| self.may_be_called_early(uid))
    }
    fn may_be_called_early(&self, uid: &Text) -> bool {
        self.pods.get(uid).is_some_and(|queued| queued.error_count == 0)
    }
    /// When the next pause ends.
    pub fn next_back_off(&self) -> Option<Time> {
        self.backoff.first().map(|((until, _), _)| *until)
    }
    pub fn has_unschedulable(&self) -> bool {
        !self.unschedulable.is_empty()
    }

    /// A pod without a node has come.
    pub fn add(&mut self, pod: Arc<PodInfo>, now: Time, cause: Option<RecordId>) {
        let uid = pod.uid.clone();
        self.remove(&uid);
        self.arrivals += 1;
        let turn = (Reverse(pod.priority), now, self.arrivals);
        let gated = is_gated(&pod);
        let queued = QueuedPod {
            pod,
            room: Room::Gated,
            since: now,
            attempts: 0,
            unschedulable_count: 0,
            error_count: 0,
            back_off_until: Time::ZERO,
            rejectors: Vec::new(),
            cause,
            turn,
        };
        self.pods.insert(uid.clone(), queued);
        if !gated {
            self.enter(&uid, Room::Active, now);
        }
    }
    /// A waiting pod has changed; `matters` if more than its status did.
    pub fn update(&mut self, pod: Arc<PodInfo>, matters: bool, now: Time, cause: Option<RecordId>) {
        let uid = pod.uid.clone();
        let Some(queued) = self.pods.get_mut(&uid) else { return self.add(pod, now, cause) };
        queued.pod = pod;
        let room = queued.room;
        let gated = is_gated(&queued.pod);
        if room == Room::Gated && !gated {
            queued.cause = cause;
            self.enter(&uid, Room::Active, now);
        } else if room == Room::Unschedulable && matters {
            queued.cause = cause;
            self.retry(&uid, now);
        }
    }
    pub fn remove(&mut self, uid: &str) -> Option<QueuedPod> {
        let queued = self.pods.get(uid)?.clone();
        self.leave(&queued);
        self.pods.remove(uid);
        Some(queued)
    }
    fn leave(&mut self, queued: &QueuedPod) {
        match queued.room {
            Room::Active => {
                self.active.remove(&queued.turn);
            }
            Room::Backoff => {
                self.backoff.remove(&(queued.back_off_until, queued.turn));
            }
            Room::Unschedulable => {
                self.unschedulable.remove(&queued.pod.uid);
            }
            Room::Gated | Room::InFlight => {}
        }
    }
    fn enter(&mut self, uid: &Text, room: Room, now: Time) {
        let Some(mut queued) = self.pods.get(uid).cloned() else { return };
        self.leave(&queued);
        queued.room = room;
        queued.turn = (Reverse(queued.pod.priority), queued.since, queued.turn.2);
        match room {
            Room::Active => drop(self.active.insert(queued.turn, uid.clone())),
            Room::Backoff => {
                self.backoff.insert((queued.back_off_until, queued.turn), uid.clone());
            }
            Room::Unschedulable => {
                self.unschedulable.include(uid.clone());
            }
            Room::Gated | Room::InFlight => {}
        }
        if room == Room::InFlight {
            queued.since = now;
        }
        self.pods.insert(uid.clone(), queued);
    }
    /// Calls the next pod. When nobody waits for a turn, one that sits out a pause is called early, unless an
    /// error sent it there.
    pub fn pop(&mut self, now: Time) -> Option<QueuedPod> {
        let uid = match self.active.first() {
            Some((_, uid)) => uid.clone(),
            None => self.backoff.values().find(|uid| self.may_be_called_early(uid))?.clone(),
        };
        self.enter(&uid, Room::InFlight, now);
        let queued = self.pods.get_mut(&uid)?;
        queued.attempts += 1;
        Some(queued.clone())
    }
    /// The pod of `uid` found no node: `rejectors` turned it down, or nobody did and it was an error.
    pub fn fail(&mut self, uid: &Text, rejectors: Vec<&'static str>, now: Time) {
        let Some(queued) = self.pods.get_mut(uid) else { return };
        let is_error = rejectors.is_empty();
        if is_error {
            queued.error_count += 1;
        } else {
            queued.unschedulable_count += 1;
            queued.error_count = 0;
        }
        queued.rejectors = rejectors;
        queued.since = now;
        let count = if is_error { queued.error_count } else { queued.unschedulable_count };
        let pause = INITIAL_BACK_OFF.saturating_mul(1 << count.saturating_sub(1).min(10)).min(MAX_BACK_OFF);
        queued.back_off_until = whole_seconds(now + pause);
        let room = if is_error { Room::Backoff } else { Room::Unschedulable };
        self.enter(uid, room, now);
    }
    /// Back to the first room, or to the second if its pause is not over.
    fn retry(&mut self, uid: &Text, now: Time) {
        let Some(queued) = self.pods.get(uid) else { return };
        let pauses = queued.back_off_until >= whole_seconds(now);
        self.enter(uid, if pauses { Room::Backoff } else { Room::Active }, now);
    }
    /// Something changed: asks those who wait for news whether it `helps` them.
    pub fn news(&mut self, helps: impl Fn(&QueuedPod) -> bool, now: Time, cause: Option<RecordId>) {
        let helped: Vec<Text> = self
            .unschedulable
            .keys()
            .filter(|uid| self.pods.get(*uid).is_some_and(&helps))
            .cloned()
            .collect();
        for uid in helped {
            if let Some(queued) = self.pods.get_mut(&uid) {
                queued.cause = cause;
            }
            self.retry(&uid, now);
        }
    }
    /// Those whose pause is over go back to the first room.
    pub fn flush_back_off(&mut self, now: Time) {
        while let Some(((until, _), uid)) = self.backoff.first() {
            if *until >= whole_seconds(now) {
                return;
            }
            let uid = uid.clone();
            self.enter(&uid, Room::Active, now);
        }
    }
    /// Those who have waited for news too long are asked in again.
    pub fn flush_unschedulable(&mut self, now: Time) {
        let is_stale = |queued: &QueuedPod| now.since(queued.since) > MAX_UNSCHEDULABLE;
        self.news(is_stale, now, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn pod(name: &str, priority: i64) -> Arc<PodInfo> {
        PodInfo::shared(&object! {
            "metadata" => object! { "name" => name, "namespace" => "a", "uid" => name },
            "spec" => object! { "priority" => priority },
        })
    }
    fn names(queue: &mut Queue, now: Time) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now)).map(|queued| queued.pod.name().to_owned()).collect()
    }

    #[test]
    fn urgency_first_then_age() {
        let mut queue = Queue::default();
        for (second, (name, priority)) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)].into_iter().enumerate() {
            queue.add(pod(name, priority), Time::from_secs(second as u64), None);
        }
        queue.remove("c");
        assert_eq!(names(&mut queue, Time::from_secs(9)), ["b", "d", "a"]);
    }

    #[test]
    fn a_rejected_pod_waits_for_news_that_helps() {
        let mut queue = Queue::default();
        let now = Time::from_secs(10);
        for name in ["a", "b"] {
            queue.add(pod(name, 0), now, None);
            queue.pop(now);
            queue.fail(&name.into(), vec!["Fit"], now);
        }
        assert!(!queue.has_next());
        queue.news(|queued| queued.pod.name() == "b", now + Duration::from_secs(30), None);
        assert_eq!(names(&mut queue, now + Duration::from_secs(30)), ["b"]);
        queue.flush_unschedulable(now + MAX_UNSCHEDULABLE);
        assert!(!queue.has_next());
        queue.flush_unschedulable(now + MAX_UNSCHEDULABLE + Duration::from_secs(1));
        assert_eq!(names(&mut queue, now + Duration::from_secs(302)), ["a"]);
    }

    #[test]
    fn errors_sit_out_their_pause_others_may_be_called_early() {
        let mut queue = Queue::default();
        let now = Time::from_secs(10);
        for (name, rejectors) in [("error", vec![]), ("full", vec!["Fit"])] {
            queue.add(pod(name, 0), now, None);
            queue.pop(now);
            queue.fail(&name.into(), rejectors, now);
        }
        queue.news(|_| true, now, None);
        assert_eq!(names(&mut queue, now), ["full"]);
        queue.flush_back_off(now + Duration::from_secs(1));
        assert!(!queue.has_next());
        queue.flush_back_off(now + Duration::from_secs(2));
        assert_eq!(names(&mut queue, now), ["error"]);
    }

    #[test]
    fn gates_keep_a_pod_out() {
        let mut queue = Queue::default();
        let gated = pod("a", 0).pod.clone().with("spec.schedulingGates", vec![object! { "name" => "g" }]);
        queue.add(PodInfo::shared(&gated), Time::ZERO, None);
        assert!(!queue.has_next());
        queue.update(pod("a", 0), true, Time::ZERO, None);
        assert_eq!(names(&mut queue, Time::ZERO), ["a"]);
    }
}
