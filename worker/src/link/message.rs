//! The words of the link, without protobuf.
//!
//! In and out: values between the link's sessions and the executor.
//! Tests: where they are converted, in `wire`.

use super::outbound::Outbound;
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use std::time::Duration;

/// A stream, from its Welcome to its end. Later ones have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// What happens to links.
#[derive(Debug)]
pub(crate) enum Event {
    /// A master answered the Hello.
    Attached(Attached),
    /// A master said something.
    Heard(SessionId, Heard),
    /// A session ended.
    Lost(SessionId),
    /// An address could not be attached to; said once per row of failures.
    Unreached {
        /// The address.
        address: String,
    },
    /// A master refused this worker: another process has its name.
    NameTaken {
        /// The master's words.
        why: String,
    },
}

/// A new session.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Its number.
    pub(crate) session: SessionId,
    /// The master.
    pub(crate) master: NodeId,
    /// The term that it leads in, if it says that it leads.
    pub(crate) claim: Option<Epoch>,
    /// The way to it.
    pub(crate) outbound: Outbound,
}

/// What a master says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// It lives; and the term that it leads in, if it says that it leads.
    Sign(Option<Epoch>),
    /// It leads from now on.
    Announce(Epoch),
    /// Do an attempt.
    Assign(Box<Assign>),
    /// An attempt that cannot be done as it was written.
    Unreadable {
        /// Term of the master.
        epoch: Epoch,
        /// The attempt.
        attempt: AttemptId,
        /// What is wrong with it.
        reason: String,
    },
    /// Change an attempt.
    Change(Change),
    /// Stop an attempt.
    Cancel(Cancel),
    /// Results up to a number are safe, and the end too if `ended`.
    Ack {
        /// The attempt.
        attempt: AttemptId,
        /// Reports up to this one are safe.
        sequence: u64,
        /// The attempt may be forgotten.
        ended: bool,
    },
    /// Another process tries to attach under this worker's name; it was refused.
    Twin {
        /// Identity of its start.
        incarnation: String,
    },
    /// Take no new work, or take it again.
    Drain {
        /// Term of the master.
        epoch: Epoch,
        /// Which of the two.
        drain: bool,
    },
}

/// An order to do an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assign {
    /// Term of the master.
    pub(crate) epoch: Epoch,
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// Kind of the job.
    pub(crate) kind: String,
    /// JSON of the kind's `Spec`.
    pub(crate) spec: String,
    /// JSON of the kind's `Shard`; empty for none.
    pub(crate) shard: String,
    /// JSON of the kind's `Directive`; empty for none.
    pub(crate) directive: String,
    /// Number of that directive.
    pub(crate) change: u32,
    /// After losing every master for this long the attempt stops; none when the master did not say.
    pub(crate) orphan_limit: Option<Duration>,
    /// The run's start, nanoseconds of this machine's CLOCK_MONOTONIC.
    pub(crate) start_monotonic_ns: u64,
    /// The same on the master's clock, nanoseconds since 1970.
    pub(crate) start_unix_ns: i64,
}

/// An order to change an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// Term of the master.
    pub(crate) epoch: Epoch,
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// Number of the change.
    pub(crate) change: u32,
    /// JSON of the kind's `Directive`.
    pub(crate) directive: String,
}

/// An order to stop an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cancel {
    /// Term of the master.
    pub(crate) epoch: Epoch,
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// Why.
    pub(crate) reason: String,
    /// Whether its results are of no more use.
    pub(crate) discard: bool,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// What it holds.
    Inventory {
        /// The epoch that it answers.
        epoch: Epoch,
        /// The attempts.
        held: Vec<Held>,
    },
    /// Where an attempt is.
    Update(Update),
    /// A piece of results.
    Report {
        /// The attempt.
        attempt: AttemptId,
        /// Number of the piece.
        sequence: u64,
        /// MessagePack of the kind's `Partial`.
        partial: Vec<u8>,
    },
    /// An attempt's end.
    Ended {
        /// The attempt.
        attempt: AttemptId,
        /// How it ended.
        end: End,
        /// Number of its last report.
        last_sequence: u64,
    },
    /// What was found at a connection.
    Checked {
        /// Number of the question.
        question: u64,
        /// What was found.
        checked: Box<shanty_sync::connection::Checked>,
    },
    /// It wants to leave.
    Leaving {
        /// Why, for people.
        reason: String,
    },
}

/// An attempt in an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// Number of the newest change applied.
    pub(crate) change: u32,
    /// Number of the newest report made.
    pub(crate) report_sequence: u64,
    /// Reports up to this one were acknowledged.
    pub(crate) acked_sequence: u64,
    /// Whether it has ended.
    pub(crate) ended: bool,
}

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    /// The attempt.
    pub(crate) attempt: AttemptId,
    /// What happened.
    pub(crate) progress: Progress,
    /// Number of the newest change applied.
    pub(crate) change: u32,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is on the books.
    Accepted,
    /// It is under way.
    Running,
    /// It was not taken, for this reason.
    Refused(String),
    /// A change was applied.
    Changed,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// How.
    pub(crate) kind: EndKind,
    /// Why; empty when it was done.
    pub(crate) reason: String,
    /// For a failed one: whether another attempt may help.
    pub(crate) transient: bool,
}

/// How an attempt ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Stopped because somebody asked.
    Cancelled,
    /// Stopped by the worker itself: no master for too long.
    Orphaned,
}
