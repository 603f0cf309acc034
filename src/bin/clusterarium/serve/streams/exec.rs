//! A command in a container, or what a container says, over numbered channels.
//!
//! Picture to hold in mind: an interpreter at the telephone. The visitor speaks in fragments; the interpreter takes down
//! a whole question, walks over to the container, and brings back the whole answer.
//!
//! A shell keeps what was set between two lines, so each line is a question of its own. The answer to any question comes
//! in pieces, and with the request for the next piece goes what the command is to read meanwhile. Follows
//! `k8s.io/cri-streaming/pkg/streaming/remotecommand`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clusterarium::api::Value;
use clusterarium::message::http::{Answer, Part};

use super::typing::{Carriage, Typed};
use super::{Call, FromClient, Line, accepted, internal_error};
use crate::serve::desk::{Desk, Waiting};
use crate::serve::order::InOrder;

/// How the kubelet begins when the engine could not run a command.
const NOT_EXECUTED: &str = "Internal error occurred: error executing command in container";

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const ERROR: u32 = 3;

/// What comes without the end of a line is passed on when it is longer than this.
const LINE_BYTES: usize = 1 << 20;

/// A command that is to be run.
pub struct Exec {
    desk: Arc<Desk>,
    call: Call,
    has_status: bool,
    /// `/exec`, or `/attach`: the first process of the container is spoken to.
    subresource: &'static str,
    /// The first piece of its output; a shell has not been told anything yet.
    first: Option<Answer>,
}

/// How a command ended: its exit code, or why there is none.
type End = Result<i64, String>;

impl Exec {
    /// Begins the command, or where it is a shell looks whether there is such a pod.
    ///
    /// # Errors
    /// The answer that refuses the request.
    pub async fn open(desk: Arc<Desk>, call: Call, has_status: bool) -> Result<Exec, Answer> {
        let mut exec = Exec { desk, call, has_status, subresource: "/exec", first: None };
        if exec.reads_lines() {
            accepted(exec.desk.ask(exec.call.letter("GET", "", &[], String::new())).await)?;
        } else {
            let open = if exec.call.is_set("stdin") { "true" } else { "false" };
            let first = exec.ask(&[("stdinOpen", open)], String::new()).await;
            // The line was up by the time the kubelet found that there is no such program.
            let is_told_on_it = first.body.text("message").starts_with(NOT_EXECUTED);
            exec.first = Some(if is_told_on_it { first } else { accepted(first)? });
        }
        Ok(exec)
    }

    fn is_attached(&self) -> bool {
        self.subresource == "/attach"
    }
    /// Whether the command is a shell that reads what it is to do.
    fn reads_lines(&self) -> bool {
        if self.is_attached() {
            return true;
        }
        let mut words = self.call.all("command");
        let name = words.next().unwrap_or("").rsplit('/').next().unwrap_or("");
        self.call.is_set("stdin")
            && matches!(name, "sh" | "bash" | "ash")
            && words.all(|word| matches!(word, "-i" | "-l" | "--login"))
    }

    async fn ask(&self, more: &[(&str, &str)], input: String) -> Answer {
        let mut parameters: Vec<(&str, &str)> = more.to_vec();
        for name in ["container", "command", "tty"] {
            parameters.extend(self.call.all(name).map(|value| (name, value)));
        }
        self.desk.ask(self.call.letter("POST", self.subresource, &parameters, input)).await
    }

    pub async fn talk(mut self, mut line: Line) {
        // Tells the client that the line is up.
        line.send(if self.call.is_set("stdout") { STDOUT } else { ERROR }, []).await;
        let mut reader = Reader::default();
        let end = match self.first.take() {
            Some(first) => self.hear_out(first, &mut reader, &mut line).await.map(|(end, _)| end),
            None => self.shell(&mut reader, &mut line).await,
        };
        // A client that has gone is told nothing.
        if let Some(end) = end {
            self.end(&line, end).await;
        }
    }

    /// Line by line, until the shell is left; its last exit code. `None`: the client has gone.
    async fn shell(&self, reader: &mut Reader, line: &mut Line) -> Option<End> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let shell = format!("serve-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        reader.carriage = self.call.is_set("tty").then(Carriage::default);
        let (mut last, mut has_prompt) = (Ok(0), false);
        loop {
            if !has_prompt && reader.carriage.is_some() && reader.typed.is_empty() {
                line.send(STDOUT, "# ").await;
                has_prompt = true;
            }
            match reader.next(line).await {
                Some(Typed::Echo(text)) => drop(line.send(STDOUT, text).await),
                Some(Typed::Interrupt) => has_prompt = false,
                Some(Typed::Line(text)) => {
                    has_prompt = false;
                    // An empty line would only ask whether anybody listens.
                    let text = if text.is_empty() && self.is_attached() { " ".into() } else { text };
                    let parameters =
                        [("shell", shell.as_str()), ("line", text.as_str()), ("stdinOpen", "true")];
                    let first = self.ask(&parameters, String::new()).await;
                    let (end, leaves) = self.hear_out(first, reader, line).await?;
                    last = end;
                    if leaves {
                        return Some(last);
                    }
                }
                over if self.is_attached() => {
                    over.as_ref()?;
                    // What the process says when nobody speaks to it any more.
                    let last = self.ask(&[("input", "")], String::new()).await;
                    return self.hear_out(last, reader, line).await.map(|(end, _)| end);
                }
                over => {
                    // Nobody will speak to it again.
                    let _ = self.ask(&[("shell", &shell), ("line", "exit")], String::new()).await;
                    return over.map(|_| last);
                }
            }
        }
    }

    /// Passes the pieces of a command's output on, and to it what the client sends. How it ended, and whether a shell was
    /// left with it; `None`: the client has gone.
    async fn hear_out(&self, first: Answer, reader: &mut Reader, line: &mut Line) -> Option<(End, bool)> {
        let mut answer = first;
        let mut is_over = !self.call.is_set("stdin");
        // What the command is given must come in order: one thing at a time.
        let mut feeding: Option<(Waiting, String)> = None;
        loop {
            if answer.code >= 300 {
                return Some((end_of(&answer), true));
            }
            self.say(line, &answer.body).await;
            let Some(stream) = answer.body.integer("stream") else {
                // What it did not read is for the shell that goes on.
                reader.typed.extend(is_over.then_some(Typed::End).filter(|_| self.reads_lines()));
                reader.unread(&fed(&mut feeding).await);
                reader.unread(answer.body.text("unread"));
                return Some((end_of(&answer), answer.body.is_true("leaves")));
            };
            let stream = stream.to_string();
            let mut next = self.hand_in(&[("stream", &stream)], String::new())?;
            answer = loop {
                let is_feeding = feeding.is_some();
                let typed = tokio::select! {
                    answer = next.answer() => break answer,
                    rest = fed(&mut feeding), if is_feeding => {
                        reader.unread(&rest);
                        continue;
                    }
                    typed = reader.next(line), if !is_over && !is_feeding => typed?,
                };
                let (mut input, mut more) =
                    (String::new(), vec![("stream", stream.as_str()), ("feed", "true")]);
                match typed {
                    Typed::Echo(text) => {
                        line.send(STDOUT, text).await;
                        continue;
                    }
                    Typed::Line(text) => input = text + "\n",
                    Typed::Interrupt => more.push(("interrupt", "true")),
                    Typed::End => is_over = true,
                }
                more.push(("stdinOpen", if is_over { "false" } else { "true" }));
                feeding = Some((self.hand_in(&more, input.clone())?, input));
            };
        }
    }

    /// Asks about a command that goes on; `None`: the simulation has stopped.
    fn hand_in(&self, more: &[(&str, &str)], input: String) -> Option<Waiting> {
        let mut parameters = more.to_vec();
        parameters.extend(self.call.all("container").map(|container| ("container", container)));
        self.desk.hand_in(self.call.letter("POST", self.subresource, &parameters, input)).ok()
    }

    /// Passes on what a command has written.
    async fn say(&self, line: &Line, body: &Value) {
        let is_terminal = self.call.is_set("tty");
        for (field, wanted, channel) in [("stdout", "stdout", STDOUT), ("stderr", "stderr", STDERR)] {
            let text = body.text(field);
            // A terminal has one screen.
            let (wanted, channel) = if is_terminal { ("stdout", STDOUT) } else { (wanted, channel) };
            if text.is_empty() || !self.call.is_set(wanted) {
                continue;
            }
            let text = if is_terminal { text.replace('\n', "\r\n") } else { text.to_owned() };
            line.send(channel, text).await;
        }
    }

    /// Says how it ended, and that nothing more will come.
    async fn end(&self, line: &Line, end: End) {
        let words: Vec<&str> = self.call.all("command").collect();
        let status = status(end, &words);
        let text = match (self.has_status, status.text("message")) {
            (true, _) => written(&status),
            (false, message) => message.to_owned(),
        };
        if !text.is_empty() {
            line.send(ERROR, text).await;
        }
    }
}

/// What the client sends, taken apart.
#[derive(Default)]
struct Reader {
    /// Where it has a terminal: what it sends are keys.
    carriage: Option<Carriage>,
    /// The beginning of a line.
    rest: Vec<u8>,
    typed: VecDeque<Typed>,
}

impl Reader {
    /// Puts back what nobody wanted, in front of what comes.
    fn unread(&mut self, text: &str) {
        for line in text.lines().rev() {
            self.typed.push_front(Typed::Line(line.into()));
        }
    }
    /// `None`: the client has gone. Whatever has come is kept when this is dropped half-way.
    async fn next(&mut self, line: &mut Line) -> Option<Typed> {
        loop {
            if let Some(typed) = self.typed.pop_front() {
                return Some(typed);
            }
            match line.input.recv().await? {
                FromClient::Data { channel: STDIN, bytes } => match &mut self.carriage {
                    Some(carriage) => self.typed.extend(carriage.type_in(&bytes)),
                    None => {
                        self.rest.extend(bytes);
                        // Without an end a line becomes two, before it can fill the memory.
                        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
                        let end = end.or((self.rest.len() > LINE_BYTES).then_some(self.rest.len()));
                        let lines: Vec<u8> = self.rest.drain(..end.unwrap_or(0)).collect();
                        let lines = String::from_utf8_lossy(&lines);
                        self.typed.extend(lines.lines().map(|line| Typed::Line(line.into())));
                    }
                },
                FromClient::End { channel: STDIN } => {
                    let rest = std::mem::take(&mut self.rest);
                    if !rest.is_empty() {
                        self.typed.push_back(Typed::Line(String::from_utf8_lossy(&rest).into_owned()));
                    }
                    self.typed.push_back(Typed::End);
                }
                // Sizes of windows, and channels that nobody asked for.
                _ => {}
            }
        }
    }
}

/// Waits until the command has been given what is under way to it; gives back what came too late.
async fn fed(feeding: &mut Option<(Waiting, String)>) -> String {
    let Some((waiting, _)) = feeding else { return String::new() };
    let is_late = waiting.answer().await.body.has("exitCode");
    feeding.take().filter(|_| is_late).map_or(String::new(), |(_, input)| input)
}

/// The exit code, or why there is none.
fn end_of(answer: &Answer) -> End {
    if answer.code < 300 {
        return Ok(answer.body.integer("exitCode").unwrap_or(0));
    }
    let message = answer.body.text("message");
    Err(message.strip_prefix("Internal error occurred: ").unwrap_or(message).to_owned())
}

/// The `Status` at the end of a command.
fn status(end: End, words: &[&str]) -> Value {
    match end {
        Ok(0) => clusterarium::object! { "metadata" => Value::object(), "status" => "Success" },
        Ok(code) => {
            let words = words.join(" ");
            let message = format!(
                "command terminated with non-zero exit code: error executing command [{words}], exit code {code}"
            );
            let cause = clusterarium::object! { "reason" => "ExitCode", "message" => code.to_string() };
            clusterarium::object! {
                "metadata" => Value::object(),
                "status" => "Failure",
                "message" => message,
                "reason" => "NonZeroExitCode",
                "details" => clusterarium::object! { "causes" => Value::array([cause]) },
            }
        }
        Err(why) => internal_error(&why).to_value(),
    }
}

fn written(status: &Value) -> String {
    serde_json::to_string(&InOrder::of_status(status)).unwrap_or_default()
}

type Talk = Box<dyn FnOnce(Line) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a container says from now on, until it ends; where it waits for somebody to speak, it hears what the client
/// sends.
///
/// # Errors
/// The answer that refuses the request.
pub async fn attach(desk: Arc<Desk>, call: Call, has_status: bool) -> Result<Talk, Answer> {
    if call.is_set("stdin") {
        let exec =
            Exec { desk: desk.clone(), call: call.clone(), has_status, subresource: "/attach", first: None };
        let probe = accepted(exec.ask(&[("line", "")], String::new()).await)?;
        if !probe.body.is_true("leaves") {
            return Ok(Box::new(move |line| Box::pin(exec.talk(line))));
        }
    }
    let container = call.all("container").next().unwrap_or("").to_owned();
    let mut parameters = vec![("follow", "true"), ("tailLines", "0")];
    if !container.is_empty() {
        parameters.push(("container", &container));
    }
    let mut log = desk
        .hand_in(call.letter("GET", "/log", &parameters, String::new()))
        .map_err(|status| crate::serve::desk::refusal(&status))?;
    match log.next().await {
        Some(Part::Opening(_)) => {}
        Some(Part::Whole(answer)) => drop(accepted(answer)?),
        _ => {
            let status = internal_error("the log of the container broke off");
            return Err(crate::serve::desk::refusal(&status));
        }
    }
    Ok(Box::new(move |line| Box::pin(pass_on(log, call, has_status, line))))
}

async fn pass_on(mut log: Waiting, call: Call, has_status: bool, mut line: Line) {
    line.send(STDOUT, []).await;
    loop {
        tokio::select! {
            part = log.next() => match part {
                Some(Part::Piece(Value::String(text))) => {
                    let text = if call.is_set("tty") { text.replace('\n', "\r\n") } else { text.to_string() };
                    if !line.send(STDOUT, text).await {
                        return;
                    }
                }
                Some(_) if !log.is_over() => {}
                _ => break,
            },
            heard = line.input.recv() => if heard.is_none() {
                return;
            },
        }
    }
    if has_status {
        line.send(ERROR, written(&status(Ok(0), &[]))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended_is_told_as_upstream_does() {
        for (code, expected) in [
            (Ok(0), r#"{"metadata":{},"status":"Success"}"#),
            (
                Ok(3),
                r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#,
            ),
        ] {
            assert_eq!(written(&status(code, &["sh", "-c", "exit 3"])), expected);
        }
        let broken = status(Err("error executing command in container: gone".into()), &[]);
        assert_eq!(
            broken.text("message"),
            "Internal error occurred: error executing command in container: gone"
        );
    }
}
