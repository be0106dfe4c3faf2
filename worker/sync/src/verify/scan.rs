//! One look at rows of one end, streamed: as sums per group, or row by row.
//!
//! In: an [`End`], a session. Out: [`Sums`], [`Seen`] rows. Never: more of a table in memory than was asked for.
//! Tests: below; `worker/sync/tests/databases/verify.rs`.

use super::frame::End;
use super::judge::Scratch;
use crate::db::{Class, Connection, DbError, RowSink, Select};
use crate::plan::Key;
use md5::{Digest as _, Md5};
use std::ops::ControlFlow;

/// Rows and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) rows: u64,
    /// Modulo 2⁶⁴; the hashes have 60 bits.
    hashes: u64,
}

/// Sums by group.
pub(super) type Sums = Vec<Sum>;

/// A row that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Texts of the key, for literals at the same end; empty without a key.
    pub(super) key: Key,
    /// The same for the same row at both ends: hash of its key, or of all of it.
    pub(super) place: u64,
    /// Of everything that is compared.
    pub(super) hash: u64,
}

/// Sums of all rows in `groups` groups.
///
/// # Errors
/// The database's.
pub(super) async fn sums(session: &mut dyn Connection, end: &End, groups: u64) -> Result<Sums, DbError> {
    let mut sums = vec![Sum::default(); usize::try_from(groups).unwrap_or(1).max(1)];
    if end.sums_alone() {
        let (sql, columns) = (end.sums(groups), end.sums_columns());
        let mut sink = Grouped { sums: &mut sums, numbers: Vec::with_capacity(4), unreadable: false };
        session.read(Select { sql: &sql, columns: &columns, raw: false }, &mut sink).await?;
        return if sink.unreadable { Err(unreadable()) } else { Ok(sums) };
    }
    let mut add = |row: Seen| {
        let group = usize::try_from(row.place % groups.max(1)).unwrap_or(0);
        if let Some(sum) = sums.get_mut(group) {
            sum.rows += 1;
            sum.hashes = sum.hashes.wrapping_add(row.hash);
        }
    };
    each_row(session, end, false, &[], &mut add).await?;
    Ok(sums)
}

/// The rows for which `more` holds too and that `wanted` keeps by their place.
///
/// # Errors
/// The database's.
pub(super) async fn rows(
    session: &mut dyn Connection,
    end: &End,
    more: &[String],
    wanted: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Vec<Seen>, DbError> {
    let mut rows = Vec::new();
    let mut keep = |row: Seen| {
        if wanted(row.place) {
            rows.push(row);
        }
    };
    each_row(session, end, true, more, &mut keep).await?;
    Ok(rows)
}

/// Number of all rows.
///
/// # Errors
/// The database's.
pub(super) async fn count(session: &mut dyn Connection, end: &End) -> Result<u64, DbError> {
    let answer = session.query(&end.count()).await?;
    let count = answer.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
    count.ok_or_else(unreadable)
}

type Take<'a> = dyn FnMut(Seen) + Send + 'a;

async fn each_row(
    session: &mut dyn Connection,
    end: &End,
    keys: bool,
    more: &[String],
    take: &mut Take<'_>,
) -> Result<(), DbError> {
    let (sql, columns) = (end.rows(keys, more), end.rows_columns(keys));
    let mut sink = RowByRow {
        end,
        take,
        key_cells: if keys { end.key.len() } else { 0 },
        at: 0,
        key: Vec::new(),
        numbers: [0; 2],
        digest: None,
        scratch: Scratch::default(),
        unreadable: false,
    };
    session.read(Select { sql: &sql, columns: &columns, raw: false }, &mut sink).await?;
    if sink.unreadable { Err(unreadable()) } else { Ok(()) }
}

pub(super) fn unreadable() -> DbError {
    DbError::new(Class::Other, "the server answered no number where one was asked for")
}

fn number(value: Option<&[u8]>) -> Option<u128> {
    let Some(value) = value else { return Some(0) };
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The lowest 64 bits.
pub(super) fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0)
}

/// Answers of [`End::sums`].
struct Grouped<'a> {
    sums: &'a mut Sums,
    numbers: Vec<u128>,
    unreadable: bool,
}

impl RowSink for Grouped<'_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        match number(value) {
            Some(number) => self.numbers.push(number),
            None => self.unreadable = true,
        }
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        let found = match *self.numbers.as_slice() {
            [group, rows, hashes] => Some((group, rows, hashes)),
            [group, rows, high, rest] => Some((group, rows, (high << 30).wrapping_add(rest))),
            _ => None,
        };
        let sum = found.and_then(|(group, rows, hashes)| {
            let sum = self.sums.get_mut(usize::try_from(group).ok()?)?;
            *sum = Sum { rows: low(rows), hashes: low(hashes) };
            Some(())
        });
        self.numbers.clear();
        if sum.is_none() {
            self.unreadable = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        self.unreadable = true;
        ControlFlow::Break(())
    }
}

/// Answers of [`End::rows`].
struct RowByRow<'a, 't> {
    end: &'a End,
    take: &'a mut Take<'t>,
    key_cells: usize,
    at: usize,
    key: Key,
    /// Place and hash.
    numbers: [u64; 2],
    /// Of the cells that no server hashes.
    digest: Option<Md5>,
    scratch: Scratch,
    unreadable: bool,
}

impl RowSink for RowByRow<'_, '_> {
    fn cell(&mut self, value: Option<&[u8]>) {
        let at = self.at;
        self.at += 1;
        if at < self.key_cells {
            self.key.push(String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
        } else if let Some(slot) = self.numbers.get_mut(at - self.key_cells) {
            match number(value) {
                Some(number) => *slot = low(number),
                None => self.unreadable = true,
            }
        } else {
            let digest = self.digest.get_or_insert_with(Md5::new);
            self.end.judge.add(at - self.key_cells - 2, value, digest, &mut self.scratch);
        }
    }

    fn end_row(&mut self) -> ControlFlow<()> {
        let [place, hash] = self.numbers;
        self.at = 0;
        let hash = match self.digest.take() {
            None => hash,
            Some(mut digest) => {
                // Together with what the server hashed: cells of two rows that change places must not cancel.
                digest.update(hash.to_be_bytes());
                digest.update(if self.end.key.is_empty() { 0_u64 } else { place }.to_be_bytes());
                let first =
                    digest.finalize().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                first >> 4
            }
        };
        let place = if self.end.key.is_empty() { hash } else { place };
        (self.take)(Seen { key: std::mem::take(&mut self.key), place, hash });
        if self.unreadable { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn raw_row(&mut self, _row: &[u8]) -> ControlFlow<()> {
        self.unreadable = true;
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_one_part_and_in_two_are_the_same() {
        let hashes = [u64::MAX >> 4, 1 << 31, 7];
        let whole: u128 = hashes.iter().map(|hash| u128::from(*hash)).sum();
        let (high, rest) = hashes
            .iter()
            .fold((0, 0), |(high, rest), hash| (high + (hash >> 30), rest + (hash & 0x3fff_ffff)));
        let mut sums = vec![Sum::default(); 2];
        for cells in [
            vec!["0".to_owned(), "3".to_owned(), whole.to_string()],
            vec!["1".to_owned(), "3".to_owned(), high.to_string(), rest.to_string()],
        ] {
            let mut sink = Grouped { sums: &mut sums, numbers: Vec::new(), unreadable: false };
            cells.iter().for_each(|cell| sink.cell(Some(cell.as_bytes())));
            assert!(sink.end_row().is_continue() && !sink.unreadable);
        }
        assert_eq!(sums[0], sums[1]);
        assert_eq!(sums[0].rows, 3);
    }

    #[test]
    fn a_group_that_nobody_asked_for_is_an_error() {
        let mut sums = vec![Sum::default(); 2];
        let mut sink = Grouped { sums: &mut sums, numbers: Vec::new(), unreadable: false };
        ["2", "1", "1"].iter().for_each(|cell| sink.cell(Some(cell.as_bytes())));
        assert!(sink.end_row().is_break() && sink.unreadable);
    }
}
