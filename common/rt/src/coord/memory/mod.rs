//! A coordinator inside one process: for a cluster of one master, and for tests.
//!
//! In: the calls of [`Coord`]. Out: what etcd would answer. A clone is another handle to the same keys.
//! Leases end on CLOCK_BOOTTIME: every call ends those that are over, and every watch waits for the next
//! end, so no task of its own is needed.
//! Never: writes anything down; a new process begins empty (the store's fence then raises the term).
//! Tests: [`super::conformance`].

mod state;

use super::{Compare, Coord, Entry, Error, LeaseId, Op, TxnOutcome, WatchEvent};
use crate::clock;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use state::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// Events that a slow watch may fall behind before it gets a snapshot instead: a burst of all nodes
/// registering at once fits.
const WATCH_BACKLOG: usize = 1024;

/// The memory coordinator.
#[derive(Debug, Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Sent to under the lock of `state`, so that watchers see the order of changes.
    events: broadcast::Sender<WatchEvent>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl Memory {
    /// An empty coordinator.
    #[must_use]
    pub fn new() -> Memory {
        let (events, _) = broadcast::channel(WATCH_BACKLOG);
        Memory { inner: Arc::new(Inner { state: Mutex::new(State::new()), events }) }
    }
}

impl Inner {
    /// Runs `work` on the state as it is now, with what is over removed, and tells the watchers.
    fn with<T>(&self, work: impl FnOnce(&mut State, Duration) -> (T, Vec<WatchEvent>)) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::boottime();
        let expired = state.expire(now);
        self.tell(expired);
        let (answer, made) = work(&mut state, now);
        self.tell(made);
        answer
    }

    fn tell(&self, events: Vec<WatchEvent>) {
        for event in events {
            // No watcher is fine.
            let _watchers = self.events.send(event);
        }
    }

    fn read<T>(&self, work: impl FnOnce(&State) -> T) -> T {
        self.with(|state, _| (work(state), Vec::new()))
    }
}

impl Coord for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn version(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<(LeaseId, Duration), Error>> {
        async move { Ok((self.inner.with(|state, now| (state.grant(now, ttl), Vec::new())), ttl)) }.boxed()
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, Error>> {
        async move { self.inner.with(|state, now| (state.keep_alive(now, lease), Vec::new())) }.boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.inner.with(|state, _| ((), state.revoke(lease)));
            Ok(())
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        async move { Ok(self.inner.read(|state| state.get(key))) }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        async move { Ok(self.inner.read(|state| state.list(prefix))) }.boxed()
    }

    fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async move {
            self.inner.with(|state, _| match state.txn(&when, then) {
                Ok((outcome, events)) => (Ok(outcome), events),
                Err(error) => (Err(error), Vec::new()),
            })
        }
        .boxed()
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, WatchEvent> {
        let watch = Watch { inner: self.inner.clone(), prefix: prefix.to_owned(), events: None };
        stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await;
            Some((event, watch))
        })
        .boxed()
    }
}

/// One watch: a snapshot, then what is sent after it.
struct Watch {
    inner: Arc<Inner>,
    prefix: String,
    events: Option<broadcast::Receiver<WatchEvent>>,
}

impl Watch {
    async fn next(&mut self) -> WatchEvent {
        loop {
            let Some(events) = &mut self.events else { return self.begin() };
            let wait = self.inner.read(State::next_end).map(|end| end.saturating_sub(clock::boottime()));
            let over = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = events.recv() => event,
                // The next look at the state ends what is over, and sends its events here too.
                () = over => continue,
            };
            match event {
                Ok(event) if self.concerns(&event) => return event,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.events = None,
                // The sender lives in `inner`, which this watch holds.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Subscribes and lists under one lock: nothing is missed and nothing is seen twice.
    fn begin(&mut self) -> WatchEvent {
        let (entries, events) =
            self.inner.read(|state| (state.list(&self.prefix), self.inner.events.subscribe()));
        self.events = Some(events);
        WatchEvent::Snapshot(entries)
    }

    fn concerns(&self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Snapshot(_) => true,
            WatchEvent::Put(entry) => entry.key.starts_with(&self.prefix),
            WatchEvent::Delete { key, .. } => key.starts_with(&self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::conformance;

    #[tokio::test]
    async fn memory_conforms() {
        conformance::run(Arc::new(Memory::new())).await.unwrap();
    }

    #[tokio::test]
    async fn a_watch_that_fell_behind_begins_again_with_a_snapshot() {
        let memory = Memory::new();
        let mut watch = memory.watch("a/");
        assert_eq!(watch.next().await, Some(WatchEvent::Snapshot(Vec::new())));
        for i in 0..=WATCH_BACKLOG {
            let put = Op::Put { key: "a/k".to_owned(), value: i.to_string().into_bytes(), lease: None };
            memory.txn(Vec::new(), vec![put]).await.unwrap();
        }
        let Some(WatchEvent::Snapshot(entries)) = watch.next().await else { panic!("no snapshot") };
        assert_eq!(entries[0].value, WATCH_BACKLOG.to_string().into_bytes());
    }
}
