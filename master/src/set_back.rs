//! A store that was set back while nobody led: the coordinator remembers the last term that fenced it, and a store that is
//! below that at the next fence has forgotten something.
//!
//! In: the fences of this process. Out: one line in the log, and the word for those who ask about the cluster, for as long as
//! the term lasts. Never: stands in the way of a fence; blames a store for a term that never fenced it.
//! Tests: with processes in `tests/tests/t23_refusals.rs`.

use crate::fence::Fencing;
use shanty_model::epoch::Epoch;
use shanty_rt::coord::{Compare, Coord, Error, Keys, Op, record};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between two tries when the coordinator does not do it.
const AGAIN: Duration = Duration::from_millis(500);

/// Looks at each fence, for as long as it is polled.
pub(crate) async fn look(
    coord: Arc<dyn Coord>,
    keys: Keys,
    mut fencing: watch::Receiver<Option<Fencing>>,
    word: watch::Sender<Option<String>>,
) {
    while fencing.changed().await.is_ok() {
        let Some(made) = *fencing.borrow_and_update() else { continue };
        let found = loop {
            match compare(coord.as_ref(), &keys.fenced(), made).await {
                Ok(found) => break found,
                // A later fence says more than this one.
                Err(_) if fencing.has_changed().unwrap_or(true) => break None,
                Err(error) => {
                    tracing::debug!(%error, "the fence is not written down yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        if let Some(what) = &found {
            tracing::warn!(epoch = %made.epoch, "{what}");
        }
        word.send_replace(found);
    }
}

/// Writes the fence down, and says what is wrong with what was there.
async fn compare(coord: &dyn Coord, key: &str, made: Fencing) -> Result<Option<String>, Error> {
    loop {
        let entry = coord.get(key).await?;
        let known = entry.as_ref().and_then(|entry| record::read::<Epoch>(&entry.key, &entry.value));
        let known = known.unwrap_or(Epoch::NONE);
        if known >= made.epoch {
            return Ok(None);
        }
        let when = vec![Compare::ModifiedAt(key.to_owned(), entry.map_or(0, |entry| entry.mod_revision))];
        let then = vec![Op::Put { key: key.to_owned(), value: record::write(&made.epoch), lease: None }];
        if coord.txn(when, then).await?.succeeded {
            return Ok(judge(known, made.before));
        }
    }
}

/// `known`: the last term that fenced the store; `before`: the one that it was found at.
fn judge(known: Epoch, before: Epoch) -> Option<String> {
    (before < known).then(|| {
        format!(
            "the store was set back: it was at {before}, and {known} had fenced it. It was restored from a backup, or a replica \
             that lagged took its place; what it took since is lost. Compare jobs and runs with what you expect; with a newer \
             copy at hand, stop all masters before you restore it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::coord::Memory;

    #[tokio::test]
    async fn only_a_store_below_the_last_fence_was_set_back() {
        let coord = Memory::new();
        let mut told = Vec::new();
        // As it should be, twice; set back; as it should be; a term in between that never fenced; one that comes late.
        for (epoch, before) in [(3, 0), (4, 3), (5, 2), (6, 5), (9, 6), (7, 6)] {
            let made = Fencing { epoch: Epoch(epoch), before: Epoch(before) };
            told.push(compare(&coord, "fenced", made).await.expect("memory answers").is_some());
        }
        assert_eq!(told, [false, false, true, false, false, false]);
    }
}
