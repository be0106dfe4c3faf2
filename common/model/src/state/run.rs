//! The life of a run.
//!
//! ```text
//!  submitted ──place──► planning ──begin──► running ◄──change── changing
//!      │                   │                  │  └────change────► │
//!      │                   │                  ├───────stop────────┤
//!      └──────cancel───────┴────────────────► stopping ◄──────────┘
//!  any of them ──finish──► succeeded | failed | cancelled | timed_out | lost
//! ```
//! Tests: below, as a table of every state × event.

use super::Rejected;
use serde::{Deserialize, Serialize};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Accepted and stored; no worker chosen yet.
    Submitted,
    /// Workers chosen, shards sent; none has begun.
    Planning,
    /// Under way.
    Running,
    /// Under way; a change is on its way to the workers.
    Changing,
    /// Asked to stop; workers are finishing.
    Stopping,
    /// Ended: everything was done and every threshold holds.
    Succeeded,
    /// Ended: something failed or a threshold does not hold.
    Failed,
    /// Ended by a cancel.
    Cancelled,
    /// Ended because its time was over before its work was.
    TimedOut,
    /// Ended because all of its workers were lost.
    Lost,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEvent {
    /// Workers were chosen.
    Placed,
    /// The work began.
    Began,
    /// A change was accepted and is on its way.
    ChangeSent,
    /// All workers have applied the change.
    ChangeApplied,
    /// Somebody or a rule asked it to stop.
    StopAsked,
    /// It ended so.
    Ended(RunState),
}

impl RunEvent {
    fn name(self) -> &'static str {
        match self {
            RunEvent::Placed => "placed",
            RunEvent::Began => "began",
            RunEvent::ChangeSent => "change sent",
            RunEvent::ChangeApplied => "change applied",
            RunEvent::StopAsked => "stop asked",
            RunEvent::Ended(_) => "ended",
        }
    }
}

impl RunState {
    /// Every state, in order of a life.
    pub const ALL: [RunState; 10] = [
        RunState::Submitted,
        RunState::Planning,
        RunState::Running,
        RunState::Changing,
        RunState::Stopping,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
        RunState::TimedOut,
        RunState::Lost,
    ];

    /// The state as it is stored and logged.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunState::Submitted => "submitted",
            RunState::Planning => "planning",
            RunState::Running => "running",
            RunState::Changing => "changing",
            RunState::Stopping => "stopping",
            RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
            RunState::TimedOut => "timed_out",
            RunState::Lost => "lost",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            RunState::Submitted
            | RunState::Planning
            | RunState::Running
            | RunState::Changing
            | RunState::Stopping => false,
            RunState::Succeeded
            | RunState::Failed
            | RunState::Cancelled
            | RunState::TimedOut
            | RunState::Lost => true,
        }
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// [`Rejected`] when the machine has no such transition; the state stays.
    pub fn on(self, event: RunEvent) -> Result<RunState, Rejected> {
        use RunState::{Changing, Planning, Running, Stopping, Submitted};
        match (self, event) {
            (Submitted, RunEvent::Placed) => Ok(Planning),
            (Planning, RunEvent::Began) | (Changing, RunEvent::ChangeApplied) => Ok(Running),
            (Running | Changing, RunEvent::ChangeSent) => Ok(Changing),
            (Submitted | Planning | Running | Changing, RunEvent::StopAsked) => Ok(Stopping),
            (Submitted | Planning | Running | Changing | Stopping, RunEvent::Ended(end))
                if end.is_terminal() =>
            {
                Ok(end)
            }
            (state, event) => Err(Rejected { machine: "run", state: state.name(), event: event.name() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_event_has_its_row() {
        use RunState::*;
        let events = [
            RunEvent::Placed,
            RunEvent::Began,
            RunEvent::ChangeSent,
            RunEvent::ChangeApplied,
            RunEvent::StopAsked,
            RunEvent::Ended(Succeeded),
            RunEvent::Ended(Running),
        ];
        let table: [(RunState, [Option<RunState>; 7]); 10] = [
            (Submitted, [Some(Planning), None, None, None, Some(Stopping), Some(Succeeded), None]),
            (Planning, [None, Some(Running), None, None, Some(Stopping), Some(Succeeded), None]),
            (Running, [None, None, Some(Changing), None, Some(Stopping), Some(Succeeded), None]),
            (Changing, [None, None, Some(Changing), Some(Running), Some(Stopping), Some(Succeeded), None]),
            (Stopping, [None, None, None, None, None, Some(Succeeded), None]),
            (Succeeded, [None; 7]),
            (Failed, [None; 7]),
            (Cancelled, [None; 7]),
            (TimedOut, [None; 7]),
            (Lost, [None; 7]),
        ];
        for ((state, row), expected) in table.iter().zip(RunState::ALL) {
            assert_eq!(*state, expected, "the table misses a state");
            for (event, successor) in events.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), *successor, "{state:?} on {event:?}");
            }
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for state in RunState::ALL {
            assert_eq!(RunState::from_name(state.name()), Some(state));
        }
        assert_eq!(RunState::from_name("RUNNING"), None);
    }
}
