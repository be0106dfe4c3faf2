//! ClusterService.

use super::once::Outcome;
use super::request;
use super::status;
use super::{Api, encode};
use crate::election::Members;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_proto::v1 as pb;
use shanty_rt::coord::record::{LeaderInfo, SentinelSet};
use shanty_rt::task::Scope;
use shanty_rt::tls::Credentials;
use shanty_rt::wire::time::timestamp;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Messages that wait for a slow client.
const AHEAD: usize = 64;
/// Stored events read at once.
const CHUNK: u32 = 500;
/// How long a transfer may take before its caller is told that it goes on.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(5);

fn count(n: usize) -> Option<u32> {
    Some(u32::try_from(n).unwrap_or(u32::MAX))
}

impl Api {
    /// The cluster as this master sees it; figures of the leader only when it leads here.
    async fn cluster_now(&self) -> Result<pb::Cluster, Status> {
        let leadership = self.leadership.borrow().clone();
        let members = self.members.borrow().clone();
        let core = self.core().ok();
        let (workers, active_runs, mut warnings) = match &core {
            Some(core) => {
                let seen =
                    core.look(|engine, now| (engine.workers(now), engine.active_runs(), engine.warnings()));
                seen.await?
            }
            None => (Vec::new(), 0, Vec::new()),
        };
        let ends = self.credentials.as_ref().and_then(Credentials::warning);
        warnings.extend(ends.map(|words| format!("the certificate of {} {words}", self.me)));
        warnings.extend(self.ailment.borrow().clone());
        if core.is_some() {
            warnings.extend(self.set_back.borrow().clone());
        }
        warnings.extend(undecided(&members));
        let present = workers.iter().filter(|(_, _, _, present)| *present).count();
        Ok(pb::Cluster {
            name: self.cluster.clone(),
            leader: leadership.leader.as_ref().map(|leader| leader.node.resource()).unwrap_or_default(),
            epoch: u32::try_from(leadership.largest_epoch.0).unwrap_or(u32::MAX),
            leader_since: core.as_ref().map(|core| timestamp(core.since_unix_ms())),
            coordinator: self.coord.name().to_owned(),
            store: self.store.kind().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            masters: count(members.masters.len()),
            workers: if core.is_some() { count(present) } else { count(self.registry.len()) },
            sentinels: count(members.sentinels.len()),
            active_runs: core.is_some().then(|| count(active_runs)).flatten(),
            voters: members.voters.iter().map(NodeId::resource).collect(),
            paused_until: members.pause.as_ref().map(|pause| timestamp(pause.until_unix_ms)),
            pause_reason: members.pause.map(|pause| pause.reason).unwrap_or_default(),
            warnings,
        })
    }
}

/// Says so when the sentinels that are up are too few to end a term.
fn undecided(members: &Members) -> Option<String> {
    let set = SentinelSet { members: members.voters.clone() };
    let away: Vec<&str> =
        set.members.iter().filter(|node| !members.sentinels.contains_key(node)).map(NodeId::as_str).collect();
    let up = set.members.len() - away.len();
    (up < set.quorum() && !set.members.is_empty()).then(|| {
        format!(
            "{up} of the {} sentinels that vote are up and {} must agree: failover waits for the leader's lease. Start {}",
            set.members.len(),
            set.quorum(),
            away.join(", ")
        )
    })
}

#[tonic::async_trait]
impl pb::cluster_service_server::ClusterService for Api {
    type WatchEventsStream = BoxStream<'static, Result<pb::ClusterEvent, Status>>;

    async fn get_cluster(
        &self,
        request: Request<pb::GetClusterRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let pb::GetClusterRequest {} = request.into_inner();
        Ok(Response::new(self.cluster_now().await?))
    }

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let pb::WatchEventsRequest { after_sequence } = request.into_inner();
        let feed = self.core()?.follow_nodes();
        let cursor = if after_sequence == 0 { self.store.last_node_event().await? } else { after_sequence };
        let (out, stream) = mpsc::channel(AHEAD);
        let mut scope = Scope::under(&self.stop);
        let api = self.clone();
        scope.spawn("watch-events", async move {
            let stop = api.stop.clone();
            tokio::select! {
                ended = api.tell_events(feed, cursor, &out) => if let Err(status) = ended {
                    // A client that went away needs no status.
                    let _gone = out.send(Err(status)).await;
                },
                () = stop.cancelled() => {}
            }
        });
        let held = ReceiverStream::new(stream).map(move |item| {
            let _held = &scope;
            item
        });
        Ok(Response::new(held.boxed()))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let pb::TransferLeadershipRequest { target, request_id } = request.into_inner();
        let same = pb::TransferLeadershipRequest { target: target.clone(), request_id: String::new() };
        let key = request::key(&request_id, "TransferLeadership", &same)?;
        let core = self.core()?;
        let before = match self.done(key.as_ref()).await? {
            Some(done) => done.term,
            None => {
                self.successors(&target, &self.me)?;
                // Who resigns from a coordinator that takes no writes leaves nobody to lead.
                if let Some(what) = self.ailment.borrow().clone() {
                    return Err(status::precondition("COORDINATOR_AILING", &what));
                }
                self.still_leads(core.epoch()).await?;
                self.bind(key.as_ref(), core.epoch()).await?
            }
        };
        // A repetition ends the term that was meant at first, and no later one.
        if core.epoch() == before {
            let best = self.successors(&target, &self.me)?.into_iter().next();
            core.resign(best.filter(|_| !target.is_empty())).await?;
        }
        self.led_after(before).await
    }

    async fn list_terms(
        &self,
        request: Request<pb::ListTermsRequest>,
    ) -> Result<Response<pb::ListTermsResponse>, Status> {
        Ok(Response::new(self.terms(request.into_inner()).await?))
    }

    async fn force_failover(
        &self,
        request: Request<pb::ForceFailoverRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let ended = self.force(request.into_inner()).await?;
        self.led_after(ended).await
    }

    async fn pause_failover(
        &self,
        request: Request<pb::PauseFailoverRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let outcome = self.pause(request.into_inner()).await?;
        self.seen(outcome, |members| members.pause.is_some()).await
    }

    async fn resume_failover(
        &self,
        request: Request<pb::ResumeFailoverRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let outcome = self.resume(request.into_inner()).await?;
        self.seen(outcome, |members| members.pause.is_none()).await
    }

    async fn change_sentinels(
        &self,
        request: Request<pb::ChangeSentinelsRequest>,
    ) -> Result<Response<pb::Cluster>, Status> {
        let request = request.into_inner();
        let (add, remove) = (request.add.parse::<NodeId>().ok(), request.remove.parse::<NodeId>().ok());
        let outcome = self.change_voters(request).await?;
        self.seen(outcome, |members| {
            add.as_ref().is_none_or(|node| members.voters.contains(node))
                && remove.as_ref().is_none_or(|node| !members.voters.contains(node))
        })
        .await
    }
}

impl Api {
    /// Whether the coordinator agrees that the core of `epoch` leads. One that was ended from outside may not know it yet,
    /// and would hand over what it has no more.
    async fn still_leads(&self, epoch: Epoch) -> Result<(), Status> {
        let leader = self.kept::<LeaderInfo>(&self.keys().leader()).await?;
        match leader {
            Some((leader, _)) if leader.epoch == epoch => Ok(()),
            Some(_) | None => {
                Err(status::unavailable("NO_LEADER", "the leader changed in this moment: try again"))
            }
        }
    }

    /// The cluster once somebody leads in a later term than `before`.
    async fn led_after(&self, before: Epoch) -> Result<Response<pb::Cluster>, Status> {
        let mut leadership = self.leadership.clone();
        let changed = async {
            leadership.wait_for(|now| now.leader.is_some() && now.largest_epoch > before).await.is_ok()
        };
        match tokio::time::timeout(TRANSFER_PATIENCE, changed).await {
            Ok(true) => Ok(Response::new(self.cluster_now().await?)),
            Ok(false) | Err(_) => {
                Err(status::unavailable("NO_LEADER", "leadership was given up; nobody has taken it yet"))
            }
        }
    }

    /// The cluster once the coordinator has told this master what it was just told itself. What was done before may have
    /// been undone since: nothing is waited for then.
    async fn seen(
        &self,
        outcome: Outcome,
        wanted: impl Fn(&Members) -> bool + Send,
    ) -> Result<Response<pb::Cluster>, Status> {
        if outcome != Outcome::DoneNow {
            return Ok(Response::new(self.cluster_now().await?));
        }
        let mut members = self.members.clone();
        let told = async { members.wait_for(|now| wanted(now)).await.is_ok() };
        if !tokio::time::timeout(TRANSFER_PATIENCE, told).await.unwrap_or(false) {
            let message = "it is done; this master has not heard of it yet";
            return Err(status::unavailable("COORDINATOR_AWAY", message));
        }
        Ok(Response::new(self.cluster_now().await?))
    }
}

impl Api {
    async fn tell_events(
        &self,
        mut feed: broadcast::Receiver<crate::store::NodeEventRecord>,
        mut cursor: u32,
        out: &mpsc::Sender<Result<pb::ClusterEvent, Status>>,
    ) -> Result<(), Status> {
        loop {
            loop {
                let stored = self.store.node_events(cursor, CHUNK).await?;
                let Some(last) = stored.last().map(|record| record.sequence) else { break };
                for record in &stored {
                    if out.send(Ok(encode::node_event(record))).await.is_err() {
                        return Ok(());
                    }
                }
                cursor = last;
            }
            tokio::select! {
                told = feed.recv() => match told {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => {
                        return Err(status::unavailable("NO_LEADER", "the leader has changed: watch again"));
                    }
                },
                () = out.closed() => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::coord::{NodeInfo, Role};

    #[test]
    fn sentinels_that_cannot_decide_are_told_with_whom_to_start() {
        let node = |name: &str| name.parse::<NodeId>().unwrap();
        let info = |name: &str| NodeInfo {
            node: node(name),
            role: Role::Sentinel,
            address: String::new(),
            incarnation: String::new(),
            version: String::new(),
            priority: 0,
        };
        let members = |up: &[&str], voters: &[&str]| Members {
            sentinels: up.iter().map(|name| (node(name), info(name))).collect(),
            voters: voters.iter().map(|name| node(name)).collect(),
            ..Members::default()
        };
        let three = ["s1", "s2", "s3"];
        assert_eq!(undecided(&members(&[], &[])), None, "no sentinel votes: by design");
        assert_eq!(undecided(&members(&["s1", "s2"], &three)), None);
        let told = undecided(&members(&["s2", "s9"], &three)).unwrap();
        assert!(told.starts_with("1 of the 3 sentinels") && told.ends_with("Start s1, s3"), "{told}");
    }
}
