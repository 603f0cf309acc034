//! Who is a member, and how that changes (`confchange/`, `raftpb/confchange.go`).
//!
//! Picture to hold in mind: moving house room by room. One voter more or less at a time is always safe,
//! because any majority of the old house and any of the new have somebody in common. For bigger moves both
//! houses are kept until the move is done: joint, every decision needs a majority of each.

use std::fmt;

use super::progress::Progress;
use crate::arrange::Gather;
use crate::message::raft::{ConfChange, ConfChangeKind, Configuration, Majority, MemberId, Transition};
use crate::sorted::SortedMap;

impl ConfChange {
    /// Whether the change is made in a joint way, and then whether it is left by itself.
    fn enters_joint(&self) -> Option<bool> {
        match self.transition {
            Transition::Auto if self.changes.len() > 1 => Some(true),
            Transition::Auto => None,
            Transition::JointImplicit => Some(true),
            Transition::JointExplicit => Some(false),
        }
    }
}

/// Why a change of membership was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChangeError {
    AlreadyJoint,
    NotJoint,
    NoVoters,
    JointNeeded,
}

impl fmt::Display for ConfChangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            ConfChangeError::AlreadyJoint => "config is already joint",
            ConfChangeError::NotJoint => "can't leave a non-joint config",
            ConfChangeError::NoVoters => "removed all voters",
            ConfChangeError::JointNeeded => "more than one voter changed without entering joint config",
        })
    }
}
impl std::error::Error for ConfChangeError {}

type Members = SortedMap<MemberId, Progress>;

impl Configuration {
    /// What is known of each member of this configuration by one who knows nothing but where the log ends.
    pub fn fresh_progress(&self, last_index: u64) -> Members {
        let fresh = |id| {
            let mut progress = Progress::new(last_index.max(1), self.learners.contains(id));
            progress.recent_active = true;
            (id, progress)
        };
        self.members().into_iter().map(fresh).gather()
    }

    /// The configuration and the members' progress after `change`.
    ///
    /// # Errors
    /// When the change would not be safe; nothing has changed then.
    pub fn after(
        &self,
        change: &ConfChange,
        members: &Members,
        last_index: u64,
    ) -> Result<(Configuration, Members), ConfChangeError> {
        let mut next = (self.clone(), members.clone());
        let (configuration, progress) = (&mut next.0, &mut next.1);
        if change.leaves_joint() {
            configuration.leave_joint(progress)?;
        } else if let Some(auto_leave) = change.enters_joint() {
            configuration.enter_joint(auto_leave)?;
            configuration.apply(change, progress, last_index)?;
        } else if self.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        } else {
            configuration.apply(change, progress, last_index)?;
            let (before, after) = (&self.voters.incoming, &configuration.voters.incoming);
            let missing =
                |a: &Majority, b: &Majority| a.members().iter().filter(|id| !b.contains(**id)).count();
            if missing(before, after) + missing(after, before) > 1 {
                return Err(ConfChangeError::JointNeeded);
            }
        }
        Ok(next)
    }

    fn enter_joint(&mut self, auto_leave: bool) -> Result<(), ConfChangeError> {
        if self.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if self.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVoters);
        }
        self.voters.outgoing = self.voters.incoming.clone();
        self.auto_leave = auto_leave;
        Ok(())
    }

    fn leave_joint(&mut self, members: &mut Members) -> Result<(), ConfChangeError> {
        if !self.voters.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        for id in std::mem::take(&mut self.learners_next).members() {
            self.learners.insert(*id);
            if let Some(progress) = members.get_mut(id) {
                progress.is_learner = true;
            }
        }
        for id in std::mem::take(&mut self.voters.outgoing).members() {
            if !self.contains(*id) {
                members.remove(id);
            }
        }
        self.auto_leave = false;
        Ok(())
    }

    fn apply(
        &mut self,
        change: &ConfChange,
        members: &mut Members,
        last_index: u64,
    ) -> Result<(), ConfChangeError> {
        // A new member counts as active, or the next check of the quorum might end the leader's reign.
        let fresh =
            |is_learner| Progress { recent_active: true, ..Progress::new(last_index.max(1), is_learner) };
        for (kind, id) in &change.changes {
            match kind {
                ConfChangeKind::AddNode => {
                    members.entry(*id).or_insert_with(|| fresh(false)).is_learner = false;
                    self.learners.remove(*id);
                    self.learners_next.remove(*id);
                    self.voters.incoming.insert(*id);
                }
                ConfChangeKind::AddLearnerNode => {
                    let progress = members.entry(*id).or_insert_with(|| fresh(true));
                    if progress.is_learner {
                        self.learners.insert(*id);
                        continue;
                    }
                    self.voters.incoming.remove(*id);
                    if self.voters.outgoing.contains(*id) {
                        self.learners_next.insert(*id);
                    } else {
                        progress.is_learner = true;
                        self.learners.insert(*id);
                    }
                }
                ConfChangeKind::RemoveNode => {
                    self.voters.incoming.remove(*id);
                    self.learners.remove(*id);
                    self.learners_next.remove(*id);
                    if !self.voters.outgoing.contains(*id) {
                        members.remove(id);
                    }
                }
                ConfChangeKind::UpdateNode => {}
            }
        }
        if self.voters.incoming.is_empty() { Err(ConfChangeError::NoVoters) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::ConfChangeKind::{AddLearnerNode, AddNode, RemoveNode};
    use super::*;

    fn change(transition: Transition, changes: &[(ConfChangeKind, u64)]) -> ConfChange {
        let changes = changes.iter().map(|(kind, id)| (*kind, MemberId(*id))).collect();
        ConfChange { transition, changes, ..ConfChange::default() }
    }

    /// Makes the changes one after the other, starting with voters 1, 2, 3.
    fn check(changes: &[ConfChange], expected: &str) {
        let mut configuration = Configuration::of_voters([1, 2, 3].map(MemberId));
        let mut members = configuration.fresh_progress(1);
        let mut result = Ok(());
        for change in changes {
            match configuration.after(change, &members, 1) {
                Ok(next) => (configuration, members) = next,
                Err(error) => result = Err(error),
            }
        }
        let printed = result.map_or_else(|error| error.to_string(), |()| configuration.to_string());
        assert_eq!(printed, expected, "after {changes:?}");
        assert_eq!(configuration.members(), members.keys().copied().collect::<Vec<_>>());
        for id in configuration.learners.members() {
            assert!(members[id].is_learner && !configuration.voters.contains(*id));
        }
    }

    #[test]
    fn changes_of_the_membership() {
        let simple = |changes: &[_]| change(Transition::Auto, changes);
        let joint = |changes: &[_]| change(Transition::JointExplicit, changes);
        check(&[simple(&[(AddNode, 4)])], "voters=(1 2 3 4)");
        check(&[simple(&[(AddLearnerNode, 4)])], "voters=(1 2 3) learners=(4)");
        check(&[simple(&[(AddLearnerNode, 4)]), simple(&[(AddNode, 4)])], "voters=(1 2 3 4)");
        check(&[simple(&[(RemoveNode, 1)])], "voters=(2 3)");
        check(&[simple(&[(AddLearnerNode, 3)])], "voters=(1 2) learners=(3)");
        check(&[simple(&[(AddNode, 4), (RemoveNode, 1)])], "voters=(2 3 4)&&(1 2 3) autoleave");
        check(&[simple(&[(AddNode, 4), (RemoveNode, 1)]), simple(&[])], "voters=(2 3 4)");
        check(&[joint(&[(AddLearnerNode, 3)])], "voters=(1 2)&&(1 2 3) learners_next=(3)");
        check(&[joint(&[(AddLearnerNode, 3)]), simple(&[])], "voters=(1 2) learners=(3)");
        check(&[joint(&[(AddNode, 4)]), simple(&[(AddNode, 5)])], "config is already joint");
        check(&[simple(&[])], "can't leave a non-joint config");
        check(&[joint(&[(RemoveNode, 1), (RemoveNode, 2), (RemoveNode, 3)])], "removed all voters");
    }
}
