//! A distributed HTTP load test: the pure half.
//!
//! ```text
//!  Spec ──check──► violations           Partial (one worker, one second) ──► Tally ──► Report, Progress
//!    └───settle──► Settled: request, load, limits, thresholds                  ▲ merged bucket by bucket
//! ```
//! | file | holds |
//! |---|---|
//! | `spec` | the user's wish, its check, and what it comes to |
//! | `target` | which addresses may be loaded |
//! | `threshold` | conditions on the result |
//! | `partial` | one second of one worker |
//! | `seconds` | the run second by second |
//! | `tally` | all of it merged |
//! | `report` | what it came to, and whether to believe it |

mod partial;
mod report;
mod seconds;
mod spec;
mod tally;
mod target;
mod threshold;

pub use partial::{ErrorClass, Partial};
pub use report::{LatencySummary, Progress, Report, SecondPoint, ThresholdResult, Verdict, WorkerReport};
pub use spec::{Arrivals, Change, Settled, Spec, StageSpec, Url, milli};
pub use tally::{Closing, Tally};
pub use target::{Refusal, TargetPolicy};
pub use threshold::Threshold;

use super::{Kind, Shape};

/// The kind.
#[derive(Debug, Clone, Copy)]
pub struct HttpLoad;

impl Kind for HttpLoad {
    const NAME: &'static str = "http_load";
    const SHAPE: Shape = Shape::Rate;
    type Spec = Spec;
    type Shard = ();
    type Directive = crate::rate::Directive;
    type Partial = Partial;
}
