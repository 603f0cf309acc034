//! `ls`, `mkdir`, `rm`, `cp`, `mv`, `touch`, `find`, `tree`, `diff`.
//!
//! Picture to hold in mind: the clerk of the filing cabinet in [`super::files`].

use crate::api::Text;
use crate::sim::Time;

use super::builtins::{Outcome, explain};
use super::expand::matches;
use super::files::{Entry, FileError, Files, absolute};
use super::tools::Options;

pub(super) fn run(
    name: &str,
    rest: &[String],
    folder: &str,
    files: &mut Files,
    now: Time,
    out: &mut Outcome,
) {
    if name == "find" {
        return find(rest, folder, files, out);
    }
    let (flags, values) = match name {
        "ls" => ("lahtrR1dFsSi", ""),
        "mkdir" => ("pv", "m"),
        "rm" => ("rRfvid", ""),
        "cp" | "mv" => ("rRafvpiun", "t"),
        "tree" => ("ad", "L"),
        "diff" | "cmp" => ("uNrqbwBs", "U"),
        "touch" => ("acm", "d"),
        _ => ("Rvf", ""),
    };
    let options = match Options::read(name, rest, flags, values) {
        Ok(options) => options,
        Err((message, status)) => {
            out.stderr.push_str(&message);
            out.status = status;
            return;
        }
    };
    let operands = &options.operands;
    if operands.is_empty() && !matches!(name, "ls" | "tree") {
        out.stderr.push_str(&format!("{name}: missing operand\nTry '{name} --help' for more information.\n"));
        out.status = 1;
        return;
    }
    match name {
        "ls" => ls(&options, folder, files, now, out),
        "tree" => {
            for operand in or_here(operands) {
                out.stdout += &format!("{operand}\n");
                let mut counts = (0, 0);
                tree(&absolute(folder, &operand), "", files, out, &mut counts, 0);
                out.stdout += &format!("\n{} directories, {} files\n", counts.0, counts.1);
            }
        }
        "mkdir" => {
            for operand in operands {
                let path = absolute(folder, operand);
                let made =
                    if options.has('p') { files.make_folders(&path) } else { files.make_folder(&path) };
                if let Err(error) = made {
                    explain(out, format!("mkdir: cannot create directory '{operand}'"), error);
                }
            }
        }
        "rmdir" => {
            for operand in operands {
                let path = absolute(folder, operand);
                let removed = match files.get(&path) {
                    Some(Entry::Folder) if files.below(&path).next().is_some() => Err(FileError::NotEmpty),
                    Some(Entry::Folder) => files.remove(&path),
                    Some(_) => Err(FileError::NotFolder),
                    None => Err(FileError::NotFound),
                };
                if let Err(error) = removed {
                    explain(out, format!("rmdir: failed to remove '{operand}'"), error);
                }
            }
        }
        "rm" => {
            for operand in operands {
                let path = absolute(folder, operand);
                let removed = match files.get(&path) {
                    Some(Entry::Folder) if !options.has('r') && !options.has('R') => Err(FileError::IsFolder),
                    Some(_) => files.remove(&path),
                    None if options.has('f') => Ok(()),
                    None => Err(FileError::NotFound),
                };
                if let Err(error) = removed {
                    explain(out, format!("rm: cannot remove '{operand}'"), error);
                }
            }
        }
        "touch" => {
            for operand in operands {
                let path = absolute(folder, operand);
                if files.get(&path).is_none()
                    && let Err(error) = files.write(&path, Text::new())
                {
                    explain(out, format!("touch: cannot touch '{operand}'"), error);
                }
            }
        }
        "cp" | "mv" => copy(name, &options, folder, files, out),
        "diff" | "cmp" => {
            let [left, right] = operands.as_slice() else {
                out.stderr += &format!("{name}: two files are wanted\n");
                out.status = 2;
                return;
            };
            match (files.read(&absolute(folder, left)), files.read(&absolute(folder, right))) {
                (Ok(a), Ok(b)) if a == b => {}
                (Ok(a), Ok(b)) => {
                    out.status = 1;
                    out.stdout += &if options.has('q') || name == "cmp" {
                        format!("Files {left} and {right} differ\n")
                    } else {
                        format!("--- {left}\n+++ {right}\n{}", super::diff::unified(&a, &b, 3))
                    };
                }
                (a, b) => {
                    for (file, result) in [(left, a), (right, b)] {
                        if let Err(error) = result {
                            explain(out, format!("{name}: {file}"), error);
                        }
                    }
                    out.status = 2;
                }
            }
        }
        // Modes and owners are not kept: there is one user.
        _ => {}
    }
}

fn or_here(operands: &[String]) -> Vec<String> {
    if operands.is_empty() { vec![".".into()] } else { operands.to_vec() }
}

fn ls(options: &Options, folder: &str, files: &Files, now: Time, out: &mut Outcome) {
    let operands = or_here(&options.operands);
    let mut blocks: Vec<(String, Vec<(String, Entry)>)> = Vec::new();
    let mut loose = Vec::new();
    for operand in &operands {
        match files.get(&absolute(folder, operand)) {
            Some(Entry::Folder) if !options.has('d') => {
                let mut list = files.list(&absolute(folder, operand));
                if !options.has('a') {
                    list.retain(|(name, _)| !name.starts_with('.'));
                }
                blocks.push((operand.clone(), list));
            }
            Some(entry) => loose.push((operand.clone(), entry.clone())),
            None => {
                explain(out, format!("ls: cannot access '{operand}'"), FileError::NotFound);
                out.status = 2;
            }
        }
    }
    let several = blocks.len() + usize::from(!loose.is_empty()) > 1 || operands.len() > 1;
    if !loose.is_empty() {
        print(&mut loose, false, options, now, out);
    }
    for (index, (name, mut list)) in blocks.into_iter().enumerate() {
        if several {
            let gap = if index > 0 || !loose.is_empty() { "\n" } else { "" };
            out.stdout += &format!("{gap}{name}:\n");
        }
        print(&mut list, true, options, now, out);
    }
}

fn print(list: &mut [(String, Entry)], total: bool, options: &Options, now: Time, out: &mut Outcome) {
    if options.has('r') {
        list.reverse();
    }
    if options.has('l') && total {
        out.stdout += &format!("total {}\n", list.len() * 4);
    }
    let width =
        list.iter().map(|(_, entry)| size(entry)).max().map_or(1, |largest| largest.to_string().len());
    for (name, entry) in list.iter() {
        let is_folder = matches!(entry, Entry::Folder);
        let mark = if options.has('F') && is_folder { "/" } else { "" };
        if options.has('l') {
            let mode = if is_folder { "drwxr-xr-x 2" } else { "-rw-r--r-- 1" };
            let (date, size) = (super::date::short(now), size(entry));
            out.stdout += &format!("{mode} student student {size:>width$} {date} {name}{mark}\n");
        } else {
            out.stdout += &format!("{name}{mark}\n");
        }
    }
}

fn size(entry: &Entry) -> usize {
    match entry {
        Entry::Folder => 4096,
        Entry::File(content) => content.len(),
    }
}

fn tree(
    path: &str,
    indent: &str,
    files: &Files,
    out: &mut Outcome,
    counts: &mut (usize, usize),
    depth: usize,
) {
    let list: Vec<_> = files.list(path).into_iter().filter(|(name, _)| !name.starts_with('.')).collect();
    for (index, (name, entry)) in list.iter().enumerate() {
        let is_last = index + 1 == list.len();
        let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        out.stdout += &format!("{indent}{branch}{name}\n");
        if matches!(entry, Entry::Folder) {
            counts.0 += 1;
            if depth < 40 {
                tree(&absolute(path, name), &format!("{indent}{below}"), files, out, counts, depth + 1);
            }
        } else {
            counts.1 += 1;
        }
    }
}

fn find(rest: &[String], folder: &str, files: &Files, out: &mut Outcome) {
    let starts: Vec<String> = rest.iter().take_while(|word| !word.starts_with('-')).cloned().collect();
    let tests = &rest[starts.len()..];
    let value = |name: &str| {
        tests.iter().position(|word| word == name).and_then(|index| tests.get(index + 1)).map(String::as_str)
    };
    let (pattern, kind) = (value("-name"), value("-type"));
    let fits = |path: &str, entry: &Entry| {
        let name = path.rsplit('/').next().unwrap_or(path);
        pattern.is_none_or(|pattern| matches(pattern, name))
            && kind.is_none_or(|kind| (kind == "d") == matches!(entry, Entry::Folder))
    };
    for start in or_here(&starts) {
        let root = absolute(folder, &start);
        let Some(entry) = files.get(&root) else {
            explain(out, format!("find: '{start}'"), FileError::NotFound);
            continue;
        };
        if fits(&start, entry) {
            out.stdout += &format!("{start}\n");
        }
        let cut = if root == "/" { 0 } else { root.len() };
        for (path, entry) in files.below(&root) {
            if fits(path, entry) {
                out.stdout += &format!("{}{}\n", start.trim_end_matches('/'), &path[cut..]);
            }
        }
    }
}

fn copy(name: &str, options: &Options, folder: &str, files: &mut Files, out: &mut Outcome) {
    let Some((target, sources)) = options.operands.split_last().filter(|(_, sources)| !sources.is_empty())
    else {
        out.stderr += &format!("{name}: missing destination file operand after '{}'\n", options.operands[0]);
        out.status = 1;
        return;
    };
    let target_path = absolute(folder, target);
    let into_folder = files.is_folder(&target_path);
    if sources.len() > 1 && !into_folder {
        out.stderr += &format!("{name}: target '{target}': No such file or directory\n");
        out.status = 1;
        return;
    }
    for source in sources {
        let from = absolute(folder, source);
        let to = match into_folder {
            true => absolute(&target_path, from.rsplit('/').next().unwrap_or("")),
            false => target_path.clone(),
        };
        let result = match files.get(&from).cloned() {
            None => Err(FileError::NotFound),
            _ if from == to => Ok(()),
            Some(Entry::File(content)) => files.write(&to, content),
            Some(Entry::Folder) if name == "cp" && !['r', 'R', 'a'].iter().any(|flag| options.has(*flag)) => {
                out.stderr += &format!("cp: -r not specified; omitting directory '{source}'\n");
                out.status = 1;
                continue;
            }
            Some(Entry::Folder) if to.starts_with(&format!("{from}/")) => Err(FileError::Exists),
            Some(Entry::Folder) => {
                let below: Vec<(String, Entry)> = files
                    .below(&from)
                    .map(|(path, entry)| (path[from.len()..].to_string(), entry.clone()))
                    .collect();
                files.make_folders(&to).map(|()| {
                    for (path, entry) in below {
                        let path = format!("{to}{path}");
                        // The folders above come first, so each step finds its place.
                        let _ = match entry {
                            Entry::Folder => files.make_folders(&path),
                            Entry::File(content) => files.write(&path, content),
                        };
                    }
                })
            }
        };
        match result {
            Ok(()) if name == "mv" && from != to => {
                let _ = files.remove(&from);
            }
            Ok(()) => {}
            Err(error) => explain(out, format!("{name}: cannot stat '{source}'"), error),
        }
    }
}
