//! `$((...))`: whole numbers, as the shell counts.
//!
//! Picture to hold in mind: a pocket calculator that knows the shell's variables by name. It wraps around
//! instead of overflowing, as bash does.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;
use crate::sorted::SortedMap;

const MAXIMUM_DEPTH: usize = 60;

struct Calculator<'a> {
    text: Vec<char>,
    position: usize,
    depth: usize,
    variables: &'a mut Arc<SortedMap<Text, Text>>,
}

/// Operators by how tightly they bind, loosest first; longer signs before their beginnings.
const LEVELS: [&[&str]; 9] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["+", "-"],
    &["*", "/", "%"],
];

pub fn evaluate(expression: &str, variables: &mut Arc<SortedMap<Text, Text>>) -> Result<i64, String> {
    let mut calculator = Calculator { text: expression.chars().gather(), position: 0, depth: 0, variables };
    calculator.blank();
    if calculator.position == calculator.text.len() {
        return Ok(0);
    }
    let value = calculator.assignment()?;
    calculator.blank();
    if calculator.position < calculator.text.len() {
        return Err(calculator.error());
    }
    Ok(value)
}

impl Calculator<'_> {
    fn blank(&mut self) {
        while self.text.get(self.position).is_some_and(|c| c.is_whitespace()) {
            self.position += 1;
        }
    }
    fn looking_at(&self, sign: &str) -> bool {
        sign.chars().enumerate().all(|(index, c)| self.text.get(self.position + index) == Some(&c))
    }
    fn error(&self) -> String {
        let rest: String = self.text[self.position.min(self.text.len())..].iter().collect();
        let all: String = self.text.iter().collect();
        format!("{}: syntax error in expression (error token is \"{rest}\")", all.trim())
    }
    fn name(&mut self) -> Option<String> {
        let start = self.position;
        let mut end = start;
        while self.text.get(end).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_') {
            end += 1;
        }
        let name: String = self.text[start..end].iter().collect();
        super::parse::is_name(&name).then(|| {
            self.position = end;
            name
        })
    }
    fn assignment(&mut self) -> Result<i64, String> {
        self.blank();
        let start = self.position;
        if let Some(name) = self.name() {
            self.blank();
            for sign in ["+=", "-=", "*=", "="] {
                if self.looking_at(sign) && !self.looking_at("==") {
                    self.position += sign.len();
                    let right = self.assignment()?;
                    let left = self.variable(&name);
                    let value = match sign {
                        "+=" => left.wrapping_add(right),
                        "-=" => left.wrapping_sub(right),
                        "*=" => left.wrapping_mul(right),
                        _ => right,
                    };
                    Arc::make_mut(self.variables).insert(name.into(), arcstr::format!("{value}"));
                    return Ok(value);
                }
            }
            self.position = start;
        }
        let condition = self.level(0)?;
        self.blank();
        if !self.looking_at("?") {
            return Ok(condition);
        }
        self.position += 1;
        let yes = self.assignment()?;
        self.blank();
        if !self.looking_at(":") {
            return Err(self.error());
        }
        self.position += 1;
        let no = self.assignment()?;
        Ok(if condition != 0 { yes } else { no })
    }
    fn level(&mut self, level: usize) -> Result<i64, String> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        'next: loop {
            self.blank();
            for &sign in *signs {
                let is_part_of_longer = match sign {
                    "|" => self.looking_at("||"),
                    "&" => self.looking_at("&&"),
                    _ => false,
                };
                if self.looking_at(sign) && !is_part_of_longer {
                    self.position += sign.len();
                    let right = self.level(level + 1)?;
                    left = operate(sign, left, right)?;
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }
    fn unary(&mut self) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err("expression recursion level exceeded".into());
        }
        self.blank();
        let value = match self.text.get(self.position) {
            Some('-') => {
                self.position += 1;
                self.unary()?.wrapping_neg()
            }
            Some('+') => {
                self.position += 1;
                self.unary()?
            }
            Some('!') => {
                self.position += 1;
                i64::from(self.unary()? == 0)
            }
            Some('(') => {
                self.position += 1;
                let value = self.assignment()?;
                self.blank();
                if !self.looking_at(")") {
                    return Err(self.error());
                }
                self.position += 1;
                value
            }
            Some(c) if c.is_ascii_digit() => {
                let mut value: i64 = 0;
                while let Some(digit) = self.text.get(self.position).and_then(|c| c.to_digit(10)) {
                    value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
                    self.position += 1;
                }
                value
            }
            _ => match self.name() {
                Some(name) => self.variable(&name),
                None => return Err(self.error()),
            },
        };
        self.depth -= 1;
        Ok(value)
    }
    fn variable(&self, name: &str) -> i64 {
        self.variables.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }
}

fn operate(sign: &str, left: i64, right: i64) -> Result<i64, String> {
    Ok(match sign {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        _ if right == 0 => return Err("division by 0 (error token is \"0\")".into()),
        "/" => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_bash_counts() {
        let mut variables = Arc::new(SortedMap::from([(Text::from("i"), Text::from("4"))]));
        for (text, expected) in [
            ("1 + 2 * 3", Some(7)),
            ("(1 + 2) * 3", Some(9)),
            ("i + 1", Some(5)),
            ("i > 3 && i < 5", Some(1)),
            ("-7 / 2", Some(-3)),
            ("i == 4 ? 10 : 20", Some(10)),
            ("", Some(0)),
            ("1 / 0", None),
            ("1 +", None),
            ("9223372036854775807 + 1", Some(i64::MIN)),
            ("i += 2", Some(6)),
        ] {
            assert_eq!(evaluate(text, &mut variables).ok(), expected, "{text}");
        }
        assert!(evaluate(&"(".repeat(100_000), &mut variables).is_err());
    }
}
