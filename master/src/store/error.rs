//! What went wrong with the store, and what the databases' own errors mean.
//!
//! Never: holds a password; messages are the server's own or sqlx's, which name hosts and users only.
//! Tests: the conformance suite.

use shanty_model::epoch::Epoch;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store has seen a newer term: this master leads no more. (An older one too: a store that was
    /// restored from a backup must be fenced again first.)
    #[error("fenced: the store is at {stored}, this master at {mine}")]
    Fenced {
        /// The store's term.
        stored: Epoch,
        /// The mandate's.
        mine: Epoch,
    },
    /// A row was not at the version that the mutation expected, a name was taken, or the database refuses
    /// the values themselves. Trying the same again does not help.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database did not do it; trying again may help ([`super::Store::recommit`]).
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was read makes no sense.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// What `error` means; `what` names the row or the act.
pub(super) fn trouble(what: &str, error: sqlx::Error) -> Error {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. } => return Error::Corrupt(format!("{what}: {error}")),
        other => return Error::Unavailable(format!("{what}: {other}")),
    };
    if database.is_unique_violation() {
        return Error::Conflict(format!("{what} is there already"));
    }
    // SQLSTATE classes 22 and 23: the values are at fault, and will be next time.
    let state = database.code().unwrap_or_default();
    let is_state = state.len() == 5;
    if is_state && (state.starts_with("22") || state.starts_with("23")) {
        return Error::Conflict(format!("{what}: {}", database.message()));
    }
    Error::Unavailable(format!("{what}: {}", database.message()))
}
