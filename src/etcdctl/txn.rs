//! `txn`: several requests that count as one.
//!
//! Picture to hold in mind: a form with three boxes: what must be true, what is to be done then, what otherwise. An
//! empty line closes a box.

use super::client::{connect, deadline};
use super::commands::{self, Command};
use super::{Order, Outcome, Stop, Version, exit, fail, flags, json, keys, print};
use crate::api::{Text, Value};
use crate::message::etcd::{Change, Compare, Operation, Outcome as Answered, Relation, Target, Txn};
use crate::shell::Cli;

pub fn run(cli: &mut Cli, order: &Order) -> Outcome {
    if !order.operands.is_empty() {
        return fail(exit::BAD_ARGS, "txn command does not accept argument");
    }
    let (order, client) = connect(cli, order)?;
    let is_interactive = order.flags.switch("interactive");
    let input = cli.stdin()?;
    let mut lines = input.lines();
    let mut previous = [Vec::new(), Vec::new()];
    let mut txn = Txn::default();
    if is_interactive {
        cli.println("compares:");
    }
    for line in the_box(&mut lines)? {
        txn.compare.push(compare(line)?);
    }
    for (index, (name, changes)) in
        [("success", &mut txn.success), ("failure", &mut txn.failure)].into_iter().enumerate()
    {
        if is_interactive {
            cli.println(format!("{name} requests (get, put, del):"));
        }
        for line in the_box(&mut lines)? {
            let (change, wants_previous) = request(line, order.version)?;
            changes.push(change);
            previous[index].push(wants_previous);
        }
    }
    let until = deadline(cli, &order);
    let response = client.call(cli, &order, "KV/Txn", &Operation::Txn(txn), Some(until))?;
    if let Ok(Answered::Txn { succeeded, results }) = &response.result {
        let previous = &previous[usize::from(!succeeded)];
        print::txn(cli, &order, &response, *succeeded, results, previous)?;
    }
    Ok(())
}

/// The lines up to the next empty one; the input must not end before it.
fn the_box<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Outcome<Vec<&'a str>> {
    let mut found = Vec::new();
    for line in lines {
        match line.trim() {
            "" => return Ok(found),
            line => found.push(line),
        }
    }
    fail(exit::INVALID_INPUT, "EOF")
}

fn compare(line: &str) -> Outcome<Compare> {
    let malformed = |why: &str| fail(exit::INVALID_INPUT, format!("malformed comparison: {line}{why}"));
    let Some((target, rest)) = line.split_once('(') else { return malformed("") };
    let parsed = json::unquote(rest).and_then(|(key, rest)| {
        let (relation, value) = rest.strip_prefix(')')?.trim_start().split_once(' ')?;
        let (value, rest) = json::unquote(value.trim_start())?;
        rest.trim().is_empty().then_some((key, relation, value))
    });
    let Some((key, relation, value)) = parsed else {
        let words = format!("; got {target}(\"\") {} \"\"", "");
        return malformed(&words);
    };
    let target = match target {
        "ver" | "version" => Target::Version,
        "c" | "create" => Target::CreateRevision,
        "m" | "mod" => Target::ModRevision,
        "val" | "value" => Target::Value,
        "lease" => Target::Lease,
        other => return malformed(&format!(" (unknown target {other})")),
    };
    let relation = match relation {
        "=" => Relation::Equal,
        "!=" => Relation::NotEqual,
        ">" => Relation::Greater,
        "<" => Relation::Less,
        // The client panics at any other.
        _ => return fail(2, "panic: Unknown result op"),
    };
    let number = match target {
        Target::Lease => i64::from_str_radix(&value, 16).ok(),
        _ => value.parse().ok(),
    };
    let value = match (target, number) {
        (Target::Value, _) => Value::from(value),
        (_, Some(number)) => Value::from(number),
        (_, None) => return fail(exit::INVALID_INPUT, format!("invalid txn compare request: {line}")),
    };
    Ok(Compare::Any { key: key.into(), target, relation, value })
}

/// A line such as `put key "a value"`, and whether it wants to know what was there.
fn request(line: &str, version: Version) -> Outcome<(Change, bool)> {
    let words = words(line)?;
    let invalid = |what: &str| fail(exit::INVALID_INPUT, format!("invalid txn {what}request: {line}"));
    if words.len() < 2 {
        return invalid("compare ");
    }
    let Some(command) = commands::ETCDCTL.find(&words[0], version) else { return invalid("") };
    let path: [&'static Command; 1] = [command];
    let Ok((flags, operands)) = flags::parse(&words[1..], &path, version) else { return invalid("") };
    match command.name() {
        "put" => keys::change(&flags, &operands, || Ok(Text::new())),
        "get" => Ok((Change::Range(keys::range(&flags, &operands)?), false)),
        "del" => keys::deletion(&flags, &operands),
        _ => invalid(""),
    }
}

/// Words with quotes around some of them (`Argify`).
pub fn words(line: &str) -> Outcome<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let Some((word, behind)) = json::unquote(rest) else {
                return Err(Stop::Failure { code: exit::INVALID_INPUT, text: "unexpected EOF".into() });
            };
            words.push(word);
            rest = behind;
        } else if let Some((word, behind)) = rest.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
            words.push(word.into());
            rest = behind;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].into());
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_etcdctl_reads_them() {
        for (line, expected) in [
            ("value(\"greeting\") = \"hello again\"", "value(greeting) = hello again"),
            ("mod(\"a b\") > \"0\"", "mod(a b) > 0"),
            ("ver(\"k\") != \"2\"", "version(k) != 2"),
            ("c(\"k\") < \"7\"", "create(k) < 7"),
        ] {
            assert_eq!(compare(line).expect("it is well formed").to_string(), expected);
        }
        for line in ["mod(k) = 1", "mod", "size(\"k\") = \"1\"", "mod(\"k\") = \"x\""] {
            assert!(compare(line).is_err(), "{line}");
        }
        for (line, expected) in [
            ("put greeting \"from txn\"", "put greeting"),
            ("get --prefix 'a b'", "get a b"),
            ("del x", "del x"),
        ] {
            let (change, _) = request(line, Version::V3_6).expect("it is well formed");
            assert_eq!(change.to_string(), expected);
        }
        for line in ["put", "frobnicate x y", "get"] {
            assert!(request(line, Version::V3_6).is_err(), "{line}");
        }
    }
}
