//! What every object has in common: its metadata, its owners, its conditions.
//!
//! Picture to hold in mind: the label sewn into a garment. Whatever the garment is, the label is at the same
//! place and says the same things: name, batch, maker, and what must be done before it is thrown away.
//!
//! Readers take any `Value`; what is absent reads as empty, as in Go. Follows
//! `k8s.io/apimachinery/pkg/apis/meta/v1` (types.go, controller_ref.go) and `pkg/api/meta/conditions.go`.

use std::fmt;

use super::value::{Map, Text, Value};
use crate::object;

/// Which object of a kind: unique within its resource. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    pub namespace: Text,
    pub name: Text,
}

impl ObjectKey {
    pub fn new(namespace: impl Into<Text>, name: impl Into<Text>) -> ObjectKey {
        ObjectKey { namespace: namespace.into(), name: name.into() }
    }
    pub fn of(object: &Value) -> ObjectKey {
        ObjectKey {
            namespace: object.shared_text("metadata.namespace"),
            name: object.shared_text("metadata.name"),
        }
    }
    /// Reads `namespace/name` or `name`, as client-go's `SplitMetaNamespaceKey`.
    pub fn parse(text: &str) -> Option<ObjectKey> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Some(ObjectKey::new("", name)),
            (Some(namespace), Some(name), None) => Some(ObjectKey::new(namespace, name)),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(formatter, "{}/", self.namespace)?;
        }
        formatter.write_str(&self.name)
    }
}

pub fn api_version(object: &Value) -> &str {
    object.text("apiVersion")
}
pub fn kind(object: &Value) -> &str {
    object.text("kind")
}
pub fn name(object: &Value) -> &str {
    object.text("metadata.name")
}
pub fn generate_name(object: &Value) -> &str {
    object.text("metadata.generateName")
}
pub fn namespace(object: &Value) -> &str {
    object.text("metadata.namespace")
}
pub fn uid(object: &Value) -> &str {
    object.text("metadata.uid")
}
pub fn creation_timestamp(object: &Value) -> &str {
    object.text("metadata.creationTimestamp")
}

/// The revision at which this object (or list) was written, 0 for none.
pub fn resource_version(object: &Value) -> u64 {
    object.text("metadata.resourceVersion").parse().unwrap_or(0)
}
/// Writes the revision; 0 takes the field away.
#[cfg_attr(published, optimize(speed))]
pub fn set_resource_version(object: &mut Value, revision: u64) {
    if revision == 0 {
        object.remove("metadata.resourceVersion");
    } else {
        object.set("metadata.resourceVersion", revision.to_string());
    }
}

/// How often the desired state has changed, 0 for kinds that do not count.
pub fn generation(object: &Value) -> i64 {
    object.integer("metadata.generation").unwrap_or(0)
}
pub fn set_generation(object: &mut Value, generation: i64) {
    object.set("metadata.generation", generation);
}
pub fn observed_generation(object: &Value) -> i64 {
    object.integer("status.observedGeneration").unwrap_or(0)
}

pub fn labels(object: &Value) -> &Map {
    object.map("metadata.labels")
}
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object).get(key).and_then(Value::as_str)
}
pub fn set_label(object: &mut Value, key: &str, value: impl Into<Value>) {
    object.at_mut("metadata.labels").make_object().insert(key, value);
}
pub fn remove_label(object: &mut Value, key: &str) {
    remove_key(object, "metadata.labels", key);
}
pub fn annotations(object: &Value) -> &Map {
    object.map("metadata.annotations")
}
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    annotations(object).get(key).and_then(Value::as_str)
}
pub fn set_annotation(object: &mut Value, key: &str, value: impl Into<Value>) {
    object.at_mut("metadata.annotations").make_object().insert(key, value);
}
/// Takes an annotation away, and the empty map with the last one.
pub fn remove_annotation(object: &mut Value, key: &str) {
    remove_key(object, "metadata.annotations", key);
}

fn remove_key(object: &mut Value, path: &str, key: &str) {
    if !object.map(path).contains_key(key) {
        return;
    }
    let map = object.at_mut(path).make_object();
    map.remove(key);
    if map.is_empty() {
        object.remove(path);
    }
}

#[cfg_attr(published, optimize(speed))]
pub fn owner_references(object: &Value) -> &[Value] {
    object.items("metadata.ownerReferences")
}
/// The owner that manages this object, if it has one (`GetControllerOf`).
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|owner| owner.is_true("controller"))
}
pub fn is_controlled_by(object: &Value, owner_uid: &str) -> bool {
    controller_of(object).is_some_and(|owner| owner.text("uid") == owner_uid)
}
/// A reference that makes `owner` the controller (`NewControllerRef`). Kind and version are arguments because
/// objects out of a list do not carry them.
pub fn controller_reference(owner: &Value, api_version: &str, kind: &str) -> Value {
    object! {
        "apiVersion" => api_version,
        "kind" => kind,
        "name" => owner.shared_text("metadata.name"),
        "uid" => owner.shared_text("metadata.uid"),
        "controller" => true,
        "blockOwnerDeletion" => true,
    }
}

pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object.items("metadata.finalizers").iter().filter_map(Value::as_str)
}
pub fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    finalizers(object).any(|name| name == finalizer)
}
/// Adds a finalizer at the end; false if it was there.
pub fn add_finalizer(object: &mut Value, finalizer: &str) -> bool {
    if has_finalizer(object, finalizer) {
        return false;
    }
    object.at_mut("metadata.finalizers").make_array().push(Value::from(finalizer));
    true
}
/// Takes a finalizer away, and the empty list with the last one; false if it was not there.
pub fn remove_finalizer(object: &mut Value, finalizer: &str) -> bool {
    if !has_finalizer(object, finalizer) {
        return false;
    }
    let list = object.at_mut("metadata.finalizers").make_array();
    list.retain(|name| name.as_str() != Some(finalizer));
    if list.is_empty() {
        object.remove("metadata.finalizers");
    }
    true
}

pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    object.at("metadata.deletionTimestamp").as_str()
}
pub fn is_deleting(object: &Value) -> bool {
    deletion_timestamp(object).is_some()
}

/// The condition of `type_` in `status.conditions`.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    find_condition(object.items("status.conditions"), type_)
}
#[cfg_attr(published, optimize(speed))]
pub fn find_condition<'a>(conditions: &'a [Value], type_: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition.text("type") == type_)
}
/// `True`, `False`, `Unknown`, or empty where the condition is absent.
pub fn condition_status<'a>(object: &'a Value, type_: &str) -> &'a str {
    condition(object, type_).map_or("", |condition| condition.text("status"))
}
pub fn is_condition_true(object: &Value, type_: &str) -> bool {
    condition_status(object, type_) == "True"
}

/// Puts `new` into `status.conditions` in place of the one of its type, or at the end, and tells whether
/// anything changed. `lastTransitionTime` (unless `new` brings its own) is `now` when the status differs from
/// the old one's and the old one's otherwise. Follows `SetStatusCondition`; fields besides those of
/// `meta/v1.Condition` (probe and heartbeat times) are the caller's and are taken over as they are.
pub fn set_condition(object: &mut Value, new: &Value, now: &Text) -> bool {
    let type_ = new.text("type");
    let conditions = object.items("status.conditions");
    let position = conditions.iter().position(|condition| condition.text("type") == type_);
    let mut new = new.clone();
    let Some(position) = position else {
        new.set_default("lastTransitionTime", now);
        object.at_mut("status.conditions").make_array().push(new);
        return true;
    };
    let old = &conditions[position];
    if old.text("status") == new.text("status") {
        let since = old.at("lastTransitionTime").clone();
        if since.is_null() {
            new.set_default("lastTransitionTime", now)
        } else {
            new.set("lastTransitionTime", since)
        };
    } else {
        new.set_default("lastTransitionTime", now);
    }
    if *old == new {
        return false;
    }
    object.at_mut("status.conditions").make_array()[position] = new;
    true
}
/// Takes the condition of `type_` away; false if it was not there.
pub fn remove_condition(object: &mut Value, type_: &str) -> bool {
    if condition(object, type_).is_none() {
        return false;
    }
    object.at_mut("status.conditions").make_array().retain(|condition| condition.text("type") != type_);
    true
}

/// Splits `group/version` or `version` (the core group is empty).
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}
/// The API group of an object.
pub fn group(object: &Value) -> &str {
    split_api_version(api_version(object)).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array;

    #[test]
    fn keys_read_what_they_print() {
        for text in ["default/web", "worker-1"] {
            assert_eq!(ObjectKey::parse(text).map(|key| key.to_string()).as_deref(), Some(text));
        }
        assert_eq!(ObjectKey::parse("a/b/c"), None);
    }

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let mut pod = Value::object();
        let (first, second): (Text, Text) = ("t1".into(), "t2".into());
        let ready = |status: &str, reason: &str| object! { "type" => "Ready", "status" => status, "reason" => reason };
        // (status, reason, now, changed, lastTransitionTime afterwards)
        for (status, reason, now, changed, since) in [
            ("False", "A", &first, true, "t1"),
            ("False", "A", &second, false, "t1"),
            ("False", "B", &second, true, "t1"),
            ("True", "B", &second, true, "t2"),
        ] {
            assert_eq!(set_condition(&mut pod, &ready(status, reason), now), changed);
            assert_eq!(condition(&pod, "Ready").map(|c| c.text("lastTransitionTime")), Some(since));
        }
        assert!(is_condition_true(&pod, "Ready"));
        assert!(remove_condition(&mut pod, "Ready") && !remove_condition(&mut pod, "Ready"));
    }

    #[test]
    fn the_last_finalizer_takes_the_list_with_it() {
        let mut pod = object! { "metadata" => object! { "finalizers" => array!["a"] } };
        assert!(add_finalizer(&mut pod, "b") && !add_finalizer(&mut pod, "b"));
        assert!(remove_finalizer(&mut pod, "a") && remove_finalizer(&mut pod, "b"));
        assert_eq!(pod.to_string(), r#"{"metadata":{}}"#);
    }
}
