//! Programs about text: `grep`, `sort`, `head`, `wc`, `cut`, `tr`, `sed` ...
//!
//! Picture to hold in mind: sieves and scissors that a text runs through, line by line.

use crate::arrange::Arrange;

use super::commands::{Ran, Tool, unescape};
use super::expand;

impl<'a> Tool<'a, '_, '_> {
    pub(super) fn text_tools(&mut self) -> Option<Ran> {
        let (with_value, skip): (&[&str], usize) = match self.name {
            "head" | "tail" => (&["-n", "-c"], 0),
            "grep" | "egrep" | "fgrep" => (&["-e", "-m", "-A", "-B", "-C"], 1),
            "sort" => (&["-k", "-t"], 0),
            "cut" => (&["-d", "-f", "-c"], 0),
            "sed" | "tr" => (&["-e"], if self.name == "tr" { 2 } else { 1 }),
            "wc" | "uniq" => (&[], 0),
            _ => return None,
        };
        let operands: Vec<String> = self.operands(with_value).into_iter().map(str::to_string).collect();
        let skip = if self.option("-e").is_some() { 0 } else { skip };
        let paths: Vec<&str> = operands.iter().skip(skip).map(String::as_str).collect();
        let mut text = String::new();
        let mut ran = if paths.is_empty() {
            text.push_str(self.input);
            Ran::status(0)
        } else {
            self.each_file(&paths, |content, _| text.push_str(content))
        };
        let flags = self.flags();
        let lines: Vec<&str> = text.lines().collect();
        let mut out: Vec<String> = Vec::new();
        match self.name {
            "head" | "tail" => {
                let count =
                    self.option("-n").map(|n| n.trim_start_matches(['-', '+'])).and_then(|n| n.parse().ok());
                let short = self.arguments.iter().find_map(|a| a.strip_prefix('-')?.parse::<usize>().ok());
                let count: usize = count.or(short).unwrap_or(10);
                let lines = if self.name == "head" {
                    &lines[..count.min(lines.len())]
                } else {
                    &lines[lines.len().saturating_sub(count)..]
                };
                out.extend(lines.iter().map(ToString::to_string));
            }
            "wc" => {
                let (l, w, c) = (text.matches('\n').count(), text.split_whitespace().count(), text.len());
                let name = paths.first().map_or(String::new(), |path| format!(" {path}"));
                out.push(match flags.as_str() {
                    "l" => format!("{l}{name}"),
                    "w" => format!("{w}{name}"),
                    "c" => format!("{c}{name}"),
                    _ => format!("{l:>9} {w:>9} {c:>9}{name}"),
                });
            }
            "grep" | "egrep" | "fgrep" => {
                let pattern = self
                    .option("-e")
                    .map(str::to_string)
                    .or_else(|| operands.first().cloned())
                    .unwrap_or_default();
                let fold =
                    |text: &str| if flags.contains('i') { text.to_lowercase() } else { text.to_string() };
                let pattern = fold(&pattern);
                let found: Vec<String> = lines
                    .iter()
                    .filter(|line| regular_matches(&pattern, &fold(line)) != flags.contains('v'))
                    .map(ToString::to_string)
                    .collect();
                ran.status = if ran.status != 0 { 2 } else { i32::from(found.is_empty()) };
                if flags.contains('c') {
                    out.push(found.len().to_string());
                } else if !flags.contains('q') {
                    out = found;
                }
            }
            "sort" => {
                out = lines.iter().map(ToString::to_string).collect();
                if flags.contains('n') {
                    let number = |line: &String| {
                        line.split_whitespace().next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(0)
                    };
                    out.arrange_by_key(number);
                } else {
                    out.arrange();
                }
                if flags.contains('r') {
                    out.reverse();
                }
                if flags.contains('u') {
                    out.dedup();
                }
            }
            "uniq" => {
                let mut counted: Vec<(usize, &str)> = Vec::new();
                for line in lines {
                    match counted.last_mut() {
                        Some((count, last)) if *last == line => *count += 1,
                        _ => counted.push((1, line)),
                    }
                }
                let with_count = flags.contains('c');
                out = counted
                    .into_iter()
                    .map(|(n, line)| if with_count { format!("{n:>7} {line}") } else { line.into() })
                    .collect();
            }
            "cut" => {
                let delimiter = self.option("-d").unwrap_or("\t").to_string();
                let fields: Vec<usize> =
                    self.option("-f").unwrap_or("1").split(',').filter_map(|f| f.parse().ok()).collect();
                for line in lines {
                    let parts: Vec<&str> = line.split(delimiter.as_str()).collect();
                    let taken: Vec<&str> =
                        fields.iter().filter_map(|f| parts.get(f.saturating_sub(1)).copied()).collect();
                    out.push(taken.join(&delimiter));
                }
            }
            "tr" => {
                let (from, to) = (
                    operands.first().map(|s| unescape(s)).unwrap_or_default(),
                    operands.get(1).map(|s| unescape(s)),
                );
                let (from, to): (Vec<char>, Vec<char>) =
                    (character_set(&from), character_set(&to.unwrap_or_default()));
                let is_deleting = flags.contains('d');
                let translated: String = self
                    .input
                    .chars()
                    .filter_map(|c| match from.iter().position(|f| *f == c) {
                        Some(_) if is_deleting => None,
                        Some(index) => Some(to.get(index).or(to.last()).copied().unwrap_or(c)),
                        None => Some(c),
                    })
                    .collect();
                return Some(Ran::text(translated));
            }
            _ => {
                let script = self
                    .option("-e")
                    .map(str::to_string)
                    .or_else(|| operands.first().cloned())
                    .unwrap_or_default();
                let separator = script.chars().nth(1).unwrap_or('/');
                let parts: Vec<&str> =
                    script.split_once('s').map_or("", |(_, rest)| rest).split(separator).collect();
                if !script.starts_with('s') || parts.len() < 4 {
                    return Some(Ran::error(1, format!("sed: unsupported command {script}\n")));
                }
                let (from, to) = (parts[1], parts[2]);
                out = lines
                    .iter()
                    .map(|line| {
                        if parts[3].contains('g') {
                            line.replace(from, to)
                        } else {
                            line.replacen(from, to, 1)
                        }
                    })
                    .collect();
                if flags.contains('i') {
                    let content = out.join("\n") + "\n";
                    for path in paths {
                        let path = self.path(path);
                        let _ = self.surroundings.files.write(&path, &content, false);
                    }
                    return Some(ran);
                }
            }
        }
        for line in out {
            ran.stdout += &line;
            ran.stdout.push('\n');
        }
        Some(ran)
    }
}

/// `a-z` written out.
fn character_set(text: &str) -> Vec<char> {
    let characters: Vec<char> =
        text.replace("[:upper:]", "A-Z").replace("[:lower:]", "a-z").chars().collect();
    let mut set = Vec::new();
    let mut index = 0;
    while index < characters.len() {
        if index + 2 < characters.len() && characters[index + 1] == '-' {
            set.extend(characters[index]..=characters[index + 2]);
            index += 3;
        } else {
            set.push(characters[index]);
            index += 1;
        }
    }
    set
}

/// The part of regular expressions that scripts use: `^`, `$`, `.`, `.*`, `|`; the rest is taken literally.
fn regular_matches(pattern: &str, text: &str) -> bool {
    pattern.split('|').any(|alternative| {
        let alternative = alternative.trim_end_matches('\\');
        let (start, rest) = alternative.strip_prefix('^').map_or((false, alternative), |rest| (true, rest));
        let (end, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
        let glob = rest.replace("\\.", "\u{1}").replace(".*", "*").replace('.', "?").replace('\u{1}', ".");
        let glob = format!("{}{glob}{}", if start { "" } else { "*" }, if end { "" } else { "*" });
        expand::matches(&glob, text)
    })
}
