//! The sessions with both ends, asked at the same time.
//!
//! In: a [`Frame`]. Out: sums and rows of both ends. Never: an answer waited for after the attempt was asked to
//! stop; a session put back whose answer was not waited for.
//! Tests: `worker/sync/tests/databases/verify.rs`.

use super::carry::Carry;
use super::frame::{End, Frame, KEYS_AT_ONCE};
use super::read_back::ReadBack;
use super::scan::{self, Seen, Sums};
use super::unlike::{Unlike, unlike};
use crate::db::{Connection, DbError};
use crate::digest::RowDigest;
use crate::error::SyncError;
use crate::plan::{Key, TablePlan};
use crate::work::Work;
use std::collections::HashSet;
use std::time::Duration;

/// Both ends.
pub(super) struct Ends<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) source: Box<dyn Connection>,
    pub(super) target: Box<dyn Connection>,
    to_target: Carry,
    to_source: Carry,
}

/// Rows of some groups.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// Groups in all.
    pub(super) of: u64,
    /// Which.
    pub(super) numbers: Vec<u64>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(
        work: &'a Work<'a>,
        source: Box<dyn Connection>,
        target: Box<dyn Connection>,
        plan: &TablePlan,
    ) -> Ends<'a> {
        let (from, to) = (source.dialect().engine(), target.dialect().engine());
        let to_target = Carry::new(from, to, &plan.key, |pair| [&pair.source, &pair.target]);
        let to_source = Carry::new(to, from, &plan.key, |pair| [&pair.target, &pair.source]);
        Ends { work, source, target, to_target, to_source }
    }

    /// Runs both futures at the same time, until both are done or the attempt shall stop.
    async fn both<S, T>(
        work: &Work<'_>,
        source: impl Future<Output = Result<S, DbError>>,
        target: impl Future<Output = Result<T, DbError>>,
    ) -> Result<(S, T), SyncError> {
        let mut stop = work.cx.stopped();
        let both = futures_util::future::join(source, target);
        tokio::select! {
            (source, target) = both => {
                let source = source.map_err(|error| SyncError::db("comparing: reading the source", &error))?;
                let target = target.map_err(|error| SyncError::db("comparing: reading the target", &error))?;
                Ok((source, target))
            }
            _ = stop.wait_for(Option::is_some) => Err(SyncError::Stopped),
        }
    }

    /// Numbers of rows.
    pub(super) async fn counts(&mut self, frame: &Frame) -> Result<(u64, u64), SyncError> {
        let source = scan::count(self.source.as_mut(), &frame.source);
        let target = scan::count(self.target.as_mut(), &frame.target);
        Self::both(self.work, source, target).await
    }

    /// The number of the source's rows, and the digest of the target's.
    pub(super) async fn read_back(
        &mut self,
        frame: &Frame,
        rows: &ReadBack,
    ) -> Result<(u64, RowDigest), SyncError> {
        let source = scan::count(self.source.as_mut(), &frame.source);
        let target = rows.digest(self.target.as_mut());
        Self::both(self.work, source, target).await
    }

    /// Sums of all rows, in groups.
    pub(super) async fn sums(&mut self, frame: &Frame, groups: u64) -> Result<(Sums, Sums), SyncError> {
        let source = scan::sums(self.source.as_mut(), &frame.source, groups);
        let target = scan::sums(self.target.as_mut(), &frame.target, groups);
        Self::both(self.work, source, target).await
    }

    async fn rows(
        &mut self,
        frame: &Frame,
        source: &[String],
        target: &[String],
        wanted: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Vec<Unlike>, SyncError> {
        let source = scan::rows(self.source.as_mut(), &frame.source, source, wanted);
        let target = scan::rows(self.target.as_mut(), &frame.target, target, wanted);
        let (source, target) = Self::both(self.work, source, target).await?;
        Ok(unlike(source, target))
    }

    /// What is unlike in some groups.
    pub(super) async fn unlike_in(
        &mut self,
        frame: &Frame,
        groups: &Groups,
    ) -> Result<Vec<Unlike>, SyncError> {
        let within = |end: &End| end.in_groups(groups.of, &groups.numbers);
        let numbers: HashSet<u64> = groups.numbers.iter().copied().collect();
        let is_within = |place: u64| numbers.contains(&(place % groups.of));
        self.rows(frame, &within(&frame.source), &within(&frame.target), &is_within).await
    }

    /// Looks at places again that were found in `groups`; answers those that are unlike still.
    pub(super) async fn unlike_again(
        &mut self,
        frame: &Frame,
        groups: &Groups,
        places: &[Unlike],
    ) -> Result<Vec<Unlike>, SyncError> {
        let wanted: HashSet<u64> = places.iter().map(Unlike::place).collect();
        let is_wanted = |place: u64| wanted.contains(&place);
        let keys: Vec<(Option<Key>, Option<Key>)> = places.iter().map(|place| self.keys(place)).collect();
        if !frame.is_keyed() || keys.iter().any(|(source, target)| source.is_none() || target.is_none()) {
            let within = |end: &End| end.in_groups(groups.of, &groups.numbers);
            return self.rows(frame, &within(&frame.source), &within(&frame.target), &is_wanted).await;
        }
        let mut found = Vec::new();
        for chunk in keys.chunks(KEYS_AT_ONCE) {
            let at_source = frame.source.with_keys(chunk.iter().filter_map(|(source, _)| source.as_ref()));
            let at_target = frame.target.with_keys(chunk.iter().filter_map(|(_, target)| target.as_ref()));
            found.extend(self.rows(frame, &at_source, &at_target, &is_wanted).await?);
        }
        Ok(found)
    }

    /// Texts of a place's key at both ends, as far as they are known.
    pub(super) fn keys(&self, place: &Unlike) -> (Option<Key>, Option<Key>) {
        let key = |rows: &[Seen]| rows.first().map(|row| row.key.clone());
        let (source, target) = (key(&place.source), key(&place.target));
        let carried_to_source = || self.to_source.key(target.as_ref()?);
        let carried_to_target = || self.to_target.key(source.as_ref()?);
        (source.clone().or_else(carried_to_source), target.clone().or_else(carried_to_target))
    }

    /// Waits, unless the attempt shall stop.
    ///
    /// # Errors
    /// [`SyncError::Stopped`].
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), SyncError> {
        let mut stop = self.work.cx.stopped();
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            _ = stop.wait_for(Option::is_some) => Err(SyncError::Stopped),
        }
    }
}
