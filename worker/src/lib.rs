//! The worker: attaches to masters and does the work that the leader gives it.
//!
//! In: a configuration, drivers. Out: results to the leader, whoever it is.
//! Never: stops work because a master died; forgets results before a master has them; obeys an older
//! term than it has obeyed before.
//! Tests: beside the code; with masters in `worker/tests/`; as a process in the tests crate.
//!
//! | room | holds |
//! |---|---|
//! | [`config`] | what a worker is told about itself |
//! | `args` | its command line |
//! | `serve` | its life: built, served, drained |
//! | `link` | one standing stream per master |
//! | `executor` | the owner of what it does |
//! | `attempt` | an attempt: its driver's world, and results until they are safe |
//! | `ledger` | the largest epoch obeyed, on disk |
//! | `resource` | the machine's figures |
//! | `discovery` | masters found in the coordinator |
//! | `door` | where sentinels see whether it lives |
//! | `systemd` | ready, status, signs of life |
//! | [`drivers`] | the kinds of work |
#![warn(missing_docs)]

mod args;
mod attempt;
pub mod config;
mod discovery;
mod door;
pub mod drivers;
mod executor;
mod ledger;
mod link;
mod resource;
mod serve;

pub use args::{Args, run};
pub use config::Config;
pub use ledger::Error as LedgerError;
pub use serve::{Error, serve, serve_under};
