//! Results of before this leader. A run may have hundreds of thousands of pieces, and none is needed to lead it: they are read
//! beside the loop, piece by piece, and until the last one is there the run has no end.
//!
//! In: pieces as they were stored. Out: a tally that is whole. Never: a piece twice: what this leader stored itself is in the tally
//! already.
//! Tests: `tests/past.rs`.

use super::{Engine, Now};
use crate::store::SeriesRecord;
use shanty_model::id::{AttemptId, RunId};
use std::collections::BTreeMap;

/// Which results of a run were stored when this leader began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    newest: BTreeMap<AttemptId, u64>,
}

impl Unread {
    /// Those up to the newest of each attempt; none when no attempt has any.
    pub(super) fn new(newest: Vec<(AttemptId, u64)>) -> Option<Unread> {
        (!newest.is_empty()).then(|| Unread { newest: newest.into_iter().collect() })
    }

    fn attempts(&self) -> Vec<(AttemptId, u64)> {
        self.newest.iter().map(|(attempt, newest)| (attempt.clone(), *newest)).collect()
    }

    fn holds(&self, piece: &SeriesRecord) -> bool {
        self.newest.get(&piece.attempt).is_some_and(|newest| piece.sequence <= *newest)
    }
}

impl Engine {
    /// Results that are still to be read: of which runs, and up to the newest of each attempt.
    #[must_use]
    pub fn unread(&self) -> Vec<(RunId, Vec<(AttemptId, u64)>)> {
        let unread = self.runs.values().filter_map(|machine| Some((machine, machine.unread.as_ref()?)));
        unread.map(|(machine, unread)| (machine.record.id.clone(), unread.attempts())).collect()
    }

    /// Results of a run that are stored and cannot be read.
    pub fn on_past_lost(&mut self, now: Now, run: &RunId, why: &str) {
        if let Some(machine) = self.runs.get_mut(run) {
            let message = format!("stored results cannot be read and are missing in the report: {why}");
            machine.note(now, true, "RESULTS_LOST", message);
        }
    }

    /// Results of a run as they were stored; after the `last` of them the run may end, at the next tick.
    pub fn on_past(&mut self, run: &RunId, pieces: &[SeriesRecord], last: bool) {
        let Some(machine) = self.runs.get_mut(run) else { return };
        let Some(unread) = machine.unread.take() else { return };
        for piece in pieces.iter().filter(|piece| unread.holds(piece)) {
            // What could not be read was told when it came.
            let _told = machine.tally.absorb(piece.attempt.shard.index, &piece.node, &piece.partial);
        }
        machine.unread = (!last).then_some(unread);
    }
}
