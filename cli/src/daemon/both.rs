//! What a worker and a master in one process are told: each its own table of the file, and what the second one's table
//! leaves open is taken from the first.
//!
//! In: two configurations with the origin of each value. Out: [`Both`], or why the two cannot be one node. Pure.
//! Never: overrules what somebody wrote.
//! Tests: below.

use anyhow::bail;
use shanty_rt::config::{Loaded, Origin};
use shanty_rt::tls;
use std::net::SocketAddr;

/// Priority of a master beside a worker: below the 100 of masters that do nothing else, so that it leads when none of
/// them can. Its machine sends load as well, and what leads should not wait behind that.
const PRIORITY: u32 = 50;

/// A worker and a master that share a process.
#[derive(Debug)]
pub(super) struct Both {
    /// The master.
    pub(super) master: shanty_master::Config,
    /// The worker.
    pub(super) worker: shanty_worker::Config,
    /// What was filled in, as lines of a configuration.
    filled: Vec<String>,
}

impl Both {
    /// A worker on `host` with a master that stands by beside it.
    ///
    /// # Errors
    /// When the master could not stand by for others.
    pub(super) fn of_worker(
        worker: Loaded<shanty_worker::Config>,
        master: Loaded<shanty_master::Config>,
        host: &str,
    ) -> anyhow::Result<Both> {
        let open = |key: &str| master.origin(key) == Origin::Default;
        let mut both = Both { master: master.value.clone(), worker: worker.value, filled: Vec::new() };
        both.worker.node = both.worker.node_id(host)?.to_string();
        if open("master.node") {
            both.master.node = beside("m", &both.worker.node);
            both.fill("master.node", &both.master.node.clone());
        }
        if open("master.cluster") {
            both.master.cluster.clone_from(&both.worker.cluster);
            both.fill("master.cluster", &both.worker.cluster.clone());
        }
        for (key, value) in both.master.etcd.fill_from(&both.worker.etcd) {
            both.fill(&format!("master.etcd.{key}"), &value);
        }
        if !both.master.tls.is_set() && both.worker.tls.is_set() {
            both.master.tls.clone_from(&both.worker.tls);
            both.fill_tls("master", &both.worker.tls.clone());
        }
        if open("master.data_dir") {
            both.master.data_dir = both.worker.data_dir.join("master");
            both.fill("master.data_dir", &both.master.data_dir.clone());
        }
        if open("master.priority") {
            both.master.priority = PRIORITY;
            both.fill("master.priority", &PRIORITY);
        }
        if both.master.etcd.endpoints.is_empty() {
            bail!(
                "`worker.eligible` needs etcd, where masters stand by for each other: name its members with --etcd"
            );
        }
        if both.master.store.is_empty() {
            bail!(
                "`worker.eligible` needs the store that the other masters have: name it in the file ([master] store = \
                 \"postgres://…\"), or as SHANTY_MASTER__STORE"
            );
        }
        both.named_apart()
    }

    /// A master with a worker beside it.
    ///
    /// # Errors
    /// When the two have one name.
    pub(super) fn of_master(
        master: Loaded<shanty_master::Config>,
        worker: Loaded<shanty_worker::Config>,
    ) -> anyhow::Result<Both> {
        let open = |key: &str| worker.origin(key) == Origin::Default;
        let mut both = Both { master: master.value, worker: worker.value.clone(), filled: Vec::new() };
        if open("worker.node") {
            both.worker.node = beside("w", &both.master.node);
            both.fill("worker.node", &both.worker.node.clone());
        }
        if open("worker.cluster") {
            both.worker.cluster.clone_from(&both.master.cluster);
            both.fill("worker.cluster", &both.master.cluster.clone());
        }
        for (key, value) in both.worker.etcd.fill_from(&both.master.etcd) {
            both.fill(&format!("worker.etcd.{key}"), &value);
        }
        if !both.worker.tls.is_set() && both.master.tls.is_set() {
            both.worker.tls.clone_from(&both.master.tls);
            both.fill_tls("worker", &both.master.tls.clone());
        }
        if open("worker.data_dir") {
            both.worker.data_dir = both.master.data_dir.join("worker");
            both.fill("worker.data_dir", &both.worker.data_dir.clone());
        }
        both.named_apart()
    }

    fn named_apart(self) -> anyhow::Result<Both> {
        if self.master.node == self.worker.node {
            bail!(
                "`master.node` and `worker.node` are both `{}`: leave one of them out, or name them apart",
                self.master.node
            );
        }
        Ok(self)
    }

    fn fill(&mut self, key: &str, value: &impl serde::Serialize) {
        let value = serde_json::to_string(value).unwrap_or_default();
        self.filled.push(format!("{key} = {value}"));
    }

    fn fill_tls(&mut self, table: &str, tls::Settings { certificate, key, authority }: &tls::Settings) {
        self.fill(&format!("{table}.tls.certificate"), certificate);
        self.fill(&format!("{table}.tls.key"), key);
        self.fill(&format!("{table}.tls.authority"), authority);
    }

    /// What was filled in, for whoever asks what the two are told.
    pub(super) fn show_filled(&self) -> String {
        format!("left open above, and in one process so:\n{}", self.filled.join("\n"))
    }

    /// Tells the worker of the master beside it, which listens on `address`.
    pub(super) fn attach(&mut self, address: SocketAddr) {
        // The address under which it is registered as well, so that it is one master to the worker.
        let own = match self.master.advertise.as_str() {
            "" => address.to_string(),
            advertise => advertise.to_owned(),
        };
        if !self.worker.masters.contains(&own) {
            self.worker.masters.push(own);
        }
    }
}

/// The name of the node beside `node`, within the 63 letters of a name.
fn beside(role: &str, node: &str) -> String {
    format!("{role}-{node}").chars().take(63).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str =
        "[worker]\nnode = \"w1\"\ncluster = \"blue\"\n[worker.etcd]\nendpoints = [\"127.0.0.1:2379\"]\n";
    const STORE: &str = "[master]\nstore = \"postgres://h/d\"\n";

    fn of_worker(text: &str) -> anyhow::Result<Both> {
        let folder = tempfile::tempdir().unwrap();
        let config = Some(folder.path().join("node.toml"));
        std::fs::write(folder.path().join("node.toml"), text).unwrap();
        let worker = shanty_worker::Args { config: config.clone(), eligible: true, ..Default::default() };
        let master = shanty_master::Args { config, ..Default::default() };
        Both::of_worker(worker.load([])?, master.load([])?, "host")
    }

    fn of_master(args: shanty_master::Args, beside: &[&str]) -> anyhow::Result<Both> {
        let set = beside.iter().map(|text| (*text).to_owned()).collect();
        let worker = shanty_worker::Args { set, ..Default::default() };
        Both::of_master(args.load([])?, worker.load([])?)
    }

    #[test]
    fn a_master_beside_a_worker_takes_what_is_left_open_from_it_and_comes_after_others() {
        let both = of_worker(&format!("{SHARED}{STORE}")).unwrap();
        let master = &both.master;
        assert_eq!((master.node.as_str(), master.cluster.as_str()), ("m-w1", "blue"));
        assert_eq!(master.etcd.endpoints, ["127.0.0.1:2379"]);
        assert_eq!(master.data_dir, both.worker.data_dir.join("master"));
        assert!(master.priority < shanty_master::Config::default().priority);
        assert!(both.show_filled().contains("master.node = \"m-w1\"\n"), "{}", both.show_filled());
        assert!(!both.master.tls.is_set());
        let tls = "[worker.tls]\ncertificate = \"/c\"\nkey = \"/k\"\nauthority = \"/a\"\n";
        let over_tls = of_worker(&format!("{SHARED}{tls}{STORE}")).unwrap();
        assert!(over_tls.master.tls.is_set() && over_tls.master.tls == over_tls.worker.tls);
        let other = format!("{SHARED}{STORE}node = \"m7\"\npriority = 100\n");
        let both = of_worker(&other).unwrap();
        assert_eq!((both.master.node.as_str(), both.master.priority), ("m7", 100), "what is written counts");
    }

    #[test]
    fn a_master_that_could_not_stand_by_is_refused_with_the_way_out() {
        for (text, part) in [
            (SHARED, "[master] store"),
            (STORE, "--etcd"),
            (&format!("{SHARED}{STORE}node = \"w1\"\n"), "name them apart"),
        ] {
            let error = of_worker(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{part}: {error}");
        }
    }

    #[test]
    fn a_worker_beside_a_master_is_attached_to_it_under_the_address_that_others_see() {
        let args = shanty_master::Args { embedded_worker: true, ..Default::default() };
        let mut both = of_master(args.clone(), &[]).unwrap();
        assert_eq!((both.worker.node.as_str(), both.worker.masters.len()), ("w-m1", 0));
        both.attach("127.0.0.1:7070".parse().unwrap());
        both.attach("127.0.0.1:7070".parse().unwrap());
        assert_eq!(both.worker.static_masters(), ["127.0.0.1:7070"]);

        let path = |name: &str| Some(std::path::PathBuf::from(name));
        let flags = tls::Args {
            tls_certificate: path("/c.pem"),
            tls_key: path("/k.pem"),
            tls_authority: path("/a.pem"),
        };
        let over_tls = shanty_master::Args { tls: flags, ..args.clone() };
        let both = of_master(over_tls, &[]).unwrap();
        assert_eq!(both.worker.tls, both.master.tls);
        assert!(both.show_filled().contains("worker.tls.key = \"/k.pem\""), "{}", both.show_filled());

        let args = shanty_master::Args { advertise: Some("m1.example.org:7070".to_owned()), ..args };
        let mut both = of_master(args, &["masters=m2.example.org:7070"]).unwrap();
        both.attach("0.0.0.0:7070".parse().unwrap());
        assert_eq!(both.worker.static_masters(), ["m2.example.org:7070", "m1.example.org:7070"]);
    }
}
