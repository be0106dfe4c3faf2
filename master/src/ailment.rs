//! What is the matter with the coordinator although it answers: an etcd that is out of space lets a leader go on, and
//! nobody follow it, which shows only when it is too late.
//!
//! In: a coordinator. Out: one line in the log when something is the matter, one when it is over, and the latest word for
//! those who ask about the cluster. Never: decides anything; asks for more than a member knows by itself.
//! Tests: with processes in `tests/tests/t23_refusals.rs`.

use shanty_rt::coord::Coord;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks for as long as it is polled. A coordinator that does not answer says nothing new.
pub(crate) async fn look(coord: Arc<dyn Coord>, word: watch::Sender<Option<String>>) {
    loop {
        match coord.ailment().await {
            Ok(found) => tell(&word, found),
            Err(error) => tracing::debug!(%error, "the coordinator does not say how it is"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(word: &watch::Sender<Option<String>>, found: Option<String>) {
    let is_new = word.send_if_modified(|before| {
        let is_new = *before != found;
        before.clone_from(&found);
        is_new
    });
    if is_new {
        match found {
            Some(what) => tracing::warn!("{what}"),
            None => tracing::info!("the coordinator is well again"),
        }
    }
}
