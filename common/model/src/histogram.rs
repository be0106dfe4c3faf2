//! Latencies that merge bucket by bucket.
//!
//! A [`Latencies`] is an HdrHistogram of microseconds from 1 µs to 60 s with three significant digits
//! (about 70 KiB); a longer time is counted as 60 s and counted in `clamped`. It travels in HdrHistogram's
//! own V2 encoding, compressed, so other tools can read it.
//! Tests: below.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// The largest time that is told apart, microseconds.
pub const MAX_US: u64 = 60_000_000;

/// A distribution of times.
#[derive(Debug, Clone, PartialEq)]
pub struct Latencies {
    histogram: Histogram<u64>,
    clamped: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

impl Latencies {
    /// An empty one. Allocates its buckets here and never again.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the bounds are constants that HdrHistogram accepts")]
    pub fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, MAX_US, 3).expect("constant bounds are accepted");
        Latencies { histogram, clamped: 0 }
    }

    /// Counts one time. Never allocates.
    pub fn record_ns(&mut self, ns: u64) {
        let us = ns / 1000;
        if us > MAX_US {
            self.clamped += 1;
        }
        self.histogram.saturating_record(us.min(MAX_US));
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds, so no value of one can be out of the other's range.
        if self.histogram.add(&other.histogram).is_ok() {
            self.clamped += other.clamped;
        }
    }

    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.clamped = 0;
    }

    /// Number of times counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Times above [`MAX_US`].
    #[must_use]
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The time in milliseconds below or at which `quantile` (0 to 1) of the counted ones lie; 0 when empty.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.count() == 0 {
            0.0
        } else {
            self.histogram.value_at_quantile(quantile).min(self.histogram.max()) as f64 / 1000.0
        }
    }

    /// Smallest, milliseconds; 0 when empty.
    #[must_use]
    pub fn min_ms(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.histogram.min() as f64 / 1000.0 }
    }

    /// Mean, milliseconds; 0 when empty.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.histogram.mean() / 1000.0 }
    }

    /// Largest, milliseconds; 0 when empty.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.histogram.max() as f64 / 1000.0 }
    }

    /// Buckets in use with their counts, lowest first: for exact comparisons.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
    }
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    #[serde(with = "serde_bytes")]
    hdr: Vec<u8>,
    clamped: u64,
}

impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hdr = Vec::new();
        if self.count() > 0 {
            V2DeflateSerializer::new()
                .serialize(&self.histogram, &mut hdr)
                .map_err(|error| serde::ser::Error::custom(format!("{error:?}")))?;
        }
        Encoded { hdr, clamped: self.clamped }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = Encoded::deserialize(deserializer)?;
        let mut latencies = Latencies::new();
        if !encoded.hdr.is_empty() {
            let read: Histogram<u64> = Deserializer::new()
                .deserialize(&mut encoded.hdr.as_slice())
                .map_err(|error| serde::de::Error::custom(format!("histogram: {error:?}")))?;
            latencies
                .histogram
                .add(&read)
                .map_err(|error| serde::de::Error::custom(format!("histogram: {error:?}")))?;
        }
        latencies.clamped = encoded.clamped;
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_beyond_the_range_is_clamped_and_counted() {
        let mut latencies = Latencies::new();
        latencies.record_ns(90_000_000_000);
        latencies.record_ns(1_500);
        assert_eq!((latencies.count(), latencies.clamped()), (2, 1));
        assert!(latencies.max_ms() >= 60_000.0);
        assert!(latencies.quantile_ms(0.5) <= 0.002);
    }

    #[test]
    fn an_empty_one_says_zero() {
        let latencies = Latencies::new();
        assert_eq!((latencies.quantile_ms(0.99), latencies.max_ms(), latencies.mean_ms()), (0.0, 0.0, 0.0));
    }

    proptest! {
        #[test]
        fn merging_in_any_order_and_over_the_wire_gives_the_same_buckets(
            parts in prop::collection::vec(prop::collection::vec(0u64..100_000_000_000, 0..50), 1..6),
        ) {
            let mut whole = Latencies::new();
            for time in parts.iter().flatten() {
                whole.record_ns(*time);
            }
            let mut merged = Latencies::new();
            for part in parts.iter().rev() {
                let mut one = Latencies::new();
                part.iter().for_each(|time| one.record_ns(*time));
                let bytes = rmp_serde::to_vec_named(&one).unwrap();
                merged.merge(&rmp_serde::from_slice(&bytes).unwrap());
            }
            prop_assert_eq!(merged.buckets().collect::<Vec<_>>(), whole.buckets().collect::<Vec<_>>());
            prop_assert_eq!(merged.clamped(), whole.clamped());
        }
    }
}
