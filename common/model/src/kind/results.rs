//! What runs came to, of whichever kind: tallies, progress, reports.
//!
//! In: pieces of results, time. Out: figures. Functions of one shape answer none for a kind of another.
//! Tests: beside each kind.

use super::{ShardDraft, db_sync, http_load};
use crate::rate::Plan;
use crate::state::ShardState;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Results of a run so far, merged over its attempts, of whichever kind.
#[derive(Debug, Clone)]
pub enum Tally {
    /// Of a load run.
    HttpLoad(Box<http_load::Tally>),
    /// Of a sync.
    DbSync(Box<db_sync::Tally>),
}

/// A piece of results that its kind cannot read.
#[derive(Debug, thiserror::Error)]
#[error("unreadable results: {0}")]
pub struct BadPartial(String);

/// What a piece of results brought besides figures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Absorbed {
    /// Shards that were found.
    pub found: Vec<ShardDraft>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether the result may suffer.
    pub warning: bool,
    /// UPPER_SNAKE_CASE.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl Tally {
    /// Merges one piece of results of shard `shard`, done by `node`. The caller sees to it that each piece
    /// comes once, in order.
    ///
    /// # Errors
    /// [`BadPartial`] when the bytes are not the kind's `Partial`; the tally stays as it was.
    pub fn absorb(
        &mut self,
        shard: u32,
        node: &crate::id::NodeId,
        bytes: &[u8],
    ) -> Result<Absorbed, BadPartial> {
        let unreadable = |error: rmp_serde::decode::Error| BadPartial(error.to_string());
        match self {
            Tally::HttpLoad(tally) => {
                let partial = rmp_serde::from_slice(bytes).map_err(unreadable)?;
                tally.absorb(shard, node, &partial);
                Ok(Absorbed::default())
            }
            Tally::DbSync(tally) => {
                let partial = rmp_serde::from_slice(bytes).map_err(unreadable)?;
                let (found, notes) = tally.absorb(shard, node, partial);
                Ok(Absorbed {
                    found: found.into_iter().map(ShardDraft::of_sync).collect(),
                    notes: notes
                        .into_iter()
                        .map(|db_sync::Note { warning, reason, message }| Note { warning, reason, message })
                        .collect(),
                })
            }
        }
    }

    /// What is left of a shard under way that could be cut in two, in the kind's own measure; none when it cannot.
    #[must_use]
    pub fn left_to_cut(&self, shard: u32) -> Option<u64> {
        match self {
            Tally::HttpLoad(_) => None,
            Tally::DbSync(tally) => tally
                .shard(shard)
                .filter(|partial| matches!(partial.step, db_sync::Step::Copy { .. }))
                .and_then(|partial| partial.remaining),
        }
    }

    /// A number that grows whenever a shard of a kind of shape divisible comes further; 0 before its first report.
    #[must_use]
    pub fn advance(&self, shard: u32) -> u64 {
        match self {
            Tally::HttpLoad(_) => 0,
            Tally::DbSync(tally) => tally.shard(shard).map_or(0, db_sync::Partial::advance),
        }
    }

    /// Remembers how far it is at an instant of the run, nanoseconds since its start, for the present rate.
    pub fn mark(&mut self, run_ns: u64) {
        match self {
            Tally::HttpLoad(_) => {}
            Tally::DbSync(tally) => tally.mark(run_ns),
        }
    }

    /// How far a run of shape rate is, `run_ns` nanoseconds since its start, with `workers` at work.
    #[must_use]
    pub fn rate_progress(&self, plan: &Plan, run_ns: u64, workers: u32) -> Option<Progress> {
        match self {
            Tally::HttpLoad(tally) => Some(Progress::HttpLoad(tally.progress(plan, run_ns, workers))),
            Tally::DbSync(_) => None,
        }
    }

    /// What a run of shape rate came to, or has come to so far.
    #[must_use]
    pub fn rate_report(&self, closing: http_load::Closing<'_>) -> Option<Report> {
        match self {
            Tally::HttpLoad(tally) => Some(Report::HttpLoad(Box::new(tally.report(closing)))),
            Tally::DbSync(_) => None,
        }
    }

    /// For a kind of shape rate: requests of a second, those without a connection, and of these the refused
    /// ones.
    #[must_use]
    pub fn reachability(&self, second: u32) -> Option<(u64, u64, u64)> {
        match self {
            Tally::HttpLoad(tally) => tally.reachability(second),
            Tally::DbSync(_) => None,
        }
    }

    /// How far a run of shape divisible is. `shards` are the payloads and states of all of its shards, `workers`
    /// how many are at work.
    #[must_use]
    pub fn shard_progress(
        &self,
        run_ns: u64,
        shards: &[(&str, ShardState)],
        workers: u32,
    ) -> Option<Progress> {
        match self {
            Tally::HttpLoad(_) => None,
            Tally::DbSync(tally) => {
                Some(Progress::DbSync(tally.progress(run_ns, &db_sync::steps(shards), workers)))
            }
        }
    }

    /// What a run of shape divisible came to, or has come to so far.
    #[must_use]
    pub fn shard_report(&self, run_ns: u64) -> Option<Report> {
        match self {
            Tally::HttpLoad(_) => None,
            Tally::DbSync(tally) => Some(Report::DbSync(Box::new(tally.report(run_ns)))),
        }
    }

    /// What a shard is, for people, by its payload: `copy orders 3`. Empty where shards have no payload.
    #[must_use]
    pub fn shard_title(&self, payload: &str) -> String {
        match self {
            Tally::HttpLoad(_) => String::new(),
            Tally::DbSync(tally) => db_sync::title(payload, tally.tables().iter()),
        }
    }
}

/// The report of a run, of whichever kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Of a load run.
    HttpLoad(Box<http_load::Report>),
    /// Of a sync.
    DbSync(Box<db_sync::Report>),
}

impl Report {
    /// What was asked for and does not hold, in words: thresholds, comparisons. A run with one of them has failed.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<String> {
        match self {
            Report::HttpLoad(report) => report.broken_thresholds(),
            Report::DbSync(report) => report.shortfalls(),
        }
    }

    /// As [`Tally::shard_title`], for a run that has ended.
    #[must_use]
    pub fn shard_title(&self, payload: &str) -> String {
        match self {
            Report::HttpLoad(_) => String::new(),
            Report::DbSync(report) => db_sync::title(payload, report.tables.iter().map(|table| &table.facts)),
        }
    }
}

/// Progress of a run, of whichever kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Of a load run.
    HttpLoad(http_load::Progress),
    /// Of a sync.
    DbSync(db_sync::Progress),
}

impl Progress {
    /// The same without its sums since the start, which are not known while earlier results are missing.
    #[must_use]
    pub fn without_sums(self) -> Progress {
        match self {
            Progress::HttpLoad(progress) => Progress::HttpLoad(http_load::Progress {
                sent: None,
                completed: None,
                errors: None,
                ..progress
            }),
            Progress::DbSync(progress) => Progress::DbSync(progress),
        }
    }

    /// The part that is done, 0 to 1, as far as the work itself tells it.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        match self {
            Progress::HttpLoad(_) => None,
            Progress::DbSync(progress) => progress.fraction(),
        }
    }

    /// The time that is left at the present rate, as far as the work itself tells it.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        match self {
            Progress::HttpLoad(_) => None,
            Progress::DbSync(progress) => progress.remaining(),
        }
    }
}
