//! All that one key has ever been (etcd's `mvcc/key_index.go`).
//!
//! Picture to hold in mind: a catalogue card with the numbers of the lines on which the key stands, the newest on top.
//! A tombstone is a line too. Compaction strikes out the numbers that nobody may ask for any more.

use std::sync::Arc;

use crate::message::etcd::KeyValue;

/// A key at one line.
#[derive(Clone, Debug)]
pub enum Version {
    Put(Arc<KeyValue>),
    Tombstone { revision: u64 },
}

impl Version {
    pub fn revision(&self) -> u64 {
        match self {
            Version::Put(pair) => pair.mod_revision,
            Version::Tombstone { revision } => *revision,
        }
    }
    pub(super) fn pair(&self) -> Option<&Arc<KeyValue>> {
        if let Version::Put(pair) = self { Some(pair) } else { None }
    }
}

/// All versions of a key. Most keys have one, so the list of older ones is apart.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub latest: Version,
    pub older: Option<Arc<Vec<Version>>>,
}

impl Key {
    /// Before its first line.
    pub fn unwritten() -> Key {
        Key { latest: Version::Tombstone { revision: 0 }, older: None }
    }
    pub fn write(&mut self, version: Version) {
        let before = std::mem::replace(&mut self.latest, version);
        if before.revision() > 0 {
            Arc::make_mut(self.older.get_or_insert_default()).push(before);
        }
    }
    pub fn at(&self, revision: u64) -> Option<&Arc<KeyValue>> {
        if self.latest.revision() <= revision {
            return self.latest.pair();
        }
        let older = self.older.as_ref()?;
        let count = older.partition_point(|version| version.revision() <= revision);
        older.get(count.checked_sub(1)?)?.pair()
    }
    /// Forgets what was no longer true at `revision`, and tells each version that goes. False: nothing is left.
    pub fn compact(&mut self, revision: u64, forgotten: &mut impl FnMut(&Version)) -> bool {
        if self.latest.revision() <= revision {
            if let Some(older) = self.older.take() {
                older.iter().for_each(&mut *forgotten);
            }
            let is_alive = matches!(self.latest, Version::Put(_));
            if !is_alive {
                forgotten(&self.latest);
            }
            return is_alive;
        }
        if let Some(older) = &mut self.older {
            let count = older.partition_point(|version| version.revision() <= revision);
            // Of those that are compacted the last is still true, unless it is a tombstone.
            let true_then = count.checked_sub(1).and_then(|last| older.get(last));
            let gone = count - usize::from(true_then.is_some_and(|version| version.pair().is_some()));
            older[..gone].iter().for_each(forgotten);
            if gone == older.len() {
                self.older = None;
            } else if gone > 0 {
                Arc::make_mut(older).drain(..gone);
            }
        }
        true
    }
}
