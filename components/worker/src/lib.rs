//! The cluster behind a message port.
//!
//! Picture to hold in mind: a bank counter with a pane of glass. The page stands on one side, the cluster on the
//! other; only slips of paper pass through the slot, and each side goes on with its work while the other reads.
//!
//! - [`protocol`] the slips; [`lint`] what is wrong with a manifest
//! - [`run_in`] a cluster that nobody sees, for the browser's compiler
//! - [`session`] the clerk: takes one slip, or a little of wall time, and answers with slips
//!
//! Nothing here knows a DOM; the binary beside it ties both to the browser's worker.

pub mod lint;
pub mod protocol;
pub mod run_in;
pub mod session;
