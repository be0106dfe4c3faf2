//! What of a load falls to this worker, and to each of its threads.
//!
//! In: a directive. Out: the worker's peak rate and most connections, to hold against its caps; and per
//! thread a [`ThreadPlan`]. Pure.
//! Tests: below, and the union of all threads of all workers in `pacer_test.rs`.

use shanty_model::rate::{Directive, Load, Ownership, Pitch};

/// How many connections an attempt may open in an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenConnections {
    /// This many on this worker, whatever its share.
    PerWorker(u32),
    /// This worker's share of so many, rounded down, but at least one.
    Together(u32),
}

/// A thread's part of the pattern from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// From this instant, nanoseconds since the run's start.
    pub(super) from_ns: u64,
    /// Length of the pattern; more than 0.
    pub(super) modulus: u64,
    /// Places of this thread in the pattern, growing.
    pub(super) places: Vec<u64>,
    /// Closed loop: connections that send. Open loop: most connections.
    pub(super) connections: u32,
}

/// What one thread is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThreadPlan {
    /// The load of all workers together.
    pub(super) load: Load,
    /// This thread's part of it, by growing `from_ns`.
    pub(super) parts: Vec<Part>,
}

impl ThreadPlan {
    /// Connections at an instant.
    pub(super) fn connections_at(&self, at_ns: u64) -> u32 {
        let part = self.parts.iter().rev().find(|part| part.from_ns <= at_ns).or(self.parts.first());
        part.map_or(0, |part| part.connections)
    }

    /// When the parts change next after an instant.
    pub(super) fn next_change(&self, after_ns: u64) -> Option<u64> {
        self.parts.iter().map(|part| part.from_ns).find(|from| *from > after_ns)
    }

    /// Most connections of this thread at any instant.
    pub(super) fn most_connections(&self) -> u32 {
        self.parts.iter().map(|part| part.connections).max().unwrap_or(0)
    }
}

/// The plan of thread `thread` of `threads`: every `threads`-th of the worker's places, and a whole part of
/// its connections.
pub(super) fn thread_plan(
    directive: &Directive,
    open: OpenConnections,
    thread: u32,
    threads: u32,
) -> ThreadPlan {
    let parts = directive
        .ownership
        .iter()
        .map(|ownership| {
            let mine = (0u32..).zip(&ownership.places).filter(|(at, _)| at % threads == thread);
            let places: Vec<u64> = mine.map(|(_, place)| u64::from(*place)).collect();
            let worker = worker_connections(&directive.load, ownership, open);
            let share = worker / threads + u32::from(thread < worker % threads);
            let connections = match directive.load {
                Load::Open { .. } if places.is_empty() => 0,
                Load::Open { .. } => share.max(1),
                Load::Closed { .. } => share,
            };
            Part {
                from_ns: ownership.from_ns,
                modulus: u64::from(ownership.modulus.max(1)),
                places,
                connections,
            }
        })
        .collect();
    ThreadPlan { load: directive.load.clone(), parts }
}

fn worker_connections(load: &Load, ownership: &Ownership, open: OpenConnections) -> u32 {
    match (load, open) {
        (Load::Closed { .. }, _) => ownership.connections,
        (Load::Open { .. }, _) if ownership.places.is_empty() => 0,
        (Load::Open { .. }, OpenConnections::PerWorker(most)) => most,
        (Load::Open { .. }, OpenConnections::Together(all)) => {
            let share = u64::from(all) * ownership.places.len() as u64 / u64::from(ownership.modulus.max(1));
            u32::try_from(share).unwrap_or(u32::MAX).max(1)
        }
    }
}

/// Most connections of this worker under `directive`.
pub(super) fn most_connections(directive: &Directive, open: OpenConnections) -> u32 {
    directive.ownership.iter().map(|o| worker_connections(&directive.load, o, open)).max().unwrap_or(0)
}

/// Threads worth starting: no more than there are connections for all of them.
pub(super) fn threads_for(directive: &Directive, open: OpenConnections, most: usize) -> u32 {
    let fewest = directive
        .ownership
        .iter()
        .map(|o| worker_connections(&directive.load, o, open))
        .filter(|connections| *connections > 0)
        .min()
        .unwrap_or(1);
    u32::try_from(most).unwrap_or(u32::MAX).min(fewest).max(1)
}

/// The most arrivals per second that fall to this worker under `directive`; 0 for a closed loop.
pub(super) fn peak_rate(directive: &Directive) -> f64 {
    let Load::Open { schedule, .. } = &directive.load else { return 0.0 };
    let pieces = schedule.pieces();
    let mut peak = 0.0f64;
    for (i, piece) in pieces.iter().enumerate() {
        let until = pieces.get(i + 1).map_or(schedule.end_ns(), |next| next.from_ns);
        let rate_milli = match piece.pitch {
            Pitch::Constant { rate_milli } => rate_milli,
            Pitch::Ramp { from_milli, to_milli, .. } => from_milli.max(to_milli),
        };
        for (j, ownership) in directive.ownership.iter().enumerate() {
            let held_until = directive.ownership.get(j + 1).map_or(u64::MAX, |next| next.from_ns);
            if ownership.from_ns < until && piece.from_ns < held_until {
                let share = ownership.places.len() as f64 / f64::from(ownership.modulus.max(1));
                peak = peak.max(rate_milli as f64 / 1000.0 * share);
            }
        }
    }
    peak
}

/// The first instant at which `new` asks for something else than `old`; none if it never does.
pub(super) fn first_difference(old: &Directive, new: &Directive) -> Option<u64> {
    let load = match (&old.load, &new.load) {
        (Load::Open { schedule: old, .. }, Load::Open { schedule: new, .. }) => {
            let piece = first_unlike(old.pieces(), new.pieces(), |piece| piece.from_ns);
            let end = (old.end_ns() != new.end_ns()).then(|| old.end_ns().min(new.end_ns()));
            piece.into_iter().chain(end).min()
        }
        (Load::Closed { .. } | Load::Open { .. }, _) => (old.load != new.load).then_some(0),
    };
    // A directive tells of the last half minute only, so older entries may be gone from the front of the new one.
    let first = new.ownership.first().map_or(0, |o| o.from_ns);
    let kept = old.ownership.partition_point(|o| o.from_ns < first);
    let ownership = first_unlike(&old.ownership[kept..], &new.ownership, |o| o.from_ns);
    load.into_iter().chain(ownership).min()
}

fn first_unlike<T: PartialEq>(old: &[T], new: &[T], from_ns: impl Fn(&T) -> u64) -> Option<u64> {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    old.get(same).into_iter().chain(new.get(same)).map(from_ns).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::rate::{Arrivals, Plan, Schedule, Stage};

    const SECOND: u64 = 1_000_000_000;

    fn open(rates: &[(u64, bool)]) -> Load {
        let stages: Vec<Stage> = rates
            .iter()
            .map(|(rate_milli, ramp)| Stage { rate_milli: *rate_milli, len_ns: SECOND, ramp: *ramp })
            .collect();
        Load::Open { schedule: Schedule::new(&stages), arrivals: Arrivals::Uniform }
    }

    #[test]
    fn threads_share_places_and_connections_without_rest() {
        let directive = Plan::new(open(&[(1_000, false)]), vec![3, 7]).directive(0);
        let plans: Vec<ThreadPlan> =
            (0..4).map(|t| thread_plan(&directive, OpenConnections::Together(20), t, 4)).collect();
        let mut places: Vec<u64> = plans.iter().flat_map(|p| p.parts[0].places.clone()).collect();
        places.sort_unstable();
        assert_eq!(places, directive.ownership[0].places.iter().map(|p| u64::from(*p)).collect::<Vec<_>>());
        assert_eq!(plans.iter().map(|p| p.parts[0].connections).collect::<Vec<_>>(), [2, 2, 1, 1]);
    }

    #[test]
    fn a_closed_loop_keeps_its_connections_whatever_the_cap_of_an_open_one() {
        let directive = Plan::new(Load::Closed { connections: 5, end_ns: SECOND }, vec![1]).directive(0);
        let all: u32 = (0..3)
            .map(|t| thread_plan(&directive, OpenConnections::PerWorker(2), t, 3).connections_at(0))
            .sum();
        assert_eq!(all, 5);
        assert_eq!(threads_for(&directive, OpenConnections::PerWorker(1), 8), 5);
    }

    #[test]
    fn the_first_difference_is_where_a_piece_or_a_part_begins() {
        let mut plan = Plan::new(open(&[(1_000, false), (2_000, false)]), vec![1, 1]);
        let first = plan.directive(0);
        assert_eq!(first_difference(&first, &first), None);
        plan.change_rate(SECOND + 5, 7_000);
        let second = plan.directive(0);
        assert_eq!(first_difference(&first, &second), Some(SECOND + 5));
        for at in 1..5 {
            plan.change_split(SECOND + 10 * at, vec![1, at]);
        }
        assert_eq!(first_difference(&second, &plan.directive(0)), Some(SECOND + 10));
    }

    #[test]
    fn the_peak_counts_this_workers_share_of_the_highest_piece_while_it_holds() {
        let plan = Plan::new(open(&[(100_000, false), (900_000, true), (100_000, false)]), vec![1, 1]);
        assert!((peak_rate(&plan.directive(0)) - 450.0).abs() < 1e-9);
        let mut later = plan.clone();
        later.change_split(2 * SECOND, vec![0, 1]);
        assert!((peak_rate(&later.directive(1)) - 450.0).abs() < 1e-9, "the ramp is over when it takes all");
    }
}
