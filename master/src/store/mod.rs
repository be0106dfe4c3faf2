//! The store: what must outlive every process. PostgreSQL, MySQL/MariaDB or SQLite through one seam.
//!
//! In: batches of [`Mutation`]s under a [`Mandate`](crate::election::Mandate); each is one
//! transaction that takes a shared lock on the fence row, checks the epoch, compares versions, and is done
//! whole or not at all. Out: records.
//! Never: decides; holds state of its own.
//! Tests: the conformance suite, run on all three.

mod active;
mod commit;
#[doc(hidden)]
pub mod conformance;
mod dialect;
mod error;
mod fence;
mod open;
mod prune;
mod read;
mod record;
mod row;
mod schema;
mod transaction;
mod value;

pub use crate::election::FenceOutcome;
pub use error::Error;
pub use open::{Options, Store, sqlite_url};
pub use prune::Pruned;
pub use read::RunCursor;
pub use record::*;
