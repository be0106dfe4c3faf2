//! The driver of `db_sync`: one attempt at one step.
//!
//! In: an attempt. Out: its end. Never: more than one step.
//! Tests: `worker/sync/tests/`.

use crate::connection::Registry;
use crate::error::SyncError;
use crate::sessions::Sessions;
use crate::work::Work;
use crate::{copy, finish, plan, verify};
use shanty_model::kind::db_sync::{DbSync, Step};
use shanty_rt::driver::{AttemptContext, Driver, DriverError, Outcome};

/// Does the steps of syncs.
#[derive(Debug)]
pub struct SyncDriver {
    connections: Vec<String>,
    sessions: Sessions,
}

impl SyncDriver {
    /// A driver over these connections.
    #[must_use]
    pub fn new(connections: Registry) -> SyncDriver {
        SyncDriver { connections: connections.names(), sessions: Sessions::new(connections) }
    }
}

impl Driver for SyncDriver {
    type Kind = DbSync;

    fn connections(&self) -> Vec<String> {
        self.connections.clone()
    }

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
