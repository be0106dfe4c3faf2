//! Time, once for all: what decides reads [`boottime`], what people read comes from [`unix_ms`].
//!
//! CLOCK_BOOTTIME goes on while a machine is suspended, so a resumed process sees that its lease is old;
//! `std::time::Instant` (CLOCK_MONOTONIC) would not tell it. A simulated node has its own ([`crate::simulation`]).

use crate::simulation;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Time since the machine booted, suspension included. For leases, deadlines and silence.
#[must_use]
pub fn boottime() -> Duration {
    simulation::ask(|node| node.boottime()).unwrap_or_else(|| read(ClockId::Boottime))
}

/// Nanoseconds of CLOCK_MONOTONIC: for pacing.
#[must_use]
pub fn monotonic_ns() -> u64 {
    u64::try_from(read(ClockId::Monotonic).as_nanos()).unwrap_or(u64::MAX)
}

/// Wall clock, nanoseconds since 1970: for schedules and for people.
#[must_use]
pub fn unix_ns() -> i64 {
    let machine = || i64::try_from(read(ClockId::Realtime).as_nanos()).unwrap_or(i64::MAX);
    simulation::ask(|node| node.unix_ns()).unwrap_or_else(machine)
}

/// Wall clock, milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> i64 {
    unix_ns() / 1_000_000
}
