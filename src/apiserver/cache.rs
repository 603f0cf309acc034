//! The watch cache: what etcd holds of one resource, in memory, with its recent past.
//!
//! Picture to hold in mind: a shop window. Behind it stands the present stock, in order of the shelves; beside
//! it hangs the list of the last changes. Passers-by (lists and watches) look at the window instead of walking into
//! the warehouse; whoever asks for a change that has already fallen off the list has to take the whole stock anew.
//!
//! Follows `k8s.io/apiserver/pkg/storage/cacher/watch_cache.go`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::shared_map::SharedMap;

use crate::api::{Text, Value};
use crate::sim::{Duration, Time};

use super::watchers::Watchers;

/// Events younger than this are kept if the largest window allows (`eventFreshDuration`).
const FRESH: Duration = Duration::from_secs(75);
const SMALLEST_CAPACITY: usize = 100;
const LARGEST_CAPACITY: usize = 100 * 1024;
/// Events are kept in chunks: a checkpoint shares all full ones.
const CHUNK: usize = 64;

/// One change, as it is remembered.
#[derive(Clone)]
pub(crate) struct Event {
    pub revision: u64,
    pub time: Time,
    /// The etcd key below the resource's prefix: `default/web`, `worker-1`.
    pub key: Text,
    /// The state afterwards; of a deletion the last state, with the revision of the deletion.
    pub object: Value,
    pub previous: Option<Value>,
    pub deleted: bool,
}

/// The last changes, oldest first.
#[derive(Clone)]
pub(crate) struct Window {
    chunks: VecDeque<Arc<Vec<Event>>>,
    length: usize,
    capacity: usize,
    /// Changes up to here are not in the window.
    floor: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window { chunks: VecDeque::new(), length: 0, capacity: SMALLEST_CAPACITY, floor: 0 }
    }
}

impl Window {
    fn push(&mut self, event: Event) {
        self.resize(event.time);
        if self.chunks.back().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push_back(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            Arc::make_mut(chunk).push(event);
            self.length += 1;
        }
        // Whole chunks go, and only as long as the rest still fills the capacity.
        while self.chunks.len() > 1 && self.length - self.chunks[0].len() >= self.capacity {
            if let Some(chunk) = self.chunks.pop_front() {
                self.length -= chunk.len();
                self.floor = chunk.last().map_or(self.floor, |event| event.revision);
            }
        }
    }
    /// A full window whose oldest event is still fresh grows; one whose newest quarter is stale shrinks.
    fn resize(&mut self, now: Time) {
        if self.length < self.capacity {
            return;
        }
        let Some(oldest) = self.chunks.front().and_then(|chunk| chunk.first()) else { return };
        if now.since(oldest.time) < FRESH {
            self.capacity = (self.capacity * 2).min(LARGEST_CAPACITY);
        } else if self.capacity > SMALLEST_CAPACITY {
            let quarter = self.chunks.get(self.chunks.len() - self.chunks.len() / 4 - 1);
            if quarter.and_then(|chunk| chunk.first()).is_some_and(|event| now.since(event.time) > FRESH) {
                self.capacity = (self.capacity / 2).max(SMALLEST_CAPACITY);
            }
        }
    }
    /// The events after `revision`; the oldest revision that can be asked for when some of them are gone.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Event>, u64> {
        if revision < self.floor {
            return Err(self.floor);
        }
        let start =
            self.chunks.partition_point(|chunk| chunk.last().is_some_and(|event| event.revision <= revision));
        Ok(self
            .chunks
            .range(start..)
            .flat_map(|chunk| chunk.iter())
            .skip_while(move |event| event.revision <= revision))
    }
}

#[derive(Clone, Default)]
pub(crate) struct Cache {
    /// By the key below the prefix, in etcd's order; with their resource versions.
    pub objects: SharedMap<Text, Value>,
    pub window: Window,
    pub watchers: Watchers,
}

impl Cache {
    /// The stock as a range at `revision` found it; forgets all changes before.
    pub(crate) fn reset(&mut self, objects: impl Iterator<Item = (Text, Value)>, revision: u64) {
        self.objects = SharedMap::new();
        for (key, object) in objects {
            self.objects.insert(key, object);
        }
        self.window = Window { floor: revision, ..Window::default() };
    }
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.objects.get(key)
    }
    /// Takes a change in and makes it an event; `None` for the deletion of what was not there.
    pub(crate) fn apply(
        &mut self,
        key: Text,
        current: Option<Value>,
        revision: u64,
        now: Time,
    ) -> Option<Event> {
        let previous = self.objects.get(&key).cloned();
        let event = match current {
            Some(object) => {
                self.objects.insert(key.clone(), object.clone());
                Event { revision, time: now, key, object, previous, deleted: false }
            }
            None => {
                let mut object = previous.clone()?;
                crate::api::meta::set_resource_version(&mut object, revision);
                self.objects.remove(&key);
                Event { revision, time: now, key, object, previous, deleted: true }
            }
        };
        self.window.push(event.clone());
        Some(event)
    }
    /// All objects of `namespace` (all namespaces when empty), in key order.
    pub(crate) fn list<'a>(
        &'a self,
        namespace: &str,
    ) -> Box<dyn Iterator<Item = (&'a Text, &'a Value)> + 'a> {
        if namespace.is_empty() {
            return Box::new(self.objects.iter());
        }
        // '0' follows '/': the range holds exactly the keys that begin with "namespace/".
        let end = Text::from(format!("{namespace}0"));
        Box::new(self.objects.from(format!("{namespace}/").as_str()).take_while(move |(key, _)| **key < end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    #[test]
    fn a_window_keeps_what_is_fresh_and_says_what_is_gone() {
        let mut cache = Cache::default();
        for revision in 1..=1000 {
            let object = object! { "metadata" => object! { "name" => "a" } };
            cache.apply("a".into(), Some(object), revision, Time::from_secs(revision));
        }
        // 75 s of one event a second: a window of a hundred or some more, in whole chunks.
        let oldest = cache.window.since(0).err().unwrap();
        assert!((700..900).contains(&oldest), "{oldest}");
        assert_eq!(cache.window.since(oldest).ok().unwrap().count() as u64, 1000 - oldest);
        assert_eq!(cache.window.since(998).ok().unwrap().count(), 2);
        assert_eq!(cache.window.since(5000).ok().unwrap().count(), 0);
    }

    #[test]
    fn a_burst_grows_the_window() {
        let mut cache = Cache::default();
        for revision in 1..=3000 {
            cache.apply("a".into(), Some(Value::object()), revision, Time::from_millis(revision));
        }
        assert_eq!(cache.window.since(0).ok().unwrap().count(), 3000);
    }

    #[test]
    fn lists_of_a_namespace_hold_no_neighbours() {
        let mut cache = Cache::default();
        for key in ["a/x", "a-b/x", "ab/y", "b/z", "a/y"] {
            cache.apply(key.into(), Some(Value::object()), 1, Time::ZERO);
        }
        let keys =
            |namespace: &str| cache.list(namespace).map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys("a"), ["a/x", "a/y"]);
        assert_eq!(keys("").len(), 5);
    }
}
