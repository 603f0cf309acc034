//! generic-garbage-collector: what belongs to nobody any more is deleted.
//!
//! Picture to hold in mind: the executor of a will with the family register. When an owner is gone, its
//! dependents are visited one by one; those without another living owner go too. Three testaments: they follow
//! later (background), they go first (foreground), they are set free (orphan).
//!
//! After `pkg/controller/garbagecollector`. Informers of built-in resources are there from the start; those of custom ones
//! come and go with their definitions, at the ticks of the clock by which upstream asks for discovery.

mod graph;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::api::kind::{Registry, ResourceInfo, Verb};
use crate::api::{Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::{PatchType, Request, Resource};
use crate::sim::Duration;
use crate::sorted::SortedMap;
use crate::{array, object};

use graph::{Graph, Identity, Node, Task};

/// What must be possible with a resource for its objects to be looked after.
const NEEDED: [Verb; 3] = [Verb::Delete, Verb::List, Verb::Watch];
/// Between two looks at which resources there are (`gc.Sync` in `startGarbageCollectorController`).
const DISCOVERY_PERIOD: Duration = Duration::from_secs(30);
/// Kinds that come and go by themselves.
const IGNORED: [&str; 1] = ["events"];

#[derive(Clone, Default)]
pub struct GarbageCollector {
    graph: Graph,
    /// By informer: version and kind of its objects.
    kinds: Arc<SortedMap<usize, (Text, Text)>>,
    definitions: usize,
    /// The register as it stood when each sync began, by key.
    at_work: SortedMap<Text, Graph>,
}

/// What became of an object's owners.
#[derive(Default)]
struct Owners {
    solid: Vec<Value>,
    dangling: Vec<Value>,
    /// Wait for their dependents to be deleted.
    waiting: Vec<Value>,
}

fn uids(references: &[Value]) -> impl Iterator<Item = Text> + '_ {
    references.iter().map(|reference| reference.shared_text("uid"))
}

impl GarbageCollector {
    /// The resource of a kind, and whether it is namespaced.
    fn resource(&self, call: &Call, api_version: &str, kind: &str) -> Result<(Resource, bool), Interrupt> {
        let (group, version) = meta::split_api_version(api_version);
        let resource = |info: &ResourceInfo| (Resource::new(group, version, &info.plural), info.namespaced);
        let is_built_in = Registry::new().for_api_version(api_version, kind).is_some();
        let registry = match is_built_in {
            true => Registry::new(),
            false => Registry::with_definitions(call.store(self.definitions).values()),
        };
        registry.for_api_version(api_version, kind).map(|info| resource(info)).ok_or_else(|| {
            Interrupt::Failed(arcstr::format!("unable to get REST mapping for {api_version}/{kind}."))
        })
    }
    /// Follows the objects of all custom resources that there are now.
    fn discover(&self, call: &mut Call) {
        let registry = Registry::with_definitions(call.store(self.definitions).values());
        let selections = registry
            .custom()
            .iter()
            .filter(|info| NEEDED.iter().all(|verb| info.can(*verb)))
            .map(|info| Selection::all(&Resource::new(&info.group, info.preferred_version(), &info.plural)))
            .collect();
        call.follow(selections);
    }
    fn place(&self, call: &Call, identity: &Identity) -> Result<(Resource, Text), Interrupt> {
        let (resource, namespaced) = self.resource(call, &identity.api_version, &identity.kind)?;
        Ok((resource, if namespaced { identity.namespace.clone() } else { Text::new() }))
    }
    /// The object as it is now; `None` if it is gone, or another of its name is there.
    fn live(&self, call: &mut Call, identity: &Identity) -> Result<Option<Value>, Interrupt> {
        let (resource, namespace) = self.place(call, identity)?;
        match call.attempt(request::get(&resource, &namespace, &identity.name))? {
            Ok(object) if meta::uid(&object) == identity.uid.as_str() => Ok(Some(object)),
            Ok(_) => Ok(None),
            Err(status) if status.text("reason") == "NotFound" => Ok(None),
            Err(status) => Err(Interrupt::from_status(&status)),
        }
    }
    fn tasks(&self, call: &mut Call, tasks: Vec<Task>) {
        for task in tasks {
            call.add_after(task.key(), Duration::ZERO);
        }
    }
    /// The object turned out not to exist: its dependents must be looked at.
    fn forget(&mut self, call: &mut Call, uid: &Text) {
        let tasks = if call.once() {
            let mut tasks = Vec::new();
            self.graph.remove(uid, &mut tasks);
            tasks
        } else {
            Vec::new()
        };
        self.tasks(call, tasks);
    }

    fn attempt_to_delete(&mut self, call: &mut Call, graph: &Graph, node: &Node) -> Result<(), Interrupt> {
        if node.is_deleting && !node.deletes_dependents {
            return Ok(());
        }
        let identity = &node.identity;
        let Some(latest) = self.live(call, identity)? else {
            self.forget(call, &identity.uid);
            return Ok(());
        };
        if node.is_virtual {
            // It exists: an informer will bring it, or it is of a kind that is not watched.
            return Ok(());
        }
        if node.deletes_dependents {
            return self.delete_dependents_first(call, graph, identity);
        }
        let references = meta::owner_references(&latest);
        if references.is_empty() {
            return Ok(());
        }
        let owners = self.classify(call, identity, references)?;
        if !owners.solid.is_empty() {
            let gone: Vec<Text> = uids(&owners.dangling).chain(uids(&owners.waiting)).collect();
            return if gone.is_empty() { Ok(()) } else { self.drop_owners(call, identity, &gone) };
        }
        if !owners.waiting.is_empty() && !node.dependents.is_empty() {
            let is_cycle = graph.dependents(&identity.uid).any(|dependent| dependent.deletes_dependents);
            if is_cycle {
                let unblocked: Vec<Value> = node
                    .owners
                    .iter()
                    .filter(|owner| owner.is_true("blockOwnerDeletion"))
                    .map(|owner| owner.clone().with("blockOwnerDeletion", false))
                    .collect();
                self.patch_owners(call, identity, unblocked, |references| {
                    let unblock = |reference: &Value| match reference.is_true("blockOwnerDeletion") {
                        true => reference.clone().with("blockOwnerDeletion", false),
                        false => reference.clone(),
                    };
                    references.iter().map(unblock).collect()
                })?;
            }
            return self.delete(call, identity, &latest, "Foreground");
        }
        let policy = if meta::has_finalizer(&latest, "orphan") {
            "Orphan"
        } else if meta::has_finalizer(&latest, "foregroundDeletion") {
            "Foreground"
        } else {
            "Background"
        };
        self.delete(call, identity, &latest, policy)
    }

    fn delete_dependents_first(
        &mut self,
        call: &mut Call,
        graph: &Graph,
        identity: &Identity,
    ) -> Result<(), Interrupt> {
        let blocking = graph.blocking_dependents(&identity.uid);
        if blocking.is_empty() {
            return self.remove_finalizer(call, identity, "foregroundDeletion");
        }
        let visit = blocking
            .into_iter()
            .filter(|uid| graph.get(uid).is_some_and(|dependent| !dependent.deletes_dependents))
            .map(Task::Delete)
            .collect();
        self.tasks(call, visit);
        Ok(())
    }

    fn classify(
        &mut self,
        call: &mut Call,
        item: &Identity,
        references: &[Value],
    ) -> Result<Owners, Interrupt> {
        let mut owners = Owners::default();
        for reference in references {
            let uid = reference.shared_text("uid");
            if call.remember(|| i64::from(self.graph.is_absent(&uid))) == 1 {
                owners.dangling.push(reference.clone());
                continue;
            }
            let (resource, namespaced) =
                self.resource(call, reference.text("apiVersion"), reference.text("kind"))?;
            if namespaced && item.namespace.is_empty() {
                return Err(Interrupt::Failed(
                    "cluster-scoped objects cannot refer to namespaced owners".into(),
                ));
            }
            let namespace = if namespaced { item.namespace.as_str() } else { "" };
            let owner = match call.attempt(request::get(&resource, namespace, reference.text("name")))? {
                Ok(owner) => Some(owner).filter(|owner| meta::uid(owner) == uid.as_str()),
                Err(status) if status.text("reason") == "NotFound" => None,
                Err(status) => return Err(Interrupt::from_status(&status)),
            };
            match owner {
                None => {
                    if call.once() {
                        self.graph.note_absent(&uid);
                    }
                    owners.dangling.push(reference.clone());
                }
                Some(owner)
                    if meta::is_deleting(&owner) && meta::has_finalizer(&owner, "foregroundDeletion") =>
                {
                    owners.waiting.push(reference.clone());
                }
                Some(_) => owners.solid.push(reference.clone()),
            }
        }
        Ok(owners)
    }

    fn delete(
        &mut self,
        call: &mut Call,
        identity: &Identity,
        latest: &Value,
        policy: &str,
    ) -> Result<(), Interrupt> {
        let (resource, namespace) = self.place(call, identity)?;
        let delete = |version: &str| -> Request {
            request::delete(&resource, &namespace, &identity.name).options(|options| {
                options.propagation_policy = policy.into();
                options.precondition_uid = identity.uid.clone();
                options.precondition_resource_version = version.into();
            })
        };
        let mut answer = call.attempt(delete(latest.text("metadata.resourceVersion")))?;
        if answer.as_ref().is_err_and(|status| status.text("reason") == "Conflict") {
            // Changed meanwhile: if its owners are what they were, the change does not matter.
            match self.live(call, identity)? {
                Some(now) if meta::owner_references(&now) == meta::owner_references(latest) => {
                    answer = call.attempt(delete(""))?;
                }
                Some(_) => {}
                None => {
                    self.forget(call, &identity.uid);
                    return Ok(());
                }
            }
        }
        match answer {
            Ok(_) => Ok(()),
            Err(status) if status.text("reason") == "NotFound" => {
                self.forget(call, &identity.uid);
                Ok(())
            }
            Err(status) => Err(Interrupt::from_status(&status)),
        }
    }

    /// Changes an object's owners by a strategic merge patch, or, where the server takes none (custom resources), by a
    /// merge patch that names all of them.
    fn patch_owners(
        &self,
        call: &mut Call,
        identity: &Identity,
        references: Vec<Value>,
        change: impl Fn(&[Value]) -> Vec<Value>,
    ) -> Result<(), Interrupt> {
        let (resource, namespace) = self.place(call, identity)?;
        let metadata = object! { "uid" => &identity.uid, "ownerReferences" => references };
        let patch = object! { "metadata" => metadata };
        let request = request::patch(&resource, &namespace, &identity.name, PatchType::StrategicMerge, patch);
        let mut answer = call.attempt(request)?;
        if answer.as_ref().is_err_and(|status| status.text("reason") == "UnsupportedMediaType") {
            let Some(live) = self.live(call, identity)? else { return Ok(()) };
            let metadata = object! {
                "resourceVersion" => live.at("metadata.resourceVersion"),
                "ownerReferences" => change(meta::owner_references(&live)),
            };
            let patch = object! { "metadata" => metadata };
            let request = request::patch(&resource, &namespace, &identity.name, PatchType::Merge, patch);
            answer = call.attempt(request)?;
        }
        match answer {
            Ok(_) => Ok(()),
            Err(status) if status.text("reason") == "NotFound" => Ok(()),
            Err(status) => Err(Interrupt::from_status(&status)),
        }
    }
    fn drop_owners(&self, call: &mut Call, identity: &Identity, owners: &[Text]) -> Result<(), Interrupt> {
        let gone = owners.iter().map(|uid| object! { "$patch" => "delete", "uid" => uid }).collect();
        self.patch_owners(call, identity, gone, |references| {
            let stays = |reference: &&Value| !owners.iter().any(|uid| reference.text("uid") == uid.as_str());
            references.iter().filter(stays).cloned().collect()
        })
    }
    fn remove_finalizer(
        &self,
        call: &mut Call,
        identity: &Identity,
        finalizer: &str,
    ) -> Result<(), Interrupt> {
        let (resource, namespace) = self.place(call, identity)?;
        // Others may write in between; four attempts, as client-go's default.
        for _ in 0..4 {
            let Some(object) = self.live(call, identity)? else { return Ok(()) };
            if !meta::has_finalizer(&object, finalizer) {
                return Ok(());
            }
            let rest = meta::finalizers(&object).filter(|name| *name != finalizer).map(Value::from);
            let metadata = object! {
                "resourceVersion" => object.at("metadata.resourceVersion"),
                "finalizers" => Value::array(rest),
            };
            let patch = object! { "metadata" => metadata };
            let request = request::patch(&resource, &namespace, &identity.name, PatchType::Merge, patch);
            match call.attempt(request)? {
                Ok(_) => return Ok(()),
                Err(status) if status.text("reason") == "Conflict" => {}
                Err(status) if status.text("reason") == "NotFound" => return Ok(()),
                Err(status) => return Err(Interrupt::from_status(&status)),
            }
        }
        Err(Interrupt::Failed(
            "updateMaxRetries(5) has reached. The garbage collector will retry later".into(),
        ))
    }

    fn attempt_to_orphan(&self, call: &mut Call, graph: &Graph, node: &Node) -> Result<(), Interrupt> {
        let identity = &node.identity;
        let mut requests = Vec::new();
        let dependents: Vec<&Identity> =
            graph.dependents(&identity.uid).map(|dependent| &dependent.identity).collect();
        for dependent in &dependents {
            let (resource, namespace) = self.place(call, dependent)?;
            let gone = array![object! { "$patch" => "delete", "uid" => &identity.uid }];
            let metadata = object! { "uid" => &dependent.uid, "ownerReferences" => gone };
            requests.push(request::patch(
                &resource,
                &namespace,
                &dependent.name,
                PatchType::StrategicMerge,
                object! { "metadata" => metadata },
            ));
        }
        for (answer, dependent) in call.all(requests)?.into_iter().zip(dependents) {
            match answer {
                Ok(_) => {}
                Err(status) if status.text("reason") == "NotFound" => {}
                Err(status) if status.text("reason") == "UnsupportedMediaType" => {
                    self.drop_owners(call, dependent, std::slice::from_ref(&identity.uid))?;
                }
                Err(status) => return Err(Interrupt::from_status(&status)),
            }
        }
        self.remove_finalizer(call, identity, "orphan")
    }
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }
    fn user_agent(&self) -> &'static str {
        "generic-garbage-collector"
    }
    fn workers(&self) -> usize {
        20
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        let mut kinds = SortedMap::new();
        for info in Registry::new().resources() {
            if !NEEDED.iter().all(|verb| info.can(*verb)) || IGNORED.contains(&info.plural.as_str()) {
                continue;
            }
            let resource = Resource::new(&info.group, info.preferred_version(), &info.plural);
            let informer = informers.add(Selection::all(&resource));
            kinds.insert(informer, (info.api_version(), info.kind.clone()));
            if info.plural == "customresourcedefinitions" {
                self.definitions = informer;
            }
        }
        self.kinds = Arc::new(kinds);
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.definitions {
            let since = keys.now().0 % DISCOVERY_PERIOD.0;
            keys.add_after(Task::Discover.key(), Duration(DISCOVERY_PERIOD.0 - since));
        }
        let kinds = self.kinds.clone();
        // Objects of custom resources say themselves what they are.
        let own = (delta.object.shared_text("apiVersion"), delta.object.shared_text("kind"));
        let (api_version, kind) = kinds.get(&delta.informer).unwrap_or(&own);
        let mut tasks = Vec::new();
        if let Some(old) = delta.old.as_ref().filter(|old| meta::uid(old) != meta::uid(&delta.object)) {
            self.graph.remove(&old.shared_text("metadata.uid"), &mut tasks);
        }
        if delta.kind == DeltaType::Deleted {
            self.graph.remove(&delta.object.shared_text("metadata.uid"), &mut tasks);
        } else {
            self.graph.set(&delta.object, (api_version, kind), &mut tasks);
        }
        for task in tasks {
            keys.add(task.key());
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        if call.once() {
            self.at_work.insert(key.clone(), self.graph.clone());
        }
        let graph = self.at_work.get(&key).cloned().unwrap_or_default();
        let result = match Task::parse(&key) {
            Some(Task::Discover) => {
                self.discover(call);
                Ok(())
            }
            Some(Task::Delete(uid)) => match graph.get(&uid) {
                Some(node) => self.attempt_to_delete(call, &graph, node),
                None => Ok(()),
            },
            Some(Task::Orphan(uid)) => match graph.get(&uid) {
                Some(node) => self.attempt_to_orphan(call, &graph, node),
                None => Ok(()),
            },
            None => Ok(()),
        };
        if !matches!(result, Err(Interrupt::Waiting)) {
            self.at_work.remove(&key);
        }
        result
    }
    fn restart(&mut self) {
        self.graph = Graph::default();
        self.at_work.clear();
    }
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
