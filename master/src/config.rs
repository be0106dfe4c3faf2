//! The configuration of a master: table `[master]` of the file, `SHANTY_MASTER__…` in the environment.
//!
//! In: `shanty_rt::config`. Out: [`Config`], checked by [`Config::check`] before anything begins.
//! Never: reads files or the environment itself.
//! Tests: below.

use crate::api::LinkOptions;
use crate::engine;
use crate::runtime::LeaderOptions;
use crate::store::{Retention, sqlite_url};
use serde::{Deserialize, Serialize};
use shanty_model::id::NodeId;
use shanty_model::kind::Limits;
use shanty_rt::config::guard;
use shanty_rt::coord::EtcdSettings;
use shanty_rt::tls;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a master is told about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Node id. Two masters of a cluster never share one.
    pub node: String,
    /// Name of the cluster: part of every key in etcd.
    pub cluster: String,
    /// Where the API and the worker link listen; port 0 takes a free one.
    pub listen: String,
    /// Where others reach this master, `host:port`; empty for the listening address.
    pub advertise: String,
    /// Listen on an address that is not loopback without TLS.
    pub insecure: bool,
    /// Certificates; with them, everything that this master takes and makes is over TLS.
    pub tls: tls::Settings,
    /// Also run a worker beside this master, set by the table `[worker]`. For `shanty master`, which holds both.
    pub embedded_worker: bool,
    /// Folder of this master's data: the SQLite file, when no store is named.
    pub data_dir: PathBuf,
    /// The store: `postgres://…`, `mysql://…` or `sqlite:///path`; `${NAME}` is read from the environment.
    /// Empty for a SQLite file in `data_dir`.
    pub store: String,
    /// etcd; without endpoints this is the only master and coordinates in its own memory.
    pub etcd: EtcdSettings,
    /// Among masters that are up, a larger one leads first.
    pub priority: u32,
    /// How long leadership lasts without renewal, 2s to 60s; 3s to 15s in earnest.
    #[serde(with = "shanty_rt::config::duration")]
    pub lease_ttl: Duration,
    /// How often workers say that they are there.
    #[serde(with = "shanty_rt::config::duration")]
    pub heartbeat_interval: Duration,
    /// After this silence a worker counts as gone.
    #[serde(with = "shanty_rt::config::duration")]
    pub session_timeout: Duration,
    /// Workers stop what they do after losing every master for this long.
    #[serde(with = "shanty_rt::config::duration")]
    pub orphan_limit: Duration,
    /// Caps on what users ask for.
    pub limits: Limits,
    /// How long history is kept.
    pub history: History,
    /// What is logged, in the form of RUST_LOG.
    pub log: String,
}

/// How long history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Ended runs kept per job.
    pub runs_per_job: u32,
    /// Days after which ended runs go.
    pub days: u32,
}

impl Default for History {
    fn default() -> Self {
        History { runs_per_job: 1000, days: 90 }
    }
}

impl Default for Config {
    fn default() -> Self {
        let engine = engine::Options::default();
        let link = LinkOptions::default();
        Config {
            node: "m1".to_owned(),
            cluster: "shanty".to_owned(),
            listen: "127.0.0.1:7070".to_owned(),
            advertise: String::new(),
            insecure: false,
            tls: tls::Settings::default(),
            embedded_worker: false,
            data_dir: PathBuf::from("shanty-data/master"),
            store: String::new(),
            etcd: EtcdSettings::default(),
            priority: 100,
            lease_ttl: Duration::from_secs(5),
            heartbeat_interval: link.heartbeat_interval,
            session_timeout: link.session_timeout,
            orphan_limit: engine.orphan_limit,
            limits: Limits::default(),
            history: History::default(),
            log: "info".to_owned(),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`master.{key}` {message}")]
pub struct Invalid {
    key: &'static str,
    message: String,
}

fn invalid(key: &'static str, message: impl Into<String>) -> Invalid {
    Invalid { key, message: message.into() }
}

impl Config {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first key that does not, with what is allowed.
    pub fn check(&self) -> Result<(), Invalid> {
        self.node_id()?;
        self.listen_on()?;
        self.tls.check().map_err(|error| invalid("tls", error.to_string()))?;
        self.etcd.check().map_err(|error| invalid("etcd", error.to_string()))?;
        if self.cluster.parse::<NodeId>().is_err() {
            return Err(invalid(
                "cluster",
                "must be a name: 1 to 63 of a-z, 0-9, - and _, beginning with a letter",
            ));
        }
        if !(Duration::from_secs(2)..=Duration::from_secs(60)).contains(&self.lease_ttl) {
            return Err(invalid("lease_ttl", "must be 2s to 60s"));
        }
        if self.heartbeat_interval < Duration::from_millis(100)
            || self.session_timeout < self.heartbeat_interval * 2
        {
            return Err(invalid(
                "session_timeout",
                "must be at least two heartbeat intervals, and those 100ms",
            ));
        }
        Ok(())
    }

    /// The node id.
    ///
    /// # Errors
    /// When it is none.
    pub fn node_id(&self) -> Result<NodeId, Invalid> {
        self.node.parse().map_err(|error: shanty_model::id::InvalidId| invalid("node", error.to_string()))
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// When it is none, or is not loopback with neither TLS nor `insecure`.
    pub fn listen_on(&self) -> Result<SocketAddr, Invalid> {
        let listen = self.listen.parse().map_err(|_| invalid("listen", "must look like 127.0.0.1:7070"))?;
        guard(listen, self.insecure, self.tls.is_set()).map_err(|error| invalid("listen", error.to_string()))
    }

    /// The store's URL.
    #[must_use]
    pub fn store_url(&self) -> String {
        if self.store.is_empty() { sqlite_url(&self.data_dir.join("shanty.db")) } else { self.store.clone() }
    }

    /// What a leader is set to.
    #[must_use]
    pub fn leader(&self) -> LeaderOptions {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        LeaderOptions {
            engine: engine::Options {
                limits: self.limits.clone(),
                session_timeout: self.session_timeout,
                orphan_limit: self.orphan_limit,
                ..engine::Options::default()
            },
            retention: Retention {
                runs_per_job: self.history.runs_per_job,
                run_age_ms: i64::from(self.history.days) * DAY_MS,
                ..Retention::default()
            },
        }
    }

    /// What workers are told at their welcome.
    #[must_use]
    pub fn link(&self) -> LinkOptions {
        LinkOptions { heartbeat_interval: self.heartbeat_interval, session_timeout: self.session_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_makes_sense_and_each_bad_key_is_named() {
        let ok = Config::default();
        assert_eq!(ok.check(), Ok(()));
        let key = |config: Config| config.check().unwrap_err().key;
        assert_eq!(key(Config { node: "M 1".into(), ..ok.clone() }), "node");
        assert_eq!(key(Config { listen: "nowhere".into(), ..ok.clone() }), "listen");
        assert_eq!(key(Config { listen: "0.0.0.0:7070".into(), ..ok.clone() }), "listen");
        assert_eq!(key(Config { cluster: "a/b".into(), ..ok.clone() }), "cluster");
        assert_eq!(key(Config { lease_ttl: Duration::from_secs(1), ..ok.clone() }), "lease_ttl");
        assert_eq!(key(Config { session_timeout: Duration::from_secs(1), ..ok.clone() }), "session_timeout");
        let open = Config { listen: "0.0.0.0:7070".into(), insecure: true, ..ok.clone() };
        assert_eq!(open.check(), Ok(()));
        let path = || Some("/x.pem".into());
        let etcd = EtcdSettings { user: "u".into(), ..EtcdSettings::default() };
        assert_eq!(key(Config { etcd, ..ok.clone() }), "etcd");
        let half = tls::Settings::new(path(), path(), None);
        assert_eq!(key(Config { tls: half, ..ok.clone() }), "tls");
        let tls = tls::Settings::new(path(), path(), path());
        assert_eq!(Config { listen: "0.0.0.0:7070".into(), tls, ..ok }.check(), Ok(()));
    }
}
