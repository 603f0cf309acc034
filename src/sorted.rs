//! Small maps and sets in order.
//!
//! Picture to hold in mind: one drawer of cards that stand by name. Whoever looks for a card opens the drawer in the
//! middle, and again in the middle of the half that is left; a new card pushes those behind it back.
//!
//! They read like the standard library's balanced trees and take a fifth of their code: a tree costs five kilobytes of
//! the page for each type of entry, which dozens of types of a few entries each are not worth. A new entry moves those
//! behind it, so what may hold tens of thousands, or is copied at every checkpoint, belongs in a
//! [`SharedMap`](crate::shared_map::SharedMap).

mod map;
mod set;

use std::cmp::Ordering;
use std::ops::{Bound, RangeBounds};

pub use map::{Entry, SortedMap};
pub use set::SortedSet;

/// The place of what `compare` finds equal among `count` items, or where it would stand. Compiled once for all types.
///
/// Here and wherever else most of the time is spent, items are taken from a slice: where the program is built small,
/// taking one from a `Vec` by its number is a call.
#[cfg_attr(published, optimize(speed))]
pub(crate) fn search(count: usize, compare: &mut dyn FnMut(usize) -> Ordering) -> Result<usize, usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        match compare(middle) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal => return Ok(middle),
            Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// The places between two bounds; `find` is [`search`] for a key. Backward bounds hold nothing.
fn places<Q: ?Sized>(
    count: usize,
    range: &impl RangeBounds<Q>,
    find: impl Fn(&Q) -> Result<usize, usize>,
) -> std::ops::Range<usize> {
    let (after, before) = (|place| place + 1, |place| place);
    let start = match range.start_bound() {
        Bound::Unbounded => 0,
        Bound::Included(key) => find(key).unwrap_or_else(before),
        Bound::Excluded(key) => find(key).map_or_else(before, after),
    };
    let end = match range.end_bound() {
        Bound::Unbounded => count,
        Bound::Included(key) => find(key).map_or_else(before, after),
        Bound::Excluded(key) => find(key).unwrap_or_else(before),
    };
    start..end.max(start)
}

#[cfg(test)]
mod tests;
