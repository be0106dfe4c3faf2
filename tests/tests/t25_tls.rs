//! Everything over TLS: a failover, a rotation of all certificates and of their authority under load, and what those are
//! told who have no certificate, a wrong one, or none that anybody asks for.
//!
//! In: real clusters whose nodes have certificates of an [`Authority`] of the test. Out: who got in, what arrived at the
//! target, what was said. Never: trusts the report alone; takes a silent refusal for one that can be read.

use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_rt::tls::{self, Refusal};
use shanty_tests::certificates::{Authority, Certificates};
use shanty_tests::cluster::{Builder, Client, Cluster, Node, Process, Store, binary, free_port};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::origin::Origin;
use shanty_tests::patience::{eventually, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

const RATE: u32 = 200;
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const NODES: [&str; 9] = ["m1", "m2", "m3", "s1", "s2", "s3", "w1", "w2", "client"];

/// Writes what all nodes show and trust.
fn write_all(certificates: &Certificates, signer: &Authority, left: Duration, trusted: &[&Authority]) {
    let authorities: String = trusted.iter().map(|authority| authority.pem()).collect();
    for node in NODES {
        certificates.write(node, &signer.issue(node, Some(left)), &authorities);
    }
}

struct Fleet {
    cluster: Cluster,
    certificates: Certificates,
    authority: Authority,
    _folder: tempfile::TempDir,
    _postgres: Postgres,
    _etcd: EtcdCluster,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());

/// Three masters, three sentinels, two workers, all over TLS; none where a service is missing.
async fn fleet() -> Option<Fleet> {
    let alone = ALONE.lock().await;
    let etcd = EtcdCluster::start(3)?;
    let postgres = Postgres::start()?;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificates, authority) = (Certificates::below(folder.path()), Authority::new("old"));
    write_all(&certificates, &authority, MONTH, &[&authority]);
    let cluster = Cluster::builder()
        .masters(3)
        .workers(2)
        .sentinels(3)
        .etcd(etcd.endpoints())
        .store(Store::Url(postgres.url()))
        .tls(&certificates)
        .start()
        .await;
    Some(Fleet {
        cluster,
        certificates,
        authority,
        _folder: folder,
        _postgres: postgres,
        _etcd: etcd,
        _alone: alone,
    })
}

async fn start(client: &Client, origin: &Origin, seconds: u32) -> v1::Run {
    let duration = format!("{seconds}s");
    let request =
        json!({ "spec": { "http_load": { "url": origin.url(), "rate": RATE, "duration": duration } } });
    let run = client.start(&request).await.expect("accepted");
    let begun = i64::from(RATE);
    eventually("the load has begun", Duration::from_secs(20), async || origin.count() > begun).await;
    run
}

/// The run has succeeded, and report and target agree on each arrival of the schedule.
async fn is_exact(client: &Client, run: &v1::Run, origin: &Origin, seconds: u32) {
    let run = until("the run ends", Duration::from_secs(90), async || client.wait(&run.name).await).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    let all = i64::from(RATE * seconds);
    assert_eq!((report.scheduled, report.sent, origin.count()), (all, all, all), "{report:?}");
    assert_eq!((report.dropped, report.lost, report.errors), (0, 0, 0), "{report:?}");
}

#[tokio::test]
async fn a_cluster_whose_etcd_asks_for_certificates_and_users_fails_over() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificates, authority) = (Certificates::below(folder.path()), Authority::new("etcd's"));
    for node in ["etcd", "client"] {
        certificates.write(node, &authority.issue(node, Some(MONTH)), &authority.pem());
    }
    let Some(etcd) = EtcdCluster::start_over_tls(1, &certificates) else { return };
    let Some(postgres) = Postgres::start() else { return };
    etcd.ask_for_users("/shanty/");
    let tls = certificates.of("client");
    let role = |role: &str| {
        format!(
            "[{role}.etcd]\nendpoints = [\"{}\"]\nuser = \"shanty\"\npassword = \"hunter2\"\n[{role}.etcd.tls]\n\
             certificate = {:?}\nkey = {:?}\nauthority = {:?}\n",
            etcd.endpoints()[0],
            tls.certificate,
            tls.key,
            tls.authority
        )
    };
    let config = ["master", "worker", "sentinel"].map(role).concat().parse().expect("TOML");
    let mut cluster = Cluster::builder()
        .masters(2)
        .sentinels(3)
        .etcd(etcd.endpoints())
        .config(config)
        .store(Store::Url(postgres.url()))
        .start()
        .await;
    let leader = cluster.leader().await;
    let other = cluster.client_of((leader + 1) % 2);
    // A master that has not registered yet is one that sentinels do not know, and this etcd takes its time for passwords.
    let before = until("both masters are registered", Duration::from_secs(20), async || {
        let now = other.get_cluster().await.map_err(|status| status.to_string())?;
        if now.masters == Some(2) { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_eq!((before.coordinator.as_str(), before.voters.len()), ("etcd", 3));
    cluster.masters[leader].process.kill9();
    // Quicker than its lease: the sentinels have voted, and ended the term.
    eventually("another master leads", Duration::from_secs(3), async || {
        other.get_cluster().await.is_ok_and(|now| !now.leader.is_empty() && now.epoch > before.epoch)
    })
    .await;
    let logs = cluster.masters.iter().chain(&cluster.sentinels).chain(&cluster.workers);
    logs.for_each(|node| {
        assert!(!node.process.log().contains("hunter2"), "{} tells the password", node.name)
    });
}

#[tokio::test]
async fn a_cluster_over_tls_does_its_work_and_fails_over() {
    let Some(mut fleet) = fleet().await else { return };
    let cluster = &mut fleet.cluster;
    let origin = Origin::start();
    let leader = cluster.leader().await;
    let other = cluster.client_of((leader + 1) % 3);
    // A standby hands the call on: masters speak TLS with each other too.
    let run = start(&other, &origin, 12).await;
    let old = format!("nodes/{}", cluster.masters[leader].name);
    cluster.masters[leader].process.kill9();
    eventually("another master leads", Duration::from_secs(20), async || {
        other.get_cluster().await.is_ok_and(|now| !now.leader.is_empty() && now.leader != old)
    })
    .await;
    is_exact(&other, &run, &origin, 12).await;
    let plaintext = Client::new(&cluster.masters[(leader + 1) % 3].address);
    plaintext.get_cluster().await.expect_err("nobody gets in without a certificate");
}

/// How often all nodes together said this.
fn said(nodes: &[Node], words: &str) -> usize {
    nodes.iter().map(|node| node.process.log().matches(words).count()).sum()
}

/// What would tell of a stream that did not stand: terms that ended, workers and masters that attached or joined anew.
fn breaks(cluster: &Cluster) -> [usize; 4] {
    [
        said(&cluster.workers, "attached to master"),
        said(&cluster.workers, "lost the stream"),
        said(&cluster.sentinels, "term ended"),
        said(&cluster.sentinels, "votes against the leader"),
    ]
}

/// Waits until each node has read what is in its files.
async fn read_anew(cluster: &Cluster, certificates: &Certificates) {
    let nodes = || cluster.masters.iter().chain(&cluster.workers).chain(&cluster.sentinels);
    until("certificates are read anew", Duration::from_secs(30), async || {
        let behind = |node: &&Node| {
            let end = certificates.open(&node.name).not_after();
            let words = tls::remaining(end, end).expect("it is over by then");
            let date = words.split(['(', ')']).nth(1).expect("its date").to_owned();
            let log = node.process.log();
            !log.lines().any(|line| line.contains("certificates read anew") && line.contains(&date))
        };
        match nodes().find(behind) {
            Some(node) => Err(format!("{}: {}", node.name, node.process.last_words())),
            None => Ok(()),
        }
    })
    .await;
}

#[tokio::test]
async fn certificates_and_their_authority_change_under_load_and_nothing_drops() {
    const SECONDS: u32 = 40;
    let Some(fleet) = fleet().await else { return };
    let (cluster, certificates, old) = (&fleet.cluster, &fleet.certificates, &fleet.authority);
    let new = Authority::new("new");
    // Somebody who keeps to the old authority.
    certificates.write("late", &old.issue("late", Some(MONTH)), &format!("{}{}", old.pem(), new.pem()));
    let late = certificates.open("late");

    let origin = Origin::start();
    let client = cluster.client();
    let run = start(&client, &origin, SECONDS).await;
    let (before, term) = (breaks(cluster), client.get_cluster().await.expect("answers").epoch);

    let steps: [(&Authority, Duration, &[&Authority]); 4] = [
        (old, 2 * MONTH, &[old]),
        (old, 3 * MONTH, &[old, &new]),
        (&new, 4 * MONTH, &[old, &new]),
        (&new, 5 * MONTH, &[&new]),
    ];
    for (signer, left, trusted) in steps {
        write_all(certificates, signer, left, trusted);
        // Nodes look at their files each on its own; the client of this test looks when it is told to.
        read_anew(cluster, certificates).await;
        cluster.credentials().reload().await.expect("they fit");
        let address = &cluster.masters[0].address;
        let until_now = certificates.open("m1").not_after();
        until("new connections use them", Duration::from_secs(10), async || {
            let fresh = cluster.client().get_cluster().await.map_err(|status| status.to_string())?;
            match cluster.credentials().met(address) {
                Some(met) if met == until_now => Ok(fresh),
                met => Err(format!("{met:?} is shown, {until_now} is in the file")),
            }
        })
        .await;
        assert!(!origin_is_over(&client, &run).await, "the load goes on meanwhile");
    }
    assert_eq!(breaks(cluster), before, "streams stand");
    assert_eq!(client.get_cluster().await.expect("answers").epoch, term, "the same term");

    let address = &cluster.masters[0].address;
    let endpoint = tls::endpoint(address, Some(&late)).expect("an address");
    let error = tls::connect(&endpoint, Some(&late)).await.expect_err("the old authority is gone");
    let refusal = Refusal::below(&error).expect("a refusal").to_string();
    assert!(refusal.contains("no authority that it knows has signed it"), "{refusal}");
    is_exact(&client, &run, &origin, SECONDS).await;
    assert_eq!(breaks(cluster), before, "streams stand to the end");
}

async fn origin_is_over(client: &Client, run: &v1::Run) -> bool {
    client.run(&run.name).await.is_ok_and(|run| run.end_time.is_some())
}

/// What `shanty` says on standard error, and its exit code.
fn shanty(args: &[String]) -> (Option<i32>, String) {
    let output = Command::new(binary::shanty()).args(args).env("NO_COLOR", "1").output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn words(words: &[&str], flags: Vec<String>) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain(flags).collect()
}

/// A small cluster over TLS with etcd, and folders with certificates that it does not want.
struct Small {
    cluster: Cluster,
    certificates: Certificates,
    folder: tempfile::TempDir,
    etcd: EtcdCluster,
    _alone: MutexGuard<'static, ()>,
}

async fn small(left: Duration, change: impl FnOnce(Builder) -> Builder) -> Option<Small> {
    let alone = ALONE.lock().await;
    let etcd = EtcdCluster::start(1)?;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificates, ours) = (Certificates::below(folder.path()), Authority::new("ours"));
    write_all(&certificates, &ours, left, &[&ours]);
    certificates.write("expired", &ours.issue("expired", None), &ours.pem());
    // It trusts our authority, and is of another.
    certificates.write("stranger", &Authority::new("theirs").issue("x", Some(MONTH)), &ours.pem());
    let builder = Cluster::builder().workers(1).etcd(etcd.endpoints()).tls(&certificates);
    let cluster = change(builder).start().await;
    Some(Small { cluster, certificates, folder, etcd, _alone: alone })
}

/// A process of a node that will not get on; what it says is to hold these words.
async fn says(process: &Process, part: &str) {
    until(&format!("{} says it", process.name()), Duration::from_secs(20), async || {
        let log = process.log();
        if log.contains(part) { Ok(()) } else { Err(format!("{part}: {log}")) }
    })
    .await;
}

fn node(program: &str, name: &str, folder: &Path, args: &[String]) -> Process {
    Process::start(name, folder, &binary::program(program), args).expect("the process starts")
}

#[tokio::test]
async fn whoever_has_no_certificate_of_the_authority_is_refused_in_words() {
    let Some(small) = small(MONTH, |builder| builder).await else { return };
    let (certificates, folder) = (&small.certificates, small.folder.path());
    let address = small.cluster.masters[0].address.as_str();
    let status = ["cluster", "status", "--timeout", "5s", "--addr"];
    let status = |address: &str, flags| shanty(&words(&[&status[..], &[address]].concat(), flags));

    let (code, text) = status(address, certificates.flags("client"));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = status(&format!("https://{address}"), certificates.flags("client"));
    assert_eq!(code, Some(0), "{text}");
    for (who, part) in
        [("stranger", "no authority that it knows has signed it"), ("expired", "`certificate` has expired")]
    {
        let (code, text) = status(address, certificates.flags(who));
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains(part) && text.lines().count() == 2, "{who}: {text}");
    }
    let (_, text) = status(address, Vec::new());
    assert!(text.contains("it speaks TLS") && text.contains("--tls-authority"), "{text}");
    let (_, text) = status(&format!("https://{address}"), Vec::new());
    assert!(text.contains("TLS needs a certificate"), "{text}");
    until("the master's log says who came", Duration::from_secs(5), async || {
        let log = small.cluster.masters[0].process.log();
        let parts = ["not signed by an authority of", "speaks plaintext to this TLS port"];
        parts.iter().all(|part| log.contains(part)).then_some(()).ok_or(log)
    })
    .await;

    let endpoints = small.etcd.endpoints().join(",");
    let cluster = ["--cluster", "test", "--etcd", &endpoints, "--node"];
    let worker = |who: &str| {
        let name = format!("w-{who}");
        let data = folder.join("data").join(who).display().to_string();
        let args = words(&[&cluster[..], &[&name, "--data", &data]].concat(), certificates.flags(who));
        node("shanty-worker", &name, folder, &args)
    };
    says(&worker("stranger"), "no authority that it knows has signed it").await;
    says(&worker("expired"), "`worker.tls`: `certificate` has expired").await;
    let sentinel = |who: &str| {
        let args = [&cluster[..], &["s1", "--members", "s1,s2,s3"]].concat();
        node("shanty-sentinel", &format!("s-{who}"), folder, &words(&args, certificates.flags(who)))
    };
    says(&sentinel("stranger"), "cannot probe the master").await;
    says(&sentinel("expired"), "`sentinel.tls`: `certificate` has expired").await;
    let listen = format!("127.0.0.1:{}", free_port());
    let args = words(&["--listen", &listen], certificates.flags("expired"));
    says(&node("shanty-master", "m-expired", folder, &args), "`master.tls`: `certificate` has expired").await;
}

#[tokio::test]
async fn plaintext_and_tls_ports_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificates, ours) = (Certificates::below(folder.path()), Authority::new("ours"));
    write_all(&certificates, &ours, MONTH, &[&ours]);
    let cluster = Cluster::builder().workers(1).start().await;
    let address = cluster.masters[0].address.as_str();
    let (_, text) = shanty(&words(&["cluster", "status", "--addr", address], certificates.flags("client")));
    assert!(text.contains("a plaintext port?") && text.contains("http://HOST:PORT"), "{text}");
    let plain = format!("http://{address}");
    let (code, text) = shanty(&words(&["cluster", "status", "--addr", &plain], certificates.flags("client")));
    assert_eq!(code, Some(0), "{text}");

    let data = folder.path().join("data").display().to_string();
    let args = ["--node", "w9", "--masters", address, "--data", &data];
    let worker = node("shanty-worker", "w9", folder.path(), &words(&args, certificates.flags("w1")));
    says(&worker, "a plaintext port?").await;
    assert!(cluster.masters[0].process.log().contains("speaks TLS to this plaintext port"));

    let half = words(&["cluster", "status", "--tls-key", "/nowhere/key.pem"], Vec::new());
    let (_, text) = shanty(&half);
    assert!(text.contains("`certificate` is missing"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_ends_within_a_day_is_warned_of_before_it_ends() {
    let Some(small) = small(11 * HOUR + HOUR / 2, |builder| builder).await else { return };
    let (cluster, certificates) = (&small.cluster, &small.certificates);
    let ends = "expires in 11 hours";
    let now = cluster.client().get_cluster().await.expect("answers");
    assert!(now.warnings.iter().any(|warning| warning.contains(ends)), "{:?}", now.warnings);
    says(&cluster.masters[0].process, ends).await;
    says(&cluster.workers[0].process, ends).await;
    let endpoints = small.etcd.endpoints().join(",");
    let args = ["--cluster", "test", "--etcd", &endpoints, "--node", "s1", "--members", "s1,s2,s3"];
    let flags = certificates.flags("s1");
    let sentinel = node("shanty-sentinel", "s1", small.folder.path(), &words(&args, flags));
    says(&sentinel, "the master's certificate expires in 11 hours").await;

    // A new one is taken without a restart, and the warning goes.
    let ours = Authority::new("ours too");
    let old = std::fs::read_to_string(certificates.of("m1").authority).expect("the old authority");
    let bundle = format!("{old}{}", ours.pem());
    for node in NODES {
        certificates.write(node, &ours.issue(node, Some(MONTH)), &bundle);
    }
    cluster.credentials().reload().await.expect("they fit");
    until("the warning goes", Duration::from_secs(20), async || {
        let now = cluster.client().get_cluster().await.map_err(|status| status.to_string())?;
        let told = now.warnings.iter().any(|warning| warning.contains("expires"));
        if told { Err(format!("{:?}", now.warnings)) } else { Ok(()) }
    })
    .await;
}
