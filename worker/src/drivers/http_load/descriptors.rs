//! File descriptors: raised to the hard limit, and checked against what an attempt needs.
//!
//! In: connections wanted. Out: connections that can be had, or an error that says what to raise.
//! Tests: below.

use super::Error;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that an attempt leaves to the rest of the process.
const RESERVED: u64 = 64;

/// Raises the limit of this process to its hard limit and answers it.
pub(super) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return maximum.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of file descriptors");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// Connections that fit under `limit`: those `wanted`, or an error if a user asked for them, else fewer.
pub(super) fn fit(wanted: u32, asked_for: bool, limit: u64) -> Result<u32, Error> {
    let needed = u64::from(wanted) + RESERVED;
    if needed <= limit {
        return Ok(wanted);
    }
    let room = u32::try_from(limit.saturating_sub(RESERVED)).unwrap_or(u32::MAX);
    if asked_for || room == 0 { Err(Error::Descriptors { needed, limit }) } else { Ok(room) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_does_not_fit_is_an_error_and_a_default_is_made_to_fit() {
        assert_eq!(fit(100, true, 164).unwrap(), 100);
        assert!(matches!(fit(101, true, 164), Err(Error::Descriptors { needed: 165, limit: 164 })));
        assert_eq!(fit(1024, false, 1024).unwrap(), 960);
        assert!(fit(1024, false, 64).is_err());
    }
}
