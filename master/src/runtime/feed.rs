//! Feeds: live views and events of runs, for those who watch.
//!
//! A view is the latest and replaces the one before (progress may be skipped); events are never dropped: a
//! watcher that falls behind reads the missing ones from the store by their numbers.

use crate::engine::RunView;
use crate::store::{EventRecord, NodeEventRecord};
use shanty_model::id::RunId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

/// Events kept for a slow watcher before it must read the store.
const EVENTS_KEPT: usize = 256;

/// What a watcher of a run holds.
#[derive(Debug)]
pub struct RunFeed {
    /// The run as it is now. Closed when the term ends or after the run's last view.
    pub view: watch::Receiver<RunView>,
    /// Its events as they are stored.
    pub events: broadcast::Receiver<EventRecord>,
}

#[derive(Debug)]
struct Feed {
    view: watch::Sender<RunView>,
    events: broadcast::Sender<EventRecord>,
}

/// The feeds of one term.
#[derive(Debug)]
pub struct Feeds {
    runs: Mutex<BTreeMap<RunId, Feed>>,
    nodes: broadcast::Sender<NodeEventRecord>,
}

impl Default for Feeds {
    fn default() -> Self {
        Feeds { runs: Mutex::default(), nodes: broadcast::Sender::new(EVENTS_KEPT) }
    }
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Feed>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A feed of `run`, which is `view` now.
    pub fn follow(&self, run: &RunId, view: RunView) -> RunFeed {
        let mut runs = self.lock();
        let feed = runs.entry(run.clone()).or_insert_with(|| Feed {
            view: watch::Sender::new(view.clone()),
            events: broadcast::Sender::new(EVENTS_KEPT),
        });
        feed.view.send_replace(view);
        RunFeed { view: feed.view.subscribe(), events: feed.events.subscribe() }
    }

    /// A feed of what happens to nodes and to leadership.
    pub fn follow_nodes(&self) -> broadcast::Receiver<NodeEventRecord> {
        self.nodes.subscribe()
    }

    /// Runs that somebody watches; feeds that nobody does are forgotten.
    pub fn watched(&self) -> Vec<RunId> {
        let mut runs = self.lock();
        runs.retain(|_, feed| feed.view.receiver_count() > 0);
        runs.keys().cloned().collect()
    }

    /// Shows the newest view of a run. After the last one its feed is closed.
    pub fn show(&self, view: RunView) {
        let mut runs = self.lock();
        let id = view.record.id.clone();
        let over = view.record.state.is_terminal();
        if let Some(feed) = runs.get(&id) {
            feed.view.send_replace(view);
        }
        if over {
            runs.remove(&id);
        }
    }

    /// Tells an event of a run that was stored.
    pub fn tell(&self, event: &EventRecord) {
        if let Some(feed) = self.lock().get(&event.run) {
            // Without a receiver there is nobody to tell.
            let _nobody = feed.events.send(event.clone());
        }
    }

    /// Tells an event of a node that was stored.
    pub fn tell_node(&self, event: &NodeEventRecord) {
        let _nobody = self.nodes.send(event.clone());
    }

    /// Closes all feeds: the term has ended.
    pub fn close(&self) {
        self.lock().clear();
    }
}
