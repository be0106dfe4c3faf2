//! The attempt as its driver sees it.
//!
//! In: orders from the executor, results from the driver. Out: the other way round.
//! Never: waits, but for room among the results that are kept: then it is the driver that waits.
//! Tests: below.

use super::outbox::Outbox;
use futures_util::future::BoxFuture;
use shanty_model::id::AttemptId;
use shanty_rt::driver::{AttemptPort, Join, StopReason};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, watch};

/// Reports kept without acknowledgement: ten minutes of one a second, far more than load goes on without a master.
pub(super) const KEPT: usize = 600;
/// From this many on, new reports are joined to the newest one, if their kind allows that: work with positions of its own
/// goes on for longer than its reports could be kept one by one.
const JOINED_FROM: usize = 60;
/// Reports are not joined beyond this, bytes: a message has a largest size.
const LARGEST: usize = 1 << 20;

/// What an attempt is to do, as its driver reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    /// JSON of the kind's `Spec`.
    pub(crate) spec: String,
    /// JSON of the kind's `Shard`; empty for none.
    pub(crate) shard: String,
    /// The run's start, nanoseconds of this machine's CLOCK_MONOTONIC.
    pub(crate) start_monotonic_ns: u64,
    /// The run's start on the master's clock, nanoseconds since 1970.
    pub(crate) start_unix_ns: i64,
}

/// Both sides of an attempt.
#[derive(Debug)]
pub(crate) struct Port {
    id: AttemptId,
    work: Work,
    directive: watch::Sender<String>,
    stop: watch::Sender<Option<StopReason>>,
    room: Semaphore,
    join: Join,
    book: Mutex<Book>,
    /// Wakes the executor when there is something to send.
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Book {
    outbox: Outbox,
    applied: u32,
    lateness_p99_ms: f64,
}

impl Port {
    /// The port of an attempt that is about to begin; `wake` is told when there is something to send.
    pub(crate) fn new(id: AttemptId, work: Work, directive: String, join: Join, wake: Arc<Notify>) -> Port {
        Port {
            id,
            work,
            directive: watch::Sender::new(directive),
            stop: watch::Sender::new(None),
            room: Semaphore::new(KEPT),
            join,
            book: Mutex::default(),
            wake,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the driver a newer directive.
    pub(crate) fn direct(&self, directive: String) {
        self.directive.send_replace(directive);
    }

    /// Asks the driver to stop; the first reason stays, except that results may still become unwanted.
    pub(crate) fn ask_to_stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|asked| {
            let news = asked.is_none() || (reason == StopReason::Superseded && *asked != Some(reason));
            if news {
                *asked = Some(reason);
            }
            news
        });
        if reason == StopReason::Superseded {
            self.discard();
        }
    }

    /// Lets all results go and takes no more.
    fn discard(&self) {
        self.room.close();
        self.book().outbox.discard();
    }

    /// Joins a result to the newest one that is kept, if many are. Answers whether it did.
    fn join(&self, partial: &[u8]) -> bool {
        let mut book = self.book();
        book.outbox.len() >= JOINED_FROM
            && book.outbox.join(|newest| {
                let fits = newest.len() + partial.len() <= LARGEST;
                if fits { (self.join)(newest, partial) } else { None }
            })
    }

    /// The first result that is due on the present stream, handed to `send`; it counts as sent if that
    /// answers true. Answers none when nothing is due.
    pub(crate) fn send_next(&self, send: impl FnOnce(u64, &[u8]) -> bool) -> Option<bool> {
        let mut book = self.book();
        let (sequence, partial) = book.outbox.next_due()?;
        let taken = send(sequence, partial);
        if taken {
            book.outbox.sent(sequence);
        }
        Some(taken)
    }

    /// There is a new stream: everything kept is due again.
    pub(crate) fn rewind(&self) {
        self.book().outbox.rewind();
    }

    /// Results up to `sequence` are safe with the master.
    pub(crate) fn ack(&self, sequence: u64) {
        let freed = self.book().outbox.ack(sequence);
        if !self.room.is_closed() {
            self.room.add_permits(freed);
        }
    }

    /// Number of the newest result.
    pub(crate) fn newest(&self) -> u64 {
        self.book().outbox.newest()
    }

    /// Number of the newest result that is safe with a master.
    pub(crate) fn acked(&self) -> u64 {
        self.book().outbox.acked()
    }

    /// Number of the newest directive in force.
    pub(crate) fn applied_change(&self) -> u32 {
        self.book().applied
    }

    /// Newest send lateness, 99th percentile, milliseconds.
    pub(crate) fn lateness_p99_ms(&self) -> f64 {
        self.book().lateness_p99_ms
    }
}

impl AttemptPort for Port {
    fn id(&self) -> &AttemptId {
        &self.id
    }

    fn spec(&self) -> &str {
        &self.work.spec
    }

    fn shard(&self) -> &str {
        &self.work.shard
    }

    fn start_monotonic_ns(&self) -> u64 {
        self.work.start_monotonic_ns
    }

    fn start_unix_ns(&self) -> i64 {
        self.work.start_unix_ns
    }

    fn directives(&self) -> watch::Receiver<String> {
        self.directive.subscribe()
    }

    fn stop(&self) -> watch::Receiver<Option<StopReason>> {
        self.stop.subscribe()
    }

    fn emit(&self, partial: Vec<u8>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.join(&partial) {
                return;
            }
            match self.room.acquire().await {
                Ok(place) => {
                    place.forget();
                    self.book().outbox.push(partial);
                    self.wake.notify_one();
                }
                // Nobody wants the results any more.
                Err(_closed) => {}
            }
        })
    }

    fn applied(&self, revision: u32) {
        let mut book = self.book();
        book.applied = book.applied.max(revision);
        drop(book);
        self.wake.notify_one();
    }

    fn lateness(&self, p99_ms: f64) {
        self.book().lateness_p99_ms = p99_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use shanty_model::kind::db_sync::{Found, Partial, Step};
    use std::time::Duration;

    /// How the worker's driver of this kind joins results.
    fn join_of(kind: &str) -> Join {
        let drivers = crate::drivers::of(&Config::default());
        drivers.iter().find(|driver| driver.kind() == kind).unwrap().join()
    }

    fn port_with(join: Join) -> Port {
        Port::new("a.1/0#1".parse().unwrap(), Work::default(), "1".to_owned(), join, Arc::default())
    }

    fn port() -> Port {
        port_with(|_, _| None)
    }

    /// A report of a range: so many rows are in the target, and a shard was found.
    fn report(second: u32) -> Vec<u8> {
        let step = Step::Copy { table: 0, part: 0 };
        let found = Found { step: Step::Copy { table: 0, part: second }, rows: 1 };
        let partial = Partial { rows: u64::from(second), found: vec![found], ..Partial::new(step) };
        rmp_serde::to_vec_named(&partial).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_without_any_master_goes_on_for_half_an_hour_and_then_tells_all_of_it() {
        const HALF_AN_HOUR: u32 = 1800;
        let port = port_with(join_of("db_sync"));
        let work = async {
            for second in 1..=HALF_AN_HOUR {
                tokio::time::sleep(Duration::from_secs(1)).await;
                port.emit(report(second)).await;
            }
        };
        let limit = Duration::from_secs(u64::from(HALF_AN_HOUR) + 1);
        tokio::time::timeout(limit, work).await.expect("it stalls");
        assert_eq!(port.newest(), u64::try_from(JOINED_FROM).unwrap());

        let mut found = Vec::new();
        let mut rows = 0;
        while let Some(true) = port.send_next(|_, piece| {
            let partial: Partial = rmp_serde::from_slice(piece).unwrap();
            found.extend(partial.found.iter().map(|found| found.step));
            rows = partial.rows;
            true
        }) {}
        let all = (1..=HALF_AN_HOUR).map(|part| Step::Copy { table: 0, part });
        assert_eq!((rows, found), (u64::from(HALF_AN_HOUR), all.collect::<Vec<_>>()));
    }

    #[tokio::test]
    async fn load_is_reported_second_by_second_whatever_waits() {
        let port = port_with(join_of("http_load"));
        let second = rmp_serde::to_vec_named(&shanty_model::kind::http_load::Partial::default()).unwrap();
        for _ in 0..=JOINED_FROM {
            port.emit(second.clone()).await;
        }
        assert_eq!(port.newest(), u64::try_from(JOINED_FROM).unwrap() + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_would_grow_too_large_is_kept_by_itself() {
        let port = port_with(|older, newer| Some([older, newer].concat()));
        for _ in 0..JOINED_FROM {
            port.emit(vec![0; LARGEST]).await;
        }
        port.emit(vec![1]).await;
        port.emit(vec![2]).await;
        assert_eq!(port.newest(), u64::try_from(JOINED_FROM).unwrap() + 1);
    }

    #[tokio::test]
    async fn a_driver_waits_when_too_much_is_kept_and_goes_on_after_an_acknowledgement() {
        let port = port();
        for _ in 0..KEPT {
            port.emit(vec![0]).await;
        }
        let mut waiting = port.emit(vec![1]);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        port.ack(1);
        waiting.await;
        assert_eq!(port.newest(), u64::try_from(KEPT).unwrap() + 1);
    }

    #[tokio::test]
    async fn a_superseded_attempt_keeps_nothing_and_never_waits() {
        let port = port();
        for _ in 0..KEPT {
            port.emit(vec![0]).await;
        }
        let mut waiting = port.emit(vec![1]);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        port.ask_to_stop(StopReason::Cancelled);
        port.ask_to_stop(StopReason::Superseded);
        waiting.await;
        assert_eq!(port.send_next(|_, _| true), None);
        assert_eq!(*port.stop().borrow(), Some(StopReason::Superseded));
        port.ask_to_stop(StopReason::Orphaned);
        assert_eq!(*port.stop().borrow(), Some(StopReason::Superseded));
    }

    #[tokio::test]
    async fn what_the_stream_does_not_take_stays_due() {
        let port = port();
        port.emit(vec![7]).await;
        assert_eq!(port.send_next(|_, _| false), Some(false));
        assert_eq!(port.send_next(|sequence, piece| (sequence, piece) == (1, &[7])), Some(true));
        assert_eq!(port.send_next(|_, _| true), None);
    }

    #[test]
    fn an_older_revision_does_not_undo_a_newer_one() {
        let port = port();
        port.applied(3);
        port.applied(2);
        assert_eq!(port.applied_change(), 3);
    }
}
