//! From a field's path to its place in the text.
//!
//! Picture to hold in mind: following a spoken address through a house: second floor, third door, left shelf. If
//! the shelf is missing, one still ends up pointing at the right door.

use super::Span;
use super::parser::{Node, NodeKind};

/// Where a field is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// Its key, where it has one (list items have none).
    pub key: Option<Span>,
    pub value: Span,
    /// False when the field itself is not there: then this is the nearest one around it.
    pub exact: bool,
}

impl Location {
    /// What to underline: the key of what is missing inside, the value otherwise.
    pub fn span(&self) -> Span {
        match self.key {
            Some(key) if !self.exact => key,
            _ => self.value,
        }
    }
}

pub(super) fn locate(nodes: &[Node], root: usize, path: &str) -> Location {
    let mut here = Location { key: None, value: nodes[root].span, exact: true };
    let mut id = root;
    let mut rest = path;
    while !rest.is_empty() {
        let Some((key, value, tail)) = step(nodes, id, rest, 0) else {
            here.exact = false;
            return here;
        };
        here = Location { key: key.map(|key| nodes[key].span), value: nodes[value].span, exact: true };
        (id, rest) = (value, tail);
    }
    here
}

type Step<'a> = (Option<usize>, usize, &'a str);

/// One step down from `id`: the key's and value's nodes, and what is left of the path.
fn step<'a>(nodes: &[Node], id: usize, path: &'a str, depth: usize) -> Option<Step<'a>> {
    match &nodes[id].kind {
        NodeKind::Scalar { .. } => None,
        NodeKind::Alias { target, .. } if depth < 10 => step(nodes, *target, path, depth + 1),
        NodeKind::Alias { .. } => None,
        NodeKind::Sequence(items) => {
            let (index, tail) = path.strip_prefix('[')?.split_once(']')?;
            Some((None, *items.get(index.parse::<usize>().ok()?)?, tail.strip_prefix('.').unwrap_or(tail)))
        }
        NodeKind::Mapping(entries) => {
            // Keys may hold dots: of those that fit the longest is meant. The last of equal keys counts.
            let fits = |key: &str| -> Option<&'a str> {
                if let Some(inside) = path.strip_prefix('[') {
                    let tail = inside.strip_prefix(key)?.strip_prefix(']')?;
                    return Some(tail.strip_prefix('.').unwrap_or(tail));
                }
                let tail = path.strip_prefix(key)?;
                match tail.as_bytes().first() {
                    None | Some(b'[') => Some(tail),
                    Some(b'.') => Some(&tail[1..]),
                    _ => None,
                }
            };
            let mut best: Option<(usize, Step<'a>)> = None;
            for (key, value) in entries {
                let NodeKind::Scalar { text, plain } = &nodes[*key].kind else { continue };
                if text == "<<" && *plain {
                    if best.is_none()
                        && let Some(found) = step(nodes, *value, path, depth + 1)
                    {
                        best = Some((0, found));
                    }
                    continue;
                }
                if let Some(tail) = fits(text)
                    && best.is_none_or(|(length, _)| text.len() >= length)
                {
                    best = Some((text.len(), (Some(*key), *value, tail)));
                }
            }
            best.map(|(_, found)| found)
        }
    }
}
