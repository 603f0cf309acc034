//! The small programs of a Unix system that read lines and write lines.
//!
//! Picture to hold in mind: stations along a conveyor belt. Each takes a line, may put lines on, and keeps
//! what it must remember in its own drawer; nobody waits for the whole batch unless the work needs it (`sort`).
//!
//! A station is plain data, so the belt can be stopped, copied and run again. What a tool reads besides its
//! standard input are files, which lie in memory: they are read at once.

mod awk;
mod columns;
mod grep;
mod lines;
mod sed;
mod sort;
mod text;

use std::sync::Arc;

use super::files::{self, FileSystem, absolute};
use super::system::Dialect;

use awk::Awk;
use columns::{Cut, Translate};
use grep::Grep;
use lines::{Head, Tail, Uniq, WordCount};
use sed::Sed;
use sort::Sort;
pub use text::{printf, unescape};

/// What a tool writes in answer to one line, or at the end.
#[derive(Default, Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// Files written, by absolute path: content, and whether it is added at the end.
    pub files: Vec<(String, String, bool)>,
    /// The tool wants no more input.
    pub done: bool,
}

impl Output {
    pub fn line(&mut self, line: &str) {
        self.stdout.push_str(line);
        self.stdout.push('\n');
    }
}

/// One station. Lines come without their end.
#[derive(Clone, Debug)]
pub enum Tool {
    Cat { number: bool, count: usize },
    Grep(Grep),
    Head(Head),
    Tail(Tail),
    WordCount(WordCount),
    Sort(Sort),
    Uniq(Uniq),
    Cut(Cut),
    Translate(Translate),
    Sed(Sed),
    Awk(Awk),
    Tee { files: Vec<String>, append: bool, started: bool },
    Reverse { tac: bool, lines: Vec<String> },
    Base64 { decode: bool, wrap: usize, input: String },
    Discard,
}

/// A tool with its operands: where its lines come from.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tool: Tool,
    /// Files to read instead of the standard input; `-` is the standard input.
    pub files: Vec<String>,
}

/// What went wrong before a tool began: its message for stderr, and its exit code.
pub type UsageError = (String, i32);

impl Tool {
    /// `is_terminated`: the line had its end; only `cat` and `head` give an open last line back open.
    pub fn line(&mut self, line: &str, is_terminated: bool, out: &mut Output) {
        match self {
            Tool::Cat { number, count } => {
                *count += 1;
                if *number {
                    out.stdout.push_str(&format!("{count:>6}\t"));
                }
                out.stdout.push_str(line);
                if is_terminated {
                    out.stdout.push('\n');
                }
            }
            Tool::Grep(tool) => tool.line(line, out),
            Tool::Head(tool) => tool.line(line, is_terminated, out),
            Tool::Tail(tool) => tool.line(line, out),
            Tool::WordCount(tool) => tool.line(line, is_terminated),
            Tool::Sort(tool) => tool.lines.push(line.to_string()),
            Tool::Uniq(tool) => tool.line(line, out),
            Tool::Cut(tool) => tool.line(line, out),
            Tool::Translate(tool) => tool.line(line, is_terminated, out),
            Tool::Sed(tool) => tool.line(line, out),
            Tool::Awk(tool) => tool.line(line, out),
            Tool::Tee { files, append, started } => {
                let text = if is_terminated { format!("{line}\n") } else { line.to_string() };
                for file in files.iter() {
                    out.files.push((file.clone(), text.clone(), *append || *started));
                }
                *started = true;
                out.stdout.push_str(&text);
            }
            Tool::Reverse { tac: true, lines } => lines.push(line.to_string()),
            Tool::Reverse { .. } => out.line(&line.chars().rev().collect::<String>()),
            Tool::Base64 { input, .. } => {
                input.push_str(line);
                if is_terminated {
                    input.push('\n');
                }
            }
            Tool::Discard => {}
        }
    }
    /// The input is over; the exit code.
    pub fn finish(&mut self, out: &mut Output) -> i32 {
        match self {
            Tool::Grep(tool) => tool.finish(out),
            Tool::Tail(tool) => tool.finish(out),
            Tool::WordCount(tool) => tool.finish(out),
            Tool::Sort(tool) => tool.finish(out),
            Tool::Uniq(tool) => tool.finish(out),
            Tool::Sed(tool) => tool.finish(out),
            Tool::Awk(tool) => return tool.finish(out),
            Tool::Tee { files, append, started: false } => {
                for file in files.iter() {
                    out.files.push((file.clone(), String::new(), *append));
                }
            }
            Tool::Reverse { tac: true, lines } => {
                for line in lines.iter().rev() {
                    out.line(line);
                }
            }
            Tool::Base64 { decode, wrap, input } => return text::base64(*decode, *wrap, input, out),
            _ => {}
        }
        match self {
            Tool::Grep(tool) => tool.code(),
            Tool::Sort(tool) => tool.code(),
            _ => 0,
        }
    }
    /// Told before the lines of each file, when there are several or names are wanted.
    pub fn begin_file(&mut self, name: &str, several: bool, out: &mut Output) {
        match self {
            Tool::Grep(tool) => tool.begin_file(name, several),
            Tool::Head(tool) => tool.begin_file(name, several, out),
            Tool::Tail(tool) => tool.begin_file(name, several, out),
            Tool::WordCount(tool) => tool.begin_file(name),
            _ => {}
        }
    }
    pub fn end_file(&mut self, out: &mut Output) {
        match self {
            Tool::Tail(tool) => tool.end_file(out),
            Tool::WordCount(tool) => tool.end_file(out),
            Tool::Grep(tool) => tool.end_file(out),
            _ => {}
        }
    }
}

impl Filter {
    /// Reads the arguments of `name`; `None`: it is not one of these tools.
    pub fn parse(
        name: &str,
        rest: &[String],
        folder: &str,
        dialect: Dialect,
    ) -> Option<Result<Filter, UsageError>> {
        Some(match name {
            "cat" => Options::read("cat", rest, "nbuevAtETs", "").map(|options| Filter {
                tool: Tool::Cat { number: options.has('n'), count: 0 },
                files: options.operands,
            }),
            "tac" | "rev" => Options::read(name, rest, "", "").map(|options| Filter {
                tool: Tool::Reverse { tac: name == "tac", lines: Vec::new() },
                files: options.operands,
            }),
            "tee" => Options::read("tee", rest, "ai", "").map(|options| Filter {
                tool: Tool::Tee {
                    files: options.operands.iter().map(|file| absolute(folder, file)).collect(),
                    append: options.has('a'),
                    started: false,
                },
                files: Vec::new(),
            }),
            "base64" => Options::read("base64", rest, "di", "w").map(|options| Filter {
                tool: Tool::Base64 {
                    decode: options.has('d') || options.long("decode"),
                    wrap: options.value('w').and_then(|wrap| wrap.parse().ok()).unwrap_or(76),
                    input: String::new(),
                },
                files: options.operands,
            }),
            "grep" | "egrep" | "fgrep" => Grep::parse(name, rest),
            "head" => Head::parse(rest),
            "tail" => Tail::parse(rest),
            "wc" => WordCount::parse(rest, dialect),
            "sort" => Sort::parse(rest),
            "uniq" => Uniq::parse(rest),
            "cut" => Cut::parse(rest),
            "tr" => Translate::parse(rest),
            "sed" => Sed::parse(rest, folder),
            "awk" | "gawk" | "mawk" => Awk::parse(rest),
            "less" | "more" => Options::read(name, rest, "RSXFNn", "").map(|options| Filter {
                tool: Tool::Cat { number: false, count: 0 },
                files: options.operands,
            }),
            _ => return None,
        })
    }

    /// Reads the files named, if any. `None`: the standard input is wanted.
    pub fn run_on_files(
        &mut self,
        name: &str,
        folder: &str,
        files: &dyn FileSystem,
        dialect: Dialect,
        out: &mut Output,
    ) -> Option<i32> {
        if self.files.is_empty() || self.files.iter().any(|file| file == "-") {
            return None;
        }
        let several = self.files.len() > 1;
        let mut failed = 0;
        for file in &self.files {
            match files::read(files, &absolute(folder, file)) {
                Ok(content) => {
                    self.tool.begin_file(file, several, out);
                    for line in content.split_inclusive('\n') {
                        self.tool.line(line.strip_suffix('\n').unwrap_or(line), line.ends_with('\n'), out);
                    }
                    self.tool.end_file(out);
                }
                Err(error) => {
                    failed += 1;
                    out.stderr += &dialect.cannot_read(name, file, error);
                }
            }
        }
        if failed == self.files.len() && name == "tail" && dialect.is_busybox() {
            out.stderr += "tail: no files\n";
        }
        let code = self.tool.finish(out);
        let error_code =
            if matches!(self.tool, Tool::Grep(_) | Tool::Sort(_) | Tool::Sed(_)) { 2 } else { 1 };
        Some(if failed > 0 { error_code } else { code })
    }
}

/// Options as `getopt` reads them.
#[derive(Debug, Default)]
pub struct Options {
    flags: Vec<char>,
    values: Vec<(char, Arc<str>)>,
    longs: Vec<String>,
    pub operands: Vec<String>,
}

impl Options {
    /// `flags` take no value, `values` take one. Long options are kept by name.
    pub fn read(name: &str, arguments: &[String], flags: &str, values: &str) -> Result<Options, UsageError> {
        let mut options = Options::default();
        let mut index = 0;
        while let Some(argument) = arguments.get(index) {
            index += 1;
            if argument == "--" {
                options.operands.extend_from_slice(&arguments[index..]);
                break;
            }
            if let Some(long) = argument.strip_prefix("--") {
                options.longs.push(long.to_string());
                continue;
            }
            let Some(cluster) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                options.operands.push(argument.clone());
                continue;
            };
            for (at, flag) in cluster.char_indices() {
                if values.contains(flag) {
                    let attached = &cluster[at + flag.len_utf8()..];
                    let value = if attached.is_empty() {
                        let next = arguments.get(index).cloned();
                        index += 1;
                        next.ok_or((format!("{name}: option requires an argument -- '{flag}'\n"), 2))?
                    } else {
                        attached.to_string()
                    };
                    options.values.push((flag, value.into()));
                    break;
                }
                if !flags.contains(flag) {
                    return Err((format!("{name}: invalid option -- '{flag}'\n"), 2));
                }
                options.flags.push(flag);
            }
        }
        Ok(options)
    }
    pub fn has(&self, flag: char) -> bool {
        self.flags.contains(&flag)
    }
    pub fn long(&self, name: &str) -> bool {
        self.longs.iter().any(|long| long == name)
    }
    pub fn long_value(&self, name: &str) -> Option<&str> {
        self.longs.iter().rev().find_map(|long| long.strip_prefix(name)?.strip_prefix('='))
    }
    pub fn value(&self, flag: char) -> Option<&str> {
        self.values.iter().rev().find(|(name, _)| *name == flag).map(|(_, value)| &**value)
    }
    pub fn all_values(&self, flag: char) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(name, _)| *name == flag).map(|(_, value)| &**value)
    }
}
