//! Who is a member: voters, learners, and how that is asked to change.
//!
//! Picture to hold in mind: the list on the wall of who may raise a hand. While it is being rewritten, two
//! lists hang there, and both rooms must agree.

use std::fmt;

use super::types::MemberId;
use crate::api::Text;
use crate::arrange::Arrange;

/// A set of members, sorted. Decisions need more than half of it; an empty one agrees to everything, so that
/// a second room that nobody is in changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Majority {
    members: Vec<MemberId>,
}

impl Majority {
    pub fn members(&self) -> &[MemberId] {
        &self.members
    }
    pub fn len(&self) -> usize {
        self.members.len()
    }
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
    pub fn contains(&self, id: MemberId) -> bool {
        self.members.binary_search(&id).is_ok()
    }
    pub fn insert(&mut self, id: MemberId) {
        if let Err(place) = self.members.binary_search(&id) {
            self.members.insert(place, id);
        }
    }
    pub fn remove(&mut self, id: MemberId) {
        if let Ok(place) = self.members.binary_search(&id) {
            self.members.remove(place);
        }
    }
}

impl FromIterator<MemberId> for Majority {
    fn from_iter<I: IntoIterator<Item = MemberId>>(ids: I) -> Majority {
        let mut members: Vec<MemberId> = ids.into_iter().collect();
        members.arrange();
        members.dedup();
        Majority { members }
    }
}

/// The voters: one majority, or two while the membership changes in a joint way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joint {
    pub incoming: Majority,
    /// Empty unless joint.
    pub outgoing: Majority,
}

impl Joint {
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }
    pub fn contains(&self, id: MemberId) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }
    /// All voters, sorted.
    pub fn members(&self) -> Vec<MemberId> {
        self.incoming.members.iter().chain(&self.outgoing.members).copied().collect::<Majority>().members
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChangeKind {
    AddNode,
    AddLearnerNode,
    RemoveNode,
    /// Changes nothing for Raft: a member's addresses.
    UpdateNode,
}

/// How the cluster goes through a change of more than one voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transition {
    /// Joint only if needed, and left as soon as possible.
    #[default]
    Auto,
    /// Joint, and left as soon as possible.
    JointImplicit,
    /// Joint until an empty change says to leave.
    JointExplicit,
}

/// What an entry asks of the membership. Without changes: leave the joint state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfChange {
    pub transition: Transition,
    pub changes: Vec<(ConfChangeKind, MemberId)>,
    /// The new member's name and peer address, as far as they are known.
    pub context: Vec<Text>,
    /// The member that was asked for this, and its own number for the request.
    pub proposer: Option<(MemberId, u64)>,
}

impl ConfChange {
    pub fn single(kind: ConfChangeKind, id: MemberId) -> ConfChange {
        ConfChange { changes: vec![(kind, id)], ..ConfChange::default() }
    }
    pub fn leaves_joint(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for ConfChange {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.leaves_joint() {
            return formatter.write_str("(leave joint)");
        }
        for (index, (kind, id)) in self.changes.iter().enumerate() {
            let kind = match kind {
                ConfChangeKind::AddNode => 'v',
                ConfChangeKind::AddLearnerNode => 'l',
                ConfChangeKind::RemoveNode => 'r',
                ConfChangeKind::UpdateNode => 'u',
            };
            write!(formatter, "{}{kind}{id}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// Who has a say and who only listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    pub voters: Joint,
    /// They receive the log and do not count.
    pub learners: Majority,
    /// Voters of the outgoing half that become learners when the joint state is left.
    pub learners_next: Majority,
    /// The leader leaves the joint state by itself.
    pub auto_leave: bool,
}

impl Configuration {
    pub fn of_voters(ids: impl IntoIterator<Item = MemberId>) -> Configuration {
        let voters = Joint { incoming: ids.into_iter().collect(), outgoing: Majority::default() };
        Configuration { voters, ..Configuration::default() }
    }
    /// Voters and learners, sorted.
    pub fn members(&self) -> Vec<MemberId> {
        let mut members = self.voters.members();
        members.extend(self.learners.members());
        members.arrange();
        members.dedup();
        members
    }
    pub fn contains(&self, id: MemberId) -> bool {
        self.voters.contains(id) || self.learners.contains(id)
    }
}

fn write_set(formatter: &mut fmt::Formatter, set: &Majority) -> fmt::Result {
    formatter.write_str("(")?;
    for (index, id) in set.members().iter().enumerate() {
        write!(formatter, "{}{id}", if index > 0 { " " } else { "" })?;
    }
    formatter.write_str(")")
}

impl fmt::Display for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("voters=")?;
        write_set(formatter, &self.voters.incoming)?;
        if self.voters.is_joint() {
            formatter.write_str("&&")?;
            write_set(formatter, &self.voters.outgoing)?;
        }
        for (name, set) in [(" learners=", &self.learners), (" learners_next=", &self.learners_next)] {
            if !set.is_empty() {
                formatter.write_str(name)?;
                write_set(formatter, set)?;
            }
        }
        if self.auto_leave { formatter.write_str(" autoleave") } else { Ok(()) }
    }
}
