//! How a program such as kubectl runs in the terminal: as straight-line code that can stop at any question.
//!
//! Picture to hold in mind: an actor who starts the scene from its first line each time a letter arrives, and
//! finds in a prompt book what was answered before ([`crate::client::journal`] has the same picture). Two
//! things are added for programs that run long: an act that is over is torn out of the book and only its
//! outcome kept ([`Cli::fold`]), so that a thousand documents cost a thousand short acts; and what was said
//! aloud is not said again, because the house counts the words.
//!
//! A program is a plain function over [`Cli`]. It must reach the same questions in the same order each time,
//! so it reads the outside only through `Cli`.

mod acts;
mod etcd;
mod node;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::Text;
use crate::client::{Answer, Listener};
use crate::message::rest::{CloseReason, Request};
use crate::sim::{Duration, Random, Time};
use crate::sorted::{SortedMap, SortedSet};

use super::files::{FileError, FileSystem, Files, HOME, absolute};
use etcd::EtcdStream;
pub use etcd::{EtcdCall, EtcdReply, Will};
pub use node::{NO_ANSWER, NodeCall, NodeReply, UNKNOWN_NODE};

/// A program: returns `Ok` for exit code 0.
pub type Main = fn(&mut Cli) -> Run<()>;

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// For an answer, an alarm or input: it will be run again.
    Waiting,
    /// For good, with this exit code.
    Exit(i32),
}

pub type Run<T> = Result<T, Halt>;

/// What a program has found out.
pub type Remembered = Arc<dyn Any + Send + Sync>;

/// A program while it runs.
#[derive(Clone)]
pub struct Process {
    main: Main,
    arguments: Arc<Vec<String>>,
    folder: Arc<str>,
    variables: Arc<SortedMap<Text, Text>>,
    journal: Journal,
    /// Bytes that were said so far, on both outputs together.
    said: usize,
    next_ticket: u64,
    streams: SortedMap<u64, Stream>,
    watches: SortedMap<u64, EtcdStream>,
    marks: SortedSet<String>,
    /// What it still does when it is told to stop.
    pub(super) will: Option<Will>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "Process({})", self.arguments.join(" "))
    }
}

#[derive(Clone, Default)]
struct Journal {
    entries: Vec<Entry>,
}

#[derive(Clone)]
enum Entry {
    Remembered(Remembered),
    Asked {
        first: u64,
        answers: Vec<Option<Answer>>,
        /// Who has not answered by then is not waited for.
        until: Option<Time>,
    },
    /// Calls to etcd; each answer with the instant at which it came.
    Called {
        first: u64,
        replies: Vec<Option<EtcdReply>>,
        began: Time,
    },
    /// A call to a container engine.
    Spoken(node::Spoken),
    Alarm(Time),
    /// A fold at one of its steps: what the last one left, how much had been said by then, and what this one has asked.
    Step {
        state: Remembered,
        said: usize,
        journal: Journal,
    },
    /// What came of an act, and how much had been said by its end.
    Over {
        outcome: Remembered,
        said: usize,
    },
}

#[derive(Clone, Default)]
struct Stream {
    queue: VecDeque<Answer>,
    alarm: Option<Time>,
}

/// What a process wants of the terminal.
#[derive(Debug)]
pub enum Wish {
    /// The answers come back under this ticket.
    Send(u64, Box<Request>),
    /// The answers come back under this ticket.
    Call(u64, Box<EtcdCall>),
    /// The answer comes back under this ticket.
    Node(u64, Box<NodeCall>),
    /// The exchange of this ticket is over.
    Cancel(u64),
    /// Run the process again at this instant.
    Wake(Time),
    /// The lines that follow are for this command, in the shell of that name.
    Attach(Arc<Vec<String>>, u64),
    /// They are the terminal's own again.
    Detach,
    /// This script takes the place of the process when it has ended.
    GiveWay(String),
    /// The file at this path is shown in the page's editor.
    Edit(Text),
}

/// What there is to read.
#[derive(Clone, Debug)]
pub enum Stdin {
    /// More may come.
    Open,
    /// All of it, or what has not been read yet.
    Ended(Text),
}

/// The terminal as seen by one run.
pub struct Host<'a> {
    pub now: Time,
    pub files: &'a mut dyn FileSystem,
    /// The address (`host:port`) of the API server that requests are for; empty: the usual one.
    pub server: String,
    /// Who of etcd can be reached where.
    pub etcd: Arc<SortedMap<Text, Listener>>,
    pub random: &'a mut Random,
    pub stdin: Stdin,
    /// `true`: on the standard error.
    pub output: Vec<(bool, String)>,
    pub wishes: Vec<Wish>,
}

impl Process {
    pub fn new(
        main: Main,
        arguments: Vec<String>,
        folder: &str,
        variables: Arc<SortedMap<Text, Text>>,
    ) -> Process {
        Process {
            main,
            arguments: Arc::new(arguments),
            folder: folder.into(),
            variables,
            journal: Journal::default(),
            said: 0,
            next_ticket: 0,
            streams: SortedMap::new(),
            watches: SortedMap::new(),
            marks: SortedSet::new(),
            will: None,
        }
    }
    /// Runs as far as it goes; the exit code when it has ended.
    pub fn poll(&mut self, host: &mut Host) -> Option<i32> {
        let (main, arguments) = (self.main, self.arguments.clone());
        let journal = std::mem::take(&mut self.journal);
        let mut cli = Cli { process: self, host, arguments, journal, cursor: 0, said: 0 };
        let result = main(&mut cli);
        let journal = cli.journal;
        self.journal = journal;
        match result {
            Ok(()) => Some(0),
            Err(Halt::Exit(code)) => Some(code),
            Err(Halt::Waiting) => None,
        }
    }
    /// Writes down what came for `ticket`.
    pub fn deliver(&mut self, ticket: u64, answer: Answer) {
        if let Some(stream) = self.streams.get_mut(&ticket) {
            stream.queue.push_back(answer);
            return;
        }
        self.journal.deliver(ticket, answer);
    }
}

impl Journal {
    fn deliver(&mut self, ticket: u64, answer: Answer) {
        // Only the last question at each depth can be open.
        match self.entries.last_mut() {
            Some(Entry::Asked { first, answers, .. }) => {
                let slot = ticket.checked_sub(*first).and_then(|index| answers.get_mut(index as usize));
                if let Some(slot) = slot {
                    *slot = Some(answer);
                }
            }
            Some(Entry::Step { journal, .. }) => journal.deliver(ticket, answer),
            _ => {}
        }
    }
}

/// What a program sees: its arguments, its input and outputs, the API server, the files, the clock.
pub struct Cli<'a, 'h> {
    process: &'a mut Process,
    host: &'a mut Host<'h>,
    arguments: Arc<Vec<String>>,
    journal: Journal,
    cursor: usize,
    said: usize,
}

impl Cli<'_, '_> {
    /// The words of the command, its own name first.
    pub fn arguments(&self) -> Arc<Vec<String>> {
        self.arguments.clone()
    }
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.process.variables.get(name).map(Text::as_str)
    }
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.process.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
    pub fn folder(&self) -> &str {
        &self.process.folder
    }

    /// Which API server this program speaks to, by its URL.
    pub fn aim(&mut self, url: &str) {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let host = rest.split('/').next().unwrap_or(rest);
        self.host.server = match host.rsplit_once(':') {
            _ if host.is_empty() => String::new(),
            Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.into(),
            _ => format!("{host}:{}", if scheme == "https" { 443 } else { 80 }),
        };
    }
    /// Where that is, as messages of Go's network library say it; the usual one is `kubeadm`'s.
    pub fn server(&self) -> &str {
        &self.host.server
    }

    fn say(&mut self, on_error: bool, text: &str) {
        if text.is_empty() {
            return;
        }
        self.said += text.len();
        if self.said > self.process.said {
            self.process.said = self.said;
            match self.host.output.last_mut() {
                Some((last, written)) if *last == on_error => written.push_str(text),
                _ => self.host.output.push((on_error, text.to_string())),
            }
        }
    }
    /// Writes to the standard output.
    pub fn print(&mut self, text: impl AsRef<str>) {
        self.say(false, text.as_ref());
    }
    pub fn println(&mut self, text: impl AsRef<str>) {
        self.say(false, text.as_ref());
        self.say(false, "\n");
    }
    /// Writes to the standard error.
    pub fn eprint(&mut self, text: impl AsRef<str>) {
        self.say(true, text.as_ref());
    }
    /// Writes a line to the standard error.
    pub fn eprintln(&mut self, text: impl AsRef<str>) {
        self.say(true, text.as_ref());
        self.say(true, "\n");
    }
    /// Says why on the standard error and ends with exit code 1.
    pub fn fail<T>(&mut self, text: impl AsRef<str>) -> Run<T> {
        self.eprintln(text);
        Err(Halt::Exit(1))
    }

    fn next_entry(&mut self) -> usize {
        self.cursor += 1;
        self.cursor - 1
    }
    /// Does `work` the first time and remembers the result: for what is costly, or may change under the run.
    pub fn once<T: Send + Sync + 'static>(&mut self, work: impl FnOnce(&mut Host) -> T) -> Arc<T> {
        let index = self.next_entry();
        if let Some(Entry::Remembered(value)) = self.journal.entries.get(index)
            && let Ok(value) = value.clone().downcast::<T>()
        {
            return value;
        }
        let value = Arc::new(work(self.host));
        self.journal.entries.truncate(index);
        self.journal.entries.push(Entry::Remembered(value.clone()));
        value
    }
    /// True the first time in this process that `mark` is asked about: for what is said once.
    pub fn first_time(&mut self, mark: &str) -> bool {
        let index = self.next_entry();
        if let Some(Entry::Remembered(value)) = self.journal.entries.get(index)
            && let Some(first) = value.downcast_ref::<bool>()
        {
            return *first;
        }
        let first = self.process.marks.insert(mark.to_string());
        self.journal.entries.truncate(index);
        self.journal.entries.push(Entry::Remembered(Arc::new(first)));
        first
    }
    /// The instant at which the program first asked here.
    pub fn now(&mut self) -> Time {
        *self.once(|host| host.now)
    }
    /// Everything on the standard input, once it has ended.
    pub fn stdin(&mut self) -> Run<Text> {
        if self.cursor == self.journal.entries.len() && matches!(self.host.stdin, Stdin::Open) {
            return Err(Halt::Waiting);
        }
        let text = self.once(|host| match &host.stdin {
            Stdin::Ended(text) => text.clone(),
            Stdin::Open => Text::new(),
        });
        Ok((*text).clone())
    }

    /// The absolute form of a path that the user wrote.
    pub fn path(&self, path: &str) -> String {
        absolute(self.folder(), path)
    }
    pub fn read_file(&mut self, path: &str) -> Result<Text, FileError> {
        let path = self.path(path);
        (*self.once(|host| host.files.read(&path))).clone()
    }
    pub fn write_file(&mut self, path: &str, content: &str) -> Result<(), FileError> {
        let path = self.path(path);
        *self.once(|host| host.files.write(&path, content.into()))
    }
    /// All that the terminal's files are at this moment.
    pub fn files(&mut self) -> Arc<Files> {
        self.once(|host| host.files.snapshot())
    }
    /// Changes files in a way that has no other name.
    pub fn change_files<T: Clone + Send + Sync + 'static>(
        &mut self,
        change: impl FnOnce(&mut dyn FileSystem) -> T,
    ) -> T {
        (*self.once(|host| change(host.files))).clone()
    }

    /// From now on, what is typed goes to the shell that this command has opened elsewhere.
    pub fn attach(&mut self) {
        let arguments = self.arguments();
        self.once(|host| {
            let shell = host.random.next();
            host.wishes.push(Wish::Attach(arguments, shell));
        });
    }
    /// The same, by another command than this one.
    pub fn attach_to(&mut self, command: Vec<String>) {
        self.once(|host| {
            let shell = host.random.next();
            host.wishes.push(Wish::Attach(Arc::new(command), shell));
        });
    }
    /// Five letters that make a name new.
    pub fn suffix(&mut self) -> String {
        (*self.once(|host| host.random.suffix(5))).clone()
    }
    /// What is typed is for the terminal's own shell again.
    pub fn detach(&mut self) {
        self.once(|host| host.wishes.push(Wish::Detach));
    }
    /// When this program has ended, `script` is run in its place.
    pub fn give_way(&mut self, script: String) {
        self.once(|host| host.wishes.push(Wish::GiveWay(script)));
    }
    /// Writes a file into the home directory, and has the page show it in its editor.
    pub fn open_in_editor(&mut self, name: &str, content: &str) {
        let path = absolute(HOME, name);
        self.once(|host| {
            // In the way of a file in the home directory is nothing but a folder of that name.
            if host.files.write(&path, content.into()).is_ok() {
                host.wishes.push(Wish::Edit(path.into()));
            }
        });
    }
    /// A number drawn by lot.
    pub fn draw(&mut self) -> u64 {
        *self.once(|host| host.random.next())
    }
    /// A random UUID.
    pub fn uuid(&mut self) -> String {
        (*self.once(|host| host.random.uuid().to_string())).clone()
    }

    /// Sends `requests` together and waits for all answers.
    pub fn ask_all(&mut self, requests: Vec<Request>) -> Run<Vec<Answer>> {
        self.ask_within(requests, None)
    }
    /// The same, for so long at most: who has not answered by then counts as cut off.
    pub fn ask_within(&mut self, requests: Vec<Request>, timeout: Option<Duration>) -> Run<Vec<Answer>> {
        let index = self.next_entry();
        let now = self.host.now;
        if index == self.journal.entries.len() {
            let first = self.process.next_ticket;
            self.process.next_ticket += requests.len() as u64;
            let until = timeout.map(|timeout| now + timeout);
            self.host.wishes.extend(until.map(Wish::Wake));
            self.journal.entries.push(Entry::Asked { first, answers: vec![None; requests.len()], until });
            for (ticket, request) in (first..).zip(requests) {
                self.host.wishes.push(Wish::Send(ticket, Box::new(request)));
            }
        }
        let Some(Entry::Asked { answers, until, .. }) = self.journal.entries.get_mut(index) else {
            return Err(Halt::Waiting);
        };
        if until.is_some_and(|until| until <= now) {
            for answer in answers.iter_mut().filter(|answer| answer.is_none()) {
                *answer = Some(Answer::Closed(CloseReason::Cancelled));
            }
        }
        answers.iter().cloned().collect::<Option<Vec<Answer>>>().ok_or(Halt::Waiting)
    }
    /// Sends one request and waits for its answer.
    pub fn ask(&mut self, request: Request) -> Run<Answer> {
        self.ask_all(vec![request])?.pop().ok_or(Halt::Waiting)
    }
    /// Lets time pass.
    pub fn sleep(&mut self, duration: Duration) -> Run<()> {
        let index = self.next_entry();
        if index == self.journal.entries.len() {
            let until = self.host.now + duration;
            self.journal.entries.push(Entry::Alarm(until));
            self.host.wishes.push(Wish::Wake(until));
        }
        match self.journal.entries.get(index) {
            Some(Entry::Alarm(until)) if *until <= self.host.now => Ok(()),
            _ => Err(Halt::Waiting),
        }
    }

    /// Opens a stream of answers (a watch, a followed log) and does not wait for it.
    pub fn open(&mut self, request: Request) -> u64 {
        let index = self.next_entry();
        if let Some(Entry::Remembered(ticket)) = self.journal.entries.get(index)
            && let Some(ticket) = ticket.downcast_ref::<u64>()
        {
            return *ticket;
        }
        let ticket = self.process.next_ticket;
        self.process.next_ticket += 1;
        self.process.streams.insert(ticket, Stream::default());
        self.host.wishes.push(Wish::Send(ticket, Box::new(request)));
        self.journal.entries.push(Entry::Remembered(Arc::new(ticket)));
        ticket
    }
    /// The next that came on a stream; `None` when `deadline` passes first.
    pub fn next(&mut self, ticket: u64, deadline: Option<Time>) -> Run<Option<Answer>> {
        let index = self.next_entry();
        if let Some(Entry::Remembered(value)) = self.journal.entries.get(index)
            && let Some(answer) = value.downcast_ref::<Option<Answer>>()
        {
            return Ok(answer.clone());
        }
        let now = self.host.now;
        let stream = self.process.streams.entry(ticket).or_default();
        let answer = match stream.queue.pop_front() {
            Some(answer) => Some(answer),
            None if deadline.is_some_and(|deadline| deadline <= now) => None,
            None => {
                if let Some(deadline) = deadline.filter(|deadline| stream.alarm != Some(*deadline)) {
                    stream.alarm = Some(deadline);
                    self.host.wishes.push(Wish::Wake(deadline));
                }
                return Err(Halt::Waiting);
            }
        };
        self.journal.entries.push(Entry::Remembered(Arc::new(answer.clone())));
        Ok(answer)
    }
    /// Ends a stream.
    pub fn close(&mut self, ticket: u64) {
        if self.process.streams.remove(&ticket).is_some() {
            self.host.wishes.push(Wish::Cancel(ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(process: &mut Process, now: u64) -> (Option<i32>, String, Vec<Wish>) {
        let mut files = Files::default();
        let mut random = Random::stream(1, "program");
        let mut host = Host {
            now: Time::from_secs(now),
            files: &mut files,
            server: String::new(),
            etcd: Arc::default(),
            random: &mut random,
            stdin: Stdin::Ended("in".into()),
            output: Vec::new(),
            wishes: Vec::new(),
        };
        let code = process.poll(&mut host);
        (code, host.output.into_iter().map(|(_, text)| text).collect(), host.wishes)
    }

    fn counting(cli: &mut Cli) -> Run<()> {
        cli.println("begin");
        let (_, sum) = cli.fold((1, 0), |cli, (item, sum)| {
            if item > 3 {
                return Ok(std::ops::ControlFlow::Break((item, sum)));
            }
            cli.print(format!("<{item}"));
            cli.sleep(Duration::from_secs(1))?;
            cli.println(">");
            Ok(std::ops::ControlFlow::Continue((item + 1, sum + item)))
        })?;
        let input = cli.stdin()?;
        cli.println(format!("{sum} {input}"));
        Err(Halt::Exit(sum))
    }

    #[test]
    fn a_program_says_everything_once_however_often_it_is_run() {
        let mut process = Process::new(counting, vec!["count".into()], "/", Arc::default());
        let mut all = String::new();
        for (now, code) in [(0, None), (0, None), (1, None), (1, None), (2, None), (3, Some(6))] {
            let (ended, said, _) = run(&mut process, now);
            assert_eq!(ended, code, "at {now}");
            all += &said;
        }
        assert_eq!(all, "begin\n<1>\n<2>\n<3>\n6 in\n");
    }

    #[test]
    fn a_wake_is_asked_for_once() {
        let mut process = Process::new(counting, vec!["count".into()], "/", Arc::default());
        assert_eq!(run(&mut process, 0).2.len(), 1);
        assert_eq!(run(&mut process, 0).2.len(), 0);
    }
}
