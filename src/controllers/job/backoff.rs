//! How long a Job waits after failures before it tries again.
//!
//! Picture to hold in mind: a bruised finger: after each burn one waits twice as long before touching the pan.
//!
//! After `pkg/controller/job/backoff_utils.go`.

use crate::api::{Value, meta, time};
use crate::controllers::pods;
use crate::sim::{Duration, Time};

const DEFAULT: Duration = Duration::from_secs(10);
const MAXIMUM: Duration = Duration::from_secs(10 * 60);

/// Failures since the last success, and when the last of them was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub failures: i64,
    pub last_failure: Option<Time>,
}

impl Record {
    /// The record after these pods have finished.
    pub fn after(self, succeeded: &[&Value], failed: &[&Value]) -> Record {
        let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
        let failures = failed.iter().map(|pod| finished_at(pod));
        match last_success {
            None if failed.is_empty() => self,
            None => Record { failures: self.failures + failed.len() as i64, last_failure: failures.max() },
            Some(last_success) => {
                let later: Vec<Time> = failures.filter(|failed_at| *failed_at > last_success).collect();
                Record { failures: later.len() as i64, last_failure: later.into_iter().max() }
            }
        }
    }
    /// How long to wait still.
    pub fn remaining(self, now: Time) -> Duration {
        let Some(last_failure) = self.last_failure.filter(|_| self.failures > 0) else {
            return Duration::ZERO;
        };
        let doublings = u32::try_from(self.failures - 1).unwrap_or(u32::MAX).min(16);
        let delay = DEFAULT.saturating_mul(1 << doublings).min(MAXIMUM);
        Duration(delay.0.saturating_sub(now.since(last_failure).0))
    }
}

/// When the last container of `pod` ended, or the next best guess.
pub fn finished_at(pod: &Value) -> Time {
    from_containers(pod)
        .or_else(|| {
            let ready = meta::condition(pod, "Ready")?;
            time::parse(ready.text("lastTransitionTime")).filter(|_| ready.text("status") == "False")
        })
        .or_else(|| {
            let grace = pods::seconds(pod.integer("metadata.deletionGracePeriodSeconds").unwrap_or(0));
            let due = time::parse(meta::deletion_timestamp(pod)?)?;
            Some(Time(due.0.saturating_sub(grace.0)))
        })
        .or_else(|| time::parse(meta::creation_timestamp(pod)))
        .unwrap_or(Time::ZERO)
}

fn from_containers(pod: &Value) -> Option<Time> {
    let is_sidecar = |name: &str| {
        pod.items("spec.initContainers")
            .iter()
            .any(|container| container.text("name") == name && container.text("restartPolicy") == "Always")
    };
    let sidecars =
        pod.items("status.initContainerStatuses").iter().filter(|status| is_sidecar(status.text("name")));
    let ends: Option<Vec<Time>> = pod
        .items("status.containerStatuses")
        .iter()
        .chain(sidecars)
        .map(|status| time::parse(status.text("state.terminated.finishedAt")))
        .collect();
    ends?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{array, object};

    fn pod(finished_s: u64) -> Value {
        let at = time::rfc3339(Time::from_secs(finished_s));
        let terminated = object! { "terminated" => object! { "finishedAt" => at } };
        object! { "status" => object! { "containerStatuses" => array![object! { "state" => terminated }] } }
    }

    #[test]
    fn failures_since_the_last_success_double_the_wait() {
        let pods: Vec<Value> = (0..10).map(|second| pod(100 + second)).collect();
        let of = |seconds: &[usize]| seconds.iter().map(|second| &pods[*second]).collect::<Vec<_>>();
        for (failures, succeeded, failed, expected, wait_s) in [
            (0, vec![], vec![], 0, 0),
            (0, vec![], vec![3], 1, 7),
            (2, vec![], vec![3], 3, 37),
            (2, vec![5], vec![3], 0, 0),
            (2, vec![5], vec![3, 6, 7], 2, 17),
            (90, vec![], vec![6], 91, 596),
        ] {
            let before = Record { failures, last_failure: Some(Time::from_secs(90)) };
            let before = if failures == 0 { Record::default() } else { before };
            let after = before.after(&of(&succeeded), &of(&failed));
            assert_eq!(after.failures, expected);
            let now = Time::from_secs(if failed == [3] { 106 } else { 110 });
            assert_eq!(after.remaining(now), Duration::from_secs(wait_s), "{failed:?}");
        }
    }
}
