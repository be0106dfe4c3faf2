//! One session per master: a master that is reachable by two addresses gets one stream.
//!
//! In: node ids of masters that answered, or are about to. Out: a claim, or the news that another session has it.
//! Tests: below.

use shanty_model::id::NodeId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The masters with a session that lives or is being made.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    taken: Mutex<BTreeSet<NodeId>>,
    freed: Notify,
}

/// The right to the one session with a master; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Claims,
    master: NodeId,
}

impl Claims {
    /// Takes the claim on `master`; none when another session has it.
    pub(super) fn take(&self, master: &NodeId) -> Option<Claim> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(master.clone()).then(|| Claim { claims: self.clone(), master: master.clone() })
    }

    /// Whether a session has the claim on `master`.
    pub(super) fn is_taken(&self, master: &NodeId) -> bool {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).contains(master)
    }

    /// Waits until nobody has the claim on `master`.
    pub(super) async fn free(&self, master: &NodeId) {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // From here on a release is not missed.
            freed.as_mut().enable();
            if !self.is_taken(master) {
                return;
            }
            freed.await;
        }
    }
}

impl Claim {
    /// Whether it is the claim on `master`.
    pub(super) fn is_on(&self, master: &NodeId) -> bool {
        self.master == *master
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.master);
        self.claims.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_master_has_one_claim_at_a_time() {
        let (claims, master) = (Claims::default(), "m1".parse().unwrap());
        let first = claims.take(&master).unwrap();
        assert!(claims.take(&master).is_none());
        assert!(claims.take(&"m2".parse().unwrap()).is_some());
        let waiting = claims.free(&master);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        waiting.await;
        assert!(claims.take(&master).is_some());
    }
}
