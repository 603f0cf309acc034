//! Requests in flight: whose answer is whose, how many may be sent a second, and when to stop waiting.
//!
//! Picture to hold in mind: a post office of one process with a window for each component in it. Every window
//! has a bucket of tokens (queries per second, burst); a letter costs one, and letters wait in line for it. A
//! slip under each letter's number says what the answer is for.
//!
//! After client-go's `rest.Request` and `flowcontrol.NewTokenBucketRateLimiter`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::{Text, Value};
use crate::language::Context;
use crate::message::Message;
use crate::message::rest::{CloseReason, Closed, Request, Response, User, Verb, WatchEvent};
use crate::object;
use crate::sim::{ActorId, Duration, RecordId, Time};
use crate::sorted::SortedMap;
use crate::timer::{ClientTimer, Timer};

/// All exchanges of one process with the API server. `P` says what an answer is for.
#[derive(Clone)]
pub struct Connection<P> {
    /// Those that may be asked; the first is asked until it cannot be reached.
    servers: Vec<ActorId>,
    next_id: u64,
    in_flight: SortedMap<u64, InFlight<P>>,
    windows: Vec<Window<P>>,
    /// When it is looked for what has waited too long.
    next_check: Option<Time>,
    /// When the first of several servers was heard of last, and whether it has been asked since if it is there.
    heard: Time,
    is_pinged: bool,
}

#[derive(Clone)]
struct InFlight<P> {
    purpose: P,
    server: ActorId,
    /// `None` for an open watch.
    deadline: Option<Time>,
    /// The next event's number, for a watch.
    next_sequence: u64,
    /// When anything came last, in a watch that has bookmarks.
    heard: Option<Time>,
    is_watch: bool,
}

/// One component's identity and rate limit.
#[derive(Clone)]
struct Window<P> {
    user: Arc<User>,
    user_agent: Text,
    limiter: Option<TokenBucket>,
    waiting: VecDeque<(Destination, Request, P, Option<RecordId>)>,
}

/// To whom a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The server that this connection has at the moment.
    Usual,
    /// Another one.
    Server(ActorId),
    /// An address at which there is no machine: no answer ever comes.
    Nowhere,
}

/// `qps` tokens a second, `burst` at most. Counted in millionths of a token, so without fractions.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    qps: u64,
    burst: u64,
    millionths: u64,
    filled_at: Time,
}

const TOKEN: u64 = 1_000_000;
/// How long a client waits for an answer: requests of the control plane carry no deadline of their own;
/// HTTP/2 health checks close a dead connection after 30 s without a frame and 15 s without a pong.
const DEAD_CONNECTION: Duration = Duration::from_secs(45);
/// Those two numbers (`ReadIdleTimeout`, `PingTimeout` of golang.org/x/net/http2): after the first a ping is sent.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
/// A watch in which nothing has come for so long has no server any more: a bookmark comes each minute. Where there is one
/// server alone this stands for the pings.
const SILENT_WATCH: Duration = Duration::from_secs(150);
const SILENCE_CHECK: Duration = Duration::from_secs(30);
const TIMEOUT_CHECK: Duration = Duration::from_secs(1);

/// What came back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// For a watch: its opening.
    Response(Arc<Response>),
    Watch(Arc<WatchEvent>),
    /// Nothing came, or the stream ended.
    Closed(CloseReason),
}

impl TokenBucket {
    pub fn new(qps: u64, burst: u64) -> TokenBucket {
        TokenBucket { qps, burst, millionths: burst * TOKEN, filled_at: Time::ZERO }
    }
    fn fill(&mut self, now: Time) {
        let gained = now.since(self.filled_at).as_micros().saturating_mul(self.qps);
        self.millionths = self.millionths.saturating_add(gained).min(self.burst * TOKEN);
        self.filled_at = now;
    }
    /// Takes a token, if there is one.
    pub fn try_take(&mut self, now: Time) -> bool {
        self.fill(now);
        let has_one = self.millionths >= TOKEN;
        if has_one {
            self.millionths -= TOKEN;
        }
        has_one
    }
    /// How long until there is one.
    fn wait(&self) -> Duration {
        Duration((TOKEN.saturating_sub(self.millionths)).div_ceil(self.qps.max(1)).max(1))
    }
}

impl<P: Clone> Connection<P> {
    pub fn new(server: ActorId) -> Connection<P> {
        Connection::balanced(vec![server])
    }
    /// A connection through a balancer in front of several API servers (kubeadm's `controlPlaneEndpoint`): it is put
    /// through to one of them, and to the next when that one cannot be reached any more.
    pub fn balanced(servers: Vec<ActorId>) -> Connection<P> {
        Connection {
            servers,
            next_id: 1,
            in_flight: SortedMap::new(),
            windows: Vec::new(),
            next_check: None,
            heard: Time::ZERO,
            is_pinged: false,
        }
    }
    /// Forgets everything in flight, as a restarted process does. Numbers go on, so that answers to the
    /// former life are not mistaken for answers to this one.
    pub fn restart(&mut self) {
        self.in_flight.clear();
        self.next_check = None;
        for window in &mut self.windows {
            window.waiting.clear();
        }
    }
    /// Adds a component; the number returned names it in [`Connection::send`]. No limit when `qps` is 0.
    pub fn window(&mut self, user: Arc<User>, user_agent: &str, qps: u64, burst: u64) -> usize {
        self.windows.push(Window {
            user,
            user_agent: user_agent.into(),
            limiter: (qps > 0).then(|| TokenBucket::new(qps, burst)),
            waiting: VecDeque::new(),
        });
        self.windows.len() - 1
    }
    /// From now on requests of a window are somebody else's.
    pub fn sign_in(&mut self, window: usize, user: Arc<User>, user_agent: &str) {
        if let Some(window) = self.windows.get_mut(window) {
            (window.user, window.user_agent) = (user, user_agent.into());
        }
    }
    /// `server` cannot be reached: from now on the next one is asked.
    fn turn_from(&mut self, server: ActorId) {
        if self.servers.first() == Some(&server) {
            self.servers.rotate_left(1);
            self.is_pinged = false;
        }
    }
    fn hear(&mut self, now: Time) {
        self.heard = now;
        self.is_pinged = false;
    }
    /// Where there is another server to turn to: whether the present one has gone, which is found by a ping, as an open
    /// watch alone would never tell. With a single server nothing would be gained by it, and it is not asked.
    fn is_lost(&mut self, context: &mut Context) -> bool {
        let Some(server) = self.servers.first().copied().filter(|_| self.servers.len() > 1) else {
            return false;
        };
        if !self.in_flight.values().any(|entry| entry.server == server) {
            self.hear(context.now());
            return false;
        }
        let idle = context.now().since(self.heard);
        if idle >= IDLE_CONNECTION && !self.is_pinged {
            self.is_pinged = true;
            context.send(server, Message::Ping { is_answer: false });
        }
        idle >= DEAD_CONNECTION
    }
    fn check_in(&mut self, after: Duration, context: &mut Context) {
        self.next_check = Some(context.now() + after);
        context.periodic(after, Timer::Client(ClientTimer::Timeouts));
    }
    /// Requests that wait for a token, over all windows.
    pub fn throttled(&self) -> usize {
        self.windows.iter().map(|window| window.waiting.len()).sum()
    }
    pub fn outstanding(&self) -> usize {
        self.in_flight.len()
    }

    /// Sends `request` from window `window`, now or when its turn comes.
    pub fn send(&mut self, context: &mut Context, window: usize, request: Request, purpose: P) {
        self.send_to(context, window, Destination::Usual, request, purpose);
    }
    /// The same, with a destination of the request's own.
    pub fn send_to(
        &mut self,
        context: &mut Context,
        window: usize,
        to: Destination,
        request: Request,
        purpose: P,
    ) {
        let now = context.now();
        let line = &mut self.windows[window];
        if let Some(limiter) = &mut line.limiter
            && (!line.waiting.is_empty() || !limiter.try_take(now))
        {
            if line.waiting.is_empty() {
                context.timer(limiter.wait(), Timer::Client(ClientTimer::Tokens { client: window }));
            }
            line.waiting.push_back((to, request, purpose, context.cause()));
            return;
        }
        self.post(context, window, to, request, purpose);
    }

    /// Sends past the rate limit, and says under which number.
    pub fn send_now(&mut self, context: &mut Context, window: usize, request: Request, purpose: P) -> u64 {
        self.post(context, window, Destination::Usual, request, purpose)
    }
    fn post(
        &mut self,
        context: &mut Context,
        window: usize,
        to: Destination,
        mut request: Request,
        purpose: P,
    ) -> u64 {
        request.user = self.windows[window].user.clone();
        self.post_as(context, window, to, request, purpose)
    }

    /// Sends past the rate limit, with the signature that the request has already.
    pub fn send_as(&mut self, context: &mut Context, window: usize, request: Request, purpose: P) -> u64 {
        self.post_as(context, window, Destination::Usual, request, purpose)
    }
    fn post_as(
        &mut self,
        context: &mut Context,
        window: usize,
        to: Destination,
        mut request: Request,
        purpose: P,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request.id = id;
        if request.user_agent.is_empty() {
            request.user_agent = self.windows[window].user_agent.clone();
        }
        let is_watch = request.verb == Verb::Watch;
        let deadline = Some(context.now() + DEAD_CONNECTION);
        let server = match to {
            Destination::Usual => self.servers.first().copied().unwrap_or(context.me()),
            Destination::Server(server) => server,
            Destination::Nowhere => context.me(),
        };
        let heard = request.options.allow_watch_bookmarks.then_some(context.now());
        self.in_flight.insert(id, InFlight { purpose, server, deadline, next_sequence: 0, heard, is_watch });
        let soon = context.now() + TIMEOUT_CHECK;
        if self.next_check.is_none_or(|next| next > soon) {
            self.hear(context.now());
            self.check_in(TIMEOUT_CHECK, context);
        }
        if to != Destination::Nowhere {
            context.send(server, Message::Request(Arc::new(request)));
        }
        id
    }

    /// The rate limiter of `window` may have a token now.
    pub fn tokens(&mut self, context: &mut Context, window: usize) {
        let now = context.now();
        loop {
            let line = &mut self.windows[window];
            let Some(limiter) = &mut line.limiter else { return };
            if line.waiting.is_empty() {
                return;
            }
            if !limiter.try_take(now) {
                context.timer(limiter.wait(), Timer::Client(ClientTimer::Tokens { client: window }));
                return;
            }
            let Some((to, request, purpose, cause)) = line.waiting.pop_front() else { return };
            context.because(cause, |context| self.post(context, window, to, request, purpose));
        }
    }

    /// Says what a message is the answer to. `None`: to nothing that is still awaited.
    pub fn receive(
        &mut self,
        context: &mut Context,
        from: ActorId,
        message: &Message,
    ) -> Option<(P, Answer)> {
        if self.servers.first() == Some(&from) {
            self.hear(context.now());
        }
        match message {
            Message::Response(response) => {
                let entry = self.in_flight.get_mut(&response.id)?;
                if entry.is_watch && response.is_success() {
                    entry.deadline = None;
                    entry.heard = entry.heard.map(|_| context.now());
                    return Some((entry.purpose.clone(), Answer::Response(response.clone())));
                }
                let entry = self.in_flight.remove(&response.id)?;
                Some((entry.purpose, Answer::Response(response.clone())))
            }
            Message::Watch(event) => {
                let Some(entry) = self.in_flight.get_mut(&event.id) else {
                    // A stream of a former life: tell the server that nobody listens.
                    self.cancel_at(context, from, event.id);
                    return None;
                };
                if event.sequence != entry.next_sequence {
                    let entry = self.in_flight.remove(&event.id)?;
                    self.cancel_at(context, from, event.id);
                    return Some((entry.purpose, Answer::Closed(CloseReason::Reset)));
                }
                entry.next_sequence += 1;
                entry.heard = entry.heard.map(|_| context.now());
                Some((entry.purpose.clone(), Answer::Watch(event.clone())))
            }
            Message::Closed(closed) => {
                let entry = self.in_flight.remove(&closed.id)?;
                if closed.why == CloseReason::Refused {
                    self.turn_from(entry.server);
                }
                Some((entry.purpose, Answer::Closed(closed.why)))
            }
            _ => None,
        }
    }

    /// Exchanges that have waited too long: they are over.
    pub fn timeouts(&mut self, context: &mut Context) -> Vec<(P, Answer)> {
        let now = context.now();
        if self.next_check != Some(now) {
            return Vec::new();
        }
        let lost = self.is_lost(context).then(|| self.servers.first().copied()).flatten();
        let is_dead = |entry: &InFlight<P>| {
            let is_over = match entry.deadline {
                Some(deadline) => deadline <= now,
                None => entry.heard.is_some_and(|heard| now.since(heard) >= SILENT_WATCH),
            };
            Some(entry.server) == lost || is_over
        };
        let dead: Vec<u64> =
            self.in_flight.iter().filter(|(_, entry)| is_dead(entry)).map(|(id, _)| *id).collect();
        let mut over = Vec::new();
        for id in dead {
            if let Some(entry) = self.in_flight.remove(&id) {
                self.cancel_at(context, entry.server, id);
                let why = if entry.deadline.is_some() { CloseReason::TimedOut } else { CloseReason::Reset };
                over.push((entry.purpose, Answer::Closed(why)));
            }
        }
        if let Some(server) = lost {
            self.turn_from(server);
            self.hear(now);
        }
        let is_watched = |entry: &InFlight<P>| entry.deadline.is_some() || self.servers.len() > 1;
        let is_close = self.in_flight.values().any(is_watched);
        self.next_check = None;
        if !self.in_flight.is_empty() {
            self.check_in(if is_close { TIMEOUT_CHECK } else { SILENCE_CHECK }, context);
        }
        over
    }

    /// Ends the exchanges whose purpose `is_over`.
    pub fn cancel(&mut self, context: &mut Context, is_over: impl Fn(&P) -> bool) {
        let gone: Vec<(u64, ActorId)> = self
            .in_flight
            .iter()
            .filter(|(_, entry)| is_over(&entry.purpose))
            .map(|(id, entry)| (*id, entry.server))
            .collect();
        for (id, server) in gone {
            self.in_flight.remove(&id);
            self.cancel_at(context, server, id);
        }
        for window in &mut self.windows {
            window.waiting.retain(|(_, _, purpose, _)| !is_over(purpose));
        }
    }

    /// Ends the exchange of `purpose`, if there is one.
    pub fn cancel_watch(&mut self, purpose: &P, context: &mut Context)
    where
        P: PartialEq,
    {
        self.cancel(context, |other| other == purpose);
    }

    fn cancel_at(&self, context: &mut Context, server: ActorId, id: u64) {
        if server == context.me() {
            return;
        }
        context.send(server, Message::Closed(Closed { id, why: CloseReason::Cancelled }));
    }
}

impl Answer {
    /// The object of a success, or the `Status` of whatever went wrong.
    pub fn into_result(self) -> Result<Value, Value> {
        match self {
            Answer::Response(response) if response.is_success() => Ok(response.body.clone()),
            Answer::Response(response) => Err(response.body.clone()),
            Answer::Watch(event) => Ok(event.object.clone()),
            Answer::Closed(why) => Err(closed_status(why)),
        }
    }
}

/// The failure of a connection, in the form of a `Status`, so that callers see one kind of error.
pub fn closed_status(why: CloseReason) -> Value {
    let (reason, message) = match why {
        CloseReason::Refused => ("ConnectionRefused", "dial tcp: connect: connection refused"),
        CloseReason::TimedOut => ("Timeout", "http2: client connection lost"),
        CloseReason::Cancelled => ("Canceled", "context canceled"),
        CloseReason::Reset => ("ConnectionReset", "read tcp: connection reset by peer"),
    };
    object! { "kind" => "Status", "apiVersion" => "v1", "status" => "Failure", "reason" => reason, "message" => message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(20, 30);
        let now = Time::from_secs(10);
        assert_eq!((0..100).filter(|_| bucket.try_take(now)).count(), 30);
        assert_eq!(bucket.wait(), Duration::from_millis(50));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| bucket.try_take(later)).count(), 20);
    }
}
