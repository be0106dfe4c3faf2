//! The bounded way out of a session.
//!
//! ```text
//!  Hello ──► first, once ──────────────┐
//!  session ── Beats: the newest one ───┼──► the stream
//!  executor ── Outbound: BOUND words ──┘    a beat before any word that waits
//! ```
//! Nobody waits in it: what does not fit stays with its owner, who tries again when there is room. Heartbeats
//! have a place that nothing else takes, not even somebody who waits for room, so a flood of results never
//! makes a worker look dead; a beat that is not out yet gives way to the next one.
//! In: what is said. Out: the messages of one stream.
//! Never: waits, but for who asks for room.
//! Tests: below, and with the executor.

use super::message::Said;
use super::wire;
use futures_util::StreamExt as _;
use futures_util::stream::{self, PollNext, Stream};
use shanty_proto::internal::FromWorker;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};

/// Words that may wait for the stream. Two seconds of reports of a full worker, a few MiB.
const BOUND: usize = 64;

/// No room now; try again after [`Outbound::room`].
#[derive(Debug)]
pub(crate) struct Full;

/// The sending half of words, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbound(mpsc::Sender<FromWorker>);

/// The sending half of heartbeats.
#[derive(Debug)]
pub(crate) struct Beats(watch::Sender<FromWorker>);

/// A way out: its two halves for senders, and the stream, which begins with `hello` and ends when both are gone.
pub(crate) fn way_out(
    hello: FromWorker,
) -> (Outbound, Beats, impl Stream<Item = FromWorker> + Send + 'static) {
    let (words_in, words) = mpsc::channel(BOUND);
    // What a watch holds at first is never sent: only its changes are.
    let (beats_in, beats) = watch::channel(FromWorker::default());
    let beats_first = |_: &mut ()| PollNext::Left;
    let rest = stream::select_with_strategy(
        WatchStream::from_changes(beats),
        ReceiverStream::new(words),
        beats_first,
    );
    (Outbound(words_in), Beats(beats_in), stream::iter([hello]).chain(rest))
}

impl Outbound {
    /// Says what `said` answers, if there is room. A stream that is gone has none.
    pub(crate) fn say(&self, said: impl FnOnce() -> Said) -> Result<(), Full> {
        let place = self.0.try_reserve().map_err(|_full_or_gone| Full)?;
        place.send(wire::from_worker(said()));
        Ok(())
    }

    /// Waits until something can be said; for ever when the stream is gone.
    pub(crate) async fn room(&self) {
        match self.0.reserve().await {
            Ok(_free) => {}
            Err(_gone) => std::future::pending().await,
        }
    }
}

impl Beats {
    /// Sends a heartbeat before all words that wait, in place of one that waits.
    pub(super) fn send(&self, beat: FromWorker) {
        self.0.send_replace(beat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use shanty_model::telemetry::Telemetry;
    use shanty_proto::internal::from_worker::Message;

    fn beat(sequence: u64) -> FromWorker {
        wire::heartbeat(sequence, 0, &Telemetry::default(), 0, None)
    }

    fn fill(outbound: &Outbound) {
        while outbound.say(|| Said::Leaving { reason: "one of many".to_owned() }).is_ok() {}
    }

    /// What is on the stream now: `H`ello, `w`ords and the numbers of beats.
    fn out(stream: &mut (impl Stream<Item = FromWorker> + Unpin)) -> Vec<String> {
        std::iter::from_fn(|| stream.next().now_or_never().flatten())
            .map(|message| match message.message.unwrap() {
                Message::Hello(_) => "H".to_owned(),
                Message::Heartbeat(beat) => beat.sequence.to_string(),
                _ => "w".to_owned(),
            })
            .collect()
    }

    fn hello() -> FromWorker {
        FromWorker { message: Some(Message::Hello(shanty_proto::internal::Hello::default())) }
    }

    #[tokio::test]
    async fn a_beat_goes_out_first_while_the_stream_is_full_and_somebody_waits_for_room() {
        let (outbound, beats, stream) = way_out(hello());
        let mut stream = Box::pin(stream);
        assert_eq!(stream.next().await, Some(hello()));
        fill(&outbound);
        // As the executor does in its loop: it waits, and has all places as they become free.
        let mut room = Box::pin(outbound.room());
        assert!(room.as_mut().now_or_never().is_none());
        beats.send(beat(1));
        let sent = out(&mut stream);
        assert_eq!((sent[0].as_str(), sent.len()), ("1", BOUND + 1));
        room.await;
        assert!(outbound.say(|| Said::Leaving { reason: String::new() }).is_ok());
    }

    #[tokio::test]
    async fn a_beat_that_is_not_out_yet_gives_way_to_the_next_and_hello_is_always_first() {
        let (outbound, beats, stream) = way_out(hello());
        let mut stream = Box::pin(stream);
        outbound.say(|| Said::Leaving { reason: String::new() }).unwrap();
        beats.send(beat(1));
        beats.send(beat(2));
        assert_eq!(out(&mut stream), ["H", "2", "w"]);
        beats.send(beat(3));
        assert_eq!(out(&mut stream), ["3"]);
        drop((outbound, beats));
        assert_eq!(stream.next().await, None);
    }
}
