//! The fences, each of which can be left out, to see whether an invariant breaks.
//!
//! In: a fence that is left out. Out: whether it stands. Never: leaves out anything of the product; what is left out
//! lies in the parties that are simulated, or in what they are told. Tests: `tests/tests/t80_simulation.rs`.

use std::collections::BTreeSet;

/// A fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fence {
    /// The leader key is taken only if it is absent and the term is as it was read: whoever takes one, changes both.
    TakeAsRead,
    /// Who resigns removes only a leader key of its own.
    ReleaseOwn,
    /// A term is ended only if leader key and term are those that were voted against: they change together.
    DeposeAsVoted,
    /// A term is ended only if the votes are still there.
    DeposeVotes,
    /// A term is ended only by the sentinels that were configured when the votes were counted.
    DeposeSet,
    /// A term is ended only if nobody has forbidden it meanwhile.
    DeposePause,
    /// A majority of votes ends a term, fewer do not.
    Quorum,
    /// A sentinel votes for itself alone.
    OneVoteEach,
    /// A renewal looks at the leader key, not at its lease alone.
    RenewalLooks,
    /// The store's canary tells a leader that another one fenced the store.
    CanaryTells,
    /// The store takes nothing of another epoch than its own.
    StoreEpoch,
    /// A fence waits for transactions that are under way.
    StoreLock,
    /// The store is fenced before anybody is told.
    FenceFirst,
    /// A worker obeys no epoch below its largest.
    WorkerEpoch,
    /// It remembers that epoch when it is restarted.
    WorkerLedger,
    /// Results count for the attempt and worker that they come from.
    ResultsAttempt,
    /// Results are numbered, and count once.
    ResultsNumber,
    /// What is acknowledged is stored before.
    CommitFirst,
    /// A frozen leader decides nothing new.
    Frozen,
}

/// Which fences stand.
#[derive(Debug, Clone, Default)]
pub struct Fences {
    out: BTreeSet<Fence>,
}

impl Fences {
    /// All but these.
    #[must_use]
    pub fn without(out: &[Fence]) -> Fences {
        Fences { out: out.iter().copied().collect() }
    }

    /// Whether this one stands.
    #[must_use]
    pub fn has(&self, fence: Fence) -> bool {
        !self.out.contains(&fence)
    }
}
