//! Sets of completion indexes, written as Jobs write them: `1,3-5,7`.
//!
//! Picture to hold in mind: the page ranges typed into a print dialogue.
//!
//! After `pkg/controller/job/indexed_job_utils.go`.

use std::fmt;

use crate::api::{Value, meta};
use crate::arrange::Arrange;

pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Disjoint ranges in ascending order, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i64, i64)>);

impl Indexes {
    /// Reads what [`fmt::Display`] writes; indexes from `completions` on are left out.
    pub fn parse(text: &str, completions: i64) -> Indexes {
        let mut indexes = Indexes::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else { continue };
            if first >= completions {
                break;
            }
            indexes.push(first, last.min(completions - 1));
        }
        indexes
    }
    /// Adds a range that begins no earlier than the last one.
    fn push(&mut self, first: i64, last: i64) {
        match self.0.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }
    pub fn merged(&self, other: &Indexes) -> Indexes {
        let mut ranges: Vec<(i64, i64)> = self.0.iter().chain(&other.0).copied().collect();
        ranges.arrange();
        let mut merged = Indexes::default();
        for (first, last) in ranges {
            merged.push(first, last);
        }
        merged
    }
    pub fn with(&self, indexes: impl IntoIterator<Item = i64>) -> Indexes {
        self.merged(&Indexes(indexes.into_iter().map(|index| (index, index)).collect()))
    }
    pub fn count(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn contains(&self, index: i64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }
    pub fn overlap(&self, other: &Indexes) -> i64 {
        let shared = |(a, b): (&(i64, i64), &(i64, i64))| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().flat_map(|a| other.0.iter().map(move |b| shared((a, b)))).sum()
    }
    /// The first `count` indexes below `completions` that are not in this set.
    pub fn first_missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let mut missing = Vec::new();
        let mut candidate = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            missing.extend((candidate..first.min(completions)).take(count - missing.len()));
            if missing.len() == count {
                break;
            }
            candidate = candidate.max(last + 1);
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            match last - first {
                0 => write!(formatter, "{separator}{first}")?,
                1 => write!(formatter, "{separator}{first},{last}")?,
                _ => write!(formatter, "{separator}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The completion index of a pod.
pub fn index_of(pod: &Value) -> Option<i64> {
    meta::annotation(pod, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_read_what_they_print() {
        for (text, completions, printed, count) in [
            ("", 5, "", 0),
            ("0", 5, "0", 1),
            ("0,1", 5, "0,1", 2),
            ("0-3,5", 6, "0-3,5", 5),
            ("1,2,3", 9, "1-3", 3),
            ("1-8", 4, "1-3", 3),
            ("2,x,4", 9, "2,4", 2),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.count()), (printed, count), "{text}");
        }
    }

    #[test]
    fn sets_merge_and_tell_what_is_missing() {
        let set = Indexes::parse("1-3,7", 10).with([4, 0, 9]);
        assert_eq!(set.to_string(), "0-4,7,9");
        assert!(set.contains(3) && !set.contains(8));
        for (count, completions, expected) in
            [(0, 10, vec![]), (1, 10, vec![5]), (9, 10, vec![5, 6, 8]), (9, 12, vec![5, 6, 8, 10, 11])]
        {
            assert_eq!(set.first_missing(count, completions), expected);
        }
        assert_eq!(set.overlap(&Indexes::parse("3-8", 10)), 3);
    }
}
