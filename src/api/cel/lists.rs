//! What can be asked of a list.
//!
//! Picture to hold in mind: a deck of cards in the hand: sorted, cut, turned over, the doubles taken out.
//!
//! Follows `lists.go` of `k8s.io/apiserver/pkg/cel/library` and of cel-go's `ext`, version 3.

use super::evaluate::{Evaluator, failure, no_such_overload};
use super::functions::{Outcome, arithmetic};
use super::{Cel, Failure};
use crate::api::value::{Value, literal};

pub fn of_list(evaluator: &mut Evaluator, name: &str, list: &Cel, rest: &[Cel]) -> Outcome {
    evaluator.spend(list.count())?;
    let items = list.items().unwrap_or_default();
    match (name, rest) {
        ("isSorted", []) => {
            for pair in items.windows(2) {
                if evaluator.compare(&pair[0], &pair[1])?.ok_or_else(no_such_overload)?.is_gt() {
                    return Ok(false.into());
                }
            }
            Ok(true.into())
        }
        ("sum", []) => {
            let mut items = items.into_iter();
            let Some(mut sum) = items.next() else { return Ok(0.into()) };
            for item in items {
                sum = arithmetic(evaluator, "+", &sum, &item)?;
            }
            Ok(sum)
        }
        ("min" | "max", []) => {
            let mut items = items.into_iter();
            let Some(mut best) = items.next() else {
                return Err(failure(&[name, " called on empty list"]));
            };
            for item in items {
                let order = evaluator.compare(&item, &best)?.ok_or_else(no_such_overload)?;
                if (name == "min" && order.is_lt()) || (name == "max" && order.is_gt()) {
                    best = item;
                }
            }
            Ok(best)
        }
        ("indexOf", [wanted]) => {
            Ok(evaluator.position(list, wanted)?.map_or(-1, |index| index as i64).into())
        }
        ("lastIndexOf", [wanted]) => {
            for (index, item) in items.iter().enumerate().rev() {
                if evaluator.equal(item, wanted)? {
                    return Ok(index.into());
                }
            }
            Ok((-1).into())
        }
        ("join", [] | [Cel::Value(Value::String(_))]) => {
            let separator = rest.first().and_then(Cel::as_str).unwrap_or("");
            let mut out = String::new();
            for (index, item) in items.iter().enumerate() {
                let Some(text) = item.as_str() else { return Err(no_such_overload()) };
                let separator = if index > 0 { separator } else { "" };
                evaluator.spend((text.len() + separator.len()) / 8)?;
                out.push_str(separator);
                out.push_str(text);
            }
            Ok(out.into())
        }
        ("first", []) => Ok(Cel::optional(items.into_iter().next())),
        ("last", []) => Ok(Cel::optional(items.into_iter().next_back())),
        ("reverse", []) => Ok(Cel::list(items.into_iter().rev().collect())),
        ("sort", []) => evaluator.sorted(items.into_iter().map(|item| (item.clone(), item)).collect()),
        ("distinct", []) => {
            let mut out: Vec<Cel> = Vec::new();
            for item in items {
                if evaluator.position(&Cel::list(out.clone()), &item)?.is_none() {
                    out.push(item);
                }
                evaluator.spend(out.len())?;
            }
            Ok(Cel::list(out))
        }
        ("slice", [Cel::Value(Value::Integer(from)), Cel::Value(Value::Integer(to))]) => {
            let count = items.len() as i64;
            let why = if *from < 0 || *to < 0 {
                "negative indexes not supported"
            } else if from > to {
                "start index must be less than or equal to end index"
            } else if *to > count {
                &["list is length ", &count.to_string()].concat()
            } else {
                return Ok(Cel::list(items[*from as usize..*to as usize].to_vec()));
            };
            Err(failure(&["cannot slice(", &from.to_string(), ", ", &to.to_string(), "), ", why]))
        }
        ("flatten", [] | [Cel::Value(Value::Integer(_))]) => {
            let levels = match rest.first() {
                Some(Cel::Value(Value::Integer(levels))) => *levels,
                _ => 1,
            };
            if levels < 0 {
                return Err(literal!("level must be non-negative"));
            }
            let mut out = Vec::new();
            flatten(evaluator, items, levels, &mut out)?;
            Ok(Cel::list(out))
        }
        ("unwrapOpt" | "optional.unwrap", []) => {
            let mut out = Vec::new();
            for item in items {
                match item {
                    Cel::Optional(inner) => out.extend(inner.map(|inner| Cel::clone(&inner))),
                    other => return Err(failure(&["value ", other.type_name(), " is not optional"])),
                }
            }
            Ok(Cel::list(out))
        }
        _ => Err(no_such_overload()),
    }
}

/// Lists within a list, as deep as so many levels.
fn flatten(
    evaluator: &mut Evaluator,
    items: Vec<Cel>,
    levels: i64,
    out: &mut Vec<Cel>,
) -> Result<(), Failure> {
    for item in items {
        evaluator.spend(1)?;
        if levels > 0 && item.is_list() {
            flatten(evaluator, item.items().unwrap_or_default(), levels - 1, out)?;
        } else {
            out.push(item);
        }
    }
    Ok(())
}
