//! etcd under faults: the laws of Raft and of the store, judged from outside.
//!
//! Picture to hold in mind: three clerks in a building with bad lights and worse corridors, some customers who
//! write down when they asked what and when they were told what, and an inspector who reads all the ledgers
//! at the end. `ETCD_SEED=17 cargo test --test etcd` plays one day again, `ETCD_SEEDS=1000` plays many.

mod faults;
mod laws;
mod stories;
mod world;
