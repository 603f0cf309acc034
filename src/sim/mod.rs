//! A discrete-event engine that has never heard of Kubernetes.
//!
//! Picture to hold in mind: one queue of envelopes, sorted by the instant at which each is opened. Opening
//! one hands it to an actor; the actor changes its own state and drops new envelopes, for later, into its
//! outbox. Nothing else ever happens. So the seed, the scenario and the log of commands decide everything,
//! and a copy of the engine is a checkpoint from which the same future unrolls again.
//!
//! - [`time`] instants and lengths, whole microseconds
//! - [`random`] seeded streams
//! - [`actor`] what an actor is given and what it may do
//! - [`network`] how long a message takes, and whether it arrives
//! - [`engine`] the loop; `queue` what is due
//! - [`trace`] what happened, and because of what
//! - [`history`] the command log, checkpoints, seek and fork

pub mod actor;
pub mod engine;
pub mod history;
pub mod network;
mod queue;
pub mod random;
pub mod time;
pub mod trace;

pub use actor::{ActorId, Context, Control, Input, Language, World};
pub use engine::Engine;
pub use history::History;
pub use network::{HostId, Network};
pub use random::Random;
pub use time::{Duration, Time};
pub use trace::{Record, RecordId, Trace, What};
