//! The world of an attempt.

use super::DriverError;
use futures_util::future::BoxFuture;
use shanty_model::id::AttemptId;
use shanty_model::kind::Kind;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Why an attempt is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The run was cancelled, or this worker is leaving: results are wanted up to now.
    Cancelled,
    /// Another attempt has taken over; results are not wanted.
    Superseded,
    /// No master was heard for longer than the orphan limit.
    Orphaned,
}

/// The executor's side of an attempt, with its types erased.
pub trait AttemptPort: Send + Sync + 'static {
    /// The attempt.
    fn id(&self) -> &AttemptId;
    /// JSON of the kind's `Spec`.
    fn spec(&self) -> &str;
    /// JSON of the kind's `Shard`; empty where what is to be done is in the directive.
    fn shard(&self) -> &str;
    /// The run's start, nanoseconds of this machine's CLOCK_MONOTONIC. May lie ahead.
    fn start_monotonic_ns(&self) -> u64;
    /// The run's start on the master's clock, nanoseconds since 1970: the same for every attempt of the run.
    fn start_unix_ns(&self) -> i64;
    /// JSON of the kind's `Directive`, newest value first known.
    fn directives(&self) -> watch::Receiver<String>;
    /// Set when the attempt shall stop.
    fn stop(&self) -> watch::Receiver<Option<StopReason>>;
    /// Takes one piece of results. Waits while too many are unacknowledged.
    fn emit(&self, partial: Vec<u8>) -> BoxFuture<'_, ()>;
    /// The directive of this revision is in force.
    fn applied(&self, revision: u32);
    /// Tells the newest send lateness, 99th percentile in milliseconds, for telemetry.
    fn lateness(&self, p99_ms: f64);
}

/// All that a driver may touch.
pub struct AttemptContext<K: Kind> {
    port: Arc<dyn AttemptPort>,
    spec: K::Spec,
    shard: K::Shard,
    kind: PhantomData<K>,
}

impl<K: Kind> AttemptContext<K> {
    /// The typed view of `port`.
    ///
    /// # Errors
    /// A permanent error when the spec or the shard is not the kind's.
    pub fn open(port: Arc<dyn AttemptPort>) -> Result<AttemptContext<K>, DriverError> {
        let unreadable = |what: &str, error| DriverError::Permanent(format!("unreadable {what}: {error}"));
        let spec = serde_json::from_str(port.spec()).map_err(|error| unreadable("spec", error))?;
        let shard = if port.shard().is_empty() { "null" } else { port.shard() };
        let shard = serde_json::from_str(shard).map_err(|error| unreadable("shard", error))?;
        Ok(AttemptContext { port, spec, shard, kind: PhantomData })
    }

    /// The attempt.
    #[must_use]
    pub fn id(&self) -> &AttemptId {
        self.port.id()
    }

    /// What the user asked for.
    #[must_use]
    pub fn spec(&self) -> &K::Spec {
        &self.spec
    }

    /// What this shard is to do.
    #[must_use]
    pub fn shard(&self) -> &K::Shard {
        &self.shard
    }

    /// The run's start, nanoseconds of this machine's CLOCK_MONOTONIC.
    #[must_use]
    pub fn start_monotonic_ns(&self) -> u64 {
        self.port.start_monotonic_ns()
    }

    /// The run's start on the master's clock, nanoseconds since 1970. It is the same for every attempt of the
    /// run, on whichever worker: with the run's id it tells the run from every other, those of another cluster
    /// with the same names included.
    #[must_use]
    pub fn start_unix_ns(&self) -> i64 {
        self.port.start_unix_ns()
    }

    /// The newest directive.
    ///
    /// # Errors
    /// A permanent error when it is not the kind's.
    pub fn directive(&self) -> Result<K::Directive, DriverError> {
        let directives = self.port.directives();
        let text = directives.borrow();
        serde_json::from_str(&text)
            .map_err(|error| DriverError::Permanent(format!("unreadable directive: {error}")))
    }

    /// Wakes when the directive changes; read it with [`Self::directive`].
    #[must_use]
    pub fn directive_changes(&self) -> watch::Receiver<String> {
        self.port.directives()
    }

    /// Becomes `Some` when the attempt shall stop.
    #[must_use]
    pub fn stopped(&self) -> watch::Receiver<Option<StopReason>> {
        self.port.stop()
    }

    /// Hands over one piece of results; pieces are numbered in this order and each is counted once.
    ///
    /// # Errors
    /// A permanent error when the piece cannot be encoded.
    pub async fn emit(&self, partial: &K::Partial) -> Result<(), DriverError> {
        let bytes = rmp_serde::to_vec_named(partial)
            .map_err(|error| DriverError::Permanent(format!("results cannot be encoded: {error}")))?;
        self.port.emit(bytes).await;
        Ok(())
    }

    /// Says that the directive of this revision is in force.
    pub fn applied(&self, revision: u32) {
        self.port.applied(revision);
    }

    /// Tells the newest send lateness, 99th percentile in milliseconds.
    pub fn lateness(&self, p99_ms: f64) {
        self.port.lateness(p99_ms);
    }

    /// A context for tests with its other end.
    ///
    /// # Errors
    /// A permanent error when spec, shard or directive cannot be encoded.
    pub fn for_test(
        spec: &K::Spec,
        shard: &K::Shard,
        directive: &K::Directive,
        start_monotonic_ns: u64,
    ) -> Result<(AttemptContext<K>, Arc<TestPort>), DriverError> {
        let json = |error: serde_json::Error| DriverError::Permanent(error.to_string());
        let port = Arc::new(TestPort {
            id: AttemptId {
                shard: shanty_model::id::ShardId {
                    run: shanty_model::id::RunId { job: shanty_model::id::JobId::adhoc(), number: 1 },
                    index: 0,
                },
                number: 1,
            },
            spec: serde_json::to_string(spec).map_err(json)?,
            shard: serde_json::to_string(shard).map_err(json)?,
            start_monotonic_ns,
            directive: watch::Sender::new(serde_json::to_string(directive).map_err(json)?),
            stop: watch::Sender::new(None),
            seen: Mutex::default(),
        });
        Ok((AttemptContext::open(port.clone())?, port))
    }
}

/// The start of a test's run, nanoseconds since 1970.
const TEST_START_UNIX_NS: i64 = 1_700_000_000_000_000_000;

/// What a test saw an attempt do.
#[derive(Debug, Clone, Default)]
pub struct Emitted {
    /// Pieces of results in order.
    pub partials: Vec<Vec<u8>>,
    /// Revisions applied in order.
    pub applied: Vec<u32>,
}

/// The other end of a test's context.
#[derive(Debug)]
pub struct TestPort {
    id: AttemptId,
    spec: String,
    shard: String,
    start_monotonic_ns: u64,
    /// Sends directives (JSON).
    pub directive: watch::Sender<String>,
    /// Stops the attempt.
    pub stop: watch::Sender<Option<StopReason>>,
    seen: Mutex<Emitted>,
}

impl TestPort {
    /// What the attempt did so far.
    pub fn seen(&self) -> Emitted {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AttemptPort for TestPort {
    fn id(&self) -> &AttemptId {
        &self.id
    }
    fn spec(&self) -> &str {
        &self.spec
    }
    fn shard(&self) -> &str {
        &self.shard
    }
    fn start_monotonic_ns(&self) -> u64 {
        self.start_monotonic_ns
    }
    fn start_unix_ns(&self) -> i64 {
        TEST_START_UNIX_NS
    }
    fn directives(&self) -> watch::Receiver<String> {
        self.directive.subscribe()
    }
    fn stop(&self) -> watch::Receiver<Option<StopReason>> {
        self.stop.subscribe()
    }
    fn emit(&self, partial: Vec<u8>) -> BoxFuture<'_, ()> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).partials.push(partial);
        Box::pin(std::future::ready(()))
    }
    fn applied(&self, revision: u32) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).applied.push(revision);
    }
    fn lateness(&self, _p99_ms: f64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::kind::db_sync::{DbSync, Directive, Spec, Step};
    use shanty_model::kind::http_load::{self, HttpLoad};

    #[test]
    fn a_shard_comes_with_its_attempt_and_none_is_none() {
        let step = Step::Copy { table: 2, part: 3 };
        let (cx, port) =
            AttemptContext::<DbSync>::for_test(&Spec::default(), &step, &Directive::default(), 7).unwrap();
        assert_eq!((*cx.shard(), cx.start_monotonic_ns()), (step, 7));
        assert_eq!(cx.start_unix_ns(), port.start_unix_ns());

        let spec = serde_json::to_string(&http_load::Spec::default()).unwrap();
        let port = |shard: &str| {
            Arc::new(TestPort {
                id: "a.1/0#1".parse().unwrap(),
                spec: spec.clone(),
                shard: shard.to_owned(),
                start_monotonic_ns: 0,
                directive: watch::Sender::new(String::new()),
                stop: watch::Sender::new(None),
                seen: Mutex::default(),
            })
        };
        assert!(AttemptContext::<HttpLoad>::open(port("")).is_ok());
        assert!(AttemptContext::<HttpLoad>::open(port("null")).is_ok());
        let error = AttemptContext::<HttpLoad>::open(port("{}")).err().map(|error| error.to_string());
        assert!(error.unwrap_or_default().starts_with("unreadable shard"));
    }
}
