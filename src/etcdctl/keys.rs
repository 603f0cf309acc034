//! `get`, `put`, `del`, `compaction`: one key or a range of them.
//!
//! Picture to hold in mind: slips handed through the hatch, one at a time.

use std::sync::Arc;

use super::client::{Client, connect, deadline};
use super::flags::Flags;
use super::{Order, Outcome, exit, fail, print};
use crate::api::{Text, Value};
use crate::arrange::Gather;
use crate::message::etcd::{
    Change, ChangeResult, Operation, Outcome as Answered, Range, Response, Sort, Target, Txn,
};
use crate::shell::Cli;
use crate::sim::Duration;

/// The end of the range of all keys that begin with `prefix` (`clientv3.GetPrefixRangeEnd`).
pub fn prefix_end(prefix: &str) -> String {
    let mut end: Vec<char> = prefix.chars().gather();
    while let Some(last) = end.pop() {
        if let Some(next) = char::from_u32(last as u32 + 1) {
            end.push(next);
            return end.into_iter().collect();
        }
    }
    "\0".into()
}

/// A key with the end of its range, as the flags say.
fn range_of(flags: &Flags, operands: &[String]) -> Outcome<(String, String)> {
    let (is_prefix, is_from) = (flags.switch("prefix"), flags.switch("from-key"));
    if is_prefix && is_from {
        return fail(
            exit::BAD_ARGS,
            "`--prefix` and `--from-key` cannot be set at the same time, choose one",
        );
    }
    let key = operands.first().cloned().unwrap_or_default();
    if let Some(end) = operands.get(1) {
        if is_prefix || is_from {
            return fail(
                exit::BAD_ARGS,
                "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
            );
        }
        return Ok((key, end.clone()));
    }
    Ok(match (is_prefix, is_from, key.is_empty()) {
        (false, false, _) => (key, String::new()),
        (_, _, true) => ("\0".into(), "\0".into()),
        (true, _, false) => {
            let end = prefix_end(&key);
            (key, end)
        }
        (false, true, false) => (key, "\0".into()),
    })
}

/// What `get` asks for.
pub fn range(flags: &Flags, operands: &[String]) -> Outcome<Range> {
    if operands.is_empty() {
        return fail(
            exit::BAD_ARGS,
            "get command needs one argument as key and an optional argument as range_end",
        );
    }
    let (is_keys, is_count) = (flags.switch("keys-only"), flags.switch("count-only"));
    let (key, range_end) = range_of(flags, operands)?;
    if is_keys && is_count {
        return fail(
            exit::BAD_ARGS,
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        );
    }
    let serializable = match flags.text("consistency") {
        "s" => true,
        "l" => false,
        other => return fail(exit::BAD_FEATURE, format!("unknown consistency flag {other:?}")),
    };
    let order = flags.text("order");
    let is_descending = match order.to_ascii_uppercase().as_str() {
        "ASCEND" => Some(false),
        "DESCEND" => Some(true),
        "" => None,
        _ => return fail(exit::BAD_FEATURE, format!("bad sort order {order}")),
    };
    let target = flags.text("sort-by");
    let by = match target.to_ascii_uppercase().as_str() {
        "CREATE" => Target::CreateRevision,
        "KEY" | "" => Target::Key,
        "MODIFY" => Target::ModRevision,
        "VALUE" => Target::Value,
        "VERSION" => Target::Version,
        _ => return fail(exit::BAD_FEATURE, format!("bad sort target {target}")),
    };
    // Keys come in ascending order anyway; any other target is sorted by only if an order is given, but for etcd's
    // server, which takes "no order" for "ascending" where the target is not the key.
    let sort = match (is_descending, by) {
        (None | Some(false), Target::Key) => None,
        (is_descending, by) => Some(Sort { by, is_descending: is_descending.unwrap_or(false) }),
    };
    for (low, high) in [("min-create-rev", "max-create-rev"), ("min-mod-rev", "max-mod-rev")] {
        let (least, most) = (flags.number(low), flags.number(high));
        if most > 0 && least > most {
            let name = |flag: &str| {
                let words =
                    flag.split('-').map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]));
                words.collect::<String>()
            };
            let words = format!("get{}(={least}) > get{}(={most})", name(low), name(high));
            return fail(exit::BAD_FEATURE, words);
        }
    }
    let positive = |name: &str| u64::try_from(flags.number(name)).unwrap_or(0);
    Ok(Range {
        key: key.into(),
        range_end: range_end.into(),
        revision: positive("rev"),
        limit: positive("limit"),
        serializable,
        count_only: is_count,
        keys_only: is_keys,
        sort,
        create_revisions: (positive("min-create-rev"), positive("max-create-rev")),
        mod_revisions: (positive("min-mod-rev"), positive("max-mod-rev")),
    })
}

pub fn get(cli: &mut Cli, order: &Order) -> Outcome {
    let range = range(&order.flags, &order.operands)?;
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let response = client.call(cli, &order, "KV/Range", &Operation::Range(range), Some(until))?;
    let format = order.flags.text("write-out");
    if order.flags.switch("count-only") && format != "fields" {
        return fail(exit::BAD_ARGS, "--count-only is only for `--write-out=fields`");
    }
    if order.flags.switch("print-value-only") && format != "simple" {
        return fail(exit::BAD_ARGS, "print-value-only is only for `--write-out=simple`");
    }
    if let Ok(Answered::Range(result)) = &response.result {
        print::get(cli, &order, &response, result)?;
    }
    Ok(())
}

/// What `put` changes, and whether it wants to know what was there. `stdin`: for a value that is not given.
pub fn change(
    flags: &Flags,
    operands: &[String],
    stdin: impl FnOnce() -> Outcome<Text>,
) -> Outcome<(Change, bool)> {
    const USAGE: &str = "put command needs 1 argument and input from stdin or 2 arguments";
    let Some(key) = operands.first() else { return fail(exit::BAD_ARGS, USAGE) };
    let keeps_value = flags.switch("ignore-value");
    if keeps_value && operands.len() > 1 {
        return fail(exit::BAD_ARGS, "put command needs only 1 argument when 'ignore-value' is set");
    }
    let value = match operands.get(1) {
        _ if keeps_value => None,
        Some(value) => Some(Text::from(value.as_str())),
        None => match stdin()? {
            text if text.is_empty() => return fail(exit::BAD_ARGS, USAGE),
            text => Some(text),
        },
    };
    let given = flags.text("lease");
    let Ok(lease) = i64::from_str_radix(given, 16) else {
        let why = format!("strconv.ParseInt: parsing {given:?}: invalid syntax");
        return fail(exit::BAD_ARGS, format!("bad lease ID ({why}), expecting ID in Hex"));
    };
    let key = Text::from(key.as_str());
    let change = match (value, flags.switch("ignore-lease")) {
        (Some(value), false) => Change::Put { key, value: Value::from(value), lease },
        (value, keeps_lease) => {
            Change::Update { key, value: value.map(Value::from), lease: (!keeps_lease).then_some(lease) }
        }
    };
    Ok((change, flags.switch("prev-kv")))
}

/// A transaction of one change.
fn single(change: Change) -> Operation {
    Operation::Txn(Txn { compare: Vec::new(), success: vec![change], failure: Vec::new() })
}
fn first(response: &Arc<Response>) -> Option<&ChangeResult> {
    match &response.result {
        Ok(Answered::Txn { results, .. }) => results.first(),
        _ => None,
    }
}

pub fn put(cli: &mut Cli, order: &Order) -> Outcome {
    let mut input = Ok(Text::new());
    if order.operands.len() == 1 && !order.flags.switch("ignore-value") {
        input = cli.stdin();
    }
    let (change, wants_previous) = change(&order.flags, &order.operands, || Ok(input?))?;
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let response = client.call(cli, &order, "KV/Put", &single(change), Some(until))?;
    if let Some(ChangeResult::Put { previous }) = first(&response) {
        print::put(cli, &order, &response, previous.as_ref().filter(|_| wants_previous))?;
    }
    Ok(())
}

/// What `del` changes, and whether it wants to know what was there.
pub fn deletion(flags: &Flags, operands: &[String]) -> Outcome<(Change, bool)> {
    if operands.is_empty() || operands.len() > 2 {
        return fail(
            exit::BAD_ARGS,
            "del command needs one argument as key and an optional argument as range_end",
        );
    }
    let (key, range_end) = range_of(flags, operands)?;
    Ok((Change::Delete { key: key.into(), range_end: range_end.into() }, flags.switch("prev-kv")))
}

pub fn del(cli: &mut Cli, order: &Order) -> Outcome {
    let (change, wants_previous) = deletion(&order.flags, &order.operands)?;
    if order.operands.len() == 2 && order.version == super::Version::V3_6 && !order.flags.switch("range") {
        cli.eprintln(format!(
            "Warning: Keys between {:?} and {:?} will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.",
            order.operands[0], order.operands[1],
        ));
        cli.sleep(Duration::from_secs(2))?;
    }
    let (order, client) = connect(cli, order)?;
    let until = deadline(cli, &order);
    let response = client.call(cli, &order, "KV/DeleteRange", &single(change), Some(until))?;
    if let Some(ChangeResult::Delete { deleted, previous }) = first(&response) {
        let previous = if wants_previous { previous.as_slice() } else { &[] };
        print::del(cli, &order, &response, *deleted, previous)?;
    }
    Ok(())
}

pub fn compact(cli: &mut Cli, order: &Order) -> Outcome {
    let [revision] = order.operands.as_slice() else {
        return fail(exit::BAD_ARGS, "compaction command needs 1 argument");
    };
    let Ok(number) = revision.parse::<i64>() else {
        return fail(exit::ERROR, format!("strconv.ParseInt: parsing {revision:?}: invalid syntax"));
    };
    let (order, client) = connect(cli, order)?;
    compact_to(cli, &order, &client, u64::try_from(number).unwrap_or(0))?;
    cli.println(format!("compacted revision {number}"));
    Ok(())
}

pub fn compact_to(cli: &mut Cli, order: &Order, client: &Client, revision: u64) -> Outcome {
    let until = deadline(cli, order);
    client.call(cli, order, "KV/Compact", &Operation::Compact { revision }, Some(until))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        for (prefix, end) in [("a/", "a0"), ("a", "b"), ("", "\0"), ("x\u{10ffff}", "y")] {
            assert_eq!(prefix_end(prefix), end);
        }
    }
}
