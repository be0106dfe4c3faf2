//! Data for syncs: databases of every engine, filled by rule, and read back by their own client libraries.
//!
//! | file | holds |
//! |---|---|
//! | `database` | one database of one engine: statements, rows as text |
//! | `servers` | the servers behind them |
//! | `text` | values as the same text on every engine, and the hash of a table |
//! | `orders` | the benchmark's table: 8 columns of about 176 bytes, any number of rows |
//! | `portable` | a table of the kinds that every engine has |
//! | `cases` | tables that broke other tools, each with what must arrive |
//!
//! In: engines, numbers of rows. Out: tables with known content. Never: code of the sync under test, so that a
//! mistake of its cannot hide itself.
//! Tests: `tests/tests/t50_sync.rs`.

pub mod cases;
mod database;
mod orders;
mod portable;
mod servers;
mod text;

pub use database::{Database, Engine, Row, Session};
pub use orders::Orders;
pub use portable::Portable;
pub use servers::Servers;
pub use text::{Fingerprint, Form, fingerprint, lines};
