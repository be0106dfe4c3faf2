//! An attempt on this worker: what its driver sees, and what is kept until the master has it.
//!
//! ```text
//!  driver ──emit──► Outbox (numbered, kept) ──next_due──► executor ──► leader's stream
//!                       ▲───────────ack──────────────────────┘
//! ```
//! In: a driver and an order. Out: numbered results and one end, whatever the driver does.
//! Never: talks to a master; the executor does.
//!
//! | file | holds |
//! |---|---|
//! | `outbox` | numbered results until they are acknowledged; pure |
//! | `port` | the attempt as its driver sees it |
//! | `supervise` | runs the driver; a panic is a failure like any other |

mod outbox;
mod port;
mod supervise;

pub(crate) use port::{Port, Work};
pub(crate) use supervise::supervise;
