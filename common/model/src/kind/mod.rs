//! The kinds of job: their pure halves, and the enums over which generic code passes them along.
//!
//! A kind has a [`Shape`], which says how it splits, what happens when a worker is lost, and when it is
//! done. Generic master code knows shapes; what differs between kinds is behind [`Spec`], [`Change`] and
//! [`Tally`], whose matches are here and in `results` alone.
//! In: a user's wish. Out: violations, loads, tallies, reports.
//! Tests: beside each kind.

pub mod db_sync;
pub mod http_load;
mod results;

pub use results::{Absorbed, BadPartial, Note, Progress, Report, Tally};

use crate::rate::Load;
use crate::state::ShardState;
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
    /// What one shard does; `()` where that is in the directive.
    type Shard: Wire;
    /// What an attempt is told when it begins and whenever something changes; the newest holds.
    type Directive: Wire;
    /// Results so far. Merging them in any order gives the same.
    type Partial: Wire;

    /// Two results in a row as one, for work that goes on while nobody takes results; none where each counts for itself.
    #[must_use]
    fn joined(_older: Self::Partial, _newer: Self::Partial) -> Option<Self::Partial> {
        None
    }
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
#[expect(clippy::large_enum_variant, reason = "there is one per run, and it is passed by reference")]
pub enum Spec {
    /// A distributed HTTP load test.
    HttpLoad(http_load::Spec),
    /// A copy of tables.
    DbSync(Box<db_sync::Spec>),
}

impl Spec {
    /// Name of the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Spec::HttpLoad(_) => http_load::HttpLoad::NAME,
            Spec::DbSync(_) => db_sync::DbSync::NAME,
        }
    }

    /// Shape of the kind.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Spec::HttpLoad(_) => http_load::HttpLoad::SHAPE,
            Spec::DbSync(_) => db_sync::DbSync::SHAPE,
        }
    }

    /// All that is wrong with it, fields as in `http_load.rate`.
    #[must_use]
    pub fn check(&self, limits: &Limits) -> Vec<Violation> {
        let found = match self {
            Spec::HttpLoad(spec) => spec.check(limits),
            Spec::DbSync(spec) => spec.check(),
        };
        found.into_iter().map(|v| v.under(self.kind())).collect()
    }

    /// The load of a kind of shape rate; none for another shape or a spec that does not pass its check.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        match self {
            Spec::HttpLoad(spec) => spec.settle().ok().map(|settled| settled.load),
            Spec::DbSync(_) => None,
        }
    }

    /// What it acts on, as messages name it.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Spec::HttpLoad(spec) => &spec.url,
            Spec::DbSync(spec) => &spec.target.connection,
        }
    }

    /// Names of the databases that its workers must be able to reach.
    #[must_use]
    pub fn connections(&self) -> Vec<&str> {
        match self {
            Spec::HttpLoad(_) => Vec::new(),
            Spec::DbSync(spec) => vec![&spec.source.connection, &spec.target.connection],
        }
    }

    /// What its shards use, each with the most shards that may use it at once, over all runs of the cluster.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        match self {
            Spec::HttpLoad(_) => Vec::new(),
            Spec::DbSync(spec) => {
                let resource = |end: &str, name: &str| Resource {
                    name: format!("{end} {name}"),
                    most: spec.most_workers(),
                };
                vec![resource("source", &spec.source.connection), resource("target", &spec.target.connection)]
            }
        }
    }

    /// The spec with a change in force; a change of another kind changes nothing.
    #[must_use]
    pub fn changed(&self, change: &Change) -> Spec {
        match (self, change) {
            (Spec::DbSync(spec), Change::DbSync(change)) => Spec::DbSync(Box::new(spec.changed(change))),
            (spec @ (Spec::HttpLoad(_) | Spec::DbSync(_)), _) => spec.clone(),
        }
    }

    /// The shards of a kind of shape divisible that are due and not among `shards` (their payloads and states) yet.
    #[must_use]
    pub fn follow_up(&self, tally: &Tally, shards: &[(&str, ShardState)]) -> Vec<ShardDraft> {
        match (self, tally) {
            (Spec::DbSync(spec), Tally::DbSync(tally)) => {
                let steps = db_sync::steps(shards);
                db_sync::next(spec, tally, &steps).into_iter().map(ShardDraft::of_sync).collect()
            }
            (Spec::HttpLoad(_) | Spec::DbSync(_), _) => Vec::new(),
        }
    }

    /// What one of `running` shards of a kind of shape divisible is told, after it was asked `cuts` times to give
    /// up a part of what is left to it: JSON of the kind's `Directive`.
    #[must_use]
    pub fn shard_directive(&self, running: u32, cuts: u32) -> String {
        match self {
            Spec::HttpLoad(_) => String::new(),
            Spec::DbSync(spec) => {
                let part = f64::from(running.max(1));
                let directive = db_sync::Directive {
                    rows_per_second: f64::from(spec.throttle.rows_per_second) / part,
                    bytes_per_second: spec.throttle.bytes_per_second as f64 / part,
                    cuts,
                };
                serde_json::to_string(&directive).unwrap_or_default()
            }
        }
    }

    /// The spec as its driver reads it: JSON of the kind's `Spec`.
    ///
    /// # Errors
    /// Never for a spec that was made from text; serde's error otherwise.
    pub fn driver_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Spec::HttpLoad(spec) => serde_json::to_string(spec),
            Spec::DbSync(spec) => serde_json::to_string(spec),
        }
    }

    /// An empty tally of its results.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self {
            Spec::HttpLoad(spec) => Tally::HttpLoad(Box::new(http_load::Tally::new(spec))),
            Spec::DbSync(_) => Tally::DbSync(Box::default()),
        }
    }
}

/// Something that shards use and of which there is only so much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name; the same name is the same thing in all runs.
    pub name: String,
    /// Most shards that may use it at once.
    pub most: u32,
}

/// A shard that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardDraft {
    /// What tells it from all others of its run; a draft with a name that is there already is the same shard.
    pub name: String,
    /// JSON of the kind's `Shard`.
    pub payload: String,
    /// Its size in the kind's own measure; larger ones go first.
    pub size: u64,
}

impl ShardDraft {
    fn of_sync(found: db_sync::Found) -> ShardDraft {
        ShardDraft {
            name: found.step.to_string(),
            payload: serde_json::to_string(&found.step).unwrap_or_default(),
            size: found.rows,
        }
    }
}

/// A change of a run under way, of whichever kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Of a load run.
    HttpLoad(http_load::Change),
    /// Of a sync.
    DbSync(db_sync::Change),
}

impl Change {
    /// Name of the kind it is for.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Change::HttpLoad(_) => http_load::HttpLoad::NAME,
            Change::DbSync(_) => db_sync::DbSync::NAME,
        }
    }

    /// All that is wrong with it for a run of `spec`, fields as in `http_load.rate`.
    #[must_use]
    pub fn check(&self, spec: &Spec, limits: &Limits) -> Vec<Violation> {
        let found = match (self, spec) {
            (Change::HttpLoad(change), Spec::HttpLoad(spec)) => change.check(spec, limits),
            (Change::DbSync(change), Spec::DbSync(_)) => change.check(),
            (Change::HttpLoad(_) | Change::DbSync(_), _) => {
                let message = format!("is for another kind; the run is a {}", spec.kind());
                return vec![Violation::new(self.kind(), message)];
            }
        };
        found.into_iter().map(|v| v.under(self.kind())).collect()
    }

    /// The new rate in milli-arrivals per second, for a kind of shape rate.
    #[must_use]
    pub fn rate_milli(&self) -> Option<u64> {
        match self {
            Change::HttpLoad(change) => Some(http_load::milli(change.rate)),
            Change::DbSync(_) => None,
        }
    }

    /// The change in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Change::HttpLoad(change) => format!("rate {}/s", change.rate),
            Change::DbSync(change) => change.words(),
        }
    }

    /// This change with a newer one over it.
    #[must_use]
    pub fn then(self, newer: Change) -> Change {
        match (self, newer) {
            (Change::DbSync(old), Change::DbSync(new)) => Change::DbSync(old.then(new)),
            (_, newer) => newer,
        }
    }
}
