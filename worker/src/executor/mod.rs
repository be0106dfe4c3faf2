//! The executor: the one owner of what this worker does.
//!
//! ```text
//!  links ──Event──► Executor ──► attempts (each supervised, in the executor's scope)
//!                     │  ▲ ends, wake                          │
//!                     │  └─────────────────────────────────────┘
//!                     ├──pump──► the leader's stream, and no other
//!                     └──debts─► each master's stream: what is held, that it leaves, what it refused
//! ```
//! What is sent is level-triggered: after every event each attempt's state, results and end are compared
//! with what the present leader was told, and what is missing is sent as far as there is room. So are the debts to
//! each master, which go first.
//! In: events of links, ends of attempts, time. Out: orders to attempts, words to the leader.
//! Never: waits for a stream, or obeys an epoch that is not on disk.
//! Tests: beside the pure parts; the whole with masters in `worker/tests/`.
//!
//! | file | holds |
//! |---|---|
//! | `leader` | who leads, as far as this worker knows; pure |
//! | `admission` | whether an order to do an attempt is taken; pure |
//! | `leaving` | the phases from the stop to the end; pure |
//! | `roll` | the attempts held |
//! | `over` | attempts acknowledged lately |
//! | `orders` | what a master says, done |
//! | `line` | the way to one master, and what it is owed |
//! | `pump` | what the leader still has to be told, told |
//! | `core` | the loop |

mod admission;
mod core;
mod leader;
mod leaving;
mod line;
mod orders;
mod over;
mod pump;
mod roll;

pub(crate) use core::{Executor, NameTaken, Options, Signals};
