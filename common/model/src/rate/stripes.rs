//! Stripes: which owner sends which arrival.
//!
//! A pattern of [`MODULUS`] owners is laid over the arrivals' index again and again. Each owner holds as
//! many places as its weight, interleaved as evenly as can be (smooth weighted round-robin, as in nginx),
//! so for any weights and any rate the owners' arrivals together are exactly all arrivals.
//! Tests: below.

use crate::share::largest_remainder;

/// Length of the pattern, and the sum of all weights.
pub const MODULUS: u32 = 1000;

/// A pattern of owners, by their position in the list of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripes {
    weights: Vec<u32>,
    places: Vec<Vec<u32>>,
}

impl Stripes {
    /// The pattern for scores of any size; they are scaled to weights whose sum is [`MODULUS`]
    /// (or the number of scores above 0 if that is larger, so that none of them is starved).
    ///
    /// A score of 0 owns nothing. Without a score above 0 nobody owns anything.
    #[must_use]
    pub fn new(scores: &[u64]) -> Stripes {
        let working = scores.iter().filter(|s| **s > 0).count();
        let modulus = u64::from(MODULUS).max(u64::try_from(working).unwrap_or(u64::MAX));
        let weights: Vec<u32> = largest_remainder(modulus, scores)
            .into_iter()
            .map(|weight| u32::try_from(weight).unwrap_or(u32::MAX))
            .collect();
        let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
        let mut places = vec![Vec::new(); weights.len()];
        let mut credit: Vec<i64> = vec![0; weights.len()];
        for place in 0..u32::try_from(total).unwrap_or(0) {
            let mut best = 0;
            for (owner, weight) in weights.iter().enumerate() {
                credit[owner] += i64::from(*weight);
                if credit[owner] > credit[best] {
                    best = owner;
                }
            }
            credit[best] -= total;
            places[best].push(place);
        }
        Stripes { weights, places }
    }

    /// Weights by owner.
    #[must_use]
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    /// Sum of all weights: the length of the pattern.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.weights.iter().sum()
    }

    /// The places of one owner in the pattern, growing.
    #[must_use]
    pub fn places(&self, owner: usize) -> &[u32] {
        &self.places[owner]
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
