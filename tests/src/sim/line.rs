//! A master's line to the store.
//!
//! In: fences, canaries, batches. Out: answers in time, or `Unavailable` while nobody knows what was done. A batch that
//! came back so is asked for again and recognized by its rows, as the SQL store's client does.
//! Tests: with the simulation.

use super::fence::Fence;
use super::net::Party;
use super::world::{Handle, World};
use futures_util::future::BoxFuture;
use shanty_master::election::{FenceError, FenceOutcome, FenceStore};
use shanty_master::engine::Stored;
use shanty_master::store::{Error, Mutation, SeriesRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, RunId};
use shanty_rt::clock;
use shanty_rt::pulse::Pulse;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

/// For a transaction.
const COMMIT: Duration = Duration::from_secs(5);
/// For the fence.
const FENCE: Duration = Duration::from_secs(6);
/// For a canary.
const CANARY: Duration = Duration::from_secs(1);
/// Between two looks at a lock, milliseconds.
const LOCK_MS: u64 = 10;

/// Between two looks at the store.
const LOOK: Duration = Duration::from_secs(1);

/// A line to the store.
#[derive(Debug, Clone)]
pub struct StoreLine {
    /// The world.
    pub world: Handle,
    /// Which master.
    pub me: usize,
    /// Which process.
    pub incarnation: String,
}

/// An answer on its way back.
struct Reply<T> {
    to: Party,
    tell: oneshot::Sender<Result<T, Error>>,
}

impl<T: Send + 'static> Reply<T> {
    fn send(self, world: &mut World, answer: Result<T, Error>) {
        if let Some(delay) = world.net.fate(Party::Store, self.to) {
            // Whoever asked may have given up.
            world.after(delay, "store answers", move |_| drop(self.tell.send(answer)));
        }
    }
}

impl StoreLine {
    async fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        what: &'static str,
        work: impl FnOnce(&mut World, Reply<T>) + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = oneshot::channel();
        let deadline = Instant::now() + patience;
        let reply = Reply { to: Party::Master(self.me), tell };
        self.world.with(|world| {
            if let Some(delay) = world.net.fate(reply.to, Party::Store) {
                world.after(delay, what, move |world| {
                    if world.store.up {
                        work(world, reply);
                    }
                });
            }
        });
        match timeout_at(deadline, told).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_lost)) => sleep_until(deadline).await,
            Err(_elapsed) => {}
        }
        Err(Error::Unavailable("no answer".to_owned()))
    }

    /// What a new leader reads.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn load(&self) -> Result<Stored, Error> {
        self.call(COMMIT, "store loads", |world, reply| {
            let stored = world.store.load();
            reply.send(world, Ok(stored));
        })
        .await
    }

    /// Up to `limit` pieces of results of a run after one of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn series_page(
        &self,
        run: RunId,
        after: Option<(AttemptId, u64)>,
        limit: usize,
    ) -> Result<Vec<SeriesRecord>, Error> {
        self.call(COMMIT, "store reads results", move |world, reply| {
            let page = world.store.series_page(&run, after.as_ref(), limit);
            reply.send(world, Ok(page));
        })
        .await
    }

    /// Does a batch.
    ///
    /// # Errors
    /// As the store's.
    pub async fn commit(&self, epoch: Epoch, batch: Arc<Vec<Mutation>>) -> Result<(), Error> {
        match self.attempt(epoch, batch.clone()).await {
            Err(Error::Unavailable(_)) => self.recommit(epoch, batch).await,
            done => done,
        }
    }

    /// Does a batch of which nobody knows whether it was done.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recommit(&self, epoch: Epoch, batch: Arc<Vec<Mutation>>) -> Result<(), Error> {
        match self.attempt(epoch, batch.clone()).await {
            Err(Error::Conflict(why)) => {
                let look = move |world: &mut World, reply: Reply<bool>| {
                    let stands = world.store.stands(&batch);
                    reply.send(world, Ok(stands));
                };
                if self.call(COMMIT, "store reads back", look).await? {
                    Ok(())
                } else {
                    Err(Error::Conflict(why))
                }
            }
            done => done,
        }
    }

    async fn attempt(&self, epoch: Epoch, batch: Arc<Vec<Mutation>>) -> Result<(), Error> {
        let by = self.incarnation.clone();
        self.call(COMMIT, "store begins", move |world, reply| begin(world, by, epoch, batch, reply)).await
    }
}

fn begin(world: &mut World, by: String, epoch: Epoch, batch: Arc<Vec<Mutation>>, reply: Reply<()>) {
    if let Err(error) = world.begin_commit(epoch, &batch) {
        return reply.send(world, Err(error));
    }
    let work_ms = 1 + world.dice.below(3 + world.store.slow_ms);
    world.after(work_ms, "store commits", move |world| {
        if world.fences.has(Fence::StoreLock) {
            world.end_commit();
        }
        let untold = world.store.ambiguous > 0 && world.dice.one_in(world.store.ambiguous);
        // A server that went down undoes it.
        if !world.store.up || (untold && world.dice.one_in(2)) {
            return;
        }
        if let Err(error) = world.store.agrees(&batch) {
            return reply.send(world, Err(error));
        }
        world.commit(&by, epoch, &batch);
        if !untold {
            reply.send(world, Ok(()));
        }
    });
}

/// Raises the store's epoch once nobody holds the shared lock.
fn raise(world: &mut World, by: String, epoch: Epoch, reply: Option<Reply<FenceOutcome>>) {
    if world.store.readers > 0 && world.store.up {
        return world.after(LOCK_MS, "fence waits", move |world| raise(world, by, epoch, reply));
    }
    let stored = world.store.epoch;
    let outcome = if !world.store.up {
        return;
    } else if stored > epoch || (stored == epoch && world.store.holder != by) {
        FenceOutcome::Behind { stored }
    } else {
        if stored < epoch {
            world.tell(&format!("{by} fences the store with {epoch}"));
        }
        (world.store.epoch, world.store.holder) = (epoch, by);
        FenceOutcome::Fenced
    };
    if let Some(reply) = reply {
        let untold = world.store.ambiguous > 0 && world.dice.one_in(world.store.ambiguous);
        if !untold {
            reply.send(world, Ok(outcome));
        }
    }
}

impl FenceStore for StoreLine {
    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>> {
        Box::pin(async move {
            let by = self.incarnation.clone();
            let lies = self.world.with(|world| {
                let lies = !world.fences.has(Fence::FenceFirst);
                if lies {
                    let later = world.dice.between(500, 2500);
                    let by = by.clone();
                    world.after(later, "store is fenced late", move |world| raise(world, by, epoch, None));
                }
                lies
            });
            if lies == Some(true) {
                return Ok(FenceOutcome::Fenced);
            }
            let done =
                self.call(FENCE, "store is fenced", move |world, reply| raise(world, by, epoch, Some(reply)));
            done.await.map_err(as_fence_error)
        })
    }

    fn canary(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), FenceError>> {
        Box::pin(async move {
            let sing = move |world: &mut World, reply: Reply<()>| {
                let stored = world.store.epoch;
                let heard =
                    stored == epoch || (epoch != Epoch::NONE && !world.fences.has(Fence::CanaryTells));
                let answer = if heard { Ok(()) } else { Err(Error::Fenced { stored, mine: epoch }) };
                reply.send(world, answer);
            };
            self.call(CANARY, "store hears a canary", sing).await.map_err(as_fence_error)
        })
    }
}

/// Looks at the store for ever, and notes when it answered.
pub(super) async fn look_at_store(store: StoreLine, stored: Arc<Pulse>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let sent = clock::boottime();
        if let Ok(()) | Err(FenceError::Superseded { .. }) = store.canary(Epoch::NONE).await {
            stored.beat_at(sent);
        }
    }
}

fn as_fence_error(error: Error) -> FenceError {
    match error {
        Error::Fenced { stored, .. } => FenceError::Superseded { stored },
        error => FenceError::Unavailable(error.to_string()),
    }
}
