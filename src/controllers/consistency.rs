//! Reading one's own writes: no second look at an owner before the copies show what the first one wrote.
//!
//! Picture to hold in mind: the carbon copy of the last letter, pinned to the desk. Until its answer is in the
//! file, the file is not opened.
//!
//! After `pkg/controller/util/consistency` (KEP-5647, stale controller mitigation).

use crate::shared_map::SharedMap;

use crate::api::{Text, Value, meta};
use crate::client::{Call, Interrupt};

/// By owner: for each informer the latest revision that the controller wrote into its kind.
#[derive(Clone, Default)]
pub struct Written {
    owners: SharedMap<Text, Vec<(usize, u64)>>,
}

impl Written {
    /// `written` is the server's answer to a write of `owner`'s; `informer` copies its kind.
    pub fn wrote(&mut self, owner: &Text, informer: usize, written: &Value) {
        let revision = meta::resource_version(written);
        if !self.owners.contains_key(owner) {
            self.owners.insert(owner.clone(), Vec::new());
        }
        let Some(record) = self.owners.get_mut(owner) else { return };
        match record.iter_mut().find(|(of, _)| *of == informer) {
            Some((_, latest)) => *latest = revision.max(*latest),
            None => record.push((informer, revision)),
        }
    }
    /// Fails, so that the key is tried again in a moment, while a copy is older than a write.
    pub fn ensure_ready(&mut self, call: &mut Call) -> Result<(), Interrupt> {
        let key = call.key().clone();
        let stores = call.stores();
        let is_behind = |(informer, revision): &(usize, u64)| stores[*informer].revision < *revision;
        let behind =
            self.owners.get(&key).and_then(|record| record.iter().copied().find(|entry| is_behind(entry)));
        let wrote = call.remember(|| behind.map_or(0, |(_, revision)| revision as i64));
        if wrote > 0 {
            let error = format!("read version is not as new as written version: {wrote}");
            return Err(Interrupt::Failed(error.into()));
        }
        if call.once() {
            self.forget(&key);
        }
        Ok(())
    }
    pub fn forget(&mut self, owner: &str) {
        self.owners.remove(owner);
    }
}
