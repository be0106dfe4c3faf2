//! The store as the election knows it: something that can be fenced.
//!
//! In: epochs. Out: what the store said, and with each fence what the store was at before it ([`Fencing`]).
//! Tests: with processes in `tests/tests/t23_refusals.rs`.

use crate::election::{FenceError, FenceOutcome, FenceStore};
use crate::store::{self, Store};
use futures_util::future::BoxFuture;
use shanty_model::epoch::Epoch;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// A fence that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fencing {
    /// The term.
    pub epoch: Epoch,
    /// The store's term before.
    pub before: Epoch,
}

/// A store with the identity of this start of the process, which tells its own retry from another master's.
#[derive(Debug)]
pub(crate) struct Fenced {
    store: Store,
    incarnation: String,
    /// The store's term as a candidate found it last.
    found: AtomicU64,
    fencing: watch::Sender<Option<Fencing>>,
}

impl Fenced {
    pub(crate) fn new(store: Store, incarnation: String) -> Fenced {
        Fenced { store, incarnation, found: AtomicU64::new(0), fencing: watch::Sender::new(None) }
    }

    /// The last fence that was made through this.
    pub(crate) fn fencing(&self) -> watch::Receiver<Option<Fencing>> {
        self.fencing.subscribe()
    }
}

impl FenceStore for Fenced {
    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>> {
        Box::pin(async move {
            let outcome = self.store.fence(epoch, &self.incarnation).await.map_err(as_fence_error)?;
            if outcome == FenceOutcome::Fenced {
                let before = Epoch(self.found.load(Ordering::Relaxed));
                self.fencing.send_replace(Some(Fencing { epoch, before }));
            }
            Ok(outcome)
        })
    }

    fn canary(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), FenceError>> {
        Box::pin(async move {
            let sung = self.store.canary(epoch).await.map_err(as_fence_error);
            // A candidate asks under no term at all before it fences, and is told the store's.
            if let Err(FenceError::Superseded { stored }) = &sung {
                self.found.store(stored.0, Ordering::Relaxed);
            }
            sung
        })
    }
}

fn as_fence_error(error: store::Error) -> FenceError {
    match error {
        store::Error::Fenced { stored, .. } => FenceError::Superseded { stored },
        error @ (store::Error::Conflict(_) | store::Error::Unavailable(_) | store::Error::Corrupt(_)) => {
            FenceError::Unavailable(error.to_string())
        }
    }
}
