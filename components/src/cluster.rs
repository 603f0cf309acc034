//! The way to the worker and back.
//!
//! Picture to hold in mind: a pneumatic post. Slips are sent and forgotten; what comes back is handed to whoever
//! listens for its kind. The page never waits at the tube: what takes long in the worker shows as "busy".

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use clusterarium::command::Command;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker};
use worker::protocol::{FromWorker, Kept, Opening, ToWorker, Wrote, decode, encode, terminal};

use crate::notices::{Kind, Notices};
use crate::session;

/// How the worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its code is on the way.
    Starting,
    Running,
    /// It has stopped for good, for this reason; the session is kept.
    Frozen(String),
}

/// What a command line has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

type Listener = Rc<dyn Fn(&FromWorker)>;
type Completion = Box<dyn FnOnce(Completed)>;
/// Told whether a session was opened, or why not.
type Opened = Box<dyn FnOnce(Result<(), String>)>;

/// Every page has one; copies are handles.
#[derive(Clone, Copy)]
pub struct Cluster {
    pub state: RwSignal<State>,
    /// Ground truth as of the last change.
    pub session: RwSignal<Option<Kept>>,
    /// The worker has not answered for this many seconds.
    pub silent_s: RwSignal<u32>,
    pub notices: Notices,
    tube: StoredValue<Rc<Tube>, LocalStorage>,
}

#[derive(Default)]
struct Tube {
    worker: RefCell<Option<Worker>>,
    /// Bumped with every worker: slips of an earlier one are not read.
    generation: Cell<u32>,
    listeners: RefCell<Vec<Listener>>,
    /// Command lines of the door, oldest first: what they wrote so far, and who waits.
    door: RefCell<VecDeque<(String, Completed, Completion)>>,
    /// The first of them has been entered.
    is_entered: Cell<bool>,
    /// What was asked for and has not been opened or refused, and who waits for it.
    opening: RefCell<Option<(Opening, Opened)>>,
    storage_full: Cell<bool>,
}

/// The worker is asked this often whether it is alive.
const PING: Duration = Duration::from_secs(2);
/// Silence in seconds after which the user is told.
pub const SILENCE_S: u32 = 8;

impl Cluster {
    /// A cluster that runs once it is told which, by [`Cluster::open`].
    pub fn start(notices: Notices) -> Cluster {
        let cluster = Cluster {
            state: RwSignal::new(State::Starting),
            session: RwSignal::new(None),
            silent_s: RwSignal::new(0),
            notices,
            tube: StoredValue::new_local(Rc::new(Tube::default())),
        };
        let pinging = set_interval_with_handle(
            move || {
                if cluster.state.get_untracked() == State::Running && !document().hidden() {
                    cluster.silent_s.update(|silent_s| *silent_s += PING.as_secs() as u32);
                    cluster.send(&ToWorker::Ping);
                }
            },
            PING,
        );
        if let Ok(handle) = pinging {
            on_cleanup(move || handle.clear());
        }
        cluster
    }

    /// Shows the session that is meant instead of the present one, and says whether that went well. A worker that still
    /// answers takes it; else a new one.
    pub fn open(self, opening: Opening, done: impl FnOnce(Result<(), String>) + 'static) {
        self.tube.with_value(|tube| tube.opening.replace(Some((opening.clone(), Box::new(done)))));
        if self.state.get_untracked() == State::Running && self.silent_s.get_untracked() < SILENCE_S {
            self.state.set(State::Starting);
            self.send(&ToWorker::Open(opening));
        } else {
            self.spawn();
        }
    }

    /// What was asked for is there, or is not to be had.
    fn opened(self, outcome: Result<(), String>) {
        let opening = self.tube.with_value(|tube| tube.opening.take());
        self.state.set(State::Running);
        if let Some((_, done)) = opening {
            done(outcome);
        }
        self.enter_next();
    }

    /// Ends the lines at the door that nobody answers any more.
    fn turn_away(self, reason: &str, code: i32) {
        let tube = self.tube.get_value();
        tube.is_entered.set(false);
        for (_, completed, complete) in tube.door.take() {
            complete(Completed { stderr: completed.stderr + reason, code, ..completed });
        }
    }

    fn spawn(self) {
        self.state.set(State::Starting);
        self.silent_s.set(0);
        let tube = self.tube.get_value();
        let generation = tube.generation.get() + 1;
        tube.generation.set(generation);
        if let Some(old) = tube.worker.take() {
            old.terminate();
        }
        if tube.is_entered.get() {
            self.turn_away("the session was replaced\n", 130);
        }
        let address = document()
            .query_selector("meta[name=clusterarium-worker]")
            .ok()
            .flatten()
            .and_then(|meta| meta.get_attribute("content"));
        let Some(address) = address else {
            return self.freeze("the page does not name its worker".into());
        };
        let options = web_sys::WorkerOptions::new();
        options.set_type(web_sys::WorkerType::Module);
        options.set_name("cluster");
        let worker = match Worker::new_with_options(&address, &options) {
            Ok(worker) => worker,
            Err(error) => return self.freeze(format!("the worker could not be started: {error:?}")),
        };
        let on_message = Closure::<dyn FnMut(_)>::new(move |event: MessageEvent| {
            let is_current = self.tube.try_with_value(|tube| tube.generation.get() == generation);
            if is_current == Some(true) {
                self.receive(&js_sys::Uint8Array::new(&event.data()).to_vec());
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget();
        let on_error = Closure::<dyn FnMut(_)>::new(move |event: web_sys::ErrorEvent| {
            let is_current = self.tube.try_with_value(|tube| tube.generation.get() == generation);
            if is_current == Some(true) {
                let message = event.message();
                let message =
                    if message.is_empty() { "its code could not be loaded".into() } else { message };
                self.freeze(format!("the worker failed: {message}"));
            }
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        on_error.forget();
        tube.worker.replace(Some(worker));
    }

    /// Sends a slip; one that is sent before the worker is ready is lost, but for those that `open` repeats.
    pub fn send(self, slip: &ToWorker) {
        self.tube.with_value(|tube| {
            if let Some(worker) = tube.worker.borrow().as_ref() {
                // Bytes can always be posted.
                let _ = worker.post_message(&js_sys::Uint8Array::from(encode(slip).as_slice()));
            }
        });
    }

    pub fn command(self, command: Command) {
        self.send(&ToWorker::Commands(vec![command.into()]));
    }

    /// Enters `line` in the simulated terminal `session`.
    pub fn enter(self, session: u64, line: &str) {
        self.command(Command::Exec { session, line: line.to_string(), stdin: String::new() });
    }

    /// Runs `line` as `window.clusterarium.exec` does, after those before it, and hands over what it came to.
    pub fn exec(self, line: &str, complete: impl FnOnce(Completed) + 'static) {
        let is_first = self.tube.with_value(|tube| {
            let mut door = tube.door.borrow_mut();
            door.push_back((line.to_string(), Completed::default(), Box::new(complete)));
            door.len() == 1
        });
        // While the worker starts, `Opened` sends it.
        if is_first {
            self.enter_next();
        }
    }

    /// Calls `listener` with every slip that comes.
    pub fn listen(self, listener: impl Fn(&FromWorker) + 'static) {
        self.tube.with_value(|tube| tube.listeners.borrow_mut().push(Rc::new(listener)));
    }

    fn receive(self, bytes: &[u8]) {
        let slip = match decode::<FromWorker>(bytes) {
            Ok(slip) => slip,
            Err(message) => return leptos::logging::error!("{message}"),
        };
        self.silent_s.set(0);
        match &slip {
            FromWorker::Ready => {
                let opening = self
                    .tube
                    .with_value(|tube| tube.opening.borrow().as_ref().map(|(opening, _)| opening.clone()));
                if let Some(opening) = opening {
                    self.send(&ToWorker::Open(opening));
                }
            }
            FromWorker::Opened => self.opened(Ok(())),
            FromWorker::Refused { reason } => self.opened(Err(reason.clone())),
            FromWorker::Session(session) => {
                self.keep(session);
                self.session.set(Some(session.clone()));
            }
            FromWorker::Terminal(written) => {
                for one in written.iter().filter(|one| one.session == terminal::DOOR) {
                    self.written(&one.what);
                }
            }
            FromWorker::Failed { message } => self.notices.problem(message),
            FromWorker::Panicked { message } => self.freeze(message.clone()),
            _ => {}
        }
        let listeners = self.tube.with_value(|tube| tube.listeners.borrow().clone());
        for listener in listeners {
            listener(&slip);
        }
    }

    /// A command line of the door has written something, or ended.
    fn written(self, what: &Wrote) {
        let tube = self.tube.get_value();
        // What an earlier visit wrote comes again before the cluster runs; nobody waits for it.
        if !tube.is_entered.get() {
            return;
        }
        if let Some((_, completed, _)) = tube.door.borrow_mut().front_mut() {
            match what {
                Wrote::Stdout(text) => completed.stdout.push_str(text),
                Wrote::Stderr(text) => completed.stderr.push_str(text),
                _ => {}
            }
        }
        if let Wrote::Exit(code) = what {
            tube.is_entered.set(false);
            let done = tube.door.borrow_mut().pop_front();
            if let Some((_, completed, complete)) = done {
                complete(Completed { code: *code, ..completed });
            }
            self.enter_next();
        }
    }

    fn enter_next(self) {
        let line = self.tube.with_value(|tube| tube.door.borrow().front().map(|(line, ..)| line.clone()));
        if let Some(line) = line
            && self.state.get_untracked() == State::Running
        {
            self.tube.with_value(|tube| tube.is_entered.set(true));
            self.enter(terminal::DOOR, &line);
        }
    }

    fn freeze(self, message: String) {
        let tube = self.tube.get_value();
        tube.generation.set(tube.generation.get() + 1);
        if let Some(worker) = tube.worker.take() {
            worker.terminate();
        }
        self.turn_away("the cluster has stopped\n", 1);
        self.state.set(State::Frozen(message));
    }

    fn keep(self, session: &Kept) {
        let kept = session::keep(session);
        let was_full = self.tube.with_value(|tube| tube.storage_full.replace(!kept));
        if !kept && !was_full {
            let text = session.text.clone();
            self.notices.offer(
                Kind::Problem,
                "The browser has no room for this session: a reload would lose its last steps.",
                "Download it",
                move || session::download("clusterarium-session.json", &text),
            );
        }
    }
}
