//! Placement: which worker gets how much. Pure.
//!
//! In: the workers as they are. Out: a [`Decision`] with the vector that explains it.
//! Never: talks to a worker, reads a clock.

mod decision;

pub use decision::{Candidate, Decision};
