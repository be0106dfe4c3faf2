//! The roster: which masters there are, and a standing link with each.
//!
//! In: configured addresses, which stay, and those found in the coordinator, which come and go. Out: one
//! standing link per address.
//! Never: cuts a living stream because a registration is gone.
//! Tests: with masters in `worker/tests/`.

use super::claims::Claims;
use super::message::Event;
use super::session::{Face, Feeds, Shared};
use super::standing::stand;
use shanty_rt::task::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Addresses of masters.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    /// From the configuration.
    pub(crate) fixed: BTreeSet<String>,
    /// From the coordinator, newest.
    pub(crate) found: watch::Receiver<BTreeSet<String>>,
}

/// Holds a standing link with every address of `roster` until `closing` is cancelled and the last messages
/// are out.
pub(crate) async fn keep_links(
    mut roster: Roster,
    face: Face,
    feeds: Feeds,
    events: mpsc::Sender<Event>,
    closing: CancellationToken,
) {
    let shared = Shared {
        face: Arc::new(face),
        feeds,
        events,
        claims: Claims::default(),
        numbers: Arc::new(AtomicU64::new(1)),
        leader: watch::Sender::new(None),
        closing: closing.clone(),
    };
    let mut links = Scope::new();
    let mut wanted: BTreeMap<String, watch::Sender<bool>> = BTreeMap::new();
    let mut coordinator_lives = true;
    loop {
        let now: BTreeSet<String> = roster.fixed.union(&roster.found.borrow_and_update()).cloned().collect();
        for (address, want) in &wanted {
            want.send_if_modified(|want| std::mem::replace(want, now.contains(address)) != *want);
        }
        // A link without a listener has ended; it begins anew if its address is back.
        wanted.retain(|_, want| !want.is_closed());
        for address in &now {
            if !wanted.contains_key(address) {
                let (want, receiver) = watch::channel(true);
                links.spawn("link", stand(shared.clone(), address.clone(), receiver));
                wanted.insert(address.clone(), want);
            }
        }
        links.reap();
        tokio::select! {
            changed = roster.found.changed(), if coordinator_lives => coordinator_lives = changed.is_ok(),
            () = closing.cancelled() => break,
        }
    }
    // Each link ends within its own patience.
    while links.next_end().await.is_some() {}
}
