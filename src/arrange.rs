//! Sorting, compiled once.
//!
//! Picture to hold in mind: a cloakroom. The guests stay where they are while their numbers are put in order on
//! the counter; then each walks once to the place that the numbers say.
//!
//! The standard library's sorts are generic over what they move, and each type that is sorted costs some six
//! kilobytes of code: a tenth of the page's module was sorts of a few items each. Here only the numbers are sorted,
//! by one piece of code; what is generic is a comparison and a swap.

use std::cmp::Ordering;

/// Collecting one by one. For a list whose length is not known beforehand (`filter`, `flat_map`, `split`), `collect` is a
/// first step and a loop of its own at every place, twice the code; for maps and sets it would sort everything first,
/// with the standard library's sort.
pub trait Gather: Iterator + Sized {
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut all = C::default();
        for item in self {
            all.extend([item]);
        }
        all
    }
}

impl<I: Iterator> Gather for I {}

/// Stable sorts of slices, like the standard library's of the same names without the prefix.
pub trait Arrange<T> {
    /// Ascending.
    fn arrange(&mut self)
    where
        T: Ord;
    /// By a comparison of two items.
    fn arrange_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering);
    /// By what `key` says of an item; it is asked at every comparison.
    fn arrange_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K);
}

impl<T> Arrange<T> for [T] {
    fn arrange(&mut self)
    where
        T: Ord,
    {
        self.arrange_by(T::cmp);
    }
    fn arrange_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        let mut numbers = in_order(self.len(), &mut |a, b| compare(&self[a], &self[b]));
        walk(&mut numbers, &mut |a, b| self.swap(a, b));
    }
    fn arrange_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) {
        self.arrange_by(|a, b| key(a).cmp(&key(b)));
    }
}

/// The numbers below `count` in the order of what they stand for: sorted runs are merged to longer ones. The standard
/// library's sort is quicker on long lists in disorder, and twenty times the code.
fn in_order(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut first: Vec<usize> = (0..count).collect();
    let mut second = first.clone();
    let (mut numbers, mut merged) = (first.as_mut_slice(), second.as_mut_slice());
    let mut run = 1;
    while run < count {
        for start in (0..count).step_by(2 * run) {
            let (middle, end) = ((start + run).min(count), (start + 2 * run).min(count));
            let (mut left, mut right) = (start, middle);
            let is_in_order = middle == end || compare(numbers[middle - 1], numbers[middle]).is_le();
            for place in &mut merged[start..end] {
                // Of two equals the left one comes first.
                let is_left = left < middle
                    && (is_in_order || right == end || compare(numbers[left], numbers[right]).is_le());
                let from = if is_left { &mut left } else { &mut right };
                *place = numbers[*from];
                *from += 1;
            }
        }
        std::mem::swap(&mut numbers, &mut merged);
        run *= 2;
    }
    numbers.to_vec()
}

/// Brings to each place `to` what stands at `numbers[to]`, along the circles that the numbers form.
fn walk(numbers: &mut [usize], swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..numbers.len() {
        let mut place = start;
        loop {
            let next = std::mem::replace(&mut numbers[place], place);
            if next == start {
                break;
            }
            swap(place, next);
            place = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arrange;
    use crate::sim::Random;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut random = Random::stream(7, "arrange");
        for round in 0..300 {
            let length = random.below(40);
            let items: Vec<(u64, u64)> =
                (0..length).map(|index| (random.below(1 + round / 10), index)).collect();
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            ours.arrange_by_key(|item| item.0);
            theirs.sort_by_key(|item| item.0);
            assert_eq!(ours, theirs, "{items:?}");
            ours.arrange();
            theirs.sort();
            assert_eq!(ours, theirs, "{items:?}");
        }
    }
}
