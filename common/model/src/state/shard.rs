//! The life of a shard.
//!
//! ```text
//!  pending ──assign──► assigned ──accept──► accepted ──begin──► running ──► done | failed | yielded
//!     ▲                   └──────────┬─────────┴───────────────────┘
//!     └──────── requeue ─────────────┘     (its worker refused it, was lost, or was drained)
//! ```
//! Tests: below, as a table of every state × event.

use super::Rejected;
use serde::{Deserialize, Serialize};

/// Where a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// Waits for a worker.
    Pending,
    /// Sent to a worker.
    Assigned,
    /// On the worker's books.
    Accepted,
    /// Under way.
    Running,
    /// Ended well.
    Done,
    /// Ended badly.
    Failed,
    /// Given up; others have taken the work over.
    Yielded,
}

/// What happens to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardEvent {
    /// It was sent to a worker.
    Assigned,
    /// The worker has it on its books.
    Accepted,
    /// The worker began.
    Began,
    /// It waits for a worker again.
    Requeued,
    /// It ended so.
    Ended(ShardState),
}

impl ShardEvent {
    fn name(self) -> &'static str {
        match self {
            ShardEvent::Assigned => "assigned",
            ShardEvent::Accepted => "accepted",
            ShardEvent::Began => "began",
            ShardEvent::Requeued => "requeued",
            ShardEvent::Ended(_) => "ended",
        }
    }
}

impl ShardState {
    /// Every state, in order of a life.
    pub const ALL: [ShardState; 7] = [
        ShardState::Pending,
        ShardState::Assigned,
        ShardState::Accepted,
        ShardState::Running,
        ShardState::Done,
        ShardState::Failed,
        ShardState::Yielded,
    ];

    /// The state as it is stored and logged.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ShardState::Pending => "pending",
            ShardState::Assigned => "assigned",
            ShardState::Accepted => "accepted",
            ShardState::Running => "running",
            ShardState::Done => "done",
            ShardState::Failed => "failed",
            ShardState::Yielded => "yielded",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ShardState> {
        ShardState::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            ShardState::Pending | ShardState::Assigned | ShardState::Accepted | ShardState::Running => false,
            ShardState::Done | ShardState::Failed | ShardState::Yielded => true,
        }
    }

    /// The state after `event`. A worker that begins at once may skip its acceptance.
    ///
    /// # Errors
    /// [`Rejected`] when the machine has no such transition; the state stays.
    pub fn on(self, event: ShardEvent) -> Result<ShardState, Rejected> {
        use ShardState::{Accepted, Assigned, Pending, Running};
        match (self, event) {
            (Pending, ShardEvent::Assigned) => Ok(Assigned),
            (Assigned, ShardEvent::Accepted) => Ok(Accepted),
            (Assigned | Accepted, ShardEvent::Began) => Ok(Running),
            (Assigned | Accepted | Running, ShardEvent::Requeued) => Ok(Pending),
            (Pending | Assigned | Accepted | Running, ShardEvent::Ended(end)) if end.is_terminal() => Ok(end),
            (state, event) => Err(Rejected { machine: "shard", state: state.name(), event: event.name() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_event_has_its_row() {
        use ShardState::*;
        let events = [
            ShardEvent::Assigned,
            ShardEvent::Accepted,
            ShardEvent::Began,
            ShardEvent::Requeued,
            ShardEvent::Ended(Done),
            ShardEvent::Ended(Running),
        ];
        let table: [(ShardState, [Option<ShardState>; 6]); 7] = [
            (Pending, [Some(Assigned), None, None, None, Some(Done), None]),
            (Assigned, [None, Some(Accepted), Some(Running), Some(Pending), Some(Done), None]),
            (Accepted, [None, None, Some(Running), Some(Pending), Some(Done), None]),
            (Running, [None, None, None, Some(Pending), Some(Done), None]),
            (Done, [None; 6]),
            (Failed, [None; 6]),
            (Yielded, [None; 6]),
        ];
        for ((state, row), expected) in table.iter().zip(ShardState::ALL) {
            assert_eq!(*state, expected, "the table misses a state");
            for (event, successor) in events.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), *successor, "{state:?} on {event:?}");
            }
        }
        for state in ShardState::ALL {
            assert_eq!(ShardState::from_name(state.name()), Some(state));
        }
    }
}
