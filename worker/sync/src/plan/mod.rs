//! Planning: everything is checked before anything is written, then tables are made ready and their ranges found,
//! one after the other, so that copying begins while planning goes on.
//!
//! | file | holds |
//! |---|---|
//! | `names` | which tables are meant |
//! | `resolve` | what becomes of one table: columns, key, types; pure |
//! | `table_plan`, `piece` | what the other steps work from |
//! | `ranges` | where a table is cut into shards |
//! | `window` | which rows an incremental run reads |
//! | `step` | the plan as a step of the run |
//!
//! In: a spec, both catalogs. Out: plans of tables and shards, kept in the target. Never: a row.
//! Tests: beside the pure files; `worker/sync/tests/`.

mod names;
mod piece;
mod ranges;
mod resolve;
mod step;
mod table_plan;
mod window;

pub use piece::{By, Key, Piece, compare};
pub use step::plan;
pub use table_plan::{Duplicate, EngineName, Pair, TablePlan};
