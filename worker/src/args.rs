//! The command line of a worker, and a worker as a process.
//!
//! In: flags. Out: an exit after the worker has left.
//! Tests: below; the process in the tests crate.

use crate::config::Config;
use crate::drivers;
use crate::serve::serve_under;
use anyhow::Context as _;
use serde_json::Value;
use shanty_rt::config::{Loaded, Loader};
use shanty_rt::systemd::Systemd;
use shanty_rt::{daemon, telemetry, tls};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Runs a worker: it attaches to the masters and does the work that the leader gives it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file (TOML, table [worker]).
    #[arg(long, value_name = "FILE", env = "SHANTY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Node id; default: made from the host's name.
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// Addresses of masters.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub masters: Option<Vec<String>>,
    /// Members of etcd; masters are found there.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub etcd: Option<Vec<String>>,
    /// Name of the cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Also run a master beside this worker, set by the table [master]: it leads when no other can. The program
    /// `shanty` holds both; `shanty-worker` does not.
    #[arg(long)]
    pub eligible: bool,
    /// Folder of this worker's ledger.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Attempts that may run at once.
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// A label that placement may ask for; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Certificates.
    #[command(flatten)]
    pub tls: tls::Args,
    /// Any other key of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints the configuration with the origin of each value, and exits.
    #[arg(long)]
    pub dump_config: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Args {
    /// The configuration that these flags, `environment` and the file come to.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded<Config>, shanty_rt::config::Error> {
        let mut loader = Loader::new("worker")
            .file(self.config.as_deref())
            .environment(environment)
            .flag("node", "--node", self.node.clone())
            .flag("masters", "--masters", self.masters.clone())
            .flag("etcd.endpoints", "--etcd", self.etcd.clone())
            .flag("cluster", "--cluster", self.cluster.clone())
            .flag("eligible", "--eligible", self.eligible.then_some(true))
            .flag("data_dir", "--data", daemon::path(self.data.as_deref()))
            .flag("slots", "--slots", self.slots);
        loader = self.tls.give(loader);
        let labels: BTreeMap<&str, &str> =
            self.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for (key, value) in labels {
            loader = loader.flag(&format!("labels.{key}"), "--label", Some(Value::from(value)));
        }
        for text in &self.set {
            loader = loader.set(text)?;
        }
        loader.load()
    }
}

/// Runs a worker as this process until SIGTERM or SIGINT and until it has left.
///
/// # Errors
/// When it cannot begin, or shall be a master as well, which is in another crate.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let loaded = args.load(daemon::environment())?;
    if args.dump_config {
        print!("{}", loaded.show());
        return Ok(());
    }
    if loaded.value.eligible {
        anyhow::bail!(
            "`worker.eligible` asks for a master beside the worker, and this program holds a worker alone: run `shanty \
             worker` with the same flags, which holds both"
        );
    }
    let origin = loaded.origin("worker.data_dir");
    let mut config = loaded.value;
    config.data_dir = daemon::data_folder(config.data_dir, origin);
    telemetry::init(&config.log);
    let drivers = drivers::of(&config);

    daemon::until_signal(async |stop| {
        serve_under(config, drivers, stop, || {}, Systemd::of_this_process()).await.context("run the worker")
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment() {
        let args = Args {
            node: Some("w7".to_owned()),
            masters: Some(vec!["127.0.0.1:1".to_owned()]),
            labels: vec![("zone".to_owned(), "a".to_owned())],
            set: vec!["load.max_rate=500".to_owned()],
            ..Args::default()
        };
        let environment = [("SHANTY_WORKER__NODE", "w1"), ("SHANTY_WORKER__SLOTS", "3")];
        let loaded = args.load(environment.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        assert_eq!((loaded.value.node.as_str(), loaded.value.slots), ("w7", 3));
        assert_eq!(loaded.value.labels["zone"], "a");
        assert!((loaded.value.load.options().max_rate - 500.0).abs() < f64::EPSILON);
        assert_eq!(loaded.value.static_masters(), ["127.0.0.1:1"]);
    }

    fn from_file(text: &str) -> Result<Loaded<Config>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.toml");
        std::fs::write(&path, text).unwrap();
        Args { config: Some(path), ..Args::default() }.load([]).map_err(|error| error.to_string())
    }

    #[test]
    fn connections_are_shown_without_passwords_and_with_their_placeholders() {
        let loaded = from_file(
            "[worker.connections.shop]\nurl = \"mysql://etl:${SHOP_PW}@db:3306/shop\"\n\
             [worker.connections.dw]\nurl = \"postgres://etl:hunter2@dw/dw?sslpassword=hunter3\"\n",
        )
        .unwrap();
        assert_eq!(loaded.value.check(), Ok(()));
        let shown = loaded.show();
        let lines = [
            "worker.connections.shop.url = \"mysql://etl:${SHOP_PW}@db:3306/shop\"",
            "worker.connections.dw.url = \"postgres://etl:***@dw/dw?sslpassword=***\"",
        ];
        assert!(lines.iter().all(|line| shown.contains(line)), "{shown}");
        assert!(shown.contains("worker.toml:2") && !shown.contains("hunter"), "{shown}");
        assert!(!format!("{:?}", loaded.value).contains("hunter"));
    }

    #[test]
    fn what_a_connection_does_not_have_is_refused_without_its_value() {
        for (text, part) in [
            ("[worker.connections.shop]\nulr = \"mysql://u:hunter2@h/db\"\n", "unknown key `ulr`"),
            ("[worker.connections.shop]\nurl = 5\n", "`url` must be text"),
            ("[worker.connection.shop]\nurl = \"mysql://u:hunter2@h/db\"\n", "did you mean `connections`?"),
        ] {
            let error = from_file(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
        let loaded = from_file("[worker.connections.shop]\nurl = \"mysql://u:hun@ter2@h/db\"\n").unwrap();
        let error = loaded.value.check().unwrap_err().to_string();
        assert!(error.contains("`shop`") && error.contains("%40") && !error.contains("ter2"), "{error}");
    }

    #[test]
    fn a_target_rule_that_is_none_is_refused() {
        let args = Args { set: vec!["load.allow_targets=10.0.0.0/99".to_owned()], ..Args::default() };
        let error = args.load([]).unwrap_err().to_string();
        assert!(error.contains("worker.load.allow_targets") && error.contains("10.0.0.0/99"), "{error}");
    }
}
