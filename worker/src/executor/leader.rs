//! Who leads, as far as this worker knows.
//!
//! The leader is the session whose master claimed the largest epoch that the ledger admitted. It stays the
//! leader while it cannot renew its lease (results go on) and until its stream ends or another one leads.
//! In: claims that the ledger has admitted. Out: whether everything must be told anew.
//! Pure: boot time comes in.
//! Tests: below.

use crate::link::SessionId;
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use std::time::Duration;

/// The leader and when it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    leading: Option<Leading>,
    heard: Duration,
}

/// A session that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leading {
    /// The session.
    pub(super) session: SessionId,
    /// Its master.
    pub(super) master: NodeId,
    /// Its term.
    pub(super) epoch: Epoch,
}

/// What a claim changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// This session leads now.
    Leads,
    /// It did already.
    Known,
    /// Another one does.
    Ignored,
}

impl Leader {
    /// Nobody, at a worker that began at `now`.
    pub(super) fn new(now: Duration) -> Leader {
        Leader { leading: None, heard: now }
    }

    /// Who leads.
    pub(super) fn leading(&self) -> Option<&Leading> {
        self.leading.as_ref()
    }

    /// Whether this session leads.
    pub(super) fn is(&self, session: SessionId) -> bool {
        self.leading.as_ref().is_some_and(|leading| leading.session == session)
    }

    /// A session claims to lead in an epoch that the ledger admits.
    pub(super) fn claim(
        &mut self,
        session: SessionId,
        master: &NodeId,
        epoch: Epoch,
        now: Duration,
    ) -> Claim {
        if let Some(leading) = &self.leading {
            if leading.session == session && leading.epoch == epoch {
                self.heard = now;
                return Claim::Known;
            }
            let newer = epoch > leading.epoch
                // One epoch has one master; a newer stream with it replaces the older one.
                || (epoch == leading.epoch && *master == leading.master && session > leading.session);
            if !newer {
                return Claim::Ignored;
            }
        }
        self.leading = Some(Leading { session, master: master.clone(), epoch });
        self.heard = now;
        Claim::Leads
    }

    /// A session said something.
    pub(super) fn heard(&mut self, session: SessionId, now: Duration) {
        if self.is(session) {
            self.heard = now;
        }
    }

    /// A session has ended.
    pub(super) fn lost(&mut self, session: SessionId) {
        if self.is(session) {
            self.leading = None;
        }
    }

    /// This process did not run for `gap`: nobody could be heard.
    pub(super) fn forgive(&mut self, gap: Duration) {
        self.heard += gap;
    }

    /// When a leader was heard last; the worker's beginning if never.
    pub(super) fn last_heard(&self) -> Duration {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn the_largest_epoch_leads_and_an_older_claim_changes_nothing() {
        let mut leader = Leader::new(S);
        assert_eq!(leader.claim(SessionId(1), &node("m1"), Epoch(1), S), Claim::Leads);
        assert_eq!(leader.claim(SessionId(2), &node("m2"), Epoch(2), S * 2), Claim::Leads);
        assert_eq!(leader.claim(SessionId(1), &node("m1"), Epoch(1), S * 3), Claim::Ignored);
        assert_eq!(leader.claim(SessionId(1), &node("m1"), Epoch(2), S * 3), Claim::Ignored);
        assert!(leader.is(SessionId(2)));
        assert_eq!(leader.last_heard(), S * 2);
        assert_eq!(leader.claim(SessionId(2), &node("m2"), Epoch(2), S * 4), Claim::Known);
        assert_eq!(leader.last_heard(), S * 4);
    }

    #[test]
    fn a_newer_stream_with_the_same_leader_replaces_the_older_one() {
        let mut leader = Leader::new(S);
        leader.claim(SessionId(1), &node("m1"), Epoch(1), S);
        assert_eq!(leader.claim(SessionId(5), &node("m1"), Epoch(1), S), Claim::Leads);
        assert_eq!(leader.claim(SessionId(1), &node("m1"), Epoch(1), S), Claim::Ignored);
        leader.lost(SessionId(1));
        assert!(leader.is(SessionId(5)));
        leader.lost(SessionId(5));
        assert_eq!(leader.leading(), None);
    }

    #[test]
    fn silence_is_counted_from_the_leader_alone_and_not_while_paused() {
        let mut leader = Leader::new(S);
        leader.claim(SessionId(1), &node("m1"), Epoch(1), S);
        leader.heard(SessionId(2), S * 9);
        assert_eq!(leader.last_heard(), S);
        leader.heard(SessionId(1), S * 9);
        leader.forgive(S * 60);
        assert_eq!(leader.last_heard(), S * 69);
    }
}
