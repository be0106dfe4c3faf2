//! From two sums that differ to the rows that do.
//!
//! ```text
//!  sums of all rows ─ equal ─► done, one scan of each end
//!        └ differ ─► sums by group ─► rows of the groups that differ ─► unlike ─► looked at again ─► faults
//! ```
//! A row that is unlike is looked at again, a second later or more and three times at most: it counts when the source
//! has the same there as before and the target still has not. So writers that go on meanwhile raise no alarm.
//!
//! In: a frame. Out: faults that are certain, batch by batch. Never: more than a batch of rows in memory.
//! Tests: `worker/sync/tests/databases/verify.rs`.

use super::ends::{Ends, Groups};
use super::frame::Frame;
use super::scan::{Sum, Sums};
use super::unlike::Unlike;
use crate::error::SyncError;
use shanty_rt::clock;
use std::time::Duration;

/// Rows aimed at for a group.
const ROWS_PER_GROUP: u64 = 64;
/// Most groups: their sums are kept in memory, twice.
const MOST_GROUPS: u64 = 1 << 19;
/// Rows of one end that are held in memory at once, about.
const ROWS_AT_ONCE: u64 = 100_000;
/// Most numbers of groups in one statement.
const GROUPS_AT_ONCE: usize = 10_000;
/// Between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1100);
/// Most looks at a row.
const LOOKS: u32 = 3;

/// What the scan of all rows found.
pub(super) struct Overview {
    pub(super) source_rows: u64,
    pub(super) target_rows: u64,
    /// Groups to be looked into; empty when both ends are equal.
    pub(super) batches: Vec<Groups>,
}

/// Compares the sums.
///
/// # Errors
/// [`SyncError`].
pub(super) async fn overview(ends: &mut Ends<'_>, frame: &Frame) -> Result<Overview, SyncError> {
    let (source, target) = ends.sums(frame, 1).await?;
    let rows = |sums: &Sums| sums.iter().map(|sum| sum.rows).sum();
    let (source_rows, target_rows): (u64, u64) = (rows(&source), rows(&target));
    if source == target {
        return Ok(Overview { source_rows, target_rows, batches: Vec::new() });
    }
    ends.work.go_on()?;
    let most = source_rows.max(target_rows);
    let groups = (most / ROWS_PER_GROUP).clamp(1, MOST_GROUPS);
    if groups == 1 {
        let batches = vec![Groups { of: 1, numbers: vec![0] }];
        return Ok(Overview { source_rows, target_rows, batches });
    }
    let (source, target) = ends.sums(frame, groups).await?;
    Ok(Overview { source_rows, target_rows, batches: batches(groups, &source, &target) })
}

/// The groups that differ, in batches of so many rows as fit in memory.
fn batches(of: u64, source: &[Sum], target: &[Sum]) -> Vec<Groups> {
    let mut batches: Vec<Groups> = Vec::new();
    let mut rows = 0;
    for (number, (source, target)) in (0..of).zip(source.iter().zip(target)) {
        if source == target {
            continue;
        }
        rows += source.rows.max(target.rows);
        match batches.last_mut().filter(|batch| rows <= ROWS_AT_ONCE && batch.numbers.len() < GROUPS_AT_ONCE)
        {
            Some(batch) => batch.numbers.push(number),
            None => {
                rows = source.rows.max(target.rows);
                batches.push(Groups { of, numbers: vec![number] });
            }
        }
    }
    batches
}

/// What came of looking again.
pub(super) struct Settled {
    /// Unlike for certain.
    pub(super) unlike: Vec<Unlike>,
    /// Places that were changing at every look.
    pub(super) changing: u64,
}

/// Looks at places again until it is certain what they are.
///
/// # Errors
/// [`SyncError`].
pub(super) async fn settle(
    ends: &mut Ends<'_>,
    frame: &Frame,
    groups: &Groups,
    found: Vec<Unlike>,
) -> Result<Settled, SyncError> {
    let (mut open, mut settled, mut looks) = (found, Vec::new(), 1);
    let mut looked_at = clock::boottime();
    while !open.is_empty() && looks < LOOKS {
        ends.wait(BETWEEN_LOOKS.saturating_sub(clock::boottime().saturating_sub(looked_at))).await?;
        looked_at = clock::boottime();
        let again = ends.unlike_again(frame, groups, &open).await?;
        looks += 1;
        let before: std::collections::HashMap<u64, Unlike> =
            open.into_iter().map(|place| (place.place(), place)).collect();
        open = Vec::new();
        for place in again {
            let stable = before.get(&place.place()).is_some_and(|before| place.source_is_as_in(before));
            if stable { settled.push(place) } else { open.push(place) }
        }
    }
    let changing = u64::try_from(open.len()).unwrap_or(u64::MAX);
    Ok(Settled { unlike: settled, changing })
}
