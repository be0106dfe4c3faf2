//! Where a piece is cut in two for an idle worker: at a key that is there, found in the index.
//!
//! In: what is left of a piece. Out: the last key that stays, or none when too little is left.
//! Never: a middle computed between two keys, which a skewed key would make worthless.
//! Tests: `worker/sync/tests/`.

use super::form::order_expr;
use crate::db::{Connection, Order, SelectParts};
use crate::error::{Doing, SyncError};
use crate::plan::{By, Key, Piece, TablePlan};

/// Fewest rows that a shard keeps.
const LEAST: u64 = 5_000;
/// Most index entries walked to find the place.
const FARTHEST: u64 = 500_000;

/// The key after which the rest of `piece` may go to another shard.
///
/// # Errors
/// The source's.
pub(super) async fn split_key(
    source: &mut dyn Connection,
    plan: &TablePlan,
    piece: &Piece,
    cursor: Option<&Key>,
    left: u64,
) -> Result<Option<Key>, SyncError> {
    if piece.by == By::Whole {
        return Ok(None);
    }
    let mut stay = (left / 2).clamp(LEAST, FARTHEST);
    // What is thought to be left may be wrong by much: a nearer place is tried until one is there.
    for _ in 0..4 {
        let at = key_after(source, plan, piece, cursor, stay).await?;
        if at.is_some() && at != piece.upper {
            return Ok(at);
        }
        stay /= 8;
        if stay < LEAST / 8 {
            break;
        }
    }
    Ok(None)
}

/// The key of the row that comes `rows` rows after `cursor`; none when there are not so many.
///
/// # Errors
/// The source's.
pub(crate) async fn key_after(
    source: &mut dyn Connection,
    plan: &TablePlan,
    piece: &Piece,
    cursor: Option<&Key>,
    rows: u64,
) -> Result<Option<Key>, SyncError> {
    let dialect = source.dialect();
    let columns = piece.order(plan);
    let order: Vec<String> = columns.iter().map(|column| order_expr(dialect, column)).collect();
    let sql = dialect.select(&SelectParts {
        table: &plan.source,
        exprs: &columns.iter().map(|column| dialect.key_select(column)).collect::<Vec<_>>(),
        filters: &piece.conditions(dialect, plan, cursor),
        order: &order,
        direction: Order::Up,
        limit: Some(1),
        offset: rows,
        keyset: plan.primary && piece.by == By::Key,
    });
    let rows = source.query(&sql).await.doing(&format!("looking for keys of {}", plan.source))?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().collect::<Option<Key>>()))
}
