//! A master for tests: a real listener that does what the test says.
//!
//! In: what the test says. Out: what the worker said; heartbeats are answered by themselves, and a process that
//! attaches again ends its older stream, as with a real master.

use shanty_proto::internal::worker_link_server::{WorkerLink, WorkerLinkServer};
use shanty_proto::internal::{self as pb, from_worker, to_worker};
use shanty_rt::task::Scope;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type Answers = mpsc::Sender<Result<pb::ToWorker, Status>>;

struct Door(mpsc::Sender<(Streaming<pb::FromWorker>, Answers)>);

#[tonic::async_trait]
impl WorkerLink for Door {
    type AttachStream = ReceiverStream<Result<pb::ToWorker, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::FromWorker>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (answers, outgoing) = mpsc::channel(1024);
        let arrived = (request.into_inner(), answers);
        self.0.send(arrived).await.map_err(|_| Status::unavailable("this master is gone"))?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// A master that listens.
pub(crate) struct Master {
    pub(crate) node: &'static str,
    pub(crate) address: SocketAddr,
    /// Its wall clock minus the real one.
    pub(crate) ahead_ns: i64,
    arrivals: mpsc::Receiver<(Streaming<pb::FromWorker>, Answers)>,
    /// The newest stream: whose it is, and its end, if the test has not dropped it.
    newest: Option<(String, mpsc::WeakSender<Result<pb::ToWorker, Status>>)>,
    _scope: Scope,
}

impl Master {
    /// Listens on a free port.
    pub(crate) async fn start(node: &'static str) -> Master {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, arrivals) = mpsc::channel(8);
        let mut scope = Scope::new();
        scope.spawn("master", async move {
            tonic::transport::Server::builder()
                .add_service(WorkerLinkServer::new(Door(door)))
                .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Master { node, address, ahead_ns: 0, arrivals, newest: None, _scope: scope }
    }

    /// Waits for a worker and welcomes it.
    pub(crate) async fn welcome(&mut self, leader: bool, epoch: u64) -> Link {
        self.welcome_within(PATIENCE, leader, epoch).await.expect("no worker attached in time")
    }

    /// The same for a worker that comes soon, if one does.
    pub(crate) async fn welcome_within(
        &mut self,
        within: Duration,
        leader: bool,
        epoch: u64,
    ) -> Option<Link> {
        let arrival = tokio::time::timeout(within, self.arrivals.recv()).await.ok()?;
        let (mut incoming, answers) = arrival.unwrap();
        let hello = match incoming.message().await.unwrap().unwrap().message {
            Some(from_worker::Message::Hello(hello)) => hello,
            other => panic!("the first message is {other:?}"),
        };
        self.close_older(&hello.incarnation, &answers).await;
        let claim = Arc::new(Mutex::new((leader, epoch)));
        let link = Link::new(hello, incoming, answers, claim, self.ahead_ns);
        link.tell(to_worker::Message::Welcome(pb::Welcome {
            master: self.node.to_owned(),
            leader,
            epoch,
            heartbeat_interval: Some(prost_duration(Duration::from_millis(100))),
            session_timeout: Some(prost_duration(Duration::from_secs(1))),
            unix_ns: shanty_rt::clock::unix_ns() + self.ahead_ns,
        }))
        .await;
        Some(link)
    }

    async fn close_older(&mut self, incarnation: &str, answers: &Answers) {
        let newest = (incarnation.to_owned(), answers.downgrade());
        if let Some((whose, older)) = self.newest.replace(newest)
            && whose == incarnation
            && let Some(older) = older.upgrade()
        {
            let _gone = older.send(Err(Status::already_exists("another worker has attached"))).await;
        }
    }
}

/// One worker's stream. Dropping it breaks it.
pub(crate) struct Link {
    pub(crate) hello: pb::Hello,
    answers: Answers,
    said: mpsc::Receiver<from_worker::Message>,
    claim: Arc<Mutex<(bool, u64)>>,
    beats: Arc<Mutex<Vec<pb::WorkerHeartbeat>>>,
    muted: Arc<AtomicBool>,
    _scope: Scope,
}

impl Link {
    fn new(
        hello: pb::Hello,
        mut incoming: Streaming<pb::FromWorker>,
        answers: Answers,
        claim: Arc<Mutex<(bool, u64)>>,
        ahead_ns: i64,
    ) -> Link {
        let (said_in, said) = mpsc::channel(4096);
        let beats = Arc::new(Mutex::new(Vec::new()));
        let mut scope = Scope::new();
        let muted = Arc::new(AtomicBool::new(false));
        let (answer, state, seen, mute) = (answers.clone(), claim.clone(), beats.clone(), muted.clone());
        scope.spawn("stream", async move {
            while let Ok(Some(message)) = incoming.message().await {
                match message.message.unwrap() {
                    from_worker::Message::Heartbeat(beat) => {
                        let (leader, epoch) = *state.lock().unwrap();
                        let back = pb::MasterHeartbeat {
                            sequence: beat.sequence,
                            echo_unix_ns: beat.unix_ns,
                            unix_ns: shanty_rt::clock::unix_ns() + ahead_ns,
                            leader,
                            epoch,
                            fleet_size: 1,
                        };
                        seen.lock().unwrap().push(beat);
                        if mute.load(Ordering::Relaxed) {
                            continue;
                        }
                        let message = Some(to_worker::Message::Heartbeat(back));
                        let _gone = answer.send(Ok(pb::ToWorker { message })).await;
                    }
                    other => {
                        let _gone = said_in.send(other).await;
                    }
                }
            }
        });
        Link { hello, answers, said, claim, beats, muted, _scope: scope }
    }

    /// Says something to the worker.
    pub(crate) async fn tell(&self, message: to_worker::Message) {
        self.answers.send(Ok(pb::ToWorker { message: Some(message) })).await.expect("the stream is gone");
    }

    /// Leads from now on, and says so.
    pub(crate) async fn announce(&self, epoch: u64) {
        *self.claim.lock().unwrap() = (true, epoch);
        self.tell(to_worker::Message::Announce(pb::Announce { epoch })).await;
    }

    /// Orders an attempt of the kind `fake`.
    pub(crate) async fn assign(&self, epoch: u64, attempt: &str) {
        self.tell(to_worker::Message::Assign(assign(epoch, attempt))).await;
    }

    /// Acknowledges.
    pub(crate) async fn ack(&self, attempt: &str, sequence: u64, ended: bool) {
        let ack = pb::ReportAck { attempt: attempt.to_owned(), sequence, ended };
        self.tell(to_worker::Message::Ack(ack)).await;
    }

    /// Answers no heartbeat from now on.
    pub(crate) fn mute(&self) {
        self.muted.store(true, Ordering::Relaxed);
    }

    /// Heartbeats of the worker so far.
    pub(crate) fn beats(&self) -> Vec<pb::WorkerHeartbeat> {
        self.beats.lock().unwrap().clone()
    }

    /// The next thing said besides heartbeats.
    pub(crate) async fn next(&mut self) -> from_worker::Message {
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        said.expect("the worker said nothing in time").expect("the stream has ended")
    }

    /// Whether the worker ends the stream in time.
    pub(crate) async fn ends(&mut self) {
        let rest = async { while self.said.recv().await.is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.expect("the stream did not end in time");
    }

    /// The next thing said, which must be an inventory.
    pub(crate) async fn inventory(&mut self) -> pb::Inventory {
        match self.next().await {
            from_worker::Message::Inventory(inventory) => inventory,
            other => panic!("instead of an inventory: {other:?}"),
        }
    }

    /// The next thing said, which must be where an attempt is.
    pub(crate) async fn update(&mut self) -> (String, pb::attempt_update::State, String) {
        match self.next().await {
            from_worker::Message::Update(update) => (update.attempt.clone(), update.state(), update.reason),
            other => panic!("instead of an update: {other:?}"),
        }
    }

    /// The next thing said but for updates, which must be a report.
    pub(crate) async fn report(&mut self) -> (u64, Vec<u8>) {
        loop {
            match self.next().await {
                from_worker::Message::Report(report) => return (report.sequence, report.partial),
                from_worker::Message::Update(_) => {}
                other => panic!("instead of a report: {other:?}"),
            }
        }
    }

    /// The next end, updates and reports left out.
    pub(crate) async fn ended(&mut self) -> pb::AttemptEnded {
        loop {
            match self.next().await {
                from_worker::Message::Ended(ended) => return ended,
                from_worker::Message::Update(_) | from_worker::Message::Report(_) => {}
                other => panic!("instead of an end: {other:?}"),
            }
        }
    }

    /// Sees an attempt taken on and begun.
    pub(crate) async fn begun(&mut self, attempt: &str) {
        use pb::attempt_update::State;
        assert_eq!(self.update().await, (attempt.to_owned(), State::Accepted, String::new()));
        assert_eq!(self.update().await, (attempt.to_owned(), State::Running, String::new()));
    }
}

/// An order to do an attempt of the kind `fake`.
pub(crate) fn assign(epoch: u64, attempt: &str) -> pb::Assign {
    pb::Assign {
        epoch,
        attempt: attempt.to_owned(),
        kind: "fake".to_owned(),
        spec: "\"spec\"".to_owned(),
        shard: "\"shard\"".to_owned(),
        directive: "1".to_owned(),
        change: 1,
        orphan_limit: None,
        start_unix_ns: shanty_rt::clock::unix_ns(),
    }
}

/// A duration as it travels; `prost_types` is not a dependency of the worker.
pub(crate) fn prost_duration<T: TryFrom<Duration>>(duration: Duration) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(duration).unwrap()
}
