//! What was seen of a cluster from outside while something was done to it.
//!
//! In: what the observer, the prober, the targets and the API say. Out: [`History`], for the invariants. Never: a word of
//! a log: what a process says of itself proves nothing. Tests: `invariants.rs`.

use std::time::Duration;

/// A term, as ListTerms tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Term {
    /// Its number.
    pub epoch: u32,
    /// Who led.
    pub leader: String,
    /// Why it began.
    pub start_reason: String,
    /// Who ended it, from outside or by giving up; empty when nobody did.
    pub ended_by: String,
    /// Why it ended; empty for one that goes on.
    pub end_reason: String,
    /// The sentinels that voted for its end.
    pub votes: Vec<String>,
    /// The kinds of their evidence.
    pub evidence: Vec<String>,
}

/// Who leads, as one master said once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The master that was asked.
    pub asked: String,
    /// The term it named.
    pub epoch: u32,
    /// The leader it named; empty for none.
    pub leader: String,
}

/// The three fences, read from the innermost outwards: each may only grow meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fences {
    /// When the last of them had been read, nanoseconds of CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The largest epoch that each worker has obeyed, as its ledger says; 0 without one.
    pub workers: Vec<u64>,
    /// The store's.
    pub store: u64,
    /// The coordinator's.
    pub term: u64,
}

/// A run that was accepted. Instants are nanoseconds of CLOCK_MONOTONIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// Its name.
    pub run: String,
    /// The term of the master that accepted it.
    pub epoch: u32,
    /// When it was asked for.
    pub asked_ns: u64,
    /// When the answer came.
    pub accepted_ns: u64,
    /// When it was first seen to run on a worker, or to have run.
    pub running_ns: Option<u64>,
    /// Whether the leader knows it in the end.
    pub found: bool,
}

/// A load run beside its target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// How its run ended.
    pub state: String,
    /// Arrivals that the schedule held.
    pub scheduled: u64,
    /// Those sent, as the report says.
    pub sent: u64,
    /// Those dropped.
    pub dropped: u64,
    /// Those sent although others had them.
    pub astray: u64,
    /// Those of lost workers.
    pub lost: u64,
    /// Requests without an answer.
    pub errors: u64,
    /// Requests that the target read.
    pub arrived: u64,
    /// Whether every worker lived and was in reach all the time.
    pub workers_intact: bool,
    /// Of so many arrivals at most the store lost the reports.
    pub forgotten: u64,
}

/// A sync beside its tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How its run ended.
    pub state: String,
    /// What the source holds: a print of its content, and its rows.
    pub source: (String, u64),
    /// What the target holds; it has no key, so a row that was written twice is there twice.
    pub target: (String, u64),
    /// Rows, as the report says.
    pub reported: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// How many sentinels vote.
    pub voters: usize,
    /// The terms that began while it was looked at, the oldest first, and the one before them.
    pub terms: Vec<Term>,
    /// What masters said, in the order of asking.
    pub sightings: Vec<Sighting>,
    /// Samples of the fences.
    pub fences: Vec<Fences>,
    /// Runs that were accepted.
    pub submits: Vec<Submit>,
    /// In this time nothing may be accepted: nobody can lead.
    pub frozen_ns: Option<(u64, u64)>,
    /// What the store took in this time is lost, and no fence brings it back.
    pub forgotten_ns: Option<(u64, u64)>,
    /// When the store or etcd was set back: the fences are out of order until somebody leads again.
    pub set_back_ns: Option<u64>,
    /// The load run.
    pub load: Option<Load>,
    /// The sync.
    pub copied: Option<Copied>,
}

impl Fences {
    /// The largest epoch that any worker has obeyed.
    #[must_use]
    pub fn worker(&self) -> u64 {
        self.workers.iter().copied().max().unwrap_or(0)
    }
}

impl History {
    /// Says so when no term was ended on evidence of this kind.
    #[must_use]
    pub fn unfounded(&self, kind: &str) -> Option<String> {
        let founded = self.terms.iter().any(|term| term.evidence.iter().any(|evidence| evidence == kind));
        (!founded).then(|| format!("no term was ended on {kind} evidence"))
    }

    /// From `since` to the first run that was asked for after it in a later term than `epoch` and ran.
    #[must_use]
    pub fn next_dispatch(&self, since_ns: u64, epoch: u32) -> Option<Duration> {
        let later = self.submits.iter().filter(|submit| submit.asked_ns >= since_ns && submit.epoch > epoch);
        let first = later.filter_map(|submit| submit.running_ns).min()?;
        Some(Duration::from_nanos(first.saturating_sub(since_ns)))
    }
}
