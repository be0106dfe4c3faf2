//! Sessions one after the other with one address.
//!
//! In: an address, and whether it is still wanted. Out: a session whenever there can be one.
//! A worker that loses a session waits a moment that grows with the fleet, so that a thousand workers do
//! not knock at once; further waits grow exponentially.
//! Never: gives up while the address is wanted.
//! Tests: below, and with a master in `worker/tests/`.

use super::message::Event;
use super::session::{self, Ended, Shared};
use shanty_rt::backoff::Backoff;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Reconnects per second that a master bears (reference/ha.md §2.11).
const RECONNECTS_PER_S: f64 = 500.0;
/// Waits between failures.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// Between two tries while another process has this worker's name: it may be dying.
const NAME_TAKEN: Duration = Duration::from_secs(2);

/// A session that ends sooner than this is a failure like one that never began.
const SHORT: Duration = Duration::from_secs(1);

/// Holds sessions with `address` for as long as `wanted` says; an address that is no longer wanted keeps its
/// living session.
pub(super) async fn stand(shared: Shared, address: String, mut wanted: watch::Receiver<bool>) {
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    let mut failing = false;
    let mut roused = shared.feeds.roused.clone();
    loop {
        roused.mark_unchanged();
        let began = Instant::now();
        let past = session::hold(&shared, &address).await;
        if shared.closing.is_cancelled() || !*wanted.borrow() {
            return;
        }
        let wait = match (&past.ended, past.fleet_size) {
            (Ended::Paused, _) => Duration::ZERO,
            (Ended::Duplicate(master), _) => {
                tracing::info!(%master, address, "address left alone: another one leads to the same master");
                tokio::select! {
                    () = shared.claims.free(master) => {}
                    Ok(()) = wanted.changed() => {}
                    () = shared.closing.cancelled() => return,
                }
                Duration::ZERO
            }
            (Ended::NameTaken(why), _) => {
                let _leaving = shared.events.send(Event::NameTaken { why: why.clone() }).await;
                NAME_TAKEN
            }
            (ended, Some(fleet_size)) => {
                tracing::info!(address, reason = %ended, "lost the stream to a master");
                failing = false;
                if began.elapsed() < SHORT {
                    retry.next_wait()
                } else {
                    retry.reset();
                    let spread = spread(fleet_size);
                    Backoff::new(spread, spread).next_wait()
                }
            }
            (ended, None) => {
                if failing {
                    tracing::debug!(address, reason = %ended, "master still out of reach");
                } else {
                    tracing::info!(address, reason = %ended, "master out of reach; trying on");
                    let _leaving = shared.events.send(Event::Unreached { address: address.clone() }).await;
                }
                failing = true;
                retry.next_wait()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = roused.changed() => {}
            Ok(()) = wanted.changed() => if !*wanted.borrow() { return },
            () = shared.closing.cancelled() => return,
        }
    }
}

/// Longest first wait after a loss.
fn spread(fleet_size: u32) -> Duration {
    Duration::from_secs_f64((f64::from(fleet_size) / RECONNECTS_PER_S).clamp(0.2, 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fleet_spreads_its_reconnects() {
        assert_eq!(spread(0), Duration::from_millis(200));
        assert_eq!(spread(1000), Duration::from_secs(2));
        assert_eq!(spread(u32::MAX), Duration::from_secs(10));
    }
}
