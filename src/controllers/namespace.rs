//! namespace-controller: empties a namespace that is being deleted, then lets it go.
//!
//! Picture to hold in mind: clearing a house before it is pulled down: first the people (pods), then, room by
//! room, everything else; while a single thing is left that somebody holds on to, the house stands.
//!
//! After `pkg/controller/namespace/namespace_controller.go` and `deletion/namespaced_resources_deleter.go`.

use crate::api::kind::{Registry, Verb};
use crate::api::{Text, Value, meta, time};
use crate::arrange::Arrange;
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::{Request, Resource};
use crate::object;
use crate::sim::Duration;
use crate::sorted::SortedMap;

use super::kinds::NAMESPACE;

/// Between the deletion of a namespace and the first work on it: admission in every API server must know first.
const GRACE: Duration = Duration::from_secs(5);
/// How long finalizers are given before the next look.
const FINALIZER_ESTIMATE_S: i64 = 15;
const FINALIZER: &str = "kubernetes";

/// The conditions, each with its reason and message while all is well.
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

#[derive(Clone, Default)]
pub struct NamespaceController {
    namespaces: usize,
    definitions: usize,
}

/// What is left after a pass over all resources.
#[derive(Default)]
struct Remains {
    /// Seconds until it may be worth looking again.
    estimate_s: i64,
    /// `(resource.group, count)`.
    resources: Vec<(String, usize)>,
    finalizers: SortedMap<String, usize>,
    errors: Vec<String>,
}

impl NamespaceController {
    fn namespaced_resources(&self, call: &Call) -> Vec<(Resource, bool, bool)> {
        let definitions = call.store(self.definitions);
        let registry = Registry::with_definitions(definitions.values());
        let mut resources: Vec<(Resource, bool, bool)> = registry
            .resources()
            .filter(|info| info.namespaced && info.can(Verb::Delete))
            .map(|info| {
                let resource = Resource::new(&info.group, info.preferred_version(), &info.plural);
                (resource, info.can(Verb::List), info.can(Verb::DeleteCollection))
            })
            .collect();
        // Upstream's order is a Go map's, chance; here the last comes first, so that what is made goes before its maker.
        resources.reverse();
        resources
    }

    fn delete_content(&self, call: &mut Call, namespace: &Value) -> Result<Remains, Interrupt> {
        let mut remains = Remains::default();
        let resources = self.namespaced_resources(call);
        let is_pods = |resource: &Resource| resource.group.is_empty() && resource.plural == "pods";
        // Pods go first, all alone: what they need (network policies above all) outlives them.
        for resource in resources.iter().filter(|(resource, ..)| is_pods(resource)) {
            self.delete_resource(call, namespace, resource, &mut remains)?;
        }
        if !remains.resources.is_empty() {
            return Ok(Remains { resources: Vec::new(), finalizers: SortedMap::new(), ..remains });
        }
        for resource in resources.iter().filter(|(resource, ..)| !is_pods(resource)) {
            self.delete_resource(call, namespace, resource, &mut remains)?;
        }
        Ok(remains)
    }

    fn delete_resource(
        &self,
        call: &mut Call,
        namespace: &Value,
        (resource, can_list, can_delete_collection): &(Resource, bool, bool),
        remains: &mut Remains,
    ) -> Result<(), Interrupt> {
        let name = meta::name(namespace);
        let mut estimate_s = 0;
        if resource.plural == "pods" && resource.group.is_empty() {
            let pods = call.request(request::list(resource, name))?;
            estimate_s = pods
                .items("items")
                .iter()
                .filter(|pod| !super::pods::is_terminal(pod))
                .filter_map(|pod| pod.integer("spec.terminationGracePeriodSeconds"))
                .fold(0, i64::max);
            let deleted_at = meta::deletion_timestamp(namespace).and_then(time::parse).unwrap_or_default();
            if call.now().since(deleted_at) >= super::pods::seconds(estimate_s) {
                estimate_s = 0;
            }
        }
        let in_background =
            |request: Request| request.options(|options| options.propagation_policy = "Background".into());
        let is_unsupported =
            |status: &Value| matches!(status.text("reason"), "MethodNotAllowed" | "NotFound");
        if *can_delete_collection {
            let request = in_background(request::delete_collection(resource, name));
            if let Err(status) = call.attempt(request)?
                && !is_unsupported(&status)
            {
                remains.fail(estimate_s, status.text("message"));
                return Ok(());
            }
        } else if *can_list {
            let listed = call.request(request::list(resource, name))?;
            for item in listed.items("items") {
                let request = in_background(request::delete(resource, name, meta::name(item)));
                if let Err(status) = call.attempt(request)?
                    && !is_unsupported(&status)
                {
                    remains.fail(estimate_s, status.text("message"));
                    return Ok(());
                }
            }
        }
        if !can_list {
            remains.estimate_s = remains.estimate_s.max(estimate_s);
            return Ok(());
        }
        let listed = match call.attempt(request::list(resource, name))? {
            Ok(listed) => listed,
            Err(status) if is_unsupported(&status) => return Ok(()),
            Err(status) => {
                remains.fail(estimate_s, status.text("message"));
                return Ok(());
            }
        };
        let items = listed.items("items");
        if items.is_empty() {
            return Ok(());
        }
        let mut has_finalizers = false;
        for finalizer in items.iter().flat_map(meta::finalizers) {
            *remains.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            has_finalizers = true;
        }
        remains.resources.push((format!("{}.{}", resource.plural, resource.group), items.len()));
        if estimate_s == 0 && has_finalizers {
            estimate_s = FINALIZER_ESTIMATE_S;
        } else if estimate_s == 0 {
            let error = format!(
                "unexpected items still remain in namespace: {name} for gvr: {}/{}, Resource={}",
                resource.group, resource.version, resource.plural
            );
            remains.fail(estimate_s, &error);
        }
        remains.estimate_s = remains.estimate_s.max(estimate_s);
        Ok(())
    }

    fn sync_namespace(&self, call: &mut Call) -> Result<(), Interrupt> {
        let name = call.key().clone();
        let cached = call.store(self.namespaces).get(&name);
        if cached.is_none_or(|namespace| !meta::is_deleting(namespace)) {
            return Ok(());
        }
        let namespace = match call.attempt(request::get(&NAMESPACE.resource, "", &name))? {
            Ok(namespace) => namespace,
            Err(status) if status.text("reason") == "NotFound" => return Ok(()),
            Err(status) => return Err(Interrupt::from_status(&status)),
        };
        if !meta::is_deleting(&namespace) {
            return Ok(());
        }
        let mut namespace = namespace;
        if namespace.text("status.phase") != "Terminating" {
            namespace = self.write(call, namespace, "status", |namespace| {
                namespace.set("status.phase", "Terminating");
            })?;
        }
        if namespace.items("spec.finalizers").is_empty() {
            return Ok(());
        }
        let remains = self.delete_content(call, &namespace)?;
        let conditions = remains.conditions(&namespace, &time::rfc3339(call.now()));
        if conditions != *namespace.at("status.conditions") {
            let changed = namespace.clone().with("status.conditions", conditions);
            if let Ok(updated) = call.attempt(request::update_status(&NAMESPACE.resource, changed))? {
                namespace = updated;
            }
        }
        if !remains.errors.is_empty() {
            return Err(Interrupt::Failed(super::claim::aggregate(&remains.errors)));
        }
        if remains.estimate_s > 0 {
            call.requeue_after(super::pods::seconds(remains.estimate_s / 2 + 1));
            return Ok(());
        }
        self.write(call, namespace, "finalize", |namespace| {
            let finalizers = namespace.items("spec.finalizers").to_vec();
            let rest = finalizers.into_iter().filter(|name| name.as_str() != Some(FINALIZER));
            namespace.set("spec.finalizers", Value::array(rest));
        })?;
        Ok(())
    }

    /// Writes a change, again on a fresh copy as long as others write in between.
    fn write(
        &self,
        call: &mut Call,
        namespace: Value,
        subresource: &str,
        change: impl Fn(&mut Value),
    ) -> Result<Value, Interrupt> {
        let mut namespace = namespace;
        loop {
            change(&mut namespace);
            let name = namespace.shared_text("metadata.name");
            let request = request::update(&NAMESPACE.resource, namespace).subresource(subresource);
            match call.attempt(request)? {
                Ok(updated) => return Ok(updated),
                Err(status) if status.text("reason") == "Conflict" => {
                    namespace = call.get(&NAMESPACE.resource, "", &name)?;
                }
                Err(status) if status.text("reason") == "NotFound" => return Ok(Value::Null),
                Err(status) => return Err(Interrupt::from_status(&status)),
            }
        }
    }
}

impl Remains {
    fn fail(&mut self, estimate_s: i64, error: &str) {
        self.estimate_s = self.estimate_s.max(estimate_s);
        self.errors.push(error.to_owned());
    }
    /// The namespace's conditions, brought up to date.
    fn conditions(&self, namespace: &Value, now: &Text) -> Value {
        let mut conditions = namespace.items("status.conditions").to_vec();
        for (kind, ok_reason, ok_message) in CONDITIONS {
            let trouble = match kind {
                "NamespaceDeletionContentFailure" if !self.errors.is_empty() => {
                    let mut errors = self.errors.clone();
                    errors.arrange();
                    let message = format!(
                        "Failed to delete all resource types, {} remaining: {}",
                        errors.len(),
                        errors.join(", ")
                    );
                    Some(("ContentDeletionFailed", message))
                }
                "NamespaceContentRemaining" if !self.resources.is_empty() => {
                    let mut list: Vec<String> = self
                        .resources
                        .iter()
                        .map(|(name, count)| format!("{name} has {count} resource instances"))
                        .collect();
                    list.arrange();
                    let message = format!("Some resources are remaining: {}", list.join(", "));
                    Some(("SomeResourcesRemain", message))
                }
                "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                    let list: Vec<String> = self
                        .finalizers
                        .iter()
                        .map(|(name, count)| format!("{name} in {count} resource instances"))
                        .collect();
                    let message = format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        list.join(", ")
                    );
                    Some(("SomeFinalizersRemain", message))
                }
                _ => None,
            };
            let (value, reason, message) = match trouble {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", ok_reason, ok_message.to_owned()),
            };
            let mut new = object! {
                "type" => kind, "status" => value, "lastTransitionTime" => now,
                "reason" => reason, "message" => message,
            };
            match conditions.iter_mut().find(|old| old.text("type") == kind) {
                Some(old) => {
                    if old.text("status") == value {
                        new.set("lastTransitionTime", old.at("lastTransitionTime"));
                    }
                    *old = new;
                }
                None => conditions.push(new),
            }
        }
        Value::from(conditions)
    }
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }
    fn workers(&self) -> usize {
        10
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.namespaces = informers.add(Selection::all(&NAMESPACE.resource));
        let definitions = Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        self.definitions = informers.add(Selection::all(&definitions));
    }
    fn on_delta(&mut self, delta: &Delta, _stores: &[Store], keys: &mut Keys) {
        let is_dying = delta.kind != DeltaType::Deleted && meta::is_deleting(&delta.object);
        if delta.informer == self.namespaces && is_dying {
            keys.add_after(key_of(&delta.object), GRACE);
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        self.sync_namespace(call)
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
