//! Deltas of all threads of an attempt, merged into one [`Partial`] per second and section.
//!
//! A second is told when every thread has handed over its part of it. A thread that could not hand over in
//! time puts what it has into a later second.
//! In: handovers. Out: partials in order, each complete up to its `covered_ns`. Pure.
//! Tests: below.

use super::recorder::{Delta, Section};
use shanty_model::kind::http_load::{ErrorClass, Partial};
use std::collections::{BTreeMap, VecDeque};

/// What one thread handed over.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// The thread.
    pub(super) thread: usize,
    /// Everything before the end of this second is in it or was before.
    pub(super) second: u32,
    /// All arrivals of the thread due before this instant are accounted for.
    pub(super) covered_ns: u64,
    /// Whether the thread has ended.
    pub(super) is_last: bool,
    /// What it counted.
    pub(super) deltas: &'a [&'a Delta],
}

#[derive(Debug, Default)]
struct Progress {
    /// Seconds handed over and not told yet, with what they cover.
    covered: VecDeque<(u32, u64)>,
    /// What the last second told covered.
    told_ns: u64,
    ended: bool,
}

impl Progress {
    fn has(&self, second: u32) -> bool {
        self.ended || self.covered.back().is_some_and(|(newest, _)| *newest >= second)
    }

    /// What the thread's part of this second and all before covers.
    fn tell(&mut self, second: u32) -> u64 {
        while let Some((of, covered_ns)) = self.covered.front()
            && *of <= second
        {
            self.told_ns = self.told_ns.max(*covered_ns);
            self.covered.pop_front();
        }
        self.told_ns
    }
}

/// Merges.
#[derive(Debug)]
pub(super) struct Gather {
    engine: &'static str,
    warm_up_ns: u64,
    threads: Vec<Progress>,
    /// The next second to tell; none before the first report.
    next: Option<u32>,
    sums: BTreeMap<(u32, Section), Partial>,
    covered_ns: u64,
}

impl Gather {
    /// For this many threads.
    pub(super) fn new(threads: usize, warm_up_ns: u64, engine: &'static str) -> Gather {
        let threads = (0..threads).map(|_| Progress::default()).collect();
        Gather { engine, warm_up_ns, threads, next: None, sums: BTreeMap::new(), covered_ns: 0 }
    }

    /// Takes a report.
    pub(super) fn absorb(&mut self, report: &Report<'_>) {
        for delta in report.deltas {
            if !is_empty(delta) {
                let sums = self.sums.entry((report.second, delta.section)).or_default();
                add(sums, delta);
            }
        }
        if let Some(thread) = self.threads.get_mut(report.thread) {
            thread.covered.push_back((report.second, report.covered_ns));
            thread.ended |= report.is_last;
        }
        self.next = Some(self.next.map_or(report.second, |next| next.min(report.second)));
    }

    /// The next partials that are complete.
    pub(super) fn ready(&mut self) -> Vec<Partial> {
        let mut ready = Vec::new();
        while let Some(second) = self.next
            && self.threads.iter().all(|thread| thread.has(second))
        {
            let newest =
                self.threads.iter().filter_map(|t| t.covered.back()).map(|(newest, _)| *newest).max();
            if newest.is_none_or(|newest| newest < second) {
                break;
            }
            self.tell(second, &mut ready);
            self.next = second.checked_add(1);
        }
        ready
    }

    fn tell(&mut self, second: u32, into: &mut Vec<Partial>) {
        let covered_ns = self.threads.iter_mut().map(|thread| thread.tell(second)).min().unwrap_or(0);
        let begins = u64::from(second) * 1_000_000_000;
        let warm_up = self.sums.remove(&(second, Section::WarmUp));
        let measured = self.sums.remove(&(second, Section::Measured));
        let of_measured = measured.is_some() || begins + 1_000_000_000 > self.warm_up_ns;
        if warm_up.is_some() || begins < self.warm_up_ns {
            // Only the last partial of a second covers it.
            let covered_ns = if of_measured { self.covered_ns } else { covered_ns };
            into.push(Partial { warm_up: true, ..self.told(warm_up, second, covered_ns) });
        }
        if of_measured {
            into.push(self.told(measured, second, covered_ns));
        }
        self.covered_ns = covered_ns;
    }

    fn told(&self, sums: Option<Partial>, second: u32, covered_ns: u64) -> Partial {
        Partial { second, covered_ns, engine: self.engine.to_owned(), ..sums.unwrap_or_default() }
    }
}

fn is_empty(delta: &Delta) -> bool {
    delta.sent == 0
        && delta.completed == 0
        && delta.dropped == 0
        && delta.astray == 0
        && delta.waited == 0
        && delta.bytes_sent == 0
        && delta.bytes_received == 0
        && delta.errors.iter().all(|count| *count == 0)
        && delta.lateness.count() == 0
}

fn add(sums: &mut Partial, delta: &Delta) {
    sums.sent += delta.sent;
    sums.completed += delta.completed;
    sums.dropped += delta.dropped;
    sums.astray += delta.astray;
    sums.waited += delta.waited;
    sums.bytes_sent += delta.bytes_sent;
    sums.bytes_received += delta.bytes_received;
    for (class, count) in ErrorClass::ALL.iter().zip(delta.errors) {
        if count > 0 {
            *sums.errors.entry(*class).or_default() += count;
        }
    }
    for (status, count) in (0u16..).zip(&delta.statuses) {
        if *count > 0 {
            *sums.statuses.entry(status).or_default() += count;
        }
    }
    sums.response.merge(&delta.response);
    sums.service.merge(&delta.service);
    sums.lateness.merge(&delta.lateness);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(section: Section, sent: u64) -> Delta {
        Delta { sent, ..Delta::new(section) }
    }

    fn report<'a>(thread: usize, second: u32, covered_ns: u64, deltas: &'a [&'a Delta]) -> Report<'a> {
        Report { thread, second, covered_ns, is_last: false, deltas }
    }

    fn told(partials: &[Partial]) -> Vec<(u32, bool, u64, u64)> {
        partials.iter().map(|p| (p.second, p.warm_up, p.sent, p.covered_ns)).collect()
    }

    #[test]
    fn a_second_waits_for_every_thread_and_covers_what_the_slowest_does() {
        let mut gather = Gather::new(2, 0, "fast");
        let (a, b) = (delta(Section::Measured, 1), delta(Section::Measured, 2));
        gather.absorb(&report(0, 0, 900, &[&a]));
        gather.absorb(&report(0, 1, 1900, &[&a]));
        assert!(gather.ready().is_empty());
        gather.absorb(&report(1, 0, 950, &[&b]));
        assert_eq!(told(&gather.ready()), [(0, false, 3, 900)]);
        gather.absorb(&Report { is_last: true, ..report(1, 2, 2500, &[&b]) });
        assert_eq!(told(&gather.ready()), [(1, false, 1, 950)]);
        gather.absorb(&Report { is_last: true, ..report(0, 2, 2400, &[&a]) });
        assert_eq!(told(&gather.ready()), [(2, false, 3, 2400)]);
        assert!(gather.ready().is_empty());
    }

    #[test]
    fn idle_seconds_are_told_too_and_a_skipped_one_is_empty() {
        let mut gather = Gather::new(1, 0, "fast");
        let (idle, busy) = (delta(Section::Measured, 0), delta(Section::Measured, 4));
        gather.absorb(&report(0, 5, 1, &[&idle]));
        assert_eq!(told(&gather.ready()), [(5, false, 0, 1)]);
        gather.absorb(&report(0, 7, 2, &[&busy]));
        assert_eq!(told(&gather.ready()), [(6, false, 0, 1), (7, false, 4, 2)]);
    }

    #[test]
    fn a_second_across_the_warm_ups_end_is_told_in_two_and_stragglers_stay_in_it() {
        let mut gather = Gather::new(1, 1_500_000_000, "fast");
        let (warm, measured) = (delta(Section::WarmUp, 1), delta(Section::Measured, 2));
        let none = delta(Section::Measured, 0);
        gather.absorb(&report(0, 0, 10, &[&warm, &none]));
        assert_eq!(told(&gather.ready()), [(0, true, 1, 10)]);
        gather.absorb(&report(0, 1, 20, &[&warm, &measured]));
        assert_eq!(told(&gather.ready()), [(1, true, 1, 10), (1, false, 2, 20)]);
        gather.absorb(&report(0, 2, 30, &[&warm, &measured]));
        assert_eq!(told(&gather.ready()), [(2, true, 1, 20), (2, false, 2, 30)]);
    }
}
