//! The master's term as it travels to fence.
//!
//! A term is a counter in the coordinator that only grows; whoever takes the leader key raises it in the
//! same transaction. Every store write and every worker command carries it, and whoever receives it
//! compares on its own ([`Epoch::admits`]).
//! Tests: below.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A term. Larger is newer; 0 is before the first leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before the first leader.
    pub const NONE: Epoch = Epoch(0);

    /// Whether a receiver that has seen `self` may obey a sender of epoch `theirs`.
    ///
    /// This is the one comparison that keeps an old master from doing harm
    /// (a fencing token, after Chubby's sequencers).
    #[must_use]
    pub fn admits(self, theirs: Epoch) -> bool {
        theirs >= self
    }

    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_refused_and_the_same_or_a_newer_one_admitted() {
        let seen = Epoch(7);
        assert!(!seen.admits(Epoch(6)));
        assert!(seen.admits(Epoch(7)));
        assert!(seen.admits(seen.next()));
        assert_eq!(seen.to_string(), "e7");
    }
}
