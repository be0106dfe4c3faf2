//! Which addresses may be listened on: loopback, unless somebody said that they know what they do.
//!
//! In: an address and the word `insecure`. Out: the address, or a refusal with the ways out.
//! Tests: below.

use std::net::SocketAddr;

/// An address that others can reach, without protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "will not listen on {0}: other machines can reach it, and there is neither TLS nor a token to keep strangers from \
     starting load tests; listen on 127.0.0.1:{port}, or say `insecure = true` (--insecure) if the network is yours alone",
    port = .0.port()
)]
pub struct NotLoopback(pub SocketAddr);

/// Passes `listen` on when it is a loopback address or `insecure` was said.
///
/// # Errors
/// [`NotLoopback`] with what to do.
pub fn guard(listen: SocketAddr, insecure: bool) -> Result<SocketAddr, NotLoopback> {
    if insecure || listen.ip().to_canonical().is_loopback() { Ok(listen) } else { Err(NotLoopback(listen)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on_unless_insecure_is_said() {
        for ok in ["127.0.0.1:7070", "127.9.9.9:1", "[::1]:7070", "[::ffff:127.0.0.1]:7070"] {
            assert!(guard(ok.parse().unwrap(), false).is_ok(), "{ok}");
        }
        for open in ["0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070", "192.0.2.1:7070"] {
            let error = guard(open.parse().unwrap(), false).unwrap_err().to_string();
            assert!(
                error.contains(open) && error.contains("--insecure") && error.contains("127.0.0.1:7070"),
                "{error}"
            );
            assert!(guard(open.parse().unwrap(), true).is_ok(), "{open}");
        }
    }
}
