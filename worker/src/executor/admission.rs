//! Whether an order to do an attempt is taken.
//!
//! In: the order's attempt, what is held, what ended lately, and what there is room for. Out: [`Admission`].
//! Pure.
//! Tests: below, as a table.

use shanty_model::id::{AttemptId, nearest};

/// What is done with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is taken; an older attempt at the same shard, if held and under way, is superseded.
    Take {
        /// That attempt.
        supersedes: Option<AttemptId>,
    },
    /// It is held already.
    Again,
    /// It is not taken, for this reason.
    Refuse(String),
}

/// What there is.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    /// Attempts held, and whether each is under way (or has ended and waits for its acknowledgement).
    pub(super) held: Vec<(&'a AttemptId, bool)>,
    /// Whether this attempt ended and was acknowledged lately.
    pub(super) is_over: bool,
    /// Attempts at once.
    pub(super) slots: u32,
    /// Kinds that there are drivers for.
    pub(super) kinds: Vec<&'a str>,
    /// Whether the worker leaves.
    pub(super) leaving: bool,
    /// Whether a master told it to drain.
    pub(super) drained: bool,
}

/// Decides about `attempt` of `kind`.
pub(super) fn admit(attempt: &AttemptId, kind: &str, situation: &Situation<'_>) -> Admission {
    let Situation { held, is_over, slots, kinds, leaving, drained } = situation;
    if held.iter().any(|(id, _)| *id == attempt) {
        return Admission::Again;
    }
    if *is_over {
        return Admission::Refuse("this attempt has ended here already".to_owned());
    }
    if *leaving {
        return Admission::Refuse("the worker is leaving".to_owned());
    }
    if *drained {
        return Admission::Refuse("the worker is drained and takes no new work".to_owned());
    }
    let siblings = held.iter().filter(|(id, _)| id.shard == attempt.shard);
    let newest = siblings.max_by_key(|(id, _)| id.number);
    if let Some((newer, _)) = newest.filter(|(id, _)| id.number > attempt.number) {
        return Admission::Refuse(format!("a newer attempt is held: {newer}"));
    }
    if !kinds.contains(&kind) {
        let near = nearest(kind, kinds.iter().copied());
        let known = if near.is_empty() { kinds.as_slice() } else { near.as_slice() };
        return Admission::Refuse(format!(
            "no driver for kind `{kind}` here; there is: {}",
            known.join(", ")
        ));
    }
    let supersedes = newest.filter(|(_, under_way)| *under_way).map(|(id, _)| (*id).clone());
    let busy = held.iter().filter(|(_, under_way)| *under_way).count() - usize::from(supersedes.is_some());
    if busy >= usize::try_from(*slots).unwrap_or(usize::MAX) {
        return Admission::Refuse(format!("all {slots} slots are busy"));
    }
    Admission::Take { supersedes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AttemptId {
        text.parse().unwrap()
    }

    fn decide(
        order: &str,
        kind: &str,
        held: &[(&str, bool)],
        change: impl FnOnce(&mut Situation<'_>),
    ) -> Admission {
        let ids: Vec<(AttemptId, bool)> = held.iter().map(|(text, on)| (id(text), *on)).collect();
        let mut situation = Situation {
            held: ids.iter().map(|(id, on)| (id, *on)).collect(),
            is_over: false,
            slots: 2,
            kinds: vec!["http_load"],
            leaving: false,
            drained: false,
        };
        change(&mut situation);
        admit(&id(order), kind, &situation)
    }

    fn refused(admission: Admission, word: &str) {
        assert!(matches!(&admission, Admission::Refuse(reason) if reason.contains(word)), "{admission:?}");
    }

    #[test]
    fn an_order_is_taken_when_there_is_room() {
        let taken = Admission::Take { supersedes: None };
        assert_eq!(decide("a.1/0#1", "http_load", &[], |_| {}), taken);
        assert_eq!(decide("a.1/0#1", "http_load", &[("a.2/0#1", true), ("a.3/0#1", false)], |_| {}), taken);
        refused(decide("a.1/0#1", "http_load", &[("a.2/0#1", true), ("a.3/0#1", true)], |_| {}), "2 slots");
    }

    #[test]
    fn a_repeated_order_is_known_even_when_nothing_new_is_taken() {
        for held in [("a.1/0#1", true), ("a.1/0#1", false)] {
            let again = decide("a.1/0#1", "http_load", &[held], |s| (s.leaving, s.slots) = (true, 1));
            assert_eq!(again, Admission::Again);
        }
        refused(decide("a.1/0#1", "http_load", &[], |s| s.is_over = true), "ended here already");
    }

    #[test]
    fn a_newer_attempt_supersedes_an_older_one_and_takes_its_slot() {
        let held = [("a.1/0#1", true), ("a.2/0#1", true)];
        assert_eq!(
            decide("a.1/0#2", "http_load", &held, |_| {}),
            Admission::Take { supersedes: Some(id("a.1/0#1")) }
        );
        refused(
            decide("a.1/0#1", "http_load", &[("a.1/0#2", true)], |_| {}),
            "newer attempt is held: a.1/0#2",
        );
    }

    #[test]
    fn what_cannot_be_done_here_is_refused_with_the_reason() {
        refused(decide("a.1/0#1", "htp_load", &[], |_| {}), "there is: http_load");
        refused(decide("a.1/0#1", "http_load", &[], |s| s.leaving = true), "leaving");
        refused(decide("a.1/0#1", "http_load", &[], |s| s.drained = true), "drained");
    }
}
