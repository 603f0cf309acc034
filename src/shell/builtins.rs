//! The commands that the shell itself knows, and the small ones around files.
//!
//! Picture to hold in mind: the drawer under the counter. What lies in it needs no walk to the store-room.

use std::sync::Arc;

use crate::sim::Duration;
use crate::sorted::SortedMap;

use super::files::{Entry, FileError, HOME, absolute};
use super::machine::{Machine, Step, Surroundings};
use super::program::Process;
use super::task::{Frame, Program, Task};
use super::tools::{Filter, printf};

/// What a command that ends at once leaves behind.
#[derive(Default)]
pub(super) struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Outcome {
    fn fail(&mut self, status: i32, message: impl AsRef<str>) {
        self.stderr.push_str(message.as_ref());
        self.stderr.push('\n');
        self.status = status;
    }
}

impl Machine {
    /// Runs one command whose words are expanded.
    pub(super) fn run_command(
        &mut self,
        id: u32,
        assignments: Vec<(String, String)>,
        mut words: Vec<String>,
        around: &mut Surroundings,
    ) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if task.shell.trace && !words.is_empty() {
            let line = format!("+ {}\n", words.join(" "));
            self.write(id, true, &line, around);
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let Some(name) = words.first().cloned() else {
            // Status of the last command substitution stays, if there was one.
            if assignments.is_empty() {
                task.shell.status = 0;
            }
            for (name, value) in assignments {
                task.shell.variables.insert(name, value);
            }
            return Step::Advanced;
        };
        if let Some(alias) = task.shell.aliases.get(&name) {
            let parts: Vec<String> = alias.split_whitespace().map(String::from).collect();
            words.splice(0..1, parts);
        }
        let name = words.first().cloned().unwrap_or(name);
        if Machine::depth_is_exceeded(task) {
            task.frames.clear();
            return self.refuse(id, &format!("{name}: maximum function nesting level exceeded"), around);
        }
        if let Some(body) = task.shell.functions.get(&name).cloned() {
            let parameters = std::mem::replace(&mut task.shell.parameters, words);
            task.depth += 1;
            task.frames.push(Frame::Return { parameters: Some(parameters) });
            task.frames.push(Frame::Run(body));
            return Step::Advanced;
        }
        if let Some(step) = self.control(id, &name, &words, &assignments, around) {
            return step;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if let Some((_, main)) = around.programs.iter().find(|(program, _)| *program == name) {
            let mut variables = task.shell.variables.clone();
            variables.extend(assignments);
            let process = Process::new(*main, words, &task.shell.folder, Arc::new(variables));
            task.frames.push(Frame::Program(Box::new(Program::Process(process))));
            return Step::Advanced;
        }
        match Filter::parse(&words, &task.shell.folder) {
            Some(Ok(filter)) => {
                task.frames.push(Frame::Program(Box::new(Program::Filter { name, filter })));
                return Step::Advanced;
            }
            Some(Err((message, status))) => {
                task.shell.status = status;
                task.after_command();
                self.write(id, true, &message, around);
                return Step::Advanced;
            }
            None => {}
        }
        let outcome = match self.tasks.get_mut(&id) {
            Some(task) => simple(task, &name, &words, around),
            None => return Step::Ended,
        };
        let outcome = outcome.unwrap_or_else(|| {
            let message = crate::fidelity::missing_command(&name)
                .map(|reason| format!("{name}: {reason}\n"))
                .unwrap_or_else(|| match name.contains('/') {
                    true => format!("bash: {name}: No such file or directory\n"),
                    false => format!("bash: {name}: command not found\n"),
                });
            Outcome { stderr: message, status: 127, ..Outcome::default() }
        });
        self.write(id, true, &outcome.stderr, around);
        let delivered = self.write(id, false, &outcome.stdout, around);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.shell.status = if delivered { outcome.status } else { 141 };
            task.after_command();
        }
        Step::Advanced
    }

    /// Commands that change what happens next.
    fn control(
        &mut self,
        id: u32,
        name: &str,
        words: &[String],
        assignments: &[(String, String)],
        around: &mut Surroundings,
    ) -> Option<Step> {
        let task = self.tasks.get_mut(&id)?;
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<i64>().ok());
        match name {
            "exit" => {
                let status = number(1).map_or(task.shell.status, |status| (status & 255) as i32);
                task.frames.clear();
                task.shell.status = status;
            }
            "return" => {
                let status = number(1).map_or(task.shell.status, |status| (status & 255) as i32);
                task.shell.status = status;
                // Everything up to the function's end is dropped, but streams are put back.
                while let Some(frame) = task.frames.pop() {
                    match frame {
                        Frame::Restore(streams) => task.streams = *streams,
                        Frame::Return { parameters } => {
                            task.depth -= 1;
                            if let Some(parameters) = parameters {
                                task.shell.parameters = parameters;
                            }
                            break;
                        }
                        _ => {}
                    }
                }
            }
            "break" | "continue" => {
                let mut levels = number(1).unwrap_or(1).max(1);
                while let Some(frame) = task.frames.pop() {
                    match frame {
                        Frame::Loop { node, .. } => {
                            levels -= 1;
                            if levels == 0 {
                                if name == "continue" {
                                    task.frames.push(Frame::Loop { node, testing: false });
                                }
                                break;
                            }
                        }
                        Frame::For { node, values, index } => {
                            levels -= 1;
                            if levels == 0 {
                                if name == "continue" {
                                    task.frames.push(Frame::For { node, values, index });
                                }
                                break;
                            }
                        }
                        Frame::Restore(streams) => task.streams = *streams,
                        Frame::Return { .. } | Frame::Source { .. } => {
                            task.frames.push(frame);
                            break;
                        }
                        _ => {}
                    }
                }
                task.shell.status = 0;
            }
            "eval" | "source" | "." => {
                let text = if name == "eval" {
                    words[1..].join(" ")
                } else {
                    let Some(file) = words.get(1) else {
                        return Some(self.refuse(id, &format!("{name}: filename argument required"), around));
                    };
                    match around.files.read(&absolute(&task.shell.folder, file)) {
                        Ok(text) => text.to_string(),
                        Err(error) => {
                            return Some(self.refuse(id, &format!("{file}: {}", error.message()), around));
                        }
                    }
                };
                task.depth += 1;
                task.frames.push(Frame::Return { parameters: None });
                task.frames.push(Frame::Source { text: text.chars().collect(), position: 0 });
            }
            "bash" | "sh" => {
                let text = match (words.get(1).map(String::as_str), words.get(2)) {
                    (Some("-c"), Some(text)) => text.clone(),
                    (Some(file), _) if !file.starts_with('-') => {
                        match around.files.read(&absolute(&task.shell.folder, file)) {
                            Ok(text) => text.to_string(),
                            Err(error) => {
                                return Some(self.refuse(
                                    id,
                                    &format!("{file}: {}", error.message()),
                                    around,
                                ));
                            }
                        }
                    }
                    _ => {
                        return Some(self.refuse(
                            id,
                            &format!("{name}: -c COMMAND or a file is wanted"),
                            around,
                        ));
                    }
                };
                let mut child = Task { depth: task.depth + 1, ..task.clone() };
                let skip = if words.get(1).is_some_and(|word| word == "-c") { 3 } else { 1 };
                child.shell.parameters = words.iter().skip(skip).cloned().collect();
                if child.shell.parameters.is_empty() {
                    child.shell.parameters.push(name.to_string());
                }
                child.frames = vec![Frame::Source { text: text.chars().collect(), position: 0 }];
                let child = self.add_task(child);
                let task = self.tasks.get_mut(&id)?;
                task.frames.push(Frame::Join { children: vec![child], last: child, negated: false });
            }
            "command" | "exec" | "sudo" | "time" | "nohup" | "builtin" | "env" if words.len() > 1 => {
                let skip = words[1..].iter().take_while(|word| word.starts_with('-')).count();
                if name == "command" && skip > 0 {
                    return None;
                }
                let mut rest = &words[1 + skip..];
                let mut assignments = assignments.to_vec();
                while let Some((key, value)) = rest
                    .first()
                    .and_then(|word| word.split_once('='))
                    .filter(|_| matches!(name, "env" | "sudo"))
                {
                    assignments.push((key.to_string(), value.to_string()));
                    rest = &rest[1..];
                }
                return (!rest.is_empty()).then(|| self.run_command(id, assignments, rest.to_vec(), around));
            }
            "sleep" => {
                let mut total = Duration::ZERO;
                for word in &words[1..] {
                    match parse_sleep(word) {
                        Some(duration) => total = total + duration,
                        None => {
                            let message = format!(
                                "sleep: invalid time interval '{word}'\nTry 'sleep --help' for more information.\n"
                            );
                            task.shell.status = 1;
                            self.write(id, true, &message, around);
                            return Some(Step::Advanced);
                        }
                    }
                }
                if words.len() == 1 {
                    task.shell.status = 1;
                    self.write(
                        id,
                        true,
                        "sleep: missing operand\nTry 'sleep --help' for more information.\n",
                        around,
                    );
                    return Some(Step::Advanced);
                }
                self.sleep(id, around.now, total);
            }
            "read" => {
                let mut names: Vec<String> =
                    words[1..].iter().filter(|word| !word.starts_with('-')).cloned().collect();
                if names.is_empty() {
                    names.push("REPLY".into());
                }
                task.frames.push(Frame::Program(Box::new(Program::Read { names })));
            }
            "xargs" => {
                let (mut each, mut replace, mut index) = (None, None, 1);
                while let Some(word) = words.get(index).filter(|word| word.starts_with('-')) {
                    let value = |attached: &str| match attached.is_empty() {
                        true => (words.get(index + 1).cloned().unwrap_or_default(), 2),
                        false => (attached.to_string(), 1),
                    };
                    let used = if let Some(attached) = word.strip_prefix("-n").or(word.strip_prefix("-L")) {
                        let (value, used) = value(attached);
                        each = value.parse().ok().filter(|count| *count > 0);
                        used
                    } else if let Some(attached) = word.strip_prefix("-I") {
                        let (value, used) = value(attached);
                        replace = Some(value);
                        used
                    } else {
                        1
                    };
                    index += used;
                }
                let mut arguments = words.get(index..).unwrap_or(&[]).to_vec();
                if arguments.is_empty() {
                    arguments.push("echo".into());
                }
                let program = Program::Xargs { arguments, each, replace, input: String::new() };
                task.frames.push(Frame::Program(Box::new(program)));
            }
            "wait" => {
                let children: Vec<u32> = self
                    .tasks
                    .iter()
                    .filter(|(child, task)| **child != id && task.background)
                    .map(|(id, _)| *id)
                    .collect();
                let task = self.tasks.get_mut(&id)?;
                task.shell.status = 0;
                let last = children.last().copied().unwrap_or(0);
                if !children.is_empty() {
                    task.frames.push(Frame::Join { children, last, negated: false });
                }
            }
            "jobs" => {
                let running = self.tasks.values().filter(|task| task.background).count();
                let text: String = (1..=running).map(|job| format!("[{job}]  Running\n")).collect();
                self.write(id, false, &text, around);
            }
            "kill" => {
                let jobs: Vec<u32> =
                    self.tasks.iter().filter(|(_, task)| task.background).map(|(id, _)| *id).collect();
                let target = words
                    .iter()
                    .filter_map(|word| word.strip_prefix('%')?.parse::<usize>().ok())
                    .find_map(|job| jobs.get(job.checked_sub(1)?).copied());
                match target {
                    Some(target) => self.end(target, 143, around),
                    None => {
                        return Some(self.refuse(id, "kill: %JOB is wanted, as `jobs` numbers them", around));
                    }
                }
            }
            _ => return None,
        }
        Some(Step::Advanced)
    }
}

/// Seconds with a fraction, or with a unit: `0.5`, `10`, `2m`.
fn parse_sleep(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()?),
        None => (text, 's'),
    };
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => 86_400,
    };
    if number == "infinity" {
        return Some(Duration::from_secs(100 * 365 * 86_400));
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = seconds.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)?;
    Some(Duration(micros.checked_mul(factor)?.min(100 * 365 * 86_400_000_000)))
}

/// The command lines that `xargs` makes of its input.
pub(super) fn xargs(
    arguments: &[String],
    each: Option<usize>,
    replace: Option<&str>,
    input: &str,
) -> Vec<Vec<String>> {
    if let Some(mark) = replace {
        let lines = input.lines().map(str::trim).filter(|line| !line.is_empty());
        return lines
            .map(|line| arguments.iter().map(|argument| argument.replace(mark, line)).collect())
            .collect();
    }
    let items: Vec<String> = input.split_whitespace().map(|item| item.replace(['"', '\''], "")).collect();
    if items.is_empty() {
        return vec![arguments.to_vec()];
    }
    items
        .chunks(each.unwrap_or(5000))
        .map(|chunk| arguments.iter().cloned().chain(chunk.iter().cloned()).collect())
        .collect()
}

/// Commands that end at once. `None`: there is no such command.
fn simple(task: &mut Task, name: &str, words: &[String], around: &mut Surroundings) -> Option<Outcome> {
    let mut out = Outcome::default();
    let rest = &words[1..];
    let folder = task.shell.folder.clone();
    match name {
        ":" | "true" | "set" | "shopt" | "trap" | "ulimit" | "umask" | "hash" | "complete" | "stty"
        | "bind" => {
            if name == "set" {
                set(task, rest, &mut out);
            }
        }
        "false" => out.status = 1,
        "clear" | "reset" => out.stdout.push_str("\u{1b}[H\u{1b}[2J"),
        "pwd" => out.stdout = folder + "\n",
        "cd" => {
            let target = match rest.first().map(String::as_str) {
                None | Some("~") => task.shell.variables.get("HOME").cloned().unwrap_or(HOME.into()),
                Some("-") => {
                    let old = task.shell.variables.get("OLDPWD").cloned().unwrap_or(folder.clone());
                    out.stdout = format!("{old}\n");
                    old
                }
                Some(path) => absolute(&folder, path),
            };
            match around.files.get(&target) {
                Some(Entry::Folder) => {
                    task.shell.variables.insert("OLDPWD".into(), folder);
                    task.shell.folder = target;
                }
                Some(Entry::File(_)) => out.fail(1, format!("bash: cd: {}: Not a directory", rest.join(" "))),
                None => out.fail(1, format!("bash: cd: {}: No such file or directory", rest.join(" "))),
            }
        }
        "echo" => {
            let flags = rest
                .iter()
                .take_while(|word| {
                    word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|c| "neE".contains(c))
                })
                .count();
            let flag = |flag| rest[..flags].iter().any(|word| word.contains(flag));
            let mut text = rest[flags..].join(" ");
            if flag('e') {
                text = super::tools::unescape(&text);
            }
            if !flag('n') {
                text.push('\n');
            }
            out.stdout = text;
        }
        "printf" => match rest.split_first() {
            Some((format, arguments)) => out.stdout = printf(format, arguments),
            None => out.fail(2, "bash: printf: usage: printf [-v var] format [arguments]"),
        },
        "export" | "declare" | "local" | "readonly" | "typeset" => {
            for word in rest.iter().filter(|word| !word.starts_with('-')) {
                if let Some((name, value)) = word.split_once('=') {
                    task.shell.variables.insert(name.to_string(), value.to_string());
                }
            }
            if rest.is_empty() {
                out.stdout = task
                    .shell
                    .variables
                    .iter()
                    .map(|(name, value)| format!("declare -x {name}=\"{value}\"\n"))
                    .collect();
            }
        }
        "env" | "printenv" => {
            out.stdout = match rest.first() {
                Some(name) => {
                    task.shell.variables.get(name).map(|value| format!("{value}\n")).unwrap_or_default()
                }
                None => {
                    task.shell.variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
                }
            };
        }
        "unset" => {
            for word in rest {
                task.shell.variables.remove(word);
                task.shell.functions.remove(word);
            }
        }
        "shift" => {
            let count = rest.first().and_then(|word| word.parse::<usize>().ok()).unwrap_or(1);
            if count < task.shell.parameters.len() {
                task.shell.parameters.drain(1..=count);
            } else {
                out.status = 1;
            }
        }
        "alias" => {
            for word in rest {
                match word.split_once('=') {
                    Some((name, value)) => {
                        task.shell.aliases.insert(name.to_string(), value.to_string());
                    }
                    None => match task.shell.aliases.get(word) {
                        Some(value) => out.stdout += &format!("alias {word}='{value}'\n"),
                        None => out.fail(1, format!("bash: alias: {word}: not found")),
                    },
                }
            }
            if rest.is_empty() {
                out.stdout = task
                    .shell
                    .aliases
                    .iter()
                    .map(|(name, value)| format!("alias {name}='{value}'\n"))
                    .collect();
            }
        }
        "unalias" => rest.iter().for_each(|word| {
            task.shell.aliases.remove(word);
        }),
        "let" => {
            let mut last = 0;
            for word in rest {
                match super::arithmetic::evaluate(word, &mut task.shell.variables) {
                    Ok(value) => last = value,
                    Err(error) => out.fail(1, format!("bash: let: {error}")),
                }
            }
            out.status = out.status.max(i32::from(last == 0));
        }
        "test" | "[" | "[[" => {
            let closing = match name {
                "[" => Some("]"),
                "[[" => Some("]]"),
                _ => None,
            };
            let mut arguments = rest;
            if let Some(closing) = closing {
                match rest.split_last() {
                    Some((last, others)) if last == closing => arguments = others,
                    _ => {
                        out.fail(2, format!("bash: {name}: missing `{closing}'"));
                        return Some(out);
                    }
                }
            }
            match super::test::evaluate(arguments, &folder, around.files, name == "[[") {
                Ok(value) => out.status = i32::from(!value),
                Err(error) => out.fail(2, format!("bash: {name}: {error}")),
            }
        }
        "type" | "which" | "command" => {
            for word in rest.iter().filter(|word| !word.starts_with('-')) {
                let is_program = around.programs.iter().any(|(program, _)| program == word)
                    || Filter::parse(std::slice::from_ref(word), &folder).is_some();
                if is_program {
                    let path = format!("/usr/bin/{word}");
                    out.stdout +=
                        &if name == "type" { format!("{word} is {path}\n") } else { format!("{path}\n") };
                } else {
                    out.status = 1;
                    if name == "type" {
                        out.stderr += &format!("bash: type: {word}: not found\n");
                    }
                }
            }
        }
        "history" => {
            for (index, line) in around.history.iter().enumerate() {
                out.stdout += &format!("{:>5}  {line}\n", index + 1);
            }
        }
        "help" => out.stdout = super::help_text(around.programs),
        "hostname" => out.stdout = "cp-1\n".into(),
        "whoami" => out.stdout = "student\n".into(),
        "id" => out.stdout = "uid=1000(student) gid=1000(student) groups=1000(student),27(sudo)\n".into(),
        "uname" => {
            let all = rest.iter().any(|word| word == "-a");
            out.stdout = if all { "Linux cp-1 6.12.0 #1 SMP x86_64 GNU/Linux\n" } else { "Linux\n" }.into();
        }
        "date" => out.stdout = super::date::date(around.now, rest),
        "seq" => seq(rest, &mut out),
        "basename" => {
            let path = rest.first().map_or("", String::as_str).trim_end_matches('/');
            let base = path.rsplit('/').next().unwrap_or("");
            let base = rest.get(1).and_then(|suffix| base.strip_suffix(suffix.as_str())).unwrap_or(base);
            out.stdout = format!("{base}\n");
        }
        "dirname" => {
            let path = rest.first().map_or("", String::as_str).trim_end_matches('/');
            let parent =
                path.rsplit_once('/').map_or(".", |(parent, _)| if parent.is_empty() { "/" } else { parent });
            out.stdout = format!("{parent}\n");
        }
        "ls" | "mkdir" | "rmdir" | "rm" | "cp" | "mv" | "touch" | "find" | "tree" | "chmod" | "chown"
        | "diff" | "cmp" => {
            super::file_commands::run(name, rest, &folder, around.files, around.now, &mut out);
        }
        _ => return None,
    }
    Some(out)
}

fn set(task: &mut Task, rest: &[String], out: &mut Outcome) {
    if rest.is_empty() {
        let variables: &SortedMap<String, String> = &task.shell.variables;
        out.stdout = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    }
    for (index, word) in rest.iter().enumerate() {
        if word == "--" {
            task.shell.parameters.truncate(1);
            task.shell.parameters.extend_from_slice(&rest[index + 1..]);
            return;
        }
        let on = word.starts_with('-');
        if !on && !word.starts_with('+') {
            continue;
        }
        for flag in word[1..].chars() {
            match flag {
                'e' => task.shell.exit_on_error = on,
                'x' => task.shell.trace = on,
                _ => {}
            }
        }
    }
}

fn seq(rest: &[String], out: &mut Outcome) {
    let numbers: Option<Vec<i64>> = rest.iter().map(|word| word.parse().ok()).collect();
    let (first, step, last) = match numbers.as_deref() {
        Some([last]) => (1, 1, *last),
        Some([first, last]) => (*first, 1, *last),
        Some([first, step, last]) if *step != 0 => (*first, *step, *last),
        _ => {
            out.fail(1, "seq: whole numbers are wanted");
            return;
        }
    };
    let mut value = first;
    let mut count = 0;
    while (step > 0 && value <= last) || (step < 0 && value >= last) {
        out.stdout += &format!("{value}\n");
        count += 1;
        match value.checked_add(step).filter(|_| count < 1_000_000) {
            Some(next) => value = next,
            None => break,
        }
    }
}

/// What file commands report, as the C library words it.
pub(super) fn explain(outcome: &mut Outcome, what: String, error: FileError) {
    outcome.fail(1, format!("{what}: {}", error.message()));
}
