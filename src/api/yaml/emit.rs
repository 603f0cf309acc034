//! Values into YAML, as `kubectl get -o yaml` prints them.
//!
//! Picture to hold in mind: a typist who knows one house style by heart: two spaces a level, dashes flush with
//! their key, quotes only where a reader could mistake a word for something else, long lines broken at the
//! first space past the margin.
//!
//! Follows encode.go, emitterc.go and sorter.go of go-yaml v2, through which sigs.k8s.io/yaml writes.

use std::cmp::Ordering;

use super::resolve::{Scalar, go_float, resolve};
use crate::api::value::{Map, Text, Value};
use crate::arrange::{Arrange, Gather};

/// Spaces a level.
const INDENT: i32 = 2;
/// Lines are broken at the first space beyond this column.
const WIDTH: usize = 80;
/// Longer keys are written with a question mark.
const MAX_SIMPLE_KEY: usize = 128;

/// The document, with a line break at its end.
pub fn to_string(value: &Value) -> String {
    let mut emitter =
        Emitter { out: String::new(), column: 0, indent: -1, whitespace: true, indention: true };
    emitter.node(value, false);
    emitter.indent = 0;
    emitter.write_indent();
    emitter.out
}

struct Emitter {
    out: String,
    column: usize,
    indent: i32,
    /// The last thing written was white space.
    whitespace: bool,
    /// Nothing but indentation and dashes stands on this line yet.
    indention: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

impl Emitter {
    fn put(&mut self, character: char) {
        self.out.push(character);
        self.column += 1;
    }
    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }
    fn write_indent(&mut self) {
        let indent = self.indent.max(0) as usize;
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }
    fn indicator(&mut self, text: &str, needs_space: bool, is_indention: bool) {
        if needs_space && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|character| self.put(character));
        self.whitespace = false;
        self.indention = self.indention && is_indention;
    }
    fn deeper(&self, flow: bool, flush: bool) -> i32 {
        match self.indent {
            i32::MIN..0 => {
                if flow {
                    INDENT
                } else {
                    0
                }
            }
            indent if flush => indent,
            indent => indent + INDENT,
        }
    }

    fn node(&mut self, value: &Value, in_mapping: bool) {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map),
            Value::Array(items) if !items.is_empty() => {
                let outer = self.indent;
                self.indent = self.deeper(false, in_mapping && !self.indention);
                for item in items.iter() {
                    self.write_indent();
                    self.indicator("-", true, true);
                    self.node(item, false);
                }
                self.indent = outer;
            }
            Value::Object(_) => self.indicator("{}", true, false),
            Value::Array(_) => self.indicator("[]", true, false),
            Value::String(text) => self.text(text, false),
            Value::Null => self.indicator("null", true, false),
            Value::Bool(value) => self.indicator(if *value { "true" } else { "false" }, true, false),
            Value::Integer(value) => self.indicator(&value.to_string(), true, false),
            Value::Float(value) => self.indicator(&go_float(*value), true, false),
        }
    }

    fn mapping(&mut self, map: &Map) {
        let outer = self.indent;
        self.indent = self.deeper(false, false);
        let mut entries: Vec<(&Text, &Value)> = map.iter().collect();
        entries.arrange_by(|a, b| compare_keys(a.0, b.0));
        for (key, value) in entries {
            self.write_indent();
            let simple = key.len() <= MAX_SIMPLE_KEY && !key.contains(is_break);
            if simple {
                self.text(key, true);
                self.indicator(":", false, false);
            } else {
                self.indicator("?", true, true);
                self.text(key, false);
                self.write_indent();
                self.indicator(":", true, true);
            }
            self.node(value, true);
        }
        self.indent = outer;
    }

    fn text(&mut self, text: &str, simple_key: bool) {
        let outer = self.indent;
        let style = style(text, simple_key);
        self.indent = self.deeper(true, false);
        match style {
            Style::Plain => {
                if !self.whitespace {
                    self.put(' ');
                }
                self.folded(text, !simple_key, false);
            }
            Style::SingleQuoted => {
                self.indicator("'", true, false);
                self.folded(text, !simple_key, true);
                self.indicator("'", false, false);
            }
            Style::DoubleQuoted => self.double_quoted(text, !simple_key),
            Style::Literal => self.literal(text),
        }
        self.indent = outer;
        if style != Style::Literal {
            self.whitespace = false;
            self.indention = false;
        }
    }

    /// A plain or single-quoted scalar.
    fn folded(&mut self, text: &str, may_break: bool, quoted: bool) {
        let mut spaces = false;
        let mut breaks = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if character == ' ' {
                let inside = !quoted || (at > 0 && next.is_some());
                if may_break && !spaces && self.column > WIDTH && inside && next != Some(' ') {
                    self.write_indent();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else if is_break(character) {
                if !breaks && character == '\n' {
                    self.put_break();
                }
                self.write_break(character);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if quoted && character == '\'' {
                    self.put('\'');
                }
                self.put(character);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
        }
    }

    fn write_break(&mut self, character: char) {
        if character == '\n' {
            self.put_break();
        } else {
            self.out.push(character);
            self.column = 0;
        }
    }

    fn double_quoted(&mut self, text: &str, may_break: bool) {
        self.indicator("\"", true, false);
        let mut spaces = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if !is_printable(character) || is_break(character) || matches!(character, '"' | '\\' | '\u{FEFF}')
            {
                escape(character).chars().for_each(|character| self.put(character));
                spaces = false;
            } else if character == ' ' {
                if may_break && !spaces && self.column > WIDTH && at > 0 && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else {
                self.put(character);
                spaces = false;
            }
        }
        self.indicator("\"", false, false);
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false);
        if text.starts_with(|first| first == ' ' || is_break(first)) {
            self.indicator("2", false, false);
        }
        let mut last = text.chars().rev();
        match (last.next().is_some_and(is_break), last.next().is_none_or(is_break)) {
            (false, _) => self.indicator("-", false, false),
            (true, true) => self.indicator("+", false, false),
            (true, false) => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for character in text.chars() {
            if is_break(character) {
                self.write_break(character);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(character);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What go-yaml prints as it is: not tabs, and nothing beyond the basic plane.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}')
}

fn escape(character: char) -> String {
    let short = match character {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0B' => 'v',
        '\x0C' => 'f',
        '\r' => 'r',
        '\x1B' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{A0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(character);
            return match code {
                0..=0xFF => format!("\\x{code:02X}"),
                0x100..=0xFFFF => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// The style in which a string reads back as itself.
fn style(text: &str, simple_key: bool) -> Style {
    let facts = Facts::of(text);
    let mut style = if text.contains('\n') {
        Style::Literal
    } else if resolve(text) == Scalar::Text && !is_base_60(text) && !is_timestamp(text) && text != "<<" {
        Style::Plain
    } else {
        Style::DoubleQuoted
    };
    if simple_key && facts.multiline {
        style = Style::DoubleQuoted;
    }
    if style == Style::Plain && (!facts.plain_allowed || text.is_empty() && simple_key) {
        style = Style::SingleQuoted;
    }
    if style == Style::SingleQuoted && !facts.single_quoted_allowed {
        style = Style::DoubleQuoted;
    }
    if style == Style::Literal && (!facts.block_allowed || simple_key) {
        style = Style::DoubleQuoted;
    }
    style
}

/// What `yaml_emitter_analyze_scalar` finds out.
struct Facts {
    multiline: bool,
    plain_allowed: bool,
    single_quoted_allowed: bool,
    block_allowed: bool,
}

impl Facts {
    fn of(text: &str) -> Facts {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut breaks, mut special, mut break_space, mut space_break) = (false, false, false, false);
        let (mut previous_space, mut previous_break) = (false, false);
        let mut preceded_by_blank = true;
        let mut characters = text.chars().peekable();
        let mut first = true;
        while let Some(character) = characters.next() {
            let followed = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicators |= match character {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`'
                    if first =>
                {
                    true
                }
                '?' | '-' if first => followed,
                ':' => followed,
                '#' => preceded_by_blank,
                _ => false,
            };
            special |= !is_printable(character);
            if character == ' ' {
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(character) {
                breaks = true;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            preceded_by_blank = matches!(character, ' ' | '\t' | '\0') || is_break(character);
            first = false;
        }
        let at_end = |character: Option<char>| character.is_some_and(|c| c == ' ' || is_break(c));
        let padded = at_end(text.chars().next()) || at_end(text.chars().next_back());
        let bad = space_break || special;
        Facts {
            multiline: breaks,
            plain_allowed: !(padded || break_space || bad || breaks || indicators),
            single_quoted_allowed: !(break_space || bad),
            block_allowed: !(text.is_empty() || text.ends_with(' ') || bad),
        }
    }
}

/// `1:30` was a number in YAML 1.1: `^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$`.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (body, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = body.split(':');
    let head = parts.next().unwrap_or("");
    let mut count = 0;
    let tail = parts.all(|part| {
        count += 1;
        match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
            _ => false,
        }
    });
    head.starts_with(|c: char| c.is_ascii_digit()) && digits(head) && tail && count > 0 && digits(fraction)
}

/// One of the forms of timestamp that go-yaml reads back as a time: RFC 3339 with short fields, the same with a
/// space and no zone, a date alone.
fn is_timestamp(text: &str) -> bool {
    let number =
        |text: &str, widths: std::ops::RangeInclusive<usize>, range: std::ops::RangeInclusive<u32>| {
            widths.contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && text.parse::<u32>().is_ok_and(|value| range.contains(&value))
        };
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..at + 1], &text[at + 1..]))),
        None => (text, None),
    };
    let date: Vec<&str> = date.split('-').gather();
    let [year, month, day] = date[..] else { return false };
    if !(number(year, 4..=4, 0..=9999) && number(month, 1..=2, 1..=12) && number(day, 1..=2, 1..=31)) {
        return false;
    }
    let Some((separator, time)) = time else { return true };
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let zone_fits = match zone.as_bytes() {
        [] => separator == " ",
        _ if separator == " " => false,
        [b'Z'] => true,
        [b'+' | b'-', rest @ ..] => {
            rest.len() == 5 && rest[2] == b':' && [0, 1, 3, 4].iter().all(|at| rest[*at].is_ascii_digit())
        }
        _ => false,
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock: Vec<&str> = clock.split(':').gather();
    let [hour, minute, second] = clock[..] else { return false };
    zone_fits
        && number(hour, 1..=2, 0..=23)
        && number(minute, 1..=2, 0..=59)
        && number(second, 1..=2, 0..=59)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters by their code, digits by the number they spell, everything else before letters.
fn compare_keys(a: &str, b: &str) -> Ordering {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_digit());
    if plain(a) && plain(b) {
        // The common case, without collecting characters.
        for (x, y) in a.bytes().zip(b.bytes()) {
            if x == y {
                continue;
            }
            return match (x.is_ascii_alphabetic(), y.is_ascii_alphabetic()) {
                (true, true) | (false, false) => x.cmp(&y),
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
            };
        }
        return a.len().cmp(&b.len());
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().gather(), b.chars().gather());
    let number = |text: &[char], from: usize, lead: u64| {
        let digits = text[from..].iter().map_while(|character| character.to_digit(10));
        let (mut end, mut value) = (from, lead);
        for digit in digits {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            end += 1;
        }
        (value as i64, end)
    };
    for at in 0..a.len().min(b.len()) {
        if a[at] == b[at] {
            continue;
        }
        match (a[at].is_ascii_alphabetic(), b[at].is_ascii_alphabetic()) {
            (true, true) => return a[at].cmp(&b[at]),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // Zeros inside a number count, leading ones do not.
        let inside = (a[at] == '0' || b[at] == '0')
            && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
        let lead = u64::from(inside);
        let ((x, x_end), (y, y_end)) = (number(&a, at, lead), number(&b, at, lead));
        return x.cmp(&y).then(x_end.cmp(&y_end)).then(a[at].cmp(&b[at]));
    }
    a.len().cmp(&b.len())
}
