//! An object's fields.
//!
//! Picture to hold in mind: a ring binder with index tabs. The tabs show the first letters of each name, so that one
//! finds the page by leafing through tabs and reads the whole name only where a tab fits.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::name::shared;
use super::{Text, Value};
use crate::arrange::Arrange;

/// An object's fields, sorted by name: the order in which Kubernetes prints them.
#[derive(Default)]
pub struct Map {
    entries: Vec<Entry>,
    /// Length as JSON, as far as it has been asked for since the last change; 0: not known.
    json_bytes: AtomicU32,
}

/// Tabs that are leafed through one by one.
const LEAVES: usize = 8;

#[derive(Clone)]
struct Entry {
    key: Text,
    tab: u32,
    value: Value,
}

/// The first four bytes of a name: sorts as the name does, and needs no look at where the name lies.
#[inline]
fn tab(key: &str) -> u32 {
    match *key.as_bytes() {
        [a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
        [a, b, c] => u32::from_be_bytes([a, b, c, 0]),
        [a, b] => u32::from_be_bytes([a, b, 0, 0]),
        [a] => u32::from_be_bytes([a, 0, 0, 0]),
        [] => 0,
    }
}

impl Clone for Map {
    fn clone(&self) -> Map {
        let json_bytes = AtomicU32::new(self.json_bytes.load(Ordering::Relaxed));
        Map { entries: self.entries.clone(), json_bytes }
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        let is_equal = |(a, b): (&Entry, &Entry)| a.tab == b.tab && a.key == b.key && a.value == b.value;
        self.len() == other.len() && self.entries.iter().zip(&other.entries).all(is_equal)
    }
}

impl Map {
    pub const fn new() -> Map {
        Map { entries: Vec::new(), json_bytes: AtomicU32::new(0) }
    }
    /// Where a map for `count` fields begins.
    pub fn with_capacity(count: usize) -> Map {
        Map { entries: Vec::with_capacity(count), json_bytes: AtomicU32::new(0) }
    }
    /// The first place whose tab is not before `tab`. Most objects have few fields: leafing is quicker than halving.
    #[inline]
    fn first(&self, tab: u32) -> usize {
        let (mut first, mut end) = (0, self.entries.len());
        while end - first > LEAVES {
            let middle = first + (end - first) / 2;
            if self.entries[middle].tab < tab {
                first = middle + 1;
            } else {
                end = middle;
            }
        }
        while first < end && self.entries[first].tab < tab {
            first += 1;
        }
        first
    }
    fn find(&self, key: &str) -> Option<usize> {
        let tab = tab(key);
        let mut place = self.first(tab);
        while let Some(entry) = self.entries.get(place)
            && entry.tab == tab
        {
            if entry.key.as_str() == key {
                return Some(place);
            }
            place += 1;
        }
        None
    }
    /// Where `key`, which is not there, belongs.
    fn gap(&self, key: &str) -> usize {
        let tab = tab(key);
        let mut place = self.first(tab);
        while let Some(entry) = self.entries.get(place)
            && entry.tab == tab
            && entry.key.as_str() < key
        {
            place += 1;
        }
        place
    }
    /// The fields for changing: what was known of them is known no longer.
    fn change(&mut self) -> &mut Vec<Entry> {
        *self.json_bytes.get_mut() = 0;
        &mut self.entries
    }
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).map(|index| &self.entries[index].value)
    }
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
    /// The value at `key` for changing, made `Null` first if absent.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        self.place(key, &mut || Text::from(key))
    }
    /// A field of [`object!`](crate::object): there are a thousand of them in the source, so each is one call.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.put_value(key, value.into());
    }
    fn put_value(&mut self, key: &str, value: Value) {
        *self.entry(key) = value;
    }
    fn place(&mut self, key: &str, make: &mut dyn FnMut() -> Text) -> &mut Value {
        let index = self.find(key).unwrap_or_else(|| {
            let gap = self.gap(key);
            self.entries.insert(gap, Entry { key: shared(key, make), tab: tab(key), value: Value::Null });
            gap
        });
        &mut self.change()[index].value
    }
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let index = self.find(key)?;
        Some(&mut self.change()[index].value)
    }
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        let key = key.into();
        *self.place(&key, &mut || key.clone()) = value.into();
    }
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.find(key)?;
        Some(self.change().remove(index).value)
    }
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.change().retain(|entry| keep(&entry.key, &entry.value));
    }
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Text, &Value)> + ExactSizeIterator + Clone {
        self.entries.iter().map(|entry| (&entry.key, &entry.value))
    }
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut Value)> {
        self.change().iter_mut().map(|entry| (&entry.key, &mut entry.value))
    }
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.entries.iter().map(|entry| &entry.key)
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// See [`Value::json_bytes`].
    pub(super) fn json_bytes(&self) -> u64 {
        let known = self.json_bytes.load(Ordering::Relaxed);
        if known > 0 {
            return known.into();
        }
        let fields = self.iter().map(|(name, value)| quoted_bytes(name) + 1 + value.json_bytes() + 1);
        let bytes = 2 + fields.sum::<u64>().saturating_sub(1);
        // What is longer than the number can say is measured again each time.
        self.json_bytes.store(u32::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
        bytes
    }
    fn of(mut entries: Vec<Entry>) -> Map {
        entries.arrange_by(|a, b| a.key.cmp(&b.key));
        entries.reverse();
        entries.dedup_by(|later, earlier| later.key == earlier.key);
        entries.reverse();
        Map { entries, json_bytes: AtomicU32::new(0) }
    }
}

/// A text's length with quotes, and escapes as JSON has them.
pub(super) fn quoted_bytes(text: &str) -> u64 {
    let escape = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..32 => 5,
        _ => 0,
    };
    // Most texts have none, which is seen many bytes at a time.
    let has_escapes =
        text.bytes().fold(false, |has, byte| has | (byte < 32) | (byte == b'"') | (byte == b'\\'));
    let escapes = if has_escapes { text.bytes().map(escape).sum() } else { 0_u64 };
    2 + text.len() as u64 + escapes
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    /// Of equal keys the last one wins, as in JSON.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Map {
        let entry = |(key, value): (K, V)| {
            let key: Text = key.into();
            Entry { tab: tab(&key), key, value: value.into() }
        };
        Map::of(pairs.into_iter().map(entry).collect())
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            fields.serialize_entry(key.as_str(), value)?;
        }
        fields.end()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
