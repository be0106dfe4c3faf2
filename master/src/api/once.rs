//! Request ids of what is done to the coordinator: a repeated call changes nothing more, whichever master it reaches.
//!
//! The mark is written in the transaction that does what was asked, so there is never one without the other. A transfer is
//! done by the election, not by a transaction of ours: its mark comes first and binds it to one term, and doing it again in
//! that term is harmless.
//! In: keys of requests. Out: marks, under leases that end with the day. Never: judges a request.
//! Tests: with processes in `tests/tests/t22_sentinels.rs`.

use super::failover::away;
use super::{Api, status};
use crate::runtime::{Error, RequestKey};
use serde::{Deserialize, Serialize};
use shanty_model::epoch::Epoch;
use shanty_rt::coord::record;
use shanty_rt::coord::{Compare, Op};
use std::time::Duration;
use tonic::Status;

/// How long an id is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What was done under a request id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Name of the method.
    method: String,
    /// Digest of the request without its id.
    digest: String,
    /// The term that was meant; 0 where none is.
    pub term: Epoch,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    DoneNow,
    /// An earlier call with the same id did it.
    DoneBefore,
    /// A condition did not hold.
    Refused,
}

impl Api {
    /// What was done under this id before; none for the first time, or without an id.
    pub(super) async fn done(&self, key: Option<&RequestKey>) -> Result<Option<Done>, Status> {
        let Some(key) = key else { return Ok(None) };
        let Some((done, _)) = self.kept::<Done>(&self.keys().request(&key.id)).await? else {
            return Ok(None);
        };
        if done.method != key.method || done.digest != key.digest {
            return Err(Error::RequestIdReused(key.id.clone()).into());
        }
        Ok(Some(done))
    }

    /// Adds the mark of a request to the transaction that does it, which then fails if the request was done before.
    pub(super) async fn mark(
        &self,
        key: Option<&RequestKey>,
        term: Epoch,
        when: &mut Vec<Compare>,
        then: &mut Vec<Op>,
    ) -> Result<(), Status> {
        let Some(key) = key else { return Ok(()) };
        let (lease, _) = self.coord.grant(REMEMBERED).await.map_err(away)?;
        let done = Done { method: key.method.to_owned(), digest: key.digest.clone(), term };
        let kept = self.keys().request(&key.id);
        when.push(Compare::Absent(kept.clone()));
        then.push(Op::Put { key: kept, value: record::write(&done), lease: Some(lease) });
        Ok(())
    }

    /// Does `op` if all of `when` holds, unless this request did it before. Answers which of the three it was.
    pub(super) async fn once(
        &self,
        key: Option<&RequestKey>,
        mut when: Vec<Compare>,
        op: Op,
    ) -> Result<Outcome, Status> {
        let mut then = vec![op];
        self.mark(key, Epoch::NONE, &mut when, &mut then).await?;
        if self.coord.txn(when, then).await.map_err(away)?.succeeded {
            return Ok(Outcome::DoneNow);
        }
        Ok(self.done(key).await?.map_or(Outcome::Refused, |_| Outcome::DoneBefore))
    }

    /// The term that a request is about: `term` for the first time, later what it was then.
    pub(super) async fn bind(&self, key: Option<&RequestKey>, term: Epoch) -> Result<Epoch, Status> {
        let (mut when, mut then) = (Vec::new(), Vec::new());
        self.mark(key, term, &mut when, &mut then).await?;
        if then.is_empty() || self.coord.txn(when, then).await.map_err(away)?.succeeded {
            return Ok(term);
        }
        let done = self.done(key).await?;
        done.map(|done| done.term)
            .ok_or_else(|| status::unavailable("CHANGED_MEANWHILE", "the request's mark is gone: try again"))
    }
}
