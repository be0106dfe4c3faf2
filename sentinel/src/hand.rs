//! From what the brain wants to what the ballot does: a vote whenever it is another one, the end of a term when it is
//! time, and not at once again.
//!
//! In: a brain after each event. Out: orders to a [`Ballot`] that has a task of its own. Never: decides, waits.
//! Tests: in the tests crate.

use crate::ballot::Ballot;
use crate::brain::{Brain, Deposition, Now};
use shanty_rt::clock;
use shanty_rt::coord::record::Vote;
use shanty_rt::task::Scope;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Between two tries to end the same term.
const AGAIN: Duration = Duration::from_millis(300);

/// What leads from a brain to its ballot.
#[derive(Debug)]
pub(crate) struct Hand {
    want: watch::Sender<Option<Vote>>,
    end: mpsc::Sender<Deposition>,
    /// The leader key that was to be removed, and when.
    tried: Option<(i64, Duration)>,
}

impl Hand {
    /// A hand that `ballot` follows, as a task of `scope`.
    pub(crate) fn with(ballot: Ballot, scope: &mut Scope) -> Hand {
        let (want, wanted) = watch::channel(None);
        let (end, ends) = mpsc::channel(1);
        scope.spawn("ballot", ballot.keep(wanted, ends));
        Hand { want, end, tried: None }
    }

    /// Hands over what the brain wants now.
    pub(crate) fn follow(&mut self, brain: &Brain) {
        let vote = brain.vote().cloned();
        self.want.send_if_modified(|before| {
            let news = *before != vote;
            if news {
                tell(vote.as_ref());
                before.clone_from(&vote);
            }
            news
        });
        if let Some(deposition) = brain.deposition(now()) {
            let against = brain.picture().leader.as_ref().map_or(0, |leader| leader.entry.create_revision);
            let now = clock::boottime();
            let again = self.tried.is_none_or(|(before, at)| before != against || now >= at + AGAIN);
            if again && self.end.try_send(deposition).is_ok() {
                self.tried = Some((against, now));
            }
        }
    }
}

/// The time, twice.
pub(crate) fn now() -> Now {
    Now { boot: clock::boottime(), unix_ms: clock::unix_ms() }
}

fn tell(vote: Option<&Vote>) {
    match vote {
        Some(vote) => tracing::warn!(class = vote.class, why = vote.why, "votes against the leader"),
        None => tracing::info!("votes against nobody"),
    }
}
