//! One worker without a master: the steps of a sync done one after the other, as the flow says.
//!
//! In: a spec, endpoints by name. Out: the report, or the first error. Never: anything that a master would decide.

use shanty_model::id::NodeId;
use shanty_model::kind::db_sync::{self, DbSync, Directive, Partial, Report, Spec, Step, Tally};
use shanty_model::state::ShardState;
use shanty_rt::driver::{AttemptContext, Driver as _, DriverError, Outcome, TestPort};
use shanty_sync::connection::{Registry, Settings};
use shanty_sync::driver::SyncDriver;
use std::sync::Arc;

/// A worker with the databases `source` and `target`.
pub(crate) struct Alone {
    pub(crate) driver: SyncDriver,
}

impl Alone {
    pub(crate) fn new(source: &str, target: &str) -> Alone {
        let connections = [("source", source), ("target", target)];
        let settings = connections.map(|(name, url)| (name.to_owned(), Settings::new(url)));
        Alone { driver: SyncDriver::new(Registry::new(settings.into())) }
    }

    /// One step; answers its reports.
    pub(crate) async fn step(&self, spec: &Spec, step: Step) -> (Result<Outcome, DriverError>, Vec<Partial>) {
        let (cx, port) = AttemptContext::<DbSync>::for_test(spec, &step, &Directive::default(), 0).unwrap();
        let ended = self.driver.run(cx).await;
        (ended, partials(&port))
    }

    /// All steps to the end.
    pub(crate) async fn run(&self, spec: &Spec) -> Result<Report, String> {
        let node: NodeId = "alone".parse().unwrap();
        let mut tally = Tally::default();
        let mut shards: Vec<(Step, ShardState)> = Vec::new();
        loop {
            let due = db_sync::next(spec, &tally, &shards);
            for found in due {
                shards.push((found.step, ShardState::Pending));
            }
            let Some(at) = shards.iter().position(|(_, state)| *state == ShardState::Pending) else {
                return Ok(tally.report(0));
            };
            let step = shards[at].0;
            let (ended, partials) = self.step(spec, step).await;
            for partial in partials {
                let (found, _notes) = tally.absorb(u32::try_from(at).unwrap(), &node, partial);
                for found in found {
                    if !shards.iter().any(|(step, _)| *step == found.step) {
                        shards.push((found.step, ShardState::Pending));
                    }
                }
            }
            match ended {
                Ok(Outcome::Done) => shards[at].1 = ShardState::Done,
                Ok(Outcome::Cancelled) => return Err(format!("{step}: cancelled")),
                Err(error) => return Err(format!("{step}: {error}")),
            }
        }
    }
}

/// What an attempt reported so far.
pub(crate) fn partials(port: &Arc<TestPort>) -> Vec<Partial> {
    port.seen().partials.iter().map(|bytes| rmp_serde::from_slice(bytes).unwrap()).collect()
}
