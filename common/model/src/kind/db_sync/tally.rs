//! The reports of a sync's shards, merged: progress on the way, the report at the end.
//!
//! Each shard has one newest report; sums are over shards, so a report that comes twice changes nothing.
//! In: reports, states of shards, time. Out: [`Progress`], [`Report`].
//! Tests: below.

use super::{Note, Partial, Step, TableFacts, Verification, Verify};
use crate::id::NodeId;
use crate::state::ShardState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Over this time the present rate is measured, nanoseconds.
const RATE_WINDOW_NS: u64 = 5_000_000_000;
/// Examples of differing keys that a table's report holds.
const EXAMPLES: usize = 10;

/// Reports merged.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    shards: BTreeMap<u32, (NodeId, Partial)>,
    /// Committed rows and bytes at past instants, oldest first.
    past: VecDeque<(u64, u64, u64)>,
}

/// How far a sync is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Rows committed.
    pub rows: u64,
    /// Rows thought to be in the source; none when unknown for a table.
    pub rows_estimated: Option<u64>,
    /// Bytes committed.
    pub bytes: u64,
    /// Over the last seconds.
    pub rows_per_second: f64,
    /// Over the last seconds.
    pub bytes_per_second: f64,
    /// Workers at work.
    pub workers: u32,
    /// What is being done.
    pub phase: String,
    /// Table by table.
    pub tables: Vec<TableProgress>,
}

impl Progress {
    /// Rows committed of those thought to be in the source, 0 to 1; none when these are unknown or none.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let estimated = self.rows_estimated.filter(|rows| *rows > 0)?;
        Some((self.rows as f64 / estimated as f64).min(1.0))
    }

    /// The time that the rows left would take at the present rate; none when either is unknown.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.rows_estimated?.saturating_sub(self.rows);
        Duration::try_from_secs_f64(left as f64 / self.rows_per_second).ok()
    }
}

/// How far a table is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableProgress {
    /// Name in the source.
    pub source: String,
    /// Rows committed.
    pub rows: u64,
    /// Rows thought to be in the source.
    pub rows_estimated: Option<u64>,
    /// Copies found.
    pub shards: u32,
    /// Copies done.
    pub done: u32,
    /// Copies under way.
    pub running: u32,
    /// Copies failed.
    pub failed: u32,
    /// What is being done with it.
    pub phase: String,
}

/// What a sync came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Rows written.
    pub rows: u64,
    /// Bytes of them, as read.
    pub bytes: u64,
    /// From the first shard's begin to the end, nanoseconds.
    pub duration_ns: u64,
    /// Rows put aside.
    pub bad_rows: u64,
    /// Values changed or left out, by event.
    pub lossy: BTreeMap<String, u64>,
    /// Table by table.
    pub tables: Vec<TableReport>,
    /// Worker by worker.
    pub workers: Vec<WorkerPart>,
}

/// What a table came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// What the plan found.
    pub facts: TableFacts,
    /// Rows written.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Copies.
    pub shards: u32,
    /// Watermark of the next run.
    pub watermark: Option<String>,
    /// What the comparison found.
    pub verification: Option<Verification>,
}

/// The part of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerPart {
    /// The worker.
    pub node: NodeId,
    /// Copies that it finished or holds.
    pub shards: u32,
    /// Rows of these.
    pub rows: u64,
}

impl Tally {
    /// Takes the newest report of a shard; answers what was found and noted in it.
    pub fn absorb(
        &mut self,
        shard: u32,
        node: &NodeId,
        mut partial: Partial,
    ) -> (Vec<super::Found>, Vec<Note>) {
        let found = std::mem::take(&mut partial.found);
        let notes = std::mem::take(&mut partial.notes);
        self.shards.insert(shard, (node.clone(), partial));
        (found, notes)
    }

    /// The tables as the plan found them, by number.
    #[must_use]
    pub fn tables(&self) -> &[TableFacts] {
        self.shards
            .values()
            .find(|(_, partial)| partial.step == Step::Plan)
            .map_or(&[], |(_, partial)| partial.tables.as_slice())
    }

    /// The newest report of a shard.
    #[must_use]
    pub fn shard(&self, shard: u32) -> Option<&Partial> {
        self.shards.get(&shard).map(|(_, partial)| partial)
    }

    /// Remembers how far it is at an instant of the run, for the present rate.
    pub fn mark(&mut self, run_ns: u64) {
        let (rows, bytes) = self.written();
        if self.past.back().is_some_and(|(at, ..)| run_ns < at.saturating_add(RATE_WINDOW_NS / 20)) {
            return;
        }
        self.past.push_back((run_ns, rows, bytes));
        while self.past.get(1).is_some_and(|(at, ..)| run_ns.saturating_sub(*at) >= RATE_WINDOW_NS) {
            self.past.pop_front();
        }
    }

    fn written(&self) -> (u64, u64) {
        self.copies().fold((0, 0), |(rows, bytes), (_, partial)| (rows + partial.rows, bytes + partial.bytes))
    }

    fn copies(&self) -> impl Iterator<Item = &(NodeId, Partial)> {
        self.shards.values().filter(|(_, partial)| matches!(partial.step, Step::Copy { .. }))
    }

    fn of_table(&self, table: u32) -> impl Iterator<Item = &Partial> {
        self.shards.values().map(|(_, partial)| partial).filter(move |p| p.step.table() == Some(table))
    }

    /// How far it is. `shards` are all shards with their states, `workers` how many are at work.
    #[must_use]
    pub fn progress(&self, run_ns: u64, shards: &[(Step, ShardState)], workers: u32) -> Progress {
        let (rows, bytes) = self.written();
        let (then, rows_then, bytes_then) = self.past.front().copied().unwrap_or((0, 0, 0));
        let seconds = (run_ns.saturating_sub(then) as f64 / 1e9).max(0.1);
        let tables: Vec<TableProgress> =
            self.tables().iter().map(|facts| self.table_progress(facts, shards)).collect();
        let estimated = tables.iter().map(|table| table.rows_estimated.map(|rows| rows.max(table.rows)));
        Progress {
            rows,
            rows_estimated: if tables.is_empty() { None } else { estimated.sum() },
            bytes,
            rows_per_second: rows.saturating_sub(rows_then) as f64 / seconds,
            bytes_per_second: bytes.saturating_sub(bytes_then) as f64 / seconds,
            workers,
            phase: phase(shards).to_owned(),
            tables,
        }
    }

    fn table_progress(&self, facts: &TableFacts, shards: &[(Step, ShardState)]) -> TableProgress {
        let of_table: Vec<(Step, ShardState)> =
            shards.iter().filter(|(step, _)| step.table() == Some(facts.table)).copied().collect();
        let copies = |wanted: fn(ShardState) -> bool| {
            let n =
                of_table.iter().filter(|(s, state)| matches!(s, Step::Copy { .. }) && wanted(*state)).count();
            u32::try_from(n).unwrap_or(u32::MAX)
        };
        let (found, done) = (copies(|_| true), copies(|state| state == ShardState::Done));
        let phase = if of_table.is_empty() || !facts.planned && found == 0 {
            "planned"
        } else if !facts.planned || done < found {
            "copying"
        } else if of_table.iter().all(|(_, state)| state.is_terminal()) {
            "done"
        } else {
            phase(&of_table)
        };
        TableProgress {
            source: facts.source.clone(),
            rows: self.copied(facts.table).0,
            rows_estimated: facts.rows_estimated,
            shards: found,
            done,
            running: copies(|state| {
                matches!(state, ShardState::Assigned | ShardState::Accepted | ShardState::Running)
            }),
            failed: copies(|state| state == ShardState::Failed),
            phase: phase.to_owned(),
        }
    }

    fn copied(&self, table: u32) -> (u64, u64, u32) {
        self.of_table(table)
            .filter(|partial| matches!(partial.step, Step::Copy { .. }))
            .fold((0, 0, 0), |(rows, bytes, n), partial| (rows + partial.rows, bytes + partial.bytes, n + 1))
    }

    /// What it came to, or has come to so far.
    #[must_use]
    pub fn report(&self, run_ns: u64) -> Report {
        let (rows, bytes) = self.written();
        let mut lossy: BTreeMap<String, u64> = BTreeMap::new();
        let mut bad_rows = 0;
        let mut workers: BTreeMap<NodeId, (u32, u64)> = BTreeMap::new();
        for (node, partial) in self.copies() {
            let part = workers.entry(node.clone()).or_default();
            *part = (part.0 + 1, part.1 + partial.rows);
        }
        for (_, partial) in self.shards.values() {
            bad_rows += partial.bad_rows;
            for (event, count) in &partial.lossy {
                *lossy.entry(event.clone()).or_default() += count;
            }
        }
        let tables = self
            .tables()
            .iter()
            .map(|facts| {
                let (rows, bytes, shards) = self.copied(facts.table);
                TableReport {
                    facts: facts.clone(),
                    rows,
                    bytes,
                    shards,
                    watermark: self.of_table(facts.table).find_map(|partial| partial.watermark.clone()),
                    verification: joined(self.of_table(facts.table).filter_map(|p| p.verification.as_ref())),
                }
            })
            .collect();
        let workers =
            workers.into_iter().map(|(node, (shards, rows))| WorkerPart { node, shards, rows }).collect();
        Report { rows, bytes, duration_ns: run_ns, bad_rows, lossy, tables, workers }
    }
}

impl Report {
    /// Why a run with this report has not done what was asked, in words; empty when it has.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        self.tables
            .iter()
            .filter_map(|table| {
                let found = table.verification.as_ref().filter(|found| !found.equal)?;
                Some(match found.level {
                    Verify::Count => format!(
                        "{}: {} rows in the source, {} in the target",
                        table.facts.source, found.source_rows, found.target_rows
                    ),
                    Verify::None | Verify::Checksum | Verify::Repair => format!(
                        "{}: {} rows missing, {} extra, {} different, {} of them repaired",
                        table.facts.source, found.missing, found.extra, found.different, found.repaired
                    ),
                })
            })
            .collect()
    }
}

/// What is being done, by the earliest thing that is not over.
fn phase(shards: &[(Step, ShardState)]) -> &'static str {
    let open = |wanted: fn(Step) -> bool| shards.iter().any(|(s, state)| wanted(*s) && !state.is_terminal());
    if open(|step| matches!(step, Step::Copy { .. })) {
        "copying"
    } else if open(|step| step == Step::Plan) {
        "planning"
    } else if open(|step| matches!(step, Step::Finish { .. })) {
        "indexing"
    } else if open(|step| matches!(step, Step::Verify { .. })) {
        "verifying"
    } else {
        "closing"
    }
}

/// The pieces' findings as the table's; none without any.
fn joined<'a>(pieces: impl Iterator<Item = &'a Verification>) -> Option<Verification> {
    let mut sum: Option<Verification> = None;
    for piece in pieces {
        let Some(sum) = sum.as_mut() else {
            sum = Some(piece.clone());
            continue;
        };
        sum.source_rows += piece.source_rows;
        sum.target_rows += piece.target_rows;
        sum.missing += piece.missing;
        sum.extra += piece.extra;
        sum.different += piece.different;
        sum.repaired += piece.repaired;
        sum.equal &= piece.equal;
        sum.read_back &= piece.read_back;
        for column in &piece.not_compared {
            if !sum.not_compared.contains(column) {
                sum.not_compared.push(column.clone());
            }
        }
        let room = EXAMPLES.saturating_sub(sum.examples.len());
        sum.examples.extend(piece.examples.iter().take(room).cloned());
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::db_sync::VerifyBy;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn plan() -> Partial {
        let facts = TableFacts {
            table: 0,
            source: "orders".into(),
            target: "orders".into(),
            rows_estimated: Some(100),
            created: true,
            planned: true,
            finish: false,
            verify_by: VerifyBy::Part,
            left_out: Vec::new(),
        };
        Partial { tables: vec![facts], ..Partial::new(Step::Plan) }
    }

    fn copy(part: u32, rows: u64) -> Partial {
        Partial { rows, bytes: rows * 10, ..Partial::new(Step::Copy { table: 0, part }) }
    }

    fn verified(part: u32, missing: u64, repaired: u64) -> Partial {
        let verification = Verification {
            level: Verify::Repair,
            source_rows: 50,
            target_rows: 50 - missing,
            missing,
            extra: 0,
            different: 0,
            repaired,
            not_compared: vec!["doc".into()],
            examples: vec![format!("key {part}"); 7],
            equal: missing == repaired,
            read_back: part == 0,
        };
        Partial {
            verification: Some(verification),
            ..Partial::new(Step::Verify { table: 0, part: Some(part) })
        }
    }

    #[test]
    fn a_report_that_comes_again_changes_nothing_and_a_newer_one_replaces() {
        let mut tally = Tally::default();
        tally.absorb(0, &node("w1"), plan());
        for _ in 0..2 {
            tally.absorb(1, &node("w1"), copy(0, 10));
        }
        tally.absorb(2, &node("w2"), copy(1, 5));
        assert_eq!(tally.report(0).rows, 15);
        // Another worker goes on where the first was.
        tally.absorb(1, &node("w2"), copy(0, 30));
        let report = tally.report(0);
        assert_eq!((report.rows, report.bytes), (35, 350));
        assert_eq!(report.workers, [WorkerPart { node: node("w2"), shards: 2, rows: 35 }]);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut tally = Tally::default();
        tally.absorb(0, &node("w1"), plan());
        for second in 0..=20_u64 {
            tally.absorb(1, &node("w1"), copy(0, if second <= 10 { second } else { 10 + (second - 10) * 8 }));
            tally.mark(second * 1_000_000_000);
        }
        let progress = tally.progress(20_000_000_000, &[(Step::Plan, ShardState::Done)], 1);
        assert_eq!(progress.rows_per_second, 8.0);
        assert_eq!(progress.rows_estimated, Some(100));
        assert_eq!(progress.fraction(), Some(0.9));
        assert_eq!(progress.remaining(), Some(Duration::from_millis(1250)));
        let nothing = Progress::default();
        assert_eq!((nothing.fraction(), nothing.remaining()), (None, None));
        let still = Progress { rows_estimated: Some(5), ..nothing };
        assert_eq!((still.fraction(), still.remaining()), (Some(0.0), None));
    }

    #[test]
    fn phases_follow_the_work() {
        use ShardState::{Done, Running};
        let mut tally = Tally::default();
        tally.absorb(0, &node("w1"), plan());
        let copy = (Step::Copy { table: 0, part: 0 }, Running);
        let verify = (Step::Verify { table: 0, part: Some(0) }, Running);
        let phases = |shards: &[(Step, ShardState)]| {
            let progress = tally.progress(0, shards, 1);
            (progress.phase, progress.tables[0].phase.clone())
        };
        assert_eq!(phases(&[(Step::Plan, Running), copy]), ("copying".into(), "copying".into()));
        assert_eq!(
            phases(&[(Step::Plan, Done), (copy.0, Done), verify]),
            ("verifying".into(), "verifying".into())
        );
        assert_eq!(phases(&[(Step::Plan, Done), (copy.0, Done)]), ("closing".into(), "done".into()));
    }

    #[test]
    fn a_table_is_equal_only_if_all_of_its_pieces_are() {
        let mut tally = Tally::default();
        tally.absorb(0, &node("w1"), plan());
        tally.absorb(1, &node("w1"), verified(0, 0, 0));
        tally.absorb(2, &node("w1"), verified(1, 2, 2));
        let report = tally.report(0);
        let found = report.tables[0].verification.clone().unwrap();
        assert!(!found.read_back, "one piece alone was read back");
        assert!(found.equal && report.shortfalls().is_empty());
        assert_eq!((found.source_rows, found.missing, found.repaired), (100, 2, 2));
        assert_eq!((found.examples.len(), found.not_compared.len()), (10, 1));
        tally.absorb(3, &node("w1"), verified(2, 1, 0));
        assert_eq!(tally.report(0).shortfalls().len(), 1);
    }
}
