//! resourcequota-controller: counts anew what a namespace holds, so that what was deleted is free again.
//!
//! Picture to hold in mind: the bookkeeper who goes through the shelves. The barkeeper (admission) only ever adds to the
//! tab; the bookkeeper compares it with what is really there.
//!
//! After `pkg/controller/resourcequota/resource_quota_controller.go` and `pkg/quota/v1/install/update_filter.go`.

use std::sync::Arc;

use crate::api::kind::{Registry, Verb};
use crate::api::quota::{self, Amounts};
use crate::api::{Quantity, Text, Value, meta};
use crate::client::runner::{Keys, Subscriptions};
use crate::client::store::key_of;
use crate::client::{Call, Controller, Delta, DeltaType, Interrupt, Selection, Store};
use crate::message::rest::Resource;
use crate::sim::{Duration, Time};
use crate::sorted::SortedMap;

use super::kinds::RESOURCE_QUOTA;

/// Everything is counted anew so often (`--resource-quota-sync-period`).
const RESYNC: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Default)]
pub struct ResourceQuotaController {
    quotas: usize,
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
        let Some((group, plural)) = self.counted.get(&delta.informer) else { return };
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
