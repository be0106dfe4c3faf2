//! Free ports for processes that are started with a port of ours.
//!
//! In: nothing. Out: ports below the range from which the system takes local ports, so that no
//! connection of a load test takes one before its process listens. Never: hands a port out twice.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// From here up to [`LAST`]; Linux takes local ports from 32768 on.
const FIRST: u16 = 18_000;
const LAST: u16 = 31_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that nobody listens on now.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    // Test programs begin at different places, so that two of them seldom try the same.
    let span = LAST - FIRST;
    let start = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    unreachable!("no port between {FIRST} and {LAST} is free");
}
