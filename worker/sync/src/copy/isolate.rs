//! Which rows of a page the target refuses: the page is written in halves, each behind a savepoint, down to
//! single rows. The good rows are written on the way.
//!
//! In: a page that was refused as a whole, inside a transaction. Out: the rows that are refused, with the target's
//! words. Never: more refused rows than the budget allows.
//! Tests: `worker/sync/tests/`.

use super::form::Form;
use super::page::Page;
use crate::db::{Class, Connection, DbError};
use crate::error::{Doing, SyncError};

/// How many rows may be put aside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// In all.
    pub(super) most: u32,
    /// Already.
    pub(super) spent: u64,
}

/// A row that the target refuses.
pub(super) struct Bad {
    /// Its index in the page.
    pub(super) row: usize,
    /// The target's words.
    pub(super) reason: String,
}

/// Writes the good rows of a page and answers the others.
///
/// # Errors
/// `Permanent` with the key and the target's words of the row that is one too many; the database's.
pub(super) async fn isolate(
    target: &mut dyn Connection,
    form: &Form,
    page: &Page,
    budget: Budget,
) -> Result<Vec<Bad>, SyncError> {
    let mut bad = Vec::new();
    let mut open = vec![(0, page.rows())];
    while let Some((from, to)) = open.pop() {
        let Err(error) = write(target, form, page, from, to).await? else { continue };
        if to - from > 1 {
            let middle = from + (to - from) / 2;
            // The first half is taken next, so that rows are refused in order.
            open.push((middle, to));
            open.push((from, middle));
            continue;
        }
        let spent = budget.spent + u64::try_from(bad.len()).unwrap_or(u64::MAX);
        if spent >= u64::from(budget.most) {
            return Err(refused(form, page, from, &error, budget.most));
        }
        bad.push(Bad { row: from, reason: error.to_string() });
    }
    Ok(bad)
}

async fn write(
    target: &mut dyn Connection,
    form: &Form,
    page: &Page,
    from: usize,
    to: usize,
) -> Result<Result<(), DbError>, SyncError> {
    let doing = "looking for the rows that the target refuses";
    target.execute("SAVEPOINT shanty_half").await.doing(doing)?;
    let count = u64::try_from(to - from).unwrap_or(u64::MAX);
    match target.load(&form.load, page.slice(from, to), count).await {
        Ok(_) => {
            target.execute("RELEASE SAVEPOINT shanty_half").await.doing(doing)?;
            Ok(Ok(()))
        }
        Err(error) if error.class == Class::Row => {
            target.execute("ROLLBACK TO SAVEPOINT shanty_half").await.doing(doing)?;
            Ok(Err(error))
        }
        Err(error) => Err(SyncError::db(doing, &error)),
    }
}

fn refused(form: &Form, page: &Page, row: usize, error: &DbError, most: u32) -> SyncError {
    let key = page.key_shown(row, &form.rows);
    let remedy = if most == 0 {
        "correct it in the source, or allow max_bad_rows".to_owned()
    } else {
        format!("max_bad_rows is {most}")
    };
    SyncError::Permanent(format!("row {key} is refused by {}: {error}; {remedy}", form.load.table))
}
