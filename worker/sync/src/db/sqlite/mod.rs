//! SQLite.
//!
//! ```text
//!  Session ──moves its handle──► blocking thread ──batches of cells──► Session ──text──► RowSink
//! ```
//! In: an endpoint. Out: a connection. Never: a decision about pages; two statements at a time on one handle.
//! A value's type is its own in SQLite, not its column's: cells carry a tag (see `cells`), and what a value is
//! decides its text, not what its column was declared as.
//! Tests: beside each file; `worker/sync/tests/databases/sqlite.rs`, `worker/sync/tests/databases/engines.rs`.

mod catalog;
mod cells;
mod ddl;
mod declared;
mod dialect;
mod error;
mod functions;
mod hash;
mod place;
mod read;
mod replace;
mod session;
mod write;

use super::{Connection, DbError, Endpoint};

/// Connects; see [`open`](super::open()).
pub(super) async fn open(endpoint: &Endpoint, read_only: bool) -> Result<Box<dyn Connection>, DbError> {
    Ok(Box::new(session::Session::open(endpoint, read_only).await?))
}

#[cfg(test)]
pub(super) mod testing {
    use crate::schema::{Column, Kind};

    /// A nullable column of a kind.
    pub(crate) fn column(name: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            native: String::new(),
            kind,
            nullable: true,
            generated: false,
            auto: false,
            default: None,
            collation: None,
        }
    }
}
