//! Results of before a term, read beside the owner loop as the daemon does.
//!
//! In: runs with results that are still to be read. Out: their pieces, to the core. Tests: with the simulation.

use super::client::Call;
use super::line::StoreLine;
use shanty_model::id::RunId;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces that are read at once: few, so that terms end between two pages.
const PAGE: usize = 3;
/// Between two tries at a store that does not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Reads all of them; ends early when the core is gone.
pub(super) async fn read(store: &StoreLine, runs: Vec<RunId>, core: &mpsc::Sender<Call>) {
    for run in runs {
        let mut after = None;
        loop {
            let Ok(page) = store.series_page(run.clone(), after.clone(), PAGE).await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let last = page.len() < PAGE;
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
