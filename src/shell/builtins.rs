//! The commands that the shell itself knows and that end at once.
//!
//! Picture to hold in mind: the drawer under the counter. What lies in it needs no walk to the store-room.

use crate::api::Text;

use super::files::{FileError, absolute};
use super::jobs::signal_name;
use super::machine::Surroundings;
use super::system::{Dialect, Outcome};
use super::task::{Frame, Shell, Task};
use super::tools::{printf, unescape};

/// Runs a command; false: it is none of these.
pub(super) fn run(
    task: &mut Task,
    name: &str,
    words: &[String],
    around: &mut Surroundings,
    out: &mut Outcome,
) -> bool {
    let rest = &words[1..];
    let dialect = around.system.dialect();
    let said = dialect.shell();
    match name {
        ":" | "true" | "shopt" | "ulimit" | "umask" | "hash" | "complete" | "stty" | "bind" => {}
        "false" => out.status = 1,
        "set" => set(task, rest, out),
        "trap" => trap(&mut task.shell, rest, out),
        "pwd" => out.line(&task.shell.folder),
        "cd" => change_folder(&mut task.shell, rest, around, out),
        "echo" => echo(rest, out),
        "printf" => match rest.split_first() {
            Some((format, arguments)) => out.stdout = printf(format, arguments),
            None => out.fail(2, format!("{said}: printf: usage: printf [-v var] format [arguments]")),
        },
        "local" => local(task, rest),
        "export" | "declare" | "readonly" | "typeset" => {
            for word in rest.iter().filter(|word| !word.starts_with('-')) {
                if let Some((name, value)) = word.split_once('=') {
                    task.shell.set(name, value);
                }
            }
            if rest.is_empty() {
                for (name, value) in task.shell.variables.iter() {
                    match dialect {
                        Dialect::Bash => out.line(format!("declare -x {name}=\"{value}\"")),
                        Dialect::BusyBox => out.line(format!("export {name}='{value}'")),
                    }
                }
            }
        }
        "unset" => {
            for word in rest.iter().filter(|word| !word.starts_with('-')) {
                task.shell.unset(word);
                task.shell.functions.remove(word.as_str());
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
        "alias" => alias(&mut task.shell, rest, said, out),
        "unalias" => rest.iter().for_each(|word| drop(task.shell.aliases.remove(word.as_str()))),
        "let" => {
            let mut last = 0;
            for word in rest {
                match super::arithmetic::evaluate(word, &mut task.shell.variables) {
                    Ok(value) => last = value,
                    Err(error) => out.fail(1, format!("{said}: let: {error}")),
                }
            }
            out.status = out.status.max(i32::from(last == 0));
        }
        "test" | "[" | "[[" => test(task, name, rest, around, out),
        "type" | "which" | "command" => find(task, name, rest, around, out),
        _ => return false,
    }
    true
}

fn set(task: &mut Task, rest: &[String], out: &mut Outcome) {
    if rest.is_empty() {
        task.shell.variables.iter().for_each(|(name, value)| out.line(format!("{name}={value}")));
    }
    for (index, word) in rest.iter().enumerate() {
        let on = word.starts_with('-');
        if word == "--" || !(on || word.starts_with('+')) {
            let from = index + usize::from(word == "--");
            // `set -o pipefail`: the name of an option is no parameter.
            if index > 0 && matches!(rest[index - 1].as_str(), "-o" | "+o") {
                continue;
            }
            task.shell.parameters.truncate(1);
            task.shell.parameters.extend(rest[from..].iter().map(Text::from));
            return;
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

/// `trap SCRIPT SIGNAL...`, `trap - SIGNAL...`, `trap`.
fn trap(shell: &mut Shell, rest: &[String], out: &mut Outcome) {
    let [script, signals @ ..] = rest else {
        for (signal, script) in shell.traps.iter() {
            out.line(format!("trap -- '{}' {signal}", script.replace('\'', "'\\''")));
        }
        return;
    };
    // Without a script, the signals are put back.
    let (script, signals) = if signals.is_empty() { ("-", rest) } else { (script.as_str(), signals) };
    for signal in signals {
        let signal = signal_name(signal);
        match script {
            "-" => drop(shell.traps.remove(&signal)),
            script => drop(shell.traps.insert(signal, script.into())),
        }
    }
}

fn change_folder(shell: &mut Shell, rest: &[String], around: &Surroundings, out: &mut Outcome) {
    let value = |name: &str| shell.variables.get(name).cloned();
    let target = match rest.first().map(String::as_str) {
        None | Some("~") => value("HOME").unwrap_or("/root".into()),
        Some("-") => {
            let old = value("OLDPWD").unwrap_or(shell.folder.clone());
            out.line(&old);
            old
        }
        Some(path) => absolute(&shell.folder, path).into(),
    };
    let files = around.system.files();
    if files.is_folder(&target) {
        let old = std::mem::replace(&mut shell.folder, target);
        shell.set("OLDPWD", old);
        return;
    }
    let error = if files.exists(&target) { FileError::NotFolder } else { FileError::NotFound };
    let dialect = around.system.dialect();
    out.fail(1, format!("{}: {}", dialect.shell(), dialect.cannot_enter(&rest.join(" "), error)));
}

fn echo(rest: &[String], out: &mut Outcome) {
    let is_flag = |word: &&String| {
        word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|c| "neE".contains(c))
    };
    let flags = rest.iter().take_while(is_flag).count();
    let has = |flag| rest[..flags].iter().any(|word| word.contains(flag));
    let mut text = rest[flags..].join(" ");
    if has('e') {
        text = unescape(&text);
    }
    if !has('n') {
        text.push('\n');
    }
    out.stdout = text;
}

/// Variables that are forgotten at the end of the function.
fn local(task: &mut Task, rest: &[String]) {
    for word in rest.iter().filter(|word| !word.starts_with('-')) {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let before = task.shell.variables.get(name).cloned();
        let function = task.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::Return { parameters: Some(_), hidden } => Some(hidden),
            _ => None,
        });
        if let Some(hidden) = function {
            hidden.push((name.into(), before));
        }
        if let Some(value) = value {
            task.shell.set(name, value);
        }
    }
}

fn alias(shell: &mut Shell, rest: &[String], said: &str, out: &mut Outcome) {
    for word in rest {
        match word.split_once('=') {
            Some((name, value)) => drop(shell.aliases.insert(name.into(), value.into())),
            None => match shell.aliases.get(word.as_str()) {
                Some(value) => out.line(format!("alias {word}='{value}'")),
                None => out.fail(1, format!("{said}: alias: {word}: not found")),
            },
        }
    }
    if rest.is_empty() {
        shell.aliases.iter().for_each(|(name, value)| out.line(format!("alias {name}='{value}'")));
    }
}

fn test(task: &Task, name: &str, rest: &[String], around: &Surroundings, out: &mut Outcome) {
    let dialect = around.system.dialect();
    let closing = match name {
        "[" => Some("]"),
        "[[" => Some("]]"),
        _ => None,
    };
    let mut arguments = rest;
    if let Some(closing) = closing {
        match rest.split_last() {
            Some((last, others)) if last == closing => arguments = others,
            _ if dialect.is_busybox() => return out.fail(2, format!("sh: missing {closing}")),
            _ => return out.fail(2, format!("bash: {name}: missing `{closing}'")),
        }
    }
    match super::test::evaluate(arguments, &task.shell.folder, around.system.files(), name == "[[") {
        Ok(value) => out.status = i32::from(!value),
        Err(error) if dialect.is_busybox() => out.fail(2, format!("sh: {}", error.in_busybox())),
        Err(error) => out.fail(2, format!("bash: {name}: {}", error.in_bash())),
    }
}

/// `type`, `which` and `command -v`: what a name stands for.
fn find(task: &Task, command: &str, rest: &[String], around: &Surroundings, out: &mut Outcome) {
    let dialect = around.system.dialect();
    for word in rest.iter().filter(|word| !word.starts_with('-')) {
        let is_function = task.shell.functions.contains_key(word.as_str());
        let is_own = is_function || super::is_built_in(word);
        let is_tool = around.system.has_tool(word)
            || around.system.programs().iter().any(|(program, _)| program == word);
        let path = format!("{}/{word}", dialect.tool_folder());
        match command {
            "type" if is_function => out.line(format!("{word} is a function")),
            "type" if is_own => out.line(format!("{word} is a shell builtin")),
            "type" if is_tool => out.line(format!("{word} is {path}")),
            "command" if is_own => out.line(word),
            "which" | "command" if is_tool => out.line(path),
            "type" => out.fail(1, format!("{}: type: {word}: not found", dialect.shell())),
            "command" if dialect.is_busybox() => out.status = 127,
            _ => out.status = 1,
        }
    }
}
