//! How every controller, scheduler and kubelet sees the world: client-go, as plain state machines.
//!
//! Picture to hold in mind: a newspaper reader with a notebook. The [`informer`] lists once, then reads the
//! news (the watch) and keeps the notebook (the [`store`]) up to date; each piece of news goes through the
//! delta FIFO to whoever subscribed, who puts a key on a [`work_queue`]; a worker takes the key, looks into
//! the notebook, and writes letters (requests) through a rate-limited [`connection`].
//!
//! Work that must wait for answers is written as one straight function all the same: see [`journal`].
//!
//! - [`connection`] requests in flight, rate limits, timeouts
//! - [`store`] the indexer: objects by key and by index
//! - [`informer`] reflector, delta FIFO, shared informer
//! - [`work_queue`] keys waiting for a worker, with back-off
//! - [`journal`] straight-line code that waits
//! - [`call`] what a controller's sync function is given
//! - [`daemon`] a program on a node that watches a few kinds
//! - [`runner`] controllers with their queues and workers, in one process
//! - [`recorder`] events, correlated
//! - [`leader_election`] one active process of several
//! - [`url`] what a path and a query ask for

pub mod call;
pub mod connection;
pub mod daemon;
pub mod etcd;
pub mod informer;
pub mod journal;
pub mod leader_election;
pub mod recorder;
pub mod request;
pub mod runner;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod url;
pub mod work_queue;

pub use call::{Call, Interrupt};
pub use connection::{Answer, Connection, Destination};
pub use etcd::{EtcdAnswer, EtcdConnection, Listener, is_own};
pub use informer::{Delta, DeltaType, Informers, Selection};
pub use journal::Journal;
pub use recorder::Recorder;
pub use runner::{Controller, Runner};
pub use store::Store;
pub use work_queue::WorkQueue;
