//! `shanty demo` as a stranger runs it, and that it leaves nothing behind however it ends.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what a test needs fails it by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{command, shanty, signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::sync::Mutex;

/// One demo at a time: each is a whole cluster, and how long it takes is judged.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Whether there is an etcd on this machine; `tests/run` sees to it that there is.
fn etcd_is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].map(PathBuf::from);
    let here = std::env::split_paths(&path).chain(places).any(|folder| folder.join("etcd").is_file());
    assert!(
        here || std::env::var_os("SHANTY_REQUIRE_SERVICES").is_none(),
        "no etcd: apt-get install etcd-server"
    );
    here
}

/// Processes that have `folder` on their command line.
fn processes_of(folder: &Path) -> Vec<String> {
    let wanted = folder.display().to_string();
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.contains(&wanted).then(|| line.replace('\0', " "))
    });
    lines.collect()
}

fn folder_in(err: &str) -> PathBuf {
    let first = err.lines().next().expect("a first line");
    PathBuf::from(first.rsplit(' ').next().unwrap())
}

/// Reads standard error until `text` has come.
async fn until(child: &mut Child, text: &str) -> String {
    let mut err = child.stderr.take().unwrap();
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            let mut buffer = [0; 4096];
            let n = err.read(&mut buffer).await.unwrap();
            assert!(n > 0, "ended before {text}: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("within 30 s");
    child.stderr = Some(err);
    String::from_utf8(read).unwrap()
}

async fn gone(folder: &Path) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let left = processes_of(folder);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_demo_shows_it_all_within_20_seconds_and_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let began = Instant::now();
    let ran = shanty(&["demo"], "").await;
    let took = began.elapsed();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(took < Duration::from_secs(20), "took {took:?}");
    for part in ["run change adhoc.1 --rate 2000", "kill -9 ", " % → 0.0 %, w3 ", "grpcurl -plaintext"] {
        assert!(ran.err.contains(part), "{part} is missing in\n{}", ran.err);
    }
    for part in ["✓ SUCCEEDED", "P99.9", "lateness", "lost on the way", "HTTP 200", "p99_ms<250", "offered"]
    {
        assert!(ran.out.contains(part), "{part} is missing in\n{}", ran.out);
    }
    let folder = folder_in(&ran.err);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(processes_of(&folder), Vec::<String>::new());
}

#[tokio::test]
async fn the_demo_of_a_failover_loses_no_arrival_with_its_leader_and_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let began = Instant::now();
    let ran = shanty(&["demo", "--kind", "failover"], "").await;
    let took = began.elapsed();
    if !etcd_is_here() {
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("next: apt-get install etcd-server"), "{ran:?}");
        eprintln!("skipped: no etcd (apt-get install etcd-server)");
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(took < Duration::from_secs(25), "took {took:?}");
    for part in [
        "kill -9 ",
        "first evidence, HARD: ",
        " ends term 1 with the votes of s",
        " has the leader key: term 2",
        " has fenced the store",
        "w1, w2, w3 obey m",
        "$ shanty cluster switchover",
        " handed over to m",
        "✓ at the target: 9,000 of 9,000 arrivals",
        " cluster why",
    ] {
        assert!(ran.err.contains(part), "{part} is missing in\n{}", ran.err);
    }
    for part in ["✓ SUCCEEDED", "p99_ms<250", "HTTP 200"] {
        assert!(ran.out.contains(part), "{part} is missing in\n{}", ran.out);
    }
    let folder = folder_in(&ran.err);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(processes_of(&folder), Vec::<String>::new());
}

#[tokio::test]
async fn the_demo_of_a_sync_loses_no_row_with_a_worker_and_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let began = Instant::now();
    let ran = shanty(&["demo", "--kind", "sync"], "").await;
    let took = began.elapsed();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(took < Duration::from_secs(25), "took {took:?}");
    for part in ["kill -9 ", " goes on with ", "240,000 orders, 60,000 visits; none missing", "\"db_sync\""] {
        assert!(ran.err.contains(part), "{part} is missing in\n{}", ran.err);
    }
    for part in ["✓ SUCCEEDED", "EQUAL", "300,000 rows", "orders", "visits", "read back", "w1"] {
        assert!(ran.out.contains(part), "{part} is missing in\n{}", ran.out);
    }
    let folder = folder_in(&ran.err);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert_eq!(processes_of(&folder), Vec::<String>::new());
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_and_everything_in_it() {
    let _alone = ALONE.lock().await;
    let mut child = command(&["demo"]).spawn().unwrap();
    let err = until(&mut child, "RUNNING").await;
    let folder = folder_in(&err);
    assert_eq!(processes_of(&folder).len(), 4, "a master and three workers");
    signal(&child, rustix::process::Signal::INT);
    let status = tokio::time::timeout(Duration::from_secs(10), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(!folder.exists());
    gone(&folder).await;
}

#[tokio::test]
async fn a_demo_that_is_killed_takes_its_children_along() {
    let _alone = ALONE.lock().await;
    // With etcd among them, a program of others. Sentinels have no folder.
    let kinds = [("load", 4), ("failover", 10)];
    for (kind, processes) in kinds.into_iter().take(if etcd_is_here() { 2 } else { 1 }) {
        let mut child = command(&["demo", "--kind", kind]).spawn().unwrap();
        let err = until(&mut child, "RUNNING").await;
        let folder = folder_in(&err);
        assert_eq!(processes_of(&folder).len(), processes, "{kind}: {:?}", processes_of(&folder));
        child.kill().await.unwrap();
        gone(&folder).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
