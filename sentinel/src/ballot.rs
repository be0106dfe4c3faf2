//! What a sentinel does to the coordinator: keeps its vote as it should be, and carries out the end of a term.
//!
//! In: the vote wanted, a [`Deposition`] when there is one. Out: keys, under one lease of this sentinel's that is kept
//! alive; a dead sentinel's opinion dies with it.
//! Never: decides. A transaction whose outcome is not known is not repeated: the next picture tells.
//! Tests: in the tests crate, on a real etcd.

use crate::brain::Deposition;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::coord::record::{self, Vote};
use shanty_rt::coord::{Coord, Error, Keys, LeaseId, Op};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Life of a vote without its sentinel.
const TTL: Duration = Duration::from_secs(5);
/// Between two tries when the coordinator does not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Carries out what one sentinel decides.
#[derive(Debug)]
pub(crate) struct Ballot {
    pub coord: Arc<dyn Coord>,
    pub keys: Keys,
    pub me: NodeId,
    /// The lease that everything hangs on, and until when it surely lives.
    pub lease: Option<(LeaseId, Duration)>,
}

impl Ballot {
    /// Works until nobody asks any more.
    pub(crate) async fn keep(
        mut self,
        mut wanted: watch::Receiver<Option<Vote>>,
        mut depositions: mpsc::Receiver<Deposition>,
    ) {
        let mut cast: Option<Vote> = None;
        // A vote of a former life of this process says nothing.
        let mut sure = false;
        loop {
            let want = wanted.borrow_and_update().clone();
            let done = match (&want, sure && cast == want) {
                (_, true) => self.live().await.map(|_| ()),
                (want, false) => self.cast(want.as_ref()).await,
            };
            let wait = match done {
                Ok(()) => {
                    sure = true;
                    cast = want;
                    TTL / 4
                }
                Err(Error::LeaseGone) => {
                    (self.lease, sure) = (None, false);
                    Duration::ZERO
                }
                Err(error @ (Error::Unreachable(_) | Error::Refused(_))) => {
                    tracing::debug!(%error, "the coordinator does not take this sentinel's vote");
                    sure = false;
                    AGAIN
                }
            };
            tokio::select! {
                biased;
                changed = wanted.changed() => if changed.is_err() { return },
                deposition = depositions.recv() => match deposition {
                    Some(deposition) => self.depose(deposition).await,
                    None => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A lease that lives for a while yet.
    async fn live(&mut self) -> Result<LeaseId, Error> {
        let sent = clock::boottime();
        let (lease, ttl) = match self.lease {
            Some((lease, until)) if until > sent + TTL / 2 => return Ok(lease),
            Some((lease, _)) => (lease, self.coord.keep_alive(lease).await?),
            None => self.coord.grant(TTL).await?,
        };
        self.lease = Some((lease, sent + ttl));
        Ok(lease)
    }

    async fn cast(&mut self, vote: Option<&Vote>) -> Result<(), Error> {
        let lease = self.live().await?;
        let key = self.keys.vote(&self.me);
        let op = match vote {
            Some(vote) => Op::Put { key, value: record::write(vote), lease: Some(lease) },
            None => Op::Delete(key),
        };
        self.coord.txn(Vec::new(), vec![op]).await.map(|_| ())
    }

    async fn depose(&mut self, deposition: Deposition) {
        let ended = &deposition.ending;
        let done = async {
            let lease = self.live().await?;
            let (when, then) = deposition.transaction(&self.keys.nominee(), lease);
            self.coord.txn(when, then).await
        };
        match done.await {
            Ok(outcome) if outcome.succeeded => {
                tracing::warn!(leader = %ended.node, term = %ended.term, reason = %ended.reason, "term ended");
                // The key is gone already; this tells the old leader at its next renewal, and frees its lease.
                if let Some(lease) = deposition.lease
                    && let Err(error) = self.coord.revoke(lease).await
                {
                    tracing::debug!(%error, "the old leader's lease is left to its end");
                }
            }
            Ok(_) => {
                tracing::info!(leader = %ended.node, "the term was not ended: something changed meanwhile")
            }
            Err(error) => {
                tracing::warn!(leader = %ended.node, %error, "the term was not ended, as far as is known")
            }
        }
    }
}
