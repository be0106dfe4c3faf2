//! Rows of the target put right.
//!
//! ```text
//!  rows read from the source ─► begin ─► move the shard on (0 rows: fenced, stop) ─► delete, load
//!                                  ─► compared once more ─► what was mended, in the shard's row ─► commit
//! ```
//! All rows of a batch that differ are deleted before any is loaded, so unique values may have changed places
//! between them.
//!
//! In: places that are unlike for certain. Out: what is left. Never: a row deleted that was not looked at; a table
//! emptied because its source is.
//! Tests: `worker/sync/tests/databases/verify.rs`.

use super::compare::settle;
use super::frame::KEYS_AT_ONCE;
use super::step::{Batch, Comparison, sum};
use super::unlike::{Faults, Unlike};
use crate::control::Position;
use crate::copy::Form;
use crate::copy::page::{Page, PageMaker};
use crate::db::{Class, Load, OnDuplicate, Select};
use crate::error::{Doing, SyncError};
use crate::plan::{By, Key, Piece, TablePlan};
use std::collections::HashSet;

/// Most rows of a transaction.
const ROWS_AT_ONCE: usize = 1000;
/// Bytes of rows of a transaction, about.
const BYTES_AT_ONCE: usize = 64 << 20;
/// Fewer deleted rows need no guard.
const FEW: u64 = 1000;
/// How often rows are repaired that the source changes meanwhile.
const ROUNDS: u32 = 3;

/// Refuses to delete more than half of a table: its source was emptied, or is not the one that it was.
///
/// # Errors
/// `Permanent`, with the remedy.
pub(super) fn guard(plan: &TablePlan, target_rows: u64, deletes: u64) -> Result<(), SyncError> {
    if deletes <= FEW || deletes <= target_rows / 2 {
        return Ok(());
    }
    Err(SyncError::permanent(format!(
        "repairing {} would delete {deletes} of its {target_rows} rows, since {} does not have them: was it emptied, or is \
         source.connection another database than before? Nothing more was deleted. If it is meant so, copy with mode FULL \
         and on_existing TRUNCATE",
        plan.target.name, plan.source
    )))
}

/// What came of a transaction.
enum Mended {
    /// It is committed; what is unlike still.
    Done(Vec<Unlike>),
    /// Nothing was done: too many bytes at once.
    TooMuch,
    /// Nothing was done, for this reason.
    Refused(String),
}

impl Comparison<'_> {
    /// Repairs places; `guarded` is the number of the target's rows where it may delete rows that the source
    /// lacks. Answers the faults that are left, and how many places the source kept changing.
    ///
    /// # Errors
    /// [`SyncError`].
    pub(super) async fn repair(
        &mut self,
        batch: Batch<'_>,
        places: Vec<Unlike>,
        guarded: Option<u64>,
    ) -> Result<(Faults, u64), SyncError> {
        if let Some(rows) = guarded {
            guard(&self.plan, rows, self.kept.deleted + sum(&places).extra)?;
        }
        let (mut left, mut open) = (Faults::default(), places);
        for round in 0..ROUNDS {
            let (mut still, mut chunks): (Vec<Unlike>, Vec<Vec<Unlike>>) =
                (Vec::new(), open.chunks(ROWS_AT_ONCE).map(<[Unlike]>::to_vec).collect());
            while let Some(chunk) = chunks.pop() {
                self.ends.work.go_on()?;
                match self.mend(batch, &chunk, round == 0, &mut left).await? {
                    Mended::Done(unlike) => still.extend(unlike),
                    Mended::TooMuch | Mended::Refused(_) if chunk.len() > 1 => {
                        let (first, second) = chunk.split_at(chunk.len() / 2);
                        chunks.extend([first.to_vec(), second.to_vec()]);
                    }
                    Mended::TooMuch => self.refused(&chunk, "it is too large", &mut left),
                    Mended::Refused(reason) => self.refused(&chunk, &reason, &mut left),
                }
            }
            open = still;
            if open.is_empty() {
                return Ok((left, 0));
            }
        }
        let settled = settle(&mut self.ends, batch.0, batch.1, open).await?;
        left += sum(&settled.unlike);
        Ok((left, settled.changing))
    }

    fn refused(&mut self, places: &[Unlike], reason: &str, left: &mut Faults) {
        *left += sum(places);
        let row = places.first().and_then(Unlike::shown).unwrap_or_default();
        let message = format!("row {row} of {} could not be repaired: {reason}", self.plan.target.name);
        self.kept.note(true, "REPAIR_REFUSED", message);
    }

    /// The rows of places as the source has them; those that cannot be written are taken out of `places`. None when
    /// they are too large together.
    async fn source_rows(
        &mut self,
        form: &Form,
        places: &mut Vec<Unlike>,
        left: &mut Faults,
    ) -> Result<Option<Vec<Page>>, SyncError> {
        let doing = format!("reading rows of {} again", self.plan.source);
        let keys: Vec<Key> =
            places.iter().filter_map(|place| place.source.first().map(|row| row.key.clone())).collect();
        let (mut pages, mut bytes, mut refused) = (Vec::new(), 0, HashSet::new());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let filters = self.frame_keys(keys);
            let piece = Piece { by: By::Key, filters, ..Piece::default() };
            let mut after = None;
            loop {
                let source = self.ends.source.as_mut();
                let sql = form.page(source.dialect(), &self.plan, &piece, after.as_ref(), None);
                let mut maker = PageMaker::new(&form.rows, Page::default(), form.raw, BYTES_AT_ONCE);
                let select = Select { sql: &sql, columns: &form.columns, raw: form.raw };
                source.read(select, &mut maker).await.doing(&doing)?;
                let page = maker.finish(None);
                bytes += page.payload_bytes();
                for row in &page.refused {
                    refused.insert(row.key.clone());
                    let message = format!(
                        "row {} of {} could not be repaired: {}",
                        row.key, self.plan.source, row.reason
                    );
                    self.kept.note(true, "REPAIR_REFUSED", message);
                }
                after = page.last_key.clone();
                let last = page.last;
                pages.push(page);
                if bytes >= BYTES_AT_ONCE && places.len() > 1 {
                    return Ok(None);
                }
                if last {
                    break;
                }
            }
        }
        places.retain(|place| {
            let is_refused = place.shown().is_some_and(|key| refused.contains(&key));
            if is_refused {
                *left += place.faults();
            }
            !is_refused
        });
        Ok(Some(pages))
    }

    /// One transaction.
    async fn mend(
        &mut self,
        batch: Batch<'_>,
        places: &[Unlike],
        counts: bool,
        left: &mut Faults,
    ) -> Result<Mended, SyncError> {
        let key_piece = Piece { by: By::Key, ..Piece::default() };
        let on_lossy = self.ends.work.spec().on_lossy;
        let form = Form::new(
            &self.plan,
            &key_piece,
            self.ends.source.as_ref(),
            self.ends.target.as_ref(),
            on_lossy,
            false,
        )?;
        let mut places = places.to_vec();
        let Some(pages) = self.source_rows(&form, &mut places, left).await? else {
            return Ok(Mended::TooMuch);
        };
        self.ends.target.begin().await.doing("beginning a repair in the target")?;
        let written = self.write_in_transaction(batch, &form, &pages, &places, counts).await;
        match written {
            Ok(Ok((still, kept, at))) => {
                self.ends.target.commit(false).await.doing("committing a repair in the target")?;
                self.held.moved(2, at);
                self.kept = kept;
                Ok(Mended::Done(still))
            }
            Ok(Err(reason)) => {
                self.ends.target.rollback().await.doing("rolling a repair back in the target")?;
                Ok(Mended::Refused(reason))
            }
            Err(error) => {
                // A lost connection rolls back by itself.
                let _lost = self.ends.target.rollback().await;
                Err(error)
            }
        }
    }

    /// Fence, rows, a look at them, and what was mended; the inner error says why the target refuses a row.
    async fn write_in_transaction(
        &mut self,
        (frame, groups): Batch<'_>,
        form: &Form,
        pages: &[Page],
        places: &[Unlike],
        counts: bool,
    ) -> Result<Result<(Vec<Unlike>, super::kept::Kept, Position), String>, SyncError> {
        let control = self.ends.work.control.clone();
        control.advance(self.ends.target.as_mut(), &self.held, 0, &self.held.at).await?;
        let doing = format!("repairing {}", self.plan.target.name);
        let there: Vec<&Key> =
            places.iter().filter_map(|place| place.target.first().map(|row| &row.key)).collect();
        let rows: usize = places.iter().map(|place| place.target.len()).sum();
        let mut deleted = 0;
        for keys in there.chunks(KEYS_AT_ONCE) {
            let target = self.ends.target.as_mut();
            let condition = frame.target.with_keys(keys.iter().copied()).join(" AND ");
            let table = target.dialect().table(&self.plan.target.name);
            deleted +=
                target.execute(&format!("DELETE FROM {table} WHERE {condition}")).await.doing(&doing)?;
        }
        if deleted > u64::try_from(rows).unwrap_or(u64::MAX) {
            return Ok(Err(
                "by its key more rows of the target would be deleted than were looked at".to_owned()
            ));
        }
        let load = Load { on_duplicate: OnDuplicate::Fail, ..form.load.clone() };
        for page in pages.iter().filter(|page| page.rows() > 0) {
            let count = u64::try_from(page.rows()).unwrap_or(u64::MAX);
            match self.ends.target.load(&load, page.slice(0, page.rows()), count).await {
                Ok(_) => {}
                Err(error) if error.class == Class::Row => return Ok(Err(error.to_string())),
                Err(error) => return Err(SyncError::db(&doing, &error)),
            }
        }
        let still = self.ends.unlike_again(frame, groups, places).await?;
        let open: HashSet<u64> = still.iter().map(Unlike::place).collect();
        let mut kept = self.kept.clone();
        for place in places {
            let faults = place.faults();
            if counts {
                kept.deleted += faults.extra;
            }
            if !open.contains(&place.place()) {
                kept.mended += faults;
            }
        }
        let at = Position { detail: kept.detail(), ..self.held.at.clone() };
        control.advance(self.ends.target.as_mut(), &self.held, 1, &at).await?;
        Ok(Ok((still, kept, at)))
    }

    fn frame_keys(&self, keys: &[Key]) -> Vec<String> {
        let columns: Vec<&crate::schema::Column> = self.plan.order.iter().collect();
        let dialect = self.ends.source.dialect();
        let each =
            keys.iter().map(|key| crate::plan::compare(dialect, &columns, key, crate::db::Comparison::Equal));
        vec![format!("({})", each.collect::<Vec<_>>().join(" OR "))]
    }
}
