//! What a kubelet tells about a pod.
//!
//! Picture to hold in mind: a nurse's chart. It is written anew from what is seen on each round ([`generate`]),
//! compared with the last one, and sent to the ward desk as the lines that changed ([`patch`]); the desk's own
//! lines are left alone.
//!
//! - [`phase`] Pending, Running, Succeeded, Failed
//! - [`containers`] container statuses out of what the runtime says
//! - [`conditions`] Initialized, Ready and the others
//! - [`generate`] the whole
//! - [`patch`] the difference as a strategic merge patch

pub mod conditions;
pub mod containers;
pub mod generate;
pub mod patch;
pub mod phase;

pub use generate::{Observed, Probed, generate};
