//! A worker's own: the kubelet, and the container engine that it directs.
//!
//! Picture to hold in mind: a building site. The foreman (the kubelet) has the plans from the office and
//! reports back; the crane driver (the [`runtime`]) lifts what the foreman signals.
//!
//! - [`clock`] what `date` prints on a node
//! - [`runtime`] the container engine: sandboxes, containers, images, the process model

pub mod clock;
pub mod runtime;
