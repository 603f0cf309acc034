//! `metadata.managedFields`: the list of owners.
//!
//! Follows `k8s.io/apimachinery/pkg/util/managedfields/internal` (managedfields.go, capmanagers.go, conflict.go).

use std::fmt;

use super::{FieldSet, Writer};
use crate::api::field::go_quote;
use crate::api::time_format;
use crate::api::value::{Text, Value};
use crate::arrange::{Arrange, Gather};
use crate::object;
use crate::sorted::SortedMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Who owns: one name may own through several operations, versions and subresources. Prints as in conflicts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    pub name: Text,
    pub operation: Operation,
    /// Of updates only: an applier is the same in every version.
    pub api_version: Text,
    pub subresource: Text,
}

impl Manager {
    pub(super) fn new(writer: &Writer, operation: Operation) -> Manager {
        Manager {
            name: Text::from(if writer.manager.is_empty() { "unknown" } else { writer.manager }),
            operation,
            api_version: match operation {
                Operation::Apply => Text::new(),
                Operation::Update => Text::from(writer.api_version),
            },
            subresource: Text::from(writer.subresource),
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&go_quote(&self.name))?;
        if !self.subresource.is_empty() {
            write!(formatter, " with subresource {}", go_quote(&self.subresource))?;
        }
        if self.operation == Operation::Update {
            write!(formatter, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub api_version: Text,
    pub set: FieldSet,
    /// `time`, empty for none.
    pub time: Text,
}

/// All owners of an object's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManagedFields {
    entries: SortedMap<Manager, Entry>,
}

impl ManagedFields {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Manager, &Entry)> {
        self.entries.iter()
    }
    pub(super) fn set_of(&self, manager: &Manager) -> Option<&FieldSet> {
        self.entries.get(manager).map(|entry| &entry.set)
    }

    /// Reads `metadata.managedFields`; the error is upstream's.
    pub fn decode(list: &Value) -> Result<ManagedFields, String> {
        let mut entries = SortedMap::new();
        for (index, entry) in list.as_array().unwrap_or(&[]).iter().enumerate() {
            let operation = match entry.text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = entry.shared_text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match entry.text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => {
                    let other = go_quote(other);
                    return Err(format!("invalid fieldsType {other} in managed fields entry {index}"));
                }
            }
            let manager = Manager {
                name: entry.shared_text("manager"),
                operation,
                api_version: if operation == Operation::Apply { Text::new() } else { api_version.clone() },
                subresource: entry.shared_text("subresource"),
            };
            let set = FieldSet::from_value(entry.at("fieldsV1"))
                .map_err(|error| format!("error decoding set: {error}"))?;
            entries.insert(manager, Entry { api_version, set, time: entry.shared_text("time") });
        }
        Ok(ManagedFields { entries })
    }

    /// Writes the list into an object, appliers first, then by time, name, version and subresource.
    pub fn write_to(&self, object: &mut Value) {
        if self.entries.is_empty() {
            object.remove("metadata.managedFields");
            return;
        }
        let seconds = |entry: &Entry| {
            time_format::parse_unix_micros(&entry.time).map_or(0, |micros| micros.div_euclid(1_000_000))
        };
        let mut sorted: Vec<(&Manager, &Entry)> = self.entries.iter().collect();
        sorted.arrange_by(|(a, x), (b, y)| {
            (a.operation, seconds(x), &a.name, &x.api_version, &a.subresource).cmp(&(
                b.operation,
                seconds(y),
                &b.name,
                &y.api_version,
                &b.subresource,
            ))
        });
        let list = sorted.into_iter().map(|(manager, entry)| {
            let mut out = object! {
                "operation" => manager.operation.as_str(),
                "apiVersion" => &entry.api_version,
                "fieldsType" => "FieldsV1",
                "fieldsV1" => entry.set.to_value(),
            };
            for (name, text) in
                [("manager", &manager.name), ("time", &entry.time), ("subresource", &manager.subresource)]
            {
                if !text.is_empty() {
                    out.set(name, text);
                }
            }
            out
        });
        object.set("metadata.managedFields", Value::array(list.collect::<Vec<_>>()));
    }

    pub(super) fn put(&mut self, manager: Manager, api_version: &str, set: FieldSet, time: Option<&Text>) {
        let old = self.entries.get(&manager).map(|entry| entry.time.clone()).unwrap_or_default();
        let time = time.cloned().unwrap_or(old);
        self.entries.insert(manager, Entry { api_version: Text::from(api_version), set, time });
    }
    /// Adds to what the manager owns already.
    pub(super) fn add(&mut self, manager: Manager, api_version: &str, set: &FieldSet, time: &Text) {
        let set = self.set_of(&manager).map_or_else(|| set.clone(), |old| old.union(set));
        self.put(manager, api_version, set, Some(time));
    }
    pub(super) fn touch(&mut self, manager: &Manager, time: &Text) {
        if let Some(entry) = self.entries.get_mut(manager) {
            entry.time = time.clone();
        }
    }
    /// Nobody but `keeper` owns what changed, and nobody at all what is gone.
    pub(super) fn take_from_others(
        &mut self,
        keeper: Option<&Manager>,
        changed: &FieldSet,
        removed: &FieldSet,
    ) {
        self.entries.retain(|manager, entry| {
            if keeper == Some(manager) {
                return true;
            }
            let left = entry.set.difference(changed).difference(removed);
            if left != entry.set {
                entry.set = left;
            }
            !entry.set.is_empty()
        });
    }
    pub(super) fn strip(&mut self, manager: &Manager, fields: &FieldSet) {
        if let Some(entry) = self.entries.get_mut(manager) {
            entry.set = entry.set.difference(fields);
            if entry.set.is_empty() {
                self.entries.remove(manager);
            }
        }
    }
    /// Sums up the oldest updaters of each version in one, until there are no more than `max`.
    pub(super) fn cap(&mut self, max: usize, name: &str) {
        let mut updaters: Vec<(Text, Manager)> = self
            .entries
            .iter()
            .filter(|(manager, _)| manager.operation == Operation::Update)
            .map(|(manager, entry)| (entry.time.clone(), manager.clone()))
            .gather();
        let mut length = updaters.len();
        if length <= max {
            return;
        }
        updaters.arrange();
        let mut first_of: SortedMap<Text, Manager> = SortedMap::new();
        for (_, manager) in updaters {
            if length <= max {
                return;
            }
            let bucket = Manager { name: Text::from(name), subresource: Text::new(), ..manager.clone() };
            let Some(first) = first_of.get(&manager.api_version) else {
                first_of.insert(manager.api_version.clone(), manager);
                continue;
            };
            if !self.entries.contains_key(&bucket)
                && let Some(entry) = self.entries.remove(first)
            {
                self.entries.insert(bucket.clone(), entry);
            }
            if let Some(entry) = self.entries.remove(&manager) {
                let time = entry.time.clone();
                self.add(bucket, &entry.api_version, &entry.set, &time);
                length -= 1;
            }
        }
    }
}
