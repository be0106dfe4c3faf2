//! MasterProbe: what sentinels ask. A stream of this master's condition, made anew for each answer.
//!
//! In: an interval. Out: the pulses and figures of `condition`, the core's, and what this master's workers say of the
//! leader. Never: asks anybody for an answer: a probe that waits tells nothing.

use crate::condition::Condition;
use crate::election::Leadership;
use crate::registry::Registry;
use crate::runtime::Leading;
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
}
