//! MasterProbe: what sentinels ask. A stream of this master's condition, made anew for each answer.
//!
//! And the leader's ear for what sentinels found: of workers that it does not hear, and of clocks.
//! In: an interval; words. Out: the pulses and figures of `condition`, the core's, and what this master's workers say of the
//! leader; workers to look at. Never: asks anybody for its condition: a probe that waits tells nothing.

use crate::condition::Condition;
use crate::election::{Leadership, Members};
use crate::engine::{Door, Found};
use crate::registry::Registry;
use crate::runtime::{Leading, SentinelWord};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shanty_model::id::NodeId;
use shanty_proto::internal as pb;
use shanty_rt::clock;
use shanty_rt::wire::time::pb_duration;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Between two answers, when nothing sensible is asked for.
const INTERVAL: Duration = Duration::from_millis(250);
/// Most workers that a sentinel is given besides suspects.
const SAMPLE: usize = 64;
/// Shortest and longest interval.
const RANGE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// The masters' end of the sentinels' probes.
#[derive(Debug, Clone)]
pub struct Probe {
    /// This master.
    pub me: NodeId,
    /// Its process.
    pub incarnation: String,
    /// Larger leads first; 0 never leads by nomination.
    pub priority: u32,
    /// Its condition.
    pub condition: Arc<Condition>,
    /// Whether it leads.
    pub leading: Leading,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Its workers.
    pub registry: Arc<Registry>,
    /// Registered nodes, and which sentinels vote.
    pub members: watch::Receiver<Members>,
    /// Cancelled when it shuts down.
    pub stop: CancellationToken,
}

impl Probe {
    fn health(&self) -> pb::MasterHealth {
        let now = clock::boottime();
        let core = self.leading.core().ok();
        pb::MasterHealth {
            node: self.me.to_string(),
            incarnation: self.incarnation.clone(),
            leading: core.is_some(),
            epoch: core.as_ref().map_or(0, |core| core.epoch().0),
            dispatch_silence: core.map(|core| pb_duration(core.dispatch_silence(now))),
            store_silence: Some(pb_duration(self.condition.store.silence(now))),
            disk_silence: Some(pb_duration(self.condition.disk.silence(now))),
            eligible: self.priority > 0 && !self.stop.is_cancelled(),
            priority: self.priority,
            cpu: self.condition.cpu(),
            memory: self.condition.memory(),
            unix_ms: clock::unix_ms(),
            witnesses: self.witnesses(now),
        }
    }

    fn witnesses(&self, now: Duration) -> Option<pb::Witnesses> {
        let leader = self.leadership.borrow().leader.as_ref()?.node.clone();
        if leader == self.me {
            return None;
        }
        let (attached, heard_within) = self.registry.witnesses(&leader, now);
        Some(pb::Witnesses { leader: leader.to_string(), attached, heard_within: heard_within.to_vec() })
    }
}

#[tonic::async_trait]
impl pb::master_probe_server::MasterProbe for Probe {
    type WatchStream = BoxStream<'static, Result<pb::MasterHealth, Status>>;

    async fn watch(
        &self,
        request: Request<pb::WatchHealthRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let asked = request.into_inner().interval.and_then(|interval| Duration::try_from(interval).ok());
        let interval = asked.unwrap_or(INTERVAL).clamp(RANGE.0, RANGE.1);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let probe = self.clone();
        let answers = IntervalStream::new(ticks).map(move |_| Ok(probe.health()));
        Ok(Response::new(answers.take_until(self.stop.clone().cancelled_owned()).boxed()))
    }

    async fn confer(&self, request: Request<pb::SentinelWord>) -> Result<Response<pb::ToLookAt>, Status> {
        let pb::SentinelWord { sentinel, workers, clocks, sample, sample_after } = request.into_inner();
        let Ok(core) = self.leading.core() else { return Ok(Response::new(pb::ToLookAt::default())) };
        let now = clock::boottime();
        let word = SentinelWord {
            sentinel: sentinel
                .parse()
                .map_err(|error| Status::invalid_argument(format!("sentinel: {error}")))?,
            voters: self.members.borrow().voters.clone(),
            found: workers.into_iter().filter_map(|worker| found(worker, now)).collect(),
            clocks: clocks
                .into_iter()
                .filter_map(|pb::ClockFound { master, ahead_ms }| Some((master.parse().ok()?, ahead_ms)))
                .collect(),
        };
        core.heed(word).await?;
        let (sample, after) =
            (usize::try_from(sample).map_or(SAMPLE, |n| n.min(SAMPLE)), sample_after.parse().ok());
        let (suspects, sample) =
            core.look(move |engine, now| engine.to_look_at(now, sample, after.as_ref())).await?;
        let doors = |doors: Vec<Door>| doors.into_iter().map(door).collect();
        Ok(Response::new(pb::ToLookAt { suspects: doors(suspects), sample: doors(sample) }))
    }
}

/// A worker as a sentinel found it; none when it says nothing that this master knows.
fn found(worker: pb::WorkerFound, now: Duration) -> Option<Found> {
    let pb::WorkerFound { worker, incarnation, state, why, ago } = worker;
    let dead = match pb::worker_found::State::try_from(state) {
        Ok(pb::worker_found::State::Dead) => true,
        Ok(pb::worker_found::State::Lives) => false,
        Ok(pb::worker_found::State::Unspecified) | Err(_) => return None,
    };
    let ago = ago.and_then(|ago| Duration::try_from(ago).ok())?;
    Some(Found { node: worker.parse().ok()?, incarnation, dead, why, at: now.saturating_sub(ago) })
}

fn door(door: Door) -> pb::WorkerDoor {
    let Door { node, incarnation, address } = door;
    pb::WorkerDoor { worker: node.to_string(), incarnation, door: address }
}
