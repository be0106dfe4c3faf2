//! Exact parts of a whole by weight: the largest-remainder method (Hamilton's).
//!
//! Tests: below.

/// Splits `total` in proportion to `weights`; the parts are whole and their sum is exactly `total`.
///
/// Each part is its exact quota rounded down; what is left goes to the largest remainders, ties to the
/// smaller index. A weight of 0 gets 0. With no weight above 0 every part is 0 and nothing is split.
#[must_use]
pub fn largest_remainder(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let scaled = u128::from(total) * u128::from(*weight);
        let floor = u64::try_from(scaled / sum).unwrap_or(u64::MAX);
        parts.push(floor);
        remainders.push((scaled % sum, index));
    }
    let left = total - parts.iter().sum::<u64>();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    for (_, index) in remainders.into_iter().take(left) {
        parts[index] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_totals_lose_nothing() {
        assert_eq!(largest_remainder(101, &[1, 1]), [51, 50]);
        assert_eq!(largest_remainder(1, &[1, 1]), [1, 0]);
        assert_eq!(largest_remainder(0, &[1, 1]), [0, 0]);
        assert_eq!(largest_remainder(10, &[0, 3, 0]), [0, 10, 0]);
        assert_eq!(largest_remainder(10, &[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(5, &[]), Vec::<u64>::new());
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_stay_within_one_of_their_quota(
            total in 0u64..10_000_000_000,
            weights in prop::collection::vec(0u64..1_000_000, 1..40),
        ) {
            let parts = largest_remainder(total, &weights);
            let sum: u64 = weights.iter().sum();
            prop_assume!(sum > 0);
            prop_assert_eq!(parts.iter().sum::<u64>(), total);
            for (part, weight) in parts.iter().zip(&weights) {
                let quota = total as f64 * *weight as f64 / sum as f64;
                prop_assert!((*part as f64 - quota).abs() < 1.0 + 1e-6);
                prop_assert!(*weight > 0 || *part == 0);
            }
        }
    }
}
