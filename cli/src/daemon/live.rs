//! The life of a worker and a master in one process.
//!
//! ```text
//!  master listens ──► worker attaches to it ──► READY        stop ──► worker drains ──► master hands over ──► end
//! ```
//! The worker leaves first: results that it still has find a master, its own if there is no other. Either one that ends
//! by itself takes the other along, in the same order.
//! In: [`Both`], a stop. Out: nothing until both have left.
//! Tests: as processes in `tests/tests/t23_both.rs`.

use super::both::Both;
use anyhow::Context as _;
use shanty_rt::systemd::Systemd;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Runs both until `stop` is cancelled and both have left.
///
/// # Errors
/// Why one of them could not begin.
pub(super) async fn live(mut both: Both, stop: CancellationToken) -> anyhow::Result<()> {
    let [systemd_of_master, systemd_of_worker] = Systemd::of_two();
    let leave = stop.child_token();
    let close = CancellationToken::new();
    let (listening, listens) = oneshot::channel();
    let config = both.master.clone();
    let master = async {
        let said = |address| {
            // The worker waits for it for as long as there is one.
            let _unheard = listening.send(address);
        };
        let served = shanty_master::serve_under(config, close.clone(), said, systemd_of_master).await;
        if !close.is_cancelled() {
            tracing::error!("the master has ended; the worker leaves as well");
        }
        leave.cancel();
        served.context("run the master")
    };
    let worker = async {
        // A master that will not listen has failed, and says why.
        let Ok(address) = listens.await else { return Ok(()) };
        both.attach(address);
        let drivers = shanty_worker::drivers::of(&both.worker);
        let served =
            shanty_worker::serve_under(both.worker, drivers, leave.clone(), || {}, systemd_of_worker).await;
        if !leave.is_cancelled() {
            tracing::error!("the worker has ended; the master hands over as well");
        }
        close.cancel();
        served.context("run the worker")
    };
    let (master, worker) = tokio::join!(Box::pin(master), Box::pin(worker));
    master.and(worker)
}
