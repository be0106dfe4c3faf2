//! The kinds of job: their pure halves, and the enums over which generic code passes them along.
//!
//! A kind has a [`Shape`], which says how it splits, what happens when a worker is lost, and when it is
//! done. Generic master code knows shapes; what differs between kinds is behind [`Spec`], [`Change`] and
//! [`Tally`], whose matches are in this file alone.
//! In: a user's wish. Out: violations, loads, tallies, reports.
//! Tests: beside each kind.

pub mod http_load;

use crate::rate::Load;
use crate::violation::Violation;
use serde::{Deserialize, Serialize};

/// What can travel: to the store, over the wire, to a driver.
pub trait Wire: Serialize + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static {}
impl<T: Serialize + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static> Wire for T {}

/// How a kind splits, survives and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Exact weighted shares of one schedule; survivors take over a lost worker's share at once.
    Rate,
    /// Shards found by a plan attempt on a worker; a lost one goes on from its checkpoint.
    Divisible,
    /// Ranges of ranks; a lost one goes on from its watermark.
    Enumerable,
    /// One try on one worker.
    OneShot,
    /// Child runs.
    Composite,
}

/// What master, client and worker agree on about one kind of job, in types: the driver of the kind is
/// written against it.
pub trait Kind: Send + Sync + 'static {
    /// Its name, as in the spec's `oneof`.
    const NAME: &'static str;
    /// How it splits, survives and ends.
    const SHAPE: Shape;
    /// What the user wrote.
    type Spec: Wire;
    /// What an attempt is told when it begins and whenever something changes; the newest holds.
    type Directive: Wire;
    /// Results so far. Merging them in any order gives the same.
    type Partial: Wire;
}

/// Caps that a cluster sets on what its users ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most arrivals per second of one run over all workers.
    pub max_rate: f64,
    /// Most connections of one run over all workers.
    pub max_connections: u32,
    /// Longest run, seconds.
    pub max_duration_s: u64,
    /// Which targets may be loaded, besides loopback and private addresses.
    pub targets: http_load::TargetPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_rate: 1_000_000.0,
            max_connections: 100_000,
            max_duration_s: 24 * 3600,
            targets: http_load::TargetPolicy::default(),
        }
    }
}

/// The spec of a run, of whichever kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// A distributed HTTP load test.
    HttpLoad(http_load::Spec),
}

impl Spec {
    /// Name of the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Spec::HttpLoad(_) => http_load::HttpLoad::NAME,
        }
    }

    /// Shape of the kind.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Spec::HttpLoad(_) => http_load::HttpLoad::SHAPE,
        }
    }

    /// All that is wrong with it, fields as in `http_load.rate`.
    #[must_use]
    pub fn check(&self, limits: &Limits) -> Vec<Violation> {
        match self {
            Spec::HttpLoad(spec) => {
                spec.check(limits).into_iter().map(|v| v.under(http_load::HttpLoad::NAME)).collect()
            }
        }
    }

    /// The load of a kind of shape rate; none for another shape or a spec that does not pass its check.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        match self {
            Spec::HttpLoad(spec) => spec.settle().ok().map(|settled| settled.load),
        }
    }

    /// What it acts on, as messages name it.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Spec::HttpLoad(spec) => &spec.url,
        }
    }

    /// The spec as its driver reads it: JSON of the kind's `Spec`.
    ///
    /// # Errors
    /// Never for a spec that was made from text; serde's error otherwise.
    pub fn driver_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Spec::HttpLoad(spec) => serde_json::to_string(spec),
        }
    }

    /// An empty tally of its results.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self {
            Spec::HttpLoad(spec) => Tally::HttpLoad(Box::new(http_load::Tally::new(spec))),
        }
    }
}

/// A change of a run under way, of whichever kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Of a load run.
    HttpLoad(http_load::Change),
}

impl Change {
    /// Name of the kind it is for.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Change::HttpLoad(_) => http_load::HttpLoad::NAME,
        }
    }

    /// All that is wrong with it for a run of `spec`, fields as in `http_load.rate`.
    #[must_use]
    pub fn check(&self, spec: &Spec, limits: &Limits) -> Vec<Violation> {
        match (self, spec) {
            (Change::HttpLoad(change), Spec::HttpLoad(spec)) => {
                change.check(spec, limits).into_iter().map(|v| v.under(http_load::HttpLoad::NAME)).collect()
            }
        }
    }

    /// The new rate in milli-arrivals per second, for a kind of shape rate.
    #[must_use]
    pub fn rate_milli(&self) -> Option<u64> {
        match self {
            Change::HttpLoad(change) => Some(http_load::milli(change.rate)),
        }
    }
}

/// Results of a run so far, merged over its attempts, of whichever kind.
#[derive(Debug, Clone)]
pub enum Tally {
    /// Of a load run.
    HttpLoad(Box<http_load::Tally>),
}

/// A piece of results that its kind cannot read.
#[derive(Debug, thiserror::Error)]
#[error("unreadable results: {0}")]
pub struct BadPartial(String);

impl Tally {
    /// Merges one piece of results of shard `shard`, done by `node`. The caller sees to it that each piece
    /// comes once.
    ///
    /// # Errors
    /// [`BadPartial`] when the bytes are not the kind's `Partial`; the tally stays as it was.
    pub fn absorb(&mut self, shard: u32, node: &crate::id::NodeId, bytes: &[u8]) -> Result<(), BadPartial> {
        match self {
            Tally::HttpLoad(tally) => {
                let partial = rmp_serde::from_slice(bytes).map_err(|error| BadPartial(error.to_string()))?;
                tally.absorb(shard, node, &partial);
                Ok(())
            }
        }
    }
}

/// The report of a run, of whichever kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Of a load run.
    HttpLoad(Box<http_load::Report>),
}

impl Report {
    /// The thresholds that do not hold, in words; a run with one of them has failed.
    #[must_use]
    pub fn broken_thresholds(&self) -> Vec<String> {
        match self {
            Report::HttpLoad(report) => report.broken_thresholds(),
        }
    }
}

/// Progress of a run, of whichever kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Of a load run.
    HttpLoad(http_load::Progress),
}
