//! One connection and the request on it.
//!
//! ```text
//!   Connecting ──► Sending ──► Waiting ──► Idle ──► Sending …
//! ```
//! In and out: fields, moved by `exchange`. Tests: with `exchange`, in `worker/tests`.

use super::response::Decoder;
use rustix::fd::OwnedFd;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The slot is empty.
    Free,
    /// It is being made, for a request that is attached already.
    Connecting,
    /// Part of the request is written.
    Sending,
    /// The request is written, the answer not whole.
    Waiting,
    /// It has nothing to do.
    Idle,
}

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// A slot for a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Option<OwnedFd>,
    pub(super) phase: Phase,
    /// Number of the connection among those that this slot held: events of an earlier one are told by it.
    pub(super) generation: u32,
    /// Addresses tried for the request at hand.
    pub(super) tried: u32,
    /// Bytes of the request written.
    pub(super) written: usize,
    /// Intended start of the request at hand, nanoseconds since the run's start.
    pub(super) intended_ns: u64,
    /// When its first byte was sent.
    pub(super) sent_ns: u64,
    pub(super) decoder: Decoder,
    /// Neighbours in the list of requests in flight.
    pub(super) before: u32,
    pub(super) after: u32,
    /// Position among the idle ones.
    pub(super) idle_at: u32,
}

impl Connection {
    /// An empty slot.
    pub(super) fn free() -> Connection {
        Connection {
            socket: None,
            phase: Phase::Free,
            generation: 0,
            tried: 0,
            written: 0,
            intended_ns: 0,
            sent_ns: 0,
            decoder: Decoder::new(),
            before: NONE,
            after: NONE,
            idle_at: NONE,
        }
    }
}
