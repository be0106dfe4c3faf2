//! The mandate: proof, in hand, of leading now.
//!
//! Only [`super`] makes one, after the leader key was taken and the store was fenced. It is neither `Clone`
//! nor `'static`: it borrows the [`Authority`] of its term and cannot outlive it. Every function that
//! changes shared state takes `&Mandate`, so the compiler asks "who says you lead?" at each call.

use shanty_model::epoch::Epoch;
use shanty_rt::clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a term may be acted upon, as far as its holder knows without asking: renewed by the lease,
/// read by every dispatch.
#[derive(Debug)]
pub struct Authority {
    epoch: Epoch,
    /// CLOCK_BOOTTIME in nanoseconds.
    until_ns: AtomicU64,
}

impl Authority {
    /// An authority of `epoch` until `until` on CLOCK_BOOTTIME.
    pub(super) fn new(epoch: Epoch, until: Duration) -> Authority {
        let authority = Authority { epoch, until_ns: AtomicU64::new(0) };
        authority.extend(until);
        authority
    }

    /// Its term.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Moves the deadline to `until` on CLOCK_BOOTTIME.
    pub(super) fn extend(&self, until: Duration) {
        self.until_ns.store(u64::try_from(until.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Time left before the holder must freeze; zero when it must.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.until_ns.load(Ordering::Acquire)).saturating_sub(clock::boottime())
    }
}

/// Proof of leading now.
#[derive(Debug)]
pub struct Mandate<'term> {
    authority: &'term Authority,
}

impl<'term> Mandate<'term> {
    /// The mandate of `authority`'s term. The store has been fenced with its epoch.
    pub(super) fn new(authority: &'term Authority) -> Mandate<'term> {
        Mandate { authority }
    }

    /// A mandate for tests of the rooms that ask for one.
    #[doc(hidden)]
    #[must_use]
    pub fn for_test(authority: &'term Authority) -> Mandate<'term> {
        Mandate { authority }
    }

    /// Its term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.authority.epoch
    }

    /// Whether new work may be sent out: false when the lease could not be renewed in time (frozen).
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.authority.left().is_zero()
    }
}

impl Authority {
    /// An authority for tests that never ends.
    #[doc(hidden)]
    #[must_use]
    pub fn for_test(epoch: Epoch) -> Authority {
        Authority::new(epoch, Duration::from_secs(u64::from(u32::MAX)))
    }
}
