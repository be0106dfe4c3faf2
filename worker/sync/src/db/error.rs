//! What a database answers when it does not do what it was asked.
//!
//! In: drivers' errors. Out: one type with a class that says what may help. Never: a password.
//! Tests: in each dialect's room, against real servers.

/// What may help against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The connection is gone or could not be made; what was under way is done or not, nobody knows. Connect
    /// again and look.
    Lost,
    /// Deadlock, lock timeout, serialization failure, too many connections: nothing was done, try again.
    Busy,
    /// What a row holds is refused: a constraint, a range, an encoding. Trying again fails again.
    Row,
    /// The account may not.
    Denied,
    /// A table, column or database does not exist.
    Missing,
    /// Anything else; trying again fails again.
    Other,
}

/// An error of a database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if self.code.is_empty() { String::new() } else { format!(" ({})", self.code) })]
pub struct DbError {
    /// What may help.
    pub class: Class,
    /// The server's own code: SQLSTATE, error number; empty for none.
    pub code: String,
    /// The server's words.
    pub message: String,
}

impl DbError {
    /// An error without a code.
    pub fn new(class: Class, message: impl Into<String>) -> DbError {
        DbError { class, code: String::new(), message: message.into() }
    }

    /// Whether trying again, perhaps over another connection, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.class {
            Class::Lost | Class::Busy => true,
            Class::Row | Class::Denied | Class::Missing | Class::Other => false,
        }
    }
}
