//! A watch that does not miss what it waits for.
//!
//! It lists, then watches from the revision after the list. When the stream ends, is cancelled
//! (compaction), or says nothing for [`SILENCE`] although progress was asked for, it begins again with a
//! list. It lists again each [`REREAD`] too, and begins anew when what it was told does not agree: etcd
//! does not bound the delay of its watches, and has had bugs that lost events.
//! In: an [`Etcd`] and a prefix. Out: [`WatchEvent`]s, the first of each session a snapshot.
//! Never: ends.
//! Tests: the `coord` test of the tests crate.

use super::{Etcd, convert};
use crate::backoff::Backoff;
use crate::coord::{Entry, Error, WatchEvent};
use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often the server is asked for a sign of life.
const PROGRESS: Duration = Duration::from_secs(1);
/// How long it may say nothing.
const SILENCE: Duration = Duration::from_secs(3);
/// How often what was told is compared with a fresh list.
const REREAD: Duration = Duration::from_secs(10);

pub(super) fn follow(etcd: Etcd, prefix: String) -> BoxStream<'static, WatchEvent> {
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let watch = Watch { etcd, prefix, session: None, ready: VecDeque::new(), backoff };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await;
        Some((event, watch))
    })
    .boxed()
}

struct Watch {
    etcd: Etcd,
    prefix: String,
    session: Option<Session>,
    ready: VecDeque<WatchEvent>,
    backoff: Backoff,
}

/// What a step did.
enum Step {
    /// A stream was opened; whether its server speaks is not known yet.
    Opened,
    /// The server was heard.
    Heard,
}

/// A stream of one server and what it has told.
struct Session {
    stream: WatchStream,
    /// Key → mod revision.
    told: BTreeMap<String, i64>,
    reread_at: Instant,
}

impl Watch {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let step = match &mut self.session {
                None => self.begin().await,
                Some(session) if Instant::now() >= session.reread_at => self.reread().await,
                Some(session) => session.step(&mut self.ready).await,
            };
            match step {
                Ok(Step::Heard) => self.backoff.reset(),
                Ok(Step::Opened) => {}
                Err(error) => {
                    tracing::debug!(prefix = %self.prefix, %error, "watch begins again");
                    self.session = None;
                    tokio::time::sleep(self.backoff.next_wait()).await;
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<Step, Error> {
        let (entries, revision) = self.etcd.read_prefix(&self.prefix).await?;
        self.open(entries, revision).await
    }

    /// Opens a stream for what comes after `revision`, and tells `entries`.
    async fn open(&mut self, entries: Vec<Entry>, revision: i64) -> Result<Step, Error> {
        let prefix = &self.prefix;
        let stream = self
            .etcd
            .inner
            .call(|mut client| async move {
                let options = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
                client.watch(prefix.as_str(), Some(options)).await
            })
            .await?;
        let told = entries.iter().map(|entry| (entry.key.clone(), entry.mod_revision)).collect();
        self.session = Some(Session { stream, told, reread_at: Instant::now() + REREAD });
        self.ready.push_back(WatchEvent::Snapshot(entries));
        Ok(Step::Opened)
    }

    /// Compares with a fresh list; begins anew from it when they differ.
    async fn reread(&mut self) -> Result<Step, Error> {
        let (entries, revision) = self.etcd.read_prefix(&self.prefix).await?;
        let Some(session) = &mut self.session else { return Ok(Step::Opened) };
        let same = entries.len() == session.told.len()
            && entries.iter().all(|entry| session.told.get(&entry.key) == Some(&entry.mod_revision));
        if same {
            session.reread_at = Instant::now() + REREAD;
            return Ok(Step::Heard);
        }
        // Late or lost, the list is the truth now.
        self.open(entries, revision).await
    }
}

impl Session {
    /// Waits for the next message. Silence counts while somebody waits: a slow reader is not a dead server.
    async fn step(&mut self, ready: &mut VecDeque<WatchEvent>) -> Result<Step, Error> {
        let began = Instant::now();
        while began.elapsed() < SILENCE {
            match timeout(PROGRESS, self.stream.message()).await {
                Ok(Ok(Some(message))) => return self.take(&message, ready),
                Ok(Ok(None)) => return Err(Error::Unreachable("the watch stream ended".to_owned())),
                Ok(Err(error)) => return Err(Error::Unreachable(error.to_string())),
                // The channel of requests holds 100; a full one is a dead stream.
                Err(_) => match timeout(PROGRESS, self.stream.request_progress()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(Error::Unreachable(error.to_string())),
                    Err(_) => break,
                },
            }
        }
        Err(Error::Unreachable(format!("the watch was silent for {:?}", began.elapsed())))
    }

    fn take(&mut self, message: &WatchResponse, ready: &mut VecDeque<WatchEvent>) -> Result<Step, Error> {
        if message.canceled() || message.compact_revision() > 0 {
            let why = message.cancel_reason();
            return Err(Error::Refused(format!("the watch was cancelled: {why}")));
        }
        for event in message.events() {
            let Some(kv) = event.kv() else { continue };
            let entry = convert::entry(kv)?;
            match event.event_type() {
                EventType::Put => {
                    self.told.insert(entry.key.clone(), entry.mod_revision);
                    ready.push_back(WatchEvent::Put(entry));
                }
                EventType::Delete => {
                    self.told.remove(&entry.key);
                    ready.push_back(WatchEvent::Delete { key: entry.key, revision: entry.mod_revision });
                }
            }
        }
        Ok(Step::Heard)
    }
}
