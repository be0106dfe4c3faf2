//! What election asks of the store.
//!
//! In: an epoch. Out: whether the store now refuses every smaller one.
//! Never: anything about what the store holds.

use futures_util::future::BoxFuture;
use shanty_model::epoch::Epoch;

/// A store that refuses old masters.
pub trait FenceStore: Send + Sync + 'static {
    /// Raises the store's epoch to `epoch`, waiting for transactions of the old master that are under way.
    /// May be called again with the same epoch by the same master.
    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>>;

    /// Whether the store does its work for this master: a small write that checks the epoch.
    /// [`FenceError::Superseded`] when the store is at another epoch, which still proves that it answers.
    fn canary(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), FenceError>>;
}

/// What fencing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceOutcome {
    /// The store is at our epoch.
    Fenced,
    /// The store is at `stored`, which is not less than ours and not ours: a coordinator that forgot (memory after a
    /// restart, etcd from a backup).
    Behind {
        /// The store's epoch.
        stored: Epoch,
    },
}

/// Why the store was not fenced.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FenceError {
    /// Another master's epoch is in the store.
    #[error("the store is at {stored}")]
    Superseded {
        /// The store's epoch.
        stored: Epoch,
    },
    /// It did not do it; trying again may help.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}
