//! The command line of a master, and a master as a process.
//!
//! In: flags. Out: an exit after the master has shut down.
//! Tests: below; the process in the tests crate.

use crate::config::Config;
use crate::serve::serve_under;
use anyhow::Context as _;
use shanty_rt::config::{Loaded, Loader};
use shanty_rt::systemd::Systemd;
use shanty_rt::{daemon, telemetry, tls};
use std::path::PathBuf;

/// Runs a master: it keeps jobs and runs, and leads the cluster or stands by.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file (TOML, table [master]).
    #[arg(long, value_name = "FILE", env = "SHANTY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Node id; default m1.
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// Name of the cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Where to listen; default 127.0.0.1:7070.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Where others reach this master, when that is not where it listens.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Listen on an address that is not loopback without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Certificates.
    #[command(flatten)]
    pub tls: tls::Args,
    /// postgres://…, mysql://… or sqlite:///path; default: a SQLite file in the data folder.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Members of etcd; without, this is the only master.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub etcd: Option<Vec<String>>,
    /// Also run a worker beside this master, set by the table [worker]. The program `shanty` holds both;
    /// `shanty-master` does not.
    #[arg(long)]
    pub embedded_worker: bool,
    /// Folder of this master's data.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Any other key of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints the configuration with the origin of each value, and exits.
    #[arg(long)]
    pub dump_config: bool,
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
        let mut loader = Loader::new("master")
            .file(self.config.as_deref())
            .environment(environment)
            .flag("node", "--node", self.node.clone())
            .flag("cluster", "--cluster", self.cluster.clone())
            .flag("listen", "--listen", self.listen.clone())
            .flag("advertise", "--advertise", self.advertise.clone())
            .flag("insecure", "--insecure", self.insecure.then_some(true))
            .flag("store", "--store", self.store.clone())
            .flag("etcd.endpoints", "--etcd", self.etcd.clone())
            .flag("embedded_worker", "--embedded-worker", self.embedded_worker.then_some(true))
            .flag("data_dir", "--data", daemon::path(self.data.as_deref()));
        loader = self.tls.give(loader);
        for text in &self.set {
            loader = loader.set(text)?;
        }
        loader.load()
    }
}

/// Runs a master as this process until SIGTERM or SIGINT and until it has shut down.
///
/// # Errors
/// When it cannot begin, or shall be a worker as well, which is in another crate.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let loaded = args.load(daemon::environment())?;
    if args.dump_config {
        print!("{}", loaded.show());
        return Ok(());
    }
    if loaded.value.embedded_worker {
        anyhow::bail!(
            "`master.embedded_worker` asks for a worker beside the master, and this program holds a master alone: run \
             `shanty master` with the same flags, which holds both"
        );
    }
    let origin = loaded.origin("master.data_dir");
    let mut config = loaded.value;
    config.data_dir = daemon::data_folder(config.data_dir, origin);
    telemetry::init(&config.log);

    daemon::until_signal(async |stop| {
        serve_under(config, stop, |_| {}, Systemd::of_this_process()).await.context("run the master")
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment() {
        let args = Args {
            node: Some("m7".to_owned()),
            etcd: Some(vec!["127.0.0.1:2379".to_owned()]),
            set: vec!["limits.max_rate=500".to_owned(), "lease_ttl=3s".to_owned()],
            ..Args::default()
        };
        let environment = [("SHANTY_MASTER__NODE", "m1"), ("SHANTY_MASTER__CLUSTER", "blue")];
        let config = args.load(environment.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap().value;
        assert_eq!((config.node.as_str(), config.cluster.as_str()), ("m7", "blue"));
        assert_eq!(config.etcd.endpoints, ["127.0.0.1:2379"]);
        assert!((config.limits.max_rate - 500.0).abs() < f64::EPSILON);
        assert_eq!(config.lease_ttl.as_secs(), 3);
    }
}
