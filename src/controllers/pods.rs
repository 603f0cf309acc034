//! Reading pods as controllers read them: active, ready, available, and which to delete first.
//!
//! Picture to hold in mind: a triage nurse who reads wristbands only: what has not begun goes first, what has
//! worked longest goes last.
//!
//! After `pkg/api/v1/pod/util.go` and `ActivePodsWithRanks` of `pkg/controller/controller_utils.go`.

use std::cmp::Ordering;

use crate::api::{Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

pub fn is_terminal(pod: &Value) -> bool {
    matches!(pod.text("status.phase"), "Succeeded" | "Failed")
}
/// Neither finished nor about to be deleted.
pub fn is_active(pod: &Value) -> bool {
    !is_terminal(pod) && !meta::is_deleting(pod)
}
pub fn is_terminating(pod: &Value) -> bool {
    meta::is_deleting(pod) && !is_terminal(pod)
}
pub fn is_ready(pod: &Value) -> bool {
    meta::is_condition_true(pod, "Ready")
}
/// Since when the pod has been ready, if it is.
pub fn ready_since(pod: &Value) -> Option<Time> {
    let condition = meta::condition(pod, "Ready").filter(|condition| condition.text("status") == "True")?;
    time::parse(condition.text("lastTransitionTime"))
}
/// Ready for at least `min_ready_seconds`.
pub fn is_available(pod: &Value, min_ready_seconds: i64, now: Time) -> bool {
    is_ready(pod) && has_been_ready(pod, min_ready_seconds, now)
}
/// Whether a pod that is ready has been so for at least `min_ready_seconds`.
pub fn has_been_ready(pod: &Value, min_ready_seconds: i64, now: Time) -> bool {
    min_ready_seconds <= 0 || ready_since(pod).is_some_and(|since| since + seconds(min_ready_seconds) <= now)
}
/// When the next of `pods` becomes available that is ready and not yet available.
pub fn next_availability<'a>(
    pods: impl IntoIterator<Item = &'a Value>,
    min_ready_seconds: i64,
    now: Time,
) -> Option<Duration> {
    pods.into_iter()
        .filter_map(|pod| {
            let due = ready_since(pod)? + seconds(min_ready_seconds);
            (due > now).then(|| due.since(now))
        })
        .min()
}

pub fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

/// Orders by name what was created in the same second, as `ReplicaSetsByCreationTimestamp`.
pub fn by_creation(a: &Value, b: &Value) -> Ordering {
    meta::creation_timestamp(a)
        .cmp(meta::creation_timestamp(b))
        .then_with(|| meta::name(a).cmp(meta::name(b)))
}

/// What is compared of a pod when some must go.
struct Rank {
    is_assigned: bool,
    phase: u8,
    is_ready: bool,
    deletion_cost: i64,
    neighbours: usize,
    ready_since: Option<Time>,
    restarts: i64,
    sidecar_restarts: i64,
    created_at: Option<Time>,
    uid: Text,
}

impl Rank {
    fn of(pod: &Value, neighbours: &SortedMap<Text, usize>) -> Rank {
        let node = pod.shared_text("spec.nodeName");
        let (restarts, sidecar_restarts) = restarts(pod);
        Rank {
            phase: match pod.text("status.phase") {
                "Pending" => 0,
                "Unknown" => 1,
                "Running" => 2,
                _ => 0,
            },
            is_ready: is_ready(pod),
            deletion_cost: meta::annotation(pod, "controller.kubernetes.io/pod-deletion-cost")
                .and_then(|cost| cost.parse::<i32>().ok())
                .unwrap_or(0)
                .into(),
            neighbours: neighbours.get(&node).copied().unwrap_or(0),
            is_assigned: !node.is_empty(),
            ready_since: ready_since(pod),
            restarts,
            sidecar_restarts,
            created_at: time::parse(meta::creation_timestamp(pod)),
            uid: pod.shared_text("metadata.uid"),
        }
    }
    /// What is `Less` goes first.
    fn compare(&self, other: &Rank, now: Time) -> Ordering {
        let younger_first = |a: Option<Time>, b: Option<Time>| match (a, b) {
            (Some(a), Some(b)) if a != b => {
                // Ages count by their order of magnitude, so that which goes is not always the youngest.
                let magnitude = |since: Time| match now.since(since).as_micros() {
                    0 => -1,
                    age_us => i64::from((age_us * 1000).ilog2()),
                };
                magnitude(a).cmp(&magnitude(b)).then_with(|| self.uid.cmp(&other.uid))
            }
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        self.is_assigned
            .cmp(&other.is_assigned)
            .then(self.phase.cmp(&other.phase))
            .then(self.is_ready.cmp(&other.is_ready))
            .then(self.deletion_cost.cmp(&other.deletion_cost))
            .then(other.neighbours.cmp(&self.neighbours))
            .then_with(|| {
                if self.is_ready && other.is_ready {
                    younger_first(self.ready_since, other.ready_since)
                } else {
                    Ordering::Equal
                }
            })
            .then(other.restarts.cmp(&self.restarts))
            .then(other.sidecar_restarts.cmp(&self.sidecar_restarts))
            .then_with(|| younger_first(self.created_at, other.created_at))
    }
}

fn restarts(pod: &Value) -> (i64, i64) {
    let most = |statuses: &mut dyn Iterator<Item = &Value>| {
        statuses.filter_map(|status| status.integer("restartCount")).max().unwrap_or(0)
    };
    let is_sidecar = |name: &str| {
        pod.items("spec.initContainers")
            .iter()
            .any(|container| container.text("name") == name && container.text("restartPolicy") == "Always")
    };
    (
        most(&mut pod.items("status.containerStatuses").iter()),
        most(
            &mut pod
                .items("status.initContainerStatuses")
                .iter()
                .filter(|status| is_sidecar(status.text("name"))),
        ),
    )
}

/// Of `pods` the `count` to delete; `related` are the pods of all revisions, which count as neighbours.
pub fn choose_for_deletion<'a>(
    mut pods: Vec<Value>,
    related: impl IntoIterator<Item = &'a Value>,
    count: usize,
    now: Time,
) -> Vec<Value> {
    if count < pods.len() {
        let mut neighbours: SortedMap<Text, usize> = SortedMap::new();
        for pod in related {
            if is_active(pod) {
                *neighbours.entry(pod.shared_text("spec.nodeName")).or_default() += 1;
            }
        }
        let mut ranked: Vec<(Rank, Value)> =
            pods.into_iter().map(|pod| (Rank::of(&pod, &neighbours), pod)).collect();
        ranked.arrange_by(|(a, _), (b, _)| a.compare(b, now));
        pods = ranked.into_iter().map(|(_, pod)| pod).collect();
    }
    pods.truncate(count);
    pods
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn pod(name: &str, node: &str, phase: &str, ready_at: &str, created_at: &str) -> Value {
        let ready = if ready_at.is_empty() { "False" } else { "True" };
        object! {
            "metadata" => object! { "name" => name, "uid" => name, "creationTimestamp" => created_at },
            "spec" => object! { "nodeName" => node },
            "status" => object! { "phase" => phase, "conditions" => array![
                object! { "type" => "Ready", "status" => ready, "lastTransitionTime" => ready_at },
            ] },
        }
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let (early, late) = ("2026-01-01T08:00:01Z", "2026-01-01T08:05:00Z");
        let now = Time::from_secs(310);
        let order = [
            pod("unassigned", "", "Pending", "", early),
            pod("pending", "a", "Pending", "", early),
            pod("unready", "a", "Running", "", early),
            pod("crowded", "b", "Running", early, early),
            pod("young", "a", "Running", late, early),
            pod("old", "c", "Running", early, early),
        ];
        let crowd = [order[3].clone(), order[3].clone(), order[4].clone(), order[5].clone()];
        for first in 0..order.len() {
            let mut rest: Vec<Value> = order[first..].to_vec();
            rest.reverse();
            if rest.len() < 2 {
                continue;
            }
            let chosen = choose_for_deletion(rest, &crowd, 1, now);
            assert_eq!(meta::name(&chosen[0]), meta::name(&order[first]));
        }
    }

    #[test]
    fn availability_waits_its_seconds() {
        let ready = pod("a", "n", "Running", "2026-01-01T08:00:10Z", "2026-01-01T08:00:00Z");
        for (now, available) in [(12, false), (15, true)] {
            assert_eq!(is_available(&ready, 5, Time::from_secs(now)), available);
        }
        assert_eq!(next_availability([&ready], 5, Time::from_secs(12)), Some(Duration::from_secs(3)));
        assert_eq!(next_availability([&ready], 5, Time::from_secs(16)), None);
    }
}
