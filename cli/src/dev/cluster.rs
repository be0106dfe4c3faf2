//! A master and workers as tasks of this process.
//!
//! In: the flags of `shanty dev`. Out: an address when they are ready; an error when one ends by itself.
//! Never: outlives its owner.
//! Tests: `cli/tests/dev.rs`.

use super::Args;
use crate::error::Error;
use shanty_rt::task::Scope;
use shanty_sync::connection::Settings;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How long attempts may go on at the end: somebody waits at the keyboard.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the workers, then the master may take to end.
const CLOSING: Duration = Duration::from_secs(10);
/// One failure for each part at most.
const FAILURES: usize = 128;

/// The parts of a cluster.
pub(super) struct Cluster {
    master: Scope,
    workers: Scope,
    address: watch::Receiver<Option<SocketAddr>>,
    failures: mpsc::Receiver<Error>,
}

impl Cluster {
    /// Starts all parts; workers wait for the master's address.
    pub(super) fn start(args: &Args) -> Cluster {
        let (failed, failures) = mpsc::channel(FAILURES);
        let (address_in, address) = watch::channel(None);
        let mut master = Scope::new();
        let stop = master.token();
        let config = master_config(args);
        let master_failed = failed.clone();
        master.spawn("master", async move {
            let served = shanty_master::serve(config, stop, |at| {
                address_in.send_replace(Some(at));
            })
            .await;
            if let Err(error) = served {
                let next = "look at the flags: shanty dev --help";
                let _nobody_waits = master_failed.try_send(Error::local(error.to_string(), next));
            }
        });
        let mut workers = Scope::new();
        for number in 1..=args.workers {
            let part = Worker {
                name: format!("w{number}"),
                folder: args.data.join("workers").join(format!("w{number}")),
                etcd: args.etcd.clone(),
                connections: args.connections.iter().cloned().collect(),
                address: address.clone(),
                failed: failed.clone(),
                stop: workers.token(),
            };
            workers.spawn("worker", part.work());
        }
        Cluster { master, workers, address, failures }
    }

    /// The address, once the master listens.
    pub(super) async fn listening(&mut self) -> Result<SocketAddr, Error> {
        let mut address = self.address.clone();
        tokio::select! {
            biased;
            failed = self.failures.recv() => Err(failed.unwrap_or_else(ended)),
            at = address.wait_for(Option::is_some) => at.ok().and_then(|at| *at).ok_or_else(ended),
        }
    }

    /// Answers when a part has ended by itself.
    pub(super) async fn failed(&mut self) -> Error {
        tokio::select! {
            biased;
            failed = self.failures.recv() => failed.unwrap_or_else(ended),
            _ = self.master.next_end() => ended(),
        }
    }

    /// Stops the workers, then the master.
    pub(super) async fn stop(self) {
        self.workers.drain(CLOSING).await;
        self.master.drain(CLOSING).await;
    }
}

fn ended() -> Error {
    Error::local("a part of the cluster ended by itself", "see why: shanty dev --log info")
}

fn master_config(args: &Args) -> shanty_master::Config {
    let mut config = shanty_master::Config {
        node: "m1".to_owned(),
        listen: args.listen.to_string(),
        insecure: args.insecure,
        data_dir: args.data.join("master"),
        store: args.store.clone(),
        ..shanty_master::Config::default()
    };
    config.etcd.endpoints.clone_from(&args.etcd);
    config
}

struct Worker {
    name: String,
    folder: PathBuf,
    etcd: Vec<String>,
    connections: BTreeMap<String, Settings>,
    address: watch::Receiver<Option<SocketAddr>>,
    failed: mpsc::Sender<Error>,
    stop: CancellationToken,
}

impl Worker {
    async fn work(mut self) {
        let address = tokio::select! {
            at = self.address.wait_for(Option::is_some) => at.ok().and_then(|at| *at),
            () = self.stop.cancelled() => None,
        };
        // Without an address the master has failed, and said so.
        let Some(address) = address else { return };
        let config = shanty_worker::Config {
            connections: self.connections,
            ..worker_config(&self.name, &self.folder, address, self.etcd)
        };
        let drivers = shanty_worker::drivers::of(&config);
        if let Err(error) = shanty_worker::serve(config, drivers, self.stop, || ()).await {
            let what = format!("worker {}: {error}", self.name);
            let _nobody_waits =
                self.failed.try_send(Error::local(what, "look at the flags: shanty dev --help"));
        }
    }
}

fn worker_config(name: &str, folder: &Path, address: SocketAddr, etcd: Vec<String>) -> shanty_worker::Config {
    let mut config = shanty_worker::Config {
        node: name.to_owned(),
        masters: vec![address.to_string()],
        data_dir: folder.to_owned(),
        drain_timeout: DRAIN,
        ..shanty_worker::Config::default()
    };
    config.etcd.endpoints = etcd;
    config
}
