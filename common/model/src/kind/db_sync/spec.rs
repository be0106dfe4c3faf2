//! The user's wish for a sync, and its check.
//!
//! In: a [`Spec`] as it was typed. Out: all its violations. What only the databases know (tables, columns, keys)
//! is checked by the plan, before any row is written.
//! Tests: below.

use crate::violation::Violation;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A sync as it was typed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Where rows come from.
    pub source: Source,
    /// Where rows go.
    pub target: Target,
    /// What is copied.
    pub mode: Mode,
    /// Columns to copy; empty for all that are not generated.
    pub columns: Vec<ColumnMap>,
    /// Condition in the source's SQL; empty for none.
    pub condition: String,
    /// Source columns that identify a row; empty for the primary key or a unique index.
    pub key: Vec<String>,
    /// The column by which changed rows are found.
    pub diff_column: Option<DiffColumn>,
    /// This much before the watermark is read again.
    pub overlap: Duration,
    /// Whether everything is compared and repaired after an incremental copy.
    pub sweep: bool,
    /// What happens when the target holds rows.
    pub on_existing: OnExisting,
    /// Whether a missing target table is created.
    pub create_table: Option<bool>,
    /// What is compared after the copy.
    pub verify: Verify,
    /// What happens to a value that the target cannot hold.
    pub on_lossy: OnLossy,
    /// Rows that may be put aside.
    pub max_bad_rows: u32,
    /// Most shards copied at once; 0 for the default.
    pub workers: u32,
    /// Bytes aimed at for a page; 0 for the default.
    pub page_bytes: u32,
    /// Most rows of a page; 0 for the default.
    pub page_rows: u32,
    /// Limits.
    pub throttle: Throttle,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Name of a connection.
    pub connection: String,
    /// Schema; empty for the connection's own.
    pub schema: String,
    /// One table; empty when `tables` is given.
    pub table: String,
    /// Names and patterns.
    pub tables: Vec<String>,
    /// Names and patterns left out.
    pub exclude: Vec<String>,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Name of a connection.
    pub connection: String,
    /// Schema; empty for the connection's own.
    pub schema: String,
    /// Table, `{table}` standing for the source's; empty for the same name.
    pub table: String,
    /// Key columns by the target's names; empty when they follow from the columns.
    pub key: Vec<String>,
}

/// A column to copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnMap {
    /// Name in the source.
    pub source: String,
    /// Name in the target; empty for the same.
    pub target: String,
}

/// The column by which changed rows are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffColumn {
    /// Name in the source.
    pub source: String,
    /// Name in the target; empty for the same.
    pub target: String,
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All rows.
    #[default]
    Full,
    /// Changed rows.
    Incremental,
}

/// What happens when the target holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// The run fails before any row is written.
    #[default]
    Fail,
    /// They are deleted first.
    Truncate,
    /// Those with the same key are replaced.
    Upsert,
}

/// What is compared after the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Nothing.
    #[default]
    None,
    /// The number of rows.
    Count,
    /// Checksums.
    Checksum,
    /// Checksums, with repair.
    Repair,
}

/// What happens to a value that the target cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLossy {
    /// The row is refused.
    #[default]
    Error,
    /// The nearest value is written and counted.
    Convert,
    /// NULL is written and counted.
    SetNull,
}

/// Limits that spare the source and the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// Most rows per second over all workers; 0 for no limit.
    pub rows_per_second: u32,
    /// Most bytes per second over all workers; 0 for no limit.
    pub bytes_per_second: u64,
    /// Reading pauses while the source is further behind.
    pub max_source_lag: Option<Duration>,
    /// Reading pauses while a look at the source takes longer.
    pub max_source_latency: Option<Duration>,
}

/// What may change while a sync goes on; an absent one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Most rows per second over all workers; 0 for no limit.
    pub rows_per_second: Option<u32>,
    /// Most bytes per second over all workers; 0 for no limit.
    pub bytes_per_second: Option<u64>,
    /// Most shards copied at once.
    pub workers: Option<u32>,
}

const DEFAULT_WORKERS: u32 = 4;
const MAX_WORKERS: u32 = 256;
const DEFAULT_PAGE_BYTES: u32 = 2 << 20;
const MIN_PAGE_BYTES: u32 = 64 << 10;
const MAX_PAGE_BYTES: u32 = 64 << 20;
const DEFAULT_PAGE_ROWS: u32 = 100_000;
const MAX_PAGE_ROWS: u32 = 1_000_000;
const MAX_TABLES: usize = 1000;
const MAX_OVERLAP: Duration = Duration::from_secs(366 * 24 * 3600);

impl Spec {
    /// Most shards copied at once.
    #[must_use]
    pub fn most_workers(&self) -> u32 {
        if self.workers == 0 { DEFAULT_WORKERS } else { self.workers }
    }

    /// Bytes aimed at for a page.
    #[must_use]
    pub fn page_bytes(&self) -> u32 {
        if self.page_bytes == 0 { DEFAULT_PAGE_BYTES } else { self.page_bytes }
    }

    /// Most rows of a page.
    #[must_use]
    pub fn page_rows(&self) -> u32 {
        if self.page_rows == 0 { DEFAULT_PAGE_ROWS } else { self.page_rows }
    }

    /// Whether a missing target table is created.
    #[must_use]
    pub fn creates_table(&self) -> bool {
        self.create_table.unwrap_or(true)
    }

    /// How deeply the tables are compared: a sweep repairs.
    #[must_use]
    pub fn verify_level(&self) -> Verify {
        if self.sweep { Verify::Repair } else { self.verify }
    }

    /// The spec with a change in force.
    #[must_use]
    pub fn changed(&self, change: &Change) -> Spec {
        let mut spec = self.clone();
        if let Some(rows) = change.rows_per_second {
            spec.throttle.rows_per_second = rows;
        }
        if let Some(bytes) = change.bytes_per_second {
            spec.throttle.bytes_per_second = bytes;
        }
        if let Some(workers) = change.workers {
            spec.workers = workers;
        }
        spec
    }

    /// The one table, or none when a list or a pattern is given.
    #[must_use]
    pub fn one_table(&self) -> Option<&str> {
        (!self.source.table.is_empty()).then_some(self.source.table.as_str())
    }

    /// All that is wrong with it that can be told without the databases.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut wrong = |field: &str, message: &str| found.push(Violation::new(field, message));
        for (field, name) in
            [("source.connection", &self.source.connection), ("target.connection", &self.target.connection)]
        {
            if name.is_empty() {
                wrong(field, "is mandatory: the name of a connection in the workers' configuration");
            } else if let Err(error) = name.parse::<crate::id::NodeId>() {
                wrong(field, &format!("`{name}` is not a connection's name: {error}"));
            }
        }
        match (self.source.table.is_empty(), self.source.tables.is_empty()) {
            (true, true) => wrong("source.table", "is mandatory, or give source.tables"),
            (false, false) => wrong("source.tables", "cannot stand beside source.table; give one of them"),
            (true, false) | (false, true) => {}
        }
        if self.source.tables.len() > MAX_TABLES {
            wrong("source.tables", "at most 1000 names and patterns are allowed");
        }
        if self.source.tables.is_empty() && !self.source.exclude.is_empty() {
            wrong("source.exclude", "needs source.tables");
        }
        if self.source.tables.iter().chain(&self.source.exclude).any(String::is_empty) {
            wrong("source.tables", "an empty name is not allowed");
        }
        let many = !self.source.tables.is_empty();
        if many && !self.target.table.is_empty() && !self.target.table.contains("{table}") {
            wrong("target.table", "must contain {table} when several tables are copied");
        }
        for (field, given) in [
            ("columns", !self.columns.is_empty()),
            ("key", !self.key.is_empty()),
            ("target.key", !self.target.key.is_empty()),
        ] {
            if many && given {
                wrong(field, "is allowed with one table only; give source.table");
            }
        }
        for (i, column) in self.columns.iter().enumerate() {
            if column.source.is_empty() {
                wrong(&format!("columns[{i}].source"), "is mandatory");
            }
            let name = |c: &ColumnMap| if c.target.is_empty() { c.source.clone() } else { c.target.clone() };
            if self.columns[..i].iter().any(|other| name(other) == name(column)) {
                wrong(&format!("columns[{i}].target"), "two columns go to the same one");
            }
        }
        if !self.target.key.is_empty() && self.target.key.len() != self.key.len() {
            wrong("target.key", "must name as many columns as key");
        }
        match self.mode {
            Mode::Incremental => {
                match &self.diff_column {
                    None => wrong("diff_column", "is mandatory with mode INCREMENTAL"),
                    Some(diff) if diff.source.is_empty() => wrong("diff_column.source", "is mandatory"),
                    Some(_) => {}
                }
                if self.on_existing == OnExisting::Truncate {
                    wrong("on_existing", "TRUNCATE is allowed with mode FULL only");
                }
            }
            Mode::Full => {
                if self.diff_column.is_some() {
                    wrong("diff_column", "is allowed with mode INCREMENTAL only");
                }
                if self.sweep {
                    wrong("sweep", "is allowed with mode INCREMENTAL only; for FULL give verify REPAIR");
                }
                if !self.overlap.is_zero() {
                    wrong("overlap", "is allowed with mode INCREMENTAL only");
                }
            }
        }
        if self.overlap > MAX_OVERLAP {
            wrong("overlap", "at most 366 days are allowed");
        }
        range(&mut found, "workers", self.workers, 1, MAX_WORKERS);
        range(&mut found, "page_bytes", self.page_bytes, MIN_PAGE_BYTES, MAX_PAGE_BYTES);
        range(&mut found, "page_rows", self.page_rows, 1, MAX_PAGE_ROWS);
        found
    }
}

impl Change {
    /// All that is wrong with it.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if *self == Change::default() {
            let fields = "rows_per_second, bytes_per_second, workers";
            found.push(Violation::new("", format!("says nothing to change: give one of {fields}")));
        }
        if let Some(workers) = self.workers {
            if workers == 0 {
                found.push(Violation::new("workers", "is 0; allowed is 1 to 256"));
            }
            range(&mut found, "workers", workers, 1, MAX_WORKERS);
        }
        found
    }

    /// The change in words.
    #[must_use]
    pub fn words(&self) -> String {
        let limit = |name: &str, unit: &str, most: u64| match most {
            0 => format!("{name} without a limit"),
            most => format!("{name} at most {most} {unit}"),
        };
        let rows = self.rows_per_second.map(|rows| limit("reading", "rows/s", u64::from(rows)));
        let bytes = self.bytes_per_second.map(|bytes| limit("reading", "bytes/s", bytes));
        let workers = self.workers.map(|workers| format!("at most {workers} shards at once"));
        rows.into_iter().chain(bytes).chain(workers).collect::<Vec<_>>().join(", ")
    }

    /// This change with a newer one over it.
    #[must_use]
    pub fn then(self, newer: Change) -> Change {
        Change {
            rows_per_second: newer.rows_per_second.or(self.rows_per_second),
            bytes_per_second: newer.bytes_per_second.or(self.bytes_per_second),
            workers: newer.workers.or(self.workers),
        }
    }
}

/// A number that is absent (0) or within its range.
fn range(found: &mut Vec<Violation>, field: &str, value: u32, least: u32, most: u32) {
    if value != 0 && !(least..=most).contains(&value) {
        found.push(Violation::new(field, format!("is {value}; allowed is {least} to {most}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(spec: &Spec) -> Vec<String> {
        spec.check().into_iter().map(|v| v.field).collect()
    }

    fn good() -> Spec {
        Spec {
            source: Source { connection: "a".into(), table: "t".into(), ..Source::default() },
            target: Target { connection: "b".into(), ..Target::default() },
            ..Spec::default()
        }
    }

    #[test]
    fn a_plain_spec_is_good_and_has_defaults() {
        let spec = good();
        assert_eq!(fields(&spec), Vec::<String>::new());
        assert_eq!((spec.most_workers(), spec.page_bytes(), spec.page_rows()), (4, 2 << 20, 100_000));
        assert!(spec.creates_table());
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let spec = Spec {
            source: Source { connection: "No Good".into(), tables: vec!["a*".into()], ..Source::default() },
            target: Target { table: "fixed".into(), ..Target::default() },
            mode: Mode::Incremental,
            key: vec!["id".into()],
            workers: 1000,
            page_bytes: 1,
            ..Spec::default()
        };
        assert_eq!(
            fields(&spec),
            [
                "source.connection",
                "target.connection",
                "target.table",
                "key",
                "diff_column",
                "workers",
                "page_bytes"
            ]
        );
    }

    #[test]
    fn fields_of_the_other_mode_are_refused() {
        let spec = Spec {
            diff_column: Some(DiffColumn { source: "u".into(), target: String::new() }),
            sweep: true,
            overlap: Duration::from_secs(1),
            ..good()
        };
        assert_eq!(fields(&spec), ["diff_column", "sweep", "overlap"]);
        let spec = Spec { mode: Mode::Incremental, on_existing: OnExisting::Truncate, ..spec };
        assert_eq!(fields(&spec), ["on_existing"]);
    }

    #[test]
    fn columns_may_not_meet() {
        let column = |s: &str, t: &str| ColumnMap { source: s.into(), target: t.into() };
        let spec = Spec { columns: vec![column("a", "x"), column("x", ""), column("", "y")], ..good() };
        assert_eq!(fields(&spec), ["columns[1].target", "columns[2].source"]);
    }

    #[test]
    fn a_newer_change_lies_over_an_older_one() {
        let first = Change { rows_per_second: Some(5), workers: Some(2), ..Change::default() };
        let both = first.then(Change { rows_per_second: Some(0), ..Change::default() });
        assert_eq!(both, Change { rows_per_second: Some(0), workers: Some(2), ..Change::default() });
        assert_eq!(good().changed(&both).workers, 2);
        assert_eq!(both.words(), "reading without a limit, at most 2 shards at once");
        assert_eq!(first.words(), "reading at most 5 rows/s, at most 2 shards at once");
        assert_eq!(Change::default().check().len(), 1);
        assert_eq!(Change { workers: Some(0), ..Change::default() }.check().len(), 1);
    }
}
