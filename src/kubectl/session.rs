//! One run of one command: its flags, what it knows of the API, and its telephone to the server.
//!
//! Picture to hold in mind: a clerk at the desk with the order slip in one hand and the receiver in the other.

use std::ops::{ControlFlow, Deref, DerefMut};
use std::sync::Arc;

use crate::api::kind::{Registry, ResourceInfo};
use crate::api::time_format::parse_go_duration;
use crate::api::{Text, Value};
use crate::client::{Answer, request};
use crate::message::rest::{CloseReason, Request, Resource, User};
use crate::shell::{Cli, Halt, Run};
use crate::sim::{Duration, Time};

use super::builder::Info;
use super::config::Context;
use super::failure::{Failure, HOST, Outcome, Stop, fail};
use super::flag::Flags;

/// What came of one item, before which others were: a list that is copied with each step has to share what it has.
struct Link {
    result: Result<Value, Failure>,
    before: Option<Arc<Link>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        // One after the other: each within the next would be too deep.
        let mut next = self.before.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            next = link.before.take();
        }
    }
}

/// A command while it runs.
pub struct Session<'c, 'p, 'h> {
    pub cli: &'c mut Cli<'p, 'h>,
    pub flags: Arc<Flags>,
    pub registry: Registry,
    /// `kubectl get`, for hints.
    pub command: String,
    /// What the kubeconfig says.
    pub context: Arc<Context>,
}

impl<'p, 'h> Deref for Session<'_, 'p, 'h> {
    type Target = Cli<'p, 'h>;
    fn deref(&self) -> &Cli<'p, 'h> {
        self.cli
    }
}
impl<'p, 'h> DerefMut for Session<'_, 'p, 'h> {
    fn deref_mut(&mut self) -> &mut Cli<'p, 'h> {
        self.cli
    }
}

/// Objects, and what could not be had.
pub type Chosen = (Vec<Info>, Vec<Failure>);

/// How much of a change is done: `--dry-run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    No,
    Client,
    Server,
}

impl DryRun {
    /// What is added behind `created`.
    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::No => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }
}

impl Session<'_, '_, '_> {
    pub fn operands(&self) -> &[String] {
        &self.flags.operands
    }
    /// The namespace of the request: `-n`, the context's, or `default`.
    pub fn namespace(&self) -> String {
        match (self.flags.text("namespace"), self.context.namespace.as_str()) {
            ("", "") => "default".into(),
            ("", namespace) | (namespace, _) => namespace.into(),
        }
    }
    pub fn has_explicit_namespace(&self) -> bool {
        self.flags.is_set("namespace")
    }
    /// A path instead of objects is understood by `get` alone.
    pub fn refuse_raw(&self) -> Outcome {
        match self.flags.is_set("raw") {
            true => fail(crate::fidelity::message("kubectl", "--raw").unwrap_or_default()),
            false => Ok(()),
        }
    }
    pub fn dry_run(&self) -> Outcome<DryRun> {
        match self.flags.text("dry-run") {
            "none" | "false" => Ok(DryRun::No),
            "client" => Ok(DryRun::Client),
            "server" => Ok(DryRun::Server),
            "unchanged" => Err(Failure::Message(
                "--dry-run flag without a value was specified. A value must be set: \"none\", \"server\", or \"client\".".into(),
            )
            .into()),
            "true" => Err(Failure::Message(
                "Invalid dry-run value (true). Must be \"none\", \"server\", or \"client\".".into(),
            )
            .into()),
            other => Err(Failure::Message(format!(
                "Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
            ))
            .into()),
        }
    }
    /// `Strict`, `Warn` or `Ignore`, from `--validate`.
    pub fn field_validation(&self) -> Outcome<&'static str> {
        match self.flags.text("validate") {
            "strict" | "true" => Ok("Strict"),
            "warn" => Ok("Warn"),
            "ignore" | "false" => Ok("Ignore"),
            other => Err(Failure::Message(format!(
                "invalid - validate option {other:?}; must be one of: strict (or true), warn, ignore (or false)"
            ))
            .into()),
        }
    }
    /// `--field-manager`, or this command's own.
    pub fn field_manager(&self, default: &str) -> Text {
        match self.flags.text("field-manager") {
            manager if self.flags.is_set("field-manager") && !manager.is_empty() => manager.into(),
            _ => default.into(),
        }
    }

    /// Sends requests together; for each its object, or why not.
    pub fn send_all(&mut self, requests: Vec<Request>) -> Outcome<Vec<Result<Value, Failure>>> {
        let requests = requests.into_iter().map(|request| self.sign(request)).collect();
        let timeout = self.request_timeout()?;
        let answers = self.cli.ask_within(requests, timeout)?;
        Ok(answers.into_iter().map(|answer| self.read(answer)).collect())
    }
    /// `--request-timeout`; none: 0.
    fn request_timeout(&self) -> Outcome<Option<Duration>> {
        let text = self.flags.text("request-timeout");
        let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
        let parsed = || parse_go_duration(text).and_then(|micros| u64::try_from(micros).ok()).map(Duration);
        match seconds.or_else(parsed) {
            Some(timeout) => Ok(Some(timeout).filter(|timeout| *timeout > Duration::ZERO)),
            None if text.is_empty() => Ok(None),
            None => Err(Failure::Message(
                "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)".into(),
            )
            .into()),
        }
    }
    fn sign(&self, mut request: Request) -> Request {
        request.options.bearer_token = self.context.token.as_str().into();
        let name = match self.flags.text("as") {
            "" => self.context.user.as_str(),
            name => name,
        };
        if !name.is_empty() {
            let groups = self.flags.list("as-group");
            let groups = groups.iter().map(|group| Text::from(group.as_str())).collect();
            let mut user = User::new(name.into(), groups);
            user.uid = self.flags.text("as-uid").into();
            for (key, value) in self.flags.list("as-user-extra").iter().filter_map(|own| own.split_once('='))
            {
                // A header's name has no capitals.
                user.add_extra(&key.to_ascii_lowercase(), value);
            }
            request.options.impersonate = Some(Arc::new(user));
        }
        request
    }
    /// The API server's `host:port`, as messages name it.
    pub fn server(&self) -> Text {
        match self.cli.server() {
            "" => Text::from(HOST),
            server => server.into(),
        }
    }
    /// Prints warnings and tells success from failure.
    fn read(&mut self, answer: Answer) -> Result<Value, Failure> {
        match answer {
            Answer::Response(response) => {
                for warning in &response.warnings {
                    self.warn(warning);
                }
                if response.is_success() {
                    Ok(response.body.clone())
                } else {
                    Err(Failure::Status(response.body.clone()))
                }
            }
            Answer::Watch(event) => Ok(event.object.clone()),
            Answer::Closed(why) => Err(Failure::Connection(why, self.server())),
        }
    }
    /// Prints a warning, each text once a command.
    pub fn warn(&mut self, text: &str) {
        if self.cli.first_time(text) {
            self.cli.eprintln(format!("Warning: {text}"));
        }
    }
    /// Sends one request; a failure is the caller's to judge.
    pub fn attempt(&mut self, request: Request) -> Outcome<Result<Value, Failure>> {
        Ok(self
            .send_all(vec![request])?
            .pop()
            .unwrap_or_else(|| Err(Failure::Connection(CloseReason::Reset, self.server()))))
    }
    /// Sends one request; a failure ends the command.
    pub fn send(&mut self, request: Request) -> Outcome<Value> {
        Ok(self.attempt(request)??)
    }
    /// Does `work` until it is done, and keeps what came of it: a command that goes from one object to the next would else
    /// look for all of them again before each.
    pub fn settle<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<Arc<T>>
    where
        T: Send + Sync + 'static,
    {
        let (act, kept) = self.cli.begin_act();
        if let Some(kept) = kept.and_then(|kept| kept.downcast::<(Arc<T>, Registry)>().ok()) {
            self.registry = kept.1.clone();
            return Ok(kept.0.clone());
        }
        let outcome = Arc::new(work(self)?);
        self.cli.end_act(act, Arc::new((outcome.clone(), self.registry.clone())));
        Ok(outcome)
    }
    pub fn open_watch(&mut self, request: Request) -> u64 {
        let request = self.sign(request);
        self.cli.open(request)
    }

    /// Runs `step` for each of `items` with a state that goes along; what is over costs nothing any more.
    pub fn each<T, S: Clone + Send + Sync + 'static>(
        &mut self,
        items: &[T],
        initial: S,
        mut step: impl FnMut(&mut Session, &T, S) -> Outcome<S>,
    ) -> Outcome<S> {
        let (_, state) = self.fold((0usize, initial), |session, (index, state)| {
            let Some(item) = items.get(index) else { return Ok(ControlFlow::Break((index, state))) };
            let state = step(session, item, state)?;
            Ok(ControlFlow::Continue((index + 1, state)))
        })?;
        Ok(state)
    }
    /// The same for steps that stand alone: one that fails does not keep the others from being done. What came of them is
    /// kept, with `bad` as what has failed before.
    pub fn each_alone<T>(
        &mut self,
        items: &[T],
        bad: &[Failure],
        mut step: impl FnMut(&mut Session, &T) -> Outcome<Value>,
    ) -> Outcome<Arc<(Vec<Failure>, Vec<Value>)>> {
        self.settle(|session| {
            let last = session.each(items, None, |session, item, before| {
                let result = match step(session, item) {
                    Ok(value) => Ok(value),
                    Err(Stop::Failure(failure)) => Err(failure),
                    Err(halt) => return Err(halt),
                };
                Ok(Some(Arc::new(Link { result, before })))
            })?;
            let (mut failures, mut values) = (Vec::new(), Vec::new());
            let mut next = &last;
            while let Some(link) = next {
                match &link.result {
                    Ok(value) => values.push(value.clone()),
                    Err(failure) => failures.push(failure.clone()),
                }
                next = &link.before;
            }
            failures.extend(bad.iter().rev().cloned());
            failures.reverse();
            values.reverse();
            Ok((failures, values))
        })
    }
    /// [`Cli::fold`] for steps that may fail.
    pub fn fold<S: Clone + Send + Sync + 'static>(
        &mut self,
        initial: S,
        mut step: impl FnMut(&mut Session, S) -> Outcome<ControlFlow<S, S>>,
    ) -> Outcome<S> {
        let (flags, registry) = (self.flags.clone(), self.registry.clone());
        let (command, context) = (self.command.clone(), self.context.clone());
        let mut failure = None;
        let result: Run<S> = self.cli.fold(initial, |cli, state| {
            let mut inner = Session {
                cli,
                flags: flags.clone(),
                registry: registry.clone(),
                command: command.clone(),
                context: context.clone(),
            };
            match step(&mut inner, state) {
                Ok(flow) => Ok(flow),
                Err(Stop::Halt(halt)) => Err(halt),
                Err(Stop::Failure(stopped)) => {
                    failure = Some(stopped);
                    Err(Halt::Exit(1))
                }
            }
        });
        match (result, failure) {
            (Err(_), Some(failure)) => Err(failure.into()),
            (result, _) => Ok(result?),
        }
    }

    /// The instant of simulated time at which the command asks.
    pub fn now(&mut self) -> Time {
        self.cli.now()
    }

    /// Makes custom resources known, when something is asked for that is not built in.
    pub fn discover(&mut self) -> Outcome {
        if let Ok(groups) = self.attempt(request::path("/apis?aggregated"))? {
            let found = ResourceInfo::from_discovery(&groups).into_iter().map(Arc::new).collect();
            self.registry = self.registry.with_custom(found);
        }
        Ok(())
    }
    /// What a person's word for a resource means, with the version that was named.
    pub fn resource(&mut self, typed: &str) -> Outcome<Mapping> {
        if let Some(mapping) = self.known_resource(typed) {
            return Ok(mapping);
        }
        self.discover()?;
        match self.known_resource(typed) {
            Some(mapping) => Ok(mapping),
            None => {
                let name = typed.split('.').next().unwrap_or(typed);
                Err(Failure::Message(format!("the server doesn't have a resource type {name:?}")).into())
            }
        }
    }
    fn known_resource(&self, typed: &str) -> Option<Mapping> {
        let (info, version) = self.registry.find(typed)?;
        Some(Mapping {
            info: info.clone(),
            version: version.unwrap_or_else(|| info.preferred_version().clone()),
        })
    }
    /// Finds a built-in resource by its plural and group.
    pub fn built_in(&self, group: &str, plural: &str) -> Mapping {
        match self.registry.resource(group, plural) {
            Some(info) => Mapping { info: info.clone(), version: info.preferred_version().clone() },
            None => Mapping::unknown(group, plural),
        }
    }
}

/// A resource at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    pub info: Arc<ResourceInfo>,
    pub version: Text,
}

impl Mapping {
    fn unknown(group: &str, plural: &str) -> Mapping {
        let info = ResourceInfo {
            group: group.into(),
            versions: vec!["v1".into()],
            storage_version: "v1".into(),
            kind: plural.into(),
            list_kind: plural.into(),
            plural: plural.into(),
            singular: plural.into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: Vec::new(),
            subresources: Vec::new(),
            storage_prefix: Text::new(),
            definition: None,
            custom: false,
        };
        Mapping { info: Arc::new(info), version: "v1".into() }
    }
    pub fn resource(&self) -> Resource {
        Resource {
            group: self.info.group.clone(),
            version: self.version.clone(),
            plural: self.info.plural.clone(),
        }
    }
    pub fn namespaced(&self) -> bool {
        self.info.namespaced
    }
    pub fn api_version(&self) -> Text {
        crate::api::kind::join_api_version(&self.info.group, &self.version)
    }
    /// `/v1, Resource=pods`.
    pub fn go_string(&self) -> String {
        format!("{}/{}, Resource={}", self.info.group, self.version, self.info.plural)
    }
    /// `/v1, Kind=Pod`.
    pub fn kind_go_string(&self) -> String {
        format!("{}/{}, Kind={}", self.info.group, self.version, self.info.kind)
    }
    /// `pod`, `deployment.apps`.
    pub fn short_kind(&self) -> String {
        short_kind(&self.info.group, &self.info.kind)
    }
    /// `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        self.resource().qualified()
    }
}

/// `pod`, `deployment.apps`: how output names a kind.
pub fn short_kind(group: &str, kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    if group.is_empty() { kind } else { format!("{kind}.{group}") }
}

/// The same of an object.
pub fn kind_of(object: &Value) -> String {
    let group = object.text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    short_kind(group, object.text("kind"))
}
