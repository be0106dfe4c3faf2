//! The plan of a load run: its schedule, and who owned which arrivals from when on.
//!
//! The master holds the [`Plan`]; each shard gets a [`Directive`] with its own part of it. A new revision
//! (another rate, other shares) takes effect at an instant that lies ahead, so that all workers switch
//! together.
//! Tests: below.

use super::arrivals::{Arrivals, Sequence};
use super::schedule::Schedule;
use super::stripes::{self, Stripes, owned_before};
use serde::{Deserialize, Serialize};

/// What is asked of all shards together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Arrivals by a schedule, whatever the target does.
    Open {
        /// When arrivals are due.
        schedule: Schedule,
        /// How they are spaced.
        arrivals: Arrivals,
    },
    /// Each connection sends again as soon as it has its answer.
    Closed {
        /// Connections of all shards together.
        connections: u32,
        /// When sending ends, nanoseconds since the run's start.
        end_ns: u64,
    },
}

impl Load {
    /// When sending ends, nanoseconds since the run's start.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        match self {
            Load::Open { schedule, .. } => schedule.end_ns(),
            Load::Closed { end_ns, .. } => *end_ns,
        }
    }

    /// The rate asked for at an instant, arrivals per second; 0 for a closed loop.
    #[must_use]
    pub fn rate_at(&self, at_ns: u64) -> f64 {
        match self {
            Load::Open { schedule, .. } if at_ns < schedule.end_ns() => {
                schedule.rate_milli_at(at_ns) as f64 / 1000.0
            }
            Load::Open { .. } | Load::Closed { .. } => 0.0,
        }
    }
}

/// A shard's part of the pattern from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// From this instant, nanoseconds since the run's start.
    pub from_ns: u64,
    /// Length of the pattern; more than 0.
    pub modulus: u32,
    /// Places owned in the pattern, growing; arrival `i` is owned if `i mod modulus` is among them.
    pub places: Vec<u32>,
    /// Share of a closed loop: connections of this shard.
    pub connections: u32,
}

impl Ownership {
    /// How many of the arrivals `0..index` are owned.
    #[must_use]
    pub fn owned_before(&self, index: u64) -> u64 {
        owned_before(&self.places, self.modulus, index)
    }
}

/// What one shard is told: the whole schedule and its own part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// Number of the revision; a smaller or equal one than held already is ignored.
    pub revision: u32,
    /// The load of all shards together.
    pub load: Load,
    /// This shard's part, by growing `from_ns`; the last one whose `from_ns` has passed holds.
    pub ownership: Vec<Ownership>,
}

impl Directive {
    /// The part that holds at an instant.
    #[must_use]
    pub fn ownership_at(&self, at_ns: u64) -> Option<&Ownership> {
        self.ownership.iter().rev().find(|o| o.from_ns <= at_ns)
    }
}

/// The plan of a load run, as the master holds and stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of the newest revision, from 1.
    pub revision: u32,
    /// The load of all shards together.
    pub load: Load,
    /// Scores of the shards, by shard index, from each instant on.
    splits: Vec<Split>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Split {
    from_ns: u64,
    scores: Vec<u64>,
}

/// A directive tells of the splits that held at some instant of this time before the newest, nanoseconds: a worker
/// that has heard of none of them meanwhile knows what it did too much and too little. It stops by itself when it is
/// away for longer.
const TOLD_OF_NS: u64 = 30_000_000_000;

impl Plan {
    /// The first plan: `scores` by shard index from the start on.
    #[must_use]
    pub fn new(load: Load, scores: Vec<u64>) -> Plan {
        Plan { revision: 1, load, splits: vec![Split { from_ns: 0, scores }] }
    }

    /// Another rate from `at_ns` to the end. A closed loop stays as it is.
    pub fn change_rate(&mut self, at_ns: u64, rate_milli: u64) {
        if let Load::Open { schedule, .. } = &mut self.load {
            *schedule = schedule.changed(at_ns, rate_milli);
        }
        self.revision += 1;
    }

    /// When a change of the split that is decided at `now_ns` takes effect: `lead_ns` ahead, or together with the newest
    /// change where that is yet to come and leaves three quarters of the lead.
    #[must_use]
    pub fn switch_at(&self, now_ns: u64, lead_ns: u64) -> u64 {
        let at = now_ns.saturating_add(lead_ns);
        let soonest = at - (at - now_ns) / 4;
        let newest = self.splits.last().map_or(0, |split| split.from_ns);
        if (soonest..at).contains(&newest) { newest } else { at }
    }

    /// Other scores, by shard index, from `at_ns` on. Shards may be added at the end, never removed.
    pub fn change_split(&mut self, at_ns: u64, scores: Vec<u64>) {
        self.splits.retain(|split| split.from_ns < at_ns || split.from_ns == 0);
        if at_ns == 0 {
            self.splits.clear();
        }
        self.splits.push(Split { from_ns: at_ns, scores });
        self.revision += 1;
    }

    /// The newest scores by shard index.
    #[must_use]
    pub fn scores(&self) -> &[u64] {
        self.splits.last().map_or(&[], |split| &split.scores)
    }

    /// The newest weights by shard index; their sum is the second figure.
    #[must_use]
    pub fn weights(&self) -> (Vec<u32>, u32) {
        let weights = stripes::weights(self.scores());
        let total = weights.iter().sum();
        (weights, total)
    }

    /// What shard `shard` is told.
    #[must_use]
    pub fn directive(&self, shard: usize) -> Directive {
        self.directives().of(shard)
    }

    /// What shards are told, for many of them.
    #[must_use]
    pub fn directives(&self) -> Directives<'_> {
        let newest = self.splits.last().map_or(0, |split| split.from_ns);
        let begun = self.splits.partition_point(|split| split.from_ns <= newest.saturating_sub(TOLD_OF_NS));
        let told = &self.splits[begun.saturating_sub(1)..];
        let laid = told.iter().map(|split| {
            let connections = match self.load {
                Load::Open { .. } => Vec::new(),
                Load::Closed { connections, .. } => {
                    crate::share::largest_remainder(u64::from(connections), &split.scores)
                }
            };
            (split.from_ns, Stripes::new(&split.scores), connections)
        });
        Directives { plan: self, splits: laid.collect() }
    }

    /// The patterns of all splits, to count arrivals by.
    #[must_use]
    pub fn patterns(&self) -> Patterns<'_> {
        let splits = match &self.load {
            Load::Open { schedule, arrivals } => {
                let mut sequence = Sequence::new(*arrivals);
                let laid = self.splits.iter().map(|split| {
                    (sequence.count_before(schedule, split.from_ns), Stripes::new(&split.scores))
                });
                laid.collect()
            }
            Load::Closed { .. } => Vec::new(),
        };
        Patterns { plan: self, splits }
    }

    /// How many arrivals of shard `shard` are due in `from_ns..to_ns`; 0 for a closed loop.
    #[must_use]
    pub fn owned_between(&self, shard: usize, from_ns: u64, to_ns: u64) -> u64 {
        self.patterns().owned_between(shard, from_ns, to_ns)
    }

    /// How many arrivals of all shards are due in `from_ns..to_ns`; 0 for a closed loop.
    #[must_use]
    pub fn due_between(&self, from_ns: u64, to_ns: u64) -> u64 {
        let Load::Open { schedule, arrivals } = &self.load else { return 0 };
        let mut sequence = Sequence::new(*arrivals);
        let last = sequence.count_before(schedule, to_ns);
        last.saturating_sub(sequence.count_before(schedule, from_ns))
    }
}

/// What the shards of a plan are told. The pattern of a split is made once for all of them.
#[derive(Debug)]
pub struct Directives<'p> {
    plan: &'p Plan,
    /// From when on, the pattern, and connections by shard for a closed loop.
    splits: Vec<(u64, Stripes, Vec<u64>)>,
}

impl Directives<'_> {
    /// What shard `shard` is told.
    #[must_use]
    pub fn of(&self, shard: usize) -> Directive {
        let ownership = self.splits.iter().map(|(from_ns, stripes, connections)| Ownership {
            from_ns: *from_ns,
            modulus: stripes.total().max(1),
            places: stripes.places(shard).to_vec(),
            connections: connections.get(shard).map_or(0, |part| u32::try_from(*part).unwrap_or(u32::MAX)),
        });
        Directive {
            revision: self.plan.revision,
            load: self.plan.load.clone(),
            ownership: ownership.collect(),
        }
    }
}

/// A plan with the patterns of all its splits, made once for all shards.
#[derive(Debug)]
pub struct Patterns<'p> {
    plan: &'p Plan,
    /// The first arrival of each split, and the pattern from there on; none for a closed loop.
    splits: Vec<(u64, Stripes)>,
}

impl Patterns<'_> {
    /// How many arrivals of shard `shard` are due in `from_ns..to_ns`; 0 for a closed loop.
    #[must_use]
    pub fn owned_between(&self, shard: usize, from_ns: u64, to_ns: u64) -> u64 {
        let Load::Open { schedule, arrivals } = &self.plan.load else { return 0 };
        let mut sequence = Sequence::new(*arrivals);
        let begin = sequence.count_before(schedule, from_ns);
        let end = sequence.count_before(schedule, to_ns);
        let mut total = 0;
        for (i, (first, stripes)) in self.splits.iter().enumerate() {
            let until = self.splits.get(i + 1).map_or(u64::MAX, |(first, _)| *first);
            let (a, b) = (begin.max(*first), end.min(until));
            if a < b {
                total += stripes.owned_before(shard, b) - stripes.owned_before(shard, a);
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::super::schedule::Stage;
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn open(rate_milli: u64, seconds: u64, arrivals: Arrivals) -> Load {
        let stage = Stage { rate_milli, len_ns: seconds * SECOND, ramp: false };
        Load::Open { schedule: Schedule::new(&[stage]), arrivals }
    }

    #[test]
    fn a_hundred_and_one_over_two_is_fifty_one_and_fifty() {
        let plan = Plan::new(open(101_000, 1, Arrivals::Uniform), vec![1, 1]);
        assert_eq!(plan.owned_between(0, 0, SECOND), 51);
        assert_eq!(plan.owned_between(1, 0, SECOND), 50);
        let one = Plan::new(open(1_000, 1, Arrivals::Uniform), vec![1, 1]);
        assert_eq!((one.owned_between(0, 0, SECOND), one.owned_between(1, 0, SECOND)), (1, 0));
    }

    #[test]
    fn changes_that_are_decided_one_after_the_other_take_effect_together() {
        let mut plan = Plan::new(open(1_000, 100, Arrivals::Uniform), vec![1; 4]);
        let (lead, ms) = (120_000_000, 1_000_000);
        assert_eq!(plan.switch_at(5 * SECOND, lead), 5 * SECOND + lead);
        plan.change_split(5 * SECOND + lead, vec![0, 1, 1, 1]);
        // The workers have three quarters of the lead to hear of it, at least.
        assert_eq!(plan.switch_at(5 * SECOND + 30 * ms, lead), 5 * SECOND + lead);
        assert_eq!(plan.switch_at(5 * SECOND + 31 * ms, lead), 5 * SECOND + 151 * ms);
        plan.change_split(5 * SECOND + lead, vec![0, 0, 1, 1]);
        assert_eq!((plan.splits.len(), plan.revision), (2, 3));
        // One that is to come much later is not brought forward, and delays nothing.
        plan.change_split(20 * SECOND, vec![0, 0, 1, 2]);
        assert_eq!(plan.switch_at(10 * SECOND, lead), 10 * SECOND + lead);
    }

    #[test]
    fn a_directive_tells_of_all_that_held_in_the_last_half_minute() {
        let mut plan = Plan::new(open(1_000, 100, Arrivals::Uniform), vec![1, 1]);
        for second in 1..=60 {
            plan.change_split(second * SECOND, vec![1, second]);
        }
        let told: Vec<u64> = plan.directive(0).ownership.iter().map(|o| o.from_ns / SECOND).collect();
        assert_eq!(told, (30..=60).collect::<Vec<u64>>());
        plan.change_split(95 * SECOND, vec![1, 1]);
        let told: Vec<u64> = plan.directive(0).ownership.iter().map(|o| o.from_ns / SECOND).collect();
        assert_eq!(told, [60, 95]);
    }

    #[test]
    fn a_closed_loop_is_split_by_connections() {
        let plan = Plan::new(Load::Closed { connections: 10, end_ns: SECOND }, vec![1, 1, 1]);
        let parts: Vec<u32> = (0..3).map(|s| plan.directive(s).ownership[0].connections).collect();
        assert_eq!(parts, [4, 3, 3]);
    }

    #[test]
    fn a_shard_that_joins_later_owns_nothing_before() {
        let mut plan = Plan::new(open(1_000_000, 4, Arrivals::Uniform), vec![1]);
        plan.change_split(2 * SECOND, vec![1, 1]);
        assert_eq!(plan.owned_between(1, 0, 2 * SECOND), 0);
        assert_eq!(plan.owned_between(1, 2 * SECOND, 4 * SECOND), 1000);
        assert_eq!(plan.owned_between(0, 0, 4 * SECOND), 3000);
        assert!(plan.directive(1).ownership_at(SECOND).is_some_and(|o| o.places.is_empty()));
    }

    proptest! {
        /// The union of all shards is the schedule, through changes of rate and of shares.
        #[test]
        fn shards_together_own_each_arrival_once(
            rate_milli in 1u64..500_000,
            poisson in any::<bool>(),
            scores in prop::collection::vec(0u64..50, 1..6),
            changes in prop::collection::vec((0u64..8_000, prop::option::of(0u64..500_000), 0u64..50), 0..4),
            cuts in (0u64..8_000, 0u64..8_000),
        ) {
            let arrivals = if poisson { Arrivals::Poisson { seed: 3 } } else { Arrivals::Uniform };
            let mut scores = scores;
            scores.push(1);
            let mut plan = Plan::new(open(rate_milli, 8, arrivals), scores.clone());
            let mut changes = changes;
            changes.sort_unstable();
            for (at_ms, rate, score) in changes {
                let at = at_ms * 1_000_000;
                match rate {
                    Some(rate) => plan.change_rate(at, rate),
                    None => {
                        scores[0] = score;
                        plan.change_split(at, scores.clone());
                    }
                }
            }
            let (from, to) = (cuts.0.min(cuts.1) * 1_000_000, cuts.0.max(cuts.1) * 1_000_000);
            let sum: u64 = (0..scores.len()).map(|s| plan.owned_between(s, from, to)).sum();
            prop_assert_eq!(sum, plan.due_between(from, to));
        }
    }
}
