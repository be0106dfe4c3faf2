//! What a sentinel says of itself in its log, each thing once: that it does not trust itself, that something keeps it from a
//! vote, and that either is over.
//!
//! In: a brain after each event. Out: log lines. Never: decides. Tests: with processes in `tests/tests/t22_sentinels.rs`.

use crate::brain::{Brain, Held};

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    tilt: bool,
    held: Option<Held>,
}

impl Voice {
    /// Says what is new.
    pub(crate) fn follow(&mut self, brain: &Brain) {
        let tilt = brain.tilt();
        if std::mem::replace(&mut self.tilt, tilt.is_some()) != tilt.is_some() {
            match tilt {
                Some(why) => tracing::warn!(
                    why,
                    "this sentinel does not trust itself: it neither votes nor ends a term"
                ),
                None => tracing::info!("this sentinel trusts itself again"),
            }
        }
        let held = brain.held();
        if std::mem::replace(&mut self.held, held) != held {
            match held {
                Some(why) => tracing::warn!(%why, "there is evidence against the leader, and no vote"),
                None => tracing::info!("nothing keeps this sentinel from voting"),
            }
        }
    }
}
