//! Numbered results until they are acknowledged.
//!
//! In: pieces of results in order, acknowledgements. Out: the pieces that are due on the present stream.
//! Pure. Never: loses or renumbers a piece that is not acknowledged, or changes one that a master may have seen.
//! Tests: below, with a property over any order of events.

use std::collections::VecDeque;

/// Results of one attempt.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Pieces without acknowledgement; the front one has number `acked + 1`.
    kept: VecDeque<Vec<u8>>,
    /// Pieces up to this one are safe with a master.
    acked: u64,
    /// Pieces up to this one were sent on the present stream.
    sent: u64,
    /// Pieces up to this one were sent on any stream.
    told: u64,
}

impl Outbox {
    /// Adds a piece.
    pub(super) fn push(&mut self, partial: Vec<u8>) {
        self.kept.push_back(partial);
    }

    /// Pieces without acknowledgement.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Replaces the newest piece by what `join` makes of it, unless a master may have seen it. Answers whether it did.
    pub(super) fn join(&mut self, join: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> bool {
        if self.newest() <= self.told {
            return false;
        }
        let Some(newest) = self.kept.back_mut() else { return false };
        let Some(joined) = join(newest) else { return false };
        *newest = joined;
        true
    }

    /// Number of the newest piece; 0 without any.
    pub(super) fn newest(&self) -> u64 {
        self.acked + u64::try_from(self.kept.len()).unwrap_or(u64::MAX)
    }

    /// Pieces up to this one are safe with a master, and not kept here any more.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// The first piece that was not sent on the present stream.
    pub(super) fn next_due(&self) -> Option<(u64, &[u8])> {
        let after = self.sent.max(self.acked);
        let index = usize::try_from(after - self.acked).ok()?;
        self.kept.get(index).map(|partial| (after + 1, partial.as_slice()))
    }

    /// Pieces up to `sequence` were sent on the present stream.
    pub(super) fn sent(&mut self, sequence: u64) {
        self.sent = self.sent.max(sequence.min(self.newest()));
        self.told = self.told.max(self.sent);
    }

    /// There is a new stream: everything that is kept is due again.
    pub(super) fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// Pieces up to `sequence` are safe. Answers how many were let go.
    pub(super) fn ack(&mut self, sequence: u64) -> usize {
        let upto = sequence.min(self.newest());
        let count = usize::try_from(upto.saturating_sub(self.acked)).unwrap_or(0);
        self.kept.drain(..count);
        self.acked = self.acked.max(upto);
        count
    }

    /// The results are of no more use: those without acknowledgement never were.
    pub(super) fn discard(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_sent_is_due_again_on_a_new_stream_with_the_same_number() {
        let mut outbox = Outbox::default();
        for piece in [1, 2, 3] {
            outbox.push(vec![piece]);
        }
        outbox.sent(3);
        assert_eq!(outbox.next_due(), None);
        assert_eq!(outbox.ack(1), 1);
        outbox.rewind();
        assert_eq!(outbox.next_due(), Some((2, [2].as_slice())));
        assert_eq!(outbox.ack(99), 2);
        assert_eq!((outbox.newest(), outbox.next_due()), (3, None));
        outbox.push(vec![4]);
        assert_eq!(outbox.next_due(), Some((4, [4].as_slice())));
    }

    #[test]
    fn after_a_discard_the_last_result_is_the_last_acknowledged_one() {
        let mut outbox = Outbox::default();
        for piece in [1, 2, 3] {
            outbox.push(vec![piece]);
        }
        outbox.sent(2);
        outbox.ack(1);
        outbox.discard();
        outbox.ack(2);
        assert_eq!((outbox.newest(), outbox.next_due()), (1, None));
    }

    #[test]
    fn a_piece_that_a_master_may_have_seen_is_never_changed() {
        let mut outbox = Outbox::default();
        let join = |outbox: &mut Outbox, more: u8| outbox.join(|old| Some([old, &[more]].concat()));
        assert!(!join(&mut outbox, 1), "there is none");
        outbox.push(vec![1]);
        outbox.push(vec![2]);
        outbox.sent(1);
        assert!(join(&mut outbox, 3));
        assert_eq!(outbox.next_due(), Some((2, [2, 3].as_slice())));
        outbox.sent(2);
        outbox.rewind();
        assert!(!join(&mut outbox, 4), "sent before, on a stream that is gone");
        outbox.push(vec![4]);
        assert!(join(&mut outbox, 5) && !outbox.join(|_| None));
        assert_eq!((outbox.len(), outbox.newest()), (3, 3));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Send,
        Rewind,
        Ack(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![Just(Step::Push), Just(Step::Send), Just(Step::Rewind), (0_u64..40).prop_map(Step::Ack)]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_renumbered(steps in proptest::collection::vec(step(), 0..120)) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut acked) = (0_u64, 0_u64);
            for step in steps {
                match step {
                    Step::Push => {
                        pushed += 1;
                        outbox.push(pushed.to_be_bytes().to_vec());
                    }
                    Step::Send => {
                        let due = outbox.next_due().map(|(sequence, piece)| (sequence, piece.to_vec()));
                        if let Some((sequence, piece)) = due {
                            prop_assert_eq!(&piece, &sequence.to_be_bytes().to_vec());
                            prop_assert!(sequence > acked);
                            outbox.sent(sequence);
                        }
                    }
                    Step::Rewind => outbox.rewind(),
                    Step::Ack(upto) => {
                        acked = acked.max(upto.min(pushed));
                        outbox.ack(upto);
                    }
                }
                prop_assert_eq!(outbox.newest(), pushed);
            }
            outbox.rewind();
            for expected in acked + 1..=pushed {
                let due = outbox.next_due().map(|(sequence, _)| sequence);
                prop_assert_eq!(due, Some(expected));
                outbox.sent(expected);
            }
            prop_assert_eq!(outbox.next_due(), None);
        }
    }
}
