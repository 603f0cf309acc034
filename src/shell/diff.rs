//! A unified diff of two texts, by lines.
//!
//! Picture to hold in mind: two ribbons laid side by side, pinned together where their lines agree; the
//! longest row of pins wins.

use crate::arrange::Gather;

/// Above this many pairs of lines the middle is taken as changed as a whole, so that no input can hang.
const MAXIMUM_CELLS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// The hunks of a unified diff with `context` lines around each change; empty when the texts are equal.
pub fn unified(old: &str, new: &str, context: usize) -> String {
    let old_lines: Vec<&str> = old.lines().gather();
    let new_lines: Vec<&str> = new.lines().gather();
    let edits = edits(&old_lines, &new_lines);
    let mut result = String::new();
    let changed: Vec<usize> =
        edits.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep).map(|(index, _)| index).gather();
    let mut at = 0;
    while at < changed.len() {
        let start = changed[at].saturating_sub(context);
        let mut end = changed[at] + 1;
        while at < changed.len() && changed[at] <= end + 2 * context {
            end = changed[at] + 1;
            at += 1;
        }
        let end = (end + context).min(edits.len());
        let position =
            |wanted: &[Edit], upto: usize| edits[..upto].iter().filter(|edit| wanted.contains(edit)).count();
        let (old_start, new_start) =
            (position(&[Edit::Keep, Edit::Remove], start), position(&[Edit::Keep, Edit::Add], start));
        let (old_end, new_end) =
            (position(&[Edit::Keep, Edit::Remove], end), position(&[Edit::Keep, Edit::Add], end));
        result += &format!("@@ -{} +{} @@\n", range(old_start, old_end), range(new_start, new_end));
        let (mut o, mut n) = (old_start, new_start);
        for edit in &edits[start..end] {
            match edit {
                Edit::Keep => {
                    result += &format!(" {}\n", old_lines[o]);
                    (o, n) = (o + 1, n + 1);
                }
                Edit::Remove => {
                    result += &format!("-{}\n", old_lines[o]);
                    o += 1;
                }
                Edit::Add => {
                    result += &format!("+{}\n", new_lines[n]);
                    n += 1;
                }
            }
        }
    }
    result
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let suffix =
        old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[prefix..old.len() - suffix], &new[prefix..new.len() - suffix]);
    let mut edits = vec![Edit::Keep; prefix];
    if a.len().saturating_mul(b.len()) > MAXIMUM_CELLS {
        edits.extend(vec![Edit::Remove; a.len()]);
        edits.extend(vec![Edit::Add; b.len()]);
    } else {
        // longest[i][j]: of what lies behind i and j.
        let width = b.len() + 1;
        let mut longest = vec![0u32; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                longest[i * width + j] = if a[i] == b[j] {
                    longest[(i + 1) * width + j + 1] + 1
                } else {
                    longest[(i + 1) * width + j].max(longest[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                edits.push(Edit::Keep);
                (i, j) = (i + 1, j + 1);
            } else if i < a.len()
                && (j == b.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1])
            {
                edits.push(Edit::Remove);
                i += 1;
            } else {
                edits.push(Edit::Add);
                j += 1;
            }
        }
    }
    edits.extend(vec![Edit::Keep; suffix]);
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_changed_with_its_surroundings() {
        let old = "a\nb\nc\nd\ne\n";
        for (new, expected) in [
            ("a\nb\nc\nd\ne\n", ""),
            ("a\nb\nX\nd\ne\n", "@@ -2,3 +2,3 @@\n b\n-c\n+X\n d\n"),
            ("a\nb\nc\nd\ne\nf\n", "@@ -5 +5,2 @@\n e\n+f\n"),
            ("b\nc\nd\ne\n", "@@ -1,2 +1 @@\n-a\n b\n"),
        ] {
            assert_eq!(unified(old, new, 1), expected);
        }
    }
}
