//! The leader key: read, taken, raised, given back. Every transaction of the election is here.
//!
//! In: what the keys say ([`Ballot`]). Out: a [`Claim`] on the leader key, with the store fenced.
//! A transaction whose outcome is not known is read back; a lease of ours that may still get the key is
//! revoked before anything else is tried.
//! Never: waits for its turn, renews, or reigns.
//! Tests: `elector_test.rs`.

use super::fence::{FenceError, FenceOutcome, FenceStore};
use super::options::{Options, Timers};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::coord::record::{self, Beginning, Candidacy, Ending, LeaderInfo, Nominee, TermRecord};
use shanty_rt::coord::{Compare, Coord, Entry, Error, Keys, LeaseId, Op};
use std::sync::Arc;
use std::time::Duration;

/// Terms whose history is kept.
const HISTORY: u64 = 100;
/// Between two tries at the store or the coordinator while a claim waits for them.
const AGAIN: Duration = Duration::from_millis(200);

/// What is needed to claim.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub coord: Arc<dyn Coord>,
    pub keys: Keys,
    pub options: Options,
    pub timers: Timers,
}

/// The election's keys as they were read. Whatever changed since fails the transaction.
#[derive(Debug)]
pub(super) struct Ballot {
    pub leader: Option<Entry>,
    /// Nominee of the next term.
    pub nominee: Option<Nominee>,
    /// Who led in the last term.
    pub last: Option<NodeId>,
    term: Epoch,
    term_revision: i64,
    nominee_revision: i64,
}

/// The leader key, held.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub epoch: Epoch,
    pub lease: LeaseId,
    /// Create revision of the leader key: this claim and no other.
    pub created: i64,
    /// When the lease was asked for, CLOCK_BOOTTIME.
    pub sent: Duration,
    /// What was granted.
    pub ttl: Duration,
    term_revision: i64,
}

impl Candidate {
    pub(super) async fn ballot(&self) -> Result<Ballot, Error> {
        let (leader, term, nominee) = (self.keys.leader(), self.keys.term(), self.keys.nominee());
        // Not one state of the coordinator: what is done with them is compared with each.
        let (leader, term, nominee) =
            tokio::try_join!(self.coord.get(&leader), self.coord.get(&term), self.coord.get(&nominee))?;
        let revision = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.mod_revision);
        let (term_revision, nominee_revision) = (revision(&term), revision(&nominee));
        let record = match term {
            Some(entry) => match record::read::<TermRecord>(&entry.key, &entry.value) {
                Some(record) => Some(record),
                // Going on from a guess could use a term twice.
                None => {
                    return Err(Error::Refused(format!("`{}` holds no term: restore it by hand", entry.key)));
                }
            },
            None => None,
        };
        let (term, last) = record.map_or((Epoch::NONE, None), |record| (record.term, Some(record.node)));
        let nominee = nominee
            .and_then(|entry| record::read::<Nominee>(&entry.key, &entry.value))
            .filter(|nominee| nominee.for_term == term.next());
        Ok(Ballot { leader, nominee, last, term, term_revision, nominee_revision })
    }

    /// Takes the leader key and raises the term; none when somebody was quicker. A coordinator that has gone back behind
    /// what this master has `seen` gives no term out twice: not even to the master that had it.
    ///
    /// `held` names the lease while it may own the key, so that a caller that drops this future can revoke it.
    pub(super) async fn take(
        &self,
        ballot: &Ballot,
        seen: Epoch,
        held: &mut Option<LeaseId>,
    ) -> Result<Option<Claim>, Error> {
        let sent = clock::boottime();
        let (lease, ttl) = self.coord.grant(self.timers.lease_ttl).await?;
        *held = Some(lease);
        let epoch = ballot.term.max(seen).next();
        let reason = match &ballot.nominee {
            Some(nominee) => format!("nominated by {}: {}", nominee.by, nominee.reason),
            None if seen > ballot.term => {
                format!("nobody led; the coordinator had gone back to term {} from {seen}", ballot.term)
            }
            None => "nobody led".to_owned(),
        };
        let when = vec![
            Compare::Absent(self.keys.leader()),
            Compare::ModifiedAt(self.keys.term(), ballot.term_revision),
            Compare::ModifiedAt(self.keys.nominee(), ballot.nominee_revision),
        ];
        let mut then = self.proclaim(epoch, lease, reason);
        then.push(Op::Delete(self.keys.nominee()));
        if let Some(old) = epoch.0.checked_sub(HISTORY) {
            then.push(Op::Delete(self.keys.history(old)));
            then.push(Op::Delete(self.keys.ended(old)));
        }
        let taken = match self.coord.txn(when, then).await {
            Ok(outcome) => Ok(outcome.succeeded.then_some(outcome.revision)),
            Err(Error::Unreachable(why)) => {
                tracing::info!(%epoch, why, "taking the leader key: outcome unknown, reading back");
                Ok(self.read_back(lease, sent + ttl).await)
            }
            Err(error @ (Error::LeaseGone | Error::Refused(_))) => Err(error),
        };
        if let Ok(Some(created)) = taken {
            if seen > ballot.term {
                tracing::warn!(
                    %epoch, %seen, term = %ballot.term,
                    "etcd is behind what this master has seen: it was restored from an older backup or emptied; going on \
                     above both. Nothing is lost"
                );
            }
            return Ok(Some(Claim { epoch, lease, created, sent, ttl, term_revision: created }));
        }
        self.forget(lease).await;
        *held = None;
        taken.map(|_| None)
    }

    /// Create revision of the leader key if it hangs on `lease`.
    async fn read_back(&self, lease: LeaseId, until: Duration) -> Option<i64> {
        while clock::boottime() < until {
            match self.coord.get(&self.keys.leader()).await {
                Ok(Some(entry)) if entry.lease == Some(lease) => return Some(entry.create_revision),
                Ok(_) => return None,
                Err(error) => {
                    tracing::debug!(%error, "cannot read the leader key back yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        None
    }

    /// Fences the store with the claim's epoch, raising the term when the store is ahead.
    /// False when the claim is lost, or the lease's time is over before the store did it.
    pub(super) async fn fence(&self, store: &dyn FenceStore, claim: &mut Claim) -> bool {
        let until = claim.sent + claim.ttl.saturating_sub(self.timers.margin);
        loop {
            let left = until.saturating_sub(clock::boottime());
            let epoch = claim.epoch;
            match tokio::time::timeout(left, store.fence(epoch)).await {
                Ok(Ok(FenceOutcome::Fenced)) => return true,
                Ok(Ok(FenceOutcome::Behind { stored }) | Err(FenceError::Superseded { stored })) => {
                    self.tell_regress(epoch, stored);
                    match self.raise(claim, stored.max(epoch).next()).await {
                        Ok(true) => {}
                        Ok(false) => return false,
                        Err(error) => {
                            tracing::warn!(%error, "cannot raise the term");
                            tokio::time::sleep(AGAIN).await;
                        }
                    }
                }
                Ok(Err(error @ FenceError::Unavailable(_))) => {
                    tracing::warn!(%epoch, %error, "cannot fence the store yet");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => {
                    tracing::warn!(%epoch, "the store was not fenced within the lease's time; giving the key back");
                    return false;
                }
            }
        }
    }

    /// Normal for the memory coordinator, which begins anew with its process; etcd must have forgotten.
    fn tell_regress(&self, epoch: Epoch, stored: Epoch) {
        if self.coord.name() == "memory" {
            tracing::info!(%epoch, %stored, "the store is ahead of the coordinator; raising the term");
        } else {
            tracing::warn!(
                %epoch, %stored,
                "the store is ahead of etcd, which was restored from an older backup, emptied, or is another cluster's; raising \
                 the term. Nothing is lost; if this store is not this cluster's, stop this master and check `master.store` and \
                 `master.cluster`"
            );
        }
    }

    /// Raises the term of a key that is held. True when it is raised, by this or by an earlier try.
    async fn raise(&self, claim: &mut Claim, epoch: Epoch) -> Result<bool, Error> {
        let when = vec![
            Compare::CreatedAt(self.keys.leader(), claim.created),
            Compare::ModifiedAt(self.keys.term(), claim.term_revision),
        ];
        let reason = format!("the store was at term {}, ahead of the coordinator", epoch.0.saturating_sub(1));
        let ending = self.own_ending(claim.epoch, None, &format!("never led: {reason}"));
        let mut then = self.proclaim(epoch, claim.lease, reason);
        then.push(Op::Put {
            key: self.keys.ended(ending.term.0),
            value: record::write(&ending),
            lease: None,
        });
        let revision = match self.coord.txn(when, then).await {
            Ok(outcome) if outcome.succeeded => outcome.revision,
            // Not held any more, or done by the try before this one.
            Ok(_) => match self.coord.get(&self.keys.term()).await? {
                Some(entry) if self.is_my_term(&entry, epoch) => entry.mod_revision,
                Some(_) | None => return Ok(false),
            },
            Err(error) => return Err(error),
        };
        (claim.epoch, claim.term_revision) = (epoch, revision);
        Ok(true)
    }

    fn is_my_term(&self, entry: &Entry, epoch: Epoch) -> bool {
        record::read::<TermRecord>(&entry.key, &entry.value)
            .is_some_and(|record| record.term == epoch && record.incarnation == self.options.incarnation)
    }

    /// Gives the key back, if it is still this claim's, names who shall take it, if that was asked for, and leaves the
    /// reason in the history.
    pub(super) async fn release(&self, claim: &Claim, to: Option<NodeId>, reason: &str) {
        let given = tokio::time::timeout(self.timers.nominee_ttl, self.hand_over(claim, to, reason)).await;
        match given {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::info!(epoch = %claim.epoch, %error, "the leader key is left to its lease")
            }
            Err(_) => {
                tracing::info!(epoch = %claim.epoch, "the leader key is left to its lease: no answer in time")
            }
        }
    }

    async fn hand_over(&self, claim: &Claim, to: Option<NodeId>, reason: &str) -> Result<(), Error> {
        let ending = self.own_ending(claim.epoch, to.as_ref(), reason);
        let mut then = vec![
            Op::Delete(self.keys.leader()),
            Op::Put { key: self.keys.ended(ending.term.0), value: record::write(&ending), lease: None },
        ];
        if let Some(node) = to {
            let (lease, _) = self.coord.grant(self.timers.nominee_ttl).await?;
            let by = self.options.node.clone();
            let candidates = vec![node];
            let nominee = Nominee { for_term: claim.epoch.next(), candidates, by, reason: reason.to_owned() };
            then.push(Op::Put {
                key: self.keys.nominee(),
                value: record::write(&nominee),
                lease: Some(lease),
            });
        }
        let given = self.coord.txn(vec![Compare::CreatedAt(self.keys.leader(), claim.created)], then).await;
        // Ends the key too, whatever came of the transaction.
        self.coord.revoke(claim.lease).await?;
        given.map(|_| ())
    }

    /// The end of a term by who led in it.
    fn own_ending(&self, term: Epoch, heir: Option<&NodeId>, reason: &str) -> Ending {
        let asked_for = |node: &NodeId| Candidacy {
            node: node.clone(),
            score: "as was asked for".to_owned(),
            refused: String::new(),
        };
        Ending {
            term,
            node: self.options.node.clone(),
            by: self.options.node.clone(),
            reason: reason.to_owned(),
            votes: Vec::new(),
            candidates: heir.map(asked_for).into_iter().collect(),
            suspected_unix_ms: 0,
            unix_ms: clock::unix_ms(),
        }
    }

    /// Revokes a lease of ours; it ends by itself when this fails.
    pub(super) async fn forget(&self, lease: LeaseId) {
        if let Err(error) = self.coord.revoke(lease).await {
            tracing::debug!(%error, "a lease is left to its end");
        }
    }

    pub(super) fn leader_info(&self, epoch: Epoch) -> LeaderInfo {
        LeaderInfo {
            node: self.options.node.clone(),
            address: self.options.address.clone(),
            epoch,
            incarnation: self.options.incarnation.clone(),
            version: self.options.version.clone(),
        }
    }

    /// The steps that make `epoch` this master's.
    fn proclaim(&self, epoch: Epoch, lease: LeaseId, reason: String) -> Vec<Op> {
        let (node, incarnation) = (self.options.node.clone(), self.options.incarnation.clone());
        let unix_ms = clock::unix_ms();
        let term = TermRecord { term: epoch, node: node.clone(), incarnation: incarnation.clone(), unix_ms };
        let history = Beginning { term: epoch, node, incarnation, reason, unix_ms };
        let leader = record::write(&self.leader_info(epoch));
        vec![
            Op::Put { key: self.keys.leader(), value: leader, lease: Some(lease) },
            Op::Put { key: self.keys.term(), value: record::write(&term), lease: None },
            Op::Put { key: self.keys.history(epoch.0), value: record::write(&history), lease: None },
        ]
    }
}
