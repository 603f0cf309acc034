//! Tables with lines around them (`olekukonko/tablewriter`), and sizes for people (`dustin/go-humanize`).
//!
//! Picture to hold in mind: a ledger page: headings in the middle of their columns, entries flush right.

/// Cells with blanks in them are broken at this width.
const WIDEST: usize = 30;

/// A table; headings are put in capitals.
pub fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> =
        headings.iter().map(|heading| heading.replace('_', " ").to_ascii_uppercase()).collect();
    let broken: Vec<Vec<Vec<String>>> =
        rows.iter().map(|row| row.iter().map(|cell| wrap(cell)).collect()).collect();
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in &broken {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.iter().map(|line| line.chars().count()).fold(*width, usize::max);
        }
    }
    let rule: String =
        widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let mut text = rule.clone();
    for (heading, width) in headings.iter().zip(&widths) {
        let gap = width - heading.chars().count();
        text += &format!("| {}{heading}{} ", " ".repeat(gap / 2), " ".repeat(gap - gap / 2));
    }
    text += "|\n";
    text += &rule;
    for row in &broken {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            for (cell, width) in row.iter().zip(&widths) {
                text += &format!("| {:>width$} ", cell.get(line).map_or("", String::as_str));
            }
            text += "|\n";
        }
    }
    if !rows.is_empty() {
        text += &rule;
    }
    text
}

fn wrap(cell: &str) -> Vec<String> {
    let widest_word = cell.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
    let limit = WIDEST.max(widest_word);
    let mut lines = vec![String::new()];
    for word in cell.split_whitespace() {
        let last = lines.len() - 1;
        let is_first = lines[last].is_empty();
        if !is_first && lines[last].chars().count() + 1 + word.chars().count() > limit {
            lines.push(word.into());
        } else {
            lines[last] += if is_first { "" } else { " " };
            lines[last] += word;
        }
    }
    lines
}

/// `20 kB`, `4.0 MB`: powers of a thousand, and one decimal below ten.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let (mut unit, mut power) = (0, 1u64);
    while bytes / power >= 1000 && unit + 1 < UNITS.len() {
        power *= 1000;
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(power) / 2) / u128::from(power);
    if tenths < 100 && unit > 0 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        // As printf rounds: a half goes to the even neighbour.
        let (whole, rest) = (tenths / 10, tenths % 10);
        let is_up = rest > 5 || (rest == 5 && whole % 2 == 1);
        format!("{} {}", whole + u128::from(is_up), UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_go_humanize() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (20_480, "20 kB"),
            (4_001_824, "4.0 MB"),
            (9_960_000, "10 MB"),
            (2_147_483_648, "2.1 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn a_long_cell_is_broken_between_words() {
        let rows = [vec!["memberID:10276657743932975437 alarm:NOSPACE ".to_string()]];
        let expected = "\
+-------------------------------+
|            ERRORS             |
+-------------------------------+
| memberID:10276657743932975437 |
|                 alarm:NOSPACE |
+-------------------------------+
";
        assert_eq!(render(&["errors"], &rows), expected);
    }
}
