//! Columns out of text with tabs, as Go's `text/tabwriter` sets them.
//!
//! Picture to hold in mind: curtains between cells. A curtain hangs as far down as neighbouring lines have a
//! cell in that column, and no further; a line without a tab takes all curtains down.

use crate::arrange::Gather;
use crate::sorted::SortedMap;

/// kubectl's tables: cells at least 6 wide, 3 blanks between.
pub const TABLE: Style = Style { minimum: 6, padding: 3 };
/// What `describe` prints: 2 blanks between.
pub const DESCRIBE: Style = Style { minimum: 0, padding: 2 };

/// Columns beyond are not set, so that no text can exhaust the stack.
const MAXIMUM_COLUMNS: usize = 500;

#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub minimum: usize,
    pub padding: usize,
}

/// Sets `text`.
pub fn align(text: &str, style: Style) -> String {
    align_remembering(text, style, &mut Vec::new())
}

/// Sets `text`, with columns at least as wide as they were the last time: for tables that grow by and by.
pub fn align_remembering(text: &str, style: Style, remembered: &mut Vec<usize>) -> String {
    let ends_with_line = text.ends_with('\n');
    let mut lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').gather()).gather();
    if ends_with_line {
        lines.pop();
    }
    let mut setter =
        Setter { lines: &lines, style, widths: SortedMap::new(), before: remembered, now: Vec::new() };
    setter.set(0..lines.len(), 0);
    let mut result = String::with_capacity(text.len() * 2);
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            result.push('\n');
        }
        for (column, cell) in line.iter().enumerate() {
            result.push_str(cell);
            if column + 1 < line.len() {
                let width = setter.widths.get(&(index, column)).copied().unwrap_or(0);
                let length = cell.chars().count();
                result.extend(std::iter::repeat_n(' ', width.saturating_sub(length)));
            }
        }
    }
    if ends_with_line {
        result.push('\n');
    }
    let now = setter.now;
    *remembered = now;
    result
}

struct Setter<'a> {
    lines: &'a [Vec<&'a str>],
    style: Style,
    /// By line and column.
    widths: SortedMap<(usize, usize), usize>,
    /// Widths of the last time, and of this one, by column.
    before: &'a [usize],
    now: Vec<usize>,
}

impl Setter<'_> {
    /// Finds the blocks of column `column` within `range`, then those of the next column within each.
    fn set(&mut self, range: std::ops::Range<usize>, column: usize) {
        let has_cell = |line: usize| column + 1 < self.lines[line].len();
        let mut blocks = Vec::new();
        let mut line = range.start;
        while line < range.end {
            if !has_cell(line) {
                line += 1;
                continue;
            }
            let start = line;
            while line < range.end && has_cell(line) {
                line += 1;
            }
            blocks.push(start..line);
        }
        if column > MAXIMUM_COLUMNS {
            return;
        }
        for block in blocks {
            let widest =
                block.clone().map(|line| self.lines[line][column].chars().count()).max().unwrap_or(0);
            let mut width = (widest + self.style.padding).max(self.style.minimum);
            width = width.max(self.before.get(column).copied().unwrap_or(0));
            if self.now.len() <= column {
                self.now.resize(column + 1, 0);
            }
            self.now[column] = self.now[column].max(width);
            for line in block.clone() {
                self.widths.insert((line, column), width);
            }
            self.set(block, column + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_neighbours_need() {
        for (text, style, expected) in [
            ("NAME\tAGE\ncp-1\t5s\n", TABLE, "NAME   AGE\ncp-1   5s\n"),
            ("A\tB\nx\ty\n", TABLE, "A     B\nx     y\n"),
            ("Name:\tweb\nLabels:\ta=b\n\tc=d\n", DESCRIBE, "Name:    web\nLabels:  a=b\n         c=d\n"),
            ("a\tb\nlong line without\nccc\td\n", DESCRIBE, "a  b\nlong line without\nccc  d\n"),
            ("a\tb\tc\nxx\ty\n", DESCRIBE, "a   b  c\nxx  y\n"),
        ] {
            assert_eq!(align(text, style), expected, "{text:?}");
        }
    }

    #[test]
    fn a_growing_table_keeps_its_columns() {
        let mut widths = Vec::new();
        assert_eq!(
            align_remembering("NAME\tX\nlong-name\t1\n", TABLE, &mut widths),
            "NAME        X\nlong-name   1\n"
        );
        assert_eq!(align_remembering("b\t2\n", TABLE, &mut widths), "b           2\n");
    }
}
