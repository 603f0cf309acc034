//! Tokens into a tree of nodes.
//!
//! Picture to hold in mind: a secretary who files pages into folders within folders and writes on each folder
//! where it came from. Nothing is understood yet: `3` is three characters on a page.
//!
//! Follows libyaml's grammar (parserc.go of go-yaml v2) and the node tree of its decode.go. Only the first
//! document of a text is read, as upstream does.

use super::scanner::{Item, Scanner, Token};
use super::{Mark, Span, YamlError};
use crate::sorted::SortedMap;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    pub tag: Option<String>,
    pub kind: NodeKind,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Scalar {
        text: String,
        /// Written without quotes, so that its text decides its type.
        plain: bool,
    },
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
    /// The node it stands for.
    Alias {
        name: String,
        target: usize,
    },
}

pub(super) struct Parser<'a> {
    scanner: Scanner<'a>,
    pub nodes: Vec<Node>,
    anchors: SortedMap<&'a str, usize>,
    tag_prefixes: Vec<(&'a str, &'a str)>,
}

type Result<T> = std::result::Result<T, YamlError>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Parser<'a> {
        Parser {
            scanner: Scanner::new(text),
            nodes: Vec::new(),
            anchors: SortedMap::new(),
            tag_prefixes: Vec::new(),
        }
    }

    /// The root node; `None` where there is no document.
    pub fn document(&mut self) -> Result<Option<usize>> {
        let mut explicit = false;
        loop {
            let item = self.peek()?;
            let start = item.start;
            match item.token {
                Token::StreamEnd if !explicit => return Ok(None),
                Token::Directive(prefix) => {
                    self.tag_prefixes.extend(prefix);
                    self.scanner.skip();
                    explicit = true;
                }
                Token::DocumentStart => {
                    self.scanner.skip();
                    break;
                }
                _ if explicit => return self.error("did not find expected <document start>", start, start),
                _ => {
                    let root = self.node(true, false)?;
                    self.peek()?;
                    return Ok(Some(root));
                }
            }
        }
        let item = self.peek()?;
        let root = match item.token {
            Token::Directive(_) | Token::DocumentStart | Token::DocumentEnd | Token::StreamEnd => {
                self.empty(item.start)
            }
            _ => self.node(true, false)?,
        };
        // The document's end is looked for, and so whatever is wrong right behind it is found.
        self.peek()?;
        Ok(Some(root))
    }

    fn peek(&mut self) -> Result<Item<'a>> {
        self.scanner.peek().cloned()
    }
    /// The next token's kind without its text: cheap to look at again and again.
    fn is(&mut self, kinds: &[Token]) -> Result<bool> {
        let item = self.scanner.peek()?;
        Ok(kinds.contains(&item.token))
    }
    fn start(&mut self) -> Result<Mark> {
        Ok(self.scanner.peek()?.start)
    }
    fn add(&mut self, kind: NodeKind, tag: Option<String>, start: Mark, end: Mark) -> usize {
        self.nodes.push(Node { span: Span { start, end }, tag, kind });
        self.nodes.len() - 1
    }
    fn empty(&mut self, mark: Mark) -> usize {
        self.add(NodeKind::Scalar { text: String::new(), plain: true }, None, mark, mark)
    }
    /// A parser's complaint: upstream counts its lines from 0, and names the context's where that gives none.
    fn error<T>(&self, problem: &str, context: Mark, mark: Mark) -> Result<T> {
        let line = if mark.line == 0 { context.line } else { mark.line };
        Err(YamlError::at_line(problem, line, mark))
    }

    fn node(&mut self, block: bool, indentless: bool) -> Result<usize> {
        let item = self.peek()?;
        if let Token::Alias(name) = item.token {
            self.scanner.skip();
            let Some(target) = self.anchors.get(name).copied() else {
                return Err(YamlError::plain(format!("unknown anchor '{name}' referenced"), item.start));
            };
            let kind = NodeKind::Alias { name: name.to_owned(), target };
            return Ok(self.add(kind, None, item.start, item.end));
        }
        let (start, mut end) = (item.start, item.start);
        let (mut anchor, mut tag) = (None, None);
        for _ in 0..2 {
            let item = self.peek()?;
            match item.token {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(name),
                Token::Tag(handle, suffix) if tag.is_none() => {
                    tag = Some(self.tag(handle, suffix, start, item.start)?);
                }
                _ => break,
            }
            end = item.end;
            self.scanner.skip();
        }
        // Known before its content, so that an anchor may be found inside itself (and refused when read).
        let id = self.empty(start);
        if let Some(name) = anchor {
            self.anchors.insert(name, id);
        }
        let item = self.peek()?;
        let kind = match item.token {
            Token::BlockEntry if indentless => self.indentless_sequence()?,
            Token::Scalar { text, plain } => {
                self.scanner.skip();
                let plain = (plain && tag.is_none()) || tag.as_deref() == Some("!");
                NodeKind::Scalar { text: text.into_owned(), plain }
            }
            Token::FlowSequenceStart => self.flow_sequence()?,
            Token::FlowMappingStart => self.flow_mapping()?,
            Token::BlockSequenceStart if block => self.block_sequence()?,
            Token::BlockMappingStart if block => self.block_mapping()?,
            _ if anchor.is_some() || tag.is_some() => {
                let plain = tag.is_none();
                self.nodes[id] = Node {
                    span: Span { start, end },
                    tag,
                    kind: NodeKind::Scalar { text: String::new(), plain },
                };
                return Ok(id);
            }
            _ => return self.error("did not find expected node content", start, item.start),
        };
        let end = match &kind {
            NodeKind::Scalar { .. } => item.end,
            NodeKind::Sequence(items) => items.last().map_or(item.end, |last| self.nodes[*last].span.end),
            NodeKind::Mapping(entries) => {
                entries.last().map_or(item.end, |(_, last)| self.nodes[*last].span.end)
            }
            NodeKind::Alias { .. } => item.end,
        };
        self.nodes[id] = Node { span: Span { start, end }, tag, kind };
        Ok(id)
    }

    fn tag(&self, handle: &str, suffix: String, context: Mark, mark: Mark) -> Result<String> {
        let prefix = match handle {
            "" => return Ok(suffix),
            handle => match self.tag_prefixes.iter().rev().find(|(known, _)| *known == handle) {
                Some((_, prefix)) => prefix,
                None if handle == "!" => "!",
                None if handle == "!!" => "tag:yaml.org,2002:",
                None => return self.error("found undefined tag handle", context, mark),
            },
        };
        Ok(format!("{prefix}{suffix}"))
    }

    fn block_sequence(&mut self) -> Result<NodeKind> {
        let context = self.start()?;
        self.scanner.skip();
        let mut items = Vec::new();
        loop {
            let item = self.peek()?;
            match item.token {
                Token::BlockEntry => {
                    self.scanner.skip();
                    let next = if self.is(&[Token::BlockEntry, Token::BlockEnd])? {
                        self.empty(item.end)
                    } else {
                        self.node(true, false)?
                    };
                    items.push(next);
                }
                Token::BlockEnd => {
                    self.scanner.skip();
                    return Ok(NodeKind::Sequence(items));
                }
                _ => return self.error("did not find expected '-' indicator", context, item.start),
            }
        }
    }

    fn indentless_sequence(&mut self) -> Result<NodeKind> {
        let mut items = Vec::new();
        loop {
            let item = self.peek()?;
            if item.token != Token::BlockEntry {
                return Ok(NodeKind::Sequence(items));
            }
            self.scanner.skip();
            let next = if self.is(&[Token::BlockEntry, Token::Key, Token::Value, Token::BlockEnd])? {
                self.empty(item.end)
            } else {
                self.node(true, false)?
            };
            items.push(next);
        }
    }

    fn block_mapping(&mut self) -> Result<NodeKind> {
        let context = self.start()?;
        self.scanner.skip();
        let mut entries = Vec::new();
        const NOTHING: [Token; 3] = [Token::Key, Token::Value, Token::BlockEnd];
        loop {
            let item = self.peek()?;
            let key = match item.token {
                Token::Key => {
                    self.scanner.skip();
                    if self.is(&NOTHING)? { self.empty(item.end) } else { self.node(true, true)? }
                }
                Token::BlockEnd => {
                    self.scanner.skip();
                    return Ok(NodeKind::Mapping(entries));
                }
                _ => return self.error("did not find expected key", context, item.start),
            };
            let item = self.peek()?;
            let value = if item.token == Token::Value {
                self.scanner.skip();
                if self.is(&NOTHING)? { self.empty(item.end) } else { self.node(true, true)? }
            } else {
                self.empty(item.start)
            };
            entries.push((key, value));
        }
    }

    fn flow_sequence(&mut self) -> Result<NodeKind> {
        let context = self.start()?;
        self.scanner.skip();
        let mut items = Vec::new();
        loop {
            let mut item = self.peek()?;
            if item.token != Token::FlowSequenceEnd && !items.is_empty() {
                if item.token != Token::FlowEntry {
                    return self.error("did not find expected ',' or ']'", context, item.start);
                }
                self.scanner.skip();
                item = self.peek()?;
            }
            match item.token {
                Token::FlowSequenceEnd => {
                    self.scanner.skip();
                    return Ok(NodeKind::Sequence(items));
                }
                Token::Key => {
                    self.scanner.skip();
                    let pair = self.flow_pair(&item)?;
                    items.push(pair);
                }
                _ => {
                    let next = self.node(false, false)?;
                    items.push(next);
                }
            }
        }
    }

    /// `[a: b]` is a list of one map.
    fn flow_pair(&mut self, start: &Item<'a>) -> Result<usize> {
        let at = self.start()?;
        let key = if self.is(&[Token::Value, Token::FlowEntry, Token::FlowSequenceEnd])? {
            // Upstream takes the token after the missing key along with it.
            let end = self.peek()?.end;
            self.scanner.skip();
            self.empty(end)
        } else {
            self.node(false, false)?
        };
        let mut value = None;
        if self.is(&[Token::Value])? {
            self.scanner.skip();
            if !self.is(&[Token::FlowEntry, Token::FlowSequenceEnd])? {
                value = Some(self.node(false, false)?);
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.empty(at),
        };
        let end = self.nodes[value].span.end;
        Ok(self.add(NodeKind::Mapping(vec![(key, value)]), None, start.start, end))
    }

    fn flow_mapping(&mut self) -> Result<NodeKind> {
        let context = self.start()?;
        self.scanner.skip();
        let mut entries = Vec::new();
        const NOTHING: [Token; 3] = [Token::Value, Token::FlowEntry, Token::FlowMappingEnd];
        loop {
            let mut item = self.peek()?;
            if item.token != Token::FlowMappingEnd && !entries.is_empty() {
                if item.token != Token::FlowEntry {
                    return self.error("did not find expected ',' or '}'", context, item.start);
                }
                self.scanner.skip();
                item = self.peek()?;
            }
            let (key, has_value) = match item.token {
                Token::FlowMappingEnd => {
                    self.scanner.skip();
                    return Ok(NodeKind::Mapping(entries));
                }
                Token::Key => {
                    self.scanner.skip();
                    let at = self.start()?;
                    (if self.is(&NOTHING)? { self.empty(at) } else { self.node(false, false)? }, true)
                }
                _ => (self.node(false, false)?, false),
            };
            let item = self.peek()?;
            let mut value = None;
            if has_value && item.token == Token::Value {
                self.scanner.skip();
                if !self.is(&[Token::FlowEntry, Token::FlowMappingEnd])? {
                    value = Some(self.node(false, false)?);
                }
            }
            let value = match value {
                Some(value) => value,
                None => self.empty(item.start),
            };
            entries.push((key, value));
        }
    }
}
