//! All threads of all workers together send the schedule, whatever changes on the way.

use super::super::share::{OpenConnections, ThreadPlan, first_difference, thread_plan};
use super::{Arrival, Pacer, Slip};
use proptest::prelude::*;
use shanty_model::rate::{Arrivals, Load, Plan, Schedule, Sequence, Stage};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn thread(plan: &Plan, shard: usize, thread: u32, threads: u32) -> ThreadPlan {
    thread_plan(&plan.directive(shard), OpenConnections::PerWorker(10), thread, threads)
}

fn constant(rate_milli: u64, len_ns: u64) -> Load {
    let schedule = Schedule::new(&[Stage { rate_milli, len_ns, ramp: false }]);
    Load::Open { schedule, arrivals: Arrivals::Uniform }
}

fn drain(pacer: &mut Pacer, now_ns: u64, into: &mut Vec<Arrival>) {
    while let Some(arrival) = pacer.pop(now_ns) {
        into.push(arrival);
    }
}

#[test]
fn a_lone_thread_walks_the_whole_schedule_in_order() {
    let mut pacer = Pacer::new(&thread(&Plan::new(constant(3_000, 2 * SECOND), vec![1]), 0, 0, 1), 0);
    assert_eq!(pacer.next_due(), Some(0));
    let mut seen = Vec::new();
    drain(&mut pacer, 1_500 * MS, &mut seen);
    assert_eq!(seen.len(), 5);
    assert_eq!(pacer.next_due(), Some(1_666_666_667));
    assert_eq!(pacer.covered_ns(), 1_666_666_667);
    drain(&mut pacer, 9 * SECOND, &mut seen);
    assert_eq!((seen.len(), pacer.next_due()), (6, None));
    assert!(pacer.covered_ns() >= 2 * SECOND);
}

#[test]
fn a_late_start_counts_what_it_leaves_out() {
    let plan = Plan::new(constant(1_000_000, 10 * SECOND), vec![1, 3]);
    let mut total = 0;
    for t in 0..2 {
        let mut pacer = Pacer::new(&thread(&plan, 0, t, 2), 0);
        total += pacer.skip_to(3 * SECOND);
        assert!(pacer.next_due().is_some_and(|due| due >= 3 * SECOND));
    }
    assert_eq!(total, plan.owned_between(0, 0, 3 * SECOND));
}

#[test]
fn an_old_part_holds_until_the_first_one_of_the_new_plan_begins() {
    let mut plan = Plan::new(constant(1_000_000, 2 * SECOND), vec![1, 1]);
    let mut pacer = Pacer::new(&thread(&plan, 0, 0, 1), 0);
    // More splits ahead than a directive carries: its first part begins later than now.
    for ms in [1_000, 1_010, 1_020, 1_030] {
        plan.change_split(ms * MS, vec![1, 1]);
    }
    let mut seen = Vec::new();
    drain(&mut pacer, 900 * MS, &mut seen);
    pacer.adopt(&thread(&plan, 0, 0, 1), 1_000 * MS, 910 * MS);
    drain(&mut pacer, 2 * SECOND, &mut seen);
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn a_plan_that_is_told_late_counts_what_it_moved_before_and_after_the_warm_up() {
    let mut plan = Plan::new(constant(1_000_000, 2 * SECOND), vec![1, 1]);
    let mut pacers = [0, 1].map(|shard| Pacer::new(&thread(&plan, shard, 0, 1), 1_200 * MS));
    plan.change_split(SECOND, vec![3, 1]);
    let mut seen = [Vec::new(), Vec::new()];
    for (shard, pacer) in pacers.iter_mut().enumerate() {
        drain(pacer, 1_390 * MS, &mut seen[shard]);
        pacer.adopt(&thread(&plan, shard, 0, 1), SECOND, 1_400 * MS);
        assert!(pacer.take_slips().is_empty(), "not before it takes over");
        drain(pacer, 2 * SECOND, &mut seen[shard]);
    }
    let slip = |from_ms: u64, missed, astray| Slip { from_ns: from_ms * MS, missed, astray };
    assert_eq!(pacers[0].take_slips(), [slip(1_000, 50, 0), slip(1_200, 50, 0)]);
    assert_eq!(pacers[1].take_slips(), [slip(1_000, 0, 50), slip(1_200, 0, 50)]);
    assert!(pacers[0].take_slips().is_empty(), "counted once");
    assert_eq!(seen.map(|seen| seen.len()), [500 + 200 + 450, 500 + 200 + 150]);
}

#[test]
fn who_begins_in_the_middle_owes_nothing_of_what_was_before() {
    let mut plan = Plan::new(constant(1_000_000, 2 * SECOND), vec![1, 1]);
    let mut pacer = Pacer::new(&thread(&plan, 0, 0, 1), 0);
    pacer.begin_at(SECOND);
    plan.change_split(500 * MS, vec![3, 1]);
    pacer.adopt(&thread(&plan, 0, 0, 1), 500 * MS, 1_100 * MS);
    let mut seen = Vec::new();
    drain(&mut pacer, 2 * SECOND, &mut seen);
    assert_eq!(pacer.take_slips(), [Slip { from_ns: SECOND, missed: 25, astray: 0 }]);
    assert_eq!(seen.len(), 50 + 675);
}

#[test]
fn a_closed_loop_has_no_arrivals() {
    let plan = Plan::new(Load::Closed { connections: 4, end_ns: SECOND }, vec![1]);
    let mut pacer = Pacer::new(&thread(&plan, 0, 0, 1), 0);
    assert_eq!((pacer.next_due(), pacer.pop(u64::MAX), pacer.skip_to(SECOND)), (None, None, 0));
}

/// A change of the rate, or of the first score, at a millisecond.
type Change = (u64, Option<u64>, u64);

/// Changes within `ms`, each of them at least 100 ms after the start: a few at any time, or many one after the other
/// within a moment, as where workers are lost together.
fn changes(ms: u64, rates: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Change>> {
    let apart = (100..ms, prop::option::of(rates.clone()), 0u64..20);
    let together = (1_000u64..1_060, prop::option::weighted(0.1, rates), 0u64..20);
    prop_oneof![prop::collection::vec(apart, 0..5), prop::collection::vec(together, 4..12)]
}

/// The plans that follow from `first`, with the milliseconds from which they hold.
fn changed(first: Plan, scores: &[u64], mut changes: Vec<Change>) -> Vec<(u64, Plan)> {
    changes.sort_unstable();
    changes.dedup_by_key(|change| change.0);
    let mut scores = scores.to_vec();
    let mut plans = vec![(0, first)];
    for (at_ms, rate, score) in changes {
        let mut plan = plans.last().unwrap().1.clone();
        match rate {
            Some(rate) => plan.change_rate(at_ms * MS, rate),
            None => {
                scores[0] = score;
                plan.change_split(at_ms * MS, scores.clone());
            }
        }
        plans.push((at_ms, plan));
    }
    plans
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The threads of all workers take each arrival once, at its due time, through ramps, random arrivals and
    /// changes that reach each thread at its own moment before they take effect.
    #[test]
    fn all_threads_together_take_the_schedule_exactly(
        stages in prop::collection::vec((0u64..400_000, 1u64..1_500, any::<bool>()), 1..4),
        poisson in any::<bool>(),
        scores in prop::collection::vec(0u64..20, 1..4),
        threads in 1u32..4,
        changes in changes(3_000, 0..400_000),
        delays in prop::collection::vec(0u64..100, 24),
        steps in prop::collection::vec(1u64..40, 16),
    ) {
        let arrivals = if poisson { Arrivals::Poisson { seed: 11 } } else { Arrivals::Uniform };
        let stages: Vec<Stage> = stages
            .into_iter()
            .map(|(rate_milli, ms, ramp)| Stage { rate_milli, len_ns: ms * MS, ramp })
            .collect();
        let mut scores = scores;
        scores.push(1);
        let first = Plan::new(Load::Open { schedule: Schedule::new(&stages), arrivals }, scores.clone());
        // Each change is decided at `at - 100 ms` and told to each thread within 100 ms, one by one.
        let plans = changed(first, &scores, changes);
        let end = plans[0].1.load.end_ns();
        let mut seen = Vec::new();
        let mut which = 0;
        for shard in 0..scores.len() {
            for t in 0..threads {
                let mut pacer = Pacer::new(&thread(&plans[0].1, shard, t, threads), 0);
                let (mut now, mut told) = (0, 1);
                for step in steps.iter().cycle() {
                    drain(&mut pacer, now, &mut seen);
                    if now > end { break }
                    let next = now + step * MS;
                    // Changes that are told before the next step; a later one never before an earlier one, and
                    // none after it has taken effect.
                    while let Some((at_ms, plan)) = plans.get(told) {
                        which += 1;
                        let told_at = (at_ms - 100 + delays[which % delays.len()]) * MS;
                        if told_at > next { break }
                        let old = plans[told - 1].1.directive(shard);
                        if let Some(at) = first_difference(&old, &plan.directive(shard)) {
                            pacer.adopt(&thread(plan, shard, t, threads), at, at);
                        }
                        told += 1;
                    }
                    now = next;
                }
            }
        }
        let last = &plans.last().unwrap().1;
        let Load::Open { schedule, .. } = &last.load else { unreachable!() };
        let mut sequence = Sequence::new(arrivals);
        let all: Vec<Arrival> =
            (0..).map_while(|index| sequence.due(schedule, index).map(|due_ns| Arrival { index, due_ns })).collect();
        seen.sort_unstable_by_key(|arrival| arrival.index);
        prop_assert_eq!(seen, all);
    }

    /// However late each thread hears of changes: what was sent, less what went astray, and what was missed are the
    /// schedule.
    #[test]
    fn what_late_plans_move_is_counted(
        scores in prop::collection::vec(1u64..20, 2..4),
        changes in changes(2_500, 1_000..900_000),
        delays in prop::collection::vec(0u64..900, 24),
        steps in prop::collection::vec(1u64..40, 16),
        warm_up_ms in 0u64..2_000,
    ) {
        let first = Plan::new(constant(300_000, 3 * SECOND), scores.clone());
        let plans = changed(first, &scores, changes);
        let end = plans[0].1.load.end_ns();
        let last = &plans.last().unwrap().1;
        let mut which = 0;
        for shard in 0..scores.len() {
            let mut seen = Vec::new();
            let mut pacer = Pacer::new(&thread(&plans[0].1, shard, 0, 1), warm_up_ms * MS);
            let (mut now, mut told) = (0, 1);
            for step in steps.iter().cycle() {
                drain(&mut pacer, now, &mut seen);
                if now > end { break }
                let next = now + step * MS;
                while let Some((at_ms, plan)) = plans.get(told) {
                    which += 1;
                    let told_at = (at_ms - 100 + delays[which % delays.len()]) * MS;
                    if told_at > next { break }
                    let old = plans[told - 1].1.directive(shard);
                    if let Some(at) = first_difference(&old, &plan.directive(shard)) {
                        let from = if at > told_at { at } else { told_at + 10 * MS };
                        pacer.adopt(&thread(plan, shard, 0, 1), at, from);
                    }
                    told += 1;
                }
                now = next;
            }
            // A change that is heard of after the end is not heard of.
            prop_assume!(told == plans.len());
            let mut count = [0_i64; 2];
            for arrival in &seen {
                count[usize::from(arrival.due_ns >= warm_up_ms * MS)] += 1;
            }
            for slip in pacer.take_slips() {
                let (missed, astray) = (i64::try_from(slip.missed).unwrap(), i64::try_from(slip.astray).unwrap());
                count[usize::from(slip.from_ns >= warm_up_ms * MS)] += missed - astray;
            }
            let owned = |from, to| i64::try_from(last.owned_between(shard, from, to)).unwrap();
            prop_assert_eq!(count, [owned(0, warm_up_ms * MS), owned(warm_up_ms * MS, u64::MAX)]);
        }
    }
}
