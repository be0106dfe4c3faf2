//! The kind `db_sync`: tables copied from one database to another, in shards that any worker can do.
//!
//! ```text
//!   plan ──► copy, copy, copy … ──► finish ──► verify … ──► close
//!            (found while planning)  per table
//! ```
//! | file | holds |
//! |---|---|
//! | `spec` | what the user asks for, and its check |
//! | `step` | what one shard does |
//! | `flow` | which steps follow from those that are there |
//! | `partial` | what an attempt reports |
//! | `tally` | reports merged; progress and report |
//!
//! In: a user's wish, workers' reports. Out: steps, figures. Never: SQL, a connection.
//! Tests: beside each file.

mod flow;
mod partial;
mod spec;
mod step;
mod tally;

pub use flow::next;
pub use partial::{Found, Note, Partial, TableFacts, Verification, VerifyBy};
pub use spec::{
    Change, ColumnMap, DiffColumn, Mode, OnExisting, OnLossy, Source, Spec, Target, Throttle, Verify,
};
pub use step::Step;
pub use tally::{Progress, Report, TableProgress, TableReport, Tally, WorkerPart};

use super::{Kind, Shape};
use crate::state::ShardState;
use serde::{Deserialize, Serialize};

/// The kind, in types.
#[derive(Debug, Clone, Copy)]
pub struct DbSync;

impl Kind for DbSync {
    const NAME: &'static str = "db_sync";
    const SHAPE: Shape = Shape::Divisible;
    type Spec = Spec;
    type Shard = Step;
    type Directive = Directive;
    type Partial = Partial;

    fn joined(older: Partial, newer: Partial) -> Option<Partial> {
        Some(newer.after(older))
    }
}

/// What an attempt is told; the newest holds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Directive {
    /// Its share of the run's limit, rows per second; 0 for none.
    pub rows_per_second: f64,
    /// Its share of the run's limit, bytes per second; 0 for none.
    pub bytes_per_second: f64,
    /// How often it was asked to give up a part of what is left to it.
    pub cuts: u32,
}

/// The steps of shards from their payloads; a payload that is no step is left out.
pub(super) fn steps(shards: &[(&str, ShardState)]) -> Vec<(Step, ShardState)> {
    shards.iter().filter_map(|(payload, state)| Some((serde_json::from_str(payload).ok()?, *state))).collect()
}

/// What a shard is, for people, by its payload and the tables known.
pub(super) fn title<'a>(payload: &str, mut tables: impl Iterator<Item = &'a TableFacts>) -> String {
    let Ok(step) = serde_json::from_str::<Step>(payload) else { return String::new() };
    let mut name = |table: u32| {
        let found = tables.find(|facts| facts.table == table);
        found.map_or_else(|| format!("table {table}"), |facts| facts.source.clone())
    };
    match step {
        Step::Plan => "plan".to_owned(),
        Step::Copy { table, part } => format!("copy {} {part}", name(table)),
        Step::Finish { table } => format!("finish {}", name(table)),
        Step::Verify { table, part: Some(part) } => format!("verify {} {part}", name(table)),
        Step::Verify { table, part: None } => format!("verify {}", name(table)),
        Step::Close => "close".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_the_table_as_far_as_it_is_known() {
        let orders = TableFacts {
            table: 1,
            source: "shop.orders".into(),
            target: "orders".into(),
            rows_estimated: None,
            created: false,
            planned: true,
            finish: false,
            verify_by: VerifyBy::Whole,
            left_out: Vec::new(),
        };
        let title = |step: Step| title(&serde_json::to_string(&step).unwrap(), [&orders].into_iter());
        assert_eq!(title(Step::Copy { table: 1, part: 3 }), "copy shop.orders 3");
        assert_eq!(title(Step::Verify { table: 1, part: None }), "verify shop.orders");
        assert_eq!(title(Step::Verify { table: 1, part: Some(0) }), "verify shop.orders 0");
        assert_eq!(title(Step::Finish { table: 2 }), "finish table 2");
        assert_eq!((title(Step::Plan), title(Step::Close)), ("plan".to_owned(), "close".to_owned()));
        assert_eq!(super::title("", [].into_iter()), "");
    }
}
