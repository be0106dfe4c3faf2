//! The bounded way out of a session.
//!
//! Nobody waits in it: what does not fit stays with its owner, who tries again when there is room. A part
//! is kept free for heartbeats, so a flood of results never makes a worker look dead.
//! Tests: with the executor.

use super::message::Said;
use super::wire;
use shanty_proto::internal::FromWorker;
use tokio::sync::mpsc;

/// Messages that may wait for the stream. Two seconds of reports of a full worker, a few MiB.
pub(super) const BOUND: usize = 64;
/// Places that only heartbeats take.
const RESERVED: usize = 8;

/// No room now; try again after [`Outbound::room`].
#[derive(Debug)]
pub(crate) struct Full;

/// The sending half, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbound(mpsc::Sender<FromWorker>);

impl Outbound {
    /// A way out and the stream's end of it.
    pub(super) fn new() -> (Outbound, mpsc::Receiver<FromWorker>) {
        let (sender, receiver) = mpsc::channel(BOUND);
        (Outbound(sender), receiver)
    }

    /// Says what `said` answers, if there is room. A stream that is gone has none.
    pub(crate) fn say(&self, said: impl FnOnce() -> Said) -> Result<(), Full> {
        if self.0.capacity() <= RESERVED {
            return Err(Full);
        }
        self.0.try_send(wire::from_worker(said())).map_err(|_full_or_gone| Full)
    }

    /// Sends a heartbeat or a Hello if there is any room at all.
    pub(super) fn send_reserved(&self, message: FromWorker) -> bool {
        self.0.try_send(message).is_ok()
    }

    /// Waits until something can be said; for ever when the stream is gone.
    pub(crate) async fn room(&self) {
        match self.0.reserve_many(RESERVED + 1).await {
            Ok(_free) => {}
            Err(_gone) => std::future::pending().await,
        }
    }
}
