//! When the reader may go on: its limits as they are now, and whether it was asked to stop.
//!
//! In: what was read, directives, the wish to stop. Out: the limits in force, once everything read is paid for.
//! Never: a wait that outlives the wish to stop, or a limit that was lifted.
//! Tests: the arithmetic in `pace`; with databases in `tests/tests/t50_sync.rs` and `tests/tests/t51_sync_faults.rs`.

use super::pace::Pace;
use crate::error::SyncError;
use shanty_model::kind::db_sync::Directive;
use shanty_rt::clock;
use shanty_rt::driver::StopReason;
use tokio::sync::watch;

/// The reader's place in time.
#[derive(Debug)]
pub(super) struct Turn {
    pace: Pace,
    limits: Directive,
    directives: watch::Receiver<String>,
    stop: watch::Receiver<Option<StopReason>>,
}

impl Turn {
    /// A reader that has read nothing yet.
    pub(super) fn new(
        directives: watch::Receiver<String>,
        stop: watch::Receiver<Option<StopReason>>,
    ) -> Turn {
        let limits = parsed(&directives);
        Turn { pace: Pace::default(), limits, directives, stop }
    }

    /// The limits that were last in force.
    pub(super) fn limits(&self) -> &Directive {
        &self.limits
    }

    /// Counts what was read.
    pub(super) fn spend(&mut self, rows: u64, bytes: u64) {
        self.pace.spend(clock::boottime(), rows, bytes, &self.limits);
    }

    /// Waits until what was read is paid for under the limits as they are by then.
    ///
    /// # Errors
    /// [`SyncError::Stopped`].
    pub(super) async fn come(&mut self) -> Result<Directive, SyncError> {
        loop {
            if self.stop.borrow().is_some() {
                return Err(SyncError::Stopped);
            }
            let newest = parsed(&self.directives);
            let rates = |limits: &Directive| (limits.rows_per_second, limits.bytes_per_second);
            if rates(&newest) != rates(&self.limits) {
                self.pace.forgive(clock::boottime());
            }
            self.limits = newest;
            let wait = self.pace.wait(clock::boottime());
            if wait.is_zero() {
                return Ok(self.limits);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.directives.changed() => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Waits until it is asked to stop.
    pub(super) async fn stopped(&mut self) {
        let _gone = self.stop.wait_for(Option::is_some).await;
    }
}

/// An unreadable directive limits nothing.
fn parsed(directives: &watch::Receiver<String>) -> Directive {
    serde_json::from_str(&directives.borrow()).unwrap_or_default()
}
