//! What syncs write: per run a target with ranges, each fenced by the number of the attempt that wrote last.
//!
//! In: pieces of work of attempts. Out: what they report. Never: lets an attempt write after a later one has begun.
//! Tests: with the simulation.

use super::dice::Dice;
use shanty_model::id::{AttemptId, RunId};
use shanty_model::kind::db_sync::{Found, Partial, Step, TableFacts, VerifyBy};
use std::collections::BTreeMap;

/// Ranges that a plan finds.
const PARTS: u32 = 4;

#[derive(Debug, Clone, Copy)]
struct Range {
    rows: u64,
    left: u64,
}

#[derive(Debug, Default)]
struct Target {
    fence: BTreeMap<Step, u32>,
    ranges: BTreeMap<u32, Range>,
}

/// All targets.
#[derive(Debug, Default)]
pub struct Targets {
    by_run: BTreeMap<RunId, Target>,
}

/// What came of a piece of work.
pub enum Worked {
    /// A later attempt has begun.
    Fenced,
    /// A report, and whether it is the last.
    Report(Box<Partial>, bool),
}

impl Targets {
    /// An attempt does a piece of its work.
    pub fn work(&mut self, dice: &mut Dice, attempt: &AttemptId, step: Step) -> Worked {
        let target = self.by_run.entry(attempt.shard.run.clone()).or_default();
        let fence = target.fence.entry(step).or_default();
        if *fence > attempt.number {
            return Worked::Fenced;
        }
        *fence = attempt.number;
        let mut partial = Partial::new(step);
        let over = match step {
            Step::Plan => {
                let next = u32::try_from(target.ranges.len()).unwrap_or(0);
                if next < PARTS {
                    let rows = dice.between(1, 3000);
                    target.ranges.insert(next, Range { rows, left: rows });
                }
                // A plan that goes on after another tells all again.
                let found = target.ranges.iter();
                partial.found =
                    found.map(|(part, range)| Found { step: copy(*part), rows: range.rows }).collect();
                let planned = next >= PARTS;
                partial.tables = vec![orders(planned)];
                planned
            }
            Step::Copy { part, .. } => {
                let range = target.ranges.entry(part).or_insert(Range { rows: 0, left: 0 });
                range.left -= dice.between(1, 1000).min(range.left);
                partial.rows = range.rows - range.left;
                partial.remaining = Some(range.left);
                range.left == 0
            }
            Step::Finish { .. } | Step::Verify { .. } | Step::Close => true,
        };
        Worked::Report(Box::new(partial), over)
    }
}

fn copy(part: u32) -> Step {
    Step::Copy { table: 0, part }
}

fn orders(planned: bool) -> TableFacts {
    TableFacts {
        table: 0,
        source: "orders".into(),
        target: "orders".into(),
        rows_estimated: Some(1000),
        created: true,
        planned,
        finish: true,
        verify_by: VerifyBy::Part,
        left_out: Vec::new(),
    }
}
