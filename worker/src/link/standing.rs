//! Sessions one after the other with one address.
//!
//! In: an address, whether it is still wanted, and which master is registered there. Out: a session whenever there
//! can be one.
//! A worker that loses a session waits a moment that grows with the fleet, so that a thousand workers do
//! not knock at once; further waits grow exponentially.
//! An address remembers which master it led to, and is left alone while another address has that master. It may
//! lead to another master by then, which is seen when the other session ends or the registration says so.
//! Never: gives up while the address is wanted.
//! Tests: below, and with a master in `worker/tests/`.

use super::message::Event;
use super::session::{self, Ended, Shared};
use shanty_model::id::NodeId;
use shanty_rt::backoff::Backoff;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Reconnects per second that a master bears, and more: the benchmark `reattach` brings a thousand.
const RECONNECTS_PER_S: f64 = 500.0;
/// Waits between failures.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// Between two tries while another process has this worker's name: it may be dying.
const NAME_TAKEN: Duration = Duration::from_secs(2);

/// A session that ends sooner than this is a failure like one that never began.
const SHORT: Duration = Duration::from_secs(1);

/// What the roster says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// It is of no more use.
    No,
    /// A session is wanted with whoever is there: a master of this name, if one is registered.
    Yes(Option<NodeId>),
}

/// Holds sessions with `address` for as long as `wanted` says; an address that is no longer wanted keeps its
/// living session.
pub(super) async fn stand(shared: Shared, address: String, mut wanted: watch::Receiver<Want>) {
    let mut known = None;
    if !look(&mut wanted, &mut known) {
        return;
    }
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    let mut failing = false;
    let mut roused = shared.feeds.roused.clone();
    loop {
        tokio::select! {
            () = until_free(&shared, &address, known.as_ref()) => {}
            Ok(()) = wanted.changed() => {
                if !look(&mut wanted, &mut known) {
                    return;
                }
                continue;
            }
            () = shared.closing.cancelled() => return,
        }
        roused.mark_unchanged();
        let began = Instant::now();
        let past = session::hold(&shared, &address, &mut known).await;
        if shared.closing.is_cancelled() || *wanted.borrow() == Want::No {
            return;
        }
        let wait = match (&past.ended, past.fleet_size) {
            (Ended::Paused | Ended::Duplicate(_), _) => Duration::ZERO,
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
            Ok(()) = wanted.changed() => if !look(&mut wanted, &mut known) { return },
            () = shared.closing.cancelled() => return,
        }
    }
}

/// Takes over which master is registered at the address; answers whether the address is wanted.
fn look(wanted: &mut watch::Receiver<Want>, known: &mut Option<NodeId>) -> bool {
    match &*wanted.borrow_and_update() {
        Want::No => false,
        Want::Yes(registered) => {
            if registered.is_some() {
                known.clone_from(registered);
            }
            true
        }
    }
}

/// Waits while another address of this worker has the master that this one leads to.
async fn until_free(shared: &Shared, address: &str, known: Option<&NodeId>) {
    let Some(master) = known else { return };
    if shared.claims.is_taken(master) {
        tracing::info!(%master, address, "address left alone: another one leads to the same master");
        shared.claims.free(master).await;
    }
}

/// Longest first wait after a loss.
fn spread(fleet_size: u32) -> Duration {
    Duration::from_secs_f64((f64::from(fleet_size) / RECONNECTS_PER_S).clamp(0.2, 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::claims::{Claim, Claims};
    use crate::link::session::{Face, Feeds};
    use futures_util::FutureExt as _;
    use shanty_model::epoch::Epoch;
    use shanty_model::telemetry::Telemetry;
    use shanty_rt::task::{End, Scope};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    /// Enough for a link that may dial to do it, many times over.
    const A_MOMENT: Duration = Duration::from_millis(300);
    /// Longest wait for anything.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn shared() -> Shared {
        let face = Face {
            node: node("w1"),
            incarnation: "a".to_owned(),
            kinds: vec![],
            slots: 1,
            labels: BTreeMap::new(),
            max_rate: 0.0,
            connections: vec![],
            door: String::new(),
        };
        let feeds = Feeds {
            figures: watch::channel(Telemetry::default()).1,
            attempts: watch::channel(0).1,
            seen: watch::channel(Epoch::NONE).1,
            connections: shanty_sync::connection::Registry::new(BTreeMap::new()),
            credentials: None,
            roused: watch::channel(0).1,
        };
        Shared {
            face: Arc::new(face),
            feeds,
            events: mpsc::channel(16).0,
            claims: Claims::default(),
            numbers: Arc::new(AtomicU64::new(1)),
            leader: watch::Sender::new(None),
            closing: CancellationToken::new(),
        }
    }

    /// A link with an address where `m1` is registered, while another address has `m1`.
    struct Scene {
        listener: TcpListener,
        want: watch::Sender<Want>,
        others: Claim,
        link: Scope,
    }

    impl Scene {
        async fn set() -> Scene {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let shared = shared();
            let others = shared.claims.take(&node("m1")).unwrap();
            let (want, wanted) = watch::channel(Want::Yes(Some(node("m1"))));
            let mut link = Scope::new();
            link.spawn("link", stand(shared, address, wanted));
            Scene { listener, want, others, link }
        }

        async fn is_dialed(&self, within: Duration) -> bool {
            tokio::time::timeout(within, self.listener.accept()).await.is_ok()
        }
    }

    #[tokio::test]
    async fn an_address_is_not_dialed_until_no_other_one_has_the_master_that_is_registered_there() {
        let scene = Scene::set().await;
        assert!(!scene.is_dialed(A_MOMENT).await, "dialed while another address had the master");
        let Scene { listener, want: _want, others, link: _link } = scene;
        drop(others);
        assert!(tokio::time::timeout(PATIENCE, listener.accept()).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_where_another_master_is_registered_meanwhile_is_dialed() {
        let scene = Scene::set().await;
        scene.want.send_replace(Want::Yes(Some(node("m2"))));
        assert!(scene.is_dialed(PATIENCE).await);
    }

    #[tokio::test]
    async fn an_address_that_waits_and_is_of_no_more_use_is_not_dialed_once_more() {
        let Scene { listener, want, others: _others, mut link } = Scene::set().await;
        want.send_replace(Want::No);
        let end = tokio::time::timeout(PATIENCE, link.next_end()).await.expect("it waits on");
        assert_eq!(end, Some(End::Returned));
        assert!(listener.accept().now_or_never().is_none());
    }

    #[test]
    fn a_large_fleet_spreads_its_reconnects() {
        assert_eq!(spread(0), Duration::from_millis(200));
        assert_eq!(spread(1000), Duration::from_secs(2));
        assert_eq!(spread(u32::MAX), Duration::from_secs(10));
    }
}
