//! Addresses of the target: looked up once, each checked against the policy.
//!
//! In: host and port of the url. Out: allowed addresses in the resolver's order. The policy is asked again
//! at every connect, in `exchange`.
//! Tests: below.

use super::Error;
use shanty_model::kind::http_load::TargetPolicy;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks `host` up off the runtime's threads.
///
/// # Errors
/// [`Error::Resolve`] when there is no address, [`Error::Denied`] when none is allowed.
pub(super) async fn resolve(host: &str, port: u16, policy: &TargetPolicy) -> Result<Vec<SocketAddr>, Error> {
    let failed = |reason: String| Error::Resolve { host: host.to_owned(), reason };
    let name = host.to_owned();
    let look_up = shanty_rt::task::blocking("resolve", move || {
        (name.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>())
    });
    let found = tokio::time::timeout(PATIENCE, look_up)
        .await
        .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|panicked| failed(panicked.to_string()))?
        .map_err(|error| failed(error.to_string()))?;
    permitted(host, found, policy)
}

fn permitted(host: &str, found: Vec<SocketAddr>, policy: &TargetPolicy) -> Result<Vec<SocketAddr>, Error> {
    let mut refusal = None;
    let mut allowed = Vec::with_capacity(found.len());
    for address in found {
        match policy.permits(host, address.ip()) {
            Ok(()) if !allowed.contains(&address) => allowed.push(address),
            Ok(()) => {}
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    match (allowed.is_empty(), refusal) {
        (false, _) => Ok(allowed),
        (true, Some(reason)) => Err(Error::Denied { host: host.to_owned(), reason: reason.to_string() }),
        (true, None) => Err(Error::Resolve { host: host.to_owned(), reason: "it has no address".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_addresses_are_left_out_and_none_left_is_an_error() {
        let policy = TargetPolicy::default();
        let mixed = vec!["8.8.8.8:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()];
        assert_eq!(permitted("x", mixed, &policy).unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        let outside = permitted("x", vec!["8.8.8.8:80".parse().unwrap()], &policy);
        assert!(matches!(outside, Err(Error::Denied { .. })), "{outside:?}");
        assert!(matches!(permitted("x", Vec::new(), &policy), Err(Error::Resolve { .. })));
    }

    #[tokio::test]
    async fn a_literal_address_needs_no_look_up() {
        let found = resolve("127.0.0.1", 81, &TargetPolicy::default()).await.unwrap();
        assert_eq!(found, ["127.0.0.1:81".parse().unwrap()]);
    }
}
