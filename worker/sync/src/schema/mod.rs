//! Tables and columns in words that all engines share.
//!
//! In: what catalogs say. Out: tables, kinds of values. Never: SQL, a connection.
//! Tests: beside each file.

mod kind;
mod table;

pub use kind::Kind;
pub use table::{Column, Index, IndexColumn, Table, TableName};
