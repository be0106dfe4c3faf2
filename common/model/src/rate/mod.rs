//! The rate shape: a schedule of arrivals that many workers keep together.
//!
//! ```text
//!   stages ──► Schedule: C(t), the count of arrivals expected by t ──► Arrivals: due time of arrival i
//!   weights ─► Stripes: a pattern of owners over the index ──────────► which worker sends arrival i
//! ```
//! Every time is a whole number of nanoseconds since the run's start, and every due time follows from the
//! index alone, so there is no drift and the workers' arrivals together are exactly the schedule's.
//!
//! In: stages, weights, instants. Out: due times, counts. Pure; no clock, no floats in decisions.
//! Tests: beside each room, with properties.

mod arrivals;
mod plan;
mod schedule;
mod stripes;

pub use arrivals::{Arrivals, BLOCK, Sequence};
pub use plan::{Directive, Directives, Load, Ownership, Patterns, Plan};
pub use schedule::{Count, Piece, Pitch, Schedule, Stage, UNIT};
pub use stripes::{MODULUS, Stripes};
