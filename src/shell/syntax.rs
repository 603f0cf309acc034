//! What a line of shell means: the tree that the parser makes and the interpreter walks.
//!
//! Picture to hold in mind: a sentence diagram. Words hang below commands, commands below pipes, pipes below
//! `&&` and `;`. Branches are shared, so that an interpreter can hold on to one and be copied for nothing.
//!
//! Follows chapter 2 of POSIX.1-2024 ("Shell Command Language"), as far as `docs` of [`super`] says.

use std::sync::Arc;

use crate::api::Text;

/// One word before expansion: its pieces stand side by side without a space.
pub type Word = Vec<Piece>;

#[derive(Debug)]
pub enum Piece {
    /// Unquoted text: `*`, `?` and `[` in it match file names.
    Text(String),
    /// Text that means itself.
    Quoted(String),
    /// `$NAME`, `${NAME:-word}`. In double quotes the value is not split.
    Parameter { name: Text, operation: Option<(Operation, Word)>, quoted: bool },
    /// `$(command)`.
    Command { script: Arc<str>, quoted: bool },
    /// `$((expression))`.
    Arithmetic { expression: Word, quoted: bool },
    /// `~` at the start of a word.
    Home,
}

/// What a parameter expansion does with the value.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// `${x-word}` and, with `colon`, `${x:-word}`.
    Default { colon: bool },
    /// `${x=word}`.
    Assign { colon: bool },
    /// `${x+word}`.
    Alternative { colon: bool },
    /// `${x?word}`.
    Require { colon: bool },
    /// `${#x}`.
    Length,
    /// `${x#pattern}`, `${x##pattern}`.
    Prefix { longest: bool },
    /// `${x%pattern}`, `${x%%pattern}`.
    Suffix { longest: bool },
}

#[derive(Debug)]
pub enum Node {
    Simple(Simple),
    /// `a | b | c`, with `!` before it.
    Pipeline {
        negated: bool,
        parts: Vec<Arc<Node>>,
    },
    And(Arc<Node>, Arc<Node>),
    Or(Arc<Node>, Arc<Node>),
    List(Vec<Arc<Node>>),
    /// `command &`.
    Background(Arc<Node>),
    /// `( list )`.
    Subshell {
        body: Arc<Node>,
        redirections: Vec<Redirection>,
    },
    /// `{ list; }`, and the compound commands below when they have redirections.
    Group {
        body: Arc<Node>,
        redirections: Vec<Redirection>,
    },
    If {
        branches: Vec<(Arc<Node>, Arc<Node>)>,
        otherwise: Option<Arc<Node>>,
    },
    Loop {
        until: bool,
        condition: Arc<Node>,
        body: Arc<Node>,
    },
    /// `for name in words`; without `in`, the positional parameters.
    For {
        name: Text,
        words: Option<Vec<Word>>,
        body: Arc<Node>,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<Word>, Arc<Node>)>,
    },
    Function {
        name: Text,
        body: Arc<Node>,
    },
}

/// A command with its arguments.
#[derive(Debug, Default)]
pub struct Simple {
    pub assignments: Vec<(Text, Word)>,
    pub words: Vec<Word>,
    pub redirections: Vec<Redirection>,
}

#[derive(Debug)]
pub struct Redirection {
    /// The file descriptor, 0 to 2.
    pub descriptor: u8,
    pub target: Target,
}

#[derive(Debug)]
pub enum Target {
    /// `< word`.
    Read(Word),
    /// `> word`, or `>> word`.
    Write { word: Word, append: bool },
    /// `2>&1`.
    Duplicate(u8),
    /// `<<END`, `<<<word`.
    Here(Word),
}
