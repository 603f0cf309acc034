//! What the worker's program asks of memory most often: a piece of it, and whether two pieces are equal. A package of
//! its own, so that it is built for speed where the rest is built small.
//!
//! Picture to hold in mind: the cook's larder and scales, which no dish is made without.
//!
//! - [`sacks`] memory, taken from the browser in few large pieces
//! - [`compare`] which of two texts comes first
//!
//! Only for WebAssembly: elsewhere the system's own serve.

pub mod compare;
#[cfg(target_family = "wasm")]
mod sacks;
