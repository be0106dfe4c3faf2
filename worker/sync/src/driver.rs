//! The driver of `db_sync`: one attempt at one step.
//!
//! In: an attempt. Out: its end. Never: more than one step.
//! Tests: `worker/sync/tests/`.

use crate::error::SyncError;
use crate::sessions::Sessions;
use crate::work::Work;
use crate::{copy, finish, plan, verify};
use shanty_model::kind::db_sync::{DbSync, Step};
use shanty_rt::driver::{AttemptContext, Driver, DriverError, Outcome};

/// Does the steps of syncs.
#[derive(Debug)]
pub struct SyncDriver {
    sessions: Sessions,
}

impl SyncDriver {
    /// A driver over these sessions.
    #[must_use]
    pub fn new(sessions: Sessions) -> SyncDriver {
        SyncDriver { sessions }
    }
}

impl Driver for SyncDriver {
    type Kind = DbSync;

    async fn run(&self, cx: AttemptContext<DbSync>) -> Result<Outcome, DriverError> {
        let work = Work::new(&cx, &self.sessions);
        let ended = match work.step() {
            Step::Plan => plan::plan(&work).await,
            Step::Copy { .. } => Box::pin(copy::copy(&work)).await,
            Step::Finish { table } => finish::finish(&work, table).await,
            Step::Verify { table, part } => verify::verify(&work, table, part).await,
            Step::Close => finish::close(&work).await,
        };
        match ended {
            Ok(()) => Ok(Outcome::Done),
            Err(SyncError::Stopped) if cx.stopped().borrow().is_some() => Ok(Outcome::Cancelled),
            Err(error) => Err(error.into()),
        }
    }
}
