//! The store as the election knows it: something that can be fenced.

use crate::election::{FenceError, FenceOutcome, FenceStore};
use crate::store::{self, Store};
use futures_util::future::BoxFuture;
use shanty_model::epoch::Epoch;

/// A store with the identity of this start of the process, which tells its own retry from another master's.
#[derive(Debug, Clone)]
pub(crate) struct Fenced {
    pub(crate) store: Store,
    pub(crate) incarnation: String,
}

impl FenceStore for Fenced {
    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>> {
        Box::pin(async move {
            match self.store.fence(epoch, &self.incarnation).await {
                Ok(store::FenceOutcome::Fenced) => Ok(FenceOutcome::Fenced),
                Ok(store::FenceOutcome::Behind { stored }) => Ok(FenceOutcome::Behind { stored }),
                Err(error) => Err(as_fence_error(error)),
            }
        })
    }

    fn canary(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), FenceError>> {
        Box::pin(async move { self.store.canary(epoch).await.map_err(as_fence_error) })
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
