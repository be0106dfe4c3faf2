//! `shanty dev` as a process: a cluster in one command, that finds its runs again.

mod support;

use support::dev::dev;
use support::{command, shanty};

#[tokio::test]
async fn a_cluster_in_one_command_runs_a_load_test_and_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut server = command(&["target", "--listen", &target]).spawn().unwrap();
    let cluster = dev(folder.path(), "2", &[]).await;
    let nodes = cluster.shanty(&["node", "list"]).await;
    assert_eq!(nodes.code, 0, "{nodes:?}");
    assert_eq!(nodes.out.matches("READY").count(), 3, "{}", nodes.out);
    let url = format!("--url=http://{target}/");
    let ran = cluster
        .shanty(&["run", "start", &url, "--rate=200", "--duration=2s", "--threshold=error_rate<0.01"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("✓ SUCCEEDED") && ran.out.contains("HTTP 200"), "{}", ran.out);
    let missed =
        cluster.shanty(&["run", "start", &url, "--rate=50", "--duration=1s", "--threshold=p50_ms<0"]).await;
    assert_eq!(missed.code, 99, "{missed:?}");
    assert_eq!(cluster.interrupt().await, Some(0));

    let again = dev(folder.path(), "0", &[]).await;
    let runs = again.shanty(&["run", "list", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&runs.out).unwrap();
    assert_eq!(json["runs"][1]["name"], "runs/adhoc.1", "{runs:?}");
    assert_eq!(json["runs"][1]["state"], "SUCCEEDED", "{runs:?}");
    let report = again.shanty(&["run", "report", "adhoc.1", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(json["httpLoad"]["scheduled"], "400", "{report:?}");
    assert_eq!(again.interrupt().await, Some(0));
    server.kill().await.unwrap();
}

#[tokio::test]
async fn the_real_server_answers_its_descriptors_and_refuses_readably() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = dev(folder.path(), "0", &[]).await;
    let listed = cluster.shanty(&["api", "list"]).await;
    assert!(listed.out.contains("shanty.v1.RunService") && !listed.out.contains("internal"), "{listed:?}");
    let described = cluster.shanty(&["api", "describe", "HttpLoadSpec"]).await;
    assert!(described.out.contains("// Arrivals per second over all workers together"), "{described:?}");
    let data = r#"{"spec":{"http_load":{"url":"ftp://h/","rate":-1}}}"#;
    let refused = cluster.shanty(&["call", "RunService/StartRun", "-d", data]).await;
    assert_eq!(refused.code, 67, "{refused:?}");
    assert!(
        refused.err.contains("google.rpc.BadRequest") && refused.err.contains("spec.http_load"),
        "{}",
        refused.err
    );
    let plain = cluster.shanty(&["run", "start", "--url=ftp://h/", "--rate=0"]).await;
    assert_eq!(plain.code, 67, "{plain:?}");
    assert!(
        plain.err.lines().filter(|line| line.starts_with("  spec.http_load.")).count() >= 2,
        "{}",
        plain.err
    );
    let unknown = cluster.shanty(&["run", "get", "adhoc.7"]).await;
    assert_eq!(unknown.code, 69, "{unknown:?}");
    assert_eq!(cluster.interrupt().await, Some(0));
}

#[tokio::test]
async fn a_taken_port_is_one_readable_line_and_a_next_step() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let ran = shanty(&["dev", "--listen", &addr, "--data", &folder.path().display().to_string()], "").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(&format!("cannot listen on {addr}: the port is taken by ")), "{}", ran.err);
    assert!(ran.err.contains("--listen 127.0.0.1:0"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
}

#[tokio::test]
async fn jobs_are_kept_changed_run_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = dev(folder.path(), "1", &[]).await;
    let flags = ["--url=http://127.0.0.1:1/", "--rate=10", "--duration=1s"];
    let with = |words: &[&'static str]| [words, &flags[..]].concat();
    let made = cluster
        .shanty(&with(&["job", "create", "nightly", "--title", "At night", "--label", "team=shop"]))
        .await;
    assert_eq!((made.code, made.out.contains("nightly created")), (0, true), "{made:?}");
    let twice = cluster.shanty(&with(&["job", "create", "nightly"])).await;
    assert_eq!(twice.code, 70, "{twice:?}");
    let got = cluster.shanty(&["job", "get", "nightly", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&got.out).unwrap();
    assert_eq!((&json["labels"]["team"], &json["title"]), (&"shop".into(), &"At night".into()), "{got:?}");
    let stale = cluster.shanty(&with(&["job", "update", "nightly", "--etag", "stale"])).await;
    assert_eq!(stale.code, 74, "{stale:?}");
    let updated = cluster.shanty(&with(&["job", "update", "nightly", "--title", "Late"])).await;
    assert_eq!(updated.code, 0, "{updated:?}");
    assert!(cluster.shanty(&["job", "list"]).await.out.contains("Late"));
    // Nothing listens on port 1: the run does its work, and all of it is errors.
    let ran = cluster.shanty(&["job", "run", "nightly"]).await;
    assert!(ran.out.contains("nightly.1") && ran.out.contains("connect_refused"), "{ran:?}");
    assert_eq!(cluster.shanty(&["job", "run", "nihgtly"]).await.code, 69);
    let deleted = cluster.shanty(&["job", "delete", "nightly"]).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(cluster.shanty(&["job", "get", "nightly"]).await.code, 69);
    assert!(cluster.shanty(&["run", "list"]).await.out.contains("nightly.1"), "its runs stay");
    assert_eq!(cluster.interrupt().await, Some(0));
}
