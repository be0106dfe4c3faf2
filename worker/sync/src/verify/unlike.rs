//! Rows of both ends put side by side by their place, never by an order.
//!
//! In: rows seen at both ends. Out: those that are unlike, with what is wrong with them. Never: SQL.
//! Tests: below.

use super::scan::Seen;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::AddAssign;

/// What is wrong, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Faults {
    /// The target lacks them.
    pub(super) missing: u64,
    /// The source lacks them.
    pub(super) extra: u64,
    /// They are in both and differ.
    pub(super) different: u64,
}

impl Faults {
    /// All of them.
    pub(super) fn all(&self) -> u64 {
        self.missing + self.extra + self.different
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.missing += other.missing;
        self.extra += other.extra;
        self.different += other.different;
    }
}

/// The rows of one place, which are not the same at both ends. A place has one row at each end, unless nothing makes
/// keys unique there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unlike {
    pub(super) source: Vec<Seen>,
    pub(super) target: Vec<Seen>,
}

impl Unlike {
    /// Its place.
    pub(super) fn place(&self) -> u64 {
        self.source.iter().chain(&self.target).next().map_or(0, |row| row.place)
    }

    /// What is wrong; equal rows are set against each other first.
    pub(super) fn faults(&self) -> Faults {
        let mut left: HashMap<u64, u64> = HashMap::new();
        for row in &self.source {
            *left.entry(row.hash).or_default() += 1;
        }
        let mut alone = 0;
        for row in &self.target {
            match left.get_mut(&row.hash).filter(|rows| **rows > 0) {
                Some(rows) => *rows -= 1,
                None => alone += 1,
            }
        }
        let source: u64 = left.values().sum();
        let different = source.min(alone);
        Faults { missing: source - different, extra: alone - different, different }
    }

    /// Whether the source has the same rows there as at another look.
    pub(super) fn source_is_as_in(&self, other: &Unlike) -> bool {
        let hashes = |rows: &[Seen]| {
            let mut hashes: Vec<u64> = rows.iter().map(|row| row.hash).collect();
            hashes.sort_unstable();
            hashes
        };
        hashes(&self.source) == hashes(&other.source)
    }

    /// Its key for people; none where rows have none.
    pub(super) fn shown(&self) -> Option<String> {
        let row = self.source.iter().chain(&self.target).find(|row| !row.key.is_empty())?;
        Some(format!("({})", row.key.join(", ")))
    }
}

/// The places at which both ends are not the same, in no order.
pub(super) fn unlike(source: Vec<Seen>, target: Vec<Seen>) -> Vec<Unlike> {
    let mut places: HashMap<u64, Unlike> = HashMap::with_capacity(source.len());
    for row in source {
        places.entry(row.place).or_default().source.push(row);
    }
    for row in target {
        places.entry(row.place).or_default().target.push(row);
    }
    places.into_values().filter(|place| place.faults() != Faults::default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: u64, hash: u64) -> Seen {
        Seen { key: vec![place.to_string()], place, hash }
    }

    #[test]
    fn rows_are_missing_extra_or_different() {
        let source = vec![row(1, 10), row(2, 20), row(3, 30), row(4, 40)];
        let target = vec![row(4, 40), row(3, 31), row(5, 50), row(1, 10)];
        let mut found: Vec<(u64, Faults)> =
            unlike(source, target).iter().map(|place| (place.place(), place.faults())).collect();
        found.sort_by_key(|(place, _)| *place);
        let none = Faults::default();
        assert_eq!(
            found,
            [
                (2, Faults { missing: 1, ..none }),
                (3, Faults { different: 1, ..none }),
                (5, Faults { extra: 1, ..none })
            ]
        );
    }

    #[test]
    fn equal_rows_are_counted() {
        let faults = |source: &[u64], target: &[u64]| {
            let rows = |hashes: &[u64]| hashes.iter().map(|hash| row(1, *hash)).collect();
            Unlike { source: rows(source), target: rows(target) }.faults()
        };
        assert_eq!(faults(&[7, 7], &[7, 7, 7, 7]), Faults { missing: 0, extra: 2, different: 0 });
        assert_eq!(faults(&[7], &[7, 8]), Faults { missing: 0, extra: 1, different: 0 });
        assert_eq!(faults(&[7, 9], &[8]), Faults { missing: 1, extra: 0, different: 1 });
        assert_eq!(faults(&[7, 9], &[9, 7]), Faults::default());
    }
}
