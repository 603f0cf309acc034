//! What makes a stored CustomResourceDefinition a served resource, and takes it away again.
//!
//! Picture to hold in mind: the sign maker of the town hall. A new name is held against those that hang already; if it
//! is free, the plate is screwed on. When it is to come off, the files behind the door are cleared out first.
//!
//! Follows apiextensions-apiserver `pkg/controller/{status,establish,apiapproval,finalizer}`: small controllers inside
//! of the server, which write through the same door as everybody else. Each looks at a definition as it is and does the
//! next thing; nothing but what is under way is remembered.

use crate::api::status::Status;
use crate::api::value::literal;
use crate::api::{Text, Value, meta, time, validation};
use crate::client::request;
use crate::language::Context;
use crate::message::rest::Resource;
use crate::object;
use crate::shared_map::SharedMap;
use crate::sim::{Duration, Time};

use super::ApiServer;
use super::exchange::Answer;

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Whether instances are gone is looked up so often, and so long.
const POLL: Duration = Duration::from_secs(5);
const POLL_LIMIT: Duration = Duration::from_secs(60);
/// The first look follows the deletion at once; the watch may be that far behind.
const FIRST_LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
pub(crate) struct Definitions {
    /// Definitions that the server itself is writing to, by name.
    writes: SharedMap<Text, Write>,
    /// Definitions whose instances are being removed, by name.
    cleanups: SharedMap<Text, Cleanup>,
}

#[derive(Clone)]
struct Write {
    /// The server's own number of the request.
    request: u64,
    /// What the answer named: until the watch has told of it, the definition at hand is an old one. 0 before.
    revision: u64,
    /// Names are given one after another.
    is_naming: bool,
}

#[derive(Clone)]
struct Cleanup {
    uid: Text,
    /// Deletions of collections that have not been answered, by the server's own numbers.
    waiting: Vec<u64>,
    errors: Vec<String>,
    began: Time,
    next_look: Time,
}

fn definitions() -> Resource {
    Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

fn condition(kind: &str, status: &str, reason: &str, message: impl Into<Text>) -> Value {
    object! { "type" => kind, "status" => status, "reason" => reason, "message" => message.into() }
}

/// `SetCRDCondition`: the order of fields in a condition does not matter, that of conditions does.
fn set_condition(definition: &mut Value, new: &Value, now: Time) {
    meta::set_condition(definition, new, &time::rfc3339(now));
}

/// Marks a definition as about to go: what a first deletion does (`customresourcedefinition/etcd.go`).
pub(super) fn mark_for_deletion(definition: &mut Value, now: Time) {
    definition.set("metadata.deletionTimestamp", time::rfc3339(now));
    meta::add_finalizer(definition, FINALIZER);
    let pending = condition(
        "Terminating",
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    );
    set_condition(definition, &pending, now);
}

/// A list of errors as Go's aggregate prints it.
fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The names of a definition, empty lists and absent ones alike.
fn same_names(a: &Value, b: &Value) -> bool {
    ["plural", "singular", "kind", "listKind"].iter().all(|name| a.text(name) == b.text(name))
        && ["shortNames", "categories"].iter().all(|name| a.items(name) == b.items(name))
}

/// Names that definitions of a group have been given.
#[derive(Default)]
struct Taken {
    resources: Vec<Text>,
    kinds: Vec<Text>,
}

impl Taken {
    fn of<'a>(definitions: impl Iterator<Item = &'a Value>, group: &str) -> Taken {
        let mut taken = Taken::default();
        for definition in definitions.filter(|definition| definition.text("spec.group") == group) {
            let names = definition.at("status.acceptedNames");
            taken.resources.push(names.shared_text("plural"));
            taken.resources.push(names.shared_text("singular"));
            taken
                .resources
                .extend(names.items("shortNames").iter().filter_map(Value::as_str).map(Text::from));
            taken.kinds.push(names.shared_text("kind"));
            taken.kinds.push(names.shared_text("listKind"));
        }
        taken
    }
}

/// `calculateNamesAndConditions`; `None` when nothing is to be written.
fn name(definition: &Value, taken: &Taken, now: Time) -> Option<Value> {
    let requested = definition.at("spec.names");
    let accepted = definition.at("status.acceptedNames");
    if same_names(requested, accepted) {
        return None;
    }
    let mut new = object! { "plural" => "", "kind" => "" };
    for field in ["plural", "singular", "kind", "listKind"] {
        let text = accepted.text(field);
        if !text.is_empty() {
            new.set(field, text);
        }
    }
    if accepted.has("shortNames") {
        new.set("shortNames", accepted.at("shortNames"));
    }
    let mut trouble: Option<(&str, String)> = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    let mut settle = |field: &str, used: &[Text], reason: &'static str, new: &mut Value| {
        let wanted = requested.text(field);
        if wanted != accepted.text(field) && used.iter().any(|name| name == wanted) {
            trouble = Some((reason, in_use(wanted)));
        } else if !wanted.is_empty() {
            new.set(field, wanted);
        }
    };
    settle("plural", &taken.resources, "PluralConflict", &mut new);
    settle("singular", &taken.resources, "SingularConflict", &mut new);
    let (wanted, own) = (requested.items("shortNames"), accepted.items("shortNames"));
    let mut short_trouble = None;
    if wanted != own {
        let used: Vec<String> = wanted
            .iter()
            .filter(|name| !own.contains(name))
            .filter_map(Value::as_str)
            .filter(|name| taken.resources.iter().any(|used| used == name))
            .map(in_use)
            .collect();
        if used.is_empty() {
            new.remove("shortNames");
            if !wanted.is_empty() {
                new.set("shortNames", requested.at("shortNames"));
            }
        } else {
            short_trouble = Some(("ShortNamesConflict", aggregate(&used)));
        }
    }
    settle("kind", &taken.kinds, "KindConflict", &mut new);
    settle("listKind", &taken.kinds, "ListKindConflict", &mut new);
    let has_kind_trouble = trouble.as_ref().is_some_and(|(reason, _)| reason.contains("Kind"));
    if short_trouble.is_some() && !has_kind_trouble {
        trouble = short_trouble;
    }
    if requested.has("categories") {
        new.set("categories", requested.at("categories"));
    }
    let naming = match &trouble {
        Some((reason, message)) => condition("NamesAccepted", "False", reason, message.as_str()),
        None => condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
    };
    let mut established = match meta::condition(definition, "Established") {
        Some(old) => old.clone(),
        None => condition("Established", "False", "NotAccepted", "not all names are accepted"),
    };
    if established.text("status") != "True" && trouble.is_none() {
        established = condition("Established", "False", "Installing", "the initial names have been accepted");
    }
    let is_known = meta::condition(definition, "NamesAccepted").is_some_and(|old| {
        ["status", "reason", "message"].iter().all(|field| old.text(field) == naming.text(field))
    });
    if is_known && same_names(&new, accepted) {
        return None;
    }
    let mut changed = definition.clone();
    changed.set("status.acceptedNames", new);
    set_condition(&mut changed, &naming, now);
    set_condition(&mut changed, &established, now);
    Some(changed)
}

/// `KubernetesAPIApprovalPolicyConformant`, for groups of the community; `None` for others, and when it is known.
fn approval(definition: &Value) -> Option<Value> {
    if !validation::is_protected(definition.text("spec.group")) {
        return None;
    }
    let annotation = meta::annotation(definition, validation::APPROVAL).unwrap_or("");
    let (is_approved, reason, message) = validation::approval(annotation);
    let status = if is_approved { "True" } else { "False" };
    let new = condition("KubernetesAPIApprovalPolicyConformant", status, reason, message);
    let is_known = meta::condition(definition, new.text("type")).is_some_and(|old| {
        ["status", "reason", "message"].iter().all(|field| old.text(field) == new.text(field))
    });
    (!is_known).then_some(new)
}

impl ApiServer {
    fn definition(&self, name: &str) -> Option<&Value> {
        self.shelf(self.catalog.shelves.definitions, name)
    }

    /// A definition has changed, or is gone; `key` is its whole etcd key.
    pub(super) fn consider_definition(&mut self, key: &str, context: &mut Context) {
        let name = key.rsplit('/').next().unwrap_or("");
        self.consider(name, context);
        // Names may have become free.
        self.consider_all_definitions(context);
    }

    pub(super) fn consider_all_definitions(&mut self, context: &mut Context) {
        let Some(cache) = self.caches.get(self.catalog.shelves.definitions) else { return };
        let names: Vec<Text> = cache.objects.keys().cloned().collect();
        for name in names {
            self.consider(&name, context);
        }
    }

    /// Once a second: what failed is tried again, and cleanups are looked after.
    pub(super) fn look_after_definitions(&mut self, context: &mut Context) {
        if self.is_ready() {
            self.consider_all_definitions(context);
        }
    }

    /// Does the next thing that a definition needs.
    fn consider(&mut self, name: &str, context: &mut Context) {
        let Some(definition) = self.definition(name).cloned() else {
            self.definitions.writes.remove(name);
            self.definitions.cleanups.remove(name);
            return;
        };
        if let Some(write) = self.definitions.writes.get(name) {
            if write.revision == 0 || meta::resource_version(&definition) < write.revision {
                return;
            }
            self.definitions.writes.remove(name);
        }
        let now = context.now();
        if !self.definitions.writes.values().any(|write| write.is_naming) {
            let cache = self.caches.get(self.catalog.shelves.definitions);
            let all = cache.into_iter().flat_map(|cache| cache.objects.values());
            let taken = Taken::of(all, definition.text("spec.group"));
            if let Some(named) = self::name(&definition, &taken, now) {
                self.write_definition(named, true, context);
                return;
            }
        }
        let is_true = |condition: &str| meta::is_condition_true(&definition, condition);
        let new = if is_true("NamesAccepted") && !is_true("Established") {
            let message = "the initial names have been accepted";
            Some(condition("Established", "True", "InitialNamesAccepted", message))
        } else {
            approval(&definition)
        };
        if let Some(new) = new {
            let mut changed = definition;
            set_condition(&mut changed, &new, now);
            self.write_definition(changed, false, context);
        } else if meta::is_deleting(&definition) && meta::has_finalizer(&definition, FINALIZER) {
            self.clean_up(name, definition, context);
        }
    }

    fn write_definition(&mut self, definition: Value, is_naming: bool, context: &mut Context) {
        let name = definition.shared_text("metadata.name");
        let request = self.request_own(request::update_status(&definitions(), definition), context);
        self.definitions.writes.insert(name, Write { request, revision: 0, is_naming });
    }

    /// The answer to one of the server's own requests.
    pub(super) fn definition_answered(&mut self, id: u64, answer: &Answer, context: &mut Context) {
        let written = self.definitions.writes.iter().find(|(_, write)| write.request == id);
        if let Some((name, write)) = written.map(|(name, write)| (name.clone(), write.clone())) {
            if answer.code == 200 {
                let revision = meta::resource_version(&answer.body);
                self.definitions.writes.insert(name.clone(), Write { revision, ..write });
                self.consider(&name, context);
            } else {
                // Changed or gone meanwhile: the watch tells, or the next round.
                self.definitions.writes.remove(&name);
            }
            return;
        }
        let cleanup = self.definitions.cleanups.iter().find(|(_, cleanup)| cleanup.waiting.contains(&id));
        if let Some((name, mut cleanup)) = cleanup.map(|(name, cleanup)| (name.clone(), cleanup.clone())) {
            cleanup.waiting.retain(|waiting| *waiting != id);
            if answer.code != 200 {
                cleanup.errors.push(answer.body.text("message").to_owned());
            }
            if cleanup.waiting.is_empty() {
                cleanup.began = context.now();
                cleanup.next_look = context.now() + POLL;
            }
            self.definitions.cleanups.insert(name.clone(), cleanup);
            self.consider(&name, context);
        }
    }

    /// An instance of a custom resource is gone: perhaps the last one that a cleanup waits for.
    pub(super) fn instance_removed(&mut self, context: &mut Context) {
        if self.definitions.cleanups.is_empty() {
            return;
        }
        let names: Vec<Text> = self.definitions.cleanups.keys().cloned().collect();
        for name in names {
            self.consider(&name, context);
        }
    }

    /// The namespaces in which there are instances of a definition, each once.
    fn namespaces_with_instances(&self, definition: &Value) -> Vec<Text> {
        let route =
            self.catalog.find(definition.text("spec.group"), definition.text("status.acceptedNames.plural"));
        let cache = route.and_then(|route| route.cache).and_then(|cache| self.caches.get(cache));
        let mut namespaces: Vec<Text> = Vec::new();
        for object in cache.into_iter().flat_map(|cache| cache.objects.values()) {
            let namespace = object.shared_text("metadata.namespace");
            if !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
        namespaces
    }

    /// The finalizer's controller: all instances go, then the definition may.
    fn clean_up(&mut self, name: &str, mut definition: Value, context: &mut Context) {
        const TERMINATING: &str = "Terminating";
        let now = context.now();
        let reason = meta::condition(&definition, TERMINATING).map_or("", |old| old.text("reason"));
        let known = self.definitions.cleanups.get(name).cloned();
        let known = known.filter(|cleanup| cleanup.uid == meta::uid(&definition));
        let Some(cleanup) = known else {
            if reason != "InstanceDeletionInProgress" {
                let message = "CustomResource deletion is in progress";
                let progress = condition(TERMINATING, "True", "InstanceDeletionInProgress", message);
                set_condition(&mut definition, &progress, now);
                self.write_definition(definition, false, context);
                return;
            }
            if !meta::is_condition_true(&definition, "Established") {
                let message = "resource was never established";
                self.let_go(
                    definition,
                    &condition(TERMINATING, "False", "NeverEstablished", message),
                    context,
                );
                return;
            }
            let (group, plural) =
                (definition.text("spec.group"), definition.text("status.acceptedNames.plural"));
            let stored = definition.items("spec.versions").iter().find(|version| version.is_true("storage"));
            let resource = Resource::new(group, stored.map_or("", |version| version.text("name")), plural);
            let mut cleanup = Cleanup {
                uid: definition.shared_text("metadata.uid"),
                waiting: Vec::new(),
                errors: Vec::new(),
                began: now,
                next_look: now + POLL,
            };
            for namespace in self.namespaces_with_instances(&definition) {
                let request = request::delete_collection(&resource, &namespace);
                cleanup.waiting.push(self.request_own(request, context));
            }
            let waits = !cleanup.waiting.is_empty();
            self.definitions.cleanups.insert(Text::from(name), cleanup);
            if !waits {
                self.clean_up(name, definition, context);
            }
            return;
        };
        if !cleanup.waiting.is_empty() {
            return;
        }
        if !cleanup.errors.is_empty() {
            let message = format!("could not issue all deletes: {}", aggregate(&cleanup.errors));
            let failed = condition(TERMINATING, "True", "InstanceDeletionFailed", message);
            self.begin_again(name, definition, &failed, context);
            return;
        }
        if now.since(cleanup.began) > FIRST_LOOK && now < cleanup.next_look {
            return;
        }
        if self.namespaces_with_instances(&definition).is_empty() {
            let message = "removed all instances";
            let done = condition(TERMINATING, "False", "InstanceDeletionCompleted", message);
            self.let_go(definition, &done, context);
        } else if now.since(cleanup.began) >= POLL_LIMIT {
            let message =
                "could not confirm zero CustomResources remaining: timed out waiting for the condition";
            let failed = condition(TERMINATING, "True", "InstanceDeletionCheck", message);
            self.begin_again(name, definition, &failed, context);
        } else if now >= cleanup.next_look {
            let next_look = cleanup.next_look + POLL;
            self.definitions.cleanups.insert(Text::from(name), Cleanup { next_look, ..cleanup });
        }
    }

    fn begin_again(&mut self, name: &str, mut definition: Value, why: &Value, context: &mut Context) {
        self.definitions.cleanups.remove(name);
        set_condition(&mut definition, why, context.now());
        self.write_definition(definition, false, context);
    }

    fn let_go(&mut self, mut definition: Value, why: &Value, context: &mut Context) {
        set_condition(&mut definition, why, context.now());
        meta::remove_finalizer(&mut definition, FINALIZER);
        self.write_definition(definition, false, context);
    }
}

/// Whether a definition is about to go: nothing new may be made of it.
pub(super) fn refuse_creation(info: &crate::api::ResourceInfo, name: &str) -> Result<(), Status> {
    const WHY: Text = literal!("create not allowed while custom resource definition is terminating");
    let definition = info.definition.as_ref().map(|kind| kind.definition());
    if definition.is_some_and(|definition| meta::is_condition_true(definition, "Terminating")) {
        return Err(Status::forbidden(&info.group_resource(), name, WHY));
    }
    Ok(())
}
