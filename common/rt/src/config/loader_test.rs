//! Tests of the loader: order of the layers, origins, and what is refused with which words.

use super::*;
use serde::Deserialize;
use std::io::Write as _;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Load {
    threads: Option<u32>,
    max_rate: f64,
    spin: String,
}

impl Default for Load {
    fn default() -> Self {
        Load { threads: None, max_rate: 0.0, spin: "balanced".to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: String,
    key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    name: String,
    slots: u32,
    masters: Vec<String>,
    labels: BTreeMap<String, String>,
    #[serde(with = "crate::config::duration")]
    drain_timeout: Duration,
    load: Load,
    tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: String::new(),
            slots: 16,
            masters: vec!["127.0.0.1:7070".to_owned()],
            labels: BTreeMap::new(),
            drain_timeout: Duration::from_secs(30),
            load: Load::default(),
            tls: None,
        }
    }
}

/// A file that goes away with the test.
fn file_with(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn file_error(text: &str) -> String {
    let file = file_with(text);
    let error = Loader::new("worker").file(Some(file.path())).load::<Config>().unwrap_err().to_string();
    error.replace(&file.path().display().to_string(), "FILE")
}

#[test]
fn nothing_given_is_the_defaults() {
    let loaded = Loader::new("worker").load::<Config>().unwrap();
    assert_eq!(loaded.value, Config::default());
    assert!(loaded.origins.is_empty());
}

#[test]
fn later_layers_win_and_each_value_knows_its_origin() {
    let file = file_with(
        "[master]\nwhatever = 1\n\n[worker]\nname = \"w1\"\nslots = 2\ndrain_timeout = \"5s\"\n\n[worker.load]\nthreads = 3\n",
    );
    let loaded = Loader::new("worker")
        .file(Some(file.path()))
        .environment(env(&[
            ("SHANTY_WORKER__SLOTS", "4"),
            ("SHANTY_WORKER__LOAD__MAX_RATE", "1500.5"),
            ("SHANTY_ADDR", "elsewhere"),
            ("SHANTY_MASTER__X", "1"),
        ]))
        .flag("slots", "--slots", Some(8))
        .flag("name", "--name", None::<String>)
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.name, "w1");
    assert_eq!(loaded.value.slots, 8);
    assert_eq!(loaded.value.drain_timeout, Duration::from_secs(5));
    assert_eq!(loaded.value.load, Load { threads: Some(3), max_rate: 1500.5, spin: "balanced".to_owned() });
    assert_eq!(loaded.origin("worker.slots"), Origin::Flag("--slots".to_owned()));
    assert_eq!(loaded.origin("worker.load.threads"), Origin::File { path: file.path().to_owned(), line: 10 });
    assert_eq!(
        loaded.origin("worker.load.max_rate"),
        Origin::Environment("SHANTY_WORKER__LOAD__MAX_RATE".to_owned())
    );
    assert_eq!(loaded.origin("worker.masters"), Origin::Default);
    let show = loaded.show();
    assert!(
        show.lines().any(|l| l.starts_with("worker.slots = 8 ") && l.ends_with("# flag --slots")),
        "{show}"
    );
    assert!(
        show.lines().any(|l| l.starts_with("worker.drain_timeout = \"5s\"") && l.ends_with(":7")),
        "{show}"
    );
}

#[test]
fn texts_take_the_type_of_their_key() {
    let loaded = Loader::new("worker")
        .environment(env(&[
            ("SHANTY_WORKER__MASTERS", "a:1, b:2"),
            ("SHANTY_WORKER__NAME", "5"),
            ("SHANTY_WORKER__LOAD__THREADS", "2"),
            ("SHANTY_WORKER__LABELS__ZONE", "a"),
        ]))
        .set("labels.disk=ssd")
        .unwrap()
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.masters, ["a:1", "b:2"]);
    assert_eq!(loaded.value.name, "5");
    assert_eq!(loaded.value.load.threads, Some(2));
    assert_eq!(
        loaded.value.labels,
        [("disk", "ssd"), ("zone", "a")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
    let loaded = Loader::new("worker")
        .environment(env(&[("SHANTY_WORKER__LABELS", "a=1,b=2")]))
        .load::<Config>()
        .unwrap();
    assert_eq!(loaded.value.labels.len(), 2);
    let loaded =
        Loader::new("worker").environment(env(&[("SHANTY_WORKER__MASTERS", "")])).load::<Config>().unwrap();
    assert!(loaded.value.masters.is_empty());
}

#[test]
fn a_table_that_is_absent_by_default_is_read_as_a_whole() {
    let file = file_with("[worker.tls]\ncert = \"a\"\nkey = \"b\"\n");
    let loaded = Loader::new("worker").file(Some(file.path())).load::<Config>().unwrap();
    assert_eq!(loaded.value.tls, Some(Tls { cert: "a".to_owned(), key: "b".to_owned() }));
    assert!(file_error("[worker.tls]\ncert = \"a\"\n").contains("missing field `key`"));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    assert_eq!(
        file_error("[worker]\n\nslot = 3\n"),
        "FILE:3: unknown key `worker.slot`; did you mean `slots`?"
    );
    assert_eq!(
        file_error("[worker.load]\nthread = 3\n"),
        "FILE:2: unknown key `worker.load.thread`; did you mean `threads`?"
    );
    assert!(file_error("[worker]\nzzzzzzzz = 3\n").contains("known here: `drain_timeout`, `labels`, `load`"));
    assert!(file_error("slots = 3\n").contains("below one of the tables [master], [worker]"));
    assert!(file_error("[worker]\nslots.x = 3\n").contains("`worker.slots` is a single value"));
    let error = Loader::new("worker")
        .environment(env(&[("SHANTY_WORKER__LOAD__SPINN", "eco")]))
        .load::<Config>()
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "environment SHANTY_WORKER__LOAD__SPINN: unknown key `worker.load.spinn`; did you mean `spin`?"
    );
}

#[test]
fn wrong_values_are_refused_with_place_and_what_is_allowed() {
    let error = file_error("[worker]\nslots = \"many\"\n");
    assert!(
        error.starts_with("FILE:2: `worker.slots` cannot be \"many\": ") && error.contains("u32"),
        "{error}"
    );
    let error = file_error("[worker]\nslots = -1\n");
    assert!(error.contains("`worker.slots` cannot be -1"), "{error}");
    let error = file_error("[worker]\ndrain_timeout = 5\n");
    assert!(error.contains("a duration with its unit"), "{error}");
    let error = file_error("[worker]\nname = \"a\nslots = 1\n");
    assert!(error.starts_with("FILE:2: not TOML: "), "{error}");
    let error = Loader::new("worker").set("slots").unwrap_err().to_string();
    assert!(error.contains("--set key=value"), "{error}");
    let error = Loader::new("worker")
        .file(Some(Path::new("/nonexistent/x.toml")))
        .load::<Config>()
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/x.toml") && error.contains("--config"), "{error}");
}
