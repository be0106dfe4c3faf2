//! Election: who leads, and the proof of it.

mod mandate;

pub use mandate::{Authority, Mandate};
