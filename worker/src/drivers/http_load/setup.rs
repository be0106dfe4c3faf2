//! What all threads of an attempt share from its start on.
//!
//! In: the settled spec, options. Out: fields that do not change. Tests: with `thread`.

use shanty_model::kind::http_load::TargetPolicy;
use shanty_rt::clock::monotonic_ns;
use std::net::SocketAddr;

/// What all threads of an attempt share from the start on.
#[derive(Debug)]
pub(super) struct Setup {
    /// Host of the url.
    pub(super) host: String,
    /// Its addresses; not empty.
    pub(super) addresses: Vec<SocketAddr>,
    /// Asked at every connect.
    pub(super) policy: TargetPolicy,
    /// Bytes of the request.
    pub(super) request: Vec<u8>,
    /// The method is HEAD.
    pub(super) bodiless: bool,
    /// Connections are used again.
    pub(super) keep_alive: bool,
    /// From a request's intended start.
    pub(super) timeout_ns: u64,
    /// Requests intended before are not measured.
    pub(super) warm_up_ns: u64,
    /// Start of the run, CLOCK_MONOTONIC.
    pub(super) start_ns: u64,
    /// An arrival later than this is dropped.
    pub(super) catch_up_ns: u64,
    /// The thread stops sleeping this long before an arrival.
    pub(super) guard_ns: u64,
    /// Whether arrivals from before the attempt began are this attempt's: of the first attempt at a shard.
    pub(super) owes_the_past: bool,
}

impl Setup {
    /// Nanoseconds since the run's start; 0 before it.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }
}
