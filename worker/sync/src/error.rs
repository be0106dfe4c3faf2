//! Why a step came to an end before its work was done.
//!
//! In: databases' errors with what was being done. Out: an error that says whether another try may help.
//! Tests: with the rooms that make them.

use crate::db::{Class, DbError};
use shanty_rt::driver::DriverError;

/// Why a step stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// Trying again would fail again; the words name the field and what helps.
    #[error("{0}")]
    Permanent(String),
    /// Another try may help.
    #[error("{0}")]
    Transient(String),
    /// Another attempt holds the shard: nothing was written and nothing will be.
    #[error("another attempt has taken this shard over")]
    Fenced,
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

impl SyncError {
    /// An error that stays.
    pub fn permanent(message: impl Into<String>) -> SyncError {
        SyncError::Permanent(message.into())
    }

    /// A database's error while `doing` something.
    #[must_use]
    pub fn db(doing: &str, error: &DbError) -> SyncError {
        let message = format!("{doing}: {error}");
        match error.class {
            Class::Lost | Class::Busy => SyncError::Transient(message),
            Class::Denied => SyncError::Permanent(format!("{message}; grant the account what it lacks")),
            Class::Row | Class::Missing | Class::Other => SyncError::Permanent(message),
        }
    }
}

/// Puts what was being done before a database's error.
pub trait Doing<T> {
    /// See the trait.
    ///
    /// # Errors
    /// The same error with `what` before it.
    fn doing(self, what: &str) -> Result<T, SyncError>;
}

impl<T> Doing<T> for Result<T, DbError> {
    fn doing(self, what: &str) -> Result<T, SyncError> {
        self.map_err(|error| SyncError::db(what, &error))
    }
}

impl From<SyncError> for DriverError {
    fn from(error: SyncError) -> DriverError {
        match error {
            SyncError::Permanent(message) => DriverError::Permanent(message),
            SyncError::Transient(message) => DriverError::Transient(message),
            error @ (SyncError::Fenced | SyncError::Stopped) => DriverError::Transient(error.to_string()),
        }
    }
}
