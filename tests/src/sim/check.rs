//! The invariants, by the names that the protocol gives them, and what is remembered to check them.
//!
//! | name | what |
//! |---|---|
//! | I1 | one master takes the key per term, and terms grow |
//! | I2 | etcd.term ≥ store.epoch ≥ every worker's largest epoch |
//! | I3 | what the store takes carries its epoch at the instant of the commit |
//! | I4 | no worker obeys an epoch below its largest, restarts or not |
//! | I6 | no acknowledged submission, change or cancellation is lost |
//! | I8 | one attempt at a shard is out at most; results are those of their attempt, and count once |
//! | I9 | no acknowledged result is lost |
//! | I10 | ten seconds without a fault end with one active leader |
//! | I11 | a term is ended by its leader, by a majority of the configured sentinels unless they are told not to, or by its lease |
//! | I12 | a frozen leader decides nothing new, and a leader is frozen before its lease is over |
//! | I13 | shares of a run are its whole, once all workers have them, until it is asked to stop |
//! | I14 | after ten seconds without a fault nothing runs on a worker but what the store has out on it |
//! | GONE | no term is ended because its leader's process is gone while that runs |
//! | KNOWS | a leader whose term is over learns it within 2.5 s, by etcd or by the store, whichever it reaches |
//! | SPEED | with a majority of sentinels, a dead leader's successor does not wait for the lease |
//!
//! In: what happens. Out: the first breach. Never: changes the world. Tests: with the simulation.

use super::net::{MASTERS, Party};
use super::world::World;
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId, RunId, ShardId};
use shanty_model::rate::Directive;
use shanty_model::state::ShardState;
use shanty_rt::coord::record::{self, SentinelSet, TermRecord, Vote};
use shanty_rt::coord::{LeaseId, Op};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds without a fault after which one leader must be active.
pub const CALM_MS: u64 = 10_000;
/// Milliseconds of an etcd, or a store, that a leader reaches, within which it learns that its term is over: a renewal that
/// was under way takes 1.6 s to fail, a canary 1 s, and the next one comes 1 s after the one before it.
const KNOWS_MS: u64 = 2_500;
/// Between two looks at reigns, milliseconds: shorter than any fault.
const LOOK_MS: u64 = 40;

/// An invariant that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// One numbered piece of results, as its worker made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub partial: Vec<u8>,
    /// What it adds to the report, or stands at.
    pub amount: u64,
}

/// What is remembered.
#[derive(Debug, Default)]
pub struct Checks {
    /// The term, as etcd has it.
    pub term: Epoch,
    /// Which sentinel cast the vote under a key.
    pub cast: BTreeMap<String, String>,
    /// Terms whose lease ran out.
    pub lapsed: BTreeSet<Epoch>,
    /// All results that workers made, by attempt, with the worker.
    pub made: BTreeMap<AttemptId, (String, Vec<Piece>)>,
    /// The largest epoch that each worker obeyed.
    pub obeyed: BTreeMap<usize, Epoch>,
    /// The last instant at which a dead leader's successor must have the key.
    pub successor_by: Option<(Epoch, u64)>,
    /// Since when each master reaches an etcd, and a store, that would tell it that its term is over.
    pub could_know: [[Option<u64>; 2]; MASTERS],
    /// Terms that were taken.
    pub terms: u64,
    /// Terms that were ended by votes.
    pub deposed: u64,
}

impl World {
    /// I2, after each step.
    pub(super) fn check_epochs(&mut self) {
        let (term, store) = (self.checks.term, self.store.epoch);
        let worker = self.workers.iter().map(|worker| worker.max_epoch).max().unwrap_or(Epoch::NONE);
        if term < store || store < worker {
            self.violate("I2", format!("etcd has {term}, the store {store}, a worker {worker}"));
        }
    }

    /// I1 and SPEED, when the leader key is put.
    pub(super) fn check_taking(&mut self, then: &[Op]) {
        let term_key = self.keys.term();
        let put = then.iter().find_map(|op| match op {
            Op::Put { key, value, .. } if *key == term_key => record::read::<TermRecord>(key, value),
            Op::Put { .. } | Op::Delete(_) => None,
        });
        let Some(put) = put else {
            return self.violate("I1", "a leader key without a term".to_owned());
        };
        let before = self.leader();
        self.tell(&format!("{} takes the leader key, {}", put.incarnation, put.term));
        if put.term <= self.checks.term {
            self.violate("I1", format!("{} is taken after {}", put.term, self.checks.term));
        }
        if let Some((_, info)) = before
            && info.incarnation != put.incarnation
        {
            self.violate("I1", format!("{} takes the key that {} holds", put.incarnation, info.incarnation));
        }
        if let Some((of, by_ms)) = self.checks.successor_by
            && put.term > of
        {
            self.checks.successor_by = None;
            if self.now_ms > by_ms {
                self.violate("SPEED", format!("the successor of {of} came when its lease was over"));
            }
        }
        self.checks.term = put.term;
        self.checks.terms += 1;
    }

    /// I11, when the leader key is removed: by a transaction, or with a lease.
    pub(super) fn check_removal(&mut self, me: Party, life: u64, lease: Option<LeaseId>) {
        let Some((entry, info)) = self.leader() else { return };
        if lease.is_some() && entry.lease != lease {
            return;
        }
        if info.incarnation == format!("{me}.{life}") {
            return self.tell(&format!("{} gives {} back", info.incarnation, info.epoch));
        }
        let set = self.etcd.get(&self.keys.sentinel_set());
        let set = set.and_then(|entry| record::read::<SentinelSet>(&entry.key, &entry.value));
        let set = set.unwrap_or(SentinelSet { members: Vec::new() });
        let cast = set.members.iter().filter_map(|member| {
            let key = self.keys.vote(member);
            let vote = self.etcd.get(&key).and_then(|kept| record::read::<Vote>(&key, &kept.value));
            let own = self.checks.cast.get(&key).is_some_and(|by| by == member.as_str());
            vote.filter(|vote| own && vote.against == entry.create_revision)
        });
        let classes: Vec<String> = cast.map(|vote| vote.class).collect();
        let votes = classes.len();
        self.tell(&format!("{me} ends {} of {} with {votes} votes", info.epoch, info.node));
        if self.etcd.get(&self.keys.pause()).is_some() {
            return self.violate("I11", format!("{me} ends {} although it may not", info.epoch));
        }
        if !matches!(me, Party::Sentinel(_)) || votes < set.quorum() {
            let what = format!(
                "{me} ends {} of {} with {votes} votes of {}",
                info.epoch,
                info.node,
                set.members.len()
            );
            return self.violate("I11", what);
        }
        let mut masters = self.masters.iter().enumerate();
        let runs = masters.any(|(at, master)| {
            master.up && info.incarnation == format!("{}.{}", Party::Master(at), master.life)
        });
        if runs && classes.iter().any(|class| class == "HARD") {
            let what = format!("{me} ends {} of {}, which runs: {classes:?}", info.epoch, info.incarnation);
            return self.violate("GONE", what);
        }
        self.checks.deposed += 1;
    }

    /// I4, whenever a worker obeys.
    pub(super) fn check_obedience(&mut self, worker: usize, epoch: Epoch) {
        let largest = self.checks.obeyed.entry(worker).or_insert(Epoch::NONE);
        let before = *largest;
        *largest = before.max(epoch);
        if epoch < before {
            self.violate("I4", format!("w{} obeys {epoch} after {before}", worker + 1));
        }
    }

    /// I8, for results that are stored.
    pub(super) fn check_results(&mut self, attempt: &AttemptId, node: &str, sequence: u64, partial: &[u8]) {
        let current = self.store.shards.get(&attempt.shard).map(|shard| shard.attempt);
        if current != Some(attempt.number) {
            self.violate("I8", format!("results of {attempt} are taken, the newest attempt is {current:?}"));
            return;
        }
        let index = usize::try_from(sequence).unwrap_or(0).wrapping_sub(1);
        let made = self.checks.made.get(attempt);
        let same = made.is_some_and(|(by, pieces)| {
            by == node && pieces.get(index).is_some_and(|piece| piece.partial == partial)
        });
        if !same {
            self.violate("I8", format!("results {sequence} of {attempt} are not what {node} made"));
        }
    }

    /// I8, for attempts: of each shard, the one that is out.
    pub(super) fn check_attempts(&mut self, shard: &ShardId) {
        let first = AttemptId { shard: shard.clone(), number: 0 };
        let last = AttemptId { shard: shard.clone(), number: u32::MAX };
        let attempts = self.store.attempts.range(first..=last);
        let out = attempts.filter(|(_, attempt)| attempt.outcome.is_empty()).count();
        if out > 1 {
            self.violate("I8", format!("{out} attempts at {shard} are out"));
        }
    }

    /// I9, when a worker lets results go because they were acknowledged.
    pub(super) fn check_ack(&mut self, attempt: &AttemptId, sequence: u64) {
        if sequence == 0 || !self.store.wants(attempt) {
            return;
        }
        let newest = self.store.newest_result(attempt);
        if newest < sequence {
            let what = format!("results {sequence} of {attempt} are acknowledged, the store has {newest}");
            self.violate("I9", what);
        }
    }

    /// I8 and I9, when a run's report is stored: it is the sum of what was acknowledged, each once.
    pub(super) fn check_report(&mut self, run: &RunId) {
        let Some(reported) = self.store.reported(run) else { return };
        let kept = self.store.results(run);
        let amount = |(attempt, sequence): &(AttemptId, u64)| {
            let index = usize::try_from(*sequence).unwrap_or(0).wrapping_sub(1);
            let made = self.checks.made.get(attempt);
            made.and_then(|(_, pieces)| pieces.get(index)).map_or(0, |piece| piece.amount)
        };
        let sum: u64 = kept.iter().map(amount).sum();
        if sum != reported {
            self.violate("I9", format!("{run} reports {reported}, its results are {sum}"));
        }
    }

    /// I13, when a worker has put a directive in force.
    pub(super) fn check_shares(&mut self, run: &RunId) {
        // Of a run that was asked to stop nobody takes over what a worker lays down.
        let going_on = self.store.runs.get(run).filter(|record| record.detail.stopping.is_none());
        let Some(plan) = going_on.and_then(|record| record.detail.plan.as_ref()) else { return };
        let revision = plan.revision;
        let mut held: Vec<&Directive> = Vec::new();
        let first = ShardId { run: run.clone(), index: 0 };
        let last = ShardId { run: run.clone(), index: u32::MAX };
        for (id, shard) in self.store.shards.range(&first..=&last) {
            match shard.state {
                ShardState::Yielded => continue,
                // The run comes to its end.
                ShardState::Done | ShardState::Failed => return,
                ShardState::Pending | ShardState::Assigned | ShardState::Accepted | ShardState::Running => {}
            }
            let attempt = AttemptId { shard: id.clone(), number: shard.attempt };
            let worker = self.workers.iter().find(|worker| shard.node.as_ref() == Some(&worker.name));
            match worker.and_then(|worker| worker.directive(&attempt)) {
                Some(directive) if directive.revision == revision => held.push(directive),
                // Not acknowledged by all yet.
                Some(_) | None => return,
            }
        }
        let mut places = BTreeSet::new();
        let mut count = 0;
        let mut modulus = 0;
        for newest in held.iter().filter_map(|directive| directive.ownership.last()) {
            count += newest.places.len();
            places.extend(newest.places.iter().copied());
            modulus = usize::try_from(newest.modulus).unwrap_or(0);
        }
        if !held.is_empty() && (count != modulus || places.len() != modulus) {
            let shards = self.store.shards.range(&first..=&last);
            let shards: Vec<String> = shards
                .map(|(id, shard)| {
                    let node = shard.node.as_ref().map(ToString::to_string).unwrap_or_default();
                    format!("{} {:?} {node}", id.index, shard.state)
                })
                .collect();
            let what = format!(
                "revision {revision} of {run}: {count} places, {} of {modulus}; scores {:?}, shards {shards:?}",
                places.len(),
                plan.scores()
            );
            self.violate("I13", what);
        }
    }

    /// KNOWS, for ever.
    pub(super) fn look_at_reigns(&mut self) {
        self.after(LOOK_MS, "reigns are looked at", World::look_at_reigns);
        let key = self.leader().map(|(_, info)| info);
        let calls_are_well = self.net.loss == 0 && self.net.slow_ms == 0;
        for at in 0..MASTERS {
            let (me, master) = (Party::Master(at), &self.masters[at]);
            let reign = master.reign.as_ref().filter(|_| !master.node.is_paused());
            let told = reign.map_or([false; 2], |reign| {
                let leads = key.as_ref().is_some_and(|info| {
                    info.epoch == reign.epoch && info.incarnation == format!("{me}.{}", reign.life)
                });
                [
                    !leads && self.etcd.up && !self.net.is_apart(me, Party::Etcd),
                    self.store.epoch > reign.epoch && self.store.up && !self.net.is_apart(me, Party::Store),
                ]
            });
            let epoch = reign.map(|reign| reign.epoch);
            for (by, told) in told.into_iter().enumerate() {
                let since = &mut self.checks.could_know[at][by];
                *since = (told && calls_are_well).then(|| since.unwrap_or(self.now_ms));
                if since.is_some_and(|since| self.now_ms - since > KNOWS_MS) {
                    let (by, epoch) = (["etcd", "the store"][by], epoch.unwrap_or(Epoch::NONE));
                    self.violate("KNOWS", format!("{me} reigns in {epoch} although {by} would have told it"));
                }
            }
        }
    }

    /// I14, after a calm.
    pub(super) fn check_orphans(&mut self) {
        let out = |attempt: &AttemptId, on: &NodeId| {
            let record = self.store.attempts.get(attempt);
            record.is_some_and(|record| record.outcome.is_empty() && record.node == *on)
        };
        let orphans: Vec<String> = self
            .workers
            .iter()
            .flat_map(|worker| worker.running().map(|attempt| (attempt, &worker.name)))
            .filter(|(attempt, on)| !out(attempt, on))
            .map(|(attempt, on)| format!("{attempt} on {on}"))
            .collect();
        if !orphans.is_empty() {
            self.violate("I14", format!("after a calm the store does not have out: {orphans:?}"));
        }
    }

    /// I10, after a calm.
    pub(super) fn check_leaders(&mut self) {
        let key = self.leader().map(|(_, info)| info);
        let mut active = Vec::new();
        for (at, master) in self.masters.iter().enumerate() {
            if let Some(reign) = master.reign.as_ref().filter(|reign| reign.live) {
                active.push((Party::Master(at).to_string(), reign.epoch));
            }
        }
        let agreed = key.as_ref().map(|info| (info.node.to_string(), info.epoch));
        if active.len() != 1 || active.first() != agreed.as_ref() {
            self.violate("I10", format!("after a calm {active:?} are active, the key says {agreed:?}"));
        }
    }
}
