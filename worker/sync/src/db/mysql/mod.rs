//! MySQL, MariaDB and TiDB.
//!
//! ```text
//!   place ──► session ──► read      rows to a sink
//!             one Conn ├─► load ──► lanes, merge
//!                      ├─► catalog, clock, grants
//!   dialect: literals, types, ddl, hash, encode (pure)
//! ```
//! In: an endpoint. Out: a connection. Never: a decision about pages.
//! Tests: `worker/sync/tests/databases/mysql.rs` against a server; the pure parts beside each file.

mod catalog;
mod clock;
mod connection;
mod ddl;
mod dialect;
mod encode;
mod failure;
mod grants;
mod hash;
mod lanes;
mod literals;
mod load;
mod merge;
mod place;
mod read;
mod session;
mod types;

pub use dialect::{DIALECT, MysqlDialect};

use super::{Connection, DbError, Endpoint};

pub(super) async fn open(endpoint: &Endpoint, read_only: bool) -> Result<Box<dyn Connection>, DbError> {
    let place = place::Place::of(endpoint).map_err(super::open::other)?;
    let session = session::Session::open(&place, read_only).await?;
    Ok(Box::new(connection::MysqlConnection::new(session)))
}
