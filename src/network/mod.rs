//! How pods get onto the network, and how packets find them.
//!
//! Picture to hold in mind: a fitter with a toolbox who is called to a newly built room (a network namespace):
//! the [`cni`] file on the wall says which tools to use, the [`ipam`] ledger which number to put on the door.
//!
//! - [`ipam`] addresses out of a range: the `host-local` plugin
//! - [`cni`] the network configuration file, and what a plugin makes of it

pub mod cni;
pub mod ipam;
