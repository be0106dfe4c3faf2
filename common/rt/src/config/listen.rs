//! Which addresses may be listened on: loopback, unless there is TLS or somebody said that they know what they do.
//!
//! In: an address, the word `insecure`, whether there is TLS. Out: the address, or a refusal with the ways out.
//! Tests: below.

use std::net::SocketAddr;

/// An address that others can reach, without protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "will not listen on {0}: other machines can reach it, and without TLS strangers can start load tests; give this node \
     certificates (--tls-certificate, --tls-key, --tls-authority), listen on 127.0.0.1:{port}, or say `insecure = true` \
     (--insecure) if the network is yours alone",
    port = .0.port()
)]
pub struct NotLoopback(pub SocketAddr);

/// Passes `listen` on when it is a loopback address, there is TLS, or `insecure` was said.
///
/// # Errors
/// [`NotLoopback`] with what to do.
pub fn guard(listen: SocketAddr, insecure: bool, tls: bool) -> Result<SocketAddr, NotLoopback> {
    if insecure || tls || listen.ip().to_canonical().is_loopback() {
        Ok(listen)
    } else {
        Err(NotLoopback(listen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on_unless_there_is_tls_or_insecure_is_said() {
        for ok in ["127.0.0.1:7070", "127.9.9.9:1", "[::1]:7070", "[::ffff:127.0.0.1]:7070"] {
            assert!(guard(ok.parse().unwrap(), false, false).is_ok(), "{ok}");
        }
        for open in ["0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070", "192.0.2.1:7070"] {
            let error = guard(open.parse().unwrap(), false, false).unwrap_err().to_string();
            assert!(
                error.contains(open) && error.contains("--insecure") && error.contains("127.0.0.1:7070"),
                "{error}"
            );
            assert!(error.contains("--tls-certificate"), "{error}");
            assert!(guard(open.parse().unwrap(), true, false).is_ok(), "{open}");
            assert!(guard(open.parse().unwrap(), false, true).is_ok(), "{open}");
        }
    }
}
