//! Every flag that some command takes: its name, what it takes, what it says of itself.
//!
//! Picture to hold in mind: the back of the switchboard (see [`super`]): each wire with its tag. The tags are lines of
//! `flags.txt`, by long name: that, letter (`-` for none), kind (see [`Kind`]), default (`""` for none), help.

use crate::arrange::Gather;
use crate::sorted::search;
use std::sync::LazyLock;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--x`, `--x=false`.
    Switch,
    Text,
    Number,
    /// `30s`, `5m`.
    Duration,
    /// May be given several times, or joined with commas.
    List,
    /// May be given several times; commas belong to the value.
    Array,
    /// `--dry-run` alone means this value.
    Optional(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub help: &'static str,
}

struct Table {
    global: Vec<Flag>,
    shared: Vec<Flag>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let (global, shared) = include_str!("flags.txt").split_once("[some commands]\n").unwrap_or(("", ""));
    let read = |text: &'static str| text.lines().filter_map(flag).gather();
    Table { global: read(global), shared: read(shared) }
});

fn flag(line: &'static str) -> Option<Flag> {
    let mut words = line.splitn(5, ' ');
    let (long, short, kind, default, help) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let kind = match kind.split_once('=').unwrap_or((kind, "")) {
        ("switch", _) => Kind::Switch,
        ("number", _) => Kind::Number,
        ("duration", _) => Kind::Duration,
        ("list", _) => Kind::List,
        ("array", _) => Kind::Array,
        ("optional", alone) => Kind::Optional(alone),
        _ => Kind::Text,
    };
    let short = short.chars().next().filter(|letter| *letter != '-');
    Some(Flag { long, short, kind, default: if default == "\"\"" { "" } else { default }, help })
}

/// Flags that every command takes.
pub fn global() -> &'static [Flag] {
    &TABLE.global
}

/// A flag by its name.
pub fn find(name: &str) -> Option<&'static Flag> {
    let among = |flags: &'static [Flag]| {
        let place = search(flags.len(), &mut |index| flags[index].long.cmp(name)).ok()?;
        flags.get(place)
    };
    among(&TABLE.shared).or_else(|| among(&TABLE.global))
}

#[test]
fn flags_stand_by_name() {
    for flags in [&TABLE.global, &TABLE.shared] {
        assert!(flags.windows(2).all(|pair| pair[0].long < pair[1].long));
    }
    assert_eq!(find("output").map(|flag| flag.short), Some(Some('o')));
    assert!(find("outputs").is_none());
}
