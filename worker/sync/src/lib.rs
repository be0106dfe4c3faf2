//! Database sync: the worker's side of the kind `db_sync`.
//!
//! In: a spec, named connections, steps from the master. Out: rows in the target, exactly once, and figures.
//! Never: the worker's link or the master's store; a password in a log, an answer or a report.
//! Tests: beside the code; against real servers in `worker/sync/tests/`; as a cluster in the tests crate.
//!
//! | room | holds |
//! |---|---|
//! | [`connection`] | databases by the names that workers' configurations give them |
//! | [`db`] | the seam to the engines: SQL makers and connections |
//! | [`schema`] | tables and kinds of values in words that all engines share |
#![warn(missing_docs)]

pub mod connection;
pub mod db;
pub mod schema;
