//! Stripes: which owner sends which arrival.
//!
//! A pattern of [`MODULUS`] owners is laid over the arrivals' index again and again. Each owner holds as
//! many places as its weight, interleaved as evenly as can be (smooth weighted round-robin, as in nginx),
//! so for any weights and any rate the owners' arrivals together are exactly all arrivals.
//! Tests: below.

use crate::share::largest_remainder;

/// Length of the pattern, and the sum of all weights.
pub const MODULUS: u32 = 1000;

/// The weights of scores of any size: their sum is [`MODULUS`], or the number of scores above 0 if that is larger, so that
/// none of them is starved. Without a score above 0 all are 0.
pub(super) fn weights(scores: &[u64]) -> Vec<u32> {
    let working = scores.iter().filter(|s| **s > 0).count();
    let modulus = u64::from(MODULUS).max(u64::try_from(working).unwrap_or(u64::MAX));
    let parts = largest_remainder(modulus, scores);
    parts.into_iter().map(|weight| u32::try_from(weight).unwrap_or(u32::MAX)).collect()
}

/// How many of the arrivals `0..index` fall on `places`, growing, of a pattern that is `modulus` long.
pub(super) fn owned_before(places: &[u32], modulus: u32, index: u64) -> u64 {
    let modulus = u64::from(modulus.max(1));
    let in_rest = places.partition_point(|place| u64::from(*place) < index % modulus);
    (index / modulus) * places.len() as u64 + in_rest as u64
}

/// A pattern of owners, by their position in the list of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripes {
    weights: Vec<u32>,
    total: u32,
    places: Vec<Vec<u32>>,
}

/// What an owner has been passed over for.
struct Credit {
    owner: usize,
    weight: i64,
    credit: i64,
}

impl Stripes {
    /// The pattern for scores of any size, by their weights: a score of 0 owns nothing.
    ///
    /// Takes steps by the length of the pattern times the number of scores above 0: a million for a thousand.
    #[must_use]
    pub fn new(scores: &[u64]) -> Stripes {
        let weights = weights(scores);
        let total: u32 = weights.iter().sum();
        let mut places = vec![Vec::new(); weights.len()];
        let working = weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
        let mut credits: Vec<Credit> =
            working.map(|(owner, weight)| Credit { owner, weight: i64::from(*weight), credit: 0 }).collect();
        for place in 0..total {
            let mut best = 0;
            for at in 0..credits.len() {
                credits[at].credit += credits[at].weight;
                if credits[at].credit > credits[best].credit {
                    best = at;
                }
            }
            credits[best].credit -= i64::from(total);
            places[credits[best].owner].push(place);
        }
        Stripes { weights, total, places }
    }

    /// Weights by owner.
    #[must_use]
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Sum of all weights: the length of the pattern.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The places of one owner in the pattern, growing; none of an owner that has no score.
    #[must_use]
    pub fn places(&self, owner: usize) -> &[u32] {
        self.places.get(owner).map_or(&[], Vec::as_slice)
    }

    /// How many of the arrivals `0..index` are one owner's.
    #[must_use]
    pub fn owned_before(&self, owner: usize, index: u64) -> u64 {
        owned_before(self.places(owner), self.total(), index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_owners_take_turns() {
        let stripes = Stripes::new(&[5, 5]);
        assert_eq!(stripes.weights(), [500, 500]);
        assert_eq!(&stripes.places(0)[..3], [0, 2, 4]);
        assert_eq!(&stripes.places(1)[..3], [1, 3, 5]);
    }

    #[test]
    fn an_owner_without_score_owns_nothing_and_a_lone_one_everything() {
        let stripes = Stripes::new(&[0, 9, 0]);
        assert!(stripes.places(0).is_empty());
        assert_eq!(stripes.places(1).len(), 1000);
        assert_eq!(Stripes::new(&[0, 0]).total(), 0);
    }

    proptest! {
        #[test]
        fn every_place_has_one_owner_and_no_owner_waits_long(
            scores in prop::collection::vec(0u64..1_000_000, 1..30),
        ) {
            prop_assume!(scores.iter().any(|s| *s > 0));
            let stripes = Stripes::new(&scores);
            let mut all: Vec<u32> = (0..scores.len()).flat_map(|o| stripes.places(o).to_vec()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..stripes.total()).collect::<Vec<_>>());
            for (owner, weight) in stripes.weights().iter().enumerate() {
                if *weight == 0 { continue }
                let period = f64::from(stripes.total()) / f64::from(*weight);
                for pair in stripes.places(owner).windows(2) {
                    prop_assert!(f64::from(pair[1] - pair[0]) <= 2.0 * period + 1.0);
                }
            }
        }
    }
}
