//! The gateway: where real clients' requests enter the simulation, and answers leave it.
//!
//! Picture to hold in mind: the porter of a walled town. Whoever stands outside hands him a letter; inside he is a
//! client like any other, with his own desk on the workstation. He knows which answer belongs to which letter, waits
//! at a closed door rather than sending people away, and passes everything out through a slot.
//!
//! Letters come in as [`Command::Http`](crate::command::Command::Http), so they stand in the session's log; answers go
//! out as [`Note::Http`]. Sockets are the business of whoever gives the commands.

pub mod accept;
mod follow;
pub mod translate;

use std::sync::Arc;

use crate::api::status::{Reason, Status};
use crate::api::{Text, Value, time};
use crate::client::{Answer, Connection};
use crate::language::{Context, Input};
use crate::message::http::{self, Part};
use crate::message::rest::{CloseReason, Request, User, Verb, WatchType};
use crate::note::Note;
use crate::object;
use crate::sim::{ActorId, Duration, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, GatewayTimer, Timer};

use accept::{Form, Shape};
use follow::{Follow, Next};

/// A server that does not take connections is tried again after this.
const RETRY: Duration = Duration::from_millis(250);
/// For so long at most; upstream's `--request-timeout` is a minute as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// The actor.
#[derive(Clone)]
pub struct Gateway {
    connection: Connection<u64>,
    window: usize,
    administrator: Arc<User>,
    /// What the outside has handed in and the actor has not begun.
    tray: SortedMap<u64, Letter>,
    /// What is under way.
    open: SortedMap<u64, Open>,
}

#[derive(Clone)]
enum Letter {
    Request(Arc<http::Request>),
    HangUp,
}

#[derive(Clone)]
struct Open {
    request: Request,
    form: Form,
    since: Time,
    /// A log that is followed is many questions.
    follow: Option<Follow>,
}

impl Gateway {
    /// A gateway whose requests go to `server`.
    pub fn new(server: ActorId) -> Gateway {
        let mut connection = Connection::new(server);
        let administrator = Arc::new(User::new(
            "kubernetes-admin".into(),
            vec!["kubeadm:cluster-admins".into(), "system:masters".into(), "system:authenticated".into()],
        ));
        // Clients outside have rate limits of their own.
        let window = connection.window(Arc::clone(&administrator), "", 0, 0);
        Gateway { connection, window, administrator, tray: SortedMap::new(), open: SortedMap::new() }
    }
    /// Takes a request; the caller wakes the actor with [`GatewayTimer::Begin`] and the same number.
    pub fn take(&mut self, exchange: u64, request: http::Request) {
        self.tray.insert(exchange, Letter::Request(Arc::new(request)));
    }
    /// The client of an exchange is gone; the caller wakes the actor as for [`Gateway::take`].
    pub fn hang_up(&mut self, exchange: u64) {
        self.tray.insert(exchange, Letter::HangUp);
    }

    pub fn handle(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Start => {
                self.connection.restart();
                for exchange in std::mem::take(&mut self.open).into_keys() {
                    put(exchange, Part::Broken, context);
                }
            }
            Input::Message { from, message } => {
                if let Some((exchange, answer)) = self.connection.receive(context, from, &message) {
                    self.answered(exchange, answer, context);
                }
            }
            Input::Timer(Timer::Client(ClientTimer::Timeouts)) => {
                for (exchange, answer) in self.connection.timeouts(context) {
                    self.answered(exchange, answer, context);
                }
            }
            Input::Timer(Timer::Gateway(GatewayTimer::Begin { exchange })) => {
                match self.tray.remove(&exchange) {
                    Some(Letter::Request(request)) => self.begin(exchange, &request, context),
                    Some(Letter::HangUp) => {
                        self.open.remove(&exchange);
                        self.connection.cancel_watch(&exchange, context);
                    }
                    None => {}
                }
            }
            Input::Timer(Timer::Gateway(GatewayTimer::Retry { exchange })) => self.send(exchange, context),
            Input::Timer(_) => {}
        }
    }

    fn begin(&mut self, exchange: u64, http: &http::Request, context: &mut Context) {
        match translate::translate(http, &self.administrator) {
            Ok(translation) => {
                let follow = Follow::of(&translation.request);
                let open = Open {
                    request: translation.request,
                    form: translation.form,
                    since: context.now(),
                    follow,
                };
                self.open.insert(exchange, open);
                self.send(exchange, context);
            }
            Err(status) => put(exchange, Part::Whole(refusal(&status)), context),
        }
    }

    fn send(&mut self, exchange: u64, context: &mut Context) {
        let Some(open) = self.open.get(&exchange) else { return };
        let request = open.follow.as_ref().map_or_else(|| open.request.clone(), Follow::question);
        self.connection.send_as(context, self.window, request, exchange);
    }

    fn answered(&mut self, exchange: u64, answer: Answer, context: &mut Context) {
        let Some(open) = self.open.get_mut(&exchange) else { return };
        let form = open.form;
        if let (Some(follow), Answer::Response(response)) = (&mut open.follow, &answer)
            && response.is_success()
        {
            let has_begun = follow.has_begun();
            let next = follow.answered(&response.body, time::unix_us(context.now()));
            self.read_on(exchange, next, has_begun, context);
            return;
        }
        let is_stream =
            open.request.verb == Verb::Watch || open.follow.as_ref().is_some_and(Follow::has_begun);
        match answer {
            // A pod that is gone writes no more.
            Answer::Response(_) if is_stream && open.follow.is_some() => {
                self.open.remove(&exchange);
                put(exchange, Part::End, context);
            }
            Answer::Response(response) => {
                let is_stream = is_stream && response.is_success();
                let mut answer = http::Answer {
                    code: response.code,
                    media: form.media,
                    body: shaped(&response.body, form),
                    warnings: response.warnings.clone(),
                    retry_after_seconds: response.retry_after_seconds,
                };
                if is_stream {
                    put(exchange, Part::Opening(answer), context);
                    return;
                }
                if !response.is_success() {
                    answer.media = readable(answer.media);
                }
                self.open.remove(&exchange);
                put(exchange, Part::Whole(answer), context);
            }
            Answer::Watch(event) => {
                let kind = match event.kind {
                    WatchType::Added => "ADDED",
                    WatchType::Modified => "MODIFIED",
                    WatchType::Deleted => "DELETED",
                    WatchType::Bookmark => "BOOKMARK",
                    WatchType::Error => "ERROR",
                };
                let object = shaped(&event.object, form);
                put(exchange, Part::Piece(object! { "type" => kind, "object" => object }), context);
                if event.kind == WatchType::Error {
                    self.open.remove(&exchange);
                    self.connection.cancel_watch(&exchange, context);
                    put(exchange, Part::End, context);
                }
            }
            Answer::Closed(CloseReason::Refused) if context.now().since(open.since) < PATIENCE => {
                // Nobody listens there yet, or not at the moment: whoever waits at the door is not sent away.
                context.timer(RETRY, Timer::Gateway(GatewayTimer::Retry { exchange }));
            }
            Answer::Closed(why) => {
                let has_follow = open.follow.is_some();
                self.open.remove(&exchange);
                let part = match why {
                    CloseReason::TimedOut if is_stream && !has_follow => Part::End,
                    _ if is_stream => Part::Broken,
                    CloseReason::Refused => Part::Whole(refusal(&Status::service_unavailable(
                        "the API server refuses connections: it is not running",
                    ))),
                    CloseReason::Reset => Part::Whole(refusal(&Status::service_unavailable(
                        "the connection to the API server was reset",
                    ))),
                    CloseReason::TimedOut | CloseReason::Cancelled => Part::Whole(refusal(&Status::new(
                        504,
                        Reason::Timeout,
                        "the API server did not answer in time",
                    ))),
                };
                put(exchange, part, context);
            }
        }
    }
}

impl Gateway {
    /// Passes new lines of a log on, and asks for more.
    fn read_on(&mut self, exchange: u64, next: Next, has_begun: bool, context: &mut Context) {
        let is_last = matches!(next, Next::Last(_));
        let lines = match next {
            Next::Ask => return self.send(exchange, context),
            Next::Lines(lines) | Next::Last(lines) => lines,
        };
        if !has_begun {
            let opening = http::Answer {
                code: 200,
                media: http::Media::Json { pretty: false },
                body: Value::from(""),
                warnings: Vec::new(),
                retry_after_seconds: None,
            };
            put(exchange, Part::Opening(opening), context);
        }
        if !lines.is_empty() {
            put(exchange, Part::Piece(Value::from(lines)), context);
        }
        if is_last {
            self.open.remove(&exchange);
            put(exchange, Part::End, context);
        } else {
            context.timer(follow::PAUSE, Timer::Gateway(GatewayTimer::Retry { exchange }));
        }
    }
}

fn put(exchange: u64, part: Part, context: &mut Context) {
    context.note(Note::Http { exchange, part });
}

fn shaped(body: &Value, form: Form) -> Value {
    match form.shape {
        Shape::Metadata => accept::metadata_only(body),
        _ => body.clone(),
    }
}

/// Failures are told in words, whatever form was wanted.
fn readable(media: http::Media) -> http::Media {
    match media {
        http::Media::Json { .. } | http::Media::Yaml => media,
        _ => http::Media::Json { pretty: false },
    }
}

fn refusal(status: &Status) -> http::Answer {
    http::Answer {
        code: status.code,
        media: http::Media::Json { pretty: false },
        body: status.to_value(),
        warnings: Vec::<Text>::new(),
        retry_after_seconds: status.details.integer("retryAfterSeconds").and_then(|n| u64::try_from(n).ok()),
    }
}
