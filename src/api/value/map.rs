//! An object's fields.
//!
//! Picture to hold in mind: a ring binder with index tabs. The tabs show the first letters of each name, so that one
//! finds the page by leafing through tabs and reads the whole name only where it is longer than the tab that fits.

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

/// Fields of which the tabs are leafed through one by one; among more one halves.
const LEAVES: usize = 24;

#[derive(Clone)]
struct Entry {
    key: Text,
    tab: u64,
    value: Value,
}

impl Entry {
    /// Whether this is the field `name`, whose tab is `tab`.
    #[inline]
    fn is(&self, tab: u64, name: &[u8]) -> bool {
        self.tab == tab && (name.len() < 8 || self.key.as_bytes() == name)
    }
    /// Whether this field stands before `name`, whose tab is `tab`.
    #[inline]
    fn is_before(&self, tab: u64, name: &str) -> bool {
        if self.tab == tab {
            return self.key.as_str() < name;
        }
        // The first letter that differs decides; a name that ends there, where its filling is, comes first.
        let place = (self.tab ^ tab).trailing_zeros() & !7;
        let letter = |tab: u64| ((tab >> place) as u8).wrapping_add(1);
        letter(self.tab) < letter(tab)
    }
    /// The name's length with quotes and escapes.
    #[cfg_attr(published, optimize(speed))]
    fn name_bytes(&self) -> u64 {
        // All of a short name stands on its tab.
        if self.key.len() <= 8 && !has_escape(self.tab) {
            return 2 + self.key.len() as u64;
        }
        quoted_bytes(&self.key)
    }
    /// Whether this is the name of at least eight letters, and with the same first ones, with which `path` begins.
    #[inline]
    fn begins(&self, path: &[u8]) -> bool {
        let key = self.key.as_bytes();
        let Some((name, rest)) = path.split_at_checked(key.len()) else { return false };
        matches!(rest, [] | [b'.', ..])
            && last_eight(key) == last_eight(name)
            && (key.len() <= 16 || *key == *name)
    }
}

/// Where the first dot of eight letters is, or the end of the text; 8 if there is neither.
#[inline]
fn first_dot(letters: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Zero where the dot is; then the lowest of the marks below is there too.
    let other = letters ^ (ONES * b'.' as u64);
    let dots = other.wrapping_sub(ONES) & !other;
    // The filling is the only byte without a zero bit: none at all becomes zero.
    let filling = (!letters).wrapping_sub(ONES) & letters;
    ((dots | filling) & (ONES << 7)).trailing_zeros() as usize / 8
}

/// A text's first eight letters, the first one lowest. By a pattern: where the program is built small, each of the
/// library's functions for parts of a slice is a call, and this is asked for more often than anything else.
#[inline(always)]
fn first_eight(text: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, f, g, h, ..] = *text else { return None };
    Some(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// A text's last eight letters, the first of them lowest.
#[inline(always)]
pub(super) fn last_eight(text: &[u8]) -> Option<u64> {
    let [.., a, b, c, d, e, f, g, h] = *text else { return None };
    Some(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

/// A name's first eight letters in one number; what is shorter is filled up with a byte that no text has. So a tab says
/// all of a short name, and one need not look where the name lies.
#[inline(always)]
pub(super) fn tab(name: &[u8]) -> u64 {
    if let Some(letters) = first_eight(name) {
        return letters;
    }
    let count = name.len();
    let letters = if let ([a, b, c, d, ..], [.., e, f, g, h]) = (name, name) {
        // Those in the middle are in both halves.
        let last = u64::from(u32::from_le_bytes([*e, *f, *g, *h]));
        u64::from(u32::from_le_bytes([*a, *b, *c, *d])) | last << (8 * count - 32)
    } else {
        let mut letters = 0;
        for letter in name.iter().rev() {
            letters = letters << 8 | u64::from(*letter);
        }
        letters
    };
    letters | u64::MAX << (8 * count)
}

impl Clone for Map {
    #[cfg_attr(published, optimize(speed))]
    fn clone(&self) -> Map {
        let json_bytes = AtomicU32::new(self.json_bytes.load(Ordering::Relaxed));
        // One clones to change, and most often one field comes in: without room for it all would be moved at once.
        let mut entries = Vec::with_capacity(self.entries.len() + 1);
        entries.extend_from_slice(&self.entries);
        Map { entries, json_bytes }
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
    #[cfg_attr(published, optimize(speed))]
    fn find(&self, key: &str) -> Option<usize> {
        let (tab, name) = (tab(key.as_bytes()), key.as_bytes());
        if self.entries.len() > LEAVES {
            return self.halve(name);
        }
        let entries = self.entries.as_slice();
        (0..entries.len()).find(|place| entries[*place].is(tab, name))
    }
    #[cold]
    fn halve(&self, name: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.key.as_bytes().cmp(name)).ok()
    }
    /// Where `key`, which is not there and whose tab is `tab`, belongs.
    #[cfg_attr(published, optimize(speed))]
    fn gap(&self, tab: u64, key: &str) -> usize {
        // Objects are often made in order.
        match self.entries.last() {
            Some(last) if !last.is_before(tab, key) => {
                self.entries.partition_point(|entry| entry.is_before(tab, key))
            }
            _ => self.entries.len(),
        }
    }
    /// The fields for changing: what was known of them is known no longer.
    fn change(&mut self) -> &mut Vec<Entry> {
        *self.json_bytes.get_mut() = 0;
        &mut self.entries
    }
    #[cfg_attr(published, optimize(speed))]
    pub fn get(&self, key: &str) -> Option<&Value> {
        Some(&self.entries.as_slice()[self.find(key)?].value)
    }
    /// The field with whose name a path of names with dots between them begins, and how long its name is.
    #[inline]
    pub(super) fn along(&self, path: &[u8]) -> Option<(&Value, usize)> {
        let letters = tab(path);
        let dot = first_dot(letters);
        let entries = self.entries.as_slice();
        if entries.len() > LEAVES {
            return self.halve_along(path);
        }
        if dot == 8 {
            for entry in entries {
                if entry.tab == letters && entry.begins(path) {
                    return Some((&entry.value, entry.key.len()));
                }
            }
            return None;
        }
        let tab = letters | u64::MAX << (8 * dot);
        for entry in entries {
            if entry.tab == tab {
                return Some((&entry.value, dot));
            }
        }
        None
    }
    #[cold]
    fn halve_along(&self, path: &[u8]) -> Option<(&Value, usize)> {
        let length = path.iter().position(|letter| *letter == b'.').unwrap_or(path.len());
        self.halve(&path[..length]).map(|place| (&self.entries[place].value, length))
    }
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
    /// The value at `key` for changing, made `Null` first if absent.
    #[cfg_attr(published, optimize(speed))]
    pub fn entry(&mut self, key: &str) -> &mut Value {
        let index = self.find(key).unwrap_or_else(|| {
            let tab = tab(key.as_bytes());
            let gap = self.gap(tab, key);
            self.entries.insert(gap, Entry { key: shared(key, tab), tab, value: Value::Null });
            gap
        });
        &mut self.change().as_mut_slice()[index].value
    }
    /// A field of [`object!`](crate::object): there are a thousand of them in the source, so each is one call.
    pub fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.put_value(key, value.into());
    }
    #[cfg_attr(published, optimize(speed))]
    fn put_value(&mut self, key: &str, value: Value) {
        *self.entry(key) = value;
    }
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let index = self.find(key)?;
        Some(&mut self.change()[index].value)
    }
    pub fn insert(&mut self, key: impl AsRef<str>, value: impl Into<Value>) {
        self.put_value(key.as_ref(), value.into());
    }
    #[cfg_attr(published, optimize(speed))]
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
    #[cfg_attr(published, optimize(speed))]
    pub(super) fn json_bytes(&self) -> u64 {
        let known = self.json_bytes.load(Ordering::Relaxed);
        if known > 0 {
            return known.into();
        }
        let fields = self.entries.iter().map(|field| field.name_bytes() + 1 + field.value.json_bytes() + 1);
        let bytes = 2 + fields.sum::<u64>().saturating_sub(1);
        // What is longer than the number can say is measured again each time.
        self.json_bytes.store(u32::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
        bytes
    }
    fn of(mut entries: Vec<Entry>) -> Map {
        if !entries.is_sorted_by(|a, b| a.key < b.key) {
            entries.arrange_by(|a, b| a.key.cmp(&b.key));
            entries.reverse();
            entries.dedup_by(|later, earlier| later.key == earlier.key);
            entries.reverse();
        }
        Map { entries, json_bytes: AtomicU32::new(0) }
    }
}

/// Whether one of eight letters is a quote, a backslash or a control character.
#[inline(always)]
fn has_escape(letters: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |letters: u64, limit: u64| letters.wrapping_sub(ONES * limit) & !letters;
    let is = |letter: u8| below(letters ^ (ONES * u64::from(letter)), 1);
    (below(letters, 32) | is(b'"') | is(b'\\')) & (ONES << 7) != 0
}

/// A text's length with quotes, and escapes as JSON has them.
#[cfg_attr(published, optimize(speed))]
pub(super) fn quoted_bytes(text: &str) -> u64 {
    let escape = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..32 => 5,
        _ => 0,
    };
    // Most texts have none, which is seen eight bytes at a time.
    let bytes = text.as_bytes();
    let (words, rest) = bytes.as_chunks();
    let has_escapes = words.iter().any(|word| has_escape(u64::from_le_bytes(*word))) || has_escape(tab(rest));
    let escapes = if has_escapes { text.bytes().map(escape).sum() } else { 0_u64 };
    2 + text.len() as u64 + escapes
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    /// Of equal keys the last one wins, as in JSON.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Map {
        let entry = |(key, value): (K, V)| {
            let key: Text = key.into();
            Entry { tab: tab(key.as_bytes()), key, value: value.into() }
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
