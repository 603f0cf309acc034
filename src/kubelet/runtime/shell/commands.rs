//! What programs do: the ones that manifests and people in terminals use.
//!
//! Picture to hold in mind: a drawer of small tools. Each takes arguments and an input, and gives a status,
//! two texts, and sometimes something that takes time ([`Then`]).

use std::sync::Arc;

use crate::api::Text;
use crate::shell::program::Process;
use crate::sim::Duration;
use crate::sorted::SortedMap;

use super::super::files::normalize;
use super::super::program::{self, Server};
use super::compile::{Code, compile};
use super::machine::Surroundings;

/// How a command ended, or what it goes on to do.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    pub then: Then,
}

pub enum Then {
    Done,
    /// The script ends.
    Exit,
    Return,
    Sleep(Duration),
    /// Runs until it is killed.
    Serve(Arc<Server>),
    Wait,
    /// `tail -f PATH`.
    Follow(Text),
    /// A program that asks others and waits for their answers.
    Process(Box<Process>),
    Script {
        code: Arc<Code>,
        arguments: Vec<Text>,
        is_subshell: bool,
    },
}

impl Ran {
    pub fn status(status: i32) -> Ran {
        Ran { status, stdout: String::new(), stderr: String::new(), then: Then::Done }
    }
    pub fn text(stdout: impl Into<String>) -> Ran {
        Ran { stdout: stdout.into(), ..Ran::status(0) }
    }
    pub fn error(status: i32, stderr: impl Into<String>) -> Ran {
        Ran { stderr: stderr.into(), ..Ran::status(status) }
    }
    pub(super) fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Ran {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        Ran::text(text)
    }
}

/// Runs one command that is not built into the shell.
pub fn run(
    words: &[Text],
    input: &str,
    variables: &SortedMap<Text, Text>,
    directory: &str,
    surroundings: &mut Surroundings,
) -> Ran {
    let name = words[0].rsplit('/').next().unwrap_or("");
    let arguments: Vec<&str> = words[1..].iter().map(Text::as_str).collect();
    if let Some((_, main)) = surroundings.programs.iter().find(|(program, _)| *program == name) {
        let words = words.iter().map(ToString::to_string).collect();
        let mut environment = SortedMap::new();
        environment.extend(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let process = Process::new(*main, words, directory, Arc::new(environment));
        return Ran { then: Then::Process(Box::new(process)), ..Ran::status(0) };
    }
    if surroundings.is_minimal && !is_in_minimal_image(name) && program::server(name, &arguments).is_none() {
        return Ran::error(127, format!("sh: {}: not found\n", words[0]));
    }
    let mut tool = Tool { name, arguments: &arguments, input, variables, directory, surroundings };
    if let Some(ran) =
        tool.shell(&words[0]).or_else(|| tool.plain()).or_else(|| tool.files()).or_else(|| tool.text_tools())
    {
        return ran;
    }
    if let Some(ran) = tool.system() {
        return ran;
    }
    if let Some(server) = program::server(name, &arguments) {
        return Ran { then: Then::Serve(Arc::new(server)), ..Ran::status(0) };
    }
    if tool.surroundings.has_only_known_programs {
        return Ran::error(127, format!("sh: {}: not found\n", words[0]));
    }
    // Any other program of an image that we do not know: a server, as far as anybody can tell.
    Ran { then: Then::Serve(Arc::new(Server::unknown(name))), ..Ran::status(0) }
}

/// What an image without any tools can run: its shell, and what is built into that.
pub fn is_in_minimal_image(name: &str) -> bool {
    const NAMES: &[&str] =
        &["sh", "echo", "printf", "test", "[", "true", "false", ":", "pwd", "sleep", "cp", "mv", "kill"];
    NAMES.contains(&name)
}

/// Whether [`run`] knows what a program does.
pub fn is_known(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "sh",
        "bash",
        "ash",
        "dash",
        "true",
        "false",
        ":",
        "echo",
        "printf",
        "sleep",
        "env",
        "printenv",
        "pwd",
        "test",
        "[",
        "seq",
        "yes",
        "exit",
        "cat",
        "ls",
        "mkdir",
        "touch",
        "rm",
        "cp",
        "mv",
        "tee",
        "head",
        "tail",
        "wc",
        "grep",
        "sort",
        "uniq",
        "cut",
        "tr",
        "sed",
        "xargs",
        "basename",
        "dirname",
        "date",
        "hostname",
        "id",
        "whoami",
        "uname",
        "ps",
        "ip",
        "ifconfig",
        "route",
        "nslookup",
        "wget",
        "curl",
        "nc",
        "ping",
        "getent",
        "kill",
        "expr",
        "chmod",
        "chown",
        "ln",
        "sync",
        "mount",
        "df",
        "free",
        "uptime",
        "which",
        "stress",
        "dd",
        "time",
        "timeout",
        "nohup",
        "perl",
        "top",
        "su",
        "find",
        "stat",
        "cd",
        "export",
        "set",
        "trap",
        "wait",
        "read",
        "eval",
        "exec",
        "test",
        "ping",
        "telnet",
        "httpd",
        "udhcpc",
        "vi",
        "awk",
        "iptables",
        "iptables-save",
        "conntrack",
        "arp",
    ];
    NAMES.contains(&name)
}

pub(super) struct Tool<'a, 'b, 'c> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a [&'a str],
    pub(super) input: &'a str,
    variables: &'a SortedMap<Text, Text>,
    pub(super) directory: &'a str,
    pub(super) surroundings: &'b mut Surroundings<'c>,
}

/// `1`, `1.5`, `10s`, `2m`, `1h`, `1d`, `infinity`.
fn duration(text: &str) -> Option<Duration> {
    if matches!(text, "infinity" | "inf") {
        return Some(Duration(u64::MAX / 4));
    }
    let (number, unit) = match text.chars().last()? {
        's' => (&text[..text.len() - 1], 1),
        'm' => (&text[..text.len() - 1], 60),
        'h' => (&text[..text.len() - 1], 3600),
        'd' => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros: u64 =
        if fraction.is_empty() { 0 } else { format!("{fraction:0<6}").get(..6)?.parse().ok()? };
    Some(Duration(whole.saturating_mul(1_000_000).saturating_add(micros).saturating_mul(unit)))
}

impl<'a> Tool<'a, '_, '_> {
    pub(super) fn path(&self, path: &str) -> String {
        normalize(self.directory, path)
    }
    pub(super) fn flags(&self) -> String {
        self.arguments.iter().filter_map(|a| a.strip_prefix('-')).filter(|a| !a.starts_with('-')).collect()
    }
    /// Arguments that are not options; those in `with_value` take the next one.
    pub(super) fn operands(&self, with_value: &[&str]) -> Vec<&'a str> {
        let mut operands = Vec::new();
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if with_value.contains(argument) {
                arguments.next();
            } else if !argument.starts_with('-') || *argument == "-" {
                operands.push(*argument);
            }
        }
        operands
    }
    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        let position = self.arguments.iter().position(|argument| *argument == name);
        match position {
            Some(position) => self.arguments.get(position + 1).copied(),
            None => self
                .arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(name))
                .filter(|v| !v.is_empty()),
        }
    }
    fn rest_of_words(&self, from: usize) -> Vec<Text> {
        self.arguments[from..].iter().map(|word| Text::from(*word)).collect()
    }

    /// Shells, scripts from files, and programs that run another one.
    fn shell(&mut self, full_name: &str) -> Option<Ran> {
        match self.name {
            "sh" | "bash" | "ash" | "dash" => {
                let position = self.arguments.iter().position(|argument| !argument.starts_with('-'));
                let has_command = self
                    .arguments
                    .iter()
                    .any(|a| a.starts_with('-') && !a.starts_with("--") && a.ends_with('c'));
                Some(match position {
                    Some(at) if has_command => {
                        let mut arguments = self.rest_of_words(at + 1);
                        if arguments.is_empty() {
                            arguments.push(self.name.into());
                        }
                        self.script(self.arguments[at], arguments)
                    }
                    Some(at) => {
                        let path = self.path(self.arguments[at]);
                        match self.surroundings.files.read(&path) {
                            Some(script) => self.script(&script, self.rest_of_words(at)),
                            None => Ran::error(
                                2,
                                format!(
                                    "{}: can't open '{}': No such file or directory\n",
                                    self.name, self.arguments[at]
                                ),
                            ),
                        }
                    }
                    // Without a terminal there is nothing to read, and it ends.
                    None => self.script(self.input, vec![self.name.into()]),
                })
            }
            "env"
                if self
                    .arguments
                    .iter()
                    .any(|argument| !argument.contains('=') && !argument.starts_with('-')) =>
            {
                let at = self.arguments.iter().position(|argument| !argument.contains('='))?;
                Some(run(
                    &self.rest_of_words(at),
                    self.input,
                    self.variables,
                    self.directory,
                    self.surroundings,
                ))
            }
            "nohup" | "time" | "setsid" | "tini" | "dumb-init" | "gosu" | "su-exec" | "busybox" | "nice"
            | "stdbuf"
                if !self.arguments.is_empty() =>
            {
                let skip = usize::from(matches!(self.name, "gosu" | "su-exec"))
                    + self.arguments.iter().take_while(|argument| argument.starts_with('-')).count();
                let words = self.rest_of_words(skip.min(self.arguments.len() - 1));
                Some(run(&words, self.input, self.variables, self.directory, self.surroundings))
            }
            "docker-entrypoint.sh" if !self.arguments.is_empty() => Some(run(
                &self.rest_of_words(0),
                self.input,
                self.variables,
                self.directory,
                self.surroundings,
            )),
            "timeout" => {
                let at = self.arguments.iter().position(|argument| duration(argument).is_some())?;
                let limit = duration(self.arguments[at])?;
                if at + 1 >= self.arguments.len() {
                    return Some(Ran::error(1, "BusyBox: timeout: no command\n"));
                }
                let ran = run(
                    &self.rest_of_words(at + 1),
                    self.input,
                    self.variables,
                    self.directory,
                    self.surroundings,
                );
                Some(match ran.then {
                    Then::Sleep(wanted) if wanted > limit => {
                        Ran { then: Then::Sleep(limit), status: 143, ..ran }
                    }
                    Then::Serve(_) | Then::Follow(_) => Ran { then: Then::Sleep(limit), status: 143, ..ran },
                    _ => ran,
                })
            }
            _ if full_name.contains('/') => {
                let path = self.path(full_name);
                let script = self.surroundings.files.read(&path)?;
                let mut arguments = vec![Text::from(full_name)];
                arguments.extend(self.rest_of_words(0));
                Some(self.script(&script, arguments))
            }
            _ => None,
        }
    }
    fn script(&self, script: &str, arguments: Vec<Text>) -> Ran {
        match compile(script) {
            Ok(code) => Ran { then: Then::Script { code, arguments, is_subshell: true }, ..Ran::status(0) },
            Err(error) => Ran::error(2, error + "\n"),
        }
    }

    fn plain(&mut self) -> Option<Ran> {
        Some(match self.name {
            "true" | ":" | "sync" | "chmod" | "chown" | "ln" | "nginx-debug" => Ran::status(0),
            "false" => Ran::status(1),
            "echo" => self.echo(),
            "printf" => Ran::text(self.printf()),
            "sleep" => {
                let total =
                    self.arguments.iter().try_fold(Duration::ZERO, |sum, text| Some(sum + duration(text)?));
                match total {
                    Some(total) if !self.arguments.is_empty() => {
                        Ran { then: Then::Sleep(total), ..Ran::status(0) }
                    }
                    _ => Ran::error(
                        1,
                        format!("sleep: invalid number '{}'\n", self.arguments.first().unwrap_or(&"")),
                    ),
                }
            }
            "env" | "printenv" => match self.arguments.first() {
                Some(name) => match self.variables.get(*name) {
                    Some(value) => Ran::lines([value]),
                    None => Ran::status(1),
                },
                None => Ran::lines(self.variables.iter().map(|(name, value)| format!("{name}={value}"))),
            },
            "pwd" => Ran::lines([self.directory]),
            "test" => Ran::status(i32::from(!self.test(self.arguments))),
            "[" => match self.arguments.split_last() {
                Some((&"]", rest)) => Ran::status(i32::from(!self.test(rest))),
                _ => Ran::error(2, "sh: missing ]\n"),
            },
            "seq" => {
                let numbers: Vec<i64> = self.arguments.iter().filter_map(|n| n.parse().ok()).collect();
                let (first, step, last) = match numbers.as_slice() {
                    [last] => (1, 1, *last),
                    [first, last] => (*first, 1, *last),
                    [first, step, last] => (*first, (*step).max(1), *last),
                    _ => return Some(Ran::status(1)),
                };
                Ran::lines((first..=last).step_by(step as usize).take(100_000).map(|n| n.to_string()))
            }
            "expr" => self.expr(),
            "basename" => {
                let path = self.arguments.first()?.trim_end_matches('/');
                let base = path.rsplit('/').next().unwrap_or("");
                let suffix = self.arguments.get(1).copied().unwrap_or("");
                Ran::lines([base.strip_suffix(suffix).unwrap_or(base)])
            }
            "dirname" => {
                let path = self.arguments.first()?;
                Ran::lines([path
                    .rsplit_once('/')
                    .map_or(".", |(parent, _)| if parent.is_empty() { "/" } else { parent })])
            }
            "yes" | "top" => {
                Ran { then: Then::Serve(Arc::new(Server::unknown(self.name))), ..Ran::status(0) }
            }
            _ => return None,
        })
    }

    fn echo(&self) -> Ran {
        let mut arguments = self.arguments;
        let (mut newline, mut escapes) = (true, false);
        while let Some(flags) = arguments.first().and_then(|a| a.strip_prefix('-')) {
            if flags.is_empty() || !flags.chars().all(|c| matches!(c, 'n' | 'e' | 'E')) {
                break;
            }
            newline &= !flags.contains('n');
            escapes |= flags.contains('e');
            arguments = &arguments[1..];
        }
        let mut text = arguments.join(" ");
        if escapes {
            text = unescape(&text);
        }
        if newline {
            text.push('\n');
        }
        Ran::text(text)
    }

    fn printf(&self) -> String {
        let Some((format, mut values)) = self.arguments.split_first() else { return String::new() };
        let format = unescape(format);
        let mut text = String::new();
        loop {
            let before = values.len();
            let mut characters = format.chars();
            while let Some(c) = characters.next() {
                if c != '%' {
                    text.push(c);
                    continue;
                }
                let mut specification = String::new();
                let conversion = loop {
                    match characters.next() {
                        Some(c) if c.is_ascii_digit() || matches!(c, '-' | '.' | '0') => {
                            specification.push(c)
                        }
                        other => break other,
                    }
                };
                if conversion == Some('%') {
                    text.push('%');
                    continue;
                }
                let value = values.first().copied().unwrap_or(match conversion {
                    Some('d' | 'i' | 'u') => "0",
                    _ => "",
                });
                values = values.get(1..).unwrap_or(&[]);
                let width: usize = specification.trim_start_matches(['-', '0']).parse().unwrap_or(0).min(200);
                if specification.starts_with('-') {
                    text += &format!("{value:<width$}");
                } else if specification.starts_with('0') {
                    text += &format!("{value:0>width$}");
                } else {
                    text += &format!("{value:>width$}");
                }
            }
            // The format is used again while there are values for it.
            if values.is_empty() || values.len() == before {
                return text;
            }
        }
    }

    fn expr(&self) -> Ran {
        let number = |text: &str| text.parse::<i64>().ok();
        let value = match self.arguments {
            [left, operator, right] => match (number(left), *operator, number(right)) {
                (Some(a), "+", Some(b)) => a.wrapping_add(b).to_string(),
                (Some(a), "-", Some(b)) => a.wrapping_sub(b).to_string(),
                (Some(a), "*", Some(b)) => a.wrapping_mul(b).to_string(),
                (Some(a), "/", Some(b)) => a.checked_div(b).unwrap_or(0).to_string(),
                (Some(a), "%", Some(b)) => a.checked_rem(b).unwrap_or(0).to_string(),
                (_, "=", _) => i32::from(left == right).to_string(),
                (_, "!=", _) => i32::from(left != right).to_string(),
                (Some(a), "<", Some(b)) => i32::from(a < b).to_string(),
                (Some(a), ">", Some(b)) => i32::from(a > b).to_string(),
                _ => return Ran::error(2, "expr: syntax error\n"),
            },
            [one] => one.to_string(),
            _ => return Ran::error(2, "expr: syntax error\n"),
        };
        Ran { status: i32::from(value == "0" || value.is_empty()), ..Ran::lines([value]) }
    }

    fn test(&self, arguments: &[&str]) -> bool {
        if let Some(at) = arguments.iter().rposition(|argument| *argument == "-o") {
            return self.test(&arguments[..at]) || self.test(&arguments[at + 1..]);
        }
        if let Some(at) = arguments.iter().rposition(|argument| *argument == "-a") {
            return self.test(&arguments[..at]) && self.test(&arguments[at + 1..]);
        }
        let files = &self.surroundings.files;
        match arguments {
            [] => false,
            ["!", rest @ ..] => !self.test(rest),
            [text] => !text.is_empty(),
            ["-z", text] => text.is_empty(),
            ["-n", text] => !text.is_empty(),
            ["-e" | "-r" | "-w" | "-x", path] => files.exists(&self.path(path)),
            ["-f", path] => files.read(&self.path(path)).is_some(),
            ["-d", path] => files.is_directory(&self.path(path)),
            ["-s", path] => files.read(&self.path(path)).is_some_and(|content| !content.is_empty()),
            [left, operator, right] => {
                let numbers = || Some((left.parse::<i64>().ok()?, right.parse::<i64>().ok()?));
                match *operator {
                    "=" | "==" => left == right,
                    "!=" => left != right,
                    "-eq" => numbers().is_some_and(|(a, b)| a == b),
                    "-ne" => numbers().is_some_and(|(a, b)| a != b),
                    "-lt" => numbers().is_some_and(|(a, b)| a < b),
                    "-le" => numbers().is_some_and(|(a, b)| a <= b),
                    "-gt" => numbers().is_some_and(|(a, b)| a > b),
                    "-ge" => numbers().is_some_and(|(a, b)| a >= b),
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

/// `\n`, `\t`, `\\`.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some('0') => {}
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}
