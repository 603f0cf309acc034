//! `ls`, `mkdir`, `rm`, `cp`, `mv`, `touch`, `find`, `tree`, `diff`.
//!
//! Picture to hold in mind: the clerk of the filing cabinet in [`super::files`].

use crate::api::Text;
use crate::arrange::Gather;
use crate::sim::Time;

use super::expand::matches;
use super::files::{Entry, FileError, FileSystem, absolute, below, entry, make_folder};
use super::machine::Surroundings;
use super::system::{Dialect, Outcome};
use super::tools::Options;

/// What a command about files has at hand.
struct Clerk<'a> {
    folder: &'a str,
    files: &'a mut dyn FileSystem,
    dialect: Dialect,
    user: String,
    now: Time,
    options: Options,
    out: &'a mut Outcome,
}

/// Runs a command; false: it is none of these.
pub(super) fn run(
    name: &str,
    rest: &[String],
    folder: &str,
    around: &mut Surroundings,
    out: &mut Outcome,
) -> bool {
    let (flags, values) = match name {
        "ls" => ("lahtrR1dFsSiAnpcu", ""),
        "mkdir" => ("pv", "m"),
        "rm" => ("rRfvid", ""),
        "cp" | "mv" => ("rRafvpiunLT", "t"),
        "tree" => ("ad", "L"),
        "diff" | "cmp" => ("uNrqbwBs", "U"),
        "touch" => ("acm", "dt"),
        "find" | "rmdir" | "chmod" | "chown" | "ln" | "sync" => ("Rvfs", ""),
        _ => return false,
    };
    let dialect = around.system.dialect();
    // The tests of `find` look like options, and so may modes.
    let words = if matches!(name, "find" | "chmod") { &[] } else { rest };
    let options = match Options::read(name, words, flags, values) {
        Ok(options) => options,
        Err((message, status)) => {
            out.stderr.push_str(&message);
            out.status = status;
            return true;
        }
    };
    let may_be_empty = matches!(name, "ls" | "tree" | "find" | "sync" | "chmod");
    if options.operands.is_empty() && !may_be_empty {
        let text = match dialect.is_busybox() {
            true => format!("BusyBox: {name}: missing operand"),
            false => format!("{name}: missing operand\nTry '{name} --help' for more information."),
        };
        out.fail(1, text);
        return true;
    }
    let (user, now) = (around.system.user().to_string(), around.now);
    let files = around.system.files_mut();
    let mut clerk = Clerk { folder, files, dialect, user, now, options, out };
    match name {
        "ls" => clerk.ls(),
        "tree" => clerk.tree(),
        "cp" | "mv" => clerk.copy(name),
        "diff" | "cmp" => clerk.compare(name),
        "find" => clerk.find(rest),
        "mkdir" | "rmdir" | "rm" | "touch" => {
            for operand in std::mem::take(&mut clerk.options.operands) {
                clerk.change(name, &operand);
            }
        }
        // Modes, owners and links are not kept: there is one user.
        _ => {}
    }
    true
}

fn or_here(operands: &[String]) -> Vec<String> {
    if operands.is_empty() { vec![".".into()] } else { operands.to_vec() }
}

fn size(entry: &Entry) -> usize {
    match entry {
        Entry::Folder => 4096,
        Entry::File(content) => content.len(),
    }
}

impl Clerk<'_> {
    fn path(&self, operand: &str) -> String {
        absolute(self.folder, operand)
    }
    /// What file commands report, as the C library words it.
    fn explain(&mut self, what: &str, error: FileError) {
        self.out.fail(1, format!("{what}: {}", error.message()));
    }

    fn change(&mut self, name: &str, operand: &str) {
        let path = self.path(operand);
        let is_folder = self.files.is_folder(&path);
        let is_there = is_folder || self.files.exists(&path);
        let is_recursive = self.options.has('r') || self.options.has('R');
        let (what, result) = match name {
            "mkdir" if self.options.has('p') => ("create directory", self.files.make_folders(&path)),
            "mkdir" => ("create directory", make_folder(self.files, &path)),
            "rmdir" => {
                let result = match (is_folder, is_there) {
                    (true, _) if !self.files.names(&path).is_empty() => Err(FileError::NotEmpty),
                    (true, _) => self.files.remove(&path),
                    (false, true) => Err(FileError::NotFolder),
                    (false, false) => Err(FileError::NotFound),
                };
                ("failed to remove", result)
            }
            "rm" => {
                let result = match is_there {
                    true if is_folder && !is_recursive => Err(FileError::IsFolder),
                    true => self.files.remove(&path),
                    false if self.options.has('f') => Ok(()),
                    false => Err(FileError::NotFound),
                };
                ("remove", result)
            }
            _ if is_there => ("touch", Ok(())),
            _ => ("touch", self.files.write(&path, Text::new())),
        };
        let Err(error) = result else { return };
        let cannot = self.dialect.cannot();
        let what = match (name, self.dialect) {
            ("rmdir", Dialect::Bash) => format!("rmdir: {what} '{operand}'"),
            ("rmdir", Dialect::BusyBox) => format!("rmdir: '{operand}'"),
            ("touch", Dialect::BusyBox) => format!("touch: {operand}"),
            _ => format!("{name}: {cannot} {what} '{operand}'"),
        };
        self.explain(&what, error);
    }

    fn ls(&mut self) {
        let operands = or_here(&self.options.operands);
        let mut blocks: Vec<(String, Vec<(String, Entry)>)> = Vec::new();
        let mut loose = Vec::new();
        for operand in &operands {
            let path = self.path(operand);
            match entry(self.files, &path) {
                Some(Entry::Folder) if !self.options.has('d') => {
                    let is_all = self.options.has('a') || self.options.has('A');
                    let names = self.files.names(&path);
                    let shown = names.iter().filter(|name| is_all || !name.starts_with('.'));
                    let list = shown
                        .filter_map(|name| {
                            Some((name.to_string(), entry(self.files, &absolute(&path, name))?))
                        })
                        .gather();
                    blocks.push((operand.clone(), list));
                }
                Some(entry) => loose.push((operand.clone(), entry)),
                None if self.dialect.is_busybox() => {
                    self.explain(&format!("ls: {operand}"), FileError::NotFound)
                }
                None => {
                    self.explain(&format!("ls: cannot access '{operand}'"), FileError::NotFound);
                    self.out.status = 2;
                }
            }
        }
        let several = blocks.len() + usize::from(!loose.is_empty()) > 1 || operands.len() > 1;
        if !loose.is_empty() {
            self.print(&mut loose, false);
        }
        for (index, (name, mut list)) in blocks.into_iter().enumerate() {
            if several {
                let gap = if index > 0 || !loose.is_empty() { "\n" } else { "" };
                self.out.line(format!("{gap}{name}:"));
            }
            self.print(&mut list, true);
        }
    }

    fn print(&mut self, list: &mut [(String, Entry)], total: bool) {
        if self.options.has('r') {
            list.reverse();
        }
        if self.options.has('l') && total {
            self.out.line(format!("total {}", list.len() * 4));
        }
        let width =
            list.iter().map(|(_, entry)| size(entry)).max().map_or(1, |largest| largest.to_string().len());
        let date = super::date::short(self.now);
        for (name, entry) in list.iter() {
            let is_folder = matches!(entry, Entry::Folder);
            let mark = if self.options.has('F') && is_folder { "/" } else { "" };
            if !self.options.has('l') {
                self.out.line(format!("{name}{mark}"));
                continue;
            }
            let (mode, links) = if is_folder { ("drwxr-xr-x", 2) } else { ("-rw-r--r--", 1) };
            let (size, user) = (size(entry), &self.user);
            let line = match self.dialect {
                Dialect::Bash => format!("{mode} {links} {user} {user} {size:>width$} {date} {name}{mark}"),
                Dialect::BusyBox => {
                    format!("{mode} {links:>4} {user:<8} {user:<8} {size:>9} {date} {name}{mark}")
                }
            };
            self.out.line(line);
        }
    }

    fn tree(&mut self) {
        for operand in or_here(&self.options.operands) {
            self.out.line(&operand);
            let mut counts = (0, 0);
            let path = self.path(&operand);
            self.branch(&path, "", &mut counts, 0);
            self.out.line(format!("\n{} directories, {} files", counts.0, counts.1));
        }
    }
    fn branch(&mut self, path: &str, indent: &str, counts: &mut (usize, usize), depth: usize) {
        let mut names = self.files.names(path);
        names.retain(|name| !name.starts_with('.'));
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
            self.out.line(format!("{indent}{branch}{name}"));
            let inner = absolute(path, name);
            if self.files.is_folder(&inner) {
                counts.0 += 1;
                if depth < 40 {
                    self.branch(&inner, &format!("{indent}{below}"), counts, depth + 1);
                }
            } else {
                counts.1 += 1;
            }
        }
    }

    fn find(&mut self, rest: &[String]) {
        let starts: Vec<String> = rest.iter().take_while(|word| !word.starts_with('-')).cloned().gather();
        let tests = &rest[starts.len()..];
        let value = |name: &str| {
            let at = tests.iter().position(|word| word == name);
            at.and_then(|index| tests.get(index + 1)).map(String::as_str)
        };
        let (pattern, kind) = (value("-name"), value("-type"));
        let fits = |path: &str, entry: &Entry| {
            let name = path.rsplit('/').next().unwrap_or(path);
            pattern.is_none_or(|pattern| matches(pattern, name))
                && kind.is_none_or(|kind| (kind == "d") == matches!(entry, Entry::Folder))
        };
        for start in or_here(&starts) {
            let root = self.path(&start);
            let Some(entry) = entry(self.files, &root) else {
                let what = match self.dialect {
                    Dialect::Bash => format!("find: '{start}'"),
                    Dialect::BusyBox => format!("find: {start}"),
                };
                self.explain(&what, FileError::NotFound);
                continue;
            };
            if fits(&start, &entry) {
                self.out.line(&start);
            }
            let cut = if root == "/" { 0 } else { root.len() };
            for (path, entry) in below(self.files, &root) {
                if fits(&path, &entry) {
                    self.out.line(format!("{}{}", start.trim_end_matches('/'), &path[cut..]));
                }
            }
        }
    }

    fn compare(&mut self, name: &str) {
        let operands = self.options.operands.clone();
        let [left, right] = operands.as_slice() else {
            return self.out.fail(2, format!("{name}: two files are wanted"));
        };
        match (self.files.read(&self.path(left)), self.files.read(&self.path(right))) {
            (Ok(a), Ok(b)) if a == b => {}
            (Ok(a), Ok(b)) => {
                self.out.status = 1;
                if self.options.has('q') || name == "cmp" {
                    self.out.line(format!("Files {left} and {right} differ"));
                } else {
                    let changes = super::diff::unified(&a, &b, 3);
                    self.out.stdout += &format!("--- {left}\n+++ {right}\n{changes}");
                }
            }
            (a, b) => {
                for (file, result) in [(left, a), (right, b)] {
                    if let Err(error) = result {
                        self.explain(&format!("{name}: {file}"), error);
                    }
                }
                self.out.status = 2;
            }
        }
    }

    fn copy(&mut self, name: &str) {
        let operands = self.options.operands.clone();
        let Some((target, sources)) = operands.split_last().filter(|(_, sources)| !sources.is_empty()) else {
            let text = match self.dialect {
                Dialect::Bash => format!("{name}: missing destination file operand after '{}'", operands[0]),
                Dialect::BusyBox => format!("BusyBox: {name}: missing operand"),
            };
            return self.out.fail(1, text);
        };
        let target_path = self.path(target);
        let into_folder = self.files.is_folder(&target_path);
        if sources.len() > 1 && !into_folder {
            return self.out.fail(1, format!("{name}: target '{target}': No such file or directory"));
        }
        for source in sources {
            let from = self.path(source);
            let to = match into_folder {
                true => absolute(&target_path, from.rsplit('/').next().unwrap_or("")),
                false => target_path.clone(),
            };
            let cannot = self.dialect.cannot();
            let Some(found) = entry(self.files, &from) else {
                self.explain(&format!("{name}: {cannot} stat '{source}'"), FileError::NotFound);
                continue;
            };
            let is_recursive = ['r', 'R', 'a'].iter().any(|flag| self.options.has(*flag));
            let result = match found {
                _ if from == to => Ok(()),
                Entry::File(content) => self.files.write(&to, content),
                Entry::Folder if name == "cp" && !is_recursive => {
                    let text = match self.dialect {
                        Dialect::Bash => format!("cp: -r not specified; omitting directory '{source}'"),
                        Dialect::BusyBox => format!("cp: omitting directory '{source}'"),
                    };
                    self.out.fail(1, text);
                    continue;
                }
                Entry::Folder if to.starts_with(&format!("{from}/")) => Err(FileError::Exists),
                Entry::Folder => self.copy_folder(&from, &to),
            };
            match result {
                Ok(()) if name == "mv" && from != to => {
                    if let Err(error) = self.files.remove(&from) {
                        self.explain(&format!("{name}: {cannot} remove '{source}'"), error);
                    }
                }
                Ok(()) => {}
                Err(error) => {
                    let what = match self.dialect {
                        Dialect::Bash => format!("{name}: cannot create regular file '{target}'"),
                        Dialect::BusyBox => format!("{name}: can't create '{target}'"),
                    };
                    self.explain(&what, error);
                }
            }
        }
    }
    fn copy_folder(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let inside = below(self.files, from);
        self.files.make_folders(to)?;
        for (path, entry) in inside {
            // The folders above come first, so each step finds its place.
            let path = format!("{to}{}", &path[from.len()..]);
            match entry {
                Entry::Folder => self.files.make_folders(&path)?,
                Entry::File(content) => self.files.write(&path, content)?,
            }
        }
        Ok(())
    }
}
