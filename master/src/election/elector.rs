//! The elector: runs for the life of a master; campaigns, wins, reigns, loses, and campaigns again.
//!
//! In: a coordinator, a store to fence, a [`Reign`], a stop token. Out: the reign is polled only between
//! "the store is fenced" and "the term is over", and dropped at once then.
//! Owns the term; the renewal beside it runs as a task of its own, so that it goes on while the reign is
//! busy, and stops when the elector is dropped.
//! Tests: `elector_test.rs`, and the `coord` test of the tests crate.

use super::claim::{Candidate, Claim};
use super::fence::{FenceError, FenceStore};
use super::mandate::Mandate;
use super::options::{Options, Timers};
use super::renewal::{Renewal, TermEnd};
use super::term::Term;
use super::turn;
use super::view::{Board, Leadership, Members};
use futures_util::future::BoxFuture;
use shanty_model::epoch::Epoch;
use shanty_rt::backoff::Backoff;
use shanty_rt::clock;
use shanty_rt::coord::{Coord, Error, Keys, LeaseId, NameTaken, NodeInfo, Registration, Role};
use shanty_rt::pulse::Pulse;
use shanty_rt::task::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Time to live of a master's registration: it is not what leads, so it may be slower than the lease that is.
const REGISTRATION_TTL: Duration = Duration::from_secs(10);

/// All that a leader does.
pub trait Reign: Send {
    /// Leads. Polled while the term lasts and dropped when it is over, at whichever await it is; begins anew
    /// with the next term. Returning ends the term.
    fn reign<'t>(&'t mut self, mandate: Mandate<'t>, term: &'t Term) -> BoxFuture<'t, ()>;
}

/// A master's part in the election.
pub struct Elector {
    candidate: Candidate,
    store: Arc<dyn FenceStore>,
    board: Board,
    /// No attempt before this, CLOCK_BOOTTIME: a master that was sick lets others try first.
    rest_until: Duration,
    /// A lease that may own the leader key while a claim is under way.
    held: Option<LeaseId>,
    /// It was said that the store keeps this master from leading.
    storeless: bool,
    /// Beats while it campaigns.
    pulse: Arc<Pulse>,
}

impl std::fmt::Debug for Elector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elector").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}

impl Elector {
    /// An elector that has not begun.
    #[must_use]
    pub fn new(coord: Arc<dyn Coord>, store: Arc<dyn FenceStore>, options: Options) -> Elector {
        let keys = Keys::new(&options.cluster);
        let timers = Timers::for_ttl(options.lease_ttl);
        let candidate = Candidate { coord, keys, options, timers };
        Elector {
            candidate,
            store,
            board: Board::new(),
            rest_until: Duration::ZERO,
            held: None,
            storeless: false,
            pulse: Arc::default(),
        }
    }

    /// Who leads, for as long as this master runs.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.board.leadership.subscribe()
    }

    /// Which nodes are registered, for as long as this master runs.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Members> {
        self.board.members.subscribe()
    }

    /// Becomes some when another master turns out to have this one's name.
    #[must_use]
    pub fn name_taken(&self) -> watch::Receiver<Option<NameTaken>> {
        self.board.taken.subscribe()
    }

    /// Its signs of life while it stands by and campaigns, a few seconds apart, up to half a minute while it takes over.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Takes part until `stop`; then the reign is dropped, the leader key handed over and the registration
    /// removed. A reign that has something to flush does so and calls [`Term::resign`] before `stop`.
    pub async fn run(mut self, reign: &mut dyn Reign, stop: CancellationToken) {
        let mut beside = Scope::under(&stop);
        let (coord, keys) = (self.candidate.coord.clone(), self.candidate.keys.clone());
        let info = self.candidate.options.node_info();
        let key = keys.node(Role::Master, &info.node);
        let registered = Registration::keep(coord.clone(), key, info, REGISTRATION_TTL, stop.clone());
        let taken = self.board.taken.clone();
        beside.spawn("master registration", async move {
            if let Err(found) = registered.await {
                taken.send_replace(Some(found));
            }
        });
        let (follow, until) = (self.board.clone().follow(coord, keys), beside.token());
        beside.spawn("election view", async move {
            until.run_until_cancelled(follow).await;
        });
        while let Some(claim) = stop.run_until_cancelled(self.win()).await {
            self.hold(reign, claim, &stop).await;
        }
        if let Some(lease) = self.held.take() {
            self.candidate.forget(lease).await;
        }
        // The registration's last word is one call with a deadline of its own.
        beside.drain(REGISTRATION_TTL / 2).await;
    }

    /// Waits for its turn, takes the key and fences the store.
    async fn win(&mut self) -> Claim {
        let mut stirred = self.board.stirred.subscribe();
        let mut vacant_since = None;
        let mut refused = None;
        let mut backoff =
            Backoff::new(self.candidate.timers.renew_every / 5, self.candidate.timers.renew_every);
        loop {
            stirred.mark_unchanged();
            self.pulse.beat();
            let wait = match self.attempt(&mut vacant_since).await {
                Ok(Attempt::Won(claim)) => return claim,
                Ok(Attempt::Later(wait)) => {
                    backoff.reset();
                    wait
                }
                Err(error) => {
                    tell(&error, &mut refused);
                    backoff.next_wait()
                }
            };
            tokio::select! {
                biased;
                _ = stirred.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn attempt(&mut self, vacant_since: &mut Option<Duration>) -> Result<Attempt, Error> {
        let timers = self.candidate.timers;
        let ballot = self.candidate.ballot().await?;
        if ballot.leader.is_some() {
            *vacant_since = None;
            // The watch tells when it goes; this is for a watch that does not.
            return Ok(Attempt::Later(timers.renew_every * 2));
        }
        let now = clock::boottime();
        let since = *vacant_since.get_or_insert(now);
        let me = &self.candidate.options.node;
        let turn = {
            let members = self.board.members.borrow();
            let (nominee, last) = (ballot.nominee.as_ref(), ballot.last.as_ref());
            turn::wait(&timers, me, nominee, last, &members.masters)
        };
        // Whoever nominated this master has seen it well, and everybody waits for it.
        let named = ballot.nominee.as_ref().is_some_and(|nominee| nominee.candidates.contains(me));
        let due = if named { since + turn } else { (since + turn).max(self.rest_until) };
        if due > now {
            return Ok(Attempt::Later(due - now));
        }
        let (anothers, trouble) = tokio::join!(self.name_is_anothers(), self.store_trouble());
        let storeless = trouble.is_some();
        self.tell_of_the_store(trouble);
        if anothers? || storeless {
            return Ok(Attempt::Later(timers.renew_every));
        }
        let seen = self.board.leadership.borrow().largest_epoch;
        let Some(mut claim) = self.candidate.take(&ballot, seen, &mut self.held).await? else {
            return Ok(Attempt::Later(timers.stagger));
        };
        *vacant_since = None;
        if self.candidate.fence(self.store.as_ref(), &mut claim).await {
            self.held = None;
            return Ok(Attempt::Won(claim));
        }
        self.candidate.release(&claim, None, "could not fence the store").await;
        self.held = None;
        self.rest();
        Ok(Attempt::Later(timers.renew_every))
    }

    /// Whether another process is registered under this master's name: others would look for the leader at its address.
    async fn name_is_anothers(&self) -> Result<bool, Error> {
        let Candidate { coord, keys, options, .. } = &self.candidate;
        let entry = coord.get(&keys.node(Role::Master, &options.node)).await?;
        let registered = entry.and_then(|entry| NodeInfo::from_value(&entry.value));
        Ok(registered.is_some_and(|other| {
            other.incarnation != options.incarnation && other.address != options.address
        }))
    }

    /// What would make a term useless: without the store nobody can lead, and terms would only be used up.
    async fn store_trouble(&self) -> Option<String> {
        let limit = self.candidate.timers.canary_silence;
        match tokio::time::timeout(limit, self.store.canary(Epoch::NONE)).await {
            Ok(Ok(()) | Err(FenceError::Superseded { .. })) => None,
            Ok(Err(FenceError::Unavailable(why))) => Some(why),
            Err(_) => Some("it does not answer in time".to_owned()),
        }
    }

    /// Says so when it is not as it was.
    fn tell_of_the_store(&mut self, trouble: Option<String>) {
        if std::mem::replace(&mut self.storeless, trouble.is_some()) == trouble.is_some() {
            return;
        }
        match trouble {
            Some(why) => tracing::warn!(
                why,
                "nobody leads, and this master does not try without its store: see that the database of `master.store` runs \
                 and can be written to"
            ),
            None => tracing::info!("the store answers this master again"),
        }
    }

    /// Reigns until the term is over, then gives the key back.
    async fn hold(&mut self, reign: &mut dyn Reign, claim: Claim, stop: &CancellationToken) {
        self.pulse.beat();
        let epoch = claim.epoch;
        let until = claim.sent + claim.ttl.saturating_sub(self.candidate.timers.margin);
        let term = Arc::new(Term::begin(epoch, until, self.candidate.options.disk.clone()));
        tracing::info!(%epoch, node = %self.candidate.options.node, "leading");
        let mut renewing = Scope::new();
        let (tell, renewed) = oneshot::channel();
        let renewal = Renewal {
            candidate: self.candidate.clone(),
            store: self.store.clone(),
            claim: claim.clone(),
            term: term.clone(),
        };
        renewing.spawn("lease renewal", async move {
            let end = renewal.keep().await;
            // Told first, so that a reign which does not hang is over at once, whatever the coordinator does. Nobody listens
            // when the term ended otherwise.
            let _unheard = tell.send(end.clone());
            renewal.give_back(&end).await;
        });
        self.board.reigns(self.candidate.leader_info(epoch));
        let end = tokio::select! {
            biased;
            end = renewed => end.unwrap_or(TermEnd::Unrenewed),
            () = stop.cancelled() => TermEnd::Stopped,
            target = term.resigned() => TermEnd::Resigned(target),
            () = reign.reign(Mandate::new(term.authority()), &term) => TermEnd::Returned,
        };
        self.pulse.beat();
        drop(renewing);
        self.board.reigned(&self.candidate.options.incarnation);
        tracing::info!(%epoch, reason = %end, "leading no more");
        self.conclude(&claim, &end).await;
    }

    async fn conclude(&mut self, claim: &Claim, end: &TermEnd) {
        let heir = match end {
            // There is nothing left to give back.
            TermEnd::LeaseGone | TermEnd::Deposed => return,
            // Whoever fenced the store is ahead of us; it, or a term raised above it, follows.
            TermEnd::Fenced(_) | TermEnd::Stopped => None,
            TermEnd::Resigned(target) => target.clone(),
            TermEnd::Sick(_) | TermEnd::Returned | TermEnd::Unrenewed => {
                self.rest();
                None
            }
        };
        self.candidate.release(claim, heir, &end.to_string()).await;
    }

    /// Lets others try first, if there are any.
    fn rest(&mut self) {
        let timers = &self.candidate.timers;
        let me = &self.candidate.options.node;
        let others = self.board.members.borrow().masters.keys().any(|node| node != me);
        self.rest_until = clock::boottime() + if others { timers.lease_ttl } else { timers.renew_every };
    }
}

/// A coordinator that cannot be reached is told of elsewhere; one that says no says it to people, once.
fn tell(error: &Error, refused: &mut Option<String>) {
    match error {
        Error::Refused(why) if refused.as_ref() != Some(why) => {
            tracing::warn!(why, "nobody leads, and this master cannot: the coordinator refuses");
            *refused = Some(why.clone());
        }
        Error::Refused(_) | Error::Unreachable(_) | Error::LeaseGone => {
            tracing::debug!(%error, "cannot campaign yet");
        }
    }
}

/// What came of an attempt to lead.
enum Attempt {
    Won(Claim),
    /// Not now; try again after this, or when the election's keys change.
    Later(Duration),
}

#[cfg(test)]
#[path = "elector_test.rs"]
mod tests;
