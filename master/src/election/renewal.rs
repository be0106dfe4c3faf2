//! The renewal of a term: a task of its own for as long as the term lasts.
//!
//! One renewal = the lease is kept alive *and* the leader key is still the one that was created for this
//! claim (a deposed leader's lease is fine, its key is gone). It is sent only while the gates show life.
//! In: a claim, its term. Out: the term's authority, extended; at last, why the term is over.
//! While the coordinator is away the authority runs out: the mandate is frozen, and the same term goes on
//! when renewals work again. It ends when the lease is known to be gone, another leader is seen, or the
//! store is at another epoch.
//! Never: ends the reign itself (see [`super::elector`]).
//! Tests: `elector_test.rs`.

use super::claim::{Candidate, Claim};
use super::fence::{FenceError, FenceStore};
use super::term::{Silent, Term};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::coord::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a term is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TermEnd {
    /// The lease is gone, and the key with it.
    LeaseGone,
    /// The leader key is another's, or nobody's.
    Deposed,
    /// The store serves another epoch.
    Fenced(Epoch),
    /// A gate was silent.
    Sick(Silent),
    /// The leader asked to, naming a successor or not.
    Resigned(Option<NodeId>),
    /// The reign ended by itself.
    Returned,
    /// The process is asked to end.
    Stopped,
    /// The renewal's task panicked.
    Unrenewed,
}

impl fmt::Display for TermEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TermEnd::LeaseGone => f.write_str("the lease is gone"),
            TermEnd::Deposed => f.write_str("the leader key is not ours any more"),
            TermEnd::Fenced(stored) => write!(f, "the store is at {stored}"),
            TermEnd::Sick(Silent::Dispatch(time)) => write!(f, "the dispatch loop was silent for {time:.1?}"),
            TermEnd::Sick(Silent::Store(time)) => write!(f, "the store did nothing for {time:.1?}"),
            TermEnd::Sick(Silent::Disk(time)) => write!(f, "the disk took nothing for {time:.1?}"),
            TermEnd::Resigned(Some(target)) => write!(f, "resigned in favour of {target}"),
            TermEnd::Resigned(None) => f.write_str("resigned"),
            TermEnd::Returned => f.write_str("the reign ended by itself"),
            TermEnd::Stopped => f.write_str("this master is stopping"),
            TermEnd::Unrenewed => f.write_str("the renewal stopped"),
        }
    }
}

/// What one renewal found.
enum Renewed {
    Until(Duration),
    Not(Error),
    Over(TermEnd),
}

pub(super) struct Renewal {
    pub candidate: Candidate,
    pub store: Arc<dyn FenceStore>,
    pub claim: Claim,
    pub term: Arc<Term>,
}

impl Renewal {
    /// Renews until the term is over.
    pub(super) async fn keep(&self) -> TermEnd {
        // In an order that is always the same: a simulation plays a seed twice alike.
        let end = tokio::select! {
            biased;
            end = self.renew() => end,
            end = self.canaries() => end,
        };
        // Nothing may be begun on this mandate from here on, whenever the reign gets to look.
        self.term.authority().extend(Duration::ZERO);
        end
    }

    /// Gives the key of a sick leader back: its reign may be what hangs, and the elector with it.
    pub(super) async fn give_back(&self, end: &TermEnd) {
        if let TermEnd::Sick(_) = end {
            self.candidate.release(&self.claim, None, &end.to_string()).await;
        }
    }

    async fn renew(&self) -> TermEnd {
        let timers = &self.candidate.timers;
        let mut frozen = false;
        // The claim itself was the first renewal; it may be a while ago if fencing took long.
        let mut due = self.claim.sent + timers.renew_every;
        loop {
            let wake = due.max(clock::boottime());
            tokio::time::sleep(wake.saturating_sub(clock::boottime())).await;
            let now = clock::boottime();
            due = now + timers.renew_every;
            // After a pause of the whole process the gates have not had their chance to tick yet.
            let paused = now.saturating_sub(wake) > timers.renew_every;
            let dispatch_limit = self.candidate.options.dispatch_silence;
            if !paused && let Some(silent) = self.term.gates().silent(now, dispatch_limit, timers) {
                return TermEnd::Sick(silent);
            }
            match self.renew_once().await {
                Renewed::Until(until) => {
                    self.term.authority().extend(until);
                    if std::mem::take(&mut frozen) {
                        tracing::info!(epoch = %self.claim.epoch, "renewed again: the term goes on");
                    }
                }
                Renewed::Not(error) => {
                    if self.term.authority().left().is_zero() && !std::mem::replace(&mut frozen, true) {
                        tracing::warn!(epoch = %self.claim.epoch, %error, "frozen: the lease could not be renewed in time");
                    }
                }
                Renewed::Over(end) => return end,
            }
        }
    }

    async fn renew_once(&self) -> Renewed {
        let sent = clock::boottime();
        let coord = &self.candidate.coord;
        let ttl = match coord.keep_alive(self.claim.lease).await {
            Ok(ttl) => ttl,
            Err(Error::LeaseGone) => return Renewed::Over(TermEnd::LeaseGone),
            Err(error @ (Error::Unreachable(_) | Error::Refused(_))) => return Renewed::Not(error),
        };
        match coord.get(&self.candidate.keys.leader()).await {
            Ok(Some(entry)) if entry.create_revision == self.claim.created => {
                Renewed::Until(sent + ttl.saturating_sub(self.candidate.timers.margin))
            }
            Ok(_) => Renewed::Over(TermEnd::Deposed),
            Err(error) => Renewed::Not(error),
        }
    }

    /// Asks the store to do something, again and again.
    async fn canaries(&self) -> TermEnd {
        let timers = &self.candidate.timers;
        let mut failing = false;
        loop {
            tokio::time::sleep(timers.renew_every).await;
            let sent = clock::boottime();
            let answer =
                tokio::time::timeout(timers.canary_silence, self.store.canary(self.claim.epoch)).await;
            let why = match answer {
                Ok(Ok(())) => {
                    self.term.gates().stored(sent);
                    failing = false;
                    continue;
                }
                Ok(Err(FenceError::Superseded { stored })) => {
                    if stored < self.claim.epoch {
                        tracing::warn!(
                            epoch = %self.claim.epoch, %stored,
                            "the store has gone back: it was restored from a backup, or a replica that lagged took its \
                             place. What it had taken meanwhile is lost; a new term goes on from what it has"
                        );
                    }
                    return TermEnd::Fenced(stored);
                }
                Ok(Err(error @ FenceError::Unavailable(_))) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(epoch = %self.claim.epoch, why, "the store did not do its canary");
            }
        }
    }
}
