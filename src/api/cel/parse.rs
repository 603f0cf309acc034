//! Expressions as text: words, the tree that they make, and where that fails.
//!
//! Picture to hold in mind: a sentence diagram on squared paper. There is room for so many lines below each other; a
//! sentence that needs more is not drawn.

use super::Cel;
use super::check::{Scope, Types, check};
use super::lex::{Token, lex};
use super::types::Type;
use crate::api::value::{Text, Value};
use crate::arrange::Arrange;

/// Of an expression, in bytes.
const MAXIMUM_LENGTH: usize = 16 * 1024;
/// How deep brackets may go: each level costs space on the stack.
const MAXIMUM_DEPTH: u16 = 48;
/// How high the tree may be.
const MAXIMUM_HEIGHT: u16 = 80;
const EXPECTING: &str = "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const RESERVED: &str =
    " as break const continue else for function if import let loop package namespace return var void while ";

/// A place in the tree, with what hangs below it.
#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    pub children: Vec<Node>,
    /// The byte at which it stands in the text.
    pub place: usize,
    height: u16,
}

#[derive(Debug)]
pub enum Kind {
    Literal(Cel),
    Name(Text),
    Select(Text),
    /// `a.?b`
    OptionalSelect(Text),
    Has(Text),
    Index,
    /// `a[?b]`
    OptionalIndex,
    /// Operators are called by their sign.
    Call(Text),
    MemberCall(Text),
    And,
    Or,
    If,
    List,
    /// Keys and values in turn.
    Map,
    /// `?x` in a list, before the key of a map's entry, before the value of a struct's field.
    Optional,
    /// `Name{field: value}`, with the fields' names and the places of their colons.
    Struct(Text, Vec<(Text, usize)>),
    /// What is gone through, then what is asked of each; of a map with a filter, the filter between. The second name
    /// is empty in loops over one variable.
    Loop(Macro, Text, Text),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Macro {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    OptionalMap,
    OptionalFlatMap,
    TransformList,
    TransformMap,
    TransformMapEntry,
    SortBy,
}

impl Node {
    /// Without the `?` before it.
    pub fn inner(&self) -> &Node {
        if matches!(self.kind, Kind::Optional) { &self.children[0] } else { self }
    }
    /// `a.b.c`, if it is no more than that.
    pub fn qualified(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(name) => Some(name.to_string()),
            Kind::Select(field) => Some([&self.children[0].qualified()?, ".", field].concat()),
            _ => None,
        }
    }
}

/// An expression that has been read and checked.
pub struct Compiled {
    pub node: Node,
    /// What it comes to.
    pub kind: Type,
    pub types: Types,
}

/// What is wrong, and at which byte.
pub type Trouble = (usize, String);

/// Reads an expression and makes sure that its names and types are in order. The error is in upstream's words.
pub fn compile(source: &str, scope: &Scope) -> Result<Compiled, Text> {
    let mut troubles = Vec::new();
    match read(source) {
        Ok(node) => {
            let (kind, types) = check(&node, scope, &mut troubles);
            if troubles.is_empty() {
                return Ok(Compiled { node, kind, types });
            }
        }
        Err(trouble) => troubles.push(trouble),
    }
    Err(told(source, troubles))
}

/// Only reads it: for expressions that have been checked before they were kept.
pub fn parse(source: &str) -> Result<Node, Text> {
    read(source).map_err(|trouble| told(source, vec![trouble]))
}

/// The troubles of an expression as cel-go shows them, each with its line and a mark.
fn told(source: &str, mut troubles: Vec<Trouble>) -> Text {
    troubles.arrange_by_key(|(place, _)| *place);
    let mut text = String::new();
    for (index, (place, trouble)) in troubles.iter().take(20).enumerate() {
        let before = source.get(..*place).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = source[line_start..].lines().next().unwrap_or("");
        // The mark is as wide as what stands above it.
        let mark = |c: char, narrow: char, wide: char| if c.is_ascii() { narrow } else { wide };
        let dots: String = before[line_start..].chars().map(|c| mark(c, '.', '\u{ff0e}')).collect();
        let end = source[before.len()..].chars().next().map_or('^', |c| mark(c, '^', '\u{ff3e}'));
        let (row, column) = (before.matches('\n').count() + 1, dots.chars().count() + 1);
        let (separator, line) = (if index > 0 { "\n" } else { "" }, line.replace('\t', " "));
        text.push_str(&format!(
            "{separator}ERROR: <input>:{row}:{column}: {trouble}\n | {line}\n | {dots}{end}"
        ));
    }
    text.into()
}

fn read(source: &str) -> Result<Node, Trouble> {
    if source.len() > MAXIMUM_LENGTH {
        return Err((
            0,
            format!(
                "expression code point size exceeds limit: size: {}, limit {MAXIMUM_LENGTH}",
                source.len()
            ),
        ));
    }
    let mut parser =
        Parser { source, tokens: lex(source)?, position: 0, depth: 0, trouble: (0, String::new()) };
    let node = parser.expression().and_then(|node| match parser.tokens[parser.position].0 {
        Token::End => Some(node),
        _ => parser.unexpected("extraneous input", "expecting <EOF>"),
    });
    node.ok_or(parser.trouble)
}

/// A word that cannot be a name.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.split(' ').any(|own| own == word) || matches!(word, "true" | "false" | "null" | "in")
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<(Token, usize)>,
    position: usize,
    depth: u16,
    /// Why there was nothing to give.
    trouble: Trouble,
}

impl Parser<'_> {
    fn place(&self) -> usize {
        self.tokens[self.position].1
    }
    #[inline(never)]
    fn is(&self, sign: &str) -> bool {
        matches!(self.tokens[self.position].0, Token::Sign(own) if own == sign)
    }
    #[inline(never)]
    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.position += usize::from(is);
        is
    }
    #[inline(never)]
    fn expect(&mut self, sign: &str) -> Option<()> {
        if self.take(sign) {
            return Some(());
        }
        self.unexpected("mismatched input", &["expecting '", sign, "'"].concat())
    }
    #[inline(never)]
    fn fail<T>(&mut self, place: usize, parts: &[&str]) -> Option<T> {
        self.trouble = (place, parts.concat());
        None
    }
    fn too_deep<T>(&mut self) -> Option<T> {
        self.fail(self.place(), &["expression recursion limit exceeded"])
    }
    fn unexpected<T>(&mut self, what: &str, wanted: &str) -> Option<T> {
        let place = self.place();
        let end = self.tokens.get(self.position + 1).map_or(self.source.len(), |next| next.1);
        let shown = self.source[place..end].trim_end();
        let shown = if shown.is_empty() { "<EOF>" } else { shown };
        self.fail(place, &["Syntax error: ", what, " '", shown, "' ", wanted])
    }
    fn node(&mut self, place: usize, kind: Kind, children: Vec<Node>) -> Option<Node> {
        let height = children.iter().map(|child| child.height).max().unwrap_or(0) + 1;
        if height > MAXIMUM_HEIGHT {
            return self.too_deep();
        }
        Some(Node { kind, children, place, height })
    }
    fn call(&mut self, place: usize, name: &'static str, children: Vec<Node>) -> Option<Node> {
        self.node(place, Kind::Call(Text::from(name)), children)
    }
    fn expression(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return self.too_deep();
        }
        let mut node = self.binary(0)?;
        let place = self.place();
        if self.take("?") {
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expression()?;
            node = self.node(place, Kind::If, vec![node, yes, no])?;
        }
        self.depth -= 1;
        Some(node)
    }
    /// What operators of at least this level join.
    fn binary(&mut self, least: usize) -> Option<Node> {
        const LEVELS: [&[&str]; 5] =
            [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];
        let mut left = self.unary()?;
        loop {
            let place = self.place();
            let found = LEVELS
                .iter()
                .enumerate()
                .skip(least)
                .find_map(|(level, signs)| Some((level, signs.iter().find(|sign| self.is(sign))?)));
            let Some((level, sign)) = found else { return Some(left) };
            self.position += 1;
            let right = self.binary(level + 1)?;
            // Chains of these lie flat: they may be long.
            left = match (level, left.kind) {
                (0, Kind::Or) | (1, Kind::And) => {
                    let kind = if level == 0 { Kind::Or } else { Kind::And };
                    left.children.push(right);
                    self.node(place, kind, left.children)?
                }
                (0, kind) => self.node(place, Kind::Or, vec![Node { kind, ..left }, right])?,
                (1, kind) => self.node(place, Kind::And, vec![Node { kind, ..left }, right])?,
                (_, kind) => self.call(place, sign, vec![Node { kind, ..left }, right])?,
            };
        }
    }
    fn unary(&mut self) -> Option<Node> {
        let place = self.place();
        for sign in ["!", "-"] {
            if !self.take(sign) {
                continue;
            }
            let number = match self.tokens[self.position].0 {
                Token::Int(number) if sign == "-" => Some(number),
                _ => None,
            };
            // The smallest integer has no positive one.
            if let Some(number) = number
                && number == i64::MIN.unsigned_abs()
            {
                self.position += 1;
                return self.node(place, Kind::Literal(Value::Integer(i64::MIN).into()), Vec::new());
            }
            self.depth += 1;
            if self.depth > MAXIMUM_DEPTH {
                return self.too_deep();
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return self.call(place, sign, vec![inner]);
        }
        self.member()
    }
    #[inline(never)]
    fn name(&mut self) -> Option<Text> {
        match &self.tokens[self.position].0 {
            Token::Name(name) => {
                let name = name.clone();
                self.position += 1;
                Some(name)
            }
            _ => self.fail(self.place(), &["Syntax error: no viable alternative at input '.'"]),
        }
    }
    fn member(&mut self) -> Option<Node> {
        let mut node = self.primary()?;
        loop {
            let place = self.place();
            if self.take(".?") {
                let name = self.name()?;
                node = self.node(place, Kind::OptionalSelect(name), vec![node])?;
            } else if self.take(".") {
                let name = self.name()?;
                let open = self.place();
                node = if self.take("(") {
                    let arguments = self.list(")")?;
                    self.member_call(open, node, name, arguments)?
                } else {
                    self.node(place, Kind::Select(name), vec![node])?
                };
            } else if self.is("[") || self.is("[?") {
                let kind = if self.is("[") { Kind::Index } else { Kind::OptionalIndex };
                self.position += 1;
                let index = self.expression()?;
                self.expect("]")?;
                node = self.node(place, kind, vec![node, index])?;
            } else {
                return Some(node);
            }
        }
    }
    fn member_call(
        &mut self,
        place: usize,
        target: Node,
        name: Text,
        mut arguments: Vec<Node>,
    ) -> Option<Node> {
        let (named, names) = match (name.as_str(), arguments.len()) {
            ("all", 2) => (Macro::All, 1),
            ("exists", 2) => (Macro::Exists, 1),
            ("exists_one" | "existsOne", 2) => (Macro::ExistsOne, 1),
            ("map", 2 | 3) => (Macro::Map, 1),
            ("filter", 2) => (Macro::Filter, 1),
            ("optMap", 2) => (Macro::OptionalMap, 1),
            ("optFlatMap", 2) => (Macro::OptionalFlatMap, 1),
            ("sortBy", 2) => (Macro::SortBy, 1),
            ("all", 3) => (Macro::All, 2),
            ("exists", 3) => (Macro::Exists, 2),
            ("existsOne" | "exists_one", 3) => (Macro::ExistsOne, 2),
            ("transformList", 3 | 4) => (Macro::TransformList, 2),
            ("transformMap", 3 | 4) => (Macro::TransformMap, 2),
            ("transformMapEntry", 3 | 4) => (Macro::TransformMapEntry, 2),
            _ => {
                arguments.insert(0, target);
                return self.node(place, Kind::MemberCall(name), arguments);
            }
        };
        let mut variables = [Text::new(), Text::new()];
        for variable in &mut variables[..names] {
            let first = arguments.remove(0);
            let Kind::Name(own) = first.kind else {
                let why = match named {
                    Macro::Map | Macro::Filter | Macro::SortBy => ["", "argument is not an identifier"],
                    Macro::OptionalMap | Macro::OptionalFlatMap => {
                        [name.as_str(), "() variable name must be a simple identifier"]
                    }
                    _ => ["", "argument must be a simple name"],
                };
                return self.fail(first.place, &why);
            };
            *variable = own;
        }
        arguments.insert(0, target);
        let [first, second] = variables;
        if first == second {
            return self.fail(place, &["duplicate variable name: ", &first]);
        }
        self.node(place, Kind::Loop(named, first, second), arguments)
    }
    /// An expression that may stand behind a `?`.
    fn entry(&mut self) -> Option<Node> {
        let place = self.place();
        if !self.take("?") {
            return self.expression();
        }
        let inner = self.expression()?;
        self.node(place, Kind::Optional, vec![inner])
    }
    /// Whether `a.b.c{` begins here: at which token the bracket stands.
    fn struct_bracket(&self) -> Option<usize> {
        let mut next = self.position + 1;
        while matches!(self.tokens.get(next..next + 2), Some([(Token::Sign("."), _), (Token::Name(_), _)])) {
            next += 2;
        }
        matches!(self.tokens.get(next), Some((Token::Sign("{"), _))).then_some(next)
    }
    fn structure(&mut self, bracket: usize) -> Option<Node> {
        let name = self.source[self.place()..self.tokens[bracket].1].replace(|c: char| c.is_whitespace(), "");
        self.position = bracket;
        let place = self.place();
        self.position += 1;
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        while !self.take("}") {
            let is_optional = self.take("?");
            let field = self.name()?;
            let colon = self.place();
            fields.push((field, colon));
            self.expect(":")?;
            let value = self.expression()?;
            values.push(if is_optional { self.node(colon, Kind::Optional, vec![value])? } else { value });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.node(place, Kind::Struct(name.into(), fields), values)
    }
    /// Expressions up to a closing sign, which is taken too.
    fn list(&mut self, close: &str) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(if close == "]" { self.entry()? } else { self.expression()? });
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Some(items)
    }
    fn primary(&mut self) -> Option<Node> {
        let (token, place) = self.tokens[self.position].clone();
        let literal = match token {
            Token::Literal(literal) => literal,
            Token::Int(number) => match i64::try_from(number) {
                Ok(number) => number.into(),
                Err(_) => return self.fail(place, &["invalid int literal"]),
            },
            Token::Name(name) => {
                if let Some(bracket) = self.struct_bracket() {
                    return self.structure(bracket);
                }
                self.position += 1;
                if is_reserved(&name) {
                    return self.fail(place, &["reserved identifier: ", &name]);
                }
                let open = self.place();
                if !self.take("(") {
                    return self.node(place, Kind::Name(name), Vec::new());
                }
                let mut arguments = self.list(")")?;
                if name != "has" {
                    return self.node(open, Kind::Call(name), arguments);
                }
                return match (arguments.pop(), arguments.len()) {
                    (Some(Node { kind: Kind::Select(field), children, .. }), 0) => {
                        self.node(open, Kind::Has(field), children)
                    }
                    _ => self.fail(open, &["invalid argument to has() macro"]),
                };
            }
            Token::Sign("(") => {
                self.position += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                return Some(inner);
            }
            Token::Sign("[" | "[?") => {
                if self.is("[?") {
                    // The lexer takes the two for one, as behind a value.
                    self.tokens[self.position] = (Token::Sign("?"), place + 1);
                } else {
                    self.position += 1;
                }
                let items = self.list("]")?;
                return self.node(place, Kind::List, items);
            }
            Token::Sign("{") => {
                self.position += 1;
                let mut entries = Vec::new();
                while !self.take("}") {
                    entries.push(self.entry()?);
                    self.expect(":")?;
                    entries.push(self.expression()?);
                    if !self.take(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                return self.node(place, Kind::Map, entries);
            }
            Token::Sign(".") => {
                // The name of the root: there are no containers here.
                self.position += 1;
                let name = self.name()?;
                return self.node(place, Kind::Name(name), Vec::new());
            }
            _ => return self.unexpected("mismatched input", EXPECTING),
        };
        self.position += 1;
        self.node(place, Kind::Literal(literal), Vec::new())
    }
}

/// Whether `name` is used anywhere in the tree.
pub fn uses(node: &Node, name: &str) -> bool {
    matches!(&node.kind, Kind::Name(own) if own == name)
        || node.children.iter().any(|child| uses(child, name))
}
