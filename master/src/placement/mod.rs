//! Placement: which worker gets how much. Pure.
//!
//! ```text
//!   workers ──filter──► eligible ──score──► scores ──► Plan (weights by largest remainder, stripes)
//!                └ refusals              └──────────► Decision, kept with the run
//! ```
//! In: the workers as they are. Out: [`Candidate`]s with scores, and a [`Decision`] that explains itself.
//! Never: talks to a worker, reads a clock.
//! Tests: beside each room.

mod decision;
mod score;

pub use decision::{Candidate, Decision};
pub use score::{Needs, Standing, candidate, rescored, whole_score};
