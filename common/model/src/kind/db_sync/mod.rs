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
