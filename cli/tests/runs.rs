//! Runs as a person meets them: what is printed where, exit codes, a stream that breaks on the way.

mod support;

use shanty_proto::v1;
use std::time::Duration;
use support::{Fake, Reflection, command, shanty, signal};
use tokio::io::AsyncReadExt as _;

const START: [&str; 8] = [
    "run",
    "start",
    "--url=http://h/",
    "--rate=2k",
    "--duration=10s",
    "--threshold=p99_ms<50",
    "--poisson",
    "-H=a: b",
];

#[tokio::test]
async fn a_start_is_watched_to_its_end_and_the_report_is_the_output() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&START).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("✓ SUCCEEDED") && ran.out.contains("THRESHOLD"), "{}", ran.out);
    assert!(ran.err.contains("50 %") && !ran.out.contains("50 %"), "progress belongs to stderr: {ran:?}");
    assert!(!ran.out.contains('\x1b') && !ran.err.contains('\x1b'), "no colours without a terminal: {ran:?}");
    let starts = fake.seen.starts.lock().unwrap();
    assert_eq!(starts[0].request_id.len(), 36);
    let Some(v1::job_spec::Kind::HttpLoad(load)) = &starts[0].spec.as_ref().unwrap().kind else {
        panic!("no load")
    };
    assert_eq!((load.rate, load.arrivals()), (2000.0, v1::Arrivals::Poisson));
}

#[tokio::test]
async fn detached_prints_just_the_name() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&[&START[..], &["--detach"]].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "adhoc.1\n"), "{ran:?}");
    assert!(fake.seen.watches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_spec_comes_from_a_file_or_standard_input() {
    let fake = Fake::start(Reflection::None).await;
    let json = r#"{"http_load":{"url":"http://h/","rate":5,"duration":"1.5s"}}"#;
    let ran =
        fake.shanty_reading(&["run", "start", "-f", "-", "--detach", "--request-id", "mine"], json).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fake.seen.starts.lock().unwrap()[0].request_id, "mine");
    let ran = fake.shanty_reading(&["run", "start", "-f", "-"], "{\"http_load\":{\n\"ratee\":5}}").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("ratee") && ran.err.contains("line 2"), "{}", ran.err);
}

#[tokio::test]
async fn every_violation_has_its_line_and_the_code_is_64_more() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "start", "--url=http://bad/"]).await;
    assert_eq!(ran.code, 67, "{ran:?}");
    assert!(ran.err.contains("\n  spec.http_load.rate: must be 0.001 to 100000\n"), "{}", ran.err);
    assert!(ran.err.contains("\n  spec.http_load.duration: is missing\n"), "{}", ran.err);
    assert!(ran.err.lines().last().unwrap().starts_with("next:"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[tokio::test]
async fn the_end_of_a_run_is_the_exit_code() {
    let fake = Fake::start(Reflection::None).await;
    for (name, code) in
        [("adhoc.1", 0), ("failing.1", 3), ("lost.1", 3), ("cancelled.1", 5), ("threshold.1", 99)]
    {
        assert_eq!(fake.shanty(&["run", "watch", name]).await.code, code, "watch {name}");
        assert_eq!(fake.shanty(&["run", "wait", name]).await.code, code, "wait {name}");
    }
    assert_eq!(fake.shanty(&["run", "start", "--url=http://full/"]).await.code, 6);
    assert_eq!(fake.shanty(&["run", "get", "nothing.1"]).await.code, 69);
    assert_eq!(fake.shanty(&["run", "start"]).await.code, 2);
    assert_eq!(fake.shanty(&["no-such-noun"]).await.code, 2);
}

#[tokio::test]
async fn a_wait_that_is_over_first_is_4_and_says_that_the_run_goes_on() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "wait", "endless.1", "--timeout", "300ms"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("it goes on: shanty run watch endless.1"), "{}", ran.err);
}

#[tokio::test]
async fn a_broken_stream_is_resumed_after_the_last_event_and_the_gap_is_told() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "watch", "broken.1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let watches = fake.seen.watches.lock().unwrap().clone();
    assert_eq!(watches, [("broken.1".to_owned(), 0), ("broken.1".to_owned(), 2)]);
    assert!(ran.err.contains("leader changed m1 → m2, "), "{}", ran.err);
}

#[tokio::test]
async fn json_of_a_watch_is_a_line_for_each_event_and_nothing_else() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "watch", "broken.1", "-o", "json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let events: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|e| {
            ["snapshot", "stateChange", "progress", "done"].into_iter().find(|k| e.get(k).is_some()).unwrap()
        })
        .collect();
    assert_eq!(kinds, ["snapshot", "stateChange", "progress", "progress", "done"]);
    assert_eq!(events[4]["done"]["report"]["httpLoad"]["sent"], "1000");
}

#[tokio::test]
async fn ctrl_c_detaches_and_says_how_to_come_back() {
    let fake = Fake::start(Reflection::None).await;
    let addr = fake.addr.to_string();
    let mut child = command(&["--addr", &addr, "run", "watch", "endless.1"]).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut text = Vec::new();
    let until_progress = async {
        while !String::from_utf8_lossy(&text).contains("50 %") {
            let mut buffer = [0; 4096];
            let n = stderr.read(&mut buffer).await.unwrap();
            assert!(n > 0, "ended early: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&buffer[..n]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), until_progress).await.unwrap();
    signal(&child, rustix::process::Signal::INT);
    let status = tokio::time::timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    stderr.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains(&format!("run continues: shanty --addr {addr} run watch endless.1")), "{text}");
    assert!(text.contains(&format!("cancel with: shanty --addr {addr} run cancel endless.1")), "{text}");
}

#[tokio::test]
async fn lists_take_all_pages_and_wait_for_a_leader() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "list", "--state", "failed", "--job", "nightly"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for name in ["adhoc.3", "adhoc.2", "threshold.1"] {
        assert!(ran.out.contains(name), "{}", ran.out);
    }
    let ran = fake.shanty(&["run", "list", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["runs"][2]["name"], "runs/threshold.1");
}

#[tokio::test]
async fn change_cancel_report_and_shards_print_what_came_of_it() {
    let fake = Fake::start(Reflection::None).await;
    let ran = fake.shanty(&["run", "change", "adhoc.1", "--rate", "5k"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "adhoc.1: 5,000 arrivals per second from now on\n"),
        "{ran:?}"
    );
    let ran = fake.shanty(&["run", "change", "adhoc.2", "--rows-per-second=0", "--workers=8"]).await;
    assert_eq!(ran.out, "adhoc.2: no limit of rows per second, 8 shards at once from now on\n", "{ran:?}");
    let changes: Vec<_> = fake.seen.changes.lock().unwrap().iter().filter_map(|asked| asked.change).collect();
    let load = v1::HttpLoadChange { rate: 5000.0 };
    let sync = v1::DbSyncChange { rows_per_second: Some(0), bytes_per_second: None, workers: Some(8) };
    use v1::change_run_request::Change;
    assert_eq!(changes, [Change::HttpLoad(load), Change::DbSync(sync)]);
    assert_eq!(fake.shanty(&["run", "change", "adhoc.1"]).await.code, 2, "nothing to change");
    assert_eq!(fake.shanty(&["run", "cancel", "adhoc.1"]).await.out, "adhoc.1: CANCELLING\n");
    assert!(fake.shanty(&["run", "report", "adhoc.1"]).await.out.contains("offered"));
    assert!(fake.shanty(&["run", "shards", "adhoc.1"]).await.out.contains("33.3 %"));
}

#[tokio::test]
async fn other_refusals_keep_their_codes() {
    let fake = Fake::start(Reflection::None).await;
    let of = |words: &'static [&str]| {
        let fake = &fake;
        async move { fake.shanty(words).await }
    };
    assert_eq!(of(&["node", "get", "w1"]).await.code, 76);
    assert_eq!(of(&["node", "cordon", "w1"]).await.out, "w1: CORDONED\n");
    assert_eq!(of(&["node", "uncordon", "w1"]).await.code, 73);
    assert_eq!(of(&["node", "drain", "w1"]).await.code, 71);
    assert_eq!(of(&["cluster", "transfer"]).await.code, 73);
    assert!(of(&["cluster", "status"]).await.out.contains("m1 leads,"));
    assert_eq!(of(&["cluster", "failover"]).await.code, 73);
    let why = of(&["cluster", "why"]).await.out;
    for part in ["term 6", "m1 led", "by s2, 1.0 s after the first evidence", "HARD", "next  m2", "not   m3"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    for part in
        [", 1.0 s after the end of the last one: nominated by s2", "by itself: this master is stopping"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(of(&["cluster", "pause", "30m"]).await.out.contains("paused until"));
    assert!(of(&["cluster", "resume"]).await.out.contains("by the leader's lease"));
    assert!(of(&["cluster", "sentinel", "add", "s4"]).await.out.contains("by 1 of the sentinels s4"));
    assert!(of(&["node", "list"]).await.out.contains("w1"));
}

#[tokio::test]
async fn without_a_master_the_next_step_is_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = shanty(&["--addr", &free, "run", "list"], "").await;
    assert_eq!(ran.code, 78, "{ran:?}");
    assert!(ran.err.contains("nothing listens there"), "{}", ran.err);
    assert!(ran.err.contains(&format!("shanty dev --listen {free}")), "{}", ran.err);
}

#[tokio::test]
async fn completions_are_printed_for_a_shell() {
    let ran = shanty(&["completions", "bash"], "").await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("_shanty()"));
}
