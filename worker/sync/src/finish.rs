//! What is left to do with a table when all of its rows are there: its key, indexes, counters, the watermark; and at the
//! very end, the sync's own state.
//!
//! In: a table's plan. Out: the table as it should be. Never: an index on a table that was there before.
//! Tests: `worker/sync/tests/`.

use crate::control::Position;
use crate::error::{Doing, SyncError};
use crate::schema::Table;
use crate::work::Work;
use shanty_model::kind::db_sync::{Partial, Step};

/// Finishes a table. Done again, it does what is missing.
///
/// # Errors
/// [`SyncError`].
pub async fn finish(work: &Work<'_>, table: u32) -> Result<(), SyncError> {
    let mut target = work.target().await?;
    let mut held = work.acquire(target.as_mut()).await?;
    let plan = work.control.table(target.as_mut(), table).await?;
    let name = &plan.target.name;
    if plan.creates {
        let there = target.describe(name).await.doing(&format!("describing {name} in the target"))?;
        let (made, keyed) =
            there.map(|there| (there.indexes, !there.primary_key.is_empty())).unwrap_or_default();
        if let (true, Some(sql)) = (plan.key_later && !keyed, target.dialect().create_key(&plan.target)) {
            target.execute(&sql).await.doing(&format!("creating the key of {name}"))?;
        }
        let indexes =
            plan.target.indexes.iter().filter(|index| !made.iter().any(|made| same(index, made))).cloned();
        let missing = Table { indexes: indexes.collect(), ..plan.target.clone() };
        for sql in target.dialect().create_indexes(&missing) {
            work.go_on()?;
            target.execute(&sql).await.doing(&format!("creating an index of {name}"))?;
        }
    }
    for sql in target.dialect().after_load(&plan.target) {
        target.execute(&sql).await.doing(&format!("setting the counters of {name}"))?;
    }
    target.begin().await.doing("ending a table in the target")?;
    let at = Position { done: true, ..held.at.clone() };
    work.control.advance(target.as_mut(), &held, 0, &at).await?;
    if let (Some(stream), Some(watermark)) = (&plan.stream, &plan.watermark) {
        for sql in work.control.set_mark(target.as_ref(), stream, watermark) {
            target.execute(&sql).await.doing("setting the watermark in the target")?;
        }
    }
    target.commit(true).await.doing("ending a table in the target")?;
    held.moved(1, at);
    work.put_back(None, Some(target));
    let more = Partial { watermark: plan.watermark.clone(), ..Partial::new(Step::Finish { table }) };
    work.report(&held.at, more).await
}

/// Removes the state of the run from the target.
///
/// # Errors
/// [`SyncError`].
pub async fn close(work: &Work<'_>) -> Result<(), SyncError> {
    let mut target = work.target().await?;
    work.control.close(target.as_mut()).await?;
    work.put_back(None, Some(target));
    work.emit(&Partial::new(Step::Close)).await
}

/// Whether two indexes cover the same columns in the same way, whatever their names.
fn same(a: &crate::schema::Index, b: &crate::schema::Index) -> bool {
    let names = |index: &crate::schema::Index| {
        index.columns.iter().map(|c| c.name.to_lowercase()).collect::<Vec<_>>()
    };
    a.unique == b.unique && names(a) == names(b)
}
