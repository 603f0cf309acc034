//! Rules of Raft that can be left out, so that tests see which law of `tests/etcd` and `tests/raft.rs` finds it.
//!
//! Picture to hold in mind: the forged note that a bank shows its cashiers. A law that has never caught anything may be
//! one that catches nothing; so now and then a member is let in that breaks just one rule.
//!
//! A member without pre-vote needs no flaw: it is one of etcd's own flags.

use super::machine::Raft;
use crate::message::raft::Application;

/// What a flawed member does. Only tests set one, and only a build with debug assertions heeds it: in the page there
/// is no such code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It acts on messages of earlier terms as if they were of its own.
    NoTermCheck,
    /// It commits what a majority has, whichever term that is of (Figure 8 of the Raft paper).
    CommitsOlderTerms,
    /// It votes for everybody who asks in a term.
    VotesTwice,
    /// It forgets in a crash for whom it voted.
    ForgetsVote,
}

impl<A: Application> Raft<A> {
    pub(super) fn has(&self, flaw: Flaw) -> bool {
        cfg!(debug_assertions) && self.config.flaw == Some(flaw)
    }
}
