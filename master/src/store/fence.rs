//! The fence: the row by which a new master shuts out the old one, and the canary by which a master sees
//! that it can still write.
//!
//! In: an epoch. Out: whether the store is ours. Never: lowers the stored epoch.
//! Tests: the conformance suite.

use super::transaction::{Transaction, fence_epoch};
use super::value::{Fields, count, int, text};
use super::{Error, Store};
use crate::election::FenceOutcome;
use shanty_model::epoch::Epoch;
use shanty_rt::clock;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// One try to take the fence row: the wait for a running transaction of the old master (1 s in the
/// database) and its own work.
const TRY: Duration = Duration::from_secs(3);
/// All tries: longer than a server lets a silent client hold the row (2 s).
const ALL: Duration = Duration::from_secs(6);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(20);
/// A client that says nothing for so long in the middle of a transaction is stopped, or cut off: its session is ended
/// where the server lets us, and by the server itself after 2 s.
const SILENT: Duration = Duration::from_millis(500);
/// Between two looks for such sessions.
const LOOK: Duration = Duration::from_millis(100);
/// The canary sings within a second, or it is dead.
const CANARY: Duration = Duration::from_secs(1);

impl Store {
    /// Raises the store's epoch to `epoch` for the process `incarnation`. Transactions under way are waited
    /// for; those that begin later find themselves fenced. The same epoch and incarnation again is fenced too.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store did not do it within 6 s; then nobody knows, and the same call
    /// may be made again.
    pub async fn fence(&self, epoch: Epoch, incarnation: &str) -> Result<FenceOutcome, Error> {
        let deadline = Instant::now() + ALL;
        loop {
            match self.try_fence(epoch, incarnation).await {
                Err(Error::Unavailable(why)) if Instant::now() < deadline => {
                    tracing::debug!(%epoch, why, "store not fenced yet");
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_fence(&self, epoch: Epoch, incarnation: &str) -> Result<FenceOutcome, Error> {
        let mut transaction = Transaction::begin(self, TRY).await?;
        let lock = self.dialect.lock_exclusive();
        let statement = format!("SELECT epoch, incarnation FROM fence WHERE id = 1{lock}");
        let waiting = match self.dialect.session() {
            Some(session) => transaction.rows("session", session, vec![]).await?,
            None => Vec::new(),
        };
        let waiting = waiting.first().map(|row| Fields::new(row, "session").int()).transpose()?;
        let rows = tokio::select! {
            rows = transaction.rows("fence", &statement, vec![]) => rows?,
            never = self.end_silent_holders(waiting) => match never {},
        };
        let stored = fence_epoch(&rows)?;
        let is_mine = match rows.first() {
            Some(row) => {
                let mut fields = Fields::new(row, "fence");
                let _ = fields.int()?;
                text(fields.text()?) == text(incarnation)
            }
            None => false,
        };
        if stored > epoch || (stored == epoch && !is_mine) {
            transaction.rollback().await;
            return Ok(FenceOutcome::Behind { stored });
        }
        if stored < epoch {
            let values = vec![count("epoch", epoch.0)?, text(incarnation)];
            transaction
                .run("fence", "UPDATE fence SET epoch = ?, incarnation = ? WHERE id = 1", values)
                .await?;
        }
        transaction.commit().await?;
        Ok(FenceOutcome::Fenced)
    }

    /// Ends, again and again, the sessions that keep the session `waiting` from the fence row and whose clients are silent:
    /// those of a master that was stopped or cut off in the middle of a transaction, which is undone.
    async fn end_silent_holders(&self, waiting: Option<i64>) -> Infallible {
        let (Some(waiting), Some(holders)) = (waiting, self.dialect.silent_holders()) else {
            return std::future::pending().await;
        };
        let silent = i64::try_from(SILENT.as_millis()).unwrap_or(i64::MAX);
        loop {
            tokio::time::sleep(LOOK).await;
            let ended = async {
                for row in self.rows("sessions", holders, vec![int(waiting), int(silent)]).await? {
                    let session = Fields::new(&row, "sessions").int()?;
                    self.rows("session", &self.dialect.end_session(session), vec![]).await?;
                    tracing::warn!(session, "ended a session of a silent master that held the fence");
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a silent master's session is left to the server");
            }
        }
    }

    /// The epoch at which the store was fenced last; 0 before the first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store does not answer.
    pub async fn fence_epoch(&self) -> Result<Epoch, Error> {
        fence_epoch(&self.rows("fence", "SELECT epoch FROM fence WHERE id = 1", vec![]).await?)
    }

    /// Writes a mark under `epoch`, so that a master whose store is read-only, full or hung finds out.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the store is at another epoch; [`Error::Unavailable`] when it could not be done
    /// within a second.
    pub async fn canary(&self, epoch: Epoch) -> Result<(), Error> {
        let mut transaction = Transaction::begin(self, CANARY).await?;
        let sung = async {
            transaction.check_fence(epoch).await?;
            let values = vec![count("epoch", epoch.0)?, int(clock::unix_ms())];
            transaction.run("canary", "UPDATE canary SET epoch = ?, time_ms = ? WHERE id = 1", values).await
        }
        .await;
        match sung {
            Ok(_) => transaction.commit().await,
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}
