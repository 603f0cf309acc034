//! What a controller has done and not yet seen.
//!
//! Picture to hold in mind: a string around the finger: "three pods ordered, two seen". Until all are seen the
//! controller does not count its pods again, for it would order the missing ones twice.
//!
//! After `pkg/controller/controller_utils.go` (`UIDTrackingControllerExpectations`).

use crate::shared_map::{SharedMap, SharedSet};

use crate::api::Text;
use crate::sim::{Duration, Time};

/// After this the controller stops waiting for news that never came.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// By the key of the owner.
#[derive(Clone, Default)]
pub struct Expectations {
    owners: SharedMap<Text, Expected>,
}

#[derive(Clone)]
struct Expected {
    creations: i64,
    /// Keys of the dependents whose deletion has been asked for.
    deletions: SharedSet<Text>,
    since: Time,
}

impl Expectations {
    /// Nothing is awaited any more, or for too long.
    pub fn are_satisfied(&self, owner: &str, now: Time) -> bool {
        self.owners.get(owner).is_none_or(|expected| {
            (expected.creations <= 0 && expected.deletions.is_empty()) || now.since(expected.since) > TIMEOUT
        })
    }
    pub fn expect_creations(&mut self, owner: &Text, count: i64, now: Time) {
        let expected = Expected { creations: count, deletions: SharedSet::default(), since: now };
        self.owners.insert(owner.clone(), expected);
    }
    pub fn expect_deletions(&mut self, owner: &Text, keys: impl IntoIterator<Item = Text>, now: Time) {
        let expected = Expected { creations: 0, deletions: keys.into_iter().collect(), since: now };
        self.owners.insert(owner.clone(), expected);
    }
    pub fn expect(&mut self, owner: &Text, creations: i64, deletions: Vec<Text>, now: Time) {
        let expected = Expected { creations, deletions: deletions.into_iter().collect(), since: now };
        self.owners.insert(owner.clone(), expected);
    }
    pub fn creation_observed(&mut self, owner: &str) {
        self.creations_observed(owner, 1);
    }
    pub fn creations_observed(&mut self, owner: &str, count: i64) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.creations -= count;
        }
    }
    pub fn deletion_observed(&mut self, owner: &str, key: &str) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.deletions.remove(key);
        }
    }
    pub fn forget(&mut self, owner: &str) {
        self.owners.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ordered_is_awaited_until_seen_or_stale() {
        let mut expectations = Expectations::default();
        let owner: Text = "a/web".into();
        let now = Time::from_secs(1);
        assert!(expectations.are_satisfied(&owner, now));
        expectations.expect_creations(&owner, 2, now);
        expectations.creation_observed(&owner);
        assert!(!expectations.are_satisfied(&owner, now));
        assert!(expectations.are_satisfied(&owner, now + Duration::from_secs(301)));
        expectations.creation_observed(&owner);
        assert!(expectations.are_satisfied(&owner, now));
        expectations.expect_deletions(&owner, ["a/x".into()], now);
        expectations.deletion_observed(&owner, "a/y");
        assert!(!expectations.are_satisfied(&owner, now));
        expectations.deletion_observed(&owner, "a/x");
        assert!(expectations.are_satisfied(&owner, now));
    }
}
