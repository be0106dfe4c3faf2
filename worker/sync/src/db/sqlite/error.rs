//! SQLite's errors in classes.
//!
//! In: errors of rusqlite. Out: [`DbError`]. Never: the text of a statement. Tests: `worker/sync/tests/databases/sqlite.rs`.

use crate::db::{Class, DbError};
use rusqlite::{Error, ErrorCode};

/// A driver's error with its class and SQLite's extended code.
pub(super) fn from(error: Error) -> DbError {
    match error {
        Error::SqliteFailure(failure, message) => {
            let message = message.unwrap_or_else(|| failure.to_string());
            let class = class(failure.code, &message);
            DbError { class, code: failure.extended_code.to_string(), message }
        }
        Error::SqlInputError { error, msg, .. } => {
            DbError { class: class(error.code, &msg), code: error.extended_code.to_string(), message: msg }
        }
        other => DbError::new(Class::Other, other.to_string()),
    }
}

fn class(code: ErrorCode, message: &str) -> Class {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Class::Busy,
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => Class::Row,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            Class::Denied
        }
        ErrorCode::CannotOpen | ErrorCode::NotFound => Class::Missing,
        _ if ["no such table", "no such column", "no such index", "unknown database"]
            .iter()
            .any(|words| message.starts_with(words)) =>
        {
            Class::Missing
        }
        _ => Class::Other,
    }
}

/// The connection was on a thread that did not come back.
pub(super) fn lost() -> DbError {
    DbError::new(Class::Lost, "the connection to the SQLite file was lost in an earlier call; connect again")
}
