//! A shard's row, held by an attempt.

use super::{Control, Known, missing};
use crate::db::{Class, Connection, DbError, TextRow};
use crate::error::{Doing, SyncError};
use crate::plan::{Key, Piece};
use shanty_model::kind::db_sync::Step;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Where a shard stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// What it covers.
    pub piece: Piece,
    /// Everything up to this key is written; none at the beginning.
    pub cursor: Option<Key>,
    /// Rows written.
    pub rows: u64,
    /// Bytes of them, as read.
    pub bytes: u64,
    /// Rows put aside.
    pub bad_rows: u64,
    /// Values changed or left out, by event.
    pub lossy: BTreeMap<String, u64>,
    /// Rows thought to be in it when it was made.
    pub size: u64,
    /// Whether it is done.
    pub done: bool,
    /// What the step keeps for itself.
    pub detail: String,
}

/// A shard that an attempt holds, over one connection.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it does.
    pub step: Step,
    attempt: u32,
    seq: u64,
    /// Where it stood at the last commit.
    pub at: Position,
}

/// How often a shard is asked for while another session holds its row.
const TRIES: u32 = 4;

impl Control {
    /// Takes a shard, making its row if `make` says that it may be missing. Waits for a page of its former holder that
    /// is being committed; ends that session if it takes too long.
    ///
    /// # Errors
    /// [`SyncError::Fenced`] when a newer attempt holds it; the database's.
    pub async fn acquire(
        &self,
        target: &mut dyn Connection,
        step: Step,
        attempt: u32,
        owner: &str,
        make: bool,
    ) -> Result<Held, SyncError> {
        if make {
            let sql = self.add(target, step, &Piece::default(), 0);
            // Another attempt may make it at the same instant; the row is there either way.
            if target.execute(&sql).await.is_err() {
                target.execute(&sql).await.doing("making a shard in the target")?;
            }
        }
        let mut tried = 0;
        loop {
            tried += 1;
            match self.try_acquire(target, step, attempt, owner).await {
                Err(Attempted::Db(error)) if error.class == Class::Busy && tried < TRIES => {
                    target.rollback().await.doing("taking a shard in the target")?;
                    self.end_former_holder(target, step).await?;
                }
                Err(Attempted::Db(error)) => {
                    return Err(SyncError::db("taking a shard in the target", &error));
                }
                Err(Attempted::Sync(error)) => return Err(error),
                Ok(held) => return Ok(held),
            }
        }
    }

    async fn try_acquire(
        &self,
        target: &mut dyn Connection,
        step: Step,
        attempt: u32,
        owner: &str,
    ) -> Result<Held, Attempted> {
        let backend = target.backend();
        let statements = self.statements(target);
        let (acquire, select) =
            (statements.acquire(step, attempt, owner, backend.as_deref()), statements.select_shard(step));
        target.begin().await?;
        let matched = target.execute(&acquire).await?;
        let rows = target.query(&select).await?;
        if matched == 0 {
            target.rollback().await?;
            return Err(Attempted::Sync(match rows.first() {
                Some(_) => SyncError::Fenced,
                None => missing(&self.run, &step.to_string()),
            }));
        }
        let row = rows.first().ok_or_else(|| Attempted::Sync(missing(&self.run, &step.to_string())))?;
        let held = Held {
            step,
            attempt,
            seq: number(row, 2).map_err(Attempted::Sync)?,
            at: parse(row).map_err(Attempted::Sync)?,
        };
        target.commit(true).await?;
        Ok(held)
    }

    /// Its transaction has held the row for seconds: it hangs, or its worker does.
    async fn end_former_holder(&self, target: &mut dyn Connection, step: Step) -> Result<(), SyncError> {
        let sql = self.statements(target).select_shard(step);
        let rows = target.query(&sql).await.doing("looking for the former holder of a shard")?;
        let Some(backend) = rows.first().and_then(|row| cell(row, 12)) else { return Ok(()) };
        if target.backend().as_deref() == Some(backend) {
            return Ok(());
        }
        if let Some(kill) = target.dialect().kill(backend) {
            tracing::warn!(%step, backend, "ending the session of the shard's former holder");
            // It may be gone by itself.
            let _gone = target.execute(&kill).await;
        }
        Ok(())
    }

    /// Moves the shard on, inside the transaction that writes what it moves over; the first statement of it.
    ///
    /// # Errors
    /// [`SyncError::Fenced`] when it is not ours any more: the transaction must be rolled back. The database's.
    pub async fn advance(
        &self,
        target: &mut dyn Connection,
        held: &Held,
        ahead: u64,
        to: &Position,
    ) -> Result<(), SyncError> {
        let sql = self.statements(target).advance(held.step, held.attempt, held.seq + ahead, to);
        match target.execute(&sql).await.doing("moving a shard on in the target")? {
            1 => Ok(()),
            _ => Err(SyncError::Fenced),
        }
    }
}

impl Held {
    /// The transaction that moved it on `times` to `at` is committed.
    pub fn moved(&mut self, times: u64, at: Position) {
        self.seq += times;
        self.at = at;
    }
}

enum Attempted {
    Db(DbError),
    Sync(SyncError),
}

impl From<DbError> for Attempted {
    fn from(error: DbError) -> Attempted {
        Attempted::Db(error)
    }
}

fn cell(row: &TextRow, index: usize) -> Option<&str> {
    row.get(index).and_then(Option::as_deref)
}

fn number<T: FromStr>(row: &TextRow, index: usize) -> Result<T, SyncError> {
    cell(row, index).and_then(|text| text.parse().ok()).ok_or_else(unreadable)
}

fn unreadable() -> SyncError {
    SyncError::permanent(
        "the state of the sync in the target is not legible: was shanty_sync_shard changed by hand?",
    )
}

/// A shard's position from its row.
pub(super) fn parse(row: &TextRow) -> Result<Position, SyncError> {
    let json = |index| cell(row, index).unwrap_or_default();
    let cursor = match cell(row, 4) {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| unreadable())?),
        None => None,
    };
    Ok(Position {
        piece: serde_json::from_str(json(3)).map_err(|_| unreadable())?,
        cursor,
        rows: number(row, 5)?,
        bytes: number(row, 6)?,
        bad_rows: number(row, 7)?,
        lossy: serde_json::from_str(json(8)).map_err(|_| unreadable())?,
        size: number(row, 9)?,
        done: cell(row, 10) == Some("done"),
        detail: json(11).to_owned(),
    })
}

/// What is known of a shard from its row.
pub(super) fn parse_known(row: &TextRow) -> Result<Known, SyncError> {
    let step = parse_step(cell(row, 0).unwrap_or_default()).ok_or_else(unreadable)?;
    let at = parse(row)?;
    Ok(Known { step, size: at.size, done: at.done, detail: at.detail })
}

/// A step from its name.
fn parse_step(name: &str) -> Option<Step> {
    let parts: Vec<&str> = name.split('/').collect();
    let n = |i: usize| parts.get(i).and_then(|part| part.parse::<u32>().ok());
    match (parts.first().copied(), parts.len()) {
        (Some("plan"), 1) => Some(Step::Plan),
        (Some("close"), 1) => Some(Step::Close),
        (Some("copy"), 3) => Some(Step::Copy { table: n(1)?, part: n(2)? }),
        (Some("finish"), 2) => Some(Step::Finish { table: n(1)? }),
        (Some("verify"), 2) => Some(Step::Verify { table: n(1)?, part: None }),
        (Some("verify"), 3) => Some(Step::Verify { table: n(1)?, part: Some(n(2)?) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_back_from_their_names() {
        for step in [
            Step::Plan,
            Step::Close,
            Step::Copy { table: 3, part: 1_000_001 },
            Step::Finish { table: 0 },
            Step::Verify { table: 1, part: Some(2) },
            Step::Verify { table: 1, part: None },
        ] {
            assert_eq!(parse_step(&step.to_string()), Some(step));
        }
        assert_eq!(parse_step("copy/1"), None);
        assert_eq!(parse_step(""), None);
    }
}
