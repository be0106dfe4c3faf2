//! Threads on a virtual clock that stand still, and what leaves them.

use super::super::pacer::Pacer;
use super::super::share::{OpenConnections, thread_plan};
use super::*;
use proptest::prelude::*;
use shanty_model::rate::{Arrivals, Load, Plan, Schedule, Stage};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// What the driver drops by default.
const MOST: u64 = SECOND;

/// What is wrong with a machine.
#[derive(Debug, Clone, Default)]
struct Trouble {
    /// Nothing runs from the first instant of each to the second; in order.
    stalls: Vec<(u64, u64)>,
    /// Threads run this much after each instant that they wait for.
    wake_ns: u64,
    /// From the first instant to the second each request takes so long as the third says.
    slow: (u64, u64, u64),
    /// The second thread goes on this much after the first one when a stall ends, and so on.
    apart_ns: u64,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Left {
    /// Due, and sent.
    sent: Vec<(u64, u64)>,
    /// Due.
    dropped: Vec<u64>,
}

impl Left {
    fn most_in_1_ms(&self) -> u64 {
        let (mut first, mut most) = (0, 0);
        for (last, (_, at)) in self.sent.iter().enumerate() {
            while at - self.sent[first].1 >= MS {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most as u64
    }

    fn latest_from(&self, from_ns: u64) -> u64 {
        let late = self.sent.iter().filter(|(_, at)| *at >= from_ns).map(|(due, at)| at - due);
        late.max().unwrap_or(0)
    }
}

/// What `threads` threads send at `rate` per second until `end_ns`, turn by turn as a load thread does it.
fn run(rate: u64, end_ns: u64, threads: u32, trouble: &Trouble) -> Left {
    let stage = Stage { rate_milli: rate * 1_000, len_ns: end_ns, ramp: false };
    let load = Load::Open { schedule: Schedule::new(&[stage]), arrivals: Arrivals::Uniform };
    let directive = Plan::new(load, vec![1]).directive(0);
    let mut left = Left::default();
    for thread in 0..threads {
        let mut pacer =
            Pacer::new(&thread_plan(&directive, OpenConnections::PerWorker(1), thread, threads), 0);
        let mut catch_up = CatchUp::new(MOST);
        let mut now = 0;
        let mut stalls = trouble.stalls.iter().peekable();
        while let Some(due) = pacer.next_due() {
            let turn = catch_up.turn(due);
            if turn > now {
                now = turn + trouble.wake_ns;
            }
            while let Some((_, until)) = stalls.next_if(|(from, _)| *from <= now) {
                now = now.max(until + u64::from(thread) * trouble.apart_ns);
            }
            match catch_up.judge(due, now) {
                Turn::Held => continue,
                Turn::Over => left.dropped.extend(pacer.pop(now).map(|arrival| arrival.due_ns)),
                Turn::Free => left.sent.extend(pacer.pop(now).map(|arrival| (arrival.due_ns, now))),
            }
            let (from, until, takes_ns) = trouble.slow;
            // A request takes a while to be written.
            now += if (from..until).contains(&now) { takes_ns } else { 2_000 };
        }
    }
    left.sent.sort_unstable_by_key(|(_, at)| *at);
    left
}

/// Twice the nominal number and two.
fn bar(rate: u64) -> u64 {
    2 * rate.max(1_000) / 1_000 + 2
}

#[test]
fn an_arrival_in_time_has_its_turn_when_it_is_due() {
    let left = run(5_000, 100 * MS, 1, &Trouble { wake_ns: 30_000, ..Trouble::default() });
    assert_eq!((left.sent.len(), left.dropped.len()), (500, 0));
    assert!(left.sent.iter().skip(1).all(|(due, at)| *at == due + 30_000));
}

#[test]
fn what_a_stall_owes_is_sent_at_five_thirds_of_the_rate_and_then_all_is_in_time() {
    let stalls = vec![(100 * MS, 200 * MS)];
    let left = run(5_000, SECOND, 1, &Trouble { stalls, ..Trouble::default() });
    assert_eq!((left.sent.len(), left.dropped.len()), (5_000, 0));
    let while_late = left.sent.iter().filter(|(_, at)| (200 * MS..300 * MS).contains(at)).count();
    assert!((820..=845).contains(&while_late), "{while_late} of 833");
    // 100 ms of arrivals are owed, and two leave more than become due for each three that become due.
    let met = 200 * MS + 150 * MS + 3 * MS;
    assert!(left.sent.iter().filter(|(due, _)| *due > met).all(|(due, at)| at == due));
    assert!(left.sent.iter().any(|(due, at)| *due > met - 6 * MS && at > due));
}

#[test]
fn the_length_of_a_stall_makes_no_difference_to_the_burst_after_it() {
    for ms in [1, 2, 5, 8, 9, 10, 12, 20, 50, 200, 700, 998, 999, 1_000, 1_001, 1_500, 4_000] {
        let stalls = vec![(SECOND + 77_000, SECOND + 77_000 + ms * MS)];
        let left = run(5_000, 8 * SECOND, 1, &Trouble { stalls, wake_ns: 40_000, ..Trouble::default() });
        assert!(left.most_in_1_ms() <= 12, "{} in 1 ms after {ms} ms", left.most_in_1_ms());
    }
}

#[test]
fn a_machine_that_stands_still_again_and_again_for_most_of_a_second_makes_no_burst() {
    // 3 ms of every 10 for 0.9 s: each stall comes while the ones before are still being made good.
    let stalls = (0..90).map(|i| ((100 + 10 * i) * MS, (103 + 10 * i) * MS)).collect();
    let left = run(5_000, 3 * SECOND, 1, &Trouble { stalls, wake_ns: 40_000, ..Trouble::default() });
    assert!(left.most_in_1_ms() <= 12, "{} in 1 ms", left.most_in_1_ms());
    assert_eq!((left.sent.len(), left.dropped.len()), (15_000, 0));
}

#[test]
fn a_thread_that_wakes_up_slowly_still_catches_up() {
    let trouble = Trouble { stalls: vec![(100 * MS, 105 * MS)], wake_ns: 120_000, ..Trouble::default() };
    let left = run(20_000, 300 * MS, 1, &trouble);
    assert!(left.sent.iter().filter(|(due, _)| *due > 150 * MS).all(|(due, at)| *at <= due + 200_000));
}

#[test]
fn a_long_stall_is_forgotten_when_it_has_been_made_good() {
    let mut stalls = vec![(100 * MS, 400 * MS)];
    stalls.extend((1_000..5_000).map(|ms| (ms * MS, ms * MS + 800_000)));
    let left = run(5_000, 5 * SECOND, 1, &Trouble { stalls, ..Trouble::default() });
    let latest = left.latest_from(SECOND + 2 * SPELL_NS);
    assert!(latest <= HOLD_NS + 2 * MS, "late by {latest}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_stall_makes_a_burst_or_costs_an_arrival_that_was_not_too_late_already(
        rate in 200u64..60_000, from_ns in 0..50 * MS, stall_ns in 0..3 * SECOND, short in any::<bool>(),
        wake_ns in 0u64..70_000,
    ) {
        let stall_ns = if short { stall_ns % (30 * MS) } else { stall_ns };
        let until_ns = from_ns + stall_ns;
        let end_ns = until_ns + 2 * stall_ns.min(MOST) + 20 * MS;
        let trouble = Trouble { stalls: vec![(from_ns, until_ns)], wake_ns, ..Trouble::default() };
        let left = run(rate, end_ns, 1, &trouble);
        prop_assert!(left.most_in_1_ms() <= bar(rate), "{} in 1 ms, bar {}", left.most_in_1_ms(), bar(rate));
        prop_assert!(left.latest_from(0) <= (stall_ns + wake_ns + GRID_NS).min(MOST), "late by {}", left.latest_from(0));
        // Dropping takes time as well.
        let over = |due: &u64| *due + MOST < until_ns + wake_ns + 2_000 * left.dropped.len() as u64;
        prop_assert!(left.dropped.iter().all(over), "{:?} was dropped while it was held", left.dropped.last());
        let (due, at) = left.sent.last().unwrap();
        prop_assert!(*at <= due + wake_ns + 4_000, "it never caught up: {} late", at - due);
    }

    #[test]
    fn threads_that_stand_still_together_make_no_burst_together(
        rate in 5_000u64..60_000, threads in 2u32..7, from_ns in 0..50 * MS, stall_ns in 0..100 * MS,
        wake_ns in 0u64..60_000, apart_ns in 0u64..10_000,
    ) {
        let stalls = vec![(from_ns, from_ns + stall_ns)];
        let left = run(rate, from_ns + 5 * stall_ns + 20 * MS, threads, &Trouble { stalls, wake_ns, apart_ns, ..Trouble::default() });
        prop_assert!(left.most_in_1_ms() <= bar(rate), "{} in 1 ms, bar {}", left.most_in_1_ms(), bar(rate));
        prop_assert_eq!(left.dropped.len(), 0);
    }

    #[test]
    fn several_stalls_and_slow_sends_between_them_make_no_burst_either(
        rate in 1_000u64..20_000, stalls in prop::collection::vec((0..20 * MS, 0..20 * MS), 0..4),
        slow_ns in 0..40 * MS, takes_ns in 100_000u64..800_000, wake_ns in 0u64..70_000,
    ) {
        let mut at = 10 * MS;
        let stalls = stalls.into_iter().map(|(pause_ns, stall_ns)| {
            let from = at + pause_ns;
            at = from + stall_ns;
            (from, at)
        });
        let stalls = stalls.collect();
        let trouble = Trouble { stalls, wake_ns, slow: (20 * MS, 20 * MS + slow_ns, takes_ns), apart_ns: 0 };
        let left = run(rate, SECOND, 1, &trouble);
        prop_assert!(left.most_in_1_ms() <= bar(rate), "{} in 1 ms, bar {}", left.most_in_1_ms(), bar(rate));
        prop_assert_eq!(left.dropped.len(), 0);
    }

    #[test]
    fn a_thread_that_hardly_runs_is_not_later_and_later(
        rate in 1_000u64..20_000, period_ns in MS..50 * MS, percent in 50u64..90,
    ) {
        let stalls: Vec<_> =
            (0..3 * SECOND / period_ns).map(|i| (i * period_ns, i * period_ns + period_ns * percent / 100)).collect();
        let left = run(rate, 3 * SECOND, 1, &Trouble { stalls, ..Trouble::default() });
        prop_assert_eq!(left.dropped.len(), 0);
        let (first, then) = (left.latest_from(0), left.latest_from(2 * SPELL_NS));
        prop_assert!(first <= SPELL_NS + period_ns, "late by {first}");
        prop_assert!(then <= HOLD_NS.max(period_ns) + period_ns + GRID_NS, "late by {then} later");
    }
}
