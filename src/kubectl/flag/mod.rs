//! The command line of every command: one table of flags, read as pflag reads them.
//!
//! Picture to hold in mind: a switchboard. Each command shows some of the switches; how a switch is thrown
//! (`-oyaml`, `--output=yaml`, `-A`, `--force=false`) is the same for all.

use std::ffi::OsString;

use super::failure::Failure;
use crate::arrange::Gather;
use crate::sorted::SortedMap;

mod table;

pub use table::{Flag, Kind, find, global};

/// How a command names a flag that it takes: `labels`; `f=follow` to give it another short form, `=env` to give it none;
/// `timeout@30s` to give it another default; `raw:switch` or `prefix:text` where it takes something else than with other
/// commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// `Some(None)`: it has none with this command.
    short: Option<Option<char>>,
    pub long: &'static str,
    default: Option<&'static str>,
    kind: Option<Kind>,
}

impl Entry {
    pub fn read(text: &'static str) -> Entry {
        let (text, default) = match text.split_once('@') {
            Some((text, default)) => (text, Some(default)),
            None => (text, None),
        };
        let (text, kind) = match text.split_once(':') {
            Some((text, "switch")) => (text, Some(Kind::Switch)),
            Some((text, "number")) => (text, Some(Kind::Number)),
            Some((text, _)) => (text, Some(Kind::Text)),
            None => (text, None),
        };
        let (short, long) = match text.split_once('=') {
            Some((short, long)) => (Some(short.chars().next()), long),
            None => (None, text),
        };
        Entry { short, long, default, kind }
    }
    /// The flag as this command takes it.
    pub fn flag(&self) -> Option<Flag> {
        let shared = find(self.long)?;
        Some(Flag {
            short: self.short.unwrap_or(shared.short),
            kind: self.kind.unwrap_or(shared.kind),
            default: match (self.default, self.kind) {
                (Some(default), _) => default,
                (None, Some(Kind::Switch)) => "false",
                (None, Some(_)) => "",
                (None, None) => shared.default,
            },
            ..*shared
        })
    }
}

/// What the user wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    values: SortedMap<&'static str, Vec<String>>,
    /// The command's own defaults.
    defaults: SortedMap<&'static str, &'static str>,
    pub operands: Vec<String>,
    /// What stands behind `--`, if that stands there.
    pub after_dashes: Option<Vec<String>>,
}

impl Flags {
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
    /// The last value given, or the default.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name).and_then(|values| values.last()) {
            Some(value) => value,
            None => match self.defaults.get(name) {
                Some(default) => default,
                None => find(name).map_or("", |flag| flag.default),
            },
        }
    }
    pub fn switch(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "t" | "T" | "TRUE" | "True")
    }
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }
    /// All values given; commas part those of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        let Some(values) = self.values.get(name) else { return Vec::new() };
        let splits = find(name).is_some_and(|flag| flag.kind == Kind::List);
        values
            .iter()
            .flat_map(|value| if splits { value.split(',').gather() } else { vec![value.as_str()] })
            .map(String::from)
            .gather()
    }
    /// A duration in microseconds.
    pub fn duration_us(&self, name: &str) -> Option<i64> {
        let text = self.text(name);
        text.parse::<i64>()
            .ok()
            .map(|seconds| seconds.saturating_mul(1_000_000))
            .or_else(|| crate::api::time_format::parse_go_duration(text))
    }
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.entry(name).or_default().push(value.into());
    }

    /// Without what was said to flags that the command has for itself: `--user` of a role binding is not the kubeconfig's.
    pub fn without(&self, own: &[&'static str]) -> Flags {
        let mut flags = self.clone();
        flags.values.retain(|name, _| !own.iter().any(|text| Entry::read(text).long == *name));
        flags
    }

    /// Reads `arguments` with the flags named in `allowed` (see [`entry`]) besides the global ones. `command` is
    /// named in the hint of an error.
    pub fn parse(arguments: &[String], allowed: &[&'static str], command: &str) -> Result<Flags, Failure> {
        let mut flags = Flags::default();
        let mut arguments = arguments;
        if let Some(dashes) = arguments.iter().position(|argument| argument == "--") {
            flags.after_dashes = Some(arguments[dashes + 1..].to_vec());
            arguments = &arguments[..dashes];
        }
        let usage = |text: String| Failure::Usage(text, command.to_string());
        let own: Vec<Flag> = allowed.iter().filter_map(|text| Entry::read(text).flag()).gather();
        flags.defaults = own.iter().map(|flag| (flag.long, flag.default)).gather();
        let by_long = |name: &str| own.iter().chain(global()).find(|flag| flag.long == name);
        let by_short = |letter: char| own.iter().chain(global()).find(|flag| flag.short == Some(letter));
        let mut parser = lexopt::Parser::from_args(arguments.iter().map(OsString::from));
        loop {
            let argument = match parser.next() {
                Ok(Some(argument)) => argument,
                Ok(None) => return Ok(flags),
                Err(error) => return Err(usage(error.to_string())),
            };
            let (flag, written, is_long) = match argument {
                lexopt::Arg::Value(value) => {
                    flags.operands.push(value.to_string_lossy().into_owned());
                    continue;
                }
                lexopt::Arg::Long(name) => {
                    let name = name.to_string();
                    (by_long(&name), format!("--{name}"), true)
                }
                lexopt::Arg::Short(letter) => (by_short(letter), format!("-{letter}"), false),
            };
            let Some(flag) = flag else {
                return Err(usage(if is_long {
                    format!("unknown flag: {written}")
                } else {
                    let cluster = arguments.iter().find(|argument| {
                        argument.starts_with('-')
                            && !argument.starts_with("--")
                            && argument.contains(&written[1..])
                    });
                    format!("unknown shorthand flag: '{}' in {}", &written[1..], cluster.unwrap_or(&written))
                }));
            };
            let value = match flag.kind {
                Kind::Switch | Kind::Optional(_) => {
                    let attached = if is_long { parser.optional_value() } else { None };
                    match (attached, flag.kind) {
                        (Some(value), _) => value.to_string_lossy().into_owned(),
                        (None, Kind::Optional(alone)) => alone.to_string(),
                        (None, _) => "true".into(),
                    }
                }
                _ => match parser.value() {
                    Ok(value) => value.to_string_lossy().into_owned(),
                    Err(_) if is_long => return Err(usage(format!("flag needs an argument: {written}"))),
                    Err(_) => {
                        let letter = &written[1..];
                        return Err(usage(format!("flag needs an argument: '{letter}' in {written}")));
                    }
                },
            };
            check(flag, &value).map_err(usage)?;
            flags.set(flag.long, value);
        }
    }
}

fn check(flag: &Flag, value: &str) -> Result<(), String> {
    let names = match flag.short {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    };
    let invalid = |why: String| Err(format!("invalid argument {value:?} for {names:?} flag: {why}"));
    match flag.kind {
        Kind::Switch
            if !matches!(
                value,
                "true" | "false" | "1" | "0" | "t" | "f" | "T" | "F" | "TRUE" | "FALSE" | "True" | "False"
            ) =>
        {
            invalid(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))
        }
        Kind::Number if value.parse::<i64>().is_err() => {
            invalid(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
        }
        Kind::Duration if crate::api::time_format::parse_go_duration(value).is_none() => {
            let missing_unit = value.parse::<i64>().is_ok();
            invalid(if missing_unit {
                format!("time: missing unit in duration {value:?}")
            } else {
                format!("time: invalid duration {value:?}")
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        let allowed = [
            "output",
            "all-namespaces",
            "watch",
            "force",
            "tail",
            "filename",
            "label-columns",
            "dry-run",
            "timeout",
        ];
        Flags::parse(&arguments, &allowed, "kubectl get").map_err(|failure| failure.text())
    }

    #[test]
    fn all_forms_of_pflag_are_read() {
        for (line, name, value) in [
            ("-oyaml", "output", "yaml"),
            ("-o yaml", "output", "yaml"),
            ("-o=yaml", "output", "yaml"),
            ("--output yaml", "output", "yaml"),
            ("--output=yaml", "output", "yaml"),
            ("-Aw", "watch", "true"),
            ("-Awojson", "output", "json"),
            ("--force=false", "force", "false"),
            ("pods --tail -1", "tail", "-1"),
            ("--dry-run", "dry-run", "unchanged"),
            ("--dry-run=client pods", "dry-run", "client"),
            ("-n kube-system pods", "namespace", "kube-system"),
            ("-f -", "filename", "-"),
        ] {
            assert_eq!(parse(line).expect(line).text(name), value, "{line}");
        }
        let flags = parse("-L a,b -L c po x -- ls -la").unwrap();
        assert_eq!(flags.list("label-columns"), ["a", "b", "c"]);
        assert_eq!(flags.operands, ["po", "x"]);
        assert_eq!(flags.after_dashes.unwrap(), ["ls", "-la"]);
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_pflag() {
        for (line, expected) in [
            ("--unicorn", "unknown flag: --unicorn"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("--output", "flag needs an argument: --output"),
            ("-o", "flag needs an argument: 'o' in -o"),
            (
                "--tail=x",
                "invalid argument \"x\" for \"--tail\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "--force=maybe",
                "invalid argument \"maybe\" for \"--force\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "--timeout=1",
                "invalid argument \"1\" for \"--timeout\" flag: time: missing unit in duration \"1\"",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected, "{line}");
        }
    }
}
