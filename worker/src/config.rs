//! The configuration of a worker: table `[worker]` of the file, `SHANTY_WORKER__…` in the environment.
//!
//! In: `shanty_rt::config`. Out: [`Config`], checked by [`Config::check`] before anything begins.
//! Never: reads files or the environment itself.
//! Tests: below.

use crate::drivers::http_load::{Options, Spin};
use serde::{Deserialize, Serialize};
use shanty_model::id::NodeId;
use shanty_model::kind::http_load::TargetPolicy;
use shanty_rt::config::{NotLoopback, guard};
use shanty_rt::coord::EtcdSettings;
use shanty_rt::tls;
use shanty_sync::connection::{Registry, Settings, Unusable};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// What a worker is told about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Node id; empty for one made from the host's name. Two workers of a cluster never share one.
    pub node: String,
    /// Name of the cluster: which keys of etcd are looked at.
    pub cluster: String,
    /// Addresses of masters, `host:port`. Empty: those found in etcd, or 127.0.0.1:7070 without etcd.
    pub masters: Vec<String>,
    /// etcd, where masters are found and this worker is registered; without endpoints it is not used.
    pub etcd: EtcdSettings,
    /// Also run a master beside this worker, set by the table `[master]`: it stands by, and leads when no other can.
    /// For `shanty worker`, which holds both.
    pub eligible: bool,
    /// Folder of the ledger: the largest epoch ever obeyed. Not shared with another worker.
    pub data_dir: PathBuf,
    /// Where sentinels see whether this worker lives; port 0 takes a free one. Empty for nowhere: its death is then known
    /// by its silence alone.
    pub listen: String,
    /// That address as sentinels see it; empty for the listening one.
    pub advertise: String,
    /// Listen on an address that is not loopback without TLS.
    pub insecure: bool,
    /// Certificates; with them, masters are spoken to over TLS alone. The door for sentinels, which takes nothing, stays
    /// without.
    pub tls: tls::Settings,
    /// Attempts that may run at once.
    pub slots: u32,
    /// Labels that placement may ask for.
    pub labels: BTreeMap<String, String>,
    /// Limits of load tests on this machine.
    pub load: Load,
    /// Databases that syncs may name: `[worker.connections.NAME]` with a `url`, whose placeholders are filled in
    /// when it is used.
    pub connections: BTreeMap<String, Settings>,
    /// At SIGTERM: how long attempts may go on before they are cancelled.
    #[serde(with = "shanty_rt::config::duration")]
    pub drain_timeout: Duration,
    /// Longest time that an attempt goes on sending load without a master, whatever the master asked for.
    #[serde(with = "shanty_rt::config::duration")]
    pub orphan_limit: Duration,
    /// What is logged, in the form of RUST_LOG.
    pub log: String,
}

/// Limits of load tests on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Load threads of an attempt; none for one less than the usable cores.
    pub threads: Option<u32>,
    /// Most requests per second of an attempt; 0 for no cap of its own.
    pub max_rate: f64,
    /// Most connections of an attempt.
    pub max_connections: u32,
    /// Targets besides loopback and private addresses: names, `*.suffix`, addresses, ranges.
    pub allow_targets: TargetPolicy,
    /// How a load thread waits: it sleeps (eco), spins for the last microseconds (balanced), or spins more
    /// (precise).
    pub spin: Spin,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node: String::new(),
            cluster: "shanty".to_owned(),
            masters: Vec::new(),
            etcd: EtcdSettings::default(),
            eligible: false,
            data_dir: PathBuf::from("shanty-data/worker"),
            listen: "127.0.0.1:0".to_owned(),
            advertise: String::new(),
            insecure: false,
            tls: tls::Settings::default(),
            slots: 16,
            labels: BTreeMap::new(),
            load: Load::default(),
            connections: BTreeMap::new(),
            drain_timeout: Duration::from_secs(30),
            orphan_limit: Duration::from_secs(30),
            log: "info".to_owned(),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Load {
            threads: None,
            max_rate: 0.0,
            max_connections: Options::default().max_connections,
            allow_targets: TargetPolicy::default(),
            spin: Spin::default(),
        }
    }
}

impl Load {
    /// The options of the driver.
    #[must_use]
    pub fn options(&self) -> Options {
        let built_in = Options::default();
        Options {
            threads: self.threads.and_then(|n| NonZeroUsize::new(usize::try_from(n).ok()?)),
            max_rate: if self.max_rate > 0.0 { self.max_rate } else { built_in.max_rate },
            default_connections: built_in.default_connections.min(self.max_connections),
            max_connections: self.max_connections,
            targets: self.allow_targets.clone(),
            spin: self.spin,
            catch_up: built_in.catch_up,
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The node id.
    #[error("`worker.node`: {0}; set it with --node or SHANTY_WORKER__NODE")]
    Node(#[from] shanty_model::id::InvalidId),
    /// A number out of its range.
    #[error("`worker.{key}` is {value}, allowed is {allowed}")]
    Range {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An address of a master.
    #[error("`worker.masters`: `{0}` is not host:port, for example 127.0.0.1:7070")]
    Master(String),
    /// The address of its door.
    #[error("`worker.listen`: `{0}` is not host:port, for example 127.0.0.1:7073")]
    Listen(String),
    /// One that others can reach.
    #[error("`worker.listen`: {0}")]
    NotLoopback(#[from] NotLoopback),
    /// Its certificates.
    #[error("`worker.tls`: {0}")]
    Tls(#[from] tls::Incomplete),
    /// An address that asks for TLS.
    #[error(
        "`worker.masters`: `{0}` asks for TLS; name `certificate`, `key` and `authority` in [worker.tls]"
    )]
    WantsTls(String),
    /// etcd.
    #[error("`worker.etcd`: {0}")]
    Etcd(String),
    /// A connection.
    #[error("`worker.connections`: {0}")]
    Connection(Unusable),
}

impl Config {
    /// The node id: the configured one, or one made from `host`, this machine's name.
    ///
    /// # Errors
    /// When the configured one is no id.
    pub fn node_id(&self, host: &str) -> Result<NodeId, Invalid> {
        if !self.node.is_empty() {
            return Ok(self.node.parse()?);
        }
        Ok(node_from_host(host).parse()?)
    }

    /// Where masters are looked for without etcd.
    #[must_use]
    pub fn static_masters(&self) -> Vec<String> {
        if self.masters.is_empty() && self.etcd.endpoints.is_empty() {
            return vec!["127.0.0.1:7070".to_owned()];
        }
        self.masters.clone()
    }

    /// Where sentinels see whether it lives; none for nowhere.
    ///
    /// # Errors
    /// When it is no address, or one that others can reach with neither TLS nor `insecure`.
    pub fn listen_on(&self) -> Result<Option<SocketAddr>, Invalid> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let listen = self.listen.parse().map_err(|_| Invalid::Listen(self.listen.clone()))?;
        Ok(Some(guard(listen, self.insecure, self.tls.is_set())?))
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        let range = |key, value: String, allowed| Err(Invalid::Range { key, value, allowed });
        if !(1..=4096).contains(&self.slots) {
            return range("slots", self.slots.to_string(), "1 to 4096");
        }
        if !(self.load.max_rate.is_finite() && self.load.max_rate >= 0.0) {
            return range("load.max_rate", self.load.max_rate.to_string(), "0 (no cap) or more");
        }
        if self.load.max_connections == 0 {
            return range("load.max_connections", "0".to_owned(), "1 or more");
        }
        if self.load.threads == Some(0) {
            return range("load.threads", "0".to_owned(), "1 or more, or absent");
        }
        self.tls.check()?;
        self.etcd.check().map_err(|error| Invalid::Etcd(error.to_string()))?;
        for master in &self.masters {
            if master.starts_with("https://") && !self.tls.is_set() {
                return Err(Invalid::WantsTls(master.clone()));
            }
            let port = master.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                return Err(Invalid::Master(master.clone()));
            }
        }
        self.listen_on()?;
        Registry::check_settings(&self.connections).map_err(Invalid::Connection)
    }
}

/// A node id made from a host name: its first label in small letters, other characters as `-`.
fn node_from_host(host: &str) -> String {
    let label = host.split('.').next().unwrap_or(host).to_ascii_lowercase();
    let clean: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let named =
        if clean.starts_with(|c: char| c.is_ascii_lowercase()) { clean } else { format!("w-{clean}") };
    named.chars().take(63).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_makes_a_node_id() {
        let config = Config::default();
        for (host, node) in
            [("Web-01.example.com", "web-01"), ("10.0.0.7", "w-10"), ("", "w-"), ("ärger", "w--rger")]
        {
            assert_eq!(config.node_id(host).unwrap().as_str(), node, "{host}");
        }
        assert!(config.node_id(&"x".repeat(200)).is_ok());
        let config = Config { node: "No Good".to_owned(), ..Config::default() };
        assert!(config.node_id("web").unwrap_err().to_string().contains("--node"));
    }

    #[test]
    fn the_local_master_is_looked_for_only_when_nothing_else_is_said() {
        let mut config = Config::default();
        assert_eq!(config.static_masters(), ["127.0.0.1:7070"]);
        config.etcd.endpoints = vec!["127.0.0.1:2379".to_owned()];
        assert!(config.static_masters().is_empty());
        config.masters = vec!["m1:1".to_owned()];
        assert_eq!(config.static_masters(), ["m1:1"]);
    }

    #[test]
    fn what_types_let_through_is_checked() {
        assert_eq!(Config::default().check(), Ok(()));
        let bad = [
            Config { slots: 0, ..Config::default() },
            Config { masters: vec!["127.0.0.1".to_owned()], ..Config::default() },
            Config { masters: vec![":7070".to_owned()], ..Config::default() },
            Config { masters: vec!["https://m1:7070".to_owned()], ..Config::default() },
            Config { tls: tls::Settings::new(None, Some("/x.pem".into()), None), ..Config::default() },
            Config { load: Load { max_rate: -1.0, ..Load::default() }, ..Config::default() },
            Config { load: Load { threads: Some(0), ..Load::default() }, ..Config::default() },
            Config {
                connections: BTreeMap::from([("Shop".to_owned(), Settings::new("mysql://h/db"))]),
                ..Config::default()
            },
        ];
        for config in bad {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
