//! The roster: which masters there are, and a standing link with each.
//!
//! In: configured addresses, which stay, and those found in the coordinator, which come and go. Out: one
//! standing link per address.
//! Never: cuts a living stream because a registration is gone.
//! Tests: with masters in `worker/tests/`.

use super::claims::Claims;
use super::message::Event;
use super::session::{Face, Feeds, Shared};
use super::standing::{Want, stand};
use shanty_model::id::NodeId;
use shanty_rt::task::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Addresses with the masters that are registered there.
pub(crate) type Found = BTreeMap<String, NodeId>;

/// Addresses of masters.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    /// From the configuration.
    pub(crate) fixed: BTreeSet<String>,
    /// From the coordinator, newest: who is registered with which address.
    pub(crate) found: watch::Receiver<Found>,
}

impl Roster {
    /// All addresses, and who is registered there, if anybody.
    fn newest(&mut self) -> BTreeMap<String, Option<NodeId>> {
        let fixed = self.fixed.iter().map(|address| (address.clone(), None));
        let found = self.found.borrow_and_update();
        let registered = found.iter().map(|(address, master)| (address.clone(), Some(master.clone())));
        // The later ones count: a fixed address may be registered too.
        fixed.chain(registered).collect()
    }
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
    let mut wanted: BTreeMap<String, watch::Sender<Want>> = BTreeMap::new();
    let mut coordinator_lives = true;
    loop {
        let now = roster.newest();
        for (address, want) in &wanted {
            let newest = now.get(address).map_or(Want::No, |master| Want::Yes(master.clone()));
            want.send_if_modified(|want| std::mem::replace(want, newest) != *want);
        }
        // A link without a listener has ended; it begins anew if its address is back.
        wanted.retain(|_, want| !want.is_closed());
        for (address, master) in &now {
            if !wanted.contains_key(address) {
                let (want, receiver) = watch::channel(Want::Yes(master.clone()));
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
