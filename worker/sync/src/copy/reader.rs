//! Reads one page after the other, of fitting size, while the one before is written.
//!
//! In: a piece and where it stands. Out: pages in order, and cuts between them.
//! Never: more than one page ahead of the writer; a page sized by the time it took, since that includes waiting.
//! Tests: `worker/sync/tests/`.

use super::cut::split_key;
use super::form::Form;
use super::pace::{LOOK_EVERY, rows_of_a_second, sparing};
use super::page::{Page, PageMaker};
use super::turn::Turn;
use crate::db::{Connection, RowSink, Select};
use crate::error::{Doing, SyncError};
use crate::plan::{By, Key, Piece, TablePlan};
use shanty_model::kind::db_sync::{Note, Throttle};
use shanty_rt::clock;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Rows of a shard's first page, whose width is not known yet.
const FIRST_ROWS: u64 = 1_000;
/// Fewest rows of a page.
const LEAST_ROWS: u64 = 10;
/// A page grows by at most this factor over the one before.
const GROWTH: u64 = 8;
/// Bytes that a row of a table without a key is taken to have, when a page under a limit of bytes is cut.
const WHOLE_ROW: u64 = 64;
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
    pub(super) turn: Turn,
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
        let mut cuts_done = self.turn.limits().cuts;
        let mut looked_at = Duration::ZERO;
        let mut average = 256;
        loop {
            let limits = self.turn.come().await?;
            self.mind_the_source(&mut looked_at).await?;
            if limits.cuts > cuts_done {
                cuts_done = limits.cuts;
                self.cut().await?;
            }
            let rows = limit.min(rows_of_a_second(&limits, average));
            let page = self.read_page(rows).await?;
            let (read, bytes) = (count(page.rows() + page.refused.len()), page.bytes);
            self.turn.spend(read, bytes);
            self.left = self.left.saturating_sub(read);
            if let Some(width) = count(page.payload_bytes()).checked_div(read) {
                average = width.max(1);
                let fitting = count(self.sizes.bytes) / average;
                limit = fitting.min(limit * GROWTH).clamp(LEAST_ROWS, self.sizes.rows.max(LEAST_ROWS));
            }
            let last = page.last;
            self.cursor = page.last_key.clone().or(self.cursor);
            let goes_on = match (read, last) {
                (0, _) => true,
                (_, true) => self.out.send(Read::Page(page)).await.is_ok(),
                (_, false) => hand_over(&self.out, page).await,
            };
            if !goes_on {
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
            rows: 0,
            sizes: self.sizes,
            out: &self.out,
            free: &mut self.free,
            turn: &mut self.turn,
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

    /// Looks at the source's condition now and then, and waits while it wants to be spared.
    async fn mind_the_source(&mut self, looked_at: &mut Duration) -> Result<(), SyncError> {
        if clock::boottime().saturating_sub(*looked_at) < LOOK_EVERY {
            return Ok(());
        }
        if let Some(why) = self.look_at_source().await? {
            let message = format!("reading pauses: {why}");
            let note = Note { warning: true, reason: "SOURCE_SPARED".to_owned(), message };
            if self.out.send(Read::Note(note)).await.is_err() {
                return Err(SyncError::Stopped);
            }
            self.spare().await?;
        }
        *looked_at = clock::boottime();
        Ok(())
    }

    /// Waits until the source is in good condition again.
    async fn spare(&mut self) -> Result<(), SyncError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SPARE_FOR) => {}
                () = self.turn.stopped() => return Err(SyncError::Stopped),
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
    /// Rows of the page in hand.
    rows: u64,
    sizes: Sizes,
    out: &'a mpsc::Sender<Read>,
    free: &'a mut mpsc::Receiver<Page>,
    turn: &'a mut Turn,
    broken: bool,
}

impl WholeSink<'_> {
    fn hand_over(&mut self) -> ControlFlow<()> {
        let memory = self.free.try_recv().unwrap_or_default();
        let next = PageMaker::new(&self.form.rows, memory, self.form.raw, self.sizes.bytes);
        let Some(full) = self.maker.replace(next) else { return ControlFlow::Continue(()) };
        let page = full.finish(None);
        self.rows = 0;
        self.turn.spend(count(page.rows() + page.refused.len()), page.bytes);
        // The read is in the middle of its rows: this thread waits for the writer, others take its tasks over.
        let goes_on = tokio::task::block_in_place(|| {
            Handle::current()
                .block_on(async { hand_over(self.out, page).await && self.turn.come().await.is_ok() })
        });
        if goes_on {
            return ControlFlow::Continue(());
        }
        self.broken = true;
        ControlFlow::Break(())
    }

    /// A row has ended: its page may have as well.
    fn ended(&mut self, is_full: ControlFlow<()>) -> ControlFlow<()> {
        self.rows += 1;
        let most = self.sizes.rows.min(rows_of_a_second(self.turn.limits(), WHOLE_ROW));
        if is_full.is_break() || self.rows >= most { self.hand_over() } else { ControlFlow::Continue(()) }
    }
}

impl RowSink for WholeSink<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        if let Some(maker) = &mut self.maker {
            maker.cell(value);
        }
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        let is_full = self.maker.as_mut().map_or(ControlFlow::Continue(()), RowSink::end_row);
        self.ended(is_full)
    }

    fn raw_row(&mut self, row: &[u8]) -> ControlFlow<()> {
        let is_full = self.maker.as_mut().map_or(ControlFlow::Continue(()), |maker| maker.raw_row(row));
        self.ended(is_full)
    }
}

/// Hands a page over and waits until the writer has taken it up, so that a shard has memory for two pages and no more:
/// one being read, one being written. False when the writer is gone.
async fn hand_over(out: &mpsc::Sender<Read>, page: Page) -> bool {
    out.send(Read::Page(page)).await.is_ok() && out.reserve().await.is_ok()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
