//! The peers of the failover benchmark: Redis Sentinel, and a lock of etcd under a lease.
//!
//! In: settings. Out: seconds from the fault until the successor works. Each try has its own processes, ended with it.

use anyhow::Context as _;
use shanty_tests::cluster::{Process, free_port};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// For one answer.
const ANSWER: Duration = Duration::from_millis(300);
/// For a failover.
const PATIENCE: Duration = Duration::from_secs(30);

/// Seconds from the fault until a replica takes a write: one master, two replicas, three sentinels.
pub(crate) async fn redis(down_after_ms: u32, fault: &str) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut servers = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let mut args = vec!["--port".to_owned(), port.to_string(), "--save".to_owned(), String::new()];
        args.extend(["--dir".to_owned(), folder.path().display().to_string()]);
        if at > 0 {
            args.extend(["--replicaof".to_owned(), "127.0.0.1".to_owned(), ports[0].to_string()]);
        }
        servers.push(Process::start(
            &format!("redis-{at}"),
            folder.path(),
            Path::new("redis-server"),
            &args,
        )?);
    }
    for port in &ports[1..] {
        until(async || {
            ask(*port, "INFO replication").await.is_some_and(|said| said.contains("master_link_status:up"))
        })
        .await?;
    }
    let mut sentinels = Vec::new();
    let mut sentinel_ports = Vec::new();
    for at in 0..3 {
        let port = free_port();
        let file: PathBuf = folder.path().join(format!("sentinel-{at}.conf"));
        let text = format!(
            "port {port}\ndir {}\nsentinel monitor m 127.0.0.1 {} 2\nsentinel down-after-milliseconds m {down_after_ms}\n\
             sentinel failover-timeout m 10000\n",
            folder.path().display(),
            ports[0]
        );
        std::fs::write(&file, text)?;
        let args = [file.display().to_string(), "--sentinel".to_owned()];
        let name = format!("redis-sentinel-{at}");
        sentinels.push(Process::start(&name, folder.path(), Path::new("redis-server"), &args)?);
        sentinel_ports.push(port);
    }
    for port in &sentinel_ports {
        until(async || {
            ask(*port, "SENTINEL CKQUORUM m").await.is_some_and(|said| said.contains("3 usable"))
                && ask(*port, "SENTINEL replicas m")
                    .await
                    .is_some_and(|said| said.matches("master-link-status").count() == 2)
        })
        .await?;
    }
    let began = Instant::now();
    match fault {
        "STOP" => servers[0].stop(),
        _ => servers[0].kill9(),
    }
    loop {
        for port in &ports[1..] {
            if ask(*port, "SET k v").await.is_some_and(|said| said.starts_with("+OK")) {
                return Ok(began.elapsed().as_secs_f64());
            }
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "no replica took a write");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Seconds from the death of a lock's holder until the next one has it.
pub(crate) async fn etcd_lock(endpoints: &[String]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let holder = |name: &str| {
        let args = ["--endpoints", &endpoints.join(","), "lock", "--ttl=5", "leader"].map(str::to_owned);
        Process::start(name, folder.path(), Path::new("etcdctl"), &args)
    };
    // It prints its key when it has the lock.
    let mut first = holder("first")?;
    until(async || first.log().contains("leader/")).await?;
    let second = holder("second")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    anyhow::ensure!(!second.log().contains("leader/"), "two have one lock");
    let began = Instant::now();
    first.kill9();
    until(async || second.log().contains("leader/")).await?;
    Ok(began.elapsed().as_secs_f64())
}

async fn until(condition: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !condition().await {
        anyhow::ensure!(began.elapsed() < PATIENCE, "the peer did not get ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// An inline command of Redis's protocol and the beginning of its answer.
async fn ask(port: u16, command: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("connect")?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut answer = vec![0; 16 << 10];
        let read = stream.read(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    };
    tokio::time::timeout(ANSWER, asked).await.ok()?.ok()
}
