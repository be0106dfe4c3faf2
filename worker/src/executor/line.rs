//! The way to one master, and what that master is owed before anything else.
//!
//! Each master is owed what this worker holds, that it leaves, and why an order was not taken. A debt is noted at
//! once and paid when the stream has room, so nothing of it is lost on a stream that is full.
//! In: debts. Out: their words, as far as there is room. What is held is said as of the moment when it goes out.
//! Never: waits, or outlives its session: a new one is owed everything anew.
//! Tests: with the executor, in `core`.

use super::pump::Pumped;
use crate::link::{Outbound, Progress, Said, Update};
use shanty_model::id::{AttemptId, NodeId};
use std::collections::BTreeMap;

/// A session's way out and its debts.
#[derive(Debug)]
pub(super) struct Line {
    /// Whom it leads to.
    pub(super) master: NodeId,
    outbound: Outbound,
    owes_inventory: bool,
    owes_leaving: bool,
    /// No more than the master has orders for this worker: one that it repeats is refused once.
    refusals: BTreeMap<AttemptId, String>,
}

impl Line {
    /// A line without debts.
    pub(super) fn new(master: NodeId, outbound: Outbound) -> Line {
        Line { master, outbound, owes_inventory: false, owes_leaving: false, refusals: BTreeMap::new() }
    }

    /// The way out.
    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// It has to be told what is held.
    pub(super) fn owe_inventory(&mut self) {
        self.owes_inventory = true;
    }

    /// It has to be told that this worker leaves.
    pub(super) fn owe_leaving(&mut self) {
        self.owes_leaving = true;
    }

    /// It has to be told that an attempt was not taken.
    pub(super) fn owe_refusal(&mut self, attempt: AttemptId, reason: String) {
        self.refusals.insert(attempt, reason);
    }

    /// The attempt was taken after all, before its refusal was out.
    pub(super) fn owe_no_refusal(&mut self, attempt: &AttemptId) {
        self.refusals.remove(attempt);
    }

    /// Says what is owed, as far as there is room.
    pub(super) fn pay(&mut self, inventory: impl FnOnce() -> Said) -> Pumped {
        match self.pay_all(inventory) {
            Some(()) => Pumped::Dry,
            None => Pumped::Full,
        }
    }

    /// None when there is no room.
    fn pay_all(&mut self, inventory: impl FnOnce() -> Said) -> Option<()> {
        if self.owes_inventory {
            self.outbound.say(inventory).ok()?;
            self.owes_inventory = false;
        }
        if self.owes_leaving {
            let reason = "the worker was asked to stop".to_owned();
            self.outbound.say(|| Said::Leaving { reason }).ok()?;
            self.owes_leaving = false;
        }
        while let Some((attempt, reason)) = self.refusals.first_key_value() {
            let progress = || Progress::Refused(reason.clone());
            let said = || Said::Update(Update { attempt: attempt.clone(), progress: progress(), change: 0 });
            self.outbound.say(said).ok()?;
            self.refusals.pop_first();
        }
        Some(())
    }
}
