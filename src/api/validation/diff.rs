//! The unified diff that some refusals carry.
//!
//! Picture to hold in mind: two sheets laid over each other against the light; only the lines that do not shine
//! through are read out, with three lines around them.
//!
//! Follows `k8s.io/apimachinery/pkg/util/diff`, which prints both values as indented JSON and compares lines with
//! go-difflib (Python's `difflib`): the longest common run first, then left and right of it; in texts of 200
//! lines and more a line that makes up over 1% of them starts no run.

use crate::api::value::Value;
use crate::arrange::{Arrange, Gather};
use crate::sorted::SortedMap;

const CONTEXT: usize = 3;

/// The diff of two internal structs, as error details carry it; empty when they print the same.
pub fn of_structs(kind: &'static str, old: &Value, new: &Value) -> String {
    unified(&super::go::pretty(kind, old), &super::go::pretty(kind, new))
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Block {
    a: usize,
    b: usize,
    size: usize,
}

/// Unified diff without file names.
pub fn unified(old: &str, new: &str) -> String {
    let (a, b) = (lines(old), lines(new));
    let mut text = String::new();
    for group in groups(&matching_blocks(&a, &b), a.len(), b.len()) {
        let (first, last) = (group[0], group[group.len() - 1]);
        text.push_str(&format!("@@ -{} +{} @@\n", range(first.0, last.1), range(first.2, last.3)));
        for (from_a, to_a, from_b, to_b, same) in group {
            let mut put = |sign: char, lines: &[&str]| {
                for line in lines {
                    text.push(sign);
                    text.push_str(line);
                    text.push('\n');
                }
            };
            if same {
                put(' ', &a[from_a..to_a]);
            } else {
                put('-', &a[from_a..to_a]);
                put('+', &b[from_b..to_b]);
            }
        }
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split('\n').gather()
}

fn range(from: usize, to: usize) -> String {
    match to - from {
        1 => format!("{}", from + 1),
        0 => format!("{from},0"),
        length => format!("{},{length}", from + 1),
    }
}

/// Equal runs, in order, adjacent ones merged, with an empty one at the end.
fn matching_blocks(a: &[&str], b: &[&str]) -> Vec<Block> {
    let mut places: SortedMap<&str, Vec<usize>> = SortedMap::new();
    for (index, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(index);
    }
    if b.len() >= 200 {
        places.retain(|_, indexes| indexes.len() <= b.len() / 100 + 1);
    }
    let mut found = Vec::new();
    let mut queue = vec![(0, a.len(), 0, b.len())];
    while let Some((a_low, a_high, b_low, b_high)) = queue.pop() {
        let block = longest(a, b, &places, (a_low, a_high, b_low, b_high));
        if block.size > 0 {
            found.push(block);
            if a_low < block.a && b_low < block.b {
                queue.push((a_low, block.a, b_low, block.b));
            }
            let (a_end, b_end) = (block.a + block.size, block.b + block.size);
            if a_end < a_high && b_end < b_high {
                queue.push((a_end, a_high, b_end, b_high));
            }
        }
    }
    found.arrange_by_key(|block| (block.a, block.b));
    let mut merged: Vec<Block> = Vec::new();
    for block in found {
        match merged.last_mut() {
            Some(last) if last.a + last.size == block.a && last.b + last.size == block.b => {
                last.size += block.size
            }
            _ => merged.push(block),
        }
    }
    merged.push(Block { a: a.len(), b: b.len(), size: 0 });
    merged
}

fn longest(
    a: &[&str],
    b: &[&str],
    places: &SortedMap<&str, Vec<usize>>,
    (a_low, a_high, b_low, b_high): (usize, usize, usize, usize),
) -> Block {
    let mut best = Block { a: a_low, b: b_low, size: 0 };
    // Length of the common run that ends at this line of a and at line j of b.
    let mut run_ends: SortedMap<usize, usize> = SortedMap::new();
    for (i, line) in a.iter().enumerate().take(a_high).skip(a_low) {
        let mut next = SortedMap::new();
        for &j in places.get(line).into_iter().flatten() {
            if j < b_low {
                continue;
            }
            if j >= b_high {
                break;
            }
            let size = j.checked_sub(1).and_then(|before| run_ends.get(&before)).copied().unwrap_or(0) + 1;
            next.insert(j, size);
            if size > best.size {
                best = Block { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        run_ends = next;
    }
    while best.a > a_low && best.b > b_low && a[best.a - 1] == b[best.b - 1] {
        best = Block { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < a_high
        && best.b + best.size < b_high
        && a[best.a + best.size] == b[best.b + best.size]
    {
        best.size += 1;
    }
    best
}

type Operation = (usize, usize, usize, usize, bool);

/// Runs of changes with their context. None when nothing changed.
fn groups(blocks: &[Block], a_length: usize, b_length: usize) -> Vec<Vec<Operation>> {
    let mut operations: Vec<Operation> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for block in blocks {
        if i < block.a || j < block.b {
            operations.push((i, block.a, j, block.b, false));
        }
        if block.size > 0 {
            operations.push((block.a, block.a + block.size, block.b, block.b + block.size, true));
        }
        (i, j) = (block.a + block.size, block.b + block.size);
    }
    debug_assert!(i == a_length && j == b_length);
    if let Some(first) = operations.first_mut()
        && first.4
    {
        first.0 = first.0.max(first.1.saturating_sub(CONTEXT));
        first.2 = first.2.max(first.3.saturating_sub(CONTEXT));
    }
    if let Some(last) = operations.last_mut()
        && last.4
    {
        last.1 = last.1.min(last.0 + CONTEXT);
        last.3 = last.3.min(last.2 + CONTEXT);
    }
    let mut groups = Vec::new();
    let mut group: Vec<Operation> = Vec::new();
    for (from_a, to_a, from_b, to_b, same) in operations {
        let (mut from_a, mut from_b) = (from_a, from_b);
        if same && to_a - from_a > 2 * CONTEXT {
            group.push((from_a, to_a.min(from_a + CONTEXT), from_b, to_b.min(from_b + CONTEXT), true));
            groups.push(std::mem::take(&mut group));
            from_a = from_a.max(to_a.saturating_sub(CONTEXT));
            from_b = from_b.max(to_b.saturating_sub(CONTEXT));
        }
        group.push((from_a, to_a, from_b, to_b, same));
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|operation| !operation.4));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_shown() {
        for (old, new, expected) in [
            ("a\nb", "a\nb", ""),
            (
                "1\n2\n3\n4\n5\n6\n7\n8\n9",
                "1\n2\n3\n4\nx\n6\n7\n8\n9",
                "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n",
            ),
            ("a", "a\nb", "@@ -1 +1,2 @@\n a\n+b\n"),
        ] {
            assert_eq!(unified(old, new), expected);
        }
    }
}
