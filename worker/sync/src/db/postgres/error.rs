//! What a PostgreSQL error means here.
//!
//! In: errors of the driver. Out: [`DbError`] with a class; the server's message, its detail about keys and the
//! place in a COPY. Never: a password, a whole row, the value that a COPY stopped at.
//! Tests: below; against a server in `worker/sync/tests/databases/postgres.rs`.

use crate::db::{Class, DbError};
use sqlx::postgres::PgDatabaseError;

/// A server's message is cut here: it may quote a value of any length.
const LONGEST: usize = 400;

/// The class of a SQLSTATE.
pub(super) fn class(code: &str) -> Class {
    match code {
        // Ended by an administrator, a crash, a shutdown, an idle timeout; not accepting connections.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "40003" => Class::Lost,
        // Lock timeout, cancelled statement, too many connections, out of memory, object in use.
        "55P03" | "57014" | "53300" | "53200" | "55006" => Class::Busy,
        "42501" => Class::Denied,
        "42P01" | "42703" | "42704" | "42883" | "3D000" | "3F000" | "57P04" => Class::Missing,
        // The same key twice in one load, an index entry that is too big, a view's check, a trigger's own error.
        "21000" | "54000" | "44000" | "P0001" => Class::Row,
        _ => match code.get(..2) {
            Some("08") => Class::Lost,
            Some("40") => Class::Busy,
            Some("22" | "23") => Class::Row,
            Some("28") => Class::Denied,
            _ => Class::Other,
        },
    }
}

/// A driver's error as one of ours.
pub(super) fn from_driver(error: sqlx::Error) -> DbError {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
            Ok(error) => from_server(&error),
            Err(error) => DbError::new(Class::Other, shortened(error.message())),
        },
        sqlx::Error::Io(error) => DbError::new(Class::Lost, format!("connection: {error}")),
        sqlx::Error::Protocol(message) => DbError::new(Class::Lost, format!("protocol: {message}")),
        sqlx::Error::Tls(error) => DbError::new(Class::Other, format!("TLS: {error}")),
        // The driver's words about a url may quote it.
        sqlx::Error::Configuration(_) => {
            DbError::new(Class::Other, "an option of the url is not understood; see sslmode, sslrootcert")
        }
        other => DbError::new(Class::Other, other.to_string()),
    }
}

fn from_server(error: &PgDatabaseError) -> DbError {
    let mut message = shortened(error.message());
    if let Some(detail) = error.detail().filter(|detail| detail.starts_with("Key (")) {
        message.push_str("; ");
        message.push_str(&shortened(detail));
    }
    if let Some(place) = error.r#where().and_then(copy_place) {
        message.push_str("; ");
        message.push_str(place);
    } else if let Some(column) = error.column() {
        message.push_str("; column ");
        message.push_str(column);
    }
    DbError { class: class(error.code()), code: error.code().to_owned(), message }
}

/// `COPY t, line 5, column x` of a COPY's context, without the value that follows it.
fn copy_place(context: &str) -> Option<&str> {
    let line = context.lines().find(|line| line.starts_with("COPY "))?;
    let end = line.find(": \"").unwrap_or(line.len());
    line.get(..end)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_classes() {
        for (code, expected) in [
            ("08006", Class::Lost),
            ("57P01", Class::Lost),
            ("40001", Class::Busy),
            ("40P01", Class::Busy),
            ("55P03", Class::Busy),
            ("53300", Class::Busy),
            ("22001", Class::Row),
            ("23505", Class::Row),
            ("28P01", Class::Denied),
            ("42501", Class::Denied),
            ("42P01", Class::Missing),
            ("42703", Class::Missing),
            ("3D000", Class::Missing),
            ("3F000", Class::Missing),
            ("42601", Class::Other),
            ("", Class::Other),
        ] {
            assert_eq!(class(code), expected, "{code}");
        }
    }

    #[test]
    fn a_place_in_a_copy_is_told_without_the_value() {
        assert_eq!(copy_place("COPY t, line 5, column x: \"secret\""), Some("COPY t, line 5, column x"));
        assert_eq!(copy_place("COPY t, line 1"), Some("COPY t, line 1"));
        assert_eq!(copy_place("PL/pgSQL function f() line 3"), None);
    }
}
