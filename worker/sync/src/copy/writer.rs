//! Writes the pages of one shard, each in one transaction with its position.
//!
//! ```text
//!   begin ─► move the shard on (0 rows: fenced, stop) ─► load ─► commit
//!                                                         └ refused ─► roll back ─► isolate
//! ```
//! When a connection is lost nobody knows whether the last commit was done: both sessions are thrown away,
//! the shard is taken again, and the target says where it stands.
//!
//! In: a held shard. Out: its rows, committed; reports. Never: a commit without the fence before it.
//! Tests: `worker/sync/tests/`.

use super::form::Form;
use super::isolate::{Bad, Budget, isolate};
use super::page::Page;
use super::reader::{Read, Reader, Sizes};
use super::turn::Turn;
use crate::control::{Held, Position, Rejected};
use crate::db::{Class, Connection};
use crate::digest::{RowDigest, Way, md5_hex};
use crate::error::{Doing, SyncError};
use crate::plan::{By, Key, Piece, TablePlan};
use crate::work::{REPORT_EVERY, Work};
use shanty_model::kind::db_sync::{Found, Note, Partial, Step};
use shanty_rt::backoff::Backoff;
use shanty_rt::clock;
use shanty_rt::task::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Parts that were cut off another one are numbered from here.
const CUT_PARTS: u32 = 1_000_000;
/// Tries over new connections before another attempt is asked for, without any progress between them.
const TRIES: u32 = 5;
/// A transaction that waits for rows says so this often, so that the target does not take it for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);

/// Copies the shard of this attempt to its end.
///
/// # Errors
/// [`SyncError`]; what was committed before stays.
pub async fn copy(work: &Work<'_>) -> Result<(), SyncError> {
    let mut tries = 0;
    let mut reached = None;
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let mut at = None;
        match copy_over_new_sessions(work, tries > 0, &mut at).await {
            Err(SyncError::Transient(message)) => {
                work.go_on()?;
                if at.is_some() && at != reached {
                    (tries, reached) = (0, at);
                    backoff.reset();
                }
                tries += 1;
                if tries >= TRIES {
                    return Err(SyncError::Transient(message));
                }
                tracing::warn!(message, tries, "copying goes on over new connections");
                tokio::time::sleep(backoff.next_wait()).await;
            }
            ended => return ended,
        }
    }
}

async fn copy_over_new_sessions(
    work: &Work<'_>,
    again: bool,
    reached: &mut Option<Option<Key>>,
) -> Result<(), SyncError> {
    let Step::Copy { table, .. } = work.step() else {
        return Err(SyncError::permanent("this step copies nothing"));
    };
    let mut target = work.target().await?;
    let mut held = work.acquire(target.as_mut()).await?;
    if again || work.cx.id().number > 1 {
        report_cut_parts(work, target.as_mut()).await?;
    }
    work.report(&held.at, Partial::new(work.step())).await?;
    *reached = Some(held.at.cursor.clone());
    if held.at.done {
        work.put_back(None, Some(target));
        return Ok(());
    }
    let plan = Arc::new(work.control.table(target.as_mut(), table).await?);
    let source = work.source().await?;
    let spec = work.spec();
    let digests = work.digests();
    let form = Form::new(&plan, &held.at.piece, source.as_ref(), target.as_ref(), spec.on_lossy, digests)?;
    let form = Arc::new(form);
    held.at.detail = begun(&held.at, form.rows.hashing.as_ref().map(|hashing| hashing.way));
    let (out, pages) = mpsc::channel(1);
    let (free, memory) = mpsc::channel(2);
    let reader = Reader {
        source,
        plan: plan.clone(),
        form: form.clone(),
        piece: held.at.piece.clone(),
        cursor: held.at.cursor.clone(),
        left: held.at.size.saturating_sub(held.at.rows),
        sizes: Sizes {
            bytes: usize::try_from(spec.page_bytes()).unwrap_or(usize::MAX),
            rows: u64::from(spec.page_rows()),
        },
        throttle: spec.throttle,
        turn: Turn::new(work.cx.directive_changes(), work.cx.stopped()),
        out,
        free: memory,
    };
    let mut writer = Writer { work, plan, form, held, target, free, reported: clock::boottime() };
    let (ended, end) = oneshot::channel();
    let mut scope = Scope::new();
    scope.spawn("sync reader", async move {
        // The writer asks for it when the pages have ended.
        let _gone = ended.send(reader.run().await);
    });
    let written = writer.write_all(pages).await;
    *reached = Some(writer.held.at.cursor.clone());
    // A reader that is in the middle of something ends with its scope, and its session with it.
    let read = if written.is_ok() {
        end.await
    } else {
        drop(scope);
        return written;
    };
    let source = match read {
        Ok(read) => read?,
        Err(_panicked) => return Err(SyncError::Transient("the reader ended without a word".to_owned())),
    };
    writer.finish().await?;
    let Writer { target, held, .. } = writer;
    work.put_back(Some(source), Some(target));
    work.report(&held.at, Partial::new(work.step())).await
}

/// The digest from which a copy goes on, as its shard keeps it; nothing where none is wanted, or where rows are written
/// that are in none.
fn begun(at: &Position, way: Option<Way>) -> String {
    let Some(way) = way else { return String::new() };
    let is_new = at.cursor.is_none() && at.rows + at.bad_rows == 0;
    let kept = if is_new { Some(RowDigest::new(way)) } else { RowDigest::read(&at.detail) };
    kept.filter(|kept| kept.way == way).map(|kept| kept.detail()).unwrap_or_default()
}

/// A former attempt may have cut parts off without living to say so.
async fn report_cut_parts(work: &Work<'_>, target: &mut dyn Connection) -> Result<(), SyncError> {
    let found = work
        .control
        .shards(target)
        .await?
        .into_iter()
        .filter(|known| matches!(known.step, Step::Copy { part, .. } if part >= CUT_PARTS))
        .map(|known| Found { step: known.step, rows: known.size })
        .collect();
    work.emit(&Partial { found, ..Partial::new(work.step()) }).await
}

struct Writer<'a> {
    work: &'a Work<'a>,
    plan: Arc<TablePlan>,
    form: Arc<Form>,
    held: Held,
    target: Box<dyn Connection>,
    free: mpsc::Sender<Page>,
    reported: Duration,
}

impl Writer<'_> {
    async fn write_all(&mut self, mut pages: mpsc::Receiver<Read>) -> Result<(), SyncError> {
        if self.held.at.piece.by == By::Whole {
            return self.write_whole(pages).await;
        }
        while let Some(read) = pages.recv().await {
            match read {
                Read::Page(page) => {
                    self.write_page(&page).await?;
                    // The reader may have ended already.
                    let _gone = self.free.try_send(page);
                }
                Read::Cut { at } => self.cut(at).await?,
                Read::Note(note) => self.note(note).await?,
            }
            if clock::boottime().saturating_sub(self.reported) >= REPORT_EVERY {
                self.reported = clock::boottime();
                self.work.report(&self.held.at, Partial::new(self.work.step())).await?;
            }
        }
        Ok(())
    }

    async fn note(&mut self, note: Note) -> Result<(), SyncError> {
        let more = Partial { notes: vec![note], ..Partial::new(self.work.step()) };
        self.work.report(&self.held.at, more).await
    }

    /// The position after a page of which the rows `bad` are put aside as well.
    fn after(&self, page: &Page, bad: &[Bad]) -> Position {
        let mut at = self.held.at.clone();
        let refused = count(bad.len());
        at.cursor = page.last_key.clone().or(at.cursor);
        at.rows += count(page.rows()).saturating_sub(refused);
        at.bytes += page.bytes;
        at.bad_rows += count(page.refused.len()) + refused;
        for (event, n) in &page.lossy {
            *at.lossy.entry((*event).to_owned()).or_default() += n;
        }
        if let Some(mut digest) = RowDigest::read(&at.detail) {
            page.add_to(&mut digest, bad.iter().map(|bad| bad.row));
            at.detail = digest.detail();
        }
        at
    }

    async fn write_page(&mut self, page: &Page) -> Result<(), SyncError> {
        self.target.begin().await.doing("beginning a page in the target")?;
        let at = self.after(page, &[]);
        let (at, moves) = match self.write_in_transaction(page, at).await {
            Ok(written) => written,
            Err(error) => {
                // A lost connection rolls back by itself.
                let _lost = self.target.rollback().await;
                return Err(error);
            }
        };
        self.target.commit(false).await.doing("committing a page in the target")?;
        self.held.moved(moves, at);
        Ok(())
    }

    /// Fence, rows, rows put aside; answers where the shard stands then, and how often its row was changed.
    async fn write_in_transaction(
        &mut self,
        page: &Page,
        at: Position,
    ) -> Result<(Position, u64), SyncError> {
        let control = self.work.control.clone();
        control.advance(self.target.as_mut(), &self.held, 0, &at).await?;
        self.put_aside_refused(page).await?;
        let rows = page.rows();
        if rows == 0 {
            return Ok((at, 1));
        }
        let loaded = self.target.load(&self.form.load, page.slice(0, rows), count(rows)).await;
        let error = match loaded {
            Ok(_) => return Ok((at, 1)),
            Err(error) if error.class == Class::Row => error,
            Err(error) => return Err(SyncError::db(&format!("writing {}", self.plan.target.name), &error)),
        };
        tracing::info!(%error, table = %self.plan.target.name, "the target refuses a row of a page");
        self.target.rollback().await.doing("rolling a page back in the target")?;
        self.target.begin().await.doing("beginning a page in the target")?;
        control.advance(self.target.as_mut(), &self.held, 0, &at).await?;
        self.put_aside_refused(page).await?;
        let budget = Budget { most: self.work.spec().max_bad_rows, spent: at.bad_rows };
        let bad = isolate(self.target.as_mut(), &self.form, page, budget).await?;
        let number = at.bad_rows;
        for (n, bad) in (number..).zip(&bad) {
            let key = page.key_shown(bad.row, &self.form.rows);
            self.put_aside(n, &key, &bad.reason, page.row(bad.row)).await?;
        }
        let at = self.after(page, &bad);
        control.advance(self.target.as_mut(), &self.held, 1, &at).await?;
        Ok((at, 2))
    }

    /// Rows that could not be encoded.
    async fn put_aside_refused(&mut self, page: &Page) -> Result<(), SyncError> {
        let Some(first) = page.refused.first() else { return Ok(()) };
        let most = u64::from(self.work.spec().max_bad_rows);
        if self.held.at.bad_rows + count(page.refused.len()) > most {
            return Err(too_many(&self.plan, &first.key, &first.reason, most));
        }
        for (n, refused) in (self.held.at.bad_rows..).zip(&page.refused) {
            self.put_aside(n, &refused.key, &refused.reason, &refused.row).await?;
        }
        Ok(())
    }

    async fn put_aside(&mut self, number: u64, key: &str, reason: &str, row: &[u8]) -> Result<(), SyncError> {
        let table = self.plan.target.name.to_string();
        let digest = md5_hex(row);
        let rejected = Rejected { step: self.held.step, number, table: &table, key, reason, digest: &digest };
        let sql = self.work.control.reject(self.target.as_ref(), &rejected);
        self.target.execute(&sql).await.doing("putting a refused row aside in the target")?;
        Ok(())
    }

    /// A table without a key has no position: all of it is one transaction.
    async fn write_whole(&mut self, mut pages: mpsc::Receiver<Read>) -> Result<(), SyncError> {
        let begun = self.held.at.clone();
        let control = self.work.control.clone();
        self.target.begin().await.doing("beginning a table without a key in the target")?;
        control.advance(self.target.as_mut(), &self.held, 0, &begun).await?;
        let mut at = begun.clone();
        loop {
            let read = match tokio::time::timeout(SIGN_OF_LIFE, pages.recv()).await {
                Err(_waited) => {
                    self.target.query("SELECT 1").await.doing("keeping a transaction alive in the target")?;
                    continue;
                }
                Ok(None) => break,
                Ok(Some(read)) => read,
            };
            match read {
                Read::Page(page) => {
                    self.held.at = at.clone();
                    at = self.load_of_whole(&page).await?;
                    let _gone = self.free.try_send(page);
                }
                Read::Note(note) => {
                    self.held.at = begun.clone();
                    self.note(note).await?;
                }
                Read::Cut { .. } => {}
            }
        }
        self.work.go_on()?;
        // Not committed yet: with the shard's end, in `finish`.
        self.held.at = at;
        Ok(())
    }

    async fn load_of_whole(&mut self, page: &Page) -> Result<Position, SyncError> {
        self.put_aside_refused(page).await?;
        let at = self.after(page, &[]);
        let rows = page.rows();
        let doing = "marking a page in the target";
        self.target.execute("SAVEPOINT shanty_page").await.doing(doing)?;
        match self.target.load(&self.form.load, page.slice(0, rows), count(rows)).await {
            Ok(_) => {
                self.target.execute("RELEASE SAVEPOINT shanty_page").await.doing(doing)?;
                Ok(at)
            }
            Err(error) if error.class == Class::Row => {
                self.target.execute("ROLLBACK TO SAVEPOINT shanty_page").await.doing(doing)?;
                let budget = Budget { most: self.work.spec().max_bad_rows, spent: at.bad_rows };
                let bad = isolate(self.target.as_mut(), &self.form, page, budget).await?;
                for (n, bad) in (at.bad_rows..).zip(&bad) {
                    self.put_aside(n, "a row without a key", &bad.reason, page.row(bad.row)).await?;
                }
                Ok(self.after(page, &bad))
            }
            Err(error) => Err(SyncError::db(&format!("writing {}", self.plan.target.name), &error)),
        }
    }

    /// Marks the shard as done, safe from a crash of the target with everything before it.
    async fn finish(&mut self) -> Result<(), SyncError> {
        let whole = self.held.at.piece.by == By::Whole;
        if !whole {
            self.target.begin().await.doing("ending a shard in the target")?;
        }
        let at = Position { done: true, ..self.held.at.clone() };
        let (ahead, control) = (u64::from(whole), self.work.control.clone());
        control.advance(self.target.as_mut(), &self.held, ahead, &at).await?;
        self.target.commit(true).await.doing("ending a shard in the target")?;
        self.held.moved(ahead + 1, at);
        Ok(())
    }

    /// Gives everything after `at` to a new shard.
    async fn cut(&mut self, key: Key) -> Result<(), SyncError> {
        let Step::Copy { table, .. } = self.held.step else { return Ok(()) };
        for _ in 0..5 {
            let known = self.work.control.shards(self.target.as_mut()).await?;
            let newest = known.iter().filter_map(|known| match known.step {
                Step::Copy { table: t, part } if t == table && part >= CUT_PARTS => Some(part),
                _ => None,
            });
            let step = Step::Copy { table, part: newest.max().map_or(CUT_PARTS, |part| part + 1) };
            let left = self.held.at.size.saturating_sub(self.held.at.rows);
            let rest = Piece { lower: Some(key.clone()), ..self.held.at.piece.clone() };
            let mut at = self.held.at.clone();
            at.piece.upper = Some(key.clone());
            self.target.begin().await.doing("cutting a shard in the target")?;
            self.work.control.advance(self.target.as_mut(), &self.held, 0, &at).await?;
            let add = self.work.control.add(self.target.as_ref(), step, &rest, left / 2);
            match self.target.execute(&add).await {
                Ok(1) => {
                    self.target.commit(false).await.doing("cutting a shard in the target")?;
                    self.held.moved(1, at);
                    let found = vec![Found { step, rows: left / 2 }];
                    let more = Partial { found, ..Partial::new(self.work.step()) };
                    return self.work.report(&self.held.at, more).await;
                }
                // Another shard was cut at the same instant and has this number.
                Ok(_) => {}
                Err(error) if matches!(error.class, Class::Row | Class::Busy) => {}
                Err(error) => return Err(SyncError::db("cutting a shard in the target", &error)),
            }
            self.target.rollback().await.doing("cutting a shard in the target")?;
        }
        // The reader has ended its piece at `key`: what lies after it must not be forgotten.
        Err(SyncError::Transient("a shard could not be cut: its number was taken again and again".to_owned()))
    }
}

/// A refused row that no budget is left for.
pub(super) fn too_many(plan: &TablePlan, key: &str, reason: &str, most: u64) -> SyncError {
    let remedy = if most == 0 {
        "correct it in the source, choose on_lossy CONVERT or SET_NULL where a type cannot hold it, or allow \
         max_bad_rows"
            .to_owned()
    } else {
        format!("max_bad_rows is {most}")
    };
    SyncError::Permanent(format!("row {key} of {} is refused: {reason}; {remedy}", plan.source))
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
