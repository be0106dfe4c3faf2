//! Users: runs started, changed and cancelled at whoever leads, and what was acknowledged to them.
//!
//! In: time. Out: calls. What was answered is checked against the store at that instant (I6). Tests: with the simulation.

use super::world::World;
use shanty_master::engine::{Engine, Now};
use shanty_master::store::SeriesRecord;
use shanty_model::id::RunId;
use shanty_model::kind::{Change, Spec, db_sync, http_load};
use std::time::Duration;
use tokio::sync::mpsc;

/// Calls that wait for a leader.
pub const CALLS: usize = 16;

/// What users ask for.
#[derive(Debug, Clone)]
pub enum Call {
    /// Start a run.
    Start(Box<Spec>),
    /// Change the rate of a run.
    Change(RunId, f64),
    /// Cancel a run.
    Cancel(RunId),
    /// Hand leadership over.
    Resign,
    /// Nobody's: results of a run of before the term, and whether they are its last.
    Past(RunId, Vec<SeriesRecord>, bool),
}

/// What was done, once it is stored.
#[derive(Debug, Clone)]
pub enum Done {
    /// A run was started.
    Started(RunId),
    /// A run was changed.
    Changed,
    /// A run was cancelled.
    Cancelled(RunId),
}

/// The users.
#[derive(Debug, Default)]
pub struct Client {
    runs: Vec<RunId>,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    cancelled: Vec<RunId>,
}

/// Does what was asked; none when it was refused.
pub fn step(engine: &mut Engine, now: Now, call: Call) -> Option<Done> {
    match call {
        Call::Start(spec) => engine.start_run(now, *spec).ok().map(Done::Started),
        Call::Change(run, rate) => {
            let change = Change::HttpLoad(http_load::Change { rate });
            engine.change_run(now, &run, &change).ok().map(|()| Done::Changed)
        }
        Call::Cancel(run) => engine.cancel_run(now, &run, "enough").ok().map(|()| Done::Cancelled(run)),
        Call::Resign | Call::Past(..) => None,
    }
}

impl World {
    /// A user asks something, for ever.
    pub(super) fn ask(&mut self) {
        let pause_ms = self.dice.between(300, 2500);
        self.after(pause_ms, "a user asks", World::ask);
        let going = self.store.runs.values().filter(|run| !run.state.is_terminal()).count();
        let runs = self.client.runs.len();
        let call = match self.dice.below(10) {
            0..=4 if going < 3 => Call::Start(Box::new(self.spec())),
            5..=7 if runs > 0 => {
                let run = self.client.runs[self.dice.index(runs)].clone();
                Call::Change(run, f64::from(u32::try_from(self.dice.between(1, 200)).unwrap_or(1)))
            }
            8 if runs > 0 => Call::Cancel(self.client.runs[self.dice.index(runs)].clone()),
            _ => return,
        };
        // Whoever thinks that it leads, as a user would be led to.
        let leading: Vec<mpsc::Sender<Call>> = self
            .masters
            .iter()
            .filter_map(|master| master.reign.as_ref().map(|reign| reign.calls.clone()))
            .collect();
        if !leading.is_empty() {
            let at = self.dice.index(leading.len());
            // One that is busy takes no more.
            drop(leading[at].try_send(call));
        }
    }

    fn spec(&mut self) -> Spec {
        if self.dice.one_in(3) {
            let source =
                db_sync::Source { connection: "shop".into(), table: "orders".into(), ..Default::default() };
            let target = db_sync::Target { connection: "dw".into(), ..Default::default() };
            return Spec::DbSync(Box::new(db_sync::Spec {
                source,
                target,
                workers: 3,
                ..Default::default()
            }));
        }
        let seconds = self.dice.between(4, 15);
        let rate = f64::from(u32::try_from(self.dice.between(1, 100)).unwrap_or(1));
        Spec::HttpLoad(http_load::Spec {
            url: "http://10.0.0.1/".to_owned(),
            rate: Some(rate),
            duration: Some(Duration::from_secs(seconds)),
            ..http_load::Spec::default()
        })
    }

    /// A user has an answer.
    pub(super) fn acknowledge(&mut self, done: Done) {
        self.client.acknowledged += 1;
        match done {
            Done::Started(run) => {
                if !self.store.runs.contains_key(&run) {
                    self.violate("I6", format!("{run} is acknowledged and not stored"));
                }
                self.tell(&format!("{run} is acknowledged"));
                self.client.runs.push(run);
            }
            Done::Changed => {}
            Done::Cancelled(run) => {
                self.client.cancelled.push(run.clone());
                self.check_cancelled(&run);
            }
        }
    }

    fn check_cancelled(&mut self, run: &RunId) {
        let record = self.store.runs.get(run);
        let stops = record.is_some_and(|run| run.state.is_terminal() || run.detail.stopping.is_some());
        if !stops {
            self.violate("I6", format!("the cancellation of {run} is acknowledged and not stored"));
        }
    }

    /// I6, at the end.
    pub(super) fn check_acknowledged(&mut self) {
        for run in self.client.runs.clone() {
            if !self.store.runs.contains_key(&run) {
                self.violate("I6", format!("{run} is lost"));
            }
        }
        for run in self.client.cancelled.clone() {
            self.check_cancelled(&run);
        }
    }
}
