//! Free ports for processes that are told their port.
//!
//! In: nothing. Out: loopback addresses on which nobody listens, below the range from which Linux takes the
//! local ports of connections, so that a load test does not take one before its owner listens.
//! Tests: below.

use crate::error::Error;
use std::net::TcpListener;

const FIRST: u16 = 17_070;
const LAST: u16 = 31_000;

/// `wanted` different free addresses.
///
/// # Errors
/// When there are not enough.
pub(super) fn free(wanted: usize) -> Result<Vec<String>, Error> {
    let mut held = Vec::new();
    let mut addresses = Vec::new();
    // Each process begins elsewhere: two demos at once, or what still looks for the ports of an earlier one,
    // do not meet.
    let span = LAST - FIRST;
    let begin = u16::try_from(std::process::id().wrapping_mul(7) % u32::from(span)).unwrap_or(0);
    for step in 0..span {
        let port = FIRST + (begin + step) % span;
        if addresses.len() == wanted {
            break;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            addresses.push(format!("127.0.0.1:{port}"));
        }
    }
    if addresses.len() < wanted {
        return Err(Error::local(
            format!("no free port on 127.0.0.1 between {FIRST} and {LAST}"),
            "see who holds them: ss -ltnp",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let addresses = free(3).unwrap();
        let listeners: Vec<_> = addresses.iter().map(|a| TcpListener::bind(a.as_str()).unwrap()).collect();
        assert_eq!(listeners.len(), 3);
    }
}
