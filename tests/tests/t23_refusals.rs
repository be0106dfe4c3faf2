//! What cannot be is refused or reported in one line with what helps: two nodes with one name, an etcd that does not answer
//! or is old, a store ahead of its coordinator.
//!
//! In: real processes, real etcd and PostgreSQL. Out: their logs, their ends. Never: a guess of theirs.

use shanty_proto::internal::from_worker::Message;
use shanty_proto::internal::worker_link_client::WorkerLinkClient;
use shanty_proto::internal::{FromWorker, Hello, WorkerHeartbeat};
use shanty_proto::v1;
use shanty_rt::clock;
use shanty_rt::coord::{Coord as _, Etcd, EtcdOptions, Op};
use shanty_rt::task::Scope;
use shanty_tests::cluster::{Cluster, Process, Store, binary, free_port};
use shanty_tests::databases::Postgres;
use shanty_tests::dataset::{Database, Engine};
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::patience::{eventually, until};
use std::convert::Infallible;
use std::time::Duration;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};

/// Lines of a log that contain all of `parts`.
fn lines(log: &str, parts: &[&str]) -> usize {
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

/// Waits until a process has ended by itself; answers its last line to people.
async fn gives_up(process: &mut Process, within: Duration) -> String {
    let status = until("it gives up", within, async || process.ended().ok_or("it runs")).await;
    assert!(!status.success(), "{status}");
    let log = process.log();
    let last = log.lines().rfind(|line| line.starts_with("shanty-")).unwrap_or_default();
    last.to_owned()
}

#[tokio::test]
async fn of_two_nodes_with_one_name_the_newer_gives_up_and_both_say_so() {
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let builder = Cluster::builder().masters(1).workers(1).sentinels(3).etcd(etcd.endpoints());
    let cluster = builder.start().await;
    let client = cluster.client();
    let before = client.get_cluster().await.expect("answers");

    let mut twins = [&cluster.masters[0], &cluster.sentinels[0], &cluster.workers[0]]
        .map(|node| cluster.start_twin(node));
    let [master, sentinel, worker] = &mut twins;
    let within = Duration::from_secs(40);
    let (master, sentinel, worker) = tokio::join!(
        gives_up(&mut master.process, within),
        gives_up(&mut sentinel.process, within),
        gives_up(&mut worker.process, within)
    );
    for (line, role, name) in
        [(&master, "master", "`m1`"), (&sentinel, "sentinel", "`s1`"), (&worker, "worker", "`w1`")]
    {
        assert!(line.contains(&format!("another {role}")) && line.contains(name), "{line}");
        assert!(line.contains("--node") && line.contains("stop the other"), "{line}");
    }

    let older = cluster.workers[0].process.log();
    assert_eq!(lines(&older, &["another worker tries to attach", "--node"]), 1, "{older}");
    let events = client.cluster.clone().watch_events(v1::WatchEventsRequest { after_sequence: 1 }).await;
    let mut events = events.expect("a stream").into_inner();
    let told = async {
        loop {
            let event = events.message().await.expect("an event").expect("it goes on");
            if event.reason == "WORKER_NAME_TAKEN" {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(10), told).await.expect("an event");
    assert_eq!(event.node, "nodes/w1");
    // The older ones were not disturbed.
    let now = client.get_cluster().await.expect("answers");
    assert_eq!((now.epoch, now.leader, now.workers), (before.epoch, before.leader, Some(1)));
    assert_eq!(lines(&older, &["lost the stream"]), 0, "{older}");
}

#[tokio::test]
async fn an_etcd_that_does_not_answer_is_told_once_and_waited_for() {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let args = [
        "--node",
        "m1",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &at("m1"),
        "--store",
        &format!("sqlite://{}", at("shanty.db")),
        "--etcd",
        &format!("127.0.0.1:{port}"),
    ];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut master =
        Process::start("m1", folder.path(), &binary::program("shanty-master"), &args).expect("started");
    let told = |log: &str| lines(log, &["WARN", "etcd does not answer", "etcd.endpoints", "--etcd"]);
    eventually("it says so", Duration::from_secs(15), async || told(&master.log()) > 0).await;
    // Several more tries: none of them is worth a line.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(told(&master.log()), 1, "{}", master.log());
    assert!(master.ended().is_none(), "it waits");
}

/// A member of etcd that tells its version, which no package has any more, and does nothing else.
#[derive(Clone)]
struct OldEtcd;

/// etcd's `StatusResponse`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct EtcdStatus {
    #[prost(string, tag = "2")]
    version: String,
}

impl tonic::server::NamedService for OldEtcd {
    const NAME: &'static str = "etcdserverpb.Maintenance";
}

impl tonic::server::UnaryService<()> for OldEtcd {
    type Response = EtcdStatus;
    type Future = BoxFuture<tonic::Response<EtcdStatus>, tonic::Status>;

    fn call(&mut self, _: tonic::Request<()>) -> Self::Future {
        Box::pin(async { Ok(tonic::Response::new(EtcdStatus { version: "3.3.27".to_owned() })) })
    }
}

impl Service<http::Request<tonic::body::Body>> for OldEtcd {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let answer = async move {
            let codec = tonic_prost::ProstCodec::<EtcdStatus, ()>::default();
            Ok(tonic::server::Grpc::new(codec).unary(OldEtcd, request).await)
        };
        Box::pin(answer)
    }
}

#[tokio::test]
async fn an_etcd_that_is_too_old_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let etcd = listener.local_addr().expect("an address").to_string();
    let mut scope = Scope::new();
    scope.spawn("old etcd", async move {
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder()
            .add_service(OldEtcd)
            .serve_with_incoming(incoming)
            .await
            .expect("serves");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let store = format!("sqlite://{}", at("shanty.db"));
    let master = at("m1");
    for (program, node, more) in [
        ("shanty-master", "m1", &["--listen", "127.0.0.1:0", "--data", &master, "--store", &store][..]),
        ("shanty-sentinel", "s1", &["--listen", "127.0.0.1:0", "--members", "s1,s2,s3"]),
    ] {
        let common = ["--node", node, "--etcd", &etcd];
        let args: Vec<String> = common.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
        let mut process =
            Process::start(node, folder.path(), &binary::program(program), &args).expect("started");
        let line = gives_up(&mut process, Duration::from_secs(20)).await;
        assert!(line.contains("version 3.3.27, which is too old") && line.contains("at least 3.4"), "{line}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_told_once_and_waited_for() {
    let Some(mut postgres) = Postgres::start() else { return };
    let store = postgres.url();
    postgres.kill();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("m1").display().to_string();
    let args = ["--node", "m1", "--listen", "127.0.0.1:0", "--data", &data, "--store", &store];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut master =
        Process::start("m1", folder.path(), &binary::program("shanty-master"), &args).expect("started");
    let told =
        |log: &str| lines(log, &["WARN", "waiting for the store", "refused", "look whether the server runs"]);
    eventually("it says so", Duration::from_secs(15), async || told(&master.log()) > 0).await;
    // Several more tries: none of them is worth a line.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(told(&master.log()), 1, "{}", master.log());
    assert!(master.ended().is_none(), "it waits");
    postgres.restart();
    eventually("it listens", Duration::from_secs(20), async || {
        lines(&master.log(), &["master listening"]) == 1
    })
    .await;
}

#[tokio::test]
async fn a_store_that_was_set_back_while_nobody_led_is_told() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let builder = Cluster::builder().workers(0).etcd(etcd.endpoints());
    let url = postgres.url();
    let mut cluster = builder.store(Store::Url(url.clone())).start().await;
    for _ in 0..2 {
        cluster.restart_master(0);
        until("it leads again", Duration::from_secs(20), async || cluster.client().get_cluster().await).await;
    }
    let now = cluster.client().get_cluster().await.expect("answers");
    assert_eq!(now.warnings, Vec::<String>::new(), "as it should be");

    cluster.masters[0].process.kill9();
    // As a copy of before the last terms would have it.
    let database = Database { engine: Engine::Postgres, url };
    database.run(&["UPDATE fence SET epoch = 1"]).await;
    cluster.restart_master(0);
    let words = ["the store was set back", "restored from a backup", "stop all masters before"];
    let found = until("a warning", Duration::from_secs(20), async || {
        let now = cluster.client().get_cluster().await.map_err(|status| status.to_string())?;
        now.warnings.first().cloned().ok_or_else(|| format!("{now:?}"))
    })
    .await;
    assert!(words.iter().all(|word| found.contains(word)), "{found}");
    let log = cluster.masters[0].process.log();
    assert_eq!(lines(&log, &["WARN", words[0]]), 1, "{log}");
}

#[tokio::test]
async fn an_etcd_that_was_emptied_is_told_and_the_term_is_raised_above_the_stores() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(etcd) = EtcdCluster::start(1) else { return };
    // One database for both lives of the cluster.
    let store = postgres.url();
    let begin = async |etcd: &EtcdCluster| {
        let builder = Cluster::builder().workers(0).etcd(etcd.endpoints());
        builder.store(Store::Url(store.clone())).start().await
    };
    let cluster = begin(&etcd).await;
    let epoch = cluster.client().get_cluster().await.expect("answers").epoch;
    drop((cluster, etcd));
    let Some(empty) = EtcdCluster::start(1) else { return };
    let cluster = begin(&empty).await;
    eventually("the term is raised", Duration::from_secs(10), async || {
        cluster.client().get_cluster().await.is_ok_and(|now| now.epoch > epoch)
    })
    .await;
    let log = cluster.masters[0].process.log();
    assert_eq!(
        lines(&log, &["WARN", "the store is ahead of etcd", "Nothing is lost", "master.store"]),
        1,
        "{log}"
    );
    let terms =
        cluster.client().cluster.clone().list_terms(v1::ListTermsRequest::default()).await.expect("terms");
    let reason = terms.into_inner().terms.remove(0).start_reason;
    assert!(reason.contains("ahead of the coordinator"), "{reason}");
}

#[tokio::test]
async fn an_etcd_that_is_out_of_space_is_told_with_what_helps() {
    let Some(etcd) = EtcdCluster::start_with(&[None], &["--quota-backend-bytes=8388608"]) else { return };
    let Some(postgres) = Postgres::start() else { return };
    let builder = Cluster::builder().masters(2).workers(0).etcd(etcd.endpoints());
    let mut cluster = builder.store(Store::Url(postgres.url())).start().await;
    let leader = cluster.leader().await;
    let client = cluster.client_of(leader);
    assert_eq!(client.get_cluster().await.expect("answers").warnings, Vec::<String>::new());

    let coord = Etcd::connect(EtcdOptions::new(etcd.endpoints())).expect("addresses");
    let mut made = 0;
    until("etcd is full", Duration::from_secs(30), async || {
        made += 1;
        let put = Op::Put { key: format!("/noise/{made}"), value: vec![b'x'; 1 << 20], lease: None };
        match coord.txn(Vec::new(), vec![put]).await {
            Err(error) if error.to_string().contains("out of space") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let words = ["etcd is out of space", "etcdctl defrag", "etcdctl alarm disarm"];
    let warned = async || {
        let now = client.get_cluster().await.map_err(|status| status.to_string())?;
        Ok::<_, String>(now.warnings.iter().any(|warning| words.iter().all(|word| warning.contains(word))))
    };
    eventually("a warning", Duration::from_secs(15), async || warned().await == Ok(true)).await;
    assert_eq!(lines(&cluster.masters[leader].process.log(), &["WARN", words[0], words[2]]), 1);

    let resign = v1::TransferLeadershipRequest::default();
    let refusal = client.cluster.clone().transfer_leadership(resign).await.expect_err("nobody could follow");
    assert!(words.iter().all(|word| refusal.message().contains(word)), "{refusal:?}");

    // Nobody can follow who led; whoever tries says why, once.
    cluster.restart_master(leader);
    let refused = ["WARN", "this master cannot", words[0], words[2]];
    eventually("it says why nobody leads", Duration::from_secs(30), async || {
        lines(&cluster.masters[leader].process.log(), &refused) == 1
    })
    .await;
    etcd.make_room("/noise/").expect("room");
    eventually("somebody leads, and the warning is gone", Duration::from_secs(20), async || {
        let led = client.get_cluster().await.is_ok_and(|now| !now.leader.is_empty());
        led && warned().await == Ok(false)
    })
    .await;
    assert_eq!(lines(&cluster.masters[leader].process.log(), &refused), 1);
}

/// A worker that only says that it is there, by a clock that is `late` behind.
async fn beat(address: String, late: Duration) {
    let (say, said) = tokio::sync::mpsc::channel(4);
    let message = |message| FromWorker { message: Some(message) };
    let hello = Hello { worker: "late".into(), incarnation: "1".into(), slots: 1, ..Hello::default() };
    say.send(message(Message::Hello(hello))).await.expect("room");
    let mut client = WorkerLinkClient::connect(format!("http://{address}")).await.expect("connected");
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut incoming = client.attach(outgoing).await.expect("attached").into_inner();
    for sequence in 1.. {
        let unix_ns = clock::unix_ns() - i64::try_from(late.as_nanos()).expect("short");
        let beat = WorkerHeartbeat { sequence, unix_ns, ..WorkerHeartbeat::default() };
        say.send(message(Message::Heartbeat(beat))).await.expect("the stream stands");
        // Its answers, one for each beat.
        incoming.message().await.expect("a word").expect("the stream stands");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_apart_is_told_and_shown() {
    let cluster = Cluster::builder().workers(0).start().await;
    let mut scope = Scope::new();
    scope.spawn("late worker", beat(cluster.masters[0].address.clone(), Duration::from_secs(7)));
    let client = cluster.client();
    let warning = until("a warning", Duration::from_secs(20), async || {
        let now = client.get_cluster().await.map_err(|status| status.to_string())?;
        now.warnings.first().cloned().ok_or_else(|| format!("{now:?}"))
    })
    .await;
    assert_eq!(warning, "the clock of late is 7.0 s behind the leader's: let NTP set both");
    let log = cluster.masters[0].process.log();
    assert_eq!(lines(&log, &["CLOCK_APART", "late", "NTP"]), 1, "{log}");
}
