//! The engine: what the leader decides. Pure: an event and the time go in, commands come out.
//!
//! ```text
//!  API call ─────┐                                    ┌─► Store(Mutation)   one transaction per step
//!  worker event ─┼─► Engine::on_*(now, …) ─ Command ──┤
//!  tick ─────────┘                                    └─► Tell(node, Order) after the commit
//! ```
//! It holds all runs that have not ended, all jobs, and the workers as they were last heard. The runtime
//! carries the commands out: first the store, then the workers, so that nothing is sent that a successor
//! would not know of.
//!
//! | file | family |
//! |---|---|
//! | `on_run` | runs started, changed, cancelled |
//! | `on_job` | jobs kept and removed |
//! | `on_worker` | workers attached, heard, gone, cordoned, drained |
//! | `on_past` | results of before this leader |
//! | `on_report` | what attempts say |
//! | `on_tick` | what time brings: losses, rules, ends |
//! | `on_word` | what sentinels say of workers and clocks |
//! | `forgotten` | what a store that was set back does not know any more |
//! | `on_takeover` | a new leader begins from the store |
//! | `reconcile` | who has a part in a run of shape rate, and who should |
//! | `divide` | shards of a run of shape divisible: found, assigned, cut, done |
//! | `machine` | one run with its parts |
//! | `part` | a shard with the attempt at it |
//! | `view` | what the API shows |
//!
//! In: events. Out: commands, refusals. Never: a clock, a socket, the store.
//! Tests: `tests/`, with workers that are values.

mod command;
mod divide;
mod forgotten;
mod machine;
mod on_job;
mod on_past;
mod on_report;
mod on_run;
mod on_takeover;
mod on_tick;
mod on_word;
mod on_worker;
mod part;
mod reconcile;
#[cfg(test)]
mod tests;
mod view;
mod worker;

pub use command::{Assignment, Command, Ending, Order, Outcome, Refused, Update};
pub use machine::Machine;
pub use on_job::JobDraft;
pub use on_takeover::Stored;
pub use on_word::{Door, Found, SMALL_FLEET};
pub use view::{RunView, ShardView};
pub use worker::{Arrival, Held, Word, Worker};

use crate::store::{JobRecord, Mutation, NodeEventRecord};
use shanty_model::epoch::Epoch;
use shanty_model::id::{JobId, NodeId, RunId};
use shanty_model::kind::Limits;
use std::collections::BTreeMap;
use std::time::Duration;

/// The two times that an event needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, nanoseconds since 1970: for the runs' schedules and for people.
    pub unix_ns: i64,
    /// CLOCK_BOOTTIME: for silence and deadlines.
    pub boot: Duration,
}

impl Now {
    /// Wall clock, milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.unix_ns / 1_000_000
    }
}

/// How patient the leader is.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Caps on what users ask for.
    pub limits: Limits,
    /// From a decision to the instant at which all workers switch: longer than a message takes.
    pub lead: Duration,
    /// The same where shares move from slow workers to others, which is not urgent: longer than a change of leaders takes, so that
    /// the next one can still tell whom this one did not.
    pub shift_lead: Duration,
    /// A worker whose stream broke may come back within this before its share goes to others.
    pub link_grace: Duration,
    /// The same for a shard of a run of shape divisible: nothing is lost meanwhile, and a page when it moves.
    pub hand_over_grace: Duration,
    /// A worker that is silent for this long counts as gone.
    pub session_timeout: Duration,
    /// A worker that is silent for this long gets no new work. One that sends load reports each second: its share goes to
    /// others then, and not back to itself.
    pub load_silence: Duration,
    /// Sentinels are asked about a worker that is silent for this long.
    pub suspect_after: Duration,
    /// As `load_silence` for a worker that sentinels find dead.
    pub load_silence_confirmed: Duration,
    /// As `session_timeout` for a worker with other work that sentinels find dead.
    pub data_silence_confirmed: Duration,
    /// An attempt that was not accepted for this long is given to others.
    pub accept_timeout: Duration,
    /// After a takeover, attempts wait this long for their workers to attach.
    pub takeover_grace: Duration,
    /// A run without any worker waits this long for one before it is lost.
    pub worker_patience: Duration,
    /// The same for a run of shape divisible that has begun: what was done is safe.
    pub data_patience: Duration,
    /// A run asked to stop waits this long for its workers to say that they have.
    pub stop_patience: Duration,
    /// Workers stop an attempt after losing every master for this long.
    pub orphan_limit: Duration,
    /// The same for a run of shape divisible, which nobody else can do twice.
    pub data_orphan_limit: Duration,
    /// Most runs at once.
    pub max_active_runs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits::default(),
            lead: Duration::from_millis(120),
            shift_lead: Duration::from_secs(3),
            link_grace: Duration::from_millis(400),
            hand_over_grace: Duration::from_secs(2),
            session_timeout: Duration::from_secs(8),
            load_silence: Duration::from_secs(3),
            suspect_after: Duration::from_secs(1),
            load_silence_confirmed: Duration::from_secs(1),
            data_silence_confirmed: Duration::from_secs(2),
            accept_timeout: Duration::from_secs(3),
            takeover_grace: Duration::from_secs(15),
            worker_patience: Duration::from_secs(10),
            data_patience: Duration::from_secs(300),
            stop_patience: Duration::from_secs(5),
            orphan_limit: Duration::from_secs(30),
            data_orphan_limit: Duration::from_secs(1800),
            max_active_runs: 1000,
        }
    }
}

/// What the leader knows and decides.
#[derive(Debug)]
pub struct Engine {
    epoch: Epoch,
    options: Options,
    jobs: BTreeMap<JobId, JobRecord>,
    runs: BTreeMap<RunId, Machine>,
    workers: BTreeMap<NodeId, Worker>,
    cordoned: BTreeMap<NodeId, bool>,
    /// Numbers of runs that workers have told, where they are larger than what the store knew.
    told_runs: forgotten::RunNumbers,
    last_node_event: u32,
    /// When time was told last; none before the first tick.
    ticked: Option<Duration>,
    /// Whether this leader's authority is in doubt.
    frozen: bool,
    /// Until then nobody's silence is judged: this leader was not listening itself.
    deaf_until: Duration,
    /// Clocks apart from this leader's.
    apart: BTreeMap<NodeId, on_word::Apart>,
    commands: Vec<Command>,
}

impl Engine {
    /// Takes the commands of the steps since the last call, in order.
    pub fn take_commands(&mut self) -> Vec<Command> {
        for machine in self.runs.values_mut() {
            machine.flush(&mut self.commands);
        }
        self.runs.retain(|_, machine| !machine.is_over());
        std::mem::take(&mut self.commands)
    }

    /// Tells it whether its authority is in doubt from now on. While it is, no work is given out and none shared anew;
    /// what workers say is taken in. The first tick after it makes up for what was left.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Adds something to be stored with the step.
    pub fn remember(&mut self, mutation: Mutation) {
        self.commands.push(Command::store(mutation));
    }

    /// Its term.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of runs that have not ended.
    #[must_use]
    pub fn active_runs(&self) -> usize {
        self.runs.len()
    }

    fn node_event(&mut self, now: Now, node: &NodeId, reason: &str, message: String) {
        self.last_node_event += 1;
        self.commands.push(Command::store(Mutation::AppendNodeEvent(NodeEventRecord {
            sequence: self.last_node_event,
            time_ms: now.unix_ms(),
            node: node.clone(),
            reason: reason.to_owned(),
            message,
            epoch: self.epoch,
        })));
    }
}
