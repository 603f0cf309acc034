//! YAML as kubectl reads and writes it.
//!
//! Picture to hold in mind: a pressed flower between two sheets of glass. The flower is the object; the glass
//! keeps the place of every petal on the page, so that a finger on the flower finds the line.
//!
//! kubectl reads with sigs.k8s.io/yaml over go-yaml v2: YAML 1.1 (`yes` is a boolean, `0755` is 493), libyaml's
//! leniencies, its messages and its line numbers. A general YAML 1.2 parser answers differently in all three,
//! which is why the parser is here: `scanner` and `parser` follow libyaml, `resolve` and `load` go-yaml,
//! `emit` its writer.

mod emit;
mod json;
mod load;
mod locate;
mod parser;
mod resolve;
mod scanner;
#[cfg(test)]
mod tests;

use std::fmt;

use super::value::Value;

pub use emit::to_string;
pub use locate::Location;
use parser::Node;

/// Blocks and brackets may nest this deep. Upstream allows 10,000; every later walk over an object recurses, and
/// a browser's stack is small.
pub const MAX_DEPTH: usize = 200;
/// The longest text that is read at all, in bytes.
pub const MAX_BYTES: usize = 10 << 20;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// In bytes from the start of the whole text.
    pub offset: usize,
    /// From 0.
    pub line: usize,
    /// In characters, from 0.
    pub column: usize,
}

/// From the first byte to the one after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: Mark,
    pub end: Mark,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq)]
pub struct YamlError {
    /// go-yaml's words without its `yaml: `; its line numbers begin at the document, not the file.
    pub problem: String,
    /// Where, in the whole text.
    pub mark: Mark,
    source: Source,
}

/// Who complains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// go-yaml.
    Parser,
    /// sigs.k8s.io/yaml, on the way to JSON.
    Conversion,
    /// The reader that splits a stream, or tries it as JSON.
    Stream,
}

impl YamlError {
    fn plain(problem: impl Into<String>, mark: Mark) -> YamlError {
        YamlError { problem: problem.into(), mark, source: Source::Parser }
    }
    fn conversion(problem: impl Into<String>, mark: Mark) -> YamlError {
        YamlError { problem: problem.into(), mark, source: Source::Conversion }
    }
    fn separator(problem: impl Into<String>, mark: Mark) -> YamlError {
        YamlError { problem: problem.into(), mark, source: Source::Stream }
    }
    /// With go-yaml's line, which it leaves out when it is 0.
    fn at_line(problem: &str, line: usize, mark: Mark) -> YamlError {
        match line {
            0 => YamlError::plain(problem, mark),
            _ => YamlError::plain(format!("line {line}: {problem}"), mark),
        }
    }
}

impl fmt::Display for YamlError {
    /// As kubectl prints it after `error parsing FILE: `.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self.source {
            Source::Parser => "error converting YAML to JSON: yaml: ",
            Source::Conversion => "error converting YAML to JSON: ",
            Source::Stream => "",
        })?;
        formatter.write_str(&self.problem)
    }
}

impl std::error::Error for YamlError {}

/// A key that an object has twice; the last one counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicate {
    /// `spec.containers[0].image`.
    pub path: String,
    /// The later key.
    pub key: Span,
}

/// One document of a stream.
#[derive(Clone, Debug)]
pub struct Document {
    pub value: Value,
    /// All of it, in the whole text.
    pub span: Span,
    pub duplicates: Vec<Duplicate>,
    nodes: Vec<Node>,
    root: usize,
}

impl Document {
    /// Where the field at `path` (as errors write it) stands in the text.
    pub fn locate(&self, path: &str) -> Location {
        locate::locate(&self.nodes, self.root, path)
    }
    pub fn duplicate_paths(&self) -> Vec<String> {
        self.duplicates.iter().map(|duplicate| duplicate.path.clone()).collect()
    }
}

/// Reads a stream as kubectl reads a file: documents stand between lines `---`, and each is read by itself, so
/// that one bad document spoils no other. Empty documents are left out. JSON is read too, several values in
/// a row included.
pub fn read(text: &str) -> Vec<Result<Document, YamlError>> {
    if text.len() > MAX_BYTES {
        let problem = format!("the text is larger than {} MB", MAX_BYTES >> 20);
        return vec![Err(YamlError::separator(problem, Mark::default()))];
    }
    let maybe_json = text.trim_start().starts_with('{');
    if maybe_json && let Some(documents) = load::json_stream(text) {
        return documents.into_iter().map(Ok).collect();
    }
    let documents = chunks(text).filter_map(|chunk| match chunk.and_then(|chunk| load::document(&chunk)) {
        Ok(Some(document)) => Some(Ok(document)),
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    });
    let documents: Vec<Result<Document, YamlError>> = documents.collect();
    match documents.first() {
        // Neither JSON nor YAML: the first guess is the one that is told.
        Some(Err(_)) if maybe_json => vec![Err(json::error(text))],
        _ => documents,
    }
}

/// The same from bytes, which may not even be text.
pub fn read_bytes(bytes: &[u8]) -> Vec<Result<Document, YamlError>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count();
            let mark = Mark { offset: before.len(), line, column: 0 };
            let problem = match error.error_len() {
                None => "incomplete UTF-8 octet sequence",
                Some(1) => "invalid leading UTF-8 octet",
                Some(_) => "invalid trailing UTF-8 octet",
            };
            vec![Err(YamlError::plain(problem, mark))]
        }
    }
}

/// The value of a text of one document; `Null` for an empty one.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    match read(text).into_iter().next() {
        None => Ok(Value::Null),
        Some(document) => document.map(|document| document.value),
    }
}

/// A document's text and where it begins.
struct Chunk<'a> {
    text: &'a str,
    start: Mark,
}

/// Splits at lines that begin with `---`; the error is about a line that goes on. A separator with nothing
/// before it stays in the document, and its line counts. Follows `YAMLReader` of
/// `k8s.io/apimachinery/pkg/util/yaml`.
fn chunks(text: &str) -> impl Iterator<Item = Result<Chunk<'_>, YamlError>> {
    let mut start = Mark::default();
    let mut here = Mark::default();
    let mut done = false;
    std::iter::from_fn(move || {
        while !done {
            let rest = &text[here.offset..];
            let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let line_start = here;
            here = Mark { offset: here.offset + length, line: here.line + 1, column: 0 };
            done = here.offset >= text.len();
            if let Some(tail) = rest[..length].strip_prefix("---") {
                let tail = tail.trim();
                if !tail.is_empty() && !tail.starts_with('#') {
                    start = here;
                    let problem = format!("invalid Yaml document separator: {tail}");
                    return Some(Err(YamlError::separator(problem, line_start)));
                }
                if line_start.offset > start.offset {
                    let chunk = Chunk { text: &text[start.offset..line_start.offset], start };
                    start = here;
                    return Some(Ok(chunk));
                }
            }
        }
        if start.offset < text.len() {
            let chunk = Chunk { text: &text[start.offset..], start };
            start.offset = text.len();
            return Some(Ok(chunk));
        }
        None
    })
}
