//! The systemd units as systemd itself judges them: no unknown word, little exposed, time enough to drain.
//!
//! In: `deploy/systemd`, `systemd-analyze`. Out: what systemd said. Never: starts a unit (`t61_systemd.rs`).

use shanty_tests::skip;
use std::path::{Path, PathBuf};
use std::process::Command;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd")
}

/// A folder with copies of the units that start a program which every machine has, and an instance `w1` of
/// the templates.
fn copies() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for entry in std::fs::read_dir(units()).expect("deploy/systemd") {
        let path = entry.expect("entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("utf-8").to_owned();
        if !name.ends_with(".service") && !name.ends_with(".target") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("utf-8");
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix("ExecStart=").and_then(|command| command.split_once(' ')) {
                Some((_, arguments)) => format!("ExecStart=/bin/true {arguments}"),
                None => line.to_owned(),
            })
            .collect();
        std::fs::write(folder.path().join(name.replace("@.", "@w1.")), lines.join("\n")).expect("written");
    }
    folder
}

/// What `systemd-analyze verify` says about a unit.
fn verify(unit: &Path) -> String {
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(unit)
        .output()
        .expect("systemd-analyze");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The machine's own units are not judged here.
    let name = unit.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
    if output.status.success() { ours.join("\n") } else { format!("{}: {said}", output.status) }
}

#[test]
fn systemd_finds_nothing_to_say_about_the_units() {
    if skip::program("systemd-analyze", "systemd").is_none() {
        return;
    }
    let folder = copies();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).expect("folder") {
        let path = entry.expect("entry").path();
        let said = verify(&path);
        assert!(said.is_empty(), "{said}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} units");
}

#[test]
fn a_misspelt_word_would_be_found() {
    if skip::program("systemd-analyze", "systemd").is_none() {
        return;
    }
    let folder = copies();
    let unit = folder.path().join("shanty-master.service");
    let text = std::fs::read_to_string(&unit).expect("utf-8").replace("WatchdogSec=", "WatchdogSecs=");
    std::fs::write(&unit, text).expect("written");
    assert!(verify(&unit).contains("WatchdogSecs"), "{}", verify(&unit));
}

#[test]
fn a_service_can_reach_little_of_the_machine() {
    if skip::program("systemd-analyze", "systemd").is_none() {
        return;
    }
    let folder = copies();
    for unit in ["shanty-master", "shanty-worker", "shanty-worker@w1", "shanty-sentinel"] {
        // The threshold is in tenths: 3.0 of 10.
        let output = Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=yes", "--threshold=30"])
            .arg(folder.path().join(format!("{unit}.service")))
            .output()
            .expect("systemd-analyze");
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_template_is_the_plain_worker_with_a_name() {
    let read = |name: &str| std::fs::read_to_string(units().join(name)).expect("unit");
    let settings = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| {
                line.replace(" --node %i", "").replace("shanty/worker-%i", "shanty/worker").replace(" %i", "")
            })
            .collect()
    };
    assert_eq!(settings(&read("shanty-worker@.service")), settings(&read("shanty-worker.service")));
}

/// An example with everything that is commented out switched on.
fn switched_on(role: &str) -> tempfile::NamedTempFile {
    let path = units().join(format!("../config/{role}.toml"));
    let text = std::fs::read_to_string(path).expect("an example");
    let table = |line: &str| line.starts_with('[') && line.ends_with(']');
    let setting =
        |line: &str| table(line) || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if setting(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let text: Vec<String> = text.lines().map(on).collect();
    std::fs::write(file.path(), text.join("\n")).expect("written");
    file
}

#[test]
fn every_key_of_the_example_files_is_one() {
    use shanty_rt::config::Loader;
    let file = switched_on("master");
    let loaded =
        Loader::new("master").file(Some(file.path())).load::<shanty_master::Config>().expect("master.toml");
    assert_eq!(loaded.value.check(), Ok(()));
    assert!(loaded.origins.len() >= 10, "{:?}", loaded.origins);
    let defaults = shanty_master::Config::default();
    assert_eq!((loaded.value.lease_ttl, loaded.value.history), (defaults.lease_ttl, defaults.history));
    assert_eq!(loaded.value.session_timeout, defaults.session_timeout);

    let file = switched_on("master");
    let beside = Loader::new("worker")
        .file(Some(file.path()))
        .load::<shanty_worker::config::Config>()
        .expect("[worker] beside it");
    assert!(beside.origins.contains_key("worker.slots"), "{:?}", beside.origins);

    let file = switched_on("worker");
    let beside = Loader::new("master")
        .file(Some(file.path()))
        .load::<shanty_master::Config>()
        .expect("[master] beside it");
    assert!(beside.origins.contains_key("master.store"), "{:?}", beside.origins);
    let loaded = Loader::new("worker")
        .file(Some(file.path()))
        .load::<shanty_worker::config::Config>()
        .expect("worker.toml");
    assert!(loaded.origins.len() >= 10, "{:?}", loaded.origins);
    let defaults = shanty_worker::config::Config::default();
    assert_eq!((loaded.value.slots, loaded.value.drain_timeout), (defaults.slots, defaults.drain_timeout));
}
