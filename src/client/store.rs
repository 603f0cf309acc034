//! The indexer: a process's own copy of some of the cluster's objects.
//!
//! Picture to hold in mind: a card box sorted by `namespace/name`, with coloured tabs that lead from a value
//! (an owner's UID, a node's name) to the cards. A copy of the box is one pointer: a worker keeps the box as
//! it stood when its work began.

use std::sync::Arc;

use crate::api::{Text, Value};
use crate::shared_map::SharedMap;

/// The values under which an index files an object.
pub type IndexFunction = fn(&Value) -> Vec<Text>;

#[derive(Clone, Default)]
pub struct Store {
    objects: SharedMap<Text, Value>,
    /// Shared, as all of a store is: whoever keeps a copy of the world copies pointers only.
    indices: Arc<Vec<Index>>,
    /// The revision up to which this is a true copy (`LastStoreSyncResourceVersion`).
    pub revision: u64,
}

#[derive(Clone)]
struct Index {
    name: &'static str,
    function: IndexFunction,
    /// (value, key) to object.
    entries: SharedMap<(Text, Text), Value>,
}

/// `namespace/name`, or `name` for what has no namespace: client-go's `MetaNamespaceKeyFunc`.
pub fn key_of(object: &Value) -> Text {
    key(object.text("metadata.namespace"), object.text("metadata.name"))
}

pub fn key(namespace: &str, name: &str) -> Text {
    if namespace.is_empty() { name.into() } else { [namespace, "/", name].concat().into() }
}

/// `(namespace, name)` of a key.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

impl Store {
    /// Files everything under the values that `function` gives, too.
    pub fn add_index(&mut self, name: &'static str, function: IndexFunction) {
        if self.indices.iter().any(|index| index.name == name) {
            return;
        }
        let mut index = Index { name, function, entries: SharedMap::default() };
        for (key, object) in &self.objects {
            for value in function(object) {
                index.entries.insert((value, key.clone()), object.clone());
            }
        }
        Arc::make_mut(&mut self.indices).push(index);
    }
    /// Takes everything out; the indices stay.
    pub fn clear(&mut self) {
        self.objects = SharedMap::default();
        self.revision = 0;
        for index in Arc::make_mut(&mut self.indices) {
            index.entries = SharedMap::default();
        }
    }
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.objects.get(key)
    }
    pub fn get_by_name(&self, namespace: &str, name: &str) -> Option<&Value> {
        if namespace.is_empty() { self.get(name) } else { self.get(&key(namespace, name)) }
    }
    /// All objects, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Value)> {
        self.objects.iter()
    }
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(|(_, object)| object)
    }
    pub fn len(&self) -> usize {
        self.objects.len()
    }
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
    /// The objects of one namespace, by name.
    pub fn in_namespace<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let prefix = [namespace, "/"].concat();
        self.objects
            .from(prefix.as_str())
            .take_while(move |(key, _)| key.starts_with(prefix.as_str()))
            .map(|(_, object)| object)
    }
    /// The objects that the index `name` files under `value`, by key.
    pub fn by_index<'a>(&'a self, name: &str, value: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let value = Text::from(value);
        self.indices.iter().find(|index| index.name == name).into_iter().flat_map(move |index| {
            let value = value.clone();
            index
                .entries
                .from(&(value.clone(), Text::new()))
                .take_while(move |((filed, _), _)| *filed == value)
                .map(|(_, object)| object)
        })
    }
    /// Files `object`; what stood under its key is returned.
    pub fn insert(&mut self, key: Text, object: Value) -> Option<Value> {
        let old = self.objects.get(&key).cloned();
        for index in Arc::make_mut(&mut self.indices) {
            let values = (index.function)(&object);
            if let Some(old) = &old {
                for value in (index.function)(old) {
                    if !values.contains(&value) {
                        index.entries.remove(&(value, key.clone()));
                    }
                }
            }
            for value in values {
                index.entries.insert((value, key.clone()), object.clone());
            }
        }
        self.objects.insert(key, object);
        old
    }
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let old = self.objects.get(key).cloned()?;
        for index in Arc::make_mut(&mut self.indices) {
            for value in (index.function)(&old) {
                index.entries.remove(&(value, Text::from(key)));
            }
        }
        self.objects.remove(key);
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn pod(namespace: &str, name: &str, node: &str) -> Value {
        object! {
            "metadata" => object! { "namespace" => namespace, "name" => name },
            "spec" => object! { "nodeName" => node },
        }
    }

    #[test]
    fn an_index_follows_its_objects() {
        let mut store = Store::default();
        store.add_index("node", |pod| vec![pod.shared_text("spec.nodeName")]);
        for (namespace, name, node) in [("a", "x", "n1"), ("a", "y", "n2"), ("ab", "x", "n1")] {
            let pod = pod(namespace, name, node);
            store.insert(key_of(&pod), pod);
        }
        let names = |store: &Store, node: &str| -> Vec<String> {
            store.by_index("node", node).map(|pod| key_of(pod).to_string()).collect()
        };
        assert_eq!(names(&store, "n1"), ["a/x", "ab/x"]);
        assert_eq!(store.in_namespace("a").count(), 2);
        store.insert("a/x".into(), pod("a", "x", "n2"));
        assert_eq!(names(&store, "n2"), ["a/x", "a/y"]);
        store.remove("a/y");
        assert_eq!(names(&store, "n2"), ["a/x"]);
        assert_eq!(names(&store, "n1"), ["ab/x"]);
    }
}
