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
use worker::protocol::{FromWorker, Session, ToWorker, Wrote, decode, encode, terminal};

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

/// Every page has one; copies are handles.
#[derive(Clone, Copy)]
pub struct Cluster {
    pub state: RwSignal<State>,
    /// Ground truth as of the last change.
    pub session: RwSignal<Option<Session>>,
    /// The worker has not answered for this many seconds.
    pub silent_s: RwSignal<u32>,
    notices: Notices,
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
    storage_full: Cell<bool>,
}

/// The worker is asked this often whether it is alive.
const PING: Duration = Duration::from_secs(2);
/// Silence in seconds after which the user is told.
pub const SILENCE_S: u32 = 8;

impl Cluster {
    /// Starts a worker that runs `session`.
    pub fn start(session: Session, notices: Notices) -> Cluster {
        let cluster = Cluster {
            state: RwSignal::new(State::Starting),
            session: RwSignal::new(None),
            silent_s: RwSignal::new(0),
            notices,
            tube: StoredValue::new_local(Rc::new(Tube::default())),
        };
        cluster.open(session);
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

    /// Runs `session` instead of the present one. A worker that still answers takes it; else a new one.
    pub fn open(self, session: Session) {
        self.tube.with_value(|tube| {
            for (_, completed, complete) in tube.door.take() {
                complete(Completed {
                    stderr: completed.stderr + "the session was replaced\n",
                    code: 130,
                    ..completed
                });
            }
        });
        self.keep(&session);
        self.session.set(Some(session.clone()));
        if self.state.get_untracked() == State::Running && self.silent_s.get_untracked() < SILENCE_S {
            self.state.set(State::Starting);
            self.send(&ToWorker::Open(session));
        } else {
            self.spawn();
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
        self.send(&ToWorker::Command(command));
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
        if is_first && self.state.get_untracked() == State::Running {
            self.enter(terminal::DOOR, line);
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
                if let Some(session) = self.session.get_untracked() {
                    self.send(&ToWorker::Open(session));
                }
            }
            FromWorker::Opened => {
                self.state.set(State::Running);
                self.enter_next();
            }
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
        // What an earlier visit wrote comes again before the cluster runs; nobody waits for it.
        if self.state.get_untracked() != State::Running {
            return;
        }
        let tube = self.tube.get_value();
        if let Some((_, completed, _)) = tube.door.borrow_mut().front_mut() {
            match what {
                Wrote::Stdout(text) => completed.stdout.push_str(text),
                Wrote::Stderr(text) => completed.stderr.push_str(text),
                _ => {}
            }
        }
        if let Wrote::Exit(code) = what {
            let done = tube.door.borrow_mut().pop_front();
            if let Some((_, completed, complete)) = done {
                complete(Completed { code: *code, ..completed });
            }
            self.enter_next();
        }
    }

    fn enter_next(self) {
        let line = self.tube.with_value(|tube| tube.door.borrow().front().map(|(line, ..)| line.clone()));
        if let Some(line) = line {
            self.enter(terminal::DOOR, &line);
        }
    }

    fn freeze(self, message: String) {
        let tube = self.tube.get_value();
        tube.generation.set(tube.generation.get() + 1);
        if let Some(worker) = tube.worker.take() {
            worker.terminate();
        }
        for (_, completed, complete) in tube.door.take() {
            complete(Completed {
                stderr: completed.stderr + "the cluster has stopped\n",
                code: 1,
                ..completed
            });
        }
        self.state.set(State::Frozen(message));
    }

    fn keep(self, session: &Session) {
        let kept = session::keep(session);
        let was_full = self.tube.with_value(|tube| tube.storage_full.replace(!kept));
        if !kept && !was_full {
            let text = session.write();
            self.notices.offer(
                Kind::Problem,
                "The browser has no room for this session: a reload would lose its last steps.",
                "Download it",
                move || session::download("clusterarium-session.json", &text),
            );
        }
    }
}
