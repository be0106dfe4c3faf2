//! Results of before this term, read beside the owner loop: a leader dispatches before it knows them.
//!
//! In: runs with results that are still to be read. Out: their pieces, to the core. Never: more at once than the loop takes in
//! without being missed. Tests: the engine's for what becomes of them; with processes in the tests crate.

use super::call::Call;
use crate::store::Store;
use shanty_model::id::RunId;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces that the core takes at once: some milliseconds of its loop.
const PAGE: u32 = 32;
/// Between two tries at a store that does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Reads all of them; ends early when the core is gone.
pub(super) async fn read(store: &Store, runs: Vec<RunId>, core: &mpsc::Sender<Call>) {
    for run in runs {
        let mut after = None;
        loop {
            let page = match store.series_page(&run, after.as_ref(), PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%run, %error, "cannot read earlier results yet; the run has no end before");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let last = u32::try_from(page.len()).is_ok_and(|count| count < PAGE);
            after = page.last().map(|piece| (piece.attempt.clone(), piece.sequence));
            if core.send(Call::Past(run.clone(), page, last)).await.is_err() {
                return;
            }
            if last {
                break;
            }
        }
    }
}
