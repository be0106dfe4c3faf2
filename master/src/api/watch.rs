//! Streams of a run's events: a snapshot first, then changes and progress, `done` last.
//!
//! Events come in order of their numbers, none left out: what a slow watcher missed is read from the
//! store. Progress is the newest only. The stream ends by itself after `done`; when the term ends it ends
//! UNAVAILABLE, and the client goes on elsewhere with `after_sequence`.

use super::encode;
use super::status;
use super::{Api, Error};
use crate::engine::RunView;
use crate::runtime::{Ask, CoreHandle, RunFeed};
use crate::store::EventRecord;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shanty_model::id::RunId;
use shanty_model::state::RunState;
use shanty_proto::v1 as pb;
use shanty_rt::clock;
use shanty_rt::task::Scope;
use shanty_rt::wire::{self, time::timestamp};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Messages that wait for a slow client before the watcher waits too.
const AHEAD: usize = 16;
/// Silence after which a heartbeat is sent, below the 60 s of common proxies.
const QUIET: Duration = Duration::from_secs(15);
/// Stored events read at once.
const CHUNK: u32 = 500;

/// What to watch, and how.
pub(super) struct Watch {
    pub(super) run: RunId,
    pub(super) after_sequence: u32,
    pub(super) interval: Duration,
    pub(super) fail_on_error: bool,
    pub(super) cancel_on_disconnect: bool,
}

/// How often progress is sent.
pub(super) fn interval(given: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let Some(given) = given else { return Ok(Duration::from_secs(1)) };
    wire::time::duration(&given)
        .filter(|d| (Duration::from_millis(100)..=Duration::from_secs(60)).contains(d))
        .ok_or_else(|| status::invalid_field("interval", "must be 0.1s to 60s"))
}

type Sender = mpsc::Sender<Result<pb::RunEvent, Status>>;

/// Why a watcher stopped before its end.
enum Stopped {
    /// Its client went away.
    ClientGone,
    /// With this for the client.
    Status(Status),
}

impl From<Status> for Stopped {
    fn from(status: Status) -> Stopped {
        Stopped::Status(status)
    }
}

struct Watcher {
    api: Api,
    watch: Watch,
    out: Sender,
    cursor: u32,
}

impl Api {
    /// The stream of a run. A run that does not exist is refused before it begins.
    pub(super) async fn watch(
        &self,
        watch: Watch,
    ) -> Result<BoxStream<'static, Result<pb::RunEvent, Status>>, Status> {
        let core = self.core()?;
        let feed = core.follow(&watch.run).await?;
        let known = match &feed {
            Some(feed) => feed.view.borrow().record.sequence,
            None => self.show_ended_run(&watch.run).await?.sequence,
        };
        if watch.after_sequence > known {
            let message =
                format!("after_sequence {} is beyond the newest event, {known}", watch.after_sequence);
            return Err(status::out_of_range(&message));
        }
        let (out, stream) = mpsc::channel(AHEAD);
        let mut scope = Scope::under(&self.stop);
        let cursor = watch.after_sequence;
        let mut watcher = Watcher { api: self.clone(), watch, out, cursor };
        scope.spawn("watch", async move { watcher.run(core, feed).await });
        // The scope lives as long as the stream: a client that goes away ends its watcher.
        Ok(ReceiverStream::new(stream)
            .map(move |item| {
                let _held = &scope;
                item
            })
            .boxed())
    }
}

impl Watcher {
    async fn run(&mut self, core: CoreHandle, feed: Option<RunFeed>) {
        let guard = CancelGuard::new(&self.watch, &core);
        let stop = self.api.stop.clone();
        let outcome = tokio::select! {
            outcome = self.follow(feed) => outcome,
            () = stop.cancelled() => Err(status::unavailable("SHUTTING_DOWN", "this master is shutting down").into()),
        };
        match outcome {
            Ok(()) => guard.disarm(),
            Err(Stopped::ClientGone) => {}
            Err(Stopped::Status(status)) => {
                guard.disarm();
                // A client that went away meanwhile needs no status.
                let _gone = self.out.send(Err(status)).await;
            }
        }
    }

    async fn follow(&mut self, feed: Option<RunFeed>) -> Result<(), Stopped> {
        let Some(mut feed) = feed else { return self.finish().await };
        let first = feed.view.borrow_and_update().clone();
        if self.watch.after_sequence == 0 {
            self.snapshot(&first).await?;
        } else {
            self.catch_up().await?;
        }
        let mut tick = tokio::time::interval(self.watch.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.reset();
        let mut said = clock::boottime();
        loop {
            if feed.view.borrow().record.state.is_terminal() {
                return self.finish().await;
            }
            let sent = tokio::select! {
                event = feed.events.recv() => match event {
                    Ok(event) => self.event(event).await?,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                    Err(broadcast::error::RecvError::Closed) => return self.closed(&feed).await,
                },
                changed = feed.view.changed() => {
                    if changed.is_err() {
                        return self.closed(&feed).await;
                    }
                    // Progress has its own rhythm; here only the end matters, which the loop's head sees.
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(50)) => {}
                        () = self.out.closed() => return Err(Stopped::ClientGone),
                    }
                    false
                }
                _ = tick.tick() => {
                    let view = feed.view.borrow_and_update().clone();
                    self.progress(&view).await?
                }
                () = self.out.closed() => return Err(Stopped::ClientGone),
            };
            if sent {
                said = clock::boottime();
            } else if clock::boottime().saturating_sub(said) >= QUIET {
                self.send(clock::unix_ms(), pb::run_event::Event::Heartbeat(pb::Heartbeat {})).await?;
                said = clock::boottime();
            }
        }
    }

    /// The feed is closed: the run has ended, or the term has.
    async fn closed(&mut self, feed: &RunFeed) -> Result<(), Stopped> {
        if feed.view.borrow().record.state.is_terminal() {
            return self.finish().await;
        }
        Err(Status::from(Error::NoLeader).into())
    }

    async fn snapshot(&mut self, view: &RunView) -> Result<(), Stopped> {
        self.cursor = view.record.sequence;
        self.send(clock::unix_ms(), pb::run_event::Event::Snapshot(encode::run_view(view))).await?;
        Ok(())
    }

    async fn progress(&mut self, view: &RunView) -> Result<bool, Stopped> {
        match encode::progress(view) {
            Some(progress) => {
                self.send(clock::unix_ms(), pb::run_event::Event::Progress(progress)).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn event(&mut self, record: EventRecord) -> Result<bool, Stopped> {
        if record.sequence <= self.cursor {
            return Ok(false);
        }
        if record.sequence > self.cursor + 1 {
            return self.catch_up().await;
        }
        self.cursor = record.sequence;
        self.out.send(Ok(encode::event(&record))).await.map_err(|_| Stopped::ClientGone)?;
        Ok(true)
    }

    /// Sends all stored events after the cursor.
    async fn catch_up(&mut self) -> Result<bool, Stopped> {
        let mut any = false;
        loop {
            let stored =
                self.api.store.events(&self.watch.run, self.cursor, CHUNK).await.map_err(Status::from)?;
            let Some(last) = stored.last().map(|record| record.sequence) else { return Ok(any) };
            for record in &stored {
                self.out.send(Ok(encode::event(record))).await.map_err(|_| Stopped::ClientGone)?;
            }
            self.cursor = last;
            any = true;
        }
    }

    /// The run has ended: what is left of its events, then `done`.
    async fn finish(&mut self) -> Result<(), Stopped> {
        let id = self.watch.run.clone();
        let run = self.api.show_ended_run(&id).await?;
        if self.watch.after_sequence == 0 && self.cursor == 0 {
            // A run that had ended before the watch began: its snapshot tells all.
            self.cursor = run.sequence;
            self.send(clock::unix_ms(), pb::run_event::Event::Snapshot(run.clone())).await?;
        } else {
            self.catch_up().await?;
        }
        let record = self.api.store.run(&id).await.map_err(Status::from)?;
        let report = record.as_ref().and_then(|record| record.report.as_ref());
        let report = report.map(|report| wire::report::encode(&id, true, report));
        let failed = record.as_ref().is_some_and(|record| record.state != RunState::Succeeded);
        let message = format!("run `{id}` is {}: {}", run.state().as_str_name(), run.state_reason);
        let done = pb::RunDone { run: Some(run), report };
        self.send(clock::unix_ms(), pb::run_event::Event::Done(done)).await?;
        if failed && self.watch.fail_on_error {
            return Err(status::run_failed(&message).into());
        }
        Ok(())
    }

    async fn send(&self, unix_ms: i64, event: pb::run_event::Event) -> Result<(), Stopped> {
        let message =
            pb::RunEvent { sequence: self.cursor, time: Some(timestamp(unix_ms)), event: Some(event) };
        self.out.send(Ok(message)).await.map_err(|_| Stopped::ClientGone)
    }
}

/// Cancels the run when its watcher ends early and the caller wanted that. Works when the task is dropped.
struct CancelGuard {
    armed: Option<(RunId, CoreHandle)>,
}

impl CancelGuard {
    fn new(watch: &Watch, core: &CoreHandle) -> CancelGuard {
        CancelGuard { armed: watch.cancel_on_disconnect.then(|| (watch.run.clone(), core.clone())) }
    }

    fn disarm(mut self) {
        self.armed = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some((run, core)) = self.armed.take() {
            core.ask_and_forget(Ask::CancelRun(run, "its watcher went away".to_owned()));
        }
    }
}
