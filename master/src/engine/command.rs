//! What comes out of the engine, and what attempts say to it.

use crate::store::Mutation;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::violation::Violation;
use std::time::Duration;

/// Something to be done. All `Store` commands of a step are one transaction; the others follow it.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Change the store.
    Store(Box<Mutation>),
    /// Tell a worker.
    Tell(NodeId, Order),
}

impl Command {
    /// Change the store.
    pub(super) fn store(mutation: Mutation) -> Command {
        Command::Store(Box::new(mutation))
    }
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Do an attempt.
    Assign(Box<Assignment>),
    /// Change an attempt.
    Change {
        /// The attempt.
        attempt: AttemptId,
        /// Number of the change.
        revision: u32,
        /// JSON of the kind's `Directive`.
        directive: String,
    },
    /// Stop an attempt.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        reason: String,
        /// Whether its results are unwanted.
        discard: bool,
    },
    /// Results are safe.
    Ack {
        /// The attempt.
        attempt: AttemptId,
        /// Up to this one.
        sequence: u64,
        /// The end too.
        ended: bool,
    },
    /// Take no new work, or take work again.
    Drain(bool),
}

/// An attempt to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// Name of the kind.
    pub kind: String,
    /// JSON of the kind's `Spec`.
    pub spec: String,
    /// JSON of the kind's `Shard`; empty for none.
    pub shard: String,
    /// JSON of the kind's `Directive`.
    pub directive: String,
    /// Number of that directive.
    pub revision: u32,
    /// The run's start, nanoseconds since 1970 on the leader's clock.
    pub start_unix_ns: i64,
    /// The worker stops it after losing every master for this long.
    pub orphan_limit: Duration,
}

/// Where an attempt is, in its worker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// It is on the worker's books.
    Accepted,
    /// It is under way.
    Running,
    /// The worker did not take it.
    Refused(String),
    /// A change was applied.
    Changed(u32),
}

/// How an attempt ended, in its worker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Failed; another attempt may help, or not.
    Failed {
        /// Whether it may.
        transient: bool,
    },
    /// Stopped on demand.
    Cancelled,
    /// Stopped by the worker: no master for too long.
    Orphaned,
}

/// An attempt's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The attempt.
    pub attempt: AttemptId,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Number of its last report.
    pub last_sequence: u64,
}

/// Why a request was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It makes no sense as it is.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// There is no such thing.
    #[error("{what} `{name}` does not exist")]
    NotFound {
        /// `job`, `run`, `node`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Names near it.
        nearest: Vec<String>,
    },
    /// The name is taken.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// `job`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Not in the state that it is in.
    #[error("{message}")]
    Precondition {
        /// UPPER_SNAKE_CASE.
        reason: &'static str,
        /// In words, with the next step.
        message: String,
    },
    /// It was changed by somebody else.
    #[error("{what} `{name}` has changed since: its etag is now {etag}")]
    Changed {
        /// `job`.
        what: &'static str,
        /// The name.
        name: String,
        /// The current etag.
        etag: String,
    },
    /// There is too much of it.
    #[error("{message}")]
    Exhausted {
        /// UPPER_SNAKE_CASE.
        reason: &'static str,
        /// In words, with the next step.
        message: String,
    },
}
