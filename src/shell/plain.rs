//! Tools that print what they are told or what the shell knows: `date`, `seq`, `basename`, `expr`, `printenv`.
//!
//! Picture to hold in mind: a shelf of slide rules.

use super::machine::Surroundings;
use super::system::Outcome;
use super::task::Task;

/// Runs a command; false: it is none of these.
pub(super) fn run(
    task: &Task,
    name: &str,
    rest: &[String],
    around: &Surroundings,
    out: &mut Outcome,
) -> bool {
    match name {
        "clear" | "reset" => out.stdout.push_str("\u{1b}[H\u{1b}[2J"),
        "env" | "printenv" => match rest.first() {
            Some(name) => match task.shell.variables.get(name.as_str()) {
                Some(value) => out.line(value),
                None => out.status = 1,
            },
            None => {
                task.shell.variables.iter().for_each(|(name, value)| out.line(format!("{name}={value}")));
            }
        },
        "date" => match super::date::date(around.now, rest) {
            Ok(text) => out.stdout = text,
            Err(complaint) => out.fail(1, complaint),
        },
        "seq" => seq(rest, out),
        "basename" => {
            let path = rest.first().map_or("", String::as_str).trim_end_matches('/');
            let base = path.rsplit('/').next().unwrap_or("");
            out.line(rest.get(1).and_then(|suffix| base.strip_suffix(suffix.as_str())).unwrap_or(base));
        }
        "dirname" => {
            let path = rest.first().map_or("", String::as_str).trim_end_matches('/');
            let above =
                path.rsplit_once('/').map_or(".", |(parent, _)| if parent.is_empty() { "/" } else { parent });
            out.line(above);
        }
        "expr" => expr(rest, out),
        _ => return false,
    }
    true
}

fn seq(rest: &[String], out: &mut Outcome) {
    let numbers: Option<Vec<i64>> = rest.iter().map(|word| word.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if *step != 0 => (*first, *step, *last),
        _ => return out.fail(1, "seq: whole numbers are wanted"),
    };
    let mut value = first;
    let mut count = 0;
    while (step > 0 && value <= last) || (step < 0 && value >= last) {
        out.line(value.to_string());
        count += 1;
        match value.checked_add(step).filter(|_| count < 1_000_000) {
            Some(next) => value = next,
            None => break,
        }
    }
}

/// `expr LEFT OPERATOR RIGHT`; the status is 1 for nothing or 0.
fn expr(rest: &[String], out: &mut Outcome) {
    let number = |text: &str| text.parse::<i64>().ok();
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let value = match words.as_slice() {
        [single] => single.to_string(),
        [left, operator, right] => match (number(left), *operator, number(right)) {
            (Some(a), "+", Some(b)) => a.wrapping_add(b).to_string(),
            (Some(a), "-", Some(b)) => a.wrapping_sub(b).to_string(),
            (Some(a), "*", Some(b)) => a.wrapping_mul(b).to_string(),
            (Some(_), "/" | "%", Some(0)) => return out.fail(2, "expr: division by zero"),
            (Some(a), "/", Some(b)) => a.wrapping_div(b).to_string(),
            (Some(a), "%", Some(b)) => a.wrapping_rem(b).to_string(),
            (_, "=", _) => i32::from(left == right).to_string(),
            (_, "!=", _) => i32::from(left != right).to_string(),
            (Some(a), "<", Some(b)) => i32::from(a < b).to_string(),
            (Some(a), "<=", Some(b)) => i32::from(a <= b).to_string(),
            (Some(a), ">", Some(b)) => i32::from(a > b).to_string(),
            (Some(a), ">=", Some(b)) => i32::from(a >= b).to_string(),
            _ => return out.fail(2, "expr: syntax error"),
        },
        _ => return out.fail(2, "expr: syntax error"),
    };
    out.status = i32::from(value.is_empty() || value == "0");
    out.line(value);
}
