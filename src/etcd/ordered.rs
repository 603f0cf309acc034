//! Keys in order, each with something: the index of the store.
//!
//! Picture to hold in mind: a card catalogue. One list tells which drawer begins with which card; the drawers hold
//! some dozens of cards each. A copy of the catalogue shares every drawer; who changes a card copies its drawer,
//! if somebody else still looks into it, and nothing else.

use std::sync::Arc;

use crate::api::Text;

/// Cards in a drawer at most; a full one is split in two.
const DRAWER: usize = 64;

/// A drawer, and a label: no card before the label is in it or a later one. The label need not be on a card; what
/// comes before the first label goes into the first drawer, whose label is then written anew.
type Drawer<V> = (Text, Arc<Vec<(Text, V)>>);

/// A sorted map whose `clone` copies one pointer.
#[derive(Clone, Debug)]
pub struct Ordered<V> {
    /// Sorted; the list itself is shared too.
    drawers: Arc<Vec<Drawer<V>>>,
    len: usize,
}

impl<V> Default for Ordered<V> {
    fn default() -> Ordered<V> {
        Ordered { drawers: Arc::default(), len: 0 }
    }
}

impl<V: Clone> Ordered<V> {
    pub fn len(&self) -> usize {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The drawer in which `key` is, or would be.
    fn drawer(&self, key: &str) -> usize {
        self.drawers.partition_point(|(label, _)| label.as_str() <= key).saturating_sub(1)
    }
    fn place(drawer: &[(Text, V)], key: &str) -> Result<usize, usize> {
        drawer.binary_search_by(|(name, _)| name.as_str().cmp(key))
    }
    pub fn get(&self, key: &str) -> Option<&V> {
        let (_, drawer) = self.drawers.get(self.drawer(key))?;
        Self::place(drawer, key).ok().map(|place| &drawer[place].1)
    }
    /// What stands at `key` for changing; made by `make` and inserted first if there is nothing.
    pub fn entry(&mut self, key: &Text, make: impl FnOnce() -> V) -> &mut V {
        let mut number = self.drawer(key);
        let drawers = Arc::make_mut(&mut self.drawers);
        if drawers.is_empty() {
            drawers.push((key.clone(), Arc::default()));
        }
        let mut place = match Self::place(&drawers[number].1, key) {
            Ok(place) => return &mut Arc::make_mut(&mut drawers[number].1)[place].1,
            Err(place) => place,
        };
        self.len += 1;
        if drawers[number].1.len() >= DRAWER {
            // Keys often come in order: then the old drawer stays nearly full.
            let cut = if place == DRAWER { DRAWER - 1 } else { DRAWER / 2 };
            let mut upper = Vec::with_capacity(DRAWER);
            upper.extend(Arc::make_mut(&mut drawers[number].1).drain(cut..));
            drawers.insert(number + 1, (upper[0].0.clone(), Arc::new(upper)));
            if place >= cut {
                (number, place) = (number + 1, place - cut);
            }
        }
        // Before the first label of all, or at the very cut: the drawer is looked for by its label.
        if drawers[number].0 > *key {
            drawers[number].0 = key.clone();
        }
        let drawer = Arc::make_mut(&mut drawers[number].1);
        if drawer.capacity() == drawer.len() {
            drawer.reserve_exact(if drawer.len() < DRAWER / 4 {
                drawer.len().max(2)
            } else {
                DRAWER - drawer.len()
            });
        }
        drawer.insert(place, (key.clone(), make()));
        &mut drawer[place].1
    }
    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        let number = self.drawer(key);
        let place = Self::place(&self.drawers.get(number)?.1, key).ok()?;
        Some(&mut Arc::make_mut(&mut Arc::make_mut(&mut self.drawers)[number].1)[place].1)
    }
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let number = self.drawer(key);
        let place = Self::place(&self.drawers.get(number)?.1, key).ok()?;
        let drawers = Arc::make_mut(&mut self.drawers);
        let (_, value) = Arc::make_mut(&mut drawers[number].1).remove(place);
        if drawers[number].1.is_empty() {
            drawers.remove(number);
        }
        self.len -= 1;
        Some(value)
    }
    /// The keys from `start` on, in order.
    pub fn from<'a>(&'a self, start: &str) -> impl Iterator<Item = (&'a Text, &'a V)> + use<'a, V> {
        let number = self.drawer(start);
        let first = self.drawers.get(number).map_or(0, |(_, drawer)| match Self::place(drawer, start) {
            Ok(place) | Err(place) => place,
        });
        self.drawers[number.min(self.drawers.len())..]
            .iter()
            .flat_map(|(_, drawer)| drawer.iter())
            .skip(first)
            .map(|(key, value)| (key, value))
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &V)> {
        self.drawers.iter().flat_map(|(_, drawer)| drawer.iter()).map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_behaves_as_a_map_and_its_copies_stay_as_they_were() {
        for seed in 0..8 {
            let mut random = crate::sim::Random::stream(seed, "ordered");
            let (mut ordered, mut model) = (Ordered::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for step in 0..4000_u64 {
                // In order at first, then anywhere.
                let number = if step < 500 { step } else { random.below(1500) };
                let key = Text::from(format!("/registry/pods/{number:05}"));
                if step > 500 && random.below(5) < 2 {
                    assert_eq!(ordered.remove(&key), model.remove(&key));
                } else {
                    *ordered.entry(&key, || 0) = step;
                    model.insert(key.clone(), step);
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
                    assert!(ordered.from(start).eq(model.range(Text::from(start)..)), "from {start}");
                }
            }
        }
    }

    /// A full drawer is split by a card for each of its places, the one at the cut among them.
    #[test]
    fn a_key_that_splits_a_drawer_is_found_again() {
        let key = |number: usize| Text::from(format!("{number:05}"));
        for place in 0..=DRAWER {
            let mut ordered = Ordered::default();
            (1..=DRAWER).for_each(|number| *ordered.entry(&key(2 * number), || 0) = 2 * number);
            *ordered.entry(&key(2 * place + 1), || 0) = 2 * place + 1;
            assert!(ordered.iter().all(|(key, number)| ordered.get(key) == Some(number)), "place {place}");
            assert_eq!(ordered.remove(&key(2 * place + 1)), Some(2 * place + 1));
        }
    }
}
