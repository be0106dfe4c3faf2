//! Attempts whose end was acknowledged lately, so that a late repetition of their order is not done again.
//!
//! In: ends that were acknowledged, with the term of the master that did. Out: whether an order is a repetition. Pure.
//! Never: grows without a bound. Tests: below.

use shanty_model::epoch::Epoch;
use shanty_model::id::AttemptId;
use std::collections::VecDeque;

/// Attempts remembered after their acknowledgement.
const KEPT: usize = 1024;

/// The attempts remembered.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// Each with the term in which its end was acknowledged, the newest last.
    ended: VecDeque<(AttemptId, Epoch)>,
}

impl Over {
    /// The end of `attempt` is safe with the master of `epoch`.
    pub(super) fn remember(&mut self, attempt: AttemptId, epoch: Epoch) {
        if self.ended.len() == KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back((attempt, epoch));
    }

    /// Whether an order of `epoch` for this attempt is a late repetition. A master of a later term knows of that end; if it
    /// gives the name out again, its store was set back, and the work is another.
    pub(super) fn repeats(&self, attempt: &AttemptId, epoch: Epoch) -> bool {
        self.ended.iter().any(|(over, acknowledged)| over == attempt && *acknowledged >= epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(run: usize) -> AttemptId {
        format!("j.{}/0#1", run + 1).parse().unwrap()
    }

    #[test]
    fn an_order_is_repeated_in_the_term_of_the_end_and_before_and_is_another_after_it() {
        let mut over = Over::default();
        over.remember(attempt(1), Epoch(3));
        assert!(over.repeats(&attempt(1), Epoch(3)) && over.repeats(&attempt(1), Epoch(2)));
        assert!(!over.repeats(&attempt(1), Epoch(4)), "a store that was set back gave the name out again");
        assert!(!over.repeats(&attempt(2), Epoch(3)));
        over.remember(attempt(1), Epoch(4));
        assert!(over.repeats(&attempt(1), Epoch(4)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut over = Over::default();
        (0..=KEPT).for_each(|run| over.remember(attempt(run), Epoch(1)));
        assert!(!over.repeats(&attempt(0), Epoch(1)) && over.repeats(&attempt(1), Epoch(1)));
        assert_eq!(over.ended.len(), KEPT);
    }
}
