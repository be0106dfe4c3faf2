//! A process that stood still does not send what others have sent in the meantime.
//!
//! The attempt runs in a child process (this test's own executable), which is stopped by a signal and goes on
//! six seconds later.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use shanty_model::kind::http_load::Spec;
use shanty_rt::driver::DriverError;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Reply, Server, answer, driver, eventually, plan, start};

const URL: &str = "SHANTY_TEST_PAUSE_URL";
/// Longer than a thread may stand still.
const PAUSE: Duration = Duration::from_secs(6);

fn spec(url: String) -> Spec {
    Spec { url, rate: Some(500.0), duration: Some(Duration::from_secs(30)), ..Spec::default() }
}

#[test]
fn a_paused_process_gives_its_attempt_up_instead_of_catching_up() {
    let server = Server::start(|_, _| Reply::Bytes(answer(200, "")));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_attempt_of_the_child", "--ignored", "--nocapture"])
        .env(URL, server.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    eventually("the child sends", || server.requests() > 100);
    kill_process(pid, Signal::STOP).unwrap();
    std::thread::sleep(PAUSE);
    let before = server.requests();
    let resumed = Instant::now();
    kill_process(pid, Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("paused for 6."), "{text}");
    assert!(resumed.elapsed() < Duration::from_secs(3), "{:?}", resumed.elapsed());
    assert_eq!(server.requests(), before, "requests after it went on");
}

#[test]
#[ignore = "the child of the test above"]
fn the_attempt_of_the_child() {
    let Ok(url) = std::env::var(URL) else { return };
    let spec = spec(url);
    let (outcome, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    match outcome {
        Err(DriverError::Transient(text)) => println!("{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(sum.sent, sum.completed + sum.failed());
    assert!(sum.completed > 50, "what was done before is told");
    assert_eq!(sum.dropped, 0);
}
