//! A comparison as a step of the run.
//!
//! In: a table's plan, the range of one of its copies or none. Out: a result in the shard's row and in the report; a
//! step that is done says the same again. Never: extra rows told where only some of the source's rows are copied.
//! Tests: `worker/sync/tests/databases/verify.rs`.

use super::compare::{overview, settle};
use super::ends::{Ends, Groups};
use super::frame::{Frame, How};
use super::kept::Kept;
use super::read_back::ReadBack;
use super::repair;
use super::unlike::{Faults, Unlike};
use crate::control::{Held, Position};
use crate::db::Connection;
use crate::digest::RowDigest;
use crate::error::{Doing, SyncError};
use crate::plan::{Piece, TablePlan};
use crate::work::Work;
use shanty_model::kind::db_sync::{Mode, OnExisting, OnLossy, Partial, Step, Verification, Verify};
use std::collections::HashSet;
use std::time::Duration;

/// Looks at numbers that differ before they are believed.
const LOOKS: u32 = 3;
/// Between these.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1100);

/// Compares a piece of a table, or all of it.
///
/// # Errors
/// [`SyncError`]; `Permanent` when a repair would empty the target.
pub async fn verify(work: &Work<'_>, table: u32, part: Option<u32>) -> Result<(), SyncError> {
    let mut target = work.target().await?;
    let held = work.acquire(target.as_mut()).await?;
    let kept = Kept::read(&held.at.detail);
    if held.at.done {
        work.put_back(None, Some(target));
        return report(work, &held, kept).await;
    }
    let plan = work.control.table(target.as_mut(), table).await?;
    let plan = described(target.as_mut(), plan).await?;
    let (piece, copied) = copied(work, target.as_mut(), table, part).await?;
    let rejected = work.control.rejected(target.as_mut(), table, part).await?;
    let source = work.source().await?;
    let level = work.spec().verify_level();
    let whole = plan.filters.is_empty()
        && !(work.spec().mode == Mode::Full && work.spec().on_existing == OnExisting::Upsert);
    let ends = Ends::new(work, source, target, &plan);
    let mut comparison = Comparison { ends, plan, piece, held, kept, level, whole, rejected };
    let result = match (level, copied.filter(|_| work.digests())) {
        (Verify::None | Verify::Count, _) => comparison.numbers().await?,
        (Verify::Checksum, Some(copied)) => match comparison.read_back(copied).await? {
            Some(equal) => equal,
            None => comparison.rows().await?,
        },
        (Verify::Checksum | Verify::Repair, _) => comparison.rows().await?,
    };
    let Comparison { ends, held, kept, .. } = comparison;
    finish(ends, held, Kept { result: Some(result), ..kept }).await
}

/// The range of a copy, or none for the whole table; and the digest of what was copied, where all of it is in one.
async fn copied(
    work: &Work<'_>,
    target: &mut dyn Connection,
    table: u32,
    part: Option<u32>,
) -> Result<(Option<Piece>, Option<RowDigest>), SyncError> {
    if let Some(part) = part {
        let at = work.control.position(target, Step::Copy { table, part }).await?;
        return Ok((Some(at.piece), RowDigest::read(&at.detail).filter(|_| at.done)));
    }
    let known = work.control.shards(target).await?;
    let copies = known.iter().filter(|known| matches!(known.step, Step::Copy { table: t, .. } if t == table));
    let mut digests = copies.map(|copy| RowDigest::read(&copy.detail).filter(|_| copy.done));
    let first = digests.next().flatten();
    Ok((None, digests.fold(first, |sum, digest| sum?.joined(digest?))))
}

/// The plan with the target's native types as they are now.
async fn described(target: &mut dyn Connection, mut plan: TablePlan) -> Result<TablePlan, SyncError> {
    let name = plan.target.name.clone();
    let gone =
        |what: &str| SyncError::permanent(format!("{what} is gone since it was copied; copy it again"));
    let there = target.describe(&name).await.doing(&format!("describing {name} in the target"))?;
    let there = there.ok_or_else(|| gone(&format!("target.table: {name}")))?;
    plan.take_natives(&there).map_err(|column| gone(&format!("columns: `{column}` of {name}")))?;
    Ok(plan)
}

/// Keeps the result and tells it.
async fn finish(mut ends: Ends<'_>, mut held: Held, kept: Kept) -> Result<(), SyncError> {
    let doing = "ending a comparison in the target";
    let at = Position { done: true, detail: kept.detail(), ..held.at.clone() };
    ends.target.begin().await.doing(doing)?;
    ends.work.control.advance(ends.target.as_mut(), &held, 0, &at).await?;
    ends.target.commit(true).await.doing(doing)?;
    held.moved(1, at);
    let Ends { work, source, target, .. } = ends;
    work.put_back(Some(source), Some(target));
    report(work, &held, kept).await
}

async fn report(work: &Work<'_>, held: &Held, kept: Kept) -> Result<(), SyncError> {
    let more = Partial { verification: kept.result, notes: kept.notes, ..Partial::new(work.step()) };
    work.report(&held.at, more).await
}

/// A comparison under way.
pub(super) struct Comparison<'a> {
    pub(super) ends: Ends<'a>,
    pub(super) plan: TablePlan,
    piece: Option<Piece>,
    pub(super) held: Held,
    pub(super) kept: Kept,
    level: Verify,
    /// Whether all of the target's rows come from this source.
    whole: bool,
    /// Keys of the rows that the copy put aside, one of them for each.
    rejected: Vec<String>,
}

impl Comparison<'_> {
    fn frame(&self, how: How) -> Result<Frame, SyncError> {
        self.frame_of(self.piece.as_ref(), how)
    }

    fn frame_of(&self, piece: Option<&Piece>, how: How) -> Result<Frame, SyncError> {
        let ends = (self.ends.source.dialect(), self.ends.target.dialect());
        Frame::new(&self.plan, ends, piece, how, self.ends.work.spec().on_lossy)
    }

    fn put_aside(&self) -> u64 {
        u64::try_from(self.rejected.len()).unwrap_or(u64::MAX)
    }

    fn not_all(&mut self, beyond: u64) {
        if beyond > 0 {
            let message = format!(
                "{} rows of {} are not among the rows copied: with a condition, or with on_existing UPSERT, nobody can tell \
                 whether they belong there, so they stay",
                beyond, self.plan.target.name
            );
            self.kept.note(false, "ROWS_BEYOND_THE_COPY", message);
        }
    }

    fn put_aside_noted(&mut self) {
        let aside = self.put_aside();
        if aside > 0 {
            let message = format!(
                "{aside} rows of {} were put aside by the copy (shanty_sync_reject); they are not counted as missing",
                self.plan.source
            );
            self.kept.note(true, "ROWS_PUT_ASIDE", message);
        }
    }

    /// Tells how far it is, so that it is not taken for dead.
    async fn progress(&mut self, source_rows: u64, target_rows: u64) -> Result<(), SyncError> {
        let so_far = self.result(source_rows, target_rows, Faults::default());
        let more = Partial {
            verification: Some(Verification { equal: false, ..so_far }),
            ..Partial::new(self.ends.work.step())
        };
        self.ends.work.report(&self.held.at, more).await
    }

    /// The result with faults that were not mended.
    fn result(&self, source_rows: u64, target_rows: u64, left: Faults) -> Verification {
        let mended = self.kept.mended;
        let mut all = mended;
        all += left;
        Verification {
            level: self.level,
            source_rows,
            target_rows,
            missing: all.missing,
            extra: all.extra,
            different: all.different,
            repaired: mended.all(),
            not_compared: Vec::new(),
            examples: self.kept.examples.clone(),
            equal: left.all() == 0,
            read_back: false,
        }
    }

    /// Compares numbers of rows.
    async fn numbers(&mut self) -> Result<Verification, SyncError> {
        let frame = self.frame(How::Cells)?;
        let aside = self.put_aside();
        let mut looks = 0;
        loop {
            let (source, target) = self.ends.counts(&frame).await?;
            looks += 1;
            let expected = source.saturating_sub(aside);
            let faults = Faults {
                missing: expected.saturating_sub(target),
                extra: if self.whole { target.saturating_sub(expected) } else { 0 },
                different: 0,
            };
            if faults.all() == 0 || looks >= LOOKS {
                self.put_aside_noted();
                if !self.whole {
                    self.not_all(target.saturating_sub(expected));
                }
                return Ok(self.result(source, target, faults));
            }
            self.ends.wait(BETWEEN_LOOKS).await?;
        }
    }

    /// Compares the target with what the copy read. None when that does not say that they are equal: both ends say more.
    async fn read_back(&mut self, copied: RowDigest) -> Result<Option<Verification>, SyncError> {
        let frame = self.frame(How::Cells)?;
        let rows = ReadBack::new(&self.plan, frame.source.dialect.engine(), &frame.target, copied.way);
        let (source_rows, found) = self.ends.read_back(&frame, &rows).await?;
        if found != copied || source_rows != copied.rows + self.put_aside() {
            return Ok(None);
        }
        self.put_aside_noted();
        let equal = self.result(source_rows, found.rows, Faults::default());
        Ok(Some(Verification { read_back: true, ..equal }))
    }

    /// Compares rows, and repairs those that differ if that was asked for.
    async fn rows(&mut self) -> Result<Verification, SyncError> {
        let mut frame = self.frame(How::Servers)?;
        let keyed = frame.is_keyed();
        // A value that was changed on the way differs for the servers although it is what was asked for.
        let doubtful = frame.doubtful || self.ends.work.spec().on_lossy != OnLossy::Error;
        if doubtful && !keyed {
            // Without a key such a row would have two places.
            frame = self.frame(How::Cells)?;
        }
        let cells = if doubtful && keyed { Some(self.frame(How::Cells)?) } else { None };
        let found = overview(&mut self.ends, &frame).await?;
        self.progress(found.source_rows, found.target_rows).await?;
        let repairs = self.level == Verify::Repair && keyed;
        let fewer = found.target_rows.saturating_sub(found.source_rows);
        if repairs && self.whole && fewer > found.target_rows / 2 {
            // A piece may be small; it is the table that must not be emptied.
            let whole = self.frame_of(None, How::Servers)?;
            let (source, target) = self.ends.counts(&whole).await?;
            repair::guard(&self.plan, target, target.saturating_sub(source))?;
        }
        let rejected: HashSet<String> = self.rejected.iter().cloned().collect();
        let nameless = if keyed { 0 } else { self.put_aside() };
        let (mut left, mut changing, mut beyond) = (Faults::default(), 0, 0);
        for groups in &found.batches {
            self.ends.work.go_on()?;
            let mut unlike = self.ends.unlike_in(&frame, groups).await?;
            unlike.retain(|place| !self.is_expected(place, &rejected, &mut beyond));
            if let Some(cells) = &cells {
                unlike = self.ends.unlike_again(cells, groups, &unlike).await?;
            }
            let frame = cells.as_ref().unwrap_or(&frame);
            let settled = settle(&mut self.ends, frame, groups, unlike).await?;
            changing += settled.changing;
            for place in &settled.unlike {
                self.kept.example(place.shown());
            }
            if repairs {
                let guarded = self.whole.then_some(found.target_rows);
                let (unrepaired, unsettled) = self.repair((frame, groups), settled.unlike, guarded).await?;
                left += unrepaired;
                changing += unsettled;
            } else {
                left += sum(&settled.unlike);
            }
        }
        // Which rows were put aside is not known without a key: as many may be missing.
        left.missing -= left.missing.min(nameless);
        self.put_aside_noted();
        self.not_all(beyond);
        if changing > 0 {
            let message = format!(
                "{changing} rows of {} changed at every look and were not compared",
                self.plan.source
            );
            self.kept.note(true, "ROWS_CHANGING", message);
        }
        if left.all() > 0 && self.level == Verify::Repair && !keyed {
            let message = format!(
                "{} has no key by which single rows could be repaired: give it a primary key, or copy it again with \
                 on_existing TRUNCATE",
                self.plan.source
            );
            self.kept.note(true, "REPAIR_NEEDS_A_KEY", message);
        }
        Ok(self.result(found.source_rows, found.target_rows, left))
    }

    /// Whether a place is unlike by design: its row was put aside, or nobody knows where it is from.
    fn is_expected(&self, place: &Unlike, rejected: &HashSet<String>, beyond: &mut u64) -> bool {
        if place.source.is_empty() && !self.whole {
            *beyond += u64::try_from(place.target.len()).unwrap_or(u64::MAX);
            return true;
        }
        place.target.is_empty() && place.shown().is_some_and(|key| rejected.contains(&key))
    }
}

/// All faults of some places.
pub(super) fn sum(places: &[Unlike]) -> Faults {
    places.iter().fold(Faults::default(), |mut sum, place| {
        sum += place.faults();
        sum
    })
}

/// The places of a batch, for who repairs them.
pub(super) type Batch<'a> = (&'a Frame, &'a Groups);
