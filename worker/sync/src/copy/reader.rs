//! Reads one page after the other, of fitting size, while the one before is written.
//!
//! In: a piece and where it stands. Out: pages in order, and cuts between them.
//! Never: more than two pages ahead of the writer; a page sized by the time it took, since that includes waiting.
//! Tests: `worker/sync/tests/`.

use super::cut::split_key;
use super::form::Form;
use super::pace::{LOOK_EVERY, Pace, rows_of_a_second, sparing};
use super::page::{Page, PageMaker};
use crate::db::{Connection, RowSink, Select};
use crate::error::{Doing, SyncError};
use crate::plan::{By, Key, Piece, TablePlan};
use shanty_model::kind::db_sync::{Directive, Note, Throttle};
use shanty_rt::clock;
use shanty_rt::driver::StopReason;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Rows of a shard's first page, whose width is not known yet.
const FIRST_ROWS: u64 = 1_000;
/// Fewest rows of a page.
const LEAST_ROWS: u64 = 10;
/// A page grows by at most this factor over the one before.
const GROWTH: u64 = 8;
/// The source is asked again this often while it is spared.
const SPARE_FOR: Duration = Duration::from_millis(500);

/// What the reader hands over.
pub(super) enum Read {
    /// The next page.
    Page(Page),
    /// What lies after this key is for another shard.
    Cut {
        /// The last key that stays.
        at: Key,
    },
    /// What a person should know.
    Note(Note),
}

/// Sizes of pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Aimed at, bytes.
    pub(super) bytes: usize,
    /// Most rows.
    pub(super) rows: u64,
}

/// A reader of one piece.
pub(super) struct Reader {
    pub(super) source: Box<dyn Connection>,
    pub(super) plan: Arc<TablePlan>,
    pub(super) form: Arc<Form>,
    pub(super) piece: Piece,
    pub(super) cursor: Option<Key>,
    /// Rows thought to be left.
    pub(super) left: u64,
    pub(super) sizes: Sizes,
    pub(super) throttle: Throttle,
    pub(super) directives: watch::Receiver<String>,
    pub(super) stop: watch::Receiver<Option<StopReason>>,
    pub(super) out: mpsc::Sender<Read>,
    pub(super) free: mpsc::Receiver<Page>,
}

impl Reader {
    /// Reads to the end of the piece. Answers the session when nothing is under way on it.
    ///
    /// # Errors
    /// The source's; [`SyncError::Stopped`].
    pub(super) async fn run(mut self) -> Result<Box<dyn Connection>, SyncError> {
        if self.piece.by == By::Whole {
            return self.read_whole().await;
        }
        let mut limit = FIRST_ROWS.min(self.sizes.rows);
        let mut pace = Pace::default();
        let mut limits = self.directive();
        let mut cuts_done = limits.cuts;
        let mut looked_at = Duration::ZERO;
        let mut average = 256;
        loop {
            limits = self.wait_for_turn(&mut pace, limits, &mut looked_at).await?;
            if limits.cuts > cuts_done {
                cuts_done = limits.cuts;
                self.cut().await?;
            }
            let rows = limit.min(rows_of_a_second(&limits, average));
            let page = self.read_page(rows).await?;
            let (read, bytes) = (count(page.rows() + page.refused.len()), page.bytes);
            pace.spend(clock::boottime(), read, bytes, &limits);
            self.left = self.left.saturating_sub(read);
            if let Some(width) = count(page.payload_bytes()).checked_div(read) {
                average = width.max(1);
                let fitting = count(self.sizes.bytes) / average;
                limit = fitting.min(limit * GROWTH).clamp(LEAST_ROWS, self.sizes.rows.max(LEAST_ROWS));
            }
            let last = page.last;
            self.cursor = page.last_key.clone().or(self.cursor);
            if read > 0 && self.out.send(Read::Page(page)).await.is_err() {
                // The writer is gone and says why.
                return Err(SyncError::Stopped);
            }
            if last {
                return Ok(self.source);
            }
        }
    }

    async fn read_page(&mut self, rows: u64) -> Result<Page, SyncError> {
        let memory = self.free.try_recv().unwrap_or_default();
        let dialect = self.source.dialect();
        let sql = self.form.page(dialect, &self.plan, &self.piece, self.cursor.as_ref(), Some(rows));
        let mut maker =
            PageMaker::new(&self.form.rows, memory, self.form.raw, self.sizes.bytes.saturating_mul(2));
        let select = Select { sql: &sql, columns: &self.form.columns, raw: self.form.raw };
        self.source.read(select, &mut maker).await.doing(&format!("reading {}", self.plan.source))?;
        Ok(maker.finish(Some(rows)))
    }

    /// All rows in one read; pages are handed over on the way.
    async fn read_whole(mut self) -> Result<Box<dyn Connection>, SyncError> {
        let dialect = self.source.dialect();
        let sql = self.form.page(dialect, &self.plan, &self.piece, None, None);
        let form = self.form.clone();
        let mut sink = WholeSink {
            form: &form,
            maker: Some(PageMaker::new(&form.rows, Page::default(), form.raw, self.sizes.bytes)),
            bytes: self.sizes.bytes,
            out: &self.out,
            free: &mut self.free,
            stop: &self.stop,
            broken: false,
        };
        let select = Select { sql: &sql, columns: &form.columns, raw: form.raw };
        self.source.read(select, &mut sink).await.doing(&format!("reading {}", self.plan.source))?;
        if sink.broken {
            return Err(SyncError::Stopped);
        }
        if let Some(maker) = sink.maker.take() {
            let page = maker.finish(None);
            if page.rows() + page.refused.len() > 0 && self.out.send(Read::Page(page)).await.is_err() {
                return Err(SyncError::Stopped);
            }
        }
        Ok(self.source)
    }

    fn directive(&self) -> Directive {
        serde_json::from_str(&self.directives.borrow()).unwrap_or_default()
    }

    /// Waits until the limits and the source's condition allow the next page.
    async fn wait_for_turn(
        &mut self,
        pace: &mut Pace,
        mut limits: Directive,
        looked_at: &mut Duration,
    ) -> Result<Directive, SyncError> {
        loop {
            if self.stop.borrow().is_some() {
                return Err(SyncError::Stopped);
            }
            let newest = self.directive();
            if (newest.rows_per_second, newest.bytes_per_second)
                != (limits.rows_per_second, limits.bytes_per_second)
            {
                pace.forgive(clock::boottime());
            }
            limits = newest;
            let wait = pace.wait(clock::boottime());
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = self.directives.changed() => {}
                    _ = self.stop.changed() => {}
                }
                continue;
            }
            if clock::boottime().saturating_sub(*looked_at) < LOOK_EVERY {
                return Ok(limits);
            }
            match self.look_at_source().await? {
                None => {}
                Some(why) => {
                    let message = format!("reading pauses: {why}");
                    let note = Note { warning: true, reason: "SOURCE_SPARED".to_owned(), message };
                    if self.out.send(Read::Note(note)).await.is_err() {
                        return Err(SyncError::Stopped);
                    }
                    self.spare().await?;
                }
            }
            *looked_at = clock::boottime();
            return Ok(limits);
        }
    }

    /// Waits until the source is in good condition again.
    async fn spare(&mut self) -> Result<(), SyncError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SPARE_FOR) => {}
                _ = self.stop.changed() => return Err(SyncError::Stopped),
            }
            if self.look_at_source().await?.is_none() {
                return Ok(());
            }
        }
    }

    /// Why the source wants to be spared.
    async fn look_at_source(&mut self) -> Result<Option<String>, SyncError> {
        if self.throttle.max_source_lag.is_none() && self.throttle.max_source_latency.is_none() {
            return Ok(None);
        }
        let begun = clock::boottime();
        self.source.query("SELECT 1").await.doing("looking at the source")?;
        let latency = clock::boottime().saturating_sub(begun);
        let lag = match self.throttle.max_source_lag {
            Some(_) => self.source.lag().await.doing("asking the source how far it is behind")?,
            None => None,
        };
        Ok(sparing(&self.throttle, lag, latency))
    }

    /// Gives up a part of what is left, if there is enough.
    async fn cut(&mut self) -> Result<(), SyncError> {
        let found =
            split_key(self.source.as_mut(), &self.plan, &self.piece, self.cursor.as_ref(), self.left).await?;
        if let Some(at) = found {
            self.piece.upper = Some(at.clone());
            self.left /= 2;
            if self.out.send(Read::Cut { at }).await.is_err() {
                return Err(SyncError::Stopped);
            }
        }
        Ok(())
    }
}

/// Hands pages over in the middle of a read.
struct WholeSink<'a> {
    form: &'a Form,
    maker: Option<PageMaker<'a>>,
    bytes: usize,
    out: &'a mpsc::Sender<Read>,
    free: &'a mut mpsc::Receiver<Page>,
    stop: &'a watch::Receiver<Option<StopReason>>,
    broken: bool,
}

impl WholeSink<'_> {
    fn hand_over(&mut self) -> ControlFlow<()> {
        let memory = self.free.try_recv().unwrap_or_default();
        let next = PageMaker::new(&self.form.rows, memory, self.form.raw, self.bytes);
        let Some(full) = self.maker.replace(next) else { return ControlFlow::Continue(()) };
        let page = full.finish(None);
        // The read is in the middle of its rows: this thread waits for the writer, others take its tasks over.
        let is_sent = tokio::task::block_in_place(|| self.out.blocking_send(Read::Page(page)).is_ok());
        if !is_sent || self.stop.borrow().is_some() {
            self.broken = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl RowSink for WholeSink<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        if let Some(maker) = &mut self.maker {
            maker.cell(value);
        }
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        match self.maker.as_mut().map(RowSink::end_row) {
            Some(ControlFlow::Break(())) => self.hand_over(),
            Some(ControlFlow::Continue(())) | None => ControlFlow::Continue(()),
        }
    }

    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        match self.maker.as_mut().map(|maker| maker.raw_row(row)) {
            Some(ControlFlow::Break(())) => self.hand_over(),
            Some(ControlFlow::Continue(())) | None => ControlFlow::Continue(()),
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
