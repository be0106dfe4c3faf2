//! The house of the tests: what starts real processes, speaks to them, and judges what they did.
//!
//! | room | holds |
//! |---|---|
//! | [`house`] | the walls of the source tree as rules |
//!
//! Tests are in `tests/tests`, one binary per area; `tests/run` installs what they need and runs all.

pub mod house;
