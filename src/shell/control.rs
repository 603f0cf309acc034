//! Begins a command whose words are expanded, and the commands that change what happens next.
//!
//! Picture to hold in mind: a switchboard. A few plugs belong to the operator himself; for all others he knows in which
//! cabinet to look: the shell's own drawer, the tools that all systems share, the system at hand.

use std::sync::Arc;

use crate::api::Text;
use crate::arrange::Gather;

use super::builtins;
use super::files::{self, absolute};
use super::machine::{Machine, Step, Surroundings};
use super::program::Process;
use super::syntax::{Node, Piece, Simple};
use super::system::{Command, Outcome, Then};
use super::task::{Frame, Program, Shell, Task};
use super::tools::Filter;

/// Folders in which tools lie.
const TOOL_FOLDERS: [&str; 6] =
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// Commands before which an assignment stays: POSIX's special built-in utilities.
const SPECIAL: [&str; 14] = [
    ":", ".", "break", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift",
    "trap", "unset",
];

/// The name by which a tool is looked up: without its folder, where tools lie in that.
fn tool_name(word: &str) -> &str {
    match word.rsplit_once('/') {
        Some((folder, name)) if TOOL_FOLDERS.contains(&folder) => name,
        _ => word,
    }
}

impl Machine {
    /// Runs one command whose words are expanded.
    pub(super) fn run_command(
        &mut self,
        id: u32,
        assignments: Vec<(Text, Text)>,
        mut words: Vec<String>,
        around: &mut Surroundings,
    ) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if task.shell.trace {
            let line = format!("+ {}\n", words.join(" "));
            self.write(id, true, &line, around);
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        if let Some(alias) = words.first().and_then(|name| task.shell.aliases.get(name.as_str())) {
            let parts: Vec<String> = alias.split_whitespace().map(String::from).gather();
            words.splice(0..1, parts);
        }
        let Some(name) = words.first().cloned() else { return Step::Advanced };
        if Machine::depth_is_exceeded(task) {
            task.frames.clear();
            return self.refuse(id, &format!("{name}: maximum function nesting level exceeded"), around);
        }
        if !assignments.is_empty() {
            let value = |(name, _): &(Text, Text)| (name.clone(), task.shell.variables.get(name).cloned());
            let before = assignments.iter().map(value).collect();
            assignments.into_iter().for_each(|(name, value)| task.shell.set(&name, value));
            if !SPECIAL.contains(&name.as_str()) {
                task.frames.push(Frame::Variables(before));
            }
        }
        if let Some(body) = task.shell.functions.get(name.as_str()).cloned() {
            let words = words.into_iter().map(Text::from);
            let parameters = std::mem::replace(&mut task.shell.parameters, words.collect());
            task.depth += 1;
            task.frames.push(Frame::Return { parameters: Some(parameters), hidden: Vec::new() });
            task.frames.push(Frame::Run(body));
            return Step::Advanced;
        }
        self.dispatch(id, words, around)
    }

    /// Finds out whose command it is.
    fn dispatch(&mut self, id: u32, words: Vec<String>, around: &mut Surroundings) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let dialect = around.system.dialect();
        let name = tool_name(&words[0]).to_string();
        if words[0].contains('/') {
            let path = absolute(&task.shell.folder, &words[0]);
            if let Ok(script) = around.system.files().read(&path) {
                let parameters = words.into_iter().map(Text::from).collect();
                return self.run_shell(id, Frame::source(&script), parameters, "");
            }
        }
        if let Some(step) = self.control(id, &name, &words, around) {
            return step;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let mut out = Outcome::default();
        if builtins::run(task, &name, &words, around, &mut out) {
            return self.conclude(id, out, around);
        }
        let base = words[0].rsplit('/').next().unwrap_or("");
        if let Some((_, main)) = around.system.programs().iter().find(|(program, _)| *program == base) {
            let (folder, variables) = (task.shell.folder.clone(), task.shell.variables.clone());
            let process = Box::new(Process::new(*main, words, &folder, variables));
            task.frames.push(Frame::program(Program::Process { process, wakes: Vec::new(), is_ready: true }));
            return Step::Advanced;
        }
        if around.system.has_tool(&name) {
            match Filter::parse(&name, &words[1..], &task.shell.folder, dialect) {
                Some(Ok(filter)) => {
                    follow(task, &name, &words, around);
                    task.frames.push(Frame::program(Program::Filter {
                        name: name.into(),
                        filter: Box::new(filter),
                    }));
                    return Step::Advanced;
                }
                Some(Err((stderr, status))) => {
                    return self.conclude(id, Outcome { stderr, status, ..Outcome::default() }, around);
                }
                None => {}
            }
            if super::plain::run(task, &name, &words[1..], around, &mut out)
                || super::file_commands::run(&name, &words[1..], &task.shell.folder, around, &mut out)
            {
                return self.conclude(id, out, around);
            }
        }
        let Shell { variables, folder, .. } = &task.shell;
        let command = Command { now: around.now, words: &words, variables, folder };
        if !around.system.run(&command, &mut out) {
            let absent = dialect.not_found(&words[0]);
            let reason = (!dialect.is_busybox()).then(|| crate::fidelity::missing_command(&name)).flatten();
            match reason {
                Some(reason) => out.fail(127, format!("{name}: {reason}")),
                None => out.fail(127, format!("{}: {absent}", dialect.shell())),
            }
        }
        self.conclude(id, out, around)
    }

    /// Writes what a command has to say, and goes on as it wants.
    fn conclude(&mut self, id: u32, out: Outcome, around: &mut Surroundings) -> Step {
        self.write(id, true, &out.stderr, around);
        let is_read = self.write(id, false, &out.stdout, around);
        if !is_read
            && !out.stdout.is_empty()
            && self.tasks.get(&id).is_some_and(|task| !task.shell.is_interactive)
        {
            // SIGPIPE, which also ends a subshell that runs the command itself.
            self.end(id, 141, around);
            return Step::Ended;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match out.then {
            Then::Done => {
                task.shell.status = out.status;
                task.after_command();
            }
            Then::Sleep(duration) => {
                let until = around.now + duration;
                task.frames.push(Frame::program(Program::Sleep { until, status: out.status }));
            }
            Then::Serve(service) => task.frames.push(Frame::program(Program::Service(service))),
            Then::Run(words) => return self.dispatch(id, words, around),
        }
        Step::Advanced
    }

    /// Another shell: in the place of this one if that has nothing left to do, and on the side otherwise.
    fn run_shell(&mut self, id: u32, source: Frame, parameters: Vec<Text>, flags: &str) -> Step {
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        let shell = Shell {
            functions: Default::default(),
            aliases: Default::default(),
            parameters,
            status: 0,
            exit_on_error: flags.contains('e'),
            trace: flags.contains('x'),
            ..task.shell.below()
        };
        if task.frames.is_empty() && task.shell.traps.is_empty() && !task.shell.is_interactive {
            task.shell = shell;
            task.frames.push(source);
            return Step::Advanced;
        }
        let child = Task { shell, depth: task.depth + 1, ..task.below(vec![source]) };
        let child = self.add_task(child);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.frames.push(Frame::join(vec![child], false));
        }
        Step::Advanced
    }

    /// Commands that change what happens next.
    fn control(&mut self, id: u32, name: &str, words: &[String], around: &mut Surroundings) -> Option<Step> {
        const TOOLS: [&str; 6] = ["env", "nohup", "sleep", "sudo", "timeout", "xargs"];
        if TOOLS.contains(&name) && !around.system.has_tool(name) {
            return None;
        }
        let task = self.tasks.get_mut(&id)?;
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<i64>().ok());
        match name {
            "exit" => {
                let status = number(1).map_or(task.shell.status, |status| (status & 255) as i32);
                task.frames.clear();
                task.shell.status = status;
                if let Some(script) = task.shell.traps.remove("EXIT") {
                    task.frames.push(Frame::Trapped { status });
                    task.frames.push(Frame::source(&script));
                }
                self.leaves(id);
            }
            "return" => {
                task.shell.status = number(1).map_or(task.shell.status, |status| (status & 255) as i32);
                // Everything up to the function's end is dropped, but what was changed for a while is put back.
                while let Some(frame) = task.frames.pop() {
                    let is_end = matches!(frame, Frame::Return { .. });
                    task.undo(frame);
                    if is_end {
                        break;
                    }
                }
            }
            "break" | "continue" => task.jump(name == "continue", number(1).unwrap_or(1).max(1)),
            "eval" => {
                task.depth += 1;
                task.frames.push(Frame::Return { parameters: None, hidden: Vec::new() });
                task.frames.push(Frame::source(&words[1..].join(" ")));
            }
            "source" | "." => return Some(self.source(id, words, around)),
            "sh" | "bash" | "ash" | "dash" => return Some(self.shell_command(id, name, words, around)),
            "exec" => {
                let is_interactive = task.shell.is_interactive;
                if words.len() == 1 {
                    // Its redirections stay.
                    if matches!(task.frames.last(), Some(Frame::Restore(_))) {
                        task.frames.pop();
                    }
                    task.shell.status = 0;
                } else {
                    if !is_interactive {
                        // Nothing of the script is left after it.
                        task.frames.clear();
                        task.shell.traps.retain(|_, script| script.is_empty());
                    }
                    self.leaves(id);
                    return Some(self.dispatch(id, words[1..].to_vec(), around));
                }
            }
            "command" | "builtin" | "sudo" | "time" | "nohup" | "env" if words.len() > 1 => {
                return self.prefix(id, name, words, around);
            }
            "sleep" | "timeout" | "wait" | "jobs" | "kill" => {
                return self.time_and_jobs(id, name, words, around);
            }
            "read" => task.read_command(words),
            "xargs" => {
                let program = xargs_program(words);
                task.frames.push(Frame::program(program));
            }
            _ => return None,
        }
        Some(Step::Advanced)
    }

    fn source(&mut self, id: u32, words: &[String], around: &mut Surroundings) -> Step {
        let Some(file) = words.get(1) else {
            return self.refuse(id, &format!("{}: filename argument required", words[0]), around);
        };
        let Some(task) = self.tasks.get_mut(&id) else { return Step::Ended };
        match files::read(around.system.files(), &absolute(&task.shell.folder, file)) {
            Ok(text) => {
                task.depth += 1;
                task.frames.push(Frame::Return { parameters: None, hidden: Vec::new() });
                task.frames.push(Frame::source(&text));
                Step::Advanced
            }
            Err(error) => {
                let step = match around.system.dialect().is_busybox() {
                    true => self.refuse(id, &format!(".: can't open '{file}': {}", error.message()), around),
                    false => self.refuse(id, &format!("{file}: {}", error.message()), around),
                };
                if let Some(task) = self.tasks.get_mut(&id).filter(|_| around.system.dialect().is_busybox()) {
                    task.shell.status = 2;
                }
                step
            }
        }
    }

    /// `sh -c SCRIPT`, `sh FILE`, and `sh` that reads its script.
    fn shell_command(&mut self, id: u32, name: &str, words: &[String], around: &mut Surroundings) -> Step {
        let options =
            words[1..].iter().take_while(|word| word.len() > 1 && word.starts_with(['-', '+'])).count();
        let flags: String = words[1..=options]
            .iter()
            .filter_map(|w| w.strip_prefix('-'))
            .filter(|w| !w.starts_with('-'))
            .collect();
        let mut rest = words[1 + options..].iter().map(|word| Text::from(word.as_str()));
        let Some(first) = rest.next() else {
            let source = Frame::program(Program::Script { text: String::new() });
            return self.run_shell(id, source, vec![name.into()], &flags);
        };
        if flags.contains('c') {
            let mut parameters: Vec<Text> = rest.collect();
            if parameters.is_empty() {
                parameters.push(name.into());
            }
            return self.run_shell(id, Frame::source(&first), parameters, &flags);
        }
        let folder = self.tasks.get(&id).map(|task| task.shell.folder.clone()).unwrap_or_default();
        match files::read(around.system.files(), &absolute(&folder, &first)) {
            Ok(script) => {
                let parameters = [first].into_iter().chain(rest).collect();
                self.run_shell(id, Frame::source(&script), parameters, &flags)
            }
            Err(error) => {
                let dialect = around.system.dialect();
                let mut out =
                    Outcome { status: if dialect.is_busybox() { 2 } else { 127 }, ..Outcome::default() };
                out.stderr = dialect.cannot_read(name, &first, error);
                self.conclude(id, out, around)
            }
        }
    }

    /// Commands before a command: `env A=b`, `nohup`, `command`.
    fn prefix(&mut self, id: u32, name: &str, words: &[String], around: &mut Surroundings) -> Option<Step> {
        let skip = words[1..].iter().take_while(|word| word.starts_with('-')).count();
        if name == "command" && skip > 0 {
            return None;
        }
        let mut rest = &words[1 + skip..];
        let mut assignments = Vec::new();
        while let Some((key, value)) =
            rest.first().and_then(|word| word.split_once('=')).filter(|_| matches!(name, "env" | "sudo"))
        {
            assignments.push((key.into(), value.into()));
            rest = &rest[1..];
        }
        let rest = match (rest.is_empty(), name) {
            (true, "env") => vec!["printenv".to_string()],
            (true, _) => return None,
            (false, _) => rest.to_vec(),
        };
        if assignments.is_empty() {
            return Some(self.dispatch(id, rest, around));
        }
        let task = self.tasks.get_mut(&id)?;
        let value = |(name, _): &(Text, Text)| (name.clone(), task.shell.variables.get(name).cloned());
        let before = assignments.iter().map(value).collect();
        task.frames.push(Frame::Variables(before));
        assignments.into_iter().for_each(|(name, value)| task.shell.set(&name, value));
        Some(self.dispatch(id, rest, around))
    }
}

impl Task {
    /// `break` and `continue`.
    fn jump(&mut self, is_continue: bool, mut levels: i64) {
        while let Some(frame) = self.frames.pop() {
            match frame {
                Frame::Loop { .. } | Frame::For { .. } => {
                    levels -= 1;
                    if levels > 0 {
                        continue;
                    }
                    if is_continue {
                        self.frames.push(match frame {
                            Frame::Loop { node, .. } => Frame::Loop { node, testing: false, status: 0 },
                            other => other,
                        });
                    }
                    break;
                }
                Frame::Return { parameters: Some(_), .. } | Frame::Source { .. } | Frame::Trapped { .. } => {
                    self.frames.push(frame);
                    break;
                }
                other => self.undo(other),
            }
        }
        self.shell.status = 0;
    }
    fn read_command(&mut self, words: &[String]) {
        let (mut names, mut raw, mut index) = (Vec::new(), false, 1);
        while let Some(word) = words.get(index) {
            index += 1;
            match word.strip_prefix('-') {
                Some(flags) => {
                    raw |= flags.contains('r');
                    // A prompt, a limit of time or of letters.
                    index += usize::from(matches!(flags, "p" | "t" | "n" | "d" | "rp"));
                }
                None => names.push(Text::from(word.as_str())),
            }
        }
        if names.is_empty() {
            names.push("REPLY".into());
        }
        self.frames.push(Frame::program(Program::Read { names, raw }));
    }
}

/// `tail -f` goes on behind the end of the file.
fn follow(task: &mut Task, name: &str, words: &[String], around: &Surroundings) {
    let follows =
        |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains(['f', 'F']);
    if name != "tail" || !words.iter().any(|word| follows(word) || word.starts_with("--follow")) {
        return;
    }
    let mut operands = words[1..].iter();
    let mut file = None;
    while let Some(word) = operands.next() {
        match word.as_str() {
            "-n" | "-c" => drop(operands.next()),
            word if word.starts_with('-') => {}
            word => file = Some(word),
        }
    }
    let Some(file) = file else { return };
    let path = absolute(&task.shell.folder, file);
    let content = files::read(around.system.files(), &path);
    let is_retried = words.iter().any(|word| word.starts_with('-') && word.contains('F'));
    if content.is_err() && !is_retried {
        return;
    }
    let until = (path != files::NULL_DEVICE).then_some(around.now);
    let seen = content.map_or(0, |content| content.len());
    task.frames.push(Frame::program(Program::Follow { path: path.into(), seen, until }));
}

fn xargs_program(words: &[String]) -> Program {
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
    Program::Xargs { arguments, each, replace, input: String::new() }
}

/// A command of which all words are known.
pub(super) fn plain_node(words: &[String]) -> Arc<Node> {
    let words = words.iter().map(|word| vec![Piece::Quoted(word.clone())]).collect();
    Arc::new(Node::Simple(Simple { words, ..Simple::default() }))
}
