//! A term from the fenced store to its end.

use super::call::{CoreHandle, Leading};
use super::core::Core;
use super::feed::Feeds;
use super::past;
use super::prune;
use crate::election::{Mandate, Reign, Term};
use crate::engine::{Engine, Now, Options, Stored};
use crate::registry::Registry;
use crate::store::{self, Retention, Store};
use futures_util::future::BoxFuture;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Calls that wait for the core: more callers than this wait at the door.
const CALLS: usize = 256;
/// Worker events that wait for the core: a second's reports of a thousand workers fit.
const EVENTS: usize = 4096;

/// What a leader is set to.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaderOptions {
    /// The engine's.
    pub engine: Options,
    /// How long history is kept.
    pub retention: Retention,
}

/// The room in which this process leads, whenever it does.
#[derive(Debug)]
pub struct LeaderRoom {
    /// This master.
    pub me: NodeId,
    /// The store.
    pub store: Store,
    /// Its attached workers.
    pub registry: Arc<Registry>,
    /// Where the API finds the core.
    pub leading: Leading,
    /// What it is set to.
    pub options: LeaderOptions,
}

impl Reign for LeaderRoom {
    fn reign<'t>(&'t mut self, mandate: Mandate<'t>, term: &'t Term) -> BoxFuture<'t, ()> {
        Box::pin(async move {
            let epoch = mandate.epoch();
            // Whatever way this future ends, the door is closed behind it.
            let feeds = Arc::new(Feeds::default());
            let _door = Door { leading: &self.leading, registry: &self.registry, feeds: &feeds };
            match self.lead(mandate, term, &feeds).await {
                Ok(()) => tracing::info!(%epoch, "term over"),
                Err(error) => {
                    tracing::warn!(%epoch, %error, "term ended from within; beginning again from the store")
                }
            }
        })
    }
}

impl LeaderRoom {
    async fn lead<'t>(
        &self,
        mandate: Mandate<'t>,
        term: &'t Term,
        feeds: &Arc<Feeds>,
    ) -> Result<(), store::Error> {
        let epoch = mandate.epoch();
        let stored = Stored {
            jobs: self.store.all_jobs().await?,
            runs: self.store.load_active().await?,
            nodes: self.store.nodes().await?,
            last_node_event: self.store.last_node_event().await?,
        };
        let now = Now { unix_ns: clock::unix_ns(), boot: clock::boottime() };
        let engine = Engine::take_over(now, epoch, &self.me, self.options.engine.clone(), stored);
        tracing::info!(%epoch, runs = engine.active_runs(), "leading");
        let unread = engine.unread();
        let (calls, incoming) = mpsc::channel(CALLS);
        // A page is made ready while the core takes the one before.
        let (pages, to_take) = mpsc::channel(1);
        let (sink, events) = mpsc::channel(EVENTS);
        let mut core = Core {
            engine,
            mandate: &mandate,
            term,
            // The loop waits for these; a store that answers is not what hangs it, and one that does not has a gate of its own.
            store: self.store.beating(term.gates().dispatched()),
            registry: self.registry.clone(),
            feeds: feeds.clone(),
        };
        let since_unix_ms = now.unix_ms();
        self.leading.handle.send_replace(Some(CoreHandle {
            calls,
            feeds: feeds.clone(),
            epoch,
            since_unix_ms,
            dispatched: term.gates().dispatched(),
        }));
        let announce = async {
            self.registry.lead(epoch, sink).await;
            std::future::pending::<()>().await;
        };
        let past = async {
            past::read(&self.store, unread, pages).await;
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = core.run(incoming, events, to_take) => ended,
            () = announce => Ok(()),
            () = past => Ok(()),
            () = prune::keep(&self.store, &mandate, self.options.retention) => Ok(()),
        };
        ended.map_err(|ended| match ended {
            super::core::Ended::Store(error) => error,
            super::core::Ended::Closed => store::Error::Unavailable("the term's channels closed".to_owned()),
        })
    }
}

struct Door<'a> {
    leading: &'a Leading,
    registry: &'a Registry,
    feeds: &'a Feeds,
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.leading.handle.send_replace(None);
        self.registry.stand_by();
        self.feeds.close();
    }
}
