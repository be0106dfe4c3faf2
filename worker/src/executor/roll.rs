//! The attempts held: under way, or ended and not acknowledged.
//!
//! In: orders and ends. Out: what is held, for the inventory, the pump and the placement.
//! Never: forgets an attempt before its end was acknowledged.
//! Tests: with masters in `worker/tests/`.

use super::over::Over;
use crate::attempt::Port;
use crate::link::{End, Held as HeldWord};
use shanty_model::epoch::Epoch;
use shanty_model::id::AttemptId;
use shanty_rt::driver::StopReason;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An attempt held.
#[derive(Debug)]
pub(super) struct Held {
    /// Both sides of it.
    pub(super) port: Arc<Port>,
    /// Number of the newest directive handed to it.
    pub(super) change: u32,
    /// How long it goes on without a master.
    pub(super) orphan_limit: Duration,
    /// Boot time at which it was taken.
    pub(super) taken: Duration,
    /// Boot time at which it was asked to stop.
    pub(super) asked: Option<Duration>,
    /// Its end.
    pub(super) end: Option<End>,
    /// Ends it when it does not listen.
    pub(super) abort: CancellationToken,
    /// What the present leader was told.
    pub(super) told: Told,
}

/// What the present leader was told of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// That it is on the books.
    pub(super) accepted: bool,
    /// That it is under way.
    pub(super) running: bool,
    /// The newest change applied.
    pub(super) change: u32,
    /// That it has ended.
    pub(super) ended: bool,
}

impl Held {
    /// Whether it is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.end.is_none()
    }

    /// Asks it to stop.
    pub(super) fn ask_to_stop(&mut self, reason: StopReason, now: Duration) {
        if self.is_under_way() {
            self.asked.get_or_insert(now);
            self.port.ask_to_stop(reason);
        }
    }

    /// A new leader: everything is told anew.
    pub(super) fn rewind(&mut self) {
        self.told = Told::default();
        self.port.rewind();
    }
}

/// All attempts held.
#[derive(Debug, Default)]
pub(super) struct Roll {
    held: BTreeMap<AttemptId, Held>,
    over: Over,
}

impl Roll {
    /// Adds an attempt.
    pub(super) fn add(&mut self, attempt: AttemptId, held: Held) {
        self.held.insert(attempt, held);
    }

    /// An attempt that is held.
    pub(super) fn get_mut(&mut self, attempt: &AttemptId) -> Option<&mut Held> {
        self.held.get_mut(attempt)
    }

    /// All attempts held.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AttemptId, &Held)> {
        self.held.iter()
    }

    /// All attempts held, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&AttemptId, &mut Held)> {
        self.held.iter_mut()
    }

    /// Number of attempts under way.
    pub(super) fn under_way(&self) -> usize {
        self.held.values().filter(|held| held.is_under_way()).count()
    }

    /// Number of attempts held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The end of an attempt is safe with the master of `epoch`: forgets it.
    pub(super) fn forget(&mut self, attempt: &AttemptId, epoch: Epoch) {
        if self.held.remove(attempt).is_some() {
            self.over.remember(attempt.clone(), epoch);
        }
    }

    /// Whether this attempt ended and was acknowledged lately, so that an order of `epoch` for it is a late repetition.
    pub(super) fn is_over(&self, attempt: &AttemptId, epoch: Epoch) -> bool {
        self.over.repeats(attempt, epoch)
    }

    /// What is held, as masters are told.
    pub(super) fn inventory(&self) -> Vec<HeldWord> {
        self.held
            .iter()
            .map(|(attempt, held)| HeldWord {
                attempt: attempt.clone(),
                change: held.port.applied_change(),
                report_sequence: held.port.newest(),
                acked_sequence: held.port.acked(),
                ended: held.end.is_some(),
            })
            .collect()
    }
}
