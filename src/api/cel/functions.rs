//! What expressions can call.
//!
//! Picture to hold in mind: the buttons of a pocket calculator. Each takes what lies on the counter and puts one thing
//! back, or shows an E.
//!
//! Follows cel-spec's standard definitions, cel-go's `ext/strings.go` and `sets.go`, and the lists, regex and quantity
//! libraries of `k8s.io/apiserver/pkg/cel/library`.

use super::evaluate::{Evaluator, failure, float, no_such_overload};
use super::lists::of_list;
use super::{Cel, Failure, libraries};
use crate::api::field::go_quote;
use crate::api::float::{Decimal, parse_float};
use crate::api::quantity::Quantity;
use crate::api::regex::Regex;
use crate::api::time::{self, Calendar, calendar};
use crate::api::time_format::{parse_go_duration, parse_unix_micros};
use crate::api::value::{Value, literal};

/// The names of types, which are values.
pub const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "optional_type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
];
/// What functions can stand behind with a dot that are called on nothing: `sets.contains(a, b)`.
const LIBRARIES: &str = " sets optional strings lists ip format jsonpatch ";

/// Whether `owner.name()` is no call of a value's function, but one of a library.
pub fn is_library(owner: &str, name: &str) -> bool {
    LIBRARIES.split(' ').any(|own| own == owner)
        && !owner.is_empty()
        && super::check::overloads(&[owner, ".", name].concat()).is_some()
}

pub(super) type Outcome = Result<Cel, Failure>;

fn overflow() -> Failure {
    literal!("integer overflow")
}

fn float_of(number: f64) -> Cel {
    Cel::Value(Value::Float(number))
}

/// Operators and functions that stand alone.
pub fn global(evaluator: &mut Evaluator, name: &str, arguments: &[Cel]) -> Outcome {
    match (name, arguments) {
        ("!", [Cel::Value(Value::Bool(is))]) => Ok((!is).into()),
        ("-", [Cel::Value(Value::Integer(number))]) => Ok(number.checked_neg().ok_or_else(overflow)?.into()),
        ("-", [Cel::Value(Value::Float(number))]) => Ok(float_of(-number)),
        ("-", [Cel::Duration(us)]) => Ok(Cel::Duration(us.checked_neg().ok_or_else(overflow)?)),
        ("+" | "-" | "*" | "/" | "%", [a, b]) => arithmetic(evaluator, name, a, b),
        ("matches" | "size", _) => member(evaluator, name, arguments),
        ("quantity", [Cel::Value(Value::String(text))]) => match Quantity::parse(text) {
            Ok(quantity) => Ok(Cel::Quantity(quantity.into())),
            Err(error) => Err(failure(&[&error.to_string()])),
        },
        ("isQuantity", [Cel::Value(Value::String(text))]) => Ok(Quantity::parse(text).is_ok().into()),
        ("sign", _) => member(evaluator, name, arguments),
        ("dyn", [value]) => Ok(value.clone()),
        ("type", [value]) => Ok(Cel::Type(value.type_name())),
        _ => {
            evaluator.spend(arguments.iter().filter_map(Cel::as_str).map(str::len).sum::<usize>() / 8)?;
            match (libraries::call(name, arguments), arguments) {
                (Some(result), _) => result,
                (None, [value]) => convert(evaluator, name, value),
                _ => Err(no_such_overload()),
            }
        }
    }
}

pub(super) fn arithmetic(evaluator: &mut Evaluator, sign: &str, a: &Cel, b: &Cel) -> Outcome {
    if let ("+", Some(a), Some(b)) = (sign, a.as_str(), b.as_str()) {
        evaluator.spend((a.len() + b.len()) / 8)?;
        return Ok([a, b].concat().into());
    }
    if sign == "+" && a.is_list() && b.is_list() {
        evaluator.spend(a.count() + b.count())?;
        let mut items = a.items().unwrap_or_default();
        items.extend(b.items().unwrap_or_default());
        return Ok(Cel::list(items));
    }
    match (a, b) {
        (Cel::Value(Value::Integer(a)), Cel::Value(Value::Integer(b))) => {
            let result = whole(sign, i128::from(*a), i128::from(*b))?;
            Ok(i64::try_from(result).map_err(|_| overflow())?.into())
        }
        (Cel::Uint(a), Cel::Uint(b)) => {
            let result = whole(sign, i128::from(*a), i128::from(*b))?;
            u64::try_from(result).map(Cel::Uint).map_err(|_| literal!("unsigned integer overflow"))
        }
        (Cel::Bytes(a), Cel::Bytes(b)) if sign == "+" => {
            evaluator.spend((a.len() + b.len()) / 8)?;
            Ok(Cel::Bytes([&a[..], &b[..]].concat().into()))
        }
        (Cel::Duration(a), Cel::Duration(b)) => {
            let sum = if sign == "+" { a.checked_add(*b) } else { a.checked_sub(*b) };
            sum.filter(|_| matches!(sign, "+" | "-")).map(Cel::Duration).ok_or_else(overflow)
        }
        (Cel::Timestamp(a), Cel::Duration(b)) | (Cel::Duration(b), Cel::Timestamp(a)) => {
            let sum = if sign == "+" { a.checked_add(*b) } else { a.checked_sub(*b) };
            let fits = |us: &i64| matches!(sign, "+" | "-") && (1..=9999).contains(&date(*us).year);
            sum.filter(fits).map(Cel::Timestamp).ok_or_else(|| literal!("timestamp overflow"))
        }
        (Cel::Timestamp(a), Cel::Timestamp(b)) if sign == "-" => {
            a.checked_sub(*b).map(Cel::Duration).ok_or_else(overflow)
        }
        // JSON has one kind of number: a whole one beside a float is taken for a float.
        (Cel::Value(Value::Float(_)), _) | (_, Cel::Value(Value::Float(_))) if sign != "%" => {
            let (Some(a), Some(b)) = (float(a), float(b)) else { return Err(no_such_overload()) };
            Ok(float_of(match sign {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                _ => a / b,
            }))
        }
        _ => Err(no_such_overload()),
    }
}

/// Products of two 64-bit numbers fit.
fn whole(sign: &str, a: i128, b: i128) -> Result<i128, Failure> {
    Ok(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a.saturating_mul(b),
        "%" if b == 0 => return Err(literal!("modulus by zero")),
        _ if b == 0 => return Err(literal!("division by zero")),
        "/" => a / b,
        _ => a % b,
    })
}

fn convert(evaluator: &mut Evaluator, name: &str, value: &Cel) -> Outcome {
    let text = value.as_str();
    evaluator.spend(text.map_or(0, str::len) / 8)?;
    let wrong =
        |what: &str| failure(&["type conversion error from '", value.type_name(), "' to '", what, "'"]);
    match name {
        "int" => match value {
            Cel::Value(Value::Integer(_)) => Some(value.clone()),
            Cel::Uint(number) => Some(i64::try_from(*number).map_err(|_| overflow())?.into()),
            Cel::Value(Value::Float(number)) if number.abs() < 9.2e18 => Some((*number as i64).into()),
            Cel::Value(Value::Float(_)) => return Err(overflow()),
            Cel::Timestamp(us) => Some(us.div_euclid(1_000_000).into()),
            _ => text.and_then(|text| text.parse::<i64>().ok()).map(Cel::from),
        },
        "uint" => match value {
            Cel::Uint(_) => Some(value.clone()),
            Cel::Value(Value::Integer(number)) => {
                Some(Cel::Uint(u64::try_from(*number).map_err(|_| overflow())?))
            }
            Cel::Value(Value::Float(number)) if (0.0..1.8e19).contains(number) => {
                Some(Cel::Uint(*number as u64))
            }
            _ => text.and_then(|text| text.parse::<u64>().ok()).map(Cel::Uint),
        },
        "double" => float(value).or_else(|| text.and_then(parse_float)).map(float_of),
        "bool" => match (value.as_bool(), text) {
            (Some(is), _) => Some(is.into()),
            (_, Some("true" | "True" | "TRUE" | "t" | "1")) => Some(true.into()),
            (_, Some("false" | "False" | "FALSE" | "f" | "0")) => Some(false.into()),
            _ => None,
        },
        "bytes" => match value {
            Cel::Bytes(_) => Some(value.clone()),
            _ => text.map(|text| Cel::Bytes(text.as_bytes().to_vec().into())),
        },
        "duration" => match value {
            Cel::Duration(_) => Some(value.clone()),
            _ => text.and_then(parse_go_duration).map(Cel::Duration),
        },
        "timestamp" => match value {
            Cel::Timestamp(_) => Some(value.clone()),
            Cel::Value(Value::Integer(seconds)) => seconds.checked_mul(1_000_000).map(Cel::Timestamp),
            _ => text.and_then(parse_unix_micros).map(Cel::Timestamp),
        },
        "string" => Some(print(value).ok_or_else(no_such_overload)?.into()),
        _ => return Err(no_such_overload()),
    }
    .ok_or_else(|| wrong(name))
}

#[inline(never)]
pub(super) fn print(value: &Cel) -> Option<String> {
    Some(match value {
        Cel::Value(Value::String(text)) => text.to_string(),
        Cel::Value(Value::Float(number)) => Decimal::of(*number).general(),
        Cel::Value(Value::Bool(_) | Value::Integer(_)) => {
            if let Cel::Value(value) = value {
                value.to_string()
            } else {
                return None;
            }
        }
        Cel::Uint(number) => number.to_string(),
        Cel::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Cel::Timestamp(us) if us % 1_000_000 == 0 => time::rfc3339_of(us / 1_000_000).to_string(),
        Cel::Timestamp(us) => time::micro_time_of(*us).to_string(),
        Cel::Duration(us) => {
            let (whole, rest) = (us.unsigned_abs() / 1_000_000, us.unsigned_abs() % 1_000_000);
            let sign = if *us < 0 { "-" } else { "" };
            let fraction = format!("{rest:06}");
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            [sign, &whole.to_string(), point, fraction, "s"].concat()
        }
        Cel::Quantity(quantity) => quantity.to_string(),
        Cel::Opaque(own) => return own.text(),
        _ => return None,
    })
}

fn date(us: i64) -> Calendar {
    calendar(us.div_euclid(1_000_000))
}

/// Functions behind a dot: what they are called on is the first argument.
pub fn member(evaluator: &mut Evaluator, name: &str, arguments: &[Cel]) -> Outcome {
    let Some((target, rest)) = arguments.split_first() else { return Err(no_such_overload()) };
    if let Some(text) = target.as_str() {
        let cost: usize = arguments.iter().filter_map(Cel::as_str).map(str::len).sum();
        evaluator.spend(cost / 8)?;
        return of_text(evaluator, name, text, rest);
    }
    if name == "size" && rest.is_empty() {
        return match target {
            Cel::Bytes(bytes) => Ok(bytes.len().into()),
            _ if target.is_list() || target.is_map() => Ok(target.count().into()),
            _ => Err(no_such_overload()),
        };
    }
    if target.is_list() {
        return of_list(evaluator, name, target, rest);
    }
    match target {
        Cel::Timestamp(us) => of_timestamp(name, *us, rest),
        Cel::Duration(us) => Ok((us
            / match name {
                "getHours" => 3_600_000_000,
                "getMinutes" => 60_000_000,
                "getSeconds" => 1_000_000,
                "getMilliseconds" => 1000,
                _ => return Err(no_such_overload()),
            })
        .into()),
        Cel::Quantity(quantity) => of_quantity(name, **quantity, rest),
        Cel::Opaque(own) => libraries::member(evaluator, name, own, rest),
        Cel::Optional(inner) => match (name, rest, inner) {
            ("hasValue", [], _) => Ok(inner.is_some().into()),
            ("value", [], Some(inner)) => Ok(Cel::clone(inner)),
            ("value", [], None) => Err(literal!("optional.none() dereference")),
            _ => Err(no_such_overload()),
        },
        _ => Err(no_such_overload()),
    }
}

/// A position in a text of `length` characters.
#[inline(never)]
fn position(value: &Cel, length: usize) -> Result<usize, Failure> {
    match value {
        Cel::Value(Value::Integer(index)) => usize::try_from(*index)
            .ok()
            .filter(|index| *index <= length)
            .ok_or_else(|| failure(&["index out of range: ", &index.to_string()])),
        _ => Err(no_such_overload()),
    }
}

#[inline(never)]
fn count_of(value: &Cel) -> Result<usize, Failure> {
    match value {
        Cel::Value(Value::Integer(count)) => Ok(usize::try_from(*count).unwrap_or(usize::MAX)),
        _ => Err(no_such_overload()),
    }
}

fn of_text(evaluator: &mut Evaluator, name: &str, text: &str, rest: &[Cel]) -> Outcome {
    let other = |index: usize| rest.get(index).and_then(Cel::as_str);
    let in_characters = |place: usize| text[..place].chars().count() as i64;
    match (name, rest, other(0), other(1)) {
        ("size", [], ..) => Ok(text.chars().count().into()),
        ("contains", [_], Some(part), _) => Ok(text.contains(part).into()),
        ("startsWith", [_], Some(part), _) => Ok(text.starts_with(part).into()),
        ("endsWith", [_], Some(part), _) => Ok(text.ends_with(part).into()),
        ("matches", [_], Some(pattern), _) => Ok((!find(evaluator, text, pattern, 1)?.is_empty()).into()),
        ("find", [_], Some(pattern), _) => {
            Ok(find(evaluator, text, pattern, 1)?.into_iter().next().unwrap_or_else(|| "".into()))
        }
        ("findAll", [_], Some(pattern), _) => Ok(Cel::list(find(evaluator, text, pattern, usize::MAX)?)),
        ("findAll", [_, most], Some(pattern), _) => {
            let most = count_of(most)?;
            Ok(Cel::list(find(evaluator, text, pattern, most)?))
        }
        ("lowerAscii", [], ..) => Ok(text.to_ascii_lowercase().into()),
        ("upperAscii", [], ..) => Ok(text.to_ascii_uppercase().into()),
        ("trim", [], ..) => Ok(text.trim().into()),
        ("charAt", [index], ..) => {
            let index = position(index, text.chars().count())?;
            Ok(text.chars().skip(index).take(1).collect::<String>().into())
        }
        ("indexOf", [_], Some(part), _) => Ok(text.find(part).map_or(-1, in_characters).into()),
        ("lastIndexOf", [_], Some(part), _) => Ok(text.rfind(part).map_or(-1, in_characters).into()),
        ("indexOf" | "lastIndexOf", [_, from], Some(part), _) => {
            let from = position(from, text.chars().count())?;
            let mut places = text.char_indices().map(|(place, _)| place).chain([text.len()]).enumerate();
            evaluator.spend(text.len().saturating_mul(part.len() / 64 + 1))?;
            let fits = |(_, place): &(usize, usize)| text[*place..].starts_with(part);
            let found = if name == "indexOf" {
                places.skip(from).find(fits)
            } else {
                places.by_ref().take(from + 1).filter(fits).last()
            };
            Ok(found.map_or(-1, |(index, _)| index as i64).into())
        }
        ("replace", [_, _], Some(old), Some(new)) => replace(evaluator, text, old, new, usize::MAX),
        ("replace", [_, _, most], Some(old), Some(new)) => {
            let most = count_of(most)?;
            replace(evaluator, text, old, new, most)
        }
        ("split", [_], Some(separator), _) => split(evaluator, text, separator, usize::MAX),
        ("split", [_, most], Some(separator), _) => {
            let most = count_of(most)?;
            split(evaluator, text, separator, most)
        }
        ("substring", [from, ..], ..) if rest.len() <= 2 => {
            let length = text.chars().count();
            let from = position(from, length)?;
            let to = rest.get(1).map_or(Ok(length), |to| position(to, length))?;
            if to < from {
                return Err(failure(&[
                    "invalid substring range. start: ",
                    &from.to_string(),
                    ", end: ",
                    &to.to_string(),
                ]));
            }
            Ok(text.chars().skip(from).take(to - from).collect::<String>().into())
        }
        ("format", [list], ..) if list.is_list() => super::format::format(evaluator, text, list),
        _ => Err(no_such_overload()),
    }
}

fn replace(evaluator: &mut Evaluator, text: &str, old: &str, new: &str, most: usize) -> Outcome {
    let times = (text.len() / old.len().max(1) + 1).min(most);
    evaluator.spend(times.saturating_mul(new.len()) / 8)?;
    Ok(text.replacen(old, new, most).into())
}

fn split(evaluator: &mut Evaluator, text: &str, separator: &str, most: usize) -> Outcome {
    evaluator.spend(text.len())?;
    if separator.is_empty() && most == usize::MAX {
        return Ok(Cel::list(text.chars().map(|own| own.to_string().into()).collect()));
    }
    Ok(Cel::list(text.splitn(most, separator).map(Cel::from).collect()))
}

/// Up to `most` matches of a pattern.
fn find(evaluator: &mut Evaluator, text: &str, pattern: &str, most: usize) -> Result<Vec<Cel>, Failure> {
    let regex = Regex::go(pattern)
        .map_err(|error| failure(&["error parsing regexp: ", error, ": `", pattern, "`"]))?;
    let characters: Vec<char> = text.chars().collect();
    let (mut found, mut from) = (Vec::new(), 0);
    while found.len() < most && from <= characters.len() {
        evaluator.spend(pattern.len() / 4)?;
        let (forks, next) = regex.find_and_count(&characters, from);
        evaluator.spend(forks / 16)?;
        let Some((start, end)) = next.and_then(|next| next.first().copied().flatten()) else { break };
        found.push(characters[start..end].iter().collect::<String>().into());
        from = if end > start { end } else { end + 1 };
    }
    Ok(found)
}

/// Seconds east of UTC: `UTC`, or hours and minutes as `-02:30`.
fn offset_s(zone: &str) -> Result<i64, Failure> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return match zone {
            "" | "UTC" => Ok(0),
            _ => Err(literal!("of the named time zones only UTC is simulated")),
        };
    };
    let number = |text: &str| match text.parse::<i16>() {
        Ok(number) => Ok(i64::from(number)),
        Err(_) => Err(failure(&["strconv.Atoi: parsing ", &go_quote(text), ": invalid syntax"])),
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minutes = if zone.starts_with('-') { -minutes } else { minutes };
    Ok((hours * 60 + minutes) * 60)
}

fn of_timestamp(name: &str, us: i64, rest: &[Cel]) -> Outcome {
    let zone = rest.first().and_then(Cel::as_str).unwrap_or("");
    let us = us.saturating_add(offset_s(zone)? * 1_000_000);
    let Calendar { year, month, day, hour, minute, second } = date(us);
    let unix_s = us.div_euclid(1_000_000);
    Ok(match name {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDate" => day,
        "getDayOfMonth" => day - 1,
        "getDayOfWeek" => time::weekday(unix_s),
        "getDayOfYear" => {
            let first = time::unix_s(Calendar { year, month: 1, day: 1, hour: 0, minute: 0, second: 0 });
            (unix_s - first) / 86_400
        }
        "getHours" => hour,
        "getMinutes" => minute,
        "getSeconds" => second,
        "getMilliseconds" => us.rem_euclid(1_000_000) / 1000,
        _ => return Err(no_such_overload()),
    }
    .into())
}

fn of_quantity(name: &str, own: Quantity, rest: &[Cel]) -> Outcome {
    let other = match rest {
        [] => None,
        [Cel::Quantity(other)] => Some(**other),
        [Cel::Value(Value::Integer(number))] => Some(Quantity::from_units(*number, own.format())),
        _ => return Err(no_such_overload()),
    };
    let order = other.map(|other| own.nanos().cmp(&other.nanos()));
    Ok(match (name, other, order) {
        ("isGreaterThan", _, Some(order)) => order.is_gt().into(),
        ("isLessThan", _, Some(order)) => order.is_lt().into(),
        ("compareTo", _, Some(order)) => (order as i64).into(),
        ("add", Some(other), _) => Cel::Quantity((own + other).into()),
        ("sub", Some(other), _) => Cel::Quantity((own - other).into()),
        ("sign", None, _) => own.sign().into(),
        ("isInteger", None, _) => own.is_integer().into(),
        ("asInteger", None, _) if own.is_integer() => own.value().into(),
        ("asInteger", None, _) => return Err(literal!("cannot convert value to integer")),
        ("asApproximateFloat", None, _) => float_of(own.nanos() as f64 / 1e9),
        _ => return Err(no_such_overload()),
    })
}

pub fn of_library(evaluator: &mut Evaluator, owner: &str, name: &str, arguments: &[Cel]) -> Outcome {
    match (owner, name, arguments) {
        ("optional", "none", []) => Ok(Cel::Optional(None)),
        ("optional", "of", [value]) => Ok(Cel::optional(Some(value.clone()))),
        ("optional", "ofNonZeroValue", [value]) => {
            let is_zero = match value {
                Cel::Value(Value::Bool(is)) => !is,
                Cel::Value(value) => value.is_empty() || float(&Cel::from(value)) == Some(0.0),
                other => other.items().is_some_and(|items| items.is_empty()),
            };
            Ok(Cel::optional((!is_zero).then(|| value.clone())))
        }
        ("optional", "unwrap", [list]) if list.is_list() => of_list(evaluator, "unwrapOpt", list, &[]),
        ("lists", "range", [Cel::Value(Value::Integer(count))]) => {
            let count = usize::try_from(*count).unwrap_or(0);
            evaluator.spend(count)?;
            Ok(Cel::list((0..count).map(Cel::from).collect()))
        }
        ("ip" | "format" | "jsonpatch", ..) => {
            evaluator.spend(arguments.iter().filter_map(Cel::as_str).map(str::len).sum::<usize>() / 8)?;
            libraries::call(&[owner, ".", name].concat(), arguments)
                .unwrap_or_else(|| Err(no_such_overload()))
        }
        ("strings", "quote", [Cel::Value(Value::String(text))]) => {
            evaluator.spend(text.len())?;
            Ok(crate::api::field::go_quote(text).into())
        }
        ("sets", _, [a, b]) if a.is_list() && b.is_list() => {
            let subset =
                |evaluator: &mut Evaluator, all: &Cel, some: &Cel, wanted: bool| -> Result<bool, Failure> {
                    evaluator.spend(some.count() / 8)?;
                    for item in some.items().unwrap_or_default() {
                        if evaluator.position(all, &item)?.is_some() != wanted {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                };
            Ok(match name {
                "contains" => subset(evaluator, a, b, true)?,
                "equivalent" => subset(evaluator, a, b, true)? && subset(evaluator, b, a, true)?,
                _ => !subset(evaluator, a, b, false)?,
            }
            .into())
        }
        _ => Err(no_such_overload()),
    }
}
