//! The store: what must outlive every process. PostgreSQL, MySQL/MariaDB or SQLite through one seam.
//!
//! In: batches of [`Mutation`]s under a [`Mandate`]; each is one transaction that takes a shared lock on
//! the fence row, checks the epoch, compares versions, and is done whole or not at all. Out: records.
//! Never: decides; holds state of its own.
//! Tests: the conformance suite, run on all three.

mod record;

pub use record::*;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store has seen a newer term: this master leads no more.
    #[error("fenced: the store is at {stored}, this master at {mine}")]
    Fenced {
        /// The store's term.
        stored: shanty_model::epoch::Epoch,
        /// The mandate's.
        mine: shanty_model::epoch::Epoch,
    },
    /// A row was not at the version that the mutation expected, or a name was taken.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database did not do it; trying again may help.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was read makes no sense.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}
