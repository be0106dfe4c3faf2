//! What a master says, done.
//!
//! Every order carries the master's epoch. It is obeyed when the ledger admits the epoch, and a new epoch is
//! on disk before; an order of an older one is ignored and logged once per session.
//! In: words of masters. Out: changes of the roll.
//! Never: takes an acknowledgement from anybody but the leader.
//! Tests: with masters in `worker/tests/`.

use super::admission::{Admission, Situation, admit};
use super::core::{Executor, NameTaken};
use super::leader::Claim;
use super::line::Line;
use super::roll::{Held, Told};
use crate::attempt::{Port, Work, supervise};
use crate::ledger;
use crate::link::{Assign, Attached, Cancel, Change, Event, Heard, SessionId};
use shanty_model::epoch::Epoch;
use shanty_model::id::AttemptId;
use shanty_model::kind::Shape;
use shanty_rt::driver::StopReason;
use shanty_rt::{clock, task};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// After this time of being refused for its name a worker gives up: longer than a dead one counts as alive.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

impl Executor {
    /// Does what an event asks for.
    pub(super) async fn on_event(&mut self, event: Event) {
        match event {
            Event::Attached(attached) => self.on_attached(attached).await,
            Event::Heard(session, heard) => self.on_heard(session, heard).await,
            Event::Lost(session) => {
                self.sessions.remove(&session);
                self.leader.lost(session);
            }
            Event::Unreached { address } => {
                self.unreached.insert(address);
            }
            Event::NameTaken { why } => self.on_name_taken(why),
        }
    }

    /// A master refused this worker. The other process may be dying: it is waited for a while.
    fn on_name_taken(&mut self, why: String) {
        let now = clock::boottime();
        match self.refused_since {
            None => {
                tracing::warn!(why, "refused by a master; trying for a while");
                self.refused_since = Some(now);
            }
            Some(since) if now.saturating_sub(since) >= GIVES_UP_AFTER && self.name_taken.is_none() => {
                self.name_taken = Some(NameTaken(why));
                self.leave();
            }
            Some(_) => {}
        }
    }

    async fn on_attached(&mut self, attached: Attached) {
        let Attached { session, master, claim, outbound } = attached;
        self.unreached.clear();
        self.refused_since = None;
        let mut line = Line::new(master, outbound);
        line.owe_inventory();
        if self.phase.is_leaving() {
            line.owe_leaving();
        }
        self.sessions.insert(session, line);
        if let Some(epoch) = claim
            && self.claim(session, epoch).await == Some(Claim::Leads)
        {
            self.tell_anew();
        }
    }

    async fn on_heard(&mut self, session: SessionId, heard: Heard) {
        self.leader.heard(session, clock::boottime());
        match heard {
            Heard::Sign(None) => {}
            Heard::Sign(Some(epoch)) => {
                if self.claim(session, epoch).await == Some(Claim::Leads) {
                    self.tell_anew();
                }
            }
            Heard::Announce(epoch) => {
                if matches!(self.claim(session, epoch).await, Some(Claim::Leads | Claim::Known)) {
                    self.tell_anew();
                }
            }
            Heard::Assign(assign) => {
                if self.obeys(session, assign.epoch).await {
                    self.on_assign(session, *assign);
                }
            }
            Heard::Unreadable { epoch, attempt, reason } => {
                if self.obeys(session, epoch).await {
                    self.refuse(session, attempt, reason);
                }
            }
            Heard::Change(change) => {
                if self.obeys(session, change.epoch).await {
                    self.on_change(change);
                }
            }
            Heard::Cancel(cancel) => {
                if self.obeys(session, cancel.epoch).await {
                    self.on_cancel(cancel);
                }
            }
            Heard::Ack { attempt, sequence, ended } => {
                if self.leader.is(session) {
                    self.on_ack(&attempt, sequence, ended);
                }
            }
            Heard::Twin { incarnation } => {
                tracing::warn!(
                    incarnation,
                    "another worker tries to attach under this one's name and is refused: give each a name of its own \
                     with --node"
                );
            }
            Heard::Drain { epoch, drain } => {
                if self.obeys(session, epoch).await {
                    tracing::info!(drain, "told by the master whether to take new work");
                    self.drained = drain;
                }
            }
        }
    }

    /// Whether an order of `epoch` from this session is obeyed. Who gives orders, leads.
    async fn obeys(&mut self, session: SessionId, epoch: Epoch) -> bool {
        match self.claim(session, epoch).await {
            Some(Claim::Known) => true,
            Some(Claim::Leads) => {
                self.tell_anew();
                true
            }
            Some(Claim::Ignored) | None => false,
        }
    }

    /// A session claims to lead: none when the ledger does not admit it.
    async fn claim(&mut self, session: SessionId, epoch: Epoch) -> Option<Claim> {
        let master = self.sessions.get(&session)?.master.clone();
        if !self.admits(session, epoch).await {
            return None;
        }
        let claim = self.leader.claim(session, &master, epoch, clock::boottime());
        if claim == Claim::Leads {
            tracing::info!(%master, %epoch, "master leads");
        }
        Some(claim)
    }

    async fn admits(&mut self, session: SessionId, epoch: Epoch) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        if epoch == ledger.seen() {
            return true;
        }
        // The ledger is away only while this waits, and nothing else runs in this loop meanwhile.
        let Some(mut ledger) = self.ledger.take() else { return false };
        let written = task::blocking("ledger", move || {
            let admission = ledger.admit(epoch);
            (ledger, admission)
        })
        .await;
        let Ok((ledger, admission)) = written else { return false };
        let ledger = self.ledger.insert(ledger);
        match admission {
            Ok(ledger::Admission::Admitted) => {
                self.signals.seen.send_replace(ledger.seen());
                true
            }
            Ok(ledger::Admission::Fenced { seen }) => {
                if self.fenced.insert((session, epoch)) {
                    let ledger = ledger.path().display();
                    tracing::warn!(
                        %epoch, %seen, %ledger,
                        "ignoring a master of an older term; if the cluster was made anew, remove the ledger and restart"
                    );
                }
                false
            }
            Err(error) => {
                tracing::error!(%error, %epoch, "a new term cannot be remembered and is not obeyed");
                false
            }
        }
    }

    fn on_assign(&mut self, session: SessionId, assign: Assign) {
        let situation = Situation {
            held: self.roll.iter().map(|(id, held)| (id, held.is_under_way())).collect(),
            is_over: self.roll.is_over(&assign.attempt, assign.epoch),
            slots: self.options.slots,
            kinds: self.drivers.keys().copied().collect(),
            leaving: self.phase.is_leaving(),
            drained: self.drained,
        };
        match admit(&assign.attempt, &assign.kind, &situation) {
            Admission::Again => {
                let Assign { epoch, attempt, change, directive, .. } = assign;
                self.on_change(Change { epoch, attempt: attempt.clone(), change, directive });
                // The master may not know that it is held: where it is, is told again.
                if let Some(held) = self.roll.get_mut(&attempt) {
                    held.told = Told::default();
                }
            }
            Admission::Refuse(reason) => self.refuse(session, assign.attempt, reason),
            Admission::Take { supersedes } => {
                if let Some(held) = supersedes.as_ref().and_then(|older| self.roll.get_mut(older)) {
                    held.ask_to_stop(StopReason::Superseded, clock::boottime());
                }
                if let Some(line) = self.sessions.get_mut(&session) {
                    line.owe_no_refusal(&assign.attempt);
                }
                self.begin(assign);
            }
        }
    }

    fn begin(&mut self, assign: Assign) {
        let Assign {
            epoch,
            attempt,
            kind,
            spec,
            shard,
            directive,
            change,
            orphan_limit,
            start_monotonic_ns,
            start_unix_ns,
        } = assign;
        let Some(driver) = self.drivers.get(kind.as_str()).cloned() else { return };
        let work = Work { spec, shard, start_monotonic_ns, start_unix_ns };
        let port = Arc::new(Port::new(attempt.clone(), work, directive, driver.join(), self.wake.clone()));
        let abort = CancellationToken::new();
        // The limit of this worker's owner is for load, which nobody may be left to watch. Work with positions of
        // its own is safe to go on with for as long as its master says.
        let cap = match driver.shape() {
            Shape::Rate => self.options.orphan_limit,
            Shape::Divisible | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                orphan_limit.unwrap_or(self.options.orphan_limit)
            }
        };
        let held = Held {
            port: port.clone(),
            change,
            orphan_limit: orphan_limit.map_or(cap, |limit| limit.min(cap)),
            taken: clock::boottime(),
            asked: None,
            end: None,
            abort: abort.clone(),
            told: Told::default(),
        };
        let span = tracing::info_span!(
            "attempt",
            run = %attempt.shard.run,
            shard = attempt.shard.index,
            attempt = attempt.number,
            worker = %self.options.node,
            %epoch,
        );
        span.in_scope(|| tracing::info!(kind, "attempt begins"));
        let ends = self.ends_in.clone();
        self.roll.add(attempt.clone(), held);
        let life = async move {
            let end = supervise(driver, port, abort).await;
            tracing::info!(outcome = ?end.kind, reason = end.reason, "attempt ended");
            // The executor outlives its attempts; were it gone, nobody could be told.
            let _gone = ends.send((attempt, end)).await;
        };
        self.scope.spawn("attempt", life.instrument(span));
    }

    fn on_change(&mut self, order: Change) {
        let Change { epoch: _, attempt, change, directive } = order;
        if let Some(held) = self.roll.get_mut(&attempt)
            && change > held.change
        {
            held.change = change;
            held.port.direct(directive);
        }
    }

    fn on_cancel(&mut self, order: Cancel) {
        let Cancel { epoch: _, attempt, reason, discard } = order;
        let stop = if discard { StopReason::Superseded } else { StopReason::Cancelled };
        match self.roll.get_mut(&attempt) {
            Some(held) => {
                tracing::info!(%attempt, reason, discard, "attempt is asked to stop");
                held.ask_to_stop(stop, clock::boottime());
            }
            // Its end was acknowledged, or it never came; an inventory tells the master.
            None => tracing::debug!(%attempt, "asked to stop an attempt that is not held"),
        }
    }

    fn on_ack(&mut self, attempt: &AttemptId, sequence: u64, ended: bool) {
        let Some(held) = self.roll.get_mut(attempt) else { return };
        held.port.ack(sequence);
        if ended && held.end.is_some() {
            let epoch = self.leader.leading().map_or(Epoch::NONE, |leading| leading.epoch);
            self.roll.forget(attempt, epoch);
        }
    }

    fn refuse(&mut self, session: SessionId, attempt: AttemptId, reason: String) {
        tracing::info!(%attempt, reason, "attempt refused");
        if let Some(line) = self.sessions.get_mut(&session) {
            line.owe_refusal(attempt, reason);
        }
    }
}
