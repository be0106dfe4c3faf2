//! A cluster that plays a part: a tonic server with canned answers, and the real binary run against it.
//!
//! In: what the server shall do, by the run's name. Out: exit code, standard output, standard error.
//! Never: a real master or worker; `dev.rs` and `demo.rs` have those.
#![expect(dead_code, unreachable_pub, reason = "each test program has this room and uses its part of it")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what a test needs fails it by panicking")]

pub mod dev;

use shanty_proto::v1;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use v1::run::State;
use v1::run_event::Event;

/// Which reflection the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reflection {
    /// Both versions.
    Both,
    /// The old one only.
    Alpha,
    /// None.
    None,
}

/// The part and what was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Streams of runs opened, by name, with their `after_sequence`.
    pub watches: Mutex<Vec<(String, u32)>>,
    /// Specs of runs started.
    pub starts: Mutex<Vec<v1::StartRunRequest>>,
    /// Changes asked for.
    pub changes: Mutex<Vec<v1::ChangeRunRequest>>,
    /// Calls of GetCluster.
    pub clusters: AtomicU32,
    /// Calls of ListRuns.
    pub lists: AtomicU32,
    /// Value of the `x-test` header of the newest GetRun.
    pub header: Mutex<Option<String>>,
}

/// A server that plays a cluster. Dropped, it ends.
pub struct Fake {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it saw.
    pub seen: Arc<Seen>,
    _scope: shanty_rt::task::Scope,
}

impl Fake {
    /// Starts it on a free port.
    pub async fn start(reflection: Reflection) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let part = Part(seen.clone());
        let build = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(shanty_proto::PUBLIC_DESCRIPTORS)
                .with_service_name("shanty.v1.RunService")
                .with_service_name("shanty.v1.NodeService")
        };
        let v1_reflection = (reflection == Reflection::Both).then(|| build().build_v1().unwrap());
        let alpha = (reflection != Reflection::None).then(|| build().build_v1alpha().unwrap());
        let router = tonic::transport::Server::builder()
            .add_service(v1::run_service_server::RunServiceServer::new(part.clone()))
            .add_service(v1::node_service_server::NodeServiceServer::new(part.clone()))
            .add_service(v1::cluster_service_server::ClusterServiceServer::new(part))
            .add_optional_service(v1_reflection)
            .add_optional_service(alpha);
        let mut scope = shanty_rt::task::Scope::new();
        scope.spawn("fake cluster", async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Fake { addr, seen, _scope: scope }
    }

    /// Runs the real binary against it.
    pub async fn shanty(&self, words: &[&str]) -> Ran {
        shanty(&[&["--addr", &self.addr.to_string()], words].concat(), "").await
    }

    /// The same with something on standard input.
    pub async fn shanty_reading(&self, words: &[&str], input: &str) -> Ran {
        shanty(&[&["--addr", &self.addr.to_string()], words].concat(), input).await
    }
}

/// How the binary ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A command line of the real binary, without this machine's environment.
pub fn command(words: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shanty"));
    command
        .arg0("shanty")
        .args(words)
        .env_remove("SHANTY_ADDR")
        .env_remove("SHANTY_OUTPUT")
        .env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the real binary to its end.
pub async fn shanty(words: &[&str], input: &str) -> Ran {
    use tokio::io::AsyncWriteExt as _;
    let mut child = command(words).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output());
    output.await.expect("the command ends within 30 s").unwrap().into()
}

#[derive(Clone)]
struct Part(Arc<Seen>);

type Events = Pin<Box<dyn Stream<Item = Result<v1::RunEvent, Status>> + Send>>;

fn run(name: &str, state: State) -> v1::Run {
    let load =
        v1::HttpLoadSpec { url: "http://127.0.0.1:1/".into(), rate: 100.0, ..v1::HttpLoadSpec::default() };
    v1::Run {
        name: format!("runs/{name}"),
        job: "jobs/adhoc".into(),
        state: state.into(),
        spec: Some(v1::JobSpec { kind: Some(v1::job_spec::Kind::HttpLoad(load)) }),
        ..v1::Run::default()
    }
}

fn report(name: &str) -> v1::Report {
    let holds = !name.starts_with("threshold");
    let load = v1::HttpLoadReport {
        verdict: v1::http_load_report::Verdict::Valid.into(),
        scheduled: 1000,
        sent: 1000,
        completed: 1000,
        thresholds: vec![v1::ThresholdResult { threshold: "p99_ms<50".into(), measured: 60.0, holds }],
        ..v1::HttpLoadReport::default()
    };
    v1::Report { run: format!("runs/{name}"), r#final: true, kind: Some(v1::report::Kind::HttpLoad(load)) }
}

fn end_of(name: &str) -> State {
    match name.split('.').next().unwrap() {
        "threshold" | "failing" => State::Failed,
        "cancelled" => State::Cancelled,
        "lost" => State::Lost,
        _ => State::Succeeded,
    }
}

fn event(sequence: u32, event: Event) -> v1::RunEvent {
    v1::RunEvent { sequence, time: None, event: Some(event) }
}

fn progress(sent: i64) -> Event {
    let load = v1::LoadProgress { sent: Some(sent), sent_rate: Some(100.0), ..v1::LoadProgress::default() };
    Event::Progress(v1::Progress {
        fraction: Some(0.5),
        elapsed: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        kind: Some(v1::progress::Kind::HttpLoad(load)),
        ..v1::Progress::default()
    })
}

fn not_found(name: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_resource_info("run", format!("runs/{name}"), "", "nearest: adhoc.1");
    details.set_error_info("RUN_NOT_FOUND", "shanty", HashMap::new());
    Status::with_error_details(Code::NotFound, format!("no run {name}"), details)
}

fn known(name: &str) -> Result<String, Status> {
    let bare = name.trim_start_matches("runs/").to_owned();
    if bare.starts_with("nothing") { Err(not_found(&bare)) } else { Ok(bare) }
}

#[tonic::async_trait]
impl v1::run_service_server::RunService for Part {
    type RunAndWatchStream = Events;
    type WatchRunStream = Events;

    async fn start_run(&self, request: Request<v1::StartRunRequest>) -> Result<Response<v1::Run>, Status> {
        let request = request.into_inner();
        let kind = request.spec.clone().and_then(|s| s.kind);
        let Some(v1::job_spec::Kind::HttpLoad(load)) = kind else {
            return Err(Status::invalid_argument("no spec"));
        };
        if load.url.contains("full") {
            return Err(Status::resource_exhausted("no worker has a free slot"));
        }
        if load.url.contains("bad") {
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation("spec.http_load.rate", "must be 0.001 to 100000");
            details.add_bad_request_violation("spec.http_load.duration", "is missing");
            return Err(Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details));
        }
        self.0.starts.lock().unwrap().push(request);
        Ok(Response::new(run("adhoc.1", State::Pending)))
    }

    async fn run_and_watch(&self, _: Request<v1::RunAndWatchRequest>) -> Result<Response<Events>, Status> {
        let events =
            vec![Ok(event(1, Event::Snapshot(run("adhoc.1", State::Pending)))), Ok(event(1, progress(0)))];
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::Run>, Status> {
        let header = request.metadata().get("x-test").map(|v| v.to_str().unwrap().to_owned());
        *self.0.header.lock().unwrap() = header;
        let name = known(&request.into_inner().name)?;
        Ok(Response::new(run(&name, end_of(&name))))
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let request = request.into_inner();
        // The first call meets a cluster without a leader.
        if self.0.lists.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Status::unavailable("no leader now"));
        }
        if !request.filter.is_empty() && request.filter != "state=FAILED AND job=nightly" {
            return Err(Status::invalid_argument(format!("filter {}", request.filter)));
        }
        let (names, next) = match request.page_token.as_str() {
            "" => (["adhoc.3", "adhoc.2"].as_slice(), "more"),
            _ => (["threshold.1"].as_slice(), ""),
        };
        let runs = names.iter().map(|name| run(name, end_of(name))).collect();
        Ok(Response::new(v1::ListRunsResponse { runs, next_page_token: next.into() }))
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Result<Response<Events>, Status> {
        let request = request.into_inner();
        let name = known(&request.name)?;
        let first = {
            let mut watches = self.0.watches.lock().unwrap();
            watches.push((name.clone(), request.after_sequence));
            watches.iter().filter(|(n, _)| *n == name).count() == 1
        };
        let snapshot = Ok(event(1, Event::Snapshot(run(&name, State::Running))));
        let done = v1::RunDone { run: Some(run(&name, end_of(&name))), report: Some(report(&name)) };
        let done = Ok(event(3, Event::Done(done)));
        let change = v1::RunStateChange {
            from: State::Pending.into(),
            to: State::Running.into(),
            reason: String::new(),
        };
        let running = Ok(event(2, Event::StateChange(change)));
        let endless = name.starts_with("endless");
        let events = match (name.starts_with("broken"), first) {
            (true, true) => {
                vec![snapshot, running, Ok(event(2, progress(100))), Err(Status::unavailable("stepped down"))]
            }
            (true, false) => vec![Ok(event(2, progress(200))), done],
            (false, _) if endless => vec![snapshot, running, Ok(event(2, progress(100)))],
            (false, _) => vec![snapshot, running, Ok(event(2, progress(100))), done],
        };
        let events = tokio_stream::iter(events);
        if endless {
            return Ok(Response::new(Box::pin(tokio_stream::StreamExt::chain(
                events,
                tokio_stream::pending(),
            ))));
        }
        Ok(Response::new(Box::pin(events)))
    }

    async fn wait_run(&self, request: Request<v1::WaitRunRequest>) -> Result<Response<v1::Run>, Status> {
        let request = request.into_inner();
        let name = known(&request.name)?;
        if name.starts_with("endless") {
            tokio::time::sleep(Duration::try_from(request.timeout.unwrap()).unwrap()).await;
            return Err(Status::deadline_exceeded("the run goes on"));
        }
        Ok(Response::new(run(&name, end_of(&name))))
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Result<Response<v1::Run>, Status> {
        let name = known(&request.into_inner().name)?;
        Ok(Response::new(run(&name, State::Cancelling)))
    }

    async fn change_run(&self, request: Request<v1::ChangeRunRequest>) -> Result<Response<v1::Run>, Status> {
        let request = request.into_inner();
        let name = known(&request.name)?;
        self.0.changes.lock().unwrap().push(request);
        Ok(Response::new(run(&name, State::Running)))
    }

    async fn list_shards(
        &self,
        _: Request<v1::ListShardsRequest>,
    ) -> Result<Response<v1::ListShardsResponse>, Status> {
        let mut shard = v1::Shard {
            name: "runs/adhoc.1/shards/0".into(),
            node: "nodes/w1".into(),
            ..v1::Shard::default()
        };
        shard.set_state(v1::shard::State::Running);
        (shard.attempt, shard.weight, shard.weight_total) = (1, 1, 3);
        Ok(Response::new(v1::ListShardsResponse { shards: vec![shard], next_page_token: String::new() }))
    }

    async fn get_report(
        &self,
        request: Request<v1::GetReportRequest>,
    ) -> Result<Response<v1::Report>, Status> {
        Ok(Response::new(report(&known(&request.into_inner().name)?)))
    }
}

#[tonic::async_trait]
impl v1::node_service_server::NodeService for Part {
    async fn list_nodes(
        &self,
        _: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let node =
            v1::Node { name: "nodes/w1".into(), role: v1::node::Role::Worker.into(), ..v1::Node::default() };
        Ok(Response::new(v1::ListNodesResponse { nodes: vec![node], next_page_token: String::new() }))
    }

    async fn get_node(&self, _: Request<v1::GetNodeRequest>) -> Result<Response<v1::Node>, Status> {
        Err(Status::unimplemented("GetNode is not known here"))
    }

    async fn cordon_node(&self, _: Request<v1::CordonNodeRequest>) -> Result<Response<v1::Node>, Status> {
        let state = v1::node::State::Cordoned.into();
        Ok(Response::new(v1::Node { name: "nodes/w1".into(), state, ..v1::Node::default() }))
    }

    async fn uncordon_node(&self, _: Request<v1::UncordonNodeRequest>) -> Result<Response<v1::Node>, Status> {
        Err(Status::failed_precondition("w1 is not cordoned"))
    }

    async fn drain_node(&self, _: Request<v1::DrainNodeRequest>) -> Result<Response<v1::Node>, Status> {
        Err(Status::permission_denied("not you"))
    }
}

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for Part {
    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<v1::ClusterEvent, Status>> + Send>>;

    async fn get_cluster(&self, _: Request<v1::GetClusterRequest>) -> Result<Response<v1::Cluster>, Status> {
        let leader =
            if self.0.clusters.fetch_add(1, Ordering::SeqCst) == 0 { "nodes/m1" } else { "nodes/m2" };
        Ok(Response::new(v1::Cluster { leader: leader.into(), epoch: 7, ..v1::Cluster::default() }))
    }

    async fn watch_events(
        &self,
        _: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("no events here"))
    }

    async fn transfer_leadership(
        &self,
        _: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        Err(Status::failed_precondition("there is no other master"))
    }

    async fn list_terms(
        &self,
        _: Request<v1::ListTermsRequest>,
    ) -> Result<Response<v1::ListTermsResponse>, Status> {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let term = v1::Term {
            epoch: 6,
            leader: "nodes/m1".into(),
            start_time: at(100),
            start_reason: "nobody led".into(),
            end_time: at(202),
            end_reason: "HARD: its process is gone".into(),
            ended_by: "nodes/s2".into(),
            suspect_time: at(201),
            votes: vec![v1::Vote {
                sentinel: "nodes/s2".into(),
                evidence: "HARD".into(),
                message: "it refuses connections".into(),
            }],
            candidates: vec![
                v1::Candidate {
                    master: "nodes/m2".into(),
                    score: "priority 100".into(),
                    refused_reason: String::new(),
                },
                v1::Candidate {
                    master: "nodes/m3".into(),
                    score: String::new(),
                    refused_reason: "it is stopping".into(),
                },
            ],
        };
        let next = v1::Term {
            epoch: 7,
            leader: "nodes/m2".into(),
            start_time: at(203),
            start_reason: "nominated by s2".into(),
            end_time: at(300),
            end_reason: "this master is stopping".into(),
            ended_by: "nodes/m2".into(),
            ..v1::Term::default()
        };
        Ok(Response::new(v1::ListTermsResponse { terms: vec![next, term], next_page_token: String::new() }))
    }

    async fn force_failover(
        &self,
        _: Request<v1::ForceFailoverRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        Err(Status::failed_precondition("there is no other master"))
    }

    async fn pause_failover(
        &self,
        request: Request<v1::PauseFailoverRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        let v1::PauseFailoverRequest { duration, reason: pause_reason, .. } = request.into_inner();
        let seconds = duration.map_or(0, |duration| duration.seconds);
        let paused_until = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let coordinator = "etcd".into();
        Ok(Response::new(v1::Cluster { paused_until, pause_reason, coordinator, ..v1::Cluster::default() }))
    }

    async fn resume_failover(
        &self,
        _: Request<v1::ResumeFailoverRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        Ok(Response::new(v1::Cluster { coordinator: "etcd".into(), ..v1::Cluster::default() }))
    }

    async fn change_sentinels(
        &self,
        request: Request<v1::ChangeSentinelsRequest>,
    ) -> Result<Response<v1::Cluster>, Status> {
        let voters = vec![format!("nodes/{}", request.into_inner().add)];
        Ok(Response::new(v1::Cluster { voters, coordinator: "etcd".into(), ..v1::Cluster::default() }))
    }
}

/// Sends a signal to a process that was started here and not waited for yet.
pub fn signal(child: &tokio::process::Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}
