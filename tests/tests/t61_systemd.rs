//! The units under a real systemd: a Debian 12 boots, etcd, a master, two workers and a sentinel are started
//! with systemctl, a load test runs inside against nginx, and a stop drains.
//!
//! In: `deploy/`, this build's programs. Out: what systemctl says. Never: touches the host's systemd.

use shanty_tests::cluster::binary;
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
        let program = format!("shanty-{role}");
        root.bind(&binary::program(&program), &format!("/usr/bin/{program}"));
    }
    root.bind(&binary::shanty(), "/usr/bin/shanty");
    Some(root)
}

#[tokio::test]
async fn the_sentinel_unit_starts_watches_and_stops() {
    let Some(root) = installed() else { return };
    let config = root.path().join("etc/shanty/sentinel.toml");
    let text = std::fs::read_to_string(&config).expect("the example");
    let text = text.replace("# node = \"\"", "node = \"s1\"").replace("# members =", "members =");
    root.write("etc/shanty/sentinel.toml", &text);
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
    let config = root.path().join("etc/shanty/master.toml");
    let text = std::fs::read_to_string(&config).expect("the example");
    root.write("etc/shanty/master.toml", &text.replace("# endpoints =", "endpoints ="));
    root.write(
        "etc/nginx/conf.d/target.conf",
        "log_format plain '$status'; server { listen 127.0.0.1:8080; access_log /var/log/nginx/target.log plain;
         location / { return 200 'ok'; } }\n",
    );
    let machine = Machine::boot(root).await;
    machine.must(&["systemctl", "enable", "shanty-master", "shanty-worker@w1", "shanty-worker@w2"]);
    machine.start(&["etcd", "nginx", "shanty.target"]);
    for unit in ["shanty-master", "shanty-worker@w1", "shanty-worker@w2"] {
        until(&format!("{unit} is active"), Duration::from_secs(60), async || {
            let state = machine.property(unit, "ActiveState");
            if state == "active" { Ok(()) } else { Err(format!("{state}\n{}", machine.journal(unit))) }
        })
        .await;
    }
    let call = |method: &str, json: &str| machine.run(&["shanty", "call", method, "-d", json]);
    until("two workers are ready", Duration::from_secs(30), async || {
        let output = call("shanty.v1.NodeService/ListNodes", "{}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let workers = said.matches("\"WORKER\"").count();
        if workers == 2 { Ok(()) } else { Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))) }
    })
    .await;

    let spec = r#"{"spec":{"http_load":{"url":"http://127.0.0.1:8080/","rate":400,"duration":"4s"}}}"#;
    let output = call("shanty.v1.RunService/RunAndWatch", spec);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("SUCCEEDED") && said.contains("\"1600\""), "{said}");
    until("nginx has counted 1600", Duration::from_secs(5), async || {
        let lines = machine.read("var/log/nginx/target.log").lines().count();
        if lines == 1600 { Ok(()) } else { Err(lines) }
    })
    .await;

    // Another run is under way when one worker is stopped: it hands over and leaves with 0.
    let long = spec.replace("\"4s\"", "\"8s\"");
    let output = call("shanty.v1.RunService/StartRun", &long);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until("it has begun", Duration::from_secs(10), async || {
        let lines = machine.read("var/log/nginx/target.log").lines().count();
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
    let output = call("shanty.v1.RunService/WaitRun", r#"{"name":"adhoc.2","timeout":"60s"}"#);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("SUCCEEDED"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        machine.read("var/log/nginx/target.log").lines().count(),
        1600 + 3200,
        "nothing was lost on the way"
    );

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
