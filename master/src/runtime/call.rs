//! What the API asks of the leading core, and the handle to ask with.
//!
//! In: callers' wishes. Out: calls for the owner loop, and its answers. Never: a view of a run that nobody would tell the end of.
//! Tests: below.

use super::feed::{Feeds, RunFeed};
use crate::engine::{Engine, Found, JobDraft, Now, Refused};
use crate::store::{self, JobRecord, NodeEventRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{JobId, NodeId, RunId};
use shanty_model::kind::{Change, Spec};
use shanty_rt::pulse::Pulse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Something to be changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Start a run without a job.
    StartRun(Spec),
    /// Start a run of a job.
    RunJob(JobId),
    /// Change a run under way.
    ChangeRun(RunId, Change),
    /// Ask a run to stop.
    CancelRun(RunId, String),
    /// Keep a job.
    CreateJob(JobId, JobDraft),
    /// Replace a job's definition, if its etag is this (or none is given).
    UpdateJob(JobId, String, JobDraft),
    /// Remove a job, if its etag is this (or none is given).
    DeleteJob(JobId, String),
    /// Give a worker no new work, or some again.
    Cordon(NodeId, bool),
    /// Hand a worker's work to the others.
    Drain(NodeId),
}

/// What was made or changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A run.
    Run(RunId),
    /// A job as it is now.
    Job(Box<JobRecord>),
    /// A worker.
    Node(NodeId),
}

/// A caller's request id, with what tells the same request from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's `request_id`.
    pub id: String,
    /// Name of the method.
    pub method: &'static str,
    /// Digest of the request without its id.
    pub digest: String,
}

/// Why the core did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The request id was used for another request.
    #[error("request_id `{0}` was used for another request")]
    RequestIdReused(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Nobody leads here, or the term ended meanwhile; it may or may not have been done.
    #[error("no leader right now: try again")]
    NoLeader,
    /// The leader's authority is in doubt: it decides nothing until the coordinator answers.
    #[error("the leader is frozen: its coordinator does not answer")]
    Frozen,
}

/// What a sentinel says.
#[derive(Debug, Clone, PartialEq)]
pub struct SentinelWord {
    /// Who says it.
    pub sentinel: NodeId,
    /// The sentinels that vote.
    pub voters: Vec<NodeId>,
    /// Workers that it looked at.
    pub found: Vec<Found>,
    /// Clocks of other nodes minus this leader's, milliseconds.
    pub clocks: BTreeMap<NodeId, i64>,
}

/// A read of the engine, on its owner's thread.
pub(super) type Look = Box<dyn FnOnce(&Engine, Now) + Send>;

pub(super) enum Call {
    Ask(Option<RequestKey>, Box<Ask>, oneshot::Sender<Result<Answer, Error>>),
    Look(Look),
    Heed(SentinelWord),
    Resign(Option<NodeId>),
}

/// A handle on the leading core of one term.
#[derive(Debug, Clone)]
pub struct CoreHandle {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) epoch: Epoch,
    pub(super) since_unix_ms: i64,
    pub(super) dispatched: Arc<Pulse>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Call::Ask(key, ask, _) => f.debug_tuple("Ask").field(key).field(ask).finish(),
            Call::Look(_) => f.write_str("Look"),
            Call::Heed(word) => f.debug_tuple("Heed").field(word).finish(),
            Call::Resign(target) => f.debug_tuple("Resign").field(target).finish(),
        }
    }
}

impl CoreHandle {
    /// Asks for a change; answers when it is stored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, key: Option<RequestKey>, ask: Ask) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call::Ask(key, Box::new(ask), reply)).await.map_err(|_| Error::NoLeader)?;
        answer.await.map_err(|_| Error::NoLeader)?
    }

    /// Asks for a change without waiting for it. Lost when the core is very busy: for wishes that have
    /// another way to come true, such as the end of a run that nobody watches.
    pub fn ask_and_forget(&self, ask: Ask) {
        let (reply, _nobody) = oneshot::channel();
        if self.calls.try_send(Call::Ask(None, Box::new(ask), reply)).is_err() {
            tracing::warn!("the core is too busy for a request that nobody waits for");
        }
    }

    /// Reads the engine.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when the term has ended.
    pub async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine, Now) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |engine, now| {
            // A caller that went away needs no answer.
            let _gone = reply.send(read(engine, now));
        });
        self.calls.send(Call::Look(look)).await.map_err(|_| Error::NoLeader)?;
        answer.await.map_err(|_| Error::NoLeader)
    }

    /// Takes a sentinel's word in.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when the term has ended.
    pub async fn heed(&self, word: SentinelWord) -> Result<(), Error> {
        self.calls.send(Call::Heed(word)).await.map_err(|_| Error::NoLeader)
    }

    /// Gives leadership up, to `target` if named, else to the best master that is up. What was asked before
    /// is stored first.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when the term has ended.
    pub async fn resign(&self, target: Option<NodeId>) -> Result<(), Error> {
        self.calls.send(Call::Resign(target)).await.map_err(|_| Error::NoLeader)
    }

    /// Follows a run that has not ended; none for one that has or is unknown.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when the term has ended.
    pub async fn follow(&self, run: &RunId) -> Result<Option<RunFeed>, Error> {
        let (run, feeds) = (run.clone(), self.feeds.clone());
        // In the loop's own turn: a run that ended between the look and the feed would not be told to the feed, ever.
        self.look(move |engine, now| engine.view(now, &run).map(|view| feeds.follow(&run, view))).await
    }

    /// Follows what happens to nodes and to leadership.
    #[must_use]
    pub fn follow_nodes(&self) -> broadcast::Receiver<NodeEventRecord> {
        self.feeds.follow_nodes()
    }

    /// The term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// For how long its loop has not turned.
    #[must_use]
    pub fn dispatch_silence(&self, now: Duration) -> Duration {
        self.dispatched.silence(now)
    }

    /// When the term began, milliseconds since 1970.
    #[must_use]
    pub fn since_unix_ms(&self) -> i64 {
        self.since_unix_ms
    }
}

/// Whether a core leads in this process now, and how to reach it.
#[derive(Debug, Clone)]
pub struct Leading {
    pub(super) handle: watch::Sender<Option<CoreHandle>>,
}

impl Default for Leading {
    fn default() -> Self {
        Leading { handle: watch::Sender::new(None) }
    }
}

impl Leading {
    /// The leading core.
    ///
    /// # Errors
    /// [`Error::NoLeader`] when none leads here.
    pub fn core(&self) -> Result<CoreHandle, Error> {
        self.handle.borrow().clone().ok_or(Error::NoLeader)
    }

    /// Wakes when it changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<CoreHandle>> {
        self.handle.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Options, Stored};
    use shanty_model::kind::http_load;

    #[tokio::test]
    async fn a_run_that_ends_right_after_it_was_looked_at_is_seen_to_end_by_its_follower() {
        let now = Now { unix_ns: 1_700_000_000_000_000_000, boot: Duration::from_secs(1000) };
        let me = "m1".parse().unwrap();
        let mut engine = Engine::take_over(now, Epoch(1), &me, Options::default(), Stored::default());
        let spec = http_load::Spec {
            url: "http://target:1/".to_owned(),
            rate: Some(10.0),
            duration: Some(Duration::from_secs(10)),
            ..http_load::Spec::default()
        };
        let run = engine.start_run(now, Spec::HttpLoad(spec)).unwrap();
        let _stored = engine.take_commands();
        let (calls, mut asked) = mpsc::channel(1);
        let feeds = Arc::new(Feeds::default());
        let dispatched = Arc::new(Pulse::new());
        let handle =
            CoreHandle { calls, feeds: feeds.clone(), epoch: Epoch(1), since_unix_ms: 0, dispatched };
        let id = run.clone();
        // The loop's turns are quicker than the caller.
        let turns = async {
            let Some(Call::Look(look)) = asked.recv().await else { panic!("not a look") };
            look(&engine, now);
            engine.cancel_run(now, &id, "cancelled by a user").unwrap();
            engine.ended_views(now).into_iter().for_each(|view| feeds.show(view));
        };
        let (feed, ()) = tokio::join!(handle.follow(&run), turns);
        let feed = feed.unwrap().expect("it had not ended when it was looked at");
        assert!(feed.view.borrow().record.state.is_terminal());
    }
}
