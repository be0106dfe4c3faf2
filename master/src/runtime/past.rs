//! Results of before this term, read beside the owner loop: a leader dispatches before it knows them.
//!
//! In: which attempts have results that are still to be read. Out: their pieces, page by page, in a channel of their own: in
//! that of the calls they would keep callers waiting, and the loop could not tell how many come at once. Never: waits with all
//! runs for one that cannot be read.
//! Tests: below; the engine's for what becomes of them; with processes in the tests crate.

use crate::store::{self, SeriesRecord, Store};
use shanty_model::id::{AttemptId, RunId};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces that the core takes at once: some milliseconds of its loop.
const PAGE: u32 = 32;
/// Between two tries at a store that does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// Some results of a run.
#[derive(Debug)]
pub(super) struct Page {
    pub run: RunId,
    /// Of one attempt, in their order.
    pub pieces: Vec<SeriesRecord>,
    /// Whether the run has no more.
    pub last: bool,
    /// Why the others of that attempt cannot be read, whatever is done.
    pub lost: Option<String>,
}

/// Reads all of them; ends early when the core is gone.
pub(super) async fn read(
    store: &Store,
    unread: Vec<(RunId, Vec<(AttemptId, u64)>)>,
    core: mpsc::Sender<Page>,
) {
    let begin = |(run, attempts): (RunId, Vec<_>)| Reading { run, attempts: attempts.into(), from: 0 };
    let mut queue: VecDeque<Reading> = unread.into_iter().map(begin).collect();
    while let Some(mut reading) = queue.pop_front() {
        match reading.next(store).await {
            Ok(page) => {
                let last = page.last;
                if core.send(page).await.is_err() {
                    return;
                }
                if !last {
                    queue.push_front(reading);
                }
            }
            Err(error) => {
                tracing::warn!(run = %reading.run, %error, "cannot read earlier results yet; the run has no end before");
                queue.push_back(reading);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// How far the results of a run are read.
struct Reading {
    run: RunId,
    /// Attempts with their newest piece.
    attempts: VecDeque<(AttemptId, u64)>,
    /// Number of the next piece of the first of them.
    from: u64,
}

impl Reading {
    async fn next(&mut self, store: &Store) -> Result<Page, store::Error> {
        let mut page = Page { run: self.run.clone(), pieces: Vec::new(), last: false, lost: None };
        if let Some((attempt, newest)) = self.attempts.front() {
            match store.series_of(attempt, self.from, *newest, PAGE).await {
                Ok(pieces) => page.pieces = pieces,
                Err(store::Error::Corrupt(why)) => page.lost = Some(format!("{attempt}: {why}")),
                Err(error) => return Err(error),
            }
            match page.pieces.last() {
                Some(piece) if piece.sequence < *newest => self.from = piece.sequence + 1,
                Some(_) | None => {
                    self.attempts.pop_front();
                    self.from = 0;
                }
            }
        }
        page.last = self.attempts.is_empty();
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::{Authority, Mandate};
    use crate::store::{Mutation, Options};
    use shanty_model::epoch::Epoch;
    use shanty_model::id::NodeId;

    fn piece(attempt: &AttemptId, sequence: u64) -> SeriesRecord {
        let node: NodeId = "w1".parse().unwrap();
        SeriesRecord { attempt: attempt.clone(), node, sequence, partial: vec![1] }
    }

    #[tokio::test]
    async fn all_pieces_up_to_the_newest_are_read_once_page_by_page_and_only_the_last_page_is_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("past.db").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        let authority = Authority::for_test(Epoch(1));
        let mandate = Mandate::for_test(&authority);
        store.fence(Epoch(1), "test").await.unwrap();
        let attempts =
            ["a.1/0#1", "a.1/0#2", "a.1/1#1", "b.2/0#1"].map(|id| id.parse::<AttemptId>().unwrap());
        let page = u64::from(PAGE);
        // Of the first one more came while its results were read; the second has exactly a page, the third none.
        let stored = [2 * page + 3, page, 0, 1];
        let newest = [2 * page + 2, page, 7, 1];
        let pieces = attempts.iter().zip(stored).flat_map(|(attempt, count)| {
            (1..=count).map(move |sequence| Mutation::AppendSeries(piece(attempt, sequence)))
        });
        store.commit(&mandate, &pieces.collect::<Vec<_>>()).await.unwrap();
        let unread = |run: &str, of: std::ops::Range<usize>| {
            let newest = of.map(|index| (attempts[index].clone(), newest[index])).collect();
            (run.parse::<RunId>().unwrap(), newest)
        };
        let (core, mut taken) = mpsc::channel(1);
        let reading = read(&store, vec![unread("a.1", 0..3), unread("b.2", 3..4)], core);
        let taking = async {
            let (mut read, mut ended) = (Vec::new(), Vec::new());
            while let Some(Page { run, pieces, last, lost }) = taken.recv().await {
                assert!(pieces.len() <= usize::try_from(PAGE).unwrap() && lost.is_none(), "{lost:?}");
                assert!(!ended.contains(&run), "{run} had its last page");
                read.extend(pieces.into_iter().map(|piece| (piece.attempt, piece.sequence)));
                if last {
                    ended.push(run);
                }
            }
            (read, ended)
        };
        let ((), (read, ended)) = tokio::join!(reading, taking);
        let expected = attempts
            .iter()
            .zip([2 * page + 2, page, 0, 1])
            .flat_map(|(attempt, count)| (1..=count).map(move |sequence| (attempt.clone(), sequence)));
        assert_eq!(read, expected.collect::<Vec<_>>());
        let ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
        assert_eq!(ended, ["a.1", "b.2"]);
        store.close().await;
    }
}
