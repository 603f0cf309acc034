//! Flags, as pflag reads them, and the `ETCDCTL_` variables that stand for those of every command.
//!
//! Picture to hold in mind: a form on which what is not filled in reads as it was printed.

use super::commands::Command;
use super::{Order, Outcome, Stop, Version, client, exit, fail};
use crate::api::time_format;
use crate::arrange::Gather;
use crate::shell::{Cli, Halt};
use crate::sim::Duration;
use crate::sorted::SortedMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Switch,
    Text,
    Number,
    Duration,
    List,
}

pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub usage: &'static str,
    /// The only version that has it.
    pub only: Option<Version>,
}

pub const fn flag(kind: Kind, name: &'static str, default: &'static str, usage: &'static str) -> Flag {
    Flag { name, short: None, kind, default, usage, only: None }
}

impl Flag {
    pub const fn short(self, short: char) -> Flag {
        Flag { short: Some(short), ..self }
    }
    pub const fn only(self, version: Version) -> Flag {
        Flag { only: Some(version), ..self }
    }
    pub fn is_in(&self, version: Version) -> bool {
        self.only.is_none_or(|only| only == version)
    }
}

const HELP: Flag = flag(Kind::Switch, "help", "false", "").short('h');

/// The flags that the last command of `path` understands: its own, and those of the commands above it.
pub fn known<'a>(path: &'a [&'static Command], version: Version) -> impl Iterator<Item = &'static Flag> + 'a {
    let own = path.last().into_iter().flat_map(|command| command.flags);
    let above = path.iter().flat_map(|command| command.persistent);
    own.chain(above).filter(move |flag| flag.is_in(version)).chain([&HELP])
}

/// Where the first word stands that is neither a flag nor a flag's value.
pub fn first_word(arguments: &[String], path: &[&'static Command], version: Version) -> Option<usize> {
    let mut index = 0;
    while let Some(argument) = arguments.get(index) {
        if argument == "--" {
            return None;
        }
        if !argument.starts_with('-') || argument == "-" {
            return Some(index);
        }
        let takes_next = known(path, version).any(|flag| {
            let is_it = argument.strip_prefix("--") == Some(flag.name)
                || flag.short.is_some_and(|short| *argument == format!("-{short}"));
            is_it && flag.kind != Kind::Switch
        });
        index += if takes_next { 2 } else { 1 };
    }
    None
}

#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Those that were given.
    values: SortedMap<&'static str, String>,
    defaults: SortedMap<&'static str, &'static str>,
    /// Those that every command has, and the environment may give.
    global: Vec<&'static str>,
}

impl Flags {
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => self.defaults.get(name).copied().unwrap_or(""),
        }
    }
    pub fn switch(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }
    pub fn duration(&self, name: &str) -> Duration {
        let micros = time_format::parse_go_duration(self.text(name)).unwrap_or(0);
        Duration(u64::try_from(micros).unwrap_or(0))
    }
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).trim_start_matches('[').trim_end_matches(']');
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(String::from).gather()
    }
    pub fn is_given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

/// Reads a command line: flags, and what is left of it.
///
/// # Errors
/// In pflag's words.
pub fn parse(
    arguments: &[String],
    path: &[&'static Command],
    version: Version,
) -> Result<(Flags, Vec<String>), String> {
    let mut flags = Flags::default();
    for flag in known(path, version) {
        flags.defaults.insert(flag.name, flag.default);
    }
    flags.global =
        path[0].persistent.iter().filter(|flag| flag.is_in(version)).map(|flag| flag.name).gather();
    let mut operands = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            operands.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (long, None),
            };
            let found = known(path, version).find(|flag| flag.name == name);
            let flag = found.ok_or_else(|| format!("unknown flag: --{name}"))?;
            let value = match (value, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Switch) => "true".into(),
                (None, _) => words.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?.clone(),
            };
            flags.set(flag, value)?;
        } else if word.len() > 1 && word.starts_with('-') {
            let mut letters = word[1..].chars();
            while let Some(letter) = letters.next() {
                let found = known(path, version).find(|flag| flag.short == Some(letter));
                let flag = found.ok_or_else(|| format!("unknown shorthand flag: '{letter}' in {word}"))?;
                if flag.kind == Kind::Switch {
                    flags.set(flag, "true".into())?;
                    continue;
                }
                let rest = letters.as_str();
                let value = match rest.strip_prefix('=').unwrap_or(rest) {
                    "" => {
                        let next = words.next();
                        next.ok_or_else(|| format!("flag needs an argument: '{letter}' in {word}"))?.clone()
                    }
                    rest => rest.to_string(),
                };
                flags.set(flag, value)?;
                break;
            }
        } else {
            operands.push(word.clone());
        }
    }
    Ok((flags, operands))
}

impl Flags {
    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), String> {
        let value = checked(flag, &value).map_err(|why| {
            let short = flag.short.map_or(String::new(), |short| format!("-{short}, "));
            format!("invalid argument {value:?} for \"{short}--{}\" flag: {why}", flag.name)
        })?;
        match self.values.get_mut(flag.name) {
            Some(before) if flag.kind == Kind::List => *before = format!("{before},{value}"),
            _ => drop(self.values.insert(flag.name, value)),
        }
        Ok(())
    }
}

/// A flag's value in its normal form, or why it is none.
fn checked(flag: &Flag, value: &str) -> Result<String, String> {
    match flag.kind {
        Kind::Switch => match value {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok("true".into()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok("false".into()),
            _ => Err(format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
        },
        Kind::Number => match value.parse::<i64>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")),
        },
        Kind::Duration if time_format::parse_go_duration(value).is_none() => {
            let is_bare = value.parse::<i64>().is_ok();
            let why = if is_bare { "missing unit in" } else { "invalid" };
            Err(format!("time: {why} duration {value:?}"))
        }
        _ => Ok(value.into()),
    }
}

/// Takes over what the environment says of the flags that every command has (`flags.SetPflagsFromEnv`).
pub fn with_environment(cli: &mut Cli, order: &Order) -> Outcome<Order> {
    let mut flags = (*order.flags).clone();
    let variables: Vec<(String, String)> = cli
        .variables()
        .filter(|(name, value)| name.starts_with("ETCDCTL_") && !value.is_empty())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .gather();
    for (variable, value) in variables {
        let name = variable["ETCDCTL_".len()..].to_ascii_lowercase().replace('_', "-");
        match super::commands::global_flag(&name, order.version) {
            Some(flag) if flags.is_given(flag.name) => {
                let words = "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))";
                if order.version == Version::V3_6 {
                    client::log(
                        cli,
                        order,
                        "fatal",
                        "",
                        "flags/flag.go:86",
                        words,
                        &[("environment-variable", super::json::text(&variable))],
                    );
                } else {
                    cli.eprintln(format!("pkg/flags: conflicting environment variable {variable:?} is shadowed by corresponding command-line flag (either unset environment variable or disable flag)"));
                }
                return Err(Stop::Halt(Halt::Exit(exit::ERROR)));
            }
            Some(flag) => {
                if flags.set(flag, value.clone()).is_err() {
                    return fail(exit::ERROR, format!("invalid value {value:?} for {variable}"));
                }
            }
            // 3.4 takes this one out before it looks.
            None if order.version == Version::V3_4 && name == "api" => {}
            None if name.starts_with("watch-") => {}
            None if order.version == Version::V3_6 => {
                let pair = super::json::text(&format!("{variable}={value}"));
                let words = "unrecognized environment variable";
                client::log(
                    cli,
                    order,
                    "warn",
                    "",
                    "flags/flag.go:94",
                    words,
                    &[("environment-variable", pair)],
                );
            }
            None => {
                cli.eprintln(format!("pkg/flags: unrecognized environment variable {variable}={value}"));
            }
        }
    }
    Ok(Order { flags: flags.into(), ..order.clone() })
}
