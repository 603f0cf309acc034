//! Waiting longer each time.
//!
//! Picture to hold in mind: a door that stays shut for ten seconds after the first slam, twenty after the
//! second, up to five minutes; after ten quiet minutes the count starts anew.
//!
//! Follows `k8s.io/client-go/util/flowcontrol/backoff.go` as `pkg/kubelet` uses it, for restarts and for pulls.

use crate::sim::{Duration, Time};

const INITIAL: Duration = Duration::from_secs(10);
/// Twice the longest wait.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub wait: Duration,
    pub updated_at: Time,
}

/// Whether one must still wait after an event at `event`. `None`: nothing has happened before.
pub fn is_waiting(entry: Option<&BackOff>, event: Time, now: Time) -> bool {
    entry.is_some_and(|entry| {
        event.since(entry.updated_at) <= FORGOTTEN_AFTER && now.since(event) < entry.wait
    })
}

/// Whether one must still wait since the last [`next`].
pub fn is_waiting_since_update(entry: Option<&BackOff>, now: Time) -> bool {
    entry.is_some_and(|entry| {
        now.since(entry.updated_at) <= FORGOTTEN_AFTER && now.since(entry.updated_at) < entry.wait
    })
}

/// The entry after one more event at `event`.
pub fn next(entry: Option<&BackOff>, event: Time, now: Time, longest: Duration) -> BackOff {
    let wait = match entry {
        Some(entry) if event.since(entry.updated_at) <= FORGOTTEN_AFTER => {
            entry.wait.saturating_mul(2).min(longest)
        }
        _ => INITIAL.min(longest),
    };
    BackOff { wait, updated_at: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_stays_shut_longer_each_time() {
        let (mut entry, mut now, mut waits) = (None, Time::from_secs(100), Vec::new());
        for _ in 0..7 {
            let after = next(entry.as_ref(), now, now, Duration::from_secs(300));
            waits.push(after.wait.as_secs());
            now += after.wait;
            entry = Some(after);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        let entry = entry.unwrap();
        assert!(is_waiting_since_update(Some(&entry), entry.updated_at + Duration::from_secs(299)));
        assert!(!is_waiting_since_update(Some(&entry), entry.updated_at + Duration::from_secs(300)));
        let later = entry.updated_at + Duration::from_secs(601);
        assert_eq!(next(Some(&entry), later, later, Duration::from_secs(300)).wait, INITIAL);
    }
}
