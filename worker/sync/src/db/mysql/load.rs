//! Writing a page of rows: straight into the table, or over a temporary one where rows may be there already.
//!
//! In: a [`Load`] and encoded rows. Out: [`Loaded`]. Never: a transaction of its own; raw rows.
//! Tests: `worker/sync/tests/databases/mysql.rs`.

use super::session::Session;
use super::{DIALECT, lanes, merge};
use crate::db::{Class, DbError, Dialect as _, Load, Loaded, OnDuplicate, Rows};

/// Writes rows.
///
/// # Errors
/// The server's; `Row` when a row was refused, skipped or changed.
pub(super) async fn load(
    session: &mut Session,
    load: &Load,
    rows: Rows<'_>,
    count: u64,
) -> Result<Loaded, DbError> {
    let Rows::Encoded(rows) = rows else {
        return Err(DbError::new(Class::Other, "mysql takes no raw rows"));
    };
    match &load.on_duplicate {
        OnDuplicate::Fail => {
            let table = DIALECT.table(&load.table);
            lanes::fill(session, &table, &load.columns, rows, count).await?;
        }
        OnDuplicate::Replace { key, newer } => {
            merge::replace(session, load, key, newer.as_deref(), rows, count).await?;
        }
    }
    Ok(Loaded { rows: count })
}
