//! Who has a say, and what a majority is (`quorum/`).
//!
//! Picture to hold in mind: a show of hands. While the membership changes there are two rooms, the old and
//! the new, and nothing is decided until both agree.

use crate::message::raft::{Joint, Majority, MemberId};

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    Pending,
    Won,
    Lost,
}

impl Majority {
    /// How many make a decision.
    pub fn quorum(&self) -> usize {
        self.len() / 2 + 1
    }
    /// The highest number that a quorum has reached; the highest of all when nobody is asked.
    pub fn reached(&self, by: &impl Fn(MemberId) -> u64) -> u64 {
        let numbers: Vec<u64> = self.members().iter().map(|id| by(*id)).collect();
        // Few members: to count again for each is quicker than to sort.
        let has_quorum =
            |number: &u64| numbers.iter().filter(|other| *other >= number).count() >= self.quorum();
        numbers.iter().copied().filter(has_quorum).max().unwrap_or(u64::MAX)
    }
    pub fn tally(&self, vote: &impl Fn(MemberId) -> Option<bool>) -> VoteResult {
        if self.is_empty() {
            return VoteResult::Won;
        }
        let votes = || self.members().iter().map(|id| vote(*id));
        if votes().filter(|vote| *vote == Some(true)).count() >= self.quorum() {
            VoteResult::Won
        } else if votes().filter(|vote| *vote != Some(false)).count() >= self.quorum() {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }
}

impl Joint {
    pub fn reached(&self, by: impl Fn(MemberId) -> u64) -> u64 {
        self.incoming.reached(&by).min(self.outgoing.reached(&by))
    }
    pub fn tally(&self, vote: impl Fn(MemberId) -> Option<bool>) -> VoteResult {
        match (self.incoming.tally(&vote), self.outgoing.tally(&vote)) {
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            _ => VoteResult::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn majority(ids: &[u64]) -> Majority {
        ids.iter().map(|id| MemberId(*id)).collect()
    }

    #[test]
    fn what_a_quorum_has_reached() {
        // The number that each member has reached, and what counts.
        for (reached, expected) in [
            (&[][..], u64::MAX),
            (&[5], 5),
            (&[5, 7], 5),
            (&[5, 7, 9], 7),
            (&[0, 0, 9], 0),
            (&[1, 2, 3, 4], 2),
            (&[1, 2, 3, 4, 5], 3),
        ] {
            let ids: Vec<u64> = (0..reached.len() as u64).collect();
            assert_eq!(majority(&ids).reached(&|id| reached[id.0 as usize]), expected, "{reached:?}");
        }
    }

    #[test]
    fn how_votes_stand() {
        use VoteResult::{Lost, Pending, Won};
        let (yes, no, none) = (Some(true), Some(false), None);
        for (votes, expected) in [
            (&[yes][..], Won),
            (&[none], Pending),
            (&[yes, yes, none], Won),
            (&[yes, none, none], Pending),
            (&[yes, no, none], Pending),
            (&[yes, no, no], Lost),
            (&[no, no, none], Lost),
            (&[yes, yes, none, none], Pending),
            (&[yes, no, no, none], Lost),
        ] {
            let ids: Vec<u64> = (0..votes.len() as u64).collect();
            assert_eq!(majority(&ids).tally(&|id| votes[id.0 as usize]), expected, "{votes:?}");
        }
    }

    #[test]
    fn joint_decisions_need_both_rooms() {
        let joint = Joint { incoming: majority(&[1, 2, 3]), outgoing: majority(&[3, 4, 5]) };
        let reached = |id: MemberId| if id.0 <= 3 { 9 } else { 4 };
        assert_eq!(joint.reached(reached), 4);
        assert_eq!(joint.tally(|id| Some(id.0 <= 3)), VoteResult::Lost);
        assert_eq!(joint.tally(|id| (id.0 <= 3).then_some(true)), VoteResult::Pending);
        assert_eq!(joint.tally(|_| Some(true)), VoteResult::Won);
        assert_eq!(joint.members(), [1, 2, 3, 4, 5].map(MemberId));
    }
}
