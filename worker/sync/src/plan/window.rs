//! Which rows an incremental run reads: from a watermark to an instant below which nothing can still be written.
//!
//! ```text
//!   watermark of the run before        oldest open transaction
//!            │◄─ overlap ─┤                      │
//!   ─────────┴────────────┴──────────────────────┴──────────► diff column
//!            └────── read and upserted ───┘ the newest row below it = watermark of the next run
//! ```
//! Rows with equal values are never parted: the window holds both of its ends, and an upsert makes reading twice
//! harmless. The first run has no watermark: it copies everything, and leaves one that was taken before it began.
//! In: a stored watermark, the source. Out: the pieces to copy, the watermark that holds after them.
//! Never: the largest value in the target as a watermark; a value above the source's own clock, or above the newest
//! row (a row with a time of its own may come after it).
//! Tests: below; `worker/sync/tests/`.

use super::piece::{By, Piece};
use super::table_plan::TablePlan;
use crate::copy::order_expr;
use crate::db::{Connection, Order, SelectParts};
use crate::digest::md5_hex;
use crate::error::{Doing, SyncError};
use crate::schema::{Column, Kind, TableName};
use shanty_model::kind::db_sync::{Note, Spec};
use std::time::Duration;

/// The name under which a table's watermark is kept: the same for all runs of the same copy, whether the target was
/// there (and told its schema) or not.
pub(super) fn stream(spec: &Spec, plan: &TablePlan, target: &TableName) -> String {
    let diff = plan.diff.as_ref().map(|pair| pair.source.name.as_str()).unwrap_or_default();
    let words = [
        spec.source.connection.as_str(),
        &plan.source.to_string(),
        diff,
        &spec.target.connection,
        &target.to_string(),
        &spec.condition,
    ];
    // A length before each word: no two lists of words look alike.
    md5_hex(words.map(|word| format!("{}:{word}", word.len())).concat().as_bytes())
}

/// What an incremental run of one table does.
pub(super) struct Window {
    /// The pieces to copy; none for all of the table, cut as for a full copy.
    pub(super) pieces: Option<Vec<Piece>>,
    /// The watermark that holds afterwards; none when the source has no rows.
    pub(super) watermark: Option<String>,
    /// What a person should know.
    pub(super) notes: Vec<Note>,
}

/// The window after the watermark `from`.
///
/// # Errors
/// The source's; `Permanent` when the overlap does not fit the column.
pub(super) async fn window(
    source: &mut dyn Connection,
    plan: &TablePlan,
    spec: &Spec,
    from: Option<String>,
) -> Result<Window, SyncError> {
    let Some(diff) = plan.diff.as_ref().map(|pair| &pair.source) else {
        return Err(SyncError::permanent("diff_column: is mandatory with mode INCREMENTAL"));
    };
    let doing = format!("asking for a safe watermark of {}", plan.source);
    let (safe, doubt) = source.safe_upper(&plan.source, diff).await.doing(&doing)?;
    let upper = match safe {
        Some(safe) => newest(source, plan, diff, &safe).await?,
        None => None,
    };
    let notes = doubt.map(|message| Note { warning: true, reason: "WATERMARK_UNSURE".to_owned(), message });
    let notes = notes.into_iter().collect();
    let Some(from) = from else { return Ok(Window { pieces: None, watermark: upper, notes }) };
    let lower = before(&from, spec.overlap, &diff.kind).ok_or_else(|| {
        SyncError::permanent(format!(
            "overlap: `{}` ({}) is no time, so {:?} cannot be taken from it; leave overlap out",
            diff.name, diff.native, spec.overlap
        ))
    })?;
    let dialect = source.dialect();
    let column = order_expr(dialect, diff);
    let mut filters = vec![format!("{column} >= {}", dialect.literal(diff, &lower))];
    if let Some(upper) = &upper {
        filters.push(format!("{column} <= {}", dialect.literal(diff, upper)));
    }
    let mut pieces = vec![Piece { by: By::Change, filters, ..Piece::default() }];
    if diff.nullable {
        let filters = vec![format!("{} IS NULL", dialect.ident(&diff.name))];
        pieces.push(Piece { by: By::Key, filters, ..Piece::default() });
    }
    Ok(Window { pieces: Some(pieces), watermark: upper.or(Some(from)), notes })
}

/// The largest value that is there, up to the safe one: rows may come with times of their own, later than the last
/// but long past.
async fn newest(
    source: &mut dyn Connection,
    plan: &TablePlan,
    diff: &Column,
    safe: &str,
) -> Result<Option<String>, SyncError> {
    let dialect = source.dialect();
    let column = order_expr(dialect, diff);
    let sql = dialect.select(&SelectParts {
        table: &plan.source,
        exprs: &[dialect.key_select(diff)],
        filters: &[format!("{column} <= {}", dialect.literal(diff, safe))],
        order: &[column],
        direction: Order::Down,
        limit: Some(1),
        offset: 0,
        keyset: false,
    });
    let rows = source.query(&sql).await.doing(&format!("looking for the newest row of {}", plan.source))?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
}

/// The value `overlap` before `value`; none when the kind is no time and there is an overlap.
fn before(value: &str, overlap: Duration, kind: &Kind) -> Option<String> {
    if overlap.is_zero() {
        return Some(value.to_owned());
    }
    if !matches!(kind, Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. }) {
        return None;
    }
    let (day, time) = value.split_once([' ', 'T']).unwrap_or((value, "00:00:00"));
    let mut parts = day.splitn(3, '-').map(str::parse::<i64>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(date))) = (parts.next(), parts.next(), parts.next()) else {
        return Some(value.to_owned());
    };
    let micros = micros_of_day(time)?;
    let all = days_from_civil(year, month, date) * DAY + micros - i64::try_from(overlap.as_micros()).ok()?;
    let (year, month, date) = civil_from_days(all.div_euclid(DAY));
    let rest = all.rem_euclid(DAY);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let day = format!("{year:04}-{month:02}-{date:02}");
    if matches!(kind, Kind::Date) {
        return Some(day);
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{day} {hour:02}:{minute:02}:{second:02}.{micros:06}"))
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

fn micros_of_day(time: &str) -> Option<i64> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = whole.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let micros = format!("{:0<6}", fraction.chars().take(6).collect::<String>()).parse::<i64>().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// Days since 1970-01-01 of a date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a number of days since 1970-01-01 (same source).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_goes_back_over_days_and_years() {
        let instant = Kind::DateTime { digits: 6 };
        let back = |value: &str, seconds: u64, kind: &Kind| before(value, Duration::from_secs(seconds), kind);
        assert_eq!(back("2024-03-01 00:00:05", 10, &instant).unwrap(), "2024-02-29 23:59:55.000000");
        assert_eq!(back("2000-01-01 00:00:00.25", 1, &instant).unwrap(), "1999-12-31 23:59:59.250000");
        assert_eq!(back("2024-03-01", 86_400, &Kind::Date).unwrap(), "2024-02-29");
        assert_eq!(back("7", 0, &Kind::Int { bits: 64, unsigned: false }).unwrap(), "7");
        assert_eq!(back("7", 1, &Kind::Int { bits: 64, unsigned: false }), None);
    }

    #[test]
    fn days_and_dates_agree_over_centuries() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
    }
}
