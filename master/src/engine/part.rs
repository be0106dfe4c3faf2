//! A part of a run: a shard with the attempt at it that is out.
//!
//! In a run of shape rate a part is one worker's share; when its worker is lost the shard is yielded and never
//! comes back, and a worker that joins gets a new one. In a run of shape divisible a shard outlives its
//! attempts: it waits without one until it is assigned, and again when that attempt is lost.
//!
//! In: records. Out: records, changed. Never: decides.
//! Tests: with the engine.

use super::Now;
use super::divide::Course;
use crate::store::{AttemptRecord, ShardRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use std::time::Duration;

/// A shard with the attempt at it that is out.
#[derive(Debug, Clone)]
pub struct Part {
    /// The shard.
    pub shard: ShardRecord,
    /// Its newest attempt; none while the shard waits for a worker.
    pub attempt: Option<AttemptRecord>,
    /// The largest number of an attempt at it that a worker has told: not given out again.
    pub told_number: u32,
    /// Number of the newest report that was taken in.
    pub absorbed: u64,
    /// Revision of the plan that its worker has in force.
    pub applied: u32,
    /// Revision that its worker was told.
    pub told: u32,
    /// When it must have been accepted by.
    pub accept_by: Duration,
    /// Since when its worker is away; none while it is there.
    pub away_since: Option<Duration>,
    /// How long it may be away, from then.
    pub grace: Duration,
    /// Instant of the run from which its share is zero because its worker drains; cancelled after it.
    pub leaves_at_ns: Option<u64>,
    /// Why its worker cannot do it any more, if that became known while nobody might decide who does it instead.
    pub lost: Option<String>,
    /// What a run of shape divisible remembers of it.
    pub course: Course,
    pub(super) dirty: Dirty,
}

/// What is to be stored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dirty {
    pub(super) shard: bool,
    pub(super) attempt: bool,
}

impl Part {
    /// A part whose shard is not stored yet and waits for a worker.
    pub fn waiting(shard: ShardRecord) -> Part {
        Part {
            shard,
            attempt: None,
            told_number: 0,
            absorbed: 0,
            applied: 0,
            told: 0,
            accept_by: Duration::ZERO,
            away_since: None,
            grace: Duration::ZERO,
            leaves_at_ns: None,
            lost: None,
            course: Course::default(),
            dirty: Dirty { shard: true, attempt: false },
        }
    }

    /// A part as it was stored, its worker not heard yet.
    pub fn stored(
        shard: ShardRecord,
        attempt: Option<AttemptRecord>,
        away_since: Duration,
        grace: Duration,
    ) -> Part {
        let mut part = Part::waiting(shard);
        part.dirty = Dirty::default();
        if attempt.is_some() {
            part.accept_by = away_since + grace;
            part.away_since = Some(away_since);
            part.grace = grace;
        }
        part.attempt = attempt;
        part
    }

    /// Begins an attempt on `node` that must be accepted by `accept_by`. Answers its name.
    pub fn begin_attempt(
        &mut self,
        now: Now,
        epoch: Epoch,
        (node, incarnation): (&NodeId, &str),
        accept_by: Duration,
    ) -> AttemptId {
        self.shard.attempt = self.shard.attempt.max(self.told_number) + 1;
        self.shard.node = Some(node.clone());
        let id = AttemptId { shard: self.shard.id.clone(), number: self.shard.attempt };
        self.attempt = Some(AttemptRecord {
            id: id.clone(),
            node: node.clone(),
            incarnation: incarnation.to_owned(),
            epoch,
            outcome: String::new(),
            reason: String::new(),
            version: 0,
            create_ms: now.unix_ms(),
            end_ms: None,
        });
        self.absorbed = 0;
        self.applied = 0;
        self.told = 0;
        self.accept_by = accept_by;
        self.away_since = None;
        self.leaves_at_ns = None;
        self.lost = None;
        self.dirty = Dirty { shard: true, attempt: true };
        id
    }

    /// Notes how its attempt ended.
    pub fn end_attempt(&mut self, now: Now, outcome: &str, reason: &str) {
        let Some(attempt) = &mut self.attempt else { return };
        outcome.clone_into(&mut attempt.outcome);
        reason.clone_into(&mut attempt.reason);
        attempt.end_ms = Some(now.unix_ms());
        self.dirty.attempt = true;
    }

    /// Whether its shard has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shard.state.is_terminal()
    }

    /// Whether an attempt at it is out.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_open() && self.attempt.is_some()
    }

    /// The worker of its newest attempt; none while the shard waits for one.
    #[must_use]
    pub fn node(&self) -> Option<&NodeId> {
        self.attempt.as_ref().map(|attempt| &attempt.node)
    }

    /// Whether its newest attempt is this one.
    #[must_use]
    pub fn is_at(&self, attempt: &AttemptId) -> bool {
        self.attempt.as_ref().is_some_and(|newest| newest.id == *attempt)
    }
}
