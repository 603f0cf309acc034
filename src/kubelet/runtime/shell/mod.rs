//! The small shell that runs inside of containers.
//!
//! Picture to hold in mind: a script is cut into numbered cards ([`compile`]); a reader with a finger on one
//! card ([`machine`]) acts it out and moves the finger. When a card says `sleep`, the reader notes the hour
//! and goes away; the finger stays where it is. So a running script is plain data that can be copied with the
//! rest of the world.
//!
//! It knows what the shell of a busybox image is used for in manifests: lists, `if`, `while`, `until`, `for`,
//! `case`, functions, groups, pipes, redirection, `&`, `trap`, expansions. What it does not know it answers
//! with the shell's own syntax error.
//!
//! - [`lexer`] text to tokens
//! - [`compile`] tokens to cards
//! - [`expand`] `$VAR`, `$(command)`, `$((1+1))`, `*`
//! - [`machine`] the reader
//! - [`builtins`] commands that change the shell itself: `cd`, `trap`, `exec` ...
//! - [`redirect`] where output goes
//! - [`commands`] what programs do; [`files_tools`], [`text_tools`], [`system_tools`]

mod builtins;
pub mod commands;
pub mod compile;
pub mod expand;
mod files_tools;
pub mod lexer;
pub mod machine;
mod redirect;
mod system_tools;
mod text_tools;

#[cfg(test)]
mod tests;

pub use compile::{Code, compile};
pub use machine::{Machine, Surroundings};
