//! Source and target compared, and the target repaired.
//!
//! ```text
//!  digest of what the copy read = the target read back, and as many rows in the source ─► equal
//!     └ else, or where no copy went before
//!  compare: sums ─► groups ─► rows that are unlike ─► looked at again ─► repair ─► compared once more
//! ```
//! | file | holds |
//! |---|---|
//! | `read_back` | the target against what the copy read |
//! | `frame` | the SQL of both ends: places, hashes, cells |
//! | `judge` | cells that no server hashes portably |
//! | `scan` | one look at one end |
//! | `ends` | both sessions, asked at the same time |
//! | `unlike` | rows side by side |
//! | `carry` | keys of one end at the other |
//! | `compare` | from sums to rows |
//! | `repair` | rows put right, under the fence |
//! | `kept` | what a later attempt goes on from |
//! | `step` | a comparison as a step of the run |
//!
//! In: a table's plan, both databases. Out: a [`Verification`], a target that is equal if it was asked for.
//! Never: an alarm because engines print or order values differently, or because somebody writes meanwhile; a row
//! written without the fence.
//! Tests: beside the pure files; `worker/sync/tests/databases/verify.rs`, between all engines.
//!
//! [`Verification`]: shanty_model::kind::db_sync::Verification

mod carry;
mod compare;
mod ends;
mod frame;
mod judge;
mod kept;
mod read_back;
mod repair;
mod scan;
mod step;
mod unlike;

pub use step::verify;
