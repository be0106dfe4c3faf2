//! Copying one piece of a table: pages read ahead of their being written, each committed with its position.
//!
//! ```text
//!   source session ──► reader ────(1 page ahead)────► writer ──► target session
//!                      sizes pages, spares             fences, loads, commits,
//!                      the source, cuts                puts refused rows aside
//! ```
//! | file | holds |
//! |---|---|
//! | `page` | rows on their way |
//! | `form` | how a table's rows are read and encoded |
//! | `reader` | one page after the other, of fitting size |
//! | `pace` | limits: rows and bytes per second, lag, latency |
//! | `turn` | when the reader may go on |
//! | `cut` | giving up a part of what is left |
//! | `writer` | one transaction per page |
//! | `isolate` | which row of a page the target refuses |
//!
//! In: a held shard. Out: its rows in the target, once. Never: a page without its position; a retry without
//! asking the target where it stands.
//! Tests: `worker/sync/tests/`, between all engines, with faults.

mod cut;
mod form;
mod isolate;
mod pace;
pub mod page;
mod reader;
mod turn;
mod writer;

pub(crate) use cut::key_after;
pub use form::{Form, order_expr};
pub use writer::copy;
