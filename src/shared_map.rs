//! Maps whose copies share what they have in common.
//!
//! Picture to hold in mind: a card catalogue. One list tells which drawer begins with which card; the drawers hold
//! some dozens of cards each. A copy of the catalogue shares every drawer; who changes a card copies its drawer,
//! if somebody else still looks into it, and nothing else.
//!
//! A checkpoint is such a copy. A balanced tree would do the same, at five times the code for each type of card.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::sorted::search;

/// Cards in a drawer at most; a full one is split in two.
const DRAWER: usize = 64;

/// A drawer, and a label: no card before the label is in it or a later one. The label need not be on a card; what
/// comes before the first label goes into the first drawer, whose label is then written anew.
type Drawer<K, V> = (K, Arc<Vec<(K, V)>>);

/// A sorted map whose `clone` copies one pointer.
#[derive(Clone, Debug)]
pub struct SharedMap<K, V> {
    /// Sorted, none empty; the list itself is shared too.
    drawers: Arc<Vec<Drawer<K, V>>>,
    len: usize,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> SharedMap<K, V> {
        SharedMap { drawers: Arc::default(), len: 0 }
    }
}

impl<K, V> SharedMap<K, V> {
    pub fn new() -> SharedMap<K, V> {
        SharedMap::default()
    }
    pub fn len(&self) -> usize {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The entry with the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }
    /// All entries, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.drawers.iter().flat_map(|(_, drawer)| drawer.iter()).map(|(key, value)| (key, value))
    }
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The drawer in which `key` is, or would be.
    fn drawer<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let drawers = self.drawers.as_slice();
        let found = search(drawers.len(), &mut |number| drawers[number].0.borrow().cmp(key));
        found.unwrap_or_else(|next| next.saturating_sub(1))
    }
    /// The drawer for a key, and the key's place in it, or where it would stand.
    fn look<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let number = self.drawer(key);
        (number, self.drawers.get(number).map_or(Err(0), |(_, drawer)| place(drawer, key)))
    }
    /// Drawer and place in it of a key that is there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        let (number, place) = self.look(key);
        Some((number, place.ok()?))
    }
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (number, place) = self.find(key)?;
        Some(&self.drawers.as_slice()[number].1.as_slice()[place].1)
    }
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }
    /// The entries from `start` on, in order.
    pub fn from<'a, Q: Ord + ?Sized>(
        &'a self,
        start: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, Q, K, V>
    where
        K: Borrow<Q>,
    {
        let number = self.drawer(start);
        let first = self.drawers.get(number).map_or(0, |(_, drawer)| match place(drawer, start) {
            Ok(place) | Err(place) => place,
        });
        self.drawers[number.min(self.drawers.len())..]
            .iter()
            .flat_map(|(_, drawer)| drawer.iter())
            .skip(first)
            .map(|(key, value)| (key, value))
    }
}

/// What is behind `shared`, copied first if somebody else looks at it too: `Arc::make_mut` for what nobody holds weakly, at
/// less than half the code for each type of card.
fn own<T: Clone>(shared: &mut Arc<T>) -> &mut T {
    if Arc::strong_count(shared) > 1 {
        *shared = Arc::new(T::clone(shared));
    }
    Arc::get_mut(shared).expect("just made, or nobody else's")
}

fn place<K: Borrow<Q>, V, Q: Ord + ?Sized>(drawer: &[(K, V)], key: &Q) -> Result<usize, usize> {
    search(drawer.len(), &mut |place| drawer[place].0.borrow().cmp(key))
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// What stands at `key` for changing; made by `make` and inserted first if there is nothing.
    pub fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let (number, place) = match self.look(key) {
            (number, Ok(place)) => (number, place),
            (number, Err(place)) => self.add(number, place, key.clone(), make()),
        };
        self.at(number, place)
    }
    /// Says what stood there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.look(&key) {
            (number, Ok(place)) => Some(std::mem::replace(self.at(number, place), value)),
            (number, Err(place)) => {
                self.add(number, place, key, value);
                None
            }
        }
    }
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (number, place) = self.find(key)?;
        Some(self.at(number, place))
    }
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (number, place) = self.find(key)?;
        let drawers = own(&mut self.drawers);
        let (_, value) = own(&mut drawers[number].1).remove(place);
        if drawers[number].1.is_empty() {
            drawers.remove(number);
        }
        self.len -= 1;
        Some(value)
    }
    /// Takes out the entry with the lowest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let drawers = own(&mut self.drawers);
        let entry = own(&mut drawers.first_mut()?.1).remove(0);
        if drawers[0].1.is_empty() {
            drawers.remove(0);
        }
        self.len -= 1;
        Some(entry)
    }
    fn at(&mut self, number: usize, place: usize) -> &mut V {
        let drawer = &mut own(&mut self.drawers).as_mut_slice()[number].1;
        &mut own(drawer).as_mut_slice()[place].1
    }
    /// Puts in a card whose key is not there, where it was looked for; says where it stands now.
    fn add(&mut self, mut number: usize, mut place: usize, key: K, value: V) -> (usize, usize) {
        let drawers = own(&mut self.drawers);
        if drawers.is_empty() {
            drawers.push((key.clone(), Arc::default()));
        }
        self.len += 1;
        if drawers[number].1.len() >= DRAWER {
            // Keys often come in order: then the old drawer stays nearly full.
            let cut = if place == DRAWER { DRAWER - 1 } else { DRAWER / 2 };
            let mut upper = Vec::with_capacity(DRAWER);
            upper.extend(own(&mut drawers[number].1).drain(cut..));
            drawers.insert(number + 1, (upper[0].0.clone(), Arc::new(upper)));
            if place >= cut {
                (number, place) = (number + 1, place - cut);
            }
        }
        // Before the first label of all, or at the very cut: the drawer is looked for by its label.
        if drawers[number].0 > key {
            drawers[number].0 = key.clone();
        }
        let drawer = own(&mut drawers[number].1);
        if drawer.capacity() == drawer.len() {
            let more = if drawer.len() < DRAWER / 4 { drawer.len().max(2) } else { DRAWER - drawer.len() };
            drawer.reserve_exact(more);
        }
        drawer.insert(place, (key, value));
        (number, place)
    }
}

impl<K: Ord + Clone> SharedSet<K> {
    /// Whether it is new.
    pub fn include(&mut self, key: K) -> bool {
        self.insert(key, ()).is_none()
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Box<dyn Iterator<Item = (&'a K, &'a V)> + 'a>;
    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<K: Ord + Clone> FromIterator<K> for SharedSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> SharedSet<K> {
        let mut set = SharedSet::new();
        for key in keys {
            set.include(key);
        }
        set
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> SharedMap<K, V> {
        let mut map = SharedMap::new();
        for (key, value) in pairs {
            map.insert(key, value);
        }
        map
    }
}

/// A sorted set whose `clone` copies one pointer.
pub type SharedSet<K> = SharedMap<K, ()>;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_behaves_as_a_map_and_its_copies_stay_as_they_were() {
        for seed in 0..8 {
            let mut random = crate::sim::Random::stream(seed, "shared map");
            let (mut ordered, mut model) = (SharedMap::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for step in 0..4000_u64 {
                // In order at first, then anywhere.
                let number = if step < 500 { step } else { random.below(1500) };
                let key = format!("/registry/pods/{number:05}");
                if step > 500 && random.below(5) < 2 {
                    assert_eq!(ordered.remove(&key), model.remove(&key));
                } else {
                    *ordered.entry(&key, || 0) = step;
                    model.insert(key.clone(), step);
                }
                if step % 50 == 49 {
                    assert_eq!(ordered.pop_first(), model.pop_first());
                }
                if let Some(value) = ordered.get_mut(&key) {
                    *value += 1;
                    *model.get_mut(&key).expect("in both") += 1;
                }
                assert_eq!(ordered.len(), model.len());
                if step % 1000 == 999 {
                    copies.push((ordered.clone(), model.clone()));
                }
            }
            for (ordered, model) in copies {
                assert!(ordered.iter().eq(model.iter()));
                for start in ["", "/registry/pods/00700", "/registry/pods/007001", "z"] {
                    assert!(ordered.from(start).eq(model.range(String::from(start)..)), "from {start}");
                }
            }
        }
    }

    /// A full drawer is split by a card for each of its places, the one at the cut among them.
    #[test]
    fn a_key_that_splits_a_drawer_is_found_again() {
        let key = |number: usize| format!("{number:05}");
        for place in 0..=DRAWER {
            let mut ordered = SharedMap::default();
            (1..=DRAWER).for_each(|number| *ordered.entry(&key(2 * number), || 0) = 2 * number);
            *ordered.entry(&key(2 * place + 1), || 0) = 2 * place + 1;
            assert!(ordered.iter().all(|(key, number)| ordered.get(key) == Some(number)), "place {place}");
            assert_eq!(ordered.remove(&key(2 * place + 1)), Some(2 * place + 1));
        }
    }
}
