//! What the leader still has to be told, told, as far as its stream has room.
//!
//! Order for each attempt: accepted, running, changed, results by number, the end. Repeating any of it is
//! harmless, so a new leader is simply told everything.
//! In: the attempts held, the leader's stream. Out: whether something is left for want of room.
//! Never: waits.
//! Tests: with masters in `worker/tests/`.

use super::roll::{Held, Roll};
use crate::link::{Outbound, Progress, Said, Update};
use shanty_model::id::AttemptId;

/// Whether all was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing is left to say.
    Dry,
    /// The stream has no room now.
    Full,
}

/// Says what is due of all attempts.
pub(super) fn pump(roll: &mut Roll, leader: &Outbound) -> Pumped {
    for (attempt, held) in roll.iter_mut() {
        if pump_one(attempt, held, leader).is_none() {
            return Pumped::Full;
        }
    }
    Pumped::Dry
}

/// None when there is no room.
fn pump_one(attempt: &AttemptId, held: &mut Held, leader: &Outbound) -> Option<()> {
    let change = held.port.applied_change();
    let update =
        |progress| leader.say(|| Said::Update(Update { attempt: attempt.clone(), progress, change })).ok();
    if !held.told.accepted {
        update(Progress::Accepted)?;
        held.told.accepted = true;
    }
    if !held.told.running {
        update(Progress::Running)?;
        held.told.running = true;
    }
    if held.told.change < change {
        update(Progress::Changed)?;
        held.told.change = change;
    }
    // An end that was seen before this loop comes after all of its results: a driver emits nothing later.
    while let Some(taken) = held.port.send_next(|sequence, partial| {
        leader.say(|| Said::Report { attempt: attempt.clone(), sequence, partial: partial.to_vec() }).is_ok()
    }) {
        if !taken {
            return None;
        }
    }
    if let Some(end) = held.end.as_ref().filter(|_| !held.told.ended) {
        let last_sequence = held.port.newest();
        leader.say(|| Said::Ended { attempt: attempt.clone(), end: end.clone(), last_sequence }).ok()?;
        held.told.ended = true;
    }
    Some(())
}
