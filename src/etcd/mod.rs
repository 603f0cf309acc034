//! etcd: the cluster's only memory.
//!
//! Picture to hold in mind: three clerks with identical ledgers. A line counts once two of them have written
//! it down. One clerk, elected, decides the order of the lines; when he falls silent the others elect another,
//! and only one whose ledger lacks no line that counts can win.
//!
//! - [`raft`] how the ledgers stay identical: a pure step, no disk, no clock, no network
//! - [`identity`] what members and clusters are called
//! - [`member`] the actor: clients, disk, watches, leases
//! - [`chunks`] the row of entries that both the log and the history of keys are made of
//! - [`store`] keys with all their past
//! - [`snapshot`] a backup as a file
//! - [`auth`] users and roles

mod auth;
pub mod chunks;
pub mod identity;
pub mod member;
pub mod raft;
pub mod snapshot;
pub mod store;

pub use member::{Member, Peer};
