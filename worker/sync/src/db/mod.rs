//! The seam to the databases: what one connection can do, and how its engine writes SQL.
//!
//! ```text
//!            ┌──────────────┐  SQL text  ┌───────────────┐
//!   rooms ──►│ Dialect      │───────────►│ Connection    │──► server
//!            │ pure, static │            │ one session   │
//!            └──────────────┘            └───────────────┘
//! ```
//! [`Dialect`] makes SQL and encodes rows; [`Connection`] runs it. Three engines stand behind both: `mysql`
//! (MySQL, MariaDB, and TiDB by protocol), `postgres`, `sqlite`. Rooms above this one name no engine.
//! In: SQL, rows. Out: rows, answers, [`DbError`]. Never: a decision about shards or pages.
//! Tests: `worker/sync/tests/` runs one conformance suite over all engines.

mod connection;
mod dialect;
mod error;
pub mod mysql;
mod open;
pub mod postgres;
pub mod sqlite;

pub use connection::{Connection, Load, Loaded, OnDuplicate, RowSink, Rows, SafeUpper, Select, TextRow};
pub use dialect::{
    Comparison, ControlTypes, Dialect, Engine, NotOfItsKind, Order, RawHasher, RowEncoder, SelectParts, Side,
};
pub use error::{Class, DbError};
pub use open::{Endpoint, open};
