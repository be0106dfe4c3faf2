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
//! | [`schema`] | tables and kinds of values in words that all engines share, and the way of values between them |
//! | [`plan`] | what is copied, checked before anything is written, and cut into shards |
//! | [`control`] | the state of a sync in the target: positions under a fence |
//! | [`copy`] | one shard's rows, page by page |
//! | [`finish`] | indexes, counters, watermark |
//! | [`verify`] | source and target compared |
//! | [`sessions`], [`work`], [`driver`] | how a step gets at all this |
#![warn(missing_docs)]

pub mod connection;
pub mod control;
pub mod copy;
pub mod db;
mod digest;
pub mod driver;
pub mod error;
pub mod finish;
pub mod plan;
pub mod schema;
pub mod sessions;
pub mod verify;
pub mod work;
