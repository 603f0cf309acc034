//! The one language of this world: its messages, timers, notes and commands, bound together for the engine.

use crate::command::Command;
use crate::message::Message;
use crate::note::Note;
use crate::sim;
use crate::timer::Timer;

/// Never made; names the language in type arguments.
#[derive(Clone)]
pub enum Wire {}

impl sim::Language for Wire {
    type Message = Message;
    type Timer = Timer;
    type Command = Command;
    type Note = Note;
}

/// An actor's hands.
pub type Context<'a> = sim::Context<'a, Wire>;
/// What comes in to an actor.
pub type Input = sim::Input<Wire>;
