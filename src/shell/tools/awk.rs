//! `awk`, as far as people use it at a prompt: patterns, `print`, `printf`, fields, sums, `if`.
//!
//! Picture to hold in mind: a rubber stamp with slots. Each line is cut into fields, which fall into the
//! slots; each rule whose pattern fits stamps once. Numbers are whole: there are no fractions here.

mod read;

use std::sync::Arc;

use super::text::{printf, unescape};
use super::{Filter, Options, Output, Tool, UsageError};
use crate::api::regex::Regex;
use crate::arrange::Gather;
use crate::sorted::SortedMap;

#[derive(Clone, Debug)]
pub struct Awk {
    rules: Arc<Vec<Rule>>,
    separator: String,
    variables: SortedMap<String, String>,
    fields: Vec<String>,
    line: String,
    number: i64,
    started: bool,
    exit: Option<i32>,
    skip: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    /// `None`: print the line.
    action: Option<Vec<Statement>>,
}

#[derive(Clone, Debug)]
enum Pattern {
    Begin,
    End,
    Always,
    When(Expression),
}

#[derive(Clone, Debug)]
enum Statement {
    Print(Vec<Expression>),
    Format(Vec<Expression>),
    Compute(Expression),
    If(Expression, Vec<Statement>, Vec<Statement>),
    Next,
    Exit(Option<Expression>),
}

#[derive(Clone, Debug)]
enum Expression {
    Text(String),
    Matches(Regex),
    Field(Box<Expression>),
    Variable(String),
    Element(String, Box<Expression>),
    Unary(char, Box<Expression>),
    Binary(&'static str, Box<Expression>, Box<Expression>),
    Condition(Box<Expression>, Box<Expression>, Box<Expression>),
    Assign(&'static str, Box<Expression>, Box<Expression>),
    Call(String, Vec<Expression>),
}

impl Awk {
    pub fn parse(arguments: &[String]) -> Result<Filter, UsageError> {
        let mut options = Options::read("awk", arguments, "", "Fv")?;
        if options.operands.is_empty() {
            return Err(("usage: awk [-F fs][-v var=value] 'prog' [file ...]\n".into(), 2));
        }
        let program = options.operands.remove(0);
        let rules = read::rules(&program).map_err(|error| (format!("awk: {error}\n"), 2))?;
        let mut variables: SortedMap<String, String> =
            [("OFS".to_string(), " ".to_string())].into_iter().gather();
        for assignment in options.all_values('v') {
            if let Some((name, value)) = assignment.split_once('=') {
                variables.insert(name.to_string(), unescape(value));
            }
        }
        let tool = Awk {
            rules: Arc::new(rules),
            separator: unescape(options.value('F').unwrap_or(" ")),
            variables,
            fields: Vec::new(),
            line: String::new(),
            number: 0,
            started: false,
            exit: None,
            skip: false,
        };
        Ok(Filter { tool: Tool::Awk(tool), files: options.operands })
    }
    fn begin(&mut self, out: &mut Output) {
        if !self.started {
            self.started = true;
            self.run(out, |pattern| matches!(pattern, Pattern::Begin));
        }
    }
    pub fn line(&mut self, line: &str, out: &mut Output) {
        self.begin(out);
        if self.exit.is_some() {
            out.done = true;
            return;
        }
        self.number += 1;
        self.line = line.to_string();
        let separator = self.variables.get("FS").cloned().unwrap_or_else(|| self.separator.clone());
        self.fields = match separator.as_str() {
            " " => line.split_whitespace().map(String::from).gather(),
            single if single.chars().count() == 1 => line.split(single).map(String::from).gather(),
            pattern => split_by(line, pattern),
        };
        self.run(out, |pattern| !matches!(pattern, Pattern::Begin | Pattern::End));
        out.done = self.exit.is_some();
    }
    pub fn finish(&mut self, out: &mut Output) -> i32 {
        self.begin(out);
        if self.exit.is_none() {
            self.run(out, |pattern| matches!(pattern, Pattern::End));
        }
        self.exit.unwrap_or(0)
    }
    fn run(&mut self, out: &mut Output, wanted: impl Fn(&Pattern) -> bool) {
        self.skip = false;
        for rule in self.rules.clone().iter().filter(|rule| wanted(&rule.pattern)) {
            if let Pattern::When(condition) = &rule.pattern {
                let value = self.value(condition);
                if !is_true(&value) {
                    continue;
                }
            }
            match &rule.action {
                None => out.line(&self.line),
                Some(statements) => self.statements(statements, out),
            }
            if self.exit.is_some() || self.skip {
                return;
            }
        }
    }
    fn statements(&mut self, statements: &[Statement], out: &mut Output) {
        for statement in statements {
            match statement {
                Statement::Print(values) if values.is_empty() => out.line(&self.line),
                Statement::Print(values) => {
                    let values: Vec<String> = values.iter().map(|value| self.value(value)).collect();
                    let separator = self.variables.get("OFS").cloned().unwrap_or_default();
                    out.line(&values.join(&separator));
                }
                Statement::Format(values) => {
                    let mut values: Vec<String> = values.iter().map(|value| self.value(value)).collect();
                    if !values.is_empty() {
                        let format = values.remove(0);
                        out.stdout.push_str(&printf(&format.replace('\\', "\\\\"), &values));
                    }
                }
                Statement::Compute(expression) => {
                    self.value(expression);
                }
                Statement::If(condition, yes, no) => {
                    let branch = if is_true(&self.value(condition)) { yes } else { no };
                    self.statements(branch, out);
                }
                Statement::Next => self.skip = true,
                Statement::Exit(code) => {
                    let code = code.as_ref().map_or(0, |code| number(&self.value(code)));
                    self.exit = Some(code as i32 & 255);
                }
            }
            if self.exit.is_some() || self.skip {
                return;
            }
        }
    }
    fn value(&mut self, expression: &Expression) -> String {
        match expression {
            Expression::Text(text) => text.clone(),
            Expression::Matches(regex) => {
                let line: Vec<char> = self.line.chars().gather();
                truth(regex.is_match(&line))
            }
            Expression::Field(index) => match number(&self.value(index)) {
                0 => self.line.clone(),
                index => usize::try_from(index)
                    .ok()
                    .and_then(|index| self.fields.get(index - 1).cloned())
                    .unwrap_or_default(),
            },
            Expression::Variable(name) => match name.as_str() {
                "NR" | "FNR" => self.number.to_string(),
                "NF" => self.fields.len().to_string(),
                name => self.variables.get(name).cloned().unwrap_or_default(),
            },
            Expression::Element(name, key) => {
                let key = format!("{name}[{}", self.value(key));
                self.variables.get(&key).cloned().unwrap_or_default()
            }
            Expression::Unary(sign, operand) => {
                let operand = self.value(operand);
                match sign {
                    '!' => truth(!is_true(&operand)),
                    '-' => number(&operand).wrapping_neg().to_string(),
                    _ => number(&operand).to_string(),
                }
            }
            Expression::Binary(sign, left, right) => {
                let left_value = self.value(left);
                match *sign {
                    "&&" => return truth(is_true(&left_value) && is_true(&self.value(right))),
                    "||" => return truth(is_true(&left_value) || is_true(&self.value(right))),
                    "~" | "!~" => {
                        let found = match &**right {
                            Expression::Matches(regex) => regex.clone(),
                            other => {
                                let pattern = self.value(other);
                                Regex::new(&pattern, true, false)
                                    .unwrap_or_else(|_| Regex::literal(&pattern, false))
                            }
                        };
                        let text: Vec<char> = left_value.chars().gather();
                        return truth(found.is_match(&text) == (*sign == "~"));
                    }
                    _ => {}
                }
                let right_value = self.value(right);
                binary(sign, &left_value, &right_value)
            }
            Expression::Condition(condition, yes, no) => {
                let branch = if is_true(&self.value(condition)) { yes } else { no };
                self.value(branch)
            }
            Expression::Assign(sign, target, value) => {
                let right = self.value(value);
                let value = match sign.strip_suffix('=').unwrap_or("") {
                    "" => right,
                    sign => binary(sign, &self.value(target), &right),
                };
                self.assign(target, value.clone());
                value
            }
            Expression::Call(name, arguments) => {
                let values: Vec<String> = arguments.iter().map(|argument| self.value(argument)).collect();
                call(name, &values, &self.line)
            }
        }
    }
    fn assign(&mut self, target: &Expression, value: String) {
        match target {
            Expression::Variable(name) => {
                self.variables.insert(name.clone(), value);
            }
            Expression::Element(name, key) => {
                let key = format!("{name}[{}", self.value(key));
                self.variables.insert(key, value);
            }
            Expression::Field(index) => match number(&self.value(index)) {
                0 => {
                    self.fields = value.split_whitespace().map(String::from).gather();
                    self.line = value;
                }
                index @ 1..=1000 => {
                    let index = index as usize;
                    if self.fields.len() < index {
                        self.fields.resize(index, String::new());
                    }
                    self.fields[index - 1] = value;
                    let separator = self.variables.get("OFS").cloned().unwrap_or_default();
                    self.line = self.fields.join(&separator);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn call(name: &str, values: &[String], line: &str) -> String {
    let first = values.first().map_or(line, String::as_str);
    match name {
        "length" => first.chars().count().to_string(),
        "toupper" => first.to_ascii_uppercase(),
        "tolower" => first.to_ascii_lowercase(),
        "int" => number(first).to_string(),
        "index" => {
            let needle = values.get(1).map_or("", String::as_str);
            first.find(needle).map_or(0, |at| first[..at].chars().count() + 1).to_string()
        }
        "substr" => {
            let start = values.get(1).map_or(1, |start| number(start)).max(1) as usize - 1;
            let length = values.get(2).map_or(usize::MAX, |length| number(length).max(0) as usize);
            first.chars().skip(start).take(length).gather()
        }
        _ => String::new(),
    }
}

fn split_by(line: &str, pattern: &str) -> Vec<String> {
    let Ok(regex) = Regex::new(pattern, true, false) else { return vec![line.to_string()] };
    let text: Vec<char> = line.chars().gather();
    let mut fields = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = regex.find(&text, from).and_then(|found| found[0]).filter(|(s, e)| e > s) {
        fields.push(text[from..start].iter().collect());
        from = end;
    }
    fields.push(text[from..].iter().collect());
    fields
}

fn truth(value: bool) -> String {
    if value { "1" } else { "0" }.to_string()
}
fn is_true(value: &str) -> bool {
    !value.is_empty() && value != "0"
}
fn number(text: &str) -> i64 {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let value: i64 = digits[..end].parse().unwrap_or(0);
    if text.starts_with('-') { -value } else { value }
}
fn binary(sign: &str, left: &str, right: &str) -> String {
    let (a, b) = (number(left), number(right));
    let is_number = |text: &str| !text.is_empty() && text.trim().parse::<i64>().is_ok();
    let order = if is_number(left) && is_number(right) { a.cmp(&b) } else { left.cmp(right) };
    match sign {
        "" => format!("{left}{right}"),
        "+" => a.wrapping_add(b).to_string(),
        "-" => a.wrapping_sub(b).to_string(),
        "*" => a.wrapping_mul(b).to_string(),
        "/" => a.checked_div(b).unwrap_or(0).to_string(),
        "%" => a.checked_rem(b).unwrap_or(0).to_string(),
        "==" => truth(order.is_eq()),
        "!=" => truth(order.is_ne()),
        "<" => truth(order.is_lt()),
        "<=" => truth(order.is_le()),
        ">" => truth(order.is_gt()),
        _ => truth(order.is_ge()),
    }
}
