//! Where a table is cut into shards.
//!
//! | key | borders |
//! |---|---|
//! | one whole number | ranges halved until the server thinks each holds few enough rows |
//! | one column with statistics | the server's histogram |
//! | anything else with an order | every n-th key of the index, found one after the other |
//! | none | one piece |
//!
//! Borders are hints: pieces are half open and open at both ends, so a stale or badly placed border loses nothing.
//! In: a table's plan, the source. Out: borders, growing, one at a time. Never: a comparison of keys that are not
//! whole numbers; OFFSET but to find one border in an index.
//! Tests: `worker/sync/tests/`.

use super::piece::{By, Key, Piece, compare};
use super::table_plan::TablePlan;
use crate::copy::{key_after, order_expr};
use crate::db::{Comparison, Connection, Order, SelectParts};
use crate::error::{Doing, SyncError};
use crate::schema::{Column, Kind};
use std::collections::VecDeque;

/// Fewest rows that make a shard worth its while.
const LEAST_ROWS: u64 = 50_000;
/// Most rows of a shard.
const MOST_ROWS: u64 = 2_000_000;
/// Shards per worker, so that all end together.
const PER_WORKER: u64 = 3;
/// Most borders of one table.
const MOST_BORDERS: usize = 4096;
/// A range of whole numbers is not halved more often than this.
const MOST_HALVINGS: u32 = 64;

/// Finds the borders of one table.
pub(super) struct Ranges {
    borders: Borders,
    /// Rows aimed at for a shard.
    pub(super) rows: u64,
}

enum Borders {
    /// All of them, growing.
    Known(VecDeque<Key>),
    /// The key that comes so many rows after the last one.
    Walk,
}

impl Ranges {
    /// Begins with the borders after `after`.
    ///
    /// # Errors
    /// The source's.
    pub(super) async fn begin(
        source: &mut dyn Connection,
        plan: &TablePlan,
        workers: u32,
        after: Option<&Key>,
    ) -> Result<Ranges, SyncError> {
        let piece = Piece { lower: after.cloned(), by: by(plan), ..Piece::default() };
        let rows = rows_per_shard(plan.rows_estimated, workers);
        let borders = match plan.order.as_slice() {
            [] => Borders::Known(VecDeque::new()),
            _ if plan.rows_estimated.is_some_and(|all| all <= rows) => Borders::Known(VecDeque::new()),
            [column] if matches!(column.kind, Kind::Int { .. }) => {
                Borders::Known(whole_numbers(source, plan, &piece, column, rows, workers).await?)
            }
            [column] => {
                let doing = format!("asking for the statistics of {}", plan.source);
                let known = source.histogram(&plan.source, column).await.doing(&doing)?;
                if known.is_empty() || after.is_some() {
                    Borders::Walk
                } else {
                    Borders::Known(thinned(known, plan.rows_estimated, rows))
                }
            }
            _ => Borders::Walk,
        };
        Ok(Ranges { borders, rows })
    }

    /// The next border after `after`; none when the rest is one piece.
    ///
    /// # Errors
    /// The source's.
    pub(super) async fn next(
        &mut self,
        source: &mut dyn Connection,
        plan: &TablePlan,
        after: Option<&Key>,
    ) -> Result<Option<Key>, SyncError> {
        match &mut self.borders {
            Borders::Known(borders) => Ok(borders.pop_front()),
            Borders::Walk => {
                let piece = Piece { by: by(plan), ..Piece::default() };
                key_after(source, plan, &piece, after, self.rows.saturating_sub(1)).await
            }
        }
    }
}

/// How a table's pieces are read.
pub(super) fn by(plan: &TablePlan) -> By {
    if plan.order.is_empty() { By::Whole } else { By::Key }
}

/// Rows aimed at for a shard.
fn rows_per_shard(all: Option<u64>, workers: u32) -> u64 {
    let shards = u64::from(workers) * PER_WORKER;
    all.map_or(LEAST_ROWS * 4, |all| all / shards).clamp(LEAST_ROWS, MOST_ROWS)
}

/// Every so many of a histogram's values, so that pieces hold about `rows` rows.
fn thinned(values: Vec<String>, all: Option<u64>, rows: u64) -> VecDeque<Key> {
    let pieces = u64::try_from(values.len().saturating_sub(1)).unwrap_or(0).max(1);
    let per_piece = all.unwrap_or(0) / pieces;
    let step = usize::try_from(rows.checked_div(per_piece.max(1)).unwrap_or(1)).unwrap_or(1).max(1);
    // The first and the last are the table's ends, which stay open.
    let inner = values.len().saturating_sub(2);
    let borders = values.into_iter().skip(1).take(inner);
    borders.skip(step - 1).step_by(step).map(|value| vec![value]).collect()
}

/// Halves the range of keys until the server thinks that each part holds few enough rows: gaps of any size cost a few
/// questions each, and no row is looked at.
async fn whole_numbers(
    source: &mut dyn Connection,
    plan: &TablePlan,
    piece: &Piece,
    column: &Column,
    rows: u64,
    workers: u32,
) -> Result<VecDeque<Key>, SyncError> {
    let (Some(least), Some(most)) = (
        end(source, plan, piece, column, Order::Up).await?,
        end(source, plan, piece, column, Order::Down).await?,
    ) else {
        return Ok(VecDeque::new());
    };
    // There are no more rows than keys.
    if most - least < i128::from(rows) {
        return Ok(VecDeque::new());
    }
    let mut borders = VecDeque::new();
    // Rows since the last border, and ranges still to be looked at, the next one on top.
    let mut gathered = 0;
    let mut open = vec![(least - 1, most, 0)];
    while let Some((low, high, halved)) = open.pop() {
        let Some(held) = estimate(source, plan, piece, column, (low >= least).then_some(low), high).await?
        else {
            return Ok(even(least, most, u64::from(workers) * PER_WORKER));
        };
        if gathered + held <= rows || high - low <= 1 || halved >= MOST_HALVINGS {
            gathered += held;
            if gathered >= rows && high < most {
                borders.push_back(vec![high.to_string()]);
                gathered = 0;
            }
        } else if held * 8 <= rows {
            // Hardly worth its own halving: what was gathered ends before it.
            borders.push_back(vec![low.to_string()]);
            gathered = held;
        } else {
            let middle = low + (high - low) / 2;
            open.push((middle, high, halved + 1));
            open.push((low, middle, halved + 1));
        }
        if borders.len() >= MOST_BORDERS {
            break;
        }
    }
    borders.retain(|border| border.first().is_some_and(|key| *key != (least - 1).to_string()));
    Ok(borders)
}

/// The server's estimate of the rows in `(low, high]`, or of all up to `high`; none when it makes none.
async fn estimate(
    source: &mut dyn Connection,
    plan: &TablePlan,
    piece: &Piece,
    column: &Column,
    low: Option<i128>,
    high: i128,
) -> Result<Option<u64>, SyncError> {
    let dialect = source.dialect();
    let range = Piece {
        lower: low.map(|low| vec![low.to_string()]),
        upper: Some(vec![high.to_string()]),
        ..piece.clone()
    };
    let key = [column];
    let conditions: Vec<String> = [(range.lower, Comparison::After), (range.upper, Comparison::UpTo)]
        .into_iter()
        .filter_map(|(bound, comparison)| Some(compare(dialect, &key, &bound?, comparison)))
        .collect();
    let doing = format!("estimating the rows of {}", plan.source);
    source.estimate(&plan.source, &conditions.join(" AND ")).await.doing(&doing)
}

/// The smallest or the largest key.
async fn end(
    source: &mut dyn Connection,
    plan: &TablePlan,
    piece: &Piece,
    column: &Column,
    direction: Order,
) -> Result<Option<i128>, SyncError> {
    let dialect = source.dialect();
    let sql = dialect.select(&SelectParts {
        table: &plan.source,
        exprs: &[dialect.key_select(column)],
        filters: &piece.conditions(dialect, plan, None),
        order: &[order_expr(dialect, column)],
        direction,
        limit: Some(1),
        offset: 0,
        keyset: plan.primary,
    });
    let rows = source.query(&sql).await.doing(&format!("looking for the ends of {}", plan.source))?;
    Ok(rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()))
}

/// Equal ranges, where the server tells nothing: unequal ones are cut later, by who copies them.
fn even(least: i128, most: i128, pieces: u64) -> VecDeque<Key> {
    let pieces = i128::from(pieces).min(most - least + 1).max(1);
    (1..pieces).map(|i| vec![(least + (most - least) * i / pieces).to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_worth_their_while_and_end_together() {
        assert_eq!(rows_per_shard(Some(1000), 4), LEAST_ROWS);
        assert_eq!(rows_per_shard(Some(12_000_000), 4), 1_000_000);
        assert_eq!(rows_per_shard(Some(10_000_000_000), 4), MOST_ROWS);
    }

    #[test]
    fn a_histogram_is_thinned_to_the_wanted_size() {
        let values: Vec<String> = (0..=100).map(|n| n.to_string()).collect();
        let borders = thinned(values.clone(), Some(1_000_000), 100_000);
        assert_eq!(
            borders.iter().map(|key| key[0].as_str()).collect::<Vec<_>>(),
            ["10", "20", "30", "40", "50", "60", "70", "80", "90"]
        );
        assert_eq!(thinned(values, Some(1_000_000), 1).len(), 99);
        assert!(thinned(vec!["1".into(), "2".into()], Some(10), 1).is_empty());
    }

    #[test]
    fn even_ranges_cover_the_ends_of_all_integers() {
        assert_eq!(even(1, 100, 4), [["25"], ["50"], ["75"]].map(|key| key.map(str::to_owned).to_vec()));
        assert_eq!(even(5, 5, 4).len(), 0);
        let wide = even(i128::from(i64::MIN), i128::from(u64::MAX), 3);
        assert_eq!(wide.len(), 2);
    }
}
