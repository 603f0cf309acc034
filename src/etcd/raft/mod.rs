//! Raft as etcd's own library does it (`etcd-io/raft` v3.6), as a pure step: no disk, no clock, no network.
//!
//! Picture to hold in mind: a clerk who is handed letters and the strokes of a clock, and who answers by
//! filling two trays. From one the letters may leave at once. The letters in the other are promises ("you
//! have my vote", "I have written this down"): that tray is locked, and the key is the proof that the
//! ledger has been written. So a member that crashes can never have promised what it does not remember.
//!
//! - `crate::message::raft` terms, entries, and what members write to one another; what is replicated is the
//!   caller's ([`Application`](crate::message::raft::Application))
//! - [`quorum`], [`confchange`] who has a say, and how that changes
//! - [`log`] the ledger in memory; [`progress`] what the leader believes about another's ledger
//! - [`machine`] ticks, terms, elections; [`leader`], [`follower`] what a message means to each
//! - [`read`] how a leader proves that it still is one before it answers a read
//! - [`ready`] the two trays, and the disk
//! - [`event`] what happened, in etcd's words; [`status`] what can be seen of a member
//! - [`flaw`] rules that tests leave out
//! - [`script`] members, messages and commands in a text file: the best explanation of an election

pub mod confchange;
pub mod event;
pub mod flaw;
pub mod follower;
pub mod leader;
pub mod log;
pub mod machine;
pub mod progress;
pub mod quorum;
pub mod read;
pub mod ready;
pub mod script;
pub mod status;

pub use event::Event;
pub use flaw::Flaw;
pub use machine::{Config, ProposalDropped, Raft, Role};
pub use read::ReadState;
pub use ready::{Disk, Persisted, Ready, Released, Write};
pub use status::Status;
