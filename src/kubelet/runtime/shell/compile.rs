//! Tokens to cards: the script as a flat list of instructions.
//!
//! Picture to hold in mind: a board game. Each card says what to do and, if it must, where to jump, so that
//! the place of the finger is all there is to remember about loops and conditions.

use std::sync::Arc;

use crate::api::Text;

use super::lexer::{Part, Token, Word, literal, tokens};

#[derive(Clone, Debug, Default)]
pub struct Code {
    pub cards: Vec<Card>,
}

#[derive(Clone, Debug)]
pub enum Card {
    Simple(Arc<Simple>),
    Jump(usize),
    /// Jumps when the last status is 0.
    JumpIfOk(usize),
    JumpIfFailed(usize),
    /// Turns 0 into 1 and everything else into 0.
    Negate,
    /// Sets the last status: the status of a loop whose body never ran is 0.
    Status(i32),
    ForBegin {
        words: Vec<Word>,
    },
    /// Takes the next word into `name`, or jumps.
    ForNext {
        name: Text,
        done: usize,
    },
    /// Jumps unless the word matches one of the patterns.
    Case {
        word: Word,
        patterns: Vec<Word>,
        otherwise: usize,
    },
    /// Everything written from here on goes to the pipe.
    PipeOut,
    /// What is in the pipe becomes the standard input.
    PipeIn,
    /// What PipeIn or RedirectBegin pushed is over.
    Pop,
    RedirectBegin(Vec<Redirect>),
    /// Variables set from here to `Pop` are forgotten: a subshell.
    ScopeBegin {
        end: usize,
    },
    /// What follows up to `end` runs on the side.
    Background {
        end: usize,
    },
    Function {
        name: Text,
        end: usize,
    },
    Return,
    /// `exit` at the end of a subshell or of the script.
    End,
}

#[derive(Clone, Debug, Default)]
pub struct Simple {
    pub assignments: Vec<(Text, Word)>,
    pub words: Vec<Word>,
    pub redirects: Vec<Redirect>,
}

#[derive(Clone, Debug)]
pub struct Redirect {
    pub descriptor: u8,
    pub kind: RedirectKind,
    pub target: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectKind {
    Write,
    Append,
    Read,
    /// `2>&1`.
    Duplicate,
    /// `&>`: both outputs.
    Both,
    Here,
}

/// Makes cards of a script. The error is the message of `sh`.
pub fn compile(script: &str) -> Result<Arc<Code>, String> {
    let tokens = tokens(script).map_err(|error| format!("sh: syntax error: {error}"))?;
    let mut compiler = Compiler { tokens, at: 0, cards: Vec::new(), loops: Vec::new(), depth: 0 };
    compiler.list(&[])?;
    if compiler.at < compiler.tokens.len() {
        return Err(compiler.unexpected());
    }
    compiler.cards.push(Card::End);
    Ok(Arc::new(Code { cards: compiler.cards }))
}

/// One command that needs no shell: `["sleep", "3600"]`.
pub fn compile_arguments(arguments: &[Text]) -> Arc<Code> {
    let words = arguments.iter().map(|argument| literal(argument)).collect();
    let simple = Simple { words, ..Simple::default() };
    Arc::new(Code { cards: vec![Card::Simple(Arc::new(simple)), Card::End] })
}

struct Loop {
    start: usize,
    /// `for` keeps its words on the stack: leaving it takes them off.
    is_for: bool,
    /// Jumps to be pointed at the loop's end.
    breaks: Vec<usize>,
}

struct Compiler {
    tokens: Vec<Token>,
    at: usize,
    cards: Vec<Card>,
    loops: Vec<Loop>,
    depth: usize,
}

const RESERVED: &[&str] = &[
    "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "{", "}", "!",
    "in",
];
const DEEPEST: usize = 64;

impl Compiler {
    /// The next token as a reserved word, if it is an unquoted word of that text.
    fn keyword(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => match word.as_slice() {
                [Part::Literal { text, is_quoted: false }] if RESERVED.contains(&text.as_str()) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
    fn operator(&self) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Operator(operator)) => Some(operator),
            _ => None,
        }
    }
    fn skip_newlines(&mut self) {
        while self.operator() == Some("\n") {
            self.at += 1;
        }
    }
    fn expect(&mut self, keyword: &str) -> Result<(), String> {
        if self.keyword() == Some(keyword) {
            self.at += 1;
            return Ok(());
        }
        Err(match self.tokens.get(self.at) {
            None => format!("sh: syntax error: unexpected end of file (expecting \"{keyword}\")"),
            Some(_) => self.unexpected(),
        })
    }
    fn unexpected(&self) -> String {
        match self.tokens.get(self.at) {
            None => "sh: syntax error: unexpected end of file".into(),
            Some(Token::Operator("\n")) => "sh: syntax error: unexpected newline".into(),
            Some(Token::Operator(operator)) => format!("sh: syntax error: unexpected \"{operator}\""),
            Some(Token::Word(_)) => match self.keyword() {
                Some(word) => format!("sh: syntax error: unexpected \"{word}\""),
                None => "sh: syntax error: unexpected word".into(),
            },
            Some(_) => "sh: syntax error: unexpected redirection".into(),
        }
    }
    fn here(&self) -> usize {
        self.cards.len()
    }
    /// Puts a card before those from `at` on, which move one place up; jumps among them follow.
    fn insert(&mut self, at: usize, card: Card) {
        self.cards.insert(at, card);
        for card in &mut self.cards[at + 1..] {
            if let Some(target) = target_of(card)
                && *target != UNSET
                && *target >= at
            {
                *target += 1;
            }
        }
        for outer in &mut self.loops {
            for jump in outer.breaks.iter_mut().filter(|jump| **jump >= at) {
                *jump += 1;
            }
        }
    }
    fn push(&mut self, card: Card) -> usize {
        self.cards.push(card);
        self.cards.len() - 1
    }
    /// Points the jump at `card` to the next card.
    fn land(&mut self, card: usize) {
        let target = self.here();
        if let Some(to) = target_of(&mut self.cards[card]) {
            *to = target;
        }
    }

    /// Commands up to one of the `ends` (or the end of the text), which is left in place.
    fn list(&mut self, ends: &[&str]) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("sh: syntax error: nested too deeply".into());
        }
        let first = self.here();
        loop {
            while matches!(self.operator(), Some("\n" | ";")) {
                self.at += 1;
            }
            let is_end = match self.tokens.get(self.at) {
                None => true,
                Some(Token::Operator(operator)) => ends.contains(operator),
                Some(_) => self.keyword().is_some_and(|keyword| ends.contains(&keyword)),
            };
            if is_end {
                // Only a branch of `case` and the whole script may be empty.
                if self.here() == first
                    && self.at < self.tokens.len()
                    && !ends.contains(&";;")
                    && !ends.is_empty()
                {
                    return Err(self.unexpected());
                }
                self.depth -= 1;
                return Ok(());
            }
            let start = self.here();
            self.and_or()?;
            match self.operator() {
                Some("&") => {
                    self.at += 1;
                    // The cards move one place up to make room for the one that says they run aside.
                    self.insert(start, Card::Background { end: UNSET });
                    self.push(Card::End);
                    self.land(start);
                }
                Some(";" | "\n") => self.at += 1,
                Some(operator) if ends.contains(&operator) => {}
                None if self.at >= self.tokens.len() => {}
                None if self.keyword().is_some_and(|keyword| ends.contains(&keyword)) => {}
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn and_or(&mut self) -> Result<(), String> {
        self.pipeline()?;
        while let Some(operator @ ("&&" | "||")) = self.operator() {
            self.at += 1;
            self.skip_newlines();
            let jump =
                self.push(if operator == "&&" { Card::JumpIfFailed(UNSET) } else { Card::JumpIfOk(UNSET) });
            self.pipeline()?;
            self.land(jump);
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Result<(), String> {
        let mut is_negated = false;
        while self.keyword() == Some("!") {
            self.at += 1;
            is_negated = !is_negated;
        }
        let start = self.here();
        self.command()?;
        let mut is_first = true;
        while self.operator() == Some("|") {
            self.at += 1;
            self.skip_newlines();
            if is_first {
                self.insert(start, Card::PipeOut);
            }
            is_first = false;
            self.push(Card::PipeIn);
            let stage = self.here();
            self.command()?;
            if self.operator() == Some("|") {
                self.insert(stage, Card::PipeOut);
            }
        }
        if !is_first {
            self.push(Card::Pop);
        }
        if is_negated {
            self.push(Card::Negate);
        }
        Ok(())
    }

    fn command(&mut self) -> Result<(), String> {
        let start = self.here();
        match self.keyword() {
            Some("if") => self.conditional()?,
            Some(keyword @ ("while" | "until")) => {
                let is_until = keyword == "until";
                self.while_loop(is_until)?;
            }
            Some("for") => self.for_loop()?,
            Some("case") => self.case()?,
            Some("{") => {
                self.at += 1;
                self.list(&["}"])?;
                self.expect("}")?;
            }
            Some(_) => return Err(self.unexpected()),
            None if self.operator() == Some("(") => {
                self.at += 1;
                let scope = self.push(Card::ScopeBegin { end: UNSET });
                self.list(&[")"])?;
                if self.operator() != Some(")") {
                    return Err("sh: syntax error: unexpected end of file (expecting \")\")".into());
                }
                self.at += 1;
                self.push(Card::Pop);
                self.land(scope);
            }
            None => return self.simple(),
        }
        let redirects = self.redirects()?;
        if !redirects.is_empty() {
            self.insert(start, Card::RedirectBegin(redirects));
            self.push(Card::Pop);
        }
        Ok(())
    }

    fn redirects(&mut self) -> Result<Vec<Redirect>, String> {
        let mut redirects = Vec::new();
        while let Some(redirect) = self.redirect()? {
            redirects.push(redirect);
        }
        Ok(redirects)
    }
    fn redirect(&mut self) -> Result<Option<Redirect>, String> {
        match self.tokens.get(self.at).cloned() {
            Some(Token::Here { body }) => {
                self.at += 1;
                Ok(Some(Redirect { descriptor: 0, kind: RedirectKind::Here, target: body }))
            }
            Some(Token::Redirect { descriptor, operator }) => {
                self.at += 1;
                let Some(Token::Word(target)) = self.tokens.get(self.at).cloned() else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                let kind = match operator {
                    ">" => RedirectKind::Write,
                    ">>" => RedirectKind::Append,
                    "<" => RedirectKind::Read,
                    ">&" => RedirectKind::Duplicate,
                    _ => RedirectKind::Both,
                };
                Ok(Some(Redirect { descriptor, kind, target }))
            }
            _ => Ok(None),
        }
    }

    fn simple(&mut self) -> Result<(), String> {
        let mut simple = Simple::default();
        loop {
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() else { break };
            self.at += 1;
            match assignment(&word) {
                Some(assignment) if simple.words.is_empty() => simple.assignments.push(assignment),
                _ => simple.words.push(word),
            }
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirects.is_empty() {
            return Err(self.unexpected());
        }
        // `name() { ...; }`
        if let ([name], Some("("), Some(Token::Operator(")"))) =
            (simple.words.as_slice(), self.operator(), self.tokens.get(self.at + 1))
            && let [Part::Literal { text, is_quoted: false }] = name.as_slice()
        {
            let name = text.clone();
            self.at += 2;
            self.skip_newlines();
            let function = self.push(Card::Function { name, end: UNSET });
            let loops = std::mem::take(&mut self.loops);
            self.command()?;
            self.loops = loops;
            self.push(Card::Return);
            self.land(function);
            return Ok(());
        }
        // `break` and `continue` are jumps.
        if let [word] = simple.words.as_slice()
            && let [Part::Literal { text, is_quoted: false }] = word.as_slice()
            && matches!(text.as_str(), "break" | "continue")
            && let Some(inner) = self.loops.last()
        {
            let (start, is_for) = (inner.start, inner.is_for);
            if text == "continue" {
                self.push(Card::Jump(start));
            } else {
                if is_for {
                    self.push(Card::Pop);
                }
                let jump = self.push(Card::Jump(UNSET));
                if let Some(inner) = self.loops.last_mut() {
                    inner.breaks.push(jump);
                }
            }
            return Ok(());
        }
        self.push(Card::Simple(Arc::new(simple)));
        Ok(())
    }

    fn conditional(&mut self) -> Result<(), String> {
        self.at += 1;
        let mut ends = Vec::new();
        loop {
            self.list(&["then"])?;
            self.expect("then")?;
            let otherwise = self.push(Card::JumpIfFailed(UNSET));
            self.list(&["elif", "else", "fi"])?;
            ends.push(self.push(Card::Jump(UNSET)));
            self.land(otherwise);
            match self.keyword() {
                Some("elif") => self.at += 1,
                Some("else") => {
                    self.at += 1;
                    self.list(&["fi"])?;
                    break;
                }
                _ => {
                    // No branch was taken: the status of the whole is 0.
                    self.push(Card::Status(0));
                    break;
                }
            }
        }
        self.expect("fi")?;
        for end in ends {
            self.land(end);
        }
        Ok(())
    }

    fn while_loop(&mut self, is_until: bool) -> Result<(), String> {
        self.at += 1;
        let start = self.here();
        self.loops.push(Loop { start, is_for: false, breaks: Vec::new() });
        self.list(&["do"])?;
        self.expect("do")?;
        let exit = self.push(if is_until { Card::JumpIfOk(UNSET) } else { Card::JumpIfFailed(UNSET) });
        self.list(&["done"])?;
        self.expect("done")?;
        self.push(Card::Jump(start));
        self.land(exit);
        self.push(Card::Status(0));
        self.close_loop();
        Ok(())
    }

    fn close_loop(&mut self) {
        if let Some(closed) = self.loops.pop() {
            for jump in closed.breaks {
                self.land(jump);
            }
        }
    }

    fn for_loop(&mut self) -> Result<(), String> {
        self.at += 1;
        let name = self.name()?;
        self.skip_newlines();
        let mut words = Vec::new();
        if self.keyword() == Some("in") {
            self.at += 1;
            while let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() {
                self.at += 1;
                words.push(word);
            }
        }
        if matches!(self.operator(), Some(";" | "\n")) {
            self.at += 1;
        }
        self.skip_newlines();
        self.expect("do")?;
        self.push(Card::ForBegin { words });
        let start = self.push(Card::ForNext { name, done: UNSET });
        self.loops.push(Loop { start, is_for: true, breaks: Vec::new() });
        self.list(&["done"])?;
        self.expect("done")?;
        self.push(Card::Jump(start));
        self.land(start);
        self.close_loop();
        Ok(())
    }

    fn name(&mut self) -> Result<Text, String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => match word.as_slice() {
                [Part::Literal { text, .. }] => {
                    let name = text.clone();
                    self.at += 1;
                    Ok(name)
                }
                _ => Err("sh: syntax error: bad for loop variable".into()),
            },
            _ => Err(self.unexpected()),
        }
    }

    fn case(&mut self) -> Result<(), String> {
        self.at += 1;
        let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        self.skip_newlines();
        self.expect("in")?;
        let mut ends = Vec::new();
        loop {
            self.skip_newlines();
            if self.keyword() == Some("esac") {
                break;
            }
            if self.operator() == Some("(") {
                self.at += 1;
            }
            let mut patterns = Vec::new();
            loop {
                let Some(Token::Word(pattern)) = self.tokens.get(self.at).cloned() else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                patterns.push(pattern);
                match self.operator() {
                    Some("|") => self.at += 1,
                    Some(")") => break,
                    _ => return Err(self.unexpected()),
                }
            }
            self.at += 1;
            let arm = self.push(Card::Case { word: word.clone(), patterns, otherwise: UNSET });
            self.list(&[";;", "esac"])?;
            if self.operator() == Some(";;") {
                self.at += 1;
            }
            ends.push(self.push(Card::Jump(UNSET)));
            self.land(arm);
        }
        self.expect("esac")?;
        for end in ends {
            self.land(end);
        }
        Ok(())
    }
}

/// `NAME=value` as a name and the rest of the word.
fn assignment(word: &Word) -> Option<(Text, Word)> {
    let Some(Part::Literal { text, is_quoted: false }) = word.first() else { return None };
    let (name, value) = text.split_once('=')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if !is_name {
        return None;
    }
    let mut rest = Word::new();
    if !value.is_empty() {
        rest.push(Part::Literal { text: value.into(), is_quoted: false });
    }
    rest.extend_from_slice(&word[1..]);
    Some((name.into(), rest))
}

/// A jump whose target is not known yet.
const UNSET: usize = usize::MAX;

fn target_of(card: &mut Card) -> Option<&mut usize> {
    match card {
        Card::Jump(to)
        | Card::JumpIfOk(to)
        | Card::JumpIfFailed(to)
        | Card::ForNext { done: to, .. }
        | Card::Case { otherwise: to, .. }
        | Card::Background { end: to }
        | Card::ScopeBegin { end: to }
        | Card::Function { end: to, .. } => Some(to),
        _ => None,
    }
}
