//! kubectl: a client of the API server like any other.
//!
//! Picture to hold in mind: the user's own hand.

use crate::shell::program::Main;

/// The programs that a terminal has besides its tools.
pub const PROGRAMS: &[(&str, Main)] = &[];
