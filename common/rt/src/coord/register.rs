//! Registration: a key that is there for as long as its node is.
//!
//! In: a key, a value, a time to live. Out: nothing; the key is in the coordinator under a lease of its
//! own, put again whenever the lease is lost, and gone at once after a stop.
//! Never: takes part in decisions; a node that cannot register goes on and tries again.
//! Tests: below, and the `coord` test of the tests crate.

use super::{Coord, Error, LeaseId, Op};
use crate::backoff::Backoff;
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A registration.
#[derive(Debug)]
pub struct Registration {
    coord: Arc<dyn Coord>,
    key: String,
    value: Vec<u8>,
    ttl: Duration,
}

impl Registration {
    /// Keeps `key` at `value` under a lease of `ttl` until `stop`. Renews three times per time to live.
    /// Dropping the future leaves the key to its lease.
    pub async fn keep(
        coord: Arc<dyn Coord>,
        key: String,
        value: Vec<u8>,
        ttl: Duration,
        stop: CancellationToken,
    ) {
        let registration = Registration { coord, key, value, ttl };
        let mut held = None;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = registration.hold(&mut held) => {}
        }
        if let Some(lease) = held
            && let Err(error) = registration.coord.revoke(lease).await
        {
            tracing::info!(key = %registration.key, %error, "registration is left to its lease");
        }
    }

    /// Registers again and again.
    async fn hold(&self, held: &mut Option<LeaseId>) {
        let mut backoff = Backoff::new(self.ttl / 10, self.ttl / 2);
        loop {
            match self.register(held).await {
                Ok((lease, granted)) => {
                    tracing::debug!(key = %self.key, ttl_s = granted.as_secs_f64(), "registered");
                    backoff.reset();
                    self.renew(lease, granted).await;
                    tracing::info!(key = %self.key, "registration lost; registering again");
                }
                Err(error) => {
                    tracing::debug!(key = %self.key, %error, "cannot register yet");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn register(&self, held: &mut Option<LeaseId>) -> Result<(LeaseId, Duration), Error> {
        // A put that may or may not have been done is done again, on the same lease while it lives.
        let (lease, granted) = match *held {
            Some(lease) if let Ok(left) = self.coord.keep_alive(lease).await => (lease, left),
            _ => self.coord.grant(self.ttl).await?,
        };
        *held = Some(lease);
        let put = Op::Put { key: self.key.clone(), value: self.value.clone(), lease: Some(lease) };
        self.coord.txn(Vec::new(), vec![put]).await?;
        Ok((lease, granted))
    }

    /// Renews until the lease is gone.
    async fn renew(&self, lease: LeaseId, granted: Duration) {
        let mut ttl = granted;
        let mut renewed = clock::boottime();
        loop {
            tokio::time::sleep(ttl / 3).await;
            let sent = clock::boottime();
            match self.coord.keep_alive(lease).await {
                Ok(left) => (ttl, renewed) = (left, sent),
                Err(Error::LeaseGone) => return,
                Err(error @ (Error::Unreachable(_) | Error::Refused(_))) => {
                    let silent_s = clock::boottime().saturating_sub(renewed).as_secs_f64();
                    tracing::debug!(key = %self.key, %error, silent_s, "registration not renewed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::Memory;
    use crate::task::Scope;

    const TTL: Duration = Duration::from_millis(300);

    async fn present(coord: &Memory, wanted: bool) {
        let reached = async {
            while coord.get("nodes/w1").await.unwrap().is_some() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reached).await.unwrap();
    }

    fn keep(coord: &Memory, scope: &mut Scope) -> CancellationToken {
        let stop = CancellationToken::new();
        let (key, value) = ("nodes/w1".to_owned(), b"here".to_vec());
        scope.spawn(
            "registration",
            Registration::keep(Arc::new(coord.clone()), key, value, TTL, stop.clone()),
        );
        stop
    }

    #[tokio::test]
    async fn a_registration_outlives_its_ttl_and_goes_at_stop() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        let stop = keep(&coord, &mut scope);
        present(&coord, true).await;
        let first = coord.get("nodes/w1").await.unwrap().unwrap();
        tokio::time::sleep(TTL * 2).await;
        assert_eq!(coord.get("nodes/w1").await.unwrap().unwrap(), first);
        stop.cancel();
        scope.next_end().await;
        assert_eq!(coord.get("nodes/w1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_lost_lease_is_replaced_and_a_dropped_one_expires() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        let _stop = keep(&coord, &mut scope);
        present(&coord, true).await;
        let first = coord.get("nodes/w1").await.unwrap().unwrap();
        coord.revoke(first.lease.unwrap()).await.unwrap();
        present(&coord, false).await;
        present(&coord, true).await;
        drop(scope);
        present(&coord, false).await;
    }
}
