//! A long row of things that grows at the end, is cut at either end, and is cheap to copy.
//!
//! Picture to hold in mind: a train of wagons of equal length. Copying the train couples the same wagons to a
//! second engine; adding a passenger rebuilds the last wagon only, and only if somebody else still holds
//! it. Seats are numbered once and for all, so forgetting the front shifts nobody.

use std::collections::VecDeque;
use std::sync::Arc;

/// Places in a wagon. After a checkpoint the next push copies at most this many.
const WAGON: u64 = 128;

/// Items at the positions `start..end`. Positions never change; `clone` copies a pointer per 128 items.
#[derive(Clone, Debug)]
pub struct Chunks<T> {
    chunks: VecDeque<Arc<Vec<T>>>,
    /// The position of the first place of the first wagon; what lies before `start` in it is forgotten.
    base: u64,
    start: u64,
    end: u64,
}

impl<T: Clone> Chunks<T> {
    /// An empty row whose first item will stand at `start`.
    pub fn starting_at(start: u64) -> Chunks<T> {
        Chunks { chunks: VecDeque::new(), base: start, start, end: start }
    }
    /// The position of the first item.
    pub fn start(&self) -> u64 {
        self.start
    }
    /// The position after the last item.
    pub fn end(&self) -> u64 {
        self.end
    }
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }
    pub fn get(&self, position: u64) -> Option<&T> {
        if position < self.start || position >= self.end {
            return None;
        }
        let place = position - self.base;
        self.chunks.get((place / WAGON) as usize)?.get((place % WAGON) as usize)
    }
    /// For changing; a wagon that somebody else holds too is copied first.
    pub fn get_mut(&mut self, position: u64) -> Option<&mut T> {
        if position < self.start || position >= self.end {
            return None;
        }
        let place = position - self.base;
        Arc::make_mut(self.chunks.get_mut((place / WAGON) as usize)?).get_mut((place % WAGON) as usize)
    }
    pub fn last(&self) -> Option<&T> {
        self.end.checked_sub(1).and_then(|position| self.get(position))
    }
    pub fn push(&mut self, item: T) {
        if (self.end - self.base).is_multiple_of(WAGON) {
            let mut chunk = Vec::with_capacity(WAGON as usize);
            chunk.push(item);
            self.chunks.push_back(Arc::new(chunk));
        } else if let Some(last) = self.chunks.back_mut() {
            Arc::make_mut(last).push(item);
        }
        self.end += 1;
    }
    /// Takes away everything from `position` on.
    pub fn truncate(&mut self, position: u64) {
        if position >= self.end {
            return;
        }
        if position <= self.start {
            *self = Chunks::starting_at(self.start);
            return;
        }
        let kept = position - self.base;
        self.chunks.truncate(kept.div_ceil(WAGON) as usize);
        if !kept.is_multiple_of(WAGON)
            && let Some(last) = self.chunks.back_mut()
        {
            Arc::make_mut(last).truncate((kept % WAGON) as usize);
        }
        self.end = position;
    }
    /// Forgets everything before `position`; wagons go once they hold nothing else.
    pub fn forget_before(&mut self, position: u64) {
        if position >= self.end {
            *self = Chunks::starting_at(position.max(self.end));
            return;
        }
        self.start = self.start.max(position);
        while self.start - self.base >= WAGON {
            self.chunks.pop_front();
            self.base += WAGON;
        }
    }
    /// The items at `from..to`, as far as there are any.
    pub fn range(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &T> + Clone {
        let from = from.max(self.start);
        (from..to.min(self.end).max(from)).filter_map(|position| self.get(position))
    }
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.range(self.start, self.end)
    }
    /// The first position whose item does not satisfy `before`; items that do must all come first.
    pub fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> u64 {
        let (mut low, mut high) = (self.start, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&mut before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_a_vector_whose_front_may_be_forgotten() {
        for origin in [0, 1, 127, 1000] {
            let mut chunks = Chunks::starting_at(origin);
            let mut model: Vec<u64> = Vec::new();
            let mut start = origin;
            let mut random = crate::sim::Random::stream(origin, "chunks");
            for step in 0..4000_u64 {
                match random.below(100) {
                    0 => {
                        let position = start + random.below(model.len() as u64 + 2);
                        chunks.truncate(position);
                        model.truncate((position - start) as usize);
                    }
                    1 => {
                        let gone = random.below(model.len() as u64 + 1);
                        chunks.forget_before(start + gone);
                        model.drain(..gone as usize);
                        start += gone;
                    }
                    _ => {
                        chunks.push(step);
                        model.push(step);
                    }
                }
                assert_eq!(chunks.start(), start);
                assert_eq!(chunks.len(), model.len());
                assert_eq!(chunks.last(), model.last());
            }
            assert!(chunks.iter().eq(model.iter()));
            let position = start + model.len() as u64 / 2;
            assert_eq!(chunks.get(position), model.get(model.len() / 2));
            if let Some(pivot) = chunks.get(position).copied() {
                assert_eq!(chunks.partition_point(|item| *item < pivot), position);
            }
        }
    }

    #[test]
    fn a_copy_is_not_changed_by_its_original() {
        let mut chunks = Chunks::starting_at(1);
        (0..200).for_each(|item| chunks.push(item));
        let copy = chunks.clone();
        chunks.truncate(150);
        chunks.push(7);
        assert_eq!(copy.len(), 200);
        assert_eq!(copy.get(150), Some(&149));
        assert_eq!(chunks.get(150), Some(&7));
    }
}
