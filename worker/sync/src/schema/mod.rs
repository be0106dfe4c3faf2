//! Tables and columns in words that all engines share, and the way of values between them.
//!
//! In: what catalogs say, values as text. Out: tables, kinds of values, [`Codec`]s, [`CellForm`]s. Never: SQL, a connection.
//! Tests: beside each file.

mod codec;
mod form;
mod kind;
mod mapping;
mod pair;
mod table;

pub use codec::event;
pub use codec::{Applied, Codec, Lossy, Verdict};
pub use form::CellForm;
pub use kind::Kind;
pub use mapping::{target_key_kind, target_kind};
pub use pair::pair;
pub use table::{Column, Index, IndexColumn, Table, TableName};
