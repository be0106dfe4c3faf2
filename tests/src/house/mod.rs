//! The walls of the house, as rules over source text: pure, so that a planted breach can be tried.
//!
//! In: paths and texts of Rust files, and `cargo metadata`. Out: breaches as sentences.
//! Never: reads files (`tests/layering.rs` does).
//! Tests: below, and `tests/tests/layering.rs` over the tree.

mod edges;
mod pointers;
mod source;
mod walls;

pub use edges::check_edges;
pub use pointers::check_pointers;
pub use source::{Source, non_test_lines};
pub use walls::check_source;
