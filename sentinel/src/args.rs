//! What a sentinel is told: flags over environment over the table `[sentinel]` of a file.
//!
//! In: the command line. Out: [`Config`], checked. Never: connects to anything.
//! Tests: below.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shanty_rt::config::Loader;
use std::path::PathBuf;

/// The flags of a sentinel.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Configuration file (TOML, table [sentinel]).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Its name; default: the host's.
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// Name of the cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Members of etcd, host:port, separated by commas.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub etcd: Vec<String>,
    /// What is logged, in the form of RUST_LOG.
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The configuration of a sentinel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Its name; empty for the host's.
    pub node: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Where etcd is.
    pub etcd: Etcd,
    /// What is logged, in the form of RUST_LOG.
    pub log: String,
}

/// Where etcd is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Etcd {
    /// Its members, `host:port`.
    pub endpoints: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node: String::new(),
            cluster: "shanty".to_owned(),
            etcd: Etcd::default(),
            log: "info".to_owned(),
        }
    }
}

impl Args {
    /// The configuration that these flags, the environment and the file make together.
    ///
    /// # Errors
    /// When one of them is refused, or no member of etcd is named.
    pub fn load(&self) -> anyhow::Result<Config> {
        let etcd = (!self.etcd.is_empty()).then(|| self.etcd.clone());
        let loaded = Loader::new("sentinel")
            .file(self.config.as_deref())
            .process_environment()
            .flag("node", "--node", self.node.clone())
            .flag("cluster", "--cluster", self.cluster.clone())
            .flag("etcd.endpoints", "--etcd", etcd)
            .flag("log", "--log", self.log.clone())
            .load::<Config>()?;
        let mut config = loaded.value;
        if config.etcd.endpoints.is_empty() {
            anyhow::bail!("a sentinel watches through etcd; name its members: --etcd 127.0.0.1:2379");
        }
        if config.node.is_empty() {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
                .context("cannot read the host's name")?;
            config.node = format!("sentinel-{}", host.trim().to_ascii_lowercase().replace('.', "-"));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_must_be_named_and_a_name_is_made_from_the_host() {
        let error = Args::default().load().unwrap_err().to_string();
        assert!(error.contains("--etcd"), "{error}");
        let args = Args { etcd: vec!["127.0.0.1:2379".into()], ..Args::default() };
        assert!(args.load().unwrap().node.starts_with("sentinel-"));
    }
}
