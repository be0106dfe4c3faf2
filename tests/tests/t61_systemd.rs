//! The units under a real systemd: a Debian 12 boots, etcd, a master, two workers and a sentinel are started
//! with systemctl, a load test runs inside against nginx, a stop drains, and what is killed or hangs is started anew.
//!
//! In: `deploy/`, this build's programs. Out: what systemctl says. Never: touches the host's systemd.

use shanty_tests::cluster::binary;
use shanty_tests::hold::Hold;
use shanty_tests::machine::{Machine, Root};
use shanty_tests::patience::until;
use std::path::Path;
use std::time::Duration;

const UNITS: [&str; 5] = [
    "shanty-master.service",
    "shanty-worker.service",
    "shanty-worker@.service",
    "shanty-sentinel.service",
    "shanty.target",
];

/// A root with everything of `deploy/` where a package would put it.
fn installed() -> Option<Root> {
    let mut root = Root::fresh()?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for unit in UNITS {
        root.copy(&deploy.join("systemd").join(unit), &format!("usr/lib/systemd/system/{unit}"));
    }
    root.copy(&deploy.join("systemd/sysusers.conf"), "usr/lib/sysusers.d/shanty.conf");
    root.copy(&deploy.join("systemd/tmpfiles.conf"), "usr/lib/tmpfiles.d/shanty.conf");
    for role in ["master", "worker", "sentinel"] {
        root.copy(&deploy.join(format!("config/{role}.toml")), &format!("etc/shanty/{role}.toml"));
    }
    root.bind(&binary::shanty(), "/usr/bin/shanty");
    Some(root)
}

/// Has nginx answer at port 8080 and write a line for each request.
fn with_target(root: &Root) {
    root.write(
        "etc/nginx/conf.d/target.conf",
        "log_format plain '$status'; server { listen 127.0.0.1:8080; access_log /var/log/nginx/target.log plain;
         location / { return 200 'ok'; } }\n",
    );
}

/// Requests that nginx has counted.
fn arrivals(machine: &Machine) -> usize {
    machine.read("var/log/nginx/target.log").lines().count()
}

/// Changes an example file: each first text for the second.
fn edit(root: &Root, role: &str, changes: &[(&str, &str)]) {
    let path = format!("etc/shanty/{role}.toml");
    let mut text = std::fs::read_to_string(root.path().join(&path)).expect("the example");
    for (from, to) in changes {
        assert!(text.contains(from), "{path} has no {from}");
        text = text.replacen(from, to, 1);
    }
    root.write(&path, &text);
}

async fn active(machine: &Machine, unit: &str) {
    until(&format!("{unit} is active"), Duration::from_secs(60), async || {
        let state = machine.property(unit, "ActiveState");
        if state == "active" { Ok(()) } else { Err(format!("{state}\n{}", machine.journal(unit))) }
    })
    .await;
}

fn call(machine: &Machine, method: &str, json: &str) -> std::process::Output {
    machine.run(&["shanty", "call", &format!("shanty.v1.{method}"), "-d", json])
}

/// Waits until this many workers are ready.
async fn workers_ready(machine: &Machine, count: usize) {
    until("ready workers", Duration::from_secs(30), async || {
        let output = call(machine, "NodeService/ListNodes", "{}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let nodes: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let nodes = nodes["nodes"].as_array().cloned().unwrap_or_default();
        let ready = nodes.iter().filter(|node| node["role"] == "WORKER" && node["state"] == "READY").count();
        if ready == count {
            Ok(())
        } else {
            Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
        }
    })
    .await;
}

/// Runs a load test of 200 requests in a second; all of them must arrive.
async fn works(machine: &Machine) {
    let before = arrivals(machine);
    let spec = r#"{"spec":{"http_load":{"url":"http://127.0.0.1:8080/","rate":200,"duration":"1s"}}}"#;
    let output = call(machine, "RunService/RunAndWatch", spec);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("SUCCEEDED") && said.contains("\"200\""), "{said}");
    until("nginx has counted 200 more", Duration::from_secs(5), async || {
        let more = arrivals(machine) - before;
        if more == 200 { Ok(()) } else { Err(more) }
    })
    .await;
}

#[tokio::test]
async fn the_sentinel_unit_starts_watches_and_stops() {
    let Some(root) = installed() else { return };
    edit(&root, "sentinel", &[("# node = \"\"", "node = \"s1\""), ("# members =", "members =")]);
    let machine = Machine::boot(root).await;
    machine.start(&["etcd", "shanty-sentinel"]);
    assert_eq!(machine.property("shanty-sentinel", "ActiveState"), "active");
    until("the sentinel has seen etcd", Duration::from_secs(20), async || {
        let status = machine.property("shanty-sentinel", "StatusText");
        if status.contains("3 vote") { Ok(()) } else { Err(status) }
    })
    .await;
    machine.must(&["systemctl", "stop", "shanty-sentinel"]);
    assert_eq!(machine.property("shanty-sentinel", "Result"), "success");
    assert_eq!(machine.property("shanty-sentinel", "ExecMainStatus"), "0");
}

/// A store on etcd would need a database inside; the master here is alone, on SQLite, as the example says.
#[tokio::test]
async fn a_load_test_runs_under_systemd_and_a_stop_drains() {
    let Some(root) = installed() else { return };
    edit(&root, "master", &[("# endpoints =", "endpoints =")]);
    with_target(&root);
    let machine = Machine::boot(root).await;
    machine.must(&["systemctl", "enable", "shanty-master", "shanty-worker@w1", "shanty-worker@w2"]);
    machine.start(&["etcd", "nginx", "shanty.target"]);
    for unit in ["shanty-master", "shanty-worker@w1", "shanty-worker@w2"] {
        active(&machine, unit).await;
    }
    let call = |method: &str, json: &str| call(&machine, method, json);
    workers_ready(&machine, 2).await;

    let spec = r#"{"spec":{"http_load":{"url":"http://127.0.0.1:8080/","rate":400,"duration":"4s"}}}"#;
    let output = call("RunService/RunAndWatch", spec);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("SUCCEEDED") && said.contains("\"1600\""), "{said}");
    until("nginx has counted 1600", Duration::from_secs(5), async || {
        let lines = arrivals(&machine);
        if lines == 1600 { Ok(()) } else { Err(lines) }
    })
    .await;

    // Another run is under way when one worker is stopped: it hands over and leaves with 0.
    let long = spec.replace("\"4s\"", "\"8s\"");
    let output = call("RunService/StartRun", &long);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until("it has begun", Duration::from_secs(10), async || {
        let lines = arrivals(&machine);
        if lines > 2200 { Ok(()) } else { Err(lines) }
    })
    .await;
    machine.must(&["systemctl", "stop", "shanty-worker@w1"]);
    assert_eq!(
        machine.property("shanty-worker@w1", "Result"),
        "success",
        "{}",
        machine.journal("shanty-worker@w1")
    );
    assert_eq!(machine.property("shanty-worker@w1", "ExecMainStatus"), "0");
    let output = call("RunService/WaitRun", r#"{"name":"adhoc.2","timeout":"60s"}"#);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("SUCCEEDED"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(arrivals(&machine), 1600 + 3200, "nothing was lost on the way");

    machine.must(&["systemctl", "stop", "shanty.target"]);
    for unit in ["shanty-master", "shanty-worker@w2"] {
        until(&format!("{unit} has stopped"), Duration::from_secs(60), async || {
            let state = machine.property(unit, "ActiveState");
            if state == "inactive" { Ok(()) } else { Err(format!("{state}\n{}", machine.journal(unit))) }
        })
        .await;
        assert_eq!(machine.property(unit, "ExecMainStatus"), "0", "{}", machine.journal(unit));
    }
}

/// What systemd knows of a unit.
#[derive(Debug)]
struct Known {
    unit: &'static str,
    /// Its process now.
    process: String,
    /// How often it was started anew.
    restarts: u32,
    /// The journal's word for how its processes have failed.
    failures: String,
}

fn known(machine: &Machine, unit: &'static str) -> Known {
    let journal = machine.must(&["journalctl", "--no-pager", "-o", "cat", "-u", unit]);
    let failures =
        journal.lines().filter_map(|line| line.rsplit_once("Failed with result ")).map(|(_, how)| how);
    Known {
        unit,
        process: machine.property(unit, "MainPID"),
        restarts: machine.property(unit, "NRestarts").parse().expect("a number"),
        failures: failures.collect(),
    }
}

/// Waits until each unit is active again with another process, after its old one has ended as `how` says.
async fn come_back(machine: &Machine, before: &[Known], how: &str) {
    for old in before {
        until(&format!("{} is back", old.unit), Duration::from_secs(60), async || {
            let (now, state) = (known(machine, old.unit), machine.property(old.unit, "ActiveState"));
            let other = now.process != old.process && now.process != "0" && now.restarts > old.restarts;
            let told = now.failures == format!("{}'{how}'.", old.failures);
            if state == "active" && other && told {
                Ok(())
            } else {
                Err(format!("{state} {now:?}\n{}", machine.journal(old.unit)))
            }
        })
        .await;
    }
    workers_ready(machine, 1).await;
    works(machine).await;
}

#[tokio::test]
async fn what_is_killed_or_hangs_is_started_anew_and_what_is_stopped_drains() {
    let Some(root) = installed() else { return };
    edit(&root, "master", &[("# endpoints =", "endpoints =")]);
    edit(&root, "worker", &[("# endpoints =", "endpoints =")]);
    edit(&root, "sentinel", &[("# node = \"\"", "node = \"s1\""), ("# members =", "members =")]);
    with_target(&root);
    let machine = Machine::boot(root).await;
    const UNDER_TEST: [&str; 3] = ["shanty-master", "shanty-worker@w1", "shanty-sentinel"];
    machine.start(&["etcd", "nginx"]);
    machine.start(&UNDER_TEST);
    workers_ready(&machine, 1).await;

    // Killed.
    let before = UNDER_TEST.map(|unit| known(&machine, unit));
    for unit in UNDER_TEST {
        machine.must(&["systemctl", "kill", "-s", "SIGKILL", unit]);
    }
    come_back(&machine, &before, "signal").await;

    // Stopped as a whole: nothing feeds the watchdog.
    let before = UNDER_TEST.map(|unit| known(&machine, unit));
    for unit in UNDER_TEST {
        machine.must(&["systemctl", "kill", "-s", "SIGSTOP", unit]);
    }
    come_back(&machine, &before, "watchdog").await;

    // The main loop alone hangs, and the rest of its process goes on: of the worker and the sentinel it runs on the first
    // thread; the master's core is a task, on the threads of its runtime.
    let before = UNDER_TEST.map(|unit| known(&machine, unit));
    let [master, worker, sentinel] = UNDER_TEST.map(|unit| machine.main_process(unit));
    let is_runtime = |name: &str| name.starts_with("tokio-");
    let held = [Hold::threads(master, is_runtime), Hold::first_thread(worker), Hold::first_thread(sentinel)];
    come_back(&machine, &before, "watchdog").await;
    drop(held);

    // Asked to stop with a run under way: the master hands over and leaves, the worker goes on, the next master finds all.
    let before = arrivals(&machine);
    let spec = r#"{"spec":{"http_load":{"url":"http://127.0.0.1:8080/","rate":200,"duration":"6s"}}}"#;
    let output = call(&machine, "RunService/StartRun", spec);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let started: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a run");
    until("it has begun", Duration::from_secs(10), async || {
        let more = arrivals(&machine) - before;
        if more > 200 { Ok(()) } else { Err(more) }
    })
    .await;
    for unit in ["shanty-master", "shanty-sentinel"] {
        machine.must(&["systemctl", "stop", unit]);
        assert_eq!(machine.property(unit, "Result"), "success", "{}", machine.journal(unit));
        assert_eq!(machine.property(unit, "ExecMainStatus"), "0", "{}", machine.journal(unit));
    }
    machine.start(&["shanty-master"]);
    let wait = serde_json::json!({ "name": started["name"], "timeout": "60s" }).to_string();
    let ended = until("the run ends", Duration::from_secs(60), async || {
        let output = call(&machine, "RunService/WaitRun", &wait);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
    .await;
    assert!(ended.contains("SUCCEEDED"), "{ended}");
    assert_eq!(arrivals(&machine) - before, 1200, "nothing was lost on the way");
    machine.must(&["systemctl", "stop", "shanty-worker@w1"]);
    assert_eq!(machine.property("shanty-worker@w1", "Result"), "success");

    // A master that works itself is one unit. Only its worker's loop is on the first thread: that half hangs, the other
    // half lives, and the watchdog is not fed.
    let both = "s/^# embedded_worker = false/embedded_worker = true/";
    machine.must(&["sed", "-i", both, "/etc/shanty/master.toml"]);
    machine.must(&["systemctl", "restart", "shanty-master"]);
    workers_ready(&machine, 1).await;
    let before = [known(&machine, "shanty-master")];
    let held = Hold::first_thread(machine.main_process("shanty-master"));
    come_back(&machine, &before, "watchdog").await;
    drop(held);
    machine.must(&["systemctl", "stop", "shanty-master"]);
    assert_eq!(machine.property("shanty-master", "Result"), "success");
    assert_eq!(machine.property("shanty-master", "ExecMainStatus"), "0");
}
