//! What an attempt of a sync reports: its shard as it stands in the target, all of it each time.
//!
//! A newer report of a shard replaces the one before; figures are read from the state that was committed with
//! the rows, so they never shrink, whichever worker goes on.

use super::{Step, Verify};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A shard as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// What it does.
    pub step: Step,
    /// Shards found since the last report, or again: each counts once by its step.
    pub found: Vec<Found>,
    /// Plan: all tables looked at so far.
    pub tables: Vec<TableFacts>,
    /// Rows committed.
    pub rows: u64,
    /// Bytes of them, as read from the source.
    pub bytes: u64,
    /// Rows put aside because the target refused them.
    pub bad_rows: u64,
    /// Values changed or left out, by event.
    pub lossy: BTreeMap<String, u64>,
    /// Rows thought to be left; none when unknown.
    pub remaining: Option<u64>,
    /// Verify: what was found.
    pub verification: Option<Verification>,
    /// Finish: the watermark that the next run begins from.
    pub watermark: Option<String>,
    /// What a person should know, since the last report.
    pub notes: Vec<Note>,
}

impl Partial {
    /// A report without figures.
    #[must_use]
    pub fn new(step: Step) -> Partial {
        Partial {
            step,
            found: Vec::new(),
            tables: Vec::new(),
            rows: 0,
            bytes: 0,
            bad_rows: 0,
            lossy: BTreeMap::new(),
            remaining: None,
            verification: None,
            watermark: None,
            notes: Vec::new(),
        }
    }

    /// This report with all that only `older`, the one before it, tells: what was found and noted.
    #[must_use]
    pub fn after(self, older: Partial) -> Partial {
        let (mut found, mut notes) = (older.found, older.notes);
        found.extend(self.found);
        notes.extend(self.notes);
        Partial { found, notes, ..self }
    }

    /// A number that grows whenever the shard comes further.
    #[must_use]
    pub fn advance(&self) -> u64 {
        let planned = self.tables.iter().filter(|table| table.planned).count() + self.tables.len();
        let compared = self.verification.as_ref().map_or(0, |found| found.source_rows + found.target_rows);
        let planned = u64::try_from(planned).unwrap_or(u64::MAX);
        self.rows.saturating_add(self.bad_rows).saturating_add(compared).saturating_add(planned)
    }
}

/// A shard that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What it does.
    pub step: Step,
    /// Rows thought to be in it; larger ones go first.
    pub rows: u64,
}

/// A table as the plan found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Its number.
    pub table: u32,
    /// Name in the source.
    pub source: String,
    /// Name in the target.
    pub target: String,
    /// Rows by the source's statistics.
    pub rows_estimated: Option<u64>,
    /// Whether this run created it.
    pub created: bool,
    /// Whether all of its ranges have been found.
    pub planned: bool,
    /// Whether something is left to do when all ranges are copied.
    pub finish: bool,
    /// How it is compared.
    pub verify_by: VerifyBy,
    /// What the copy will not have.
    pub left_out: Vec<String>,
}

/// In which pieces a table is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyBy {
    /// Range by range, as copied: keys have the same order on both engines.
    Part,
    /// As a whole.
    Whole,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// How deeply.
    pub level: Verify,
    /// Rows in the source.
    pub source_rows: u64,
    /// Rows in the target.
    pub target_rows: u64,
    /// Rows that the target lacks.
    pub missing: u64,
    /// Rows that the source lacks.
    pub extra: u64,
    /// Rows that are in both and differ.
    pub different: u64,
    /// Of these, repaired and seen equal after it.
    pub repaired: u64,
    /// Columns that were not compared.
    pub not_compared: Vec<String>,
    /// Keys of some rows that differ.
    pub examples: Vec<String>,
    /// Whether both are equal as far as was compared, after repairs.
    pub equal: bool,
    /// Whether the target was read back and compared with what the copy had read, so that the source was counted only.
    #[serde(default)]
    pub read_back: bool,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether the result may suffer.
    pub warning: bool,
    /// UPPER_SNAKE_CASE.
    pub reason: String,
    /// In words.
    pub message: String,
}
