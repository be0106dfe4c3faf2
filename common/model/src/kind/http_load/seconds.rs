//! The seconds of a run: counts and response times of each, over all workers.
//!
//! The newest ones are kept as histograms; older ones are sealed (HdrHistogram's compressed encoding, a few
//! KiB), since a histogram at hand takes 140 KiB and a run may last a day. A late report opens a sealed
//! second again.
//! Tests: below.

use super::partial::{ErrorClass, Partial};
use super::report::SecondPoint;
use crate::histogram::Latencies;
use std::collections::BTreeMap;

/// Seconds kept as histograms.
const OPEN_SECONDS: u32 = 10;
/// Points that a report holds; a longer run has several seconds to a point.
const MOST_POINTS: usize = 1800;

/// All seconds that were reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    seconds: BTreeMap<u32, Second>,
    /// Every second before this one is sealed.
    sealed_to: u32,
}

/// One second over all workers.
#[derive(Debug, Clone, Default)]
pub(super) struct Second {
    pub(super) sent: u64,
    pub(super) completed: u64,
    pub(super) errors: u64,
    /// Errors without a connection.
    pub(super) connect_errors: u64,
    /// Of those, the refused ones.
    pub(super) refused: u64,
    /// Reports that went into it.
    pub(super) reporters: u32,
    response: Response,
}

#[derive(Debug, Clone)]
enum Response {
    Open(Box<Latencies>),
    Sealed(Vec<u8>),
}

impl Default for Response {
    fn default() -> Self {
        Response::Open(Box::default())
    }
}

impl Second {
    /// Its response times.
    pub(super) fn response(&self) -> Latencies {
        match &self.response {
            Response::Open(latencies) => (**latencies).clone(),
            // It was sealed by us, so it can be read.
            Response::Sealed(bytes) => rmp_serde::from_slice(bytes).unwrap_or_default(),
        }
    }

    fn merge(&mut self, more: &Latencies) {
        let mut taken = match std::mem::take(&mut self.response) {
            Response::Open(latencies) => latencies,
            Response::Sealed(bytes) => Box::new(rmp_serde::from_slice(&bytes).unwrap_or_default()),
        };
        taken.merge(more);
        self.response = Response::Open(taken);
    }

    fn seal(&mut self) {
        if let Response::Open(latencies) = &self.response
            && let Ok(bytes) = rmp_serde::to_vec_named(latencies)
        {
            self.response = Response::Sealed(bytes);
        }
    }
}

impl Seconds {
    /// Merges one report.
    pub(super) fn absorb(&mut self, partial: &Partial) {
        let second = self.seconds.entry(partial.second).or_default();
        second.sent += partial.sent;
        second.completed += partial.completed;
        second.errors += partial.error_count();
        second.connect_errors += partial
            .errors
            .iter()
            .filter(|(class, _)| class.is_connect())
            .map(|(_, count)| count)
            .sum::<u64>();
        second.refused += partial.errors.get(&ErrorClass::ConnectRefused).copied().unwrap_or(0);
        second.reporters += 1;
        second.merge(&partial.response);
        let newest = self.seconds.last_key_value().map_or(0, |(second, _)| *second);
        let seal_to = newest.saturating_sub(OPEN_SECONDS);
        if partial.second < seal_to
            && let Some(late) = self.seconds.get_mut(&partial.second)
        {
            late.seal();
        }
        for (_, old) in self.seconds.range_mut(self.sealed_to.min(seal_to)..seal_to) {
            old.seal();
        }
        self.sealed_to = self.sealed_to.max(seal_to);
    }

    /// One second, if it was reported.
    pub(super) fn get(&self, second: u32) -> Option<&Second> {
        self.seconds.get(&second)
    }

    /// Seconds from the newest to the oldest.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u32, &Second)> {
        self.seconds.iter().rev().map(|(second, sums)| (*second, sums))
    }

    /// Points for a report: one a second, or one for several in a long run, merged bucket by bucket.
    pub(super) fn points(&self) -> Vec<SecondPoint> {
        let stride = self.seconds.len().div_ceil(MOST_POINTS).max(1);
        let all: Vec<(&u32, &Second)> = self.seconds.iter().collect();
        all.chunks(stride)
            .map(|chunk| {
                let mut response = Latencies::new();
                let mut point = SecondPoint { second: *chunk[0].0, ..SecondPoint::default() };
                for (_, second) in chunk {
                    point.sent += second.sent;
                    point.completed += second.completed;
                    point.errors += second.errors;
                    response.merge(&second.response());
                }
                point.p50_ms = response.quantile_ms(0.5);
                point.p99_ms = response.quantile_ms(0.99);
                point
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(second: u32, ms: u64) -> Partial {
        let mut partial = Partial { second, sent: 1, completed: 1, ..Partial::default() };
        partial.response.record_ns(ms * 1_000_000);
        partial
    }

    #[test]
    fn a_late_report_is_merged_into_a_sealed_second_bucket_by_bucket() {
        let mut seconds = Seconds::default();
        seconds.absorb(&partial(0, 10));
        seconds.absorb(&partial(60, 10));
        assert!(matches!(seconds.get(0).unwrap().response, Response::Sealed(_)));
        seconds.absorb(&partial(0, 40));
        let first = seconds.get(0).unwrap();
        assert!(matches!(first.response, Response::Sealed(_)), "and sealed again");
        let mut expected = Latencies::new();
        expected.record_ns(10_000_000);
        expected.record_ns(40_000_000);
        assert_eq!(first.response().buckets().collect::<Vec<_>>(), expected.buckets().collect::<Vec<_>>());
        assert_eq!((first.sent, first.reporters), (2, 2));
        assert!(matches!(seconds.get(60).unwrap().response, Response::Open(_)));
    }

    #[test]
    fn only_the_newest_seconds_are_kept_open() {
        let mut seconds = Seconds::default();
        for second in 0..100 {
            seconds.absorb(&partial(second, 1));
        }
        let open = seconds.newest_first().filter(|(_, s)| matches!(s.response, Response::Open(_))).count();
        assert_eq!(open, 11);
    }

    #[test]
    fn a_long_run_has_fewer_points_and_loses_no_count() {
        let mut seconds = Seconds::default();
        for second in 0..4000 {
            seconds.absorb(&partial(second, 1));
        }
        let points = seconds.points();
        assert_eq!(points.len(), 1334);
        assert_eq!(points.iter().map(|p| p.completed).sum::<u64>(), 4000);
        assert_eq!(points[1].second, 3);
    }
}
