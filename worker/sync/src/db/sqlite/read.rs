//! Reading rows: a blocking thread fills batches of cells, the session makes text of them.
//!
//! ```text
//!  thread: step, cells ──full batch──► session: text, RowSink
//!                     ◄──empty batch──
//! ```
//! In: a query. Out: cells for a [`RowSink`]. Never: more than a few batches in memory, but for one row that is
//! larger than a batch. Tests: `worker/sync/tests/databases/sqlite.rs`.

use super::{cells, error};
use crate::db::{Class, DbError, RowSink, Select};
use crate::schema::Kind;
use std::ops::ControlFlow;
use std::sync::mpsc as blocking;
use tokio::sync::mpsc;

/// Bytes of a batch: large enough that handing it over costs nothing beside filling it.
const BATCH: usize = 256 << 10;
/// Batches on their way; one is filled, one emptied meanwhile.
const ON_THE_WAY: usize = 2;

/// The thread's end.
pub(super) struct Feed {
    sql: String,
    width: usize,
    full: mpsc::Sender<Vec<u8>>,
    empty: blocking::Receiver<Vec<u8>>,
}

/// The session's end.
pub(super) struct Batches {
    full: mpsc::Receiver<Vec<u8>>,
    empty: blocking::SyncSender<Vec<u8>>,
}

/// Both ends for a read.
pub(super) fn channel(select: Select<'_>) -> (Feed, Batches) {
    let (full, full_in) = mpsc::channel(ON_THE_WAY);
    // As many as there can be.
    let (empty, empty_in) = blocking::sync_channel(ON_THE_WAY + 2);
    let feed = Feed { sql: select.sql.to_owned(), width: select.columns.len(), full, empty: empty_in };
    (feed, Batches { full: full_in, empty })
}

impl Feed {
    /// Runs the query; ends early when nobody takes batches any more.
    pub(super) fn run(self, handle: &rusqlite::Connection) -> Result<(), DbError> {
        let mut statement = handle.prepare(&self.sql).map_err(error::from)?;
        if statement.column_count() != self.width {
            let (has, wants) = (statement.column_count(), self.width);
            return Err(DbError::new(Class::Other, format!("the query selects {has} columns, not {wants}")));
        }
        let mut rows = statement.raw_query();
        let mut batch = Vec::with_capacity(BATCH + BATCH / 4);
        while let Some(row) = rows.next().map_err(error::from)? {
            for at in 0..self.width {
                cells::push(row.get_ref(at).map_err(error::from)?, &mut batch);
            }
            if batch.len() >= BATCH {
                let next = self.empty.try_recv().unwrap_or_default();
                if self.full.blocking_send(std::mem::replace(&mut batch, next)).is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            let _gone = self.full.blocking_send(batch);
        }
        Ok(())
    }
}

impl Batches {
    /// Hands all rows to the sink, until it has enough.
    pub(super) async fn deliver(mut self, select: Select<'_>, sink: &mut dyn RowSink) -> Result<(), DbError> {
        let any: Vec<bool> = select.columns.iter().map(|column| column.kind == Kind::Any).collect();
        let mut scratch = Vec::with_capacity(64);
        while let Some(mut batch) = self.full.recv().await {
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                let row = if select.raw {
                    raw(&mut rest, any.len(), sink)
                } else {
                    text(&mut rest, &any, sink, &mut scratch)
                };
                let Some(row) = row else {
                    return Err(DbError::new(Class::Other, "cells of a read could not be taken apart"));
                };
                if row.is_break() {
                    return Ok(());
                }
            }
            batch.clear();
            let _full = self.empty.try_send(batch);
        }
        Ok(())
    }
}

fn text(
    rest: &mut &[u8],
    any: &[bool],
    sink: &mut dyn RowSink,
    scratch: &mut Vec<u8>,
) -> Option<ControlFlow<()>> {
    for any in any {
        let value = cells::take(rest)?;
        sink.cell(cells::text(value, *any, scratch));
    }
    Some(sink.end_row())
}

fn raw(rest: &mut &[u8], width: usize, sink: &mut dyn RowSink) -> Option<ControlFlow<()>> {
    let row = *rest;
    for _ in 0..width {
        cells::take(rest)?;
    }
    Some(sink.raw_row(row.get(..row.len() - rest.len())?))
}
