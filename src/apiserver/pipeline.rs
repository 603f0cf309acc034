//! The desks of the town hall, one after another.
//!
//! Picture to hold in mind: an assembly line with one bell. A request is laid on the line; the bell rings when it
//! has passed all desks before the archive, and only then is it decided what each of them did to it: the
//! world is looked at once, at the instant at which the archive is asked. The time that each desk took is
//! written down for whoever wants to see the line at work.
//!
//! Follows the handler chain of `k8s.io/apiserver/pkg/server/config.go` (`DefaultBuildHandlerChain`) and
//! `pkg/endpoints/handlers`.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Text, meta, time};
use crate::language::Context;
use crate::message::rest::{CloseReason, Closed, Request, Response, User, Verb};
use crate::message::{Message, etcd};
use crate::note::{Note, Stage};
use crate::sim::{Duration, Time};
use crate::timer::{ApiServerTimer, Timer};

use super::ApiServer;
use super::exchange::{Answer, Exchange, State, Step};
use super::store::Purpose;
use super::watchers::ExchangeId;

/// How long each stage takes at most, in microseconds, for reads and for writes; half of it at least. Some
/// 1.5 ms for a write before etcd: what a real server's traces show on an idle machine.
const STAGES: [(Stage, u64, u64); 6] = [
    (Stage::Authentication, 60, 60),
    (Stage::Authorization, 90, 90),
    (Stage::Decoding, 30, 280),
    (Stage::MutatingAdmission, 0, 420),
    (Stage::Validation, 0, 320),
    (Stage::ValidatingAdmission, 0, 330),
];

/// How long a list or watch that asks for a revision of the future waits for it (`blockTimeout`).
const FRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// A new namespace's account `default` is looked for so often, 100 to 200 ms apart (`getServiceAccount`).
const DEFAULT_ACCOUNT_RETRIES: u32 = 9;

/// An instance of a definition that has been established for less is made so much later
/// (`customresource_handler.go`).
const JUST_ESTABLISHED: Duration = Duration::from_secs(2);

/// What the stages of one request take: the same at its start and, for the notes, when it is through.
fn durations(id: ExchangeId, is_read: bool) -> [u64; 6] {
    // Spread by the request's own number: no draw is needed, so nothing must be remembered.
    let mut spread = (u64::from(id.0.0) << 32 | id.1 & 0xffff_ffff).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    STAGES.map(|(_, read, write)| {
        let most = if is_read { read } else { write };
        spread = spread.rotate_left(17).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        most / 2 + (((spread >> 40) * (most / 2)) >> 24)
    })
}

/// A request that is being handled, for whoever watches the line at work.
pub struct InHand<'a> {
    pub request: &'a Request,
    pub received: Time,
    /// When it leaves authentication, authorization, mutating admission, and what validates it.
    pub leaves: [Time; 4],
}

impl ApiServer {
    /// The requests that have not been answered yet, by client and number.
    pub fn in_hand(&self) -> impl Iterator<Item = InHand<'_>> {
        self.exchanges.values().map(|exchange| {
            let stages = durations(exchange.id, exchange.request.verb.is_read());
            let mut left = exchange.received;
            let mut after = |stages: &[u64]| {
                left += Duration::from_micros(stages.iter().sum());
                left
            };
            let leaves =
                [after(&stages[..1]), after(&stages[1..2]), after(&stages[2..4]), after(&stages[4..])];
            InHand { request: &exchange.request, received: exchange.received, leaves }
        })
    }

    /// A request arrives.
    pub(super) fn receive(
        &mut self,
        client: crate::sim::ActorId,
        request: Arc<Request>,
        context: &mut Context,
    ) {
        let id = (client, request.id);
        if !self.feed.is_ready() && request.path.is_empty() {
            // The real process does not listen before its caches are filled.
            context.send(client, Message::Closed(Closed { id: request.id, why: CloseReason::Refused }));
            return;
        }
        self.learn_kubelet(client, &request);
        // A client that was restarted counts from the beginning: its old exchange is over.
        self.end_stream(id);
        let total: u64 = durations(id, request.verb.is_read()).iter().sum();
        let exchange = Exchange {
            id,
            asker: Arc::clone(&request.user),
            user: Arc::clone(&request.user),
            spoken_by: None,
            allowed_by: Text::new(),
            request,
            received: context.now(),
            handled: context.now(),
            state: State::Handling,
            warnings: Vec::new(),
            annotations: Vec::new(),
            retries: 0,
        };
        self.exchanges.insert(id, exchange);
        let timer = Timer::ApiServer(ApiServerTimer::Handled { client, id: id.1 });
        context.timer(Duration::from_micros(total), timer);
    }

    /// A request of the server to itself; its number.
    pub(super) fn request_own(&mut self, mut request: Request, context: &mut Context) -> u64 {
        self.own_requests += 1;
        request.id = self.own_requests;
        request.user = loopback_user();
        request.user_agent = "kube-apiserver".into();
        self.receive(context.me(), Arc::new(request), context);
        self.own_requests
    }

    /// The bell: the request has passed the desks before storage.
    pub(super) fn handled(&mut self, id: ExchangeId, context: &mut Context) {
        let Some(mut exchange) = self.exchanges.get(&id).cloned() else { return };
        if !matches!(exchange.state, State::Handling) {
            return;
        }
        if exchange.retries == 0 && self.is_just_established(&exchange.request, context.now()) {
            exchange.retries += 1;
            let (client, number) = id;
            self.exchanges.insert(id, exchange);
            context.timer(JUST_ESTABLISHED, Timer::ApiServer(ApiServerTimer::Handled { client, id: number }));
            return;
        }
        exchange.handled = context.now();
        let result = self.begin(&mut exchange, context);
        if let Err(status) = &result
            && exchange.retries < DEFAULT_ACCOUNT_RETRIES
            && ApiServer::is_missing_default_account(status)
        {
            exchange.retries += 1;
            exchange.warnings.clear();
            let wait = context.random().duration(Duration::from_millis(100), Duration::from_millis(200));
            let (client, number) = id;
            self.exchanges.insert(id, exchange);
            context.timer(wait, Timer::ApiServer(ApiServerTimer::Handled { client, id: number }));
            return;
        }
        self.take(exchange, result.into(), context);
    }

    /// Whether a request makes an instance of a definition that other API servers may not have seen established yet.
    fn is_just_established(&self, request: &Request, now: Time) -> bool {
        if request.verb != Verb::Create || !request.subresource.is_empty() {
            return false;
        }
        let definition =
            self.catalog.route(&request.resource).and_then(|route| route.info.definition.as_ref());
        let established = definition.and_then(|kind| meta::condition(kind.definition(), "Established"));
        let since = established.and_then(|condition| time::parse(condition.text("lastTransitionTime")));
        since.is_some_and(|since| now.since(since) < JUST_ESTABLISHED)
    }

    /// What the request was waiting for is here: an answer of etcd, a lease, or a fresh enough cache.
    pub(super) fn resume(
        &mut self,
        id: ExchangeId,
        response: Option<&etcd::Response>,
        context: &mut Context,
    ) {
        let Some(kept) = self.exchanges.get_mut(&id) else { return };
        // Taken out before the rest is copied: what a write has in hand is much.
        let state = std::mem::replace(&mut kept.state, State::Handling);
        let mut exchange = kept.clone();
        let step = match (state, response) {
            (State::Reading(reading), Some(response)) => self.read(&mut exchange, reading, response, context),
            (State::AskingRevision, Some(response)) => self.revision_known(&mut exchange, response, context),
            (State::AwaitingRevision, _) => self.answer_from_cache(&mut exchange, context),
            (State::Writing(cycle), _) => self.go_on_writing(&mut exchange, cycle, response, context),
            (state, _) => {
                // It waits for something else.
                exchange.state = state;
                self.exchanges.insert(id, exchange);
                return;
            }
        };
        self.take(exchange, step.into(), context);
    }

    fn take(&mut self, mut exchange: Exchange, step: Step, context: &mut Context) {
        let id = exchange.id;
        match step {
            Step::Answer(answer) => self.answer(exchange, answer, context),
            Step::Ask(operation) => {
                self.exchanges.insert(id, exchange);
                self.store.ask(operation, Purpose::Exchange(id), context);
            }
            Step::AwaitRevision(revision) => {
                exchange.state = State::AwaitingRevision;
                self.exchanges.insert(id, exchange);
                if revision <= self.feed.revision() {
                    self.resume(id, None, context);
                    return;
                }
                self.awaiting_revision.insert((revision, id), context.now());
                self.store.ask(etcd::Operation::Progress, Purpose::Probe, context);
            }
            Step::AwaitLease => {
                self.exchanges.insert(id, exchange);
                self.awaiting_lease.push(id);
            }
            Step::Waiting => drop(self.exchanges.insert(id, exchange)),
            Step::Opened => {
                self.exchanges.remove(&id);
            }
        }
    }

    /// Finishes a request.
    fn answer(&mut self, mut exchange: Exchange, answer: Answer, context: &mut Context) {
        self.exchanges.remove(&exchange.id);
        exchange.annotations.extend(self.annotations.remove(&exchange.id).into_iter().flatten());
        self.allocator.release(exchange.id);
        self.note(&exchange, &answer, context);
        if exchange.id.0 == context.me() {
            self.own_answer(exchange.id.1, &answer, context);
            return;
        }
        // Each warning is sent once, however often it was given.
        let mut warnings: Vec<Text> = Vec::new();
        for warning in exchange.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let response = Response {
            id: exchange.id.1,
            code: answer.code,
            body: answer.body,
            warnings,
            retry_after_seconds: answer.retry_after_seconds,
        };
        context.send(exchange.id.0, Message::Response(Arc::new(response)));
    }

    /// Finishes a request whose answer came from elsewhere.
    pub(super) fn answer_exchange(&mut self, id: ExchangeId, answer: Answer, context: &mut Context) {
        if let Some(exchange) = self.exchanges.get(&id).cloned() {
            self.answer(exchange, answer, context);
        }
    }

    /// Writes down the stages, and the audit event.
    pub(super) fn note(&self, exchange: &Exchange, answer: &Answer, context: &mut Context) {
        if self.config.notes_stages {
            self.note_stages(exchange, answer, context);
        }
        if self.config.audits && exchange.id.0 != context.me() {
            context.note(Note::Audit(super::audit::event(exchange, answer, context.now())));
        }
    }

    fn note_stages(&self, exchange: &Exchange, answer: &Answer, context: &mut Context) {
        let (client, id) = exchange.id;
        let is_read = exchange.request.verb.is_read();
        let takes = durations(exchange.id, is_read);
        let mut from = exchange.received;
        for ((stage, _, _), takes) in STAGES.iter().zip(takes) {
            if takes == 0 {
                continue;
            }
            let until = Time(from.0 + takes);
            let detail = match stage {
                Stage::Authentication => exchange.user.name.clone(),
                Stage::Authorization => super::access::detail(exchange, answer),
                _ => Text::new(),
            };
            context.note(Note::Stage { client, id, stage: *stage, from, until, detail });
            from = until;
        }
        let detail = answer.body.shared_text("metadata.resourceVersion");
        context.note(Note::Stage {
            client,
            id,
            stage: Stage::Storage,
            from: exchange.handled,
            until: context.now(),
            detail,
        });
    }

    /// etcd has not answered in time.
    pub(super) fn give_up(&mut self, id: ExchangeId, context: &mut Context) {
        let Some(exchange) = self.exchanges.get(&id).cloned() else { return };
        let status = failure_of_etcd(&etcd::Error::TimedOut);
        self.answer(exchange, status.into(), context);
    }

    /// The caches have moved on: those who waited for that go on.
    pub(super) fn serve_waiting(&mut self, context: &mut Context) {
        while let Some(((revision, id), _)) = self.awaiting_revision.first() {
            let (revision, id) = (*revision, *id);
            if revision > self.feed.revision() {
                break;
            }
            self.awaiting_revision.remove(&(revision, id));
            self.resume(id, None, context);
        }
    }

    /// Once a second: those who wait for a revision that does not come are told so.
    pub(super) fn look_after_waiting(&mut self, context: &mut Context) {
        if self.awaiting_revision.is_empty() {
            return;
        }
        let now = context.now();
        let late: Vec<(u64, ExchangeId)> = self
            .awaiting_revision
            .iter()
            .filter(|(_, since)| now.since(**since) >= FRESH_TIMEOUT)
            .map(|(key, _)| *key)
            .collect();
        for (revision, id) in late {
            self.awaiting_revision.remove(&(revision, id));
            let Some(exchange) = self.exchanges.get(&id).cloned() else { continue };
            let message =
                format!("Too large resource version: {revision}, current: {}", self.feed.revision());
            let status = Status::timeout(&message, 1).with_cause(
                "ResourceVersionTooLarge",
                "Too large resource version",
                "",
            );
            self.answer(exchange, status.into(), context);
        }
        if !self.awaiting_revision.is_empty() {
            self.store.ask(etcd::Operation::Progress, Purpose::Probe, context);
        }
    }

    /// All desks before storage, at once.
    fn begin(&mut self, exchange: &mut Exchange, context: &mut Context) -> Result<Step, Status> {
        self.authenticate(exchange, context.now())?;
        self.authorize(exchange)?;
        let request = Arc::clone(&exchange.request);
        if !request.path.is_empty() {
            return Ok(Step::Answer(self.answer_path(&request, context.now())));
        }
        let catalog = Arc::clone(&self.catalog);
        let route = catalog.route(&request.resource).ok_or_else(Status::no_such_path)?;
        if route.info.namespaced
            && request.namespace.is_empty()
            && !matches!(request.verb, Verb::List | Verb::Watch | Verb::DeleteCollection)
        {
            return Err(Status::bad_request(
                "an empty namespace may not be set when a resource name is provided",
            ));
        }
        if let Some(kind) = &route.info.definition
            && let Some(version) = kind.version(&request.resource.version)
        {
            exchange.warnings.extend(version.deprecation_warning(kind));
        }
        if !request.subresource.is_empty() {
            return self.begin_subresource(exchange, route, context);
        }
        let verb = match request.verb {
            Verb::Get => crate::api::kind::Verb::Get,
            Verb::List => crate::api::kind::Verb::List,
            Verb::Watch => crate::api::kind::Verb::Watch,
            Verb::Create => crate::api::kind::Verb::Create,
            Verb::Update => crate::api::kind::Verb::Update,
            Verb::Patch(_) => crate::api::kind::Verb::Patch,
            Verb::Delete => crate::api::kind::Verb::Delete,
            Verb::DeleteCollection => crate::api::kind::Verb::DeleteCollection,
        };
        // Custom resources are asked for everything; discovery alone hides what their definition's end forbids.
        if !route.info.can(verb) && !route.info.custom {
            return Err(method_not_allowed());
        }
        if route.info.kind == "Endpoints" && route.info.group.is_empty() {
            exchange
                .warnings
                .push("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into());
            if self.config.audits {
                exchange.annotations.push(("k8s.io/deprecated".into(), "true".into()));
            }
        }
        let Some(cache) = route.cache else {
            return self.answer_virtual(exchange, route, context).map(Step::Answer);
        };
        match request.verb {
            Verb::Get => self.begin_get(exchange, route, cache),
            Verb::List => self.begin_list(exchange, route, cache, context),
            Verb::Watch => self.begin_watch(exchange, route, cache, context),
            Verb::Create => self.begin_create(exchange, route, cache, context),
            Verb::Update | Verb::Patch(_) => self.begin_update(exchange, route, cache, context),
            Verb::Delete => self.begin_delete(exchange, route, cache, context),
            Verb::DeleteCollection => self.begin_delete_collection(exchange, route, cache, context),
        }
    }
}

pub(super) fn method_not_allowed() -> Status {
    Status::new(
        405,
        crate::api::status::Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
}

/// The server as its own client.
pub(super) fn loopback_user() -> Arc<User> {
    use std::sync::LazyLock;
    static USER: LazyLock<Arc<User>> = LazyLock::new(|| {
        Arc::new(User {
            name: "system:apiserver".into(),
            groups: vec!["system:authenticated".into(), "system:masters".into()],
            ..User::default()
        })
    });
    Arc::clone(&USER)
}

/// What a client is told when etcd failed: an error that is no `Status` becomes one with code 500
/// (`k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/status.go`).
pub(super) fn failure_of_etcd(error: &etcd::Error) -> Status {
    match error {
        etcd::Error::Compacted { .. } | etcd::Error::FutureRevision => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        error => Status::new(500, crate::api::status::Reason::Unknown, error.to_string()),
    }
}
