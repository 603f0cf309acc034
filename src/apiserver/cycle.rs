//! One write: decide from what is known, commit if nothing changed meanwhile, decide again if it did.
//!
//! Picture to hold in mind: correcting a page in a shared book. You write the correction from your photocopy (the cache)
//! and hand it in with the page's number. The archivist takes it only if the page still has that number; otherwise you
//! get the page as it is now and write again. Only a correction that names its own page number is refused for good.
//!
//! Follows `GuaranteedUpdate`, `Create` and `Delete` of `k8s.io/apiserver/pkg/storage/etcd3/store.go`.

use std::sync::Arc;

use crate::api::status::Status;
use crate::api::{Text, Value, meta};
use crate::language::Context;
use crate::message::etcd;

use super::ApiServer;
use super::catalog::Route;
use super::delete::{Collection, Deletion};
use super::exchange::{Answer, Exchange, State, Step};
use super::form::Form;
use super::pipeline::failure_of_etcd;
use super::subresource::eviction::Eviction;

/// An object as a cache or etcd has it, with the revision of its last change.
#[derive(Clone)]
pub(crate) struct Current {
    pub object: Value,
    pub revision: u64,
}

/// What a decision wants of etcd.
#[derive(Clone)]
pub(crate) enum Change {
    Create(Value),
    Put(Value),
    /// With the last state.
    Remove(Value),
    /// Nothing: it is so already.
    Same(Value),
}

/// What else happens in the same transaction: keys that are made or removed with the object.
#[derive(Clone)]
pub(crate) enum Companion {
    Create {
        key: Text,
        object: Value,
    },
    Remove {
        key: Text,
    },
    /// As long as it is still as it was at `revision`.
    Replace {
        key: Text,
        object: Value,
        revision: u64,
    },
}

#[derive(Clone)]
pub(crate) enum Job {
    /// The object after mutating admission; its name is still to be generated if it has none.
    Create(Value),
    /// A PUT (with the body as it was decoded) or a patch (`Null`), of the object or a subresource.
    Update(Value),
    Delete(Deletion),
    Collection(Box<Collection>),
    Evict(Box<Eviction>),
}

#[derive(Clone, Copy, PartialEq)]
enum Expecting {
    Nothing,
    Fetch,
    Commit,
    Lease,
}

#[derive(Clone)]
pub(crate) struct Cycle {
    pub job: Job,
    /// Where the object lies that is written now.
    pub cache: usize,
    /// Its key below the cache's prefix.
    pub key: Text,
    pub companions: Vec<Companion>,
    /// Of the last attempt.
    pub warnings: Vec<Text>,
    expecting: Expecting,
    change: Option<Change>,
    revision: u64,
    /// Transactions that found the object changed.
    pub conflicts: u32,
}

/// Somebody else was faster so often: the client is told to try again itself.
const MAX_CONFLICTS: u32 = 50;
/// Names are generated anew so often when they turn out to be taken.
const NAME_ATTEMPTS: u32 = 8;

impl Cycle {
    pub(crate) fn new(job: Job, cache: usize, key: Text) -> Box<Cycle> {
        Box::new(Cycle {
            job,
            cache,
            key,
            companions: Vec::new(),
            warnings: Vec::new(),
            expecting: Expecting::Nothing,
            change: None,
            revision: 0,
            conflicts: 0,
        })
    }
}

impl ApiServer {
    /// Begins a write from what the cache knows.
    pub(super) fn write(
        &mut self,
        exchange: &mut Exchange,
        cycle: Box<Cycle>,
        context: &mut Context,
    ) -> Result<Step, Status> {
        if matches!(cycle.job, Job::Create(_)) {
            return self.attempt(exchange, cycle, None, true, context);
        }
        match self.shelf(cycle.cache, &cycle.key) {
            Some(object) => {
                let current = Current { revision: meta::resource_version(object), object: object.clone() };
                self.attempt(exchange, cycle, Some(current), false, context)
            }
            None => Ok(self.fetch(exchange, cycle)),
        }
    }

    fn fetch(&mut self, exchange: &mut Exchange, mut cycle: Box<Cycle>) -> Step {
        cycle.expecting = Expecting::Fetch;
        let range = etcd::Range { key: self.catalog.key(cycle.cache, &cycle.key), ..etcd::Range::default() };
        exchange.state = State::Writing(cycle);
        Step::Ask(etcd::Operation::Range(range))
    }

    /// Decides from `current`. What was decided from the cache and would be refused, or change nothing, is
    /// decided again from etcd: the cache may be behind.
    pub(super) fn attempt(
        &mut self,
        exchange: &mut Exchange,
        mut cycle: Box<Cycle>,
        current: Option<Current>,
        is_fresh: bool,
        context: &mut Context,
    ) -> Result<Step, Status> {
        if cycle.conflicts > MAX_CONFLICTS {
            let resource = self.catalog.by_cache.get(cycle.cache).map(|info| info.group_resource());
            let name = cycle.key.rsplit('/').next().unwrap_or("");
            return Err(Status::modified_conflict(&resource.unwrap_or_default(), name));
        }
        cycle.warnings.clear();
        cycle.companions.clear();
        let change = match self.decide(exchange, &mut cycle, current.as_ref(), context) {
            Ok(Change::Same(_)) | Err(_) if !is_fresh => return Ok(self.fetch(exchange, cycle)),
            Ok(change) => change,
            Err(status) => return Err(status),
        };
        cycle.revision = current.map_or(0, |current| current.revision);
        if exchange.request.options.dry_run || matches!(change, Change::Same(_)) {
            let revision = cycle.revision;
            return self.committed(exchange, cycle, change, revision, context);
        }
        let mut change = change;
        if let Change::Create(object) | Change::Put(object) = &mut change {
            // As it will lie in etcd: the revision is the key's own. Nobody shares the object yet.
            meta::set_resource_version(object, 0);
        }
        cycle.change = Some(change);
        self.commit(exchange, cycle, context)
    }

    fn commit(
        &mut self,
        exchange: &mut Exchange,
        mut cycle: Box<Cycle>,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let Some(change) = &cycle.change else { return Err(Status::internal_error("nothing to commit")) };
        let key = self.catalog.key(cycle.cache, &cycle.key);
        let is_event = self.catalog.by_cache.get(cycle.cache).is_some_and(|info| info.kind == "Event");
        let mut lease = 0;
        if is_event && matches!(change, Change::Create(_) | Change::Put(_)) {
            lease = self.store.event_lease(context);
            if lease == 0 {
                cycle.expecting = Expecting::Lease;
                exchange.state = State::Writing(cycle);
                return Ok(Step::AwaitLease);
            }
        }
        let mut compare = vec![etcd::Compare::ModRevision { key: key.clone(), revision: cycle.revision }];
        let mut success = vec![match change {
            Change::Create(object) | Change::Put(object) => {
                etcd::Change::Put { key: key.clone(), value: object.clone(), lease }
            }
            Change::Remove(_) | Change::Same(_) => {
                etcd::Change::Delete { key: key.clone(), range_end: Text::new() }
            }
        }];
        for companion in &cycle.companions {
            match companion {
                Companion::Create { key, object } => {
                    compare.push(etcd::Compare::ModRevision { key: key.clone(), revision: 0 });
                    success.push(etcd::Change::Put { key: key.clone(), value: stored(object), lease: 0 });
                }
                Companion::Replace { key, object, revision } => {
                    compare.push(etcd::Compare::ModRevision { key: key.clone(), revision: *revision });
                    success.push(etcd::Change::Put { key: key.clone(), value: stored(object), lease: 0 });
                }
                Companion::Remove { key } => {
                    success.push(etcd::Change::Delete { key: key.clone(), range_end: Text::new() });
                }
            }
        }
        let failure = vec![etcd::Change::Range(etcd::Range { key, ..etcd::Range::default() })];
        cycle.expecting = Expecting::Commit;
        exchange.state = State::Writing(cycle);
        Ok(Step::Ask(etcd::Operation::Txn(etcd::Txn { compare, success, failure })))
    }

    /// What the write was waiting for is here.
    pub(super) fn go_on_writing(
        &mut self,
        exchange: &mut Exchange,
        mut cycle: Box<Cycle>,
        response: Option<&etcd::Response>,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let expecting = std::mem::replace(&mut cycle.expecting, Expecting::Nothing);
        if expecting == Expecting::Lease {
            return self.commit(exchange, cycle, context);
        }
        let Some(response) = response else { return Err(Status::internal_error("no answer of etcd")) };
        match (&response.result, expecting) {
            (Err(etcd::Error::LeaseNotFound), Expecting::Commit) => {
                self.store.lease_granted(false, context.now());
                self.commit(exchange, cycle, context)
            }
            (Err(error), _) => Err(failure_of_etcd(error)),
            (Ok(etcd::Outcome::Range(range)), Expecting::Fetch) => {
                let current = range.pairs.first().map(|pair| current_of(pair));
                self.attempt(exchange, cycle, current, true, context)
            }
            (Ok(etcd::Outcome::Txn { succeeded: true, .. }), Expecting::Commit) => {
                let Some(change) = cycle.change.take() else {
                    return Err(Status::internal_error("nothing was committed"));
                };
                self.committed(exchange, cycle, change, response.revision, context)
            }
            (Ok(etcd::Outcome::Txn { succeeded: false, results }), Expecting::Commit) => {
                let current = results.iter().find_map(|result| match result {
                    etcd::ChangeResult::Range(range) => range.pairs.first().map(|pair| current_of(pair)),
                    _ => None,
                });
                cycle.conflicts += 1;
                self.attempt(exchange, cycle, current, true, context)
            }
            _ => Err(Status::internal_error("unexpected answer of etcd")),
        }
    }

    fn decide(
        &mut self,
        exchange: &mut Exchange,
        cycle: &mut Cycle,
        current: Option<&Current>,
        context: &mut Context,
    ) -> Result<Change, Status> {
        let catalog = Arc::clone(&self.catalog);
        let route = catalog.route(&exchange.request.resource).ok_or_else(Status::no_such_path)?;
        if let Some(current) = current {
            self.convertible(&route.info, &exchange.request.resource.version, &current.object)?;
        }
        match &cycle.job {
            Job::Create(admitted) => {
                let admitted = admitted.clone();
                if let Some(current) = current {
                    let is_generated = meta::name(&admitted).is_empty();
                    if !is_generated || cycle.conflicts >= NAME_ATTEMPTS {
                        return Err(taken(route, current, is_generated));
                    }
                }
                let object = self.finish_create(exchange, route, cycle, admitted, context)?;
                // A new name is a new key: nothing is known to be there.
                Ok(Change::Create(object))
            }
            Job::Update(body) => {
                let body = body.clone();
                self.decide_update(exchange, route, cycle, body, current, context)
            }
            Job::Delete(deletion) => {
                let mut deletion = deletion.clone();
                let change = self.decide_delete(exchange, route, cycle, &mut deletion, current, context);
                cycle.job = Job::Delete(deletion);
                change
            }
            Job::Collection(collection) => {
                let mut deletion = collection.deletion.clone();
                let change = self.decide_delete(exchange, route, cycle, &mut deletion, current, context);
                if let Job::Collection(collection) = &mut cycle.job {
                    collection.deletion = deletion;
                }
                change
            }
            Job::Evict(eviction) => {
                let mut eviction = eviction.clone();
                let change = self.decide_evict(exchange, route, cycle, &mut eviction, current, context);
                cycle.job = Job::Evict(eviction);
                change
            }
        }
    }

    /// etcd has committed the change, or there was none to commit: on to the answer, or to what is left to do.
    fn committed(
        &mut self,
        exchange: &mut Exchange,
        mut cycle: Box<Cycle>,
        change: Change,
        revision: u64,
        context: &mut Context,
    ) -> Result<Step, Status> {
        let catalog = Arc::clone(&self.catalog);
        let route = catalog.route(&exchange.request.resource).ok_or_else(Status::no_such_path)?;
        exchange.warnings.append(&mut cycle.warnings);
        match cycle.job {
            Job::Create(_) | Job::Update(_) => {
                let is_written = !exchange.request.options.dry_run && !matches!(change, Change::Same(_));
                let (code, mut object) = match change {
                    Change::Create(object) => (201, object),
                    Change::Put(object) | Change::Same(object) | Change::Remove(object) => (200, object),
                };
                match self.shelf(cycle.cache, &cycle.key) {
                    // The watch has told of it already: one copy for the author and all watchers.
                    Some(cached) if is_written && meta::resource_version(cached) == revision => {
                        object = cached.clone();
                    }
                    _ if exchange.request.options.dry_run && code == 201 => {}
                    _ => meta::set_resource_version(&mut object, revision),
                }
                if !exchange.request.subresource.is_empty() {
                    return self
                        .written_subresource(exchange, route, code, object, context)
                        .map(Step::Answer);
                }
                let form = Form::new(&route.info, &exchange.request);
                Ok(Step::Answer(Answer::new(code, form.one(&object, context.now()))))
            }
            Job::Delete(_) | Job::Collection(_) => {
                self.deleted(exchange, route, cycle, change, revision, context)
            }
            Job::Evict(_) => self.evicted(exchange, route, cycle, change, revision, context),
        }
    }
}

fn current_of(pair: &etcd::KeyValue) -> Current {
    let mut object = pair.value.clone();
    meta::set_resource_version(&mut object, pair.mod_revision);
    Current { object, revision: pair.mod_revision }
}

/// As it lies in etcd: the revision is the key's own.
fn stored(object: &Value) -> Value {
    let mut object = object.clone();
    meta::set_resource_version(&mut object, 0);
    object
}

fn taken(route: &Route, current: &Current, is_generated: bool) -> Status {
    let resource = route.info.group_resource();
    let name = meta::name(&current.object);
    if is_generated {
        return Status::generate_name_conflict(&resource, name, 1);
    }
    let mut status = Status::already_exists(&resource, name);
    if meta::is_deleting(&current.object) {
        status.message = Text::from(format!("object is being deleted: {}", status.message));
    }
    status
}
