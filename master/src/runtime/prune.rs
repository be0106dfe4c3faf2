//! History goes when its retention is over, beside the owner loop: whoever led through a large run must not fall silent over
//! its remains.
//!
//! In: a mandate, a [`Retention`]. Out: nothing. Never: touches the engine.
//! Tests: the store's conformance suite for what goes.

use crate::election::Mandate;
use crate::store::{Retention, Store};
use shanty_rt::clock;
use std::time::Duration;

/// How often history is pruned.
const EVERY: Duration = Duration::from_secs(60);
/// Between two calls while there is more to do.
const MORE: Duration = Duration::from_secs(1);

/// Prunes for as long as it is polled.
pub(super) async fn keep(store: &Store, mandate: &Mandate<'_>, retention: Retention) {
    let mut wait = EVERY;
    loop {
        tokio::time::sleep(wait).await;
        wait = EVERY;
        if !mandate.is_live() {
            continue;
        }
        match store.prune(mandate, clock::unix_ms(), retention).await {
            Ok(pruned) => {
                tracing::debug!(?pruned, "history pruned");
                if pruned.more {
                    wait = MORE;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot prune history; will try again"),
        }
    }
}
