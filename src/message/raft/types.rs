//! The nouns of Raft: members, terms, entries, snapshots.
//!
//! Picture to hold in mind: a line of the ledger, with its number (index) and the reign in which it was written
//! (term). Two ledgers that have the same line at the same number with the same reign are equal up to it.

use std::fmt;
use std::sync::Arc;

use super::membership::{ConfChange, Configuration};

/// Names a member of the cluster for ever. Printed in hexadecimal, as etcd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

/// What is replicated, and how much of it there is.
pub trait Application: Clone + fmt::Debug + 'static {
    /// What a log entry asks of the application. Cloned with every message: behind an `Arc`.
    type Command: Clone + fmt::Debug + fmt::Display;
    /// The application's whole state at one index. Cheap to clone.
    type Snapshot: Clone + fmt::Debug;
    /// Bytes on the wire, for the limits on messages and on the uncommitted tail.
    fn size(command: &Self::Command) -> u64;
}

/// Where a log stands: what elections compare.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct EntryId {
    /// First: a later reign beats a longer log.
    pub term: u64,
    pub index: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}/{}", self.term, self.index)
    }
}

#[derive(Clone, Debug)]
pub struct Entry<A: Application> {
    pub term: u64,
    pub index: u64,
    pub payload: Payload<A>,
}

#[derive(Clone, Debug)]
pub enum Payload<A: Application> {
    /// What a new leader writes first: committing it commits all that came before.
    Empty,
    Normal(A::Command),
    ConfChange(Arc<ConfChange>),
}

impl<A: Application> Payload<A> {
    pub fn size(&self) -> u64 {
        match self {
            Payload::Empty => 0,
            Payload::Normal(command) => A::size(command),
            // What one change takes in protobuf, roughly; only the limits look at it.
            Payload::ConfChange(change) => 8 * change.changes.len() as u64,
        }
    }
}

impl<A: Application> Entry<A> {
    pub fn id(&self) -> EntryId {
        EntryId { term: self.term, index: self.index }
    }
}

impl<A: Application> fmt::Display for Entry<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match &self.payload {
            Payload::Empty => write!(formatter, "{} EntryNormal \"\"", self.id()),
            Payload::Normal(command) => write!(formatter, "{} EntryNormal \"{command}\"", self.id()),
            Payload::ConfChange(change) => write!(formatter, "{} EntryConfChange {change}", self.id()),
        }
    }
}

/// What a member must remember across a crash besides its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HardState {
    pub term: u64,
    pub vote: Option<MemberId>,
    /// Need not be remembered, but spares asking.
    pub commit: u64,
}

impl fmt::Display for HardState {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Term:{}", self.term)?;
        if let Some(vote) = self.vote {
            write!(formatter, " Vote:{vote}")?;
        }
        write!(formatter, " Commit:{}", self.commit)
    }
}

/// The application's state in place of all entries up to `last`, and who was a member then.
#[derive(Clone, Debug)]
pub struct Snapshot<A: Application> {
    pub last: EntryId,
    pub configuration: Configuration,
    pub data: A::Snapshot,
}

impl<A: Application> fmt::Display for Snapshot<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "Index:{} Term:{} ConfState:{}",
            self.last.index, self.last.term, self.configuration
        )
    }
}
