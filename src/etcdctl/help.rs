//! What the programs say of themselves (`pkg/cobrautl/help.go`).
//!
//! Picture to hold in mind: a sheet with fixed headings; tabs bring what stands under each into columns.

use super::commands::Command;
use super::flags::{Flag, Kind};
use super::{Version, json};
use crate::arrange::{Arrange, Gather};

/// The usage of the last command of `path`.
pub fn usage(path: &[&'static Command], version: Version) -> String {
    let (root, command) = (path[0], path[path.len() - 1]);
    let is_root = path.len() == 1;
    // 3.4 begins lines with a tab, 3.6 with two blanks.
    let pad = if version == Version::V3_4 { "\t" } else { "  " };
    let names: Vec<&str> = path[1..].iter().map(|command| command.name()).collect();
    let name = if is_root { root.name().to_string() } else { names.join(" ") };
    let mut text = format!("NAME:\n{pad}{name} - {}\n\nUSAGE:\n{pad}", command.summary);
    let mut line: Vec<&str> = path[..path.len() - 1].iter().map(|command| command.name()).collect();
    line.push(command.usage);
    text += &line.join(" ");
    let own: Vec<&Flag> =
        command.flags.iter().chain(if is_root { &[] } else { command.persistent }).collect();
    text += " [flags]\n";
    if is_root {
        text += &format!("\nVERSION:\n{pad}{}\n", version.text());
    }
    if !command.subcommands.is_empty() {
        text += &format!("\nAPI VERSION:\n{pad}{}\n", version.api());
        text += if version == Version::V3_4 { "\n\n" } else { "\n" };
        text += "COMMANDS:\n";
        let mut lines = String::new();
        list(command, "", version, pad, &mut lines);
        text += &columns(&lines);
    }
    if !command.description.is_empty() {
        text += "\nDESCRIPTION:\n";
        for line in command.description.trim_matches(['\n', '\t', ' ']).split('\n') {
            text += &format!("{pad}{line}\n");
        }
    }
    let global: Vec<&Flag> =
        if is_root { Vec::new() } else { path[..path.len() - 1].iter().flat_map(|c| c.persistent).gather() };
    let help =
        Flag { name: "help", short: Some('h'), kind: Kind::Switch, default: "false", usage: "", only: None };
    let last = command.name();
    let mut own: Vec<&Flag> = if is_root { root.persistent.iter().collect() } else { own };
    own.push(&help);
    text += &format!("\nOPTIONS:\n{}", flag_lines(own, last, version));
    if !global.is_empty() {
        text += &format!("\nGLOBAL OPTIONS:\n{}", flag_lines(global, last, version));
    }
    text + "\n"
}

fn list(command: &'static Command, above: &str, version: Version, pad: &str, lines: &mut String) {
    let mut all: Vec<&Command> = command.subcommands.iter().filter(|c| c.is_in(version)).gather();
    all.arrange_by_key(|command| command.name());
    for command in all {
        let name = format!("{above}{}", command.name());
        if command.run.is_some() {
            *lines += &format!("{pad}{name}\t{}\n", command.summary);
        }
        list(command, &format!("{name} "), version, pad, lines);
    }
}

fn flag_lines(mut flags: Vec<&Flag>, command: &str, version: Version) -> String {
    flags.retain(|flag| flag.is_in(version));
    flags.arrange_by_key(|flag| flag.name);
    let mut lines = String::new();
    for flag in flags {
        let short = flag.short.map_or("   ".to_string(), |short| format!("-{short},"));
        let value = match flag.kind {
            Kind::Text => json::quote(flag.default),
            _ => flag.default.to_string(),
        };
        let value = if flag.kind == Kind::Switch { format!("[={value}]") } else { format!("={value}") };
        let usage = if flag.name == "help" { format!("help for {command}") } else { flag.usage.into() };
        lines += &format!("  {short} --{}{value}\t{usage}\n", flag.name);
    }
    columns(&lines)
}

/// Brings lines with tabs into columns (Go's `tabwriter` with width 8, padded with tabs).
fn columns(lines: &str) -> String {
    const TAB: usize = 8;
    let cells: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').gather()).gather();
    let most = cells.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; most];
    for (column, width) in widths.iter_mut().enumerate() {
        // The last cell of a line is not part of a column.
        let of_column =
            cells.iter().filter(|line| line.len() > column + 1).map(|line| line[column].chars().count());
        let widest = of_column.max().unwrap_or(0);
        *width = if widest == 0 { TAB } else { (widest + 1).div_ceil(TAB) * TAB };
    }
    let mut text = String::new();
    for line in cells {
        for (column, cell) in line.iter().enumerate() {
            text += cell;
            if column + 1 < line.len() {
                let missing = widths[column] - cell.chars().count();
                text += &"\t".repeat(missing.div_ceil(TAB).max(1));
            }
        }
        text += "\n";
    }
    text
}

/// What is told of a command that does not exist, with those that are spelt alike.
pub fn unknown_command(root: &'static Command, version: Version, word: &str) -> String {
    if let Some(told) = crate::fidelity::message(root.name(), word) {
        return told.to_string();
    }
    let near: Vec<String> = root
        .subcommands
        .iter()
        .filter(|command| command.is_in(version))
        .map(|command| command.name())
        .filter(|name| is_near(name, word))
        .map(|name| format!("\t{name}\n"))
        .gather();
    let hint = match near.is_empty() {
        true => String::new(),
        false => format!("\n\nDid you mean this?\n{}", near.concat()),
    };
    format!("unknown command {word:?} for {:?}{hint}", root.name())
}

/// Two letters differ at most (Levenshtein).
fn is_near(a: &str, b: &str) -> bool {
    let b: Vec<char> = b.chars().take(20).gather();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(20).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()] <= 2
}
