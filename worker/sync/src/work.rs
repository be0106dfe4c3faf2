//! What every step works with: the attempt, the sessions, the state in the target.
//!
//! In: an attempt's context. Out: sessions, held shards, reports. Never: a decision of one step alone.
//! Tests: through the steps.

use crate::control::{Control, Held, Position};
use crate::db::Connection;
use crate::error::SyncError;
use crate::sessions::{Sessions, Use};
use shanty_model::kind::db_sync::{DbSync, Directive, Mode, OnExisting, Partial, Spec, Step, Verify};
use shanty_rt::driver::{AttemptContext, DriverError};
use std::time::Duration;

/// Figures are reported this often at most, but at the end.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);

/// One attempt at one step.
pub struct Work<'a> {
    /// The attempt.
    pub cx: &'a AttemptContext<DbSync>,
    /// Sessions with the databases.
    pub sessions: &'a Sessions,
    /// The state of the run in the target.
    pub control: Control,
}

impl<'a> Work<'a> {
    /// The work of an attempt.
    #[must_use]
    pub fn new(cx: &'a AttemptContext<DbSync>, sessions: &'a Sessions) -> Work<'a> {
        let control = Control::new(&cx.id().shard.run.to_string(), cx.start_unix_ns());
        Work { cx, sessions, control }
    }

    /// What the user asked for.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        self.cx.spec()
    }

    /// The step.
    #[must_use]
    pub fn step(&self) -> Step {
        *self.cx.shard()
    }

    /// The newest directive; an unreadable one limits nothing.
    #[must_use]
    pub fn directive(&self) -> Directive {
        self.cx.directive().unwrap_or_default()
    }

    /// Whether copies keep the digest of what they read: the target is compared with it. What an incremental run or an
    /// upsert leaves in the target is not what was read alone; a repair needs both ends.
    #[must_use]
    pub fn digests(&self) -> bool {
        let spec = self.spec();
        spec.verify_level() == Verify::Checksum
            && spec.mode == Mode::Full
            && spec.on_existing != OnExisting::Upsert
    }

    /// Whether it was asked to stop.
    ///
    /// # Errors
    /// [`SyncError::Stopped`] when it was.
    pub fn go_on(&self) -> Result<(), SyncError> {
        if self.cx.stopped().borrow().is_some() { Err(SyncError::Stopped) } else { Ok(()) }
    }

    /// A session with the source.
    ///
    /// # Errors
    /// As [`Sessions::open`].
    pub async fn source(&self) -> Result<Box<dyn Connection>, SyncError> {
        at("source.connection", self.sessions.open(&self.spec().source.connection, Use::Read).await)
    }

    /// A session with the target.
    ///
    /// # Errors
    /// As [`Sessions::open`].
    pub async fn target(&self) -> Result<Box<dyn Connection>, SyncError> {
        at("target.connection", self.sessions.open(&self.spec().target.connection, Use::Write).await)
    }

    /// Gives sessions back that have nothing under way.
    pub fn put_back(&self, source: Option<Box<dyn Connection>>, target: Option<Box<dyn Connection>>) {
        if let Some(source) = source {
            self.sessions.put_back(&self.spec().source.connection, Use::Read, source);
        }
        if let Some(target) = target {
            self.sessions.put_back(&self.spec().target.connection, Use::Write, target);
        }
    }

    /// Takes the step's shard for this attempt. Copies have their row from the plan; others get it here.
    ///
    /// # Errors
    /// As [`Control::acquire`].
    pub async fn acquire(&self, target: &mut dyn Connection) -> Result<Held, SyncError> {
        let make = !matches!(self.step(), Step::Copy { .. });
        let attempt = self.cx.id().number;
        self.control.acquire(target, self.step(), attempt, &self.cx.id().to_string(), make).await
    }

    /// Reports a shard as it stands in the target.
    ///
    /// # Errors
    /// When the report cannot be encoded.
    pub async fn report(&self, at: &Position, more: Partial) -> Result<(), SyncError> {
        let remaining = (!at.done).then(|| at.size.saturating_sub(at.rows));
        let partial = Partial {
            rows: at.rows,
            bytes: at.bytes,
            bad_rows: at.bad_rows,
            lossy: at.lossy.clone(),
            remaining,
            ..more
        };
        self.emit(&partial).await
    }

    /// Hands a report over.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub async fn emit(&self, partial: &Partial) -> Result<(), SyncError> {
        self.cx.emit(partial).await.map_err(|error| match error {
            DriverError::Permanent(message) => SyncError::Permanent(message),
            DriverError::Transient(message) => SyncError::Transient(message),
        })
    }
}

/// Names the field of the spec that an error is about.
fn at<T>(field: &str, result: Result<T, SyncError>) -> Result<T, SyncError> {
    result.map_err(|error| match error {
        SyncError::Permanent(message) => SyncError::Permanent(format!("{field}: {message}")),
        SyncError::Transient(message) => SyncError::Transient(format!("{field}: {message}")),
        error @ (SyncError::Fenced | SyncError::Stopped) => error,
    })
}
