//! The owner loop of a term.

use super::call::{Answer, Ask, Call, Error, RequestKey, SentinelWord};
use super::feed::Feeds;
use super::past::Page;
use super::turn::turn;
use crate::election::{Mandate, Term};
use crate::engine::{Command, Engine, Now, Order, RunView};
use crate::registry::{Outbound, Registry, WorkerEvent};
use crate::store::{self, Mutation, RequestRecord, Store};
use shanty_model::id::{NodeId, RunId};
use shanty_rt::backoff::Backoff;
use shanty_rt::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often time is told to the engine, and views to watchers.
const TICK: Duration = Duration::from_millis(100);
/// An answer that waits for its commit.
type Waiting = (oneshot::Sender<Result<Answer, Error>>, Result<Answer, Error>);

/// The owner of the engine in one term.
pub(super) struct Core<'t> {
    pub(super) engine: Engine,
    pub(super) mandate: &'t Mandate<'t>,
    pub(super) term: &'t Term,
    pub(super) store: Store,
    pub(super) registry: Arc<Registry>,
    pub(super) feeds: Arc<Feeds>,
}

/// Why a term ended from within.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("cannot store what was decided: {0}")]
    Store(#[from] store::Error),
    #[error("the channels of the term are closed")]
    Closed,
}

fn now() -> Now {
    Now { unix_ns: clock::unix_ns(), boot: clock::boottime() }
}

impl Core<'_> {
    /// Runs until the term ends from within; the elector drops it when it ends from without.
    pub(super) async fn run(
        &mut self,
        mut calls: mpsc::Receiver<Call>,
        mut events: mpsc::Receiver<WorkerEvent>,
        mut past: mpsc::Receiver<Page>,
    ) -> Result<(), Ended> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let mut waiting: Vec<Waiting> = Vec::new();
            let mut ticked = false;
            tokio::select! {
                call = calls.recv() => self.take_calls(call.ok_or(Ended::Closed)?, &mut calls, &mut waiting).await?,
                event = events.recv() => self.take_events(event.ok_or(Ended::Closed)?, &mut events),
                // One at a time, with a look at all else after each; what it costs is not for a frozen leader to bear.
                Some(page) = past.recv(), if self.mandate.is_live() => self.take_past(&page),
                _ = tick.tick() => {
                    self.engine.on_tick(now(), !self.mandate.is_live());
                    ticked = true;
                }
            }
            self.carry_out(waiting).await?;
            // Nobody is shown what is not stored yet.
            if ticked {
                self.show_watched();
            }
            self.term.gates().tick_dispatch();
        }
    }

    async fn take_calls(
        &mut self,
        first: Call,
        calls: &mut mpsc::Receiver<Call>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), Ended> {
        for call in turn(first, calls) {
            match call {
                Call::Look(look) => {
                    // Nobody is shown what is not stored yet.
                    if !waiting.is_empty() {
                        self.carry_out(std::mem::take(waiting)).await?;
                    }
                    look(&self.engine, now());
                }
                Call::Heed(SentinelWord { sentinel, voters, found, clocks }) => {
                    self.engine.on_found(now(), &sentinel, &voters, found);
                    self.engine.on_clocks(now(), clocks);
                }
                Call::Resign(target) => {
                    self.carry_out(std::mem::take(waiting)).await?;
                    self.term.resign(target);
                }
                Call::Ask(key, ask, reply) => {
                    let is_keyed = key.is_some();
                    let answer = self.answer(key, *ask).await;
                    waiting.push((reply, answer));
                    // The next one under the same id must see this one stored, and the loop must be seen to live between
                    // any two that ask the store.
                    if is_keyed {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn take_past(&mut self, page: &Page) {
        if let Some(why) = &page.lost {
            self.engine.on_past_lost(now(), &page.run, why);
        }
        self.engine.on_past(&page.run, &page.pieces, page.last);
    }

    async fn answer(&mut self, key: Option<RequestKey>, ask: Ask) -> Result<Answer, Error> {
        if let Some(key) = &key
            && let Some(known) = self.store.request(&key.id).await?
        {
            return self.answer_again(key, &known);
        }
        if !self.mandate.is_live() {
            return Err(Error::Frozen);
        }
        let answer = self.step(ask)?;
        if let Some(RequestKey { id, method, digest }) = key {
            let record = RequestRecord {
                id,
                method: method.to_owned(),
                digest,
                resource: resource(&answer),
                time_ms: now().unix_ms(),
            };
            self.engine.remember(Mutation::RememberRequest(record));
        }
        Ok(answer)
    }

    fn answer_again(&self, key: &RequestKey, known: &RequestRecord) -> Result<Answer, Error> {
        if known.method != key.method || known.digest != key.digest {
            return Err(Error::RequestIdReused(key.id.clone()));
        }
        let unreadable =
            || Error::Store(store::Error::Corrupt(format!("request {}: {}", known.id, known.resource)));
        if let Ok(run) = known.resource.parse::<RunId>() {
            Ok(Answer::Run(run))
        } else if let Some(name) = known.resource.strip_prefix("jobs/") {
            let id = name.parse().map_err(|_| unreadable())?;
            let job = self.engine.any_job(&id).ok_or_else(unreadable)?;
            Ok(Answer::Job(Box::new(job.clone())))
        } else {
            known.resource.parse::<NodeId>().map(Answer::Node).map_err(|_| unreadable())
        }
    }

    fn step(&mut self, ask: Ask) -> Result<Answer, Error> {
        let engine = &mut self.engine;
        let at = now();
        Ok(match ask {
            Ask::StartRun(spec) => Answer::Run(engine.start_run(at, spec)?),
            Ask::RunJob(job) => Answer::Run(engine.run_job(at, &job)?),
            Ask::ChangeRun(run, change) => {
                engine.change_run(at, &run, &change)?;
                Answer::Run(run)
            }
            Ask::CancelRun(run, reason) => {
                engine.cancel_run(at, &run, &reason)?;
                Answer::Run(run)
            }
            Ask::CreateJob(id, draft) => Answer::Job(Box::new(engine.create_job(at, &id, draft)?)),
            Ask::UpdateJob(id, etag, draft) => {
                Answer::Job(Box::new(engine.update_job(at, &id, &etag, draft)?))
            }
            Ask::DeleteJob(id, etag) => Answer::Job(Box::new(engine.delete_job(at, &id, &etag)?)),
            Ask::Cordon(node, cordoned) => {
                engine.cordon(at, &node, cordoned)?;
                Answer::Node(node)
            }
            Ask::Drain(node) => {
                engine.drain(at, &node)?;
                Answer::Node(node)
            }
        })
    }

    fn take_events(&mut self, first: WorkerEvent, events: &mut mpsc::Receiver<WorkerEvent>) {
        // Between two ticks the authority may have run out.
        self.engine.freeze(!self.mandate.is_live());
        for event in turn(first, events) {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: WorkerEvent) {
        let (engine, at) = (&mut self.engine, now());
        match event {
            WorkerEvent::Attached(arrival) => engine.on_attached(at, arrival),
            WorkerEvent::Inventory(node, held) => engine.on_inventory(at, &node, &held),
            WorkerEvent::Heartbeat(node, telemetry, offset_ns) => {
                engine.on_heartbeat(at, &node, telemetry, offset_ns)
            }
            WorkerEvent::Gone(node, incarnation) => engine.on_gone(at, &node, &incarnation),
            WorkerEvent::Twin(node) => engine.on_twin(at, &node),
            WorkerEvent::Leaving(node, reason) => engine.on_leaving(at, &node, &reason),
            WorkerEvent::Update(node, attempt, update) => engine.on_update(at, &node, &attempt, update),
            WorkerEvent::Report(node, attempt, sequence, partial) => {
                engine.on_report(at, &node, &attempt, sequence, partial);
            }
            WorkerEvent::Ended(node, ending) => engine.on_ended(at, &node, ending),
        }
    }

    /// Stores what was decided, then tells the workers, the callers and the watchers.
    async fn carry_out(&mut self, waiting: Vec<Waiting>) -> Result<(), Ended> {
        let ended: Vec<RunView> = self.engine.ended_views(now());
        let commands = self.engine.take_commands();
        let mut batch: Vec<Mutation> = Vec::new();
        let mut orders: Vec<(NodeId, Order)> = Vec::new();
        for command in commands {
            match command {
                Command::Store(mutation) => batch.push(*mutation),
                Command::Tell(node, order) => orders.push((node, order)),
            }
        }
        if !batch.is_empty() {
            self.commit(&batch).await?;
        }
        let epoch = self.mandate.epoch();
        for (node, order) in orders {
            self.registry.send(&node, Outbound::Order(epoch, order));
        }
        for mutation in &batch {
            match mutation {
                Mutation::AppendEvent(event) => self.feeds.tell(event),
                Mutation::AppendNodeEvent(event) => {
                    tracing::info!(node = %event.node, reason = event.reason, "{}", event.message);
                    self.feeds.tell_node(event);
                }
                _ => {}
            }
        }
        for view in ended {
            self.feeds.show(view);
        }
        for (reply, answer) in waiting {
            // A caller that went away needs no answer.
            let _gone = reply.send(answer);
        }
        Ok(())
    }

    /// Commits, trying again while the store is away and this master may still act.
    async fn commit(&self, batch: &[Mutation]) -> Result<(), Ended> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        let mut done = self.store.commit(self.mandate, batch).await;
        while let Err(error @ store::Error::Unavailable(_)) = &done
            && self.mandate.is_live()
        {
            tracing::warn!(%error, mutations = batch.len(), "store does not take a batch; trying again");
            tokio::time::sleep(backoff.next_wait()).await;
            done = self.store.recommit(self.mandate, batch).await;
        }
        Ok(done?)
    }

    fn show_watched(&self) {
        for run in self.feeds.watched() {
            if let Some(view) = self.engine.view(now(), &run) {
                self.feeds.show(view);
            }
        }
    }
}

fn resource(answer: &Answer) -> String {
    match answer {
        Answer::Run(run) => run.resource(),
        Answer::Job(job) => job.id.resource(),
        Answer::Node(node) => node.resource(),
    }
}
