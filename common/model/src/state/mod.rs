//! The machines: where runs and shards are in their lives. One transition function each; no other code
//! makes a state.

mod run;
mod shard;

pub use run::{RunEvent, RunState};
pub use shard::{ShardEvent, ShardState};

/// A transition that the machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not apply to a {machine} that is {state}")]
pub struct Rejected {
    /// Which machine.
    pub machine: &'static str,
    /// The state it is in.
    pub state: &'static str,
    /// The event that came.
    pub event: &'static str,
}
