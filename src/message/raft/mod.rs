//! Between the members of etcd: what they write to one another (`raftpb/raft.proto`), printed as etcd's
//! `DescribeMessage` does.
//!
//! Picture to hold in mind: every letter carries its writer's reign in the corner. A later reign than one's own
//! ends whatever one was doing; an earlier one is waste paper.
//!
//! What is replicated is left open ([`Application`]): the algorithm never looks into it.

pub mod membership;
pub mod types;

use std::fmt;
use std::sync::Arc;

pub use membership::{ConfChange, ConfChangeKind, Configuration, Joint, Majority, Transition};
pub use types::{Application, Entry, EntryId, HardState, MemberId, Payload, Snapshot};

#[derive(Clone, Debug)]
pub struct Message<A: Application> {
    pub from: MemberId,
    pub to: MemberId,
    /// The sender's term; of a (pre-)vote, the term it is asked for. 0: no claim to any.
    pub term: u64,
    pub body: Body<A>,
}

#[derive(Clone, Debug)]
pub enum Body<A: Application> {
    /// A follower passes a proposal on to its leader.
    Prop {
        payloads: Arc<[Payload<A>]>,
    },
    /// Entries that follow `previous`, perhaps none; and how far is committed.
    App {
        previous: EntryId,
        entries: Arc<[Entry<A>]>,
        commit: u64,
    },
    /// All up to `index` is on disk and equals the leader's; or why not.
    AppResp {
        index: u64,
        rejected: Option<Rejection>,
    },
    /// The leader lives. `context` names the last read that waits for it to be confirmed; 0: none.
    Heartbeat {
        commit: u64,
        context: u64,
    },
    HeartbeatResp {
        context: u64,
    },
    /// Would you vote for me? Changes nobody's term.
    PreVote {
        last: EntryId,
    },
    PreVoteResp {
        rejected: bool,
    },
    /// `transfer`: the leader asked for this election, so its lease is no reason to refuse.
    Vote {
        last: EntryId,
        transfer: bool,
    },
    VoteResp {
        rejected: bool,
    },
    Snap {
        snapshot: Arc<Snapshot<A>>,
    },
    /// Hand over to the follower named.
    TransferLeader {
        transferee: MemberId,
    },
    /// Campaign now: the leader hands over.
    TimeoutNow,
    /// Up to which index must a read that begins now have applied? `request` is the asker's own number.
    ReadIndex {
        request: u64,
    },
    ReadIndexResp {
        index: u64,
        request: u64,
    },
}

/// Why an append was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The furthest place at which the two logs may agree, and the follower's term there.
    pub hint: EntryId,
}

impl<A: Application> Body<A> {
    /// The name of `raftpb.MessageType`.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Prop { .. } => "MsgProp",
            Body::App { .. } => "MsgApp",
            Body::AppResp { .. } => "MsgAppResp",
            Body::Heartbeat { .. } => "MsgHeartbeat",
            Body::HeartbeatResp { .. } => "MsgHeartbeatResp",
            Body::PreVote { .. } => "MsgPreVote",
            Body::PreVoteResp { .. } => "MsgPreVoteResp",
            Body::Vote { .. } => "MsgVote",
            Body::VoteResp { .. } => "MsgVoteResp",
            Body::Snap { .. } => "MsgSnap",
            Body::TransferLeader { .. } => "MsgTransferLeader",
            Body::TimeoutNow => "MsgTimeoutNow",
            Body::ReadIndex { .. } => "MsgReadIndex",
            Body::ReadIndexResp { .. } => "MsgReadIndexResp",
        }
    }
    /// Answers: they need a sender that is known.
    pub fn is_response(&self) -> bool {
        matches!(
            self,
            Body::AppResp { .. }
                | Body::HeartbeatResp { .. }
                | Body::PreVoteResp { .. }
                | Body::VoteResp { .. }
                | Body::ReadIndexResp { .. }
        )
    }
}

impl<A: Application> Message<A> {
    /// Whether both are the same sign of life, word for word. Most of an idle cluster's letters are.
    pub fn is_same_heartbeat(&self, other: &Message<A>) -> bool {
        let is_same = match (&self.body, &other.body) {
            (Body::Heartbeat { commit, context }, Body::Heartbeat { commit: c, context: x }) => {
                (commit, context) == (c, x)
            }
            (Body::HeartbeatResp { context }, Body::HeartbeatResp { context: x }) => context == x,
            _ => false,
        };
        is_same && (self.from, self.to, self.term) == (other.from, other.to, other.term)
    }
    /// A number that is equal for equal messages and differs, in practice, for different ones.
    pub fn digest(&self) -> u64 {
        let (kind, words) = match &self.body {
            Body::Prop { payloads } => (1, [payloads.len() as u64, 0, 0]),
            Body::App { previous, entries, commit } => {
                (2, [previous.index ^ previous.term << 40, *commit, entries.len() as u64])
            }
            Body::AppResp { index, rejected: None } => (3, [*index, 0, 0]),
            Body::AppResp { index, rejected: Some(rejection) } => {
                (4, [*index, rejection.hint.index, rejection.hint.term])
            }
            Body::Heartbeat { commit, context } => (5, [*commit, *context, 0]),
            Body::HeartbeatResp { context } => (6, [*context, 0, 0]),
            Body::PreVote { last } => (7, [last.index, last.term, 0]),
            Body::PreVoteResp { rejected } => (8, [u64::from(*rejected), 0, 0]),
            Body::Vote { last, transfer } => (9, [last.index, last.term, u64::from(*transfer)]),
            Body::VoteResp { rejected } => (10, [u64::from(*rejected), 0, 0]),
            Body::Snap { snapshot } => (11, [snapshot.last.index, snapshot.last.term, 0]),
            Body::TransferLeader { transferee } => (12, [transferee.0, 0, 0]),
            Body::TimeoutNow => (13, [0; 3]),
            Body::ReadIndex { request } => (14, [*request, 0, 0]),
            Body::ReadIndexResp { index, request } => (15, [*index, *request, 0]),
        };
        let mut digest = kind;
        let [first, second, third] = words;
        for word in &[self.from.0, self.to.0, self.term, first, second, third] {
            digest = (digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        digest
    }
}

impl<A: Application> fmt::Display for Message<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}->{} {}", self.from, self.to, self.body.name())?;
        if self.term != 0 {
            write!(formatter, " Term:{}", self.term)?;
        }
        match &self.body {
            Body::Prop { payloads } => write!(formatter, " Entries:{}", payloads.len()),
            Body::App { previous, entries, commit } => {
                write!(formatter, " Log:{previous} Commit:{commit}")?;
                if !entries.is_empty() {
                    formatter.write_str(" Entries:[")?;
                    for (index, entry) in entries.iter().enumerate() {
                        write!(formatter, "{}{entry}", if index > 0 { ", " } else { "" })?;
                    }
                    formatter.write_str("]")?;
                }
                Ok(())
            }
            Body::AppResp { index, rejected: None } => write!(formatter, " Index:{index}"),
            Body::AppResp { index, rejected: Some(rejection) } => {
                write!(formatter, " Index:{index} Rejected (Hint: {})", rejection.hint)
            }
            Body::Heartbeat { commit, context } => {
                write!(formatter, " Commit:{commit}")?;
                write_context(formatter, *context)
            }
            Body::HeartbeatResp { context } => write_context(formatter, *context),
            Body::PreVote { last } => write!(formatter, " Log:{last}"),
            Body::Vote { last, transfer } => {
                write!(formatter, " Log:{last}{}", if *transfer { " CampaignTransfer" } else { "" })
            }
            Body::PreVoteResp { rejected } | Body::VoteResp { rejected } => {
                formatter.write_str(if *rejected { " Rejected" } else { "" })
            }
            Body::Snap { snapshot } => write!(formatter, " Snapshot:{snapshot}"),
            Body::TransferLeader { transferee } => write!(formatter, " Transferee:{transferee}"),
            Body::TimeoutNow => Ok(()),
            Body::ReadIndex { request } => write!(formatter, " Request:{request}"),
            Body::ReadIndexResp { index, request } => {
                write!(formatter, " Index:{index} Request:{request}")
            }
        }
    }
}

fn write_context(formatter: &mut fmt::Formatter, context: u64) -> fmt::Result {
    if context > 0 { write!(formatter, " Context:{context}") } else { Ok(()) }
}
