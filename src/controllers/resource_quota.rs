//! resourcequota-controller: counts anew what a namespace holds, so that what was deleted is free again.
//!
//! Picture to hold in mind: the bookkeeper who goes through the shelves. The barkeeper (admission) only ever adds to the
//! tab; the bookkeeper compares it with what is really there.
//!
//! After `pkg/controller/resourcequota/resource_quota_controller.go` and `pkg/quota/v1/install/update_filter.go`.

use std::sync::Arc;

use crate::api::kind::{Registry, ResourceInfo, Verb};
use crate::api::quota::{self, Amounts};
use crate::api::{Quantity, Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store, request};
use crate::message::rest::Resource;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::kinds::RESOURCE_QUOTA;

/// Everything is counted anew so often (`--resource-quota-sync-period`).
const RESYNC: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Default)]
pub struct ResourceQuotaController {
    quotas: usize,
    definitions: usize,
    /// What is counted, by informer: group and plural.
    counted: Arc<SortedMap<usize, (Text, Text)>>,
}

/// Whether a change frees something (`DefaultUpdateFilter`).
fn frees(group: &str, plural: &str, old: &Value, new: &Value, now: Time) -> bool {
    match (group, plural) {
        ("", "pods") => {
            quota::is_terminating(old) != quota::is_terminating(new)
                || old.items("status.containerStatuses").iter().any(|old| {
                    new.items("status.containerStatuses").iter().any(|new| {
                        new.text("name") == old.text("name") && new.at("resources") != old.at("resources")
                    })
                })
                || (quota::is_charged(old, now) && !quota::is_charged(new, now))
        }
        ("", "services") => {
            let kind = |service: &Value| match service.text("spec.type") {
                kind @ ("NodePort" | "LoadBalancer") => kind.to_owned(),
                _ => String::new(),
            };
            kind(old) != kind(new)
        }
        ("", "persistentvolumeclaims") => {
            let names = ["spec.volumeAttributesClassName", "status.currentVolumeAttributesClassName"];
            names.iter().any(|name| old.text(name) != new.text(name))
        }
        _ => false,
    }
}

impl ResourceQuotaController {
    /// The custom resources that `hard` counts: their objects are listed, not copied.
    fn count_custom(&self, call: &mut Call, quota: &Value, hard: &Amounts) -> Result<Amounts, Interrupt> {
        let mut used = Amounts::new();
        let is_counted = |info: &ResourceInfo| {
            info.namespaced && hard.keys().any(|name| quota::counts(&info.group, &info.plural, name))
        };
        let registry = Registry::with_definitions(call.store(self.definitions).values());
        for info in registry.custom().iter().filter(|info| is_counted(info)) {
            let resource = Resource::new(&info.group, info.preferred_version(), &info.plural);
            let listed = call.request(request::list(&resource, meta::namespace(quota)))?;
            let name = arcstr::format!("count/{}.{}", info.plural, info.group);
            used.insert(name, quota::count(listed.items("items").len()));
        }
        Ok(used)
    }

    /// Follows the custom resources that any quota counts, to hear when something of theirs is deleted.
    fn follow_custom(&self, call: &mut Call) {
        let registry = Registry::with_definitions(call.store(self.definitions).values());
        let quotas = call.store(self.quotas);
        let is_counted = |info: &ResourceInfo| {
            quotas.values().any(|quota| {
                quota.map("spec.hard").keys().any(|name| quota::counts(&info.group, &info.plural, name))
            })
        };
        let selections = registry
            .custom()
            .iter()
            .filter(|info| info.namespaced && is_counted(info))
            .map(|info| Selection::all(&Resource::new(&info.group, info.preferred_version(), &info.plural)))
            .collect();
        call.follow(selections);
    }

    fn count(&self, call: &Call, quota: &Value, hard: &Amounts) -> Amounts {
        let mut used = Amounts::new();
        for (informer, (group, plural)) in self.counted.iter() {
            let mut wanted = hard.keys().filter(|name| quota::counts(group, plural, name)).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            for name in wanted {
                used.entry(name.clone()).or_insert(Quantity::ZERO);
            }
            for object in call.store(*informer).in_namespace(meta::namespace(quota)) {
                if quota::in_scope(group, plural, quota, object) {
                    let mut amounts = quota::usage(group, plural, object, call.now());
                    amounts.retain(|name, _| hard.contains_key(name));
                    quota::add(&mut used, &amounts);
                }
            }
        }
        used
    }
}

impl Controller for ResourceQuotaController {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }
    fn subscribe(&mut self, informers: &mut Subscriptions) {
        self.quotas = informers.add(Selection::all(&RESOURCE_QUOTA.resource));
        let needed = [Verb::Create, Verb::Delete, Verb::List, Verb::Watch];
        let mut counted = SortedMap::new();
        for info in Registry::new().resources() {
            if info.namespaced && info.plural != "events" && needed.iter().all(|verb| info.can(*verb)) {
                let resource = Resource::new(&info.group, info.preferred_version(), &info.plural);
                let informer = informers.add(Selection::all(&resource));
                counted.insert(informer, (info.group.clone(), info.plural.clone()));
            }
        }
        self.counted = Arc::new(counted);
        let definitions = Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        self.definitions = informers.add(Selection::all(&definitions));
    }
    fn on_delta(&mut self, delta: &Delta, stores: &[Store], keys: &mut Keys) {
        if delta.informer == self.quotas {
            let is_news = match (&delta.old, delta.kind) {
                (Some(old), DeltaType::Updated) => {
                    quota::read(old.map("spec.hard")) != quota::read(delta.object.map("spec.hard"))
                }
                _ => true,
            };
            if is_news {
                keys.add(key_of(&delta.object));
            }
        }
        let Some((group, plural)) = self.counted.get(&delta.informer) else {
            if delta.informer != self.quotas && delta.kind == DeltaType::Deleted {
                // Of a custom resource that is followed.
                let group = format!(".{}", meta::group(&delta.object));
                for quota in stores[self.quotas].in_namespace(meta::namespace(&delta.object)) {
                    if quota.map("spec.hard").keys().any(|name| name.ends_with(&group)) {
                        keys.add(key_of(quota));
                    }
                }
            }
            return;
        };
        if stores[self.quotas].is_empty() {
            return;
        }
        let is_freed = match (&delta.old, delta.kind) {
            (_, DeltaType::Deleted) => true,
            (Some(old), DeltaType::Updated) => frees(group, plural, old, &delta.object, keys.now()),
            _ => false,
        };
        if !is_freed {
            return;
        }
        for quota in stores[self.quotas].in_namespace(meta::namespace(&delta.object)) {
            if quota.map("status.hard").keys().any(|name| quota::counts(group, plural, name)) {
                keys.add(key_of(quota));
            }
        }
    }
    fn period(&self) -> Option<Duration> {
        Some(RESYNC)
    }
    fn on_period(&mut self, stores: &[Store], keys: &mut Keys) {
        for quota in stores[self.quotas].values() {
            keys.add(key_of(quota));
        }
    }
    fn sync(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let Some(quota) = call.store(self.quotas).get(&key).map(|quota| RESOURCE_QUOTA.named(quota)) else {
            return Ok(());
        };
        let hard = quota::read(quota.map("spec.hard"));
        let before = quota::read(quota.map("status.used"));
        let mut used = before.clone();
        used.extend(self.count(call, &quota, &hard));
        used.extend(self.count_custom(call, &quota, &hard)?);
        self.follow_custom(call);
        used.retain(|name, _| hard.contains_key(name));
        let is_known = quota.has("status.hard") && quota.has("status.used");
        let is_same_hard = hard == quota::read(quota.map("status.hard"));
        if is_known && is_same_hard && used == before {
            return Ok(());
        }
        let mut counted = quota.clone();
        counted.set("status.hard", quota.at("spec.hard")).set("status.used", quota::write(&used));
        call.update_status(&RESOURCE_QUOTA.resource, counted)?;
        Ok(())
    }
    fn restart(&mut self) {}
    fn boxed_clone(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }
}
