//! What a sentinel is told: flags over environment over the table `[sentinel]` of a file.
//!
//! In: the command line. Out: [`Config`], checked. Never: connects to anything.
//! Tests: below.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shanty_model::id::NodeId;
use shanty_rt::config::{Loader, guard};
use shanty_rt::coord::EtcdSettings;
use shanty_rt::tls;
use std::collections::BTreeSet;
use std::net::SocketAddr;
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
    /// The sentinels that vote, this one included: three or five, separated by commas. Needed by the first of them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub members: Vec<String>,
    /// Where other sentinels reach it, host:port.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Its address as others see it; default: the listening one.
    #[arg(long, value_name = "ADDRESS")]
    pub advertise: Option<String>,
    /// Listen on an address that is not loopback without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Certificates.
    #[command(flatten)]
    pub tls: tls::Args,
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
    pub etcd: EtcdSettings,
    /// The sentinels that vote, this one included: three or five. Needed by the first of them; later the cluster knows.
    pub members: Vec<String>,
    /// Where other sentinels reach it; port 0 takes a free one.
    pub listen: String,
    /// Its address as others see it; empty for the listening one.
    pub advertise: String,
    /// Listen on an address that is not loopback without TLS.
    pub insecure: bool,
    /// Certificates; with them, masters and other sentinels are spoken to over TLS alone.
    pub tls: tls::Settings,
    /// What is logged, in the form of RUST_LOG.
    pub log: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node: String::new(),
            cluster: "shanty".to_owned(),
            etcd: EtcdSettings::default(),
            members: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
            advertise: String::new(),
            insecure: false,
            tls: tls::Settings::default(),
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
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let loader = Loader::new("sentinel")
            .file(self.config.as_deref())
            .process_environment()
            .flag("node", "--node", self.node.clone())
            .flag("cluster", "--cluster", self.cluster.clone())
            .flag("etcd.endpoints", "--etcd", some(&self.etcd))
            .flag("members", "--members", some(&self.members))
            .flag("listen", "--listen", self.listen.clone())
            .flag("advertise", "--advertise", self.advertise.clone())
            .flag("insecure", "--insecure", self.insecure.then_some(true))
            .flag("log", "--log", self.log.clone());
        let loaded = self.tls.give(loader).load::<Config>()?;
        let mut config = loaded.value;
        if config.etcd.endpoints.is_empty() {
            anyhow::bail!("a sentinel watches through etcd; name its members: --etcd 127.0.0.1:2379");
        }
        if config.node.is_empty() {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
                .context("cannot read the host's name")?;
            config.node = format!("sentinel-{}", host.trim().to_ascii_lowercase().replace('.', "-"));
        }
        config.voters()?;
        config.listen_on()?;
        config.tls.check().context("`sentinel.tls`")?;
        config.etcd.check().context("`sentinel.etcd`")?;
        Ok(config)
    }
}

impl Config {
    /// The sentinels that vote, by name; empty when the configuration leaves it to the cluster.
    ///
    /// # Errors
    /// When they could decide nothing.
    pub fn voters(&self) -> anyhow::Result<Vec<NodeId>> {
        let named = self.members.iter().map(|name| {
            name.parse::<NodeId>().with_context(|| format!("`sentinel.members`: `{name}` is no name"))
        });
        let voters: BTreeSet<NodeId> = named.collect::<Result<_, _>>()?;
        if !matches!(voters.len(), 0 | 3 | 5) || voters.len() != self.members.len() {
            anyhow::bail!(
                "`sentinel.members` names {} sentinels: name three or five different ones. One or two cannot decide; a \
                 cluster without sentinels is fine, its failover then waits for the leader's lease",
                voters.len()
            );
        }
        let me: NodeId = self.node.parse().context("`sentinel.node`")?;
        if !voters.is_empty() && !voters.contains(&me) {
            anyhow::bail!(
                "`sentinel.members` does not name this sentinel, `{me}`: set its name with --node, or add it"
            );
        }
        Ok(voters.into_iter().collect())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When it is no address, or one that others can reach with neither TLS nor `insecure`.
    pub fn listen_on(&self) -> anyhow::Result<SocketAddr> {
        let listen = self.listen.parse().context("`sentinel.listen` must look like 127.0.0.1:7072")?;
        guard(listen, self.insecure, self.tls.is_set()).context("`sentinel.listen`")
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

    #[test]
    fn sentinels_that_could_decide_nothing_are_refused() {
        let config = |members: &[&str]| Config {
            node: "s1".into(),
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            ..Config::default()
        };
        assert!(config(&[]).voters().unwrap().is_empty());
        assert_eq!(config(&["s3", "s1", "s2"]).voters().unwrap().len(), 3);
        for (members, part) in [
            (&["s1"][..], "names 1 sentinels"),
            (&["s1", "s2"], "One or two cannot decide"),
            (&["s1", "s2", "s3", "s4"], "three or five"),
            (&["s1", "s1", "s2"], "different ones"),
            (&["s2", "s3", "s4"], "does not name this sentinel"),
            (&["s1", "s2", "S 3"], "is no name"),
        ] {
            let error = format!("{:#}", config(members).voters().unwrap_err());
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
