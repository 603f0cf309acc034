//! A program of a DaemonSet or the like that watches a few kinds: what kube-proxy, kube-router, CoreDNS, ingress-nginx and the
//! cloud's controller share.
//!
//! Picture to hold in mind: a night watchman's contract. He comes on duty when his first container starts, reads the
//! news, and is relieved when the last one ends; what he knew by then is forgotten. What he does with the news is
//! another matter, and not in the contract.
//!
//! Other than a controller it has no queue of keys: whatever is news is handed to its owner at once.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::language::{Context, Input};
use crate::message::Message;
use crate::message::node::NodeMessage;
use crate::message::rest::{Request, User};
use crate::sim::{ActorId, Duration};
use crate::timer::{ClientTimer, Timer};

use super::informer::{Delta, InformerIndex};
use super::store::{IndexFunction, key_of};
use super::{Answer, Connection, Informers, Selection};

/// Answers that no informer waits for.
const UNWATCHED: InformerIndex = InformerIndex(usize::MAX);
/// Until a change that failed is asked for again (ingress-nginx' `statusUpdateInterval`).
const TRY_AGAIN: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Daemon {
    /// The keeper of the node's kernel and containers.
    engine: ActorId,
    connection: Connection<InformerIndex>,
    window: usize,
    /// Its service account, and its user agent.
    name: Text,
    informers: Informers,
    /// Its containers that run on the node.
    containers: Vec<Text>,
    /// Changes that are under way: key of the object, and the revision that they were asked of.
    asked: Vec<(Text, Text)>,
    /// It has yet to be started for the first time, with a machine that has no container of it that could be asked for.
    is_new: bool,
}

/// What has happened to it.
pub enum Event {
    /// Its first container runs; what stands in its configuration file.
    Began(Text),
    /// Its last container has ended, or the process was started again: nothing is known any more.
    Forgot,
    /// An informer has news; `is_first`: with this, each has seen its first list.
    News {
        informer: usize,
        deltas: Vec<Delta>,
        is_first: bool,
    },
    /// Something that only its owner understands, while it runs.
    Other(Input),
    Nothing,
}

impl Daemon {
    /// `name` is its service account, and its user agent.
    pub fn new(servers: Vec<ActorId>, engine: ActorId, name: &str, selections: Vec<Selection>) -> Daemon {
        let mut connection = Connection::balanced(servers);
        let user = user_of(name);
        // The client's defaults: 5 requests a second, 10 in a burst.
        let window = connection.window(user, name, 5, 10);
        let mut informers = Informers::default();
        for selection in selections {
            informers.add(selection, window);
        }
        Daemon {
            engine,
            connection,
            window,
            name: name.into(),
            informers,
            containers: Vec::new(),
            asked: Vec::new(),
            is_new: false,
        }
    }
    /// One that no machine has from the start.
    #[must_use]
    pub fn of_add_on(mut self) -> Daemon {
        self.is_new = true;
        self
    }
    /// Watches one more kind from now on.
    pub fn follow(&mut self, selection: Selection, context: &mut Context) {
        self.informers.add_late(context, &mut self.connection, selection, 0);
    }
    pub fn add_index(&mut self, informer: usize, name: &'static str, function: IndexFunction) {
        self.informers.add_index(informer, name, function);
    }
    /// A container of it runs.
    pub fn is_running(&self) -> bool {
        !self.containers.is_empty()
    }
    pub fn containers(&self) -> &[Text] {
        &self.containers
    }
    pub fn engine(&self) -> ActorId {
        self.engine
    }
    pub fn informers(&self) -> &Informers {
        &self.informers
    }
    /// A request whose answer nobody waits for.
    pub fn send(&mut self, request: Request, context: &mut Context) {
        self.connection.send(context, 0, request, UNWATCHED);
    }
    /// Changes an object, unless this was asked for already and is not seen yet. What fails is tried again after a minute.
    pub fn change(&mut self, object: &Value, request: Request, context: &mut Context) {
        let asked = (key_of(object), object.shared_text("metadata.resourceVersion"));
        if !self.asked.contains(&asked) {
            self.asked.retain(|(key, _)| *key != asked.0);
            self.asked.push(asked);
            self.send(request, context);
        }
    }

    /// The process gives up, with its last words.
    pub fn quit(&self, words: &Text, context: &mut Context) {
        for container in &self.containers {
            let quit = NodeMessage::Quit { container: container.clone(), words: words.clone() };
            context.send(self.engine, Message::node(quit));
        }
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) -> Event {
        if std::mem::take(&mut self.is_new) {
            return Event::Nothing;
        }
        match input {
            Input::Start => {
                self.forget();
                context.send(self.engine, Message::node(NodeMessage::Attach));
                Event::Forgot
            }
            Input::Message { message: Message::Node(message), .. } if is_call(&message) => {
                self.called(&message, context)
            }
            // What still comes for a process that has ended is read by nobody.
            _ if self.containers.is_empty() => Event::Nothing,
            Input::Message { from, message } => match &message {
                Message::Node(_) => Event::Other(Input::Message { from, message }),
                _ => match self.connection.receive(context, from, &message) {
                    Some((purpose, answer)) => self.answered(purpose, answer, context),
                    None => Event::Nothing,
                },
            },
            Input::Timer(Timer::Client(timer)) => {
                match timer {
                    ClientTimer::Tokens { client } => self.connection.tokens(context, client),
                    ClientTimer::Timeouts => {
                        // A request that got no answer in time is a failed one, and brings no news.
                        for (purpose, answer) in self.connection.timeouts(context) {
                            self.answered(purpose, answer, context);
                        }
                    }
                    ClientTimer::Relist { informer } if informer == UNWATCHED.0 => {
                        self.asked.clear();
                        return Event::News { informer, deltas: Vec::new(), is_first: false };
                    }
                    ClientTimer::Relist { informer } => {
                        self.informers.retry(context, &mut self.connection, informer);
                    }
                    _ => {}
                }
                Event::Nothing
            }
            Input::Timer(_) => Event::Other(input),
        }
    }

    /// The kernel calls the process to work, or from it.
    fn called(&mut self, message: &NodeMessage, context: &mut Context) -> Event {
        match message {
            NodeMessage::Exec { container, program, config } => {
                let is_first = self.containers.is_empty();
                if !self.containers.contains(container) {
                    self.containers.push(container.clone());
                }
                if !is_first {
                    return Event::Nothing;
                }
                // The same policies are judged in the name of another add-on.
                let name = if program == "start_runit" { "calico-node" } else { self.name.as_str() };
                let user = user_of(name);
                self.connection.sign_in(self.window, user, name);
                self.informers.start(context, &mut self.connection);
                Event::Began(config.clone())
            }
            NodeMessage::Exit { container } => {
                self.containers.retain(|other| other != container);
                if !self.containers.is_empty() {
                    return Event::Nothing;
                }
                // The kernel closes what a process leaves open.
                for index in 0..self.informers.iter().count() {
                    self.connection.cancel_watch(&InformerIndex(index), context);
                }
                self.forget();
                Event::Forgot
            }
            _ => Event::Nothing,
        }
    }

    fn answered(
        &mut self,
        InformerIndex(informer): InformerIndex,
        answer: Answer,
        context: &mut Context,
    ) -> Event {
        if informer == UNWATCHED.0 {
            let is_done = matches!(&answer, Answer::Response(response) if response.is_success());
            if !is_done && !self.asked.is_empty() {
                context.timer(TRY_AGAIN, Timer::Client(ClientTimer::Relist { informer }));
            }
            return Event::Nothing;
        }
        let was_synced = self.informers.have_synced();
        let deltas = self.informers.receive(context, &mut self.connection, informer, answer);
        Event::News { informer, deltas, is_first: self.informers.have_synced() && !was_synced }
    }

    /// The process is gone, with all that it held in memory.
    fn forget(&mut self) {
        self.connection.restart();
        self.informers.restart();
        self.containers.clear();
        self.asked.clear();
    }
}

/// All have their service accounts in `kube-system`, but for ingress-nginx, which has a namespace of its own.
fn user_of(name: &str) -> Arc<User> {
    let namespace = if name == "ingress-nginx" { name } else { "kube-system" };
    Arc::new(User::service_account(namespace, name))
}

fn is_call(message: &NodeMessage) -> bool {
    matches!(message, NodeMessage::Exec { .. } | NodeMessage::Exit { .. })
}
